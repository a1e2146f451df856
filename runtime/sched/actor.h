/* actor: what an actor class is and everything an actor may do. An actor is class + key + state +
 * mailbox; it handles one message at a time. All calls below that take `self` are made by that
 * actor inside its handler (or inside actor_enter), in the thread that runs it. Time, randomness
 * and I/O reach an actor only from here. */
#pragma once
#include "base/err.h"
#include "sched/msg.h"
#include <stdbool.h>

typedef struct actor actor_t;
typedef struct runtime runtime_t;

typedef enum actor_place {
    ACTOR_FREE,   /* runs where it was woken; an idle neighbour may take it */
    ACTOR_PINNED, /* always on the worker it was spawned on (owns a socket, worker-local tables) */
    ACTOR_THREAD  /* a thread of its own drains the mailbox: ports. handle_batch may block; ends by
                     itself after MSG_STOP */
} actor_place_t;

typedef enum actor_restart { ACTOR_NEVER, ACTOR_ON_CRASH, ACTOR_ALWAYS } actor_restart_t;

typedef struct actor_class {
    const char *name;
    actor_place_t place;
    /* In place: same ref, new state; what waits is answered ERR_GONE. More than `restarts` in
     * restart_window_ms: it stays down and its parent fails too, by its own policy; a parent that
     * is not restarted hands it on. Up to the root: see runtime_conf.failed. Keyed actors are made
     * anew by the next message instead. */
    actor_restart_t restart;
    uint32_t restarts, restart_window_ms; /* 0 = 3 in 10,000 */
    uint32_t
        restart_wait_ms; /* before the first one, 0 = 10; then 10 times longer each, up to 1 s */
    uint32_t state_size; /* zeroed state, freed by the runtime after `ended` */
    uint32_t max_msgs, max_bytes; /* mailbox caps; 0 = the runtime's defaults */
    uint32_t batch;               /* ACTOR_THREAD: at most this many a call */
    uint32_t idle_ms; /* keyed: after so long without a message `passivate` is asked; 0 = never */
    bool idle_lazily; /* passivate only looks: it is asked after each turn, and the timer of idle_ms
                         runs only once it said true (an actor that stays for hours has none) */
    int (*init)(actor_t *self, void *state,
                const void *arg); /* arg: borrowed (with a restart policy: for the actor's life);
                                     keyed actors get NULL */
    void (*handle)(actor_t *self, void *state, msg_t *m);
    void (*handle_batch)(actor_t *self, void *state, msg_t **m, size_t n); /* ACTOR_THREAD only */
    /* After the last message of each slice, so that what came together can be done together; not
     * ACTOR_THREAD. It may call actor_exit. NULL = nothing */
    void (*slice_end)(actor_t *self, void *state);
    bool (*passivate)(actor_t *self, void *state); /* true: may go now. NULL = true */
    /* Releases the state's insides, also before a restart. reason: what actor_exit or runtime_kill
     * said; ERR_CLOSED: the runtime ends and the actor was not asked */
    void (*ended)(actor_t *self, void *state, int reason);
} actor_class_t;

/* For `ended`: did it end against its will, so that others must be told what they lose? */
static inline bool actor_crashed(int reason) {
    return reason != ERR_OK && reason != ERR_CLOSED;
}

/* --- who am I, what time is it --- */
actor_ref_t actor_self(const actor_t *self);
uint64_t actor_key(const actor_t *self);
void *actor_state(actor_t *self);
const actor_class_t *actor_class_of(const actor_t *self);
runtime_t *actor_runtime(const actor_t *self);
uint64_t actor_now_ns(const actor_t *self); /* monotonic; read once per turn, cheap */
int64_t actor_wall_ms(const actor_t *self); /* unix time; read once per turn too */
uint64_t actor_random(actor_t *self);       /* for jitter and choice, not for secrets */
uint32_t actor_worker(const actor_t *self); /* index of the worker that runs it */

/* --- life --- */
/* Spawns a child of self (parent NULL: of the root) on `worker` (-1: this one, or any). ACTOR_NONE
 * when the runtime is at its actor limit or init refused. Any thread when self is NULL. */
actor_ref_t actor_spawn(runtime_t *rt, actor_t *parent, const actor_class_t *cls, uint64_t key,
                        int worker, const void *arg);
