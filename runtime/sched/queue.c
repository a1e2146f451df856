/* queue: which actor runs next, and where. A worker has
 *
 * - next: the actor that the running one woke last. It goes first, at most CHAIN times in a row (a
 *   ping-pong stays in the cache; a ring of actors cannot shut out the others).
 * - pinned: a list of its own.
 * - ring: free actors, first in first out: the owner adds at the tail, the owner and thieves take
 *   at the head. A thief looks at nothing else.
 * - over: free actors when the ring is full; its own.
 * - inbox: actors woken by other threads: a stack that the owner takes whole.
 * - kept: tokens of actors that have no message now (sched.h).
 * - late: slow actors, whose last slice was too long. They wait until nobody else is ready, or as
 *   long as such a slice may be, so they have half of the worker at most, however many they are.
 * Who comes meanwhile waits behind one of them: so the watchdog looks at them sooner. */
#include "base/clock.h"
#include "sched/sim_in.h"

#define BATCH 8  /* so many wait in the ring: worth waking a neighbour */
#define STEAL 32 /* at most so many at once */

static void list_add(actor_t ***tail, actor_t *a) {
    a->link = NULL;
    **tail = a;
    *tail = &a->link;
}

static actor_t *list_take(actor_t **head, actor_t ***tail) {
    actor_t *a = *head;
    if (a && !(*head = a->link))
        *tail = head;
    return a;
}

/* The owner only. Acquire on head: a thief's CAS (release) says that it has read the cell that is
 * written now. Release on tail: a thief that sees the new tail sees the cell and the actor behind
 * it. */
static bool ring_add(worker_t *w, actor_t *a) {
    uint32_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&w->head, memory_order_acquire) >= RING)
        return false;
    atomic_store_explicit(&w->ring[tail % RING], a, memory_order_relaxed);
    atomic_store_explicit(&w->tail, tail + 1, memory_order_release);
    return true;
}

/* The owner only. It wrote the cells itself; release on the CAS: partner is the acquire on head in
 * ring_add and in steal_from. */
static actor_t *ring_take(worker_t *w) {
    uint32_t head = atomic_load_explicit(&w->head, memory_order_relaxed);
    for (;;) {
        if (head == atomic_load_explicit(&w->tail, memory_order_relaxed))
            return NULL;
        actor_t *a = atomic_load_explicit(&w->ring[head % RING], memory_order_relaxed);
        if (atomic_compare_exchange_weak_explicit(&w->head, &head, head + 1, memory_order_acq_rel,
                                                  memory_order_relaxed))
            return a;
    }
}

static uint32_t ring_length(const worker_t *w) {
    uint32_t head = atomic_load_explicit(&((worker_t *)w)->head, memory_order_relaxed);
    uint32_t n = atomic_load_explicit(&((worker_t *)w)->tail, memory_order_relaxed) - head;
    return n > RING ? 0 : n; /* head ran past the tail that was read: taken meanwhile */
}

void queue_push(worker_t *w, actor_t *a) {
    if (w->rt->sim)
        sim_ready(w->rt, a);
    else if (a->slow)
        list_add(&w->late_tail, a);
    else if (a->cls->place != ACTOR_FREE)
        list_add(&w->pinned_tail, a);
    else if (w->over || !ring_add(w, a))
        list_add(&w->over_tail, a);
}

/* The running actor's receiver takes the `next` place; the one that held it goes to the back. */
void queue_push_here(worker_t *w, actor_t *a) {
    if (w->running && !a->slow) {
        actor_t *before = w->next;
        w->next = a;
        a = before;
    }
    if (a)
        queue_push(w, a);
}

/* No wake-up is lost: the worker stores sleeping = 1 and then looks at inbox; we add to inbox and
 * then look at sleeping; all four are seq_cst, so in their one order either it sees our actor or we
 * see its 1. The exchange lets one of many wakers pay for the write; one that comes before the poll
 * blocks ends it at once. */
