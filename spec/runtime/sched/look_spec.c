/* The promises of look.h: figures of living actors from outside, without asking them, while they
 * work. */
#include "base/clock.h"
#include "base/err.h"
#include "sched/look.h"
#include "spec/wait.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { SAY = MSG_USER, SPIN, KEEP, TIME, CALL, BLOCK, CRASH, GO, REPLY };

static _Atomic uint64_t seen;
static _Atomic bool gate_open;

static void handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    switch (m->verb) {
    case SPIN:
        actor_slice_note(self, "rules.lua:7");
        for (uint64_t until = clock_mono_ns() + m->cookie * 1000000; clock_mono_ns() < until;)
            ;
        break;
    case KEEP:
        actor_keep(self, m);
        break;
    case TIME:
        actor_after(self, 60000, REPLY, 3);
        break;
    case CALL: {
        actor_ref_t to = *msg_data(m, actor_ref_t);
        actor_request(self, to, msg_new(KEEP, 0), 30000, REPLY, 0);
        break;
    }
    case BLOCK:
        while (!atomic_load(&gate_open))
            nap();
        break;
    case CRASH:
        actor_exit(self, ERR_INTERNAL);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    }
    seen++;
}
static const actor_class_t worker_bee = {.name = "bee", .state_size = 100, .handle = handle};
static const actor_class_t drone = {.name = "drone", .handle = handle, .place = ACTOR_PINNED};
static const actor_class_t phoenix = {
    .name = "phoenix", .handle = handle, .restart = ACTOR_ON_CRASH};

static runtime_t *start(uint32_t workers) {
    seen = 0;
    gate_open = false;
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = workers, .seed = 1});
    runtime_kind(rt, 1, &worker_bee);
    runtime_start(rt);
    return rt;
}

static void stop(runtime_t *rt) {
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

static void send(runtime_t *rt, actor_ref_t to, uint32_t verb, uint64_t cookie) {
    msg_t *m = msg_new(verb, 0);
    m->cookie = cookie;
    runtime_send(rt, to, m);
}

SPEC("lists living actors with what they are and what they cost, and counts those of a class") {
    runtime_t *rt = start(2);
    actor_ref_t first = actor_spawn(rt, NULL, &worker_bee, 7, -1, NULL);
    for (int i = 0; i < 9; i++)
        actor_spawn(rt, NULL, &worker_bee, 8, -1, NULL);
    actor_ref_t port = actor_spawn(rt, NULL, &drone, 0, 1, NULL);
    runtime_send_key(rt, 1, 42, msg_new(SAY, 0));
    for (int i = 0; i < 5; i++)
        send(rt, first, SAY, 0);
    CHECK(wait_for(&seen, 6));
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    look_actor_t e[32];
    uint64_t total;
    CHECK_INT(look_list(rt, &(look_query_t){0}, e, 32, &total), 12);
    CHECK_INT(total, 12);
    CHECK_INT(look_list(rt, &(look_query_t){.name = "bee"}, NULL, 0, &total), 0);
    CHECK_INT(total, 11);
    look_detail_t d;
    UNTIL(look_actor(rt, first, &d, 0) == ERR_OK && d.actor.state == LOOK_IDLE);
    CHECK(strcmp(d.actor.name, "bee") == 0 && d.actor.key == 7 && d.actor.kind == -1);
    CHECK_INT(d.actor.handled, 5);
    CHECK(d.actor.memory >= 192 + 100 && d.actor.cpu_ns > 0);
    CHECK(!d.asked);
    actor_ref_t keyed = look_find(rt, 1, 42);
    CHECK_INT(look_actor(rt, keyed, &d, 0), ERR_OK);
    CHECK(d.actor.kind == 1 && d.actor.key == 42);
    CHECK(!look_find(rt, 1, 43).gen);
    CHECK(actor_ref_eq(look_slot(rt, port.slot), port));
    stop(rt);
}

SPEC("sorts by queue, by memory and by the time used since it was last asked") {
    runtime_t *rt = start(2);
    actor_ref_t bees[4], busy;
    for (int i = 0; i < 4; i++)
        bees[i] = actor_spawn(rt, NULL, &drone, (uint64_t)i, 0, NULL);
    busy = actor_spawn(rt, NULL, &drone, 9, 1, NULL);
    look_marks_t *marks = look_marks_new();
    send(rt, bees[3], SPIN, 30);
    CHECK(wait_for(&seen, 1));
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law)); /* its slice is accounted for */
    look_actor_t e[2];
    look_query_t by_cpu = {.sort = LOOK_BY_CPU, .marks = marks};
    CHECK_INT(look_list(rt, &by_cpu, e, 2, NULL), 2);
    CHECK_INT(e[0].key, 3);
    send(rt, busy, SPIN, 20);
    CHECK(wait_for(&seen, 2));
    CHECK(look_law_at_rest(rt, 30000, &law));
    CHECK_INT(look_list(rt, &by_cpu, e, 2, NULL), 2);
    CHECK_INT(e[0].key, 9);
    CHECK(e[0].recent_ns >= 15000000 && e[1].recent_ns < e[0].recent_ns);
    look_marks_free(marks);
    send(rt, bees[0], BLOCK, 0);
    for (int i = 0; i < 20; i++)
        send(rt, bees[2], SAY, 0);
    CHECK_INT(look_list(rt, &(look_query_t){.sort = LOOK_BY_QUEUE}, e, 1, NULL), 1);
    CHECK_INT(e[0].key, 2);
    CHECK_INT(e[0].waiting, 20);
    CHECK_INT(e[0].state, LOOK_READY);
    CHECK_INT(look_list(rt, &(look_query_t){.sort = LOOK_BY_MEMORY}, e, 1, NULL), 1);
    CHECK_INT(e[0].key, 2);
    gate_open = true;
    CHECK(wait_for(&seen, 23));
    stop(rt);
}

