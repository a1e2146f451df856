/* conversation_fake: a store in memory with one conversation, whose answers a spec can hold back or
 * spoil. */
#pragma once
#include "sched/look.h"
#include "spec/actors/conversation_stage.h"

enum { ROWS = 4096 };

/* --- the store: tables --- */

typedef struct row {
    int64_t id, seq, sender, at_ms, type, reply_to, change, change_ms;
    char cid[80], content[200];
} row_t;

static struct {
    bool there, dissolved, mute_all, low_blocked, high_blocked;
    int64_t type, folded, change, low;
    struct {
        int64_t user, rank, muted, read_seq;
    } members[64];
    int member_count;
    row_t rows[ROWS];
    int row_count;
} db;

/* How the store behaves. */
static struct {
    bool hold;             /* requests wait for store_go */
    int append_err;        /* the next append is answered so, once */
    bool append_done;      /* .. and done all the same */
    int load_err, run_err; /* reads of facts / the next write by operation */
    bool run_done;
    int appends, items, loads, folds;
} port;

static row_t *row_by(int64_t sender, slice_t cid) {
    for (int i = 0; i < db.row_count; i++)
        if (db.rows[i].sender == sender && slice_eq(slice_of(db.rows[i].cid), cid))
            return &db.rows[i];
    return NULL;
}

static row_t *row_of(int64_t id) {
    for (int i = 0; i < db.row_count; i++)
        if (db.rows[i].id == id)
            return &db.rows[i];
    return NULL;
}

static row_t *row_add(int64_t sender, const char *cid, const char *content) {
    row_t *r = &db.rows[db.row_count++];
    *r = (row_t){.id = 900 + db.row_count, .seq = db.row_count, .sender = sender, .type = 1};
    snprintf(r->cid, sizeof r->cid, "%s", cid);
    snprintf(r->content, sizeof r->content, "%s", content);
    return r;
}

/* --- the store: operations. A result is {rows, changed}, then rows: length, values. --- */

enum {
    OP_LOAD,
    OP_MEMBERS,
    OP_TOUCH,
    OP_REPEAT,
    OP_ABOVE,
    OP_READ,
    OP_FOLD_MEMBERS,
    OP_FOLD,
    OP_RECALLED,
    OP_RECALL,
    OP_CHANGE,
    OP_CHANGE_ADD,
    OPS
};
static const struct {
    const char *name, *params[6];
} op_list[OPS] = {
    [OP_LOAD] = {"conversation_load", {":conversation"}},
    [OP_MEMBERS] = {"conversation_members", {":conversation"}},
    [OP_TOUCH] = {"conversation_touch", {":conversation"}},
    [OP_REPEAT] = {"conversation_repeat", {":conversation", ":sender", ":client_msg_id"}},
    [OP_ABOVE] = {"conversation_above", {":conversation", ":seq", ":limit"}},
    [OP_READ] = {"conversation_read", {":seq", ":conversation", ":user"}},
    [OP_FOLD_MEMBERS] = {"conversation_fold_members", {":conversation", ":after", ":upto"}},
    [OP_FOLD] = {"conversation_fold", {":upto", ":conversation"}},
    [OP_RECALLED] = {"conversation_recalled", {":message", ":conversation"}},
    [OP_RECALL] = {"conversation_recall", {":message", ":conversation"}},
    [OP_CHANGE] = {"conversation_change", {":conversation"}},
    [OP_CHANGE_ADD] = {"conversation_change_add",
                       {":message", ":seq", ":operator", ":now", ":conversation"}},
};

int store_op(const store_t *s, const char *name) {
    (void)s;
    for (int i = 0; i < OPS; i++)
        if (strcmp(op_list[i].name, name) == 0)
            return i;
    return -1;
}
const char *const *store_op_params(const store_t *s, int op, size_t *count) {
    (void)s;
    for (*count = 0; *count < 6 && op_list[op].params[*count];)
        ++*count;
    return op_list[op].params;
}

typedef struct result {
    buf_t rows;
    uint32_t count, changed;
} result_t;

static void add_row(result_t *r, buf_t *row) {
    buf_add(&r->rows, &row->len, sizeof row->len);
    buf_add(&r->rows, row->at, row->len);
    row->len = 0;
    r->count++;
}

static int64_t own_seq(int64_t user) {
    int64_t seq = 0;
    for (int i = 0; i < db.row_count; i++)
        if (db.rows[i].sender == user && db.rows[i].seq > db.folded)
            seq = db.rows[i].seq;
    return seq;
}

