/* supervisor: restart policy, escalation, watch. An actor restarts in place: its address stays
 * good, what its mailbox held is answered, what comes while it waits for its restart is kept for
 * the new life. Runs where the actor ran. */
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "sched/sched.h"

#define RESTARTS  3     /* so many ... */
#define WINDOW_MS 10000 /* ... in this time; one more and the parent fails */
static const uint16_t backoff_ms[RESTARTS] = {10, 100, 1000};

void watch_add(actor_t *a, actor_ref_t by) {
    for (watcher_t *w = a->watchers; w; w = w->next)
        if (actor_ref_eq(w->ref, by))
            return;
    watcher_t *w = pool_alloc(sizeof *w);
    *w = (watcher_t){a->watchers, by};
    a->watchers = w;
}

static bool wants_restart(const actor_t *a) {
    if (a->kind != KIND_NONE || atomic_load(&rt_of(a)->stopping))
        return false; /* keyed actors begin anew when they are asked for */
    return a->cls->restart == ACTOR_ALWAYS ||
           (a->cls->restart == ACTOR_ON_CRASH && a->reason != ERR_OK);
}

static bool within_intensity(worker_t *w, actor_t *a) {
    uint32_t now_ms = (uint32_t)(w->now_ns / 1000000);
    if (a->restarts == 0 || now_ms - a->window_ms > WINDOW_MS) {
        a->window_ms = now_ms;
        a->restarts = 0;
    }
    return a->restarts < RESTARTS;
}

/* The phantom: one of the consumed messages stays counted, so the token is the timer's. */
static void park(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes) {
    actor_clear(a);
    actor_drain(a, &done, &bytes);
    a->flags = ACTOR_PARKED;
    a->reason = ERR_OK;
    uint32_t wait = backoff_ms[a->restarts++];
    if (done > 1 || bytes)
        mailbox_consumed(a, done - 1, bytes);
    timer_resume(w, a, wait);
}

static void escalate(runtime_t *rt, actor_t *a) {
    actor_ref_t parent = a->parent;
    log_error("sched", "actor %s: %u restarts in %u s were not enough, %s", a->cls->name, RESTARTS,
              WINDOW_MS / 1000, parent.gen ? "its parent fails" : "it stays down");
    if (parent.gen)
        post_system(rt, parent, ref_of(a), MSG_FAILED, ERR_INTERNAL);
}

bool actor_after_exit(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes) {
    if (a->reason != ERR_OK && a->cls->restart != ACTOR_NEVER)
        log_warn("sched", "actor %s key %llu crashed: %s", a->cls->name, (unsigned long long)a->key,
                 err_name(a->reason));
    if (wants_restart(a)) {
        if (within_intensity(w, a)) {
            park(w, a, done, bytes);
            return true;
        }
        escalate(w->rt, a);
    }
    actor_end(a);
    return false;
}

void actor_exit(actor_t *self, int reason) {
    if (self->flags & ACTOR_EXITING)
        return;
    self->flags |= ACTOR_EXITING;
    self->reason = (int16_t)reason;
}

void actor_watch(actor_t *self, actor_ref_t ref) {
    runtime_t *rt = rt_of(self);
    msg_t *m = msg_new(MSG_WATCH, 0);
    m->flags = MSG_SYSTEM;
    m->from = ref_of(self);
    if (post(rt, ref, m))
        post_system(rt, ref_of(self), ref, MSG_DOWN, ERR_GONE);
}
