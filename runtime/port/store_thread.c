/* store_thread: the store's thread actors. The writer takes what waits, runs it in one transaction
 * and answers after the commit: nothing is answered as stored before. A reader runs one request
 * after the other on a connection of its own. The engine does the work. */
#include "base/err.h"
#include "base/log.h"
#include "port/store_in.h"
#include <stdatomic.h>

/* --- both --- */
static int note_port(actor_t *self, void *state, const void *arg) {
    (void)self;
    *(store_port_t **)state = (store_port_t *)arg;
    return ERR_OK;
}

static slice_t operations(const msg_t *m) {
    return (slice_t){m->data + sizeof(store_head_t), m->size - sizeof(store_head_t)};
}

static bool is_request(const msg_t *m) {
    return m->verb == STORE_RUN || m->verb == STORE_APPEND;
}

static bool expired(const store_t *s, const msg_t *m) {
    return m->deadline_ns && runtime_fresh_ns(s->rt) >= m->deadline_ns;
}

static void add(_Atomic uint64_t *cell, uint64_t n) {
    atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

/* Takes the outcome's reply. Counted out first: who has the answer may ask again. */
static void answer(actor_t *self, msg_t *m, store_outcome_t *o) {
    store_count_out(m);
    actor_reply(self, m, o->err, o->reply);
    o->reply = NULL;
}

static const store_head_t *head_of(const msg_t *m) {
    return (const store_head_t *)m->data;
}

/* The operations of a request, one after the other; their results as the body of a message. */
static int run_operations(store_port_t *p, const msg_t *m, msg_t **reply) {
    slice_t rest = operations(m), params;
    p->scratch.len = 0;
    for (uint32_t n = head_of(m)->count; n > 0; n--) {
        store_run_op_t op = store_next_op(&rest, &params);
        int err = p->store->engine->run(p->conn, op.op, params, &p->scratch);
        if (err != ERR_OK)
            return err;
    }
    *reply = msg_new(0, 0);
    (*reply)->body = block_of(p->scratch.at, p->scratch.len);
    if (p->scratch.cap > 1u << 20) /* a rare large answer does not stay */
        buf_free(&p->scratch);
    return ERR_OK;
}

/* --- the writer --- */

/* Rows that a request may write, to bound a transaction. */
static uint32_t weight(const msg_t *m) {
    return is_request(m) ? head_of(m)->count : 0;
}

/* A single statement that fails takes itself back; a savepoint costs copies of pages. */
static bool needs_save(const store_t *s, const msg_t *m) {
    slice_t rest = operations(m), params;
    if (head_of(m)->count != 1)
        return true;
    const store_op_t *op = &s->ops.at[store_next_op(&rest, &params).op];
    return op->expect >= 0 || op->column_count > 0;
}

static int write_run(store_port_t *p, const msg_t *m, msg_t **reply) {
    const store_engine_t *e = p->store->engine;
    bool save = needs_save(p->store, m);
    int err = save ? e->save(p->conn) : ERR_OK;
    if (err == ERR_OK)
        err = run_operations(p, m, reply);
    if (save && !e->lost(p->conn)) {
        if (err == ERR_OK)
            err = e->keep(p->conn);
        else
            e->undo(p->conn);
    }
    return err;
}

static int write_append(store_port_t *p, const msg_t *m, msg_t **reply) {
    const store_append_head_t *head = (const store_append_head_t *)m->data;
    *reply = msg_new(0, head->head.count * sizeof(store_appended_t));
    return p->store->engine->append(p->conn, head, (slice_t){m->body->data, m->body->len},
                                    (store_appended_t *)(*reply)->data);
}

static void drop_reply(store_outcome_t *o, int err) {
    msg_free(o->reply);
    *o = (store_outcome_t){.err = err};
}

static void write_one(store_port_t *p, msg_t *m, store_outcome_t *o) {
    p->store->engine->start(p->conn, 0);
    o->err = m->verb == STORE_APPEND ? write_append(p, m, &o->reply) : write_run(p, m, &o->reply);
    if (o->err != ERR_OK)
        drop_reply(o, o->err);
}

static void fail_all(store_t *s, size_t n, int err) {
    for (size_t i = 0; i < n; i++)
        if (s->outcomes[i].err != ERR_TIMEOUT) /* those had expired before */
            drop_reply(&s->outcomes[i], err);
}

/* Requests that are to be done have ERR_OK as outcome. */
static void transact(store_port_t *p, msg_t **m, size_t n) {
    store_t *s = p->store;
    int err = s->engine->begin(p->conn, true);
    if (err != ERR_OK) {
        fail_all(s, n, err);
        return;
    }
    for (size_t i = 0; i < n && !s->engine->lost(p->conn); i++)
        if (s->outcomes[i].err == ERR_OK && is_request(m[i]))
            write_one(p, m[i], &s->outcomes[i]);
    if (s->engine->lost(p->conn)) {
        s->engine->rollback(p->conn);
        fail_all(s, n, ERR_IO);
    } else if (s->engine->commit(p->conn) != ERR_OK) {
        fail_all(s, n, ERR_TIMEOUT);
    } else {
        add(&s->commits, 1);
    }
}

static uint32_t stored_rows(const msg_t *m, const store_outcome_t *o) {
    uint32_t rows = 0;
    size_t count;
    if (o->err != ERR_OK || m->verb != STORE_APPEND)
        return o->err == ERR_OK ? weight(m) : 0;
    const store_appended_t *a = store_appended(o->reply, &count);
    for (size_t i = 0; i < count; i++)
        rows += !a[i].repeat && a[i].id; /* id 0: refused */
    return rows;
}

/* One transaction and its answers. */
static void write_group(store_port_t *p, actor_t *self, msg_t **m, size_t n) {
    store_t *s = p->store;
    size_t live = 0;
    uint64_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        s->outcomes[i] = (store_outcome_t){.err = expired(s, m[i]) ? ERR_TIMEOUT : ERR_OK};
        live += s->outcomes[i].err == ERR_OK && is_request(m[i]);
    }
    if (live)
        transact(p, m, n);
    for (size_t i = 0; i < n; i++)
        if (is_request(m[i]))
            rows += stored_rows(m[i], &s->outcomes[i]);
    add(&s->rows, rows); /* first: who has its answer is counted */
    actor_hold_wakes(self);
    for (size_t i = 0; i < n; i++)
        if (is_request(m[i]))
            answer(self, m[i], &s->outcomes[i]);
    actor_wake_held(self);
    if (live)
        atomic_store_explicit(&s->log_bytes, s->engine->tidy(p->conn), memory_order_relaxed);
}

