/* console_call: one command: its line is split and held against what the command takes, it runs,
 * asks, tells, and ends. Only the console's thread. */
#include "admin/console_in.h"
#include "admin/screen.h"
#include "base/log.h"
#include "base/text.h"
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

/* --- the table of commands --- */

void console_add(console_t *c, const console_command_t *commands, size_t n, void *arg) {
    assert(!c->started && c->command_count + n <= CONSOLE_COMMANDS);
    for (size_t i = 0; i < n; i++)
        c->commands[c->command_count++] = (command_t){&commands[i], arg};
}

static bool is_name(const char *name, slice_t first, slice_t second) {
    size_t n = first.len;
    if (strncmp(name, first.at, n) != 0)
        return false;
    if (!second.at)
        return name[n] == 0;
    return name[n] == ' ' && strlen(name + n + 1) == second.len &&
           memcmp(name + n + 1, second.at, second.len) == 0;
}

const command_t *console_find(const console_t *c, slice_t first, slice_t second) {
    for (size_t i = 0; first.len && i < c->command_count; i++)
        if (is_name(c->commands[i].is->name, first, second))
            return &c->commands[i];
    return NULL;
}

/* --- the line --- */

typedef struct splitter {
    const char *at, *end;
    char *out;
    bool broken; /* a quote without its end */
} splitter_t;

static void copy(splitter_t *p) {
    if (*p->at == '\\' && p->at + 1 < p->end)
        p->at++;
    *p->out++ = *p->at++;
}

static void copy_quoted(splitter_t *p) {
    char quote = *p->at++;
    while (p->at < p->end && *p->at != quote)
        copy(p);
    p->broken = p->at == p->end;
    p->at += p->at < p->end;
}

/* Words are parted by blanks; "..." and '...' keep them; \ keeps one character. Gives false at the
 * end. quoted: it began with a quote, so it is no option. */
static bool next_word(splitter_t *p, slice_t *word, bool *quoted) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
        p->at++;
    if (p->at == p->end)
        return false;
    *quoted = *p->at == '"' || *p->at == '\'';
    char *start = p->out;
    while (p->at < p->end && *p->at != ' ' && *p->at != '\t') {
        if (*p->at == '"' || *p->at == '\'')
            copy_quoted(p);
        else
            copy(p);
    }
    *word = (slice_t){start, (size_t)(p->out - start)};
    *p->out++ = 0; /* words are NUL-terminated too */
    return true;
}

static void add_option(console_call_t *call, slice_t word) {
    const char *eq = memchr(word.at, '=', word.len);
    size_t n = eq ? (size_t)(eq - word.at) : word.len;
    option_t o = {{word.at + 2, n - 2}, {eq ? eq + 1 : "", eq ? word.len - n - 1 : 0}};
    call->options[call->option_count++] = o;
    call->json |= slice_eq(o.name, SLICE("json")); /* whatever else is wrong with the line */
}

/* ERR_OK, or a failed call. */
static bool split(console_call_t *call, slice_t line) {
    splitter_t p = {line.at, line.at + line.len, call->words, false};
    slice_t word;
    bool quoted, plain = false; /* plain: behind -- */
    size_t n = 0;
    while (next_word(&p, &word, &quoted)) {
        if (n++ == CONSOLE_WORDS) {
            console_fail(call, ERR_BAD_REQUEST, "more than %d words", CONSOLE_WORDS);
            return false;
        }
        bool dashes = !quoted && !plain && word.len >= 2 && memcmp(word.at, "--", 2) == 0;
        if (dashes && word.len == 2)
            plain = true;
        else if (dashes)
            add_option(call, word);
        else
            call->argv[call->argc++] = word;
    }
    if (p.broken)
        console_fail(call, ERR_BAD_REQUEST, "a quote has no end");
    return !p.broken;
}

/* --- what a command takes --- */

typedef struct form {
    size_t least, most;
} form_t;

static slice_t form_word(const char **at) {
    while (**at == ' ')
        ++*at;
    slice_t w = {*at, strcspn(*at, " ")};
    *at += w.len;
    return w;
}

static form_t form_of(const char *text) {
    form_t f = {0, 0};
    for (slice_t w = form_word(&text); w.len; w = form_word(&text)) {
        bool may = w.at[0] == '[';
        const char *body = w.at + may;
        if (strncmp(body, "--", 2) == 0)
            continue;
        f.least += !may;
        f.most++;
        if (memmem(w.at, w.len, "...", 3))
            f.most = CONSOLE_WORDS;
    }
    return f;
}

