/* conn: one socket from accept to its end: its actor, where its bytes go, what the end of a turn
 * does with it, its place on the timer lists. In its worker's thread. */
#include "base/pool.h"
#include "base/stat.h"
#include "net/net_in.h"

#define HELD_INPUT                                                                                 \
    (16 * 1024)                  /* requests behind one that is not answered: then no more is read \
                                  */
#define HELD_OUTPUT (256 * 1024) /* answers that wait: then no further request is taken */

/* --- lists --- */

static void list_remove(net_conn_t *c) {
    conn_list_t *l = &c->worker->lists[c->timer];
    *(c->prev ? &c->prev->next : &l->first) = c->next;
    *(c->next ? &c->next->prev : &l->last) = c->prev;
}

static void list_append(net_conn_t *c, uint8_t timer) {
    conn_list_t *l = &c->worker->lists[timer];
    c->timer = timer;
    c->next = NULL;
    c->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
}

void timer_put(net_conn_t *c, uint8_t timer) {
    if (timer == TIMER_NONE && c->timer == TIMER_NONE)
        return;
    list_remove(c);
    list_append(c, timer);
    c->due_ns = runtime_now_ns(c->worker->rt) + c->worker->net->wait_ns[timer];
}

void conn_pend(net_conn_t *c) {
    net_worker_t *w = c->worker;
    if (c->flags & F_PENDING)
        return;
    c->flags |= F_PENDING;
    c->pend = NULL;
    *w->pend_tail = c;
    w->pend_tail = &c->pend;
}

/* --- begin --- */

static void give_up(net_worker_t *w, net_conn_t *c) {
    atomic_fetch_sub_explicit(&w->net->open, 1, memory_order_relaxed);
    stat_add(STAT_CONNECTIONS_REFUSED, 1);
    pool_free(c, sizeof *c);
}

/* Takes fd. */
void conn_open(net_worker_t *w, const net_listener_t *l, int fd, const net_addr_t *peer) {
    net_conn_t *c = pool_zalloc(sizeof *c);
    c->tag = TAG_CONN;
    c->fd = fd;
    c->worker = w;
    c->peer = *peer;
    c->listener = (uint8_t)l->id;
    c->flags = F_NEW | (w->net->given ? F_GIVEN : l->cert ? F_TLS : 0);
    if (!conn_transport(c)->open(c, l)) {
        give_up(w, c);
        return;
    }
    c->actor = actor_spawn(w->rt, NULL, w->net->handler->cls, 0, (int)w->index, c);
    if (c->actor.gen == 0) {
        conn_transport(c)->close(c);
        give_up(w, c);
        return;
    }
    http_open(c);
    list_append(c, TIMER_NONE);
    stat_add(STAT_CONNECTIONS, 1);
    conn_pend(c); /* its timer starts at the end of the turn, when the clock has been read */
}

/* --- input --- */

/* May the parsers go on? */
static bool may_parse(net_conn_t *c) {
    if (c->flags & F_ENDING)
        return false;
    if (c->phase == PHASE_WS)
        return !(c->flags & F_PAUSED) || (c->flags & F_CLOSE_SENT);
    if (c->phase != PHASE_HTTP || (c->flags & F_PAUSED))
        return false;
    if (c->queued <= HELD_OUTPUT && !(c->flags & F_FILE))
        return true;
    c->flags |= F_HELD;
    return false;
}

bool conn_takes(const net_conn_t *c) {
    if (c->flags & (F_ABORT | F_EOF))
        return false;
    if (c->phase == PHASE_LINGER || (c->flags & F_FINISH))
        return true;
    if ((c->flags & (F_PAUSED | F_HELD)) && !(c->flags & F_CLOSE_SENT))
        return false;
    return !(http_waits(c) && c->in.len >= HELD_INPUT);
}

static size_t consume(net_conn_t *c, actor_t *self, void *state, char *at, size_t len) {
    size_t done = 0;
    while (done < len && may_parse(c)) {
        size_t n = c->phase == PHASE_WS ? ws_take(c, self, state, at + done, len - done)
                                        : http_take(c, self, state, at + done, len - done);
        if (n == 0)
            break;
        done += n;
    }
    return c->flags & F_ENDING ? len : done;
}

