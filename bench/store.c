/* store: what an appended message costs: rows a second and CPU per row through the store port,
 * beside a bare SQLite loop that does the same inserts with the same settings in the same run. Two
 * shapes: one conversation's appends of N rows, and N conversations that append one row each and
 * wait. bench_store [--seconds S] [--dir DIR] */
#include "port/store.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { GO = MSG_USER + 1, DONE };
static const char content[] =
    "{\"text\":{\"text\":\"The quick brown fox jumps over the lazy dog, and "
    "then it does so once more for good measure.\"}}";
static double seconds = 2;
static const char *dir = "/tmp";

typedef struct figures {
    double rows_s, us_row, per_commit;
} figures_t;

static double cpu_us(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void remove_files(const char *path) {
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    for (int i = 0; i < 4; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

/* Ids as clients make them: their order says nothing. */
static int make_id(char *id, size_t room, uint64_t n) {
    return snprintf(id, room, "%016llx", (unsigned long long)(n * 0x9e3779b97f4a7c15ull));
}

/* --- bare --- */
static void must(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
        exit(1);
    }
}

static const char tables[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF;"
    "PRAGMA cache_size=-131072; PRAGMA wal_autocheckpoint=8000;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, seq INTEGER NOT "
    "NULL, sender INTEGER NOT NULL, client_msg_id TEXT NOT NULL, at_ms INTEGER NOT NULL, type "
    "INTEGER NOT NULL, recalled INTEGER NOT NULL DEFAULT 0, reply_to INTEGER NOT NULL DEFAULT 0, "
    "content TEXT NOT NULL);"
    "CREATE UNIQUE INDEX message_seq ON message (conversation, seq);"
    "CREATE UNIQUE INDEX message_once ON message (conversation, sender, client_msg_id);";

static void bare_insert(sqlite3_stmt *st, int64_t conversation, int64_t seq, uint64_t n) {
    char id[32];
    int len = make_id(id, sizeof id, n);
    sqlite3_bind_int64(st, 1, (int64_t)n);
    sqlite3_bind_int64(st, 2, conversation);
    sqlite3_bind_int64(st, 3, seq);
    sqlite3_bind_int64(st, 4, 7);
    sqlite3_bind_text(st, 5, id, len, SQLITE_STATIC);
    sqlite3_bind_int64(st, 6, 1700000000000 + (int64_t)n);
    sqlite3_bind_int64(st, 7, 1);
    sqlite3_bind_int64(st, 8, 0);
    sqlite3_bind_text(st, 9, content, sizeof content - 1, SQLITE_STATIC);
    sqlite3_step(st);
    sqlite3_reset(st);
}

/* spread: each row of a transaction is of another conversation. */
static figures_t bare(uint32_t batch, bool spread) {
    char path[256];
    sqlite3 *db;
    sqlite3_stmt *st;
    snprintf(path, sizeof path, "%s/bench_store_bare.db", dir);
    remove_files(path);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        exit(1);
    must(db, tables);
    sqlite3_prepare_v2(db,
                       "INSERT INTO message (id, conversation, seq, sender, client_msg_id, at_ms, "
                       "type, reply_to, content) VALUES (?,?,?,?,?,?,?,?,?)",
                       -1, &st, NULL);
    uint64_t n = 0, start = clock_mono_ns(), until = start + (uint64_t)(seconds * 1e9);
    double cpu = cpu_us();
    for (int64_t round = 1; clock_mono_ns() < until; round++) {
        must(db, "BEGIN IMMEDIATE");
        for (uint32_t i = 0; i < batch; i++) {
            n++;
            bare_insert(st, spread ? i + 1 : 1, spread ? round : (int64_t)n, n);
        }
        must(db, "COMMIT");
    }
    double took = (double)(clock_mono_ns() - start) / 1e9;
    figures_t f = {(double)n / took, (cpu_us() - cpu) / (double)n, batch};
    sqlite3_finalize(st);
    sqlite3_close(db);
    remove_files(path);
    return f;
}

/* --- through the port --- */
typedef struct load {
    store_t *store;
    uint32_t rows, conversations, open;
    uint64_t until, n, failed;
    int64_t *next_seq;
} load_t;
static load_t load;
static _Atomic bool over;

static void send_one(actor_t *self, uint32_t conversation) {
    store_append_t *a = store_append_new(conversation + 1, load.next_seq[conversation], 1);
    for (uint32_t i = 0; i < load.rows; i++) {
        char id[32];
        int len = make_id(id, sizeof id, ++load.n);
        store_append_item_t item = {.sender = 7,
                                    .at_ms = 1700000000000 + (int64_t)load.n,
                                    .content_type = 1,
                                    .client_msg_id = {id, (size_t)len},
                                    .content = SLICE(content)};
        store_append_add(a, &item);
    }
    load.open++;
    store_append_run(load.store, self, a, 30000, DONE, conversation);
}

static void drive(actor_t *self, void *state, msg_t *m) {
    (void)state;
    size_t count;
    switch (m->verb) {
    case GO:
        for (uint32_t i = 0; i < load.conversations; i++)
            send_one(self, i);
        break;
    case DONE:
        load.open--;
        store_appended(m, &count);
        load.next_seq[m->cookie] += (int64_t)count;
        load.failed += m->err != ERR_OK;
        if (actor_now_ns(self) < load.until && m->err == ERR_OK)
            send_one(self, (uint32_t)m->cookie);
        if (load.open == 0)
            over = true;
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        break;
    }
}
static const actor_class_t driver = {.name = "driver", .place = ACTOR_FREE, .handle = drive};

static figures_t port(uint32_t batch, bool spread) {
    char url[256], why[300];
    snprintf(url, sizeof url, "sqlite:%s/bench_store_port.db", dir);
    remove_files(url + 7);
    conf_t *conf = conf_new();
    conf_set(conf, "store.url", slice_of(url), why, sizeof why);
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 1});
    load = (load_t){.rows = spread ? 1 : batch, .conversations = spread ? batch : 1};
    load.next_seq = malloc(load.conversations * sizeof *load.next_seq);
    for (uint32_t i = 0; i < load.conversations; i++)
        load.next_seq[i] = 1;
    if (!(load.store = store_open(rt, conf, why, sizeof why))) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    actor_ref_t ref = actor_spawn(rt, NULL, &driver, 0, -1, NULL);
    runtime_start(rt);
    over = false;
    double cpu = cpu_us();
    uint64_t start = clock_mono_ns();
    load.until = start + (uint64_t)(seconds * 1e9);
    runtime_send(rt, ref, msg_new(GO, 0));
    while (!over)
        usleep(1000);
    double took = (double)(clock_mono_ns() - start) / 1e9;
    store_stats_t s;
    store_stats(load.store, &s);
    figures_t f = {(double)s.rows / took, (cpu_us() - cpu) / (double)s.rows,
                   (double)s.rows / (double)s.commits};
    if (load.failed)
        printf("%llu appends failed\n", (unsigned long long)load.failed);
    runtime_stop(rt, 1000);
    store_close(load.store);
    runtime_free(rt);
    conf_free(conf);
    free(load.next_seq);
    remove_files(url + 7);
    return f;
}

int main(int argc, char **argv) {
    static const uint32_t batches[] = {1, 16, 100, 500};
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--dir") == 0)
            dir = argv[i + 1];
    log_level_set(LOG_WARN);
    printf("%-34s %10s %8s %8s | %10s %8s | %6s %6s\n", "", "rows/s", "us/row", "rows/tx", "bare/s",
           "us/row", "rate", "cpu");
    for (int spread = 0; spread < 2; spread++)
        for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
            figures_t b = bare(batches[i], spread), p = port(batches[i], spread);
            char name[64];
            snprintf(name, sizeof name,
                     spread ? "%u conversations, 1 row each" : "1 conversation, %u rows",
                     batches[i]);
            printf("%-34s %10.0f %8.2f %8.1f | %10.0f %8.2f | %5.2fx %5.2fx\n", name, p.rows_s,
                   p.us_row, p.per_commit, b.rows_s, b.us_row, p.rows_s / b.rows_s,
                   p.us_row / b.us_row);
            fflush(stdout);
        }
    return 0;
}
