/* store_ops: the named operations of a dialect, read from schema/DIALECT/ops in the binary. In a
 * file the line "-- name: NAME read|write [expect=N]" begins an operation, which is one statement.
 * At open, main's thread; constant afterwards. */
#include "base/asset.h"
#include "base/err.h"
#include "base/log.h"
#include "port/store_in.h"
#include <stdlib.h>

#define MARK "-- name: "

static void *must(void *p) {
    if (!p)
        log_die("store", "no memory");
    return p;
}

char *store_text(const char *at, size_t len) {
    char *copy = must(malloc(len + 1));
    memcpy(copy, at, len);
    copy[len] = 0;
    return copy;
}

static slice_t next_line(slice_t *rest) {
    const char *end = memchr(rest->at, '\n', rest->len);
    slice_t line = {rest->at, end ? (size_t)(end - rest->at) : rest->len};
    size_t used = line.len + (end != NULL);
    rest->at += used;
    rest->len -= used;
    return line;
}

static slice_t next_word(slice_t *rest) {
    size_t n = 0;
    while (rest->len && *rest->at == ' ') {
        rest->at++;
        rest->len--;
    }
    while (n < rest->len && rest->at[n] != ' ')
        n++;
    slice_t word = {rest->at, n};
    rest->at += n;
    rest->len -= n;
    return word;
}

static bool is_mark(slice_t line) {
    return line.len > sizeof MARK - 1 && memcmp(line.at, MARK, sizeof MARK - 1) == 0;
}

static bool read_expect(slice_t word, int64_t *expect) {
    static const char name[] = "expect=";
    size_t n = sizeof name - 1;
    if (word.len == 0)
        return true;
    if (word.len != n + 1 || memcmp(word.at, name, n) != 0 || word.at[n] < '0' || word.at[n] > '9')
        return false;
    *expect = word.at[n] - '0';
    return true;
}

static bool read_head(slice_t line, store_op_t *op) {
    slice_t rest = {line.at + sizeof MARK - 1, line.len - (sizeof MARK - 1)};
    slice_t name = next_word(&rest), kind = next_word(&rest);
    op->expect = -1;
    op->writes = slice_eq(kind, SLICE("write"));
    if (name.len == 0 || (!op->writes && !slice_eq(kind, SLICE("read"))) ||
        !read_expect(next_word(&rest), &op->expect) || next_word(&rest).len)
        return false;
    op->name = store_text(name.at, name.len);
    return true;
}

int store_ops_parse(store_ops_t *ops, const char *file, slice_t sql, char *fault, size_t room) {
    store_op_t *op = NULL;
    while (sql.len) {
        slice_t line = next_line(&sql);
        if (!is_mark(line)) {
            if (op)
                op->sql.len = (size_t)(line.at + line.len - op->sql.at);
            continue;
        }
        ops->at = must(realloc(ops->at, (ops->count + 1) * sizeof *ops->at));
        op = &ops->at[ops->count];
        *op = (store_op_t){.sql = {sql.at, 0}};
        if (!read_head(line, op)) {
            snprintf(fault, room, "%s: not understood: %.*s", file, (int)line.len, line.at);
            return ERR_BAD_REQUEST;
        }
        op->file = store_text(file, strlen(file));
        ops->count++;
    }
    return ERR_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const store_op_t *)a)->name, ((const store_op_t *)b)->name);
}

int store_ops_sort(store_ops_t *ops, char *fault, size_t room) {
    if (ops->count)
        qsort(ops->at, ops->count, sizeof *ops->at, by_name);
    for (uint32_t i = 1; i < ops->count; i++)
        if (strcmp(ops->at[i - 1].name, ops->at[i].name) == 0) {
            snprintf(fault, room, "%s: the operation %s is in %s too", ops->at[i].file,
                     ops->at[i].name, ops->at[i - 1].file);
            return ERR_BAD_REQUEST;
        }
    return ERR_OK;
}

int store_ops_load(store_ops_t *ops, const char *dialect, char *fault, size_t room) {
    char under[64];
    size_t count, n = (size_t)snprintf(under, sizeof under, "schema/%s/ops/", dialect);
    const asset_t *all = asset_all(&count);
    for (size_t i = 0; i < count; i++)
        if (strncmp(all[i].path, under, n) == 0) {
            int err = store_ops_parse(ops, all[i].path, all[i].bytes, fault, room);
            if (err != ERR_OK)
                return err;
        }
    return store_ops_sort(ops, fault, room);
}

static void free_texts(char **at, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        free(at[i]);
    free(at);
}

void store_ops_free(store_ops_t *ops) {
    for (uint32_t i = 0; i < ops->count; i++) {
        store_op_t *op = &ops->at[i];
        free_texts(op->params, op->param_count);
        free_texts(op->columns, op->column_count);
        free(op->name);
        free(op->file);
    }
    free(ops->at);
    *ops = (store_ops_t){0};
}
