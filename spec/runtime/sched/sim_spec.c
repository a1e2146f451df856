/* The deterministic mode: one seed is one run; time is the world's; ports, crashes, refusals and
 * links between nodes behave as they would with threads, and the books balance. */
#include "base/err.h"
#include "base/log.h"
#include "sched/sim.h"
#include "spec/spec.h"

enum { LATER = 99 }; /* cookie */
enum { VERB_HIT = MSG_USER, VERB_ASK, VERB_ANSWER, VERB_TICK, VERB_STOPPED };

typedef struct book {
    uint64_t hits, answers, errors, ticks, ended, order[64];
    uint32_t order_count;
    int last_err;
    uint64_t at_ns;
    int worker;
} book_t;
static book_t book;
__attribute__((constructor)) static void quiet(void) {
    log_level_set(LOG_ERROR);
}
static actor_ref_t port, peers[8];

/* --- a player: hits a peer by chance, asks the port now and then --- */
static void player_handle(actor_t *self, void *state, msg_t *m) {
    uint32_t *left = state;
    if (m->verb == VERB_HIT) {
        book.hits++;
        if (*left == 0)
            return;
        --*left;
        uint64_t r = actor_random(self);
        actor_send(self, peers[r % 8], msg_new(VERB_HIT, 0));
        if (r >> 32 & 1)
            actor_request(self, port, msg_new(VERB_ASK, 0), 1000, VERB_ANSWER, 0);
        else
            actor_after(self, r >> 40 & 15, VERB_TICK, 0);
    } else if (m->verb == VERB_ANSWER) {
        book.answers += m->err == ERR_OK;
        book.errors += m->err != ERR_OK;
        book.last_err = m->err;
        book.at_ns = actor_now_ns(self);
    } else if (m->verb == VERB_TICK) {
        book.ticks++;
        book.at_ns = actor_now_ns(self);
        actor_send(self, actor_self(self), msg_new(VERB_HIT, 0));
    }
}
static int player_init(actor_t *self, void *state, const void *arg) {
    (void)self;
    *(uint32_t *)state = arg ? *(const uint32_t *)arg : 0;
    return ERR_OK;
}
static void player_ended(actor_t *self, void *state, int reason) {
    (void)self, (void)state, (void)reason;
    book.ended++;
}
static const actor_class_t player_class = {.name = "player",
                                           .place = ACTOR_FREE,
                                           .restart = ACTOR_ON_CRASH,
                                           .state_size = 4,
                                           .init = player_init,
                                           .handle = player_handle,
                                           .ended = player_ended};

static void port_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == VERB_ASK)
        actor_reply(self, m, ERR_OK, NULL);
}
static const actor_class_t port_class = {
    .name = "port", .place = ACTOR_THREAD, .handle = port_handle};

static void pinned_handle(actor_t *self, void *state, msg_t *m) {
    (void)state, (void)m;
    book.hits++;
    if (worker_here(actor_runtime(self)) != (int)actor_key(self))
        book.errors++;
}
static const actor_class_t pinned_class = {
    .name = "pinned", .place = ACTOR_PINNED, .handle = pinned_handle};

static void noting_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == VERB_HIT && m->cookie == LATER)
        actor_after(self, 3600000, VERB_TICK, 0);
    else if (m->verb == VERB_HIT && book.order_count < 64)
        book.order[book.order_count++] = m->cookie;
    book.at_ns = actor_now_ns(self);
}
static const actor_class_t noting_class = {
    .name = "noting", .place = ACTOR_FREE, .handle = noting_handle};

static runtime_t *node(sim_t *s) {
    runtime_conf_t conf = {.workers = 3};
    sim_join(s, &conf);
    return runtime_new(&conf);
}

static const uint32_t rounds = 200;
static runtime_t *play(sim_t *s, const sim_faults_t *faults) {
    book = (book_t){0};
    runtime_t *rt = node(s);
    port = actor_spawn(rt, NULL, &port_class, 0, -1, NULL);
    for (int i = 0; i < 8; i++)
        peers[i] = actor_spawn(rt, NULL, &player_class, (uint64_t)i, -1, &rounds);
    runtime_start(rt);
    if (faults)
        sim_faults(rt, faults);
    for (int i = 0; i < 8; i++)
        runtime_send(rt, peers[i], msg_new(VERB_HIT, 0));
    sim_run(s, 10000);
    return rt;
}

static bool balanced(runtime_t *rt) {
    runtime_counts_t c;
    runtime_counts(rt, &c);
    return c.sent == c.received + c.refused + c.dead;
}

static uint64_t trace_of(uint64_t seed, uint64_t *hits) {
    sim_t *s = sim_new(seed);
    runtime_t *rt = play(s, NULL);
    uint64_t trace = sim_trace(s);
    *hits = book.hits;
    runtime_free(rt);
    sim_free(s);
    return trace;
}

SPEC("one seed is one run, another seed is another") {
    uint64_t a, b, c, first = trace_of(7, &a), again = trace_of(7, &b), other = trace_of(8, &c);
    CHECK_INT(a, b);
    CHECK(first == again && first != other);
    CHECK(a > 1000);
}

SPEC("every request has its answer, and the books balance at rest") {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim_t *s = sim_new(seed);
        runtime_t *rt = play(s, NULL);
        CHECK(!sim_busy(s));
        CHECK(book.answers + book.ticks >= 8 * rounds);
        CHECK_INT(book.errors, 0);
        CHECK(balanced(rt));
        runtime_free(rt);
        sim_free(s);
    }
}

