/* Fuzz target: the head parser whole and dripped must agree; the chunk decoder in two cuts must
 * agree. */
#include "net/http.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

static int visit(void *arg, slice_t name, slice_t value) {
    (void)arg;
    assert(name.len + value.len <= 4096);
    return 0;
}

static size_t chunks(const char *at, size_t len, size_t step, int *result) {
    http_chunks_t c = {0};
    size_t i = 0, bytes = 0;
    *result = 0;
    while (i < len && *result == 0) {
        size_t used, n = len - i < step ? len - i : step;
        slice_t body;
        *result = http_chunks_next(&c, at + i, n, &used, &body);
        assert(used <= n && (used || *result) && body.len <= used);
        bytes += body.len;
        i += used;
    }
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *at = malloc(size ? size : 1), room[4096];
    memcpy(at, data, size);
    http_request_t whole, dripped;
    size_t seen = 0;
    int got = http_parse_head(at, size, &seen, &whole), slow = 0;
    assert(got <= (int)size);
    seen = 0;
    for (size_t n = 0; n <= size && slow == 0; n++)
        slow = http_parse_head(at, n, &seen, &dripped);
    assert((got > 0) == (slow > 0) && (got <= 0 || got == slow));
    if (got > 0)
        http_query_each(whole.query, room, sizeof room, visit, NULL);
    int a, b;
    size_t whole_bytes = chunks(at, size, SIZE_MAX, &a), cut_bytes = chunks(at, size, 1, &b);
    assert(a == b && whole_bytes == cut_bytes);
    free(at);
    return 0;
}
