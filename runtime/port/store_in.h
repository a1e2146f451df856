/* store_in: what the files of the store share: operations, the engine that a back end is, requests
 * on their way. Only store*.c and the store's own specs include it. */
#pragma once
#include "port/store.h"

#define STORE_READERS     32
#define STORE_GROUP       1024 /* requests of one transaction; what a thread actor takes at most */
#define STORE_REPLY_MAX   (16u << 20)  /* bytes of rows of one answer */
#define STORE_QUEUE_BYTES (128u << 20) /* bytes that may wait for the writer, or for a reader */

/* --- store_ops.c: the operations of a dialect, from schema/DIALECT/ops, sorted by name --- */
typedef struct store_op {
    char *name, *file;
    slice_t sql; /* one statement and comments; of the assets */
    bool writes;
    int64_t expect; /* rows that must change; -1: any number */
    char **params, **columns;
    uint32_t param_count, column_count;
} store_op_t;
typedef struct store_ops {
    store_op_t *at;
    uint32_t count;
} store_ops_t;

int store_ops_load(store_ops_t *ops, const char *dialect, char *fault, size_t room);
/* Adds the operations of one file. Takes over nothing of `sql`, which must live as long as ops. */
int store_ops_parse(store_ops_t *ops, const char *file, slice_t sql, char *fault, size_t room);
int store_ops_sort(store_ops_t *ops, char *fault, size_t room);
void store_ops_free(store_ops_t *ops);
char *store_text(const char *at, size_t len); /* a copy by malloc, NUL-terminated */

/* --- requests --- */
enum { STORE_RUN = MSG_USER, STORE_APPEND };
typedef struct store_port store_port_t;
typedef struct store_head { /* data of each begins with it; behind it the operations of STORE_RUN */
    store_port_t *port;     /* that counts it among those that wait; NULL: counted out */
    uint32_t count, spare;  /* operations, or items */
} store_head_t;
typedef struct store_run_op { /* behind it the parameters */
    uint32_t op, len;
} store_run_op_t;
typedef struct store_append_head { /* data of STORE_APPEND; body: the items */
    store_head_t head;
    int64_t conversation, first_seq, epoch;
} store_append_head_t;
typedef struct store_item_head { /* behind it client_msg_id and content */
    int64_t sender, reply_to, at_ms;
    uint32_t content_type, id_len, content_len, spare;
} store_item_head_t;
/* Once for each: by its answer, or by its end when the runtime has answered it (its deadline). */
void store_count_out(msg_t *m);
/* Each reads the next one from *rest and moves it on. */
store_run_op_t store_next_op(slice_t *rest, slice_t *params);
store_append_item_t store_next_item(slice_t *rest);

/* --- results: a head for each operation, its rows behind it, each with its length in front --- */
typedef struct store_result {
    uint32_t columns, rows;
    int64_t changed, last_id;
} store_result_t;
uint32_t store_result_begin(buf_t *out); /* gives its place */
uint32_t store_row_begin(buf_t *out);
void store_row_end(buf_t *out, uint32_t place);
void store_result_end(buf_t *out, uint32_t place, const store_result_t *r);

/* --- engine: what a back end is. A connection is used by one thread at a time. --- */
typedef struct store_conn store_conn_t;
typedef struct store_engine {
    const char *scheme, *dialect;
    /* Opens, migrates, describes the operations; makes the writer's and the readers' connections.
     */
    int (*open)(store_t *s, slice_t place, const conf_t *conf, char *fault, size_t room);
    void (*close)(store_t *s);
    int (*begin)(store_conn_t *c, bool writes); /* after a lost connection: a new one */
    /* Anything but ERR_OK: the outcome is not known, the connection is given up. */
    int (*commit)(store_conn_t *c);
    void (*rollback)(store_conn_t *c);
    int (*save)(store_conn_t *c); /* what follows can be taken back alone */
    int (*keep)(store_conn_t *c);
    void (*undo)(store_conn_t *c);
    void (*start)(store_conn_t *c, uint64_t deadline_ns); /* a request begins */
    int (*run)(store_conn_t *c, uint32_t op, slice_t params, buf_t *out);
    /* ERR_STALE: nothing of it is stored. Fills a result for each item. */
    int (*append)(store_conn_t *c, const store_append_head_t *head, slice_t items,
                  store_appended_t *out);
    /* An error after which the transaction must not be committed. */
    bool (*lost)(const store_conn_t *c);
    /* Between transactions, after their answers. Gives the bytes of the log. */
    uint64_t (*tidy)(store_conn_t *c);
} store_engine_t;
extern const store_engine_t store_sqlite;

/* --- the store --- */
struct store_port { /* one thread actor */
    store_t *store;
    store_conn_t *conn;
    actor_ref_t ref;
    buf_t scratch; /* results are built here */
    _Atomic uint32_t queued;
    _Atomic uint64_t bytes;
};
typedef struct store_outcome {
    int err;
    msg_t *reply;
} store_outcome_t;

struct store {
    const store_engine_t *engine;
    void *base; /* the engine's own */
    runtime_t *rt;
    store_ops_t ops;
    uint32_t batch, queue, reader_count;
    store_port_t writer;
    store_port_t readers[STORE_READERS];
    _Atomic uint64_t commits, rows, reads, refused, log_bytes;
    store_outcome_t outcomes[STORE_GROUP]; /* the writer's */
};

/* --- store_thread.c --- */
int store_threads(store_t *s, char *fault, size_t room);