static void op_load(result_t *r, buf_t *row) {
    const row_t *last = db.row_count ? &db.rows[db.row_count - 1] : NULL;
    const int64_t v[] = {db.type,
                         db.dissolved,
                         db.mute_all,
                         db.folded,
                         db.low,
                         db.low_blocked,
                         db.high_blocked,
                         last ? last->seq : 0,
                         last ? last->at_ms : 0,
                         db.change};
    port.loads++;
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        value_add_int(row, v[i]);
    if (db.there)
        add_row(r, row);
}

static void op_members(result_t *r, buf_t *row) {
    for (int i = 0; i < db.member_count; i++) {
        int64_t own = own_seq(db.members[i].user), read = db.members[i].read_seq;
        value_add_int(row, db.members[i].user);
        value_add_int(row, db.members[i].rank);
        value_add_int(row, db.members[i].muted);
        value_add_int(row, own > read ? own : read);
        add_row(r, row);
    }
}

static void op_above(result_t *r, buf_t *row, int64_t seq, int64_t limit) {
    for (int i = (int)seq; i < db.row_count && i < seq + limit; i++) {
        const row_t *m = &db.rows[i];
        value_add_int(row, m->id);
        value_add_int(row, m->seq);
        value_add_int(row, m->sender);
        value_add_text(row, slice_of(m->cid));
        value_add_int(row, m->at_ms);
        value_add_int(row, m->type);
        value_add_int(row, m->change != 0);
        value_add_int(row, m->reply_to);
        value_add_text(row, slice_of(m->content));
        add_row(r, row);
    }
}

static void op_read(result_t *r, int64_t seq, int64_t user) {
    for (int i = 0; i < db.member_count; i++)
        if (db.members[i].user == user) {
            if (db.members[i].read_seq < seq)
                db.members[i].read_seq = seq;
            r->changed = 1;
        }
}

static int run_op(uint32_t op, slice_t p, result_t *r) {
    buf_t row = {0};
    int64_t a = 0, b = 0, c = 0, d = 0;
    slice_t cid = {0};
    row_t *m;
    int err = ERR_OK;
    a = value_next_int(&p);
    b = value_next_int(&p);
    if (op == OP_REPEAT)
        cid = value_next_text(&p);
    else
        c = value_next_int(&p);
    d = value_next_int(&p);
    switch (op) {
    case OP_LOAD:
        op_load(r, &row);
        break;
    case OP_MEMBERS:
        op_members(r, &row);
        break;
    case OP_REPEAT:
        if ((m = row_by(b, cid))) {
            value_add_int(&row, m->id);
            value_add_int(&row, m->seq);
            value_add_int(&row, m->at_ms);
            add_row(r, &row);
        }
        break;
    case OP_ABOVE:
        op_above(r, &row, b, c);
        break;
    case OP_READ:
        op_read(r, a, c);
        break;
    case OP_FOLD_MEMBERS:
        for (int i = 0; i < db.member_count; i++)
            op_read(r, own_seq(db.members[i].user), db.members[i].user);
        break;
    case OP_FOLD:
        db.folded = a;
        port.folds++;
        break;
    case OP_RECALLED:
        if ((m = row_of(a)) && m->change) {
            value_add_int(&row, m->change);
            value_add_int(&row, m->change_ms);
            add_row(r, &row);
        }
        break;
    case OP_RECALL:
        m = row_of(a);
        if (!m || m->change)
            err = ERR_STALE;
        else
            snprintf(m->content, sizeof m->content, "{}");
        break;
    case OP_CHANGE:
        value_add_int(&row, ++db.change);
        add_row(r, &row);
        break;
    case OP_CHANGE_ADD:
        if ((m = row_of(a))) {
            m->change = db.change;
            m->change_ms = d;
        }
        break;
    default:
        break;
    }
    buf_free(&row);
    return err;
}

bool store_rows_next_op(store_rows_t *r) {
    slice_t skipped;
    uint32_t head[2];
    while (store_rows_next(r, &skipped))
        ;
    if (r->rest.len < sizeof head)
        return false;
    memcpy(head, r->rest.at, sizeof head);
    r->rest.at += sizeof head;
    r->rest.len -= sizeof head;
    r->rows_left = head[0];
    r->changed = head[1];
    return true;
}
bool store_rows_open(store_rows_t *r, const msg_t *reply) {
    *r = (store_rows_t){0};
    if (!reply->body)
        return false;
    r->rest = (slice_t){reply->body->data, reply->body->len};
    return store_rows_next_op(r);
}
bool store_rows_next(store_rows_t *r, slice_t *row) {
    uint32_t len;
    if (r->rows_left == 0)
        return false;
    memcpy(&len, r->rest.at, sizeof len);
    r->rows_left--;
    *row = (slice_t){r->rest.at + sizeof len, len};
    r->rest.at += sizeof len + len;
    r->rest.len -= sizeof len + len;
    return true;
}

