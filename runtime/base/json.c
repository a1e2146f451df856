/* json: the parser, see json.h. No recursion: open containers stand on a stack of JSON_DEPTH. Nodes
 * stand in one array in the order of the text, each with the index of its next sibling. The bytes
 * are checked to be UTF-8 once, in front; so the string scanner only looks for quotes, backslashes
 * and control characters. */
#include "base/json.h"
#include "base/err.h"
#include "base/json_plain.h"
#include "base/pool.h"
#include "base/text.h"
#include <math.h>
#include <stdlib.h>

#define NODES_MIN  64u
#define NODES_KEEP 4096u /* a document that had to grow beyond this shrinks at its next parse */
#define TEXT_MAX   (1u << 30) /* places are 32 bits; every caller's limit is far below */

typedef struct node {
    uint8_t type;
    bool digits; /* INT: written as digits only */
    uint32_t key_at, key_len;
    json_at_t next;
    uint32_t at, len; /* STRING: place in the text; ARRAY, OBJECT: len = number of children */
    union {
        int64_t integer;
        double real;
    };
} node_t;

struct json_doc {
    node_t *nodes; /* [0] is none */
    uint32_t count, cap;
    bool own; /* may be JSON_DEPTH_OWN deep */
    char *text;
};

typedef struct parser {
    json_doc_t *doc;
    char *p, *end;
    uint32_t depth;
    json_at_t open[JSON_DEPTH_OWN],
        last[JSON_DEPTH_OWN]; /* container, its newest child (0: none yet) */
    uint32_t key_at, key_len; /* of the member that comes next */
} parser_t;

json_doc_t *json_doc_new(void) {
    return pool_zalloc(sizeof(json_doc_t));
}

void json_doc_own(json_doc_t *doc) {
    doc->own = true;
}

static void release(json_doc_t *doc) {
    pool_free(doc->nodes, doc->cap * sizeof(node_t));
    doc->nodes = NULL;
    doc->cap = 0;
}

void json_doc_free(json_doc_t *doc) {
    if (!doc)
        return;
    release(doc);
    pool_free(doc, sizeof *doc);
}

static void grow(json_doc_t *doc) {
    uint32_t cap = doc->cap ? doc->cap * 2 : NODES_MIN;
    node_t *nodes = pool_alloc(cap * sizeof *nodes);
    if (doc->count)
        memcpy(nodes, doc->nodes, doc->count * sizeof *nodes);
    pool_free(doc->nodes, doc->cap * sizeof *nodes);
    doc->nodes = nodes;
    doc->cap = cap;
}

/* A node at the end of the array, hung behind its container's newest child. */
static node_t *add_node(parser_t *s, json_type_t type) {
    json_doc_t *doc = s->doc;
    if (doc->count == doc->cap)
        grow(doc);
    json_at_t at = doc->count++;
    node_t *n = &doc->nodes[at];
    *n = (node_t){.type = (uint8_t)type, .key_at = s->key_at, .key_len = s->key_len};
    if (s->depth) {
        json_at_t *last = &s->last[s->depth - 1];
        if (*last)
            doc->nodes[*last].next = at;
        *last = at;
        doc->nodes[s->open[s->depth - 1]].len++;
    }
    return n;
}

/* What comes next behind blanks; most texts have none. 0: the end. */
static inline char peek(parser_t *s) {
    if (s->p < s->end && (uint8_t)*s->p > ' ')
        return *s->p;
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
    return s->p < s->end ? *s->p : 0; /* a NUL byte in the text fits nowhere either */
}

/* --- strings --- */

static int hex4(const char *p, const char *end) {
    if (end - p < 4)
        return -1;
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i], low = (char)(c | 0x20);
        int d = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static char *put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xe0 | c >> 12);
        } else {
            *out++ = (char)(0xf0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 63));
        }
        *out++ = (char)(0x80 | (c >> 6 & 63));
    }
    *out++ = (char)(0x80 | (c & 63));
    return out;
}

