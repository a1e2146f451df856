/* conversation_stage: what the specs of the conversation play on: a runtime, hubs that note what
 * reaches them, the rules in C, an actor that asks. The store is conversation_fake.h's or the real
 * one. */
#pragma once
#include "actors/conversation.h"
#include "actors/hub.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/pool.h"
#include "spec/wait.h"
#include <pthread.h>
#include <time.h>
#pragma GCC diagnostic ignored "-Wunused-function" /* a spec uses what it needs */

enum { CONVERSATION = 71, WORKERS = 2, ANSWERS = 8192, LINES = 8192 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all that specs and actors share */
static runtime_t *rt;

/* --- the rules, as lua/group.lua and lua/recall.lua have them --- */

struct script_policy {
    int which;
};
static script_policy_t policies[3] = {{0}, {1}, {2}};
static int64_t recall_window = 120000;

script_policy_t *script_policy(script_t *s, const char *name) {
    (void)s;
    return &policies[strcmp(name, "group.may_send") == 0          ? 0
                     : strcmp(name, "recall.recall_allowed") == 0 ? 1
                                                                  : 2];
}
int script_policy_run(script_policy_t *p, actor_t *self, const int64_t *a, size_t count,
                      int64_t *out) {
    (void)self, (void)count;
    if (p->which == 2)
        *out = recall_window;
    else if (p->which == 1)
        *out = a[0] == 2 && a[1] >= 2        ? 0
               : !a[2]                       ? ERR_FORBIDDEN
               : a[4] - a[3] > recall_window ? ERR_RECALL_EXPIRED
                                             : 0;
    else
        *out = a[1]                            ? ERR_DISSOLVED
               : a[3] > a[6]                   ? ERR_MUTED
               : a[4] && a[0] == 2 && a[2] < 2 ? ERR_MUTED
               : a[5]                          ? ERR_BLOCKED
                                               : 0;
    return ERR_OK;
}

/* The rules on what is said are off, as shipped. */
bool script_policy_on(script_policy_t *p, actor_t *self) {
    (void)p, (void)self;
    return false;
}
int script_policy_judge(script_policy_t *p, actor_t *self, const int64_t *args, size_t count,
                        const slice_t *text, int64_t *out) {
    (void)p, (void)self, (void)args, (void)count, (void)text;
    *out = 0;
    return ERR_OK;
}

/* --- hubs, and a log of everything that leaves the conversation --- */

static char log_lines[LINES][240];
static int log_count;
static actor_ref_t hubs[WORKERS];
static bool hub_stalled;       /* hub 1 does not take its mail */
static uint64_t online_on = 1; /* workers of every user */
static char last_frames[4096];
static int last_frames_len;

#define NOTE(...)                                                                                  \
    do {                                                                                           \
        pthread_mutex_lock(&lock);                                                                 \
        if (log_count < LINES)                                                                     \
            snprintf(log_lines[log_count++], sizeof log_lines[0], __VA_ARGS__);                    \
        pthread_mutex_unlock(&lock);                                                               \
    } while (0)

static void note_fanout(int64_t worker, const msg_t *m) {
    const fanout_t *f = (const fanout_t *)m->data;
    pthread_mutex_lock(&lock);
    last_frames_len = snprintf(last_frames, sizeof last_frames, "%.*s", (int)f->items[0].len - 4,
                               m->body->data + f->items[0].at + 4);
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 0; i < f->count; i++) {
        slice_t device = fanout_device(f, i);
        NOTE("hub%d %s %lld by %lld at '%.*s' to %u", (int)worker,
             f->kind == FANOUT_MESSAGES ? "message" : "revoked", (long long)f->items[i].seq,
             (long long)(f->kind == FANOUT_MESSAGES ? f->items[i].sender : f->actor),
             (int)device.len, device.at, f->members->count);
    }
}

static void hub_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (bool stalled = true; stalled && actor_key(self) == 1;) {
            pthread_mutex_lock(&lock);
            stalled = hub_stalled;
            pthread_mutex_unlock(&lock);
            if (stalled)
                nanosleep(&(struct timespec){0, 500000}, NULL);
        }
        if (m[i]->verb == VERB_FANOUT)
            note_fanout((int64_t)actor_key(self), m[i]);
    }
}
static const actor_class_t hub_class = {.name = "spec hub",
                                        .place = ACTOR_THREAD,
                                        .max_msgs = 4,
                                        .batch = 1,
                                        .handle_batch = hub_batch};

