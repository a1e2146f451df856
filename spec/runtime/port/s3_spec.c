/* What s3.h promises, against a server that answers what the spec wants. The same client against a
 * real server: blob_s3_spec.c. */
#include "base/err.h"
#include "base/log.h"
#include "port/s3.h"
#include "s3_fake.h"
#include "spec/spec.h"

#define HEAD(status)                                                                               \
    "HTTP/1.1 " status "\r\nDate: Thu, 09 Oct 2025 08:53:20 GMT\r\nConnection: close\r\n"
#define EMPTY(status) HEAD(status) "Content-Length: 0\r\n\r\n"
#define BODY(status, text)                                                                         \
    HEAD(status) "Content-Type: application/xml\r\n\r\n<?xml version=\"1.0\"?>\n" text
#define FAULT(status, code) BODY(status, "<Error><Code>" code "</Code><Message>m</Message></Error>")
#define NOW                 INT64_C(1760000000123) /* 2025-10-09T08:53:20Z */

static s3_fake_t *fake;
static s3_t *s3;
static s3_conn_t *conn;
static int64_t wall_ms;
static _Atomic int left_ms, last_ask; /* behind that many requests no time is left */
static _Atomic bool stopping;

static int64_t wall(void *arg) {
    (void)arg;
    return wall_ms;
}
static uint32_t left(void *arg) { /* a clock of its own: each look costs a millisecond */
    (void)arg;
    if (atomic_load(&fake->asked) >= atomic_load(&last_ask))
        return 1;
    return atomic_load(&left_ms) > 0 ? (uint32_t)atomic_fetch_sub(&left_ms, 1) : 0;
}
static bool ends(void *arg) {
    (void)arg;
    return atomic_load(&stopping);
}

static s3_t *opened(const char *url, const char *key, const char *secret, char *why, size_t room) {
    const s3_conf_t c = {slice_of(url), slice_of(key), slice_of(secret), SLICE(""), SLICE("")};
    return s3_open(&c, why, room);
}

/* Each answer once, the last one again and again. */
static void begin(int count, const char *const *answers) {
    char url[256], fault[256];
    static const s3_host_t host = {wall, left, ends, NULL};
    fake = fake_start();
    fake->count = count;
    memcpy(fake->answers, answers, (size_t)count * sizeof *answers);
    snprintf(url, sizeof url, "s3://bucket/pre?endpoint=http://127.0.0.1:%u&region=eu-1",
             fake->port);
    s3 = opened(url, "key", "secret", fault, sizeof fault);
    if (!s3)
        abort();
    conn = s3_conn_open(s3, &host);
    wall_ms = NOW;
    left_ms = 20000;
    last_ask = FAKE_MAX;
    stopping = false;
    log_level_set(getenv("SPEC_LOG") ? LOG_DEBUG : LOG_ERROR + 1);
}
#define BEGIN(...)                                                                                 \
    do {                                                                                           \
        const char *const all_[] = {__VA_ARGS__};                                                  \
        begin(sizeof all_ / sizeof all_[0], all_);                                                 \
    } while (0)

static void end(void) {
    s3_conn_close(conn);
    s3_close(s3);
    fake_stop(fake);
}

static bool asked(int i, const char *words) {
    return strstr(fake->asks[i], words) != NULL;
}

/* --- the URL --- */

static char fault[256];

static const char *address(const char *url) {
    static char out[1024];
    buf_t b = {0};
    s3_t *s = opened(url, "key", "secret", fault, sizeof fault);
    if (!s)
        return fault;
    s3_address(s, "GET", "f/1", NULL, 0, NULL, 0, 1760000000, 1760000060, &b);
    snprintf(out, sizeof out, "%.*s", (int)strcspn(b.at, "?"), b.at);
    buf_free(&b);
    s3_close(s);
    return out;
}
#define LEADS(url, want)                                                                           \
    do {                                                                                           \
        const char *got = address(url);                                                            \
        CHECK_TEXT(got, strlen(got), want);                                                        \
    } while (0)

