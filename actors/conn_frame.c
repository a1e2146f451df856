/* conn_frame: frames of a socket: rates, the envelope, ping and auth, and who handles the rest
 * (PROTOCOL.md sections 7.3, 7.7, 8.1 to 8.3); what conn offers for answers. Inside the
 * connection's actor. */
#include "actors/chat.h"
#include "actors/edge.h"
#include "actors/hub.h"
#include "base/bucket.h"
#include "base/json_plain.h"
#include "base/text.h"
#include "net/frame.h"
#include "sched/trace.h"
#include <stdio.h>

#define MINUTE_NS   60000000000ull
#define REFUSED_MAX 1000

conn_edge_t *conn_edge(conn_t *c) {
    if (!c->edge)
        c->edge = pool_zalloc(sizeof *c->edge);
    return c->edge;
}

void conn_pause(conn_t *c, enum conn_pause why) {
    if (!c->paused)
        net_pause(c->net, true);
    c->paused |= (uint8_t)why;
}

void conn_resume(conn_t *c, enum conn_pause why) {
    if (!(c->paused & why))
        return;
    c->paused &= (uint8_t)~why;
    if (!c->paused)
        net_pause(c->net, false);
}

/* --- answers --- */

static void look_at_queue(conn_t *c) {
    if (!(c->paused & PAUSE_QUEUE) && net_queued(c->net) > edge_at(c)->edge->queue_hard)
        conn_pause(c, PAUSE_QUEUE);
}

void conn_text(conn_t *c, slice_t payload) {
    net_ws_text(c->net, payload);
    look_at_queue(c);
}

void conn_frame_begin(buf_t *b, const char *type, slice_t id) {
    b->len = 0;
    buf_add_text(b, "{\"type\":\"");
    buf_add_text(b, type);
    buf_add_char(b, '"');
    if (id.len)
        json_add_text(b, "id", id);
}

/* The end of every frame, ,"ts":N}, is made once a millisecond. */
static slice_t frame_tail(conn_t *c) {
    edge_worker_t *w = edge_at(c);
    int64_t now = actor_wall_ms(c->self);
    if (w->tail_ms != now) {
        w->tail_ms = now;
        w->tail_len = (uint32_t)snprintf(w->tail, sizeof w->tail, ",\"ts\":%lld}", (long long)now);
    }
    return (slice_t){w->tail, w->tail_len};
}

void conn_frame_end(conn_t *c, buf_t *b) {
    buf_add_slice(b, frame_tail(c));
    conn_text(c, buf_slice(b));
}

static buf_t *open_frame(conn_t *c, const char *type, slice_t id) {
    buf_t *b = &edge_at(c)->out;
    conn_frame_begin(b, type, id);
    return b;
}

static void pong(conn_t *c, slice_t id) {
    stat_add(STAT_OUT_PONG, 1);
    conn_frame_end(c, open_frame(c, "pong", id));
}

/* The same straight into the socket's output, for an id that stands in JSON as it is. */
static void pong_plain(conn_t *c, slice_t id) {
    static const char head[] = "{\"type\":\"pong\"", key[] = ",\"id\":\"\"";
    slice_t tail = frame_tail(c);
    size_t len = sizeof head - 1 + (id.len ? sizeof key - 1 + id.len : 0) + tail.len;
    char *at = net_ws_text_room(c->net, len);
    stat_add(STAT_OUT_PONG, 1);
    if (!at)
        return;
    at = mempcpy(at, head, sizeof head - 1);
    if (id.len) {
        at = mempcpy(at, key, sizeof key - 2);
        at = mempcpy(at, id.at, id.len);
        *at++ = '"';
    }
    memcpy(at, tail.at, tail.len);
    look_at_queue(c);
}

void conn_error(conn_t *c, slice_t id, int err, const char *text, slice_t client_msg_id,
                uint32_t retry_after_ms) {
    buf_t *b = open_frame(c, "error", id);
    if (err_status(err) == 503) {
        stat_add(STAT_BUSY, 1);
        retry_after_ms = retry_after_ms ? retry_after_ms : 1000;
    }
    buf_add_text(b, ",\"data\":{");
    json_add_text(b, "error", slice_of(text ? text : err_text(err)));
    json_add_text(b, "code", slice_of(err_symbol(err)));
    if (retry_after_ms)
        json_add_int(b, "retry_after_ms", retry_after_ms);
    if (client_msg_id.len)
        json_add_text(b, "client_msg_id", client_msg_id);
    buf_add_char(b, '}');
    stat_add(STAT_OUT_ERROR, 1);
    conn_frame_end(c, b);
}

slice_t frame_notify(conn_t *c, slice_t id, slice_t extra) {
    buf_t *b = open_frame(c, "notify", id);
    buf_add_text(b, ",\"data\":{\"status\":\"ok\"");
    buf_add_slice(b, extra);
    buf_add_char(b, '}');
    buf_add_slice(b, frame_tail(c));
    return buf_slice(b);
}

