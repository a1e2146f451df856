/* What the sandbox promises: only safe functions, frozen globals, bounded memory, time and
 * patterns. */
#include "base/buf.h"
#include "base/clock.h"
#include "script/codec.h"
#include "script/vm.h"
#include "spec/spec.h"

static vm_t *vm;
static char result[4096];
static uint32_t slice_ms = 50;

static bool find(void *arg, slice_t name, slice_t *text) {
    (void)arg;
    if (slice_eq(name, SLICE("lib/one")))
        *text = SLICE("return {one = 1}");
    else if (slice_eq(name, SLICE("lib/self")))
        *text = SLICE("return require 'lib.self'");
    else if (slice_eq(name, SLICE("lib/bad")))
        *text = SLICE("error('no')");
    else
        return false;
    return true;
}

static int seal(lua_State *L) {
    vm_seal(L);
    return 0;
}

static int load(lua_State *L) {
    vm_load(L, "@t.lua", slice_of(lua_touserdata(L, 1)));
    return 1;
}

static void open_vm(size_t memory) {
    vm_conf_t conf = {.memory = memory, .slice_ms = slice_ms};
    vm = vm_new(&conf, find, NULL);
    lua_pushcfunction(vm_lua(vm), seal);
    vm_call(vm, 0, 0);
}

/* Runs the text in a coroutine and gives its first result or error as text; a killed one as
 * "killed". */
static const char *run(const char *text) {
    lua_State *L = vm_lua(vm), *co;
    int n = 0;
    lua_pushcfunction(L, load);
    lua_pushlightuserdata(L, (void *)text);
    if (vm_call(vm, 1, 1) != LUA_OK) {
        snprintf(result, sizeof result, "%s", lua_tostring(L, -1));
        lua_settop(L, 0);
        return result;
    }
    co = lua_newthread(L);
    lua_insert(L, -2);
    lua_xmove(L, co, 1);
    int status = vm_resume(vm, co, 0, &n);
    if (vm_killed(vm))
        snprintf(result, sizeof result, "killed: %s", vm_killed(vm));
    else if (status == LUA_OK && n == 0)
        snprintf(result, sizeof result, "nothing");
    else
        snprintf(result, sizeof result, "%s", luaL_tolstring(co, status == LUA_OK ? -n : -1, NULL));
    lua_settop(L, 0);
    return result;
}

#define GIVES(text, want)                                                                          \
    do {                                                                                           \
        const char *got_ = run(text);                                                              \
        CHECK_TEXT(got_, strlen(got_), want);                                                      \
    } while (0)
#define HOLDS(text, part)                                                                          \
    do {                                                                                           \
        const char *got_ = run(text);                                                              \
        if (!strstr(got_, part))                                                                   \
            CHECK_TEXT(got_, strlen(got_), part);                                                  \
    } while (0)
#define WITH_VM(memory)                                                                            \
    for (int once_ = (open_vm(memory), 1); once_; once_ = 0, vm_free(vm), vm = NULL)

SPEC("gives no io, os, debug, package, coroutine, load, dofile, collectgarbage, rawset or _G") {
    WITH_VM(1 << 20) {
        GIVES("return io or os or debug or package or coroutine or load or loadstring or dofile or "
              "loadfile "
              "or collectgarbage or rawset or _G or print or string.dump or string.pack or "
              "math.random",
              "nil");
    }
}

SPEC("freezes globals, modules and the methods of strings") {
    WITH_VM(1 << 20) {
        HOLDS("x = 1", "globals are frozen: 'x'");
        HOLDS("string = 1", "globals are frozen");
        HOLDS("string.format = 1", "globals are frozen");
        HOLDS("getmetatable('').__index = 1", "attempt to index a boolean");
        GIVES("return getmetatable(string)", "false");
        GIVES("return getmetatable(_ENV)", "false");
        HOLDS("setmetatable(string, {})", "protected");
        HOLDS("setmetatable(_ENV, {})", "protected");
        GIVES("return getmetatable('') == false and getmetatable({}) == nil and getmetatable(1) == "
              "nil",
              "true");
        GIVES("local m = {__metatable = 7} return getmetatable(setmetatable({}, m))", "7");
        GIVES("local m = {__newindex = {}} return getmetatable(setmetatable({}, m)) == m", "true");
        HOLDS("getmetatable()", "value expected");
        GIVES("return ('x'):rep(3) .. #('ab') .. ('%d'):format(7)", "xxx27");
    }
}

