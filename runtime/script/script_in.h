/* script_in: the structs that the files of script share. Nobody else includes it. */
#pragma once
#include "script/codec.h"
#include "script/history.h"
#include "script/script.h"
#include "script/version.h"
#include "script/vm.h"
#include "script/wait.h"
#include <stdatomic.h>

#define SCRIPT_NAME     48 /* longest name of a service or verb, with its end */
#define SCRIPT_SERVICES 64
#define SCRIPT_SHARDS   64
#define SCRIPT_POLICIES 256 /* of all services */
#define POLICIES_EACH   32  /* of one */
#define SCRIPT_IDLE     32  /* finished coroutines kept for the next request, per VM */
#define SCRIPT_EVERY    32  /* timers, and concurrent verbs, of a service */

typedef struct shard shard_t;
typedef struct task task_t;
typedef struct record record_t; /* shadow.h */

/* Who runs a VM now: what its API functions need. */
typedef struct host {
    script_t *script;
    codec_t *codec;
    version_t *version;
    const char *service;  /* for the log */
    uint64_t log_full_ns; /* bucket of its log lines (limits.script_log) */
    uint32_t log_dropped; /* since the last one that was written */
    bool stub;            /* a spec or a shadow runs: nothing reaches the world (api_stub.c) */
    shard_t *shard;       /* NULL in policy VMs */
    actor_t *self;        /* NULL outside of a handler */
    task_t *task;         /* NULL where nothing can wait */
    record_t *record;     /* of the task; NULL: not recorded */
    store_batch_t batch;  /* being filled by store.batch: owned here, so that an error of the script
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

/* A finished coroutine, kept for the next request, and its anchor in the registry. */
typedef struct idle {
    lua_State *co;
    int ref;
} idle_t;

/* One version of a service in one VM. */
typedef struct program {
    vm_t *vm;
    host_t host;
    int on_ref, state_ref, upgrade_ref; /* in the registry; LUA_NOREF: none */
    uint32_t every_count, concurrent_count, patient_count;
    every_t *every; /* at most SCRIPT_EVERY, as the next two */
    char (*concurrent)[SCRIPT_NAME], (*patient)[SCRIPT_NAME];
    idle_t *idle; /* at most SCRIPT_IDLE */
    uint32_t idle_count, idle_cap;
    uint32_t tasks;       /* coroutines under way */
    struct program *next; /* older versions of the shard that still have some */
} program_t;

typedef struct policy_vm policy_vm_t;
typedef struct policy_slot policy_slot_t;

/* What workers look at to feed a shadow: shadow.h. */
typedef struct shadow_gate {
    _Atomic uint32_t number;  /* of the version in shadow; 0: none */
    _Atomic uint32_t waiting; /* records that are made or wait */
    _Atomic uint64_t skipped; /* requests and policies that were not looked at */
} shadow_gate_t;

typedef struct service {
    char name[SCRIPT_NAME];
    uint32_t shards;
    actor_ref_t refs[SCRIPT_SHARDS];
    shadow_gate_t gate;
    policy_slot_t *slots; /* one a worker; NULL: it has no policies */
    uint32_t policy_count;
    /* after the start only the reloader's thread looks at these */
    version_t *current;
    version_t *held; /* was rolled back: not loaded again until its files change; or NULL */
    history_t *history;
} service_t;

struct script_policy {
    script_t *script;
    uint32_t service, index; /* index: among those of its service */
    char name[SCRIPT_NAME];
};

struct script {
    struct shard_arg *shard_args; /* of all shards, by service and number: they outlive each life */
    runtime_t *rt;
    const conf_t *conf;
    script_ports_t ports;
    const script_function_t *functions; /* a copy */
    size_t function_count;
    vm_conf_t vm_conf;
    uint32_t shards, timeout_ms, max_queue, max_timers, max_json, shadow_rate;
    conf_rate_t log_rate;
    uint32_t service_count;
    service_t services[SCRIPT_SERVICES];
    uint32_t workers;
    uint32_t policy_count;
    script_policy_t policies[SCRIPT_POLICIES];
    char history_dir[512]; /* data.dir/scripts; "": the history is in memory only */
    actor_ref_t reloader;
    actor_ref_t shadow; /* set once, by the reloader, before a gate opens */
};

/* --- messages of a shard --- */
enum {
    SHARD_CALL = MSG_USER, /* shard_call_t, body = JSON of req; a request, or not (send) */
    SHARD_REPLY,           /* what a coroutine waits for: cookie names it */
    SHARD_AFTER,           /* a timer of a script */
    SHARD_EVERY,
    SHARD_TICK, /* deadlines */
    SHARD_RUN,  /* to itself: the rest of the ready tasks */
    SHARD_SWAP, /* request by the reloader: shard_swap_t */
    SHARD_TRY   /* request by the reloader: shard_try_t */
};
typedef struct shard_call {
    uint64_t key;
    char verb[SCRIPT_NAME];
    bool nested; /* from a script that is itself under way: not held up by a reload */
} shard_call_t;
typedef struct shard_swap {
    program_t *program; /* taken by the shard when it sets this to NULL */
    bool back; /* an older version comes back: its upgrade may fail, it serves all the same */
} shard_swap_t;
typedef struct shard_try {
    program_t *program; /* as above; NULL: no version is tried any more */
    uint32_t share;     /* of 10,000 keys */
} shard_try_t;
typedef struct shard_arg {
    script_t *script;
    uint32_t service, number;
    program_t *program; /* for the first life; then NULL */
    version_t *version; /* after a crash: what it ran, for the next life */
    _Atomic bool order; /* the reloader's: one for this shard is under way, so it begins nothing */
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
program_t *program_new(script_t *s, version_t *version, uint32_t shard, char *fault, size_t room);
void program_free(program_t *p);
/* A fresh or kept coroutine; NULL: no memory. It goes back by program_done. */
lua_State *program_coroutine(program_t *p, int *ref);
void program_done(program_t *p, lua_State *co, int ref, bool reusable);
bool program_is_concurrent(const program_t *p, const char *verb);
bool program_is_patient(const program_t *p, const char *verb);
/* Carries the state of `from` over into `to` by its upgrade. false with a line in fault: both are
 * as before. back: it always succeeds: what upgrade refuses is taken as it is, and a state that
 * cannot be taken at all is left for what init gave (fault says so, else it is empty). */
bool program_carry(program_t *from, program_t *to, bool back, char *fault, size_t room);
/* Its state, packed by that codec; false: it is too large, or no plain data. In the owner's thread,
 * outside of a slice. */
bool program_pack(program_t *p, codec_t *codec);
/* Its state is an empty table. */
bool program_stateless(program_t *p);
/* Opens a VM with the API for `host` (filled but for codec) whose requires are answered by find.
 * NULL with a line in fault. */
vm_t *program_vm(script_t *s, host_t *host, vm_find_t find, void *arg, char *fault, size_t room);
void host_close(host_t *host); /* what program_vm made beside the VM */

/* --- the API; each defines its functions, inside vm_call --- */
void api_base_define(lua_State *L);
void api_conf_define(lua_State *L);
int api_conf_get(lua_State *L); /* conf itself, for lua/test/run.lua */
void api_store_define(lua_State *L);
void api_ports_define(lua_State *L);
void api_call_define(lua_State *L);
void api_post_define(lua_State *L);
/* Pushes a fail object; the extra members are the table at `extra` (0: none). */
void api_fail_push(lua_State *L, int err, const char *text, int extra);
/* The value at index is a fail object: gives its code; pushes nothing. ERR_OK: it is none. */
int api_fail_code(lua_State *L, int index);

extern const char *const api_world_modules[], *const api_world_globals[]; /* end with NULL */
/* Replaces what reaches the world by a question to the function that api_stub_answer was given, as
 * f(name, ...): "store.run". In a host with stub set; before vm_seal. */
void api_stub_define(lua_State *L);
/* The function on top answers from now on; pops it. */
void api_stub_answer(lua_State *L);

/* --- policy.c --- */
/* All services' policies at the start, which also makes the handles; their versions are current. */
bool policies_open(script_t *s, char *fault, size_t room);
void policies_close(script_t *s);
/* The policies of one version for all workers, or for the one that tries it: NULL with a line in
 * fault when they do not load or a handle would lose its function. Made in the reloader's thread.
 */
typedef struct policy_set policy_set_t;
policy_set_t *policies_make(script_t *s, version_t *v, bool trial, char *fault, size_t room);
void policies_free(policy_set_t *set); /* NULL is fine */
/* Hands them to the workers, each of which takes its own at its next call. Take the set. */
void policies_put(script_t *s, uint32_t service, policy_set_t *set);
void policies_try(script_t *s, uint32_t service, policy_set_t *set); /* the first worker only */
void policies_end_trial(script_t *s, uint32_t service);
/* What a policy gave, on top: integer, boolean, nothing (0), or the name of an error code, which
 * becomes that code. false: something else. */
bool policy_result(lua_State *L, int64_t *out);
/* Calls are measured from now on, or not any more. */
void policies_watch(script_t *s, uint32_t service, bool on);
/* Calls are handed to the shadow, too, or not any more. */
void policies_shadow(script_t *s, uint32_t service, bool on);

/* --- spec_run.c --- */
/* A test that failed, as one line. */
typedef void (*spec_say_t)(void *arg, const char *line);
typedef struct spec_sum {
    uint32_t run, failed;
} spec_sum_t;
/* Runs the specs of a version: that of its file and those of the parts of lib/ that it has used.
 * In VMs of their own, with presets for conf and nothing behind the API. Any thread. */
spec_sum_t spec_run(const script_t *s, version_t *v, spec_say_t say, void *arg);
/* In a stub host, protected: push what lua/test/run.lua returns, and the functions it is given. */
void spec_driver_push(lua_State *L);
void spec_native_push(lua_State *L);

/* --- reload.c --- */
bool reload_open(script_t *s);
/* Lets the reloader's thread close an old program; a worker would stall. */
void reload_dispose(script_t *s, actor_t *self, program_t *p);
