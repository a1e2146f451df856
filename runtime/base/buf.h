/* buf: a growable run of bytes with one owner; block: counted immutable bytes with many readers.
 * A frame for a thousand members is one block; everything that is still being written is a buf. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

typedef struct buf {
    char *at;
    uint32_t len, cap;
} buf_t; /* {0} is an empty one */

void buf_free(buf_t *b);               /* back to empty, memory given back */
void buf_grow(buf_t *b, size_t extra); /* what buf_room does when there is too little */
/* At least `extra` writable bytes at the end; len unchanged. Inline, as what follows: every frame
 * is written by them. */
static inline char *buf_room(buf_t *b, size_t extra) {
    if (__builtin_expect(extra > b->cap - b->len || !b->at, 0))
        buf_grow(b, extra);
    return b->at + b->len;
}
static inline void buf_add(buf_t *b, const void *at, size_t len) {
    if (len == 0)
        return;
    memcpy(buf_room(b, len), at, len);
    b->len += (uint32_t)len;
}
static inline void buf_add_text(buf_t *b, const char *text) {
    buf_add(b, text, strlen(text));
}
static inline void buf_add_slice(buf_t *b, slice_t s) {
    buf_add(b, s.at, s.len);
}
static inline void buf_add_char(buf_t *b, char c) {
    *buf_room(b, 1) = c;
    b->len++;
}
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
