/* What store.h promises of append, against every kind of store. */
#include "store_stage.h"

SPEC("gives ids and seqs in order, from first_seq on") {
    stage_new();
    CHECK(store_up());
    store_append_t *a = store_append_new(7, 1, 1);
    add_item(a, 1, "a", 1000);
    add_item(a, 2, "a", 1001);
    add_item(a, 1, "b", 1002);
    stage_answer_t *r = append_run(a);
    CHECK_INT(r->err, ERR_OK);
    CHECK_INT(r->size, 3 * sizeof(store_appended_t));
    for (int i = 0; i < 3; i++) {
        CHECK_INT(appended(r, (size_t)i).seq, i + 1);
        CHECK_INT(appended(r, (size_t)i).at_ms, 1000 + i);
        CHECK(!appended(r, (size_t)i).repeat);
    }
    CHECK(appended(r, 0).id < appended(r, 1).id && appended(r, 1).id < appended(r, 2).id);
    store_down();
    stage_free();
}

SPEC("gives the same id, seq and time to a repeated client_msg_id, and closes up") {
    stage_new();
    CHECK(store_up());
    store_append_t *a = store_append_new(7, 1, 1);
    add_item(a, 1, "a", 1000);
    stage_answer_t *first = append_run(a);
    a = store_append_new(7, 2, 1);
    add_item(a, 1, "b", 2000);
    add_item(a, 1, "a", 2001); /* stored before */
    add_item(a, 1, "c", 2002);
    add_item(a, 1, "b", 2003); /* stored by this very append */
    add_item(a, 1, "d", 2004);
    stage_answer_t *r = append_run(a);
    CHECK_INT(r->err, ERR_OK);
    static const int64_t seqs[] = {2, 1, 3, 2, 4}, times[] = {2000, 1000, 2002, 2000, 2004};
    static const bool repeats[] = {false, true, false, true, false};
    for (size_t i = 0; i < 5; i++) {
        CHECK_INT(appended(r, i).seq, seqs[i]);
        CHECK_INT(appended(r, i).at_ms, times[i]);
        CHECK_INT(appended(r, i).repeat, repeats[i]);
    }
    CHECK_INT(appended(r, 1).id, appended(first, 0).id);
    CHECK_INT(appended(r, 3).id, appended(r, 0).id);
    store_down();
    stage_free();
}

static void add_reply(store_append_t *a, int64_t reply_to, const char *id) {
    store_append_add(a, &(store_append_item_t){.sender = 1,
                                               .reply_to = reply_to,
                                               .at_ms = 1000,
                                               .content_type = 1,
                                               .client_msg_id = slice_of(id),
                                               .content = SLICE("{}")});
}

SPEC("a reply to nothing of its conversation is not stored, and the others close up") {
    stage_new();
    CHECK(store_up());
    store_append_t *a = store_append_new(7, 1, 1);
    add_item(a, 1, "a", 1000);
    int64_t target = appended(append_run(a), 0).id;
    a = store_append_new(8, 1, 1);
    add_item(a, 1, "foreign", 1000);
    int64_t foreign = appended(append_run(a), 0).id;
    a = store_append_new(7, 2, 1);
    add_reply(a, foreign, "b");
    add_reply(a, target, "c");
    add_reply(a, foreign, "a"); /* a repeat is one whatever it replies to */
    add_reply(a, target + 1000, "d");
    add_reply(a, target, "e");
    stage_answer_t *r = append_run(a);
    CHECK_INT(r->err, ERR_OK);
    static const int64_t seqs[] = {0, 2, 1, 0, 3};
    for (size_t i = 0; i < 5; i++)
        CHECK_INT(appended(r, i).seq, seqs[i]);
    CHECK_INT(appended(r, 0).id, 0);
    CHECK_INT(appended(r, 2).id, target);
    store_down();
    stage_free();
}

SPEC("the same client_msg_id of another sender or conversation is another message") {
    stage_new();
    CHECK(store_up());
    int64_t pairs[][3] = {{7, 1, 1}, {7, 2, 2}, {8, 1, 1}}; /* conversation, sender, seq */
    for (int i = 0; i < 3; i++) {
        store_append_t *a = store_append_new(pairs[i][0], pairs[i][2], 1);
        add_item(a, pairs[i][1], "same", 1000);
        stage_answer_t *r = append_run(a);
        CHECK_INT(r->err, ERR_OK);
        CHECK(!appended(r, 0).repeat);
    }
    store_down();
    stage_free();
}

SPEC("an append with a used seq is stale and stores nothing, and others are not touched") {
    stage_new();
    CHECK(store_up());
    store_append_t *a = store_append_new(7, 1, 1);
    add_item(a, 1, "a", 1000);
    add_item(a, 1, "b", 1000);
    CHECK_INT(append_run(a)->err, ERR_OK);
    a = store_append_new(7, 2, 1); /* somebody who does not know of seq 2 */
    add_item(a, 1, "a", 1000);
    add_item(a, 1, "c", 1000);
    stage_answer_t *r = append_run(a);
    CHECK_INT(r->err, ERR_STALE);
    CHECK_INT(r->size, 0);
    a = store_append_new(7, 3, 1);
    add_item(a, 1, "d", 1000);
    add_item(a, 1, "c", 1000); /* was not stored above */
    r = append_run(a);
    CHECK_INT(r->err, ERR_OK);
    CHECK_INT(appended(r, 0).seq, 3);
    CHECK_INT(appended(r, 1).seq, 4);
    CHECK(!appended(r, 1).repeat);
    store_down();
    stage_free();
}

