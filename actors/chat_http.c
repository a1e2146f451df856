/* chat_http: what the HTTP routes of messages (rows 41 to 44) share: one request at a time per
 * connection waits for a conversation or the store, and what it needs of itself is kept here. */
#include "actors/chat_in.h"

chat_http_t *http_asks(conn_t *c, size_t text) {
    chat_t *ch = chat_of(c);
    http_forget(ch);
    size_t size = sizeof(chat_http_t) + text;
    chat_http_t *h = ch->http = pool_zalloc(size);
    h->size = (uint32_t)size;
    h->serial = c->http->serial;
    h->start_ns = c->http->started_ns;
    return h;
}

chat_http_t *http_asked(conn_t *c, uint64_t serial) {
    chat_http_t *h = c->chat ? c->chat->http : NULL;
    return h && h->serial == serial && conn_http_waits(c, (uint32_t)serial) ? h : NULL;
}

void http_forget(chat_t *ch) {
    if (ch->http)
        pool_free(ch->http, ch->http->size);
    ch->http = NULL;
}

void http_done(conn_t *c) {
    if (!c->chat)
        return;
    http_forget(c->chat);
    chat_forget(c);
}

void http_refused(conn_t *c, const msg_t *m) {
    conn_http_error(c, m->err, chat_text(m), 0);
    http_done(c);
}

void http_message(conn_t *c, const message_row_t *row) {
    buf_t *b = &chat_here(c->self)->out;
    b->len = 0;
    message_item_json(b, row);
    conn_http_ok(c, buf_slice(b), CHAT_NONE);
    http_done(c);
}

void http_message_row(conn_t *c, const msg_t *m, int err, const char *fault) {
    store_rows_t rows;
    slice_t row;
    message_row_t message;
    if (m->err != ERR_OK) {
        http_refused(c, m);
    } else if (!store_rows_open(&rows, m) || !store_rows_next(&rows, &row)) {
        conn_http_error(c, err, fault, 0);
        http_done(c);
    } else {
        chat_row(&row, &message);
        http_message(c, &message);
    }
}

json_at_t http_object(conn_t *c) {
    json_doc_t *doc = conn_doc(c);
    buf_t *body = &c->http->body;
    if (body->len == 0 || json_parse(doc, body->at, body->len) != ERR_OK ||
        json_type(doc, JSON_ROOT) != JSON_OBJECT)
        return 0;
    return JSON_ROOT;
}

uint32_t http_timeout(const conn_t *c) {
    return edge_at(c)->edge->deadline_ms;
}
