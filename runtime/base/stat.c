/* stat: see stat.h. A thread's cells are written by it alone (relaxed load and store, no locked
 * instruction) and read by whoever sums them up: figures, which order nothing. A thread that ends
 * folds its cells into `ended`. */
#include "base/stat.h"
#include "base/log.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct hist {
    _Atomic uint64_t bucket[HIST_BUCKETS], count, sum;
} hist_t;

typedef struct cells {
    _Atomic int64_t value[STAT_COUNT];
    hist_t hist[HIST_COUNT];
    struct cells *next, **prev;
} cells_t;

const uint64_t stat_hist_bound[HIST_BUCKETS] = {
    50,     100,    250,    500,     1000,    2500,    5000,     10000,    25000,    50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, UINT64_MAX};

static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER; /* the list and `ended`: first use, end and readers */
static cells_t *threads, ended;
static pthread_key_t end_key;
static __thread cells_t *mine;

static void bump(_Atomic uint64_t *cell, uint64_t n) {
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void bump_signed(_Atomic int64_t *cell, int64_t n) {
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void fold_hist(hist_t *into, const hist_t *from) {
    for (int i = 0; i < HIST_BUCKETS; i++)
        bump(&into->bucket[i], atomic_load_explicit(&from->bucket[i], memory_order_relaxed));
    bump(&into->count, atomic_load_explicit(&from->count, memory_order_relaxed));
    bump(&into->sum, atomic_load_explicit(&from->sum, memory_order_relaxed));
}

static void end_of_thread(void *p) {
    cells_t *c = p;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < STAT_COUNT; i++)
        bump_signed(&ended.value[i], atomic_load_explicit(&c->value[i], memory_order_relaxed));
    for (int i = 0; i < HIST_COUNT; i++)
        fold_hist(&ended.hist[i], &c->hist[i]);
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pthread_mutex_unlock(&lock);
    mine = NULL;
    stat_mine = NULL;
    free(c);
}

__attribute__((constructor)) static void start(void) {
    pthread_key_create(&end_key, end_of_thread);
}

static cells_t *cells(void) {
    if (mine)
        return mine;
    cells_t *c = calloc(1, sizeof *c);
    if (!c)
        log_die("stat", "out of memory");
    pthread_mutex_lock(&lock);
    c->next = threads;
    c->prev = &threads;
    if (threads)
        threads->prev = &c->next;
    threads = c;
    pthread_mutex_unlock(&lock);
    pthread_setspecific(end_key, c);
    stat_mine = c->value;
    return mine = c;
}

__thread _Atomic int64_t *stat_mine;

void stat_first(enum stat_id id, int64_t n) {
    bump_signed(&cells()->value[id], n);
}

int64_t stat_read(enum stat_id id) {
    pthread_mutex_lock(&lock);
    int64_t n = atomic_load_explicit(&ended.value[id], memory_order_relaxed);
    for (const cells_t *c = threads; c; c = c->next)
        n += atomic_load_explicit(&c->value[id], memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return n;
}

void stat_observe_many(enum stat_hist id, uint64_t us, uint64_t n) {
    hist_t *h = &cells()->hist[id];
    int i = 0;
    while (us > stat_hist_bound[i])
        i++;
    bump(&h->bucket[i], n);
    bump(&h->count, n);
    bump(&h->sum, us * n);
}

void stat_observe(enum stat_hist id, uint64_t us) {
    stat_observe_many(id, us, 1);
}

static void add_hist(const hist_t *h, uint64_t *bucket, uint64_t *count, uint64_t *sum_us) {
    for (int i = 0; i < HIST_BUCKETS; i++)
        bucket[i] += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    *count += atomic_load_explicit(&h->count, memory_order_relaxed);
    *sum_us += atomic_load_explicit(&h->sum, memory_order_relaxed);
}

void stat_hist_read(enum stat_hist id, uint64_t bucket[HIST_BUCKETS], uint64_t *count,
                    uint64_t *sum_us) {
    for (int i = 0; i < HIST_BUCKETS; i++)
        bucket[i] = 0;
    *count = *sum_us = 0;
    pthread_mutex_lock(&lock);
    add_hist(&ended.hist[id], bucket, count, sum_us);
    for (const cells_t *c = threads; c; c = c->next)
        add_hist(&c->hist[id], bucket, count, sum_us);
    pthread_mutex_unlock(&lock);
}
