/* http: the strict HTTP/1.1 head parser (RFC 9110, 9112), in place, and the body framing behind it.
 * It allocates nothing and knows no socket: fuzzed and tried with smuggling corpora. Any thread. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

typedef enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_OTHER
} http_method_t;

#define HTTP_MAX_HEADERS 100
#define HTTP_LINE_MAX    (32 * 1024)
#define HTTP_HEAD_MAX    (32 * 1024)

typedef struct http_header {
    slice_t name, value; /* name as sent; compare with http_header */
} http_header_t;

typedef struct http_request {
    http_method_t method;
    slice_t method_text;
    slice_t target;      /* as sent, origin form */
    slice_t path, query; /* split at '?'; still percent-encoded */
    bool keep_alive, chunked, expect_continue;
    bool upgrade_websocket; /* Connection has upgrade and Upgrade has websocket */
    int64_t content_length; /* -1: none */
    uint32_t header_count;
    http_header_t headers[HTTP_MAX_HEADERS];
} http_request_t;

/* Looks for a whole head in at[0..len). >0: its length, *out is set and points into at. 0: needs
 * more. <0: a code whose HTTP status is the answer (ERR_BAD_REQUEST, ERR_URI_TOO_LONG,
 * ERR_HEADERS_TOO_LARGE, ERR_LENGTH_REQUIRED, ERR_UNSUPPORTED_TYPE), after which the connection
 * closes. `seen` carries over how far an earlier call looked (start at 0). */
int http_parse_head(const char *at, size_t len, size_t *seen, http_request_t *out);

/* The value of a header by lower-case name, {NULL,0} if absent. Two of them: the first;
 * http_header_count tells. */
slice_t http_header(const http_request_t *r, const char *lower_name);
uint32_t http_header_count(const http_request_t *r, const char *lower_name);

/* Chunked decoding, incremental. */
typedef struct http_chunks {
    uint64_t left;
    uint8_t state;
    uint32_t line;
} http_chunks_t;
/* Consumes from at[0..len): sets *used, gives one run of body bytes in *body (maybe empty). ERR_OK:
 * more to come; 1: the body is complete; <0: malformed. */
int http_chunks_next(http_chunks_t *c, const char *at, size_t len, size_t *used, slice_t *body);

/* Query parameters, percent-decoded into room ('+' is a blank). Calls visit for each;
 * ERR_BAD_REQUEST on bad escapes, bad UTF-8, U+0000. */
int http_query_each(slice_t query, char *room, size_t size,
                    int (*visit)(void *arg, slice_t name, slice_t value), void *arg);
int http_percent_decode(slice_t s, char *room, size_t size, slice_t *out);
