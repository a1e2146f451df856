/* metrics: the counters of base/stat as a Prometheus text page. Any thread. */
#pragma once
#include "base/buf.h"
#include "sched/runtime.h"

void metrics_render(buf_t *out);
/* "# HELP" and "# TYPE" of a family that is rendered elsewhere; type: "counter", "gauge". */
void metrics_family(buf_t *out, const char *name, const char *type, const char *help);
/* Families by class of actor, and slow slices. Reads every actor (sched/look.h): not on a worker.
 */
void metrics_actors(runtime_t *rt, buf_t *out);