SPEC("finds path-style and host-style addresses, prefix, region and the outside address") {
    LEADS("s3://files", "https://files.s3.us-east-1.amazonaws.com/f/1");
    LEADS("s3://files?region=eu-north-1", "https://files.s3.eu-north-1.amazonaws.com/f/1");
    LEADS("s3://files/a/b?style=path", "https://s3.us-east-1.amazonaws.com/files/a/b/f/1");
    LEADS("s3://files?endpoint=http://127.0.0.1:9000/", "http://127.0.0.1:9000/files/f/1");
    LEADS("s3://files?endpoint=http://S3.Lan:80&style=host", "http://files.s3.lan/f/1");
    LEADS("s3://files?endpoint=https://s3.lan:443", "https://s3.lan/files/f/1");
    LEADS("s3://files?endpoint=http://[::1]:9000", "http://[::1]:9000/files/f/1");
    LEADS("s3://files?endpoint=http://10.0.0.1:9000&public=https://files.example.com",
          "https://files.example.com/files/f/1");
}

SPEC("says what is wrong with a URL, and with keys") {
    LEADS("s3:files", "files.url: must begin with s3://BUCKET");
    LEADS("s3://ab", "files.url: s3://BUCKET: a bucket's name has 3 to 63 of a-z 0-9 . -");
    LEADS("s3://a/../b", "files.url: s3://BUCKET: a bucket's name has 3 to 63 of a-z 0-9 . -");
    LEADS("s3://abc/../b",
          "files.url: what stands behind the bucket has 200 of a-z 0-9 . - _ / at most");
    LEADS("s3://files?regoin=x", "files.url: 'regoin=x' is not understood: endpoint, public, "
                                 "region and style are known");
    LEADS("s3://files?style=dns", "files.url: style is path or host");
    LEADS("s3://files?endpoint=ftp://x", "files.url: endpoint must begin with http:// or https://");
    LEADS("s3://files?endpoint=http://x/y",
          "files.url: endpoint must be a scheme and host[:port], nothing behind it");
    LEADS("s3://files?endpoint=http://u@x",
          "files.url: endpoint must be a scheme and host[:port], nothing behind it");
    LEADS("s3://files?public=http://",
          "files.url: public must be a scheme and host[:port], nothing behind it");
    LEADS("s3://files?endpoint=http://127.0.0.1&style=host",
          "files.url: style=host needs a host with a name, which 127.0.0.1 is not");
    LEADS("s3://my.files",
          "files.url: a bucket with a dot needs style=path: no certificate fits its host");
    CHECK(!opened("s3://files", "", "x", fault, sizeof fault));
    CHECK_TEXT(fault, strlen(fault), "files.s3_key is missing");
    CHECK(!opened("s3://files", "x", "a b", fault, sizeof fault));
    CHECK_TEXT(fault, strlen(fault), "files.s3_secret holds a blank or a control character");
}

SPEC("says that a file of certificates is not there") {
    const s3_conf_t c = {SLICE("s3://files"), SLICE("k"), SLICE("s"), SLICE(""),
                         SLICE("/no/ca.pem")};
    CHECK(!s3_open(&c, fault, sizeof fault));
    CHECK_TEXT(fault, strlen(fault), "files.s3_ca: /no/ca.pem: No such file or directory");
}

/* --- calls --- */

SPEC("reads an object's size, type and etag from HEAD") {
    s3_object_t o;
    BEGIN(HEAD("200 OK") "Content-Length: 77\r\nETag: \"abc\"\r\nContent-Type: image/png\r\n\r\n",
          EMPTY("404 Not Found"));
    CHECK_INT(s3_head(conn, "f/1", &o), ERR_OK);
    CHECK_INT(o.size, 77);
    CHECK_TEXT(o.etag, strlen(o.etag), "\"abc\"");
    CHECK_TEXT(o.type, strlen(o.type), "image/png");
    CHECK(asked(0, "HEAD /bucket/pre/f/1 HTTP/1.1\r\n"));
    CHECK(asked(0, "x-amz-date: 20251009T085320Z\r\n"));
    CHECK(asked(0, "Credential=key/20251009/eu-1/s3/aws4_request,"));
    CHECK(!asked(0, "ontent-Type"));
    CHECK_INT(s3_head(conn, "f/2", &o), ERR_NOT_FOUND);
    CHECK_INT(fake->asked, 2);
    end();
}

SPEC("peeks at the first bytes, and at an object that has none") {
    s3_object_t o;
    buf_t bytes = {0};
    BEGIN(HEAD("206 Partial Content") "Content-Range: bytes 0-4/77\r\nContent-Length: 5\r\n"
                                      "ETag: \"abc\"\r\n\r\nhello",
          FAULT("416 Range Not Satisfiable", "InvalidRange"),
          HEAD("200 OK") "Content-Length: 0\r\nETag: \"0\"\r\n\r\n");
    CHECK_INT(s3_peek(conn, "f/1", 5, &o, &bytes), ERR_OK);
    CHECK_INT(o.size, 77);
    CHECK_TEXT(bytes.at, bytes.len, "hello");
    CHECK(asked(0, "range: bytes=0-4\r\n"));
    bytes.len = 0;
    CHECK_INT(s3_peek(conn, "f/1", 5, &o, &bytes), ERR_OK);
    CHECK_INT(o.size, 0);
    CHECK_INT(bytes.len, 0);
    buf_free(&bytes);
    end();
}

