/* net_world: what the net specs share: a runtime with a small handler (HTTP and WebSocket), and
 * clients that speak bytes. Paths: /hello, /bytes?N, /file, /echo (POST), /later, /abort, /close,
 * /ws. */
#pragma once
/* each spec uses some of it */
#pragma GCC diagnostic ignored "-Wunused-function"
#include "base/err.h"
#include "base/pool.h"
#include "base/stat.h"
#include "net/frame.h"
#include "net/net.h"
#include "spec/wait.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SAY_LATER = MSG_USER, SAY_RESUME, SAY_PUSH };

typedef struct guest {
    actor_t *self;
    net_conn_t *net;
    buf_t body;
    http_method_t method;
    char path[64];
    bool ws;
} guest_t;

static conf_t *world_conf;
static runtime_t *world_rt;
static net_t *world_net;
static int world_port;
static _Atomic uint64_t opened, ended, requests, messages, controls, rooms;
static _Atomic int last_code, body_calls;
static _Atomic uint64_t life_seen, queue_seen;
static net_life_t life;
static const char *world_file = "/dev/null";

static void add_accept(const http_request_t *req, char out[32]) {
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[128];
    unsigned char sha[20], base[32];
    unsigned len = 0;
    slice_t key = http_header(req, "sec-websocket-key");
    snprintf(text, sizeof text, "%.*s%s", (int)key.len, key.at, magic);
    EVP_Digest(text, strlen(text), sha, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock(base, sha, 20);
    memcpy(out, base, 29);
}

static int guest_init(actor_t *self, void *state, const void *arg) {
    guest_t *g = state;
    g->self = self;
    g->net = (net_conn_t *)(uintptr_t)arg;
    opened++;
    return ERR_OK;
}

static void answer(guest_t *g, int status, const void *at, size_t len, bool close) {
    net_respond(g->net, status, SLICE("X-Spec: yes\r\n"), block_of(at, len), close);
}

static void guest_handle(actor_t *self, void *state, msg_t *m) {
    guest_t *g = state;
    (void)self;
    if (!g->net)
        return;
    if (m->verb == SAY_LATER)
        answer(g, 200, "later", 5, false);
    else if (m->verb == SAY_RESUME)
        net_pause(g->net, false);
    else if (m->verb == MSG_STOP)
        net_abort(g->net);
}

static void send_bytes(guest_t *g, slice_t query) {
    size_t n = (size_t)strtoul(query.len ? query.at : "0", NULL, 10);
    block_t *b = block_new(n);
    for (size_t i = 0; i < n; i++)
        b->data[i] = (char)('a' + i % 26);
    b->len = (uint32_t)n;
    net_respond(g->net, 200, (slice_t){NULL, 0}, b, false);
}

static void send_a_file(guest_t *g, slice_t query) {
    int fd = open(world_file, O_RDONLY);
    off_t size = lseek(fd, 0, SEEK_END);
    uint64_t off = strtoul(query.len ? query.at : "0", NULL, 10);
    net_respond_file(g->net, 200, SLICE("Content-Type: text/plain\r\n"), fd, off,
                     (uint64_t)size - off);
}

static bool is(slice_t path, const char *text) {
    return slice_eq(path, slice_of(text));
}

static void guest_request(actor_t *self, void *state, net_conn_t *c, const http_request_t *req) {
    guest_t *g = state;
    requests++;
    g->method = req->method;
    snprintf(g->path, sizeof g->path, "%.*s", (int)req->path.len, req->path.at);
    g->body.len = 0;
    if (is(req->path, "/hello")) {
        answer(g, 200, "hello", 5, false);
    } else if (is(req->path, "/bytes")) {
        send_bytes(g, req->query);
    } else if (is(req->path, "/file")) {
        send_a_file(g, req->query);
    } else if (is(req->path, "/later")) {
        actor_after(self, 5, SAY_LATER, 0);
    } else if (is(req->path, "/abort")) {
        net_abort(c);
    } else if (is(req->path, "/close")) {
        answer(g, 200, "bye", 3, true);
    } else if (is(req->path, "/early")) {
        answer(g, 413, "no", 2, false);
    } else if (is(req->path, "/ws")) {
        char key[32];
        add_accept(req, key);
        g->ws = true;
        net_upgrade(c, slice_of(key), (slice_t){"", 0}, 65536);
    }
}

static void guest_body(actor_t *self, void *state, net_conn_t *c, slice_t bytes, bool last) {
    guest_t *g = state;
    (void)self, (void)c;
    body_calls++;
    buf_add_slice(&g->body, bytes);
    if (last && strcmp(g->path, "/echo") == 0)
        answer(g, 200, g->body.len ? g->body.at : "", g->body.len, false);
    else if (last && strcmp(g->path, "/later") != 0 && strcmp(g->path, "/never") != 0)
        answer(g, 404, "none", 4, false);
}

static bool says(const char *at, size_t len, const char *word) {
    return len >= strlen(word) && memcmp(at, word, strlen(word)) == 0;
}

/* "push N": N frames of 1,000 bytes out of one block. */
static void push(net_conn_t *c, const char *at, size_t len) {
    char text[16] = "";
    memcpy(text, at, len < 15 ? len : 15);
    unsigned n = (unsigned)strtoul(text, NULL, 10);
    block_t *b = block_new(1004);
    size_t head = net_ws_head(b->data, 1000);
    memset(b->data + head, 'p', 1000);
    b->len = (uint32_t)(head + 1000);
    for (unsigned i = 0; i < n; i++)
        net_ws_frames(c, b, 0, b->len);
    block_unref(b);
}

static void guest_message(actor_t *self, void *state, net_conn_t *c, bool text, char *at,
                          size_t len) {
    (void)state;
    messages++;
    if (says(at, len, "close ")) {
        net_ws_close(c, (uint16_t)atoi((char[5]){at[6], at[7], at[8], at[9], 0}), SLICE("why"));
        net_ws_text(c, SLICE("too late"));
    } else if (says(at, len, "abort")) {
        net_abort(c);
        net_ws_text(c, SLICE("too late"));
        net_ws_close(c, 1000, (slice_t){"", 0});
    } else if (says(at, len, "pause")) {
        net_pause(c, true);
        if (len == 5)
            actor_after(self, 20, SAY_RESUME, 0);
    } else if (says(at, len, "push ")) {
        push(c, at + 5, len - 5);
        queue_seen = net_queued(c);
    } else if (says(at, len, "life")) {
        net_life(c, &life);
        life_seen++;
    } else if (text) {
        net_ws_text(c, (slice_t){at, len});
    } else {
        block_t *b = block_new(len + 14);
        b->len = (uint32_t)frame_write_head(b->data, WS_BINARY, true, len, NULL);
        memcpy(b->data + b->len, at, len);
        b->len += (uint32_t)len;
        net_ws_frames(c, b, 0, b->len);
        block_unref(b);
    }
}

static void guest_control(actor_t *self, void *state, net_conn_t *c, uint8_t opcode,
                          slice_t payload) {
    (void)self, (void)state, (void)c, (void)opcode, (void)payload;
    controls++;
}

static bool guest_frame(actor_t *self, void *state, net_conn_t *c, uint8_t opcode, bool fin) {
    (void)self, (void)state, (void)c, (void)fin;
    return opcode != WS_PONG;
}

static void guest_room(actor_t *self, void *state, net_conn_t *c) {
    (void)self, (void)state, (void)c;
    rooms++;
}

static void guest_closed(actor_t *self, void *state, net_conn_t *c, uint16_t code) {
    guest_t *g = state;
    net_respond(c, 500, (slice_t){NULL, 0}, NULL, false); /* must be harmless */
    net_ws_text(c, SLICE("nobody"));
    net_abort(c);
    buf_free(&g->body);
    g->net = NULL;
    last_code = code;
    ended++;
    actor_exit(self, ERR_OK);
}

static const actor_class_t guest_class = {.name = "guest",
                                          .place = ACTOR_PINNED,
                                          .state_size = sizeof(guest_t),
                                          .init = guest_init,
                                          .handle = guest_handle};
static const net_handler_t guest_handler = {.cls = &guest_class,
                                            .request = guest_request,
                                            .body = guest_body,
                                            .message = guest_message,
                                            .control = guest_control,
                                            .frame = guest_frame,
                                            .room = guest_room,
                                            .closed = guest_closed};

/* --- the world --- */

static void set(const char *key, const char *value) {
    char fault[256];
    if (conf_set(world_conf, key, slice_of(value), fault, sizeof fault) != ERR_OK) {
        puts(fault);
        abort();
    }
}

static void world_prepare(uint32_t workers) {
    signal(SIGPIPE, SIG_IGN);
    opened = ended = requests = messages = controls = rooms = 0;
    last_code = -1;
    body_calls = 0;
    world_conf = world_conf ? world_conf : conf_new();
    world_rt = runtime_new(&(runtime_conf_t){.workers = workers, .seed = 1});
    world_net = net_new(world_rt, world_conf, &guest_handler);
}

static void world_listen(const char *address, const char *cert, const char *key) {
    char fault[256] = "";
    net_listener_conf_t l = {.address = address, .id = 7, .tls_cert = cert, .tls_key = key};
    if (net_listen(world_net, &l, fault, sizeof fault) != ERR_OK) {
        puts(fault);
        abort();
    }
    world_port = atoi(strrchr(net_listen_address(world_net, 7), ':') + 1);
    runtime_start(world_rt);
}

static void world_start(void) {
    world_prepare(2);
    world_listen("127.0.0.1:0", NULL, NULL);
}

static void world_stop(void) {
    runtime_stop(world_rt, WAIT_MS);
    net_free(world_net);
    runtime_free(world_rt);
    conf_free(world_conf);
    world_conf = NULL;
}

static bool wait_stat(enum stat_id id, int64_t want) {
    return COMES(stat_read(id) == want);
}

/* --- a client that speaks bytes --- */

static int dial(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)world_port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void say(int fd, const void *at, size_t len) {
    const char *p = at;
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        p += n;
        len -= (size_t)n;
    }
}

