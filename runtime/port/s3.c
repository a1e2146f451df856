/* s3: where the bucket is and what it is called, from its URL; and addresses for others. See s3.h.
 */
#include "base/log.h"
#include "base/pool.h"
#include "port/s3_in.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

typedef struct reading {
    s3_t *s3;
    slice_t endpoint, public, region, style;
    char *fault;
    size_t room;
} reading_t;

__attribute__((format(printf, 2, 3))) static bool refuse(const reading_t *r, const char *format,
                                                         ...) {
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(r->fault, r->room, "files.url: %s", what);
    return false;
}

static bool all_of(slice_t s, const char *more) {
    for (size_t i = 0; i < s.len; i++)
        if (!s.at[i] || (!isalnum((unsigned char)s.at[i]) && !strchr(more, s.at[i])))
            return false;
    return true;
}

static void keep(char *room, slice_t s) {
    memcpy(room, s.at, s.len);
    room[s.len] = 0;
}

static bool starts(slice_t s, const char *word) {
    return s.len >= strlen(word) && memcmp(s.at, word, strlen(word)) == 0;
}

static slice_t behind(slice_t s, size_t n) {
    return (slice_t){s.at + n, s.len - n};
}

/* --- the parts of the URL --- */

static bool read_bucket(const reading_t *r, slice_t path) {
    s3_t *s = r->s3;
    const char *slash = memchr(path.at, '/', path.len);
    slice_t name = {path.at, slash ? (size_t)(slash - path.at) : path.len}, prefix = {"", 0};
    if (slash)
        prefix = behind(path, name.len + 1);
    if (name.len < 3 || name.len > 63 || !all_of(name, "-._"))
        return refuse(r, "s3://BUCKET: a bucket's name has 3 to 63 of a-z 0-9 . -");
    if (prefix.len > 200 || !all_of(prefix, "-._/") || starts(prefix, "/") ||
        memmem(prefix.at, prefix.len, "//", 2) || memmem(prefix.at, prefix.len, "..", 2))
        return refuse(r, "what stands behind the bucket has 200 of a-z 0-9 . - _ / at most");
    keep(s->bucket, name);
    keep(s->prefix, prefix);
    if (prefix.len && prefix.at[prefix.len - 1] != '/')
        strcat(s->prefix, "/");
    return true;
}

static bool read_parameter(reading_t *r, slice_t pair) {
    const struct {
        const char *name;
        slice_t *value;
    } known[] = {{"endpoint=", &r->endpoint},
                 {"public=", &r->public},
                 {"region=", &r->region},
                 {"style=", &r->style}};
    char safe[64];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (starts(pair, known[i].name)) {
            *known[i].value = behind(pair, strlen(known[i].name));
            return true;
        }
    return refuse(r, "'%s' is not understood: endpoint, public, region and style are known",
                  log_safe(pair, safe, sizeof safe));
}

static bool read_parameters(reading_t *r, slice_t query) {
    while (query.len) {
        const char *amp = memchr(query.at, '&', query.len);
        slice_t pair = {query.at, amp ? (size_t)(amp - query.at) : query.len};
        if (!read_parameter(r, pair))
            return false;
        query = behind(query, pair.len + (amp != NULL));
    }
    return true;
}

static bool is_address(const char *host) {
    uint8_t ip[16];
    return *host == '[' || inet_pton(AF_INET, host, ip) == 1;
}