SPEC("copies with a condition, and sees an error that stands inside a 200") {
    BEGIN(BODY("200 OK", "<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>"),
          FAULT("200 OK", "InternalError"),
          BODY("200 OK", "<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>"),
          FAULT("412 Precondition Failed", "PreconditionFailed"),
          FAULT("404 Not Found", "NoSuchKey"), FAULT("200 OK", "InternalError"));
    CHECK_INT(s3_copy(conn, "up/1", "f/1", SLICE("\"e\"")), ERR_OK);
    CHECK(asked(0, "PUT /bucket/pre/f/1 HTTP/1.1\r\n") && asked(0, "Content-Length: 0\r\n"));
    CHECK(asked(0, "x-amz-copy-source: /bucket/pre/up/1\r\n"));
    CHECK(asked(0, "x-amz-copy-source-if-match: \"e\"\r\n"));
    CHECK_INT(s3_copy(conn, "up/1", "f/1", SLICE("")), ERR_OK); /* the second try */
    CHECK_INT(fake->asked, 3);
    CHECK_INT(s3_copy(conn, "up/1", "f/1", SLICE("\"e\"")), ERR_STALE);
    CHECK_INT(s3_copy(conn, "up/1", "f/1", SLICE("")), ERR_NOT_FOUND);
    last_ask = fake->asked + 1;
    CHECK_INT(s3_copy(conn, "up/1", "f/1", SLICE("")), ERR_IO);
    end();
}

static char parts_seen[256];

static bool see_part(void *arg, const s3_part_t *p) {
    size_t len = strlen(parts_seen);
    snprintf(parts_seen + len, sizeof parts_seen - len, "%lld:%lld:%s ", (long long)p->number,
             (long long)p->size, p->etag);
    return --*(int *)arg > 0;
}

#define PART(n, size)                                                                              \
    "<Part><PartNumber>" n "</PartNumber><ETag>&quot;e" n "&quot;</ETag><Size>" size               \
    "</Size></Part>"
#define LIST(more, parts)                                                                          \
    BODY("200 OK",                                                                                 \
         "<ListPartsResult><IsTruncated>" more "</IsTruncated>" parts "</ListPartsResult>")

SPEC("begins an upload, lists its parts page by page, ends it with the list, aborts it") {
    buf_t id = {0}, list = {0};
    int most = 100;
    BEGIN(BODY("200 OK", "<InitiateMultipartUploadResult><UploadId>u/1+=</UploadId>"
                         "</InitiateMultipartUploadResult>"),
          LIST("true", PART("1", "5") PART("2", "6")), LIST("false", PART("4", "7")),
          BODY("200 OK", "<CompleteMultipartUploadResult/>"), EMPTY("204 No Content"),
          FAULT("404 Not Found", "NoSuchUpload"));
    CHECK_INT(s3_upload_begin(conn, "f/1", SLICE("video/mp4"), &id), ERR_OK);
    CHECK_TEXT(id.at, id.len, "u/1+=");
    CHECK(asked(0, "POST /bucket/pre/f/1?uploads= HTTP/1.1\r\n"));
    CHECK(asked(0, "content-type: video/mp4\r\n"));
    *parts_seen = 0;
    CHECK_INT(s3_upload_parts(conn, "f/1", buf_slice(&id), see_part, &most), ERR_OK);
    CHECK_TEXT(parts_seen, strlen(parts_seen), "1:5:\"e1\" 2:6:\"e2\" 4:7:\"e4\" ");
    CHECK(asked(1, "GET /bucket/pre/f/1?max-parts=1000&uploadId=u%2F1%2B%3D HTTP/1.1\r\n"));
    CHECK(asked(2, "&part-number-marker=2&"));
    s3_part_add(&list, &(s3_part_t){1, 5, "\"e1\""});
    CHECK_INT(s3_upload_end(conn, "f/1", buf_slice(&id), buf_slice(&list)), ERR_OK);
    CHECK(asked(3, "POST /bucket/pre/f/1?uploadId=u%2F1%2B%3D HTTP/1.1\r\n"));
    CHECK(asked(3, "\r\n\r\n<CompleteMultipartUpload "));
    CHECK(asked(3, "<Part><PartNumber>1</PartNumber><ETag>&#34;e1&#34;</ETag></Part>\n"));
    CHECK_INT(s3_upload_abort(conn, "f/1", buf_slice(&id)), ERR_OK);
    CHECK_INT(s3_upload_abort(conn, "f/1", buf_slice(&id)), ERR_OK);
    buf_free(&id);
    buf_free(&list);
    end();
}

