/* The head parser: a table of heads that must be refused (the smuggling shapes among them), and
 * what good ones say. */
#include "base/err.h"
#include "net/http.h"
#include "spec/spec.h"

static http_request_t req;

static int parse(const char *text) {
    size_t seen = 0;
    return http_parse_head(text, strlen(text), &seen, &req);
}

#define H          "Host: a\r\n"
#define ALL(table) (sizeof(table) / sizeof *(table))

static bool all_refused(const char *const *heads, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (parse(heads[i]) != ERR_BAD_REQUEST) {
            printf("not refused: %s\n", heads[i]);
            return false;
        }
    return true;
}

SPEC("cuts a request into method, path, query and headers") {
    const char *t = "GET /a/b%20c?x=1&y=2 HTTP/1.1\r\nHost: h:80\r\nX-One:  two \t\r\n\r\nrest";
    CHECK_INT(parse(t), strlen(t) - 4);
    CHECK_INT(req.method, HTTP_GET);
    CHECK_TEXT(req.path.at, req.path.len, "/a/b%20c");
    CHECK_TEXT(req.query.at, req.query.len, "x=1&y=2");
    CHECK_TEXT(req.target.at, req.target.len, "/a/b%20c?x=1&y=2");
    slice_t one = http_header(&req, "x-one");
    CHECK_TEXT(one.at, one.len, "two");
    CHECK(req.keep_alive && !req.chunked && req.content_length == -1);
    CHECK(http_header(&req, "absent").at == NULL);
}

SPEC("refuses every head whose body two parsers could end at two places") {
    static const char *const heads[] = {
        "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 3\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: 5abc\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
        "chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n",
        "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "X: a\r\n Content-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "X: a\r\n\tfolded\r\n\r\n",
        "POST / HTTP/1.1\r\n " H "\r\n\r\n",
    };
    CHECK(all_refused(heads, ALL(heads)));
}

SPEC("refuses malformed lines, names, values and versions") {
    static const char *const heads[] = {
        "GET / HTTP/1.1\n"
        "Host: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\n" H "X: a\x01"
        "b\r\n\r\n",
        "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n",
        "GET / HTTP/1.1\r\n" H "X Y: a\r\n\r\n",
        "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n",
        "GET / HTTP/1.1\r\n" H ": a\r\n\r\n",
        "GET / HTTP/1.1\r\n" H "no colon\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n" H H "\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET  / HTTP/1.1\r\n" H "\r\n",
        "GET / HTTP/1.1 \r\n" H "\r\n",
        " GET / HTTP/1.1\r\n" H "\r\n",
        "GET /\r\n\r\n",
        "GET / http/1.1\r\n" H "\r\n",
        "GET / HTTP/2.0\r\n" H "\r\n",
        "GET / HTTP/1.12\r\n" H "\r\n",
        "GET /a b HTTP/1.1\r\n" H "\r\n",
        "GET /#x HTTP/1.1\r\n" H "\r\n",
        "GET /\x80 HTTP/1.1\r\n" H "\r\n",
        "GET a HTTP/1.1\r\n" H "\r\n",
        "GET * HTTP/1.1\r\n" H "\r\n",
        "CONNECT a:80 HTTP/1.1\r\n" H "\r\n",
        "G@T / HTTP/1.1\r\n" H "\r\n",
        "GET / HTTP/1.1\r\n" H "Expect: tea\r\n\r\n",
        "\r\n\r\n",
        "\x16\x03\x01",
    };
    CHECK(all_refused(heads, ALL(heads)));
    size_t seen = 0;
    static const char nul[] = "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n";
    CHECK_INT(http_parse_head(nul, sizeof nul - 1, &seen, &req), ERR_BAD_REQUEST);
}

SPEC("reads framing, expectation, keep-alive and upgrade") {
    CHECK(parse("POST / HTTP/1.1\r\n" H "content-LENGTH: 012\r\n\r\n") > 0);
    CHECK_INT(req.content_length, 12);
    CHECK(parse("POST / HTTP/1.1\r\n" H
                "transfer-encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n") > 0);
    CHECK(req.chunked && req.expect_continue && req.content_length == -1);
    CHECK(parse("GET / HTTP/1.1\r\n" H "Connection: foo , Close\r\n\r\n") > 0 && !req.keep_alive);
    CHECK(parse("GET / HTTP/1.0\r\n\r\n") > 0 && !req.keep_alive);
    CHECK(parse("GET /ws HTTP/1.1\r\n" H
                "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n") > 0);
    CHECK(req.upgrade_websocket && req.keep_alive);
    CHECK(parse("GET /ws HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n") > 0);
    CHECK(!req.upgrade_websocket);
    CHECK(parse("GET http://a:1/p?q HTTP/1.1\r\n" H "\r\n") > 0);
    CHECK_TEXT(req.path.at, req.path.len, "/p");
    CHECK(parse("GET http://a?q HTTP/1.1\r\n" H "\r\n") > 0);
    CHECK_TEXT(req.path.at, req.path.len, "/");
    CHECK_TEXT(req.query.at, req.query.len, "q");
    CHECK(parse("OPTIONS * HTTP/1.1\r\n" H "\r\n") > 0);
    CHECK(parse("\r\nGET / HTTP/1.1\r\n" H "\r\n") > 0);
    CHECK(parse("BREW / HTTP/1.1\r\n" H "\r\n") > 0 && req.method == HTTP_OTHER);
}

