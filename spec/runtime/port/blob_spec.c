/* What blob.h promises, of the built-in store; and what only that one has: streams, and what a
 * crash leaves behind. */
#include "blob_stage.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static bool store_up(void) {
    if (!stage)
        stage_new();
    stage_set("data.dir", stage->dir);
    blob = blob_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (blob)
        stage_start();
    else
        printf("%s\n", stage->fault);
    return blob != NULL;
}

static void store_down(void) {
    stage_stop();
    blob_close(blob);
    stage_free();
}

static block_t *piece(slice_t *rest) {
    size_t n = rest->len < 65536 ? rest->len : 65536;
    block_t *b = block_of(rest->at, n);
    *rest = (slice_t){rest->at + n, rest->len - n};
    return b;
}

static int open_writer(const blob_object_t *o, int64_t part, uint64_t *writer) {
    const stage_answer_t *a = ask((ask_t){.what = 'w', .o = o, .part = part});
    if (a->err == ERR_OK)
        *writer = ((const blob_writer_t *)(void *)a->data)->number;
    return a->err;
}
static int write_some(const blob_object_t *o, uint64_t writer, slice_t bytes) {
    int err = ERR_OK;
    while (bytes.len && err == ERR_OK)
        err = ask((ask_t){.what = 'y', .o = o, .writer = writer, .bytes = piece(&bytes)})->err;
    return err;
}
static int close_writer(const blob_object_t *o, uint64_t writer) {
    return ask((ask_t){.what = 'c', .o = o, .writer = writer})->err;
}

static int store_put(const blob_object_t *o, int64_t part, slice_t bytes) {
    uint64_t writer = 0;
    int err = open_writer(o, part, &writer);
    if (err == ERR_OK)
        err = write_some(o, writer, bytes);
    return err == ERR_OK ? close_writer(o, writer) : err;
}

static char *store_get(const blob_object_t *o, size_t *len) {
    char path[600];
    struct stat st;
    const stage_answer_t *a = ask((ask_t){.what = 'r', .o = o});
    if (a->err != ERR_OK)
        return NULL;
    snprintf(path, sizeof path, "%s/files/kept/%02x/%lld", stage->dir, (unsigned)(o->id & 255),
             (long long)o->id);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0)
        return NULL;
    char *bytes = malloc((size_t)st.st_size);
    *len = (size_t)read(fd, bytes, (size_t)st.st_size);
    close(fd);
    return bytes;
}

static bool exists(const char *below) {
    char path[600];
    struct stat st;
    snprintf(path, sizeof path, "%s/files/%s", stage->dir, below);
    return lstat(path, &st) == 0;
}

SPEC("the etag of a file that was put whole is its SHA-256") {
    blob_object_t o = {.id = 3, .size = 3, .type = {"text/plain", 10}};
    blob_found_t found = {0};
    CHECK(store_up());
    CHECK_INT(store_put(&o, 0, SLICE("abc")), ERR_OK);
    CHECK_INT(finish(&o, "", &found), ERR_OK);
    CHECK(strcmp(found.etag,
                 "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"") == 0);
    store_down();
}

SPEC("a part that is too short, too long or given up is not there; nor is what it replaced") {
    uint64_t writer;
    blob_found_t found = {0};
    CHECK(store_up());
    char *bytes = pattern(1001, 1);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 999}), ERR_BAD_REQUEST);
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1001}), ERR_TOO_LARGE);
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_NOT_FOUND);
    CHECK_INT(open_writer(&cat, 0, &writer), ERR_OK);
    CHECK_INT(write_some(&cat, writer, (slice_t){bytes, 1000}), ERR_OK);
    stage_do(0, ask_now, &(ask_t){.what = 'x', .o = &cat, .writer = writer});
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_NOT_FOUND); /* behind the drop: the same thread */
    CHECK_INT(finish(&cat, "", &found), ERR_NOT_FOUND);
    CHECK_INT(close_writer(&cat, writer), ERR_GONE);
    free(bytes);
    store_down();
}

