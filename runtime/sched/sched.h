/* sched: the bodies that the files of this floor share: actor slot, worker, runtime. Nobody above
 * includes it.
 *
 * The token. An actor's gate counts the messages admitted and not yet consumed. Whoever raises it
 * from 0 holds the actor's token: the right to run it. The token goes to a run queue, from there to
 * the worker that runs the actor, and ends when that worker lowers the gate to 0. So an actor is in
 * one queue at most, runs in one thread at a time, and a message that was admitted is never left
 * behind without somebody on the way to it. Fields below "token holder" need no atomics for that
 * reason: the gate and the queues order them.
 *
 * A kept token. A worker that has run an actor's only message, and goes on with its sender, whom it
 * woke (a dialogue), does not lower the gate yet: it keeps the token, and the count of that message
 * with it. Its next message to that actor takes this count and costs no locked operation, neither
 * to the sender nor to the receiver. Others find
 * a counted mailbox, so they push and rely on the token's holder: that is why it gives its kept
 * tokens back before it waits, before a slice that may be long, and after KEEP_US (queue.c). */
#pragma once
#include "base/err.h"
#include "sched/runtime.h"
#include "sched/timer.h"
#include "sched/watchdog.h"
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

typedef struct worker worker_t;

/* The runtime's own verbs, below MSG_AGAIN and never seen by a class. */
enum {
    MSG_WATCH = 3,   /* from wants a DOWN */
    MSG_ARM = 4,     /* a timer asked for in a foreign thread: key = its id */
    MSG_IDLE = 5,    /* keyed: time to ask passivate */
    MSG_CALLS = 6,   /* a deadline of the open calls */
    MSG_FAILED = 7,  /* a child failed for good: the parent fails too */
    MSG_RELEASE = 8, /* runtime_reply answered a kept request: cookie = its address */
    MSG_LOOK = 9,    /* look_actor asks for the actor's own lists */
    MSG_KILL = 10    /* runtime_kill: why is in actor.killed */
};
_Static_assert((int)MSG_KILL < (int)MSG_AGAIN, "each number means one thing");
enum { MSG_TIMER = 16 }; /* flag: made by a wheel, key = timer id */

enum {
    ACTOR_STARTING = 1, /* keyed: init runs at its first turn */
    ACTOR_EXITING = 2,  /* actor_exit was called */
    ACTOR_DEAD = 4,     /* ended; what is left in the mailbox is answered, then the slot is free */
    ACTOR_PARKED = 8,   /* waits for its restart; a phantom count in the gate holds the token */
    ACTOR_LEAVES = 16,  /* passivated: the gate is closed already */
    ACTOR_BEGUN = 32,   /* init succeeded: `ended` is owed */
    ACTOR_TIMED = 64,   /* keyed: the timer of idle_ms runs */
    ACTOR_FAILED = 128  /* ends because a child failed for good */
};
enum {
    SLOW_LATE = 1, /* its last slice was overdue, or it asked for another turn */
    SLOW_ASKS = 2  /* it asks in this slice: MSG_AGAIN stands first in its queue */
};
enum { KIND_NONE = 255 };

typedef struct watcher {
    struct watcher *next;
    actor_ref_t ref;
} watcher_t;

/* What few actors have: those that are watched or may be restarted. */
typedef struct extra {
    watcher_t *watchers;
    const void *arg;    /* for a restart */
    uint32_t window_ms; /* restarts are counted from here */
    uint32_t in_window;
    char *chain; /* FAILED: who failed below it, CHAIN_TEXT bytes */
} extra_t;

/* Plain fields that others look at while their owner writes them (look.h): both sides use these,
 * so that no value is torn. Release and acquire: who sees a value of a slot's next owner sees that
 * the gate has moved on. */
#define SHOW(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define SEEN(field)        __atomic_load_n(&(field), __ATOMIC_ACQUIRE)

/* actor.marks */
enum {
    MARK_LIVE = 1,      /* in the tree and the list by age */
    MARK_FIRST = 2,     /* made before start */
    MARK_STOP_SENT = 4, /* was asked to stop */
    MARK_PARKED = 8,    /* ACTOR_PARKED, for others to see */
    MARK_STOP_LATE = 16 /* was asked and took long: the next one is asked too */
};

