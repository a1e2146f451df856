/* s3_calls: the calls of S3 that the node makes: what is asked, and what of the answer is read. See
 * s3.h. */
#include "base/err.h"
#include "base/log.h"
#include "port/s3_in.h"
#include "port/s3_xml.h"
#include <stdio.h>
#include <time.h>

#define PAGES_MAX 64 /* of one list: beyond it something turns in a circle */

static s3_ask_t ask_of(const char *method, const char *key) {
    return (s3_ask_t){.method = method, .key = key, .body = {"", 0}};
}

static void copy_text(char *room, size_t size, slice_t text) {
    if (text.len >= size)
        text.len = 0;
    memcpy(room, text.at, text.len);
    room[text.len] = 0;
}

static bool is_true(slice_t text) {
    return slice_eq(text, SLICE("true"));
}

static int64_t number(slice_t text) {
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || n > INT64_MAX / 100)
            return -1;
        n = n * 10 + (text.at[i] - '0');
    }
    return text.len ? n : -1;
}

int64_t s3_time(slice_t text) {
    char room[32];
    struct tm tm = {0};
    copy_text(room, sizeof room, text);
    const char *rest = strptime(room, "%Y-%m-%dT%H:%M:%S", &tm);
    return rest && (*rest == '.' || *rest == 'Z') ? (int64_t)timegm(&tm) * 1000 : 0;
}

/* An answer that says nothing we understand is no success. */
static int unclear(const s3_conn_t *c, const s3_ask_t *ask) {
    log_warn("s3", "%s of %s: an answer that is not understood (status %ld, %u bytes)", ask->method,
             ask->key ? ask->key : "the bucket", c->answer.status, c->answer.body.len);
    return ERR_IO;
}

static int read_answer(const s3_conn_t *c, const s3_ask_t *ask,
                       void (*visit)(void *arg, const s3_xml_t *at), void *arg) {
    if (s3_xml_read(buf_slice(&c->answer.body), visit, arg) == ERR_OK)
        return ERR_OK;
    return unclear(c, ask);
}

/* --- objects --- */

static int object_of(const s3_conn_t *c, const s3_ask_t *ask, s3_object_t *out) {
    const s3_answer_t *a = &c->answer;
    if (a->length < 0 || !*a->etag)
        return unclear(c, ask);
    out->size = a->length;
    memcpy(out->etag, a->etag, sizeof out->etag);
    memcpy(out->type, a->type, sizeof out->type);
    return ERR_OK;
}

int s3_head(s3_conn_t *c, const char *key, s3_object_t *out) {
    s3_ask_t ask = ask_of("HEAD", key);
    int err = s3_exchange(c, &ask);
    return err == ERR_OK ? object_of(c, &ask, out) : err;
}

int s3_peek(s3_conn_t *c, const char *key, uint32_t n, s3_object_t *out, buf_t *bytes) {
    char range[48];
    s3_ask_t ask = ask_of("GET", key);
    snprintf(range, sizeof range, "bytes=0-%u", n ? n - 1 : 0);
    s3_ask_header(&ask, "range", slice_of(range));
    ask.no_range = true;
    int err = s3_exchange(c, &ask);
    if (err == ERR_RANGE) /* an empty object has no first byte */
        return s3_head(c, key, out);
    if (err == ERR_OK)
        err = object_of(c, &ask, out);
    if (err == ERR_OK)
        buf_add(bytes, c->answer.body.at, c->answer.body.len < n ? c->answer.body.len : n);
    return err;
}

int s3_copy(s3_conn_t *c, const char *from, const char *to, slice_t etag) {
    s3_ask_t ask = ask_of("PUT", to);
    buf_t source = {0};
    buf_addf(&source, "/%s/", c->s3->bucket);
    sigv4_encode(&source, slice_of(c->s3->prefix), true);
    sigv4_encode(&source, slice_of(from), true);
    s3_ask_header(&ask, "x-amz-copy-source", buf_slice(&source));
    if (etag.len)
        s3_ask_header(&ask, "x-amz-copy-source-if-match", etag);
    int err = s3_exchange(c, &ask);
    buf_free(&source);
    return err;
}

