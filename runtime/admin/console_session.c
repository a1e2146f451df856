/* console_session: one operator at one socket: first line, login, commands, what is shown. Only
 * the console's thread, but for password_check, which runs in a helper thread of libuv and touches
 * nothing but its password_t. */
#include "admin/console_in.h"
#include "admin/screen.h"
#include "base/log.h"
#include <sodium.h>
#include <stdlib.h>

#define PROMPT "parley> "

/* --- begin, end --- */

session_t *session_new(console_t *c) {
    session_t *s = pool_zalloc(sizeof *s);
    s->console = c;
    s->editor = editor_new();
    s->since_ms = s->seen_ms = s->moved_ms = console_now(c);
    return s;
}

void session_free(session_t *s) {
    console_call_free(s->call);
    for (password_t *l = s->console->logins; l; l = l->next)
        if (l->session == s)
            l->session = NULL;
    editor_free(s->editor);
    buf_free(&s->in);
    buf_free(&s->out);
    pool_free(s, sizeof *s);
}

static void find_address(session_t *s) {
    struct sockaddr_storage a;
    int len = sizeof a;
    snprintf(s->address, sizeof s->address, "?");
    if (uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&a, &len) != 0)
        return;
    if (a.ss_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *)&a, s->address, sizeof s->address);
    else
        uv_ip4_name((struct sockaddr_in *)&a, s->address, sizeof s->address);
}

/* The question for the window size would show as two odd signs where the client is no telnet: the
 * carriage return lets the greeting cover them. */
void session_hello(session_t *s) {
    find_address(s);
    telnet_hello(&s->out);
    buf_add_text(&s->out, "\rparley " PARLEY_VERSION " console\n");
    editor_prompt(s->editor, "login: ", false, &s->out);
}

void session_goodbye(session_t *s, const char *why) {
    if (s->ctl)
        buf_addf(&s->out, "%cerror %s\n", 0, why);
    else
        buf_addf(&s->out, "\n%s\n", why);
    session_end(s);
}

static void ask_line(session_t *s) {
    s->state = SESSION_READY;
    if (!s->ctl)
        editor_prompt(s->editor, PROMPT, false, &s->out);
    else
        editor_prompt(s->editor, "", false, &s->out);
}

/* --- login --- */

void password_check(password_t *l) {
    account_t a = {0};
    const console_t *c = l->console;
    int err = account_find(c->accounts_path, slice_of(l->name), &a, l->why, sizeof l->why);
    bool same = c->verify(c->verify_arg, (slice_t){l->password, l->password_len},
                          err == ERR_OK ? slice_of(a.hash) : SLICE(""));
    l->role = err == ERR_OK && same ? a.role : CONSOLE_NOBODY;
    if (err == ERR_GONE)
        snprintf(l->why, sizeof l->why, "there are no accounts yet");
    sodium_memzero(&a, sizeof a);
    sodium_memzero(l->password, sizeof l->password);
}

static void work_cb(uv_work_t *w) {
    password_check(w->data);
}

static void work_done(uv_work_t *w, int status) {
    (void)status;
    password_done(w->data);
}

static void password_free(password_t *l) {
    sodium_memzero(l, sizeof *l);
    pool_free(l, sizeof *l);
}

/* true: the name has to wait. Said, and the session ends. */
static bool must_wait(session_t *s, slice_t name) {
    uint64_t wait = lockout_wait(&s->console->lockout, name, console_now(s->console));
    char who[64];
    if (!wait)
        return false;
    stat_add(STAT_CONSOLE_FAILURES, 1);
    log_warn("console", "login refused user=%s addr=%s why=wait", log_safe(name, who, sizeof who),
             s->address);
    buf_addf(&s->out, "\nToo many wrong passwords: try again in %llu s.\n",
             (unsigned long long)(wait + 999) / 1000);
    session_end(s);
    return true;
}

/* Whose turn it is to be checked. Sessions that had their prompt before the name was made to wait
 * are not: their password is not even looked at. */
static password_t *next_login(console_t *c) {
    for (password_t *l; (l = c->logins);) {
        session_t *s = l->session;
        if (s && !s->closing && s->state == SESSION_CHECKING && !must_wait(s, slice_of(l->name)))
            return l;
        c->logins = l->next;
        password_free(l);
        if (s)
            session_flush(s);
    }
    return NULL;
}

