/* pattern: the matcher over compiled nodes (pattern.h). Every byte looked at is a step. */
#include "script/pattern.h"

typedef struct run {
    const char *begin, *end; /* of the subject */
    uint64_t steps;          /* left */
    bool tired;              /* none left: everything fails from here on */
    pattern_match_t *m;
} run_t;

static bool in_set(const pattern_set_t *s, char byte) {
    unsigned char c = (unsigned char)byte;
    return s->bits[c >> 6] >> (c & 63) & 1;
}

static bool spend(run_t *r, uint64_t n) {
    if (r->steps < n) {
        r->tired = true;
        r->steps = 0;
        return false;
    }
    r->steps -= n;
    return true;
}

static const char *walk(run_t *r, const pattern_node_t *n, const char *s);

static const char *walk_most(run_t *r, const pattern_node_t *n, const char *s, size_t least) {
    size_t run = 0, left = (size_t)(r->end - s);
    while (run < left && in_set(&n->set, s[run]))
        run++;
    if (!spend(r, run + 1))
        return NULL;
    for (; run >= least && !r->tired; run--) {
        const char *e = walk(r, n + 1, s + run);
        if (e || run == 0)
            return e;
    }
    return NULL;
}

static const char *walk_least(run_t *r, const pattern_node_t *n, const char *s) {
    while (spend(r, 1)) {
        const char *e = walk(r, n + 1, s);
        if (e)
            return e;
        if (s == r->end || !in_set(&n->set, *s))
            return NULL;
        s++;
    }
    return NULL;
}

static const char *walk_opt(run_t *r, const pattern_node_t *n, const char *s) {
    if (s < r->end && in_set(&n->set, *s)) {
        const char *e = walk(r, n + 1, s + 1);
        if (e)
            return e;
    }
    return walk(r, n + 1, s);
}

/* A capture is put back when what follows fails, so that a later try sees it as it was. */
static const char *walk_capture(run_t *r, const pattern_node_t *n, const char *s) {
    pattern_capture_t *c = &r->m->captures[n->a], before = *c;
    if (n->kind == PATTERN_CLOSE)
        c->len = (size_t)(s - c->at);
    else
        *c = (pattern_capture_t){s, 0, n->kind == PATTERN_PLACE};
    const char *e = walk(r, n + 1, s);
    if (!e)
        *c = before;
    return e;
}

static const char *end_balanced(run_t *r, const pattern_node_t *n, const char *s) {
    if (s == r->end || *s != (char)n->a)
        return NULL;
    size_t depth = 1;
    for (s++; s < r->end && spend(r, 1); s++) {
        if (*s == (char)n->b) {
            if (--depth == 0)
                return s + 1;
        } else if (*s == (char)n->a) {
            depth++;
        }
    }
    return NULL;
}

static bool at_frontier(run_t *r, const pattern_node_t *n, const char *s) {
    char before = s == r->begin ? '\0' : s[-1], here = s == r->end ? '\0' : *s;
    return !in_set(&n->set, before) && in_set(&n->set, here);
}

static const char *end_again(run_t *r, const pattern_node_t *n, const char *s) {
    const pattern_capture_t *c = &r->m->captures[n->a];
    if ((size_t)(r->end - s) < c->len || !spend(r, c->len))
        return NULL;
    return memcmp(s, c->at, c->len) == 0 ? s + c->len : NULL;
}

/* The end of the match of nodes n.. at s, or NULL. Nodes without a choice are taken in the loop;
 * the others recurse once each, so the depth is at most the number of nodes. */
static const char *walk(run_t *r, const pattern_node_t *n, const char *s) {
    for (; s && spend(r, 1); n++) {
        switch (n->kind) {
        case PATTERN_ONE:
            s = s < r->end && in_set(&n->set, *s) ? s + 1 : NULL;
            break;
        case PATTERN_OPT:
            return walk_opt(r, n, s);
        case PATTERN_MOST:
            return walk_most(r, n, s, 0);
        case PATTERN_SOME:
            return walk_most(r, n, s, 1);
        case PATTERN_LEAST:
            return walk_least(r, n, s);
        case PATTERN_OPEN:
        case PATTERN_CLOSE:
        case PATTERN_PLACE:
            return walk_capture(r, n, s);
        case PATTERN_AGAIN:
            s = end_again(r, n, s);
            break;
        case PATTERN_BALANCED:
            s = end_balanced(r, n, s);
            break;
        case PATTERN_FRONTIER:
            s = at_frontier(r, n, s) ? s : NULL;
            break;
        case PATTERN_AT_END:
            s = s == r->end ? s : NULL;
            break;
        case PATTERN_DONE:
            return s;
        }
    }
    return NULL;
}

int pattern_find(const pattern_t *p, slice_t subject, size_t from, uint64_t *steps,
                 pattern_match_t *m) {
    run_t r = {.begin = subject.at, .end = subject.at + subject.len, .steps = *steps, .m = m};
    int found = 0;
    for (const char *s = subject.at + from; s <= r.end && !r.tired; s++) {
        m->start = s;
        m->end = walk(&r, p->nodes, s);
        if (m->end) {
            found = 1;
            break;
        }
        if (p->anchored)
            break;
    }
    *steps = r.steps;
    return r.tired && !found ? -1 : found;
}
