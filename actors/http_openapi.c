/* http_openapi: the OpenAPI 3 description, made once at start from the route table, so that it
 * cannot differ from what is served; the shapes of the objects come from
 * schema/openapi_schemas.json. */
#include "actors/edge.h"
#include "base/asset.h"

typedef struct word {
    slice_t name, type;
    bool optional;
} word_t;

/* "name:type?" from a list separated by blanks. */
static bool next_word(slice_t *rest, word_t *out) {
    while (rest->len && rest->at[0] == ' ')
        rest->at++, rest->len--;
    if (rest->len == 0)
        return false;
    const char *blank = memchr(rest->at, ' ', rest->len);
    size_t len = blank ? (size_t)(blank - rest->at) : rest->len;
    const char *colon = memchr(rest->at, ':', len);
    out->name = (slice_t){rest->at, (size_t)(colon - rest->at)};
    out->type = (slice_t){colon + 1, len - out->name.len - 1};
    out->optional = out->type.at[out->type.len - 1] == '?';
    out->type.len -= out->optional;
    rest->at += len;
    rest->len -= len;
    return true;
}

static void add_type(buf_t *b, slice_t type) {
    if (slice_eq(type, SLICE("ids")))
        buf_add_text(b,
                     "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"format\":\"int64\"}}");
    else if (slice_eq(type, SLICE("integer")))
        buf_add_text(b, "{\"type\":\"integer\",\"format\":\"int64\"}");
    else
        buf_addf(b, "{\"type\":\"%.*s\"}", (int)type.len, type.at);
}

static void add_parameter(buf_t *b, bool *first, slice_t name, const char *in, bool required,
                          slice_t type) {
    buf_addf(b, "%s{\"name\":\"%.*s\",\"in\":\"%s\",\"required\":%s,\"schema\":", *first ? "" : ",",
             (int)name.len, name.at, in, required ? "true" : "false");
    add_type(b, type);
    buf_add_char(b, '}');
    *first = false;
}

static void add_parameters(buf_t *b, const route_t *r) {
    bool first = true;
    word_t w;
    slice_t keys = r->body ? slice_of(r->body) : (slice_t){"", 0};
    buf_add_text(b, ",\"parameters\":[");
    for (const char *at = strchr(r->path, '{'); at; at = strchr(at, '{')) {
        const char *end = strchr(++at, '}');
        add_parameter(b, &first, (slice_t){at, (size_t)(end - at)}, "path", true, SLICE("integer"));
    }
    while (r->method == HTTP_GET && next_word(&keys, &w))
        add_parameter(b, &first, w.name, "query", !w.optional, w.type);
    buf_add_char(b, ']');
}

static void add_body(buf_t *b, const route_t *r) {
    slice_t keys = r->body ? slice_of(r->body) : (slice_t){"", 0}, again = keys;
    word_t w;
    if (r->method == HTTP_GET || keys.len == 0)
        return;
    buf_add_text(
        b, ",\"requestBody\":{\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\","
           "\"properties\":{");
    while (next_word(&keys, &w)) {
        buf_addf(b, "%s\"%.*s\":", b->at[b->len - 1] == '{' ? "" : ",", (int)w.name.len, w.name.at);
        add_type(b, w.type);
    }
    buf_add_char(b, '}');
    bool any = false;
    while (next_word(&again, &w))
        if (!w.optional) {
            buf_addf(b, "%s\"%.*s\"", any ? "," : ",\"required\":[", (int)w.name.len, w.name.at);
            any = true;
        }
    buf_add_text(b, any ? "]}}}}" : "}}}}");
}

static void add_data(buf_t *b, const route_t *r) {
    size_t len = strlen(r->data);
    bool list = len > 2 && strcmp(r->data + len - 2, "[]") == 0;
    if (list)
        buf_addf(b, "{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/%.*s\"}}",
                 (int)len - 2, r->data);
    else
        buf_addf(b, "{\"$ref\":\"#/components/schemas/%s\"}", r->data);
}

/* The route's own codes of one status, as "a, b"; false: none. */
static bool add_codes(buf_t *b, const route_t *r, int status) {
    slice_t rest = slice_of(r->errors);
    char name[40];
    bool any = false;
    while (rest.len) {
        const char *blank = memchr(rest.at, ' ', rest.len);
        size_t len = blank ? (size_t)(blank - rest.at) : rest.len;
        snprintf(name, sizeof name, "%.*s", (int)len, rest.at);
        if (err_status(err_by_name(name)) == status) {
            buf_addf(b, "%s%s", any ? ", " : "", name);
            any = true;
        }
        len += blank != NULL;
        rest = (slice_t){rest.at + len, rest.len - len};
    }
    return any;
}