static void write_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    store_port_t *p = *(store_port_t **)state;
    for (size_t i = 0, k; i < n; i += k) {
        uint64_t rows = 0;
        for (k = 0; i + k < n && rows < p->store->batch; k++)
            rows += weight(m[i + k]);
        write_group(p, self, m + i, k);
    }
}

/* --- a reader --- */
static int read_run(store_port_t *p, const msg_t *m, msg_t **reply) {
    const store_engine_t *e = p->store->engine;
    bool many = head_of(m)->count != 1;
    int err = many ? e->begin(p->conn, false) : ERR_OK; /* one snapshot for all of them */
    if (err == ERR_OK) {
        e->start(p->conn, m->deadline_ns);
        err = run_operations(p, m, reply);
    }
    if (many)
        e->rollback(p->conn);
    return err;
}

static void read_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    store_port_t *p = *(store_port_t **)state;
    for (size_t i = 0; i < n; i++) {
        if (!is_request(m[i]))
            continue;
        store_outcome_t o = {.err = ERR_TIMEOUT};
        if (!expired(p->store, m[i]))
            o.err = read_run(p, m[i], &o.reply);
        add(&p->store->reads, 1);
        answer(self, m[i], &o);
    }
}

/* --- start --- */

/* The mailboxes never refuse: the front counts messages and bytes before it sends. */
static const actor_class_t writer_class = {.name = "store writer",
                                           .place = ACTOR_THREAD,
                                           .restart = ACTOR_ON_CRASH,
                                           .state_size = sizeof(store_port_t *),
                                           .max_msgs = UINT32_MAX / 2,
                                           .max_bytes = UINT32_MAX,
                                           .batch = STORE_GROUP,
                                           .init = note_port,
                                           .handle_batch = write_batch};
static const actor_class_t reader_class = {.name = "store reader",
                                           .place = ACTOR_THREAD,
                                           .restart = ACTOR_ON_CRASH,
                                           .state_size = sizeof(store_port_t *),
                                           .max_msgs = UINT32_MAX / 2,
                                           .max_bytes = UINT32_MAX,
                                           .batch = 16,
                                           .init = note_port,
                                           .handle_batch = read_batch};

static bool start(store_t *s, store_port_t *p, const actor_class_t *cls) {
    p->ref = actor_spawn(s->rt, NULL, cls, 0, -1, p);
    return !actor_ref_eq(p->ref, ACTOR_NONE);
}

int store_threads(store_t *s, char *fault, size_t room) {
    bool ok = start(s, &s->writer, &writer_class);
    for (uint32_t i = 0; i < s->reader_count && ok; i++)
        ok = start(s, &s->readers[i], &reader_class);
    if (ok)
        return ERR_OK;
    snprintf(fault, room, "store: no room for its threads (actors.max)");
    return ERR_BUSY;
}
