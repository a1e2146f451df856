/* store_sqlite_conn: a connection: how it is set up, its transactions, what its errors mean, and
 * the checkpoint. Used by one thread at a time. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "port/store_sqlite.h"
#include "port/store_sqlite_vfs.h"
#include <stdlib.h>

/* --- open --- */

/* Nothing of this is kept in the file but the WAL mode: each connection says it again. No mmap: an
 * I/O error shall be an error, not a SIGBUS. Checkpoints are ours (sqlite_tidy); secure_delete is
 * on in Debian and would double the cost of deletes. */
static const char setup[] = "PRAGMA secure_delete=OFF;"
                            "PRAGMA synchronous=FULL;"
                            "PRAGMA foreign_keys=OFF;"
                            "PRAGMA temp_store=MEMORY;"
                            "PRAGMA mmap_size=0;"
                            "PRAGMA wal_autocheckpoint=0;"
                            "PRAGMA journal_size_limit=67108864;";
#define WRITER_CACHE "PRAGMA cache_size=-131072;" /* KiB */
#define READER_CACHE "PRAGMA cache_size=-16384;"
#define BUSY_MS      2000 /* others than us: a backup, a person at a shell */

static int note_log(void *arg, sqlite3 *db, const char *name, int pages) {
    (void)db, (void)name;
    ((store_conn_t *)arg)->log_pages = (uint32_t)pages;
    return SQLITE_OK;
}

/* A reader gives up a query whose asker has. */
#define STEPS 20000
static int past_deadline(void *arg) {
    const store_conn_t *c = arg;
    return c->deadline_ns && runtime_fresh_ns(c->rt) >= c->deadline_ns;
}

const char *sqlite_fault(const store_conn_t *c) {
    return c->db ? sqlite3_errmsg(c->db) : "no memory";
}

int64_t sqlite_number(store_conn_t *c, const char *sql, int64_t missing) {
    sqlite3_stmt *st = NULL;
    int64_t n = missing;
    if (sqlite3_prepare_v2(c->db, sql, -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
        n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static bool is_wal(store_conn_t *c) {
    sqlite3_stmt *st = NULL;
    bool wal = sqlite3_prepare_v2(c->db, "PRAGMA journal_mode=WAL", -1, &st, NULL) == SQLITE_OK &&
               sqlite3_step(st) == SQLITE_ROW &&
               strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
    sqlite3_finalize(st);
    return wal;
}

int sqlite_open(store_conn_t *c) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (c->writer ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(c->path, &c->db, flags, c->writer ? SQLITE_VFS : NULL) != SQLITE_OK)
        return ERR_IO;
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, BUSY_MS);
    if (sqlite3_exec(c->db, setup, NULL, NULL, NULL) != SQLITE_OK || !is_wal(c) ||
        sqlite3_exec(c->db, c->writer ? WRITER_CACHE : READER_CACHE, NULL, NULL, NULL) != SQLITE_OK)
        return ERR_IO;
    c->page_bytes = (uint32_t)sqlite_number(c, "PRAGMA page_size", 4096) + 24;
    if (c->writer)
        sqlite3_wal_hook(c->db, note_log, c);
    else
        sqlite3_progress_handler(c->db, STEPS, past_deadline, c);
    c->lost = false;
    return ERR_OK;
}

void sqlite_forget_seqs(store_conn_t *c) {
    if (c->seqs)
        memset(c->seqs, 0, SQLITE_SEQS * sizeof *c->seqs);
}

void sqlite_close(store_conn_t *c) {
    sqlite_forget_seqs(c);
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(c->own[i]);
        c->own[i] = NULL;
    }
    for (uint32_t i = 0; i < c->ops->count; i++) {
        sqlite3_finalize(c->prepared[i]);
        c->prepared[i] = NULL;
    }
    sqlite3_close(c->db);
    c->db = NULL;
}

/* --- its own statements --- */
static const char *const own_sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE", /* a read that becomes a write would meet BUSY_SNAPSHOT */
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVE] = "SAVEPOINT s",
    [SQL_KEEP] = "RELEASE s",
    [SQL_UNDO] = "ROLLBACK TO s",
    [SQL_INSERT] = "INSERT INTO message (id, conversation, seq, sender, client_msg_id, at_ms, type,"
                   " reply_to, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_STORED] = "SELECT id, seq, at_ms FROM message"
                   " WHERE conversation = ? AND sender = ? AND client_msg_id = ?",
    [SQL_TARGET] = "SELECT 1 FROM message WHERE id = ? AND conversation = ?",
    [SQL_LAST_SEQ] = "SELECT max(seq) FROM message WHERE conversation = ?",
    [SQL_TAKE_BACK] = "DELETE FROM message WHERE id BETWEEN ? AND ?"};

