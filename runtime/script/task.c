/* task: one run of a handler as a coroutine: started, left at waits, continued by replies,
 * answered, given up at its deadline. Runs in the shard's actor. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "sched/look.h"
#include "script/shard.h"
#include <stdio.h>

#define SLOT_BITS 16

uint64_t task_cookie(const task_t *t) {
    return t->wait << SLOT_BITS | t->slot;
}

uint64_t task_key(const task_t *t) {
    return t->key;
}

/* Other bits than those that pick the shard. */
bool task_tries(const shard_t *s, const task_t *t) {
    return s->trial && !t->old && hash_u64(hash_u64(t->key) + 1) % 10000 < s->trial_share;
}

/* --- inside the coroutine --- */
static int body_done(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    (void)ctx;
    host_t *h = host_of(L);
    if (h->task->request)
        codec_encode(h->codec, L, -1);
    return 0;
}

static void push_context(lua_State *L, const host_t *h) {
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, (lua_Integer)h->task->key);
    lua_setfield(L, -2, "key");
    lua_pushinteger(L, shard_number(h->shard) + 1);
    lua_setfield(L, -2, "shard");
}

/* A handler that names no third parameter has no use for a context. */
static bool takes_context(lua_State *L, int function) {
    lua_Debug ar;
    lua_pushvalue(L, function);
    lua_getinfo(L, ">u", &ar);
    return ar.nparams > 2 || ar.isvararg;
}

/* What every coroutine runs: on[verb](state, req, ctx), then its result to JSON. */
static int body(lua_State *L) {
    const host_t *h = host_of(L);
    const task_t *t = h->task;
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->program->on_ref);
    if (lua_getfield(L, -1, t->verb) != LUA_TFUNCTION)
        return luaL_error(L, "service %s has no verb '%s'", h->service, t->verb);
    int function = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->program->state_ref);
    if (!t->json)
        lua_newtable(L);
    else if (!codec_decode(h->codec, L, (slice_t){t->json->data, t->json->len}))
        return script_fail(L, ERR_BAD_REQUEST, NULL);
    int args = 2;
    if (takes_context(L, function)) {
        push_context(L, h);
        args = 3;
    }
    lua_callk(L, args, 1, 0, body_done);
    return body_done(L, LUA_OK, 0);
}

/* --- waits --- */
actor_t *script_self(lua_State *L) {
    const host_t *h = host_of(L);
    if (!h->self)
        luaL_error(L, "this is no handler: it cannot reach the world");
    if (h->task) {
        h->task->before = h->task->touched;
        h->task->touched = true;
    }
    return h->self;
}

void script_reads(lua_State *L) {
    task_t *t = host_of(L)->task;
    if (t)
        t->touched = t->before;
}

void script_gauge(lua_State *L, enum stat_id gauge, int64_t now) {
    script_self(L);
    shard_t *s = host_of(L)->shard;
    stat_add(gauge, now - s->gauge_now);
    s->gauge = gauge;
    s->gauge_now = now;
}

script_wait_t script_wait(lua_State *L) {
    host_t *h = host_of(L);
    script_self(L);
    if (!h->task || !lua_isyieldable(L))
        luaL_error(L, "no wait is possible here");
    task_t *t = h->task;
    uint64_t now = actor_now_ns(h->self);
    uint64_t left = t->deadline_ns > now ? (t->deadline_ns - now) / 1000000 : 0;
    t->wait = ++h->shard->next_wait;
    return (script_wait_t){h->self, (uint32_t)(left ? left : 1), SHARD_REPLY, task_cookie(t)};
}

static int waited(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    (void)ctx;
    const host_t *h = host_of(L);
    const task_t *t = h->task;
    int n = t->take(L, t->reply, t->take_arg);
    if (h->record)
        record_results(L, h->record, n);
    return n;
}

int script_yield(lua_State *L, script_take_t take, int64_t arg) {
    task_t *t = host_of(L)->task;
    t->take = take;
    t->take_arg = arg;
    t->waiting = true;
    return lua_yieldk(L, 0, 0, waited);
}

/* --- answers --- */
static void answer(actor_t *self, task_t *t, int err, slice_t json) {
    if (!t->request)
        return;
    msg_t *reply = msg_new(0, 0);
    reply->body = block_of(json.at, json.len);
    actor_reply(self, t->request, err, reply);
    t->request = NULL;
}

