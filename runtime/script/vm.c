/* vm: see vm.h. This file: the state, its allocator, its slices and their end. */
#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/stat.h"
#include "sched/watchdog.h"
#include "script/vm_open.h"
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_LEAST (2u << 20)
#define POOLED      4096  /* bytes */
#define DEPTH_MAX   20000 /* calls under way, of a slice that is long */
#define COLLECT_KIB 16 /* a step of the collector: with its 400 % some hundred thousand entries */

const char vm_key_api, vm_key_env, vm_key_list, vm_key_loaded;

const char vm_out_of_memory[] = "out of memory";

void vm_kill(vm_t *vm, const char *why) {
    if (!vm->killed)
        vm->killed = why;
}

/* --- the hook, and the alarm that sets it --- */
static void hook(lua_State *L, lua_Debug *ar);

/* count 0: none. */
static void hook_set(vm_t *vm, lua_State *L, int count) {
    vm->hooking = 1;
    atomic_signal_fence(memory_order_seq_cst);
    if (count)
        lua_sethook(L, hook, LUA_MASKCOUNT, count);
    else
        lua_sethook(L, NULL, 0, 0);
    atomic_signal_fence(memory_order_seq_cst);
    vm->hooking = 0;
}

/* In a signal handler, in the middle of anything: lua_sethook is made for that. It walks all calls
 * under way (ms in a deep recursion), so not again while it is set. Should the hook not come to run
 * (it was being set by us, or taken away right after) the next signal sets it again. */
static void alarm_now(void *arg) {
    vm_t *vm = arg;
    lua_State *L = vm->running;
    vm->alarmed = 1;
    if (!vm->hooking && !(lua_gethook(L) && lua_gethookmask(L)))
        lua_sethook(L, hook, LUA_MASKCOUNT, 1);
}

/* --- looks at the clock --- */
static void account(vm_t *vm) {
    uint64_t now = clock_thread_ns();
    if (!vm->looked_ns) {
        vm->looked_ns = now;
        vm->part_ns = vm->spent_ns;
    }
    vm->spent_ns += now - vm->looked_ns;
    vm->looked_ns = now;
    if (vm->spent_ns > vm->slice_ns)
        vm_kill(vm, "it ran too long without a wait");
}

/* A slice that is killed keeps dying at each instruction, also in the __close handlers that run
 * while it dies. level: whose line the error names. */
static void die(lua_State *L, int level) {
    vm_t *vm = vm_of(L);
    hook_set(vm, L, 1);
    luaL_where(L, level);
    lua_pushfstring(L, "killed: %s", vm->killed);
    lua_concat(L, 2);
    lua_error(L);
}

static void check_hold(vm_t *vm) {
    if (watchdog_shared() && vm->spent_ns - vm->part_ns > vm->hold_ns)
        vm_kill(vm, "it ran too long where it cannot be interrupted");
}

/* A recursion without end fills the stack in 20 ms, and each call under way costs something again
 * when a hook is set and when the stack is given back. */
static void check_depth(lua_State *L) {
    lua_Debug ar;
    if (lua_getstack(L, DEPTH_MAX, &ar))
        vm_kill(vm_of(L), "it calls itself without end");
}

/* The innermost line of a script: a C function has none. */
static void note_where(lua_State *L) {
    vm_t *vm = vm_of(L);
    lua_Debug ar;
    for (int level = 0; level < 8 && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline < 0)
            continue;
        snprintf(vm->where, sizeof vm->where, "%s:%d", ar.short_src, ar.currentline);
        return;
    }
}

/* The watchdog has come. true: the handler is to yield. */
static bool look(lua_State *L, int level, bool yields) {
    vm_t *vm = vm_of(L);
    vm->alarmed = 0;
    yields = yields && vm->preemptible && lua_isyieldable(L);
    if (!yields && !vm->killed && watchdog_early())
        return false; /* its time where it cannot be interrupted is as long as anybody's */
    if (!vm->killed)
        check_depth(L);
    if (!vm->killed)
        account(vm);
    if (!yields && !vm->killed)
        check_hold(vm);
    if (yields || (vm->killed && !vm->where[0]))
        note_where(L);
    if (vm->killed)
        die(L, level);
    vm->preempted = yields;
    return yields;
}

