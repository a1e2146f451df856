/* fault_vfs: SQLite's file system with a hand on it: writes to the WAL that find the disk full,
 * syncs that fail or that wait. It stands in front of the system's own and is the default while a
 * spec runs. */
#pragma once
#include <sqlite3.h> /* and nothing of spec.h: the world of spec/sim has this, too */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

static struct {
    _Atomic bool full;       /* writes to the WAL say SQLITE_FULL */
    _Atomic bool sync_fails; /* syncs of the WAL say SQLITE_IOERR_FSYNC */
    _Atomic bool sync_waits; /* syncs of the WAL wait until this is taken away */
    _Atomic int let_pass;    /* so many of them go on all the same */
    _Atomic int waiting;     /* syncs that wait now */
    _Atomic int syncs;       /* of the WAL */
    _Atomic int writes;      /* to the WAL */
    _Atomic int failed;      /* writes and syncs that were made to fail */
    _Atomic int opens;       /* of a database file */
} fault;

static void (*fault_on_sync)(void); /* called before each sync of the WAL; NULL: nobody */

typedef struct fault_file {
    sqlite3_file base;
    bool wal;
    sqlite3_file *real;
} fault_file_t;

static sqlite3_vfs *fault_under;

static sqlite3_file *real_of(sqlite3_file *f) {
    return ((fault_file_t *)f)->real;
}
#define REAL(f) real_of(f)->pMethods

static int fault_close(sqlite3_file *f) {
    return REAL(f)->xClose(real_of(f));
}
static int fault_read(sqlite3_file *f, void *at, int n, sqlite3_int64 offset) {
    return REAL(f)->xRead(real_of(f), at, n, offset);
}
static int fault_write(sqlite3_file *f, const void *at, int n, sqlite3_int64 offset) {
    if (((fault_file_t *)f)->wal) {
        fault.writes++;
        if (fault.full) {
            fault.failed++;
            return SQLITE_FULL;
        }
    }
    return REAL(f)->xWrite(real_of(f), at, n, offset);
}
static int fault_truncate(sqlite3_file *f, sqlite3_int64 size) {
    return REAL(f)->xTruncate(real_of(f), size);
}
static bool fault_may_pass(void) {
    int left = fault.let_pass;
    return left > 0 && atomic_compare_exchange_strong(&fault.let_pass, &left, left - 1);
}
static int fault_sync(sqlite3_file *f, int flags) {
    if (((fault_file_t *)f)->wal) {
        if (fault_on_sync)
            fault_on_sync();
        fault.waiting++;
        while (fault.sync_waits && !fault_may_pass())
            nanosleep(&(struct timespec){0, 1000000}, NULL);
        fault.waiting--;
        fault.syncs++;
        if (fault.sync_fails) {
            fault.failed++;
            return SQLITE_IOERR_FSYNC;
        }
    }
    return REAL(f)->xSync(real_of(f), flags);
}
static int fault_size(sqlite3_file *f, sqlite3_int64 *size) {
    return REAL(f)->xFileSize(real_of(f), size);
}
static int fault_lock(sqlite3_file *f, int level) {
    return REAL(f)->xLock(real_of(f), level);
}
static int fault_unlock(sqlite3_file *f, int level) {
    return REAL(f)->xUnlock(real_of(f), level);
}
static int fault_reserved(sqlite3_file *f, int *out) {
    return REAL(f)->xCheckReservedLock(real_of(f), out);
}
static int fault_control(sqlite3_file *f, int op, void *arg) {
    return REAL(f)->xFileControl(real_of(f), op, arg);
}
static int fault_sector(sqlite3_file *f) {
    return REAL(f)->xSectorSize(real_of(f));
}
static int fault_character(sqlite3_file *f) {
    return REAL(f)->xDeviceCharacteristics(real_of(f));
}
static int fault_shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **out) {
    return REAL(f)->xShmMap(real_of(f), region, size, extend, out);
}
static int fault_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
    return REAL(f)->xShmLock(real_of(f), offset, n, flags);
}
static void fault_shm_barrier(sqlite3_file *f) {
    REAL(f)->xShmBarrier(real_of(f));
}
static int fault_shm_unmap(sqlite3_file *f, int remove) {
    return REAL(f)->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods fault_methods = {2,
                                                 fault_close,
                                                 fault_read,
                                                 fault_write,
                                                 fault_truncate,
                                                 fault_sync,
                                                 fault_size,
                                                 fault_lock,
                                                 fault_unlock,
                                                 fault_reserved,
                                                 fault_control,
                                                 fault_sector,
                                                 fault_character,
                                                 fault_shm_map,
                                                 fault_shm_lock,
                                                 fault_shm_barrier,
                                                 fault_shm_unmap,
                                                 NULL,
                                                 NULL};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out) {
    (void)vfs;
    fault_file_t *file = (fault_file_t *)f;
    file->base.pMethods = NULL;
    file->wal = flags & SQLITE_OPEN_WAL;
    file->real = (sqlite3_file *)(file + 1);
    int rc = fault_under->xOpen(fault_under, name, file->real, flags, out);
    fault.opens += (flags & SQLITE_OPEN_MAIN_DB) != 0;
    if (rc == SQLITE_OK)
        file->base.pMethods = &fault_methods;
    return rc;
}

static void fault_install(void) {
    static sqlite3_vfs vfs;
    memset(&fault, 0, sizeof fault);
    if (fault_under)
        return;
    sqlite3_initialize();
    fault_under = sqlite3_vfs_find(NULL);
    vfs = *fault_under;
    vfs.zName = "fault";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(fault_file_t) + fault_under->szOsFile;
    vfs.xOpen = fault_open;
    sqlite3_vfs_register(&vfs, 1);
}
