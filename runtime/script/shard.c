/* shard: see shard.h. This file: messages to tasks, key queues, deadlines, timers of scripts. */
#include "script/shard.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/stat.h"
#include <stdio.h>
#include <stdlib.h>

#define TICK_MS     50
#define SLOTS_FIRST 16
#define RUN_MOST    32 /* tasks started in one go: then other actors of the worker have their turn */

/* --- places and lists --- */
static void list_add(task_list_t *l, task_t *t) {
    t->next_run = NULL;
    if (l->tail)
        l->tail->next_run = t;
    else
        l->head = t;
    l->tail = t;
}

static task_t *list_take(task_list_t *l) {
    task_t *t = l->head;
    if (t && !(l->head = t->next_run))
        l->tail = NULL;
    return t;
}

/* Places double up to max_queue; a task is made only when there may be one more. */
static void more_slots(shard_t *s) {
    uint32_t most = s->script->max_queue, n = s->slot_count ? s->slot_count * 2 : SLOTS_FIRST;
    n = n < most ? n : most;
    s->slots = realloc(s->slots, n * sizeof *s->slots);
    if (!s->slots)
        log_die("script", "no memory for %u tasks", n);
    memset(s->slots + s->slot_count, 0, (n - s->slot_count) * sizeof *s->slots);
    s->slot_hint = s->slot_count;
    s->slot_count = n;
}

static void place(shard_t *s, task_t *t) {
    if (s->tasks == s->slot_count)
        more_slots(s);
    uint32_t i = s->slot_hint;
    while (s->slots[i])
        i = (i + 1) % s->slot_count;
    s->slots[i] = t;
    t->slot = i;
    s->slot_hint = (i + 1) % s->slot_count;
    s->tasks++;
}

static void task_free(shard_t *s, task_t *t) {
    s->slots[t->slot] = NULL;
    s->tasks--;
    record_drop(t->record);
    block_unref(t->json);
    pool_free(t, sizeof *t);
}

/* --- ready tasks --- */
static void finish_swap(shard_t *s, actor_t *self);

/* From the moment a new version is on its way nothing is begun: a shard whose mailbox is full of
 * its own timers reaches it at once. Relaxed: only a hint, the order itself comes as a message. */
static bool holds_back(const shard_t *s) {
    return s->swap || atomic_load_explicit(&s->arg->order, memory_order_relaxed);
}

static void release_held(shard_t *s) {
    for (task_t *t; (t = list_take(&s->held));)
        list_add(&s->ready, t);
}

static void drain_ready(shard_t *s, actor_t *self) {
    bool hold = holds_back(s);
    if (!hold)
        release_held(s); /* of an order that came to nothing */
    for (int n = 0; s->ready.head && !s->preempted && n < RUN_MOST; n++) {
        if (n > 0 && actor_overdue(self))
            break;
        task_t *t = list_take(&s->ready);
        if (t->expired)
            shard_task_over(s, self, t);
        else if (hold && !t->nested)
            list_add(&s->held, t);
        else
            task_start(s, self, t);
    }
    if (s->preempted)
        return;
    if (s->swap && s->program->tasks == 0)
        finish_swap(s, self);
    if (s->ready.head && !s->running_sent)
        s->running_sent = actor_send(self, actor_self(self), msg_new(SHARD_RUN, 0)) == ERR_OK;
    if (s->stopping && s->tasks == 0)
        actor_exit(self, ERR_OK);
}

void shard_task_over(shard_t *s, actor_t *self, task_t *t) {
    (void)self; /* the caller's caller drains: a chain of short tasks is no recursion */
    if (t->serial) {
        task_list_t *q = map_get(s->keys, t->key);
        q->head = t->next;
        if (q->head)
            list_add(&s->ready, q->head);
        else
            map_del(s->keys, t->key);
    }
    task_free(s, t);
}

void shard_task_again(shard_t *s, task_t *t) {
    list_add(&s->ready, t);
}

