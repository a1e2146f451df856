/* The promises about failing: restarts, who fails because of whom, kills from outside, and that no
 * caller is ever left without an answer. The last one kills anything at any time; it prints its
 * seed, and SPEC_SEED=N runs that one again. */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "sched/look.h"
#include "spec/wait.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { SAY = MSG_USER, CRASH, BLOCK, ASK, ANSWER, LATER, STEP, WATCH };

static _Atomic uint64_t begun, ended, seen, answers, downs, failures;
static _Atomic int last_err;
static _Atomic bool gate_open;
static char chain[256];

static void root_failed(void *arg, const char *text) {
    (void)arg;
    snprintf(chain, sizeof chain, "%s", text);
    failures++;
}

static runtime_t *start(uint32_t workers) {
    begun = ended = seen = answers = downs = failures = 0;
    gate_open = false;
    runtime_t *rt =
        runtime_new(&(runtime_conf_t){.workers = workers, .seed = 1, .failed = root_failed});
    runtime_start(rt);
    return rt;
}

static void stop(runtime_t *rt) {
    gate_open = true;
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

static int note_begin(actor_t *self, void *state, const void *arg) {
    (void)self, (void)state, (void)arg;
    begun++;
    return ERR_OK;
}

static void note_end(actor_t *self, void *state, int reason) {
    (void)self, (void)state;
    last_err = reason;
    ended++;
}

static void handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    switch (m->verb) {
    case SAY:
        seen++;
        break;
    case CRASH:
        actor_exit(self, ERR_IO);
        break;
    case BLOCK:
        while (!atomic_load(&gate_open))
            nap();
        break;
    case ASK: /* asks `to` and notes the answer */
        actor_request(self, *msg_data(m, actor_ref_t), msg_new(LATER, 0), 60000, ANSWER, 0);
        break;
    case ANSWER:
        last_err = m->err;
        answers++;
        break;
    case LATER:
        actor_keep(self, m);
        seen++;
        break;
    case WATCH:
        actor_watch(self, *msg_data(m, actor_ref_t));
        seen++;
        break;
    case MSG_DOWN:
        last_err = m->err;
        downs++;
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    }
}

static const actor_class_t mortal = {
    .name = "mortal", .init = note_begin, .handle = handle, .ended = note_end};
static const actor_class_t phoenix = {.name = "phoenix",
                                      .restart = ACTOR_ON_CRASH,
                                      .init = note_begin,
                                      .handle = handle,
                                      .ended = note_end};
/* Once in an hour, after half a second. */
static const actor_class_t frail = {.name = "frail",
                                    .restart = ACTOR_ON_CRASH,
                                    .restarts = 1,
                                    .restart_window_ms = 3600000,
                                    .restart_wait_ms = 300,
                                    .init = note_begin,
                                    .handle = handle,
                                    .ended = note_end};

SPEC("restarts by the numbers of the class: how often and after how long") {
    runtime_t *rt = start(2);
    actor_ref_t a = actor_spawn(rt, NULL, &frail, 3, -1, NULL);
    uint64_t since = clock_mono_ns();
    runtime_send(rt, a, msg_new(CRASH, 0));
    CHECK(wait_for(&begun, 2));
    CHECK(clock_mono_ns() - since >= 290000000);
    runtime_send(rt, a, msg_new(CRASH, 0));
    CHECK(wait_for(&failures, 1));
    CHECK_TEXT(chain, strlen(chain), "frail key 3 (io)");
    look_limit_t l[LOOK_LIMITS];
    look_limits(rt, l);
    CHECK_INT(l[3].refused, 1);
    stop(rt);
}

/* A tree: top (restarted) over middle (not restarted) over leaf (frail). */
static actor_ref_t leaf, middle;
static int middle_init(actor_t *self, void *state, const void *arg) {
    (void)state, (void)arg;
    leaf = actor_spawn(actor_runtime(self), self, &frail, 1, -1, NULL);
    return ERR_OK;
}
static const actor_class_t middle_class = {
    .name = "middle", .init = middle_init, .handle = handle, .ended = note_end};
static int top_init(actor_t *self, void *state, const void *arg) {
    (void)state, (void)arg;
    middle = actor_spawn(actor_runtime(self), self, &middle_class, 2, -1, NULL);
    begun += 100;
    return ERR_OK;
}
static const actor_class_t top_class = {.name = "top",
                                        .restart = ACTOR_ON_CRASH,
                                        .restarts = 1,
                                        .init = top_init,
                                        .handle = handle,
                                        .ended = note_end};

