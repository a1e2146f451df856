/* What a node must know before it lets anybody in, on a store that answers as the spec says. */
#include "actors/first_read.h"
#include "base/clock.h"
#include "port/store_in.h"
#include "sched/runtime.h"
#include "spec/wait.h"

enum { GO = MSG_USER + 500, OP_LOGINS = 1, OP_USERS };

static struct {
    int fail_logins, fail_users; /* so many reads fail first */
    int logins, users;           /* reads so far */
    int64_t rows;                /* of each kind: ids from 7 on */
} port;
static edge_t edge;
static _Atomic int given_up;
static _Atomic bool early; /* ready before all had been read */

/* The page behind `after`: ids that rise, all revoked at the same moment. */
static int64_t add_page(buf_t *rows, bool logins, int64_t when, int64_t after, int64_t limit) {
    int64_t n = 0;
    for (int64_t id = after < 7 ? 7 : after + 1; n < limit && id < 7 + port.rows; id++, n++) {
        uint32_t row = store_row_begin(rows);
        value_add_int(rows, id);
        if (logins)
            value_add_int(rows, when);
        store_row_end(rows, row);
    }
    return n;
}

void store_run(store_t *s, actor_t *self, int op, buf_t *params, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie) {
    (void)s, (void)timeout_ms;
    buf_t rows = {0};
    bool logins = op == OP_LOGINS;
    int n = logins ? ++port.logins : ++port.users;
    msg_t *m = msg_new(reply_verb, 0);
    slice_t given = buf_slice(params);
    int64_t since = logins ? value_next_int(&given) : 0;
    int64_t after = value_next_int(&given), limit = value_next_int(&given);
    early |= atomic_load(&edge.loaded);
    m->cookie = cookie;
    m->err = n <= (logins ? port.fail_logins : port.fail_users) ? ERR_BUSY : ERR_OK;
    uint32_t place = store_result_begin(&rows);
    int64_t count = add_page(&rows, logins, since + edge.revoke_ms, after, limit);
    store_result_end(&rows, place,
                     &(store_result_t){.rows = (uint32_t)count, .columns = logins ? 2 : 1});
    buf_free(params);
    if (m->err == ERR_OK)
        m->body = block_from_buf(&rows);
    buf_free(&rows);
    actor_send(self, actor_self(self), m);
}

/* The other half of the store that this program would else be linked with. */
bool store_op_writes(const store_t *s, int op) {
    (void)s, (void)op;
    return false;
}

static void handle(actor_t *self, void *state, msg_t *m) {
    if (m->verb == GO)
        first_read_begin(state, self, &edge);
    else if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
    else if (first_read_message(state, self, &edge, m) != ERR_OK)
        given_up++;
}
static const actor_class_t reader = {
    .name = "reader", .state_size = sizeof(first_read_t), .handle = handle};

/* The clock goes ten times as fast: the waits are seconds. */
static uint64_t fast_ns(void *arg) {
    (void)arg;
    return clock_mono_ns() * 10;
}

static void run_with(int64_t rows, int fail_logins, int fail_users) {
    memset(&edge, 0, sizeof edge);
    memset(&port, 0, sizeof port);
    port.rows = rows;
    port.fail_logins = fail_logins;
    port.fail_users = fail_users;
    given_up = 0;
    early = false;
    edge.logins = denied_new("revoked login", 1000000);
    edge.disabled = denied_new("disabled user", 1000000);
    edge.revoke_ms = 60000;
    edge.op_revoked = OP_LOGINS;
    edge.op_inactive = OP_USERS;
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 1, .seed = 1, .mono_ns = fast_ns});
    runtime_start(rt);
    runtime_send(rt, actor_spawn(rt, NULL, &reader, 0, 0, NULL), msg_new(GO, 0));
    (void)COMES(given_up || atomic_load(&edge.loaded));
    runtime_stop(rt, 2000);
    runtime_free(rt);
}

static void run(int fail_logins, int fail_users) {
    run_with(1, fail_logins, fail_users);
}

static void clear(void) {
    denied_free(edge.logins);
    denied_free(edge.disabled);
}

SPEC("reads the revoked logins, then the disabled users; only then the node is ready") {
    run(0, 0);
    CHECK(atomic_load(&edge.loaded));
    CHECK(!early);
    CHECK(denied_has(edge.logins, 7));
    CHECK(denied_has(edge.disabled, 7));
    CHECK_INT(port.logins + port.users, 2);
    clear();
}

SPEC("reads page by page, each row once, however many there are") {
    run_with(2 * FIRST_READ_PAGE + 1, 1, 1);
    CHECK(atomic_load(&edge.loaded));
    CHECK(!early);
    CHECK_INT(port.logins, 4); /* three pages, one of which failed once */
    CHECK_INT(port.users, 4);
    CHECK_INT(denied_count(edge.logins), 2 * FIRST_READ_PAGE + 1);
    CHECK_INT(denied_count(edge.disabled), 2 * FIRST_READ_PAGE + 1);
    CHECK(denied_has(edge.logins, 2 * FIRST_READ_PAGE + 7));
    clear();
    run_with(FIRST_READ_PAGE, 0, 0); /* a full page may have been the last one */
    CHECK(atomic_load(&edge.loaded));
    CHECK_INT(port.users, 2);
    CHECK_INT(denied_count(edge.disabled), FIRST_READ_PAGE);
    clear();
}

SPEC("tries again what failed, and is not ready meanwhile") {
    run(2, FIRST_READ_TRIES - 1);
    CHECK(atomic_load(&edge.loaded));
    CHECK(!early);
    CHECK_INT(given_up, 0);
    CHECK_INT(port.logins, 3);
    CHECK_INT(port.users, FIRST_READ_TRIES);
    CHECK(denied_has(edge.logins, 7));
    CHECK(denied_has(edge.disabled, 7));
    clear();
}

SPEC("gives up after FIRST_READ_TRIES, and was never ready") {
    run(0, FIRST_READ_TRIES);
    CHECK_INT(given_up, 1);
    CHECK(!atomic_load(&edge.loaded));
    CHECK_INT(port.users, FIRST_READ_TRIES);
    clear();
}
SPEC_MAIN
