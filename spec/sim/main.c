/* parley_sim: a node in the deterministic mode under a story of chance (spec/sim/story.lua), which
 * makes clients of every kind of trouble and checks what they were promised. One seed is one run.
 *
 *   parley_sim SEED [STEPS]          one run; exit 1 and "BROKEN: .. (seed N)" when a promise is
 * broken parley_sim --seeds FIRST COUNT   so many, each in a process of its own; the reds are named
 *
 * Here: what the story can do with the world, as the Lua table `sim`. */
#include "base/log.h"
#include "net/frame.h"
#include "sched/look.h"
#include "sched/sim.h"
#include "spec/runtime/port/fault_vfs.h"
#include "spec/sim/node.h"
#include "spec/sim/wire.h"
#include <ftw.h>
#include <lauxlib.h>
#include <lualib.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static sim_t *world;
static node_t *node;
static char dir[64], data[96]; /* of the run; of the node's present life */
static int lives;
static uint32_t memory_fails; /* allocations of scripts that are refused, per million */

/* --- scripts without memory: every VM's allocator, by the linker's --wrap --- */
typedef struct real_alloc {
    lua_Alloc fn;
    void *arg;
} real_alloc_t;

lua_State *__real_lua_newstate(lua_Alloc fn, void *arg);
lua_State *__wrap_lua_newstate(lua_Alloc fn, void *arg);

/* What a script makes whatever Lua's hashes are like today (they are seeded by addresses and the
 * time): objects, and texts too long to be shared with one that is there. How often a table grows,
 * and whether a short text is still known, differs from run to run. */
static bool made_by_the_script(const void *at, size_t kind, size_t size) {
    bool object =
        kind == LUA_TTABLE || kind == LUA_TFUNCTION || kind == LUA_TUSERDATA || kind == LUA_TTHREAD;
    return !at && (object || (kind == LUA_TSTRING && size > 80));
}

/* Without a block, `old` is the kind of what is made (the manual, lua_Alloc). */
static void *allocate(void *arg, void *at, size_t old, size_t size) {
    real_alloc_t *a = arg;
    if (memory_fails && made_by_the_script(at, old, size) && sim_chance(world, memory_fails))
        return NULL;
    return a->fn(a->arg, at, old, size);
}

lua_State *__wrap_lua_newstate(lua_Alloc fn, void *arg) {
    static real_alloc_t pool[65536]; /* a VM's outlives it: nobody tells when it is closed */
    static uint32_t used;
    real_alloc_t *a = &pool[used++ % 65536];
    *a = (real_alloc_t){fn, arg};
    return world ? __real_lua_newstate(allocate, a) : __real_lua_newstate(fn, arg);
}

/* --- secrets of the seed --- */
static const char *random_name(void) {
    return "world";
}
static uint32_t random_word(void) {
    return (uint32_t)sim_below(world, (uint64_t)1 << 32);
}
static void random_bytes(void *const at, const size_t len) {
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)at)[i] = (uint8_t)sim_below(world, 256);
}
static struct randombytes_implementation seeded = {
    .implementation_name = random_name, .random = random_word, .buf = random_bytes};

/* --- what the story can do --- */
static uint64_t times(lua_State *L, int at) {
    return (uint64_t)luaL_checkinteger(L, at);
}

static int l_below(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)sim_below(world, times(L, 1)));
    return 1;
}

static int l_now(lua_State *L) { /* ms since the world began, fractions too */
    lua_pushnumber(L, (double)(sim_now_ns(world)) / 1e6);
    return 1;
}

/* run(steps): at most so many; gives a wire with news and the steps that are left, or nil. */
static int l_run(lua_State *L) {
    lua_Integer left = luaL_checkinteger(L, 1);
    int id = wire_news();
    for (; id < 0 && left > 0; left--) {
        if (!sim_step(world))
            break;
        id = wire_news();
    }
    if (id < 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, id);
    lua_pushinteger(L, left);
    return 2;
}

static int l_up(lua_State *L) {
    const char *settings[33] = {NULL};
    for (int i = 1; i <= 32 && i <= lua_gettop(L); i++)
        settings[i - 1] = luaL_checkstring(L, i);
    luaL_argcheck(L, !node, 1, "it is up");
    memory_fails = 0; /* a node without memory for its VMs rightly refuses to start */
    fault.full = fault.sync_fails = false;
    node = node_up(world, data, settings);
    lua_pushboolean(L, node != NULL);
    return 1;
}