/* --- the store: requests --- */

struct store_append {
    int64_t first;
    uint32_t count;
    store_append_item_t items[1100];
};

typedef struct pending {
    struct pending *next;
    actor_ref_t to;
    uint32_t verb;
    uint64_t cookie;
    store_append_t *append; /* or ops */
    buf_t ops;
} pending_t;
static pending_t *waiting, **waiting_last = &waiting;

static int append_rows(store_append_t *a, store_appended_t *out) {
    int before = db.row_count;
    int64_t seq = a->first;
    if (seq > before + 1)
        return ERR_STALE;
    for (uint32_t i = 0; i < a->count; i++) {
        store_append_item_t *it = &a->items[i];
        row_t *m = row_by(it->sender, it->client_msg_id);
        out[i] = (store_appended_t){0};
        if (m) {
            out[i] = (store_appended_t){m->id, m->seq, m->at_ms, true};
        } else if (it->reply_to && !row_of(it->reply_to)) {
            continue;
        } else if (seq <= db.row_count) {
            db.row_count = before;
            return ERR_STALE;
        } else {
            char cid[80], content[200];
            snprintf(cid, sizeof cid, "%.*s", (int)it->client_msg_id.len, it->client_msg_id.at);
            snprintf(content, sizeof content, "%.*s", (int)it->content.len, it->content.at);
            m = row_add(it->sender, cid, content);
            m->at_ms = it->at_ms;
            m->reply_to = it->reply_to;
            out[i] = (store_appended_t){m->id, seq++, m->at_ms, false};
        }
    }
    return ERR_OK;
}

static msg_t *do_append(pending_t *p) {
    uint32_t count = p->append->count;
    store_appended_t *done = calloc(count, sizeof *done);
    int spoiled = port.append_err, err = spoiled;
    port.append_err = ERR_OK;
    port.appends++;
    port.items += (int)count;
    if (!spoiled || port.append_done)
        err = append_rows(p->append, done);
    err = spoiled ? spoiled : err;
    msg_t *m = err ? msg_new(p->verb, 0) : msg_of(p->verb, done, count * sizeof *done);
    m->err = err;
    for (uint32_t i = 0; i < count; i++)
        free((char *)(uintptr_t)p->append->items[i].client_msg_id.at);
    free(p->append);
    free(done);
    return m;
}

static void answer_bytes(buf_t *out, result_t *r) {
    uint32_t head[2] = {r->count, r->changed};
    buf_add(out, head, sizeof head);
    buf_add(out, r->rows.at, r->rows.len);
    buf_free(&r->rows);
}

static msg_t *do_ops(pending_t *p) {
    msg_t *m = msg_new(p->verb, 0);
    slice_t rest = buf_slice(&p->ops);
    buf_t out = {0};
    int spoiled = ERR_OK;
    while (rest.len && m->err == ERR_OK) {
        uint32_t head[2];
        result_t r = {0};
        memcpy(head, rest.at, sizeof head);
        if (head[0] == OP_LOAD && port.load_err)
            m->err = port.load_err;
        if (port.run_err && (head[0] == OP_READ || head[0] == OP_RECALL)) {
            spoiled = port.run_err;
            port.run_err = ERR_OK;
            if (!port.run_done)
                m->err = spoiled;
        }
        if (m->err == ERR_OK)
            m->err = run_op(head[0], (slice_t){rest.at + sizeof head, head[1]}, &r);
        answer_bytes(&out, &r);
        rest.at += sizeof head + head[1];
        rest.len -= sizeof head + head[1];
    }
    if (spoiled)
        m->err = spoiled;
    if (m->err == ERR_OK)
        m->body = block_of(out.at, out.len);
    buf_free(&out);
    buf_free(&p->ops);
    return m;
}

static void serve(pending_t *p) {
    msg_t *m = p->append ? do_append(p) : do_ops(p);
    m->cookie = p->cookie;
    runtime_send(rt, p->to, m);
    free(p);
}

static void take_request(pending_t p) {
    pending_t *copy = malloc(sizeof *copy);
    *copy = p;
    copy->next = NULL;
    pthread_mutex_lock(&lock);
    if (port.hold) {
        *waiting_last = copy;
        waiting_last = &copy->next;
    } else {
        serve(copy);
    }
    pthread_mutex_unlock(&lock);
}

