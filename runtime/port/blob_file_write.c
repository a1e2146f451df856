/* blob_file_write: how bytes come into the built-in store: at their place in the upload's one file,
 * hashed on the way, on the disk before they are marked as there. Called by blob_thread.c. */
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "port/blob_file.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define BEHIND (1024 * 1024) /* unwritten pages of a writer: two of these at most */

typedef struct file_write {
    int dir, fd;
    EVP_MD_CTX *sha;
    int64_t flushed, begun; /* up to where the kernel has been told to write, and has written */
} file_write_t;

/* --- marks --- */

static int mark_make(int dir, int64_t part, const char *hex) {
    char name[FILE_NAME];
    file_number_name(name, part);
    if (symlinkat(hex, dir, name) != 0 || fsync(dir) != 0)
        return file_fault("a part cannot be marked");
    return ERR_OK;
}

/* Durably: data that is overwritten must not come back as whole after a crash. */
static int mark_remove(int dir, int64_t part) {
    char name[FILE_NAME];
    file_number_name(name, part);
    if (unlinkat(dir, name, 0) != 0)
        return errno == ENOENT ? ERR_OK : file_fault("a mark cannot be removed");
    return fsync(dir) == 0 ? ERR_OK : file_fault("a mark cannot be removed");
}

/* --- writing --- */

/* Room is taken at once, where the file system can: better refused now than in the middle. What it
 * took before it failed is given back. */
static int take_room(int fd, int64_t at, int64_t len) {
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, at, len) == 0 ||
        (errno != ENOSPC && errno != EDQUOT && errno != EFBIG))
        return ERR_OK;
    int err = file_fault("no room for an upload");
    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len);
    return err;
}

static int open_data(int dir, blob_write_t *w, file_write_t *f) {
    int64_t at = w->part ? (w->part - 1) * w->object.part_size : 0;
    int err = mark_remove(dir, w->part);
    if (err != ERR_OK)
        return err;
    f->fd = openat(dir, "data", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (f->fd < 0)
        return file_fault("an upload cannot be opened");
    if ((err = take_room(f->fd, at, blob_part_bytes(&w->object, w->part))) != ERR_OK) {
        close(f->fd);
        return err;
    }
    f->begun = f->flushed = at;
    return ERR_OK;
}

int file_write_open(blob_thread_t *t, blob_write_t *w) {
    const file_root_t *r = t->base;
    file_write_t f = {-1, -1, NULL, 0, 0};
    if (file_is_kept(r, w->object.id))
        return ERR_NOT_FOUND;
    int err = file_dir_make(r, w->object.id);
    if (err != ERR_OK)
        return err;
    f.dir = file_dir_open(r, w->object.id);
    if (f.dir < 0)
        return file_fault("an upload cannot be opened");
    if ((err = open_data(f.dir, w, &f)) != ERR_OK) {
        close(f.dir);
        return err;
    }
    f.sha = file_sha_new();
    w->own = pool_alloc(sizeof f);
    *(file_write_t *)w->own = f;
    return ERR_OK;
}

/* The kernel writes while bytes come, and a writer waits here for a slow disk, not all at once in
 * the sync at the end, which would hold up the commits of the store on the same disk. */
static int write_behind(file_write_t *f, int64_t end) {
    if (end - f->begun < BEHIND)
        return ERR_OK;
    if (f->begun > f->flushed &&
        sync_file_range(f->fd, f->flushed, f->begun - f->flushed,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) != 0)
        return file_fault("an upload cannot be written");
    f->flushed = f->begun;
    sync_file_range(f->fd, f->begun, end - f->begun, SYNC_FILE_RANGE_WRITE);
    f->begun = end;
    return ERR_OK;
}

int file_write(blob_thread_t *t, blob_write_t *w, slice_t bytes) {
    file_write_t *f = w->own;
    int64_t start = w->part ? (w->part - 1) * w->object.part_size : 0;
    (void)t;
    if (w->at + (int64_t)bytes.len > blob_part_bytes(&w->object, w->part))
        return ERR_TOO_LARGE;
    EVP_DigestUpdate(f->sha, bytes.at, bytes.len);
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = pwrite(f->fd, bytes.at + done, bytes.len - done, start + w->at + (int64_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return file_fault("an upload cannot be written");
        done += (size_t)n;
    }
    w->at += (int64_t)bytes.len;
    return write_behind(f, start + w->at);
}

static void release(blob_write_t *w) {
    file_write_t *f = w->own;
    close(f->fd);
    close(f->dir);
    pool_free(f, sizeof *f);
    w->own = NULL;
}

int file_write_close(blob_thread_t *t, blob_write_t *w, blob_found_t *out) {
    file_write_t *f = w->own;
    char hex[FILE_HEX + 1];
    (void)t;
    file_sha_end(f->sha, hex);
    int err = fdatasync(f->fd) == 0 ? mark_make(f->dir, w->part, hex)
                                    : file_fault("an upload cannot be written");
    file_set_etag(out, hex, 0);
    release(w);
    return err;
}

void file_write_drop(blob_thread_t *t, blob_write_t *w) {
    file_write_t *f = w->own;
    (void)t;
    EVP_MD_CTX_free(f->sha);
    release(w);
}
