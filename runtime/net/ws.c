/* ws: WebSocket connections: frames parsed in place, fragments joined, control frames answered,
 * the close handshake; frames of our own queued. Inside the connection's actor; the sends also by
 * others on its worker. */
#include "base/pool.h"
#include "base/text.h"
#include "net/frame.h"
#include "net/net_in.h"

#define PONGS_MAX (64 * 1024) /* output above which a ping is not answered any more */

/* A message of which fragments came. */
struct ws_join {
    buf_t bytes;
    uint32_t utf8;
    bool text;
};

void ws_join_free(net_conn_t *c) {
    if (c->phase == PHASE_HTTP || !c->join)
        return;
    buf_free(&c->join->bytes);
    pool_free(c->join, sizeof *c->join);
    c->join = NULL;
}

static bool is_open(const net_conn_t *c) {
    return c->phase == PHASE_WS && !(c->flags & (F_ENDING | F_CLOSE_SENT));
}

/* --- what we send --- */

/* A frame of ours with room for its payload. NULL: dropped. */
static char *open_frame(net_conn_t *c, uint8_t opcode, size_t len) {
    char *room = out_room(c, len + 14);
    if (!room)
        return NULL;
    size_t n = frame_write_head(room, opcode, true, len, NULL);
    out_grow(c, n + len);
    return room + n;
}

static void add_frame(net_conn_t *c, uint8_t opcode, slice_t payload) {
    char *room = open_frame(c, opcode, payload.len);
    if (room && payload.len)
        memcpy(room, payload.at, payload.len);
}

static void add_close(net_conn_t *c, uint16_t code, slice_t reason) {
    char payload[125] = {(char)(code >> 8), (char)code};
    size_t len = reason.len < sizeof payload - 2 ? reason.len : sizeof payload - 2;
    while (len < reason.len && len && ((uint8_t)reason.at[len] & 0xc0) == 0x80)
        len--; /* no half character */
    if (len)
        memcpy(payload + 2, reason.at, len);
    add_frame(c, WS_CLOSE, (slice_t){payload, code == 1005 ? 0 : len + 2});
    c->flags |= F_CLOSE_SENT;
    if (c->close_code == 0)
        c->close_code = code;
    conn_pend(c);
}

size_t net_ws_head(char room[10], size_t len) {
    char head[14];
    size_t n = frame_write_head(head, WS_TEXT, true, len, NULL);
    memcpy(room, head, n);
    return n;
}

void net_ws_text(net_conn_t *c, slice_t payload) {
    if (is_open(c))
        add_frame(c, WS_TEXT, payload);
}

char *net_ws_text_room(net_conn_t *c, size_t len) {
    return is_open(c) ? open_frame(c, WS_TEXT, len) : NULL;
}

void net_ws_frames(net_conn_t *c, block_t *block, uint32_t off, uint32_t len) {
    if (is_open(c))
        out_block(c, block, off, len);
}

void net_ws_ping(net_conn_t *c) {
    if (is_open(c))
        add_frame(c, WS_PING, (slice_t){"", 0});
}

void net_ws_close(net_conn_t *c, uint16_t code, slice_t reason) {
    if (is_open(c))
        add_close(c, code, reason);
}

/* --- what the peer sends --- */

/* The peer broke the rules: nothing more is read from it. */
static void fail(net_conn_t *c, uint16_t code) {
    if (!(c->flags & F_CLOSE_SENT))
        add_close(c, code, (slice_t){"", 0});
    conn_finish(c, code);
}

/* The peer's close frame: ours is the echo, or its is. */
static void take_close(net_conn_t *c, slice_t payload) {
    int code = frame_close_code(payload);
    if (code < 0) {
        fail(c, (uint16_t)-code);
        return;
    }
    if (!(c->flags & F_CLOSE_SENT))
        add_close(c, (uint16_t)code, (slice_t){"", 0});
    conn_finish(c, (uint16_t)code);
}

static void take_control(net_conn_t *c, actor_t *self, void *state, uint8_t opcode,
                         slice_t payload) {
    const net_handler_t *h = c->worker->net->handler;
    if (opcode == WS_CLOSE) {
        take_close(c, payload);
        return;
    }
    if (opcode == WS_PING && is_open(c) && c->queued <= PONGS_MAX)
        add_frame(c, WS_PONG, payload);
    if (h->control)
        h->control(self, state, c, opcode, payload);
}

/* Errors that the head of a data frame shows already. 0: fine. */
static uint16_t bad_head(const net_conn_t *c, const frame_head_t *f) {
    if (f->opcode >= WS_CLOSE)
        return 0;
    if ((f->opcode == WS_CONT) != (c->join != NULL))
        return 1002;
    uint32_t joined = c->join ? c->join->bytes.len : 0;
    return f->len > c->max_message - joined ? 1009 : 0;
}

static void give_message(net_conn_t *c, actor_t *self, void *state, bool text, char *at,
                         size_t len) {
    if (is_open(c))
        c->worker->net->handler->message(self, state, c, text, at, len);
}

static void take_fragment(net_conn_t *c, actor_t *self, void *state, const frame_head_t *f,
                          const char *at) {
    ws_join_t *j = c->join;
    if (!j) {
        j = c->join = pool_zalloc(sizeof *j);
        j->text = f->opcode == WS_TEXT;
    }
    if (j->text && (!text_utf8_more(&j->utf8, at, f->len) || (f->fin && j->utf8))) {
        fail(c, 1007);
        return;
    }
    buf_add(&j->bytes, at, f->len);
    if (!f->fin)
        return;
    c->join = NULL; /* the callback may end the connection */
    give_message(c, self, state, j->text, j->bytes.len ? j->bytes.at : (char *)"", j->bytes.len);
    buf_free(&j->bytes);
    pool_free(j, sizeof *j);
}

static void take_data(net_conn_t *c, actor_t *self, void *state, const frame_head_t *f, char *at,
                      bool ascii) {
    bool text = f->opcode == WS_TEXT;
    if (!f->fin || f->opcode == WS_CONT)
        take_fragment(c, self, state, f, at);
    else if (text && !ascii && !text_utf8_valid(at, f->len))
        fail(c, 1007);
    else
        give_message(c, self, state, text, at, f->len);
}

/* One frame. Gives its size; 0: it is not whole. */
size_t ws_take(net_conn_t *c, actor_t *self, void *state, char *at, size_t len) {
    const net_handler_t *h = c->worker->net->handler;
    frame_head_t f;
    int got = frame_parse_head(at, len, true, &f);
    uint16_t bad = got < 0 ? (uint16_t)-got : got ? bad_head(c, &f) : 0;
    if (bad) {
        fail(c, bad);
        return len;
    }
    if (got == 0 || f.len > len - f.size)
        return 0;
    if (!h->frame || h->frame(self, state, c, f.opcode, f.fin)) {
        at += f.size;
        bool ascii = frame_mask(at, f.len, f.mask, 0);
        if (f.opcode >= WS_CLOSE)
            take_control(c, self, state, f.opcode, (slice_t){at, f.len});
        else if (!(c->flags & F_ENDING))
            take_data(c, self, state, &f, at, ascii);
    }
    return f.size + f.len;
}
