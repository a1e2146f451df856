/* console_top: who lives and what it costs: top, actors, actor, tree. Read from the scheduler's
 * slots (sched/look.h): no actor is asked, but for the lists of a single one, in a helper thread.
 */
#include "admin/console_in.h"
#include "base/clock.h"
#include "base/text.h"
#include "sched/look.h"
#include <stdlib.h>

#define ASK_MS  500  /* for an actor's own lists */
#define EVERY_S 2    /* top */
#define TOP     20   /* its rows where the screen's height is unknown */
#define HEAD    4    /* lines of top beside its rows */
#define BRANCH  5    /* children of one class that tree shows */
#define DEEP    8    /* levels of tree */
#define LEAVES  4096 /* lines of tree */

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

/* --- one actor --- */

typedef struct single {
    char name[64]; /* "": slot is meant */
    uint32_t slot;
    uint64_t key;
    int err;
    look_detail_t detail;
    look_actor_t children[LOOK_PARTS];
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
    s->err = look_actor(rt, single_find(rt, s), &s->detail, ASK_MS);
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
    if (s && read_actor(call, s))
        console_work(call, single_read, single_show, NULL, s, sizeof *s);
    free(s);
}

/* --- kill --- */

static void kill_work(runtime_t *rt, void *data) {
    single_t *s = data;
    s->err = runtime_kill(rt, single_find(rt, s), ERR_INTERNAL);
}

static void kill_show(console_call_t *call, void *data) {
    const single_t *s = data;
    if (s->err != ERR_OK)
        console_fail(call, ERR_NOT_FOUND, "no such actor");
    else
        console_line(call, "it crashes before its next message");
}

static void kill_actor(console_call_t *call, void *arg) {
    single_t *s = calloc(1, sizeof *s);
    (void)arg;
    if (s && read_actor(call, s))
        console_work(call, kill_work, kill_show, NULL, s, sizeof *s);
    free(s);
}

/* --- tree --- */

typedef struct leaf {
    look_actor_t actor;
    uint32_t depth;
    uint64_t more; /* instead of an actor: so many of this class are not shown */
} leaf_t;

typedef struct tree {
    uint32_t from; /* slot; UINT32_MAX: the root */
    uint32_t depth;
    size_t count, room;
    uint64_t cut;
    bool unknown;
    leaf_t *leaves;
} tree_t;

static void tree_free(void *data) {
    free(((tree_t *)data)->leaves);
}

static void add_leaf(tree_t *t, const look_actor_t *a, uint32_t depth, uint64_t more) {
    if (t->count == t->room) {
        t->cut++;
        return;
    }
    t->leaves[t->count++] = (leaf_t){*a, depth, more};
}

static void add_branch(runtime_t *rt, tree_t *t, const look_actor_t *a, uint32_t depth);

/* The children of one class: a few of them, and how many more. */
static void add_class(runtime_t *rt, tree_t *t, actor_ref_t parent, const char *name,
                      uint32_t depth) {
    look_actor_t some[BRANCH];
    look_query_t q = {.name = name, .by_parent = true, .parent = parent};
    uint64_t total = 0;
    size_t n = look_list(rt, &q, some, BRANCH, &total);
    for (size_t i = 0; i < n; i++)
        add_branch(rt, t, &some[i], depth);
    if (total > n)
        add_leaf(t, &some[0], depth, total - n);
}

/* Of the root, whose children may be a million: the slots are read once a class. */
static void add_roots(runtime_t *rt, tree_t *t) {
    look_class_t all[LOOK_CLASSES];
    size_t n = look_classes(rt, all);
    for (size_t i = 0; i < n && t->count < t->room; i++)
        if (all[i].alive)
            add_class(rt, t, ACTOR_NONE, all[i].name, 0);
}

/* How many children of this class stand before number i. */
static size_t alike(const look_actor_t *all, size_t i) {
    size_t n = 0;
    for (size_t k = 0; k < i; k++)
        n += strcmp(all[k].name, all[i].name) == 0;
    return n;
}

static void add_children(runtime_t *rt, tree_t *t, actor_ref_t parent, uint32_t depth) {
    actor_ref_t refs[LOOK_PARTS];
    look_actor_t *all = calloc(LOOK_PARTS, sizeof *all);
    look_detail_t *d = calloc(1, sizeof *d);
    uint32_t total = 0;
    size_t n = all && d ? look_children(rt, parent, refs, LOOK_PARTS, &total) : 0, alive = 0;
    for (size_t i = 0; i < n; i++)
        if (look_actor(rt, refs[i], d, 0) == ERR_OK)
            all[alive++] = d->actor;
    uint64_t more = total - alive;
    for (size_t i = 0; i < alive; i++) {
        if (alike(all, i) < BRANCH)
            add_branch(rt, t, &all[i], depth);
        else
            more++;
    }
    if (more && alive)
        add_leaf(t, &all[alive - 1], depth, more);
    free(all);
    free(d);
}

