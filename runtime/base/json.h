/* json: strict RFC 8259 into a flat array of nodes, and the writer for it. Made for frames of a
 * hundred bytes (parsed in place, no allocation once the document has grown) and for bodies of a
 * megabyte. Strict: UTF-8 is checked, depth is capped, U+0000 and lone surrogates are refused,
 * trailing bytes are refused. Numbers: what fits 64 bits and has no fraction or exponent is
 * JSON_INT, the rest (also -0) JSON_REAL; a number beyond a double (1e999) is refused. A repeated
 * key: the last one counts. A key with null counts as absent. One document serves one thread. */
#pragma once
#include "base/buf.h"
#include <stdbool.h>

#define JSON_DEPTH     32 /* of what clients send */
#define JSON_DEPTH_OWN 40 /* of our own texts around it */

typedef enum json_type {
    JSON_NONE,
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_INT,
    JSON_REAL,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} json_type_t;

typedef struct json_doc json_doc_t;
typedef uint32_t json_at_t; /* a node; 0 is "none", the root is JSON_ROOT */
#define JSON_ROOT 1u

json_doc_t *json_doc_new(void);
void json_doc_free(json_doc_t *doc);
/* This document parses texts that we made ourselves around a client's: JSON_DEPTH_OWN holds. */
void json_doc_own(json_doc_t *doc);

/* Parses text[0..len) IN PLACE: strings are unescaped where they stand, so text must be writable
 * and must outlive the document's next parse. ERR_OK or ERR_BAD_REQUEST; after an error the
 * document is empty. */
int json_parse(json_doc_t *doc, char *text, size_t len);
/* The same for text that is known to be valid UTF-8 (a text frame: net has looked). */
int json_parse_utf8(json_doc_t *doc, char *text, size_t len);

json_type_t json_type(const json_doc_t *doc, json_at_t at);
/* The value of a key; 0 if absent, null, or `object` is no object. */
json_at_t json_get(const json_doc_t *doc, json_at_t object, const char *key);
/* Walk: first child of an array or object, next sibling, 0 at the end. In an object the children
 * are the values, json_key names each (repeated keys and nulls are all visited). */
json_at_t json_first(const json_doc_t *doc, json_at_t at);
json_at_t json_next(const json_doc_t *doc, json_at_t at);
slice_t json_key(const json_doc_t *doc, json_at_t at);
uint32_t json_count(const json_doc_t *doc, json_at_t at);

/* true and the value if the node is of that type. json_int: written as digits only (no sign,
 * fraction, exponent), below 2^53. json_number: any number. */
bool json_int(const json_doc_t *doc, json_at_t at, int64_t *out);
/* Any integer without fraction or exponent that fits (JSON_INT): for scripts, which keep integers
 * integers. */
bool json_int64(const json_doc_t *doc, json_at_t at, int64_t *out);
bool json_number(const json_doc_t *doc, json_at_t at, double *out);
bool json_bool(const json_doc_t *doc, json_at_t at, bool *out);
bool json_string(const json_doc_t *doc, json_at_t at, slice_t *out);

/* Writer: compact, appends to a buf. json_add_string adds quotes and escapes; the bytes must be
 * valid UTF-8. */
void json_add_string(buf_t *b, slice_t s);
/* ,"key": — or without the comma right after { or [ (into an empty buffer: with it). The key is
 * plain ASCII. */
void json_add_key(buf_t *b, const char *key);
void json_add_int(buf_t *b, const char *key, int64_t n);
void json_add_bool(buf_t *b, const char *key, bool v);
void json_add_text(buf_t *b, const char *key, slice_t v);
/* A number as short as it can be read back from; v must be finite. */
void json_add_real(buf_t *b, double v);
/* The node with everything below it, as compact JSON (no key, no comma in front). */
void json_add_node(buf_t *b, const json_doc_t *doc, json_at_t at);