/* At the next instruction after the alarm. It is taken away: while the slice lasts the watchdog
 * comes again. */
static void hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    bool yields = look(L, 0, true);
    hook_set(vm_of(L), L, 0);
    if (yields)
        lua_yield(L, 0);
}

void vm_check(lua_State *L) {
    const vm_t *vm = vm_of(L);
    if (vm->alarmed || vm->killed)
        look(L, 1, false);
}

bool vm_pause(lua_State *L) {
    const vm_t *vm = vm_of(L);
    return (vm->alarmed || vm->killed) && look(L, 1, true);
}

/* --- memory: small blocks from the pool, which knows no headers as Lua knows all sizes; of large
 * ones malloc may say that there are none, which the pool does not. */
static void block_free(void *at, size_t size) {
    if (size > POOLED)
        free(at);
    else
        pool_free(at, size);
}

static void *block_resize(void *at, size_t old, size_t size) {
    if (old > POOLED && size > POOLED)
        return realloc(at, size);
    void *p = size > POOLED ? malloc(size) : pool_alloc(size);
    if (at && p) {
        memcpy(p, at, old < size ? old : size);
        block_free(at, old);
    }
    return p;
}

/* A refused allocation makes Lua collect everything at once, which nothing can interrupt (50 ms at
 * 64 MiB). So one that is over seven eighths is granted, and the script dies at its next
 * instruction; only C functions that go on without one meet the refusal. */
static bool grant(vm_t *vm, size_t used, size_t size) {
    if (used <= vm->limit && size <= vm->block)
        return true;
    if (vm->running && !vm->killed) {
        vm_kill(vm, vm_out_of_memory);
        hook_set(vm, vm->running, 1);
    }
    return used <= vm->cap && size <= 2 * vm->block;
}

/* Counts what scripts hold. One block is bounded too: what is joined or copied by one instruction
 * cannot be interrupted. */
static void *allocate(void *arg, void *at, size_t old, size_t size) {
    vm_t *vm = arg;
    if (!at)
        old = 0;
    if (size == 0) {
        block_free(at, old);
        vm->used -= old;
        return NULL;
    }
    if (size > old && !grant(vm, vm->used - old + size, size))
        return NULL;
    void *p = block_resize(at, old, size);
    if (!p)
        return NULL;
    vm->used += size - old;
    return p;
}

/* Garbage must not fill the memory: where half of it is used the collector works harder, and near
 * the end it gets a part of each slice's time. */
static void collect(vm_t *vm) {
    bool tight = vm->used > vm->cap / 2;
    if (tight != vm->tight) {
        vm->tight = tight;
        lua_gc(vm->L, LUA_GCINC, tight ? 110 : 200, tight ? 400 : 100, 0);
    }
    if (vm->used > vm->cap / 4 * 3)
        lua_gc(vm->L, LUA_GCSTEP, COLLECT_KIB);
}

static int panic(lua_State *L) {
    log_die("script", "error outside of a protected call: %s", lua_tostring(L, -1));
}

/* --- slices --- */
bool vm_killed_by_memory(const vm_t *vm) {
    return vm->killed == vm_out_of_memory;
}

static void slice_begin(vm_t *vm, lua_State *running, bool preemptible) {
    vm->killed = NULL;
    vm->where[0] = '\0';
    vm->preempted = false;
    vm->looked_ns = vm->spent_ns = 0;
    vm->preemptible = preemptible;
    /* What a killed one has left may not be collected yet: then that may take its pause. */
    vm->limit = vm->used > vm->cap / 4 * 3 ? vm->cap : vm->cap / 8 * 7;
    vm->running = running;
    watchdog_enter(alarm_now, vm);
}

static int slice_end(vm_t *vm, lua_State *L, int status) {
    watchdog_leave();
    vm->running = NULL;
    vm->alarmed = 0;
    if (status == LUA_ERRMEM)
        vm_kill(vm, vm_out_of_memory);
    if (vm->killed)
        stat_add(vm_killed_by_memory(vm) ? STAT_SCRIPT_KILLED_MEMORY : STAT_SCRIPT_KILLED_TIME, 1);
    if (lua_gethook(L))
        hook_set(vm, L, 0);
    collect(vm);
    return status;
}

