/* diff: the lines in which two texts differ, as a unified diff with three lines around. The equal
 * ends are cut off first; between them the longest common sequence, as long as that is not too much
 * work: else all of it counts as replaced. Any thread. */
#include "script/reload_in.h"
#include <stdlib.h>

#define AROUND   3
#define DIFF_MAX 65536      /* bytes of a diff; the rest is cut */
#define CELLS    (4u << 20) /* lines x lines that are compared */
#define LINES    20000

typedef struct lines {
    slice_t *at;
    uint32_t count;
} lines_t;

static lines_t split(slice_t text) {
    lines_t l = {calloc(LINES, sizeof(slice_t)), 0};
    while (l.at && text.len > 0 && l.count < LINES) {
        const char *stop = memchr(text.at, '\n', text.len);
        size_t n = stop ? (size_t)(stop - text.at) : text.len;
        l.at[l.count++] = (slice_t){text.at, n};
        text.at += n + (stop != NULL);
        text.len -= n + (stop != NULL);
    }
    return l;
}

/* One step of the edit: a line of a that goes, of b that comes, or of both. */
typedef struct edit {
    char sign;
    uint32_t a, b; /* the lines it stands at */
} edit_t;

typedef struct edits {
    edit_t *at;
    uint32_t count;
} edits_t;

static void step(edits_t *e, char sign, uint32_t a, uint32_t b) {
    e->at[e->count++] = (edit_t){sign, a, b};
}

/* Between lines [a0, a1) and [b0, b1): the longest common sequence by its table of lengths. */
static void between(edits_t *e, const lines_t *a, const lines_t *b, uint32_t a0, uint32_t a1,
                    uint32_t b0, uint32_t b1) {
    uint32_t n = a1 - a0, m = b1 - b0, w = m + 1;
    uint16_t *length = NULL;
    if ((uint64_t)(n + 1) * w <= CELLS)
        length = calloc((size_t)(n + 1) * w, sizeof *length);
    for (uint32_t i = n; length && i-- > 0;)
        for (uint32_t j = m; j-- > 0;)
            length[i * w + j] =
                slice_eq(a->at[a0 + i], b->at[b0 + j])             ? length[(i + 1) * w + j + 1] + 1
                : length[(i + 1) * w + j] >= length[i * w + j + 1] ? length[(i + 1) * w + j]
                                                                   : length[i * w + j + 1];
    uint32_t i = 0, j = 0;
    while (i < n || j < m) {
        if (length && i < n && j < m && slice_eq(a->at[a0 + i], b->at[b0 + j])) {
            step(e, ' ', a0 + i, b0 + j);
            i++;
            j++;
        } else if (i < n &&
                   (!length || j == m || length[(i + 1) * w + j] >= length[i * w + j + 1])) {
            step(e, '-', a0 + i++, b0 + j);
        } else {
            step(e, '+', a0 + i, b0 + j++);
        }
    }
    free(length);
}

static edits_t compare(const lines_t *a, const lines_t *b) {
    edits_t e = {calloc((size_t)a->count + b->count + 1, sizeof(edit_t)), 0};
    uint32_t head = 0, tail = 0;
    while (head < a->count && head < b->count && slice_eq(a->at[head], b->at[head]))
        head++;
    while (tail < a->count - head && tail < b->count - head &&
           slice_eq(a->at[a->count - 1 - tail], b->at[b->count - 1 - tail]))
        tail++;
    for (uint32_t i = 0; e.at && i < head; i++)
        step(&e, ' ', i, i);
    if (e.at)
        between(&e, a, b, head, a->count - tail, head, b->count - tail);
    for (uint32_t i = tail; e.at && i > 0; i--)
        step(&e, ' ', a->count - i, b->count - i);
    return e;
}

/* The end of the hunk that begins at edit `from`: behind it 2 x AROUND equal lines, or the end. */
static uint32_t hunk_end(const edits_t *e, uint32_t from) {
    uint32_t last = from;
    for (uint32_t i = from; i < e->count && i <= last + 2 * AROUND; i++)
        if (e->at[i].sign != ' ')
            last = i;
    return last + AROUND + 1 < e->count ? last + AROUND + 1 : e->count;
}

static void add_hunk(buf_t *out, const edits_t *e, const lines_t *a, const lines_t *b,
                     uint32_t from, uint32_t to) {
    uint32_t in_a = 0, in_b = 0;
    for (uint32_t i = from; i < to; i++) {
        in_a += e->at[i].sign != '+';
        in_b += e->at[i].sign != '-';
    }
    buf_addf(out, "@@ -%u,%u +%u,%u @@\n", e->at[from].a + (in_a > 0), in_a,
             e->at[from].b + (in_b > 0), in_b);
    for (uint32_t i = from; i < to && out->len < DIFF_MAX; i++) {
        const edit_t *s = &e->at[i];
        buf_add_char(out, s->sign);
        buf_add_slice(out, s->sign == '+' ? b->at[s->b] : a->at[s->a]);
        buf_add_char(out, '\n');
    }
}

void diff_add(buf_t *out, const char *path, slice_t a, slice_t b) {
    if (slice_eq(a, b) && !a.at == !b.at)
        return;
    lines_t la = split(a), lb = split(b);
    edits_t e = la.at && lb.at ? compare(&la, &lb) : (edits_t){NULL, 0};
    buf_addf(out, "--- %s%s\n+++ %s%s\n", a.at ? "lua/" : "(none)", a.at ? path : "",
             b.at ? "lua/" : "(none)", b.at ? path : "");
    for (uint32_t i = 0; i < e.count && out->len < DIFF_MAX;) {
        if (e.at[i].sign == ' ') {
            i++;
            continue;
        }
        uint32_t to = hunk_end(&e, i);
        add_hunk(out, &e, &la, &lb, i > AROUND ? i - AROUND : 0, to);
        i = to;
    }
    if (out->len >= DIFF_MAX)
        buf_add_text(out, "... the rest is cut\n");
    free(e.at);
    free(la.at);
    free(lb.at);
}
