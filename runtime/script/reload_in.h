/* reload_in: the reloader: one actor with a thread of its own that changes versions. reload.c takes
 * orders one after the other, orders.c does those on one service; rollout.c carries a version to
 * the shards; canary.c tries one; shadow_order.c has one run without effect; report.c tells.
 * Internal to these. */
#pragma once
#include "script/history.h"
#include "script/script_in.h"

#define ORDERS_WAITING 32

enum {
    RELOAD_ORDER = MSG_USER, /* script_order_t; a request, or not (a signal) */
    RELOAD_ANSWER,           /* of a shard to the sweep under way */
    RELOAD_DISPOSE,
    RELOAD_LOOK,  /* at the canary of service `cookie` */
    RELOAD_SHADOW /* answer of the shadow to the order under way */
};

typedef struct reloader reloader_t;
typedef void (*then_t)(actor_t *self, reloader_t *r, bool ok);

/* One thing that is asked of shards one after the other. */
typedef enum sweep_kind { SWEEP_SWAP, SWEEP_TRY, SWEEP_END_TRY } sweep_kind_t;
typedef struct sweep {
    sweep_kind_t kind;
    uint32_t service, shard; /* shard: asked now */
    uint64_t todo, done;     /* shards as bits */
    version_t *version;      /* borrowed from who started it */
    bool back;               /* of SWEEP_SWAP */
    uint32_t share;          /* of SWEEP_TRY, of 10,000 */
    int err;                 /* of the one that refused */
    then_t then;
} sweep_t;

typedef struct canary {
    version_t *version;    /* NULL: none */
    bool swapped;          /* one shard runs it instead of the old one; else beside it, by keys */
    uint32_t shard, share; /* shard: from 0; share: of 10,000, 10,000 on one shard alone */
    bool one_shard;
    bool decided; /* its end is ordered */
    int64_t since_ms;
    uint64_t since_ns;
    char verdict[HISTORY_REASON];
} canary_t;

typedef struct shadowing {
    version_t *version; /* NULL: none */
    int64_t since_ms;
} shadowing_t;

typedef struct waiting {
    script_order_t order;
    msg_t *request; /* kept; NULL: nobody waits */
} waiting_t;

struct reloader {
    script_t *script;
    waiting_t waiting[ORDERS_WAITING]; /* oldest first */
    uint32_t waiting_count;

    /* the order under way */
    bool busy;
    msg_t *request;
    script_order_t order;
    buf_t told;       /* the JSON of its answer */
    sources_t *fresh; /* what script.dir holds */
    uint32_t service; /* under way */
    version_t *next;  /* being brought in */
    policy_set_t *policies;
    sweep_t sweep;
    then_t after_rollout, after_canary; /* see rollout_start, canary_start */
    char reason[HISTORY_REASON], refusal[HISTORY_REASON];

    canary_t canaries[SCRIPT_SERVICES];
    shadowing_t shadows[SCRIPT_SERVICES];
};

/* --- reload.c --- */
/* The order under way is done: answers, and goes on with the next. text: of the error. */
void order_done(actor_t *self, reloader_t *r, int err, const char *text);
service_t *order_service(reloader_t *r);
int64_t order_now(const reloader_t *r);
/* An order of our own, such as the end of a canary. false: too many wait. */
bool order_add(reloader_t *r, const script_order_t *o);
/* r->next serves now on all shards: it is current, the one before becomes `old` with that reason.
 */
void version_serves(reloader_t *r, history_state_t old, const char *reason);
/* Makes r->next of the files in r->fresh and judges it: it loads, its specs pass, its policies are
 * there (in r->policies). false: r->reason says why; the history knows. */
bool version_judge(reloader_t *r, bool trial);
/* r->next never served and will not: history, log, what the order answers. r->reason says why. */
void version_refuse(reloader_t *r);
/* v is not loaded again until its files change; NULL: nothing is. */
void version_hold(service_t *sv, version_t *v);
/* Reads script.dir into r->fresh; false: r->reason. */
bool fresh_read(reloader_t *r);
/* Adds to what a reload answers. */
void tell_result(reloader_t *r, const version_t *v, const char *result, const char *reason);

/* --- orders.c: on r->service --- */
void order_canary(actor_t *self, reloader_t *r);
void order_promote(actor_t *self, reloader_t *r);
void order_abort(actor_t *self, reloader_t *r);
void order_rollback(actor_t *self, reloader_t *r);

/* --- shadow_order.c: on r->service --- */
void order_shadow(actor_t *self, reloader_t *r);
/* RELOAD_SHADOW. */
void order_shadow_answer(actor_t *self, reloader_t *r, const msg_t *m);
/* What is in shadow of a service; NULL: nothing. */
const shadowing_t *shadow_of(const reloader_t *r, uint32_t service);
void order_shadow_close(reloader_t *r);

/* --- rollout.c --- */
void sweep_start(actor_t *self, reloader_t *r, const sweep_t *sweep);
void sweep_answer(actor_t *self, reloader_t *r, const msg_t *m);
/* The shard, as a bit, that gave no answer in time: it may have done what it was asked a moment
 * before, and is asked to undo it with those that did. 0: all have answered. */
uint64_t sweep_unsure(const reloader_t *r);
/* r->next (with r->policies) becomes what serves on all shards in `todo`; the others run it. On
 * failure those that took it go back. Then after_rollout; r->reason says why not. */
void rollout_start(actor_t *self, reloader_t *r, uint64_t todo, bool back, then_t after);
uint64_t rollout_all(const reloader_t *r); /* all shards */

/* --- canary.c: of r->service --- */
/* r->next is tried as the order says; then `after`, r->reason says why not. */
void canary_start(actor_t *self, reloader_t *r, then_t after);
/* The old version has all again; then `after`. */
void canary_end(actor_t *self, reloader_t *r, then_t after);
/* The shards that do not run it instead of the old version. */
uint64_t canary_rest(const reloader_t *r);
/* It is neither tried nor watched any more: after its rollout. */
void canary_forget(reloader_t *r);
void canary_look(actor_t *self, reloader_t *r, uint64_t cookie);
void canary_close(reloader_t *r);

/* --- report.c --- */
void report_list(reloader_t *r);
void report_history(reloader_t *r);
bool report_diff(reloader_t *r); /* false: r->reason */
/* Unified diff of two texts, bounded; nothing when they are the same. */
void diff_add(buf_t *out, const char *path, slice_t a, slice_t b);
