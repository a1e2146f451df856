/* chat_replay: after the welcome a device gets what it has not acked (PROTOCOL.md 9.6). First the
 * store says where each conversation starts; until then all pushes wait, then those of
 * conversations whose messages are still to come. It reads a few hundred messages at a time and
 * never more than the socket takes. Inside the connection's actor. */
#include "actors/chat_in.h"
#include "base/log.h"

#define AT_ONCE   100 /* messages read at once */
#define AGAIN_MS  1000
#define MEMORY_MS (30 * 86400000ll)

typedef struct range {
    int64_t conversation, next, to;
} range_t;

typedef struct chat_replay {
    range_t *ranges;
    uint32_t count, cap, at; /* ranges[at] is the first that is not over */
    uint64_t timer;
    bool points; /* where to start is not known yet */
    bool asked;  /* the store has been asked */
} replay_t;

bool replay_holds(const chat_t *ch, const chat_stream_t *s) {
    return ch->replay && (ch->replay->points || (s && s->replaying));
}

void replay_free(chat_t *ch) {
    replay_t *r = ch->replay;
    if (!r)
        return;
    pool_free(r->ranges, r->cap * sizeof *r->ranges);
    pool_free(r, sizeof *r);
    ch->replay = NULL;
}

/* --- where it starts --- */

static void ask_points(conn_t *c) {
    chat_node_t *n = chat_node(c);
    replay_t *r = c->chat->replay;
    buf_t params = {0};
    value_add_int(&params, actor_wall_ms(c->self) - MEMORY_MS);
    value_add_text(&params, slice_of(c->device));
    value_add_int(&params, c->user);
    r->asked = true;
    store_run(n->store, c->self, n->op_points, &params, 0, VERB_CHAT_POINTS, 0);
}

void replay_start(conn_t *c) {
    chat_t *ch = chat_of(c);
    ch->replay = pool_zalloc(sizeof *ch->replay);
    ch->replay->points = true;
    ask_points(c);
}

static void add_range(replay_t *r, int64_t conversation, int64_t from, int64_t to) {
    if (r->count == r->cap)
        r->ranges = pool_grow(r->ranges, &r->cap, sizeof *r->ranges, 4);
    r->ranges[r->count++] = (range_t){conversation, from, to};
}

/* One conversation: a resync where not all fit, then the newest that do. Gives how many follow. */
static int64_t plan_one(conn_t *c, slice_t row, int64_t room) {
    chat_node_t *n = chat_node(c);
    int64_t conversation = value_next_int(&row), start = value_next_int(&row);
    int64_t latest = value_next_int(&row), count = latest - start;
    chat_stream_t *s = stream_make(c->chat, conversation);
    s->acked = value_next_int(&row);
    chat_stream_start(s, start);
    int64_t fit = count < n->replay_max ? count : n->replay_max;
    fit = fit < room ? fit : room;
    if (fit < count) {
        stream_resync(c, conversation, start + 1);
        chat_stream_leave(s, latest - fit);
    }
    if (fit == 0)
        return 0;
    s->replaying = true;
    add_range(c->chat->replay, conversation, latest - fit + 1, latest);
    return fit;
}

static void again(conn_t *c) {
    replay_t *r = c->chat->replay;
    log_debug("chat", "replay: the store does not answer, again in a second");
    r->timer = actor_after(c->self, AGAIN_MS, VERB_CHAT_REPLAY_DUE, 0);
}

/* What waited while nothing was known goes on, conversation by conversation. */
static void flush_all(conn_t *c) {
    chat_t *ch = c->chat;
    for (uint32_t i = 0; i < ch->stream_count; i++)
        if (!ch->streams[i].replaying)
            late_flush(c, ch->streams[i].conversation);
}

void replay_points(conn_t *c, const msg_t *m) {
    replay_t *r = c->chat->replay;
    store_rows_t rows;
    slice_t row;
    int64_t room = chat_node(c)->replay_total;
    if (!r)
        return;
    r->asked = false;
    if (m->err != ERR_OK) {
        again(c);
        return;
    }
    r->points = false;
    if (store_rows_open(&rows, m))
        while (store_rows_next(&rows, &row))
            room -= plan_one(c, row, room);
    flush_all(c);
    replay_go(c);
}

/* --- the messages --- */

static void ask_messages(conn_t *c) {
    chat_node_t *n = chat_node(c);
    replay_t *r = c->chat->replay;
    buf_t *list = &chat_here(c->self)->list, params = {0};
    int64_t left = AT_ONCE;
    list->len = 0;
    buf_add_char(list, '[');
    for (uint32_t i = r->at; i < r->count && left > 0; i++) {
        const range_t *k = &r->ranges[i];
        int64_t count = k->to - k->next + 1;
        count = count < left ? count : left;
        chat_list_add(list, k->conversation, k->next, k->next + count - 1);
        left -= count;
    }
    buf_add_char(list, ']');
    value_add_text(&params, buf_slice(list));
    value_add_int(&params, c->user);
    r->asked = true;
    store_run(n->store, c->self, n->op_recalls, &params, 0, VERB_CHAT_REPLAY, 0);
}

static void over(conn_t *c) {
    replay_free(c->chat);
    resend_arm(c);
    chat_forget(c);
}

/* The next step, if it is time for one. */
void replay_go(conn_t *c) {
    replay_t *r = c->chat->replay;
    if (!r || r->asked || c->closing)
        return;
    actor_cancel(c->self, r->timer);
    r->timer = 0;
    if (r->points)
        ask_points(c);
    else if (r->at == r->count)
        over(c);
    else if (!chat_slow(c))
        ask_messages(c);
}

/* The range is over: its conversation goes on with new messages. */
static void end_range(conn_t *c) {
    replay_t *r = c->chat->replay;
    int64_t conversation = r->ranges[r->at++].conversation;
    chat_stream_t *s = stream_find(c->chat, conversation);
    if (s)
        s->replaying = false;
    late_flush(c, conversation);
}

static void replay_one(conn_t *c, const message_row_t *m, slice_t *row) {
    chat_stream_t *s = stream_make(c->chat, m->conversation);
    int64_t from;
    int did = chat_stream_offer(s, m->seq, false, false, &from);
    if (did & CHAT_STREAM_RESYNC)
        stream_resync(c, m->conversation, from);
    if (!(did & CHAT_STREAM_PUSH))
        return;
    s->last_ns = actor_now_ns(c->self);
    push_row(c, "new_message", m, row, 0);
}

/* false: the socket has no room for more, or the row is none of those asked for. */
static bool take_row(conn_t *c, slice_t row) {
    replay_t *r = c->chat->replay;
    message_row_t m;
    chat_row(&row, &m);
    while (r->at < r->count && r->ranges[r->at].conversation != m.conversation)
        end_range(c); /* no member any more */
    if (r->at == r->count || chat_slow(c))
        return false;
    replay_one(c, &m, &row);
    r->ranges[r->at].next = m.seq + 1;
    if (m.seq == r->ranges[r->at].to)
        end_range(c);
    return true;
}

void replay_rows(conn_t *c, const msg_t *m) {
    replay_t *r = c->chat->replay;
    store_rows_t rows;
    slice_t row;
    if (!r || c->closing)
        return;
    r->asked = false;
    if (m->err != ERR_OK) {
        again(c);
        return;
    }
    bool any = false, room = true;
    if (store_rows_open(&rows, m))
        while (room && store_rows_next(&rows, &row))
            any = (room = take_row(c, row)) || any;
    if (!any && room && r->at < r->count)
        end_range(c); /* nothing is there for this user any more */
    replay_go(c);
}
