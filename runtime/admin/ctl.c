/* ctl: see ctl.h. The console's token is one line "ADDR:PORT TOKEN". After "ctl TOKEN COLUMNS" the
 * console answers each line with the text of the answer, a 0 byte (which no answer holds), and
 * "STATUS CUT". */
#include "admin/ctl.h"
#include "admin/account.h"
#include "base/buf.h"
#include "base/err.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

enum { STATUS_OK, STATUS_FAILED, STATUS_NOT_DONE };
#define FULL "too many sessions" /* what console.c says to who comes then */
enum { WAIT_MS = 300000, PASSWORD_LEAST = 8, PASSWORD_MOST = 256 };

static int complain(const char *what, const char *why) {
    fprintf(stderr, "parleyd: %s: %s\n", what, why);
    return STATUS_NOT_DONE;
}

/* --- the node --- */

typedef struct place {
    char address[64], token[80];
} place_t;

static bool read_place(const conf_t *conf, place_t *out) {
    char path[1024], line[256];
    snprintf(path, sizeof path, "%.900s/console.token", conf_text(conf, "data.dir").at);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (n < 0)
        complain(path,
                 errno == ENOENT ? "not there: no node runs with this data.dir" : strerror(errno));
    if (fd >= 0)
        close(fd);
    line[n < 0 ? 0 : n] = 0;
    return n >= 0 && sscanf(line, "%63s %79s", out->address, out->token) == 2;
}

