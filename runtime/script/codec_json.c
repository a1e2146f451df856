/* codec_json: JSON text and Lua values (codec.h). */
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "script/codec_in.h"
#include <math.h>
#include <stdlib.h>

#define KEYS_MAX   10000 /* of one object: they are sorted in one go, which nothing can interrupt */
#define KEEP_BYTES (256 * 1024) /* a buffer above this is given back */

codec_t *codec_new(uint32_t max_bytes) {
    codec_t *c = calloc(1, sizeof *c);
    if (!c)
        log_die("script", "no memory for a codec");
    c->doc = json_doc_new();
    json_doc_own(c->doc);
    c->max = max_bytes;
    return c;
}

void codec_free(codec_t *c) {
    if (!c)
        return;
    json_doc_free(c->doc);
    buf_free(&c->text);
    buf_free(&c->out);
    free(c->keys);
    free(c);
}

static void reuse(buf_t *b) {
    if (b->cap > KEEP_BYTES)
        buf_free(b);
    b->len = 0;
}

void codec_begin(codec_t *c) {
    reuse(&c->out);
    c->key_count = 0;
}

slice_t codec_last(const codec_t *c) {
    return buf_slice(&c->out);
}

void codec_check(codec_t *c, lua_State *L) {
    if (c->out.len > c->max)
        luaL_error(L, "value too large (over %d bytes)", (int)c->max);
    vm_check(L);
}

/* --- decode --- */
static void push_node(codec_t *c, lua_State *L, json_at_t at);

static void push_array(codec_t *c, lua_State *L, json_at_t at) {
    lua_Integer i = 0;
    luaL_checkstack(L, 4, "JSON too deep");
    lua_createtable(L, (int)json_count(c->doc, at), 0);
    for (json_at_t n = json_first(c->doc, at); n; n = json_next(c->doc, n)) {
        if (json_type(c->doc, n) == JSON_NULL)
            lua_pushlightuserdata(L, NULL); /* json.null */
        else
            push_node(c, L, n);
        lua_rawseti(L, -2, ++i);
    }
    vm_list_mark(L, -1);
}

static void push_object(codec_t *c, lua_State *L, json_at_t at) {
    luaL_checkstack(L, 4, "JSON too deep");
    lua_createtable(L, 0, (int)json_count(c->doc, at));
    for (json_at_t n = json_first(c->doc, at); n; n = json_next(c->doc, n)) {
        slice_t key = json_key(c->doc, n);
        lua_pushlstring(L, key.at, key.len);
        push_node(c, L, n);
        lua_rawset(L, -3);
    }
}

static void push_node(codec_t *c, lua_State *L, json_at_t at) {
    slice_t s;
    int64_t i;
    double d;
    vm_check(L);
    switch (json_type(c->doc, at)) {
    case JSON_FALSE:
        lua_pushboolean(L, 0);
        break;
    case JSON_TRUE:
        lua_pushboolean(L, 1);
        break;
    case JSON_INT:
        json_int64(c->doc, at, &i);
        lua_pushinteger(L, i);
        break;
    case JSON_REAL:
        json_number(c->doc, at, &d);
        lua_pushnumber(L, d);
        break;
    case JSON_STRING:
        json_string(c->doc, at, &s);
        lua_pushlstring(L, s.at, s.len);
        break;
    case JSON_ARRAY:
        push_array(c, L, at);
        break;
    case JSON_OBJECT:
        push_object(c, L, at);
        break;
    default:
        lua_pushnil(L);
        break;
    }
}

bool codec_decode(codec_t *c, lua_State *L, slice_t json) {
    reuse(&c->text);
    buf_add_slice(&c->text, json);
    if (json_parse(c->doc, c->text.at, c->text.len) != ERR_OK)
        return false;
    luaL_checkstack(L, 1, "JSON too deep");
    push_node(c, L, JSON_ROOT);
    return true;
}

/* --- encode --- */
static void add_value(codec_t *c, lua_State *L, int index, int depth);

static void add_string(codec_t *c, lua_State *L, slice_t s) {
    if (!text_utf8_valid(s.at, s.len) || memchr(s.at, 0, s.len))
        luaL_error(L, "text for JSON is not valid UTF-8");
    json_add_string(&c->out, s);
    codec_check(c, L);
}

static void add_number(codec_t *c, lua_State *L, int index) {
    int whole;
    lua_Integer i = lua_tointegerx(L, index, &whole);
    if (whole) {
        buf_add_int(&c->out, i);
        return;
    }
    double d = lua_tonumber(L, index);
    if (!isfinite(d))
        luaL_error(L, "number for JSON is not finite");
    json_add_real(&c->out, d);
}

