/* stream_memory: streams in this process: one free actor. A topic is a ring of the last events; a
 * group has an offset it has done, a follower what it has been sent. Who falls out of the ring goes
 * on at the oldest event kept. */
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "port/stream_in.h"
#include <stdlib.h>

#define TOPICS_MAX    64
#define GROUPS_MAX    1024 /* in all */
#define FOLLOWERS_MAX 1024
#define TOPIC_BYTES   (64u << 20)  /* of events: the oldest go */
#define ALL_BYTES     (128u << 20) /* of all topics: the oldest of the largest go */
#define RETRY_MS      10           /* after a follower's mailbox was full */

typedef struct event {
    uint64_t key;
    block_t *body;
} event_t;

typedef struct topic {
    struct topic *next;
    char *name;
    event_t *ring;
    uint32_t cap; /* a power of two, grows up to the limit */
    int64_t oldest, next_offset;
    uint64_t bytes;
} topic_t;

typedef struct group {
    struct group *next;
    topic_t *topic;
    char *name;
    int64_t done; /* the highest committed offset, -1: none */
} group_t;

typedef struct follower {
    struct follower *next;
    actor_ref_t ref;
    group_t *group;
    int64_t sent_to; /* the next offset it gets */
    int64_t done;    /* below it nothing is under way */
    uint32_t window, verb;
} follower_t;

typedef struct streams {
    topic_t *topics;
    group_t *groups;
    follower_t *followers;
    uint32_t topic_count, group_count, follower_count, max_events;
    uint64_t bytes;
    bool retry; /* a timer is set */
} streams_t;

static char *name_of(slice_t s) {
    char *name = malloc(s.len + 1);
    if (!name)
        log_die("stream", "no memory");
    memcpy(name, s.at, s.len);
    name[s.len] = 0;
    return name;
}

/* --- the ring --- */
static event_t *event_at(const topic_t *t, int64_t offset) {
    return &t->ring[(uint64_t)offset & (t->cap - 1)];
}

static void drop_oldest(streams_t *s, topic_t *t) {
    event_t *e = event_at(t, t->oldest++);
    t->bytes -= e->body->len;
    s->bytes -= e->body->len;
    block_unref(e->body);
}

static void grow(topic_t *t) {
    topic_t wider = *t;
    wider.cap = t->cap ? t->cap * 2 : 64;
    wider.ring = calloc(wider.cap, sizeof *wider.ring);
    if (!wider.ring)
        log_die("stream", "no memory");
    for (int64_t i = t->oldest; i < t->next_offset; i++)
        *event_at(&wider, i) = *event_at(t, i);
    free(t->ring);
    *t = wider;
}

static topic_t *largest(const streams_t *s) {
    topic_t *most = s->topics;
    for (topic_t *t = s->topics; t; t = t->next)
        if (t->bytes > most->bytes)
            most = t;
    return most;
}

/* Takes a reference to body. */
static void add_event(streams_t *s, topic_t *t, uint64_t key, block_t *body) {
    while (t->next_offset > t->oldest &&
           (t->next_offset - t->oldest >= s->max_events || t->bytes + body->len > TOPIC_BYTES))
        drop_oldest(s, t);
    while (s->bytes + body->len > ALL_BYTES)
        drop_oldest(s, largest(s));
    if (t->next_offset - t->oldest == t->cap)
        grow(t);
    *event_at(t, t->next_offset++) = (event_t){key, block_ref(body)};
    t->bytes += body->len;
    s->bytes += body->len;
}

/* --- names --- NULL: over the limit --- */
static topic_t *topic_named(streams_t *s, slice_t name) {
    for (topic_t *t = s->topics; t; t = t->next)
        if (slice_eq(name, slice_of(t->name)))
            return t;
    if (s->topic_count == TOPICS_MAX)
        return NULL;
    topic_t *t = pool_zalloc(sizeof *t);
    t->name = name_of(name);
    t->next = s->topics;
    s->topics = t;
    s->topic_count++;
    return t;
}

static group_t *group_named(streams_t *s, topic_t *t, slice_t name) {
    for (group_t *g = s->groups; g; g = g->next)
        if (g->topic == t && slice_eq(name, slice_of(g->name)))
            return g;
    if (s->group_count == GROUPS_MAX)
        return NULL;
    group_t *g = pool_zalloc(sizeof *g);
    *g = (group_t){.next = s->groups, .topic = t, .name = name_of(name), .done = -1};
    s->groups = g;
    s->group_count++;
    return g;
}

static group_t *find_group(streams_t *s, const stream_request_t *r) {
    topic_t *t = topic_named(s, stream_topic(r));
    return t ? group_named(s, t, stream_group(r)) : NULL;
}

/* --- delivery --- */
static void skip_lost(follower_t *f) {
    topic_t *t = f->group->topic;
    if (f->sent_to >= t->oldest)
        return;
    log_warn("stream", "%s: a follower of group %s lost %lld events", t->name, f->group->name,
             (long long)(t->oldest - f->sent_to));
    f->sent_to = t->oldest;
    if (f->done < t->oldest)
        f->done = t->oldest;
}

