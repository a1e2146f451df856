/* inbox: one keyed actor per user who has sockets or is watched (KIND_INBOX): which devices have
 * sockets, who replaces whom, how many may come in, who wants to know whether the user is online.
 * Everything of one user comes one after the other here, so no two workers can disagree. Messages
 * are never routed through it: the hubs know the sockets. */
#include "actors/chat.h"
#include "actors/edge.h"
#include "base/log.h"

#define WATCHERS_MAX 100000
#define WAITING_MAX  64
#define HAND_OVER_MS 2000

typedef struct entry {
    actor_ref_t conn;
    char *device;
    bool live;  /* its welcome is queued */
    bool bench; /* may share its device with others of its kind */
} entry_t;

/* What few users have, or for seconds only: kept apart, so that an idle user stays small. */
typedef struct extra {
    inbox_watch_t *watchers;
    uint32_t watcher_count, watcher_cap;
    uint64_t timer; /* presence.grace after the last socket */
    uint64_t call_timer, call_until_ns;
    char call[CALL_ID_MAX + 1]; /* the user is in this call until then; "": in none */
    msg_t **waits; /* connections that come in when the acks are saved: WAITING_MAX, or NULL */
    uint32_t waiting;
} extra_t;

typedef struct inbox {
    union {
        entry_t one;   /* cap 0 */
        entry_t *many; /* cap of them */
    };
    extra_t *extra; /* NULL: none of that */
    uint32_t last_seen_s;
    uint16_t count, cap;
    uint32_t saving; /* acks of devices that are being handed over or written */
    bool told_online;
} inbox_t;
_Static_assert(sizeof(inbox_t) <= 48, "a user with one socket must stay cheap");

static entry_t *entries(inbox_t *b) {
    return b->cap ? b->many : &b->one;
}

static extra_t *extra(inbox_t *b) {
    if (!b->extra)
        b->extra = pool_zalloc(sizeof *b->extra);
    return b->extra;
}

static bool extra_used(const inbox_t *b) {
    const extra_t *x = b->extra;
    return x && (x->watcher_count || x->timer || x->waiting || x->call[0]);
}

static void free_waits(extra_t *x) {
    if (x->waits)
        pool_free(x->waits, WAITING_MAX * sizeof *x->waits);
    x->waits = NULL;
    x->waiting = 0;
}

static void free_extra(inbox_t *b) {
    extra_t *x = b->extra;
    if (!x)
        return;
    pool_free(x->watchers, x->watcher_cap * sizeof *x->watchers);
    free_waits(x); /* who waits is answered by the runtime */
    pool_free(x, sizeof *x);
    b->extra = NULL;
}

static edge_t *edge_of(actor_t *self) {
    return edge_here(self)->edge;
}

static uint32_t live_count(inbox_t *b) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->count; i++)
        n += entries(b)[i].live;
    return n;
}

/* --- who watches --- */

static void drop_watcher(extra_t *x, uint32_t i) {
    x->watchers[i] = x->watchers[--x->watcher_count];
}

static int tell_watcher(actor_t *self, const inbox_t *b, actor_ref_t conn) {
    inbox_state_t state = {(int64_t)actor_key(self), b->told_online,
                           b->told_online ? actor_wall_ms(self) / 1000 : b->last_seen_s};
    return actor_send(self, conn, msg_of(VERB_PRESENCE, &state, sizeof state));
}

static void tell_watchers(actor_t *self, inbox_t *b, bool online) {
    extra_t *x = b->extra;
    b->told_online = online;
    for (uint32_t i = x ? x->watcher_count : 0; i-- > 0;)
        if (tell_watcher(self, b, x->watchers[i].conn) == ERR_GONE)
            drop_watcher(x, i);
}

/* What was told in the answer may be neither what the others were told (a user between two sockets,
 * within the grace) nor true any more: then this one hears of it, or it would never. */
static void watch(actor_t *self, inbox_t *b, const inbox_watch_t *w) {
    extra_t *x = extra(b);
    if (w->told_online != b->told_online)
        tell_watcher(self, b, w->conn);
    for (uint32_t i = 0; i < x->watcher_count; i++)
        if (actor_ref_eq(x->watchers[i].conn, w->conn))
            return;
    if (x->watcher_count == WATCHERS_MAX)
        return;
    if (x->watcher_count == x->watcher_cap)
        x->watchers = pool_grow(x->watchers, &x->watcher_cap, sizeof *x->watchers, 2);
    x->watchers[x->watcher_count++] = *w;
}

