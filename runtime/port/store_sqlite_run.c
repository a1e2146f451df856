/* store_sqlite_run: operations and appends on a connection. A statement is reset as soon as it is
 * used: one that is not pins the WAL. */
#include "base/err.h"
#include "port/store_sqlite.h"

sqlite3_stmt *sqlite_prepare(store_conn_t *c, slice_t sql, const char **tail) {
    sqlite3_stmt *st = NULL;
    sqlite3_prepare_v3(c->db, sql.at, (int)sql.len, SQLITE_PREPARE_PERSISTENT, &st, tail);
    return st;
}

void sqlite_start(store_conn_t *c, uint64_t deadline_ns) {
    c->deadline_ns = deadline_ns;
    sqlite3_set_last_insert_rowid(c->db, 0); /* no id of another request is taken for ours */
}

/* --- operations --- */

/* The bytes are those of the request, which outlives the step. */
static void bind_value(sqlite3_stmt *st, int i, const value_t *v) {
    switch (v->type) {
    case VALUE_INT:
        sqlite3_bind_int64(st, i, v->i);
        break;
    case VALUE_REAL:
        sqlite3_bind_double(st, i, v->d);
        break;
    case VALUE_TEXT:
        sqlite3_bind_text64(st, i, v->s.at, v->s.len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case VALUE_BLOB:
        sqlite3_bind_blob64(st, i, v->s.at, v->s.len, SQLITE_STATIC);
        break;
    default:
        sqlite3_bind_null(st, i);
        break;
    }
}

static void bind_params(sqlite3_stmt *st, uint32_t count, slice_t params) {
    for (uint32_t i = 1; i <= count; i++) {
        value_t v;
        value_next(&params, &v); /* missing ones are NULL */
        bind_value(st, (int)i, &v);
    }
}

static slice_t bytes_of(sqlite3_value *v) {
    const char *at = sqlite3_value_blob(v);
    return (slice_t){at ? at : "", (size_t)sqlite3_value_bytes(v)};
}

/* The value is looked up once: each sqlite3_column_ call would do it again. It is an unprotected
 * one, which is fine where a connection has no locks and is used by one thread. */
static void add_column(sqlite3_stmt *st, int i, buf_t *out) {
    sqlite3_value *v = sqlite3_column_value(st, i);
    switch (sqlite3_value_type(v)) {
    case SQLITE_INTEGER:
        value_add_int(out, sqlite3_value_int64(v));
        break;
    case SQLITE_FLOAT:
        value_add_real(out, sqlite3_value_double(v));
        break;
    case SQLITE_TEXT:
        value_add_text(out, bytes_of(v));
        break;
    case SQLITE_BLOB:
        value_add_blob(out, bytes_of(v));
        break;
    default:
        value_add_null(out);
        break;
    }
}

/* Steps to the end. Gives SQLite's code; SQLITE_TOOBIG when the answer is over its bound. */
static int step_all(sqlite3_stmt *st, uint32_t columns, uint32_t *rows, buf_t *out) {
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        uint32_t place = store_row_begin(out);
        for (uint32_t i = 0; i < columns; i++)
            add_column(st, (int)i, out);
        store_row_end(out, place);
        ++*rows;
        if (out->len > STORE_REPLY_MAX)
            return SQLITE_TOOBIG;
    }
    return rc;
}

static sqlite3_stmt *statement(store_conn_t *c, uint32_t op) {
    const char *tail;
    if (!c->prepared[op])
        c->prepared[op] = sqlite_prepare(c, c->ops->at[op].sql, &tail);
    return c->prepared[op];
}

int sqlite_run(store_conn_t *c, uint32_t number, slice_t params, buf_t *out) {
    const store_op_t *op = &c->ops->at[number];
    sqlite3_stmt *st = statement(c, number);
    if (!st)
        return sqlite_failed(c, sqlite3_extended_errcode(c->db), op->name);
    store_result_t r = {.columns = op->column_count};
    uint32_t place = store_result_begin(out);
    bind_params(st, op->param_count, params);
    int rc = step_all(st, op->column_count, &r.rows, out);
    if (op->writes) {
        r.changed = sqlite3_changes64(c->db);
        r.last_id = sqlite3_last_insert_rowid(c->db);
    }
    int err = rc == SQLITE_DONE ? ERR_OK : sqlite_failed(c, rc, op->name);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    if (err == ERR_OK && op->expect >= 0 && r.changed != op->expect)
        err = ERR_STALE;
    store_result_end(out, place, &r);
    return err;
}

/* --- append --- */

/* SQLite's code. */
static int insert(store_conn_t *c, sqlite3_stmt *st, const store_append_item_t *item, int64_t id,
                  int64_t seq) {
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_int64(st, 3, seq);
    sqlite3_bind_int64(st, 4, item->sender);
    sqlite3_bind_text64(st, 5, item->client_msg_id.at, item->client_msg_id.len, SQLITE_STATIC,
                        SQLITE_UTF8);
    sqlite3_bind_int64(st, 6, item->at_ms);
    sqlite3_bind_int64(st, 7, item->content_type);
    sqlite3_bind_int64(st, 8, item->reply_to);
    sqlite3_bind_text64(st, 9, item->content.at, item->content.len, SQLITE_STATIC, SQLITE_UTF8);
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    (void)c;
    return rc;
}

/* What is stored under (conversation, sender, client_msg_id). ERR_STALE: nothing, so it was the seq
 * that somebody else has used. */
