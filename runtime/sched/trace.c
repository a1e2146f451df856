/* trace: see trace.h. A message that is traced carries the number of its record, 16 bits whose
 * lower ones are the place in the ring: a record that was overwritten is another number's.
 * worker.trace is the record on whose behalf the running actor acts, worker.trace_open the one
 * whose handling goes on. */
#include "sched/trace.h"
#include "base/err.h"
#include "base/log.h"
#include "sched/look.h"
#include "sched/sched.h"

typedef struct record {
    uint32_t id, before; /* id 0: free; before: the record of the same trace made before this one */
    uint32_t depth;
    trace_hop_t hop;
} record_t;

typedef struct course {
    uint32_t trace, hops, lost, last; /* last: record */
} course_t;
#define COURSES 1024 /* > TRACE_COUNT: one of each number of a trace_start */

typedef struct target {
    _Atomic bool armed;
    _Atomic uint32_t kind; /* KIND_NONE: by ref */
    _Atomic uint64_t key;
    actor_ref_t ref;
    uint32_t first, count, seen;
} target_t;

struct trace {
    pthread_mutex_t lock;
    uint32_t last_id, last_trace;
    target_t targets[TRACE_TARGETS];
    course_t courses[COURSES];
    record_t ring[TRACE_RING];
};

struct trace *trace_new(void) {
    struct trace *t = calloc(1, sizeof *t);
    if (!t)
        log_die("sched", "out of memory: trace");
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void trace_free(struct trace *t) {
    if (t)
        pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Made by the first who traces. Release: partner is the acquire of the same word. */
static struct trace *trace_of(runtime_t *rt) {
    struct trace *t = atomic_load_explicit(&rt->trace, memory_order_acquire), *none = NULL;
    if (t)
        return t;
    t = trace_new();
    if (atomic_compare_exchange_strong_explicit(&rt->trace, &none, t, memory_order_acq_rel,
                                                memory_order_acquire))
        return t;
    trace_free(t);
    return none;
}

/* --- records; under the lock --- */
static record_t *record_at(struct trace *t, uint32_t id) {
    record_t *r = &t->ring[id % TRACE_RING];
    return id && r->id == id ? r : NULL;
}

static course_t *course_of(struct trace *t, uint32_t trace) {
    return &t->courses[trace % COURSES];
}

/* A further hop of `trace`; NULL: it has had as many as it may. */
static record_t *record_add(struct trace *t, uint32_t trace, const record_t *parent) {
    course_t *c = course_of(t, trace);
    uint32_t depth = parent ? parent->depth + 1 : 1, parent_hop = parent ? parent->hop.hop : 0;
    if (c->trace != trace || c->hops >= TRACE_HOPS || depth > TRACE_DEPTH) {
        c->lost += c->trace == trace;
        return NULL;
    }
    t->last_id = (t->last_id + 1) & UINT16_MAX;
    if (t->last_id == 0)
        t->last_id = 1;
    record_t *r = &t->ring[t->last_id % TRACE_RING];
    *r = (record_t){.id = t->last_id, .before = c->last, .depth = depth};
    r->hop.trace = trace;
    r->hop.hop = ++c->hops;
    r->hop.parent = parent_hop;
    c->last = r->id;
    return r;
}

static trace_party_t party(runtime_t *rt, actor_ref_t ref) {
    look_actor_t e;
    if (!look_one(rt, ref, &e))
        return (trace_party_t){ref, NULL, 0};
    return (trace_party_t){ref, e.name, e.key};
}

static trace_party_t party_of(const actor_t *a) {
    return (trace_party_t){ref_of(a), a->cls->name, a->key};
}

/* --- arming --- */
static uint32_t arm(runtime_t *rt, uint8_t kind, uint64_t key, actor_ref_t ref, uint32_t count) {
    if (count == 0 || count > TRACE_COUNT)
        return 0;
    struct trace *t = trace_of(rt);
    uint32_t first = 0;
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < TRACE_TARGETS && !first; i++) {
        target_t *at = &t->targets[i];
        if (atomic_load_explicit(&at->armed, memory_order_relaxed))
            continue;
        first = at->first = t->last_trace + 1;
        t->last_trace += count;
        at->ref = ref;
        at->count = count;
        at->seen = 0;
        atomic_store_explicit(&at->kind, kind, memory_order_relaxed);
        atomic_store_explicit(&at->key, key, memory_order_relaxed);
        atomic_store_explicit(&at->armed, true, memory_order_relaxed);
        atomic_fetch_add_explicit(&rt->tracing, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&t->lock);
    return first;
}

uint32_t trace_start(runtime_t *rt, uint8_t kind, uint64_t key, uint32_t count) {
    return arm(rt, kind, key, ACTOR_NONE, count);
}

uint32_t trace_start_actor(runtime_t *rt, actor_ref_t ref, uint32_t count) {
    return arm(rt, KIND_NONE, ref.slot, ref, count);
}

static void disarm(runtime_t *rt, target_t *at) {
    if (atomic_exchange_explicit(&at->armed, false, memory_order_relaxed))
        atomic_fetch_sub_explicit(&rt->tracing, 1, memory_order_relaxed);
}

static target_t *target_of(struct trace *t, uint32_t first) {
    for (int i = 0; i < TRACE_TARGETS; i++)
        if (first && t->targets[i].first == first)
            return &t->targets[i];
    return NULL;
}

void trace_stop(runtime_t *rt, uint32_t first) {
    struct trace *t = trace_of(rt);
    pthread_mutex_lock(&t->lock);
    target_t *at = target_of(t, first);
    if (at)
        disarm(rt, at);
    pthread_mutex_unlock(&t->lock);
}

uint32_t trace_seen(runtime_t *rt, uint32_t first, bool *armed) {
    struct trace *t = trace_of(rt);
    pthread_mutex_lock(&t->lock);
    target_t *at = target_of(t, first);
    uint32_t seen = at ? at->seen : 0;
    *armed = at && atomic_load_explicit(&at->armed, memory_order_relaxed);
    pthread_mutex_unlock(&t->lock);
    return seen;
}

/* The hop before r of the same trace (r NULL: its last one); NULL: there is none any more. Numbers
 * of records come again after 65,535: one that belongs to another trace, or is younger, is not it.
 */
static record_t *hop_before(struct trace *t, const course_t *c, const record_t *r) {
    record_t *b = record_at(t, r ? r->before : c->last);
    uint32_t below = r ? r->hop.hop : c->hops + 1;
    return b && b->hop.trace == c->trace && b->hop.hop < below ? b : NULL;
}

size_t trace_read(runtime_t *rt, uint32_t trace, trace_hop_t *out, size_t room, uint32_t *lost) {
    struct trace *t = trace_of(rt);
    size_t n = 0;
    uint32_t missing = 0;
    pthread_mutex_lock(&t->lock);
    course_t *c = course_of(t, trace);
    if (trace && c->trace == trace) {
        uint32_t found = 0;
        for (record_t *r = hop_before(t, c, NULL); r; r = hop_before(t, c, r))
            found++;
        missing = c->lost + c->hops - found;
        n = found < room ? found : room;
        uint32_t skip = found - (uint32_t)n, at = (uint32_t)n; /* from the last to the first */
        for (record_t *r = hop_before(t, c, NULL); r; r = hop_before(t, c, r))
            if (skip)
                skip--;
            else
                out[--at] = r->hop;
    }
    pthread_mutex_unlock(&t->lock);
    if (lost)
        *lost = missing;
    return n;
}

/* --- on the way of messages --- */
static target_t *matching(struct trace *t, uint8_t kind, uint64_t key, actor_ref_t ref) {
    for (int i = 0; i < TRACE_TARGETS; i++) {
        target_t *at = &t->targets[i];
        if (!atomic_load_explicit(&at->armed, memory_order_relaxed))
            continue;
        uint32_t k = atomic_load_explicit(&at->kind, memory_order_relaxed);
        uint64_t v = atomic_load_explicit(&at->key, memory_order_relaxed);
        if (k == KIND_NONE ? v == ref.slot : k == kind && v == key)
            return at;
    }
    return NULL;
}

/* Under the lock: the first record of the target's next trace. NULL: another thread was faster. */
static record_t *begin_trace(runtime_t *rt, struct trace *t, target_t *at, actor_ref_t ref) {
    bool by_ref = atomic_load_explicit(&at->kind, memory_order_relaxed) == KIND_NONE;
    if (!atomic_load_explicit(&at->armed, memory_order_relaxed) ||
        (by_ref && !actor_ref_eq(at->ref, ref)))
        return NULL;
    uint32_t trace = at->first + at->seen++;
    if (at->seen == at->count)
        disarm(rt, at);
    *course_of(t, trace) = (course_t){.trace = trace};
    return record_add(t, trace, NULL);
}

/* The sender's side: a record for a message that is about to be pushed. Gives its number, 0: it
 * goes untraced. */
uint32_t trace_sent(runtime_t *rt, worker_t *w, msg_t *m, uint8_t kind) {
    struct trace *t = trace_of(rt);
    uint32_t parent = m->trace ? m->trace : w->trace;
    trace_party_t from = party(rt, m->from), to = {m->to, NULL, m->key};
    if (kind != KIND_NONE)
        to.name = rt->kinds[kind].cls->name;
    else
        to = party(rt, m->to);
    m->trace = 0;
    pthread_mutex_lock(&t->lock);
    record_t *p = record_at(t, parent), *r = p ? record_add(t, p->hop.trace, p) : NULL;
    if (r) {
        m->trace = (uint16_t)r->id;
        r->hop.verb = m->verb;
        r->hop.flags = m->flags;
        r->hop.err = m->err;
        r->hop.from = from;
        r->hop.to = to;
        r->hop.sent_ns = rt_now(rt);
    }
    pthread_mutex_unlock(&t->lock);
    return r ? m->trace : 0;
}

void trace_refused(runtime_t *rt, uint32_t id, int err) {
    struct trace *t = trace_of(rt);
    pthread_mutex_lock(&t->lock);
    record_t *r = record_at(t, id);
    if (r)
        r->hop.err = err;
    pthread_mutex_unlock(&t->lock);
}

/* Under the lock: m, untraced so far, reaches a: does a trace begin with it? Not with an answer:
 * what it belongs to began earlier. */
static record_t *begin_with(runtime_t *rt, struct trace *t, const actor_t *a, msg_t *m) {
    target_t *at = matching(t, a->kind, a->key, ref_of(a));
    bool begins = at && !(m->flags & (MSG_SYSTEM | MSG_REPLY));
    record_t *r = begins ? begin_trace(rt, t, at, ref_of(a)) : NULL;
    if (!r)
        return NULL;
    m->trace = (uint16_t)r->id;
    r->hop.flags = m->flags;
    r->hop.sent_ns = rt_now(rt);
    return r;
}

static bool concerns(struct trace *t, const actor_t *a, const msg_t *m) {
    return m->trace || matching(t, a->kind, a->key, ref_of(a));
}

/* The receiver's side, before the handler. Gives the record's number, 0: not traced. */
static uint32_t came(worker_t *w, const actor_t *a, msg_t *m) {
    runtime_t *rt = w->rt;
    struct trace *t = trace_of(rt);
    if (!concerns(t, a, m))
        return 0;
    trace_party_t from = party(rt, m->from);
    pthread_mutex_lock(&t->lock);
    record_t *r = m->trace ? record_at(t, m->trace) : begin_with(rt, t, a, m);
    if (r) {
        r->hop.verb = m->verb; /* of a reply it was not known to its sender */
        r->hop.from = r->hop.from.name ? r->hop.from : from;
        r->hop.to = party_of(a);
        r->hop.worker = w->index;
        r->hop.began_ns = rt_now(rt);
    } else {
        m->trace = 0;
    }
    pthread_mutex_unlock(&t->lock);
    return r ? m->trace : 0;
}

static void end_record(runtime_t *rt, uint32_t id) {
    struct trace *t = trace_of(rt);
    pthread_mutex_lock(&t->lock);
    record_t *r = record_at(t, id);
    if (r)
        r->hop.ended_ns = rt_now(rt);
    pthread_mutex_unlock(&t->lock);
}

void trace_came(worker_t *w, const actor_t *a, msg_t *m) {
    w->trace = w->trace_open = came(w, a, m);
}

/* After the handler. What a class does at the end of the slice it does for its last traced message.
 */
void trace_left(worker_t *w) {
    if (w->trace_open)
        end_record(w->rt, w->trace_open);
    w->trace_slice = w->trace;
    w->trace_slice_number = w->counts.slices;
    w->trace = w->trace_open = 0;
}

void trace_slice_end(worker_t *w) {
    w->trace = w->trace_slice_number == w->counts.slices ? w->trace_slice : 0;
    w->trace_slice = 0;
}

/* A batch of a thread actor: each is handled from its begin to its end. */
void trace_batch(worker_t *w, const actor_t *a, msg_t **batch, uint32_t n, bool ended) {
    for (uint32_t i = 0; i < n; i++)
        if (!ended)
            came(w, a, batch[i]);
        else if (batch[i]->trace)
            end_record(w->rt, batch[i]->trace);
}

/* --- called by actors --- */
static worker_t *here_of(const actor_t *self) {
    return worker_of(rt_of(self));
}

void trace_mark(actor_t *self, uint8_t kind, uint64_t key) {
    runtime_t *rt = rt_of(self);
    worker_t *w = here_of(self);
    if (!atomic_load_explicit(&rt->tracing, memory_order_relaxed) || !w || w->trace)
        return;
    struct trace *t = trace_of(rt);
    target_t *at = matching(t, kind, key, ACTOR_NONE);
    if (!at || atomic_load_explicit(&at->kind, memory_order_relaxed) == KIND_NONE)
        return;
    pthread_mutex_lock(&t->lock);
    record_t *r = begin_trace(rt, t, at, ACTOR_NONE);
    if (r) {
        r->hop.to = party_of(self);
        r->hop.worker = w->index;
        r->hop.sent_ns = r->hop.began_ns = rt_now(rt);
        w->trace = w->trace_open = r->id;
    }
    pthread_mutex_unlock(&t->lock);
}

void trace_follow(actor_t *self, const msg_t *m) {
    worker_t *w = here_of(self);
    if (m->trace && w && !w->is_thread)
        w->trace = m->trace;
}

void trace_visit(actor_t *self, const actor_t *other) {
    worker_t *w = here_of(self);
    if (!w || !w->trace)
        return;
    struct trace *t = trace_of(w->rt);
    pthread_mutex_lock(&t->lock);
    record_t *p = record_at(t, w->trace), *r = p ? record_add(t, p->hop.trace, p) : NULL;
    if (r) {
        r->hop.visited = true;
        r->hop.from = party_of(self);
        r->hop.to = party_of(other);
        r->hop.worker = w->index;
        r->hop.sent_ns = r->hop.began_ns = r->hop.ended_ns = rt_now(w->rt);
    }
    pthread_mutex_unlock(&t->lock);
}
