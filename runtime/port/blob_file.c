/* blob_file: the built-in store: files under one directory (file:PATH; file: alone is `files` in
 * data.dir), with names made of numbers only. Called by blob.c, in its threads.
 *
 *   open/ID/data        what is being put: parts are written at their places, so nothing is copied
 *   open/ID/N           a symbolic link: part N (0: the whole) is there and durable; what it points
 *                       to is no file but the SHA-256 of the part, so one call makes it, whole
 *   kept/XX/ID          finished; XX: the lowest byte of ID
 *
 * A mark is made after the data has reached the disk and removed before the part is written again.
 * Finishing is a rename: a file in kept is always whole. What a crash leaves is either marked, so
 * usable, or looks as if it had never been put. */
#include "port/blob_file.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/text.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define COPY         (256 * 1024)
#define TIDY_ENTRIES 256

static int code_of(int number) {
    if (number == ENOENT || number == ENOTDIR)
        return ERR_NOT_FOUND;
    if (number == ENOSPC || number == EDQUOT || number == EFBIG || number == EMFILE ||
        number == ENFILE)
        return ERR_BUSY;
    return ERR_IO;
}

int file_fault(const char *what) {
    int number = errno;
    if (number != ENOENT)
        log_error("files", "%s: %s", what, strerror(number));
    return code_of(number);
}

static file_root_t *root_of(const blob_thread_t *t) {
    return t->base;
}

void file_number_name(char room[FILE_NAME], int64_t n) {
    snprintf(room, FILE_NAME, "%lld", (long long)n);
}

/* "XX/ID" */
static void kept_name(char room[FILE_NAME], int64_t id) {
    snprintf(room, FILE_NAME, "%02x/%lld", (unsigned)(id & 255), (long long)id);
}

/* --- hashes --- */

EVP_MD_CTX *file_sha_new(void) {
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
        log_die("files", "no SHA-256");
    return c;
}

void file_sha_end(EVP_MD_CTX *c, char hex[FILE_HEX + 1]) {
    uint8_t sum[32];
    buf_t b = {0};
    EVP_DigestFinal_ex(c, sum, NULL);
    EVP_MD_CTX_free(c);
    text_hex_add(&b, sum, sizeof sum);
    memcpy(hex, b.at, FILE_HEX);
    hex[FILE_HEX] = 0;
    buf_free(&b);
}

void file_set_etag(blob_found_t *out, const char *hex, int64_t parts) {
    if (parts)
        snprintf(out->etag, sizeof out->etag, "\"%s-%lld\"", hex, (long long)parts);
    else
        snprintf(out->etag, sizeof out->etag, "\"%s\"", hex);
}

/* --- marks --- */

static bool mark_read(int dir, int64_t part, char hex[FILE_HEX + 1]) {
    char name[FILE_NAME];
    file_number_name(name, part);
    ssize_t n = readlinkat(dir, name, hex, FILE_HEX + 1);
    if (n != FILE_HEX)
        return false;
    hex[FILE_HEX] = 0;
    return true;
}

/* --- directories --- */

int file_dir_open(const file_root_t *r, int64_t id) {
    char name[FILE_NAME];
    file_number_name(name, id);
    return openat(r->open, name, FILE_DIR_FLAGS);
}

int file_dir_make(const file_root_t *r, int64_t id) {
    char name[FILE_NAME];
    file_number_name(name, id);
    if (mkdirat(r->open, name, 0750) != 0)
        return errno == EEXIST ? ERR_OK : file_fault("no directory for an upload");
    return fsync(r->open) == 0 ? ERR_OK : file_fault("no directory for an upload");
}

