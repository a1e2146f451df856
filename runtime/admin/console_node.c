/* console_node: commands about the node as a whole: its counters, limits, configuration, log and
 * slow slices. All of it is read in the console's thread; nobody is asked. */
#include "admin/console_in.h"
#include "admin/metrics.h"
#include "base/log.h"
#include "sched/look.h"
#include <assert.h>
#include <unistd.h>

/* --- stats, metrics --- */

typedef struct wanted {
    console_call_t *call;
    slice_t prefix;
    bool all;
} wanted_t;

static bool begins(const char *text, slice_t prefix) {
    return strncmp(text, prefix.at ? prefix.at : "", prefix.len) == 0;
}

static void stat_row(void *arg, const char *name, const char *label, int64_t value) {
    const wanted_t *w = arg;
    if (!begins(name, w->prefix) || (value == 0 && !w->all))
        return;
    console_text(w->call, slice_of(name));
    console_text(w->call, slice_of(label));
    console_value(w->call, value);
}

static void times_row(void *arg, const metrics_times_t *t) {
    const wanted_t *w = arg;
    if (!begins(t->name, w->prefix) || (t->count == 0 && !w->all))
        return;
    console_text(w->call, slice_of(t->name));
    console_value(w->call, (int64_t)t->count);
    console_value(w->call, (int64_t)t->mean_us);
    console_value(w->call, (int64_t)t->p50_us);
    console_value(w->call, (int64_t)t->p99_us);
}

static void stats(console_call_t *call, void *arg) {
    static const console_column_t columns[] = {
        {"name", CONSOLE_TEXT}, {"label", CONSOLE_TEXT}, {"value", CONSOLE_INT}};
    static const console_column_t times[] = {{"name", CONSOLE_TEXT},
                                             {"count", CONSOLE_INT},
                                             {"mean", CONSOLE_US},
                                             {"p50", CONSOLE_US},
                                             {"p99", CONSOLE_US}};
    wanted_t w = {call, console_arg(call, 0), console_option(call, "all").at != NULL};
    (void)arg;
    console_table(call, "counters", columns, 3);
    metrics_each(stat_row, &w);
    console_table(call, "times", times, 5);
    metrics_each_times(times_row, &w);
}

static void metrics(console_call_t *call, void *arg) {
    buf_t b = {0};
    (void)arg;
    metrics_render(&b);
    metrics_actors(console_runtime(call), &b);
    console_lines(call, buf_slice(&b));
    buf_free(&b);
}

/* --- conf --- */

static void conf_row(void *arg, const char *key, conf_type_t type, const char *value,
                     const char *preset, const char *help) {
    const wanted_t *w = arg;
    (void)type, (void)preset;
    if (!begins(key, w->prefix))
        return;
    const char *origin = conf_origin(w->call->console->conf, key);
    console_text(w->call, slice_of(key));
    console_text(w->call, slice_of(value));
    console_text(w->call, slice_of(origin ? origin : "preset"));
    console_text(w->call, slice_of(help));
}

static void conf(console_call_t *call, void *arg) {
    static const console_column_t columns[] = {{"key", CONSOLE_TEXT},
                                               {"value", CONSOLE_TEXT},
                                               {"from", CONSOLE_TEXT},
                                               {"is", CONSOLE_TEXT}};
    wanted_t w = {call, console_arg(call, 0), true};
    (void)arg;
    console_table(call, NULL, columns, 4);
    conf_each(call->console->conf, conf_row, &w);
}

/* --- limits --- */

#define UNKNOWN (-1)

