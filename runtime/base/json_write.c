/* json_write: the writer half of json.h: compact, straight into a buf. Any thread. */
#include "base/json.h"
#include "base/json_plain.h"
#include <stdio.h>
#include <stdlib.h>

static const char hex[] = "0123456789abcdef";

/* Writes the escape of c, which needs one, at out; gives the place behind it. */
static char *escape(char *out, uint8_t c) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = c ? strchr(from, c) : NULL;
    *out++ = '\\';
    if (known) {
        *out++ = to[known - from];
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = hex[c >> 4];
    out[4] = hex[c & 15];
    return out + 5;
}

/* Room for the text and both quotes is asked for once; only what needs an escape asks again. */
void json_add_string(buf_t *b, slice_t s) {
    char *at = buf_room(b, s.len + 2);
    const char *from = s.len ? s.at : "", *end = from + s.len;
    size_t run = json_plain(from, end);
    *at++ = '"';
    memcpy(at, from, run);
    b->len += (uint32_t)run + 1;
    while ((from += run) < end) {
        at = buf_room(b, 6);
        b->len += (uint32_t)(escape(at, (uint8_t)*from++) - at);
        run = json_plain(from, end);
        buf_add(b, from, run);
    }
    buf_add_char(b, '"');
}

void json_add_key(buf_t *b, const char *key) {
    size_t len = strlen(key);
    char before = b->len ? b->at[b->len - 1] : 0;
    char *at = buf_room(b, len + 4), *start = at;
    if (before != '{' && before != '[')
        *at++ = ',';
    *at++ = '"';
    memcpy(at, key, len);
    at += len;
    *at++ = '"';
    *at++ = ':';
    b->len += (uint32_t)(at - start);
}

void json_add_int(buf_t *b, const char *key, int64_t n) {
    json_add_key(b, key);
    buf_add_int(b, n);
}

void json_add_bool(buf_t *b, const char *key, bool v) {
    json_add_key(b, key);
    buf_add_text(b, v ? "true" : "false");
}

void json_add_text(buf_t *b, const char *key, slice_t v) {
    json_add_key(b, key);
    json_add_string(b, v);
}

/* Keeps a fraction or exponent in the text, so that a real is read back as one. */
void json_add_real(buf_t *b, double v) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_add_text(b, text);
    if (!strpbrk(text, ".e"))
        buf_add_text(b, ".0");
}

static void add_scalar(buf_t *b, const json_doc_t *doc, json_at_t at) {
    int64_t n;
    double v;
    slice_t s;
    if (json_string(doc, at, &s))
        json_add_string(b, s);
    else if (json_int64(doc, at, &n))
        buf_add_int(b, n);
    else if (json_number(doc, at, &v))
        json_add_real(b, v);
    else
        buf_add_text(b, json_type(doc, at) == JSON_TRUE    ? "true"
                        : json_type(doc, at) == JSON_FALSE ? "false"
                                                           : "null");
}

/* Recursion ends at JSON_DEPTH_OWN: no document is deeper. */
void json_add_node(buf_t *b, const json_doc_t *doc, json_at_t at) {
    json_type_t type = json_type(doc, at);
    if (type < JSON_ARRAY) {
        add_scalar(b, doc, at);
        return;
    }
    buf_add_char(b, type == JSON_OBJECT ? '{' : '[');
    for (json_at_t child = json_first(doc, at), first = child; child;
         child = json_next(doc, child)) {
        if (child != first)
            buf_add_char(b, ',');
        if (type == JSON_OBJECT) {
            json_add_string(b, json_key(doc, child));
            buf_add_char(b, ':');
        }
        json_add_node(b, doc, child);
    }
    buf_add_char(b, type == JSON_OBJECT ? '}' : ']');
}
