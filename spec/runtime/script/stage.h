/* stage: what the script specs play on: a runtime, a directory with the spec's own services beside
 * the built-in ones, a fake store, and an actor through which a spec calls a service and waits for
 * the answer. */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/stat.h"
#include "script/script.h"
#include "spec/wait.h"
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE_ANSWERS 4096

typedef struct stage_answer {
    bool there;
    int err;
    char body[4096];
} stage_answer_t;

typedef struct stage {
    char dir[64], fault[400];
    conf_t *conf;
    runtime_t *rt;
    script_t *script;
    actor_ref_t caller;
    pthread_mutex_t lock;
    pthread_cond_t came;
    stage_answer_t answers[STAGE_ANSWERS];
    uint32_t calls;
    int64_t policy_out;
    int policy_err;
} stage_t;

static stage_t *stage;
static uint32_t stage_workers = 2;

enum { STAGE_CALL = MSG_USER + 100, STAGE_REPLY, STAGE_POLICY, STAGE_ORDER };
typedef struct stage_order {
    script_order_t order;
    uint64_t number;
} stage_order_t;
typedef struct stage_call {
    char service[32], verb[32];
    uint64_t key, number;
    uint32_t timeout_ms;
} stage_call_t;
typedef struct stage_policy {
    script_policy_t *p;
    size_t count;
    int64_t args[4];
    uint64_t number;
} stage_policy_t;

static void stage_answer(uint64_t number, int err, const char *at, size_t len) {
    pthread_mutex_lock(&stage->lock);
    stage_answer_t *a = &stage->answers[number];
    a->there = true;
    a->err = err;
    snprintf(a->body, sizeof a->body, "%.*s", (int)len, at);
    pthread_cond_broadcast(&stage->came);
    pthread_mutex_unlock(&stage->lock);
}

static void stage_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == STAGE_CALL) {
        stage_call_t *c = msg_data(m, stage_call_t);
        script_call(stage->script, self, script_service(stage->script, c->service), c->verb, c->key,
                    m->body ? block_ref(m->body) : NULL, c->timeout_ms, STAGE_REPLY, c->number);
    } else if (m->verb == STAGE_REPLY) {
        stage_answer(m->cookie, m->err, m->body ? m->body->data : "", m->body ? m->body->len : 0);
    } else if (m->verb == STAGE_ORDER) {
        stage_order_t *o = msg_data(m, stage_order_t);
        script_order(stage->script, self, &o->order, WAIT_MS, STAGE_REPLY, o->number);
    } else if (m->verb == STAGE_POLICY) {
        stage_policy_t *p = msg_data(m, stage_policy_t);
        stage->policy_err = script_policy_run(p->p, self, p->args, p->count, &stage->policy_out);
        stage_answer(p->number, 0, "", 0);
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}

static const actor_class_t stage_class = {
    .name = "stage", .place = ACTOR_FREE, .handle = stage_handle};

/* Writes a file of the spec's script.dir. */
static void stage_file(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", stage->dir, name);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static void stage_set(const char *key, const char *value) {
    char fault[200];
    if (conf_set(stage->conf, key, slice_of(value), fault, sizeof fault) != ERR_OK) {
        printf("%s\n", fault);
        abort();
    }
}

static void stage_new(void) {
    stage = calloc(1, sizeof *stage);
    snprintf(stage->dir, sizeof stage->dir, "/tmp/parley-script-XXXXXX");
    if (!mkdtemp(stage->dir))
        abort();
    pthread_mutex_init(&stage->lock, NULL);
    pthread_cond_init(&stage->came, NULL);
    stage->conf = conf_new();
    log_level_set(getenv("SPEC_LOG") ? LOG_DEBUG : LOG_ERROR + 1);
    stage_set("script.timeout", "60s"); /* a spec of deadlines sets its own */
}

static bool stage_open(const script_ports_t *ports, const script_function_t *functions,
                       size_t count) {
    runtime_conf_t conf = {.workers = stage_workers};
    static const script_ports_t none;
    stage_set("script.dir", stage->dir);
    stage_set("data.dir", stage->dir);
    stage->rt = runtime_new(&conf);
    stage->script = script_open(stage->rt, stage->conf, ports ? ports : &none, functions, count,
                                stage->fault, sizeof stage->fault);
    stage->caller = actor_spawn(stage->rt, NULL, &stage_class, 0, -1, NULL);
    runtime_start(stage->rt);
    if (!stage->script && getenv("SPEC_LOG"))
        printf("%s\n", stage->fault);
    return stage->script != NULL;
}

/* One service in one file. */
static inline bool stage_service(const char *name, const char *text) {
    char file[64];
    snprintf(file, sizeof file, "%s.lua", name);
    stage_new();
    stage_file(file, text);
    return stage_open(NULL, NULL, 0);
}

