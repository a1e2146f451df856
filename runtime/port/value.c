/* value: see value.h. A value is a tag byte and what it calls for:
 *   0            NULL
 *   1 .. 8       a whole number of so many bytes, low byte first, the top bit is the sign
 *   9            a real, 8 bytes
 *   10, 11       text, blob: a length of 4 bytes, then the bytes
 *   64 .. 191    the number tag - 64
 *   192 .. 255   text of tag - 192 bytes
 * so that ids, flags and short texts, which nearly everything is, cost one byte beside themselves.
 * What comes back is read from messages of this process only, yet no length is trusted. */
#include "port/value.h"

enum { TAG_NULL = 0, TAG_REAL = 9, TAG_TEXT = 10, TAG_BLOB = 11, TAG_SMALL = 64, TAG_SHORT = 192 };
enum { SMALL_MAX = TAG_SHORT - TAG_SMALL - 1, SHORT_MAX = 255 - TAG_SHORT };

static void put_low_first(char *at, uint64_t v, int n) {
    for (int i = 0; i < n; i++, v >>= 8)
        at[i] = (char)v;
}

static uint64_t get_low_first(const char *at, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)at[i] << (8 * i);
    return v;
}

void value_add_null(buf_t *b) {
    buf_add_char(b, TAG_NULL);
}

void value_add_int(buf_t *b, int64_t v) {
    if (v >= 0 && v <= SMALL_MAX) {
        buf_add_char(b, (char)(TAG_SMALL + v));
        return;
    }
    uint64_t magnitude = (uint64_t)(v < 0 ? ~v : v);
    int bits = 65 - __builtin_clzll(magnitude | 1), n = (bits + 7) / 8;
    char *at = buf_room(b, 9);
    at[0] = (char)n;
    put_low_first(at + 1, (uint64_t)v, n);
    b->len += (uint32_t)n + 1;
}

void value_add_real(buf_t *b, double v) {
    char *at = buf_room(b, 9);
    at[0] = TAG_REAL;
    memcpy(at + 1, &v, 8);
    b->len += 9;
}

static void add_bytes(buf_t *b, int tag, slice_t v) {
    char *at = buf_room(b, 5 + v.len);
    at[0] = (char)tag;
    put_low_first(at + 1, v.len, 4);
    if (v.len)
        memcpy(at + 5, v.at, v.len);
    b->len += 5 + (uint32_t)v.len;
}

void value_add_text(buf_t *b, slice_t v) {
    if (v.len > SHORT_MAX) {
        add_bytes(b, TAG_TEXT, v);
        return;
    }
    char *at = buf_room(b, 1 + v.len);
    at[0] = (char)(TAG_SHORT + v.len);
    if (v.len)
        memcpy(at + 1, v.at, v.len);
    b->len += 1 + (uint32_t)v.len;
}

void value_add_blob(buf_t *b, slice_t v) {
    add_bytes(b, TAG_BLOB, v);
}

/* The next n bytes, or NULL. */
static const char *take(slice_t *rest, size_t n) {
    const char *at = rest->at;
    if (rest->len < n)
        return NULL;
    rest->at += n;
    rest->len -= n;
    return at;
}

static bool take_int(slice_t *rest, int n, value_t *out) {
    const char *at = take(rest, (size_t)n);
    if (!at)
        return false;
    int unused = 64 - 8 * n;
    out->type = VALUE_INT;
    out->i = (int64_t)(get_low_first(at, n) << unused) >> unused;
    return true;
}

static bool take_bytes(slice_t *rest, value_type_t type, size_t len, value_t *out) {
    const char *at = take(rest, len);
    if (!at)
        return false;
    out->type = type;
    out->s = (slice_t){at, len};
    return true;
}

static bool take_long(slice_t *rest, value_type_t type, value_t *out) {
    const char *at = take(rest, 4);
    return at && take_bytes(rest, type, get_low_first(at, 4), out);
}

static bool take_real(slice_t *rest, value_t *out) {
    const char *at = take(rest, 8);
    if (!at)
        return false;
    out->type = VALUE_REAL;
    memcpy(&out->d, at, 8);
    return true;
}

static bool take_value(slice_t *rest, value_t *out) {
    const char *at = take(rest, 1);
    if (!at)
        return false;
    uint8_t tag = (uint8_t)*at;
    if (tag >= TAG_SHORT)
        return take_bytes(rest, VALUE_TEXT, tag - TAG_SHORT, out);
    if (tag >= TAG_SMALL) {
        out->type = VALUE_INT;
        out->i = tag - TAG_SMALL;
        return true;
    }
    switch (tag) {
    case TAG_NULL:
        return true;
    case TAG_REAL:
        return take_real(rest, out);
    case TAG_TEXT:
        return take_long(rest, VALUE_TEXT, out);
    case TAG_BLOB:
        return take_long(rest, VALUE_BLOB, out);
    default:
        return tag <= 8 && take_int(rest, tag, out);
    }
}

bool value_next(slice_t *rest, value_t *out) {
    *out = (value_t){.type = VALUE_NULL};
    if (take_value(rest, out))
        return true;
    *out = (value_t){.type = VALUE_NULL};
    rest->len = 0;
    return false;
}

int64_t value_next_int(slice_t *rest) {
    value_t v;
    return value_next(rest, &v) && v.type == VALUE_INT ? v.i : 0;
}

slice_t value_next_text(slice_t *rest) {
    value_t v;
    return value_next(rest, &v) && v.type == VALUE_TEXT ? v.s : (slice_t){"", 0};
}
