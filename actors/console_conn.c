/* console_conn: see console_conn.h. Sockets are listed by the hubs, a page of them a message, so
 * that no worker is held up and no connection is asked; the rest runs in the console's thread. */
#include "actors/console_conn.h"
#include "actors/hub.h"
#include "base/text.h"
#include "sched/look.h"
#include <arpa/inet.h>

#define PAGE       256
#define TIMEOUT_MS 1000
#define NAME_MAX   64

typedef struct conn_row {
    actor_ref_t ref;
    int64_t user;
    uint64_t in, out;
    uint32_t queued;
    bool tls;
    char device[68], address[64];
} conn_row_t;

typedef struct conn_page {
    uint32_t worker, next; /* next: where the following page begins, 0 = this was the last */
    uint32_t count, left;  /* left: how many are behind this page */
    conn_row_t rows[];
} conn_page_t;

typedef struct conn_query {
    int64_t user; /* 0: all */
    uint32_t worker, from;
} conn_query_t;

/* --- in a hub --- */

static void fill(conn_row_t *r, const conn_t *c) {
    const net_addr_t *peer = net_peer(c->net);
    *r = (conn_row_t){.ref = actor_self(c->self), .user = c->user, .tls = net_is_tls(c->net)};
    net_traffic(c->net, &r->in, &r->out);
    r->queued = net_queued(c->net);
    snprintf(r->device, sizeof r->device, "%s", c->device ? c->device : "");
    net_addr_text(peer, r->address);
}

/* One that is closing waits for its peer only. */
static bool is_open(const conn_t *c) {
    return c->net && !c->closing;
}

static void rows_of_user(actor_t *self, conn_page_t *p, int64_t user) {
    conn_t *all[PAGE];
    size_t n = hub_here(self, user, all, PAGE);
    for (size_t i = 0; i < n; i++)
        if (is_open(all[i]))
            fill(&p->rows[p->count++], all[i]);
}

static void rows_of_all(const edge_worker_t *w, conn_page_t *p, uint32_t from) {
    uint32_t i = from;
    for (; i < w->live_count && p->count < PAGE; i++)
        if (is_open(w->live[i].conn))
            fill(&p->rows[p->count++], w->live[i].conn);
    p->left = i < w->live_count ? w->live_count - i : 0;
    p->next = p->left ? i : 0;
}

void console_conn_rows(actor_t *self, msg_t *m) {
    const conn_query_t *q = msg_data(m, conn_query_t);
    msg_t *reply = msg_new(0, sizeof(conn_page_t) + PAGE * sizeof(conn_row_t));
    conn_page_t *p = (conn_page_t *)reply->data;
    *p = (conn_page_t){.worker = q->worker};
    if (q->user)
        rows_of_user(self, p, q->user);
    else
        rows_of_all(edge_here(self), p, q->from);
    actor_reply(self, m, ERR_OK, reply);
}

/* --- who is meant: an id, or a name that the store knows --- */

typedef struct who {
    edge_t *edge;
    int op;
    char name[NAME_MAX];
} who_t;

typedef struct conns_state {
    edge_t *edge;
    int64_t user;
    size_t rows;
    uint32_t open, silent; /* workers that are asked; that gave no answer in time */
    void (*then)(console_call_t *call, struct conns_state *st);
} conns_state_t;

static void ask_name(actor_t *self, uint32_t verb, uint64_t cookie, const void *arg,
                     uint32_t timeout_ms) {
    const who_t *w = arg;
    buf_t params = {0};
    value_add_text(&params, slice_of(w->name));
    store_run(w->edge->store, self, w->op, &params, timeout_ms, verb, cookie);
}

static void name_known(console_call_t *call, int err, const msg_t *reply) {
    conns_state_t *st = console_state(call, sizeof *st, NULL);
    store_rows_t rows;
    slice_t row;
    if (err != ERR_OK)
        console_fail(call, err, "the store does not answer: %s", err_text(err));
    else if (!store_rows_open(&rows, reply) || !store_rows_next(&rows, &row))
        console_fail(call, ERR_NOT_FOUND, "no such user");
    else {
        st->user = value_next_int(&row);
        st->then(call, st);
    }
}

/* Goes on in st->then with st->user. */
static void find_user(console_call_t *call, conns_state_t *st) {
    slice_t text = console_arg(call, 0);
    who_t w = {.edge = st->edge, .op = store_op(st->edge->store, "user_credentials")};
    if (text_to_int(text, &st->user)) {
        st->then(call, st);
        return;
    }
    snprintf(w.name, sizeof w.name, "%.*s", (int)text.len, text.at);
    console_ask(call, ask_name, name_known, &w, sizeof w, 3000);
}

/* --- conns --- */

static const console_column_t columns[] = {{"id", CONSOLE_INT},      {"user", CONSOLE_INT},
                                           {"device", CONSOLE_TEXT}, {"address", CONSOLE_TEXT},
                                           {"worker", CONSOLE_INT},  {"tls", CONSOLE_BOOL},
                                           {"age", CONSOLE_US},      {"queue", CONSOLE_BYTES},
                                           {"in", CONSOLE_BYTES},    {"out", CONSOLE_BYTES}};

static void ask_page(actor_t *self, uint32_t verb, uint64_t cookie, const void *arg,
                     uint32_t timeout_ms) {
    const conn_query_t *q = arg;
    actor_request(self, hub_ref(q->worker), msg_of(VERB_CONNS, q, sizeof *q), timeout_ms, verb,
                  cookie);
}

