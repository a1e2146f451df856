/* Files in a real S3 bucket when something is wrong: the store dies in the middle of a call, is
 * down, has no such bucket, refuses the keys; and the addresses it may be reached at. Run by
 * tools/s3 with .., or by tools/test s3. */
#include "port/s3.h"
#include "proxy.h"
#include "store.h"

static proxy_t *proxy;

static const char *url_at(const char *bucket, int port, const char *more) {
    static char url[256];
    snprintf(url, sizeof url, "s3://%s?endpoint=http://127.0.0.1:%d%s", bucket, port, more);
    return url;
}

static void through_proxy(const char *lost) {
    proxy = proxy_start(given_port());
    strcpy(proxy->lost, lost);
    char more[128]; /* clients reach the store past the proxy */
    snprintf(more, sizeof more, "&public=http://127.0.0.1:%d", given_port());
    store_with(url_at("parley-specs", proxy->port, more), given("KEY"), given("SECRET"));
}
static void back_again(void) {
    *proxy->lost = 0;
    atomic_store(&proxy->dark, false);
}
static void proxy_end(void) {
    store_end();
    proxy_stop(proxy);
}

static const stage_answer_t *finish_soon(const blob_object_t *o) {
    return asked((call_t){.verb = DO_FINISH, .o = o, .etag = SLICE(""), .timeout_ms = 2000});
}
static bool failed(int err) {
    return err == ERR_TIMEOUT || err == ERR_IO;
}
/* Until the store has "died" of it: where the machine stood still the time may be over before
 * anything was asked. */
static bool fails_soon(const blob_object_t *o) {
    bool all = true;
    for (int i = 0; i < 30 && all && !atomic_load(&proxy->dark); i++)
        all = failed(finish_soon(o)->err);
    return all && atomic_load(&proxy->dark);
}

SPEC("the store dies while it copies: a clear error; the repeat succeeds") {
    through_proxy("PUT ");
    blob_object_t o = object(5, "image/png");
    CHECK_INT(put(&o, "hello"), 200);
    CHECK(fails_soon(&o));
    CHECK(failed(finish_soon(&o)->err)); /* it is still down */
    back_again();
    const blob_found_t *f = found(finish(&o, ""));
    CHECK(f->finished && f->size == 5);
    CHECK(reads(&o, "hello"));
    drop(&o);
    proxy_end();
}

SPEC("the store dies before the temporary name is deleted, or while it is: the file is finished") {
    static const char *const moments[] = {"HEAD /parley-specs/f/", "DELETE "};
    for (int i = 0; i < 2; i++) {
        through_proxy(i ? moments[i] : "");
        blob_object_t o = object(5, "image/png");
        CHECK_INT(put(&o, "hello"), 200);
        if (i == 0)
            strcpy(proxy->lost, moments[0]);
        int err = finish_soon(&o)->err;
        CHECK(i ? err == ERR_OK || failed(err) : failed(err));
        back_again();
        CHECK(found(finish(&o, ""))->finished);
        CHECK(reads(&o, "hello"));
        CHECK_INT(drop(&o)->err, ERR_OK);
        CHECK_INT(look(&o)->err, ERR_NOT_FOUND);
        proxy_end();
    }
}

SPEC("the store dies while it puts parts together: a clear error; the repeat succeeds") {
    char upload[BLOB_UPLOAD_MAX + 1];
    through_proxy("");
    blob_object_t o = object(1000, "video/mp4");
    o.part_size = 5 * MIB;
    const stage_answer_t *a = asked((call_t){.verb = DO_BEGIN, .o = &o});
    CHECK_INT(a->err, ERR_OK);
    memcpy(upload, stage_body(a).at, stage_body(a).len);
    o.upload = (slice_t){upload, stage_body(a).len};
    char bytes[1000];
    memset(bytes, 'x', sizeof bytes);
    CHECK_INT(put_part(&o, 1, (slice_t){bytes, sizeof bytes}), 200);
    strcpy(proxy->lost, "POST ");
    CHECK(fails_soon(&o));
    back_again();
    CHECK(found(finish(&o, ""))->finished);
    CHECK_INT(get(&o)->body.len, 1000);
    drop(&o);
    proxy_end();
}

SPEC("who waits too short while the store copies is told so; the copy is not begun anew") {
    through_proxy("PUT ");
    atomic_store(&proxy->slow, true);
    blob_object_t o = object(5, "image/png");
    CHECK_INT(put(&o, "hello"), 200);
    for (int i = 0; i < 30 && atomic_load(&proxy->lost_count) == 0; i++)
        CHECK_INT(finish_soon(&o)->err, ERR_TIMEOUT);
    atomic_store(&proxy->slow, false);
    const blob_found_t *f = found(finish(&o, ""));
    CHECK(f->finished && f->size == 5);
    CHECK_INT(atomic_load(&proxy->lost_count), 1);
    CHECK(reads(&o, "hello"));
    drop(&o);
    proxy_end();
}

