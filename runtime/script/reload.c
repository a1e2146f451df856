/* reload: what operators order (script.h), one order after the other: new versions, canaries,
 * rollbacks. Its actor has a thread of its own, because reading, compiling, specs and closing VMs
 * take milliseconds. What becomes of each version is noted in the history of its service. */
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/reload_in.h"
#include <stdio.h>

typedef struct dispose {
    program_t *program;
} dispose_t;

static void drop_program(msg_t *m) {
    program_free(msg_data(m, dispose_t)->program);
}

void reload_dispose(script_t *s, actor_t *self, program_t *p) {
    dispose_t d = {p};
    msg_t *m = msg_of(RELOAD_DISPOSE, &d, sizeof d);
    m->drop = drop_program; /* freed with the message, wherever that ends */
    actor_send(self, s->reloader, m);
}

service_t *order_service(reloader_t *r) {
    return &r->script->services[r->service];
}

int64_t order_now(const reloader_t *r) {
    return runtime_wall_ms(r->script->rt);
}

/* --- the queue of orders --- */
static void answer(actor_t *self, msg_t *request, int err, const char *text, buf_t *told) {
    if (!request)
        return;
    msg_t *reply = msg_new(0, 0);
    buf_t out = {0};
    if (err != ERR_OK) {
        json_add_text(&out, "error", slice_of(text && *text ? text : err_text(err)));
        out.at[0] = '{';
        buf_add_char(&out, '}');
    } else if (told) {
        buf_add_slice(&out, buf_slice(told));
    }
    reply->body = block_from_buf(&out);
    actor_reply(self, request, err, reply);
}

bool order_add(reloader_t *r, const script_order_t *o) {
    if (r->waiting_count == ORDERS_WAITING)
        return false;
    r->waiting[r->waiting_count++] = (waiting_t){.order = *o};
    return true;
}

/* A signal that waits already does for the next ones, too. */
static bool waits_already(const reloader_t *r, const script_order_t *o) {
    for (uint32_t i = 0; i < r->waiting_count; i++)
        if (!r->waiting[i].request && memcmp(&r->waiting[i].order, o, sizeof *o) == 0)
            return true;
    return false;
}

static void on_order(actor_t *self, reloader_t *r, msg_t *m) {
    const script_order_t *o = msg_data(m, script_order_t);
    bool request = m->flags & MSG_REQUEST;
    if (!request && waits_already(r, o))
        return;
    if (!order_add(r, o)) {
        if (request)
            answer(self, m, ERR_BUSY, NULL, NULL);
        return;
    }
    if (request) {
        actor_keep(self, m);
        r->waiting[r->waiting_count - 1].request = m;
    }
}

void order_done(actor_t *self, reloader_t *r, int err, const char *text) {
    answer(self, r->request, err, text, &r->told);
    r->request = NULL;
    r->busy = false;
    buf_free(&r->told);
    sources_unref(r->fresh);
    r->fresh = NULL;
    version_unref(r->next);
    r->next = NULL;
    policies_free(r->policies);
    r->policies = NULL;
}

static void tell(reloader_t *r, const char *service, uint32_t number, const char *result,
                 const char *reason) {
    buf_addf(&r->told, "%s{", r->told.len > 1 ? "," : "");
    json_add_text(&r->told, "service", slice_of(service));
    json_add_int(&r->told, "number", number);
    json_add_text(&r->told, "result", slice_of(result));
    json_add_text(&r->told, "reason", slice_of(reason));
    buf_add_char(&r->told, '}');
}

void tell_result(reloader_t *r, const version_t *v, const char *result, const char *reason) {
    tell(r, v->service, v->number, result, reason);
}

/* --- versions --- */
bool fresh_read(reloader_t *r) {
    const service_t *any = &r->script->services[0];
    const sources_t *like = r->script->service_count ? any->current->sources : NULL;
    r->fresh = sources_read(conf_text(r->script->conf, "script.dir").at, like, r->reason,
                            sizeof r->reason);
    return r->fresh != NULL;
}

