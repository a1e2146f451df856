/* answer: see answer.h. Cells stand one after the other in one buffer (kind, then a number, or a
 * length and bytes); parts say which of them make a field, a table, or lines. A table is walked
 * twice: for the widths, then for the rows. */
#include "admin/answer.h"
#include "admin/screen.h"
#include "base/json.h"
#include "base/pool.h"
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <time.h>

enum { CELL_NONE, CELL_VALUE, CELL_TEXT };
enum { PARTS = 256, COLUMNS = 32, NAME = 40 };
#define GAP 2 /* blanks between columns */

typedef enum part_kind { PART_FIELD, PART_TABLE, PART_LINES } part_kind_t;
typedef struct part {
    part_kind_t kind;
    char name[NAME]; /* "": the whole answer */
    console_type_t type;
    const console_column_t *columns;
    size_t count;         /* columns; 1 for the others */
    uint32_t start, end;  /* its cells */
    uint64_t cells, kept; /* told, and stored */
    bool full;
} part_t;

struct answer {
    buf_t cells;
    part_t parts[PARTS];
    size_t part_count, rows;
    uint64_t cut; /* values that found no room */
};

answer_t *answer_new(size_t rows) {
    answer_t *a = pool_zalloc(sizeof *a);
    a->rows = rows;
    return a;
}

void answer_free(answer_t *a) {
    if (!a)
        return;
    buf_free(&a->cells);
    pool_free(a, sizeof *a);
}

void answer_clear(answer_t *a) {
    a->cells.len = 0;
    a->part_count = 0;
    a->cut = 0;
}

/* --- telling --- */

static part_t *add_part(answer_t *a, part_kind_t kind, const char *name) {
    if (a->part_count == PARTS) {
        a->cut++;
        return NULL;
    }
    part_t *p = &a->parts[a->part_count++];
    *p = (part_t){.kind = kind, .count = 1, .start = a->cells.len, .end = a->cells.len};
    snprintf(p->name, sizeof p->name, "%s", name ? name : "");
    return p;
}

static part_t *last_part(answer_t *a) {
    return a->part_count ? &a->parts[a->part_count - 1] : NULL;
}

/* A row that began is kept whole; from the first that finds no room on they are counted only. */
static void add_cell(answer_t *a, uint8_t kind, int64_t value, slice_t text) {
    part_t *p = last_part(a);
    if (!p)
        return;
    bool begins = p->cells++ % p->count == 0;
    if (begins && ((p->kind == PART_TABLE && p->kept / p->count >= a->rows) ||
                   a->cells.len + text.len > CONSOLE_ANSWER))
        p->full = true;
    if (p->full)
        return;
    uint32_t len = (uint32_t)text.len;
    buf_add_char(&a->cells, (char)kind);
    if (kind == CELL_VALUE)
        buf_add(&a->cells, &value, sizeof value);
    if (kind == CELL_TEXT) {
        buf_add(&a->cells, &len, sizeof len);
        buf_add_slice(&a->cells, text);
    }
    p->kept++;
    p->end = a->cells.len;
}

void answer_table(answer_t *a, const char *name, const console_column_t *columns, size_t n) {
    assert(n > 0 && n <= COLUMNS);
    part_t *p = add_part(a, PART_TABLE, name);
    if (p) {
        p->columns = columns;
        p->count = n;
    }
}

void answer_text(answer_t *a, slice_t text) {
    add_cell(a, CELL_TEXT, 0, text);
}

void answer_value(answer_t *a, int64_t value) {
    add_cell(a, CELL_VALUE, value, (slice_t){NULL, 0});
}

void answer_none(answer_t *a) {
    add_cell(a, CELL_NONE, 0, (slice_t){NULL, 0});
}

void answer_left_out(answer_t *a, uint64_t rows) {
    if (last_part(a))
        a->cut += rows;
}

void answer_field(answer_t *a, const char *name, slice_t text) {
    if (add_part(a, PART_FIELD, name))
        answer_text(a, text);
}

/* Its cell follows; false: no room. */
static bool add_field(answer_t *a, const char *name, console_type_t type) {
    part_t *p = add_part(a, PART_FIELD, name);
    if (p)
        p->type = type;
    return p != NULL;
}

