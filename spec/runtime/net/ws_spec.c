/* The promises of net.h on real sockets: WebSocket. */
#include "spec/runtime/net/net_world.h"

SPEC("upgrades, echoes text and binary, reads frames that came with the handshake") {
    world_start();
    int fd = dial();
    char bytes[512];
    size_t n = strlen(WS_REQUEST);
    memcpy(bytes, WS_REQUEST, n);
    n += put_frame(bytes + n, WS_TEXT, true, "early", 5);
    say(fd, bytes, n);
    CHECK(hear(fd, "early", 1));
    say_message(fd, "one");
    CHECK_INT(hear_frame(fd), WS_TEXT);
    CHECK_TEXT(heard, heard_len, "one");
    say_frame(fd, WS_BINARY, true, "\0\xff", 2);
    CHECK_INT(hear_frame(fd), WS_BINARY);
    CHECK(heard_len == 2 && heard[1] == '\xff');
    say_message(fd, "");
    CHECK_INT(hear_frame(fd), WS_TEXT);
    CHECK_INT(heard_len, 0);
    close(fd);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 1006);
    world_stop();
}

SPEC("takes frames of all sizes, whole, in single bytes and many in one piece") {
    world_start();
    int fd = dial_ws();
    static const size_t sizes[] = {1, 125, 126, 127, 1000, 1023, 1024, 1025, 4096, 65535, 65536};
    char *text = malloc(65536);
    for (size_t i = 0; i < 65536; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        say_frame(fd, WS_TEXT, true, text, sizes[i]);
        CHECK_INT(hear_frame(fd), WS_TEXT);
        CHECK_INT(heard_len, sizes[i]);
        CHECK(memcmp(heard, text, sizes[i]) == 0);
    }
    char bytes[2000];
    size_t n = put_frame(bytes, WS_TEXT, true, text, 300);
    for (size_t i = 0; i < n; i++)
        say(fd, bytes + i, 1);
    CHECK_INT(hear_frame(fd), WS_TEXT);
    CHECK_INT(heard_len, 300);
    char *many = malloc(400000);
    size_t len = 0;
    for (int i = 0; i < 2000; i++) {
        char number[16];
        int digits = snprintf(number, sizeof number, "m%d", i);
        len += put_frame(many + len, WS_TEXT, true, number, (size_t)digits);
    }
    say(fd, many, len);
    for (int i = 0; i < 2000; i++) {
        char number[16];
        snprintf(number, sizeof number, "m%d", i);
        CHECK_INT(hear_frame(fd), WS_TEXT);
        CHECK_TEXT(heard, heard_len, number);
    }
    free(many);
    free(text);
    close(fd);
    world_stop();
}

SPEC("joins fragments with control frames between, answers pings with their payload") {
    world_start();
    int fd = dial_ws();
    say_frame(fd, WS_TEXT, false, "gr\xc3", 3); /* half a character */
    say_frame(fd, WS_PING, true, "in between", 10);
    for (int i = 0; i < 5000; i++)
        say_frame(fd, WS_CONT, false, "", 0);
    say_frame(fd, WS_CONT, true, "\xbc\xc3\x9f", 3);
    CHECK_INT(hear_frame(fd), WS_PONG);
    CHECK_TEXT(heard, heard_len, "in between");
    CHECK_INT(hear_frame(fd), WS_TEXT);
    CHECK_TEXT(heard, heard_len, "gr\xc3\xbc\xc3\x9f");
    say_frame(fd, WS_PONG, true, "x", 1); /* dropped by the handler's frame() */
    say_frame(fd, WS_PING, true, "", 0);
    CHECK_INT(hear_frame(fd), WS_PONG);
    CHECK_INT(heard_len, 0);
    CHECK_INT(controls, 2);
    close(fd);
    world_stop();
}

static int code_of(const char *at, size_t len) {
    int fd = dial_ws();
    uint64_t before = ended;
    say(fd, at, len);
    int code = hear_close(fd);
    bool end = hear_frame(fd) == -1;
    close(fd);
    return wait_for(&ended, before + 1) && end && last_code == code ? code : -3;
}
#define CODE(bytes) code_of(bytes, sizeof(bytes) - 1)

