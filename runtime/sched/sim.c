/* sim: see sim.h. Here: the world, what one step does, how a runtime begins and ends without
 * threads. */
#include "sched/sim.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"
#include "sched/sim_in.h"

#define BEGIN_NS 1000000000000u /* so long ago the machine was started */
#define STEP_US  50             /* a step takes up to so long */
#define LATE_MS  20             /* a machine that is busy elsewhere: a sleep that lasts longer */

/* --- chance --- */
static uint64_t draw(sim_t *s) {
    uint64_t x = s->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t sim_below(sim_t *s, uint64_t n) {
    return n ? draw(s) % n : 0;
}

bool sim_chance(sim_t *s, uint32_t per_million) {
    return per_million && draw(s) % 1000000 < per_million;
}

void sim_note(sim_t *s, uint64_t what) {
    s->trace = (s->trace ^ what) * 0x100000001b3u;
    s->trace ^= s->trace >> 29;
}

/* --- the world --- */
sim_t *sim_new(uint64_t seed) {
    sim_t *s = pool_zalloc(sizeof *s);
    s->random = seed * 0xd1342543de82ef95u + 1;
    s->now_ns = BEGIN_NS;
    hash_seed(seed);
    return s;
}

void sim_free(sim_t *s) {
    if (!s)
        return;
    assert(s->node_count == 0);
    free(s->nodes);
    free(s->ready);
    free(s->events);
    pool_free(s, sizeof *s);
}

uint64_t sim_now_ns(const sim_t *s) {
    return s->now_ns;
}

uint64_t sim_steps(const sim_t *s) {
    return s->steps;
}

uint64_t sim_kills(const sim_t *s) {
    return s->kills;
}

uint64_t sim_trace(const sim_t *s) {
    return s->trace;
}

static uint64_t mono(void *arg) {
    return ((sim_t *)arg)->now_ns;
}

static int64_t wall(void *arg) {
    return SIM_BEGIN_MS + (int64_t)((((sim_t *)arg)->now_ns - BEGIN_NS) / 1000000);
}

void sim_join(sim_t *s, runtime_conf_t *conf) {
    conf->mono_ns = mono;
    conf->wall_ms = wall;
    conf->arg = s;
    conf->seed = draw(s) | 1;
    conf->sim = s;
}

void sim_made(runtime_t *rt) {
    sim_t *s = rt->conf.sim;
    rt->sim = pool_zalloc(sizeof *rt->sim);
    rt->sim->world = s;
    rt->sim->slice_msgs = rt->conf.slice_msgs;
    rt->ticks_slice = rt->ticks_clock = UINT64_MAX; /* the machine's speed decides nothing */
    s->nodes = realloc(s->nodes, (s->node_count + 1) * sizeof(runtime_t *));
    if (!s->nodes)
        log_die("sched", "out of memory: nodes");
    s->nodes[s->node_count++] = rt;
}

void sim_leave(runtime_t *rt) {
    sim_t *s = rt->sim->world;
    uint32_t i = 0;
    while (s->nodes[i] != rt)
        i++;
    memmove(&s->nodes[i], &s->nodes[i + 1], (--s->node_count - i) * sizeof(runtime_t *));
    pool_free(rt->sim, sizeof *rt->sim);
}

void sim_faults(runtime_t *rt, const sim_faults_t *f) {
    rt->sim->faults = *f;
}

bool sim_refuses(runtime_t *rt) {
    return sim_chance(rt->sim->world, rt->sim->faults.full);
}

/* --- who is ready --- */
static void add_ready(sim_t *s, actor_t *a) {
    if (s->ready_count == s->ready_cap) {
        s->ready_cap = s->ready_cap ? s->ready_cap * 2 : 64;
        s->ready = realloc(s->ready, s->ready_cap * sizeof(actor_t *));
        if (!s->ready)
            log_die("sched", "out of memory: ready actors");
    }
    s->ready[s->ready_count++] = a;
}

static worker_t *home_of(const actor_t *a) {
    return atomic_load_explicit(&((actor_t *)a)->worker, memory_order_relaxed);
}

void sim_ready(runtime_t *rt, actor_t *a) {
    add_ready(rt->sim->world, a);
}

static void drop_ready(sim_t *s, const runtime_t *rt) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->ready_count; i++)
        if (rt_of(s->ready[i]) != rt)
            s->ready[kept++] = s->ready[i];
    s->ready_count = kept;
}

