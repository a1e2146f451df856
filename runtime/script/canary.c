/* canary: a version is tried on one shard or on a share of the keys, its account beside the one of
 * the version that serves, and promoted or rolled back by what they say. Two ways:
 *   by keys: the shards hold both versions, and a key always meets the same one. Each has a state
 * of its own, so this is for services that keep nothing in theirs; it is the way of one shard, too,
 *     for these. A request that the tried version fails before it has changed anything is run again
 *     by the version that serves: the client sees no error.
 *   by shard: a service with state hands one shard over, state and all; what fails there fails.
 * Policies are tried by the first worker; a call that fails there is answered by the old one.
 * In the reloader's thread. */
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/reload_in.h"
#include <stdio.h>

#define LOOK_MS      250
#define FAULTS_LEAST 3    /* fewer are chance */
#define SLOW_CALLS   3    /* so many slow ones are chance: any thread may be held up */
#define CALLS_LEAST  50   /* of both, before their times are compared */
#define SLOW_LEAST   2000 /* us: what is faster is not slow */
#define SHARE_PRESET 10   /* percent of the keys */
#define ALL          10000u

static canary_t *here(reloader_t *r) {
    return &r->canaries[r->service];
}

/* --- judging --- */
static uint64_t read(const _Atomic uint64_t *n) {
    return atomic_load_explicit(n, memory_order_relaxed);
}

/* Faults above what the old version has of them, in percent of the calls. */
static bool too_many(const tally_t *old, const tally_t *fresh, int64_t percent, char *why,
                     size_t room) {
    uint64_t n = read(&fresh->calls), f = read(&fresh->faults), on = read(&old->calls),
             of = read(&old->faults);
    double rate = n ? (double)f * 100 / (double)n : 0,
           old_rate = on ? (double)of * 100 / (double)on : 0;
    if (f < FAULTS_LEAST || rate <= old_rate + (double)percent)
        return false;
    snprintf(why, room, "%llu of %llu failed, of the old version %llu of %llu",
             (unsigned long long)f, (unsigned long long)n, (unsigned long long)of,
             (unsigned long long)on);
    return true;
}

/* p99 of both; of few calls what all but SLOW_CALLS kept: their p99 is the slowest one. */
static bool too_slow(const tally_t *old, const tally_t *fresh, int64_t percent, char *why,
                     size_t room) {
    uint64_t n = read(&fresh->calls), on = read(&old->calls), least = n < on ? n : on;
    if (least < CALLS_LEAST)
        return false;
    double share = least < 100 * SLOW_CALLS ? 1 - (SLOW_CALLS + 0.5) / (double)least : 0.99;
    uint64_t us = tally_within(fresh, share), old_us = tally_within(old, share);
    if (us < SLOW_LEAST || us * 100 <= old_us * (uint64_t)percent)
        return false;
    snprintf(why, room, "p%.0f is %llu us, of the old version %llu us", share * 100,
             (unsigned long long)us, (unsigned long long)old_us);
    return true;
}

static bool is_bad(const reloader_t *r, const version_t *old, canary_t *c) {
    const conf_t *conf = r->script->conf;
    int64_t errors = conf_int(conf, "script.canary_errors"),
            slower = conf_int(conf, "script.canary_slower");
    const version_t *v = c->version;
    char *why = c->verdict;
    size_t room = sizeof c->verdict;
    return too_many(&old->requests, &v->requests, errors, why, room) ||
           too_many(&old->policies, &v->policies, errors, why, room) ||
           too_slow(&old->requests, &v->requests, slower, why, room) ||
           too_slow(&old->policies, &v->policies, slower, why, room);
}

/* Has it been seen enough? Then *good says whether it may serve. */
static bool is_over(actor_t *self, const reloader_t *r, canary_t *c, bool *good) {
    uint64_t calls = read(&c->version->requests.calls) + read(&c->version->policies.calls);
    uint64_t ms = (actor_now_ns(self) - c->since_ns) / 1000000;
    bool late = ms >= (uint64_t)conf_int(r->script->conf, "script.canary_time");
    *good = calls > 0;
    snprintf(c->verdict, sizeof c->verdict, "%llu requests in %llu ms were fine",
             (unsigned long long)calls, (unsigned long long)ms);
    if (calls == 0)
        snprintf(c->verdict, sizeof c->verdict, "no request came to it in %llu ms",
                 (unsigned long long)ms);
    return late || calls >= (uint64_t)conf_int(r->script->conf, "script.canary_requests");
}

static void look_later(actor_t *self, const canary_t *c, uint32_t service) {
    actor_after(self, LOOK_MS, RELOAD_LOOK, (uint64_t)c->version->number << 8 | service);
}

void canary_look(actor_t *self, reloader_t *r, uint64_t cookie) {
    uint32_t service = cookie & 255;
    canary_t *c = &r->canaries[service];
    bool good = false;
    if (!c->version || c->decided || c->version->number != cookie >> 8)
        return; /* it is over; another one looks for itself */
    script_order_t o = {.op = SCRIPT_ABORT, .who = "canary"};
    snprintf(o.service, sizeof o.service, "%s", c->version->service);
    bool bad = is_bad(r, r->script->services[service].current, c);
    if (bad || is_over(self, r, c, &good)) {
        o.op = !bad && good ? SCRIPT_PROMOTE : SCRIPT_ABORT;
        c->decided = order_add(r, &o);
    }
    if (!c->decided)
        look_later(self, c, service);
}

