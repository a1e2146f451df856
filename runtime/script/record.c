/* record: what a request of the version that serves did, noted while another version is in shadow
 * (shadow.h). In the worker of the shard, from record_begin to record_end; of policies in any
 * worker. It can make no request fail: what cannot be noted (too large, no plain data) ends the
 * record, not the request, and errors of packing are caught here.
 *
 * Events: a char, how many values (u32), each as its length (u32) and packed bytes (codec_pack).
 *   C  a call: its name, its arguments      R  its results     F  it raised fail: code, text, extra
 * A call that neither R nor F follows ended by another error. */
#include "base/err.h"
#include "base/stat.h"
#include "script/shadow.h"
#include <stdlib.h>

struct record {
    shadow_case_t c;
    codec_t *codec;
    buf_t events;
    bool open; /* a call has begun and its end is not noted */
    bool lost; /* something could not be noted */
};

/* --- who is looked at --- */
static void skip(shadow_gate_t *g) {
    atomic_fetch_add_explicit(&g->skipped, 1, memory_order_relaxed);
    stat_add(STAT_SCRIPT_SHADOW_SKIPPED, 1);
}

/* A place in the queue; it is given back by release, in the end by the message. */
static bool admit(shadow_gate_t *g, shadow_window_t *w, uint64_t now_ns, uint32_t rate) {
    if (now_ns - w->since_ns >= 1000000000ull)
        *w = (shadow_window_t){now_ns, 0};
    if (w->count >= rate) {
        skip(g);
        return false;
    }
    if (atomic_fetch_add_explicit(&g->waiting, 1, memory_order_relaxed) >= SHADOW_WAITING) {
        atomic_fetch_sub_explicit(&g->waiting, 1, memory_order_relaxed);
        skip(g);
        return false;
    }
    w->count++;
    return true;
}

static shadow_gate_t *gate_of(const shadow_case_t *c) {
    return &c->script->services[c->service].gate;
}

static void release(shadow_case_t *c) {
    block_unref(c->req);
    block_unref(c->state);
    block_unref(c->events);
    block_unref(c->answer);
    atomic_fetch_sub_explicit(&gate_of(c)->waiting, 1, memory_order_relaxed);
}

static void drop_case(msg_t *m) {
    release(msg_data(m, shadow_case_t));
}

static void to_shadow(actor_t *self, const shadow_case_t *c) {
    msg_t *m = msg_of(SHADOW_CASE, c, sizeof *c);
    shadow_gate_t *g = gate_of(c);
    m->drop = drop_case;
    if (actor_send(self, c->script->shadow, m) != ERR_OK)
        skip(g);
}

/* --- values --- */
static int pack(lua_State *L) {
    codec_pack(lua_touserdata(L, 2), L, 1);
    return 0;
}

static void add_value(lua_State *L, record_t *r, int index) {
    if (r->lost)
        return;
    index = lua_absindex(L, index);
    lua_pushcfunction(L, pack);
    lua_pushvalue(L, index);
    lua_pushlightuserdata(L, r->codec);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        lua_pop(L, 1);
        r->lost = true;
        return;
    }
    slice_t s = codec_last(r->codec);
    uint32_t n = (uint32_t)s.len;
    buf_add(&r->events, &n, sizeof n);
    buf_add_slice(&r->events, s);
    r->lost = r->events.len > SHADOW_BYTES;
}

static void add_event(record_t *r, char kind, uint32_t values) {
    buf_add_char(&r->events, kind);
    buf_add(&r->events, &values, sizeof values);
}

/* --- calls of the API --- */
static void begin_call(lua_State *L, record_t *r, int name) {
    int n = lua_gettop(L);
    r->lost = r->lost || !lua_checkstack(L, 5);
    if (r->lost)
        return;
    add_event(r, 'C', (uint32_t)n + 1);
    lua_pushvalue(L, name);
    add_value(L, r, -1);
    lua_pop(L, 1);
    for (int i = 1; i <= n; i++)
        add_value(L, r, i);
    r->open = true;
}

void record_results(lua_State *L, record_t *r, int n) {
    int top = lua_gettop(L);
    r->lost = r->lost || !lua_checkstack(L, 5);
    if (r->lost || !r->open)
        return;
    add_event(r, 'R', (uint32_t)n);
    for (int i = top - n + 1; i <= top; i++)
        add_value(L, r, i);
    r->open = false;
}

