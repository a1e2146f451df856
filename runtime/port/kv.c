/* kv: see kv.h. The front: opens the back end of the URL and makes requests of calls. */
#include "port/kv.h"
#include "base/err.h"
#include "base/pool.h"
#include "port/kind.h"
#include "port/kv_in.h"

struct kv {
    actor_ref_t ref;
};

static const port_kind_t kinds[] = {{"memory:", kv_memory}};

kv_t *kv_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room) {
    actor_ref_t ref =
        port_open(rt, conf, "kv.url", kinds, sizeof kinds / sizeof kinds[0], fault, room);
    if (actor_ref_eq(ref, ACTOR_NONE))
        return NULL;
    kv_t *kv = pool_zalloc(sizeof *kv);
    kv->ref = ref;
    return kv;
}

void kv_close(kv_t *kv) {
    pool_free(kv, kv ? sizeof *kv : 0);
}

static msg_t *message(uint32_t verb, const kv_request_t *r, slice_t key, slice_t value) {
    msg_t *m = msg_new(verb, sizeof *r + key.len + value.len);
    kv_request_t *head = msg_data(m, kv_request_t);
    *head = *r;
    head->key_len = (uint32_t)key.len;
    head->value_len = (uint32_t)value.len;
    if (key.len)
        memcpy(head + 1, key.at, key.len);
    if (value.len)
        memcpy((char *)(head + 1) + key.len, value.at, value.len);
    return m;
}

static void ask(kv_t *kv, actor_t *self, uint32_t verb, const kv_request_t *r, slice_t key,
                slice_t value, uint32_t reply_verb, uint64_t cookie) {
    if (key.len > KV_KEY_MAX || value.len > KV_VALUE_MAX)
        actor_refuse(self, ERR_TOO_LARGE, reply_verb, cookie);
    else
        actor_request(self, kv->ref, message(verb, r, key, value), 0, reply_verb, cookie);
}

void kv_get(kv_t *kv, actor_t *self, slice_t key, uint32_t reply_verb, uint64_t cookie) {
    ask(kv, self, KV_GET, &(kv_request_t){0}, key, SLICE(""), reply_verb, cookie);
}

void kv_set(kv_t *kv, actor_t *self, slice_t key, slice_t value, uint64_t ttl_ms, bool only_new,
            uint32_t reply_verb, uint64_t cookie) {
    kv_request_t r = {.ttl_ms = ttl_ms, .only_new = only_new};
    ask(kv, self, KV_SET, &r, key, value, reply_verb, cookie);
}

void kv_incr(kv_t *kv, actor_t *self, slice_t key, int64_t by, uint64_t ttl_ms, uint32_t reply_verb,
             uint64_t cookie) {
    kv_request_t r = {.ttl_ms = ttl_ms, .by = by};
    ask(kv, self, KV_INCR, &r, key, SLICE(""), reply_verb, cookie);
}

void kv_del(kv_t *kv, actor_t *self, slice_t key, uint32_t reply_verb, uint64_t cookie) {
    ask(kv, self, KV_DEL, &(kv_request_t){0}, key, SLICE(""), reply_verb, cookie);
}

/* Too long ones are dropped: at most once allows it. */
void kv_publish(kv_t *kv, actor_t *self, slice_t channel, slice_t text) {
    if (channel.len <= KV_KEY_MAX && text.len <= KV_VALUE_MAX)
        actor_send(self, kv->ref, message(KV_PUBLISH, &(kv_request_t){0}, channel, text));
}

void kv_subscribe(kv_t *kv, actor_t *self, slice_t channel, uint32_t verb) {
    kv_request_t r = {.verb = verb};
    if (channel.len <= KV_KEY_MAX)
        actor_send(self, kv->ref, message(KV_SUBSCRIBE, &r, channel, SLICE("")));
}
