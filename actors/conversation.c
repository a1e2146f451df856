/* conversation: see conversation.h. This file is the class: requests come in and wait until the
 * facts are known; after the messages of a slice `pump` starts whatever has become possible. */
#include "actors/conversation_in.h"
#include <stdio.h>

conv_node_t conv_node;

/* --- rings --- */

void ring_push(ring_t *r, msg_t *m) {
    if (r->count == r->cap) {
        uint32_t cap = r->cap ? r->cap * 2 : 4;
        msg_t **at = pool_alloc(cap * sizeof *at);
        for (uint32_t i = 0; i < r->count; i++)
            at[i] = ring_at(r, i);
        pool_free(r->at, r->cap * sizeof *at);
        *r = (ring_t){at, 0, r->count, cap};
    }
    r->at[(r->head + r->count++) & (r->cap - 1)] = m;
}

msg_t *ring_pop(ring_t *r) {
    msg_t *m = ring_at(r, 0);
    r->head = (r->head + 1) & (r->cap - 1);
    r->count--;
    return m;
}

void ring_free(ring_t *r) {
    pool_free(r->at, r->cap * sizeof *r->at);
    *r = (ring_t){0};
}

/* --- answers --- */

void conv_error(conv_t *c, msg_t *m, int err, const char *text) {
    actor_reply(c->self, m, err, text ? msg_of(0, text, strlen(text) + 1) : NULL);
}

int conv_wire_error(int err) {
    switch (err) {
    case ERR_TIMEOUT:
        return ERR_TIMEOUT;
    case ERR_BUSY:
    case ERR_FULL:
    case ERR_AGAIN:
        return ERR_BUSY;
    default:
        return ERR_INTERNAL;
    }
}

int64_t conv_member(const conv_t *c, int64_t user) {
    uint32_t count = c->members ? c->members->count : 0, low = 0, high = count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c->members->users[mid] < user)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && c->members->users[low] == user ? (int64_t)low : -1;
}

/* --- requests --- */

/* As to those who are no members: a file that is not there is told first. */
static void not_there(conv_t *c, msg_t *m) {
    if (m->verb == VERB_SEND && msg_data(m, conversation_send_t)->no_file)
        conv_error(c, m, ERR_NOT_FOUND, "file not found");
    else
        conv_error(c, m, ERR_NOT_MEMBER,
                   m->verb == VERB_SEND ? "sender not in conversation" : NULL);
}

void conv_dispatch(conv_t *c, msg_t *m) {
    if (c->missing)
        not_there(c, m);
    else if (m->verb == VERB_SEND)
        conv_send(c, m);
    else if (m->verb == VERB_READ)
        conv_read(c, m);
    else
        conv_recall(c, m);
}

static void hold(conv_t *c, msg_t *m) {
    if (c->held.count == CONV_HELD) {
        conv_error(c, m, ERR_BUSY, NULL);
        return;
    }
    actor_keep(c->self, m);
    ring_push(&c->held, m);
    if (!c->loading)
        conv_load(c);
}

static void request(conv_t *c, msg_t *m) {
    c->used_ns = actor_now_ns(c->self);
    if (c->stopping)
        conv_error(c, m, ERR_BUSY, NULL);
    else if (c->loading || !c->known)
        hold(c, m);
    else
        conv_dispatch(c, m);
}

static void changed(conv_t *c, msg_t *m) {
    if (c->askers.count == CONV_HELD) {
        conv_error(c, m, ERR_BUSY, NULL);
        return;
    }
    c->used_ns = actor_now_ns(c->self);
    actor_keep(c->self, m);
    ring_push(&c->askers, m);
    if (!c->loading)
        conv_load(c);
}

/* The longest that a rule may still be at its change: script.timeout, and the store's answer. */
static void changing(conv_t *c) {
    if (!c->doubt_timer)
        c->doubt_timer = actor_after(c->self, CONVERSATION_DOUBT_MS, VERB_CONV_DOUBT, 0);
}