/* One password at a time: a hash takes memory, and guesses should not be many. */
static void check_next(console_t *c) {
    password_t *l = next_login(c);
    if (!l)
        return;
    l->work.data = l;
    if (uv_queue_work(&c->loop, &l->work, work_cb, work_done) != 0)
        log_die("console", "no helper thread");
}

static void login_passed(session_t *s, password_t *l) {
    s->role = l->role;
    lockout_passed(&s->console->lockout, slice_of(l->name));
    log_info("console", "login user=%s role=%s addr=%s", s->name, account_role_name(s->role),
             s->address);
    buf_addf(&s->out, "\nWelcome, %s (%s). `help` lists the commands.\n\n", s->name,
             account_role_name(s->role));
    ask_line(s);
}

static void login_failed(session_t *s, password_t *l) {
    char who[64];
    lockout_failed(&s->console->lockout, slice_of(l->name), console_now(s->console));
    stat_add(STAT_CONSOLE_FAILURES, 1);
    log_warn("console", "login failed user=%s addr=%s why=%s",
             log_safe(slice_of(l->name), who, sizeof who), s->address,
             l->why[0] ? l->why : "name or password");
    buf_add_text(&s->out, "\nLogin incorrect.\n");
    if (++s->tries >= TRIES) {
        session_end(s);
        return;
    }
    s->state = SESSION_NAME;
    editor_prompt(s->editor, "login: ", false, &s->out);
}

void password_done(password_t *l) {
    console_t *c = l->console;
    session_t *s = l->session;
    c->logins = l->next;
    if (!c->stopping)
        check_next(c);
    if (s && !s->closing && s->state == SESSION_CHECKING) {
        if (l->role != CONSOLE_NOBODY)
            login_passed(s, l);
        else
            login_failed(s, l);
        session_work(s);
        session_flush(s);
    }
    password_free(l);
}

static void have_password(session_t *s, slice_t password) {
    console_t *c = s->console;
    password_t *l = pool_zalloc(sizeof *l), **end = &c->logins;
    l->console = c;
    l->session = s;
    snprintf(l->name, sizeof l->name, "%s", s->name);
    memcpy(l->password, password.at, password.len);
    l->password_len = (uint32_t)password.len;
    s->state = SESSION_CHECKING;
    bool first = !c->logins;
    while (*end)
        end = &(*end)->next;
    *end = l;
    if (first)
        check_next(c);
}

static void have_name(session_t *s, slice_t name) {
    if (must_wait(s, name))
        return;
    snprintf(s->name, sizeof s->name, "%.*s", (int)name.len, name.at);
    s->state = SESSION_PASSWORD;
    editor_prompt(s->editor, "password: ", true, &s->out);
}

/* A page in a browser can make it send bytes here: its first line gives it away. */
static bool looks_like_http(slice_t line) {
    static const char *const methods[] = {"GET ",     "POST ",    "PUT ",   "HEAD ",  "DELETE ",
                                          "OPTIONS ", "CONNECT ", "TRACE ", "PATCH ", "PRI "};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (line.len >= strlen(methods[i]) &&
            strncasecmp(line.at, methods[i], strlen(methods[i])) == 0)
            return true;
    return memmem(line.at, line.len, "HTTP/", 5) != NULL;
}

/* "ctl TOKEN COLUMNS": from a process that may read the token's file. */
static void ctl_login(session_t *s, slice_t line) {
    const console_t *c = s->console;
    size_t n = sizeof c->token - 1;
    if (line.len < 4 + n || sodium_memcmp(line.at + 4, c->token, n) != 0) {
        stat_add(STAT_CONSOLE_FAILURES, 1);
        log_warn("console", "login failed user=ctl addr=%s why=token", s->address);
        session_end(s);
        return;
    }
    s->ctl = true;
    s->role = CONSOLE_OPERATE;
    s->columns = (uint16_t)strtoul(line.at + 4 + n, NULL, 10);
    snprintf(s->name, sizeof s->name, "ctl");
    buf_add(&s->out, "\0ok\n", 4); /* what came before it, the greeting, is not for ctl */
    ask_line(s);
}

