/* api_post: http.post of scripts: a request to another server and a wait. What a secret of conf is
 * called in braces becomes that secret on its way out, so a script can use it and never has it. */
#include "base/err.h"
#include "script/script_in.h"

#define SECRET      "{sms.token}" /* the secrets that scripts may send */
#define SECRET_NAME "sms.token"

static bool one_line(slice_t s) {
    return !memchr(s.at, '\n', s.len) && !memchr(s.at, '\r', s.len) && !memchr(s.at, 0, s.len);
}

static slice_t text_at(lua_State *L, int index) {
    slice_t s;
    s.at = lua_tolstring(L, index, &s.len);
    return s;
}

/* Pushes the value with its secrets. */
static void push_filled(lua_State *L, slice_t value) {
    const char *secret = conf_text(host_of(L)->script->conf, SECRET_NAME).at;
    lua_pushlstring(L, value.at, value.len);
    luaL_gsub(L, lua_tostring(L, -1), SECRET, secret ? secret : "");
    lua_remove(L, -2);
}

/* headers at `arg`, or nil: gives the lines, on the stack. */
static slice_t header_lines(lua_State *L, int arg) {
    if (lua_isnoneornil(L, arg)) {
        lua_pushliteral(L, "");
        return text_at(L, -1);
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_pushliteral(L, "");
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) { /* lines, name, value */
        bool text = lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING;
        if (!text || !one_line(text_at(L, -2)) || !one_line(text_at(L, -1)))
            luaL_argerror(L, arg, "names and values are texts of one line");
        push_filled(L, text_at(L, -1));
        lua_pushvalue(L, -4);
        lua_pushvalue(L, -4);
        lua_pushliteral(L, ": ");
        lua_pushvalue(L, -4);
        lua_pushliteral(L, "\n");
        lua_concat(L, 5); /* lines, name, value, filled value, longer lines */
        lua_replace(L, -5);
        lua_pop(L, 1);
    }
    slice_t s = text_at(L, -1);
    luaL_argcheck(L, s.len <= POST_HEADERS_MAX, arg, "too long");
    return s;
}

static int take_answer(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err == ERR_IO) {
        lua_pushnil(L);
        lua_pushstring(L, reply->size ? reply->data : "no answer");
        return 2;
    }
    script_check(L, reply);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, ((const post_answer_t *)reply->data)->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, reply->body ? reply->body->data : "", reply->body ? reply->body->len : 0);
    lua_setfield(L, -2, "body");
    return 1;
}

/* http.post(url, headers, body) -> {status, body}, or nil and why there is no answer */
static int api_post(lua_State *L) {
    post_t *post = host_of(L)->script->ports.post;
    slice_t url, body;
    if (!post)
        return luaL_error(L, "this node has no post");
    lua_settop(L, 3);
    url.at = luaL_checklstring(L, 1, &url.len);
    body.at = luaL_optlstring(L, 3, "", &body.len);
    luaL_argcheck(L, url.len <= POST_URL_MAX && one_line(url), 1, "no URL");
    luaL_argcheck(L, body.len <= POST_BODY_MAX, 3, "too long");
    slice_t headers = header_lines(L, 2);
    script_wait_t w = script_wait(L);
    post_send(post, w.self, url, headers, body, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, take_answer, 0);
}

void api_post_define(lua_State *L) {
    lua_pushcfunction(L, api_post);
    vm_define(L, "http", "post");
}
