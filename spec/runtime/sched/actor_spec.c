/* The promises of actor.h and runtime.h, on real threads. What actors see is noted under one lock;
 * the specs wait for conditions. */
#include "base/err.h"
#include "sched/runtime.h"
#include "spec/wait.h"
#include <pthread.h>

enum { SAY = MSG_USER, ASK, TELL, TICK, QUIT, CRASH, KEEP, KEEP_REPLY, GO, BLOCK };

static _Atomic uint64_t seen, ended, begun, downs, ticks, wrong, answers[8];
static _Atomic int last_err;
static _Atomic bool gate_open;

static void reset(void) {
    seen = ended = begun = downs = ticks = wrong = 0;
    last_err = 0;
    gate_open = false;
    for (int i = 0; i < 8; i++)
        answers[i] = 0;
}

static runtime_t *start(uint32_t workers) {
    reset();
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = workers, .seed = 1});
    runtime_start(rt);
    return rt;
}

static void stop(runtime_t *rt) {
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

static bool balanced(runtime_t *rt) {
    runtime_counts_t c;
    for (int i = 0; i < WAIT_MS; i++) {
        runtime_counts(rt, &c);
        if (c.sent == c.received + c.refused + c.dead)
            return true;
        nap();
    }
    printf("sent %llu received %llu refused %llu dead %llu\n", (unsigned long long)c.sent,
           (unsigned long long)c.received, (unsigned long long)c.refused,
           (unsigned long long)c.dead);
    return false;
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

/* Checks that messages of one sender come in order: data = {sender, number}. */
typedef struct listener {
    uint64_t next[16];
} listener_t;

static void listen_handle(actor_t *self, void *state, msg_t *m) {
    listener_t *l = state;
    switch (m->verb) {
    case SAY: {
        uint64_t *d = msg_data_check(m, 16);
        if (d[1] != l->next[d[0]]++)
            wrong++;
        seen++;
        break;
    }
    case BLOCK:
        while (!atomic_load(&gate_open))
            nap();
        break;
    case CRASH:
        actor_exit(self, ERR_INTERNAL);
        break;
    case KEEP:
        actor_keep(self, m);
        seen++;
        break;
    case ASK:
        actor_reply(self, m, ERR_OK, NULL);
        break;
    case KEEP_REPLY:
        actor_keep(self, m);
        actor_reply(self, m, ERR_EXISTS, NULL);
        seen++;
        break;
    case GO:
        seen++; /* a request that nobody answers */
        break;
    case QUIT:
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    }
}
static const actor_class_t listener = {.name = "listener",
                                       .state_size = sizeof(listener_t),
                                       .init = note_begin,
                                       .handle = listen_handle,
                                       .ended = note_end};

static int say(runtime_t *rt, actor_ref_t to, uint64_t sender, uint64_t number) {
    return runtime_send(rt, to, msg_of(SAY, (uint64_t[2]){sender, number}, 16));
}

typedef struct shout {
    runtime_t *rt;
    actor_ref_t to;
    uint64_t who, count;
    bool keyed;
} shout_t;

static void *shouter(void *arg) {
    shout_t *s = arg;
    for (uint64_t i = 0; i < s->count; i++) {
        int err;
        do {
            msg_t *m = msg_of(SAY, (uint64_t[2]){s->who, i}, 16);
            err = s->keyed ? runtime_send_key(s->rt, 1, 7, m) : runtime_send(s->rt, s->to, m);
            if (err)
                nanosleep(&(struct timespec){0, 100000}, NULL);
        } while (err);
    }
    return NULL;
}

SPEC("keeps the order of each sender and loses nothing under many senders and workers") {
    runtime_t *rt = start(3);
    actor_ref_t to = actor_spawn(rt, NULL, &listener, 0, -1, NULL);
    shout_t s[6];
    pthread_t t[6];
    for (uint64_t i = 0; i < 6; i++) {
        s[i] = (shout_t){rt, to, i, 20000, false};
        pthread_create(&t[i], NULL, shouter, &s[i]);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
    CHECK(wait_for(&seen, 120000));
    CHECK_INT(wrong, 0);
    CHECK(balanced(rt));
    stop(rt);
    CHECK_INT(ended, 1);
}

SPEC("refuses with FULL at the cap in messages, and tells GONE of a dead one") {
    runtime_t *rt = start(1);
    static actor_class_t small;
    small = listener;
    small.max_msgs = 4;
    actor_ref_t to = actor_spawn(rt, NULL, &small, 0, -1, NULL);
    CHECK_INT(runtime_send(rt, to, msg_new(BLOCK, 0)), ERR_OK);
    int full = 0;
    for (uint64_t i = 0; i < 8; i++)
        full += say(rt, to, 0, i) == ERR_FULL;
    CHECK_INT(full, 5);
    gate_open = true;
    CHECK(wait_for(&seen, 3));
    while (runtime_send(rt, to, msg_new(QUIT, 0)))
        ;
    CHECK(wait_for(&ended, 1));
    UNTIL(say(rt, to, 0, 0) == ERR_GONE);
    CHECK(balanced(rt));
    stop(rt);
}

SPEC("refuses with FULL at the cap in bytes and takes on again afterwards") {
    runtime_t *rt = start(1);
    static actor_class_t small;
    small = listener;
    small.max_bytes = 10000;
    actor_ref_t to = actor_spawn(rt, NULL, &small, 0, -1, NULL);
    runtime_send(rt, to, msg_new(BLOCK, 0));
    CHECK_INT(runtime_send(rt, to, msg_new(TELL, 6000)), ERR_OK);
    CHECK_INT(runtime_send(rt, to, msg_new(TELL, 6000)), ERR_FULL);
    CHECK_INT(runtime_send(rt, to, msg_new(TELL, 3000)), ERR_OK);
    gate_open = true;
    CHECK_INT(say(rt, to, 0, 0), ERR_OK);
    CHECK(wait_for(&seen, 1));
    UNTIL(runtime_send(rt, to, msg_new(TELL, 9000)) == ERR_OK);
    stop(rt);
}

/* asks: sends requests and notes the answers by error */
static void asker_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    switch (m->verb) {
    case ASK: {
        actor_ref_t *d = msg_data(m, actor_ref_t);
        actor_request(self, *d, msg_new((uint32_t)m->cookie, 0), m->key, TELL, 9);
        break;
    }
    case TELL:
        if (m->cookie != 9)
            wrong++;
        last_err = m->err;
        answers[0]++;
        break;
    case TICK:
        ticks++;
        if (m->cookie == 1)
            wrong++;
        break;
    case GO: /* timers: one is cancelled at once, one after it was overtaken */
        actor_cancel(self, actor_after(self, 1, TICK, 1));
        actor_after(self, 5, TICK, 2);
        actor_after(self, 70, TICK, 3);
        actor_after(self, 100000, TICK, 1);
        break;
    case KEEP:
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
static const actor_class_t asker = {.name = "asker", .handle = asker_handle, .ended = note_end};

static void ask(runtime_t *rt, actor_ref_t by, actor_ref_t to, uint32_t verb, uint32_t timeout) {
    msg_t *m = msg_of(ASK, &to, sizeof to);
    m->cookie = verb;
    m->key = timeout;
    runtime_send(rt, by, m);
}

SPEC("gives exactly one answer to each request: reply, GONE, FULL, TIMEOUT, nobody answered") {
    runtime_t *rt = start(2);
    static actor_class_t pinned, narrow, asks;
    pinned = listener;
    pinned.place = ACTOR_PINNED; /* so that a blocked worker is not the asker's */
    narrow = pinned;
    narrow.max_msgs = 1;
    asks = asker;
    asks.place = ACTOR_PINNED;
    actor_ref_t by = actor_spawn(rt, NULL, &asks, 0, 0, NULL);
    actor_ref_t to = actor_spawn(rt, NULL, &pinned, 0, 1, NULL);
    actor_ref_t full = actor_spawn(rt, NULL, &narrow, 0, 1, NULL);
    ask(rt, by, to, ASK, 0);
    CHECK(wait_for(&answers[0], 1));
    CHECK_INT(last_err, ERR_OK);
    ask(rt, by, to, GO, 0);
    CHECK(wait_for(&answers[0], 2));
    CHECK_INT(last_err, ERR_GONE);
    ask(rt, by, to, KEEP, 20);
    CHECK(wait_for(&answers[0], 3));
    CHECK_INT(last_err, ERR_TIMEOUT);
    CHECK(balanced(rt));
    uint64_t before = seen; /* it is not handled when it comes to its turn too late */
    runtime_send(rt, full, msg_new(BLOCK, 0));
    ask(rt, by, full, ASK, 0);
    CHECK(wait_for(&answers[0], 4));
    CHECK_INT(last_err, ERR_FULL);
    gate_open = true;
    CHECK(balanced(rt));
    ask(rt, by, to, KEEP, 60000);
    CHECK(wait_for(&seen, before + 1));
    CHECK(balanced(rt));
    runtime_send(rt, to, msg_new(CRASH, 0));
    CHECK(wait_for(&answers[0], 5));
    CHECK_INT(last_err, ERR_GONE);
    ask(rt, by, to, ASK, 0);
    CHECK(wait_for(&answers[0], 6));
    CHECK_INT(last_err, ERR_GONE);
    CHECK_INT(wrong, 0);
    CHECK(balanced(rt));
    stop(rt);
    CHECK_INT(answers[0], 6);
}

SPEC("lets a handler keep a request and answer it at once, on a worker and in a thread") {
    static const actor_place_t places[] = {ACTOR_FREE, ACTOR_THREAD};
    for (int i = 0; i < 2; i++) {
        runtime_t *rt = start(1);
        static actor_class_t keeper;
        keeper = listener;
        keeper.place = places[i];
        actor_ref_t by = actor_spawn(rt, NULL, &asker, 0, -1, NULL);
        actor_ref_t to = actor_spawn(rt, NULL, &keeper, 0, -1, NULL);
        ask(rt, by, to, KEEP_REPLY, 0);
        CHECK(wait_for(&answers[0], 1));
        CHECK_INT(last_err, ERR_EXISTS);
        CHECK(balanced(rt));
        stop(rt);
    }
}

SPEC("fires timers, not the cancelled ones, and drops the rest with the actor") {
    runtime_t *rt = start(1);
    actor_ref_t by = actor_spawn(rt, NULL, &asker, 0, 0, NULL);
    runtime_send(rt, by, msg_new(GO, 0));
    CHECK(wait_for(&ticks, 2));
    CHECK_INT(wrong, 0);
    stop(rt);
    CHECK_INT(ticks, 2);
}

SPEC("tells DOWN with the reason, at once when the watched one is gone already") {
    runtime_t *rt = start(2);
    actor_ref_t by = actor_spawn(rt, NULL, &asker, 0, 0, NULL);
    actor_ref_t to = actor_spawn(rt, NULL, &listener, 0, 1, NULL);
    runtime_send(rt, by, msg_of(KEEP, &to, sizeof to));
    CHECK(wait_for(&seen, 1));
    CHECK(balanced(rt));
    runtime_send(rt, to, msg_new(CRASH, 0));
    CHECK(wait_for(&downs, 1));
    CHECK_INT(last_err, ERR_INTERNAL);
    runtime_send(rt, by, msg_of(KEEP, &to, sizeof to));
    CHECK(wait_for(&downs, 2));
    CHECK_INT(last_err, ERR_GONE);
    stop(rt);
}

static bool leave(actor_t *self, void *state) {
    (void)self, (void)state;
    return true;
}

/* Keyed actors that leave as soon as they may; numbers only count, the order is per life. */
static void keyed_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == SAY)
        seen++;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
}
static const actor_class_t keyed = {.name = "keyed",
                                    .idle_ms = 1,
                                    .init = note_begin,
                                    .handle = keyed_handle,
                                    .passivate = leave,
                                    .ended = note_end};

static void *slow_shouter(void *arg) {
    shout_t *s = arg;
    unsigned dice = (unsigned)s->who;
    for (uint64_t i = 0; i < s->count; i++) {
        if (runtime_send_key(s->rt, 1, 7, msg_of(SAY, (uint64_t[2]){s->who, i}, 16)))
            i--;
        nanosleep(&(struct timespec){0, rand_r(&dice) % 3000000}, NULL);
    }
    return NULL;
}

SPEC("activates keyed actors on demand and loses no message when they leave meanwhile") {
    reset();
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 3, .seed = 1});
    runtime_kind(rt, 1, &keyed);
    runtime_start(rt);
    shout_t s[4];
    pthread_t t[4];
    for (uint64_t i = 0; i < 4; i++) {
        s[i] = (shout_t){rt, ACTOR_NONE, i, 300, true};
        pthread_create(&t[i], NULL, slow_shouter, &s[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK(wait_for(&seen, 1200));
    CHECK(wait_for(&ended, 2));
    CHECK(balanced(rt));
    stop(rt);
    CHECK_INT(seen, 1200);
    CHECK_INT(begun, ended);
}

static const actor_class_t phoenix = {.name = "phoenix",
                                      .restart = ACTOR_ON_CRASH,
                                      .state_size = sizeof(listener_t),
                                      .init = note_begin,
                                      .handle = listen_handle,
                                      .ended = note_end};

static int parent_init(actor_t *self, void *state, const void *arg) {
    (void)state;
    *(actor_ref_t *)(uintptr_t)arg = actor_spawn(actor_runtime(self), self, &phoenix, 0, -1, NULL);
    return ERR_OK;
}
static const actor_class_t parent = {
    .name = "parent", .init = parent_init, .handle = asker_handle, .ended = note_end};

SPEC("restarts a crashed actor in place, at most 3 times in 10 s, then its parent fails") {
    runtime_t *rt = start(2);
    actor_ref_t child = ACTOR_NONE;
    actor_ref_t top = actor_spawn(rt, NULL, &parent, 0, 0, &child);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK_INT(runtime_send(rt, child, msg_new(CRASH, 0)), ERR_OK);
        CHECK(wait_for(&begun, i + 1));
        CHECK_INT(ended, i);
        CHECK_INT(say(rt, child, 0, 0), ERR_OK);
        CHECK(wait_for(&seen, i));
    }
    runtime_send(rt, child, msg_new(CRASH, 0));
    CHECK(wait_for(&ended, 5));
    CHECK_INT(last_err, ERR_INTERNAL);
    CHECK(balanced(rt));
    UNTIL(runtime_send(rt, top, msg_new(SAY, 0)) == ERR_GONE);
    stop(rt);
}

static void port_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    (void)state;
    if (n > 3)
        wrong++;
    for (size_t i = 0; i < n; i++) {
        if (m[i]->verb == BLOCK) {
            downs++; /* from here on the batch is closed */
            while (!atomic_load(&gate_open))
                nap();
        }
        if (m[i]->verb == ASK)
            actor_reply(self, m[i], ERR_OK, NULL);
        if (m[i]->verb == TICK)
            ticks++;
        if (m[i]->verb == GO)
            actor_after(self, 3, TICK, 0);
    }
    seen += n;
}
static const actor_class_t port = {.name = "port",
                                   .place = ACTOR_THREAD,
                                   .batch = 3,
                                   .init = note_begin,
                                   .handle_batch = port_batch,
                                   .ended = note_end};

SPEC("runs a thread actor in batches, times out what waited too long, and does what came before "
     "STOP") {
    runtime_t *rt = start(1);
    actor_ref_t by = actor_spawn(rt, NULL, &asker, 0, 0, NULL);
    actor_ref_t to = actor_spawn(rt, NULL, &port, 0, -1, NULL);
    ask(rt, by, to, ASK, 0);
    CHECK(wait_for(&answers[0], 1));
    CHECK_INT(last_err, ERR_OK);
    runtime_send(rt, to, msg_new(GO, 0));
    CHECK(wait_for(&ticks, 1));
    enum { SO_FAR = 3 }; /* ASK, GO and the timer's */
    CHECK(wait_for(&seen, SO_FAR));
    runtime_send(rt, to, msg_new(BLOCK, 0));
    CHECK(wait_for(&downs, 1));
    ask(rt, by, to, ASK, 10);
    CHECK(wait_for(&answers[0], 2));
    CHECK_INT(last_err, ERR_TIMEOUT);
    gate_open = true;
    CHECK(wait_for(&seen, SO_FAR + 1));
    for (int i = 0; i < 100; i++)
        runtime_send(rt, to, msg_new(SAY, 0));
    stop(rt);
    CHECK_INT(wrong, 0);
    CHECK_INT(seen, SO_FAR + 1 + 100 + 1);
}

SPEC("lets an idle neighbour take what waits behind a long handler") {
    runtime_t *rt = start(2);
    actor_ref_t a[32];
    for (int i = 0; i < 32; i++)
        a[i] = actor_spawn(rt, NULL, &listener, 0, 0, NULL);
    for (int round = 0; round < 20; round++)
        for (int i = 1; i < 32; i++)
            say(rt, a[i], 0, (uint64_t)round);
    runtime_send(rt, a[0], msg_new(BLOCK, 0));
    CHECK(wait_for(&seen, 31 * 20));
    gate_open = true;
    CHECK_INT(wrong, 0);
    stop(rt);
}

static void note_order(actor_t *self, void *state, int reason) {
    (void)state, (void)reason;
    if (actor_key(self) != 9 - ended)
        wrong++;
    ended++;
}
static const actor_class_t ordered = {
    .name = "ordered", .handle = keyed_handle, .ended = note_order};

static void deaf_handle(actor_t *self, void *state, msg_t *m) {
    (void)self, (void)state, (void)m;
}

SPEC("stops what was made before start in reverse order of spawn, and never hangs on the deaf") {
    reset();
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 2, .seed = 1});
    for (uint64_t i = 0; i < 10; i++)
        actor_spawn(rt, NULL, &ordered, i, -1, NULL);
    runtime_start(rt);
    stop(rt);
    CHECK_INT(ended, 10);
    CHECK_INT(wrong, 0);
    static const actor_class_t deaf = {.name = "deaf", .handle = deaf_handle};
    rt = start(2);
    actor_spawn(rt, NULL, &deaf, 0, -1, NULL);
    runtime_stop(rt, 20);
    runtime_free(rt);
}

