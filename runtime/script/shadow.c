/* shadow: runs versions in shadow on what record.c noted, and keeps the account of what differs
 * (shadow.h). One actor for all services, with a thread of its own, which the reloader spawns when
 * it is first wanted: a shadow may be slow, and its VM is bounded as any other. What one run does
 * is in lua/test/shadow.lua. */
#include "script/shadow.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/stat.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct difference {
    int64_t at_ms;
    uint64_t key;
    bool policy, stateless;
    char verb[SCRIPT_NAME], what[32], live[SHADOW_TEXT], shadow[SHADOW_TEXT];
} difference_t;

typedef struct run {
    version_t *version;
    host_t host;
    vm_t *vm; /* 1 on its stack: what lua/test/shadow.lua gives */
    int64_t since_ms;
    uint64_t same, differed, failed;
    uint32_t kept; /* differences ever kept: the next goes to its place modulo SHADOW_KEPT */
    difference_t last[SHADOW_KEPT];
} run_t;

typedef struct shadow {
    script_t *script;
    run_t *runs[SCRIPT_SERVICES];
} shadow_t;

/* --- the VM --- */
/* outcome(ok, value) -> kind, text: as task.c tells a client */
static int native_outcome(lua_State *L) {
    codec_t *codec = host_of(L)->codec;
    slice_t s;
    if (lua_toboolean(L, 1)) {
        s = codec_encode(codec, L, 2);
        lua_pushnil(L);
        lua_pushlstring(L, s.at, s.len);
        return 2;
    }
    int err = api_fail_code(L, 2);
    if (err == ERR_OK) {
        lua_pushliteral(L, "fault");
        luaL_tolstring(L, 2, NULL);
        return 2;
    }
    lua_getfield(L, 2, "text");
    lua_getfield(L, 2, "extra");
    s = codec_error(codec, L, lua_tostring(L, -2), err_symbol(err),
                    lua_istable(L, -1) ? lua_gettop(L) : 0);
    lua_pushstring(L, err_name(err));
    lua_pushlstring(L, s.at, s.len);
    return 2;
}

/* integer(value): what a policy's result is to its caller; nil: nothing it can use */
static int native_integer(lua_State *L) {
    int64_t n;
    lua_settop(L, 1);
    if (!policy_result(L, &n))
        return 0;
    lua_pushinteger(L, n);
    return 1;
}

/* Leaves the function that judges a record at 1. Argument: run_t as light userdata. */
static int open_driver(lua_State *L) {
    const run_t *r = lua_touserdata(L, 1);
    slice_t text = sources_text(r->version->sources, SLICE("test/shadow"));
    lua_settop(L, 0);
    if (!text.at)
        return luaL_error(L, "lua/test/shadow.lua is not built in");
    vm_load(L, "@lua/test/shadow.lua", text);
    lua_call(L, 0, 1);
    spec_native_push(L);
    lua_pushcfunction(L, native_outcome);
    lua_setfield(L, -2, "outcome");
    lua_pushcfunction(L, native_integer);
    lua_setfield(L, -2, "integer");
    lua_pushstring(L, r->version->service);
    lua_call(L, 2, 1);
    return 1;
}

static void run_free(run_t *r) {
    if (!r)
        return;
    if (r->vm) {
        vm_free(r->vm);
        host_close(&r->host);
    }
    version_unref(r->version);
    free(r);
}

/* Takes the version. NULL with a line in fault. */
static run_t *run_new(script_t *s, version_t *v, char *fault, size_t room) {
    run_t *r = calloc(1, sizeof *r);
    if (!r)
        log_die("script", "no memory for a shadow");
    r->version = v;
    r->host = (host_t){.script = s, .version = v, .service = v->service, .stub = true};
    r->vm = program_vm(s, &r->host, version_find, v, fault, room);
    if (!r->vm) {
        run_free(r);
        return NULL;
    }
    lua_State *L = vm_lua(r->vm);
    lua_pushcfunction(L, open_driver);
    lua_pushlightuserdata(L, r);
    if (vm_call(r->vm, 1, 1) == LUA_OK)
        return r;
    const char *why = vm_killed(r->vm) ? vm_killed(r->vm) : lua_tostring(L, -1);
    snprintf(fault, room, "%s", why ? why : "an error that is no text");
    run_free(r);
    return NULL;
}

