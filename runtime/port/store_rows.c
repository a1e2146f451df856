/* store_rows: the bytes of requests and answers of the store: rows, batches, appends. Any thread;
 * the caller owns what it builds. */
#include "base/pool.h"
#include "port/store_in.h"
#include <assert.h>

/* --- answers --- */
static bool take(slice_t *rest, void *out, size_t n) {
    if (rest->len < n)
        return false;
    memcpy(out, rest->at, n);
    rest->at += n;
    rest->len -= n;
    return true;
}

uint32_t store_result_begin(buf_t *out) {
    buf_room(out, sizeof(store_result_t));
    out->len += sizeof(store_result_t);
    return out->len - (uint32_t)sizeof(store_result_t);
}

void store_result_end(buf_t *out, uint32_t place, const store_result_t *r) {
    memcpy(out->at + place, r, sizeof *r);
}

uint32_t store_row_begin(buf_t *out) {
    buf_room(out, sizeof(uint32_t));
    out->len += sizeof(uint32_t);
    return out->len;
}

void store_row_end(buf_t *out, uint32_t place) {
    uint32_t len = out->len - place;
    memcpy(out->at + place - sizeof len, &len, sizeof len);
}

bool store_rows_open(store_rows_t *r, const msg_t *reply) {
    *r = (store_rows_t){0};
    if (!reply->body)
        return false;
    r->rest = (slice_t){reply->body->data, reply->body->len};
    return store_rows_next_op(r);
}

bool store_rows_next_op(store_rows_t *r) {
    store_result_t head;
    slice_t skipped;
    while (store_rows_next(r, &skipped))
        ;
    if (!take(&r->rest, &head, sizeof head))
        return false;
    r->columns = head.columns;
    r->rows_left = head.rows;
    r->changed = head.changed;
    r->last_id = head.last_id;
    return true;
}

bool store_rows_next(store_rows_t *r, slice_t *row) {
    uint32_t len;
    if (r->rows_left == 0 || !take(&r->rest, &len, sizeof len) || len > r->rest.len)
        return false;
    r->rows_left--;
    *row = (slice_t){r->rest.at, len};
    r->rest.at += len;
    r->rest.len -= len;
    return true;
}

const store_appended_t *store_appended(const msg_t *reply, size_t *count) {
    *count = reply->size / sizeof(store_appended_t);
    return (const store_appended_t *)reply->data;
}

/* --- requests --- */
store_run_op_t store_next_op(slice_t *rest, slice_t *params) {
    store_run_op_t head = {0};
    bool whole = take(rest, &head, sizeof head) && head.len <= rest->len;
    assert(whole);
    (void)whole;
    *params = (slice_t){rest->at, head.len};
    rest->at += head.len;
    rest->len -= head.len;
    return head;
}

store_append_item_t store_next_item(slice_t *rest) {
    store_item_head_t h = {0};
    bool whole = take(rest, &h, sizeof h) && h.id_len + h.content_len <= rest->len;
    assert(whole);
    (void)whole;
    store_append_item_t item = {.sender = h.sender,
                                .reply_to = h.reply_to,
                                .at_ms = h.at_ms,
                                .content_type = h.content_type,
                                .client_msg_id = {rest->at, h.id_len},
                                .content = {rest->at + h.id_len, h.content_len}};
    rest->at += h.id_len + h.content_len;
    rest->len -= h.id_len + h.content_len;
    return item;
}

void store_batch_add(store_t *s, store_batch_t *b, int op, buf_t *params) {
    store_run_op_t head = {(uint32_t)op, params->len};
    buf_add(&b->bytes, &head, sizeof head);
    buf_add(&b->bytes, params->at, params->len);
    b->count++;
    b->writes |= store_op_writes(s, op);
    buf_free(params);
}
