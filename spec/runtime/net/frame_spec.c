/* Frame heads, byte by byte, after RFC 6455. */
#include "net/frame.h"
#include "spec/spec.h"

static frame_head_t h;
#define PARSE(bytes) frame_parse_head(bytes, sizeof(bytes) - 1, true, &h)

SPEC("reads the three length forms") {
    CHECK_INT(PARSE("\x81\x85"
                    "mask"),
              1);
    CHECK(h.fin && h.opcode == WS_TEXT && h.len == 5 && h.size == 6 && h.masked);
    CHECK(memcmp(h.mask, "mask", 4) == 0);
    CHECK_INT(PARSE("\x02\xfe\x01\x02"
                    "mask"),
              1);
    CHECK(!h.fin && h.opcode == WS_BINARY && h.len == 0x102 && h.size == 8);
    CHECK_INT(PARSE("\x80\xff\x00\x00\x00\x00\x01\x02\x03\x04"
                    "mask"),
              1);
    CHECK(h.len == 0x1020304 && h.size == 14 && h.opcode == WS_CONT);
}

SPEC("asks for more until the head is whole") {
    const char head[] = "\x81\xff\0\0\0\0\0\0\0\x05mask";
    for (size_t n = 0; n < 14; n++)
        CHECK_INT(frame_parse_head(head, n, true, &h), 0);
    CHECK_INT(frame_parse_head(head, 14, true, &h), 1);
}

SPEC("refuses reserved bits and opcodes, bad control frames, wrong masking, a top bit") {
    CHECK_INT(PARSE("\xc1\x80mask"), -1002);
    CHECK_INT(PARSE("\xa1\x80mask"), -1002);
    CHECK_INT(PARSE("\x91\x80mask"), -1002);
    for (int op = 3; op <= 15; op++) {
        char frame[6] = {(char)(0x80 | op), (char)0x80, 1, 2, 3, 4};
        int want = op >= 8 && op <= 10 ? 1 : -1002;
        CHECK_INT(frame_parse_head(frame, 6, true, &h), want);
    }
    CHECK_INT(PARSE("\x09\x80mask"), -1002);
    CHECK_INT(PARSE("\x89\xfe"), -1002);
    CHECK_INT(PARSE("\x81\x05"), -1002);
    CHECK_INT(PARSE("\x81\xff\x80\0\0\0\0\0\0\x05mask"), -1002);
    CHECK_INT(frame_parse_head("\x81\x80", 2, false, &h), -1002);
    CHECK_INT(frame_parse_head("\x81\x05", 2, false, &h), 1);
}

SPEC("masks the same bytes whole or in pieces") {
    char a[41], b[41];
    memset(a, 'x', sizeof a);
    memcpy(b, a, sizeof a);
    const uint8_t mask[4] = {1, 2, 3, 4};
    frame_mask(a, sizeof a, mask, 0);
    CHECK(a[0] == ('x' ^ 1) && a[5] == ('x' ^ 2) && a[40] == ('x' ^ 1));
    for (size_t cut = 0; cut <= sizeof b; cut++) {
        memset(b, 'x', sizeof b);
        frame_mask(b, cut, mask, 0);
        frame_mask(b + cut, sizeof b - cut, mask, cut);
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
}

SPEC("tells of unmasked bytes whether all are ASCII, wherever the one that is not stands") {
    const uint8_t mask[4] = {0x81, 2, 0xf3, 4};
    for (size_t len = 0; len < 20; len++)
        for (size_t odd = 0; odd <= len; odd++) {
            char a[20];
            memset(a, 'x', sizeof a);
            if (odd < len)
                a[odd] = (char)0x80;
            frame_mask(a, len, mask, 0);
            CHECK_INT(frame_mask(a, len, mask, 0), odd == len);
            CHECK(odd == len || a[odd] == (char)0x80);
        }
}

SPEC("writes heads that it reads again, each length in its shortest form") {
    static const struct {
        uint64_t len;
        size_t size;
    } rows[] = {{0, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {1ull << 40, 10}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char room[14];
        const uint8_t mask[4] = {9, 8, 7, 6};
        CHECK_INT(frame_write_head(room, WS_TEXT, true, rows[i].len, NULL), rows[i].size);
        CHECK_INT(frame_parse_head(room, rows[i].size, false, &h), 1);
        CHECK(h.len == rows[i].len && h.size == rows[i].size);
        CHECK_INT(frame_write_head(room, WS_PING, true, rows[i].len, mask), rows[i].size + 4);
        CHECK(memcmp(room + rows[i].size, mask, 4) == 0);
    }
}

SPEC("knows which close payloads are allowed") {
    CHECK_INT(frame_close_code(SLICE("")), 1005);
    CHECK_INT(frame_close_code(SLICE("\x03")), -1002);
    CHECK_INT(frame_close_code(SLICE("\x03\xe8")), 1000);
    CHECK_INT(frame_close_code(SLICE("\x03\xe8"
                                     "bye")),
              1000);
    CHECK_INT(frame_close_code(SLICE("\x03\xe8\xff")), -1007);
    static const int bad[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char p[2] = {(char)(bad[i] >> 8), (char)bad[i]};
        CHECK_INT(frame_close_code((slice_t){p, 2}), -1002);
    }
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4001, 4999};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(frame_close_code_ok((uint32_t)good[i]));
}

SPEC_MAIN
