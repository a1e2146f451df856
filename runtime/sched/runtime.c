/* runtime: see runtime.h. Start, orderly stop, and the calls that are open to any thread. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "sched/look.h"
#include "sched/sim_in.h"
#include <assert.h>
#include <sys/random.h>

#define TURN_US  500  /* actors run so long before the loop is polled */
#define CLOCK_US 50   /* now_ns is at most so old between slices */
#define HOLD_US  200  /* a port is woken so late at most, as far as one slice allows it */
#define KEEP_US  100  /* tokens are kept so long at most (sched.h), as far as one slice allows it */
#define SHORT_US 2    /* ... and before no slice of one that takes longer a message on average */
#define LATE_US  5000 /* a worker with others ready gives them so long between two long slices */
#define GRACE_S  5    /* a thread actor that does not come back from a blocking call */

uint64_t runtime_clock_mono(void *arg) {
    (void)arg;
    return clock_mono_ns();
}

static int64_t clock_wall(void *arg) {
    (void)arg;
    return clock_wall_ms();
}

static void or_default(uint32_t *value, uint32_t otherwise) {
    if (*value == 0)
        *value = otherwise;
}

static void set_conf(runtime_t *rt, const runtime_conf_t *conf) {
    runtime_conf_t *c = &rt->conf;
    *c = *conf;
    or_default(&c->workers, uv_available_parallelism());
    or_default(&c->max_actors, 1000000);
    or_default(&c->mailbox_msgs, 4096);
    or_default(&c->mailbox_bytes, 16u << 20);
    or_default(&c->slice_msgs, 64);
    or_default(&c->slice_us, 2000);
    if (!c->mono_ns)
        c->mono_ns = runtime_clock_mono;
    if (!c->wall_ms)
        c->wall_ms = clock_wall;
    if (!c->seed && getrandom(&c->seed, sizeof c->seed, 0) != sizeof c->seed)
        log_die("sched", "the system gives no random bytes");
    double us = clock_ticks_per_us();
    rt->ticks_slice = (uint64_t)(us * c->slice_us);
    rt->ticks_turn = (uint64_t)(us * TURN_US);
    rt->ticks_clock = (uint64_t)(us * CLOCK_US);
    rt->ticks_hold = (uint64_t)(us * HOLD_US);
    rt->ticks_keep = (uint64_t)(us * KEEP_US);
    rt->ticks_short = (uint64_t)(us * SHORT_US);
    rt->ticks_slow = (uint64_t)(us * LOOK_SLOW_US);
    rt->ticks_late = (uint64_t)(us * LATE_US);
}

runtime_t *runtime_new(const runtime_conf_t *conf) {
    runtime_t *rt = calloc(1, sizeof *rt);
    if (!rt)
        log_die("sched", "out of memory: runtime");
    set_conf(rt, conf);
    if (rt->conf.sim)
        sim_made(rt);
    pthread_mutex_init(&rt->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&rt->changed, &attr);
    pthread_condattr_destroy(&attr);
    timer_table_init(&rt->timers);
    rt->slow = slow_new();
    atomic_store(&rt->foreign_random, rt->conf.seed ^ 0x2545f4914f6cdd1du);
    rt->chunk_count = (rt->conf.max_actors + CHUNK - 1) / CHUNK;
    rt->chunks = calloc(rt->chunk_count, sizeof *rt->chunks);
    rt->worker_count = rt->conf.workers;
    rt->workers = calloc(rt->worker_count, sizeof *rt->workers);
    if (!rt->chunks || !rt->workers)
        log_die("sched", "out of memory: runtime");
    for (uint32_t i = 0; i < rt->worker_count; i++)
        rt->workers[i] = worker_new(rt, i, false);
    pthread_barrier_init(&rt->barrier, NULL, rt->worker_count);
    return rt;
}

