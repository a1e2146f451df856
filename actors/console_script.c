/* console_script: see console_script.h. `run` and the answers are in the console's thread,
 * `ask_order` in the console's relay. */
#include "actors/console_script.h"
#include "actors/console_json.h"
#include "base/err.h"
#include <stdio.h>

enum { WAIT_MS = 60000 }; /* specs, and a shard that drains, take seconds */

typedef struct question {
    script_t *script;
    script_order_t order;
} question_t;

static void ask_order(actor_t *self, uint32_t verb, uint64_t cookie, const void *arg,
                      uint32_t timeout_ms) {
    const question_t *q = arg;
    script_order(q->script, self, &q->order, timeout_ms, verb, cookie);
}

/* --- answers --- */
/* "version 3 on 10 %", or nothing. */
static void canary_cell(console_call_t *call, const console_json_t *j, json_at_t canary) {
    char text[80];
    long long number = console_json_int(j, json_get(j->doc, canary, "new"), "number"),
              shard = console_json_int(j, canary, "shard"),
              share = console_json_int(j, canary, "share");
    if (!canary) {
        console_none(call);
        return;
    }
    if (shard)
        snprintf(text, sizeof text, "version %lld on shard %lld", number, shard);
    else
        snprintf(text, sizeof text, "version %lld on %lld %%", number, share);
    console_text(call, slice_of(text));
}

/* "version 3", or nothing. */
static void shadow_cell(console_call_t *call, const console_json_t *j, json_at_t shadow) {
    char text[40];
    long long number = shadow ? console_json_int(j, shadow, "number") : 0;
    snprintf(text, sizeof text, "version %lld", number);
    if (number)
        console_text(call, slice_of(text));
    else
        console_none(call);
}

static void show_list(console_call_t *call, int err, const msg_t *reply) {
    static const console_column_t columns[] = {
        {"service", CONSOLE_TEXT}, {"number", CONSOLE_INT},   {"version", CONSOLE_INT},
        {"hash", CONSOLE_TEXT},    {"since", CONSOLE_TIME},   {"by", CONSOLE_TEXT},
        {"shards", CONSOLE_INT},   {"policies", CONSOLE_INT}, {"held", CONSOLE_BOOL},
        {"canary", CONSOLE_TEXT},  {"shadow", CONSOLE_TEXT}};
    static const char *const keys[] = {"service", "number", "version",  "hash", "since_ms",
                                       "by",      "shards", "policies", "held"};
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    console_table(call, NULL, columns, sizeof columns / sizeof columns[0]);
    for (json_at_t at = json_first(j.doc, JSON_ROOT); at; at = json_next(j.doc, at)) {
        console_json_cells(call, &j, at, columns, keys, sizeof keys / sizeof keys[0]);
        canary_cell(call, &j, json_get(j.doc, at, "canary"));
        shadow_cell(call, &j, json_get(j.doc, at, "shadow"));
    }
    console_json_close(&j);
}

/* One account: of which version, of requests or policies. */
static void side_row(console_call_t *call, const console_json_t *j, json_at_t side,
                     const char *what) {
    static const char *const counts[] = {"calls", "refused", "faults", "p50_us", "p99_us"};
    json_at_t account = json_get(j->doc, side, what);
    console_value(call, console_json_int(j, side, "number"));
    console_text(call, slice_of(what));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        console_value(call, console_json_int(j, account, counts[i]));
}

/* `canary SERVICE --show`: both sides. */
static void show_canary(console_call_t *call, int err, const msg_t *reply) {
    static const console_column_t columns[] = {{"number", CONSOLE_INT}, {"of", CONSOLE_TEXT},
                                               {"calls", CONSOLE_INT},  {"refused", CONSOLE_INT},
                                               {"faults", CONSOLE_INT}, {"p50", CONSOLE_US},
                                               {"p99", CONSOLE_US}};
    static const char *const sides[] = {"old", "new"}, *const parts[] = {"requests", "policies"};
    console_json_t j;
    slice_t name = console_arg(call, 0);
    if (!console_json_open(call, err, reply, &j))
        return;
    json_at_t canary = 0;
    for (json_at_t at = json_first(j.doc, JSON_ROOT); at; at = json_next(j.doc, at))
        if (slice_eq(console_json_text(&j, at, "service"), name))
            canary = json_get(j.doc, at, "canary");
    if (!canary) {
        console_fail(call, ERR_NOT_FOUND, "no version of it is tried");
    } else {
        console_table(call, NULL, columns, sizeof columns / sizeof columns[0]);
        for (int i = 0; i < 4; i++)
            side_row(call, &j, json_get(j.doc, canary, sides[i / 2]), parts[i % 2]);
    }
    console_json_close(&j);
}