/* --- a worker's part of a step --- */
static worker_t *become(worker_t *w) {
    worker_t *outer = worker_current;
    worker_current = w;
    if (w) {
        turn_clock(w);
        w->fresh = true;
    }
    return outer;
}

void sim_enter(runtime_t *rt, uint32_t worker, void (*fn)(void *arg), void *arg) {
    worker_t *w = rt->workers[worker], *outer = become(w);
    w->sim.dirty = true;
    fn(arg);
    become(outer);
}

static void end_turn(worker_t *w) {
    uint64_t least = UINT64_MAX;
    w->sim.dirty = false;
    for (uint32_t i = 0; i < w->turn_hook_count; i++) {
        uint64_t us = w->turn_hooks[i].fn(w->turn_hooks[i].arg);
        least = us < least ? us : least;
    }
    w->sim.hook_ns = least > UINT64_MAX / 2000 ? UINT64_MAX : w->now_ns + least * 1000;
}

static void turn(worker_t *w) {
    worker_t *outer = become(w);
    wheel_advance(w, w->now_ns / 1000000);
    if (!w->is_thread)
        end_turn(w);
    become(outer);
}

static bool wants_turn(const worker_t *w, uint64_t now_ns) {
    return w->sim.dirty || (!w->is_thread && w->sim.hook_ns <= now_ns) ||
           wheel_next_ms(&w->wheel) <= now_ns / 1000000;
}

/* --- one actor runs --- */
static uint64_t name_of(const actor_t *a) {
    uint64_t h = 0;
    for (const char *at = a->cls->name; *at; at++)
        h = h * 31 + (uint8_t)*at;
    return h;
}

/* A free actor may be taken by any worker. */
static worker_t *worker_for(sim_t *s, const actor_t *a) {
    worker_t *home = home_of(a);
    if (home->is_thread || a->cls->place != ACTOR_FREE || sim_below(s, 4))
        return home;
    return home->rt->workers[sim_below(s, home->rt->worker_count)];
}

static void crash(sim_t *s, actor_t *a) {
    const sim_faults_t *f = &rt_of(a)->sim->faults;
    if (a->flags & (ACTOR_STARTING | ACTOR_PARKED | ACTOR_DEAD | ACTOR_EXITING))
        return;
    if (!f->kills || !f->kills(a->cls) || !sim_chance(s, f->kill))
        return;
    s->kills++;
    actor_exit(a, ERR_INTERNAL);
}

void sim_resume(worker_t *w) {
    worker_t *outer = become(w);
    sim_fiber_go(w);
    become(outer);
}

static void run(sim_t *s, actor_t *a) {
    worker_t *w = worker_for(s, a), *outer = become(w);
    runtime_t *rt = w->rt;
    sim_note(s, name_of(a) ^ a->key << 20 ^ a->slot ^ (uint64_t)w->index << 56);
    sim_note(s, s->now_ns);
    crash(s, a);
    rt->conf.slice_msgs = 1 + (uint32_t)sim_below(s, rt->sim->slice_msgs);
    if (w->is_thread) {
        sim_work(w, a);
    } else {
        w->sim.dirty = true;
        actor_run(w, a);
    }
    become(outer);
}

/* --- one step --- */
typedef void (*visit_t)(sim_t *s, worker_t *w, void *arg);

static void each_worker(sim_t *s, visit_t visit, void *arg) {
    for (uint32_t i = 0; i < s->node_count; i++) {
        runtime_t *rt = s->nodes[i];
        if (atomic_load(&rt->phase) != PHASE_RUNNING)
            continue;
        for (uint32_t k = 0; k < rt->worker_count; k++)
            visit(s, rt->workers[k], arg);
        for (worker_t *t = rt->threads; t; t = t->next_thread)
            if (t->only)
                visit(s, t, arg);
    }
}

typedef struct pick {
    uint64_t left; /* so many are passed by */
    worker_t *found;
} pick_t;

