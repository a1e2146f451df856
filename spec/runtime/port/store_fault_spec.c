/* What the SQLite engine promises while the disk is slow, full or failing: nobody is told that
 * something is stored which is not. */
#include "sqlite_stage.h"

/* --- nothing is answered before it is on the disk --- */

SPEC("answers nobody before the commit is synced, then all of the group") {
    uint64_t cookies[30];
    char id[32];
    CHECK(sqlite_up());
    fault.sync_waits = true;
    uint64_t first = say(0, 1, 1, "first");
    until(&fault.waiting, 1);
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof id, "m%d", i);
        cookies[i] = say(0, 2, i + 1, id);
    }
    CHECK(stage_done(0)); /* they wait for the writer now */
    CHECK(!stage->answers[first].there);
    fault.sync_waits = false;
    CHECK_INT(stage_answer(first)->err, ERR_OK);
    for (int i = 0; i < 30; i++)
        CHECK_INT(stage_answer(cookies[i])->err, ERR_OK);
    store_stats_t s;
    store_stats(store, &s);
    CHECK(s.commits <= 4); /* what waited went in few */
    CHECK((uint64_t)fault.syncs >= s.commits);
    sqlite_down();
}

SPEC("what was answered is in the files as they are at that moment") {
    char command[300];
    CHECK(sqlite_up());
    CHECK_INT(stage_answer(say(0, 1, 1, "a"))->err, ERR_OK);
    snprintf(command, sizeof command, "cd '%s' && cp t.db u.db && cp t.db-wal u.db-wal",
             stage->dir);
    CHECK_INT(system(command), 0);
    store_down();
    sqlite3 *db;
    CHECK(sqlite3_open(path_of("u.db"), &db) == SQLITE_OK);
    CHECK_INT(look(db, "SELECT count(*) FROM message WHERE client_msg_id = 'a'"), 1);
    sqlite3_close(db);
    stage_free();
}

/* --- a failing disk --- */

SPEC("on a full disk the whole group fails, nothing of it is stored, and it works afterwards") {
    uint64_t cookies[20];
    char id[32];
    CHECK(sqlite_up());
    CHECK_INT(stage_answer(say(0, 1, 1, "a"))->err, ERR_OK);
    fault.sync_waits = true;
    uint64_t before = say(0, 1, 2, "b");
    until(&fault.waiting, 1);
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "c%d", i);
        cookies[i] = say(0, 1, i + 3, id);
    }
    uint64_t user = ask("user_create", "ttti", "ann", "", "", (int64_t)1);
    CHECK(stage_done(0));
    fault.full = true;
    fault.sync_waits = false;
    CHECK_INT(stage_answer(before)->err, ERR_OK); /* its pages were written before */
    for (int i = 0; i < 20; i++)
        CHECK(stage_answer(cookies[i])->err != ERR_OK);
    CHECK(stage_answer(user)->err != ERR_OK);
    CHECK(fault.failed > 0);
    fault.full = false;
    CHECK_INT(row_count(run("user_credentials", "t", "ann")), 0);
    CHECK(make_user("ann") > 0);
    CHECK_INT(stage_answer(say(0, 1, 23, "hole"))->err, ERR_STALE);
    CHECK_INT(stage_answer(say(0, 1, 4, "hole"))->err, ERR_STALE);
    stage_answer_t *a = stage_answer(say(0, 1, 3, "c7"));
    CHECK_INT(a->err, ERR_OK);
    CHECK(!appended(a, 0).repeat);
    CHECK_INT(appended(a, 0).seq, 3);
    sqlite_down();
}

SPEC("full in the middle of a transaction: those done before in it are told that they are not") {
    static char text[60000];
    memset(text, 'x', sizeof text - 1);
    stage_new();
    fault_install();
    CHECK(store_try_open());
    sqlite3 *db = store->writer.conn->db; /* its thread does not run yet */
    char limit[64];
    snprintf(limit, sizeof limit, "PRAGMA max_page_count=%lld",
             (long long)sqlite_number(store->writer.conn, "PRAGMA page_count", 0) + 6);
    CHECK(tell(db, limit));
    stage_start();
    fault.sync_waits = true;
    uint64_t first = say(0, 1, 1, "a");
    until(&fault.waiting, 1);
    uint64_t small = say(0, 1, 2, "b"); /* would fit */
    uint64_t big = ask_for(0, 0, "user_create", params_of("ttti", text, "", "", (int64_t)1));
    uint64_t behind = say(0, 1, 3, "c");
    CHECK(stage_done(0));
    fault.sync_waits = false;
    CHECK_INT(stage_answer(first)->err, ERR_OK);
    CHECK_INT(stage_answer(small)->err, ERR_IO);
    CHECK_INT(stage_answer(big)->err, ERR_IO);
    CHECK_INT(stage_answer(behind)->err, ERR_IO);
    stage_answer_t *a = stage_answer(say(0, 1, 2, "b"));
    CHECK_INT(a->err, ERR_OK);
    CHECK(!appended(a, 0).repeat);
    sqlite_down();
}