static void show_table(console_call_t *call, int err, const msg_t *reply,
                       const console_column_t *columns, const char *const *keys, size_t n) {
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    console_json_table(call, &j, columns, keys, n);
    console_json_close(&j);
}

static void show_results(console_call_t *call, int err, const msg_t *reply) {
    static const console_column_t columns[] = {{"service", CONSOLE_TEXT},
                                               {"number", CONSOLE_INT},
                                               {"result", CONSOLE_TEXT},
                                               {"reason", CONSOLE_TEXT}};
    static const char *const keys[] = {"service", "number", "result", "reason"};
    show_table(call, err, reply, columns, keys, sizeof keys / sizeof keys[0]);
}

static void show_history(console_call_t *call, int err, const msg_t *reply) {
    static const console_column_t columns[] = {
        {"number", CONSOLE_INT}, {"version", CONSOLE_INT},  {"hash", CONSOLE_TEXT},
        {"came", CONSOLE_TIME},  {"came_by", CONSOLE_TEXT}, {"state", CONSOLE_TEXT},
        {"since", CONSOLE_TIME}, {"by", CONSOLE_TEXT},      {"reason", CONSOLE_TEXT}};
    static const char *const keys[] = {"number", "version", "hash", "came_ms", "came_by",
                                       "state",  "at_ms",   "by",   "reason"};
    show_table(call, err, reply, columns, keys, sizeof keys / sizeof keys[0]);
}

static void show_diff(console_call_t *call, int err, const msg_t *reply) {
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    slice_t diff = console_json_text(&j, JSON_ROOT, "diff");
    console_lines(call, diff.len > 0 ? diff : SLICE("no difference"));
    console_json_close(&j);
}

/* `shadow SERVICE show`: the counts, then the last differences. */
static void show_shadow(console_call_t *call, int err, const msg_t *reply) {
    static const char *const counts[] = {"number",   "seen",   "same",
                                         "differed", "failed", "not_looked_at"};
    static const console_column_t columns[] = {
        {"at", CONSOLE_TIME},     {"of", CONSOLE_TEXT},         {"verb", CONSOLE_TEXT},
        {"key", CONSOLE_INT},     {"what", CONSOLE_TEXT},       {"live", CONSOLE_TEXT},
        {"shadow", CONSOLE_TEXT}, {"fresh_state", CONSOLE_BOOL}};
    static const char *const keys[] = {"at_ms", "of",   "verb",   "key",
                                       "what",  "live", "shadow", "fresh_state"};
    console_json_t j;
    if (!console_json_open(call, err, reply, &j))
        return;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        console_field_value(call, counts[i], CONSOLE_INT,
                            console_json_int(&j, JSON_ROOT, counts[i]));
    console_field_value(call, "since", CONSOLE_TIME, console_json_int(&j, JSON_ROOT, "since_ms"));
    console_table(call, "differences", columns, sizeof columns / sizeof columns[0]);
    json_at_t all = json_get(j.doc, JSON_ROOT, "differences");
    for (json_at_t at = json_first(j.doc, all); at; at = json_next(j.doc, at))
        console_json_cells(call, &j, at, columns, keys, sizeof keys / sizeof keys[0]);
    console_json_close(&j);
}

/* --- commands --- */
/* false: the name is none; said. */
static bool begin(console_call_t *call, script_t *script, script_op_t op, question_t *q) {
    slice_t service = console_arg(call, 0);
    *q = (question_t){.script = script, .order = {.op = op}};
    snprintf(q->order.who, sizeof q->order.who, "%s", console_user(call));
    if (service.len >= sizeof q->order.service) {
        console_fail(call, ERR_NOT_FOUND, "there is no such service");
        return false;
    }
    if (service.at)
        memcpy(q->order.service, service.at, service.len);
    return true;
}

static void ask(console_call_t *call, const question_t *q, console_answered_t then) {
    console_ask(call, ask_order, then, q, sizeof *q, WAIT_MS);
}

static void run_scripts(console_call_t *call, void *arg) {
    question_t q;
    if (begin(call, arg, SCRIPT_LIST, &q))
        ask(call, &q, show_list);
}

static void run_reload(console_call_t *call, void *arg) {
    question_t q;
    if (begin(call, arg, SCRIPT_RELOAD, &q))
        ask(call, &q, show_results);
}

static void run_canary(console_call_t *call, void *arg) {
    question_t q;
    if (!begin(call, arg, SCRIPT_CANARY, &q) ||
        !console_option_int(call, "shard", 0, &q.order.shard) ||
        !console_option_int(call, "share", 0, &q.order.share))
        return;
    if (console_option(call, "show").at) {
        q.order.op = SCRIPT_LIST;
        ask(call, &q, show_canary);
    } else if (console_role_of(call) < CONSOLE_OPERATE) {
        console_fail(call, ERR_FORBIDDEN, "only --show may be read; the rest is for `operate`");
    } else {
        ask(call, &q, show_results);
    }
}