/* Keys of conf that are limits, and the counters that tell of them. */
static const struct {
    const char *key;
    int now, refused; /* stat_id, or UNKNOWN */
} counted[] = {
    {"net.max_connections", STAT_CONNECTIONS, STAT_CONNECTIONS_REFUSED},
    {"http.bodies", STAT_HTTP_BODY_BYTES, UNKNOWN},
    {"ws.max_frame", UNKNOWN, STAT_CLOSE_1009},
    {"ws.max_devices", UNKNOWN, STAT_CLOSE_4002},
    {"ws.queue_soft", UNKNOWN, STAT_RESYNCS},
    {"ws.queue_hard", UNKNOWN, STAT_CLOSE_4003},
    {"auth.max_failures", UNKNOWN, STAT_LOGIN_FAILURES},
    {"script.memory", UNKNOWN, STAT_SCRIPT_KILLED_MEMORY},
    {"script.timeout", UNKNOWN, STAT_SCRIPT_TIMEOUTS},
    {"script.slice", UNKNOWN, STAT_SCRIPT_KILLED_TIME},
    {"script.preempt", UNKNOWN, STAT_SCRIPT_PREEMPTED},
    {"script.queue", UNKNOWN, STAT_SCRIPT_BUSY},
    {"limits.script_log", UNKNOWN, STAT_SCRIPT_LOG_DROPPED},
    {"script.timers", UNKNOWN, UNKNOWN},
    {"group.member_limit", UNKNOWN, UNKNOWN},
    {"files.uploads", STAT_FILES_UPLOADS, STAT_FILES_REFUSED},
    {"files.quota", UNKNOWN, UNKNOWN},
    {"admin.sessions", STAT_CONSOLE_SESSIONS, STAT_CONSOLE_REFUSED},
};

typedef struct limit_search {
    const char *key, *value, *help;
} limit_search_t;

static void find_key(void *arg, const char *key, conf_type_t type, const char *value,
                     const char *preset, const char *help) {
    limit_search_t *s = arg;
    (void)type, (void)preset;
    if (strcmp(key, s->key) == 0) {
        s->value = value;
        s->help = help;
    }
}

static void number_or_none(console_call_t *call, int64_t n) {
    if (n < 0)
        console_none(call);
    else
        console_value(call, n);
}

void console_limit(console_call_t *call, const char *key, int64_t now, int64_t refused) {
    limit_search_t s = {key, "?", ""};
    conf_each(call->console->conf, find_key, &s);
    console_text(call, slice_of(key));
    console_text(call, slice_of(s.value));
    number_or_none(call, now);
    number_or_none(call, refused);
    console_text(call, slice_of(s.help));
}

void console_add_limits(console_t *c, void (*add)(console_call_t *call, void *arg), void *arg) {
    assert(c->limit_count < sizeof c->limits / sizeof c->limits[0]);
    c->limits[c->limit_count].add = add;
    c->limits[c->limit_count++].arg = arg;
}

static int64_t stat_or(int id) {
    return id == UNKNOWN ? UNKNOWN : stat_read((enum stat_id)id);
}

static void scheduler_limits(console_call_t *call) {
    look_limit_t all[LOOK_LIMITS];
    size_t n = look_limits(console_runtime(call), all);
    for (size_t i = 0; i < n; i++) {
        char value[32];
        snprintf(value, sizeof value, "%llu", (unsigned long long)all[i].value);
        console_text(call, slice_of(all[i].name));
        console_text(call, slice_of(value));
        number_or_none(call, all[i].now ? (int64_t)all[i].now : UNKNOWN);
        console_value(call, (int64_t)all[i].refused);
        console_text(call, slice_of(all[i].what));
    }
}

/* The rates share one counter. */
static void rate_row(void *arg, const char *key, conf_type_t type, const char *value,
                     const char *preset, const char *help) {
    console_call_t *call = arg;
    (void)preset;
    if (type != CONF_RATE)
        return;
    console_text(call, slice_of(key));
    console_text(call, slice_of(value));
    console_none(call);
    console_none(call);
    console_text(call, slice_of(help));
}

