/* seen: when users went offline, written many at a time: one write is at the store, what comes
 * meanwhile goes with the next one. So a single leave is written at once, and ten thousand that
 * leave together cost a handful of statements instead of one each. One actor per worker, told by
 * the inboxes that run there. */
#include "actors/edge.h"
#include "base/log.h"

#define AT_ONCE 1024 /* more do not wait for the write that is under way */

typedef struct seen {
    buf_t list; /* {"user":ms,.. */
    uint32_t count, writes;
} seen_t;

typedef struct leave {
    int64_t user, at_ms;
} leave_t;

static void add(seen_t *s, const leave_t *l) {
    buf_add_text(&s->list, s->count++ ? ",\"" : "{\"");
    buf_add_int(&s->list, l->user);
    buf_add_text(&s->list, "\":");
    buf_add_int(&s->list, l->at_ms);
}

static void write_all(actor_t *self, seen_t *s) {
    const edge_t *e = edge_here(self)->edge;
    buf_t params = {0};
    buf_add_char(&s->list, '}');
    value_add_text(&params, buf_slice(&s->list));
    s->list.len = 0;
    s->count = 0;
    s->writes++;
    store_run(e->store, self, e->op_seen, &params, 0, VERB_SEEN_WRITTEN, 0);
}

static void handle(actor_t *self, void *state, msg_t *m) {
    seen_t *s = state;
    switch (m->verb) {
    case VERB_SEEN:
        add(s, msg_data(m, leave_t));
        if (s->writes == 0 || s->count >= AT_ONCE)
            write_all(self, s);
        break;
    case VERB_SEEN_WRITTEN:
        s->writes--;
        if (m->err != ERR_OK)
            log_warn("edge", "last_seen of some users was not written: %s", err_name(m->err));
        if (s->count)
            write_all(self, s);
        break;
    case MSG_STOP:
        if (s->count)
            write_all(self, s);
        actor_exit(self, ERR_OK);
        break;
    default:
        break;
    }
}

static void ended(actor_t *self, void *state, int reason) {
    seen_t *s = state;
    (void)self, (void)reason;
    buf_free(&s->list);
}

static const actor_class_t seen_class = {
    .name = "seen",
    .place = ACTOR_PINNED,
    .restart = ACTOR_ON_CRASH,
    .state_size = sizeof(seen_t),
    .handle = handle,
    .ended = ended,
};

/* Made before the start, so that it outlives the inboxes, and after the store, which outlives it.
 */
bool seen_setup(edge_t *e) {
    for (uint32_t i = 0; i < e->worker_count; i++) {
        e->seen[i] = actor_spawn(e->rt, NULL, &seen_class, i, (int)i, NULL);
        if (!e->seen[i].gen)
            return false;
    }
    return true;
}

void seen_note(actor_t *inbox, int64_t user, int64_t at_ms) {
    const edge_t *e = edge_here(inbox)->edge;
    leave_t l = {user, at_ms};
    actor_send(inbox, e->seen[actor_worker(inbox)], msg_of(VERB_SEEN, &l, sizeof l));
}
