/* codec_pack: plain data as bytes, for the state of a service at reload (codec.h). A tag, then the
 * value; a table is its keys and values up to an end tag. Only this process reads it, but a wrong
 * byte is still an error and no crash. */
#include "script/codec_in.h"

#define PACK_DEPTH 64

enum {
    TAG_NIL = 'n',
    TAG_FALSE = 'f',
    TAG_TRUE = 't',
    TAG_INT = 'i',
    TAG_REAL = 'r',
    TAG_TEXT = 's',
    TAG_TABLE = '{',
    TAG_LIST = '[',
    TAG_END = '}'
};

static void pack_value(codec_t *c, lua_State *L, int index, int depth);

static void pack_fixed(codec_t *c, char tag, const void *at, size_t len) {
    buf_add_char(&c->out, tag);
    buf_add(&c->out, at, len);
}

static void pack_text(codec_t *c, lua_State *L, int index) {
    size_t len;
    const char *at = lua_tolstring(L, index, &len);
    uint32_t n = (uint32_t)len;
    pack_fixed(c, TAG_TEXT, &n, sizeof n);
    if (len < c->max)
        buf_add(&c->out, at, len);
    else
        luaL_error(L, "state holds a text of %d bytes", (int)len);
}

static void pack_table(codec_t *c, lua_State *L, int index, int depth) {
    bool list = vm_list_is(L, index);
    if (depth >= PACK_DEPTH)
        luaL_error(L, "state is too deep (or holds itself)");
    if (!list && lua_getmetatable(L, index))
        luaL_error(L, "state holds a table with a metatable");
    luaL_checkstack(L, 6, "state is too deep");
    buf_add_char(&c->out, list ? TAG_LIST : TAG_TABLE);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        pack_value(c, L, lua_gettop(L) - 1, depth + 1);
        pack_value(c, L, lua_gettop(L), depth + 1);
    }
    buf_add_char(&c->out, TAG_END);
}

static void pack_number(codec_t *c, lua_State *L, int index) {
    if (lua_isinteger(L, index)) {
        lua_Integer i = lua_tointeger(L, index);
        pack_fixed(c, TAG_INT, &i, sizeof i);
    } else {
        lua_Number d = lua_tonumber(L, index);
        pack_fixed(c, TAG_REAL, &d, sizeof d);
    }
}

static void pack_value(codec_t *c, lua_State *L, int index, int depth) {
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        buf_add_char(&c->out, TAG_NIL);
        break;
    case LUA_TBOOLEAN:
        buf_add_char(&c->out, lua_toboolean(L, index) ? TAG_TRUE : TAG_FALSE);
        break;
    case LUA_TNUMBER:
        pack_number(c, L, index);
        break;
    case LUA_TSTRING:
        pack_text(c, L, index);
        break;
    case LUA_TTABLE:
        pack_table(c, L, index, depth);
        break;
    default:
        luaL_error(L, "state holds a %s", luaL_typename(L, index));
    }
    codec_check(c, L);
}

slice_t codec_pack(codec_t *c, lua_State *L, int index) {
    codec_begin(c);
    pack_value(c, L, lua_absindex(L, index), 0);
    return buf_slice(&c->out);
}

/* --- back --- */
static void unpack_value(lua_State *L, slice_t *rest, int depth);

static void take(lua_State *L, slice_t *rest, void *to, size_t n) {
    if (rest->len < n)
        luaL_error(L, "packed state is cut");
    memcpy(to, rest->at, n);
    rest->at += n;
    rest->len -= n;
}

static void unpack_text(lua_State *L, slice_t *rest) {
    uint32_t n;
    take(L, rest, &n, sizeof n);
    if (rest->len < n)
        luaL_error(L, "packed state is cut");
    lua_pushlstring(L, rest->at, n);
    rest->at += n;
    rest->len -= n;
}

static void unpack_table(lua_State *L, slice_t *rest, bool list, int depth) {
    if (depth >= PACK_DEPTH)
        luaL_error(L, "packed state is too deep");
    luaL_checkstack(L, 6, "packed state is too deep");
    lua_newtable(L);
    while (rest->len > 0 && *rest->at != TAG_END) {
        unpack_value(L, rest, depth + 1);
        unpack_value(L, rest, depth + 1);
        if (lua_isnil(L, -2))
            luaL_error(L, "packed state has no key");
        lua_rawset(L, -3);
    }
    char end;
    take(L, rest, &end, 1);
    if (list)
        vm_list_mark(L, -1);
}

static void unpack_value(lua_State *L, slice_t *rest, int depth) {
    char tag;
    lua_Integer i;
    lua_Number d;
    take(L, rest, &tag, 1);
    switch (tag) {
    case TAG_NIL:
        lua_pushnil(L);
        break;
    case TAG_FALSE:
    case TAG_TRUE:
        lua_pushboolean(L, tag == TAG_TRUE);
        break;
    case TAG_INT:
        take(L, rest, &i, sizeof i);
        lua_pushinteger(L, i);
        break;
    case TAG_REAL:
        take(L, rest, &d, sizeof d);
        lua_pushnumber(L, d);
        break;
    case TAG_TEXT:
        unpack_text(L, rest);
        break;
    case TAG_TABLE:
    case TAG_LIST:
        unpack_table(L, rest, tag == TAG_LIST, depth);
        break;
    default:
        luaL_error(L, "packed state is wrong");
    }
}

void codec_unpack(codec_t *c, lua_State *L, slice_t bytes) {
    (void)c;
    unpack_value(L, &bytes, 0);
    if (bytes.len > 0)
        luaL_error(L, "packed state has a rest");
}
