/* vm: see vm.h. This file: the state, its allocator, its slices and their end. */
#include "base/clock.h"
#include "base/log.h"
#include "script/vm_open.h"
#include <lualib.h>
#include <stdlib.h>

#define SPEND_LOOK (512 * 1024) /* bytes of work between looks at the clock */

const char vm_key_api, vm_key_env, vm_key_list, vm_key_loaded;

void vm_kill(vm_t *vm, const char *why) {
    if (!vm->killed)
        vm->killed = why;
}

static void hook(lua_State *L, lua_Debug *ar);

static void hook_each(lua_State *L, int count) {
    if (lua_gethookcount(L) != count || !lua_gethook(L))
        lua_sethook(L, hook, LUA_MASKCOUNT, count);
}

/* Looks at the clock. A slice that is killed keeps dying at each instruction, also in the __close
 * handlers that run while it dies. level: whose line the error names. */
static void look(lua_State *L, int level) {
    vm_t *vm = vm_of(L);
    uint64_t now = clock_thread_ns();
    vm->spent = 0;
    if (vm->started_ns == 0)
        vm->started_ns = now;
    else if (now - vm->started_ns > vm->slice_ns)
        vm_kill(vm, "it ran too long without a wait");
    hook_each(L, vm->killed ? 1 : VM_HOOK_COUNT);
    if (!vm->killed)
        return;
    luaL_where(L, level);
    lua_pushfstring(L, "killed: %s", vm->killed);
    lua_concat(L, 2);
    lua_error(L);
}

/* Every VM_HOOK_COUNT instructions. */
static void hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    look(L, 0);
}

void vm_spend(lua_State *L, size_t bytes) {
    vm_t *vm = vm_of(L);
    vm->spent += bytes;
    if (vm->spent > SPEND_LOOK)
        look(L, 1);
}

/* Counts what scripts hold. A big block is work too (a string that is joined and copied takes one
 * instruction), so after a few hundred KB the hook is asked to look at the next instruction;
 * raising is not allowed here. */
static void *allocate(void *arg, void *at, size_t old, size_t size) {
    vm_t *vm = arg;
    if (!at)
        old = 0;
    if (size == 0) {
        free(at);
        vm->used -= old;
        return NULL;
    }
    if (size > old && (vm->used - old + size > vm->cap || size > vm->cap / 2))
        return NULL;
    void *p = realloc(at, size);
    if (!p)
        return NULL;
    vm->used += size - old;
    vm->spent += size;
    if (vm->spent > SPEND_LOOK && vm->running)
        hook_each(vm->running, 1);
    return p;
}

static int panic(lua_State *L) {
    log_die("script", "error outside of a protected call: %s", lua_tostring(L, -1));
}

static void slice_begin(vm_t *vm, lua_State *running) {
    vm->killed = NULL;
    vm->started_ns = 0;
    vm->spent = 0;
    vm->running = running;
}

/* The main state lives on after a kill: its hook goes back to the usual count. */
static int slice_end(vm_t *vm, int status) {
    vm->running = NULL;
    if (status == LUA_ERRMEM)
        vm_kill(vm, "out of memory");
    if (vm->killed)
        hook_each(vm->L, VM_HOOK_COUNT);
    return status;
}

int vm_call(vm_t *vm, int args, int results) {
    slice_begin(vm, vm->L);
    return slice_end(vm, lua_pcall(vm->L, args, results, 0));
}

int vm_resume(vm_t *vm, lua_State *co, int args, int *results) {
    slice_begin(vm, co);
    return slice_end(vm, lua_resume(co, NULL, args, results));
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

/* Everything the sandbox is made of, in protected mode because memory may end. */
static int open_all(lua_State *L) {
    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 0);
    luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 0);
    luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 0);
    luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 0);
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
    return 0;
}

vm_t *vm_new(const vm_conf_t *conf, vm_find_t find, void *arg) {
    vm_t *vm = calloc(1, sizeof *vm);
    if (!vm)
        log_die("script", "no memory for a VM");
    vm->cap = conf->memory;
    vm->slice_ns = conf->slice_ms * 1000000ull;
    vm->find = find;
    vm->find_arg = arg;
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L) {
        free(vm);
        return NULL;
    }
    *(vm_t **)lua_getextraspace(vm->L) = vm;
    lua_atpanic(vm->L, panic);
    hook_each(vm->L, VM_HOOK_COUNT);
    lua_pushcfunction(vm->L, open_all);
    if (vm_call(vm, 0, 0) != LUA_OK) {
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
