/* spec_run: the specs beside the rule files (lua/NAME_spec.lua), run before a version may serve and
 * by `parleyd check`. Each file is run in a throw-away VM of a script_t of its own: presets for
 * conf, no ports, no actors. What a test may ask for is in lua/test/run.lua; this file loads it,
 * and bounds it: each test is a slice of its VM, all of them together have SPEC_CPU_MS. */
#include "base/clock.h"
#include "base/log.h"
#include "script/script_in.h"
#include <stdio.h>
#include <stdlib.h>

#define SPEC_MEMORY (16u << 20) /* of a VM, if script.memory is not less */
#define SPEC_CPU_MS 5000        /* of all tests of a version */
#define SPEC_TESTS  1000        /* of a file */

typedef struct run {
    script_t *script; /* our own */
    version_t *version;
    host_t host;
    vm_t *vm;
    const char *path; /* "recall", "lib/check" */
    slice_t text;     /* of its spec */
    spec_say_t say;
    void *say_arg;
    spec_sum_t sum;
    uint64_t until_ns; /* CPU time of this thread */
} run_t;

/* Requires of a spec and of what it loads; not noted as used by the version. */
static bool find(void *arg, slice_t name, slice_t *text) {
    const version_t *v = arg;
    *text = sources_text(v->sources, name);
    return text->at != NULL;
}

/* --- what lua/test/run.lua gets as `native` --- */
/* load(path): the file, and what it requires, read anew. */
static int native_load(lua_State *L) {
    const version_t *v = host_of(L)->version;
    const char *path = luaL_checkstring(L, 1);
    char chunk[128];
    slice_t text = sources_text(v->sources, slice_of(path));
    if (!text.at)
        return luaL_error(L, "there is no lua/%s.lua", path);
    vm_forget(L);
    snprintf(chunk, sizeof chunk, "@lua/%s.lua", path);
    vm_load(L, chunk, text);
    lua_call(L, 0, 1);
    return 1;
}

static int native_answer(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    api_stub_answer(L);
    return 0;
}

void spec_native_push(lua_State *L) {
    static const luaL_Reg native[] = {
        {"load", native_load}, {"answer", native_answer}, {"conf", api_conf_get}, {NULL, NULL}};
    luaL_newlib(L, native);
}

/* Pushes what lua/test/run.lua returns: it is built in, and no file of script.dir replaces it. */
void spec_driver_push(lua_State *L) {
    slice_t text = sources_text(host_of(L)->version->sources, SLICE("test/run"));
    if (!text.at)
        luaL_error(L, "lua/test/run.lua is not built in");
    vm_load(L, "@lua/test/run.lua", text);
    lua_call(L, 0, 1);
}

/* Leaves the names (a table) at 1 and the function that runs one at 2. */
static int open_spec(lua_State *L) {
    const run_t *r = lua_touserdata(L, 1);
    char chunk[128];
    lua_settop(L, 0);
    spec_driver_push(L);
    spec_native_push(L);
    lua_pushstring(L, r->path);
    snprintf(chunk, sizeof chunk, "@lua/%s_spec.lua", r->path);
    vm_load(L, chunk, r->text);
    lua_call(L, 0, 1);
    lua_call(L, 3, 2);
    return 2;
}

/* --- running --- */
static void fails(run_t *r, const char *test, const char *why) {
    char line[600];
    r->sum.failed++;
    snprintf(line, sizeof line, "lua/%s_spec.lua: %s%s%s", r->path, test ? test : "",
             test ? ": " : "", why ? why : "an error that is no text");
    if (r->say)
        r->say(r->say_arg, line);
}

static int to_text(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* The error value on top, as text, replaced by it. */
static const char *error_text(run_t *r, lua_State *L) {
    if (vm_killed(r->vm))
        return vm_killed(r->vm);
    lua_pushcfunction(L, to_text);
    lua_insert(L, -2);
    return vm_call(r->vm, 1, 1) == LUA_OK ? lua_tostring(L, -1) : NULL;
}

static void run_test(run_t *r, lua_State *L, lua_Integer i) {
    lua_settop(L, 2);
    lua_rawgeti(L, 1, i);
    const char *name = lua_tostring(L, 3);
    r->sum.run++;
    if (clock_thread_ns() > r->until_ns) {
        fails(r, name, "the tests of this version take too long together");
        return;
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    if (vm_call(r->vm, 1, 0) != LUA_OK)
        fails(r, name, error_text(r, L));
}

static void run_all(run_t *r, lua_State *L) {
    lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
    if (count > SPEC_TESTS)
        fails(r, NULL, "too many tests");
    for (lua_Integer i = 1; i <= count && i <= SPEC_TESTS; i++)
        run_test(r, L, i);
}

static void run_file(run_t *r, const char *path) {
    char fault[300];
    r->path = path;
    r->text = sources_spec(r->version->sources, slice_of(path));
    if (!r->text.at)
        return;
    r->host = (host_t){.script = r->script, .version = r->version, .service = path, .stub = true};
    r->vm = program_vm(r->script, &r->host, find, r->version, fault, sizeof fault);
    if (!r->vm) {
        fails(r, NULL, fault);
        return;
    }
    lua_State *L = vm_lua(r->vm);
    lua_pushcfunction(L, open_spec);
    lua_pushlightuserdata(L, r);
    if (vm_call(r->vm, 1, 2) == LUA_OK)
        run_all(r, L);
    else
        fails(r, NULL, error_text(r, L));
    vm_free(r->vm);
    host_close(&r->host);
}

spec_sum_t spec_run(const script_t *s, version_t *v, spec_say_t say, void *arg) {
    script_t own = {.functions = s->functions,
                    .function_count = s->function_count,
                    .vm_conf = s->vm_conf,
                    .shards = 1,
                    .max_json = s->max_json};
    conf_t *presets = conf_new();
    run_t r = {.script = &own, .version = v, .say = say, .say_arg = arg};
    size_t count;
    const source_file_t *f = sources_all(v->sources, &count);
    own.conf = presets;
    if (own.vm_conf.memory > SPEC_MEMORY)
        own.vm_conf.memory = SPEC_MEMORY;
    r.until_ns = clock_thread_ns() + SPEC_CPU_MS * 1000000ull;
    run_file(&r, v->service);
    for (size_t i = 0; i < count; i++) {
        char path[96];
        if (!version_uses(v, i) || !source_is_lib(&f[i]))
            continue;
        snprintf(path, sizeof path, "%.*s", (int)strlen(f[i].path) - 4, f[i].path);
        run_file(&r, path);
    }
    conf_free(presets);
    return r.sum;
}
