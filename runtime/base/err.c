/* err: the table behind err.h, made from the one list there. Pure data: any thread. */
#include "base/err.h"
#include <ctype.h>
#include <stddef.h>
#include <string.h>

typedef struct row {
    const char *upper, *symbol, *text;
    int status;
} row_t;

static const row_t rows[ERR_COUNT] = {[ERR_INDEX_OK] = {"OK", "ok", "ok", 200},
#define X(name, status, symbol, text) [ERR_INDEX_##name] = {#name, symbol, text, status},
                                      ERR_LIST(X)
#undef X
};

/* The names in lower case, made by the constructor before main: no lock, no race. */
static char lower[ERR_COUNT][32];

__attribute__((constructor)) static void make_lower(void) {
    for (int i = 0; i < ERR_COUNT; i++)
        for (size_t k = 0; rows[i].upper[k] && k + 1 < sizeof lower[i]; k++)
            lower[i][k] = (char)tolower((unsigned char)rows[i].upper[k]);
}

/* Negating INT_MIN is undefined, so the range is judged before the sign is turned. */
static int index_of(int err) {
    return err <= 0 && err > -ERR_COUNT ? -err : ERR_INDEX_INTERNAL;
}

const char *err_symbol(int err) {
    return rows[index_of(err)].symbol;
}

const char *err_text(int err) {
    return rows[index_of(err)].text;
}

int err_status(int err) {
    return rows[index_of(err)].status;
}

const char *err_name(int err) {
    return lower[index_of(err)];
}

int err_by_name(const char *name) {
    for (int i = 0; i < ERR_COUNT; i++)
        if (strcmp(lower[i], name) == 0)
            return -i;
    return ERR_INTERNAL;
}
