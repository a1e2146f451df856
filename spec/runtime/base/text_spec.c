/* text: checks that the codecs share. */
#include "base/text.h"
#include "spec/spec.h"

static bool valid(const char *s) {
    return text_utf8_valid(s, strlen(s));
}

/* The straightforward rule of RFC 3629 for one code point, to compare with. */
static bool plain_rule(const uint8_t *p, size_t len) {
    if (len == 1)
        return p[0] < 0x80;
    size_t follow = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
    if (follow == 0 || p[0] > 0xf7 || len != follow + 1)
        return false;
    uint32_t c = p[0] & (0x3f >> follow);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return false;
        c = c << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    return c >= least[follow] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

SPEC("takes valid UTF-8") {
    CHECK(valid(""));
    CHECK(valid("plain ASCII that is longer than eight bytes"));
    CHECK(valid("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
    CHECK(valid("\xed\x9f\xbf\xee\x80\x80"));
    CHECK(text_utf8_valid("a\0b", 3));
}

SPEC("refuses every wrong sequence of two and three bytes") {
    uint8_t s[3];
    for (uint32_t v = 0; v < 1u << 16; v++) {
        s[0] = (uint8_t)(v >> 8);
        s[1] = (uint8_t)v;
        bool want = plain_rule(s, 2) || (s[0] < 0x80 && s[1] < 0x80);
        CHECK(text_utf8_valid((char *)s, 2) == want);
    }
    for (uint32_t v = 0; v < 1u << 24; v += 3) {
        s[0] = (uint8_t)(v >> 16);
        s[1] = (uint8_t)(v >> 8);
        s[2] = (uint8_t)v;
        if (s[0] >= 0xe0)
            CHECK(text_utf8_valid((char *)s, 3) == plain_rule(s, 3));
    }
}

SPEC("refuses wrong sequences of four bytes") {
    for (uint32_t lead = 0xf0; lead <= 0xff; lead++)
        for (uint32_t second = 0; second < 256; second++) {
            uint8_t s[4] = {(uint8_t)lead, (uint8_t)second, 0x80, 0xbf};
            CHECK(text_utf8_valid((char *)s, 4) == plain_rule(s, 4));
        }
    CHECK(!valid("\xf0\x9f\x98"));
    CHECK(!valid("\xf0\x9f\x98"
                 "A"));
    CHECK(!valid("\x80"));
}

SPEC("judges fragments cut at any byte like the whole") {
    const char *texts[] = {"a\xc3\xa9z\xe4\xbd\xa0\xf0\x9f\x98\x80!", "\xe4\xbd\xed\xa0\x80",
                           "ok\xff", "\xf0\x9f\x98"};
    for (size_t t = 0; t < 4; t++) {
        size_t len = strlen(texts[t]);
        for (size_t cut = 0; cut <= len; cut++) {
            uint32_t state = 0;
            bool ok = text_utf8_more(&state, texts[t], cut) &&
                      text_utf8_more(&state, texts[t] + cut, len - cut) && state == 0;
            CHECK(ok == text_utf8_valid(texts[t], len));
        }
    }
}

SPEC("counts code points") {
    CHECK_INT(text_utf8_count(SLICE("")), 0);
    CHECK_INT(text_utf8_count(SLICE("a\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80")), 4);
}

SPEC("knows plain text") {
    CHECK(text_is_plain(SLICE("Lena K. \xc3\xa9")));
    CHECK(!text_is_plain(SLICE("a\nb")));
    CHECK(!text_is_plain(SLICE("a\x7f")));
    CHECK(!text_is_plain(SLICE("a\0b")));
}

SPEC("reads integers of digits only, below 2^53") {
    int64_t n = -1;
    CHECK(text_to_int(SLICE("0"), &n) && n == 0);
    CHECK(text_to_int(SLICE("9007199254740991"), &n) && n == 9007199254740991);
    CHECK(!text_to_int(SLICE("9007199254740992"), &n));
    CHECK(!text_to_int(SLICE("99999999999999999999999999"), &n));
    CHECK(!text_to_int(SLICE(""), &n));
    CHECK(!text_to_int(SLICE("-1"), &n));
    CHECK(!text_to_int(SLICE("+1"), &n));
    CHECK(!text_to_int(SLICE("1 "), &n));
    CHECK(!text_to_int(SLICE("1.0"), &n));
    CHECK_INT(n, 9007199254740991);
}

SPEC("writes and reads base64url of every length") {
    uint8_t in[64], out[64];
    for (size_t len = 0; len < sizeof in; len++) {
        for (size_t i = 0; i < len; i++)
            in[i] = (uint8_t)(i * 37 + len);
        buf_t b = {0};
        text_base64url_add(&b, in, len);
        CHECK_INT(b.len, (len * 4 + 2) / 3);
        CHECK_INT(text_base64url_decode(buf_slice(&b), out, sizeof out), len);
        CHECK(memcmp(in, out, len) == 0);
        if (len)
            CHECK_INT(text_base64url_decode(buf_slice(&b), out, len - 1), -1);
        buf_free(&b);
    }
    buf_t b = {0};
    text_base64url_add(&b, "\xfb\xff", 2);
    CHECK_TEXT(b.at, b.len, "-_8");
    buf_free(&b);
}

SPEC("refuses base64url with padding, other letters, bad length or loose bits") {
    uint8_t out[16];
    CHECK_INT(text_base64url_decode(SLICE("-_8="), out, 16), -1);
    CHECK_INT(text_base64url_decode(SLICE("+/8"), out, 16), -1);
    CHECK_INT(text_base64url_decode(SLICE("A"), out, 16), -1);
    CHECK_INT(text_base64url_decode(SLICE("-_9"), out, 16), -1);
    CHECK_INT(text_base64url_decode(SLICE("AB"), out, 16), -1);
    CHECK_INT(text_base64url_decode(SLICE("AA A"), out, 16), -1);
}

SPEC("writes hex") {
    buf_t b = {0};
    text_hex_add(&b, "\x00\x9f\xff", 3);
    CHECK_TEXT(b.at, b.len, "009fff");
    buf_free(&b);
}

SPEC_MAIN
