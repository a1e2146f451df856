/* chat_part: the answer of a sync, in parts of at most 256 KiB (PROTOCOL.md 9.5): what belongs to
 * one conversation stands in one part. Inside the connection's actor. */
#include "actors/chat_sync.h"

#define PART_BYTES         (256 * 1024 - 2048) /* without the envelope */
#define PART_CONVERSATIONS 1000
#define ENTRY_BYTES        300 /* most that a conversation's entries in the maps take */

static void empty(part_t *p) {
    p->messages.len = p->more.len = p->seqs.len = p->latest_changes.len = 0;
    p->unread.len = p->reads.len = p->changes.len = p->conversations = 0;
}

void part_free(part_t *p) {
    buf_free(&p->messages);
    buf_free(&p->more);
    buf_free(&p->seqs);
    buf_free(&p->latest_changes);
    buf_free(&p->unread);
    buf_free(&p->reads);
    buf_free(&p->changes);
}

static uint32_t size_of(const part_t *p) {
    return p->messages.len + p->more.len + p->seqs.len + p->latest_changes.len + p->unread.len +
           p->reads.len + p->changes.len;
}

/* --- a part leaves --- */

static void add_map(buf_t *b, const char *key, const buf_t *entries) {
    json_add_key(b, key);
    buf_add_char(b, '{');
    buf_add_slice(b, buf_slice(entries));
    buf_add_char(b, '}');
}

static void add_list(buf_t *b, const char *key, const buf_t *entries) {
    json_add_key(b, key);
    buf_add_char(b, '[');
    buf_add_slice(b, buf_slice(entries));
    buf_add_char(b, ']');
}

static void send(conn_t *c, part_t *p, const buf_t *denied, bool partial) {
    buf_t *b = chat_open(c, "sync_resp", (slice_t){p->id, p->id_len});
    buf_add_text(b, ",\"data\":{");
    add_map(b, "messages", &p->messages);
    add_map(b, "has_more", &p->more);
    add_map(b, "latest_seqs", &p->seqs);
    add_map(b, "latest_changes", &p->latest_changes);
    add_map(b, "unread", &p->unread);
    add_map(b, "read_seqs", &p->reads);
    add_list(b, "changes", &p->changes);
    add_list(b, "denied", denied);
    json_add_bool(b, "partial", partial);
    json_add_int(b, "server_time", actor_wall_ms(c->self));
    buf_add_char(b, '}');
    stat_add(STAT_OUT_SYNC_RESP, 1);
    conn_frame_end(c, b);
    empty(p);
}

/* --- a conversation enters --- */

static void key(buf_t *b, int64_t conversation) {
    if (b->len)
        buf_add_char(b, ',');
    buf_add_char(b, '"');
    buf_add_int(b, conversation);
    buf_add_text(b, "\":");
}

static void entry(buf_t *b, int64_t conversation, int64_t value) {
    key(b, conversation);
    buf_add_int(b, value);
}

static void enter(conn_t *c, chat_sync_t *s, const sync_row_t *r, const buf_t *messages) {
    static const buf_t nobody = {0};
    part_t *p = &s->part;
    uint32_t more = messages->len + r->changes_len + ENTRY_BYTES;
    if (p->conversations &&
        (p->conversations == PART_CONVERSATIONS || size_of(p) + more > PART_BYTES))
        send(c, p, &nobody, true);
    p->conversations++;
    if (messages->len) {
        key(&p->messages, r->conversation);
        buf_add_char(&p->messages, '[');
        buf_add_slice(&p->messages, buf_slice(messages));
        buf_add_char(&p->messages, ']');
    }
    key(&p->more, r->conversation);
    buf_add_text(&p->more, r->last < r->latest ? "true" : "false");
    entry(&p->seqs, r->conversation, r->latest);
    entry(&p->latest_changes, r->conversation, r->change);
    entry(&p->unread, r->conversation, r->latest > r->read_seq ? r->latest - r->read_seq : 0);
    entry(&p->reads, r->conversation, r->read_seq);
    if (r->changes_len == 0)
        return;
    if (p->changes.len)
        buf_add_char(&p->changes, ',');
    buf_add(&p->changes, s->changes_json.at + r->changes_at, r->changes_len);
}

