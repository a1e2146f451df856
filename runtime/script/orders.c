/* orders: the orders on one service that change what serves: canary, promote, abort, rollback. In
 * the reloader's thread. */
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/reload_in.h"
#include <stdio.h>

/* --- canary --- */
static void told(actor_t *self, reloader_t *r) {
    buf_add_char(&r->told, ']');
    order_done(self, r, ERR_OK, NULL);
}

static void ordered_canary_begun(actor_t *self, reloader_t *r, bool ok) {
    if (ok)
        tell_result(r, r->next, "tried", "");
    else
        version_refuse(r);
    told(self, r);
}

static void begin_canary(actor_t *self, reloader_t *r, bool ok) {
    (void)ok;
    if (version_judge(r, true))
        canary_start(self, r, ordered_canary_begun);
    else
        told(self, r);
}

void order_canary(actor_t *self, reloader_t *r) {
    const service_t *sv = order_service(r);
    const script_order_t *o = &r->order;
    if (o->shard < 0 || o->shard > (int64_t)sv->shards || o->share < 0 || o->share > 100) {
        order_done(self, r, ERR_BAD_REQUEST,
                   "a shard that there is, or a share of 1 to 100 percent");
        return;
    }
    if (!fresh_read(r)) {
        order_done(self, r, ERR_INTERNAL, r->reason);
        return;
    }
    if (!version_differs(sv->current, r->fresh)) {
        order_done(self, r, ERR_CONFLICT, "its files have not changed: there is nothing to try");
        return;
    }
    buf_add_char(&r->told, '[');
    if (r->canaries[r->service].version)
        canary_end(self, r, begin_canary);
    else
        begin_canary(self, r, true);
}

/* A shard refused it in the end: it goes everywhere. */
static void give_up(reloader_t *r) {
    canary_t *c = &r->canaries[r->service];
    script_order_t o = {.op = SCRIPT_ABORT, .who = "canary"};
    snprintf(o.service, sizeof o.service, "%s", c->version->service);
    memcpy(c->verdict, r->reason, sizeof c->verdict);
    c->decided = order_add(r, &o);
}

static void promoted(actor_t *self, reloader_t *r, bool ok) {
    service_t *sv = order_service(r);
    if (ok) {
        canary_forget(r);
        version_hold(sv, NULL);
        version_serves(r, HISTORY_SERVED, "");
        tell_result(r, r->next, "serves", "");
    } else {
        give_up(r);
        tell_result(r, r->next, "refused", r->reason);
    }
    told(self, r);
}

static bool has_canary(actor_t *self, reloader_t *r) {
    if (r->canaries[r->service].version)
        return true;
    order_done(self, r, ERR_NOT_FOUND, "no version of it is tried");
    return false;
}

static void aborted(actor_t *self, reloader_t *r, bool ok) {
    service_t *sv = order_service(r);
    bool own = strcmp(r->order.who, "canary") == 0;
    (void)ok;
    memcpy(r->reason, r->refusal, sizeof r->reason); /* what led to it */
    version_hold(sv, r->next);
    history_note(sv->history, r->next, own ? HISTORY_ROLLED_BACK : HISTORY_ENDED, order_now(r),
                 r->order.who, r->reason);
    if (own) {
        stat_add(STAT_SCRIPT_ROLLBACKS, 1);
        log_error("script", "%s: version %u is rolled back: %s", sv->name, r->next->number,
                  r->reason);
    }
    tell_result(r, r->next, "ended", r->reason);
    told(self, r);
}

void order_abort(actor_t *self, reloader_t *r) {
    if (!has_canary(self, r))
        return;
    const canary_t *c = &r->canaries[r->service];
    r->next = version_ref(c->version);
    memcpy(r->reason, c->verdict, sizeof r->reason);
    if (strcmp(r->order.who, "canary") != 0)
        snprintf(r->reason, sizeof r->reason, "given up by %.60s", r->order.who);
    memcpy(r->refusal, r->reason, sizeof r->reason);
    buf_add_char(&r->told, '[');
    canary_end(self, r, aborted);
}

void order_promote(actor_t *self, reloader_t *r) {
    if (!has_canary(self, r))
        return;
    r->next = version_ref(r->canaries[r->service].version);
    r->policies = policies_make(r->script, r->next, false, r->reason, sizeof r->reason);
    if (!r->policies) {
        order_done(self, r, ERR_INTERNAL, r->reason);
        return;
    }
    buf_add_char(&r->told, '[');
    rollout_start(self, r, canary_rest(r), false, promoted);
}

/* --- rollback --- */
/* The one that served last before the current one. */
static const history_entry_t *one_before(const service_t *sv) {
    const history_entry_t *best = NULL;
    for (size_t i = 0; i < history_count(sv->history); i++) {
        const history_entry_t *e = history_at(sv->history, i);
        if (e->state == HISTORY_SERVED && (!best || e->at_ms >= best->at_ms))
            best = e;
    }
    return best;
}

static void rolled_back(actor_t *self, reloader_t *r, bool ok) {
    service_t *sv = order_service(r);
    char reason[HISTORY_REASON];
    if (!ok) {
        order_done(self, r, ERR_INTERNAL, r->reason);
        return;
    }
    snprintf(reason, sizeof reason, "back to version %u", r->next->number);
    if (!sv->held)
        version_hold(sv, sv->current);
    else if (sv->held == r->next)
        version_hold(sv, NULL);
    version_serves(r, HISTORY_ROLLED_BACK, reason);
    stat_add(STAT_SCRIPT_ROLLBACKS, 1);
    tell_result(r, r->next, "serves", "");
    told(self, r);
}

static void roll_back(actor_t *self, reloader_t *r, bool ok) {
    (void)ok;
    r->policies = policies_make(r->script, r->next, false, r->reason, sizeof r->reason);
    if (!r->policies) {
        order_done(self, r, ERR_INTERNAL, r->reason);
        return;
    }
    buf_add_char(&r->told, '[');
    rollout_start(self, r, rollout_all(r), true, rolled_back);
}

void order_rollback(actor_t *self, reloader_t *r) {
    const service_t *sv = order_service(r);
    const history_entry_t *e =
        r->order.a ? history_find(sv->history, (uint32_t)r->order.a) : one_before(sv);
    if (!e || e->state == HISTORY_REFUSED) {
        order_done(self, r, ERR_NOT_FOUND,
                   !e ? "there is no such version" : "that version was refused: it never served");
        return;
    }
    if (e->version == sv->current) {
        order_done(self, r, ERR_CONFLICT, "that version serves");
        return;
    }
    r->next = version_ref(e->version);
    if (r->canaries[r->service].version) {
        history_note(sv->history, r->canaries[r->service].version, HISTORY_ENDED, order_now(r),
                     r->order.who, "the service was rolled back");
        canary_end(self, r, roll_back);
    } else {
        roll_back(self, r, true);
    }
}