static void enter_fn(actor_t *self, void *state, void *arg) {
    (void)state;
    if (arg)
        actor_exit(self, ERR_OK);
    seen++;
}
static actor_ref_t pinned_ref;
static void enter_hook(runtime_t *rt, uint32_t worker, bool starting, void *arg) {
    (void)arg;
    static actor_class_t pinned;
    if (!starting || worker)
        return;
    pinned = listener;
    pinned.place = ACTOR_PINNED;
    pinned_ref = actor_spawn(rt, NULL, &pinned, 0, 0, NULL);
    if (!actor_enter(rt, pinned_ref, enter_fn, NULL) || !actor_enter(rt, pinned_ref, enter_fn, rt))
        wrong++;
    if (actor_enter(rt, pinned_ref, enter_fn, NULL))
        wrong++;
}

SPEC("enters a pinned actor in its worker's thread, and ends it there") {
    reset();
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 2, .seed = 1});
    runtime_worker_hook(rt, enter_hook, NULL);
    runtime_start(rt);
    CHECK_INT(seen, 2);
    CHECK_INT(ended, 1);
    CHECK_INT(wrong, 0);
    CHECK(!actor_enter(rt, pinned_ref, enter_fn, NULL));
    stop(rt);
}

/* wanderer: sets a timer in one worker and cancels it wherever it runs later */
typedef struct wanderer {
    uint64_t timer[64];
    uint32_t count;
    bool moved;
    uint32_t home;
} wanderer_t;
static _Atomic uint64_t moves;