static void add_branch(runtime_t *rt, tree_t *t, const look_actor_t *a, uint32_t depth) {
    add_leaf(t, a, depth, 0);
    if (a->children && depth < t->depth)
        add_children(rt, t, a->ref, depth + 1);
}

static void tree_read(runtime_t *rt, void *data) {
    tree_t *t = data;
    look_detail_t *d = malloc(sizeof *d);
    t->leaves = malloc(t->room * sizeof *t->leaves);
    if (d && t->leaves && t->from == UINT32_MAX) {
        add_roots(rt, t);
    } else if (d && t->leaves) {
        t->unknown = look_actor(rt, look_slot(rt, t->from), d, 0) != ERR_OK;
        if (!t->unknown)
            add_branch(rt, t, &d->actor, 0);
    }
    free(d);
}

static const console_column_t tree_columns[] = {
    {"actor", CONSOLE_TEXT}, {"id", CONSOLE_INT},   {"key", CONSOLE_INT},
    {"depth", CONSOLE_INT},  {"more", CONSOLE_INT}, {"state", CONSOLE_TEXT},
    {"queue", CONSOLE_INT},  {"cpu", CONSOLE_US},   {"memory", CONSOLE_BYTES}};

static void leaf_row(console_call_t *call, const leaf_t *l) {
    char name[128];
    snprintf(name, sizeof name, "%*s%s%s", console_json(call) ? 0 : (int)l->depth * 2, "",
             l->actor.name, l->more ? " ..." : "");
    console_text(call, slice_of(name));
    if (l->more) {
        console_none(call);
        console_none(call);
        console_value(call, l->depth);
        console_value(call, (int64_t)l->more);
        for (int i = 5; i < 9; i++)
            console_none(call);
        return;
    }
    console_value(call, l->actor.ref.slot);
    console_value(call, (int64_t)l->actor.key);
    console_value(call, l->depth);
    console_none(call);
    console_text(call, slice_of(look_state_name(l->actor.state)));
    console_value(call, l->actor.waiting);
    console_value(call, (int64_t)(l->actor.cpu_ns / 1000));
    console_value(call, (int64_t)l->actor.memory);
}

static void tree_show(console_call_t *call, void *data) {
    tree_t *t = data;
    if (t->unknown) {
        console_fail(call, ERR_NOT_FOUND, "no such actor");
    } else {
        console_table(call, NULL, tree_columns, sizeof tree_columns / sizeof tree_columns[0]);
        for (size_t i = 0; i < t->count; i++)
            leaf_row(call, &t->leaves[i]);
        console_left_out(call, t->cut);
    }
    free(t->leaves);
}

static void tree(console_call_t *call, void *arg) {
    int64_t depth, from = UINT32_MAX;
    (void)arg;
    if ((console_arg(call, 0).at && !console_int_of(call, 0, &from)) ||
        !console_option_int(call, "depth", DEEP, &depth))
        return;
    tree_t t = {.from = from < UINT32_MAX ? (uint32_t)from : UINT32_MAX,
                .depth = depth < DEEP ? (uint32_t)depth : DEEP,
                .room = console_rows_wanted(call) < LEAVES ? console_rows_wanted(call) : LEAVES};
    console_work(call, tree_read, tree_show, tree_free, &t, sizeof t);
}

static const console_command_t commands[] = {
    {"top", "[--by=cpu|queue|memory] [--every=SECONDS]", "the busiest actors, refreshing",
     "On a terminal it refreshes (2 s) until a key is pressed; elsewhere once, or with --every.\n"
     "LOAD is the share of one core since the last look; at the first one over the actor's life.",
     CONSOLE_READ, top},
    {"actors", "[CLASS] [--by=cpu|queue|memory]", "living actors",
     "`classes` has the names of classes and their sums.", CONSOLE_READ, actors},
    {"classes", "", "what each class of actors costs", NULL, CONSOLE_READ, classes},
    {"actor", "ID|CLASS [KEY]", "one actor in full: state, mailbox, requests, timers, children",
     "actor 17              by the id that top and actors show\n"
     "actor conversation 42 by class and key",
     CONSOLE_READ, actor},
    {"kill", "ID|CLASS [KEY]",
     "crashes an actor before its next message; its class's restart applies",
     "Services come back at once with empty mailboxes; more than 3 crashes in 10 s stop the node.\n"
     "A connection's socket is closed, a user or conversation begins anew with its next message.",
     CONSOLE_OPERATE, kill_actor},
    {"tree", "[ID] [--depth=N]", "parents and children; of many alike the first few", NULL,
     CONSOLE_READ, tree},
};

void console_top_add(console_t *c) {
    console_add(c, commands, sizeof commands / sizeof commands[0], c);
}
