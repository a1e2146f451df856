/* conn_live: what time does to sockets (PROTOCOL.md section 7.3, 7.4, 7.7): pings spread over the
 * interval, dead and slow peers, tokens that run out, the farewell of a drain. One sweeper actor
 * per worker walks a compact list of (when, connection); no connection has a timer of its own. */
#include "actors/edge.h"
#include "actors/first_read.h"
#include "actors/media.h"
#include "base/log.h"

#define MS          1000000ull
#define EXPIRING_MS 60000

static uint64_t now_of(const conn_t *c) {
    return actor_now_ns(c->self);
}

static uint32_t ms_of(uint64_t ns) {
    return (uint32_t)(ns / MS);
}

/* --- the list --- */

void live_add(conn_t *c) {
    edge_worker_t *w = edge_at(c);
    if (w->live_count == w->live_cap)
        w->live = pool_grow(w->live, &w->live_cap, sizeof *w->live, 64);
    c->live_at = w->live_count;
    /* the first ping falls anywhere in the interval: so they stay spread */
    c->ping_ms = ms_of(now_of(c)) + (uint32_t)(actor_random(c->self) % w->edge->ping_ms);
    w->live[w->live_count++] = (live_slot_t){c, now_of(c)};
}

void live_remove(conn_t *c) {
    edge_worker_t *w = edge_at(c);
    uint32_t at = c->live_at;
    if (at >= w->live_count || w->live[at].conn != c)
        return;
    w->live[at] = w->live[--w->live_count];
    w->live[at].conn->live_at = at;
}

void live_soon(conn_t *c) {
    edge_worker_t *w = edge_at(c);
    if (c->live_at < w->live_count && w->live[c->live_at].conn == c)
        w->live[c->live_at].due_ns = 0;
}

/* --- one connection --- */

/* Gives when the token's time must be looked at next; UINT64_MAX: never. */
static uint64_t check_token(conn_t *c, const edge_t *e, uint64_t now) {
    if (c->token_exp_ms == 0)
        return UINT64_MAX;
    int64_t left = c->token_exp_ms - actor_wall_ms(c->self);
    if (left <= EXPIRING_MS && !c->expiring) {
        c->expiring = true;
        frame_token_expiring(c);
    }
    int64_t end = left + (int64_t)e->expiry_ms;
    if (end <= 0) {
        conn_close(c, 4001);
        return UINT64_MAX;
    }
    int64_t wait = c->expiring ? end : left - EXPIRING_MS;
    return now + (uint64_t)wait * MS;
}

/* Since `sign` there was nothing for ms in which this worker pinged, read and wrote. */
static bool silent_for(const conn_t *c, uint64_t sign, uint32_t ms, uint64_t now) {
    uint64_t awake = edge_at(c)->awake_ns, since = sign > awake ? sign : awake;
    return now > since && now - since >= ms * MS;
}

static bool is_dead(conn_t *c, const edge_t *e, const net_life_t *life, uint64_t now) {
    uint64_t sign = life->last_recv_ns > life->last_ack_ns ? life->last_recv_ns : life->last_ack_ns;
    if (life->zero_window ? life->probes >= 2 : true)
        if (silent_for(c, sign, e->dead_ms, now))
            return true;
    return e->pong_ms && !c->open_mode && silent_for(c, life->last_recv_ns, e->pong_ms, now);
}

static bool is_slow(const conn_t *c, const edge_t *e, const net_life_t *life, uint32_t queued,
                    uint64_t now) {
    return queued > e->queue_soft && silent_for(c, life->last_moved_ns, e->slow_ms, now);
}

/* Asks the kernel only about sockets from which nothing was heard since the last visits, or with a
 * long queue. */
static void check_peer(conn_t *c, const edge_t *e, uint64_t now) {
    uint32_t queued = net_queued(c->net);
    net_life_t life;
    if (c->heard && queued <= e->queue_soft) {
        c->heard = false;
        c->silent = 0;
        return;
    }
    if (!c->heard && c->silent < UINT8_MAX)
        c->silent++;
    c->heard = false;
    if (queued <= e->queue_soft && c->silent < e->silent_visits)
        return;
    net_life(c->net, &life);
    if (is_dead(c, e, &life, now))
        net_abort(c->net);
    else if (is_slow(c, e, &life, queued, now))
        conn_close(c, 4003);
}

/* Pings when it is time for it; gives when the next one is due. */
static uint64_t ping_due(conn_t *c, const edge_t *e, uint64_t now) {
    int32_t left = (int32_t)(c->ping_ms - ms_of(now));
    if (left <= 0) {
        net_ws_ping(c->net);
        left = left + (int32_t)e->ping_ms > 0 ? left + (int32_t)e->ping_ms : (int32_t)e->ping_ms;
        c->ping_ms = ms_of(now) + (uint32_t)left;
    }
    return now + (uint64_t)left * MS;
}

static uint64_t visit(conn_t *c, const edge_t *e, uint64_t now) {
    uint64_t due = now + e->visit_ms * MS;
    uint64_t token = check_token(c, e, now);
    if (c->closing)
        return due;
    uint64_t ping = ping_due(c, e, now);
    check_peer(c, e, now);
    due = token < due ? token : due;
    return ping < due ? ping : due;
}

/* --- the sweep --- */

