/* kv_memory: kv in this process: one free actor with a table of chains. An entry past its life is
 * as good as absent; it is thrown away when it is met, by a sweep of a part of the table every
 * second, and by a sweep of all when the table is full. */
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"
#include "port/kv_in.h"
#include <stdlib.h>

#define BUCKETS_MIN     1024
#define BYTES_MAX       (256u << 20) /* of keys and values: full as well */
#define SUBSCRIBERS_MAX 10000
#define SWEEP_MS        1000
#define SWEEP_PART      16 /* a sixteenth of the table at a time */

typedef struct entry {
    struct entry *next;
    uint64_t hash, dies_ns; /* 0 = never */
    block_t *value;
    uint32_t key_len;
    char key[];
} entry_t;

typedef struct subscriber {
    struct subscriber *next;
    actor_ref_t ref;
    uint32_t verb, len;
    char channel[];
} subscriber_t;

typedef struct memory {
    entry_t **buckets;
    uint32_t bucket_count; /* a power of two */
    uint32_t count, max, next_bucket;
    uint64_t bytes, swept_ns;
    subscriber_t *subscribers;
    uint32_t subscriber_count;
} memory_t;

/* --- the table --- */
static size_t entry_size(const entry_t *e) {
    return sizeof *e + e->key_len;
}

static void unlink_entry(memory_t *t, entry_t **at) {
    entry_t *e = *at;
    *at = e->next;
    t->count--;
    t->bytes -= e->key_len + e->value->len;
    block_unref(e->value);
    pool_free(e, entry_size(e));
}

static bool is_dead(const entry_t *e, uint64_t now) {
    return e->dies_ns && e->dies_ns <= now;
}

static void sweep_buckets(memory_t *t, uint32_t first, uint32_t count, uint64_t now) {
    for (uint32_t i = 0; i < count; i++) {
        entry_t **at = &t->buckets[(first + i) & (t->bucket_count - 1)];
        while (*at)
            if (is_dead(*at, now))
                unlink_entry(t, at);
            else
                at = &(*at)->next;
    }
}

/* Where the entry hangs; NULL: absent. A dead one is thrown away. */
static entry_t **find(memory_t *t, slice_t key, uint64_t hash, uint64_t now) {
    entry_t **at = &t->buckets[hash & (t->bucket_count - 1)];
    while (*at && ((*at)->hash != hash || !slice_eq(key, (slice_t){(*at)->key, (*at)->key_len})))
        at = &(*at)->next;
    if (*at && is_dead(*at, now)) {
        unlink_entry(t, at);
        return NULL;
    }
    return *at ? at : NULL;
}

static entry_t **buckets_new(uint32_t count) {
    entry_t **b = calloc(count, sizeof *b);
    if (!b)
        log_die("kv", "no memory");
    return b;
}

static void grow(memory_t *t) {
    uint32_t count = t->bucket_count * 2;
    entry_t **wider = buckets_new(count);
    for (uint32_t i = 0; i < t->bucket_count; i++)
        while (t->buckets[i]) {
            entry_t *e = t->buckets[i];
            t->buckets[i] = e->next;
            e->next = wider[e->hash & (count - 1)];
            wider[e->hash & (count - 1)] = e;
        }
    free(t->buckets);
    t->buckets = wider;
    t->bucket_count = count;
}

static bool has_room(memory_t *t, size_t bytes, uint32_t entries, uint64_t now) {
    if (t->count + entries <= t->max && t->bytes + bytes <= BYTES_MAX)
        return true;
    if (now - t->swept_ns > SWEEP_MS * 1000000ull) { /* at most so often: it looks at everything */
        t->swept_ns = now;
        sweep_buckets(t, 0, t->bucket_count, now);
    }
    return t->count + entries <= t->max && t->bytes + bytes <= BYTES_MAX;
}

