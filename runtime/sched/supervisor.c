/* supervisor: restart policy, escalation, watch. An actor restarts in place: its address stays
 * good, what its mailbox held is answered, what comes while it waits for its restart is kept for
 * the new life. Runs where the actor ran. */
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "sched/sched.h"

#define WINDOW_MS  10000
#define WAIT_MS    10
#define LONGEST_MS 1000

extra_t *extra_of(actor_t *a) {
    if (!a->extra)
        a->extra = pool_zalloc(sizeof *a->extra);
    return a->extra;
}

void extra_free(actor_t *a) {
    if (a->extra)
        pool_free(a->extra->chain, CHAIN_TEXT);
    pool_free(a->extra, sizeof *a->extra);
    a->extra = NULL;
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

/* --- restart --- */
static bool is_over(const actor_t *a) {
    return atomic_load(&rt_of(a)->stopping) || (SEEN(a->marks) & MARK_STOP_SENT);
}

/* Keyed actors begin anew when they are asked for. */
static bool wants_restart(const actor_t *a) {
    if (a->kind != KIND_NONE || is_over(a))
        return false;
    return a->cls->restart == ACTOR_ALWAYS ||
           (a->cls->restart == ACTOR_ON_CRASH && a->reason != ERR_OK);
}

static uint32_t or_preset(uint32_t value, uint32_t preset) {
    return value ? value : preset;
}

static uint32_t most_restarts(const actor_t *a) {
    return or_preset(a->cls->restarts, RESTARTS);
}

static bool within_intensity(worker_t *w, actor_t *a) {
    extra_t *e = extra_of(a);
    uint32_t now_ms = turn_tick(w->now_ns);
    if (e->in_window == 0 ||
        now_ms - e->window_ms > or_preset(a->cls->restart_window_ms, WINDOW_MS)) {
        e->window_ms = now_ms;
        e->in_window = 0;
    }
    return e->in_window < most_restarts(a);
}

static uint32_t wait_of(const actor_t *a) {
    uint32_t ms = or_preset(a->cls->restart_wait_ms, WAIT_MS);
    for (uint32_t i = 0; i < a->extra->in_window && ms < LONGEST_MS; i++)
        ms = ms * 10 < LONGEST_MS ? ms * 10 : LONGEST_MS;
    return ms;
}

static void account(worker_t *w, actor_t *a) {
    a->extra->in_window++;
    if (a->restarts < UINT8_MAX)
        SHOW(a->restarts, (uint8_t)(a->restarts + 1));
    COUNT_CLASS(w->rt, a->cls, restarts);
}

/* The phantom: one of the consumed messages stays counted, so the token is the timer's. */
static void park(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes) {
    actor_clear(a);
    actor_drain(a, &done, &bytes);
    a->flags = ACTOR_PARKED;
    slot_mark(w->rt, a, MARK_PARKED, true);
    a->reason = ERR_OK;
    uint32_t wait = wait_of(a);
    account(w, a);
    if (done > 1 || bytes)
        mailbox_consumed(a, done - 1, bytes);
    timer_resume(w, a, wait);
}

/* --- escalation --- */
/* The first one that failed, then who failed because of it: "port key 0 (io) < pool key 1". */
static void name_chain(const actor_t *a, char *chain) {
    const char *below = a->flags & ACTOR_FAILED ? a->extra->chain : NULL; /* not of a former life */
    if (below)
        snprintf(chain, CHAIN_TEXT, "%s < %s key %llu", below, a->cls->name,
                 (unsigned long long)a->key);
    else
        snprintf(chain, CHAIN_TEXT, "%s key %llu (%s)", a->cls->name, (unsigned long long)a->key,
                 err_name(a->reason));
}

static void fail_root(runtime_t *rt, const char *chain) {
    log_error("sched", "the root fails: %s", chain);
    if (!atomic_exchange(&rt->failed, true) && rt->conf.failed)
        rt->conf.failed(rt->conf.failed_arg, chain);
}

static void escalate(runtime_t *rt, actor_t *a) {
    char chain[CHAIN_TEXT];
    name_chain(a, chain);
    actor_ref_t parent = {SEEN(a->parent.slot), SEEN(a->parent.gen)};
    if (!parent.gen) {
        fail_root(rt, chain);
        return;
    }
    log_error("sched", "%s is not restarted any more, its parent fails", chain);
    msg_t *m = msg_of(MSG_FAILED, chain, CHAIN_TEXT);
    m->flags = MSG_SYSTEM;
    m->from = ref_of(a);
    post(rt, parent, m);
}

void actor_child_failed(actor_t *a, const msg_t *m) {
    extra_t *e = extra_of(a);
    if (!e->chain)
        e->chain = pool_alloc(CHAIN_TEXT);
    memcpy(e->chain, m->data, CHAIN_TEXT);
    a->flags |= ACTOR_FAILED;
    actor_exit(a, ERR_INTERNAL);
}

bool actor_after_exit(worker_t *w, actor_t *a, uint32_t done, uint64_t bytes) {
    bool handed_on = (a->flags & ACTOR_FAILED) && a->kind == KIND_NONE && !is_over(a);
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
        handed_on = true;
    }
    if (handed_on)
        escalate(w->rt, a);
    actor_end(a);
    return false;
}

bool actor_take_kill(actor_t *a) {
    int reason = atomic_exchange_explicit(&a->killed, 0, memory_order_relaxed);
    if (reason)
        actor_exit(a, reason);
    return reason;
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
