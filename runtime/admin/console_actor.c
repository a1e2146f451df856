/* console_actor: one actor: shown in full, or killed. Its timers, requests and calls are lists of
 * its own, so it is asked for them, in a helper thread that waits ASK_MS at most. */
#include "admin/console_in.h"
#include "sched/look.h"
#include <stdlib.h>

#define ASK_MS 500

typedef struct single {
    char name[64]; /* "": slot is meant */
    uint32_t slot;
    uint64_t key;
    uint32_t wait_ms;
    int err;
    look_detail_t detail;
} single_t;

static actor_ref_t single_find(runtime_t *rt, const single_t *s) {
    look_query_t q = {.name = s->name, .by_key = true, .key = s->key};
    look_actor_t found;
    if (!s->name[0])
        return look_slot(rt, s->slot);
    return look_list(rt, &q, &found, 1, NULL) ? found.ref : ACTOR_NONE;
}

static void single_read(runtime_t *rt, void *data) {
    single_t *s = data;
    s->err = look_actor(rt, single_find(rt, s), &s->detail, s->wait_ms);
}

static void show_timers(console_call_t *call, const look_detail_t *d) {
    static const console_column_t columns[] = {
        {"verb", CONSOLE_INT}, {"due_in", CONSOLE_US}, {"cookie", CONSOLE_INT}};
    console_table(call, "timers", columns, 3);
    for (uint32_t i = 0; i < d->timers_given; i++) {
        console_value(call, d->timers[i].verb);
        console_value(call, (int64_t)d->timers[i].due_ms * 1000);
        console_value(call, (int64_t)d->timers[i].cookie);
    }
    console_left_out(call, d->timer_count - d->timers_given);
}

static void show_requests(console_call_t *call, const look_detail_t *d) {
    static const console_column_t columns[] = {{"verb", CONSOLE_INT},
                                               {"from", CONSOLE_INT},
                                               {"class", CONSOLE_TEXT},
                                               {"time_left", CONSOLE_US}};
    console_table(call, "requests_to_answer", columns, 4);
    for (uint32_t i = 0; i < d->requests_given; i++) {
        const look_request_t *r = &d->requests[i];
        console_value(call, r->verb);
        console_value(call, r->from.slot);
        console_text(call, slice_of(r->from_name ? r->from_name : "gone"));
        console_value(call, r->left_ms * 1000);
    }
    console_left_out(call, d->request_count - d->requests_given);
}

static void show_calls(console_call_t *call, const look_detail_t *d) {
    static const console_column_t columns[] = {
        {"call", CONSOLE_INT}, {"reply_verb", CONSOLE_INT}, {"time_left", CONSOLE_US}};
    console_table(call, "waits_for", columns, 3);
    for (uint32_t i = 0; i < d->calls_given; i++) {
        console_value(call, d->calls[i].id);
        console_value(call, d->calls[i].reply_verb);
        console_value(call, d->calls[i].left_ms * 1000);
    }
    console_left_out(call, d->call_count - d->calls_given);
}

static void show_children(console_call_t *call, const look_detail_t *d) {
    static const console_column_t columns[] = {{"id", CONSOLE_INT}};
    console_table(call, "children", columns, 1);
    for (uint32_t i = 0; i < d->children_given; i++)
        console_value(call, d->children[i].slot);
    console_left_out(call, d->child_count - d->children_given);
}

