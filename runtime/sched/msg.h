/* msg: the one thing that moves between actors. One allocation; ownership moves with it; the
 * receiver's runtime frees it after the handler returns unless the handler kept it. */
#pragma once
#include "base/buf.h"
#include <stdint.h>

/* An actor's address: slot and generation. A stale one is harmless: sends answer GONE. 0/0 is
 * nobody. */
typedef struct actor_ref {
    uint32_t slot, gen;
} actor_ref_t;
#define ACTOR_NONE ((actor_ref_t){0, 0})
static inline bool actor_ref_eq(actor_ref_t a, actor_ref_t b) {
    return a.slot == b.slot && a.gen == b.gen;
}

/* Verbs below MSG_USER are the runtime's. Classes number theirs in actors/verbs.h. */
enum {
    MSG_DOWN = 1, /* a watched actor ended: from = it, err = why */
    MSG_STOP =
        2, /* orderly stop asked for: the actor ends itself with actor_exit when it is done */
    MSG_AGAIN = 15, /* asked for by actor_again */
    MSG_USER = 16
};

enum {
    MSG_REQUEST = 1, /* the sender waits for an answer */
    MSG_REPLY = 2,   /* the answer to one; uses reserved room: never refused by a cap */
    MSG_SYSTEM = 4,  /* DOWN, STOP, timers, orders: reserved room too */
    MSG_KEPT = 8,    /* the handler keeps it: runtime does not free */
    MSG_HANDLING =
        32 /* its handler runs now: who answers a kept one leaves freeing it to the runtime */
};

typedef struct msg {
    struct msg *next; /* mailbox link, then the receiver's list of open requests */
    struct msg *prev;
    actor_ref_t to, from;
    uint32_t verb;
    uint32_t call_id; /* of a request and its reply; 0 = nobody waits */
    int32_t err;      /* of a reply or DOWN: ERR_OK or a negative code */
    uint16_t flags;
    uint16_t trace;       /* its record there (trace.c); 0: not traced */
    uint64_t cookie;      /* reply and timer: the word given when it was asked for */
    uint64_t deadline_ns; /* of a request, on the runtime's monotonic clock */
    uint64_t key;         /* of a keyed send: which key was addressed */
    block_t *body;        /* counted bytes for many receivers, or NULL; freed with the message */
    void (*drop)(struct msg *m); /* releases what data owns, or NULL */
    uint32_t size;               /* bytes in data */
    uint32_t spare;              /* free for whom the message belongs to */
    _Alignas(16) char data[];
} msg_t;

/* Gives a message with `size` bytes of data, not zeroed. Any thread. */
msg_t *msg_new(uint32_t verb, size_t size);
msg_t *msg_of(uint32_t verb, const void *data, size_t size);
/* Takes m; NULL is fine. A kept request that was never answered is answered ERR_GONE by its actor's
 * end, not here. */
void msg_free(msg_t *m);
/* The data as a struct of the verb's type; asserts the size. */
#define msg_data(m, type) ((type *)msg_data_check((m), sizeof(type)))
void *msg_data_check(msg_t *m, size_t size);
