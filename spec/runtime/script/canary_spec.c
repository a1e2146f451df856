/* A canary: a version is tried on a part of the traffic, judged by what it does there, and what it
 * breaks there no client sees where that can be helped. */
#include "base/stat.h"
#include "stage.h"

#define SERVICE(version, more)                                                                     \
    "return {name = 't', version = " version ", on = {" more                                       \
    " version = function() return " version " end}}"
#define KEEPING(version, more)                                                                     \
    "return {name = 't', version = " version ", init = function() return {n = 0} end, " more       \
    " on = {add = function(s) s.n = s.n + 1 return s.n end, "                                      \
    "version = function() return " version " end}}"

static const stage_answer_t *order(script_op_t op, int64_t shard, int64_t share) {
    script_order_t o = {.op = op, .service = "t", .shard = shard, .share = share};
    return stage_order(&o);
}

static bool listed(const char *text) {
    script_order_t o = {.op = SCRIPT_LIST};
    return strstr(stage_order(&o)->body, text) != NULL;
}

/* Of the state that a version has in the history. */
static bool state_is(const char *want) {
    script_order_t o = {.op = SCRIPT_HISTORY, .service = "t"};
    const char *at = strstr(stage_order(&o)->body, "\"state\":\"");
    return at && strncmp(at + 9, want, strlen(want)) == 0;
}

static bool comes_to(const char *want) {
    for (int i = 0; i < WAIT_MS / 5; i++, usleep(5000)) {
        bool is = state_is(want);
        stage_forget();
        if (is)
            return true;
    }
    return false;
}

/* How many of `keys` keys the version serves; -1: one answered otherwise. */
static int share_of(const char *version, uint64_t keys) {
    int n = 0;
    for (uint64_t key = 1; key <= keys; key++)
        n += strcmp(stage_call("version", key, NULL), version) == 0;
    return n;
}

static void begin_slower(const char *slower, const char *first, const char *second) {
    stage_new();
    stage_set("script.canary_time", "1h");
    stage_set("script.canary_requests", "1000000");
    stage_set("script.canary_slower", slower);
    stage_file("t.lua", first);
    CHECK(stage_open(NULL, NULL, 0));
    stage_file("t.lua", second);
}

/* On a busy machine a version may be held up more than the other. */
static void begin(const char *first, const char *second) {
    begin_slower("100000", first, second);
}

SPEC("by keys serves about that share of them, always the same ones, and tells both accounts") {
    begin(SERVICE("1", ""), SERVICE("2", ""));
    CHECK_INT(order(SCRIPT_CANARY, 0, 30)->err, ERR_OK);
    int n = share_of("2", 300);
    CHECK(n > 50 && n < 140);
    CHECK_INT(share_of("2", 300), n);
    char text[200];
    snprintf(text, sizeof text, "\"new\":{\"number\":2,\"requests\":{\"calls\":%d,\"refused\":0,",
             2 * n);
    CHECK(listed(text));
    snprintf(text, sizeof text, "\"old\":{\"number\":1,\"requests\":{\"calls\":%d,", 600 - 2 * n);
    CHECK(listed(text));
    CHECK(state_is("tried"));
    stage_free();
}

SPEC("on one shard serves that shard's keys only") {
    begin(SERVICE("1", ""), SERVICE("2", ""));
    CHECK_INT(order(SCRIPT_CANARY, 2, 0)->err, ERR_OK);
    int n = share_of("2", 400);
    CHECK(n > 60 && n < 140);
    stage_free();
}

SPEC("is promoted by hand, and given up by hand; then the file is not loaded again as it is") {
    begin(SERVICE("1", ""), SERVICE("2", ""));
    order(SCRIPT_CANARY, 0, 50);
    CHECK_INT(order(SCRIPT_ABORT, 0, 0)->err, ERR_OK);
    CHECK_INT(share_of("1", 50), 50);
    CHECK(state_is("ended"));
    stage_reload();
    CHECK_INT(share_of("1", 50), 50);
    order(SCRIPT_CANARY, 0, 50);
    CHECK_INT(order(SCRIPT_PROMOTE, 0, 0)->err, ERR_OK);
    CHECK_INT(share_of("2", 50), 50);
    CHECK(state_is("serves"));
    CHECK_INT(order(SCRIPT_PROMOTE, 0, 0)->err, ERR_NOT_FOUND);
    CHECK_INT(order(SCRIPT_ABORT, 0, 0)->err, ERR_NOT_FOUND);
    CHECK_INT(order(SCRIPT_CANARY, 0, 50)->err, ERR_CONFLICT); /* nothing has changed */
    stage_free();
}