static void run_shadow(console_call_t *call, void *arg) {
    question_t q;
    slice_t what = console_arg(call, 1);
    if (!begin(call, arg, SCRIPT_SHADOW_SHOW, &q))
        return;
    if (slice_eq(what, SLICE("show"))) {
        ask(call, &q, show_shadow);
        return;
    }
    q.order.op = slice_eq(what, SLICE("on")) ? SCRIPT_SHADOW_ON : SCRIPT_SHADOW_OFF;
    if (q.order.op == SCRIPT_SHADOW_OFF && !slice_eq(what, SLICE("off")))
        console_fail(call, ERR_BAD_REQUEST, "on, off or show");
    else if (console_role_of(call) < CONSOLE_OPERATE)
        console_fail(call, ERR_FORBIDDEN, "only `show` may be read; the rest is for `operate`");
    else
        ask(call, &q, show_results);
}

static void run_promote(console_call_t *call, void *arg) {
    question_t q;
    if (begin(call, arg, SCRIPT_PROMOTE, &q))
        ask(call, &q, show_results);
}

static void run_abort(console_call_t *call, void *arg) {
    question_t q;
    if (begin(call, arg, SCRIPT_ABORT, &q))
        ask(call, &q, show_results);
}

/* The argument as the number of a version, if it is there; "new": what script.dir holds. */
static bool take_version(console_call_t *call, size_t i, int64_t *out) {
    slice_t s = console_arg(call, i);
    if (slice_eq(s, SLICE("new")))
        *out = -1;
    return !s.at || *out == -1 || console_int_of(call, i, out);
}

static void run_rollback(console_call_t *call, void *arg) {
    question_t q;
    if (begin(call, arg, SCRIPT_ROLLBACK, &q) && take_version(call, 1, &q.order.a))
        ask(call, &q, show_results);
}

static void run_history(console_call_t *call, void *arg) {
    question_t q;
    if (begin(call, arg, SCRIPT_HISTORY, &q))
        ask(call, &q, show_history);
}

static void run_diff(console_call_t *call, void *arg) {
    question_t q;
    if (!begin(call, arg, SCRIPT_DIFF, &q) || !take_version(call, 1, &q.order.a) ||
        !take_version(call, 2, &q.order.b))
        return;
    if (q.order.a == -1) { /* against what serves */
        q.order.a = 0;
        q.order.b = -1;
    }
    ask(call, &q, show_diff);
}

void console_script_add(console_t *c, script_t *script) {
    static const console_command_t commands[] = {
        {"scripts", "", "the services of the rules: which version serves, since when, by whom",
         NULL, CONSOLE_READ, run_scripts},
        {"reload", "[SERVICE]", "reads script.dir and brings in what changed, as HUP does",
         "A version that does not load, or whose specs or upgrade fail, never serves; the reason "
         "is "
         "told.\nWith script.canary it is tried first.",
         CONSOLE_OPERATE, run_reload},
        {"canary", "SERVICE [--share=N] [--shard=N] [--show]",
         "tries the files of script.dir on a part of the traffic",
         "--share=N: percent of the keys (10), for services that keep no state; --shard=N: one "
         "shard, "
         "with its\nstate. --show: the accounts of the old and the tried version. It is promoted "
         "or "
         "rolled back by itself\nas script.canary_* say.",
         CONSOLE_READ, run_canary},
        {"shadow", "SERVICE on|off|show",
         "a version sees what the serving one is asked, without effect",
         "on: the files of script.dir run beside what serves, on a record of each request: what "
         "they "
         "would do is\ncompared and thrown away. show: how many requests came out the same, and "
         "the "
         "last that did not.\noff: no more.",
         CONSOLE_READ, run_shadow},
        {"promote", "SERVICE", "the version that is tried serves", NULL, CONSOLE_OPERATE,
         run_promote},
        {"abort", "SERVICE", "the version that is tried goes", NULL, CONSOLE_OPERATE, run_abort},
        {"rollback", "SERVICE [VERSION]", "an older version serves again (the one before)",
         "VERSION: its number in `history`. What is in script.dir is not loaded again until its "
         "files change\nor the node restarts.",
         CONSOLE_OPERATE, run_rollback},
        {"history", "SERVICE", "its versions: who brought them, when, what became of them", NULL,
         CONSOLE_READ, run_history},
        {"diff", "SERVICE [A] [B]", "what differs between two versions",
         "A, B: numbers in `history`. Without B: what serves; without A: the one before. "
         "`diff SERVICE new`:\nfrom what serves to what is in script.dir.",
         CONSOLE_READ, run_diff}};
    console_add(c, commands, sizeof commands / sizeof commands[0], script);
}
