/* stream: an ordered log of events per partition, followed by offset. memory: a ring of
 * stream.max_events; kafka:// later. Answers by message. */
#pragma once
#include "base/conf.h"
#include "sched/runtime.h"

typedef struct stream stream_t;
stream_t *stream_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room);
void stream_close(stream_t *s);
/* Reply: err; cookie. The event has an offset one above the last of its topic. reply_verb 0: none
 * wanted. */
void stream_append(stream_t *s, actor_t *self, slice_t topic, uint64_t key, slice_t event,
                   uint32_t reply_verb, uint64_t cookie);
/* self gets each event from `offset` on (-1: from the group's committed offset, else the oldest
 * kept) as a message of `verb`, key = offset, cookie = the event's key, body =
 * event; at most `window` uncommitted ones are
 * under way. */
void stream_follow(stream_t *s, actor_t *self, slice_t topic, slice_t group, int64_t offset,
                   uint32_t window, uint32_t verb);
void stream_commit(stream_t *s, actor_t *self, slice_t topic, slice_t group, int64_t offset);
