/* store_sqlite_migrate: brings a database to the version of this binary: schema/sqlite/migrations/
 * NNNN.sql, each in one transaction with its number as user_version, so that a crash leaves either
 * the old or the new one. At open, main's thread. */
#include "base/asset.h"
#include "base/err.h"
#include "base/log.h"
#include "port/store_sqlite.h"
#include <stdlib.h>

static int fail(store_conn_t *c, const char *name, char *fault, size_t room) {
    snprintf(fault, room, "store.url: %s: %s: %s", c->path, name, sqlite_fault(c));
    if (!sqlite3_get_autocommit(c->db))
        sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return ERR_IO;
}

static bool run(store_conn_t *c, const char *sql) {
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static int take_step(store_conn_t *c, const sqlite_step_t *step, char *fault, size_t room) {
    char version[64], *sql = store_text(step->sql.at, step->sql.len);
    snprintf(version, sizeof version, "PRAGMA user_version=%lld", (long long)step->version);
    bool ok = run(c, "BEGIN IMMEDIATE") && run(c, sql) && run(c, version) && run(c, "COMMIT");
    free(sql);
    if (!ok)
        return fail(c, step->name, fault, room);
    log_info("store", "%s is of version %lld now", c->path, (long long)step->version);
    return ERR_OK;
}

int sqlite_migrate(store_conn_t *c, const sqlite_step_t *steps, size_t count, char *fault,
                   size_t room) {
    int64_t newest = count ? steps[count - 1].version : 0;
    int64_t version = sqlite_number(c, "PRAGMA user_version", -1);
    if (version < 0)
        return fail(c, "user_version", fault, room);
    if (version > newest) {
        snprintf(fault, room,
                 "store.url: %s is of version %lld, this parleyd knows versions up to %lld",
                 c->path, (long long)version, (long long)newest);
        return ERR_BAD_REQUEST;
    }
    for (size_t i = 0; i < count; i++) {
        int err = steps[i].version > version ? take_step(c, &steps[i], fault, room) : ERR_OK;
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

int sqlite_migrate_assets(store_conn_t *c, char *fault, size_t room) {
    static const char under[] = "schema/sqlite/migrations/";
    sqlite_step_t steps[256];
    size_t count, n = 0;
    const asset_t *all = asset_all(&count); /* sorted: NNNN rises */
    for (size_t i = 0; i < count && n < sizeof steps / sizeof steps[0]; i++)
        if (strncmp(all[i].path, under, sizeof under - 1) == 0)
            steps[n++] = (sqlite_step_t){strtoll(all[i].path + sizeof under - 1, NULL, 10),
                                         all[i].path, all[i].bytes};
    return sqlite_migrate(c, steps, n, fault, room);
}
