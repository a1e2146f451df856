/* slice: borrowed bytes, never owned, never NUL-terminated by promise. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct slice {
    const char *at;
    size_t len;
} slice_t;

#define SLICE(text) ((slice_t){(text), sizeof(text) - 1})

static inline slice_t slice_of(const char *text) {
    return (slice_t){text, strlen(text)};
}

static inline bool slice_eq(slice_t a, slice_t b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}
