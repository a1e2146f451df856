/* vm_table: the table library of scripts. The standard functions believe a __len and walk as far as
 * it says, in C, where nothing stops them (PITFALLS.md, Lua); ours take plain tables only, so that
 * the work is bounded by memory. */
#include "script/vm_open.h"
#include <lualib.h>

#define MOVE_MAX 100000 /* entries */

static void check_plain(lua_State *L, int arg) {
    static const char *const refused[] = {"__len", "__index", "__newindex"};
    luaL_checktype(L, arg, LUA_TTABLE);
    if (!lua_getmetatable(L, arg))
        return;
    for (size_t i = 0; i < 3; i++) {
        lua_pushstring(L, refused[i]);
        if (lua_rawget(L, -2) != LUA_TNIL)
            luaL_error(L, "table with %s given to the table library", refused[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* Runs the standard function (upvalue 1) on what was checked. */
static int pass(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* The hot one: no detour for table.insert(t, v). */
static int table_insert(lua_State *L) {
    check_plain(L, 1);
    if (lua_gettop(L) == 2) {
        lua_rawseti(L, 1, (lua_Integer)lua_rawlen(L, 1) + 1);
        return 0;
    }
    return pass(L);
}

static int table_plain(lua_State *L) {
    check_plain(L, 1);
    return pass(L);
}

static int table_sort(lua_State *L) {
    check_plain(L, 1);
    return vm_table_sort(L);
}

static int table_move(lua_State *L) {
    check_plain(L, 1);
    if (!lua_isnoneornil(L, 5))
        check_plain(L, 5);
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    if (to >= from && (lua_Unsigned)to - (lua_Unsigned)from >= MOVE_MAX)
        return luaL_error(L, "too many elements to move");
    return pass(L);
}

void vm_open_table(lua_State *L) {
    static const struct {
        const char *name;
        lua_CFunction f;
    } own[] = {{"insert", table_insert}, {"remove", table_plain}, {"concat", table_plain},
               {"unpack", table_plain},  {"sort", table_sort},    {"move", table_move}};
    lua_createtable(L, 0, 7);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_TABLIBNAME);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        lua_getfield(L, -1, own[i].name);
        lua_pushcclosure(L, own[i].f, 1);
        lua_setfield(L, -4, own[i].name);
    }
    lua_getfield(L, -1, "pack");
    lua_setfield(L, -4, "pack");
    lua_pop(L, 2);
}
