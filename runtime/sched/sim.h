/* sim: the deterministic mode of the scheduler, for specs. No threads: a world holds a logical
 * clock, one seeded source of random numbers and any number of runtimes (nodes). Each step it lets
 * chance decide which ready actor runs, on which worker and for how many messages, or which
 * worker's turn ends, or which event happens; when nothing is ready the clock goes to the next
 * timer. The actors, ports and scripts are the real ones. The same seed gives the same run.
 *
 * A thread actor (a port) is an actor like any other here, but for one thing: where its thread
 * might be held up (before it begins, before it sends, where it calls sim_pause) the others go on
 * for a while of chance.
 *
 * Used by spec/sim and by spec/runtime/sched/sim_spec.c; one thread. */
#pragma once
#include "sched/runtime.h"

typedef struct sim sim_t;

/* The world begins at unix time SIM_BEGIN_MS. Keyed hashes of this process are seeded too: make the
 * first world before anything else that holds a map. */
#define SIM_BEGIN_MS 1800000000000
sim_t *sim_new(uint64_t seed);
void sim_free(sim_t *s); /* after its runtimes */
/* Makes the runtime of this conf one of the world: its time, its random numbers, its scheduler. */
void sim_join(sim_t *s, runtime_conf_t *conf);

/* One step of the world. false: nothing is ready, no timer runs, no event will come. */
bool sim_step(sim_t *s);
/* Steps until `ms` have passed on the logical clock. */
void sim_run(sim_t *s, uint64_t ms);
uint64_t sim_now_ns(const sim_t *s);
uint64_t sim_steps(const sim_t *s);
uint64_t sim_kills(const sim_t *s); /* actors that were made to crash */

/* The world's random numbers: everything that a spec decides by chance comes from here. */
uint64_t sim_below(sim_t *s, uint64_t n); /* 0 .. n - 1 */
bool sim_chance(sim_t *s, uint32_t per_million);
/* What happened, as one number: each run of an actor, and what a spec adds. */
uint64_t sim_trace(const sim_t *s);
void sim_note(sim_t *s, uint64_t what);

/* --- the outside of the actors --- */
/* fn runs after delay_ns, outside of all actors. rt: whose end drops the event unseen, or NULL. */
void sim_after(sim_t *s, runtime_t *rt, uint64_t delay_ns, void (*fn)(void *arg), void *arg);
/* Calls fn as the worker's own thread between two turns would, as a socket event comes; the
 * worker's turn hooks follow later. */
void sim_enter(runtime_t *rt, uint32_t worker, void (*fn)(void *arg), void *arg);
/* Is anybody ready, and does anything wait for its answer or its delivery? Timers do not count. */
bool sim_busy(const sim_t *s);
/* Is a port of this runtime in the middle of its work? */
bool sim_aside(const runtime_t *rt);
/* Called inside a port where it would block (a sync of the disk): up to most_us pass, 0: what
 * sim_faults says. Elsewhere nothing happens. */
void sim_pause(uint64_t most_us);

/* --- faults, each by chance per million --- */
typedef struct sim_faults {
    uint32_t full; /* an ordinary message is refused as if the mailbox were full */
    uint32_t kill; /* an actor whose class `kills` allows crashes instead of its next slice */
    bool (*kills)(const actor_class_t *cls);
    uint64_t port_us; /* a port is held up so long at most, each time; 0: 2,000 */
} sim_faults_t;
void sim_faults(runtime_t *rt, const sim_faults_t *f);

/* --- between nodes --- */
/* One direction from one runtime to another: messages arrive in their order, each after a delay
 * between min_us and max_us. */
typedef struct sim_link sim_link_t;
sim_link_t *sim_link_new(runtime_t *to, uint64_t min_us, uint64_t max_us);
void sim_link_free(sim_link_t *l); /* what is under way is lost */
/* Takes m. To an address there, or to a keyed actor. `from` is empty on the other side. */
void sim_link_send(sim_link_t *l, actor_ref_t to, msg_t *m);
void sim_link_send_key(sim_link_t *l, uint8_t kind, uint64_t key, msg_t *m);
void sim_link_cut(sim_link_t *l, bool cut); /* cut: what is sent from now on waits */
