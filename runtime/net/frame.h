/* frame: RFC 6455 frames, both roles: parse in place, unmask, joined messages, close codes. It
 * knows no socket and allocates only to join fragments. The server, wsbench and the specs' client
 * use it; fuzzed. One thread. */
#pragma once
#include "base/buf.h"
#include <stdbool.h>

enum { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

typedef struct frame_head {
    uint8_t opcode;
    bool fin, masked;
    uint8_t mask[4];
    uint64_t len;  /* payload */
    uint32_t size; /* of the head itself */
} frame_head_t;

/* Parses a head. 1: *out is set. 0: needs more bytes. <0: protocol error: the close code to use,
 * negated
 * (-1002: reserved bits or opcode, fragmented or long control frame, wrong masking for the role,
 * non-minimal is legal, top bit of a 64-bit length). */
int frame_parse_head(const char *at, size_t len, bool from_client, frame_head_t *out);
/* XORs in place, from mask position `offset`. true: all that came out is ASCII. */
bool frame_mask(char *at, size_t len, const uint8_t mask[4], size_t offset);
/* Writes a head; mask NULL for a server. Gives its length, at most 14. */
size_t frame_write_head(char room[14], uint8_t opcode, bool fin, uint64_t len, const uint8_t *mask);
/* A close payload: its code (1005 when empty) or -1002 / -1007 when it is not allowed. */
int frame_close_code(slice_t payload);
/* Is a close code one that may be sent on the wire (RFC 6455 section 7.4)? */
bool frame_close_code_ok(uint32_t code);
