/* chat_history: row 42: pages of a conversation (PROTOCOL.md 6.4): membership, the newest seq and
 * the messages are read in one go, nearest to the starting point first; at 1 MiB the far ones are
 * left out. Row 64: one message. Inside the connection's actor. */
#include "actors/chat_in.h"
#include "base/text.h"

#define PAGE_BYTES (1024 * 1024)
#define PAGE       50
#define PAGE_MAX   200
#define PAGE_SMALL 60 /* when a page is more than the store gives at once */
#define NO_LIMIT   (1ll << 53)

/* --- the request --- */

static bool query_int(conn_t *c, const char *name, int64_t *out) {
    char room[32];
    slice_t s;
    *out = 0;
    return !conn_query(c, name, room, sizeof room, &s) || text_to_int(s, out);
}

static void ask(conn_t *c, const chat_http_t *h) {
    chat_node_t *n = chat_node(c);
    store_batch_t batch = {0};
    buf_t params = {0};
    value_add_int(&params, c->http->user);
    value_add_int(&params, h->conversation);
    store_batch_add(n->store, &batch, n->op_latest, &params);
    value_add_int(&params, h->conversation);
    value_add_int(&params, h->seq);
    value_add_int(&params, h->limit);
    store_batch_add(n->store, &batch, h->after ? n->op_after : n->op_before, &params);
    store_batch_run(n->store, c->self, &batch, http_timeout(c), VERB_CHAT_HTTP_HISTORY, h->serial);
}

void chat_http_history(conn_t *c) {
    int64_t conversation, after, before, limit;
    if (!query_int(c, "conversation_id", &conversation) || conversation < 1) {
        conn_http_error(c, ERR_BAD_REQUEST, "invalid conversation id", 0);
        return;
    }
    if (!query_int(c, "after_seq", &after) || !query_int(c, "before_seq", &before) ||
        !query_int(c, "limit", &limit) || (after && before)) {
        conn_http_error(c, ERR_BAD_REQUEST, NULL, 0);
        return;
    }
    chat_http_t *h = http_asks(c, 0);
    h->conversation = conversation;
    h->after = after > 0;
    h->limit = limit == 0 ? PAGE : limit > PAGE_MAX ? PAGE_MAX : limit;
    h->seq = after ? after : before ? before : NO_LIMIT;
    ask(c, h);
}

/* --- the answer --- */

typedef struct page {
    buf_t items;               /* the objects side by side, in the order of the rows */
    uint32_t at[PAGE_MAX + 1]; /* where each begins */
    uint32_t count;
    int64_t first, last; /* seqs in the order of the rows */
} page_t;

static void read_page(store_rows_t *rows, page_t *p) {
    slice_t row;
    message_row_t m;
    while (p->count < PAGE_MAX && store_rows_next(rows, &row)) {
        uint32_t before = p->items.len;
        chat_row(&row, &m);
        p->at[p->count] = before;
        message_item_json(&p->items, &m);
        if (p->count && p->items.len > PAGE_BYTES) {
            p->items.len = before;
            break;
        }
        if (p->count++ == 0)
            p->first = m.seq;
        p->last = m.seq;
    }
    p->at[p->count] = p->items.len;
}

static void add_item(buf_t *out, const page_t *p, uint32_t i) {
    if (out->len > 1)
        buf_add_char(out, ',');
    buf_add(out, p->items.at + p->at[i], p->at[i + 1] - p->at[i]);
}

static void answer_page(conn_t *c, const page_t *p, bool after, int64_t latest) {
    buf_t *out = &chat_here(c->self)->out, extra = {0};
    /* rows before a place come newest first; the answer is always rising */
    out->len = 0;
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < p->count; i++)
        add_item(out, p, after ? i : p->count - 1 - i);
    buf_add_char(out, ']');
    bool more = p->count && (after ? p->last < latest : p->last > 1);
    json_add_bool(&extra, "has_more", more);
    json_add_int(&extra, "latest_seq", latest);
    conn_http_ok(c, buf_slice(out), buf_slice(&extra));
    buf_free(&extra);
    if (out->cap > PAGE_BYTES)
        buf_free(out);
}

void history_rows(conn_t *c, const msg_t *m) {
    chat_http_t *h = c->chat->http;
    store_rows_t rows;
    slice_t row;
    if (m->err == ERR_TOO_LARGE && h->limit > PAGE_SMALL) {
        h->limit = PAGE_SMALL;
        ask(c, h);
        return;
    }
    if (m->err != ERR_OK) {
        http_refused(c, m);
        return;
    }
    if (!store_rows_open(&rows, m) || !store_rows_next(&rows, &row)) {
        conn_http_error(c, ERR_NOT_MEMBER, NULL, 0);
        http_done(c);
        return;
    }
    page_t p = {0};
    int64_t latest = value_next_int(&row);
    if (store_rows_next_op(&rows))
        read_page(&rows, &p);
    int64_t newest = h->after ? p.last : p.first;
    answer_page(c, &p, h->after, newest > latest ? newest : latest);
    buf_free(&p.items);
    http_done(c);
}

/* --- one message --- */

void chat_http_message(conn_t *c) {
    chat_node_t *n = chat_node(c);
    chat_http_t *h = http_asks(c, 0);
    buf_t params = {0};
    value_add_int(&params, c->http->user);
    value_add_int(&params, c->http->path_id[0]);
    store_run(n->store, c->self, n->op_one, &params, http_timeout(c), VERB_CHAT_HTTP_ONE,
              h->serial);
}

void message_row(conn_t *c, const msg_t *m) {
    http_message_row(c, m, ERR_NOT_FOUND, "message not found");
}
