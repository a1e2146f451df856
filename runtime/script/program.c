/* program: one version of a service loaded into a VM of its own: its file is run, its table
 * checked, init called. Called at start by main, later by the reloader's thread; afterwards only
 * the shard that owns it touches it. */
#include "base/log.h"
#include "base/pool.h"
#include "script/shadow.h"
#include <stdio.h>
#include <stdlib.h>

/* --- the VM with its API --- */
static int define_all(lua_State *L) {
    const script_t *s = host_of(L)->script;
    api_base_define(L);
    api_conf_define(L);
    api_store_define(L);
    api_ports_define(L);
    api_call_define(L);
    api_post_define(L);
    for (size_t i = 0; i < s->function_count; i++) {
        lua_pushlightuserdata(L, s->functions[i].arg);
        lua_pushcclosure(L, (lua_CFunction)s->functions[i].lua_cfunction, 1);
        vm_define(L, s->functions[i].module, s->functions[i].name);
    }
    if (host_of(L)->stub)
        api_stub_define(L);
    else
        record_define(L);
    vm_seal(L);
    return 0;
}

/* Puts the error on top of the main state into fault and pops it. */
static void say(lua_State *L, const char *what, char *fault, size_t room) {
    const char *text = lua_tostring(L, -1);
    snprintf(fault, room, "%s%s", what, text ? text : "an error that is no text");
    lua_pop(L, 1);
}

vm_t *program_vm(script_t *s, host_t *host, vm_find_t find, void *arg, char *fault, size_t room) {
    vm_t *vm = vm_new(&s->vm_conf, find, arg);
    if (!vm) {
        snprintf(fault, room, "script.memory is too small for a VM");
        return NULL;
    }
    host->codec = codec_new(s->max_json);
    vm_host_set(vm, host);
    lua_pushcfunction(vm_lua(vm), define_all);
    if (vm_call(vm, 0, 0) == LUA_OK)
        return vm;
    say(vm_lua(vm), "API: ", fault, room);
    vm_free(vm);
    host_close(host);
    return NULL;
}

void host_close(host_t *host) {
    codec_free(host->codec);
    buf_free(&host->batch.bytes);
}

/* --- what a service file returns --- */
static void copy_name(lua_State *L, int index, char room[SCRIPT_NAME], const char *what) {
    size_t len = 0;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
    if (!text || len == 0 || len >= SCRIPT_NAME)
        luaL_error(L, "%s: a name of 1 to %d bytes is expected", what, SCRIPT_NAME - 1);
    memcpy(room, text, len + 1);
}

