/* conf_value: one value of the configuration from its text: the types of conf.h. Pure but for the
 * memory of the value. */
#include "base/conf_table.h"
#include "base/log.h"
#include "base/text.h"
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdlib.h>

typedef struct unit {
    const char *name;
    int64_t factor;
} unit_t;

static const unit_t durations[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                   {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const unit_t sizes[] = {{"", 1},          {"B", 1},         {"KiB", 1 << 10},
                               {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};

static bool wrong(char why[CONF_WHY], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool wrong(char why[CONF_WHY], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why, CONF_WHY, format, args);
    va_end(args);
    return false;
}

void conf_value_free(conf_value_t *v) {
    free(v->text);
    free(v->origin);
    *v = (conf_value_t){0};
}

static char *keep(slice_t s) {
    char *text = strndup(s.at ? s.at : "", s.len);
    if (!text)
        log_die("conf", "out of memory");
    return text;
}

static bool in_bounds(const conf_key_t *key, int64_t n, char why[CONF_WHY]) {
    if (n >= key->min && n <= key->max)
        return true;
    const char *what = key->type == CONF_DURATION ? " ms" : key->type == CONF_SIZE ? " bytes" : "";
    return wrong(why, "%lld%s is not within %lld .. %lld", (long long)n, what, (long long)key->min,
                 (long long)key->max);
}

static bool read_bool(slice_t s, conf_value_t *out, char why[CONF_WHY]) {
    out->number = slice_eq(s, SLICE("true"));
    return out->number || slice_eq(s, SLICE("false")) || wrong(why, "must be true or false");
}

static bool read_int(const conf_key_t *key, slice_t s, conf_value_t *out, char why[CONF_WHY]) {
    if (!text_to_int(s, &out->number))
        return wrong(why, "must be a whole number");
    return in_bounds(key, out->number, why);
}

/* Digits and a unit. */
static bool read_units(const conf_key_t *key, const unit_t *units, slice_t s, conf_value_t *out,
                       char why[CONF_WHY]) {
    size_t digits = 0;
    while (digits < s.len && s.at[digits] >= '0' && s.at[digits] <= '9')
        digits++;
    slice_t unit = {s.at + digits, s.len - digits};
    const char *form = key->type == CONF_SIZE ? "a size such as 65536, 64KiB, 1MiB"
                                              : "a time such as 100ms, 30s, 5m, 2h, 7d";
    int64_t n;
    if (!text_to_int((slice_t){s.at, digits}, &n))
        return wrong(why, "must be %s", form);
    if (n == 0 && unit.len == 0)
        units = sizes; /* 0 needs no unit */
    while (units->name && !slice_eq(unit, slice_of(units->name)))
        units++;
    if (!units->name)
        return wrong(why, "must be %s", form);
    if (__builtin_mul_overflow(n, units->factor, &out->number))
        return wrong(why, "is too large");
    return in_bounds(key, out->number, why);
}

static bool read_rate(slice_t s, conf_value_t *out, char why[CONF_WHY]) {
    int64_t rate, burst;
    if (slice_eq(s, SLICE("0")))
        return true;
    const char *slash = s.len ? memchr(s.at, '/', s.len) : NULL;
    if (!slash || !text_to_int((slice_t){s.at, (size_t)(slash - s.at)}, &rate) ||
        !text_to_int((slice_t){slash + 1, s.len - (size_t)(slash + 1 - s.at)}, &burst))
        return wrong(why, "must be a rate and a burst such as 50/100, or 0 for off");
    if (rate > 1000000 || burst > 1000000 || (rate && !burst))
        return wrong(why, "a rate is at most 1000000/1000000 and its burst at least 1");
    out->rate = (conf_rate_t){(uint32_t)rate, (uint32_t)burst};
    return true;
}

static bool one_of(const char *choices, slice_t s) {
    while (*choices) {
        size_t len = strcspn(choices, "|");
        if (slice_eq(s, (slice_t){choices, len}))
            return true;
        choices += len + (choices[len] == '|');
    }
    return false;
}

static bool read_choice(const conf_key_t *key, slice_t s, char why[CONF_WHY]) {
    if (!*key->choices || one_of(key->choices, s))
        return true;
    return wrong(why, "must be one of %s", key->choices);
}

/* Blanks around the elements go; *out->text is the elements joined by commas. */
static bool read_list(slice_t s, conf_value_t *out, char why[CONF_WHY]) {
    char *at = out->text = keep(s);
    for (size_t i = 0; i < s.len;) {
        size_t end = i;
        while (end < s.len && s.at[end] != ',')
            end++;
        size_t from = i, to = end;
        while (from < to && s.at[from] == ' ')
            from++;
        while (to > from && s.at[to - 1] == ' ')
            to--;
        if (from == to || end + 1 == s.len)
            return wrong(why, "has an empty element");
        memmove(at, s.at + from, to - from);
        at += to - from;
        *at = end < s.len ? ',' : 0;
        at += end < s.len;
        i = end + 1;
    }
    *at = 0;
    return true;
}

/* host:port with a numeric host, [..] around IPv6; localhost is written as 127.0.0.1. */
static bool read_addr(slice_t s, conf_value_t *out, char why[CONF_WHY]) {
    static const char form[] =
        "must be address:port such as 127.0.0.1:8080 or [::1]:8080, or empty";
    char host[64], text[80];
    uint8_t ip[16];
    int64_t port;
    if (s.len == 0)
        return true;
    const char *colon = memrchr(s.at, ':', s.len);
    size_t len = colon ? (size_t)(colon - s.at) : 0;
    if (!colon || len == 0 || len >= sizeof host ||
        !text_to_int((slice_t){colon + 1, s.len - len - 1}, &port) || port > 65535)
        return wrong(why, form);
    memcpy(host, s.at, len);
    host[len] = 0;
    if (strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    bool six = host[0] == '[' && host[len - 1] == ']';
    if (six)
        host[len - 1] = 0;
    if (inet_pton(six ? AF_INET6 : AF_INET, host + six, ip) != 1)
        return wrong(why, form);
    snprintf(text, sizeof text, "%s%s:%d", host, six ? "]" : "", (int)port);
    out->text = keep(slice_of(text));
    return true;
}

bool conf_addr_loopback(const char *addr) {
    return strncmp(addr, "127.", 4) == 0 || strncmp(addr, "[::1]:", 6) == 0;
}

/* What a file wrote must fit the key: no number for a text, no list for a number. A time, size or
 * rate is a text or a bare number; a list of one may be written as a text. */
static bool form_fits(const conf_key_t *key, conf_form_t form, char why[CONF_WHY]) {
    switch (key->type) {
    case CONF_BOOL:
        return form == FORM_ANY || form == FORM_BOOL || wrong(why, "must be true or false");
    case CONF_INT:
        return form == FORM_ANY || form == FORM_NUMBER || wrong(why, "must be a number");
    case CONF_TEXT:
    case CONF_ADDR:
        return form == FORM_ANY || form == FORM_TEXT || wrong(why, "must be a text in quotes");
    case CONF_LIST:
        return form == FORM_ANY || form == FORM_TEXT || form == FORM_LIST ||
               wrong(why, "must be a list of texts");
    default:
        return form == FORM_ANY || form == FORM_TEXT || form == FORM_NUMBER ||
               wrong(why, "must be a text in quotes or a number");
    }
}

static bool read_typed(const conf_key_t *key, slice_t s, conf_value_t *out, char why[CONF_WHY]) {
    switch (key->type) {
    case CONF_BOOL:
        return read_bool(s, out, why);
    case CONF_INT:
        return read_int(key, s, out, why);
    case CONF_TEXT:
        return read_choice(key, s, why);
    case CONF_DURATION:
        return read_units(key, durations, s, out, why);
    case CONF_SIZE:
        return read_units(key, sizes, s, out, why);
    case CONF_RATE:
        return read_rate(s, out, why);
    case CONF_LIST:
        return read_list(s, out, why);
    case CONF_ADDR:
        return read_addr(s, out, why);
    }
    return false;
}

bool conf_value_read(const conf_key_t *key, slice_t text, conf_form_t form, conf_value_t *out,
                     char why[CONF_WHY]) {
    if (!text.at)
        text.at = ""; /* an empty buffer's: it is counted from below */
    *out = (conf_value_t){0};
    if (!form_fits(key, form, why))
        return false;
    if (text.len && memchr(text.at, 0, text.len))
        return wrong(why, "holds a NUL byte");
    if (!read_typed(key, text, out, why)) {
        conf_value_free(out);
        return false;
    }
    if (!out->text)
        out->text = keep(text);
    return true;
}
