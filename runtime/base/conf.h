/* conf: the node's configuration: a table of known keys (conf_keys.def: name, type, default,
 * bounds, one line of help), files in the data part of Lua's syntax, --set and the environment.
 * Read at start, then frozen: reads need no lock. A fault names file, line and key. */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct conf conf_t;
typedef enum conf_type {
    CONF_BOOL,
    CONF_INT,
    CONF_TEXT,
    CONF_DURATION /* ms; written 30s, 5m, 100ms, 7d */,
    CONF_SIZE /* bytes; 64KiB, 1MiB */,
    CONF_RATE /* "50/100": per second, burst; "0" = off */,
    CONF_LIST /* texts */,
    CONF_ADDR /* host:port, "" = off */
} conf_type_t;

typedef struct conf_rate {
    uint32_t per_s, burst; /* per_s 0 = no limit */
} conf_rate_t;

conf_t *conf_new(void); /* built-in defaults */
void conf_free(conf_t *c);
/* ERR_OK or ERR_BAD_REQUEST with one line "file:line: key: what is wrong" in `fault`. Nothing is
 * changed then. */
int conf_load_file(conf_t *c, const char *path, char *fault, size_t room);
int conf_load_text(conf_t *c, const char *name, slice_t text, char *fault, size_t room);
int conf_set(conf_t *c, const char *key, slice_t value, char *fault, size_t room);
int conf_load_env(conf_t *c, char *fault, size_t room); /* PARLEY_HTTP_LISTEN for http.listen */
/* Rules over several keys (secret present, open mode on loopback only, ...). */
int conf_check(const conf_t *c, char *fault, size_t room);

/* The key must exist with that type: else it is our bug (assert). */
bool conf_bool(const conf_t *c, const char *key);
int64_t conf_int(const conf_t *c, const char *key);  /* also durations in ms and sizes in bytes */
slice_t conf_text(const conf_t *c, const char *key); /* NUL-terminated; also addresses */
conf_rate_t conf_rate(const conf_t *c, const char *key);
size_t conf_list_count(const conf_t *c, const char *key);
slice_t conf_list(const conf_t *c, const char *key, size_t i);

/* Where the key was set: "node.conf:12", "--set", "PARLEY_WORKERS"; NULL: it has its preset. */
const char *conf_origin(const conf_t *c, const char *key);

/* For help, README and check: walks all keys in order. Secrets show as "***". */
void conf_each(const conf_t *c,
               void (*visit)(void *arg, const char *key, conf_type_t type, const char *value,
                             const char *preset, const char *help),
               void *arg);
