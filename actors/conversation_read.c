/* conversation_read: read positions. A read is written at once; a send moves its sender's position
 * in memory only, and every so many sends the positions are folded into the members' rows
 * (ARCHITECTURE.md, Read positions). The pushes of both are merged for a fifth of a second. */
#include "actors/conversation_in.h"
#include "actors/hub.h"
#include "base/json.h"
#include <stdio.h>

enum { WRITE_TIMEOUT_MS = 5000, FLUSH_MS = 200 };

/* --- pushes --- */

static read_push_t *push_of(conv_t *c, int64_t user) {
    for (uint32_t i = 0; i < c->push_count; i++)
        if (c->pushes[i].user == user)
            return &c->pushes[i];
    if (c->push_count == CONV_PUSHES)
        conv_flush(c);
    if (c->push_count == c->push_cap)
        c->pushes = pool_grow(c->pushes, &c->push_cap, sizeof *c->pushes, 1);
    if (!c->flush_timer)
        c->flush_timer = actor_after(c->self, FLUSH_MS, VERB_CONV_FLUSH, 0);
    read_push_t *p = &c->pushes[c->push_count++];
    *p = (read_push_t){.user = user};
    return p;
}

static void note_sync(conv_t *c, int64_t user, slice_t device) {
    read_push_t *p = push_of(c, user);
    p->sync = true;
    p->device_len = device.len <= sizeof p->device ? (uint8_t)device.len : 0;
    if (p->device_len)
        memcpy(p->device, device.at, p->device_len);
}

static void push_read(conv_t *c, const read_push_t *p) {
    char text[200];
    uint32_t count = 0, size = c->members->count * (uint32_t)sizeof(int64_t);
    int64_t *others = pool_alloc(size);
    for (uint32_t i = 0; i < c->members->count; i++)
        if (c->members->users[i] != p->user)
            others[count++] = c->members->users[i];
    int n =
        snprintf(text, sizeof text,
                 "{\"conversation_id\":%lld,\"user_id\":%lld,\"read_seq\":%lld,\"read_at\":%lld,"
                 "\"read_at_ms\":%lld}",
                 (long long)c->id, (long long)p->user, (long long)p->read_seq,
                 (long long)(p->read_ms / 1000), (long long)p->read_ms);
    block_t *frame = hub_frame("message_read", (slice_t){text, (size_t)n});
    hub_push_hint(c->self, others, count, frame, 0, (slice_t){"", 0});
    pool_free(others, size);
}

static void push_sync(conv_t *c, const read_push_t *p, int64_t position) {
    char text[120];
    int n =
        snprintf(text, sizeof text, "{\"conversation_id\":%lld,\"read_seq\":%lld,\"unread\":%lld}",
                 (long long)c->id, (long long)position, (long long)(c->latest - position));
    block_t *frame = hub_frame("read_sync", (slice_t){text, (size_t)n});
    hub_push_hint(c->self, &p->user, 1, frame, p->user, (slice_t){p->device, p->device_len});
}

/* Who is no member any more has nothing to tell and nothing to learn. */
void conv_flush(conv_t *c) {
    for (uint32_t i = 0; i < c->push_count; i++) {
        const read_push_t *p = &c->pushes[i];
        int64_t at = conv_member(c, p->user);
        if (at < 0)
            continue;
        if (p->read_seq)
            push_read(c, p);
        if (p->sync && hub_online(p->user))
            push_sync(c, p, c->facts[at].read_seq);
    }
    c->push_count = 0;
}

/* --- a read --- */

static void answer(conv_t *c, msg_t *m, int64_t position) {
    conversation_position_t p = {position, c->latest - position};
    actor_reply(c->self, m, ERR_OK, msg_of(0, &p, sizeof p));
}

void conv_read(conv_t *c, msg_t *m) {
    conversation_read_t *r = (conversation_read_t *)m->data;
    int64_t at = conv_member(c, r->user);
    buf_t params = {0};
    if (at < 0) {
        conv_error(c, m, ERR_NOT_MEMBER, NULL);
        return;
    }
    if (r->read_seq > c->latest)
        r->read_seq = c->latest;
    if (r->read_seq <= c->facts[at].read_seq) {
        answer(c, m, c->facts[at].read_seq);
        return;
    }
    if (c->looks >= CONV_LOOKS) {
        conv_error(c, m, ERR_BUSY, NULL);
        return;
    }
    actor_keep(c->self, m);
    c->looks++;
    value_add_int(&params, r->read_seq);
    value_add_int(&params, c->id);
    value_add_int(&params, r->user);
    store_run(conv_node.store, c->self, conv_node.op_read, &params, WRITE_TIMEOUT_MS,
              VERB_CONV_READ, (uintptr_t)m);
}

static bool tells_others(const conv_t *c) {
    return c->type == 1 || c->members->count <= conv_node.read_push;
}

/* Two reads that were written at the same time: only what moves the position is pushed. */
static void moved(conv_t *c, int64_t at, const conversation_read_t *r) {
    if (r->read_seq <= c->facts[at].read_seq)
        return;
    c->facts[at].read_seq = r->read_seq;
    note_sync(c, r->user, (slice_t){r->device, r->device_len});
    if (!tells_others(c))
        return;
    read_push_t *p = push_of(c, r->user);
    p->read_seq = r->read_seq;
    p->read_ms = actor_wall_ms(c->self);
}

void conv_read_done(conv_t *c, const msg_t *written) {
    msg_t *m = (msg_t *)(uintptr_t)written->cookie;
    const conversation_read_t *r = (const conversation_read_t *)m->data;
    int64_t at = conv_member(c, r->user);
    store_rows_t rows = {0};
    c->looks--;
    if (written->err != ERR_OK) {
        conv_error(c, m, conv_wire_error(written->err), NULL);
        return;
    }
    store_rows_open(&rows, written);
    if (at < 0 || rows.changed == 0) {
        conv_error(c, m, ERR_NOT_MEMBER, NULL);
        return;
    }
    moved(c, at, r);
    answer(c, m, c->facts[at].read_seq);
}

/* --- a send is a read --- */

void conv_own_send(conv_t *c, int64_t user, int64_t seq, slice_t device) {
    int64_t at = conv_member(c, user);
    if (at < 0 || c->facts[at].read_seq >= seq)
        return;
    bool had_unread = c->facts[at].read_seq < seq - 1;
    c->facts[at].read_seq = seq;
    if (had_unread)
        note_sync(c, user, device);
}

void conv_fold(conv_t *c) {
    store_batch_t b = {0};
    buf_t params = {0};
    if (c->folding || c->recover || c->catching)
        return;
    c->folding = true;
    c->fold_next = c->latest + CONV_FOLD;
    value_add_int(&params, c->id);
    value_add_int(&params, c->folded);
    value_add_int(&params, c->latest);
    store_batch_add(conv_node.store, &b, conv_node.op_fold_members, &params);
    value_add_int(&params, c->latest);
    value_add_int(&params, c->id);
    store_batch_add(conv_node.store, &b, conv_node.op_fold, &params);
    store_batch_run(conv_node.store, c->self, &b, WRITE_TIMEOUT_MS, VERB_CONV_FOLDED,
                    (uint64_t)c->latest);
}

/* A failed one is tried again 256 messages later, or left to the next life: the messages
 * themselves tell the positions. */
void conv_folded(conv_t *c, const msg_t *m) {
    c->folding = false;
    c->fold_failed = m->err != ERR_OK;
    if (m->err == ERR_OK)
        c->folded = (int64_t)m->cookie;
}
