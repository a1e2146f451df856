/* log: one line a record to stderr: time, level, module, text, key=value pairs. Any thread. Control
 * characters and quotes in values are escaped, so that no input forges a line. A record is at most
 * LOG_MAX bytes, the rest is cut. A bounded ring and a writer thread of its own keep a slow stderr
 * from blocking anyone; what did not fit is counted and reported. Before log_start and after
 * log_stop lines are written directly. */
#pragma once
#include "base/slice.h"

#define LOG_MAX 1024
typedef enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level_t;

void log_level_set(log_level_t level);
log_level_t log_level(void);
extern const char *const log_level_names[4]; /* "debug", ... */
void log_start(void);
void log_stop(void); /* drains */
void log_write(log_level_t level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The last lines that the writer thread wrote, at most LOG_RECENT, oldest first; visit: short, it
 * holds the writer up. */
#define LOG_RECENT 256
void log_recent(size_t lines, void (*visit)(void *arg, slice_t line), void *arg);
/* For untrusted text inside a record: escapes into `room`, gives `room`. */
const char *log_safe(slice_t s, char *room, size_t size);
/* Logs, drains and ends the process with status 70: our own fault or no memory. */
_Noreturn void log_die(const char *module, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_debug(module, ...) log_write(LOG_DEBUG, module, __VA_ARGS__)
#define log_info(module, ...)  log_write(LOG_INFO, module, __VA_ARGS__)
#define log_warn(module, ...)  log_write(LOG_WARN, module, __VA_ARGS__)
#define log_error(module, ...) log_write(LOG_ERROR, module, __VA_ARGS__)