int vm_call(vm_t *vm, int args, int results) {
    slice_begin(vm, vm->L, false);
    return slice_end(vm, vm->L, lua_pcall(vm->L, args, results, 0));
}

int vm_resume(vm_t *vm, lua_State *co, int args, int *results) {
    slice_begin(vm, co, vm->preempt && watchdog_shared());
    return slice_end(vm, co, lua_resume(co, NULL, args, results));
}

int vm_again(vm_t *vm, lua_State *co, int *results) {
    vm->preempted = false;
    vm->where[0] = '\0';
    vm->looked_ns = clock_thread_ns();
    vm->part_ns = vm->spent_ns;
    vm->running = co;
    watchdog_enter(alarm_now, vm);
    return slice_end(vm, co, lua_resume(co, NULL, 0, results));
}

const char *vm_where(const vm_t *vm) {
    return vm->where;
}

bool vm_preempted(const vm_t *vm) {
    return vm->preempted;
}

const char *vm_killed(const vm_t *vm) {
    return vm->killed;
}

lua_State *vm_lua(const vm_t *vm) {
    return vm->L;
}

vm_t *vm_of(lua_State *L) {
    return *(vm_t **)lua_getextraspace(L);
}

void vm_host_set(vm_t *vm, void *host) {
    vm->host = host;
}

void *vm_host(lua_State *L) {
    return vm_of(L)->host;
}

size_t vm_memory(const vm_t *vm) {
    return vm->used;
}

void vm_list_mark(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_list);
    lua_setmetatable(L, index);
}

bool vm_list_is(lua_State *L, int index) {
    if (!lua_getmetatable(L, index))
        return false;
    bool is = lua_topointer(L, -1) == vm_of(L)->list_mark;
    lua_pop(L, 1);
    return is;
}

static void open_list_mark(lua_State *L) {
    lua_newtable(L);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    vm_of(L)->list_mark = lua_topointer(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_list);
}

/* What the sandbox does not hand out is not kept: 5 KB a VM. */
static void drop_libraries(lua_State *L) {
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_createtable(L, 0, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

/* Everything the sandbox is made of, in protected mode because memory may end. */
static int open_all(lua_State *L) {
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 0);
    luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 0);
    lua_settop(L, 0);
    open_list_mark(L);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_loaded);
    vm_open_base(L); /* api: global names, a table for each module */
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_api);
    vm_open_string(L);
    lua_setfield(L, -2, LUA_STRLIBNAME);
    vm_open_table(L);
    lua_setfield(L, -2, LUA_TABLIBNAME);
    drop_libraries(L);
    return 0;
}

/* A sixteenth of the memory, and room for the header of such a text; half where there is little. */
static size_t block_limit(size_t memory) {
    if (memory / 16 >= BLOCK_LEAST)
        return memory / 16 + 4096;
    return memory / 2 < BLOCK_LEAST ? memory / 2 : BLOCK_LEAST;
}

vm_t *vm_new(const vm_conf_t *conf, vm_find_t find, void *arg) {
    vm_t *vm = calloc(1, sizeof *vm);
    if (!vm)
        log_die("script", "no memory for a VM");
    vm->cap = conf->memory;
    vm->block = block_limit(conf->memory);
    vm->limit = vm->cap;
    vm->slice_ns = conf->slice_ms * 1000000ull;
    vm->hold_ns = (conf->hold_ms ? conf->hold_ms : conf->slice_ms) * 1000000ull;
    vm->preempt = conf->preempt;
    vm->find = find;
    vm->find_arg = arg;
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L) {
        free(vm);
        return NULL;
    }
    *(vm_t **)lua_getextraspace(vm->L) = vm;
    lua_atpanic(vm->L, panic);
    lua_pushcfunction(vm->L, open_all);
    if (vm_call(vm, 0, 0) != LUA_OK || vm->killed) {
        vm_free(vm);
        return NULL;
    }
    return vm;
}

void vm_free(vm_t *vm) {
    if (!vm)
        return;
    vm->running = NULL;
    lua_close(vm->L);
    free(vm);
}