void task_refuse(actor_t *self, msg_t *request, int err) {
    char room[160];
    if (!(request->flags & MSG_REQUEST))
        return;
    int n = snprintf(room, sizeof room, "{\"error\":\"%s\",\"code\":\"%s\"}", err_text(err),
                     err_symbol(err));
    msg_t *reply = msg_new(0, 0);
    reply->body = block_of(room, (size_t)n);
    actor_reply(self, request, err, reply);
}

static void answer_plain(actor_t *self, task_t *t, int err) {
    msg_t *request = t->request;
    t->request = NULL;
    if (request)
        task_refuse(self, request, err);
}

/* In the account of the version, while it is watched. */
static void account(const task_t *t, bool faulty, bool refused) {
    version_t *v = t->program->host.version;
    if (!t->came_ticks || !version_watched(v))
        return;
    double us = (double)(clock_ticks() - t->came_ticks) / clock_ticks_per_us();
    tally_add(&v->requests, faulty, refused, (uint64_t)us);
}

static void tell_shadow(actor_t *self, task_t *t, int err, bool fault, slice_t what) {
    record_end(t->record, self, err, fault, what);
    t->record = NULL;
}

/* On the main state, protected. 1: the error value. Encodes what the client gets; gives the code,
 * or 0 and the text for the log. */
static int describe(lua_State *L) {
    int err = api_fail_code(L, 1);
    if (err == ERR_OK) {
        luaL_tolstring(L, 1, NULL);
        return 1;
    }
    lua_getfield(L, 1, "text");
    lua_getfield(L, 1, "extra");
    codec_error(host_of(L)->codec, L, lua_tostring(L, -2), err_symbol(err),
                lua_istable(L, -1) ? lua_gettop(L) : 0);
    lua_pushinteger(L, err);
    return 1;
}

static void log_failure(const shard_t *s, const task_t *t, const char *text) {
    char room[700];
    stat_add(STAT_SCRIPT_ERRORS, 1);
    log_error("script", "service=%s verb=%s key=%llu %s", s->service->name, t->verb,
              (unsigned long long)t->key, log_safe(slice_of(text), room, sizeof room));
}

/* A fault of a version that is tried hurts nobody when its handler has done nothing yet that a
 * second run would do again: the version that serves answers. */
static bool may_run_again(const shard_t *s, const task_t *t) {
    return t->program == s->trial && !t->touched;
}

/* The error value on top of the coroutine: raised by fail, or a fault of the script. true: the task
 * is to run again. */
static bool answer_error(shard_t *s, actor_t *self, task_t *t) {
    lua_State *L = vm_lua(t->program->vm);
    const char *killed = vm_killed(t->program->vm);
    bool again = false;
    lua_pushcfunction(L, describe);
    lua_xmove(t->co, L, 1);
    int status = vm_call(t->program->vm, 1, 1);
    if (status == LUA_OK && lua_isinteger(L, -1) && !killed) {
        account(t, lua_tointeger(L, -1) == ERR_INTERNAL, lua_tointeger(L, -1) != ERR_INTERNAL);
        if (t->record)
            tell_shadow(self, t, (int)lua_tointeger(L, -1), false,
                        codec_last(t->program->host.codec));
        answer(self, t, (int)lua_tointeger(L, -1), codec_last(t->program->host.codec));
    } else {
        const char *text = lua_tostring(L, -1);
        again = may_run_again(s, t);
        account(t, true, false);
        text = text && lua_type(L, -1) == LUA_TSTRING ? text : killed ? killed : "error";
        log_failure(s, t, text);
        if (t->record)
            tell_shadow(self, t, ERR_INTERNAL, true, slice_of(text));
        if (!again)
            answer_plain(self, t, ERR_INTERNAL);
    }
    lua_settop(L, 0);
    return again;
}

/* --- running --- */
static void leave(task_t *t, bool reusable) {
    program_done(t->program, t->co, t->co_ref, reusable);
    t->program->tasks--;
    t->co = NULL;
}

static void finish(shard_t *s, actor_t *self, task_t *t, bool reusable) {
    leave(t, reusable);
    shard_task_over(s, self, t);
}