static void consume_buffered(net_conn_t *c, actor_t *self, void *state) {
    size_t done = consume(c, self, state, c->in.at, c->in.len);
    if (done == c->in.len)
        buf_free(&c->in);
    else
        buf_drop(&c->in, done);
}

typedef struct input {
    net_conn_t *c;
    char *at;
    size_t len;
} input_t;

static void on_input(actor_t *self, void *state, void *arg) {
    input_t *i = arg;
    net_conn_t *c = i->c;
    c->recv_ns = actor_now_ns(self);
    if (c->in.len) {
        buf_add(&c->in, i->at, i->len);
        consume_buffered(c, self, state);
        return;
    }
    size_t done = consume(c, self, state, i->at, i->len);
    if (done < i->len)
        buf_add(&c->in, i->at + done, i->len - done);
}

static void on_resume(actor_t *self, void *state, void *arg) {
    consume_buffered(arg, self, state);
}

static void enter(net_conn_t *c, void (*fn)(actor_t *self, void *state, void *arg), void *arg) {
    if (actor_enter(c->worker->rt, c->actor, fn, arg))
        return;
    c->flags |= F_TOLD; /* an actor that ended by itself needs no more news */
    conn_cut(c);
}

void conn_input(net_conn_t *c, char *at, size_t len) {
    input_t i = {c, at, len};
    if (c->phase == PHASE_LINGER || (c->flags & F_ENDING))
        return;
    enter(c, on_input, &i);
    if (c->phase == PHASE_HTTP || !conn_takes(c))
        conn_pend(c); /* its timer, and whether it is read on */
}

void conn_eof(net_conn_t *c) {
    c->flags |= F_EOF;
    conn_pend(c);
    if (c->phase == PHASE_WS && !(c->flags & F_FINISH))
        conn_cut(c);
}

/* --- end --- */

void conn_finish(net_conn_t *c, uint16_t code) {
    if (c->close_code == 0)
        c->close_code = code;
    c->flags |= F_FINISH;
    conn_pend(c);
}

void conn_cut(net_conn_t *c) {
    c->flags |= F_ABORT;
    conn_pend(c);
}

/* Inside of `closed` there is nothing left to abort: what was queued may still leave. */
void net_abort(net_conn_t *c) {
    if (!(c->flags & F_TOLD))
        conn_cut(c);
}

static void on_closed(actor_t *self, void *state, void *arg) {
    net_conn_t *c = arg;
    uint16_t code = c->phase == PHASE_WS ? c->close_code ? c->close_code : 1006 : 0;
    c->worker->net->handler->closed(self, state, c, code);
}

static void tell_closed(net_conn_t *c) {
    if (c->flags & F_TOLD)
        return;
    c->flags |= F_TOLD;
    actor_enter(c->worker->rt, c->actor, on_closed, c);
}

static void release(net_conn_t *c) {
    buf_free(&c->in);
    http_free(c);
    ws_join_free(c);
}

void conn_destroy(net_conn_t *c) {
    net_worker_t *w = c->worker;
    tell_closed(c);
    list_remove(c);
    conn_transport(c)->close(c);
    release(c);
    out_clear(c);
    stat_add(STAT_QUEUE_BYTES, -(int64_t)c->counted);
    /* room first: who reads that one has gone may come in */
    atomic_fetch_sub_explicit(&w->net->open, 1, memory_order_relaxed);
    stat_add(STAT_CONNECTIONS, -1);
    pool_free(c, sizeof *c);
}

/* The handler is told; what is queued still leaves. */
static void begin_linger(net_conn_t *c) {
    tell_closed(c);
    release(c);
    c->phase = PHASE_LINGER;
    c->flags &= ~(uint32_t)(F_FINISH | F_ABOVE | F_PARSE | F_HELD | F_COLD);
    timer_put(c, TIMER_STALL);
}