int s3_delete(s3_conn_t *c, const char *key) {
    s3_ask_t ask = ask_of("DELETE", key);
    int err = s3_exchange(c, &ask);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* --- uploads in parts --- */

typedef struct text_at {
    const char *path;
    buf_t *out;
} text_at_t;

static void take_text(void *arg, const s3_xml_t *at) {
    const text_at_t *t = arg;
    if (s3_xml_is(at, t->path)) {
        t->out->len = 0;
        buf_add_slice(t->out, at->text);
    }
}

int s3_upload_begin(s3_conn_t *c, const char *key, slice_t type, buf_t *id) {
    s3_ask_t ask = ask_of("POST", key);
    text_at_t t = {"InitiateMultipartUploadResult/UploadId", id};
    s3_ask_query(&ask, "uploads", SLICE(""));
    s3_ask_header(&ask, "content-type", type);
    int err = s3_exchange(c, &ask);
    if (err == ERR_OK)
        err = read_answer(c, &ask, take_text, &t);
    if (err == ERR_OK && (id->len == 0 || id->len > S3_UPLOAD_MAX))
        err = unclear(c, &ask);
    return err;
}

typedef struct part_page {
    bool (*visit)(void *arg, const s3_part_t *part);
    void *arg;
    s3_part_t part;
    int64_t last;
    bool more, wrong, stop;
} part_page_t;

static void end_part(part_page_t *p) {
    p->wrong = p->wrong || p->part.number <= p->last || p->part.size < 0 || !*p->part.etag;
    if (!p->wrong && !p->stop)
        p->stop = !p->visit(p->arg, &p->part);
    p->last = p->part.number;
    p->part = (s3_part_t){.size = -1};
}

static void take_part(void *arg, const s3_xml_t *at) {
    part_page_t *p = arg;
    if (s3_xml_is(at, "ListPartsResult/Part/PartNumber"))
        p->part.number = number(at->text);
    else if (s3_xml_is(at, "ListPartsResult/Part/Size"))
        p->part.size = number(at->text);
    else if (s3_xml_is(at, "ListPartsResult/Part/ETag"))
        copy_text(p->part.etag, sizeof p->part.etag, at->text);
    else if (s3_xml_is(at, "ListPartsResult/Part"))
        end_part(p);
    else if (s3_xml_is(at, "ListPartsResult/IsTruncated"))
        p->more = is_true(at->text);
}

static int part_page(s3_conn_t *c, const char *key, slice_t id, part_page_t *p) {
    char marker[24];
    s3_ask_t ask = ask_of("GET", key);
    snprintf(marker, sizeof marker, "%lld", (long long)p->last);
    s3_ask_query(&ask, "uploadId", id);
    s3_ask_query(&ask, "max-parts", SLICE("1000"));
    if (p->last)
        s3_ask_query(&ask, "part-number-marker", slice_of(marker));
    int64_t before = p->last;
    int err = s3_exchange(c, &ask);
    if (err == ERR_OK)
        err = read_answer(c, &ask, take_part, p);
    if (err == ERR_OK && (p->wrong || (p->more && p->last == before)))
        err = unclear(c, &ask);
    return err;
}

int s3_upload_parts(s3_conn_t *c, const char *key, slice_t id,
                    bool (*visit)(void *arg, const s3_part_t *part), void *arg) {
    part_page_t p = {.visit = visit, .arg = arg, .part = {.size = -1}, .more = true};
    for (int page = 0; page < PAGES_MAX && p.more && !p.stop; page++) {
        p.more = false;
        int err = part_page(c, key, id, &p);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

void s3_part_add(buf_t *list, const s3_part_t *part) {
    buf_addf(list, "<Part><PartNumber>%lld</PartNumber><ETag>", (long long)part->number);
    for (const char *e = part->etag; *e; e++)
        if (strchr("<>&\"", *e))
            buf_addf(list, "&#%d;", *e);
        else
            buf_add_char(list, *e);
    buf_add_text(list, "</ETag></Part>\n");
}

int s3_upload_end(s3_conn_t *c, const char *key, slice_t id, slice_t list) {
    s3_ask_t ask = ask_of("POST", key);
    buf_t body = {0};
    buf_add_text(&body, "<CompleteMultipartUpload "
                        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n");
    buf_add_slice(&body, list);
    buf_add_text(&body, "</CompleteMultipartUpload>\n");
    s3_ask_query(&ask, "uploadId", id);
    s3_ask_header(&ask, "content-type", SLICE("application/xml"));
    ask.body = buf_slice(&body);
    int err = s3_exchange(c, &ask);
    buf_free(&body);
    return err;
}

int s3_upload_abort(s3_conn_t *c, const char *key, slice_t id) {
    s3_ask_t ask = ask_of("DELETE", key);
    s3_ask_query(&ask, "uploadId", id);
    int err = s3_exchange(c, &ask);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* --- lists of the bucket --- */

typedef struct entry_page {
    void (*visit)(void *arg, const s3_entry_t *e);
    void *arg;
    const s3_t *s3;
    s3_entry_t entry;
} entry_page_t;

/* The prefix of the URL is taken off again. */
static void take_key(entry_page_t *p, slice_t text) {
    size_t prefix = strlen(p->s3->prefix);
    if (text.len >= prefix && memcmp(text.at, p->s3->prefix, prefix) == 0)
        copy_text(p->entry.key, sizeof p->entry.key,
                  (slice_t){text.at + prefix, text.len - prefix});
}

static void take_entry(void *arg, const s3_xml_t *at) {
    entry_page_t *p = arg;
    if (s3_xml_is(at, "ListBucketResult/Contents/Key") ||
        s3_xml_is(at, "ListMultipartUploadsResult/Upload/Key"))
        take_key(p, at->text);
    else if (s3_xml_is(at, "ListMultipartUploadsResult/Upload/UploadId"))
        copy_text(p->entry.upload, sizeof p->entry.upload, at->text);
    else if (s3_xml_is(at, "ListBucketResult/Contents/LastModified") ||
             s3_xml_is(at, "ListMultipartUploadsResult/Upload/Initiated"))
        p->entry.at_ms = s3_time(at->text);
    else if (s3_xml_is(at, "ListBucketResult/Contents") ||
             s3_xml_is(at, "ListMultipartUploadsResult/Upload")) {
        if (*p->entry.key && p->entry.at_ms > 0)
            p->visit(p->arg, &p->entry);
        p->entry = (s3_entry_t){0};
    }
}

static int list(s3_conn_t *c, s3_ask_t *ask, const char *name_of_after, const char *prefix,
                const char *after, void (*visit)(void *arg, const s3_entry_t *e), void *arg) {
    buf_t begin = {0}, behind = {0};
    entry_page_t p = {.visit = visit, .arg = arg, .s3 = c->s3};
    buf_addf(&begin, "%s%s", c->s3->prefix, prefix);
    buf_addf(&behind, "%s%s", c->s3->prefix, after);
    s3_ask_query(ask, "prefix", buf_slice(&begin));
    if (*after)
        s3_ask_query(ask, name_of_after, buf_slice(&behind));
    int err = s3_exchange(c, ask);
    if (err == ERR_OK)
        err = read_answer(c, ask, take_entry, &p);
    buf_free(&begin);
    buf_free(&behind);
    return err;
}

int s3_list(s3_conn_t *c, const char *prefix, const char *after, uint32_t max,
            void (*visit)(void *arg, const s3_entry_t *e), void *arg) {
    char count[16];
    s3_ask_t ask = ask_of("GET", NULL);
    snprintf(count, sizeof count, "%u", max);
    s3_ask_query(&ask, "list-type", SLICE("2"));
    s3_ask_query(&ask, "max-keys", slice_of(count));
    ask.counts = true;
    return list(c, &ask, "start-after", prefix, after, visit, arg);
}

int s3_list_uploads(s3_conn_t *c, const char *prefix, uint32_t max,
                    void (*visit)(void *arg, const s3_entry_t *e), void *arg) {
    char count[16];
    s3_ask_t ask = ask_of("GET", NULL);
    snprintf(count, sizeof count, "%u", max);
    s3_ask_query(&ask, "uploads", SLICE(""));
    s3_ask_query(&ask, "max-uploads", slice_of(count));
    return list(c, &ask, "key-marker", prefix, "", visit, arg);
}