void conn_close(conn_t *c, uint16_t code) {
    if (c->closing || !c->ws || !c->net)
        return;
    c->closing = true;
    if (c->welcomed)
        hub_closing(c);
    net_ws_close(c->net, code, (slice_t){"", 0});
}

/* --- rates --- */

static const slice_t none = {NULL, 0};

/* One more refused frame; true: that was too many, the socket is being closed. */
static bool is_abuse(conn_t *c, uint64_t now) {
    conn_edge_t *x = conn_edge(c);
    stat_add(STAT_RATE_LIMITED, 1);
    if (now - x->refused_from_ns > MINUTE_NS) {
        x->refused_from_ns = now;
        x->refused = 0;
    }
    if (++x->refused <= REFUSED_MAX || c->open_mode)
        return false;
    conn_close(c, 1008);
    return true;
}

/* A refused control frame is dropped. A refused piece of a message lets the message be read to its
 * end, so that the stream stays whole, and then refuses that. */
bool frame_allowed(conn_t *c, uint8_t opcode, bool fin) {
    (void)fin;
    c->heard = true;
    if (c->echo || c->closing || opcode == WS_CLOSE)
        return true;
    uint64_t now = actor_now_ns(c->self);
    uint32_t wait = bucket_take(&c->frames_ns, edge_at(c)->edge->ws_frames, now);
    if (wait == 0)
        return true;
    if (is_abuse(c, now) || opcode >= WS_CLOSE)
        return false;
    conn_edge(c)->refuse_ms = wait;
    return true;
}

uint32_t frame_message_wait(conn_t *c) {
    edge_t *e = edge_at(c)->edge;
    uint64_t now = actor_now_ns(c->self);
    if (e->ws_messages.per_s == 0)
        return 0;
    uint32_t wait = bucket_take(&conn_edge(c)->messages_ns, e->ws_messages, now);
    if (wait)
        is_abuse(c, now);
    return wait;
}

/* --- frames of our own --- */

void frame_token_expiring(conn_t *c) {
    int64_t left = c->token_exp_ms - actor_wall_ms(c->self);
    buf_t *b = open_frame(c, "notify", none);
    buf_add_text(b, ",\"data\":{\"status\":\"token_expiring\"");
    json_add_int(b, "expires_in_sec", left > 0 ? (left + 999) / 1000 : 0);
    buf_add_char(b, '}');
    stat_add(STAT_OUT_NOTIFY, 1);
    conn_frame_end(c, b);
}

static void auth(conn_t *c, const frame_in_t *f) {
    token_claims_t claims;
    slice_t token;
    char extra[64];
    if (!json_string(f->doc, json_get(f->doc, f->data, "token"), &token) || token.len == 0) {
        conn_error(c, f->id, ERR_BAD_REQUEST, "invalid auth data", none, 0);
        return;
    }
    int err = edge_token(edge_at(c), token, actor_wall_ms(c->self), &claims);
    if (err == ERR_OK && claims.user != c->user)
        err = ERR_USER_MISMATCH;
    if (err == ERR_OK && denied_has(edge_at(c)->edge->disabled, claims.user))
        err = ERR_USER_DISABLED;
    if (err != ERR_OK) {
        conn_error(c, f->id, err, NULL, none, 0);
        return;
    }
    c->fam = claims.fam;
    c->token_exp_ms = claims.exp_s * 1000;
    c->expiring = false;
    live_soon(c);
    int n =
        snprintf(extra, sizeof extra, ",\"token_expires_at_ms\":%lld", (long long)c->token_exp_ms);
    conn_notify_ok(c, f->id, (slice_t){extra, (size_t)n});
}

/* --- the envelope and the types --- */

/* One walk: the last of a repeated key counts, a null one is absent. */
static bool envelope(const json_doc_t *doc, frame_in_t *f) {
    json_at_t type = 0, id = 0, ts = 0, data = 0;
    int64_t n;
    *f = (frame_in_t){.doc = doc};
    if (json_type(doc, JSON_ROOT) != JSON_OBJECT)
        return false;
    for (json_at_t at = json_first(doc, JSON_ROOT); at; at = json_next(doc, at)) {
        slice_t key = json_key(doc, at);
        json_at_t value = json_type(doc, at) == JSON_NULL ? 0 : at;
        if (slice_eq(key, SLICE("type")))
            type = value;
        else if (slice_eq(key, SLICE("data")))
            data = value;
        else if (slice_eq(key, SLICE("id")))
            id = value;
        else if (slice_eq(key, SLICE("ts")))
            ts = value;
    }
    f->data = data;
    return json_string(doc, type, &f->type) && (!ts || json_int(doc, ts, &n)) &&
           (!id || (json_string(doc, id, &f->id) && f->id.len >= 1 && f->id.len <= 64));
}

/* --- the commonest frame, read without a document --- */

static bool skip(slice_t *s, const char *text, size_t len) {
    if (s->len < len || memcmp(s->at, text, len) != 0)
        return false;
    s->at += len;
    s->len -= len;
    return true;
}
#define SKIP(s, text) skip((s), "" text, sizeof(text) - 1)

