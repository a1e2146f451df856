/* mailbox: an intrusive list, many senders, one receiver. Senders put messages on a stack, the
 * receiver takes the whole stack at once and turns it round. The gate in front of it counts, caps,
 * and tells the living from the dead; it also is the wake-up (see sched.h, the token).
 *
 * The sender that raises the gate from 0 holds the token, so its message goes straight to the
 * receiver's own list, which is empty then: what others push meanwhile is younger.
 *
 * Admission comes first, the push second: an actor's slot is not reused while its gate counts a
 * message, so a push that was admitted always lands in the incarnation that admitted it. A receiver
 * that sees the count but not yet the message goes to the back of the queue; it does not spin. */
#include "sched/sim_in.h"

/* Gives how many messages were there before, or an error. Acquire on success: the sender that
 * raises the gate from 0 becomes the token holder and must see what the last holder wrote; partner:
 * the release in mailbox_consumed (later RMWs of other senders continue its release sequence).
 * Release: for the mirror case, the holder that reads this count acquires. Refusals need no order.
 */
static int64_t admit(actor_t *a, uint32_t gen, bool reserved) {
    uint64_t g = atomic_load_explicit(&a->gate, memory_order_relaxed);
    do {
        if ((uint32_t)(g >> 32) != gen)
            return ERR_GONE;
        if (!reserved && (uint32_t)g >= atomic_load_explicit(&a->cap_msgs, memory_order_relaxed))
            return ERR_FULL;
    } while (!atomic_compare_exchange_weak_explicit(&a->gate, &g, g + 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return (uint32_t)g;
}

/* The account in bytes carries no wake-up, so it may be raised first and taken back. Relaxed: only
 * a sum. */
static int admit_bytes(actor_t *a, uint32_t cost, bool reserved) {
    uint64_t old = atomic_fetch_add_explicit(&a->bytes, cost, memory_order_relaxed);
    if (reserved || old + cost <= atomic_load_explicit(&a->cap_bytes, memory_order_relaxed))
        return ERR_OK;
    atomic_fetch_sub_explicit(&a->bytes, cost, memory_order_relaxed);
    return ERR_FULL;
}

/* Release: the receiver must see the message's insides; partner: the acquire exchange in
 * mailbox_pop. */
static void stack_push(actor_t *a, msg_t *m) {
    msg_t *top = atomic_load_explicit(&a->stack, memory_order_relaxed);
    do
        m->next = top;
    while (!atomic_compare_exchange_weak_explicit(&a->stack, &top, m, memory_order_release,
                                                  memory_order_relaxed));
}

static inline void put(runtime_t *rt, actor_t *a, msg_t *m, bool first) {
    if (first) {
        m->next = NULL;
        a->queue = m;
        sched_wake(rt, a);
    } else {
        stack_push(a, m);
    }
}

/* Out of line, as nearly all are admitted. */
static __attribute__((noinline)) int refuse(runtime_t *rt, actor_t *a, int err, bool bytes) {
    if (err == ERR_FULL) {
        atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
        limit_hit(rt, bytes ? LIMIT_BYTES : LIMIT_MSGS);
    }
    return err;
}

static inline bool is_kept(const worker_t *w, actor_t *a) {
    return atomic_load_explicit(&a->kept, memory_order_relaxed) == w->keep_mark;
}

/* Of an actor whose token this worker keeps: only into an empty mailbox may a message go by the
 * count that was kept with it, as what is on the stack may be older. */
static inline bool kept_is_empty(actor_t *a, uint32_t gen) {
    return a->gen == gen && !atomic_load_explicit(&a->stack, memory_order_relaxed);
}

/* What w runs now woke a, which lives here, as its first: the usual case of sched_wake. */
static inline bool wake_next(worker_t *w, actor_t *a) {
    if (!w->running || w->next || a->slow ||
        atomic_load_explicit(&a->worker, memory_order_relaxed) != w)
        return false;
    w->next = a;
    return true;
}

int mailbox_push(runtime_t *rt, worker_t *w, actor_ref_t to, msg_t *m) {
    actor_t *a = to.gen ? slot_at(rt, to.slot) : NULL;
    if (!a)
        return ERR_GONE;
    bool reserved = m->flags & (MSG_REPLY | MSG_SYSTEM);
    uint32_t cost = msg_cost(m);
    if (w && is_kept(w, a))
        queue_give_kept(w, a);
    if (rt->sim && !reserved && sim_refuses(rt))
        return refuse(rt, a, ERR_FULL, false);
    if (cost && admit_bytes(a, cost, reserved))
        return refuse(rt, a, ERR_FULL, true);
    int64_t before = admit(a, to.gen, reserved);
    if (before < 0) {
        if (cost)
            atomic_fetch_sub_explicit(&a->bytes, cost, memory_order_relaxed);
        return refuse(rt, a, (int)before, false);
    }
    put(rt, a, m, before == 0);
    return ERR_OK;
}

/* Between the admission and the push the slot belongs to that actor, so no other one is hit. */
int mailbox_kill(runtime_t *rt, actor_ref_t to, msg_t *m, int reason) {
    actor_t *a = to.gen ? slot_at(rt, to.slot) : NULL;
    int64_t before = a ? admit(a, to.gen, true) : ERR_GONE;
    if (before < 0)
        return (int)before;
    atomic_store_explicit(&a->killed, (int8_t)reason, memory_order_relaxed);
    put(rt, a, m, before == 0);
    return ERR_OK;
}

/* The stack, turned round: gives the oldest, the others become the queue. NULL: nothing here now.
 */
msg_t *mailbox_take(actor_t *a) {
    if (!atomic_load_explicit(&a->stack, memory_order_relaxed))
        return NULL;
    /* Acquire: partner is the release in stack_push. */
    msg_t *m = atomic_exchange_explicit(&a->stack, NULL, memory_order_acquire);
    msg_t *oldest = NULL;
    while (m) {
        msg_t *below = m->next;
        m->next = oldest;
        oldest = m;
        m = below;
    }
    a->queue = oldest->next;
    return oldest;
}

static uint64_t closed(uint64_t g) {
    uint32_t gen = (uint32_t)(g >> 32) + 1;
    return (uint64_t)(gen ? gen : 1) << 32 | (uint32_t)g;
}

/* Gives whether messages were counted at that moment. */
bool mailbox_close(actor_t *a) {
    uint64_t g = atomic_load_explicit(&a->gate, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&a->gate, &g, closed(g), memory_order_acq_rel,
                                                  memory_order_relaxed))
        ;
    return (uint32_t)g != 0;
}

bool mailbox_close_if(actor_t *a, uint32_t msgs) {
    uint64_t g = (uint64_t)a->gen << 32 | msgs;
    return atomic_compare_exchange_strong_explicit(&a->gate, &g, closed(g), memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static __attribute__((noinline)) int post_refused(runtime_t *rt, msg_t *m, int err) {
    COUNT(rt, worker_of(rt), refused, 1);
    msg_free(m);
    return err;
}

/* Any message. */
static __attribute__((noinline)) int post_any(runtime_t *rt, worker_t *w, msg_t *m) {
    if (rt->sim)
        sim_pass(w);
    COUNT(rt, w, sent, 1);
    uint32_t traced = trace_concerns(w, m) ? trace_sent(rt, w, m, KIND_NONE) : 0;
    int err = mailbox_push(rt, w, m->to, m);
    if (err && traced)
        trace_refused(rt, traced, err);
    return err ? post_refused(rt, m, err) : ERR_OK;
}

static __attribute__((noinline)) int post_unadmitted(runtime_t *rt, actor_t *a, msg_t *m, int err) {
    return post_refused(rt, m, refuse(rt, a, err, false));
}

/* The same for most messages, and without a call: small, not traced, from a worker, to one that
 * lives on it or has something to do already. */
int post(runtime_t *rt, actor_ref_t to, msg_t *m) {
    worker_t *w = worker_of(rt);
    actor_t *a = to.gen ? slot_at(rt, to.slot) : NULL;
    m->to = to;
    if (RARELY(!w || !a || rt->sim || trace_concerns(w, m) || msg_cost(m)))
        return post_any(rt, w, m);
    if (is_kept(w, a)) {
        if (RARELY(!kept_is_empty(a, to.gen)))
            return post_any(rt, w, m);
        COUNT(rt, w, sent, 1);
        atomic_store_explicit(&a->kept, 0, memory_order_relaxed);
    } else {
        COUNT(rt, w, sent, 1);
        int64_t before = admit(a, to.gen, m->flags & (MSG_REPLY | MSG_SYSTEM));
        if (RARELY(before < 0))
            return post_unadmitted(rt, a, m, (int)before);
        if (before) {
            stack_push(a, m);
            return ERR_OK;
        }
    }
    m->next = NULL;
    a->queue = m;
    if (!wake_next(w, a))
        sched_wake(rt, a);
    return ERR_OK;
}

void post_system(runtime_t *rt, actor_ref_t to, actor_ref_t from, uint32_t verb, int err) {
    msg_t *m = msg_new(verb, 0);
    m->flags = MSG_SYSTEM;
    m->from = from;
    m->err = err;
    post(rt, to, m);
}
