/* metrics: see metrics.h. stat_names.def is walked once per page; entries of one name stand
 * together, so a family's head is written when the name changes. */
#include "admin/metrics.h"
#include "base/stat.h"

void metrics_family(buf_t *out, const char *name, const char *type, const char *help) {
    buf_addf(out, "# HELP parley_%s %s\n# TYPE parley_%s %s\n", name, help, name, type);
}

typedef struct entry {
    const char *name, *label, *help;
    int id;
    enum { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM } kind;
} entry_t;

static const entry_t entries[] = {
#define COUNTER(id, name, label, help) {name, label, help, STAT_##id, KIND_COUNTER},
#define GAUGE(id, name, help)          {name, "", help, STAT_##id, KIND_GAUGE},
#define HISTOGRAM(id, name, help)      {name, "", help, HIST_##id, KIND_HISTOGRAM},
#include "base/stat_names.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
};

static void add_value(buf_t *out, const entry_t *e) {
    buf_addf(out, "parley_%s", e->name);
    if (e->label[0])
        buf_addf(out, "{%s}", e->label);
    buf_addf(out, " %lld\n", (long long)stat_read((enum stat_id)e->id));
}

static void add_histogram(buf_t *out, const entry_t *e) {
    uint64_t bucket[HIST_BUCKETS], count, sum_us, below = 0;
    stat_hist_read((enum stat_hist)e->id, bucket, &count, &sum_us);
    for (int i = 0; i < HIST_BUCKETS; i++) {
        uint64_t bound = stat_hist_bound[i];
        below += bucket[i];
        if (bound != UINT64_MAX)
            buf_addf(out, "parley_%s_bucket{le=\"%g\"} %llu\n", e->name, (double)bound / 1e6,
                     (unsigned long long)below);
    }
    buf_addf(out, "parley_%s_bucket{le=\"+Inf\"} %llu\n", e->name, (unsigned long long)count);
    buf_addf(out, "parley_%s_sum %.6f\n", e->name, (double)sum_us / 1e6);
    buf_addf(out, "parley_%s_count %llu\n", e->name, (unsigned long long)count);
}

void metrics_render(buf_t *out) {
    static const char *const type[] = {"counter", "gauge", "histogram"};
    const char *last = "";
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        const entry_t *e = &entries[i];
        if (strcmp(last, e->name) != 0)
            metrics_family(out, e->name, type[e->kind], e->help);
        last = e->name;
        if (e->kind == KIND_HISTOGRAM)
            add_histogram(out, e);
        else
            add_value(out, e);
    }
}