struct actor {
    /* --- the first line: what a send touches --- */
    _Alignas(64) _Atomic uint64_t gate; /* generation << 32 | messages */
    _Atomic(msg_t *) stack;             /* newest first */
    _Atomic(worker_t *) worker;         /* where it ran last (free) or always runs */
    msg_t *queue;                       /* token holder: taken off the stack, oldest first */
    _Atomic uint32_t bytes; /* of large messages; never reset, what is added is taken off */
    _Atomic uint32_t cap_msgs;
    _Atomic uint32_t cap_bytes;
    _Atomic uint32_t refused;
    uint32_t slot;
    uint32_t gen;          /* token holder: = the gate's while it lives */
    _Atomic uint8_t kept;  /* keep_mark of the worker that keeps its token; only that one sets it */
    _Atomic int8_t killed; /* runtime_kill, by anyone who is admitted: why */
    int8_t reason;         /* from here on: token holder */
    uint8_t flags, kind, restarts;
    uint8_t slow;  /* SLOW_*: where its next turn is */
    uint8_t marks; /* under the slots' lock */
    /* --- the second: what a slice touches besides --- */
    actor_t *link; /* in a run queue */
    const actor_class_t *cls;
    void *state;
    uint64_t handled, ticks; /* accounts */
    msg_t *open;             /* kept requests */
    uintptr_t calls;         /* call.c: a calls_t, or the last id given << 1 | 1 */
    uint32_t last;           /* now_ms of a keyed actor's last message */
    uint32_t peak;           /* longest queue seen */
    /* --- the third --- */
    uint64_t key;
    timer_node_t *timers;
    extra_t *extra;
    uint32_t born_ms;                             /* turn_tick when it was made */
    uint16_t timer_count, open_count, call_count; /* to be looked at only: they may run over */
    uint16_t memory;                              /* actor_memory, in 64 KiB */
    /* under the slots' lock */
    actor_ref_t parent;
    uint32_t child, sibling, sibling_prev; /* slot + 1, 0 = none */
    uint32_t older, younger;               /* all living ones by age */
};
_Static_assert(sizeof(struct actor) <= 192, "a socket and its user are two of them");
_Static_assert(offsetof(struct actor, link) == 64 && offsetof(struct actor, key) == 128, "lines");
_Static_assert(ERR_COUNT < INT8_MAX, "reason holds an error code");

#define RING     256 /* power of two */
#define CHAIN    64  /* slices in a row that `next` goes before the queue */
#define HOOKS    8
#define KEPT     64 /* tokens that a worker keeps at most, in places by slot */
#define KEPT_CAP 16 /* mailboxes of fewer messages have no place for a kept count */

typedef struct turn_hook {
    uint64_t (*fn)(void *arg);
    void *arg;
} turn_hook_t;

/* Accounts of one thread: written by it, read by anyone (a figure only: relaxed). */
typedef struct counts {
    _Atomic uint64_t sent, received, refused, dead, stolen, wakes, slices;
} counts_t;

