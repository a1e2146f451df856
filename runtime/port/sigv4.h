/* sigv4: AWS Signature Version 4 as S3 wants it (one encoding of the path, no normalisation):
 * addresses that carry their right in the query, and headers for our own calls. Pure: time and keys
 * are given. Any thread. */
#pragma once
#include "base/buf.h"
#include <stdint.h>

#define SIGV4_PAIRS_MAX   16     /* of query and headers each; more is our bug */
#define SIGV4_EXPIRES_MAX 604800 /* seconds: what the scheme allows an address */
#define SIGV4_UNSIGNED    SLICE("UNSIGNED-PAYLOAD")

typedef struct sigv4_keys {
    slice_t key, secret, token; /* token: of temporary keys; empty = none */
    slice_t region;             /* the service is always s3 */
} sigv4_keys_t;

/* Plain texts, encoded here. Headers: names in lower case; each is signed, so the request must
 * carry it with just this value. */
typedef struct sigv4_pair {
    slice_t name, value;
} sigv4_pair_t;

typedef struct sigv4_request {
    slice_t method;
    slice_t origin;  /* https://host[:port] */
    slice_t path;    /* from its '/' on, not encoded */
    slice_t payload; /* hash of the body in hexadecimal digits, or SIGV4_UNSIGNED */
    const sigv4_pair_t *query, *headers;
    size_t query_count, header_count;
    int64_t at_s; /* unix time of the signature */
} sigv4_request_t;

/* Adds the address that may be used for expires_s from at_s on; the payload is not signed. Whoever
 * uses it must send the signed headers. */
void sigv4_presign(buf_t *out, const sigv4_keys_t *keys, const sigv4_request_t *r,
                   uint32_t expires_s);
/* Adds the address, and the headers to send with it: lines "name: value", each with its '\n',
 * Authorization among them. */
void sigv4_sign(buf_t *address, buf_t *headers, const sigv4_keys_t *keys, const sigv4_request_t *r);
/* Hash of a body, in hexadecimal digits. */
void sigv4_payload(slice_t body, char hex[65]);
/* Adds s with all but letters, digits and -._~ as %XX; keep_slash: '/' stays too. */
void sigv4_encode(buf_t *out, slice_t s, bool keep_slash);
