/* limit: see limit.h. One 64-bit moment a bucket (base/bucket.h). */
#include "actors/limit.h"
#include "base/bucket.h"
#include "base/hash.h"
#include "base/pool.h"

#define STRANGE 1024u /* shared buckets for keys that find no place */

struct limit {
    shared_map_t *map;
    shared_map_t *strangers;
};

limit_t *limit_new(size_t max_entries) {
    limit_t *l = pool_alloc(sizeof *l);
    l->map = shared_map_new(sizeof(uint64_t), max_entries);
    l->strangers = shared_map_new(sizeof(uint64_t), (size_t)STRANGE * 4);
    return l;
}

void limit_free(limit_t *l) {
    if (!l)
        return;
    shared_map_free(l->map);
    shared_map_free(l->strangers);
    pool_free(l, sizeof *l);
}

typedef struct take {
    conf_rate_t rate;
    uint64_t now_ns;
    uint32_t wait_ms;
} take_t;

static shared_verdict_t take_one(void *arg, void *value) {
    take_t *t = arg;
    t->wait_ms = bucket_take(value, t->rate, t->now_ns);
    return SHARED_KEEP;
}

uint32_t limit_take(limit_t *l, limit_kind_t kind, uint64_t key, conf_rate_t rate,
                    uint64_t now_ns) {
    if (rate.per_s == 0)
        return 0;
    take_t t = {rate, now_ns, 0};
    uint64_t at = hash_u64(key * 4 + (uint64_t)kind);
    if (!shared_map_with(l->map, at, true, take_one, &t))
        shared_map_with(l->strangers, at % STRANGE * 4 + (uint64_t)kind, true, take_one, &t);
    return t.wait_ms;
}

static shared_verdict_t drop_full(void *arg, uint64_t key, void *value) {
    (void)key;
    return *(uint64_t *)value <= *(uint64_t *)arg ? SHARED_DROP : SHARED_KEEP;
}

void limit_sweep(limit_t *l, uint64_t now_ns) {
    shared_map_each(l->map, drop_full, &now_ns);
}

size_t limit_count(const limit_t *l) {
    return shared_map_count(l->map);
}
