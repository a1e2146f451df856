/* Token buckets. */
#include "actors/limit.h"
#include "spec/spec.h"

#define MS 1000000ull
static const conf_rate_t rate = {50, 100};

SPEC("lets the burst through, then tells how long to wait") {
    uint64_t b = 0;
    for (int i = 0; i < 100; i++)
        CHECK_INT(limit_bucket(&b, rate, 1000 * MS), 0);
    CHECK_INT(limit_bucket(&b, rate, 1000 * MS), 20);
    CHECK_INT(limit_bucket(&b, rate, 1020 * MS), 0);
    CHECK_INT(limit_bucket(&b, rate, 1021 * MS), 19);
}
SPEC("is full again after burst / rate, not fuller") {
    uint64_t b = 0;
    for (int i = 0; i < 100; i++)
        limit_bucket(&b, rate, 1000 * MS);
    int passed = 0;
    for (int i = 0; i < 200; i++)
        passed += limit_bucket(&b, rate, 100000 * MS) == 0;
    CHECK_INT(passed, 100);
}
SPEC("a rate of 0 is no limit") {
    uint64_t b = 0;
    conf_rate_t off = {0, 0};
    for (int i = 0; i < 100000; i++)
        CHECK_INT(limit_bucket(&b, off, 5), 0);
}
SPEC("counts each kind and key apart") {
    limit_t *l = limit_new(100);
    conf_rate_t one = {1, 1};
    CHECK_INT(limit_take(l, LIMIT_USER, 7, one, 1000 * MS), 0);
    CHECK(limit_take(l, LIMIT_USER, 7, one, 1000 * MS) > 0);
    CHECK_INT(limit_take(l, LIMIT_ADDR, 7, one, 1000 * MS), 0);
    CHECK_INT(limit_take(l, LIMIT_USER, 8, one, 1000 * MS), 0);
    limit_free(l);
}
SPEC("stays within its table under a flood of keys, and still limits") {
    limit_t *l = limit_new(10);
    conf_rate_t one = {1, 1};
    int passed = 0;
    for (uint64_t k = 0; k < 100000; k++)
        passed += limit_take(l, LIMIT_ADDR, k, one, 1000 * MS) == 0;
    CHECK_INT(limit_count(l), 10);
    CHECK(passed <= 10 + 1024);
    limit_sweep(l, 10000 * MS);
    CHECK_INT(limit_count(l), 0);
    limit_free(l);
}
SPEC_MAIN