/* \uXXXX, s->p behind the u: a pair makes one code point; a lone half and U+0000 are refused. */
static char *unescape_unicode(parser_t *s, char *out) {
    int c = hex4(s->p, s->end);
    if (c <= 0 || (c >= 0xdc00 && c <= 0xdfff))
        return NULL;
    s->p += 4;
    if (c < 0xd800 || c > 0xdbff)
        return put_utf8(out, (uint32_t)c);
    if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
        return NULL;
    int low = hex4(s->p + 2, s->end);
    if (low < 0xdc00 || low > 0xdfff)
        return NULL;
    s->p += 6;
    return put_utf8(out, 0x10000 + ((uint32_t)(c - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
}

/* s->p at the backslash; writes at out, which is never ahead of s->p: an escape is longer than what
 * it stands for. */
static char *unescape(parser_t *s, char *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->end - s->p < 2)
        return NULL;
    char c = s->p[1];
    s->p += 2;
    if (c == 'u')
        return unescape_unicode(s, out);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return NULL;
    *out = to[known - from];
    return out + 1;
}

/* s->p behind the opening quote. */
static bool string(parser_t *s, uint32_t *at, uint32_t *len) {
    char *start = s->p,
         *out = NULL; /* out: where the next byte goes once something was unescaped */
    for (;;) {
        char *run = s->p;
        s->p += json_plain(run, s->end);
        if (s->p == s->end || (uint8_t)*s->p < 0x20)
            return false;
        size_t n = (size_t)(s->p - run);
        if (out && out != run)
            memmove(out, run, n);
        out = (out ? out : run) + n;
        if (*s->p == '"')
            break;
        if (!(out = unescape(s, out)))
            return false;
    }
    s->p++;
    *at = (uint32_t)(start - s->doc->text);
    *len = (uint32_t)(out - start);
    return true;
}

/* --- numbers --- */

static const char *skip_digits(const char *p, const char *end) {
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* strtod wants a terminator: it is lent the byte behind the number, which exists unless the text is
 * one number. */
static double to_real(char *at, char *behind, const char *end) {
    double v;
    if (behind < end) {
        char kept = *behind;
        *behind = 0;
        v = strtod(at, NULL);
        *behind = kept;
        return v;
    }
    size_t len = (size_t)(behind - at);
    char *copy = pool_alloc(len + 1);
    memcpy(copy, at, len);
    copy[len] = 0;
    v = strtod(copy, NULL);
    pool_free(copy, len + 1);
    return v;
}

/* Digits of at most 18 places fit without a check; longer ones become REAL unless they fit too. */
static bool to_integer(const char *p, const char *end, bool minus, int64_t *out) {
    uint64_t n = 0;
    if (end - p > 19)
        return false;
    for (; p < end; p++)
        n = n * 10 + (uint64_t)(*p - '0');
    if (n > (uint64_t)INT64_MAX)
        return false;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return !(minus && n == 0); /* -0 keeps its sign as a REAL */
}

static bool number(parser_t *s) {
    char *start = s->p;
    const char *p = start + (*start == '-'), *digits = p, *end = s->end;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1))
        return false;
    const char *whole = p;
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        if ((p = skip_digits(p, end)) == fraction)
            return false;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        const char *exponent = p;
        if ((p = skip_digits(p, end)) == exponent)
            return false;
    }
    s->p = start + (p - start);
    int64_t n;
    if (p == whole && to_integer(digits, p, *start == '-', &n)) {
        node_t *node = add_node(s, JSON_INT);
        node->integer = n;
        node->digits = *start != '-';
        return true;
    }
    double v = to_real(start, s->p, end);
    if (!isfinite(v))
        return false; /* 1e999 has no value here */
    add_node(s, JSON_REAL)->real = v;
    return true;
}

/* --- values --- */

static bool word(parser_t *s, const char *text, size_t len, json_type_t type) {
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, text, len) != 0)
        return false;
    s->p += len;
    add_node(s, type);
    return true;
}

static bool open_container(parser_t *s, json_type_t type) {
    if (s->depth == (s->doc->own ? JSON_DEPTH_OWN : JSON_DEPTH))
        return false;
    s->p++;
    node_t *n = add_node(s, type);
    s->open[s->depth] = (json_at_t)(n - s->doc->nodes);
    s->last[s->depth++] = 0;
    return true;
}

static bool value(parser_t *s) {
    uint32_t at, len;
    switch (peek(s)) {
    case '{':
        return open_container(s, JSON_OBJECT);
    case '[':
        return open_container(s, JSON_ARRAY);
    case '"':
        s->p++;
        if (!string(s, &at, &len))
            return false;
        node_t *n = add_node(s, JSON_STRING);
        n->at = at;
        n->len = len;
        return true;
    case 't':
        return word(s, "true", 4, JSON_TRUE);
    case 'f':
        return word(s, "false", 5, JSON_FALSE);
    case 'n':
        return word(s, "null", 4, JSON_NULL);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return number(s);
    default:
        return false;
    }
}

static bool key(parser_t *s) {
    if (peek(s) != '"')
        return false;
    s->p++;
    if (!string(s, &s->key_at, &s->key_len) || peek(s) != ':')
        return false;
    s->p++;
    return true;
}

