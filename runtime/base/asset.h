/* asset: files built into the binary (lua/, schema/, web/), so that one file runs a node. Made at
 * build time by CMake; constant data, any thread. */
#pragma once
#include "base/slice.h"

typedef struct asset {
    const char *path; /* "lua/recall.lua" */
    slice_t bytes;
} asset_t;

const asset_t *asset_find(const char *path); /* NULL if there is none */
/* All of them, sorted by path; *count is set. */
const asset_t *asset_all(size_t *count);
