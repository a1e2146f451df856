/* conversation_facts: the facts a conversation holds, read from the store when it begins, when
 * rules have changed them, and when the outcome of a batch is unknown. In the last case the read
 * goes through the writer, behind that batch, so that what it sees is final; then the messages that
 * turned out to be stored are fanned out before anything else is stored. */
#include "actors/conversation_in.h"

enum { LOAD_TIMEOUT_MS = 10000, RETRY_MS = 500, PAGE = 50 };

static void add_op(conv_t *c, store_batch_t *b, int op) {
    buf_t params = {0};
    value_add_int(&params, c->id);
    store_batch_add(conv_node.store, b, op, &params);
}

void conv_load(conv_t *c) {
    store_batch_t b = {0};
    c->loading = true;
    c->barrier = c->recover;
    c->covered = c->askers.count;
    if (c->barrier)
        add_op(c, &b, conv_node.op_touch);
    add_op(c, &b, conv_node.op_load);
    add_op(c, &b, conv_node.op_members);
    store_batch_run(conv_node.store, c->self, &b, LOAD_TIMEOUT_MS, VERB_CONV_LOADED, 0);
}

void conv_recover(conv_t *c) {
    c->recover = true;
    if (!c->loading)
        conv_load(c); /* else the load under way is followed by another one */
}

/* --- taking the facts over --- */

/* Positions only rise: what a send has moved here is not in the store's row, and a read that began
 * before that send does not know it. */
static void keep_positions(const conv_t *c, const members_t *now, member_fact_t *facts) {
    uint32_t old = 0;
    for (uint32_t i = 0; c->members && i < now->count; i++) {
        while (old < c->members->count && c->members->users[old] < now->users[i])
            old++;
        if (old == c->members->count)
            return;
        if (c->members->users[old] == now->users[i] && c->facts[old].read_seq > facts[i].read_seq)
            facts[i].read_seq = c->facts[old].read_seq;
    }
}

/* While a batch is at the store its rows may be seen before its answer comes: a sender's position
 * would then be above the newest seq that anybody was told of. The answer moves it. */
static void cap_positions(const conv_t *c, const members_t *now, member_fact_t *facts) {
    for (uint32_t i = 0; i < now->count; i++)
        if (facts[i].read_seq > c->latest)
            facts[i].read_seq = c->latest;
}

static bool same_users(const members_t *a, const members_t *b) {
    return a && a->count == b->count &&
           memcmp(a->users, b->users, a->count * sizeof a->users[0]) == 0;
}

static void take_members(conv_t *c, store_rows_t *r) {
    uint32_t count = r->rows_left;
    members_t *m = pool_alloc(sizeof *m + count * sizeof m->users[0]);
    member_fact_t *facts = count ? pool_alloc(count * sizeof *facts) : NULL;
    slice_t row;
    atomic_init(&m->refs, 1);
    m->count = count;
    for (uint32_t i = 0; i < count && store_rows_next(r, &row); i++) {
        m->users[i] = value_next_int(&row);
        facts[i].rank = (int8_t)value_next_int(&row);
        facts[i].muted_until_ms = value_next_int(&row);
        facts[i].read_seq = value_next_int(&row);
    }
    keep_positions(c, m, facts);
    cap_positions(c, m, facts);
    if (c->members)
        pool_free(c->facts, c->members->count * sizeof *c->facts);
    c->facts = facts;
    if (same_users(c->members, m)) {
        members_unref(m);
        return;
    }
    members_unref(c->members);
    c->members = m;
}

static void take_conversation(conv_t *c, slice_t row) {
    c->type = (uint8_t)value_next_int(&row);
    c->dissolved = value_next_int(&row) != 0;
    c->mute_all = value_next_int(&row) != 0;
    int64_t folded = value_next_int(&row);
    c->low = value_next_int(&row);
    c->low_blocked = value_next_int(&row) != 0;
    c->high_blocked = value_next_int(&row) != 0;
    int64_t latest = value_next_int(&row), at_ms = value_next_int(&row);
    if (folded > c->folded)
        c->folded = folded;
    if (at_ms > c->at_ms)
        c->at_ms = at_ms;
    if (c->at_store) /* its answer tells */
        return;
    if (latest > c->latest)
        c->latest = latest;
    if (!c->begun) { /* what is older than we are is found by replay and sync */
        c->fanned = c->latest;
        c->change = value_next_int(&row);
    }
    c->begun = true;
}