static void log_fault(const char *what, const char *fault) {
    char room[400];
    log_error("script", "reload: %s: the old version goes on: %s", what,
              log_safe(slice_of(fault), room, sizeof room));
}

static void first_line(void *arg, const char *line) {
    reloader_t *r = arg;
    if (!*r->reason)
        snprintf(r->reason, sizeof r->reason, "%s", line);
}

static bool passes(reloader_t *r, bool trial) {
    program_t *p = program_new(r->script, r->next, 0, r->reason, sizeof r->reason);
    version_settle(r->next);
    if (!p)
        return false;
    program_free(p);
    *r->reason = '\0';
    return spec_run(r->script, r->next, first_line, r).failed == 0 &&
           (r->policies = policies_make(r->script, r->next, trial, r->reason, sizeof r->reason));
}

void version_refuse(reloader_t *r) {
    service_t *sv = order_service(r);
    log_fault(sv->name, r->reason);
    stat_add(STAT_SCRIPT_REFUSED, 1);
    history_note(sv->history, r->next, HISTORY_REFUSED, order_now(r), r->order.who, r->reason);
    tell_result(r, r->next, "refused", r->reason);
}

bool version_judge(reloader_t *r, bool trial) {
    version_unref(r->next);
    policies_free(r->policies);
    r->policies = NULL;
    r->next = version_new(order_service(r)->name, r->fresh);
    if (passes(r, trial))
        return true;
    version_refuse(r);
    return false;
}

void version_serves(reloader_t *r, history_state_t old, const char *reason) {
    service_t *sv = order_service(r);
    int64_t now = order_now(r);
    history_note(sv->history, sv->current, old, now, r->order.who, reason);
    history_note(sv->history, r->next, HISTORY_SERVES, now, r->order.who, "");
    version_unref(sv->current);
    sv->current = version_ref(r->next);
    stat_add(STAT_SCRIPT_REPLACED, 1);
    log_info("script", "reload: %s is replaced: version %u serves", sv->name, r->next->number);
}

void version_hold(service_t *sv, version_t *v) {
    if (v)
        version_ref(v);
    version_unref(sv->held);
    sv->held = v;
}

/* --- reload --- */
static void reload_on(actor_t *self, reloader_t *r);

static bool has_changed(reloader_t *r) {
    service_t *sv = order_service(r);
    const canary_t *c = &r->canaries[r->service];
    if (!sources_text(r->fresh, slice_of(sv->name)).at)
        return false;
    if (c->version)
        return version_differs(c->version, r->fresh);
    if (!sv->held)
        return version_differs(sv->current, r->fresh);
    if (!version_differs(sv->held, r->fresh))
        return false;
    version_hold(sv, NULL);
    return version_differs(sv->current, r->fresh);
}

static void next_service(actor_t *self, reloader_t *r) {
    r->service++;
    reload_on(self, r);
}

static void reloaded(actor_t *self, reloader_t *r, bool ok) {
    if (ok) {
        version_serves(r, HISTORY_SERVED, "");
        tell_result(r, r->next, "serves", "");
    } else {
        version_refuse(r);
    }
    next_service(self, r);
}

static void canary_begun(actor_t *self, reloader_t *r, bool ok) {
    if (ok)
        tell_result(r, r->next, "tried", "");
    else
        version_refuse(r);
    next_service(self, r);
}

/* Of a service whose files have changed. */
static void bring_in(actor_t *self, reloader_t *r) {
    bool trial = r->order.share > 0 || r->order.shard > 0;
    if (!version_judge(r, trial))
        next_service(self, r);
    else if (trial)
        canary_start(self, r, canary_begun);
    else
        rollout_start(self, r, rollout_all(r), false, reloaded);
}

static void superseded(actor_t *self, reloader_t *r, bool ok) {
    (void)ok;
    if (version_differs(order_service(r)->current, r->fresh))
        bring_in(self, r);
    else
        next_service(self, r);
}

