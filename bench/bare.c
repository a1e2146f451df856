/* bare: the reference that parleyd is measured against (bench/figures): a WebSocket server with
 * nothing in it. One thread, one epoll, one receive buffer, one send per socket and turn. No actor,
 * no store, no limit, no UTF-8 check, no JSON: what is left is what the kernel and the wire cost.
 *   /__echo     each frame comes back
 *   /room/N     each frame goes to all others of room N; acks are read and dropped
 *   else        a JSON ping of any kind gets one fixed JSON pong, after one fixed welcome
 * bench_bare [PORT]: prints "bare ready 127.0.0.1:PORT"; TERM ends it. */
#include "net/frame.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECV_MAX (256 * 1024)
#define EVENTS   1024
#define ROOMS    64

enum kind { HANDSHAKE, ECHO, PING, ROOM };
typedef struct conn {
    int fd;
    uint8_t kind;
    bool queued, waits; /* in the turn's list; EPOLLOUT is asked for */
    uint32_t room, place;
    uint64_t sent_in; /* the last turn in which it sent something to its room */
    buf_t in, out;    /* what is incomplete, what waits */
} conn_t;

/* What was sent to a room in this turn: one run of ready frames, and whose each is. */
typedef struct piece {
    uint32_t at, len;
    const conn_t *from;
} piece_t;
typedef struct room {
    conn_t **members;
    uint32_t count, cap, piece_count, piece_cap;
    piece_t *pieces;
    buf_t frames;
    bool queued;
} room_t;

static int epoll;
static char recv_room[RECV_MAX];
static room_t rooms[ROOMS];
static uint64_t turn = 1;
static conn_t **dirty;
static uint32_t dirty_count, dirty_cap;
static const char pong[] = "{\"type\":\"pong\",\"ts\":1760000000001}";
static const char welcome[] = "{\"type\":\"notify\",\"data\":{\"status\":\"connected\"}}";

#define GROW(list, count, cap)                                                                     \
    do {                                                                                           \
        if ((count) == (cap)) {                                                                    \
            (cap) = (cap) ? (cap)*2 : 64;                                                          \
            (list) = realloc((list), (cap) * sizeof *(list));                                      \
        }                                                                                          \
    } while (0)

static void watch(conn_t *c, int op, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(epoll, op, c->fd, &e);
}

static void mark(conn_t *c) {
    if (c->queued)
        return;
    c->queued = true;
    GROW(dirty, dirty_count, dirty_cap);
    dirty[dirty_count++] = c;
}

static void add_frame(buf_t *b, uint8_t opcode, const char *at, size_t len) {
    char head[14];
    buf_add(b, head, frame_write_head(head, opcode, true, len, NULL));
    buf_add(b, at, len);
}

/* ---- rooms ---- */

static void room_join(conn_t *c) {
    room_t *r = &rooms[c->room];
    GROW(r->members, r->count, r->cap);
    c->place = r->count;
    r->members[r->count++] = c;
}

static void room_leave(conn_t *c) {
    room_t *r = &rooms[c->room];
    conn_t *last = r->members[--r->count];
    r->members[c->place] = last;
    last->place = c->place;
    for (uint32_t i = 0; i < r->piece_count; i++)
        if (r->pieces[i].from == c)
            r->pieces[i].from = NULL;
}

static void room_say(conn_t *c, const char *at, size_t len) {
    room_t *r = &rooms[c->room];
    GROW(r->pieces, r->piece_count, r->piece_cap);
    r->pieces[r->piece_count] = (piece_t){.at = r->frames.len, .from = c};
    add_frame(&r->frames, WS_TEXT, at, len);
    r->pieces[r->piece_count].len = r->frames.len - r->pieces[r->piece_count].at;
    r->piece_count++;
    c->sent_in = turn;
    r->queued = true;
}

/* ---- the end of a connection, and output ---- */

static void end(conn_t *c) {
    if (c->fd < 0)
        return;
    if (c->kind == ROOM)
        room_leave(c);
    close(c->fd);
    c->fd = -1;
    mark(c); /* freed at the end of the turn: this turn's events may still name it */
}

static void ask_out(conn_t *c, bool on) {
    if (c->waits != on)
        watch(c, EPOLL_CTL_MOD, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
    c->waits = on;
}

/* Sends what is there; what does not fit is kept. */
static void send_run(conn_t *c, const char *at, size_t len) {
    ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        end(c);
        return;
    }
    size_t went = n > 0 ? (size_t)n : 0;
    if (at == c->out.at)
        buf_drop(&c->out, went);
    else if (went < len)
        buf_add(&c->out, at + went, len - went);
    if (c->out.len == 0 && c->out.cap > 4096)
        buf_free(&c->out);
    ask_out(c, c->out.len > 0);
}

/* Members that sent nothing themselves and have nothing waiting share the room's one run. */
static void flush_room(room_t *r) {
    for (uint32_t i = r->count; i-- > 0;) { /* downwards: a send may end its member */
        conn_t *c = r->members[i];
        if (c->sent_in != turn && c->out.len == 0) {
            send_run(c, r->frames.at, r->frames.len);
            continue;
        }
        for (uint32_t k = 0; k < r->piece_count; k++)
            if (r->pieces[k].from != c)
                buf_add(&c->out, r->frames.at + r->pieces[k].at, r->pieces[k].len);
        if (c->out.len)
            mark(c);
    }
    r->frames.len = r->piece_count = 0;
    r->queued = false;
}

