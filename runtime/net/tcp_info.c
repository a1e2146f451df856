/* tcp_info: one getsockopt; called by peer.c. */
#include "net/tcp_info.h"
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#define KNOWS(len, field) ((len) >= offsetof(struct tcp_info, field) + sizeof(uint32_t))

bool tcp_facts(int fd, tcp_facts_t *out) {
    struct tcp_info t = {0};
    socklen_t len = sizeof t;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &t, &len) != 0)
        return false;
    out->acked = t.tcpi_bytes_acked;
    out->received = t.tcpi_bytes_received;
    out->last_ack_ms = t.tcpi_last_ack_recv;
    out->probes = t.tcpi_probes > t.tcpi_retransmits ? t.tcpi_probes : t.tcpi_retransmits;
    bool closed = KNOWS(len, tcpi_snd_wnd) ? t.tcpi_snd_wnd == 0 : t.tcpi_probes > 0;
    out->zero_window = t.tcpi_notsent_bytes > 0 && closed;
    return true;
}