actor_ref_t hub_ref(uint32_t worker) {
    return hubs[worker];
}
uint64_t hub_workers(int64_t user) {
    (void)user;
    return online_on;
}
bool hub_online(int64_t user) {
    (void)user;
    return true;
}
block_t *hub_frame(const char *type, slice_t data) {
    buf_t b = {0};
    buf_addf(&b, "%s %.*s", type, (int)data.len, data.at);
    return block_from_buf(&b);
}
void hub_push_hint(actor_t *self, const int64_t *users, size_t count, block_t *frame,
                   int64_t skip_user, slice_t skip_device) {
    char to[100] = "";
    (void)self;
    for (size_t i = 0; i < count && i < 10; i++)
        snprintf(to + strlen(to), sizeof to - strlen(to), " %lld", (long long)users[i]);
    NOTE("%.*s to%s but %lld '%.*s'", (int)frame->len, frame->data, to, (long long)skip_user,
         (int)skip_device.len, skip_device.at);
    block_unref(frame);
}

/* --- who asks --- */

enum { ASK = MSG_USER + 800, ASK_REPLY };
typedef struct answer {
    bool there;
    int err;
    char text[80];
    conversation_sent_t sent;
    conversation_position_t position;
    conversation_recalled_t recalled;
} answer_t;
static answer_t answers[ANSWERS];
static int asked;
static actor_ref_t asker;

typedef struct ask {
    uint32_t verb, number, size;
    char data[400];
} ask_t;

static void keep_answer(answer_t *a, const msg_t *m) {
    a->err = m->err;
    if (m->err != ERR_OK)
        snprintf(a->text, sizeof a->text, "%.*s", (int)m->size, m->data);
    else if (m->size == sizeof a->sent)
        memcpy(&a->sent, m->data, sizeof a->sent);
    else if (m->size == sizeof a->position)
        memcpy(&a->position, m->data, sizeof a->position);
    else if (m->size == sizeof a->recalled)
        memcpy(&a->recalled, m->data, sizeof a->recalled);
}

static void ask_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == ASK) {
        const ask_t *a = (const ask_t *)m->data;
        actor_request_key(self, KIND_CONVERSATION, CONVERSATION, msg_of(a->verb, a->data, a->size),
                          60000, ASK_REPLY, a->number);
    } else if (m->verb == ASK_REPLY) {
        pthread_mutex_lock(&lock);
        keep_answer(&answers[m->cookie], m);
        answers[m->cookie].there = true;
        pthread_mutex_unlock(&lock);
        NOTE("answer %llu", (unsigned long long)m->cookie);
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}
static const actor_class_t ask_class = {
    .name = "spec asker", .place = ACTOR_FREE, .handle = ask_handle, .max_msgs = 20000};

static int ask(uint32_t verb, const void *data, size_t size) {
    ask_t a = {.verb = verb, .number = (uint32_t)asked++, .size = (uint32_t)size};
    if (size)
        memcpy(a.data, data, size);
    answers[a.number] = (answer_t){0};
    runtime_send(rt, asker, msg_of(ASK, &a, sizeof a));
    return (int)a.number;
}

static int send_reply(int64_t user, const char *cid, const char *device, int64_t reply_to) {
    static const char content[] = "{\"text\":{\"text\":\"hi\"}}";
    char room[300] = {0};
    conversation_send_t *s = (conversation_send_t *)room;
    *s = (conversation_send_t){.user = user,
                               .reply_to = reply_to,
                               .content_type = 1,
                               .start_ns = 1,
                               .cid_len = (uint32_t)strlen(cid),
                               .device_len = (uint32_t)strlen(device),
                               .content_len = sizeof content - 1};
    char *at = mempcpy(s->bytes, cid, s->cid_len);
    at = mempcpy(at, device, s->device_len);
    at = mempcpy(at, content, s->content_len);
    return ask(VERB_SEND, room, (size_t)(at - room));
}
static int send_as(int64_t user, const char *cid) {
    return send_reply(user, cid, "d1", 0);
}
static int send_n(int64_t user, int n) {
    char cid[32];
    snprintf(cid, sizeof cid, "n-%d", n);
    return send_as(user, cid);
}
static int read_as(int64_t user, int64_t seq, const char *device) {
    char room[100] = {0};
    conversation_read_t *r = (conversation_read_t *)room;
    *r = (conversation_read_t){user, seq, (uint32_t)strlen(device)};
    memcpy(r->device, device, r->device_len);
    return ask(VERB_READ, room, sizeof *r + r->device_len);
}
static int recall_of(int64_t user, int64_t id, int64_t seq, int64_t sender, int64_t at_ms,
                     const char *device) {
    char room[160] = {0};
    conversation_recall_t *r = (conversation_recall_t *)room;
    *r = (conversation_recall_t){user, id, seq, sender, at_ms, 1, (uint32_t)strlen(device)};
    memcpy(r->device, device, r->device_len);
    return ask(VERB_RECALL, room, sizeof *r + r->device_len);
}
static int changed(void) {
    return ask(VERB_CHANGED, NULL, 0);
}

/* --- waiting --- */

