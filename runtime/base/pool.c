/* pool: see pool.h. Memory moves in batches of a fixed count a class. A thread has two lists a
 * class: `one` in use and `two`, which is empty or one full batch; when both are full a batch goes
 * to the depot, when both are empty one comes from there. The depot's lock is held for a handful of
 * pointer moves. Small classes (up to SLAB_OBJECT) are cut from slabs that are never given back:
 * their memory is bounded by the peak of use. Larger ones are single malloc blocks; the depot keeps
 * a MiB of each class and gives the rest back. Sanitizer builds have no caches: pool_plain.c.
 */
#include "base/pool.h"
#include "base/log.h"
#include "base/pool_mode.h"
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if !POOL_PLAIN

#define CLASSES     44 /* 8 of 16 bytes each, then 4 for each doubling from 128 to POOL_MAX */
#define SLAB        (64 * 1024)
#define SLAB_OBJECT 1024
#define BATCH_BYTES (16 * 1024)
#define BATCH_MAX   64
#define DEPOT_BYTES (1024 * 1024) /* kept of each large class */

typedef struct object {
    struct object *next;  /* in its batch */
    struct object *below; /* first of a batch: the next batch in the depot */
} object_t;

/* `count` and `two` are written by the cache's thread and read by pool_usage too, for a figure
 * only: relaxed. */
typedef struct bin {
    object_t *one;
    _Atomic uint32_t count; /* of one */
    uint32_t full;          /* batch_of this class; 0 until the thread is known */
    _Atomic(object_t *) two;
} bin_t;

typedef struct cache {
    bin_t bins[CLASSES];
    struct cache *next, **prev;
    bool known;
} cache_t;

typedef struct depot {
    pthread_mutex_t lock;
    object_t *batches;    /* full ones */
    object_t *odd;        /* single objects that ended threads left */
    uint64_t held, taken; /* bytes here; bytes got from malloc and not given back */
} depot_t;

static depot_t depots[CLASSES];
static pthread_mutex_t caches_lock = PTHREAD_MUTEX_INITIALIZER;
static cache_t *caches; /* under caches_lock */
static _Atomic int64_t big_used;
static pthread_key_t end_key;
static __thread cache_t cache;

static uint32_t class_compute(size_t size) {
    if (size <= 128)
        return (uint32_t)((size - (size != 0)) / 16);
    uint32_t top = 63 - (uint32_t)__builtin_clzll(size - 1); /* 7 for 129 .. 256 */
    uint32_t quarter = (uint32_t)((size - 1) >> (top - 2)) & 3;
    return 8 + (top - 7) * 4 + quarter;
}

/* The same up to QUICK bytes, by sixteenths. */
#define QUICK 1024
static const uint8_t quick[QUICK / 16 + 1] = {
    [0 ... 1] = 0,    [2] = 1,          [3] = 2,          [4] = 3,          [5] = 4,
    [6] = 5,          [7] = 6,          [8] = 7,          [9 ... 10] = 8,   [11 ... 12] = 9,
    [13 ... 14] = 10, [15 ... 16] = 11, [17 ... 20] = 12, [21 ... 24] = 13, [25 ... 28] = 14,
    [29 ... 32] = 15, [33 ... 40] = 16, [41 ... 48] = 17, [49 ... 56] = 18, [57 ... 64] = 19};

static inline uint32_t class_of(size_t size) {
    return __builtin_expect(size <= QUICK, 1) ? quick[(size + 15) / 16] : class_compute(size);
}

static size_t class_size(uint32_t k) {
    if (k < 8)
        return (k + 1) * 16u;
    uint32_t top = 7 + (k - 8) / 4;
    return ((size_t)1 << top) + (((size_t)(k - 8) % 4 + 1) << (top - 2));
}

static bool is_large(uint32_t k) {
    return class_size(k) > SLAB_OBJECT;
}

static uint32_t batch_of(uint32_t k) {
    size_t n = BATCH_BYTES / class_size(k);
    return n > BATCH_MAX ? BATCH_MAX : n < 1 ? 1 : (uint32_t)n;
}

static void end_of_thread(void *unused) {
    (void)unused;
    pool_thread_end();
}

