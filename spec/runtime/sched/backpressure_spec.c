/* The promises about floods: a stalled receiver costs its cap and no more, who sends too much is
 * told so, and nobody is woken who is not needed. */
#include "base/err.h"
#include "base/pool.h"
#include "sched/look.h"
#include "spec/wait.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { SAY = MSG_USER, BLOCK, BALL, GO };

static _Atomic uint64_t seen, full;
static _Atomic bool gate_open, inside;
static actor_ref_t player[2];

static void handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    switch (m->verb) {
    case SAY:
        seen++;
        break;
    case BLOCK:
        inside = true;
        while (!atomic_load(&gate_open))
            nap();
        break;
    case BALL:
        seen++;
        if (m->cookie) {
            msg_t *next = msg_new(BALL, 0);
            next->cookie = m->cookie - 1;
            actor_send(self, player[actor_ref_eq(actor_self(self), player[0])], next);
        }
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    }
}
static const actor_class_t stalled = {.name = "stalled",
                                      .place = ACTOR_PINNED,
                                      .max_msgs = 1000,
                                      .max_bytes = 1 << 20,
                                      .handle = handle};
static const actor_class_t port = {.name = "port",
                                   .place = ACTOR_THREAD,
                                   .max_msgs = 1000,
                                   .max_bytes = 1 << 20,
                                   .handle = handle};
static const actor_class_t free_class = {.name = "free", .handle = handle};

typedef struct flood {
    runtime_t *rt;
    actor_ref_t to;
    uint32_t size, count;
} flood_t;

static void *pour(void *arg) {
    flood_t *f = arg;
    for (uint32_t i = 0; i < f->count; i++)
        full += runtime_send(f->rt, f->to, msg_new(SAY, f->size)) == ERR_FULL;
    pool_thread_end();
    return NULL;
}

/* Two threads flood one that stands still. Gives by how much the memory in use has grown. */
static uint64_t flood(runtime_t *rt, actor_ref_t to, uint32_t size, uint32_t count) {
    flood_t f = {rt, to, size, count};
    pthread_t t[2];
    uint64_t before, after, cached;
    pool_usage(&before, &cached);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, pour, &f);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    pool_usage(&after, &cached);
    return after > before ? after - before : 0;
}

SPEC("a flood of a stalled actor or port costs its cap and no more; each refusal is counted") {
    static const actor_class_t *const classes[] = {&stalled, &port};
    for (int i = 0; i < 2; i++) {
        seen = full = 0;
        gate_open = inside = false;
        runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 2, .seed = 1});
        runtime_start(rt);
        actor_ref_t to = actor_spawn(rt, NULL, classes[i], 0, -1, NULL);
        runtime_send(rt, to, msg_new(BLOCK, 0));
        UNTIL(inside);
        CHECK(flood(rt, to, 0, 250000) < 400 * 1024); /* 1,000 messages of 96 bytes, caches */
        CHECK(full >= 500000 - 1000);
        uint64_t refused = full;
        CHECK(flood(rt, to, 4096, 50000) < 3 << 20); /* full in messages already */
        CHECK_INT(full, refused + 100000);
        look_detail_t d;
        CHECK_INT(look_actor(rt, to, &d, 0), ERR_OK);
        CHECK_INT(d.actor.refused, full);
        CHECK(d.actor.waiting <= 1000);
        look_limit_t l[LOOK_LIMITS];
        look_limits(rt, l);
        CHECK_INT(l[0].refused + l[1].refused, full);
        gate_open = true;
        look_law_t law;
        CHECK(look_law_at_rest(rt, 30000, &law));
        CHECK_INT(seen, 600000 - full);
        CHECK_INT(runtime_send(rt, to, msg_new(SAY, 0)), ERR_OK);
        runtime_stop(rt, 30000);
        runtime_free(rt);
    }
}

SPEC("a flood of large messages is bounded by bytes") {
    seen = full = 0;
    gate_open = inside = false;
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 2, .seed = 1});
    runtime_start(rt);
    actor_ref_t to = actor_spawn(rt, NULL, &stalled, 0, -1, NULL);
    runtime_send(rt, to, msg_new(BLOCK, 0));
    UNTIL(inside);
    CHECK(flood(rt, to, 65536 - 4096, 1000) < 2 << 20);
    CHECK(full >= 2000 - 18);
    gate_open = true;
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

SPEC("two actors that play wake no other worker: fewer than one wake-up in a thousand messages") {
    enum { BALLS = 200000 };
    seen = 0;
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 4, .seed = 1});
    for (int i = 0; i < 2; i++)
        player[i] = actor_spawn(rt, NULL, &free_class, 0, 0, NULL);
    runtime_start(rt);
    runtime_counts_t before, after;
    runtime_counts(rt, &before);
    msg_t *m = msg_new(BALL, 0);
    m->cookie = BALLS - 1;
    runtime_send(rt, player[0], m);
    CHECK(wait_for(&seen, BALLS));
    runtime_counts(rt, &after);
    printf("%llu wake-ups for %d messages\n", (unsigned long long)(after.wakes - before.wakes),
           BALLS);
    CHECK((after.wakes - before.wakes) * 1000 < BALLS);
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

SPEC_MAIN