void worker_kick(worker_t *w) {
    if (w->is_thread) {
        thread_wake(w);
        return;
    }
    if (atomic_load_explicit(&w->sleeping, memory_order_seq_cst) &&
        atomic_exchange_explicit(&w->sleeping, 0, memory_order_seq_cst)) {
        COUNT(w->rt, worker_of(w->rt), wakes, 1);
        worker_wake(w);
    }
}

static __attribute__((noinline)) void push_there(worker_t *w, actor_t *a) {
    actor_t *top = atomic_load_explicit(&w->inbox, memory_order_relaxed);
    do
        a->link = top;
    while (!atomic_compare_exchange_weak_explicit(&w->inbox, &top, a, memory_order_seq_cst,
                                                  memory_order_relaxed));
    worker_t *here = worker_current;
    if (here && here->holds && here->rt == w->rt && w->index < 64)
        here->held_workers |= (uint64_t)1 << w->index;
    else
        worker_kick(w);
}

/* --- kept tokens --- */

void queue_give_kept(worker_t *w, actor_t *a) {
    atomic_store_explicit(&a->kept, 0, memory_order_relaxed);
    if (!mailbox_consumed(a, 1, 0))
        queue_push(w, a);
}

static bool keeps(const worker_t *w, actor_t *a) {
    return atomic_load_explicit(&a->kept, memory_order_relaxed) == w->keep_mark;
}

void queue_keep(worker_t *w, actor_t *a) {
    uint32_t at = a->slot % KEPT;
    actor_t *before = w->kept[at];
    if (before != a) {
        if (before && keeps(w, before))
            queue_give_kept(w, before);
        w->kept[at] = a;
    }
    if (!w->kept_map)
        w->kept_ticks = w->now_ticks_slice;
    w->kept_map |= (uint64_t)1 << at;
    atomic_store_explicit(&a->kept, w->keep_mark, memory_order_relaxed);
}

void queue_give_all_kept(worker_t *w) {
    for (; w->kept_map; w->kept_map &= w->kept_map - 1) {
        actor_t *a = w->kept[__builtin_ctzll(w->kept_map)];
        if (keeps(w, a))
            queue_give_kept(w, a);
    }
}

/* --- wake-ups that wait --- */

/* By a worker until it has run what is ready, so that a port finds all of it. */
static __attribute__((noinline)) void hold_thread(worker_t *here, worker_t *thread) {
    uint64_t now = clock_ticks();
    if (!here->held)
        here->held_ticks = now;
    thread->held_next = here->held;
    here->held = thread;
    if (now - here->held_ticks > here->rt->ticks_hold)
        queue_wake_held(here);
}

/* The list and the bits are read first: who is woken may be put there again. */
void queue_wake_held(worker_t *w) {
    worker_t *t = w->held;
    w->held = NULL;
    while (t) {
        worker_t *next = t->held_next;
        thread_wake(t);
        t = next;
    }
    uint64_t workers = w->held_workers;
    w->held_workers = 0;
    for (; workers; workers &= workers - 1)
        worker_kick(w->rt->workers[__builtin_ctzll(workers)]);
}

void actor_hold_wakes(actor_t *self) {
    worker_t *w = worker_of(rt_of(self));
    if (w && w->is_thread)
        w->holds = true;
}

void actor_wake_held(actor_t *self) {
    worker_t *w = worker_of(rt_of(self));
    if (!w || !w->is_thread)
        return;
    w->holds = false;
    queue_wake_held(w);
}

void sched_wake(runtime_t *rt, actor_t *a) {
    worker_t *home = atomic_load_explicit(&a->worker, memory_order_relaxed);
    worker_t *here = worker_of(rt);
    bool worker = here && !here->is_thread;
    if (rt->sim)
        sim_ready(rt, a);
    else if (worker && (here == home || a->cls->place == ACTOR_FREE))
        queue_push_here(here, a);
    else if (!home->is_thread)
        push_there(home, a);
    else if (worker)
        hold_thread(here, home);
    else
        thread_wake(home);
}

