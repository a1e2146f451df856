/* What actors that stay for hours may rely on: they cost no timer while they cannot leave, and what
 * requests left behind goes without mixing up answers. */
#include "base/err.h"
#include "sched/runtime.h"
#include "spec/wait.h"

enum { HOLD = MSG_USER, LET_GO, TICK, GO, KEEP, ANSWER, ANSWERED };

static _Atomic uint64_t asked, handled, begun, ended, ticks, answers, answer_cookie;
static _Atomic int answer_err;

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
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

/* leaver: starts a timer on one worker, leaves on the other one. From the moment it may go nobody
 * reaches it, its timer neither; it ends only when that has been tried and its worker's next timers
 * have been started. */
enum { STAY = MSG_USER + 20, LEAVE, RINGS, MORE, MORE_TIMERS = 64 };
static _Atomic uint64_t rounds, left_elsewhere, more_started, more_rung;
static actor_ref_t beating, telling;

static void leaver_handle(actor_t *self, void *state, msg_t *m) {
    uint32_t *home = state;
    if (m->verb == STAY) {
        *home = actor_worker(self) + 1;
        actor_after(self, 30, RINGS, 0);
    } else if (m->verb == LEAVE && *home != actor_worker(self) + 1) {
        *home = 0;
    } else if (m->verb == LEAVE) { /* its home took it from a neighbour that was held up */
        actor_send(self, telling, msg_new(LEAVE, 0));
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}

static bool leaver_leaves(actor_t *self, void *state) {
    (void)self;
    return *(uint32_t *)state == 0;
}

static void leaver_ended(actor_t *self, void *state, int reason) {
    (void)reason;
    if (*(uint32_t *)state == 0) {
        left_elsewhere += actor_worker(self) == 1;
        wait_for(&ticks, ticks + 60);
        actor_send(self, beating, msg_new(MORE, 0));
        wait_for(&more_started, (rounds + 1) * MORE_TIMERS);
    }
    rounds++;
}

static const actor_class_t leaver = {.name = "leaver",
                                     .state_size = sizeof(uint32_t),
                                     .idle_ms = 1,
                                     .idle_lazily = true,
                                     .handle = leaver_handle,
                                     .passivate = leaver_leaves,
                                     .ended = leaver_ended};

static void beat_handle(actor_t *self, void *state, msg_t *m) {
    if (m->verb == TICK || m->verb == MSG_STOP) {
        clock_handle(self, state, m);
    } else if (m->verb == RINGS) {
        more_rung++;
    } else if (m->verb == MORE) {
        for (int i = 0; i < MORE_TIMERS; i++)
            actor_after(self, 10, RINGS, 0);
        more_started += MORE_TIMERS;
    }
}
static const actor_class_t beat = {.name = "beat", .place = ACTOR_PINNED, .handle = beat_handle};

static void teller_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
    else
        actor_send_key(self, 2, 7, msg_new(m->verb, 0));
}
static const actor_class_t teller = {
    .name = "teller", .place = ACTOR_PINNED, .handle = teller_handle};

SPEC(
    "leaves each timer to whom it belongs while an actor leaves whose timer is on another worker") {
    enum { ROUNDS = 5 };
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 2, .seed = 1});
    ticks = 0;
    runtime_kind(rt, 2, &leaver);
    runtime_start(rt);
    beating = actor_spawn(rt, NULL, &beat, 0, 0, NULL);
    runtime_send(rt, beating, msg_new(TICK, 0));
    actor_ref_t here = actor_spawn(rt, NULL, &teller, 0, 0, NULL);
    telling = actor_spawn(rt, NULL, &teller, 1, 1, NULL);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        runtime_send(rt, here, msg_new(STAY, 0));
        CHECK(wait_for(&ticks, ticks + 3));
        runtime_send(rt, telling, msg_new(LEAVE, 0));
        if (!wait_for(&rounds, round) || !wait_for(&more_rung, round * MORE_TIMERS))
            break;
    }
    CHECK_INT(more_rung, ROUNDS * MORE_TIMERS);
    CHECK(left_elsewhere > 0);
    CHECK(wait_for(&ticks, ticks + 10));
    runtime_stop(rt, 30000);
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
    runtime_stop(rt, 30000);
    runtime_free(rt);
    CHECK_INT(answers, 2);
}

SPEC_MAIN
