/* screen: untrusted text as a terminal may see it, and how wide it is there. Pure functions, any
 * thread. */
#pragma once
#include "base/buf.h"

/* Adds s so that it can neither steer a terminal nor mislead its reader: control characters (C0,
 * DEL, C1), bytes that are no UTF-8, and marks that hide or turn text round become \n, \t, \x1b,
 * \u{202e}. */
void screen_add(buf_t *out, slice_t s);
/* The same as a JSON string with its quotes: what would be spelt out is a \u escape; bytes that are
 * no UTF-8 are spelt out as on the screen. */
void screen_add_json(buf_t *out, slice_t s);
/* Columns that escaped text takes: 2 for wide East Asian characters and emoji, 0 for combining
 * ones. */
size_t screen_width(slice_t s);
/* The longest beginning that fits `columns`. */
slice_t screen_cut(slice_t s, size_t columns);