/* In its turn: at once when no other task of its key is under way. */
static void enqueue(shard_t *s, task_t *t) {
    const program_t *p = task_tries(s, t) ? s->trial : s->program;
    if (version_watched(s->program->host.version))
        t->came_ticks = clock_ticks();
    if (program_is_concurrent(p, t->verb)) {
        list_add(&s->ready, t);
        return;
    }
    bool fresh;
    task_list_t *q = map_put(s->keys, t->key, &fresh);
    t->serial = true;
    if (fresh) {
        q->head = q->tail = t;
        list_add(&s->ready, t);
    } else {
        q->tail->next = t;
        q->tail = t;
    }
}

static void tick_later(shard_t *s, actor_t *self) {
    if (!s->ticking)
        actor_after(self, TICK_MS, SHARD_TICK, 0);
    s->ticking = true;
}

/* As long as its text: both have room for a name. */
static void copy_verb(char to[SCRIPT_NAME], const char *verb) {
    size_t n = strnlen(verb, SCRIPT_NAME - 1);
    memcpy(to, verb, n);
    to[n] = '\0';
}

/* NULL: the shard has as many as it may. Takes json. */
static task_t *task_new(shard_t *s, actor_t *self, const char *verb, uint64_t key, block_t *json) {
    if (s->tasks >= s->script->max_queue) {
        stat_add(STAT_SCRIPT_BUSY, 1);
        block_unref(json);
        return NULL;
    }
    task_t *t = pool_zalloc(sizeof *t);
    t->json = json;
    t->key = key;
    t->deadline_ns = actor_now_ns(self) + s->script->timeout_ms * 1000000ull;
    copy_verb(t->verb, verb);
    place(s, t);
    tick_later(s, self);
    return t;
}

/* --- messages --- */
static void on_call(shard_t *s, actor_t *self, msg_t *m) {
    const shard_call_t *c = msg_data(m, shard_call_t);
    stat_add(STAT_SCRIPT_CALLS, 1);
    task_t *t = task_new(s, self, c->verb, c->key, m->body ? block_ref(m->body) : NULL);
    if (!t) {
        task_refuse(self, m, ERR_BUSY);
        return;
    }
    t->nested = c->nested;
    if (m->flags & MSG_REQUEST) {
        actor_keep(self, m);
        t->request = m;
        if (m->deadline_ns &&
            (m->deadline_ns < t->deadline_ns || program_is_patient(s->program, t->verb)))
            t->deadline_ns = m->deadline_ns;
    }
    enqueue(s, t);
    drain_ready(s, self);
}

static void expire(shard_t *s, actor_t *self, uint64_t now) {
    for (uint32_t i = 0, left = s->tasks; i < s->slot_count && left > 0; i++) {
        task_t *t = s->slots[i];
        if (!t)
            continue;
        left--;
        if (t->deadline_ns <= now && !t->expired)
            task_expire(s, self, t);
    }
}

/* The tick waits behind the handler that takes long: deadlines hold meanwhile, its own too. */
static void on_again(shard_t *s, actor_t *self) {
    uint64_t now = actor_now_ns(self);
    if (now >= s->expire_ns) {
        s->expire_ns = now + TICK_MS * 1000000ull;
        expire(s, self, now);
    }
    task_again(s, self);
    drain_ready(s, self);
}

static void on_tick(shard_t *s, actor_t *self) {
    uint64_t now = actor_now_ns(self);
    s->ticking = false;
    expire(s, self, now);
    if (s->swap && now >= s->swap_until_ns)
        finish_swap(s, self);
    s->running_sent = false;
    drain_ready(s, self);
    if (s->tasks > 0 || s->swap)
        tick_later(s, self);
}

static void on_every(shard_t *s, actor_t *self, uint64_t index) {
    if (index >= s->program->every_count)
        return; /* the new version has fewer */
    const every_t *e = &s->program->every[index];
    actor_after(self, e->ms, SHARD_EVERY, index);
    if (!e->each && s->number > 0)
        return;
    task_t *t = task_new(s, self, e->verb, 0, NULL);
    if (t) {
        t->old = true;
        enqueue(s, t);
        drain_ready(s, self);
    }
}