static void end_superseded(actor_t *self, reloader_t *r) {
    history_note(order_service(r)->history, r->canaries[r->service].version, HISTORY_ENDED,
                 order_now(r), r->order.who, "its files changed");
    canary_end(self, r, superseded);
}

static void tell_new(reloader_t *r, const char *name) {
    log_warn("script", "reload: lua/%s.lua is a new service: it starts with the node", name);
    tell(r, name, 0, "new", "a new service starts with the node: restart it");
}

/* Files of services that the node does not run. */
static void tell_unknown(reloader_t *r) {
    size_t count;
    const source_file_t *f = sources_all(r->fresh, &count);
    for (size_t i = 0; i < count; i++) {
        char name[SCRIPT_NAME];
        snprintf(name, sizeof name, "%.*s", (int)strlen(f[i].path) - 4, f[i].path);
        if (source_is_service(&f[i]) && script_service(r->script, name) < 0 &&
            (!*r->order.service || strcmp(r->order.service, name) == 0))
            tell_new(r, name);
    }
}

static void sweep_texts(const reloader_t *r) {
    history_t *all[SCRIPT_SERVICES];
    for (uint32_t i = 0; i < r->script->service_count; i++)
        all[i] = r->script->services[i].history;
    history_sweep(r->script->history_dir, all, r->script->service_count);
}

static void reload_over(actor_t *self, reloader_t *r) {
    const char *only = r->order.service;
    bool changed = r->told.len > 1;
    tell_unknown(r);
    bool known = r->told.len > 1 || !*only || script_service(r->script, only) >= 0;
    if (changed)
        sweep_texts(r);
    buf_add_char(&r->told, ']');
    log_info("script", "reload: done");
    stat_add(STAT_SCRIPT_RELOADS, 1);
    order_done(self, r, known ? ERR_OK : ERR_NOT_FOUND, "there is no such service");
}

/* Goes on until an answer is awaited or all is done. */
static void reload_on(actor_t *self, reloader_t *r) {
    for (; r->service < r->script->service_count; r->service++) {
        const char *only = r->order.service;
        if ((*only && strcmp(only, order_service(r)->name) != 0) || !has_changed(r))
            continue;
        if (r->canaries[r->service].version)
            end_superseded(self, r);
        else
            bring_in(self, r);
        return;
    }
    reload_over(self, r);
}

static void start_reload(actor_t *self, reloader_t *r) {
    if (!fresh_read(r)) {
        log_fault("script.dir", r->reason);
        stat_add(STAT_SCRIPT_RELOADS, 1);
        order_done(self, r, ERR_INTERNAL, r->reason);
        return;
    }
    r->order.share = conf_int(r->script->conf, "script.canary");
    r->service = 0;
    buf_add_char(&r->told, '[');
    reload_on(self, r);
}

/* --- orders --- */
static void start_diff(actor_t *self, reloader_t *r) {
    bool ok = report_diff(r);
    order_done(self, r, ok ? ERR_OK : ERR_NOT_FOUND, r->reason);
}

static void start_service_order(actor_t *self, reloader_t *r) {
    int i = script_service(r->script, r->order.service);
    if (i < 0) {
        order_done(self, r, ERR_NOT_FOUND, "there is no such service");
        return;
    }
    r->service = (uint32_t)i;
    switch (r->order.op) {
    case SCRIPT_CANARY:
        order_canary(self, r);
        break;
    case SCRIPT_PROMOTE:
        order_promote(self, r);
        break;
    case SCRIPT_ABORT:
        order_abort(self, r);
        break;
    case SCRIPT_ROLLBACK:
        order_rollback(self, r);
        break;
    case SCRIPT_HISTORY:
        report_history(r);
        order_done(self, r, ERR_OK, NULL);
        break;
    case SCRIPT_SHADOW_ON:
    case SCRIPT_SHADOW_OFF:
    case SCRIPT_SHADOW_SHOW:
        order_shadow(self, r);
        break;
    case SCRIPT_DIFF:
        start_diff(self, r);
        break;
    default:
        order_done(self, r, ERR_BAD_REQUEST, NULL);
    }
}

