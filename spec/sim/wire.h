/* wire: sockets without sockets: net's third transport, for the deterministic mode. A wire is one
 * connection: what the client writes reaches the server in pieces of chance after delays of chance,
 * what the server sends reaches the client the same way and stops when the client does not read.
 * The real net code stands on it: head parser, frames, output queue, pauses, timers. */
#pragma once
#include "net/net_in.h"
#include "sched/sim.h"

typedef struct wire wire_t;
enum { WIRES = 4096 }; /* of one run */

void wire_setup(sim_t *s);
void wire_reset(void); /* frees all; the worlds are gone */
/* Every connection of this net is a wire. Before runtime_start. */
void wire_net(net_t *net);
/* Connects to a worker of chance. Gives its number, or -1. */
int wire_open(net_t *net, uint32_t listener, uint32_t window);
void wire_write(int id, const char *at, size_t len); /* the client's bytes */
/* What has arrived at the client and was not taken yet; taking it makes room. */
slice_t wire_peek(int id);
void wire_take(int id, size_t len);
bool wire_ended(int id); /* the server's end of the stream has arrived */
void wire_close(int id,
                bool hard); /* by the client: its end follows its bytes, or everything at once */
/* The node dies: no byte moves any more; what had left it arrives before the end. */
void wire_node_died(void);
/* A wire whose client has news; -1: none. */
int wire_news(void);
