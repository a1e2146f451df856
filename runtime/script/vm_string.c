/* vm_string: the string library of scripts: the standard one, with find, match, gmatch, gsub on our
 * bounded matcher (pattern.h) and a bounded rep. dump, pack and unpack are not given. */
#include "script/pattern.h"
#include "script/vm_open.h"
#include <lualib.h>

#define PATTERN_STEPS (1000 * 1000) /* a match; about 5 ms that nothing can interrupt */
#define REP_MAX       (1024 * 1024) /* bytes that rep gives, and of a text that format takes */

static slice_t check_slice(lua_State *L, int arg) {
    slice_t s;
    s.at = luaL_checklstring(L, arg, &s.len);
    return s;
}

static void compile(lua_State *L, pattern_t *p, int arg, bool caret) {
    const char *fault = pattern_compile(p, check_slice(L, arg), caret);
    if (fault)
        luaL_error(L, "%s", fault);
}

static bool look(lua_State *L, const pattern_t *p, slice_t s, size_t from, uint64_t *steps,
                 pattern_match_t *m) {
    uint64_t most = *steps < PATTERN_STEPS ? *steps : PATTERN_STEPS, left = most;
    int found = pattern_find(p, s, from, &left, m);
    *steps -= most - left;
    vm_check(L);
    if (found < 0)
        luaL_error(L, "pattern takes too many steps on this text");
    return found == 1;
}

/* A Lua position (from 1, negative from the end) as an offset; more than len when it lies behind
 * the end. */
static size_t start_offset(lua_State *L, int arg, size_t len) {
    lua_Integer at = luaL_optinteger(L, arg, 1);
    if (at > 0)
        return (size_t)at - 1;
    if (at == 0 || (lua_Unsigned)-at > len)
        return 0;
    return len - (size_t)-at;
}

static void push_capture(lua_State *L, const pattern_t *p, slice_t s, const pattern_match_t *m,
                         int index) {
    const pattern_capture_t *c = &m->captures[index];
    if (p->captures == 0)
        lua_pushlstring(L, m->start, (size_t)(m->end - m->start));
    else if (c->place)
        lua_pushinteger(L, c->at - s.at + 1);
    else
        lua_pushlstring(L, c->at, c->len);
}

/* All captures, or the whole match when there are none and whole is set. */
static int push_captures(lua_State *L, const pattern_t *p, slice_t s, const pattern_match_t *m,
                         bool whole) {
    int n = p->captures == 0 && whole ? 1 : p->captures;
    luaL_checkstack(L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(L, p, s, m, i);
    return n;
}

static int find_plain(lua_State *L, slice_t s, size_t from) {
    slice_t what = check_slice(L, 2);
    const char *at = memmem(s.at + from, s.len - from, what.at, what.len);
    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s.at + 1);
    lua_pushinteger(L, at - s.at + (lua_Integer)what.len);
    return 2;
}

static int find_or_match(lua_State *L, bool find) {
    slice_t s = check_slice(L, 1);
    size_t from = start_offset(L, 3, s.len);
    if (from > s.len) {
        lua_pushnil(L);
        return 1;
    }
    if (find && lua_toboolean(L, 4))
        return find_plain(L, s, from);
    pattern_t p;
    pattern_match_t m;
    uint64_t steps = PATTERN_STEPS;
    compile(L, &p, 2, true);
    if (!look(L, &p, s, from, &steps, &m)) {
        lua_pushnil(L);
        return 1;
    }
    if (!find)
        return push_captures(L, &p, s, &m, true);
    lua_pushinteger(L, m.start - s.at + 1);
    lua_pushinteger(L, m.end - s.at);
    return 2 + push_captures(L, &p, s, &m, false);
}

static int string_find(lua_State *L) {
    return find_or_match(L, true);
}

static int string_match(lua_State *L) {
    return find_or_match(L, false);
}

