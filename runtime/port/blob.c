/* blob: see blob.h. The front: which engine, the queue, messages of calls. The threads are in
 * blob_thread.c. */
#include "port/blob.h"
#include "base/err.h"
#include "base/pool.h"
#include "port/blob_in.h"
#include "port/kind.h"
#include <stdio.h>
#include <unistd.h>

static const blob_engine_t *const engines[] = {&blob_file, &blob_s3};

/* --- open, stop, close --- */

static const blob_engine_t *engine_of(slice_t url, char *fault, size_t room) {
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++)
        if (port_scheme(url, engines[i]->scheme, NULL))
            return engines[i];
    /* an s3: URL may hold a secret */
    port_unknown("files.url", (slice_t){NULL, 0},
                 (const char *const[]){blob_file.scheme, blob_s3.scheme}, 2, fault, room);
    return NULL;
}

int blob_check(const conf_t *conf, char *fault, size_t room) {
    slice_t url = conf_text(conf, "files.url");
    const blob_engine_t *engine = engine_of(url, fault, room);
    if (!engine)
        return ERR_BAD_REQUEST;
    return engine->check ? engine->check(conf, url, fault, room) : ERR_OK;
}

static bool make_threads(blob_t *b) {
    for (uint32_t i = 0; i < b->count; i++) {
        b->arg[i] = (blob_port_arg_t){b, i};
        b->ref[i] = actor_spawn(b->rt, NULL, &blob_thread_class, 0, -1, &b->arg[i]);
        if (actor_ref_eq(b->ref[i], ACTOR_NONE))
            return false;
    }
    return true;
}

blob_t *blob_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room) {
    slice_t url = conf_text(conf, "files.url");
    const blob_engine_t *engine = engine_of(url, fault, room);
    if (!engine)
        return NULL;
    blob_t *b = pool_zalloc(sizeof *b);
    b->rt = rt;
    b->engine = engine;
    b->queue = (uint32_t)conf_int(conf, "files.queue");
    b->count = (uint32_t)conf_int(conf, "files.threads");
    b->uploads = (uint32_t)conf_int(conf, "files.uploads");
    b->owner_uploads = (uint32_t)conf_int(conf, "files.user_uploads");
    b->stall_ms = (uint32_t)conf_int(conf, "files.stall");
    b->min_free = (uint64_t)conf_int(conf, "files.min_free");
    b->base = engine->open(rt, conf, url, fault, room);
    if (b->base && !make_threads(b)) {
        snprintf(fault, room, "files: no room for its threads (actors.max)");
        blob_close(b);
        return NULL;
    }
    if (b->base)
        return b;
    pool_free(b, sizeof *b);
    return NULL;
}

void blob_stop(blob_t *b) {
    if (b)
        BLOB_WRITE_TO(b->stopping, true);
}

void blob_close(blob_t *b) {
    if (b)
        b->engine->close(b->base);
    pool_free(b, b ? sizeof *b : 0);
}

/* --- pure --- */

bool blob_outside(const blob_t *b) {
    return b->engine->outside;
}

void blob_put_url(const blob_t *b, const blob_object_t *o, int64_t part, int64_t from_s,
                  int64_t until_s, buf_t *out) {
    b->engine->put_url(b->base, o, part, from_s, until_s, out);
}

void blob_get_url(const blob_t *b, const blob_object_t *o, bool head, slice_t disposition,
                  int64_t from_s, int64_t until_s, buf_t *out) {
    b->engine->get_url(b->base, o, head, disposition, from_s, until_s, out);
}

void blob_origin(const blob_t *b, buf_t *out) {
    if (b->engine->outside)
        b->engine->origin(b->base, out);
}

const char *blob_trouble(const blob_t *b, bool *wrong) {
    *wrong = false;
    return b->engine->trouble ? b->engine->trouble(b->base, wrong) : NULL;
}

/* --- requests --- */

/* However it ends, also by the runtime at its deadline. */
static void end(msg_t *m) {
    blob_request_t *r = (blob_request_t *)m->data;
    blob_count_out(r);
    if (r->fd >= 0)
        close(r->fd);
}

static char *copy(char *to, slice_t s) {
    return s.len ? mempcpy(to, s.at, s.len) : to;
}

static msg_t *message(uint32_t verb, const blob_object_t *o, slice_t etag) {
    blob_request_t r = {.id = o->id,
                        .size = o->size,
                        .part_size = o->part_size,
                        .type_len = (uint32_t)o->type.len,
                        .upload_len = (uint32_t)o->upload.len,
                        .etag_len = (uint32_t)etag.len,
                        .fd = -1};
    msg_t *m = msg_new(verb, sizeof r + o->type.len + o->upload.len + etag.len);
    memcpy(m->data, &r, sizeof r);
    copy(copy(copy(m->data + sizeof r, o->type), o->upload), etag);
    m->drop = end;
    return m;
}

static blob_request_t *head_of(msg_t *m) {
    return (blob_request_t *)m->data;
}

static actor_ref_t thread_of(const blob_t *b, int64_t id) {
    return b->ref[(uint64_t)id % b->count];
}

