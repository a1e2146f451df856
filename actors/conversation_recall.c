/* conversation_recall: recalls of a conversation, one after the other. What the rules allow is
 * written at once (one batch: content gone, change counted and noted); if that meets a message
 * recalled before, or the rules refuse, the store is asked whether it is a repeat. The fan-out goes
 * the way of the messages', so it never comes before the new_message. */
#include "actors/conversation_in.h"
#include <stdio.h>

enum { RECALL_TIMEOUT_MS = 5000 };
/* spare of a recall: its own write may have been done; its message was looked for among those not
 * fanned out */
enum { UNSURE = 1, SEARCHED = 2 };

static const conversation_recall_t *recall_of(const msg_t *m) {
    return (const conversation_recall_t *)m->data;
}

/* --- answers --- */

/* "2 minutes": the largest unit that tells it exactly. */
static void span_text(char room[48], int64_t ms) {
    static const struct {
        const char *name;
        int64_t seconds;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    int64_t seconds = (ms + 999) / 1000;
    for (int i = 0; i < 4; i++)
        if (seconds % units[i].seconds == 0 && (seconds || i == 3)) {
            int64_t n = seconds / units[i].seconds;
            snprintf(room, 48, "%lld %s%s", (long long)n, units[i].name, n == 1 ? "" : "s");
            return;
        }
}

static void finish(conv_t *c, int err, msg_t *reply) {
    c->recall = RECALL_NONE;
    actor_reply(c->self, ring_pop(&c->recalls), err, reply);
}

/* What goes with a refusal: its text, or NULL: the code's own. */
static msg_t *text_of(conv_t *c, int err) {
    char span[48], text[96] = "not the message sender";
    int64_t window_ms = 0;
    if (err == ERR_RECALL_EXPIRED &&
        script_policy_run(conv_node.window_ms, c->self, NULL, 0, &window_ms) == ERR_OK) {
        span_text(span, window_ms);
        snprintf(text, sizeof text, "cannot revoke message after %s", span);
    } else if (err != ERR_FORBIDDEN) {
        return NULL;
    }
    return msg_of(0, text, strlen(text) + 1);
}

static void refuse(conv_t *c, int err) {
    finish(c, err, text_of(c, err));
}

static void answer(conv_t *c, int64_t change) {
    conversation_recalled_t r = {change};
    finish(c, ERR_OK, msg_of(0, &r, sizeof r));
}

/* A change is told once: who looks whether it was done may find what was told long ago. */
static void tell(conv_t *c, const conversation_recall_t *r, int64_t change, int64_t at_ms) {
    fan_t f;
    if (change <= c->change)
        return;
    c->change = change;
    message_row_t row = {.id = r->message_id,
                         .conversation = c->id,
                         .seq = r->seq,
                         .sender = r->sender,
                         .at_ms = r->at_ms,
                         .recalled = true};
    fanout_t *head = fan_begin(&f, c, FANOUT_REVOKED, 1, r->device_len);
    head->actor = r->user;
    head->change = change;
    head->start_ns = actor_now_ns(c->self);
    fanout_item_t *item = fan_item(&f, &row, (slice_t){r->device, r->device_len});
    fan_revoked_frame(&f, item, &row, at_ms);
    fan_send(&f, c);
}

/* --- is it recalled already? --- */

static void look(conv_t *c, msg_t *m) {
    store_batch_t b = {0};
    buf_t params = {0};
    if (m->spare == UNSURE) { /* behind our own write */
        value_add_int(&params, c->id);
        store_batch_add(conv_node.store, &b, conv_node.op_touch, &params);
    }
    value_add_int(&params, recall_of(m)->message_id);
    value_add_int(&params, c->id);
    store_batch_add(conv_node.store, &b, conv_node.op_recalled, &params);
    c->recall = RECALL_LOOK;
    store_batch_run(conv_node.store, c->self, &b, RECALL_TIMEOUT_MS, VERB_CONV_LOOKED, 0);
}

void conv_looked(conv_t *c, const msg_t *answered) {
    msg_t *m = ring_at(&c->recalls, 0);
    bool unsure = m->spare == UNSURE;
    store_rows_t r;
    slice_t row;
    if (answered->err != ERR_OK) {
        finish(c, conv_wire_error(answered->err), NULL);
        return;
    }
    bool whole = store_rows_open(&r, answered) && (!unsure || store_rows_next_op(&r));
    if (!whole || !store_rows_next(&r, &row)) {
        refuse(c, m->err);
        return;
    }
    int64_t change = value_next_int(&row), at_ms = value_next_int(&row);
    if (unsure)
        tell(c, recall_of(m), change, at_ms);
    answer(c, change);
}

/* --- the write --- */

static void write_recall(conv_t *c, const conversation_recall_t *r) {
    store_batch_t b = {0};
    buf_t params = {0};
    c->recall = RECALL_WRITE;
    c->recall_ms = actor_wall_ms(c->self);
    value_add_int(&params, r->message_id);
    value_add_int(&params, c->id);
    store_batch_add(conv_node.store, &b, conv_node.op_recall, &params);
    value_add_int(&params, c->id);
    store_batch_add(conv_node.store, &b, conv_node.op_change, &params);
    value_add_int(&params, r->message_id);
    value_add_int(&params, r->seq);
    value_add_int(&params, r->user);
    value_add_int(&params, c->recall_ms);
    value_add_int(&params, c->id);
    store_batch_add(conv_node.store, &b, conv_node.op_change_add, &params);
    store_batch_run(conv_node.store, c->self, &b, RECALL_TIMEOUT_MS, VERB_CONV_RECALLED, 0);
}

static int64_t change_of(const msg_t *written) {
    store_rows_t r;
    slice_t row;
    bool there =
        store_rows_open(&r, written) && store_rows_next_op(&r) && store_rows_next(&r, &row);
    return there ? value_next_int(&row) : 0;
}

/* Stale: recalled by somebody before, or there is no such message. Unknown: it may be done. */
void conv_recalled(conv_t *c, const msg_t *written) {
    msg_t *m = ring_at(&c->recalls, 0);
    int err = written->err;
    if (err == ERR_OK) {
        int64_t change = change_of(written);
        tell(c, recall_of(m), change, c->recall_ms);
        answer(c, change);
        return;
    }
    m->err = err == ERR_STALE ? ERR_INTERNAL : conv_wire_error(err);
    if (m->err == ERR_BUSY) {
        finish(c, ERR_BUSY, NULL);
        return;
    }
    m->spare = err == ERR_STALE ? 0 : UNSURE;
    look(c, m);
}

/* --- one after the other --- */

/* ERR_OK, or the code of the refusal; one that a repeat does not meet: *final. */
static int judge(conv_t *c, const conversation_recall_t *r, bool *final) {
    int64_t at = conv_member(c, r->user), own = r->user == r->sender, out;
    *final = true;
    if (at < 0)
        return ERR_NOT_MEMBER;
    const int64_t args[] = {c->type, c->facts[at].rank, own, r->at_ms, actor_wall_ms(c->self)};
    int err = script_policy_run(conv_node.recall_allowed, c->self, args,
                                sizeof args / sizeof args[0], &out);
    if (err != ERR_OK)
        return err;
    if (out == ERR_FORBIDDEN || out > 0)
        return ERR_FORBIDDEN;
    *final = false;
    return c->dissolved ? ERR_DISSOLVED : (int)out;
}

void conv_recall(conv_t *c, msg_t *m) {
    if (c->recalls.count == CONV_RECALLS) {
        conv_error(c, m, ERR_BUSY, NULL);
        return;
    }
    actor_keep(c->self, m);
    ring_push(&c->recalls, m);
}

/* Its new_message is not on its way. A seq that nobody knows of is looked for once. true: done with
 * it. */
static bool search(conv_t *c, msg_t *m) {
    static const char text[] = "message not found";
    if (c->at_store || c->flight)
        return false;
    if (m->spare == SEARCHED) {
        finish(c, ERR_NOT_FOUND, msg_of(0, text, sizeof text));
        return true;
    }
    m->spare = SEARCHED;
    conv_recover(c);
    return false;
}

static void begin(conv_t *c, msg_t *m) {
    bool final;
    int err = judge(c, recall_of(m), &final);
    m->err = err;
    m->spare = 0;
    if (err == ERR_OK)
        write_recall(c, recall_of(m));
    else if (final)
        refuse(c, err);
    else
        look(c, m);
}

void conv_start_recall(conv_t *c) {
    while (c->recalls.count && c->recall == RECALL_NONE) {
        if (!c->known || c->loading || c->recover || c->catching || c->out_count >= CONV_OUT)
            return;
        msg_t *m = ring_at(&c->recalls, 0);
        if (recall_of(m)->seq <= c->fanned)
            begin(c, m);
        else if (!search(c, m))
            return;
    }
}