void answer_field_value(answer_t *a, const char *name, console_type_t type, int64_t value) {
    if (add_field(a, name, type))
        answer_value(a, value);
}

void answer_field_none(answer_t *a, const char *name, console_type_t type) {
    if (add_field(a, name, type))
        answer_none(a);
}

static void add_line(answer_t *a, slice_t line) {
    part_t *p = last_part(a);
    if ((p && p->kind == PART_LINES) || add_part(a, PART_LINES, NULL))
        answer_text(a, line);
}

void answer_lines(answer_t *a, slice_t text) {
    if (text.len && text.at[text.len - 1] == '\n')
        text.len--;
    for (;;) {
        const char *end = text.len ? memchr(text.at, '\n', text.len) : NULL;
        size_t len = end ? (size_t)(end - text.at) : text.len;
        add_line(a, (slice_t){text.at, len});
        if (!end)
            return;
        text.at += len + 1;
        text.len -= len + 1;
    }
}

uint64_t answer_cut(const answer_t *a) {
    uint64_t n = a->cut;
    for (size_t i = 0; i < a->part_count; i++)
        n += (a->parts[i].cells - a->parts[i].kept) / a->parts[i].count;
    return n;
}

/* --- values as text --- */

static void format_bytes(int64_t n, buf_t *out) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t u = 0;
    for (; (v >= 1024 || v <= -1024) && u < 4; u++)
        v /= 1024;
    buf_addf(out, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void format_us(int64_t us, buf_t *out) {
    int64_t s = us / 1000000;
    if (us < 1000)
        buf_addf(out, "%lld us", (long long)us);
    else if (us < 1000000)
        buf_addf(out, "%.1f ms", (double)us / 1e3);
    else if (s < 60)
        buf_addf(out, "%.1f s", (double)us / 1e6);
    else if (s < 3600)
        buf_addf(out, "%lld m %lld s", (long long)s / 60, (long long)s % 60);
    else if (s < 86400)
        buf_addf(out, "%lld h %lld m", (long long)s / 3600, (long long)s / 60 % 60);
    else
        buf_addf(out, "%lld d %lld h", (long long)s / 86400, (long long)s / 3600 % 24);
}

static void format_time(int64_t ms, buf_t *out) {
    time_t s = (time_t)(ms / 1000);
    struct tm t;
    char text[32];
    if (gmtime_r(&s, &t) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &t))
        buf_add_text(out, text);
    else
        buf_add_int(out, ms);
}

void answer_format(console_type_t type, int64_t value, buf_t *out) {
    switch (type) {
    case CONSOLE_BOOL:
        buf_add_text(out, value ? "yes" : "no");
        break;
    case CONSOLE_BYTES:
        format_bytes(value, out);
        break;
    case CONSOLE_US:
        format_us(value, out);
        break;
    case CONSOLE_TIME:
        format_time(value, out);
        break;
    case CONSOLE_PERCENT:
        buf_addf(out, "%.1f%%", (double)value / 100);
        break;
    default:
        buf_add_int(out, value);
    }
}

typedef struct cell {
    uint8_t kind;
    int64_t value;
    slice_t text;
} cell_t;

static uint32_t read_cell(const answer_t *a, uint32_t at, cell_t *c) {
    *c = (cell_t){.kind = (uint8_t)a->cells.at[at++]};
    if (c->kind == CELL_VALUE) {
        memcpy(&c->value, a->cells.at + at, sizeof c->value);
        at += sizeof c->value;
    } else if (c->kind == CELL_TEXT) {
        uint32_t len;
        memcpy(&len, a->cells.at + at, sizeof len);
        c->text = (slice_t){a->cells.at + at + sizeof len, len};
        at += (uint32_t)sizeof len + len;
    }
    return at;
}

static void show_cell(const cell_t *c, console_type_t type, buf_t *out) {
    if (c->kind == CELL_TEXT)
        screen_add(out, c->text);
    else if (c->kind == CELL_VALUE)
        answer_format(type, c->value, out);
    else
        buf_add_char(out, '-');
}

/* --- as text --- */

static void add_blanks(buf_t *out, size_t n) {
    for (; n; n--)
        buf_add_char(out, ' ');
}

