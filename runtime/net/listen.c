/* listen: one SO_REUSEPORT socket per worker and address, and accepting. A spare descriptor is kept
 * for the descriptor limit: without it an accept that fails would be tried again for ever. Opened
 * in the starting thread, used by the worker. */
#include "base/log.h"
#include "base/pool.h"
#include "base/stat.h"
#include "net/net_in.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG   4096
#define KEPT_BACK 64           /* descriptors that are not for sockets */
#define REST_NS   100000000ull /* see turn_away */
#define ACCEPTS   64           /* a turn: new sockets must not starve the others */
/* Bytes the kernel may hold that were not sent yet: what a slow peer does not take shows up in our
 * queue, where the marks of conf count it. */
#define NOT_SENT (128 * 1024)

static int fail(char *fault, size_t room, const char *address, const char *what) {
    snprintf(fault, room, "cannot listen on %.80s: %.200s", address, what);
    return ERR_IO;
}

/* "127.0.0.1:80", "[::1]:80", "localhost:80". */
static struct addrinfo *resolve(const char *address, const char **why) {
    char host[256];
    const char *colon = strrchr(address, ':');
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    *why = "host:port expected";
    size_t len = colon ? (size_t)(colon - address) : 0;
    if (len == 0 || len >= sizeof host)
        return NULL;
    bool bracket = address[0] == '[' && address[len - 1] == ']';
    memcpy(host, address + bracket, len);
    host[len - 2 * bracket] = 0;
    int err = getaddrinfo(host, colon + 1, &want, &found);
    *why = err ? gai_strerror(err) : NULL;
    return err ? NULL : found;
}

static int bound_socket(const struct sockaddr *at, socklen_t len, bool share) {
    int one = 1, not_sent = NOT_SENT;
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* the options of a connection are inherited from its listener */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent, sizeof not_sent);
    if ((share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) ||
        bind(fd, at, len) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static int listen_all(net_t *net, net_listener_t *l, const struct sockaddr *at, socklen_t len) {
    for (uint32_t i = 0; i < net->worker_count; i++) {
        listen_socket_t *s = &l->sockets[i];
        s->fd = bound_socket(at, len, true);
        if (s->fd < 0 || listen(s->fd, BACKLOG) != 0)
            return -1;
    }
    return 0;
}

static void bound_text(const struct sockaddr *at, socklen_t len, char *room, size_t size) {
    char host[64] = "?", port[8] = "0";
    getnameinfo(at, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(room, size, at->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* The address is first taken without sharing and held while the workers bind it: so an address that
 * another process listens on is refused, and port 0 is a port that nobody else has. */
int listener_open(net_t *net, net_listener_t *l, const char *address, char *fault, size_t room) {
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    const char *why;
    l->sockets = pool_zalloc(net->worker_count * sizeof *l->sockets);
    for (uint32_t i = 0; i < net->worker_count; i++)
        l->sockets[i] = (listen_socket_t){TAG_LISTENER, -1, l, NULL};
    struct addrinfo *found = resolve(address, &why);
    if (!found)
        return fail(fault, room, address, why);
    int hold = bound_socket(found->ai_addr, found->ai_addrlen, false);
    freeaddrinfo(found);
    if (hold < 0)
        return fail(fault, room, address, strerror(errno));
    int err = getsockname(hold, (struct sockaddr *)&at, &len);
    if (err == 0)
        err = listen_all(net, l, (struct sockaddr *)&at, len);
    if (err)
        fail(fault, room, address, strerror(errno));
    close(hold);
    bound_text((struct sockaddr *)&at, len, l->address, sizeof l->address);
    return err ? ERR_IO : ERR_OK;
}

void listener_close(net_t *net, net_listener_t *l) {
    for (uint32_t i = 0; l->sockets && i < net->worker_count; i++)
        if (l->sockets[i].fd >= 0)
            close(l->sockets[i].fd);
    pool_free(l->sockets, net->worker_count * sizeof *l->sockets);
    free(l->cert);
    free(l->key);
    pool_free(l, sizeof *l);
}

static bool watch_all(net_worker_t *w, int how, uint32_t events) {
    bool all = true;
    for (net_listener_t *l = w->net->listeners; l; l = l->next) {
        struct epoll_event e = {.events = events, .data.ptr = &l->sockets[w->index]};
        all &= epoll_ctl(w->epoll, how, l->sockets[w->index].fd, &e) == 0;
    }
    return all;
}

bool worker_watch_listeners(net_worker_t *w) {
    return watch_all(w, EPOLL_CTL_ADD, EPOLLIN);
}

/* Of the process's descriptors the store, the loops and files need some: sockets must not take
 * them all. */
uint32_t listener_room(uint32_t most) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return most;
    uint64_t room = r.rlim_cur > 2 * KEPT_BACK ? r.rlim_cur - KEPT_BACK : r.rlim_cur / 2;
    return room < most ? (uint32_t)room : most;
}

/* --- accepting --- */

static void peer_of(const struct sockaddr_storage *from, net_addr_t *out) {
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
        memcpy(out->ip, &six->sin6_addr, 16);
        out->port = ntohs(six->sin6_port);
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)from;
        memset(out->ip, 0, 10);
        memset(out->ip + 10, 0xff, 2);
        memcpy(out->ip + 12, &four->sin_addr, 4);
        out->port = ntohs(four->sin_port);
    }
}

static void take_spare(net_worker_t *w) {
    w->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is free: one waiting peer is taken by the spare one and sent away. Another thread
 * may take that one first: a worker without it would be told of the same peer again at once and
 * for ever, so it looks away for a while. */
static void turn_away(net_worker_t *w, int listening) {
    if (w->spare >= 0)
        close(w->spare);
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        stat_add(STAT_CONNECTIONS_REFUSED, 1);
    }
    take_spare(w);
    if (w->spare >= 0)
        return;
    watch_all(w, EPOLL_CTL_MOD, 0);
    w->rest_ns = runtime_now_ns(w->rt) + REST_NS;
}

uint64_t worker_rest(net_worker_t *w, uint64_t now_ns) {
    if (w->rest_ns == 0)
        return UINT64_MAX;
    if (w->rest_ns > now_ns)
        return w->rest_ns - now_ns;
    w->rest_ns = 0;
    take_spare(w);
    watch_all(w, EPOLL_CTL_MOD, EPOLLIN);
    return UINT64_MAX;
}

static bool may_enter(net_worker_t *w) {
    net_t *net = w->net;
    if (atomic_fetch_add_explicit(&net->open, 1, memory_order_relaxed) < net->max_connections)
        return true;
    atomic_fetch_sub_explicit(&net->open, 1, memory_order_relaxed);
    stat_add(STAT_CONNECTIONS_REFUSED, 1);
    return false;
}

static bool accept_one(net_worker_t *w, listen_socket_t *s) {
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    net_addr_t peer;
    int fd = accept4(s->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            turn_away(w, s->fd);
        return errno == ECONNABORTED || errno == EINTR;
    }
    if (!may_enter(w)) {
        close(fd);
        return true;
    }
    peer_of(&from, &peer);
    conn_open(w, s->listener, fd, &peer);
    return true;
}

void listener_accept(net_worker_t *w, listen_socket_t *s) {
    if (atomic_load_explicit(&w->net->stopping, memory_order_acquire)) {
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, s->fd, NULL);
        return;
    }
    for (int i = 0; i < ACCEPTS && accept_one(w, s); i++)
        ;
}
