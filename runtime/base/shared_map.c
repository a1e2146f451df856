/* shared_map: the map of hash.h in 64 lock stripes, for the few tables that all workers share. The
 * stripe's mutex guards its map and orders what the callbacks do with a value; its partner is the
 * same mutex in every other caller. The upper bits of the hash choose the stripe, the lower ones
 * the place in its map. */
#include "base/hash.h"
#include "base/pool.h"
#include <pthread.h>
#include <stdatomic.h>

#define STRIPES 64

typedef struct stripe {
    _Alignas(64) pthread_mutex_t lock;
    map_t *map;
} stripe_t;

struct shared_map {
    size_t max;
    _Atomic size_t count; /* a bound, not an order: relaxed */
    char *raw;            /* what pool gave; stripes is that, aligned */
    stripe_t *stripes;
};

#define RAW_SIZE (STRIPES * sizeof(stripe_t) + 64)

shared_map_t *shared_map_new(size_t value_size, size_t max_entries) {
    shared_map_t *m = pool_zalloc(sizeof *m);
    m->max = max_entries;
    m->raw = pool_alloc(RAW_SIZE);
    m->stripes = (stripe_t *)(((uintptr_t)m->raw + 63) & ~(uintptr_t)63);
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&m->stripes[i].lock, NULL);
        m->stripes[i].map = map_new(value_size);
    }
    return m;
}

void shared_map_free(shared_map_t *m) {
    if (!m)
        return;
    for (int i = 0; i < STRIPES; i++) {
        map_free(m->stripes[i].map);
        pthread_mutex_destroy(&m->stripes[i].lock);
    }
    pool_free(m->raw, RAW_SIZE);
    pool_free(m, sizeof *m);
}

/* Under the stripe's lock. NULL: absent and not to be made; *refused: the map is at its limit. */
static void *find(shared_map_t *m, stripe_t *s, uint64_t key, bool create, bool *refused) {
    void *value = map_get(s->map, key);
    if (value || !create)
        return value;
    if (atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed) >= m->max) {
        atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
        *refused = true;
        return NULL;
    }
    return map_put(s->map, key, NULL);
}

static void drop(shared_map_t *m, stripe_t *s, uint64_t key) {
    if (map_del(s->map, key))
        atomic_fetch_sub_explicit(&m->count, 1, memory_order_relaxed);
}

bool shared_map_with(shared_map_t *m, uint64_t key, bool create,
                     shared_verdict_t (*visit)(void *arg, void *value), void *arg) {
    stripe_t *s = &m->stripes[hash_u64(key) >> 58];
    bool refused = false;
    pthread_mutex_lock(&s->lock);
    void *value = find(m, s, key, create, &refused);
    if (!refused && visit(arg, value) == SHARED_DROP)
        drop(m, s, key);
    pthread_mutex_unlock(&s->lock);
    return !refused;
}

typedef struct sweep {
    shared_map_t *m;
    stripe_t *s;
    shared_verdict_t (*visit)(void *arg, uint64_t key, void *value);
    void *arg;
} sweep_t;

static void sweep_one(void *arg, uint64_t key, void *value) {
    sweep_t *w = arg;
    if (w->visit(w->arg, key, value) == SHARED_DROP)
        drop(w->m, w->s, key);
}

void shared_map_each(shared_map_t *m,
                     shared_verdict_t (*visit)(void *arg, uint64_t key, void *value), void *arg) {
    for (int i = 0; i < STRIPES; i++) {
        sweep_t w = {m, &m->stripes[i], visit, arg};
        pthread_mutex_lock(&w.s->lock);
        map_each(w.s->map, sweep_one, &w);
        pthread_mutex_unlock(&w.s->lock);
    }
}

size_t shared_map_count(const shared_map_t *m) {
    return atomic_load_explicit(&m->count, memory_order_relaxed);
}
