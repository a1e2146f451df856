/* The promises of value.h. */
#include "port/value.h"
#include "spec/spec.h"
#include <math.h>

SPEC("gives back every kind of value as it was") {
    buf_t b = {0};
    value_t v;
    char long_text[300];
    memset(long_text, 'x', sizeof long_text);
    value_add_null(&b);
    value_add_int(&b, 42);
    value_add_real(&b, -1.5);
    value_add_text(&b, SLICE("short"));
    value_add_text(&b, (slice_t){long_text, sizeof long_text});
    value_add_blob(&b, (slice_t){"\0\1\2", 3});
    value_add_text(&b, SLICE(""));
    slice_t rest = buf_slice(&b);
    CHECK(value_next(&rest, &v) && v.type == VALUE_NULL);
    CHECK(value_next(&rest, &v) && v.type == VALUE_INT);
    CHECK_INT(v.i, 42);
    CHECK(value_next(&rest, &v) && v.type == VALUE_REAL && v.d == -1.5);
    CHECK(value_next(&rest, &v) && v.type == VALUE_TEXT);
    CHECK_TEXT(v.s.at, v.s.len, "short");
    CHECK(value_next(&rest, &v) && v.type == VALUE_TEXT && v.s.len == sizeof long_text);
    CHECK(memcmp(v.s.at, long_text, sizeof long_text) == 0);
    CHECK(value_next(&rest, &v) && v.type == VALUE_BLOB && v.s.len == 3 && v.s.at[2] == 2);
    CHECK(value_next(&rest, &v) && v.type == VALUE_TEXT && v.s.len == 0);
    CHECK(!value_next(&rest, &v) && v.type == VALUE_NULL);
    buf_free(&b);
}

SPEC("carries every 64-bit number, small ones in a byte") {
    for (int bit = 0; bit < 64; bit++)
        for (int d = -2; d <= 2; d++) {
            int64_t n = (int64_t)((1ull << bit) + (uint64_t)d),
                    both[2] = {n, (int64_t)(0 - (uint64_t)n)};
            for (int i = 0; i < 2; i++) {
                buf_t b = {0};
                value_add_int(&b, both[i]);
                CHECK(b.len <= 9 && (both[i] < 0 || both[i] > 127 || b.len == 1));
                slice_t rest = buf_slice(&b);
                CHECK_INT(value_next_int(&rest), both[i]);
                CHECK_INT(rest.len, 0);
                buf_free(&b);
            }
        }
}

SPEC("texts of all lengths around the short form") {
    char text[130];
    memset(text, 'a', sizeof text);
    for (size_t n = 0; n < sizeof text; n++) {
        buf_t b = {0};
        value_add_text(&b, (slice_t){text, n});
        value_add_int(&b, 7);
        slice_t rest = buf_slice(&b), got = value_next_text(&rest);
        CHECK(slice_eq(got, (slice_t){text, n}));
        CHECK_INT(value_next_int(&rest), 7);
        buf_free(&b);
    }
}

SPEC("gives 0 and an empty text for another type and at the end") {
    buf_t b = {0};
    value_add_text(&b, SLICE("7"));
    value_add_int(&b, 7);
    slice_t rest = buf_slice(&b);
    CHECK_INT(value_next_int(&rest), 0);
    CHECK_INT(value_next_text(&rest).len, 0);
    CHECK_INT(value_next_int(&rest), 0);
    CHECK_INT(value_next_text(&rest).len, 0);
    buf_free(&b);
}

SPEC("reads no byte behind the end, whatever the bytes are") {
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)(seed >> 8) % 12;
        char *bytes = malloc(len + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)((seed = seed * 1664525 + 1013904223) >> 16);
        seed = seed * 1664525 + 1013904223;
        char *exact = malloc(len ? len : 1); /* the sanitizer watches its end */
        memcpy(exact, bytes, len);
        slice_t rest = {exact, len};
        value_t v;
        int n = 0;
        while (value_next(&rest, &v))
            CHECK(++n <= 12 && (v.type < VALUE_TEXT || v.s.at + v.s.len <= exact + len));
        CHECK_INT(rest.len, 0);
        free(bytes);
        free(exact);
    }
}

SPEC_MAIN
