/* api_conf: conf(key) of scripts: the node's configuration as Lua values, read-only; secrets are
 * not given. It never changes after the start, so each VM asks once for a key. */
#include "script/script_in.h"

static const char cache_key; /* of the table of values asked for, by address */

typedef struct seek {
    const char *key;
    bool found, secret;
    conf_type_t type;
} seek_t;

static void visit(void *arg, const char *key, conf_type_t type, const char *value,
                  const char *preset, const char *help) {
    seek_t *s = arg;
    (void)preset;
    (void)help;
    if (strcmp(key, s->key) != 0)
        return;
    s->found = true;
    s->secret = strcmp(value, "***") == 0;
    s->type = type;
}

static void push_list(lua_State *L, const conf_t *c, const char *key) {
    size_t n = conf_list_count(c, key);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        slice_t s = conf_list(c, key, i);
        lua_pushlstring(L, s.at, s.len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    vm_list_mark(L, -1);
}

static void push_rate(lua_State *L, conf_rate_t r) {
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, r.per_s);
    lua_setfield(L, -2, "per_s");
    lua_pushinteger(L, r.burst);
    lua_setfield(L, -2, "burst");
}

static void push_value(lua_State *L, const conf_t *c, const char *key, conf_type_t type) {
    slice_t s;
    switch (type) {
    case CONF_BOOL:
        lua_pushboolean(L, conf_bool(c, key));
        break;
    case CONF_INT:
    case CONF_DURATION:
    case CONF_SIZE:
        lua_pushinteger(L, conf_int(c, key));
        break;
    case CONF_RATE:
        push_rate(L, conf_rate(c, key));
        break;
    case CONF_LIST:
        push_list(L, c, key);
        break;
    case CONF_TEXT:
    case CONF_ADDR:
        s = conf_text(c, key);
        lua_pushlstring(L, s.at, s.len);
        break;
    }
}

int api_conf_get(lua_State *L) {
    const conf_t *c = host_of(L)->script->conf;
    seek_t s = {.key = luaL_checkstring(L, 1)};
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_key);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) != LUA_TNIL)
        return 1;
    conf_each(c, visit, &s);
    if (!s.found || s.secret)
        return luaL_error(L, "conf: no key '%s' for scripts", s.key);
    push_value(L, c, s.key, s.type);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

void api_conf_define(lua_State *L) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &cache_key);
    lua_pushcfunction(L, api_conf_get);
    vm_define(L, NULL, "conf");
}