static int connect_to(const char *address) {
    char host[64];
    const char *colon = strrchr(address, ':');
    struct sockaddr_in six_no = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    bool is_six = address[0] == '[';
    if (!colon)
        return -1;
    snprintf(host, sizeof host, "%.*s", (int)(colon - address - 2 * is_six), address + is_six);
    six_no.sin_port = six.sin6_port = htons((uint16_t)atoi(colon + 1));
    inet_pton(is_six ? AF_INET6 : AF_INET, host,
              is_six ? (void *)&six.sin6_addr : (void *)&six_no.sin_addr);
    int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, is_six ? (struct sockaddr *)&six : (struct sockaddr *)&six_no,
                           is_six ? sizeof six : sizeof six_no) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, slice_t s) {
    while (s.len) {
        ssize_t n = send(fd, s.at, s.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        s.at += n;
        s.len -= (size_t)n;
    }
    return true;
}

/* Reads up to a 0 byte and the line behind it: `in` keeps what is further. false: it ended. */
static bool read_answer(int fd, buf_t *in, buf_t *text, char status[64]) {
    for (;;) {
        char *zero = in->len ? memchr(in->at, 0, in->len) : NULL;
        char *end = zero ? memchr(zero, '\n', in->len - (size_t)(zero - in->at)) : NULL;
        if (end) {
            snprintf(status, 64, "%.*s", (int)(end - zero - 1), zero + 1);
            buf_add(text, in->at, (size_t)(zero - in->at));
            buf_drop(in, (size_t)(end + 1 - in->at));
            return true;
        }
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n = poll(&p, 1, WAIT_MS) == 1 ? recv(fd, buf_room(in, 65536), 65536, 0) : 0;
        if (n <= 0)
            return false;
        in->len += (uint32_t)n;
    }
}

/* --- the line --- */

static bool add_word(buf_t *line, const char *word) {
    if (line->len)
        buf_add_char(line, ' ');
    if (!*word)
        buf_add_text(line, "\"\"");
    for (const char *at = word; *at; at++) {
        if (*at == '\n' || *at == '\r')
            return false;
        if (strchr(" \t\"'\\", *at))
            buf_add_char(line, '\\');
        buf_add_char(line, *at);
    }
    return true;
}

static int columns(void) {
    struct winsize w;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

static int show(const buf_t *text, const char *status, bool json) {
    bool ok = strncmp(status, "ok", 2) == 0;
    unsigned long long cut = 0;
    if (text->len)
        fwrite(text->at, 1, text->len, ok || json ? stdout : stderr);
    if (json && sscanf(status, "%*s %llu", &cut) == 1 && cut)
        fprintf(stderr, "parleyd: %llu more are not shown; --rows=N asks for as many\n", cut);
    if (fflush(stdout) != 0)
        return STATUS_FAILED;
    return ok ? STATUS_OK : STATUS_FAILED;
}

static int talk(int fd, const place_t *place, buf_t *line, bool json) {
    buf_t in = {0}, text = {0}, greeting = {0};
    char hello[160], status[64];
    int n = snprintf(hello, sizeof hello, "ctl %s %d\n", place->token, columns());
    buf_add_char(line, '\n');
    int result = STATUS_NOT_DONE;
    if (!send_all(fd, (slice_t){hello, (size_t)n}) || !read_answer(fd, &in, &greeting, status))
        complain(place->address, in.len && memmem(in.at, in.len, FULL, sizeof FULL - 1)
                                     ? "all sessions of the console are taken (admin.sessions)"
                                     : "the console let us not in");
    else if (!send_all(fd, buf_slice(line)) || !read_answer(fd, &in, &text, status))
        complain(place->address, "the console gave no answer");
    else
        result = show(&text, status, json);
    buf_free(&in);
    buf_free(&text);
    buf_free(&greeting);
    return result;
}

int ctl_run(const conf_t *conf, int argc, char **argv) {
    buf_t line = {0};
    place_t place;
    bool json = false, good = argc > 0;
    for (int i = 0; i < argc; i++) {
        json |= strcmp(argv[i], "--json") == 0;
        good = add_word(&line, argv[i]) && good;
    }
    int result = STATUS_NOT_DONE, fd = -1;
    if (!good || line.len > CONSOLE_LINE)
        complain("ctl", argc ? "a command is one line of at most 1024 bytes"
                             : "a command is missing; `parleyd ctl help` lists them");
    else if (read_place(conf, &place) && (fd = connect_to(place.address)) < 0)
        complain(place.address, "no node answers");
    if (fd >= 0) {
        result = talk(fd, &place, &line, json);
        close(fd);
    }
    buf_free(&line);
    return result;
}

/* --- passwd --- */

typedef struct secret {
    char text[PASSWORD_MOST + 2];
} secret_t;

/* A line without its end; shown: the terminal does not echo it. */
static bool read_line(const char *prompt, secret_t *out) {
    struct termios old, quiet;
    bool tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
    if (tty) {
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        fputs(prompt, stderr);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    bool ok = fgets(out->text, sizeof out->text, stdin) != NULL;
    if (tty) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        fputc('\n', stderr);
    }
    if (ok)
        out->text[strcspn(out->text, "\r\n")] = 0;
    return ok;
}

/* 20 characters that are not mistaken for each other: 100 bits. */
static void generate(secret_t *out) {
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    _Static_assert(sizeof letters - 1 == 32, "five bits a character");
    for (int i = 0; i < 20; i++)
        out->text[i] = letters[randombytes_uniform(32)];
    out->text[20] = 0;
}

static bool get_password(bool make, secret_t *out) {
    secret_t again;
    if (make) {
        generate(out);
        return true;
    }
    if (!read_line("new password: ", out))
        return complain("passwd", "no password on stdin") == STATUS_OK;
    if (strlen(out->text) < PASSWORD_LEAST || strlen(out->text) > PASSWORD_MOST)
        return complain("passwd", "8 to 256 characters, please") == STATUS_OK;
    if (!isatty(STDIN_FILENO))
        return true;
    bool same = read_line("once more: ", &again) && strcmp(out->text, again.text) == 0;
    sodium_memzero(&again, sizeof again);
    return same || complain("passwd", "the two differ") == STATUS_OK;
}

static int store(const char *path, const char *name, console_role_t role, const char *hash) {
    char fault[512];
    if (account_set(path, slice_of(name), role, hash, fault, sizeof fault) != ERR_OK)
        return complain("passwd", fault);
    return STATUS_OK;
}

static int set_password(const conf_t *conf, const char *path, const char *name, console_role_t role,
                        bool make, ctl_hash_t hash) {
    secret_t password = {{0}};
    char text[128];
    int status = STATUS_NOT_DONE;
    if (get_password(make, &password)) {
        if (hash(conf, slice_of(password.text), text) != ERR_OK)
            complain("passwd", "no memory for the hash (crypt.memory)");
        else
            status = store(path, name, role, text);
    }
    if (status == STATUS_OK && make)
        printf("%s\n", password.text);
    sodium_memzero(&password, sizeof password);
    return status;
}

int ctl_passwd(const conf_t *conf, int argc, char **argv, ctl_hash_t hash) {
    char path[1024], fault[512];
    bool make = argc > 0 && strcmp(argv[0], "--generate") == 0;
    const char *name = argc > make ? argv[make] : "", *word = argc > make + 1 ? argv[make + 1] : "";
    account_t account = {0};
    snprintf(path, sizeof path, "%.900s/console.users", conf_text(conf, "data.dir").at);
    if (argc > make + 2 || !account_name_ok(slice_of(name)))
        return complain("passwd", "[--generate] NAME [read|operate|none]; a name is 1 to 32 of "
                                  "a-z 0-9 _ . -");
    if (strcmp(word, "none") == 0)
        return store(path, name, CONSOLE_NOBODY, "");
    int err = account_find(path, slice_of(name), &account, fault, sizeof fault);
    if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_GONE)
        return complain("passwd", fault);
    console_role_t role = account_role(slice_of(word));
    if (*word && role == CONSOLE_NOBODY)
        return complain(word, "is no role; read, operate or none");
    if (!*word)
        role = account.role != CONSOLE_NOBODY ? account.role : CONSOLE_READ;
    return set_password(conf, path, name, role, make, hash);
}