SPEC("closes with 1002, 1007, 1009 what RFC 6455 forbids, and the peer sees code and end") {
    world_start();
    CHECK_INT(CODE("\x81\x02{}"), 1002);                           /* not masked */
    CHECK_INT(CODE("\xc1\x80mask"), 1002);                         /* reserved bit */
    CHECK_INT(CODE("\x83\x80mask"), 1002);                         /* reserved opcode */
    CHECK_INT(CODE("\x80\x80mask"), 1002);                         /* nothing to continue */
    CHECK_INT(CODE("\x01\x80mask\x81\x80mask"), 1002);             /* a message inside another */
    CHECK_INT(CODE("\x09\x80mask"), 1002);                         /* fragmented ping */
    CHECK_INT(CODE("\x89\xfe\x00\x7emask"), 1002);                 /* long ping */
    CHECK_INT(CODE("\x88\x81\0\0\0\0x"), 1002);                    /* close of one byte */
    CHECK_INT(CODE("\x88\x82\0\0\0\0\x03\xed"), 1002);             /* 1005 on the wire */
    CHECK_INT(CODE("\x88\x83\0\0\0\0\x03\xe8\xff"), 1007);         /* bad reason */
    CHECK_INT(CODE("\x81\x81\0\0\0\0\xff"), 1007);                 /* bad UTF-8 */
    CHECK_INT(CODE("\x01\x81\0\0\0\0\xff"), 1007);                 /* known bad by its first part */
    CHECK_INT(CODE("\x01\x81\0\0\0\0\xc3\x80\x80\0\0\0\0"), 1007); /* ends in half a character */
    CHECK_INT(CODE("\x81\xff\0\0\0\0\0\x01\0\x01\0\0\0\0"), 1009); /* 65,537 */
    CHECK_INT(CODE("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), 1009);
    CHECK_INT(CODE("\x81\xff\x80\0\0\0\0\0\0\0\0\0\0\0"), 1002);
    CHECK_INT(CODE("\x88\x82\0\0\0\0\x03\xe8"), 1000);
    CHECK_INT(CODE("\x88\x82\0\0\0\0\x0f\xa0"), 4000);
    CHECK_INT(CODE("\x88\x80\0\0\0\0"), 1005);
    world_stop();
}

SPEC("counts joined fragments against the limit") {
    world_start();
    char *x = calloc(1, 40000);
    int fd = dial_ws();
    say_frame(fd, WS_BINARY, false, x, 40000);
    say_frame(fd, WS_CONT, false, x, 25536);
    say_frame(fd, WS_CONT, true, "", 0);
    CHECK_INT(hear_frame(fd), WS_BINARY);
    CHECK_INT(heard_len, 65536);
    say_frame(fd, WS_BINARY, false, x, 40000);
    say_frame(fd, WS_CONT, true, x, 25537);
    CHECK_INT(hear_close(fd), 1009);
    close(fd);
    free(x);
    world_stop();
}

SPEC("closes on demand: frame, echo, end; nothing is sent behind it") {
    world_start();
    int fd = dial_ws();
    say_message(fd, "close 4002");
    CHECK_INT(hear_frame(fd), WS_CLOSE);
    CHECK(heard_len == 5 && memcmp(heard, "\x0f\xa2why", 5) == 0);
    say_message(fd, "still talking");
    say_frame(fd, WS_CLOSE, true, "\x0f\xa2", 2);
    CHECK_INT(hear_frame(fd), -1);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 4002);
    CHECK_INT(messages, 1);
    close(fd);
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    world_stop();
}

SPEC("an abort inside of a message ends it at once, and a cut after our close keeps our code") {
    world_start();
    int fd = dial_ws();
    say_message(fd, "abort");
    CHECK(hear_frame(fd) < 0);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 1006);
    close(fd);
    fd = dial_ws();
    say_message(fd, "close 4001");
    CHECK_INT(hear_close(fd), 4001);
    close(fd);
    CHECK(wait_for(&ended, 2));
    CHECK_INT(last_code, 4001);
    world_stop();
}

