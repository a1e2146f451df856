/* call: requests and their answers. The requester's table has a place per open call, found by call
 * id; ids whose place is taken are skipped. One timer of the actor serves all deadlines; it is set
 * to the earliest it knew and looks again when it fires; when nothing is open by then the table
 * goes. Runs where the actor runs. */
#include "base/err.h"
#include "base/pool.h"
#include "sched/look.h"
#include "sched/sched.h"

#define TIMEOUT_MS 5000

typedef struct call {
    uint32_t id, verb; /* id 0: free */
    uint64_t cookie, deadline_ns;
} call_t;

typedef struct calls {
    uint32_t cap, used; /* cap is a power of two */
    uint32_t last_id;
    uint64_t timer, timer_ns;
    call_t at[];
} calls_t;

/* Without a table the word keeps the last id: an answer that comes late must not meet a younger
 * call of the same id. */
static calls_t *table_of(const actor_t *a) {
    return a->calls & 1 ? NULL : (calls_t *)a->calls;
}

static size_t calls_size(uint32_t cap) {
    return sizeof(calls_t) + cap * sizeof(call_t);
}

static void calls_grow(actor_t *a) {
    calls_t *old = table_of(a);
    uint32_t cap = old ? old->cap * 2 : 4;
    calls_t *c = pool_zalloc(calls_size(cap));
    c->cap = cap;
    c->last_id = (uint32_t)(a->calls >> 1);
    a->calls = (uintptr_t)c;
    if (!old)
        return;
    c->used = old->used;
    c->last_id = old->last_id;
    c->timer = old->timer;
    c->timer_ns = old->timer_ns;
    for (uint32_t i = 0; i < old->cap; i++)
        if (old->at[i].id)
            c->at[old->at[i].id & (cap - 1)] = old->at[i];
    pool_free(old, calls_size(old->cap));
}

void call_free(actor_t *a) {
    calls_t *c = table_of(a);
    if (!c)
        return;
    a->calls = (uintptr_t)c->last_id << 1 | 1;
    SHOW(a->call_count, 0);
    pool_free(c, calls_size(c->cap));
}

uint32_t call_open(const actor_t *a) {
    const calls_t *c = table_of(a);
    return c ? c->used : 0;
}

static call_t *call_add(actor_t *a) {
    calls_t *c = table_of(a);
    if (!c || c->used * 2 >= c->cap)
        calls_grow(a);
    c = table_of(a);
    do
        c->last_id++;
    while (c->last_id == 0 || c->at[c->last_id & (c->cap - 1)].id);
    call_t *call = &c->at[c->last_id & (c->cap - 1)];
    call->id = c->last_id;
    c->used++;
    SHOW(a->call_count, (uint16_t)c->used);
    return call;
}

static call_t *call_find(actor_t *a, uint32_t id) {
    calls_t *c = table_of(a);
    call_t *call = c && id ? &c->at[id & (c->cap - 1)] : NULL;
    return call && call->id == id ? call : NULL;
}

static void call_close(actor_t *a, call_t *call) {
    call->id = 0;
    SHOW(a->call_count, (uint16_t)--table_of(a)->used);
}

static void watch_deadline(actor_t *a, uint64_t deadline_ns) {
    calls_t *c = table_of(a);
    if (c->timer && c->timer_ns <= deadline_ns)
        return;
    timer_cancel(a, c->timer);
    uint64_t now = actor_now_ns(a);
    uint64_t ms = deadline_ns > now ? (deadline_ns - now + 999999) / 1000000 : 0;
    c->timer = timer_start(a, ms, MSG_CALLS, 0);
    c->timer_ns = deadline_ns;
}

static void post_reply(runtime_t *rt, actor_ref_t by, actor_ref_t to, uint32_t call_id, int err,
                       msg_t *m) {
    m->flags = MSG_REPLY;
    m->call_id = call_id;
    m->err = err;
    m->from = by;
    post(rt, to, m);
}

/* Notes the call and stamps m. The caller sends it and hands a refusal to call_refused. */
static uint32_t call_begin(actor_t *self, msg_t *m, uint32_t timeout_ms, uint32_t verb,
                           uint64_t cookie) {
    call_t *call = call_add(self);
    uint32_t id = call->id;
    call->verb = verb;
    call->cookie = cookie;
    call->deadline_ns =
        actor_now_ns(self) + (uint64_t)(timeout_ms ? timeout_ms : TIMEOUT_MS) * 1000000;
    m->flags = MSG_REQUEST;
    m->call_id = id;
    m->from = ref_of(self);
    m->deadline_ns = call->deadline_ns;
    watch_deadline(self, call->deadline_ns);
    return id;
}

static void call_refused(actor_t *self, actor_ref_t to, uint32_t id, int err) {
    if (err)
        post_reply(rt_of(self), to, ref_of(self), id, err, msg_new(0, 0));
}

uint32_t actor_request(actor_t *self, actor_ref_t to, msg_t *m, uint32_t timeout_ms,
                       uint32_t reply_verb, uint64_t cookie) {
    uint32_t id = call_begin(self, m, timeout_ms, reply_verb, cookie);
    call_refused(self, to, id, post(rt_of(self), to, m));
    return id;
}

