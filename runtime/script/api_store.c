/* api_store: store.run, store.try and store.batch of scripts: named operations with named
 * parameters, rows as tables by column name. Scripts never see SQL. */
#include "base/err.h"
#include "script/script_in.h"

static const char op_key; /* of the table op name -> number, by address */

/* The number of the operation whose name is at index; raises for an unknown one. */
static int find_op(lua_State *L, store_t *store, int index) {
    const char *name = luaL_checkstring(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &op_key);
    lua_pushvalue(L, index);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        int op = store_op(store, name);
        if (op < 0)
            luaL_error(L, "store has no operation '%s'", name);
        lua_pushvalue(L, index);
        lua_pushinteger(L, op);
        lua_rawset(L, -4);
        lua_pop(L, 2);
        return op;
    }
    int op = (int)lua_tointeger(L, -1);
    lua_pop(L, 2);
    return op;
}

static store_t *store_of(lua_State *L) {
    store_t *store = host_of(L)->script->ports.store;
    if (!store)
        luaL_error(L, "this node has no store");
    return store;
}

static bool is_param(const char *const *names, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i] + 1, name) == 0)
            return true;
    return false;
}

/* Everything that may raise comes before the first byte is written: buf has no owner that an error
 * would unwind. */
static void check_params(lua_State *L, int index, const char *op, const char *const *names,
                         size_t count) {
    if (lua_isnoneornil(L, index))
        return;
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        int type = lua_type(L, -1);
        if (lua_type(L, -2) != LUA_TSTRING || !is_param(names, count, lua_tostring(L, -2)))
            luaL_error(L, "%s has no parameter '%s'", op,
                       lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?");
        if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
            luaL_error(L, "%s: parameter '%s' is a %s", op, lua_tostring(L, -2),
                       luaL_typename(L, -1));
    }
}

static void add_param(lua_State *L, buf_t *b) {
    slice_t s;
    int whole;
    lua_Integer i = lua_tointegerx(L, -1, &whole);
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        if (whole)
            value_add_int(b, i);
        else
            value_add_real(b, lua_tonumber(L, -1));
        break;
    case LUA_TBOOLEAN:
        value_add_int(b, lua_toboolean(L, -1));
        break;
    case LUA_TSTRING:
        s.at = lua_tolstring(L, -1, &s.len);
        value_add_text(b, s);
        break;
    default:
        value_add_null(b);
        break;
    }
}

/* op and params (nil: none) at these indices: checked, then as values in order. */
static buf_t take_params(lua_State *L, store_t *store, int op, int name, int params) {
    size_t count;
    const char *const *names = store_op_params(store, op, &count);
    buf_t b = {0};
    check_params(L, params, lua_tostring(L, name), names, count);
    luaL_checkstack(L, (int)count + 4, "too many parameters");
    int top = lua_gettop(L);
    for (size_t i = 0; i < count; i++) { /* all on the stack first: making a key may raise */
        if (lua_istable(L, params)) {
            lua_pushstring(L, names[i] + 1);
            lua_rawget(L, params);
        } else {
            lua_pushnil(L);
        }
    }
    for (size_t i = 0; i < count; i++) {
        lua_pushvalue(L, top + 1 + (int)i);
        add_param(L, &b);
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    return b;
}

/* --- rows --- */
static void push_value(lua_State *L, slice_t *row) {
    value_t v;
    if (!value_next(row, &v))
        luaL_error(L, "store gave fewer values than columns");
    switch (v.type) {
    case VALUE_INT:
        lua_pushinteger(L, v.i);
        break;
    case VALUE_REAL:
        lua_pushnumber(L, v.d);
        break;
    case VALUE_TEXT:
    case VALUE_BLOB:
        lua_pushlstring(L, v.s.at, v.s.len);
        break;
    default:
        lua_pushnil(L);
        break;
    }
}

static void push_rows(lua_State *L, store_rows_t *r, const char *const *names, size_t columns) {
    slice_t row;
    int first = lua_gettop(L) + 1;
    luaL_checkstack(L, (int)columns + 8, "too many columns");
    for (size_t i = 0; i < columns; i++)
        lua_pushstring(L, names[i]);
    lua_createtable(L, (int)r->rows_left, 0);
    int rows = lua_gettop(L);
    for (lua_Integer n = 1; store_rows_next(r, &row); n++) {
        lua_createtable(L, 0, (int)columns);
        for (size_t i = 0; i < columns; i++) {
            lua_pushvalue(L, first + (int)i);
            push_value(L, &row);
            lua_rawset(L, -3);
        }
        lua_rawseti(L, rows, n);
    }
    vm_list_mark(L, rows);
    if (rows != first) /* without columns the list stands there already */
        lua_replace(L, first);
    lua_settop(L, first);
}

static void push_info(lua_State *L, const store_rows_t *r) {
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, r->changed);
    lua_setfield(L, -2, "changed");
    lua_pushinteger(L, r->last_id);
    lua_setfield(L, -2, "last_id");
}