SPEC("opens math and utf8 when a script names them, whole and frozen, once") {
    WITH_VM(1 << 20) {
        size_t before = vm_memory(vm);
        GIVES("return math.floor(2.5) .. math.tointeger(3.0) .. utf8.char(228) .. utf8.len('ab')",
              "23\xc3\xa4"
              "2");
        CHECK(vm_memory(vm) > before);
        HOLDS("math.floor = 1", "globals are frozen: 'floor'");
        HOLDS("utf8 = 1", "globals are frozen: 'utf8'");
        GIVES("return getmetatable(utf8)", "false");
        GIVES("local m = math return m == math and rawget(m, 'floor') == nil", "true");
        GIVES("return nothing_of_this_name or _ENV[7] or math.random", "nil");
    }
}

SPEC("takes text only, no bytecode, and names file and line of an error") {
    WITH_VM(1 << 20) {
        HOLDS("\x1bLua", "attempt to load a binary chunk");
        GIVES("\n\nerror('here')", "t.lua:3: here");
        HOLDS("return 1 +", "t.lua:1: unexpected symbol");
    }
}

SPEC("requires from the given sources only, each once") {
    WITH_VM(1 << 20) {
        GIVES("return require('lib.one').one", "1");
        GIVES("return require('lib.one') == require('lib.one')", "true");
        HOLDS("require 'lib.none'", "no such file");
        HOLDS("require '../lib/one'", "no such file");
        HOLDS("require 'lib..one'", "no such file");
        HOLDS("require 'lib.self'", "it requires itself");
        HOLDS("require 'lib.bad'", "no");
        HOLDS("pcall(require, 'lib.bad'); require 'lib.bad'", "lua/lib/bad.lua:1: no");
    }
}

SPEC("refuses __gc and __mode in metatables") {
    WITH_VM(1 << 20) {
        HOLDS("setmetatable({}, {__gc = function() end})", "must not have __gc");
        HOLDS("setmetatable({}, {__mode = 'k'})", "must not have __mode");
        GIVES("return setmetatable({}, {__index = {a = 5}}).a", "5");
    }
}

SPEC("kills an endless loop, and pcall does not hold it") {
    WITH_VM(1 << 20) {
        uint64_t start = clock_thread_ns();
        HOLDS("while true do end", "killed: it ran too long");
        HOLDS("pcall(function() while true do end end) return 'held'", "killed: it ran too long");
        HOLDS("xpcall(function() while true do end end, function() while true do end end) return 1",
              "killed: it ran too long");
        HOLDS("while true do pcall(function() while true do end end) end",
              "killed: it ran too long");
        HOLDS("local t <close> = setmetatable({}, {__close = function() while true do end end}) "
              "pcall(function() while true do end end) while true do end",
              "killed: it ran too long");
        CHECK((clock_thread_ns() - start) / 1000000 < 5000);
        GIVES("return 'alive'", "alive");
    }
}

SPEC("kills what fills the memory, pcall does not hold it, and the VM goes on") {
    slice_ms = 10000;
    WITH_VM(2 << 20) {
        HOLDS("local t = {} while true do t[#t + 1] = {} end", "killed: out of memory");
        HOLDS("pcall(function() local t = {} while true do t[#t + 1] = {} end end) return 'held'",
              "killed: out of memory");
        HOLDS("local s = 'x' while true do s = s .. s end", "killed: out of memory");
        HOLDS("return #string.format(('%s'):rep(200), table.unpack((function() local t = {} "
              "for i = 1, 200 do t[i] = ('x'):rep(100000) end return t end)()))",
              "killed: out of memory");
        CHECK(vm_memory(vm) <= 2 << 20);
        GIVES("return 'alive'", "alive");
    }
    slice_ms = 50;
}

/* Which of them comes first is a matter of time. */
static bool ends_deep(const char *text) {
    const char *got = run(text);
    return strstr(got, "stack overflow") || strstr(got, "killed: out of memory") ||
           strstr(got, "killed: it calls itself without end");
}