/* --- messages --- */

/* One row ahead: the first of the next conversation ends this one. */
typedef struct reader {
    store_rows_t *rows;
    message_row_t m;
    bool have;
} reader_t;

static void next(reader_t *in) {
    slice_t row;
    in->have = in->rows && store_rows_next(in->rows, &row);
    if (in->have)
        chat_row(&row, &in->m);
}

/* false: it does not fit, and so do those behind it. */
static bool take(chat_sync_t *s, sync_row_t *r, const message_row_t *m, buf_t *out) {
    uint32_t before = out->len;
    if (s->full)
        return false;
    if (before)
        buf_add_char(out, ',');
    uint32_t start = out->len;
    message_push_json(out, m);
    uint32_t len = out->len - start;
    s->full = s->bytes + len > SYNC_BYTES;
    if (s->full || (before && out->len + r->changes_len + ENTRY_BYTES > PART_BYTES)) {
        out->len = before;
        return false;
    }
    s->bytes += len;
    r->last = m->seq;
    return true;
}

static void messages_of(chat_sync_t *s, sync_row_t *r, reader_t *in, buf_t *out) {
    bool room = true;
    out->len = 0;
    for (; in->have && in->m.conversation == r->conversation; next(in))
        if (room && in->m.seq == r->last + 1)
            room = take(s, r, &in->m, out);
}

void part_rows(conn_t *c, chat_sync_t *s, uint32_t end, store_rows_t *rows) {
    buf_t *out = &chat_here(c->self)->list;
    reader_t in = {.rows = rows};
    next(&in);
    for (; s->done < end; s->done++) {
        sync_row_t *r = &s->rows[s->done];
        messages_of(s, r, &in, out);
        enter(c, s, r, out);
    }
}

/* --- changes, denied --- */

static void change_json(buf_t *b, slice_t *row, int64_t conversation, int64_t change) {
    buf_add_char(b, '{');
    json_add_int(b, "conversation_id", conversation);
    json_add_int(b, "change", change);
    json_add_text(b, "kind", value_next_text(row));
    json_add_int(b, "message_id", value_next_int(row));
    json_add_int(b, "seq", value_next_int(row));
    json_add_int(b, "operator_id", value_next_int(row));
    json_add_int(b, "at_ms", value_next_int(row));
    buf_add_char(b, '}');
}

void part_take_changes(chat_sync_t *s, store_rows_t *rows) {
    buf_t *b = &s->changes_json;
    slice_t row;
    uint32_t i = 0;
    while (store_rows_next(rows, &row)) {
        int64_t conversation = value_next_int(&row), change = value_next_int(&row);
        while (i < s->row_count && s->rows[i].conversation != conversation)
            i++;
        if (i == s->row_count)
            return; /* not in the order that was asked for: none of ours */
        sync_row_t *r = &s->rows[i];
        if (r->changes_len)
            buf_add_char(b, ',');
        else
            r->changes_at = b->len;
        change_json(b, &row, conversation, change);
        r->changes_len = b->len - r->changes_at;
    }
}

void part_end(conn_t *c, chat_sync_t *s) {
    static const buf_t nobody = {0};
    buf_t denied = {0};
    for (uint32_t i = 0; i < s->points.count; i++) {
        if (s->points.at[i].found)
            continue;
        if (denied.len)
            buf_add_char(&denied, ',');
        buf_add_int(&denied, s->points.at[i].conversation);
    }
    if (s->part.conversations && size_of(&s->part) + denied.len > PART_BYTES)
        send(c, &s->part, &nobody, true);
    send(c, &s->part, &denied, false);
    buf_free(&denied);
}
