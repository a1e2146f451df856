/* policy: pure functions of the rules that C actors call in place: who may send, the recall window.
 * One VM per worker holds the policy functions of all services, so a call is no message and takes
 * no lock. A reload hands each worker a new VM, which it takes over at its next call. */
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/script_in.h"
#include <stdio.h>
#include <stdlib.h>

/* --- handles --- */
static int find_policy(const script_t *s, const char *service, const char *name) {
    for (uint32_t i = 0; i < s->policy_count; i++)
        if (strcmp(s->policies[i].service, service) == 0 && strcmp(s->policies[i].name, name) == 0)
            return (int)i;
    return -1;
}

script_policy_t *script_policy(script_t *s, const char *name) {
    char service[SCRIPT_NAME];
    const char *dot = strchr(name, '.');
    if (!dot || (size_t)(dot - name) >= sizeof service)
        return NULL;
    snprintf(service, sizeof service, "%.*s", (int)(dot - name), name);
    int i = find_policy(s, service, dot + 1);
    return i < 0 ? NULL : &s->policies[i];
}

/* --- loading --- */
static void note_function(lua_State *L, policy_vm_t *p, const char *service, bool first) {
    script_t *s = p->host.script;
    bool off = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    if (lua_type(L, -2) != LUA_TSTRING || !(off || lua_isfunction(L, -1)))
        luaL_error(L,
                   "lua/%s.lua: policy must be a table of functions, or false for one that is off",
                   service);
    const char *name = lua_tostring(L, -2);
    int i = find_policy(s, service, name);
    if (i < 0 && first) {
        if (s->policy_count == SCRIPT_POLICIES || strlen(name) >= SCRIPT_NAME)
            luaL_error(L, "lua/%s.lua: too many policies", service);
        i = (int)s->policy_count++;
        script_policy_t *n = &s->policies[i];
        n->script = s;
        n->index = (uint32_t)i;
        snprintf(n->service, sizeof n->service, "%s", service);
        snprintf(n->name, sizeof n->name, "%s", name);
    }
    if (i < 0) {
        log_warn("script", "policy %s.%s is new: known after a restart", service, name);
        return;
    }
    if (off) {
        p->refs[i] = LUA_REFNIL;
        return;
    }
    lua_pushvalue(L, -1);
    p->refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Arguments: policy VM, service, its text (light userdata each), first load. */
static int load_policies(lua_State *L) {
    policy_vm_t *p = lua_touserdata(L, 1);
    const service_t *service = lua_touserdata(L, 2);
    const slice_t *text = lua_touserdata(L, 3);
    bool first = lua_toboolean(L, 4);
    char chunk[SCRIPT_NAME + 16];
    snprintf(chunk, sizeof chunk, "@lua/%s.lua", service->name);
    vm_load(L, chunk, *text);
    lua_call(L, 0, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    if (lua_getfield(L, -1, "policy") == LUA_TNIL)
        return 0;
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        note_function(L, p, service->name, first);
    return 0;
}

static bool load_one(policy_vm_t *p, service_t *service, bool first, char *fault, size_t room) {
    lua_State *L = vm_lua(p->vm);
    slice_t text;
    if (!sources_find(service->current, slice_of(service->name), &text))
        return true;
    lua_pushcfunction(L, load_policies);
    lua_pushlightuserdata(L, p);
    lua_pushlightuserdata(L, service);
    lua_pushlightuserdata(L, &text);
    lua_pushboolean(L, first);
    if (vm_call(p->vm, 4, 0) == LUA_OK)
        return true;
    const char *why = lua_tostring(L, -1);
    snprintf(fault, room, "%s", why ? why : "an error that is no text");
    lua_settop(L, 0);
    return false;
}

/* Every handle that was given out must still have its function. */
static bool complete(const policy_vm_t *p, char *fault, size_t room) {
    const script_t *s = p->host.script;
    for (uint32_t i = 0; i < s->policy_count; i++) {
        if (p->refs[i] == LUA_NOREF) {
            snprintf(fault, room, "policy %s.%s is gone", s->policies[i].service,
                     s->policies[i].name);
            return false;
        }
    }
    return true;
}

static policy_vm_t *make(script_t *s, sources_t *sources, bool first, char *fault, size_t room) {
    policy_vm_t *p = calloc(1, sizeof *p);
    if (!p)
        log_die("script", "no memory for policies");
    for (size_t i = 0; i < SCRIPT_POLICIES; i++)
        p->refs[i] = LUA_NOREF;
    p->host = (host_t){.script = s, .service = "policy", .sources = sources_ref(sources)};
    p->vm = program_vm(s, &p->host, fault, room);
    bool ok = p->vm != NULL;
    for (uint32_t i = 0; ok && i < s->service_count; i++)
        ok = load_one(p, &s->services[i], first, fault, room);
    if (ok && complete(p, fault, room))
        return p;
    policy_vm_free(p);
    return NULL;
}

void policy_vm_free(policy_vm_t *p) {
    if (!p)
        return;
    if (p->vm) {
        vm_free(p->vm);
        codec_free(p->host.codec);
    }
    sources_unref(p->host.sources);
    free(p);
}

bool policies_open(script_t *s, sources_t *sources, char *fault, size_t room) {
    s->slots = aligned_alloc(64, s->workers * sizeof *s->slots);
    if (!s->slots)
        log_die("script", "no memory for policies");
    memset(s->slots, 0, s->workers * sizeof *s->slots);
    for (uint32_t i = 0; i < s->workers; i++)
        if (!(s->slots[i].now = make(s, sources, i == 0, fault, room)))
            return false;
    return true;
}

void policies_close(script_t *s) {
    for (uint32_t i = 0; s->slots && i < s->workers; i++) {
        policy_vm_free(s->slots[i].now);
        policy_vm_free(atomic_load(&s->slots[i].next));
    }
    free(s->slots);
}

bool policies_swap(script_t *s, sources_t *sources, char *fault, size_t room) {
    policy_vm_t *fresh[256] = {0};
    bool ok = s->workers <= 256;
    for (uint32_t i = 0; ok && i < s->workers; i++)
        ok = (fresh[i] = make(s, sources, false, fault, room)) != NULL;
    for (uint32_t i = 0; i < s->workers && i < 256; i++) {
        if (ok) /* acq_rel: release what was made to the worker; acquire one it never took, to free
                   it here */
            fresh[i] = atomic_exchange_explicit(&s->slots[i].next, fresh[i], memory_order_acq_rel);
        policy_vm_free(fresh[i]);
    }
    return ok;
}

/* --- running --- */
static policy_vm_t *take_next(policy_slot_t *slot) {
    policy_vm_t *next = atomic_exchange_explicit(&slot->next, NULL, memory_order_acquire);
    if (next) {
        policy_vm_free(slot->now); /* a small VM: tens of microseconds, once a reload */
        slot->now = next;
    }
    return slot->now;
}

/* Integer, boolean, nothing (0), or the name of an error code, which becomes that code. */
static bool read_result(lua_State *L, int64_t *out) {
    int whole = 1;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        *out = 0;
        return true;
    case LUA_TBOOLEAN:
        *out = lua_toboolean(L, -1);
        return true;
    case LUA_TNUMBER:
        *out = lua_tointegerx(L, -1, &whole);
        return whole;
    case LUA_TSTRING: {
        const char *name = lua_tostring(L, -1);
        *out = err_by_name(name);
        return *out != ERR_INTERNAL || strcmp(name, "internal") == 0;
    }
    default:
        return false;
    }
}

static int failed(const script_policy_t *p, lua_State *L, bool raised) {
    char room[500];
    size_t len = 0;
    const char *text = raised && lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    stat_add(STAT_POLICY_ERRORS, 1);
    log_error("script", "policy %s.%s: %s", p->service, p->name,
              text ? log_safe((slice_t){text, len}, room, sizeof room)
                   : "its result is no number and no code");
    return ERR_INTERNAL;
}

/* The worker's VM; one that was handed over is taken now. */
static policy_vm_t *here(script_policy_t *p, actor_t *self) {
    policy_slot_t *slot = &p->script->slots[actor_worker(self)];
    if (atomic_load_explicit(&slot->next, memory_order_relaxed)) /* take_next acquires */
        return take_next(slot);
    return slot->now;
}

bool script_policy_on(script_policy_t *p, actor_t *self) {
    return here(p, self)->refs[p->index] != LUA_REFNIL;
}

/* Pushing the text may end the VM's memory, so it is done in a protected call. */
static int call_with_text(lua_State *L) {
    const slice_t *text = lua_touserdata(L, -1);
    lua_pop(L, 1);
    lua_pushlstring(L, text->at, text->len);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

int script_policy_judge(script_policy_t *p, actor_t *self, const int64_t *args, size_t count,
                        const slice_t *text, int64_t *out) {
    policy_vm_t *v = here(p, self);
    lua_State *L = vm_lua(v->vm);
    *out = 0;
    if (v->refs[p->index] == LUA_REFNIL)
        return ERR_OK;
    if (!lua_checkstack(L, (int)count + 6)) {
        lua_settop(L, 0);
        return failed(p, L, false);
    }
    if (text)
        lua_pushcfunction(L, call_with_text);
    lua_rawgeti(L, LUA_REGISTRYINDEX, v->refs[p->index]);
    for (size_t i = 0; i < count; i++)
        lua_pushinteger(L, args[i]);
    if (text)
        lua_pushlightuserdata(L, (void *)text);
    bool raised = vm_call(v->vm, (int)count + (text ? 2 : 0), 1) != LUA_OK;
    int err = !raised && read_result(L, out) ? ERR_OK : failed(p, L, raised);
    lua_settop(L, 0);
    return err;
}

int script_policy_run(script_policy_t *p, actor_t *self, const int64_t *args, size_t count,
                      int64_t *out) {
    return script_policy_judge(p, self, args, count, NULL, out);
}
