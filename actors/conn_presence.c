/* conn_presence: who is online: GET /api/presence, presence_sub and its pushes (PROTOCOL.md section
 * 10). The hubs' shared table says who has a socket, the store who is a contact, who blocks whom
 * and who was seen when; changes come from the inboxes of those who are watched. Inside the
 * connection's actor. */
#include "actors/edge.h"
#include "actors/hub.h"
#include "base/hash.h"
#include "base/text.h"
#include <stdlib.h>

typedef struct fact {
    int64_t user, last_seen_ms;
    bool contact, blocked;
} fact_t;

typedef struct presence_ask {
    struct presence_ask *next;
    uint32_t count, turn;
    uint32_t id_len;
    char id[64]; /* of the frame */
    int64_t users[];
} ask_t;

#define ASKS_MAX 8

void presence_item(buf_t *out, int64_t user, bool online, int64_t last_seen_s) {
    if (out->len && out->at[out->len - 1] == '}')
        buf_add_char(out, ',');
    buf_addf(out, "{\"user_id\":%lld,\"online\":%s,\"last_seen_unix\":%lld}", (long long)user,
             online ? "true" : "false", (long long)last_seen_s);
}

/* --- what the store says --- */

static void ask_store(conn_t *c, int64_t viewer, const int64_t *users, uint32_t count,
                      uint32_t verb, uint64_t cookie) {
    edge_t *e = edge_at(c)->edge;
    buf_t list = {0}, params = {0};
    buf_add_char(&list, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            buf_add_char(&list, ',');
        buf_add_int(&list, users[i]);
    }
    buf_add_char(&list, ']');
    value_add_int(&params, viewer);
    value_add_text(&params, buf_slice(&list));
    store_run(e->store, c->self, e->op_presence, &params, e->deadline_ms, verb, cookie);
    buf_free(&list);
}

/* Rows come by rising id. */
static uint32_t read_facts(const msg_t *m, fact_t *facts, uint32_t room) {
    store_rows_t rows;
    slice_t row;
    uint32_t n = 0;
    if (!store_rows_open(&rows, m))
        return 0;
    while (n < room && store_rows_next(&rows, &row)) {
        fact_t *f = &facts[n++];
        f->user = value_next_int(&row);
        f->last_seen_ms = value_next_int(&row);
        f->contact = value_next_int(&row) != 0;
        f->blocked = value_next_int(&row) != 0;
    }
    return n;
}

static const fact_t *fact_of(const fact_t *facts, uint32_t count, int64_t user) {
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (facts[mid].user < user)
            low = mid + 1;
        else
            high = mid;
    }
    return low < count && facts[low].user == user ? &facts[low] : NULL;
}

/* true: online, as it was told. */
static bool add_state(conn_t *c, buf_t *out, int64_t user, const fact_t *f, bool hidden) {
    hidden = hidden || (f && f->blocked);
    bool online = !hidden && hub_online(user);
    int64_t seen = online         ? actor_wall_ms(c->self) / 1000
                   : f && !hidden ? f->last_seen_ms / 1000
                                  : 0;
    presence_item(out, user, online, seen);
    return online;
}

/* --- row 21 --- */

typedef struct id_list {
    map_t *seen;
    int64_t ids[PRESENCE_MAX];
    uint32_t count;
    const char *fault;
} id_list_t;

static void add_id(id_list_t *l, slice_t text) {
    int64_t id;
    bool fresh = false;
    if (!text_to_int(text, &id) || id < 1) {
        l->fault = "invalid user id";
        return;
    }
    map_put(l->seen, (uint64_t)id, &fresh);
    if (!fresh)
        return;
    if (l->count == PRESENCE_MAX)
        l->fault = "too many user ids";
    else
        l->ids[l->count++] = id;
}

static int add_list(void *arg, slice_t name, slice_t value) {
    id_list_t *l = arg;
    if (!slice_eq(name, SLICE("user_ids")) || value.len == 0)
        return ERR_OK;
    while (!l->fault) {
        const char *comma = memchr(value.at, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.at) : value.len;
        add_id(l, (slice_t){value.at, len});
        if (!comma)
            break;
        value.at += len + 1;
        value.len -= len + 1;
    }
    return l->fault ? ERR_BAD_REQUEST : ERR_OK;
}

static void read_ids(const char *query, id_list_t *l) {
    size_t size = strlen(query) + 1;
    char *room = pool_alloc(size);
    l->seen = map_new(1);
    http_query_each(slice_of(query), room, size, add_list, l);
    map_free(l->seen);
    pool_free(room, size);
}

