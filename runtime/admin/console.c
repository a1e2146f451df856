/* console: see console.h. Here: the thread, the loop, the listener and the sockets of sessions.
 * main makes and stops it; everything between runs in the console's own thread. Output is gathered
 * in session->out and sent when the turn that made it is over. */
#include "admin/console_in.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 16

uint64_t console_now(const console_t *c) {
    (void)c;
    return clock_mono_ns() / 1000000;
}

/* --- sending --- */

typedef struct packet {
    uv_write_t req;
    session_t *session;
    buf_t bytes;
} packet_t;

static void pause_reading(session_t *s);

static void sent(uv_write_t *req, int status) {
    packet_t *p = (packet_t *)req->data;
    session_t *s = p->session;
    s->queued -= p->bytes.len;
    s->moved_ms = console_now(s->console);
    buf_free(&p->bytes);
    pool_free(p, sizeof *p);
    if (status < 0) {
        session_cut(s);
        return;
    }
    session_work(s); /* it may have waited for room */
    session_flush(s);
}

/* A telnet client's screen wants \r\n. */
static void line_ends(session_t *s) {
    buf_t with = {0};
    const char *at = s->out.at, *end = at + s->out.len;
    if (!s->telnet.seen)
        return;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = stop ? (size_t)(stop - at) : (size_t)(end - at);
        buf_add(&with, at, n);
        if (stop && (n == 0 || stop[-1] != '\r'))
            buf_add_char(&with, '\r');
        if (stop)
            buf_add_char(&with, '\n');
        at += n + (stop ? 1 : 0);
    }
    buf_free(&s->out);
    s->out = with;
}

void session_flush(session_t *s) {
    if (s->closing)
        return;
    if (s->out.len) {
        line_ends(s);
        packet_t *p = pool_zalloc(sizeof *p);
        *p = (packet_t){.session = s, .bytes = s->out};
        p->req.data = p;
        s->out = (buf_t){0};
        if (s->queued == 0)
            s->moved_ms = console_now(s->console);
        s->queued += p->bytes.len;
        uv_buf_t b = uv_buf_init(p->bytes.at, p->bytes.len);
        if (uv_write(&p->req, (uv_stream_t *)&s->tcp, &b, 1, sent) != 0) {
            s->queued -= p->bytes.len;
            buf_free(&p->bytes);
            pool_free(p, sizeof *p);
            session_cut(s);
            return;
        }
    }
    if (s->state == SESSION_LEAVING && s->queued == 0)
        session_cut(s);
    else
        pause_reading(s);
}

static void flush_all(console_t *c) {
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        if (!c->sessions[i])
            continue;
        session_work(c->sessions[i]);
        session_flush(c->sessions[i]);
    }
}

/* --- receiving --- */

static void allocate(uv_handle_t *h, size_t wanted, uv_buf_t *out) {
    static __thread char room[4096]; /* one read at a time */
    (void)h, (void)wanted;
    *out = uv_buf_init(room, sizeof room);
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *b) {
    session_t *s = stream->data;
    if (n > 0)
        session_bytes(s, (const uint8_t *)b->base, (size_t)n);
    else if (n == UV_EOF)
        session_eof(s);
    else if (n < 0)
        session_cut(s);
    session_flush(s);
}

/* Not read while it has not taken what we said, or has typed far ahead. */
static void pause_reading(session_t *s) {
    bool pause = s->queued > QUEUE_SOFT || s->in.len > INPUT_MAX;
    if (s->closing || s->eof || pause == s->paused)
        return;
    s->paused = pause;
    if (pause)
        uv_read_stop((uv_stream_t *)&s->tcp);
    else
        uv_read_start((uv_stream_t *)&s->tcp, allocate, received);
}

/* --- sessions come and go --- */

static void closed(uv_handle_t *h) {
    session_t *s = h->data;
    if (!s)
        return; /* it was refused */
    console_t *c = s->console;
    for (uint32_t i = 0; i < SESSIONS_MAX; i++)
        if (c->sessions[i] == s)
            c->sessions[i] = NULL;
    c->session_count--;
    stat_add(STAT_CONSOLE_SESSIONS, -1);
    session_free(s);
}

void session_cut(session_t *s) {
    if (s->closing)
        return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->tcp, closed);
}

void session_end(session_t *s) {
    s->state = SESSION_LEAVING;
}

static void refused(uv_handle_t *h) {
    pool_free(h, sizeof(uv_tcp_t));
}

