/* telnet: the byte level of a console session (RFC 854, 857, 858, 1073): takes negotiation out of
 * what a client sends, whatever the pieces it comes in, and makes one kind of line end of all. A
 * client that never negotiates (nc) just has its lines. Pure: bytes in, bytes out; the console's
 * thread. */
#pragma once
#include "base/buf.h"
#include <stdbool.h>

typedef struct telnet {
    uint8_t state, verb;
    uint8_t sub[5], sub_len; /* option and what it says; only NAWS is read */
    bool after_cr;           /* a line feed or NUL right now belongs to the line end before it */
    bool seen;               /* the client speaks telnet */
    bool echo, raw, sizes;   /* agreed: we echo; no go-ahead; it tells its size */
    uint16_t width, height;  /* 0 = unknown */
} telnet_t;                  /* {0} is a fresh one */

/* The first bytes to a client: asks for its window size, which tells a telnet from the rest. */
void telnet_hello(buf_t *out);
/* What a user typed goes to `data`: line ends are \n, interrupts are ^C, NULs are gone. Answers to
 * negotiation go to `out`. */
void telnet_feed(telnet_t *t, const uint8_t *at, size_t len, buf_t *data, buf_t *out);
/* A client that lets us echo and sends key by key: lines can be edited. */
static inline bool telnet_terminal(const telnet_t *t) {
    return t->echo && t->raw;
}
