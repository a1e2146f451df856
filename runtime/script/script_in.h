/* script_in: the structs that the files of script share. Nobody else includes it. */
#pragma once
#include "script/codec.h"
#include "script/script.h"
#include "script/source.h"
#include "script/vm.h"
#include "script/wait.h"
#include <stdatomic.h>

#define SCRIPT_NAME     48 /* longest name of a service or verb, with its end */
#define SCRIPT_SERVICES 64
#define SCRIPT_SHARDS   64
#define SCRIPT_POLICIES 256
#define SCRIPT_IDLE     32 /* finished coroutines kept for the next request, per VM */
#define SCRIPT_EVERY    32 /* timers, and concurrent verbs, of a service */

typedef struct shard shard_t;
typedef struct task task_t;

/* Who runs a VM now: what its API functions need. */
typedef struct host {
    script_t *script;
    codec_t *codec;
    sources_t *sources;
    const char *service; /* for the log; "policy" in the policy VMs */
    shard_t *shard;      /* NULL in policy VMs */
    actor_t *self;       /* NULL outside of a handler */
    task_t *task;        /* NULL where nothing can wait */
    store_batch_t batch; /* being filled by store.batch: owned here, so that an error of the script
                            leaks nothing */
} host_t;
static inline host_t *host_of(lua_State *L) {
    return vm_host(L);
}

typedef struct every {
    uint32_t ms;
    bool each; /* on every shard; else on the first only */
    char verb[SCRIPT_NAME];
} every_t;

/* One version of a service in one VM. */
typedef struct program {
    vm_t *vm;
    host_t host;
    int on_ref, state_ref, upgrade_ref; /* in the registry; LUA_NOREF: none */
    int64_t version;
    uint32_t every_count, concurrent_count;
    every_t every[SCRIPT_EVERY];
    char concurrent[SCRIPT_EVERY][SCRIPT_NAME];
    lua_State *idle[SCRIPT_IDLE];
    int idle_ref[SCRIPT_IDLE];
    uint32_t idle_count;
    uint32_t tasks;       /* coroutines under way */
    struct program *next; /* older versions of the shard that still have some */
} program_t;

typedef struct service {
    char name[SCRIPT_NAME];
    uint32_t shards;
    actor_ref_t refs[SCRIPT_SHARDS];
    sources_t
        *current; /* of the running version; after the start only the reloader's thread looks */
} service_t;

struct script_policy {
    script_t *script;
    uint32_t index;
    char service[SCRIPT_NAME], name[SCRIPT_NAME];
};

/* The functions of all services' `policy` in one VM, for one worker. */
typedef struct policy_vm {
    vm_t *vm;
    host_t host;
    uint32_t count;
    int refs[SCRIPT_POLICIES]; /* by script_policy.index; LUA_NOREF: not there any more */
} policy_vm_t;

typedef struct policy_slot {
    _Alignas(64) policy_vm_t *now; /* the worker's own */
    _Atomic(policy_vm_t *)
        next; /* put by the reloader (release), taken by the worker at its next run (acquire) */
} policy_slot_t;

struct script {
    runtime_t *rt;
    const conf_t *conf;
    script_ports_t ports;
    const script_function_t *functions; /* a copy */
    size_t function_count;
    vm_conf_t vm_conf;
    uint32_t shards, timeout_ms, max_queue, max_timers, max_json;
    uint32_t service_count;
    service_t services[SCRIPT_SERVICES];
    uint32_t workers;
    policy_slot_t *slots; /* one a worker */
    uint32_t policy_count;
    script_policy_t policies[SCRIPT_POLICIES];
    actor_ref_t reloader;
};

/* --- messages of a shard --- */
enum {
    SHARD_CALL = MSG_USER, /* shard_call_t, body = JSON of req; a request, or not (send) */
    SHARD_REPLY,           /* what a coroutine waits for: cookie names it */
    SHARD_AFTER,           /* a timer of a script */
    SHARD_EVERY,
    SHARD_TICK, /* deadlines */
    SHARD_RUN,  /* to itself: the rest of the ready tasks */
    SHARD_SWAP  /* request by the reloader: shard_swap_t */
};
typedef struct shard_call {
    uint64_t key;
    char verb[SCRIPT_NAME];
    bool nested; /* from a script that is itself under way: not held up by a reload */
} shard_call_t;
typedef struct shard_swap {
    program_t *program; /* taken by the shard when it sets this to NULL */
} shard_swap_t;
typedef struct shard_arg {
    script_t *script;
    uint32_t service, number;
    program_t *program;
} shard_arg_t;
extern const actor_class_t shard_class;
/* The shard of a key. */
actor_ref_t service_shard(const service_t *s, uint64_t key);
/* In the shard's own actor, for api_call.c. Timer ids; 0 = too many. */
uint64_t shard_after(shard_t *s, actor_t *self, uint64_t ms, const char *verb, uint64_t key,
                     block_t *json);
bool shard_cancel(shard_t *s, actor_t *self, uint64_t id);
uint32_t shard_number(const shard_t *s);
const service_t *shard_service(const shard_t *s);
uint64_t task_key(const task_t *t);

/* --- program.c --- */
/* Compiles and initialises a service; NULL with a line in fault. Any thread: the VM belongs to the
 * caller. */
program_t *program_new(script_t *s, sources_t *sources, const char *service, uint32_t shard,
                       char *fault, size_t room);
void program_free(program_t *p);
/* A fresh or kept coroutine; NULL: no memory. It goes back by program_done. */
lua_State *program_coroutine(program_t *p, int *ref);
void program_done(program_t *p, lua_State *co, int ref, bool reusable);
bool program_is_concurrent(const program_t *p, const char *verb);
/* Carries the state of `from` over into `to` by its upgrade. false with a line in fault: both are
 * as before. */
bool program_carry(program_t *from, program_t *to, char *fault, size_t room);
/* Opens a VM with the API for `host` (filled but for codec). NULL with a line in fault. */
vm_t *program_vm(script_t *s, host_t *host, char *fault, size_t room);

/* --- the API; each defines its functions, inside vm_call --- */
void api_base_define(lua_State *L);
void api_conf_define(lua_State *L);
void api_store_define(lua_State *L);
void api_ports_define(lua_State *L);
void api_call_define(lua_State *L);
/* Pushes a fail object; the extra members are the table at `extra` (0: none). */
void api_fail_push(lua_State *L, int err, const char *text, int extra);
/* The value at index is a fail object: gives its code; pushes nothing. ERR_OK: it is none. */
int api_fail_code(lua_State *L, int index);

/* --- policy.c: each service's text is its current one, require reads from `sources` --- */
void policy_vm_free(policy_vm_t *p);
bool policies_open(script_t *s, sources_t *sources, char *fault, size_t room);
void policies_close(script_t *s);
/* Makes a VM for each worker and hands them over. */
bool policies_swap(script_t *s, sources_t *sources, char *fault, size_t room);

/* --- reload.c --- */
bool reload_open(script_t *s);
/* Lets the reloader's thread close an old program; a worker would stall. */
void reload_dispose(script_t *s, actor_t *self, program_t *p);
