/* json: the strict parser and the writer. */
#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/text.h"
#include "spec/spec.h"
#include <math.h>

/* Each text is parsed from memory of exactly its size, so that the sanitizers see a byte read too
 * far. */
static char *text;
static size_t text_len;
static json_doc_t *doc;

static int parse_bytes(const char *s, size_t len) {
    if (!doc)
        doc = json_doc_new();
    free(text);
    text = malloc(len ? len : 1);
    memcpy(text, s, len);
    text_len = len;
    return json_parse(doc, text, len);
}

static bool parses(const char *s) {
    return parse_bytes(s, strlen(s)) == ERR_OK;
}

static bool string_is(const char *s, const char *want, size_t len) {
    slice_t v;
    return parses(s) && json_string(doc, JSON_ROOT, &v) && v.len == len &&
           memcmp(v.at, want, len) == 0;
}

static void nested(char *room, size_t depth) {
    for (size_t i = 0; i < depth; i++) {
        room[i] = '[';
        room[2 * depth - 1 - i] = ']';
    }
    room[2 * depth] = 0;
}

SPEC("reads a frame as clients send it") {
    CHECK(
        parses("{\"type\":\"message\",\"id\":\"m-1\",\"data\":{\"conversation_id\":71,\"content\":"
               "{\"text\":{\"text\":\"hi\"}},\"flags\":[1,2,3]},\"ts\":1760000000000}"));
    slice_t s;
    int64_t n;
    CHECK(json_string(doc, json_get(doc, JSON_ROOT, "type"), &s));
    CHECK_TEXT(s.at, s.len, "message");
    json_at_t data = json_get(doc, JSON_ROOT, "data");
    CHECK(json_int(doc, json_get(doc, data, "conversation_id"), &n) && n == 71);
    CHECK(json_int(doc, json_get(doc, JSON_ROOT, "ts"), &n) && n == 1760000000000);
    CHECK_INT(json_count(doc, data), 3);
    json_at_t content = json_get(doc, data, "content");
    CHECK(json_string(doc, json_get(doc, json_get(doc, content, "text"), "text"), &s));
    CHECK_TEXT(s.at, s.len, "hi");
    json_at_t at = json_first(doc, json_get(doc, data, "flags"));
    for (int64_t want = 1; want <= 3; want++, at = json_next(doc, at))
        CHECK(json_int(doc, at, &n) && n == want);
    CHECK_INT(at, 0);
}

SPEC("takes every kind of value at the top, blanks around it") {
    const char *good[] = {"{}",
                          "[]",
                          " \t\r\n[ ]\n",
                          "null",
                          "true",
                          "false",
                          "0",
                          "-1",
                          "\"\"",
                          "[[],{}]",
                          "{ \"a\" : [ 1 , { } ] }",
                          "1.5e-3",
                          "[1E5,0.0,-0]",
                          "\"\\/\""};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(parses(good[i]));
}

SPEC("refuses what is no JSON and is empty then") {
    const char *bad[] = {"",
                         " ",
                         "{",
                         "}",
                         "[",
                         "]",
                         "[1,]",
                         "[,1]",
                         "{,}",
                         "{\"a\"}",
                         "{\"a\":}",
                         "{\"a\":1,}",
                         "{a:1}",
                         "{1:1}",
                         "{\"a\" 1}",
                         "[1 2]",
                         "[1}",
                         "{\"a\":1]",
                         "tru",
                         "truex",
                         "nul",
                         "None",
                         "'a'",
                         "\"a",
                         "\"\\x\"",
                         "\"\\",
                         "\"\\u12\"",
                         "\"\\u12g4\"",
                         "{} {}",
                         "[]x",
                         "01",
                         "-",
                         "-01",
                         "+1",
                         "1.",
                         ".5",
                         "1e",
                         "1e+",
                         "0x10",
                         "NaN",
                         "Infinity",
                         "-Infinity",
                         "1.e5",
                         "[1]//c",
                         "/**/1",
                         "\xef\xbb\xbf{}",
                         "{\"a\":1 \"b\":2}",
                         "[\"a\"\"b\"]",
                         "--1",
                         "1-"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(parse_bytes(bad[i], strlen(bad[i])), ERR_BAD_REQUEST);
        CHECK_INT(json_type(doc, JSON_ROOT), JSON_NONE);
        CHECK_INT(json_get(doc, JSON_ROOT, "a"), 0);
    }
}

