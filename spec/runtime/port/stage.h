/* stage: what the port specs play on: a runtime, a temporary directory, and an actor through which
 * a spec makes calls of its own thread and waits for the answers. */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "sched/runtime.h"
#include "spec/wait.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define STAGE_ANSWERS 8192
#define STAGE_CALLERS 8

enum { STAGE_DO = MSG_USER + 200, STAGE_REPLY, STAGE_EVENT };

typedef struct stage_answer {
    bool there;
    int err;
    uint32_t size;
    char *data;
    block_t *body;
} stage_answer_t;
typedef struct stage_event {
    uint64_t key, cookie;
    block_t *body;
} stage_event_t;

typedef struct stage {
    char dir[64], fault[600];
    conf_t *conf;
    runtime_t *rt;
    bool running;
    actor_ref_t callers[STAGE_CALLERS];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t answers_used, answered, event_count;
    uint64_t marks[2]; /* set, come to */
    stage_answer_t answers[STAGE_ANSWERS];
    stage_event_t events[STAGE_ANSWERS];
} stage_t;

static stage_t *stage;

typedef void (*stage_fn_t)(actor_t *self, void *arg);
typedef struct stage_do {
    stage_fn_t fn;
    void *arg;
} stage_do_t;

/* Keeps what came; the message itself is the runtime's. */
static void stage_note(const msg_t *m) {
    pthread_mutex_lock(&stage->lock);
    if (m->verb == STAGE_REPLY && m->cookie < STAGE_ANSWERS) {
        stage_answer_t *a = &stage->answers[m->cookie];
        a->there = true;
        a->err = m->err;
        a->size = m->size;
        a->data = malloc(m->size + 1u);
        memcpy(a->data, m->data, m->size);
        a->body = m->body ? block_ref(m->body) : NULL;
        stage->answered++;
    } else if (m->verb == STAGE_EVENT && stage->event_count < STAGE_ANSWERS) {
        stage->events[stage->event_count++] =
            (stage_event_t){m->key, m->cookie, m->body ? block_ref(m->body) : NULL};
    }
    pthread_cond_broadcast(&stage->changed);
    pthread_mutex_unlock(&stage->lock);
}

static void stage_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == STAGE_DO) {
        stage_do_t *d = msg_data(m, stage_do_t);
        d->fn(self, d->arg);
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    } else {
        stage_note(m);
    }
}
static const actor_class_t stage_class = {
    .name = "stage", .place = ACTOR_FREE, .max_msgs = 65536, .handle = stage_handle};

static void stage_new(void) {
    pthread_condattr_t attr;
    stage = calloc(1, sizeof *stage);
    snprintf(stage->dir, sizeof stage->dir, "/tmp/parley-port-XXXXXX");
    if (!mkdtemp(stage->dir))
        abort();
    pthread_mutex_init(&stage->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&stage->changed, &attr);
    stage->conf = conf_new();
    stage->rt = runtime_new(&(runtime_conf_t){.workers = 2});
    log_level_set(getenv("SPEC_LOG") ? LOG_DEBUG : LOG_ERROR + 1);
}

static void stage_set(const char *key, const char *value) {
    if (conf_set(stage->conf, key, slice_of(value), stage->fault, sizeof stage->fault) != ERR_OK) {
        printf("%s\n", stage->fault);
        abort();
    }
}

/* After the ports are open. */
static void stage_start(void) {
    for (int i = 0; i < STAGE_CALLERS; i++)
        stage->callers[i] = actor_spawn(stage->rt, NULL, &stage_class, 0, -1, NULL);
    runtime_start(stage->rt);
    stage->running = true;
}

/* Ends the runtime; ports are closed afterwards, then stage_free. */
static void stage_stop(void) {
    runtime_stop(stage->rt, 30000);
}

static void stage_clear(void) {
    for (int i = 0; i < STAGE_ANSWERS; i++) {
        free(stage->answers[i].data);
        block_unref(stage->answers[i].body);
        block_unref(stage->events[i].body);
    }
}

static void stage_free(void) {
    char command[128];
    runtime_free(stage->rt);
    conf_free(stage->conf);
    stage_clear();
    snprintf(command, sizeof command, "rm -rf '%s'", stage->dir);
    if (system(command))
        printf("cannot remove %s\n", stage->dir);
    free(stage);
    stage = NULL;
}

/* fn in the thread of caller number `who`. */
static void stage_do(int who, stage_fn_t fn, void *arg) {
    stage_do_t d = {fn, arg};
    runtime_send(stage->rt, stage->callers[who], msg_of(STAGE_DO, &d, sizeof d));
}

static void stage_mark(actor_t *self, void *arg) {
    (void)self, (void)arg;
    pthread_mutex_lock(&stage->lock);
    stage->marks[1]++;
    pthread_cond_broadcast(&stage->changed);
    pthread_mutex_unlock(&stage->lock);
}

static uint64_t stage_cookie(void) {
    pthread_mutex_lock(&stage->lock);
    uint64_t n = stage->answers_used++;
    pthread_mutex_unlock(&stage->lock);
    if (n >= STAGE_ANSWERS)
        abort();
    return n;
}

static bool stage_wait_while(bool (*waits)(uint64_t n), uint64_t n) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&stage->lock);
    int rc = 0;
    while (waits(n) && rc == 0)
        rc = pthread_cond_timedwait(&stage->changed, &stage->lock, &until);
    bool ok = !waits(n);
    pthread_mutex_unlock(&stage->lock);
    return ok;
}

static bool stage_behind(uint64_t mark) {
    return stage->marks[1] < mark;
}

/* Waits until caller number `who` has done all that it was told: what it sent has been sent. */
__attribute__((unused)) static bool stage_done(int who) {
    stage_do(who, stage_mark, NULL);
    return stage_wait_while(stage_behind, ++stage->marks[0]);
}

static bool stage_no_answer(uint64_t n) {
    return !stage->answers[n].there;
}
static bool stage_few_events(uint64_t n) {
    return stage->event_count < n;
}

static stage_answer_t *stage_answer(uint64_t cookie) {
    if (!stage_wait_while(stage_no_answer, cookie)) {
        printf("no answer came\n");
        abort();
    }
    return &stage->answers[cookie];
}

__attribute__((unused)) static bool stage_events(uint64_t n) {
    return stage_wait_while(stage_few_events, n);
}

__attribute__((unused)) static slice_t stage_body(const stage_answer_t *a) {
    return a->body ? (slice_t){a->body->data, a->body->len} : (slice_t){"", 0};
}