static entry_t *add_entry(memory_t *t, slice_t key, uint64_t hash) {
    if (t->count >= t->bucket_count)
        grow(t);
    entry_t *e = pool_alloc(sizeof *e + key.len);
    *e = (entry_t){.hash = hash, .key_len = (uint32_t)key.len};
    if (key.len)
        memcpy(e->key, key.at, key.len);
    entry_t **at = &t->buckets[hash & (t->bucket_count - 1)];
    e->next = *at;
    *at = e;
    t->count++;
    t->bytes += key.len;
    return e;
}

static void put_value(memory_t *t, entry_t *e, slice_t value) {
    if (e->value)
        t->bytes -= e->value->len;
    block_unref(e->value);
    e->value = block_of(value.at, value.len);
    t->bytes += value.len;
}

static uint64_t dies_at(uint64_t now, uint64_t ttl_ms) {
    if (ttl_ms == 0 || ttl_ms > UINT64_MAX / 2000000)
        return 0;
    return now + ttl_ms * 1000000;
}

/* --- requests --- */
static int do_set(memory_t *t, const kv_request_t *r, uint64_t now) {
    slice_t key = kv_key(r), value = kv_value(r);
    uint64_t hash = hash_bytes(key.at, key.len);
    entry_t **at = find(t, key, hash, now);
    if (at && r->only_new)
        return ERR_EXISTS;
    if (!at && !has_room(t, key.len + value.len, 1, now))
        return ERR_FULL;
    entry_t *e = at ? *at : add_entry(t, key, hash);
    put_value(t, e, value);
    e->dies_ns = dies_at(now, r->ttl_ms);
    return ERR_OK;
}

/* A counter is a decimal text, with a sign when it is below zero. */
static bool read_number(const block_t *b, int64_t *out) {
    char text[24], *end;
    if (b->len == 0 || b->len >= sizeof text)
        return false;
    memcpy(text, b->data, b->len);
    text[b->len] = 0;
    *out = strtoll(text, &end, 10);
    return *end == 0;
}

static int do_incr(memory_t *t, const kv_request_t *r, uint64_t now, block_t **body) {
    slice_t key = kv_key(r);
    uint64_t hash = hash_bytes(key.at, key.len);
    entry_t **at = find(t, key, hash, now);
    char text[24];
    int64_t n = 0;
    if (at && !read_number((*at)->value, &n))
        return ERR_BAD_REQUEST;
    if (__builtin_add_overflow(n, r->by, &n))
        return ERR_BAD_REQUEST;
    if (!at && !has_room(t, key.len + sizeof text, 1, now))
        return ERR_FULL;
    entry_t *e = at ? *at : add_entry(t, key, hash);
    int len = snprintf(text, sizeof text, "%lld", (long long)n);
    put_value(t, e, (slice_t){text, (size_t)len});
    if (!at)
        e->dies_ns = dies_at(now, r->ttl_ms);
    *body = block_ref(e->value);
    return ERR_OK;
}

static void do_get(memory_t *t, const kv_request_t *r, uint64_t now, block_t **body) {
    slice_t key = kv_key(r);
    entry_t **at = find(t, key, hash_bytes(key.at, key.len), now);
    *body = at ? block_ref((*at)->value) : NULL;
}

static void do_del(memory_t *t, const kv_request_t *r, uint64_t now) {
    slice_t key = kv_key(r);
    entry_t **at = find(t, key, hash_bytes(key.at, key.len), now);
    if (at)
        unlink_entry(t, at);
}

static void answer(actor_t *self, msg_t *m, int err, block_t *body) {
    msg_t *reply = msg_new(0, 0);
    reply->body = body;
    actor_reply(self, m, err, reply);
}

