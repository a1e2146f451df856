/* hash: a fast keyed hash, an open-addressing map from 64-bit keys to values of one size (one
 * owner, no lock), and the same map in lock stripes for the few tables that all workers share (who
 * is online, revoked logins, rate buckets). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *at,
                    size_t len); /* seeded per process at first use: safe against chosen keys */
uint64_t hash_u64(uint64_t x);
/* For the deterministic mode: the same hashes in each process. Before any map is made. */
void hash_seed(uint64_t seed);

typedef struct map map_t;
map_t *map_new(size_t value_size);
void map_free(map_t *m);
void *map_get(const map_t *m, uint64_t key); /* NULL if absent; valid until the next put or del */
void *map_put(map_t *m, uint64_t key, bool *fresh); /* finds or makes (zeroed) */
bool map_del(map_t *m, uint64_t key);
size_t map_count(const map_t *m);
/* Visits all; del of the visited key is allowed inside. */
void map_each(map_t *m, void (*visit)(void *arg, uint64_t key, void *value), void *arg);

/* Shared map: 64 stripes, each a mutex and a map. The callback runs under the stripe's lock: short,
 * no calls out. */
typedef struct shared_map shared_map_t;
typedef enum shared_verdict { SHARED_KEEP, SHARED_DROP } shared_verdict_t;
shared_map_t *shared_map_new(size_t value_size, size_t max_entries);
void shared_map_free(shared_map_t *m);
/* Calls visit with the value (made zeroed if absent and create is set; value NULL if absent and not
 * create). SHARED_DROP removes the entry. false = the map is at its limit and the entry was not
 * made. */
bool shared_map_with(shared_map_t *m, uint64_t key, bool create,
                     shared_verdict_t (*visit)(void *arg, void *value), void *arg);
/* Visits every entry stripe by stripe (sweeps). */
void shared_map_each(shared_map_t *m,
                     shared_verdict_t (*visit)(void *arg, uint64_t key, void *value), void *arg);
size_t shared_map_count(const shared_map_t *m);
