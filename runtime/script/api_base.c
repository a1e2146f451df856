/* api_base: fail, json, log, now, hash, random: what scripts may call that needs no wait.
 * lua/API.md documents it. */
#include "base/bucket.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "base/text.h"
#include "script/shadow.h"

static const char fail_key; /* of the metatable of fail objects, by address */

/* --- fail --- */
void api_fail_push(lua_State *L, int err, const char *text, int extra) {
    if (extra)
        extra = lua_absindex(L, extra);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, err_name(err));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, text ? text : err_text(err));
    lua_setfield(L, -2, "text");
    if (extra) {
        lua_pushvalue(L, extra);
        lua_setfield(L, -2, "extra");
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &fail_key);
    lua_setmetatable(L, -2);
}

int api_fail_code(lua_State *L, int index) {
    index = lua_absindex(L, index);
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return ERR_OK;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &fail_key);
    bool is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (!is)
        return ERR_OK;
    lua_getfield(L, index, "code");
    lua_getfield(L, index, "text");
    int err =
        lua_isstring(L, -1) && lua_isstring(L, -2) ? err_by_name(lua_tostring(L, -2)) : ERR_OK;
    lua_pop(L, 2);
    return err;
}

int script_fail(lua_State *L, int err, const char *text) {
    /* what only the inside knows leaves as what a client may see */
    if (err == ERR_FULL || err == ERR_AGAIN)
        err = ERR_BUSY;
    else if (err == ERR_GONE || err == ERR_IO || err == ERR_CLOSED || err >= 0)
        err = ERR_INTERNAL;
    api_fail_push(L, err, text, 0);
    if (host_of(L)->record)
        record_raises(L, host_of(L)->record);
    return lua_error(L);
}

void script_check(lua_State *L, const msg_t *reply) {
    if (reply->err == ERR_OK)
        return;
    bool known = reply->err == ERR_BUSY || reply->err == ERR_FULL || reply->err == ERR_AGAIN ||
                 reply->err == ERR_TIMEOUT;
    script_fail(L, known ? reply->err : ERR_INTERNAL, NULL);
}

/* fail(code, text, extra) */
static int base_fail(lua_State *L) {
    const char *code = luaL_checkstring(L, 1), *text = luaL_optstring(L, 2, NULL);
    int err = err_by_name(code);
    if (err == ERR_INTERNAL && strcmp(code, "internal") != 0)
        return luaL_error(L, "fail: no such code '%s'", code);
    if (!lua_isnoneornil(L, 3))
        luaL_checktype(L, 3, LUA_TTABLE);
    api_fail_push(L, err, text, lua_istable(L, 3) ? 3 : 0);
    return lua_error(L);
}

static int fail_tostring(lua_State *L) {
    lua_getfield(L, 1, "code");
    lua_getfield(L, 1, "text");
    const char *code = luaL_tolstring(L, -2, NULL), *text = luaL_tolstring(L, -2, NULL);
    lua_pushfstring(L, "%s: %s", code, text);
    return 1;
}

static void open_fail(lua_State *L) {
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, fail_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &fail_key);
}

/* --- json --- */
slice_t script_json(lua_State *L, int index) {
    return codec_encode(host_of(L)->codec, L, index);
}

void script_push(lua_State *L, slice_t json) {
    if (!codec_decode(host_of(L)->codec, L, json))
        luaL_error(L, "no valid JSON");
}

static int json_encode(lua_State *L) {
    luaL_checkany(L, 1);
    slice_t s = script_json(L, 1);
    lua_pushlstring(L, s.at, s.len);
    return 1;
}

/* json.decode(text) -> value, or nil and "invalid" */
static int json_decode(lua_State *L) {
    slice_t s;
    s.at = luaL_checklstring(L, 1, &s.len);
    if (codec_decode(host_of(L)->codec, L, s))
        return 1;
    lua_pushnil(L);
    lua_pushliteral(L, "invalid");
    return 2;
}

static int json_list(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_getmetatable(L, 1) && !vm_list_is(L, 1))
        return luaL_error(L, "json.list: the table has a metatable");
    lua_settop(L, 1);
    vm_list_mark(L, 1);
    return 1;
}

/* --- log: upvalue 1 is the level --- */

/* A script in a loop would fill the disk that messages are committed to. */
static bool may_log(host_t *h) {
    if (bucket_take(&h->log_full_ns, h->script->log_rate, clock_mono_ns()) == 0)
        return true;
    h->log_dropped++;
    stat_add(STAT_SCRIPT_LOG_DROPPED, 1);
    return false;
}

