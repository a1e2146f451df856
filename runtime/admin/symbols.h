/* symbols: names of code addresses of this process, for profiles. Functions of the program come
 * from the symbol table of its own file, those of libraries from what they export. One owner, one
 * thread; makes file reads: not on a worker. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

typedef struct symbols symbols_t;

/* Always gives one; without a readable symbol table names are poorer. */
symbols_t *symbols_open(void);
void symbols_close(symbols_t *s);

/* Where an address lies. `name` is borrowed until the next call; what a library does not export has
 * the library's name in brackets. begin tells functions apart: its first address, or the library's.
 */
typedef struct symbol {
    const char *name;
    uint64_t begin;
} symbol_t;
symbol_t symbols_find(symbols_t *s, uint64_t address);