SPEC("a paused connection is not read, goes on where it stopped, and its cut is noticed") {
    world_start();
    int fd = dial_ws();
    char bytes[256];
    size_t n = put_frame(bytes, WS_TEXT, true, "pause", 5);
    n += put_frame(bytes + n, WS_TEXT, true, "a", 1);
    n += put_frame(bytes + n, WS_TEXT, true, "b", 1);
    say(fd, bytes, n - 3);
    CHECK(wait_for(&messages, 1));
    say(fd, bytes + n - 3, 3);
    CHECK_INT(hear_frame(fd), WS_TEXT);
    CHECK_TEXT(heard, heard_len, "a");
    CHECK_INT(hear_frame(fd), WS_TEXT);
    CHECK_TEXT(heard, heard_len, "b");
    say_message(fd, "pause for ever");
    CHECK(wait_for(&messages, 4));
    close(fd);
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 1006);
    world_stop();
}

SPEC("queues by reference for a slow peer, tells how much waits, and when there is room again") {
    world_start();
    int fd = dial_ws();
    say_message(fd, "push 6000");
    CHECK(wait_for(&messages, 1));
    CHECK(wait_for(&queue_seen, 6000000));
    CHECK(stat_read(STAT_QUEUE_BYTES) >= 0);
    for (int i = 0; i < 6000; i++) {
        CHECK_INT(hear_frame(fd), WS_TEXT);
        CHECK(heard_len == 1000 && heard[999] == 'p');
    }
    CHECK(wait_for(&rooms, 1));
    CHECK(wait_stat(STAT_QUEUE_BYTES, 0));
    say_message(fd, "end");
    CHECK_INT(hear_frame(fd), WS_TEXT);
    CHECK_TEXT(heard, heard_len, "end");
    close(fd);
    world_stop();
}

static void ask_life(int fd) {
    uint64_t before = life_seen;
    say_message(fd, "life");
    wait_for(&life_seen, before + 1);
}
static const net_life_t *asked_life(int fd) {
    ask_life(fd);
    return &life;
}

SPEC("tells a peer that takes bytes from one whose window is closed") {
    world_start();
    int fd = dial_ws();
    ask_life(fd);
    CHECK(life.last_recv_ns > 0 && life.last_moved_ns > 0 && !life.zero_window);
    say_message(fd, "push 10000");
    UNTIL(asked_life(fd)->zero_window);
    uint64_t moved = 0, received = life.last_recv_ns;
    for (int i = 0; i < WAIT_MS / 10 && life.last_moved_ns > moved + 2000000; i++) {
        moved = life.last_moved_ns; /* the last bytes trickle */
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        ask_life(fd);
    }
    CHECK(life.last_moved_ns <= moved + 2000000 && life.last_recv_ns > received);
    for (int i = 0; i < 10000; i++)
        CHECK_INT(hear_frame(fd), WS_TEXT);
    ask_life(fd);
    CHECK(life.last_moved_ns > moved && !life.zero_window);
    close(fd);
    world_stop();
}

SPEC("ends a connection whose queue is absurd") {
    world_start();
    int fd = dial_ws();
    say_message(fd, "push 20000");
    CHECK(wait_for(&ended, 1));
    CHECK_INT(last_code, 1006);
    CHECK(wait_stat(STAT_QUEUE_BYTES, 0));
    close(fd);
    world_stop();
}

SPEC("a flood of pings that nobody reads the answers of stays bounded") {
    world_start();
    int fd = dial_ws();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    char payload[125] = "x", bytes[200];
    size_t len = put_frame(bytes, WS_PING, true, payload, sizeof payload), at = 0;
    for (int i = 0; i < 200000; i++) {
        ssize_t n = send(fd, bytes + at, len - at, MSG_NOSIGNAL);
        if (n > 0)
            at = (at + (size_t)n) % len;
    }
    CHECK(stat_read(STAT_QUEUE_BYTES) < 100000);
    close(fd);
    CHECK(wait_for(&ended, 1));
    world_stop();
}

SPEC("survives resets at any moment") {
    world_start();
    struct linger l = {1, 0};
    for (int i = 0; i < 300; i++) {
        int fd = i % 3 == 0 ? dial() : dial_ws();
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        if (i % 3 == 0)
            say_text(fd, WS_REQUEST);
        say_message(fd, i % 2 ? "push 100" : "echo me");
        if (i % 5 == 0)
            say_message(fd, "close 1000");
        close(fd);
    }
    UNTIL_INT(opened, 300); /* one that was cut at once may be taken last */
    UNTIL_INT(ended, 300);
    CHECK(wait_stat(STAT_CONNECTIONS, 0));
    CHECK(wait_stat(STAT_QUEUE_BYTES, 0));
    world_stop();
}

SPEC_MAIN