static void wander(actor_t *self, void *state, msg_t *m) {
    wanderer_t *w = state;
    if (m->verb == TICK)
        wrong += m->cookie;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
    if (m->verb != SAY)
        return;
    moves += w->home != actor_worker(self);
    w->home = actor_worker(self);
    uint64_t *t = &w->timer[w->count++ % 64];
    actor_cancel(self, *t); /* the one of 64 messages ago */
    *t = actor_after(self, 200000, TICK, 1);
    actor_cancel(self, actor_after(self, 0, TICK, 1));
    for (uint64_t until = actor_random(self) % 20000; until; until--)
        __asm__ volatile("");
    seen++;
}
static const actor_class_t wanderer = {
    .name = "wanderer", .state_size = sizeof(wanderer_t), .handle = wander, .ended = note_end};

SPEC("cancels timers of actors that have moved to another worker") {
    runtime_t *rt = start(2);
    actor_ref_t a[40];
    for (int i = 0; i < 40; i++)
        a[i] = actor_spawn(rt, NULL, &wanderer, 0, 0, NULL);
    /* On a busy machine one worker may get so much more time that nobody moves for long. */
    enum { ROUNDS = 300, ROUNDS_MOST = 100000, MOVES = 100 };
    moves = 0;
    for (int round = 0; round < ROUNDS || (moves < MOVES && round < ROUNDS_MOST); round++) {
        for (int i = 0; i < 40; i++)
            runtime_send(rt, a[i], msg_new(SAY, 0));
        if (!wait_for(&seen, (uint64_t)(round + 1) * 40))
            break;
    }
    CHECK_INT(wrong, 0);
    CHECK(moves >= MOVES);
    CHECK(balanced(rt));
    stop(rt);
    CHECK_INT(ended, 40);
}

