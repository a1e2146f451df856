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

typedef struct inbox {
    entry_t *entries;
    inbox_watch_t *watchers;
    uint64_t timer; /* presence.grace after the last socket */
    int64_t last_seen_s;
    uint32_t count, cap;
    uint32_t watcher_count, watcher_cap;
    uint32_t saving;  /* acks of devices that are being handed over or written */
    uint32_t waiting; /* connections that come in after that */
    msg_t **waits;    /* WAITING_MAX of them while there are any */
    bool told_online;
} inbox_t;

static edge_t *edge_of(actor_t *self) {
    return edge_here(self)->edge;
}

static uint32_t live_count(const inbox_t *b) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->count; i++)
        n += b->entries[i].live;
    return n;
}

/* --- who watches --- */

static void drop_watcher(inbox_t *b, uint32_t i) {
    b->watchers[i] = b->watchers[--b->watcher_count];
}

static void tell_watchers(actor_t *self, inbox_t *b, bool online) {
    inbox_state_t state = {(int64_t)actor_key(self), online,
                           online ? actor_wall_ms(self) / 1000 : b->last_seen_s};
    b->told_online = online;
    for (uint32_t i = b->watcher_count; i-- > 0;)
        if (actor_send(self, b->watchers[i].conn, msg_of(VERB_PRESENCE, &state, sizeof state)) ==
            ERR_GONE)
            drop_watcher(b, i);
}

static void watch(inbox_t *b, const inbox_watch_t *w) {
    for (uint32_t i = 0; i < b->watcher_count; i++)
        if (actor_ref_eq(b->watchers[i].conn, w->conn))
            return;
    if (b->watcher_count == WATCHERS_MAX)
        return;
    if (b->watcher_count == b->watcher_cap) {
        uint32_t cap = b->watcher_cap ? b->watcher_cap * 2 : 2;
        inbox_watch_t *grown = pool_alloc(cap * sizeof *grown);
        if (b->watcher_count)
            memcpy(grown, b->watchers, b->watcher_count * sizeof *grown);
        pool_free(b->watchers, b->watcher_cap * sizeof *grown);
        b->watchers = grown;
        b->watcher_cap = cap;
    }
    b->watchers[b->watcher_count++] = *w;
}

/* By connection, or, viewer > 0, by who looks. */
static void unwatch(inbox_t *b, actor_ref_t conn, int64_t viewer) {
    for (uint32_t i = b->watcher_count; i-- > 0;)
        if (viewer ? b->watchers[i].viewer == viewer : actor_ref_eq(b->watchers[i].conn, conn))
            drop_watcher(b, i);
}

static void grace_over(actor_t *self, inbox_t *b) {
    b->timer = 0;
    if (live_count(b) == 0 && b->told_online)
        tell_watchers(self, b, false);
}

static void now_online(actor_t *self, inbox_t *b) {
    actor_cancel(self, b->timer);
    b->timer = 0;
    if (!b->told_online)
        tell_watchers(self, b, true);
}

static void now_offline(actor_t *self, inbox_t *b) {
    edge_t *e = edge_of(self);
    buf_t params = {0};
    b->last_seen_s = actor_wall_ms(self) / 1000;
    value_add_int(&params, actor_wall_ms(self));
    value_add_int(&params, (int64_t)actor_key(self));
    store_run(e->store, self, e->op_seen, &params, 0, VERB_IGNORED, 0);
    if (!b->timer)
        b->timer = actor_after(self, e->grace_ms ? e->grace_ms : 1, VERB_OFFLINE, 0);
}

/* --- sockets --- */

static void free_device(char *device) {
    if (device)
        pool_free(device, strlen(device) + 1);
}

static void drop_entry(inbox_t *b, uint32_t i) {
    free_device(b->entries[i].device);
    b->count--;
    memmove(&b->entries[i], &b->entries[i + 1], (b->count - i) * sizeof *b->entries);
}

static void add_entry(inbox_t *b, const inbox_attach_t *a) {
    if (b->count == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 1;
        entry_t *grown = pool_alloc(cap * sizeof *grown);
        if (b->count)
            memcpy(grown, b->entries, b->count * sizeof *grown);
        pool_free(b->entries, b->cap * sizeof *grown);
        b->entries = grown;
        b->cap = cap;
    }
    size_t len = strlen(a->device) + 1;
    entry_t *n = &b->entries[b->count++];
    *n = (entry_t){.conn = a->conn, .bench = a->bench, .device = pool_alloc(len)};
    memcpy(n->device, a->device, len);
}

/* Devices other than this one; entries come in no order of device, lists are short. */
static uint32_t other_devices(const inbox_t *b, const char *device) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        bool counted = strcmp(b->entries[i].device, device) == 0;
        for (uint32_t k = 0; k < i && !counted; k++)
            counted = strcmp(b->entries[k].device, b->entries[i].device) == 0;
        n += !counted;
    }
    return n;
}

/* Connections that ended without a word (their message found the mailbox full). */
static void drop_gone(actor_t *self, inbox_t *b) {
    for (uint32_t i = b->count; i-- > 0;)
        if (actor_send(self, b->entries[i].conn, msg_new(VERB_IGNORED, 0)) == ERR_GONE)
            drop_entry(b, i);
}

