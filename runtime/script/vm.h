/* vm: one sandboxed Lua state: capped memory, bounded slices, only the safe part of the standard
 * library, frozen globals, files only from the sources it was given. Internal to script. One thread
 * at a time.
 *
 * A slice is one entry from C (vm_call, vm_resume). No hook is set while it runs: the watchdog
 * (sched/watchdog.h) interrupts the thread when its slice is long, and only then a hook looks, at
 * the next instruction. A handler that may yield is *preempted* there: vm_resume comes back, and
 * vm_again goes on where it stopped. It is killed when its parts together ran longer than slice_ms,
 * when one part ran longer than hold_ms where it could not be preempted while others wait behind
 * this thread, or when memory ends; no pcall of a script holds that error. Time is the thread's CPU
 * time: a guard of the thread, not product time. A logical clock would never end a loop, and on a
 * machine that is busy with other things a script is not to blame. */
#pragma once
#include "base/slice.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

typedef struct vm vm_t;

typedef struct vm_conf {
    size_t memory;     /* bytes the scripts may hold */
    uint32_t slice_ms; /* longest run without a wait */
    uint32_t hold_ms;  /* where it cannot be preempted; 0 = slice_ms */
    bool preempt;      /* vm_resume may come back preempted, where others wait behind the thread */
} vm_conf_t;

/* Where require looks: path without lua/ and .lua ("lib/check"); false = there is none. */
typedef bool (*vm_find_t)(void *arg, slice_t name, slice_t *text);

/* NULL when even the standard library does not fit into the memory given. */
vm_t *vm_new(const vm_conf_t *conf, vm_find_t find, void *arg);
void vm_free(vm_t *vm);

lua_State *vm_lua(const vm_t *vm); /* the main state; coroutines are made from it */
vm_t *vm_of(lua_State *L);
/* One pointer for the API functions: who runs this VM. */
void vm_host_set(vm_t *vm, void *host);
void *vm_host(lua_State *L);

/* The value on top becomes module.name (module NULL: global) for scripts; pops it. Before vm_seal.
 * May raise: call it inside vm_call. */
void vm_define(lua_State *L, const char *module, const char *name);
/* Pushes the table of a module, nil if there is none. Before vm_seal. */
void vm_module(lua_State *L, const char *module);
/* Calls f for each name of a module, whatever f defines meanwhile: f(L, module, name). More than
 * VM_NAMES are an error. Before vm_seal. */
#define VM_NAMES 64
void vm_each_name(lua_State *L, const char *module,
                  void (*f)(lua_State *L, const char *module, const char *name));
/* Files that were required are forgotten: the next require reads them again. */
void vm_forget(lua_State *L);
/* Freezes globals and modules; after it files may be loaded. Inside vm_call. */
void vm_seal(lua_State *L);
/* Pushes the compiled file as a function with the frozen globals; raises its syntax error. Inside
 * vm_call. */
void vm_load(lua_State *L, const char *chunk_name, slice_t text);

/* lua_pcall and lua_resume as one bounded slice. LUA_OK, LUA_YIELD or an error with its value on
 * top. */
int vm_call(vm_t *vm, int args, int results);
int vm_resume(vm_t *vm, lua_State *co, int args, int *results);
/* LUA_YIELD came back because the slice was long, not from a wait: nothing else may run in this VM
 * but vm_again, which goes on with the same account. */
bool vm_preempted(const vm_t *vm);
int vm_again(vm_t *vm, lua_State *co, int *results);
/* The line at which the last slice was interrupted or killed, "lua/group.lua:12"; "" when it was
 * not. */
const char *vm_where(const vm_t *vm);
/* Why the last slice was killed: text, or NULL when it was not. */
const char *vm_killed(const vm_t *vm);
bool vm_killed_by_memory(const vm_t *vm);

/* C functions that do much work without instructions call this in between: a flag is read, and
 * only when the watchdog has come the clock. May raise. */
void vm_check(lua_State *L);
/* The same for those that can go on later. true: yield at once, by lua_yieldk without values. */
bool vm_pause(lua_State *L);
/* The mark of arrays (json.list): marks the table at index, asks for it. */
void vm_list_mark(lua_State *L, int index);
bool vm_list_is(lua_State *L, int index);

size_t vm_memory(const vm_t *vm);
