/* What services promise: handlers as coroutines with state, errors as answers, order by key,
 * deadlines, timers, calls. */
#include "script/wait.h"
#include "stage.h"

SPEC("answers a call with what the handler returns, as JSON with sorted keys") {
    CHECK(stage_service(
        "t", "return {name = 't', version = 1, init = function(arg) return {n = 0} end, on = {"
             "echo = function(state, req, ctx) return {req = req, key = ctx.key} end,"
             "nothing = function() end,"
             "add = function(state, req) state.n = state.n + req.by return state.n end}}"));
    CALL("echo", 7, "{\"b\":[],\"a\":{\"x\":1.5}}",
         "{\"key\":7,\"req\":{\"a\":{\"x\":1.5},\"b\":[]}}");
    CALL("nothing", 7, "{}", "null");
    CALL("add", 7, "{\"by\":2}", "2");
    CALL("add", 7, "{\"by\":3}", "5");
    stage_free();
}

SPEC("answers fail with its code, text and extra members") {
    CHECK(stage_service(
        "t",
        "return {name = 't', on = {"
        "plain = function() fail('not_found') end,"
        "text = function() fail('bad_request', 'invalid contact id') end,"
        "extra = function() fail('rate_limited', nil, {retry_after_ms = 800}) end,"
        "held = function() local ok, e = pcall(fail, 'blocked') return {ok = ok, code = e.code, "
        "text = e.text, says = tostring(e)} end,"
        "again = function() local ok, e = pcall(fail, 'muted') error(e) end,"
        "unknown = function() fail('no_such_code') end}}"));
    const stage_answer_t *a = stage_wait(stage_start("plain", 1, NULL));
    CHECK_INT(a->err, ERR_NOT_FOUND);
    CALL("plain", 1, NULL, "{\"error\":\"not found\",\"code\":\"not_found\"}");
    CALL("text", 1, NULL, "{\"error\":\"invalid contact id\",\"code\":\"bad_request\"}");
    CALL("extra", 1, NULL,
         "{\"error\":\"rate limit exceeded\",\"code\":\"rate_limited\",\"retry_after_ms\":800}");
    CALL("held", 1, NULL,
         "{\"code\":\"blocked\",\"ok\":false,\"says\":\"blocked: contact is "
         "blocked\",\"text\":\"contact is blocked\"}");
    CALL("again", 1, NULL, "{\"error\":\"you are muted\",\"code\":\"muted\"}");
    CALL("unknown", 1, NULL, INTERNAL_ERROR);
    stage_free();
}

SPEC("answers internal to a fault of the script and goes on with the next request") {
    CHECK(stage_service("t",
                        "return {name = 't', on = {"
                        "nil_index = function(state, req) return req.a.b.c end,"
                        "bad_result = function() return fail end,"
                        "loop = function() while true do end end,"
                        "bomb = function() local t = {} while true do t[#t + 1] = {} end end,"
                        "deep = function() local function f() return 1 + f() end return f() end,"
                        "odd = function() error({}) end,"
                        "fine = function() return 'fine' end}}"));
    static const char *const verbs[] = {"nil_index", "bad_result", "loop",        "bomb",
                                        "deep",      "odd",        "no_such_verb"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        CALL(verbs[i], 1, "{}", INTERNAL_ERROR);
        CALL("fine", 1, "{}", "\"fine\"");
    }
    CALL("fine", 1, "{bad json", "{\"error\":\"invalid request\",\"code\":\"bad_request\"}");
    stage_free();
}

/* A wait that the spec ends: gate.wait() yields until gate.open was called; C functions of the
 * actors floor do this. */
static int take_gate(lua_State *L, const msg_t *reply, int64_t arg) {
    script_check(L, reply);
    lua_pushinteger(L, arg);
    return 1;
}

static actor_ref_t gate;
static int gate_wait(lua_State *L) {
    script_wait_t w = script_wait(L);
    actor_request(w.self, gate, msg_new(MSG_USER, 0), w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, take_gate, luaL_optinteger(L, 1, 0));
}

typedef struct gate_state {
    msg_t *waiting[100];
    uint32_t count;
    bool open;
} gate_state_t;

