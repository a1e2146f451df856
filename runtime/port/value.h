/* value: the parameters and rows that cross the store port: a compact list of typed values in one
 * run of bytes, so that a request or an answer is one message. Any thread. */
#pragma once
#include "base/buf.h"

typedef enum value_type { VALUE_NULL, VALUE_INT, VALUE_REAL, VALUE_TEXT, VALUE_BLOB } value_type_t;

void value_add_null(buf_t *b);
void value_add_int(buf_t *b, int64_t v);
void value_add_real(buf_t *b, double v);
void value_add_text(buf_t *b, slice_t v);
void value_add_blob(buf_t *b, slice_t v);

typedef struct value {
    value_type_t type;
    int64_t i;
    double d;
    slice_t s;
} value_t;
/* Reads the next one from *rest and moves it on; false at the end or when the bytes are no values.
 */
bool value_next(slice_t *rest, value_t *out);
/* The next one as an int / text, 0 / "" when it is another type or the end. */
int64_t value_next_int(slice_t *rest);
slice_t value_next_text(slice_t *rest);