static void first_line(session_t *s, slice_t line) {
    char text[CONSOLE_LINE + 1];
    memcpy(text, line.at, line.len);
    text[line.len] = 0;
    if (looks_like_http(line)) {
        stat_add(STAT_CONSOLE_REFUSED, 1);
        log_warn("console", "closed: its first line looks like HTTP addr=%s", s->address);
        session_cut(s);
    } else if (line.len >= 4 && memcmp(text, "ctl ", 4) == 0) {
        ctl_login(s, (slice_t){text, line.len});
    } else if (account_name_ok(line)) {
        have_name(s, line);
    } else if (line.len == 0 && ++s->tries < TRIES) {
        editor_prompt(s->editor, "login: ", false, &s->out);
    } else {
        buf_add_text(&s->out, "Login incorrect.\n");
        session_end(s);
    }
}

/* --- commands --- */

static uint16_t columns_of(const session_t *s) {
    return s->columns ? s->columns : telnet_terminal(&s->telnet) ? s->telnet.width : 0;
}

static void show_answer(session_t *s, const console_call_t *call) {
    if (call->err == ERR_OK && call->json) {
        answer_render_json(call->answer, &s->out);
    } else if (call->err == ERR_OK) {
        answer_render(call->answer, columns_of(s), telnet_terminal(&s->telnet), &s->out);
    } else if (call->json) {
        buf_add_text(&s->out, "{\"error\":");
        screen_add_json(&s->out, slice_of(call->why));
        buf_addf(&s->out, ",\"code\":\"%s\"}\n", err_symbol(call->err));
    } else {
        buf_add_text(&s->out, "error: ");
        screen_add(&s->out, slice_of(call->why));
        buf_add_char(&s->out, '\n');
    }
}

static void show_live(session_t *s, const console_call_t *call) {
    if (s->queued <= QUEUE_SOFT) { /* a client that does not keep up misses some */
        if (telnet_terminal(&s->telnet))
            buf_add_text(&s->out, "\x1b[H\x1b[J");
        show_answer(s, call);
        if (telnet_terminal(&s->telnet))
            buf_addf(&s->out, "\nevery %u s; any key ends it", call->live_s);
    }
    s->state = SESSION_LIVE;
    s->again_ms = console_now(s->console) + (uint64_t)call->live_s * 1000;
}

static void end_call(session_t *s) {
    console_call_free(s->call);
    s->call = NULL;
    ask_line(s);
}

void session_answered(session_t *s) {
    console_call_t *call = s->call;
    bool live = call->live_s && call->err == ERR_OK && !s->ctl && !s->eof;
    if (live && (telnet_terminal(&s->telnet) || console_option(call, "every").at)) {
        show_live(s, call);
        return;
    }
    show_answer(s, call);
    if (s->ctl)
        buf_addf(&s->out, "%c%s %llu\n", 0, call->err == ERR_OK ? "ok" : err_name(call->err),
                 (unsigned long long)answer_cut(call->answer));
    if (s->state != SESSION_LEAVING) { /* quit */
        end_call(s);
        return;
    }
    console_call_free(call);
    s->call = NULL;
}

/* An account that was taken away, or got another role, ends its sessions at their next command. */
static bool still_allowed(session_t *s) {
    account_t a = {0};
    char fault[400];
    if (s->ctl || (account_find(s->console->accounts_path, slice_of(s->name), &a, fault,
                                sizeof fault) == ERR_OK &&
                   a.role == s->role))
        return true;
    session_goodbye(s, "the account has changed, log in again");
    session_end(s);
    return false;
}

static void command_line(session_t *s, slice_t line) {
    char text[CONSOLE_LINE + 1];
    size_t n = line.len;
    memcpy(text, line.at, n);
    while (n && text[n - 1] == ' ')
        n--;
    text[n] = 0;
    editor_remember(s->editor);
    if (!still_allowed(s))
        return;
    if (strspn(text, " ") == n)
        ask_line(s);
    else
        console_call_start(s, (slice_t){text, n});
}

/* --- completion --- */

typedef struct match {
    const char *name;
    size_t count, common; /* how many, and bytes that all of them share */
} match_t;

static match_t find_matches(const console_t *c, slice_t start) {
    match_t m = {0};
    for (size_t i = 0; i < c->command_count; i++) {
        const char *name = c->commands[i].is->name;
        if (strncmp(name, start.at, start.len) != 0)
            continue;
        size_t same = strlen(name);
        for (size_t k = 0; m.name && k < same; k++)
            if (name[k] != m.name[k])
                same = k;
        m.common = m.count == 0 || same < m.common ? same : m.common;
        m.name = name;
        m.count++;
    }
    return m;
}