SPEC("finds the same head however its bytes drip in") {
    const char *t = "GET / HTTP/1.1\r\n" H "A: b\r\n\r\n";
    size_t seen = 0;
    for (size_t n = 0; n < strlen(t); n++)
        CHECK_INT(http_parse_head(t, n, &seen, &req), 0);
    CHECK_INT(http_parse_head(t, strlen(t), &seen, &req), strlen(t));
    CHECK_INT(req.header_count, 2);
}

/* A head whose target is `target` bytes and whose one header line has `header` bytes. */
static int parse_sized(size_t target, size_t header, bool cut) {
    size_t room = target + header + 64, n, seen = 0;
    char *t = malloc(room);
    n = (size_t)sprintf(t, "GET /");
    memset(t + n, 'a', target - 1);
    n += target - 1;
    n += (size_t)sprintf(t + n, " HTTP/1.1\r\nHost:");
    memset(t + n, 'h', header - 5);
    n += header - 5;
    if (!cut)
        n += (size_t)sprintf(t + n, "\r\n\r\n");
    int got = http_parse_head(t, n, &seen, &req);
    free(t);
    return got;
}

SPEC("takes a request line and headers of exactly 32 KiB, and not one byte more") {
    size_t line = HTTP_LINE_MAX - strlen("GET  HTTP/1.1");
    CHECK(parse_sized(line, 100, false) > 0);
    CHECK_INT(parse_sized(line + 1, 100, false), ERR_URI_TOO_LONG);
    CHECK(parse_sized(10, HTTP_HEAD_MAX, false) > 0);
    CHECK_INT(parse_sized(10, HTTP_HEAD_MAX + 1, false), ERR_HEADERS_TOO_LARGE);
    CHECK_INT(parse_sized(line + 2, 100, true), ERR_URI_TOO_LONG);
    CHECK_INT(parse_sized(10, HTTP_HEAD_MAX + 300, true), ERR_HEADERS_TOO_LARGE);
}

SPEC("takes 100 headers and not 101") {
    char t[4096] = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < HTTP_MAX_HEADERS; i++)
        strcat(t, "A: b\r\n");
    strcat(t, "\r\n");
    CHECK(parse(t) > 0);
    t[strlen(t) - 2] = 0;
    strcat(t, "A: b\r\n\r\n");
    CHECK_INT(parse(t), ERR_HEADERS_TOO_LARGE);
}

/* Decodes a chunked body fed in steps of `step` bytes; gives the result and the decoded bytes. */
static int decode(const char *text, size_t step, char *out) {
    http_chunks_t c = {0};
    size_t len = strlen(text), at = 0, n = 0;
    int got = 0;
    while (at < len && got == 0) {
        size_t used, give = len - at < step ? len - at : step;
        slice_t body;
        got = http_chunks_next(&c, text + at, give, &used, &body);
        if (body.len)
            memcpy(out + n, body.at, body.len);
        n += body.len;
        at += used;
    }
    out[n] = 0;
    return got;
}

SPEC("decodes chunks in any cut, with extensions and trailers") {
    const char *t = "5\r\nhello\r\n1;x=y\r\n \r\n005\r\nworld\r\n0\r\nT: v\r\n\r\n";
    for (size_t step = 1; step <= strlen(t); step++) {
        char out[64];
        CHECK_INT(decode(t, step, out), 1);
        CHECK_TEXT(out, strlen(out), "hello world");
    }
}

SPEC("refuses chunk sizes and line ends that are not exact") {
    static const char *const bad[] = {"\r\n",
                                      "g\r\n",
                                      "5\nhello",
                                      "5 \r\nhello",
                                      " 5\r\nhello",
                                      "0x5\r\nhello",
                                      "-1\r\n",
                                      "+5\r\nhello",
                                      "5\r\nhello\n",
                                      "5\r\nhelloX\r\n",
                                      "5\r\rhello",
                                      "ffffffffffffffff\r\n",
                                      "0\r\n\n",
                                      "0\r\nA\x01\r\n",
                                      "5;\x01\r\nhello",
                                      "5;a\nb\r\nhello",
                                      "5\r\nhello\r\n\r\n"};
    for (size_t i = 0; i < ALL(bad); i++) {
        char out[64];
        if (decode(bad[i], 100, out) != ERR_BAD_REQUEST)
            printf("not refused: %s\n", bad[i]);
        CHECK_INT(decode(bad[i], 100, out), ERR_BAD_REQUEST);
    }
}

static int join(void *arg, slice_t name, slice_t value) {
    char *out = arg;
    sprintf(out + strlen(out), "[%.*s=%.*s]", (int)name.len, name.at, (int)value.len, value.at);
    return 0;
}

SPEC("decodes query parameters, and refuses bad escapes, bad UTF-8 and U+0000") {
    char room[64], out[64] = "";
    CHECK_INT(http_query_each(SLICE("a=1&&b=%C3%A4+x&c&=d&e=a=b"), room, sizeof room, join, out),
              0);
    CHECK_TEXT(out, strlen(out), "[a=1][b=\xc3\xa4 x][c=][=d][e=a=b]");
    static const char *const bad[] = {"a=%", "a=%4", "a=%zz", "a=%00", "a=%ff", "%c3=a"};
    for (size_t i = 0; i < ALL(bad); i++)
        CHECK_INT(http_query_each(slice_of(bad[i]), room, sizeof room, join, out), ERR_BAD_REQUEST);
    slice_t s;
    CHECK_INT(http_percent_decode(SLICE("a+%2B"), room, sizeof room, &s), 0);
    CHECK_TEXT(s.at, s.len, "a++");
    CHECK_INT(http_percent_decode(SLICE("abcdef"), room, 5, &s), ERR_BAD_REQUEST);
}

SPEC_MAIN
