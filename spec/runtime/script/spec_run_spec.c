/* The specs beside the rule files: they run before a version may serve, see only what a test gives
 * them, and cannot hang or eat the node. */
#include "base/stat.h"
#include "script/wait.h"
#include "stage.h"

#define RULE(limit)                                                                                \
    "local part = require 'lib.part' "                                                             \
    "return {name = 't', policy = {may = function(n) return n <= " limit " end}, on = {"           \
    "version = function() return " limit " end, "                                                  \
    "show = function(_, req) return {name = part.name(req.id), at = now()} end}}"
#define PART                                                                                       \
    "local part = {} function part.name(id) return store.run('user', {id = id})[1].name end "      \
    "return part"

static char last_line[700];
static uint32_t lines;

static void note(void *arg, const char *line) {
    (void)arg;
    lines++;
    snprintf(last_line, sizeof last_line, "%s", line);
}

/* The built-in rules are verified, too: these are what they get from the actors floor. */
static int nothing(lua_State *L) {
    (void)L;
    return 0;
}
#define NAME(module, name)                                                                         \
    { module, name, (void *)nothing, NULL }
static const script_function_t names[] = {
    NAME("token", "pair"),        NAME("token", "read"),    NAME("login", "revoke"),
    NAME("login", "disable"),     NAME("login", "enable"),  NAME("sockets", "kick"),
    NAME("push", "users"),        NAME("push", "device"),   NAME("conversation", "changed"),
    NAME("conversation", "post"), NAME("presence", "drop"), NAME("presence", "online"),
    NAME("calls", "enter"),       NAME("calls", "leave"),   NAME("calls", "turn"),
    NAME("calls", "active"),      NAME("calls", "ended"),   NAME("files", "path"),
    NAME("files", "id"),          NAME("files", "put_url"), NAME("files", "get_url"),
    NAME("files", "body"),        NAME("files", "begin"),   NAME("files", "parts"),
    NAME("files", "look"),        NAME("files", "finish"),  NAME("files", "drop")};
#define NAMES names, sizeof names / sizeof *names

/* Verifies a service with this spec; gives the faults. */
static uint32_t verify(const char *rule, const char *spec, uint32_t *tests) {
    char lib[100];
    stage_new();
    snprintf(lib, sizeof lib, "%s/lib", stage->dir);
    mkdir(lib, 0700);
    stage_file("lib/part.lua", PART);
    stage_file("t.lua", rule);
    if (spec)
        stage_file("t_spec.lua", spec);
    stage_set("script.dir", stage->dir);
    lines = 0;
    *last_line = '\0';
    uint32_t built_in, faults = script_verify(stage->conf, NAMES, note, NULL, tests);
    remove(strcat(strcpy(lib, stage->dir), "/t_spec.lua"));
    script_verify(stage->conf, NAMES, note, NULL, &built_in);
    *tests -= built_in;
    stage_remove_all();
    return faults;
}

static void passes(const char *spec) {
    uint32_t tests;
    uint32_t faults = verify(RULE("5"), spec, &tests);
    CHECK_TEXT(last_line, strlen(last_line), "");
    CHECK_INT(faults, 0);
    CHECK_INT(tests, 1);
}

static void fails_with(const char *spec, const char *text) {
    uint32_t tests;
    CHECK_INT(verify(RULE("5"), spec, &tests), 1);
    CHECK_INT(tests, 1);
    if (!strstr(last_line, text))
        CHECK_TEXT(last_line, strlen(last_line), text);
}

#define TEST(body) "return {['a test'] = function(t) " body " end}"

SPEC("asks policies and verbs, with answers of the test in place of the store") {
    passes(TEST("t.equal(true, t.policy.may(5)) t.equal(false, t.policy.may(6))"));
    passes(TEST("t.equal({name = 'mia', at = t.NOW}, t.call('show', {id = 7}, {store = {user = "
                "function(p) t.equal({id = 7}, p) return {{name = 'mia'}} end}}))"));
    passes(TEST("t.equal({name = 'mia', at = 5}, t.call('show', {id = 7}, "
                "{now = 5, store = {user = {{name = 'mia'}}}}))"));
}

