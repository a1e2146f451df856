/* console_in: what the files of the console share: console.c (thread, listener, sockets),
 * console_session.c (login, lines), console_call.c (one command), console_ask.c (to actors and
 * back), console_basic.c (help and the like). Nobody else includes it. All of it belongs to the
 * console's thread, except where a field says otherwise. */
#pragma once
#include "admin/account.h"
#include "admin/answer.h"
#include "admin/console.h"
#include "admin/editor.h"
#include "admin/telnet.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/stat.h"
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

enum {
    SESSIONS_MAX = 64,
    LOGIN_MS = 60000,   /* for name and password */
    STUCK_MS = 30000,   /* a client that reads nothing for so long is cut */
    QUEUE_SOFT = 65536, /* waiting output above which a client is not read */
    INPUT_MAX = 16384,  /* typed ahead; above it the client is not read */
    TRIES = 3,          /* wrong passwords of one session */
    LATE_MS = 1000,     /* after an ask's own time the console gives up by itself */
    TOKEN_BYTES = 32,
    TICK_MS = 100
};

typedef struct command {
    const console_command_t *is;
    void *arg;
} command_t;

typedef enum session_state {
    SESSION_NAME,     /* the first line decides: a name, ctl's token, or HTTP */
    SESSION_PASSWORD, /* to be typed */
    SESSION_CHECKING, /* a helper thread looks at it */
    SESSION_READY,    /* a command may come */
    SESSION_RUNNING,
    SESSION_LIVE,   /* shows the same command again and again until a key comes */
    SESSION_LEAVING /* what is queued goes out, then it closes */
} session_state_t;

typedef struct session {
    struct console *console;
    uv_tcp_t tcp;
    session_state_t state;
    telnet_t telnet;
    editor_t *editor;
    buf_t in, out; /* typed and not yet looked at; to be sent at the end of this turn */
    char name[ACCOUNT_NAME + 1], address[64];
    console_role_t role;
    bool ctl, eof, closing, paused;
    uint32_t tries;
    uint16_t columns;           /* ctl tells its own */
    uint64_t since_ms, seen_ms; /* of this loop's clock: it came, it last typed */
    size_t queued;
    uint64_t moved_ms; /* when queued last went down */
    struct console_call *call;
    uint64_t again_ms; /* LIVE: when to run it again */
} session_t;

/* A password that is being checked. */
typedef struct password {
    uv_work_t work;
    struct console *console;
    session_t *session; /* NULL: it has gone */
    char name[ACCOUNT_NAME + 1], password[CONSOLE_LINE];
    uint32_t password_len;
    console_role_t role; /* the result */
    char why[160];       /* the accounts file is broken */
    struct password *next;
} password_t;

typedef struct option {
    slice_t name, value;
} option_t;

struct console_call {
    struct console *console;
    session_t *session;
    const command_t *command;
    char line[CONSOLE_LINE + 1], words[CONSOLE_LINE + CONSOLE_WORDS]; /* as typed; split */
    slice_t argv[CONSOLE_WORDS];
    size_t argc;
    option_t options[CONSOLE_WORDS];
    size_t option_count, rows;
    bool json, entered; /* entered: inside run or answered */
    answer_t *answer;
    int err;
    char why[256];
    uint32_t open; /* asks */
    void *state;
    size_t state_size;
    void (*state_ended)(void *state);
    uint64_t began_ms;
    uint32_t live_s;
    uint64_t later_ms; /* console_later: when; 0 = not asked for */
    void (*later)(struct console_call *call);
};

/* A question under way; found by its id, so that an answer that comes too late finds none. */
typedef struct ask {
    struct ask *next;
    uint64_t id, until_ms;
    console_call_t *call;
    console_answered_t answered;
} ask_t;

/* Work in a helper thread. */
typedef struct job {
    uv_work_t work;
    struct job *next;
    struct console *console;
    console_call_t *call; /* NULL: it has gone */
    console_work_t fn;
    console_worked_t worked;
    void (*dropped)(void *data);
    size_t size;
    _Alignas(16) char data[];
} job_t;

/* An answer on its way to the console's thread. */
typedef struct arrival {
    struct arrival *next;
    uint64_t id;
    int err;
    msg_t *reply;
} arrival_t;

struct console {
    runtime_t *rt;
    const conf_t *conf;
    console_verify_t verify;
    void *verify_arg;
    command_t commands[CONSOLE_COMMANDS];
    size_t command_count;
    struct {
        void (*add)(console_call_t *call, void *arg);
        void *arg;
    } limits[8];
    size_t limit_count;
    actor_ref_t relay;

    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t async;
    uv_timer_t tick;
    pthread_t thread;
    bool started, stopping;
    _Atomic bool stop; /* set by console_stop */
    char address[64];
    char token[TOKEN_BYTES * 2 + 1];
    char token_path[1024], accounts_path[1024];

    session_t *sessions[SESSIONS_MAX];
    uint32_t session_count, session_max;
    uint64_t idle_ms;
    lockout_t lockout;
    password_t *logins; /* waiting, the first one is being checked */
    uint64_t ask_id;
    ask_t *asks;
    job_t *jobs;

    pthread_mutex_t lock; /* under it: what the relay's thread hands over */
    arrival_t *arrivals;
    bool deaf; /* the loop is gone: arrivals are dropped */
};

/* --- console.c --- */
uint64_t console_now(const console_t *c);
void session_end(session_t *s); /* closes it when what is queued has left */
void session_cut(session_t *s); /* at once */
void session_flush(session_t *s);

/* --- console_session.c --- */
session_t *session_new(console_t *c);
void session_free(session_t *s);
void session_hello(session_t *s);
void session_bytes(session_t *s, const uint8_t *at, size_t len);
void session_eof(session_t *s);
void session_work(session_t *s); /* looks at what was typed, as far as its state lets it */
void session_tick(session_t *s);
/* The call of this session is over: shows the answer, asks for the next line. */
void session_answered(session_t *s);
void session_goodbye(session_t *s, const char *why);
void password_done(password_t *l);
void password_check(password_t *l); /* in the helper thread */

/* --- console_call.c --- */
const command_t *console_find(const console_t *c, slice_t first, slice_t second);
/* Runs a line: errors of its form are its answer. The session's state is RUNNING until
 * session_answered, which may come before this returns. */
void console_call_start(session_t *s, slice_t line);
void console_call_run(console_call_t *call);
void console_call_enter(console_call_t *call, console_answered_t answered, int err,
                        const msg_t *reply);
void console_call_over(console_call_t *call); /* ends it if nothing is open */
void console_call_tick(console_call_t *call);
void console_call_free(console_call_t *call); /* its asks find nobody any more */

/* --- console_ask.c --- */
bool ask_setup(console_t *c);
void ask_arrived(console_t *c); /* by the async */
void ask_tick(console_t *c);
void ask_forget(console_t *c, const console_call_t *call);
void ask_close(console_t *c);

/* --- console_work.c --- */
void work_forget(console_t *c, const console_call_t *call);

/* --- console_basic.c --- */
void console_basic_add(console_t *c);
void console_actor_add(console_t *c); /* console_actor.c */
void console_tree_add(console_t *c);  /* console_tree.c */
void console_top_add(console_t *c);   /* console_top.c */
void console_node_add(console_t *c);  /* console_node.c */
