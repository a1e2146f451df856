/* The console over real sockets on a runtime of its own: what no client may do to it, and that it
 * answers whatever the workers do. The commands of a node are in spec/e2e/console_spec.lua. */
#include "admin/account.h"
#include "admin/console.h"
#include "admin/editor.h"
#include "admin/screen.h"
#include "admin/telnet.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/stat.h"
#include "spec/wait.h"
#include <arpa/inet.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a world: a runtime, a console, a client --- */

static struct world {
    char dir[64], fault[256];
    conf_t *conf;
    runtime_t *rt;
    console_t *console;
    int fd;
    char said[1 << 20];
    size_t len;
} w;

static bool verify(void *arg, slice_t password, slice_t hash) {
    (void)arg;
    return hash.len && slice_eq(password, SLICE("right"));
}

static void set(const char *key, const char *value) {
    if (conf_set(w.conf, key, slice_of(value), w.fault, sizeof w.fault) != ERR_OK)
        abort();
}

static void world_make(void) {
    char path[128];
    memset(&w, 0, sizeof w);
    signal(SIGPIPE, SIG_IGN); /* as main does: a client may leave while it is written to */
    w.fd = -1;
    snprintf(w.dir, sizeof w.dir, "/tmp/console_spec.XXXXXX");
    if (!mkdtemp(w.dir))
        abort();
    w.conf = conf_new();
    set("data.dir", w.dir);
    set("admin.listen", "127.0.0.1:0");
    snprintf(path, sizeof path, "%s/console.users", w.dir);
    account_set(path, SLICE("lena"), CONSOLE_OPERATE, "hash", w.fault, sizeof w.fault);
    account_set(path, SLICE("tom"), CONSOLE_READ, "hash", w.fault, sizeof w.fault);
    runtime_conf_t rc = {.workers = 2};
    w.rt = runtime_new(&rc);
    w.console = console_new(w.rt, w.conf, verify, NULL);
}

static void world_start(void) {
    if (runtime_start(w.rt) != ERR_OK ||
        console_start(w.console, w.fault, sizeof w.fault) != ERR_OK)
        abort();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
    (void)st, (void)flag, (void)f;
    return remove(path);
}

static void world_end(void) {
    if (w.fd >= 0)
        close(w.fd);
    console_stop(w.console);
    runtime_stop(w.rt, 2000);
    runtime_free(w.rt);
    console_free(w.console);
    conf_free(w.conf);
    nftw(w.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void dial(void) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    to.sin_port = htons((uint16_t)atoi(strrchr(console_address(w.console), ':') + 1));
    if (w.fd >= 0)
        close(w.fd);
    w.len = 0;
    w.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(w.fd, (struct sockaddr *)&to, sizeof to) != 0)
        abort();
}