static bool fail_leaf(runtime_t *rt, uint64_t wanted_begun) {
    actor_ref_t now = leaf;
    runtime_send(rt, now, msg_new(CRASH, 0));
    if (!wait_for(&begun, wanted_begun))
        return false;
    runtime_send(rt, now, msg_new(CRASH, 0));
    return true;
}

SPEC(
    "hands a failure up the tree until somebody is restarted, at last to the root with the chain") {
    runtime_t *rt = start(1); /* one worker: a parent's init is over before its child runs */
    actor_ref_t top = actor_spawn(rt, NULL, &top_class, 3, -1, NULL);
    CHECK_INT(begun, 101);
    actor_ref_t first = middle;
    CHECK(fail_leaf(rt, 102));
    CHECK(wait_for(&begun, 203)); /* top anew, and a new leaf below it */
    CHECK_INT(failures, 0);
    CHECK(!actor_ref_eq(first, middle));
    CHECK_INT(runtime_send(rt, top, msg_new(SAY, 0)), ERR_OK);
    CHECK(wait_for(&seen, 1));
    CHECK(fail_leaf(rt, 204));
    CHECK(wait_for(&failures, 1));
    CHECK_TEXT(chain, strlen(chain), "frail key 1 (io) < middle key 2 < top key 3");
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    uint64_t total;
    UNTIL(look_list(rt, &(look_query_t){0}, NULL, 0, &total) == 0 && total == 0);
    stop(rt);
}

SPEC("kills an actor that has its mailbox full before it handles the next one of them") {
    runtime_t *rt = start(2);
    static actor_class_t small;
    small = phoenix;
    small.max_msgs = 4;
    small.place = ACTOR_PINNED;
    actor_ref_t a = actor_spawn(rt, NULL, &small, 0, 0, NULL);
    actor_ref_t asker = actor_spawn(rt, NULL, &mortal, 0, 1, NULL);
    runtime_send(rt, a, msg_new(BLOCK, 0));
    runtime_send(rt, asker, msg_of(ASK, &a, sizeof a));
    look_actor_t e[1];
    UNTIL(look_list(rt, &(look_query_t){.name = "phoenix"}, e, 1, NULL) && e[0].waiting >= 2);
    while (runtime_send(rt, a, msg_new(SAY, 0)) == ERR_OK)
        ;
    CHECK_INT(runtime_kill(rt, a, ERR_TIMEOUT), ERR_OK);
    CHECK_INT(runtime_kill(rt, a, ERR_TIMEOUT), ERR_OK);
    gate_open = true;
    CHECK(wait_for(&answers, 1));
    CHECK_INT(last_err, ERR_GONE);
    CHECK(wait_for(&begun, 3)); /* it lives again */
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    CHECK(seen < 4);
    uint64_t before = seen;
    runtime_send(rt, a, msg_new(SAY, 0));
    CHECK(wait_for(&seen, before + 1));
    stop(rt);
}

SPEC("kills with the reason that was given: watchers hear it, a mortal one is gone") {
    static const actor_place_t places[] = {ACTOR_FREE, ACTOR_PINNED, ACTOR_THREAD};
    for (int i = 0; i < 3; i++) {
        runtime_t *rt = start(2);
        static actor_class_t here;
        here = mortal;
        here.place = places[i];
        actor_ref_t a = actor_spawn(rt, NULL, &here, 0, -1, NULL);
        actor_ref_t watcher = actor_spawn(rt, NULL, &mortal, 0, -1, NULL);
        runtime_send(rt, watcher, msg_of(WATCH, &a, sizeof a));
        CHECK(wait_for(&seen, 1));
        look_law_t law;
        CHECK(look_law_at_rest(rt, 30000, &law));
        CHECK_INT(runtime_kill(rt, a, ERR_TOO_LARGE), ERR_OK);
        CHECK(wait_for(&downs, 1));
        CHECK_INT(last_err, ERR_TOO_LARGE);
        UNTIL(runtime_kill(rt, a, ERR_TOO_LARGE) == ERR_GONE);
        CHECK(look_law_at_rest(rt, 30000, &law));
        stop(rt);
    }
}

static const actor_class_t stubborn = {
    .name = "stubborn", .place = ACTOR_THREAD, .init = note_begin, .handle = handle};