static void linger(net_conn_t *c) {
    if (c->head || (c->flags & F_BLOCKED)) {
        if (c->flags & F_MOVED)
            timer_put(c, TIMER_STALL);
        return;
    }
    if (c->flags & F_EOF) {
        conn_cut(c); /* both sides are through */
    } else if (!(c->flags & F_SHUT)) {
        c->flags |= F_SHUT;
        conn_transport(c)->shut(c);
        timer_put(c, TIMER_LINGER);
    }
}

void conn_expire(net_conn_t *c) {
    uint8_t timer = c->timer;
    timer_put(c, TIMER_NONE);
    if (timer == TIMER_IDLE)
        conn_finish(c, 0);
    else if (timer == TIMER_HEAD)
        http_expire(c);
    else
        conn_cut(c);
}

/* --- the end of a turn --- */

static void on_room(actor_t *self, void *state, void *arg) {
    net_conn_t *c = arg;
    c->worker->net->handler->room(self, state, c);
}

static void look_for_room(net_conn_t *c) {
    if ((c->flags & F_HELD) && c->queued <= HELD_OUTPUT && !(c->flags & F_FILE)) {
        c->flags &= ~(uint32_t)F_HELD;
        c->flags |= F_PARSE;
        conn_pend(c);
    }
    if ((c->flags & F_ABOVE) && c->queued <= c->worker->net->queue_soft) {
        c->flags &= ~(uint32_t)F_ABOVE;
        if (c->worker->net->handler->room)
            enter(c, on_room, c);
    }
}

static void settle(net_conn_t *c) {
    if (c->counted != c->queued) {
        stat_add(STAT_QUEUE_BYTES, (int64_t)c->queued - c->counted);
        c->counted = c->queued;
    }
    if (c->phase == PHASE_LINGER) {
        linger(c);
    } else {
        look_for_room(c);
        if (c->phase == PHASE_HTTP)
            http_settle(c);
        else if ((c->flags & F_CLOSE_SENT) && c->timer != TIMER_CLOSE)
            timer_put(c, TIMER_CLOSE);
        else if (c->timer != TIMER_CLOSE)
            timer_put(c, TIMER_NONE);
    }
    c->flags &= ~(uint32_t)(F_MOVED | F_NEW);
    if (c->head && !(c->flags & (F_BLOCKED | F_COLD)))
        conn_pend(c); /* its budget of this turn is used up */
    if (!(c->flags & F_ABORT))
        conn_transport(c)->watch(c, conn_takes(c));
}

void conn_turn(net_conn_t *c) {
    if ((c->flags & F_PARSE) && !(c->flags & F_ENDING)) {
        c->flags &= ~(uint32_t)F_PARSE;
        if (c->in.len)
            enter(c, on_resume, c);
    }
    if ((c->flags & (F_FINISH | F_ABORT)) == F_FINISH)
        begin_linger(c);
    if (!(c->flags & (F_ABORT | F_BLOCKED | F_COLD)) && c->head && !conn_transport(c)->send(c))
        conn_cut(c);
    if (!(c->flags & F_ABORT))
        settle(c);
    if ((c->flags & F_ABORT) && !(c->flags & F_PENDING))
        conn_destroy(c);
}

/* --- files that are not in memory --- */

static void on_cold(actor_t *self, void *state, void *arg) {
    net_conn_t *c = arg;
    c->worker->net->handler->cold(self, state, c, c->head->fd, c->head->file_off);
}

bool conn_cold(net_conn_t *c) {
    if (!c->worker->net->handler->cold || (c->flags & F_TOLD))
        return false;
    c->flags |= F_COLD;
    enter(c, on_cold, c);
    return true;
}

void net_file_warm(net_conn_t *c) {
    if (!(c->flags & F_COLD) || (c->flags & F_TOLD))
        return;
    c->flags &= ~(uint32_t)F_COLD;
    c->flags |= F_WARM;
    conn_pend(c);
}

/* --- the caller's side --- */

void net_pause(net_conn_t *c, bool paused) {
    if (paused == !!(c->flags & F_PAUSED) || (c->flags & F_TOLD))
        return; /* told: inside of `closed`, right before its end, it must not be pending again */
    c->flags ^= F_PAUSED;
    if (!paused)
        c->flags |= F_PARSE;
    conn_pend(c);
}