/* http[s]://host[:port], as browsers write it into Host: lower case, without the preset port. */
static bool read_origin(const reading_t *r, const char *name, slice_t url, bool host_style,
                        s3_side_t *out) {
    bool tls = starts(url, "https://");
    char host[256], place[330];
    if (!tls && !starts(url, "http://"))
        return refuse(r, "%s must begin with http:// or https://", name);
    slice_t rest = behind(url, tls ? 8 : 7);
    if (rest.len && rest.at[rest.len - 1] == '/')
        rest.len--;
    size_t end = rest.len;
    while (end > 0 && isdigit((unsigned char)rest.at[end - 1]))
        end--;
    bool port = end > 0 && end < rest.len && rest.at[end - 1] == ':';
    slice_t h = {rest.at, port ? end - 1 : rest.len}, p = behind(rest, port ? end : rest.len);
    if (h.len == 0 || h.len >= sizeof host || !all_of(h, "-.[]:") || p.len > 5 ||
        (h.at[0] != '[' && memchr(h.at, ':', h.len)))
        return refuse(r, "%s must be a scheme and host[:port], nothing behind it", name);
    keep(host, h);
    for (char *c = host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (host_style && is_address(host))
        return refuse(r, "style=host needs a host with a name, which %s is not", host);
    if (host_style && tls && strchr(r->s3->bucket, '.'))
        return refuse(r, "a bucket with a dot needs style=path: no certificate fits its host");
    bool preset = slice_eq(p, tls ? SLICE("443") : SLICE("80"));
    snprintf(place, sizeof place, "%s%s%.*s", host, p.len && !preset ? ":" : "",
             preset ? 0 : (int)p.len, p.at);
    snprintf(out->origin, sizeof out->origin, "%s%s%s%s", tls ? "https://" : "http://",
             host_style ? r->s3->bucket : "", host_style ? "." : "", place);
    if (!host_style)
        snprintf(out->path, sizeof out->path, "/%s", r->s3->bucket);
    return true;
}

static bool read_sides(reading_t *r) {
    char preset[128];
    if (!r->region.len)
        r->region = SLICE("us-east-1");
    if (r->region.len > 64 || !all_of(r->region, "-_"))
        return refuse(r, "region has 64 of a-z 0-9 - at most");
    keep(r->s3->region, r->region);
    bool amazon = r->endpoint.len == 0;
    snprintf(preset, sizeof preset, "https://s3.%s.amazonaws.com", r->s3->region);
    if (amazon)
        r->endpoint = slice_of(preset);
    if (r->style.len && !slice_eq(r->style, SLICE("path")) && !slice_eq(r->style, SLICE("host")))
        return refuse(r, "style is path or host");
    bool host_style = r->style.len ? slice_eq(r->style, SLICE("host")) : amazon;
    if (!r->public.len)
        r->public = r->endpoint;
    return read_origin(r, "endpoint", r->endpoint, host_style, &r->s3->inside) &&
           read_origin(r, "public", r->public, host_style, &r->s3->outside);
}

static bool read_url(reading_t *r, slice_t url) {
    if (!starts(url, "s3://"))
        return refuse(r, "must begin with s3://BUCKET");
    const char *mark = memchr(url.at, '?', url.len);
    size_t stop = mark ? (size_t)(mark - url.at) : url.len;
    slice_t query = mark ? behind(url, stop + 1) : (slice_t){"", 0};
    return read_bucket(r, (slice_t){url.at + 5, stop - 5}) && read_parameters(r, query) &&
           read_sides(r);
}

/* --- keys --- */

static bool read_key(const reading_t *r, const char *name, slice_t value, char *room, size_t size) {
    const char *wrong = value.len == 0 ? "is missing" : value.len >= size ? "is too long" : NULL;
    for (size_t i = 0; i < value.len && !wrong; i++)
        if (value.at[i] <= ' ' || value.at[i] == 0x7f)
            wrong = "holds a blank or a control character";
    if (wrong) {
        snprintf(r->fault, r->room, "%s %s", name, wrong);
        return false;
    }
    keep(room, value);
    return true;
}

static bool read_ca(const reading_t *r, slice_t path) {
    char *ca = r->s3->ca;
    if (path.len >= sizeof r->s3->ca)
        path.len = 0;
    keep(ca, path);
    if (!*ca || access(ca, R_OK) == 0)
        return true;
    snprintf(r->fault, r->room, "files.s3_ca: %.300s: %s", ca, strerror(errno));
    return false;
}

s3_t *s3_open(const s3_conf_t *conf, char *fault, size_t room) {
    s3_t *s = pool_zalloc(sizeof *s);
    reading_t r = {.s3 = s, .fault = fault, .room = room};
    bool ok = read_url(&r, conf->url) && read_ca(&r, conf->ca) &&
              read_key(&r, "files.s3_key", conf->key, s->key, sizeof s->key) &&
              read_key(&r, "files.s3_secret", conf->secret, s->secret, sizeof s->secret) &&
              (conf->token.len == 0 ||
               read_key(&r, "files.s3_token", conf->token, s->token, sizeof s->token));
    if (ok)
        return s;
    s3_close(s);
    return NULL;
}

void s3_close(s3_t *s) {
    if (!s)
        return;
    sodium_memzero(s, sizeof *s);
    pool_free(s, sizeof *s);
}

/* --- addresses --- */

void s3_path(const s3_t *s, const s3_side_t *side, const char *key, buf_t *out) {
    buf_add_text(out, side->path);
    buf_add_char(out, '/');
    buf_add_text(out, key ? s->prefix : "");
    buf_add_text(out, key ? key : "");
}

void s3_address(const s3_t *s, const char *method, const char *key, const sigv4_pair_t *query,
                size_t query_count, const sigv4_pair_t *headers, size_t header_count,
                int64_t from_s, int64_t until_s, buf_t *out) {
    buf_t path = {0};
    s3_path(s, &s->outside, key, &path);
    int64_t skew = atomic_load_explicit(&s->skew_ms, memory_order_relaxed);
    int64_t life = until_s - from_s;
    life = life < 1 ? 1 : life > SIGV4_EXPIRES_MAX ? SIGV4_EXPIRES_MAX : life;
    sigv4_keys_t keys = s3_keys(s);
    sigv4_request_t r = {.method = slice_of(method),
                         .origin = slice_of(s->outside.origin),
                         .path = buf_slice(&path),
                         .query = query,
                         .headers = headers,
                         .query_count = query_count,
                         .header_count = header_count,
                         .at_s = from_s + (skew + (skew < 0 ? -500 : 500)) / 1000};
    sigv4_presign(out, &keys, &r, (uint32_t)life);
    buf_free(&path);
}

const char *s3_origin(const s3_t *s) {
    return s->outside.origin;
}

const char *s3_trouble(const s3_t *s, bool *wrong) {
    s3_state_t state = (s3_state_t)atomic_load_explicit(&s->state, memory_order_relaxed);
    static const char *const words[] = {NULL,
                                        NULL,
                                        "the store does not answer",
                                        "the store's certificate is not trusted",
                                        "there is no such bucket",
                                        "the store refuses the key",
                                        "the store is in another region or place"};
    *wrong = state >= S3_NO_BUCKET;
    return words[state];
}