SPEC("tells of one actor its timers, requests, calls, children and parent; of a busy one what is "
     "known") {
    runtime_t *rt = start(2);
    actor_ref_t one = actor_spawn(rt, NULL, &drone, 1, 0, NULL);
    actor_ref_t two = actor_spawn(rt, NULL, &drone, 2, 1, NULL);
    send(rt, one, TIME, 0);
    runtime_send(rt, two, msg_of(CALL, &one, sizeof one));
    CHECK(wait_for(&seen, 3));
    look_detail_t d;
    CHECK_INT(look_actor(rt, one, &d, 30000), ERR_OK);
    CHECK(d.asked);
    CHECK_INT(d.timers_given, 1);
    CHECK(d.timers[0].verb == REPLY && d.timers[0].cookie == 3);
    CHECK(d.timers[0].due_ms > 50000 && d.timers[0].due_ms <= 60001);
    CHECK_INT(d.requests_given, 1);
    CHECK(d.requests[0].verb == KEEP && actor_ref_eq(d.requests[0].from, two));
    CHECK(strcmp(d.requests[0].from_name, "drone") == 0);
    CHECK(d.requests[0].left_ms > 20000 && d.requests[0].left_ms <= 30000);
    CHECK_INT(d.actor.open, 1);
    CHECK_INT(d.actor.timers, 1);
    CHECK_INT(look_actor(rt, two, &d, 30000), ERR_OK);
    CHECK_INT(d.calls_given, 1);
    CHECK_INT(d.calls[0].reply_verb, REPLY);
    CHECK_INT(d.actor.calls, 1);
    send(rt, one, BLOCK, 0);
    CHECK_INT(look_actor(rt, one, &d, 20), ERR_OK);
    CHECK(!d.asked && d.actor.open == 1);
    gate_open = true;
    send(rt, one, CRASH, 0);
    UNTIL(look_actor(rt, one, &d, 0) == ERR_GONE);
    CHECK_INT(look_actor(rt, one, &d, 10), ERR_GONE);
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    stop(rt);
}

SPEC("keeps a class's account when its actors end, and counts crashes and restarts") {
    runtime_t *rt = start(1);
    for (int i = 0; i < 10; i++) {
        actor_ref_t a = actor_spawn(rt, NULL, &worker_bee, 0, -1, NULL);
        send(rt, a, SAY, 0);
        send(rt, a, CRASH, 0);
    }
    send(rt, actor_spawn(rt, NULL, &phoenix, 0, -1, NULL), CRASH, 0);
    CHECK(wait_for(&seen, 21));
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    look_class_t c[LOOK_CLASSES];
    UNTIL(look_classes(rt, c) == 2 && c[1].restarts == 1 && c[0].alive == 0);
    CHECK_INT(look_classes(rt, c), 2);
    CHECK(strcmp(c[0].name, "bee") == 0 && strcmp(c[1].name, "phoenix") == 0);
    CHECK_INT(c[0].alive, 0);
    CHECK_INT(c[0].made, 10);
    CHECK_INT(c[0].messages, 20);
    CHECK_INT(c[0].crashes, 10);
    CHECK(c[0].cpu_ns > 0);
    CHECK_INT(c[1].alive, 1);
    CHECK_INT(c[1].restarts, 1);
    stop(rt);
}