SPEC("a failed sync is no success: unknown, never tried again, and the connection is opened anew") {
    CHECK(sqlite_up());
    CHECK_INT(stage_answer(say(0, 1, 1, "a"))->err, ERR_OK);
    int before = fault.syncs, opens = fault.opens;
    fault.sync_fails = true;
    CHECK_INT(stage_answer(say(0, 1, 2, "b"))->err, ERR_TIMEOUT);
    CHECK_INT(fault.syncs - before, 1);
    fault.sync_fails = false;
    CHECK_INT(stage_answer(say(0, 1, 3, "c"))->err, ERR_STALE); /* 2 is not there: a hole */
    stage_answer_t *a = stage_answer(say(0, 1, 2, "b"));        /* the client sends it once more */
    CHECK_INT(a->err, ERR_OK);
    CHECK_INT(appended(a, 0).seq, 2);
    CHECK_INT(fault.opens - opens, 1);
    a = stage_answer(say(0, 1, 3, "c"));
    CHECK_INT(a->err, ERR_OK);
    CHECK_INT(appended(a, 0).seq, 3);
    CHECK(store_restart());
    a = stage_answer(say(0, 1, 4, "b"));
    CHECK(appended(a, 0).repeat);
    CHECK_INT(appended(a, 0).seq, 2);
    sqlite_down();
}

SPEC("many failures in a row leave seqs without hole and double") {
    char id[32];
    int64_t next = 1;
    CHECK(sqlite_up());
    for (int i = 0; i < 60; i++) {
        snprintf(id, sizeof id, "m%d", i / 2);
        fault.full = i % 5 == 1;
        fault.sync_fails = i % 7 == 2;
        stage_answer_t *a = stage_answer(say(0, 1, next, id));
        fault.full = fault.sync_fails = false;
        if (a->err != ERR_OK)
            continue;
        CHECK(appended(a, 0).repeat ? appended(a, 0).seq < next : appended(a, 0).seq == next);
        next += !appended(a, 0).repeat;
    }
    sqlite3 *db = stranger();
    CHECK_INT(look(db, "SELECT count(*) FROM message"), next - 1);
    CHECK_INT(look(db, "SELECT max(seq) FROM message"), next - 1);
    sqlite3_close(db);
    sqlite_down();
}

/* --- limits of the writer --- */

SPEC("answers busy at once when too much waits for the writer") {
    stage_new();
    fault_install();
    stage_set("store.queue", "5");
    CHECK(store_up());
    fault.sync_waits = true;
    uint64_t first = say(0, 1, 1, "a");
    until(&fault.waiting, 1);
    uint64_t cookies[8];
    for (int i = 0; i < 8; i++) {
        char id[32];
        snprintf(id, sizeof id, "b%d", i);
        cookies[i] = say(0, i + 2, 1, id);
    }
    for (int i = 4; i < 8; i++) /* one is in work, four wait */
        CHECK_INT(stage_answer(cookies[i])->err, ERR_BUSY);
    fault.sync_waits = false;
    CHECK_INT(stage_answer(first)->err, ERR_OK);
    for (int i = 0; i < 4; i++)
        CHECK_INT(stage_answer(cookies[i])->err, ERR_OK);
    sqlite_down();
}

SPEC("what waited past its deadline is not done") {
    CHECK(sqlite_up());
    fault.sync_waits = true;
    uint64_t first = say(0, 1, 1, "a");
    until(&fault.waiting, 1);
    uint64_t late = ask_for(0, 20, "user_create", params_of("ttti", "ann", "", "", (int64_t)1));
    CHECK_INT(stage_answer(late)->err, ERR_TIMEOUT);
    fault.sync_waits = false;
    CHECK_INT(stage_answer(first)->err, ERR_OK);
    CHECK(make_user("bob") > 0); /* behind it */
    CHECK_INT(row_count(run("user_credentials", "t", "ann")), 0);
    sqlite_down();
}

SPEC("what expired while the transactions before it ran is not done either") {
    stage_new();
    fault_install();
    stage_set("store.batch", "1"); /* a transaction each */
    CHECK(store_up());
    CHECK(make_user("warm") > 0); /* the first commit also syncs the WAL's head */
    fault.sync_waits = true;
    uint64_t first = say(0, 1, 1, "a");
    until(&fault.waiting, 1);
    uint64_t second = say(0, 1, 2, "b");
    uint64_t late = ask_for(0, 1000, "user_create", params_of("ttti", "ann", "", "", (int64_t)1));
    fault.let_pass = 1; /* the writer takes the other two and waits for the second */
    CHECK_INT(stage_answer(first)->err, ERR_OK);
    CHECK_INT(stage_answer(late)->err, ERR_TIMEOUT);
    fault.sync_waits = false;
    CHECK_INT(stage_answer(second)->err, ERR_OK);
    CHECK(make_user("bob") > 0);
    CHECK_INT(row_count(run("user_credentials", "t", "ann")), 0);
    sqlite_down();
}

SPEC("what the runtime answers at its deadline leaves the queue too") {
    stage_new();
    fault_install();
    stage_set("store.queue", "2");
    CHECK(store_up());
    for (int i = 0; i < 5; i++) {
        char id[32];
        fault.sync_waits = true;
        snprintf(id, sizeof id, "m%d", i);
        uint64_t first = say(0, 1, i + 1, id);
        until(&fault.waiting, 1);
        uint64_t late = ask_for(0, 20, "user_create", params_of("ttti", "ann", "", "", (int64_t)1));
        CHECK_INT(stage_answer(late)->err, ERR_TIMEOUT);
        fault.sync_waits = false;
        CHECK_INT(stage_answer(first)->err, ERR_OK);
        CHECK_INT(run("users_seen", "t", "{\"1\":1}")->err, ERR_OK);
    }
    store_stats_t s;
    store_stats(store, &s);
    CHECK_INT(s.write_queue, 0);
    sqlite_down();
}

STORE_SPEC_MAIN
