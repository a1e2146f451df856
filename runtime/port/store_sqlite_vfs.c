/* store_sqlite_vfs: the WAL's writes joined into runs. Used by the writer's thread, and by the one
 * that opens and closes the store.
 *
 * A run is consecutive bytes of the WAL that SQLite has written and the system has not got yet. It
 * goes out when the next write is not the byte behind it, when it is full, and before a sync, a
 * read, a look at the size or a truncation. Why nobody else misses it: other connections look only
 * at frames that the wal-index tells of, and a commit gets there after its sync (sqlite3WalFrames);
 * frames that went to the WAL before their commit, because the cache was full, are read through
 * this file alone. A run that is left when the write lock is given back belongs to a transaction
 * that was rolled back: it must go, because whoever locks next writes to the same place.
 *
 * No file of ours wraps one of the system's: it is the system's own, with our bytes behind it and
 * some of its functions replaced. */
#include "port/store_sqlite_vfs.h"
#include <sqlite3.h>
#include <string.h>

#define WRITE_LOCK 0 /* its place among the WAL's locks, part of SQLite's file format */

typedef struct run_file {
    const sqlite3_io_methods *real;
    sqlite3_io_methods methods; /* the real ones, some replaced */
    struct run_file *peer;      /* of a WAL its database, of a database its WAL, or NULL */
    /* of a WAL */
    char *run;
    int len;
    sqlite3_int64 at; /* where the run begins in the file */
    int failed;       /* code of the write that failed late; 0 = none */
} run_file_t;

static sqlite3_vfs *under; /* the system's */
static int file_bytes;     /* of a file of it, rounded up: ours begin behind */

static run_file_t *of(sqlite3_file *f) {
    return (run_file_t *)((char *)f + file_bytes);
}

/* --- the WAL --- */
static int write_out(sqlite3_file *f) {
    run_file_t *w = of(f);
    int n = w->len;
    w->len = 0;
    if (n && !w->failed)
        w->failed = w->real->xWrite(f, w->run, n, w->at);
    return w->failed;
}

static int wal_write(sqlite3_file *f, const void *at, int n, sqlite3_int64 offset) {
    run_file_t *w = of(f);
    if (w->len && (offset != w->at + w->len || n > SQLITE_VFS_RUN - w->len))
        write_out(f);
    if (w->failed)
        return w->failed;
    if (n > SQLITE_VFS_RUN)
        return w->real->xWrite(f, at, n, offset);
    if (w->len == 0)
        w->at = offset;
    memcpy(w->run + w->len, at, (size_t)n);
    w->len += n;
    return SQLITE_OK;
}

static int wal_sync(sqlite3_file *f, int flags) {
    int rc = write_out(f);
    return rc == SQLITE_OK ? of(f)->real->xSync(f, flags) : rc;
}

static int wal_read(sqlite3_file *f, void *at, int n, sqlite3_int64 offset) {
    int rc = write_out(f);
    return rc == SQLITE_OK ? of(f)->real->xRead(f, at, n, offset) : rc;
}

static int wal_size(sqlite3_file *f, sqlite3_int64 *size) {
    int rc = write_out(f);
    return rc == SQLITE_OK ? of(f)->real->xFileSize(f, size) : rc;
}

static int wal_truncate(sqlite3_file *f, sqlite3_int64 size) {
    int rc = write_out(f);
    return rc == SQLITE_OK ? of(f)->real->xTruncate(f, size) : rc;
}

static void drop_run(run_file_t *w) {
    w->len = 0;
    w->failed = SQLITE_OK;
}

/* --- closing --- */

/* A run that is left was not committed. */
static int close_file(sqlite3_file *f) {
    run_file_t *o = of(f);
    if (o->peer)
        o->peer->peer = NULL;
    sqlite3_free(o->run);
    return o->real->xClose(f);
}

/* --- the database --- */

/* The WAL's locks are the database's. */
static int database_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
    run_file_t *d = of(f);
    if (d->peer && offset == WRITE_LOCK && (flags & SQLITE_SHM_UNLOCK))
        drop_run(d->peer);
    return d->real->xShmLock(f, offset, n, flags);
}

/* --- opening --- */
static void take_over(sqlite3_file *f) {
    run_file_t *o = of(f);
    *o = (run_file_t){.real = f->pMethods, .methods = *f->pMethods};
    o->methods.xClose = close_file;
    f->pMethods = &o->methods;
}

static int take_wal(sqlite3_file *f, run_file_t *database) {
    run_file_t *w = of(f);
    char *run = sqlite3_malloc(SQLITE_VFS_RUN);
    if (!run) {
        f->pMethods->xClose(f);
        f->pMethods = NULL;
        return SQLITE_NOMEM;
    }
    take_over(f);
    w->run = run;
    w->peer = database;
    database->peer = w;
    w->methods.xWrite = wal_write;
    w->methods.xSync = wal_sync;
    w->methods.xRead = wal_read;
    w->methods.xFileSize = wal_size;
    w->methods.xTruncate = wal_truncate;
    return SQLITE_OK;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out) {
    (void)vfs;
    int rc = under->xOpen(under, name, f, flags, out);
    if (rc != SQLITE_OK || !f->pMethods)
        return rc;
    if (flags & SQLITE_OPEN_WAL)
        return take_wal(f, of(sqlite3_database_file_object(name)));
    if (flags & SQLITE_OPEN_MAIN_DB) {
        take_over(f);
        of(f)->methods.xShmLock = database_shm_lock;
    }
    return rc;
}

int sqlite_vfs_register(void) {
    static sqlite3_vfs vfs;
    int rc = sqlite3_initialize();
    if (rc != SQLITE_OK || under == sqlite3_vfs_find(NULL))
        return rc;
    under = sqlite3_vfs_find(NULL);
    if (!under)
        return SQLITE_ERROR;
    file_bytes = (under->szOsFile + 15) / 16 * 16;
    vfs = *under;
    vfs.zName = SQLITE_VFS;
    vfs.pNext = NULL;
    vfs.szOsFile = file_bytes + (int)sizeof(run_file_t);
    vfs.xOpen = open_file;
    return sqlite3_vfs_register(&vfs, 0);
}
