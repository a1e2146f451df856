/* hub: who has sockets where. Each worker has a table user -> connections (a list through the
 * connections themselves) that only its own thread touches, and a pinned hub actor that does what
 * others ask of it there. One striped table says, for every thread, on which workers a user has
 * sockets; its stripes' locks are held for one look. Sending to hubs is in hub_push.c. */
#include "actors/chat.h"
#include "actors/console_conn.h"
#include "actors/conversation.h"
#include "actors/edge.h"
#include "actors/hub_in.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/stat.h"
#include "sched/trace.h"
#include <assert.h>

/* Everything behind it is reached from any thread without a handle (hub_online), so it is one per
 * process. Written before start and after stop. */
static hub_table_t *table;

hub_table_t *hub_all(void) {
    return table;
}

/* --- the table all workers share --- */

typedef struct change {
    uint64_t bit;
    bool last;    /* of this worker */
    bool closing; /* it was counted as such */
} change_t;

static shared_verdict_t add_socket(void *arg, void *value) {
    const change_t *c = arg;
    place_t *p = value;
    p->workers |= c->bit;
    p->sockets++;
    return SHARED_KEEP;
}

static shared_verdict_t remove_socket(void *arg, void *value) {
    const change_t *c = arg;
    place_t *p = value;
    if (!p)
        return SHARED_KEEP;
    if (c->last)
        p->workers &= ~c->bit;
    p->closing -= c->closing;
    return --p->sockets ? SHARED_KEEP : SHARED_DROP;
}

static shared_verdict_t close_socket(void *arg, void *value) {
    place_t *p = value;
    (void)arg;
    if (p)
        p->closing++;
    return SHARED_KEEP;
}

static shared_verdict_t copy_place(void *arg, void *value) {
    if (value)
        *(place_t *)arg = *(place_t *)value;
    return SHARED_KEEP;
}

place_t hub_place(int64_t user) {
    place_t p = {0};
    shared_map_with(table->places, (uint64_t)user, false, copy_place, &p);
    return p;
}

bool hub_online(int64_t user) {
    return hub_place(user).sockets > 0;
}

uint32_t hub_sockets(int64_t user) {
    place_t p = hub_place(user);
    return p.sockets - p.closing;
}

uint64_t hub_workers(int64_t user) {
    return hub_place(user).workers;
}

size_t hub_users_online(void) {
    return shared_map_count(table->places);
}

actor_ref_t hub_ref(uint32_t worker) {
    return table->hubs[worker].ref;
}

/* --- this worker's table --- */

static hub_t *here(const actor_t *self) {
    return actor_local(self, LOCAL_HUB);
}

static conn_t *first_of(const hub_t *h, int64_t user) {
    conn_t **at = map_get(h->users, (uint64_t)user);
    return at ? *at : NULL;
}

void hub_join(conn_t *c) {
    hub_t *h = here(c->self);
    bool fresh;
    conn_t **first = map_put(h->users, (uint64_t)c->user, &fresh);
    c->hub_next = *first;
    *first = c;
    change_t change = {.bit = (uint64_t)1 << h->worker};
    shared_map_with(table->places, (uint64_t)c->user, true, add_socket, &change);
}

void hub_leave(conn_t *c) {
    hub_t *h = here(c->self);
    conn_t **first = map_get(h->users, (uint64_t)c->user), **at = first;
    assert(first);
    while (*at != c)
        at = &(*at)->hub_next; /* few: a user's devices are limited */
    *at = c->hub_next;
    change_t change = {
        .bit = (uint64_t)1 << h->worker, .last = *first == NULL, .closing = c->closing};
    if (change.last)
        map_del(h->users, (uint64_t)c->user);
    c->hub_next = NULL;
    shared_map_with(table->places, (uint64_t)c->user, false, remove_socket, &change);
}

void hub_closing(const conn_t *c) {
    shared_map_with(table->places, (uint64_t)c->user, false, close_socket, NULL);
}

size_t hub_here(actor_t *self, int64_t user, conn_t **out, size_t room) {
    size_t n = 0;
    for (conn_t *c = first_of(here(self), user); c && n < room; c = c->hub_next)
        out[n++] = c;
    return n;
}

/* --- fan-out --- */

typedef struct walk {
    actor_t *hub;
    chat_fanout_t out;
} walk_t;

/* A delivery may end the connection it is made to: the next one is read first. */
static void deliver_chain(conn_t *c, walk_t *w) {
    while (c) {
        conn_t *next = c->hub_next;
        trace_visit(w->hub, c->self);
        chat_deliver(c, &w->out);
        c = next;
    }
}

static bool is_member(const members_t *m, int64_t user) {
    uint32_t low = 0, high = m->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (m->users[mid] < user)
            low = mid + 1;
        else
            high = mid;
    }
    return low < m->count && m->users[low] == user;
}

static void deliver_if_member(void *arg, uint64_t key, void *value) {
    walk_t *w = arg;
    if (is_member(w->out.f->members, (int64_t)key))
        deliver_chain(*(conn_t **)value, w);
}

/* Walks whichever is shorter: the members, or the users who are here. */
static void fanout(actor_t *self, hub_t *h, const msg_t *m) {
    const fanout_t *f = (const fanout_t *)m->data;
    walk_t w = {.hub = self};
    chat_fanout_begin(&w.out, self, f, m->body);
    if (f->members->count / 4 > map_count(h->users))
        map_each(h->users, deliver_if_member, &w);
    else
        for (uint32_t i = 0; i < f->members->count; i++)
            deliver_chain(first_of(h, f->members->users[i]), &w);
    chat_fanout_end(&w.out);
}