bool file_is_kept(const file_root_t *r, int64_t id) {
    char name[FILE_NAME];
    kept_name(name, id);
    return faccessat(r->kept, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Its data and marks: as many as there are, all in this one directory. */
static void empty_dir(int dir) {
    int copy = openat(dir, ".", FILE_DIR_FLAGS);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (!d) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dir, e->d_name, 0);
    closedir(d);
}

static void dir_remove(const file_root_t *r, int64_t id) {
    char name[FILE_NAME];
    int dir = file_dir_open(r, id);
    if (dir < 0)
        return;
    empty_dir(dir);
    close(dir);
    file_number_name(name, id);
    unlinkat(r->open, name, AT_REMOVEDIR);
}

/* --- what is there --- */

static int begin(blob_thread_t *t, const blob_object_t *o, buf_t *body) {
    int err = file_is_kept(root_of(t), o->id) ? ERR_NOT_FOUND : file_dir_make(root_of(t), o->id);
    if (err == ERR_OK)
        buf_add_int(body, o->id);
    return err;
}

static int read_head(int fd, uint32_t head, buf_t *body) {
    if (head == 0)
        return ERR_OK;
    ssize_t n = pread(fd, buf_room(body, head), head, 0);
    if (n < 0)
        return file_fault("a file cannot be read");
    body->len += (uint32_t)n;
    return ERR_OK;
}

static int look_kept(const file_root_t *r, int64_t id, uint32_t head, blob_found_t *out,
                     buf_t *body) {
    char name[FILE_NAME];
    struct stat st;
    kept_name(name, id);
    int fd = openat(r->kept, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return file_fault("a file cannot be opened");
    int err = fstat(fd, &st) == 0 ? read_head(fd, head, body) : file_fault("a file cannot be read");
    close(fd);
    out->size = st.st_size;
    out->finished = true;
    return err;
}

static int look_open(int dir, const blob_object_t *o, uint32_t head, blob_found_t *out,
                     buf_t *body) {
    char hex[FILE_HEX + 1];
    if (o->part_size || !mark_read(dir, 0, hex))
        return ERR_NOT_FOUND;
    int fd = openat(dir, "data", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return file_fault("an upload cannot be opened");
    int err = read_head(fd, head, body);
    close(fd);
    out->size = o->size; /* what is marked has been as long as declared */
    file_set_etag(out, hex, 0);
    return err;
}

static int look(blob_thread_t *t, const blob_object_t *o, uint32_t head, blob_found_t *out,
                buf_t *body) {
    const file_root_t *r = root_of(t);
    if (file_is_kept(r, o->id))
        return look_kept(r, o->id, head, out, body);
    int dir = file_dir_open(r, o->id);
    if (dir < 0)
        return file_fault("an upload cannot be opened");
    int err = look_open(dir, o, head, out, body);
    close(dir);
    return err;
}

static int parts(blob_thread_t *t, const blob_object_t *o, buf_t *body) {
    char hex[FILE_HEX + 1], etag[FILE_HEX + 3];
    int dir = file_dir_open(root_of(t), o->id);
    if (dir < 0)
        return file_fault("an upload cannot be opened");
    bool first = true;
    buf_add_char(body, '[');
    for (int64_t i = 1, n = blob_part_count(o); i <= n; i++) {
        if (!mark_read(dir, i, hex))
            continue;
        snprintf(etag, sizeof etag, "\"%s\"", hex);
        blob_part_json(body, first, i, blob_part_bytes(o, i), etag);
        first = false;
    }
    buf_add_char(body, ']');
    close(dir);
    return ERR_OK;
}

/* --- finishing --- */

/* Of a file in kept, as it was when it was finished. */
static int hash_again(const blob_thread_t *t, int fd, const blob_object_t *o, blob_found_t *out) {
    int64_t count = blob_part_count(o), at = 0;
    char hex[FILE_HEX + 1], *room = pool_alloc(COPY);
    EVP_MD_CTX *all = file_sha_new(), *sha = NULL;
    int err = ERR_OK;
    for (int64_t i = count ? 1 : 0; i <= count && err == ERR_OK; i++) {
        int64_t end = at + blob_part_bytes(o, i);
        sha = file_sha_new();
        while (at < end && err == ERR_OK) {
            ssize_t n = pread(fd, room, (size_t)(end - at < COPY ? end - at : COPY), at);
            if (n <= 0 || blob_stopping(t) || blob_left_ms(t) == 0)
                err = n <= 0 ? file_fault("a file cannot be read") : ERR_TIMEOUT;
            else
                EVP_DigestUpdate(sha, room, (size_t)n);
            at += n;
        }
        file_sha_end(sha, hex);
        EVP_DigestUpdate(all, hex, FILE_HEX);
    }
    pool_free(room, COPY);
    if (count)
        file_sha_end(all, hex);
    else
        EVP_MD_CTX_free(all);
    file_set_etag(out, hex, count);
    return err;
}

static int finished_before(blob_thread_t *t, const blob_object_t *o, blob_found_t *out) {
    char name[FILE_NAME];
    kept_name(name, o->id);
    int fd = openat(root_of(t)->kept, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return file_fault("a file cannot be opened");
    struct stat st;
    int err = fstat(fd, &st) == 0 ? ERR_OK : file_fault("a file cannot be read");
    out->size = st.st_size;
    out->finished = true;
    if (err == ERR_OK)
        err = hash_again(t, fd, o, out);
    close(fd);
    return err;
}

/* All that is declared is there: its hash. */
static int complete(int dir, const blob_object_t *o, blob_found_t *out) {
    int64_t count = blob_part_count(o);
    char hex[FILE_HEX + 1];
    if (count == 0) {
        if (!mark_read(dir, 0, hex))
            return ERR_NOT_FOUND;
    } else {
        EVP_MD_CTX *all = file_sha_new();
        for (int64_t i = 1; i <= count; i++) {
            if (!mark_read(dir, i, hex)) {
                EVP_MD_CTX_free(all);
                return ERR_CONFLICT;
            }
            EVP_DigestUpdate(all, hex, FILE_HEX);
        }
        file_sha_end(all, hex);
    }
    file_set_etag(out, hex, count);
    return ERR_OK;
}

/* The rename that makes it visible. */
static int keep(const file_root_t *r, int dir, const blob_object_t *o) {
    char name[FILE_NAME], sub[4];
    struct stat st;
    snprintf(sub, sizeof sub, "%02x", (unsigned)(o->id & 255));
    if (mkdirat(r->kept, sub, 0750) == 0)
        fsync(r->kept);
    int fd = openat(dir, "data", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool whole = fd >= 0 && fstat(fd, &st) == 0 && st.st_size == o->size && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (!whole) {
        log_error("files", "the data of file %lld is not what its marks say", (long long)o->id);
        return ERR_IO;
    }
    kept_name(name, o->id);
    int to = openat(r->kept, sub, FILE_DIR_FLAGS);
    if (to < 0)
        return file_fault("a file cannot be kept");
    int err = renameat(dir, "data", r->kept, name) == 0 && fsync(to) == 0 && fsync(dir) == 0
                  ? ERR_OK
                  : file_fault("a file cannot be kept");
    close(to);
    return err;
}

static int finish(blob_thread_t *t, const blob_object_t *o, slice_t etag, blob_found_t *out) {
    const file_root_t *r = root_of(t);
    if (file_is_kept(r, o->id)) {
        dir_remove(r, o->id);
        return finished_before(t, o, out);
    }
    int dir = file_dir_open(r, o->id);
    if (dir < 0)
        return file_fault("an upload cannot be opened");
    int err = complete(dir, o, out);
    if (err == ERR_OK && etag.len && !slice_eq(etag, slice_of(out->etag)))
        err = ERR_STALE;
    if (err == ERR_OK)
        err = keep(r, dir, o);
    close(dir);
    if (err != ERR_OK)
        return err;
    dir_remove(r, o->id);
    out->size = o->size;
    out->finished = true;
    return ERR_OK;
}

static int drop(blob_thread_t *t, const blob_object_t *o) {
    const file_root_t *r = root_of(t);
    char name[FILE_NAME];
    dir_remove(r, o->id);
    kept_name(name, o->id);
    if (unlinkat(r->kept, name, 0) != 0)
        return errno == ENOENT ? ERR_OK : file_fault("a file cannot be removed");
    name[2] = 0;
    int dir = openat(r->kept, name, FILE_DIR_FLAGS);
    if (dir >= 0) {
        fsync(dir);
        close(dir);
    }
    return ERR_OK;
}

/* --- reading --- */

static int read_open(blob_thread_t *t, int64_t id, int64_t off, blob_reading_t *out) {
    char name[FILE_NAME], one;
    struct stat st;
    kept_name(name, id);
    int fd = openat(root_of(t)->kept, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return file_fault("a file cannot be opened");
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return file_fault("a file cannot be read");
    }
    posix_fadvise(fd, off, BLOB_PIECE_MAX, POSIX_FADV_WILLNEED);
    if (pread(fd, &one, 1, off) < 0) {
        close(fd);
        return file_fault("a file cannot be read");
    }
    *out = (blob_reading_t){fd, st.st_size};
    return ERR_OK;
}

/* --- tidying: uploads that nobody has touched for longer than any may last --- */

static void look_at(const file_root_t *r, const char *name, int64_t now_s) {
    struct stat st;
    char *end;
    long long id = strtoll(name, &end, 10);
    if (*end || id < 1 || fstatat(r->open, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    int dir = openat(r->open, name, FILE_DIR_FLAGS);
    struct stat data;
    if (dir >= 0 && fstatat(dir, "data", &data, AT_SYMLINK_NOFOLLOW) == 0 &&
        data.st_mtime > st.st_mtime)
        st.st_mtime = data.st_mtime;
    if (dir >= 0)
        close(dir);
    if (now_s - st.st_mtime > r->stale_s) {
        log_info("files", "upload %lld was left behind: removed", id);
        dir_remove(r, id);
    }
}

/* All in thread 0: what is so old is written by nobody. */
static void tidy_some(file_root_t *r) {
    int64_t now_s = (int64_t)time(NULL);
    if (!r->tidying) {
        int copy = openat(r->open, ".", FILE_DIR_FLAGS);
        r->tidying = copy < 0 ? NULL : fdopendir(copy);
    }
    for (int i = 0; r->tidying && i < TIDY_ENTRIES; i++) {
        struct dirent *e = readdir(r->tidying);
        if (e) {
            look_at(r, e->d_name, now_s);
            continue;
        }
        closedir(r->tidying);
        r->tidying = NULL;
    }
}

static void tidy(blob_thread_t *t) {
    if (t->index == 0)
        tidy_some(root_of(t));
}

static uint64_t room(void *base) {
    struct statvfs fs;
    const file_root_t *r = base;
    return fstatvfs(r->kept, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

/* --- open, close --- */

static int sub_dir(int base, const char *name) {
    if (mkdirat(base, name, 0750) != 0 && errno != EEXIST)
        return -1;
    return openat(base, name, FILE_DIR_FLAGS);
}

static void close_root(void *base) {
    file_root_t *r = base;
    if (r->tidying)
        closedir(r->tidying);
    if (r->open >= 0)
        close(r->open);
    if (r->kept >= 0)
        close(r->kept);
    pool_free(r, sizeof *r);
}

static void *open_root(runtime_t *rt, const conf_t *conf, slice_t url, char *text, size_t size) {
    char path[1100];
    slice_t own = {url.at + 5, url.len - 5}, dir = conf_text(conf, "data.dir");
    (void)rt;
    int n = own.len ? snprintf(path, sizeof path, "%.*s", (int)own.len, own.at)
                    : snprintf(path, sizeof path, "%.*s/files", (int)dir.len, dir.at);
    int base = -1;
    if (n > 0 && (size_t)n < sizeof path) {
        mkdir(path, 0750);
        base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    file_root_t *r = pool_zalloc(sizeof *r);
    r->open = base < 0 ? -1 : sub_dir(base, "open");
    r->kept = base < 0 ? -1 : sub_dir(base, "kept");
    r->stale_s = conf_int(conf, "files.multipart_ttl") / 1000 + 3600;
    bool fine = r->open >= 0 && r->kept >= 0 && fsync(base) == 0;
    if (!fine)
        snprintf(text, size, "files.url: %.300s: %s", path, strerror(errno));
    if (base >= 0)
        close(base);
    if (fine)
        return r;
    close_root(r);
    return NULL;
}

const blob_engine_t blob_file = {
    .scheme = "file:",
    .open = open_root,
    .close = close_root,
    .begin = begin,
    .look = look,
    .parts = parts,
    .finish = finish,
    .drop = drop,
    .write_open = file_write_open,
    .write = file_write,
    .write_close = file_write_close,
    .write_drop = file_write_drop,
    .read_open = read_open,
    .tidy = tidy,
    .room = room,
};
