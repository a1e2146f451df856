/* api: what the actors floor gives to scripts: token.pair, token.read, login.revoke, sockets.kick,
 * push.users, conversation.changed, presence.online, presence.drop (ARCHITECTURE.md, Script API).
 * Runs in the script's shard actor. */
#include "actors/conversation.h"
#include "actors/edge.h"
#include "actors/hub.h"
#include "script/wait.h"
#include <stdio.h>

#define PUSH_MAX    100000
#define CONTENT_MAX 65536

static edge_t *edge_arg(lua_State *L) {
    return lua_touserdata(L, lua_upvalueindex(1));
}

static slice_t slice_arg(lua_State *L, int index) {
    slice_t s;
    s.at = luaL_optlstring(L, index, "", &s.len);
    return s;
}

/* --- tokens --- */

/* One claim text for both tokens: the last digits tell them apart. */
static void set_jti(token_claims_t *c, slice_t base, const char *tail) {
    snprintf(c->jti, sizeof c->jti, "%.*s%s", (int)(base.len < 30 ? base.len : 30), base.at, tail);
}

static void push_token(lua_State *L, const edge_t *e, const token_claims_t *c, const char *key) {
    buf_t b = {0};
    token_issue(&e->tokens, c, &b);
    lua_pushlstring(L, b.at, b.len);
    lua_setfield(L, -2, key);
    buf_free(&b);
}

static void random_base(char out[31]) {
    static const char hex[] = "0123456789abcdef";
    uint8_t raw[15];
    crypt_random(raw, sizeof raw);
    for (int i = 0; i < 15; i++) {
        out[2 * i] = hex[raw[i] >> 4];
        out[2 * i + 1] = hex[raw[i] & 15];
    }
    out[30] = 0;
}

/* token.pair(user, fam, device [, iat, jti]) -> {access, refresh, expires_in, claims}. claims is
 * "iat:jti"; with both given back the same bytes come out again. */
static int token_pair(lua_State *L) {
    edge_t *e = edge_arg(L);
    actor_t *self = script_self(L);
    int64_t now_s = actor_wall_ms(self) / 1000, ttl = conf_int(e->conf, "auth.access_ttl") / 1000;
    token_claims_t c = {.user = luaL_checkinteger(L, 1), .fam = luaL_checkinteger(L, 2)};
    slice_t device = slice_arg(L, 3), jti = slice_arg(L, 5);
    char fresh[31], claims[64];
    script_reads(L);
    c.iat_s = luaL_optinteger(L, 4, now_s);
    if (jti.len == 0) {
        random_base(fresh);
        jti = slice_of(fresh);
    }
    luaL_argcheck(L, device.len < sizeof c.did, 3, "device too long");
    memcpy(c.did, device.at, device.len);
    lua_createtable(L, 0, 4);
    c.exp_s = c.iat_s + ttl;
    set_jti(&c, jti, "a0");
    push_token(L, e, &c, "access");
    c.kind = TOKEN_REFRESH;
    c.exp_s = c.iat_s + conf_int(e->conf, "auth.refresh_ttl") / 1000;
    set_jti(&c, jti, "f1");
    push_token(L, e, &c, "refresh");
    lua_pushinteger(L, c.iat_s + ttl > now_s ? c.iat_s + ttl - now_s : 0);
    lua_setfield(L, -2, "expires_in");
    snprintf(claims, sizeof claims, "%lld:%.*s", (long long)c.iat_s,
             (int)(jti.len < 30 ? jti.len : 30), jti.at);
    lua_pushstring(L, claims);
    lua_setfield(L, -2, "claims");
    return 1;
}

/* token.read(text, "access" | "refresh") -> {user, fam, device, iat, exp} or nil, code */
static int token_read_(lua_State *L) {
    edge_t *e = edge_arg(L);
    actor_t *self = script_self(L);
    slice_t kind = slice_arg(L, 2);
    token_claims_t c;
    script_reads(L);
    int err = token_read(&e->tokens, edge_here(self)->aside, slice_arg(L, 1),
                         slice_eq(kind, SLICE("refresh")) ? TOKEN_REFRESH : TOKEN_ACCESS,
                         actor_wall_ms(self) / 1000, &c);
    if (err == ERR_OK && denied_has(e->logins, c.fam))
        err = ERR_TOKEN_REVOKED;
    if (err != ERR_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err_name(err));
        return 2;
    }
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, c.user);
    lua_setfield(L, -2, "user");
    lua_pushinteger(L, c.fam);
    lua_setfield(L, -2, "fam");
    lua_pushstring(L, c.did);
    lua_setfield(L, -2, "device");
    lua_pushinteger(L, c.iat_s);
    lua_setfield(L, -2, "iat");
    lua_pushinteger(L, c.exp_s);
    lua_setfield(L, -2, "exp");
    return 1;
}

