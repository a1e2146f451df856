/* tls: the transport with TLS: libwebsockets' raw role on the worker's own loop does the handshake
 * and decrypts; what it gives goes the same way as plain bytes. One context per worker, because
 * its service is bound to one thread. Sending is SSL_write on its session: lws_write would keep
 * what the socket does not take in a buffer of its own, and while that is full the library neither
 * reads nor stops watching (a busy loop). */
#include "base/log.h"
#include "net/net_in.h"
#include <errno.h>
#include <libwebsockets.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORD    16384 /* of TLS */
#define SENDS     8     /* records of one socket in one turn */
#define TURNS_MAX 10000 /* until the library's handles are closed */
#define ALERT_MAX 64    /* a close_notify and its frame: nothing that we would want to read */

/* Making and ending contexts changes globals of the library and of OpenSSL. At start and stop only.
 */
static pthread_mutex_t global = PTHREAD_MUTEX_INITIALIZER;

/* --- certificates, before the start --- */

static int fault_of(const char *file, char *fault, size_t room) {
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(fault, room, "%.200s: %s", file ? file : "(no file)", why ? why : "not readable");
    ERR_clear_error();
    return ERR_IO;
}

int tls_check(const net_listener_t *l, char *fault, size_t room) {
    if (!l->cert || !l->key) {
        snprintf(fault, room, "TLS needs a certificate and a key");
        return ERR_IO;
    }
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int err = ERR_OK;
    if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, l->cert) != 1)
        err = fault_of(l->cert, fault, room);
    else if (SSL_CTX_use_PrivateKey_file(ctx, l->key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(ctx) != 1)
        err = fault_of(l->key, fault, room);
    SSL_CTX_free(ctx);
    return err;
}

/* --- what the library tells --- */

static int received(net_conn_t *c, struct lws *wsi, char *at, size_t len) {
    if (!(c->flags & F_TLS_UP)) {
        c->flags |= F_TLS_UP;
        lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0); /* from here on our own */
    }
    conn_input(c, at, len);
    return 0;
}

/* Neither side knows the other any more, and no event is left. */
static void part(net_conn_t *c) {
    if (!c->events)
        epoll_ctl(c->worker->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    lws_set_opaque_user_data(c->wsi, NULL);
    c->wsi = NULL;
}

/* The library's last word (and its close of the descriptor) comes from the loop's closing phase:
 * after the end of our turn, when its time limit closed in the timers that uv_run looks at last. By
 * then c is freed. */
static void gone(net_conn_t *c) {
    part(c);
    c->flags |= F_EOF;
    conn_cut(c);
}

/* Two listeners with two certificates share one port in the library's eyes, and its choice by name
 * would give one the other's certificate. */
static int own_choice(SSL_CTX *ctx) {
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
    return 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len) {
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
        return own_choice(user);
    if (reason != LWS_CALLBACK_RAW_RX && reason != LWS_CALLBACK_RAW_WRITEABLE &&
        reason != LWS_CALLBACK_RAW_CLOSE && reason != LWS_CALLBACK_WSI_DESTROY)
        return 0;
    net_conn_t *c = lws_get_opaque_user_data(wsi);
    if (!c)
        return 0; /* we have let go of it, or do not know it yet */
    if (reason == LWS_CALLBACK_RAW_RX)
        return received(c, wsi, in, len);
    if (reason == LWS_CALLBACK_RAW_WRITEABLE) {
        c->flags &= ~(uint32_t)F_BLOCKED;
        conn_pend(c);
    } else {
        gone(c);
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = "parley", .callback = on_lws, .rx_buffer_size = RECORD}, {0}};

static void on_log(int level, const char *line) {
    size_t len = strcspn(line, "\n");
    log_write(level == LLL_ERR ? LOG_WARN : LOG_DEBUG, "tls", "%.*s", (int)len, line);
}

/* --- a worker's context --- */

static bool add_vhost(net_worker_t *w, net_listener_t *l) {
    char name[32];
    snprintf(name, sizeof name, "parley-%u", l->id);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .vhost_name = name,
        /* the last one also says that no client context is wanted: it would leak, its index is a
         * global that each context of the library sets anew */
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_LIBUV |
                   LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG,
        .listen_accept_role = "raw-skt",
        .listen_accept_protocol = "parley",
        .ssl_cert_filepath = l->cert,
        .ssl_private_key_filepath = l->key,
        .ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION,
        .alpn = "http/1.1",
    };
    return (l->sockets[w->index].vhost = lws_create_vhost(w->tls, &info)) != NULL;
}

static bool wants_tls(const net_t *net) {
    for (const net_listener_t *l = net->listeners; l; l = l->next)
        if (l->cert)
            return true;
    return false;
}

static void count_handle(uv_handle_t *h, void *arg) {
    (void)h;
    ++*(uint32_t *)arg;
}

static uint32_t handles(net_worker_t *w) {
    uint32_t n = 0;
    uv_walk(worker_loop(w->rt, w->index), count_handle, &n);
    return n;
}

static bool make_context(net_worker_t *w) {
    void *loop = worker_loop(w->rt, w->index);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .foreign_loops = &loop,
        .uid = -1,
        .gid = -1,
        .pt_serv_buf_size = RECORD,
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    w->tls = lws_create_context(&info);
    bool ok = w->tls != NULL;
    for (net_listener_t *l = w->net->listeners; ok && l; l = l->next)
        ok = !l->cert || add_vhost(w, l);
    return ok;
}

