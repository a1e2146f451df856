/* store_stage: the store on a stage, for every kind of store that the spec is run against. */
#pragma once
#include "port/store.h"
#include "stage.h"
#include <stdarg.h>

/* What a store's contract spec runs against; a URL whose place is the stage's directory. */
static const char *const store_urls[] = {"sqlite:%s/t.db"};
static const char *store_url;
static store_t *store;

static bool store_try_open(void) {
    char url[128];
    snprintf(url, sizeof url, store_url, stage->dir); // NOLINT
    stage_set("store.url", url);
    store = store_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (!store && getenv("SPEC_LOG"))
        printf("%s\n", stage->fault);
    return store != NULL;
}

static bool store_up(void) {
    if (!store_try_open())
        return false;
    stage_start();
    return true;
}

static void store_down(void) {
    stage_stop();
    store_close(store);
    store = NULL;
}

/* Ends store and runtime and begins again on the same directory. */
__attribute__((unused)) static bool store_restart(void) {
    store_down();
    runtime_free(stage->rt);
    stage->rt = runtime_new(&(runtime_conf_t){.workers = 2});
    return store_up();
}

/* --- operations --- */
typedef struct call {
    int op;
    buf_t params;
    uint32_t timeout_ms;
    uint64_t cookie;
} call_t;

static void call_go(actor_t *self, void *arg) {
    call_t *c = arg;
    store_run(store, self, c->op, &c->params, c->timeout_ms, STAGE_REPLY, c->cookie);
    free(c);
}

/* Parameters in the order of the statement: i a number, t a text, n none. */
static buf_t values(const char *form, va_list args) {
    buf_t b = {0};
    for (; *form; form++)
        if (*form == 'i')
            value_add_int(&b, va_arg(args, int64_t));
        else if (*form == 't')
            value_add_text(&b, slice_of(va_arg(args, const char *)));
        else
            value_add_null(&b);
    return b;
}

__attribute__((unused)) static buf_t params_of(const char *form, ...) {
    va_list args;
    va_start(args, form);
    buf_t b = values(form, args);
    va_end(args);
    return b;
}

static uint64_t ask_for(int who, uint32_t timeout_ms, const char *op, buf_t params) {
    call_t *c = malloc(sizeof *c);
    uint64_t cookie = stage_cookie();
    *c = (call_t){store_op(store, op), params, timeout_ms, cookie};
    stage_do(who, call_go, c);
    return cookie;
}

__attribute__((unused)) static uint64_t ask(const char *op, const char *form, ...) {
    va_list args;
    va_start(args, form);
    buf_t b = values(form, args);
    va_end(args);
    return ask_for(0, 0, op, b);
}

__attribute__((unused)) static stage_answer_t *run(const char *op, const char *form, ...) {
    va_list args;
    va_start(args, form);
    buf_t b = values(form, args);
    va_end(args);
    return stage_answer(ask_for(0, 0, op, b));
}

/* The rows of an answer: an answer is a reply message kept in pieces. */
static bool rows_of(const stage_answer_t *a, store_rows_t *r) {
    msg_t m = {.body = a->body};
    return store_rows_open(r, &m);
}

/* The number in the first column of the first row, -1: none. */
__attribute__((unused)) static int64_t number_of(const stage_answer_t *a) {
    store_rows_t r;
    slice_t row;
    if (a->err != ERR_OK || !rows_of(a, &r) || !store_rows_next(&r, &row))
        return -1;
    return value_next_int(&row);
}

__attribute__((unused)) static int64_t row_count(const stage_answer_t *a) {
    store_rows_t r;
    return a->err == ERR_OK && rows_of(a, &r) ? (int64_t)r.rows_left : -1;
}

__attribute__((unused)) static int64_t make_user(const char *name) {
    return number_of(run("user_create", "ttti", name, "", name, (int64_t)1000));
}

/* --- append --- */
typedef struct append {
    store_append_t *a;
    uint32_t timeout_ms;
    uint64_t cookie;
} append_t;

static void append_go(actor_t *self, void *arg) {
    append_t *p = arg;
    store_append_run(store, self, p->a, p->timeout_ms, STAGE_REPLY, p->cookie);
    free(p);
}

__attribute__((unused)) static void add_item(store_append_t *a, int64_t sender, const char *id,
                                             int64_t at_ms) {
    store_append_item_t item = {.sender = sender,
                                .at_ms = at_ms,
                                .content_type = 1,
                                .client_msg_id = slice_of(id),
                                .content = SLICE("{\"text\":{\"text\":\"hi\"}}")};
    store_append_add(a, &item);
}

static uint64_t append_ask(int who, store_append_t *a) {
    append_t *p = malloc(sizeof *p);
    uint64_t cookie = stage_cookie();
    *p = (append_t){a, 0, cookie};
    stage_do(who, append_go, p);
    return cookie;
}

__attribute__((unused)) static stage_answer_t *append_run(store_append_t *a) {
    return stage_answer(append_ask(0, a));
}

/* Item i of an answer. */
__attribute__((unused)) static store_appended_t appended(const stage_answer_t *a, size_t i) {
    store_appended_t out = {-1, -1, -1, false};
    if ((i + 1) * sizeof out <= a->size)
        memcpy(&out, a->data + i * sizeof out, sizeof out);
    return out;
}

/* Every promise against every kind of store. */
#define STORE_SPEC_MAIN                                                                            \
    int main(int argc, char **argv) {                                                              \
        int status = 0;                                                                            \
        for (size_t i = 0; i < sizeof store_urls / sizeof store_urls[0]; i++) {                    \
            store_url = store_urls[i];                                                             \
            status |= spec_main(argc, argv);                                                       \
        }                                                                                          \
        return status;                                                                             \
    }
