/* What the SQLite engine promises beyond store.h: what a second process, an older or newer file, a
 * long query and a growing WAL do to it. */
#include "sqlite_stage.h"
#include <sys/stat.h>

static int64_t size_of(const char *name) {
    struct stat st;
    return stat(path_of(name), &st) == 0 ? (int64_t)st.st_size : -1;
}

/* --- bounds of reading --- */

SPEC("a reader gives up a query at its asker's deadline, and does the next one") {
    buf_t ids = {0}, params = {0}, out = {0};
    stage_new();
    fault_install();
    CHECK(store_try_open()); /* its threads do not run yet: the spec is the reader */
    store_conn_t *c = store->readers[0].conn;
    uint32_t op = (uint32_t)store_op(store, "users_known");
    buf_add_char(&ids, '[');
    for (int i = 0; i < 50000; i++)
        buf_addf(&ids, "%d,", i);
    buf_add_text(&ids, "0]");
    value_add_text(&params, buf_slice(&ids));
    sqlite_start(c, 1); /* long ago */
    CHECK_INT(sqlite_run(c, op, buf_slice(&params), &out), ERR_TIMEOUT);
    sqlite_start(c, 0);
    CHECK_INT(sqlite_run(c, op, buf_slice(&params), &out), ERR_OK);
    buf_free(&ids);
    buf_free(&params);
    buf_free(&out);
    stage_stop();
    store_close(store);
    stage_free();
}

SPEC("refuses an answer over its bound and goes on") {
    enum { BIG = 17 << 20 };
    char *text = malloc(BIG + 1);
    memset(text, 'x', BIG);
    text[BIG] = 0;
    CHECK(sqlite_up());
    int64_t id = number_of(run("group_create", "tiii", "g", (int64_t)1, (int64_t)9, (int64_t)1));
    CHECK(id > 0);
    CHECK_INT(run("group_update", "ttttii", "g", "", "open", text, (int64_t)0, id)->err, ERR_OK);
    free(text);
    CHECK_INT(run("conversation_shared", "i", id)->err, ERR_TOO_LARGE);
    CHECK_INT(run("member_count", "i", id)->err, ERR_OK);
    sqlite_down();
}

/* --- others at the file --- */

SPEC("a second node on the same file is refused with a clear line, until the first has gone") {
    stage_new();
    fault_install();
    CHECK(store_try_open());
    store_t *first = store;
    CHECK(!store_try_open());
    CHECK(strstr(stage->fault, "t.db is in use by another process"));
    store_close(first);
    CHECK(store_try_open());
    stage_stop();
    store_close(store);
    stage_free();
}

SPEC("others may write between: a batch that reads and then writes meets no stale snapshot") {
    CHECK(sqlite_up());
    sqlite3 *db = stranger();
    CHECK(tell(db, "CREATE TABLE other (n INTEGER)"));
    for (int i = 0; i < 50; i++) {
        char name[32];
        snprintf(name, sizeof name, "user%d", i);
        CHECK(tell(db, "INSERT INTO other VALUES (1)"));
        CHECK(make_user(name) > 0);
        CHECK_INT(row_count(run("user_credentials", "t", name)), 1);
    }
    sqlite3_close(db);
    sqlite_down();
}

SPEC("a stale append whose first rows fitted is taken back whole, and only it") {
    CHECK(sqlite_up());
    CHECK_INT(stage_answer(say(0, 1, 1, "a"))->err, ERR_OK);
    sqlite3 *db = stranger();
    CHECK(tell(db, "INSERT INTO message (id, conversation, seq, sender, client_msg_id, at_ms, type,"
                   " content) VALUES (1000000, 1, 3, 9, 'foreign', 1, 1, '{}')"));
    fault.sync_waits = true; /* so that the three share a transaction */
    uint64_t first = say(0, 5, 1, "before");
    until(&fault.waiting, 1);
    uint64_t fine = say(0, 6, 1, "a");
    store_append_t *a = store_append_new(1, 2, 1);
    add_item(a, 1, "fits", 1000);
    add_item(a, 1, "does not", 1000);
    uint64_t stale = append_ask(0, a), behind = say(0, 6, 2, "b");
    CHECK(stage_done(0));
    fault.sync_waits = false;
    CHECK_INT(stage_answer(first)->err, ERR_OK);
    CHECK_INT(stage_answer(stale)->err, ERR_STALE);
    CHECK_INT(stage_answer(fine)->err, ERR_OK);
    CHECK_INT(stage_answer(behind)->err, ERR_OK);
    CHECK_INT(look(db, "SELECT count(*) FROM message WHERE conversation = 1"), 2);
    CHECK_INT(look(db, "SELECT count(*) FROM message WHERE conversation = 6"), 2);
    sqlite3_close(db);
    sqlite_down();
}

SPEC("while somebody else holds the write lock it is busy, not broken") {
    CHECK(sqlite_up());
    sqlite3 *db = stranger();
    CHECK(tell(db, "BEGIN IMMEDIATE"));
    CHECK_INT(stage_answer(say(0, 1, 1, "a"))->err, ERR_BUSY);
    CHECK(tell(db, "ROLLBACK"));
    sqlite3_close(db);
    stage_answer_t *a = stage_answer(say(0, 1, 1, "a"));
    CHECK_INT(a->err, ERR_OK);
    CHECK(!appended(a, 0).repeat);
    sqlite_down();
}

/* --- the file --- */

