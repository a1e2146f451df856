/* console_top: who lives and what it costs: top, actors, actor, tree. Read from the scheduler's
 * slots (sched/look.h): no actor is asked, but for the lists of a single one, in a helper thread.
 */
#include "admin/console_in.h"
#include "base/clock.h"
#include "sched/look.h"
#include <stdlib.h>

#define EVERY_S 2  /* top */
#define TOP     20 /* its rows where the screen's height is unknown */
#define HEAD    4  /* lines of top beside its rows */

/* --- one actor as a row --- */

static const console_column_t actor_columns[] = {
    {"id", CONSOLE_INT},       {"class", CONSOLE_TEXT},   {"key", CONSOLE_INT},
    {"state", CONSOLE_TEXT},   {"worker", CONSOLE_INT},   {"load", CONSOLE_PERCENT},
    {"cpu", CONSOLE_US},       {"queue", CONSOLE_INT},    {"peak", CONSOLE_INT},
    {"messages", CONSOLE_INT}, {"memory", CONSOLE_BYTES}, {"age", CONSOLE_US}};
enum { ACTOR_COLUMNS = sizeof actor_columns / sizeof actor_columns[0] };

/* Share of one core over `span_ns`, in 0.01 %. */
static int64_t load_of(uint64_t ns, uint64_t span_ns) {
    return span_ns ? (int64_t)((double)ns * 10000 / (double)span_ns) : 0;
}

/* span_ns 0: over its life. */
static void actor_row(console_call_t *call, const look_actor_t *a, uint64_t span_ns) {
    console_value(call, a->ref.slot);
    console_text(call, slice_of(a->name));
    console_value(call, (int64_t)a->key);
    console_text(call, slice_of(look_state_name(a->state)));
    if (a->thread)
        console_none(call);
    else
        console_value(call, a->worker);
    console_value(call, span_ns ? load_of(a->recent_ns, span_ns)
                                : load_of(a->cpu_ns, a->age_ms * 1000000));
    console_value(call, (int64_t)(a->cpu_ns / 1000));
    console_value(call, a->waiting);
    console_value(call, a->peak);
    console_value(call, (int64_t)a->handled);
    console_value(call, (int64_t)a->memory);
    console_value(call, (int64_t)a->age_ms * 1000);
}

static bool sort_of(console_call_t *call, look_sort_t otherwise, look_sort_t *out) {
    static const char *const names[] = {"", "cpu", "queue", "memory"};
    slice_t word = console_option(call, "by");
    *out = otherwise;
    if (!word.at)
        return true;
    for (int i = 1; i < 4; i++)
        if (slice_eq(word, slice_of(names[i]))) {
            *out = (look_sort_t)i;
            return true;
        }
    console_fail(call, ERR_BAD_REQUEST, "--by=cpu, queue or memory");
    return false;
}

/* --- lists, in a helper thread: a million slots take a tenth of a second --- */

typedef struct listing {
    look_query_t query;
    char name[64];
    size_t room, given;
    uint64_t total, span_ns;
    look_actor_t *rows; /* room of them */
    bool top;
} listing_t;

typedef struct top_state {
    look_marks_t *marks;
    uint64_t last_ns;
} top_state_t;

static void listing_free(void *data) {
    listing_t *l = data;
    free(l->rows);
}

static void listing_read(runtime_t *rt, void *data) {
    listing_t *l = data;
    l->rows = malloc(l->room * sizeof *l->rows);
    l->query.name = l->name[0] ? l->name : NULL;
    if (l->rows)
        l->given = look_list(rt, &l->query, l->rows, l->room, &l->total);
}

static void top_ended(void *state) {
    look_marks_free(((top_state_t *)state)->marks);
}

static void top_head(console_call_t *call, const listing_t *l) {
    runtime_counts_t n;
    struct timespec cpu;
    runtime_counts(console_runtime(call), &n);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    int64_t cpu_us = (int64_t)cpu.tv_sec * 1000000 + cpu.tv_nsec / 1000;
    if (console_json(call)) {
        console_field_value(call, "actors", CONSOLE_INT, (int64_t)l->total);
        console_field_value(call, "workers", CONSOLE_INT, runtime_workers(console_runtime(call)));
        console_field_value(call, "messages", CONSOLE_INT, (int64_t)n.received);
        console_field_value(call, "refused", CONSOLE_INT, (int64_t)n.refused);
        console_field_value(call, "cpu", CONSOLE_US, cpu_us);
        return;
    }
    buf_t b = {0};
    answer_format(CONSOLE_US, cpu_us, &b);
    console_line(call,
                 "%llu actors, %u workers, %lld sockets; %llu messages, %llu refused; "
                 "process cpu %.*s",
                 (unsigned long long)l->total, runtime_workers(console_runtime(call)),
                 (long long)stat_read(STAT_CONNECTIONS), (unsigned long long)n.received,
                 (unsigned long long)n.refused, (int)b.len, b.at);
    buf_free(&b);
}

