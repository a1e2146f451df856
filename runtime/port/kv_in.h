/* kv_in: what the front of kv and its back ends share: requests. Only kv*.c include it. */
#pragma once
#include "port/kv.h"

#define KV_KEY_MAX   512
#define KV_VALUE_MAX (64 * 1024)

enum { KV_GET = MSG_USER, KV_SET, KV_INCR, KV_DEL, KV_PUBLISH, KV_SUBSCRIBE, KV_SWEEP };
typedef struct kv_request { /* the data of each; behind it the key (or channel), then the value */
    uint32_t key_len, value_len;
    uint64_t ttl_ms;
    int64_t by;
    uint32_t verb;
    bool only_new;
} kv_request_t;
static inline slice_t kv_key(const kv_request_t *r) {
    return (slice_t){(const char *)(r + 1), r->key_len};
}
static inline slice_t kv_value(const kv_request_t *r) {
    return (slice_t){(const char *)(r + 1) + r->key_len, r->value_len};
}

/* kv_memory.c: an actor that answers them all. */
actor_ref_t kv_memory(runtime_t *rt, const conf_t *conf);