__attribute__((constructor)) static void start(void) {
    for (int k = 0; k < CLASSES; k++)
        pthread_mutex_init(&depots[k].lock, NULL);
    for (uint32_t i = 0; i <= QUICK / 16; i++)
        assert(quick[i] == class_compute(i * 16));
    pthread_key_create(&end_key, end_of_thread);
}

/* First use in this thread: pool_usage counts it from now on, and the thread's end gives the cache
 * back. */
static void know(cache_t *c) {
    c->known = true;
    for (uint32_t k = 0; k < CLASSES; k++)
        c->bins[k].full = batch_of(k);
    pthread_mutex_lock(&caches_lock);
    c->next = caches;
    c->prev = &caches;
    if (caches)
        caches->prev = &c->next;
    caches = c;
    pthread_mutex_unlock(&caches_lock);
    pthread_setspecific(end_key, c);
}

static void forget(cache_t *c) {
    pthread_mutex_lock(&caches_lock);
    *c->prev = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pthread_mutex_unlock(&caches_lock);
    c->known = false;
}

static uint32_t count_of(const bin_t *b) {
    return atomic_load_explicit(&((bin_t *)b)->count, memory_order_relaxed);
}

static void count_set(bin_t *b, uint32_t n) {
    atomic_store_explicit(&b->count, n, memory_order_relaxed);
}

static object_t *two_of(const bin_t *b) {
    return atomic_load_explicit(&((bin_t *)b)->two, memory_order_relaxed);
}

static void two_set(bin_t *b, object_t *batch) {
    atomic_store_explicit(&b->two, batch, memory_order_relaxed);
}

static void *must_malloc(size_t size) {
    void *p = malloc(size);
    if (!p)
        log_die("pool", "out of memory: %zu bytes", size);
    return p;
}

/* New objects into the depot, under its lock: a slab cut into whole batches, or one malloc block as
 * an odd one. */
static void depot_grow(depot_t *d, uint32_t k) {
    size_t size = class_size(k), batch = batch_of(k);
    size_t batches = is_large(k) ? 0 : SLAB / (size * batch);
    size_t bytes = batches ? batches * batch * size : size;
    char *at = must_malloc(bytes);
    d->taken += bytes;
    d->held += bytes;
    if (!batches) {
        d->odd = (object_t *)at;
        d->odd->next = NULL;
    }
    for (; batches; batches--) {
        object_t *first = (object_t *)at;
        for (size_t i = 0; i < batch; i++, at += size)
            ((object_t *)at)->next = i + 1 < batch ? (object_t *)(at + size) : NULL;
        first->below = d->batches;
        d->batches = first;
    }
}

/* Gives a full batch, or a single object; *count is set. */
static object_t *depot_take(uint32_t k, uint32_t *count) {
    depot_t *d = &depots[k];
    pthread_mutex_lock(&d->lock);
    if (!d->batches && !d->odd)
        depot_grow(d, k);
    object_t *o = d->batches ? d->batches : d->odd;
    if (d->batches) {
        d->batches = o->below;
        *count = batch_of(k);
    } else {
        d->odd = o->next;
        o->next = NULL;
        *count = 1;
    }
    d->held -= *count * class_size(k);
    pthread_mutex_unlock(&d->lock);
    return o;
}

/* Takes a full batch. Of a large class that has enough here it goes back to malloc, outside of the
 * lock. */
static void depot_give(uint32_t k, object_t *batch) {
    depot_t *d = &depots[k];
    size_t bytes = batch_of(k) * class_size(k);
    pthread_mutex_lock(&d->lock);
    bool keep = !is_large(k) || d->held + bytes <= DEPOT_BYTES;
    if (keep) {
        batch->below = d->batches;
        d->batches = batch;
        d->held += bytes;
    } else {
        d->taken -= bytes;
    }
    pthread_mutex_unlock(&d->lock);
    while (!keep && batch) {
        object_t *next = batch->next;
        free(batch);
        batch = next;
    }
}

/* Takes the rest of an ended thread's list. */
static void depot_give_odd(uint32_t k, object_t *list) {
    depot_t *d = &depots[k];
    pthread_mutex_lock(&d->lock);
    while (list) {
        object_t *next = list->next;
        list->next = d->odd;
        d->odd = list;
        d->held += class_size(k);
        list = next;
    }
    pthread_mutex_unlock(&d->lock);
}

