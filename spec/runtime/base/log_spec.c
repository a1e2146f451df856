/* log: records that no input can forge and no slow reader can hold up. */
#include "base/log.h"
#include "base/stat.h"
#include "spec/spec.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

/* What stderr would show is read from a pipe. */
static int saved = -1, pipe_fd[2];

static void catch_stderr(void) {
    saved = dup(STDERR_FILENO);
    if (pipe(pipe_fd) != 0)
        abort();
    dup2(pipe_fd[1], STDERR_FILENO);
    close(pipe_fd[1]);
}

/* Gives back stderr and everything that was caught. */
static size_t caught(char *room, size_t size) {
    dup2(saved, STDERR_FILENO);
    close(saved);
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = read(pipe_fd[0], room + len, size - 1 - len)) > 0)
        len += (size_t)n;
    close(pipe_fd[0]);
    room[len] = 0;
    return len;
}

static size_t lines_of(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static char got[4 << 20];

SPEC("writes time, level, module and text in one line") {
    catch_stderr();
    log_info("spec", "started port=%d", 80);
    size_t len = caught(got, sizeof got);
    CHECK(len > 30);
    int y, mo, d, h, mi, s, ms;
    CHECK_INT(sscanf(got, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &y, &mo, &d, &h, &mi, &s, &ms), 7);
    CHECK(y >= 2024 && mo >= 1 && mo <= 12 && d >= 1 && d <= 31);
    CHECK(strcmp(got + 25, "info  spec started port=80\n") == 0);
}

SPEC("leaves out what is below the level") {
    catch_stderr();
    log_debug("spec", "hidden");
    log_level_set(LOG_ERROR);
    log_warn("spec", "hidden too");
    log_level_set(LOG_DEBUG);
    log_debug("spec", "shown");
    log_level_set(LOG_INFO);
    caught(got, sizeof got);
    CHECK_INT(lines_of(got), 1);
    CHECK(strstr(got, "debug spec shown") != NULL);
}

SPEC("lets no input forge a line") {
    catch_stderr();
    log_warn("spec", "name=%s", "x\n2026-01-01 error forged\r\x1b[2J");
    caught(got, sizeof got);
    CHECK_INT(lines_of(got), 1);
    CHECK(strstr(got, "name=x\\n2026-01-01 error forged\\r\\x1b[2J") != NULL);
}

SPEC("escapes untrusted text into the room given") {
    char room[16];
    CHECK(strcmp(log_safe(SLICE("a\"b\\c\n"), room, sizeof room), "a\\\"b\\\\c\\n") == 0);
    CHECK(strcmp(log_safe(SLICE("0123456789abcdefgh"), room, sizeof room), "0123456789abcde") == 0);
    CHECK(strcmp(log_safe(SLICE("0123456789abcd\n"), room, sizeof room), "0123456789abcd") == 0);
    CHECK(strcmp(log_safe(SLICE("x"), room, 1), "") == 0);
}

SPEC("lets no text steer the terminal that shows the log") {
    char room[64];
    CHECK(strcmp(log_safe(SLICE("\u00e9 \u4f60 \U0001f600"), room, sizeof room),
                 "\u00e9 \u4f60 \U0001f600") == 0);
    CHECK(strcmp(log_safe(SLICE("\xc2\x9b"
                                "2J"),
                          room, sizeof room),
                 "\\xc2\\x9b2J") == 0);
    CHECK(strcmp(log_safe(SLICE("\x9b"
                                "2J"),
                          room, sizeof room),
                 "\\x9b2J") == 0);
    CHECK(strcmp(log_safe(SLICE("a\u202e"
                                "b"),
                          room, sizeof room),
                 "a\\xe2\\x80\\xae"
                 "b") == 0);
    CHECK(strcmp(log_safe(SLICE("a\u2066"
                                "b"),
                          room, sizeof room),
                 "a\\xe2\\x81\\xa6"
                 "b") == 0);
    CHECK(strcmp(log_safe(SLICE("\u4f60\u4f60"), room, 5), "\u4f60") == 0); /* none is cut in two */
}

SPEC("cuts a long record") {
    static char text[5000];
    memset(text, 'a', sizeof text - 1);
    catch_stderr();
    log_info("spec", "%s", text);
    size_t len = caught(got, sizeof got);
    CHECK_INT(len, LOG_MAX);
    CHECK(got[len - 1] == '\n');
}

SPEC("writes everything in order before it stops") {
    enum { N = 500 };
    catch_stderr();
    fcntl(pipe_fd[0], F_SETPIPE_SZ, 1 << 20);
    log_start();
    for (int i = 0; i < N; i++)
        log_info("spec", "record=%d.", i);
    log_stop();
    caught(got, sizeof got);
    CHECK_INT(lines_of(got), N);
    char *at = got, want[32];
    for (int i = 0; i < N; i++) {
        snprintf(want, sizeof want, "record=%d.", i);
        at = strstr(at, want);
        CHECK(at != NULL);
    }
}

SPEC("does not wait for a stuck stderr, drops and tells how many") {
    enum { N = 5000 };
    catch_stderr(); /* nobody reads until all are written: 64 KiB fit, the ring holds 1024 more */
    log_start();
    int64_t before = stat_read(STAT_LOG_DROPPED);
    for (int i = 0; i < N; i++)
        log_info("spec", "a record of some length to fill the pipe number=%d", i);
    int64_t dropped = stat_read(STAT_LOG_DROPPED) - before;
    fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK);
    size_t len = 0;
    char *told = NULL;
    while (!told) { /* reads on until the writer has told of it */
        struct pollfd p = {pipe_fd[0], POLLIN, 0};
        if (poll(&p, 1, 10000) <= 0)
            break;
        ssize_t n = read(pipe_fd[0], got + len, sizeof got - 1 - len);
        len += n > 0 ? (size_t)n : 0;
        got[len] = 0;
        told = strstr(got, "records dropped");
        told = told && strchr(told, '\n') ? told : NULL;
    }
    log_stop();
    static char rest[1 << 20];
    fcntl(pipe_fd[0], F_SETFL, 0);
    caught(rest, sizeof rest);
    CHECK(told != NULL);
    CHECK(dropped > 0 && dropped < N);
    long long count = 0;
    CHECK_INT(sscanf(strstr(told, "count="), "count=%lld", &count), 1);
    CHECK_INT(count, dropped);
    CHECK_INT(lines_of(got) + lines_of(rest), N - dropped + 1);
}

SPEC("ends the process with status 70 after what waited was written") {
    catch_stderr();
    pid_t pid = fork();
    if (pid == 0) {
        log_start();
        log_info("spec", "before");
        log_die("spec", "the end of %d", 7);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    caught(got, sizeof got);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 70);
    CHECK_INT(lines_of(got), 2);
    CHECK(strstr(got, "before") < strstr(got, "error spec the end of 7"));
}

SPEC_MAIN
