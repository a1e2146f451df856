/* Files in a real S3 bucket: what S3 alone could break. What blob.h promises of every store:
 * contract_s3_spec.c. Run by tools/s3 with .., or by tools/test s3. */
#include "store.h"

SPEC("a file that was put by its address is finished and read by another one") {
    store_new();
    blob_object_t o = object(5, "image/png");
    CHECK_INT(look(&o)->err, ERR_NOT_FOUND);
    CHECK_INT(finish(&o, "")->err, ERR_NOT_FOUND);
    CHECK_INT(put(&o, "hello"), 200);
    CHECK_INT(get(&o)->status, 404);
    const blob_found_t *f = found(look(&o));
    CHECK_INT(f->size, 5);
    CHECK(!f->finished && *f->etag == '"');
    CHECK_TEXT(f->type, strlen(f->type), "image/png");
    const blob_found_t *g = found(finish(&o, f->etag));
    CHECK_INT(g->size, 5);
    CHECK(g->finished);
    CHECK(reads(&o, "hello"));
    g = found(look(&o));
    CHECK(g->finished && g->size == 5);
    CHECK_TEXT(g->type, strlen(g->type), "image/png");
    CHECK(found(finish(&o, "\"other\""))->finished); /* repeated: whatever it asks */
    drop(&o);
    store_end();
}

SPEC("a GET has the type and disposition of its address, ranges and an etag; HEAD has its own") {
    store_new();
    blob_object_t o = object(5, "text/html");
    CHECK_INT(put(&o, "hello"), 200);
    CHECK_INT(finish(&o, "")->err, ERR_OK);
    const char *as = "attachment; filename*=UTF-8''a%20%C3%A4.html";
    const got_t *g = http("GET", get_address(&o, false, as), "Range: bytes=1-3", SLICE(""));
    CHECK_INT(g->status, 206);
    CHECK_TEXT(g->body.at, g->body.len, "ell");
    CHECK(strcasestr(g->head, "\r\ncontent-type: text/html\r\n"));
    CHECK(strcasestr(g->head, "\r\ncontent-disposition: attachment; filename*=UTF-8''a%20%C3%A4"));
    CHECK(strcasestr(g->head, "\r\netag: \""));
    CHECK_INT(http("HEAD", get_address(&o, true, as), "", SLICE(""))->status, 200);
    CHECK_INT(http("HEAD", get_address(&o, false, as), "", SLICE(""))->status, 403);
    CHECK_INT(http("GET", get_address(&o, true, as), "", SLICE(""))->status, 403);
    drop(&o);
    store_end();
}

SPEC("another type, size, method, name or part than the address says is refused") {
    store_new();
    blob_object_t o = object(5, "image/png"), other = object(5, "image/png");
    CHECK_INT(put_typed(&o, "text/html", SLICE("hello")), 403);
    CHECK_INT(put_typed(&o, "image/png", SLICE("hello!")), 403);
    CHECK_INT(put_typed(&o, "image/png", SLICE("hell")), 403);
    slice_t url = put_address(&o, 0);
    CHECK(http("DELETE", url, "", SLICE(""))->status >= 400); /* 403, of MinIO 400 */
    CHECK(http("GET", url, "", SLICE(""))->status >= 400);
    char *changed = strndup(url.at, url.len), name[32];
    snprintf(name, sizeof name, "%lld", (long long)o.id);
    char *at = strstr(changed, name);
    at[strlen(name) - 1] ^= 1; /* another digit */
    CHECK_INT(http("PUT", slice_of(changed), "Content-Type: image/png", SLICE("hello"))->status,
              403);
    free(changed);
    CHECK_INT(look(&o)->err, ERR_NOT_FOUND);
    CHECK_INT(look(&other)->err, ERR_NOT_FOUND);
    store_end();
}

SPEC("an address ends with its time") {
    buf_t b = {0};
    store_new();
    blob_object_t o = object(5, "image/png");
    blob_put_url(blob, &o, 0, now_s() - 700, now_s() - 100, &b);
    CHECK_INT(http("PUT", buf_slice(&b), "Content-Type: image/png", SLICE("hello"))->status, 403);
    CHECK_INT(put(&o, "hello"), 200);
    CHECK_INT(finish(&o, "")->err, ERR_OK);
    b.len = 0;
    blob_get_url(blob, &o, false, SLICE(""), now_s() - 700, now_s() - 100, &b);
    CHECK_INT(http("GET", buf_slice(&b), "", SLICE(""))->status, 403);
    b.len = 0; /* from the last full hour on, as equal answers want it */
    blob_get_url(blob, &o, false, SLICE(""), now_s() / 3600 * 3600, now_s() + 86400, &b);
    CHECK_INT(http("GET", buf_slice(&b), "", SLICE(""))->status, 200);
    drop(&o);
    buf_free(&b);
    store_end();
}

