/* The stream of one socket and conversation: the rules of PROTOCOL.md 9.4 without sockets. */
#include "actors/chat_stream.h"
#include "spec/spec.h"

static int64_t from;

static int push(chat_stream_t *s, int64_t seq) {
    return chat_stream_offer(s, seq, false, false, &from);
}
static int own(chat_stream_t *s, int64_t seq) {
    return chat_stream_offer(s, seq, true, false, &from);
}
static int slow(chat_stream_t *s, int64_t seq) {
    return chat_stream_offer(s, seq, false, true, &from);
}

SPEC("a stream starts with its first push, wherever that is, without a resync") {
    chat_stream_t s = {0};
    CHECK_INT(push(&s, 41), CHAT_STREAM_PUSH);
    CHECK_INT(push(&s, 42), CHAT_STREAM_PUSH);
    CHECK_INT(chat_stream_unacked(&s), 2);
    chat_stream_free(&s);
}

SPEC("what was pushed is not pushed again") {
    chat_stream_t s = {0};
    push(&s, 1);
    push(&s, 2);
    CHECK_INT(push(&s, 2), 0);
    CHECK_INT(push(&s, 1), 0);
    CHECK_INT(chat_stream_unacked(&s), 2);
    chat_stream_free(&s);
}

SPEC("a gap is announced by a resync from the first seq that is missing") {
    chat_stream_t s = {0};
    push(&s, 1);
    CHECK_INT(push(&s, 5), CHAT_STREAM_PUSH | CHAT_STREAM_RESYNC);
    CHECK_INT(from, 2);
    CHECK_INT(chat_stream_unacked(&s), 2);
    CHECK(!chat_stream_may_resend(&s, 3));
    CHECK(chat_stream_may_resend(&s, 5));
    chat_stream_free(&s);
}

SPEC("own sends count as received: no push, no gap") {
    chat_stream_t s = {0};
    push(&s, 1);
    CHECK_INT(own(&s, 2), 0);
    CHECK_INT(push(&s, 3), CHAT_STREAM_PUSH);
    CHECK_INT(chat_stream_unacked(&s), 2);
    chat_stream_free(&s);
}

SPEC("own sends count as acked once everything below is") {
    chat_stream_t s = {0};
    CHECK_INT(own(&s, 1), CHAT_STREAM_ACKED);
    CHECK_INT(s.acked, 1);
    push(&s, 2);
    CHECK_INT(own(&s, 3), 0);
    CHECK(s.own_news);
    CHECK_INT(own(&s, 4), 0);
    CHECK_INT(s.acked, 1);
    CHECK_INT(chat_stream_ack(&s, 2, &from), CHAT_STREAM_ACKED);
    CHECK_INT(s.acked, 4);
    CHECK_INT(s.skip_count, 0);
    chat_stream_free(&s);
}

SPEC("an own send above unknown acks is news for the store, not an ack") {
    chat_stream_t s = {0};
    CHECK_INT(own(&s, 100), 0);
    CHECK_INT(s.acked, 0);
    CHECK(s.own_news);
    CHECK_INT(s.skips[0].from, 100);
    CHECK_INT(chat_stream_unacked(&s), 0);
    CHECK(!chat_stream_resends(&s));
    chat_stream_free(&s);
}

SPEC("an ack is cumulative and never falls") {
    chat_stream_t s = {0};
    for (int64_t i = 1; i <= 5; i++)
        push(&s, i);
    CHECK_INT(chat_stream_ack(&s, 3, &from), CHAT_STREAM_ACKED);
    CHECK_INT(chat_stream_unacked(&s), 2);
    CHECK_INT(chat_stream_ack(&s, 2, &from), 0);
    CHECK_INT(chat_stream_ack(&s, 3, &from), 0);
    CHECK_INT(s.acked, 3);
    chat_stream_free(&s);
}

SPEC("what was acked before it came is not pushed") {
    chat_stream_t s = {0};
    push(&s, 1);
    chat_stream_ack(&s, 4, &from);
    CHECK_INT(push(&s, 2), 0);
    CHECK_INT(push(&s, 4), 0);
    CHECK_INT(push(&s, 5), CHAT_STREAM_PUSH);
    chat_stream_free(&s);
}

