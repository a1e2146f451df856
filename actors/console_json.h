/* console_json: answers of scripts to the console, which are JSON: read, and shown as fields or
 * rows. In the console's thread. */
#pragma once
#include "admin/console.h"
#include "base/buf.h"
#include "base/json.h"

typedef struct console_json {
    json_doc_t *doc;
    buf_t copy; /* a block is shared: it is not parsed in place */
} console_json_t;

/* Opens an answer. false: it is an error or no JSON: that has been said ({"error":text} by its
 * text), and nothing is to be closed. */
bool console_json_open(console_call_t *call, int err, const msg_t *reply, console_json_t *out);
void console_json_close(console_json_t *j);

/* A member of an object: "" or 0 when it is absent or something else. */
slice_t console_json_text(const console_json_t *j, json_at_t object, const char *key);
int64_t console_json_int(const console_json_t *j, json_at_t object, const char *key);

/* The next cells of a table: members `keys` of an object, as the columns' types say; an empty text
 * is none. */
void console_json_cells(console_call_t *call, const console_json_t *j, json_at_t object,
                        const console_column_t *columns, const char *const *keys, size_t n);
/* A whole answer: the table of an array of objects. */
void console_json_table(console_call_t *call, const console_json_t *j,
                        const console_column_t *columns, const char *const *keys, size_t n);
