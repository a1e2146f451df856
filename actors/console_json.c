/* console_json: see console_json.h. */
#include "actors/console_json.h"
#include "base/err.h"

void console_json_close(console_json_t *j) {
    json_doc_free(j->doc);
    buf_free(&j->copy);
}

bool console_json_open(console_call_t *call, int err, const msg_t *reply, console_json_t *out) {
    *out = (console_json_t){.doc = json_doc_new()};
    json_doc_own(out->doc);
    if (reply && reply->body)
        buf_add(&out->copy, reply->body->data, reply->body->len);
    bool read = json_parse(out->doc, out->copy.at, out->copy.len) == ERR_OK;
    if (err == ERR_OK && read)
        return true;
    slice_t why = read ? console_json_text(out, JSON_ROOT, "error") : (slice_t){"", 0};
    if (why.len > 0)
        console_fail(call, err, "%.*s", (int)why.len, why.at);
    else
        console_fail(call, err == ERR_OK ? ERR_INTERNAL : err, NULL);
    console_json_close(out);
    return false;
}

slice_t console_json_text(const console_json_t *j, json_at_t object, const char *key) {
    slice_t s = {"", 0};
    json_string(j->doc, json_get(j->doc, object, key), &s);
    return s;
}

int64_t console_json_int(const console_json_t *j, json_at_t object, const char *key) {
    int64_t n = 0;
    json_int64(j->doc, json_get(j->doc, object, key), &n);
    return n;
}

static void cell(console_call_t *call, const console_json_t *j, json_at_t object,
                 console_type_t type, const char *key) {
    slice_t text;
    bool yes = false;
    switch (type) {
    case CONSOLE_TEXT:
        text = console_json_text(j, object, key);
        if (text.len > 0)
            console_text(call, text);
        else
            console_none(call);
        break;
    case CONSOLE_BOOL:
        json_bool(j->doc, json_get(j->doc, object, key), &yes);
        console_value(call, yes);
        break;
    default:
        console_value(call, console_json_int(j, object, key));
    }
}

void console_json_cells(console_call_t *call, const console_json_t *j, json_at_t object,
                        const console_column_t *columns, const char *const *keys, size_t n) {
    for (size_t i = 0; i < n; i++)
        cell(call, j, object, columns[i].type, keys[i]);
}

void console_json_table(console_call_t *call, const console_json_t *j,
                        const console_column_t *columns, const char *const *keys, size_t n) {
    console_table(call, NULL, columns, n);
    for (json_at_t at = json_first(j->doc, JSON_ROOT); at; at = json_next(j->doc, at))
        console_json_cells(call, j, at, columns, keys, n);
}
