/* store: see store.h. The front: it picks the engine by the URL, turns calls into requests to the
 * writer or to the reader with the shortest queue, and refuses what would not fit. The calls run in
 * their actor's thread; they touch only constant data and counters here. */
#include "port/store.h"
#include "base/err.h"
#include "base/pool.h"
#include "port/kind.h"
#include "port/store_in.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

static const store_engine_t *const engines[] = {&store_sqlite};

static const store_engine_t *find_engine(slice_t url, slice_t *place) {
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++)
        if (port_scheme(url, engines[i]->scheme, place))
            return engines[i];
    return NULL;
}

static int open_all(store_t *s, slice_t place, const conf_t *conf, char *fault, size_t room) {
    int err = store_ops_load(&s->ops, s->engine->dialect, fault, room);
    if (err == ERR_OK)
        err = s->engine->open(s, place, conf, fault, room);
    return err == ERR_OK ? store_threads(s, fault, room) : err;
}

store_t *store_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room) {
    slice_t url = conf_text(conf, "store.url"), place;
    const store_engine_t *engine = find_engine(url, &place);
    if (!engine) {
        port_unknown("store.url", url, (const char *const[]){store_sqlite.scheme}, 1, fault, room);
        return NULL;
    }
    store_t *s = pool_zalloc(sizeof *s);
    s->engine = engine;
    s->rt = rt;
    s->batch = (uint32_t)conf_int(conf, "store.batch");
    s->queue = (uint32_t)conf_int(conf, "store.queue");
    s->reader_count = (uint32_t)conf_int(conf, "store.readers");
    if (open_all(s, place, conf, fault, room) == ERR_OK)
        return s;
    store_close(s);
    return NULL;
}

void store_close(store_t *s) {
    if (!s)
        return;
    s->engine->close(s);
    store_ops_free(&s->ops);
    buf_free(&s->writer.scratch);
    for (uint32_t i = 0; i < STORE_READERS; i++)
        buf_free(&s->readers[i].scratch);
    pool_free(s, sizeof *s);
}

/* --- operations --- */
static int compare_name(const void *name, const void *op) {
    return strcmp(name, ((const store_op_t *)op)->name);
}

int store_op(const store_t *s, const char *name) {
    const store_op_t *op = bsearch(name, s->ops.at, s->ops.count, sizeof(store_op_t), compare_name);
    return op ? (int)(op - s->ops.at) : -1;
}

static const store_op_t *op_at(const store_t *s, int op) {
    assert(op >= 0 && (uint32_t)op < s->ops.count);
    return &s->ops.at[op];
}

const char *const *store_op_params(const store_t *s, int op, size_t *count) {
    *count = op_at(s, op)->param_count;
    return (const char *const *)op_at(s, op)->params;
}

const char *const *store_op_columns(const store_t *s, int op, size_t *count) {
    *count = op_at(s, op)->column_count;
    return (const char *const *)op_at(s, op)->columns;
}

bool store_op_writes(const store_t *s, int op) {
    return op_at(s, op)->writes;
}

/* --- requests --- */

static uint64_t bytes_of(const msg_t *m) {
    return m->size + (m->body ? m->body->len : 0u);
}

/* Counts a request in; it is counted out when it is answered. Relaxed: sums that bound, they order
 * nothing. */
