/* look: see look.h. Slots are read without a lock. An entry is whole because a slot's generation is
 * read before and after: gen = the gate's generation says that everything in the slot belongs to
 * that actor, and both move before the slot is made up for another one. */
#include "sched/look.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/pool.h"
#include "sched/sched.h"
#include <assert.h>
#include <time.h>

_Static_assert(CLASSES == LOOK_CLASSES, "one place a class");

const char *look_state_name(look_state_t state) {
    static const char *const names[] = {"idle", "ready", "running", "parked", "stopping"};
    return names[state];
}

static uint64_t ns_of(uint64_t ticks) {
    return (uint64_t)((double)ticks * 1000 / clock_ticks_per_us());
}

/* A thread actor spends its time waiting in calls: the system knows what it used. */
static uint64_t cpu_of(const actor_t *a, worker_t *w) {
    uint64_t ns = w->is_thread ? clock_of_thread_ns(SEEN(w->cpu_clock)) : 0;
    return ns ? ns : ns_of(SEEN(a->ticks));
}

static look_state_t state_of(const actor_t *a, worker_t *w, uint32_t waiting) {
    uint8_t marks = SEEN(a->marks);
    if (SEEN(w->running) == a)
        return LOOK_RUNNING;
    if (marks & MARK_PARKED)
        return LOOK_PARKED;
    if (marks & MARK_STOP_SENT)
        return LOOK_STOPPING;
    return waiting ? LOOK_READY : LOOK_IDLE;
}

/* As call.c sizes its table, or a little less when it was longer before. */
static uint64_t calls_bytes(uint32_t calls) {
    uint64_t cap = 4;
    while (calls && cap < calls * 2)
        cap *= 2;
    return calls ? 40 + cap * 24 : 0;
}

static uint64_t memory_of(const look_actor_t *e, const actor_class_t *cls, uint16_t told) {
    return sizeof(actor_t) + cls->state_size + calls_bytes(e->calls) +
           e->timers * sizeof(timer_node_t) + (e->waiting + e->open) * sizeof(msg_t) + e->bytes +
           ((uint64_t)told << 16);
}

static void fill(const actor_t *a, look_actor_t *e, uint64_t now_ns) {
    const actor_class_t *cls = SEEN(a->cls);
    worker_t *w = atomic_load_explicit(&((actor_t *)a)->worker, memory_order_acquire);
    uint8_t kind = SEEN(a->kind);
    e->parent = (actor_ref_t){SEEN(a->parent.slot), SEEN(a->parent.gen)};
    e->name = cls->name;
    e->key = SEEN(a->key);
    e->kind = kind == KIND_NONE ? -1 : kind;
    e->thread = w->is_thread;
    e->worker = w->index;
    e->state = state_of(a, w, e->waiting);
    e->peak = SEEN(a->peak);
    e->refused = atomic_load_explicit(&a->refused, memory_order_acquire);
    e->cap_msgs = atomic_load_explicit(&a->cap_msgs, memory_order_acquire);
    e->cap_bytes = atomic_load_explicit(&a->cap_bytes, memory_order_acquire);
    e->bytes = atomic_load_explicit(&a->bytes, memory_order_acquire);
    e->open = SEEN(a->open_count);
    e->calls = SEEN(a->call_count);
    e->timers = SEEN(a->timer_count);
    e->restarts = SEEN(a->restarts);
    e->handled = SEEN(a->handled);
    e->cpu_ns = e->recent_ns = cpu_of(a, w);
    e->memory = memory_of(e, cls, SEEN(a->memory));
    e->age_ms = turn_tick(now_ns) - SEEN(a->born_ms);
}

/* Whose slot it is, 0: nobody's, or of one that is still being made: its maker holds the token
 * without a count in the gate until slot_enlist, so nobody may send to it. */
static uint32_t owner_of(const actor_t *a, uint32_t *waiting) {
    uint32_t gen = SEEN(a->gen);
    uint64_t gate = atomic_load_explicit(&((actor_t *)a)->gate, memory_order_acquire);
    *waiting = (uint32_t)gate;
    bool live = SEEN(a->marks) & MARK_LIVE;
    return live && gate >> 32 == gen ? gen : 0;
}

