/* chat_send: a message from its frame or HTTP body to its ack (PROTOCOL.md 9.1, 9.2). The acks of
 * one socket leave in the order of its frames: an answer that comes early waits here until those
 * before it are out. Inside the connection's actor. */
#include "actors/chat_in.h"

#define TEXT_MAX 16384

/* --- form --- */

static bool cid_ok(slice_t s) {
    if (s.len < 1 || s.len > 64 || (s.len >= 5 && memcmp(s.at, "call:", 5) == 0))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < 0x20 || s.at[i] > 0x7e)
            return false;
    return true;
}

/* `key` alone in the object (what is null is absent): its value, or 0. */
static json_at_t only_key(const json_doc_t *doc, json_at_t object, const char *key) {
    if (json_type(doc, object) != JSON_OBJECT)
        return 0;
    for (json_at_t at = json_first(doc, object); at; at = json_next(doc, at))
        if (json_type(doc, at) != JSON_NULL && !slice_eq(json_key(doc, at), slice_of(key)))
            return 0;
    return json_get(doc, object, key);
}

static int text_content(slice_t text, buf_t *out) {
    if (text.len < 1 || text.len > TEXT_MAX)
        return ERR_BAD_REQUEST;
    buf_add_text(out, "{\"text\":{\"text\":");
    json_add_string(out, text);
    buf_add_text(out, "}}");
    return ERR_OK;
}

static int text_message(const json_doc_t *doc, json_at_t text, json_at_t content, bool plain,
                        buf_t *out) {
    slice_t s;
    if (text && content)
        return ERR_BAD_REQUEST;
    if (text)
        return json_string(doc, text, &s) ? text_content(s, out) : ERR_BAD_REQUEST;
    if (plain && json_string(doc, content, &s))
        return text_content(s, out);
    json_at_t inner = only_key(doc, content, "text");
    if (json_type(doc, inner) != JSON_OBJECT || !json_string(doc, json_get(doc, inner, "text"), &s))
        return ERR_BAD_REQUEST;
    return text_content(s, out);
}

/* Which file; what the store says of it comes later (chat_media.c). */
static int media_message(const json_doc_t *doc, json_at_t text, json_at_t content, int64_t type,
                         int64_t *file, const char **fault) {
    static const char *const name[] = {"image", "file", "audio", "video"};
    json_at_t media = only_key(doc, content, name[type - 2]);
    if (!text && json_int(doc, json_get(doc, media, "file_id"), file) && *file > 0)
        return ERR_OK;
    *fault = "media is required";
    return ERR_BAD_REQUEST;
}

/* text: the key `text` of HTTP, 0 in frames; plain: content may be a string. */
static int read_content(const json_doc_t *doc, json_at_t text, json_at_t content, bool plain,
                        chat_draft_t *d, buf_t *out, const char **fault) {
    if (d->type == 1)
        return text_message(doc, text, content, plain, out);
    if (d->type >= 2 && d->type <= 5)
        return media_message(doc, text, content, d->type, &d->file, fault);
    return ERR_BAD_REQUEST;
}

static bool optional_int(const json_doc_t *doc, json_at_t at, int64_t preset, int64_t *out) {
    *out = preset;
    return !at || json_int(doc, at, out);
}

int draft_read_head(const json_doc_t *doc, json_at_t data, chat_draft_t *d) {
    json_at_t cid = json_get(doc, data, "client_msg_id");
    json_string(doc, cid, &d->cid); /* an error names it, if it can be read */
    if (!json_int(doc, json_get(doc, data, "conversation_id"), &d->conversation) ||
        d->conversation < 1 || !cid || !cid_ok(d->cid) ||
        !optional_int(doc, json_get(doc, data, "content_type"), 1, &d->type) ||
        !optional_int(doc, json_get(doc, data, "reply_to"), 0, &d->reply_to))
        return ERR_BAD_REQUEST;
    return ERR_OK;
}

/* fault: the text of an error that has one of its own. The ready content of a text goes to the
 * worker's list. */
static int read_draft(conn_t *c, const json_doc_t *doc, json_at_t data, bool http, chat_draft_t *d,
                      const char **fault) {
    buf_t *out = &chat_here(c->self)->list;
    out->len = 0;
    *fault = NULL;
    int err = draft_read_head(doc, data, d);
    if (err != ERR_OK)
        return err;
    json_at_t text = http ? json_get(doc, data, "text") : 0;
    return read_content(doc, text, json_get(doc, data, "content"), !http, d, out, fault);
}

/* --- to the conversation --- */

static msg_t *send_message(conn_t *c, const chat_draft_t *d, int64_t user, slice_t device,
                           uint64_t token, uint64_t start_ns) {
    const buf_t *content = &chat_here(c->self)->list;
    msg_t *m =
        msg_new(VERB_SEND, sizeof(conversation_send_t) + d->cid.len + device.len + content->len);
    conversation_send_t *s = (conversation_send_t *)m->data;
    *s = (conversation_send_t){
        .user = user,
        .reply_to = d->reply_to,
        .conn = token ? actor_self(c->self) : ACTOR_NONE,
        .token = token,
        .start_ns = start_ns,
        .content_type = (uint32_t)d->type,
        .cid_len = (uint32_t)d->cid.len,
        .device_len = (uint32_t)device.len,
        .content_len = content->len,
        .no_file = d->no_file,
    };
    char *at = mempcpy(s->bytes, d->cid.at, d->cid.len);
    if (device.len)
        at = mempcpy(at, device.at, device.len);
    if (content->len)
        memcpy(at, content->at, content->len);
    return m;
}

