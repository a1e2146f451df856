/* api_call: call, send, after and cancel of scripts: services that speak with each other, and with
 * themselves later. Only JSON crosses, so a service may live in any thread (later: on any node). */
#include "base/err.h"
#include "script/shadow.h"
#include <stdio.h>

static const char *check_verb(lua_State *L, int arg) {
    size_t len;
    const char *verb = luaL_checklstring(L, arg, &len);
    luaL_argcheck(L, len > 0 && len < SCRIPT_NAME, arg, "no verb");
    return verb;
}

static const service_t *check_service(lua_State *L, int arg) {
    const script_t *s = host_of(L)->script;
    int i = script_service(s, luaL_checkstring(L, arg));
    if (i < 0)
        luaL_error(L, "there is no service '%s'", lua_tostring(L, arg));
    return &s->services[i];
}

/* The value at index as counted bytes; nil: none. */
static block_t *take_json(lua_State *L, int index) {
    if (lua_isnoneornil(L, index))
        return NULL;
    slice_t s = script_json(L, index);
    return block_of(s.at, s.len);
}

/* service, verb, key, req at 1 to 4 */
static msg_t *make_call(lua_State *L) {
    const char *verb = check_verb(L, 2);
    lua_Integer key = luaL_checkinteger(L, 3);
    block_t *json = take_json(L, 4);
    shard_call_t c = {.key = (uint64_t)key, .nested = true};
    snprintf(c.verb, sizeof c.verb, "%s", verb);
    msg_t *m = msg_of(SHARD_CALL, &c, sizeof c);
    m->body = json;
    return m;
}

/* The callee's failure goes on as if it were raised here: {"error","code",...} in the body. */
static int raise_callee(lua_State *L, const msg_t *reply) {
    lua_settop(L, 0);
    if (reply->body &&
        codec_decode(host_of(L)->codec, L, (slice_t){reply->body->data, reply->body->len}) &&
        lua_istable(L, 1) && lua_getfield(L, 1, "error") == LUA_TSTRING) {
        lua_pushnil(L);
        lua_setfield(L, 1, "error");
        lua_pushnil(L);
        lua_setfield(L, 1, "code");
        api_fail_push(L, reply->err, lua_tostring(L, 2), 1);
        if (host_of(L)->record)
            record_raises(L, host_of(L)->record);
        return lua_error(L);
    }
    return script_fail(L, reply->err, NULL);
}

static int take_call(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err != ERR_OK)
        return raise_callee(L, reply);
    script_push(L, reply->body ? (slice_t){reply->body->data, reply->body->len} : SLICE("null"));
    return 1;
}

/* call(service, verb, key, req) -> value */
static int api_call(lua_State *L) {
    const service_t *to = check_service(L, 1);
    const host_t *h = host_of(L);
    script_wait_t w = script_wait(L);
    if (to == shard_service(h->shard) && (uint64_t)luaL_checkinteger(L, 3) == task_key(h->task))
        return luaL_error(L, "call to the own key would wait for itself");
    msg_t *m = make_call(L);
    actor_request(w.self, service_shard(to, msg_data(m, shard_call_t)->key), m, w.timeout_ms,
                  w.reply_verb, w.cookie);
    return script_yield(L, take_call, 0);
}

/* send(service, verb, key, req): nobody waits; raises busy when the receiver is full. */
static int api_send(lua_State *L) {
    const service_t *to = check_service(L, 1);
    actor_t *self = script_self(L);
    msg_t *m = make_call(L);
    int err = actor_send(self, service_shard(to, msg_data(m, shard_call_t)->key), m);
    return err == ERR_OK ? 0 : script_fail(L, err, NULL);
}

/* after(ms, verb, req) -> id */
static int api_after(lua_State *L) {
    const host_t *h = host_of(L);
    actor_t *self = script_self(L);
    lua_Integer ms = luaL_checkinteger(L, 1);
    const char *verb = check_verb(L, 2);
    luaL_argcheck(L, ms >= 0, 1, "a time in ms is expected");
    uint64_t id =
        shard_after(h->shard, self, (uint64_t)ms, verb, task_key(h->task), take_json(L, 3));
    if (id == 0)
        return script_fail(L, ERR_BUSY, NULL);
    lua_pushinteger(L, (lua_Integer)id);
    return 1;
}

/* cancel(id) -> was it still to come */
static int api_cancel(lua_State *L) {
    const host_t *h = host_of(L);
    actor_t *self = script_self(L);
    lua_pushboolean(L, shard_cancel(h->shard, self, (uint64_t)luaL_checkinteger(L, 1)));
    return 1;
}

void api_call_define(lua_State *L) {
    lua_pushcfunction(L, api_call);
    vm_define(L, NULL, "call");
    lua_pushcfunction(L, api_send);
    vm_define(L, NULL, "send");
    lua_pushcfunction(L, api_after);
    vm_define(L, NULL, "after");
    lua_pushcfunction(L, api_cancel);
    vm_define(L, NULL, "cancel");
}
