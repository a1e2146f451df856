/* metrics: the counters of base/stat as a Prometheus text page. Any thread. */
#pragma once
#include "base/buf.h"
#include "sched/runtime.h"

void metrics_render(buf_t *out);
/* Each counter and gauge; label: "" or "type=\"ping\"". */
void metrics_each(void (*visit)(void *arg, const char *name, const char *label, int64_t value),
                  void *arg);
/* Each histogram; p50, p99: the upper bounds of the buckets they are in, 0: nothing was observed.
 */
typedef struct metrics_times {
    const char *name;
    uint64_t count, mean_us, p50_us, p99_us;
} metrics_times_t;
void metrics_each_times(void (*visit)(void *arg, const metrics_times_t *t), void *arg);
/* "# HELP" and "# TYPE" of a family that is rendered elsewhere; type: "counter", "gauge". */
void metrics_family(buf_t *out, const char *name, const char *type, const char *help);
/* Families by class of actor, and slow slices. Reads every actor (sched/look.h): not on a worker.
 */
void metrics_actors(runtime_t *rt, buf_t *out);