SPEC("says which test failed, what was expected and what was there") {
    fails_with(TEST("t.equal(5, 6, 'the sum')"),
               "lua/t_spec.lua: a test: lua/t_spec.lua:1: the sum: 5 expected, but it is 6");
    fails_with(TEST("t.equal({1, 2}, json.list {1})"), "[1,2] expected, but it is [1]");
    fails_with(TEST("error('boom')"), "boom");
}

SPEC("fails a test whose rule asks for what the test has no answer for, also when the rule holds "
     "it") {
    fails_with(TEST("t.call('show', {id = 1})"), "no answer for store \"user\"");
    fails_with(TEST("pcall(t.call, 'show', {id = 1})"), "no answer for store \"user\"");
    fails_with(TEST("t.with({}, function() kv.get('x') end)"), "no answer for kv.get");
}

SPEC("tells errors by their code") {
    passes(
        TEST("local e = t.fails('muted', fail, 'muted', 'be quiet') t.equal('be quiet', e.text)"));
    fails_with(TEST("t.fails('muted', fail, 'blocked')"), "muted expected");
    fails_with(TEST("t.fails('muted', function() end)"), "no error, muted expected");
}

SPEC("loads the rule anew with the conf of the test, else with the presets") {
    uint32_t tests;
    CHECK_INT(verify("local W <const> = conf 'recall.window' return {name = 't', policy = {w = "
                     "function() return W end}}",
                     TEST("t.equal(120000, t.policy.w()) t.conf('recall.window', 7) "
                          "t.equal(7, t.policy.w())"),
                     &tests),
              0);
}

SPEC("ends a test that loops or eats memory, and goes on to the next") {
    uint32_t tests;
    CHECK_INT(
        verify(RULE("5"),
               "return {a = function() while true do end end, b = function() local s = "
               "{} for i = 1, 1e9 do s[i] = ('x'):rep(1000) .. i end end, c = function() end}",
               &tests),
        2);
    CHECK_INT(tests, 3);
}

SPEC("refuses a spec that is none") {
    uint32_t tests;
    CHECK_INT(verify(RULE("5"), "return 5", &tests), 1);
    CHECK_INT(verify(RULE("5"), "return {", &tests), 1);
    CHECK_INT(verify(RULE("5"), "return {5}", &tests), 1);
}

SPEC("keeps a rule out whose specs fail, and lets one in whose specs pass") {
    stage_new();
    stage_file("t.lua", "return {name = 't', on = {version = function() return 1 end}}");
    stage_file("t_spec.lua", TEST("t.equal(true, t.call('version') < 3)"));
    CHECK(stage_open(NULL, NULL, 0));
    stage_file("t.lua", "return {name = 't', on = {version = function() return 3 end}}");
    stage_reload();
    CALL("version", 1, NULL, "1");
    stage_file("t.lua", "return {name = 't', on = {version = function() return 2 end}}");
    stage_reload();
    CALL("version", 1, NULL, "2");
    stage_free();
}

SPEC("tests the services that require a part of lib again when that changes, and no others") {
    char lib[100];
    stage_new();
    snprintf(lib, sizeof lib, "%s/lib", stage->dir);
    mkdir(lib, 0700);
    stage_file("lib/n.lua", "return {n = 1}");
    stage_file("lib/n_spec.lua", TEST("t.equal(true, t.module().n < 3)"));
    stage_file("t.lua", "local n = require 'lib.n' return {name = 't', on = {version = function() "
                        "return n.n end}}");
    stage_file("u.lua", "return {name = 'u', on = {}}");
    CHECK(stage_open(NULL, NULL, 0));
    int64_t before = stat_read(STAT_SCRIPT_REPLACED);
    stage_file("lib/n.lua", "return {n = 2}");
    stage_reload();
    CALL("version", 1, NULL, "2");
    CHECK_INT(stat_read(STAT_SCRIPT_REPLACED) - before, 1);
    stage_file("lib/n.lua", "return {n = 3}");
    stage_reload();
    CALL("version", 1, NULL, "2");
    stage_free();
}

SPEC("does not start with a rule whose specs fail") {
    stage_new();
    stage_file("t.lua", "return {name = 't', on = {}}");
    stage_file("t_spec.lua", TEST("error('not this one', 0)"));
    CHECK(!stage_open(NULL, NULL, 0));
    CHECK(strstr(stage->fault, "lua/t_spec.lua: a test: not this one") != NULL);
    stage_free();
}

SPEC_MAIN