static bool kills_players(const actor_class_t *cls) {
    return cls == &player_class;
}

SPEC("the books balance with refusals and crashes too, and whoever asked gets an answer") {
    uint64_t ended = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim_t *s = sim_new(seed);
        sim_faults_t f = {.full = 50000, .kill = 2000, .kills = kills_players, .port_us = 500};
        runtime_t *rt = play(s, &f);
        runtime_counts_t c;
        runtime_counts(rt, &c);
        CHECK(c.refused > 0);
        CHECK(!sim_busy(s));
        CHECK(balanced(rt));
        ended += book.ended;
        runtime_free(rt);
        sim_free(s);
    }
    CHECK(ended >= 10);
}

SPEC("an hour passes at once, and a timer fires at its time") {
    sim_t *s = sim_new(3);
    book = (book_t){0};
    runtime_t *rt = node(s);
    peers[0] = actor_spawn(rt, NULL, &noting_class, 0, -1, NULL);
    runtime_start(rt);
    uint64_t before = sim_now_ns(s);
    msg_t *m = msg_new(VERB_HIT, 0);
    m->cookie = LATER;
    runtime_send(rt, peers[0], m);
    sim_run(s, 4000000);
    uint64_t took_ms = (book.at_ns - before) / 1000000;
    CHECK(took_ms >= 3600000 && took_ms < 3600000 + 100);
    runtime_free(rt);
    sim_free(s);
}

static const uint32_t none = 1;
static void one_question(uint64_t seed, uint64_t port_us) {
    sim_t *s = sim_new(seed);
    book = (book_t){0};
    runtime_t *rt = node(s);
    port = actor_spawn(rt, NULL, &port_class, 0, -1, NULL);
    for (int i = 0; i < 8; i++)
        peers[i] = actor_spawn(rt, NULL, &player_class, 0, -1, i ? NULL : &none);
    runtime_start(rt);
    sim_faults(rt, &(sim_faults_t){.port_us = port_us});
    runtime_send(rt, peers[0], msg_new(VERB_HIT, 0));
    sim_run(s, 20000);
    runtime_free(rt);
    sim_free(s);
}

SPEC("a port that works longer than the deadline makes its caller hear of a time-out") {
    int timeouts = 0, answers = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        one_question(seed, 2000000);
        timeouts += book.errors && book.last_err == ERR_TIMEOUT;
        answers += (int)book.answers;
    }
    CHECK(timeouts > 3);
    CHECK(answers > 3);
}

SPEC("a pinned actor runs on its worker only") {
    sim_t *s = sim_new(5);
    book = (book_t){0};
    runtime_t *rt = node(s);
    actor_ref_t at[3];
    for (int i = 0; i < 3; i++)
        at[i] = actor_spawn(rt, NULL, &pinned_class, (uint64_t)i, i, NULL);
    runtime_start(rt);
    for (int i = 0; i < 300; i++)
        runtime_send(rt, at[i % 3], msg_new(VERB_HIT, 0));
    sim_run(s, 1000);
    CHECK_INT(book.hits, 300);
    CHECK_INT(book.errors, 0);
    runtime_free(rt);
    sim_free(s);
}

SPEC("a stop tells every actor, in logical time") {
    sim_t *s = sim_new(9);
    runtime_t *rt = play(s, NULL);
    runtime_stop(rt, 1000);
    CHECK_INT(book.ended, 8);
    runtime_free(rt);
    sim_free(s);
}

SPEC("a link keeps the order, holds what is sent while it is cut, and nodes share the clock") {
    for (uint64_t seed = 1; seed <= 50; seed++) {
        sim_t *s = sim_new(seed);
        book = (book_t){0};
        runtime_t *a = node(s), *b = node(s);
        actor_ref_t far = actor_spawn(b, NULL, &noting_class, 0, -1, NULL);
        runtime_start(a);
        runtime_start(b);
        sim_link_t *l = sim_link_new(b, 100, 20000);
        for (uint64_t i = 0; i < 20; i++) {
            msg_t *m = msg_new(VERB_HIT, 0);
            m->cookie = i;
            if (i == 7)
                sim_link_cut(l, true);
            sim_link_send(l, far, m);
            if (i % 5 == 0)
                sim_run(s, 3);
        }
        sim_run(s, 1000);
        CHECK_INT(book.order_count, 7);
        sim_link_cut(l, false);
        sim_run(s, 1000);
        CHECK_INT(book.order_count, 20);
        for (uint64_t i = 0; i < 20; i++)
            CHECK_INT(book.order[i], i);
        CHECK(runtime_fresh_ns(a) == runtime_fresh_ns(b));
        sim_link_free(l);
        runtime_free(a);
        runtime_free(b);
        sim_free(s);
    }
}

SPEC("what is under way to a node that ends is lost, not delivered to nobody") {
    sim_t *s = sim_new(2);
    runtime_t *rt = node(s);
    actor_ref_t far = actor_spawn(rt, NULL, &noting_class, 0, -1, NULL);
    runtime_start(rt);
    sim_link_t *l = sim_link_new(rt, 1000, 1000);
    sim_link_send(l, far, msg_new(VERB_HIT, 16));
    sim_link_free(l);
    runtime_stop(rt, 0);
    runtime_free(rt);
    CHECK(!sim_step(s));
    sim_free(s);
}

SPEC_MAIN