SPEC("of two who write one part the later one counts; the other is told") {
    uint64_t one, two;
    blob_found_t found = {0};
    CHECK(store_up());
    char *bytes = pattern(1000, 1), *others = pattern(1000, 2);
    CHECK_INT(open_writer(&cat, 0, &one), ERR_OK);
    CHECK_INT(write_some(&cat, one, (slice_t){bytes, 500}), ERR_OK);
    CHECK_INT(open_writer(&cat, 0, &two), ERR_OK);
    CHECK_INT(write_some(&cat, one, (slice_t){bytes, 500}), ERR_GONE);
    CHECK_INT(write_some(&cat, two, (slice_t){others, 1000}), ERR_OK);
    CHECK_INT(close_writer(&cat, two), ERR_OK);
    CHECK_INT(finish(&cat, "", &found), ERR_OK);
    CHECK(reads_as(&cat, others, 1000));
    free(bytes);
    free(others);
    store_down();
}

SPEC("who still writes when it is finished or dropped is told, and changes nothing") {
    blob_object_t o = {
        .id = 9, .size = PART_BYTES + 10, .part_size = PART_BYTES, .type = {"video/mp4", 9}};
    uint64_t writer;
    char upload[BLOB_UPLOAD_MAX];
    blob_found_t found = {0};
    CHECK(store_up());
    char *bytes = pattern(PART_BYTES + 10, 1);
    CHECK_INT(begin(&o, upload), ERR_OK);
    CHECK_INT(store_put(&o, 2, (slice_t){bytes + PART_BYTES, 10}), ERR_OK);
    CHECK_INT(open_writer(&o, 1, &writer), ERR_OK);
    CHECK_INT(write_some(&o, writer, (slice_t){bytes, PART_BYTES}), ERR_OK);
    CHECK_INT(finish(&o, "", &found), ERR_CONFLICT); /* all bytes are written, but not closed */
    CHECK_INT(close_writer(&o, writer), ERR_GONE);
    CHECK_INT(store_put(&o, 1, (slice_t){bytes, PART_BYTES}), ERR_OK);
    CHECK_INT(finish(&o, "", &found), ERR_OK);
    CHECK_INT(open_writer(&o, 1, &writer), ERR_NOT_FOUND);
    CHECK(reads_as(&o, bytes, PART_BYTES + 10));
    free(bytes);
    store_down();
}

SPEC("a node that died in the middle leaves no file that can be read, and no part that is not "
     "whole") {
    uint64_t writer;
    blob_found_t found = {0};
    char path[600];
    CHECK(store_up());
    char *bytes = pattern(1000, 1);
    CHECK_INT(open_writer(&cat, 0, &writer), ERR_OK);
    CHECK_INT(write_some(&cat, writer, (slice_t){bytes, 1000}), ERR_OK);
    snprintf(path, sizeof path, "cp -a %s/files %s/crashed", stage->dir, stage->dir);
    CHECK_INT(system(path), 0); /* what the disk holds at this moment */
    CHECK_INT(close_writer(&cat, writer), ERR_OK);
    stage_stop();
    blob_close(blob);
    snprintf(path, sizeof path, "rm -r %s/files; mv %s/crashed %s/files", stage->dir, stage->dir,
             stage->dir);
    CHECK_INT(system(path), 0);
    runtime_free(stage->rt);
    stage->rt = runtime_new(&(runtime_conf_t){.workers = 2});
    CHECK(store_up());
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_NOT_FOUND);
    CHECK_INT(finish(&cat, "", &found), ERR_NOT_FOUND);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(finish(&cat, "", &found), ERR_OK);
    CHECK(reads_as(&cat, bytes, 1000));
    free(bytes);
    store_down();
}

SPEC("nothing of an upload is left once it is finished or dropped") {
    blob_object_t o = {.id = 12, .size = 1000, .type = {"a/b", 3}};
    blob_found_t found = {0};
    CHECK(store_up());
    char *bytes = pattern(1000, 1);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK(exists("open/7/data") && exists("open/7/0"));
    CHECK_INT(finish(&cat, "", &found), ERR_OK);
    CHECK(!exists("open/7") && exists("kept/07/7"));
    CHECK_INT(store_put(&o, 0, (slice_t){bytes, 1000}), ERR_OK);
    CHECK_INT(drop(&o), ERR_OK);
    CHECK(!exists("open/12") && !exists("kept/0c/12"));
    free(bytes);
    store_down();
}