SPEC("refuses each proper beginning of a document") {
    const char *whole = "{\"k\\u00e9\":[1.5e3,true,null,\"\\ud83d\\ude00x\"],\"m\":{\"n\":-7}}";
    CHECK(parses(whole));
    for (size_t len = 0; len < strlen(whole); len++)
        CHECK_INT(parse_bytes(whole, len), ERR_BAD_REQUEST);
}

SPEC("counts depth as open brackets, 32 inclusive") {
    char room[128];
    nested(room, 32);
    CHECK(parses(room));
    nested(room, 33);
    CHECK(!parses(room));
    CHECK(parses("[{\"a\":[{\"a\":[{\"a\":[{\"a\":[{\"a\":[{\"a\":[{\"a\":[{\"a\":[{\"a\":[{\"a\":["
                 "{\"a\":[{\"a\":[{"
                 "\"a\":[{\"a\":[{\"a\":[{\"a\":1}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]}]"));
    /* depth is what is open at once: a wide document is not deep */
    CHECK(parses("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]"
                 ",[],[],[],[],[],"
                 "[],[]]"));
}

SPEC("unescapes strings in place") {
    CHECK(string_is("\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\te\"", "a\"b\\c/d\b\f\n\r\te", 13));
    CHECK(string_is("\"\\u0041\\u00e9\\u4f60\\uD83D\\ude00\"",
                    "A\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80", 10));
    CHECK(string_is("\"\\uffff\\u007f\"", "\xef\xbf\xbf\x7f", 4));
    CHECK(string_is("\"long plain text \\n and more after it\"",
                    "long plain text \n and more after it", 35));
    CHECK(string_is("\"\xe4\xbd\xa0 \\n \xe5\xa5\xbd\"", "\xe4\xbd\xa0 \n \xe5\xa5\xbd", 9));
}

SPEC("unescapes keys too") {
    int64_t n;
    CHECK(parses("{\"a\\u0062c\":5}"));
    CHECK(json_int(doc, json_get(doc, JSON_ROOT, "abc"), &n) && n == 5);
}