static void say_text(int fd, const char *text) {
    say(fd, text, strlen(text));
}

static char heard[4 << 20];
static size_t heard_len;

/* One more piece; 0: end; -1: reset or nothing for WAIT_MS. */
static ssize_t hear_some(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, WAIT_MS) != 1)
        return -1;
    ssize_t n = recv(fd, heard + heard_len, sizeof heard - 1 - heard_len, 0);
    if (n > 0)
        heard_len += (size_t)n;
    heard[heard_len] = 0;
    return n;
}

/* Until `word` was heard n times. */
static bool hear(int fd, const char *word, int n) {
    heard_len = 0;
    heard[0] = 0;
    for (;;) {
        int found = 0;
        for (char *at = heard;
             (at = memmem(at, heard_len - (size_t)(at - heard), word, strlen(word))); at++)
            found++;
        if (found >= n)
            return true;
        if (hear_some(fd) <= 0)
            return false;
    }
}

static bool hear_end(int fd) {
    ssize_t n;
    heard_len = 0;
    heard[0] = 0;
    while ((n = hear_some(fd)) > 0)
        ;
    return n == 0;
}

/* --- frames --- */

static size_t put_frame(char *to, uint8_t opcode, bool fin, const void *at, size_t len) {
    static const uint8_t mask[4] = {7, 9, 250, 1};
    size_t n = frame_write_head(to, opcode, fin, len, mask);
    memcpy(to + n, at, len);
    frame_mask(to + n, len, mask, 0);
    return n + len;
}