/* By connection, or, viewer > 0, by who looks. */
static void unwatch(inbox_t *b, actor_ref_t conn, int64_t viewer) {
    extra_t *x = b->extra;
    for (uint32_t i = x ? x->watcher_count : 0; i-- > 0;)
        if (viewer ? x->watchers[i].viewer == viewer : actor_ref_eq(x->watchers[i].conn, conn))
            drop_watcher(x, i);
}

static void grace_over(actor_t *self, inbox_t *b) {
    if (b->extra)
        b->extra->timer = 0;
    if (live_count(b) == 0 && b->told_online)
        tell_watchers(self, b, false);
}

static void now_online(actor_t *self, inbox_t *b) {
    if (b->extra) {
        actor_cancel(self, b->extra->timer);
        b->extra->timer = 0;
    }
    if (!b->told_online)
        tell_watchers(self, b, true);
}

static void now_offline(actor_t *self, inbox_t *b) {
    edge_t *e = edge_of(self);
    b->last_seen_s = (uint32_t)(actor_wall_ms(self) / 1000);
    seen_note(self, (int64_t)actor_key(self), actor_wall_ms(self));
    extra_t *x = extra(b);
    if (!x->timer)
        x->timer = actor_after(self, e->grace_ms ? e->grace_ms : 1, VERB_OFFLINE, 0);
}

/* --- the call the user is in (calls.c) --- */

static void call_over(actor_t *self, extra_t *x) {
    actor_cancel(self, x->call_timer);
    x->call_timer = 0;
    x->call[0] = 0;
}

static bool has_device(inbox_t *b, const char *device, uint32_t before) {
    const entry_t *e = entries(b);
    for (uint32_t i = 0; i < before; i++)
        if (e[i].live && strcmp(e[i].device, device) == 0)
            return true;
    return false;
}

static void tell_call(actor_t *self, inbox_t *b, const char *device, bool online) {
    if (b->extra && b->extra->call[0])
        calls_tell(self, b->extra->call, device, online);
}

static block_t *device_list(inbox_t *b) {
    const entry_t *e = entries(b);
    buf_t list = {0};
    buf_add_char(&list, '[');
    for (uint32_t i = 0; i < b->count; i++) {
        if (!e[i].live || has_device(b, e[i].device, i))
            continue;
        if (list.len > 1)
            buf_add_char(&list, ',');
        json_add_string(&list, slice_of(e[i].device));
    }
    buf_add_char(&list, ']');
    return block_from_buf(&list);
}

static void call_enter(actor_t *self, inbox_t *b, msg_t *m) {
    const inbox_call_t *c = msg_data(m, inbox_call_t);
    extra_t *x = extra(b);
    uint64_t now = actor_now_ns(self);
    msg_t *reply = msg_new(0, 0);
    if (x->call[0] && now < x->call_until_ns && strcmp(x->call, c->id) != 0) {
        reply->body = block_of(x->call, strlen(x->call));
        actor_reply(self, m, ERR_EXISTS, reply);
        return;
    }
    if (c->life_ms) {
        memcpy(x->call, c->id, sizeof x->call);
        x->call_until_ns = now + (uint64_t)c->life_ms * 1000000;
        if (!x->call_timer)
            x->call_timer = actor_after(self, c->life_ms, VERB_CALL_LEASE, 0);
    }
    reply->body = device_list(b);
    actor_reply(self, m, ERR_OK, reply);
}

static void call_leave(actor_t *self, inbox_t *b, const inbox_call_t *c) {
    if (b->extra && strcmp(b->extra->call, c->id) == 0)
        call_over(self, b->extra);
}

/* Its node is gone, or its shard does not answer any more: the user must not stay busy. */
static void call_lease(actor_t *self, inbox_t *b) {
    extra_t *x = extra(b);
    uint64_t now = actor_now_ns(self);
    x->call_timer = 0;
    if (now < x->call_until_ns)
        x->call_timer =
            actor_after(self, (x->call_until_ns - now) / 1000000 + 1, VERB_CALL_LEASE, 0);
    else
        call_over(self, x);
}

/* --- sockets --- */

