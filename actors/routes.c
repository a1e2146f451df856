/* routes: see routes.h. The table is searched from top to bottom; of two patterns that fit a path
 * the one with more literal segments wins, and only its methods count. */
#include "actors/routes.h"
#include <stdio.h>

#define USER_ID    "invalid user id"
#define CONTACT_ID "invalid contact id"
#define CHAT_ID    "invalid conversation id"
#define MESSAGE_ID "invalid message id"
#define REQUEST_ID "invalid request"
#define FILE_ID    "invalid request"

#define ROW(n, on, how)    .row = (n), .listeners = (on), .method = (how)
#define J(n, how)          ROW(n, ON_HTTP, how), .auth = AUTH_TOKEN
#define LUA(who, what, by) .run = RUN_LUA, .service = (who), .verb = (what), .key = (by)

static const route_t table[] = {
#include "actors/routes.def"
};
#define ROUTES (sizeof table / sizeof table[0])

const route_t *routes_all(size_t *count) {
    *count = ROUTES;
    return table;
}

const char *routes_method(uint8_t method) {
    static const char *const name[] = {"GET",    "HEAD",  "POST",    "PUT",
                                       "DELETE", "PATCH", "OPTIONS", "OTHER"};
    return name[method];
}

static bool next_segment(slice_t *rest, slice_t *out) {
    if (rest->len == 0 || rest->at[0] != '/')
        return false;
    const char *at = rest->at + 1;
    const char *stop = memchr(at, '/', rest->len - 1);
    size_t len = stop ? (size_t)(stop - at) : rest->len - 1;
    *out = (slice_t){at, len};
    rest->at += 1 + len;
    rest->len -= 1 + len;
    return true;
}

/* -1: does not fit; else how many literal segments did. */
static int fit(const route_t *r, slice_t path, slice_t ids[ROUTE_IDS]) {
    slice_t pattern = slice_of(r->path), want, got;
    int literal = 0, id = 0;
    while (next_segment(&pattern, &want)) {
        if (!next_segment(&path, &got))
            return -1;
        if (want.len && want.at[0] == '{') {
            if (got.len == 0)
                return -1;
            ids[id++] = got;
        } else if (slice_eq(want, got)) {
            literal++;
        } else {
            return -1;
        }
    }
    return path.len == 0 || (r->flags & ROUTE_BELOW) ? literal : -1;
}

static void allow(route_match_t *m, const route_t *r) {
    size_t len = strlen(m->allow);
    snprintf(m->allow + len, sizeof m->allow - len, "%s%s", len ? ", " : "",
             r->method == HTTP_GET ? "GET, HEAD" : routes_method(r->method));
}

/* Takes a route whose pattern fits better than, or as well as, what was found so far. */
static void take(route_match_t *m, int *best, int score, const route_t *r, const slice_t ids[],
                 http_method_t method) {
    if (score > *best) {
        *best = score;
        m->route = NULL;
        m->allow[0] = 0;
    }
    m->known = true;
    allow(m, r);
    if (r->method != method || m->route)
        return;
    m->route = r;
    memcpy(m->ids, ids, sizeof m->ids);
}

void routes_match(uint8_t listener, http_method_t method, slice_t path, route_match_t *out) {
    int best = -1;
    memset(out, 0, sizeof *out);
    if (method == HTTP_HEAD)
        method = HTTP_GET;
    if (path.len > 1 && path.at[path.len - 1] == '/')
        path.len--;
    for (size_t i = 0; i < ROUTES; i++) {
        slice_t ids[ROUTE_IDS] = {{NULL, 0}, {NULL, 0}};
        if (!(table[i].listeners & (1u << listener)))
            continue;
        int score = fit(&table[i], path, ids);
        if (score >= 0 && score >= best)
            take(out, &best, score, &table[i], ids, method);
    }
}

bool routes_reserved(slice_t path) {
    static const char *const names[] = {"/api",     "/ws",      "/swagger", "/openapi.json",
                                        "/health",  "/healthz", "/readyz",  "/stats",
                                        "/metrics", "/debug"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i]);
        if (path.len >= len && memcmp(path.at, names[i], len) == 0 &&
            (path.len == len || path.at[len] == '/'))
            return true;
    }
    return false;
}