/* --- the end of a slice --- */

static _Atomic uint64_t slices, unsettled;

static void heap_up(actor_t *self, void *state, msg_t *m) {
    uint64_t *waiting = state;
    listen_handle(self, &(listener_t){{0}}, m);
    if (m->verb == GO)
        unsettled += ++*waiting > 64;
}

static void settle(actor_t *self, void *state) {
    uint64_t *waiting = state;
    slices++;
    seen += *waiting * 100;
    *waiting = 0;
    if (seen >= 198 * 101)
        actor_exit(self, ERR_OK);
}
static const actor_class_t heap = {.name = "heap",
                                   .state_size = sizeof(uint64_t),
                                   .handle = heap_up,
                                   .slice_end = settle,
                                   .ended = note_end};

SPEC("tells the end of each slice once, also when its last message was the runtime's") {
    runtime_t *rt = start(2);
    slices = unsettled = 0;
    actor_ref_t a = actor_spawn(rt, NULL, &heap, 0, 0, NULL);
    runtime_send(rt, a, msg_new(BLOCK, 0));
    for (int i = 0; i < 198; i++)
        runtime_send(rt, a, msg_new(GO, 0));
    atomic_store(&gate_open, true);
    CHECK(wait_for(&seen, 198 * 101));
    CHECK(slices >= 4); /* 64 messages each at most */
    CHECK(slices < 100);
    CHECK_INT(unsettled, 0);
    CHECK(wait_for(&ended, 1)); /* by settle */
    CHECK(balanced(rt));
    stop(rt);
}

