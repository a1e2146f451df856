/* node: a whole node in the deterministic mode: the real ports, scripts, actors and net, put
 * together as main does it, on a database file that survives its crashes. */
#pragma once
#include "net/net.h"
#include "sched/sim.h"

typedef struct node node_t;
/* dir: where the database is. settings: "key=value" lines, NULL at the end. NULL with a line on
 * stderr. */
node_t *node_up(sim_t *s, const char *dir, const char *const *settings);
/* As a kill -9: whatever was not in the database is lost. A port that is in the middle of its work
 * stays there for ever, and with it its store: the next life needs a copy of the files. */
void node_crash(node_t *n);
/* As TERM: sockets are sent away, actors asked to stop. */
void node_stop(node_t *n);
net_t *node_net(node_t *n);
runtime_t *node_runtime(node_t *n);
void node_reload(node_t *n); /* the scripts */
bool node_ready(node_t *n);