/* Inside the innermost container: its end, or one more child. */
static bool step(parser_t *s) {
    const json_at_t at = s->open[s->depth - 1];
    bool object = s->doc->nodes[at].type == JSON_OBJECT, first = s->last[s->depth - 1] == 0;
    char c = peek(s);
    if (c == (object ? '}' : ']')) {
        s->p++;
        s->depth--;
        return true;
    }
    if (!first) {
        if (c != ',')
            return false;
        s->p++;
    }
    s->key_at = s->key_len = 0;
    return (!object || key(s)) && value(s);
}

static bool document(parser_t *s) {
    if (!value(s))
        return false;
    while (s->depth)
        if (!step(s))
            return false;
    peek(s);
    return s->p == s->end;
}

int json_parse(json_doc_t *doc, char *text, size_t len) {
    if (len && len <= TEXT_MAX && text_utf8_valid(text, len))
        return json_parse_utf8(doc, text, len);
    doc->count = 1;
    return ERR_BAD_REQUEST;
}

int json_parse_utf8(json_doc_t *doc, char *text, size_t len) {
    if (doc->cap > NODES_KEEP)
        release(doc);
    doc->count = 0;
    doc->text = text;
    if (!doc->nodes)
        grow(doc);
    doc->nodes[0] = (node_t){0};
    doc->count = 1;
    parser_t s; /* no initialiser: it would clear the whole stack of containers */
    s.doc = doc;
    s.p = text;
    s.end = len ? text + len : text;
    s.depth = s.key_at = s.key_len = 0;
    if (len && len <= TEXT_MAX && document(&s))
        return ERR_OK;
    doc->count = 1;
    return ERR_BAD_REQUEST;
}

/* --- reading --- */

static const node_t *node_of(const json_doc_t *doc, json_at_t at) {
    static const node_t none;
    return at && at < doc->count ? &doc->nodes[at] : &none;
}

json_type_t json_type(const json_doc_t *doc, json_at_t at) {
    return (json_type_t)node_of(doc, at)->type;
}

json_at_t json_get(const json_doc_t *doc, json_at_t object, const char *name) {
    if (json_type(doc, object) != JSON_OBJECT)
        return 0;
    size_t len = strlen(name);
    json_at_t found = 0;
    for (json_at_t at = json_first(doc, object); at; at = doc->nodes[at].next) {
        const node_t *n = &doc->nodes[at];
        if (n->key_len == len && memcmp(doc->text + n->key_at, name, len) == 0)
            found = at;
    }
    return found && doc->nodes[found].type != JSON_NULL ? found : 0;
}

json_at_t json_first(const json_doc_t *doc, json_at_t at) {
    return json_count(doc, at) ? at + 1 : 0;
}

json_at_t json_next(const json_doc_t *doc, json_at_t at) {
    return node_of(doc, at)->next;
}

slice_t json_key(const json_doc_t *doc, json_at_t at) {
    const node_t *n = node_of(doc, at);
    return (slice_t){n->key_len ? doc->text + n->key_at : "", n->key_len};
}

uint32_t json_count(const json_doc_t *doc, json_at_t at) {
    const node_t *n = node_of(doc, at);
    return n->type >= JSON_ARRAY ? n->len : 0;
}

bool json_int(const json_doc_t *doc, json_at_t at, int64_t *out) {
    const node_t *n = node_of(doc, at);
    if (n->type != JSON_INT || !n->digits || n->integer >= (int64_t)1 << 53)
        return false;
    *out = n->integer;
    return true;
}

bool json_int64(const json_doc_t *doc, json_at_t at, int64_t *out) {
    const node_t *n = node_of(doc, at);
    if (n->type != JSON_INT)
        return false;
    *out = n->integer;
    return true;
}

bool json_number(const json_doc_t *doc, json_at_t at, double *out) {
    const node_t *n = node_of(doc, at);
    if (n->type != JSON_INT && n->type != JSON_REAL)
        return false;
    *out = n->type == JSON_INT ? (double)n->integer : n->real;
    return true;
}

bool json_bool(const json_doc_t *doc, json_at_t at, bool *out) {
    json_type_t type = json_type(doc, at);
    if (type != JSON_TRUE && type != JSON_FALSE)
        return false;
    *out = type == JSON_TRUE;
    return true;
}

bool json_string(const json_doc_t *doc, json_at_t at, slice_t *out) {
    const node_t *n = node_of(doc, at);
    if (n->type != JSON_STRING)
        return false;
    *out = (slice_t){n->len ? doc->text + n->at : "", n->len};
    return true;
}
