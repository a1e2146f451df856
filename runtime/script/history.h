/* history: the versions of a service that ever came, with who and when, and what became of them.
 * The last script.history of them are kept whole, in memory and in data.dir/scripts: a text of each
 * file by its hash (one file for all versions that have it), and a line of JSON a version in
 * NAME.history. Called at start, then by the reloader's thread only. Internal to script. */
#pragma once
#include "script/version.h"

#define HISTORY_WHO    64
#define HISTORY_REASON 240

typedef enum history_state {
    HISTORY_SERVES,      /* now */
    HISTORY_SERVED,      /* until another took its place */
    HISTORY_TRIED,       /* a canary, now */
    HISTORY_REFUSED,     /* it never served */
    HISTORY_ROLLED_BACK, /* it served, and was taken back */
    HISTORY_ENDED,       /* a canary that was given up, a shadow */
    HISTORY_SHADOW       /* runs without effect, now */
} history_state_t;

typedef struct history_entry {
    version_t *version;
    history_state_t state;
    int64_t came_ms, at_ms; /* when it came; when its state became what it is */
    char came_by[HISTORY_WHO], by[HISTORY_WHO];
    char reason[HISTORY_REASON]; /* "" */
} history_entry_t;

typedef struct history history_t;

/* Reads what data.dir has of this service. dir: data.dir/scripts, "" = only in memory; borrowed, as
 * is service. What cannot be read is left out, with a line in the log. */
history_t *history_open(const char *dir, const char *service, uint32_t most);
void history_free(history_t *h); /* NULL is fine */

size_t history_count(const history_t *h);
/* Oldest first. */
const history_entry_t *history_at(const history_t *h, size_t i);
/* By number; NULL: none. */
const history_entry_t *history_find(const history_t *h, uint32_t number);
/* The newest that has the state, or NULL. */
const history_entry_t *history_last(const history_t *h, history_state_t state);
/* The newest with this hash, or NULL. */
const history_entry_t *history_hash(const history_t *h, const char *hash);

/* Adds a version (gives it its number; one more reference) or, when it is there, changes its state;
 * writes. A refusal that repeats the last entry takes its place. */
void history_note(history_t *h, version_t *v, history_state_t state, int64_t now_ms,
                  const char *who, const char *reason);
/* v, just loaded, is what this entry has from the disk: it takes its place and its number. */
void history_adopt(history_t *h, const history_entry_t *e, version_t *v);
/* Removes texts below dir that no entry of all these has. */
void history_sweep(const char *dir, history_t *const *all, size_t count);
const char *history_state_name(history_state_t state);