static void run_again(shard_t *s, task_t *t) {
    leave(t, false);
    t->old = true;
    stat_add(STAT_SCRIPT_SECOND_RUNS, 1);
    shard_task_again(s, t);
}

/* For the list of slow slices. */
static void note_slice(const shard_t *s, actor_t *self, const task_t *t) {
    char text[2 * SCRIPT_NAME + 100]; /* is cut to LOOK_NOTE */
    snprintf(text, sizeof text, "%s.%s at %s", s->service->name, t->verb, vm_where(t->program->vm));
    actor_slice_note(self, text);
}

/* Others have their turn, then it goes on. The reply that ended a wait has been read: `take` and
 * the decoding of a request run in C before the first instruction, where a hook can yield. */
static void preempt(shard_t *s, actor_t *self, task_t *t) {
    stat_add(STAT_SCRIPT_PREEMPTED, 1);
    s->preempted = t;
    actor_again(self);
}

static void run(shard_t *s, actor_t *self, task_t *t) {
    host_t *h = &t->program->host;
    vm_t *vm = t->program->vm;
    int results, status;
    h->shard = s;
    h->self = self;
    h->task = t;
    h->record = t->record;
    if (s->preempted == t) {
        s->preempted = NULL;
        status = vm_again(vm, t->co, &results);
    } else {
        status = vm_resume(vm, t->co, 0, &results);
    }
    h->self = NULL;
    h->task = NULL;
    h->record = NULL;
    t->reply = NULL;
    if (vm_where(vm)[0])
        note_slice(s, self, t);
    if (status == LUA_YIELD && vm_preempted(vm))
        preempt(s, self, t);
    if (status == LUA_YIELD)
        return;
    if (status == LUA_OK) {
        account(t, false, false);
        if (t->record)
            tell_shadow(self, t, ERR_OK, false, codec_last(h->codec));
        answer(self, t, ERR_OK, codec_last(h->codec));
    } else if (answer_error(s, self, t)) {
        run_again(s, t);
        return;
    }
    finish(s, self, t, status == LUA_OK);
}

/* A request that the serving version is about to handle while another one is in shadow. */
static void record(shard_t *s, actor_t *self, task_t *t, uint32_t number) {
    shadow_case_t c = {.script = s->script,
                       .service = (uint32_t)(s->service - s->script->services),
                       .number = number,
                       .shard = s->number + 1,
                       .key = t->key,
                       .now_ms = actor_wall_ms(self)};
    memcpy(c.verb, t->verb, sizeof c.verb);
    t->record = record_begin(t->program, &s->shadow, actor_now_ns(self), &c, t->json);
}

void task_start(shard_t *s, actor_t *self, task_t *t) {
    uint32_t shadow = shadow_number(s->service);
    t->program = task_tries(s, t) ? s->trial : s->program;
    if (__builtin_expect(shadow != 0, 0) && t->request && t->program == s->program)
        record(s, self, t, shadow);
    t->co = program_coroutine(t->program, &t->co_ref);
    if (!t->co) {
        log_failure(s, t, "no memory for a coroutine");
        answer_plain(self, t, ERR_INTERNAL);
        shard_task_over(s, self, t);
        return;
    }
    t->program->tasks++;
    lua_pushcfunction(t->co, body);
    run(s, self, t);
}

void task_continue(shard_t *s, actor_t *self, const msg_t *reply) {
    uint32_t slot = reply->cookie & ((1u << SLOT_BITS) - 1);
    task_t *t = slot < s->slot_count ? s->slots[slot] : NULL;
    if (!t || !t->waiting || t->wait != reply->cookie >> SLOT_BITS)
        return; /* its task gave up */
    t->waiting = false;
    t->reply = reply;
    run(s, self, t);
}

void task_again(shard_t *s, actor_t *self) {
    if (s->preempted)
        run(s, self, s->preempted);
}

void task_expire(shard_t *s, actor_t *self, task_t *t) {
    stat_add(STAT_SCRIPT_TIMEOUTS, 1);
    answer_plain(self, t, ERR_TIMEOUT);
    if (s->preempted == t)
        s->preempted = NULL;
    if (t->co) {
        log_warn("script", "service=%s verb=%s key=%llu: given up at its deadline",
                 s->service->name, t->verb, (unsigned long long)t->key);
        account(t, true, false);
        finish(s, self, t, false);
    } else {
        t->expired = true;
    }
}