void runtime_worker_hook(runtime_t *rt,
                         void (*hook)(runtime_t *rt, uint32_t worker, bool starting, void *arg),
                         void *arg) {
    assert(rt->hook_count < HOOKS && atomic_load(&rt->phase) == PHASE_NEW);
    rt->hooks[rt->hook_count++] = (worker_hook_t){hook, arg};
}

static void *worker_thread(void *arg) {
    pthread_setname_np(pthread_self(), "worker");
    worker_main(arg);
    return NULL;
}

/* Returns when each worker's hooks have run. */
int runtime_start(runtime_t *rt) {
    assert(atomic_load(&rt->phase) == PHASE_NEW);
    atomic_store(&rt->phase, PHASE_RUNNING);
    if (rt->sim) {
        sim_start(rt);
        return ERR_OK;
    }
    for (uint32_t i = 0; i < rt->worker_count; i++) {
        if (pthread_create(&rt->workers[i]->thread, NULL, worker_thread, rt->workers[i]))
            log_die("sched", "no thread for worker %u", i);
        rt->workers[i]->started = true;
    }
    pthread_mutex_lock(&rt->lock);
    while (rt->up < rt->worker_count)
        pthread_cond_wait(&rt->changed, &rt->lock);
    worker_t *t = rt->threads;
    pthread_mutex_unlock(&rt->lock);
    for (; t; t = t->next_thread)
        if (!t->started && t->only)
            thread_start(t);
    return ERR_OK;
}

/* --- stop --- */
typedef enum wave { WAVE_SPAWNED, WAVE_KEYED, WAVE_FIRST } wave_t;

static bool in_wave(const actor_t *a, wave_t wave) {
    if (a->kind != KIND_NONE)
        return wave == WAVE_KEYED;
    return a->marks & MARK_FIRST ? wave == WAVE_FIRST : wave == WAVE_SPAWNED;
}

enum { AT_ONCE = 256 };

/* Under the lock: collects whom to ask, youngest first. Those made before start go one by one.
 * *left: is anyone there. */
static size_t collect(runtime_t *rt, wave_t wave, actor_ref_t *refs, bool *left) {
    size_t n = 0;
    *left = false;
    for (uint32_t at = rt->youngest; at && n < AT_ONCE;) {
        actor_t *a = slot_at(rt, at - 1);
        at = a->older;
        if (!in_wave(a, wave))
            continue;
        *left = true;
        if (a->marks & MARK_STOP_LATE)
            continue;
        if (!(a->marks & MARK_STOP_SENT)) {
            SHOW(a->marks, (uint8_t)(a->marks | MARK_STOP_SENT));
            refs[n++] = ref_of(a);
        }
        if (wave == WAVE_FIRST)
            break;
    }
    return n;
}

static void wait_changed(runtime_t *rt, uint64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&rt->changed, &rt->lock, &until);
}

static uint64_t stop_clock(const runtime_t *rt) {
    return rt->sim ? rt_now(rt) : clock_mono_ns();
}

/* The one that was asked last has had its share of the time: the next one is asked too. */
static void give_up(runtime_t *rt, actor_ref_t ref) {
    actor_t *a = ref.gen ? slot_at(rt, ref.slot) : NULL;
    look_actor_t e;
    if (!look_one(rt, ref, &e))
        return;
    log_warn("sched", "actor %s key %llu takes long to stop", e.name, (unsigned long long)e.key);
    pthread_mutex_lock(&rt->lock);
    if (SEEN(a->gen) == ref.gen && (a->marks & MARK_LIVE)) /* it may have ended by now */
        SHOW(a->marks, (uint8_t)(a->marks | MARK_STOP_LATE));
    pthread_mutex_unlock(&rt->lock);
}

