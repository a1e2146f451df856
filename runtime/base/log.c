/* log: see log.h. Any thread may write. A record is formatted on the caller's stack into a line;
 * log_ring carries lines to the writer thread, or they are written directly while there is none. */
#include "base/log.h"
#include "base/clock.h"
#include "base/log_ring.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define HEAD_MAX 64 /* time, level */

static _Atomic int least = LOG_INFO; /* relaxed: a late change of level harms nobody */
static atomic_flag dying = ATOMIC_FLAG_INIT;

const char *const log_level_names[4] = {"debug", "info", "warn", "error"};

log_level_t log_level(void) {
    return (log_level_t)atomic_load_explicit(&least, memory_order_relaxed);
}

void log_level_set(log_level_t level) {
    atomic_store_explicit(&least, (int)level, memory_order_relaxed);
}

/* The civil date of a day number since 1970, counted in eras of 400 years that begin on 1 March
 * (gmtime_r takes a lock of the C library). */
static void civil(int64_t day, int *y, int *m, int *d) {
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = (int)(yoe + era * 400 + (*m <= 2));
}

static size_t head(char room[HEAD_MAX], log_level_t level) {
    static const char *const names[] = {"debug", "info ", "warn ", "error"};
    int64_t ms = clock_wall_ms(), s = ms / 1000;
    int y, m, d, in_day = (int)(s % 86400);
    civil(s / 86400, &y, &m, &d);
    return (size_t)snprintf(room, HEAD_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s ", y, m, d,
                            in_day / 3600, in_day / 60 % 60, in_day % 60, (int)(ms % 1000),
                            names[level]);
}

/* Writes c, or its escape where it must not stand as it is; gives what it took, 0 if there was no
 * room. */
static size_t put_char(char *out, size_t room, uint8_t c, bool quotes) {
    char text[5] = {(char)c, 0};
    if (c == '\n')
        memcpy(text, "\\n", 3);
    else if (c == '\r')
        memcpy(text, "\\r", 3);
    else if (c == '\t')
        memcpy(text, "\\t", 3);
    else if (c < 0x20 || c >= 0x7f)
        snprintf(text, sizeof text, "\\x%02x", c);
    else if (quotes && (c == '"' || c == '\\'))
        snprintf(text, sizeof text, "\\%c", c);
    size_t len = strlen(text);
    if (len > room)
        return 0;
    memcpy(out, text, len);
    return len;
}

/* Controls beyond ASCII, and marks that turn or hide text: a terminal that shows the log obeys. */
static bool steers(const uint8_t *at, size_t n) {
    if (n == 2)
        return at[0] == 0xc2 && at[1] < 0xa0;
    if (n != 3 || at[0] != 0xe2)
        return false;
    bool turns = (at[2] >= 0x8b && at[2] <= 0x8f) || (at[2] >= 0xa8 && at[2] <= 0xae);
    return (at[1] == 0x80 && turns) || (at[1] == 0x81 && at[2] >= 0xa0 && at[2] <= 0xaf);
}

/* Bytes of a UTF-8 character above ASCII that may stand as it is; 0: to be escaped byte by byte. */
static size_t plain_character(const char *at, size_t left) {
    uint8_t lead = (uint8_t)*at;
    size_t n = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (n == 0 || n > left || !text_utf8_valid(at, n) || steers((const uint8_t *)at, n))
        return 0;
    return n;
}

static size_t escape(const char *at, size_t len, char *out, size_t room, bool quotes) {
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        size_t whole = plain_character(at + i, len - i);
        if (whole > room - used)
            break;
        memcpy(out + used, at + i, whole);
        size_t n = whole ? whole : put_char(out + used, room - used, (uint8_t)at[i], quotes);
        if (n == 0)
            break;
        used += n;
        i += whole ? whole : 1;
    }
    return used;
}

const char *log_safe(slice_t s, char *room, size_t size) {
    if (size == 0)
        return "";
    room[escape(s.at, s.len, room, size - 1, true)] = 0;
    return room;
}

/* One whole line with its newline, at most LOG_MAX bytes. A character that no input should have
 * reached the record with (a newline of an untrusted text) is escaped here at the latest. */
static size_t make_line(char line[LOG_MAX], log_level_t level, const char *module,
                        const char *format, va_list args) {
    char text[LOG_MAX];
    size_t at = head(line, level);
    int n = vsnprintf(text, sizeof text, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    at += escape(module, strlen(module), line + at, 32, false);
    line[at++] = ' ';
    at += escape(text, len, line + at, LOG_MAX - 1 - at, false);
    line[at++] = '\n';
    return at;
}

void log_write(log_level_t level, const char *module, const char *format, ...) {
    if ((int)level < atomic_load_explicit(&least, memory_order_relaxed))
        return;
    char line[LOG_MAX];
    va_list args;
    va_start(args, format);
    size_t len = make_line(line, level, module, format, args);
    va_end(args);
    log_ring_put(line, len);
}

void log_start(void) {
    log_ring_start();
}

void log_recent(size_t lines, void (*visit)(void *arg, slice_t line), void *arg) {
    log_ring_recent(lines, visit, arg);
}

void log_stop(void) {
    log_ring_stop();
}

_Noreturn void log_die(const char *module, const char *format, ...) {
    char line[LOG_MAX];
    va_list args;
    va_start(args, format);
    size_t len = make_line(line, LOG_ERROR, module, format, args);
    va_end(args);
    while (atomic_flag_test_and_set(&dying))
        pause(); /* another thread is ending the process */
    log_ring_stop();
    log_ring_put(line, len);
    _exit(70);
}
