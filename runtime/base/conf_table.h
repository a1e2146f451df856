/* conf_table: what the files of conf share: the table of keys and the values of one configuration.
 * Only conf*.c include it. */
#pragma once
#include "base/conf.h"

typedef struct conf_key {
    const char *name, *preset, *help, *choices; /* choices: "a|b", "" = any */
    conf_type_t type;
    bool secret;
    int64_t min, max;
} conf_key_t;

extern const conf_key_t conf_table[];
extern const size_t conf_table_count;
int conf_find(const char *key); /* place in the table, or -1 */

/* How a value was written: a file tells texts, numbers, booleans and lists apart; --set and the
 * environment do not. */
typedef enum conf_form { FORM_ANY, FORM_TEXT, FORM_NUMBER, FORM_BOOL, FORM_LIST } conf_form_t;

typedef struct conf_value {
    char *text;     /* as written, a list joined by commas; owned */
    char *origin;   /* "file:line", "--set", ...; NULL = preset; owned */
    int64_t number; /* BOOL, INT, DURATION, SIZE */
    conf_rate_t rate;
} conf_value_t;

struct conf {
    conf_value_t *values; /* conf_table_count of them */
};

#define CONF_WHY 256 /* room for what is wrong with a value */

/* Reads a value for its key: *out owns what it holds. false: `why` says what is wrong, never
 * showing a secret. */
bool conf_value_read(const conf_key_t *key, slice_t text, conf_form_t form, conf_value_t *out,
                     char why[CONF_WHY]);
void conf_value_free(conf_value_t *v);
/* Reads and replaces the value of key number i; nothing changes if it is wrong. */
bool conf_put(conf_t *c, int i, slice_t text, conf_form_t form, const char *origin,
              char why[CONF_WHY]);
conf_t *conf_copy(const conf_t *c);
/* c gets the values of from, which is freed. */
void conf_adopt(conf_t *c, conf_t *from);
/* Is the host of "host:port" a loopback address? */
bool conf_addr_loopback(const char *addr);
