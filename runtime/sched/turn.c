/* turn: one actor's turn: at most slice_msgs messages or slice_us, then it goes to the back of the
 * queue. The thread that holds the actor's token runs this. */
#include "base/clock.h"
#include "base/err.h"
#include "sched/sched.h"

/* Reads the clock again when enough ticks went by: no system call per message. */
void turn_clock(worker_t *w) {
    w->now_ns = rt_now(w->rt);
    w->now_ms = (uint32_t)(w->now_ns / 1000000);
    w->wall_ms = w->rt->conf.wall_ms(w->rt->conf.arg);
    w->now_ticks = clock_ticks();
}

/* After the handler: a request that was neither answered nor kept has nobody left who could answer
 * it. */
void msg_answer(runtime_t *rt, actor_t *a, msg_t *m) {
    m->flags &= (uint16_t)~MSG_HANDLING;
    if (m->flags & MSG_KEPT)
        return;
    if (m->call_id && (m->flags & MSG_REQUEST))
        answer(rt, ref_of(a), m, ERR_GONE, NULL);
    msg_free(m);
}

static void time_idle(actor_t *a, uint64_t ms) {
    a->flags |= ACTOR_TIMED;
    timer_start(a, ms, MSG_IDLE, 0);
}

static bool may_leave(actor_t *a) {
    return !a->open && !call_open(a) && (!a->cls->passivate || a->cls->passivate(a, a->state));
}

/* Keyed and idle for idle_ms? Then it may leave, if it says so and nothing came meanwhile. */
static void idle(worker_t *w, actor_t *a, uint32_t done) {
    uint64_t quiet_ms = w->now_ms - a->last, limit = a->cls->idle_ms;
    bool quiet = quiet_ms >= limit, may = quiet && may_leave(a);
    a->flags &= (uint8_t)~ACTOR_TIMED;
    if (a->flags & ACTOR_EXITING)
        return;
    if (may && !a->open && !call_open(a) && mailbox_close_if(a, done)) {
        a->flags |= ACTOR_EXITING | ACTOR_LEAVES;
        a->reason = ERR_OK;
        return;
    }
    if (may || !quiet || !a->cls->idle_lazily)
        time_idle(a, quiet ? limit : limit - quiet_ms);
}

static int dispatch_system(worker_t *w, actor_t *a, msg_t *m, uint32_t done) {
    switch (m->verb) {
    case MSG_WATCH:
        watch_add(a, m->from);
        return 0;
    case MSG_ARM:
        timer_adopt(w, m->key);
        return 0;
    case MSG_IDLE:
        idle(w, a, done);
        return 0;
    case MSG_CALLS:
        call_expire(a);
        return 0;
    case MSG_FAILED:
        actor_child_failed(a, m);
        return 0;
    case MSG_KILL:
        actor_take_kill(a);
        return 0;
    case MSG_LOOK:
        look_answer(a, m);
        return 0;
    case MSG_RELEASE:
        open_remove(a, (msg_t *)(uintptr_t)m->cookie);
        msg_free((msg_t *)(uintptr_t)m->cookie);
        return 0;
    default:
        return 1;
    }
}

/* 1: m is for the class. 0: it was the runtime's, or late; the caller frees it. `done` counts m. */
int dispatch_own(worker_t *w, actor_t *a, msg_t *m, uint32_t done) {
    if ((m->flags & MSG_TIMER) && !timer_arrived(a, m->key))
        return 0;
    if (m->flags & MSG_REPLY)
        return call_arrived(a, m);
    if ((m->flags & MSG_SYSTEM) && m->verb < MSG_USER)
        return dispatch_system(w, a, m, done);
    if ((m->flags & MSG_REQUEST) && m->deadline_ns < w->now_ns) {
        answer(w->rt, ref_of(a), m, ERR_TIMEOUT, NULL);
        return 0;
    }
    return 1;
}

static void handle(worker_t *w, actor_t *a, msg_t *m, uint32_t done) {
    if (m->flags && !dispatch_own(w, a, m, done)) {
        msg_free(m);
        return;
    }
    a->last = w->now_ms;
    m->flags |= MSG_HANDLING;
    SHOW(w->verb, m->verb);
    w->sender = m->from.slot;
    if (RARELY(m->trace | trace_armed(w->rt)))
        trace_came(w, a, m);
    a->cls->handle(a, a->state, m);
    if (RARELY(w->trace))
        trace_left(w);
    msg_done(w->rt, a, m);
}

/* What is left once an actor has ended: messages are answered; when the gate counts none the slot
 * is free. */
static void run_dead(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes) {
    actor_drain(a, &done, &bytes);
    if (mailbox_consumed(a, done, bytes))
        actor_gone(a);
    else
        queue_push(w, a);
}

/* A restart that fails is a crash like any other. */
static void fail_begin(worker_t *w, actor_t *a, bool parked) {
    if (parked && actor_after_exit(w, a, 1, 0))
        return;
    if (!parked)
        actor_end(a);
    run_dead(w, a, parked, 0);
}

