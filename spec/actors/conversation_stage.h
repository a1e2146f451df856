/* conversation_stage: what conversation_spec.c plays on: a runtime, one conversation in a store in
 * memory whose answers a spec can hold back or spoil, hubs that note what reaches them, an actor
 * that asks. Nothing here is shared with the server but the headers. */
#pragma once
#include "actors/conversation.h"
#include "actors/hub.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/pool.h"
#include "spec/spec.h"
#include <pthread.h>
#include <time.h>

enum { CONVERSATION = 71, ROWS = 4096, WORKERS = 2, ANSWERS = 8192, LINES = 8192 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all of this file */

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
                         last ? last->at_ms : 0};
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
static runtime_t *rt;

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
    msg_t *m = msg_new(p->verb, p->append->count * sizeof(store_appended_t));
    int spoiled = port.append_err;
    port.append_err = ERR_OK;
    port.appends++;
    port.items += (int)p->append->count;
    m->err = spoiled && !port.append_done ? spoiled
                                          : append_rows(p->append, (store_appended_t *)m->data);
    if (spoiled)
        m->err = spoiled;
    if (m->err)
        m->size = 0;
    for (uint32_t i = 0; i < p->append->count; i++)
        free((char *)(uintptr_t)p->append->items[i].client_msg_id.at);
    free(p->append);
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

/* --- the rules, as lua/group.lua and lua/recall.lua have them --- */

struct script_policy {
    int which;
};
static script_policy_t policies[3] = {{0}, {1}, {2}};
static int64_t recall_window = 120000;

script_policy_t *script_policy(script_t *s, const char *name) {
    (void)s;
    return &policies[strcmp(name, "group.may_send") == 0          ? 0
                     : strcmp(name, "recall.recall_allowed") == 0 ? 1
                                                                  : 2];
}
int script_policy_run(script_policy_t *p, actor_t *self, const int64_t *a, size_t count,
                      int64_t *out) {
    (void)self, (void)count;
    if (p->which == 2)
        *out = recall_window;
    else if (p->which == 1)
        *out = a[0] == 2 && a[1] >= 2        ? 0
               : !a[2]                       ? ERR_FORBIDDEN
               : a[4] - a[3] > recall_window ? ERR_RECALL_EXPIRED
                                             : 0;
    else
        *out = a[1]                            ? ERR_DISSOLVED
               : a[3] > a[6]                   ? ERR_MUTED
               : a[4] && a[0] == 2 && a[2] < 2 ? ERR_MUTED
               : a[5]                          ? ERR_BLOCKED
                                               : 0;
    return ERR_OK;
}

/* --- hubs, and a log of everything that leaves the conversation --- */

static char log_lines[LINES][240];
static int log_count;
static actor_ref_t hubs[WORKERS];
static bool hub_stalled;       /* hub 1 does not take its mail */
static uint64_t online_on = 1; /* workers of every user */
static char last_frames[4096];
static int last_frames_len;

#define NOTE(...)                                                                                  \
    do {                                                                                           \
        pthread_mutex_lock(&lock);                                                                 \
        if (log_count < LINES)                                                                     \
            snprintf(log_lines[log_count++], sizeof log_lines[0], __VA_ARGS__);                    \
        pthread_mutex_unlock(&lock);                                                               \
    } while (0)

static void note_fanout(int64_t worker, const msg_t *m) {
    const fanout_t *f = (const fanout_t *)m->data;
    pthread_mutex_lock(&lock);
    last_frames_len = snprintf(last_frames, sizeof last_frames, "%.*s", (int)f->items[0].len - 4,
                               m->body->data + f->items[0].at + 4);
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 0; i < f->count; i++) {
        slice_t device = fanout_device(f, i);
        NOTE("hub%d %s %lld by %lld at '%.*s' to %u", (int)worker,
             f->kind == FANOUT_MESSAGES ? "message" : "revoked", (long long)f->items[i].seq,
             (long long)(f->kind == FANOUT_MESSAGES ? f->items[i].sender : f->actor),
             (int)device.len, device.at, f->members->count);
    }
}

static void hub_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (bool stalled = true; stalled && actor_key(self) == 1;) {
            pthread_mutex_lock(&lock);
            stalled = hub_stalled;
            pthread_mutex_unlock(&lock);
            if (stalled)
                nanosleep(&(struct timespec){0, 500000}, NULL);
        }
        if (m[i]->verb == VERB_FANOUT)
            note_fanout((int64_t)actor_key(self), m[i]);
    }
}
static const actor_class_t hub_class = {.name = "spec hub",
                                        .place = ACTOR_THREAD,
                                        .max_msgs = 4,
                                        .batch = 1,
                                        .handle_batch = hub_batch};