SPEC("notes the longest slices with their verb and what the class said about them") {
    runtime_t *rt = start(1);
    actor_ref_t a = actor_spawn(rt, NULL, &worker_bee, 5, -1, NULL);
    look_law_t law;
    for (uint64_t ms = 6; ms < 6 + LOOK_SLOW + 4; ms++) {
        send(rt, a, SPIN, ms == 20 ? 60 : 6);
        CHECK(wait_for(&seen, ms - 5));
        CHECK(look_law_at_rest(rt, 30000, &law)); /* no two of them in one slice */
    }
    look_slow_t s[LOOK_SLOW];
    CHECK_INT(look_slow(rt, s), LOOK_SLOW);
    CHECK_INT(look_slow_seen(rt), LOOK_SLOW + 4);
    CHECK(s[0].us >= 55000 && s[0].us >= s[1].us);
    CHECK(s[0].verb == SPIN && s[0].key == 5 && strcmp(s[0].name, "bee") == 0);
    CHECK(strcmp(s[0].note, "rules.lua:7") == 0);
    stop(rt);
}

SPEC("tells each limit and what it refused") {
    runtime_t *rt = runtime_new(&(runtime_conf_t){
        .workers = 1, .seed = 1, .mailbox_msgs = 8, .mailbox_bytes = 5000, .max_actors = 3});
    seen = 0;
    gate_open = false;
    runtime_start(rt);
    actor_ref_t a = actor_spawn(rt, NULL, &worker_bee, 5, -1, NULL);
    send(rt, a, BLOCK, 0);
    CHECK_INT(runtime_send(rt, a, msg_new(SAY, 6000)), ERR_FULL);
    for (int i = 0; i < 12; i++)
        send(rt, a, SAY, 0);
    for (int i = 0; i < 4; i++)
        actor_spawn(rt, NULL, &worker_bee, 5, -1, NULL);
    look_limit_t l[LOOK_LIMITS];
    CHECK_INT(look_limits(rt, l), LOOK_LIMITS);
    CHECK_INT(l[0].refused, 5);
    CHECK_INT(l[0].value, 8);
    CHECK_INT(l[1].refused, 1);
    CHECK_INT(l[2].refused, 2);
    CHECK_INT(l[2].now, 3);
    gate_open = true;
    stop(rt);
}

/* Makes and ends actors all the time, so that slots change hands under the lister. */
static _Atomic bool over;
static void *churn(void *arg) {
    runtime_t *rt = arg;
    for (uint64_t i = 0; !atomic_load(&over); i++) {
        actor_ref_t a =
            actor_spawn(rt, NULL, i % 2 ? &worker_bee : &drone, i % 2 ? 1 : 2, -1, NULL);
        send(rt, a, CRASH, 0);
        if (i % 64 == 0)
            nap();
    }
    return NULL;
}

SPEC("never mixes two actors of one slot while slots change hands, and no message is lost") {
    runtime_t *rt = start(2);
    pthread_t t[2];
    look_actor_t e[64];
    uint64_t mixed = 0, given = 0;
    over = false;
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, churn, rt);
    enum { HALF_A_SECOND = 500000000 };
    uint64_t from = clock_mono_ns(), ns = 0;
    for (; ns < HALF_A_SECOND || (given == 0 && ns < 60ull * HALF_A_SECOND);
         ns = clock_mono_ns() - from) {
        size_t n = look_list(rt, &(look_query_t){.sort = LOOK_BY_QUEUE}, e, 64, NULL);
        for (size_t i = 0; i < n; i++)
            mixed += e[i].key != (strcmp(e[i].name, "bee") == 0 ? 1u : 2u);
        given += n;
        if (n) {
            look_detail_t d;
            look_actor(rt, e[0].ref, &d, 1);
        }
    }
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    CHECK_INT(mixed, 0);
    CHECK(given > 0);
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    stop(rt);
}

SPEC("lists two hundred thousand actors while a worker beside it keeps its pace") {
    enum { MANY = 200000 };
    runtime_t *rt = start(1);
    for (int i = 0; i < MANY; i++)
        actor_spawn(rt, NULL, &drone, (uint64_t)i, 0, NULL);
    actor_ref_t one = actor_spawn(rt, NULL, &worker_bee, 1, 0, NULL);
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    look_actor_t e[20];
    uint64_t total, n = seen;
    send(rt, one, SAY, 0);
    CHECK_INT(look_list(rt, &(look_query_t){.sort = LOOK_BY_CPU}, e, 20, &total), 20);
    CHECK_INT(total, MANY + 1);
    CHECK(wait_for(&seen, n + 1));
    stop(rt);
}

SPEC_MAIN