/* --- in parts --- */

static char *bytes; /* three parts: 5 MiB, 5 MiB, 1,000 bytes */
static const int64_t all = 10 * MIB + 1000;

static blob_object_t in_parts(char upload[BLOB_UPLOAD_MAX + 1]) {
    blob_object_t o = object(all, "video/mp4");
    o.part_size = 5 * MIB;
    const stage_answer_t *a = asked((call_t){.verb = DO_BEGIN, .o = &o});
    slice_t id = stage_body(a);
    if (a->err != ERR_OK || id.len == 0 || id.len > BLOB_UPLOAD_MAX)
        return o;
    memcpy(upload, id.at, id.len);
    o.upload = (slice_t){upload, id.len};
    bytes = bytes ? bytes : malloc((size_t)all);
    for (int64_t i = 0; i < all; i++)
        bytes[i] = (char)((i * 7919) >> 5);
    return o;
}
static slice_t part_bytes(const blob_object_t *o, int64_t part) {
    return (slice_t){bytes + (part - 1) * o->part_size, (size_t)blob_part_bytes(o, part)};
}
static slice_t parts_told(const blob_object_t *o) {
    return stage_body(asked((call_t){.verb = DO_PARTS, .o = o}));
}
static bool all_there(const blob_object_t *o) {
    const got_t *g = get(o);
    return g->status == 200 && slice_eq(buf_slice(&g->body), (slice_t){bytes, (size_t)all});
}

SPEC("an upload in parts: listed, resumed, put together byte for byte") {
    char upload[BLOB_UPLOAD_MAX + 1];
    store_new();
    blob_object_t o = in_parts(upload);
    CHECK(o.upload.len > 0);
    CHECK_TEXT(parts_told(&o).at, parts_told(&o).len, "[]");
    CHECK_INT(put_part(&o, 3, part_bytes(&o, 3)), 200);
    CHECK_INT(put_part(&o, 1, part_bytes(&o, 2)), 200);
    CHECK_INT(put_part(&o, 1, part_bytes(&o, 1)), 200); /* the last one counts */
    CHECK_INT(finish(&o, "")->err, ERR_CONFLICT);
    slice_t told = parts_told(&o);
    CHECK(memmem(told.at, told.len, "[{\"part_number\":1,\"size_bytes\":5242880,\"etag\":\"\\\"",
                 49));
    CHECK(memmem(told.at, told.len, "},{\"part_number\":3,\"size_bytes\":1000,", 37));
    CHECK_INT(look(&o)->err, ERR_NOT_FOUND);
    CHECK_INT(put_part(&o, 2, part_bytes(&o, 2)), 200);
    const blob_found_t *f = found(finish(&o, ""));
    CHECK_INT(f->size, all);
    CHECK(f->finished);
    CHECK(all_there(&o));
    CHECK(found(finish(&o, ""))->finished);
    CHECK_INT(asked((call_t){.verb = DO_PARTS, .o = &o})->err, ERR_NOT_FOUND);
    CHECK_INT(put_part(&o, 3, part_bytes(&o, 3)), 404);
    CHECK(all_there(&o));
    CHECK_INT(drop(&o)->err, ERR_OK);
    CHECK_INT(get(&o)->status, 404);
    store_end();
}

SPEC("a part of another size than it must have is refused") {
    char upload[BLOB_UPLOAD_MAX + 1];
    store_new();
    blob_object_t o = in_parts(upload);
    slice_t p = part_bytes(&o, 3);
    p.len--;
    CHECK_INT(put_part(&o, 3, p), 403);
    CHECK_INT(put_part(&o, 2, p), 403);
    CHECK_TEXT(parts_told(&o).at, parts_told(&o).len, "[]");
    CHECK_INT(drop(&o)->err, ERR_OK);
    store_end();
}

SPEC("a dropped upload takes no more parts") {
    char upload[BLOB_UPLOAD_MAX + 1];
    store_new();
    blob_object_t o = in_parts(upload);
    CHECK_INT(put_part(&o, 3, part_bytes(&o, 3)), 200);
    CHECK_INT(drop(&o)->err, ERR_OK);
    CHECK_INT(put_part(&o, 3, part_bytes(&o, 3)), 404);
    CHECK_INT(finish(&o, "")->err, ERR_NOT_FOUND);
    CHECK_INT(asked((call_t){.verb = DO_PARTS, .o = &o})->err, ERR_NOT_FOUND);
    CHECK_INT(drop(&o)->err, ERR_OK);
    store_end();
}

SPEC_MAIN
