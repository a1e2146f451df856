/* client: the S3 server of the environment (tools/s3 with ..), and an HTTP client for its
 * addresses.
 */
#pragma once
#include "base/buf.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *given(const char *name) {
    char key[64];
    snprintf(key, sizeof key, "PARLEY_TEST_S3_%s", name);
    const char *value = getenv(key);
    if (value)
        return value;
    printf("%s is missing: run this by tools/s3 with ..\n", key);
    exit(1);
}

/* The port of the given endpoint, http://127.0.0.1:PORT. */
__attribute__((unused)) static int given_port(void) {
    const char *at = strstr(given("URL"), "127.0.0.1:");
    return at ? atoi(at + 10) : 0;
}

/* --- a client --- */
typedef struct got {
    long status;
    buf_t body;
    char head[4096];
} got_t;

static size_t got_body(char *at, size_t one, size_t n, void *arg) {
    buf_add(&((got_t *)arg)->body, at, one * n);
    return one * n;
}
static size_t got_head(char *at, size_t one, size_t n, void *arg) {
    strncat(((got_t *)arg)->head, at, one * n < 500 ? one * n : 500);
    return one * n;
}

/* The answer is valid until the next call. lines: more headers, each with its '\n'. */
static const got_t *http(const char *method, slice_t url, const char *lines, slice_t body) {
    static got_t g;
    buf_free(&g.body);
    g = (got_t){0};
    char *address = strndup(url.at, url.len), *copy = strdup(lines), *rest = copy, *line;
    CURL *curl = curl_easy_init();
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    while ((line = strsep(&rest, "\n")))
        if (*line)
            list = curl_slist_append(list, line);
    curl_easy_setopt(curl, CURLOPT_URL, address);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, got_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &g);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, got_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &g);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (*method == 'P') {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.len ? body.at : "");
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        printf("%s: %s\n", method, curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &g.status);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    free(address);
    free(copy);
    return &g;
}