SPEC("an upload that nobody has touched for too long is tidied away, and no other") {
    char path[600];
    stage_new();
    snprintf(
        path, sizeof path,
        "mkdir -p %s/files/open/5 %s/files/open/6 && touch -d '30 days ago' %s/files/open/5/data "
        "%s/files/open/5 && touch %s/files/open/6/data",
        stage->dir, stage->dir, stage->dir, stage->dir, stage->dir);
    CHECK_INT(system(path), 0);
    CHECK(store_up());
    UNTIL(!exists("open/5"));
    CHECK(exists("open/6/data"));
    store_down();
}

SPEC("a writer without a byte for long is given up, and its place is free") {
    uint64_t writer, other;
    stage_new();
    stage_set("files.stall", "10ms");
    stage_set("files.uploads", "1");
    CHECK(store_up());
    CHECK_INT(open_writer(&cat, 0, &writer), ERR_OK);
    blob_object_t o = {.id = 8, .size = 10, .type = {"a/b", 3}};
    int err;
    UNTIL((err = open_writer(&o, 0, &other)) != ERR_FULL);
    CHECK_INT(err, ERR_OK);
    CHECK_INT(write_some(&cat, writer, SLICE("x")), ERR_GONE);
    store_down();
}

SPEC("one owner has files.user_uploads writers in a thread at once, and others theirs") {
    uint64_t writer[4];
    stage_new();
    stage_set("files.threads", "1");
    stage_set("files.user_uploads", "1");
    CHECK(store_up());
    blob_object_t a = {.id = 7, .size = 10, .owner = 5, .type = {"a/b", 3}}, b = a, c = a;
    b.id = 8;
    c.id = 9, c.owner = 6;
    CHECK_INT(open_writer(&a, 0, &writer[0]), ERR_OK);
    CHECK_INT(open_writer(&b, 0, &writer[1]), ERR_FULL);
    CHECK_INT(open_writer(&c, 0, &writer[2]), ERR_OK);
    CHECK_INT(open_writer(&a, 0, &writer[3]), ERR_OK); /* instead of the first */
    CHECK_INT(write_some(&a, writer[0], SLICE("x")), ERR_GONE);
    CHECK_INT(write_some(&a, writer[3], SLICE("0123456789")), ERR_OK);
    CHECK_INT(open_writer(&b, 0, &writer[1]), ERR_FULL);
    c.owner = 0;
    for (c.id = 10; c.id < 13; c.id++)
        CHECK_INT(open_writer(&c, 0, &writer[2]), ERR_OK);
    store_down();
}

SPEC("with less room on the disk than files.min_free nobody may write") {
    uint64_t writer;
    stage_new();
    stage_set("files.min_free", "1024GiB");
    CHECK(store_up());
    int err; /* the room is looked at once a minute, and at start */
    UNTIL((err = open_writer(&cat, 0, &writer)) != ERR_OK);
    CHECK_INT(err, ERR_BUSY);
    store_down();
}

SPEC("a disk that takes no more in the middle is `busy`, and nothing of it is there") {
    blob_found_t found = {0};
    struct rlimit was, small;
    CHECK(store_up());
    char *bytes = pattern(1000, 1);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small = (struct rlimit){500, was.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    int err = store_put(&cat, 0, (slice_t){bytes, 1000});
    setrlimit(RLIMIT_FSIZE, &was);
    CHECK_INT(err, ERR_BUSY);
    CHECK_INT(look(&cat, 0, &found, NULL), ERR_NOT_FOUND);
    CHECK_INT(store_put(&cat, 0, (slice_t){bytes, 1000}), ERR_OK);
    free(bytes);
    store_down();
}

SPEC("an unknown kind of store, or a directory that cannot be, is said at the start") {
    stage_new();
    stage_set("files.url", "ftp://x");
    CHECK(!blob_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault));
    CHECK(strstr(stage->fault, "files.url"));
    stage_set("files.url", "file:/proc/nowhere");
    CHECK(!blob_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault));
    CHECK(strstr(stage->fault, "/proc/nowhere"));
    stage_free();
}
SPEC_MAIN
