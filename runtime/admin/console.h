/* console: what an operator types to. A listener of lines (telnet, nc, `parleyd ctl`) on a thread
 * and loop of its own, so that it answers while all workers are busy. Commands of higher floors are
 * registered before start; they read counters in place, or ask actors by console_ask.
 *
 *     static void show_user(console_call_t *call, void *arg) {
 *         int64_t id;
 *         if (console_int_of(call, 0, &id))
 *             console_ask(call, ask_user, user_known, &id, sizeof id, 2000);
 *     }
 *     static const console_command_t commands[] = {
 *         {"user", "ID [--sessions]", "shows an account", NULL, CONSOLE_READ, show_user}};
 *     ... console_add(console, commands, 1, arg);
 *
 * Every command takes --json, and those with a table --rows=N: the console renders what the command
 * told. All functions with a call run in the console's thread, inside run or answered. */
#pragma once
#include "base/conf.h"
#include "sched/runtime.h"

#define CONSOLE_LINE     1024        /* bytes of a command line */
#define CONSOLE_WORDS    32          /* words of one */
#define CONSOLE_COMMANDS 128         /* registered at most */
#define CONSOLE_ROWS     1000        /* of a table, unless --rows=N says otherwise */
#define CONSOLE_ROWS_MAX 200000      /* and at most; the rest is cut and the answer says so */
#define CONSOLE_ANSWER   (16u << 20) /* bytes of an answer's values; the rest is cut */
#define CONSOLE_ASKS     64          /* questions of one call that are open */

typedef struct console console_t;
typedef struct console_call console_call_t;
typedef enum console_role { CONSOLE_NOBODY, CONSOLE_READ, CONSOLE_OPERATE } console_role_t;

typedef struct console_command {
    const char *name; /* "top", or two words: "user disable" (which go before "user") */
    /* What may follow: "USER [DEVICE] [--code=N] [--now]"; a word in [] may be left out, one that
     * ends with ... takes the rest, words that begin with -- are options. Other input is refused
     * with this text before run is called. */
    const char *arguments;
    const char *help; /* one line, what it does */
    const char *more; /* lines for `help NAME`, or NULL */
    console_role_t role;
    void (*run)(console_call_t *call, void *arg);
} console_command_t;

/* Checks a password; blocks, runs in a helper thread (not the console's, no worker's). hash: as the
 * accounts file has it. Empty hash: the same work, never true. */
typedef bool (*console_verify_t)(void *arg, slice_t password, slice_t hash);

/* --- main --- */
/* Before runtime_start. Reads admin.* and data.dir of conf. NULL: no room for its actor. */
console_t *console_new(runtime_t *rt, const conf_t *conf, console_verify_t verify, void *arg);
/* Before console_start. commands: borrowed for the console's life; arg: handed to each run. */
void console_add(console_t *c, const console_command_t *commands, size_t n, void *arg);
/* More rows for `limits`, for limits that no counter of base/stat tells; before console_start. add
 * calls console_limit for each. */
void console_add_limits(console_t *c, void (*add)(console_call_t *call, void *arg), void *arg);
/* A limit by its key in conf: used now (-1: unknown), refused (-1: not counted). */
void console_limit(console_call_t *call, const char *key, int64_t now, int64_t refused);
/* Listens and starts the thread; writes data.dir/console.token for ctl. ERR_OK, or ERR_IO with a
 * line in fault. admin.listen empty: does nothing. */
int console_start(console_t *c, char *fault, size_t room);
const char *console_address(const console_t *c); /* "127.0.0.1:7001"; "off" */
/* Says goodbye to all sessions and ends the thread. Before runtime_stop. */
void console_stop(console_t *c);
void console_free(console_t *c); /* after runtime_stop; NULL is fine */

/* --- what was asked, and by whom --- */
size_t console_argc(const console_call_t *call);
slice_t console_arg(const console_call_t *call, size_t i); /* {NULL, 0} if it was left out */
/* The argument as a number of 0 .. 2^53-1. false: the call has failed with a text that says so. */
bool console_int_of(console_call_t *call, size_t i, int64_t *out);
/* --name=value or --name (then an empty value); {NULL, 0} if absent. */
slice_t console_option(const console_call_t *call, const char *name);
/* The option as a number, `otherwise` if absent; false as above. */
bool console_option_int(console_call_t *call, const char *name, int64_t otherwise, int64_t *out);
const char *console_user(const console_call_t *call); /* "lena"; "ctl" */
console_role_t console_role_of(const console_call_t *call);
size_t console_rows_wanted(const console_call_t *call); /* --rows=N or the preset */
bool console_json(const console_call_t *call);          /* rarely needed: the console renders */
runtime_t *console_runtime(const console_call_t *call);
console_t *console_of(const console_call_t *call);
uint32_t console_lines_of(const console_call_t *call); /* lines of its screen, 0 = unknown */
/* `size` zeroed bytes that live as long as the call, the same at each look: state between asks and
 * between the runs of a live command. `ended` (or NULL) releases what is in it. */
