/* source: the Lua files of a node, read once: those built into the binary, and over them those of
 * script.dir. A set is counted and never changes, so a VM keeps the one it was made from and
 * requires from it later. Internal to script. Any thread. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

typedef struct source_file {
    char path[96]; /* "recall.lua", "lib/check.lua" */
    slice_t text;
} source_file_t;

typedef struct sources sources_t;

/* One reference. NULL with a line in fault. dir "": only the built-in ones. */
sources_t *sources_read(const char *dir, char *fault, size_t room);
sources_t *sources_ref(sources_t *s);
void sources_unref(sources_t *s);

/* Sorted by path. */
const source_file_t *sources_all(const sources_t *s, size_t *count);
/* By path without .lua: "lib/check". As vm_find_t: arg is the sources_t. */
bool sources_find(void *arg, slice_t name, slice_t *text);
/* Is the file a service: in the top directory? */
bool source_is_service(const source_file_t *f);
/* Would the service `name` be another one in b: its own text or any of lib/ differs? */
bool sources_differ(sources_t *a, sources_t *b, const char *name);