/* login.revoke(fam [, user]): its tokens are refused from now on and its sockets close with 4004.
 * Without user the hubs look through all of theirs. */
static int login_revoke(lua_State *L) {
    edge_t *e = edge_arg(L);
    actor_t *self = script_self(L);
    int64_t fam = luaL_checkinteger(L, 1);
    denied_add(e->logins, fam, actor_wall_ms(self) + e->revoke_ms);
    hub_kick(self, fam, luaL_optinteger(L, 2, 0), (slice_t){NULL, 0}, 4004);
    return 0;
}

/* login.disable(user): no token of theirs is good until login.enable(user), their sockets close
 * with 4004. */
static int login_disable(lua_State *L) {
    const edge_t *e = edge_arg(L);
    int64_t user = luaL_checkinteger(L, 1);
    denied_add(e->disabled, user, DENIED_ALWAYS);
    hub_kick(script_self(L), 0, user, (slice_t){NULL, 0}, 4004);
    return 0;
}

static int login_enable(lua_State *L) {
    denied_remove(edge_arg(L)->disabled, luaL_checkinteger(L, 1));
    return 0;
}

/* --- sockets --- */

static int64_t int_field(lua_State *L, int index, const char *key) {
    lua_getfield(L, index, key);
    int64_t v = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return v;
}

/* The text stays on the stack. */
static slice_t text_field(lua_State *L, int index, const char *key) {
    slice_t s = {NULL, 0};
    lua_getfield(L, index, key);
    if (lua_type(L, -1) == LUA_TSTRING)
        s.at = lua_tolstring(L, -1, &s.len);
    return s;
}

/* sockets.kick {user =, device = , code = }: device absent: all of the user; code absent: 4004. */
static int sockets_kick(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int64_t user = int_field(L, 1, "user"), code = int_field(L, 1, "code");
    slice_t device = text_field(L, 1, "device");
    luaL_argcheck(L, user > 0, 1, "user expected");
    hub_kick(script_self(L), 0, user, device, (uint16_t)(code ? code : 4004));
    return 0;
}

/* push.users(ids, type, data [, except]): a push to every socket of these users; except {user,
 * device}: the acting device. */
static int push_users(lua_State *L) {
    actor_t *self = script_self(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *type = luaL_checkstring(L, 2);
    lua_Integer count = luaL_len(L, 1);
    luaL_argcheck(L, count <= PUSH_MAX, 1, "too many users");
    if (count == 0)
        return 0;
    lua_settop(L, 4);
    slice_t json = script_json(L, 3), skip = {NULL, 0};
    int64_t skip_user = 0;
    if (lua_istable(L, 4)) {
        skip_user = int_field(L, 4, "user");
        skip = text_field(L, 4, "device");
    }
    int64_t *users = lua_newuserdatauv(L, (size_t)count * sizeof *users, 0);
    for (lua_Integer i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        users[i] = lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    block_t *frame = hub_frame(type, json);
    hub_push(self, users, (size_t)count, frame, skip_user, skip);
    return 0;
}

/* push.device(user, device, type, data): to the sockets of one device of theirs. */
static int push_device(lua_State *L) {
    actor_t *self = script_self(L);
    int64_t user = luaL_checkinteger(L, 1);
    slice_t device = slice_arg(L, 2);
    const char *type = luaL_checkstring(L, 3);
    hub_push_device(self, user, device, hub_frame(type, script_json(L, 4)));
    return 0;
}

/* --- conversations and presence --- */

static int changed_done(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    script_check(L, reply);
    return 0;
}

/* conversation.changing(id), before a write: should nobody call `changed` after it, its actor reads
 * the facts again by itself. Not taken: nothing may be written. */
static int conversation_changing(lua_State *L) {
    actor_t *self = script_self(L);
    int64_t id = luaL_checkinteger(L, 1);
    int err = actor_send_key(self, KIND_CONVERSATION, (uint64_t)id, msg_new(VERB_CHANGING, 0));
    return err == ERR_OK ? 0 : script_fail(L, ERR_BUSY, NULL);
}

/* conversation.changed(id): its actor has read the changed facts when this returns. */
static int conversation_changed(lua_State *L) {
    int64_t id = luaL_checkinteger(L, 1);
    script_wait_t w = script_wait(L);
    actor_request_key(w.self, KIND_CONVERSATION, (uint64_t)id, msg_new(VERB_CHANGED, 0),
                      w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, changed_done, id);
}

static int posted(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err != ERR_OK)
        return script_fail(L, reply->err, NULL);
    const conversation_sent_t *sent = msg_data((msg_t *)(uintptr_t)reply, conversation_sent_t);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, sent->id);
    lua_setfield(L, -2, "id");
    lua_pushinteger(L, sent->seq);
    lua_setfield(L, -2, "seq");
    return 1;
}

