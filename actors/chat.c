/* chat: see chat.h: setup, the state of a socket, and who handles what. */
#include "actors/chat_in.h"
#include "base/log.h"
#include <stdio.h>

/* --- setup --- */

static const struct {
    const char *name;
    size_t at;
} operations[] = {
    {"history_latest", offsetof(chat_node_t, op_latest)},
    {"history_before", offsetof(chat_node_t, op_before)},
    {"history_after", offsetof(chat_node_t, op_after)},
    {"message_now", offsetof(chat_node_t, op_now)},
    {"message_one", offsetof(chat_node_t, op_one)},
    {"sync_all", offsetof(chat_node_t, op_sync_all)},
    {"sync_some", offsetof(chat_node_t, op_sync_some)},
    {"message_ranges", offsetof(chat_node_t, op_ranges)},
    {"message_ranges_recalls", offsetof(chat_node_t, op_recalls)},
    {"change_ranges", offsetof(chat_node_t, op_changes)},
    {"replay_points", offsetof(chat_node_t, op_points)},
    {"acks_claim", offsetof(chat_node_t, op_claim)},
    {"device_seen", offsetof(chat_node_t, op_seen)},
    {"acks_save", offsetof(chat_node_t, op_save)},
    {"acks_save_own", offsetof(chat_node_t, op_save_own)},
    {"acks_forget", offsetof(chat_node_t, op_forget_acks)},
    {"devices_forget", offsetof(chat_node_t, op_forget_devices)},
    {"ack_own_send", offsetof(chat_node_t, op_own_send)},
    {"message_facts", offsetof(chat_node_t, op_facts)},
    {"file_readable", offsetof(chat_node_t, op_readable)},
};

static int find_ops(chat_node_t *n, char *fault, size_t room) {
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        int op = store_op(n->store, operations[i].name);
        if (op < 0) {
            snprintf(fault, room, "the store has no operation %s", operations[i].name);
            return ERR_INTERNAL;
        }
        memcpy((char *)n + operations[i].at, &op, sizeof op);
    }
    return ERR_OK;
}

static void worker_hook(runtime_t *rt, uint32_t worker, bool starting, void *arg) {
    chat_node_t *n = arg;
    if (starting) {
        chat_worker_t *fresh = pool_zalloc(sizeof *fresh);
        fresh->node = n;
        worker_local_set(rt, worker, LOCAL_CHAT, fresh);
        return;
    }
    chat_worker_t *w = worker_local(rt, worker, LOCAL_CHAT);
    buf_free(&w->out);
    buf_free(&w->list);
    pool_free(w, sizeof *w);
    if (atomic_fetch_sub(&n->workers, 1) == 1)
        pool_free(n, sizeof *n);
}

int chat_setup(runtime_t *rt, const conf_t *conf, store_t *store, script_t *script, char *fault,
               size_t room) {
    chat_node_t *n = pool_zalloc(sizeof *n);
    n->store = store;
    atomic_init(&n->workers, runtime_workers(rt));
    n->queue_soft = (uint32_t)conf_int(conf, "ws.queue_soft");
    n->resend_ms = (uint32_t)conf_int(conf, "ws.resend_after");
    n->replay_max = (uint32_t)conf_int(conf, "ws.replay_max");
    n->replay_total = (uint32_t)conf_int(conf, "ws.replay_total");
    n->devices = (uint32_t)conf_int(conf, "ws.device_memory");
    int err = find_ops(n, fault, room);
    if (err == ERR_OK)
        err = conversation_setup(rt, conf, store, script, fault, room);
    if (err != ERR_OK) {
        pool_free(n, sizeof *n);
        return err;
    }
    runtime_worker_hook(rt, worker_hook, n);
    return ERR_OK;
}

/* --- the state of a socket --- */

chat_t *chat_of(conn_t *c) {
    if (!c->chat)
        c->chat = pool_zalloc(sizeof *c->chat);
    return c->chat;
}

void chat_forget(conn_t *c) {
    chat_t *ch = c->chat;
    if (!ch || ch->stream_count || ch->send_first || ch->late_first || ch->acks.count ||
        ch->saving.count || ch->claims.count || ch->claiming.count || ch->sync_first ||
        ch->replay || ch->http || ch->media || ch->waits || ch->save_timer || ch->resend_timer ||
        ch->saved_once)
        return;
    pool_free(ch->streams, ch->stream_cap * sizeof *ch->streams);
    ack_free(ch);
    pool_free(ch, sizeof *ch);
    c->chat = NULL;
}

void chat_wait(conn_t *c) {
    if (++c->chat->waits >= WAITS_MAX)
        conn_pause(c, PAUSE_WAITS);
}

void chat_answered(conn_t *c) {
    if (--c->chat->waits < WAITS_MAX)
        conn_resume(c, PAUSE_WAITS);
}

void chat_welcomed(conn_t *c, bool replay) {
    if (replay)
        replay_start(c);
}

