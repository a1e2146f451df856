/* web_files: the files of the web page: those built into the binary, or those of web.dir. All are
 * read once at start, so that no request touches a disk and no path can leave the directory: a
 * request finds a name in a sorted list or nothing (PROTOCOL.md section 1).
 *
 * NAME.br and NAME.gz beside NAME are no files of their own but other codings of it; the build of
 * the app makes them (web/compress.mjs). Nothing is compressed here: what a directory has no
 * codings of is sent as it is. */
#include "actors/accept.h"
#include "actors/edge.h"
#include "base/asset.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 2000
#define BYTES_MAX (64u << 20)
#define DEPTH_MAX 8

static const char *type_of(const char *name) {
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".mjs", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".json", "application/json"},
                                           {".webmanifest", "application/manifest+json"},
                                           {".svg", "image/svg+xml"},
                                           {".png", "image/png"},
                                           {".jpg", "image/jpeg"},
                                           {".ico", "image/x-icon"},
                                           {".webp", "image/webp"},
                                           {".mp3", "audio/mpeg"},
                                           {".ogg", "audio/ogg"},
                                           {".woff2", "font/woff2"},
                                           {".txt", "text/plain; charset=utf-8"},
                                           {".wasm", "application/wasm"},
                                           {".map", "application/json"}};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(dot, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

static void set_body(edge_file_t *f, int coding, slice_t bytes) {
    uint8_t sha[32];
    crypt_sha256(bytes, sha);
    f->body[coding] = block_of(bytes.at, bytes.len);
    snprintf(f->etag[coding], sizeof f->etag[coding], "\"%02x%02x%02x%02x%02x%02x%02x%02x\"",
             sha[0], sha[1], sha[2], sha[3], sha[4], sha[5], sha[6], sha[7]);
}

static void add_file(edge_t *e, const char *name, slice_t bytes) {
    if (e->file_count == e->file_room) {
        edge_file_t *grown = pool_alloc((e->file_room + 64) * sizeof *grown);
        if (e->file_count)
            memcpy(grown, e->files, e->file_count * sizeof *grown);
        pool_free(e->files, e->file_room * sizeof *grown);
        e->files = grown;
        e->file_room += 64;
    }
    edge_file_t *f = &e->files[e->file_count++];
    memset(f, 0, sizeof *f);
    f->name = pool_alloc(strlen(name) + 1);
    memcpy(f->name, name, strlen(name) + 1);
    f->type = type_of(name);
    set_body(f, CODING_IDENTITY, bytes);
}

static void free_file(edge_file_t *f) {
    pool_free(f->name, strlen(f->name) + 1);
    for (int i = 0; i < CODINGS; i++)
        block_unref(f->body[i]);
}

/* --- the built-in ones --- */

static bool is_there(const edge_t *e, const char *name) {
    for (size_t i = 0; i < e->file_count; i++)
        if (strcmp(e->files[i].name, name) == 0)
            return true;
    return false;
}

/* Those whose path begins so, under their path below `root`. */
static void add_assets(edge_t *e, const char *root, const char *begins) {
    size_t n;
    const asset_t *all = asset_all(&n);
    for (size_t i = 0; i < n; i++)
        if (strncmp(all[i].path, begins, strlen(begins)) == 0 &&
            !is_there(e, all[i].path + strlen(root)))
            add_file(e, all[i].path + strlen(root), all[i].bytes);
}

/* --- web.dir --- */

typedef struct reading {
    edge_t *e;
    size_t root, bytes; /* length of the directory's name; read so far */
    char *fault;
    size_t room;
} reading_t;

static int fail_at(reading_t *r, const char *path, const char *what) {
    snprintf(r->fault, r->room, "web.dir: %s: %s", path, what);
    return ERR_IO;
}

static int read_file(reading_t *r, const char *path, off_t size) {
    if (r->e->file_count >= FILES_MAX || r->bytes + (size_t)size > BYTES_MAX)
        return fail_at(r, path, "too many or too large files (2000, 64 MiB)");
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    buf_t b = {0};
    if (fd < 0)
        return fail_at(r, path, "cannot be read");
    char *at = buf_room(&b, (size_t)size + 1);
    ssize_t got = read(fd, at, (size_t)size);
    close(fd);
    if (got == size) {
        b.len = (uint32_t)got;
        r->bytes += (size_t)got;
        add_file(r->e, path + r->root, buf_slice(&b));
    }
    buf_free(&b);
    return got == size ? ERR_OK : fail_at(r, path, "changed while it was read");
}

static int read_dir(reading_t *r, const char *path, int depth) {
    char name[1024];
    struct stat st;
    int err = ERR_OK;
    DIR *d = opendir(path);
    if (!d)
        return fail_at(r, path, "is no readable directory");
    for (struct dirent *one; err == ERR_OK && (one = readdir(d));) {
        if (one->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(name, sizeof name, "%s/%s", path, one->d_name) >= sizeof name ||
            lstat(name, &st) != 0)
            continue;
        if (S_ISREG(st.st_mode))
            err = read_file(r, name, st.st_size);
        else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
            err = read_dir(r, name, depth + 1);
    }
    closedir(d);
    return err;
}

/* --- the list --- */

const edge_file_t *web_file(const edge_t *e, slice_t path) {
    size_t low = 0, high = e->file_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        size_t len = strlen(e->files[mid].name), least = len < path.len ? len : path.len;
        int order = memcmp(e->files[mid].name, path.at, least);
        if (order == 0)
            order = len < path.len ? -1 : len > path.len;
        if (order == 0)
            return &e->files[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const edge_file_t *)a)->name, ((const edge_file_t *)b)->name);
}