/* --- gmatch: upvalues are the text, the pattern, the next offset, the end of the last match --- */
static int gmatch_next(lua_State *L) {
    slice_t s;
    s.at = lua_tolstring(L, lua_upvalueindex(1), &s.len);
    size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    pattern_t p;
    pattern_match_t m;
    uint64_t steps = PATTERN_STEPS;
    compile(L, &p, lua_upvalueindex(2), false);
    for (; from <= s.len && look(L, &p, s, from, &steps, &m); from = (size_t)(m.start - s.at) + 1) {
        lua_Integer end = m.end - s.at;
        if (end == last)
            continue; /* an empty match right behind the last one */
        lua_pushinteger(L, end);
        lua_pushvalue(L, -1);
        lua_replace(L, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(L, &p, s, &m, true);
    }
    return 0;
}

static int string_gmatch(lua_State *L) {
    slice_t s = check_slice(L, 1);
    luaL_checkstring(L, 2);
    size_t from = start_offset(L, 3, s.len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(from > s.len ? s.len + 1 : from));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* --- gsub --- */
static void add_capture_of_text(lua_State *L, luaL_Buffer *b, const pattern_t *p, slice_t s,
                                const pattern_match_t *m, char digit) {
    int index = digit - '1';
    if (digit == '0' || (index == 0 && p->captures == 0)) {
        luaL_addlstring(b, m->start, (size_t)(m->end - m->start));
        return;
    }
    if (index >= p->captures)
        luaL_error(L, "invalid capture index %%%c in replacement string", digit);
    push_capture(L, p, s, m, index);
    luaL_tolstring(L, -1, NULL); /* a position is a number */
    lua_remove(L, -2);
    luaL_addvalue(b);
}

static void add_text(lua_State *L, luaL_Buffer *b, const pattern_t *p, slice_t s,
                     const pattern_match_t *m) {
    slice_t r;
    r.at = lua_tolstring(L, 3, &r.len);
    for (size_t i = 0; i < r.len; i++) {
        if (r.at[i] != '%') {
            luaL_addchar(b, r.at[i]);
            continue;
        }
        char c = ++i < r.len ? r.at[i] : '\0';
        if (c == '%')
            luaL_addchar(b, c);
        else if (c >= '0' && c <= '9')
            add_capture_of_text(L, b, p, s, m, c);
        else
            luaL_error(L, "invalid use of '%%' in replacement string");
    }
}

/* What a function or table says instead of the match; nil and false keep it. */
static void add_value(lua_State *L, luaL_Buffer *b, const pattern_t *p, slice_t s,
                      const pattern_match_t *m) {
    if (lua_isfunction(L, 3)) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, p, s, m, true), 1);
    } else {
        push_capture(L, p, s, m, 0);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, m->start, (size_t)(m->end - m->start));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(b);
}

static int string_gsub(lua_State *L) {
    slice_t s = check_slice(L, 1);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)s.len + 1), done = 0;
    uint64_t steps = PATTERN_STEPS + 16 * s.len;
    size_t from = 0, copied = 0, last = SIZE_MAX;
    pattern_t p;
    pattern_match_t m;
    luaL_Buffer b;
    compile(L, &p, 2, true);
    luaL_buffinit(L, &b);
    while (done < most && from <= s.len && look(L, &p, s, from, &steps, &m)) {
        size_t start = (size_t)(m.start - s.at), end = (size_t)(m.end - s.at);
        from = end > start ? end : start + 1;
        if (end != last) {
            luaL_addlstring(&b, s.at + copied, start - copied);
            if (type == LUA_TNUMBER || type == LUA_TSTRING)
                add_text(L, &b, &p, s, &m);
            else
                add_value(L, &b, &p, s, &m);
            copied = last = end;
            done++;
        }
        if (p.anchored)
            break;
    }
    luaL_addlstring(&b, s.at + copied, s.len - copied);
    luaL_pushresult(&b);
    lua_pushinteger(L, done);
    return 2;
}

static int string_rep(lua_State *L) {
    slice_t s = check_slice(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2);
    slice_t by;
    luaL_Buffer b;
    by.at = luaL_optlstring(L, 3, "", &by.len);
    if (n <= 0 || s.len + by.len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((size_t)n > REP_MAX / (s.len + by.len))
        return luaL_error(L, "resulting string too large");
    luaL_buffinitsize(L, &b, (size_t)n * (s.len + by.len));
    for (; n > 0; n--) {
        luaL_addlstring(&b, s.at, s.len);
        if (n > 1)
            luaL_addlstring(&b, by.at, by.len);
    }
    luaL_pushresult(&b);
    return 1;
}

/* The standard one (upvalue 1), which quotes and copies byte by byte. */
static int string_format(lua_State *L) {
    for (int i = lua_gettop(L); i > 0; i--)
        if (lua_type(L, i) == LUA_TSTRING && lua_rawlen(L, i) > REP_MAX)
            return luaL_argerror(L, i, "text too long to format");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

/* Pushes the table; methods of string values ("x"):rep(3) come from it too. */
void vm_open_string(lua_State *L) {
    static const char *const kept[] = {"byte",    "char", "len",   "lower",
                                       "reverse", "sub",  "upper", NULL};
    static const luaL_Reg own[] = {{"find", string_find},     {"match", string_match},
                                   {"gmatch", string_gmatch}, {"gsub", string_gsub},
                                   {"rep", string_rep},       {NULL, NULL}};
    luaL_newlib(L, own);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_STRLIBNAME);
    for (const char *const *k = kept; *k; k++) {
        lua_getfield(L, -1, *k);
        lua_setfield(L, -4, *k);
    }
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, string_format, 1);
    lua_setfield(L, -4, "format");
    lua_pop(L, 2);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}