/* --- a record as a table --- */
static slice_t bytes_of(const block_t *b) {
    return b ? (slice_t){b->data, b->len} : (slice_t){"", 0};
}

static void set_int(lua_State *L, const char *key, int64_t n) {
    lua_pushinteger(L, n);
    lua_setfield(L, -2, key);
}

static uint32_t take_u32(slice_t *s) {
    uint32_t n;
    memcpy(&n, s->at, sizeof n);
    s->at += sizeof n;
    s->len -= sizeof n;
    return n;
}

static void push_packed(lua_State *L, slice_t *s) {
    uint32_t n = take_u32(s);
    codec_unpack(host_of(L)->codec, L, (slice_t){s->at, n});
    s->at += n;
    s->len -= n;
}

/* The rest of an event: {value, ..., n = count} */
static void push_values(lua_State *L, slice_t *s, uint32_t count) {
    lua_createtable(L, (int)count, 1);
    for (uint32_t i = 1; i <= count; i++) {
        push_packed(L, s);
        lua_rawseti(L, -2, i);
    }
    set_int(L, "n", count);
}

/* {{name, args, results or fail}, ...}: R and F belong to the C before them. */
static void push_events(lua_State *L, slice_t s) {
    lua_Integer count = 0;
    lua_newtable(L);
    while (s.len > 0) {
        char kind = *s.at++;
        s.len--;
        uint32_t n = take_u32(&s);
        if (kind == 'C') {
            lua_newtable(L);
            push_packed(L, &s);
            lua_setfield(L, -2, "name");
            push_values(L, &s, n - 1);
            lua_setfield(L, -2, "args");
            lua_rawseti(L, -2, ++count);
        } else {
            lua_rawgeti(L, -1, count);
            push_values(L, &s, n);
            lua_setfield(L, -2, kind == 'R' ? "results" : "fail");
            lua_pop(L, 1);
        }
    }
}

static void push_request(lua_State *L, const shadow_case_t *c) {
    codec_t *codec = host_of(L)->codec;
    slice_t answer = bytes_of(c->answer);
    set_int(L, "shard", c->shard);
    set_int(L, "shards", host_of(L)->script->shards);
    set_int(L, "key", (int64_t)c->key);
    if (c->req && codec_decode(codec, L, bytes_of(c->req)))
        lua_setfield(L, -2, "req");
    if (c->state) {
        codec_unpack(codec, L, bytes_of(c->state));
        lua_setfield(L, -2, "state");
    }
    push_events(L, bytes_of(c->events));
    lua_setfield(L, -2, "events");
    if (c->err != ERR_OK) {
        lua_pushstring(L, c->fault ? "fault" : err_name(c->err));
        lua_setfield(L, -2, "kind");
    }
    lua_pushlstring(L, answer.at, answer.len);
    lua_setfield(L, -2, "answer");
}

