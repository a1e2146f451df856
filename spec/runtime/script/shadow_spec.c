/* A version in shadow sees what the one that serves is asked; what it would do is compared and
 * thrown away: no caller and nothing behind the API ever notices it. */
#include "script/wait.h"
#include "stage.h"
#include <stdatomic.h>

/* w.add(n): the world that must not be touched; gives how much it has */
static _Atomic int64_t world;
static int w_add(lua_State *L) {
    script_self(L);
    lua_pushinteger(L, atomic_fetch_add(&world, luaL_checkinteger(L, 1)));
    return 1;
}
static int w_secret(lua_State *L) {
    lua_pushliteral(L, "tok");
    return 1;
}
static int w_broken(lua_State *L) {
    return script_fail(L, ERR_BUSY, "the world is busy");
}
static const script_function_t functions[] = {{"w", "add", (void *)w_add, NULL},
                                              {"token", "make", (void *)w_secret, NULL},
                                              {"w", "broken", (void *)w_broken, NULL}};

#define SERVICE(on) "return {name = 't', on = {got = function() end, " on "}}"
#define KEEPING(on) "return {name = 't', init = function() return {n = 0} end, on = {" on "}}"

static const stage_answer_t *order(script_op_t op) {
    script_order_t o = {.op = op, .service = "t"};
    return stage_order(&o);
}

/* Good until the next one is asked for. */
static const char *shown(void) {
    const char *body = order(SCRIPT_SHADOW_SHOW)->body;
    stage_forget();
    return body;
}

static int64_t count_of(const char *name) {
    char key[40];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(shown(), key);
    return at ? atoll(at + strlen(key)) : -1;
}

/* Has the shadow looked at that many? */
static bool looked_at(int64_t n) {
    return COMES(count_of("same") + count_of("differed") + count_of("failed") == n);
}

static bool shows(const char *text) {
    bool is = strstr(shown(), text) != NULL;
    if (!is)
        printf("%s\n", shown());
    return is;
}

static void begin_with(const char *first, const char *second) {
    stage_file("t.lua", first);
    CHECK(stage_open(NULL, functions, 3));
    stage_file("t.lua", second);
    const stage_answer_t *a = order(SCRIPT_SHADOW_ON);
    CHECK_INT(a->err, ERR_OK);
    if (!strstr(a->body, "\"result\":\"shadow\""))
        printf("%s\n", a->body);
    CHECK(strstr(a->body, "\"result\":\"shadow\""));
}

static void begin(const char *first, const char *second) {
    stage_new();
    stage_set("script.shadow_rate", "1000");
    begin_with(first, second);
}

SPEC("that does the same is the same: answers, refusals, waits, chance, time, and what it reads") {
    const char *body =
        "add = function(_, req) local before = w.add(req.n) "
        "local twice = call('t', 'twice', 77, {n = before}) send('t', 'got', 5, {}) "
        "return {twice = twice, chance = random.int(1, 1000000), now = now(), "
        "bytes = random.bytes(8)} end, twice = function(_, req) return req.n * 2 end, "
        "no = function() fail('forbidden', 'not so', {why = 'x'}) end, "
        "busy = function() local ok, e = pcall(w.broken) return e.text end, "
        "boom = function() error('boom') end";
    char first[1200], second[1200];
    snprintf(first, sizeof first, SERVICE("%s"), body);
    snprintf(second, sizeof second, SERVICE("%s") " -- two", body);
    begin(first, second);
    for (uint64_t key = 1; key <= 5; key++)
        CHECK_INT(stage_wait(stage_start("add", key, "{\"n\":3}"))->err, ERR_OK);
    CHECK_INT(stage_wait(stage_start("no", 1, NULL))->err, ERR_FORBIDDEN);
    CALL("busy", 1, NULL, "\"the world is busy\"");
    CALL("boom", 1, NULL, INTERNAL_ERROR);
    CHECK(looked_at(13)); /* 5 add, 5 twice, no, busy, boom */
    CHECK_INT(count_of("same"), 13);
    CHECK_INT(count_of("not_looked_at"), 0);
    CHECK(shows("\"differences\":[]"));
    stage_free();
}

SPEC("that answers otherwise is told with both answers; the caller has that of the serving one") {
    begin(SERVICE("v = function(_, req) return {v = 1, n = req.n} end"),
          SERVICE("v = function(_, req) return {v = 2, n = req.n} end"));
    CALL("v", 7, "{\"n\":4}", "{\"n\":4,\"v\":1}");
    CHECK(looked_at(1));
    CHECK_INT(count_of("differed"), 1);
    CHECK(shows("\"of\":\"request\",\"verb\":\"v\",\"key\":7,\"what\":\"another answer\","
                "\"live\":\"{\\\"n\\\":4,\\\"v\\\":1}\",\"shadow\":\"{\\\"n\\\":4,\\\"v\\\":2}\""));
    stage_free();
}