static void gate_handle(actor_t *self, void *state, msg_t *m) {
    gate_state_t *g = state;
    if (m->verb == MSG_USER && !g->open && g->count < 100) {
        actor_keep(self, m);
        g->waiting[g->count++] = m;
    } else if (m->verb == MSG_USER) {
        actor_reply(self, m, ERR_OK, NULL);
    } else if (m->verb == MSG_USER + 1) {
        g->open = true;
        while (g->count > 0)
            actor_reply(self, g->waiting[--g->count], ERR_OK, NULL);
    }
}
static const actor_class_t gate_class = {
    .name = "gate", .state_size = sizeof(gate_state_t), .handle = gate_handle};

static bool gated_service(const char *text) {
    static const script_function_t f = {"gate", "wait", (void *)gate_wait, NULL};
    stage_new();
    stage_file("t.lua", text);
    if (!stage_open(NULL, &f, 1))
        return false;
    gate = actor_spawn(stage->rt, NULL, &gate_class, 0, -1, NULL);
    return true;
}

static void open_gate(void) {
    runtime_send(stage->rt, gate, msg_new(MSG_USER + 1, 0));
}

SPEC("handles requests of one key one after the other while other keys go on, and does not queue "
     "concurrent verbs") {
    stage_new();
    stage_set("script.shards", "1");
    stage_file(
        "t.lua",
        "return {name = 't', init = function() return {log = json.list {}} end, concurrent = {peek "
        "= true}, "
        "on = {step = function(state, req) table.insert(state.log, req.n .. '<') gate.wait() "
        "table.insert(state.log, req.n .. '>') return req.n end,"
        "quick = function(state, req) return req.n end,"
        "peek = function(state) return state.log end}}");
    static const script_function_t f = {"gate", "wait", (void *)gate_wait, NULL};
    CHECK(stage_open(NULL, &f, 1));
    gate = actor_spawn(stage->rt, NULL, &gate_class, 0, -1, NULL);
    uint64_t one = stage_start("step", 5, "{\"n\":1}"), two = stage_start("step", 5, "{\"n\":2}"),
             three = stage_start("quick", 5, "{\"n\":3}");
    CALL("quick", 6, "{\"n\":4}", "4"); /* another key passes */
    CALL("peek", 5, NULL, "[\"1<\"]");  /* and a concurrent verb */
    CHECK(!stage_there(three));
    open_gate();
    ANSWERS(one, "1");
    ANSWERS(two, "2");
    ANSWERS(three, "3");
    CALL("peek", 5, NULL, "[\"1<\",\"1>\",\"2<\",\"2>\"]");
    stage_free();
}

SPEC("gives a C function's reply to the waiting handler, also inside pcall") {
    CHECK(gated_service(
        "return {name = 't', on = {"
        "wait = function() return gate.wait(41) + 1 end,"
        "held = function() local ok, v = pcall(gate.wait, 5) return {ok = ok, v = v} end,"
        "inside = function() return (('a'):gsub('a', function() gate.wait() end)) end,"
        "sorted = function() local t = {2, 3, 1} table.sort(t, function(a, b) gate.wait() return a "
        "< b end) return t end}}"));
    open_gate();
    CALL("wait", 1, NULL, "42");
    CALL("held", 1, NULL, "{\"ok\":true,\"v\":5}");
    CALL("inside", 1, NULL, INTERNAL_ERROR);
    CALL("sorted", 1, NULL, "[1,2,3]");
    CALL("wait", 1, NULL, "42");
    stage_free();
}

SPEC("answers timeout at the deadline, gives the handler up and lets the next of the key run") {
    stage_new();
    stage_set("script.timeout", "100ms");
    stage_file("t.lua", "return {name = 't', on = {wait = function() gate.wait() return 'late' end,"
                        "fine = function() return 'fine' end}}");
    static const script_function_t f = {"gate", "wait", (void *)gate_wait, NULL};
    CHECK(stage_open(NULL, &f, 1));
    gate = actor_spawn(stage->rt, NULL, &gate_class, 0, -1, NULL);
    uint64_t stuck = stage_start("wait", 1, NULL), queued = stage_start("wait", 1, NULL);
    CHECK_INT(stage_wait(stuck)->err, ERR_TIMEOUT);
    ANSWERS(stuck, "{\"error\":\"context deadline exceeded\",\"code\":\"timeout\"}");
    CHECK_INT(stage_wait(queued)->err, ERR_TIMEOUT);
    CHECK(stage_becomes("fine", "\"fine\"")); /* a busy machine may be late, too */
    open_gate();                              /* the late replies find nobody */
    CHECK(stage_becomes("fine", "\"fine\""));
    stage_free();
}

