/* look: sees the scheduler from outside: which actors live and what each costs, what a class costs,
 * which slices were long, which limits refused, whether messages are lost. For the console, the
 * metrics page and specs. Any thread but a worker's or a thread actor's where it says "waits".
 *
 * Nobody is asked: figures are read from the actors' slots while their owners go on writing them,
 * so an entry is what was true at some moment of the read, and figures of one entry may be a slice
 * apart. An actor that ends meanwhile is left out; a slot that is used anew is never mixed with its
 * former actor. No lock is held while slots are read. A million slots take about a tenth of a
 * second of the asking thread. */
#pragma once
#include "sched/runtime.h"

typedef enum look_state {
    LOOK_IDLE,    /* nothing to do */
    LOOK_READY,   /* messages wait, it is in a run queue */
    LOOK_RUNNING, /* a thread runs it now */
    LOOK_PARKED,  /* crashed; waits for its restart */
    LOOK_STOPPING /* was asked to stop */
} look_state_t;
const char *look_state_name(look_state_t state); /* "idle", ...; static */

typedef struct look_actor {
    actor_ref_t ref, parent; /* parent 0/0: the root */
    const char *name;        /* of its class; static */
    uint64_t key;
    int kind; /* -1: not keyed */
    look_state_t state;
    bool thread;                         /* a thread of its own runs it */
    uint32_t worker;                     /* index; of threads: from the number of workers on */
    uint32_t waiting, peak, refused;     /* messages in its mailbox now, at most so far, refused */
    uint32_t cap_msgs, bytes, cap_bytes; /* bytes: of messages above 128 bytes */
    uint32_t open;                       /* requests it has kept and not answered; modulo 65,536 */
    uint32_t calls;  /* requests of its own without an answer yet; modulo 65,536 */
    uint32_t timers; /* running; modulo 65,536 */
    uint32_t children, restarts;
    uint64_t handled;   /* messages */
    uint64_t cpu_ns;    /* in its slices and in actor_enter, since it was made */
    uint64_t recent_ns; /* since the last call with the same marks; without marks = cpu_ns */
    uint64_t memory;    /* slot, state, calls, timers, what waits, and what its class told by
                           actor_memory */
    uint64_t age_ms;
} look_actor_t;

typedef enum look_sort {
    LOOK_UNSORTED, /* the first that are found */
    LOOK_BY_CPU,   /* by recent_ns */
    LOOK_BY_QUEUE,
    LOOK_BY_MEMORY
} look_sort_t;

/* What was seen last of each slot: 16 bytes for each slot ever made. For one thread at a time. */
typedef struct look_marks look_marks_t;
look_marks_t *look_marks_new(void);
void look_marks_free(look_marks_t *marks);

typedef struct look_query {
    const char *name; /* only of this class; NULL: all */
    bool by_parent;   /* only children of `parent`; 0/0: those of the root */
    actor_ref_t parent;
    bool by_key; /* only with this key */
    uint64_t key;
    look_sort_t sort;
    look_marks_t *marks; /* NULL: none */
} look_query_t;

/* Gives at most `room` of them into `out`, largest first when sorted; room 0 only counts. *total
 * (may be NULL): how many there are. Returns how many were given. */
size_t look_list(runtime_t *rt, const look_query_t *query, look_actor_t *out, size_t room,
                 uint64_t *total);

/* The living actor of a kind and key (user's inbox, conversation), ACTOR_NONE when there is none.
 */
actor_ref_t look_find(runtime_t *rt, uint8_t kind, uint64_t key);
/* The living actor in a slot, as the console's user types it; ACTOR_NONE when there is none. */
actor_ref_t look_slot(runtime_t *rt, uint32_t slot);