SPEC("refuses lone surrogates, NUL, raw control characters and bad UTF-8, in keys too") {
    const char *bad[] = {
        "\"\\ud83d\"",      "\"\\ud83dx\"",       "\"\\ud83d\\n\"",  "\"\\ud83d\\u0041\"",
        "\"\\ude00\"",      "\"\\ude00\\ud83d\"", "\"\\u0000\"",     "\"a\nb\"",
        "\"a\tb\"",         "\"\x1f\"",           "\"\xff\"",        "\"\xc3\"",
        "\"\xed\xa0\x80\"", "\"\xc0\x80\"",       "{\"\\u0000\":1}", "{\"\xff\":1}",
        "{\"\\udc00\":1}",  "\"\\ud83d\\ud83d\"", "\"12345678\x01\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!parses(bad[i]));
    CHECK_INT(parse_bytes("\"a\0b\"", 5), ERR_BAD_REQUEST);
    CHECK_INT(parse_bytes("[1\0]", 4), ERR_BAD_REQUEST);
}

SPEC("finds the end of a string at every place of its eight-byte steps") {
    char room[64];
    for (size_t len = 0; len < 40; len++) {
        room[0] = '"';
        memset(room + 1, 'a' + (int)(len % 7), len);
        room[len + 1] = '"';
        CHECK_INT(parse_bytes(room, len + 2), ERR_OK);
        slice_t s;
        CHECK(json_string(doc, JSON_ROOT, &s) && s.len == len);
        for (size_t at = 1; at <= len; at++) {
            char kept = room[at];
            room[at] = '\x1f';
            CHECK_INT(parse_bytes(room, len + 2), ERR_BAD_REQUEST);
            room[at] = ' ';
            CHECK_INT(parse_bytes(room, len + 2), ERR_OK);
            room[at] = '!';
            CHECK_INT(parse_bytes(room, len + 2), ERR_OK);
            room[at] = '#';
            CHECK_INT(parse_bytes(room, len + 2), ERR_OK);
            room[at] = kept;
        }
    }
}

SPEC("gives integers only where digits were written, below 2^53") {
    int64_t n = -1;
    const char *not_int[] = {"-1",   "1.0",  "1e3", "9007199254740992",    "-0", "\"1\"",
                             "true", "null", "[1]", "99999999999999999999"};
    for (size_t i = 0; i < sizeof not_int / sizeof *not_int; i++) {
        CHECK(parses(not_int[i]));
        CHECK(!json_int(doc, JSON_ROOT, &n));
    }
    CHECK_INT(n, -1);
    CHECK(parses("9007199254740991") && json_int(doc, JSON_ROOT, &n) && n == 9007199254740991);
    CHECK(parses("0") && json_int(doc, JSON_ROOT, &n) && n == 0);
}

SPEC("keeps signed and 64-bit integers exact") {
    int64_t n;
    CHECK(parses("-5") && json_int64(doc, JSON_ROOT, &n) && n == -5);
    CHECK(parses("9223372036854775807") && json_int64(doc, JSON_ROOT, &n) && n == INT64_MAX);
    CHECK(parses("-9223372036854775807") && json_int64(doc, JSON_ROOT, &n) && n == -INT64_MAX);
    CHECK(parses("9223372036854775808") && !json_int64(doc, JSON_ROOT, &n));
    CHECK(parses("99999999999999999999") && !json_int64(doc, JSON_ROOT, &n));
}

SPEC("reads reals and refuses what has no finite value") {
    double v;
    CHECK(parses("1.5e3") && json_number(doc, JSON_ROOT, &v) && v == 1500);
    CHECK(parses("-0") && json_number(doc, JSON_ROOT, &v) && v == 0 && signbit(v));
    CHECK(parses("7") && json_number(doc, JSON_ROOT, &v) && v == 7);
    CHECK(parses("[0.1,2]") && json_number(doc, json_first(doc, JSON_ROOT), &v) && v == 0.1);
    CHECK(parses("1e-999") && json_number(doc, JSON_ROOT, &v) && v == 0);
    CHECK(parses("18446744073709551616") && json_number(doc, JSON_ROOT, &v) &&
          v == 18446744073709551616.0);
    CHECK(!parses("1e999"));
    CHECK(!parses("[-1e999]"));
    CHECK(!json_number(doc, JSON_ROOT, &v));
}

SPEC("lets the last of repeated keys count, and null count as absent") {
    int64_t n;
    CHECK(parses("{\"a\":1,\"b\":null,\"a\":2,\"c\":3,\"c\":null}"));
    CHECK(json_int(doc, json_get(doc, JSON_ROOT, "a"), &n) && n == 2);
    CHECK_INT(json_get(doc, JSON_ROOT, "b"), 0);
    CHECK_INT(json_get(doc, JSON_ROOT, "c"), 0);
    CHECK_INT(json_get(doc, JSON_ROOT, "A"), 0);
    CHECK_INT(json_count(doc, JSON_ROOT), 5);
    json_at_t at = json_next(doc, json_first(doc, JSON_ROOT));
    slice_t key = json_key(doc, at);
    CHECK_TEXT(key.at, key.len, "b");
    CHECK_INT(json_type(doc, at), JSON_NULL);
}

SPEC("answers none for what is not there") {
    CHECK(parses("[1]"));
    CHECK_INT(json_get(doc, JSON_ROOT, "a"), 0);
    CHECK_INT(json_get(doc, 0, "a"), 0);
    CHECK_INT(json_type(doc, 0), JSON_NONE);
    CHECK_INT(json_type(doc, 99), JSON_NONE);
    CHECK_INT(json_first(doc, json_first(doc, JSON_ROOT)), 0);
    CHECK_INT(json_next(doc, JSON_ROOT), 0);
    bool b;
    CHECK(!json_bool(doc, JSON_ROOT, &b));
    CHECK(parses("[]") && json_first(doc, JSON_ROOT) == 0);
}

SPEC("takes a document of a megabyte and gives the memory back") {
    uint64_t before, after, cached;
    CHECK(parses("1"));
    pool_usage(&before, &cached);
    size_t len = 1 << 20;
    char *big = malloc(len);
    for (size_t i = 0; i < len; i++)
        big[i] = i == 0 ? '[' : i == len - 1 ? ']' : i % 2 ? '1' : ',';
    CHECK_INT(parse_bytes(big, len), ERR_BAD_REQUEST); /* ends in a comma */
    big[len - 2] = ' ';
    big[len - 3] = '1';
    big[len - 4] = '1';
    CHECK_INT(parse_bytes(big, len), ERR_OK);
    free(big);
    CHECK(json_count(doc, JSON_ROOT) > 500000);
    CHECK(parses("1"));
    pool_usage(&after, &cached);
    CHECK(after <= before + 64 * 1024);
}

SPEC("writes compact objects") {
    buf_t b = {0};
    buf_add_char(&b, '{');
    json_add_int(&b, "id", 7);
    json_add_bool(&b, "on", true);
    json_add_key(&b, "list");
    buf_add_text(&b, "[{");
    json_add_text(&b, "t", SLICE("x"));
    buf_add_text(&b, "}]}");
    CHECK_TEXT(b.at, b.len, "{\"id\":7,\"on\":true,\"list\":[{\"t\":\"x\"}]}");
    b.len = 0;
    json_add_int(&b, "total", 3);
    CHECK_TEXT(b.at, b.len, ",\"total\":3");
    buf_free(&b);
}

SPEC("escapes what it writes so that it reads back the same") {
    char all[4 * 128 + 8];
    size_t len = 0;
    for (int c = 1; c < 128; c++)
        all[len++] = (char)c;
    memcpy(all + len, "\xe4\xbd\xa0\xf0\x9f\x98\x80", 7);
    len += 7;
    buf_t b = {0};
    json_add_string(&b, (slice_t){all, len});
    CHECK(text_utf8_valid(b.at, b.len));
    CHECK_INT(parse_bytes(b.at, b.len), ERR_OK);
    slice_t s;
    CHECK(json_string(doc, JSON_ROOT, &s));
    CHECK(slice_eq(s, (slice_t){all, len}));
    b.len = 0;
    json_add_string(&b, SLICE("\"\\/\n\x01\x7f"));
    CHECK_TEXT(b.at, b.len, "\"\\\"\\\\/\\n\\u0001\x7f\"");
    buf_free(&b);
}

SPEC("escapes at every place of its eight-byte steps") {
    buf_t none = {0};
    json_add_string(&none, (slice_t){NULL, 0});
    CHECK_TEXT(none.at, none.len, "\"\"");
    buf_free(&none);
    static const char special[] = {'"', '\\', '\n', 0x1f};
    static const char *const escaped[] = {"\\\"", "\\\\", "\\n", "\\u001f"};
    for (size_t len = 1; len <= 25; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t k = 0; k < sizeof special; k++) {
                char *plain = malloc(len), want[64]; /* of exactly its size: see text */
                memset(plain, at % 2 ? 0x7f : '!', len);
                plain[at] = special[k];
                int n = snprintf(want, sizeof want, "\"%.*s%s%.*s\"", (int)at, plain, escaped[k],
                                 (int)(len - at - 1), plain + at + 1);
                buf_t b = {0};
                json_add_string(&b, (slice_t){plain, len});
                CHECK_TEXT(b.at, b.len, want);
                CHECK_INT(b.len, n);
                buf_free(&b);
                free(plain);
            }
}

SPEC("writes a parsed node back") {
    buf_t b = {0};
    CHECK(parses(" { \"a\" : [ 1 , -2.5 , true , null , \"x\\ny\" , { } ] , \"b\\u0041\" : 1e3 , "
                 "\"z\":[], \"o\":-0}"));
    json_add_node(&b, doc, JSON_ROOT);
    CHECK_TEXT(b.at, b.len,
               "{\"a\":[1,-2.5,true,null,\"x\\ny\",{}],\"bA\":1000.0,\"z\":[],\"o\":-0.0}");
    b.len = 0;
    json_add_real(&b, 0.1);
    buf_add_char(&b, ' ');
    json_add_real(&b, 1.0 / 3);
    buf_add_char(&b, ' ');
    json_add_real(&b, 1e300);
    CHECK_TEXT(b.at, b.len, "0.1 0.3333333333333333 1e+300");
    buf_free(&b);
}

SPEC("gives the document back") {
    json_doc_free(doc);
    json_doc_free(NULL);
    doc = NULL;
    free(text);
    text = NULL;
}

SPEC_MAIN