/* --- timers of scripts --- */
uint64_t shard_after(shard_t *s, actor_t *self, uint64_t ms, const char *verb, uint64_t key,
                     block_t *json) {
    if (map_count(s->afters) >= s->script->max_timers) {
        stat_add(STAT_SCRIPT_BUSY, 1);
        block_unref(json);
        return 0;
    }
    uint64_t id = ++s->next_after;
    bool fresh;
    after_t *a = map_put(s->afters, id, &fresh);
    a->timer = actor_after(self, ms, SHARD_AFTER, id);
    a->key = key;
    a->json = json;
    snprintf(a->verb, sizeof a->verb, "%s", verb);
    return id;
}

bool shard_cancel(shard_t *s, actor_t *self, uint64_t id) {
    after_t *a = map_get(s->afters, id);
    if (!a)
        return false;
    actor_cancel(self, a->timer);
    block_unref(a->json);
    return map_del(s->afters, id);
}

static void on_after(shard_t *s, actor_t *self, uint64_t id) {
    after_t *found = map_get(s->afters, id);
    if (!found)
        return;
    after_t a = *found;
    map_del(s->afters, id);
    task_t *t = task_new(s, self, a.verb, a.key, a.json);
    if (!t) {
        log_warn("script", "service=%s verb=%s: busy, its timer is lost", s->service->name, a.verb);
        return;
    }
    enqueue(s, t);
    drain_ready(s, self);
}

/* --- a new version --- */
static void free_older(shard_t *s, actor_t *self) {
    for (program_t **at = &s->older; *at;) {
        program_t *p = *at;
        if (p->tasks > 0) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        reload_dispose(s->script, self, p);
    }
}

static void start_every(shard_t *s, actor_t *self, uint32_t from) {
    for (uint32_t i = from; i < s->program->every_count; i++)
        actor_after(self, s->program->every[i].ms, SHARD_EVERY, i);
}

static void retire(shard_t *s, program_t *p) {
    p->next = s->older;
    s->older = p;
}

static void end_trial(shard_t *s) {
    if (s->trial)
        retire(s, s->trial);
    s->trial = NULL;
}

static void answer_swap(actor_t *self, msg_t *m, bool ok, const char *fault) {
    msg_t *reply = msg_new(0, 0);
    if (*fault)
        reply->body = block_of(fault, strlen(fault));
    actor_reply(self, m, ok ? ERR_OK : ERR_INTERNAL, reply);
}

static void carry_over(shard_t *s, actor_t *self, msg_t *m) {
    shard_swap_t *swap = msg_data(m, shard_swap_t);
    program_t *old = s->program, *fresh = swap->program;
    char fault[300];
    bool ok = program_carry(old, fresh, swap->back, fault, sizeof fault);
    if (*fault) {
        char room[300];
        log_error("script", "service=%s shard=%u: %s: %s", s->service->name, s->number,
                  ok ? "its state could not be taken back as its upgrade says"
                     : "the old version goes on",
                  log_safe(slice_of(fault), room, sizeof room));
    }
    if (ok) {
        swap->program = NULL;
        s->program = fresh;
        end_trial(s);
        retire(s, old);
        start_every(s, self, old->every_count);
    }
    stat_observe(HIST_SCRIPT_PAUSE,
                 (uint64_t)((double)(clock_ticks() - s->swap_ticks) / clock_ticks_per_us()));
    answer_swap(self, m, ok, fault);
    free_older(s, self);
}

/* The old version has no coroutine under way, or they took too long: then what they still change in
 * the old state is lost. When that lasted until the order's deadline the reloader has been told
 * `timeout` and goes on without this shard: nothing may change here any more. */
static void finish_swap(shard_t *s, actor_t *self) {
    msg_t *m = s->swap;
    s->swap = NULL;
    if (actor_now_ns(self) >= m->deadline_ns)
        actor_reply(self, m, ERR_TIMEOUT, NULL);
    else
        carry_over(s, self, m);
    release_held(s);
}

static void on_swap(shard_t *s, actor_t *self, msg_t *m) {
    if (s->swap) {
        actor_reply(self, m, ERR_BUSY, NULL);
        return;
    }
    actor_keep(self, m);
    s->swap = m;
    s->swap_ticks = clock_ticks();
    s->swap_until_ns = actor_now_ns(self) + s->script->timeout_ms * 200000ull; /* a fifth of it */
    tick_later(s, self);
    drain_ready(s, self);
}