static void drop_entry(inbox_t *b, uint32_t i) {
    entry_t *e = entries(b);
    device_drop(e[i].device);
    b->count--;
    memmove(&e[i], &e[i + 1], (b->count - i) * sizeof *e);
    if (b->count == 0 && b->cap) {
        pool_free(e, b->cap * sizeof *e);
        b->cap = 0;
    }
}

/* Room for one more. */
static void grow(inbox_t *b) {
    uint16_t room = b->cap ? b->cap : 1;
    if (b->count < room)
        return;
    entry_t *grown = pool_alloc(room * 2 * sizeof *grown);
    memcpy(grown, entries(b), b->count * sizeof *grown);
    if (b->cap)
        pool_free(b->many, b->cap * sizeof *grown);
    b->many = grown;
    b->cap = room * 2;
}

static void add_entry(inbox_t *b, const inbox_attach_t *a, block_t *device) {
    grow(b);
    entries(b)[b->count++] =
        (entry_t){.conn = a->conn, .bench = a->bench, .device = device_keep(device)};
}

/* Devices other than this one; entries come in no order of device, lists are short. */
static uint32_t other_devices(inbox_t *b, const char *device) {
    const entry_t *e = entries(b);
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        bool counted = strcmp(e[i].device, device) == 0;
        for (uint32_t k = 0; k < i && !counted; k++)
            counted = strcmp(e[k].device, e[i].device) == 0;
        n += !counted;
    }
    return n;
}

/* A socket is gone; of a device that has no other one the user's call is told. */
static void lose_entry(actor_t *self, inbox_t *b, uint32_t i) {
    entry_t gone = entries(b)[i];
    block_t *name = device_block(gone.device);
    block_ref(name);
    drop_entry(b, i);
    if (gone.live && !has_device(b, gone.device, b->count))
        tell_call(self, b, gone.device, false);
    block_unref(name);
}

/* Connections that ended without a word (their message found the mailbox full). */
static void drop_gone(actor_t *self, inbox_t *b) {
    for (uint32_t i = b->count; i-- > 0;)
        if (actor_send(self, entries(b)[i].conn, msg_new(VERB_IGNORED, 0)) == ERR_GONE)
            lose_entry(self, b, i);
}

static bool is_full(inbox_t *b, const edge_t *e, const char *device) {
    return b->count >= e->max_devices * 4 || other_devices(b, device) >= e->max_devices;
}

static void let_in(actor_t *self, inbox_t *b, msg_t *m) {
    edge_t *e = edge_of(self);
    if (is_full(b, e, m->body->data))
        drop_gone(self, b);
    if (is_full(b, e, m->body->data)) {
        actor_reply(self, m, ERR_RATE_LIMITED, NULL);
        return;
    }
    add_entry(b, msg_data(m, inbox_attach_t), m->body);
    actor_reply(self, m, ERR_OK, NULL);
}

/* What older sockets of the device know of its acks must be written before the new one reads them.
 */
static void ask_older(actor_t *self, inbox_t *b, msg_t *m) {
    const inbox_attach_t *a = msg_data(m, inbox_attach_t);
    for (uint32_t i = 0; i < b->count; i++) {
        const entry_t *old = &entries(b)[i];
        if (!old->live || (old->bench && a->bench) || strcmp(old->device, m->body->data) != 0)
            continue;
        b->saving++;
        actor_request(self, old->conn, msg_new(VERB_SAVE, 0), HAND_OVER_MS, VERB_SAVED, 0);
    }
}

static void attach(actor_t *self, inbox_t *b, msg_t *m) {
    ask_older(self, b, m);
    if (!b->saving) {
        let_in(self, b, m);
        return;
    }
    extra_t *x = extra(b);
    if (x->waiting == WAITING_MAX) {
        actor_reply(self, m, ERR_BUSY, NULL);
        return;
    }
    if (!x->waits)
        x->waits = pool_alloc(WAITING_MAX * sizeof *x->waits);
    actor_keep(self, m);
    x->waits[x->waiting++] = m;
}

static void saved(actor_t *self, inbox_t *b) {
    if (--b->saving)
        return;
    for (uint32_t i = 0; b->extra && i < b->extra->waiting; i++)
        let_in(self, b, b->extra->waits[i]);
    if (b->extra)
        free_waits(b->extra);
}

