/* slots: where actors live. Chunks of CHUNK slots, made on demand and never given back while the
 * runtime lives, so a stale actor_ref may always be looked at. One lock for the free list, the tree
 * of parents and the list by age: taken when an actor is made or ends, for a few pointer moves. */
#include "base/log.h"
#include "sched/sched.h"

/* A new chunk onto the free list, lowest slot first. */
static bool more(runtime_t *rt) {
    uint32_t at = rt->slots_made / CHUNK;
    if (at >= rt->chunk_count)
        return false;
    actor_t *c = aligned_alloc(64, CHUNK * sizeof(actor_t));
    if (!c)
        log_die("sched", "out of memory: a chunk of actors");
    memset(c, 0, CHUNK * sizeof(actor_t));
    for (uint32_t i = CHUNK; i-- > 0;) {
        c[i].slot = at * CHUNK + i;
        atomic_store_explicit(&c[i].gate, (uint64_t)1 << 32, memory_order_relaxed);
        c[i].link = rt->free;
        rt->free = &c[i];
    }
    rt->slots_made += CHUNK;
    atomic_store_explicit(&rt->chunks[at], c, memory_order_release);
    return true;
}

actor_t *slot_take(runtime_t *rt) {
    pthread_mutex_lock(&rt->lock);
    actor_t *a = NULL;
    if (rt->live < rt->conf.max_actors && (rt->free || more(rt))) {
        a = rt->free;
        rt->free = a->link;
        a->link = NULL;
        rt->live++;
    }
    pthread_mutex_unlock(&rt->lock);
    if (!a)
        limit_hit(rt, LIMIT_ACTORS);
    return a;
}

static actor_t *by_number(runtime_t *rt, uint32_t n) {
    return n ? slot_at(rt, n - 1) : NULL;
}

/* Read as one word by others (look.c). */
static void show_parent(actor_t *a, actor_ref_t parent) {
    SHOW(a->parent.slot, parent.slot);
    SHOW(a->parent.gen, parent.gen);
}

void slot_mark(runtime_t *rt, actor_t *a, uint8_t mark, bool on) {
    pthread_mutex_lock(&rt->lock);
    SHOW(a->marks, (uint8_t)(on ? a->marks | mark : a->marks & ~mark));
    pthread_mutex_unlock(&rt->lock);
}

void slot_enlist(runtime_t *rt, actor_t *a, actor_ref_t parent) {
    pthread_mutex_lock(&rt->lock);
    SHOW(a->marks, (uint8_t)(MARK_LIVE | (atomic_load(&rt->phase) == PHASE_NEW ? MARK_FIRST : 0)));
    a->older = rt->youngest;
    a->younger = 0;
    actor_t *older = by_number(rt, a->older);
    if (older)
        older->younger = a->slot + 1;
    rt->youngest = a->slot + 1;
    a->child = a->sibling = a->sibling_prev = 0;
    show_parent(a, parent);
    actor_t *p = parent.gen ? slot_at(rt, parent.slot) : NULL;
    if (p) {
        a->sibling = p->child;
        actor_t *s = by_number(rt, p->child);
        if (s)
            s->sibling_prev = a->slot + 1;
        p->child = a->slot + 1;
    }
    pthread_mutex_unlock(&rt->lock);
}

static void leave_parent(runtime_t *rt, actor_t *a) {
    actor_t *p = a->parent.gen ? slot_at(rt, a->parent.slot) : NULL;
    actor_t *next = by_number(rt, a->sibling), *prev = by_number(rt, a->sibling_prev);
    if (next)
        next->sibling_prev = a->sibling_prev;
    if (prev)
        prev->sibling = a->sibling;
    else if (p && p->child == a->slot + 1)
        p->child = a->sibling;
}

/* Children that outlive it belong to the root. */
static void orphan(runtime_t *rt, actor_t *a) {
    for (actor_t *c = by_number(rt, a->child), *next; c; c = next) {
        next = by_number(rt, c->sibling);
        show_parent(c, ACTOR_NONE);
        c->sibling = c->sibling_prev = 0;
    }
    a->child = 0;
}

static void leave_age_list(runtime_t *rt, actor_t *a) {
    actor_t *older = by_number(rt, a->older), *younger = by_number(rt, a->younger);
    if (older)
        older->younger = a->younger;
    if (younger)
        younger->older = a->older;
    else
        rt->youngest = a->older;
}

void slot_give(runtime_t *rt, actor_t *a) {
    pthread_mutex_lock(&rt->lock);
    if (a->marks & MARK_LIVE) {
        orphan(rt, a);
        leave_parent(rt, a);
        leave_age_list(rt, a);
    }
    SHOW(a->marks, 0);
    a->link = rt->free;
    rt->free = a;
    rt->live--;
    if (atomic_load(&rt->stopping))
        pthread_cond_broadcast(&rt->changed);
    pthread_mutex_unlock(&rt->lock);
}

void slot_each(runtime_t *rt, void (*visit)(void *arg, actor_t *a), void *arg) {
    pthread_mutex_lock(&rt->lock);
    uint32_t made = rt->slots_made;
    pthread_mutex_unlock(&rt->lock);
    for (uint32_t i = 0; i < made; i++)
        visit(arg, slot_at(rt, i));
}

void actor_stop_children(runtime_t *rt, actor_t *a) {
    enum { AT_ONCE = 64 };
    actor_ref_t refs[AT_ONCE];
    for (;;) {
        size_t n = 0;
        pthread_mutex_lock(&rt->lock);
        for (actor_t *c = by_number(rt, a->child); c && n < AT_ONCE; c = by_number(rt, c->sibling))
            if (!(c->marks & MARK_STOP_SENT)) {
                SHOW(c->marks, (uint8_t)(c->marks | MARK_STOP_SENT));
                refs[n++] = ref_of(c);
            }
        pthread_mutex_unlock(&rt->lock);
        for (size_t i = 0; i < n; i++)
            post_system(rt, refs[i], ref_of(a), MSG_STOP, ERR_OK);
        if (n < AT_ONCE)
            return;
    }
}