bool tls_worker_open(net_worker_t *w) {
    if (!wants_tls(w->net))
        return true;
    w->handles = handles(w);
    pthread_mutex_lock(&global);
    bool ok = make_context(w);
    pthread_mutex_unlock(&global);
    return ok;
}

/* The library closes its handles in the loop; only then a second call frees the context. */
void tls_worker_close(net_worker_t *w) {
    if (!w->tls)
        return;
    pthread_mutex_lock(&global);
    lws_context_destroy(w->tls);
    for (int i = 0; i < TURNS_MAX && handles(w) > w->handles; i++)
        uv_run(worker_loop(w->rt, w->index), UV_RUN_NOWAIT);
    lws_context_destroy(w->tls);
    pthread_mutex_unlock(&global);
    w->tls = NULL;
}

/* --- the transport --- */

/* Takes the descriptor, also when it fails. */
static bool open_conn(net_conn_t *c, const net_listener_t *l) {
    lws_adopt_desc_t d = {.vh = l->sockets[c->worker->index].vhost,
                          .type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
                          .vh_prot_name = "parley"};
    d.fd.sockfd = c->fd;
    c->wsi = lws_adopt_descriptor_vhost_via_info(&d);
    if (!c->wsi)
        return false;
    lws_set_opaque_user_data(c->wsi, c);
    SSL_set_mode(lws_get_ssl(c->wsi), SSL_MODE_ENABLE_PARTIAL_WRITE);
    c->events = 1;
    return true;
}

/* The library does not look for an end while it does not read: our own epoll does, at that time. */
static void watch(net_conn_t *c, bool read) {
    if (read == !!c->events || !c->wsi)
        return;
    c->events = read;
    lws_rx_flow_control(c->wsi, read);
    struct epoll_event e = {.events = EPOLLRDHUP, .data.ptr = c};
    epoll_ctl(c->worker->epoll, read ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, c->fd, &e);
}

void tls_event(net_conn_t *c, uint32_t events) {
    int unread = 0;
    if (c->flags & F_ABORT)
        return;
    bool over = events & (EPOLLERR | EPOLLHUP);
    if (over || (ioctl(c->fd, FIONREAD, &unread) == 0 && unread <= ALERT_MAX && c->in.len == 0))
        conn_cut(c);
    else
        epoll_ctl(c->worker->epoll, EPOLL_CTL_DEL, c->fd, NULL); /* seen when it is read again */
}

/* 0: it cannot be read, or (F_COLD) not now. A record that is tried again must not be shorter. */
static size_t gather_file(net_conn_t *c, out_node_t *n, char *room) {
    size_t len = n->file_len < RECORD ? (size_t)n->file_len : RECORD;
    struct iovec v = {room, len};
    ssize_t got = -1;
    if (!(c->flags & F_WARM)) {
        got = preadv2(n->fd, &v, 1, (off_t)n->file_off, RWF_NOWAIT);
        bool cold = got < 0 ? errno == EAGAIN : (size_t)got < len;
        if (cold && conn_cold(c))
            return 0;
    }
    if (got < 0 || (size_t)got < len)
        got = pread(n->fd, room, len, (off_t)n->file_off);
    return got > 0 ? (size_t)got : 0;
}

static size_t gather(const net_conn_t *c, char *room) {
    size_t len = 0;
    for (out_node_t *n = c->head; n && len < RECORD && !out_is_file(n); n = n->next) {
        size_t part = n->len < RECORD - len ? n->len : RECORD - len;
        memcpy(room + len, (n->block ? n->block->data : n->data) + n->off, part);
        len += part;
    }
    return len;
}

/* >0: so many left; 0: blocked; <0: broken. A blocked record is tried again with the same bytes at
 * its front, as OpenSSL asks: the queue only grows at its end. */
static int write_record(net_conn_t *c, const char *at, size_t len) {
    SSL *ssl = lws_get_ssl(c->wsi);
    ERR_clear_error();
    int n = SSL_write(ssl, at, (int)len);
    if (n > 0)
        return n;
    int why = SSL_get_error(ssl, n);
    ERR_clear_error();
    if (why != SSL_ERROR_WANT_WRITE && why != SSL_ERROR_WANT_READ)
        return -1;
    c->flags |= F_BLOCKED;
    lws_callback_on_writable(c->wsi);
    return 0;
}

static bool send_some(net_conn_t *c) {
    char *room = c->worker->rbuf; /* free at the end of a turn */
    if (!c->wsi || !SSL_is_init_finished(lws_get_ssl(c->wsi)))
        return false;
    for (int i = 0; i < SENDS && c->head && !(c->flags & (F_BLOCKED | F_COLD)); i++) {
        bool file = out_is_file(c->head);
        size_t len = file ? gather_file(c, c->head, room) : gather(c, room);
        if (c->flags & F_COLD)
            break;
        int n = len ? write_record(c, room, len) : -1;
        if (n < 0)
            return false;
        if (file && n)
            out_file_sent(c, (size_t)n);
        else
            out_sent(c, (size_t)n);
    }
    return true;
}

static void shut(net_conn_t *c) {
    if (!c->wsi)
        return;
    if (SSL_is_init_finished(lws_get_ssl(c->wsi)))
        SSL_shutdown(lws_get_ssl(c->wsi));
    ERR_clear_error();
    shutdown(c->fd, SHUT_WR);
}

static void close_now(net_conn_t *c) {
    struct lws *wsi = c->wsi;
    if (!wsi)
        return;
    part(c);
    lws_set_timeout(wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_SYNC);
}

const transport_t tls_transport = {open_conn, send_some, watch, shut, close_now};
