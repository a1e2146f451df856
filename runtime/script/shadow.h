/* shadow: a new version sees what the version that serves is asked, and what it would do is
 * compared and thrown away. record.c, in the workers: notes a request that the serving version
 * handles: what it was given, each call of the API with its result, the answer. shadow.c, an actor
 * with a thread of its own: runs the shadow on that record, in a stub host whose calls are answered
 * from it. So nothing the shadow does has an effect, and nothing it takes long for holds anybody
 * up. Internal to script. */
#pragma once
#include "script/script_in.h"

#define SHADOW_BYTES   (64u << 10) /* of the calls of a record, and of the state it begins with */
#define SHADOW_WAITING 64          /* records of a service being made or waiting for the shadow */
#define SHADOW_ARGS    8           /* of a policy */
#define SHADOW_KEPT    32          /* differences that are kept */
#define SHADOW_TEXT    400         /* bytes of what one side did */

enum {
    SHADOW_BEGIN = MSG_USER, /* request by the reloader: shadow_begin_t */
    SHADOW_END,              /* request: shadow_ask_t; answered as SHADOW_TELL, then it is over */
    SHADOW_TELL,             /* request: shadow_ask_t; body: JSON, see SCRIPT_SHADOW_SHOW */
    SHADOW_CASE              /* shadow_case_t */
};
typedef struct shadow_begin {
    uint32_t service;
    version_t *version; /* a reference; taken when it is set to NULL */
    int64_t since_ms;
} shadow_begin_t;
typedef struct shadow_ask {
    uint32_t service;
} shadow_ask_t;

/* One thing the serving version was asked, and what it did. The blocks go with the message. */
typedef struct shadow_case {
    script_t *script;
    uint32_t service, number; /* number: of the shadow it is for */
    bool policy;
    bool stateless; /* the state was too large: the shadow begins with a fresh one */
    bool fault;     /* it ended by a fault of the script; its text is in answer */
    int err;
    uint32_t shard;
    uint64_t key;
    int64_t now_ms; /* when it began */
    char verb[SCRIPT_NAME];
    block_t *req;            /* JSON, or NULL; of a policy the text, or NULL */
    block_t *state, *events; /* packed; events: see record.c */
    block_t *answer;
    size_t count; /* of a policy */
    int64_t args[SHADOW_ARGS], out;
} shadow_case_t;

/* --- what the workers look at: the number of the shadow, 0 = none. Put by the reloader (release,
 * after script.shadow is there). --- */
static inline uint32_t shadow_number(const service_t *sv) {
    return atomic_load_explicit(&sv->gate.number, memory_order_acquire);
}
/* How many one shard, or one worker's policies, gave in the second under way. */
typedef struct shadow_window {
    uint64_t since_ns;
    uint32_t count;
} shadow_window_t;

/* --- record.c --- */
/* Puts a closure that notes its calls before each function of the API that waits or reaches the
 * world. It costs a branch while nothing is recorded. Before vm_seal. */
void record_define(lua_State *L);
/* NULL: this one is not looked at (rate, queue), which is counted. c: service, number, verb, key,
 * shard, now_ms are set; req: borrowed. */
record_t *record_begin(program_t *p, shadow_window_t *w, uint64_t now_ns, const shadow_case_t *c,
                       block_t *req);
/* The n values on top are the results of the call that began last. */
void record_results(lua_State *L, record_t *r, int n);
/* That call raises the fail object on top. */
void record_raises(lua_State *L, record_t *r);
/* The handler is over: to the shadow. Takes r; NULL is fine. */
void record_end(record_t *r, actor_t *self, int err, bool fault, slice_t answer);
void record_drop(record_t *r); /* not looked at after all; NULL is fine */
/* A policy that was answered; c as above, with args, count and out; text: or NULL. */
void record_policy(actor_t *self, shadow_window_t *w, shadow_case_t *c, const slice_t *text);

/* --- shadow.c --- */
/* The actor, spawned at the first use; ACTOR_NONE: no room. The reloader's thread. */
actor_ref_t shadow_actor(script_t *s);