/* --- ready frames to named users --- */

static void push(hub_t *h, conn_t *c, const deliver_t *d, block_t *frame) {
    if (c->closing || !c->net)
        return;
    uint32_t waiting = net_queued(c->net);
    if (d->hint && waiting > h->table->queue_soft)
        return;
    if (waiting / 2 > h->table->queue_hard) {
        conn_close(c, 4003); /* PROTOCOL.md 7.7: other pushes pile up */
        return;
    }
    net_ws_frames(c->net, frame, 0, frame->len);
    stat_add((enum stat_id)d->stat, 1);
}

static bool is_device(const conn_t *c, const char *device, size_t len) {
    return len && c->device && strlen(c->device) == len && memcmp(c->device, device, len) == 0;
}

static void deliver_only(actor_t *self, hub_t *h, const deliver_t *d, block_t *frame) {
    for (conn_t *c = first_of(h, d->users[0]); c; c = c->hub_next) {
        if (!is_device(c, d->device, d->device_len))
            continue;
        msg_t *m = msg_new(VERB_FRAME, 0);
        m->cookie = d->stat;
        m->body = block_ref(frame);
        if (actor_send(self, actor_self(c->self), m) == ERR_FULL)
            log_warn("hub", "a connection is behind: a push is lost");
    }
}

static void deliver(actor_t *self, hub_t *h, const msg_t *m) {
    const deliver_t *d = (const deliver_t *)m->data;
    if (d->only) {
        deliver_only(self, h, d, m->body);
        return;
    }
    for (uint32_t i = 0; i < d->count; i++) {
        bool acts = d->users[i] == d->skip_user;
        for (conn_t *c = first_of(h, d->users[i]), *next; c; c = next) {
            next = c->hub_next;
            if (!acts || !is_device(c, d->device, d->device_len))
                push(h, c, d, m->body);
        }
    }
}

/* --- kicks --- */

static void kick_chain(conn_t *c, const kick_t *k) {
    while (c) {
        conn_t *next = c->hub_next;
        if ((k->fam == 0 || c->fam == k->fam) &&
            (k->device_len == 0 || is_device(c, k->device, k->device_len)))
            conn_close(c, k->code);
        c = next;
    }
}

static void kick_visited(void *arg, uint64_t key, void *value) {
    (void)key;
    kick_chain(*(conn_t **)value, arg);
}

/* A login without its user is looked for among all sockets of the worker: a logout is rare. */
static void kick(hub_t *h, msg_t *m) {
    kick_t *k = msg_data(m, kick_t);
    if (k->user)
        kick_chain(first_of(h, k->user), k);
    else
        map_each(h->users, kick_visited, k);
}

/* --- the actor --- */

static void handle(actor_t *self, void *state, msg_t *m) {
    hub_t *h = here(self);
    (void)state;
    switch (m->verb) {
    case VERB_FANOUT:
        fanout(self, h, m);
        break;
    case VERB_DELIVER:
        deliver(self, h, m);
        break;
    case VERB_KICK:
        kick(h, m);
        break;
    case VERB_CONNS:
        console_conn_rows(self, m);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        break;
    }
}

/* With a crash the pushes that waited are lost, and nobody knows which: its sockets go, with a code
 * that makes clients come back at once, and replay and sync give what they have missed. */
static void ended(actor_t *self, void *state, int reason) {
    kick_t all = {.code = 1012};
    (void)state;
    if (actor_crashed(reason))
        map_each(here(self)->users, kick_visited, &all);
}

/* Fan-outs of all conversations come together here: room for a stall of a second under full load. A
 * conversation that finds it full keeps its own and comes again. */
static const actor_class_t hub_class = {
    .name = "hub",
    .place = ACTOR_PINNED,
    .restart = ACTOR_ON_CRASH,
    .max_msgs = 262144,
    .max_bytes = 256u << 20,
    .handle = handle,
    .ended = ended,
};

int hub_setup(runtime_t *rt, const conf_t *conf) {
    uint32_t count = runtime_workers(rt);
    assert(!table && count <= 64);
    table = pool_zalloc(sizeof *table);
    table->places = shared_map_new(sizeof(place_t), (size_t)conf_int(conf, "net.max_connections"));
    table->queue_soft = (uint32_t)conf_int(conf, "ws.queue_soft");
    table->queue_hard = (uint32_t)conf_int(conf, "ws.queue_hard");
    table->count = count;
    for (uint32_t w = 0; w < count; w++) {
        hub_t *h = &table->hubs[w];
        *h = (hub_t){.table = table, .users = map_new(sizeof(conn_t *)), .worker = w};
        worker_local_set(rt, w, LOCAL_HUB, h);
        h->ref = actor_spawn(rt, NULL, &hub_class, w, (int)w, NULL);
        if (!h->ref.gen)
            return ERR_BUSY;
    }
    return ERR_OK;
}

void hub_teardown(runtime_t *rt) {
    (void)rt;
    for (uint32_t w = 0; table && w < table->count; w++)
        map_free(table->hubs[w].users);
    if (table)
        shared_map_free(table->places);
    pool_free(table, sizeof *table);
    table = NULL;
}
