/* What sigv4.h promises: the signatures that the public documentation of Amazon S3 computes in its
 * examples (API reference, "Authenticating requests: using the Authorization header" and ".. using
 * query parameters"), and those that libcurl makes for the same requests. */
#include "port/sigv4.h"
#include "spec/spec.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXAMPLE_TIME 1369353600 /* 2013-05-24T00:00:00Z */
#define EMPTY        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const sigv4_keys_t example = {.key = {"AKIAIOSFODNN7EXAMPLE", 20},
                                     .secret = {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 40},
                                     .region = {"us-east-1", 9}};

static sigv4_request_t example_request(const char *method, const char *path) {
    return (sigv4_request_t){.method = slice_of(method),
                             .origin = SLICE("https://examplebucket.s3.amazonaws.com"),
                             .path = slice_of(path),
                             .payload = SLICE(EMPTY),
                             .at_s = EXAMPLE_TIME};
}

typedef struct signed_by {
    buf_t address, headers;
} signed_t;

static const signed_t *signed_example(const sigv4_request_t *r) {
    static signed_t s;
    s.address.len = s.headers.len = 0;
    sigv4_sign(&s.address, &s.headers, &example, r);
    *buf_room(&s.address, 1) = *buf_room(&s.headers, 1) = 0;
    return &s;
}

static bool has(const buf_t *b, const char *text) {
    return strstr(b->at, text) != NULL;
}

SPEC("signs the documented GET of a range") {
    sigv4_pair_t range = {SLICE("range"), SLICE("bytes=0-9")};
    sigv4_request_t r = example_request("GET", "/test.txt");
    r.headers = &range;
    r.header_count = 1;
    const signed_t *s = signed_example(&r);
    CHECK_TEXT(s->address.at, s->address.len, "https://examplebucket.s3.amazonaws.com/test.txt");
    CHECK(has(&s->headers, "x-amz-date: 20130524T000000Z\n"));
    CHECK(has(&s->headers, "x-amz-content-sha256: " EMPTY "\n"));
    CHECK(has(&s->headers, "range: bytes=0-9\n"));
    CHECK(!has(&s->headers, "host:"));
    CHECK(has(&s->headers, "authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"
                           "20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;"
                           "x-amz-content-sha256;x-amz-date,Signature="
                           "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\n"));
}

