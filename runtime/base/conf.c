/* conf: the table of keys, one configuration's values, and what other modules read of them. See
 * conf.h. Written before the workers start, read by any thread afterwards. */
#include "base/conf_table.h"
#include "base/err.h"
#include "base/log.h"
#include <ctype.h>
#include <stdlib.h>

#define NUMBER(key, type, preset, min, max, help)                                                  \
    {key, preset, help, "", CONF_##type, false, min, max},
#define TEXT(key, preset, choices, help) {key, preset, help, choices, CONF_TEXT, false, 0, 0},
#define LIST(key, preset, help)          {key, preset, help, "", CONF_LIST, false, 0, 0},
#define ADDR(key, preset, help)          {key, preset, help, "", CONF_ADDR, false, 0, 0},
#define RATE(key, preset, help)          {key, preset, help, "", CONF_RATE, false, 0, 0},
#define SECRET(key, help)                {key, "", help, "", CONF_TEXT, true, 0, 0},
const conf_key_t conf_table[] = {
#include "base/conf_keys.def"
};
#undef NUMBER
#undef TEXT
#undef LIST
#undef ADDR
#undef RATE
#undef SECRET

#define COUNT (sizeof conf_table / sizeof conf_table[0])
const size_t conf_table_count = COUNT;

static uint16_t by_name[COUNT]; /* places in order of name, made before main */

static int compare_places(const void *a, const void *b) {
    return strcmp(conf_table[*(const uint16_t *)a].name, conf_table[*(const uint16_t *)b].name);
}

__attribute__((constructor)) static void sort_names(void) {
    for (size_t i = 0; i < COUNT; i++)
        by_name[i] = (uint16_t)i;
    qsort(by_name, COUNT, sizeof by_name[0], compare_places);
}

int conf_find(const char *key) {
    size_t low = 0, high = COUNT;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(key, conf_table[by_name[mid]].name);
        if (order == 0)
            return by_name[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return -1;
}

static void *must(void *p) {
    if (!p)
        log_die("conf", "out of memory");
    return p;
}

conf_t *conf_new(void) {
    conf_t *c = must(calloc(1, sizeof *c));
    c->values = must(calloc(COUNT, sizeof *c->values));
    for (size_t i = 0; i < COUNT; i++) {
        char why[CONF_WHY];
        if (!conf_put(c, (int)i, slice_of(conf_table[i].preset), FORM_ANY, NULL, why))
            log_die("conf", "preset of %s: %s", conf_table[i].name, why);
    }
    return c;
}

void conf_free(conf_t *c) {
    if (!c)
        return;
    for (size_t i = 0; i < COUNT; i++)
        conf_value_free(&c->values[i]);
    free(c->values);
    free(c);
}

conf_t *conf_copy(const conf_t *c) {
    conf_t *copy = must(calloc(1, sizeof *copy));
    copy->values = must(calloc(COUNT, sizeof *copy->values));
    for (size_t i = 0; i < COUNT; i++) {
        const conf_value_t *v = &c->values[i];
        copy->values[i] = *v;
        copy->values[i].text = must(strdup(v->text));
        copy->values[i].origin = v->origin ? must(strdup(v->origin)) : NULL;
    }
    return copy;
}

void conf_adopt(conf_t *c, conf_t *from) {
    conf_value_t *old = c->values;
    c->values = from->values;
    from->values = old;
    conf_free(from);
}

bool conf_put(conf_t *c, int i, slice_t text, conf_form_t form, const char *origin,
              char why[CONF_WHY]) {
    conf_value_t v = {0};
    if (!conf_value_read(&conf_table[i], text, form, &v, why))
        return false;
    v.origin = origin ? must(strdup(origin)) : NULL;
    conf_value_free(&c->values[i]);
    c->values[i] = v;
    return true;
}

int conf_set(conf_t *c, const char *key, slice_t value, char *fault, size_t room) {
    char safe[64], why[CONF_WHY];
    int i = conf_find(key);
    if (i < 0) {
        snprintf(fault, room, "--set: %s: unknown key", log_safe(slice_of(key), safe, sizeof safe));
        return ERR_BAD_REQUEST;
    }
    if (conf_put(c, i, value, FORM_ANY, "--set", why))
        return ERR_OK;
    snprintf(fault, room, "--set: %s: %s", conf_table[i].name, why);
    return ERR_BAD_REQUEST;
}

/* PARLEY_HTTP_LISTEN for http.listen */
static void env_name(const char *key, char name[96]) {
    size_t at = (size_t)snprintf(name, 96, "PARLEY_");
    for (; *key && at + 1 < 96; key++)
        name[at++] = *key == '.' ? '_' : (char)toupper((unsigned char)*key);
    name[at] = 0;
}

int conf_load_env(conf_t *c, char *fault, size_t room) {
    conf_t *next = conf_copy(c);
    for (size_t i = 0; i < COUNT; i++) {
        char name[96], why[CONF_WHY];
        env_name(conf_table[i].name, name);
        const char *value = getenv(name);
        if (!value || conf_put(next, (int)i, slice_of(value), FORM_ANY, name, why))
            continue;
        snprintf(fault, room, "%s: %s: %s", name, conf_table[i].name, why);
        conf_free(next);
        return ERR_BAD_REQUEST;
    }
    conf_adopt(c, next);
    return ERR_OK;
}

/* --- reading --- */

static const conf_value_t *value_of(const conf_t *c, const char *key, uint32_t types) {
    int i = conf_find(key);
    if (i < 0 || !(types & 1u << conf_table[i].type))
        log_die("conf", "no key '%s' of the type it is read as", key);
    return &c->values[i];
}

bool conf_bool(const conf_t *c, const char *key) {
    return value_of(c, key, 1u << CONF_BOOL)->number != 0;
}

int64_t conf_int(const conf_t *c, const char *key) {
    return value_of(c, key, 1u << CONF_INT | 1u << CONF_DURATION | 1u << CONF_SIZE)->number;
}

slice_t conf_text(const conf_t *c, const char *key) {
    return slice_of(value_of(c, key, 1u << CONF_TEXT | 1u << CONF_ADDR)->text);
}

conf_rate_t conf_rate(const conf_t *c, const char *key) {
    return value_of(c, key, 1u << CONF_RATE)->rate;
}

size_t conf_list_count(const conf_t *c, const char *key) {
    const char *text = value_of(c, key, 1u << CONF_LIST)->text;
    size_t n = *text != 0;
    for (; *text; text++)
        n += *text == ',';
    return n;
}

slice_t conf_list(const conf_t *c, const char *key, size_t i) {
    const char *at = value_of(c, key, 1u << CONF_LIST)->text;
    for (; i && *at; at++)
        i -= *at == ',';
    return (slice_t){at, strcspn(at, ",")};
}

const char *conf_origin(const conf_t *c, const char *key) {
    int i = conf_find(key);
    return i < 0 ? NULL : c->values[i].origin;
}

void conf_each(const conf_t *c,
               void (*visit)(void *arg, const char *key, conf_type_t type, const char *value,
                             const char *preset, const char *help),
               void *arg) {
    for (size_t i = 0; i < COUNT; i++) {
        const conf_key_t *k = &conf_table[i];
        const char *text = c->values[i].text;
        visit(arg, k->name, k->type, k->secret && *text ? "***" : text, k->preset, k->help);
    }
}