/* --- wake-ups that a thread actor holds --- */

static actor_ref_t told[8];

static void herald_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    (void)state;
    actor_hold_wakes(self);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; m[i]->verb == GO && k < 8; k++)
            actor_send(self, told[k], msg_new(GO, 0));
    actor_wake_held(self);
}
static const actor_class_t herald = {
    .name = "herald", .place = ACTOR_THREAD, .batch = 64, .handle_batch = herald_batch};

SPEC("wakes each sleeping worker once for all that a thread actor says at a time") {
    runtime_t *rt = start(2);
    runtime_counts_t before, after;
    actor_ref_t speaker = actor_spawn(rt, NULL, &herald, 0, -1, NULL);
    for (int k = 0; k < 8; k++)
        told[k] = actor_spawn(rt, NULL, &listener, 0, k % 2, NULL);
    runtime_counts(rt, &before);
    for (uint64_t i = 1; i <= 200; i++) {
        runtime_send(rt, speaker, msg_new(GO, 0));
        CHECK(wait_for(&seen, 8 * i));
    }
    runtime_counts(rt, &after);
    uint64_t wakes = after.wakes - before.wakes;
    printf("%llu wake-ups\n", (unsigned long long)wakes);
    CHECK(wakes > 0 && wakes < 500); /* 400 and a few; 600 and more if each is woken at once */
    CHECK(balanced(rt));
    stop(rt);
}