static uint32_t find(inbox_t *b, actor_ref_t conn) {
    for (uint32_t i = 0; i < b->count; i++)
        if (actor_ref_eq(entries(b)[i].conn, conn))
            return i;
    return UINT32_MAX;
}

/* The newer socket's welcome is queued: older ones of its device go. */
static void welcomed(actor_t *self, inbox_t *b, actor_ref_t conn) {
    uint32_t at = find(b, conn);
    if (at == UINT32_MAX)
        return;
    entries(b)[at].live = true;
    for (uint32_t i = at; i-- > 0;) {
        entry_t *old = &entries(b)[i], *now = &entries(b)[at];
        if (strcmp(old->device, now->device) != 0 || (old->bench && now->bench))
            continue;
        msg_t *bye = msg_new(VERB_CLOSE, 0);
        bye->cookie = 4002;
        actor_send(self, old->conn, bye);
        drop_entry(b, i);
        at--;
    }
    tell_call(self, b, entries(b)[at].device, true);
    now_online(self, b);
}

static void detach(actor_t *self, inbox_t *b, actor_ref_t conn) {
    uint32_t at = find(b, conn);
    if (at == UINT32_MAX)
        return;
    bool was_live = entries(b)[at].live;
    lose_entry(self, b, at);
    if (was_live && live_count(b) == 0)
        now_offline(self, b);
}

static void take(actor_t *self, inbox_t *b, msg_t *m) {
    switch (m->verb) {
    case VERB_ATTACH:
        attach(self, b, m);
        break;
    case VERB_WELCOMED:
        welcomed(self, b, *msg_data(m, actor_ref_t));
        break;
    case VERB_ACKED:
        b->saving++;
        chat_save_acks(self, m, VERB_SAVED);
        break;
    case VERB_SAVED:
        saved(self, b);
        break;
    case VERB_DETACH:
        detach(self, b, *msg_data(m, actor_ref_t));
        break;
    case VERB_SUBSCRIBE:
        watch(self, b, msg_data(m, inbox_watch_t));
        break;
    case VERB_UNSUBSCRIBE:
        unwatch(b, msg_data(m, inbox_watch_t)->conn, 0);
        break;
    case VERB_UNFOLLOW:
        unwatch(b, ACTOR_NONE, msg_data(m, inbox_watch_t)->viewer);
        break;
    case VERB_CALL_ENTER:
        call_enter(self, b, m);
        break;
    case VERB_CALL_LEAVE:
        call_leave(self, b, msg_data(m, inbox_call_t));
        break;
    case VERB_CALL_LEASE:
        call_lease(self, b);
        break;
    case VERB_OFFLINE:
        grace_over(self, b);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        break;
    }
}

static void handle(actor_t *self, void *state, msg_t *m) {
    inbox_t *b = state;
    take(self, b, m);
    if (!extra_used(b))
        free_extra(b);
    actor_rest(self);
}

static bool passivate(actor_t *self, void *state) {
    inbox_t *b = state;
    (void)self;
    return b->count == 0 && !extra_used(b) && b->saving == 0;
}

/* With a crash it is forgotten which sockets the user has: they go, with a code that makes clients
 * come back at once. Who looks at the user asks again. */
static void tell_lost(actor_t *self, inbox_t *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        msg_t *bye = msg_new(VERB_CLOSE, 0);
        bye->cookie = 1012;
        actor_send(self, entries(b)[i].conn, bye);
    }
    for (uint32_t i = 0; b->extra && i < b->extra->watcher_count; i++) {
        msg_t *again = msg_new(VERB_PRESENCE_LOST, 0);
        again->cookie = actor_key(self);
        actor_send(self, b->extra->watchers[i].conn, again);
    }
}

static void ended(actor_t *self, void *state, int reason) {
    inbox_t *b = state;
    if (actor_crashed(reason))
        tell_lost(self, b);
    while (b->count)
        drop_entry(b, b->count - 1);
    free_extra(b);
}

static const actor_class_t inbox_class = {
    .name = "inbox",
    .place = ACTOR_FREE,
    .restart = ACTOR_NEVER,
    .state_size = sizeof(inbox_t),
    .idle_ms = 10000,
    .idle_lazily = true,
    .handle = handle,
    .passivate = passivate,
    .ended = ended,
};

void inbox_register(edge_t *e) {
    runtime_kind(e->rt, KIND_INBOX, &inbox_class);
}
