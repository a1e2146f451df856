/* chat_recall: row 44: the message is looked up here, whether it may be recalled is the
 * conversation's to say (PROTOCOL.md section 11). Inside the connection's actor. */
#include "actors/chat_in.h"
#include <stdio.h>

void chat_http_recall(conn_t *c) {
    chat_node_t *n = chat_node(c);
    buf_t params = {0};
    chat_http_t *h = http_asks(c, 0);
    h->id = c->http->path_id[0];
    value_add_int(&params, h->id);
    store_run(n->store, c->self, n->op_facts, &params, http_timeout(c), VERB_CHAT_HTTP_FACTS,
              h->serial);
}

static msg_t *recall_message(conn_t *c, chat_http_t *h, slice_t row) {
    slice_t device = slice_of(c->http->device);
    msg_t *m = msg_new(VERB_RECALL, sizeof(conversation_recall_t) + device.len);
    conversation_recall_t *r = (conversation_recall_t *)m->data;
    h->conversation = value_next_int(&row);
    h->seq = value_next_int(&row);
    r->user = c->http->user;
    r->message_id = h->id;
    r->seq = h->seq;
    r->sender = value_next_int(&row);
    r->at_ms = value_next_int(&row);
    r->content_type = (uint32_t)value_next_int(&row);
    r->device_len = (uint32_t)device.len;
    if (device.len)
        memcpy(r->device, device.at, device.len);
    return m;
}

void recall_facts(conn_t *c, const msg_t *m) {
    chat_http_t *h = c->chat->http;
    store_rows_t rows;
    slice_t row;
    if (m->err != ERR_OK) {
        http_refused(c, m);
        return;
    }
    if (!store_rows_open(&rows, m) || !store_rows_next(&rows, &row)) {
        conn_http_error(c, ERR_NOT_FOUND, "message not found", 0);
        http_done(c);
        return;
    }
    msg_t *ask = recall_message(c, h, row);
    actor_request_key(c->self, KIND_CONVERSATION, (uint64_t)h->conversation, ask, http_timeout(c),
                      VERB_CHAT_HTTP_RECALLED, h->serial);
}

void recall_answer(conn_t *c, const msg_t *m) {
    const chat_http_t *h = c->chat->http;
    char data[200];
    if (m->err != ERR_OK) {
        http_refused(c, m);
        return;
    }
    const conversation_recalled_t *r = (const conversation_recalled_t *)m->data;
    int n = snprintf(data, sizeof data,
                     "{\"message_id\":%lld,\"conversation_id\":%lld,\"seq\":%lld,\"change\":%lld,"
                     "\"status\":\"recalled\"}",
                     (long long)h->id, (long long)h->conversation, (long long)h->seq,
                     (long long)r->change);
    conn_http_ok(c, (slice_t){data, (size_t)n}, CHAT_NONE);
    http_done(c);
}
