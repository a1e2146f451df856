/* chat_read: read positions, by frame and by HTTP (PROTOCOL.md section 11, row 43): the form is
 * checked here, the rest is the conversation's. Inside the connection's actor. */
#include "actors/chat_in.h"
#include <stdio.h>

static msg_t *read_message(int64_t user, int64_t read_seq, slice_t device) {
    msg_t *m = msg_new(VERB_READ, sizeof(conversation_read_t) + device.len);
    conversation_read_t *r = (conversation_read_t *)m->data;
    r->user = user;
    r->read_seq = read_seq;
    r->device_len = (uint32_t)device.len;
    if (device.len)
        memcpy(r->device, device.at, device.len);
    return m;
}

static bool read_form(const json_doc_t *doc, json_at_t at, int64_t *conversation, int64_t *seq) {
    return json_int(doc, json_get(doc, at, "conversation_id"), conversation) && *conversation > 0 &&
           json_int(doc, json_get(doc, at, "read_seq"), seq);
}

/* --- the frame --- */

void read_frame(conn_t *c, const frame_in_t *f) {
    int64_t conversation, seq;
    if (!read_form(f->doc, f->data, &conversation, &seq)) {
        conn_error(c, f->id, ERR_BAD_REQUEST, "invalid read request", CHAT_NONE, 0);
        return;
    }
    chat_t *ch = chat_of(c);
    chat_read_t *r = pool_alloc(sizeof *r);
    *r = (chat_read_t){.next = ch->reads,
                       .conversation = conversation,
                       .turn = conn_notify_later(c),
                       .id_len = (uint8_t)f->id.len};
    if (f->id.len)
        memcpy(r->id, f->id.at, f->id.len);
    ch->reads = r;
    chat_wait(c);
    actor_request_key(c->self, KIND_CONVERSATION, (uint64_t)conversation,
                      read_message(c->user, seq, slice_of(c->device)), 0, VERB_CHAT_POSITION,
                      r->turn);
}

static chat_read_t *take_read(chat_t *ch, uint32_t turn) {
    chat_read_t **at = &ch->reads;
    while (*at && (*at)->turn != turn)
        at = &(*at)->next;
    chat_read_t *r = *at;
    if (r)
        *at = r->next;
    return r;
}

static void answer_read(conn_t *c, const chat_read_t *r, const msg_t *m) {
    char extra[128];
    slice_t id = {r->id, r->id_len};
    if (m->err != ERR_OK) {
        conn_error(c, id, m->err, chat_text(m), CHAT_NONE, 0);
        conn_notify_over(c, r->turn);
        return;
    }
    const conversation_position_t *p = (const conversation_position_t *)m->data;
    int n =
        snprintf(extra, sizeof extra, ",\"conversation_id\":%lld,\"read_seq\":%lld,\"unread\":%lld",
                 (long long)r->conversation, (long long)p->read_seq, (long long)p->unread);
    conn_notify_turn(c, r->turn, id, (slice_t){extra, (size_t)n});
}

void read_position(conn_t *c, const msg_t *m) {
    chat_read_t *r = take_read(c->chat, (uint32_t)m->cookie);
    chat_answered(c);
    if (r)
        answer_read(c, r, m);
    pool_free(r, sizeof *r);
    chat_forget(c);
}

void read_free(chat_t *ch) {
    while (ch->reads)
        pool_free(take_read(ch, ch->reads->turn), sizeof(chat_read_t));
}

/* --- row 43 --- */

void chat_http_read(conn_t *c) {
    int64_t conversation, seq;
    if (!http_object(c) || !read_form(conn_doc(c), JSON_ROOT, &conversation, &seq)) {
        conn_http_error(c, ERR_BAD_REQUEST, NULL, 0);
        return;
    }
    chat_http_t *h = http_asks(c, 0);
    actor_request_key(c->self, KIND_CONVERSATION, (uint64_t)conversation,
                      read_message(c->http->user, seq, slice_of(c->http->device)), http_timeout(c),
                      VERB_CHAT_HTTP_POSITION, h->serial);
}

void read_http_answer(conn_t *c, const msg_t *m) {
    char data[96];
    if (m->err != ERR_OK) {
        http_refused(c, m);
        return;
    }
    const conversation_position_t *p = (const conversation_position_t *)m->data;
    int n = snprintf(data, sizeof data, "{\"read_seq\":%lld,\"unread\":%lld}",
                     (long long)p->read_seq, (long long)p->unread);
    conn_http_ok(c, (slice_t){data, (size_t)n}, CHAT_NONE);
    http_done(c);
}