static void push_policy(lua_State *L, const shadow_case_t *c) {
    lua_createtable(L, (int)c->count, 1);
    for (size_t i = 0; i < c->count; i++) {
        lua_pushinteger(L, c->args[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    if (c->req) {
        slice_t text = bytes_of(c->req);
        lua_pushlstring(L, text.at, text.len);
        lua_rawseti(L, -2, (lua_Integer)c->count + 1);
    }
    set_int(L, "n", (int64_t)c->count + (c->req != NULL));
    lua_setfield(L, -2, "args");
    set_int(L, "count", (int64_t)c->count);
    set_int(L, "out", c->out);
}

/* 1: the function, 2: shadow_case_t as light userdata. -> verdict, what, live, shadow */
static int judge(lua_State *L) {
    const shadow_case_t *c = lua_touserdata(L, 2);
    lua_settop(L, 1);
    lua_newtable(L);
    lua_pushboolean(L, c->policy);
    lua_setfield(L, -2, "policy");
    lua_pushstring(L, c->verb);
    lua_setfield(L, -2, "verb");
    set_int(L, "now", c->now_ms);
    if (c->policy)
        push_policy(L, c);
    else
        push_request(L, c);
    lua_call(L, 1, 4);
    return 4;
}

/* --- the account --- */
static void copy_text(lua_State *L, int index, char *to, size_t room) {
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
    snprintf(to, room, "%s", text);
}

static difference_t *keep(run_t *r, const shadow_case_t *c) {
    difference_t *d = &r->last[r->kept++ % SHADOW_KEPT];
    *d = (difference_t){
        .at_ms = c->now_ms, .key = c->key, .policy = c->policy, .stateless = c->stateless};
    memcpy(d->verb, c->verb, sizeof d->verb);
    return d;
}

static void count(run_t *r, const char *verdict) {
    if (strcmp(verdict, "same") == 0) {
        r->same++;
        stat_add(STAT_SCRIPT_SHADOW_SAME, 1);
    } else if (strcmp(verdict, "differs") == 0) {
        r->differed++;
        stat_add(STAT_SCRIPT_SHADOW_DIFFERED, 1);
    } else {
        r->failed++;
        stat_add(STAT_SCRIPT_SHADOW_FAILED, 1);
    }
}

/* Killed, or the record is none: what the error on top says. */
static void broken(run_t *r, lua_State *L, const shadow_case_t *c) {
    difference_t *d = keep(r, c);
    const char *why = vm_killed(r->vm) ? vm_killed(r->vm) : lua_tostring(L, -1);
    snprintf(d->what, sizeof d->what, "it was ended");
    log_safe(slice_of(why ? why : "an error that is no text"), d->shadow, sizeof d->shadow);
    count(r, "failed");
}

static void on_case(shadow_t *s, const shadow_case_t *c) {
    run_t *r = s->runs[c->service];
    if (!r || r->version->number != c->number)
        return; /* of one that is over */
    lua_State *L = vm_lua(r->vm);
    lua_pushcfunction(L, judge);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    if (vm_call(r->vm, 2, 4) != LUA_OK) {
        broken(r, L, c);
    } else {
        const char *verdict = lua_tostring(L, 2);
        count(r, verdict);
        if (strcmp(verdict, "same") != 0) {
            difference_t *d = keep(r, c);
            copy_text(L, 3, d->what, sizeof d->what);
            copy_text(L, 4, d->live, sizeof d->live);
            copy_text(L, 5, d->shadow, sizeof d->shadow);
        }
    }
    lua_settop(L, 1);
}

static void add_difference(buf_t *b, const difference_t *d) {
    buf_add_char(b, '{');
    json_add_int(b, "at_ms", d->at_ms);
    json_add_text(b, "of", d->policy ? SLICE("policy") : SLICE("request"));
    json_add_text(b, "verb", slice_of(d->verb));
    json_add_int(b, "key", (int64_t)d->key);
    json_add_text(b, "what", slice_of(d->what));
    json_add_text(b, "live", slice_of(d->live));
    json_add_text(b, "shadow", slice_of(d->shadow));
    json_add_bool(b, "fresh_state", d->stateless);
    buf_add_char(b, '}');
}

static void add_account(buf_t *b, const run_t *r, uint64_t skipped) {
    buf_add_char(b, '{');
    json_add_text(b, "service", slice_of(r->version->service));
    json_add_int(b, "number", r->version->number);
    json_add_int(b, "since_ms", r->since_ms);
    json_add_int(b, "seen", (int64_t)(r->same + r->differed + r->failed + skipped));
    json_add_int(b, "same", (int64_t)r->same);
    json_add_int(b, "differed", (int64_t)r->differed);
    json_add_int(b, "failed", (int64_t)r->failed);
    json_add_int(b, "not_looked_at", (int64_t)skipped);
    json_add_key(b, "differences");
    buf_add_char(b, '[');
    for (uint32_t n = 0; n < SHADOW_KEPT && n < r->kept; n++) {
        if (n > 0)
            buf_add_char(b, ',');
        add_difference(b, &r->last[(r->kept - 1 - n) % SHADOW_KEPT]);
    }
    buf_add_text(b, "]}");
}

/* --- messages of the reloader --- */
static void drop_run(shadow_t *s, uint32_t service) {
    run_free(s->runs[service]);
    s->runs[service] = NULL;
}

static void on_begin(actor_t *self, shadow_t *s, msg_t *m) {
    shadow_begin_t *b = msg_data(m, shadow_begin_t);
    char fault[300];
    version_t *v = b->version;
    b->version = NULL;
    drop_run(s, b->service);
    run_t *r = run_new(s->script, v, fault, sizeof fault);
    msg_t *reply = msg_new(0, 0);
    if (r)
        r->since_ms = b->since_ms;
    else
        reply->body = block_of(fault, strlen(fault));
    s->runs[b->service] = r;
    actor_reply(self, m, r ? ERR_OK : ERR_INTERNAL, reply);
}

static void on_tell(actor_t *self, shadow_t *s, msg_t *m) {
    uint32_t service = msg_data(m, shadow_ask_t)->service;
    run_t *r = s->runs[service];
    if (!r) {
        actor_reply(self, m, ERR_NOT_FOUND, NULL);
        return;
    }
    buf_t b = {0};
    msg_t *reply = msg_new(0, 0);
    add_account(
        &b, r,
        atomic_load_explicit(&s->script->services[service].gate.skipped, memory_order_relaxed));
    reply->body = block_from_buf(&b);
    actor_reply(self, m, ERR_OK, reply);
    if (m->verb == SHADOW_END)
        drop_run(s, service);
}

/* --- the actor --- */
static void handle(actor_t *self, shadow_t *s, msg_t *m) {
    switch (m->verb) {
    case SHADOW_BEGIN:
        on_begin(self, s, m);
        break;
    case SHADOW_END:
    case SHADOW_TELL:
        on_tell(self, s, m);
        break;
    case SHADOW_CASE:
        on_case(s, msg_data(m, shadow_case_t));
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    default:
        break;
    }
}

static void shadow_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    for (size_t i = 0; i < n; i++)
        handle(self, state, m[i]);
}

/* After a crash nothing is in shadow any more. */
static int shadow_init(actor_t *self, void *state, const void *arg) {
    shadow_t *s = state;
    (void)self;
    s->script = (script_t *)(uintptr_t)arg;
    for (uint32_t i = 0; i < s->script->service_count; i++) {
        atomic_store_explicit(&s->script->services[i].gate.number, 0, memory_order_release);
        policies_shadow(s->script, i, false);
    }
    return ERR_OK;
}

static void shadow_ended(actor_t *self, void *state, int reason) {
    shadow_t *s = state;
    (void)self;
    (void)reason;
    for (uint32_t i = 0; i < SCRIPT_SERVICES; i++)
        drop_run(s, i);
}

static const actor_class_t shadow_class = {
    .name = "script.shadow",
    .place = ACTOR_THREAD,
    .restart = ACTOR_ON_CRASH,
    .state_size = sizeof(shadow_t),
    .batch = 4,
    .init = shadow_init,
    .handle_batch = shadow_batch,
    .ended = shadow_ended,
};

actor_ref_t shadow_actor(script_t *s) {
    if (actor_ref_eq(s->shadow, ACTOR_NONE))
        s->shadow = actor_spawn(s->rt, NULL, &shadow_class, 0, -1, s);
    return s->shadow;
}
