/* The promises of net.h on real sockets: HTTP. WebSocket is in ws_spec.c, TLS in tls_spec.c. */
#include "spec/runtime/net/net_world.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

SPEC("answers a request with length, date and the caller's headers, and keeps the connection") {
    world_start();
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        say_text(fd, GET("/hello"));
        CHECK(hear(fd, "hello", 1));
        CHECK(strncmp(heard, "HTTP/1.1 200 OK\r\nDate: ", 23) == 0);
        CHECK(strstr(heard, "X-Spec: yes\r\n") && strstr(heard, "Content-Length: 5\r\n"));
        CHECK(!strstr(heard, "Connection: close"));
    }
    CHECK_INT(opened, 1);
    close(fd);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 0);
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    world_stop();
}

SPEC("answers pipelined requests in order, also when an answer comes later") {
    world_start();
    int fd = dial();
    say_text(fd, GET("/later") GET("/hello") GET("/bytes?30") GET("/later") GET("/close"));
    CHECK(hear_end(fd));
    char *a = strstr(heard, "later"), *b = strstr(heard, "hello"), *c = strstr(heard, "abcdefgh");
    CHECK(a && b && c && a < b && b < c);
    CHECK(strstr(c, "later") && strstr(c, "bye"));
    CHECK_INT(requests, 5);
    close(fd);
    world_stop();
}

SPEC("takes a request in single bytes") {
    world_start();
    int fd = dial();
    const char *text =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/hello");
    for (const char *p = text; *p; p++)
        say(fd, p, 1);
    CHECK(hear(fd, "hello", 1));
    CHECK(strstr(heard, "\r\n\r\nbody"));
    close(fd);
    world_stop();
}