static size_t send_size(const chat_send_t *p) {
    return sizeof *p + p->id_len + p->cid_len;
}

static chat_send_t *note_send(conn_t *c, slice_t id, const chat_draft_t *d) {
    chat_t *ch = chat_of(c);
    chat_send_t *p = pool_alloc(sizeof *p + id.len + d->cid.len);
    *p = (chat_send_t){.token = ++ch->token,
                       .start_ns = actor_now_ns(c->self),
                       .conversation = d->conversation,
                       .id_len = (uint8_t)id.len,
                       .cid_len = (uint8_t)d->cid.len};
    if (id.len)
        memcpy(p->text, id.at, id.len);
    memcpy(p->text + id.len, d->cid.at, d->cid.len);
    if (ch->send_first)
        ch->send_last->next = p;
    else
        ch->send_first = p;
    ch->send_last = p;
    return p;
}

void send_frame_draft(conn_t *c, slice_t id, const chat_draft_t *d) {
    chat_send_t *p = note_send(c, id, d);
    msg_t *m = send_message(c, d, c->user, slice_of(c->device), p->token, p->start_ns);
    chat_wait(c);
    actor_request_key(c->self, KIND_CONVERSATION, (uint64_t)d->conversation, m, 0, VERB_CHAT_SENT,
                      p->token);
}

void send_frame_message(conn_t *c, const frame_in_t *f) {
    chat_draft_t d = {0};
    const char *fault;
    int err = read_draft(c, f->doc, f->data, false, &d, &fault);
    if (err != ERR_OK) {
        conn_error(c, f->id, err, fault ? fault : "invalid message data",
                   d.cid.len <= 64 ? d.cid : CHAT_NONE, 0);
        return;
    }
    if (d.file)
        media_frame(c, f, &d);
    else
        send_frame_draft(c, f->id, &d);
}

/* --- acks --- */

static void write_ack(conn_t *c, const chat_send_t *p) {
    buf_t *b = chat_open(c, "message_ack", (slice_t){p->text, p->id_len});
    buf_add_text(b, ",\"data\":{\"client_msg_id\":");
    json_add_string(b, (slice_t){p->text + p->id_len, p->cid_len});
    buf_add_text(b, ",\"message_id\":");
    buf_add_int(b, p->id);
    buf_add_text(b, ",\"conversation_id\":");
    buf_add_int(b, p->conversation);
    buf_add_text(b, ",\"seq\":");
    buf_add_int(b, p->seq);
    buf_add_text(b, ",\"created_at\":");
    buf_add_int(b, p->at_ms);
    buf_add_text(b, ",\"created_at_ms\":");
    buf_add_int(b, p->at_ms);
    buf_add_char(b, '}');
    stat_add(STAT_OUT_MESSAGE_ACK, 1);
    stat_observe(HIST_MESSAGE_ACK, (actor_now_ns(c->self) - p->start_ns) / 1000);
    conn_frame_end(c, b);
}

/* Acks that wait hold back the pushes of their conversation: a push with a higher seq must not
 * overtake them. */
static void hold(chat_t *ch, const chat_send_t *p) {
    stream_make(ch, p->conversation)->held_acks++;
}

static void release(conn_t *c, const chat_send_t *p) {
    chat_stream_t *s = stream_find(c->chat, p->conversation);
    if (s && s->held_acks && --s->held_acks == 0)
        late_flush(c, p->conversation);
}

/* What is known from the front on leaves. was: the one whose answer has just come and that holds
 * nothing yet. */
static void send_known(conn_t *c, const chat_send_t *was) {
    chat_t *ch = c->chat;
    while (ch->send_first && ch->send_first->done) {
        chat_send_t *p = ch->send_first;
        ch->send_first = p->next;
        write_ack(c, p);
        if (p == was)
            was = NULL;
        else
            release(c, p);
        pool_free(p, send_size(p));
    }
    if (was)
        hold(ch, was);
}

static chat_send_t *find(const chat_t *ch, uint64_t token) {
    chat_send_t *p = ch->send_first;
    while (p && p->token != token)
        p = p->next;
    return p;
}

static void known(conn_t *c, chat_send_t *p, int64_t id, int64_t seq, int64_t at_ms) {
    p->id = id;
    p->seq = seq;
    p->at_ms = at_ms;
    p->done = true;
    send_known(c, p);
}

void send_seen(conn_t *c, int64_t conversation, const fanout_item_t *item) {
    chat_send_t *p = c->chat ? find(c->chat, item->token) : NULL;
    if (!p || p->done || p->conversation != conversation)
        return;
    stat_add(STAT_MESSAGES_WS, 1);
    known(c, p, item->message_id, item->seq, item->at_ms);
}

