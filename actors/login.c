/* login: see login.h. */
#include "actors/login.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"

struct login_set {
    shared_map_t *map; /* login -> until_ms */
};

login_set_t *login_set_new(size_t max_entries) {
    login_set_t *s = pool_alloc(sizeof *s);
    s->map = shared_map_new(sizeof(int64_t), max_entries);
    return s;
}

void login_set_free(login_set_t *s) {
    if (!s)
        return;
    shared_map_free(s->map);
    pool_free(s, sizeof *s);
}

static shared_verdict_t note(void *arg, void *value) {
    int64_t *until = value, want = *(int64_t *)arg;
    if (*until < want)
        *until = want;
    return SHARED_KEEP;
}

bool login_revoke(login_set_t *s, int64_t fam, int64_t until_ms) {
    if (fam <= 0)
        return true;
    bool ok = shared_map_with(s->map, (uint64_t)fam, true, note, &until_ms);
    if (!ok)
        log_error("login", "no room for a revoked login fam=%lld", (long long)fam);
    return ok;
}

static shared_verdict_t look(void *arg, void *value) {
    *(bool *)arg = value != NULL;
    return SHARED_KEEP;
}

bool login_revoked(login_set_t *s, int64_t fam) {
    bool found = false;
    if (fam > 0)
        shared_map_with(s->map, (uint64_t)fam, false, look, &found);
    return found;
}

static shared_verdict_t drop_old(void *arg, uint64_t key, void *value) {
    (void)key;
    return *(int64_t *)value < *(int64_t *)arg ? SHARED_DROP : SHARED_KEEP;
}

void login_sweep(login_set_t *s, int64_t now_ms) {
    shared_map_each(s->map, drop_old, &now_ms);
}

size_t login_count(const login_set_t *s) {
    return shared_map_count(s->map);
}
