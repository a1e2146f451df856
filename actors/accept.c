/* accept: see accept.h. Called for each static file, inside the connection's actor. */
#include "actors/accept.h"
#include <strings.h>

#define UNNAMED 0xffff

static const struct {
    const char *name;
    int coding; /* CODINGS: the star */
} names[] = {{"identity", CODING_IDENTITY},
             {"gzip", CODING_GZIP},
             {"x-gzip", CODING_GZIP},
             {"br", CODING_BR},
             {"*", CODINGS}};

const char *coding_name(enum coding coding) {
    return coding == CODING_GZIP ? "gzip" : coding == CODING_BR ? "br" : NULL;
}

static bool is_named(const http_header_t *h, slice_t name) {
    return h->name.len == name.len && strncasecmp(h->name.at, name.at, name.len) == 0;
}

static slice_t trimmed(slice_t s) {
    while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.len--;
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Up to the separator; *rest is what follows it. */
static slice_t part(slice_t *rest, char separator) {
    const char *end = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    slice_t one = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
    size_t used = one.len + (end != NULL);
    rest->at += used;
    rest->len -= used;
    return trimmed(one);
}

/* "0.75" -> 750; -1: malformed, such as four decimals or more than 1. */
static int weight_of(slice_t s) {
    int weight, step = 100;
    if (s.len < 1 || s.len > 5 || (s.at[0] != '0' && s.at[0] != '1') ||
        (s.len > 1 && s.at[1] != '.'))
        return -1;
    weight = (s.at[0] - '0') * 1000;
    for (size_t i = 2; i < s.len; i++, step /= 10) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return -1;
        weight += (s.at[i] - '0') * step;
    }
    return weight <= 1000 ? weight : -1;
}

/* One element: "gzip", "br;q=0.5". */
static void take(slice_t element, uint16_t said[CODINGS + 1]) {
    bool weighted = element.len && memchr(element.at, ';', element.len);
    slice_t name = part(&element, ';');
    int weight = 1000;
    if (weighted) {
        slice_t q = trimmed(element);
        if (q.len < 2 || (q.at[0] != 'q' && q.at[0] != 'Q') || q.at[1] != '=')
            return;
        weight = weight_of((slice_t){q.at + 2, q.len - 2});
    }
    if (weight < 0)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name.len == strlen(names[i].name) && strncasecmp(name.at, names[i].name, name.len) == 0)
            said[names[i].coding] = (uint16_t)weight;
}

void accept_codings(const http_request_t *req, uint16_t weights[CODINGS]) {
    uint16_t said[CODINGS + 1];
    bool any = false;
    for (int i = 0; i <= CODINGS; i++)
        said[i] = UNNAMED;
    for (uint32_t i = 0; i < req->header_count; i++) {
        slice_t rest = req->headers[i].value;
        if (!is_named(&req->headers[i], SLICE("accept-encoding")))
            continue;
        any = true;
        while (rest.len)
            take(part(&rest, ','), said);
    }
    uint16_t star = said[CODINGS];
    for (int i = 0; i < CODINGS; i++)
        weights[i] = said[i] != UNNAMED ? said[i] : any && star != UNNAMED ? star : 0;
    /* identity is welcome unless it was ruled out, but behind all that was named */
    if (said[CODING_IDENTITY] == UNNAMED && star != 0)
        weights[CODING_IDENTITY] = any ? 1 : 1000;
}

int accept_best(const uint16_t weights[CODINGS], unsigned there) {
    int best = -1;
    for (int i = 0; i < CODINGS; i++)
        if ((there & 1u << i) && weights[i] && (best < 0 || weights[i] >= weights[best]))
            best = i;
    return best;
}

bool accept_has_tag(const http_request_t *req, const char *tag) {
    for (uint32_t i = 0; i < req->header_count; i++) {
        slice_t value = trimmed(req->headers[i].value);
        if (is_named(&req->headers[i], SLICE("if-none-match")) &&
            (slice_eq(value, SLICE("*")) ||
             (value.len && memmem(value.at, value.len, tag, strlen(tag)))))
            return true;
    }
    return false;
}