SPEC("refuses a first_seq that would leave a hole, and a used one behind a repeat") {
    stage_new();
    CHECK(store_up());
    store_append_t *a = store_append_new(7, 1, 1);
    add_item(a, 1, "a", 1000);
    CHECK_INT(append_run(a)->err, ERR_OK);
    a = store_append_new(7, 3, 1);
    add_item(a, 1, "x", 1000);
    CHECK_INT(append_run(a)->err, ERR_STALE);
    a = store_append_new(7, 1, 1);
    add_item(a, 1, "a", 1000); /* a repeat */
    add_item(a, 1, "x", 1000); /* takes seq 1: used */
    CHECK_INT(append_run(a)->err, ERR_STALE);
    a = store_append_new(7, 2, 1);
    add_item(a, 1, "x", 1000);
    stage_answer_t *r = append_run(a);
    CHECK_INT(r->err, ERR_OK);
    CHECK(!appended(r, 0).repeat);
    CHECK_INT(appended(r, 0).seq, 2);
    store_down();
    stage_free();
}

SPEC("a repeat is known after a restart, and ids go on rising") {
    stage_new();
    CHECK(store_up());
    store_append_t *a = store_append_new(7, 1, 1);
    add_item(a, 1, "a", 1000);
    int64_t id = appended(append_run(a), 0).id;
    CHECK(store_restart());
    a = store_append_new(7, 2, 1);
    add_item(a, 1, "a", 2000);
    add_item(a, 1, "b", 2000);
    stage_answer_t *r = append_run(a);
    CHECK_INT(appended(r, 0).id, id);
    CHECK(appended(r, 0).repeat);
    CHECK(appended(r, 1).id > id);
    store_down();
    stage_free();
}

SPEC("an append larger than a transaction's bound is stored whole") {
    stage_new();
    stage_set("store.batch", "10");
    CHECK(store_up());
    store_append_t *a = store_append_new(7, 1, 1);
    for (int i = 0; i < 1000; i++) {
        char id[32];
        snprintf(id, sizeof id, "m%d", i);
        add_item(a, 1, id, 1000);
    }
    stage_answer_t *r = append_run(a);
    CHECK_INT(r->err, ERR_OK);
    CHECK_INT(appended(r, 999).seq, 1000);
    store_down();
    stage_free();
}

/* --- many at once: each caller owns a conversation, as its actor does, and sends with repeats ---
 */
enum { ROUNDS = 60, WIDTH = 7 };

typedef struct talk {
    int64_t conversation, next_seq, wrong;
} talk_t;

/* Round n sends the ids n*WIDTH .. and, before them, some of earlier rounds. */
static uint64_t talk_send(int who, const talk_t *t, int round) {
    store_append_t *a = store_append_new(t->conversation, t->next_seq, 1);
    char id[32];
    for (int i = 0; i < WIDTH; i++) {
        snprintf(id, sizeof id, "m%d", round * WIDTH + i);
        add_item(a, 1, id, 1000 + round);
        if (i % 3 == 0) {
            snprintf(id, sizeof id, "m%d", (round * WIDTH + i) / 2);
            add_item(a, 1, id, 1000 + round);
        }
    }
    return append_ask(who, a);
}

static void talk_check(talk_t *t, const stage_answer_t *r) {
    if (r->err != ERR_OK)
        t->wrong++;
    for (size_t i = 0; i < r->size / sizeof(store_appended_t); i++) {
        store_appended_t one = appended(r, i);
        if (one.repeat ? one.seq >= t->next_seq : one.seq != t->next_seq)
            t->wrong++;
        t->next_seq += !one.repeat;
    }
}

SPEC("seqs of conversations that write at the same time run 1..n without hole or double") {
    talk_t talks[STAGE_CALLERS];
    stage_new();
    stage_set("store.batch", "20");
    CHECK(store_up());
    for (int i = 0; i < STAGE_CALLERS; i++)
        talks[i] = (talk_t){.conversation = i + 1, .next_seq = 1};
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t cookies[STAGE_CALLERS];
        for (int i = 0; i < STAGE_CALLERS; i++)
            cookies[i] = talk_send(i, &talks[i], round);
        for (int i = 0; i < STAGE_CALLERS; i++)
            talk_check(&talks[i], stage_answer(cookies[i]));
    }
    for (int i = 0; i < STAGE_CALLERS; i++) {
        CHECK_INT(talks[i].wrong, 0);
        CHECK_INT(talks[i].next_seq, ROUNDS * WIDTH + 1);
    }
    store_down();
    stage_free();
}

SPEC("of two who write one conversation with the same seqs, one is stale") {
    stage_new();
    CHECK(store_up());
    for (int round = 0; round < 20; round++) {
        uint64_t cookies[2];
        for (int i = 0; i < 2; i++) {
            store_append_t *a = store_append_new(7, round + 1, i + 1);
            char id[32];
            snprintf(id, sizeof id, "r%d-%d", round, i);
            add_item(a, i, id, 1000);
            cookies[i] = append_ask(i, a);
        }
        int errs[2] = {stage_answer(cookies[0])->err, stage_answer(cookies[1])->err};
        CHECK_INT(errs[0] + errs[1], ERR_STALE);
        CHECK(errs[0] == ERR_OK || errs[1] == ERR_OK);
    }
    store_down();
    stage_free();
}

STORE_SPEC_MAIN
