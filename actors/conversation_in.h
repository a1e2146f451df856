/* conversation_in: what the files conversation*.c share: the actor's state and who does what.
 *
 *   conversation.c         the class: what comes in, what waits, when it may go
 *   conversation_facts.c   reading the facts, and finding out after an unknown outcome
 *   conversation_send.c    who may send, batches to the store, their answers
 *   conversation_out.c     fan-out to the hubs, in order, kept while a hub is full
 *   conversation_read.c    read positions: reads, sends that are reads, folding, their pushes
 *   conversation_recall.c  recalls, one after the other
 *
 * Requests that wait are kept messages in rings; a kept message's `err`, `spare` and `cookie` are
 * ours. All of it runs in the conversation's actor. */
#pragma once
#include "actors/conversation.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/pool.h"

enum conversation_verb {
    VERB_CONV_LOADED = MSG_USER + 300, /* the store's answer: facts */
    VERB_CONV_ABOVE,                   /* messages whose fan-out is missing */
    VERB_CONV_APPENDED,
    VERB_CONV_REPEAT,
    VERB_CONV_READ,
    VERB_CONV_FOLDED,
    VERB_CONV_RECALLED,
    VERB_CONV_LOOKED, /* whether a message is recalled */
    VERB_CONV_FLUSH,  /* timer: read pushes */
    VERB_CONV_RESEND, /* timer: a hub was full */
    VERB_CONV_RELOAD, /* timer: the store did not answer */
    VERB_CONV_DOUBT   /* timer: a change was announced; did it come? */
};

enum {
    CONV_HELD = 4096,          /* requests that wait for facts */
    CONV_LOOKS = 1024,         /* reads and looks for repeats that wait for the store */
    CONV_RECALLS = 256,        /* recalls that wait */
    CONV_WAIT_BYTES = 8 << 20, /* messages that wait for the store, beside 2 x store.batch */
    CONV_BATCH_BYTES = 1 << 20,
    CONV_OUT = 64,     /* fan-outs that a full hub may hold up before messages wait */
    CONV_FOLD = 256,   /* own sends above folded_seq before they are written down */
    CONV_PUSHES = 256, /* readers whose pushes are merged */
    CONV_RANK_ADMIN = 2
};
#define CONV_IDLE_NS   (60 * (uint64_t)1000000000)
#define CONV_SPOKEN_NS (3600 * (uint64_t)1000000000) /* so long it remembers who spoke when */

/* What is the same for all conversations; written once before start. */
typedef struct conv_node {
    store_t *store;
    script_policy_t *may_send, *may_say, *recall_allowed, *window_ms;
    uint32_t batch, waiting;
    uint32_t read_push;
    int op_load, op_members, op_touch, op_repeat, op_above, op_read, op_fold_members, op_fold;
    int op_recalled, op_recall, op_change, op_change_add;
} conv_node_t;
extern conv_node_t conv_node;

typedef struct ring {
    msg_t **at;
    uint32_t head, count, cap; /* cap: power of two */
} ring_t;
void ring_push(ring_t *r, msg_t *m);
msg_t *ring_pop(ring_t *r);
static inline msg_t *ring_at(const ring_t *r, uint32_t i) {
    return r->at[(r->head + i) & (r->cap - 1)];
}
void ring_free(ring_t *r);

typedef struct member_fact {
    int64_t read_seq;
    int64_t rank : 8, muted_until_ms : 56;
} member_fact_t;

/* A fan-out on its way; data is the fanout_t for every hub. */
typedef struct outgoing {
    struct outgoing *next;
    uint64_t workers; /* those that have not got it yet */
    block_t *frames;
    uint32_t size;
    _Alignas(16) char data[];
} outgoing_t;

/* Read pushes of one user that wait to be merged. */
typedef struct read_push {
    int64_t user;
    int64_t read_seq, read_ms; /* for message_read; 0: none */
    bool sync;                 /* read_sync to the user's other devices */
    uint8_t device_len;
    char device[64]; /* the one that acted last */
} read_push_t;

typedef enum recall_step { RECALL_NONE, RECALL_WRITE, RECALL_LOOK } recall_step_t;