static void say(const char *text) {
    if (send(w.fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        w.len = 0;
}

/* Waits until `text` was said since the last expect; ms: at most. "": until it ends. */
static bool expect_in(const char *text, int ms) {
    uint64_t until = clock_mono_ns() + (uint64_t)ms * 1000000;
    for (;;) {
        char *at = *text ? memmem(w.said, w.len, text, strlen(text)) : NULL;
        if (at) {
            size_t used = (size_t)(at - w.said) + strlen(text);
            memmove(w.said, w.said + used, w.len -= used);
            return true;
        }
        uint64_t now = clock_mono_ns();
        struct pollfd p = {w.fd, POLLIN, 0};
        if (now >= until || poll(&p, 1, (int)((until - now) / 1000000) + 1) <= 0)
            return false;
        ssize_t n = recv(w.fd, w.said + w.len, sizeof w.said - w.len, 0);
        if (n <= 0)
            return !*text;
        w.len += (size_t)n;
    }
}

static bool expect(const char *text) {
    return expect_in(text, WAIT_MS);
}

static bool enter(const char *name) {
    dial();
    if (!expect("login: "))
        return false;
    say(name);
    say("\n");
    if (!expect("password: "))
        return false;
    say("right\n");
    return expect("parley> ");
}

/* --- commands of the spec --- */

static _Atomic bool release;
static _Atomic uint32_t stuck_count;

static void hang(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
        return;
    }
    atomic_fetch_add(&stuck_count, 1);
    while (!atomic_load(&release))
        usleep(1000);
}
static const actor_class_t hanger = {.name = "hanger", .place = ACTOR_PINNED, .handle = hang};

static actor_ref_t target;

static void ask_target(actor_t *self, uint32_t verb, uint64_t cookie, const void *arg,
                       uint32_t timeout_ms) {
    (void)arg;
    actor_request(self, target, msg_new(MSG_USER, 0), timeout_ms, verb, cookie);
}

static void target_answered(console_call_t *call, int err, const msg_t *reply) {
    (void)reply;
    console_field(call, "came", slice_of(err_name(err)));
}

static void ask_command(console_call_t *call, void *arg) {
    (void)arg;
    console_ask(call, ask_target, target_answered, NULL, 0, 300);
}

/* Answers with what a message may carry: data, a block, and something that data owns. */
static _Atomic uint32_t dropped;
static void drop_one(msg_t *m) {
    (void)m;
    atomic_fetch_add(&dropped, 1);
}

static void echo(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
    if (m->verb != MSG_USER)
        return;
    msg_t *reply = msg_of(MSG_USER, "data", 5);
    buf_t body = {0};
    buf_add_text(&body, "block");
    reply->body = block_from_buf(&body);
    reply->drop = drop_one;
    actor_reply(self, m, ERR_OK, reply);
}
static const actor_class_t echoes = {.name = "echo", .handle = echo};

static void echo_answered(console_call_t *call, int err, const msg_t *reply) {
    bool whole = err == ERR_OK && reply && reply->size == 5 && !strcmp(reply->data, "data") &&
                 reply->body && reply->body->len == 5 && !memcmp(reply->body->data, "block", 5);
    console_field(call, "echo", whole ? SLICE("whole") : SLICE("broken"));
}

static void echo_command(console_call_t *call, void *arg) {
    (void)arg;
    for (int i = 0; i < 8; i++)
        console_ask(call, ask_target, echo_answered, NULL, 0, WAIT_MS);
}

static void wide(console_call_t *call, void *arg) {
    static const console_column_t columns[] = {{"text", CONSOLE_TEXT}, {"n", CONSOLE_INT}};
    (void)arg;
    console_table(call, NULL, columns, 2);
    for (int i = 0; i < 5000; i++) {
        console_text(call, SLICE("a\x1b[2Jb\xe2\x80\xae\n\xff"));
        console_value(call, i);
    }
}

static void mixed(console_call_t *call, void *arg) {
    static const console_column_t columns[] = {{"size", CONSOLE_BYTES}, {"took", CONSOLE_US}};
    (void)arg;
    console_field(call, "name", SLICE("x\"y"));
    console_field_value(call, "on", CONSOLE_BOOL, 1);
    console_table(call, "rows", columns, 2);
    console_value(call, 1536);
    console_none(call);
}

static const console_command_t commands[] = {
    {"ask", "", "asks", NULL, CONSOLE_READ, ask_command},
    {"echo", "", "asks eight times", NULL, CONSOLE_READ, echo_command},
    {"wide", "", "many rows", NULL, CONSOLE_READ, wide},
    {"mixed", "WORD [MORE...]", "all kinds", NULL, CONSOLE_READ, mixed},
};

static void world_with_commands(void) {
    world_make();
    console_add(w.console, commands, sizeof commands / sizeof commands[0], NULL);
}

/* --- promises --- */

SPEC("answers while every worker is stuck: what it reads, ERR_TIMEOUT what it asks") {
    world_with_commands();
    atomic_store(&release, false);
    atomic_store(&stuck_count, 0);
    for (int i = 0; i < 2; i++)
        target = actor_spawn(w.rt, NULL, &hanger, (uint64_t)i, i, NULL);
    actor_ref_t other = actor_spawn(w.rt, NULL, &hanger, 2, 0, NULL);
    world_start();
    runtime_send(w.rt, other, msg_new(MSG_USER, 0));
    runtime_send(w.rt, target, msg_new(MSG_USER, 0));
    while (atomic_load(&stuck_count) < 2)
        usleep(1000);
    bool in = enter("lena");
    say("actors\nversion\nstats\ntop\nlimits\n");
    bool read = in && expect("hanger") && expect("pid") && expect("counters") && expect("LOAD") &&
                expect("actors.max");
    say("ask\n");
    bool timed_out = expect("came  timeout");
    atomic_store(&release, true);
    world_end();
    CHECK(read && timed_out);
}

SPEC("hands each answer over whole: its data, its block, and what it owns, released once") {
    enum { LINES = 100, ASKS = 8 };
    world_with_commands();
    atomic_store(&dropped, 0);
    target = actor_spawn(w.rt, NULL, &echoes, 0, -1, NULL);
    world_start();
    bool in = enter("lena");
    int whole = 0;
    for (int i = 0; in && i < LINES; i++) {
        say("echo\n");
        for (int k = 0; k < ASKS; k++)
            whole += expect("echo  whole");
        in = expect("parley> ");
    }
    world_end();
    CHECK_INT(whole, LINES * ASKS);
    CHECK_INT(atomic_load(&dropped), LINES * ASKS);
}

SPEC("lists 100,000 actors while they live, and tells the time of others meanwhile") {
    world_with_commands();
    static const actor_class_t sitter = {.name = "sitter", .handle = hang};
    for (uint64_t i = 0; i < 100000; i++)
        actor_spawn(w.rt, NULL, &sitter, i, -1, NULL);
    world_start();
    bool in = enter("lena");
    say("actors sitter --rows=5 --by=memory\n");
    bool few = in && expect("99995 more are not shown");
    say("classes\ntree\n");
    bool sums = expect("100000") && expect("sitter ...");
    atomic_store(&release, true);
    world_end();
    CHECK(few && sums);
}

SPEC("cuts a table at CONSOLE_ROWS, says so, and lets no control character through") {
    world_with_commands();
    world_start();
    bool in = enter("tom");
    say("wide\n");
    bool first = in && expect("a\\x1b[2Jb\\u{202e}\\n\\xff");
    bool cut = expect("(4000 more are not shown; --rows=N asks for as many)") && expect("parley> ");
    say("wide --json --rows=2\n");
    bool json = expect("[{\"text\":\"a\\u001b[2Jb\\u202e\\u000a\\\\xff\",\"n\":0},{\"text\":");
    world_end();
    CHECK(first && cut && json);
}

SPEC("renders fields and tables: aligned text, or JSON whose keys tell the unit") {
    world_with_commands();
    world_start();
    bool in = enter("tom");
    say("mixed a\n");
    bool text = in && expect("name  x\"y\non    yes\n\nrows:\n   SIZE  TOOK\n1.5 KiB     -\n");
    say("mixed 'a b' c --json\n");
    bool json = expect(
        "{\"name\":\"x\\\"y\",\"on\":true,\"rows\":[{\"size_bytes\":1536,\"took_us\":null}]}");
    say("mixed\n");
    bool missing = expect("error: something is missing; usage: mixed WORD [MORE...]");
    world_end();
    CHECK(text && json && missing);
}

SPEC("cuts a client that does not read, and bounds what waits for it") {
    world_with_commands();
    world_start();
    bool in = enter("tom");
    int small = 4096;
    setsockopt(w.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    int64_t before = stat_read(STAT_CONSOLE_COMMANDS);
    for (int i = 0; i < 2000 && in; i++)
        if (send(w.fd, "wide --rows=5000\n", 17, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
    usleep(300000);
    int64_t run = stat_read(STAT_CONSOLE_COMMANDS) - before;
    world_end();
    CHECK(in);
    CHECK(run < 200); /* of 2,000: the rest waits in the client's socket */
}

SPEC("waits doubled for each wrong password after the fifth, at most five minutes, forgotten after "
     "an hour") {
    lockout_t l = {0};
    slice_t name = SLICE("lena");
    uint64_t now = 1000;
    for (int i = 0; i < 4; i++)
        lockout_failed(&l, name, now);
    CHECK_INT(lockout_wait(&l, name, now), 0);
    for (uint64_t wait = 1000; wait < 300000; wait *= 2) {
        lockout_failed(&l, name, now);
        CHECK_INT(lockout_wait(&l, name, now), wait < 300000 ? wait : 300000);
    }
    for (int i = 0; i < 40; i++)
        lockout_failed(&l, name, now);
    CHECK_INT(lockout_wait(&l, name, now), 300000);
    lockout_failed(&l, name, now + 3600001);
    CHECK_INT(lockout_wait(&l, name, now + 3600001), 0);
    lockout_passed(&l, name);
    CHECK_INT(lockout_wait(&l, name, now), 0);
}

SPEC("telnet: negotiation may be split anywhere and is never text") {
    static const uint8_t bytes[] = "a\xff\xfb\x1f\xff\xfa\x1f\x00\x50\xff\xff\x18\xff\xf0"
                                   "b\xff\xfd\x01\xff\xfd\x03\xff\xfe\x22\r\0c\r\nd\n\xff\xff";
    for (size_t cut = 0; cut < sizeof bytes; cut++) {
        telnet_t t = {0};
        buf_t data = {0}, out = {0};
        telnet_feed(&t, bytes, cut, &data, &out);
        telnet_feed(&t, bytes + cut, sizeof bytes - 1 - cut, &data, &out);
        bool same = slice_eq(buf_slice(&data), SLICE("ab\nc\nd\n\xff"));
        buf_free(&data);
        buf_free(&out);
        CHECK(same);
        CHECK_INT(t.width, 80);
        CHECK_INT(t.height, 0xff18);
        CHECK(telnet_terminal(&t));
    }
}

static void typed(editor_t *e, const char *keys, buf_t *out) {
    for (; *keys; keys++)
        editor_key(e, (uint8_t)*keys, out);
}

SPEC("editor: keys, history and characters of several bytes") {
    editor_t *e = editor_new();
    buf_t out = {0};
    editor_terminal(e, true, 20);
    editor_prompt(e, "> ", false, &out);
    typed(e, "gr\xc3\xbcn\x1b[D\x1b[D\x7fo\x1b[Hx\x05y\n", &out);
    slice_t first = editor_text(e);
    bool one = slice_eq(first, SLICE("xgo\xc3\xbcny"));
    editor_remember(e);
    editor_prompt(e, "> ", false, &out);
    typed(e, "draft\x1b[A\x1b[B\x17new\n", &out);
    bool two = slice_eq(editor_text(e), SLICE("new"));
    editor_prompt(e, "> ", false, &out);
    typed(e, "\x1b[A\n", &out);
    bool three = slice_eq(editor_text(e), SLICE("xgo\xc3\xbcny"));
    editor_prompt(e, "p: ", true, &out);
    out.len = 0;
    typed(e, "secret", &out);
    bool hidden = out.len == 0;
    editor_free(e);
    buf_free(&out);
    CHECK(one && two && three && hidden);
}

SPEC("editor: the cursor goes to the end of a full line and no further") {
    editor_t *e = editor_new();
    buf_t out = {0};
    editor_terminal(e, true, 60);
    editor_prompt(e, "> ", false, &out);
    for (int i = 0; i < CONSOLE_LINE; i++)
        typed(e, "x", &out);
    typed(e, "\x1b[D\x1b[C\x1b[C\x7f\n", &out);
    size_t left = editor_text(e).len;
    editor_free(e);
    buf_free(&out);
    CHECK_INT(left, CONSOLE_LINE - 1);
}

/* CPU time of the thread for so many keys. */
static uint64_t keys_ns(editor_t *e, int keys) {
    buf_t out = {0};
    uint64_t from = clock_thread_ns();
    for (int i = 0; i < keys; i++) {
        editor_key(e, 'x', &out);
        out.len = 0;
    }
    uint64_t ns = clock_thread_ns() - from;
    buf_free(&out);
    return ns;
}

SPEC("editor: a key costs the same at the end of a short and of a long line") {
    enum { SHORT = 80, TRIES = 10, KEYS = 100, MOST = 10 };
    bool same = false;
    for (int i = 0; i < TRIES && !same; i++) { /* the least of some: a thread may be held up */
        editor_t *e = editor_new();
        buf_t out = {0};
        editor_terminal(e, true, 60);
        editor_prompt(e, "> ", false, &out);
        keys_ns(e, SHORT);
        uint64_t at_first = keys_ns(e, KEYS);
        keys_ns(e, CONSOLE_LINE - SHORT - 2 * KEYS);
        same = keys_ns(e, KEYS) < MOST * at_first;
        editor_free(e);
        buf_free(&out);
    }
    CHECK(same);
}

SPEC("accounts: a file of lines that is replaced as a whole, readable by its owner only") {
    char path[] = "/tmp/console_users.XXXXXX", fault[256];
    int fd = mkstemp(path);
    account_t a;
    struct stat st;
    close(fd);
    CHECK_INT(account_set(path, SLICE("lena"), CONSOLE_READ, "h1", fault, sizeof fault), ERR_OK);
    CHECK_INT(account_set(path, SLICE("tom"), CONSOLE_OPERATE, "h2", fault, sizeof fault), ERR_OK);
    CHECK_INT(account_set(path, SLICE("lena"), CONSOLE_OPERATE, "h3", fault, sizeof fault), ERR_OK);
    CHECK_INT(account_find(path, SLICE("lena"), &a, fault, sizeof fault), ERR_OK);
    CHECK(a.role == CONSOLE_OPERATE && strcmp(a.hash, "h3") == 0);
    CHECK_INT(account_find(path, SLICE("to"), &a, fault, sizeof fault), ERR_NOT_FOUND);
    CHECK_INT(account_set(path, SLICE("tom"), CONSOLE_NOBODY, "", fault, sizeof fault), ERR_OK);
    CHECK_INT(account_find(path, SLICE("tom"), &a, fault, sizeof fault), ERR_NOT_FOUND);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    unlink(path);
    CHECK_INT(account_find(path, SLICE("lena"), &a, fault, sizeof fault), ERR_GONE);
}

SPEC_MAIN
