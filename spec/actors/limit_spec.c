/* Token buckets of users and addresses. */
#include "actors/limit.h"
#include "spec/spec.h"

#define MS 1000000ull

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
