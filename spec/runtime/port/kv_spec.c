/* What kv.h promises, against every kind of kv. */
#include "port/kv.h"
#include "stage.h"

static const char *const kv_urls[] = {"memory:"};
static const char *kv_url;
static kv_t *kv;

static bool kv_up(void) {
    stage_set("kv.url", kv_url);
    kv = kv_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (kv)
        stage_start();
    return kv != NULL;
}

static void kv_down(void) {
    stage_stop();
    kv_close(kv);
    stage_free();
}

typedef struct call {
    char what;
    slice_t key, value;
    uint64_t ttl_ms, cookie;
    int64_t by;
    bool only_new;
} call_t;

static void go(actor_t *self, void *arg) {
    const call_t *c = arg;
    switch (c->what) {
    case 'g':
        kv_get(kv, self, c->key, STAGE_REPLY, c->cookie);
        break;
    case 's':
        kv_set(kv, self, c->key, c->value, c->ttl_ms, c->only_new, STAGE_REPLY, c->cookie);
        break;
    case 'i':
        kv_incr(kv, self, c->key, c->by, c->ttl_ms, STAGE_REPLY, c->cookie);
        break;
    case 'd':
        kv_del(kv, self, c->key, STAGE_REPLY, c->cookie);
        break;
    case 'p':
        kv_publish(kv, self, c->key, c->value);
        break;
    case 'u':
        kv_subscribe(kv, self, c->key, STAGE_EVENT);
        break;
    }
}

static stage_answer_t *call(call_t c) {
    c.cookie = stage_cookie();
    stage_do(0, go, &c);
    return stage_answer(c.cookie);
}

static void pause_a_bit(void) {
    nanosleep(&(struct timespec){0, 5000000}, NULL);
}

static stage_answer_t *get(const char *key) {
    return call((call_t){.what = 'g', .key = slice_of(key)});
}
static int set(const char *key, const char *value, uint64_t ttl_ms, bool only_new) {
    return call((call_t){.what = 's',
                         .key = slice_of(key),
                         .value = slice_of(value),
                         .ttl_ms = ttl_ms,
                         .only_new = only_new})
        ->err;
}
static stage_answer_t *incr(const char *key, int64_t by, uint64_t ttl_ms) {
    return call((call_t){.what = 'i', .key = slice_of(key), .by = by, .ttl_ms = ttl_ms});
}
static bool is(const char *key, const char *value) {
    stage_answer_t *a = get(key);
    return a->err == ERR_OK && a->body && slice_eq(stage_body(a), slice_of(value));
}
static bool absent(const char *key) {
    stage_answer_t *a = get(key);
    return a->err == ERR_OK && !a->body;
}

SPEC("gives what was set, nothing for what was not or was deleted") {
    stage_new();
    CHECK(kv_up());
    CHECK(absent("a"));
    CHECK_INT(set("a", "1", 0, false), ERR_OK);
    CHECK(is("a", "1"));
    CHECK_INT(set("a", "", 0, false), ERR_OK);
    CHECK(is("a", ""));
    CHECK_INT(call((call_t){.what = 'd', .key = SLICE("a")})->err, ERR_OK);
    CHECK(absent("a"));
    CHECK_INT(call((call_t){.what = 'd', .key = SLICE("a")})->err, ERR_OK);
    kv_down();
}

SPEC("only_new stores what is not there, and refuses what is") {
    stage_new();
    CHECK(kv_up());
    CHECK_INT(set("a", "1", 0, true), ERR_OK);
    CHECK_INT(set("a", "2", 0, true), ERR_EXISTS);
    CHECK(is("a", "1"));
    CHECK_INT(set("a", "2", 0, false), ERR_OK);
    CHECK(is("a", "2"));
    kv_down();
}

SPEC("an entry is gone when its life is over, and may be made anew") {
    stage_new();
    CHECK(kv_up());
    CHECK_INT(set("short", "1", 30, false), ERR_OK);
    CHECK_INT(set("long", "1", 3600000, false), ERR_OK);
    while (!absent("short"))
        pause_a_bit();
    CHECK(is("long", "1"));
    CHECK_INT(set("short", "2", 0, true), ERR_OK);
    CHECK(is("short", "2"));
    kv_down();
}