static void doubt(conv_t *c) {
    c->doubt_timer = 0;
    if (!c->loading)
        conv_load(c);
}

static bool at_rest(const conv_t *c) {
    return !c->loading && !c->recover && !c->catching && !c->flight && !c->folding &&
           !(c->sends.count | c->held.count | c->askers.count | c->refused.count |
             c->recalls.count | c->looks | c->out_count | c->push_count);
}

static void pump(conv_t *c) {
    if (c->refused.count && !c->at_store)
        conv_refuse_again(c);
    conv_start_batch(c);
    conv_start_recall(c);
    if (c->latest - c->folded >= CONV_FOLD && c->latest >= c->fold_next)
        conv_fold(c);
    if (c->stopping) {
        conv_flush(c);
        if (at_rest(c))
            actor_exit(c->self, ERR_OK);
    }
}

static void from_store(conv_t *c, msg_t *m) {
    switch (m->verb) {
    case VERB_CONV_LOADED:
        conv_loaded(c, m);
        break;
    case VERB_CONV_ABOVE:
        conv_above(c, m);
        break;
    case VERB_CONV_APPENDED:
        conv_appended(c, m);
        break;
    case VERB_CONV_REPEAT:
        conv_repeat(c, m);
        break;
    case VERB_CONV_READ:
        conv_read_done(c, m);
        break;
    case VERB_CONV_FOLDED:
        conv_folded(c, m);
        break;
    case VERB_CONV_RECALLED:
        conv_recalled(c, m);
        break;
    case VERB_CONV_LOOKED:
        conv_looked(c, m);
        break;
    default:
        break;
    }
}

static void handle(actor_t *self, void *state, msg_t *m) {
    conv_t *c = state;
    (void)self;
    switch (m->verb) {
    case VERB_SEND:
    case VERB_READ:
    case VERB_RECALL:
        request(c, m);
        break;
    case VERB_CHANGED:
        changed(c, m);
        break;
    case VERB_CHANGING:
        changing(c);
        break;
    case VERB_CONV_DOUBT:
        doubt(c);
        break;
    case VERB_CONV_FLUSH:
        c->flush_timer = 0;
        conv_flush(c);
        break;
    case VERB_CONV_RESEND:
        c->resend_timer = 0;
        conv_resend(c);
        break;
    case VERB_CONV_RELOAD:
        c->reload_timer = 0;
        if (c->recover)
            conv_recover(c);
        break;
    case MSG_STOP:
        c->stopping = true;
        break;
    default:
        from_store(c, m);
    }
}

/* Messages that came together go to the store as one batch. */
static void slice_end(actor_t *self, void *state) {
    (void)self;
    pump(state);
}

/* --- life --- */

static int init(actor_t *self, void *state, const void *arg) {
    conv_t *c = state;
    (void)arg;
    c->self = self;
    c->id = (int64_t)actor_key(self);
    c->out_last = &c->out_first;
    c->used_ns = actor_now_ns(self);
    return ERR_OK;
}

/* Asked every few seconds of quiet. One that does not exist goes at once; others after a minute,
 * once what sends did to read positions is written down. */
static bool passivate(actor_t *self, void *state) {
    conv_t *c = state;
    if (!at_rest(c))
        return false;
    if (c->missing || !c->known)
        return true;
    if (actor_now_ns(self) - c->used_ns < (c->spoken ? CONV_SPOKEN_NS : CONV_IDLE_NS))
        return false;
    if (c->latest == c->folded || c->fold_failed)
        return true;
    conv_fold(c);
    return false;
}

static void ended(actor_t *self, void *state, int reason) {
    conv_t *c = state;
    (void)self, (void)reason;
    if (c->members)
        pool_free(c->facts, c->members->count * sizeof *c->facts);
    members_unref(c->members);
    map_free(c->spoken);
    ring_free(&c->held);
    ring_free(&c->askers);
    ring_free(&c->sends);
    ring_free(&c->refused);
    ring_free(&c->recalls);
    conv_out_free(c);
    pool_free(c->pushes, c->push_cap * sizeof *c->pushes);
}

