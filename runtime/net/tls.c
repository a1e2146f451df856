/* tls */
#include "net/net_in.h"
#include <stdio.h>

int tls_check(const net_listener_t *l, char *fault, size_t room) {
    (void)l;
    snprintf(fault, room, "TLS is not built in");
    return ERR_IO;
}
bool tls_worker_open(net_worker_t *w) {
    (void)w;
    return true;
}
void tls_worker_close(net_worker_t *w) {
    (void)w;
}
bool tls_open(net_conn_t *c, const net_listener_t *l) {
    (void)c, (void)l;
    return false;
}
const transport_t tls_transport;