SPEC("stops a list of parts when told, and refuses one that turns in a circle or back") {
    int one = 1, most = 100;
    BEGIN(LIST("true", PART("1", "5") PART("2", "6")), LIST("true", PART("1", "5")),
          LIST("true", PART("1", "5")), LIST("false", PART("2", "5") PART("1", "5")),
          LIST("false", PART("1", "x")), LIST("true", ""), "HTTP/1.1 200 OK\r\n\r\nnot xml");
    *parts_seen = 0;
    CHECK_INT(s3_upload_parts(conn, "f/1", SLICE("u"), see_part, &one), ERR_OK);
    CHECK_TEXT(parts_seen, strlen(parts_seen), "1:5:\"e1\" ");
    for (int i = 0; i < 5; i++)
        CHECK_INT(s3_upload_parts(conn, "f/1", SLICE("u"), see_part, &most), ERR_IO);
    CHECK_INT(fake->asked, 7);
    end();
}

SPEC("says that the list of parts does not fit") {
    BEGIN(FAULT("400 Bad Request", "InvalidPart"));
    CHECK_INT(s3_upload_end(conn, "f/1", SLICE("u"), SLICE("")), ERR_CONFLICT);
    CHECK_INT(fake->asked, 1);
    end();
}

/* --- again --- */

SPEC("tries again after 500, 503 and a lost connection, until it works") {
    BEGIN(FAULT("500 Internal Server Error", "InternalError"), FAULT("503 Slow Down", "SlowDown"),
          "", EMPTY("204 No Content"));
    CHECK_INT(s3_delete(conn, "f/1"), ERR_OK);
    CHECK_INT(fake->asked, 4);
    end();
}

SPEC("gives up when the time is over or the tries are used up") {
    BEGIN(FAULT("503 Slow Down", "SlowDown"));
    CHECK_INT(s3_delete(conn, "f/1"), ERR_BUSY);
    CHECK_INT(fake->asked, 6);
    last_ask = 7;
    CHECK_INT(s3_delete(conn, "f/1"), ERR_BUSY);
    CHECK_INT(fake->asked, 7);
    last_ask = FAKE_MAX;
    left_ms = 0;
    CHECK_INT(s3_delete(conn, "f/1"), ERR_TIMEOUT);
    stopping = true;
    left_ms = 1000;
    CHECK_INT(s3_delete(conn, "f/1"), ERR_GONE);
    CHECK_INT(fake->asked, 7);
    end();
}

SPEC("does not try again what was refused") {
    BEGIN(FAULT("403 Forbidden", "AccessDenied"));
    CHECK_INT(s3_delete(conn, "f/1"), ERR_IO);
    CHECK_INT(fake->asked, 1);
    end();
}

SPEC("signs with the store's time once it has refused ours, for addresses too") {
    buf_t before = {0};
    s3_object_t o;
    BEGIN(EMPTY("403 Forbidden"), HEAD("200 OK") "Content-Length: 7\r\nETag: \"a\"\r\n\r\n",
          EMPTY("404 Not Found"), EMPTY("403 Forbidden"));
    wall_ms = NOW - 3600 * 1000;
    CHECK_INT(s3_head(conn, "f/1", &o), ERR_OK);
    CHECK(asked(0, "x-amz-date: 20251009T075320Z\r\n"));
    CHECK(asked(1, "x-amz-date: 20251009T085320Z\r\n"));
    CHECK_INT(s3_head(conn, "f/1", &o), ERR_NOT_FOUND);
    CHECK(asked(2, "x-amz-date: 20251009T085320Z\r\n"));
    s3_address(s3, "GET", "f/1", NULL, 0, NULL, 0, NOW / 1000 - 3600, NOW / 1000, &before);
    buf_add_char(&before, 0);
    CHECK(strstr(before.at, "X-Amz-Date=20251009T085320Z&X-Amz-Expires=3600&"));
    CHECK_INT(s3_head(conn, "f/1", &o), ERR_IO); /* a refusal for another reason is one */
    CHECK_INT(fake->asked, 4);
    wall_ms = NOW; /* our clock was set right */
    CHECK_INT(s3_head(conn, "f/1", &o), ERR_IO);
    CHECK(asked(4, "x-amz-date: 20251009T095320Z\r\n"));
    CHECK(asked(5, "x-amz-date: 20251009T085320Z\r\n"));
    buf_free(&before);
    end();
}