struct worker {
    /* --- others --- */
    _Atomic(actor_t *) inbox;  /* actors woken elsewhere, newest first */
    _Atomic uint32_t sleeping; /* 1: wake it by worker_wake (pool) */
    _Atomic uint32_t head;     /* ring: next to take; moved by the owner and by thieves */
    _Atomic uint32_t tail;     /* ring: next free; moved by the owner */
    _Atomic(actor_t *) ring[RING];
    pthread_mutex_t lock; /* thread actors: under it ready */
    pthread_cond_t cond;
    bool ready;
    /* --- own --- */
    runtime_t *rt;
    uint32_t index;
    bool is_thread;
    bool fresh;                 /* now_ns was read in this poll */
    actor_t *running;           /* shown */
    uint32_t verb;              /* of the message that is handled */
    uint32_t sender;            /* slot of the actor that it came from */
    uint32_t trace, trace_open; /* trace.c */
    uint32_t trace_slice;
    uint64_t trace_slice_number;
    uint64_t note_slice;  /* counts.slices when note was written */
    char note[96];        /* actor_slice_note */
    actor_t *next;        /* run next: woken by what runs now */
    uint32_t chain;       /* how often in a row `next` went before the queue, */
    uint64_t chain_ticks; /* and since when: as long as a turn at most */
    uint8_t keep_mark;    /* index + 1; of threads one that no actor has */
    uint64_t kept_map;    /* places in use */
    uint64_t kept_ticks;  /* since when there are any */
    actor_t *kept[KEPT];  /* may name ones whose token has gone on: actor.kept tells */
    bool pinned_turn;
    actor_t *pinned, **pinned_tail;
    actor_t *over, **over_tail; /* free actors that did not fit the ring */
    actor_t *late, **late_tail; /* slow ones: see queue.c */
    uint64_t late_ticks;        /* when the last slice of a slow one ended */
    uint64_t now_ns;
    int64_t wall_ms;    /* read with it */
    uint32_t now_ms;    /* now_ns in ms: an actor that was quiet for seven weeks waits once more */
    uint64_t now_ticks; /* when now_ns was read */
    uint64_t now_ticks_slice; /* when the last slice ended */
    uint64_t random;
    wheel_t wheel;
    timer_node_t *timer_free;
    uint32_t timer_free_count;
    counts_t counts;
    turn_hook_t turn_hooks[HOOKS];
    uint32_t turn_hook_count;
    void *locals[RUNTIME_LOCALS];
    pthread_t thread;
    int cpu_clock; /* thread actors: the system's account of this thread, 0: none yet */
    bool started;
    actor_t *only; /* thread actors: the one it runs */
    /* Whom it wakes a little later: a wake-up at once costs more than what is done meanwhile and
     * cuts what the woken one could do together into pieces. */
    worker_t *held; /* workers: thread actors that have got their token */
    worker_t
        *held_next; /* of a thread actor: in that list; only the token's holder puts it there */
    uint64_t held_ticks;   /* since when the list has somebody */
    uint64_t held_workers; /* thread actors, while `holds`: workers by bit */
    bool holds;
    worker_t *next_thread;
    struct {
        uint64_t hook_ns;        /* when the turn hooks want to be called again */
        struct sim_fiber *fiber; /* of a thread actor */
        bool works;              /* its fiber runs now */
        bool dirty;              /* the turn hooks are due */
    } sim;                       /* the deterministic mode (sim.h) */
    _Atomic bool ended;
    uv_loop_t loop;
    uv_poll_t wake;
    int wake_fd; /* eventfd */
    uv_timer_t timer;
};

/* Accounts of a class: of its actors that have ended, and what only a class counts. Added to
 * atomically, when an actor is made, crashes or ends. */
typedef struct class_account {
    _Atomic(const actor_class_t *) cls; /* NULL: free; the last place: all that found none */
    _Atomic uint64_t made, ended, messages, ticks, refused, restarts, crashes;
} class_account_t;
#define CLASSES 64 /* = LOOK_CLASSES */

#define RESTARTS   3   /* in a while, unless its class says otherwise */
#define CHAIN_TEXT 256 /* bytes of the text that names who failed */
enum { LIMIT_MSGS, LIMIT_BYTES, LIMIT_ACTORS, LIMIT_RESTARTS, LIMIT_COUNT };

typedef struct stripe {
    pthread_mutex_t lock;
    struct map *map; /* key -> actor_ref_t */
} stripe_t;

#define STRIPES 64
#define CHUNK   1024
typedef struct kind {
    const actor_class_t *cls;
    stripe_t *stripes; /* STRIPES of them */
} kind_t;

typedef struct worker_hook {
    void (*fn)(runtime_t *rt, uint32_t worker, bool starting, void *arg);
    void *arg;
} worker_hook_t;

enum { RUNTIME_NAMES = 64 };
enum { PHASE_NEW, PHASE_RUNNING, PHASE_QUIT, PHASE_OVER };

