/* http_auth: who asks: the client's address behind trusted proxies, the guard of the ops paths, the
 * bearer, tokens, and the form of device and platform names. Inside the connection's actor. */
#include "actors/edge.h"
#include <strings.h>

static slice_t trim(slice_t s) {
    while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.len--;
    while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool named(const http_header_t *h, const char *lower) {
    return h->name.len == strlen(lower) && strncasecmp(h->name.at, lower, h->name.len) == 0;
}

static bool trusted(const conf_t *conf, const net_addr_t *a) {
    for (size_t i = 0; i < conf_list_count(conf, "http.trusted_proxies"); i++)
        if (net_addr_in(a, conf_list(conf, "http.trusted_proxies", i)))
            return true;
    return false;
}

/* Walks one header from right to left; true: *out is the client, no need to look further. */
static bool from_right(const conf_t *conf, slice_t list, net_addr_t *out) {
    while (list.len) {
        const char *comma = memrchr(list.at, ',', list.len);
        size_t start = comma ? (size_t)(comma - list.at) + 1 : 0;
        net_addr_t a;
        if (!net_addr_parse(trim((slice_t){list.at + start, list.len - start}), &a))
            return true;
        *out = a;
        if (!trusted(conf, &a))
            return true;
        list.len = start ? start - 1 : 0;
    }
    return false;
}

void http_client_address(conn_t *c, const http_request_t *req, net_addr_t *out) {
    const conf_t *conf = edge_at(c)->edge->conf;
    *out = *net_peer(c->net);
    if (conf_list_count(conf, "http.trusted_proxies") == 0 || !trusted(conf, out))
        return;
    for (uint32_t i = req->header_count; i-- > 0;)
        if (named(&req->headers[i], "x-forwarded-for") &&
            from_right(conf, req->headers[i].value, out))
            return;
}

static bool same_secret(slice_t want, slice_t got) {
    return want.len > 0 && want.len == got.len && crypt_equal(want.at, got.at, want.len);
}

/* What a stranger's page cannot be named: an address, "localhost" or another name without a dot. A
 * name with one may be anybody's, and lead here through a browser on this machine. */
static bool names_no_domain(slice_t host) {
    static const char local[] = ".localhost";
    const size_t n = sizeof local - 1;
    net_addr_t a;
    if (net_addr_parse(host, &a))
        return true;
    const char *colon = host.len ? memchr(host.at, ':', host.len) : NULL;
    size_t len = colon ? (size_t)(colon - host.at) : host.len;
    return len == 0 || !memchr(host.at, '.', len) ||
           (len > n && strncasecmp(host.at + len - n, local, n) == 0);
}

bool http_guard_open(const edge_t *e, conn_t *c, const http_request_t *req) {
    slice_t bearer = {NULL, 0};
    bool proxied = http_header_count(req, "forwarded") || http_header_count(req, "x-forwarded-for");
    if (!proxied && net_addr_loopback(net_peer(c->net)) &&
        names_no_domain(http_header(req, "host")))
        return true;
    if (same_secret(e->ops_token, http_header(req, "x-ops-token")))
        return true;
    return http_bearer(req, &bearer) == ERR_OK && same_secret(e->ops_token, bearer);
}

int http_bearer(const http_request_t *req, slice_t *token) {
    *token = (slice_t){NULL, 0};
    uint32_t n = http_header_count(req, "authorization");
    if (n == 0)
        return ERR_OK;
    slice_t v = trim(http_header(req, "authorization"));
    if (n > 1 || v.len < 8 || strncasecmp(v.at, "bearer ", 7) != 0)
        return ERR_UNAUTHORIZED;
    *token = trim((slice_t){v.at + 7, v.len - 7});
    return token->len ? ERR_OK : ERR_UNAUTHORIZED;
}

int edge_token(edge_worker_t *w, slice_t token, int64_t now_ms, token_claims_t *out) {
    int err = token_read(&w->edge->tokens, w->aside, token, TOKEN_ACCESS, now_ms / 1000, out);
    if (err == ERR_OK && denied_has(w->edge->logins, out->fam))
        err = ERR_TOKEN_REVOKED;
    return err;
}

static bool all_of(slice_t s, size_t most, const char *more, bool upper) {
    if (s.len < 1 || s.len > most)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  (upper && c >= 'A' && c <= 'Z') || (c && strchr(more, c));
        if (!ok)
            return false;
    }
    return true;
}

bool edge_device_ok(slice_t s) {
    return all_of(s, 64, "_.:-", true);
}

bool edge_platform_ok(slice_t s) {
    return all_of(s, 16, "_-", false);
}
