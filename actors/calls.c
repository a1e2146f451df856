/* calls: what C does for the call service (lua/call.lua): whether a user is in a call is kept by
 * the user's inbox, because everything of one user comes one after the other there, so two calls
 * that start at the same moment cannot both have them; the inbox also tells the call of devices
 * that come and go. Nobody else sees calls.*; it runs in the service's shard actor (calls_tell: in
 * the inbox). */
#include "actors/edge.h"
#include "base/log.h"
#include "port/crypt.h"
#include "script/wait.h"
#include <sodium.h>
#include <stdio.h>

/* --- the name of a call: its key in hexadecimal digits, '-', random text --- */

uint64_t calls_key(slice_t id) {
    uint64_t key = 0;
    for (size_t i = 0; i < id.len && i < 16; i++) {
        char c = id.at[i];
        if (c >= '0' && c <= '9')
            key = key << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            key = key << 4 | (uint64_t)(c - 'a' + 10);
        else
            break;
    }
    return key;
}

void calls_tell(actor_t *inbox, const char *call, const char *device, bool online) {
    const edge_t *e = edge_here(inbox)->edge;
    buf_t b = {0};
    buf_add_char(&b, '{');
    json_add_text(&b, "call_id", slice_of(call));
    json_add_int(&b, "user", (int64_t)actor_key(inbox));
    json_add_text(&b, "device", slice_of(device));
    json_add_bool(&b, "online", online);
    buf_add_char(&b, '}');
    /* lost or not: the call's next renewal tells it which devices are there */
    if (script_tell(e->script, inbox, e->call_service, "device", calls_key(slice_of(call)),
                    block_from_buf(&b)) == ERR_FULL)
        log_warn("calls", "the call service is behind: it will look for itself");
}

/* --- calls.enter, calls.leave --- */

static msg_t *call_message(lua_State *L, uint32_t verb, uint32_t life_ms) {
    inbox_call_t c = {.life_ms = life_ms};
    size_t len;
    const char *id = luaL_checklstring(L, 2, &len);
    luaL_argcheck(L, len > 0 && len < sizeof c.id, 2, "no id of a call");
    memcpy(c.id, id, len);
    return msg_of(verb, &c, sizeof c);
}

static int entered(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err == ERR_EXISTS) {
        lua_pushnil(L);
        lua_pushlstring(L, reply->body->data, reply->body->len);
        return 2;
    }
    script_check(L, reply);
    script_push(L, (slice_t){reply->body->data, reply->body->len});
    return 1;
}

/* calls.enter(user, id, life_ms) -> devices that have a socket, or nil and the id of the other call
 * that the user is in. Again with the same id: renews. Unless renewed it ends after life_ms; 0:
 * only looks. */
static int calls_enter(lua_State *L) {
    int64_t user = luaL_checkinteger(L, 1), life = luaL_checkinteger(L, 3);
    luaL_argcheck(L, life >= 0 && life <= INT32_MAX, 3, "a life in ms is expected");
    script_wait_t w = script_wait(L);
    msg_t *m = call_message(L, VERB_CALL_ENTER, (uint32_t)life);
    actor_request_key(w.self, KIND_INBOX, (uint64_t)user, m, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, entered, 0);
}

/* calls.leave(user, id): the user is free, and nothing more is told to this call. */
static int calls_leave(lua_State *L) {
    int64_t user = luaL_checkinteger(L, 1);
    actor_t *self = script_self(L);
    actor_send_key(self, KIND_INBOX, (uint64_t)user, call_message(L, VERB_CALL_LEAVE, 0));
    return 0;
}

/* --- counters --- */

static int calls_active(lua_State *L) {
    int64_t n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 1, "a number of calls is expected");
    script_gauge(L, STAT_CALLS_ACTIVE, n);
    return 0;
}

