/* version: see version.h. */
#include "script/version.h"
#include "base/log.h"
#include "port/crypt.h"
#include <stdio.h>
#include <stdlib.h>

version_t *version_new(const char *service, sources_t *sources) {
    version_t *v = calloc(1, sizeof *v);
    if (!v)
        log_die("script", "no memory for a version of %s", service);
    v->refs = 1;
    v->sources = sources_ref(sources);
    snprintf(v->service, sizeof v->service, "%s", service);
    return v;
}

version_t *version_ref(version_t *v) {
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void version_unref(version_t *v) {
    /* acq_rel: the last one sees what the others wrote, as with every counted thing */
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    sources_unref(v->sources);
    free(v);
}

/* relaxed: a bit is a note for the reloader, who looks at it again and again */
bool version_find(void *arg, slice_t name, slice_t *text) {
    version_t *v = arg;
    int i = sources_find(v->sources, name);
    size_t count;
    if (i < 0)
        return false;
    atomic_fetch_or_explicit(&v->used[i / 64], 1ull << (i % 64), memory_order_relaxed);
    *text = sources_all(v->sources, &count)[i].text;
    return true;
}

bool version_uses(const version_t *v, size_t file) {
    return atomic_load_explicit(&v->used[file / 64], memory_order_relaxed) >> (file % 64) & 1;
}

void version_settle(version_t *v) {
    buf_t all = {0};
    uint8_t sum[32];
    size_t count;
    const source_file_t *f = sources_all(v->sources, &count);
    for (size_t i = 0; i < count; i++) {
        if (!version_uses(v, i))
            continue;
        buf_addf(&all, "%s %zu\n", f[i].path, f[i].text.len);
        buf_add_slice(&all, f[i].text);
    }
    crypt_sha256(buf_slice(&all), sum);
    for (int i = 0; i < 6; i++)
        snprintf(v->hash + 2 * i, 3, "%02x", sum[i]);
    buf_free(&all);
}

bool version_differs(const version_t *v, const sources_t *fresh) {
    size_t count;
    const source_file_t *f = sources_all(v->sources, &count);
    for (size_t i = 0; i < count; i++) {
        slice_t name = {f[i].path, strlen(f[i].path) - 4};
        if (!version_uses(v, i))
            continue;
        slice_t other = sources_text(fresh, name);
        if (!other.at || !slice_eq(other, f[i].text))
            return true;
    }
    return false;
}

/* --- accounts. All relaxed: sums that are looked at once a second; a call of the moment may be
 * missing in one of them. --- */
void version_watch(version_t *v, bool on) {
    tally_t *both[] = {&v->requests, &v->policies};
    for (int i = 0; on && i < 2; i++) {
        atomic_store_explicit(&both[i]->calls, 0, memory_order_relaxed);
        atomic_store_explicit(&both[i]->refused, 0, memory_order_relaxed);
        atomic_store_explicit(&both[i]->faults, 0, memory_order_relaxed);
        for (int b = 0; b < TALLY_BUCKETS; b++)
            atomic_store_explicit(&both[i]->bucket[b], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&v->measured, on, memory_order_relaxed);
}

/* The octave, and the quarter of it that the two bits below the highest tell. */
static int bucket_of(uint64_t us) {
    if (us < 4)
        return (int)us;
    int top = 63 - __builtin_clzll(us);
    int b = (top - 1) * 4 + (int)(us >> (top - 2) & 3);
    return b < TALLY_BUCKETS ? b : TALLY_BUCKETS - 1;
}

static uint64_t bucket_bound(int b) {
    if (b < 4)
        return (uint64_t)b + 1;
    return (uint64_t)(4 + b % 4 + 1) << (b / 4 + 1 - 2);
}

void tally_add(tally_t *t, bool faulty, bool refused, uint64_t us) {
    atomic_fetch_add_explicit(&t->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->faults, faulty, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->refused, refused, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->bucket[bucket_of(us)], 1, memory_order_relaxed);
}

uint64_t tally_within(const tally_t *t, double share) {
    uint64_t all = 0, so_far = 0;
    for (int b = 0; b < TALLY_BUCKETS; b++)
        all += atomic_load_explicit(&t->bucket[b], memory_order_relaxed);
    for (int b = 0; b < TALLY_BUCKETS; b++) {
        so_far += atomic_load_explicit(&t->bucket[b], memory_order_relaxed);
        if (all && (double)so_far >= share * (double)all)
            return bucket_bound(b);
    }
    return 0;
}