static void add_error(buf_t *b, const char *status, slice_t codes) {
    buf_addf(b,
             ",\"%s\":{\"description\":\"%.*s\",\"content\":{\"application/json\":{\"schema\":{"
             "\"$ref\":\"#/components/schemas/Error\"}}}}",
             status, (int)codes.len, codes.at);
}

static void add_errors(buf_t *b, const route_t *r) {
    for (int status = 400; r->errors && status < 500; status++) {
        char text[8];
        buf_t codes = {0};
        snprintf(text, sizeof text, "%d", status);
        if (add_codes(&codes, r, status))
            add_error(b, text, buf_slice(&codes));
        buf_free(&codes);
    }
    add_error(b, "default",
              r->auth == AUTH_TOKEN
                  ? SLICE("bad_request, unauthorized, invalid_token, token_expired, token_revoked, "
                          "user_disabled, rate_limited, busy, timeout, internal")
                  : SLICE("bad_request, rate_limited, busy, timeout, internal"));
}

static void add_answers(buf_t *b, const route_t *r) {
    bool plain = r->row >= 55 || r->row == 0;
    buf_add_text(b, ",\"responses\":{\"200\":{\"description\":\"success\"");
    if (!plain) {
        buf_add_text(b, ",\"content\":{\"application/json\":{\"schema\":");
        if (!(r->flags & ROUTE_BARE))
            buf_add_text(b, "{\"allOf\":[{\"$ref\":\"#/components/schemas/Envelope\"},{\"type\":"
                            "\"object\",\"properties\":{\"data\":");
        add_data(b, r);
        buf_add_text(b, r->flags & ROUTE_BARE ? "}}" : "}}]}}}");
    }
    buf_add_char(b, '}');
    add_errors(b, r);
    buf_add_char(b, '}');
}

static void add_operation(buf_t *b, const route_t *r) {
    static const char *const verb[] = {"get", "head", "post", "put", "delete"};
    buf_addf(b, "\"%s\":{\"summary\":\"%s\"", verb[r->method], r->title ? r->title : "");
    if (r->service)
        buf_addf(b, ",\"operationId\":\"%s.%s\",\"tags\":[\"%s\"]", r->service, r->verb,
                 r->service);
    else
        buf_addf(b, ",\"tags\":[\"%s\"]",
                 (r->row >= 55 && r->row <= 60) || r->row == 0 ? "operations" : "messages");
    if (r->auth == AUTH_TOKEN)
        buf_add_text(b, ",\"security\":[{\"bearer\":[]}]");
    add_parameters(b, r);
    add_body(b, r);
    add_answers(b, r);
    buf_add_char(b, '}');
}

/* The first of its path writes all methods of the path. */
static bool seen_before(const route_t *all, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(all[k].path, all[i].path) == 0)
            return true;
    return false;
}

static void add_path(buf_t *b, const route_t *all, size_t n, size_t i) {
    bool first = true;
    buf_addf(b, "%s\"%s\":{", b->at[b->len - 1] == '{' ? "" : ",", all[i].path);
    for (size_t k = i; k < n; k++) {
        if (strcmp(all[k].path, all[i].path) != 0)
            continue;
        if (!first)
            buf_add_char(b, ',');
        add_operation(b, &all[k]);
        first = false;
    }
    buf_add_char(b, '}');
}

block_t *openapi_make(void) {
    size_t n;
    const route_t *all = routes_all(&n);
    const asset_t *schemas = asset_find("schema/openapi_schemas.json");
    buf_t b = {0};
    buf_add_text(
        &b, "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"parley\",\"version\":\"" PARLEY_VERSION
            "\"},\"paths\":{");
    for (size_t i = 0; i < n; i++)
        if (all[i].row != 0 && !seen_before(all, i))
            add_path(&b, all, n, i);
    buf_add_text(&b, "},\"components\":{\"securitySchemes\":{\"bearer\":{\"type\":\"http\","
                     "\"scheme\":\"bearer\","
                     "\"bearerFormat\":\"JWT\"}},\"schemas\":");
    buf_add_slice(&b, schemas ? schemas->bytes : SLICE("{}"));
    buf_add_text(&b, "}}");
    return block_from_buf(&b);
}