actor_ref_t hub_ref(uint32_t worker) {
    return hubs[worker];
}
uint64_t hub_workers(int64_t user) {
    (void)user;
    return online_on;
}
bool hub_online(int64_t user) {
    (void)user;
    return true;
}
block_t *hub_frame(const char *type, slice_t data) {
    buf_t b = {0};
    buf_addf(&b, "%s %.*s", type, (int)data.len, data.at);
    return block_from_buf(&b);
}
void hub_push_hint(actor_t *self, const int64_t *users, size_t count, block_t *frame,
                   int64_t skip_user, slice_t skip_device) {
    char to[100] = "";
    (void)self;
    for (size_t i = 0; i < count && i < 10; i++)
        snprintf(to + strlen(to), sizeof to - strlen(to), " %lld", (long long)users[i]);
    NOTE("%.*s to%s but %lld '%.*s'", (int)frame->len, frame->data, to, (long long)skip_user,
         (int)skip_device.len, skip_device.at);
    block_unref(frame);
}

/* --- who asks --- */

enum { ASK = MSG_USER + 800, ASK_REPLY };
typedef struct answer {
    bool there;
    int err;
    char text[80];
    conversation_sent_t sent;
    conversation_position_t position;
    conversation_recalled_t recalled;
} answer_t;
static answer_t answers[ANSWERS];
static int asked;
static actor_ref_t asker;

typedef struct ask {
    uint32_t verb, number, size;
    char data[400];
} ask_t;

static void keep_answer(answer_t *a, const msg_t *m) {
    a->err = m->err;
    if (m->err != ERR_OK)
        snprintf(a->text, sizeof a->text, "%.*s", (int)m->size, m->data);
    else if (m->size == sizeof a->sent)
        memcpy(&a->sent, m->data, sizeof a->sent);
    else if (m->size == sizeof a->position)
        memcpy(&a->position, m->data, sizeof a->position);
    else if (m->size == sizeof a->recalled)
        memcpy(&a->recalled, m->data, sizeof a->recalled);
}

static void ask_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == ASK) {
        const ask_t *a = (const ask_t *)m->data;
        actor_request_key(self, KIND_CONVERSATION, CONVERSATION, msg_of(a->verb, a->data, a->size),
                          60000, ASK_REPLY, a->number);
    } else if (m->verb == ASK_REPLY) {
        pthread_mutex_lock(&lock);
        keep_answer(&answers[m->cookie], m);
        answers[m->cookie].there = true;
        pthread_mutex_unlock(&lock);
        NOTE("answer %llu", (unsigned long long)m->cookie);
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}
static const actor_class_t ask_class = {
    .name = "spec asker", .place = ACTOR_FREE, .handle = ask_handle, .max_msgs = 20000};

static int ask(uint32_t verb, const void *data, size_t size) {
    ask_t a = {.verb = verb, .number = (uint32_t)asked++, .size = (uint32_t)size};
    if (size)
        memcpy(a.data, data, size);
    answers[a.number] = (answer_t){0};
    runtime_send(rt, asker, msg_of(ASK, &a, sizeof a));
    return (int)a.number;
}

static int send_reply(int64_t user, const char *cid, const char *device, int64_t reply_to) {
    static const char content[] = "{\"text\":{\"text\":\"hi\"}}";
    char room[300] = {0};
    conversation_send_t *s = (conversation_send_t *)room;
    *s = (conversation_send_t){.user = user,
                               .reply_to = reply_to,
                               .content_type = 1,
                               .start_ns = 1,
                               .cid_len = (uint32_t)strlen(cid),
                               .device_len = (uint32_t)strlen(device),
                               .content_len = sizeof content - 1};
    char *at = mempcpy(s->bytes, cid, s->cid_len);
    at = mempcpy(at, device, s->device_len);
    at = mempcpy(at, content, s->content_len);
    return ask(VERB_SEND, room, (size_t)(at - room));
}
static int send_as(int64_t user, const char *cid) {
    return send_reply(user, cid, "d1", 0);
}
static int send_n(int64_t user, int n) {
    char cid[32];
    snprintf(cid, sizeof cid, "n-%d", n);
    return send_as(user, cid);
}
static int read_as(int64_t user, int64_t seq, const char *device) {
    char room[100] = {0};
    conversation_read_t *r = (conversation_read_t *)room;
    *r = (conversation_read_t){user, seq, (uint32_t)strlen(device)};
    memcpy(r->device, device, r->device_len);
    return ask(VERB_READ, room, sizeof *r + r->device_len);
}
static int recall_as(int64_t user, const row_t *row, const char *device) {
    char room[160] = {0};
    conversation_recall_t *r = (conversation_recall_t *)room;
    *r = (conversation_recall_t){
        user, row->id, row->seq, row->sender, row->at_ms, 1, (uint32_t)strlen(device)};
    memcpy(r->device, device, r->device_len);
    return ask(VERB_RECALL, room, sizeof *r + r->device_len);
}
static int changed(void) {
    return ask(VERB_CHANGED, NULL, 0);
}