void chat_closed(conn_t *c) {
    chat_t *ch = c->chat;
    if (!ch)
        return;
    if (c->ws)
        ack_hand_over(c);
    actor_cancel(c->self, ch->save_timer);
    actor_cancel(c->self, ch->resend_timer);
    ack_free(ch);
    send_free(ch);
    read_free(ch);
    late_free(ch);
    sync_free(ch);
    replay_free(ch);
    media_free(ch);
    http_forget(ch);
    for (uint32_t i = 0; i < ch->stream_count; i++)
        chat_stream_free(&ch->streams[i]);
    pool_free(ch->streams, ch->stream_cap * sizeof *ch->streams);
    pool_free(ch, sizeof *ch);
    c->chat = NULL;
}

void chat_room(conn_t *c) {
    if (!c->chat)
        return;
    deliver_room(c);
    replay_go(c);
}

/* --- what the files share --- */

buf_t *chat_open(conn_t *c, const char *type, slice_t id) {
    buf_t *b = &chat_here(c->self)->out;
    conn_frame_begin(b, type, id);
    return b;
}

const char *chat_text(const msg_t *m) {
    return m->size > 1 && m->data[m->size - 1] == 0 ? m->data : NULL;
}

void chat_row(slice_t *row, message_row_t *m) {
    m->conversation = value_next_int(row);
    m->id = value_next_int(row);
    m->seq = value_next_int(row);
    m->sender = value_next_int(row);
    m->content_type = (uint32_t)value_next_int(row);
    m->at_ms = value_next_int(row);
    m->client_msg_id = value_next_text(row);
    m->recalled = value_next_int(row) != 0;
    m->reply_to = value_next_int(row);
    m->content = value_next_text(row);
}

void chat_list_add(buf_t *list, int64_t a, int64_t b, int64_t c) {
    buf_add_text(list, list->len == 1 ? "[" : ",[");
    buf_add_int(list, a);
    buf_add_char(list, ',');
    buf_add_int(list, b);
    if (c >= 0) {
        buf_add_char(list, ',');
        buf_add_int(list, c);
    }
    buf_add_char(list, ']');
}

/* --- who handles what --- */

bool chat_frame(conn_t *c, const frame_in_t *f) {
    if (slice_eq(f->type, SLICE("message")))
        send_frame_message(c, f);
    else if (slice_eq(f->type, SLICE("ack")))
        ack_frame(c, f);
    else if (slice_eq(f->type, SLICE("batch_ack")))
        ack_batch(c, f);
    else if (slice_eq(f->type, SLICE("sync")))
        sync_frame(c, f);
    else if (slice_eq(f->type, SLICE("read")))
        read_frame(c, f);
    else
        return false;
    return true;
}

/* Messages for a socket; its state is there. */
static void for_socket(conn_t *c, const msg_t *m) {
    switch (m->verb) {
    case VERB_CHAT_SENT:
        send_answer(c, m);
        break;
    case VERB_CHAT_POSITION:
        read_position(c, m);
        break;
    case VERB_CHAT_CLAIMS:
        ack_claimed(c, m);
        break;
    case VERB_CHAT_SAVED:
        ack_saved(c, m);
        break;
    case VERB_CHAT_SAVE_DUE:
        ack_due(c);
        break;
    case VERB_CHAT_SYNC:
        sync_state(c, m);
        break;
    case VERB_CHAT_SYNC_PAGE:
        sync_page(c, m);
        break;
    case VERB_CHAT_POINTS:
        replay_points(c, m);
        break;
    case VERB_CHAT_REPLAY:
        replay_rows(c, m);
        break;
    case VERB_CHAT_REPLAY_DUE:
        replay_go(c);
        break;
    case VERB_CHAT_RESEND:
        resend_rows(c, m);
        break;
    case VERB_CHAT_RESEND_DUE:
        resend_due(c);
        break;
    case VERB_CHAT_MEDIA:
        media_frame_row(c, m);
        break;
    default:
        break;
    }
}

static void for_request(conn_t *c, const msg_t *m) {
    switch (m->verb) {
    case VERB_CHAT_HTTP_SENT:
        send_http_answer(c, m);
        break;
    case VERB_CHAT_HTTP_MESSAGE:
        send_http_row(c, m);
        break;
    case VERB_CHAT_HTTP_MEDIA:
        media_http_row(c, m);
        break;
    case VERB_CHAT_HTTP_POSITION:
        read_http_answer(c, m);
        break;
    case VERB_CHAT_HTTP_HISTORY:
        history_rows(c, m);
        break;
    case VERB_CHAT_HTTP_ONE:
        message_row(c, m);
        break;
    case VERB_CHAT_HTTP_FACTS:
        recall_facts(c, m);
        break;
    case VERB_CHAT_HTTP_RECALLED:
        recall_answer(c, m);
        break;
    default:
        break;
    }
}

void chat_message(conn_t *c, msg_t *m) {
    if (m->verb == VERB_SAVE) {
        if (c->chat)
            ack_hand_over(c);
        actor_reply(c->self, m, ERR_OK, NULL);
        return;
    }
    if (m->verb < VERB_CHAT || !c->chat)
        return;
    if (m->verb >= VERB_CHAT_HTTP_SENT && m->verb <= VERB_CHAT_HTTP_RECALLED) {
        if (http_asked(c, m->cookie))
            for_request(c, m);
        return;
    }
    for_socket(c, m);
}
