/* hash: the keyed hash (SipHash-1-3 for bytes, a keyed multiply-fold for integers), and the map.
 * See hash.h. */
#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>

static uint64_t seed[4];

/* Before main, so that no first use races with another. */
__attribute__((constructor)) static void start(void) {
    size_t got = 0;
    while (got < sizeof seed) {
        ssize_t n = getrandom((char *)seed + got, sizeof seed - got, 0);
        if (n < 0 && errno != EINTR)
            log_die("hash", "getrandom: %s", strerror(errno));
        got += n > 0 ? (size_t)n : 0;
    }
    seed[2] |= 1;
    seed[3] |= 1;
}

void hash_seed(uint64_t from) {
    for (int i = 0; i < 4; i++)
        seed[i] = (from + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u | (i >= 2);
}

static inline uint64_t rotate(uint64_t x, int n) {
    return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

uint64_t hash_bytes(const void *at, size_t len) {
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    const char *p = at;
    uint64_t word, last = (uint64_t)len << 56;
    size_t left = len;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)(uint8_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 x = (unsigned __int128)a * b;
    return (uint64_t)x ^ (uint64_t)(x >> 64);
}

uint64_t hash_u64(uint64_t x) {
    return fold(fold(x ^ seed[0], seed[2]) ^ seed[1], seed[3]);
}

/* --- map: linear probing; a deletion moves the entries behind it back, so there are no graves ---
 */

#define MAP_MIN 8u

/* Entries are key then value, key 0 = free; the entry of key 0 itself stands outside of the table.
 */
struct map {
    char *table, *zero;
    size_t value_size, stride;
    size_t cap, count; /* cap: power of two or 0; count: with the entry of key 0 */
    bool visiting;     /* map_each is under way: no shrinking */
};

map_t *map_new(size_t value_size) {
    map_t *m = pool_zalloc(sizeof *m);
    m->value_size = value_size;
    m->stride = 8 + (value_size + 7) / 8 * 8;
    return m;
}

void map_free(map_t *m) {
    if (!m)
        return;
    pool_free(m->table, m->cap * m->stride);
    pool_free(m->zero, m->stride);
    pool_free(m, sizeof *m);
}

static uint64_t *entry(const map_t *m, size_t i) {
    return (uint64_t *)(m->table + i * m->stride);
}

static void *value_of(uint64_t *e) {
    return e + 1;
}

/* The entry of key, or the free one where it would stand. The table is never full. */
static size_t find(const map_t *m, uint64_t key) {
    size_t i = hash_u64(key) & (m->cap - 1);
    while (*entry(m, i) != 0 && *entry(m, i) != key)
        i = (i + 1) & (m->cap - 1);
    return i;
}

static void resize(map_t *m, size_t cap) {
    map_t old = *m;
    m->cap = cap;
    m->table = pool_zalloc(cap * m->stride);
    for (size_t i = 0; i < old.cap; i++) {
        uint64_t *e = entry(&old, i);
        if (*e)
            memcpy(entry(m, find(m, *e)), e, m->stride);
    }
    pool_free(old.table, old.cap * old.stride);
}

void *map_get(const map_t *m, uint64_t key) {
    if (key == 0)
        return m->zero ? value_of((uint64_t *)m->zero) : NULL;
    if (m->cap == 0)
        return NULL;
    uint64_t *e = entry(m, find(m, key));
    return *e ? value_of(e) : NULL;
}

void *map_put(map_t *m, uint64_t key, bool *fresh) {
    void *value = map_get(m, key);
    if (fresh)
        *fresh = !value;
    if (value)
        return value;
    m->count++;
    if (key == 0) {
        m->zero = pool_zalloc(m->stride);
        return value_of((uint64_t *)m->zero);
    }
    if (m->count * 4 > m->cap * 3)
        resize(m, m->cap ? m->cap * 2 : MAP_MIN);
    uint64_t *e = entry(m, find(m, key));
    *e = key;
    return value_of(e);
}

/* Closes the gap at i: an entry further on moves in if its home does not lie between the gap and
 * itself. */
static void close_gap(map_t *m, size_t i) {
    size_t mask = m->cap - 1;
    for (size_t k = (i + 1) & mask; *entry(m, k); k = (k + 1) & mask) {
        size_t home = hash_u64(*entry(m, k)) & mask;
        if (((k - home) & mask) < ((k - i) & mask))
            continue;
        memcpy(entry(m, i), entry(m, k), m->stride);
        i = k;
    }
    memset(entry(m, i), 0, m->stride);
}

bool map_del(map_t *m, uint64_t key) {
    if (!map_get(m, key))
        return false;
    m->count--;
    if (key == 0) {
        pool_free(m->zero, m->stride);
        m->zero = NULL;
        return true;
    }
    close_gap(m, find(m, key));
    if (!m->visiting && m->cap > MAP_MIN && m->count * 8 < m->cap)
        resize(m, m->cap / 2);
    return true;
}

size_t map_count(const map_t *m) {
    return m->count;
}

/* Starts behind a free entry: no run of entries then crosses the starting point, so what a deletion
 * moves back always comes from ahead and is still visited, once. */
void map_each(map_t *m, void (*visit)(void *arg, uint64_t key, void *value), void *arg) {
    if (m->zero)
        visit(arg, 0, value_of((uint64_t *)m->zero));
    if (m->cap == 0)
        return;
    size_t start = 0, mask = m->cap - 1;
    while (*entry(m, start))
        start++;
    m->visiting = true;
    for (size_t n = 1; n < m->cap;) {
        uint64_t *e = entry(m, (start + n) & mask), key = *e;
        size_t before = m->count;
        if (key)
            visit(arg, key, value_of(e));
        if (m->count == before) /* else another may have moved in here */
            n++;
    }
    m->visiting = false;
}