/* --- waiting --- */

static bool locked(bool (*is)(int64_t), int64_t arg) {
    pthread_mutex_lock(&lock);
    bool yes = is(arg);
    pthread_mutex_unlock(&lock);
    return yes;
}
static bool wait_until(bool (*is)(int64_t), int64_t arg) {
    for (int i = 0; i < 20000; i++) {
        if (locked(is, arg))
            return true;
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
    return false;
}
static bool is_answered(int64_t n) {
    return answers[n].there;
}
/* Waits; a request that is never answered has err 1. */
static answer_t *answer(int n) {
    static answer_t never = {.err = 1, .text = "never answered"};
    return wait_until(is_answered, n) ? &answers[n] : &never;
}
static const char *wanted_line;
static bool is_logged(int64_t from) {
    for (int i = (int)from; i < log_count; i++)
        if (strstr(log_lines[i], wanted_line))
            return true;
    return false;
}
static bool logged(const char *text) {
    wanted_line = text;
    bool there = wait_until(is_logged, 0);
    for (int i = 0; !there && i < log_count; i++) /* for whoever reads the failure */
        printf("    %s\n", log_lines[i]);
    return there;
}
/* Place of the first such line, now; -1: none. */
static int place_of(const char *text) {
    int at = -1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < log_count && at < 0; i++)
        if (strstr(log_lines[i], text))
            at = i;
    pthread_mutex_unlock(&lock);
    return at;
}
static int count_of(const char *text) {
    int n = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < log_count; i++)
        n += strstr(log_lines[i], text) != NULL;
    pthread_mutex_unlock(&lock);
    return n;
}
static bool has_waiting(int64_t n) {
    for (const pending_t *p = waiting; p; p = p->next)
        n--;
    return n <= 0;
}
static bool has_messages(int64_t n) {
    int seen = 0;
    for (int i = 0; i < log_count; i++)
        seen += strncmp(log_lines[i], "hub0 message", 12) == 0;
    return seen >= n;
}

/* --- the stage --- */

static int64_t wall = 1760000000123;
static _Atomic uint64_t ahead_ns;
static int64_t stage_wall(void *arg) {
    (void)arg;
    return wall;
}
static uint64_t stage_mono(void *arg) {
    (void)arg;
    return clock_mono_ns() + ahead_ns;
}

static void member(int64_t user, int64_t rank) {
    db.members[db.member_count].user = user;
    db.members[db.member_count++].rank = rank;
}

static conf_t *conf;
static uint32_t stage_workers = WORKERS;

/* type 1: users 28 and 35; type 2: 28 owner, 35, 40. */
static void open_stage(int type) {
    char fault[300] = "";
    memset(&db, 0, sizeof db);
    memset(&port, 0, sizeof port);
    db.there = true;
    db.type = type;
    db.low = type == 1 ? 28 : 0;
    member(28, type == 1 ? 1 : 3);
    member(35, 1);
    if (type == 2)
        member(40, 1);
    log_count = asked = 0;
    hub_stalled = false;
    online_on = 1;
    wall = 1760000000123;
    recall_window = 120000;
    conf = conf_new();
    rt = runtime_new(&(runtime_conf_t){
        .workers = stage_workers, .seed = 1, .wall_ms = stage_wall, .mono_ns = stage_mono});
    if (conversation_setup(rt, conf, NULL, NULL, fault, sizeof fault) != ERR_OK)
        printf("setup: %s\n", fault);
    for (int w = 0; w < WORKERS; w++)
        hubs[w] = actor_spawn(rt, NULL, &hub_class, (uint64_t)w, -1, NULL);
    asker = actor_spawn(rt, NULL, &ask_class, 0, 0, NULL);
    runtime_start(rt);
}

static void close_stage(void) {
    pthread_mutex_lock(&lock);
    hub_stalled = false;
    pthread_mutex_unlock(&lock);
    store_go(false);
    runtime_stop(rt, 2000);
    runtime_free(rt);
    conf_free(conf);
}
