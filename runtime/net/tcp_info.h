/* tcp_info: what the kernel knows about a peer. A file of its own, because linux/tcp.h (which has
 * the peer's window) and the header that libuv includes cannot stand in one file. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct tcp_facts {
    uint64_t acked;       /* bytes that the peer acknowledged */
    uint64_t received;    /* bytes that came from it */
    uint32_t last_ack_ms; /* so long ago an acknowledgement came, of a probe too */
    uint32_t probes;      /* unanswered window probes or retransmits */
    bool zero_window;     /* bytes wait and the peer's window is closed */
} tcp_facts_t;
bool tcp_facts(int fd, tcp_facts_t *out);