static void add_array(codec_t *c, lua_State *L, int index, lua_Integer n, int depth) {
    buf_add_char(&c->out, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            buf_add_char(&c->out, ',');
        if (lua_rawgeti(L, index, i) == LUA_TNIL)
            luaL_error(L, "array for JSON has a hole at %d", (int)i);
        add_value(c, L, lua_gettop(L), depth + 1);
        lua_pop(L, 1);
    }
    buf_add_char(&c->out, ']');
}

static void push_key(codec_t *c, slice_t name) {
    if (c->key_count == c->key_cap) {
        c->key_cap = c->key_cap ? c->key_cap * 2 : 64;
        c->keys = realloc(c->keys, c->key_cap * sizeof *c->keys);
        if (!c->keys)
            log_die("script", "no memory for %u keys", c->key_cap);
    }
    c->keys[c->key_count++].name = name;
}

static int by_name(const void *a, const void *b) {
    slice_t x = ((const codec_key_t *)a)->name, y = ((const codec_key_t *)b)->name;
    int order = memcmp(x.at, y.at, x.len < y.len ? x.len : y.len);
    return order ? order : (x.len > y.len) - (x.len < y.len);
}

/* The keys of the table, sorted, go on c->keys; the table holds their bytes. */
static void collect_keys(codec_t *c, lua_State *L, int index) {
    uint32_t first = c->key_count;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        slice_t name;
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "object for JSON has a %s as key", luaL_typename(L, -2));
        name.at = lua_tolstring(L, -2, &name.len);
        push_key(c, name);
    }
    if (c->key_count - first > KEYS_MAX)
        luaL_error(L, "object for JSON has too many keys (over %d)", KEYS_MAX);
    if (c->key_count - first > 1)
        qsort(c->keys + first, c->key_count - first, sizeof *c->keys, by_name);
}

static void add_members(codec_t *c, lua_State *L, int index, int depth) {
    uint32_t first = c->key_count;
    collect_keys(c, L, index);
    for (uint32_t i = first, end = c->key_count; i < end; i++) {
        slice_t name = c->keys[i].name; /* the array may move below */
        if (c->out.at[c->out.len - 1] != '{')
            buf_add_char(&c->out, ',');
        add_string(c, L, name);
        buf_add_char(&c->out, ':');
        lua_pushlstring(L, name.at, name.len);
        lua_rawget(L, index);
        add_value(c, L, lua_gettop(L), depth + 1);
        lua_pop(L, 1);
    }
    c->key_count = first;
}

static void check_sequence(lua_State *L, int index, lua_Integer n) {
    lua_Integer keys = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        keys++;
    if (keys > n)
        luaL_error(L, "table for JSON is neither a list nor an object (mixed keys)");
}

static void add_table(codec_t *c, lua_State *L, int index, int depth) {
    if (depth >= JSON_DEPTH_OWN)
        luaL_error(L, "value for JSON is too deep");
    luaL_checkstack(L, 6, "value for JSON is too deep");
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    if (vm_list_is(L, index)) {
        add_array(c, L, index, n, depth);
    } else if (n > 0) {
        check_sequence(L, index, n);
        add_array(c, L, index, n, depth);
    } else {
        buf_add_char(&c->out, '{');
        add_members(c, L, index, depth);
        buf_add_char(&c->out, '}');
    }
}

static void add_value(codec_t *c, lua_State *L, int index, int depth) {
    slice_t s;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        buf_add_text(&c->out, "null");
        break;
    case LUA_TBOOLEAN:
        buf_add_text(&c->out, lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TNUMBER:
        add_number(c, L, index);
        break;
    case LUA_TSTRING:
        s.at = lua_tolstring(L, index, &s.len);
        add_string(c, L, s);
        break;
    case LUA_TTABLE:
        add_table(c, L, index, depth);
        break;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index)) {
            buf_add_text(&c->out, "null");
            break;
        } /* fall through */
    default:
        luaL_error(L, "a %s has no JSON form", luaL_typename(L, index));
    }
    codec_check(c, L);
}

slice_t codec_encode(codec_t *c, lua_State *L, int index) {
    codec_begin(c);
    add_value(c, L, lua_absindex(L, index), 0);
    return buf_slice(&c->out);
}

slice_t codec_error(codec_t *c, lua_State *L, const char *text, const char *symbol, int extra) {
    codec_begin(c);
    buf_add_text(&c->out, "{\"error\":");
    add_string(c, L, slice_of(text));
    buf_add_text(&c->out, ",\"code\":");
    add_string(c, L, slice_of(symbol));
    if (extra)
        add_members(c, L, lua_absindex(L, extra), 0);
    buf_add_char(&c->out, '}');
    return buf_slice(&c->out);
}
