/* supervisor: restart policy, escalation, watch. An actor restarts in place: its address stays
 * good, what its mailbox held is answered, what comes while it waits for its restart is kept for
 * the new life. Runs where the actor ran. */
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "sched/sched.h"

#define WINDOW_MS 10000 /* RESTARTS in this time; one more and the parent fails */
static const uint16_t backoff_ms[RESTARTS] = {10, 100, 1000};

extra_t *extra_of(actor_t *a) {
    if (!a->extra)
        a->extra = pool_zalloc(sizeof *a->extra);
    return a->extra;
}

void watch_add(actor_t *a, actor_ref_t by) {
    extra_t *e = extra_of(a);
    for (watcher_t *w = e->watchers; w; w = w->next)
        if (actor_ref_eq(w->ref, by))
            return;
    watcher_t *w = pool_alloc(sizeof *w);
    *w = (watcher_t){e->watchers, by};
    e->watchers = w;
}

static bool wants_restart(const actor_t *a) {
    if (a->kind != KIND_NONE || atomic_load(&rt_of(a)->stopping))
        return false; /* keyed actors begin anew when they are asked for */
    return a->cls->restart == ACTOR_ALWAYS ||
           (a->cls->restart == ACTOR_ON_CRASH && a->reason != ERR_OK);
}

static bool within_intensity(worker_t *w, actor_t *a) {
    extra_t *e = extra_of(a);
    uint32_t now_ms = turn_tick(w->now_ns);
    if (e->in_window == 0 || now_ms - e->window_ms > WINDOW_MS) {
        e->window_ms = now_ms;
        e->in_window = 0;
    }
    return e->in_window < RESTARTS;
}

/* The phantom: one of the consumed messages stays counted, so the token is the timer's. */
static void park(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes) {
    actor_clear(a);
    actor_drain(a, &done, &bytes);
    a->flags = ACTOR_PARKED;
    slot_mark(w->rt, a, MARK_PARKED, true);
    a->reason = ERR_OK;
    uint32_t wait = backoff_ms[a->extra->in_window++];
    if (a->restarts < UINT8_MAX)
        SHOW(a->restarts, a->restarts + 1);
    COUNT_CLASS(w->rt, a->cls, restarts);
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
    if (a->reason != ERR_OK)
        COUNT_CLASS(w->rt, a->cls, crashes);
    if (a->reason != ERR_OK && a->cls->restart != ACTOR_NEVER)
        log_warn("sched", "actor %s key %llu crashed: %s", a->cls->name, (unsigned long long)a->key,
                 err_name(a->reason));
    if (wants_restart(a)) {
        if (within_intensity(w, a)) {
            park(w, a, done, bytes);
            return true;
        }
        limit_hit(w->rt, LIMIT_RESTARTS);
        escalate(w->rt, a);
    }
    actor_end(a);
    return false;
}

void actor_exit(actor_t *self, int reason) {
    if (self->flags & ACTOR_EXITING)
        return;
    self->flags |= ACTOR_EXITING;
    self->reason = (int8_t)reason;
}

void actor_watch(actor_t *self, actor_ref_t ref) {
    runtime_t *rt = rt_of(self);
    msg_t *m = msg_new(MSG_WATCH, 0);
    m->flags = MSG_SYSTEM;
    m->from = ref_of(self);
    if (post(rt, ref, m))
        post_system(rt, ref_of(self), ref, MSG_DOWN, ERR_GONE);
}