void record_raises(lua_State *L, record_t *r) {
    static const char *const members[] = {"code", "text", "extra"};
    r->lost = r->lost || !lua_checkstack(L, 6);
    if (r->lost || !r->open)
        return;
    add_event(r, 'F', 3);
    for (int i = 0; i < 3; i++) {
        lua_getfield(L, -1, members[i]);
        add_value(L, r, -1);
        lua_pop(L, 1);
    }
    r->open = false;
}

/* Upvalue 1 is that of the function behind it, which so may be called in place and yield; 2 the
 * function, 3 its name. */
static int recorded(lua_State *L) {
    lua_CFunction f = (lua_CFunction)lua_touserdata(L, lua_upvalueindex(2));
    const host_t *h = host_of(L);
    if (__builtin_expect(!h->record, 1))
        return f(L);
    begin_call(L, h->record, lua_upvalueindex(3));
    int n = f(L);
    record_results(L, h->record, n);
    return n;
}

/* The function on top, which is called so in scripts; pops it. */
static void wrap(lua_State *L, const char *module, const char *name) {
    lua_CFunction f = lua_tocfunction(L, -1);
    int function = lua_gettop(L);
    if (f) {
        if (!lua_getupvalue(L, function, 1))
            lua_pushnil(L);
        lua_pushlightuserdata(L, (void *)f);
        lua_pushfstring(L, "%s%s%s", module ? module : "", module ? "." : "", name);
        lua_pushcclosure(L, recorded, 3);
        vm_define(L, module, name);
    }
    lua_settop(L, function - 1);
}

static void wrap_name(lua_State *L, const char *module, const char *name) {
    vm_module(L, module);
    lua_getfield(L, -1, name);
    wrap(L, module, name);
    lua_pop(L, 1);
}

/* Log lines and conf are no part of what is compared. */
static bool is_quiet(const char *name) {
    return strcmp(name, "log") == 0 || strcmp(name, "conf") == 0;
}

void record_define(lua_State *L) {
    const script_t *s = host_of(L)->script;
    for (int i = 0; api_world_modules[i]; i++)
        if (!is_quiet(api_world_modules[i]))
            vm_each_name(L, api_world_modules[i], wrap_name);
    for (int i = 0; api_world_globals[i]; i++) {
        if (is_quiet(api_world_globals[i]))
            continue;
        vm_module(L, api_world_globals[i]); /* the global itself */
        wrap(L, NULL, api_world_globals[i]);
    }
    for (size_t i = 0; i < s->function_count; i++) {
        const script_function_t *f = &s->functions[i];
        lua_pushlightuserdata(L, f->arg);
        lua_pushcclosure(L, (lua_CFunction)f->lua_cfunction, 1);
        wrap(L, f->module, f->name);
    }
}

/* --- a request --- */
record_t *record_begin(program_t *p, shadow_window_t *w, uint64_t now_ns, const shadow_case_t *c,
                       block_t *req) {
    if (!admit(gate_of(c), w, now_ns, c->script->shadow_rate))
        return NULL;
    record_t *r = calloc(1, sizeof *r);
    if (!r) {
        atomic_fetch_sub_explicit(&gate_of(c)->waiting, 1, memory_order_relaxed);
        return NULL;
    }
    r->c = *c;
    r->c.req = req ? block_ref(req) : NULL;
    r->codec = codec_new(SHADOW_BYTES);
    r->c.stateless = !program_pack(p, r->codec);
    if (!r->c.stateless) {
        slice_t s = codec_last(r->codec);
        r->c.state = block_of(s.at, s.len);
    }
    return r;
}

static void record_free(record_t *r) {
    codec_free(r->codec);
    buf_free(&r->events);
    free(r);
}

void record_drop(record_t *r) {
    if (!r)
        return;
    skip(gate_of(&r->c));
    release(&r->c);
    record_free(r);
}

void record_end(record_t *r, actor_t *self, int err, bool fault, slice_t answer) {
    if (!r)
        return;
    if (r->lost || answer.len > SHADOW_BYTES) {
        record_drop(r);
        return;
    }
    r->c.err = err;
    r->c.fault = fault;
    r->c.answer = block_of(answer.at, answer.len);
    r->c.events = block_from_buf(&r->events);
    to_shadow(self, &r->c);
    record_free(r);
}

/* --- a policy --- */
void record_policy(actor_t *self, shadow_window_t *w, shadow_case_t *c, const slice_t *text) {
    shadow_gate_t *g = gate_of(c);
    if (text && text->len > SHADOW_BYTES) {
        skip(g);
        return;
    }
    if (!admit(g, w, actor_now_ns(self), c->script->shadow_rate))
        return;
    c->req = text ? block_of(text->at, text->len) : NULL;
    to_shadow(self, c);
}