static int take_function(lua_State *L, int table, const char *field) {
    if (lua_getfield(L, table, field) == LUA_TNIL) {
        lua_pop(L, 1);
        return LUA_NOREF;
    }
    if (!lua_isfunction(L, -1))
        luaL_error(L, "%s must be a function", field);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static void take_on(lua_State *L, program_t *p, int table) {
    if (lua_getfield(L, table, "on") == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    if (!lua_istable(L, -1))
        luaL_error(L, "on must be a table of functions");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        char name[SCRIPT_NAME];
        copy_name(L, -2, name, "on");
        if (!lua_isfunction(L, -1))
            luaL_error(L, "on.%s must be a function", name);
    }
    p->on_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Room for one more; most services have none. */
static void *more(void *at, uint32_t count, size_t size) {
    void *grown = realloc(at, (count + 1) * size);
    if (!grown)
        log_die("script", "no memory for a service");
    return grown;
}

/* {"list", "get"} or {list = true, get = true} */
static uint32_t take_verbs(lua_State *L, int table, const char *field, char (**list)[SCRIPT_NAME]) {
    uint32_t count = 0;
    if (lua_getfield(L, table, field) != LUA_TNIL) {
        luaL_checktype(L, -1, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            int name = lua_isinteger(L, -2) ? -1 : -2;
            if (count == SCRIPT_EVERY)
                luaL_error(L, "%s: too many verbs", field);
            if (!lua_toboolean(L, -1))
                continue;
            *list = more(*list, count, sizeof **list);
            copy_name(L, name, (*list)[count], field);
            count++;
        }
    }
    lua_pop(L, 1);
    return count;
}

static void take_one_every(lua_State *L, program_t *p) {
    if (p->every_count == SCRIPT_EVERY || !lua_istable(L, -1))
        luaL_error(L, "every: at most %d of {ms, \"verb\"}", SCRIPT_EVERY);
    p->every = more(p->every, p->every_count, sizeof *p->every);
    every_t *e = &p->every[p->every_count++];
    e->verb[0] = '\0';
    lua_rawgeti(L, -1, 1);
    lua_Integer ms = lua_tointeger(L, -1);
    if (ms < 10 || ms > INT32_MAX)
        luaL_error(L, "every: the time is in ms, at least 10");
    e->ms = (uint32_t)ms;
    lua_rawgeti(L, -2, 2);
    copy_name(L, -1, e->verb, "every");
    lua_getfield(L, -3, "each");
    e->each = lua_toboolean(L, -1);
    lua_pop(L, 3);
}

static void take_every(lua_State *L, program_t *p, int table) {
    if (lua_getfield(L, table, "every") != LUA_TNIL) {
        luaL_checktype(L, -1, LUA_TTABLE);
        for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
            take_one_every(L, p);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* init(arg) gives the state; without it the state is an empty table. */
static void take_state(lua_State *L, program_t *p, int table, uint32_t shard) {
    if (lua_getfield(L, table, "init") == LUA_TNIL) {
        lua_newtable(L);
    } else {
        lua_createtable(L, 0, 2);
        lua_pushinteger(L, shard + 1);
        lua_setfield(L, -2, "shard");
        lua_pushinteger(L, p->host.script->shards);
        lua_setfield(L, -2, "shards");
        lua_call(L, 1, 1);
    }
    p->state_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Arguments: program, shard number, light userdata each. */
static int load_service(lua_State *L) {
    program_t *p = lua_touserdata(L, 1);
    uint32_t shard = (uint32_t)lua_tointeger(L, 2);
    char chunk[SCRIPT_NAME + 16], name[SCRIPT_NAME];
    slice_t text;
    if (!version_find(p->host.version, slice_of(p->host.service), &text))
        return luaL_error(L, "no such file");
    snprintf(chunk, sizeof chunk, "@lua/%s.lua", p->host.service);
    vm_load(L, chunk, text);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        return luaL_error(L, "lua/%s.lua: a service file returns a table", p->host.service);
    int table = lua_gettop(L);
    lua_getfield(L, table, "name");
    copy_name(L, -1, name, "name");
    if (strcmp(name, p->host.service) != 0)
        return luaL_error(L, "lua/%s.lua: its name is '%s'", p->host.service, name);
    lua_getfield(L, table, "version");
    if (p->host.version->declared != lua_tointeger(L, -1)) /* once: shards read it meanwhile */
        p->host.version->declared = lua_tointeger(L, -1);
    lua_settop(L, table);
    take_on(L, p, table);
    p->concurrent_count = take_verbs(L, table, "concurrent", &p->concurrent);
    p->patient_count = take_verbs(L, table, "patient", &p->patient);
    take_every(L, p, table);
    p->upgrade_ref = take_function(L, table, "upgrade");
    take_state(L, p, table, shard);
    return 0;
}

program_t *program_new(script_t *s, version_t *version, uint32_t shard, char *fault, size_t room) {
    program_t *p = calloc(1, sizeof *p);
    if (!p)
        log_die("script", "no memory for service %s", version->service);
    p->host = (host_t){.script = s, .version = version_ref(version), .service = version->service};
    p->on_ref = p->state_ref = p->upgrade_ref = LUA_NOREF;
    p->vm = program_vm(s, &p->host, version_find, version, fault, room);
    if (!p->vm) {
        version_unref(version);
        free(p);
        return NULL;
    }
    lua_State *L = vm_lua(p->vm);
    lua_pushcfunction(L, load_service);
    lua_pushlightuserdata(L, p);
    lua_pushinteger(L, shard);
    if (vm_call(p->vm, 2, 0) == LUA_OK) {
        lua_gc(L, LUA_GCCOLLECT); /* what compiling left: a third of a small VM */
        return p;
    }
    say(L, "", fault, room);
    program_free(p);
    return NULL;
}

void program_free(program_t *p) {
    if (!p)
        return;
    vm_free(p->vm);
    host_close(&p->host);
    version_unref(p->host.version);
    pool_free(p->idle, p->idle_cap * sizeof *p->idle);
    free(p->every);
    free(p->concurrent);
    free(p->patient);
    free(p);
}

static bool listed(char (*list)[SCRIPT_NAME], uint32_t count, const char *verb) {
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(list[i], verb) == 0)
            return true;
    return false;
}

bool program_is_concurrent(const program_t *p, const char *verb) {
    return listed(p->concurrent, p->concurrent_count, verb);
}

bool program_is_patient(const program_t *p, const char *verb) {
    return listed(p->patient, p->patient_count, verb);
}

/* --- coroutines --- */
static int make_coroutine(lua_State *L) {
    lua_newthread(L);
    return 1;
}

static int anchor(lua_State *L) {
    lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
    return 1;
}

lua_State *program_coroutine(program_t *p, int *ref) {
    if (p->idle_count > 0) {
        const idle_t *i = &p->idle[--p->idle_count];
        *ref = i->ref;
        return i->co;
    }
    lua_State *L = vm_lua(p->vm);
    lua_pushcfunction(L, make_coroutine);
    if (vm_call(p->vm, 0, 1) != LUA_OK) {
        lua_settop(L, 0);
        return NULL;
    }
    lua_State *co = lua_tothread(L, -1);
    lua_pushcfunction(L, anchor);
    lua_insert(L, -2);
    int status = vm_call(p->vm, 1, 1);
    *ref = status == LUA_OK ? (int)lua_tointeger(L, -1) : LUA_NOREF;
    lua_settop(L, 0);
    return status == LUA_OK ? co : NULL;
}

/* One that died or was left waiting is dropped: the collector takes it. Its __close handlers do not
 * run: after an error in a hook they would run unhooked (PITFALLS.md, Lua). */
void program_done(program_t *p, lua_State *co, int ref, bool reusable) {
    if (reusable && p->idle_count < SCRIPT_IDLE) {
        lua_settop(co, 0);
        if (p->idle_count == p->idle_cap)
            p->idle = pool_grow(p->idle, &p->idle_cap, sizeof *p->idle, 2);
        p->idle[p->idle_count++] = (idle_t){co, ref};
        return;
    }
    luaL_unref(vm_lua(p->vm), LUA_REGISTRYINDEX, ref);
}

/* --- state over to the next version --- */
static int pack_state(lua_State *L) {
    const program_t *p = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->state_ref);
    codec_pack(p->host.codec, L, -1);
    return 0;
}

typedef struct carry {
    program_t *to;
    slice_t bytes;
    int64_t version;
    bool plain; /* as it is, without upgrade */
} carry_t;

static int unpack_state(lua_State *L) {
    const carry_t *c = lua_touserdata(L, 1);
    codec_unpack(c->to->host.codec, L, c->bytes);
    if (c->to->upgrade_ref != LUA_NOREF && !c->plain) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, c->to->upgrade_ref);
        lua_insert(L, -2);
        lua_pushinteger(L, c->version);
        lua_call(L, 2, 1);
        if (lua_isnil(L, -1))
            return luaL_error(L, "upgrade returned nothing");
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, c->to->state_ref);
    return 0;
}

static bool protected_with(program_t *p, lua_CFunction f, void *arg, char *fault, size_t room) {
    lua_State *L = vm_lua(p->vm);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, arg);
    if (vm_call(p->vm, 1, 0) == LUA_OK)
        return true;
    say(L, "", fault, room);
    return false;
}

typedef struct packing {
    const program_t *p;
    codec_t *codec;
} packing_t;

static int pack_by(lua_State *L) {
    const packing_t *g = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, g->p->state_ref);
    codec_pack(g->codec, L, -1);
    return 0;
}

bool program_pack(program_t *p, codec_t *codec) {
    char fault[100];
    packing_t g = {p, codec};
    return protected_with(p, pack_by, &g, fault, sizeof fault);
}

bool program_stateless(program_t *p) {
    char fault[300];
    return protected_with(p, pack_state, p, fault, sizeof fault) &&
           codec_last(p->host.codec).len == 2; /* its begin and its end */
}

bool program_carry(program_t *from, program_t *to, bool back, char *fault, size_t room) {
    *fault = '\0';
    if (!protected_with(from, pack_state, from, fault, room))
        return back;
    carry_t c = {to, codec_last(from->host.codec), from->host.version->declared, false};
    if (protected_with(to, unpack_state, &c, fault, room))
        return true;
    c.plain = true;
    return back && (protected_with(to, unpack_state, &c, fault, room) || true);
}