SPEC("is promoted by itself after enough good requests") {
    stage_new();
    stage_set("script.canary_requests", "20");
    stage_file("t.lua", SERVICE("1", ""));
    CHECK(stage_open(NULL, NULL, 0));
    stage_file("t.lua", SERVICE("2", ""));
    order(SCRIPT_CANARY, 0, 50);
    share_of("2", 60);
    CHECK(comes_to("serves"));
    CHECK_INT(share_of("2", 50), 50);
    stage_free();
}

SPEC("to which no request came is given up, not promoted") {
    stage_new();
    stage_set("script.canary_time", "200ms");
    stage_file("t.lua", SERVICE("1", ""));
    CHECK(stage_open(NULL, NULL, 0));
    stage_file("t.lua", SERVICE("2", ""));
    order(SCRIPT_CANARY, 0, 50);
    CHECK(comes_to("rolled_back"));
    CHECK_INT(share_of("1", 50), 50);
    stage_free();
}

SPEC("that fails is rolled back, and no caller sees an error: the old version answers") {
    begin(SERVICE("1", ""), "return {name = 't', on = {version = function() error('boom') end}}");
    int64_t before = stat_read(STAT_SCRIPT_ROLLBACKS);
    order(SCRIPT_CANARY, 0, 50);
    CHECK_INT(share_of("1", 100), 100);
    CHECK(comes_to("rolled_back"));
    CHECK_INT(share_of("1", 100), 100);
    CHECK_INT(stat_read(STAT_SCRIPT_ROLLBACKS) - before, 1);
    CHECK(stat_read(STAT_SCRIPT_SECOND_RUNS) >= 3);
    stage_reload();
    CHECK_INT(share_of("1", 50), 50); /* held */
    stage_free();
}

SPEC("that fails after it has sent something is not run again: nothing happens twice") {
    begin("return {name = 't', on = {got = function() end, version = function(_, _, ctx) "
          "send('t', 'got', 1, {}) return 1 end}}",
          "return {name = 't', on = {got = function() end, version = function(_, _, ctx) "
          "send('t', 'got', 1, {}) error('boom') end}}");
    order(SCRIPT_CANARY, 0, 100);
    CALL("version", 5, NULL, INTERNAL_ERROR);
    stage_free();
}

SPEC("that refuses by fail() is not faulty: that is an answer") {
    begin(SERVICE("1", ""),
          "return {name = 't', on = {version = function() fail('forbidden') end}}");
    order(SCRIPT_CANARY, 0, 50);
    int n = share_of("1", 100);
    CHECK(n > 20 && n < 80);
    char text[80];
    snprintf(text, sizeof text, "{\"calls\":%d,\"refused\":%d,\"faults\":0", 100 - n, 100 - n);
    CHECK(listed(text));
    CHECK(state_is("tried"));
    stage_free();
}

SPEC("that is much slower is rolled back") {
    begin_slower("200", SERVICE("1", ""),
                 "return {name = 't', on = {version = function() for i = 1, 2e6 do end "
                 "return 2 end}}");
    order(SCRIPT_CANARY, 0, 50);
    /* more calls until it is judged: where the machine stood still the old one was slow, too */
    for (int i = 0; i < 300 && !state_is("rolled_back"); i++, stage_forget())
        for (uint64_t key = 1; key <= 50; key++)
            stage_ask("version", key);
    CHECK(state_is("rolled_back"));
    stage_free();
}