/* Pushes rows and info of one operation. */
static int push_result(lua_State *L, const script_t *s, int op, store_rows_t *r) {
    size_t columns;
    const char *const *names = store_op_columns(s->ports.store, op, &columns);
    push_rows(L, r, names, columns);
    push_info(L, r);
    return 2;
}

/* What was expected to be possible: nil and its code. Anything else raises. */
static int refuse(lua_State *L, const msg_t *reply) {
    if (reply->err != ERR_EXISTS && reply->err != ERR_STALE) {
        script_check(L, reply);
        return 0;
    }
    lua_pushnil(L);
    lua_pushstring(L, err_name(reply->err));
    return 2;
}

static int take_try(lua_State *L, const msg_t *reply, int64_t op) {
    store_rows_t r;
    if (reply->err != ERR_OK)
        return refuse(L, reply);
    if (!store_rows_open(&r, reply))
        return luaL_error(L, "store gave no result");
    return push_result(L, host_of(L)->script, (int)op, &r);
}

/* A refusal that the rule did not expect is its fault: with the line in the log, and internal to
 * the client. */
static int take_run(lua_State *L, const msg_t *reply, int64_t op) {
    if (reply->err == ERR_EXISTS || reply->err == ERR_STALE)
        return luaL_error(L, "store.run: %s (use store.try where that may happen)",
                          err_name(reply->err));
    return take_try(L, reply, op);
}

static int start(lua_State *L, script_take_t take) {
    store_t *store = store_of(L);
    lua_settop(L, 2);
    int op = find_op(L, store, 1);
    script_wait_t w = script_wait(L);
    if (!store_op_writes(store, op))
        script_reads(L);
    buf_t params = take_params(L, store, op, 1, 2);
    store_run(store, w.self, op, &params, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, take, op);
}

static int api_run(lua_State *L) {
    return start(L, take_run);
}

static int api_try(lua_State *L) {
    return start(L, take_try);
}

/* --- batch: argument 1 is {{op, params}, ...}; it stays on the stack while the handler waits ---
 */
#define BATCH_MAX 1000

static int take_batch(lua_State *L, const msg_t *reply, int64_t count) {
    const script_t *s = host_of(L)->script;
    store_rows_t r;
    if (reply->err != ERR_OK)
        return refuse(L, reply);
    lua_settop(L, 1);
    lua_createtable(L, (int)count, 0);
    lua_createtable(L, (int)count, 0);
    for (int64_t i = 1; i <= count; i++) {
        if (!(i == 1 ? store_rows_open(&r, reply) : store_rows_next_op(&r)))
            return luaL_error(L, "store gave fewer results than operations");
        lua_rawgeti(L, 1, i);
        lua_rawgeti(L, -1, 1);
        int op = find_op(L, s->ports.store, lua_gettop(L));
        push_result(L, s, op, &r);
        lua_rawseti(L, 3, i);
        lua_rawseti(L, 2, i);
        lua_settop(L, 3);
    }
    return 2;
}

/* Each {op, params} is checked before the first is encoded. */
static void check_batch(lua_State *L, store_t *store, lua_Integer count) {
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        luaL_checktype(L, -1, LUA_TTABLE);
        lua_rawgeti(L, 2, 1);
        lua_rawgeti(L, 2, 2);
        int op = find_op(L, store, 3);
        size_t n;
        const char *const *names = store_op_params(store, op, &n);
        check_params(L, 4, lua_tostring(L, 3), names, n);
        lua_settop(L, 1);
    }
}

static void add_batch(lua_State *L, store_t *store, lua_Integer count, store_batch_t *b) {
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        lua_rawgeti(L, 2, 1);
        lua_rawgeti(L, 2, 2);
        int op = find_op(L, store, 3);
        buf_t params = take_params(L, store, op, 3, 4);
        store_batch_add(store, b, op, &params);
        lua_settop(L, 1);
    }
}

static int api_batch(lua_State *L) {
    store_t *store = store_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
    luaL_argcheck(L, count >= 1 && count <= BATCH_MAX, 1, "1 to 1000 operations");
    check_batch(L, store, count);
    script_wait_t w = script_wait(L);
    store_batch_t *b = &host_of(L)->batch;
    buf_free(&b->bytes);
    *b = (store_batch_t){0};
    add_batch(L, store, count, b);
    if (!b->writes)
        script_reads(L);
    store_batch_run(store, w.self, b, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, take_batch, count);
}

void api_store_define(lua_State *L) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &op_key);
    lua_pushcfunction(L, api_run);
    vm_define(L, "store", "run");
    lua_pushcfunction(L, api_try);
    vm_define(L, "store", "try");
    lua_pushcfunction(L, api_batch);
    vm_define(L, "store", "batch");
}
