/* What blob.h promises of every store, as specs. Who includes it gives these four, for its store:
 *   store_up(), store_down()    a fresh, empty store behind `blob`, and its end
 *   store_put(o, part, bytes)   puts a part (0: the whole) as a client does: ERR_OK or a code
 *   store_get(o, &len)          all bytes of the finished file as a client reads them (malloc), or
 *                               NULL: it cannot be read */
#pragma once
#include "port/blob.h"
#include "stage.h"

static blob_t *blob;
static bool store_up(void);
static void store_down(void);
static int store_put(const blob_object_t *o, int64_t part, slice_t bytes);
static char *store_get(const blob_object_t *o, size_t *len);

#define PART_BYTES (5 * 1024 * 1024)

typedef struct ask {
    char what;
    const blob_object_t *o;
    slice_t etag;
    int64_t part, off;
    uint64_t writer, cookie;
    uint32_t head;
    block_t *bytes;
} ask_t;

static void ask_now(actor_t *self, void *arg) {
    const ask_t *a = arg;
    const uint32_t ms = 30000;
    switch (a->what) {
    case 'b':
        blob_begin(blob, self, a->o, ms, STAGE_REPLY, a->cookie);
        break;
    case 'l':
        blob_look(blob, self, a->o, a->head, ms, STAGE_REPLY, a->cookie);
        break;
    case 'p':
        blob_parts(blob, self, a->o, ms, STAGE_REPLY, a->cookie);
        break;
    case 'f':
        blob_finish(blob, self, a->o, a->etag, ms, STAGE_REPLY, a->cookie);
        break;
    case 'd':
        blob_drop(blob, self, a->o, ms, STAGE_REPLY, a->cookie);
        break;
    case 'w':
        blob_write_open(blob, self, a->o, a->part, ms, STAGE_REPLY, a->cookie);
        break;
    case 'y':
        blob_write(blob, self, a->o->id, a->writer, a->bytes, ms, STAGE_REPLY, a->cookie);
        break;
    case 'c':
        blob_write_close(blob, self, a->o->id, a->writer, ms, STAGE_REPLY, a->cookie);
        break;
    case 'x':
        blob_write_drop(blob, self, a->o->id, a->writer);
        break;
    case 'r':
        blob_read_open(blob, self, a->o->id, a->off, ms, STAGE_REPLY, a->cookie);
        break;
    }
}

static const stage_answer_t *ask(ask_t a) {
    a.cookie = stage_cookie();
    stage_do(0, ask_now, &a);
    return stage_answer(a.cookie);
}

static int begin(blob_object_t *o, char upload[BLOB_UPLOAD_MAX]) {
    const stage_answer_t *a = ask((ask_t){.what = 'b', .o = o});
    slice_t s = stage_body(a);
    memcpy(upload, s.at, s.len);
    o->upload = (slice_t){upload, s.len};
    return a->err;
}
static int look(const blob_object_t *o, uint32_t head, blob_found_t *out, slice_t *bytes) {
    const stage_answer_t *a = ask((ask_t){.what = 'l', .o = o, .head = head});
    if (a->err == ERR_OK)
        memcpy(out, a->data, sizeof *out);
    if (bytes)
        *bytes = stage_body(a);
    return a->err;
}
static int finish(const blob_object_t *o, const char *etag, blob_found_t *out) {
    const stage_answer_t *a = ask((ask_t){.what = 'f', .o = o, .etag = slice_of(etag)});
    if (a->err == ERR_OK)
        memcpy(out, a->data, sizeof *out);
    return a->err;
}
static int drop(const blob_object_t *o) {
    return ask((ask_t){.what = 'd', .o = o})->err;
}
static slice_t parts(const blob_object_t *o, int *err) {
    const stage_answer_t *a = ask((ask_t){.what = 'p', .o = o});
    *err = a->err;
    return stage_body(a);
}

/* Bytes that tell where they are. */
static char *pattern(size_t len, uint32_t seed) {
    char *at = malloc(len);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        at[i] = (char)(seed >> 24);
    }
    return at;
}

static bool reads_as(const blob_object_t *o, const char *want, size_t len) {
    size_t got;
    char *bytes = store_get(o, &got);
    bool same = bytes && got == len && memcmp(bytes, want, len) == 0;
    free(bytes);
    return same;
}

static const blob_object_t cat = {.id = 7, .size = 1000, .type = {"image/png", 9}};

