/* script: Lua as an actor class. A service is one file of lua/ (returns {name, version, init, on,
 * every, concurrent, upgrade, policy}); it runs in `script.shards` shard actors per service, each a
 * VM with capped memory; the key of a request picks the shard. Handlers run as coroutines:
 * store.run, call, sleep and the other waits yield. Requests of one key are handled one after the
 * other, different keys of a shard interleave at waits; a `concurrent` verb is never queued. */
#pragma once
#include "base/conf.h"
#include "port/crypt.h"
#include "port/kv.h"
#include "port/post.h"
#include "port/store.h"
#include "port/stream.h"
#include "sched/runtime.h"

typedef struct script script_t;

typedef struct script_ports {
    store_t *store;
    kv_t *kv;
    stream_t *stream;
    crypt_t *crypt;
    post_t *post; /* NULL: http.post is an error */
} script_ports_t;

/* Functions that C gives to scripts beyond the built-in API (tokens, pushes to users): registered
 * by the actors floor. */
typedef struct script_function {
    const char *module, *name; /* token.issue */
    void *lua_cfunction; /* lua_CFunction; upvalue 1 is a light userdata: arg; script/wait.h is for
                            these */
    void *arg;
} script_function_t;

/* Loads all services from script.dir (the built-in ones where it has none). NULL with file:line:
 * text in fault. Before runtime_start. */
script_t *script_open(runtime_t *rt, const conf_t *conf, const script_ports_t *ports,
                      const script_function_t *functions, size_t count, char *fault, size_t room);
void script_close(script_t *s); /* after runtime_stop */

/* The number of a service, -1 if there is none. */
int script_service(const script_t *s, const char *name);
/* A call to on[verb] of the service: key picks the shard and the queue. `json` is what `req`
 * becomes (taken: one run of JSON bytes); the reply (reply_verb, cookie) has err and, in body,
 * JSON: the value returned on success ("null" for none); on an error
 * {"error":text,"code":symbol,...} as it goes to the client (script raised fail(code, text,
 * extra)). */
void script_call(script_t *s, actor_t *self, int service, const char *verb, uint64_t key,
                 block_t *json, uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie);

/* The same without an answer. ERR_OK, ERR_FULL, ERR_GONE. */
int script_tell(script_t *s, actor_t *self, int service, const char *verb, uint64_t key,
                block_t *json);

/* A policy function in place, in the caller's worker: integers in, *out is the integer it returns,
 * 1 or 0 for a boolean, 0 for nothing, or the (negative) code whose name it returns: "muted" gives
 * ERR_MUTED. ERR_OK; ERR_INTERNAL when the script failed (logged, counted): the caller refuses.
 * About a tenth of a microsecond. Free and pinned actors only. `name` is "recall.recall_allowed".
 * Handles are looked up once and stay valid over reloads. */
typedef struct script_policy script_policy_t;
script_policy_t *script_policy(script_t *s, const char *name); /* NULL: no such function */
int script_policy_run(script_policy_t *p, actor_t *self, const int64_t *args, size_t count,
                      int64_t *out);
/* The same with a text behind the integers: the rules see bytes, whatever they are. About a quarter
 * of a microsecond and what the rule does. */
int script_policy_judge(script_policy_t *p, actor_t *self, const int64_t *args, size_t count,
                        const slice_t *text, int64_t *out);
/* A service may say `false` for a policy: it is off, and running it gives 0. */
bool script_policy_on(script_policy_t *p, actor_t *self);

/* Reads script.dir again: as script_order SCRIPT_RELOAD by "signal", without an answer. Any thread.
 */
void script_reload(script_t *s);

/* Loads and specs without a node: every service of script.dir (or the built-in ones) is compiled,
 * initialised and put through the specs beside it. say: one line a fault. Gives the number of
 * faults; *tests: how many tests ran. functions: their names count only. */
uint32_t script_verify(const conf_t *conf, const script_function_t *functions, size_t count,
                       void (*say)(void *arg, const char *line), void *arg, uint32_t *tests);

/* What an operator may order. One order is carried out after the other, in a thread of its own; the
 * reply (reply_verb, cookie) has err and JSON in its body: what is said below, or
 * {"error":text}. A version that does not compile, whose init or whose specs fail, or whose
 * `upgrade` refuses the state of one shard, never serves: the order to load it succeeds and says
 * "refused" with the reason. */
typedef enum script_op {
    SCRIPT_LIST, /* the services: [{service, number, version, hash, since_ms, by, policies, canary,
                    shadow}]; shadow: {number, since_ms} or null */
    SCRIPT_RELOAD,  /* reads script.dir; the services (or the one named) whose files changed are
                       replaced, or tried first (script.canary): [{service, number, result, reason}],
                       result: serves, tried, refused, new (a service that the node does not
                       run: it starts with the node; number 0) */
    SCRIPT_CANARY,  /* tries the files of script.dir: on shard `shard` (1 ..), or on `share` percent
                       of  the keys (both 0: 10 percent). By keys only when the service keeps no
                       state;  with policies the first worker tries them, in either case. Promoted or
                       rolled  back by itself as script.canary_* say */
    SCRIPT_PROMOTE, /* what is tried serves */
    SCRIPT_ABORT,   /* what is tried goes */
    SCRIPT_ROLLBACK, /* version `a` (0: the one that served before) serves again; what is in
                        script.dir is not loaded again until its files change */
    SCRIPT_HISTORY, /* [{number, version, hash, state, came_ms, came_by, at_ms, by, reason, files}],
                       newest first */
    SCRIPT_DIFF, /* {a, b, diff}: unified diff from version `a` to `b`; b 0: what serves, a 0: the
                    one before b; -1: what is in script.dir */
    SCRIPT_SHADOW_ON,  /* runs the files of script.dir beside what serves, without effect:
                          [{service, number, result, reason}], result: shadow, refused */
    SCRIPT_SHADOW_OFF, /* as above, result: ended */
    SCRIPT_SHADOW_SHOW /* {service, number, since_ms, seen, same, differed, failed, not_looked_at,
                          differences: [{at_ms, of, verb, key, what, live, shadow, fresh_state}]},
                          the last 32, newest first; secrets are masked */
} script_op_t;
#define SCRIPT_WHO 64
typedef struct script_order {
    script_op_t op;
    char service[48];     /* "": all, where that makes sense */
    char who[SCRIPT_WHO]; /* for the history: a user of the console */
    int64_t a, b, shard, share;
} script_order_t;
/* Any actor. ERR_BUSY: too many orders wait; ERR_TIMEOUT: it was not begun in time, or, where who
 * asks gave it less time than it takes, is being carried out; ERR_NOT_FOUND: no such service or
 * version;
 * ERR_BAD_REQUEST; ERR_INTERNAL: it was tried, the text says why it failed. */
void script_order(script_t *s, actor_t *self, const script_order_t *o, uint32_t timeout_ms,
                  uint32_t reply_verb, uint64_t cookie);

/* API of scripts: see lua/API.md (made from one place with the code). */
