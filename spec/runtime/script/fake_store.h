/* fake_store: the part of the store port that scripts use, in place of the real one: four
 * operations with parameters a and b, whose rows are these parameters. "echo" gives one row, "two"
 * two, "none" none; "exists", "stale", "busy" and "broken" refuse. */
#pragma once
#include "base/err.h"
#include "port/store.h"

static const struct {
    const char *name;
    uint32_t rows;
    int err;
} fake_ops[] = {{"echo", 1, ERR_OK},       {"two", 2, ERR_OK},      {"none", 0, ERR_OK},
                {"exists", 0, ERR_EXISTS}, {"stale", 0, ERR_STALE}, {"busy", 0, ERR_BUSY},
                {"broken", 0, ERR_IO}};

int store_op(const store_t *s, const char *name) {
    (void)s;
    for (int i = 0; i < 7; i++)
        if (strcmp(fake_ops[i].name, name) == 0)
            return i;
    return -1;
}

const char *const *store_op_params(const store_t *s, int op, size_t *count) {
    static const char *const params[] = {":a", ":b"};
    (void)s;
    (void)op;
    *count = 2;
    return params;
}

const char *const *store_op_columns(const store_t *s, int op, size_t *count) {
    static const char *const columns[] = {"a", "b"};
    (void)s;
    (void)op;
    *count = 2;
    return columns;
}

bool store_op_writes(const store_t *s, int op) {
    (void)s;
    return fake_ops[op].err != ERR_OK;
}

/* A result: rows, bytes of a row, then the rows. */
static void fake_result(buf_t *out, int op, buf_t *params) {
    uint32_t head[2] = {fake_ops[op].rows, params->len};
    buf_add(out, head, sizeof head);
    for (uint32_t i = 0; i < head[0]; i++)
        buf_add(out, params->at, params->len);
    buf_free(params);
}

/* By a message to itself, as if the port had answered. */
static void fake_reply(actor_t *self, int err, buf_t *out, uint32_t verb, uint64_t cookie) {
    msg_t *m = msg_new(verb, 0);
    m->cookie = cookie;
    m->err = err;
    if (err == ERR_OK)
        m->body = block_of(out->at, out->len);
    buf_free(out);
    actor_send(self, actor_self(self), m);
}

void store_run(store_t *s, actor_t *self, int op, buf_t *params, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie) {
    buf_t out = {0};
    (void)s;
    (void)timeout_ms;
    fake_result(&out, op, params);
    fake_reply(self, fake_ops[op].err, &out, reply_verb, cookie);
}

static int fake_batch_err; /* one batch at a time */

void store_batch_add(store_t *s, store_batch_t *b, int op, buf_t *params) {
    (void)s;
    if (b->count++ == 0)
        fake_batch_err = ERR_OK;
    if (fake_ops[op].err)
        fake_batch_err = fake_ops[op].err;
    fake_result(&b->bytes, op, params);
}

void store_batch_run(store_t *s, actor_t *self, store_batch_t *b, uint32_t timeout_ms,
                     uint32_t reply_verb, uint64_t cookie) {
    (void)s;
    (void)timeout_ms;
    fake_reply(self, fake_batch_err, &b->bytes, reply_verb, cookie);
    *b = (store_batch_t){0};
}

static uint32_t fake_row_len;

bool store_rows_next_op(store_rows_t *r) {
    uint32_t head[2];
    if (r->rest.len < sizeof head)
        return false;
    memcpy(head, r->rest.at, sizeof head);
    r->rest.at += sizeof head;
    r->rest.len -= sizeof head;
    r->rows_left = head[0];
    fake_row_len = head[1];
    r->columns = 2;
    r->changed = 3;
    r->last_id = 9;
    return true;
}

bool store_rows_open(store_rows_t *r, const msg_t *reply) {
    r->rest = (slice_t){reply->body->data, reply->body->len};
    return store_rows_next_op(r);
}

bool store_rows_next(store_rows_t *r, slice_t *row) {
    if (r->rows_left == 0)
        return false;
    r->rows_left--;
    *row = (slice_t){r->rest.at, fake_row_len};
    r->rest.at += fake_row_len;
    r->rest.len -= fake_row_len;
    return true;
}
