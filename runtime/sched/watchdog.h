/* watchdog: sees from outside that a thread has been in one slice for too long, and interrupts it.
 * Each watched thread publishes when its slice began: workers one relaxed store per slice, other
 * threads only while they are between watchdog_enter and watchdog_leave. The watchdog is a thread
 * of its own (one per process, shared by all runtimes): it sleeps until the oldest slice would be
 * over the limit, marks it overdue (a worker then ends its turn after the handler that runs) and,
 * where somebody asked to be alarmed, sends that thread a directed real-time signal whose handler
 * calls the alarm; again each ms until the slice is over. When no slice has begun for a
 * second it sleeps until one does.
 *
 * Knows no Lua: script arms a hook in its alarm. Threads that never enter are never signalled. */
#pragma once
#include "base/clock.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Runs in a signal handler, in the thread that entered: only what is async-signal-safe. */
typedef void (*watchdog_alarm_t)(void *arg);

/* One thread's; each field is written by that thread, but `overdue` and `sent` are set by the
 * watchdog. */
typedef struct watch {
    _Atomic uint64_t since; /* clock_ticks when its slice began; 0: in no slice */
    _Atomic(watchdog_alarm_t) alarm;
    void *volatile arg; /* for its own signal handler */
    _Atomic bool overdue;
    _Atomic bool sent; /* a signal is on its way: real-time ones queue, so there is one at most */
    uint64_t short_since; /* `since` of a slice that watchdog_short began */
    bool own;             /* the slice began with watchdog_enter */
    bool shared;
    bool joined;
} watch_t;

/* Initial-exec: a signal handler reads it, so it must not be made on first use. */
extern __thread watch_t watch_mine __attribute__((tls_model("initial-exec")));
extern _Atomic bool watchdog_parked;

/* Limit of a slice for the whole process; 5 ms unless set. Before threads enter. */
void watchdog_limit_set(uint32_t ms);
/* This thread is watched from now on, until it ends or leaves by watchdog_quit. shared: other
 * actors wait behind its slices (a worker). watchdog_enter joins by itself. */
void watchdog_join(bool shared);
void watchdog_quit(void);
void watchdog_wake(void);

/* A slice of this thread begins now, and the last one is over; 0: it will wait. Only from 0 to a
 * slice the watchdog may be asleep: seq_cst on both words, so that either it sees the slice or we
 * see that it sleeps (partner: park in watchdog.c). */
static inline void watchdog_slice(uint64_t ticks) {
    watch_t *w = &watch_mine;
    if (atomic_load_explicit(&w->overdue, memory_order_relaxed))
        atomic_store_explicit(&w->overdue, false, memory_order_relaxed);
    if (!ticks || atomic_load_explicit(&w->since, memory_order_relaxed)) {
        atomic_store_explicit(&w->since, ticks, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&w->since, ticks, memory_order_seq_cst);
    if (atomic_load_explicit(&watchdog_parked, memory_order_seq_cst))
        watchdog_wake();
}

/* One slice of a worker ends and the next begins. The deterministic mode has no slices to watch. */
static inline void watchdog_next(uint64_t ticks) {
    if (atomic_load_explicit(&watch_mine.since, memory_order_relaxed))
        watchdog_slice(ticks);
}

/* The slice that begins now is of somebody whose last one was over the limit: it is looked at after
 * 1.5 ms already, for others are to wait behind it even less. Workers only. */
void watchdog_short(uint64_t ticks);
/* This slice was looked at for that reason only: it is not as long as any may be. */
bool watchdog_early(void);

/* The slice of this worker is over the limit: who does many things in a row stops here. Never in
 * other threads. */
static inline bool watchdog_overdue(void) {
    return atomic_load_explicit(&watch_mine.overdue, memory_order_relaxed);
}

/* Others wait behind this thread. */
static inline bool watchdog_shared(void) {
    return watch_mine.shared;
}

/* From here to watchdog_leave the alarm is called when the slice is over the limit. Outside of a
 * slice it begins one. Not nested. The fence orders arg before alarm for this thread's handler. */
static inline void watchdog_enter(watchdog_alarm_t alarm, void *arg) {
    watch_t *w = &watch_mine;
    if (!w->joined)
        watchdog_join(false);
    w->arg = arg;
    atomic_signal_fence(memory_order_release);
    atomic_store_explicit(&w->alarm, alarm, memory_order_relaxed);
    w->own = !atomic_load_explicit(&w->since, memory_order_relaxed);
    if (w->own)
        watchdog_slice(clock_ticks());
}

static inline void watchdog_leave(void) {
    watch_t *w = &watch_mine;
    atomic_store_explicit(&w->alarm, NULL, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (w->own)
        watchdog_slice(0);
}
