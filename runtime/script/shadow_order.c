/* shadow_order: the orders on the version in shadow of a service: on, off, show. The shadow itself
 * is an actor (shadow.c); an order is under way until it has answered. In the reloader's thread. */
#include "base/err.h"
#include "base/log.h"
#include "script/reload_in.h"
#include "script/shadow.h"
#include <stdio.h>

#define ANSWER_MS 30000 /* it may have records before it */

static void drop_begin(msg_t *m) {
    version_unref(msg_data(m, shadow_begin_t)->version); /* NULL when it was taken */
}

const shadowing_t *shadow_of(const reloader_t *r, uint32_t service) {
    const shadowing_t *s = &r->shadows[service];
    bool on = s->version && shadow_number(&r->script->services[service]) == s->version->number;
    return on ? s : NULL; /* off: the shadow crashed */
}

/* Workers look at it from now on. release: what the shadow's messages need is there before. */
static void set_gate(reloader_t *r, uint32_t number) {
    service_t *sv = order_service(r);
    if (number)
        atomic_store_explicit(&sv->gate.skipped, 0, memory_order_relaxed);
    atomic_store_explicit(&sv->gate.number, number, memory_order_release);
    policies_shadow(r->script, r->service, number != 0);
}

static void forget(reloader_t *r, const char *reason) {
    shadowing_t *s = &r->shadows[r->service];
    set_gate(r, 0);
    if (!s->version)
        return;
    history_note(order_service(r)->history, s->version, HISTORY_ENDED, order_now(r), r->order.who,
                 reason);
    version_unref(s->version);
    *s = (shadowing_t){0};
}

static void told(actor_t *self, reloader_t *r) {
    buf_add_char(&r->told, ']');
    order_done(self, r, ERR_OK, NULL);
}

/* --- on --- */
static void begin(actor_t *self, reloader_t *r) {
    actor_ref_t shadow = shadow_actor(r->script);
    forget(r, "another one took its place");
    if (r->next->number == 0) /* the number is how its records are known */
        history_note(order_service(r)->history, r->next, HISTORY_SHADOW, order_now(r), r->order.who,
                     "");
    shadow_begin_t b = {r->service, version_ref(r->next), order_now(r)};
    msg_t *m = msg_of(SHADOW_BEGIN, &b, sizeof b);
    m->drop = drop_begin;
    actor_request(self, shadow, m, ANSWER_MS, RELOAD_SHADOW, 0);
}

static void order_on(actor_t *self, reloader_t *r) {
    if (!fresh_read(r)) {
        order_done(self, r, ERR_INTERNAL, r->reason);
        return;
    }
    if (!version_differs(order_service(r)->current, r->fresh)) {
        order_done(self, r, ERR_CONFLICT,
                   "its files have not changed: there is nothing to compare");
        return;
    }
    buf_add_char(&r->told, '[');
    if (version_judge(r, true))
        begin(self, r);
    else
        told(self, r);
}

static void begun(actor_t *self, reloader_t *r, const msg_t *m) {
    if (m->err != ERR_OK) {
        if (m->body)
            snprintf(r->reason, sizeof r->reason, "%.*s", (int)m->body->len, m->body->data);
        else
            snprintf(r->reason, sizeof r->reason, "the shadow: %s", err_text(m->err));
        version_refuse(r);
        told(self, r);
        return;
    }
    r->shadows[r->service] = (shadowing_t){version_ref(r->next), order_now(r)};
    set_gate(r, r->next->number);
    log_info("script", "%s: version %u is in shadow", order_service(r)->name, r->next->number);
    tell_result(r, r->next, "shadow", "");
    told(self, r);
}

/* --- off, show --- */
static void ended(actor_t *self, reloader_t *r) {
    version_t *v = version_ref(r->shadows[r->service].version);
    char reason[HISTORY_REASON];
    snprintf(reason, sizeof reason, "the shadow was ended by %.60s", r->order.who);
    forget(r, reason);
    buf_add_char(&r->told, '[');
    tell_result(r, v, "ended", reason);
    version_unref(v);
    told(self, r);
}

static void ask(actor_t *self, reloader_t *r, uint32_t verb) {
    shadow_ask_t a = {r->service};
    actor_request(self, r->script->shadow, msg_of(verb, &a, sizeof a), ANSWER_MS, RELOAD_SHADOW, 0);
}

void order_shadow(actor_t *self, reloader_t *r) {
    if (r->order.op == SCRIPT_SHADOW_ON) {
        order_on(self, r);
    } else if (!shadow_of(r, r->service)) {
        if (r->shadows[r->service].version)
            forget(r, "the shadow crashed");
        order_done(self, r, ERR_NOT_FOUND, "no version of it is in shadow");
    } else if (r->order.op == SCRIPT_SHADOW_OFF) {
        set_gate(r, 0);
        ask(self, r, SHADOW_END);
    } else {
        ask(self, r, SHADOW_TELL);
    }
}

void order_shadow_answer(actor_t *self, reloader_t *r, const msg_t *m) {
    if (r->order.op == SCRIPT_SHADOW_ON) {
        begun(self, r, m);
    } else if (r->order.op == SCRIPT_SHADOW_OFF) {
        ended(self, r); /* whatever it says */
    } else if (m->err != ERR_OK) {
        order_done(self, r, m->err, "the shadow does not answer");
    } else {
        buf_add(&r->told, m->body->data, m->body->len);
        order_done(self, r, ERR_OK, NULL);
    }
}

void order_shadow_close(reloader_t *r) {
    for (uint32_t i = 0; i < SCRIPT_SERVICES; i++)
        version_unref(r->shadows[i].version);
}
