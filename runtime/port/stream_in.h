/* stream_in: what the front of stream and its back ends share: requests. Only stream*.c include it.
 */
#pragma once
#include "port/stream.h"

#define STREAM_NAME_MAX  512
#define STREAM_EVENT_MAX (1024 * 1024)

enum { STREAM_APPEND = MSG_USER, STREAM_FOLLOW, STREAM_COMMIT, STREAM_RETRY };
typedef struct stream_request { /* the data of each; behind it topic and group; body: the event */
    uint32_t topic_len, group_len;
    uint64_t key;
    int64_t offset;
    uint32_t window, verb;
} stream_request_t;
static inline slice_t stream_topic(const stream_request_t *r) {
    return (slice_t){(const char *)(r + 1), r->topic_len};
}
static inline slice_t stream_group(const stream_request_t *r) {
    return (slice_t){(const char *)(r + 1) + r->topic_len, r->group_len};
}

/* stream_memory.c: an actor that answers them all. */
actor_ref_t stream_memory(runtime_t *rt, const conf_t *conf);
