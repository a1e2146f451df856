/* setup: makes the users of this process (register, or log in when they exist) and their chats over
 * a few HTTP connections, one question at a time on each. */
#include "chat.h"
#include <stdlib.h>
#include <string.h>

#define LANES 8

enum step { STEP_REGISTER, STEP_LOGIN, STEP_CHAT };
typedef struct lane {
    client_t c;
    uint32_t at; /* user or chat being made */
    enum step step;
    bool done;
    uint64_t again_ns; /* refused by a limit: asked again then */
} lane_t;
static lane_t lanes[LANES];

static void ask_account(lane_t *l) {
    buf_t b = {0};
    buf_add_char(&b, '{');
    char name[64];
    snprintf(name, sizeof name, "%s.%u", run.job->o->prefix, run.users[l->at].number);
    json_add_text(&b, "username", slice_of(name));
    json_add_text(&b, "password", slice_of(run.job->o->password));
    buf_add_char(&b, '}');
    client_request(run.job->loop, &l->c, "POST",
                   l->step == STEP_REGISTER ? "/api/auth/register" : "/api/auth/login", NULL, NULL,
                   buf_slice(&b));
    buf_free(&b);
}

static void ask_chat(lane_t *l) {
    uint32_t size = run.job->o->group_size;
    user_t *first = &run.users[l->at * size];
    buf_t b = {0};
    buf_addf(&b, "{\"type\":%d,\"title\":\"%s\",\"member_ids\":[", size == 2 ? 1 : 2,
             size == 2 ? "" : "bench");
    for (uint32_t i = 1; i < size; i++)
        buf_addf(&b, i > 1 ? ",%lld" : "%lld", (long long)first[i].id);
    buf_add_text(&b, "]}");
    client_request(run.job->loop, &l->c, "POST", "/api/conversations", first->token, NULL,
                   buf_slice(&b));
    buf_free(&b);
}

/* the lane's next piece of work, or none */
static void advance(lane_t *l, bool chats) {
    l->at += LANES;
    l->done = l->at >= (chats ? run.chat_count : run.count);
    if (l->done)
        return;
    l->step = chats ? STEP_CHAT : STEP_REGISTER;
    if (chats)
        ask_chat(l);
    else
        ask_account(l);
}

static void take_account(lane_t *l, int status, char *body, size_t len) {
    if (status == 409 && l->step == STEP_REGISTER) {
        l->step = STEP_LOGIN;
        ask_account(l);
        return;
    }
    json_doc_t *d = run.doc;
    slice_t token;
    user_t *u = &run.users[l->at];
    if (status != 200 || json_parse(d, body, len) != 0)
        job_fail(run.job, "login of user %u answered %d %.*s", u->number, status,
                 (int)(len < 100 ? len : 100), body);
    json_at_t data = json_get(d, JSON_ROOT, "data");
    data = data ? data : JSON_ROOT;
    json_at_t user = json_get(d, json_get(d, data, "profile"), "user");
    if (!json_string(d, json_get(d, data, "access_token"), &token) ||
        !json_int(d, json_get(d, user, "id"), &u->id))
        job_fail(run.job, "login of user %u: no token in the answer", u->number);
    u->token = strndup(token.at, token.len);
    COUNT(run.job->t->setup_done, 1);
    advance(l, false);
}

static void take_chat(lane_t *l, int status, char *body, size_t len) {
    json_doc_t *d = run.doc;
    chat_t *chat = &run.chats[l->at];
    if (status != 200 || json_parse(d, body, len) != 0)
        job_fail(run.job, "chat answered %d %.*s", status, (int)(len < 100 ? len : 100), body);
    json_at_t data = json_get(d, JSON_ROOT, "data");
    if (!json_int(d, json_get(d, data, "id"), &chat->id) ||
        !json_int(d, json_get(d, data, "latest_seq"), &chat->first))
        job_fail(run.job, "chat: no id in the answer");
    chat->latest = chat->first;
    advance(l, true);
}

static void on_open(client_t *c) {
    lane_t *l = (lane_t *)c;
    l->done = l->at >= (l->step == STEP_CHAT ? run.chat_count : run.count);
    if (l->done)
        return;
    if (l->step == STEP_CHAT)
        ask_chat(l);
    else
        ask_account(l);
}

/* The node limits registrations and logins of an address (limits.auth_addr): then it takes longer.
 */
static void wait_a_second(lane_t *l) {
    static bool told;
    if (!told && run.job->number == 0)
        fprintf(stderr, "wsbench: the node limits how fast users may register; it takes longer\n");
    told = true;
    l->again_ns = now_ns() + 1000000000;
}

static void ask_again(uint64_t now) {
    for (int i = 0; i < LANES; i++) {
        lane_t *l = &lanes[i];
        if (l->again_ns == 0 || now < l->again_ns)
            continue;
        l->again_ns = 0;
        if (l->step == STEP_CHAT)
            ask_chat(l);
        else
            ask_account(l);
    }
}

static void on_answer(client_t *c, int status, char *body, size_t len) {
    lane_t *l = (lane_t *)c;
    if (status == 429)
        wait_a_second(l);
    else if (l->step == STEP_CHAT)
        take_chat(l, status, body, len);
    else
        take_account(l, status, body, len);
}

static void on_closed(client_t *c, bool abnormal, const char *why) {
    (void)c, (void)abnormal;
    job_fail(run.job, "HTTP connection for the set-up: %s", why);
}

static void work(enum step first) {
    static const client_events_t events = {
        .open = on_open, .answer = on_answer, .closed = on_closed};
    for (uint32_t i = 0; i < LANES; i++) {
        lanes[i] = (lane_t){.at = i, .step = first};
        client_open(run.job->loop, &lanes[i].c, run.job->first + i, NULL, &events);
    }
    for (;;) {
        bool all = true;
        for (int i = 0; i < LANES; i++)
            all = all && lanes[i].done;
        if (all)
            break;
        if (run.job->shared->stop)
            job_fail(run.job, "interrupted");
        ask_again(now_ns());
        loop_turn(run.job->loop, now_ns() + 100000000);
    }
    for (int i = 0; i < LANES; i++)
        client_cut(run.job->loop, &lanes[i].c);
}

void setup_users(void) {
    work(STEP_REGISTER);
}

void setup_chats(void) {
    work(STEP_CHAT);
    for (uint32_t i = 0; i < run.count; i++) {
        user_t *u = &run.users[i];
        u->chat = &run.chats[i / run.job->o->group_size];
        u->have = u->last_push = u->chat->first;
    }
}
