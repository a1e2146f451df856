/* life: how an actor begins and how it ends. Restarts are in supervisor.c. */
#include "base/err.h"
#include "base/pool.h"
#include "sched/sched.h"
#include <assert.h>

static void set_caps(runtime_t *rt, actor_t *a) {
    uint32_t msgs = a->cls->max_msgs ? a->cls->max_msgs : rt->conf.mailbox_msgs;
    uint32_t bytes = a->cls->max_bytes ? a->cls->max_bytes : rt->conf.mailbox_bytes;
    atomic_store_explicit(&a->cap_msgs, msgs, memory_order_relaxed);
    atomic_store_explicit(&a->cap_bytes, bytes, memory_order_relaxed);
}

/* A slot made up for cls; the gate is as its last owner left it: closed for all older refs, empty.
 * NULL: at the limit. */
actor_t *actor_make(runtime_t *rt, const actor_class_t *cls, uint64_t key, uint8_t kind,
                    worker_t *w) {
    if (atomic_load(&rt->phase) >= PHASE_QUIT)
        return NULL;
    actor_t *a = slot_take(rt);
    if (!a)
        return NULL;
    SHOW(a->cls, cls);
    SHOW(a->key, key);
    SHOW(a->kind, kind);
    a->state = NULL;
    a->extra = NULL;
    a->open = a->queue = NULL;
    a->calls = 0;
    a->timers = NULL;
    SHOW(a->handled, 0);
    SHOW(a->ticks, 0);
    SHOW(a->peak, 0);
    SHOW(a->timer_count, 0);
    SHOW(a->open_count, 0);
    SHOW(a->call_count, 0);
    SHOW(a->memory, 0);
    SHOW(a->restarts, 0);
    SHOW(a->born_ms, turn_tick(runtime_now_ns(rt)));
    a->last = 0;
    a->reason = ERR_OK;
    a->flags = 0;
    a->slow = 0;
    atomic_store_explicit(&a->killed, 0, memory_order_relaxed);
    atomic_store_explicit(&a->refused, 0, memory_order_release);
    atomic_store_explicit(&a->worker, w, memory_order_release);
    set_caps(rt, a);
    COUNT_CLASS(rt, cls, made);
    /* Last: who finds it equal to the gate's finds all of the above; partner is owner_of in look.c.
     */
    SHOW(a->gen, (uint32_t)(atomic_load_explicit(&a->gate, memory_order_acquire) >> 32));
    return a;
}

static void free_state(actor_t *a) {
    if (a->state)
        pool_free(a->state, a->cls->state_size);
    a->state = NULL;
}

int actor_begin(actor_t *a, const void *arg) {
    if (a->cls->state_size)
        a->state = pool_zalloc(a->cls->state_size);
    int err = a->cls->init ? a->cls->init(a, a->state, arg) : ERR_OK;
    if (err == ERR_OK)
        a->flags |= ACTOR_BEGUN;
    else
        a->reason = (int8_t)err;
    return err;
}

static void tell_watchers(runtime_t *rt, actor_t *a) {
    while (a->extra && a->extra->watchers) {
        watcher_t *w = a->extra->watchers;
        a->extra->watchers = w->next;
        post_system(rt, w->ref, ref_of(a), MSG_DOWN, a->reason);
        pool_free(w, sizeof *w);
    }
}

static void answer_open(runtime_t *rt, actor_t *a) {
    while (a->open) {
        msg_t *m = a->open;
        open_remove(a, m);
        if (m->call_id && (m->flags & MSG_REQUEST))
            answer(rt, ref_of(a), m, ERR_GONE, NULL);
        msg_free(m);
    }
}

/* What an end and a restart have in common. */
void actor_clear(actor_t *a) {
    runtime_t *rt = rt_of(a);
    if ((a->flags & ACTOR_BEGUN) && a->cls->ended)
        a->cls->ended(a, a->state, a->reason);
    a->flags &= (uint8_t)~ACTOR_BEGUN;
    answer_open(rt, a);
    call_free(a);
    timer_cancel_all(a);
    free_state(a);
    tell_watchers(rt, a);
    actor_stop_children(rt, a);
}

