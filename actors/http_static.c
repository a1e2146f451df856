/* http_static: the web page: the built-in files, or those of web.dir. All are read once at start,
 * so that no request touches a disk and no path can leave the directory: a request finds a name in
 * a sorted list or nothing (PROTOCOL.md section 1). */
#include "actors/edge.h"
#include "base/asset.h"
#include "base/log.h"
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
                                           {".svg", "image/svg+xml"},
                                           {".png", "image/png"},
                                           {".jpg", "image/jpeg"},
                                           {".ico", "image/x-icon"},
                                           {".webp", "image/webp"},
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

static void add_file(edge_t *e, const char *name, slice_t bytes) {
    if (e->file_count % 64 == 0) {
        edge_file_t *grown = pool_alloc((e->file_count + 64) * sizeof *grown);
        if (e->file_count)
            memcpy(grown, e->files, e->file_count * sizeof *grown);
        pool_free(e->files, e->file_count * sizeof *grown);
        e->files = grown;
    }
    edge_file_t *f = &e->files[e->file_count++];
    uint8_t sha[32];
    crypt_sha256(bytes, sha);
    f->name = pool_alloc(strlen(name) + 1);
    memcpy(f->name, name, strlen(name) + 1);
    f->type = type_of(name);
    f->body = block_of(bytes.at, bytes.len);
    snprintf(f->etag, sizeof f->etag, "\"%02x%02x%02x%02x%02x%02x%02x%02x\"", sha[0], sha[1],
             sha[2], sha[3], sha[4], sha[5], sha[6], sha[7]);
}

static void load_assets(edge_t *e) {
    size_t n;
    const asset_t *all = asset_all(&n);
    for (size_t i = 0; i < n; i++)
        if (strncmp(all[i].path, "web/plain/", 10) == 0)
            add_file(e, all[i].path + 9, all[i].bytes);
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
    if (r->e->file_count == FILES_MAX || r->bytes + (size_t)size > BYTES_MAX)
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

static int by_name(const void *a, const void *b) {
    return strcmp(((const edge_file_t *)a)->name, ((const edge_file_t *)b)->name);
}

int static_load(edge_t *e, char *fault, size_t room) {
    slice_t dir = conf_text(e->conf, "web.dir");
    reading_t r = {e, dir.len, 0, fault, room};
    int err = ERR_OK;
    if (dir.len == 0)
        load_assets(e);
    else
        err = read_dir(&r, dir.at, 0);
    if (e->file_count)
        qsort(e->files, e->file_count, sizeof *e->files, by_name);
    return err;
}

void static_free(edge_t *e) {
    for (size_t i = 0; i < e->file_count; i++) {
        pool_free(e->files[i].name, strlen(e->files[i].name) + 1);
        block_unref(e->files[i].body);
    }
    pool_free(e->files, (e->file_count + 63) / 64 * 64 * sizeof *e->files);
    e->files = NULL;
    e->file_count = 0;
}

/* --- requests --- */

static const edge_file_t *find(const edge_t *e, slice_t path) {
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

static bool last_segment_has_dot(slice_t path) {
    const char *slash = memrchr(path.at, '/', path.len);
    size_t start = slash ? (size_t)(slash - path.at) : 0;
    return memchr(path.at + start, '.', path.len - start) != NULL;
}

void static_answer(conn_t *c, slice_t path) {
    const edge_t *e = edge_at(c)->edge;
    const edge_file_t *f = find(e, path);
    char head[200];
    if (!f && path.len > 1 && path.at[path.len - 1] == '/')
        f = find(e, (slice_t){path.at, path.len - 1});
    if (!f && !last_segment_has_dot(path))
        f = find(e, SLICE("/index.html"));
    if (!f) {
        conn_http_error(c, ERR_NOT_FOUND, NULL, 0);
        return;
    }
    snprintf(head, sizeof head,
             "Cache-Control: no-cache\r\nETag: %s\r\nX-Content-Type-Options: nosniff\r\n", f->etag);
    if (strstr(c->http->if_none_match, f->etag))
        http_answer(c, 304, NULL, head, NULL);
    else
        http_answer(c, 200, f->type, head, block_ref(f->body));
}