SPEC("asks the next one to stop when one takes longer than its share") {
    begun = ended = seen = 0;
    gate_open = false;
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 1, .seed = 1});
    actor_spawn(rt, NULL, &mortal, 0, 0, NULL);
    actor_ref_t stuck = actor_spawn(rt, NULL, &stubborn, 0, -1, NULL);
    runtime_start(rt);
    runtime_send(rt, stuck, msg_new(BLOCK, 0));
    look_detail_t d;
    UNTIL(look_actor(rt, stuck, &d, 0) == ERR_OK && d.actor.state == LOOK_RUNNING);
    pthread_t t;
    void *opener(void *arg);
    CHECK_INT(pthread_create(&t, NULL, opener, NULL), 0);
    last_err = ERR_IO;
    runtime_stop(rt, 8000);
    pthread_join(t, NULL);
    CHECK_INT(ended, 1);
    CHECK_INT(last_err, ERR_OK); /* it ended by its own will, not swept away */
    runtime_free(rt);
}

/* Opens the gate once the mortal one has ended. */
void *opener(void *arg);
void *opener(void *arg) {
    wait_for(&ended, 1);
    gate_open = true;
    return arg;
}

/* --- anything is killed at any time --- */
enum { CALLERS = 24, TARGETS = 24, KIND_KEYED = 1, KEYS = 16 };
static actor_ref_t targets[TARGETS + 2];
static _Atomic uint64_t asked, answered, late, twice, by_err[ERR_COUNT];
static _Atomic bool over;

typedef struct caller {
    uint64_t due_ns[64]; /* by cookie; 0: free */
    uint32_t open;
} caller_t;

static void ask_somebody(actor_t *self, caller_t *c) {
    uint64_t slot = actor_random(self) % 64, dice = actor_random(self);
    uint32_t ms = 1 + (uint32_t)(dice >> 8) % 300;
    if (c->due_ns[slot] || atomic_load(&over))
        return;
    c->due_ns[slot] = actor_now_ns(self) + (uint64_t)ms * 1000000;
    c->open++;
    asked++;
    msg_t *m = msg_new(ASK, dice % 8 ? 0 : 4000);
    if (dice % 4 == 0)
        actor_request_key(self, KIND_KEYED, (dice >> 32) % KEYS, m, ms, ANSWER, slot);
    else
        actor_request(self, targets[(dice >> 32) % (TARGETS + 2)], m, ms, ANSWER, slot);
}

static int caller_init(actor_t *self, void *state, const void *arg) {
    (void)state, (void)arg;
    actor_after(self, 1, STEP, 0);
    return ERR_OK;
}

