/* trace: follows single messages through all actors they cause work in. Armed for one actor by
 * trace_start: the next `count` messages that reach it, answers not counted, get a trace number;
 * whatever is sent while a traced message is handled inherits it, as does the answer to a traced
 * request whenever it is given. Each hop is a record in a ring of fixed size, under one lock that
 * only traced messages take. A message that is not traced pays one predictable branch when it is
 * sent and two when it is handled; while something is armed, also a comparison for each target.
 *
 * What is not followed by itself: timers (nobody knows what they are for), and what an actor sends
 * later for a message that it kept or noted: there the class says trace_follow. */
#pragma once
#include "sched/runtime.h"

enum {
    TRACE_RING = 4096, /* records kept; 0.5 MiB, taken at the first trace_start */
    TRACE_TARGETS = 8, /* armed at a time */
    TRACE_HOPS = 512,  /* of one trace; more are not recorded */
    TRACE_DEPTH = 64,  /* of a chain of messages: ends what goes in circles */
    TRACE_COUNT = 1000 /* messages of one trace_start at most */
};

typedef struct trace_party {
    actor_ref_t ref;  /* 0/0: no actor (main, console) */
    const char *name; /* class; NULL: no actor, or one that was gone */
    uint64_t key;
} trace_party_t;

typedef struct trace_hop {
    uint32_t trace, hop, parent; /* hop: 1, 2, .. in the order of sending; parent: 0 = the first */
    uint32_t verb, flags;        /* of the message: MSG_REQUEST, MSG_REPLY; verb 0: trace_mark */
    trace_party_t from, to;
    uint64_t sent_ns, began_ns,
        ended_ns; /* monotonic; 0: not yet. began of a thread actor: batch */
    uint32_t worker;
    int32_t err;  /* of a reply; ERR_FULL, ERR_GONE of one that was refused */
    bool visited; /* no message: touched in place (trace_visit) */
} trace_hop_t;

/* Arms (kind, key): the next count messages to it. Returns the number of the first trace (the
 * others follow one by one), 0: TRACE_TARGETS are armed, or count is not 1..TRACE_COUNT. The key
 * need not be alive. trace_start_actor: the same for any actor by its address. */
uint32_t trace_start(runtime_t *rt, uint8_t kind, uint64_t key, uint32_t count);
uint32_t trace_start_actor(runtime_t *rt, actor_ref_t ref, uint32_t count);
/* Disarms what began with this number; what is under way goes on being recorded. */
void trace_stop(runtime_t *rt, uint32_t first);
/* How many of its messages have come so far; armed: whether more are waited for. */
uint32_t trace_seen(runtime_t *rt, uint32_t first, bool *armed);
/* The recorded hops of one trace in the order of sending, at most room. *lost (may be NULL): hops
 * beyond TRACE_HOPS or overwritten by later traces. */
size_t trace_read(runtime_t *rt, uint32_t trace, trace_hop_t *out, size_t room, uint32_t *lost);

/* --- called by actors, in their thread --- */
/* Something came from outside for (kind, key) (a frame of a user's socket): when that is armed,
 * what self sends until this handler or actor_enter ends is a new trace, whose first hop is self.
 */
void trace_mark(actor_t *self, uint8_t kind, uint64_t key);
/* What self sends from here on in this turn is done for m, a message it has kept or handles. */
void trace_follow(actor_t *self, const msg_t *m);
/* self works on `other` in place, without a message (a hub on its connections): a hop of its own
 * when self's message is traced. */
void trace_visit(actor_t *self, const actor_t *other);
