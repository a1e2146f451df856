/* s3_xml: see s3_xml.h. One pass over the text, no recursion. */
#include "port/s3_xml.h"
#include "base/err.h"
#include "base/text.h"

typedef struct reader {
    const char *at, *end;
    s3_xml_t now;
    slice_t names[S3_XML_DEPTH]; /* of now.path, as they are written */
    bool has_children;           /* of the innermost open element */
    buf_t text;                  /* of it, so far */
    void (*visit)(void *arg, const s3_xml_t *at);
    void *arg;
} reader_t;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(reader_t *r) {
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
}

static bool take(reader_t *r, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    return true;
}

static bool is_name(char c, bool first) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':'));
}

static bool read_name(reader_t *r, slice_t *out) {
    const char *start = r->at;
    while (r->at < r->end && is_name(*r->at, r->at == start))
        r->at++;
    *out = (slice_t){start, (size_t)(r->at - start)};
    return out->len > 0 && start[out->len - 1] != ':';
}

static slice_t without_prefix(slice_t name) {
    const char *colon = memrchr(name.at, ':', name.len);
    return colon ? (slice_t){colon + 1, name.len - (size_t)(colon + 1 - name.at)} : name;
}

/* --- text --- */

static void add_code_point(buf_t *out, uint32_t c) {
    if (c < 0x80) {
        buf_add_char(out, (char)c);
        return;
    }
    int follow = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_add_char(out, (char)(lead[follow] | c >> 6 * follow));
    while (follow--)
        buf_add_char(out, (char)(0x80 | (c >> 6 * follow & 0x3f)));
}

/* Behind "&#". */
static bool numeric(reader_t *r) {
    bool hex = take(r, "x");
    uint32_t c = 0, base = hex ? 16 : 10;
    const char *start = r->at;
    for (; r->at < r->end && *r->at != ';'; r->at++) {
        char low = (char)(*r->at | 0x20);
        uint32_t d = *r->at >= '0' && *r->at <= '9'    ? (uint32_t)(*r->at - '0')
                     : hex && low >= 'a' && low <= 'f' ? (uint32_t)(low - 'a' + 10)
                                                       : 99;
        if (d >= base || (c = c * base + d) > 0x10ffff)
            return false;
    }
    bool control = c < 0x20 && c != '\t' && c != '\n' && c != '\r';
    if (r->at == start || !take(r, ";") || control || (c >= 0xd800 && c < 0xe000))
        return false;
    add_code_point(&r->text, c);
    return true;
}

/* At '&'. */
static bool entity(reader_t *r) {
    static const struct {
        const char *name;
        char c;
    } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (take(r, known[i].name)) {
            buf_add_char(&r->text, known[i].c);
            return true;
        }
    return take(r, "&#") && numeric(r);
}

/* Up to the next '<'. */
static bool read_text(reader_t *r) {
    while (r->at < r->end && *r->at != '<') {
        const char *start = r->at;
        while (r->at < r->end && *r->at != '<' && *r->at != '&' && *r->at)
            r->at++;
        buf_add(&r->text, start, (size_t)(r->at - start));
        if (r->at < r->end && *r->at != '<' && !entity(r))
            return false;
    }
    return true;
}

static bool only_blanks(slice_t s) {
    for (size_t i = 0; i < s.len; i++)
        if (!is_blank(s.at[i]))
            return false;
    return true;
}

/* --- elements --- */

static bool attribute(reader_t *r) {
    slice_t name;
    if (!read_name(r, &name))
        return false;
    skip_blanks(r);
    if (!take(r, "="))
        return false;
    skip_blanks(r);
    char quote = r->at < r->end ? *r->at++ : 0;
    if (quote != '"' && quote != '\'')
        return false;
    while (r->at < r->end && *r->at != quote && *r->at != '<')
        r->at++;
    return r->at < r->end && *r->at++ == quote;
}

/* From behind the name to the '>'. */
static bool attributes(reader_t *r, bool *closed) {
    for (;;) {
        bool blank = r->at < r->end && is_blank(*r->at);
        skip_blanks(r);
        if ((*closed = take(r, "/>")) || take(r, ">"))
            return true;
        if (!blank || !attribute(r))
            return false;
    }
}

static void close_element(reader_t *r) {
    r->now.text = r->has_children || !r->text.len ? SLICE("") : buf_slice(&r->text);
    r->visit(r->arg, &r->now);
    r->now.depth--;
    r->has_children = true; /* of its parent */
    r->text.len = 0;
}

/* Behind '<'. */
static bool open_element(reader_t *r) {
    slice_t name;
    bool closed;
    if (r->now.depth == S3_XML_DEPTH || !only_blanks(buf_slice(&r->text)) || !read_name(r, &name) ||
        !attributes(r, &closed))
        return false;
    r->names[r->now.depth] = name;
    r->now.path[r->now.depth++] = without_prefix(name);
    r->has_children = false;
    r->text.len = 0;
    if (closed)
        close_element(r);
    return true;
}

/* Behind "</". */
static bool end_element(reader_t *r) {
    slice_t name;
    if (!read_name(r, &name))
        return false;
    skip_blanks(r);
    if (!take(r, ">") || !slice_eq(name, r->names[r->now.depth - 1]) ||
        (r->has_children && !only_blanks(buf_slice(&r->text))))
        return false;
    close_element(r);
    return true;
}

/* <?xml version="1.0" encoding="UTF-8"?>: S3 sends blanks before and after it while a long call
 * runs. */
static bool declaration(reader_t *r) {
    skip_blanks(r);
    if (take(r, "<?xml ")) {
        const char *stop = memmem(r->at, (size_t)(r->end - r->at), "?>", 2);
        if (!stop || memchr(r->at, '<', (size_t)(stop - r->at)))
            return false;
        r->at = stop + 2;
    }
    skip_blanks(r);
    return true;
}

static bool document(reader_t *r) {
    if (!declaration(r) || !take(r, "<") || !open_element(r))
        return false;
    while (r->now.depth > 0)
        if (!read_text(r) || !(take(r, "</") ? end_element(r) : take(r, "<") && open_element(r)))
            return false;
    skip_blanks(r);
    return r->at == r->end;
}

int s3_xml_read(slice_t text, void (*visit)(void *arg, const s3_xml_t *at), void *arg) {
    if (text.len == 0 || !text_utf8_valid(text.at, text.len))
        return ERR_BAD_REQUEST;
    reader_t r = {.at = text.at, .end = text.at + text.len, .visit = visit, .arg = arg};
    bool ok = document(&r);
    buf_free(&r.text);
    return ok ? ERR_OK : ERR_BAD_REQUEST;
}

bool s3_xml_is(const s3_xml_t *at, const char *path) {
    for (size_t i = 0; i < at->depth; i++) {
        size_t len = at->path[i].len;
        if (strncmp(path, at->path[i].at, len) != 0 || path[len] != (i + 1 < at->depth ? '/' : 0))
            return false;
        path += len + 1;
    }
    return at->depth > 0;
}