/* --- one actor --- */
enum { LOOK_PARTS = 64 };
typedef struct look_timer {
    uint32_t verb; /* below MSG_USER: the runtime's own */
    uint64_t due_ms, cookie;
} look_timer_t;
typedef struct look_request {
    uint32_t verb;
    actor_ref_t from;
    const char *from_name; /* class of from, NULL: not alive */
    int64_t left_ms;       /* to its deadline */
} look_request_t;
typedef struct look_call {
    uint32_t id, reply_verb;
    int64_t left_ms;
} look_call_t;
typedef struct look_detail {
    look_actor_t actor;
    uint32_t child_count, children_given;
    actor_ref_t children[LOOK_PARTS];
    bool asked; /* false: it did not come to our message in time; what follows is unknown */
    uint32_t timer_count, timers_given, request_count, requests_given, call_count, calls_given;
    look_timer_t timers[LOOK_PARTS];
    look_request_t requests[LOOK_PARTS];
    look_call_t calls[LOOK_PARTS];
} look_detail_t;

/* ERR_GONE: it does not live. Timers, kept requests and open calls are lists of the actor's own:
 * it is asked for them by a message of the runtime (its class does not see it), for at most
 * wait_ms (0: not at all). Waits. */
int look_actor(runtime_t *rt, actor_ref_t ref, look_detail_t *out, uint32_t wait_ms);

/* The children of ref into out, at most room; *count (may be NULL): how many, counted up to
 * LOOK_CHILDREN (the slots' lock is held for it). Returns how many were given. Children of the root
 * are listed by look_list. */
enum { LOOK_CHILDREN = 1000 };
size_t look_children(runtime_t *rt, actor_ref_t ref, actor_ref_t *out, size_t room,
                     uint32_t *count);

/* --- classes: living and ended actors together, since the runtime was made --- */
enum { LOOK_CLASSES = 64 }; /* further classes count as "other" */
typedef struct look_class {
    const char *name;
    uint64_t alive, made, messages, cpu_ns, waiting, restarts, crashes, refused, memory;
} look_class_t;
/* Reads every slot (see above): for a scrape or a command, not for each request. Returns how many
 * of the LOOK_CLASSES places are filled; sorted by name. */
size_t look_classes(runtime_t *rt, look_class_t out[LOOK_CLASSES]);

/* --- slow slices: the longest of the last hour above SLOW_US, at most LOOK_SLOW --- */
enum { LOOK_SLOW = 32, LOOK_SLOW_US = 5000, LOOK_NOTE = 96 };
typedef struct look_slow {
    const char *name;
    actor_ref_t ref;
    uint64_t key;
    uint32_t verb; /* of the slice's last message */
    uint32_t messages, worker;
    uint64_t us;
    int64_t wall_ms;      /* when it ended */
    char note[LOOK_NOTE]; /* what the class said by actor_slice_note, or "" */
} look_slow_t;
size_t look_slow(runtime_t *rt, look_slow_t out[LOOK_SLOW]); /* longest first */
uint64_t look_slow_seen(runtime_t *rt); /* how many there were since the runtime was made */

/* --- limits of the scheduler --- */
typedef struct look_limit {
    const char *name, *what;      /* the key in conf where there is one; static */
    uint64_t value, now, refused; /* now: used at the moment, 0 where it is one per actor */
} look_limit_t;
enum { LOOK_LIMITS = 4 };
size_t look_limits(runtime_t *rt, look_limit_t out[LOOK_LIMITS]);

/* --- the conservation law: sent = received + refused + dead + waiting --- */
typedef struct look_law {
    runtime_counts_t counts;
    uint64_t waiting; /* admitted to mailboxes, not consumed yet */
    int64_t missing;  /* what the law lacks: 0 at rest, anything while actors run */
} look_law_t;
/* true: it holds. Meaningful at rest only: no actor runs, no thread sends. */
bool look_law(runtime_t *rt, look_law_t *out);
/* Waits up to wait_ms until nothing waits and the law holds; specs. Waits. */
bool look_law_at_rest(runtime_t *rt, uint32_t wait_ms, look_law_t *out);

/* --- called by actors, in their thread --- */
/* Says what the running slice did, for `slow` should it be long: copied, up to LOOK_NOTE - 1 bytes;
 * the last one counts. For rare moments (a watchdog's look), not for each message. */
void actor_slice_note(actor_t *self, const char *text);
/* What the actor holds beside its state (a VM, a buffer), told in steps of 64 KiB, up to 4 GiB. */
void actor_memory(actor_t *self, uint64_t bytes);
