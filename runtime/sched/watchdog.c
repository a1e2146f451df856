/* watchdog: see watchdog.h. This file: the list of watched threads, the watchdog's thread, the
 * signal. */
#include "sched/watchdog.h"
#include "base/log.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define LIMIT_MS 5
#define SHORT_US 1500
#define AGAIN_US 1000 /* between two signals for the same slice */
#define IDLE_MS  1000 /* without a slice: then the watchdog sleeps until one begins */
/* The lowest ones are often taken by libraries and by valgrind. */
#define SIGNAL (SIGRTMIN + 4)

__thread watch_t watch_mine __attribute__((tls_model("initial-exec")));
_Atomic bool watchdog_parked;

typedef struct seat {
    struct seat *next;
    watch_t *watch;
    pthread_t thread;
} seat_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* seats; parking */
static pthread_cond_t unparked = PTHREAD_COND_INITIALIZER;
static seat_t *seats;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_end; /* takes a thread off the list when it ends */
static _Atomic uint32_t limit_ms = LIMIT_MS;

void watchdog_limit_set(uint32_t ms) {
    atomic_store_explicit(&limit_ms, ms, memory_order_relaxed);
}

/* What a short slice is pretended to be older than it is. */
static uint64_t short_ticks(void) {
    uint64_t limit_us = atomic_load_explicit(&limit_ms, memory_order_relaxed) * 1000ull;
    return limit_us > SHORT_US ? (uint64_t)((double)(limit_us - SHORT_US) * clock_ticks_per_us())
                               : 0;
}

void watchdog_short(uint64_t ticks) {
    if (!atomic_load_explicit(&watch_mine.since, memory_order_relaxed))
        return;
    watch_mine.short_since = ticks - short_ticks();
    watchdog_slice(watch_mine.short_since);
}

bool watchdog_early(void) {
    uint64_t since = atomic_load_explicit(&watch_mine.since, memory_order_relaxed);
    double limit_us = atomic_load_explicit(&limit_ms, memory_order_relaxed) * 1000.0;
    return since && since == watch_mine.short_since &&
           (double)(clock_ticks() - since - short_ticks()) < limit_us * clock_ticks_per_us();
}

/* In the thread that was meant, or (sent from outside of the process) in one that has no alarm. A
 * signal that comes late finds no alarm, or that of the next entry, which then looks early. */
static void on_signal(int number) {
    (void)number;
    int before = errno;
    watchdog_alarm_t alarm = atomic_load_explicit(&watch_mine.alarm, memory_order_relaxed);
    atomic_signal_fence(memory_order_acquire);
    if (alarm)
        alarm(watch_mine.arg);
    atomic_store_explicit(&watch_mine.sent, false, memory_order_relaxed);
    errno = before;
}

/* Under the lock, so the thread is there. Gives after how many us its slice wants a look. */
static uint64_t look_at(const seat_t *s, uint64_t now, uint64_t limit_us, double per_us) {
    watch_t *w = s->watch;
    uint64_t since = atomic_load_explicit(&w->since, memory_order_seq_cst);
    if (!since)
        return UINT64_MAX;
    uint64_t age = now > since ? (uint64_t)((double)(now - since) / per_us) : 0;
    if (age < limit_us)
        return limit_us - age;
    if (w->shared)
        atomic_store_explicit(&w->overdue, true, memory_order_relaxed);
    if (atomic_load_explicit(&w->alarm, memory_order_relaxed) &&
        !atomic_exchange_explicit(&w->sent, true, memory_order_relaxed))
        pthread_kill(s->thread, SIGNAL);
    return AGAIN_US;
}

/* Under the lock. UINT64_MAX: nobody is in a slice. */
static uint64_t look_at_all(uint64_t limit_us, double per_us) {
    uint64_t next = UINT64_MAX, now = clock_ticks();
    for (const seat_t *s = seats; s; s = s->next) {
        uint64_t us = look_at(s, now, limit_us, per_us);
        next = us < next ? us : next;
    }
    return next;
}

/* Under the lock: sleeps until a slice begins. Seq_cst: see watchdog_slice. */
static void park(uint64_t limit_us, double per_us) {
    atomic_store_explicit(&watchdog_parked, true, memory_order_seq_cst);
    while (atomic_load_explicit(&watchdog_parked, memory_order_seq_cst) &&
           look_at_all(limit_us, per_us) == UINT64_MAX)
        pthread_cond_wait(&unparked, &lock);
    atomic_store_explicit(&watchdog_parked, false, memory_order_seq_cst);
}

void watchdog_wake(void) {
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&watchdog_parked, false, memory_order_seq_cst);
    pthread_cond_signal(&unparked);
    pthread_mutex_unlock(&lock);
}

/* A slice that begins while it sleeps is no older than the sleep when it wakes, so sleeping for one
 * limit is never too long. */
static void *watch_all(void *arg) {
    (void)arg;
    double per_us = clock_ticks_per_us();
    uint64_t idle_us = 0;
    for (;;) {
        uint64_t limit_us = atomic_load_explicit(&limit_ms, memory_order_relaxed) * 1000ull;
        pthread_mutex_lock(&lock);
        uint64_t us = look_at_all(limit_us, per_us);
        if (us != UINT64_MAX) {
            idle_us = 0;
        } else if ((idle_us += limit_us) > IDLE_MS * 1000) {
            park(limit_us, per_us);
            idle_us = 0;
        }
        pthread_mutex_unlock(&lock);
        us = us < limit_us ? us : limit_us;
        struct timespec wait = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
    }
    return NULL;
}

static void quit_of(void *watch) {
    (void)watch;
    watchdog_quit();
}

/* All signals are blocked in the watchdog: those of the process belong to main. */
static void start(void) {
    pthread_t thread;
    sigset_t all, before;
    struct sigaction how = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&how.sa_mask);
    sigfillset(&all);
    if (sigaction(SIGNAL, &how, NULL) || pthread_key_create(&at_end, quit_of))
        log_die("sched", "no watchdog: %s", "the system refuses its signal");
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, watch_all, NULL))
        log_die("sched", "no thread for the watchdog");
    pthread_setname_np(thread, "watchdog");
    pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void watchdog_join(bool shared) {
    pthread_once(&once, start);
    seat_t *s = malloc(sizeof *s);
    if (!s)
        log_die("sched", "out of memory: watchdog");
    watch_mine.shared = shared;
    watch_mine.joined = true;
    *s = (seat_t){NULL, &watch_mine, pthread_self()};
    pthread_setspecific(at_end, &watch_mine);
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    pthread_mutex_lock(&lock);
    s->next = seats;
    seats = s;
    pthread_mutex_unlock(&lock);
}

void watchdog_quit(void) {
    if (!watch_mine.joined)
        return;
    pthread_mutex_lock(&lock);
    seat_t **at = &seats;
    while ((*at)->watch != &watch_mine)
        at = &(*at)->next;
    seat_t *s = *at;
    *at = s->next;
    pthread_mutex_unlock(&lock);
    pthread_setspecific(at_end, NULL);
    watch_mine = (watch_t){0};
    free(s);
}