static void pump(actor_t *self, streams_t *s, follower_t *f) {
    const topic_t *t = f->group->topic;
    skip_lost(f);
    while (f->sent_to < t->next_offset && f->sent_to - f->done < f->window) {
        const event_t *e = event_at(t, f->sent_to);
        msg_t *m = msg_new(f->verb, 0);
        m->key = (uint64_t)f->sent_to;
        m->cookie = e->key;
        m->body = block_ref(e->body);
        if (actor_send(self, f->ref, m) != ERR_OK) { /* full: later; gone: DOWN is on its way */
            if (!s->retry)
                actor_after(self, RETRY_MS, STREAM_RETRY, 0);
            s->retry = true;
            return;
        }
        f->sent_to++;
    }
}

static void pump_all(actor_t *self, streams_t *s, const topic_t *t) {
    for (follower_t *f = s->followers; f; f = f->next)
        if (!t || f->group->topic == t)
            pump(self, s, f);
}

/* --- requests --- */
static void append(actor_t *self, streams_t *s, msg_t *m, const stream_request_t *r) {
    topic_t *t = topic_named(s, stream_topic(r));
    if (t)
        add_event(s, t, r->key, m->body);
    actor_reply(self, m, t ? ERR_OK : ERR_FULL, NULL);
    if (t)
        pump_all(self, s, t);
}

static follower_t *find_follower(streams_t *s, actor_ref_t ref, const group_t *g) {
    for (follower_t *f = s->followers; f; f = f->next)
        if (f->group == g && actor_ref_eq(f->ref, ref))
            return f;
    return NULL;
}

static follower_t *new_follower(actor_t *self, streams_t *s, actor_ref_t ref, group_t *g) {
    if (s->follower_count == FOLLOWERS_MAX)
        return NULL;
    follower_t *f = pool_zalloc(sizeof *f);
    *f = (follower_t){.next = s->followers, .ref = ref, .group = g};
    s->followers = f;
    s->follower_count++;
    actor_watch(self, ref);
    return f;
}

/* Who follows again begins again. */
static void follow(actor_t *self, streams_t *s, const msg_t *m, const stream_request_t *r) {
    group_t *g = find_group(s, r);
    follower_t *f = g ? find_follower(s, m->from, g) : NULL;
    if (g && !f)
        f = new_follower(self, s, m->from, g);
    if (!f) {
        log_warn("stream", "too many topics, groups or followers: one is left out");
        return;
    }
    int64_t from = r->offset;
    if (from < 0)
        from = g->done >= 0 ? g->done + 1 : g->topic->oldest;
    f->sent_to = f->done = from;
    f->window = r->window;
    f->verb = r->verb;
    pump(self, s, f);
}

static void commit(actor_t *self, streams_t *s, const msg_t *m, const stream_request_t *r) {
    group_t *g = find_group(s, r);
    if (!g || r->offset < 0 || r->offset >= g->topic->next_offset)
        return;
    if (r->offset > g->done)
        g->done = r->offset;
    follower_t *f = find_follower(s, m->from, g);
    if (!f)
        return;
    if (r->offset >= f->done && r->offset < f->sent_to)
        f->done = r->offset + 1;
    pump(self, s, f);
}

static void forget(streams_t *s, actor_ref_t ref, bool all) {
    for (follower_t **at = &s->followers; *at;) {
        follower_t *f = *at;
        if (!all && !actor_ref_eq(f->ref, ref)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        s->follower_count--;
        pool_free(f, sizeof *f);
    }
}

/* --- the actor --- */
static int begin(actor_t *self, void *state, const void *arg) {
    (void)self;
    ((streams_t *)state)->max_events = (uint32_t)conf_int(arg, "stream.max_events");
    return ERR_OK;
}

static void handle(actor_t *self, void *state, msg_t *m) {
    streams_t *s = state;
    switch (m->verb) {
    case STREAM_APPEND:
        append(self, s, m, msg_data(m, stream_request_t));
        break;
    case STREAM_FOLLOW:
        follow(self, s, m, msg_data(m, stream_request_t));
        break;
    case STREAM_COMMIT:
        commit(self, s, m, msg_data(m, stream_request_t));
        break;
    case STREAM_RETRY:
        s->retry = false;
        pump_all(self, s, NULL);
        break;
    case MSG_DOWN:
        forget(s, m->from, false);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    }
}

static void end(actor_t *self, void *state, int reason) {
    (void)self, (void)reason;
    streams_t *s = state;
    forget(s, ACTOR_NONE, true);
    for (group_t *g; (g = s->groups);) {
        s->groups = g->next;
        free(g->name);
        pool_free(g, sizeof *g);
    }
    for (topic_t *t; (t = s->topics);) {
        s->topics = t->next;
        while (t->oldest < t->next_offset)
            drop_oldest(s, t);
        free(t->ring);
        free(t->name);
        pool_free(t, sizeof *t);
    }
}

static const actor_class_t memory_class = {.name = "stream",
                                           .place = ACTOR_FREE,
                                           .restart = ACTOR_ON_CRASH,
                                           .state_size = sizeof(streams_t),
                                           .max_msgs = 65536,
                                           .init = begin,
                                           .handle = handle,
                                           .ended = end};

actor_ref_t stream_memory(runtime_t *rt, const conf_t *conf) {
    return actor_spawn(rt, NULL, &memory_class, 0, -1, conf);
}
