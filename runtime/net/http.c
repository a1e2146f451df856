/* http: the strict HTTP/1.1 head parser. One look finds the empty line, one walk cuts the head into
 * slices, one look at the framing headers decides where the body ends. Whatever two parsers could
 * read in two ways (smuggling) is an error, after which the connection closes. Called by wire.c,
 * wsbench and the specs; any thread. */
#include "net/http.h"
#include "base/err.h"
#include <strings.h>

enum { TOKEN = 1, TARGET = 2, VALUE = 4, HOST = 8 };

/* Which bytes may stand in a token, a request target, a field value, a Host value. */
static uint8_t char_class(uint8_t c) {
    uint8_t k = 0;
    bool alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    if (alnum || (c && strchr("!#$%&'*+-.^_`|~", c)))
        k |= TOKEN;
    if (c > 0x20 && c < 0x7f && c != '#')
        k |= TARGET;
    if ((c >= 0x20 && c != 0x7f) || c == '\t')
        k |= VALUE;
    if (alnum || (c && strchr("-._~:[]%!$&'()*+;=", c)))
        k |= HOST;
    return k;
}

static uint8_t table[256];

__attribute__((constructor)) static void fill_table(void) {
    for (int c = 0; c < 256; c++)
        table[c] = char_class((uint8_t)c);
}

/* How many bytes from the start of s are of this class. */
static size_t span(slice_t s, uint8_t class) {
    size_t n = 0;
    while (n < s.len && (table[(uint8_t)s.at[n]] & class))
        n++;
    return n;
}

static bool same_word(slice_t s, const char *lower) {
    return s.len == strlen(lower) && strncasecmp(s.at, lower, s.len) == 0;
}

static slice_t trim(slice_t s) {
    while (s.len && (*s.at == ' ' || *s.at == '\t'))
        s.at++, s.len--;
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Does a comma list hold this word? */
static bool list_has(slice_t list, const char *lower) {
    while (list.len) {
        const char *comma = memchr(list.at, ',', list.len);
        size_t n = comma ? (size_t)(comma - list.at) : list.len;
        if (same_word(trim((slice_t){list.at, n}), lower))
            return true;
        n += comma != NULL;
        list = (slice_t){list.at + n, list.len - n};
    }
    return false;
}

static bool any_has(const http_request_t *r, const char *name, const char *word) {
    for (uint32_t i = 0; i < r->header_count; i++)
        if (same_word(r->headers[i].name, name) && list_has(r->headers[i].value, word))
            return true;
    return false;
}

slice_t http_header(const http_request_t *r, const char *lower_name) {
    for (uint32_t i = 0; i < r->header_count; i++)
        if (same_word(r->headers[i].name, lower_name))
            return r->headers[i].value;
    return (slice_t){NULL, 0};
}

uint32_t http_header_count(const http_request_t *r, const char *lower_name) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->header_count; i++)
        n += same_word(r->headers[i].name, lower_name);
    return n;
}

/* An unfinished head that is over a limit already, or that can never become one, need not be waited
 * for. */
static int check_unfinished(const char *at, size_t len) {
    if (len && *at != '\r' && !(table[(uint8_t)*at] & TOKEN))
        return ERR_BAD_REQUEST;
    if (len <= HTTP_LINE_MAX)
        return 0;
    size_t skip = *at == '\r' ? 2 : 0;
    size_t look = len - skip;
    const char *lf = memchr(at + skip, '\n', look);
    size_t line = lf ? (size_t)(lf - at) - skip : look;
    if (line > HTTP_LINE_MAX + 1)
        return ERR_URI_TOO_LONG;
    size_t rest = lf ? len - (size_t)(lf + 1 - at) : 0;
    return rest > HTTP_HEAD_MAX + 2 * (HTTP_MAX_HEADERS + 1) ? ERR_HEADERS_TOO_LARGE : 0;
}

/* Looks for the empty line from *seen on. >0: the head's length; 0: not there yet; <0: a line feed
 * alone. */
static int find_end(const char *at, size_t len, size_t *seen) {
    size_t i = *seen;
    const char *lf;
    while (i < len && (lf = memchr(at + i, '\n', len - i))) {
        size_t p = (size_t)(lf - at);
        if (p == 0 || at[p - 1] != '\r')
            return ERR_BAD_REQUEST;
        i = p + 1;
        if (p >= 3 && at[p - 2] == '\n')
            return (int)i;
        if (i > HTTP_LINE_MAX + HTTP_HEAD_MAX + 4096)
            break;
    }
    *seen = len;
    return check_unfinished(at, len);
}

static http_method_t method_of(slice_t s) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    for (int i = 0; i < HTTP_OTHER; i++)
        if (slice_eq(s, slice_of(names[i])))
            return (http_method_t)i;
    return HTTP_OTHER;
}

/* Origin form, or the absolute form that every server must take, or * of OPTIONS. Cuts path and
 * query. */
