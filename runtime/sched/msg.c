/* msg: see msg.h. Any thread. */
#include "sched/msg.h"
#include "base/pool.h"
#include <assert.h>

__attribute__((flatten)) msg_t *msg_new(uint32_t verb, size_t size) {
    assert(size <= UINT32_MAX);
    msg_t *m = pool_alloc(sizeof(msg_t) + size);
    /* One by one: for a memset of this size gcc writes `rep stos`, which takes 10 ns. */
    m->next = m->prev = NULL;
    m->to = m->from = ACTOR_NONE;
    m->verb = verb;
    m->call_id = 0;
    m->err = 0;
    m->flags = m->trace = 0;
    m->cookie = m->deadline_ns = m->key = 0;
    m->body = NULL;
    m->drop = NULL;
    m->size = (uint32_t)size;
    m->spare = 0;
    return m;
}

msg_t *msg_of(uint32_t verb, const void *data, size_t size) {
    msg_t *m = msg_new(verb, size);
    if (size)
        memcpy(m->data, data, size);
    return m;
}

/* Out of line, so that a plain message saves no registers. */
static __attribute__((noinline)) void free_all(msg_t *m) {
    if (m->drop)
        m->drop(m);
    block_unref(m->body);
    pool_free(m, sizeof(msg_t) + m->size);
}

__attribute__((flatten)) void msg_free(msg_t *m) {
    if (!m)
        return;
    if (m->drop || m->body)
        free_all(m);
    else
        pool_free(m, sizeof(msg_t) + m->size);
}

void *msg_data_check(msg_t *m, size_t size) {
    assert(m->size >= size);
    return m->data;
}
