/* text: see text.h. Pure functions, any thread. */
#include "base/text.h"

#define HIGH_BITS 0x8080808080808080u

/* What a lead byte asks for: how many bytes follow, and the bounds of the first of them (the
 * rest: 80..BF). The bounds are what excludes overlong forms, surrogates and everything above
 * U+10FFFF. state = follow | lo<<8 | hi<<16. */
static uint32_t lead(uint8_t c) {
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c < 0xe0)
        return 1 | 0x80u << 8 | 0xbfu << 16;
    if (c < 0xf0)
        return 2 | (c == 0xe0 ? 0xa0u : 0x80u) << 8 | (c == 0xed ? 0x9fu : 0xbfu) << 16;
    return 3 | (c == 0xf0 ? 0x90u : 0x80u) << 8 | (c == 0xf4 ? 0x8fu : 0xbfu) << 16;
}

bool text_utf8_more(uint32_t *state, const char *at, size_t len) {
    const uint8_t *p = (const uint8_t *)at, *end = p + len;
    uint32_t s = *state;
    while (p < end) {
        if (s == 0) {
            uint64_t eight;
            while (end - p >= 8 && (memcpy(&eight, p, 8), (eight & HIGH_BITS) == 0))
                p += 8;
            if (p == end)
                break;
            uint8_t c = *p++;
            if (c >= 0x80 && (s = lead(c)) == 0)
                return false;
            continue;
        }
        uint8_t c = *p++;
        if (c < (s >> 8 & 0xff) || c > (s >> 16 & 0xff))
            return false;
        s = (s & 0xff) == 1 ? 0 : ((s & 0xff) - 1) | 0x80u << 8 | 0xbfu << 16;
    }
    *state = s;
    return true;
}

/* A short ASCII text, the commonest, is told by its words and its last eight bytes. */
bool text_utf8_valid(const char *at, size_t len) {
    uint32_t state = 0;
    if (len >= 8 && len <= 64) {
        uint64_t all, eight;
        memcpy(&all, at + len - 8, 8);
        for (size_t i = 0; i + 8 < len; i += 8) {
            memcpy(&eight, at + i, 8);
            all |= eight;
        }
        if ((all & HIGH_BITS) == 0)
            return true;
    }
    return text_utf8_more(&state, at, len) && state == 0;
}

size_t text_utf8_count(slice_t s) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((uint8_t)s.at[i] & 0xc0) != 0x80;
    return n;
}

bool text_is_plain(slice_t s) {
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.at[i] < 0x20 || s.at[i] == 0x7f)
            return false;
    return true;
}

bool text_to_int(slice_t s, int64_t *out) {
    if (s.len == 0)
        return false;
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        n = n * 10 + (s.at[i] - '0');
        if (n >= (int64_t)1 << 53)
            return false;
    }
    *out = n;
    return true;
}

static const char sextets[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void text_base64url_add(buf_t *b, const void *at, size_t len) {
    const uint8_t *p = at;
    char *out = buf_room(b, len / 3 * 4 + 4), *start = out;
    for (; len >= 3; len -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = sextets[v >> shift & 63];
    }
    if (len) {
        uint32_t v = (uint32_t)p[0] << 16 | (len == 2 ? (uint32_t)p[1] << 8 : 0);
        *out++ = sextets[v >> 18];
        *out++ = sextets[v >> 12 & 63];
        if (len == 2)
            *out++ = sextets[v >> 6 & 63];
    }
    b->len += (uint32_t)(out - start);
}

/* Its place in `sextets` plus one; 0: none of them. */
static const uint8_t sextet_of[256] = {
    ['A'] = 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,         12,         13,
    14,         15, 16, 17, 18, 19, 20, 21, 22, 23, 24,         25,         26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37,         38,         39,
    40,         41, 42, 43, 44, 45, 46, 47, 48, 49, 50,         51,         52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['-'] = 63, ['_'] = 64,
};

static int sextet(char c) {
    return sextet_of[(uint8_t)c] - 1;
}

/* Bits left over at the end must be zero: otherwise two texts would mean the same bytes, and a
 * token could be altered without losing its signature. */
int text_base64url_decode(slice_t s, void *out, size_t room) {
    uint8_t *p = out;
    size_t need = s.len / 4 * 3 + (s.len % 4 ? s.len % 4 - 1 : 0);
    if (s.len % 4 == 1 || need > room || need > INT32_MAX)
        return -1;
    uint32_t v = 0, bits = 0;
    size_t i = 0;
    for (; i + 4 <= s.len; i += 4) {
        int a = sextet(s.at[i]), b = sextet(s.at[i + 1]), c = sextet(s.at[i + 2]),
            d = sextet(s.at[i + 3]);
        if ((a | b | c | d) < 0)
            return -1;
        uint32_t four = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | (uint32_t)d;
        *p++ = (uint8_t)(four >> 16);
        *p++ = (uint8_t)(four >> 8);
        *p++ = (uint8_t)four;
    }
    for (; i < s.len; i++) {
        int six = sextet(s.at[i]);
        if (six < 0)
            return -1;
        v = v << 6 | (uint32_t)six;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *p++ = (uint8_t)(v >> bits);
        }
    }
    return v & ((1u << bits) - 1) ? -1 : (int)need;
}

void text_hex_add(buf_t *b, const void *at, size_t len) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = at;
    char *out = buf_room(b, len * 2);
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    b->len += (uint32_t)(len * 2);
}
