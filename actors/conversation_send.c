/* conversation_send: the way of a message through its conversation. The policy decides on the facts
 * held here. What it refuses may still be a repeat of something stored, so the store is asked
 * first. What it allows waits for the next batch; one batch is at the store at a time and takes the
 * next seqs. Repeats among them are the store's to find. */
#include "actors/conversation_in.h"
#include "base/log.h"
#include "sched/trace.h"

enum { APPEND_TIMEOUT_MS = 10000, LOOK_TIMEOUT_MS = 5000 };

static const conversation_send_t *send_of(const msg_t *m) {
    return (const conversation_send_t *)m->data;
}

static slice_t cid_of(const conversation_send_t *s) {
    return (slice_t){s->bytes, s->cid_len};
}

static slice_t device_of(const conversation_send_t *s) {
    return (slice_t){s->bytes + s->cid_len, s->device_len};
}

static slice_t content_of(const conversation_send_t *s) {
    return (slice_t){s->bytes + s->cid_len + s->device_len, s->content_len};
}

/* --- may it be sent? --- */

static bool is_blocked(const conv_t *c, int64_t user) {
    return c->type == 1 && (user == c->low ? c->low_blocked : c->high_blocked);
}

static int code_of(int err, int64_t out) {
    if (err != ERR_OK)
        return err;
    return out > 0 ? ERR_FORBIDDEN : (int)out;
}

/* The rules on what is said, when one is on (lua/moderation.lua). Only then is it kept who spoke
 * when. */
static int moderate(conv_t *c, const conversation_send_t *s, const member_fact_t *f, int64_t now) {
    if (!script_policy_on(conv_node.may_say, c->self))
        return ERR_OK;
    bool fresh;
    if (!c->spoken)
        c->spoken = map_new(sizeof(int64_t));
    int64_t *last = map_put(c->spoken, (uint64_t)s->user, &fresh), out;
    const int64_t args[] = {c->id, c->type,        f->rank, s->user, fresh ? -1 : now - *last,
                            now,   s->content_type};
    slice_t content = content_of(s);
    int err = script_policy_judge(conv_node.may_say, c->self, args, sizeof args / sizeof args[0],
                                  &content, &out);
    err = code_of(err, out);
    if (err == ERR_OK)
        *last = now;
    else if (fresh)
        map_del(c->spoken, (uint64_t)s->user);
    return err;
}

/* ERR_OK or the code of the refusal. */
static int judge(conv_t *c, const conversation_send_t *s, bool *by_all) {
    int64_t user = s->user, at = conv_member(c, user), now = actor_wall_ms(c->self), out;
    if (s->no_file)
        return ERR_NOT_FOUND;
    if (at < 0)
        return ERR_NOT_MEMBER;
    if (s->unruled)
        return ERR_OK;
    const member_fact_t *f = &c->facts[at];
    const int64_t args[] = {c->type,     c->dissolved,        f->rank, f->muted_until_ms,
                            c->mute_all, is_blocked(c, user), now};
    int err =
        script_policy_run(conv_node.may_send, c->self, args, sizeof args / sizeof args[0], &out);
    *by_all = f->muted_until_ms <= now;
    err = code_of(err, out);
    return err == ERR_OK ? moderate(c, s, f, now) : err;
}

static const char *refusal_text(const msg_t *m) {
    if (send_of(m)->no_file)
        return "file not found";
    switch (m->err) {
    case ERR_NOT_MEMBER:
        return "sender not in conversation";
    case ERR_MUTED:
        return m->spare ? "conversation is muted" : "you are muted";
    case ERR_BLOCKED:
        return "message refused by recipient";
    default:
        return NULL;
    }
}

static bool same_send(const conversation_send_t *a, const conversation_send_t *b) {
    return a->user == b->user && slice_eq(cid_of(a), cid_of(b));
}

/* Refused: m->err. The same may be on its way to the store from a time when it was allowed: then
 * that one's end is waited for. */
static void refuse(conv_t *c, msg_t *m) {
    const conversation_send_t *s = send_of(m);
    for (uint32_t i = 0; i < c->sends.count; i++)
        if (same_send(send_of(ring_at(&c->sends, i)), s)) {
            ring_push(&c->refused, m);
            return;
        }
    buf_t params = {0};
    value_add_int(&params, c->id);
    value_add_int(&params, s->user);
    value_add_text(&params, cid_of(s));
    c->looks++;
    store_run(conv_node.store, c->self, conv_node.op_repeat, &params, LOOK_TIMEOUT_MS,
              VERB_CONV_REPEAT, (uintptr_t)m);
}