/* --- what is the matter --- */

static bool trouble_is(const char *words, bool want_wrong) {
    bool wrong = false;
    for (int i = 0; i < 3000; i++) { /* a look at the bucket follows the start */
        const char *t = blob_trouble(blob, &wrong);
        if (t && strstr(t, words) && wrong == want_wrong)
            return true;
        usleep(10000);
    }
    return false;
}

SPEC("no such bucket, wrong keys, no store at all: said in words, and no request succeeds") {
    blob_object_t o = object(5, "image/png");
    store_with(url_at("parley-nothing", given_port(), ""), given("KEY"), given("SECRET"));
    CHECK(trouble_is("no such bucket", true));
    CHECK_INT(put(&o, "hello"), 404);
    CHECK(finish_soon(&o)->err != ERR_OK);
    store_end();
    store_with(given("URL"), given("KEY"), "another-secret");
    CHECK(trouble_is("refuses the key", true));
    CHECK_INT(put(&o, "hello"), 403);
    CHECK_INT(finish_soon(&o)->err, ERR_IO);
    store_end();
    store_with(given("URL"), "another-key", given("SECRET"));
    CHECK(trouble_is("refuses the key", true));
    store_end();
    uint16_t nobody;
    int fd = proxy_socket(&nobody, 0);
    close(fd);
    store_with(url_at("parley-specs", nobody, ""), given("KEY"), given("SECRET"));
    CHECK(trouble_is("does not answer", false));
    CHECK(failed(finish_soon(&o)->err));
    store_end();
}

/* --- a clock that is wrong --- */

static int64_t wrong_clock(void *arg) {
    return clock_wall_ms() + *(const int64_t *)arg;
}
static uint32_t enough(void *arg) {
    (void)arg;
    return 20000;
}
static bool never(void *arg) {
    (void)arg;
    return false;
}

SPEC("a clock that is hours off does not matter: the store's time is learnt, for addresses too") {
    static const int64_t hours[] = {-3, 5};
    for (int i = 0; i < 2; i++) {
        char fault[256];
        int64_t off = hours[i] * 3600000, from = (clock_wall_ms() + off) / 1000;
        const s3_conf_t conf = {slice_of(given("URL")), slice_of(given("KEY")),
                                slice_of(given("SECRET")), SLICE(""), SLICE("")};
        s3_t *s3 = s3_open(&conf, fault, sizeof fault);
        s3_conn_t *c = s3_conn_open(s3, &(s3_host_t){wrong_clock, enough, never, &off});
        s3_object_t o;
        buf_t url = {0};
        log_level_set(LOG_ERROR + 1);
        CHECK_INT(s3_head(c, "f/none", &o), ERR_NOT_FOUND);
        s3_address(s3, "PUT", "f/clock", NULL, 0, NULL, 0, from, from + 60, &url);
        CHECK_INT(http("PUT", buf_slice(&url), "Content-Type:", SLICE("x"))->status, 200);
        CHECK_INT(s3_head(c, "f/clock", &o), ERR_OK);
        CHECK_INT(s3_delete(c, "f/clock"), ERR_OK);
        buf_free(&url);
        s3_conn_close(c);
        s3_close(s3);
    }
}

/* --- addresses --- */

/* style and host as the URL says; the server knows the domain localhost. */
static bool works_at(const char *url, const char *begins) {
    store_with(url, given("KEY"), given("SECRET"));
    blob_object_t o = object(5, "image/png");
    slice_t address = put_address(&o, 0);
    bool ok = address.len > strlen(begins) && memcmp(address.at, begins, strlen(begins)) == 0;
    ok = ok && put(&o, "hello") == 200 && finish(&o, "")->err == ERR_OK && reads(&o, "hello");
    ok = ok && drop(&o)->err == ERR_OK;
    store_end();
    return ok;
}

SPEC("path-style, host-style, and an outside address that is not the inside one") {
    char url[256], begins[128];
    int port = given_port();
    snprintf(begins, sizeof begins, "http://127.0.0.1:%d/parley-specs/up/", port);
    CHECK(works_at(url_at("parley-specs", port, "&style=path"), begins));
    snprintf(url, sizeof url, "s3://parley-specs/a/b?endpoint=http://localhost:%d&style=host",
             port);
    snprintf(begins, sizeof begins, "http://parley-specs.localhost:%d/a/b/up/", port);
    CHECK(works_at(url, begins));
    snprintf(url, sizeof url,
             "s3://parley-specs?endpoint=http://127.0.0.1:%d&public=http://LOCALHOST:%d/", port,
             port);
    snprintf(begins, sizeof begins, "http://localhost:%d/parley-specs/up/", port);
    CHECK(works_at(url, begins));
}

SPEC_MAIN
