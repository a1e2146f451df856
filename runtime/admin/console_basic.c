/* console_basic: the commands that need nothing but the console: help, quit, version. */
#include "admin/console_in.h"
#include "base/asset.h"
#include <stdlib.h>
#include <unistd.h>

static const console_column_t list_columns[] = {
    {"command", CONSOLE_TEXT}, {"arguments", CONSOLE_TEXT}, {"does", CONSOLE_TEXT}};

static int by_name(const void *a, const void *b) {
    return strcmp((*(command_t *const *)a)->is->name, (*(command_t *const *)b)->is->name);
}

static void list(console_call_t *call, const console_t *c) {
    const command_t *all[CONSOLE_COMMANDS];
    for (size_t i = 0; i < c->command_count; i++)
        all[i] = &c->commands[i];
    qsort(all, c->command_count, sizeof all[0], by_name);
    console_table(call, NULL, list_columns, 3);
    for (size_t i = 0; i < c->command_count; i++) {
        if (all[i]->is->role > console_role_of(call))
            continue;
        console_text(call, slice_of(all[i]->is->name));
        console_text(call, slice_of(all[i]->is->arguments));
        console_text(call, slice_of(all[i]->is->help));
    }
}

static void describe(console_call_t *call, const console_command_t *is) {
    console_line(call, "%s%s%s", is->name, is->arguments[0] ? " " : "", is->arguments);
    console_line(call, "  %s (role %s)", is->help, account_role_name(is->role));
    if (is->more)
        console_lines(call, slice_of(is->more));
}

static void help(console_call_t *call, void *arg) {
    const console_t *c = arg;
    slice_t first = console_arg(call, 0), second = console_arg(call, 1);
    const command_t *command = console_find(c, first, second);
    const asset_t *api = asset_find("lua/API.md");
    if (!first.at)
        list(call, c);
    else if (slice_eq(first, SLICE("api")) && api)
        console_lines(call, api->bytes);
    else if (command)
        describe(call, command->is);
    else
        console_fail(call, ERR_NOT_FOUND, "no such command");
}

static void quit(console_call_t *call, void *arg) {
    (void)arg;
    console_line(call, "bye");
    session_end(call->session);
}

static void version(console_call_t *call, void *arg) {
    (void)arg;
    console_field(call, "version", SLICE(PARLEY_VERSION));
    console_field_value(call, "pid", CONSOLE_INT, (int64_t)getpid());
}

static const console_command_t basic[] = {
    {"help", "[COMMAND...]",
     "lists the commands, or tells more of one; help api: what scripts may call",
     "Every command takes --json (one line of JSON) and --rows=N (of tables).\n"
     "Words with blanks stand in quotes.",
     CONSOLE_READ, help},
    {"quit", "", "leaves; so does Ctrl-D", NULL, CONSOLE_READ, quit},
    {"version", "", "version, process", NULL, CONSOLE_READ, version},
};

void console_basic_add(console_t *c) {
    console_add(c, basic, sizeof basic / sizeof basic[0], c);
}