/* What they waited for is decided, or still under way. */
void conv_refuse_again(conv_t *c) {
    for (uint32_t n = c->refused.count; n > 0; n--)
        refuse(c, ring_pop(&c->refused));
}

void conv_repeat(conv_t *c, const msg_t *answer) {
    msg_t *m = (msg_t *)(uintptr_t)answer->cookie;
    store_rows_t r;
    slice_t row;
    c->looks--;
    if (answer->err != ERR_OK) {
        conv_error(c, m, conv_wire_error(answer->err), NULL);
        return;
    }
    if (!store_rows_open(&r, answer) || !store_rows_next(&r, &row)) {
        conv_error(c, m, m->err, refusal_text(m));
        return;
    }
    conversation_sent_t sent = {.repeat = true};
    sent.id = value_next_int(&row);
    sent.seq = value_next_int(&row);
    sent.at_ms = value_next_int(&row);
    actor_reply(c->self, m, ERR_OK, msg_of(0, &sent, sizeof sent));
}

void conv_send(conv_t *c, msg_t *m) {
    bool by_all = false;
    int err = judge(c, send_of(m), &by_all);
    uint32_t limit = err == ERR_OK ? conv_node.waiting : CONV_LOOKS;
    uint32_t waiting = err == ERR_OK ? c->sends.count : c->looks + c->refused.count;
    if (waiting >= limit || c->send_bytes > CONV_WAIT_BYTES) {
        conv_error(c, m, ERR_BUSY, NULL);
        return;
    }
    actor_keep(c->self, m);
    if (err == ERR_OK) {
        c->send_bytes += m->size;
        ring_push(&c->sends, m);
        return;
    }
    m->err = err;
    m->spare = by_all;
    refuse(c, m);
}

/* --- a batch --- */

static msg_t *pop_send(conv_t *c) {
    msg_t *m = ring_pop(&c->sends);
    c->send_bytes -= m->size;
    if (c->flight)
        c->flight--;
    return m;
}

/* Its sender has given up: it need not be stored any more. */
static void drop_expired(conv_t *c) {
    uint64_t now = actor_now_ns(c->self);
    while (c->sends.count) {
        const msg_t *m = ring_at(&c->sends, 0);
        if (!m->deadline_ns || m->deadline_ns > now)
            return;
        conv_error(c, pop_send(c), ERR_TIMEOUT, NULL);
    }
}

static void choose_batch(conv_t *c) {
    uint64_t bytes = 0;
    drop_expired(c);
    while (c->flight < c->sends.count && c->flight < conv_node.batch && bytes < CONV_BATCH_BYTES)
        bytes += ring_at(&c->sends, c->flight++)->size;
}

void conv_start_batch(conv_t *c) {
    if (c->at_store || c->recover || c->fanned != c->latest || c->sends.count == 0)
        return;
    if (c->flight == 0 && c->out_count >= CONV_OUT)
        return; /* the hubs are behind */
    if (c->flight == 0)
        choose_batch(c);
    if (c->flight == 0)
        return;
    int64_t now = actor_wall_ms(c->self);
    if (now > c->at_ms)
        c->at_ms = now;
    store_append_t *a = store_append_new(c->id, c->latest + 1, 0);
    for (uint32_t i = 0; i < c->flight; i++) {
        const conversation_send_t *s = send_of(ring_at(&c->sends, i));
        trace_follow(c->self, ring_at(&c->sends, i));
        store_append_add(a, &(store_append_item_t){.sender = s->user,
                                                   .reply_to = s->reply_to,
                                                   .at_ms = c->at_ms,
                                                   .content_type = s->content_type,
                                                   .client_msg_id = cid_of(s),
                                                   .content = content_of(s)});
    }
    c->at_store = true;
    store_append_run(conv_node.store, c->self, a, APPEND_TIMEOUT_MS, VERB_CONV_APPENDED, 0);
}

/* --- its answer --- */

static bool is_new(const store_appended_t *a) {
    return a->id != 0 && !a->repeat;
}

