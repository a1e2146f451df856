/* net: the floor's frame: listeners before the start, then per worker one epoll descriptor that
 * holds all its sockets, watched by one handle of the worker's loop; a turn's events, and the
 * turn's end, where everything is carried out and sent. (A uv_poll_t a socket would cost 160 bytes
 * each and buys nothing: all sockets of a worker want the same treatment.) */
#include "base/log.h"
#include "base/pool.h"
#include "net/net_in.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS      256
#define ROUNDS      4 /* of a turn's end: what its callbacks ask for is done in the same turn */
#define MS          1000000ull
#define QUEUE_LIMIT (16u << 20) /* at least; twice ws.queue_hard when that is more */

/* --- a turn's events --- */

static void on_events(uv_poll_t *h, int status, int what) {
    net_worker_t *w = h->data;
    struct epoll_event events[EVENTS];
    (void)what;
    if (status < 0)
        log_die("net", "worker %u lost its sockets: %s", w->index, uv_strerror(status));
    int n = epoll_wait(w->epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++)
        if (*(uint8_t *)events[i].data.ptr == TAG_LISTENER)
            listener_accept(w, events[i].data.ptr);
        else if (((net_conn_t *)events[i].data.ptr)->flags & F_TLS)
            tls_event(events[i].data.ptr, events[i].events);
        else
            plain_event(events[i].data.ptr, events[i].events);
}

/* --- a turn's end --- */

static void run_pending(net_worker_t *w) {
    net_conn_t *c = w->pend;
    w->pend = NULL;
    w->pend_tail = &w->pend;
    while (c) {
        net_conn_t *next = c->pend;
        c->flags &= ~(uint32_t)F_PENDING;
        conn_turn(c);
        c = next;
    }
}

/* Gives in how many us the next connection's time is over. */
static uint64_t run_timers(net_worker_t *w) {
    uint64_t now = runtime_now_ns(w->rt), least = UINT64_MAX;
    for (int i = TIMER_NONE + 1; i < TIMERS; i++) {
        net_conn_t *c;
        while ((c = w->lists[i].first) && c->due_ns <= now)
            conn_expire(c);
        if (c && c->due_ns - now < least)
            least = c->due_ns - now;
    }
    uint64_t rest = worker_rest(w, now);
    least = rest < least ? rest : least;
    return least == UINT64_MAX ? least : least / 1000 + 1000; /* the sleep is cut to whole ms */
}

static uint64_t turn_end(void *arg) {
    net_worker_t *w = arg;
    if (!w->started)
        return UINT64_MAX;
    uint64_t wait = run_timers(w);
    for (int i = 0; i < ROUNDS && w->pend; i++)
        run_pending(w);
    /* a timer that was set in these rounds may be the nearest one */
    for (int i = TIMER_NONE + 1; i < TIMERS; i++)
        if (w->lists[i].first && w->net->wait_ns[i] / 1000 + 1000 < wait)
            wait = w->net->wait_ns[i] / 1000 + 1000;
    return w->pend ? 0 : wait;
}

/* --- a worker's begin and end --- */

static void begin(net_worker_t *w) {
    w->rbuf = pool_alloc(RBUF);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    uv_loop_t *loop = worker_loop(w->rt, w->index);
    if (w->epoll < 0 || w->spare < 0 || uv_poll_init(loop, &w->poll, w->epoll) ||
        uv_poll_start(&w->poll, UV_READABLE, on_events) || !worker_watch_listeners(w) ||
        !tls_worker_open(w))
        log_die("net", "worker %u cannot watch its sockets", w->index);
    w->poll.data = w;
    w->started = true;
}

static void poll_closed(uv_handle_t *h) {
    ((net_worker_t *)h->data)->poll_closed = true;
}

