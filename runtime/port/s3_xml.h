/* s3_xml: reads the small XML answers of S3. Strict: one element, names that match, well-formed
 * attributes (skipped), valid UTF-8, at most S3_XML_DEPTH deep; elements hold either elements or
 * text. No DOCTYPE, comments, CDATA or processing instructions, so nothing can grow or be fetched.
 * Pure; any thread. */
#pragma once
#include "base/buf.h"
#include <stdbool.h>

#define S3_XML_DEPTH 8

typedef struct s3_xml {
    slice_t path[S3_XML_DEPTH]; /* names from the top, without their prefix */
    size_t depth;
    slice_t text; /* what the element holds, entities resolved; empty if it holds elements */
} s3_xml_t;

/* Calls visit at the end of each element; slices are valid for that call. ERR_OK, or
 * ERR_BAD_REQUEST: not such a text, what has been visited before means nothing. */
int s3_xml_read(slice_t text, void (*visit)(void *arg, const s3_xml_t *at), void *arg);
/* Is the path just this one: "A/B/C"? */
bool s3_xml_is(const s3_xml_t *at, const char *path);