/* --- channels --- */
static void subscribe(actor_t *self, memory_t *t, const msg_t *m, const kv_request_t *r) {
    if (t->subscriber_count == SUBSCRIBERS_MAX) {
        log_warn("kv", "more than %d subscribers: one is left out", SUBSCRIBERS_MAX);
        return;
    }
    subscriber_t *s = pool_alloc(sizeof *s + r->key_len);
    *s = (subscriber_t){t->subscribers, m->from, r->verb, r->key_len};
    if (r->key_len)
        memcpy(s->channel, kv_key(r).at, r->key_len);
    t->subscribers = s;
    t->subscriber_count++;
    actor_watch(self, m->from);
}

static void publish(actor_t *self, const memory_t *t, const kv_request_t *r) {
    slice_t text = kv_value(r);
    block_t *b = block_of(text.at, text.len);
    for (const subscriber_t *s = t->subscribers; s; s = s->next)
        if (slice_eq(kv_key(r), (slice_t){s->channel, s->len})) {
            msg_t *m = msg_new(s->verb, 0);
            m->body = block_ref(b);
            actor_send(self, s->ref, m);
        }
    block_unref(b);
}

static void unsubscribe(memory_t *t, actor_ref_t ref, bool all) {
    for (subscriber_t **at = &t->subscribers; *at;) {
        subscriber_t *s = *at;
        if (!all && !actor_ref_eq(s->ref, ref)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        t->subscriber_count--;
        pool_free(s, sizeof *s + s->len);
    }
}

/* --- the actor --- */
static int begin(actor_t *self, void *state, const void *arg) {
    memory_t *t = state;
    t->max = (uint32_t)conf_int(arg, "kv.max_entries");
    t->bucket_count = BUCKETS_MIN;
    t->buckets = buckets_new(t->bucket_count);
    actor_after(self, SWEEP_MS, KV_SWEEP, 0);
    return ERR_OK;
}

static void sweep(actor_t *self, memory_t *t) {
    uint32_t part = t->bucket_count / SWEEP_PART;
    sweep_buckets(t, t->next_bucket, part, actor_now_ns(self));
    t->next_bucket = (t->next_bucket + part) & (t->bucket_count - 1);
    actor_after(self, SWEEP_MS, KV_SWEEP, 0);
}

static void ask(actor_t *self, memory_t *t, msg_t *m) {
    const kv_request_t *r = msg_data(m, kv_request_t);
    uint64_t now = actor_now_ns(self);
    block_t *body = NULL;
    int err = ERR_OK;
    switch (m->verb) {
    case KV_GET:
        do_get(t, r, now, &body);
        break;
    case KV_SET:
        err = do_set(t, r, now);
        break;
    case KV_INCR:
        err = do_incr(t, r, now, &body);
        break;
    case KV_DEL:
        do_del(t, r, now);
        break;
    }
    answer(self, m, err, body);
}

static void handle(actor_t *self, void *state, msg_t *m) {
    memory_t *t = state;
    switch (m->verb) {
    case KV_SUBSCRIBE:
        subscribe(self, t, m, msg_data(m, kv_request_t));
        break;
    case KV_PUBLISH:
        publish(self, t, msg_data(m, kv_request_t));
        break;
    case KV_SWEEP:
        sweep(self, t);
        break;
    case MSG_DOWN:
        unsubscribe(t, m->from, false);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        ask(self, t, m);
        break;
    }
}

static void end(actor_t *self, void *state, int reason) {
    (void)self, (void)reason;
    memory_t *t = state;
    for (uint32_t i = 0; i < t->bucket_count; i++)
        while (t->buckets[i])
            unlink_entry(t, &t->buckets[i]);
    free(t->buckets);
    unsubscribe(t, ACTOR_NONE, true);
}

static const actor_class_t memory_class = {.name = "kv",
                                           .place = ACTOR_FREE,
                                           .restart = ACTOR_ON_CRASH,
                                           .state_size = sizeof(memory_t),
                                           .max_msgs = 65536,
                                           .init = begin,
                                           .handle = handle,
                                           .ended = end};

actor_ref_t kv_memory(runtime_t *rt, const conf_t *conf) {
    return actor_spawn(rt, NULL, &memory_class, 0, -1, conf);
}