/* `one` is empty. */
static void refill(cache_t *c, bin_t *b, uint32_t k) {
    uint32_t n = 0;
    if (!c->known)
        know(c);
    b->one = two_of(b);
    if (b->one) {
        two_set(b, NULL);
        n = b->full;
    } else {
        b->one = depot_take(k, &n);
    }
    count_set(b, n);
}

/* `one` is full, or the thread is new: then `full` is 0. */
static void spill(cache_t *c, bin_t *b, uint32_t k) {
    if (!c->known) {
        know(c);
        return;
    }
    if (two_of(b))
        depot_give(k, two_of(b));
    two_set(b, b->one);
    b->one = NULL;
    count_set(b, 0);
}

static void bin_put(bin_t *b, object_t *o) {
    o->next = b->one;
    b->one = o;
    count_set(b, count_of(b) + 1);
}

static void *bin_get(bin_t *b) {
    object_t *o = b->one;
    b->one = o->next;
    count_set(b, count_of(b) - 1);
    return o;
}

/* Out of line, so that the two calls that every message makes save no registers. */
static __attribute__((noinline)) void *alloc_slowly(uint32_t k) {
    refill(&cache, &cache.bins[k], k);
    return bin_get(&cache.bins[k]);
}

static __attribute__((noinline)) void free_slowly(object_t *o, uint32_t k) {
    spill(&cache, &cache.bins[k], k);
    bin_put(&cache.bins[k], o);
}

static __attribute__((noinline)) void *big_alloc(size_t size) {
    atomic_fetch_add_explicit(&big_used, (int64_t)size, memory_order_relaxed);
    return must_malloc(size);
}

static __attribute__((noinline)) void big_free(void *p, size_t size) {
    atomic_fetch_sub_explicit(&big_used, (int64_t)size, memory_order_relaxed);
    free(p);
}

void *pool_alloc(size_t size) {
    if (__builtin_expect(size > POOL_MAX, 0))
        return big_alloc(size);
    uint32_t k = class_of(size);
    bin_t *b = &cache.bins[k];
    return __builtin_expect(b->one != NULL, 1) ? bin_get(b) : alloc_slowly(k);
}

void *pool_zalloc(size_t size) {
    return memset(pool_alloc(size), 0, size);
}

void pool_free(void *p, size_t size) {
    if (!p)
        return;
    uint32_t k = class_of(size);
    if (__builtin_expect(size > POOL_MAX, 0))
        big_free(p, size);
    else if (__builtin_expect(count_of(&cache.bins[k]) == cache.bins[k].full, 0))
        free_slowly(p, k);
    else
        bin_put(&cache.bins[k], p);
}

void pool_thread_end(void) {
    if (!cache.known)
        return;
    for (uint32_t k = 0; k < CLASSES; k++) {
        bin_t *b = &cache.bins[k];
        if (two_of(b))
            depot_give(k, two_of(b));
        depot_give_odd(k, b->one);
        b->one = NULL;
        b->full = 0;
        two_set(b, NULL);
        count_set(b, 0);
    }
    forget(&cache);
}

static uint64_t held_by(const cache_t *c) {
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < CLASSES; k++) {
        const bin_t *b = &c->bins[k];
        bytes += (count_of(b) + (two_of(b) ? batch_of(k) : 0)) * class_size(k);
    }
    return bytes;
}

/* taken - held in the depots - held in the threads = handed out */
void pool_usage(uint64_t *used, uint64_t *cached) {
    uint64_t taken = 0, held = 0;
    for (uint32_t k = 0; k < CLASSES; k++) {
        pthread_mutex_lock(&depots[k].lock);
        taken += depots[k].taken;
        held += depots[k].held;
        pthread_mutex_unlock(&depots[k].lock);
    }
    pthread_mutex_lock(&caches_lock);
    for (cache_t *c = caches; c; c = c->next)
        held += held_by(c);
    pthread_mutex_unlock(&caches_lock);
    *cached = held < taken ? held : taken;
    *used = taken - *cached + (uint64_t)atomic_load_explicit(&big_used, memory_order_relaxed);
}
#endif