static void copy_file(const char *from_dir, const char *name) {
    char from[128], to[128], bytes[65536];
    snprintf(from, sizeof from, "%s/%s", from_dir, name);
    snprintf(to, sizeof to, "%s/%s", data, name);
    FILE *in = fopen(from, "rb"), *out = in ? fopen(to, "wb") : NULL;
    for (size_t n; in && out && (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
        if (fwrite(bytes, 1, n, out) != n)
            log_die("sim", "cannot copy %s", name);
    if (in)
        fclose(in);
    if (out)
        fclose(out);
}

/* The files as they are at this moment are the next life's: a close would tidy them up. */
static void next_life(void) {
    char before[sizeof data];
    memcpy(before, data, sizeof before);
    snprintf(data, sizeof data, "%s/life%d", dir, lives++);
    mkdir(data, 0700);
    copy_file(before, "parley.db");
    copy_file(before, "parley.db-wal");
}

static int l_crash(lua_State *L) {
    (void)L;
    next_life();
    node_crash(node);
    node = NULL;
    return 0;
}

static void on_sync(void) {
    sim_pause(0);
}

static int l_stop(lua_State *L) {
    (void)L;
    node_stop(node);
    node = NULL;
    return 0;
}

static int l_ready(lua_State *L) {
    lua_pushboolean(L, node && node_ready(node));
    return 1;
}

static int l_reload(lua_State *L) {
    (void)L;
    node_reload(node);
    return 0;
}

static int l_open(lua_State *L) {
    lua_pushinteger(L, wire_open(node_net(node), (uint32_t)luaL_checkinteger(L, 1),
                                 (uint32_t)luaL_checkinteger(L, 2)));
    return 1;
}

static int l_write(lua_State *L) {
    size_t len;
    const char *at = luaL_checklstring(L, 2, &len);
    wire_write((int)luaL_checkinteger(L, 1), at, len);
    return 0;
}

static int l_read(lua_State *L) { /* gives bytes, ended */
    int id = (int)luaL_checkinteger(L, 1);
    slice_t s = wire_peek(id);
    uint64_t sum = s.len; /* no order of bytes: keys of JSON come in Lua's own */
    for (size_t i = 0; i < s.len; i++)
        sum += (uint64_t)(uint8_t)s.at[i] * 0x9e3779b97f4a7c15u;
    sim_note(world, sum);
    lua_pushlstring(L, s.len ? s.at : "", s.len);
    wire_take(id, s.len);
    lua_pushboolean(L, wire_ended(id));
    return 2;
}

static int l_close(lua_State *L) {
    wire_close((int)luaL_checkinteger(L, 1), lua_toboolean(L, 2));
    return 0;
}

static int l_frame(lua_State *L) { /* frame(opcode, payload): a client's frame */
    size_t len;
    char head[14];
    uint8_t mask[4];
    const char *at = luaL_checklstring(L, 2, &len);
    random_bytes(mask, 4);
    size_t n = frame_write_head(head, (uint8_t)luaL_checkinteger(L, 1), true, len, mask);
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, n + len);
    memcpy(to, head, n);
    memcpy(to + n, at, len);
    frame_mask(to + n, len, mask, 0);
    luaL_pushresultsize(&b, n + len);
    return 1;
}

static const char *killable[8];
static bool kills(const actor_class_t *cls) {
    for (int i = 0; i < 8 && killable[i]; i++)
        if (strcmp(killable[i], cls->name) == 0)
            return true;
    return false;
}

static uint32_t field(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    uint32_t n = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

/* faults {full =, kill =, port_us =, memory = (all per million but port_us), disk_full =, sync =
 * (booleans)}, names of classes that may be killed */
static int l_faults(lua_State *L) {
    sim_faults_t f = {.full = field(L, "full"),
                      .kill = field(L, "kill"),
                      .port_us = field(L, "port_us"),
                      .kills = kills};
    memory_fails = field(L, "memory");
    fault.full = field(L, "disk_full") != 0;
    fault.sync_fails = field(L, "sync") != 0;
    memset(killable, 0, sizeof killable);
    for (int i = 0; i < 7 && i + 2 <= lua_gettop(L); i++)
        killable[i] = luaL_checkstring(L, i + 2);
    sim_faults(node_runtime(node), &f);
    return 0;
}

/* The conservation law: what it lacks, and as text. */
static int l_law(lua_State *L) {
    look_law_t law;
    char text[160];
    look_law(node_runtime(node), &law);
    snprintf(text, sizeof text, "sent %llu, received %llu, refused %llu, dead %llu, waiting %llu",
             (unsigned long long)law.counts.sent, (unsigned long long)law.counts.received,
             (unsigned long long)law.counts.refused, (unsigned long long)law.counts.dead,
             (unsigned long long)law.waiting);
    lua_pushinteger(L, law.missing);
    lua_pushstring(L, text);
    return 2;
}

static int l_trace(lua_State *L) {
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)sim_trace(world));
    lua_pushstring(L, text);
    lua_pushinteger(L, (lua_Integer)sim_steps(world));
    lua_pushinteger(L, (lua_Integer)sim_kills(world));
    return 3;
}

