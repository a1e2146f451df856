/* http_in: requests of one connection: head, body, and that one is answered before the next is
 * taken. What cannot be read in one way only is answered here with an error and ends the
 * connection. Inside the connection's actor, but for the end of a turn. */
#include "base/pool.h"
#include "net/net_in.h"

void http_open(net_conn_t *c) {
    c->http = pool_zalloc(sizeof *c->http);
}

void http_free(net_conn_t *c) {
    if (c->phase != PHASE_HTTP)
        return;
    pool_free(c->http, sizeof *c->http);
    c->http = NULL;
}

bool http_waits(const net_conn_t *c) {
    return c->phase == PHASE_HTTP && c->http->open && c->http->stage == HTTP_AT_END;
}

/* After a callback: is the request still one to go on with? (It may have been answered and the
 * connection be ending, or upgraded.) */
static bool goes_on(const net_conn_t *c) {
    return c->phase == PHASE_HTTP && !(c->flags & F_ENDING);
}

static void give_body(net_conn_t *c, actor_t *self, void *state, slice_t bytes, bool last) {
    if (c->http->open)
        c->worker->net->handler->body(self, state, c, bytes, last);
}

/* The body is read. Once the answer is there too the next request may come. */
static void body_done(net_conn_t *c) {
    c->http->stage = c->http->open ? HTTP_AT_END : HTTP_AT_HEAD;
}

/* --- head --- */

static void begin_body(net_http_t *h, const http_request_t *req) {
    h->open = true;
    h->head = req->method == HTTP_HEAD;
    h->keep_alive = req->keep_alive;
    h->stage = HTTP_AT_END;
    h->expects = false;
    if (req->chunked) {
        h->chunks = (http_chunks_t){0};
        h->stage = HTTP_AT_CHUNKS;
    } else if (req->content_length > 0) {
        h->left = (uint64_t)req->content_length;
        h->stage = HTTP_AT_BODY;
    }
}

static void begin_request(net_conn_t *c, actor_t *self, void *state, bool more) {
    net_http_t *h = c->http;
    http_request_t *req = &c->worker->req;
    begin_body(h, req);
    h->expects = req->expect_continue && h->stage != HTTP_AT_END && !more;
    c->worker->net->handler->request(self, state, c, req);
    if (!goes_on(c) || !h->open)
        return;
    if (h->stage == HTTP_AT_END) {
        give_body(c, self, state, (slice_t){"", 0}, true);
    } else if (h->expects) {
        h->expects = false;
        out_add(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
}

static size_t take_head(net_conn_t *c, actor_t *self, void *state, const char *at, size_t len) {
    if (c->http->head_ns == 0)
        c->http->head_ns = c->recv_ns;
    int n = http_parse_head(at, len, &c->http->seen, &c->worker->req);
    if (n < 0) {
        http_fault(c, n);
        return len;
    }
    if (n > 0) {
        c->http->seen = 0;
        c->http->began_ns = c->http->head_ns;
        c->http->head_ns = 0;
        begin_request(c, self, state, len > (size_t)n);
    }
    return (size_t)n;
}

/* --- body --- */

static size_t take_length(net_conn_t *c, actor_t *self, void *state, char *at, size_t len) {
    net_http_t *h = c->http;
    size_t n = len < h->left ? len : (size_t)h->left;
    h->left -= n;
    if (h->left == 0)
        h->stage = HTTP_AT_END; /* an answer given inside of the callback finds the body read */
    give_body(c, self, state, (slice_t){at, n}, h->left == 0);
    if (goes_on(c) && h->stage == HTTP_AT_END)
        body_done(c);
    return n;
}

static size_t take_chunks(net_conn_t *c, actor_t *self, void *state, char *at, size_t len) {
    net_http_t *h = c->http;
    slice_t body;
    size_t n;
    int got = http_chunks_next(&h->chunks, at, len, &n, &body);
    if (got < 0) {
        http_fault(c, got);
        return len;
    }
    if (got == 1)
        h->stage = HTTP_AT_END;
    if (body.len || got == 1)
        give_body(c, self, state, body, got == 1);
    if (goes_on(c) && h->stage == HTTP_AT_END)
        body_done(c);
    return n;
}

/* Gives how many bytes were used; 0: it needs more, or waits for an answer. */
size_t http_take(net_conn_t *c, actor_t *self, void *state, char *at, size_t len) {
    switch (c->http->stage) {
    case HTTP_AT_HEAD:
        return take_head(c, self, state, at, len);
    case HTTP_AT_BODY:
        return take_length(c, self, state, at, len);
    case HTTP_AT_CHUNKS:
        return take_chunks(c, self, state, at, len);
    default:
        return 0;
    }
}

/* --- time and end --- */

static uint8_t timer_of(const net_conn_t *c) {
    const net_http_t *h = c->http;
    if (c->head)
        return TIMER_STALL;
    if (h->open)
        return TIMER_NONE; /* the handler's own deadline */
    if (c->in.len || h->stage != HTTP_AT_HEAD || ((c->flags & F_NEW) && (c->flags & F_TLS)))
        return TIMER_HEAD;
    return TIMER_IDLE;
}

void http_settle(net_conn_t *c) {
    uint8_t timer = timer_of(c);
    if ((c->flags & F_EOF) && !c->http->open && !(c->flags & (F_PARSE | F_HELD)))
        conn_finish(c, 0);
    else if ((c->flags & F_EOF) && c->http->open && c->http->stage != HTTP_AT_END)
        conn_cut(c); /* its body will never be whole */
    else if (timer != c->timer || timer == TIMER_IDLE ||
             (timer == TIMER_STALL && (c->flags & F_MOVED)))
        timer_put(c, timer);
}

void http_expire(net_conn_t *c) {
    if (c->in.len)
        http_fault(c, ERR_TIMEOUT);
    else
        conn_finish(c, 0);
}
