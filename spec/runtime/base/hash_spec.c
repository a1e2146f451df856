/* hash: hashing, the map and the shared map. */
#include "base/hash.h"
#include "spec/spec.h"
#include <pthread.h>

SPEC("hashes equal bytes alike and different ones apart") {
    char a[] = "the same text", b[] = "the same text";
    CHECK(hash_bytes(a, 13) == hash_bytes(b, 13));
    for (size_t len = 0; len < 13; len++)
        CHECK(hash_bytes(a, len) != hash_bytes(a, len + 1));
    b[12] ^= 1;
    CHECK(hash_bytes(a, 13) != hash_bytes(b, 13));
    CHECK(hash_u64(1) != hash_u64(2));
}

SPEC("spreads counted keys over all low and all high bits") {
    int low[64] = {0}, high[64] = {0};
    for (uint64_t i = 0; i < 6400; i++) {
        low[hash_u64(i) & 63]++;
        high[hash_u64(i << 32) >> 58]++;
    }
    for (int i = 0; i < 64; i++) {
        CHECK(low[i] > 40 && low[i] < 200);
        CHECK(high[i] > 40 && high[i] < 200);
    }
}

SPEC("finds what was put, zeroed when new") {
    map_t *m = map_new(12);
    bool fresh;
    for (uint64_t k = 0; k < 5000; k++) {
        char *v = map_put(m, k * 1000003, &fresh);
        CHECK(fresh);
        CHECK(v[0] == 0 && v[11] == 0);
        memcpy(v, &k, 8);
    }
    CHECK_INT(map_count(m), 5000);
    for (uint64_t k = 0; k < 5000; k++)
        CHECK(memcmp(map_get(m, k * 1000003), &k, 8) == 0);
    map_put(m, 1000003, &fresh);
    CHECK(!fresh);
    CHECK(map_get(m, 17) == NULL);
    map_free(m);
    map_free(NULL);
}

SPEC("agrees with a plain table over random puts and deletions") {
    enum { KEYS = 512 };
    int want[KEYS] = {0};
    size_t count = 0;
    uint32_t r = 12345;
    map_t *m = map_new(sizeof(int));
    for (int i = 1; i < 200000; i++) {
        r = r * 1664525 + 1013904223;
        uint32_t k = (r >> 12) % KEYS;
        bool more = (i / 4000) % 2 == 0; /* grows and shrinks in turn */
        if (more ? (r & 3) != 0 : (r & 3) == 0) {
            count += want[k] == 0;
            *(int *)map_put(m, k, NULL) = want[k] = i;
        } else {
            CHECK(map_del(m, k) == (want[k] != 0));
            count -= want[k] != 0;
            want[k] = 0;
        }
        CHECK_INT(map_count(m), count);
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        int *v = map_get(m, k);
        CHECK_INT(v ? *v : 0, want[k]);
    }
    map_free(m);
}

struct visits {
    map_t *m;
    int seen[3000], total;
    bool drop_odd;
};

static void visit(void *arg, uint64_t key, void *value) {
    struct visits *v = arg;
    (void)value;
    v->seen[key]++;
    v->total++;
    if (v->drop_odd && key % 2)
        map_del(v->m, key);
}

SPEC("visits each entry once, also when the visitor deletes it") {
    static struct visits v;
    memset(&v, 0, sizeof v);
    v.m = map_new(4);
    v.drop_odd = true;
    for (uint64_t k = 0; k < 3000; k++)
        map_put(v.m, k, NULL);
    map_each(v.m, visit, &v);
    CHECK_INT(v.total, 3000);
    for (int k = 0; k < 3000; k++)
        CHECK_INT(v.seen[k], 1);
    CHECK_INT(map_count(v.m), 1500);
    CHECK(map_get(v.m, 7) == NULL);
    CHECK(map_get(v.m, 8) != NULL);
    map_free(v.m);
}

static shared_verdict_t add_one(void *arg, void *value) {
    int *n = value;
    if (arg)
        *(bool *)arg = n != NULL;
    if (n)
        ++*n;
    return SHARED_KEEP;
}

static shared_verdict_t drop(void *arg, void *value) {
    *(int *)arg = value ? *(int *)value : -1;
    return SHARED_DROP;
}

SPEC("makes, changes and drops shared entries") {
    shared_map_t *m = shared_map_new(sizeof(int), 10);
    bool there = true;
    CHECK(shared_map_with(m, 5, false, add_one, &there));
    CHECK(!there);
    for (int i = 0; i < 3; i++)
        CHECK(shared_map_with(m, 5, true, add_one, NULL));
    int last = 0;
    CHECK(shared_map_with(m, 5, false, drop, &last));
    CHECK_INT(last, 3);
    CHECK_INT(shared_map_count(m), 0);
    CHECK(shared_map_with(m, 5, false, drop, &last));
    CHECK_INT(last, -1);
    CHECK_INT(shared_map_count(m), 0);
    shared_map_free(m);
}

SPEC("refuses a new shared entry at the limit and keeps the others") {
    shared_map_t *m = shared_map_new(sizeof(int), 3);
    for (uint64_t k = 0; k < 3; k++)
        CHECK(shared_map_with(m, k, true, add_one, NULL));
    CHECK(!shared_map_with(m, 3, true, add_one, NULL));
    CHECK(shared_map_with(m, 2, true, add_one, NULL));
    int last;
    shared_map_with(m, 0, false, drop, &last);
    CHECK(shared_map_with(m, 3, true, add_one, NULL));
    CHECK_INT(shared_map_count(m), 3);
    shared_map_free(m);
}

static shared_verdict_t sweep(void *arg, uint64_t key, void *value) {
    (void)value;
    ++*(int *)arg;
    return key % 2 ? SHARED_DROP : SHARED_KEEP;
}

static void *adder(void *m) {
    for (uint64_t i = 0; i < 20000; i++)
        shared_map_with(m, i % 100, true, add_one, NULL);
    return NULL;
}

SPEC("loses nothing between threads and sweeps") {
    shared_map_t *m = shared_map_new(sizeof(int), 1000);
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, adder, m);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    CHECK_INT(shared_map_count(m), 100);
    int seen = 0, last;
    shared_map_each(m, sweep, &seen);
    CHECK_INT(seen, 100);
    CHECK_INT(shared_map_count(m), 50);
    shared_map_with(m, 42, false, drop, &last);
    CHECK_INT(last, 600);
    shared_map_free(m);
}

SPEC_MAIN