/* Ends self after this handler: reason ERR_OK is a normal end, else a crash. Open requests are
 * answered ERR_GONE. */
void actor_exit(actor_t *self, int reason);
/* self has more to do than one turn may take: its turn ends after this handler, it goes behind
 * everybody who is ready on its worker, and its next turn begins with MSG_AGAIN, before whatever
 * waits in its mailbox. Once per handler; not in actor_enter, not for thread actors. */
void actor_again(actor_t *self);
/* This slice is over its time: who does many things in one handler stops here and uses actor_again
 * or a message to itself. */
bool actor_overdue(const actor_t *self);
/* self gets MSG_DOWN when ref ends, at once if it is gone. */
void actor_watch(actor_t *self, actor_ref_t ref);

/* --- send. Each takes m, also when it refuses. --- */
int actor_send(actor_t *self, actor_ref_t to, msg_t *m); /* ERR_OK, ERR_FULL, ERR_GONE */
int actor_send_key(actor_t *self, uint8_t kind, uint64_t key,
                   msg_t *m); /* activates; ERR_OK, ERR_FULL, ERR_BUSY */
/* Request: exactly one reply comes back as a message with this verb and cookie: from the receiver,
 * or made by the runtime with ERR_TIMEOUT, ERR_GONE, ERR_FULL. timeout_ms 0 = 5,000. Gives the call
 * id. */
uint32_t actor_request(actor_t *self, actor_ref_t to, msg_t *m, uint32_t timeout_ms,
                       uint32_t reply_verb, uint64_t cookie);
/* The same past the receiver's cap, as an answer goes: for the rare order that must reach an actor
 * whose mailbox is full. The caller has one open per receiver at most. */
uint32_t actor_order(actor_t *self, actor_ref_t to, msg_t *m, uint32_t timeout_ms,
                     uint32_t reply_verb, uint64_t cookie);
uint32_t actor_request_key(actor_t *self, uint8_t kind, uint64_t key, msg_t *m, uint32_t timeout_ms,
                           uint32_t reply_verb, uint64_t cookie);
/* A request that its port refuses before it is sent: err comes as any reply would. */
void actor_refuse(actor_t *self, int err, uint32_t reply_verb, uint64_t cookie);
/* No reply is wanted any more: a late one is dropped. */
void actor_forget(actor_t *self, uint32_t call_id);
/* Nothing more is asked for a while: when all requests are answered, gives back at once what they
 * left (a table, a timer), which else goes at their last deadline. For actors that are many. */
void actor_rest(actor_t *self);
/* Inside the handler of request m: keeps it past the handler, to be answered later. The actor owns
 * it until actor_reply; when the actor ends first, the runtime answers. */
void actor_keep(actor_t *self, msg_t *m);
/* Answers request `m` with err and `reply` (NULL: an empty one). Takes both when m was kept; else m
 * is freed by the runtime as usual. A message that is no request: reply is dropped. */
void actor_reply(actor_t *self, msg_t *m, int err, msg_t *reply);

/* --- timers: arrive as a message with this verb and cookie; die with the actor --- */
uint64_t actor_after(actor_t *self, uint64_t ms, uint32_t verb, uint64_t cookie);
void actor_cancel(
    actor_t *self,
    uint64_t timer); /* 0 and ended ones are fine; after it the message does not come */

/* --- worker-local tables: one pointer per slot and worker, set at start --- */
void *actor_local(const actor_t *self, uint32_t slot);

/* --- for thread actors that answer many at once: whom their messages wake sleeps on until
 * actor_wake_held, then each worker is woken once. Before it no blocking call. --- */
void actor_hold_wakes(actor_t *self);
void actor_wake_held(actor_t *self);

/* --- for the net floor: runs fn as if actor handled a message. Only on the pinned actor's own
 * worker thread, outside of any handler. false: the actor is gone. --- */
bool actor_enter(runtime_t *rt, actor_ref_t ref, void (*fn)(actor_t *self, void *state, void *arg),
                 void *arg);
/* A pinned actor on this very worker, looked at without a message (fan-out to connections): NULL if
 * gone. */
actor_t *actor_here(const actor_t *self, actor_ref_t ref);