SPEC("gives a patient verb all of its caller's deadline") {
    stage_new();
    stage_set("script.timeout", "100ms");
    stage_file("t.lua", "return {name = 't', patient = {'slow'}, on = {"
                        "slow = function() return gate.wait(42) end,"
                        "wait = function() return gate.wait() end}}");
    static const script_function_t f = {"gate", "wait", (void *)gate_wait, NULL};
    CHECK(stage_open(NULL, &f, 1));
    gate = actor_spawn(stage->rt, NULL, &gate_class, 0, -1, NULL);
    uint64_t slow = stage_start("slow", 1, NULL), soon = stage_start_in("t", "slow", 2, NULL, 150),
             stuck = stage_start("wait", 3, NULL);
    CHECK_INT(stage_wait(stuck)->err, ERR_TIMEOUT);
    CHECK_INT(stage_wait(soon)->err, ERR_TIMEOUT);
    CHECK(!stage_there(slow));
    open_gate();
    ANSWERS(slow, "42");
    stage_free();
}

SPEC("answers busy above script.queue and recovers") {
    stage_new();
    stage_set("script.shards", "1");
    stage_set("script.queue", "16");
    stage_file("t.lua",
               "return {name = 't', on = {wait = function() gate.wait() return 'done' end}}");
    static const script_function_t f = {"gate", "wait", (void *)gate_wait, NULL};
    CHECK(stage_open(NULL, &f, 1));
    gate = actor_spawn(stage->rt, NULL, &gate_class, 0, -1, NULL);
    uint64_t numbers[17];
    for (uint64_t i = 0; i < 17; i++)
        numbers[i] = stage_start("wait", i, NULL);
    ANSWERS(numbers[16], "{\"error\":\"server busy\",\"code\":\"busy\"}");
    CHECK_INT(stage_wait(numbers[16])->err, ERR_BUSY);
    open_gate();
    for (int i = 0; i < 16; i++)
        ANSWERS(numbers[i], "\"done\"");
    CALL("wait", 1, NULL, "\"done\"");
    stage_free();
}

SPEC("runs after() once, later, under its key, unless it was cancelled; every() again and again") {
    CHECK(stage_service(
        "t",
        "return {name = 't', init = function(arg) return {shard = arg.shard, seen = 0, ticks = 0, "
        "own = 0} end,"
        "every = {{10, 'tick'}, {10, 'own', each = true}}, on = {"
        "later = function(state, req, ctx) local id = after(1, 'note', {n = 5}) "
        "local gone = after(1, 'note', {n = 100}) return {cancel(gone), cancel(gone), id > 0} end,"
        "note = function(state, req, ctx) state.seen = state.seen + req.n + ctx.key end,"
        "tick = function(state) state.ticks = state.ticks + 1 end,"
        "own = function(state) state.own = state.own + 1 end,"
        "seen = function(state) return state.seen end,"
        "ticked = function(state) return {own = state.own > 3, "
        "right = (state.ticks > 3) == (state.shard == 1)} end}}"));
    CALL("later", 1, NULL, "[true,false,true]");
    CHECK(stage_becomes("seen", "6"));
    CHECK(stage_becomes("ticked", "{\"own\":true,\"right\":true}"));
    stage_free();
}

