/* What blob.h promises of every store, of a real S3 server. Run by tools/s3 with .., or by
 * tools/test s3. */
#include "client.h"
#include "spec/runtime/port/blob_stage.h"

/* Empty: a prefix of its own. */
static bool store_up(void) {
    static int count;
    char url[512];
    const char *rest = strchr(given("URL"), '?');
    snprintf(url, sizeof url, "s3://parley-specs/%lld-%d/%d%s", (long long)clock_wall_ms(),
             (int)getpid(), ++count, rest ? rest : "");
    stage_new();
    stage_set("data.dir", stage->dir);
    stage_set("files.url", url);
    stage_set("files.s3_key", given("KEY"));
    stage_set("files.s3_secret", given("SECRET"));
    blob = blob_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (blob)
        stage_start();
    return blob != NULL;
}

static void store_down(void) {
    blob_stop(blob);
    stage_stop();
    blob_close(blob);
    stage_free();
}

static int store_put(const blob_object_t *o, int64_t part, slice_t bytes) {
    char type[BLOB_TYPE_MAX + 32] = "Content-Type:";
    int64_t now = clock_wall_ms() / 1000;
    buf_t url = {0};
    blob_put_url(blob, o, part, now, now + 600, &url);
    if (part == 0)
        snprintf(type, sizeof type, "Content-Type: %.*s", (int)o->type.len, o->type.at);
    long status = http("PUT", buf_slice(&url), type, bytes)->status;
    buf_free(&url);
    return status == 200 ? ERR_OK : ERR_FORBIDDEN;
}

static char *store_get(const blob_object_t *o, size_t *len) {
    int64_t now = clock_wall_ms() / 1000;
    buf_t url = {0};
    blob_get_url(blob, o, false, SLICE("inline"), now, now + 600, &url);
    const got_t *g = http("GET", buf_slice(&url), "", SLICE(""));
    buf_free(&url);
    if (g->status != 200)
        return NULL;
    char *bytes = malloc(g->body.len + 1);
    memcpy(bytes, g->body.at, g->body.len);
    *len = g->body.len;
    return bytes;
}

SPEC_MAIN
