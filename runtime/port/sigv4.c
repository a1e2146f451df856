/* sigv4: see sigv4.h. The canonical request is built as the public documentation says: method,
 * path, query, signed headers, their names, hash of the body; its hash with time and scope is
 * signed with a key derived from the secret. */
#include "port/sigv4.h"
#include "base/text.h"
#include "port/crypt.h"
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#define PAIRS (SIGV4_PAIRS_MAX + 6) /* and those of the signature itself */

/* Pairs in the order in which they are signed. Values of the query are encoded already. */
typedef struct list {
    sigv4_pair_t at[PAIRS];
    size_t count;
} list_t;

typedef struct signing {
    const sigv4_keys_t *keys;
    const sigv4_request_t *request;
    list_t query, headers;
    buf_t encoded; /* what query's slices point into */
    char time[17]; /* 20130524T000000Z */
    buf_t scope, names;
} signing_t;

static bool is_plain(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void sigv4_encode(buf_t *out, slice_t s, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (is_plain(c) || (keep_slash && c == '/')) {
            buf_add_char(out, (char)c);
            continue;
        }
        char code[3] = {'%', digits[c >> 4], digits[c & 15]};
        buf_add(out, code, sizeof code);
    }
}

static void hex_of(const uint8_t hash[32], char hex[65]) {
    sodium_bin2hex(hex, 65, hash, 32);
}

void sigv4_payload(slice_t body, char hex[65]) {
    uint8_t hash[32];
    crypt_sha256(body, hash);
    hex_of(hash, hex);
}

static int compare(slice_t a, slice_t b) {
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b) {
    const sigv4_pair_t *x = a, *y = b;
    int order = compare(x->name, y->name);
    return order ? order : compare(x->value, y->value);
}

static void add(list_t *l, slice_t name, slice_t value) {
    assert(l->count < PAIRS);
    l->at[l->count++] = (sigv4_pair_t){name, value};
}

static void begin(signing_t *s, const sigv4_keys_t *keys, const sigv4_request_t *r) {
    time_t at = (time_t)r->at_s;
    struct tm tm;
    assert(r->query_count <= SIGV4_PAIRS_MAX && r->header_count <= SIGV4_PAIRS_MAX);
    *s = (signing_t){.keys = keys, .request = r};
    gmtime_r(&at, &tm);
    strftime(s->time, sizeof s->time, "%Y%m%dT%H%M%SZ", &tm);
    buf_addf(&s->scope, "%.8s/%.*s/s3/aws4_request", s->time, (int)keys->region.len,
             keys->region.at);
    for (size_t i = 0; i < r->query_count; i++)
        add(&s->query, r->query[i].name, r->query[i].value);
    for (size_t i = 0; i < r->header_count; i++)
        add(&s->headers, r->headers[i].name, r->headers[i].value);
    const char *host = strstr(r->origin.at, "://") + 3;
    add(&s->headers, SLICE("host"), (slice_t){host, r->origin.len - (size_t)(host - r->origin.at)});
}

static void end(signing_t *s) {
    buf_free(&s->encoded);
    buf_free(&s->scope);
    buf_free(&s->names);
}

/* Sorts the headers and writes their names, as SignedHeaders wants them. */
static void sort_headers(signing_t *s) {
    qsort(s->headers.at, s->headers.count, sizeof s->headers.at[0], by_name);
    for (size_t i = 0; i < s->headers.count; i++) {
        if (i)
            buf_add_char(&s->names, ';');
        buf_add_slice(&s->names, s->headers.at[i].name);
    }
}

/* Names and values are sorted as they are once encoded. */
static void sort_query(signing_t *s) {
    uint32_t stop[2 * PAIRS];
    list_t *q = &s->query;
    for (size_t i = 0; i < q->count; i++) {
        sigv4_encode(&s->encoded, q->at[i].name, false);
        stop[2 * i] = s->encoded.len;
        sigv4_encode(&s->encoded, q->at[i].value, false);
        stop[2 * i + 1] = s->encoded.len;
    }
    for (uint32_t i = 0, from = 0; i < q->count; from = stop[2 * i + 1], i++) {
        q->at[i].name = (slice_t){s->encoded.at + from, stop[2 * i] - from};
        q->at[i].value = (slice_t){s->encoded.at + stop[2 * i], stop[2 * i + 1] - stop[2 * i]};
    }
    qsort(q->at, q->count, sizeof q->at[0], by_name);
}

static void add_query(buf_t *out, const list_t *q) {
    for (size_t i = 0; i < q->count; i++) {
        if (i)
            buf_add_char(out, '&');
        buf_add_slice(out, q->at[i].name);
        buf_add_char(out, '=');
        buf_add_slice(out, q->at[i].value);
    }
}

static void add_address(buf_t *out, const signing_t *s) {
    buf_add_slice(out, s->request->origin);
    sigv4_encode(out, s->request->path, true);
    if (s->query.count)
        buf_add_char(out, '?');
    add_query(out, &s->query);
}

/* A value as it is signed: no blanks around it, one instead of several. */
static void add_value(buf_t *out, slice_t v) {
    uint32_t start = out->len;
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] != ' ' || (out->len > start && out->at[out->len - 1] != ' '))
            buf_add_char(out, v.at[i]);
    if (out->len > start && out->at[out->len - 1] == ' ')
        out->len--;
}

