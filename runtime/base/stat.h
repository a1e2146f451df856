/* stat: counters, gauges and histograms of the whole process. Each thread adds to its own cells (no
 * atomic read-modify-write), readers add them up. The list is stat_names.def; admin/metrics renders
 * it. */
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum stat_id {
#define COUNTER(id, name, label, help) STAT_##id,
#define GAUGE(id, name, help)          STAT_##id,
#define HISTOGRAM(id, name, help)
#include "base/stat_names.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    STAT_COUNT
};
enum stat_hist {
#define COUNTER(id, name, label, help)
#define GAUGE(id, name, help)
#define HISTOGRAM(id, name, help) HIST_##id,
#include "base/stat_names.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
    HIST_COUNT
};

extern __thread _Atomic int64_t *stat_mine; /* this thread's cells; NULL before its first count */
void stat_first(enum stat_id id, int64_t n);
/* Gauges too: add and subtract. Inline, because every frame counts something. */
static inline void stat_add(enum stat_id id, int64_t n) {
    _Atomic int64_t *cells = stat_mine;
    if (__builtin_expect(cells == NULL, 0))
        stat_first(id, n);
    else
        atomic_store_explicit(&cells[id],
                              atomic_load_explicit(&cells[id], memory_order_relaxed) + n,
                              memory_order_relaxed);
}
int64_t stat_read(enum stat_id id); /* sum over all threads, the ended ones included */
void stat_observe(enum stat_hist id, uint64_t us);
void stat_observe_many(enum stat_hist id, uint64_t us, uint64_t n); /* n times the same */
#define HIST_BUCKETS 20
extern const uint64_t stat_hist_bound[HIST_BUCKETS]; /* upper bounds in us: 50 100 250 ..., the last
                                                        UINT64_MAX (+Inf) */
/* Counts per bucket (not cumulated). */
void stat_hist_read(enum stat_hist id, uint64_t bucket[HIST_BUCKETS], uint64_t *count,
                    uint64_t *sum_us);
