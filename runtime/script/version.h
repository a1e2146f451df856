/* version: one version of a service: the files it was made from, which of them it uses, its number
 * and hash, and the account of what it answered while it was watched (a canary). Counted; the
 * accounts are written by all threads that run it. Internal to script. */
#pragma once
#include "script/source.h"
#include <stdatomic.h>

#define VERSION_NAME 48 /* SCRIPT_NAME */
#define VERSION_HASH 13 /* 12 hex digits and the end */

/* Four buckets an octave of microseconds: 1 us to 2^24 us. */
#define TALLY_BUCKETS 96
typedef struct tally {
    _Atomic uint64_t calls;   /* answered */
    _Atomic uint64_t refused; /* of them: by fail(..) */
    _Atomic uint64_t faults;  /* by an error of the script, a kill, or its deadline */
    _Atomic uint32_t bucket[TALLY_BUCKETS];
} tally_t;

typedef struct version {
    _Atomic uint32_t refs;
    char service[VERSION_NAME];
    uint32_t number;         /* from 1, in order of coming, per service; set by the history */
    int64_t declared;        /* `version` of its file */
    char hash[VERSION_HASH]; /* of its file and of the parts of lib/ it uses; see version_settle */
    sources_t *sources;
    _Atomic uint64_t used[SOURCES_MAX / 64]; /* a bit for each file that a VM of it has read */
    _Atomic bool measured;                   /* calls are counted in: */
    tally_t requests, policies;
} version_t;

/* One reference; the sources get one more. */
version_t *version_new(const char *service, sources_t *sources);
version_t *version_ref(version_t *v);
void version_unref(version_t *v); /* NULL is fine */
/* As vm_find_t: arg is the version_t; notes what it gives as used. */
bool version_find(void *arg, slice_t name, slice_t *text);
bool version_uses(const version_t *v, size_t file);
/* When it is loaded: its hash, of what it has used. */
void version_settle(version_t *v);
/* Would the service be another one with these files: its own text or one it uses differs? */
bool version_differs(const version_t *v, const sources_t *fresh);

/* --- accounts --- */
void version_watch(version_t *v, bool on); /* on: from zero */
static inline bool version_watched(const version_t *v) {
    return atomic_load_explicit(&v->measured, memory_order_relaxed);
}
/* Any thread. faulty and refused: not both. */
void tally_add(tally_t *t, bool faulty, bool refused, uint64_t us);
/* The time within which `share` (of 1) of the calls were answered, an upper bound, in us; 0: none.
 */
uint64_t tally_within(const tally_t *t, double share);
