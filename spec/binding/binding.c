/* binding: the Lua module of the end-to-end specs: TCP sockets with deadlines, child processes,
 * a directory of one's own, the clock. Loaded by busted (Lua 5.4) with require "parley_spec"; one
 * thread. Everything that waits has a deadline in ms and answers nil, "timeout" when it passes. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <lauxlib.h>
#include <linux/filter.h>
#include <lua.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOCKET  "parley.socket"
#define PROCESS "parley.process"

#define PATIENCE_MS 20000 /* for what must come, unless a spec says otherwise */

extern char **environ;

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int trouble(lua_State *L, const char *what) {
    lua_pushnil(L);
    lua_pushstring(L, what);
    return 2;
}

/* ---- sockets ---- */

static int *socket_of(lua_State *L) {
    int *fd = luaL_checkudata(L, 1, SOCKET);
    luaL_argcheck(L, *fd >= 0, 1, "socket is closed");
    return fd;
}

static int wait_for(int fd, short events, int64_t until) {
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = until - now_ms();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n != -1 || errno != EINTR)
            return n;
    }
}

static int option(lua_State *L, int table, const char *name, int preset) {
    if (!lua_istable(L, table))
        return preset;
    lua_getfield(L, table, name);
    int v = (int)luaL_optinteger(L, -1, preset);
    lua_pop(L, 1);
    return v;
}

/* connect(ip, port, {rcvbuf=, bind=ip, timeout=ms}) */
static int l_connect(lua_State *L) {
    struct sockaddr_in to = {.sin_family = AF_INET}, from = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, luaL_checkstring(L, 1), &to.sin_addr) != 1)
        return luaL_error(L, "connect: an IPv4 address is wanted");
    to.sin_port = htons((uint16_t)luaL_checkinteger(L, 2));
    lua_settop(L, 3);
    int *fd = lua_newuserdata(L, sizeof *fd);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    luaL_setmetatable(L, SOCKET);
    if (*fd < 0)
        return trouble(L, strerror(errno));
    int one = 1, rcvbuf = option(L, 3, "rcvbuf", 0);
    setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (rcvbuf)
        setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    if (lua_istable(L, 3) && lua_getfield(L, 3, "bind") == LUA_TSTRING) {
        inet_pton(AF_INET, lua_tostring(L, -1), &from.sin_addr);
        if (bind(*fd, (struct sockaddr *)&from, sizeof from) != 0)
            return trouble(L, strerror(errno));
        lua_pop(L, 1);
    }
    if (connect(*fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        return trouble(L, strerror(errno));
    if (wait_for(*fd, POLLOUT, now_ms() + option(L, 3, "timeout", PATIENCE_MS)) != 1)
        return trouble(L, "timeout");
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(*fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err)
        return trouble(L, strerror(err));
    lua_settop(L, 4);
    return 1;
}

/* listen() -> socket on a free port of 127.0.0.1, port */
static int l_listen(lua_State *L) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int *fd = lua_newuserdata(L, sizeof *fd);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    luaL_setmetatable(L, SOCKET);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(*fd, 128) != 0)
        return trouble(L, strerror(errno));
    getsockname(*fd, (struct sockaddr *)&at, &len);
    lua_pushinteger(L, ntohs(at.sin_port));
    return 2;
}

/* accept(timeout) -> socket | nil, "timeout" */
static int l_accept(lua_State *L) {
    int listener = *socket_of(L);
    if (wait_for(listener, POLLIN, now_ms() + luaL_optinteger(L, 2, PATIENCE_MS)) != 1)
        return trouble(L, "timeout");
    int *fd = lua_newuserdata(L, sizeof *fd);
    *fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    luaL_setmetatable(L, SOCKET);
    if (*fd < 0)
        return trouble(L, strerror(errno));
    return 1;
}