SPEC("refuses an answer that is too long, and a header that would be two") {
    size_t room = 2 << 20;
    char *large = malloc(room + 256);
    buf_t id = {0};
    int len = snprintf(large, 256, HEAD("200 OK") "\r\n<A>");
    memset(large + len, 'x', room);
    large[(size_t)len + room] = 0;
    BEGIN(large);
    CHECK_INT(s3_upload_begin(conn, "f/1", SLICE("a/b"), &id), ERR_IO);
    CHECK_INT(fake->asked, 1);
    CHECK_INT(s3_upload_begin(conn, "f/1", SLICE("a/b\r\nx-amz-acl: public-read"), &id),
              ERR_BAD_REQUEST);
    CHECK_INT(fake->asked, 1);
    buf_free(&id);
    end();
    free(large);
}

/* --- the state of the bucket --- */

static void see_entry(void *arg, const s3_entry_t *e) {
    char *text = arg;
    size_t len = strlen(text);
    snprintf(text + len, 256 - len, "%s %s %lld;", e->key, e->upload, (long long)e->at_ms);
}

SPEC("lists objects and uploads without the prefix") {
    char text[256] = "";
    BEGIN(BODY("200 OK", "<ListBucketResult><Contents><Key>pre/up/1</Key><LastModified>"
                         "2025-10-09T08:53:20.000Z</LastModified></Contents><Contents><Key>pre/up/2"
                         "</Key><LastModified>soon</LastModified></Contents></ListBucketResult>"),
          BODY("200 OK", "<ListMultipartUploadsResult><Upload><Key>pre/f/3</Key><UploadId>u"
                         "</UploadId><Initiated>2025-10-09T08:53:21Z</Initiated></Upload>"
                         "</ListMultipartUploadsResult>"));
    CHECK_INT(s3_list(conn, "up/", "up/0", 10, see_entry, text), ERR_OK);
    CHECK(asked(0, "GET /bucket/"));
    CHECK(asked(0, "?list-type=2&max-keys=10&prefix=pre%2Fup%2F&start-after=pre%2Fup%2F0 "));
    CHECK_INT(s3_list_uploads(conn, "f/", 5, see_entry, text), ERR_OK);
    CHECK(asked(1, "?max-uploads=5&prefix=pre%2Ff%2F&uploads= "));
    CHECK_TEXT(text, strlen(text), "up/1  1760000000000;f/3 u 1760000001000;");
    end();
}

SPEC("tells what is the matter with the bucket") {
    bool wrong = true;
    BEGIN(BODY("200 OK", "<ListBucketResult/>"), FAULT("404 Not Found", "NoSuchBucket"),
          FAULT("403 Forbidden", "SignatureDoesNotMatch"),
          FAULT("301 Moved Permanently", "PermanentRedirect"), FAULT("503 Slow Down", "SlowDown"));
    CHECK(!s3_trouble(s3, &wrong));
    CHECK_INT(s3_list(conn, "up/", "", 10, see_entry, NULL), ERR_OK);
    CHECK(!s3_trouble(s3, &wrong));
    CHECK_INT(s3_list(conn, "up/", "", 10, see_entry, NULL), ERR_IO);
    CHECK(strstr(s3_trouble(s3, &wrong), "no such bucket"));
    CHECK(wrong);
    CHECK_INT(s3_list(conn, "up/", "", 10, see_entry, NULL), ERR_IO);
    CHECK(strstr(s3_trouble(s3, &wrong), "refuses the key") && wrong);
    CHECK_INT(s3_list(conn, "up/", "", 10, see_entry, NULL), ERR_IO);
    CHECK(strstr(s3_trouble(s3, &wrong), "another region") && wrong);
    CHECK_INT(s3_list(conn, "up/", "", 10, see_entry, NULL), ERR_BUSY);
    CHECK(strstr(s3_trouble(s3, &wrong), "does not answer") && !wrong);
    end();
}

SPEC_MAIN