static void flush(void) {
    for (uint32_t i = 0; i < ROOMS; i++)
        if (rooms[i].queued)
            flush_room(&rooms[i]);
    for (uint32_t i = 0; i < dirty_count; i++) {
        conn_t *c = dirty[i];
        if (c->fd >= 0 && c->out.len && !c->waits)
            send_run(c, c->out.at, c->out.len);
        c->queued = false;
        if (c->fd < 0) {
            buf_free(&c->in);
            buf_free(&c->out);
            free(c);
        }
    }
    dirty_count = 0;
    turn++;
}

/* ---- input ---- */

static size_t on_handshake(conn_t *c, char *at, size_t len) {
    char *stop = memmem(at, len, "\r\n\r\n", 4), text[64], accept[32];
    unsigned char hash[SHA_DIGEST_LENGTH];
    if (!stop)
        return 0;
    *stop = 0;
    const char *key = strcasestr(at, "\r\nsec-websocket-key:");
    if (!key) {
        end(c);
        return 0;
    }
    key += 20 + strspn(key + 20, " ");
    int n = snprintf(text, sizeof text, "%.24s%s", key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    SHA1((const unsigned char *)text, (size_t)n, hash);
    EVP_EncodeBlock((unsigned char *)accept, hash, sizeof hash);
    buf_addf(&c->out,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n\r\n",
             accept);
    c->kind = strncmp(at, "GET /__echo", 11) == 0 ? ECHO : PING;
    if (strncmp(at, "GET /room/", 10) == 0) {
        c->kind = ROOM;
        c->room = (uint32_t)atoi(at + 10) % ROOMS;
        room_join(c);
    }
    if (c->kind != ECHO)
        add_frame(&c->out, WS_TEXT, welcome, sizeof welcome - 1);
    mark(c);
    return (size_t)(stop - at) + 4;
}

/* What members of a room say about what they got. A peer that answers now and then makes its kernel
 * hold back acknowledgements, which then are made while the server sends: both servers pay it. */
static bool is_receipt(const char *at, size_t len) {
    static const char head[] = "{\"type\":\"ack\"";
    return len >= sizeof head - 1 && memcmp(at, head, sizeof head - 1) == 0;
}

static void on_frame(conn_t *c, const frame_head_t *h, char *at) {
    frame_mask(at, h->len, h->mask, 0);
    if (h->opcode == WS_CLOSE) {
        end(c);
    } else if (h->opcode == WS_PING) {
        add_frame(&c->out, WS_PONG, at, h->len);
        mark(c);
    } else if (h->opcode == WS_TEXT && c->kind == ROOM) {
        if (!is_receipt(at, h->len))
            room_say(c, at, h->len);
    } else if (h->opcode == WS_TEXT || h->opcode == WS_BINARY) {
        if (c->kind == ECHO)
            add_frame(&c->out, h->opcode, at, h->len);
        else
            add_frame(&c->out, WS_TEXT, pong, sizeof pong - 1);
        mark(c);
    }
}

static size_t consume(conn_t *c, char *at, size_t len) {
    size_t used = c->kind == HANDSHAKE ? on_handshake(c, at, len) : 0;
    while (c->fd >= 0 && c->kind != HANDSHAKE) {
        frame_head_t h;
        int got = frame_parse_head(at + used, len - used, true, &h);
        if (got < 0)
            end(c);
        if (got <= 0 || len - used < h.size + h.len)
            break;
        on_frame(c, &h, at + used + h.size);
        used += h.size + h.len;
    }
    return used;
}

static void on_readable(conn_t *c) {
    ssize_t n = recv(c->fd, recv_room, RECV_MAX, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            end(c);
        return;
    }
    if (c->in.len) {
        buf_add(&c->in, recv_room, (size_t)n);
        buf_drop(&c->in, consume(c, c->in.at, c->in.len));
    } else {
        size_t used = consume(c, recv_room, (size_t)n);
        if (c->fd >= 0 && used < (size_t)n)
            buf_add(&c->in, recv_room + used, (size_t)n - used);
    }
    if (c->in.len == 0)
        buf_free(&c->in);
}

static void on_listener(int listener) {
    for (int i = 0; i < 256; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
        if (fd < 0) {
            if (errno == EMFILE) /* else it would be told of them for ever */
                epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL);
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conn_t *c = calloc(1, sizeof *c);
        c->fd = fd;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int listen_on(uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0) {
        perror("bench_bare");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&a, &len);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    printf("bare ready 127.0.0.1:%u\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    static struct epoll_event e[EVENTS];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(argc > 1 ? (uint16_t)atoi(argv[1]) : 0);
    for (;;) {
        int n = epoll_wait(epoll, e, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            conn_t *c = e[i].data.ptr;
            if (!c) {
                on_listener(listener);
            } else if (c->fd >= 0) {
                if (e[i].events & EPOLLOUT)
                    send_run(c, c->out.at, c->out.len);
                if (c->fd >= 0 && (e[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                    on_readable(c);
            }
        }
        flush();
    }
}