/* send(bytes, timeout) -> true | nil, why */
static int l_send(lua_State *L) {
    int fd = *socket_of(L);
    size_t len;
    const char *at = luaL_checklstring(L, 2, &len);
    int64_t until = now_ms() + luaL_optinteger(L, 3, PATIENCE_MS);
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            if (wait_for(fd, POLLOUT, until) != 1)
                return trouble(L, "timeout");
        } else if (errno != EINTR) {
            return trouble(L, strerror(errno));
        }
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* recv(max, timeout) -> bytes | "" at the end | nil, "timeout" | nil, why */
static int l_recv(lua_State *L) {
    int fd = *socket_of(L);
    size_t max = (size_t)luaL_optinteger(L, 2, 65536);
    int64_t until = now_ms() + luaL_optinteger(L, 3, PATIENCE_MS);
    luaL_Buffer b;
    char *room = luaL_buffinitsize(L, &b, max);
    for (;;) {
        ssize_t n = recv(fd, room, max, 0);
        if (n >= 0) {
            luaL_pushresultsize(&b, (size_t)n);
            return 1;
        }
        if (errno != EAGAIN && errno != EINTR)
            return trouble(L, strerror(errno));
        if (wait_for(fd, POLLIN, until) != 1)
            return trouble(L, "timeout");
    }
}

/* finish(): no more bytes will be sent (FIN) */
static int l_finish(lua_State *L) {
    shutdown(*socket_of(L), SHUT_WR);
    return 0;
}

/* close(reset): reset = RST instead of FIN */
static int l_close(lua_State *L) {
    int *fd = luaL_checkudata(L, 1, SOCKET);
    if (*fd >= 0) {
        if (lua_toboolean(L, 2)) {
            struct linger l = {1, 0};
            setsockopt(*fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        }
        close(*fd);
        *fd = -1;
    }
    return 0;
}

/* vanish(): from now on every packet for this socket is dropped unseen, so no ACK leaves: to the
 * other side it is as if the machine were gone */
static int l_vanish(lua_State *L) {
    struct sock_filter drop = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog program = {1, &drop};
    int fd = *socket_of(L);
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        return luaL_error(L, "vanish: %s", strerror(errno));
    return 0;
}

/* poll({sockets}, timeout) -> index of one that has bytes or ended | nil */
static int l_poll(lua_State *L) {
    struct pollfd p[256];
    size_t n = lua_rawlen(L, 1);
    luaL_argcheck(L, n <= 256, 1, "at most 256 sockets");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        int *fd = luaL_checkudata(L, -1, SOCKET);
        p[i] = (struct pollfd){.fd = *fd, .events = POLLIN};
        lua_pop(L, 1);
    }
    int got = poll(p, n, (int)luaL_optinteger(L, 2, 0));
    for (size_t i = 0; got > 0 && i < n; i++)
        if (p[i].revents) {
            lua_pushinteger(L, (lua_Integer)i + 1);
            return 1;
        }
    lua_pushnil(L);
    return 1;
}

/* ---- processes ---- */

typedef struct process {
    pid_t pid;
    int out; /* its stdout */
    int status;
    bool ended;
    size_t have;
    char line[4096];
} process_t;

static process_t *process_of(lua_State *L) {
    return luaL_checkudata(L, 1, PROCESS);
}

static char **argv_of(lua_State *L, int index) {
    size_t n = lua_rawlen(L, index);
    char **argv = lua_newuserdata(L, (n + 1) * sizeof *argv);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        argv[i] = (char *)luaL_checkstring(L, -1); /* stays alive in the table */
        lua_pop(L, 1);
    }
    argv[n] = NULL;
    return argv;
}

