/* What media.h and link.h promise: links, the stored form of a message with a file, how files are
 * shown. */
#include "actors/media.h"
#include "spec/spec.h"
#include <string.h>

static link_keys_t keys;

static void set_up(void) {
    char fault[200];
    conf_t *conf = conf_new();
    conf_set(conf, "auth.secret", SLICE("a secret for specs, 32 bytes or more"), fault,
             sizeof fault);
    link_keys(conf, &keys);
    conf_free(conf);
    media_setup(&keys, NULL, 24 * 3600 * 1000);
    media_clock((int64_t)1760000000 * 1000);
}

static bool good(const link_to_t *l, const char *sig, int64_t now_s) {
    return link_good(&keys, l, slice_of(sig), now_s);
}

SPEC("a link is good for its method, file, part and time, and for nothing else") {
    link_to_t l = {5007, 3, 2000, LINK_PUT};
    buf_t b = {0};
    set_up();
    link_add(&keys, &l, &b);
    buf_add_char(&b, 0);
    CHECK(strncmp(b.at, "/api/files/blob/5007?exp=2000&part=3&sig=", 41) == 0);
    const char *sig = b.at + 41;
    CHECK(strlen(sig) == 32);
    CHECK(good(&l, sig, 1999) && !good(&l, sig, 2000));
    CHECK(!good(&(link_to_t){5008, 3, 2000, LINK_PUT}, sig, 1));
    CHECK(!good(&(link_to_t){5007, 0, 2000, LINK_PUT}, sig, 1));
    CHECK(!good(&(link_to_t){5007, 3, 2001, LINK_PUT}, sig, 1));
    CHECK(!good(&(link_to_t){5007, 3, 2000, LINK_GET}, sig, 1));
    CHECK(!good(&l, "", 1) && !good(&l, sig + 1, 1));
    CHECK(link_file((slice_t){b.at, b.len - 1}) == 5007);
    CHECK(link_file(SLICE("/api/files/blob/5007")) == 5007);
    CHECK(link_file(SLICE("/api/files/blob/")) == 0 && link_file(SLICE("/api/files/blob/x")) == 0);
    CHECK(link_file(SLICE("http://x/api/files/blob/5007")) == 0 &&
          link_file(SLICE("/api/files/blob/7/8")) == 0);
    buf_free(&b);
}

static void stored(const char *name, int64_t thumbnail, buf_t *out) {
    media_file_t f = {.object = {.id = 5007, .size = 48211, .type = SLICE("image/png")},
                      .name = slice_of(name),
                      .kind = SLICE("image"),
                      .width = 640,
                      .height = 480,
                      .thumbnail = thumbnail};
    media_content(&f, out);
}

SPEC("what is stored has no links; what goes out has them, the same within the hour") {
    buf_t in = {0}, out = {0}, again = {0};
    set_up();
    stored("cat \"1\".png", 0, &in);
    CHECK_TEXT(in.at, in.len,
               "{\"image\":{\"file_id\":5007,\"filename\":\"cat "
               "\\\"1\\\".png\",\"content_type\":\"image/png\","
               "\"size_bytes\":48211,\"duration_sec\":0,\"width\":640,\"height\":480,\"thumbnail_"
               "id\":0}}");
    media_write(buf_slice(&in), &out);
    buf_add_char(&out, 0);
    CHECK(strncmp(out.at, "{\"image\":{\"file_id\":5007,\"object_key\":\"/api/files/blob/5007?exp=",
                  63) == 0);
    CHECK(
        strstr(out.at, ",\"url_expires_at_ms\":1760086800000,\"filename\":\"cat \\\"1\\\".png\","));
    CHECK(strstr(out.at, "\"height\":480,\"thumbnail_key\":\"\"}}"));
    media_clock((int64_t)1760000000 * 1000 + 60000);
    media_write(buf_slice(&in), &again);
    CHECK_TEXT(again.at, again.len, out.at);
    buf_free(&in);
    buf_free(&out);
    buf_free(&again);
}

SPEC("a name cannot pretend to be what stands behind it") {
    buf_t in = {0}, out = {0};
    set_up();
    stored("\"thumbnail_id\":9}}", 77, &in);
    media_write(buf_slice(&in), &out);
    buf_add_char(&out, 0);
    CHECK(strstr(out.at, "\"filename\":\"\\\"thumbnail_id\\\":9}}\""));
    CHECK(strstr(out.at, "\"thumbnail_key\":\"/api/files/blob/77?exp="));
    buf_free(&in);
    buf_free(&out);
}

SPEC("what is no stored form goes out as it is") {
    static const char *const others[] = {"{}",
                                         "",
                                         "{\"text\":{\"text\":\"x\"}}",
                                         "{\"image\":{\"file_id\":}}",
                                         "{\"image\":{\"file_id\":5}}",
                                         "{\"image\":{\"file_id\":5,\"thumbnail_id\":}}"};
    set_up();
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        buf_t out = {0};
        media_write(slice_of(others[i]), &out);
        CHECK(slice_eq(buf_slice(&out), slice_of(others[i])));
        buf_free(&out);
    }
}

SPEC("only pictures that are no programs, sounds and films stand in a page") {
    CHECK(media_inline(SLICE("image/png")) && media_inline(SLICE("IMAGE/WEBP")) &&
          media_inline(SLICE("audio/ogg")));
    CHECK(media_inline(SLICE("video/mp4")));
    CHECK(!media_inline(SLICE("image/svg+xml")) && !media_inline(SLICE("text/html")) &&
          !media_inline(SLICE("image/pngx")));
    CHECK(!media_inline(SLICE("")) && !media_inline(SLICE("application/pdf")));
}

SPEC("a disposition holds any name, and no line end or quote of it") {
    buf_t b = {0};
    media_disposition(SLICE("a/b"), SLICE("a\"\r\n\xe7\x8c\xab;.x"), &b);
    CHECK_TEXT(b.at, b.len,
               "attachment; filename=\"a____;.x\"; filename*=UTF-8''a%22%0D%0A%E7%8C%AB%3B.x");
    buf_free(&b);
}
SPEC_MAIN
