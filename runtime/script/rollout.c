/* rollout: how a version comes to the shards: one after the other, each at a message boundary with
 * its state carried over (shard.c). The first that refuses ends it, and those that took it go back,
 * so that a service never stays half new. In the reloader's thread. */
#include "base/err.h"
#include "base/log.h"
#include "script/reload_in.h"
#include <stdio.h>

uint64_t rollout_all(const reloader_t *r) {
    uint32_t n = r->script->services[r->service].shards;
    return n == 64 ? UINT64_MAX : (1ull << n) - 1;
}

static void drop_swap(msg_t *m) {
    program_free(msg_data(m, shard_swap_t)->program); /* NULL when the shard took it */
}

static void drop_try(msg_t *m) {
    program_free(msg_data(m, shard_try_t)->program);
}

static msg_t *question(const sweep_t *s, program_t *p) {
    if (s->kind == SWEEP_SWAP) {
        shard_swap_t swap = {p, s->back};
        msg_t *m = msg_of(SHARD_SWAP, &swap, sizeof swap);
        m->drop = drop_swap;
        return m;
    }
    shard_try_t t = {p, s->share};
    msg_t *m = msg_of(SHARD_TRY, &t, sizeof t);
    m->drop = drop_try;
    return m;
}

/* Says to the shard that is asked whether it has to hold back what is new. */
static void order(const reloader_t *r, bool comes) {
    script_t *script = r->script;
    shard_arg_t *a = &script->shard_args[r->sweep.service * script->shards + r->sweep.shard];
    atomic_store_explicit(&a->order, comes, memory_order_relaxed);
}

/* Asks the next shard; all done, or a version that does not even load: goes on with `then`. */
static void ask(actor_t *self, reloader_t *r) {
    sweep_t *s = &r->sweep;
    script_t *script = r->script;
    program_t *p = NULL;
    if (s->todo == 0) {
        s->then(self, r, true);
        return;
    }
    s->shard = (uint32_t)__builtin_ctzll(s->todo);
    if (s->kind != SWEEP_END_TRY &&
        !(p = program_new(script, s->version, s->shard, r->reason, sizeof r->reason))) {
        s->err = ERR_INTERNAL;
        s->then(self, r, false);
        return;
    }
    order(r, s->kind == SWEEP_SWAP);
    actor_order(self, script->services[s->service].refs[s->shard], question(s, p),
                2 * script->timeout_ms, RELOAD_ANSWER, 0);
}

void sweep_start(actor_t *self, reloader_t *r, const sweep_t *sweep) {
    r->sweep = *sweep;
    ask(self, r);
}

void sweep_answer(actor_t *self, reloader_t *r, const msg_t *m) {
    sweep_t *s = &r->sweep;
    order(r, false);
    s->todo &= ~(1ull << s->shard);
    if (m->err == ERR_OK) {
        s->done |= 1ull << s->shard;
        ask(self, r);
        return;
    }
    s->err = m->err;
    if (m->body)
        snprintf(r->reason, sizeof r->reason, "%.*s", (int)m->body->len, m->body->data);
    else
        snprintf(r->reason, sizeof r->reason, "shard %u: %s", s->shard + 1, err_text(m->err));
    s->then(self, r, false);
}

uint64_t sweep_unsure(const reloader_t *r) {
    return r->sweep.err == ERR_TIMEOUT ? 1ull << r->sweep.shard : 0;
}

/* --- a version that is to serve --- */
static void undone(actor_t *self, reloader_t *r, bool ok) {
    if (!ok)
        log_error("script", "%s: a shard has not said that it serves the old version",
                  r->script->services[r->service].name);
    memcpy(r->reason, r->refusal, sizeof r->reason); /* of the shard that ended it */
    r->after_rollout(self, r, false);
}

static void rolled(actor_t *self, reloader_t *r, bool ok) {
    service_t *sv = &r->script->services[r->service];
    if (ok) {
        policies_put(r->script, r->service, r->policies);
        r->policies = NULL;
        r->after_rollout(self, r, true);
        return;
    }
    sweep_t undo = {.kind = SWEEP_SWAP,
                    .service = r->service,
                    .todo = r->sweep.done | sweep_unsure(r),
                    .version = sv->current,
                    .back = true,
                    .then = undone};
    memcpy(r->refusal, r->reason, sizeof r->refusal);
    sweep_start(self, r, &undo);
}

void rollout_start(actor_t *self, reloader_t *r, uint64_t todo, bool back, then_t after) {
    sweep_t s = {.kind = SWEEP_SWAP,
                 .service = r->service,
                 .todo = todo,
                 .version = r->next,
                 .back = back,
                 .then = rolled};
    r->after_rollout = after;
    sweep_start(self, r, &s);
}
