/* timer: see timer.h. Nodes come from the worker's own small list, that from the table under its
 * lock. */
#include "sched/timer.h"
#include "base/log.h"
#include "sched/sched.h"
#include <assert.h>

#define KEEP 512 /* free nodes a worker keeps for itself */

void timer_table_init(timer_table_t *t) {
    pthread_mutex_init(&t->lock, NULL);
}

void timer_table_free(timer_table_t *t) {
    for (uint32_t i = 0; i < TIMER_CHUNKS; i++)
        free(atomic_load_explicit(&t->chunks[i], memory_order_relaxed));
    pthread_mutex_destroy(&t->lock);
}

/* Under the lock. Release: partner is the acquire in node_at. */
static void more(timer_table_t *t) {
    uint32_t at = t->made / TIMER_CHUNK;
    timer_node_t *c = at < TIMER_CHUNKS ? calloc(TIMER_CHUNK, sizeof *c) : NULL;
    if (!c)
        log_die("sched", "no room for more than %u timers", t->made);
    for (uint32_t i = TIMER_CHUNK; i-- > 0;) {
        c[i].index = at * TIMER_CHUNK + i;
        atomic_store_explicit(&c[i].word, 1 << 2 | TIMER_FREE, memory_order_relaxed);
        c[i].next = t->free;
        t->free = &c[i];
    }
    t->made += TIMER_CHUNK;
    atomic_store_explicit(&t->chunks[at], c, memory_order_release);
}

