/* Fuzz target: what json_parse takes is walked, written by json_add_node and read again: the second
 * document says the same as the first, and writing it gives the same bytes. The input sits in
 * memory of exactly its size, so that a read beyond it is seen. */
#include "base/json.h"
#include "base/err.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

static void same_scalar(const json_doc_t *a, json_at_t x, const json_doc_t *b, json_at_t y) {
    int64_t i = 0, j = 0;
    double v = 0, w = 0;
    bool p = false, q = false;
    slice_t s = {0}, t = {0};
    bool digits = json_int(a, x, &i);
    assert(digits == json_int(b, y, &j) && i == j && i >= 0 && i < INT64_C(1) << 53);
    assert(json_int64(a, x, &i) == json_int64(b, y, &j) && i == j);
    assert(json_number(a, x, &v) == json_number(b, y, &w) && memcmp(&v, &w, sizeof v) == 0);
    assert(json_bool(a, x, &p) == json_bool(b, y, &q) && p == q);
    assert(json_string(a, x, &s) == json_string(b, y, &t) && slice_eq(s, t));
    assert(!s.len || !memchr(s.at, 0, s.len));
}

static void same(const json_doc_t *a, json_at_t x, const json_doc_t *b, json_at_t y, int depth) {
    assert(json_type(a, x) == json_type(b, y) && json_type(a, x) != JSON_NONE);
    assert(depth <= JSON_DEPTH && json_count(a, x) == json_count(b, y));
    same_scalar(a, x, b, y);
    json_at_t c = json_first(a, x), d = json_first(b, y);
    uint32_t children = 0;
    for (; c && d; c = json_next(a, c), d = json_next(b, d), children++) {
        assert(slice_eq(json_key(a, c), json_key(b, d)));
        same(a, c, b, d, depth + (json_type(a, c) >= JSON_ARRAY));
    }
    assert(!c && !d && (json_type(a, x) < JSON_ARRAY || children == json_count(a, x)));
}

/* The last child of that name is what json_get finds, and nothing if that one is null. */
static void find_keys(const json_doc_t *doc, json_at_t object) {
    char key[16];
    for (json_at_t c = json_first(doc, object), n = 0; c && n < 8; c = json_next(doc, c), n++) {
        slice_t k = json_key(doc, c);
        json_at_t last = 0;
        if (k.len >= sizeof key)
            continue;
        memcpy(key, k.at, k.len);
        key[k.len] = 0;
        for (json_at_t d = json_first(doc, object); d; d = json_next(doc, d))
            if (slice_eq(json_key(doc, d), k))
                last = d;
        assert(json_get(doc, object, key) == (json_type(doc, last) == JSON_NULL ? 0 : last));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_doc_t *doc, *again;
    if (!doc) {
        doc = json_doc_new();
        again = json_doc_new();
    }
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    int err = json_parse(doc, text, size);
    assert(err == ERR_OK || err == ERR_BAD_REQUEST);
    assert(err == ERR_OK || json_type(doc, JSON_ROOT) == JSON_NONE);
    if (err == ERR_OK) {
        buf_t once = {0}, twice = {0};
        json_add_node(&once, doc, JSON_ROOT);
        char *copy = malloc(once.len);
        memcpy(copy, once.at, once.len);
        assert(json_parse(again, copy, once.len) == ERR_OK);
        same(doc, JSON_ROOT, again, JSON_ROOT, json_type(doc, JSON_ROOT) >= JSON_ARRAY);
        if (json_type(doc, JSON_ROOT) == JSON_OBJECT)
            find_keys(doc, JSON_ROOT);
        json_add_node(&twice, again, JSON_ROOT);
        assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
        free(copy);
        buf_free(&once);
        buf_free(&twice);
    }
    free(text);
    return 0;
}