void *console_state(console_call_t *call, size_t size, void (*ended)(void *state));

/* --- the answer. It ends when run (or answered) returns and no ask is open. All text is escaped
 * on its way out: control characters, terminal escapes, marks that turn text round. Copied. ---
 *
 * Types and how they look as text / in JSON, where the key tells the unit:
 *   TEXT as it is; INT 12345; BOOL yes, no / true, false; REAL 1.25; BYTES 1.5 MiB / NAME_bytes;
 *   US 3.4 ms / NAME_us; TIME 2026-11-27 13:46:04Z / NAME_ms (unix time in ms); PERCENT 12.5% / a
 *   number, in units of 0.01 % when given. */
typedef enum console_type {
    CONSOLE_TEXT,
    CONSOLE_INT,
    CONSOLE_BOOL,
    CONSOLE_BYTES,
    CONSOLE_US,
    CONSOLE_TIME,
    CONSOLE_PERCENT
} console_type_t;
typedef struct console_column {
    const char *name; /* lower case, no blanks: the title, and the key in JSON */
    console_type_t type;
} console_column_t;

/* A table: `name` NULL: it is the whole answer (JSON: an array of objects); else a part beside
 * fields and other tables (JSON: "name": [...]). columns: borrowed until the call ends. Then its
 * cells, row by row: one console_text, console_value or console_none each. */
void console_table(console_call_t *call, const char *name, const console_column_t *columns,
                   size_t n);
void console_text(console_call_t *call, slice_t text);   /* the next cell, TEXT */
void console_value(console_call_t *call, int64_t value); /* the next cell, any other type */
void console_none(console_call_t *call);                 /* "-", null */
/* Rows that there are but that were not given (more than console_rows_wanted): the answer says so.
 * The console counts by itself those that it cut. */
void console_left_out(console_call_t *call, uint64_t rows);

/* A record, field by field (JSON: an object). */
void console_field(console_call_t *call, const char *name, slice_t text);
void console_field_value(console_call_t *call, const char *name, console_type_t type,
                         int64_t value);
void console_field_none(console_call_t *call, const char *name, console_type_t type); /* as above */
/* Lines of text; JSON: {"lines": [...]}. A text with newlines becomes several. */
void console_line(console_call_t *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void console_lines(console_call_t *call, slice_t text);
/* The call failed: `error: TEXT`, JSON {"error": TEXT, "code": symbol of err}; what it told before
 * is dropped. format NULL: the code's own text. */
void console_fail(console_call_t *call, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* On a terminal, or where the user said --every=N (an option the command must name): when the
 * answer is shown run is called again every `seconds`, until a key is pressed. */
void console_live(console_call_t *call, uint32_t seconds);

/* --- asking actors --- */
/* `ask` runs in a thread actor of the console's (it is no worker: no worker-local tables, no
 * policies) and makes exactly one request with this verb and cookie: actor_request,
 * actor_request_key, script_call, store_run, ... or, when all is done by messages that nobody
 * answers, calls console_asked. `arg`: its copy of the `size` bytes given. When it could not start
 * within timeout_ms it never runs; give the request the timeout_ms too. */
typedef void (*console_ask_t)(actor_t *self, uint32_t verb, uint64_t cookie, const void *arg,
                              uint32_t timeout_ms);
void console_asked(actor_t *self, uint32_t verb, uint64_t cookie); /* an answer without a request */
/* Back in the console's thread: err of the reply, ERR_TIMEOUT when nobody answered; reply: borrowed
 * for the call, NULL with ERR_TIMEOUT and ERR_BUSY of the console's own. It may ask again. When the
 * operator has left meanwhile it is not called. */
typedef void (*console_answered_t)(console_call_t *call, int err, const msg_t *reply);
void console_ask(console_call_t *call, console_ask_t ask, console_answered_t answered,
                 const void *arg, size_t size, uint32_t timeout_ms);

/* Goes on in `later` after about so many ms (steps of 100), unless the operator has left; one at a
 * time. */
void console_later(console_call_t *call, uint32_t ms, void (*later)(console_call_t *call));

/* --- work that takes a while (reading a million slots, waiting for one actor) --- */
/* `work` runs in a helper thread on a copy of the `size` bytes given; then, in the console's
 * thread, `worked` gets that copy, unless the operator has left. What work leaves in it, worked
 * frees; so `dropped` (or NULL) does when worked is not called. A few seconds at most: a stop waits
 * for it. */
typedef void (*console_work_t)(runtime_t *rt, void *data);
typedef void (*console_worked_t)(console_call_t *call, void *data);
void console_work(console_call_t *call, console_work_t work, console_worked_t worked,
                  void (*dropped)(void *data), const void *data, size_t size);