/* each_ns: how long one of WAVE_FIRST may take before the next one is asked. */
static void stop_wave(runtime_t *rt, wave_t wave, uint64_t until_ns, uint64_t each_ns) {
    actor_ref_t refs[AT_ONCE], last = ACTOR_NONE;
    uint64_t last_ns = 0;
    for (bool left = true; left && stop_clock(rt) < until_ns;) {
        pthread_mutex_lock(&rt->lock);
        size_t n = collect(rt, wave, refs, &left);
        if (n == 0 && left && !rt->sim)
            wait_changed(rt, 5);
        pthread_mutex_unlock(&rt->lock);
        if (n == 0 && left && rt->sim)
            sim_wait(rt);
        for (size_t i = 0; i < n; i++)
            post_system(rt, refs[i], ACTOR_NONE, MSG_STOP, ERR_OK);
        uint64_t now = stop_clock(rt);
        if (n) {
            last = refs[n - 1];
            last_ns = now;
        } else if (wave == WAVE_FIRST && last.gen && now - last_ns > each_ns) {
            give_up(rt, last);
            last = ACTOR_NONE;
        }
    }
}

static void join_thread_actor(worker_t *t) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GRACE_S;
    if (t->started && pthread_timedjoin_np(t->thread, NULL, &until))
        log_die("sched", "thread actor %s does not come back from its call",
                t->only ? t->only->cls->name : "?");
}

static void last_rites(void *arg, actor_t *a) {
    runtime_t *rt = arg;
    if (!(a->marks & MARK_LIVE))
        return;
    uint32_t done = 0;
    uint64_t bytes = 0;
    if (!(a->flags & ACTOR_DEAD)) {
        a->reason = ERR_CLOSED;
        actor_end(a);
    }
    actor_drain(a, &done, &bytes);
    (void)rt;
}

static void give_all(void *arg, actor_t *a) {
    uint32_t done = 0;
    uint64_t bytes = 0;
    if (!(a->marks & MARK_LIVE))
        return;
    actor_drain(a, &done, &bytes);
    slot_give(arg, a);
}

static void quit(runtime_t *rt) {
    bool ran = atomic_exchange(&rt->phase, PHASE_QUIT) == PHASE_RUNNING && !rt->sim;
    if (rt->sim)
        sim_end(rt);
    for (uint32_t i = 0; ran && i < rt->worker_count; i++)
        worker_kick(rt->workers[i]);
    for (worker_t *t = rt->threads; t && !rt->sim; t = t->next_thread)
        thread_wake(t);
    for (worker_t *t = rt->threads; t; t = t->next_thread)
        join_thread_actor(t);
    for (uint32_t i = 0; ran && i < rt->worker_count; i++)
        pthread_join(rt->workers[i]->thread, NULL);
    /* One thread is left: whatever was still under way is dropped. */
    slot_each(rt, last_rites, rt);
    slot_each(rt, give_all, rt);
    atomic_store(&rt->phase, PHASE_OVER);
}

/* Half of the time for actors made while it ran, a quarter for keyed ones (the former may still
 * need them), the rest for those made before start, one after the other. Who is left is ended
 * without being asked. */
void runtime_stop(runtime_t *rt, uint32_t ms) {
    uint32_t phase = atomic_load(&rt->phase);
    if (phase >= PHASE_QUIT)
        return;
    atomic_store(&rt->stopping, true);
    uint64_t start = stop_clock(rt), ns = (uint64_t)ms * 1000000;
    if (phase == PHASE_RUNNING) {
        stop_wave(rt, WAVE_SPAWNED, start + ns / 2, ns / 8);
        stop_wave(rt, WAVE_KEYED, start + ns / 4 * 3, ns / 8);
        stop_wave(rt, WAVE_FIRST, start + ns, ns / 8);
    }
    quit(rt);
}

void runtime_free(runtime_t *rt) {
    if (!rt)
        return;
    runtime_stop(rt, 0);
    for (uint32_t i = 0; i < rt->worker_count; i++)
        worker_free(rt->workers[i]);
    while (rt->threads) {
        worker_t *t = rt->threads;
        rt->threads = t->next_thread;
        worker_free(t);
    }
    directory_free(rt);
    for (uint32_t i = 0; i < rt->chunk_count; i++)
        free(atomic_load_explicit(&rt->chunks[i], memory_order_relaxed));
    timer_table_free(&rt->timers);
    slow_free(rt->slow);
    trace_free(atomic_load(&rt->trace));
    if (rt->sim)
        sim_leave(rt);
    pthread_barrier_destroy(&rt->barrier);
    pthread_mutex_destroy(&rt->lock);
    pthread_cond_destroy(&rt->changed);
    free(rt->chunks);
    free(rt->workers);
    free(rt);
}