bool actor_end(actor_t *a) {
    bool leaves = a->flags & ACTOR_LEAVES;
    actor_clear(a);
    bool counts = leaves || mailbox_close(a);
    a->flags = ACTOR_DEAD;
    class_ended(rt_of(a), a);
    extra_free(a);
    if (a->kind != KIND_NONE)
        directory_forget(rt_of(a), a);
    return counts;
}

static void drop_dead_letter(runtime_t *rt, actor_t *a, msg_t *m) {
    if (m->flags & MSG_TIMER)
        timer_lost(rt, m->key);
    else if ((m->flags & MSG_SYSTEM) && m->verb == MSG_ARM)
        timer_lost(rt, m->key); /* cancelled by the end; never on a wheel */
    else if ((m->flags & MSG_SYSTEM) && m->verb == MSG_WATCH)
        post_system(rt, m->from, ref_of(a), MSG_DOWN, a->reason);
    else if ((m->flags & MSG_REQUEST) && m->call_id)
        answer(rt, ref_of(a), m, ERR_GONE, NULL);
    COUNT(rt, worker_of(rt), dead, 1);
    msg_free(m);
}

/* Empties the mailbox of an actor that is dead or starts anew; adds to what was consumed. */
void actor_drain(actor_t *a, uint32_t *msgs, uint64_t *bytes) {
    runtime_t *rt = rt_of(a);
    msg_t *m;
    while ((m = mailbox_pop(a))) {
        ++*msgs;
        *bytes += msg_cost(m);
        drop_dead_letter(rt, a, m);
    }
}

void actor_gone(actor_t *a) {
    runtime_t *rt = rt_of(a);
    worker_t *w = atomic_load_explicit(&a->worker, memory_order_relaxed);
    if (w->is_thread)
        w->only = NULL;
    slot_give(rt, a);
}

void actor_settle(runtime_t *rt, actor_t *a) {
    uint32_t done = 1; /* the phantom that holds the token */
    uint64_t bytes = 0;
    actor_drain(a, &done, &bytes);
    if (mailbox_consumed(a, done, bytes))
        actor_gone(a);
    else
        sched_wake(rt, a);
}

/* Where a new actor lives. */
static worker_t *place(runtime_t *rt, const actor_class_t *cls, int worker) {
    if (cls->place == ACTOR_THREAD) {
        worker_t *t = worker_new(rt, UINT32_MAX, true);
        pthread_mutex_lock(&rt->lock);
        t->index = rt->worker_count + rt->thread_count++;
        t->next_thread = rt->threads;
        rt->threads = t;
        pthread_mutex_unlock(&rt->lock);
        return t;
    }
    if (worker >= 0) {
        assert((uint32_t)worker < rt->worker_count);
        return rt->workers[worker];
    }
    worker_t *here = worker_of(rt);
    if (here && !here->is_thread)
        return here;
    return rt->workers[atomic_fetch_add_explicit(&rt->round, 1, memory_order_relaxed) %
                       rt->worker_count];
}

/* While init runs a phantom count holds the token: init may send its own address away, and nobody
 * runs the actor before init is through. */
actor_ref_t actor_spawn(runtime_t *rt, actor_t *parent, const actor_class_t *cls, uint64_t key,
                        int worker, const void *arg) {
    if (cls->place == ACTOR_THREAD && atomic_load(&rt->stopping))
        return ACTOR_NONE;
    actor_t *a = actor_make(rt, cls, key, KIND_NONE, place(rt, cls, worker));
    if (!a)
        return ACTOR_NONE;
    if (cls->restart != ACTOR_NEVER)
        extra_of(a)->arg = arg;
    actor_ref_t ref = ref_of(a);
    atomic_fetch_add_explicit(&a->gate, 1, memory_order_acq_rel);
    slot_enlist(rt, a, parent ? ref_of(parent) : ACTOR_NONE);
    worker_t *w = atomic_load_explicit(&a->worker, memory_order_relaxed);
    if (w->is_thread)
        w->only = a;
    if (actor_begin(a, arg) || (a->flags & ACTOR_EXITING)) {
        actor_end(a);
        actor_settle(rt, a);
        return ACTOR_NONE;
    }
    if (w->is_thread && atomic_load(&rt->phase) == PHASE_RUNNING)
        thread_start(w);
    if (!mailbox_consumed(a, 1, 0))
        sched_wake(rt, a);
    return ref;
}