static void say_frame(int fd, uint8_t opcode, bool fin, const void *at, size_t len) {
    char *bytes = malloc(len + 14);
    say(fd, bytes, put_frame(bytes, opcode, fin, at, len));
    free(bytes);
}

static void say_message(int fd, const char *text) {
    say_frame(fd, WS_TEXT, true, text, strlen(text));
}

/* The next frame, its payload in `heard`; the opcode, -1: end, -2: something wrong. */
static int hear_frame(int fd) {
    frame_head_t f;
    heard_len = 0;
    for (;;) {
        int got = frame_parse_head(heard, heard_len, false, &f);
        if (got < 0)
            return -2;
        size_t want = got ? f.size + f.len : heard_len + 1;
        if (got && heard_len == want) {
            memmove(heard, heard + f.size, f.len);
            heard_len = f.len;
            heard[heard_len] = 0;
            return f.opcode;
        }
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n =
            poll(&p, 1, WAIT_MS) == 1 ? recv(fd, heard + heard_len, want - heard_len, 0) : -1;
        if (n <= 0)
            return n == 0 ? -1 : -2;
        heard_len += (size_t)n;
    }
}

/* The code of the close frame that comes, other frames aside; -1: end without one. */
static int hear_close(int fd) {
    int op;
    while ((op = hear_frame(fd)) >= 0)
        if (op == WS_CLOSE)
            return heard_len >= 2 ? (uint8_t)heard[0] << 8 | (uint8_t)heard[1] : 1005;
    return op;
}

#define WS_REQUEST                                                                                 \
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                 \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static int dial_ws(void) {
    int fd = dial();
    char one;
    say_text(fd, WS_REQUEST);
    heard_len = 0;
    do {
        if (recv(fd, &one, 1, 0) != 1)
            return -1;
        heard[heard_len++] = one;
    } while (heard_len < 4 || memcmp(heard + heard_len - 4, "\r\n\r\n", 4) != 0);
    heard[heard_len] = 0;
    return strstr(heard, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") ? fd : -1;
}
