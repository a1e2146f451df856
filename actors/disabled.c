/* disabled: see disabled.h. */
#include "actors/disabled.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"

struct disabled_set {
    shared_map_t *map; /* user -> nothing */
};

disabled_set_t *disabled_set_new(size_t max_entries) {
    disabled_set_t *s = pool_alloc(sizeof *s);
    s->map = shared_map_new(1, max_entries);
    return s;
}

void disabled_set_free(disabled_set_t *s) {
    if (!s)
        return;
    shared_map_free(s->map);
    pool_free(s, sizeof *s);
}

static shared_verdict_t keep(void *arg, void *value) {
    (void)arg, (void)value;
    return SHARED_KEEP;
}

bool disabled_add(disabled_set_t *s, int64_t user) {
    bool ok = shared_map_with(s->map, (uint64_t)user, true, keep, NULL);
    if (!ok)
        log_error("disabled", "no room for a disabled user=%lld", (long long)user);
    return ok;
}

static shared_verdict_t drop(void *arg, void *value) {
    (void)arg;
    return value ? SHARED_DROP : SHARED_KEEP;
}

void disabled_remove(disabled_set_t *s, int64_t user) {
    shared_map_with(s->map, (uint64_t)user, false, drop, NULL);
}

static shared_verdict_t look(void *arg, void *value) {
    *(bool *)arg = value != NULL;
    return SHARED_KEEP;
}

bool disabled_has(disabled_set_t *s, int64_t user) {
    bool found = false;
    if (shared_map_count(s->map) > 0) /* most nodes have none: no stripe is locked */
        shared_map_with(s->map, (uint64_t)user, false, look, &found);
    return found;
}

size_t disabled_count(const disabled_set_t *s) {
    return shared_map_count(s->map);
}
