/* chat_resend: pushes that were not acked go again (PROTOCOL.md 9.4, Retransmit): one timer per
 * socket, the messages come from the store. Inside the connection's actor. */
#include "actors/chat_in.h"

#define MS      1000000ull
#define AT_ONCE 50  /* messages of a conversation per round */
#define SPAN    100 /* seqs read for them: far from what the store gives in one answer */
#define READ    60  /* so many read: no more conversations in this go */

static uint64_t due_of(const conn_t *c, const chat_stream_t *s) {
    return s->last_ns + chat_node(c)->resend_ms * MS;
}

static bool waits_for_resend(const chat_stream_t *s) {
    return !s->replaying && !s->resending && !s->behind && chat_stream_resends(s);
}

/* Arms the timer for the earliest that is due. While messages are being read there is none. */
static void arm(conn_t *c) {
    chat_t *ch = c->chat;
    uint64_t now = actor_now_ns(c->self), first = UINT64_MAX;
    actor_cancel(c->self, ch->resend_timer);
    ch->resend_timer = 0;
    if (ch->resend_asked)
        return;
    for (uint32_t i = 0; i < ch->stream_count; i++)
        if (waits_for_resend(&ch->streams[i]) && due_of(c, &ch->streams[i]) < first)
            first = due_of(c, &ch->streams[i]);
    if (first == UINT64_MAX)
        return;
    uint64_t wait = first > now ? (first - now) / MS + 1 : 1;
    ch->resend_timer = actor_after(c->self, wait, VERB_CHAT_RESEND_DUE, 0);
}

/* A push went out. A timer that runs is early enough: pushes only get later. */
void resend_arm(conn_t *c) {
    chat_t *ch = c->chat;
    if (!ch->resend_timer && ch->stream_count && !c->closing)
        ch->resend_timer = actor_after(c->self, chat_node(c)->resend_ms, VERB_CHAT_RESEND_DUE, 0);
}

/* A slow socket gets a resync instead, once it has room. */
static void leave_to_resync(conn_t *c, chat_stream_t *s, int64_t from) {
    if (!s->behind) {
        s->behind = true;
        s->from = from;
        c->chat->behind++;
    }
}

static void ask(conn_t *c, buf_t *list, int64_t count) {
    chat_node_t *n = chat_node(c);
    buf_t params = {0};
    buf_add_char(list, ']');
    if (count == 0)
        return;
    value_add_text(&params, buf_slice(list));
    value_add_int(&params, c->user);
    chat_wait(c);
    c->chat->resend_asked = true;
    store_run(n->store, c->self, n->op_recalls, &params, 0, VERB_CHAT_RESEND, 0);
}

void resend_due(conn_t *c) {
    chat_t *ch = c->chat;
    buf_t *list = &chat_here(c->self)->list;
    uint64_t now = actor_now_ns(c->self);
    int64_t count = 0;
    bool slow = chat_slow(c);
    ch->resend_timer = 0;
    if (ch->resend_asked) /* its answer sets the timer */
        return;
    list->len = 0;
    buf_add_char(list, '[');
    for (uint32_t i = 0; i < ch->stream_count && count < READ; i++) {
        chat_stream_t *s = &ch->streams[i];
        int64_t from, to;
        if (!waits_for_resend(s) || due_of(c, s) > now)
            continue;
        chat_stream_resend_range(s, AT_ONCE, SPAN, &from, &to);
        if (slow) {
            leave_to_resync(c, s, from);
            s->last_ns = now;
            chat_stream_resent(s);
            continue;
        }
        s->resending = true;
        chat_list_add(list, s->conversation, from, to);
        count += to - from + 1;
    }
    ask(c, list, count);
    arm(c);
}

static void resend_one(conn_t *c, slice_t row) {
    message_row_t m;
    chat_row(&row, &m);
    chat_stream_t *s = stream_find(c->chat, m.conversation);
    if (!s || !s->resending || !chat_stream_may_resend(s, m.seq) || s->behind)
        return;
    if (chat_slow(c)) {
        leave_to_resync(c, s, m.seq);
        return;
    }
    stat_add(STAT_RESENDS, 1);
    push_row(c, "message_resend", &m, &row, s->attempt + 1);
}

void resend_rows(conn_t *c, const msg_t *m) {
    chat_t *ch = c->chat;
    store_rows_t rows;
    slice_t row;
    chat_answered(c);
    ch->resend_asked = false;
    if (m->err == ERR_OK && !c->closing && store_rows_open(&rows, m))
        while (store_rows_next(&rows, &row))
            resend_one(c, row);
    for (uint32_t i = 0; i < ch->stream_count; i++) {
        chat_stream_t *s = &ch->streams[i];
        if (!s->resending)
            continue;
        s->resending = false;
        s->last_ns = actor_now_ns(c->self);
        if (m->err == ERR_OK)
            chat_stream_resent(s);
    }
    arm(c);
}