static int find_stored(store_conn_t *c, int64_t conversation, const store_append_item_t *item,
                       store_appended_t *out) {
    sqlite3_stmt *st = sqlite_own(c, SQL_STORED);
    if (!st)
        return ERR_IO;
    sqlite3_bind_int64(st, 1, conversation);
    sqlite3_bind_int64(st, 2, item->sender);
    sqlite3_bind_text64(st, 3, item->client_msg_id.at, item->client_msg_id.len, SQLITE_STATIC,
                        SQLITE_UTF8);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *out = (store_appended_t){sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1),
                                  sqlite3_column_int64(st, 2), true};
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    if (rc == SQLITE_ROW)
        return ERR_OK;
    return rc == SQLITE_DONE ? ERR_STALE : sqlite_failed(c, rc, "append");
}

/* Is the message that is replied to one of this conversation? ERR_STALE: no. */
static int find_target(store_conn_t *c, int64_t conversation, int64_t message) {
    sqlite3_stmt *st = sqlite_own(c, SQL_TARGET);
    if (!st)
        return ERR_IO;
    sqlite3_bind_int64(st, 1, message);
    sqlite3_bind_int64(st, 2, conversation);
    int rc = sqlite3_step(st);
    sqlite3_reset(st);
    if (rc == SQLITE_ROW)
        return ERR_OK;
    return rc == SQLITE_DONE ? ERR_STALE : sqlite_failed(c, rc, "append");
}

static sqlite_seq_t *seq_place(const store_conn_t *c, int64_t conversation) {
    uint64_t hash = (uint64_t)conversation * 0x9e3779b97f4a7c15u >> 32;
    return c->seqs ? &c->seqs[hash & (SQLITE_SEQS - 1)] : NULL;
}

static void note_last(const store_conn_t *c, int64_t conversation, int64_t last) {
    sqlite_seq_t *s = seq_place(c, conversation);
    if (s)
        *s = (sqlite_seq_t){conversation, last};
}

static int read_last(store_conn_t *c, int64_t conversation, int64_t *last) {
    sqlite3_stmt *st = sqlite_own(c, SQL_LAST_SEQ);
    if (!st)
        return ERR_IO;
    sqlite3_bind_int64(st, 1, conversation);
    int rc = sqlite3_step(st);
    *last = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_reset(st);
    return rc == SQLITE_ROW ? ERR_OK : sqlite_failed(c, rc, "append");
}

/* A first_seq behind the next one would leave a hole for ever. One below it is found out by the
 * index. What is noted is enough to let it pass, not to refuse it: somebody else may have written.
 */
static int check_first(store_conn_t *c, const store_append_head_t *head) {
    const sqlite_seq_t *s = seq_place(c, head->conversation);
    int64_t last;
    if (s && s->conversation == head->conversation && head->first_seq <= s->last + 1)
        return ERR_OK;
    int err = read_last(c, head->conversation, &last);
    if (err != ERR_OK)
        return err;
    return head->first_seq > last + 1 ? ERR_STALE : ERR_OK;
}

/* An append that fails in its middle is deleted again: a savepoint would cost every append what
 * only these need. */
static void take_back(store_conn_t *c, int64_t first_id) {
    sqlite3_stmt *st = first_id < c->next_id && !c->lost ? sqlite_own(c, SQL_TAKE_BACK) : NULL;
    if (!st)
        return;
    sqlite3_bind_int64(st, 1, first_id);
    sqlite3_bind_int64(st, 2, c->next_id - 1);
    if (sqlite_do(c, SQL_TAKE_BACK) != ERR_OK)
        c->lost = true;
}

/* A reply whose target is not there: a repeat all the same, or refused (id 0). */
static int append_reply(store_conn_t *c, int64_t conversation, const store_append_item_t *item,
                        store_appended_t *out) {
    int err = find_target(c, conversation, item->reply_to);
    if (err != ERR_STALE)
        return err;
    *out = (store_appended_t){0};
    err = find_stored(c, conversation, item, out);
    return err == ERR_STALE || err == ERR_OK ? ERR_STALE : err;
}

static int append_all(store_conn_t *c, sqlite3_stmt *st, const store_append_head_t *head,
                      slice_t items, store_appended_t *out, int64_t *next) {
    int64_t seq = *next = head->first_seq;
    sqlite3_bind_int64(st, 2, head->conversation);
    for (uint32_t i = 0; i < head->head.count; i++) {
        store_append_item_t item = store_next_item(&items);
        int err = item.reply_to ? append_reply(c, head->conversation, &item, &out[i]) : ERR_OK;
        if (err == ERR_STALE)
            continue;
        if (err != ERR_OK)
            return err;
        int rc = insert(c, st, &item, c->next_id, seq);
        if (rc == SQLITE_DONE) {
            out[i] = (store_appended_t){c->next_id++, seq++, item.at_ms, false};
            *next = seq;
            continue;
        }
        err = rc == SQLITE_CONSTRAINT_UNIQUE && !sqlite3_get_autocommit(c->db)
                  ? find_stored(c, head->conversation, &item, &out[i])
                  : sqlite_failed(c, rc, "append");
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* The epoch is of no use here: one process at a time has the file, and the index on (conversation,
 * seq) refuses whoever is not up to date. */
int sqlite_append(store_conn_t *c, const store_append_head_t *head, slice_t items,
                  store_appended_t *out) {
    int64_t first_id = c->next_id, next;
    sqlite3_stmt *st = sqlite_own(c, SQL_INSERT);
    int err = st ? check_first(c, head) : ERR_IO;
    if (err != ERR_OK)
        return err;
    err = append_all(c, st, head, items, out, &next);
    sqlite3_clear_bindings(st);
    if (err != ERR_OK)
        take_back(c, first_id);
    else if (c->next_id != first_id)
        note_last(c, head->conversation, next - 1);
    return err;
}
