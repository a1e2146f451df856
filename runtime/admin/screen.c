/* screen: see screen.h. A code point is read, judged, and copied or spelt out. */
#include "admin/screen.h"
#include <stdbool.h>

/* The code point at s and its bytes; 0 bytes: no UTF-8 (overlong, surrogate, cut, beyond). */
static size_t read_point(slice_t s, uint32_t *out) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *at = (const uint8_t *)s.at;
    size_t n = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc0 ? 2 : 0;
    if (n == 0 || n > s.len || at[0] >= 0xf8)
        return 0;
    uint32_t c = n == 1 ? at[0] : at[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (at[i] & 0x3f);
    }
    *out = c;
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

/* Marks without a shape of their own: they turn, hide, or end lines. */
static bool is_mark(uint32_t c) {
    return (c >= 0x80 && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe0fff);
}

static void add_control(buf_t *out, uint8_t c) {
    if (c == '\n')
        buf_add_text(out, "\\n");
    else if (c == '\r')
        buf_add_text(out, "\\r");
    else if (c == '\t')
        buf_add_text(out, "\\t");
    else
        buf_addf(out, "\\x%02x", c);
}

void screen_add(buf_t *out, slice_t s) {
    while (s.len) {
        uint32_t c = 0;
        size_t n = read_point(s, &c);
        if (n == 0) {
            add_control(out, (uint8_t)*s.at);
            n = 1;
        } else if (c < 0x20 || c == 0x7f) {
            add_control(out, (uint8_t)c);
        } else if (is_mark(c)) {
            buf_addf(out, "\\u{%x}", c);
        } else {
            buf_add(out, s.at, n);
        }
        s.at += n;
        s.len -= n;
    }
}

static void add_json_point(buf_t *out, uint32_t c) {
    if (c >= 0x10000)
        buf_addf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
    else
        buf_addf(out, "\\u%04x", c);
}

void screen_add_json(buf_t *out, slice_t s) {
    buf_add_char(out, '"');
    while (s.len) {
        uint32_t c = 0;
        size_t n = read_point(s, &c);
        if (n == 0)
            buf_addf(out, "\\\\x%02x", (uint8_t)*s.at);
        else if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", (char)c);
        else if (c < 0x20 || c == 0x7f || is_mark(c))
            add_json_point(out, c);
        else
            buf_add(out, s.at, n);
        s.at += n ? n : 1;
        s.len -= n ? n : 1;
    }
    buf_add_char(out, '"');
}

typedef struct span {
    uint32_t from, to;
} span_t;

static const span_t wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
                              {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
                              {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                              {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
static const span_t flat[] = {
    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
    {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

static bool among(const span_t *s, size_t n, uint32_t c) {
    for (size_t i = 0; i < n; i++)
        if (c >= s[i].from && c <= s[i].to)
            return true;
    return false;
}

static size_t width_of(uint32_t c) {
    if (c < 0x300)
        return 1;
    if (among(flat, sizeof flat / sizeof flat[0], c))
        return 0;
    return among(wide, sizeof wide / sizeof wide[0], c) ? 2 : 1;
}

slice_t screen_cut(slice_t s, size_t columns) {
    size_t at = 0, used = 0;
    while (at < s.len) {
        uint32_t c = 0;
        size_t n = read_point((slice_t){s.at + at, s.len - at}, &c);
        size_t w = n ? width_of(c) : 1;
        if (used + w > columns)
            break;
        used += w;
        at += n ? n : 1;
    }
    return (slice_t){s.at, at};
}

size_t screen_width(slice_t s) {
    size_t used = 0;
    while (s.len) {
        uint32_t c = 0;
        size_t n = read_point(s, &c);
        used += n ? width_of(c) : 1;
        s.at += n ? n : 1;
        s.len -= n ? n : 1;
    }
    return used;
}