SPEC("every connection syncs fully, keeps no secure_delete and leaves checkpoints to the writer") {
    stage_new();
    fault_install();
    CHECK(store_try_open()); /* its threads do not run yet */
    store_conn_t *conns[] = {store->writer.conn, store->readers[0].conn, store->readers[1].conn};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(sqlite_number(conns[i], "PRAGMA synchronous", -1), 2);
        CHECK_INT(sqlite_number(conns[i], "PRAGMA secure_delete", -1), 0);
        CHECK_INT(sqlite_number(conns[i], "PRAGMA wal_autocheckpoint", -1), 0);
        CHECK(sqlite_number(conns[i], "PRAGMA busy_timeout", -1) > 0);
        CHECK(sqlite_number(conns[i], "PRAGMA cache_size", 0) <= -16384);
    }
    stage_stop();
    store_close(store);
    stage_free();
}

SPEC("the WAL stays bounded under steady writes with readers at work") {
    enum { CONTENT = 30000, PER = 100, ROUNDS = 40 }; /* 120 MB */
    char *text = malloc(CONTENT + 16);
    int64_t most = 0;
    memset(text, 'x', CONTENT);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + CONTENT - 2, "\"}", 2);
    CHECK(sqlite_up());
    for (int round = 0; round < ROUNDS; round++) {
        store_append_t *a = store_append_new(1, round * PER + 1, 1);
        for (int i = 0; i < PER; i++) {
            char id[32];
            snprintf(id, sizeof id, "%d", round * PER + i);
            store_append_item_t item = {
                .sender = 1, .at_ms = 1, .client_msg_id = slice_of(id), .content = {text, CONTENT}};
            store_append_add(a, &item);
        }
        uint64_t cookie = append_ask(0, a);
        CHECK_INT(run("member_count", "i", (int64_t)1)->err, ERR_OK);
        CHECK_INT(stage_answer(cookie)->err, ERR_OK);
        int64_t size = size_of("t.db-wal");
        most = size > most ? size : most;
    }
    free(text);
    CHECK(most < 56 << 20); /* 32 MB, one transaction more, and a try that a reader held up */
    CHECK(size_of("t.db") > 60 << 20);
    sqlite_down();
}

SPEC("a WAL left behind is folded in at open") {
    char command[300];
    CHECK(sqlite_up());
    CHECK_INT(stage_answer(say(0, 1, 1, "a"))->err, ERR_OK);
    snprintf(command, sizeof command, "cd '%s' && mkdir image && cp t.db t.db-wal image",
             stage->dir);
    CHECK_INT(system(command), 0);
    store_down();
    snprintf(command, sizeof command, "cd '%s' && rm -f t.db t.db-* && mv image/* .", stage->dir);
    CHECK_INT(system(command), 0);
    CHECK(size_of("t.db-wal") > 0);
    runtime_free(stage->rt);
    stage->rt = runtime_new(&(runtime_conf_t){.workers = 2});
    CHECK(store_up());
    CHECK_INT(size_of("t.db-wal"), 0);
    CHECK(appended(stage_answer(say(0, 1, 2, "a")), 0).repeat);
    sqlite_down();
}

/* --- versions --- */

SPEC("a database of a newer version is refused by a line that says so") {
    stage_new();
    fault_install();
    sqlite3 *db = stranger();
    CHECK(tell(db, "PRAGMA user_version = 4711"));
    sqlite3_close(db);
    CHECK(!store_try_open());
    CHECK(strstr(stage->fault, "is of version 4711, this parleyd knows versions up to"));
    stage_free();
}

SPEC("migrations run in order, once, and one that fails leaves nothing") {
    char why[300];
    sqlite_step_t steps[] = {
        {1, "1", SLICE("CREATE TABLE a (x); CREATE TABLE b (x);")},
        {2, "2", SLICE("INSERT INTO a VALUES (1);")},
        {3, "3", SLICE("CREATE TABLE c (x); INSERT INTO nothing VALUES (1);")}};
    stage_new();
    fault_install();
    store_conn_t c = {.db = stranger(), .path = "t.db"};
    CHECK_INT(sqlite_migrate(&c, steps, 1, why, sizeof why), ERR_OK);
    CHECK_INT(sqlite_migrate(&c, steps, 2, why, sizeof why), ERR_OK);
    CHECK_INT(sqlite_migrate(&c, steps, 2, why, sizeof why), ERR_OK);
    CHECK_INT(look(c.db, "SELECT count(*) FROM a"), 1);
    CHECK_INT(sqlite_migrate(&c, steps, 3, why, sizeof why), ERR_IO);
    CHECK(strstr(why, "nothing"));
    CHECK_INT(look(c.db, "PRAGMA user_version"), 2);
    CHECK_INT(look(c.db, "SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0);
    sqlite3_close(c.db);
    stage_free();
}

/* --- operations files --- */
static int parse(const char *text, char *why, size_t room) {
    store_ops_t ops = {0};
    int err = store_ops_parse(&ops, "x.sql", slice_of(text), why, room);
    if (err == ERR_OK)
        err = store_ops_sort(&ops, why, room);
    store_ops_free(&ops);
    return err;
}

SPEC("refuses a file of operations that is not understood, or a name that is there twice") {
    char why[300];
    CHECK_INT(parse("-- a comment\n-- name: a read\nSELECT 1;\n-- name: b write expect=1\nX;\n",
                    why, sizeof why),
              ERR_OK);
    CHECK_INT(parse("-- name: a reads\nSELECT 1;", why, sizeof why), ERR_BAD_REQUEST);
    CHECK_INT(parse("-- name: a write expect=\nSELECT 1;", why, sizeof why), ERR_BAD_REQUEST);
    CHECK_INT(parse("-- name: a write expect=1 more\nSELECT 1;", why, sizeof why), ERR_BAD_REQUEST);
    CHECK_INT(parse("-- name: a read\nSELECT 1;\n-- name: a read\nSELECT 2;", why, sizeof why),
              ERR_BAD_REQUEST);
    CHECK(strstr(why, "the operation a"));
}

STORE_SPEC_MAIN
