/* What store.h promises of named operations, against every kind of store. */
#include "store_stage.h"

SPEC("knows operations by name, with parameters and columns in order") {
    size_t count;
    stage_new();
    CHECK(store_up());
    int op = store_op(store, "user_create");
    CHECK(op >= 0 && store_op_writes(store, op));
    const char *const *params = store_op_params(store, op, &count);
    CHECK_INT(count, 4);
    CHECK_TEXT(params[0], strlen(params[0]), ":username");
    CHECK_TEXT(params[3], strlen(params[3]), ":now");
    const char *const *columns = store_op_columns(store, store_op(store, "login_get"), &count);
    CHECK_INT(count, 14);
    CHECK_TEXT(columns[0], strlen(columns[0]), "fam");
    CHECK(!store_op_writes(store, store_op(store, "login_get")));
    CHECK_INT(store_op(store, "no_such_operation"), -1);
    store_down();
    stage_free();
}

SPEC("gives rows with every type of value, what changed and the id made") {
    store_rows_t r;
    slice_t row;
    stage_new();
    CHECK(store_up());
    stage_answer_t *a = run("user_create", "ttti", "ann", "hash", "Ann", (int64_t)1700000000000);
    CHECK_INT(a->err, ERR_OK);
    CHECK(rows_of(a, &r));
    CHECK_INT(r.changed, 1);
    CHECK_INT(r.columns, 1);
    CHECK(store_rows_next(&r, &row));
    int64_t id = value_next_int(&row);
    CHECK(id > 0);
    CHECK_INT(r.last_id, id);
    CHECK(!store_rows_next(&r, &row));
    CHECK(!store_rows_next_op(&r));
    a = run("user_credentials", "t", "ann");
    CHECK(rows_of(a, &r) && store_rows_next(&r, &row));
    CHECK_INT(value_next_int(&row), id);
    slice_t name = value_next_text(&row);
    CHECK_TEXT(name.at, name.len, "ann");
    CHECK_INT(row_count(run("user_credentials", "t", "nobody")), 0);
    store_down();
    stage_free();
}

SPEC("sees in a read what was answered as written before") {
    char name[32];
    stage_new();
    CHECK(store_up());
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "user%d", i);
        int64_t id = make_user(name);
        CHECK(id > 0);
        CHECK_INT(number_of(run("user_credentials", "t", name)), id);
    }
    store_down();
    stage_free();
}

SPEC("answers exists when a unique rule refuses, and the others of its transaction stay") {
    stage_new();
    CHECK(store_up());
    CHECK(make_user("ann") > 0);
    uint64_t cookies[40];
    for (int i = 0; i < 40; i++) { /* they meet in transactions */
        char name[32];
        snprintf(name, sizeof name, "u%d", i);
        cookies[i] = ask("user_create", "ttti", i % 2 ? "ann" : name, "", "", (int64_t)1);
    }
    for (int i = 0; i < 40; i++)
        CHECK_INT(stage_answer(cookies[i])->err, i % 2 ? ERR_EXISTS : ERR_OK);
    CHECK(number_of(run("user_credentials", "t", "u38")) > 0);
    store_down();
    stage_free();
}

SPEC("answers stale when an expected row count does not hold") {
    stage_new();
    CHECK(store_up());
    int64_t fam = number_of(run("login_create", "iti", (int64_t)1, "phone", (int64_t)5));
    CHECK(fam > 0);
    CHECK_INT(run("login_pair", "tti", "h1", "p", fam)->err, ERR_OK);
    CHECK_INT(run("login_pair", "tti", "h1", "p", fam + 100)->err, ERR_STALE);
    store_down();
    stage_free();
}

/* --- batches --- */
typedef struct batch_call {
    store_batch_t b;
    uint64_t cookie;
} batch_call_t;

static void batch_go(actor_t *self, void *arg) {
    batch_call_t *c = arg;
    store_batch_run(store, self, &c->b, 0, STAGE_REPLY, c->cookie);
}

static stage_answer_t *run_batch(store_batch_t *b) {
    batch_call_t c = {*b, stage_cookie()};
    stage_do(0, batch_go, &c);
    return stage_answer(c.cookie);
}

static void batch_user(store_batch_t *b, const char *name) {
    buf_t p = params_of("ttti", name, "", "", (int64_t)1);
    store_batch_add(store, b, store_op(store, "user_create"), &p);
}

SPEC("runs a batch in order: each operation's rows, the last id within it") {
    store_batch_t b = {0};
    store_rows_t r;
    slice_t row;
    stage_new();
    CHECK(store_up());
    buf_t p = params_of("iii", (int64_t)3, (int64_t)9, (int64_t)1);
    store_batch_add(store, &b, store_op(store, "single_create"), &p);
    p = params_of("iit", (int64_t)0, (int64_t)1, "[3,9]");
    store_batch_add(store, &b, store_op(store, "members_first"), &p);
    CHECK(b.writes);
    stage_answer_t *a = run_batch(&b);
    CHECK_INT(a->err, ERR_OK);
    CHECK(rows_of(a, &r) && store_rows_next(&r, &row));
    int64_t conversation = value_next_int(&row);
    CHECK(store_rows_next_op(&r));
    CHECK_INT(r.changed, 2);
    CHECK(!store_rows_next_op(&r));
    CHECK_INT(row_count(run("member_ids", "i", conversation)), 2);
    store_down();
    stage_free();
}