/* --- beginning --- */
static void begun(actor_t *self, reloader_t *r) {
    service_t *sv = order_service(r);
    canary_t *c = here(r);
    c->version = version_ref(r->next);
    c->since_ms = order_now(r);
    c->since_ns = actor_now_ns(self);
    c->decided = false;
    policies_try(r->script, r->service, r->policies);
    r->policies = NULL;
    version_watch(sv->current, true);
    version_watch(c->version, true);
    policies_watch(r->script, r->service, true);
    history_note(sv->history, c->version, HISTORY_TRIED, c->since_ms, r->order.who, "");
    char what[64];
    snprintf(what, sizeof what, c->one_shard ? "shard %u" : "%u.%02u percent of the keys",
             c->one_shard ? c->shard + 1 : c->share / 100, c->share % 100);
    log_info("script", "%s: version %u is tried on %s", sv->name, c->version->number, what);
    look_later(self, c, r->service);
    r->after_canary(self, r, true);
}

static void taken_back(actor_t *self, reloader_t *r, bool ok) {
    (void)ok;
    memcpy(r->reason, r->refusal, sizeof r->reason);
    r->after_canary(self, r, false);
}

static void swapped(actor_t *self, reloader_t *r, bool ok) {
    if (ok) {
        here(r)->swapped = true;
        begun(self, r);
        return;
    }
    memcpy(r->refusal, r->reason, sizeof r->refusal);
    sweep_t s = {.kind = SWEEP_SWAP,
                 .service = r->service,
                 .todo = sweep_unsure(r),
                 .version = order_service(r)->current,
                 .back = true,
                 .then = taken_back};
    sweep_start(self, r, &s);
}

static void hand_over_shard(actor_t *self, reloader_t *r) {
    canary_t *c = here(r);
    c->one_shard = true;
    sweep_t s = {.kind = SWEEP_SWAP,
                 .service = r->service,
                 .todo = 1ull << c->shard,
                 .version = r->next,
                 .then = swapped};
    sweep_start(self, r, &s);
}

static void tried(actor_t *self, reloader_t *r, bool ok) {
    canary_t *c = here(r);
    bool state = !ok && r->sweep.err == ERR_STALE;
    if (ok) {
        begun(self, r);
        return;
    }
    if (state && r->sweep.done == 0 && (c->one_shard || r->order.op == SCRIPT_RELOAD)) {
        hand_over_shard(self, r);
        return;
    }
    if (state)
        snprintf(r->reason, sizeof r->reason, "it keeps state: it can be tried on one shard only");
    memcpy(r->refusal, r->reason, sizeof r->refusal);
    sweep_t s = {.kind = SWEEP_END_TRY,
                 .service = r->service,
                 .todo = r->sweep.done | sweep_unsure(r),
                 .then = taken_back};
    sweep_start(self, r, &s);
}

void canary_start(actor_t *self, reloader_t *r, then_t after) {
    canary_t *c = here(r);
    int64_t share = r->order.share ? r->order.share : SHARE_PRESET;
    *c = (canary_t){.one_shard = r->order.shard > 0,
                    .shard = r->order.shard > 0 ? (uint32_t)r->order.shard - 1 : 0,
                    .share = r->order.shard > 0 ? ALL : (uint32_t)share * 100};
    r->after_canary = after;
    sweep_t s = {.kind = SWEEP_TRY,
                 .service = r->service,
                 .todo = c->one_shard ? 1ull << c->shard : rollout_all(r),
                 .version = r->next,
                 .share = c->share,
                 .then = tried};
    sweep_start(self, r, &s);
}

/* --- ending --- */
void canary_forget(reloader_t *r) {
    service_t *sv = order_service(r);
    canary_t *c = here(r);
    if (!c->version)
        return;
    version_watch(sv->current, false);
    version_watch(c->version, false);
    policies_watch(r->script, r->service, false);
    policies_end_trial(r->script, r->service);
    version_unref(c->version);
    *c = (canary_t){0};
}

static void ended(actor_t *self, reloader_t *r, bool ok) {
    if (!ok)
        log_error("script", "%s: a shard has not said that it serves the old version",
                  order_service(r)->name);
    canary_forget(r);
    r->after_canary(self, r, ok);
}

void canary_end(actor_t *self, reloader_t *r, then_t after) {
    const canary_t *c = here(r);
    sweep_t s = {.kind = c->swapped ? SWEEP_SWAP : SWEEP_END_TRY,
                 .service = r->service,
                 .todo = c->one_shard ? 1ull << c->shard : rollout_all(r),
                 .version = order_service(r)->current,
                 .back = true,
                 .then = ended};
    r->after_canary = after;
    sweep_start(self, r, &s);
}

uint64_t canary_rest(const reloader_t *r) {
    const canary_t *c = &r->canaries[r->service];
    uint64_t all = rollout_all(r);
    return c->version && c->swapped ? all & ~(1ull << c->shard) : all;
}

void canary_close(reloader_t *r) {
    for (uint32_t i = 0; i < SCRIPT_SERVICES; i++)
        version_unref(r->canaries[i].version);
}