/* false: there is no such conversation. */
static bool take_facts(conv_t *c, const msg_t *m) {
    store_rows_t r;
    slice_t row;
    bool whole = store_rows_open(&r, m) && (!c->barrier || store_rows_next_op(&r));
    if (!whole || !store_rows_next(&r, &row))
        return false;
    take_conversation(c, row);
    if (!store_rows_next_op(&r))
        return false;
    take_members(c, &r);
    return true;
}

/* --- what waited for them --- */

static void answer_askers(conv_t *c, int err) {
    for (; c->covered; c->covered--)
        conv_error(c, ring_pop(&c->askers), err, NULL);
}

static void release_held(conv_t *c) {
    while (c->held.count)
        conv_dispatch(c, ring_pop(&c->held));
}

/* Without facts nothing is decided: who waits is told, and the next one who comes makes us read
 * again. */
static void load_failed(conv_t *c, int err) {
    c->known = false;
    answer_askers(c, err);
    while (c->held.count)
        conv_error(c, ring_pop(&c->held), err, NULL);
    if (c->recover) {
        conv_fail_sends(c, err);
        if (!c->reload_timer)
            c->reload_timer = actor_after(c->self, RETRY_MS, VERB_CONV_RELOAD, 0);
    }
    if (c->askers.count)
        conv_load(c);
}

static void catch_up(conv_t *c) {
    buf_t params = {0};
    c->catching = c->fanned < c->latest;
    if (!c->catching)
        return;
    value_add_int(&params, c->id);
    value_add_int(&params, c->fanned);
    value_add_int(&params, PAGE);
    store_run(conv_node.store, c->self, conv_node.op_above, &params, LOAD_TIMEOUT_MS,
              VERB_CONV_ABOVE, 0);
}

void conv_loaded(conv_t *c, const msg_t *m) {
    c->loading = false;
    if (m->err != ERR_OK) {
        load_failed(c, conv_wire_error(m->err));
        return;
    }
    bool settled = c->barrier;
    c->missing = !take_facts(c, m);
    c->known = true;
    answer_askers(c, ERR_OK);
    if (c->recover && settled)
        c->recover = false;
    if (c->askers.count || c->recover) {
        conv_load(c);
        return;
    }
    if (!c->at_store && !c->catching)
        catch_up(c);
    release_held(c);
}

/* --- stored messages that nobody was told of --- */

static void read_row(message_row_t *out, int64_t conversation, slice_t row) {
    *out = (message_row_t){.conversation = conversation};
    out->id = value_next_int(&row);
    out->seq = value_next_int(&row);
    out->sender = value_next_int(&row);
    out->client_msg_id = value_next_text(&row);
    out->at_ms = value_next_int(&row);
    out->content_type = (uint32_t)value_next_int(&row);
    out->recalled = value_next_int(&row) != 0;
    out->reply_to = value_next_int(&row);
    out->content = value_next_text(&row);
}

static void fan_rows(conv_t *c, store_rows_t *r) {
    fan_t f;
    slice_t row;
    fanout_t *head = fan_begin(&f, c, FANOUT_MESSAGES, r->rows_left, 0);
    head->start_ns = actor_now_ns(c->self);
    while (store_rows_next(r, &row)) {
        message_row_t m;
        read_row(&m, c->id, row);
        fan_messages_frame(&f, fan_item(&f, &m, (slice_t){"", 0}), &m);
        c->fanned = m.seq;
        if (m.seq > c->latest)
            c->latest = m.seq;
    }
    fan_send(&f, c);
}

void conv_above(conv_t *c, const msg_t *m) {
    store_rows_t r;
    c->catching = false;
    if (m->err != ERR_OK || !store_rows_open(&r, m) || r.rows_left == 0) {
        c->recover = true;
        if (!c->reload_timer)
            c->reload_timer = actor_after(c->self, RETRY_MS, VERB_CONV_RELOAD, 0);
        return;
    }
    fan_rows(c, &r);
    catch_up(c);
}
