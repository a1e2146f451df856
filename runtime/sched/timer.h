/* timer: a 1 ms wheel per worker and the table of timer nodes. A node's memory is never given back,
 * so a 64-bit id (generation, index) may always be looked at, by any thread.
 *
 * A node is on two lists: its actor's (touched by whoever runs the actor) and its wheel's (touched
 * by the wheel's thread). A free actor may have moved away from the wheel; so what happens is
 * decided on one atomic word, generation << 2 | state: the wheel moves ARMED to FIRED, a cancel
 * moves either to CANCELLED. Who frees: a cancel in the wheel's own thread; else the wheel when it
 * comes to a CANCELLED node; else the receiver of the fired message. Where the actor is gone the
 * wheel moves FIRED to CANCELLED too, and who comes second, it or the cancel, frees. */
#pragma once
#include "sched/msg.h"
#include <pthread.h>
#include <stdatomic.h>

struct runtime;
struct worker;
struct actor;

enum { TIMER_FREE, TIMER_ARMED, TIMER_FIRED, TIMER_CANCELLED };

typedef struct timer_node {
    struct timer_node *next, **prev;         /* wheel, or free list by next */
    struct timer_node *own_next, **own_prev; /* actor */
    _Atomic uint64_t word;
    uint64_t at_ms, cookie;
    struct worker *owner; /* whose wheel; NULL: on no wheel yet */
    struct actor *wakes;  /* not NULL: no message; its token is here (restart) */
    actor_ref_t to;
    uint32_t verb, index;
} timer_node_t;

#define WHEEL_LEVELS 7 /* 64 slots each: 2^42 ms */
typedef struct wheel {
    uint64_t now_ms;
    uint64_t used[WHEEL_LEVELS]; /* a bit per slot */
    timer_node_t *slot[WHEEL_LEVELS][64];
} wheel_t;

#define TIMER_CHUNK  4096
#define TIMER_CHUNKS 4096
typedef struct timer_table {
    pthread_mutex_t lock;
    timer_node_t *free;
    uint32_t made;
    _Atomic(timer_node_t *) chunks[TIMER_CHUNKS];
} timer_table_t;

void timer_table_init(timer_table_t *t);
void timer_table_free(timer_table_t *t);

/* --- the thread that runs actor a --- */
uint64_t timer_start(struct actor *a, uint64_t ms, uint32_t verb, uint64_t cookie);
void timer_cancel(struct actor *a, uint64_t id);
void timer_cancel_all(struct actor *a);
/* A fired message came: false: it was cancelled meanwhile. The node is freed. */
bool timer_arrived(struct actor *a, uint64_t id);
/* The same for an actor that is gone: only frees. */
void timer_lost(struct runtime *rt, uint64_t id);
/* Puts a timer that a foreign thread asked for on this worker's wheel. */
void timer_adopt(struct worker *w, uint64_t id);
/* After ms this worker puts a, whose token is given here, into its run queue. */
void timer_resume(struct worker *w, struct actor *a, uint64_t ms);

/* --- the wheel's thread --- */
void wheel_advance(struct worker *w, uint64_t now_ms);
uint64_t wheel_next_ms(const wheel_t *wheel); /* when to look again; UINT64_MAX: nothing waits */
