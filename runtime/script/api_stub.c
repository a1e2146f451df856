/* api_stub: the API where nothing may reach the world: in the specs of the rules and in a shadow.
 * Whatever waits, has effects, or tells what another run would not (time, chance) asks one function
 * instead, as f("store.run", op, params). That function is Lua: lua/test/run.lua. */
#include "script/script_in.h"

static const char answer_key; /* of the function, by address */

const char *const api_world_modules[] = {"store", "kv",  "stream", "crypt",
                                         "http",  "log", "random", NULL};
const char *const api_world_globals[] = {"call", "send", "after", "cancel", "now", "conf", NULL};

/* Upvalue 1: the name. */
static int ask(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &answer_key) != LUA_TFUNCTION)
        return luaL_error(L, "%s: nothing answers here", lua_tostring(L, 1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

void api_stub_answer(lua_State *L) {
    lua_rawsetp(L, LUA_REGISTRYINDEX, &answer_key);
}

static void stub(lua_State *L, const char *module, const char *name) {
    lua_pushfstring(L, "%s%s%s", module ? module : "", module ? "." : "", name);
    lua_pushcclosure(L, ask, 1);
    vm_define(L, module, name);
}

void api_stub_define(lua_State *L) {
    const script_t *s = host_of(L)->script;
    for (int i = 0; api_world_modules[i]; i++)
        vm_each_name(L, api_world_modules[i], stub);
    for (int i = 0; api_world_globals[i]; i++)
        stub(L, NULL, api_world_globals[i]);
    for (size_t i = 0; i < s->function_count; i++)
        stub(L, s->functions[i].module, s->functions[i].name);
}
