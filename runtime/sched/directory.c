/* directory: (kind, key) to the actor that has it, in stripes, each a mutex and a map. An actor is
 * made when a message for its key finds none. No message is lost to passivation: an actor leaves
 * only by closing its gate on an empty mailbox, in one CAS; a sender that comes later gets GONE
 * from that gate and, under the stripe's lock, makes the next one. (The old one's `ended` may still
 * be running then, in another worker.) Order of locks: stripe, then slots. */
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "sched/look.h"
#include "sched/sched.h"
#include <assert.h>

void runtime_kind(runtime_t *rt, uint8_t kind, const actor_class_t *cls) {
    assert(kind < RUNTIME_KINDS && !rt->kinds[kind].cls && cls->place != ACTOR_THREAD);
    kind_t *k = &rt->kinds[kind];
    k->cls = cls;
    k->stripes = calloc(STRIPES, sizeof *k->stripes);
    if (!k->stripes)
        log_die("sched", "out of memory: directory");
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&k->stripes[i].lock, NULL);
        k->stripes[i].map = map_new(sizeof(actor_ref_t));
    }
}

void directory_free(runtime_t *rt) {
    for (int kind = 0; kind < RUNTIME_KINDS; kind++) {
        kind_t *k = &rt->kinds[kind];
        for (int i = 0; k->stripes && i < STRIPES; i++) {
            map_free(k->stripes[i].map);
            pthread_mutex_destroy(&k->stripes[i].lock);
        }
        free(k->stripes);
    }
}

static stripe_t *stripe_of(runtime_t *rt, uint8_t kind, uint64_t key) {
    return &rt->kinds[kind].stripes[hash_u64(key) % STRIPES];
}

/* Under the stripe's lock. A free actor begins where it is asked for. */
static actor_ref_t activate(runtime_t *rt, uint8_t kind, uint64_t key) {
    const actor_class_t *cls = rt->kinds[kind].cls;
    worker_t *w = worker_of(rt);
    if (!w || w->is_thread || cls->place == ACTOR_PINNED)
        w = rt->workers[hash_u64(key) / STRIPES % rt->worker_count];
    actor_t *a = actor_make(rt, cls, key, kind, w);
    if (!a)
        return ACTOR_NONE;
    a->flags = ACTOR_STARTING;
    slot_enlist(rt, a, ACTOR_NONE);
    return ref_of(a);
}

/* The living one's address; one that answered GONE (`stale`) is replaced. */
static actor_ref_t find(runtime_t *rt, uint8_t kind, uint64_t key, actor_ref_t stale) {
    stripe_t *s = stripe_of(rt, kind, key);
    pthread_mutex_lock(&s->lock);
    actor_ref_t *at = map_get(s->map, key), ref = at ? *at : ACTOR_NONE;
    if (!at || actor_ref_eq(ref, stale)) {
        ref = activate(rt, kind, key);
        bool fresh;
        if (ref.gen)
            *(actor_ref_t *)map_put(s->map, key, &fresh) = ref;
    }
    pthread_mutex_unlock(&s->lock);
    return ref;
}

/* Takes m. Each round either delivers, fails for good, or saw an actor end: a new one lives at
 * least until its first message was handled, so rounds are few. */
int directory_send(runtime_t *rt, uint8_t kind, uint64_t key, msg_t *m) {
    assert(kind < RUNTIME_KINDS && rt->kinds[kind].cls);
    worker_t *w = worker_of(rt);
    actor_ref_t ref = ACTOR_NONE;
    int err;
    COUNT(rt, w, sent, 1);
    m->key = key;
    uint32_t traced = RARELY(trace_concerns(w, m)) ? trace_sent(rt, w, m, kind) : 0;
    do {
        ref = find(rt, kind, key, ref);
        m->to = ref;
        err = ref.gen ? mailbox_push(rt, worker_of(rt), ref, m) : ERR_BUSY;
    } while (err == ERR_GONE);
    if (err) {
        if (traced)
            trace_refused(rt, traced, err);
        COUNT(rt, w, refused, 1);
        msg_free(m);
    }
    return err;
}

actor_ref_t look_find(runtime_t *rt, uint8_t kind, uint64_t key) {
    if (kind >= RUNTIME_KINDS || !rt->kinds[kind].cls)
        return ACTOR_NONE;
    stripe_t *s = stripe_of(rt, kind, key);
    pthread_mutex_lock(&s->lock);
    actor_ref_t *at = map_get(s->map, key), ref = at ? *at : ACTOR_NONE;
    pthread_mutex_unlock(&s->lock);
    look_actor_t e;
    return look_one(rt, ref, &e) ? ref : ACTOR_NONE;
}

void directory_forget(runtime_t *rt, actor_t *a) {
    stripe_t *s = stripe_of(rt, a->kind, a->key);
    pthread_mutex_lock(&s->lock);
    actor_ref_t *at = map_get(s->map, a->key);
    if (at && actor_ref_eq(*at, ref_of(a)))
        map_del(s->map, a->key);
    pthread_mutex_unlock(&s->lock);
}