static void refuse(console_t *c) {
    uv_tcp_t *tcp = pool_zalloc(sizeof *tcp);
    static const char why[] = "too many sessions (admin.sessions)\n";
    uv_buf_t b = uv_buf_init((char *)why, sizeof why - 1);
    stat_add(STAT_CONSOLE_REFUSED, 1);
    uv_tcp_init(&c->loop, tcp);
    if (uv_accept((uv_stream_t *)&c->listener, (uv_stream_t *)tcp) == 0)
        uv_try_write((uv_stream_t *)tcp, &b, 1);
    uv_close((uv_handle_t *)tcp, refused);
}

/* Whoever has not logged in has no right to a place: the one that came first loses it. */
static bool make_room(console_t *c) {
    session_t *oldest = NULL;
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        session_t *s = c->sessions[i];
        if (s && !s->closing && s->role == CONSOLE_NOBODY &&
            (!oldest || s->since_ms < oldest->since_ms))
            oldest = s;
    }
    if (!oldest)
        return false;
    session_goodbye(oldest, "somebody else needs the place");
    session_flush(oldest);
    session_cut(oldest);
    return true;
}

/* A place in the table, SESSIONS_MAX: there is none. Those that are closing hold theirs a little
 * longer, but do not count. */
static uint32_t find_place(console_t *c) {
    uint32_t place = SESSIONS_MAX, living = 0;
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        living += c->sessions[i] && !c->sessions[i]->closing;
        if (!c->sessions[i] && place == SESSIONS_MAX)
            place = i;
    }
    return living < c->session_max || make_room(c) ? place : SESSIONS_MAX;
}

static void accepted(uv_stream_t *listener, int status) {
    console_t *c = listener->data;
    if (status < 0)
        return;
    uint32_t place = find_place(c);
    if (place == SESSIONS_MAX) {
        refuse(c);
        return;
    }
    session_t *s = session_new(c);
    c->sessions[place] = s;
    c->session_count++;
    stat_add(STAT_CONSOLE_SESSIONS, 1);
    uv_tcp_init(&c->loop, &s->tcp);
    s->tcp.data = s;
    if (uv_accept(listener, (uv_stream_t *)&s->tcp) != 0) {
        session_cut(s);
        return;
    }
    uv_tcp_nodelay(&s->tcp, 1);
    uv_tcp_keepalive(&s->tcp, 1, 60);
    session_hello(s);
    uv_read_start((uv_stream_t *)&s->tcp, allocate, received);
    session_flush(s);
}

/* --- the loop --- */

static void close_all(console_t *c) {
    c->stopping = true;
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        session_t *s = c->sessions[i];
        if (!s || s->closing)
            continue;
        session_goodbye(s, "the node stops");
        session_flush(s);
        session_cut(s);
    }
    uv_close((uv_handle_t *)&c->listener, NULL);
    uv_close((uv_handle_t *)&c->tick, NULL);
    uv_close((uv_handle_t *)&c->async, NULL);
}

static void woken(uv_async_t *a) {
    console_t *c = a->data;
    ask_arrived(c);
    if (atomic_load(&c->stop) && !c->stopping)
        close_all(c);
    else
        flush_all(c);
}

static void tick(uv_timer_t *t) {
    console_t *c = t->data;
    ask_tick(c);
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        session_t *s = c->sessions[i];
        if (!s || s->closing)
            continue;
        if (s->queued && console_now(c) - s->moved_ms > STUCK_MS) {
            stat_add(STAT_CONSOLE_CUT, 1);
            session_cut(s);
        } else {
            session_tick(s);
        }
    }
    flush_all(c);
}

static void run(void *arg) {
    console_t *c = arg;
    pthread_setname_np(pthread_self(), "console");
    uv_run(&c->loop,
           UV_RUN_DEFAULT); /* until close_all; a password check that runs is waited for */
    ask_close(c);
    uv_loop_close(&c->loop);
    pool_thread_end();
}

static void *thread_main(void *arg) {
    run(arg);
    return NULL;
}

/* --- start, stop --- */

static int write_token(console_t *c, char *fault, size_t room) {
    uint8_t bytes[TOKEN_BYTES];
    char line[256];
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(c->token, sizeof c->token, bytes, sizeof bytes);
    int n = snprintf(line, sizeof line, "%s %s\n", c->address, c->token);
    unlink(c->token_path); /* one with other rights, or a link, is not written to */
    int fd = open(c->token_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, line, (size_t)n) == n;
    if (fd >= 0)
        close(fd);
    if (!ok)
        snprintf(fault, room, "%.300s: %s", c->token_path, strerror(errno));
    return ok ? ERR_OK : ERR_IO;
}

