/* What is kept of the versions of a service: who, when, what became of them; and that an old one
 * comes back by name, with its state. */
#include "base/stat.h"
#include "stage.h"

#define SERVICE(version, more)                                                                     \
    "return {name = 't', version = " version ", " more                                             \
    " init = function() return {n = 0} end, on = {add = function(state) state.n = state.n + 1 "    \
    "return state.n end, "                                                                         \
    "later = function(_, req, ctx) return after(req.ms, 'add') end, "                              \
    "version = function() return " version " end}}"
#define UPGRADE "upgrade = function(state, from) state.n = state.n + from * 100 return state end,"

static const stage_answer_t *order(script_op_t op, int64_t a, int64_t b) {
    script_order_t o = {.op = op, .service = "t", .a = a, .b = b};
    return stage_order(&o);
}

/* The history has this text. */
static bool tells(const char *text) {
    const char *body = order(SCRIPT_HISTORY, 0, 0)->body;
    if (!strstr(body, text))
        printf("not in it: %s\n%s\n", text, body);
    return strstr(body, text) != NULL;
}

static void bring(const char *text) {
    stage_file("t.lua", text);
    stage_reload();
}

SPEC("numbers the versions, with who brought them and what became of them") {
    CHECK(stage_service("t", SERVICE("10", "")));
    CHECK(tells("{\"number\":1,\"version\":10,\"hash\":\""));
    CHECK(tells("\"state\":\"serves\""));
    CHECK(tells("\"came_by\":\"start\""));
    bring(SERVICE("11", ""));
    CHECK(tells("{\"number\":2,\"version\":11,"));
    CHECK(tells("\"came_by\":\"signal\""));
    CHECK(tells("\"state\":\"served\""));
    bring("return {");
    CHECK(tells("{\"number\":3,"));
    CHECK(tells("\"state\":\"refused\""));
    CHECK(tells("\"reason\":\"lua/t.lua:1: unexpected symbol near <eof>\""));
    bring("return {"); /* the same again is one entry */
    CHECK(!strstr(order(SCRIPT_HISTORY, 0, 0)->body, "{\"number\":5,"));
    stage_free();
}

SPEC("rolls back to the version before, with the state taken back by its upgrade") {
    CHECK(stage_service("t", SERVICE("1", UPGRADE)));
    CALL("add", 1, NULL, "1");
    bring(SERVICE("2", UPGRADE));
    CALL("add", 1, NULL, "102");
    CHECK_INT(order(SCRIPT_ROLLBACK, 0, 0)->err, ERR_OK);
    CALL("version", 1, NULL, "1");
    CALL("add", 1, NULL, "303"); /* its upgrade got the higher number */
    CHECK(tells("\"state\":\"rolled_back\""));
    CHECK(tells("\"by\":\"lena\",\"reason\":\"back to version 1\""));
    stage_free();
}

SPEC("stays rolled back until a file changes") {
    CHECK(stage_service("t", SERVICE("1", "")));
    bring(SERVICE("2", ""));
    order(SCRIPT_ROLLBACK, 0, 0);
    stage_reload();
    CALL("version", 1, NULL, "1");
    bring(SERVICE("3", ""));
    CALL("version", 1, NULL, "3");
    CHECK_INT(order(SCRIPT_ROLLBACK, 2, 0)->err, ERR_OK);
    CALL("version", 1, NULL, "2");
    CHECK_INT(order(SCRIPT_ROLLBACK, 3, 0)->err, ERR_OK); /* and forth again */
    CALL("version", 1, NULL, "3");
    stage_free();
}

SPEC("takes the state as it is where the old version cannot take it back") {
    CHECK(stage_service("t", SERVICE("1", "upgrade = function() error('no way back') end,")));
    CALL("add", 1, NULL, "1");
    bring(SERVICE("2", ""));
    CALL("add", 1, NULL, "2");
    CHECK_INT(order(SCRIPT_ROLLBACK, 0, 0)->err, ERR_OK);
    CALL("version", 1, NULL, "1");
    CALL("add", 1, NULL, "3");
    stage_free();
}

SPEC("refuses to roll back to what is not there, what never served, and what serves") {
    CHECK(stage_service("t", SERVICE("1", "")));
    CHECK_INT(order(SCRIPT_ROLLBACK, 0, 0)->err, ERR_NOT_FOUND);
    CHECK_INT(order(SCRIPT_ROLLBACK, 9, 0)->err, ERR_NOT_FOUND);
    CHECK_INT(order(SCRIPT_ROLLBACK, 1, 0)->err, ERR_CONFLICT);
    bring("return {");
    CHECK_INT(order(SCRIPT_ROLLBACK, 2, 0)->err, ERR_NOT_FOUND);
    script_order_t o = {.op = SCRIPT_ROLLBACK, .service = "no such"};
    CHECK_INT(stage_order(&o)->err, ERR_NOT_FOUND);
    CALL("version", 1, NULL, "1");
    stage_free();
}