SPEC("that refuses what was granted is told with its code") {
    begin(SERVICE("v = function() return 1 end"),
          SERVICE("v = function() fail('forbidden', 'not you') end"));
    CALL("v", 1, NULL, "1");
    CHECK(looked_at(1));
    CHECK(shows("\"live\":\"1\",\"shadow\":\"forbidden: not you\""));
    stage_free();
}

SPEC("that calls something else, with other arguments, more or less is told, and nothing happens") {
    begin(SERVICE("a = function() return w.add(1) end, b = function() w.add(1) end, "
                  "c = function() return 1 end, d = function() w.add(1) end"),
          SERVICE("a = function() return w.add(2) end, b = function() send('t', 'got', 1, {}) end, "
                  "c = function() w.add(5) return 1 end, d = function() end"));
    atomic_store(&world, 0);
    CALL("a", 1, NULL, "0");
    CHECK(looked_at(1));
    CHECK(shows("\"what\":\"another call\",\"live\":\"w.add(1)\",\"shadow\":\"w.add(2)\""));
    CALL("b", 1, NULL, "null");
    CHECK(looked_at(2));
    CHECK(shows("\"live\":\"w.add(1)\",\"shadow\":\"send(\\\"t\\\", \\\"got\\\", 1, {})\""));
    CALL("c", 1, NULL, "1");
    CHECK(looked_at(3));
    CHECK(shows("\"what\":\"a call more\",\"live\":\"nothing\",\"shadow\":\"w.add(5)\""));
    CALL("d", 1, NULL, "null");
    CHECK(looked_at(4));
    CHECK(shows("\"what\":\"a call less\",\"live\":\"w.add(1)\",\"shadow\":\"nothing\""));
    CHECK_INT(count_of("differed"), 4);
    CHECK_INT(atomic_load(&world), 3); /* a, b, d of the serving version */
    stage_free();
}

SPEC("that holds the error of another call in a pcall still differs") {
    begin(SERVICE("a = function() w.add(1) return 1 end"),
          SERVICE("a = function() pcall(w.add, 2) pcall(w.add, 1) return 1 end"));
    CALL("a", 1, NULL, "1");
    CHECK(looked_at(1));
    CHECK_INT(count_of("differed"), 1);
    stage_free();
}

SPEC("that fails is told as failed; the node goes on") {
    begin(SERVICE("a = function() return 1 end"), SERVICE("a = function() error('boom') end"));
    CALL("a", 1, NULL, "1");
    CHECK(looked_at(1));
    CHECK_INT(count_of("failed"), 1);
    CHECK(shows("\"what\":\"a fault\",\"live\":\"1\",\"shadow\":\"fault: lua/t.lua:1: boom\""));
    CALL("a", 1, NULL, "1");
    CHECK(looked_at(2));
    stage_free();
}

#ifndef __SANITIZE_THREAD__ /* it holds the watchdog's signal back: see tools/test */
SPEC("that never ends is ended and told as failed; the node goes on") {
    stage_new();
    stage_set("script.slice", "50ms");
    stage_set("script.hold", "50ms");
    begin_with(SERVICE("a = function() return 1 end, b = function() return 1 end"),
               SERVICE("a = function() return 1 end, b = function() while true do end end"));
    CALL("b", 1, NULL, "1");
    CHECK(looked_at(1));
    CHECK_INT(count_of("failed"), 1);
    CHECK(shows("\"what\":\"it was ended\""));
    CALL("a", 1, NULL, "1");
    CHECK(looked_at(2));
    stage_free();
}
#endif

SPEC("begins with the state that the serving version had") {
    begin(KEEPING("add = function(s, req) s.n = s.n + req.n return s.n end"),
          KEEPING("add = function(s, req) s.n = s.n + (s.n > 4 and 0 or req.n) return s.n end"));
    CALL("add", 1, "{\"n\":3}", "3");
    CALL("add", 1, "{\"n\":3}", "6");
    CHECK(looked_at(2));
    CHECK_INT(count_of("same"), 2);
    CALL("add", 1, "{\"n\":3}", "9");
    CHECK(looked_at(3));
    CHECK(shows("\"live\":\"9\",\"shadow\":\"6\",\"fresh_state\":false"));
    stage_free();
}