/* All reads before were acquires: had one met a value of the slot's next owner, the gate would be
 * seen moved on. */
static bool still_owned(const actor_t *a, uint32_t gen) {
    return atomic_load_explicit(&((actor_t *)a)->gate, memory_order_relaxed) >> 32 == gen;
}

/* false: nobody lives in this slot. */
static bool read_slot(const actor_t *a, look_actor_t *e, uint64_t now_ns) {
    uint32_t gen = owner_of(a, &e->waiting);
    if (!gen)
        return false;
    e->ref = (actor_ref_t){a->slot, gen};
    e->children = 0;
    fill(a, e, now_ns);
    return still_owned(a, gen);
}

bool look_one(runtime_t *rt, actor_ref_t ref, look_actor_t *out) {
    const actor_t *a = ref.gen ? slot_at(rt, ref.slot) : NULL;
    return a && read_slot(a, out, rt_now(rt)) && out->ref.gen == ref.gen;
}

/* --- what was seen last time --- */
typedef struct mark {
    uint64_t cpu_ns;
    uint32_t gen;
} mark_t;
struct look_marks {
    mark_t *at;
    uint32_t count;
};

look_marks_t *look_marks_new(void) {
    return pool_zalloc(sizeof(look_marks_t));
}

void look_marks_free(look_marks_t *marks) {
    if (!marks)
        return;
    pool_free(marks->at, marks->count * sizeof(mark_t));
    pool_free(marks, sizeof *marks);
}

static void marks_reserve(look_marks_t *marks, uint32_t slots) {
    if (slots <= marks->count)
        return;
    mark_t *at = pool_zalloc(slots * sizeof(mark_t));
    if (marks->at)
        memcpy(at, marks->at, marks->count * sizeof(mark_t));
    pool_free(marks->at, marks->count * sizeof(mark_t));
    marks->at = at;
    marks->count = slots;
}

static void mark_recent(look_marks_t *marks, look_actor_t *e) {
    mark_t *m = &marks->at[e->ref.slot];
    if (m->gen == e->ref.gen)
        e->recent_ns = e->cpu_ns > m->cpu_ns ? e->cpu_ns - m->cpu_ns : 0;
    *m = (mark_t){e->cpu_ns, e->ref.gen};
}

/* --- the list: the largest are kept in a heap whose root is the smallest of them --- */
static uint64_t rank(const look_actor_t *e, look_sort_t sort) {
    switch (sort) {
    case LOOK_BY_CPU:
        return e->recent_ns;
    case LOOK_BY_QUEUE:
        return e->waiting;
    case LOOK_BY_MEMORY:
        return e->memory;
    case LOOK_UNSORTED:
        break;
    }
    return 0;
}

