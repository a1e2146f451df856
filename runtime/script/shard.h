/* shard: the actor that runs one VM of a service. Requests become tasks (coroutines); the tasks of
 * one key run one after the other, others interleave where they wait. shard.c takes messages,
 * queues and swaps versions; task.c runs coroutines. Internal to these two. */
#pragma once
#include "base/hash.h"
#include "script/shadow.h"

struct task {
    task_t *next;     /* in its key's queue */
    task_t *next_run; /* in ready or held */
    msg_t *request;   /* kept, to be answered; NULL: nobody waits */
    record_t *record; /* for the shadow, or NULL */
    block_t *json;    /* what req becomes; NULL: an empty table */
    program_t *program;
    lua_State *co; /* NULL until it runs */
    int co_ref;
    bool serial; /* has a place in its key's queue */
    bool nested;
    bool expired; /* answered already; only its place in a queue is left */
    bool waiting;
    bool old; /* for the version that serves, whatever is tried (a timer of every, a second run) */
    bool touched; /* asked for something that another run cannot ask for again */
    bool before;  /* touched before the call under way: see script_reads */
    uint32_t slot;
    uint64_t came_ticks;             /* while versions are watched; 0: not */
    uint64_t key, deadline_ns, wait; /* wait: the number of the answer it waits for */
    script_take_t take;
    int64_t take_arg;
    const msg_t *reply; /* while it is resumed with it */
    char verb[SCRIPT_NAME];
};

typedef struct task_list {
    task_t *head, *tail;
} task_list_t;

typedef struct after {
    uint64_t timer, key;
    block_t *json;
    char verb[SCRIPT_NAME];
} after_t;

struct shard {
    struct shard_arg *arg; /* outlives it: what the next life begins with */
    script_t *script;
    service_t *service;
    uint32_t number;
    program_t *program;   /* the version that serves */
    program_t *trial;     /* a version that is tried on some of the keys, or NULL */
    uint32_t trial_share; /* of 10,000 */
    program_t *older;     /* replaced ones whose coroutines are not done */
    map_t *keys;          /* key -> task_list_t: the head runs or is about to */
    map_t *afters;        /* id -> after_t */
    uint64_t next_after, next_wait;
    task_t **slots; /* all tasks; free places are NULL */
    uint32_t slot_count, slot_hint, tasks;
    task_list_t ready;  /* to be started */
    task_list_t held;   /* to be started after the swap */
    task_t *preempted;  /* goes on at MSG_AGAIN; until then nothing else of the shard runs */
    uint64_t expire_ns; /* while it is: when deadlines are looked at next */
    msg_t *swap;        /* kept SHARD_SWAP while the old version drains */
    uint64_t swap_until_ns, swap_ticks;
    shadow_window_t shadow; /* requests given to a shadow */
    enum stat_id gauge;     /* script_gauge: what it was told last, */
    int64_t gauge_now;      /* and how much: taken back at the end */
    bool ticking, running_sent, stopping;
};

/* --- task.c --- */
void task_start(shard_t *s, actor_t *self, task_t *t);
void task_continue(shard_t *s, actor_t *self, const msg_t *reply);
/* The preempted one goes on. */
void task_again(shard_t *s, actor_t *self);
/* Answers ERR_TIMEOUT and gives up the coroutine. */
void task_expire(shard_t *s, actor_t *self, task_t *t);
/* Answers the request with err and its standard body, if somebody waits. */
void task_refuse(actor_t *self, msg_t *request, int err);
uint64_t task_cookie(const task_t *t);
/* Is the request one for the version that is tried? By its key. */
bool task_tries(const shard_t *s, const task_t *t);

/* --- shard.c, for task.c --- */
/* The task is over and answered: frees it and lets the next of its key run. */
void shard_task_over(shard_t *s, actor_t *self, task_t *t);
/* The task, which has its turn, runs once more. */
void shard_task_again(shard_t *s, task_t *t);
