/* console_user: see console_user.h. `run` and the answers are in the console's thread,
 * `ask_operator` in the console's relay. */
#include "actors/console_user.h"
#include "actors/console_json.h"
#include "actors/hub.h"
#include "base/text.h"

enum { WAIT_MS = 5000, WHO_MAX = 64 };

typedef struct question {
    edge_t *edge;
    int64_t family; /* 0: none named */
    const char *verb;
    uint32_t who_len;
    char who[WHO_MAX];
} question_t;

static void ask_operator(actor_t *self, uint32_t verb, uint64_t cookie, const void *arg,
                         uint32_t timeout_ms) {
    const question_t *q = arg;
    script_t *s = q->edge->script;
    buf_t b = {0};
    buf_add_char(&b, '{');
    json_add_text(&b, "who", (slice_t){q->who, q->who_len});
    if (q->family)
        json_add_int(&b, "family", q->family);
    buf_add_char(&b, '}');
    script_call(s, self, q->edge->operator_service, q->verb, 0, block_from_buf(&b), timeout_ms,
                verb, cookie);
}

/* --- answers --- */
static void time_field(console_call_t *call, const char *name, int64_t ms) {
    if (ms)
        console_field_value(call, name, CONSOLE_TIME, ms);
    else
        console_field_none(call, name, CONSOLE_TIME);
}

static void show_user(console_call_t *call, int err, const msg_t *reply) {
    static const char *const texts[] = {"username", "display_name", "phone", "avatar_url",
                                        "status"};
    static const char *const counts[] = {"sessions", "conversations", "contacts"};
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    int64_t id = console_json_int(&j, JSON_ROOT, "id");
    console_field_value(call, "id", CONSOLE_INT, id);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        console_field(call, texts[i], console_json_text(&j, JSON_ROOT, texts[i]));
    console_field_value(call, "online", CONSOLE_BOOL, hub_sockets(id) > 0);
    console_field_value(call, "sockets", CONSOLE_INT, hub_sockets(id));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        console_field_value(call, counts[i], CONSOLE_INT,
                            console_json_int(&j, JSON_ROOT, counts[i]));
    console_field_value(call, "created", CONSOLE_TIME,
                        console_json_int(&j, JSON_ROOT, "created_ms"));
    time_field(call, "last_seen", console_json_int(&j, JSON_ROOT, "last_seen_ms"));
    console_json_close(&j);
}

static void show_status(console_call_t *call, int err, const msg_t *reply) {
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    console_field_value(call, "id", CONSOLE_INT, console_json_int(&j, JSON_ROOT, "id"));
    console_field(call, "username", console_json_text(&j, JSON_ROOT, "username"));
    console_field(call, "before", console_json_text(&j, JSON_ROOT, "before"));
    console_field(call, "status", console_json_text(&j, JSON_ROOT, "status"));
    console_json_close(&j);
}

static void show_sessions(console_call_t *call, int err, const msg_t *reply) {
    static const console_column_t columns[] = {{"family", CONSOLE_INT},   {"device", CONSOLE_TEXT},
                                               {"created", CONSOLE_TIME}, {"used", CONSOLE_TIME},
                                               {"address", CONSOLE_TEXT}, {"state", CONSOLE_TEXT}};
    static const char *const keys[] = {"family", "device", "created_ms", "used_ms", "address"};
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    console_table(call, NULL, columns, sizeof columns / sizeof columns[0]);
    for (json_at_t at = json_first(j.doc, JSON_ROOT); at; at = json_next(j.doc, at)) {
        console_json_cells(call, &j, at, columns, keys, sizeof keys / sizeof keys[0]);
        console_text(call,
                     console_json_int(&j, at, "revoked_ms") ? SLICE("revoked") : SLICE("live"));
    }
    console_json_close(&j);
}

static void show_revoked(console_call_t *call, int err, const msg_t *reply) {
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    console_field_value(call, "id", CONSOLE_INT, console_json_int(&j, JSON_ROOT, "id"));
    console_field_value(call, "revoked", CONSOLE_INT, console_json_int(&j, JSON_ROOT, "revoked"));
    console_json_close(&j);
}

/* --- commands --- */

static void ask(console_call_t *call, edge_t *e, const char *verb, int64_t family,
                console_answered_t then) {
    question_t q = {.edge = e, .family = family, .verb = verb};
    slice_t who = console_arg(call, 0);
    if (who.len > sizeof q.who || !text_utf8_valid(who.at, who.len)) {
        console_fail(call, ERR_BAD_REQUEST, "an id or a username is expected");
        return;
    }
    q.who_len = (uint32_t)who.len;
    memcpy(q.who, who.at, who.len);
    console_ask(call, ask_operator, then, &q, sizeof q, WAIT_MS);
}

static void user(console_call_t *call, void *arg) {
    ask(call, arg, "show", 0, show_user);
}
static void user_disable(console_call_t *call, void *arg) {
    ask(call, arg, "disable", 0, show_status);
}
static void user_freeze(console_call_t *call, void *arg) {
    ask(call, arg, "freeze", 0, show_status);
}
static void user_enable(console_call_t *call, void *arg) {
    ask(call, arg, "enable", 0, show_status);
}
static void sessions(console_call_t *call, void *arg) {
    ask(call, arg, "sessions", 0, show_sessions);
}

static void revoke(console_call_t *call, void *arg) {
    int64_t family = 0;
    if (console_argc(call) > 1 && !console_int_of(call, 1, &family))
        return;
    if (console_argc(call) > 1 && family == 0)
        console_fail(call, ERR_BAD_REQUEST, "there is no session 0");
    else
        ask(call, arg, "revoke", family, show_revoked);
}

void console_user_add(console_t *c, edge_t *e) {
    static const console_command_t commands[] = {
        {"user", "USER", "shows an account: by id or username", NULL, CONSOLE_READ, user},
        {"user disable", "USER", "refuses the user everywhere and closes their sockets (4004)",
         "Tokens stay as they are and work again after `user enable`.", CONSOLE_OPERATE,
         user_disable},
        {"user freeze", "USER", "as user disable; the state is called frozen", NULL,
         CONSOLE_OPERATE, user_freeze},
        {"user enable", "USER", "lets a disabled or frozen user in again", NULL, CONSOLE_OPERATE,
         user_enable},
        {"sessions", "USER", "lists the user's logins: device, when, last use",
         "A login is a token family: what one register, login or SMS login made.", CONSOLE_READ,
         sessions},
        {"revoke", "USER [FAMILY]", "ends a login of the user, or all: tokens and sockets", NULL,
         CONSOLE_OPERATE, revoke},
    };
    console_add(c, commands, sizeof commands / sizeof commands[0], e);
}
