/* vm_base: the base functions scripts get, frozen globals and require. pcall, xpcall, getmetatable
 * and setmetatable are our own: the first two let the error of a killed slice pass, the others know
 * frozen tables, and the last refuses metamethods that run outside of any slice (PITFALLS.md, Lua).
 */
#include "script/vm_open.h"
#include <ctype.h>
#include <lualib.h>
#include <stdio.h>

/* --- pcall and xpcall --- */
static int hold(lua_State *L, int status, int keep) {
    vm_t *vm = vm_of(L);
    if (status == LUA_ERRMEM)
        vm_kill(vm, vm_out_of_memory);
    if (status != LUA_OK && status != LUA_YIELD) {
        if (vm->killed)
            return lua_error(L);
        lua_pushboolean(L, 0);
        lua_insert(L, -2);
        return 2;
    }
    return lua_gettop(L) - keep;
}

static int held(lua_State *L, int status, lua_KContext keep) {
    return hold(L, status, (int)keep);
}

static int base_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return hold(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, held), 0);
}

/* Around the script's message handler (upvalue 1). The error of a killed slice is raised inside the
 * hook, and what runs there is not hooked itself: a handler that loops would never end. */
static int handle_message(lua_State *L) {
    if (vm_of(L)->killed)
        return 1;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int base_xpcall(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle_message, 1);
    lua_replace(L, 2);
    int args = lua_gettop(L) - 2;
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, args */
    return hold(L, lua_pcallk(L, args, LUA_MULTRET, 2, 2, held), 2);
}

/* --- metatables --- */
static int refuse_write(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    return luaL_error(L, "globals are frozen: '%s' (a local is missing?)", name);
}

/* By freeze: told by its __newindex, so that the metatables of some twenty modules need not say it
 * once more by a __metatable: 48 bytes each. */
static bool is_frozen(lua_State *L, int index) {
    if (luaL_getmetafield(L, index, "__newindex") == LUA_TNIL)
        return false;
    bool is = lua_tocfunction(L, -1) == refuse_write;
    lua_pop(L, 1);
    return is;
}

static int base_getmetatable(lua_State *L) {
    luaL_checkany(L, 1);
    if (is_frozen(L, 1))
        lua_pushboolean(L, 0);
    else if (!lua_getmetatable(L, 1))
        lua_pushnil(L);
    else
        luaL_getmetafield(L, 1, "__metatable"); /* if there is none the metatable stays on top */
    return 1;
}

static int base_setmetatable(lua_State *L) {
    static const char *const refused[] = {"__gc", "__mode"};
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TTABLE);
    if (is_frozen(L, 1) || luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    for (size_t i = 0; lua_istable(L, 2) && i < 2; i++) {
        lua_pushstring(L, refused[i]);
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "a metatable here must not have %s", refused[i]);
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* --- frozen tables --- */

/* Replaces the table on top by an empty one that reads through to it and refuses writes. */
static void freeze(lua_State *L) {
    lua_newtable(L);
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

void vm_define(lua_State *L, const char *module, const char *name) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_api);
    if (module) {
        if (lua_getfield(L, -1, module) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -1);
            lua_setfield(L, -3, module);
        }
        lua_remove(L, -2);
    }
    lua_rotate(L, -2, 1);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

void vm_module(lua_State *L, const char *module) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_api);
    lua_getfield(L, -1, module);
    lua_remove(L, -2);
}

void vm_each_name(lua_State *L, const char *module,
                  void (*f)(lua_State *L, const char *module, const char *name)) {
    const char *names[VM_NAMES];
    int count = 0, top = lua_gettop(L);
    vm_module(L, module);
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, top + 1); lua_pop(L, 1)) {
            if (count == VM_NAMES)
                luaL_error(L, "%s has more than %d names", module, VM_NAMES);
            names[count++] = lua_tostring(L, -2);
        }
    lua_settop(L, top + 1); /* the names live on in the module's table */
    for (int i = 0; i < count; i++)
        f(L, module, names[i]);
    lua_settop(L, top);
}

void vm_forget(lua_State *L) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_loaded);
}

void vm_seal(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_api);
    int api = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, api);) {
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            continue;
        }
        freeze(L);
        lua_pushvalue(L, -2);
        lua_rotate(L, -2, 1);
        lua_rawset(L, api); /* of a key that is there: the walk goes on */
    }
    lua_pushvalue(L, api);
    freeze(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_env);
    lua_settop(L, api - 1);
}

