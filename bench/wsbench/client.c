/* client: the sockets of one process on one epoll: connect, HTTP answers, WebSocket upgrade and
 * frames (our own codec, so that the tool is not the limit). Output is queued and leaves once per
 * turn. See wsbench.h. */
#include "base/clock.h"
#include "net/frame.h"
#include "wsbench.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum state { IDLE, CONNECTING, UPGRADING, OPEN, CLOSED };
#define RECV_MAX (256 * 1024)
#define PER_ADDR 20000 /* connections from one source address */
#define EVENTS   512
#define KEY      "d3NiZW5jaCB3c2JlbmNoIQ=="
#define ACCEPT   "kwQmtW7hAGABDtqMjxlkB4jQGhk=" /* the answer to it */

struct loop {
    const options_t *o;
    tally_t *t;
    int epoll;
    char *room;       /* the one receive buffer */
    client_t **dirty; /* clients with output of this turn */
    size_t dirty_count, dirty_cap;
};

uint64_t now_ns(void) {
    return clock_mono_ns();
}

loop_t *loop_new(const options_t *o, tally_t *t) {
    loop_t *l = calloc(1, sizeof *l);
    l->o = o;
    l->t = t;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->room = malloc(RECV_MAX);
    return l;
}

static void watch(loop_t *l, client_t *c, int op, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(l->epoll, op, c->fd, &e);
}

static void end(loop_t *l, client_t *c) {
    (void)l;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_free(&c->in);
    buf_free(&c->out);
    c->state = CLOSED;
}

static void lost(loop_t *l, client_t *c, bool abnormal, const char *why) {
    if (c->state == CLOSED)
        return;
    end(l, c);
    c->events->closed(c, abnormal, why);
}

static void queue(loop_t *l, client_t *c, const void *at, size_t len) {
    if (c->state == CLOSED)
        return;
    if (c->out.len == 0) {
        if (l->dirty_count == l->dirty_cap) {
            l->dirty_cap = l->dirty_cap ? l->dirty_cap * 2 : 1024;
            l->dirty = realloc(l->dirty, l->dirty_cap * sizeof *l->dirty);
        }
        l->dirty[l->dirty_count++] = c;
    }
    buf_add(&c->out, at, len);
}

static void write_out(loop_t *l, client_t *c) {
    if (c->state == CLOSED || c->state == CONNECTING || c->out.len == 0)
        return;
    ssize_t n = send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        lost(l, c, true, strerror(errno));
        return;
    }
    if (n > 0) {
        COUNT(l->t->bytes_out, n);
        buf_drop(&c->out, (size_t)n);
    }
    uint32_t in = c->mute ? 0 : EPOLLIN;
    watch(l, c, EPOLL_CTL_MOD, c->out.len ? in | EPOLLOUT : in);
}

void loop_flush(loop_t *l) {
    for (size_t i = 0; i < l->dirty_count; i++) {
        client_t *c = l->dirty[i];
        if (c->state == CLOSED || c->state == CONNECTING || c->out.len == 0)
            continue;
        ssize_t n = send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL);
        if (n == (ssize_t)c->out.len) {
            COUNT(l->t->bytes_out, n);
            c->out.len = 0;
        } else {
            if (n > 0) {
                COUNT(l->t->bytes_out, n);
                buf_drop(&c->out, (size_t)n);
            }
            watch(l, c, EPOLL_CTL_MOD, (c->mute ? 0 : EPOLLIN) | EPOLLOUT);
        }
    }
    l->dirty_count = 0;
}

void client_mute(loop_t *l, client_t *c, bool mute) {
    c->mute = mute;
    if (c->fd >= 0)
        watch(l, c, EPOLL_CTL_MOD, (mute ? 0 : EPOLLIN) | (c->out.len ? EPOLLOUT : 0));
}

void client_cut(loop_t *l, client_t *c) {
    if (c->state != CLOSED && c->state != IDLE)
        end(l, c);
}

