/* vm_open: the parts vm.c is made of: what the VM's struct holds and the libraries it opens.
 * Internal to vm*.c. */
#pragma once
#include "script/vm.h"
#include <signal.h>

struct vm {
    lua_State *L;
    size_t used, cap;
    size_t limit; /* of used, in this slice */
    bool tight;   /* more than half of cap is used */
    size_t block; /* the largest single one: what one instruction may copy */
    uint64_t slice_ns, hold_ns;
    /* CPU time. The clock is a system call, so it is first read when the watchdog came: what a
     * slice ran before that is given to it. */
    uint64_t looked_ns; /* at the last look of this part; 0 = none yet */
    uint64_t spent_ns;  /* of this slice */
    uint64_t part_ns;   /* spent_ns at the first look of this part */
    bool preempt;       /* by conf */
    bool preemptible;   /* this slice */
    bool preempted;
    const char *killed;
    char where[80];
    lua_State *volatile running;
    volatile sig_atomic_t alarmed; /* by the signal handler: a look is due */
    volatile sig_atomic_t hooking; /* a hook is being set here: the handler does not */
    const void *list_mark;
    vm_find_t find;
    void *find_arg, *host;
};

/* Keys of the registry, by address. */
extern const char vm_key_api, vm_key_env, vm_key_list, vm_key_loaded;

extern const char vm_out_of_memory[];
/* Marks the slice as killed; every error from here on passes through pcall. */
void vm_kill(vm_t *vm, const char *why);
/* Push the tables of functions that scripts get. */
void vm_open_base(lua_State *L);
void vm_open_string(lua_State *L);
void vm_open_table(lua_State *L);
/* table.sort, of a table that has been checked. */
int vm_table_sort(lua_State *L);
/* The function behind `require`. */
int vm_require(lua_State *L);
