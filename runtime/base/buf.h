/* buf: a growable run of bytes with one owner; block: counted immutable bytes with many readers.
 * A frame for a thousand members is one block; everything that is still being written is a buf. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

typedef struct buf {
    char *at;
    uint32_t len, cap;
} buf_t; /* {0} is an empty one */

void buf_free(buf_t *b); /* back to empty, memory given back */
char *buf_room(buf_t *b,
               size_t extra); /* at least `extra` writable bytes at the end; len unchanged */
void buf_add(buf_t *b, const void *at, size_t len);
void buf_add_text(buf_t *b, const char *text);
void buf_add_slice(buf_t *b, slice_t s);
void buf_add_char(buf_t *b, char c);
void buf_add_int(buf_t *b, int64_t n); /* decimal */
void buf_addf(buf_t *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(buf_t *b, size_t n); /* the first n bytes go */
static inline slice_t buf_slice(const buf_t *b) {
    return (slice_t){b->at, b->len};
}

typedef struct block {
    _Atomic uint32_t refs;
    uint32_t len, cap;
    char data[];
} block_t;

block_t *block_new(size_t cap); /* one reference, len 0; the maker may write until it shares it */
block_t *block_of(const void *at, size_t len);
block_t *block_from_buf(buf_t *b); /* copies, empties b */
block_t *block_ref(block_t *b);    /* one more reference; any thread */
void block_unref(block_t *b);      /* NULL is fine; the last one frees; any thread */
