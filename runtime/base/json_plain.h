/* json_plain: what the reader and the writer of JSON share: a look for the bytes of a string that
 * need more than being copied. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_ONES 0x0101010101010101u
#define JSON_HIGH 0x8080808080808080u

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lowest hit is the first byte");

/* How many bytes stand before the first quote, backslash or control character. A false hit of the
 * eight-byte test is the borrow of a real one below it, so the lowest is always real. */
static inline size_t json_plain(const char *at, const char *end) {
    const char *p = at;
    uint64_t w;
    while (end - p >= 8) {
        memcpy(&w, p, 8);
        uint64_t quote = w ^ (JSON_ONES * '"'), slash = w ^ (JSON_ONES * '\\');
        uint64_t hit = ((w - JSON_ONES * 0x20) & ~w) | ((quote - JSON_ONES) & ~quote) |
                       ((slash - JSON_ONES) & ~slash);
        if (hit & JSON_HIGH)
            return (size_t)(p - at) + ((size_t)__builtin_ctzll(hit & JSON_HIGH) >> 3);
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && (uint8_t)*p >= 0x20)
        p++;
    return (size_t)(p - at);
}
