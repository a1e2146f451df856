/* wait: how a C function given to scripts reaches the world: which actor runs it, how it starts a
 * request and yields until the answer is there, how it fails. For the API in this directory and for
 * the functions of the actors floor (script_function_t). All calls are made inside a C function
 * that a script called; they may raise Lua errors.
 *
 *     static int take(lua_State *L, const msg_t *reply, int64_t arg);   // pushes results, gives
 * their number static int changed(lua_State *L) { int64_t id = luaL_checkinteger(L, 1);
 *         script_wait_t w = script_wait(L);
 *         actor_request_key(w.self, KIND_CONVERSATION, id, msg_new(VERB_CHANGED, 0), w.timeout_ms,
 * w.reply_verb, w.cookie); return script_yield(L, take, id);
 *     }
 */
#pragma once
#include "base/stat.h"
#include "sched/actor.h"
#include <lauxlib.h>
#include <lua.h>

typedef struct script_wait {
    actor_t *self;
    uint32_t timeout_ms, reply_verb;
    uint64_t cookie;
} script_wait_t;

/* The actor that runs the script; raises where there is none (a file's top level, init, a policy).
 */
actor_t *script_self(lua_State *L);
/* Right after script_self or script_wait: this call changes nothing. A version that is tried and
 * fails is then replaced by the one that serves, unless it has changed something before. */
void script_reads(lua_State *L);
/* For one request to be started right after; raises where no wait is possible (as above; inside
 * sort, gsub). A reply that comes after the handler's deadline is dropped. */
script_wait_t script_wait(lua_State *L);
/* Ends the C function: it goes on in `take` with the reply (borrowed), whose results are the
 * function's. */
typedef int (*script_take_t)(lua_State *L, const msg_t *reply, int64_t arg);
int script_yield(lua_State *L, script_take_t take, int64_t arg);

/* So much of something the state of this shard holds now: the gauge is the sum over the shards. One
 * gauge a service. What a shard has said ends when its state is lost in a crash. */
void script_gauge(lua_State *L, enum stat_id gauge, int64_t now);

/* Raises what fail(code, text) raises; text NULL: the code's own. */
int script_fail(lua_State *L, int err, const char *text);
/* For takes: raises busy, timeout or internal unless the reply is ERR_OK. */
void script_check(lua_State *L, const msg_t *reply);
/* A value of the script as JSON: the bytes stay until the next such call of this script. */
slice_t script_json(lua_State *L, int index);
/* Pushes the value of a JSON text; raises when it is none. */
void script_push(lua_State *L, slice_t json);
