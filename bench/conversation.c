/* bench/conversation: what a durable message costs from request to ack and fan-out: the real store
 * in a directory of its own, the real rules, hubs without sockets. Senders keep `flight` messages
 * under way each in a conversation of `members`. bench_conversation [messages] [flight]
 * [conversations] [members] */
#include "actors/conversation.h"
#include "actors/hub.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { GO = MSG_USER + 500, BACK, WORKERS = 2 };

static uint64_t messages = 200000, flight = 16, conversations = 1, members = 2;
static _Atomic uint64_t sent, done;
static _Atomic bool finished;

static uint64_t cpu_ns(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000 +
           (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
}

/* --- senders --- */

static void one(actor_t *self) {
    static const char content[] =
        "{\"text\":{\"text\":\"a message of the usual length, some hundred bytes of text or so, "
        "as people write them\"}}";
    char room[256];
    conversation_send_t *s = (conversation_send_t *)room;
    uint64_t n = atomic_fetch_add(&sent, 1);
    *s = (conversation_send_t){.user = 1 + (int64_t)(n % members),
                               .content_type = 1,
                               .start_ns = actor_now_ns(self),
                               .device_len = 5,
                               .content_len = sizeof content - 1};
    s->cid_len = (uint32_t)snprintf(s->bytes, 30, "%llu-bench-msg", (unsigned long long)n);
    char *at = mempcpy(s->bytes + s->cid_len, "dev-1", 5);
    at = mempcpy(at, content, sizeof content - 1);
    actor_request_key(self, KIND_CONVERSATION, actor_key(self),
                      msg_of(VERB_SEND, room, (size_t)(at - room)), 60000, BACK, 0);
}

static void handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
    for (uint64_t i = 0; m->verb == GO && i < flight; i++)
        one(self);
    if (m->verb != BACK)
        return;
    if (m->err)
        log_die("bench", "a message was refused: %s", err_text(m->err));
    if (atomic_fetch_add(&done, 1) + 1 == messages)
        finished = true;
    else if (sent < messages)
        one(self);
}
static const actor_class_t sender_class = {.name = "sender", .place = ACTOR_FREE, .handle = handle};

/* --- the stage --- */

static void fill(const char *path) {
    sqlite3 *db;
    char text[200];
    sqlite3_open(path, &db);
    sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    for (uint64_t c = 1; c <= conversations; c++) {
        snprintf(text, sizeof text,
                 "INSERT INTO conversation (id, type, member_limit, created_ms) VALUES "
                 "(%llu, 2, 500, 1)",
                 (unsigned long long)c);
        sqlite3_exec(db, text, NULL, NULL, NULL);
        for (uint64_t u = 1; u <= members; u++) {
            snprintf(text, sizeof text,
                     "INSERT INTO member (conversation, user, joined_ms) VALUES (%llu, %llu, 1)",
                     (unsigned long long)c, (unsigned long long)u);
            sqlite3_exec(db, text, NULL, NULL, NULL);
        }
    }
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db);
}

static void must(bool ok, const char *fault) {
    if (!ok)
        log_die("bench", "%s", fault);
}

static void measure(runtime_t *rt) {
    uint64_t start = clock_mono_ns(), cpu = cpu_ns();
    for (uint64_t i = 1; i <= conversations; i++)
        runtime_send(rt, actor_spawn(rt, NULL, &sender_class, i, -1, NULL), msg_new(GO, 0));
    while (!finished)
        usleep(1000);
    double took = (double)(clock_mono_ns() - start) / 1e9;
    printf("%llu conversations of %llu, %llu in flight each: %.0f messages/s, %.1f us CPU each\n",
           (unsigned long long)conversations, (unsigned long long)members,
           (unsigned long long)flight, (double)messages / took,
           (double)(cpu_ns() - cpu) / 1000 / (double)messages);
}

int main(int argc, char **argv) {
    uint64_t *const args[] = {&messages, &flight, &conversations, &members};
    for (int i = 1; i < argc && i < 5; i++)
        *args[i - 1] = strtoull(argv[i], NULL, 10);
    char dir[] = "bench-conversation-XXXXXX", path[80], url[100], fault[400] = "";
    must(mkdtemp(dir), "no directory");
    snprintf(path, sizeof path, "%s/t.db", dir);
    snprintf(url, sizeof url, "sqlite:%s", path);
    conf_t *conf = conf_new();
    conf_set(conf, "store.url", slice_of(url), fault, sizeof fault);
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = WORKERS});
    store_t *store = store_open(rt, conf, fault, sizeof fault);
    must(store, fault);
    fill(path);
    script_ports_t ports = {.store = store};
    script_t *script = script_open(rt, conf, &ports, NULL, 0, fault, sizeof fault);
    must(script, fault);
    must(hub_setup(rt, conf) == ERR_OK, "no hubs");
    must(conversation_setup(rt, conf, store, script, fault, sizeof fault) == ERR_OK, fault);
    runtime_start(rt);
    measure(rt);
    runtime_stop(rt, 5000);
    script_close(script);
    store_close(store);
    hub_teardown(rt);
    runtime_free(rt);
    conf_free(conf);
    snprintf(url, sizeof url, "rm -r %s", dir);
    return system(url) ? EXIT_FAILURE : EXIT_SUCCESS;
}