static bool admit(store_t *s, store_port_t *p, uint64_t bytes) {
    uint32_t queued = atomic_fetch_add_explicit(&p->queued, 1, memory_order_relaxed);
    uint64_t held = atomic_fetch_add_explicit(&p->bytes, bytes, memory_order_relaxed);
    if (queued < s->queue && held + bytes <= STORE_QUEUE_BYTES)
        return true;
    atomic_fetch_sub_explicit(&p->queued, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
    return false;
}

void store_count_out(msg_t *m) {
    store_head_t *head = msg_data(m, store_head_t);
    if (!head->port)
        return;
    atomic_fetch_sub_explicit(&head->port->queued, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&head->port->bytes, bytes_of(m), memory_order_relaxed);
    head->port = NULL;
}

/* The first one with the shortest queue: while one is enough the same one reads, whose pages are in
 * its caches. */
static store_port_t *pick_reader(store_t *s) {
    uint32_t least = ~0u;
    store_port_t *best = NULL;
    for (uint32_t i = 0; i < s->reader_count && least > 0; i++) {
        uint32_t queued = atomic_load_explicit(&s->readers[i].queued, memory_order_relaxed);
        if (queued < least) {
            least = queued;
            best = &s->readers[i];
        }
    }
    return best;
}

typedef struct waits {
    uint32_t timeout_ms, verb;
    uint64_t cookie;
} waits_t;

/* Takes m. */
static void request(store_t *s, actor_t *self, store_port_t *p, msg_t *m, waits_t w) {
    if (admit(s, p, bytes_of(m))) {
        msg_data(m, store_head_t)->port = p;
        m->drop = store_count_out;
        actor_request(self, p->ref, m, w.timeout_ms, w.verb, w.cookie);
        return;
    }
    msg_free(m);
    actor_refuse(self, ERR_BUSY, w.verb, w.cookie);
}

void store_run(store_t *s, actor_t *self, int op, buf_t *params, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie) {
    store_head_t head = {.count = 1};
    store_run_op_t one = {(uint32_t)op, params->len};
    msg_t *m = msg_new(STORE_RUN, sizeof head + sizeof one + params->len);
    memcpy(m->data, &head, sizeof head);
    memcpy(m->data + sizeof head, &one, sizeof one);
    if (params->len)
        memcpy(m->data + sizeof head + sizeof one, params->at, params->len);
    buf_free(params);
    request(s, self, store_op_writes(s, op) ? &s->writer : pick_reader(s), m,
            (waits_t){timeout_ms, reply_verb, cookie});
}

void store_batch_run(store_t *s, actor_t *self, store_batch_t *b, uint32_t timeout_ms,
                     uint32_t reply_verb, uint64_t cookie) {
    store_head_t head = {.count = b->count};
    msg_t *m = msg_new(STORE_RUN, sizeof head + b->bytes.len);
    memcpy(m->data, &head, sizeof head);
    if (b->bytes.len)
        memcpy(m->data + sizeof head, b->bytes.at, b->bytes.len);
    store_port_t *p = b->writes ? &s->writer : pick_reader(s);
    buf_free(&b->bytes);
    *b = (store_batch_t){0};
    request(s, self, p, m, (waits_t){timeout_ms, reply_verb, cookie});
}

/* --- append: the items are built in the block that the request carries --- */
#define APPEND_ROOM 1024
struct store_append {
    store_append_head_t head;
    block_t *items;
};

store_append_t *store_append_new(int64_t conversation, int64_t first_seq, int64_t epoch) {
    store_append_t *a = pool_zalloc(sizeof *a);
    a->head = (store_append_head_t){{0}, conversation, first_seq, epoch};
    a->items = block_new(APPEND_ROOM);
    return a;
}

static char *items_room(store_append_t *a, size_t n) {
    block_t *old = a->items;
    if (n > old->cap - old->len) {
        size_t cap = (size_t)old->cap * 2;
        while (cap < old->len + n)
            cap *= 2;
        a->items = block_new(cap);
        memcpy(a->items->data, old->data, old->len);
        a->items->len = old->len;
        block_unref(old);
    }
    char *at = a->items->data + a->items->len;
    a->items->len += (uint32_t)n;
    return at;
}

void store_append_add(store_append_t *a, const store_append_item_t *item) {
    store_item_head_t h = {.sender = item->sender,
                           .reply_to = item->reply_to,
                           .at_ms = item->at_ms,
                           .content_type = item->content_type,
                           .id_len = (uint32_t)item->client_msg_id.len,
                           .content_len = (uint32_t)item->content.len};
    char *at = items_room(a, sizeof h + h.id_len + h.content_len);
    memcpy(at, &h, sizeof h);
    memcpy(at + sizeof h, item->client_msg_id.at, h.id_len);
    memcpy(at + sizeof h + h.id_len, item->content.at, h.content_len);
    a->head.head.count++;
}

void store_append_run(store_t *s, actor_t *self, store_append_t *a, uint32_t timeout_ms,
                      uint32_t reply_verb, uint64_t cookie) {
    msg_t *m = msg_of(STORE_APPEND, &a->head, sizeof a->head);
    m->body = a->items;
    pool_free(a, sizeof *a);
    request(s, self, &s->writer, m, (waits_t){timeout_ms, reply_verb, cookie});
}

/* --- figures --- */
static uint64_t figure(const _Atomic uint64_t *cell) {
    return atomic_load_explicit(cell, memory_order_relaxed);
}

void store_stats(const store_t *s, store_stats_t *out) {
    *out = (store_stats_t){.commits = figure(&s->commits),
                           .rows = figure(&s->rows),
                           .reads = figure(&s->reads),
                           .refused = figure(&s->refused),
                           .wal_bytes = figure(&s->log_bytes)};
    out->write_queue = atomic_load_explicit(&s->writer.queued, memory_order_relaxed);
    for (uint32_t i = 0; i < s->reader_count; i++)
        out->read_queue += atomic_load_explicit(&s->readers[i].queued, memory_order_relaxed);
}