/* Does its work in parts: asks for another turn, while others and its own mailbox wait. */
enum { PARTS = 50 };
static _Atomic uint64_t parts, others_between;
static _Atomic bool parts_over;

static void parts_handle(actor_t *self, void *state, msg_t *m) {
    uint32_t *left = state;
    if (m->verb == GO)
        *left = PARTS;
    if (m->verb == GO || m->verb == MSG_AGAIN) {
        parts++;
        if (--*left > 0) {
            actor_again(self);
            actor_again(self); /* once is enough */
        } else {
            parts_over = true;
        }
    } else if (m->verb == SAY) {
        wrong += *left > 0; /* came in between */
        seen++;
    }
}
static const actor_class_t parts_class = {
    .name = "parts", .state_size = sizeof(uint32_t), .handle = parts_handle};

static void between_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb != SAY || atomic_load(&parts_over))
        return;
    others_between++;
    actor_send(self, actor_self(self), msg_new(SAY, 0));
}
static const actor_class_t between_class = {
    .name = "between", .place = ACTOR_PINNED, .handle = between_handle};

SPEC("gives an actor that asks for another turn one behind all others, before its own mailbox") {
    runtime_t *rt = start(1);
    parts = others_between = 0;
    parts_over = false;
    actor_ref_t a = actor_spawn(rt, NULL, &parts_class, 0, 0, NULL);
    for (int i = 0; i < 3; i++)
        runtime_send(rt, actor_spawn(rt, NULL, &between_class, 0, 0, NULL), msg_new(SAY, 0));
    runtime_send(rt, a, msg_new(GO, 0));
    for (int i = 0; i < 10; i++)
        runtime_send(rt, a, msg_new(SAY, 0));
    CHECK(wait_for(&seen, 10));
    CHECK_INT(parts, PARTS);
    CHECK_INT(wrong, 0);
    CHECK(others_between >= PARTS - 1);
    CHECK(balanced(rt));
    stop(rt);
}

SPEC_MAIN
