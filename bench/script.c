/* bench/script: what a call to a Lua service and back costs, and a policy in place; what a shard of
 * an empty service takes in memory; how long a reload holds requests back. One actor keeps `flight`
 * calls under way. bench_script [calls] [flight] */
#include "base/clock.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/script_in.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { GO = MSG_USER, BACK };

static script_t *script;
static int service;
static uint64_t calls = 500000, flight = 16, sent, done;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t over = PTHREAD_COND_INITIALIZER;
static bool finished;
static block_t *json;
static const char *verb;

static uint64_t cpu_ns(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000 +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
}

static void finish(void) {
    pthread_mutex_lock(&lock);
    finished = true;
    pthread_cond_signal(&over);
    pthread_mutex_unlock(&lock);
}

static void wait_over(void) {
    pthread_mutex_lock(&lock);
    while (!finished)
        pthread_cond_wait(&over, &lock);
    finished = false;
    pthread_mutex_unlock(&lock);
}

static void one(actor_t *self) {
    script_call(script, self, service, verb, sent++, json ? block_ref(json) : NULL, 0, BACK, 0);
}

/* --- reload: calls go on until all answers are of the new version --- */
enum { RELOADS = 20, SETTLED = 64 };
static int version;
static uint64_t fresh;
static _Atomic bool leaves; /* no new calls: whoever stops first would answer them with an error */

static bool reloaded(const msg_t *m) {
    fresh = m->body && atoi(m->body->data) == version ? fresh + 1 : 0;
    return fresh == SETTLED;
}

static void handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == GO) {
        for (uint64_t i = 0; i < flight; i++)
            one(self);
        return;
    }
    if (m->verb != BACK)
        return;
    if (m->err)
        log_die("bench", "a call failed: %d", m->err);
    done++;
    if (version) {
        if (!leaves)
            one(self);
        if (leaves ? done == sent : reloaded(m))
            finish();
        return;
    }
    if (done == calls)
        finish();
    else if (sent < calls)
        one(self);
}
static const actor_class_t caller_class = {.name = "caller", .place = ACTOR_FREE, .handle = handle};

static void policies(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb != GO)
        return;
    script_policy_t *p = script_policy(script, "bench.may");
    int64_t args[4] = {1, 2, 3, 4}, out;
    uint64_t start = clock_mono_ns();
    for (uint64_t i = 0; i < calls; i++)
        if (script_policy_run(p, self, args, 4, &out) != 0 || out != 1)
            log_die("bench", "a policy failed");
    printf("policy      %7.0f ns\n", (double)(clock_mono_ns() - start) / (double)calls);
    finish();
}
static const actor_class_t policy_class = {
    .name = "policies", .place = ACTOR_FREE, .handle = policies};

static void run(runtime_t *rt, const actor_class_t *cls, const char *name) {
    sent = done = 0;
    uint64_t cpu = cpu_ns(), start = clock_mono_ns();
    actor_ref_t ref = actor_spawn(rt, NULL, cls, 0, -1, NULL);
    runtime_send(rt, ref, msg_new(GO, 0));
    wait_over();
    if (name)
        printf("%-11s %7.0f ns wall %7.0f ns CPU (%llu in flight; aim: 600)\n", name,
               (double)(clock_mono_ns() - start) / (double)calls,
               (double)(cpu_ns() - cpu) / (double)calls, (unsigned long long)flight);
}

static void write_service(const char *dir, int number) {
    char path[200];
    snprintf(path, sizeof path, "%s/bench.lua", dir);
    FILE *f = fopen(path, "w");
    fprintf(f,
            "return {name = 'bench', on = {echo = function(s, req) return {n = req.n, name = "
            "req.name} end,"
            "nothing = function() end, version = function() return %d end},"
            "policy = {may = function(a, b, c, d) if a > b or c > d then return false end return "
            "true end}}",
            number);
    fclose(f);
    snprintf(path, sizeof path, "%s/empty.lua", dir);
    f = fopen(path, "w");
    fputs("return {name = 'empty'}", f);
    fclose(f);
}

/* How long the shards held requests back, as they tell it themselves. */
static void tell_pauses(void) {
    uint64_t bucket[HIST_BUCKETS], count, sum_us, below = 0;
    int i = 0;
    stat_hist_read(HIST_SCRIPT_PAUSE, bucket, &count, &sum_us);
    while (i < HIST_BUCKETS - 1 && (below += bucket[i]) < count)
        i++;
    printf(
        "reload      %7.3f ms a shard holds requests back, mean of %llu (all below %.2f; aim: 5)\n",
        (double)sum_us / 1000 / (double)count, (unsigned long long)count,
        (double)stat_hist_bound[i] / 1000);
}

static void reloads(runtime_t *rt, const char *dir) {
    json = NULL;
    verb = "version";
    sent = done = 0;
    for (int i = 0; i < RELOADS; i++) {
        version = i + 2;
        write_service(dir, version);
        fresh = 0;
        if (i == 0)
            runtime_send(rt, actor_spawn(rt, NULL, &caller_class, 0, -1, NULL), msg_new(GO, 0));
        script_reload(script);
        wait_over();
    }
    leaves = true;
    wait_over();
    tell_pauses();
}

static double resident(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Shards of an empty service: what their VMs count, and what the process grows by. */
static void shard_bytes(runtime_t *rt) {
    enum { SHARDS = 200 };
    static shard_arg_t args[SHARDS]; /* they live as long as the shards */
    char fault[300];
    size_t counted = 0;
    uint32_t number = (uint32_t)script_service(script, "empty");
    double before = resident();
    for (uint32_t i = 0; i < SHARDS; i++) {
        program_t *p =
            program_new(script, script->services[number].current, i, fault, sizeof fault);
        if (!p)
            log_die("bench", "%s", fault);
        counted += vm_memory(p->vm);
        args[i] = (shard_arg_t){.script = script, .service = number, .number = i, .program = p};
        actor_spawn(rt, NULL, &shard_class, i, -1, &args[i]);
    }
    printf("a shard     %7.1f KB of an empty service, %.1f of it in its VM (aim: 20)\n",
           (resident() - before) / SHARDS / 1000, (double)counted / SHARDS / 1000);
}

int main(int argc, char **argv) {
    char dir[] = "/tmp/bench-script-XXXXXX", fault[300];
    static const script_ports_t ports;
    runtime_conf_t rc = {.workers = 1};
    if (argc > 1)
        calls = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        flight = strtoull(argv[2], NULL, 10);
    write_service(mkdtemp(dir), 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_level_set(LOG_WARN);
    conf_t *conf = conf_new();
    conf_set(conf, "script.dir", slice_of(dir), fault, sizeof fault);
    conf_set(conf, "data.dir", slice_of(dir), fault, sizeof fault);
    runtime_t *rt = runtime_new(&rc);
    script = script_open(rt, conf, &ports, NULL, 0, fault, sizeof fault);
    if (!script)
        log_die("bench", "%s", fault);
    service = script_service(script, "bench");
    shard_bytes(rt);
    runtime_start(rt);
    verb = "nothing";
    run(rt, &caller_class, "call");
    static const char req[] = "{\"n\":5,\"name\":\"some body\",\"list\":[1,2,3]}";
    json = block_of(req, sizeof req - 1);
    verb = "nothing";
    run(rt, &caller_class, "call, JSON");
    verb = "echo";
    run(rt, &caller_class, "echo");
    run(rt, &policy_class, NULL);
    block_t *request = json;
    reloads(rt, dir);
    runtime_stop(rt, 1000);
    runtime_free(rt);
    script_close(script);
    conf_free(conf);
    block_unref(request);
    return 0;
}