static void caller_handle(actor_t *self, void *state, msg_t *m) {
    static const uint64_t SLACK_NS = 10000000000; /* what a busy machine may add */
    caller_t *c = state;
    if (m->verb == STEP) {
        for (int i = 0; i < 8; i++)
            ask_somebody(self, c);
        if (!atomic_load(&over))
            actor_after(self, 1, STEP, 0);
    } else if (m->verb == ANSWER) {
        if (!c->due_ns[m->cookie])
            twice++;
        else if (actor_now_ns(self) > c->due_ns[m->cookie] + SLACK_NS)
            late++;
        c->due_ns[m->cookie] = 0;
        c->open--;
        answered++;
        by_err[-m->err]++;
    } else if (m->verb == SAY) { /* at the end: is anybody still waiting? */
        seen += c->open;
        answers++;
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}

static void target_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    uint64_t dice = actor_random(self);
    if (m->verb == ASK) {
        switch (dice % 32) {
        case 0: /* nobody answers */
            break;
        case 1:
            actor_keep(self, m); /* never answered */
            break;
        case 2:
        case 3:
        case 4:
            actor_keep(self, m);
            actor_after(self, 1 + (dice >> 8) % 20, LATER, 0);
            break;
        case 5: /* asks another one first; this one waits for the timer */
            actor_keep(self, m);
            actor_request(self, targets[(dice >> 32) % TARGETS], msg_new(ASK, 0), 50, LATER, 0);
            break;
        case 6:
            if (dice >> 60 == 0)
                actor_exit(self, dice >> 59 & 1 ? ERR_OK : ERR_IO);
            break;
        case 7:
            actor_watch(self, targets[(dice >> 32) % TARGETS]);
            actor_reply(self, m, ERR_OK, NULL);
            break;
        default:
            actor_reply(self, m, ERR_OK, msg_new(0, 8));
        }
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}

/* Every class is restarted as often as it takes: the spec is about answers, not about intensity. */
#define ALWAYS .restart = ACTOR_ALWAYS, .restarts = 1000000000, .restart_wait_ms = 1
static const actor_class_t caller_class = {.name = "caller",
                                           ALWAYS,
                                           .state_size = sizeof(caller_t),
                                           .init = caller_init,
                                           .handle = caller_handle};
static const actor_class_t free_target = {
    .name = "free", ALWAYS, .max_msgs = 64, .max_bytes = 65536, .handle = target_handle};
static const actor_class_t pinned_target = {
    .name = "pinned", ALWAYS, .place = ACTOR_PINNED, .max_msgs = 64, .handle = target_handle};
static const actor_class_t thread_target = {
    .name = "thread", ALWAYS, .place = ACTOR_THREAD, .max_msgs = 64, .handle = target_handle};
static const actor_class_t keyed_target = {
    .name = "keyed", .idle_ms = 5, .max_msgs = 64, .handle = target_handle};

static void *killer(void *arg) {
    runtime_t *rt = arg;
    const char *text = getenv("SPEC_SEED");
    unsigned seed = text ? (unsigned)atoi(text) : (unsigned)clock_mono_ns();
    printf("SPEC_SEED=%u\n", seed);
    uint64_t kills = 0;
    while (!atomic_load(&over)) {
        actor_ref_t ref = look_slot(rt, (uint32_t)rand_r(&seed) % 128);
        kills += ref.gen && runtime_kill(rt, ref, ERR_INTERNAL) == ERR_OK;
        nanosleep(&(struct timespec){0, rand_r(&seed) % 2000000}, NULL);
    }
    seen = kills;
    return NULL;
}

/* Asks all of them, a caller that is dead at the moment counts as one that waits. */
static bool nobody_waits(runtime_t *rt, const actor_ref_t *callers) {
    seen = answers = 0;
    nap();
    for (int i = 0; i < CALLERS; i++)
        runtime_send(rt, callers[i], msg_new(SAY, 0));
    for (int i = 0; i < 100 && answers < CALLERS; i++)
        nap();
    return answers == CALLERS && seen == 0;
}

SPEC("answers each request of each caller in time while anything is killed at any time") {
    asked = answered = late = twice = 0;
    over = false;
    memset((void *)by_err, 0, sizeof by_err);
    log_level_set(LOG_ERROR);
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 3, .seed = clock_mono_ns()});
    runtime_kind(rt, KIND_KEYED, &keyed_target);
    for (int i = 0; i < TARGETS; i++)
        targets[i] = actor_spawn(rt, NULL, i % 2 ? &free_target : &pinned_target, 0, i % 3, NULL);
    for (int i = 0; i < 2; i++)
        targets[TARGETS + i] = actor_spawn(rt, NULL, &thread_target, 0, -1, NULL);
    actor_ref_t callers[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        callers[i] = actor_spawn(rt, NULL, &caller_class, 0, i % 3, NULL);
    runtime_start(rt);
    pthread_t t;
    pthread_create(&t, NULL, killer, rt);
    for (int i = 0; i < 2000; i++)
        nap();
    over = true;
    pthread_join(t, NULL);
    uint64_t kills = seen;
    look_law_t law;
    bool quiet = false;
    for (int i = 0; i < 2000 && !quiet; i++)
        quiet = nobody_waits(rt, callers);
    bool lawful = look_law_at_rest(rt, 30000, &law);
    printf("%llu kills, %llu requests: ok %llu, gone %llu, full %llu, timeout %llu\n",
           (unsigned long long)kills, (unsigned long long)asked, (unsigned long long)by_err[0],
           (unsigned long long)by_err[-ERR_GONE], (unsigned long long)by_err[-ERR_FULL],
           (unsigned long long)by_err[-ERR_TIMEOUT]);
    CHECK(quiet);
    CHECK_INT(late, 0);
    CHECK_INT(twice, 0);
    CHECK(kills > 100 && by_err[0] > 100 && by_err[-ERR_GONE] > 10);
    CHECK(lawful);
    CHECK(look_law_at_rest(rt, 30000, &law));
    runtime_stop(rt, 30000);
    look_law(rt, &law);
    CHECK_INT(law.missing, 0);
    CHECK_INT(law.counts.actors, 0);
    runtime_free(rt);
    log_level_set(LOG_INFO);
}

SPEC_MAIN