/* A line that is being put together, cut to the screen when it is done. */
static void end_line(buf_t *line, size_t columns, buf_t *out) {
    slice_t s = buf_slice(line);
    while (s.len && s.at[s.len - 1] == ' ')
        s.len--;
    if (columns)
        s = screen_cut(s, columns);
    buf_add_slice(out, s);
    line->len = 0;
}

static void measure(const answer_t *a, const part_t *p, size_t width[COLUMNS]) {
    buf_t b = {0};
    size_t i = 0;
    for (size_t k = 0; k < p->count; k++)
        width[k] = strlen(p->columns[k].name);
    for (uint32_t at = p->start; at < p->end; i = (i + 1) % p->count) {
        cell_t c;
        at = read_cell(a, at, &c);
        b.len = 0;
        show_cell(&c, p->columns[i].type, &b);
        size_t w = screen_width(buf_slice(&b));
        width[i] = w > width[i] ? w : width[i];
    }
    buf_free(&b);
}

/* Numbers stand right, text left; the last column is not filled up. */
static void place(buf_t *line, const part_t *p, size_t i, size_t width, slice_t text) {
    size_t w = screen_width(text), pad = width > w ? width - w : 0;
    if (p->columns[i].type != CONSOLE_TEXT)
        add_blanks(line, pad);
    buf_add_slice(line, text);
    if (p->columns[i].type == CONSOLE_TEXT)
        add_blanks(line, pad);
    add_blanks(line, GAP);
}

static void table_head(const part_t *p, const size_t *width, size_t columns, bool bold,
                       buf_t *out) {
    buf_t line = {0};
    char title[NAME];
    for (size_t i = 0; i < p->count; i++) {
        size_t n = 0;
        for (; p->columns[i].name[n] && n < sizeof title; n++)
            title[n] = (char)toupper((unsigned char)p->columns[i].name[n]);
        place(&line, p, i, width[i], (slice_t){title, n});
    }
    buf_add_text(out, bold ? "\x1b[1m" : "");
    end_line(&line, columns, out);
    buf_add_text(out, bold ? "\x1b[0m\n" : "\n");
    buf_free(&line);
}

static void render_table(const answer_t *a, const part_t *p, size_t columns, bool bold,
                         buf_t *out) {
    size_t width[COLUMNS], i = 0;
    buf_t line = {0}, b = {0};
    measure(a, p, width);
    table_head(p, width, columns, bold, out);
    for (uint32_t at = p->start; at < p->end;) {
        cell_t c;
        at = read_cell(a, at, &c);
        b.len = 0;
        show_cell(&c, p->columns[i].type, &b);
        place(&line, p, i, width[i], buf_slice(&b));
        i = (i + 1) % p->count;
        if (i)
            continue;
        end_line(&line, columns, out);
        buf_add_char(out, '\n');
    }
    buf_free(&b);
    buf_free(&line);
}

/* Fields that stand together are aligned with each other. Gives the part after them. */
static size_t render_fields(const answer_t *a, size_t i, size_t columns, buf_t *out) {
    size_t end = i, width = 0;
    buf_t line = {0};
    for (; end < a->part_count && a->parts[end].kind == PART_FIELD; end++) {
        size_t w = strlen(a->parts[end].name);
        width = w > width ? w : width;
    }
    for (; i < end; i++) {
        const part_t *p = &a->parts[i];
        cell_t c = {0};
        if (p->start < p->end)
            read_cell(a, p->start, &c);
        buf_add_text(&line, p->name);
        add_blanks(&line, width - strlen(p->name) + GAP);
        show_cell(&c, p->type, &line);
        end_line(&line, columns, out);
        buf_add_char(out, '\n');
    }
    buf_free(&line);
    return end;
}

static void render_lines(const answer_t *a, const part_t *p, buf_t *out) {
    for (uint32_t at = p->start; at < p->end;) {
        cell_t c;
        at = read_cell(a, at, &c);
        screen_add(out, c.text);
        buf_add_char(out, '\n');
    }
}

