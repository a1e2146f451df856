/* chat_ack: what a device says it has (PROTOCOL.md 9.4, Ack, Ack state). An ack of what this socket
 * was given is a matter of memory; one beyond that is cut to the newest seq by the store. Acks are
 * written in one batch within 5 s; when the socket ends the user's inbox writes them, and a new
 * socket of the device waits for that. Inside the connection's actor. */
#include "actors/chat_in.h"

#define SAVE_MS    4000
#define BATCH_MAX  500
#define CLAIMS_MAX 1000              /* that wait, per socket */
#define MEMORY_MS  (30 * 86400000ll) /* acks of a device not seen for so long are forgotten */

/* --- acks to be written --- */

void ack_arm(conn_t *c) {
    chat_t *ch = c->chat;
    if (!ch->save_timer && !c->closing)
        ch->save_timer = actor_after(c->self, SAVE_MS, VERB_CHAT_SAVE_DUE, 0);
}

static void list_free(chat_acks_t *l) {
    pool_free(l->at, l->cap * sizeof *l->at);
    *l = (chat_acks_t){0};
}

static uint32_t place(const chat_acks_t *l, int64_t conversation) {
    uint32_t low = 0, high = l->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (l->at[mid].conversation < conversation)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The highest seq of a conversation counts. */
static void list_add(chat_acks_t *l, int64_t conversation, int64_t seq) {
    uint32_t at = place(l, conversation);
    if (at < l->count && l->at[at].conversation == conversation) {
        l->at[at].seq = l->at[at].seq > seq ? l->at[at].seq : seq;
        return;
    }
    if (l->count == l->cap)
        l->at = pool_grow(l->at, &l->cap, sizeof *l->at, 4);
    memmove(&l->at[at + 1], &l->at[at], (l->count - at) * sizeof *l->at);
    l->at[at] = (chat_ack_t){conversation, seq};
    l->count++;
}

/* All of `from`, which is empty then. */
static void list_join(chat_acks_t *l, chat_acks_t *from) {
    for (uint32_t i = 0; i < from->count; i++)
        list_add(l, from->at[i].conversation, from->at[i].seq);
    list_free(from);
}

void ack_note(conn_t *c, int64_t conversation, int64_t seq) {
    list_add(&c->chat->acks, conversation, seq);
    ack_arm(c);
}

void ack_apply(conn_t *c, int64_t conversation, int64_t seq) {
    int64_t from;
    chat_stream_t *s = stream_find(c->chat, conversation);
    if (!s) {
        if (seq > 0)
            ack_note(c, conversation, seq);
        return;
    }
    int did = chat_stream_ack(s, seq, &from);
    if (did & CHAT_STREAM_ACKED)
        ack_note(c, conversation, s->acked);
    if (did & CHAT_STREAM_RESYNC)
        stream_resync(c, conversation, from);
}

/* --- frames --- */

static bool read_claim(const json_doc_t *doc, json_at_t at, chat_ack_t *out) {
    int64_t id;
    json_at_t message = json_get(doc, at, "message_id");
    return json_int(doc, json_get(doc, at, "conversation_id"), &out->conversation) &&
           out->conversation > 0 && json_int(doc, json_get(doc, at, "seq"), &out->seq) &&
           (!message || json_int(doc, message, &id));
}

/* Acks what this socket knows of; about what lies beyond the store is asked. */
static void take(conn_t *c, const chat_ack_t *k) {
    chat_stream_t *s = stream_find(c->chat, k->conversation);
    int64_t known = s ? s->seen : 0;
    if (k->seq == 0)
        return;
    if (known)
        ack_apply(c, k->conversation, k->seq < known ? k->seq : known);
    if (k->seq > known)
        list_add(&chat_of(c)->claims, k->conversation, k->seq);
}

static buf_t *open_list(conn_t *c) {
    buf_t *list = &chat_here(c->self)->list;
    list->len = 0;
    buf_add_char(list, '[');
    return list;
}

/* One question at a time; what comes meanwhile goes with the next. */
static void ask_claims(conn_t *c) {
    chat_node_t *n = chat_node(c);
    chat_t *ch = c->chat;
    buf_t *list = open_list(c), params = {0};
    if (!ch || ch->claiming.count || !ch->claims.count)
        return;
    ch->claiming = ch->claims;
    ch->claims = (chat_acks_t){0};
    for (uint32_t i = 0; i < ch->claiming.count; i++)
        chat_list_add(list, ch->claiming.at[i].conversation, ch->claiming.at[i].seq, -1);
    buf_add_char(list, ']');
    value_add_text(&params, buf_slice(list));
    value_add_int(&params, c->user);
    store_run(n->store, c->self, n->op_claim, &params, 0, VERB_CHAT_CLAIMS, 0);
}

static void claims_taken(conn_t *c) {
    if (c->chat && c->chat->claims.count >= CLAIMS_MAX)
        conn_pause(c, PAUSE_CLAIMS);
    ask_claims(c);
}

static void done(conn_t *c, const frame_in_t *f) {
    if (f->id.len)
        conn_notify_ok(c, f->id, (slice_t){"", 0});
}

void ack_frame(conn_t *c, const frame_in_t *f) {
    chat_ack_t k;
    if (!read_claim(f->doc, f->data, &k)) {
        conn_error(c, f->id, ERR_BAD_REQUEST, "invalid ack data", CHAT_NONE, 0);
        return;
    }
    take(c, &k);
    claims_taken(c);
    done(c, f);
}

void ack_batch(conn_t *c, const frame_in_t *f) {
    chat_ack_t k[BATCH_MAX];
    uint32_t n = 0;
    json_at_t acks = json_get(f->doc, f->data, "acks");
    uint32_t count = json_type(f->doc, acks) == JSON_ARRAY ? json_count(f->doc, acks) : 0;
    bool ok = count >= 1 && count <= BATCH_MAX;
    for (json_at_t at = json_first(f->doc, acks); ok && at; at = json_next(f->doc, at))
        ok = read_claim(f->doc, at, &k[n++]);
    if (!ok) {
        conn_error(c, f->id, ERR_BAD_REQUEST, "invalid batch ack data", CHAT_NONE, 0);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        take(c, &k[i]);
    claims_taken(c);
    done(c, f);
}

void ack_claimed(conn_t *c, const msg_t *m) {
    chat_t *ch = c->chat;
    store_rows_t rows;
    slice_t row;
    if (m->err != ERR_OK) { /* they are cut when they are written */
        list_join(&ch->acks, &ch->claiming);
        ack_arm(c);
    } else if (store_rows_open(&rows, m)) {
        while (store_rows_next(&rows, &row)) {
            int64_t conversation = value_next_int(&row);
            ack_apply(c, conversation, value_next_int(&row));
        }
    }
    list_free(&ch->claiming);
    conn_resume(c, PAUSE_CLAIMS);
    ask_claims(c);
    chat_forget(c);
}

/* --- writing --- */

/* Own sends that nobody acked: the store counts them where it knows of acks right below. */
static void add_own(chat_stream_t *s, buf_t *list) {
    for (uint8_t i = 0; i < s->skip_count; i++)
        if (s->skips[i].own)
            chat_list_add(list, s->conversation, s->skips[i].to, s->skips[i].from);
    s->own_news = false;
}

/* What a save has to do besides noting that the device was seen. */
enum { SAVE_ACKS = 1, SAVE_OWN = 2, SAVE_FORGET = 4 };

static uint32_t add_acks(buf_t *list, const chat_acks_t *l) {
    for (uint32_t i = 0; i < l->count; i++)
        chat_list_add(list, l->at[i].conversation, l->at[i].seq, 0);
    return l->count ? SAVE_ACKS : 0;
}

static uint32_t add_all_own(chat_t *ch, buf_t *list) {
    uint32_t before = list->len;
    for (uint32_t i = 0; i < ch->stream_count; i++)
        if (ch->streams[i].own_news)
            add_own(&ch->streams[i], list);
    return list->len > before ? SAVE_OWN : 0;
}

static void add_list(const chat_node_t *n, store_batch_t *batch, int op, int64_t user,
                     slice_t device, slice_t list) {
    buf_t params = {0};
    if (op == n->op_save) { /* in the order in which its text names them */
        value_add_text(&params, device);
        value_add_text(&params, list);
        value_add_int(&params, user);
    } else {
        value_add_text(&params, list);
        value_add_int(&params, user);
        value_add_text(&params, device);
    }
    store_batch_add(n->store, batch, op, &params);
}

static void add_forget(const chat_node_t *n, store_batch_t *batch, int op, int64_t user,
                       int64_t oldest) {
    buf_t params = {0};
    value_add_int(&params, user);
    value_add_int(&params, oldest);
    value_add_int(&params, n->devices);
    store_batch_add(n->store, batch, op, &params);
}

static void save(actor_t *self, int64_t user, slice_t device, slice_t list, uint32_t what,
                 uint32_t verb) {
    const chat_node_t *n = chat_here(self)->node;
    int64_t now = actor_wall_ms(self);
    store_batch_t batch = {0};
    buf_t params = {0};
    value_add_int(&params, user);
    value_add_text(&params, device);
    value_add_int(&params, now);
    store_batch_add(n->store, &batch, n->op_seen, &params);
    if (what & SAVE_ACKS)
        add_list(n, &batch, n->op_save, user, device, list);
    if (what & SAVE_OWN)
        add_list(n, &batch, n->op_save_own, user, device, list);
    if (what & SAVE_FORGET) {
        add_forget(n, &batch, n->op_forget_acks, user, now - MEMORY_MS);
        add_forget(n, &batch, n->op_forget_devices, user, now - MEMORY_MS);
    }
    store_batch_run(n->store, self, &batch, 0, verb, 0);
}

void ack_due(conn_t *c) {
    chat_t *ch = c->chat;
    ch->save_timer = 0;
    if (ch->at_store) { /* it is slow: the rest goes with the next one */
        ack_arm(c);
        return;
    }
    buf_t *list = open_list(c);
    uint32_t what = add_acks(list, &ch->acks) | add_all_own(ch, list);
    buf_add_char(list, ']');
    if (!ch->saved_once) /* a device that is new may be one too many */
        what |= SAVE_FORGET;
    ch->saving = ch->acks;
    ch->acks = (chat_acks_t){0};
    ch->saved_once = ch->at_store = true;
    save(c->self, c->user, slice_of(c->device), buf_slice(list), what, VERB_CHAT_SAVED);
}

void ack_saved(conn_t *c, const msg_t *m) {
    chat_t *ch = c->chat;
    ch->at_store = false;
    if (m->err != ERR_OK && ch->saving.count) {
        list_join(&ch->acks, &ch->saving);
        ack_arm(c);
    }
    list_free(&ch->saving);
}

/* --- the end of a socket --- */

/* VERB_ACKED. */
typedef struct handed {
    uint32_t device_len, list_len, what;
    char bytes[];
} handed_t;

void ack_hand_over(conn_t *c) {
    chat_t *ch = c->chat;
    slice_t device = slice_of(c->device);
    buf_t *list = open_list(c);
    uint32_t what = add_acks(list, &ch->saving) | add_acks(list, &ch->acks) |
                    add_acks(list, &ch->claiming) | add_acks(list, &ch->claims) |
                    add_all_own(ch, list);
    if (list->len == 1 && !ch->saved_once)
        return;
    buf_add_char(list, ']');
    msg_t *m = msg_new(VERB_ACKED, sizeof(handed_t) + device.len + list->len);
    handed_t *h = (handed_t *)m->data;
    h->device_len = (uint32_t)device.len;
    h->list_len = list->len;
    h->what = what | SAVE_FORGET;
    memcpy(mempcpy(h->bytes, device.at, device.len), list->at, list->len);
    actor_send_key(c->self, KIND_INBOX, (uint64_t)c->user, m);
    list_free(&ch->acks);
}

void chat_save_acks(actor_t *inbox, const msg_t *m, uint32_t reply_verb) {
    const handed_t *h = (const handed_t *)m->data;
    save(inbox, (int64_t)actor_key(inbox), (slice_t){h->bytes, h->device_len},
         (slice_t){h->bytes + h->device_len, h->list_len}, h->what, reply_verb);
}

void ack_free(chat_t *ch) {
    list_free(&ch->acks);
    list_free(&ch->saving);
    list_free(&ch->claims);
    list_free(&ch->claiming);
}
