/* metrics: see metrics.h. stat_names.def is walked once per page; entries of one name stand
 * together, so a family's head is written when the name changes. */
#include "admin/metrics.h"
#include "base/stat.h"
#include "sched/look.h"

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

/* --- classes of actors, limits of the scheduler --- */

static void add_classes(buf_t *out, const look_class_t *all, size_t n, const char *name,
                        const char *type, const char *help, size_t offset, double scale) {
    metrics_family(out, name, type, help);
    for (size_t i = 0; i < n; i++) {
        uint64_t v = *(const uint64_t *)((const char *)&all[i] + offset);
        buf_addf(out,
                 scale == 1 ? "parley_%s{class=\"%s\"} %.0f\n" : "parley_%s{class=\"%s\"} %.6f\n",
                 name, all[i].name, (double)v * scale);
    }
}

void metrics_actors(runtime_t *rt, buf_t *out) {
    static const struct {
        const char *name, *type, *help;
        size_t offset;
        double scale;
    } families[] = {
        {"actors", "gauge", "living actors", offsetof(look_class_t, alive), 1},
        {"actor_queue_messages", "gauge", "messages in mailboxes", offsetof(look_class_t, waiting),
         1},
        {"actor_memory_bytes", "gauge", "slots, states and what hangs on them",
         offsetof(look_class_t, memory), 1},
        {"actor_messages_total", "counter", "messages handled", offsetof(look_class_t, messages),
         1},
        {"actor_cpu_seconds_total", "counter", "time in handlers", offsetof(look_class_t, cpu_ns),
         1e-9},
        {"actor_refused_total", "counter", "messages refused by full mailboxes",
         offsetof(look_class_t, refused), 1},
        {"actor_crashes_total", "counter", "ends that were errors", offsetof(look_class_t, crashes),
         1},
        {"actor_restarts_total", "counter", "restarts after them", offsetof(look_class_t, restarts),
         1},
    };
    look_class_t all[LOOK_CLASSES];
    size_t n = look_classes(rt, all);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        add_classes(out, all, n, families[i].name, families[i].type, families[i].help,
                    families[i].offset, families[i].scale);
    metrics_family(out, "slow_slices_total", "counter", "slices of actors above 5 ms");
    buf_addf(out, "parley_slow_slices_total %llu\n", (unsigned long long)look_slow_seen(rt));
}

void metrics_each(void (*visit)(void *arg, const char *name, const char *label, int64_t value),
                  void *arg) {
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        if (entries[i].kind != KIND_HISTOGRAM)
            visit(arg, entries[i].name, entries[i].label, stat_read((enum stat_id)entries[i].id));
}

static uint64_t quantile(const uint64_t bucket[HIST_BUCKETS], uint64_t rank) {
    uint64_t below = 0;
    int i = 0;
    for (; i < HIST_BUCKETS - 1 && (below += bucket[i]) < rank; i++)
        continue;
    return stat_hist_bound[i < HIST_BUCKETS - 1 ? i : HIST_BUCKETS - 2];
}

void metrics_each_times(void (*visit)(void *arg, const metrics_times_t *t), void *arg) {
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        uint64_t bucket[HIST_BUCKETS], sum = 0;
        metrics_times_t t = {.name = entries[i].name};
        if (entries[i].kind != KIND_HISTOGRAM)
            continue;
        stat_hist_read((enum stat_hist)entries[i].id, bucket, &t.count, &sum);
        if (t.count) {
            t.mean_us = sum / t.count;
            t.p50_us = quantile(bucket, (t.count + 1) / 2);
            t.p99_us = quantile(bucket, (t.count * 99 + 99) / 100);
        }
        visit(arg, &t);
    }
}