SPEC("with 1,000 unacked the pushes stop after a resync, and go on after one when there is room") {
    chat_stream_t s = {0};
    for (int64_t i = 1; i <= 1000; i++)
        CHECK_INT(push(&s, i), CHAT_STREAM_PUSH);
    CHECK_INT(push(&s, 1001), CHAT_STREAM_RESYNC);
    CHECK_INT(from, 1001);
    for (int64_t i = 1002; i <= 1010; i++)
        CHECK_INT(push(&s, i), 0);
    CHECK_INT(chat_stream_ack(&s, 1, &from), CHAT_STREAM_ACKED | CHAT_STREAM_RESYNC);
    CHECK_INT(from, 1001);
    CHECK_INT(push(&s, 1011), CHAT_STREAM_PUSH);
    CHECK_INT(push(&s, 1012), CHAT_STREAM_RESYNC);
    CHECK_INT(from, 1012);
    chat_stream_free(&s);
}

SPEC("own sends and gaps do not count as unacked pushes") {
    chat_stream_t s = {0};
    push(&s, 1);
    for (int64_t i = 2; i <= 2000; i++)
        own(&s, i);
    CHECK_INT(push(&s, 3000), CHAT_STREAM_PUSH | CHAT_STREAM_RESYNC);
    CHECK_INT(chat_stream_unacked(&s), 2);
    chat_stream_free(&s);
}

SPEC("a slow socket: nothing is pushed until the resync, whose from_seq is the first left out") {
    chat_stream_t s = {0};
    push(&s, 1);
    CHECK_INT(slow(&s, 2), 0);
    CHECK(s.behind);
    CHECK_INT(s.from, 2);
    CHECK_INT(push(&s, 3), 0);
    CHECK_INT(own(&s, 4), 0);
    s.behind = false; /* the caller has sent the resync */
    CHECK_INT(push(&s, 5), CHAT_STREAM_PUSH);
    CHECK_INT(chat_stream_unacked(&s), 2);
    chat_stream_free(&s);
}

SPEC("a slow socket's first message of a conversation is not lost either") {
    chat_stream_t s = {0};
    CHECK_INT(slow(&s, 9), 0);
    CHECK(s.behind);
    CHECK_INT(s.from, 9);
    chat_stream_free(&s);
}

SPEC("resends begin at the lowest unacked push, pass over own sends, and end after three rounds") {
    chat_stream_t s = {0};
    int64_t to;
    for (int64_t i = 1; i <= 100; i++)
        if (i == 4)
            own(&s, i);
        else
            push(&s, i);
    chat_stream_ack(&s, 2, &from);
    CHECK(chat_stream_resends(&s));
    chat_stream_resend_range(&s, 50, 200, &from, &to);
    CHECK_INT(from, 3);
    CHECK_INT(to, 53);
    CHECK(!chat_stream_may_resend(&s, 4));
    chat_stream_resent(&s);
    CHECK_INT(s.attempt, 1);
    chat_stream_ack(&s, 3, &from);
    CHECK_INT(s.acked, 4);
    CHECK_INT(s.attempt, 0);
    for (int i = 0; i < 3; i++) {
        CHECK(chat_stream_resends(&s));
        chat_stream_resent(&s);
    }
    CHECK(!chat_stream_resends(&s));
    push(&s, 101);
    chat_stream_resend_range(&s, 50, 200, &from, &to);
    CHECK_INT(from, 101);
    CHECK_INT(to, 101);
    chat_stream_free(&s);
}

SPEC("a new push starts the rounds again") {
    chat_stream_t s = {0};
    push(&s, 1);
    chat_stream_resent(&s);
    chat_stream_resent(&s);
    push(&s, 2);
    CHECK_INT(s.attempt, 0);
    chat_stream_free(&s);
}