uint32_t actor_order(actor_t *self, actor_ref_t to, msg_t *m, uint32_t timeout_ms,
                     uint32_t reply_verb, uint64_t cookie) {
    uint32_t id = call_begin(self, m, timeout_ms, reply_verb, cookie);
    m->flags |= MSG_SYSTEM;
    call_refused(self, to, id, post(rt_of(self), to, m));
    return id;
}

uint32_t actor_request_key(actor_t *self, uint8_t kind, uint64_t key, msg_t *m, uint32_t timeout_ms,
                           uint32_t reply_verb, uint64_t cookie) {
    uint32_t id = call_begin(self, m, timeout_ms, reply_verb, cookie);
    call_refused(self, ACTOR_NONE, id, directory_send(rt_of(self), kind, key, m));
    return id;
}

void actor_refuse(actor_t *self, int err, uint32_t reply_verb, uint64_t cookie) {
    msg_t never_sent = {0};
    call_refused(self, ACTOR_NONE, call_begin(self, &never_sent, 0, reply_verb, cookie), err);
}

void actor_forget(actor_t *self, uint32_t call_id) {
    call_t *call = call_find(self, call_id);
    if (call)
        call_close(self, call);
}

/* false: nobody waits for it any more. */
bool call_arrived(actor_t *a, msg_t *reply) {
    call_t *call = call_find(a, reply->call_id);
    if (!call)
        return false;
    reply->verb = call->verb;
    reply->cookie = call->cookie;
    call_close(a, call);
    return true;
}

/* The deadline timer: calls past theirs are answered by us, the timer goes to the earliest of the
 * rest. */
void call_expire(actor_t *a) {
    calls_t *c = table_of(a);
    if (!c)
        return;
    uint64_t now = rt_now(rt_of(a)), next = UINT64_MAX;
    c->timer = 0;
    for (uint32_t i = 0; i < c->cap; i++) {
        call_t *call = &c->at[i];
        if (!call->id)
            continue;
        if (call->deadline_ns <= now)
            post_reply(rt_of(a), ACTOR_NONE, ref_of(a), call->id, ERR_TIMEOUT, msg_new(0, 0));
        else if (call->deadline_ns < next)
            next = call->deadline_ns;
    }
    if (next != UINT64_MAX)
        watch_deadline(a, next);
    else if (c->used == 0)
        call_free(a);
}

void actor_rest(actor_t *self) {
    const calls_t *c = table_of(self);
    if (!c || c->used)
        return;
    timer_cancel(self, c->timer);
    call_free(self);
}

/* For look_actor. */
uint32_t call_list(const actor_t *a, look_call_t *out, uint32_t room, uint64_t now_ns) {
    const calls_t *c = table_of(a);
    uint32_t n = 0;
    for (uint32_t i = 0; c && i < c->cap && n < room; i++)
        if (c->at[i].id)
            out[n++] = (look_call_t){c->at[i].id, c->at[i].verb,
                                     ((int64_t)c->at[i].deadline_ns - (int64_t)now_ns) / 1000000};
    return n;
}

/* --- the receiver --- */
void answer(runtime_t *rt, actor_ref_t by, msg_t *request, int err, msg_t *reply) {
    msg_t *m = reply ? reply : msg_new(0, 0);
    m->trace = request->trace; /* also when the answer comes much later, from another thread */
    post_reply(rt, by, request->from, request->call_id, err, m);
    request->call_id = 0;
}

void open_remove(actor_t *a, msg_t *m) {
    if (m->prev)
        m->prev->next = m->next;
    else
        a->open = m->next;
    if (m->next)
        m->next->prev = m->prev;
    m->flags &= (uint16_t)~MSG_KEPT;
    SHOW(a->open_count, (uint16_t)(a->open_count - 1));
}

void actor_keep(actor_t *self, msg_t *m) {
    if (m->flags & MSG_KEPT)
        return;
    m->flags |= MSG_KEPT;
    m->prev = NULL;
    m->next = self->open;
    if (m->next)
        m->next->prev = m;
    self->open = m;
    SHOW(self->open_count, (uint16_t)(self->open_count + 1));
}

void actor_reply(actor_t *self, msg_t *m, int err, msg_t *reply) {
    if ((m->flags & MSG_REQUEST) && m->call_id)
        answer(rt_of(self), ref_of(self), m, err, reply);
    else
        msg_free(reply);
    if (m->flags & MSG_KEPT) {
        open_remove(self, m);
        if (!(m->flags & MSG_HANDLING))
            msg_free(m);
    }
}

/* The request stays on its actor's open list: that actor takes it off in its own turn. */
void runtime_reply(runtime_t *rt, msg_t *request, int err, msg_t *reply) {
    actor_ref_t keeper = request->to;
    if ((request->flags & MSG_REQUEST) && request->call_id)
        answer(rt, keeper, request, err, reply);
    else
        msg_free(reply);
    msg_t *m = msg_new(MSG_RELEASE, 0);
    m->flags = MSG_SYSTEM;
    m->cookie = (uintptr_t)request;
    post(rt, keeper, m);
}
