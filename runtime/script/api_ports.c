/* api_ports: kv, stream and crypt of scripts: each call is one request to a port and a wait. */
#include "base/err.h"
#include "script/script_in.h"

#define KV_KEY_MAX   512
#define KV_VALUE_MAX (64 * 1024)
#define PASSWORD_MAX 1024

static const script_ports_t *ports(lua_State *L) {
    return &host_of(L)->script->ports;
}

static slice_t bounded(lua_State *L, int arg, size_t most) {
    slice_t s;
    s.at = luaL_checklstring(L, arg, &s.len);
    luaL_argcheck(L, s.len <= most, arg, "too long");
    return s;
}

static slice_t body_of(const msg_t *reply) {
    return reply->body ? (slice_t){reply->body->data, reply->body->len} : (slice_t){"", 0};
}

static int take_nothing(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    script_check(L, reply);
    return 0;
}

/* --- kv --- */
static kv_t *kv_of(lua_State *L) {
    if (!ports(L)->kv)
        luaL_error(L, "this node has no kv");
    return ports(L)->kv;
}

static int64_t check_life(lua_State *L, int arg) {
    lua_Integer ms = luaL_optinteger(L, arg, 0);
    luaL_argcheck(L, ms >= 0, arg, "a life in ms is expected");
    return ms;
}

static int take_get(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    script_check(L, reply);
    if (reply->body)
        lua_pushlstring(L, reply->body->data, reply->body->len);
    else
        lua_pushnil(L);
    return 1;
}

static int api_get(lua_State *L) {
    kv_t *kv = kv_of(L);
    slice_t key = bounded(L, 1, KV_KEY_MAX);
    script_wait_t w = script_wait(L);
    script_reads(L);
    kv_get(kv, w.self, key, w.reply_verb, w.cookie);
    return script_yield(L, take_get, 0);
}

static int take_set(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err != ERR_EXISTS)
        script_check(L, reply);
    lua_pushboolean(L, reply->err == ERR_OK);
    return 1;
}

/* kv.set(key, text, life_ms, only_new) -> was it stored */
static int api_set(lua_State *L) {
    kv_t *kv = kv_of(L);
    slice_t key = bounded(L, 1, KV_KEY_MAX), value = bounded(L, 2, KV_VALUE_MAX);
    uint64_t life = (uint64_t)check_life(L, 3);
    script_wait_t w = script_wait(L);
    kv_set(kv, w.self, key, value, life, lua_toboolean(L, 4), w.reply_verb, w.cookie);
    return script_yield(L, take_set, 0);
}

static int take_incr(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    script_check(L, reply);
    slice_t s = body_of(reply);
    lua_pushlstring(L, s.at, s.len);
    lua_Integer n = lua_tointeger(L, -1); /* decimal text */
    lua_pushinteger(L, n);
    return 1;
}

static int api_incr(lua_State *L) {
    kv_t *kv = kv_of(L);
    slice_t key = bounded(L, 1, KV_KEY_MAX);
    lua_Integer by = luaL_optinteger(L, 2, 1);
    uint64_t life = (uint64_t)check_life(L, 3);
    script_wait_t w = script_wait(L);
    kv_incr(kv, w.self, key, by, life, w.reply_verb, w.cookie);
    return script_yield(L, take_incr, 0);
}

static int api_del(lua_State *L) {
    kv_t *kv = kv_of(L);
    slice_t key = bounded(L, 1, KV_KEY_MAX);
    script_wait_t w = script_wait(L);
    kv_del(kv, w.self, key, w.reply_verb, w.cookie);
    return script_yield(L, take_nothing, 0);
}

/* --- stream.append(topic, key, value) --- */
static int api_append(lua_State *L) {
    if (!ports(L)->stream)
        return luaL_error(L, "this node has no stream");
    slice_t topic = bounded(L, 1, KV_KEY_MAX);
    lua_Integer key = luaL_checkinteger(L, 2);
    luaL_checkany(L, 3);
    script_wait_t w = script_wait(L);
    slice_t event = script_json(L, 3);
    stream_append(ports(L)->stream, w.self, topic, (uint64_t)key, event, w.reply_verb, w.cookie);
    return script_yield(L, take_nothing, 0);
}

/* --- crypt --- */
static crypt_t *crypt_of(lua_State *L) {
    if (!ports(L)->crypt)
        luaL_error(L, "this node has no crypt");
    return ports(L)->crypt;
}

static int take_hash(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    script_check(L, reply);
    slice_t s = body_of(reply);
    lua_pushlstring(L, s.at, s.len);
    return 1;
}

static int api_hash(lua_State *L) {
    crypt_t *crypt = crypt_of(L);
    slice_t password = bounded(L, 1, PASSWORD_MAX);
    script_wait_t w = script_wait(L);
    script_reads(L);
    crypt_hash(crypt, w.self, password, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, take_hash, 0);
}

static int take_verify(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err != ERR_INVALID_CREDENTIALS)
        script_check(L, reply);
    lua_pushboolean(L, reply->err == ERR_OK);
    return 1;
}

static int api_verify(lua_State *L) {
    crypt_t *crypt = crypt_of(L);
    slice_t password = bounded(L, 1, PASSWORD_MAX), hash = bounded(L, 2, PASSWORD_MAX);
    script_wait_t w = script_wait(L);
    script_reads(L);
    crypt_verify(crypt, w.self, password, hash, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, take_verify, 0);
}

void api_ports_define(lua_State *L) {
    static const struct {
        const char *module, *name;
        lua_CFunction f;
    } all[] = {{"kv", "get", api_get},           {"kv", "set", api_set},
               {"kv", "incr", api_incr},         {"kv", "del", api_del},
               {"stream", "append", api_append}, {"crypt", "hash", api_hash},
               {"crypt", "verify", api_verify}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        lua_pushcfunction(L, all[i].f);
        vm_define(L, all[i].module, all[i].name);
    }
}
