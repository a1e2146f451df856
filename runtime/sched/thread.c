/* thread: an actor with a thread of its own (ports): it sleeps until its mailbox has something or a
 * timer is due, takes a batch, and may block while it handles it. It has a wheel, no loop. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "sched/sim_in.h"

#define BATCH_MAX 1024

/* The token holder hands it over under the lock. */
void thread_wake(worker_t *w) {
    if (w->rt->sim) {
        sim_ready(w->rt, w->only);
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->ready = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static bool quits(const worker_t *w) {
    return atomic_load_explicit(&w->rt->phase, memory_order_seq_cst) >= PHASE_QUIT;
}

static void wait_until(worker_t *w, uint64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&w->cond, &w->lock, &until);
}

/* Gives whether the token came. Under an injected clock it looks every ms while a timer waits. */
static bool sleep_here(worker_t *w) {
    uint64_t next = wheel_next_ms(&w->wheel), now = rt_now(w->rt) / 1000000;
    pthread_mutex_lock(&w->lock);
    if (!w->ready && !quits(w) && next > now) {
        uint64_t ms = w->rt->conf.mono_ns == runtime_clock_mono ? next - now : 1;
        if (next == UINT64_MAX)
            pthread_cond_wait(&w->cond, &w->lock);
        else
            wait_until(w, ms < 3600000 ? ms : 3600000);
    }
    bool ready = w->ready;
    w->ready = false;
    pthread_mutex_unlock(&w->lock);
    return ready;
}

/* Messages for the class into `batch`; the runtime's own are dealt with. Gives how many. */
static uint32_t gather(worker_t *w, actor_t *a, msg_t **batch, uint32_t *done, uint64_t *bytes) {
    uint32_t n = 0, most = a->cls->batch ? a->cls->batch : w->rt->conf.slice_msgs;
    msg_t *m;
    bool dies = atomic_load_explicit(&a->killed, memory_order_relaxed);
    if (most > BATCH_MAX || dies)
        most = dies ? 1 : BATCH_MAX;
    while (n < most && !(a->flags & ACTOR_EXITING) && (m = mailbox_pop(a))) {
        ++*done;
        *bytes += msg_cost(m);
        if (!dispatch_own(w, a, m, *done))
            msg_free(m);
        else if (dies)
            msg_done(w->rt, a, m);
        else
            batch[n++] = m;
        if (dies && actor_take_kill(a))
            break;
    }
    return n;
}

static bool stop_among(msg_t **batch, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (batch[i]->verb == MSG_STOP && (batch[i]->flags & MSG_SYSTEM))
            return true;
    return false;
}

/* A thread actor that was asked to stop ends after that batch by itself: what came before STOP is
 * done then. */
static void handle_batch(actor_t *a, msg_t **batch, uint32_t n) {
    bool stop = stop_among(batch, n);
    worker_t *w = worker_current;
    bool traced = trace_armed(rt_of(a));
    for (uint32_t i = 0; i < n; i++) {
        batch[i]->flags |= MSG_HANDLING;
        traced |= batch[i]->trace != 0;
    }
    if (RARELY(traced))
        trace_batch(w, a, batch, n, false);
    if (a->cls->handle_batch)
        a->cls->handle_batch(a, a->state, batch, n);
    else
        for (uint32_t i = 0; i < n; i++)
            a->cls->handle(a, a->state, batch[i]);
    if (RARELY(traced))
        trace_batch(w, a, batch, n, true);
    for (uint32_t i = 0; i < n; i++)
        msg_done(rt_of(a), a, batch[i]);
    if (stop)
        actor_exit(a, ERR_OK);
}

static void settle_dead(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes) {
    actor_drain(a, &done, &bytes);
    if (mailbox_consumed(a, done, bytes))
        actor_gone(a);
    else
        thread_wake(w);
}

static bool resume(worker_t *w, actor_t *a) {
    a->flags = 0;
    slot_mark(w->rt, a, MARK_PARKED, false);
    if (actor_begin(a, arg_of(a)) || (a->flags & ACTOR_EXITING)) {
        if (!actor_after_exit(w, a, 1, 0)) /* a restart that fails is a crash like any other */
            settle_dead(w, a, 1, 0);
        return false;
    }
    return !mailbox_consumed(a, 1, 0);
}

void thread_turn(worker_t *w, actor_t *a) {
    msg_t *batch[BATCH_MAX];
    if (a->flags & ACTOR_DEAD) {
        settle_dead(w, a, 0, 0);
        return;
    }
    if ((a->flags & ACTOR_PARKED) && !resume(w, a))
        return;
    uint32_t waiting = (uint32_t)atomic_load_explicit(&a->gate, memory_order_relaxed), done = 0;
    uint64_t bytes = 0, start = clock_ticks();
    if (waiting > a->peak)
        SHOW(a->peak, waiting);
    SHOW(w->running, a);
    uint32_t n = gather(w, a, batch, &done, &bytes);
    if (n)
        handle_batch(a, batch, n);
    SHOW(w->running, NULL);
    SHOW(a->handled, a->handled + done);
    SHOW(a->ticks, a->ticks + (clock_ticks() - start));
    COUNT(w->rt, w, received, done);
    if (a->flags & ACTOR_EXITING) {
        if (!actor_after_exit(w, a, done, bytes))
            settle_dead(w, a, done, bytes);
    } else if (!mailbox_consumed(a, done, bytes)) {
        thread_wake(w);
    }
}

static void *thread_main(void *arg) {
    worker_t *w = arg;
    worker_current = w;
    SHOW(w->cpu_clock, clock_thread_id());
    char name[16]; /* what top and perf show; the kernel takes no more */
    snprintf(name, sizeof name, "%s", w->only ? w->only->cls->name : "port");
    pthread_setname_np(pthread_self(), name);
    while (!quits(w) && w->only) {
        bool token = sleep_here(w);
        turn_clock(w);
        wheel_advance(w, w->now_ns / 1000000);
        if (token && !quits(w))
            thread_turn(w, w->only);
    }
    if (w->only)
        worker_sweep(w);
    worker_current = NULL;
    watchdog_quit();
    pool_thread_end();
    return NULL;
}

int thread_start(worker_t *w) {
    if (w->rt->sim)
        return ERR_OK;
    if (pthread_create(&w->thread, NULL, thread_main, w))
        log_die("sched", "no thread for actor %s", w->only->cls->name);
    w->started = true;
    return ERR_OK;
}
