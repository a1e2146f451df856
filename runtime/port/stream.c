/* stream: see stream.h. The front: opens the back end of the URL and makes requests of calls. */
#include "port/stream.h"
#include "base/err.h"
#include "base/pool.h"
#include "port/kind.h"
#include "port/stream_in.h"

struct stream {
    actor_ref_t ref;
};

static const port_kind_t kinds[] = {{"memory:", stream_memory}};

stream_t *stream_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room) {
    actor_ref_t ref =
        port_open(rt, conf, "stream.url", kinds, sizeof kinds / sizeof kinds[0], fault, room);
    if (actor_ref_eq(ref, ACTOR_NONE))
        return NULL;
    stream_t *s = pool_zalloc(sizeof *s);
    s->ref = ref;
    return s;
}

void stream_close(stream_t *s) {
    pool_free(s, s ? sizeof *s : 0);
}

static msg_t *message(uint32_t verb, const stream_request_t *r, slice_t topic, slice_t group) {
    msg_t *m = msg_new(verb, sizeof *r + topic.len + group.len);
    stream_request_t *head = msg_data(m, stream_request_t);
    *head = *r;
    head->topic_len = (uint32_t)topic.len;
    head->group_len = (uint32_t)group.len;
    if (topic.len)
        memcpy(head + 1, topic.at, topic.len);
    if (group.len)
        memcpy((char *)(head + 1) + topic.len, group.at, group.len);
    return m;
}

void stream_append(stream_t *s, actor_t *self, slice_t topic, uint64_t key, slice_t event,
                   uint32_t reply_verb, uint64_t cookie) {
    if (topic.len > STREAM_NAME_MAX || event.len > STREAM_EVENT_MAX) {
        if (reply_verb)
            actor_refuse(self, ERR_TOO_LARGE, reply_verb, cookie);
        return;
    }
    msg_t *m = message(STREAM_APPEND, &(stream_request_t){.key = key}, topic, SLICE(""));
    m->body = block_of(event.at, event.len);
    if (reply_verb)
        actor_request(self, s->ref, m, 0, reply_verb, cookie);
    else
        actor_send(self, s->ref, m);
}

void stream_follow(stream_t *s, actor_t *self, slice_t topic, slice_t group, int64_t offset,
                   uint32_t window, uint32_t verb) {
    stream_request_t r = {.offset = offset, .window = window ? window : 1, .verb = verb};
    if (topic.len <= STREAM_NAME_MAX && group.len <= STREAM_NAME_MAX)
        actor_send(self, s->ref, message(STREAM_FOLLOW, &r, topic, group));
}

void stream_commit(stream_t *s, actor_t *self, slice_t topic, slice_t group, int64_t offset) {
    stream_request_t r = {.offset = offset};
    if (topic.len <= STREAM_NAME_MAX && group.len <= STREAM_NAME_MAX)
        actor_send(self, s->ref, message(STREAM_COMMIT, &r, topic, group));
}
