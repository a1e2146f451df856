/* policy: pure functions of the rules that C actors call in place: who may send, the recall window.
 * One VM per worker and service holds them, so a call is no message and takes no lock. The reloader
 * hands VMs over, one slot a worker; the worker takes them at its next call. While a new version is
 * tried (canary.c), one worker holds it beside the old one: what it cannot answer the old one does.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/shadow.h"
#include <stdio.h>
#include <stdlib.h>

/* The functions of a service's `policy` in one VM, for one worker. */
struct policy_vm {
    vm_t *vm;
    host_t host;
    int refs[POLICIES_EACH]; /* by script_policy.index; LUA_NOREF: it has none */
};

/* What the worker finds in `pending` is taken at its next call: put by the reloader (release),
 * taken by the worker (acquire). */
enum { SLOT_PENDING = 1, SLOT_SPECIAL = 2, SLOT_SHADOW = 4 };
struct policy_slot {
    _Alignas(64) policy_vm_t *now, *trial; /* the worker's own */
    _Atomic uint32_t flags;            /* PENDING: something is put; SPECIAL: calls are measured;
                                        * SHADOW: and handed on */
    _Atomic(policy_vm_t *) next;       /* to become now */
    _Atomic(policy_vm_t *) next_trial; /* to become trial; &no_trial: there is none any more */
    shadow_window_t shadow;            /* the worker's own */
};
static policy_vm_t
    no_trial; /* one word tells both, so that an end and a new trial keep their order */

struct policy_set {
    uint32_t count; /* of VMs: one a worker, or one alone (trial) */
    policy_vm_t *vms[];
};

/* --- handles --- */
static script_policy_t *find_policy(script_t *s, uint32_t service, const char *name) {
    for (uint32_t i = 0; i < s->policy_count; i++)
        if (s->policies[i].service == service && strcmp(s->policies[i].name, name) == 0)
            return &s->policies[i];
    return NULL;
}

script_policy_t *script_policy(script_t *s, const char *name) {
    char service[SCRIPT_NAME];
    const char *dot = strchr(name, '.');
    if (!dot || (size_t)(dot - name) >= sizeof service)
        return NULL;
    snprintf(service, sizeof service, "%.*s", (int)(dot - name), name);
    int i = script_service(s, service);
    return i < 0 ? NULL : find_policy(s, (uint32_t)i, dot + 1);
}

static void make_handle(lua_State *L, script_t *s, uint32_t service, const char *name) {
    service_t *sv = &s->services[service];
    if (s->policy_count == SCRIPT_POLICIES || sv->policy_count == POLICIES_EACH ||
        strlen(name) >= SCRIPT_NAME)
        luaL_error(L, "lua/%s.lua: too many policies", sv->name);
    script_policy_t *p = &s->policies[s->policy_count++];
    *p = (script_policy_t){.script = s, .service = service, .index = sv->policy_count++};
    snprintf(p->name, sizeof p->name, "%s", name);
}

/* --- loading --- */
typedef struct load {
    policy_vm_t *p;
    uint32_t service;
    bool first; /* the start: handles are made */
} load_t;

