/* sqlite_stage: a store on SQLite whose file system has a hand on it (fault_vfs), and strangers at
 * its file. */
#pragma once
#include "fault_vfs.h"
#include "port/store_sqlite.h"
#include "store_stage.h"

static char path_room[128];
__attribute__((unused)) static const char *path_of(const char *name) {
    snprintf(path_room, sizeof path_room, "%s/%s", stage->dir, name);
    return path_room;
}

__attribute__((unused)) static void until(const _Atomic int *what, int least) {
    while (*what < least)
        nap();
}

__attribute__((unused)) static bool sqlite_up(void) {
    stage_new();
    fault_install();
    return store_up();
}

__attribute__((unused)) static void sqlite_down(void) {
    store_down();
    stage_free();
}

__attribute__((unused)) static uint64_t say(int who, int64_t conversation, int64_t seq,
                                            const char *id) {
    store_append_t *a = store_append_new(conversation, seq, 1);
    add_item(a, 1, id, 1000);
    return append_ask(who, a);
}

/* Somebody else at the file: a backup, a person with the sqlite3 shell. */
__attribute__((unused)) static sqlite3 *stranger(void) {
    sqlite3 *db;
    if (sqlite3_open(path_of("t.db"), &db) != SQLITE_OK)
        abort();
    return db;
}
__attribute__((unused)) static bool tell(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}
__attribute__((unused)) static int64_t look(sqlite3 *db, const char *sql) {
    store_conn_t c = {.db = db};
    return sqlite_number(&c, sql, -1);
}
