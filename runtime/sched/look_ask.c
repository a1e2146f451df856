/* look_ask: one actor in full (look_actor of look.h). Its timers, kept requests and open calls are
 * plain lists of the thread that runs it, so it is asked for them by MSG_LOOK. The answer is a
 * block that the asker and the message share; the last one frees it, so neither needs the other to
 * live: an asker that waited long enough goes away, a message that found its actor dead says so by
 * being freed. */
#include "base/err.h"
#include "base/pool.h"
#include "sched/look.h"
#include "sched/sched.h"
#include <assert.h>

typedef struct ask {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    uint32_t users;
    bool done, filled;
    look_detail_t detail;
} ask_t;

static ask_t *ask_new(void) {
    ask_t *q = pool_zalloc(sizeof *q);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->cond, &attr);
    pthread_condattr_destroy(&attr);
    q->users = 2;
    return q;
}

static void ask_leave(ask_t *q) {
    pthread_mutex_lock(&q->lock);
    bool last = --q->users == 0;
    q->done = true;
    pthread_cond_signal(&q->cond);
    pthread_mutex_unlock(&q->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->cond);
    pool_free(q, sizeof *q);
}

static void drop(msg_t *m) {
    ask_leave(*msg_data(m, ask_t *));
}

/* --- where the actor runs --- */
static int64_t left_ms(uint64_t deadline_ns, uint64_t now_ns) {
    return ((int64_t)deadline_ns - (int64_t)now_ns) / 1000000;
}

static void tell_timers(const actor_t *a, look_detail_t *d, uint64_t now_ns) {
    for (timer_node_t *n = a->timers; n && d->timers_given < LOOK_PARTS; n = n->own_next) {
        uint64_t now_ms = now_ns / 1000000;
        d->timers[d->timers_given++] =
            (look_timer_t){n->verb, n->at_ms > now_ms ? n->at_ms - now_ms : 0, n->cookie};
    }
    d->timer_count = a->timer_count;
}

static void tell_requests(const actor_t *a, look_detail_t *d, uint64_t now_ns) {
    for (msg_t *m = a->open; m; m = m->next) {
        d->request_count++;
        if (d->requests_given < LOOK_PARTS)
            d->requests[d->requests_given++] =
                (look_request_t){m->verb, m->from, NULL, left_ms(m->deadline_ns, now_ns)};
    }
}

void look_answer(actor_t *a, msg_t *m) {
    ask_t *q = *msg_data(m, ask_t *);
    uint64_t now = rt_now(rt_of(a));
    tell_timers(a, &q->detail, now);
    tell_requests(a, &q->detail, now);
    q->detail.call_count = call_open(a);
    q->detail.calls_given = call_list(a, q->detail.calls, LOOK_PARTS, now);
    q->filled = true;
}

/* --- the asker --- */
static bool wait_for(ask_t *q, uint32_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (uint64_t)ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&q->lock);
    while (!q->done && pthread_cond_timedwait(&q->cond, &q->lock, &until) == 0)
        ;
    bool filled = q->done && q->filled;
    pthread_mutex_unlock(&q->lock);
    return filled;
}

static void ask(runtime_t *rt, actor_ref_t ref, look_detail_t *out, uint32_t wait_ms) {
    ask_t *q = ask_new();
    msg_t *m = msg_of(MSG_LOOK, &q, sizeof q);
    m->flags = MSG_SYSTEM;
    m->drop = drop;
    post(rt, ref, m);
    bool filled = wait_for(q, wait_ms);
    if (filled)
        *out = q->detail;
    out->asked = filled;
    ask_leave(q);
}

static const char *class_name(runtime_t *rt, actor_ref_t ref) {
    look_actor_t e;
    return look_one(rt, ref, &e) ? e.name : NULL;
}

int look_actor(runtime_t *rt, actor_ref_t ref, look_detail_t *out, uint32_t wait_ms) {
    assert(!worker_of(rt));
    memset(out, 0, sizeof *out);
    look_actor_t e;
    if (!look_one(rt, ref, &e))
        return ERR_GONE;
    if (wait_ms)
        ask(rt, ref, out, wait_ms);
    for (uint32_t i = 0; i < out->requests_given; i++)
        out->requests[i].from_name = class_name(rt, out->requests[i].from);
    out->actor = e;
    out->children_given =
        (uint32_t)look_children(rt, ref, out->children, LOOK_PARTS, &out->child_count);
    out->actor.children = out->child_count;
    return ERR_OK;
}