struct runtime {
    runtime_conf_t conf;
    struct sim_node *sim;                                                  /* NULL: threads */
    uint64_t ticks_slice, ticks_turn, ticks_clock, ticks_hold, ticks_late; /* in clock_ticks */
    uint64_t ticks_keep, ticks_short;
    uint32_t worker_count;
    worker_t **workers;
    _Atomic uint32_t phase;
    _Atomic bool stopping;  /* no restarts, no new threads */
    _Atomic bool failed;    /* the root: conf.failed was called */
    _Atomic uint32_t idle;  /* sleeping workers */
    _Atomic uint32_t round; /* where the next actor of a foreign thread goes */
    kind_t kinds[RUNTIME_KINDS];
    worker_hook_t hooks[HOOKS];
    uint32_t hook_count;
    _Atomic uint64_t names[RUNTIME_NAMES];
    _Atomic uint64_t foreign_random;
    counts_t foreign;       /* of threads that are no worker: added atomically */
    pthread_mutex_t lock;   /* slots, tree, list by age, thread workers */
    pthread_cond_t changed; /* an actor ended, a worker came up */
    _Atomic(actor_t *) *chunks;
    uint32_t chunk_count, slots_made, live, dynamic;
    actor_t *free;     /* by link */
    uint32_t youngest; /* slot + 1 */
    worker_t *threads; /* of thread actors */
    uint32_t thread_count;
    uint32_t up; /* workers whose start hooks have run; then those that reached the end */
    timer_table_t timers;
    pthread_barrier_t barrier;
    class_account_t classes[CLASSES];
    _Atomic uint64_t limits[LIMIT_COUNT]; /* what each refused */
    _Atomic uint32_t tracing;             /* armed targets */
    _Atomic(struct trace *) trace;        /* made at the first trace_start */
    struct slow_list *slow;               /* slow.c */
    uint64_t ticks_slow;
};

extern __thread worker_t *worker_current; /* NULL in foreign threads */

static inline worker_t *worker_of(const runtime_t *rt) {
    worker_t *w = worker_current;
    return w && w->rt == rt ? w : NULL;
}

static inline runtime_t *rt_of(const actor_t *a) {
    return atomic_load_explicit(&((actor_t *)a)->worker, memory_order_relaxed)->rt;
}

static inline void count_add(const runtime_t *rt, worker_t *w, size_t offset, uint64_t n) {
    char *base = w ? (char *)&w->counts : (char *)&((runtime_t *)rt)->foreign;
    _Atomic uint64_t *cell = (_Atomic uint64_t *)(base + offset);
    if (w)
        atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                              memory_order_relaxed);
    else
        atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}
#define COUNT(rt, w, what, n) count_add((rt), (w), offsetof(counts_t, what), (n))

/* --- slots.c: slots in chunks that are never given back --- */
/* NULL: never made. Acquire: partner is the release in more() there: whoever sees a chunk sees its
 * slots set up. */
static inline actor_t *slot_at(const runtime_t *rt, uint32_t slot) {
    if (slot / CHUNK >= rt->chunk_count)
        return NULL;
    actor_t *c = atomic_load_explicit(&rt->chunks[slot / CHUNK], memory_order_acquire);
    return c ? &c[slot % CHUNK] : NULL;
}
actor_t *slot_take(runtime_t *rt); /* NULL: at the limit */
void slot_give(runtime_t *rt, actor_t *a);
void slot_enlist(runtime_t *rt, actor_t *a, actor_ref_t parent); /* into tree and age list */
void slot_mark(runtime_t *rt, actor_t *a, uint8_t mark, bool on);
void slot_each(runtime_t *rt, void (*visit)(void *arg, actor_t *a),
               void *arg); /* one thread only */
static inline actor_ref_t ref_of(const actor_t *a) {
    return (actor_ref_t){a->slot, a->gen};
}

/* --- mailbox.c --- */
/* w: the calling worker or NULL. Borrows m when it refuses. */
int mailbox_push(runtime_t *rt, worker_t *w, actor_ref_t to, msg_t *m);
int mailbox_kill(runtime_t *rt, actor_ref_t to, msg_t *m, int reason); /* likewise */
bool mailbox_close(actor_t *a);                   /* senders get GONE from now on */
bool mailbox_close_if(actor_t *a, uint32_t msgs); /* only if nothing but these was admitted */
msg_t *mailbox_take(actor_t *a);
/* Small messages are bounded by the cap in messages; only larger ones pay for the account in bytes.
 */