static bool form_has(const char *text, slice_t option) {
    for (slice_t w = form_word(&text); w.len; w = form_word(&text)) {
        const char *body = w.at + (w.at[0] == '[');
        if (strncmp(body, "--", 2) == 0 && strncmp(body + 2, option.at, option.len) == 0 &&
            strchr("=] ", body[2 + option.len]))
            return true;
    }
    return false;
}

static void fail_usage(console_call_t *call, const char *what) {
    const console_command_t *is = call->command->is;
    console_fail(call, ERR_BAD_REQUEST, "%s; usage: %s%s%s", what, is->name,
                 is->arguments[0] ? " " : "", is->arguments);
}

static bool check_options(console_call_t *call) {
    for (size_t i = 0; i < call->option_count; i++) {
        option_t *o = &call->options[i];
        int64_t rows;
        if (slice_eq(o->name, SLICE("json"))) {
            continue;
        } else if (slice_eq(o->name, SLICE("rows"))) {
            if (!text_to_int(o->value, &rows) || rows < 1 || rows > CONSOLE_ROWS_MAX) {
                console_fail(call, ERR_BAD_REQUEST, "--rows=N: 1 to %d", CONSOLE_ROWS_MAX);
                return false;
            }
            call->rows = (size_t)rows;
        } else if (!call->command || !form_has(call->command->is->arguments, o->name)) {
            if (call->command)
                fail_usage(call, "an option it does not know");
            return false;
        }
    }
    return true;
}

static bool check_words(console_call_t *call) {
    form_t f = form_of(call->command->is->arguments);
    if (call->argc < f.least)
        fail_usage(call, "something is missing");
    else if (call->argc > f.most)
        fail_usage(call, "too many words");
    return call->argc >= f.least && call->argc <= f.most;
}

static bool find_command(console_call_t *call) {
    const console_t *c = call->console;
    slice_t none = {NULL, 0}, first = call->argc ? call->argv[0] : none;
    size_t used = 2;
    if (call->argc > 1)
        call->command = console_find(c, first, call->argv[1]);
    if (!call->command) {
        used = 1;
        call->command = console_find(c, first, none);
    }
    if (call->command) {
        call->argc -= used;
        memmove(call->argv, call->argv + used, call->argc * sizeof call->argv[0]);
        return true;
    }
    char safe[64];
    console_fail(call, ERR_NOT_FOUND, "no command '%s'; `help` lists them",
                 log_safe(first, safe, sizeof safe));
    return false;
}

static bool allowed(console_call_t *call) {
    if (call->session->role >= call->command->is->role)
        return true;
    console_fail(call, ERR_FORBIDDEN, "%s needs the role %s", call->command->is->name,
                 account_role_name(call->command->is->role));
    return false;
}

/* --- its life --- */

static void audit(const console_call_t *call) {
    char line[CONSOLE_LINE], who[64];
    const session_t *s = call->session;
    log_info("console", "command user=%s role=%s addr=%s result=%s ms=%llu line=\"%s\"",
             log_safe(slice_of(s->name), who, sizeof who), account_role_name(s->role), s->address,
             call->err == ERR_OK ? "ok" : err_name(call->err),
             (unsigned long long)(console_now(call->console) - call->began_ms),
             log_safe(slice_of(call->line), line, 640));
    stat_add(STAT_CONSOLE_COMMANDS, 1);
}

void console_call_over(console_call_t *call) {
    if (!call->entered && call->open == 0)
        session_answered(call->session);
}

void console_call_enter(console_call_t *call, console_answered_t answered, int err,
                        const msg_t *reply) {
    call->entered = true;
    answered(call, err, reply);
    call->entered = false;
    console_call_over(call);
}

void console_call_tick(console_call_t *call) {
    if (!call->later_ms || console_now(call->console) < call->later_ms)
        return;
    call->later_ms = 0;
    call->open--;
    call->entered = true;
    call->later(call);
    call->entered = false;
    console_call_over(call);
}

void console_later(console_call_t *call, uint32_t ms, void (*later)(console_call_t *call)) {
    assert(!call->later_ms);
    call->later_ms = console_now(call->console) + ms;
    call->later = later;
    call->open++;
}

void console_call_run(console_call_t *call) {
    answer_clear(call->answer);
    call->err = ERR_OK;
    call->entered = true;
    call->command->is->run(call, call->command->arg);
    call->entered = false;
    console_call_over(call);
}

