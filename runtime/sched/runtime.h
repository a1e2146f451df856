/* runtime: one node's scheduler: workers, directory, kinds. Several can live in one process
 * (specs). main and specs call this; actors use actor.h. */
#pragma once
#include "sched/actor.h"

typedef struct runtime_conf {
    uint32_t workers;       /* threads */
    uint32_t max_actors;    /* default 1,000,000 */
    uint32_t mailbox_msgs;  /* default 4,096 */
    uint32_t mailbox_bytes; /* default 16 MiB */
    uint32_t slice_msgs;    /* 64 */
    uint32_t slice_us;      /* 2,000 */
    uint64_t seed;          /* actor_random; 0 = from the system */
    /* injected time; NULL = base/clock */
    uint64_t (*mono_ns)(void *arg);
    int64_t (*wall_ms)(void *arg);
    void *arg;
    /* A top-level actor failed for good: the node should stop. Once, in that actor's thread: it
     * only tells main. chain: who failed because of whom, from the first one up. NULL: a log line
     * only */
    void (*failed)(void *arg, const char *chain);
    void *failed_arg;
    struct sim *sim; /* not NULL: the deterministic mode, see sim.h; set by sim_join */
} runtime_conf_t;

#define RUNTIME_LOCALS 16 /* worker-local slots */
#define RUNTIME_KINDS  32

runtime_t *runtime_new(const runtime_conf_t *conf);
/* Kinds are registered before start: keyed actors of this kind are made of cls on demand. */
void runtime_kind(runtime_t *rt, uint8_t kind, const actor_class_t *cls);
/* Called once in each worker's thread before it runs anything, and at its end (what: false). */
void runtime_worker_hook(runtime_t *rt,
                         void (*hook)(runtime_t *rt, uint32_t worker, bool starting, void *arg),
                         void *arg);
int runtime_start(runtime_t *rt);
/* Orderly stop: keyed and spawned actors get MSG_STOP in reverse order of spawn, at most `ms`; then
 * threads end. */
void runtime_stop(runtime_t *rt, uint32_t ms);
void runtime_free(runtime_t *rt);

uint32_t runtime_workers(const runtime_t *rt);
/* From any thread, also outside of actors (main, signal handling). Takes m. */
int runtime_send(runtime_t *rt, actor_ref_t to, msg_t *m);
int runtime_send_key(runtime_t *rt, uint8_t kind, uint64_t key, msg_t *m);
/* The actor crashes with `reason` (a negative code; else ERR_INTERNAL) before its next slice, also
 * when its mailbox is full: what it handles now it finishes (at most 64 messages, a thread actor
 * its batch), its next message is answered ERR_GONE. Its class's restart policy applies. Any
 * thread. ERR_GONE: it does not live. */
int runtime_kill(runtime_t *rt, actor_ref_t ref, int reason);
/* Replies from a thread that is no actor's (a library's callback): as actor_reply. */
void runtime_reply(runtime_t *rt, msg_t *request, int err, msg_t *reply);

/* Well-known actors by small number (the store, the crypt port, ...): set before start, read
 * anywhere. */
void runtime_name(runtime_t *rt, uint32_t name, actor_ref_t ref);
actor_ref_t runtime_named(const runtime_t *rt, uint32_t name);

/* --- worker access for net and for classes with worker-local tables --- */
struct uv_loop_s;
struct uv_loop_s *worker_loop(runtime_t *rt, uint32_t worker);
void worker_local_set(runtime_t *rt, uint32_t worker, uint32_t slot, void *value);
void *worker_local(runtime_t *rt, uint32_t worker, uint32_t slot);
/* fn runs at the end of every loop turn of this worker (flush), after the actors of the turn ran.
 * Before start or in a worker hook. It returns how many microseconds the next turn may wait at most
 * if idle (UINT64_MAX: as long as it likes). */
void worker_turn_end(runtime_t *rt, uint32_t worker, uint64_t (*fn)(void *arg), void *arg);
/* The worker whose thread this is, or -1. */
int worker_here(const runtime_t *rt);
/* The class of the actor that this thread runs now, or NULL. In a signal handler too. */
const char *runtime_running_class(void);
uint64_t runtime_now_ns(const runtime_t *rt);
/* The same clock read anew: for thread actors, whose turn may have lasted since now was read. */
uint64_t runtime_fresh_ns(const runtime_t *rt);
int64_t runtime_wall_ms(const runtime_t *rt);

/* What happened since the runtime was made; at rest sent = received + refused + dead. Any thread.
 */
typedef struct runtime_counts {
    uint64_t sent, received, refused,
        dead; /* dead: found in the mailbox of an actor that had ended */
    uint64_t stolen, wakes;
    uint32_t actors;     /* living now */
    uint64_t slot_bytes; /* of the slots made for actors so far: they are never given back */
} runtime_counts_t;
void runtime_counts(const runtime_t *rt, runtime_counts_t *out);