#define MSG_SMALL 128
static inline uint32_t msg_cost(const msg_t *m) {
    uint32_t n = m->size + (m->body ? m->body->len : 0);
    return n > MSG_SMALL ? n : 0;
}

/* NULL: nothing here now. */
static inline msg_t *mailbox_pop(actor_t *a) {
    msg_t *m = a->queue;
    if (!m)
        return mailbox_take(a);
    a->queue = m->next;
    return m;
}

/* true: the token is given up. Release: what this holder wrote to the actor is for the next one;
 * partner: the acquire in admit. Acquire: a holder that goes on sees the senders' writes before
 * their counts. After it returns true the actor belongs to somebody else: it must not be touched.
 */
static inline bool mailbox_consumed(actor_t *a, uint32_t msgs, uint64_t bytes) {
    if (bytes)
        atomic_fetch_sub_explicit(&a->bytes, (uint32_t)bytes, memory_order_relaxed);
    uint64_t old = atomic_fetch_sub_explicit(&a->gate, msgs, memory_order_acq_rel);
    assert((uint32_t)old >= msgs);
    return (uint32_t)old == msgs;
}

/* Pushes, counts, takes m. */
int post(runtime_t *rt, actor_ref_t to, msg_t *m);
void post_system(runtime_t *rt, actor_ref_t to, actor_ref_t from, uint32_t verb, int err);

/* --- queue.c: run queues --- */
void sched_wake(runtime_t *rt, actor_t *a);    /* gives a's token to whoever shall run it */
void queue_push(worker_t *w, actor_t *a);      /* own queue, at the back */
void queue_push_here(worker_t *w, actor_t *a); /* woken by what w runs: first, if it may be */
actor_t *queue_next(worker_t *w);
void queue_keep(worker_t *w, actor_t *a);      /* w ran its only message: keeps its token */
void queue_give_kept(worker_t *w, actor_t *a); /* a kept token: back, as if never kept */
void queue_give_all_kept(worker_t *w);
void queue_empty_inbox(worker_t *w);
static inline void queue_take_inbox(worker_t *w) {
    if (atomic_load_explicit(&w->inbox, memory_order_relaxed))
        queue_empty_inbox(w);
}
bool queue_empty(const worker_t *w);
bool queue_steal(worker_t *w);
void queue_wake_neighbour(worker_t *w, uint64_t slice_ticks);
static inline void queue_share(worker_t *w, uint64_t slice_ticks) { /* wakes one for a batch */
    if (atomic_load_explicit(&w->rt->idle, memory_order_relaxed))
        queue_wake_neighbour(w, slice_ticks);
}
void worker_kick(worker_t *w);     /* ends its sleep */
void queue_wake_held(worker_t *w); /* wakes whom w has kept waiting */

/* --- turn.c: one actor's turn --- */
void actor_run(worker_t *w, actor_t *a); /* holds a's token */
void turn_clock(worker_t *w);
void msg_answer(runtime_t *rt, actor_t *a, msg_t *m);
static inline void msg_done(runtime_t *rt, actor_t *a, msg_t *m) { /* after its handler */
    if (m->flags & (MSG_REQUEST | MSG_KEPT))
        msg_answer(rt, a, m);
    else
        msg_free(m);
}
int dispatch_own(worker_t *w, actor_t *a, msg_t *m, uint32_t done); /* 1: m is for the class */

/* --- life.c, supervisor.c --- */
actor_t *actor_make(runtime_t *rt, const actor_class_t *cls, uint64_t key, uint8_t kind,
                    worker_t *w);
