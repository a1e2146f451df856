/* What store.run, store.try and store.batch promise to scripts, on a store that is a fake. */
#include "fake_store.h"
#include "stage.h"

static bool service(const char *on) {
    script_ports_t ports = {.store = (store_t *)&fake_row_len}; /* never looked into */
    char text[2000];
    snprintf(text, sizeof text, "return {name = 't', on = {%s}}", on);
    stage_new();
    stage_file("t.lua", text);
    return stage_open(&ports, NULL, 0);
}

SPEC("gives rows by column name, absent for NULL, and what changed") {
    CHECK(service("one = function() local rows, info = store.run('echo', {a = 7, b = 'x'}) return "
                  "{rows, info} end,"
                  "types = function() return store.run('echo', {a = 1.5, b = true}) end,"
                  "null = function() return store.run('two', {b = 2}) end,"
                  "bare = function() return store.run('echo') end,"
                  "none = function() return store.run('none') end"));
    CALL("one", 1, NULL, "[[{\"a\":7,\"b\":\"x\"}],{\"changed\":3,\"last_id\":9}]");
    CALL("types", 1, NULL, "[{\"a\":1.5,\"b\":1}]");
    CALL("null", 1, NULL, "[{\"b\":2},{\"b\":2}]");
    CALL("bare", 1, NULL, "[{}]");
    CALL("none", 1, NULL, "[]");
    stage_free();
}

SPEC("gives nil and the code where a refusal was expected, and raises the others") {
    CHECK(service("taken = function() local rows, code = store.try('exists', {a = 1}) return {rows "
                  "== nil, code} end,"
                  "stale = function() local rows, code = store.try('stale', {a = 1}) return {rows "
                  "== nil, code} end,"
                  "fine = function() return store.try('echo', {a = 1}) end,"
                  "busy = function() return store.try('busy') end,"
                  "broken = function() return store.try('broken') end,"
                  "unexpected = function() return store.run('exists') end"));
    CALL("taken", 1, NULL, "[true,\"exists\"]");
    CALL("stale", 1, NULL, "[true,\"stale\"]");
    CALL("fine", 1, NULL, "[{\"a\":1}]");
    CALL("busy", 1, NULL, "{\"error\":\"server busy\",\"code\":\"busy\"}");
    CALL("broken", 1, NULL, INTERNAL_ERROR);
    CALL("unexpected", 1, NULL, INTERNAL_ERROR);
    stage_free();
}

SPEC("runs a batch in order, all or nothing") {
    CHECK(service(
        "both = function() local rows, infos = store.batch {{'echo', {a = 1}}, {'two', {b = 2}}} "
        "return {rows, #infos} end,"
        "taken = function() local rows, code = store.batch {{'echo', {a = 1}}, {'exists', {b = "
        "2}}} "
        "return {rows == nil, code} end,"
        "empty = function() return store.batch {} end,"
        "odd = function() return store.batch {{'echo', {a = 1}}, 5} end"));
    CALL("both", 1, NULL, "[[[{\"a\":1}],[{\"b\":2},{\"b\":2}]],2]");
    CALL("taken", 1, NULL, "[true,\"exists\"]");
    CALL("empty", 1, NULL, INTERNAL_ERROR);
    CALL("odd", 1, NULL, INTERNAL_ERROR);
    stage_free();
}

SPEC("refuses an unknown operation, an unknown parameter and a value that is no plain one") {
    CHECK(
        service("op = function() return store.run('no_such_op') end,"
                "param = function() return store.run('echo', {c = 1}) end,"
                "value = function() return store.run('echo', {a = {}}) end,"
                "held = function() local ok, e = pcall(store.run, 'echo', {c = 1}) return e end"));
    CALL("op", 1, NULL, INTERNAL_ERROR);
    CALL("param", 1, NULL, INTERNAL_ERROR);
    CALL("value", 1, NULL, INTERNAL_ERROR);
    CALL("held", 1, NULL, "\"echo has no parameter 'c'\"");
    stage_free();
}

SPEC_MAIN
