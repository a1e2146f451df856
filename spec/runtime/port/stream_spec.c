/* What stream.h promises, against every kind of stream. */
#include "port/stream.h"
#include "stage.h"

static const char *const stream_urls[] = {"memory:"};
static const char *stream_url;
static stream_t *stream;

static bool stream_up(void) {
    stage_set("stream.url", stream_url);
    stream = stream_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (stream)
        stage_start();
    return stream != NULL;
}

static void stream_down(void) {
    stage_stop();
    stream_close(stream);
    stage_free();
}

typedef struct call {
    char what;
    slice_t topic, group, event;
    uint64_t key, cookie;
    int64_t offset;
    uint32_t window;
} call_t;

static void go(actor_t *self, void *arg) {
    const call_t *c = arg;
    if (c->what == 'a')
        stream_append(stream, self, c->topic, c->key, c->event, STAGE_REPLY, c->cookie);
    else if (c->what == 'f')
        stream_follow(stream, self, c->topic, c->group, c->offset, c->window, STAGE_EVENT);
    else
        stream_commit(stream, self, c->topic, c->group, c->offset);
}

static int append(const char *topic, int n) {
    char text[32];
    snprintf(text, sizeof text, "event %d", n);
    call_t c = {.what = 'a',
                .topic = slice_of(topic),
                .event = slice_of(text),
                .key = (uint64_t)n + 500,
                .cookie = stage_cookie()};
    stage_do(0, go, &c);
    return stage_answer(c.cookie)->err;
}

/* These have no answer: behind each goes an append to another topic, whose answer says that the
 * stream has come so far. */
static void settle(int who, call_t c) {
    c.topic = SLICE("t");
    stage_do(who, go, &c);
    call_t mark = {
        .what = 'a', .topic = SLICE("mark"), .event = SLICE(""), .cookie = stage_cookie()};
    stage_do(who, go, &mark);
    stage_answer(mark.cookie);
}

static void follow(int who, const char *group, int64_t offset, uint32_t window) {
    settle(who,
           (call_t){.what = 'f', .group = slice_of(group), .offset = offset, .window = window});
}
static void commit(int who, const char *group, int64_t offset) {
    settle(who, (call_t){.what = 'c', .group = slice_of(group), .offset = offset});
}

/* Event number i that came is that of this offset. */
static bool came(uint32_t i, int64_t offset) {
    char text[32];
    const stage_event_t *e = &stage->events[i];
    snprintf(text, sizeof text, "event %d", (int)offset);
    return e->key == (uint64_t)offset && e->cookie == (uint64_t)offset + 500 &&
           slice_eq((slice_t){e->body->data, e->body->len}, slice_of(text));
}

SPEC("gives events in order with offsets that rise by one, those before and those after the "
     "follow") {
    stage_new();
    CHECK(stream_up());
    for (int i = 0; i < 5; i++)
        CHECK_INT(append("t", i), ERR_OK);
    follow(0, "g", -1, 100);
    CHECK(stage_events(5));
    for (int i = 5; i < 10; i++)
        CHECK_INT(append("t", i), ERR_OK);
    CHECK(stage_events(10));
    for (uint32_t i = 0; i < 10; i++)
        CHECK(came(i, i));
    stream_down();
}

SPEC("topics do not mix") {
    stage_new();
    CHECK(stream_up());
    CHECK_INT(append("other", 0), ERR_OK);
    CHECK_INT(append("t", 0), ERR_OK);
    follow(0, "g", 0, 10);
    CHECK(stage_events(1));
    CHECK(came(0, 0));
    CHECK_INT(append("other", 1), ERR_OK);
    CHECK_INT(stage->event_count, 1);
    stream_down();
}

SPEC("no more than the window is under way uncommitted") {
    stage_new();
    CHECK(stream_up());
    for (int i = 0; i < 10; i++)
        CHECK_INT(append("t", i), ERR_OK);
    follow(0, "g", 0, 3);
    CHECK(stage_events(3));
    follow(1, "other", 0, 1); /* its event comes after all that the first may get */
    CHECK(stage_events(4));
    CHECK_INT(stage->event_count, 4);
    commit(0, "g", 1);
    CHECK(stage_events(6));
    CHECK_INT(stage->event_count, 6);
    CHECK(came(4, 3) && came(5, 4));
    commit(0, "g", 4);
    CHECK(stage_events(9));
    CHECK(came(8, 7));
    stream_down();
}

SPEC("a group goes on behind what it committed, another begins at the oldest") {
    stage_new();
    CHECK(stream_up());
    for (int i = 0; i < 6; i++)
        CHECK_INT(append("t", i), ERR_OK);
    follow(0, "g", -1, 4);
    CHECK(stage_events(4));
    commit(0, "g", 2);
    CHECK(stage_events(6)); /* 4 and 5 follow */
    follow(1, "g", -1, 1);
    CHECK(stage_events(7));
    CHECK(came(6, 3));
    follow(2, "new", -1, 1);
    CHECK(stage_events(8));
    CHECK(came(7, 0));
    stream_down();
}

SPEC("keeps the last events only; who is too late goes on at the oldest") {
    stage_new();
    stage_set("stream.max_events", "8");
    CHECK(stream_up());
    for (int i = 0; i < 100; i++)
        CHECK_INT(append("t", i), ERR_OK);
    follow(0, "g", 0, 100);
    CHECK(stage_events(8));
    CHECK(came(0, 92) && came(7, 99));
    stream_down();
}

SPEC("a follower that stands still loses events but not the order") {
    stage_new();
    stage_set("stream.max_events", "8");
    CHECK(stream_up());
    CHECK_INT(append("t", 0), ERR_OK);
    follow(0, "g", 0, 1);
    CHECK(stage_events(1));
    for (int i = 1; i < 50; i++)
        CHECK_INT(append("t", i), ERR_OK);
    commit(0, "g", 0);
    CHECK(stage_events(2));
    CHECK(came(0, 0));
    CHECK(stage->events[1].key >= 1);
    commit(0, "g", (int64_t)stage->events[1].key);
    CHECK(stage_events(3));
    CHECK(stage->events[2].key > stage->events[1].key);
    stream_down();
}

SPEC("a kind that is not known is refused by the name of its key") {
    stage_new();
    stage_set("stream.url", "kafka://x");
    CHECK(!stream_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault));
    CHECK(strstr(stage->fault, "stream.url") && strstr(stage->fault, "kafka://x"));
    stage_free();
}

int main(int argc, char **argv) {
    int status = 0;
    for (size_t i = 0; i < sizeof stream_urls / sizeof stream_urls[0]; i++) {
        stream_url = stream_urls[i];
        status |= spec_main(argc, argv);
    }
    return status;
}