SPEC("signs the documented PUT with a body and a '$' in the path") {
    char payload[65];
    sigv4_pair_t headers[] = {{SLICE("x-amz-storage-class"), SLICE("REDUCED_REDUNDANCY")},
                              {SLICE("date"), SLICE("Fri, 24 May 2013 00:00:00 GMT")}};
    sigv4_request_t r = example_request("PUT", "/test$file.text");
    sigv4_payload(SLICE("Welcome to Amazon S3."), payload);
    CHECK_TEXT(payload, 64, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    r.payload = slice_of(payload);
    r.headers = headers;
    r.header_count = 2;
    const signed_t *s = signed_example(&r);
    CHECK(strstr(s->address.at, "/test%24file.text") != NULL);
    CHECK(has(&s->headers, "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;"
                           "x-amz-storage-class,Signature="
                           "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\n"));
}

SPEC("signs the documented query without a value, and the one whose order does not matter") {
    sigv4_pair_t lifecycle = {SLICE("lifecycle"), SLICE("")},
                 list[] = {{SLICE("prefix"), SLICE("J")}, {SLICE("max-keys"), SLICE("2")}};
    sigv4_request_t r = example_request("GET", "/");
    r.query = &lifecycle;
    r.query_count = 1;
    const signed_t *s = signed_example(&r);
    CHECK(has(&s->headers, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
    r.query = list;
    r.query_count = 2;
    s = signed_example(&r);
    CHECK(strstr(s->address.at, ".com/?max-keys=2&prefix=J") != NULL);
    CHECK(has(&s->headers, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

SPEC("makes the documented presigned address") {
    buf_t out = {0};
    sigv4_request_t r = example_request("GET", "/test.txt");
    sigv4_presign(&out, &example, &r, 86400);
    CHECK_TEXT(out.at, out.len,
               "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
               "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
               "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
               "&X-Amz-Signature="
               "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_free(&out);
}

SPEC("encodes all but letters, digits and -._~, the slash where it does not separate") {
    buf_t out = {0};
    sigv4_encode(&out, SLICE("aZ09-._~/ +%&=\xc3\xa4\x7f"), false);
    CHECK_TEXT(out.at, out.len, "aZ09-._~%2F%20%2B%25%26%3D%C3%A4%7F");
    out.len = 0;
    sigv4_encode(&out, SLICE("a/b c"), true);
    CHECK_TEXT(out.at, out.len, "a/b%20c");
    buf_free(&out);
}

SPEC("an address of temporary keys carries their token; each header, value and second counts") {
    buf_t one = {0}, two = {0};
    sigv4_keys_t keys = example;
    sigv4_pair_t type = {SLICE("content-type"), SLICE("image/png")};
    sigv4_request_t r = example_request("PUT", "/a");
    keys.token = SLICE("to/ken==");
    r.headers = &type;
    r.header_count = 1;
    sigv4_presign(&one, &keys, &r, 60);
    *buf_room(&one, 1) = 0;
    CHECK(has(&one, "&X-Amz-Security-Token=to%2Fken%3D%3D&X-Amz-SignedHeaders=content-type%3Bhost"
                    "&X-Amz-Signature="));
    type.value = SLICE("image/gif");
    sigv4_presign(&two, &keys, &r, 60);
    CHECK(!slice_eq(buf_slice(&one), buf_slice(&two)));
    type.value = SLICE("image/png");
    two.len = 0;
    r.at_s++;
    sigv4_presign(&two, &keys, &r, 60);
    CHECK(!slice_eq(buf_slice(&one), buf_slice(&two)));
    buf_free(&one);
    buf_free(&two);
}

/* --- libcurl signs the same request: a listener hears what it sends --- */

typedef struct ear {
    int fd;
    char heard[8192];
} ear_t;

static void *listen_once(void *arg) {
    ear_t *e = arg;
    size_t len = 0;
    int fd = accept(e->fd, NULL, NULL);
    for (ssize_t n; len < sizeof e->heard - 1 && !strstr(e->heard, "\r\n\r\n"); len += (size_t)n)
        if ((n = recv(fd, e->heard + len, sizeof e->heard - 1 - len, 0)) <= 0)
            break;
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0)
        printf("no answer sent\n");
    close(fd);
    return NULL;
}

static uint16_t open_ear(ear_t *e) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    e->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(e->fd, (struct sockaddr *)&a, sizeof a) || listen(e->fd, 1) ||
        getsockname(e->fd, (struct sockaddr *)&a, &len))
        abort();
    return ntohs(a.sin_port);
}

static void curl_sends(const char *address, const char *method, const char *const *lines,
                       const char *user) {
    CURL *curl = curl_easy_init();
    struct curl_slist *list = NULL;
    for (; *lines; lines++)
        list = curl_slist_append(list, *lines);
    curl_easy_setopt(curl, CURLOPT_URL, address);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, "aws:amz:eu-north-1:s3");
    curl_easy_setopt(curl, CURLOPT_USERPWD, user);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
    if (curl_easy_perform(curl) != CURLE_OK)
        printf("curl: the request failed\n");
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
}

static const char *after(const char *text, const char *word) {
    const char *at = strstr(text, word);
    return at ? at + strlen(word) : "";
}

SPEC("signs as libcurl does") {
    ear_t e = {0};
    char origin[64];
    pthread_t thread;
    snprintf(origin, sizeof origin, "http://127.0.0.1:%u", open_ear(&e));
    sigv4_keys_t keys = {SLICE("some-key"), SLICE("some/secret+"), SLICE(""), SLICE("eu-north-1")};
    sigv4_pair_t headers[] = {{SLICE("x-amz-meta-b"), SLICE("of two words")},
                              {SLICE("content-type"), SLICE("text/plain; charset=utf-8")}},
                 query[] = {{SLICE("uploadId"), SLICE("a/b+c=")},
                            {SLICE("partNumber"), SLICE("3")}};
    sigv4_request_t r = {SLICE("DELETE"),
                         slice_of(origin),
                         SLICE("/bucket/some key~(1)/\xc3\xa4"),
                         SLICE(EMPTY),
                         query,
                         headers,
                         2,
                         2,
                         1760000000};
    signed_t s = {0};
    sigv4_sign(&s.address, &s.headers, &keys, &r);
    *buf_room(&s.address, 1) = *buf_room(&s.headers, 1) = 0;
    static const char *const lines[] = {
        "x-amz-date: 20251009T085320Z", "x-amz-meta-b: of two words",
        "content-type: text/plain; charset=utf-8", "x-amz-content-sha256: " EMPTY, NULL};
    pthread_create(&thread, NULL, listen_once, &e);
    curl_sends(s.address.at, "DELETE", lines, "some-key:some/secret+");
    pthread_join(thread, NULL);
    close(e.fd);
    const char *theirs = after(e.heard, "Signature="), *ours = after(s.headers.at, "Signature=");
    CHECK(strstr(e.heard, "/bucket/some%20key~%281%29/%C3%A4?partNumber=3&uploadId=a%2Fb%2Bc%3D"));
    CHECK_INT(strcspn(after(e.heard, "SignedHeaders="), ","),
              strcspn(after(s.headers.at, "SignedHeaders="), ","));
    CHECK_INT(strlen(ours), 65);
    CHECK(strlen(theirs) > 64 && memcmp(ours, theirs, 64) == 0);
    buf_free(&s.address);
    buf_free(&s.headers);
}

SPEC_MAIN