static const luaL_Reg functions[] = {{"below", l_below}, {"now", l_now},       {"run", l_run},
                                     {"up", l_up},       {"crash", l_crash},   {"stop", l_stop},
                                     {"ready", l_ready}, {"reload", l_reload}, {"open", l_open},
                                     {"write", l_write}, {"read", l_read},     {"close", l_close},
                                     {"frame", l_frame}, {"faults", l_faults}, {"law", l_law},
                                     {"trace", l_trace}, {NULL, NULL}};

/* --- one run --- */
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int one_run(const char *seed, const char *steps) {
    snprintf(dir, sizeof dir, "%s/parley_sim.XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(dir))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_level_set(getenv("SIM_LOG") ? LOG_DEBUG : LOG_ERROR + 1);
    lua_State *L = luaL_newstate(); /* before the world: none of its memory is refused */
    world = sim_new(strtoull(seed, NULL, 10));
    srandom((unsigned)strtoul(seed, NULL, 10));
    randombytes_set_implementation(&seeded);
    fault_install();
    fault_on_sync = on_sync;
    next_life();
    wire_setup(world);
    luaL_openlibs(L);
    luaL_newlib(L, functions);
    lua_pushstring(L, dir);
    lua_setfield(L, -2, "dir");
    lua_setglobal(L, "sim");
    lua_pushinteger(L, (lua_Integer)strtoull(seed, NULL, 10));
    lua_setglobal(L, "SEED");
    lua_pushinteger(L, steps ? atoll(steps) : 0);
    lua_setglobal(L, "STEPS");
    bool ok = luaL_dofile(L, "spec/sim/story.lua") == LUA_OK;
    if (!ok)
        printf("BROKEN: %s (seed %s)\nreplay: build/parley_sim %s%s%s\n", lua_tostring(L, -1), seed,
               seed, steps ? " " : "", steps ? steps : "");
    memory_fails = 0;
    lua_close(L);
    if (node)
        node_crash(node);
    wire_reset();
    sim_free(world);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return ok ? 0 : 1;
}

/* --- many, as many side by side as there are processors --- */
static int many_runs(const char *self, uint64_t first, uint64_t count) {
    long side_by_side = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t passed = 0, failed = 0, started = 0;
    while (passed + failed < count) {
        if (started < count && (long)(started - passed - failed) < side_by_side) {
            char seed[24];
            snprintf(seed, sizeof seed, "%llu", (unsigned long long)(first + started++));
            if (fork() == 0) {
                execl(self, self, seed, (char *)NULL);
                _exit(127);
            }
            continue;
        }
        int status;
        wait(&status);
        *(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? &passed : &failed) += 1;
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed ? 1 : 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0)
        return many_runs("/proc/self/exe", strtoull(argv[2], NULL, 10),
                         strtoull(argv[3], NULL, 10));
    if (argc < 2) {
        fprintf(stderr, "parley_sim SEED [STEPS] | parley_sim --seeds FIRST COUNT\n");
        return 2;
    }
    return one_run(argv[1], argc > 2 ? argv[2] : NULL);
}
