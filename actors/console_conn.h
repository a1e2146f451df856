/* console_conn: console commands about sockets: conns, kick, drain. main adds them; a hub answers
 * for the sockets of its worker. */
#pragma once
#include "actors/edge.h"
#include "admin/console.h"

/* Before console_start. */
void console_conn_add(console_t *console, edge_t *e);
/* Inside a hub: answers VERB_CONNS with a page of its worker's sockets. */
void console_conn_rows(actor_t *self, msg_t *m);