/* conversation.post(id, sender, content_type, content, client_msg_id) -> {id, seq}: a message of
 * the server in the name of a member, past the send rules. */
static int conversation_post(lua_State *L) {
    int64_t id = luaL_checkinteger(L, 1);
    conversation_send_t s = {.user = luaL_checkinteger(L, 2),
                             .content_type = (uint32_t)luaL_checkinteger(L, 3),
                             .unruled = true};
    slice_t cid = slice_arg(L, 5);
    luaL_argcheck(L, cid.len >= 1 && cid.len <= 64, 5, "1 to 64 bytes");
    script_wait_t w = script_wait(L);
    slice_t content = script_json(L, 4);
    luaL_argcheck(L, content.len <= CONTENT_MAX, 4, "too long");
    s.cid_len = (uint32_t)cid.len;
    s.content_len = (uint32_t)content.len;
    s.start_ns = actor_now_ns(w.self);
    msg_t *m = msg_new(VERB_SEND, sizeof s + cid.len + content.len);
    memcpy(m->data, &s, sizeof s);
    char *bytes = ((conversation_send_t *)m->data)->bytes;
    memcpy(mempcpy(bytes, cid.at, cid.len), content.at, content.len);
    actor_request_key(w.self, KIND_CONVERSATION, (uint64_t)id, m, w.timeout_ms, w.reply_verb,
                      w.cookie);
    return script_yield(L, posted, 0);
}

static int presence_online(lua_State *L) {
    lua_pushboolean(L, hub_online(luaL_checkinteger(L, 1)));
    return 1;
}

/* presence.drop(viewer, user): the viewer's subscriptions to the user end. */
static int presence_drop(lua_State *L) {
    inbox_watch_t w = {ACTOR_NONE, luaL_checkinteger(L, 1), false};
    int64_t user = luaL_checkinteger(L, 2);
    actor_send_key(script_self(L), KIND_INBOX, (uint64_t)user, msg_of(VERB_UNFOLLOW, &w, sizeof w));
    return 0;
}

static const script_function_t *own_functions(size_t *count) {
    static const script_function_t functions[] = {
        {"token", "pair", (void *)token_pair, NULL},
        {"token", "read", (void *)token_read_, NULL},
        {"login", "revoke", (void *)login_revoke, NULL},
        {"login", "disable", (void *)login_disable, NULL},
        {"login", "enable", (void *)login_enable, NULL},
        {"sockets", "kick", (void *)sockets_kick, NULL},
        {"push", "users", (void *)push_users, NULL},
        {"push", "device", (void *)push_device, NULL},
        {"conversation", "changing", (void *)conversation_changing, NULL},
        {"conversation", "changed", (void *)conversation_changed, NULL},
        {"conversation", "post", (void *)conversation_post, NULL},
        {"presence", "online", (void *)presence_online, NULL},
        {"presence", "drop", (void *)presence_drop, NULL},
    };
    *count = sizeof functions / sizeof functions[0];
    return functions;
}

size_t edge_function_names(script_function_t *out, size_t room) {
    size_t count[3], n = 0;
    const script_function_t *const lists[] = {own_functions(&count[0]), calls_functions(&count[1]),
                                              files_functions(&count[2])};
    for (size_t l = 0; l < 3; l++)
        for (size_t i = 0; i < count[l]; i++, n++)
            if (n < room)
                out[n] = lists[l][i];
    return n;
}

const script_function_t *edge_functions(edge_t *e, size_t *count) {
    *count = edge_function_names(NULL, 0);
    if (!e->functions) {
        e->functions = pool_alloc(*count * sizeof *e->functions);
        edge_function_names(e->functions, *count);
        for (size_t i = 0; i < *count; i++)
            e->functions[i].arg = e;
    }
    return e->functions;
}

void edge_functions_free(edge_t *e) {
    size_t count;
    edge_functions(e, &count);
    pool_free(e->functions, count * sizeof *e->functions);
}