SPEC("gives bodies by length and in chunks, with 100-continue only when it is waited for") {
    world_start();
    int fd = dial();
    say_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\n\r\n");
    CHECK(hear(fd, "abcdefgh", 1));
    say_text(fd,
             "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    CHECK(hear(fd, "100 Continue\r\n\r\n", 1));
    say_text(fd, "xyz");
    CHECK(hear(fd, "xyz", 1));
    say_text(
        fd,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nuvw");
    CHECK(hear(fd, "uvw", 1));
    CHECK(!strstr(heard, "100 Continue"));
    /* refused by its head: the client may not send the body now, so the connection ends */
    say_text(
        fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    CHECK(hear_end(fd));
    CHECK(strstr(heard, "413") && strstr(heard, "Connection: close"));
    close(fd);
    world_stop();
}

SPEC("streams a large body both ways") {
    world_start();
    int fd = dial();
    size_t len = 1 << 20;
    char *body = malloc(len);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)('A' + i % 23);
    say_text(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    say(fd, body, len);
    heard_len = 0;
    char *start = NULL;
    while (!start || heard_len - (size_t)(start + 4 - heard) < len) {
        CHECK(hear_some(fd) > 0);
        start = strstr(heard, "\r\n\r\n");
    }
    CHECK(memcmp(start + 4, body, len) == 0);
    CHECK(body_calls > 2);
    free(body);
    close(fd);
    world_stop();
}

SPEC("drops the rest of a short body that was answered early, ends with a long one") {
    world_start();
    int fd = dial();
    say_text(fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    CHECK(hear(fd, "no", 1));
    say_text(fd, "56789" GET("/hello"));
    CHECK(hear(fd, "hello", 1));
    say_text(fd, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n01234");
    CHECK(hear_end(fd));
    CHECK(strstr(heard, "413") && strstr(heard, "Connection: close"));
    close(fd);
    world_stop();
}

SPEC("answers HEAD without a body, and HTTP/1.0 with an end") {
    world_start();
    int fd = dial();
    say_text(fd, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET("/bytes?7"));
    CHECK(hear(fd, "abcdefg", 1));
    CHECK(strstr(heard, "Content-Length: 5\r\n\r\nHTTP/1.1 200"));
    say_text(fd, "GET /hello HTTP/1.0\r\n\r\n");
    CHECK(hear_end(fd));
    CHECK(strstr(heard, "hello") && strstr(heard, "Connection: close"));
    close(fd);
    world_stop();
}

SPEC("answers what it cannot parse with the error of the protocol, and the client reads it") {
    static const struct {
        const char *text, *status;
    } bad[] = {
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
         "400"},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"},
        {"POST /never HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
        {"\x16\x03\x01", "400"}};
    world_start();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = dial();
        say_text(fd, bad[i].text);
        for (int k = 0; k < 100; k++)
            say_text(fd, "and more that nobody will read");
        CHECK(hear_end(fd));
        CHECK(memcmp(heard + 9, bad[i].status, 3) == 0);
        CHECK(strstr(heard,
                     "Connection: close\r\n\r\n{\"error\":\"invalid request\",\"code\":\"bad_"
                     "request\",\"request_id\":\"r-"));
        close(fd);
    }
    CHECK(wait_for(&ended, 5));
    world_stop();
}

SPEC("refuses a long line with 414 and long headers with 431") {
    world_start();
    char *x = malloc(40000);
    memset(x, 'x', 40000);
    int fd = dial();
    say_text(fd, "GET /");
    say(fd, x, 40000);
    CHECK(hear_end(fd));
    CHECK(memcmp(heard + 9, "414", 3) == 0 && strstr(heard, "request too large"));
    close(fd);
    fd = dial();
    say_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    say(fd, x, 40000);
    CHECK(hear_end(fd));
    CHECK(memcmp(heard + 9, "431", 3) == 0);
    close(fd);
    free(x);
    world_stop();
}

SPEC("sends a file, a part of it, and nothing of it for HEAD") {
    char path[] = "/tmp/net_spec_XXXXXX";
    int file = mkstemp(path);
    size_t len = 3 << 20;
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 >> 3);
    say(-1, bytes, 0);
    CHECK(write(file, bytes, len) == (ssize_t)len);
    world_file = path;
    world_start();
    int fd = dial();
    say_text(fd, GET("/file") "HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n" GET("/file?3145720")
                     GET("/hello"));
    CHECK(hear(fd, "hello", 1));
    char *body = strstr(heard, "\r\n\r\n") + 4;
    CHECK(memcmp(body, bytes, len) == 0);
    CHECK(memcmp(body + len, "HTTP/1.1 200 OK\r\n", 17) == 0);
    CHECK(strstr(body + len, "Content-Length: 3145728\r\n"));
    CHECK(memmem(body + len, 2000, bytes + 3145720, 8) != NULL);
    close(fd);
    free(bytes);
    close(file);
    unlink(path);
    world_stop();
}

SPEC("answers a half-closed client, and forgets one that cuts") {
    world_start();
    int fd = dial();
    say_text(fd, GET("/later"));
    shutdown(fd, SHUT_WR);
    CHECK(hear_end(fd));
    CHECK(strstr(heard, "later"));
    close(fd);
    fd = dial();
    say_text(fd, "GET /hal");
    CHECK(wait_for(&opened, 2));
    close(fd);
    fd = dial();
    struct linger l = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    say_text(fd, GET("/never"));
    CHECK(wait_for(&requests, 2));
    close(fd); /* RST */
    CHECK(wait_for(&ended, 3));
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    world_stop();
}

SPEC("an abort inside of a request ends it at once") {
    world_start();
    int fd = dial();
    say_text(fd, GET("/abort") GET("/hello"));
    hear_end(fd);
    CHECK_INT(heard_len, 0);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(requests, 1);
    close(fd);
    world_stop();
}

SPEC("cuts a head that is not finished in time with 504, and an idle connection") {
    world_conf = conf_new();
    set("http.deadline", "100ms");
    set("http.idle", "1s"); /* it counts for the first one, too, until its first byte */
    world_start();
    int idle = dial(), fd = dial();
    say_text(fd, "GET /hello HT");
    CHECK(hear_end(fd));
    CHECK(memcmp(heard + 9, "504", 3) == 0 && strstr(heard, "context deadline exceeded"));
    CHECK(hear_end(idle));
    CHECK_INT(heard_len, 0);
    close(fd);
    close(idle);
    CHECK(wait_for(&ended, 2));
    world_stop();
}

SPEC("a client that does not read stops its own pipeline, not the server") {
    world_start();
    int fd = dial();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    char many[4000] = "";
    for (int i = 0; i < 50; i++)
        strcat(many, GET("/bytes?100000"));
    size_t sent = 0, len = strlen(many);
    ssize_t n = 0;
    for (int i = 0; i < 2000 && sent < 40 * len; i++) {
        n = send(fd, many + sent % len, len - sent % len, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    CHECK(requests < 200);
    CHECK(stat_read(STAT_QUEUE_BYTES) < (1 << 20));
    int other = dial();
    say_text(other, GET("/hello"));
    CHECK(hear(other, "hello", 1));
    close(other);
    close(fd);
    CHECK(wait_for(&ended, 2));
    CHECK(wait_stat(STAT_QUEUE_BYTES, 0));
    world_stop();
}

SPEC("refuses beyond net.max_connections and lets in again afterwards") {
    world_conf = conf_new();
    set("net.max_connections", "2");
    int64_t before = stat_read(STAT_CONNECTIONS_REFUSED);
    world_start();
    int a = dial(), b = dial();
    CHECK(wait_for(&opened, 2));
    int c = dial();
    hear_end(c);
    CHECK_INT(heard_len, 0);
    CHECK(wait_stat(STAT_CONNECTIONS_REFUSED, before + 1));
    close(a);
    close(c);
    CHECK(wait_stat(STAT_CONNECTIONS, 1));
    a = dial();
    say_text(a, GET("/hello"));
    CHECK(hear(a, "hello", 1));
    close(a);
    close(b);
    world_stop();
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Is there a time of so many ms in which the node runs for a fifth of it at most? Time that the
 * machine's host took away counts as time it ran, so one alone may be bad luck. */
static bool rests(int ms) {
    for (int i = 0; i < 20; i++) {
        uint64_t cpu = cpu_ns();
        nanosleep(&(struct timespec){0, ms * 1000000L}, NULL);
        if (cpu_ns() - cpu < (uint64_t)ms * 1000000 / 5)
            return true;
    }
    return false;
}

SPEC("turns away who comes at the descriptor limit, does not spin, and recovers") {
    world_start();
    int64_t before = stat_read(STAT_CONNECTIONS_REFUSED);
    int a = dial(), waiting = socket(AF_INET, SOCK_STREAM, 0), extra[64], n = 0;
    CHECK(wait_for(&opened, 1));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)world_port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct rlimit old, low;
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = (rlim_t)waiting + 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    while (n < 64 && (extra[n] = open("/dev/null", O_RDONLY)) >= 0)
        n++;
    CHECK(connect(waiting, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(wait_stat(STAT_CONNECTIONS_REFUSED, before + 1));
    hear_end(waiting);
    CHECK_INT(heard_len, 0);
    CHECK(rests(100));
    while (n)
        close(extra[--n]);
    setrlimit(RLIMIT_NOFILE, &old);
    close(waiting);
    int b = dial();
    say_text(b, GET("/hello"));
    CHECK(hear(b, "hello", 1));
    close(a);
    close(b);
    world_stop();
}

SPEC("looks away for a while when not even its spare descriptor comes back, then serves who "
     "waited") {
    world_start();
    int a = dial(), waiting = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(wait_for(&opened, 1));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)world_port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct rlimit old, low;
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = 3; /* no number below it is free */
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    CHECK(connect(waiting, (struct sockaddr *)&at, sizeof at) == 0);
    say_text(a, GET("/hello"));
    CHECK(hear(a, "hello", 1));
    CHECK(rests(300));
    setrlimit(RLIMIT_NOFILE, &old);
    say_text(waiting, GET("/hello"));
    CHECK(hear(waiting, "hello", 1));
    close(a);
    close(waiting);
    world_stop();
}

SPEC("takes nobody after net_stop_accepting, and serves who is there") {
    world_start();
    int fd = dial();
    say_text(fd, GET("/hello"));
    CHECK(hear(fd, "hello", 1));
    net_stop_accepting(world_net);
    CHECK_INT(dial(), -1);
    say_text(fd, GET("/hello"));
    CHECK(hear(fd, "hello", 1));
    close(fd);
    world_stop();
}

SPEC("refuses an address that is taken, and one that is none") {
    world_start();
    char address[64], fault[256] = "";
    snprintf(address, sizeof address, "127.0.0.1:%d", world_port);
    net_listener_conf_t l = {.address = address, .id = 8};
    CHECK_INT(net_listen(world_net, &l, fault, sizeof fault), ERR_IO);
    CHECK(strstr(fault, address));
    l.address = "nonsense";
    CHECK_INT(net_listen(world_net, &l, fault, sizeof fault), ERR_IO);
    world_stop();
}

SPEC("listens on IPv6 too, and all workers share one port") {
    world_prepare(2);
    char fault[256];
    net_listener_conf_t l = {.address = "[::1]:0", .id = 9};
    if (net_listen(world_net, &l, fault, sizeof fault) != ERR_OK) { /* a machine without IPv6 */
        CHECK(strstr(fault, "[::1]:0"));
    } else {
        CHECK(strncmp(net_listen_address(world_net, 9), "[::1]:", 6) == 0);
    }
    world_listen("127.0.0.1:0", NULL, NULL);
    int fd[40];
    for (int i = 0; i < 40; i++) {
        fd[i] = dial();
        say_text(fd[i], GET("/hello"));
    }
    for (int i = 0; i < 40; i++) {
        CHECK(hear(fd[i], "hello", 1));
        close(fd[i]);
    }
    CHECK(wait_for(&ended, 40));
    world_stop();
}

SPEC("stops with open connections") {
    world_start();
    int fd = dial(), ws = dial_ws(), later = dial();
    say_text(later, GET("/never"));
    CHECK(wait_for(&requests, 2));
    CHECK(wait_for(&opened, 3)); /* they come to two workers, in any order */
    world_stop();
    CHECK_INT(ended, 3);
    CHECK_INT(stat_read(STAT_CONNECTIONS), 0);
    close(fd);
    close(ws);
    close(later);
}

SPEC_MAIN
