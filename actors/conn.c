/* conn: the connection actor: what net tells goes to the files that know it, and the connection's
 * end. One per socket, pinned to its worker; an idle one is this state and nothing else. */
#include "actors/chat.h"
#include "actors/edge.h"
#include "actors/hub.h"

static int init(actor_t *self, void *state, const void *arg) {
    conn_t *c = state;
    c->self = self;
    c->net = (net_conn_t *)(uintptr_t)arg;
    c->listener = (uint8_t)net_listener(c->net);
    c->live_at = UINT32_MAX;
    return ERR_OK;
}

/* A push that came through the mailbox, so that it is behind the answers that were sent before it.
 */
static void push_frame(conn_t *c, const msg_t *m) {
    if (!c->welcomed || c->closing)
        return;
    if (net_queued(c->net) / 2 > edge_at(c)->edge->queue_hard) {
        conn_close(c, 4003);
        return;
    }
    net_ws_frames(c->net, m->body, 0, m->body->len);
    stat_add((enum stat_id)m->cookie, 1);
}

static void take(conn_t *c, msg_t *m) {
    switch (m->verb) {
    case VERB_LUA:
        lua_answer(c, m);
        break;
    case VERB_DEADLINE:
        http_deadline(c, (uint32_t)m->cookie);
        break;
    case VERB_ATTACHED:
        ws_attached(c, m);
        break;
    case VERB_CLOSE:
        conn_close(c, (uint16_t)m->cookie);
        break;
    case VERB_PRESENCE:
        presence_push(c, m);
        break;
    case VERB_PRESENCE_LOST:
        presence_again(c, (int64_t)m->cookie);
        break;
    case VERB_PRESENCE_HTTP:
        presence_http_rows(c, m);
        break;
    case VERB_PRESENCE_SUB:
        presence_sub_rows(c, m);
        break;
    case VERB_REPORT:
        http_report(c, m);
        break;
    case VERB_SIGNALED:
        signal_answer(c, m);
        break;
    case VERB_FRAME:
        push_frame(c, m);
        break;
    case VERB_FILE_ROW:
    case VERB_FILE_OPEN:
    case VERB_FILE_CREDIT:
    case VERB_FILE_WRITTEN:
    case VERB_FILE_STALL:
        file_message(c, m);
        break;
    case VERB_FILE_WARM:
        net_file_warm(c->net);
        break;
    case VERB_IGNORED:
        break;
    case MSG_STOP:
        net_abort(c->net);
        break;
    default:
        chat_message(c, m);
    }
}

static void handle(actor_t *self, void *state, msg_t *m) {
    conn_t *c = state;
    if (!c->net)
        return; /* the socket is gone, only the actor's end is missing */
    take(c, m);
    if (c->ws && !c->chat)
        actor_rest(self); /* it may be idle for hours from here */
}

/* --- what net tells --- */

static void on_request(actor_t *self, void *state, net_conn_t *net, const http_request_t *req) {
    (void)self, (void)net;
    http_request(state, req);
}

static void on_body(actor_t *self, void *state, net_conn_t *net, slice_t bytes, bool last) {
    (void)self, (void)net;
    http_body(state, bytes, last);
}

static void on_message(actor_t *self, void *state, net_conn_t *net, bool text, char *at,
                       size_t len) {
    (void)self, (void)net;
    frame_message(state, text, at, len);
}

static bool on_frame(actor_t *self, void *state, net_conn_t *net, uint8_t opcode, bool fin) {
    (void)self, (void)net;
    return frame_allowed(state, opcode, fin);
}

static void on_room(actor_t *self, void *state, net_conn_t *net) {
    conn_t *c = state;
    (void)self;
    (void)net;
    conn_resume(c, PAUSE_QUEUE);
    if (c->welcomed && !c->closing)
        chat_room(c);
}

static void on_cold(actor_t *self, void *state, net_conn_t *net, int fd, uint64_t off) {
    (void)self, (void)net;
    file_cold(state, fd, off);
}

static void count_close(uint16_t code) {
    static const struct {
        uint16_t code;
        enum stat_id id;
    } known[] = {{1000, STAT_CLOSE_1000}, {1001, STAT_CLOSE_1001}, {1002, STAT_CLOSE_1002},
                 {1005, STAT_CLOSE_1005}, {1006, STAT_CLOSE_1006}, {1007, STAT_CLOSE_1007},
                 {1008, STAT_CLOSE_1008}, {1009, STAT_CLOSE_1009}, {1011, STAT_CLOSE_1011},
                 {1012, STAT_CLOSE_1012}, {4001, STAT_CLOSE_4001}, {4002, STAT_CLOSE_4002},
                 {4003, STAT_CLOSE_4003}, {4004, STAT_CLOSE_4004}};
    enum stat_id id = STAT_CLOSE_OTHER;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].code == code)
            id = known[i].id;
    stat_add(id, 1);
}

static void leave(conn_t *c) {
    live_remove(c);
    hub_leave(c);
    chat_closed(c);
    presence_close(c);
    ws_detach(c, c->user);
    c->welcomed = false;
}

static void lose_socket(conn_t *c, uint16_t code) {
    http_drop(c);
    if (c->ws) {
        count_close(code);
        stat_add(STAT_WS_CONNECTIONS, -1);
    }
    if (c->welcomed)
        leave(c);
    else
        chat_closed(c);
    c->closing = true;
    c->net = NULL;
}

static void on_closed(actor_t *self, void *state, net_conn_t *net, uint16_t code) {
    (void)net;
    lose_socket(state, code);
    actor_exit(self, ERR_OK);
}

/* Killed, or swept away, while it has its socket: the peer is told, then net is by itself: what it
 * hands to an actor that is gone ends the socket. */
static void say_goodbye(conn_t *c) {
    net_conn_t *net = c->net;
    bool asked = c->http && !c->ws;
    if (asked)
        conn_http_error(c, ERR_INTERNAL, NULL, 0);
    conn_close(c, 1011);
    lose_socket(c, 1011);
    if (!asked && !c->ws)
        net_abort(net);
}

static void ended(actor_t *self, void *state, int reason) {
    conn_t *c = state;
    (void)self, (void)reason;
    if (c->net)
        say_goodbye(c);
    device_drop(c->device);
    if (c->edge) {
        turns_free(c);
        signals_free(c);
        pool_free(c->edge, sizeof *c->edge);
    }
}

static const actor_class_t conn_class = {
    .name = "conn",
    .place = ACTOR_PINNED,
    .restart = ACTOR_NEVER,
    .state_size = sizeof(conn_t),
    .init = init,
    .handle = handle,
    .ended = ended,
};

static const net_handler_t handler = {
    .cls = &conn_class,
    .request = on_request,
    .body = on_body,
    .message = on_message,
    .frame = on_frame,
    .room = on_room,
    .cold = on_cold,
    .closed = on_closed,
};

const net_handler_t *edge_handler(void) {
    return &handler;
}
