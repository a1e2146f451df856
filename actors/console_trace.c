/* console_trace: see console_trace.h. Arms, waits until the messages have come and their work had
 * time to end, shows the hops. In the console's thread; an operator that leaves disarms. */
#include "actors/console_trace.h"
#include "actors/verbs.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "sched/trace.h"
#include <stdlib.h>

enum { POLL_MS = 200, SETTLE_MS = 500, WAIT_S = 10, WAIT_MOST = 600, COUNT_MOST = 20 };

typedef struct tracing {
    runtime_t *rt;
    const char *what;
    int64_t key, count;
    uint32_t first;
    uint64_t until_ms;
} tracing_t;

static void tracing_end(void *state) {
    tracing_t *t = state;
    if (t->first)
        trace_stop(t->rt, t->first);
}

static uint64_t now_ms(void) {
    return clock_mono_ns() / 1000000;
}

static const console_column_t columns[] = {
    {"trace", CONSOLE_INT}, {"hop", CONSOLE_INT},    {"after", CONSOLE_INT},
    {"at", CONSOLE_US},     {"to", CONSOLE_TEXT},    {"from", CONSOLE_TEXT},
    {"verb", CONSOLE_INT},  {"is", CONSOLE_TEXT},    {"queue", CONSOLE_US},
    {"run", CONSOLE_US},    {"worker", CONSOLE_INT}, {"result", CONSOLE_TEXT}};

static uint32_t depth_of(const trace_hop_t *all, size_t n, uint32_t hop) {
    uint32_t depth = 0;
    for (size_t i = n; i-- > 0;) /* parents stand before their children */
        if (all[i].hop == hop && all[i].parent) {
            hop = all[i].parent;
            depth++;
        }
    return depth;
}

/* Connections have no key of their own: their number is the one that `conns` and `actor` know. */
static bool is_conn(const trace_party_t *p) {
    return strcmp(p->name, "conn") == 0;
}

static void party_cell(console_call_t *call, const trace_party_t *p, uint32_t indent) {
    char text[128];
    if (!p->name)
        snprintf(text, sizeof text, "%*s%s", (int)indent, "", p->ref.gen ? "gone" : "outside");
    else
        snprintf(text, sizeof text, "%*s%s %llu", (int)indent, "", p->name,
                 is_conn(p) ? p->ref.slot : (unsigned long long)p->key);
    console_text(call, slice_of(text));
}

static void span_cell(console_call_t *call, uint64_t from_ns, uint64_t to_ns) {
    if (from_ns && to_ns >= from_ns)
        console_value(call, (int64_t)((to_ns - from_ns) / 1000));
    else
        console_none(call);
}

static const char *kind_of(const trace_hop_t *h) {
    if (h->visited)
        return "visit";
    return h->flags & MSG_REPLY ? "reply" : h->flags & MSG_REQUEST ? "request" : "message";
}

static void show_hops(console_call_t *call, const trace_hop_t *all, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const trace_hop_t *h = &all[i];
        uint32_t depth = console_json(call) ? 0 : depth_of(all, n, h->hop);
        console_value(call, h->trace);
        console_value(call, h->hop);
        console_value(call, h->parent);
        span_cell(call, all[0].sent_ns, h->sent_ns);
        party_cell(call, &h->to, (depth < 20 ? depth : 20) * 2);
        party_cell(call, &h->from, 0);
        console_value(call, h->verb);
        console_text(call, slice_of(kind_of(h)));
        span_cell(call, h->sent_ns, h->began_ns);
        span_cell(call, h->began_ns, h->ended_ns);
        console_value(call, h->worker);
        console_text(call, slice_of(h->err == ERR_OK ? "ok" : err_name(h->err)));
    }
}

static void show(console_call_t *call) {
    tracing_t *t = console_state(call, sizeof *t, tracing_end);
    trace_hop_t *all = malloc(TRACE_HOPS * sizeof *all);
    bool armed;
    uint32_t seen = trace_seen(t->rt, t->first, &armed), lost, all_lost = 0;
    console_table(call, NULL, columns, sizeof columns / sizeof columns[0]);
    for (uint32_t i = 0; all && i < seen; i++) {
        size_t n = trace_read(t->rt, t->first + i, all, TRACE_HOPS, &lost);
        show_hops(call, all, n);
        all_lost += lost;
    }
    console_left_out(call, all_lost);
    free(all);
}

static void look_again(console_call_t *call) {
    tracing_t *t = console_state(call, sizeof *t, tracing_end);
    bool armed;
    uint32_t seen = trace_seen(t->rt, t->first, &armed);
    bool over = now_ms() >= t->until_ms;
    if (seen >= t->count || (over && seen))
        console_later(call, SETTLE_MS, show);
    else if (over)
        console_fail(call, ERR_NOT_FOUND, "no message came for %s %lld", t->what,
                     (long long)t->key);
    else
        console_later(call, POLL_MS, look_again);
}

static void trace(console_call_t *call, void *arg) {
    tracing_t *t = console_state(call, sizeof *t, tracing_end);
    slice_t what = console_arg(call, 0);
    bool user = slice_eq(what, SLICE("user"));
    int64_t wait;
    (void)arg;
    if (!user && !slice_eq(what, SLICE("conversation"))) {
        console_fail(call, ERR_BAD_REQUEST, "trace user ID, or trace conversation ID");
        return;
    }
    if (!console_int_of(call, 1, &t->key) || !console_option_int(call, "count", 1, &t->count) ||
        !console_option_int(call, "wait", WAIT_S, &wait))
        return;
    if (t->count < 1 || t->count > COUNT_MOST || wait < 1 || wait > WAIT_MOST) {
        console_fail(call, ERR_BAD_REQUEST, "--count=1 to %d, --wait=1 to %d", COUNT_MOST,
                     WAIT_MOST);
        return;
    }
    t->rt = console_runtime(call);
    t->what = user ? "user" : "conversation";
    t->until_ms = now_ms() + (uint64_t)wait * 1000;
    t->first = trace_start(t->rt, user ? KIND_INBOX : KIND_CONVERSATION, (uint64_t)t->key,
                           (uint32_t)t->count);
    if (t->first)
        console_later(call, POLL_MS, look_again);
    else
        console_fail(call, ERR_BUSY, "%d traces are armed already", TRACE_TARGETS);
}

static const console_command_t commands[] = {
    {"trace", "user|conversation ID [--count=N] [--wait=SECONDS]",
     "follows the next messages through all actors",
     "Waits (10 s) for a message, then shows each hop: when it was sent, how long it waited\n"
     "in the queue, how long it was handled. A connection (conn) goes by its number in `conns`.\n"
     "Ctrl-C ends the wait.",
     CONSOLE_READ, trace}};

void console_trace_add(console_t *console) {
    console_add(console, commands, 1, NULL);
}
