/* source: the Lua files of a node, read once: those built into the binary, and over them those of
 * script.dir. A set is counted and never changes, so a VM keeps the one it was made from and
 * requires from it later. Texts are counted too: sets that were read one after the other share
 * those that did not change. Internal to script. Any thread. */
#pragma once
#include "base/buf.h"
#include <stdint.h>

#define SOURCES_MAX 256 /* files of a set */

typedef struct source_file {
    char path[96]; /* "recall.lua", "lib/check.lua", "recall_spec.lua" */
    slice_t text;
    block_t *bytes; /* holds text */
    char hash[65];  /* sha256 of it in hex, "" until sources_hash was asked */
    bool own;       /* of script.dir, not built in */
} source_file_t;

typedef struct sources sources_t;

/* One reference. NULL with a line in fault. dir "": only the built-in ones. like: a set whose equal
 * texts are taken over; NULL: none. */
sources_t *sources_read(const char *dir, const sources_t *like, char *fault, size_t room);
/* A set made file by file: sources_put takes the bytes (false: too many, or too long a path; a
 * second file of a path replaces the first), sources_seal ends it and gives it, maybe elsewhere. */
sources_t *sources_new(void);
bool sources_put(sources_t *s, const char *path, block_t *bytes, bool own);
sources_t *sources_seal(sources_t *s);
sources_t *sources_ref(sources_t *s);
void sources_unref(sources_t *s); /* NULL is fine */

/* Sorted by path. */
const source_file_t *sources_all(const sources_t *s, size_t *count);
/* By path without .lua ("lib/check"): its place in sources_all, -1: there is none. */
int sources_find(const sources_t *s, slice_t name);
/* The text of it; {NULL, 0}: there is none. */
slice_t sources_text(const sources_t *s, slice_t name);
/* The spec that counts for a file: the one beside it. A file of script.dir is not judged by the
 * spec of the built-in file that it replaces. {NULL, 0}: none. */
slice_t sources_spec(const sources_t *s, slice_t name);
/* sha256 of file i, in hex. One thread at a time: the start's, then the reloader's. */
const char *sources_hash(sources_t *s, size_t i);
/* What runs, which the script API may require; not a spec. */
bool source_is_service(const source_file_t *f); /* in the top directory */
bool source_is_lib(const source_file_t *f);     /* in lib/ */
