/* chat_deliver: pushes to one socket: the streams decide (chat_stream.h), the ready frames go by
 * reference; what must not go yet waits in a short list (PROTOCOL.md 9.3, 9.4, slow readers 7.7).
 * Inside the connection's actor, called by the hub of its worker. */
#include "actors/chat_in.h"

/* --- streams of a socket --- */

static uint32_t place(const chat_t *ch, int64_t conversation) {
    uint32_t low = 0, high = ch->stream_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (ch->streams[mid].conversation < conversation)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

chat_stream_t *stream_find(chat_t *ch, int64_t conversation) {
    if (!ch)
        return NULL;
    uint32_t at = place(ch, conversation);
    bool found = at < ch->stream_count && ch->streams[at].conversation == conversation;
    return found ? &ch->streams[at] : NULL;
}

/* As many as the user has conversations: who calls it knows that this is one. */
chat_stream_t *stream_make(chat_t *ch, int64_t conversation) {
    uint32_t at = place(ch, conversation);
    if (at < ch->stream_count && ch->streams[at].conversation == conversation)
        return &ch->streams[at];
    if (ch->stream_count == ch->stream_cap)
        ch->streams = pool_grow(ch->streams, &ch->stream_cap, sizeof *ch->streams, 2);
    chat_stream_t *s = &ch->streams[at];
    memmove(s + 1, s, (ch->stream_count - at) * sizeof *s);
    ch->stream_count++;
    *s = (chat_stream_t){.conversation = conversation};
    return s;
}

void stream_resync(conn_t *c, int64_t conversation, int64_t from) {
    buf_t *b = chat_open(c, "resync", CHAT_NONE);
    buf_addf(b, ",\"data\":{\"conversation_id\":%lld,\"from_seq\":%lld}}", (long long)conversation,
             (long long)from);
    stat_add(STAT_OUT_RESYNC, 1);
    stat_add(STAT_RESYNCS, 1);
    conn_text(c, buf_slice(b));
}

/* The socket was slow and has room: its resync, then pushes go on. */
static void catch_up(conn_t *c, chat_stream_t *s) {
    s->behind = false;
    c->chat->behind--;
    stream_resync(c, s->conversation, s->from);
    resend_arm(c);
}

void deliver_room(conn_t *c) {
    chat_t *ch = c->chat;
    for (uint32_t i = 0; ch->behind && i < ch->stream_count && !chat_slow(c); i++)
        if (ch->streams[i].behind)
            catch_up(c, &ch->streams[i]);
}

/* --- one message --- */

/* Frames of one block that stand side by side leave as one piece. */
typedef struct run {
    block_t *block;
    uint32_t at, len, count;
    uint64_t start_ns;
    bool revoked;
} run_t;

static void run_send(conn_t *c, run_t *r) {
    if (!r->count)
        return;
    net_ws_frames(c->net, r->block, r->at, r->len);
    if (r->revoked) {
        stat_add(STAT_OUT_MESSAGE_REVOKED, r->count);
    } else {
        stat_add(STAT_OUT_NEW_MESSAGE, r->count);
        uint64_t now = actor_now_ns(c->self);
        stat_observe(HIST_PUSH, now > r->start_ns ? (now - r->start_ns) / 1000 : 0);
    }
    r->count = 0;
}

static void run_add(conn_t *c, run_t *r, block_t *block, uint32_t at, uint32_t len) {
    if (r->count && (r->block != block || r->at + r->len != at))
        run_send(c, r);
    if (!r->count) {
        r->block = block;
        r->at = at;
        r->len = 0;
    }
    r->len += len;
    r->count++;
}

/* Is the socket slow, counting what is about to be queued? */
static bool slow_with(const conn_t *c, const run_t *r) {
    uint32_t waiting = r->count ? r->len : 0;
    return net_queued(c->net) + waiting > chat_node(c)->queue_soft;
}

static void offer(conn_t *c, chat_stream_t *s, int64_t seq, bool own, bool slow, run_t *r,
                  block_t *block, uint32_t at, uint32_t len) {
    int64_t from, acked = s->acked;
    if (s->behind && !slow)
        catch_up(c, s);
    bool was = s->behind;
    int did = chat_stream_offer(s, seq, own, slow, &from);
    c->chat->behind += !was && s->behind;
    if (did & CHAT_STREAM_RESYNC) {
        run_send(c, r);
        stream_resync(c, s->conversation, from);
    }
    if (did & CHAT_STREAM_PUSH) {
        run_add(c, r, block, at, len);
        s->last_ns = actor_now_ns(c->self);
    }
    if (s->acked > acked)
        ack_note(c, s->conversation, s->acked);
    else if (s->own_news)
        ack_arm(c);
}

/* --- what waits --- */

static bool must_wait(const conn_t *c, const chat_stream_t *s) {
    return (s && s->held_acks) || replay_holds(c->chat, s);
}

static void late_add(conn_t *c, const fanout_t *f, uint32_t i, bool own, block_t *frames) {
    chat_t *ch = c->chat;
    const fanout_item_t *item = &f->items[i];
    chat_stream_t *s = stream_make(ch, f->conversation);
    if (s->lost_from || ch->late_count == LATE_MAX ||
        ch->late_bytes + item->len > chat_node(c)->queue_soft) {
        s->lost_from = s->lost_from ? s->lost_from : item->seq;
        if (f->kind == FANOUT_REVOKED)
            s->lost_recall = true;
        else if (item->seq > s->lost_to)
            s->lost_to = item->seq;
        return;
    }
    chat_late_t *l = pool_alloc(sizeof *l);
    *l = (chat_late_t){.conversation = f->conversation,
                       .seq = item->seq,
                       .block = block_ref(frames),
                       .start_ns = f->start_ns,
                       .at = item->at,
                       .len = item->len,
                       .own = own,
                       .revoked = f->kind == FANOUT_REVOKED};
    if (ch->late_first)
        ch->late_last->next = l;
    else
        ch->late_first = l;
    ch->late_last = l;
    ch->late_count++;
    ch->late_bytes += l->len;
}

static void late_drop(chat_t *ch, chat_late_t *l) {
    ch->late_count--;
    ch->late_bytes -= l->len;
    block_unref(l->block);
    pool_free(l, sizeof *l);
}

static void revoke(conn_t *c, int64_t conversation, int64_t seq, block_t *block, uint32_t at,
                   uint32_t len);

static void late_send(conn_t *c, const chat_late_t *l) {
    if (l->revoked) {
        revoke(c, l->conversation, l->seq, l->block, l->at, l->len);
        return;
    }
    run_t r = {.start_ns = l->start_ns};
    chat_stream_t *s = stream_make(c->chat, l->conversation);
    offer(c, s, l->seq, l->own, chat_slow(c), &r, l->block, l->at, l->len);
    run_send(c, &r);
}

/* Takes those of one conversation out of the list, in order. */
static chat_late_t *late_take(chat_t *ch, int64_t conversation) {
    chat_late_t *taken = NULL, **end = &taken, **at = &ch->late_first;
    ch->late_last = NULL;
    while (*at) {
        chat_late_t *l = *at;
        if (l->conversation != conversation) {
            ch->late_last = l;
            at = &l->next;
            continue;
        }
        *at = l->next;
        l->next = NULL;
        *end = l;
        end = &l->next;
    }
    return taken;
}

/* Those that found no place are left to sync. */
static void tell_lost(conn_t *c, chat_stream_t *s) {
    int64_t from = s->lost_from, to = s->lost_to;
    bool recall = s->lost_recall;
    s->lost_from = s->lost_to = 0;
    s->lost_recall = false;
    if (!from || (to <= s->seen && !recall))
        return;
    if (s->seen == 0)
        chat_stream_start(s, from - 1);
    from = s->seen + 1;
    chat_stream_leave(s, to);
    if (!s->behind && !s->stopped)
        stream_resync(c, s->conversation, from);
}

void late_flush(conn_t *c, int64_t conversation) {
    chat_t *ch = c->chat;
    chat_stream_t *s = stream_find(ch, conversation);
    if (must_wait(c, s))
        return;
    chat_late_t *l = late_take(ch, conversation);
    while (l) {
        chat_late_t *next = l->next;
        late_send(c, l);
        late_drop(ch, l);
        l = next;
    }
    if ((s = stream_find(ch, conversation)) != NULL)
        tell_lost(c, s);
    resend_arm(c);
}

void late_free(chat_t *ch) {
    while (ch->late_first) {
        chat_late_t *l = ch->late_first;
        ch->late_first = l->next;
        late_drop(ch, l);
    }
}

/* --- fan-out --- */

static bool acted_here(const conn_t *c, int64_t user, slice_t device) {
    return user == c->user && device.len && slice_eq(device, slice_of(c->device));
}

static bool is_sender(const chat_fanout_t *x, int64_t user) {
    if (x->sender)
        return x->sender == user;
    for (uint32_t i = 0; i < x->f->count; i++)
        if (x->f->items[i].sender == user)
            return true;
    return false;
}

/* The usual case: messages of others, one behind the other, all to be pushed as one piece. */
static bool deliver_run(conn_t *c, chat_fanout_t *x, chat_stream_t *s) {
    const fanout_item_t *first = &x->f->items[0], *last = &x->f->items[x->f->count - 1];
    if (!x->run_len || s->own_news || must_wait(c, s) || is_sender(x, c->user) ||
        net_queued(c->net) + x->run_len > x->queue_soft ||
        !chat_stream_offer_run(s, first->seq, last->seq))
        return false;
    net_ws_frames(c->net, x->frames, first->at, x->run_len);
    s->last_ns = x->now_ns;
    x->runs++;
    return true;
}

static void deliver_each(conn_t *c, const fanout_t *f, block_t *frames, chat_stream_t *s) {
    actor_ref_t self = actor_self(c->self);
    chat_t *ch = c->chat;
    run_t r = {.start_ns = f->start_ns};
    for (uint32_t i = 0; i < f->count; i++) {
        const fanout_item_t *item = &f->items[i];
        bool own = acted_here(c, item->sender, fanout_device(f, i));
        if (actor_ref_eq(item->conn, self)) {
            run_send(c, &r);
            send_seen(c, f->conversation, item);
            s = stream_find(ch, f->conversation);
        }
        if (must_wait(c, s)) {
            run_send(c, &r);
            late_add(c, f, i, own, frames);
            continue;
        }
        offer(c, s, item->seq, own, slow_with(c, &r), &r, frames, item->at, item->len);
    }
    run_send(c, &r);
}

static void deliver_messages(conn_t *c, chat_fanout_t *x) {
    chat_stream_t *s = stream_make(chat_of(c), x->f->conversation);
    if (!deliver_run(c, x, s))
        deliver_each(c, x->f, x->frames, s);
    resend_arm(c);
}

static void revoke(conn_t *c, int64_t conversation, int64_t seq, block_t *block, uint32_t at,
                   uint32_t len) {
    bool slow = chat_slow(c);
    chat_stream_t *s = stream_find(c->chat, conversation);
    if (s && s->behind && !slow)
        catch_up(c, s);
    if (s && s->behind)
        return; /* the resync to come tells of it */
    if (slow) {
        s = stream_make(chat_of(c), conversation);
        s->behind = true;
        s->from = s->seen ? s->seen + 1 : seq;
        c->chat->behind++;
        return;
    }
    run_t r = {.revoked = true};
    run_add(c, &r, block, at, len);
    run_send(c, &r);
}

static void deliver_revoked(conn_t *c, const fanout_t *f, block_t *frames) {
    chat_stream_t *s = stream_find(c->chat, f->conversation);
    if (s)
        s->resending = false; /* what is read for it may still hold what is recalled now */
    for (uint32_t i = 0; i < f->count; i++) {
        const fanout_item_t *item = &f->items[i];
        if (acted_here(c, f->actor, fanout_device(f, i)))
            continue;
        if (c->chat && must_wait(c, stream_find(c->chat, f->conversation)))
            late_add(c, f, i, false, frames);
        else
            revoke(c, f->conversation, item->seq, frames, item->at, item->len);
    }
}

void chat_deliver(conn_t *c, chat_fanout_t *x) {
    if (c->closing || !c->welcomed)
        return;
    if (x->f->kind == FANOUT_REVOKED)
        deliver_revoked(c, x->f, x->frames);
    else
        deliver_messages(c, x);
}

/* Bytes of all frames if their seqs and their places in the block follow each other, else 0. */
static uint32_t run_length(const fanout_t *f) {
    uint32_t len = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->items[i].seq != f->items[0].seq + i || f->items[i].at != f->items[0].at + len)
            return 0;
        len += f->items[i].len;
    }
    return len;
}