/* "127.0.0.1:7001", "[::1]:7001" */
static int parse_address(const char *text, struct sockaddr_storage *out) {
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (!colon || n >= sizeof host)
        return UV_EINVAL;
    bool six = n > 1 && text[0] == '[' && text[n - 1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(six ? n - 2 : n), text + (six ? 1 : 0));
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    int port = atoi(colon + 1);
    return six ? uv_ip6_addr(host, port, (struct sockaddr_in6 *)out)
               : uv_ip4_addr(host, port, (struct sockaddr_in *)out);
}

static void tell_address(console_t *c) {
    struct sockaddr_storage a;
    int len = sizeof a;
    char host[48];
    if (uv_tcp_getsockname(&c->listener, (struct sockaddr *)&a, &len) != 0)
        return;
    bool six = a.ss_family == AF_INET6;
    uint16_t port =
        ntohs(six ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
    if (six)
        uv_ip6_name((struct sockaddr_in6 *)&a, host, sizeof host);
    else
        uv_ip4_name((struct sockaddr_in *)&a, host, sizeof host);
    snprintf(c->address, sizeof c->address, six ? "[%s]:%u" : "%s:%u", host, port);
}

static int listen_here(console_t *c) {
    struct sockaddr_storage a = {0};
    int err = parse_address(conf_text(c->conf, "admin.listen").at, &a);
    if (err == 0)
        err = uv_tcp_bind(&c->listener, (struct sockaddr *)&a, 0);
    if (err == 0)
        err = uv_listen((uv_stream_t *)&c->listener, BACKLOG, accepted);
    if (err == 0)
        tell_address(c);
    return err;
}

static int give_up(console_t *c, int err, char *fault, size_t room) {
    if (err != 0)
        snprintf(fault, room, "admin.listen: %s: %s", conf_text(c->conf, "admin.listen").at,
                 uv_strerror(err));
    close_all(c);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    uv_loop_close(&c->loop);
    snprintf(c->address, sizeof c->address, "off");
    return ERR_IO;
}

int console_start(console_t *c, char *fault, size_t room) {
    if (conf_text(c->conf, "admin.listen").len == 0)
        return ERR_OK;
    if (uv_loop_init(&c->loop) != 0) {
        snprintf(fault, room, "console: no descriptor for its loop");
        return ERR_IO;
    }
    uv_tcp_init(&c->loop, &c->listener);
    uv_async_init(&c->loop, &c->async, woken);
    uv_timer_init(&c->loop, &c->tick);
    c->listener.data = c->async.data = c->tick.data = c;
    int err = listen_here(c);
    if (err != 0)
        return give_up(c, err, fault, room);
    if (write_token(c, fault, room) != ERR_OK)
        return give_up(c, 0, fault, room);
    uv_timer_start(&c->tick, tick, TICK_MS, TICK_MS);
    c->deaf = false;
    if (pthread_create(&c->thread, NULL, thread_main, c) != 0) {
        snprintf(fault, room, "console: no thread");
        return give_up(c, 0, fault, room);
    }
    c->started = true;
    return ERR_OK;
}

void console_stop(console_t *c) {
    if (!c || !c->started)
        return;
    c->started = false;
    atomic_store(&c->stop, true);
    uv_async_send(&c->async);
    pthread_join(c->thread, NULL);
    unlink(c->token_path);
}

const char *console_address(const console_t *c) {
    return c->address;
}

console_t *console_new(runtime_t *rt, const conf_t *conf, console_verify_t verify, void *arg) {
    console_t *c = pool_zalloc(sizeof *c);
    slice_t dir = conf_text(conf, "data.dir");
    c->rt = rt;
    c->conf = conf;
    c->verify = verify;
    c->verify_arg = arg;
    c->deaf = true;
    c->session_max = (uint32_t)conf_int(conf, "admin.sessions");
    c->idle_ms = (uint64_t)conf_int(conf, "admin.idle");
    snprintf(c->address, sizeof c->address, "off");
    snprintf(c->token_path, sizeof c->token_path, "%.900s/console.token", dir.at);
    snprintf(c->accounts_path, sizeof c->accounts_path, "%.900s/console.users", dir.at);
    pthread_mutex_init(&c->lock, NULL);
    console_basic_add(c);
    console_top_add(c);
    console_actor_add(c);
    console_tree_add(c);
    console_node_add(c);
    if (ask_setup(c))
        return c;
    console_free(c);
    return NULL;
}

void console_free(console_t *c) {
    if (!c)
        return;
    console_stop(c);
    pthread_mutex_destroy(&c->lock);
    sodium_memzero(c->token, sizeof c->token);
    pool_free(c, sizeof *c);
}
