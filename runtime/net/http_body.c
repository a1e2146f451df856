/* http_body: what stands behind a head: chunked bodies, decoded piece by piece with every line end
 * checked, and the percent-encoding of queries. Called by wire.c, the edge and the specs; any
 * thread. */
#include "base/err.h"
#include "base/text.h"
#include "net/http.h"

enum { SIZE_FIRST, SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, DONE };

#define LINE_MAX_BYTES    256  /* of a size line with its extensions */
#define TRAILER_MAX_BYTES 8192 /* of all trailers: read, never used */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_control(char c) {
    return (uint8_t)c < 0x20 ? c != '\t' : c == 0x7f;
}

static int size_byte(http_chunks_t *c, char ch) {
    int digit = hex_digit(ch);
    if (digit >= 0) {
        if (c->line > 12)
            return ERR_BAD_REQUEST;
        c->left = c->left * 16 + (uint64_t)digit;
        c->state = SIZE;
    } else if (c->state == SIZE && ch == '\r') {
        c->state = SIZE_LF;
    } else if (c->state == SIZE && ch == ';') {
        c->state = EXTENSION;
    } else {
        return ERR_BAD_REQUEST;
    }
    return 0;
}

/* A trailer line: `line` counts all trailer bytes; `left` those of this line, so that an empty one
 * is seen. */
static int trailer_byte(http_chunks_t *c, char ch) {
    if (ch == '\r') {
        c->state = TRAILER_LF;
        return 0;
    }
    c->left++;
    return is_control(ch) || c->line > TRAILER_MAX_BYTES ? ERR_BAD_REQUEST : 0;
}

static int line_feed(http_chunks_t *c, char ch) {
    if (ch != '\n')
        return ERR_BAD_REQUEST;
    if (c->state == SIZE_LF) {
        c->state = c->left ? DATA : TRAILER;
    } else if (c->state == DATA_LF) {
        c->state = SIZE_FIRST;
    } else {
        c->state = c->left ? TRAILER : DONE;
        c->left = 0;
        return 0;
    }
    c->line = 0;
    return 0;
}

static int chunk_byte(http_chunks_t *c, char ch) {
    c->line++;
    switch (c->state) {
    case SIZE_FIRST:
    case SIZE:
        return size_byte(c, ch);
    case EXTENSION:
        if (ch == '\r')
            c->state = SIZE_LF;
        else if (is_control(ch) || c->line > LINE_MAX_BYTES)
            return ERR_BAD_REQUEST;
        return 0;
    case DATA_CR:
        c->state = DATA_LF;
        return ch == '\r' ? 0 : ERR_BAD_REQUEST;
    case TRAILER:
        return trailer_byte(c, ch);
    default:
        return line_feed(c, ch);
    }
}

int http_chunks_next(http_chunks_t *c, const char *at, size_t len, size_t *used, slice_t *body) {
    size_t i = 0;
    *body = (slice_t){at, 0};
    int err = 0;
    while (i < len && c->state != DONE && !err) {
        if (c->state == DATA) {
            size_t n = len - i < c->left ? len - i : (size_t)c->left;
            *body = (slice_t){at + i, n};
            c->left -= n;
            i += n;
            if (c->left == 0)
                c->state = DATA_CR;
            break;
        }
        err = chunk_byte(c, at[i++]);
    }
    *used = i;
    return err ? err : c->state == DONE;
}

/* Nothing to decode and nothing forbidden. */
static bool is_plain(slice_t s, bool plus) {
    return s.len == 0 || (!memchr(s.at, '%', s.len) && !memchr(s.at, 0, s.len) &&
                          !(plus && memchr(s.at, '+', s.len)));
}

static int decode(slice_t s, bool plus, char *room, size_t size, slice_t *out) {
    size_t n = 0;
    if (is_plain(s, plus)) { /* nearly all: a token is long */
        if (s.len > size)
            return ERR_BAD_REQUEST;
        if (s.len)
            memcpy(room, s.at, s.len);
        *out = (slice_t){room, s.len};
        return text_utf8_valid(room, s.len) ? ERR_OK : ERR_BAD_REQUEST;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_digit(s.at[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_digit(s.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return ERR_BAD_REQUEST;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (c == 0 || n == size)
            return ERR_BAD_REQUEST;
        room[n++] = c;
    }
    *out = (slice_t){room, n};
    return text_utf8_valid(room, n) ? ERR_OK : ERR_BAD_REQUEST;
}

int http_percent_decode(slice_t s, char *room, size_t size, slice_t *out) {
    return decode(s, false, room, size, out);
}

int http_query_each(slice_t query, char *room, size_t size,
                    int (*visit)(void *arg, slice_t name, slice_t value), void *arg) {
    while (query.len) {
        const char *end = memchr(query.at, '&', query.len);
        size_t n = end ? (size_t)(end - query.at) : query.len;
        const char *equal = memchr(query.at, '=', n);
        slice_t name = {query.at, equal ? (size_t)(equal - query.at) : n}, value = {NULL, 0};
        if (equal)
            value = (slice_t){equal + 1, n - name.len - 1};
        if (n) {
            int err = decode(name, true, room, size, &name);
            if (!err)
                err = decode(value, true, room + name.len, size - name.len, &value);
            if (!err)
                err = visit(arg, name, value);
            if (err)
                return err;
        }
        n += end != NULL;
        query = (slice_t){query.at + n, query.len - n};
    }
    return ERR_OK;
}
