/* pattern_compile: the text of a Lua pattern to nodes (pattern.h). */
#include "script/pattern.h"
#include <ctype.h>

typedef struct reader {
    const unsigned char *at, *end;
    const char *fault;
    pattern_t *p;
    uint8_t open[PATTERN_CAPTURES]; /* captures that are open, innermost last */
    uint32_t depth;
    uint32_t closed; /* a bit for each capture that may be asked for again */
} reader_t;

static void set_add(pattern_set_t *s, unsigned char c) {
    s->bits[c >> 6] |= 1ull << (c & 63);
}

static void set_invert(pattern_set_t *s) {
    for (int i = 0; i < 4; i++)
        s->bits[i] = ~s->bits[i];
}

static void set_unite(pattern_set_t *s, const pattern_set_t *other) {
    for (int i = 0; i < 4; i++)
        s->bits[i] |= other->bits[i];
}

static int never(int c) {
    (void)c;
    return 0;
}

static int (*class_test(int letter))(int) {
    switch (letter) {
    case 'a':
        return isalpha;
    case 'c':
        return iscntrl;
    case 'd':
        return isdigit;
    case 'g':
        return isgraph;
    case 'l':
        return islower;
    case 'p':
        return ispunct;
    case 's':
        return isspace;
    case 'u':
        return isupper;
    case 'w':
        return isalnum;
    case 'x':
        return isxdigit;
    default:
        return never;
    }
}

/* The sets of all class letters, made once before main: 256 calls for each %a would cost more than
 * most matches. */
static pattern_set_t classes[26];
__attribute__((constructor)) static void make_classes(void) {
    for (int letter = 'a'; letter <= 'z'; letter++)
        for (int c = 0; c < 256; c++)
            if (class_test(letter)(c))
                set_add(&classes[letter - 'a'], (unsigned char)c);
}

static bool is_class(unsigned char c) {
    return isalpha(c) && class_test(tolower(c)) != never;
}

/* %x: a class, or the byte itself. */
static void add_escaped(pattern_set_t *s, unsigned char c) {
    if (!is_class(c)) {
        set_add(s, c);
        return;
    }
    pattern_set_t k = classes[tolower(c) - 'a'];
    if (isupper(c))
        set_invert(&k);
    set_unite(s, &k);
}

static bool fault(reader_t *r, const char *text) {
    if (!r->fault)
        r->fault = text;
    return false;
}

static bool next_byte(reader_t *r, unsigned char *c) {
    if (r->at == r->end)
        return false;
    *c = *r->at++;
    return true;
}

/* One member of a set: an escape, a range or a byte c that is already read. */
static bool read_member(reader_t *r, pattern_set_t *s, unsigned char c) {
    if (c == '%') {
        if (!next_byte(r, &c))
            return fault(r, "malformed pattern (missing ']')");
        add_escaped(s, c);
        return true;
    }
    if (r->end - r->at >= 2 && r->at[0] == '-' && r->at[1] != ']') {
        for (int i = c; i <= r->at[1]; i++)
            set_add(s, (unsigned char)i);
        r->at += 2;
        return true;
    }
    set_add(s, c);
    return true;
}

/* Behind the [. A ] that comes first is a member. */
static bool read_set(reader_t *r, pattern_set_t *s) {
    bool negated = r->at < r->end && *r->at == '^';
    if (negated)
        r->at++;
    unsigned char c;
    for (bool first = true;; first = false) {
        if (!next_byte(r, &c))
            return fault(r, "malformed pattern (missing ']')");
        if (c == ']' && !first)
            break;
        if (!read_member(r, s, c))
            return false;
    }
    if (negated)
        set_invert(s);
    return true;
}

static pattern_node_t *add_node(reader_t *r, pattern_kind_t kind) {
    if (r->p->count >= PATTERN_NODES) {
        fault(r, "pattern too long");
        return NULL;
    }
    pattern_node_t *n = &r->p->nodes[r->p->count++];
    *n = (pattern_node_t){.kind = kind};
    return n;
}

