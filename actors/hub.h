/* hub: one actor per worker, pinned, that knows the WebSocket connections of this worker by user,
 * and the one table all workers share: which workers hold sockets of a user. Fan-out sends one
 * message per worker that has receivers; the hub there walks its own table and queues the bytes on
 * each connection, with no further message. */
#pragma once
#include "actors/conn.h"

typedef struct hub_table
    hub_table_t; /* user -> workers (bit mask) and socket count; shared, striped */

/* Before runtime_start: makes the shared table and, in each worker (runtime hook), its hub actor.
 */
int hub_setup(runtime_t *rt, const conf_t *conf);
void hub_teardown(runtime_t *rt); /* after runtime_stop */

/* The connection's own worker. A connection joins once it is welcomed and leaves when closed. */
void hub_join(conn_t *c);
void hub_leave(conn_t *c);
/* A joined one is told to close: until it leaves it is not counted by hub_sockets. */
void hub_closing(const conn_t *c);
/* Connections of a user on this worker. */
size_t hub_here(actor_t *self, int64_t user, conn_t **out, size_t room);

/* Any thread. */
bool hub_online(int64_t user);
uint32_t hub_sockets(int64_t user); /* over all workers, those that are closing left out */
uint64_t hub_workers(int64_t user); /* bit per worker */
size_t hub_users_online(void);
actor_ref_t hub_ref(uint32_t worker); /* to send it VERB_FANOUT */

/* A ready frame (head included) to every socket of these users, except that of (skip_user,
 * skip_device) when device is not empty. Any actor. Delivered in the order asked for by one sender.
 * Takes a reference of frame. */
void hub_push(actor_t *self, const int64_t *users, size_t count, block_t *frame, int64_t skip_user,
              slice_t skip_device);
/* The same for read and presence pushes: a socket with more than ws.queue_soft waiting does not get
 * it. */
void hub_push_hint(actor_t *self, const int64_t *users, size_t count, block_t *frame,
                   int64_t skip_user, slice_t skip_device);
/* To the sockets of one device only; never before an answer that was sent to its connection earlier
 * by the same actor. */
void hub_push_device(actor_t *self, int64_t user, slice_t device, block_t *frame);
/* Closes sockets: of a login (fam > 0; of any user when user is 0, which looks through all
 * sockets), or of (user, device; empty = all). Any actor. */
void hub_kick(actor_t *self, int64_t fam, int64_t user, slice_t device, uint16_t code);
/* A text frame {"type":type,"data":data} ready for hub_push; data is JSON. Gives one reference. */
block_t *hub_frame(const char *type, slice_t data);
