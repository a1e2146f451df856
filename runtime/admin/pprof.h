/* pprof: writes a profile in the format that the pprof tool reads (profile.proto of
 * github.com/google/pprof, not compressed: its reader takes both). Samples of one stack and label
 * are added up here. One owner, one thread, not a worker. */
#pragma once
#include "base/buf.h"

#define PPROF_DEPTH  48 /* frames of a sample; what is above is cut */
#define PPROF_VALUES 4

typedef struct pprof_type {
    const char *type, *unit; /* "cpu", "nanoseconds" */
} pprof_type_t;

typedef struct pprof pprof_t;
/* What each sample's values are, at most PPROF_VALUES; the last one is what a reader shows first.
 * Texts live on. */
pprof_t *pprof_new(const pprof_type_t *types, uint32_t count);
/* A stack, innermost first: pc[0] is the instruction itself, the others are return addresses. label
 * NULL: none; its key is "actor". It lives on. */
void pprof_add(pprof_t *p, void *const *pc, uint32_t depth, const char *label,
               const int64_t *values);
/* The whole profile at the end of out; takes p. period: one sample stands for so much of `of`. */
void pprof_end(pprof_t *p, int64_t wall_ms, int64_t duration_ns, pprof_type_t of, int64_t period,
               buf_t *out);