static int parse_target(http_request_t *r) {
    slice_t t = r->target;
    if (t.len > 7 && strncasecmp(t.at, "http://", 7) == 0) {
        size_t host = 7 + span((slice_t){t.at + 7, t.len - 7}, HOST);
        if (host == 7 || (host < t.len && t.at[host] != '/' && t.at[host] != '?'))
            return ERR_BAD_REQUEST;
        t = (slice_t){t.at + host, t.len - host};
        if (t.len == 0 || *t.at == '?') {
            r->path = SLICE("/");
            r->query = t.len ? (slice_t){t.at + 1, t.len - 1} : (slice_t){NULL, 0};
            return 0;
        }
    }
    bool star = t.len == 1 && *t.at == '*' && r->method == HTTP_OPTIONS;
    if (!star && (t.len == 0 || *t.at != '/'))
        return ERR_BAD_REQUEST;
    const char *mark = memchr(t.at, '?', t.len);
    size_t n = mark ? (size_t)(mark - t.at) : t.len;
    r->path = (slice_t){t.at, n};
    r->query = mark ? (slice_t){mark + 1, t.len - n - 1} : (slice_t){NULL, 0};
    return 0;
}

/* The request line without its line end. *old: it is HTTP/1.0. */
static int parse_line(slice_t line, http_request_t *r, bool *old) {
    if (line.len > HTTP_LINE_MAX)
        return ERR_URI_TOO_LONG;
    size_t n = span(line, TOKEN);
    if (n == 0 || n >= line.len || line.at[n] != ' ')
        return ERR_BAD_REQUEST;
    r->method_text = (slice_t){line.at, n};
    r->method = method_of(r->method_text);
    line = (slice_t){line.at + n + 1, line.len - n - 1};
    n = span(line, TARGET);
    if (n == 0 || n >= line.len || line.at[n] != ' ')
        return ERR_BAD_REQUEST;
    r->target = (slice_t){line.at, n};
    line = (slice_t){line.at + n + 1, line.len - n - 1};
    *old = slice_eq(line, SLICE("HTTP/1.0"));
    if (!*old && !slice_eq(line, SLICE("HTTP/1.1")))
        return ERR_BAD_REQUEST;
    return parse_target(r);
}

static int parse_header(slice_t line, http_request_t *r) {
    size_t n = span(line, TOKEN);
    if (n == 0 || n >= line.len || line.at[n] != ':')
        return ERR_BAD_REQUEST; /* a blank before the colon, a folded line, no name */
    slice_t value = {line.at + n + 1, line.len - n - 1};
    if (span(value, VALUE) != value.len)
        return ERR_BAD_REQUEST;
    if (r->header_count == HTTP_MAX_HEADERS)
        return ERR_HEADERS_TOO_LARGE;
    r->headers[r->header_count++] = (http_header_t){{line.at, n}, trim(value)};
    return 0;
}

static int parse_length(slice_t s, int64_t *out) {
    int64_t n = 0;
    if (s.len == 0 || s.len > 15)
        return ERR_BAD_REQUEST;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return ERR_BAD_REQUEST;
        n = n * 10 + (s.at[i] - '0');
    }
    *out = n;
    return 0;
}

/* Where the body ends: one length or one "chunked", never both, never twice, never anything else.
 */
static int parse_framing(http_request_t *r, bool old) {
    uint32_t lengths = http_header_count(r, "content-length");
    uint32_t codings = http_header_count(r, "transfer-encoding");
    if (lengths + codings > 1 || (codings && old))
        return ERR_BAD_REQUEST;
    r->content_length = -1;
    if (codings) {
        if (!same_word(http_header(r, "transfer-encoding"), "chunked"))
            return ERR_BAD_REQUEST;
        r->chunked = true;
    }
    return lengths ? parse_length(http_header(r, "content-length"), &r->content_length) : 0;
}

static int parse_meaning(http_request_t *r, bool old) {
    uint32_t hosts = http_header_count(r, "host");
    slice_t host = http_header(r, "host");
    if (hosts > 1 || (hosts == 0 && !old) || span(host, HOST) != host.len)
        return ERR_BAD_REQUEST;
    int err = parse_framing(r, old);
    if (err)
        return err;
    slice_t expect = http_header(r, "expect");
    if (expect.at && !old) {
        if (!same_word(expect, "100-continue"))
            return ERR_BAD_REQUEST;
        r->expect_continue = true;
    }
    r->keep_alive = !old && !any_has(r, "connection", "close");
    r->upgrade_websocket =
        !old && any_has(r, "connection", "upgrade") && any_has(r, "upgrade", "websocket");
    return 0;
}

int http_parse_head(const char *at, size_t len, size_t *seen, http_request_t *out) {
    int size = find_end(at, len, seen);
    if (size <= 0)
        return size;
    size_t start = at[0] == '\r' ? 2 : 0; /* one empty line before a request is forgiven */
    size_t end = (size_t)size - 2, bytes = 0;
    bool first = true, old = false;
    out->header_count = 0;
    out->chunked = out->expect_continue = false;
    while (start < end) {
        const char *lf = memchr(at + start, '\n', (size_t)size - start);
        slice_t line = {at + start, (size_t)(lf - at) - 1 - start};
        start += line.len + 2;
        bytes += first ? 0 : line.len;
        if (bytes > HTTP_HEAD_MAX)
            return ERR_HEADERS_TOO_LARGE;
        int err = first ? parse_line(line, out, &old) : parse_header(line, out);
        if (err)
            return err;
        first = false;
    }
    if (first)
        return ERR_BAD_REQUEST;
    int err = parse_meaning(out, old);
    return err ? err : size;
}
