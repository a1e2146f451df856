/* conf_check: the rules of a configuration that look at several keys (PROTOCOL.md sections 1, 4, 7,
 * 19). Called at start and by `parleyd check`. */
#include "base/conf_table.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include <arpa/inet.h>
#include <stdarg.h>

typedef struct check {
    const conf_t *conf;
    char *fault;
    size_t room;
} check_t;

static bool refuse(const check_t *k, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "file:line: key: what is wrong", with the place where the key was set. */
static bool refuse(const check_t *k, const char *key, const char *format, ...) {
    char what[CONF_WHY];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const char *origin = k->conf->values[conf_find(key)].origin;
    snprintf(k->fault, k->room, "%s: %s: %s", origin ? origin : "preset", key, what);
    return false;
}

static const char *text(const check_t *k, const char *key) {
    return conf_text(k->conf, key).at;
}

/* A listener that is on and reachable from elsewhere. */
static bool is_public(const check_t *k, const char *key) {
    return *text(k, key) && !conf_addr_loopback(text(k, key));
}

static bool secrets(const check_t *k) {
    size_t len = conf_text(k->conf, "auth.secret").len,
           old = conf_text(k->conf, "auth.old_secret").len;
    if (len == 0)
        return refuse(k, "auth.secret", "is missing; it must have at least 32 bytes");
    if (len < 32)
        return refuse(k, "auth.secret", "must have at least 32 bytes");
    if (old > 0 && old < 32)
        return refuse(k, "auth.old_secret", "must have at least 32 bytes");
    return true;
}

static bool open_mode(const check_t *k) {
    if (strcmp(text(k, "ws.mode"), "open") != 0 || conf_bool(k->conf, "ws.open_public"))
        return true;
    static const char why[] =
        "open mode trusts everybody: with %s=%s it also needs ws.open_public=true";
    if (is_public(k, "ws.listen"))
        return refuse(k, "ws.mode", why, "ws.listen", text(k, "ws.listen"));
    if (conf_bool(k->conf, "http.ws") && is_public(k, "http.listen"))
        return refuse(k, "ws.mode", why, "http.listen", text(k, "http.listen"));
    return true;
}

/* Two listeners on one address would share it in silence (SO_REUSEPORT). */
static bool same_address(const check_t *k, const char *a, const char *b) {
    const char *one = text(k, a), *two = text(k, b), *port = strrchr(one, ':');
    if (!port || strcmp(port, ":0") == 0 || strcmp(one, two) != 0)
        return true;
    return refuse(k, b, "%s is the address of %s too", two, a);
}

static bool listeners(const check_t *k) {
    if (is_public(k, "admin.listen"))
        return refuse(k, "admin.listen", "must be a loopback address");
    if (conf_bool(k->conf, "test.echo") && !conf_addr_loopback(text(k, "ws.listen")))
        return refuse(k, "test.echo", "needs a loopback ws.listen, which is '%s'",
                      text(k, "ws.listen"));
    return same_address(k, "http.listen", "ws.listen") &&
           same_address(k, "http.listen", "admin.listen") &&
           same_address(k, "ws.listen", "admin.listen");
}

static bool tls_pair(const check_t *k, const char *cert, const char *key) {
    if (!*text(k, cert) == !*text(k, key))
        return true;
    return refuse(k, *text(k, cert) ? cert : key, "%s and %s only work together", cert, key);
}

static bool times(const check_t *k) {
    int64_t dead = conf_int(k->conf, "ws.dead_after"), ping = conf_int(k->conf, "ws.ping_interval");
    if (dead < 3 * ping)
        return refuse(k, "ws.dead_after", "%lld ms is less than 3 x ws.ping_interval (%lld ms)",
                      (long long)dead, (long long)ping);
    if (conf_int(k->conf, "auth.refresh_ttl") < conf_int(k->conf, "auth.access_ttl"))
        return refuse(k, "auth.refresh_ttl", "must not be shorter than auth.access_ttl");
    return true;
}

static bool sizes(const check_t *k) {
    if (conf_int(k->conf, "ws.queue_hard") < conf_int(k->conf, "ws.queue_soft"))
        return refuse(k, "ws.queue_hard", "must not be less than ws.queue_soft");
    return true;
}

/* What the start of the url tells must be a back end that this version has. */
static bool scheme(const check_t *k, const char *key, const char *known) {
    if (strncmp(text(k, key), known, strlen(known)) == 0)
        return true;
    return refuse(k, key, "must begin with %s", known);
}

/* An address, with or without /bits. */
static bool is_network(slice_t s) {
    char host[64];
    uint8_t ip[16];
    int64_t bits = 0;
    const char *slash = memchr(s.at, '/', s.len);
    size_t len = slash ? (size_t)(slash - s.at) : s.len;
    if (len >= sizeof host || (slash && !text_to_int((slice_t){slash + 1, s.len - len - 1}, &bits)))
        return false;
    memcpy(host, s.at, len);
    host[len] = 0;
    return (inet_pton(AF_INET, host, ip) == 1 && bits <= 32) ||
           (inet_pton(AF_INET6, host, ip) == 1 && bits <= 128);
}

static bool proxies(const check_t *k) {
    for (size_t i = 0; i < conf_list_count(k->conf, "http.trusted_proxies"); i++) {
        slice_t s = conf_list(k->conf, "http.trusted_proxies", i);
        char safe[80];
        if (!is_network(s))
            return refuse(k, "http.trusted_proxies", "'%s' is no address or network",
                          log_safe(s, safe, sizeof safe));
    }
    return true;
}

/* A key of the wire contract whose feature comes later: refused, not ignored. */
static bool not_yet(const check_t *k) {
    return !conf_bool(k->conf, "ws.deflate") ||
           refuse(k, "ws.deflate", "compression is not part of this version");
}

int conf_check(const conf_t *c, char *fault, size_t room) {
    check_t k = {c, fault, room};
    bool ok = secrets(&k) && open_mode(&k) && listeners(&k) &&
              tls_pair(&k, "http.tls_cert", "http.tls_key") &&
              tls_pair(&k, "ws.tls_cert", "ws.tls_key") && times(&k) && sizes(&k) && not_yet(&k) &&
              proxies(&k) && scheme(&k, "store.url", "sqlite:") &&
              scheme(&k, "kv.url", "memory:") && scheme(&k, "stream.url", "memory:");
    return ok ? ERR_OK : ERR_BAD_REQUEST;
}