static void pick_one(sim_t *s, worker_t *w, void *arg) {
    pick_t *p = arg;
    if (!p->found && wants_turn(w, s->now_ns) && p->left-- == 0)
        p->found = w;
}

static void count_one(sim_t *s, worker_t *w, void *arg) {
    *(uint64_t *)arg += wants_turn(w, s->now_ns);
}

static void look_ahead(sim_t *s, worker_t *w, void *arg) {
    uint64_t *next = arg, ms = wheel_next_ms(&w->wheel);
    uint64_t ns = ms == UINT64_MAX ? UINT64_MAX : ms * 1000000;
    (void)s;
    if (!w->is_thread && w->sim.hook_ns < ns)
        ns = w->sim.hook_ns;
    *next = ns < *next ? ns : *next;
}

/* Nobody is ready: the clock goes to the next moment at which somebody is, and now and then a
 * little further. */
static bool sleep_on(sim_t *s) {
    uint64_t next = s->event_count ? s->events[0].at_ns : UINT64_MAX;
    each_worker(s, look_ahead, &next);
    if (next == UINT64_MAX)
        return false;
    if (next > s->now_ns)
        s->now_ns = next;
    if (sim_below(s, 8) == 0)
        s->now_ns += sim_below(s, LATE_MS * 1000000);
    return true;
}

static void run_ready(sim_t *s, uint32_t i) {
    actor_t *a = s->ready[i];
    s->ready[i] = s->ready[--s->ready_count];
    run(s, a);
}

bool sim_step(sim_t *s) {
    uint64_t workers = 0;
    s->steps++;
    s->now_ns += 1 + sim_below(s, STEP_US * 1000);
    if (sim_event_due(s)) {
        sim_event_run(s);
        return true;
    }
    each_worker(s, count_one, &workers);
    uint64_t at = sim_below(s, s->ready_count + workers);
    if (s->ready_count + workers == 0)
        return sleep_on(s);
    if (at < s->ready_count) {
        run_ready(s, (uint32_t)at);
    } else {
        pick_t p = {.left = at - s->ready_count};
        each_worker(s, pick_one, &p);
        turn(p.found);
    }
    return true;
}

void sim_run(sim_t *s, uint64_t ms) {
    uint64_t until = s->now_ns + ms * 1000000;
    while (s->now_ns < until && sim_step(s))
        ;
}

bool sim_busy(const sim_t *s) {
    for (uint32_t i = 0; i < s->event_count; i++)
        if (s->events[i].kind == SIM_RESUME)
            return true;
    return s->ready_count > 0;
}

/* --- begin and end of a runtime --- */
void sim_start(runtime_t *rt) {
    for (uint32_t i = 0; i < rt->worker_count; i++) {
        worker_t *outer = become(rt->workers[i]);
        for (uint32_t k = 0; k < rt->hook_count; k++)
            rt->hooks[k].fn(rt, i, true, rt->hooks[k].arg);
        rt->workers[i]->sim.dirty = true;
        become(outer);
    }
}

void sim_wait(runtime_t *rt) {
    sim_step(rt->sim->world);
}

/* As worker_main and thread_main end. What was ready or under way is lost with the node. */
void sim_end(runtime_t *rt) {
    sim_event_drop(rt->sim->world, rt);
    drop_ready(rt->sim->world, rt);
    for (worker_t *t = rt->threads; t; t = t->next_thread) {
        worker_t *outer = become(t);
        sim_fiber_free(t);
        if (t->only)
            worker_sweep(t);
        become(outer);
    }
    for (uint32_t i = 0; i < rt->worker_count; i++) {
        worker_t *outer = become(rt->workers[i]);
        worker_sweep(rt->workers[i]);
        end_turn(rt->workers[i]);
        become(outer);
    }
    for (uint32_t i = 0; i < rt->worker_count; i++) {
        worker_t *outer = become(rt->workers[i]);
        for (uint32_t k = rt->hook_count; k-- > 0;)
            rt->hooks[k].fn(rt, i, false, rt->hooks[k].arg);
        become(outer);
    }
    sim_event_drop(rt->sim->world, rt);
    drop_ready(rt->sim->world, rt);
}