SPEC("counts, and a counter's life begins when it is made") {
    stage_new();
    CHECK(kv_up());
    enum { LIFE_MS = 60 };
    stage_answer_t *a;
    uint64_t made;
    do { /* until both fell into half of its life, on a busy machine, too */
        CHECK_INT(call((call_t){.what = 'd', .key = SLICE("n")})->err, ERR_OK);
        made = clock_mono_ns();
        a = incr("n", 5, LIFE_MS);
        CHECK_TEXT(stage_body(a).at, stage_body(a).len, "5");
        a = incr("n", -7, 3600000); /* does not make it longer */
    } while (clock_mono_ns() - made >= LIFE_MS * 500000);
    CHECK_TEXT(stage_body(a).at, stage_body(a).len, "-2");
    CHECK_INT(set("text", "abc", 0, false), ERR_OK);
    CHECK_INT(incr("text", 1, 0)->err, ERR_BAD_REQUEST);
    CHECK_INT(set("most", "9223372036854775807", 0, false), ERR_OK);
    CHECK_INT(incr("most", 1, 0)->err, ERR_BAD_REQUEST);
    while (!absent("n"))
        pause_a_bit();
    a = incr("n", 1, 0);
    CHECK_TEXT(stage_body(a).at, stage_body(a).len, "1");
    kv_down();
}

SPEC("is full at its limit, until something goes") {
    char key[32];
    stage_new();
    stage_set("kv.max_entries", "20");
    CHECK(kv_up());
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_INT(set(key, "v", 0, false), ERR_OK);
    }
    CHECK_INT(set("one more", "v", 0, false), ERR_FULL);
    CHECK_INT(incr("count", 1, 0)->err, ERR_FULL);
    CHECK_INT(set("k3", "w", 0, false), ERR_OK);
    CHECK_INT(call((call_t){.what = 'd', .key = SLICE("k3")})->err, ERR_OK);
    CHECK_INT(set("one more", "v", 0, false), ERR_OK);
    kv_down();
}

SPEC("makes room by what is past its life") {
    char key[32];
    stage_new();
    stage_set("kv.max_entries", "20");
    CHECK(kv_up());
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_INT(set(key, "v", 20, false), ERR_OK);
    }
    while (set("new", "v", 0, false) != ERR_OK)
        pause_a_bit();
    CHECK(is("new", "v"));
    kv_down();
}

SPEC("holds thousands of keys apart") {
    char key[32], value[32];
    stage_new();
    CHECK(kv_up());
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        snprintf(value, sizeof value, "value-%d", i);
        CHECK_INT(set(key, value, 0, true), ERR_OK);
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        snprintf(value, sizeof value, "value-%d", i);
        CHECK(is(key, value));
    }
    kv_down();
}

SPEC("refuses keys and values that are too long") {
    static char big[65 * 1024];
    memset(big, 'x', sizeof big);
    stage_new();
    CHECK(kv_up());
    CHECK_INT(call((call_t){.what = 'g', .key = {big, 513}})->err, ERR_TOO_LARGE);
    CHECK_INT(call((call_t){.what = 'g', .key = {big, 512}})->err, ERR_OK);
    CHECK_INT(call((call_t){.what = 's', .key = SLICE("a"), .value = {big, sizeof big}})->err,
              ERR_TOO_LARGE);
    kv_down();
}

SPEC("a notice reaches the subscribers of its channel only") {
    stage_new();
    CHECK(kv_up());
    call_t subscribe = {.what = 'u', .key = SLICE("news")};
    call_t other = {.what = 'p', .key = SLICE("olds"), .value = SLICE("no")};
    call_t publish = {.what = 'p', .key = SLICE("news"), .value = SLICE("yes")};
    stage_do(0, go, &subscribe);
    stage_do(0, go, &other);
    stage_do(0, go, &publish);
    CHECK(stage_events(1));
    CHECK_TEXT(stage->events[0].body->data, stage->events[0].body->len, "yes");
    CHECK(absent("news")); /* behind the publish: nothing else came */
    CHECK_INT(stage->event_count, 1);
    kv_down();
}

SPEC("a kind that is not known is refused by the name of its key") {
    stage_new();
    stage_set("kv.url", "redis://x");
    CHECK(!kv_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault));
    CHECK(strstr(stage->fault, "kv.url") && strstr(stage->fault, "redis://x"));
    stage_free();
}

int main(int argc, char **argv) {
    int status = 0;
    for (size_t i = 0; i < sizeof kv_urls / sizeof kv_urls[0]; i++) {
        kv_url = kv_urls[i];
        status |= spec_main(argc, argv);
    }
    return status;
}