SPEC("ends deep recursion as an error, or as a kill where it takes long or memory ends first") {
    slice_ms = 10000;
    WITH_VM(128 << 20) {
        CHECK(ends_deep("local function f() return 1 + f() end return f()"));
        CHECK(ends_deep("local function f() return 1 + f() end return select(2, pcall(f))"));
    }
    WITH_VM(16 << 20) {
        CHECK(ends_deep("local function f() return 1 + f() end return pcall(f)"));
        HOLDS("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "loop");
    }
    slice_ms = 50;
}

SPEC("kills a script that copies large texts for too long") {
    WITH_VM(64 << 20) {
        uint64_t start = clock_thread_ns();
        HOLDS("local s = ('x'):rep(1000000) s = s .. s s = s .. s "
              "for i = 1, 1e9 do local t = s .. i end",
              "killed: it ran too long");
        HOLDS("local s = ('x'):rep(1000000) for i = 1, 1e9 do local t = s:upper() end",
              "killed: it ran too long");
        CHECK((clock_thread_ns() - start) / 1000000 < 5000);
    }
}

SPEC("bounds find, match, gsub, gmatch and rep") {
    WITH_VM(8 << 20) {
        uint64_t start = clock_thread_ns();
        HOLDS("return ('a'):rep(20000):find('.-b')", "too many steps");
        HOLDS("return ('a'):rep(1500):match('.-.-b')", "too many steps");
        HOLDS("return ('a'):rep(20000):gsub('.-b', '')", "too many steps");
        HOLDS("for x in ('a'):rep(20000):gmatch('.-b') do end", "too many steps");
        HOLDS("return ('('):rep(5000):find('%b()')", "too many steps");
        HOLDS("return ('x'):rep(1e9)", "too large");
        GIVES("return #(''):rep(1e9)", "0");
        HOLDS("while true do pcall(string.find, ('a'):rep(20000), '.-b') end",
              "killed: it ran too long");
        CHECK((clock_thread_ns() - start) / 1000000 < 5000);
    }
}

SPEC("bounds the table library where a metatable lies about the length") {
    WITH_VM(8 << 20) {
        const char *liar = "local t = setmetatable({}, {__len = function() return 1e9 end}) ";
        char text[200];
        static const char *const uses[] = {"table.insert(t, 1, 1)", "table.remove(t, 1)",
                                           "table.concat(t)",       "table.sort(t)",
                                           "table.unpack(t)",       "table.move({}, 1, 9, 1, t)"};
        for (size_t i = 0; i < 6; i++) {
            snprintf(text, sizeof text, "%s%s", liar, uses[i]);
            HOLDS(text, "__len given to the table library");
        }
        HOLDS("table.move({}, 1, 1e8, 2)", "too many elements");
        GIVES("local t = {3, 1, 2} table.sort(t) table.insert(t, 4) table.insert(t, 1, 0) "
              "table.remove(t) "
              "return table.concat(t, ',')",
              "0,1,2,3");
    }
}

SPEC("lets pcall and xpcall hold ordinary errors with their values") {
    WITH_VM(1 << 20) {
        GIVES("local ok, e = pcall(error, {a = 7}) return tostring(ok) .. e.a", "false7");
        GIVES("local ok, a, b = pcall(function(x, y) return y, x end, 1, 2) return tostring(ok) .. "
              "a .. b",
              "true21");
        GIVES("return select('#', pcall(function() end))", "1");
        GIVES("local ok, e = xpcall(function() error('a', 0) end, function(m) return m .. '!' end) "
              "return e",
              "a!");
        GIVES("local ok, a, b = xpcall(function(...) return ... end, type, 4, 5) return a + b",
              "9");
    }
}

SPEC("finds as the standard library does") {
    WITH_VM(1 << 20) {
        GIVES("local a, b, c = ('hello world'):find('(o) ') return a .. ',' .. b .. ',' .. c",
              "5,6,o");
        GIVES("return ('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "key");
        GIVES("return (('abc'):gsub('%w', '%0%0'))", "aabbcc");
        GIVES("return (('hello world'):gsub('o', {o = '0'}))", "hell0 w0rld");
        GIVES("return (('abc'):gsub('', '-'))", "-a-b-c-");
        GIVES("return (('  x  '):match('^%s*(.-)%s*$'))", "x");
        GIVES("return ('THE (quick) fox'):find('%((%a+)%)')", "5");
        GIVES("return ('f(a(b)c)d'):match('%b()')", "(a(b)c)");
        GIVES("return (('THE (quick) fox'):gsub('%f[%a]%a+', 'W'))", "W (W) W");
        GIVES("return ('abab'):match('(ab)%1')", "ab");
        GIVES("return ('x'):match('()')", "1");
        GIVES(
            "local n = 0 for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do n = n + v end return n",
            "3");
        GIVES("local s = '' for w in ('one two'):gmatch('%a*') do s = s .. '[' .. w .. ']' end "
              "return s",
              "[one][two]");
        GIVES("return ('a.b'):find('.', 1, true)", "2");
        GIVES("return ('a]b'):match('[]]')", "]");
        GIVES("return ('a-b'):match('[a%-]+')", "a-");
        GIVES("return ('0x1F'):match('[^x]+$')", "1F");
        GIVES("return ('aXb'):match('%u')", "X");
        GIVES("return ('abc'):find('c', -1)", "3");
        GIVES("return ('abc'):find('', 10)", "nil");
        GIVES("return (('a b'):gsub('%s', '%%'))", "a%b");
        GIVES("return (('aaa'):gsub('a', 'b', 2))", "bba");
        GIVES("return ('aaab'):match('a-b')", "aaab");
        GIVES("return ('[x]'):match('^%[(.?)%]$')", "x");
        HOLDS("return ('a'):find('[a')", "missing ']'");
        HOLDS("return ('a'):find('(a')", "unfinished capture");
        HOLDS("return ('a'):find('a)')", "invalid pattern capture");
        HOLDS("return ('a'):find('%')", "ends with '%'");
        HOLDS("return ('a'):find('%1')", "invalid capture index");
        HOLDS("return ('a'):gsub('a', '%2')", "invalid capture index");
    }
}

/* --- codec --- */
static codec_t *codec;
static char bytes[4096];

static int recode(lua_State *L) {
    if (!codec_decode(codec, L, slice_of(lua_touserdata(L, 1)))) {
        lua_pushliteral(L, "invalid");
        return 1;
    }
    slice_t s = codec_encode(codec, L, -1);
    lua_pushlstring(L, s.at, s.len);
    return 1;
}

static const char *again(const char *json) {
    lua_State *L = vm_lua(vm);
    lua_pushcfunction(L, recode);
    lua_pushlightuserdata(L, (void *)json);
    vm_call(vm, 1, 1);
    snprintf(bytes, sizeof bytes, "%s", lua_tostring(L, -1));
    lua_settop(L, 0);
    return bytes;
}

static int encode_text(lua_State *L) {
    vm_load(L, "@t.lua", slice_of(lua_touserdata(L, 1)));
    lua_call(L, 0, 1);
    slice_t s = codec_encode(codec, L, -1);
    lua_pushlstring(L, s.at, s.len);
    return 1;
}

static const char *encoded(const char *text) {
    lua_State *L = vm_lua(vm);
    lua_pushcfunction(L, encode_text);
    lua_pushlightuserdata(L, (void *)text);
    vm_call(vm, 1, 1);
    snprintf(bytes, sizeof bytes, "%s", lua_tostring(L, -1));
    lua_settop(L, 0);
    return bytes;
}

#define AGAIN(json, want)                                                                          \
    do {                                                                                           \
        const char *got_ = again(json);                                                            \
        CHECK_TEXT(got_, strlen(got_), want);                                                      \
    } while (0)
#define ENCODES(text, want)                                                                        \
    do {                                                                                           \
        const char *got_ = encoded(text);                                                          \
        CHECK_TEXT(got_, strlen(got_), want);                                                      \
    } while (0)
#define WITH_CODEC                                                                                 \
    for (codec = codec_new(100000); codec; codec_free(codec), codec = NULL)                        \
    WITH_VM(4 << 20)

SPEC("keeps integers, empty lists and empty objects through JSON, and sorts keys") {
    WITH_CODEC {
        AGAIN("[1,-1,9007199254740993,9223372036854775807,1.5,1e3,0]",
              "[1,-1,9007199254740993,9223372036854775807,1.5,1000,0]");
        AGAIN("{\"b\":{},\"a\":[],\"ab\":[[]],\"B\":\"x\"}",
              "{\"B\":\"x\",\"a\":[],\"ab\":[[]],\"b\":{}}");
        AGAIN("{\"a\":1,\"a\":2,\"n\":null}", "{\"a\":2}");
        AGAIN("[null,1]", "[null,1]");
        AGAIN("{\"a\":1,\"a\":null}", "{}");
        AGAIN("\"\\u00e9\\n\\\"\"", "\"\xc3\xa9\\n\\\"\"");
        AGAIN("[true,false]", "[true,false]");
        AGAIN("null", "null");
        AGAIN("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", /* a client's
                                                                                         32, ours
                                                                                         around */
              "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    }
}

SPEC("refuses what is no strict JSON") {
    WITH_CODEC {
        static const char *const bad[] = {
            "",           "{",   "[1,]",     "01",      "\"\\u0000\"", "\"\\ud800\"",
            "{\"a\":1}x", "nul", "\"\xff\"", "[1e999]", "{a:1}"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            AGAIN(bad[i], "invalid");
    }
}

SPEC("says what has no JSON form") {
    WITH_CODEC {
        ENCODES("return {1, 2, x = 3}",
                "table for JSON is neither a list nor an object (mixed keys)");
        ENCODES("return {[5] = 1}", "object for JSON has a number as key");
        ENCODES("return {f = function() end}", "a function has no JSON form");
        ENCODES("return {1, nil, 3}", "array for JSON has a hole at 2");
        ENCODES("return 0/0", "number for JSON is not finite");
        ENCODES("return '\\xff'", "text for JSON is not valid UTF-8");
        ENCODES("return 'a\\0b'", "text for JSON is not valid UTF-8");
        ENCODES("local t = {} t.t = t return t", "value for JSON is too deep");
        ENCODES("local t = {} for i = 1, 9 do t[i] = ('x'):rep(50000) end return t",
                "value too large (over 100000 bytes)");
        ENCODES("return {a = 10 / 2, b = 1 / 4}", "{\"a\":5,\"b\":0.25}");
    }
}

static int pack_text(lua_State *L) {
    vm_load(L, "@t.lua", slice_of(lua_touserdata(L, 1)));
    lua_call(L, 0, 1);
    slice_t packed = codec_pack(codec, L, -1);
    buf_t copy = {0};
    buf_add_slice(&copy, packed);
    codec_unpack(codec, L, buf_slice(&copy));
    buf_free(&copy);
    slice_t s = codec_encode(codec, L, -1);
    lua_pushlstring(L, s.at, s.len);
    return 1;
}

static const char *packed(const char *text) {
    lua_State *L = vm_lua(vm);
    lua_pushcfunction(L, pack_text);
    lua_pushlightuserdata(L, (void *)text);
    vm_call(vm, 1, 1);
    snprintf(bytes, sizeof bytes, "%s", lua_tostring(L, -1));
    lua_settop(L, 0);
    return bytes;
}

#define PACKS(text, want)                                                                          \
    do {                                                                                           \
        const char *got_ = packed(text);                                                           \
        CHECK_TEXT(got_, strlen(got_), want);                                                      \
    } while (0)

SPEC("packs plain data and nothing else") {
    WITH_CODEC {
        PACKS("return {a = {1, 2, {b = true}}, n = -7, r = 0.5, s = 'x', f = false}",
              "{\"a\":[1,2,{\"b\":true}],\"f\":false,\"n\":-7,\"r\":0.5,\"s\":\"x\"}");
        PACKS("return {[10] = 1, [1] = 2, [2] = 3} and {1, 2}", "[1,2]");
        PACKS("return {f = function() end}", "state holds a function");
        PACKS("return setmetatable({}, {})", "state holds a table with a metatable");
        PACKS("local t = {} t.t = t return t", "state is too deep (or holds itself)");
    }
}

SPEC_MAIN