/* Serves what is held; from now on everything goes through when `on` is false. */
static void store_go(bool hold_on) {
    pthread_mutex_lock(&lock);
    port.hold = hold_on;
    pending_t *list = waiting;
    waiting = NULL;
    waiting_last = &waiting;
    while (list) {
        pending_t *next = list->next;
        serve(list);
        list = next;
    }
    pthread_mutex_unlock(&lock);
}

/* Serves only what came last; the others stay held. */
static void store_go_newest(void) {
    pthread_mutex_lock(&lock);
    pending_t **at = &waiting;
    while ((*at)->next)
        at = &(*at)->next;
    pending_t *newest = *at;
    *at = NULL;
    waiting_last = at;
    serve(newest);
    pthread_mutex_unlock(&lock);
}

static void add_op(buf_t *b, int op, buf_t *params) {
    uint32_t head[2] = {(uint32_t)op, params->len};
    buf_add(b, head, sizeof head);
    buf_add(b, params->at, params->len);
    buf_free(params);
}
void store_run(store_t *s, actor_t *self, int op, buf_t *params, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie) {
    pending_t p = {.to = actor_self(self), .verb = reply_verb, .cookie = cookie};
    (void)s, (void)timeout_ms;
    add_op(&p.ops, op, params);
    take_request(p);
}
void store_batch_add(store_t *s, store_batch_t *b, int op, buf_t *params) {
    (void)s;
    add_op(&b->bytes, op, params);
    b->count++;
}
void store_batch_run(store_t *s, actor_t *self, store_batch_t *b, uint32_t timeout_ms,
                     uint32_t reply_verb, uint64_t cookie) {
    pending_t p = {.to = actor_self(self), .verb = reply_verb, .cookie = cookie, .ops = b->bytes};
    (void)s, (void)timeout_ms;
    *b = (store_batch_t){0};
    take_request(p);
}
store_append_t *store_append_new(int64_t conversation, int64_t first_seq, int64_t epoch) {
    store_append_t *a = calloc(1, sizeof *a);
    (void)conversation, (void)epoch;
    a->first = first_seq;
    return a;
}
void store_append_add(store_append_t *a, const store_append_item_t *item) {
    store_append_item_t *it = &a->items[a->count++];
    char *copy = malloc(item->client_msg_id.len + item->content.len);
    *it = *item;
    memcpy(copy, item->client_msg_id.at, item->client_msg_id.len);
    memcpy(copy + item->client_msg_id.len, item->content.at, item->content.len);
    it->client_msg_id.at = copy;
    it->content.at = copy + item->client_msg_id.len;
}
void store_append_run(store_t *s, actor_t *self, store_append_t *a, uint32_t timeout_ms,
                      uint32_t reply_verb, uint64_t cookie) {
    (void)s, (void)timeout_ms;
    take_request(
        (pending_t){.to = actor_self(self), .verb = reply_verb, .cookie = cookie, .append = a});
}
const store_appended_t *store_appended(const msg_t *reply, size_t *count) {
    *count = reply->size / sizeof(store_appended_t);
    return (const store_appended_t *)reply->data;
}

/* --- the stage with it --- */

static bool has_waiting(int64_t n) {
    for (const pending_t *p = waiting; p; p = p->next)
        n--;
    return n <= 0;
}

/* So many requests have come to the conversation and wait for their answer. */
static bool has_kept(int64_t n) {
    look_actor_t e;
    look_query_t only = {.name = "conversation"};
    return look_list(rt, &only, &e, 1, NULL) == 1 && e.open >= n;
}

static bool has_loads(int64_t n) {
    return port.loads >= n;
}

static int recall_as(int64_t user, const row_t *row, const char *device) {
    return recall_of(user, row->id, row->seq, row->sender, row->at_ms, device);
}

static void member(int64_t user, int64_t rank) {
    db.members[db.member_count].user = user;
    db.members[db.member_count++].rank = rank;
}

/* type 1: users 28 and 35; type 2: 28 owner, 35, 40. */
static void open_stage(int type) {
    memset(&db, 0, sizeof db);
    memset(&port, 0, sizeof port);
    db.there = true;
    db.type = type;
    db.low = type == 1 ? 28 : 0;
    member(28, type == 1 ? 1 : 3);
    member(35, 1);
    if (type == 2)
        member(40, 1);
    stage_make();
    stage_start(NULL);
}

static void close_stage(void) {
    store_go(false);
    stage_stop();
    stage_free();
}