static bool is_full(const inbox_t *b, const edge_t *e, const char *device) {
    return b->count >= e->max_devices * 4 || other_devices(b, device) >= e->max_devices;
}

static void let_in(actor_t *self, inbox_t *b, msg_t *m) {
    edge_t *e = edge_of(self);
    inbox_attach_t *a = msg_data(m, inbox_attach_t);
    if (is_full(b, e, a->device))
        drop_gone(self, b);
    if (is_full(b, e, a->device)) {
        actor_reply(self, m, ERR_RATE_LIMITED, NULL);
        return;
    }
    add_entry(b, a);
    actor_reply(self, m, ERR_OK, NULL);
}

/* What older sockets of the device know of its acks must be written before the new one reads them.
 */
static void ask_older(actor_t *self, inbox_t *b, const inbox_attach_t *a) {
    for (uint32_t i = 0; i < b->count; i++) {
        const entry_t *old = &b->entries[i];
        if (!old->live || (old->bench && a->bench) || strcmp(old->device, a->device) != 0)
            continue;
        b->saving++;
        actor_request(self, old->conn, msg_new(VERB_SAVE, 0), HAND_OVER_MS, VERB_SAVED, 0);
    }
}

static void attach(actor_t *self, inbox_t *b, msg_t *m) {
    ask_older(self, b, msg_data(m, inbox_attach_t));
    if (!b->saving) {
        let_in(self, b, m);
    } else if (b->waiting == WAITING_MAX) {
        actor_reply(self, m, ERR_BUSY, NULL);
    } else {
        if (!b->waits)
            b->waits = pool_alloc(WAITING_MAX * sizeof *b->waits);
        actor_keep(self, m);
        b->waits[b->waiting++] = m;
    }
}

static void free_waits(inbox_t *b) {
    if (b->waits)
        pool_free(b->waits, WAITING_MAX * sizeof *b->waits);
    b->waits = NULL;
    b->waiting = 0;
}

static void saved(actor_t *self, inbox_t *b) {
    if (--b->saving)
        return;
    for (uint32_t i = 0; i < b->waiting; i++)
        let_in(self, b, b->waits[i]);
    free_waits(b);
}

static uint32_t find(const inbox_t *b, actor_ref_t conn) {
    for (uint32_t i = 0; i < b->count; i++)
        if (actor_ref_eq(b->entries[i].conn, conn))
            return i;
    return UINT32_MAX;
}

/* The newer socket's welcome is queued: older ones of its device go. */
static void welcomed(actor_t *self, inbox_t *b, actor_ref_t conn) {
    uint32_t at = find(b, conn);
    if (at == UINT32_MAX)
        return;
    b->entries[at].live = true;
    for (uint32_t i = at; i-- > 0;) {
        entry_t *old = &b->entries[i], *now = &b->entries[at];
        if (strcmp(old->device, now->device) != 0 || (old->bench && now->bench))
            continue;
        msg_t *bye = msg_new(VERB_CLOSE, 0);
        bye->cookie = 4002;
        actor_send(self, old->conn, bye);
        drop_entry(b, i);
        at--;
    }
    now_online(self, b);
}

static void detach(actor_t *self, inbox_t *b, actor_ref_t conn) {
    uint32_t at = find(b, conn);
    if (at == UINT32_MAX)
        return;
    bool was_live = b->entries[at].live;
    drop_entry(b, at);
    if (was_live && live_count(b) == 0)
        now_offline(self, b);
}

static void handle(actor_t *self, void *state, msg_t *m) {
    inbox_t *b = state;
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
        watch(b, msg_data(m, inbox_watch_t));
        break;
    case VERB_UNSUBSCRIBE:
        unwatch(b, msg_data(m, inbox_watch_t)->conn, 0);
        break;
    case VERB_UNFOLLOW:
        unwatch(b, ACTOR_NONE, msg_data(m, inbox_watch_t)->viewer);
        break;
    case VERB_OFFLINE:
        grace_over(self, b);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        break; /* the store's answer to last_seen: lost is lost */
    }
}

static bool passivate(actor_t *self, void *state) {
    inbox_t *b = state;
    (void)self;
    return b->count == 0 && b->watcher_count == 0 && b->timer == 0 && b->saving == 0;
}

static void ended(actor_t *self, void *state, int reason) {
    inbox_t *b = state;
    (void)self, (void)reason;
    while (b->count)
        drop_entry(b, b->count - 1);
    pool_free(b->entries, b->cap * sizeof *b->entries);
    pool_free(b->watchers, b->watcher_cap * sizeof *b->watchers);
    free_waits(b); /* who waits is answered by the runtime */
}

static const actor_class_t inbox_class = {
    .name = "inbox",
    .place = ACTOR_FREE,
    .restart = ACTOR_NEVER,
    .state_size = sizeof(inbox_t),
    .idle_ms = 10000,
    .handle = handle,
    .passivate = passivate,
    .ended = ended,
};

void inbox_register(edge_t *e) {
    runtime_kind(e->rt, KIND_INBOX, &inbox_class);
}