static const actor_class_t conversation_class = {
    .name = "conversation",
    .place = ACTOR_FREE,
    .restart = ACTOR_NEVER,
    .state_size = sizeof(conv_t),
    .idle_ms = 5000,
    .init = init,
    .handle = handle,
    .slice_end = slice_end,
    .passivate = passivate,
    .ended = ended,
};

/* --- setup --- */

/* The order of the parameters is the statement's; it is checked, because the values are given by
 * place. */
static int find_op(store_t *s, const char *name, const char *params, int *out, char *fault,
                   size_t room) {
    buf_t have = {0};
    size_t count = 0;
    *out = store_op(s, name);
    const char *const *names = *out < 0 ? NULL : store_op_params(s, *out, &count);
    for (size_t i = 0; i < count; i++) {
        buf_add_text(&have, i ? " " : "");
        buf_add_text(&have, names[i]);
    }
    bool ok = *out >= 0 && slice_eq(buf_slice(&have), slice_of(params));
    if (!ok)
        snprintf(fault, room, "store operation %s(%s) is not there", name, params);
    buf_free(&have);
    return ok ? ERR_OK : ERR_BAD_REQUEST;
}

static int find_ops(store_t *s, char *fault, size_t room) {
    conv_node_t *n = &conv_node;
    const struct {
        const char *name, *params;
        int *out;
    } all[] = {
        {"conversation_load", ":conversation", &n->op_load},
        {"conversation_members", ":conversation", &n->op_members},
        {"conversation_touch", ":conversation", &n->op_touch},
        {"conversation_repeat", ":conversation :sender :client_msg_id", &n->op_repeat},
        {"conversation_above", ":conversation :seq :limit", &n->op_above},
        {"conversation_read", ":seq :conversation :user", &n->op_read},
        {"conversation_fold_members", ":conversation :after :upto", &n->op_fold_members},
        {"conversation_fold", ":upto :conversation", &n->op_fold},
        {"conversation_recalled", ":message :conversation", &n->op_recalled},
        {"conversation_recall", ":message :conversation", &n->op_recall},
        {"conversation_change", ":conversation", &n->op_change},
        {"conversation_change_add", ":message :seq :operator :now :conversation",
         &n->op_change_add},
    };
    int err = ERR_OK;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && err == ERR_OK; i++)
        err = find_op(s, all[i].name, all[i].params, all[i].out, fault, room);
    return err;
}

static int find_policy(script_t *script, const char *name, script_policy_t **out, char *fault,
                       size_t room) {
    *out = script_policy(script, name);
    if (!*out)
        snprintf(fault, room, "the scripts have no policy %s", name);
    return *out ? ERR_OK : ERR_BAD_REQUEST;
}

int conversation_setup(runtime_t *rt, const conf_t *conf, store_t *store, script_t *script,
                       char *fault, size_t room) {
    conv_node_t *n = &conv_node;
    n->store = store;
    n->batch = (uint32_t)conf_int(conf, "store.batch");
    n->waiting = n->batch * 2 < 1024 ? 1024 : n->batch * 2;
    n->read_push = (uint32_t)conf_int(conf, "group.read_push");
    int err = find_ops(store, fault, room);
    if (err == ERR_OK)
        err = find_policy(script, "group.may_send", &n->may_send, fault, room);
    if (err == ERR_OK)
        err = find_policy(script, "moderation.may_say", &n->may_say, fault, room);
    if (err == ERR_OK)
        err = find_policy(script, "recall.recall_allowed", &n->recall_allowed, fault, room);
    if (err == ERR_OK)
        err = find_policy(script, "recall.window_ms", &n->window_ms, fault, room);
    if (err == ERR_OK)
        runtime_kind(rt, KIND_CONVERSATION, &conversation_class);
    return err;
}