static void start_order(actor_t *self, reloader_t *r) {
    waiting_t w = r->waiting[0];
    memmove(r->waiting, r->waiting + 1, --r->waiting_count * sizeof w);
    r->busy = true;
    r->order = w.order;
    r->request = w.request;
    *r->reason = '\0';
    if (w.request && actor_now_ns(self) >= w.request->deadline_ns) {
        order_done(self, r, ERR_TIMEOUT, NULL); /* as who asked has been told: nothing begins */
    } else if (r->order.op == SCRIPT_LIST) {
        report_list(r);
        order_done(self, r, ERR_OK, NULL);
    } else if (r->order.op == SCRIPT_RELOAD) {
        start_reload(self, r);
    } else {
        start_service_order(self, r);
    }
}

/* --- the actor --- */
static void handle(actor_t *self, reloader_t *r, msg_t *m) {
    switch (m->verb) {
    case RELOAD_ORDER:
        on_order(self, r, m);
        break;
    case RELOAD_ANSWER:
        sweep_answer(self, r, m);
        break;
    case RELOAD_LOOK:
        canary_look(self, r, m->cookie);
        break;
    case RELOAD_SHADOW:
        order_shadow_answer(self, r, m);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        break; /* RELOAD_DISPOSE: its drop does it, in this thread */
    }
    while (!r->busy && r->waiting_count > 0)
        start_order(self, r);
}

static void reload_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    for (size_t i = 0; i < n; i++)
        handle(self, state, m[i]);
}

/* After a crash nobody knows of a canary or a shadow any more: what is tried by keys goes. */
static void end_all_trials(actor_t *self, script_t *s) {
    shard_try_t none = {NULL, 0};
    for (uint32_t i = 0; i < s->service_count; i++) {
        for (uint32_t n = 0; n < s->services[i].shards; n++)
            actor_send(self, s->services[i].refs[n], msg_of(SHARD_TRY, &none, sizeof none));
        policies_end_trial(s, i);
        policies_watch(s, i, false);
        policies_shadow(s, i, false);
        atomic_store_explicit(&s->services[i].gate.number, 0, memory_order_release);
        version_watch(s->services[i].current, false);
    }
}

static int reload_init(actor_t *self, void *state, const void *arg) {
    reloader_t *r = state;
    r->script = (script_t *)(uintptr_t)arg;
    if (!actor_ref_eq(r->script->reloader, ACTOR_NONE)) /* not its first life */
        end_all_trials(self, r->script);
    return ERR_OK;
}

static void reload_ended(actor_t *self, void *state, int reason) {
    reloader_t *r = state;
    (void)self;
    (void)reason;
    sources_unref(r->fresh);
    version_unref(r->next);
    policies_free(r->policies);
    buf_free(&r->told);
    canary_close(r);
    order_shadow_close(r);
}

static const actor_class_t reload_class = {
    .name = "script.reload",
    .place = ACTOR_THREAD,
    .restart = ACTOR_ON_CRASH, /* a reload under way is given up; the next one begins anew */
    .state_size = sizeof(reloader_t),
    .batch = 16,
    .init = reload_init,
    .handle_batch = reload_batch,
    .ended = reload_ended,
};

bool reload_open(script_t *s) {
    s->reloader = actor_spawn(s->rt, NULL, &reload_class, 0, -1, s);
    return !actor_ref_eq(s->reloader, ACTOR_NONE);
}

void script_order(script_t *s, actor_t *self, const script_order_t *o, uint32_t timeout_ms,
                  uint32_t reply_verb, uint64_t cookie) {
    actor_request(self, s->reloader, msg_of(RELOAD_ORDER, o, sizeof *o), timeout_ms, reply_verb,
                  cookie);
}

void script_reload(script_t *s) {
    script_order_t o = {.op = SCRIPT_RELOAD, .who = "signal"};
    runtime_send(s->rt, s->reloader, msg_of(RELOAD_ORDER, &o, sizeof o));
}
