/* /openapi.json says what the route table says (PROTOCOL.md row 60). */
#include "actors/edge.h"
#include "base/err.h"
#include "spec/spec.h"

static json_doc_t *doc;
static char *text;

static void open_description(void) {
    block_t *b = openapi_make();
    free(text);
    text = malloc(b->len + 1);
    memcpy(text, b->data, b->len);
    if (!doc)
        doc = json_doc_new();
    if (json_parse(doc, text, b->len) != ERR_OK)
        printf("no JSON\n");
    block_unref(b);
}

static json_at_t operation(const route_t *r) {
    static const char *const verb[] = {"get", "head", "post", "put", "delete"};
    json_at_t path = json_get(doc, json_get(doc, JSON_ROOT, "paths"), r->path);
    return json_get(doc, path, verb[r->method]);
}

static bool schema_known(slice_t ref) {
    static const char at[] = "#/components/schemas/";
    char name[64];
    json_at_t schemas = json_get(doc, json_get(doc, JSON_ROOT, "components"), "schemas");
    if (ref.len < sizeof at || ref.len >= sizeof at + sizeof name ||
        memcmp(ref.at, at, sizeof at - 1) != 0)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(ref.len - sizeof at + 1), ref.at + sizeof at - 1);
    return json_get(doc, schemas, name) != 0;
}

/* How many $ref below a node lead nowhere; *seen counts all. */
static int lost_refs(json_at_t at, int *seen) {
    int lost = 0;
    for (json_at_t n = json_first(doc, at); n; n = json_next(doc, n)) {
        slice_t ref;
        if (json_type(doc, at) == JSON_OBJECT && slice_eq(json_key(doc, n), SLICE("$ref")) &&
            json_string(doc, n, &ref)) {
            ++*seen;
            lost += !schema_known(ref);
        }
        if (json_type(doc, n) == JSON_OBJECT || json_type(doc, n) == JSON_ARRAY)
            lost += lost_refs(n, seen);
    }
    return lost;
}

SPEC("describes every row of the table and nothing else") {
    size_t n, rows = 0, described = 0;
    const route_t *all = routes_all(&n);
    open_description();
    for (size_t i = 0; i < n; i++) {
        if (all[i].row == 0)
            continue;
        rows++;
        CHECK(operation(&all[i]) != 0);
    }
    json_at_t paths = json_get(doc, JSON_ROOT, "paths");
    for (json_at_t p = json_first(doc, paths); p; p = json_next(doc, p))
        described += json_count(doc, p);
    CHECK_INT(described, rows);
}

SPEC("names only schemas that it holds") {
    int seen = 0;
    open_description();
    CHECK_INT(lost_refs(JSON_ROOT, &seen), 0);
    CHECK(seen > 100);
}

SPEC("asks for the bearer exactly where a token is needed") {
    size_t n;
    const route_t *all = routes_all(&n);
    open_description();
    for (size_t i = 0; i < n; i++)
        if (all[i].row)
            CHECK_INT(json_get(doc, operation(&all[i]), "security") != 0,
                      all[i].auth == AUTH_TOKEN);
}

SPEC("lists each route's own errors under their status") {
    size_t n;
    slice_t s;
    const route_t *all = routes_all(&n);
    open_description();
    for (size_t i = 0; i < n; i++) {
        if (all[i].row != 2)
            continue;
        json_at_t answers = json_get(doc, operation(&all[i]), "responses");
        CHECK(json_string(doc, json_get(doc, json_get(doc, answers, "400"), "description"), &s));
        CHECK_TEXT(s.at, s.len, "invalid_credentials");
        CHECK(json_string(doc, json_get(doc, json_get(doc, answers, "403"), "description"), &s));
        CHECK_TEXT(s.at, s.len, "user_disabled");
        CHECK(json_get(doc, answers, "default"));
    }
}

SPEC("knows every error code of the table") {
    size_t n;
    const route_t *all = routes_all(&n);
    for (size_t i = 0; i < n; i++) {
        char room[256], *rest = room, *word;
        snprintf(room, sizeof room, "%s", all[i].errors ? all[i].errors : "");
        while ((word = strsep(&rest, " ")))
            CHECK(*word == 0 || err_by_name(word) != ERR_INTERNAL);
    }
}

SPEC_MAIN