/* The actors have ended. */
static void end(net_worker_t *w) {
    uv_loop_t *loop = worker_loop(w->rt, w->index);
    for (int i = 0; i < TIMERS; i++)
        while (w->lists[i].first)
            conn_destroy(w->lists[i].first);
    w->pend = NULL;
    w->started = false;
    tls_worker_close(w);
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, poll_closed);
    while (!w->poll_closed)
        uv_run(loop, UV_RUN_NOWAIT);
    close(w->epoll);
    close(w->spare);
    pool_free(w->rbuf, RBUF);
}

static void hook(runtime_t *rt, uint32_t worker, bool starting, void *arg) {
    net_t *net = arg;
    (void)rt;
    if (starting)
        begin(&net->workers[worker]);
    else
        end(&net->workers[worker]);
}

/* --- the caller's side --- */

static void set_waits(net_t *net, const conf_t *conf) {
    net->wait_ns[TIMER_IDLE] = (uint64_t)conf_int(conf, "http.idle") * MS;
    net->wait_ns[TIMER_HEAD] = (uint64_t)conf_int(conf, "http.deadline") * MS;
    net->wait_ns[TIMER_STALL] = 30000 * MS; /* PROTOCOL.md section 2, deadline */
    net->wait_ns[TIMER_CLOSE] = 5000 * MS;  /* 7.7, close codes */
    net->wait_ns[TIMER_LINGER] = 2000 * MS;
}

net_t *net_new(runtime_t *rt, const conf_t *conf, const net_handler_t *handler) {
    net_t *net = pool_zalloc(sizeof *net);
    net->rt = rt;
    net->handler = handler;
    net->worker_count = runtime_workers(rt);
    net->max_connections = listener_room((uint32_t)conf_int(conf, "net.max_connections"));
    net->queue_soft = (uint32_t)conf_int(conf, "ws.queue_soft");
    net->queue_limit = 2 * (uint64_t)conf_int(conf, "ws.queue_hard");
    if (net->queue_limit < QUEUE_LIMIT)
        net->queue_limit = QUEUE_LIMIT;
    set_waits(net, conf);
    net->workers = pool_zalloc(net->worker_count * sizeof *net->workers);
    for (uint32_t i = 0; i < net->worker_count; i++) {
        net_worker_t *w = &net->workers[i];
        w->net = net;
        w->rt = rt;
        w->index = i;
        w->pend_tail = &w->pend;
        worker_turn_end(rt, i, turn_end, w);
    }
    runtime_worker_hook(rt, hook, net);
    return net;
}

int net_listen(net_t *net, const net_listener_conf_t *conf, char *fault, size_t room) {
    net_listener_t *l = pool_zalloc(sizeof *l);
    assert(conf->id < 256);
    l->id = conf->id;
    l->cert = conf->tls_cert ? strdup(conf->tls_cert) : NULL;
    l->key = conf->tls_key ? strdup(conf->tls_key) : NULL;
    int err = l->cert || l->key ? tls_check(l, fault, room) : ERR_OK;
    if (err == ERR_OK)
        err = listener_open(net, l, conf->address, fault, room);
    if (err != ERR_OK) {
        listener_close(net, l);
        return err;
    }
    l->next = net->listeners;
    net->listeners = l;
    return ERR_OK;
}

const char *net_listen_address(const net_t *net, uint32_t id) {
    for (net_listener_t *l = net->listeners; l; l = l->next)
        if (l->id == id)
            return l->address;
    return "";
}

/* A listening socket that is shut down takes nobody any more, at once and from any thread. Its
 * worker stops watching it when it sees that; release: partner of the load in listener_accept. */
void net_stop_accepting(net_t *net) {
    atomic_store_explicit(&net->stopping, true, memory_order_release);
    for (net_listener_t *l = net->listeners; l; l = l->next)
        for (uint32_t i = 0; i < net->worker_count; i++)
            shutdown(l->sockets[i].fd, SHUT_RDWR);
}

void net_free(net_t *net) {
    if (!net)
        return;
    while (net->listeners) {
        net_listener_t *l = net->listeners;
        net->listeners = l->next;
        listener_close(net, l);
    }
    pool_free(net->workers, net->worker_count * sizeof *net->workers);
    pool_free(net, sizeof *net);
}