static pattern_kind_t read_repeat(reader_t *r) {
    if (r->at == r->end)
        return PATTERN_ONE;
    switch (*r->at++) {
    case '?':
        return PATTERN_OPT;
    case '*':
        return PATTERN_MOST;
    case '+':
        return PATTERN_SOME;
    case '-':
        return PATTERN_LEAST;
    default:
        r->at--;
        return PATTERN_ONE;
    }
}

static bool open_capture(reader_t *r) {
    if (r->p->captures >= PATTERN_CAPTURES)
        return fault(r, "too many captures");
    bool place = r->at < r->end && *r->at == ')';
    pattern_node_t *n = add_node(r, place ? PATTERN_PLACE : PATTERN_OPEN);
    if (!n)
        return false;
    n->a = r->p->captures++;
    if (place)
        r->at++;
    else
        r->open[r->depth++] = n->a;
    return true;
}

static bool close_capture(reader_t *r) {
    if (r->depth == 0)
        return fault(r, "invalid pattern capture");
    pattern_node_t *n = add_node(r, PATTERN_CLOSE);
    if (!n)
        return false;
    n->a = r->open[--r->depth];
    r->closed |= 1u << n->a;
    return true;
}

static bool read_balanced(reader_t *r) {
    pattern_node_t *n = add_node(r, PATTERN_BALANCED);
    if (!n)
        return false;
    if (!next_byte(r, &n->a) || !next_byte(r, &n->b))
        return fault(r, "malformed pattern (missing arguments to '%b')");
    return true;
}

static bool read_frontier(reader_t *r) {
    unsigned char c;
    if (!next_byte(r, &c) || c != '[')
        return fault(r, "missing '[' after '%f' in pattern");
    pattern_node_t *n = add_node(r, PATTERN_FRONTIER);
    return n && read_set(r, &n->set);
}

static bool read_again(reader_t *r, unsigned char digit) {
    uint32_t index = (uint32_t)(digit - '1');
    if (digit == '0' || !(r->closed & (1u << index)))
        return fault(r, "invalid capture index in pattern");
    pattern_node_t *n = add_node(r, PATTERN_AGAIN);
    if (!n)
        return false;
    n->a = (uint8_t)index;
    return true;
}

/* An item that takes single bytes, with its repetition; c is read. */
static bool read_item(reader_t *r, unsigned char c, bool escaped) {
    pattern_node_t *n = add_node(r, PATTERN_ONE);
    if (!n)
        return false;
    if (escaped)
        add_escaped(&n->set, c);
    else if (c == '.')
        set_invert(&n->set);
    else if (c != '[')
        set_add(&n->set, c);
    else if (!read_set(r, &n->set))
        return false;
    n->kind = read_repeat(r);
    return true;
}

static bool read_escape(reader_t *r) {
    unsigned char c;
    if (!next_byte(r, &c))
        return fault(r, "malformed pattern (ends with '%')");
    if (c == 'b')
        return read_balanced(r);
    if (c == 'f')
        return read_frontier(r);
    return isdigit(c) ? read_again(r, c) : read_item(r, c, true);
}

static bool read_one(reader_t *r) {
    unsigned char c = *r->at++;
    switch (c) {
    case '(':
        return open_capture(r);
    case ')':
        return close_capture(r);
    case '%':
        return read_escape(r);
    case '$':
        if (r->at == r->end)
            return add_node(r, PATTERN_AT_END) != NULL;
        return read_item(r, c, false);
    default:
        return read_item(r, c, false);
    }
}

const char *pattern_compile(pattern_t *p, slice_t text, bool caret) {
    reader_t r = {.at = (const unsigned char *)text.at, .p = p};
    r.end = r.at + text.len;
    p->count = 0;
    p->captures = 0;
    p->anchored = caret && text.len > 0 && text.at[0] == '^';
    if (p->anchored)
        r.at++;
    while (r.at < r.end && read_one(&r))
        ;
    if (!r.fault && r.depth > 0)
        fault(&r, "unfinished capture");
    p->nodes[p->count] = (pattern_node_t){.kind = PATTERN_DONE};
    return r.fault;
}
