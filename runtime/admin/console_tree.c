/* console_tree: parents and children. Read from the scheduler's slots in a helper thread; of many
 * alike a few are shown, so that a million connections are one line. */
#include "admin/console_in.h"
#include "sched/look.h"
#include <stdlib.h>

#define BRANCH 5    /* children of one class that are shown */
#define DEEP   8    /* levels */
#define LEAVES 4096 /* lines */

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
    {"tree", "[ID] [--depth=N]", "parents and children; of many alike the first few", NULL,
     CONSOLE_READ, tree},
};

void console_tree_add(console_t *c) {
    console_add(c, commands, sizeof commands / sizeof commands[0], c);
}