SPEC("brings a version back with the parts of lib that it had") {
    char lib[100];
    stage_new();
    snprintf(lib, sizeof lib, "%s/lib", stage->dir);
    mkdir(lib, 0700);
    stage_file("lib/n.lua", "return {n = 1}");
    stage_file("t.lua", "return {name = 't', on = {version = function() return (require "
                        "'lib.n').n end}}");
    CHECK(stage_open(NULL, NULL, 0));
    for (uint64_t key = 1; key < 20; key++) /* required late, in each shard */
        CALL("version", key, NULL, "1");
    stage_file("lib/n.lua", "return {n = 2}");
    stage_reload();
    CALL("version", 1, NULL, "2");
    CHECK_INT(order(SCRIPT_ROLLBACK, 0, 0)->err, ERR_OK);
    for (uint64_t key = 1; key < 20; key++)
        CALL("version", key, NULL, "1");
    stage_free();
}

SPEC("keeps timers over a reload and a rollback") {
    CHECK(stage_service("t", SERVICE("1", "")));
    CALL("later", 1, "{\"ms\":300}", "1");
    bring(SERVICE("2", ""));
    order(SCRIPT_ROLLBACK, 0, 0);
    int own = 0;
    UNTIL(atoi(stage_ask("add", 1)) > ++own);
    stage_free();
}

SPEC("goes on after a restart: the same version has its number, another one says so") {
    CHECK(stage_service("t", SERVICE("1", "")));
    bring(SERVICE("2", ""));
    stage_stop();
    CHECK(stage_open(NULL, NULL, 0));
    CALL("version", 1, NULL, "2");
    CHECK(tells("{\"number\":2,\"version\":2,"));
    CHECK(!strstr(order(SCRIPT_HISTORY, 0, 0)->body, "{\"number\":3,"));
    CHECK_INT(order(SCRIPT_ROLLBACK, 1, 0)->err, ERR_OK); /* read from the disk */
    CALL("version", 1, NULL, "1");
    stage_stop();
    CHECK(stage_open(NULL, NULL, 0)); /* a restart serves what script.dir holds */
    CALL("version", 1, NULL, "2");
    CHECK(tells("\"reason\":\"version 1 served last; script.dir holds this one\""));
    stage_file("t.lua", SERVICE("3", ""));
    stage_stop();
    CHECK(stage_open(NULL, NULL, 0));
    CALL("version", 1, NULL, "3");
    CHECK(tells("{\"number\":3,\"version\":3,"));
    stage_free();
}

SPEC("starts with what it can read of a history that was damaged") {
    CHECK(stage_service("t", SERVICE("1", "")));
    bring(SERVICE("2", ""));
    stage_stop();
    stage_file("scripts/t.history", "{\"number\":1,\"state\":\"served\"}\nno JSON\n{}\n");
    CHECK(stage_open(NULL, NULL, 0));
    CALL("version", 1, NULL, "2");
    CHECK(tells("\"version\":2,"));
    stage_free();
}

SPEC("keeps script.history of them, and first drops those that were refused") {
    stage_new();
    stage_set("script.history", "4");
    stage_file("t.lua", SERVICE("1", ""));
    CHECK(stage_open(NULL, NULL, 0));
    char text[600];
    for (int i = 2; i < 6; i++) {
        snprintf(text, sizeof text, "return { -- %d", i);
        bring(text);
    }
    CHECK(tells("{\"number\":1,"));
    for (int i = 0; i < 6; i++) {
        snprintf(text, sizeof text, "%s -- %d", SERVICE("7", ""), i);
        bring(text);
    }
    const char *body = order(SCRIPT_HISTORY, 0, 0)->body;
    int count = 0;
    for (const char *at = body; (at = strstr(at, "{\"number\"")); at++)
        count++;
    CHECK_INT(count, 4);
    stage_free();
}

SPEC("shows what differs between two versions, and from what script.dir holds") {
    CHECK(stage_service("t", "-- one\n-- two\n-- three\n" SERVICE("1", "") "\n"));
    bring("-- one\n-- 2\n-- three\n" SERVICE("1", "") "\n");
    const char *body = order(SCRIPT_DIFF, 0, 0)->body;
    CHECK(strstr(body, "{\"a\":1,\"b\":2,\"diff\":\"--- lua/t.lua\\n+++ lua/t.lua\\n@@ -1,4 +1,4 "
                       "@@\\n -- one\\n--- two\\n+-- 2\\n -- three\\n"));
    stage_file("t.lua", "-- new\n");
    body = order(SCRIPT_DIFF, 0, -1)->body;
    CHECK(strstr(body, "{\"a\":2,\"b\":0,"));
    CHECK(strstr(body, "+-- new\\n"));
    CHECK_INT(order(SCRIPT_DIFF, 1, 9)->err, ERR_NOT_FOUND);
    stage_free();
}

SPEC_MAIN