SPEC("begins with a fresh state where the serving version's is too large, and says so") {
    begin("return {name = 't', init = function() return {s = ('x'):rep(100000), n = 1} end, "
          "on = {n = function(s) s.n = s.n + 1 return s.n end}}",
          "return {name = 't', init = function() return {n = 1} end, "
          "on = {n = function(s) s.n = s.n + 1 return s.n end}}");
    CALL("n", 1, NULL, "2");
    CALL("n", 1, NULL, "3");
    CHECK(looked_at(2));
    CHECK(shows("\"live\":\"3\",\"shadow\":\"2\",\"fresh_state\":true"));
    stage_free();
}

static int64_t policy(script_policy_t *p, int64_t n) {
    int64_t args[2] = {n, 2}, out = -1;
    return stage_policy(p, args, 2, &out) == ERR_OK ? out : -999;
}

#define POLICY(f) "return {name = 't', on = {}, policy = {p = function(a, b) " f " end}}"

SPEC("of a policy is compared by its integer; the caller has that of the serving one") {
    begin(POLICY("return a + b"),
          POLICY("if a == 5 then return 0 elseif a == 6 then error('boom') end return a + b"));
    script_policy_t *p = script_policy(stage->script, "t.p");
    CHECK_INT(policy(p, 1), 3);
    CHECK(looked_at(1));
    CHECK_INT(count_of("same"), 1);
    CHECK_INT(policy(p, 5), 7);
    CHECK(looked_at(2));
    CHECK(shows("\"of\":\"policy\",\"verb\":\"p\",\"key\":0,\"what\":\"another number\","
                "\"live\":\"7 of (5, 2)\",\"shadow\":\"0 of (5, 2)\""));
    CHECK_INT(policy(p, 6), 8);
    CHECK(looked_at(3));
    CHECK_INT(count_of("failed"), 1);
    CHECK_INT(order(SCRIPT_SHADOW_OFF)->err, ERR_OK);
    CHECK_INT(policy(p, 6), 8);
    stage_free();
}

SPEC("shows no secrets: of answers, of arguments at any depth, of tokens") {
    begin(SERVICE("v = function(_, req) return {access_token = req.t, deep = {{password = 'pw-1', "
                  "code = '4711'}}, n = 1} end, c = function(_, req) call('t', 'got', 9, {a = "
                  "{secret = 'se-1', n = 1}}) end, k = function() token.make('to-1') end"),
          SERVICE("v = function(_, req) return {access_token = req.t, deep = {{password = 'pw-2', "
                  "code = '4712'}}, n = 2} end, c = function(_, req) call('t', 'got', 9, {a = "
                  "{secret = 'se-2', n = 2}}) end, k = function() token.make('to-2') end"));
    stage_call("v", 1, "{\"t\":\"at-1\"}");
    stage_call("c", 1, NULL);
    stage_call("k", 1, NULL);
    CHECK(looked_at(4)); /* got, too */
    CHECK_INT(count_of("differed"), 3);
    static const char *const secrets[] = {"pw-", "471", "at-", "se-", "to-"};
    for (int i = 0; i < 5; i++)
        CHECK(!strstr(shown(), secrets[i]));
    CHECK(shows("\\\"password\\\":\\\"***\\\""));
    CHECK(shows("token.make(***)"));
    stage_free();
}

SPEC("shows nothing that people wrote or are called, but whether it is the same") {
    begin(SERVICE(
              "v = function(_, req) return {{text = {text = 'dear tom'}, title = 'same'}, {name = "
              "'lena', n = 1}} end, c = function(_, req) call('t', 'got', 9, {message = 'hi x', "
              "phone = '+49170', n = 1}) end"),
          SERVICE(
              "v = function(_, req) return {{text = {text = 'dear kim'}, title = 'same'}, {name = "
              "'tom', n = 1}} end, c = function(_, req) call('t', 'got', 9, {message = 'hi x', "
              "phone = '+49171', n = 2}) end"));
    stage_call("v", 1, NULL);
    stage_call("c", 1, NULL);
    CHECK(looked_at(3)); /* got, too */
    CHECK_INT(count_of("differed"), 2);
    static const char *const personal[] = {"dear", "tom", "kim", "lena", "hi x", "+49", "same\\"};
    for (int i = 0; i < 7; i++)
        CHECK(!strstr(shown(), personal[i]));
    CHECK(shows("\\\"text\\\":\\\"*** 8 bytes, another one\\\""));
    CHECK(shows("\\\"title\\\":\\\"*** 4 bytes\\\""));
    CHECK(shows("\\\"message\\\":\\\"*** 4 bytes\\\""));
    CHECK(shows("\\\"phone\\\":\\\"*** 6 bytes, another one\\\""));
    stage_free();
}