/* spawn({program, argument..}, stderr_path) -> process, killed when it is collected */
static int l_spawn(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *err_path = luaL_optstring(L, 2, "/dev/null");
    char **argv = argv_of(L, 1);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return trouble(L, strerror(errno));
    process_t *p = lua_newuserdata(L, sizeof *p);
    *p = (process_t){.out = fds[0]};
    luaL_setmetatable(L, PROCESS);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, fds[1], 1);
    posix_spawn_file_actions_addopen(&files, 2, err_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int e = posix_spawnp(&p->pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    close(fds[1]);
    if (e != 0) {
        p->ended = true;
        return trouble(L, strerror(e));
    }
    return 1;
}

/* line(timeout) -> the next line of its stdout | nil, "timeout" | nil, "end" */
static int l_line(lua_State *L) {
    process_t *p = process_of(L);
    int64_t until = now_ms() + luaL_optinteger(L, 2, PATIENCE_MS);
    for (;;) {
        char *nl = memchr(p->line, '\n', p->have);
        if (nl) {
            lua_pushlstring(L, p->line, (size_t)(nl - p->line));
            p->have -= (size_t)(nl + 1 - p->line);
            memmove(p->line, nl + 1, p->have);
            return 1;
        }
        if (p->have == sizeof p->line)
            return trouble(L, "line too long");
        if (wait_for(p->out, POLLIN, until) != 1)
            return trouble(L, "timeout");
        ssize_t n = read(p->out, p->line + p->have, sizeof p->line - p->have);
        if (n <= 0)
            return trouble(L, "end");
        p->have += (size_t)n;
    }
}

static int l_kill(lua_State *L) {
    process_t *p = process_of(L);
    if (!p->ended)
        kill(p->pid, (int)luaL_optinteger(L, 2, SIGKILL));
    return 0;
}

/* wait(timeout) -> exit status, or 128 + signal | nil, "timeout" */
static int l_wait(lua_State *L) {
    process_t *p = process_of(L);
    int64_t until = now_ms() + luaL_optinteger(L, 2, PATIENCE_MS);
    while (!p->ended) {
        int status;
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            p->ended = true;
            p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        } else if (now_ms() > until) {
            return trouble(L, "timeout");
        } else {
            poll(NULL, 0, 5);
        }
    }
    lua_pushinteger(L, p->status);
    return 1;
}

static int l_pid(lua_State *L) {
    lua_pushinteger(L, process_of(L)->pid);
    return 1;
}

static int process_gc(lua_State *L) {
    process_t *p = process_of(L);
    if (!p->ended) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        p->ended = true;
    }
    if (p->out >= 0)
        close(p->out);
    p->out = -1;
    return 0;
}

/* ---- the rest ---- */

static int l_now(lua_State *L) {
    lua_pushinteger(L, now_ms());
    return 1;
}

static int l_pause(lua_State *L) {
    poll(NULL, 0, (int)luaL_checkinteger(L, 1));
    return 0;
}

static int l_tmpdir(lua_State *L) {
    char path[] = "/tmp/parley-spec-XXXXXX";
    if (!mkdtemp(path))
        return luaL_error(L, "mkdtemp: %s", strerror(errno));
    lua_pushstring(L, path);
    return 1;
}

static int unlink_one(const char *path, const struct stat *s, int type, struct FTW *ftw) {
    (void)s, (void)type, (void)ftw;
    return remove(path);
}

/* rmtree(path): only what tmpdir made */
static int l_rmtree(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    luaL_argcheck(L, strncmp(path, "/tmp/parley-spec-", 17) == 0, 1, "not a spec's directory");
    nftw(path, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static void class_of(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
    luaL_newmetatable(L, name);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_setfuncs(L, methods, 0);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

int luaopen_parley_spec(lua_State *L);
int luaopen_parley_spec(lua_State *L) {
    static const luaL_Reg socket_methods[] = {
        {"send", l_send},     {"recv", l_recv},     {"finish", l_finish}, {"close", l_close},
        {"accept", l_accept}, {"vanish", l_vanish}, {NULL, NULL}};
    static const luaL_Reg process_methods[] = {
        {"line", l_line}, {"kill", l_kill}, {"wait", l_wait}, {"pid", l_pid}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"connect", l_connect}, {"listen", l_listen}, {"poll", l_poll},
        {"spawn", l_spawn},     {"now", l_now},       {"pause", l_pause},
        {"tmpdir", l_tmpdir},   {"rmtree", l_rmtree}, {NULL, NULL}};
    class_of(L, SOCKET, socket_methods, l_close);
    class_of(L, PROCESS, process_methods, process_gc);
    luaL_newlib(L, functions);
    return 1;
}
