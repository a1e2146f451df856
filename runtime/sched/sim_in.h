/* sim_in: what the files of the deterministic mode share, and the hooks that the rest of this floor
 * calls where runtime.sim is set. */
#pragma once
#include "sched/sched.h"
#include "sched/sim.h"

/* What happens at a moment of the logical clock; those of one moment in the order in which they
 * were asked for. */
#define SIM_PORT_US 2000 /* a port's pause, unless sim_faults says otherwise */
typedef enum sim_kind { SIM_CALL, SIM_RESUME } sim_kind_t;
typedef struct sim_event {
    uint64_t at_ns, order;
    sim_kind_t kind;
    runtime_t *rt; /* whose end drops it; NULL: nobody's */
    void (*fn)(void *arg);
    void *arg;
    worker_t *worker; /* SIM_RESUME: whose port goes on */
} sim_event_t;

typedef struct sim_fiber sim_fiber_t;

struct sim {
    uint64_t now_ns, random, trace, steps, kills, order;
    runtime_t **nodes;
    uint32_t node_count;
    actor_t **ready; /* whose tokens are here; the order says nothing, chance picks */
    uint32_t ready_count, ready_cap;
    sim_event_t *events; /* a heap */
    uint32_t event_count, event_cap;
};

/* Of one runtime. */
typedef struct sim_node {
    sim_t *world;
    sim_faults_t faults;
    uint32_t slice_msgs; /* of conf */
} sim_node_t;

/* --- sim.c, called by the scheduler --- */
void sim_resume(worker_t *w); /* its fiber */
void sim_made(runtime_t *rt);
void sim_ready(runtime_t *rt, actor_t *a); /* takes its token */
bool sim_refuses(runtime_t *rt);           /* a seeded FULL */
void sim_start(runtime_t *rt);             /* instead of threads: the workers' start hooks */
void sim_end(runtime_t *rt);               /* what worker_main and the threads do at their end */
void sim_wait(runtime_t *rt);              /* instead of sleeping until something has changed */
void sim_leave(runtime_t *rt);             /* the runtime is freed */

/* --- sim_event.c --- */
void sim_event_add(sim_t *s, sim_event_t e);
bool sim_event_due(const sim_t *s);
void sim_event_run(sim_t *s); /* the first one */
void sim_event_drop(sim_t *s, const runtime_t *rt);

/* --- sim_fiber.c --- */
void sim_work(worker_t *w, actor_t *a); /* a port's turn, or its first part */
void sim_fiber_go(worker_t *w);         /* it goes on */
void sim_fiber_free(worker_t *w);
void sim_pass(worker_t *w); /* it is about to send */
