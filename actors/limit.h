/* limit: the token buckets (base/bucket.h) of users and addresses: a shared table with a cap;
 * beyond it strangers share buckets, so a flood of addresses costs no memory and opens no door. Any
 * thread. */
#pragma once
#include "base/conf.h"

typedef struct limit limit_t;
typedef enum limit_kind { LIMIT_USER, LIMIT_ADDR, LIMIT_AUTH, LIMIT_HANDSHAKE } limit_kind_t;

limit_t *limit_new(size_t max_entries);
void limit_free(limit_t *l);
/* Takes one from the bucket of (kind, key): 0, or the milliseconds until there is one again (at
 * least 1). */
uint32_t limit_take(limit_t *l, limit_kind_t kind, uint64_t key, conf_rate_t rate, uint64_t now_ns);
/* Forgets full buckets. */
void limit_sweep(limit_t *l, uint64_t now_ns);
size_t limit_count(const limit_t *l);
