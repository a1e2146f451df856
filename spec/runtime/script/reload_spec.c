/* What a reload promises: the new text serves, the state is carried over, a broken one changes
 * nothing; and what policies promise, before and after it. */
#include "base/stat.h"
#include "stage.h"

#define INIT "init = function() return {n = 0} end,"
#define SERVICE(version, more)                                                                     \
    "return {name = 't', version = " version ", " more                                             \
    " on = {add = function(state) state.n = state.n + 1 return state.n end, "                      \
    "version = function() return " version " end}}"

SPEC("serves the new text after a reload and keeps the state") {
    CHECK(stage_service("t", SERVICE("1", INIT)));
    CALL("add", 1, NULL, "1");
    CALL("add", 1, NULL, "2");
    stage_file("t.lua", SERVICE("2", INIT));
    stage_reload();
    CHECK(stage_becomes("version", "2"));
    CALL("add", 1, NULL, "3");
    stage_free();
}

SPEC("hands state and old version to upgrade") {
    CHECK(stage_service("t", SERVICE("1", INIT)));
    CALL("add", 1, NULL, "1");
    stage_file("t.lua",
               SERVICE("2", INIT
                       "upgrade = function(state, from) return {n = state.n + from * 100} end,"));
    stage_reload();
    CHECK(stage_becomes("version", "2"));
    CALL("add", 1, NULL, "102");
    stage_free();
}

static void keeps_old(const char *text) {
    CHECK(stage_service("t", SERVICE("1", INIT)));
    CALL("add", 1, NULL, "1");
    stage_file("t.lua", text);
    stage_reload();
    CALL("add", 1, NULL, "2");
    CALL("version", 1, NULL, "1");
    stage_file("t.lua", SERVICE("3", INIT)); /* a good one after it comes through */
    stage_reload();
    CHECK(stage_becomes("version", "3"));
    CALL("add", 1, NULL, "3");
    stage_free();
}

SPEC("keeps the old version when the new one has a syntax error") {
    keeps_old("return {");
}
SPEC("keeps the old version when init of the new one fails") {
    keeps_old(SERVICE("2", "init = function() error('no') end,"));
}
SPEC("keeps the old version when upgrade fails") {
    keeps_old(SERVICE("2", INIT "upgrade = function() error('no') end,"));
}
SPEC("keeps the old version when upgrade gives nothing") {
    keeps_old(SERVICE("2", INIT "upgrade = function() end,"));
}

SPEC("keeps the old version when its state is no plain data") {
    CHECK(stage_service(
        "t", "return {name = 't', init = function() return {f = function() end} end, on = {"
             "version = function() return 1 end}}"));
    stage_file("t.lua", SERVICE("2", INIT));
    stage_reload();
    CALL("version", 1, NULL, "1");
    stage_free();
}

/* Holds its worker until it is released. */
static _Atomic bool release;
static _Atomic uint32_t held;

static void hold(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
        return;
    }
    atomic_fetch_add(&held, 1);
    while (!atomic_load(&release))
        usleep(1000);
}
static const actor_class_t holder = {.name = "holder", .place = ACTOR_PINNED, .handle = hold};

static void hold_workers(void) {
    atomic_store(&release, false);
    atomic_store(&held, 0);
    for (uint32_t i = 0; i < stage_workers; i++)
        runtime_send(stage->rt, actor_spawn(stage->rt, NULL, &holder, i, (int)i, NULL),
                     msg_new(MSG_USER, 0));
    while (atomic_load(&held) < stage_workers)
        usleep(1000);
}

/* What this key meets; one that was late says nothing. */
static bool serves(uint64_t key, const char *version) {
    const stage_answer_t *a;
    do {
        a = stage_wait(stage_start("version", key, NULL));
        stage_forget();
    } while (a->err == ERR_TIMEOUT);
    return strcmp(a->body, version) == 0;
}
static bool all_serve(const char *version) {
    for (uint64_t key = 0; key < 16; key++)
        if (!serves(key, version))
            return false;
    return true;
}

SPEC("a shard that reads the order too late swaps nothing: the old version serves everywhere") {
    stage_new();
    stage_set("script.timeout", "200ms"); /* a shard is asked for twice as long */
    stage_file("t.lua", SERVICE("1", INIT));
    CHECK(stage_open(NULL, NULL, 0));
    stage_file("t.lua", SERVICE("2", INIT));
    hold_workers();
    stage_reload();
    atomic_store(&release, true);
    CHECK(all_serve("1"));
    for (int i = 0; i < 100 && !all_serve("2"); i++)
        stage_reload(); /* nothing is in its way now but a busy machine */
    CHECK(all_serve("2"));
    stage_free();
}

