/* conf_file: configuration files: the data part of Lua's syntax. Assignments of texts, numbers,
 * booleans and tables to keys, written http.listen = "..." or http = { listen = "..." }; comments.
 * No expressions, no names as values. Called at start by one thread; a file is untrusted enough to
 * be fuzzed. */
#include "base/buf.h"
#include "base/conf_table.h"
#include "base/err.h"
#include "base/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define FILE_MAX   (1024 * 1024)
#define PATH_ROOM  64 /* of a key; longer ones are unknown anyway */
#define TABLES_MAX 8

typedef struct reader {
    const char *p, *end, *name;
    uint32_t line;
    conf_t *conf;
    uint32_t *set_line; /* per key: where this file has set it, 0 = not yet */
    char *fault;
    size_t room;
    bool failed;
} reader_t;

static bool fail(reader_t *r, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "file:line: key: what is wrong". The first fault counts: what fails after it is its consequence.
 */
static bool fail(reader_t *r, const char *key, const char *format, ...) {
    char what[CONF_WHY];
    va_list args;
    if (r->failed)
        return false;
    r->failed = true;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(r->fault, r->room, "%s:%u: %s%s%s", r->name, r->line, key, *key ? ": " : "", what);
    return false;
}

static bool at_text(const reader_t *r, const char *text) {
    size_t len = strlen(text);
    return (size_t)(r->end - r->p) >= len && memcmp(r->p, text, len) == 0;
}

static void next(reader_t *r) {
    r->line += *r->p++ == '\n';
}

/* Is there a long bracket, [[ or [=[, at p? Its level, else -1. */
static int long_level(const reader_t *r) {
    const char *p = r->p;
    if (p == r->end || *p != '[')
        return -1;
    int level = 0;
    for (p++; p < r->end && *p == '='; p++)
        level++;
    return p < r->end && *p == '[' && level < 100 ? level : -1;
}

/* At a long bracket: its text. */
static bool long_bracket(reader_t *r, const char *key, slice_t *out) {
    int level = long_level(r);
    char close[104];
    memset(close, '=', sizeof close);
    close[0] = close[level + 1] = ']';
    close[level + 2] = 0;
    r->p += level + 2;
    if (r->p < r->end && *r->p == '\n')
        next(r); /* Lua drops a newline right after the bracket */
    const char *start = r->p;
    while (r->p < r->end && !at_text(r, close))
        next(r);
    if (r->p == r->end)
        return fail(r, key, "%s is missing", close);
    *out = (slice_t){start, (size_t)(r->p - start)};
    r->p += level + 2;
    return true;
}

/* Skips blanks and comments. */
static bool blank(reader_t *r) {
    slice_t unused;
    for (;;) {
        while (r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p)
            next(r);
        if (!at_text(r, "--"))
            return true;
        r->p += 2;
        if (long_level(r) >= 0) {
            if (!long_bracket(r, "comment", &unused))
                return false;
            continue;
        }
        while (r->p < r->end && *r->p != '\n')
            r->p++;
    }
}

/* The character after blanks, 0 at the end or after a fault in a comment (the fault is kept). */
static char peek(reader_t *r) {
    return blank(r) && r->p < r->end ? *r->p : 0;
}

static bool is_name(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static slice_t name(reader_t *r) {
    const char *start = r->p;
    while (r->p < r->end && is_name(*r->p, r->p == start))
        r->p++;
    return (slice_t){start, (size_t)(r->p - start)};
}

/* path .. "." .. part */
static bool extend(reader_t *r, char path[PATH_ROOM], slice_t part) {
    size_t len = strlen(path);
    char safe[PATH_ROOM];
    log_safe(part, safe, sizeof safe);
    if (len + part.len + 2 > PATH_ROOM)
        return fail(r, path, "unknown key %s", safe);
    snprintf(path + len, PATH_ROOM - len, "%s%s", len ? "." : "", safe);
    return true;
}

/* --- values --- */

static int hex_digit(char c) {
    char low = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* \xXX or \ddd, p behind the backslash. */
static bool byte_escape(reader_t *r, int *out) {
    bool hex = *r->p == 'x';
    int base = hex ? 16 : 10, digits = 0, n = 0;
    for (r->p += hex; r->p < r->end && digits < (hex ? 2 : 3); r->p++, digits++) {
        int d = hex_digit(*r->p);
        if (d < 0 || d >= base)
            break;
        n = n * base + d;
    }
    *out = n;
    return digits > 0 && (!hex || digits == 2) && n < 256;
}

/* p behind the backslash. */
static bool escape(reader_t *r, const char *key, buf_t *out) {
    static const char from[] = "abfnrtv\\\"'", to[] = "\a\b\f\n\r\t\v\\\"'";
    int byte;
    char c = r->p < r->end ? *r->p : 0;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        buf_add_char(out, to[known - from]);
        r->p++;
    } else if ((c == 'x' || (c >= '0' && c <= '9')) && byte_escape(r, &byte)) {
        buf_add_char(out, (char)byte);
    } else {
        return fail(r, key, "unknown escape in a text");
    }
    return true;
}

static bool quoted(reader_t *r, const char *key, buf_t *out) {
    char quote = *r->p++;
    while (r->p < r->end && *r->p != quote) {
        if (*r->p == '\n')
            break;
        if (*r->p == '\\') {
            r->p++;
            if (!escape(r, key, out))
                return false;
            continue;
        }
        buf_add_char(out, *r->p++);
    }
    if (r->p == r->end || *r->p != quote)
        return fail(r, key, "the text has no end");
    r->p++;
    return true;
}

static bool text(reader_t *r, const char *key, buf_t *out) {
    slice_t s;
    if (*r->p == '"' || *r->p == '\'')
        return quoted(r, key, out);
    if (!long_bracket(r, key, &s))
        return false;
    buf_add_slice(out, s);
    return true;
}

static bool is_text(const reader_t *r) {
    return r->p < r->end && (*r->p == '"' || *r->p == '\'' || long_level(r) >= 0);
}

static bool is_group(const char *path) {
    size_t len = strlen(path);
    for (size_t i = 0; i < conf_table_count; i++)
        if (strncmp(conf_table[i].name, path, len) == 0 && conf_table[i].name[len] == '.')
            return true;
    return false;
}

static bool put(reader_t *r, const char *key, slice_t value, conf_form_t form) {
    int i = conf_find(key);
    if (i < 0)
        return fail(r, key, is_group(key) ? "is a group of keys, not one" : "unknown key");
    if (r->set_line[i])
        return fail(r, key, "is set twice, first in line %u", r->set_line[i]);
    r->set_line[i] = r->line;
    char origin[300], why[CONF_WHY];
    snprintf(origin, sizeof origin, "%s:%u", r->name, r->line);
    return conf_put(r->conf, i, value, form, origin, why) || fail(r, key, "%s", why);
}

/* A number or a word; both end where a name would. */
static bool bare(reader_t *r, const char *key) {
    const char *start = r->p;
    while (r->p < r->end && (is_name(*r->p, false) || strchr("+-.", *r->p)) && *r->p)
        r->p++;
    slice_t s = {start, (size_t)(r->p - start)};
    if (s.len && (*start == '-' || (*start >= '0' && *start <= '9')))
        return put(r, key, s, FORM_NUMBER);
    if (slice_eq(s, SLICE("true")) || slice_eq(s, SLICE("false")))
        return put(r, key, s, FORM_BOOL);
    return fail(r, key, s.len ? "no value; a text wants quotes" : "a value is missing");
}

/* Behind the {: texts, separated by commas or semicolons. */
static bool list(reader_t *r, const char *key, buf_t *out) {
    for (;;) {
        char c = peek(r);
        if (c == '}')
            break;
        if (!is_text(r))
            return fail(r, key, "must be a list of texts in quotes");
        if (out->len)
            buf_add_char(out, ',');
        uint32_t from = out->len;
        if (!text(r, key, out))
            return false;
        if (out->len == from || memchr(out->at + from, ',', out->len - from))
            return fail(r, key, "an element is empty or holds a comma");
        c = peek(r);
        if (c != ',' && c != ';' && c != '}')
            return fail(r, key, "a comma or } is missing");
        r->p += c != '}';
    }
    r->p++;
    return put(r, key, buf_slice(out), FORM_LIST);
}

static bool assignment(reader_t *r, const char *base, uint32_t tables);

/* Behind the {: assignments to keys below path. */
static bool table(reader_t *r, const char *path, uint32_t tables) {
    if (!is_group(path))
        return fail(r, path, conf_find(path) < 0 ? "unknown key" : "no table is allowed here");
    if (tables == TABLES_MAX)
        return fail(r, path, "tables are nested too deep");
    for (;;) {
        char c = peek(r);
        if (c == '}')
            break;
        if (!c)
            return fail(r, path, "} is missing");
        if (!assignment(r, path, tables))
            return false;
        c = peek(r);
        if (c != ',' && c != ';' && c != '}')
            return fail(r, path, "a comma or } is missing");
        r->p += c != '}';
    }
    r->p++;
    return true;
}

static bool value(reader_t *r, const char *key, uint32_t tables) {
    char c = peek(r);
    buf_t out = {0};
    bool ok;
    int i = conf_find(key);
    if (c == '{') {
        r->p++;
        ok = i >= 0 && conf_table[i].type == CONF_LIST ? list(r, key, &out)
                                                       : table(r, key, tables + 1);
    } else if (is_text(r)) {
        ok = text(r, key, &out) && put(r, key, buf_slice(&out), FORM_TEXT);
    } else {
        ok = bare(r, key);
    }
    buf_free(&out);
    return ok;
}

/* ["name"] in a table. */
static bool bracket_name(reader_t *r, char path[PATH_ROOM]) {
    buf_t part = {0};
    r->p++;
    peek(r);
    bool ok =
        is_text(r) && text(r, path, &part) && extend(r, path, buf_slice(&part)) && peek(r) == ']';
    buf_free(&part);
    if (!ok)
        return fail(r, path, "[\"name\"] expected");
    r->p++;
    return true;
}

static bool path_of(reader_t *r, char path[PATH_ROOM], bool in_table) {
    if (in_table && peek(r) == '[')
        return bracket_name(r, path);
    for (;;) {
        peek(r);
        slice_t part = name(r);
        if (part.len == 0)
            return fail(r, path, "a key is expected here");
        if (!extend(r, path, part))
            return false;
        if (peek(r) != '.')
            return true;
        r->p++;
    }
}

/* key = value */
static bool assignment(reader_t *r, const char *base, uint32_t tables) {
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s", base);
    if (!path_of(r, path, tables > 0))
        return false;
    if (peek(r) != '=')
        return fail(r, path, "= is missing");
    r->p++;
    return value(r, path, tables);
}

static bool whole(reader_t *r) {
    if (at_text(r, "\xef\xbb\xbf"))
        r->p += 3;
    for (;;) {
        if (!blank(r))
            return false;
        if (r->p == r->end)
            return true;
        if (*r->p == ';')
            r->p++;
        else if (!assignment(r, "", 0))
            return false;
    }
}

int conf_load_text(conf_t *c, const char *file, slice_t bytes, char *fault, size_t room) {
    conf_t *next_conf = conf_copy(c);
    uint32_t *set_line = calloc(conf_table_count, sizeof *set_line);
    if (!set_line)
        log_die("conf", "out of memory");
    const char *at = bytes.len ? bytes.at : "";
    reader_t r = {at, at + bytes.len, file, 1, next_conf, set_line, fault, room, false};
    bool ok = whole(&r);
    free(set_line);
    if (!ok) {
        conf_free(next_conf);
        return ERR_BAD_REQUEST;
    }
    conf_adopt(c, next_conf);
    return ERR_OK;
}

int conf_load_file(conf_t *c, const char *path, char *fault, size_t room) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        snprintf(fault, room, "%s:0: cannot be read: %s", path, strerror(errno));
        return ERR_BAD_REQUEST;
    }
    buf_t b = {0};
    size_t n;
    while (b.len <= FILE_MAX && (n = fread(buf_room(&b, 4096), 1, 4096, f)) > 0)
        b.len += (uint32_t)n;
    int err = ERR_BAD_REQUEST;
    if (ferror(f))
        snprintf(fault, room, "%s:0: cannot be read: %s", path, strerror(errno));
    else if (b.len > FILE_MAX)
        snprintf(fault, room, "%s:0: larger than a megabyte", path);
    else
        err = conf_load_text(c, path, buf_slice(&b), fault, room);
    fclose(f);
    buf_free(&b);
    return err;
}