static edge_file_t *whose_coding(const edge_t *e, const char *name, enum coding *coding) {
    static const char *const ends[CODINGS] = {[CODING_GZIP] = ".gz", [CODING_BR] = ".br"};
    size_t len = strlen(name);
    for (int i = 0; i < CODINGS; i++)
        if (ends[i] && len > 3 && strcmp(name + len - 3, ends[i]) == 0) {
            *coding = (enum coding)i;
            return (edge_file_t *)web_file(e, (slice_t){name, len - 3});
        }
    return NULL;
}

/* Codings go to the file that they are of. The list is sorted, so a file comes before them. */
static void join_codings(edge_t *e) {
    enum coding coding;
    for (size_t i = 0; i < e->file_count; i++) {
        edge_file_t *f = &e->files[i], *of = whose_coding(e, f->name, &coding);
        if (!of || !of->body[CODING_IDENTITY])
            continue;
        of->body[coding] = f->body[CODING_IDENTITY];
        memcpy(of->etag[coding], f->etag[CODING_IDENTITY], sizeof of->etag[coding]);
        f->body[CODING_IDENTITY] = NULL;
    }
    size_t kept = 0;
    for (size_t i = 0; i < e->file_count; i++)
        if (e->files[i].body[CODING_IDENTITY])
            e->files[kept++] = e->files[i];
        else
            free_file(&e->files[i]);
    e->file_count = kept;
}

int web_load(edge_t *e, char *fault, size_t room) {
    slice_t dir = conf_text(e->conf, "web.dir");
    reading_t r = {e, dir.len, 0, fault, room};
    if (dir.len) {
        int err = read_dir(&r, dir.at, 0);
        if (err != ERR_OK)
            return err;
    } else if (asset_find("web/app/dist/index.html")) {
        add_assets(e, "web/app/dist", "web/app/dist/");
    } else {
        add_assets(e, "web/plain", "web/plain/index.html");
    }
    add_assets(e, "web/plain", "web/plain/swagger.");
    qsort(e->files, e->file_count, sizeof *e->files, by_name);
    join_codings(e);
    return ERR_OK;
}

void web_free(edge_t *e) {
    for (size_t i = 0; i < e->file_count; i++)
        free_file(&e->files[i]);
    pool_free(e->files, e->file_room * sizeof *e->files);
    e->files = NULL;
    e->file_count = e->file_room = 0;
}