SPEC("a reload tells of a file whose service the node does not run, and that it needs a restart") {
    CHECK(stage_service("t", SERVICE("1", INIT)));
    stage_file("fresh.lua", "return {name = 'fresh', on = {}}");
    script_order_t all = {.op = SCRIPT_RELOAD}, one = all, other = all;
    snprintf(one.service, sizeof one.service, "fresh");
    snprintf(other.service, sizeof other.service, "nobody");
    const char *told = "[{\"service\":\"fresh\",\"number\":0,\"result\":\"new\",\"reason\":\"a new "
                       "service starts with the node: restart it\"}]";
    const stage_answer_t *a = stage_order(&all);
    CHECK_TEXT(a->body, strlen(a->body), told);
    a = stage_order(&one);
    CHECK_TEXT(a->body, strlen(a->body), told);
    CHECK_INT(stage_order(&other)->err, ERR_NOT_FOUND);
    stage_free();
}

SPEC("reloads when a file of lib changes") {
    stage_new();
    char lib[100];
    snprintf(lib, sizeof lib, "%s/lib", stage->dir);
    mkdir(lib, 0700);
    stage_file("lib/n.lua", "return 1");
    stage_file(
        "t.lua",
        "local n = require 'lib.n' return {name = 't', on = {version = function() return n end}}");
    CHECK(stage_open(NULL, NULL, 0));
    CALL("version", 1, NULL, "1");
    stage_file("lib/n.lua", "return 2");
    stage_reload();
    CHECK(stage_becomes("version", "2"));
    stage_free();
}

#define POLICY(body)                                                                               \
    "return {name = 't', policy = {p = function(a, b) " body                                       \
    " end}, on = {version = function() return 1 end}}"

static void gives(const char *body, int64_t a, int64_t b, int err, int64_t want) {
    int64_t args[2] = {a, b}, out = -999;
    CHECK(stage_service("t", body));
    script_policy_t *p = script_policy(stage->script, "t.p");
    CHECK(p != NULL);
    CHECK_INT(stage_policy(p, args, 2, &out), err);
    if (err == ERR_OK)
        CHECK_INT(out, want);
    stage_free();
}

SPEC("runs a policy in place: integers in, an integer, boolean or code out") {
    gives(POLICY("return a * 10 + b"), 4, 2, ERR_OK, 42);
    gives(POLICY("return a > b"), 4, 2, ERR_OK, 1);
    gives(POLICY("return a < b"), 4, 2, ERR_OK, 0);
    gives(POLICY("return 'muted'"), 4, 2, ERR_OK, ERR_MUTED);
    gives(POLICY(""), 4, 2, ERR_OK, 0);
    gives("local window <const> = conf 'script.timeout' " POLICY("return window"), 4, 2, ERR_OK,
          60000);
}

SPEC("answers internal when a policy fails, loops, or gives what is no number") {
    gives(POLICY("return nil + a"), 1, 2, ERR_INTERNAL, 0);
    gives(POLICY("while true do end"), 1, 2, ERR_INTERNAL, 0);
    gives(POLICY("return 1.5"), 1, 2, ERR_INTERNAL, 0);
    gives(POLICY("return {}"), 1, 2, ERR_INTERNAL, 0);
    gives(POLICY("return 'no_such_code'"), 1, 2, ERR_INTERNAL, 0);
    gives(POLICY("return store.run('x')"), 1, 2, ERR_INTERNAL, 0);
    gives(POLICY("return random.int(1, 2)"), 1, 2, ERR_INTERNAL, 0);
}

SPEC("knows no policy that is not there") {
    CHECK(stage_service("t", POLICY("return 1")));
    CHECK(script_policy(stage->script, "t.q") == NULL);
    CHECK(script_policy(stage->script, "u.p") == NULL);
    CHECK(script_policy(stage->script, "p") == NULL);
    CHECK(script_service(stage->script, "t") >= 0);
    CHECK_INT(script_service(stage->script, "none"), -1);
    stage_free();
}

static bool policy_becomes(script_policy_t *p, int64_t want) {
    int64_t args[2] = {1, 1}, out;
    for (int i = 0; i < WAIT_MS; i++, nap()) {
        bool is = stage_policy(p, args, 2, &out) == ERR_OK && out == want;
        stage_forget();
        if (is)
            return true;
    }
    return false;
}

SPEC("swaps policies at a reload behind the same handle, and refuses a version in which one "
     "vanishes") {
    CHECK(stage_service("t", POLICY("return 1")));
    script_policy_t *p = script_policy(stage->script, "t.p");
    CHECK(policy_becomes(p, 1));
    stage_file("t.lua", POLICY("return 2"));
    stage_reload();
    CHECK(policy_becomes(p, 2));
    stage_file("t.lua", "return {name = 't', on = {version = function() return 3 end}}");
    stage_reload();
    CALL("version", 1, NULL, "1");
    CHECK(policy_becomes(p, 2));
    stage_free();
}

SPEC_MAIN
