/* log_ring: see log_ring.h. A slot's turn says whose it is: equal to the position = free for the
 * sender that takes this position; position + 1 = full, for the writer; the writer sets it a whole
 * round on. */
#include "base/log_ring.h"
#include "base/log.h"
#include "base/stat.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SLOTS       1024u /* 1 MiB */
#define STOP_WAIT_S 2

typedef struct slot {
    _Atomic uint64_t turn;
    uint32_t len;
    char line[LOG_MAX];
} slot_t;

static slot_t slots[SLOTS];
static _Atomic uint64_t head; /* next position of a sender */
static uint64_t tail;         /* the writer's */
static _Atomic uint64_t dropped;
static _Atomic bool running, stopping;
static sem_t waiting;
static pthread_t writer;

__attribute__((constructor)) static void start(void) {
    for (uint32_t i = 0; i < SLOTS; i++)
        atomic_init(&slots[i].turn, i);
    sem_init(&waiting, 0, 0);
}

/* What was written last: for the console. The writer and who looks share it under a lock of their
 * own; no sender takes it. */
static struct {
    pthread_mutex_t lock;
    uint64_t count;
    uint32_t len[LOG_RECENT];
    char line[LOG_RECENT][LOG_MAX];
} recent = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void remember(const char *line, size_t len) {
    pthread_mutex_lock(&recent.lock);
    size_t at = recent.count++ % LOG_RECENT;
    memcpy(recent.line[at], line, len);
    recent.len[at] = (uint32_t)len;
    pthread_mutex_unlock(&recent.lock);
}

void log_ring_recent(size_t lines, void (*visit)(void *arg, slice_t line), void *arg) {
    pthread_mutex_lock(&recent.lock);
    uint64_t n = recent.count < LOG_RECENT ? recent.count : LOG_RECENT;
    for (uint64_t i = recent.count - (lines < n ? lines : n); i < recent.count; i++)
        visit(arg, (slice_t){recent.line[i % LOG_RECENT], recent.len[i % LOG_RECENT]});
    pthread_mutex_unlock(&recent.lock);
}

static void write_all(const char *at, size_t len) {
    while (len) {
        ssize_t n = write(STDERR_FILENO, at, len);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {STDERR_FILENO, POLLOUT, 0};
            poll(&p, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            return; /* nobody reads it any more */
        }
    }
}

/* true: the line is in the ring. */
static bool push(const char *line, size_t len) {
    uint64_t at = atomic_load_explicit(&head, memory_order_relaxed);
    for (;;) {
        slot_t *s = &slots[at % SLOTS];
        /* acquire: with the writer's release in pop, which has read the old line by then */
        uint64_t turn = atomic_load_explicit(&s->turn, memory_order_acquire);
        if (turn < at)
            return false;
        if (turn > at) {
            at = atomic_load_explicit(&head, memory_order_relaxed);
            continue;
        }
        /* relaxed: the position alone is agreed on here; the line is published by turn */
        if (!atomic_compare_exchange_weak_explicit(&head, &at, at + 1, memory_order_relaxed,
                                                   memory_order_relaxed))
            continue;
        memcpy(s->line, line, len);
        s->len = (uint32_t)len;
        atomic_store_explicit(&s->turn, at + 1, memory_order_release); /* with pop's acquire */
        return true;
    }
}

/* The writer only: everything that is ready, in order. */
static void pop_all(void) {
    for (;;) {
        slot_t *s = &slots[tail % SLOTS];
        if (atomic_load_explicit(&s->turn, memory_order_acquire) != tail + 1)
            return;
        remember(s->line, s->len);
        write_all(s->line, s->len);
        atomic_store_explicit(&s->turn, tail + SLOTS, memory_order_release);
        tail++;
    }
}

static void tell_dropped(void) {
    uint64_t n = atomic_exchange_explicit(&dropped, 0, memory_order_relaxed);
    if (n)
        log_warn("log", "records dropped, the ring was full count=%llu", (unsigned long long)n);
}

/* Every put posts after it has published, so a line that was not ready at one wake-up has a wake-up
 * of its own. */
static void *run(void *unused) {
    (void)unused;
    for (;;) {
        bool last = atomic_load(&stopping);
        pop_all();
        tell_dropped();
        if (last) {
            pop_all();
            return NULL;
        }
        while (sem_wait(&waiting) < 0)
            continue;
        while (sem_trywait(&waiting) == 0)
            continue;
    }
}

void log_ring_put(const char *line, size_t len) {
    if (!atomic_load_explicit(&running, memory_order_acquire)) {
        write_all(line, len);
        return;
    }
    if (!push(line, len)) {
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
        stat_add(STAT_LOG_DROPPED, 1);
    }
    sem_post(&waiting);
}

void log_ring_start(void) {
    if (atomic_load(&running))
        return;
    atomic_store(&stopping, false);
    if (pthread_create(&writer, NULL, run, NULL) == 0)
        atomic_store(&running, true);
}

void log_ring_stop(void) {
    bool was = true;
    if (!atomic_compare_exchange_strong(&running, &was, false))
        return;
    atomic_store(&stopping, true);
    sem_post(&waiting);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    if (pthread_timedjoin_np(writer, NULL, &until) != 0) {
        pthread_detach(writer);
        return;
    }
    pop_all(); /* what came between the writer's last look and its end */
    tell_dropped();
}