static void note_function(lua_State *L, const load_t *l) {
    script_t *s = l->p->host.script;
    bool off = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    if (lua_type(L, -2) != LUA_TSTRING || !(off || lua_isfunction(L, -1)))
        luaL_error(L, "policy must be a table of functions, or false for one that is off");
    const char *name = lua_tostring(L, -2);
    if (l->first && !find_policy(s, l->service, name))
        make_handle(L, s, l->service, name);
    const script_policy_t *h = find_policy(s, l->service, name);
    if (!h) {
        log_warn("script", "policy %s.%s is new: known after a restart",
                 s->services[l->service].name, name);
        return;
    }
    if (off) {
        l->p->refs[h->index] = LUA_REFNIL;
        return;
    }
    lua_pushvalue(L, -1);
    l->p->refs[h->index] = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Argument: load_t as light userdata. */
static int load_policies(lua_State *L) {
    const load_t *l = lua_touserdata(L, 1);
    const service_t *sv = &l->p->host.script->services[l->service];
    char chunk[SCRIPT_NAME + 16];
    slice_t text;
    if (!version_find(l->p->host.version, slice_of(sv->name), &text))
        return luaL_error(L, "no such file");
    snprintf(chunk, sizeof chunk, "@lua/%s.lua", sv->name);
    vm_load(L, chunk, text);
    lua_call(L, 0, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    if (lua_getfield(L, -1, "policy") == LUA_TNIL)
        return 0;
    luaL_checktype(L, -1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        note_function(L, l);
    return 0;
}

static bool load_into(policy_vm_t *p, uint32_t service, bool first, char *fault, size_t room) {
    lua_State *L = vm_lua(p->vm);
    load_t l = {p, service, first};
    lua_pushcfunction(L, load_policies);
    lua_pushlightuserdata(L, &l);
    if (vm_call(p->vm, 1, 0) == LUA_OK)
        return true;
    const char *why = lua_tostring(L, -1);
    snprintf(fault, room, "%s", why ? why : "an error that is no text");
    lua_settop(L, 0);
    return false;
}

/* Every handle that was given out must still have its function. */
static bool complete(const policy_vm_t *p, uint32_t service, char *fault, size_t room) {
    const script_t *s = p->host.script;
    for (uint32_t i = 0; i < s->policy_count; i++) {
        const script_policy_t *h = &s->policies[i];
        if (h->service == service && p->refs[h->index] == LUA_NOREF) {
            snprintf(fault, room, "policy %s.%s is gone", s->services[service].name, h->name);
            return false;
        }
    }
    return true;
}

static void policy_vm_free(policy_vm_t *p) {
    if (!p || p == &no_trial)
        return;
    if (p->vm) {
        vm_free(p->vm);
        host_close(&p->host);
    }
    version_unref(p->host.version);
    free(p);
}

static policy_vm_t *make(script_t *s, uint32_t service, version_t *v, bool first, char *fault,
                         size_t room) {
    policy_vm_t *p = calloc(1, sizeof *p);
    if (!p)
        log_die("script", "no memory for policies");
    for (size_t i = 0; i < POLICIES_EACH; i++)
        p->refs[i] = LUA_NOREF;
    p->host = (host_t){.script = s, .service = v->service, .version = version_ref(v)};
    p->vm = program_vm(s, &p->host, version_find, v, fault, room);
    if (p->vm && load_into(p, service, first, fault, room) && complete(p, service, fault, room))
        return p;
    policy_vm_free(p);
    return NULL;
}

/* --- sets: what the reloader makes and hands over --- */
static policy_set_t *make_set(script_t *s, uint32_t service, version_t *v, uint32_t count,
                              bool first, char *fault, size_t room) {
    policy_set_t *set = calloc(1, sizeof *set + count * sizeof(policy_vm_t *));
    if (!set)
        log_die("script", "no memory for policies");
    while (set->count < count) {
        policy_vm_t *p = make(s, service, v, first, fault, room);
        if (!p) {
            policies_free(set);
            return NULL;
        }
        set->vms[set->count++] = p;
        if (s->services[service].policy_count == 0)
            break; /* it has none: one VM was enough to know */
    }
    return set;
}

policy_set_t *policies_make(script_t *s, version_t *v, bool trial, char *fault, size_t room) {
    uint32_t service = (uint32_t)script_service(s, v->service);
    return make_set(s, service, v, trial ? 1 : s->workers, false, fault, room);
}

void policies_free(policy_set_t *set) {
    for (uint32_t i = 0; set && i < set->count; i++)
        policy_vm_free(set->vms[i]);
    free(set);
}

/* acq_rel: release what was made to the worker; acquire one that it never took, to free it here. */
static void put(_Atomic(policy_vm_t *) *place, policy_vm_t *p) {
    policy_vm_free(atomic_exchange_explicit(place, p, memory_order_acq_rel));
}

/* release: with take_pending's acquire, what was put before is seen by who sees the flag. */
static void wave(policy_slot_t *slot, uint32_t flags) {
    atomic_fetch_or_explicit(&slot->flags, flags, memory_order_release);
}

void policies_put(script_t *s, uint32_t service, policy_set_t *set) {
    service_t *sv = &s->services[service];
    for (uint32_t i = 0; sv->slots && i < set->count; i++) {
        put(&sv->slots[i].next, set->vms[i]);
        set->vms[i] = NULL;
        wave(&sv->slots[i], SLOT_PENDING);
    }
    policies_free(set);
}

void policies_try(script_t *s, uint32_t service, policy_set_t *set) {
    policy_slot_t *slots = s->services[service].slots;
    if (slots) {
        put(&slots[0].next_trial, set->vms[0]);
        set->vms[0] = NULL;
        wave(&slots[0], SLOT_PENDING);
    }
    policies_free(set);
}

void policies_end_trial(script_t *s, uint32_t service) {
    policy_slot_t *slots = s->services[service].slots;
    if (!slots)
        return;
    put(&slots[0].next_trial, &no_trial);
    wave(&slots[0], SLOT_PENDING);
}

static void set_flag(script_t *s, uint32_t service, uint32_t flag, bool on) {
    policy_slot_t *slots = s->services[service].slots;
    for (uint32_t i = 0; slots && i < s->workers; i++) {
        if (on)
            wave(&slots[i], flag);
        else
            atomic_fetch_and_explicit(&slots[i].flags, ~flag, memory_order_relaxed);
    }
}

void policies_watch(script_t *s, uint32_t service, bool on) {
    set_flag(s, service, SLOT_SPECIAL, on);
}

void policies_shadow(script_t *s, uint32_t service, bool on) {
    set_flag(s, service, SLOT_SHADOW, on);
}

/* --- at start and end --- */
static bool open_service(script_t *s, uint32_t service, char *fault, size_t room) {
    service_t *sv = &s->services[service];
    policy_vm_t *first = make(s, service, sv->current, true, fault, room);
    if (!first || sv->policy_count == 0) {
        policy_vm_free(first);
        return first != NULL;
    }
    sv->slots = aligned_alloc(64, s->workers * sizeof *sv->slots);
    if (!sv->slots)
        log_die("script", "no memory for policies");
    memset(sv->slots, 0, s->workers * sizeof *sv->slots);
    sv->slots[0].now = first;
    for (uint32_t i = 1; i < s->workers; i++)
        if (!(sv->slots[i].now = make(s, service, sv->current, false, fault, room)))
            return false;
    return true;
}

bool policies_open(script_t *s, char *fault, size_t room) {
    for (uint32_t i = 0; i < s->service_count; i++)
        if (!open_service(s, i, fault, room))
            return false;
    return true;
}

void policies_close(script_t *s) {
    for (uint32_t n = 0; n < s->service_count; n++) {
        policy_slot_t *slots = s->services[n].slots;
        for (uint32_t i = 0; slots && i < s->workers; i++) {
            policy_vm_free(slots[i].now);
            policy_vm_free(slots[i].trial);
            policy_vm_free(atomic_load(&slots[i].next));
            policy_vm_free(atomic_load(&slots[i].next_trial));
        }
        free(slots);
    }
}

/* --- running --- */
/* Small VMs: to close one takes tens of microseconds, once a reload. */
static void take_pending(policy_slot_t *slot) {
    atomic_fetch_and_explicit(&slot->flags, ~(uint32_t)SLOT_PENDING, memory_order_acquire);
    policy_vm_t *next = atomic_exchange_explicit(&slot->next, NULL, memory_order_acquire);
    if (next) {
        policy_vm_free(slot->now);
        slot->now = next;
    }
    policy_vm_t *trial = atomic_exchange_explicit(&slot->next_trial, NULL, memory_order_acquire);
    if (trial) {
        policy_vm_free(slot->trial);
        slot->trial = trial == &no_trial ? NULL : trial;
    }
}

bool policy_result(lua_State *L, int64_t *out) {
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
    log_error("script", "policy %s.%s: %s", p->script->services[p->service].name, p->name,
              text ? log_safe((slice_t){text, len}, room, sizeof room)
                   : "its result is no number and no code");
    return ERR_INTERNAL;
}

typedef struct ask {
    const script_policy_t *p;
    const int64_t *args;
    size_t count;
    const slice_t *text; /* behind the integers, or NULL */
} ask_t;

/* Pushing the text may end the VM's memory, so it is done in a protected call. */
static int call_with_text(lua_State *L) {
    const slice_t *text = lua_touserdata(L, -1);
    lua_pop(L, 1);
    lua_pushlstring(L, text->at, text->len);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static int run(policy_vm_t *v, const ask_t *a, int64_t *out) {
    lua_State *L = vm_lua(v->vm);
    int ref = v->refs[a->p->index];
    *out = 0;
    if (ref == LUA_REFNIL)
        return ERR_OK;
    if (!lua_checkstack(L, (int)a->count + 6)) {
        lua_settop(L, 0);
        return failed(a->p, L, false);
    }
    if (a->text)
        lua_pushcfunction(L, call_with_text);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    for (size_t i = 0; i < a->count; i++)
        lua_pushinteger(L, a->args[i]);
    if (a->text)
        lua_pushlightuserdata(L, (void *)a->text);
    bool raised = vm_call(v->vm, (int)a->count + (a->text ? 2 : 0), 1) != LUA_OK;
    int err = !raised && policy_result(L, out) ? ERR_OK : failed(a->p, L, raised);
    lua_settop(L, 0);
    return err;
}

static int run_measured(policy_vm_t *v, const ask_t *a, int64_t *out) {
    uint64_t start = clock_ticks();
    int err = run(v, a, out);
    double us = (double)(clock_ticks() - start) / clock_ticks_per_us();
    tally_add(&v->host.version->policies, err != ERR_OK, false, (uint64_t)us);
    return err;
}

static uint32_t flags_of(policy_slot_t *slot) {
    return atomic_load_explicit(&slot->flags, memory_order_relaxed); /* take_pending acquires */
}

/* What was answered, to the version in shadow. */
static void hand_on(policy_slot_t *slot, actor_t *self, const ask_t *a, int64_t out) {
    script_t *s = a->p->script;
    shadow_case_t c = {.script = s,
                       .service = a->p->service,
                       .number = shadow_number(&s->services[a->p->service]),
                       .policy = true,
                       .now_ms = actor_wall_ms(self),
                       .count = a->count,
                       .out = out};
    if (c.number == 0 || a->count > SHADOW_ARGS)
        return;
    if (a->count > 0)
        memcpy(c.args, a->args, a->count * sizeof *a->args);
    memcpy(c.verb, a->p->name, sizeof c.verb);
    record_policy(self, &slot->shadow, &c, a->text);
}

/* While a version is tried: its worker asks it first, and the old one when it fails: policies have
 * no effects. */
static int run_special(policy_slot_t *slot, actor_t *self, const ask_t *a, int64_t *out) {
    if (flags_of(slot) & SLOT_PENDING)
        take_pending(slot);
    if (slot->trial && run_measured(slot->trial, a, out) == ERR_OK)
        return ERR_OK;
    int err = version_watched(slot->now->host.version) ? run_measured(slot->now, a, out)
                                                       : run(slot->now, a, out);
    if (err == ERR_OK && flags_of(slot) & SLOT_SHADOW)
        hand_on(slot, self, a, *out);
    return err;
}

static policy_slot_t *slot_of(script_policy_t *p, actor_t *self) {
    return &p->script->services[p->service].slots[actor_worker(self)];
}

bool script_policy_on(script_policy_t *p, actor_t *self) {
    policy_slot_t *slot = slot_of(p, self);
    if (flags_of(slot) & SLOT_PENDING)
        take_pending(slot);
    return slot->now->refs[p->index] != LUA_REFNIL ||
           (slot->trial && slot->trial->refs[p->index] != LUA_REFNIL);
}

int script_policy_judge(script_policy_t *p, actor_t *self, const int64_t *args, size_t count,
                        const slice_t *text, int64_t *out) {
    policy_slot_t *slot = slot_of(p, self);
    ask_t a = {p, args, count, text};
    if (__builtin_expect(flags_of(slot) != 0, 0))
        return run_special(slot, self, &a, out);
    return run(slot->now, &a, out);
}

int script_policy_run(script_policy_t *p, actor_t *self, const int64_t *args, size_t count,
                      int64_t *out) {
    return script_policy_judge(p, self, args, count, NULL, out);
}
