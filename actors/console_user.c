/* console_user: see console_user.h. `run` and the answers are in the console's thread,
 * `ask_operator` in the console's relay. */
#include "actors/console_user.h"
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

/* --- answers: JSON of the service --- */

typedef struct reading {
    json_doc_t *doc;
    buf_t copy; /* a block is shared: it is not parsed in place */
} reading_t;

static bool open_reading(reading_t *r, const msg_t *reply) {
    *r = (reading_t){.doc = json_doc_new()};
    if (reply && reply->body)
        buf_add(&r->copy, reply->body->data, reply->body->len);
    return json_parse(r->doc, r->copy.at, r->copy.len) == ERR_OK;
}

static void close_reading(reading_t *r) {
    json_doc_free(r->doc);
    buf_free(&r->copy);
}

/* The service's own text. */
static void failed(console_call_t *call, int err, const msg_t *reply) {
    reading_t r;
    slice_t s;
    if (open_reading(&r, reply) && json_string(r.doc, json_get(r.doc, JSON_ROOT, "error"), &s))
        console_fail(call, err, "%.*s", (int)s.len, s.at);
    else
        console_fail(call, err, NULL);
    close_reading(&r);
}

static slice_t text_of(const json_doc_t *doc, json_at_t object, const char *key) {
    slice_t s = {"", 0};
    json_string(doc, json_get(doc, object, key), &s);
    return s;
}

static int64_t int_of(const json_doc_t *doc, json_at_t object, const char *key) {
    int64_t n = 0;
    json_int(doc, json_get(doc, object, key), &n);
    return n;
}

/* Every answer begins so: false when there is nothing to show, which has been said. */
static bool answered(console_call_t *call, int err, const msg_t *reply, reading_t *r) {
    if (err != ERR_OK) {
        failed(call, err, reply);
        return false;
    }
    if (open_reading(r, reply))
        return true;
    close_reading(r);
    console_fail(call, ERR_INTERNAL, NULL);
    return false;
}

static void time_field(console_call_t *call, const char *name, int64_t ms) {
    if (ms)
        console_field_value(call, name, CONSOLE_TIME, ms);
    else
        console_field(call, name, SLICE("never"));
}

static void show_user(console_call_t *call, int err, const msg_t *reply) {
    static const char *const texts[] = {"username", "display_name", "phone", "avatar_url",
                                        "status"};
    static const char *const counts[] = {"sessions", "conversations", "contacts"};
    reading_t r;
    if (!answered(call, err, reply, &r))
        return;
    int64_t id = int_of(r.doc, JSON_ROOT, "id");
    console_field_value(call, "id", CONSOLE_INT, id);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        console_field(call, texts[i], text_of(r.doc, JSON_ROOT, texts[i]));
    console_field_value(call, "online", CONSOLE_BOOL, hub_online(id));
    console_field_value(call, "sockets", CONSOLE_INT, hub_sockets(id));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        console_field_value(call, counts[i], CONSOLE_INT, int_of(r.doc, JSON_ROOT, counts[i]));
    console_field_value(call, "created", CONSOLE_TIME, int_of(r.doc, JSON_ROOT, "created_ms"));
    time_field(call, "last_seen", int_of(r.doc, JSON_ROOT, "last_seen_ms"));
    close_reading(&r);
}

static void show_status(console_call_t *call, int err, const msg_t *reply) {
    reading_t r;
    if (!answered(call, err, reply, &r))
        return;
    console_field_value(call, "id", CONSOLE_INT, int_of(r.doc, JSON_ROOT, "id"));
    console_field(call, "username", text_of(r.doc, JSON_ROOT, "username"));
    console_field(call, "before", text_of(r.doc, JSON_ROOT, "before"));
    console_field(call, "status", text_of(r.doc, JSON_ROOT, "status"));
    close_reading(&r);
}

static void session_row(console_call_t *call, const json_doc_t *doc, json_at_t row) {
    slice_t address = text_of(doc, row, "address");
    console_value(call, int_of(doc, row, "family"));
    console_text(call, text_of(doc, row, "device"));
    console_value(call, int_of(doc, row, "created_ms"));
    console_value(call, int_of(doc, row, "used_ms"));
    if (address.len)
        console_text(call, address);
    else
        console_none(call);
    console_text(call, int_of(doc, row, "revoked_ms") ? SLICE("revoked") : SLICE("live"));
}

static void show_sessions(console_call_t *call, int err, const msg_t *reply) {
    static const console_column_t columns[] = {{"family", CONSOLE_INT},   {"device", CONSOLE_TEXT},
                                               {"created", CONSOLE_TIME}, {"used", CONSOLE_TIME},
                                               {"address", CONSOLE_TEXT}, {"state", CONSOLE_TEXT}};
    reading_t r;
    if (!answered(call, err, reply, &r))
        return;
    console_table(call, NULL, columns, sizeof columns / sizeof columns[0]);
    for (json_at_t at = json_first(r.doc, JSON_ROOT); at; at = json_next(r.doc, at))
        session_row(call, r.doc, at);
    close_reading(&r);
}

static void show_revoked(console_call_t *call, int err, const msg_t *reply) {
    reading_t r;
    if (!answered(call, err, reply, &r))
        return;
    console_field_value(call, "id", CONSOLE_INT, int_of(r.doc, JSON_ROOT, "id"));
    console_field_value(call, "revoked", CONSOLE_INT, int_of(r.doc, JSON_ROOT, "revoked"));
    close_reading(&r);
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