static bool lengths_ok(const blob_object_t *o, slice_t etag) {
    return o->type.len <= BLOB_TYPE_MAX && o->upload.len <= BLOB_UPLOAD_MAX &&
           etag.len < BLOB_ETAG_MAX;
}

/* Takes m. */
static void ask(blob_t *b, actor_t *self, msg_t *m, uint32_t timeout_ms, uint32_t reply_verb,
                uint64_t cookie) {
    if (BLOB_ADD(b->queued, 1) >= b->queue) {
        BLOB_SUB(b->queued, 1);
        stat_add(STAT_FILES_REFUSED, 1);
        msg_free(m);
        actor_refuse(self, ERR_BUSY, reply_verb, cookie);
        return;
    }
    head_of(m)->counted = b;
    actor_request(self, thread_of(b, head_of(m)->id), m, timeout_ms, reply_verb, cookie);
}

static void ask_object(blob_t *b, actor_t *self, uint32_t verb, const blob_object_t *o,
                       slice_t etag, uint32_t head, uint32_t timeout_ms, uint32_t reply_verb,
                       uint64_t cookie) {
    if (!lengths_ok(o, etag)) {
        actor_refuse(self, ERR_TOO_LARGE, reply_verb, cookie);
        return;
    }
    msg_t *m = message(verb, o, etag);
    head_of(m)->head = head < BLOB_HEAD_MAX ? head : BLOB_HEAD_MAX;
    ask(b, self, m, timeout_ms, reply_verb, cookie);
}
#define NO_ETAG ((slice_t){NULL, 0})

void blob_begin(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t timeout_ms,
                uint32_t reply_verb, uint64_t cookie) {
    ask_object(b, self, BLOB_BEGIN, o, NO_ETAG, 0, timeout_ms, reply_verb, cookie);
}

void blob_look(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t head, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie) {
    ask_object(b, self, BLOB_LOOK, o, NO_ETAG, head, timeout_ms, reply_verb, cookie);
}

void blob_parts(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t timeout_ms,
                uint32_t reply_verb, uint64_t cookie) {
    ask_object(b, self, BLOB_PARTS, o, NO_ETAG, 0, timeout_ms, reply_verb, cookie);
}

void blob_finish(blob_t *b, actor_t *self, const blob_object_t *o, slice_t etag,
                 uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie) {
    ask_object(b, self, BLOB_FINISH, o, etag, 0, timeout_ms, reply_verb, cookie);
}

void blob_drop(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie) {
    ask_object(b, self, BLOB_DROP, o, NO_ETAG, 0, timeout_ms, reply_verb, cookie);
}

void blob_write_open(blob_t *b, actor_t *self, const blob_object_t *o, int64_t part,
                     uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie) {
    blob_object_t bare = *o;
    bare.type = bare.upload = NO_ETAG;
    msg_t *m = message(BLOB_WRITE_OPEN, &bare, NO_ETAG);
    head_of(m)->part = part;
    head_of(m)->owner = o->owner;
    ask(b, self, m, timeout_ms, reply_verb, cookie);
}

/* Those of an open writer are bounded by their number, files.uploads, and by credit: not counted.
 */
static msg_t *stream_message(uint32_t verb, int64_t id, uint64_t writer) {
    msg_t *m = message(verb, &(blob_object_t){.id = id}, NO_ETAG);
    head_of(m)->writer = writer;
    return m;
}

void blob_write(blob_t *b, actor_t *self, int64_t id, uint64_t writer, block_t *bytes,
                uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie) {
    msg_t *m = stream_message(BLOB_WRITE, id, writer);
    m->body = bytes;
    actor_request(self, thread_of(b, id), m, timeout_ms, reply_verb, cookie);
}

void blob_write_close(blob_t *b, actor_t *self, int64_t id, uint64_t writer, uint32_t timeout_ms,
                      uint32_t reply_verb, uint64_t cookie) {
    msg_t *m = stream_message(BLOB_WRITE_CLOSE, id, writer);
    actor_request(self, thread_of(b, id), m, timeout_ms, reply_verb, cookie);
}

void blob_write_drop(blob_t *b, actor_t *self, int64_t id, uint64_t writer) {
    actor_send(self, thread_of(b, id), stream_message(BLOB_WRITE_DROP, id, writer));
}

void blob_read_open(blob_t *b, actor_t *self, int64_t id, int64_t off, uint32_t timeout_ms,
                    uint32_t reply_verb, uint64_t cookie) {
    msg_t *m = stream_message(BLOB_READ_OPEN, id, 0);
    head_of(m)->off = off;
    ask(b, self, m, timeout_ms, reply_verb, cookie);
}

void blob_warm(blob_t *b, actor_t *self, int64_t id, int fd, int64_t off, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie) {
    msg_t *m = stream_message(BLOB_WARM, id, 0);
    head_of(m)->fd = fd;
    head_of(m)->off = off;
    ask(b, self, m, timeout_ms, reply_verb, cookie);
}