typedef struct conv {
    actor_t *self;
    int64_t id;
    members_t *members;
    member_fact_t *facts; /* of each of members->users */
    map_t *spoken;        /* user -> ms of their last message; NULL: no rule asks for it */
    int64_t low;          /* of a single chat */
    /* seqs: the store has 1..latest as far as we know; 1..fanned are on their way to the hubs */
    int64_t latest, fanned, folded, fold_next, at_ms;
    int64_t change; /* the last one told, or that was there when facts were first read */
    uint64_t used_ns, resend_timer, reload_timer, flush_timer, doubt_timer;
    ring_t held;    /* wait for facts, in order */
    ring_t askers;  /* VERB_CHANGED; the first `covered` wait for the load under way */
    ring_t sends;   /* the first `flight` are a batch, the others will be */
    ring_t refused; /* refused, but the same may be among `sends` */
    ring_t recalls; /* the first is being done */
    uint64_t send_bytes;
    outgoing_t *out_first, **out_last;
    read_push_t *pushes;
    int64_t recall_ms;
    uint32_t covered, flight, looks, out_count, push_count, push_cap;
    recall_step_t recall;
    uint8_t type;
    bool dissolved, mute_all, low_blocked, high_blocked;
    bool begun;            /* facts were read once: `fanned` means something */
    bool known, missing;   /* facts are good; there is no such conversation */
    bool loading, barrier; /* a load is under way, one that waits for all earlier writes */
    bool recover;  /* the outcome of a batch is unknown: no batch before a load with barrier */
    bool catching; /* stored messages above `fanned` are being fanned out */
    bool at_store, again; /* the batch is at the store; it goes there for the second time */
    bool folding, fold_failed, stopping;
} conv_t;

/* --- conversation.c --- */
void conv_error(conv_t *c, msg_t *m, int err,
                const char *text); /* answers; text NULL: the code's */
int conv_wire_error(int err);      /* of the store: timeout, busy or internal */
/* Place of a member, -1: none. */
int64_t conv_member(const conv_t *c, int64_t user);
void conv_dispatch(conv_t *c, msg_t *m); /* SEND, READ, RECALL with facts known */

/* --- conversation_facts.c --- */
void conv_load(conv_t *c);
void conv_loaded(conv_t *c, const msg_t *m);
void conv_recover(conv_t *c);
void conv_above(conv_t *c, const msg_t *m);

/* --- conversation_send.c --- */
void conv_send(conv_t *c, msg_t *m);
void conv_repeat(conv_t *c, const msg_t *m);
void conv_start_batch(conv_t *c);
void conv_appended(conv_t *c, const msg_t *m);
void conv_fail_sends(conv_t *c, int err);
void conv_refuse_again(conv_t *c);

/* --- conversation_out.c --- */
typedef struct fan {
    outgoing_t *out;
    buf_t frames;
    uint32_t start, devices;
} fan_t;
fanout_t *fan_begin(fan_t *f, const conv_t *c, fanout_kind_t kind, uint32_t count,
                    uint32_t device_bytes);
fanout_item_t *fan_item(fan_t *f, const message_row_t *row, slice_t device);
void fan_messages_frame(fan_t *f, fanout_item_t *item, const message_row_t *row);
void fan_revoked_frame(fan_t *f, fanout_item_t *item, const message_row_t *row, int64_t at_ms);
void fan_send(fan_t *f, conv_t *c);
void conv_resend(conv_t *c);
void conv_out_free(conv_t *c);

/* --- conversation_read.c --- */
void conv_read(conv_t *c, msg_t *m);
void conv_read_done(conv_t *c, const msg_t *m);
void conv_own_send(conv_t *c, int64_t user, int64_t seq, slice_t device);
void conv_flush(conv_t *c);
void conv_fold(conv_t *c);
void conv_folded(conv_t *c, const msg_t *m);

/* --- conversation_recall.c --- */
void conv_recall(conv_t *c, msg_t *m);
void conv_start_recall(conv_t *c);
void conv_recalled(conv_t *c, const msg_t *m);
void conv_looked(conv_t *c, const msg_t *m);