sqlite3_stmt *sqlite_own(store_conn_t *c, int which) {
    const char *tail;
    if (!c->own[which])
        c->own[which] = sqlite_prepare(c, slice_of(own_sql[which]), &tail);
    if (!c->own[which])
        sqlite_failed(c, sqlite3_extended_errcode(c->db), own_sql[which]);
    return c->own[which];
}

int sqlite_do(store_conn_t *c, int which) {
    sqlite3_stmt *st = sqlite_own(c, which);
    if (!st)
        return ERR_IO;
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? ERR_OK : sqlite_failed(c, rc, own_sql[which]);
}

/* --- errors --- */
static bool loses(const store_conn_t *c, int rc) {
    switch (rc & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
        return true;
    }
    return c->writer && sqlite3_get_autocommit(c->db); /* it rolled the whole transaction back */
}

/* A unique rule refused? */
static bool is_taken(int rc) {
    return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
           rc == SQLITE_CONSTRAINT_ROWID;
}

int sqlite_failed(store_conn_t *c, int rc, const char *doing) {
    if (is_taken(rc) && !loses(c, rc))
        return ERR_EXISTS;
    switch (rc & 0xff) {
    case SQLITE_INTERRUPT:
        return ERR_TIMEOUT;
    case SQLITE_TOOBIG:
        return ERR_TOO_LARGE;
    case SQLITE_BUSY:
        log_warn("store", "%s: the database is locked by somebody else", doing);
        return ERR_BUSY;
    }
    c->lost = c->writer && loses(c, rc);
    log_error("store", "%s: %s (%d)", doing, sqlite3_errmsg(c->db), rc);
    return c->lost ? ERR_IO : ERR_INTERNAL;
}

/* --- transactions --- */

/* After a failed commit the connection was given up: what the file holds is read anew. */
static int open_again(store_conn_t *c) {
    int err = sqlite_open(c);
    if (err == ERR_OK) {
        c->next_id = sqlite_number(c, "SELECT max(id) FROM message", 0) + 1;
        log_warn("store", "connection to %s opened again", c->path);
        return ERR_OK;
    }
    log_error("store", "%s: %s", c->path, sqlite_fault(c));
    sqlite_close(c);
    return err;
}

int sqlite_begin(store_conn_t *c, bool writes) {
    if (!c->db && open_again(c) != ERR_OK)
        return ERR_IO;
    c->lost = false;
    int err = sqlite_do(c, writes ? SQL_BEGIN : SQL_BEGIN_READ);
    if (err != ERR_OK && c->lost)
        sqlite_close(c);
    return err;
}

/* A commit that failed is never tried again: the kernel may have dropped the pages and would then
 * report success. */
int sqlite_commit(store_conn_t *c) {
    int err = sqlite_do(c, SQL_COMMIT);
    if (err == ERR_OK)
        return ERR_OK;
    sqlite_rollback(c);
    sqlite_close(c);
    return err;
}

void sqlite_rollback(store_conn_t *c) {
    sqlite_forget_seqs(c);
    if (!c->db || sqlite3_get_autocommit(c->db))
        return;
    sqlite_do(c, SQL_ROLLBACK);
    if (c->writer && !sqlite3_get_autocommit(c->db)) /* not even that: begin makes a new one */
        sqlite_close(c);
}

int sqlite_save(store_conn_t *c) {
    return sqlite_do(c, SQL_SAVE);
}

int sqlite_keep(store_conn_t *c) {
    return sqlite_do(c, SQL_KEEP);
}

void sqlite_undo(store_conn_t *c) {
    if (sqlite_do(c, SQL_UNDO) == ERR_OK)
        sqlite_do(c, SQL_KEEP);
    else
        c->lost = true;
}

/* --- the log --- */

/* Passive: it holds nobody up. By the writer between transactions, so that all of the log is copied
 * and the next transaction can begin it anew; one from another thread would never get there. When a
 * reader is in the way, the log grows a bit and it is tried again. */
uint64_t sqlite_tidy(store_conn_t *c) {
    if (!c->db)
        return 0;
    if (c->log_pages < c->log_checked)
        c->log_checked = 0;
    if (c->log_pages >= SQLITE_LOG_PAGES &&
        (c->log_checked == 0 || c->log_pages >= c->log_checked + SQLITE_LOG_MORE)) {
        int rc = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (rc != SQLITE_OK && rc != SQLITE_BUSY)
            log_error("store", "checkpoint: %s (%d)", sqlite3_errmsg(c->db), rc);
        c->log_checked = c->log_pages;
    }
    return (uint64_t)c->log_pages * c->page_bytes;
}
