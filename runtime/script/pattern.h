/* pattern: Lua's patterns with a bound on the work. The standard matcher backtracks for seconds on
 * a kilobyte (PITFALLS.md, Lua), and nothing stops a C function; this one counts its steps and
 * gives up. Same syntax and results as string.find of Lua 5.4. A pattern is compiled to nodes
 * first, each with the set of bytes it takes, so that recursion is no deeper than the pattern is
 * long. Used by vm_string.c; knows no Lua state. Any thread. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

#define PATTERN_NODES    128 /* longest pattern */
#define PATTERN_CAPTURES 32

typedef struct pattern_set {
    uint64_t bits[4];
} pattern_set_t;

typedef enum pattern_kind {
    PATTERN_ONE,   /* one byte of the set */
    PATTERN_OPT,   /* ? */
    PATTERN_MOST,  /* *: as many as possible */
    PATTERN_SOME,  /* +: the same, at least one */
    PATTERN_LEAST, /* -: as few as possible */
    PATTERN_OPEN,
    PATTERN_CLOSE,
    PATTERN_PLACE,    /* ( ) and () */
    PATTERN_AGAIN,    /* %1 */
    PATTERN_BALANCED, /* %bxy */
    PATTERN_FRONTIER, /* %f[set] */
    PATTERN_AT_END,   /* $ */
    PATTERN_DONE
} pattern_kind_t;

typedef struct pattern_node {
    pattern_kind_t kind;
    uint8_t a, b; /* capture index, or the two bytes of %b */
    pattern_set_t set;
} pattern_node_t;

typedef struct pattern {
    bool anchored;
    uint8_t captures;
    uint16_t count;
    pattern_node_t nodes[PATTERN_NODES + 1];
} pattern_t;

typedef struct pattern_capture {
    const char *at;
    size_t len;
    bool place; /* () gives a position */
} pattern_capture_t;

typedef struct pattern_match {
    const char *start, *end;
    pattern_capture_t captures[PATTERN_CAPTURES];
} pattern_match_t;

/* NULL, or what is wrong with the pattern (static text). caret: does a leading ^ anchor (not in
 * gmatch). */
const char *pattern_compile(pattern_t *p, slice_t text, bool caret);
/* Looks from subject + from on. 1: found, *m is set; 0: none; -1: *steps are used up. */
int pattern_find(const pattern_t *p, slice_t subject, size_t from, uint64_t *steps,
                 pattern_match_t *m);
