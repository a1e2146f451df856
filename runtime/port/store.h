/* store: the durable port. Named operations (schema/DIALECT/ops/NAME.sql, versioned migrations
 * beside them) and one hot operation, append, which commits the messages of many conversations in
 * one transaction (group commit). Chosen by URL (store.url: sqlite:PATH; mysql:// later). It
 * answers by message; callers never see SQL or a thread. Writers: one thread, one transaction for
 * everything that waits (an op that fails rolls back alone). Readers: threads of their own on
 * snapshots: a read asked for after a write was answered sees that write. */
#pragma once
#include "base/conf.h"
#include "port/value.h"
#include "sched/runtime.h"

typedef struct store store_t;

/* Opens, migrates, starts the threads as actors of rt. NULL with a line in fault. Before
 * runtime_start. */
store_t *store_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room);
/* After runtime_stop. */
void store_close(store_t *s);

/* Operation by name: its number, or -1. Numbers are fixed once opened; any thread. */
int store_op(const store_t *s, const char *name);
/* Names of an operation's parameters in order (":user"), count; for scripts that give them by name.
 */
const char *const *store_op_params(const store_t *s, int op, size_t *count);
/* Column names of its rows. */
const char *const *store_op_columns(const store_t *s, int op, size_t *count);
bool store_op_writes(const store_t *s, int op);

/* Starts an operation: `params` (values in order; taken: emptied). The reply comes with reply_verb
 * and cookie: err, and msg body = store_rows. ERR_EXISTS: a unique rule refused (nothing of it was
 * stored). ERR_STALE: an expected row count did not hold. ERR_BUSY: queue full, or somebody else
 * holds the database. ERR_TOO_LARGE: more than 16 MiB of rows. ERR_IO: the disk refused, nothing of
 * it was stored. ERR_TIMEOUT: outcome unknown. Several operations in one go, all or nothing:
 * store_batch_add, store_batch_run. An operation is one statement. */
void store_run(store_t *s, actor_t *self, int op, buf_t *params, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie);

typedef struct store_batch {
    buf_t bytes;
    uint32_t count;
    bool writes;
} store_batch_t; /* {0} is an empty one */
void store_batch_add(store_t *s, store_batch_t *b, int op, buf_t *params);
/* The reply's rows are those of each operation in order (store_rows_next_op between them). Empties
 * b. */
void store_batch_run(store_t *s, actor_t *self, store_batch_t *b, uint32_t timeout_ms,
                     uint32_t reply_verb, uint64_t cookie);

/* Rows of a reply. */
typedef struct store_rows {
    slice_t rest;
    uint32_t columns, rows_left; /* of the current operation */
    int64_t changed;             /* rows a write changed */
    int64_t last_id;             /* of an insert */
} store_rows_t;
bool store_rows_open(store_rows_t *r, const msg_t *reply); /* the first operation's; false: none */
bool store_rows_next_op(store_rows_t *r);
/* Next row: its values are then read by value_next from *row. */
bool store_rows_next(store_rows_t *r, slice_t *row);

/* --- the hot operation. One conversation's messages, in the order in which they shall get their
 * seqs. --- */
typedef struct store_append_item {
    int64_t sender, reply_to;
    int64_t at_ms;
    uint32_t content_type;
    slice_t client_msg_id; /* 1..64 */
    slice_t content;       /* the JSON of `content`, ready to copy into answers */
} store_append_item_t;
typedef struct store_append store_append_t;
store_append_t *store_append_new(int64_t conversation, int64_t first_seq, int64_t epoch);
void store_append_add(store_append_t *a, const store_append_item_t *item); /* copies */
/* Takes a. The answer (reply_verb, cookie; err for all of them) has per item, in order, a
 * store_appended. A repeated (conversation, sender, client_msg_id), also of an earlier item of the
 * same append, stores nothing and gets what is stored, and those behind it close up: seqs of the
 * new ones run first_seq, first_seq+1, .. without hole. So does one whose reply_to is no stored
 * message of this conversation: id 0. ERR_STALE: first_seq is not the next one (somebody else
 * wrote, or a hole would arise); nothing is stored. After ERR_TIMEOUT the owner reads the highest
 * seq anew before it goes on. */
void store_append_run(store_t *s, actor_t *self, store_append_t *a, uint32_t timeout_ms,
                      uint32_t reply_verb, uint64_t cookie);
typedef struct store_appended {
    int64_t id, seq, at_ms;
    bool repeat;
} store_appended_t;
const store_appended_t *store_appended(const msg_t *reply, size_t *count);

/* Queue lengths, commits, rows: read by admin; any thread. */
typedef struct store_stats {
    uint64_t commits, rows, reads, refused, wal_bytes;
    uint32_t write_queue, read_queue;
} store_stats_t;
void store_stats(const store_t *s, store_stats_t *out);
