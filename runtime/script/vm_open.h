/* vm_open: the parts vm.c is made of: what the VM's struct holds and the libraries it opens.
 * Internal to vm*.c. */
#pragma once
#include "script/vm.h"

#define VM_HOOK_COUNT 2000 /* instructions between looks at the clock */

struct vm {
    lua_State *L;
    size_t used, cap;
    size_t spent;        /* bytes of work since the clock was read */
    uint64_t started_ns; /* of this slice, set at its first look at the clock; 0 = not yet */
    uint64_t slice_ns;
    const char *killed;
    lua_State *running;
    const void *list_mark;
    vm_find_t find;
    void *find_arg, *host;
};

/* Keys of the registry, by address. */
extern const char vm_key_api, vm_key_env, vm_key_list, vm_key_loaded;

/* Marks the slice as killed; every error from here on passes through pcall. */
void vm_kill(vm_t *vm, const char *why);
/* Push the tables of functions that scripts get. */
void vm_open_base(lua_State *L);
void vm_open_string(lua_State *L);
void vm_open_table(lua_State *L);
/* The function behind `require`. */
int vm_require(lua_State *L);
