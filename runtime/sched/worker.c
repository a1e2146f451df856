/* worker: one thread, one libuv loop. A turn: poll the loop, fire timers, run actors until none is
 * ready or the turn's time is over, run the turn-end hooks (flush). With nothing to do it takes
 * from a neighbour, else it sleeps in the poll until its next timer. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "sched/sched.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

__thread worker_t *worker_current;

/* The wake-up of a sleeping worker. Not a uv_async_t: its receiver spins until the sender is back
 * from the write that woke it, which with few cores is when the receiver has given up its own. */
static void woken(uv_poll_t *h, int status, int events) {
    uint64_t times;
    ssize_t n = read(((worker_t *)h->data)->wake_fd, &times, sizeof times);
    (void)status, (void)events, (void)n;
}

void worker_wake(worker_t *w) {
    uint64_t one = 1;
    if (write(w->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        log_die("sched", "worker %u cannot be woken: %s", w->index, strerror(errno));
}

/* uv_run looks at its timers before it polls: one that is due by then is gone and the poll would
 * sleep without end. A stopped loop polls without waiting, and starts again by itself. */
static void slept(uv_timer_t *h) {
    uv_stop(h->loop);
}

const char *runtime_running_class(void) {
    const worker_t *w = worker_current;
    const actor_t *a = !w ? NULL : w->is_thread ? w->only : w->running;
    return a ? a->cls->name : NULL;
}

static void open_loop(worker_t *w) {
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0 || uv_loop_init(&w->loop) || uv_timer_init(&w->loop, &w->timer) ||
        uv_poll_init(&w->loop, &w->wake, w->wake_fd) || uv_poll_start(&w->wake, UV_READABLE, woken))
        log_die("sched", "no event loop for worker %u", w->index);
    w->wake.data = w;
}

worker_t *worker_new(runtime_t *rt, uint32_t index, bool is_thread) {
    worker_t *w = calloc(1, sizeof *w);
    if (!w)
        log_die("sched", "out of memory: worker");
    w->rt = rt;
    w->index = index;
    w->is_thread = is_thread;
    w->keep_mark = is_thread ? UINT8_MAX : (uint8_t)(index + 1);
    w->pinned_tail = &w->pinned;
    w->over_tail = &w->over;
    w->late_tail = &w->late;
    w->random = rt->conf.seed + (uint64_t)index * 0x5851f42d4c957f2du;
    w->wheel.now_ms = rt_now(rt) / 1000000;
    turn_clock(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (!is_thread)
        open_loop(w);
    return w;
}

static void close_handle(uv_handle_t *h, void *arg) {
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

/* In the worker's thread, or after it ended. */
void worker_free(worker_t *w) {
    if (!w->is_thread) {
        uv_walk(&w->loop, close_handle, NULL);
        while (uv_run(&w->loop, UV_RUN_NOWAIT))
            ;
        if (uv_loop_close(&w->loop))
            log_warn("sched", "worker %u: its loop still had handles", w->index);
        close(w->wake_fd);
    }
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->cond);
    free(w);
}

/* Others who wrote to the actors whose tokens w keeps wait for it: not for long, and not behind one
 * that takes its time. */
static bool keeps_too_long(const worker_t *w, const actor_t *next) {
    return w->now_ticks_slice - w->kept_ticks > w->rt->ticks_keep ||
           next->ticks > next->handled * w->rt->ticks_short;
}

static void run_actors(worker_t *w) {
    uint64_t start = clock_ticks();
    actor_t *a;
    w->now_ticks_slice = start;
    watchdog_slice(start);
    queue_take_inbox(w);
    while ((a = queue_next(w))) {
        if (w->kept_map && keeps_too_long(w, a))
            queue_give_all_kept(w);
        actor_run(w, a);
        if (w->held && w->now_ticks_slice - w->held_ticks > w->rt->ticks_hold)
            queue_wake_held(w);
        if (w->now_ticks_slice - start > w->rt->ticks_turn) {
            queue_share(w, UINT64_MAX); /* busy for a whole turn: any backlog is worth a wake-up */
            break;
        }
        queue_take_inbox(w);
    }
    queue_give_all_kept(w);
    queue_wake_held(w);
    watchdog_slice(0);
}

/* Gives how many us the next poll may wait. */
static uint64_t end_turn(worker_t *w) {
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < w->turn_hook_count; i++) {
        uint64_t us = w->turn_hooks[i].fn(w->turn_hooks[i].arg);
        least = us < least ? us : least;
    }
    return least;
}

/* How long to sleep in ms; -1: until woken. Under an injected clock nobody can tell when the next
 * timer is due. */
static int64_t sleep_ms(worker_t *w, uint64_t hook_us) {
    uint64_t next = wheel_next_ms(&w->wheel), ms = UINT64_MAX;
    if (next != UINT64_MAX) {
        uint64_t now_ns = rt_now(w->rt);
        ms = next * 1000000 > now_ns ? (next * 1000000 - now_ns + 999999) / 1000000 : 0;
        if (w->rt->conf.mono_ns != runtime_clock_mono && ms > 1)
            ms = 1;
    }
    if (hook_us != UINT64_MAX && hook_us / 1000 < ms)
        ms = hook_us / 1000;
    return ms == UINT64_MAX ? -1 : (int64_t)ms;
}

static bool quits(const worker_t *w) {
    return atomic_load_explicit(&w->rt->phase, memory_order_seq_cst) >= PHASE_QUIT;
}

/* See worker_kick for why no wake-up gets lost; quits() stands beside inbox in that argument. */
static void poll_asleep(worker_t *w, int64_t ms) {
    atomic_store_explicit(&w->sleeping, 1, memory_order_seq_cst);
    atomic_fetch_add_explicit(&w->rt->idle, 1, memory_order_relaxed);
    if (!queue_empty(w) || quits(w) || queue_steal(w)) {
        uv_run(&w->loop, UV_RUN_NOWAIT);
    } else {
        if (ms >= 0)
            uv_timer_start(&w->timer, slept, (uint64_t)ms, 0);
        uv_run(&w->loop, UV_RUN_ONCE);
        uv_timer_stop(&w->timer);
    }
    atomic_fetch_sub_explicit(&w->rt->idle, 1, memory_order_relaxed);
    atomic_store_explicit(&w->sleeping, 0, memory_order_seq_cst);
}

static void poll(worker_t *w, uint64_t hook_us) {
    int64_t ms = sleep_ms(w, hook_us);
    w->fresh = false;
    queue_wake_held(w); /* of the hooks */
    if (!queue_empty(w) || ms == 0 || queue_steal(w)) {
        uv_run(&w->loop, UV_RUN_NOWAIT);
    } else {
        uv_update_time(&w->loop);
        poll_asleep(w, ms);
    }
    turn_clock(w);
    w->fresh = true;
}

static void come_up(worker_t *w) {
    runtime_t *rt = w->rt;
    for (uint32_t i = 0; i < rt->hook_count; i++)
        rt->hooks[i].fn(rt, w->index, true, rt->hooks[i].arg);
    pthread_mutex_lock(&rt->lock);
    rt->up++;
    pthread_cond_broadcast(&rt->changed);
    pthread_mutex_unlock(&rt->lock);
}

static void sweep_one(void *arg, actor_t *a) {
    worker_t *w = arg;
    if (atomic_load_explicit(&a->worker, memory_order_relaxed) != w || !(a->marks & MARK_LIVE) ||
        (a->flags & ACTOR_DEAD))
        return;
    if (a->reason == ERR_OK)
        a->reason = ERR_CLOSED;
    actor_end(a);
}

/* No actor runs any more. Slots are given back by runtime_stop when all threads have ended. */
void worker_sweep(worker_t *w) {
    slot_each(w->rt, sweep_one, w);
}

void worker_main(void *arg) {
    worker_t *w = arg;
    runtime_t *rt = w->rt;
    worker_current = w;
    watchdog_join(true);
    come_up(w);
    while (!quits(w)) {
        wheel_advance(w, w->now_ns / 1000000);
        run_actors(w);
        poll(w, end_turn(w));
    }
    pthread_barrier_wait(&rt->barrier); /* from here nobody runs an actor */
    worker_sweep(w);
    end_turn(w);
    queue_wake_held(w);
    pthread_barrier_wait(&rt->barrier);
    for (uint32_t i = rt->hook_count; i-- > 0;)
        rt->hooks[i].fn(rt, w->index, false, rt->hooks[i].arg);
    worker_current = NULL;
    watchdog_quit();
    pool_thread_end();
}

struct uv_loop_s *worker_loop(runtime_t *rt, uint32_t worker) {
    return &rt->workers[worker]->loop;
}

void worker_local_set(runtime_t *rt, uint32_t worker, uint32_t slot, void *value) {
    assert(slot < RUNTIME_LOCALS);
    rt->workers[worker]->locals[slot] = value;
}

void *worker_local(runtime_t *rt, uint32_t worker, uint32_t slot) {
    assert(slot < RUNTIME_LOCALS);
    return rt->workers[worker]->locals[slot];
}

void worker_turn_end(runtime_t *rt, uint32_t worker, uint64_t (*fn)(void *arg), void *arg) {
    worker_t *w = rt->workers[worker];
    assert(w->turn_hook_count < HOOKS);
    w->turn_hooks[w->turn_hook_count++] = (turn_hook_t){fn, arg};
}

int worker_here(const runtime_t *rt) {
    worker_t *w = worker_of(rt);
    return w && !w->is_thread ? (int)w->index : -1;
}
