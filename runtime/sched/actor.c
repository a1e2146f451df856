/* actor: the small calls of actor.h. See life.c (spawn), call.c (requests), supervisor.c (exit,
 * watch). */
#include "base/clock.h"
#include "base/err.h"
#include "sched/sched.h"

actor_ref_t actor_self(const actor_t *self) {
    return ref_of(self);
}

uint64_t actor_key(const actor_t *self) {
    return self->key;
}

void *actor_state(actor_t *self) {
    return self->state;
}

const actor_class_t *actor_class_of(const actor_t *self) {
    return self->cls;
}

runtime_t *actor_runtime(const actor_t *self) {
    return rt_of(self);
}

static worker_t *home_of(const actor_t *self) {
    return atomic_load_explicit(&((actor_t *)self)->worker, memory_order_relaxed);
}

uint64_t actor_now_ns(const actor_t *self) {
    return runtime_now_ns(rt_of(self));
}

int64_t actor_wall_ms(const actor_t *self) {
    return runtime_wall_ms(rt_of(self));
}

/* splitmix64 */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#define STEP 0x9e3779b97f4a7c15u
uint64_t actor_random(actor_t *self) {
    runtime_t *rt = rt_of(self);
    worker_t *here = worker_of(rt);
    if (!here)
        return mix(atomic_fetch_add_explicit(&rt->foreign_random, STEP, memory_order_relaxed));
    here->random += STEP;
    return mix(here->random);
}

uint32_t actor_worker(const actor_t *self) {
    return home_of(self)->index;
}

int actor_send(actor_t *self, actor_ref_t to, msg_t *m) {
    m->flags = 0;
    m->call_id = 0;
    m->from = ref_of(self);
    return post(rt_of(self), to, m);
}

int actor_send_key(actor_t *self, uint8_t kind, uint64_t key, msg_t *m) {
    m->flags = 0;
    m->call_id = 0;
    m->from = ref_of(self);
    return directory_send(rt_of(self), kind, key, m);
}

/* The token holder may put a message before all others: its queue is its own, and the gate counts
 * what is being handled, so the count cannot come from 0 here (no wake-up is owed). */
void actor_again(actor_t *self) {
    if (self->slow & SLOW_ASKS)
        return;
    msg_t *m = msg_new(MSG_AGAIN, 0);
    m->flags = MSG_SYSTEM;
    m->to = m->from = ref_of(self);
    m->next = self->queue;
    self->queue = m;
    self->slow |= SLOW_ASKS;
    atomic_fetch_add_explicit(&self->gate, 1, memory_order_relaxed);
    COUNT(rt_of(self), worker_of(rt_of(self)), sent, 1);
}

bool actor_overdue(const actor_t *self) {
    (void)self;
    return watchdog_overdue();
}

uint64_t actor_after(actor_t *self, uint64_t ms, uint32_t verb, uint64_t cookie) {
    return timer_start(self, ms, verb, cookie);
}

void actor_cancel(actor_t *self, uint64_t timer) {
    timer_cancel(self, timer);
}

void *actor_local(const actor_t *self, uint32_t slot) {
    return slot < RUNTIME_LOCALS ? home_of(self)->locals[slot] : NULL;
}

/* A living actor by its address, if it is pinned to this very worker: then nobody else can end it
 * meanwhile. */
static actor_t *pinned_here(worker_t *w, actor_ref_t ref) {
    actor_t *a = w && ref.gen ? slot_at(w->rt, ref.slot) : NULL;
    if (!a || atomic_load_explicit(&a->gate, memory_order_acquire) >> 32 != ref.gen)
        return NULL;
    if (atomic_load_explicit(&a->worker, memory_order_relaxed) != w)
        return NULL;
    return a->cls->place == ACTOR_PINNED && !(a->flags & (ACTOR_DEAD | ACTOR_EXITING)) ? a : NULL;
}

actor_t *actor_here(const actor_t *self, actor_ref_t ref) {
    return pinned_here(worker_of(rt_of(self)), ref);
}

/* Ended outside of a turn. If its gate still counts messages, its token is in our queue and that
 * turn finds it dead. */
static void end_here(runtime_t *rt, worker_t *w, actor_t *a) {
    if (atomic_load_explicit(&a->kept, memory_order_relaxed) == w->keep_mark)
        queue_give_kept(w, a);
    if (a->cls->restart != ACTOR_NEVER)
        post_system(rt, ref_of(a), ACTOR_NONE, MSG_USER, ERR_OK); /* its turn sees EXITING */
    else if (!actor_end(a))
        actor_gone(a);
}

bool actor_enter(runtime_t *rt, actor_ref_t ref, void (*fn)(actor_t *self, void *state, void *arg),
                 void *arg) {
    worker_t *w = worker_of(rt);
    actor_t *a = pinned_here(w, ref);
    if (!a || (a->flags & (ACTOR_PARKED | ACTOR_STARTING)))
        return false;
    actor_t *outer = w->running;
    if (!w->fresh) {
        turn_clock(w);
        w->fresh = true;
    }
    uint64_t start = clock_ticks();
    uint32_t trace = w->trace;
    w->trace = 0;
    SHOW(w->running, a);
    fn(a, a->state, arg);
    if (RARELY(w->trace))
        trace_left(w);
    w->trace = trace;
    SHOW(w->running, outer);
    SHOW(a->ticks, a->ticks + (clock_ticks() - start));
    if ((a->flags & ACTOR_EXITING) && a != outer)
        end_here(rt, w, a);
    return true;
}