static int64_t one_sender(const fanout_t *f) {
    for (uint32_t i = 1; i < f->count; i++)
        if (f->items[i].sender != f->items[0].sender)
            return 0;
    return f->items[0].sender;
}

void chat_fanout_begin(chat_fanout_t *x, actor_t *hub, const fanout_t *f, block_t *frames) {
    *x = (chat_fanout_t){.f = f,
                         .frames = frames,
                         .now_ns = actor_now_ns(hub),
                         .queue_soft = chat_here(hub)->node->queue_soft};
    if (f->kind == FANOUT_MESSAGES && f->count) {
        x->run_len = run_length(f);
        x->sender = one_sender(f);
    }
}

void chat_fanout_end(const chat_fanout_t *x) {
    const fanout_t *f = x->f;
    if (!x->runs)
        return;
    stat_add(STAT_OUT_NEW_MESSAGE, (int64_t)x->runs * f->count);
    stat_observe_many(HIST_PUSH, x->now_ns > f->start_ns ? (x->now_ns - f->start_ns) / 1000 : 0,
                      x->runs);
}

/* --- messages read from the store --- */

static void push_recall(conn_t *c, const message_row_t *m, slice_t *row) {
    buf_t *b = chat_open(c, "message_revoked", CHAT_NONE);
    int64_t change = value_next_int(row), operator_id = value_next_int(row);
    if (change == 0)
        return; /* recalled in another way than the protocol knows */
    buf_add_text(b, ",\"data\":");
    message_revoked_json(b, m, change, operator_id, value_next_int(row));
    buf_add_char(b, '}');
    stat_add(STAT_OUT_MESSAGE_REVOKED, 1);
    conn_text(c, buf_slice(b));
}

void push_row(conn_t *c, const char *type, const message_row_t *m, slice_t *row, int attempt) {
    buf_t *b = chat_open(c, type, CHAT_NONE);
    buf_add_text(b, ",\"data\":");
    message_push_json(b, m);
    if (attempt) {
        b->len--; /* into the object */
        json_add_int(b, "attempt", attempt);
        buf_add_char(b, '}');
    }
    buf_add_char(b, '}');
    stat_add(attempt ? STAT_OUT_MESSAGE_RESEND : STAT_OUT_NEW_MESSAGE, 1);
    conn_text(c, buf_slice(b));
    if (m->recalled)
        push_recall(c, m, row);
}