/* --- files --- */
void vm_load(lua_State *L, const char *chunk_name, slice_t text) {
    if (luaL_loadbufferx(L, text.at, text.len, chunk_name, "t") != LUA_OK)
        lua_error(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_env);
    lua_setupvalue(L, -2, 1);
}

/* "lib.check" to "lib/check": lower case words, so that no path leads out of lua/. */
static bool module_path(const char *name, char room[64]) {
    size_t n = strlen(name);
    if (n == 0 || n >= 64)
        return false;
    for (size_t i = 0; i <= n; i++) {
        char c = name[i];
        bool dot = c == '.' && i > 0 && name[i + 1] != '.' && name[i + 1] != '\0';
        if (!dot && c != '\0' && c != '_' && !islower((unsigned char)c) &&
            !isdigit((unsigned char)c))
            return false;
        room[i] = dot ? '/' : c;
    }
    return true;
}

int vm_require(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    vm_t *vm = vm_of(L);
    char path[64], chunk[96];
    slice_t text;
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_loaded);
    if (lua_getfield(L, 2, name) != LUA_TNIL) {
        if (lua_islightuserdata(L, -1))
            return luaL_error(L, "require '%s': it requires itself", name);
        return 1;
    }
    if (!module_path(name, path) || !vm->find || !vm->find(vm->find_arg, slice_of(path), &text))
        return luaL_error(L, "require '%s': no such file in lua/", name);
    snprintf(chunk, sizeof chunk, "@lua/%s.lua", path);
    vm_load(L, chunk, text);
    lua_pushlightuserdata(L, vm);
    lua_setfield(L, 2, name);
    int status = lua_pcall(L, 0, 1, 0);
    if (status != LUA_OK || lua_isnil(L, -1)) {
        lua_pushnil(L);
        lua_setfield(L, 2, name);
    }
    if (status != LUA_OK)
        return lua_error(L);
    if (lua_isnil(L, -1))
        return luaL_error(L, "require '%s': the file returns nothing", name);
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}

/* --- what is taken from the standard library --- */

/* Of the library at `from` into the table at `to`. */
static void copy(lua_State *L, int from, const char *const *names, int to) {
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        lua_setfield(L, to, *names);
    }
}

/* __index of the table of globals (1): libraries that few services use are opened when a script
 * first names them (2), so a VM without them is 2 KB smaller. */
static int open_late(lua_State *L) {
    static const char *const math[] = {
        "abs", "ceil", "cos",        "deg",       "exp",        "floor", "fmod", "huge",
        "log", "max",  "maxinteger", "min",       "mininteger", "modf",  "pi",   "rad",
        "sin", "sqrt", "tan",        "tointeger", "type",       "ult",   NULL};
    static const char *const utf8[] = {"char", "charpattern", "codepoint", "codes",
                                       "len",  "offset",      NULL};
    static const struct {
        const char *name, *const *functions;
        lua_CFunction open;
    } late[] = {{LUA_MATHLIBNAME, math, luaopen_math}, {LUA_UTF8LIBNAME, utf8, luaopen_utf8}};
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        if (strcmp(name, late[i].name) != 0)
            continue;
        lua_settop(L, 2);
        lua_pushcfunction(L, late[i].open);
        lua_call(L, 0, 1);
        lua_newtable(L);
        copy(L, 3, late[i].functions, 4);
        freeze(L);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 4);
        lua_rawset(L, 1);
        return 1;
    }
    return 0;
}

void vm_open_base(lua_State *L) {
    static const char *const base[] = {"assert",   "error",  "ipairs", "next",   "pairs",
                                       "rawequal", "rawget", "rawlen", "select", "tonumber",
                                       "tostring", "type",   NULL};
    static const luaL_Reg own[] = {{"pcall", base_pcall},
                                   {"xpcall", base_xpcall},
                                   {"getmetatable", base_getmetatable},
                                   {"setmetatable", base_setmetatable},
                                   {"require", vm_require},
                                   {NULL, NULL}};
    lua_pushglobaltable(L);
    int library = lua_gettop(L);
    luaL_newlib(L, own);
    copy(L, library, base, library + 1);
    lua_remove(L, library);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, open_late);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}
