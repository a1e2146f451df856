/* sim_event: what waits for a moment of the logical clock, in a heap: calls of specs, ports that
 * begin their work, answers of ports on their way, messages between nodes. See sim.h. */
#include "base/log.h"
#include "base/pool.h"
#include "sched/sim_in.h"

static bool before(const sim_event_t *a, const sim_event_t *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void swap(sim_event_t *a, sim_event_t *b) {
    sim_event_t t = *a;
    *a = *b;
    *b = t;
}

static void sift_down(sim_t *s, uint32_t i) {
    for (;;) {
        uint32_t least = i;
        for (uint32_t c = 2 * i + 1; c <= 2 * i + 2 && c < s->event_count; c++)
            if (before(&s->events[c], &s->events[least]))
                least = c;
        if (least == i)
            return;
        swap(&s->events[i], &s->events[least]);
        i = least;
    }
}

void sim_event_add(sim_t *s, sim_event_t e) {
    if (s->event_count == s->event_cap) {
        s->event_cap = s->event_cap ? s->event_cap * 2 : 64;
        s->events = realloc(s->events, s->event_cap * sizeof *s->events);
        if (!s->events)
            log_die("sched", "out of memory: events");
    }
    e.order = s->order++;
    uint32_t i = s->event_count++;
    s->events[i] = e;
    for (; i && before(&s->events[i], &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&s->events[i], &s->events[(i - 1) / 2]);
}

bool sim_event_due(const sim_t *s) {
    return s->event_count && s->events[0].at_ns <= s->now_ns;
}

void sim_event_drop(sim_t *s, const runtime_t *rt) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->event_count; i++)
        if (s->events[i].rt != rt)
            s->events[kept++] = s->events[i];
    s->event_count = kept;
    for (uint32_t i = kept / 2; i-- > 0;)
        sift_down(s, i);
}

void sim_event_run(sim_t *s) {
    sim_event_t e = s->events[0];
    s->events[0] = s->events[--s->event_count];
    sift_down(s, 0);
    if (e.kind == SIM_CALL)
        e.fn(e.arg);
    else
        sim_resume(e.worker);
}

void sim_after(sim_t *s, runtime_t *rt, uint64_t delay_ns, void (*fn)(void *arg), void *arg) {
    sim_event_add(
        s, (sim_event_t){
               .at_ns = s->now_ns + delay_ns, .kind = SIM_CALL, .rt = rt, .fn = fn, .arg = arg});
}

/* --- between nodes --- */
typedef struct sim_letter {
    struct sim_letter *next;
    sim_link_t *link;
    uint64_t at_ns;
    actor_ref_t to;
    bool keyed;
    uint8_t kind;
    msg_t *m;
} sim_letter_t;

struct sim_link {
    runtime_t *to;
    uint64_t min_ns, max_ns, last_ns;
    bool cut;
    sim_letter_t *first, **last; /* under way or waiting, in order */
};

sim_link_t *sim_link_new(runtime_t *to, uint64_t min_us, uint64_t max_us) {
    assert(to->sim && min_us <= max_us);
    sim_link_t *l = pool_zalloc(sizeof *l);
    l->to = to;
    l->min_ns = min_us * 1000;
    l->max_ns = max_us * 1000;
    l->last = &l->first;
    return l;
}

static sim_letter_t *take_first(sim_link_t *l) {
    sim_letter_t *first = l->first;
    if (!(l->first = first->next))
        l->last = &l->first;
    return first;
}

/* Those that are due, oldest first: one event per letter, and no letter passes another. */
static void deliver(void *arg) {
    sim_link_t *l = arg;
    sim_t *s = l->to->sim->world;
    while (l->first && l->first->at_ns <= s->now_ns) {
        sim_letter_t *t = take_first(l);
        if (t->keyed)
            runtime_send_key(l->to, t->kind, t->m->key, t->m);
        else
            runtime_send(l->to, t->to, t->m);
        pool_free(t, sizeof *t);
    }
}

static void dispatch(sim_link_t *l, sim_letter_t *t) {
    sim_t *s = l->to->sim->world;
    uint64_t at = s->now_ns + l->min_ns + sim_below(s, l->max_ns - l->min_ns + 1);
    l->last_ns = at > l->last_ns ? at : l->last_ns;
    t->at_ns = l->last_ns;
    sim_after(s, l->to, t->at_ns - s->now_ns, deliver, l);
}

static void add(sim_link_t *l, sim_letter_t letter) {
    sim_letter_t *t = pool_alloc(sizeof *t);
    *t = letter;
    t->link = l;
    t->at_ns = UINT64_MAX; /* not before the link is whole */
    *l->last = t;
    l->last = &t->next;
    if (!l->cut)
        dispatch(l, t);
}

void sim_link_send(sim_link_t *l, actor_ref_t to, msg_t *m) {
    add(l, (sim_letter_t){.to = to, .m = m});
}

void sim_link_send_key(sim_link_t *l, uint8_t kind, uint64_t key, msg_t *m) {
    m->key = key;
    add(l, (sim_letter_t){.keyed = true, .kind = kind, .m = m});
}

void sim_link_cut(sim_link_t *l, bool cut) {
    l->cut = cut;
    for (sim_letter_t *t = l->first; t && !cut; t = t->next)
        if (t->at_ns == UINT64_MAX)
            dispatch(l, t);
}

static void nothing(void *arg) {
    (void)arg;
}

void sim_link_free(sim_link_t *l) {
    if (!l)
        return;
    sim_t *s = l->to->sim->world;
    for (uint32_t i = 0; i < s->event_count; i++)
        if (s->events[i].kind == SIM_CALL && s->events[i].arg == l)
            s->events[i].fn = nothing;
    while (l->first) {
        sim_letter_t *t = take_first(l);
        msg_free(t->m);
        pool_free(t, sizeof *t);
    }
    pool_free(l, sizeof *l);
}