void client_open(loop_t *l, client_t *c, uint32_t index, const char *path,
                 const client_events_t *events) {
    const options_t *o = l->o;
    *c = (client_t){.fd = -1, .http = !path, .index = index, .events = events, .user = c->user};
    c->started_ns = c->last_read_ns = now_ns();
    c->state = CONNECTING;
    COUNT(l->t->attempts, !c->http);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(path ? o->port : o->http_port)};
    inet_pton(AF_INET, path ? o->host : o->http_host, &to.sin_addr);
    if (c->fd < 0) {
        lost(l, c, true, strerror(errno));
        return;
    }
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((ntohl(to.sin_addr.s_addr) >> 24) == 127) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(0x7f000002u + index / PER_ADDR);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (index >= PER_ADDR)
            bind(c->fd, (struct sockaddr *)&from, sizeof from);
    }
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        lost(l, c, true, strerror(errno));
        return;
    }
    watch(l, c, EPOLL_CTL_ADD, EPOLLOUT);
    if (path)
        buf_addf(&c->out,
                 "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n",
                 path, o->host, o->port);
}

static void add_frame(loop_t *l, client_t *c, uint8_t opcode, slice_t payload) {
    static const uint8_t mask[4]; /* zero: legal, and the tool is not what is measured */
    char head[14];
    size_t n = frame_write_head(head, opcode, true, payload.len, mask);
    queue(l, c, head, n);
    if (payload.len)
        buf_add(&c->out, payload.at, payload.len);
}

void client_text(loop_t *l, client_t *c, slice_t payload) {
    if (c->state == OPEN)
        add_frame(l, c, WS_TEXT, payload);
}

void client_request(loop_t *l, client_t *c, const char *method, const char *path, const char *token,
                    const char *device, slice_t body) {
    buf_t head = {0};
    buf_addf(&head, "%s %s HTTP/1.1\r\nHost: %s:%u\r\nContent-Length: %zu\r\n", method, path,
             l->o->http_host, l->o->http_port, body.len);
    if (token)
        buf_addf(&head, "Authorization: Bearer %s\r\n", token);
    if (device)
        buf_addf(&head, "X-Device-Id: %s\r\n", device);
    buf_add_text(&head, "\r\n");
    buf_add_slice(&head, body);
    queue(l, c, head.at, head.len);
    buf_free(&head);
}

/* ---- input ---- */

/* One HTTP answer in at[0..len): its size, 0 = more is needed. */
static size_t take_answer(char *at, size_t len, int *status, char **body, size_t *body_len) {
    char *end_of_head = memmem(at, len, "\r\n\r\n", 4);
    if (!end_of_head)
        return 0;
    size_t head = (size_t)(end_of_head - at) + 4;
    *end_of_head = 0;
    *status = len > 12 ? atoi(at + 9) : 0;
    const char *field = strcasestr(at, "\r\ncontent-length:");
    *body_len = field ? strtoul(field + 17, NULL, 10) : 0;
    *end_of_head = '\r';
    *body = at + head;
    return len - head >= *body_len ? head + *body_len : 0;
}

static size_t on_http(loop_t *l, client_t *c, char *at, size_t len) {
    size_t used = 0;
    while (used < len && c->state == OPEN) {
        int status;
        char *body;
        size_t body_len, n = take_answer(at + used, len - used, &status, &body, &body_len);
        if (n == 0)
            break;
        used += n;
        c->events->answer(c, status, body, body_len);
    }
    (void)l;
    return used;
}

/* What a client library looks at in the answer to our fixed key: NULL if it is right. head ends in
 * a NUL. */
static const char *bad_upgrade(const char *head) {
    static char why[32];
    if (strlen(head) < 12 || strncmp(head + 9, "101", 3) != 0) {
        snprintf(why, sizeof why, "handshake answered %.3s", strlen(head) > 9 ? head + 9 : "");
        return why;
    }
    const char *accept = strcasestr(head, "\r\nsec-websocket-accept:");
    if (!accept || strncmp(accept + 23 + strspn(accept + 23, " "), ACCEPT, sizeof ACCEPT - 1) != 0)
        return "wrong Sec-WebSocket-Accept";
    if (strcasestr(head, "\r\nsec-websocket-extensions:"))
        return "an extension that was not asked for";
    return NULL;
}

