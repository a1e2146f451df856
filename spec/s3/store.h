/* store: what the specs of faults and addresses play on: a blob port on the S3 server of the
 * environment, and calls that wait for their answer. */
#pragma once
#include "client.h"
#include "port/blob.h"
#include "spec/runtime/port/stage.h"

#define MIB (1024 * 1024)

static blob_t *blob;

static void store_with(const char *url, const char *key, const char *secret) {
    stage_new();
    stage_set("data.dir", stage->dir);
    stage_set("files.url", url);
    stage_set("files.s3_key", key);
    stage_set("files.s3_secret", secret);
    blob = blob_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (!blob) {
        printf("%s\n", stage->fault);
        abort();
    }
    stage_start();
}
__attribute__((unused)) static void store_new(void) {
    store_with(given("URL"), given("KEY"), given("SECRET"));
}
static void store_end(void) {
    blob_stop(blob);
    stage_stop();
    blob_close(blob);
    stage_free();
}

static int64_t now_s(void) {
    return clock_wall_ms() / 1000;
}

/* An id that no earlier run on the same bucket has used. */
static int64_t fresh_id(void) {
    static int64_t last;
    int64_t now = (clock_wall_ms() * 1000 + getpid() % 1000) % (INT64_C(1) << 52);
    return last = now > last ? now : last + 1;
}

static blob_object_t object(int64_t size, const char *type) {
    return (blob_object_t){.id = fresh_id(), .size = size, .type = slice_of(type)};
}

/* --- requests --- */
typedef enum verb { DO_BEGIN, DO_LOOK, DO_PARTS, DO_FINISH, DO_DROP } verb_t;
typedef struct call {
    verb_t verb;
    const blob_object_t *o;
    slice_t etag;
    uint32_t head, timeout_ms;
    uint64_t cookie;
} call_t;

static void make_call(actor_t *self, void *arg) {
    const call_t *c = arg;
    switch (c->verb) {
    case DO_BEGIN:
        blob_begin(blob, self, c->o, c->timeout_ms, STAGE_REPLY, c->cookie);
        break;
    case DO_LOOK:
        blob_look(blob, self, c->o, c->head, c->timeout_ms, STAGE_REPLY, c->cookie);
        break;
    case DO_PARTS:
        blob_parts(blob, self, c->o, c->timeout_ms, STAGE_REPLY, c->cookie);
        break;
    case DO_FINISH:
        blob_finish(blob, self, c->o, c->etag, c->timeout_ms, STAGE_REPLY, c->cookie);
        break;
    case DO_DROP:
        blob_drop(blob, self, c->o, c->timeout_ms, STAGE_REPLY, c->cookie);
    }
}

static const stage_answer_t *asked(call_t c) {
    c.cookie = stage_cookie();
    c.timeout_ms = c.timeout_ms ? c.timeout_ms : 30000;
    stage_do(0, make_call, &c);
    return stage_answer(c.cookie);
}
static const stage_answer_t *look(const blob_object_t *o) {
    return asked((call_t){.verb = DO_LOOK, .o = o});
}
static const stage_answer_t *finish(const blob_object_t *o, const char *etag) {
    return asked((call_t){.verb = DO_FINISH, .o = o, .etag = slice_of(etag)});
}
static const stage_answer_t *drop(const blob_object_t *o) {
    return asked((call_t){.verb = DO_DROP, .o = o});
}
static const blob_found_t *found(const stage_answer_t *a) {
    static const blob_found_t none;
    return a->err == ERR_OK && a->size == sizeof(blob_found_t) ? (const blob_found_t *)a->data
                                                               : &none;
}

/* --- by addresses --- */
static slice_t put_address(const blob_object_t *o, int64_t part) {
    static buf_t b;
    b.len = 0;
    blob_put_url(blob, o, part, now_s() - 1, now_s() + 600, &b);
    return buf_slice(&b);
}
static slice_t get_address(const blob_object_t *o, bool head, const char *disposition) {
    static buf_t b;
    b.len = 0;
    blob_get_url(blob, o, head, slice_of(disposition), now_s() - 1, now_s() + 600, &b);
    return buf_slice(&b);
}
static long put_typed(const blob_object_t *o, const char *type, slice_t body) {
    char line[256];
    snprintf(line, sizeof line, "Content-Type: %s", type);
    return http("PUT", put_address(o, 0), line, body)->status;
}
static long put(const blob_object_t *o, const char *text) {
    char type[200];
    snprintf(type, sizeof type, "%.*s", (int)o->type.len, o->type.at);
    return put_typed(o, type, slice_of(text));
}
static long put_part(const blob_object_t *o, int64_t part, slice_t bytes) {
    return http("PUT", put_address(o, part), "Content-Type:", bytes)->status;
}
static const got_t *get(const blob_object_t *o) {
    return http("GET", get_address(o, false, ""), "", (slice_t){"", 0});
}
static bool reads(const blob_object_t *o, const char *want) {
    const got_t *g = get(o);
    return g->status == 200 && slice_eq(buf_slice(&g->body), slice_of(want));
}
