/* What the joined writes of the WAL promise: fewer calls, and nothing else changes: not what a
 * commit means, not what others see, not what a failing disk does. */
#include "fault_vfs.h"
#include "port/store_sqlite_vfs.h"
#include "spec/wait.h"
#include <unistd.h>

static char dir[64], path[80];
static sqlite3 *writer, *other; /* other: has nothing to do with it */

static int run(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int64_t number(sqlite3 *db, const char *sql) {
    sqlite3_stmt *st = NULL;
    int64_t n = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static bool intact(sqlite3 *db) {
    return number(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1;
}

static sqlite3 *open_as(const char *vfs, const char *file) {
    sqlite3 *db;
    if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs) != SQLITE_OK ||
        run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0") !=
            SQLITE_OK)
        abort();
    return db;
}

static void begin(void) {
    fault_install();
    memset(&fault, 0, sizeof fault);
    CHECK_INT(sqlite_vfs_register(), SQLITE_OK);
    strcpy(dir, "/tmp/parley-vfs-XXXXXX");
    CHECK(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.db", dir);
    writer = open_as(SQLITE_VFS, path);
    other = open_as(NULL, path);
    CHECK_INT(run(writer, "CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)"), SQLITE_OK);
}

static void end(void) {
    char command[100];
    CHECK(intact(other));
    sqlite3_close(other);
    sqlite3_close(writer);
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK_INT(system(command), 0);
}

/* So many rows of a kilobyte, four to a page. */
static int add_rows(sqlite3 *db, int count) {
    char sql[200];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
             " INSERT INTO t (text) SELECT hex(randomblob(500)) FROM n",
             count);
    return run(db, sql);
}

static int64_t rows(sqlite3 *db) {
    return number(db, "SELECT count(*) FROM t");
}

/* The files as they are now, opened as after a crash. */
static int64_t rows_of_copy(void) {
    char command[300];
    snprintf(command, sizeof command,
             "cd %s && cp t.db u.db && cp t.db-wal u.db-wal && rm -f u.db-shm", dir);
    if (system(command) != 0)
        return -1;
    snprintf(command, sizeof command, "%s/u.db", dir);
    sqlite3 *db = open_as(NULL, command);
    int64_t n = intact(db) ? rows(db) : -1;
    sqlite3_close(db);
    return n;
}

SPEC("a commit of many pages takes few writes, and is in the files when it says OK") {
    begin();
    int writes = fault.writes, syncs = fault.syncs;
    CHECK_INT(add_rows(writer, 400), SQLITE_OK); /* a hundred pages, two writes each */
    CHECK(fault.writes - writes >= 3 && fault.writes - writes <= 8);
    CHECK(fault.syncs - syncs >= 1);
    CHECK_INT(rows_of_copy(), 400);
    CHECK_INT(rows(other), 400);
    end();
}

SPEC("each commit is in the files when it says OK, also behind checkpoints") {
    begin();
    for (int i = 1; i <= 60; i++) {
        CHECK_INT(add_rows(writer, i % 7 == 0 ? 200 : 1), SQLITE_OK);
        CHECK_INT(rows_of_copy(), rows(writer));
        CHECK_INT(rows(other), rows(writer));
        if (i % 9 == 0)
            CHECK_INT(sqlite3_wal_checkpoint_v2(writer, NULL, i % 2, NULL, NULL), SQLITE_OK);
    }
    end();
}

SPEC(
    "a transaction larger than the cache reads its own pages, and others see none before its end") {
    begin();
    CHECK_INT(run(writer, "PRAGMA cache_size=10; BEGIN"), SQLITE_OK);
    for (int i = 1; i <= 20; i++) {
        CHECK_INT(add_rows(writer, 100), SQLITE_OK);
        CHECK_INT(run(writer, "UPDATE t SET text = text || 'x' WHERE id % 7 = 0"), SQLITE_OK);
        CHECK_INT(rows(writer), i * 100);
        CHECK_INT(rows(other), 0);
    }
    CHECK_INT(run(writer, "COMMIT"), SQLITE_OK);
    CHECK_INT(rows_of_copy(), 2000);
    CHECK_INT(rows(other), 2000);
    end();
}

/* As SQLite does when its cache is full in the middle of a transaction. */
static sqlite3_file *hold_back(void) {
    static const char page[4120] = "not committed";
    sqlite3_file *wal = NULL;
    sqlite3_int64 end_of_wal = 0;
    sqlite3_file_control(writer, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    wal->pMethods->xFileSize(wal, &end_of_wal);
    if (wal->pMethods->xWrite(wal, page, sizeof page, end_of_wal) != SQLITE_OK)
        abort();
    return wal;
}

SPEC("what a rolled back transaction left is never written over somebody else's commit") {
    begin();
    for (int i = 1; i <= 20; i++) {
        CHECK_INT(run(writer, "BEGIN IMMEDIATE"), SQLITE_OK);
        hold_back();
        CHECK_INT(run(writer, "ROLLBACK"), SQLITE_OK);
        CHECK_INT(add_rows(other, 40), SQLITE_OK); /* at the same place */
        CHECK_INT(add_rows(writer, 1), SQLITE_OK);
        CHECK_INT(rows_of_copy(), i * 41);
        CHECK_INT(rows(other), i * 41);
    }
    end();
}

SPEC("on a full disk the commit fails, nothing of it is there, and the next one works") {
    begin();
    CHECK_INT(add_rows(writer, 10), SQLITE_OK);
    for (int i = 1; i <= 10; i++) {
        fault.full = true;
        CHECK_INT(add_rows(writer, i * 30) & 0xff, SQLITE_FULL);
        CHECK(fault.failed > 0);
        fault.full = false;
        CHECK_INT(rows(other), 9 + i);
        CHECK_INT(add_rows(writer, 1), SQLITE_OK);
        CHECK_INT(rows_of_copy(), 10 + i);
    }
    end();
}

SPEC("a write that failed late fails the transaction, though the disk has room again") {
    char byte[1];
    begin();
    for (int i = 1; i <= 10; i++) {
        CHECK_INT(run(writer, "BEGIN IMMEDIATE"), SQLITE_OK);
        sqlite3_file *wal = hold_back();
        fault.full = true;
        CHECK_INT(wal->pMethods->xRead(wal, byte, 1, 0), SQLITE_FULL);
        fault.full = false;
        CHECK(add_rows(writer, 1) != SQLITE_OK || run(writer, "COMMIT") != SQLITE_OK);
        run(writer, "ROLLBACK");
        CHECK_INT(rows(other), i - 1);
        CHECK_INT(add_rows(writer, 1), SQLITE_OK);
        CHECK_INT(rows_of_copy(), i);
    }
    end();
}

SPEC("a failed sync fails the commit") {
    begin();
    CHECK_INT(add_rows(writer, 10), SQLITE_OK);
    fault.sync_fails = true;
    CHECK_INT(add_rows(writer, 100) & 0xff, SQLITE_IOERR);
    fault.sync_fails = false;
    CHECK_INT(rows(other), 10);
    CHECK_INT(add_rows(writer, 1), SQLITE_OK);
    CHECK_INT(rows(other), 11);
    end();
}

SPEC_MAIN