void console_call_start(session_t *s, slice_t line) {
    console_call_t *call = pool_zalloc(sizeof *call);
    call->console = s->console;
    call->session = s;
    call->rows = CONSOLE_ROWS;
    call->began_ms = console_now(s->console);
    memcpy(call->line, line.at, line.len);
    s->call = call;
    s->state = SESSION_RUNNING;
    call->answer = answer_new(CONSOLE_ROWS_MAX);
    bool ok = text_utf8_valid(line.at, line.len);
    if (!ok)
        console_fail(call, ERR_BAD_REQUEST, "the line is no UTF-8");
    ok = ok && split(call, line);
    if (!ok) /* its words are not known: a program still wants what it reads */
        call->json = memmem(line.at, line.len, "--json", 6) != NULL;
    bool found = ok && find_command(call);
    ok = check_options(call) && found && allowed(call) && check_words(call);
    if (ok) {
        answer_free(call->answer);
        call->answer = answer_new(call->rows);
        console_call_run(call);
    } else {
        console_call_over(call);
    }
}

void console_call_free(console_call_t *call) {
    if (!call)
        return;
    audit(call);
    ask_forget(call->console, call);
    work_forget(call->console, call);
    if (call->state_ended)
        call->state_ended(call->state);
    answer_free(call->answer);
    pool_free(call->state, call->state_size);
    pool_free(call, sizeof *call);
}

/* --- what a command may ask of its call --- */

size_t console_argc(const console_call_t *call) {
    return call->argc;
}

slice_t console_arg(const console_call_t *call, size_t i) {
    return i < call->argc ? call->argv[i] : (slice_t){NULL, 0};
}

static bool number(console_call_t *call, slice_t text, int64_t *out) {
    char safe[64];
    if (text_to_int(text, out))
        return true;
    console_fail(call, ERR_BAD_REQUEST, "'%s' is no number", log_safe(text, safe, sizeof safe));
    return false;
}

bool console_int_of(console_call_t *call, size_t i, int64_t *out) {
    return number(call, console_arg(call, i), out);
}

slice_t console_option(const console_call_t *call, const char *name) {
    for (size_t i = 0; i < call->option_count; i++)
        if (slice_eq(call->options[i].name, slice_of(name)))
            return call->options[i].value;
    return (slice_t){NULL, 0};
}

bool console_option_int(console_call_t *call, const char *name, int64_t otherwise, int64_t *out) {
    slice_t v = console_option(call, name);
    *out = otherwise;
    return !v.at || number(call, v, out);
}

const char *console_user(const console_call_t *call) {
    return call->session->name;
}

console_role_t console_role_of(const console_call_t *call) {
    return call->session->role;
}

size_t console_rows_wanted(const console_call_t *call) {
    return call->rows;
}

bool console_json(const console_call_t *call) {
    return call->json;
}

runtime_t *console_runtime(const console_call_t *call) {
    return call->console->rt;
}

console_t *console_of(const console_call_t *call) {
    return call->console;
}

uint32_t console_lines_of(const console_call_t *call) {
    const telnet_t *t = &call->session->telnet;
    return telnet_terminal(t) ? t->height : 0;
}

void *console_state(console_call_t *call, size_t size, void (*ended)(void *state)) {
    if (!call->state) {
        call->state = pool_zalloc(size);
        call->state_size = size;
        call->state_ended = ended;
    }
    assert(call->state_size == size);
    return call->state;
}

void console_live(console_call_t *call, uint32_t seconds) {
    call->live_s = seconds;
}

/* --- what it tells --- */

void console_table(console_call_t *call, const char *name, const console_column_t *columns,
                   size_t n) {
    answer_table(call->answer, name, columns, n);
}

void console_text(console_call_t *call, slice_t text) {
    answer_text(call->answer, text);
}

void console_value(console_call_t *call, int64_t value) {
    answer_value(call->answer, value);
}

void console_none(console_call_t *call) {
    answer_none(call->answer);
}

void console_left_out(console_call_t *call, uint64_t rows) {
    answer_left_out(call->answer, rows);
}

void console_field(console_call_t *call, const char *name, slice_t text) {
    answer_field(call->answer, name, text);
}

void console_field_value(console_call_t *call, const char *name, console_type_t type,
                         int64_t value) {
    answer_field_value(call->answer, name, type, value);
}

void console_field_none(console_call_t *call, const char *name, console_type_t type) {
    answer_field_none(call->answer, name, type);
}

void console_lines(console_call_t *call, slice_t text) {
    answer_lines(call->answer, text);
}

void console_line(console_call_t *call, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    answer_lines(call->answer, slice_of(text));
}

void console_fail(console_call_t *call, int err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (format)
        vsnprintf(call->why, sizeof call->why, format, args);
    else
        snprintf(call->why, sizeof call->why, "%s", err_text(err));
    va_end(args);
    call->err = err;
}