static void canonical(buf_t *out, const signing_t *s) {
    const sigv4_request_t *r = s->request;
    buf_add_slice(out, r->method);
    buf_add_char(out, '\n');
    sigv4_encode(out, r->path, true);
    buf_add_char(out, '\n');
    add_query(out, &s->query);
    buf_add_char(out, '\n');
    for (size_t i = 0; i < s->headers.count; i++) {
        buf_add_slice(out, s->headers.at[i].name);
        buf_add_char(out, ':');
        add_value(out, s->headers.at[i].value);
        buf_add_char(out, '\n');
    }
    buf_add_char(out, '\n');
    buf_add_slice(out, buf_slice(&s->names));
    buf_add_char(out, '\n');
    buf_add_slice(out, r->payload);
}

static slice_t of_hash(const uint8_t hash[32]) {
    return (slice_t){(const char *)hash, 32};
}

/* The secret, bound to day, region and service. */
static void signing_key(const signing_t *s, uint8_t key[32]) {
    buf_t secret = {0};
    buf_add_text(&secret, "AWS4");
    buf_add_slice(&secret, s->keys->secret);
    crypt_hmac_sha256(buf_slice(&secret), (slice_t){s->time, 8}, key);
    crypt_hmac_sha256(of_hash(key), s->keys->region, key);
    crypt_hmac_sha256(of_hash(key), SLICE("s3"), key);
    crypt_hmac_sha256(of_hash(key), SLICE("aws4_request"), key);
    sodium_memzero(secret.at, secret.len);
    buf_free(&secret);
}

static void signature(const signing_t *s, char hex[65]) {
    uint8_t key[32], mac[32];
    buf_t text = {0}, to_sign = {0};
    canonical(&text, s);
    sigv4_payload(buf_slice(&text), hex);
    buf_addf(&to_sign, "AWS4-HMAC-SHA256\n%s\n", s->time);
    buf_add_slice(&to_sign, buf_slice(&s->scope));
    buf_addf(&to_sign, "\n%s", hex);
    signing_key(s, key);
    crypt_hmac_sha256(of_hash(key), buf_slice(&to_sign), mac);
    hex_of(mac, hex);
    sodium_memzero(key, sizeof key);
    buf_free(&text);
    buf_free(&to_sign);
}

void sigv4_presign(buf_t *out, const sigv4_keys_t *keys, const sigv4_request_t *r,
                   uint32_t expires_s) {
    signing_t s;
    char hex[65];
    buf_t credential = {0}, life = {0};
    sigv4_request_t unsigned_body = *r;
    unsigned_body.payload = SIGV4_UNSIGNED;
    assert(expires_s >= 1 && expires_s <= SIGV4_EXPIRES_MAX);
    begin(&s, keys, &unsigned_body);
    sort_headers(&s);
    buf_add_slice(&credential, keys->key);
    buf_add_char(&credential, '/');
    buf_add_slice(&credential, buf_slice(&s.scope));
    buf_add_int(&life, expires_s);
    add(&s.query, SLICE("X-Amz-Algorithm"), SLICE("AWS4-HMAC-SHA256"));
    add(&s.query, SLICE("X-Amz-Credential"), buf_slice(&credential));
    add(&s.query, SLICE("X-Amz-Date"), slice_of(s.time));
    add(&s.query, SLICE("X-Amz-Expires"), buf_slice(&life));
    add(&s.query, SLICE("X-Amz-SignedHeaders"), buf_slice(&s.names));
    if (keys->token.len)
        add(&s.query, SLICE("X-Amz-Security-Token"), keys->token);
    sort_query(&s);
    signature(&s, hex);
    add_address(out, &s);
    buf_addf(out, "&X-Amz-Signature=%s", hex);
    buf_free(&credential);
    buf_free(&life);
    end(&s);
}

static void add_header_lines(buf_t *out, const list_t *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        if (slice_eq(headers->at[i].name, SLICE("host"))) /* the client makes it of the address */
            continue;
        buf_add_slice(out, headers->at[i].name);
        buf_add_text(out, ": ");
        buf_add_slice(out, headers->at[i].value);
        buf_add_char(out, '\n');
    }
}

void sigv4_sign(buf_t *address, buf_t *headers, const sigv4_keys_t *keys,
                const sigv4_request_t *r) {
    signing_t s;
    char hex[65];
    begin(&s, keys, r);
    add(&s.headers, SLICE("x-amz-content-sha256"), r->payload);
    add(&s.headers, SLICE("x-amz-date"), slice_of(s.time));
    if (keys->token.len)
        add(&s.headers, SLICE("x-amz-security-token"), keys->token);
    sort_headers(&s);
    sort_query(&s);
    signature(&s, hex);
    add_address(address, &s);
    add_header_lines(headers, &s.headers);
    buf_add_text(headers, "authorization: AWS4-HMAC-SHA256 Credential=");
    buf_add_slice(headers, keys->key);
    buf_add_char(headers, '/');
    buf_add_slice(headers, buf_slice(&s.scope));
    buf_add_text(headers, ",SignedHeaders=");
    buf_add_slice(headers, buf_slice(&s.names));
    buf_addf(headers, ",Signature=%s\n", hex);
    end(&s);
}