static void tell_dropped(host_t *h) {
    if (h->log_dropped == 0)
        return;
    log_warn("lua", "%s: lines left out, limits.script_log count=%u", h->service, h->log_dropped);
    h->log_dropped = 0;
}

static int base_log(lua_State *L) {
    char room[800];
    slice_t s;
    lua_settop(L, 1);
    if (!may_log(host_of(L)))
        return 0;
    tell_dropped(host_of(L));
    s.at = luaL_tolstring(L, 1, &s.len);
    log_write((log_level_t)lua_tointeger(L, lua_upvalueindex(1)), "lua", "%s: %s",
              host_of(L)->service, log_safe(s, room, sizeof room));
    return 0;
}

static int base_now(lua_State *L) {
    const host_t *h = host_of(L);
    const runtime_t *rt = h->script->rt; /* NULL: script_verify */
    lua_pushinteger(L, h->self ? actor_wall_ms(h->self)
                       : rt    ? runtime_wall_ms(rt)
                               : clock_wall_ms());
    return 1;
}

/* --- hash and random --- */
#define HASH_MAX (1024 * 1024) /* bytes; about 4 ms that nothing can interrupt */

static int hash_sha256(lua_State *L) {
    static const char digits[] = "0123456789abcdef";
    uint8_t sum[32];
    char hex[64];
    slice_t s;
    s.at = luaL_checklstring(L, 1, &s.len);
    luaL_argcheck(L, s.len <= HASH_MAX, 1, "at most 1 MiB");
    crypt_sha256(s, sum);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digits[sum[i] >> 4];
        hex[2 * i + 1] = digits[sum[i] & 15];
    }
    lua_pushlstring(L, hex, sizeof hex);
    return 1;
}

static int random_bytes(lua_State *L) {
    lua_Integer n = luaL_checkinteger(L, 1);
    uint8_t bytes[256];
    buf_t b = {0};
    luaL_argcheck(L, n >= 1 && n <= (lua_Integer)sizeof bytes, 1, "1 to 256 bytes");
    crypt_random(bytes, (size_t)n);
    text_base64url_add(&b, bytes, (size_t)n);
    char text[352]; /* a copy, so that a memory error of the script leaks nothing */
    size_t len = b.len;
    memcpy(text, b.at, len);
    buf_free(&b);
    lua_pushlstring(L, text, len);
    return 1;
}

/* random.digits(n): secret random decimal digits, each equally likely. */
static int random_digits(lua_State *L) {
    lua_Integer n = luaL_checkinteger(L, 1);
    char text[32];
    luaL_argcheck(L, n >= 1 && n <= (lua_Integer)sizeof text, 1, "1 to 32 digits");
    for (lua_Integer i = 0; i < n;) {
        uint8_t byte;
        crypt_random(&byte, 1);
        if (byte < 250) /* 250 is 25 times 10 */
            text[i++] = (char)('0' + byte % 10);
    }
    lua_pushlstring(L, text, (size_t)n);
    return 1;
}

static int random_int(lua_State *L) {
    lua_Integer lo = luaL_checkinteger(L, 1), hi = luaL_checkinteger(L, 2);
    luaL_argcheck(L, lo <= hi, 2, "the upper bound is below the lower one");
    uint64_t span = (uint64_t)hi - (uint64_t)lo + 1; /* 0: all of them */
    uint64_t r = actor_random(script_self(L));
    script_reads(L);
    lua_pushinteger(L, (lua_Integer)((uint64_t)lo + (span ? r % span : r)));
    return 1;
}

static void define(lua_State *L, const char *module, const char *name, lua_CFunction f) {
    lua_pushcfunction(L, f);
    vm_define(L, module, name);
}

static void define_log(lua_State *L, const char *name, log_level_t level) {
    lua_pushinteger(L, level);
    lua_pushcclosure(L, base_log, 1);
    vm_define(L, "log", name);
}

void api_base_define(lua_State *L) {
    open_fail(L);
    define(L, NULL, "fail", base_fail);
    define(L, NULL, "now", base_now);
    define(L, "json", "encode", json_encode);
    define(L, "json", "decode", json_decode);
    define(L, "json", "list", json_list);
    lua_pushlightuserdata(L, NULL);
    vm_define(L, "json", "null");
    define_log(L, "info", LOG_INFO);
    define_log(L, "warn", LOG_WARN);
    define_log(L, "error", LOG_ERROR);
    define(L, "hash", "sha256", hash_sha256);
    define(L, "random", "bytes", random_bytes);
    define(L, "random", "digits", random_digits);
    define(L, "random", "int", random_int);
}