/* A version is tried on a share of the keys, beside the one that serves, with a state of its own:
 * so only a service that keeps nothing in its state can be tried this way. program NULL: the end.
 */
static void on_try(shard_t *s, actor_t *self, msg_t *m) {
    shard_try_t *t = msg_data(m, shard_try_t);
    end_trial(s);
    bool possible = !t->program || (program_stateless(s->program) && program_stateless(t->program));
    if (possible) {
        s->trial = t->program;
        s->trial_share = t->share;
        t->program = NULL;
    }
    actor_reply(self, m, possible ? ERR_OK : ERR_STALE, NULL);
    free_older(s, self);
}

/* --- life --- */
/* After a crash a new VM of the version that ran: its state begins anew. */
static program_t *program_of(shard_arg_t *a) {
    char fault[512];
    program_t *p = a->program;
    a->program = NULL;
    if (p || !a->version)
        return p;
    p = program_new(a->script, a->version, a->number, fault, sizeof fault);
    if (!p)
        log_error("script", "shard %u of %s: %s", a->number, a->version->service, fault);
    return p;
}

static int shard_init(actor_t *self, void *state, const void *arg) {
    shard_t *s = state;
    shard_arg_t *a = (shard_arg_t *)(uintptr_t)arg;
    s->arg = a;
    s->program = program_of(a);
    if (!s->program)
        return ERR_INTERNAL;
    s->script = a->script;
    s->service = &a->script->services[a->service];
    s->number = a->number;
    s->keys = map_new(sizeof(task_list_t));
    s->afters = map_new(sizeof(after_t));
    start_every(s, self, 0);
    return ERR_OK;
}

static void shard_handle(actor_t *self, void *state, msg_t *m) {
    shard_t *s = state;
    switch (m->verb) {
    case SHARD_CALL:
        on_call(s, self, m);
        break;
    case SHARD_REPLY:
        task_continue(s, self, m);
        drain_ready(s, self);
        break;
    case SHARD_AFTER:
        on_after(s, self, m->cookie);
        break;
    case SHARD_EVERY:
        on_every(s, self, m->cookie);
        break;
    case SHARD_TICK:
        on_tick(s, self);
        break;
    case SHARD_RUN:
        s->running_sent = false;
        drain_ready(s, self);
        break;
    case SHARD_SWAP:
        on_swap(s, self, m);
        break;
    case SHARD_TRY:
        on_try(s, self, m);
        break;
    case MSG_AGAIN:
        on_again(s, self);
        break;
    case MSG_STOP:
        s->stopping = true;
        drain_ready(s, self);
        break;
    default:
        break;
    }
    if (s->older)
        free_older(s, self);
}

static void drop_after(void *arg, uint64_t key, void *value) {
    (void)arg;
    (void)key;
    block_unref(((after_t *)value)->json);
}

static void shard_ended(actor_t *self, void *state, int reason) {
    shard_t *s = state;
    (void)self;
    stat_add(s->gauge, -s->gauge_now);
    version_unref(s->arg->version);
    s->arg->version = actor_crashed(reason) ? version_ref(s->program->host.version) : NULL;
    for (uint32_t i = 0; i < s->slot_count; i++)
        if (s->slots[i])
            task_free(s, s->slots[i]);
    map_each(s->afters, drop_after, NULL);
    map_free(s->afters);
    map_free(s->keys);
    free(s->slots);
    program_free(s->program);
    program_free(s->trial);
    for (program_t *p; (p = s->older);) {
        s->older = p->next;
        program_free(p);
    }
}

const actor_class_t shard_class = {
    .name = "script",
    .place = ACTOR_FREE,
    .restart = ACTOR_ON_CRASH,
    .state_size = sizeof(shard_t),
    .init = shard_init,
    .handle = shard_handle,
    .ended = shard_ended,
};

actor_ref_t service_shard(const service_t *s, uint64_t key) {
    return s->refs[hash_u64(key) % s->shards];
}

uint32_t shard_number(const shard_t *s) {
    return s->number;
}

const service_t *shard_service(const shard_t *s) {
    return s->service;
}