SPEC("calls other services and itself, gives the callee's error on, and refuses to wait for its "
     "own key") {
    stage_new();
    stage_file(
        "t.lua",
        "return {name = 't', on = {"
        "ask = function(state, req) return call('u', 'double', 9, req) end,"
        "bad = function() return call('u', 'refuse', 9) end,"
        "held = function() local ok, e = pcall(call, 'u', 'refuse', 9) return {e.code, e.text, "
        "e.extra.left} end,"
        "broken = function() return call('u', 'broken', 9) end,"
        "nobody = function() return call('none', 'x', 1) end,"
        "own = function(state, req, ctx) return call('t', 'ask', ctx.key, {n = 1}) end,"
        "other = function(state, req, ctx) return call('t', 'ask', ctx.key + 1, {n = 1}) end,"
        "tell = function() send('u', 'count', 3, {by = 2}) return 'sent' end,"
        "told = function() return call('u', 'counted', 3) end}}");
    stage_file("u.lua", "return {name = 'u', init = function() return {n = 0} end, on = {"
                        "double = function(state, req) return {n = req.n * 2} end,"
                        "refuse = function() fail('group_full', 'no room', {left = 3}) end,"
                        "broken = function() return nil + 1 end,"
                        "count = function(state, req) state.n = state.n + req.by end,"
                        "counted = function(state) return state.n end}}");
    CHECK(stage_open(NULL, NULL, 0));
    CALL("ask", 1, "{\"n\":21}", "{\"n\":42}");
    CALL("bad", 1, NULL, "{\"error\":\"no room\",\"code\":\"group_full\",\"left\":3}");
    CALL("held", 1, NULL, "[\"group_full\",\"no room\",3]");
    CALL("broken", 1, NULL, INTERNAL_ERROR);
    CALL("nobody", 1, NULL, INTERNAL_ERROR);
    CALL("own", 1, NULL, INTERNAL_ERROR);
    CALL("other", 1, NULL, "{\"n\":2}");
    CALL("tell", 1, NULL, "\"sent\"");
    CHECK(stage_becomes("told", "2"));
    stage_free();
}

SPEC("gives conf values by type, keeps secrets, and has time, hash, random and JSON") {
    stage_new();
    stage_set("auth.secret", "0123456789abcdef0123456789abcdef");
    stage_file(
        "t.lua",
        "return {name = 't', on = {"
        "conf = function() return {conf 'script.timeout', conf 'script.memory', conf 'test.echo', "
        "conf 'limits.http_user', conf 'http.cors_origins'} end,"
        "secret = function() return conf 'auth.secret' end, "
        "none = function() return conf 'no.key' end,"
        "misc = function() local n = random.int(3, 5) return {now() > 1700000000000, "
        "hash.sha256('abc'), #random.bytes(16), n >= 3 and n <= 5, json.encode({b = 1, a = {}}), "
        "json.decode('[1]')[1], json.decode('[') == nil, json.encode(json.list {})} end}}");
    CHECK(stage_open(NULL, NULL, 0));
    CALL("conf", 1, NULL, "[60000,67108864,false,{\"burst\":100,\"per_s\":50},[]]");
    CALL("secret", 1, NULL, INTERNAL_ERROR);
    CALL("none", 1, NULL, INTERNAL_ERROR);
    CALL("misc", 1, NULL,
         "[true,\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",22,true,"
         "\"{\\\"a\\\":{},\\\"b\\\":1}\",1,true,\"[]\"]");
    stage_free();
}

static bool refuses(const char *text, const char *part) {
    bool opened = stage_service("t", text);
    bool right = !opened && strstr(stage->fault, part);
    if (!right)
        printf("fault: '%s'\n", stage->fault);
    stage_free();
    return right;
}

SPEC("does not open with a broken service and says where it is broken") {
    CHECK(refuses("return {", "lua/t.lua:1:"));
    CHECK(refuses("\nx = 1 return {}", "lua/t.lua:2: globals are frozen: 'x'"));
    CHECK(refuses("return 5", "lua/t.lua: a service file returns a table"));
    CHECK(refuses("return {name = 'u'}", "lua/t.lua: its name is 'u'"));
    CHECK(refuses("return {name = 't', on = {x = 1}}", "on.x must be a function"));
    CHECK(refuses("return {name = 't', init = function() error('no state') end}",
                  "lua/t.lua:1: no state"));
    CHECK(refuses("return {name = 't', init = function() return store.run('x') end}",
                  "this node has no store"));
    CHECK(refuses("return {name = 't', init = function() return call('t', 'x', 1) end}",
                  "no handler"));
    CHECK(refuses("while true do end", "ran too long"));
    CHECK(refuses("return {name = 't', every = {{1, 'x'}}}", "at least 10"));
}

SPEC_MAIN