void presence_http(conn_t *c) {
    http_call_t *call = c->http;
    id_list_t *l = pool_zalloc(sizeof *l);
    if (call->query)
        read_ids(call->query, l);
    const char *fault = l->fault;
    if (!fault && l->count) {
        call->id_count = l->count;
        call->ids = pool_alloc(l->count * sizeof *l->ids);
        memcpy(call->ids, l->ids, l->count * sizeof *l->ids);
        ask_store(c, call->user, call->ids, call->id_count, VERB_PRESENCE_HTTP, call->serial);
    }
    bool empty = l->count == 0;
    pool_free(l, sizeof *l);
    if (fault)
        conn_http_error(c, ERR_BAD_REQUEST, fault, 0);
    else if (empty)
        conn_http_ok(c, SLICE("[]"), (slice_t){NULL, 0});
}

void presence_http_rows(conn_t *c, const msg_t *m) {
    fact_t facts[PRESENCE_MAX];
    buf_t out = {0};
    if (!conn_http_waits(c, (uint32_t)m->cookie))
        return;
    if (m->err != ERR_OK) {
        conn_http_error(c, m->err, NULL, 0);
        return;
    }
    http_call_t *call = c->http;
    bool all = edge_at(c)->edge->visible_to_all;
    uint32_t n = read_facts(m, facts, PRESENCE_MAX);
    buf_add_char(&out, '[');
    for (uint32_t i = 0; i < call->id_count; i++) {
        const fact_t *f = fact_of(facts, n, call->ids[i]);
        bool mine = call->ids[i] == call->user || (f && f->contact);
        add_state(c, &out, call->ids[i], f, !all && !mine);
    }
    buf_add_char(&out, ']');
    conn_http_ok(c, buf_slice(&out), (slice_t){NULL, 0});
    buf_free(&out);
}

/* --- presence_sub --- */

static int by_id(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool follows(const conn_edge_t *x, int64_t user) {
    return x->follow_count && bsearch(&user, x->follows, x->follow_count, sizeof user, by_id);
}

static void tell_inbox(conn_t *c, int64_t user, uint32_t verb, bool told_online) {
    inbox_watch_t w = {actor_self(c->self), c->user, told_online};
    actor_send_key(c->self, KIND_INBOX, (uint64_t)user, msg_of(verb, &w, sizeof w));
}

/* The user's inbox has crashed, a new one knows nobody yet. */
void presence_again(conn_t *c, int64_t user) {
    if (c->welcomed && !c->closing && c->edge && follows(c->edge, user))
        tell_inbox(c, user, VERB_SUBSCRIBE, true);
}

/* Takes ids, sorted: what the socket follows from now on. told: was said to be online? An inbox
 * that tells this socket of every change needs no word of those. */
static void follow(conn_t *c, int64_t *ids, const bool *told, uint32_t count) {
    conn_edge_t *x = conn_edge(c);
    conn_edge_t old = *x;
    x->follows = ids;
    x->follow_count = count;
    for (uint32_t i = 0; i < old.follow_count; i++)
        if (!follows(x, old.follows[i]))
            tell_inbox(c, old.follows[i], VERB_UNSUBSCRIBE, false);
    for (uint32_t i = 0; i < count; i++)
        if (!told[i] || !follows(&old, ids[i]))
            tell_inbox(c, ids[i], VERB_SUBSCRIBE, told[i]);
    pool_free(old.follows, old.follow_count * sizeof *old.follows);
}

static size_t ask_size(uint32_t count) {
    return sizeof(ask_t) + count * sizeof(int64_t);
}

static ask_t *read_ask(const frame_in_t *f) {
    json_at_t list = json_get(f->doc, f->data, "user_ids");
    uint32_t n = 0, count = json_type(f->doc, list) == JSON_ARRAY ? json_count(f->doc, list) : 0;
    if (json_type(f->doc, list) != JSON_ARRAY || count > PRESENCE_MAX)
        return NULL;
    ask_t *a = pool_zalloc(ask_size(count));
    for (json_at_t at = json_first(f->doc, list); at; at = json_next(f->doc, at)) {
        bool known = false;
        if (!json_int(f->doc, at, &a->users[n]) || a->users[n] < 1) {
            pool_free(a, ask_size(count));
            return NULL;
        }
        for (uint32_t i = 0; i < n && !known; i++)
            known = a->users[i] == a->users[n];
        n += !known;
    }
    ask_t *fit = a;
    if (n < count) {
        fit = pool_zalloc(ask_size(n));
        memcpy(fit->users, a->users, n * sizeof *a->users);
        pool_free(a, ask_size(count));
    }
    fit->count = n;
    fit->id_len = (uint32_t)f->id.len;
    if (f->id.len)
        memcpy(fit->id, f->id.at, f->id.len);
    return fit;
}

static void start_ask(conn_t *c, const ask_t *a) {
    ask_store(c, c->user, a->users, a->count, VERB_PRESENCE_SUB, 0);
}

/* One at a time is at the store, the others wait here: so answers come in the order of the frames.
 */
void presence_sub(conn_t *c, const frame_in_t *f) {
    conn_edge_t *x = conn_edge(c);
    const slice_t none = {NULL, 0};
    ask_t *a = read_ask(f);
    if (!a) {
        conn_error(c, f->id, ERR_BAD_REQUEST, "invalid presence_sub request", none, 0);
        return;
    }
    if (x->asks == ASKS_MAX) {
        pool_free(a, ask_size(a->count));
        conn_error(c, f->id, ERR_BUSY, NULL, none, 1000);
        return;
    }
    a->turn = conn_notify_later(c);
    if (x->asks++)
        x->ask_last->next = a;
    else
        x->ask_first = a;
    x->ask_last = a;
    if (x->asks == 1)
        start_ask(c, a);
}

typedef struct told {
    int64_t user;
    bool online;
} told_t;

static int by_user(const void *a, const void *b) {
    return by_id(&((const told_t *)a)->user, &((const told_t *)b)->user);
}

static void follow_told(conn_t *c, told_t *told, uint32_t count) {
    bool online[PRESENCE_MAX];
    int64_t *ids = count ? pool_alloc(count * sizeof *ids) : NULL;
    qsort(told, count, sizeof *told, by_user);
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = told[i].user;
        online[i] = told[i].online;
    }
    follow(c, ids, online, count);
}