SPEC("a batch is all or nothing") {
    store_batch_t b = {0};
    stage_new();
    CHECK(store_up());
    CHECK(make_user("ann") > 0);
    batch_user(&b, "bob");
    batch_user(&b, "ann");
    CHECK_INT(run_batch(&b)->err, ERR_EXISTS);
    CHECK_INT(row_count(run("user_credentials", "t", "bob")), 0);
    b = (store_batch_t){0};
    batch_user(&b, "bob");
    batch_user(&b, "cid");
    CHECK_INT(run_batch(&b)->err, ERR_OK);
    CHECK_INT(row_count(run("user_credentials", "t", "bob")), 1);
    store_down();
    stage_free();
}

SPEC("a batch of reads is one snapshot and gives each one's rows") {
    store_batch_t b = {0};
    store_rows_t r;
    stage_new();
    CHECK(store_up());
    CHECK(make_user("ann") > 0);
    const char *names[] = {"ann", "nobody", "ann"};
    for (int i = 0; i < 3; i++) {
        buf_t p = params_of("t", names[i]);
        store_batch_add(store, &b, store_op(store, "user_credentials"), &p);
    }
    CHECK(!b.writes);
    stage_answer_t *a = run_batch(&b);
    CHECK(rows_of(a, &r));
    CHECK_INT(r.rows_left, 1);
    CHECK(store_rows_next_op(&r)); /* skips what was not read */
    CHECK_INT(r.rows_left, 0);
    CHECK(store_rows_next_op(&r));
    CHECK_INT(r.rows_left, 1);
    CHECK(!store_rows_next_op(&r));
    store_down();
    stage_free();
}

SPEC("keeps what was answered across a restart") {
    stage_new();
    CHECK(store_up());
    int64_t id = make_user("ann");
    CHECK(store_restart());
    CHECK_INT(number_of(run("user_credentials", "t", "ann")), id);
    CHECK(make_user("bob") > id);
    store_down();
    stage_free();
}

/* --- limits --- */
typedef struct many {
    uint64_t first;
    int count;
    const char *op;
} many_t;

/* All within one turn of the actor: faster than any store answers. */
static void go_many(actor_t *self, void *arg) {
    many_t *c = arg;
    for (int i = 0; i < c->count; i++) {
        buf_t p = params_of("t", "ann");
        store_run(store, self, store_op(store, c->op), &p, 0, STAGE_REPLY, c->first + (uint64_t)i);
    }
}

/* The log's size is told a moment after the answers. */
static bool at_rest(store_stats_t *s, bool written) {
    store_stats(store, s);
    return s->write_queue == 0 && s->read_queue == 0 && (!written || s->wal_bytes > 0);
}

SPEC("answers busy at once when the queue is full, and counts it") {
    store_stats_t s;
    stage_new();
    stage_set("store.queue", "4");
    stage_set("store.readers", "1");
    CHECK(store_up());
    many_t c = {stage_cookie(), 2000, "user_credentials"};
    for (int i = 1; i < c.count; i++)
        stage_cookie();
    stage_do(0, go_many, &c);
    int busy = 0, fine = 0;
    for (int i = 0; i < c.count; i++) {
        int err = stage_answer(c.first + (uint64_t)i)->err;
        busy += err == ERR_BUSY;
        fine += err == ERR_OK;
    }
    CHECK(busy > 0 && fine > 0);
    CHECK_INT(busy + fine, c.count);
    UNTIL(at_rest(&s, false));
    CHECK_INT(s.refused, busy);
    CHECK_INT(s.reads, fine);
    store_down();
    stage_free();
}

SPEC("counts commits and rows; many that wait share a commit") {
    store_stats_t s;
    uint64_t cookies[300];
    stage_new();
    CHECK(store_up());
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "u%d", i);
        cookies[i] = ask("user_create", "ttti", name, "", "", (int64_t)1);
    }
    for (int i = 0; i < 300; i++)
        CHECK_INT(stage_answer(cookies[i])->err, ERR_OK);
    store_stats(store, &s);
    CHECK_INT(s.rows, 300);
    CHECK(s.commits >= 1 && s.commits < 300);
    UNTIL(at_rest(&s, true));
    store_down();
    stage_free();
}

static int64_t last_seen(int64_t user) {
    char list[32];
    store_rows_t r;
    slice_t row;
    snprintf(list, sizeof list, "[%lld]", (long long)user);
    const stage_answer_t *a = run("presence_of", "it", (int64_t)0, list);
    if (!rows_of(a, &r) || !store_rows_next(&r, &row) || value_next_int(&row) != user)
        return -1;
    return value_next_int(&row);
}

SPEC("writes when many users left by one statement, and never takes a moment back") {
    char list[128];
    stage_new();
    CHECK(store_up());
    int64_t ann = make_user("ann"), bob = make_user("bob"), eve = make_user("eve");
    snprintf(list, sizeof list, "{\"%lld\":7000,\"%lld\":1760000000123,\"99999\":5}",
             (long long)ann, (long long)bob);
    CHECK_INT(run("users_seen", "t", list)->err, ERR_OK);
    snprintf(list, sizeof list, "{\"%lld\":6000}", (long long)ann);
    CHECK_INT(run("users_seen", "t", list)->err, ERR_OK);
    CHECK_INT(last_seen(ann), 7000);
    CHECK_INT(last_seen(bob), 1760000000123);
    CHECK_INT(last_seen(eve), 0);
    store_down();
    stage_free();
}

SPEC("a kind of store that is not known is refused by the name of its key") {
    stage_new();
    store = NULL;
    stage_set("store.url", "floppy:a");
    CHECK(!store_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault));
    CHECK(strstr(stage->fault, "store.url") && strstr(stage->fault, "floppy:a"));
    stage_free();
}

STORE_SPEC_MAIN
