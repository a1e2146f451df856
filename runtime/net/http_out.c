/* http_out: answers: status line, the headers that every answer has, body by reference or from a
 * file; the errors that net itself answers with (PROTOCOL.md sections 2, 3). Inside the
 * connection's actor, but for faults of time. */
#include "base/hash.h"
#include "net/net_in.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define REST_MAX (64 * 1024) /* of a body that nobody wants: read on to keep the connection */

static const char *reason(int status) {
    static const struct {
        int status;
        const char *text;
    } all[] = {{200, "OK"},
               {101, "Switching Protocols"},
               {201, "Created"},
               {204, "No Content"},
               {206, "Partial Content"},
               {302, "Found"},
               {304, "Not Modified"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {406, "Not Acceptable"},
               {409, "Conflict"},
               {411, "Length Required"},
               {413, "Content Too Large"},
               {414, "URI Too Long"},
               {415, "Unsupported Media Type"},
               {416, "Range Not Satisfiable"},
               {426, "Upgrade Required"},
               {429, "Too Many Requests"},
               {431, "Request Header Fields Too Large"},
               {500, "Internal Server Error"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].status == status)
            return all[i].text;
    return "Status";
}

/* The text is made once a second. */
static const char *date(net_worker_t *w) {
    uint64_t s = runtime_now_ns(w->rt) / 1000000000 + 1;
    if (s != w->date_s) {
        time_t t = (time_t)(runtime_wall_ms(w->rt) / 1000);
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(w->date, sizeof w->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        w->date_s = s;
    }
    return w->date;
}

static bool is_open(const net_conn_t *c) {
    return c->phase == PHASE_HTTP && !(c->flags & F_ENDING) && c->http->open;
}

/* Would the rest of the body have to be read for long, or may it never come? */
static bool body_is_left(const net_http_t *h) {
    if (h->stage == HTTP_AT_CHUNKS || (h->stage == HTTP_AT_BODY && h->left > REST_MAX))
        return true;
    return h->stage == HTTP_AT_BODY && h->expects;
}

static void add_head(net_conn_t *c, int status, slice_t headers, uint64_t length, bool ends) {
    char line[192];
    int n = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, reason(status),
                     date(c->worker));
    out_add(c, line, (size_t)n);
    out_add(c, headers.at, headers.len);
    n = 0;
    if (status >= 200 && status != 204 && status != 304)
        n = snprintf(line, sizeof line, "Content-Length: %llu\r\n", (unsigned long long)length);
    n += snprintf(line + n, sizeof line - (size_t)n, ends ? "Connection: close\r\n\r\n" : "\r\n");
    out_add(c, line, (size_t)n);
}

/* The answer is queued: what comes next on this connection? */
static void answered(net_conn_t *c, bool ends) {
    net_http_t *h = c->http;
    h->open = false;
    if (ends) {
        conn_finish(c, 0);
        return;
    }
    if (h->stage == HTTP_AT_END)
        h->stage = HTTP_AT_HEAD;
    if (c->in.len)
        c->flags |= F_PARSE;
    conn_pend(c);
}

static bool ends_with_it(const net_conn_t *c, bool close) {
    return close || !c->http->keep_alive || body_is_left(c->http);
}

void net_respond(net_conn_t *c, int status, slice_t headers, block_t *body, bool close) {
    if (!is_open(c)) {
        block_unref(body);
        return;
    }
    bool ends = ends_with_it(c, close);
    add_head(c, status, headers, body ? body->len : 0, ends);
    if (body && !c->http->head && status != 204 && status != 304)
        out_block(c, body, 0, body->len);
    block_unref(body);
    answered(c, ends);
}

void net_respond_file(net_conn_t *c, int status, slice_t headers, int fd, uint64_t off,
                      uint64_t len) {
    if (!is_open(c)) {
        close(fd);
        return;
    }
    bool ends = ends_with_it(c, false);
    add_head(c, status, headers, len, ends);
    if (c->http->head)
        close(fd);
    else
        out_file(c, fd, off, len);
    answered(c, ends);
}

void http_fault(net_conn_t *c, int err) {
    char headers[192], json[256];
    net_worker_t *w = c->worker;
    uint64_t salt[3] = {++w->faults, w->index, runtime_now_ns(w->rt)};
    unsigned long long id = hash_bytes(salt, sizeof salt);
    int n = snprintf(headers, sizeof headers,
                     "Content-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\n"
                     "X-Request-Id: r-%016llx\r\n",
                     id);
    int m = snprintf(json, sizeof json,
                     "{\"error\":\"%s\",\"code\":\"%s\",\"request_id\":\"r-%016llx\"}",
                     err_text(err), err_symbol(err), id);
    add_head(c, err_status(err), (slice_t){headers, (size_t)n}, (uint64_t)m, true);
    out_add(c, json, (size_t)m);
    answered(c, true);
}

void net_upgrade(net_conn_t *c, slice_t accept_key, slice_t protocol, uint32_t max_message) {
    if (!is_open(c))
        return;
    if (c->http->stage != HTTP_AT_END) {
        conn_cut(c); /* a handshake with a body: where would the frames begin? */
        return;
    }
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    static const char choice[] = "\r\nSec-WebSocket-Protocol: ";
    out_add(c, head, sizeof head - 1);
    out_add(c, accept_key.at, accept_key.len);
    if (protocol.len) {
        out_add(c, choice, sizeof choice - 1);
        out_add(c, protocol.at, protocol.len);
    }
    out_add(c, "\r\n\r\n", 4);
    http_free(c);
    c->phase = PHASE_WS;
    c->max_message = max_message;
    if (c->in.len)
        c->flags |= F_PARSE;
    conn_pend(c);
}
