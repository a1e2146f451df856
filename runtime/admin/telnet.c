/* telnet: see telnet.h. A state per byte. We offer ECHO and SGA once the client has shown that it
 * speaks telnet, ask for NAWS, and refuse everything else; an answer is given only to a request
 * that changes something, so that no two sides answer each other for ever. */
#include "admin/telnet.h"

enum { SE = 240, BRK = 243, IP = 244, AO = 245, AYT = 246, EC = 247, EL = 248 };
enum { SB = 250, WILL = 251, WONT = 252, DO = 253, DONT = 254, IAC = 255 };
enum { OPT_ECHO = 1, OPT_SGA = 3, OPT_NAWS = 31 };
enum { TEXT, COMMAND, OPTION, SUB, SUB_IAC };

static void say(buf_t *out, uint8_t verb, uint8_t option) {
    uint8_t b[3] = {IAC, verb, option};
    buf_add(out, b, sizeof b);
}

void telnet_hello(buf_t *out) {
    say(out, DO, OPT_NAWS);
}

static void client_will(telnet_t *t, uint8_t option, bool will, buf_t *out) {
    if (option == OPT_NAWS)
        t->sizes = will;
    else if (will)
        say(out, DONT, option);
}

static void client_wants(telnet_t *t, uint8_t option, bool wants, buf_t *out) {
    if (option == OPT_ECHO)
        t->echo = wants;
    else if (option == OPT_SGA)
        t->raw = wants;
    else if (wants)
        say(out, WONT, option);
}

static void negotiate(telnet_t *t, uint8_t option, buf_t *out) {
    if (!t->seen) {
        t->seen = true;
        say(out, WILL, OPT_ECHO);
        say(out, WILL, OPT_SGA);
    }
    if (t->verb == WILL || t->verb == WONT)
        client_will(t, option, t->verb == WILL, out);
    else
        client_wants(t, option, t->verb == DO, out);
}

static void command(telnet_t *t, uint8_t c, buf_t *data, buf_t *out) {
    t->state = TEXT;
    switch (c) {
    case WILL:
    case WONT:
    case DO:
    case DONT:
        t->verb = c;
        t->state = OPTION;
        break;
    case SB:
        t->sub_len = 0;
        t->state = SUB;
        break;
    case BRK:
    case IP:
        buf_add_char(data, 3);
        break;
    case EC:
        buf_add_char(data, 0x7f);
        break;
    case EL:
        buf_add_char(data, 0x15);
        break;
    case AYT:
        buf_add_text(out, "\r\n[yes]\r\n");
        break;
    case IAC:
        buf_add_char(data, (char)IAC);
        break;
    default:
        break;
    }
}

static void sub_byte(telnet_t *t, uint8_t c) {
    if (t->sub_len < sizeof t->sub)
        t->sub[t->sub_len++] = c;
}

static void sub_end(telnet_t *t) {
    if (t->sub_len < 5 || t->sub[0] != OPT_NAWS)
        return;
    t->width = (uint16_t)(t->sub[1] << 8 | t->sub[2]);
    t->height = (uint16_t)(t->sub[3] << 8 | t->sub[4]);
}

static void text(telnet_t *t, uint8_t c, buf_t *data) {
    bool after_cr = t->after_cr;
    t->after_cr = c == '\r';
    if (c == '\r')
        buf_add_char(data, '\n');
    else if (c && !(c == '\n' && after_cr))
        buf_add_char(data, (char)c);
}

void telnet_feed(telnet_t *t, const uint8_t *at, size_t len, buf_t *data, buf_t *out) {
    for (size_t i = 0; i < len; i++) {
        uint8_t c = at[i];
        switch (t->state) {
        case TEXT:
            if (c == IAC)
                t->state = COMMAND;
            else
                text(t, c, data);
            break;
        case COMMAND:
            command(t, c, data, out);
            break;
        case OPTION:
            t->state = TEXT;
            negotiate(t, c, out);
            break;
        case SUB:
            if (c == IAC)
                t->state = SUB_IAC;
            else
                sub_byte(t, c);
            break;
        default: /* SUB_IAC: a doubled IAC is a byte of the value, anything else ends it */
            t->state = c == IAC ? SUB : TEXT;
            if (c == IAC)
                sub_byte(t, c);
            else if (c == SE)
                sub_end(t);
        }
    }
}