static void limits(console_call_t *call, void *arg) {
    static const console_column_t columns[] = {{"limit", CONSOLE_TEXT},
                                               {"value", CONSOLE_TEXT},
                                               {"now", CONSOLE_INT},
                                               {"refused", CONSOLE_INT},
                                               {"is", CONSOLE_TEXT}};
    const console_t *c = arg;
    console_table(call, NULL, columns, 5);
    scheduler_limits(call);
    for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++)
        console_limit(call, counted[i].key, stat_or(counted[i].now), stat_or(counted[i].refused));
    for (size_t i = 0; i < c->limit_count; i++)
        c->limits[i].add(call, c->limits[i].arg);
    conf_each(c->conf, rate_row, call);
    console_text(call, SLICE("limits.*"));
    console_none(call);
    console_none(call);
    console_value(call, stat_read(STAT_RATE_LIMITED));
    console_text(call, SLICE("all rates together"));
}

/* --- slow --- */

static void slow(console_call_t *call, void *arg) {
    static const console_column_t columns[] = {
        {"took", CONSOLE_US},    {"class", CONSOLE_TEXT}, {"id", CONSOLE_INT},
        {"key", CONSOLE_INT},    {"verb", CONSOLE_INT},   {"messages", CONSOLE_INT},
        {"worker", CONSOLE_INT}, {"ended", CONSOLE_TIME}, {"what", CONSOLE_TEXT}};
    look_slow_t all[LOOK_SLOW];
    size_t n = look_slow(console_runtime(call), all);
    (void)arg;
    console_table(call, NULL, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < n; i++) {
        console_value(call, (int64_t)all[i].us);
        console_text(call, slice_of(all[i].name));
        console_value(call, all[i].ref.slot);
        console_value(call, (int64_t)all[i].key);
        console_value(call, all[i].verb);
        console_value(call, all[i].messages);
        console_value(call, all[i].worker);
        console_value(call, all[i].wall_ms);
        console_text(call, slice_of(all[i].note));
    }
}

/* --- log --- */

static void log_line(void *arg, slice_t line) {
    if (line.len && line.at[line.len - 1] == '\n')
        line.len--;
    console_lines(arg, line);
}

static void show_log(console_call_t *call, void *arg) {
    int64_t n;
    (void)arg;
    if (console_option_int(call, "last", 20, &n))
        log_recent((size_t)n, log_line, call);
}

static void level(console_call_t *call, void *arg) {
    slice_t want = console_arg(call, 0);
    int found = want.at ? -1 : (int)log_level();
    (void)arg;
    for (int i = 0; want.at && i < 4; i++)
        if (slice_eq(want, slice_of(log_level_names[i])))
            found = i;
    if (found < 0) {
        console_fail(call, ERR_BAD_REQUEST, "debug, info, warn or error");
        return;
    }
    if (want.at && console_role_of(call) < CONSOLE_OPERATE) {
        console_fail(call, ERR_FORBIDDEN, "to set it needs the role operate");
        return;
    }
    log_level_set((log_level_t)found);
    console_field(call, "level", slice_of(log_level_names[found]));
}

static const console_command_t commands[] = {
    {"stats", "[PREFIX] [--all]", "counters and times of this process; --all: also those at 0",
     NULL, CONSOLE_READ, stats},
    {"metrics", "", "the same as the Prometheus page has it", NULL, CONSOLE_READ, metrics},
    {"limits", "", "each limit: its value, how much is used, how often it refused", NULL,
     CONSOLE_READ, limits},
    {"slow", "", "the longest slices of the last hour", NULL, CONSOLE_READ, slow},
    {"conf", "[PREFIX]", "the configuration and where each value comes from", NULL, CONSOLE_READ,
     conf},
    {"log", "[--last=N]", "the last lines of the log (at most 256)", NULL, CONSOLE_READ, show_log},
    {"log level", "[debug|info|warn|error]", "shows or sets the least level that is logged",
     "Until the next start. To set it needs the role operate.", CONSOLE_READ, level},
};

void console_node_add(console_t *c) {
    console_add(c, commands, sizeof commands / sizeof commands[0], c);
}
