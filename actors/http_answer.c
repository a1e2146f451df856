/* http_answer: answers of the HTTP API: envelope, errors, the headers that every answer carries,
 * counters. Called by the edge and chat, inside the connection's actor. */
#include "actors/http_file.h"
#include <stdio.h>
#include <unistd.h>

static const int statuses[STATUS_STATS] = {200, 204, 206, 302, 304, 400, 401, 403, 404,
                                           405, 406, 409, 411, 413, 414, 415, 416, 426,
                                           429, 431, 500, 503, 504, 101, 0};

size_t http_status_index(int status) {
    size_t i = 0;
    while (i < STATUS_STATS - 1 && statuses[i] != status)
        i++;
    return i;
}

int http_status_of(size_t index) {
    return statuses[index];
}

static void count(conn_t *c, const http_call_t *call, int status) {
    size_t n, at = ROUTE_STATS - 1; /* no route: static files and 404 */
    const route_t *all = routes_all(&n);
    if (call->route)
        at = (size_t)(call->route - all);
    /* the only writer is this worker: load and store, no read-modify-write */
    _Atomic uint64_t *cell = &edge_at(c)->http[at][http_status_index(status)];
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    stat_observe(HIST_HTTP, (actor_now_ns(c->self) - call->started_ns) / 1000);
}

void http_drop(conn_t *c) {
    http_call_t *call = c->http;
    if (!call)
        return;
    c->http = NULL;
    actor_cancel(c->self, call->timer);
    if (call->opening && call->call_id)
        ws_detach(c, ws_opening_user(call->opening)); /* the inbox was asked */
    if (call->call_id)
        actor_forget(c->self, call->call_id);
    ws_opening_free(call->opening);
    file_drop(c, call->file);
    if (call->query)
        pool_free(call->query, strlen(call->query) + 1);
    if (call->body.len) {
        atomic_fetch_sub_explicit(&edge_at(c)->edge->body_bytes, call->body.len,
                                  memory_order_relaxed);
        stat_add(STAT_HTTP_BODY_BYTES, -(int64_t)call->body.len);
    }
    buf_free(&call->body);
    pool_free(call->ids, call->id_count * sizeof *call->ids);
    pool_free(call, sizeof *call);
}

static void add_cors(buf_t *head, slice_t origin) {
    buf_add_text(head, "Access-Control-Allow-Origin: ");
    buf_add_slice(head, origin);
    buf_add_text(head, "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: ETag, Retry-After, "
                       "X-Request-Id\r\n");
}

/* The head of an answer, which ends the request: gives whether the connection ends with it. */
static bool begin(conn_t *c, int status, const char *type, const char *headers) {
    http_call_t *call = c->http;
    edge_worker_t *w = edge_at(c);
    buf_t *head = &w->out;
    head->len = 0;
    if (type)
        buf_addf(head, "Content-Type: %s\r\n", type);
    if (!strstr(headers, "Cache-Control:"))
        buf_add_text(head, "Cache-Control: no-store\r\n");
    buf_addf(head, "X-Request-Id: %s\r\n", call->request_id);
    buf_add_text(head, headers);
    if (call->cors.len)
        add_cors(head, call->cors);
    bool close = call->close || atomic_load_explicit(&w->edge->draining, memory_order_relaxed);
    count(c, call, status);
    http_drop(c);
    return close;
}

void http_answer(conn_t *c, int status, const char *type, const char *headers, block_t *body) {
    if (!c->http) {
        block_unref(body);
        return;
    }
    bool close = begin(c, status, type, headers);
    net_respond(c->net, status, buf_slice(&edge_at(c)->out), body, close);
}

void http_answer_file(conn_t *c, int status, const char *type, const char *headers, int fd,
                      uint64_t off, uint64_t len) {
    if (!c->http) {
        if (fd >= 0)
            close(fd);
        return;
    }
    begin(c, status, type, headers);
    net_respond_file(c->net, status, buf_slice(&edge_at(c)->out), fd, off, len);
}

void http_error_headers(conn_t *c, int err, const char *text, uint32_t retry_after_ms,
                        const char *headers) {
    char more[256];
    buf_t json = {0};
    if (!c->http)
        return;
    int status = err_status(err);
    if (status == 503) {
        stat_add(STAT_BUSY, 1);
        retry_after_ms = retry_after_ms ? retry_after_ms : 1000;
    } else if (status == 429) {
        stat_add(STAT_RATE_LIMITED, 1);
        retry_after_ms = retry_after_ms ? retry_after_ms : 1000;
    }
    snprintf(more, sizeof more, "%s", headers);
    if (retry_after_ms) {
        size_t len = strlen(more);
        snprintf(more + len, sizeof more - len, "Retry-After: %u\r\n",
                 (retry_after_ms + 999) / 1000);
    }
    buf_add_char(&json, '{');
    json_add_text(&json, "error", slice_of(text ? text : err_text(err)));
    json_add_text(&json, "code", slice_of(err_symbol(err)));
    json_add_text(&json, "request_id", slice_of(c->http->request_id));
    buf_add_char(&json, '}');
    http_answer(c, status, "application/json; charset=utf-8", more, block_from_buf(&json));
}

void conn_http_error(conn_t *c, int err, const char *text, uint32_t retry_after_ms) {
    http_error_headers(c, err, text, retry_after_ms, "");
}

void conn_http_ok(conn_t *c, slice_t data, slice_t extra) {
    static const char before[] = "{\"code\":0,\"message\":\"success\",\"data\":";
    if (!c->http)
        return;
    size_t len = sizeof before - 1 + data.len + extra.len + 1;
    block_t *body = block_new(len);
    char *at = body->data;
    at = mempcpy(at, before, sizeof before - 1);
    at = mempcpy(at, data.at, data.len);
    if (extra.len)
        at = mempcpy(at, extra.at, extra.len);
    *at = '}';
    body->len = (uint32_t)len;
    http_answer(c, 200, "application/json; charset=utf-8", "", body);
}
