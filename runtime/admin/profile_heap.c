/* profile_heap: see profile.h. malloc and its family are ours and call the C library's; a thread
 * counts down bytes and keeps the stack of the allocation that passes zero. What was sampled stands
 * in a fixed table; `seen` tells free() without a lock that an address is not in it (nearly
 * always). An allocation of n bytes is sampled with probability about n / RATE, so it stands for
 * max(n, RATE) bytes. */
#include "admin/pprof.h"
#include "admin/profile.h"
#include "base/clock.h"
#include "base/pool_mode.h"

#define RATE ((int64_t)512 * 1024)

#if !POOL_PLAIN
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define PLACES 32768 /* power of two; sampled allocations that live: 16 GiB. More are not noted */
#define SEEN   65536 /* power of two */
#define DEPTH  24
#define SKIP   2 /* frames: note, malloc */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *at, size_t size);
extern void __libc_free(void *at);

typedef struct place {
    void *at; /* NULL: free; GONE: was used, search goes on */
    size_t size;
    uint32_t depth;
    void *pc[DEPTH];
} place_t;
#define GONE ((void *)1)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over places and used */
static place_t *places;                                  /* made at the first sample, never freed */
static uint32_t used;                                    /* not NULL */
static _Atomic uint8_t
    seen[SEEN]; /* how many places hold an address of this hash; 255 stays. Relaxed: who frees an
                   address got it, in whatever way, after it was noted */
static __thread int64_t left = RATE;
static __thread bool busy; /* this thread is in here: what backtrace allocates is not noted */

static uint32_t hash_of(const void *at) {
    return (uint32_t)(((uintptr_t)at >> 4) * 0x9E3779B97F4A7C15ull >> 40);
}

static void count_seen(uint32_t hash, int n) {
    _Atomic uint8_t *cell = &seen[hash % SEEN];
    uint8_t now = atomic_load_explicit(cell, memory_order_relaxed);
    if (now != UINT8_MAX)
        atomic_store_explicit(cell, (uint8_t)(now + n), memory_order_relaxed);
}

/* Under the lock. The place of `at`; else, where one may be made, a place to make it. */
static place_t *find(const void *at, bool make) {
    place_t *room = NULL;
    for (uint32_t i = hash_of(at), n = 0; n < PLACES; i++, n++) {
        place_t *p = &places[i % PLACES];
        if (p->at == at)
            return p;
        if (!room && (!p->at || p->at == GONE))
            room = p;
        if (!p->at)
            break;
    }
    return make ? room : NULL;
}

static void keep(void *at, size_t size, void *const *pc, uint32_t depth) {
    if (!places)
        places = __libc_calloc(PLACES, sizeof *places);
    if (!places || used > PLACES / 4 * 3)
        return;
    place_t *p = find(at, true);
    used += p->at == NULL;
    p->at = at;
    p->size = size;
    p->depth = depth;
    for (uint32_t i = 0; i < depth; i++)
        p->pc[i] = pc[i];
    count_seen(hash_of(at), 1);
}

__attribute__((noinline)) static void note(void *at, size_t size) {
    left = RATE;
    if (busy)
        return;
    busy = true;
    int saved = errno;
    void *pc[DEPTH + SKIP];
    int n = backtrace(pc, DEPTH + SKIP) - SKIP;
    pthread_mutex_lock(&lock);
    keep(at, size, pc + SKIP, n > 0 ? (uint32_t)n : 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    busy = false;
}

__attribute__((noinline)) static void forget(const void *at) {
    pthread_mutex_lock(&lock);
    place_t *p = places ? find(at, false) : NULL;
    if (p) {
        p->at = GONE;
        count_seen(hash_of(at), -1);
    }
    pthread_mutex_unlock(&lock);
}

static inline void *noted(void *at, size_t size) {
    if (at && __builtin_expect((left -= (int64_t)size) < 0, 0))
        note(at, size);
    return at;
}

static inline void dropped(const void *at) {
    if (__builtin_expect(atomic_load_explicit(&seen[hash_of(at) % SEEN], memory_order_relaxed), 0))
        forget(at);
}

void *malloc(size_t size) {
    return noted(__libc_malloc(size), size);
}

void *calloc(size_t count, size_t size) {
    return noted(__libc_calloc(count, size),
                 count * size); /* it is NULL where the product is too big */
}

/* A moved block is a new one. One that could not be moved is forgotten although it stays: a rare
 * hole in a sample. */
void *realloc(void *at, size_t size) {
    if (at)
        dropped(at);
    return noted(__libc_realloc(at, size), size);
}

void free(void *at) {
    if (!at)
        return;
    dropped(at);
    __libc_free(at);
}

static void add_place(pprof_t *p, const place_t *at) {
    int64_t size = (int64_t)at->size, bytes = size > RATE ? size : RATE;
    pprof_add(p, at->pc, at->depth, NULL, (int64_t[]){size ? bytes / size : 1, bytes});
}

/* Copied first: what pprof_add allocates may be sampled itself. */
static place_t *copy_all(uint32_t *count) {
    place_t *all = __libc_calloc(PLACES, sizeof *all);
    *count = 0;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; all && places && i < PLACES; i++)
        if (places[i].at && places[i].at != GONE)
            all[(*count)++] = places[i];
    pthread_mutex_unlock(&lock);
    return all;
}

static void add_all(pprof_t *p) {
    uint32_t n;
    place_t *all = copy_all(&n);
    for (uint32_t i = 0; i < n; i++)
        add_place(p, &all[i]);
    __libc_free(all);
}
#else
static void add_all(pprof_t *p) {
    (void)p;
}
#endif

void profile_heap(buf_t *out) {
    pprof_t *p =
        pprof_new((pprof_type_t[]){{"inuse_objects", "count"}, {"inuse_space", "bytes"}}, 2);
    add_all(p);
    pprof_end(p, clock_wall_ms(), 0, (pprof_type_t){"space", "bytes"}, RATE, out);
}