/* --- any thread --- */
uint32_t runtime_workers(const runtime_t *rt) {
    return rt->worker_count;
}

int runtime_send(runtime_t *rt, actor_ref_t to, msg_t *m) {
    m->flags = 0;
    m->call_id = 0;
    m->from = ACTOR_NONE;
    return post(rt, to, m);
}

int runtime_kill(runtime_t *rt, actor_ref_t ref, int reason) {
    msg_t *m = msg_new(MSG_KILL, 0);
    m->flags = MSG_SYSTEM;
    m->to = ref;
    worker_t *w = worker_of(rt);
    COUNT(rt, w, sent, 1);
    bool known = reason < 0 && reason > -ERR_COUNT && reason != ERR_CLOSED; /* see actor_crashed */
    int err = mailbox_kill(rt, ref, m, known ? reason : ERR_INTERNAL);
    if (err) {
        COUNT(rt, w, refused, 1);
        msg_free(m);
    }
    return err;
}

int runtime_send_key(runtime_t *rt, uint8_t kind, uint64_t key, msg_t *m) {
    m->flags = 0;
    m->call_id = 0;
    m->from = ACTOR_NONE;
    return directory_send(rt, kind, key, m);
}

void runtime_name(runtime_t *rt, uint32_t name, actor_ref_t ref) {
    assert(name < RUNTIME_NAMES);
    atomic_store(&rt->names[name], (uint64_t)ref.gen << 32 | ref.slot);
}

actor_ref_t runtime_named(const runtime_t *rt, uint32_t name) {
    assert(name < RUNTIME_NAMES);
    uint64_t n = atomic_load(&((runtime_t *)rt)->names[name]);
    return (actor_ref_t){(uint32_t)n, (uint32_t)(n >> 32)};
}

/* In a worker the time of its turn, else the clock's. */
uint64_t runtime_now_ns(const runtime_t *rt) {
    worker_t *w = worker_of(rt);
    return w ? w->now_ns : rt_now(rt);
}

uint64_t runtime_fresh_ns(const runtime_t *rt) {
    return rt_now(rt);
}

int64_t runtime_wall_ms(const runtime_t *rt) {
    worker_t *w = worker_of(rt);
    return w ? w->wall_ms : rt->conf.wall_ms(rt->conf.arg);
}

static void add_counts(runtime_counts_t *out, const counts_t *counts) {
    counts_t *c = (counts_t *)counts;
    out->sent += atomic_load_explicit(&c->sent, memory_order_relaxed);
    out->received += atomic_load_explicit(&c->received, memory_order_relaxed);
    out->refused += atomic_load_explicit(&c->refused, memory_order_relaxed);
    out->dead += atomic_load_explicit(&c->dead, memory_order_relaxed);
    out->stolen += atomic_load_explicit(&c->stolen, memory_order_relaxed);
    out->wakes += atomic_load_explicit(&c->wakes, memory_order_relaxed);
}

void runtime_counts(const runtime_t *rt, runtime_counts_t *out) {
    *out = (runtime_counts_t){0};
    add_counts(out, &rt->foreign);
    for (uint32_t i = 0; i < rt->worker_count; i++)
        add_counts(out, &rt->workers[i]->counts);
    pthread_mutex_lock(&((runtime_t *)rt)->lock);
    for (worker_t *t = rt->threads; t; t = t->next_thread)
        add_counts(out, &t->counts);
    out->actors = rt->live;
    out->slot_bytes = (uint64_t)rt->slots_made * sizeof(actor_t);
    pthread_mutex_unlock(&((runtime_t *)rt)->lock);
}
