/* kv: small shared facts that may be lost: counters with a life, caches, notices. memory: here,
 * redis:// later, behind the same contract spec. It answers by message like every port. At most
 * kv.max_entries live; beyond it a new key is ERR_FULL. */
#pragma once
#include "base/conf.h"
#include "sched/runtime.h"

typedef struct kv kv_t;
kv_t *kv_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room);
void kv_close(kv_t *kv);
/* Replies: err, data in body. ttl_ms 0 = for ever (within the process). Keys and values at most 512
 * B and 64 KiB. */
void kv_get(kv_t *kv, actor_t *self, slice_t key, uint32_t reply_verb,
            uint64_t cookie); /* body NULL: absent */
void kv_set(kv_t *kv, actor_t *self, slice_t key, slice_t value, uint64_t ttl_ms, bool only_new,
            uint32_t reply_verb, uint64_t cookie); /* only_new and there: ERR_EXISTS */
/* Adds and sets the life if it made the key; body is the decimal result. */
void kv_incr(kv_t *kv, actor_t *self, slice_t key, int64_t by, uint64_t ttl_ms, uint32_t reply_verb,
             uint64_t cookie);
void kv_del(kv_t *kv, actor_t *self, slice_t key, uint32_t reply_verb, uint64_t cookie);
/* Every subscriber of the channel gets a message of its verb with the text as body. At most once.
 */
void kv_publish(kv_t *kv, actor_t *self, slice_t channel, slice_t text);
void kv_subscribe(kv_t *kv, actor_t *self, slice_t channel, uint32_t verb);