/* Its restart is due, or a keyed actor begins. false: init refused and it has ended. */
static bool begin(worker_t *w, actor_t *a) {
    bool parked = a->flags & ACTOR_PARKED;
    if (parked)
        slot_mark(w->rt, a, MARK_PARKED, false);
    a->flags &= (uint8_t) ~(ACTOR_STARTING | ACTOR_PARKED);
    a->last = w->now_ms;
    int err = actor_begin(a, arg_of(a));
    if (err == ERR_OK) {
        if (a->kind != KIND_NONE && a->cls->idle_ms && !a->cls->idle_lazily)
            time_idle(a, a->cls->idle_ms);
        if (!(a->flags & ACTOR_EXITING))
            return !parked || !mailbox_consumed(a, 1, 0);
    } else {
        a->reason = (int8_t)err;
    }
    fail_begin(w, a, parked);
    return false;
}

static void end_slice(worker_t *w, actor_t *a) {
    if (RARELY(w->trace_slice))
        trace_slice_end(w);
    a->cls->slice_end(a, a->state);
    w->trace = 0;
}

/* It was killed: its next message is not handled any more but answered, and it crashes. Gives how
 * many were consumed; 0: the message that MSG_KILL is has not arrived yet. */
static uint32_t die(worker_t *w, actor_t *a, uint64_t *bytes) {
    msg_t *m = mailbox_pop(a);
    if (!m)
        return 0;
    *bytes += msg_cost(m);
    if (dispatch_own(w, a, m, 1))
        msg_done(w->rt, a, m);
    else
        msg_free(m);
    actor_take_kill(a);
    return 1;
}

/* The messages of one slice. Gives how many were consumed. */
static uint32_t slice(worker_t *w, actor_t *a, uint64_t *bytes, uint64_t *ticks) {
    runtime_t *rt = w->rt;
    uint64_t start = w->now_ticks_slice;
    uint32_t n = 0;
    msg_t *m;
    *ticks = 0;
    if (RARELY(atomic_load_explicit(&a->killed, memory_order_relaxed)))
        return die(w, a, bytes);
    while (n < rt->conf.slice_msgs && (m = mailbox_pop(a))) {
        n++;
        *bytes += msg_cost(m);
        handle(w, a, m, n);
        if ((a->flags & ACTOR_EXITING) || (a->slow & SLOW_ASKS) || watchdog_overdue())
            break;
        if ((n & (n < 8 ? n - 1 : 7)) == 0 && a->queue && clock_ticks() - start > rt->ticks_slice)
            break;
    }
    if (a->cls->slice_end && n && !(a->flags & ACTOR_EXITING))
        end_slice(w, a);
    w->now_ticks_slice = clock_ticks();
    a->slow = watchdog_overdue() || (a->slow & SLOW_ASKS) ? SLOW_LATE : 0;
    if (a->slow)
        w->late_ticks = w->now_ticks_slice;
    watchdog_next(w->now_ticks_slice);
    *ticks = w->now_ticks_slice - start;
    if (w->now_ticks_slice - w->now_ticks > rt->ticks_clock)
        turn_clock(w);
    return n;
}

/* With idle_lazily the timer begins when the actor could leave, not with the actor. */
static void look_for_idle(actor_t *a) {
    if (a->cls->idle_lazily && a->kind != KIND_NONE && !(a->flags & ACTOR_TIMED) && may_leave(a))
        time_idle(a, a->cls->idle_ms);
}

static void account(worker_t *w, actor_t *a, uint32_t n, uint64_t ticks, uint32_t waiting) {
    if (waiting > a->peak)
        SHOW(a->peak, waiting);
    SHOW(a->handled, a->handled + n);
    SHOW(a->ticks, a->ticks + ticks);
    if (RARELY(ticks > w->rt->ticks_slow))
        slow_note(w, a, n, ticks);
    COUNT(w->rt, w, received, n);
    COUNT(w->rt, w, slices, 1);
}

/* It has handled its only message and answered it: see sched.h, kept tokens. */
static bool may_keep(const worker_t *w, const actor_t *a, uint64_t bytes) {
    uint64_t gate = atomic_load_explicit(&((actor_t *)a)->gate, memory_order_relaxed);
    return w->next->slot == w->sender && (uint32_t)gate == 1 && !bytes && !a->slow &&
           atomic_load_explicit(&((actor_t *)a)->cap_msgs, memory_order_relaxed) >= KEPT_CAP;
}

void actor_run(worker_t *w, actor_t *a) {
    atomic_store_explicit(&a->worker, w, memory_order_relaxed);
    if (a->flags & ACTOR_DEAD) {
        run_dead(w, a, 0, 0);
        return;
    }
    SHOW(w->running, a);
    if ((a->flags & (ACTOR_STARTING | ACTOR_PARKED)) && !begin(w, a)) {
        SHOW(w->running, NULL);
        return;
    }
    uint32_t waiting = (uint32_t)atomic_load_explicit(&a->gate, memory_order_relaxed);
    uint64_t bytes = 0, ticks = 0;
    uint32_t n = a->flags & ACTOR_EXITING ? 0 : slice(w, a, &bytes, &ticks);
    account(w, a, n, ticks, waiting);
    if (!(a->flags & ACTOR_EXITING))
        look_for_idle(a);
    if (a->flags & ACTOR_EXITING) {
        if (!actor_after_exit(w, a, n, bytes))
            run_dead(w, a, n, bytes);
    } else if (n == 1 && w->next && may_keep(w, a, bytes)) {
        queue_keep(w, a);
    } else if (!mailbox_consumed(a, n, bytes)) {
        queue_push(w, a);
    }
    SHOW(w->running, NULL);
    queue_share(w, ticks);
}