/* Stops the node, keeps the directory: stage_open again is a restart. */
static void stage_stop(void) {
    runtime_stop(stage->rt, 2000);
    runtime_free(stage->rt);
    script_close(stage->script);
}

static int stage_remove(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

/* For a stage that was never opened. */
static inline void stage_remove_all(void) {
    conf_free(stage->conf);
    nftw(stage->dir, stage_remove, 8, FTW_DEPTH | FTW_PHYS);
    free(stage);
}

static void stage_free(void) {
    stage_stop();
    conf_free(stage->conf);
    nftw(stage->dir, stage_remove, 8, FTW_DEPTH | FTW_PHYS);
    pthread_mutex_destroy(&stage->lock);
    pthread_cond_destroy(&stage->came);
    free(stage);
}

/* Starts a call; gives its number for stage_wait. */
static uint64_t stage_start_in(const char *service, const char *verb, uint64_t key,
                               const char *json, uint32_t timeout_ms) {
    stage_call_t c = {.key = key, .number = stage->calls++, .timeout_ms = timeout_ms};
    snprintf(c.service, sizeof c.service, "%s", service);
    snprintf(c.verb, sizeof c.verb, "%s", verb);
    msg_t *m = msg_of(STAGE_CALL, &c, sizeof c);
    m->body = json ? block_of(json, strlen(json)) : NULL;
    runtime_send(stage->rt, stage->caller, m);
    return c.number;
}

static uint64_t stage_start(const char *verb, uint64_t key, const char *json) {
    return stage_start_in("t", verb, key, json, WAIT_MS);
}

/* The answer, after its deadline at the latest; err 1 when none came. */
static const stage_answer_t *stage_wait(uint64_t number) {
    static const stage_answer_t none = {.err = 1, .body = "no answer"};
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 2 * WAIT_MS / 1000;
    pthread_mutex_lock(&stage->lock);
    int late = 0;
    while (!stage->answers[number].there && late == 0)
        late = pthread_cond_clockwait(&stage->came, &stage->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&stage->lock);
    return stage->answers[number].there ? &stage->answers[number] : &none;
}

static inline bool stage_there(uint64_t number) {
    pthread_mutex_lock(&stage->lock);
    bool there = stage->answers[number].there;
    pthread_mutex_unlock(&stage->lock);
    return there;
}

static const char *stage_call(const char *verb, uint64_t key, const char *json) {
    return stage_wait(stage_start(verb, key, json))->body;
}

/* The place of the newest answer is used again: for who asks until something has become so. */
static inline void stage_forget(void) {
    stage->answers[--stage->calls].there = false;
}

/* The same, whose answer is only looked at before the next call. */
static inline const char *stage_ask(const char *verb, uint64_t key) {
    const char *body = stage_call(verb, key, NULL);
    stage_forget();
    return body;
}

/* Calls until the answer is `want`. */
static inline bool stage_becomes(const char *verb, const char *want) {
    return COMES(strcmp(stage_ask(verb, 1), want) == 0);
}

static inline int stage_policy(script_policy_t *p, const int64_t *args, size_t count,
                               int64_t *out) {
    stage_policy_t q = {.p = p, .count = count, .number = stage->calls++};
    memcpy(q.args, args, count * sizeof *args);
    runtime_send(stage->rt, stage->caller, msg_of(STAGE_POLICY, &q, sizeof q));
    stage_wait(q.number);
    *out = stage->policy_out;
    return stage->policy_err;
}

/* An order and its answer. */
static inline const stage_answer_t *stage_order(const script_order_t *o) {
    stage_order_t s = {.order = *o, .number = stage->calls++};
    if (!*s.order.who)
        snprintf(s.order.who, sizeof s.order.who, "lena");
    runtime_send(stage->rt, stage->caller, msg_of(STAGE_ORDER, &s, sizeof s));
    return stage_wait(s.number);
}

/* As a signal does it; waits until it is done. */
static inline void stage_reload(void) {
    int64_t before = stat_read(STAT_SCRIPT_RELOADS);
    script_reload(stage->script);
    if (!COMES(stat_read(STAT_SCRIPT_RELOADS) > before))
        printf("the reload has not come to its end\n");
}

#define CALL(verb, key, json, want)                                                                \
    do {                                                                                           \
        const char *got_ = stage_call(verb, key, json);                                            \
        CHECK_TEXT(got_, strlen(got_), want);                                                      \
    } while (0)
#define ANSWERS(number, want)                                                                      \
    do {                                                                                           \
        const char *got_ = stage_wait(number)->body;                                               \
        CHECK_TEXT(got_, strlen(got_), want);                                                      \
    } while (0)
#define INTERNAL_ERROR "{\"error\":\"internal error\",\"code\":\"internal\"}"
