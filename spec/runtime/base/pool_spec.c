/* pool: memory with a cache per thread. */
#include "base/pool.h"
#include "spec/spec.h"
#include <pthread.h>

static uint64_t used(void) {
    uint64_t u, c;
    pool_usage(&u, &c);
    return u;
}

static uint64_t held(void) {
    uint64_t u, c;
    pool_usage(&u, &c);
    return c;
}

SPEC("gives aligned memory of every size that does not overlap") {
    enum { N = 2000 };
    static unsigned char *p[N];
    for (size_t i = 0; i < N; i++) {
        size_t size = i * 41;
        p[i] = pool_alloc(size);
        CHECK(((uintptr_t)p[i] & 15) == 0);
        memset(p[i], (int)(i & 255), size);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < i * 41; k += 13)
            CHECK(p[i][k] == (i & 255));
        pool_free(p[i], i * 41);
    }
}

SPEC("gives zeroed memory when asked, also where it was used before") {
    for (int round = 0; round < 200; round++) {
        char *p = pool_zalloc(300);
        for (int i = 0; i < 300; i++)
            CHECK(p[i] == 0);
        memset(p, 7, 300);
        pool_free(p, 300);
    }
}

SPEC("takes NULL") {
    pool_free(NULL, 10);
}

SPEC("accounts for what is handed out") {
    uint64_t before = used();
    void *small = pool_alloc(1000), *big = pool_alloc(10 * POOL_MAX);
    CHECK(used() - before >= 1000 + 10 * POOL_MAX);
    CHECK(used() - before < 1100 + 10 * POOL_MAX);
    pool_free(small, 1000);
    pool_free(big, 10 * POOL_MAX);
    CHECK_INT(used(), before);
}

enum { HANDOVERS = 20000 };
static void *handed[HANDOVERS];

static void *make_all(void *size) {
    for (int i = 0; i < HANDOVERS; i++)
        memset(handed[i] = pool_alloc((size_t)size), 1, (size_t)size);
    return NULL;
}

static void *free_all(void *size) {
    for (int i = 0; i < HANDOVERS; i++)
        pool_free(handed[i], (size_t)size);
    return NULL;
}

static void in_thread(void *(*run)(void *), size_t size) {
    pthread_t t;
    pthread_create(&t, NULL, run, (void *)size);
    pthread_join(t, NULL);
}

SPEC("takes memory back from another thread and uses it again") {
    uint64_t before = used();
    in_thread(make_all, 200);
    in_thread(free_all, 200);
    uint64_t kept = held();
    for (int round = 0; round < 5; round++) {
        in_thread(make_all, 200);
        in_thread(free_all, 200);
    }
    CHECK_INT(used(), before);
    CHECK_INT(held(), kept); /* ended threads hold nothing back */
}

SPEC("does not hoard large pieces") {
    for (int round = 0; round < 3; round++) {
        in_thread(make_all, 4000);
        in_thread(free_all, 4000);
    }
    CHECK(held() < 32 * 1024 * 1024);
}

static void *churn(void *seed) {
    enum { LIVE = 256 };
    void *p[LIVE] = {0};
    size_t size[LIVE] = {0};
    uint32_t r = (uint32_t)(size_t)seed;
    for (int i = 0; i < 100000; i++) {
        r = r * 1664525 + 1013904223;
        uint32_t at = r >> 24;
        pool_free(p[at], size[at]);
        size[at] = (r >> 8) % 3000;
        memset(p[at] = pool_alloc(size[at]), (int)at, size[at]);
    }
    for (int i = 0; i < LIVE; i++)
        pool_free(p[i], size[i]);
    return NULL;
}

SPEC("serves many threads at once") {
    uint64_t before = used();
    pthread_t t[4];
    for (size_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, churn, (void *)(i + 1));
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK_INT(used(), before);
}

SPEC_MAIN