static bool locked(bool (*is)(int64_t), int64_t arg) {
    pthread_mutex_lock(&lock);
    bool yes = is(arg);
    pthread_mutex_unlock(&lock);
    return yes;
}
static bool wait_until(bool (*is)(int64_t), int64_t arg) {
    return COMES(locked(is, arg));
}
static bool is_answered(int64_t n) {
    return answers[n].there;
}
/* Waits; a request that is never answered has err 1. */
static answer_t *answer(int n) {
    static answer_t never = {.err = 1, .text = "never answered"};
    return wait_until(is_answered, n) ? &answers[n] : &never;
}
static const char *wanted_line;
static bool is_logged(int64_t from) {
    for (int i = (int)from; i < log_count; i++)
        if (strstr(log_lines[i], wanted_line))
            return true;
    return false;
}
static bool logged(const char *text) {
    wanted_line = text;
    bool there = wait_until(is_logged, 0);
    for (int i = 0; !there && i < log_count; i++) /* for whoever reads the failure */
        printf("    %s\n", log_lines[i]);
    return there;
}
/* Place of the first such line, now; -1: none. */
static int place_of(const char *text) {
    int at = -1;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < log_count && at < 0; i++)
        if (strstr(log_lines[i], text))
            at = i;
    pthread_mutex_unlock(&lock);
    return at;
}
static int count_of(const char *text) {
    int n = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < log_count; i++)
        n += strstr(log_lines[i], text) != NULL;
    pthread_mutex_unlock(&lock);
    return n;
}
static bool has_messages(int64_t n) {
    int seen = 0;
    for (int i = 0; i < log_count; i++)
        seen += strncmp(log_lines[i], "hub0 message", 12) == 0;
    return seen >= n;
}

/* --- promises --- */

#define SENT(n, want_seq)                                                                          \
    do {                                                                                           \
        answer_t *spec_a = answer(n);                                                              \
        CHECK_INT(spec_a->err, ERR_OK);                                                            \
        CHECK_INT(spec_a->sent.seq, want_seq);                                                     \
    } while (0)
#define REFUSED(n, want_err, want_text)                                                            \
    do {                                                                                           \
        answer_t *spec_a = answer(n);                                                              \
        CHECK_INT(spec_a->err, want_err);                                                          \
        CHECK_TEXT(spec_a->text, strlen(spec_a->text), want_text);                                 \
    } while (0)

#define RECALLED(n, want)                                                                          \
    do {                                                                                           \
        answer_t *spec_a = answer(n);                                                              \
        CHECK_INT(spec_a->err, ERR_OK);                                                            \
        CHECK_INT(spec_a->recalled.change, want);                                                  \
    } while (0)

/* --- the stage --- */

static int64_t wall = 1760000000123;
static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER; /* so that it never goes back */
static uint64_t ahead_ns, stands_ns;
static int64_t stage_wall(void *arg) {
    (void)arg;
    return wall;
}
static uint64_t stage_mono(void *arg) {
    (void)arg;
    pthread_mutex_lock(&clock_lock);
    uint64_t now = stands_ns ? stands_ns : clock_mono_ns() + ahead_ns;
    pthread_mutex_unlock(&clock_lock);
    return now;
}

/* The clock stands, so that no timer comes while a spec does what belongs together; then it goes on
 * as if that had taken no time. */
static void stop_clock(void) {
    pthread_mutex_lock(&clock_lock);
    stands_ns = clock_mono_ns() + ahead_ns;
    pthread_mutex_unlock(&clock_lock);
}
static void start_clock(void) {
    pthread_mutex_lock(&clock_lock);
    ahead_ns = stands_ns - clock_mono_ns(); /* may wrap: only the sum counts */
    stands_ns = 0;
    pthread_mutex_unlock(&clock_lock);
}
static void pass_time(uint64_t ms) {
    pthread_mutex_lock(&clock_lock);
    ahead_ns += ms * 1000000;
    pthread_mutex_unlock(&clock_lock);
}

static conf_t *conf;
static uint32_t stage_workers = WORKERS;

static void stage_make(void) {
    log_count = asked = 0;
    hub_stalled = false;
    stands_ns = 0;
    online_on = 1;
    wall = 1760000000123;
    recall_window = 120000;
    conf = conf_new();
    rt = runtime_new(&(runtime_conf_t){
        .workers = stage_workers, .seed = 1, .wall_ms = stage_wall, .mono_ns = stage_mono});
}

static void stage_start(store_t *store) {
    char fault[300] = "";
    if (conversation_setup(rt, conf, store, NULL, fault, sizeof fault) != ERR_OK)
        printf("setup: %s\n", fault);
    for (int w = 0; w < WORKERS; w++)
        hubs[w] = actor_spawn(rt, NULL, &hub_class, (uint64_t)w, -1, NULL);
    asker = actor_spawn(rt, NULL, &ask_class, 0, 0, NULL);
    runtime_start(rt);
}

static void stage_stop(void) {
    pthread_mutex_lock(&lock);
    hub_stalled = false;
    pthread_mutex_unlock(&lock);
    runtime_stop(rt, 2000);
}

static void stage_free(void) {
    runtime_free(rt);
    conf_free(conf);
}