/* Acquire by seq_cst: partner is the CAS in push_there. */
void queue_empty_inbox(worker_t *w) {
    actor_t *a = atomic_exchange_explicit(&w->inbox, NULL, memory_order_seq_cst), *oldest = NULL;
    while (a) {
        actor_t *below = a->link;
        a->link = oldest;
        oldest = a;
        a = below;
    }
    while (oldest) {
        a = oldest;
        oldest = a->link;
        queue_push(w, a);
    }
}

static actor_t *take_free(worker_t *w) {
    actor_t *a = ring_take(w);
    while (w->over && ring_length(w) < RING / 2) {
        actor_t *o = list_take(&w->over, &w->over_tail);
        if (!a)
            a = o;
        else
            ring_add(w, o);
    }
    return a;
}

static actor_t *take_ready(worker_t *w) {
    w->pinned_turn = !w->pinned_turn;
    actor_t *a = w->pinned_turn ? list_take(&w->pinned, &w->pinned_tail) : take_free(w);
    if (!a)
        a = w->pinned_turn ? take_free(w) : list_take(&w->pinned, &w->pinned_tail);
    return a;
}

static __attribute__((noinline)) actor_t *take_late(worker_t *w) {
    watchdog_short(clock_ticks());
    return list_take(&w->late, &w->late_tail);
}

/* NULL: nothing to run. Pinned and free ones take turns. */
actor_t *queue_next(worker_t *w) {
    if (w->late && clock_ticks() - w->late_ticks > w->rt->ticks_late)
        return take_late(w);
    actor_t *a = w->next;
    w->next = NULL;
    if (w->chain == 0)
        w->chain_ticks = w->now_ticks_slice;
    if (a && w->chain < CHAIN && w->now_ticks_slice - w->chain_ticks < w->rt->ticks_turn) {
        w->chain++;
        return a;
    }
    if (a)
        queue_push(w, a);
    w->chain = 0;
    a = take_ready(w);
    return a || !w->late ? a : take_late(w);
}

/* Seq_cst on inbox: see worker_kick. */
bool queue_empty(const worker_t *w) {
    return !w->next && !w->pinned && !w->over && !w->late && !ring_length(w) &&
           !atomic_load_explicit(&((worker_t *)w)->inbox, memory_order_seq_cst);
}

/* Acquire on tail: partner is the release in ring_add. A cell may be overwritten while it is read;
 * then head has moved and the CAS fails. Release on head: see ring_add. */
static uint32_t steal_from(worker_t *w, worker_t *victim) {
    actor_t *got[STEAL];
    uint32_t head = atomic_load_explicit(&victim->head, memory_order_acquire), n;
    do {
        uint32_t there = atomic_load_explicit(&victim->tail, memory_order_acquire) - head;
        n = there > RING ? 0 : there - there / 2;
        if (n > STEAL)
            n = STEAL;
        if (!n)
            return 0;
        for (uint32_t i = 0; i < n; i++)
            got[i] = atomic_load_explicit(&victim->ring[(head + i) % RING], memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&victim->head, &head, head + n,
                                                    memory_order_acq_rel, memory_order_acquire));
    for (uint32_t i = 0; i < n; i++)
        queue_push(w, got[i]);
    return n;
}

bool queue_steal(worker_t *w) {
    runtime_t *rt = w->rt;
    for (uint32_t i = 1; i < rt->worker_count; i++) {
        worker_t *victim = rt->workers[(w->index + i) % rt->worker_count];
        uint32_t n = steal_from(w, victim);
        if (n) {
            COUNT(rt, w, stolen, n);
            return true;
        }
    }
    return false;
}

/* After a slice: a wake-up costs more than a few short slices, so it needs a batch, or slices that
 * are long. */
void queue_wake_neighbour(worker_t *w, uint64_t slice_ticks) {
    runtime_t *rt = w->rt;
    uint32_t waiting = ring_length(w);
    if (waiting < BATCH && !(waiting && slice_ticks > rt->ticks_clock * 4))
        return;
    for (uint32_t i = 1; i < rt->worker_count; i++) {
        worker_t *n = rt->workers[(w->index + i) % rt->worker_count];
        if (atomic_load_explicit(&n->sleeping, memory_order_relaxed)) {
            worker_kick(n);
            return;
        }
    }
}
