/* codec_in: what codec_json.c and codec_pack.c share. */
#pragma once
#include "base/json.h"
#include "script/codec.h"
#include "script/vm.h"

typedef struct codec_key {
    slice_t name;
} codec_key_t;

struct codec {
    json_doc_t *doc;
    buf_t text; /* being parsed */
    buf_t out;
    uint32_t max;
    codec_key_t *keys; /* of the objects being written, outermost first */
    uint32_t key_count, key_cap;
};

/* Empties the output, and gives it back if an earlier use has made it large. */
void codec_begin(codec_t *c);
/* Raises when the output is over its bound. */
void codec_check(codec_t *c, lua_State *L);