static void unlink_send(chat_t *ch, chat_send_t *p) {
    chat_send_t **at = &ch->send_first, *before = NULL;
    while (*at != p) {
        before = *at;
        at = &before->next;
    }
    *at = p->next;
    if (ch->send_last == p)
        ch->send_last = before;
}

static void refused(conn_t *c, chat_send_t *p, const msg_t *m) {
    conn_error(c, (slice_t){p->text, p->id_len}, m->err, chat_text(m),
               (slice_t){p->text + p->id_len, p->cid_len}, 0);
    unlink_send(c->chat, p);
    pool_free(p, send_size(p));
    send_known(c, NULL);
}

void send_answer(conn_t *c, const msg_t *m) {
    chat_send_t *p = find(c->chat, m->cookie);
    chat_answered(c);
    if (!p || p->done)
        return; /* the fan-out told it first */
    if (m->err != ERR_OK) {
        refused(c, p, m);
        return;
    }
    const conversation_sent_t *sent = (const conversation_sent_t *)m->data;
    if (!sent->repeat)
        stat_add(STAT_MESSAGES_WS, 1);
    known(c, p, sent->id, sent->seq, sent->at_ms);
}

void send_free(chat_t *ch) {
    while (ch->send_first) {
        chat_send_t *p = ch->send_first;
        ch->send_first = p->next;
        pool_free(p, send_size(p));
    }
}

/* --- row 41 --- */

static chat_http_t *note_http(conn_t *c, const chat_draft_t *d) {
    const buf_t *content = &chat_here(c->self)->list;
    chat_http_t *h = http_asks(c, d->cid.len + content->len);
    h->conversation = d->conversation;
    h->reply_to = d->reply_to;
    h->content_type = d->type;
    h->cid_len = (uint8_t)d->cid.len;
    h->content_len = content->len;
    char *at = mempcpy(h->text, d->cid.at, d->cid.len);
    if (content->len)
        memcpy(at, content->at, content->len);
    return h;
}

void send_http_draft(conn_t *c, const chat_draft_t *d) {
    chat_http_t *h = note_http(c, d);
    msg_t *m = send_message(c, d, c->http->user, slice_of(c->http->device), 0, c->http->started_ns);
    actor_request_key(c->self, KIND_CONVERSATION, (uint64_t)d->conversation, m, http_timeout(c),
                      VERB_CHAT_HTTP_SENT, h->serial);
}

void chat_http_send(conn_t *c) {
    chat_draft_t d = {0};
    const char *fault = NULL;
    int err =
        http_object(c) ? read_draft(c, conn_doc(c), JSON_ROOT, true, &d, &fault) : ERR_BAD_REQUEST;
    if (err != ERR_OK) {
        conn_http_error(c, err, fault, 0);
        return;
    }
    if (d.file)
        media_http(c, &d);
    else
        send_http_draft(c, &d);
}

/* The device of the request has this message; its socket, if it has one, learns it by the
 * fan-out. */
static void ack_own(conn_t *c, const chat_http_t *h, int64_t seq) {
    chat_node_t *n = chat_node(c);
    buf_t params = {0};
    if (!c->http->device[0])
        return;
    value_add_int(&params, seq);
    value_add_int(&params, c->http->user);
    value_add_text(&params, slice_of(c->http->device));
    value_add_int(&params, h->conversation);
    store_run(n->store, c->self, n->op_own_send, &params, 0, VERB_CHAT_IGNORED, 0);
}

/* A repeat is answered with the message as it is now. */
static void read_now(conn_t *c, chat_http_t *h, int64_t id) {
    chat_node_t *n = chat_node(c);
    buf_t params = {0};
    value_add_int(&params, id);
    store_run(n->store, c->self, n->op_now, &params, http_timeout(c), VERB_CHAT_HTTP_MESSAGE,
              h->serial);
}

void send_http_answer(conn_t *c, const msg_t *m) {
    chat_http_t *h = c->chat->http;
    if (m->err != ERR_OK) {
        http_refused(c, m);
        return;
    }
    const conversation_sent_t *sent = (const conversation_sent_t *)m->data;
    if (sent->repeat) {
        read_now(c, h, sent->id);
        return;
    }
    stat_add(STAT_MESSAGES_HTTP, 1);
    stat_observe(HIST_MESSAGE_ACK, (actor_now_ns(c->self) - h->start_ns) / 1000);
    ack_own(c, h, sent->seq);
    message_row_t row = {.id = sent->id,
                         .conversation = h->conversation,
                         .seq = sent->seq,
                         .sender = c->http->user,
                         .at_ms = sent->at_ms,
                         .reply_to = h->reply_to,
                         .content_type = (uint32_t)h->content_type,
                         .client_msg_id = {h->text, h->cid_len},
                         .content = {h->text + h->cid_len, h->content_len}};
    http_message(c, &row);
}

void send_http_row(conn_t *c, const msg_t *m) {
    http_message_row(c, m, ERR_INTERNAL, NULL);
}