static void answer_ask(conn_t *c, const ask_t *a, const msg_t *m) {
    fact_t facts[PRESENCE_MAX];
    told_t told[PRESENCE_MAX];
    buf_t out = {0}, rejected = {0};
    uint32_t n = read_facts(m, facts, PRESENCE_MAX), count = 0;
    buf_add_text(&out, ",\"presence\":[");
    for (uint32_t i = 0; i < a->count; i++) {
        const fact_t *f = fact_of(facts, n, a->users[i]);
        if (!f || !f->contact || f->user == c->user) {
            buf_addf(&rejected, "%s%lld", rejected.len ? "," : "", (long long)a->users[i]);
            continue;
        }
        bool online = add_state(c, &out, f->user, f, false);
        if (!f->blocked)
            told[count++] = (told_t){f->user, online};
    }
    buf_addf(&out, "],\"rejected\":[%.*s]", (int)rejected.len, rejected.at ? rejected.at : "");
    conn_notify_turn(c, a->turn, (slice_t){a->id, a->id_len}, buf_slice(&out));
    follow_told(c, told, count);
    buf_free(&out);
    buf_free(&rejected);
}

void presence_sub_rows(conn_t *c, const msg_t *m) {
    conn_edge_t *x = c->edge;
    if (!x || !x->ask_first)
        return;
    ask_t *a = x->ask_first;
    if (m->err != ERR_OK) {
        conn_error(c, (slice_t){a->id, a->id_len}, m->err, NULL, (slice_t){NULL, 0}, 0);
        conn_notify_over(c, a->turn);
    } else {
        answer_ask(c, a, m);
    }
    x->ask_first = a->next;
    x->asks--;
    pool_free(a, ask_size(a->count));
    if (x->ask_first)
        start_ask(c, x->ask_first);
}

void presence_push(conn_t *c, const msg_t *m) {
    const inbox_state_t *s = (const inbox_state_t *)m->data;
    edge_worker_t *w = edge_at(c);
    if (!c->welcomed || c->closing || !c->edge || !follows(c->edge, s->user) ||
        net_queued(c->net) > w->edge->queue_soft)
        return;
    buf_t *b = &w->out;
    b->len = 0;
    buf_add_text(b, "{\"type\":\"presence\",\"data\":");
    presence_item(b, s->user, s->online, s->last_seen_s);
    buf_add_char(b, '}');
    stat_add(STAT_OUT_PRESENCE, 1);
    conn_text(c, buf_slice(b));
}

void presence_close(conn_t *c) {
    conn_edge_t *x = c->edge;
    if (!x)
        return;
    follow(c, NULL, NULL, 0);
    while (x->ask_first) {
        ask_t *a = x->ask_first;
        x->ask_first = a->next;
        pool_free(a, ask_size(a->count));
    }
}
