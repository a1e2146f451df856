/* plain: the transport without TLS: the worker's epoll descriptor, recv into the worker's one
 * buffer, one sendmsg per socket and turn, sendfile for files. Level-triggered: what is not read
 * now is told again. */
#include "net/net_in.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LEAD_MAX 1024 /* an unfinished rest up to here is put in front of what comes */
#define IOVS     64   /* of one sendmsg */
#define SENDS    8    /* of one socket in one turn */
#define DRAINS   64   /* reads of a socket that broke */

/* The library's recv and send are cancellation points: two locked operations a call in a program
 * with threads. Nobody cancels ours. */
static ssize_t recv_some(int fd, void *at, size_t len) {
    return syscall(SYS_recvfrom, fd, at, len, 0, NULL, NULL);
}
static ssize_t send_run(int fd, const void *at, size_t len, int flags) {
    return syscall(SYS_sendto, fd, at, len, flags, NULL, 0);
}

/* --- watching --- */

/* Takes the descriptor, also when it fails. */
static bool open_conn(net_conn_t *c, const net_listener_t *l) {
    (void)l;
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    c->events = e.events;
    if (epoll_ctl(c->worker->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0)
        return true;
    close(c->fd);
    return false;
}

static void watch(net_conn_t *c, bool read) {
    uint32_t events = (read ? EPOLLIN : 0u) | (c->flags & F_BLOCKED ? EPOLLOUT : 0u);
    if (read)
        c->flags &= ~(uint32_t)F_HUP_LATER;
    if (!(c->flags & (F_EOF | F_HUP_LATER)))
        events |= EPOLLRDHUP;
    if (events == c->events)
        return;
    struct epoll_event e = {.events = events, .data.ptr = c};
    c->events = events;
    if (epoll_ctl(c->worker->epoll, EPOLL_CTL_MOD, c->fd, &e) != 0)
        conn_cut(c);
}

/* --- receiving --- */

/* true: there may be more. */
static bool receive(net_conn_t *c) {
    net_worker_t *w = c->worker;
    size_t lead = c->in.len <= LEAD_MAX ? c->in.len : 0;
    ssize_t n = recv_some(c->fd, w->rbuf + lead, RBUF - lead);
    if (n > 0) {
        if (lead) {
            memcpy(w->rbuf, c->in.at, lead);
            buf_free(&c->in);
        }
        conn_input(c, w->rbuf, lead + (size_t)n);
        return true;
    }
    if (n == 0)
        conn_eof(c);
    else if (errno != EAGAIN && errno != EINTR)
        conn_cut(c);
    return false;
}

/* Reset, or both sides are through. What came before is still there. */
static void broken(net_conn_t *c) {
    for (int i = 0; i < DRAINS && conn_takes(c) && receive(c); i++)
        ;
    conn_cut(c);
}

/* The peer sends no more, and we do not read now. If nothing stands before its FIN it is gone;
 * else it is looked at when we read again. */
static void hung_up(net_conn_t *c) {
    char one;
    ssize_t n = recv(c->fd, &one, 1, MSG_PEEK);
    if (n == 0 && c->in.len == 0) {
        conn_eof(c);
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_cut(c);
    } else {
        c->flags |= F_HUP_LATER;
        conn_pend(c);
    }
}

void plain_event(net_conn_t *c, uint32_t events) {
    if (c->flags & F_ABORT)
        return;
    if (events & EPOLLOUT) {
        c->flags &= ~(uint32_t)F_BLOCKED;
        conn_pend(c);
    }
    if (events & (EPOLLERR | EPOLLHUP))
        broken(c);
    else if ((events & EPOLLIN) && conn_takes(c))
        receive(c);
    else if (events & EPOLLRDHUP)
        hung_up(c);
}

/* --- sending --- */

static char *bytes_of(const out_node_t *n) {
    return (n->block ? n->block->data : (char *)n->data) + n->off;
}

static ssize_t send_gathered(const net_conn_t *c, size_t *want, int flags) {
    struct iovec v[IOVS];
    struct msghdr m = {.msg_iov = v};
    *want = 0;
    for (out_node_t *o = c->head; o && m.msg_iovlen < IOVS && !out_is_file(o); o = o->next) {
        v[m.msg_iovlen++] = (struct iovec){bytes_of(o), o->len};
        *want += o->len;
    }
    return sendmsg(c->fd, &m, flags);
}

static ssize_t send_bytes(const net_conn_t *c, size_t *want) {
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (c->flags & F_FILE ? MSG_MORE : 0);
    if (c->head->next)
        return send_gathered(c, want, flags);
    *want = c->head->len;
    return send_run(c->fd, bytes_of(c->head), c->head->len, flags);
}

/* One byte without waiting for the disk. What the file system cannot say counts as there. */
static bool in_memory(int fd, uint64_t at) {
    char byte;
    struct iovec v = {&byte, 1};
    return preadv2(fd, &v, 1, (off_t)at, RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

/* Its first and its last page stand for the piece: files come into memory from their front. */
static bool is_cold(const net_conn_t *c, const out_node_t *n, size_t len) {
    return !(c->flags & F_WARM) &&
           !(in_memory(n->fd, n->file_off) && in_memory(n->fd, n->file_off + len - 1));
}

/* 0: not now. */
static ssize_t send_file(net_conn_t *c, size_t *want) {
    out_node_t *n = c->head;
    off_t off = (off_t)n->file_off;
    *want = n->file_len < NET_FILE_PIECE ? (size_t)n->file_len : NET_FILE_PIECE;
    if (is_cold(c, n, *want) && conn_cold(c))
        return 0;
    ssize_t sent = sendfile(c->fd, n->fd, &off, *want);
    if (sent == 0)
        errno = EIO; /* the file became shorter: the answer cannot be finished */
    return sent == 0 ? -1 : sent;
}

static bool send_some(net_conn_t *c) {
    for (int i = 0; i < SENDS && c->head && !(c->flags & (F_BLOCKED | F_COLD)); i++) {
        size_t want;
        bool file = out_is_file(c->head);
        ssize_t n = file ? send_file(c, &want) : send_bytes(c, &want);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n > 0 && file) {
            out_file_sent(c, (size_t)n);
            i = SENDS; /* one piece a turn: many downloads must not make it long for the others */
        } else if (n > 0)
            out_sent(c, (size_t)n);
        if (n < 0 ? errno == EAGAIN : !file && (size_t)n < want)
            c->flags |= F_BLOCKED;
    }
    return true;
}

static void shut(net_conn_t *c) {
    shutdown(c->fd, SHUT_WR);
}

static void close_now(net_conn_t *c) {
    close(c->fd);
}

const transport_t plain_transport = {open_conn, send_some, watch, shut, close_now};