static void list_matches(session_t *s, slice_t start) {
    const console_t *c = s->console;
    buf_add_char(&s->out, '\n');
    for (size_t i = 0; i < c->command_count; i++)
        if (strncmp(c->commands[i].is->name, start.at, start.len) == 0)
            buf_addf(&s->out, "%s  ", c->commands[i].is->name);
    buf_add_char(&s->out, '\n');
    editor_draw(s->editor, &s->out);
}

static void complete(session_t *s) {
    slice_t start = editor_text(s->editor);
    if (s->state != SESSION_READY)
        return;
    match_t m = find_matches(s->console, start);
    if (m.count == 0)
        return;
    if (m.common > start.len)
        editor_insert(s->editor, (slice_t){m.name + start.len, m.common - start.len}, &s->out);
    else if (m.count > 1)
        list_matches(s, start);
    if (m.count == 1)
        editor_insert(s->editor, SLICE(" "), &s->out);
}

/* --- what was typed --- */

static void have_line(session_t *s) {
    slice_t line = editor_text(s->editor);
    if (s->state == SESSION_NAME)
        first_line(s, line);
    else if (s->state == SESSION_PASSWORD)
        have_password(s, line);
    else
        command_line(s, line);
}

static void have_key(session_t *s, uint8_t key) {
    switch (editor_key(s->editor, key, &s->out)) {
    case EDITOR_LINE:
        have_line(s);
        break;
    case EDITOR_LONG:
        buf_addf(&s->out, "error: a line has at most %d bytes\n", CONSOLE_LINE);
        if (s->state == SESSION_READY && !s->ctl)
            ask_line(s);
        else
            session_end(s);
        break;
    case EDITOR_BREAK:
        if (s->state == SESSION_READY)
            ask_line(s);
        else
            session_end(s);
        break;
    case EDITOR_END:
        buf_add_char(&s->out, '\n');
        session_end(s);
        break;
    case EDITOR_TAB:
        complete(s);
        break;
    default:
        break;
    }
}

static bool takes_input(const session_t *s) {
    return !s->closing && s->queued + s->out.len <= QUEUE_SOFT &&
           (s->state == SESSION_NAME || s->state == SESSION_PASSWORD || s->state == SESSION_READY);
}

/* Looks at what was typed as far as the session's state lets it. */
void session_work(session_t *s) {
    uint32_t used = 0;
    while (used < s->in.len && takes_input(s))
        have_key(s, (uint8_t)s->in.at[used++]);
    buf_drop(&s->in, used);
    if (s->eof && s->in.len == 0 && takes_input(s))
        session_end(s);
}

/* Keys that mean something while a command runs. */
static void interrupt(session_t *s, uint32_t old) {
    bool live = s->state == SESSION_LIVE;
    bool broken = s->in.len > old && memchr(s->in.at + old, 3, s->in.len - old);
    if ((live && s->in.len > old) || (s->state == SESSION_RUNNING && broken)) {
        s->in.len = old; /* the key is no input */
        buf_add_text(&s->out, live ? "\n" : "^C\n");
        if (!live)
            s->call->err = ERR_CLOSED;
        end_call(s);
    }
}

void session_bytes(session_t *s, const uint8_t *at, size_t len) {
    uint32_t old = s->in.len;
    if (s->closing)
        return;
    s->seen_ms = console_now(s->console);
    telnet_feed(&s->telnet, at, len, &s->in, &s->out);
    editor_terminal(s->editor, telnet_terminal(&s->telnet), s->telnet.width);
    interrupt(s, old);
    session_work(s);
}

void session_eof(session_t *s) {
    s->eof = true;
    if (s->state == SESSION_LIVE)
        end_call(s);
    session_work(s);
}

void session_tick(session_t *s) {
    uint64_t now = console_now(s->console);
    bool in = s->state == SESSION_READY || s->state == SESSION_RUNNING || s->state == SESSION_LIVE;
    if (!in && s->state != SESSION_LEAVING && now - s->since_ms > LOGIN_MS)
        session_goodbye(s, "login timed out");
    else if ((s->state == SESSION_READY || s->state == SESSION_LIVE) &&
             now - s->seen_ms > s->console->idle_ms)
        session_goodbye(s, "idle for too long");
    else if (s->state == SESSION_LIVE && now >= s->again_ms) {
        s->state = SESSION_RUNNING;
        console_call_run(s->call);
    } else {
        if (s->state == SESSION_RUNNING)
            console_call_tick(s->call);
        session_work(s);
    }
}
