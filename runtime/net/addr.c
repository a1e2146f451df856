/* addr: peer addresses: text, networks, hash. Pure functions; the edge and listen.c call them; any
 * thread. */
#include "base/hash.h"
#include "base/text.h"
#include "net/net.h"
#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const net_addr_t *a) {
    return memcmp(a->ip, mapped, sizeof mapped) == 0;
}

bool net_addr_loopback(const net_addr_t *a) {
    static const uint8_t one[16] = {[15] = 1};
    return is_v4(a) ? a->ip[12] == 127 : memcmp(a->ip, one, sizeof one) == 0;
}

void net_addr_text(const net_addr_t *a, char room[64]) {
    bool four = is_v4(a);
    if (!inet_ntop(four ? AF_INET : AF_INET6, four ? a->ip + 12 : a->ip, room, 64))
        snprintf(room, 64, "?");
}

void net_addr_owner(const net_addr_t *a, net_addr_t *out) {
    *out = (net_addr_t){0};
    memcpy(out->ip, a->ip, is_v4(a) ? sizeof a->ip : 8);
}

uint64_t net_addr_hash(const net_addr_t *a) {
    net_addr_t owner;
    net_addr_owner(a, &owner);
    return hash_bytes(owner.ip, sizeof owner.ip);
}

/* An address without a port. *four: it was written as IPv4. */
static bool parse_ip(slice_t s, net_addr_t *out, bool *four) {
    char text[64];
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = 0;
    out->port = 0;
    *four = inet_pton(AF_INET, text, out->ip + 12) == 1;
    if (*four) {
        memcpy(out->ip, mapped, sizeof mapped);
        return true;
    }
    return inet_pton(AF_INET6, text, out->ip) == 1;
}

static bool parse_port(slice_t s, uint16_t *port) {
    int64_t n;
    if (!text_to_int(s, &n) || n > 65535)
        return false;
    *port = (uint16_t)n;
    return true;
}

/* "10.0.0.1", "10.0.0.1:80", "::1", "[::1]", "[::1]:80". */
bool net_addr_parse(slice_t s, net_addr_t *out) {
    bool four;
    if (s.len && *s.at == '[') {
        const char *end = memchr(s.at, ']', s.len);
        if (!end || !parse_ip((slice_t){s.at + 1, (size_t)(end - s.at) - 1}, out, &four) || four)
            return false;
        slice_t rest = {end + 1, s.len - (size_t)(end + 1 - s.at)};
        return rest.len == 0 ||
               (*rest.at == ':' && parse_port((slice_t){rest.at + 1, rest.len - 1}, &out->port));
    }
    const char *colon = s.len ? memchr(s.at, ':', s.len) : NULL;
    if (!colon || memchr(colon + 1, ':', s.len - (size_t)(colon + 1 - s.at)))
        return parse_ip(s, out, &four);
    size_t host = (size_t)(colon - s.at);
    return parse_ip((slice_t){s.at, host}, out, &four) && four &&
           parse_port((slice_t){colon + 1, s.len - host - 1}, &out->port);
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits) {
    unsigned bytes = bits / 8, rest = bits % 8;
    if (memcmp(a, b, bytes) != 0)
        return false;
    return rest == 0 || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0;
}

bool net_addr_in(const net_addr_t *a, slice_t cidr) {
    const char *slash = cidr.len ? memchr(cidr.at, '/', cidr.len) : NULL;
    size_t host = slash ? (size_t)(slash - cidr.at) : cidr.len;
    net_addr_t net;
    bool four;
    int64_t bits = -1;
    if (!parse_ip((slice_t){cidr.at, host}, &net, &four))
        return false;
    if (slash && !text_to_int((slice_t){slash + 1, cidr.len - host - 1}, &bits))
        return false;
    int64_t most = four ? 32 : 128;
    if (!slash)
        bits = most;
    return bits >= 0 && bits <= most && same_bits(a->ip, net.ip, (unsigned)(bits + 128 - most));
}