static void swap(look_actor_t *a, look_actor_t *b) {
    look_actor_t t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(look_actor_t *heap, size_t n, size_t at, look_sort_t sort) {
    for (;;) {
        size_t least = at, left = 2 * at + 1;
        for (size_t c = left; c < n && c < left + 2; c++)
            if (rank(&heap[c], sort) < rank(&heap[least], sort))
                least = c;
        if (least == at)
            return;
        swap(&heap[at], &heap[least]);
        at = least;
    }
}

static void heap_add(look_actor_t *heap, size_t *n, size_t room, const look_actor_t *e,
                     look_sort_t sort) {
    if (*n < room) {
        size_t at = (*n)++;
        heap[at] = *e;
        for (; at && rank(&heap[at], sort) < rank(&heap[(at - 1) / 2], sort); at = (at - 1) / 2)
            swap(&heap[at], &heap[(at - 1) / 2]);
    } else if (room && sort != LOOK_UNSORTED && rank(e, sort) > rank(&heap[0], sort)) {
        heap[0] = *e;
        sift_down(heap, *n, 0, sort);
    }
}

static void heap_sort(look_actor_t *heap, size_t n, look_sort_t sort) {
    if (sort == LOOK_UNSORTED)
        return;
    while (n > 1) {
        swap(&heap[0], &heap[--n]);
        sift_down(heap, n, 0, sort);
    }
}

static bool wanted(const look_query_t *q, const look_actor_t *e) {
    return (!q->name || strcmp(q->name, e->name) == 0) && (!q->by_key || q->key == e->key) &&
           (!q->by_parent || actor_ref_eq(q->parent, e->parent));
}

static uint32_t slots_made(runtime_t *rt) {
    pthread_mutex_lock(&rt->lock);
    uint32_t n = rt->slots_made;
    pthread_mutex_unlock(&rt->lock);
    return n;
}

size_t look_list(runtime_t *rt, const look_query_t *query, look_actor_t *out, size_t room,
                 uint64_t *total) {
    uint64_t now = rt_now(rt), count = 0;
    uint32_t made = slots_made(rt);
    size_t n = 0;
    if (query->marks)
        marks_reserve(query->marks, made);
    for (uint32_t i = 0; i < made; i++) {
        look_actor_t e;
        if (!read_slot(slot_at(rt, i), &e, now))
            continue;
        if (query->marks)
            mark_recent(query->marks, &e);
        if (!wanted(query, &e))
            continue;
        count++;
        heap_add(out, &n, room, &e, query->sort);
    }
    heap_sort(out, n, query->sort);
    for (size_t i = 0; i < n; i++)
        look_children(rt, out[i].ref, NULL, 0, &out[i].children);
    if (total)
        *total = count;
    return n;
}

size_t look_children(runtime_t *rt, actor_ref_t ref, actor_ref_t *out, size_t room,
                     uint32_t *count) {
    actor_t *a = ref.gen ? slot_at(rt, ref.slot) : NULL;
    uint32_t n = 0;
    size_t given = 0;
    pthread_mutex_lock(&rt->lock);
    if (a && SEEN(a->gen) == ref.gen && (a->marks & MARK_LIVE))
        for (uint32_t at = a->child; at && n < LOOK_CHILDREN; n++) {
            actor_t *c = slot_at(rt, at - 1);
            if (given < room)
                out[given++] = ref_of(c);
            at = c->sibling;
        }
    pthread_mutex_unlock(&rt->lock);
    if (count)
        *count = n;
    return given;
}

actor_ref_t look_slot(runtime_t *rt, uint32_t slot) {
    const actor_t *a = slot_at(rt, slot);
    uint32_t waiting, gen = a ? owner_of(a, &waiting) : 0;
    return gen ? (actor_ref_t){slot, gen} : ACTOR_NONE;
}

/* --- classes --- */
class_account_t *class_account(runtime_t *rt, const actor_class_t *cls) {
    uint32_t at = (uint32_t)((uintptr_t)cls >> 4) % (CLASSES - 1);
    for (uint32_t i = 0; i < CLASSES - 1; i++, at = (at + 1) % (CLASSES - 1)) {
        class_account_t *c = &rt->classes[at];
        const actor_class_t *there = atomic_load_explicit(&c->cls, memory_order_acquire);
        if (there == cls)
            return c;
        if (!there && atomic_compare_exchange_strong_explicit(
                          &c->cls, &there, cls, memory_order_acq_rel, memory_order_acquire))
            return c;
        if (there == cls)
            return c;
    }
    return &rt->classes[CLASSES - 1];
}

static void add(_Atomic uint64_t *cell, uint64_t n) {
    if (n)
        atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

void class_ended(runtime_t *rt, const actor_t *a) {
    class_account_t *c = class_account(rt, a->cls);
    worker_t *w = atomic_load_explicit(&((actor_t *)a)->worker, memory_order_relaxed);
    uint64_t ns = w->is_thread ? clock_of_thread_ns(SEEN(w->cpu_clock)) : 0;
    add(&c->ended, 1);
    add(&c->messages, a->handled);
    add(&c->ticks, ns ? (uint64_t)((double)ns * clock_ticks_per_us() / 1000) : a->ticks);
    add(&c->refused, atomic_load_explicit(&((actor_t *)a)->refused, memory_order_relaxed));
}

/* By name: two classes may share one. */
static look_class_t *class_by_name(look_class_t *out, size_t *n, const char *name) {
    for (size_t i = 0; i < *n; i++)
        if (strcmp(out[i].name, name) == 0)
            return &out[i];
    look_class_t *c = &out[*n < LOOK_CLASSES ? (*n)++ : LOOK_CLASSES - 1];
    *c = (look_class_t){.name = name};
    return c;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const look_class_t *)a)->name, ((const look_class_t *)b)->name);
}

