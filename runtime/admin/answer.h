/* answer: what a console command told, as values: fields, tables, lines; and its two forms, text
 * for people and JSON for programs. The console's thread. */
#pragma once
#include "admin/console.h"
#include "base/buf.h"

typedef struct answer answer_t;

answer_t *answer_new(size_t rows); /* of a table, at most */
void answer_free(answer_t *a);
void answer_clear(answer_t *a);

void answer_table(answer_t *a, const char *name, const console_column_t *columns, size_t n);
void answer_text(answer_t *a, slice_t text);
void answer_value(answer_t *a, int64_t value);
void answer_none(answer_t *a);
void answer_left_out(answer_t *a, uint64_t rows);
void answer_field(answer_t *a, const char *name, slice_t text);
void answer_field_value(answer_t *a, const char *name, console_type_t type, int64_t value);
void answer_field_none(answer_t *a, const char *name, console_type_t type);
void answer_lines(answer_t *a, slice_t text);

/* Rows and values that are not shown. */
uint64_t answer_cut(const answer_t *a);
/* Aligned, with \n; columns: of the screen, 0 = as wide as it gets; bold: heads stand out. */
void answer_render(const answer_t *a, size_t columns, bool bold, buf_t *out);
void answer_render_json(const answer_t *a, buf_t *out);
/* One value as text. */
void answer_format(console_type_t type, int64_t value, buf_t *out);
