/* stat: counters of the process. */
#include "base/stat.h"
#include "spec/spec.h"
#include <pthread.h>

static void *count(void *arg) {
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        stat_add(STAT_BUSY, 1);
        stat_add(STAT_QUEUE_BYTES, i % 2 ? -5 : 10);
        stat_observe(HIST_HTTP, 70);
    }
    return NULL;
}

SPEC("adds up all threads, the ended ones included") {
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, count, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    count(NULL);
    CHECK_INT(stat_read(STAT_BUSY), 4000);
    CHECK_INT(stat_read(STAT_QUEUE_BYTES), 4 * 2500);
    CHECK_INT(stat_read(STAT_RESENDS), 0);
    uint64_t bucket[HIST_BUCKETS], n, sum;
    stat_hist_read(HIST_HTTP, bucket, &n, &sum);
    CHECK_INT(n, 4000);
    CHECK_INT(sum, 280000);
    CHECK_INT(bucket[1], 4000);
}

SPEC("puts a value in the first bucket that holds it") {
    uint64_t bucket[HIST_BUCKETS], n, sum;
    stat_observe(HIST_PUSH, 0);
    stat_observe(HIST_PUSH, 50);
    stat_observe(HIST_PUSH, 51);
    stat_observe(HIST_PUSH, 60000000);
    stat_observe(HIST_PUSH, 60000001);
    stat_hist_read(HIST_PUSH, bucket, &n, &sum);
    CHECK_INT(n, 5);
    CHECK_INT(bucket[0], 2);
    CHECK_INT(bucket[1], 1);
    CHECK_INT(bucket[HIST_BUCKETS - 2], 1);
    CHECK_INT(bucket[HIST_BUCKETS - 1], 1);
}

SPEC("keeps entries of one name together") {
    static const char *const names[] = {
#define COUNTER(id, name, label, help) name,
#define GAUGE(id, name, help)          name,
#define HISTOGRAM(id, name, help)      name,
#include "base/stat_names.def"
    };
    size_t count_names = sizeof names / sizeof *names;
    for (size_t i = 1; i < count_names; i++)
        for (size_t k = 0; k + 1 < i; k++)
            CHECK(strcmp(names[i], names[i - 1]) == 0 || strcmp(names[i], names[k]) != 0);
}

SPEC_MAIN
