/* The promises of net.h over TLS, on real sockets. */
#include "spec/runtime/net/tls_world.h"

#define GET(path)    "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define SAY(s, text) secure_say((s), text, sizeof(text) - 1)

SPEC("answers requests, offers http/1.1 only, and notices the end") {
    tls_start(2);
    secure_t s;
    const unsigned char *alpn;
    unsigned len;
    CHECK(secure_dial(&s, "one"));
    SSL_get0_alpn_selected(s.ssl, &alpn, &len);
    CHECK(len == 8 && memcmp(alpn, "http/1.1", 8) == 0);
    for (int i = 0; i < 3; i++) {
        SAY(&s, GET("/hello"));
        CHECK(secure_hear(&s, "hello"));
    }
    SAY(&s, GET("/later") GET("/bytes?30") GET("/close"));
    CHECK(secure_hear(&s, "bye"));
    CHECK(strstr(heard, "later") && strstr(heard, "abcdefgh"));
    CHECK(!secure_bytes(&s, 1));
    CHECK_INT(SSL_get_shutdown(s.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    secure_close(&s);
    CHECK(wait_for(&ended, 1));
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    world_stop();
}

SPEC("streams large answers, files and bodies") {
    char path[] = "/tmp/tls_file_XXXXXX";
    int file = mkstemp(path);
    size_t len = 2 << 20;
    char *bytes = malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 131 >> 4);
    CHECK(write(file, bytes, len) == (ssize_t)len);
    world_file = path;
    tls_start(1);
    secure_t s;
    CHECK(secure_dial(&s, "one"));
    SAY(&s, GET("/file"));
    CHECK(secure_hear(&s, "\r\n\r\n"));
    size_t have = heard_len - (size_t)(strstr(heard, "\r\n\r\n") + 4 - heard);
    CHECK(memcmp(heard + heard_len - have, bytes, have) == 0);
    CHECK(secure_bytes(&s, len - have));
    CHECK(memcmp(heard, bytes + have, len - have) == 0);
    SAY(&s, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n");
    secure_say(&s, bytes, len);
    CHECK(secure_hear(&s, "\r\n\r\n"));
    have = heard_len - (size_t)(strstr(heard, "\r\n\r\n") + 4 - heard);
    CHECK(secure_bytes(&s, len - have));
    CHECK(memcmp(heard, bytes + have, len - have) == 0);
    secure_close(&s);
    free(bytes);
    close(file);
    unlink(path);
    world_file = "/dev/null";
    world_stop();
}

static bool upgrade(secure_t *s) {
    SAY(s, WS_REQUEST);
    return secure_hear(s, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

static void frame(secure_t *s, uint8_t opcode, const char *text) {
    char bytes[512];
    secure_say(s, bytes, put_frame(bytes, opcode, true, text, strlen(text)));
}

SPEC("carries WebSocket frames, a slow reader's too, and the close") {
    tls_start(2);
    secure_t s;
    CHECK(secure_dial(&s, "one"));
    CHECK(upgrade(&s));
    frame(&s, WS_TEXT, "one");
    CHECK(secure_bytes(&s, 5));
    CHECK_TEXT(heard, 5, "\x81\x03one");
    queue_seen = 0;
    frame(&s, WS_TEXT, "push 8000");
    CHECK(wait_for(&queue_seen, 8000000));
    frame(&s, WS_TEXT, "behind");
    for (int i = 0; i < 8000; i++) {
        CHECK(secure_bytes(&s, 1004));
        CHECK(heard[4] == 'p' && heard[1003] == 'p');
    }
    CHECK(secure_bytes(&s, 8));
    CHECK_TEXT(heard, 8,
               "\x81\x06"
               "behind");
    CHECK(wait_for(&rooms, 1));
    frame(&s, WS_TEXT, "close 4002");
    CHECK(secure_bytes(&s, 7));
    CHECK(memcmp(heard, "\x88\x05\x0f\xa2why", 7) == 0);
    frame(&s, WS_CLOSE, "\x0f\xa2");
    CHECK(!secure_bytes(&s, 1));
    secure_close(&s);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 4002);
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    CHECK(wait_stat(STAT_QUEUE_BYTES, 0));
    world_stop();
}

SPEC("pauses, goes on, notices a cut while it is paused, and aborts") {
    tls_start(1);
    secure_t s;
    CHECK(secure_dial(&s, "one"));
    CHECK(upgrade(&s));
    frame(&s, WS_TEXT, "pause");
    CHECK(wait_for(&messages, 1));
    frame(&s, WS_TEXT, "after");
    CHECK(secure_bytes(&s, 7));
    CHECK_TEXT(heard, 7,
               "\x81\x05"
               "after");
    frame(&s, WS_TEXT, "pause for ever");
    CHECK(wait_for(&messages, 3));
    secure_close(&s);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 1006);
    CHECK(secure_dial(&s, "one"));
    CHECK(upgrade(&s));
    frame(&s, WS_TEXT, "abort");
    CHECK(!secure_bytes(&s, 1));
    CHECK(wait_for(&ended, 2));
    secure_close(&s);
    world_stop();
}

SPEC("survives what is no TLS, and cuts at any moment") {
    tls_start(2);
    int64_t refused = stat_read(STAT_CONNECTIONS_REFUSED);
    struct linger l = {1, 0};
    for (int i = 0; i < 30; i++) {
        int fd = dial();
        say_text(fd, i % 2 ? GET("/hello") : "\x16\x03\x01\x00\xff");
        if (i % 3)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        close(fd);
        secure_t s;
        CHECK(secure_dial(&s, "one"));
        if (i % 4 == 0)
            SAY(&s, WS_REQUEST);
        setsockopt(s.fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        secure_close(&s);
    }
    /* one that was cut at once may be taken last; of some there is nothing left to take */
    UNTIL_INT((int64_t)opened + stat_read(STAT_CONNECTIONS_REFUSED) - refused, 60);
    UNTIL_INT(ended, opened);
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    int half = dial();
    say_text(half, "\x16\x03\x01");
    secure_t s;
    CHECK(secure_dial(&s, "one"));
    SAY(&s, GET("/hello"));
    CHECK(secure_hear(&s, "hello"));
    world_stop(); /* with both open */
    CHECK_INT(stat_read(STAT_CONNECTIONS), 0);
    secure_close(&s);
    close(half);
}

SPEC("cuts a handshake that is not finished in time") {
    world_conf = conf_new();
    set("http.deadline", "100ms");
    tls_start(1);
    int fd = dial();
    say_text(fd, "\x16\x03\x01");
    hear_end(fd);
    CHECK_INT(heard_len, 0);
    CHECK(wait_for(&ended, 1));
    close(fd);
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    world_stop();
}

/* The library has a time limit of its own, 5 s, and may close in the timers after a turn's poll:
 * between that and the library's last word about the connection lies the end of our turn. */
SPEC("a handshake that the library gives up is counted out once") {
    tls_start(1);
    int fd = dial();
    say_text(fd, "\x16\x03\x01");
    hear_end(fd);
    close(fd);
    CHECK(wait_for(&ended, 1));
    secure_t s;
    CHECK(secure_dial(&s, "one"));
    SAY(&s, GET("/hello"));
    CHECK(secure_hear(&s, "hello"));
    secure_close(&s);
    CHECK(wait_for(&ended, 2));
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    CHECK(secure_dial(&s, "one"));
    secure_close(&s);
    world_stop();
    CHECK_INT(ended, 3);
    CHECK_INT(stat_read(STAT_CONNECTIONS), 0);
}

static bool has_name(secure_t *s, const char *name) {
    X509 *x = SSL_get1_peer_certificate(s->ssl);
    bool yes = x && X509_check_host(x, name, 0, 0, NULL) == 1;
    X509_free(x);
    return yes;
}

SPEC("shows each listener's own certificate, whatever name is asked for; plain beside it") {
    tls_files();
    world_prepare(1);
    char fault[256];
    net_listener_conf_t l = {.address = "127.0.0.1:0", .id = 1};
    CHECK_INT(net_listen(world_net, &l, fault, sizeof fault), ERR_OK);
    l = (net_listener_conf_t){"127.0.0.1:0", 2, tls_path("two.crt"), tls_path("two.key")};
    CHECK_INT(net_listen(world_net, &l, fault, sizeof fault), ERR_OK);
    world_listen("127.0.0.1:0", tls_path("one.crt"), tls_path("one.key"));
    secure_t s;
    CHECK(secure_dial(&s, "two"));
    CHECK(has_name(&s, "one") && !has_name(&s, "two"));
    secure_close(&s);
    world_port = atoi(strrchr(net_listen_address(world_net, 2), ':') + 1);
    CHECK(secure_dial(&s, "one"));
    CHECK(has_name(&s, "two") && !has_name(&s, "one"));
    secure_close(&s);
    world_port = atoi(strrchr(net_listen_address(world_net, 1), ':') + 1);
    int fd = dial();
    say_text(fd, GET("/hello"));
    CHECK(hear(fd, "hello", 1));
    close(fd);
    world_stop();
}

SPEC("says what is wrong with a certificate") {
    tls_files();
    world_prepare(1);
    char fault[256];
    net_listener_conf_t l = {"127.0.0.1:0", 1, "/nowhere/x.crt", tls_path("one.key")};
    CHECK_INT(net_listen(world_net, &l, fault, sizeof fault), ERR_IO);
    CHECK(strstr(fault, "/nowhere/x.crt"));
    l = (net_listener_conf_t){"127.0.0.1:0", 1, tls_path("one.crt"), tls_path("two.key")};
    CHECK_INT(net_listen(world_net, &l, fault, sizeof fault), ERR_IO);
    CHECK(strstr(fault, "two.key"));
    l = (net_listener_conf_t){"127.0.0.1:0", 1, tls_path("one.crt"), NULL};
    CHECK_INT(net_listen(world_net, &l, fault, sizeof fault), ERR_IO);
    world_stop();
    tls_remove();
}

SPEC_MAIN