static void listing_show(console_call_t *call, void *data) {
    listing_t *l = data;
    if (!l->rows) {
        console_fail(call, ERR_BUSY, "no memory for so many rows");
        return;
    }
    if (l->top)
        top_head(call, l);
    console_table(call, l->top && console_json(call) ? "top" : NULL, actor_columns, ACTOR_COLUMNS);
    for (size_t i = 0; i < l->given; i++)
        actor_row(call, &l->rows[i], l->span_ns);
    if (!l->top && l->total > l->given)
        console_left_out(call, l->total - l->given);
    free(l->rows);
}

/* What a screen holds, or --rows. */
static size_t top_rows(console_call_t *call) {
    uint32_t lines = console_lines_of(call);
    if (console_option(call, "rows").at)
        return console_rows_wanted(call);
    return lines > HEAD + 3 ? lines - HEAD - 2 : TOP;
}

static void top(console_call_t *call, void *arg) {
    int64_t every;
    listing_t l = {.top = true, .room = top_rows(call)};
    (void)arg;
    if (!console_option_int(call, "every", EVERY_S, &every) ||
        !sort_of(call, LOOK_BY_CPU, &l.query.sort))
        return;
    if (every < 1 || every > 3600) {
        console_fail(call, ERR_BAD_REQUEST, "--every=1 to 3600 seconds");
        return;
    }
    top_state_t *st = console_state(call, sizeof *st, top_ended);
    uint64_t now = clock_mono_ns();
    if (!st->marks)
        st->marks = look_marks_new();
    l.query.marks = st->marks;
    l.span_ns = st->last_ns ? now - st->last_ns : 0;
    st->last_ns = now;
    console_live(call, (uint32_t)every);
    console_work(call, listing_read, listing_show, listing_free, &l, sizeof l);
}

static void copy_name(listing_t *l, slice_t name) {
    snprintf(l->name, sizeof l->name, "%.*s", (int)name.len, name.at ? name.at : "");
}

/* Without a class: what each class costs. */
static const console_column_t class_columns[] = {
    {"class", CONSOLE_TEXT},   {"alive", CONSOLE_INT},   {"made", CONSOLE_INT},
    {"messages", CONSOLE_INT}, {"cpu", CONSOLE_US},      {"queue", CONSOLE_INT},
    {"memory", CONSOLE_BYTES}, {"refused", CONSOLE_INT}, {"crashes", CONSOLE_INT},
    {"restarts", CONSOLE_INT}};

typedef struct classes {
    look_class_t at[LOOK_CLASSES];
    size_t count;
} classes_t;

static void classes_read(runtime_t *rt, void *data) {
    classes_t *c = data;
    c->count = look_classes(rt, c->at);
}

static void classes_show(console_call_t *call, void *data) {
    const classes_t *c = data;
    console_table(call, NULL, class_columns, sizeof class_columns / sizeof class_columns[0]);
    for (size_t i = 0; i < c->count; i++) {
        const look_class_t *k = &c->at[i];
        console_text(call, slice_of(k->name));
        console_value(call, (int64_t)k->alive);
        console_value(call, (int64_t)k->made);
        console_value(call, (int64_t)k->messages);
        console_value(call, (int64_t)(k->cpu_ns / 1000));
        console_value(call, (int64_t)k->waiting);
        console_value(call, (int64_t)k->memory);
        console_value(call, (int64_t)k->refused);
        console_value(call, (int64_t)k->crashes);
        console_value(call, (int64_t)k->restarts);
    }
}

static void classes(console_call_t *call, void *arg) {
    classes_t c = {.count = 0};
    (void)arg;
    console_work(call, classes_read, classes_show, NULL, &c, sizeof c);
}

static void actors(console_call_t *call, void *arg) {
    listing_t l = {.room = console_rows_wanted(call)};
    (void)arg;
    if (!sort_of(call, LOOK_UNSORTED, &l.query.sort))
        return;
    copy_name(&l, console_arg(call, 0));
    console_work(call, listing_read, listing_show, listing_free, &l, sizeof l);
}

static const console_command_t commands[] = {
    {"top", "[--by=cpu|queue|memory] [--every=SECONDS]", "the busiest actors, refreshing",
     "On a terminal it refreshes (2 s) until a key is pressed; elsewhere once, or with --every.\n"
     "LOAD is the share of one core since the last look; at the first one over the actor's life.",
     CONSOLE_READ, top},
    {"actors", "[CLASS] [--by=cpu|queue|memory]", "living actors",
     "`classes` has the names of classes and their sums.", CONSOLE_READ, actors},
    {"classes", "", "what each class of actors costs", NULL, CONSOLE_READ, classes},
};

void console_top_add(console_t *c) {
    console_add(c, commands, sizeof commands / sizeof commands[0], c);
}