static int calls_ended(lua_State *L) {
    static const struct {
        const char *result;
        enum stat_id id;
    } known[] = {{"ended", STAT_CALLS_ENDED},         {"missed", STAT_CALLS_MISSED},
                 {"cancelled", STAT_CALLS_CANCELLED}, {"rejected", STAT_CALLS_REJECTED},
                 {"busy", STAT_CALLS_BUSY},           {"unavailable", STAT_CALLS_UNAVAILABLE},
                 {"failed", STAT_CALLS_FAILED},       {"lost", STAT_CALLS_LOST}};
    const char *result = luaL_checkstring(L, 1);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].result, result) == 0) {
            stat_add(known[i].id, 1);
            return 0;
        }
    return luaL_error(L, "no such result of a call: '%s'", result);
}

/* --- calls.turn --- */

enum { MAC_LEN = 20, TURN_LIFE_MAX_S = 366 * 86400 };

/* The shared-secret scheme of TURN servers (coturn: use-auth-secret): the user name tells when it
 * ends and whose it is, the credential is its MAC under the secret that the server knows too. */
static void push_own_credentials(lua_State *L, slice_t secret, int64_t user, int64_t until_s) {
    char name[48], credential[sodium_base64_ENCODED_LEN(MAC_LEN, sodium_base64_VARIANT_ORIGINAL)];
    uint8_t mac[MAC_LEN];
    int len = snprintf(name, sizeof name, "%lld:%lld", (long long)until_s, (long long)user);
    crypt_hmac_sha1(secret, (slice_t){name, (size_t)len}, mac);
    sodium_bin2base64(credential, sizeof credential, mac, MAC_LEN, sodium_base64_VARIANT_ORIGINAL);
    lua_pushlstring(L, name, (size_t)len);
    lua_pushstring(L, credential);
}

static void push_conf(lua_State *L, const conf_t *conf, const char *key) {
    slice_t text = conf_text(conf, key);
    lua_pushlstring(L, text.at, text.len);
}

/* calls.turn(user, life_ms): the TURN servers of conf as this user's devices get them: a list of
 * {urls, username, credential}. What makes the credential is a secret of conf, which scripts cannot
 * read themselves. */
static int calls_turn(lua_State *L) {
    const conf_t *conf = ((edge_t *)lua_touserdata(L, lua_upvalueindex(1)))->conf;
    int64_t user = luaL_checkinteger(L, 1), life_s = luaL_checkinteger(L, 2) / 1000;
    luaL_argcheck(L, user > 0, 1, "a user id is expected");
    luaL_argcheck(L, life_s > 0 && life_s <= TURN_LIFE_MAX_S, 2, "a life in ms is expected");
    int64_t until_s = actor_wall_ms(script_self(L)) / 1000 + life_s;
    script_reads(L);
    size_t n = conf_list_count(conf, "call.turn");
    slice_t secret = conf_text(conf, "call.turn_secret");
    script_push(L, SLICE("[]"));
    if (n == 0)
        return 1;
    lua_createtable(L, 0, 3);
    script_push(L, SLICE("[]"));
    for (size_t i = 0; i < n; i++) {
        slice_t url = conf_list(conf, "call.turn", i);
        lua_pushlstring(L, url.at, url.len);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "urls");
    if (secret.len)
        push_own_credentials(L, secret, user, until_s);
    else {
        push_conf(L, conf, "call.turn_username");
        push_conf(L, conf, "call.turn_credential");
    }
    lua_setfield(L, -3, "credential");
    lua_setfield(L, -2, "username");
    lua_rawseti(L, -2, 1);
    return 1;
}

const script_function_t *calls_functions(size_t *count) {
    static const script_function_t functions[] = {
        {"calls", "enter", (void *)calls_enter, NULL},
        {"calls", "leave", (void *)calls_leave, NULL},
        {"calls", "active", (void *)calls_active, NULL},
        {"calls", "ended", (void *)calls_ended, NULL},
        {"calls", "turn", (void *)calls_turn, NULL},
    };
    *count = sizeof functions / sizeof functions[0];
    return functions;
}