static uint64_t got(_Atomic uint64_t *cell) {
    return atomic_load_explicit(cell, memory_order_relaxed);
}

size_t look_classes(runtime_t *rt, look_class_t out[LOOK_CLASSES]) {
    size_t n = 0;
    for (uint32_t i = 0; i < CLASSES; i++) {
        class_account_t *a = &rt->classes[i];
        const actor_class_t *cls = atomic_load_explicit(&a->cls, memory_order_acquire);
        if (!cls && !got(&a->made))
            continue;
        look_class_t *c = class_by_name(out, &n, cls ? cls->name : "other");
        c->made += got(&a->made);
        c->messages += got(&a->messages);
        c->cpu_ns += ns_of(got(&a->ticks));
        c->refused += got(&a->refused);
        c->restarts += got(&a->restarts);
        c->crashes += got(&a->crashes);
    }
    uint64_t now = rt_now(rt);
    uint32_t made = slots_made(rt);
    for (uint32_t i = 0; i < made; i++) {
        look_actor_t e;
        if (!read_slot(slot_at(rt, i), &e, now))
            continue;
        look_class_t *c = class_by_name(out, &n, e.name);
        c->alive++;
        c->messages += e.handled;
        c->cpu_ns += e.cpu_ns;
        c->waiting += e.waiting;
        c->refused += e.refused;
        c->memory += e.memory;
    }
    qsort(out, n, sizeof *out, by_name);
    return n;
}

/* --- limits --- */
size_t look_limits(runtime_t *rt, look_limit_t out[LOOK_LIMITS]) {
    runtime_counts_t counts;
    runtime_counts(rt, &counts);
    out[0] = (look_limit_t){.name = "mailbox.messages",
                            .what = "messages refused by a full mailbox",
                            .value = rt->conf.mailbox_msgs,
                            .refused = got(&rt->limits[LIMIT_MSGS])};
    out[1] = (look_limit_t){.name = "mailbox.bytes",
                            .what = "messages refused by a mailbox full of bytes",
                            .value = rt->conf.mailbox_bytes,
                            .refused = got(&rt->limits[LIMIT_BYTES])};
    out[2] = (look_limit_t){.name = "actors.max",
                            .what = "actors that were not made",
                            .value = rt->conf.max_actors,
                            .now = counts.actors,
                            .refused = got(&rt->limits[LIMIT_ACTORS])};
    out[3] = (look_limit_t){.name = "restarts",
                            .what = "restarts refused: the parent failed",
                            .value = RESTARTS,
                            .refused = got(&rt->limits[LIMIT_RESTARTS])};
    return LOOK_LIMITS;
}

/* --- the conservation law --- */
bool look_law(runtime_t *rt, look_law_t *out) {
    uint32_t made = slots_made(rt);
    out->waiting = 0;
    for (uint32_t i = 0; i < made; i++) {
        const actor_t *a = slot_at(rt, i);
        uint32_t waiting =
            (uint32_t)atomic_load_explicit(&((actor_t *)a)->gate, memory_order_relaxed);
        bool phantom = SEEN(a->marks) & MARK_PARKED; /* the count that holds its token */
        out->waiting += waiting - (phantom && waiting);
    }
    runtime_counts(rt, &out->counts);
    const runtime_counts_t *c = &out->counts;
    out->missing = (int64_t)(c->sent - c->received - c->refused - c->dead - out->waiting);
    return out->missing == 0;
}

bool look_law_at_rest(runtime_t *rt, uint32_t wait_ms, look_law_t *out) {
    assert(!worker_of(rt));
    for (uint32_t i = 0;; i++) {
        if (look_law(rt, out) && out->waiting == 0)
            return true;
        if (i >= wait_ms)
            return false;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

/* --- from actors --- */
void actor_memory(actor_t *self, uint64_t bytes) {
    uint64_t steps = (bytes + 65535) >> 16;
    SHOW(self->memory, (uint16_t)(steps < UINT16_MAX ? steps : UINT16_MAX));
}
