/* What actors that stay for hours may rely on: they cost no timer while they cannot leave, and what
 * requests left behind goes without mixing up answers. */
#include "base/err.h"
#include "sched/runtime.h"
#include "spec/spec.h"
#include <stdatomic.h>
#include <time.h>

enum { HOLD = MSG_USER, LET_GO, TICK, GO, KEEP, ANSWER, ANSWERED };

static _Atomic uint64_t asked, handled, begun, ended, ticks, answers, answer_cookie;
static _Atomic int answer_err;

static bool wait_for(_Atomic uint64_t *what, uint64_t least) {
    for (int i = 0; i < 10000 && atomic_load(what) < least; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return atomic_load(what) >= least;
}

static int note_begin(actor_t *self, void *state, const void *arg) {
    (void)self, (void)state, (void)arg;
    begun++;
    return ERR_OK;
}

static void note_end(actor_t *self, void *state, int reason) {
    (void)self, (void)state, (void)reason;
    ended++;
}

static void held_handle(actor_t *self, void *state, msg_t *m) {
    *(bool *)state = m->verb == HOLD;
    handled++;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
}

static bool held_leaves(actor_t *self, void *state) {
    (void)self;
    asked++;
    return !*(bool *)state;
}

static const actor_class_t held = {.name = "held",
                                   .state_size = sizeof(bool),
                                   .idle_ms = 1,
                                   .idle_lazily = true,
                                   .init = note_begin,
                                   .handle = held_handle,
                                   .passivate = held_leaves,
                                   .ended = note_end};

static void clock_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
        return;
    }
    ticks++;
    actor_after(self, 1, TICK, 0);
}
static const actor_class_t clock_class = {.name = "clock", .handle = clock_handle};

SPEC("asks an actor with idle_lazily after its turns only, and lets it go once it may") {
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 1, .seed = 1});
    runtime_kind(rt, 1, &held);
    runtime_start(rt);
    CHECK_INT(runtime_send_key(rt, 1, 7, msg_new(HOLD, 0)), ERR_OK);
    CHECK(wait_for(&handled, 1));
    actor_ref_t beats = actor_spawn(rt, NULL, &clock_class, 0, 0, NULL);
    runtime_send(rt, beats, msg_new(TICK, 0));
    CHECK(wait_for(&ticks, 20)); /* the same worker's wheel has turned 20 times */
    CHECK_INT(asked, 1);
    CHECK_INT(ended, 0);
    CHECK_INT(runtime_send_key(rt, 1, 7, msg_new(LET_GO, 0)), ERR_OK);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(runtime_send_key(rt, 1, 7, msg_new(HOLD, 0)), ERR_OK);
    CHECK(wait_for(&begun, 2));
    CHECK_INT(ended, 1);
    runtime_stop(rt, 2000);
    runtime_free(rt);
}

typedef struct keeper {
    msg_t *first, *second;
} keeper_t;

/* Answers the older request first, and differently. */
static void keeper_handle(actor_t *self, void *state, msg_t *m) {
    keeper_t *k = state;
    if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    } else if (m->verb == KEEP) {
        actor_keep(self, m);
        *(k->first ? &k->second : &k->first) = m;
        handled++;
    } else if (m->verb == ANSWER) {
        actor_reply(self, k->first, ERR_EXISTS, NULL);
        actor_reply(self, k->second, ERR_OK, NULL);
    }
}
static const actor_class_t keeper = {
    .name = "keeper", .state_size = sizeof(keeper_t), .handle = keeper_handle};

static void asker_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    } else if (m->verb == GO) {
        actor_ref_t to = *msg_data(m, actor_ref_t);
        actor_forget(self, actor_request(self, to, msg_new(KEEP, 0), 0, ANSWERED, 1));
        actor_rest(self);
        actor_request(self, to, msg_new(KEEP, 0), 0, ANSWERED, 2);
        actor_rest(self); /* one is open: nothing may go */
    } else if (m->verb == ANSWERED) {
        answer_err = m->err;
        answer_cookie = m->cookie;
        answers++;
        actor_rest(self);
    }
}
static const actor_class_t asker = {.name = "asker", .handle = asker_handle};

SPEC("keeps an answer to a forgotten request from a younger one, also after actor_rest") {
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 1, .seed = 1});
    runtime_start(rt);
    handled = 0;
    actor_ref_t to = actor_spawn(rt, NULL, &keeper, 0, 0, NULL);
    actor_ref_t by = actor_spawn(rt, NULL, &asker, 0, 0, NULL);
    for (uint64_t round = 1; round <= 2; round++) { /* the second begins without a table */
        runtime_send(rt, by, msg_of(GO, &to, sizeof to));
        CHECK(wait_for(&handled, round * 2));
        runtime_send(rt, to, msg_new(ANSWER, 0));
        CHECK(wait_for(&answers, round));
        CHECK_INT(answer_err, ERR_OK);
        CHECK_INT(answer_cookie, 2);
        actor_ref_t next = actor_spawn(rt, NULL, &keeper, 0, 0, NULL);
        to = next;
    }
    runtime_stop(rt, 2000);
    runtime_free(rt);
    CHECK_INT(answers, 2);
}

SPEC_MAIN
