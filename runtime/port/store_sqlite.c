/* store_sqlite: the embedded engine: one file in WAL mode with synchronous=FULL, so that what was
 * acknowledged survives a loss of power. This file opens and closes it: the lock that makes this
 * process the only node on the file, the migrations, a look at every operation. */
#include "port/store_sqlite.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "port/store_sqlite_vfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

typedef struct store_sqlite_base {
    char *path;
    int lock; /* descriptor of PATH.lock, or -1 */
    uint32_t count;
    store_conn_t conns[STORE_READERS + 1]; /* the writer first */
} store_sqlite_base_t;

/* --- the file --- */
static char *path_of(slice_t place, const conf_t *conf) {
    char path[4096];
    if (place.len)
        return store_text(place.at, place.len);
    int n = snprintf(path, sizeof path, "%s/parley.db", conf_text(conf, "data.dir").at);
    return store_text(path, (size_t)n < sizeof path ? (size_t)n : sizeof path - 1);
}

/* Kept until the process ends it: two nodes on one file would both think they know the next id. The
 * lock file stays; removing it would let a third one lock another file of that name. */
static int lock_file(store_sqlite_base_t *b, char *fault, size_t room) {
    char path[4200];
    snprintf(path, sizeof path, "%s.lock", b->path);
    b->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (b->lock < 0) {
        snprintf(fault, room, "store.url: %s: %s", path, strerror(errno));
        return ERR_IO;
    }
    if (flock(b->lock, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    if (errno == EWOULDBLOCK)
        snprintf(fault, room, "store.url: %s is in use by another process (it holds %s)", b->path,
                 path);
    else
        snprintf(fault, room, "store.url: %s: %s", path, strerror(errno));
    return ERR_BUSY;
}

/* SQLite would let everybody read it; its WAL gets what the file has. */
static void make_private(const store_sqlite_base_t *b) {
    int fd = open(b->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd >= 0)
        close(fd); /* no SQLite has it open yet: closing drops nobody's POSIX locks */
}

static int connect(store_t *s, store_conn_t *c, bool writer, char *fault, size_t room) {
    store_sqlite_base_t *b = s->base;
    *c = (store_conn_t){.path = b->path, .ops = &s->ops, .writer = writer, .rt = s->rt};
    c->prepared = pool_zalloc((s->ops.count + 1) * sizeof *c->prepared);
    if (writer)
        c->seqs = pool_zalloc(SQLITE_SEQS * sizeof *c->seqs);
    b->count++;
    if (sqlite_open(c) == ERR_OK)
        return ERR_OK;
    snprintf(fault, room, "store.url: %s: %s", b->path, sqlite_fault(c));
    return ERR_IO;
}

/* --- the operations --- */
static char **keep_names(sqlite3_stmt *st, uint32_t count, bool params) {
    char **names = malloc((count + 1) * sizeof *names);
    if (!names)
        log_die("store", "no memory");
    for (uint32_t i = 0; i < count; i++) {
        const char *name =
            params ? sqlite3_bind_parameter_name(st, (int)i + 1) : sqlite3_column_name(st, (int)i);
        names[i] = store_text(name ? name : "?", name ? strlen(name) : 1);
    }
    return names;
}

/* Something but comments and spaces behind the first statement? */
static bool has_more(store_conn_t *c, const char *tail, slice_t sql) {
    const char *end;
    sqlite3_stmt *st = sqlite_prepare(c, (slice_t){tail, (size_t)(sql.at + sql.len - tail)}, &end);
    int rc = sqlite3_errcode(c->db);
    sqlite3_finalize(st);
    return st || rc != SQLITE_OK;
}

static const char *describe(store_conn_t *c, store_op_t *op, sqlite3_stmt **out) {
    const char *tail = op->sql.at;
    sqlite3_stmt *st = *out = sqlite_prepare(c, op->sql, &tail);
    if (!st)
        return sqlite3_errcode(c->db) == SQLITE_OK ? "no statement" : sqlite3_errmsg(c->db);
    if (has_more(c, tail, op->sql))
        return "more than one statement";
    if (!sqlite3_stmt_readonly(st) != op->writes)
        return op->writes ? "writes nothing, but is called write" : "writes, but is called read";
    op->param_count = (uint32_t)sqlite3_bind_parameter_count(st);
    op->column_count = (uint32_t)sqlite3_column_count(st);
    op->params = keep_names(st, op->param_count, true);
    op->columns = keep_names(st, op->column_count, false);
    return NULL;
}

static int describe_all(store_t *s, store_conn_t *c, char *fault, size_t room) {
    for (uint32_t i = 0; i < s->ops.count; i++) {
        store_op_t *op = &s->ops.at[i];
        const char *why = describe(c, op, &c->prepared[i]);
        if (why) {
            snprintf(fault, room, "%s: %s: %s", op->file, op->name, why);
            return ERR_INTERNAL;
        }
    }
    return ERR_OK;
}

/* --- open, close --- */
static int open_base(store_t *s, char *fault, size_t room) {
    store_sqlite_base_t *b = s->base;
    int err = lock_file(b, fault, room);
    if (err != ERR_OK)
        return err;
    make_private(b);
    err = connect(s, &b->conns[0], true, fault, room);
    if (err == ERR_OK)
        err = sqlite_migrate_assets(&b->conns[0], fault, room);
    if (err == ERR_OK)
        err = describe_all(s, &b->conns[0], fault, room);
    if (err != ERR_OK)
        return err;
    /* Nobody else is there yet: the only moment at which TRUNCATE holds nobody up. */
    sqlite3_wal_checkpoint_v2(b->conns[0].db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    b->conns[0].next_id = sqlite_number(&b->conns[0], "SELECT max(id) FROM message", 0) + 1;
    s->writer = (store_port_t){.store = s, .conn = &b->conns[0]};
    for (uint32_t i = 0; i < s->reader_count && err == ERR_OK; i++) {
        err = connect(s, &b->conns[i + 1], false, fault, room);
        s->readers[i] = (store_port_t){.store = s, .conn = &b->conns[i + 1]};
    }
    return err;
}

static int engine_open(store_t *s, slice_t place, const conf_t *conf, char *fault, size_t room) {
    store_sqlite_base_t *b = s->base = pool_zalloc(sizeof *b);
    b->path = path_of(place, conf);
    b->lock = -1;
    if (b->path[0] == ':') {
        snprintf(fault, room, "store.url: sqlite%s: a file is needed", b->path);
        return ERR_BAD_REQUEST;
    }
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* a lock of all threads at every allocation */
    if (sqlite_vfs_register() != SQLITE_OK) {
        snprintf(fault, room, "store.url: SQLite has no file system");
        return ERR_IO;
    }
    return open_base(s, fault, room);
}

/* The writer last: as the last one it checkpoints and removes the WAL. */
static void engine_close(store_t *s) {
    store_sqlite_base_t *b = s->base;
    if (!b)
        return;
    while (b->count > 0) {
        store_conn_t *c = &b->conns[--b->count];
        sqlite_close(c);
        pool_free(c->prepared, (s->ops.count + 1) * sizeof *c->prepared);
        pool_free(c->seqs, SQLITE_SEQS * sizeof *c->seqs);
    }
    if (b->lock >= 0)
        close(b->lock);
    free(b->path);
    pool_free(b, sizeof *b);
}

static bool engine_lost(const store_conn_t *c) {
    return c->lost;
}

const store_engine_t store_sqlite = {.scheme = "sqlite:",
                                     .dialect = "sqlite",
                                     .open = engine_open,
                                     .close = engine_close,
                                     .begin = sqlite_begin,
                                     .commit = sqlite_commit,
                                     .rollback = sqlite_rollback,
                                     .save = sqlite_save,
                                     .keep = sqlite_keep,
                                     .undo = sqlite_undo,
                                     .start = sqlite_start,
                                     .run = sqlite_run,
                                     .append = sqlite_append,
                                     .lost = engine_lost,
                                     .tidy = sqlite_tidy};
