/* codec: Lua values to JSON and back, and plain data to bytes and back (state at reload). One per
 * VM; it keeps its buffers outside of the VM's memory, so they are bounded by `max` and given back
 * when they have grown. Every call may raise a Lua error and is made inside a slice. Internal to
 * script.
 *
 * Integers stay integers; a float without fraction is written as an integer, so that equal values
 * give equal bytes; keys are sorted. Arrays are tables marked by json.list, and unmarked sequences
 * that are not empty; an empty unmarked table is {}. Null decodes to absent; inside an array to
 * json.null, so that a list with it is not taken for a shorter one. */
#pragma once
#include "base/buf.h"
#include <lua.h>
#include <stdint.h>

typedef struct codec codec_t;

codec_t *codec_new(uint32_t max_bytes);
void codec_free(codec_t *c);

/* Pushes the value of a JSON text (copied first). false: it is none, nothing pushed. */
bool codec_decode(codec_t *c, lua_State *L, slice_t json);
/* The value as JSON; the bytes stay until the next encode or pack of this codec. */
slice_t codec_encode(codec_t *c, lua_State *L, int index);
/* {"error":text,"code":symbol} and the members of the table at `extra` (0: none). */
slice_t codec_error(codec_t *c, lua_State *L, const char *text, const char *symbol, int extra);

/* Plain data: nil, booleans, numbers, text and tables of them, at most 64 deep. */
slice_t codec_pack(codec_t *c, lua_State *L, int index);
void codec_unpack(codec_t *c, lua_State *L, slice_t bytes);
/* The bytes that the last encode, error or pack gave. */
slice_t codec_last(const codec_t *c);