static uint32_t open_sockets(const edge_worker_t *w) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->live_count; i++)
        n += !w->live[i].conn->closing;
    return n;
}

/* This worker's part of the drain: after each sweep so many are left as the rest of drain.time has
 * of the whole. */
static void drain_some(edge_worker_t *w) {
    uint32_t sweeps = w->edge->drain_ms / w->edge->sweep_ms + 1, open = open_sockets(w);
    if (w->drain_total == 0) {
        w->drain_total = open;
        w->drain_left = sweeps;
    }
    if (w->drain_left > 0)
        w->drain_left--;
    uint32_t keep = (uint32_t)((uint64_t)w->drain_total * w->drain_left / sweeps);
    for (uint32_t i = w->live_count; i-- > 0 && open > keep;) {
        conn_t *c = w->live[i].conn;
        if (c->closing)
            continue;
        conn_close(c, 1012);
        open--;
    }
}

/* A worker that did not run (a machine that was suspended, a neighbour that took the CPU) neither
 * pinged nor read: nobody is dead or slow for what was silent meanwhile. */
static void note_hole(edge_worker_t *w, uint64_t now) {
    uint64_t most = (w->edge->dead_ms / 4 + w->edge->sweep_ms) * MS;
    if (w->swept_ns && now - w->swept_ns > most)
        w->awake_ns = now;
    w->swept_ns = now;
}

static void sweep(actor_t *self, edge_worker_t *w) {
    uint64_t now = actor_now_ns(self);
    note_hole(w, now);
    media_clock(actor_wall_ms(self));
    /* backwards: a removed one is replaced by the last, which was seen already */
    for (uint32_t i = w->live_count; i-- > 0;)
        if (i < w->live_count && w->live[i].due_ns <= now) {
            conn_t *c = w->live[i].conn;
            uint64_t due = visit(c, w->edge, now);
            if (i < w->live_count && w->live[i].conn == c)
                w->live[i].due_ns = due;
        }
    if (atomic_load_explicit(&w->edge->draining, memory_order_relaxed))
        drain_some(w);
    else
        w->drain_total = 0;
}

/* Shared tables forget what is over; one worker does it for all. */
static void forget_old(actor_t *self, edge_t *e) {
    limit_sweep(e->limits, actor_now_ns(self));
    denied_sweep(e->logins, actor_wall_ms(self));
}

typedef struct sweeper {
    uint64_t second_ns; /* when the next round of once-a-second work is due */
    uint32_t seconds;
    first_read_t first;
} sweeper_t;

static void ask_store(actor_t *self, edge_t *e) {
    buf_t none = {0};
    store_run(e->store, self, e->op_ping, &none, 2000, VERB_READYZ, 0);
}

static void tick(actor_t *self, sweeper_t *s, edge_worker_t *w) {
    sweep(self, w);
    if (w->index == 0 && actor_now_ns(self) >= s->second_ns) {
        s->second_ns = actor_now_ns(self) + 1000 * MS;
        if (s->seconds++ % 5 == 0)
            forget_old(self, w->edge);
        ask_store(self, w->edge);
    }
    actor_after(self, w->edge->sweep_ms, VERB_SWEEP, 0);
}

static void first_read(sweeper_t *s, actor_t *self, edge_t *e, const msg_t *m) {
    int err = first_read_message(&s->first, self, e, m);
    if (err != ERR_OK)
        log_die("edge", "the store does not say who may come in: %s", err_name(err));
}

static void handle(actor_t *self, void *state, msg_t *m) {
    edge_worker_t *w = edge_here(self);
    sweeper_t *s = state;
    switch (m->verb) {
    case VERB_SWEEP:
        if (m->cookie == 1)
            first_read_begin(&s->first, self, w->edge);
        tick(self, s, w);
        break;
    case VERB_TICK:
        sweep(self, w);
        break;
    case VERB_LOADED:
    case VERB_LOADED_INACTIVE:
    case VERB_LOAD_AGAIN:
        first_read(s, self, w->edge, m);
        break;
    case VERB_READYZ:
        if (m->err == ERR_OK)
            atomic_store(&w->edge->store_ok_ms, actor_wall_ms(self));
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        break;
    }
}

/* Also after a crash: what it keeps is only when it did what. */
static int begin(actor_t *self, void *state, const void *arg) {
    (void)state, (void)arg;
    bool loads = actor_key(self) == 0 && !atomic_load(&edge_here(self)->edge->loaded);
    actor_after(self, 0, VERB_SWEEP, loads);
    return ERR_OK;
}

static const actor_class_t sweeper_class = {
    .name = "sweeper",
    .place = ACTOR_PINNED,
    .restart = ACTOR_ALWAYS,
    .state_size = sizeof(sweeper_t),
    .init = begin,
    .handle = handle,
};

void live_start(edge_t *e) {
    for (uint32_t i = 0; i < e->worker_count; i++) {
        e->sweeper[i] = actor_spawn(e->rt, NULL, &sweeper_class, i, (int)i, NULL);
        if (!e->sweeper[i].gen)
            log_die("edge", "no sweeper on worker %u", i);
    }
}

void live_now(edge_t *e) {
    for (uint32_t i = 0; i < e->worker_count; i++)
        runtime_send(e->rt, e->sweeper[i], msg_new(VERB_TICK, 0));
}