static size_t on_upgrade(loop_t *l, client_t *c, char *at, size_t len) {
    char *stop = memmem(at, len, "\r\n\r\n", 4);
    if (!stop)
        return 0;
    *stop = 0;
    const char *why = bad_upgrade(at);
    if (why) {
        lost(l, c, true, why);
        return 0;
    }
    c->state = OPEN;
    hist_add(&l->t->connect, (now_ns() - c->started_ns) / 1000);
    c->events->open(c);
    return (size_t)(stop - at) + 4;
}

static void on_frame(loop_t *l, client_t *c, const frame_head_t *h, char *payload) {
    if (h->opcode < WS_CLOSE || h->opcode == WS_PONG) /* a control ping is no sign of an answer */
        c->last_read_ns = now_ns();
    switch (h->opcode) {
    case WS_TEXT:
        c->events->message(c, payload, h->len);
        break;
    case WS_PING:
        add_frame(l, c, WS_PONG, (slice_t){payload, h->len});
        break;
    case WS_PONG:
        if (c->events->pong)
            c->events->pong(c);
        break;
    case WS_CLOSE: {
        int code = frame_close_code((slice_t){payload, h->len});
        char why[32];
        snprintf(why, sizeof why, "close %d", code);
        lost(l, c, code != 1000 && code != 1001, why);
        break;
    }
    default:
        COUNT(l->t->other_frames, 1);
    }
}

static size_t on_frames(loop_t *l, client_t *c, char *at, size_t len) {
    size_t used = 0;
    while (c->state == OPEN && !c->mute) {
        frame_head_t h;
        int got = frame_parse_head(at + used, len - used, false, &h);
        if (got < 0) {
            lost(l, c, true, "protocol error");
            break;
        }
        if (got == 0 || len - used < h.size + h.len)
            break;
        on_frame(l, c, &h, at + used + h.size);
        used += h.size + h.len;
    }
    return used;
}

static size_t consume(loop_t *l, client_t *c, char *at, size_t len) {
    size_t used = 0;
    if (c->state == UPGRADING)
        used = on_upgrade(l, c, at, len);
    if (c->state == OPEN)
        used +=
            c->http ? on_http(l, c, at + used, len - used) : on_frames(l, c, at + used, len - used);
    return used;
}

static void on_readable(loop_t *l, client_t *c) {
    for (int round = 0; round < 4 && c->state != CLOSED && !c->mute; round++) {
        ssize_t n = recv(c->fd, l->room, RECV_MAX, 0);
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR))
                lost(l, c, true, n == 0 ? "end of stream" : strerror(errno));
            return;
        }
        COUNT(l->t->bytes_in, n);
        char *at = l->room;
        size_t len = (size_t)n, used;
        if (c->in.len) {
            buf_add(&c->in, at, len);
            at = c->in.at;
            len = c->in.len;
        }
        used = consume(l, c, at, len);
        if (c->state == CLOSED)
            return;
        if (c->in.len)
            buf_drop(&c->in, used);
        else if (used < len)
            buf_add(&c->in, at + used, len - used);
        if (c->in.len == 0)
            buf_free(&c->in);
        if (n < RECV_MAX)
            return;
    }
}

static void on_connected(loop_t *l, client_t *c) {
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        lost(l, c, true, strerror(err));
        return;
    }
    c->state = c->http ? OPEN : UPGRADING;
    watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
    if (c->http)
        c->events->open(c);
    write_out(l, c);
}

void loop_turn(loop_t *l, uint64_t until_ns) {
    struct epoll_event e[EVENTS];
    loop_flush(l);
    uint64_t now = now_ns();
    int wait_ms = until_ns > now ? (int)((until_ns - now + 999999) / 1000000) : 0;
    int n = epoll_wait(l->epoll, e, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        client_t *c = e[i].data.ptr;
        if (c->state == CONNECTING)
            on_connected(l, c);
        else if (c->state != CLOSED && (e[i].events & EPOLLOUT))
            write_out(l, c);
        if (c->state != CLOSED && c->mute && (e[i].events & (EPOLLHUP | EPOLLERR)))
            lost(l, c, true, "reset");
        else if (c->state != CLOSED && (e[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
            on_readable(l, c);
    }
    loop_flush(l);
}