void answer_render(const answer_t *a, size_t columns, bool bold, buf_t *out) {
    for (size_t i = 0; i < a->part_count;) {
        const part_t *p = &a->parts[i];
        if (p->kind == PART_FIELD) {
            i = render_fields(a, i, columns, out);
            continue;
        }
        if (p->kind == PART_TABLE && p->cells == 0) {
            buf_addf(out, "%s%snone\n", p->name, p->name[0] ? ": " : "");
        } else if (p->kind == PART_TABLE) {
            buf_add_text(out, i ? "\n" : "");
            if (p->name[0])
                buf_addf(out, "%s:\n", p->name);
            render_table(a, p, columns, bold, out);
        } else {
            render_lines(a, p, out);
        }
        i++;
    }
    if (answer_cut(a))
        buf_addf(out, "(%llu more are not shown; --rows=N asks for as many)\n",
                 (unsigned long long)answer_cut(a));
}

/* --- as JSON --- */

static void add_json_key(buf_t *out, const char *name, console_type_t type) {
    static const char *const units[] = {[CONSOLE_BYTES] = "_bytes",
                                        [CONSOLE_US] = "_us",
                                        [CONSOLE_TIME] = "_ms",
                                        [CONSOLE_PERCENT] = "_percent"};
    const char *unit = units[type] ? units[type] : "";
    size_t n = strlen(name), u = strlen(unit);
    bool has = n >= u && strcmp(name + n - u, unit) == 0;
    if (out->len && out->at[out->len - 1] != '{')
        buf_add_char(out, ',');
    buf_add_char(out, '"');
    for (const char *at = name; *at; at++)
        buf_add_char(out, *at == ' ' || *at == '-' ? '_' : *at);
    buf_addf(out, "%s\":", has ? "" : unit);
}

static void json_cell(const cell_t *c, console_type_t type, buf_t *out) {
    if (c->kind == CELL_NONE) {
        buf_add_text(out, "null");
    } else if (c->kind == CELL_VALUE && type == CONSOLE_BOOL) {
        buf_add_text(out, c->value ? "true" : "false");
    } else if (c->kind == CELL_VALUE && type == CONSOLE_PERCENT) {
        json_add_real(out, (double)c->value / 100);
    } else if (c->kind == CELL_VALUE) {
        buf_add_int(out, c->value);
    } else {
        screen_add_json(out, c->text);
    }
}

static void json_table(const answer_t *a, const part_t *p, buf_t *out) {
    size_t i = 0;
    buf_add_char(out, '[');
    for (uint32_t at = p->start; at < p->end; i = (i + 1) % p->count) {
        cell_t c;
        if (i == 0)
            buf_add_text(out, at == p->start ? "{" : ",{");
        at = read_cell(a, at, &c);
        add_json_key(out, p->columns[i].name, p->columns[i].type);
        json_cell(&c, p->columns[i].type, out);
        if (i == p->count - 1)
            buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void json_lines(const answer_t *a, const part_t *p, buf_t *out) {
    buf_add_char(out, '[');
    for (uint32_t at = p->start; at < p->end;) {
        cell_t c;
        if (at != p->start)
            buf_add_char(out, ',');
        at = read_cell(a, at, &c);
        json_cell(&c, CONSOLE_TEXT, out);
    }
    buf_add_char(out, ']');
}

static void json_part(const answer_t *a, const part_t *p, buf_t *out) {
    cell_t c = {0};
    if (p->kind == PART_FIELD) {
        add_json_key(out, p->name, p->type);
        if (p->start < p->end)
            read_cell(a, p->start, &c);
        json_cell(&c, p->type, out);
        return;
    }
    add_json_key(out,
                 p->name[0]              ? p->name
                 : p->kind == PART_LINES ? "lines"
                                         : "rows",
                 CONSOLE_TEXT);
    if (p->kind == PART_TABLE)
        json_table(a, p, out);
    else
        json_lines(a, p, out);
}

void answer_render_json(const answer_t *a, buf_t *out) {
    if (a->part_count == 1 && a->parts[0].kind == PART_TABLE && !a->parts[0].name[0]) {
        json_table(a, &a->parts[0], out);
        buf_add_char(out, '\n');
        return;
    }
    buf_add_char(out, '{');
    for (size_t i = 0; i < a->part_count; i++)
        json_part(a, &a->parts[i], out);
    if (answer_cut(a)) {
        add_json_key(out, "cut", CONSOLE_INT);
        buf_add_int(out, (int64_t)answer_cut(a));
    }
    buf_add_text(out, "}\n");
}