/* The seqs of what is new, and their count and the bytes of their devices. */
static bool in_order(const conv_t *c, const store_appended_t *a, uint32_t *fresh,
                     uint32_t *device_bytes) {
    int64_t seq = c->fanned;
    for (uint32_t i = 0; i < c->flight; i++) {
        if (!is_new(&a[i]))
            continue;
        if (a[i].seq != ++seq)
            return false;
        ++*fresh;
        *device_bytes += send_of(ring_at(&c->sends, i))->device_len;
    }
    return true;
}

static void fan_one(conv_t *c, fan_t *f, fanout_t *head, const msg_t *m,
                    const store_appended_t *a) {
    const conversation_send_t *s = send_of(m);
    message_row_t row = {.id = a->id,
                         .conversation = c->id,
                         .seq = a->seq,
                         .sender = s->user,
                         .at_ms = a->at_ms,
                         .reply_to = s->reply_to,
                         .content_type = s->content_type,
                         .client_msg_id = cid_of(s),
                         .content = content_of(s)};
    fanout_item_t *item = fan_item(f, &row, device_of(s));
    item->conn = s->conn;
    item->token = s->token;
    if (!head->start_ns || s->start_ns < head->start_ns)
        head->start_ns = s->start_ns;
    fan_messages_frame(f, item, &row);
    c->latest = c->fanned = a->seq;
    conv_own_send(c, s->user, a->seq, device_of(s));
}

static void answer_sends(conv_t *c, const store_appended_t *a) {
    for (uint32_t i = 0, n = c->flight; i < n; i++) {
        msg_t *m = pop_send(c);
        if (a[i].id == 0) { /* reply_to names no message of this conversation (PROTOCOL.md 9.1) */
            conv_error(c, m, ERR_BAD_REQUEST, NULL);
            continue;
        }
        conversation_sent_t sent = {a[i].id, a[i].seq, a[i].at_ms, a[i].repeat};
        actor_reply(c->self, m, ERR_OK, msg_of(0, &sent, sizeof sent));
    }
}

/* The acks leave before the fan-out: on one socket they come first. */
static void stored(conv_t *c, const store_appended_t *a, uint32_t fresh, uint32_t device_bytes) {
    fan_t f;
    fanout_t *head = fresh ? fan_begin(&f, c, FANOUT_MESSAGES, fresh, device_bytes) : NULL;
    for (uint32_t i = 0; head && i < c->flight; i++)
        if (is_new(&a[i]))
            fan_one(c, &f, head, ring_at(&c->sends, i), &a[i]);
    answer_sends(c, a);
    if (head)
        fan_send(&f, c);
}

static void fail_flight(conv_t *c, int err) {
    while (c->flight)
        conv_error(c, pop_send(c), err, NULL);
}

/* Facts could not be read after an unknown outcome: what waits is not stored by this try, but a
 * batch that was tried before is open. */
void conv_fail_sends(conv_t *c, int err) {
    c->again = false;
    fail_flight(c, ERR_INTERNAL);
    while (c->sends.count)
        conv_error(c, pop_send(c), err, NULL);
}

/* Stale: somebody else has used our seqs (a batch of ours that was given up, most likely): nothing
 * is stored, so read again and try once more. Busy: not stored either. All else: nobody knows. */
static void failed(conv_t *c, int err) {
    bool retry = err == ERR_STALE && !c->again, sure = conv_wire_error(err) == ERR_BUSY;
    if (!sure) /* a full store counts for itself */
        log_warn("conversation", "%lld: append of %u: %s%s", (long long)c->id, c->flight,
                 err_name(err), retry ? ", once more" : "");
    c->again = retry;
    if (!retry)
        fail_flight(c, conv_wire_error(err));
    if (!sure)
        conv_recover(c);
}

void conv_appended(conv_t *c, const msg_t *m) {
    size_t n = 0;
    uint32_t fresh = 0, device_bytes = 0;
    const store_appended_t *a = m->err == ERR_OK ? store_appended(m, &n) : NULL;
    c->at_store = false;
    if (a && n == c->flight && in_order(c, a, &fresh, &device_bytes)) {
        c->again = false;
        stored(c, a, fresh, device_bytes);
    } else {
        failed(c, a ? ERR_INTERNAL : m->err);
    }
}