static bool plain_id(slice_t *s, slice_t *id) {
    size_t n = json_plain(s->at, s->at + s->len);
    *id = (slice_t){s->at, n};
    s->at += n;
    s->len -= n;
    return n >= 1 && n <= 64 && SKIP(s, "\"");
}

/* 1 to 15 digits without a leading 0: an integer below 2^53. */
static bool plain_ts(slice_t *s) {
    size_t n = 0;
    while (n < s->len && s->at[n] >= '0' && s->at[n] <= '9')
        n++;
    bool ok = n >= 1 && n <= 15 && s->at[0] != '0';
    s->at += n;
    s->len -= n;
    return ok;
}

/* {"type":"ping"} with `id` and `ts` in any order, no blanks, no escapes, no other keys. false: the
 * parser decides. */
static bool plain_ping(slice_t s, slice_t *id) {
    bool typed = false;
    *id = none;
    if (!SKIP(&s, "{"))
        return false;
    do {
        if (SKIP(&s, "\"type\":\"ping\""))
            typed = true;
        else if (!(SKIP(&s, "\"id\":\"") ? plain_id(&s, id) : SKIP(&s, "\"ts\":") && plain_ts(&s)))
            return false;
    } while (SKIP(&s, ","));
    return typed && SKIP(&s, "}") && s.len == 0;
}

static enum stat_id in_stat(slice_t type) {
    static const struct {
        const char *name;
        enum stat_id id;
    } known[] = {{"ping", STAT_IN_PING},
                 {"auth", STAT_IN_AUTH},
                 {"message", STAT_IN_MESSAGE},
                 {"ack", STAT_IN_ACK},
                 {"batch_ack", STAT_IN_BATCH_ACK},
                 {"sync", STAT_IN_SYNC},
                 {"read", STAT_IN_READ},
                 {"presence_sub", STAT_IN_PRESENCE_SUB},
                 {"signaling", STAT_IN_SIGNALING},
                 {"call_offer", STAT_IN_SIGNALING},
                 {"call_answer", STAT_IN_SIGNALING},
                 {"call_ice", STAT_IN_SIGNALING},
                 {"call_hangup", STAT_IN_SIGNALING}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_eq(type, slice_of(known[i].name)))
            return known[i].id;
    return STAT_IN_OTHER;
}

static slice_t client_id(const frame_in_t *f) {
    slice_t s = none;
    json_string(f->doc, json_get(f->doc, f->data, "client_msg_id"), &s);
    return s.len <= 64 ? s : none;
}

static void dispatch(conn_t *c, const frame_in_t *f) {
    enum stat_id kind = in_stat(f->type);
    uint32_t wait = 0;
    stat_add(kind, 1);
    if (kind == STAT_IN_PING)
        pong(c, f->id);
    else if (kind == STAT_IN_SIGNALING)
        signal_frame(c, f);
    else if (kind == STAT_IN_AUTH)
        auth(c, f);
    else if (kind == STAT_IN_PRESENCE_SUB)
        presence_sub(c, f);
    else if (kind == STAT_IN_MESSAGE && (wait = frame_message_wait(c)) > 0)
        conn_error(c, f->id, ERR_RATE_LIMITED, NULL, client_id(f), wait);
    else if (!chat_frame(c, f))
        conn_error(c, f->id, ERR_BAD_REQUEST, "unknown message type", none, 0);
}

static void echo(conn_t *c, bool text, const char *at, size_t len) {
    char head[14];
    size_t n = frame_write_head(head, text ? WS_TEXT : WS_BINARY, true, len, NULL);
    block_t *b = block_new(n + len);
    memcpy(b->data, head, n);
    memcpy(b->data + n, at, len);
    b->len = (uint32_t)(n + len);
    net_ws_frames(c->net, b, 0, b->len);
    block_unref(b);
}

void frame_message(conn_t *c, bool text, char *at, size_t len) {
    edge_worker_t *w = edge_at(c);
    frame_in_t f;
    if (c->echo) {
        echo(c, text, at, len);
        return;
    }
    if (c->closing)
        return;
    if (!text && !text_utf8_valid(at, len)) {
        conn_close(c, 1007);
        return;
    }
    uint32_t refuse_ms = c->edge ? c->edge->refuse_ms : 0;
    if (!refuse_ms && plain_ping((slice_t){at, len}, &f.id)) {
        stat_add(STAT_IN_PING, 1);
        pong_plain(c, f.id);
        return;
    }
    bool whole = json_parse_utf8(w->doc, at, len) == ERR_OK && envelope(w->doc, &f);
    if (refuse_ms) {
        c->edge->refuse_ms = 0;
        conn_error(c, whole ? f.id : none, ERR_RATE_LIMITED, NULL, whole ? client_id(&f) : none,
                   refuse_ms);
    } else if (!whole) {
        stat_add(STAT_IN_OTHER, 1);
        conn_error(c, none, ERR_BAD_REQUEST, "invalid message format", none, 0);
    } else {
        trace_mark(c->self, KIND_INBOX, (uint64_t)c->user);
        dispatch(c, &f);
    }
}
