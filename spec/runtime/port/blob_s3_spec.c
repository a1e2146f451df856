/* What the S3 engine does without a real store: the addresses it gives, what it says at start, and
 * what it tidies up, against a store that the spec plays. With a real store: spec/s3. */
#include "port/blob.h"
#include "s3_fake.h"
#include "stage.h"

#define BODY(text)                                                                                 \
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/xml\r\n\r\n" text
#define GONE "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"

static s3_fake_t *fake;
static blob_t *blob;

static void begin(const char *const *answers, int count) {
    char url[128];
    fake = fake_start();
    memcpy(fake->answers, answers, (size_t)count * sizeof *answers);
    fake->count = count;
    snprintf(url, sizeof url, "s3://bucket?endpoint=http://127.0.0.1:%u&public=https://files.lan",
             fake->port);
    stage_new();
    stage_set("data.dir", stage->dir);
    stage_set("files.url", url);
    stage_set("files.s3_key", "key");
    stage_set("files.s3_secret", "secret");
    blob = blob_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (!blob)
        abort();
    stage_start();
}
static void end(void) {
    blob_stop(blob);
    stage_stop();
    blob_close(blob);
    stage_free();
    fake_stop(fake);
}

static bool asked(int n) {
    for (int i = 0; i < 3000 && atomic_load(&fake->asked) < n; i++)
        usleep(10000);
    return atomic_load(&fake->asked) >= n;
}

#define OBJECT(key, at) "<Contents><Key>" key "</Key><LastModified>" at "</LastModified></Contents>"
#define UPLOAD(key, id, at)                                                                        \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>" at "</Initiated></Upload>"
#define OLD   "2020-01-02T03:04:05.000Z"
#define YOUNG "2999-01-02T03:04:05.000Z"

SPEC("removes what was put or begun more than 8 days ago and no request will name, nothing else") {
    static const char *const answers[] = {
        BODY("<ListBucketResult>" OBJECT("up/1", OLD) OBJECT("up/2", YOUNG) OBJECT("up/3", OLD)
                 OBJECT("up/4", "no time") "</ListBucketResult>"),
        GONE, GONE,
        BODY("<ListMultipartUploadsResult>" UPLOAD("f/5", "u5", YOUNG)
                 UPLOAD("f/6", "u6", OLD) "</ListMultipartUploadsResult>"),
        GONE};
    begin(answers, 5);
    CHECK(asked(5));
    CHECK(strstr(fake->asks[0], "GET /bucket/?list-type=2&max-keys=100&prefix=up%2F HTTP/1.1"));
    CHECK(strstr(fake->asks[1], "DELETE /bucket/up/1 HTTP/1.1\r\n"));
    CHECK(strstr(fake->asks[2], "DELETE /bucket/up/3 HTTP/1.1\r\n"));
    CHECK(strstr(fake->asks[3], "GET /bucket/?max-uploads=100&prefix=f%2F&uploads= HTTP/1.1"));
    CHECK(strstr(fake->asks[4], "DELETE /bucket/f/6?uploadId=u6 HTTP/1.1\r\n"));
    end();
}

static slice_t address(int64_t size, int64_t part_size, int64_t part) {
    static buf_t b;
    b.len = 0;
    blob_object_t o = {.id = 7,
                       .size = size,
                       .part_size = part_size,
                       .type = SLICE("image/png"),
                       .upload = SLICE("u/1")};
    blob_put_url(blob, &o, part, 1760000000, 1760001800, &b);
    buf_add_char(&b, 0);
    return (slice_t){b.at, b.len - 1};
}
static bool holds(slice_t s, const char *words) {
    return strstr(s.at, words) != NULL;
}

SPEC("signs size and type of a whole file, number, upload and size of a part, for the outside") {
    static const char *const answers[] = {BODY("<ListBucketResult/>")};
    begin(answers, 1);
    CHECK(blob_outside(blob));
    slice_t a = address(5, 0, 0);
    CHECK(holds(a, "https://files.lan/bucket/up/7?X-Amz-"));
    CHECK(holds(a, "&X-Amz-Date=20251009T085320Z&X-Amz-Expires=1800&"));
    CHECK(holds(a, "&X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost&"));
    a = address(11, 5, 3);
    CHECK(holds(a, "https://files.lan/bucket/f/7?X-Amz-"));
    CHECK(holds(a, "&X-Amz-SignedHeaders=content-length%3Bhost&partNumber=3&uploadId=u%2F1&"));
    blob_object_t o = {.id = 7, .size = 5, .type = SLICE("image/png")};
    buf_t one = {0}, two = {0};
    blob_get_url(blob, &o, false, SLICE("inline"), 1760000000, 1760086400, &one);
    blob_get_url(blob, &o, false, SLICE("inline"), 1760000000, 1760086400, &two);
    CHECK(slice_eq(buf_slice(&one), buf_slice(&two)));
    buf_add_char(&one, 0);
    CHECK(holds(buf_slice(&one), "https://files.lan/bucket/f/7?X-Amz-"));
    CHECK(holds(buf_slice(&one), "&response-content-disposition=inline&response-content-type="
                                 "image%2Fpng&"));
    buf_free(&one);
    buf_free(&two);
    end();
}

typedef struct look {
    uint64_t cookie;
    blob_object_t o;
} look_t;
static void look(actor_t *self, void *arg) {
    const look_t *l = arg;
    blob_look(blob, self, &l->o, 0, 20000, STAGE_REPLY, l->cookie);
}

SPEC("an answer without what S3 tells of an object is no file; another size is not the finished "
     "one") {
    static const char *const answers[] = {
        BODY("<ListBucketResult/>"), BODY("<ListMultipartUploadsResult/>"), BODY("<html></html>"),
        "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"x\"\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"y\"\r\nContent-Length: 5\r\n\r\n"};
    begin(answers, 5);
    CHECK(asked(2));
    look_t l = {stage_cookie(), {.id = 7, .size = 5, .type = SLICE("image/png")}};
    stage_do(0, look, &l);
    CHECK_INT(stage_answer(l.cookie)->err, ERR_IO);
    l.cookie = stage_cookie();
    stage_do(0, look, &l);
    const stage_answer_t *a = stage_answer(l.cookie);
    CHECK_INT(a->err, ERR_OK);
    const blob_found_t *f = (const blob_found_t *)a->data;
    CHECK(!f->finished && f->size == 5);
    CHECK(strstr(fake->asks[3], "HEAD /bucket/f/7 ") &&
          strstr(fake->asks[4], "HEAD /bucket/up/7 "));
    end();
}

static const char *refusal(const char *url, const char *key) {
    static char text[600];
    stage_new();
    stage_set("files.url", url);
    stage_set("files.s3_key", key);
    stage_set("files.s3_secret", "secret");
    blob_t *b = blob_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    snprintf(text, sizeof text, "%s", b ? "opened" : stage->fault);
    stage_free();
    return text;
}

SPEC("says at start what is wrong with URL or keys") {
    const char *text = refusal("s3://files", "");
    CHECK_TEXT(text, strlen(text), "files.s3_key is missing");
    text = refusal("s3://x", "key");
    CHECK(strstr(text, "files.url: s3://BUCKET: a bucket's name has 3 to 63"));
}

SPEC_MAIN