static timer_node_t *node_take(runtime_t *rt, worker_t *w) {
    if (w && w->timer_free) {
        timer_node_t *n = w->timer_free;
        w->timer_free = n->next;
        w->timer_free_count--;
        return n;
    }
    timer_table_t *t = &rt->timers;
    pthread_mutex_lock(&t->lock);
    if (!t->free)
        more(t);
    timer_node_t *n = t->free;
    t->free = n->next;
    for (uint32_t i = 0; w && i < KEEP / 2 && t->free; i++) {
        timer_node_t *spare = t->free;
        t->free = spare->next;
        spare->next = w->timer_free;
        w->timer_free = spare;
        w->timer_free_count++;
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

/* The generation moves on, so that the id is stale from here. Only who owns the node by its state
 * calls it. */
static void node_give(runtime_t *rt, worker_t *w, timer_node_t *n) {
    uint64_t word = atomic_load_explicit(&n->word, memory_order_relaxed);
    uint32_t gen = (uint32_t)(word >> 2) + 1;
    atomic_store_explicit(&n->word, (uint64_t)(gen ? gen : 1) << 2 | TIMER_FREE,
                          memory_order_relaxed);
    if (w && w->timer_free_count < KEEP) {
        n->next = w->timer_free;
        w->timer_free = n;
        w->timer_free_count++;
        return;
    }
    pthread_mutex_lock(&rt->timers.lock);
    n->next = rt->timers.free;
    rt->timers.free = n;
    pthread_mutex_unlock(&rt->timers.lock);
}

static uint64_t id_of(const timer_node_t *n) {
    uint64_t word = atomic_load_explicit(&n->word, memory_order_relaxed);
    return (word >> 2) << 32 | (n->index + 1);
}

/* NULL: no such node, or its generation is another. */
static timer_node_t *node_at(runtime_t *rt, uint64_t id) {
    uint32_t index = (uint32_t)id - 1;
    if ((uint32_t)id == 0 || index / TIMER_CHUNK >= TIMER_CHUNKS)
        return NULL;
    timer_node_t *c =
        atomic_load_explicit(&rt->timers.chunks[index / TIMER_CHUNK], memory_order_acquire);
    timer_node_t *n = c ? &c[index % TIMER_CHUNK] : NULL;
    if (!n || atomic_load_explicit(&n->word, memory_order_relaxed) >> 2 != id >> 32)
        return NULL;
    return n;
}

/* Acquire and release: whoever ends up freeing a node sees what the other side wrote last; the
 * partners are the two calls of this function on one word (wheel: ARMED to FIRED, actor: any to
 * CANCELLED). */
static bool node_move(timer_node_t *n, uint32_t from, uint32_t to) {
    uint64_t word = atomic_load_explicit(&n->word, memory_order_acquire);
    if ((word & 3) != from)
        return false;
    return atomic_compare_exchange_strong_explicit(&n->word, &word, (word & ~(uint64_t)3) | to,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* --- the wheel. A node stands at the level of the highest digit (base 64) in which its time
 * differs from now; so whatever is on a lower level is due before everything on a higher one. ---
 */
static void wheel_insert(worker_t *w, timer_node_t *n) {
    wheel_t *wheel = &w->wheel;
    if (n->at_ms < wheel->now_ms)
        n->at_ms = wheel->now_ms;
    uint64_t differs = (n->at_ms ^ wheel->now_ms) | 63;
    uint32_t level = (63 - (uint32_t)__builtin_clzll(differs)) / 6;
    assert(level < WHEEL_LEVELS);
    uint32_t slot = (uint32_t)(n->at_ms >> (6 * level)) & 63;
    if (n->owner != w) /* a cancel in another thread may read it when the wheel turns on */
        n->owner = w;
    n->prev = &wheel->slot[level][slot];
    n->next = *n->prev;
    if (n->next)
        n->next->prev = &n->next;
    *n->prev = n;
    wheel->used[level] |= (uint64_t)1 << slot;
}

/* The slot's bit may stay set: an empty slot only costs a look. */
static void wheel_remove(timer_node_t *n) {
    *n->prev = n->next;
    if (n->next)
        n->next->prev = n->prev;
    n->prev = NULL;
}

static uint64_t next_slot(const wheel_t *wheel, uint32_t *level, uint32_t *slot) {
    for (uint32_t l = 0; l < WHEEL_LEVELS; l++) {
        if (!wheel->used[l])
            continue;
        *level = l;
        *slot = (uint32_t)__builtin_ctzll(wheel->used[l]);
        uint64_t block = ~(uint64_t)0 << (6 * (l + 1));
        uint64_t at = (wheel->now_ms & block) | (uint64_t)*slot << (6 * l);
        return at < wheel->now_ms ? wheel->now_ms : at;
    }
    return UINT64_MAX;
}

uint64_t wheel_next_ms(const wheel_t *wheel) {
    uint32_t level = 0, slot = 0;
    return next_slot(wheel, &level, &slot);
}

static void fire(worker_t *w, timer_node_t *n) {
    n->prev = NULL;
    if (n->wakes) {
        actor_t *a = n->wakes;
        node_give(w->rt, w, n);
        sched_wake(w->rt, a);
        return;
    }
    uint64_t id = id_of(n);
    actor_ref_t to = n->to;
    uint32_t verb = n->verb;
    uint64_t cookie = n->cookie;
    if (!node_move(n, TIMER_ARMED, TIMER_FIRED)) {
        node_give(w->rt, w, n); /* cancelled from another thread */
        return;
    }
    /* From here on the receiver may free it, unless it is gone. One that leaves by passivation has
     * closed its gate before it cancels its timers, so it may still have the node in its list: who
     * comes second gives it back. */
    msg_t *m = msg_new(verb, 0);
    m->flags = MSG_SYSTEM | MSG_TIMER;
    m->cookie = cookie;
    m->key = id;
    if (post(w->rt, to, m) && !node_move(n, TIMER_FIRED, TIMER_CANCELLED))
        node_give(w->rt, w, n);
}

void wheel_advance(worker_t *w, uint64_t now_ms) {
    wheel_t *wheel = &w->wheel;
    uint32_t level = 0, slot = 0;
    for (;;) {
        uint64_t at = next_slot(wheel, &level, &slot);
        if (at > now_ms)
            break;
        wheel->now_ms = at;
        timer_node_t *n = wheel->slot[level][slot];
        wheel->slot[level][slot] = NULL;
        wheel->used[level] &= ~((uint64_t)1 << slot);
        while (n) {
            timer_node_t *next = n->next;
            if (n->at_ms <= at)
                fire(w, n);
            else
                wheel_insert(w, n);
            n = next;
        }
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
}

/* --- the actor's side --- */
static void own_link(actor_t *a, timer_node_t *n) {
    n->own_prev = &a->timers;
    n->own_next = a->timers;
    if (n->own_next)
        n->own_next->own_prev = &n->own_next;
    a->timers = n;
    SHOW(a->timer_count, (uint16_t)(a->timer_count + 1));
}

static void own_unlink(actor_t *a, timer_node_t *n) {
    SHOW(a->timer_count, (uint16_t)(a->timer_count - 1));
    *n->own_prev = n->own_next;
    if (n->own_next)
        n->own_next->own_prev = n->own_prev;
}

static timer_node_t *node_new(runtime_t *rt, worker_t *w, uint64_t at_ns) {
    timer_node_t *n = node_take(rt, w);
    n->at_ms = (at_ns + 999999) / 1000000;
    n->owner = NULL;
    n->wakes = NULL;
    n->prev = NULL;
    uint64_t word = atomic_load_explicit(&n->word, memory_order_relaxed);
    atomic_store_explicit(&n->word, (word & ~(uint64_t)3) | TIMER_ARMED, memory_order_relaxed);
    return n;
}

#define LONGEST_MS ((uint64_t)1 << 40)

uint64_t timer_start(actor_t *a, uint64_t ms, uint32_t verb, uint64_t cookie) {
    runtime_t *rt = rt_of(a);
    worker_t *here = worker_of(rt);
    if (ms > LONGEST_MS)
        ms = LONGEST_MS;
    timer_node_t *n = node_new(rt, here, rt_now(rt) + ms * 1000000);
    n->to = ref_of(a);
    n->verb = verb;
    n->cookie = cookie;
    own_link(a, n);
    uint64_t id = id_of(n);
    if (here && here == atomic_load_explicit(&a->worker, memory_order_relaxed)) {
        wheel_insert(here, n);
        return id;
    }
    msg_t *m = msg_new(MSG_ARM, 0);
    m->flags = MSG_SYSTEM;
    m->key = id;
    post(rt, n->to, m);
    return id;
}

void timer_adopt(worker_t *w, uint64_t id) {
    timer_node_t *n = node_at(w->rt, id);
    if (!n)
        return;
    if ((atomic_load_explicit(&n->word, memory_order_acquire) & 3) == TIMER_ARMED)
        wheel_insert(w, n);
    else
        node_give(w->rt, w, n);
}

static void cancel(actor_t *a, timer_node_t *n) {
    runtime_t *rt = rt_of(a);
    worker_t *here = worker_of(rt);
    own_unlink(a, n);
    if (here && n->owner == here && n->prev) {
        wheel_remove(n);
        node_give(rt, here, n);
        return;
    }
    if (!node_move(n, TIMER_ARMED, TIMER_CANCELLED) && !node_move(n, TIMER_FIRED, TIMER_CANCELLED))
        node_give(rt, here, n); /* its wheel found the gate closed: see fire */
}

void timer_cancel(actor_t *a, uint64_t id) {
    timer_node_t *n = id ? node_at(rt_of(a), id) : NULL;
    if (!n || !actor_ref_eq(n->to, ref_of(a)))
        return;
    uint32_t state = atomic_load_explicit(&n->word, memory_order_acquire) & 3;
    if (state == TIMER_ARMED || state == TIMER_FIRED)
        cancel(a, n);
}

void timer_cancel_all(actor_t *a) {
    while (a->timers)
        cancel(a, a->timers);
}

bool timer_arrived(actor_t *a, uint64_t id) {
    runtime_t *rt = rt_of(a);
    timer_node_t *n = node_at(rt, id);
    assert(n);
    bool wanted = node_move(n, TIMER_FIRED, TIMER_FREE);
    if (wanted)
        own_unlink(a, n);
    node_give(rt, worker_of(rt), n);
    return wanted;
}

void timer_lost(runtime_t *rt, uint64_t id) {
    timer_node_t *n = node_at(rt, id);
    if (n)
        node_give(rt, worker_of(rt), n);
}

void timer_resume(worker_t *w, actor_t *a, uint64_t ms) {
    timer_node_t *n = node_new(w->rt, w, rt_now(w->rt) + ms * 1000000);
    n->wakes = a;
    wheel_insert(w, n);
}