SPEC("a push, or an ack of something new, ends a round whose messages are being read") {
    chat_stream_t s = {0};
    push(&s, 1);
    s.resending = true;
    push(&s, 2);
    CHECK(!s.resending);
    s.resending = true;
    CHECK(chat_stream_offer_run(&s, 3, 4));
    CHECK(!s.resending);
    s.resending = true;
    chat_stream_ack(&s, 1, &from);
    CHECK(!s.resending);
    s.resending = true;
    chat_stream_ack(&s, 1, &from);
    CHECK(s.resending);
    chat_stream_free(&s);
}

SPEC("the ranges kept are bounded, whatever the order of sends and pushes") {
    chat_stream_t s = {0};
    for (int64_t i = 1; i <= 5000; i++) {
        if (i % 2)
            push(&s, i);
        else
            own(&s, i);
        CHECK(s.skip_count <= CHAT_STREAM_SKIPS);
    }
    CHECK(chat_stream_unacked(&s) > 0);
    CHECK(chat_stream_unacked(&s) <= CHAT_STREAM_SKIPS + 1);
    CHECK_INT(chat_stream_ack(&s, 4999, &from), CHAT_STREAM_ACKED);
    CHECK_INT(s.acked, 5000);
    CHECK_INT(chat_stream_unacked(&s), 0);
    chat_stream_free(&s);
}

/* Seeded steps against a plain model: every push below the seen one is either rising without gap or
 * was announced. */
SPEC("over random steps each gap is announced and nothing is pushed twice") {
    uint64_t seed = 12345;
    for (int round = 0; round < 200; round++) {
        chat_stream_t s = {0};
        int64_t have = 0, seq = 0;
        bool told = true;
        for (int i = 0; i < 400; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            uint32_t what = (uint32_t)(seed >> 33) % 20;
            if (what == 0 && have) {
                int did = chat_stream_ack(&s, have, &from);
                told = told || (did & CHAT_STREAM_RESYNC);
                continue;
            }
            if (what == 1) {
                if (s.behind) {
                    s.behind = false;
                    told = true;
                }
                continue;
            }
            seq += what == 2 ? 3 : 1;
            bool mine = what == 3;
            int did = chat_stream_offer(&s, seq, mine, what == 4, &from);
            if (did & CHAT_STREAM_RESYNC) {
                CHECK(from <= seq);
                told = true;
            }
            if (did & CHAT_STREAM_PUSH) {
                CHECK(have == 0 || seq == have + 1 || told);
                CHECK(seq > have);
                told = false;
            }
            if ((did & CHAT_STREAM_PUSH) || mine)
                have = seq;
            CHECK(chat_stream_unacked(&s) <= CHAT_STREAM_UNACKED);
        }
        chat_stream_free(&s);
    }
}

SPEC("a run is taken as a whole exactly when each of it would be pushed and nothing else told") {
    uint32_t random = 7, taken = 0, refused = 0;
    chat_stream_t s = {0}, each = {0};
    int64_t seq = 0;
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t what = random >> 28, count = 1 + (random >> 20) % 40;
        if (what < 2) { /* an own send, or an ack */
            seq += what == 0;
            CHECK_INT(what ? chat_stream_ack(&s, seq - count % 4, &from) : own(&s, seq),
                      what ? chat_stream_ack(&each, seq - count % 4, &from) : own(&each, seq));
            continue;
        }
        int64_t first = seq + 1 + (what == 2), last = first + count - 1;
        bool all = true;
        for (int64_t q = first; q <= last; q++)
            all = (push(&each, q) == CHAT_STREAM_PUSH) && all;
        bool run = chat_stream_offer_run(&s, first, last);
        for (int64_t q = first; !run && q <= last; q++)
            push(&s, q);
        CHECK_INT(run, all);
        CHECK_INT(s.seen, each.seen);
        CHECK_INT(chat_stream_unacked(&s), chat_stream_unacked(&each));
        taken += run;
        refused += !run;
        seq = last;
    }
    CHECK(taken > 1000);
    CHECK(refused > 1000);
    chat_stream_free(&s);
    chat_stream_free(&each);
}

SPEC_MAIN
