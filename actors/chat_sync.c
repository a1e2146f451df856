/* chat_sync: the frame `sync` (PROTOCOL.md 9.5). Two steps: what the store knows of the asked
 * conversations; then, a page at a time, their messages (and changes, with the first page). Parts
 * of the answer leave as they get full (chat_part.c). One sync of a socket is answered at a time,
 * the next ones wait: so answers come in the order of the frames. Inside the connection's actor. */
#include "actors/chat_sync.h"
#include "base/text.h"
#include <stdlib.h>

#define POINTS_MAX 1000
#define LIMIT      50
#define LIMIT_MAX  200
#define SYNCS_MAX  8 /* that wait, per socket */

/* --- the request --- */

static int by_conversation(const void *a, const void *b) {
    const sync_point_t *x = a, *y = b;
    if (x->conversation != y->conversation)
        return x->conversation < y->conversation ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Rising by conversation; of a repeated one the last counts. */
static void sort_points(sync_points_t *p) {
    uint32_t n = 0;
    if (p->count)
        qsort(p->at, p->count, sizeof *p->at, by_conversation);
    for (uint32_t i = 0; i < p->count; i++)
        if (i + 1 == p->count || p->at[i + 1].conversation != p->at[i].conversation)
            p->at[n++] = p->at[i];
    p->count = n;
}

/* An id as a key: its digits and no other way to write it. */
static bool key_id(slice_t key, int64_t *out) {
    return key.len && key.at[0] != '0' && text_to_int(key, out);
}

static bool read_points(const json_doc_t *doc, json_at_t object, sync_points_t *out) {
    if (!object)
        return true;
    uint32_t count = json_count(doc, object), n = 0;
    if (json_type(doc, object) != JSON_OBJECT || count > POINTS_MAX)
        return false;
    out->at = count ? pool_alloc(count * sizeof *out->at) : NULL;
    out->cap = count;
    for (json_at_t at = json_first(doc, object); at; at = json_next(doc, at)) {
        sync_point_t *p = &out->at[n];
        if (json_type(doc, at) == JSON_NULL)
            continue;
        if (!key_id(json_key(doc, at), &p->conversation) || !json_int(doc, at, &p->point))
            return false;
        p->found = false;
        p->order = n++;
    }
    out->count = n;
    sort_points(out);
    return true;
}

sync_point_t *sync_point(const sync_points_t *p, int64_t conversation) {
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (p->at[mid].conversation < conversation)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->count && p->at[low].conversation == conversation ? &p->at[low] : NULL;
}

static bool read_request(const frame_in_t *f, chat_sync_t *s) {
    json_at_t limit = json_get(f->doc, f->data, "limit");
    json_at_t list = json_get(f->doc, f->data, "list_only");
    if (f->data && json_type(f->doc, f->data) != JSON_OBJECT)
        return false;
    if (limit && !json_int(f->doc, limit, &s->limit))
        return false;
    if (list && !json_bool(f->doc, list, &s->list_only))
        return false;
    s->limit = s->limit == 0 ? LIMIT : s->limit > LIMIT_MAX ? LIMIT_MAX : s->limit;
    return read_points(f->doc, json_get(f->doc, f->data, "sync_points"), &s->points) &&
           read_points(f->doc, json_get(f->doc, f->data, "change_points"), &s->changes);
}

static void release(chat_sync_t *s) {
    pool_free(s->points.at, s->points.cap * sizeof *s->points.at);
    pool_free(s->changes.at, s->changes.cap * sizeof *s->changes.at);
    pool_free(s->rows, s->row_count * sizeof *s->rows);
    buf_free(&s->changes_json);
    part_free(&s->part);
    pool_free(s, sizeof *s);
}

void sync_free(chat_t *ch) {
    while (ch->sync_first) {
        chat_sync_t *s = ch->sync_first;
        ch->sync_first = s->next;
        release(s);
    }
}

/* --- one after the other --- */

static void start(conn_t *c, const chat_sync_t *s) {
    chat_node_t *n = chat_node(c);
    buf_t params = {0}, list = {0};
    if (s->points.count) {
        buf_add_char(&list, '[');
        for (uint32_t i = 0; i < s->points.count; i++) {
            if (i)
                buf_add_char(&list, ',');
            buf_add_int(&list, s->points.at[i].conversation);
        }
        buf_add_char(&list, ']');
        value_add_text(&params, buf_slice(&list));
        buf_free(&list);
    }
    value_add_int(&params, c->user);
    store_run(n->store, c->self, s->points.count ? n->op_sync_some : n->op_sync_all, &params, 0,
              VERB_CHAT_SYNC, 0);
}

void sync_frame(conn_t *c, const frame_in_t *f) {
    chat_sync_t *s = pool_zalloc(sizeof *s);
    if (!read_request(f, s)) {
        release(s);
        conn_error(c, f->id, ERR_BAD_REQUEST, "invalid sync data", CHAT_NONE, 0);
        return;
    }
    chat_t *ch = chat_of(c);
    s->part.id_len = (uint8_t)f->id.len;
    if (f->id.len)
        memcpy(s->part.id, f->id.at, f->id.len);
    if (ch->sync_first)
        ch->sync_last->next = s;
    else
        ch->sync_first = s;
    ch->sync_last = s;
    if (++ch->syncs >= SYNCS_MAX)
        conn_pause(c, PAUSE_SYNCS);
    if (ch->sync_first == s)
        start(c, s);
}

static void finish(conn_t *c) {
    chat_t *ch = c->chat;
    chat_sync_t *s = ch->sync_first;
    ch->sync_first = s->next;
    release(s);
    if (--ch->syncs < SYNCS_MAX)
        conn_resume(c, PAUSE_SYNCS);
    if (ch->sync_first)
        start(c, ch->sync_first);
    else
        chat_forget(c);
}

static void fail(conn_t *c, const msg_t *m) {
    const part_t *p = &c->chat->sync_first->part;
    conn_error(c, (slice_t){p->id, p->id_len}, m->err, NULL, CHAT_NONE, 0);
    finish(c);
}

/* --- step one: the conversations --- */

static void read_row(chat_sync_t *s, slice_t row, sync_row_t *r) {
    *r = (sync_row_t){.conversation = value_next_int(&row)};
    r->latest = value_next_int(&row);
    r->change = value_next_int(&row);
    r->read_seq = value_next_int(&row);
    sync_point_t *p = sync_point(&s->points, r->conversation);
    if (p)
        p->found = true;
    r->point = !p ? 0 : p->point < r->latest ? p->point : r->latest;
    r->last = r->point;
    const sync_point_t *k = sync_point(&s->changes, r->conversation);
    r->change_point = !k ? r->change : k->point < r->change ? k->point : r->change;
}

static void read_rows(chat_sync_t *s, const msg_t *m) {
    store_rows_t rows;
    slice_t row;
    if (!store_rows_open(&rows, m) || rows.rows_left == 0)
        return;
    s->row_count = rows.rows_left;
    s->rows = pool_alloc(s->row_count * sizeof *s->rows);
    uint32_t n = 0;
    while (n < s->row_count && store_rows_next(&rows, &row))
        read_row(s, row, &s->rows[n++]);
}

/* How much of each conversation is loaded: the most recently active ones first. */
static void plan(chat_sync_t *s) {
    int64_t messages = s->list_only ? 0 : SYNC_MESSAGES, changes = SYNC_CHANGES;
    for (uint32_t i = 0; i < s->row_count; i++) {
        sync_row_t *r = &s->rows[i];
        int64_t n = r->latest - r->point, k = r->change - r->change_point;
        n = n < s->limit ? n : s->limit;
        r->messages = (uint16_t)(n < messages ? n : messages);
        messages -= r->messages;
        k = k < SYNC_CHANGES_EACH ? k : SYNC_CHANGES_EACH;
        r->changes = (uint16_t)(k < changes ? k : changes);
        changes -= r->changes;
    }
}

/* Points ack what they say. */
static void ack_points(conn_t *c, const chat_sync_t *s) {
    for (uint32_t i = 0; s->points.count && i < s->row_count; i++)
        if (s->rows[i].point)
            ack_apply(c, s->rows[i].conversation, s->rows[i].point);
}

/* --- step two: pages --- */

static void open_list(buf_t *list) {
    list->len = 0;
    buf_add_char(list, '[');
}

static void add_op(conn_t *c, store_batch_t *batch, int op, buf_t *list) {
    buf_t params = {0};
    buf_add_char(list, ']');
    value_add_text(&params, buf_slice(list));
    value_add_int(&params, c->user);
    store_batch_add(chat_node(c)->store, batch, op, &params);
}

static void add_changes(conn_t *c, const chat_sync_t *s, store_batch_t *batch) {
    buf_t *list = &chat_here(c->self)->list;
    open_list(list);
    for (uint32_t i = 0; i < s->row_count; i++) {
        const sync_row_t *r = &s->rows[i];
        if (r->changes)
            chat_list_add(list, r->conversation, r->change_point + 1, r->change_point + r->changes);
    }
    add_op(c, batch, chat_node(c)->op_changes, list);
}

/* Conversations until a page is full; s->page is where the next page begins. */
static void add_messages(conn_t *c, chat_sync_t *s, store_batch_t *batch) {
    buf_t *list = &chat_here(c->self)->list;
    uint32_t n = 0;
    open_list(list);
    uint32_t most = s->smaller ? SYNC_SMALL : SYNC_PAGE;
    for (; s->page < s->row_count && n < most; s->page++) {
        const sync_row_t *r = &s->rows[s->page];
        if (r->messages)
            chat_list_add(list, r->conversation, r->point + 1, r->point + r->messages);
        n += r->messages;
    }
    add_op(c, batch, chat_node(c)->op_ranges, list);
}

static bool wants(const chat_sync_t *s, bool changes) {
    for (uint32_t i = s->page; i < s->row_count; i++)
        if (changes ? s->rows[i].changes : s->rows[i].messages)
            return true;
    return false;
}

/* Asks for the next page; false: there is nothing to ask for. */
static bool next_page(conn_t *c, chat_sync_t *s, bool first) {
    store_batch_t batch = {0};
    s->with_changes = first && wants(s, true);
    s->with_messages = !s->full && wants(s, false);
    if (!s->with_changes && !s->with_messages)
        return false;
    if (s->with_changes)
        add_changes(c, s, &batch);
    if (s->with_messages)
        add_messages(c, s, &batch);
    store_batch_run(chat_node(c)->store, c->self, &batch, 0, VERB_CHAT_SYNC_PAGE, 0);
    return true;
}

static void end(conn_t *c, chat_sync_t *s) {
    part_rows(c, s, s->row_count, NULL);
    part_end(c, s);
    stat_add(STAT_SYNCS, 1);
    finish(c);
}

void sync_state(conn_t *c, const msg_t *m) {
    chat_sync_t *s = c->chat->sync_first;
    if (!s || c->closing)
        return;
    if (m->err != ERR_OK) {
        fail(c, m);
        return;
    }
    read_rows(s, m);
    plan(s);
    ack_points(c, s);
    if (!next_page(c, s, true))
        end(c, s);
}

/* Texts so large that a page is more than the store gives in one answer: the lists end early. */
static void smaller(conn_t *c, chat_sync_t *s) {
    bool with_changes = s->with_changes;
    s->smaller = true;
    s->page = s->done;
    for (uint32_t i = s->page; i < s->row_count; i++)
        if (s->rows[i].messages > SYNC_SMALL)
            s->rows[i].messages = SYNC_SMALL;
    next_page(c, s, with_changes);
}

void sync_page(conn_t *c, const msg_t *m) {
    chat_sync_t *s = c->chat->sync_first;
    store_rows_t rows;
    if (!s || c->closing)
        return;
    if (m->err == ERR_TOO_LARGE && !s->smaller) {
        smaller(c, s);
        return;
    }
    if (m->err != ERR_OK) {
        fail(c, m);
        return;
    }
    bool any = store_rows_open(&rows, m);
    if (any && s->with_changes) {
        part_take_changes(s, &rows);
        any = store_rows_next_op(&rows);
    }
    if (any && s->with_messages)
        part_rows(c, s, s->page, &rows);
    if (!next_page(c, s, false))
        end(c, s);
}
