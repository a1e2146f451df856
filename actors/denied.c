/* denied: see denied.h. */
#include "actors/denied.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"

struct denied {
    shared_map_t *map; /* id -> until_ms */
    const char *what;
};

denied_t *denied_new(const char *what, size_t max_entries) {
    denied_t *d = pool_alloc(sizeof *d);
    d->map = shared_map_new(sizeof(int64_t), max_entries);
    d->what = what;
    return d;
}

void denied_free(denied_t *d) {
    if (!d)
        return;
    shared_map_free(d->map);
    pool_free(d, sizeof *d);
}

static shared_verdict_t note(void *arg, void *value) {
    int64_t *until = value, want = *(int64_t *)arg;
    if (*until < want)
        *until = want;
    return SHARED_KEEP;
}

bool denied_add(denied_t *d, int64_t id, int64_t until_ms) {
    if (id <= 0)
        return true;
    bool ok = shared_map_with(d->map, (uint64_t)id, true, note, &until_ms);
    if (!ok)
        log_error("denied", "no room for %s %lld", d->what, (long long)id);
    return ok;
}

static shared_verdict_t drop(void *arg, void *value) {
    (void)arg;
    return value ? SHARED_DROP : SHARED_KEEP;
}

void denied_remove(denied_t *d, int64_t id) {
    shared_map_with(d->map, (uint64_t)id, false, drop, NULL);
}

static shared_verdict_t look(void *arg, void *value) {
    *(bool *)arg = value != NULL;
    return SHARED_KEEP;
}

bool denied_has(denied_t *d, int64_t id) {
    bool found = false;
    if (id > 0 && shared_map_count(d->map) > 0) /* mostly there are none: no stripe is locked */
        shared_map_with(d->map, (uint64_t)id, false, look, &found);
    return found;
}

static shared_verdict_t drop_old(void *arg, uint64_t key, void *value) {
    (void)key;
    return *(int64_t *)value < *(int64_t *)arg ? SHARED_DROP : SHARED_KEEP;
}

void denied_sweep(denied_t *d, int64_t now_ms) {
    shared_map_each(d->map, drop_old, &now_ms);
}

size_t denied_count(const denied_t *d) {
    return shared_map_count(d->map);
}