static void show_row(console_call_t *call, const conn_row_t *r, uint32_t worker) {
    look_detail_t d;
    console_value(call, r->ref.slot);
    console_value(call, r->user);
    console_text(call, slice_of(r->device));
    console_text(call, slice_of(r->address));
    console_value(call, worker);
    console_value(call, r->tls);
    if (look_actor(console_runtime(call), r->ref, &d, 0) == ERR_OK)
        console_value(call, (int64_t)d.actor.age_ms * 1000);
    else
        console_none(call);
    console_value(call, r->queued);
    console_value(call, (int64_t)r->in);
    console_value(call, (int64_t)r->out);
}

static void have_page(console_call_t *call, int err, const msg_t *reply);

static void ask_worker(console_call_t *call, conns_state_t *st, uint32_t worker, uint32_t from) {
    conn_query_t q = {.user = st->user, .worker = worker, .from = from};
    st->open++;
    console_ask(call, ask_page, have_page, &q, sizeof q, TIMEOUT_MS);
}

static void show_page(console_call_t *call, conns_state_t *st, const conn_page_t *p) {
    for (uint32_t i = 0; i < p->count; i++, st->rows++)
        show_row(call, &p->rows[i], p->worker);
    if (p->next && st->rows >= console_rows_wanted(call))
        console_left_out(call, p->left);
    else if (p->next)
        ask_worker(call, st, p->worker, p->next);
}

static void have_page(console_call_t *call, int err, const msg_t *reply) {
    conns_state_t *st = console_state(call, sizeof *st, NULL);
    st->open--;
    if (err == ERR_OK)
        show_page(call, st, (const conn_page_t *)reply->data);
    else
        st->silent++;
    if (st->open == 0 && st->silent)
        console_field_value(call, "workers_without_answer", CONSOLE_INT, st->silent);
}

static void list_conns(console_call_t *call, conns_state_t *st) {
    uint32_t n = runtime_workers(console_runtime(call));
    console_table(call, NULL, columns, sizeof columns / sizeof columns[0]);
    for (uint32_t w = 0; w < n && w < CONSOLE_ASKS; w++)
        ask_worker(call, st, w, 0);
}

static void conns(console_call_t *call, void *arg) {
    conns_state_t *st = console_state(call, sizeof *st, NULL);
    st->edge = arg;
    st->then = list_conns;
    if (console_arg(call, 0).at)
        find_user(call, st);
    else
        list_conns(call, st);
}

/* --- kick --- */

typedef struct kick_order {
    int64_t user;
    char device[NAME_MAX + 1];
} kick_order_t;

static void ask_kick(actor_t *self, uint32_t verb, uint64_t cookie, const void *arg,
                     uint32_t timeout_ms) {
    const kick_order_t *k = arg;
    (void)timeout_ms;
    hub_kick(self, 0, k->user, slice_of(k->device), 4004);
    console_asked(self, verb, cookie);
}

static void kicked(console_call_t *call, int err, const msg_t *reply) {
    (void)reply;
    if (err != ERR_OK)
        console_fail(call, err, NULL);
}

static void kick_user(console_call_t *call, conns_state_t *st) {
    slice_t device = console_arg(call, 1);
    kick_order_t k = {.user = st->user};
    uint32_t sockets = hub_sockets(st->user);
    if (device.len > NAME_MAX) {
        console_fail(call, ERR_BAD_REQUEST, "a device's name has at most %d bytes", NAME_MAX);
        return;
    }
    if (sockets == 0) {
        console_fail(call, ERR_NOT_FOUND, "user %lld has no socket here", (long long)st->user);
        return;
    }
    snprintf(k.device, sizeof k.device, "%.*s", (int)device.len, device.at ? device.at : "");
    console_field_value(call, "user", CONSOLE_INT, st->user);
    console_field_value(call, "sockets", CONSOLE_INT, sockets);
    console_ask(call, ask_kick, kicked, &k, sizeof k, TIMEOUT_MS);
}

static void kick(console_call_t *call, void *arg) {
    conns_state_t *st = console_state(call, sizeof *st, NULL);
    st->edge = arg;
    st->then = kick_user;
    find_user(call, st);
}

/* --- drain --- */

static void drain(console_call_t *call, void *arg) {
    edge_t *e = arg;
    slice_t want = console_arg(call, 0);
    if (want.at && slice_eq(want, SLICE("on")))
        edge_drain(e);
    else if (want.at && slice_eq(want, SLICE("off")))
        edge_undrain(e);
    else if (want.at) {
        console_fail(call, ERR_BAD_REQUEST, "on or off");
        return;
    }
    console_field_value(call, "draining", CONSOLE_BOOL, atomic_load(&e->draining));
    console_field_value(call, "sockets", CONSOLE_INT, stat_read(STAT_WS_CONNECTIONS));
}

/* --- limits that these actors know of --- */

static void add_limits(console_call_t *call, void *arg) {
    const edge_t *e = arg;
    store_stats_t s;
    store_stats(e->store, &s);
    console_limit(call, "store.queue", (int64_t)s.write_queue + s.read_queue, (int64_t)s.refused);
}

static const console_command_t commands[] = {
    {"conns", "[USER]", "WebSocket connections: of all, or of a user (id or name)",
     "IN and OUT are bytes as the kernel counts them; QUEUE is what waits to be sent.",
     CONSOLE_READ, conns},
    {"kick", "USER [DEVICE]", "closes the sockets of a user (code 4004: log in again)",
     "The login stays good: the client may come back. `revoke` ends logins.", CONSOLE_OPERATE,
     kick},
    {"drain", "[on|off]", "sends sockets away over drain.time and takes no new ones",
     "As before a restart: close code 1012, /readyz says no. The node goes on.", CONSOLE_OPERATE,
     drain},
};

void console_conn_add(console_t *console, edge_t *e) {
    console_add(console, commands, sizeof commands / sizeof commands[0], e);
    console_add_limits(console, add_limits, e);
}
