/* The promises about kept tokens (sched.h): two actors that talk to each other cost no locked
 * operation a message, and nobody else notices: who writes to them meanwhile is heard, in order,
 * and each message is counted once. */
#include "base/err.h"
#include "sched/look.h"
#include "spec/wait.h"
#include <stdatomic.h>
#include <time.h>

enum { BALL = MSG_USER, SAY };
enum { PAIRS = 4, STRANGERS = 3, SAID = 2000 };

typedef struct player {
    uint64_t heard[STRANGERS + 1]; /* the last number of each who writes */
} player_t;

static actor_ref_t players[2 * PAIRS];
static _Atomic uint64_t balls, heard, mixed, said, talked;
static _Atomic bool over;

static void play(actor_t *self, void *state, msg_t *m) {
    player_t *p = state;
    if (m->verb == BALL) {
        balls++;
        if (!over)
            actor_send(self, players[actor_key(self) ^ 1], msg_new(BALL, 0));
    } else if (m->verb == SAY) {
        uint32_t who = *msg_data(m, uint32_t);
        mixed += m->cookie <= p->heard[who];
        p->heard[who] = m->cookie;
        heard++;
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}
static const actor_class_t free_player = {
    .name = "free", .state_size = sizeof(player_t), .handle = play};
static const actor_class_t pinned_player = {
    .name = "pinned", .place = ACTOR_PINNED, .state_size = sizeof(player_t), .handle = play};

static msg_t *say(uint32_t who, uint64_t number) {
    msg_t *m = msg_of(SAY, &who, sizeof who);
    m->cookie = number;
    return m;
}

/* Writes to all in turn, a little in each of its slices; it is free, so it moves between workers.
 */
static void talk(actor_t *self, void *state, msg_t *m) {
    uint64_t *number = state;
    if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
        return;
    }
    if (*number == SAID)
        return;
    ++*number;
    for (int i = 0; i < 2 * PAIRS; i++)
        said += actor_send(self, players[i], say((uint32_t)actor_key(self), *number)) == ERR_OK;
    talked++;
    if (*number % 16)
        actor_send(self, actor_self(self), msg_new(BALL, 0));
    else
        actor_after(self, 0, BALL, 0);
}
static const actor_class_t stranger = {
    .name = "stranger", .state_size = sizeof(uint64_t), .handle = talk};

static runtime_t *begin(const actor_class_t *cls, uint32_t workers) {
    balls = heard = mixed = said = talked = 0;
    over = false;
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = workers, .seed = 1});
    runtime_start(rt);
    for (uint32_t i = 0; i < 2 * PAIRS; i++)
        players[i] = actor_spawn(rt, NULL, cls, i, (int)(i / 2 % workers), NULL);
    for (uint32_t i = 0; i < PAIRS; i++)
        runtime_send(rt, players[2 * i], msg_new(BALL, 0));
    return rt;
}

static void end(runtime_t *rt) {
    over = true;
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    CHECK_INT(law.missing, 0);
    CHECK_INT(heard, said);
    CHECK_INT(mixed, 0);
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

SPEC("two that talk without end hear everybody else, in the order of each, and nothing is lost") {
    for (int round = 0; round < 4; round++) {
        runtime_t *rt = begin(round % 2 ? &pinned_player : &free_player, 1 + round / 2u);
        for (uint32_t i = 0; i < STRANGERS; i++)
            runtime_send(rt, actor_spawn(rt, NULL, &stranger, 1 + i, -1, NULL), msg_new(BALL, 0));
        CHECK(wait_for(&talked, (uint64_t)STRANGERS * SAID));
        CHECK(wait_for(&heard, said));
        CHECK(said > SAID);
        CHECK(balls > PAIRS);
        end(rt);
    }
}

SPEC("a thread that is no worker is heard at once while they talk") {
    runtime_t *rt = begin(&free_player, 1);
    for (uint64_t i = 0; i < 300; i++) {
        said++;
        CHECK_INT(runtime_send(rt, players[i % (2 * PAIRS)], say(0, i + 1)), ERR_OK);
        CHECK(wait_for(&heard, i + 1));
    }
    end(rt);
}

SPEC("one that is killed in the middle of its talk is gone, and the other lives") {
    runtime_t *rt = begin(&free_player, 2);
    CHECK(wait_for(&balls, 10000));
    for (uint32_t i = 0; i < PAIRS; i++)
        CHECK_INT(runtime_kill(rt, players[2 * i], ERR_INTERNAL), ERR_OK);
    look_law_t law;
    CHECK(look_law_at_rest(rt, 30000, &law));
    for (uint32_t i = 0; i < PAIRS; i++) {
        UNTIL(runtime_send(rt, players[2 * i], say(0, 1)) == ERR_GONE);
        said++;
        CHECK_INT(runtime_send(rt, players[2 * i + 1], say(0, 1)), ERR_OK);
    }
    CHECK(wait_for(&heard, PAIRS));
    end(rt);
}

SPEC_MAIN
