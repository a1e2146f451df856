/* Token buckets. */
#include "base/bucket.h"
#include "spec/spec.h"

#define MS 1000000ull
static const conf_rate_t rate = {50, 100};

SPEC("lets the burst through, then tells how long to wait") {
    uint64_t b = 0;
    for (int i = 0; i < 100; i++)
        CHECK_INT(bucket_take(&b, rate, 1000 * MS), 0);
    CHECK_INT(bucket_take(&b, rate, 1000 * MS), 20);
    CHECK_INT(bucket_take(&b, rate, 1020 * MS), 0);
    CHECK_INT(bucket_take(&b, rate, 1021 * MS), 19);
}
SPEC("is full again after burst / rate, not fuller") {
    uint64_t b = 0;
    for (int i = 0; i < 100; i++)
        bucket_take(&b, rate, 1000 * MS);
    int passed = 0;
    for (int i = 0; i < 200; i++)
        passed += bucket_take(&b, rate, 100000 * MS) == 0;
    CHECK_INT(passed, 100);
}
SPEC("a rate of 0 is no limit") {
    uint64_t b = 0;
    conf_rate_t off = {0, 0};
    for (int i = 0; i < 100000; i++)
        CHECK_INT(bucket_take(&b, off, 5), 0);
}
SPEC_MAIN
