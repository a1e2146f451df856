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

typedef struct bin {
    object_t *one, *two;
    uint32_t count; /* of one */
} bin_t;

typedef struct cache {
    bin_t bins[CLASSES];
    _Atomic int64_t
        held; /* bytes; written by its thread, read by pool_usage: a figure only, relaxed */
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

static uint32_t class_of(size_t size) {
    if (size <= 128)
        return size ? (uint32_t)((size - 1) / 16) : 0;
    uint32_t top = 63 - (uint32_t)__builtin_clzll(size - 1); /* 7 for 129 .. 256 */
    uint32_t quarter = (uint32_t)((size - 1) >> (top - 2)) & 3;
    return 8 + (top - 7) * 4 + quarter;
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
    pthread_key_create(&end_key, end_of_thread);
}

/* First use in this thread: pool_usage counts it from now on, and the thread's end gives the cache
 * back. */
static void know(cache_t *c) {
    c->known = true;
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

static void held_add(cache_t *c, int64_t n) {
    int64_t now = atomic_load_explicit(&c->held, memory_order_relaxed);
    atomic_store_explicit(&c->held, now + n, memory_order_relaxed);
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
    if (b->two) {
        b->one = b->two;
        b->two = NULL;
        b->count = batch_of(k);
        return;
    }
    if (!c->known)
        know(c);
    b->one = depot_take(k, &b->count);
    held_add(c, (int64_t)(b->count * class_size(k)));
}

/* `one` is full. */
static void spill(cache_t *c, bin_t *b, uint32_t k) {
    if (b->two) {
        held_add(c, -(int64_t)(batch_of(k) * class_size(k)));
        depot_give(k, b->two);
    }
    b->two = b->one;
    b->one = NULL;
    b->count = 0;
}

void *pool_alloc(size_t size) {
    if (size > POOL_MAX) {
        atomic_fetch_add_explicit(&big_used, (int64_t)size, memory_order_relaxed);
        return must_malloc(size);
    }
    uint32_t k = class_of(size);
    bin_t *b = &cache.bins[k];
    if (b->count == 0)
        refill(&cache, b, k);
    object_t *o = b->one;
    b->one = o->next;
    b->count--;
    held_add(&cache, -(int64_t)class_size(k));
    return o;
}

void *pool_zalloc(size_t size) {
    return memset(pool_alloc(size), 0, size);
}

void pool_free(void *p, size_t size) {
    if (!p)
        return;
    if (size > POOL_MAX) {
        atomic_fetch_sub_explicit(&big_used, (int64_t)size, memory_order_relaxed);
        free(p);
        return;
    }
    uint32_t k = class_of(size);
    bin_t *b = &cache.bins[k];
    if (!cache.known)
        know(&cache);
    if (b->count == batch_of(k))
        spill(&cache, b, k);
    object_t *o = p;
    o->next = b->one;
    b->one = o;
    b->count++;
    held_add(&cache, (int64_t)class_size(k));
}

void pool_thread_end(void) {
    if (!cache.known)
        return;
    for (uint32_t k = 0; k < CLASSES; k++) {
        bin_t *b = &cache.bins[k];
        if (b->two)
            depot_give(k, b->two);
        depot_give_odd(k, b->one);
        *b = (bin_t){0};
    }
    atomic_store_explicit(&cache.held, 0, memory_order_relaxed);
    forget(&cache);
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
    int64_t in_threads = 0;
    pthread_mutex_lock(&caches_lock);
    for (cache_t *c = caches; c; c = c->next)
        in_threads += atomic_load_explicit(&c->held, memory_order_relaxed);
    pthread_mutex_unlock(&caches_lock);
    held += in_threads > 0 ? (uint64_t)in_threads : 0;
    *cached = held < taken ? held : taken;
    *used = taken - *cached + (uint64_t)atomic_load_explicit(&big_used, memory_order_relaxed);
}
#endif
