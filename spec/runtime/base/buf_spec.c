/* buf and block: bytes that grow, bytes that are shared. */
#include "base/buf.h"
#include "base/pool.h"
#include "spec/spec.h"
#include <limits.h>

SPEC("collects what is added") {
    buf_t b = {0};
    buf_add_text(&b, "ab");
    buf_add_char(&b, 'c');
    buf_add(&b, NULL, 0);
    buf_add_slice(&b, SLICE("de"));
    buf_addf(&b, "%d-%s", 7, "x");
    CHECK_TEXT(b.at, b.len, "abcde7-x");
    buf_free(&b);
    CHECK(b.at == NULL && b.len == 0 && b.cap == 0);
}

SPEC("writes every integer") {
    buf_t b = {0};
    buf_add_int(&b, 0);
    buf_add_char(&b, ' ');
    buf_add_int(&b, -1);
    buf_add_char(&b, ' ');
    buf_add_int(&b, INT64_MAX);
    buf_add_char(&b, ' ');
    buf_add_int(&b, INT64_MIN);
    CHECK_TEXT(b.at, b.len, "0 -1 9223372036854775807 -9223372036854775808");
    buf_free(&b);
}

SPEC("grows without losing a byte") {
    buf_t b = {0};
    for (int i = 0; i < 100000; i++)
        buf_add_char(&b, (char)(i % 251));
    CHECK_INT(b.len, 100000);
    for (int i = 0; i < 100000; i++)
        CHECK((unsigned char)b.at[i] == i % 251);
    buf_free(&b);
}

SPEC("formats longer than its room") {
    buf_t b = {0};
    char long_text[5000];
    memset(long_text, 'y', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    buf_add_text(&b, "<");
    buf_addf(&b, "%s>", long_text);
    CHECK_INT(b.len, 5001);
    CHECK(b.at[5000] == '>');
    buf_free(&b);
}

SPEC("drops from the front") {
    buf_t b = {0};
    buf_add_text(&b, "abcdef");
    buf_drop(&b, 0);
    buf_drop(&b, 2);
    CHECK_TEXT(b.at, b.len, "cdef");
    buf_drop(&b, 100);
    CHECK_INT(b.len, 0);
    buf_free(&b);
}

SPEC("keeps a block until the last reference goes") {
    uint64_t before, after, cached;
    pool_usage(&before, &cached);
    buf_t b = {0};
    buf_add_text(&b, "hello");
    block_t *one = block_from_buf(&b);
    CHECK(b.at == NULL);
    block_t *two = block_ref(one);
    block_unref(one);
    CHECK_TEXT(two->data, two->len, "hello");
    block_unref(two);
    block_unref(NULL);
    pool_usage(&after, &cached);
    CHECK_INT(after, before);
}

SPEC("lets its maker fill a block") {
    block_t *b = block_new(10);
    CHECK_INT(b->len, 0);
    CHECK(b->cap >= 10);
    memcpy(b->data, "0123456789", 10);
    b->len = 10;
    block_unref(b);
}

SPEC_MAIN