SPEC("what is put whole can be looked at, finished and read, and not be changed any more") {
    blob_found_t found = {0}, done = {0};
    slice_t head;
    CHECK(store_up());
    char *bytes = pattern(1000, 1), *others = pattern(1000, 2);
    CHECK_INT(look(&cat, 10, &found, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(look(&cat, 10, &found, &head), ERR_OK);
    CHECK(found.size == 1000 && !found.finished && strlen(found.etag) > 2);
    CHECK(head.len == 10 && memcmp(head.at, bytes, 10) == 0);
    CHECK(!reads_as(&cat, bytes, 1000)); /* not yet */
    CHECK_INT(finish(&cat, found.etag, &done), ERR_OK);
    CHECK(done.finished && done.size == 1000 && strlen(done.etag) > 2);
    CHECK(reads_as(&cat, bytes, 1000));
    CHECK(store_put(&cat, 0, (slice_t){others, 1000}) != ERR_OK || reads_as(&cat, bytes, 1000));
    CHECK(reads_as(&cat, bytes, 1000));
    CHECK_INT(look(&cat, 4096, &found, &head), ERR_OK);
    CHECK(found.finished && found.size == 1000 && head.len == 1000);
    CHECK(memcmp(head.at, bytes, 1000) == 0);
    free(bytes);
    free(others);
    store_down();
}

SPEC("finishing again succeeds and tells the same") {
    blob_found_t one = {0}, two = {0};
    CHECK(store_up());
    char *bytes = pattern(1000, 1);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(finish(&cat, "", &one), ERR_OK);
    CHECK_INT(finish(&cat, "", &two), ERR_OK);
    CHECK(two.finished && two.size == one.size && strcmp(one.etag, two.etag) == 0);
    free(bytes);
    store_down();
}

SPEC("of several puts the last one counts; one that came after the look is not finished by its "
     "etag") {
    blob_found_t found = {0};
    CHECK(store_up());
    char *bytes = pattern(1000, 1), *others = pattern(1000, 2);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_OK);
    CHECK_INT(store_put(&cat, 0, (slice_t){others, 1000}), ERR_OK);
    CHECK_INT(finish(&cat, found.etag, &found), ERR_STALE);
    CHECK(!reads_as(&cat, others, 1000));
    CHECK_INT(finish(&cat, "", &found), ERR_OK);
    CHECK(reads_as(&cat, others, 1000));
    free(bytes);
    free(others);
    store_down();
}

SPEC("nothing cannot be finished, and can be dropped; what is dropped is gone") {
    blob_found_t found = {0};
    CHECK(store_up());
    char *bytes = pattern(1000, 1);
    CHECK_INT(finish(&cat, "", &found), ERR_NOT_FOUND);
    CHECK_INT(drop(&cat), ERR_OK);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(drop(&cat), ERR_OK);
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(finish(&cat, "", &found), ERR_OK);
    CHECK_INT(drop(&cat), ERR_OK);
    CHECK(!reads_as(&cat, bytes, 1000));
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_NOT_FOUND);
    free(bytes);
    store_down();
}

SPEC("parts come in any order, again if need be, are listed, and make one file") {
    blob_object_t o = {
        .id = 9, .size = 2 * PART_BYTES + 1234, .part_size = PART_BYTES, .type = {"video/mp4", 9}};
    char upload[BLOB_UPLOAD_MAX];
    blob_found_t found = {0};
    int err;
    CHECK(store_up());
    char *bytes = pattern((size_t)o.size, 3), *wrong = pattern(PART_BYTES, 4);
    CHECK_INT(begin(&o, upload), ERR_OK);
    CHECK(o.upload.len > 0);
    CHECK_TEXT(parts(&o, &err).at, parts(&o, &err).len, "[]");
    CHECK_INT(store_put(&o, 3, (slice_t){bytes + 2 * PART_BYTES, 1234}), ERR_OK);
    CHECK_INT(store_put(&o, 1, (slice_t){wrong, PART_BYTES}), ERR_OK);
    slice_t list = parts(&o, &err);
    CHECK_INT(err, ERR_OK);
    CHECK(
        memmem(list.at, list.len, "\"part_number\":1,\"size_bytes\":5242880,\"etag\":\"\\\"", 47));
    CHECK(memmem(list.at, list.len, "\"part_number\":3,\"size_bytes\":1234,", 34));
    CHECK(!memmem(list.at, list.len, "\"part_number\":2", 15));
    CHECK_INT(finish(&o, "", &found), ERR_CONFLICT);
    CHECK_INT(store_put(&o, 2, (slice_t){bytes + PART_BYTES, PART_BYTES}), ERR_OK);
    CHECK_INT(store_put(&o, 1, (slice_t){bytes, PART_BYTES}), ERR_OK);
    CHECK(!reads_as(&o, bytes, (size_t)o.size));
    CHECK_INT(finish(&o, "", &found), ERR_OK);
    CHECK(found.finished && found.size == o.size);
    CHECK(reads_as(&o, bytes, (size_t)o.size));
    CHECK(store_put(&o, 1, (slice_t){wrong, PART_BYTES}) != ERR_OK);
    CHECK(reads_as(&o, bytes, (size_t)o.size));
    free(bytes);
    free(wrong);
    store_down();
}

SPEC("parts that are dropped are gone, and so is their upload") {
    blob_object_t o = {
        .id = 11, .size = PART_BYTES + 5, .part_size = PART_BYTES, .type = {"video/mp4", 9}};
    char upload[BLOB_UPLOAD_MAX];
    blob_found_t found = {0};
    int err;
    CHECK(store_up());
    char *bytes = pattern(5, 3);
    CHECK_INT(begin(&o, upload), ERR_OK);
    CHECK_INT(store_put(&o, 2, (slice_t){bytes, 5}), ERR_OK);
    CHECK_INT(drop(&o), ERR_OK);
    parts(&o, &err);
    CHECK_INT(err, ERR_NOT_FOUND);
    CHECK(finish(&o, "", &found) != ERR_OK);
    CHECK_INT(drop(&o), ERR_OK);
    free(bytes);
    store_down();
}
