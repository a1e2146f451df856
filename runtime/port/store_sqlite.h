/* store_sqlite: what the files of the SQLite engine share. Only store_sqlite*.c and the store's own
 * specs include it. */
#pragma once
#include "port/store_in.h"
#include <sqlite3.h>

#define SQLITE_LOG_PAGES                                                                           \
    8000 /* of the WAL; above it the writer checkpoints between transactions                       \
          */
#define SQLITE_LOG_MORE                                                                            \
    1000 /* when readers kept the WAL from being reset: looked at again then                       \
          */

enum {
    SQL_BEGIN,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVE,
    SQL_KEEP,
    SQL_UNDO,
    SQL_INSERT,
    SQL_STORED,
    SQL_TARGET,
    SQL_LAST_SEQ,
    SQL_TAKE_BACK,
    SQL_COUNT
};

/* The newest seq that the writer has given out in a conversation: nothing deletes messages, so what
 * is there reaches at least so far. A place is taken over by whoever comes next, and all are
 * forgotten with a transaction that is not committed. */
#define SQLITE_SEQS 4096 /* power of two */
typedef struct sqlite_seq {
    int64_t conversation, last; /* conversation 0: nothing */
} sqlite_seq_t;

struct store_conn {
    sqlite3 *db; /* NULL: given up; begin makes a new one */
    const char *path;
    const store_ops_t *ops;
    sqlite3_stmt **prepared; /* by operation, made at first use */
    sqlite3_stmt *own[SQL_COUNT];
    bool writer;
    bool lost;            /* the transaction must not be committed */
    int64_t next_id;      /* of a message; the writer is the only one who inserts them */
    sqlite_seq_t *seqs;   /* SQLITE_SEQS of them, the writer's; NULL: it always asks */
    uint64_t deadline_ns; /* of the request that a reader runs; 0 = none */
    runtime_t *rt;
    uint32_t page_bytes;
    uint32_t log_pages;   /* in the WAL after the last commit */
    uint32_t log_checked; /* how long it was at the last checkpoint */
};

/* --- store_sqlite_conn.c --- */
int sqlite_open(store_conn_t *c); /* ERR_OK, or the database says why in sqlite_fault */
void sqlite_close(store_conn_t *c);
const char *sqlite_fault(const store_conn_t *c);
int64_t sqlite_number(store_conn_t *c, const char *sql, int64_t missing);
/* One of the connection's own statements, reset. NULL: could not be prepared; c is lost. */
sqlite3_stmt *sqlite_own(store_conn_t *c, int which);
int sqlite_do(store_conn_t *c, int which); /* steps it once */
/* The code for an error of SQLite; notes whether the transaction is lost with it. */
int sqlite_failed(store_conn_t *c, int rc, const char *doing);
int sqlite_begin(store_conn_t *c, bool writes);
int sqlite_commit(store_conn_t *c);
void sqlite_rollback(store_conn_t *c);
int sqlite_save(store_conn_t *c);
int sqlite_keep(store_conn_t *c);
void sqlite_undo(store_conn_t *c);
uint64_t sqlite_tidy(store_conn_t *c);
void sqlite_forget_seqs(store_conn_t *c);

/* --- store_sqlite_run.c --- */
sqlite3_stmt *sqlite_prepare(store_conn_t *c, slice_t sql, const char **tail);
void sqlite_start(store_conn_t *c, uint64_t deadline_ns);
int sqlite_run(store_conn_t *c, uint32_t op, slice_t params, buf_t *out);
int sqlite_append(store_conn_t *c, const store_append_head_t *head, slice_t items,
                  store_appended_t *out);

/* --- store_sqlite_migrate.c --- */
typedef struct sqlite_step {
    int64_t version;
    const char *name;
    slice_t sql;
} sqlite_step_t;
/* The steps above the database's version, each in a transaction of its own. steps: by rising
 * version. */
int sqlite_migrate(store_conn_t *c, const sqlite_step_t *steps, size_t count, char *fault,
                   size_t room);
int sqlite_migrate_assets(store_conn_t *c, char *fault, size_t room);