SPEC("of a service with state hands over one shard with its state, and gives it back") {
    begin(KEEPING("1", ""),
          KEEPING("2", "upgrade = function(s, from) s.n = s.n + from * 100 return s end,"));
    const stage_answer_t *a = order(SCRIPT_CANARY, 0, 50);
    CHECK(strstr(a->body, "it keeps state: it can be tried on one shard only"));
    CHECK_INT(share_of("1", 20), 20);
    for (uint64_t key = 1; key <= 40; key++)
        stage_call("add", key, NULL);
    CHECK_INT(order(SCRIPT_CANARY, 1, 0)->err, ERR_OK);
    uint64_t key = 1;
    while (strcmp(stage_call("version", key, NULL), "2") != 0 && key < 40)
        key++;
    CHECK(atoi(stage_call("add", key, NULL)) > 100);
    CHECK_INT(order(SCRIPT_ABORT, 0, 0)->err, ERR_OK);
    CHECK_INT(share_of("1", 40), 40);
    CHECK(atoi(stage_call("add", key, NULL)) > 100);
    stage_free();
}

SPEC("whose upgrade fails at the promotion leaves the old version everywhere, with its state") {
    begin(KEEPING("1", ""),
          KEEPING("2", "upgrade = function(s) if s.n > 5 then error('no') end return s end,"));
    CHECK_INT(order(SCRIPT_CANARY, 1, 0)->err, ERR_OK);
    for (uint64_t key = 1; key <= 100; key++)
        stage_call("add", key, NULL);
    order(SCRIPT_PROMOTE, 0, 0);
    CHECK(comes_to("rolled_back"));
    CHECK_INT(share_of("1", 40), 40);
    stage_free();
}

SPEC("is what a reload begins with when script.canary says so; a changed file takes its place") {
    stage_new();
    stage_set("script.canary", "50");
    stage_set("script.canary_time", "1h");
    stage_set("script.canary_requests", "1000000");
    stage_set("script.canary_slower", "100000");
    stage_file("t.lua", SERVICE("1", ""));
    CHECK(stage_open(NULL, NULL, 0));
    stage_file("t.lua", SERVICE("2", ""));
    stage_reload();
    int n = share_of("2", 100);
    CHECK(n > 20 && n < 80);
    stage_reload(); /* nothing has changed since */
    CHECK_INT(share_of("2", 100), n);
    stage_file("t.lua", SERVICE("3", ""));
    stage_reload();
    CHECK_INT(share_of("3", 100), n);
    stage_file("t.lua", SERVICE("1", "")); /* back to what serves */
    stage_reload();
    CHECK_INT(share_of("1", 100), 100);
    CHECK(listed("\"canary\":null"));
    stage_free();
}

static int64_t policy(script_policy_t *p) {
    int64_t args[1] = {5}, out = -1;
    return stage_policy(p, args, 1, &out) == ERR_OK ? out : -999;
}

SPEC("of a policy is asked on one worker; what it cannot answer the old one does") {
    stage_new();
    stage_workers = 1; /* the spec's caller is sure to be on it */
    stage_set("script.canary_time", "1h");
    stage_file("t.lua", "return {name = 't', on = {}, policy = {p = function(n) return n end}}");
    CHECK(stage_open(NULL, NULL, 0));
    stage_workers = 2;
    script_policy_t *p = script_policy(stage->script, "t.p");
    stage_file("t.lua",
               "return {name = 't', on = {}, policy = {p = function(n) return n * 2 end}}");
    order(SCRIPT_CANARY, 1, 0);
    CHECK_INT(policy(p), 10);
    CHECK(listed(
        "\"new\":{\"number\":2,\"requests\":{\"calls\":0,\"refused\":0,\"faults\":0,\"p50_us\":0,"
        "\"p99_us\":0},\"policies\":{\"calls\":1,"));
    order(SCRIPT_ABORT, 0, 0);
    CHECK_INT(policy(p), 5);
    stage_file("t.lua",
               "return {name = 't', on = {}, policy = {p = function(n) return n .. {} end}}");
    order(SCRIPT_CANARY, 1, 0);
    for (int i = 0; i < 5; i++)
        CHECK_INT(policy(p), 5);
    CHECK(comes_to("rolled_back"));
    CHECK_INT(policy(p), 5);
    stage_free();
}

SPEC_MAIN