SPEC("sees so many a second of a VM and no more, and says how many it did not") {
    stage_new();
    stage_set("script.shadow_rate", "1");
    stage_set("script.shards", "1");
    begin_with(SERVICE("v = function() return 1 end"), SERVICE("v = function() return 2 end"));
    for (int i = 0; i < 100; i++)
        CALL("v", 1, NULL, "1");
    CHECK(count_of("not_looked_at") >= 50);
    CHECK(looked_at(100 - count_of("not_looked_at")));
    CHECK_INT(count_of("seen"), 100);
    stage_free();
}

SPEC("keeps the last 32 differences, with bounded texts") {
    begin(SERVICE("v = function(_, req) return {req.n, ('a'):rep(5000)} end"),
          SERVICE("v = function(_, req) return {req.n, ('\xc3\xbc'):rep(5000)} end"));
    char json[32];
    for (int i = 1; i <= 40; i++) {
        snprintf(json, sizeof json, "{\"n\":%d}", i);
        stage_call("v", (uint64_t)i, json);
    }
    CHECK(looked_at(40));
    CHECK(shows("\"differed\":40"));
    CHECK(shows("\"key\":40,"));
    stage_free();
}

SPEC("that could not be noted is not looked at, and the request is served") {
    begin(SERVICE("v = function() w.add(0) for i = 1, 3 do call('t', 'big', 9, {s = "
                  "('x'):rep(30000)}) end return 1 end, big = function() end"),
          SERVICE("v = function() return 2 end, big = function() end"));
    CALL("v", 1, NULL, "1");
    CHECK(looked_at(3));
    CHECK_INT(count_of("same"), 3);
    CHECK_INT(count_of("not_looked_at"), 1);
    stage_free();
}

SPEC("never serves, not even when it ends; the history and the list tell of it") {
    begin(SERVICE("v = function() return 1 end"), SERVICE("v = function() return 2 end"));
    script_order_t list = {.op = SCRIPT_LIST}, history = {.op = SCRIPT_HISTORY, .service = "t"};
    CHECK(strstr(stage_order(&list)->body, "\"shadow\":{\"number\":2,"));
    CHECK(strstr(stage_order(&history)->body, "\"state\":\"shadow\""));
    CALL("v", 1, NULL, "1");
    const stage_answer_t *a = order(SCRIPT_SHADOW_OFF);
    CHECK(strstr(a->body, "\"result\":\"ended\""));
    CALL("v", 1, NULL, "1");
    CHECK(strstr(stage_order(&list)->body, "\"shadow\":null"));
    CHECK(strstr(stage_order(&history)->body, "\"state\":\"ended\""));
    CHECK_INT(order(SCRIPT_SHADOW_OFF)->err, ERR_NOT_FOUND);
    CHECK_INT(order(SCRIPT_SHADOW_SHOW)->err, ERR_NOT_FOUND);
    stage_free();
}

SPEC("is refused when it does not load, or its specs fail, or nothing has changed") {
    stage_new();
    stage_file("t.lua", SERVICE("v = function() return 1 end"));
    CHECK(stage_open(NULL, functions, 3));
    CHECK_INT(order(SCRIPT_SHADOW_ON)->err, ERR_CONFLICT);
    stage_file("t.lua", "return {");
    const stage_answer_t *a = order(SCRIPT_SHADOW_ON);
    CHECK_INT(a->err, ERR_OK);
    CHECK(strstr(a->body, "\"result\":\"refused\",\"reason\":\"lua/t.lua:1:"));
    CHECK_INT(order(SCRIPT_SHADOW_SHOW)->err, ERR_NOT_FOUND);
    CALL("v", 1, NULL, "1");
    stage_free();
}

SPEC("gives way to the next one, and goes on while another version comes to serve") {
    begin(SERVICE("v = function() return 1 end"), SERVICE("v = function() return 2 end"));
    stage_file("t.lua", SERVICE("v = function() return 3 end"));
    CHECK_INT(order(SCRIPT_SHADOW_ON)->err, ERR_OK);
    CHECK_INT(count_of("number"), 3);
    stage_reload();
    CALL("v", 1, NULL, "3");
    CHECK(looked_at(1));
    CHECK_INT(count_of("same"), 1);
    stage_free();
}

SPEC_MAIN