static void show_fields(console_call_t *call, const look_actor_t *a) {
    console_field_value(call, "id", CONSOLE_INT, a->ref.slot);
    console_field(call, "class", slice_of(a->name));
    console_field_value(call, "key", CONSOLE_INT, (int64_t)a->key);
    console_field(call, "state", slice_of(look_state_name(a->state)));
    console_field_value(call, "thread", CONSOLE_BOOL, a->thread);
    console_field_value(call, "worker", CONSOLE_INT, a->worker);
    if (a->parent.gen) /* else the root's */
        console_field_value(call, "parent", CONSOLE_INT, a->parent.slot);
    console_field_value(call, "waiting", CONSOLE_INT, a->waiting);
    console_field_value(call, "waiting_peak", CONSOLE_INT, a->peak);
    console_field_value(call, "waiting_limit", CONSOLE_INT, a->cap_msgs);
    console_field_value(call, "waiting_bytes", CONSOLE_BYTES, a->bytes);
    console_field_value(call, "waiting_limit_bytes", CONSOLE_BYTES, a->cap_bytes);
    console_field_value(call, "refused", CONSOLE_INT, a->refused);
    console_field_value(call, "messages", CONSOLE_INT, (int64_t)a->handled);
    console_field_value(call, "cpu", CONSOLE_US, (int64_t)(a->cpu_ns / 1000));
    console_field_value(call, "memory", CONSOLE_BYTES, (int64_t)a->memory);
    console_field_value(call, "restarts", CONSOLE_INT, a->restarts);
    console_field_value(call, "age", CONSOLE_US, (int64_t)a->age_ms * 1000);
}

static void single_show(console_call_t *call, void *data) {
    const single_t *s = data;
    if (s->err != ERR_OK) {
        console_fail(call, ERR_NOT_FOUND, "no such actor");
        return;
    }
    show_fields(call, &s->detail.actor);
    console_field_value(call, "answered", CONSOLE_BOOL, s->detail.asked);
    show_children(call, &s->detail);
    if (!s->detail.asked)
        return;
    show_timers(call, &s->detail);
    show_requests(call, &s->detail);
    show_calls(call, &s->detail);
}

/* "ID", or "CLASS KEY". */
static bool read_actor(console_call_t *call, single_t *s) {
    int64_t number;
    slice_t first = console_arg(call, 0);
    size_t at = console_arg(call, 1).at ? 1 : 0;
    if (!console_int_of(call, at, &number))
        return false;
    if (at == 1)
        snprintf(s->name, sizeof s->name, "%.*s", (int)first.len, first.at);
    s->slot = number <= UINT32_MAX ? (uint32_t)number : UINT32_MAX;
    s->key = (uint64_t)number;
    return true;
}

static void actor(console_call_t *call, void *arg) {
    single_t *s = calloc(1, sizeof *s);
    (void)arg;
    if (s)
        s->wait_ms = ASK_MS;
    if (s && read_actor(call, s))
        console_work(call, single_read, single_show, NULL, s, sizeof *s);
    free(s);
}

/* --- kill --- */

static void kill_it(console_call_t *call, void *data) {
    const single_t *s = data;
    const look_actor_t *a = &s->detail.actor;
    if (s->err != ERR_OK || runtime_kill(console_runtime(call), a->ref, ERR_INTERNAL) != ERR_OK) {
        console_fail(call, ERR_NOT_FOUND, "no such actor");
        return;
    }
    console_field_value(call, "killed", CONSOLE_INT, a->ref.slot);
    console_field(call, "class", slice_of(a->name));
    console_field_value(call, "key", CONSOLE_INT, (int64_t)a->key);
}

static void kill_actor(console_call_t *call, void *arg) {
    single_t *s = calloc(1, sizeof *s);
    (void)arg;
    if (s && read_actor(call, s))
        console_work(call, single_read, kill_it, NULL, s, sizeof *s);
    free(s);
}

static const console_command_t commands[] = {
    {"actor", "ID|CLASS [KEY]", "one actor in full: state, mailbox, requests, timers, children",
     "actor 17              by the id that top and actors show\n"
     "actor conversation 42 by class and key",
     CONSOLE_READ, actor},
    {"kill", "ID|CLASS [KEY]",
     "crashes an actor before its next message; its class's restart applies",
     "Services come back at once with empty mailboxes; more than 3 crashes in 10 s stop the node.\n"
     "A connection's socket is closed, a user or conversation begins anew with its next message.",
     CONSOLE_OPERATE, kill_actor},
};

void console_actor_add(console_t *c) {
    console_add(c, commands, sizeof commands / sizeof commands[0], c);
}