int actor_begin(actor_t *a, const void *arg); /* state and init */
static inline const void *arg_of(const actor_t *a) {
    return a->extra ? a->extra->arg : NULL;
}
/* Ends it: state, requests, timers, watchers, children. true: its gate still counts messages. */
bool actor_end(actor_t *a);
/* After the handler that called actor_exit: true: parked until its restart; false: ended. */
bool actor_after_exit(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes);
void actor_settle(runtime_t *rt, actor_t *a); /* ended, token in hand, not on a worker */
void actor_drain(actor_t *a, uint32_t *msgs, uint64_t *bytes);
void actor_gone(actor_t *a);  /* ended and drained: the slot is free */
void actor_clear(actor_t *a); /* what both an end and a restart drop */
void actor_stop_children(runtime_t *rt, actor_t *a);
void watch_add(actor_t *a, actor_ref_t by);
extra_t *extra_of(actor_t *a); /* made at first use */
void extra_free(actor_t *a);
void actor_child_failed(actor_t *a, const msg_t *m); /* MSG_FAILED */
bool actor_take_kill(actor_t *a);                    /* true: it crashes now */

/* --- look.c, slow.c --- */
class_account_t *class_account(runtime_t *rt, const actor_class_t *cls);
void class_ended(runtime_t *rt, const actor_t *a);
void look_answer(actor_t *a, msg_t *m); /* MSG_LOOK, where a runs */
struct look_call;
uint32_t call_list(const actor_t *a, struct look_call *out, uint32_t room, uint64_t now_ns);
struct look_actor;
bool look_one(runtime_t *rt, actor_ref_t ref, struct look_actor *out); /* false: it is gone */
struct slow_list *slow_new(void);
void slow_free(struct slow_list *s);
void slow_note(worker_t *w, const actor_t *a, uint32_t messages, uint64_t ticks);
#define COUNT_CLASS(rt, cls, what)                                                                 \
    atomic_fetch_add_explicit(&class_account((rt), (cls))->what, 1, memory_order_relaxed)

/* --- trace.c --- */
void trace_free(struct trace *t);
uint32_t trace_sent(runtime_t *rt, worker_t *w, msg_t *m, uint8_t kind);
void trace_refused(runtime_t *rt, uint32_t record, int err);
void trace_came(worker_t *w, const actor_t *a, msg_t *m);
void trace_left(worker_t *w);
void trace_slice_end(worker_t *w);
void trace_batch(worker_t *w, const actor_t *a, msg_t **batch, uint32_t n, bool ended);
#define RARELY(cond) __builtin_expect(!!(cond), 0)
static inline uint32_t trace_armed(runtime_t *rt) {
    return atomic_load_explicit(&rt->tracing, memory_order_relaxed);
}
/* m is about to be sent: does it belong to a trace? */
static inline bool trace_concerns(const worker_t *w, const msg_t *m) {
    return (w ? w->trace : 0) | m->trace;
}

static inline void limit_hit(runtime_t *rt, int limit) {
    atomic_fetch_add_explicit(&rt->limits[limit], 1, memory_order_relaxed);
}
/* Milliseconds in 32 bits: they run over after seven weeks. */
static inline uint32_t turn_tick(uint64_t now_ns) {
    return (uint32_t)(now_ns / 1000000);
}

/* --- call.c --- */
bool call_arrived(actor_t *a, msg_t *reply);
void call_expire(actor_t *a);
void call_free(actor_t *a);
uint32_t call_open(const actor_t *a);
void answer(runtime_t *rt, actor_ref_t by, msg_t *request, int err, msg_t *reply);
void open_remove(actor_t *a, msg_t *m);

/* --- directory.c --- */
int directory_send(runtime_t *rt, uint8_t kind, uint64_t key, msg_t *m);
void directory_forget(runtime_t *rt, actor_t *a);
void directory_free(runtime_t *rt);

/* --- worker.c, thread.c --- */
worker_t *worker_new(runtime_t *rt, uint32_t index, bool is_thread);
void worker_free(worker_t *w);
void worker_wake(worker_t *w); /* from any thread: its poll returns; worker_kick calls it */
void worker_main(void *arg);
void worker_sweep(worker_t *w); /* ends every actor that lives here */
int thread_start(worker_t *w);
void thread_wake(worker_t *w);
void thread_turn(worker_t *w, actor_t *a); /* with its token */
uint64_t runtime_clock_mono(void *arg);
static inline uint64_t rt_now(const runtime_t *rt) {
    return rt->conf.mono_ns(rt->conf.arg);
}
