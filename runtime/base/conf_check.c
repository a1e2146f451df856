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

/* What else the URL of a bucket says is judged at the start (port/s3.c). */
static bool files(const check_t *k) {
    const char *url = text(k, "files.url");
    if (strncmp(url, "s3:", 3) != 0)
        return strncmp(url, "file:", 5) == 0 ||
               refuse(k, "files.url", "must begin with file: or s3://");
    if (!*text(k, "files.s3_key") || !*text(k, "files.s3_secret"))
        return refuse(k, "files.url", "a bucket needs files.s3_key and files.s3_secret");
    return true;
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

/* --- the servers of calls: a browser that is told a URL it cannot read makes no call at all --- */

enum { SERVERS_MAX = 16, SERVER_TEXT_MAX = 255, SECRET_MIN = 16 };

static bool take(slice_t *s, const char *prefix) {
    size_t len = strlen(prefix);
    if (s->len < len || memcmp(s->at, prefix, len) != 0)
        return false;
    *s = (slice_t){s->at + len, s->len - len};
    return true;
}

/* What of `s` consists of these bytes. */
static slice_t take_span(slice_t *s, const char *bytes) {
    size_t n = 0;
    while (n < s->len && s->at[n] && strchr(bytes, s->at[n]))
        n++;
    slice_t span = {s->at, n};
    *s = (slice_t){s->at + n, s->len - n};
    return span;
}

#define DIGITS "0123456789"
#define HOST   DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-"

/* host, [address of IPv6], then :port or nothing. */
static bool take_host_port(slice_t *s) {
    int64_t port = 1;
    if (take(s, "[")) {
        char ip[64], bytes[16];
        slice_t text = take_span(s, DIGITS "abcdefABCDEF:.");
        if (text.len >= sizeof ip || !take(s, "]"))
            return false;
        memcpy(ip, text.at, text.len);
        ip[text.len] = 0;
        if (inet_pton(AF_INET6, ip, bytes) != 1)
            return false;
    } else if (take_span(s, HOST).len == 0)
        return false;
    return !take(s, ":") ||
           (text_to_int(take_span(s, DIGITS), &port) && port >= 1 && port <= 65535);
}

/* RFC 7064 and 7065. */
static bool is_server(slice_t s, const char *scheme, bool transport) {
    if (s.len > SERVER_TEXT_MAX || !take(&s, scheme))
        return false;
    take(&s, "s");
    if (!take(&s, ":") || !take_host_port(&s))
        return false;
    if (transport && take(&s, "?transport=") && !take(&s, "udp") && !take(&s, "tcp"))
        return false;
    return s.len == 0;
}

static bool servers(const check_t *k, const char *key, const char *scheme, bool transport) {
    size_t count = conf_list_count(k->conf, key);
    if (count > SERVERS_MAX)
        return refuse(k, key, "names %zu servers, at most %d are told", count, SERVERS_MAX);
    for (size_t i = 0; i < count; i++) {
        slice_t s = conf_list(k->conf, key, i);
        char safe[80];
        if (!is_server(s, scheme, transport))
            return refuse(k, key, "'%s' is no URL such as %s:host:port or %ss:host:port%s",
                          log_safe(s, safe, sizeof safe), scheme, scheme,
                          transport ? "?transport=tcp" : "");
    }
    return true;
}

/* One way of credentials, whole; those of limited life outlive the longest call. */
static bool turn_credentials(const check_t *k) {
    size_t secret = conf_text(k->conf, "call.turn_secret").len;
    bool name = *text(k, "call.turn_username"), password = *text(k, "call.turn_credential");
    int64_t longest = conf_int(k->conf, "call.ring") + conf_int(k->conf, "call.connect") +
                      conf_int(k->conf, "call.max");
    if (name != password)
        return refuse(k, name ? "call.turn_username" : "call.turn_credential",
                      "call.turn_username and call.turn_credential only work together");
    if (secret && name)
        return refuse(k, "call.turn_secret", "takes the place of call.turn_username: set one");
    if (conf_list_count(k->conf, "call.turn") && !secret && !name)
        return refuse(k, "call.turn",
                      "needs call.turn_secret: browsers refuse such a server "
                      "without credentials");
    if (!secret)
        return true;
    if (secret < SECRET_MIN)
        return refuse(k, "call.turn_secret",
                      "must have at least %d bytes: who was given a credential could guess it",
                      SECRET_MIN);
    if (conf_int(k->conf, "call.turn_ttl") < longest)
        return refuse(k, "call.turn_ttl",
                      "must not be shorter than call.ring, call.connect and call.max together "
                      "(%lld s)",
                      (long long)(longest / 1000));
    return true;
}

static bool calls(const check_t *k) {
    return servers(k, "call.stun", "stun", false) && servers(k, "call.turn", "turn", true) &&
           turn_credentials(k);
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
              calls(&k) && proxies(&k) && scheme(&k, "store.url", "sqlite:") &&
              scheme(&k, "kv.url", "memory:") && scheme(&k, "stream.url", "memory:") && files(&k);
    return ok ? ERR_OK : ERR_BAD_REQUEST;
}
