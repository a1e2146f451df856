/* Accept-Encoding and If-None-Match, by the words of RFC 9110. */
#include "actors/accept.h"
#include "spec/spec.h"

#define ALL (1u << CODING_IDENTITY | 1u << CODING_GZIP | 1u << CODING_BR)

static int best(const char *value, unsigned there) {
    http_request_t r = {.header_count = value ? 1 : 0};
    uint16_t weights[CODINGS];
    r.headers[0] = (http_header_t){SLICE("Accept-Encoding"), slice_of(value ? value : "")};
    accept_codings(&r, weights);
    return accept_best(weights, there);
}

static bool has_tag(const char *value) {
    http_request_t r = {.header_count = 1};
    r.headers[0] = (http_header_t){SLICE("if-none-match"), slice_of(value)};
    return accept_has_tag(&r, "\"abc\"");
}

SPEC("sends the bytes as they are to who names nothing, or nothing known") {
    CHECK_INT(best(NULL, ALL), CODING_IDENTITY);
    CHECK_INT(best("", ALL), CODING_IDENTITY);
    CHECK_INT(best("  ", ALL), CODING_IDENTITY);
    CHECK_INT(best("zstd, deflate", ALL), CODING_IDENTITY);
    CHECK_INT(best("brotli, gzipped", ALL), CODING_IDENTITY);
}
SPEC("takes the best of what is equally welcome") {
    CHECK_INT(best("gzip, deflate, br, zstd", ALL), CODING_BR);
    CHECK_INT(best("GZIP,BR", ALL), CODING_BR);
    CHECK_INT(best("gzip, br", 1u << CODING_IDENTITY | 1u << CODING_GZIP), CODING_GZIP);
    CHECK_INT(best("gzip, br", 1u << CODING_IDENTITY), CODING_IDENTITY);
    CHECK_INT(best("x-gzip", ALL), CODING_GZIP);
    CHECK_INT(best("*", ALL), CODING_BR);
}
SPEC("goes by the weights") {
    CHECK_INT(best("br;q=0.5, gzip;q=0.8", ALL), CODING_GZIP);
    CHECK_INT(best("br ; q=0.501 , gzip;Q=0.5", ALL), CODING_BR);
    CHECK_INT(best("gzip;q=0.5, identity", ALL), CODING_IDENTITY);
    CHECK_INT(best("gzip;q=0.001", ALL), CODING_GZIP);
    CHECK_INT(best("br;q=0, *;q=0.1", ALL), CODING_GZIP);
    CHECK_INT(best("br;q=0", ALL), CODING_IDENTITY);
    CHECK_INT(best("br;q=1., gzip;q=1.000", ALL), CODING_BR);
}
SPEC("gives nothing when the bytes as they are were ruled out and nothing else is welcome") {
    CHECK_INT(best("identity;q=0", ALL), -1);
    CHECK_INT(best("*;q=0", ALL), -1);
    CHECK_INT(best("*;q=0.0", ALL), -1);
    CHECK_INT(best("identity;q=0, br", ALL), CODING_BR);
    CHECK_INT(best("identity;q=0, br", 1u << CODING_IDENTITY), -1);
    CHECK_INT(best("*;q=0, identity;q=0.1", ALL), CODING_IDENTITY);
    CHECK_INT(best("gzip, *;q=0", ALL), CODING_GZIP);
}
SPEC("makes nothing of parts that are malformed") {
    static const char *const bad[] = {"br;q=1.1", "br;q=2",  "br;q=0.1234", "br;q=",   "br;q=-1",
                                      "br;",      "br;q=.5", "br; x=1",     "br;q=1;y"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char both[64];
        snprintf(both, sizeof both, "%s, gzip", bad[i]);
        CHECK_INT(best(bad[i], ALL), CODING_IDENTITY);
        CHECK_INT(best(both, ALL), CODING_GZIP);
    }
    CHECK_INT(best(",,gzip,,", ALL), CODING_GZIP);
    CHECK_INT(best(";q=1, ;", ALL), CODING_IDENTITY);
}
SPEC("reads all lines of the header as one") {
    http_request_t r = {.header_count = 3};
    uint16_t weights[CODINGS];
    r.headers[0] = (http_header_t){SLICE("ACCEPT-ENCODING"), SLICE("br;q=0.1")};
    r.headers[1] = (http_header_t){SLICE("Accept"), SLICE("identity")};
    r.headers[2] = (http_header_t){SLICE("accept-encoding"), SLICE("gzip;q=0.2")};
    accept_codings(&r, weights);
    CHECK_INT(weights[CODING_BR], 100);
    CHECK_INT(weights[CODING_GZIP], 200);
    CHECK_INT(accept_best(weights, ALL), CODING_GZIP);
}
SPEC("finds a tag in If-None-Match, weak or in a list, and in a star") {
    CHECK(has_tag("\"abc\""));
    CHECK(has_tag("W/\"abc\""));
    CHECK(has_tag("\"x\", W/\"y\" , \"abc\""));
    CHECK(has_tag("*"));
    CHECK(!has_tag("\"abcd\""));
    CHECK(!has_tag("abc"));
    CHECK(!has_tag(""));
}
SPEC_MAIN
