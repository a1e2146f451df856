/* peer: what a connection knows about its other side: address, life, how much waits for it. Asks
 * the kernel only when somebody wants to know. Inside the connection's actor. */
#include "net/net_in.h"
#include "net/tcp_info.h"
#include <linux/sockios.h>
#include <sys/ioctl.h>

#define MS 1000000ull

uint32_t net_listener(const net_conn_t *c) {
    return c->listener;
}

const net_addr_t *net_peer(const net_conn_t *c) {
    return &c->peer;
}

uint64_t net_request_ns(const net_conn_t *c) {
    return c->http->began_ns;
}

bool net_is_tls(const net_conn_t *c) {
    return c->flags & F_TLS;
}

uint32_t net_queued(const net_conn_t *c) {
    int held = 0;
    if (c->queued <= c->worker->net->queue_soft || ioctl(c->fd, SIOCOUTQ, &held) != 0 || held < 0)
        return c->queued;
    return c->queued + (uint32_t)held;
}

/* When the peer last acknowledged a byte it had not before. The kernel tells how many, not when: so
 * the number is kept from one question to the next. */
static uint64_t moved(net_conn_t *c, uint64_t acked, uint64_t now, uint64_t last_ack) {
    if ((uint32_t)acked != c->acked || c->acked_ms == 0) {
        c->acked = (uint32_t)acked;
        c->acked_ms = (uint32_t)(last_ack / MS) | 1; /* 0 says: never asked */
    }
    uint32_t ago = (uint32_t)(now / MS) - c->acked_ms;
    return ago < UINT32_MAX / 2 && now > ago * MS ? now - ago * MS : now;
}

void net_life(net_conn_t *c, net_life_t *out) {
    tcp_facts_t t;
    uint64_t now = runtime_now_ns(c->worker->rt);
    *out = (net_life_t){.last_recv_ns = c->recv_ns};
    if (!tcp_facts(c->fd, &t))
        return;
    uint64_t ago = t.last_ack_ms * MS;
    out->last_ack_ns = now > ago ? now - ago : 0;
    out->last_moved_ns = moved(c, t.acked, now, out->last_ack_ns);
    out->zero_window = t.zero_window;
    out->probes = t.probes;
}

void net_traffic(const net_conn_t *c, uint64_t *in, uint64_t *out) {
    tcp_facts_t t = {0};
    tcp_facts(c->fd, &t);
    *in = t.received;
    *out = t.acked;
}
