/* conn_lua: routes whose rules are Lua: the request becomes one run of JSON, the key that
 * serialises it is taken from the row, and what the service returns becomes the answer. Inside the
 * connection's actor. */
#include "actors/chat.h"
#include "actors/edge.h"
#include "base/hash.h"
#include "base/text.h"
#include <stdio.h>

/* Parses a copy of the body strictly, once: ERR_OK with the document in w->aside and its bytes in
 * *copy. An empty body is {}. */
static int parse_copy(conn_t *c, buf_t *copy) {
    edge_worker_t *w = edge_at(c);
    const buf_t *body = &c->http->body;
    if (body->len == 0)
        buf_add(copy, "{}", 2);
    else
        buf_add(copy, body->at, body->len);
    if (json_parse(w->aside, copy->at, copy->len) != ERR_OK ||
        json_type(w->aside, JSON_ROOT) != JSON_OBJECT)
        return ERR_BAD_REQUEST;
    return ERR_OK;
}

static void take_device(conn_t *c, const json_doc_t *doc) {
    slice_t s;
    http_call_t *call = c->http;
    if (call->device_named || !json_string(doc, json_get(doc, JSON_ROOT, "device_id"), &s) ||
        !edge_device_ok(s))
        return;
    memcpy(call->device, s.at, s.len);
    call->device[s.len] = 0;
}

void lua_device_of_body(conn_t *c) {
    static const char key[] = "\"device_id\"";
    const buf_t *body = &c->http->body;
    buf_t copy = {0};
    if (c->http->device_named || !body->len || !memmem(body->at, body->len, key, sizeof key - 1))
        return;
    if (parse_copy(c, &copy) == ERR_OK)
        take_device(c, edge_at(c)->aside);
    buf_free(&copy);
}

/* --- the key --- */

static uint64_t pair_key(int64_t a, int64_t b) {
    int64_t low = a < b ? a : b, high = a < b ? b : a;
    return hash_u64(hash_u64((uint64_t)low) ^ (uint64_t)high);
}

static uint64_t name_key(const json_doc_t *doc) {
    char folded[64];
    slice_t s;
    if (!json_string(doc, json_get(doc, JSON_ROOT, "username"), &s) || s.len > sizeof folded)
        return 0;
    for (size_t i = 0; i < s.len; i++)
        folded[i] = (char)(s.at[i] >= 'A' && s.at[i] <= 'Z' ? s.at[i] + 32 : s.at[i]);
    return hash_bytes(folded, s.len);
}

/* With or without its '+'. */
static uint64_t phone_key(const json_doc_t *doc) {
    slice_t s;
    if (!json_string(doc, json_get(doc, JSON_ROOT, "phone"), &s))
        return 0;
    if (s.len && s.at[0] == '+')
        s.at++, s.len--;
    return hash_bytes(s.at, s.len);
}

static uint64_t body_pair(conn_t *c, const json_doc_t *doc, const char *key) {
    int64_t peer = 0;
    json_int(doc, json_get(doc, JSON_ROOT, key), &peer);
    return pair_key(c->http->user, peer);
}

/* A single chat is made once per pair; groups are no business of others. */
static uint64_t new_key(conn_t *c, const json_doc_t *doc) {
    int64_t type = 0, peer;
    json_int(doc, json_get(doc, JSON_ROOT, "type"), &type);
    json_at_t ids = json_get(doc, JSON_ROOT, "member_ids");
    if (type == 1 && json_type(doc, ids) == JSON_ARRAY)
        for (json_at_t at = json_first(doc, ids); at; at = json_next(doc, at))
            if (json_int(doc, at, &peer) && peer != c->http->user)
                return pair_key(c->http->user, peer);
    return (uint64_t)c->http->user;
}

/* The login of a refresh token; what is no token has no login to serialise. */
static uint64_t login_key(conn_t *c, json_doc_t *doc) {
    slice_t s;
    token_claims_t claims;
    if (!json_string(doc, json_get(doc, JSON_ROOT, "refresh_token"), &s))
        return 0;
    token_read(&edge_at(c)->edge->tokens, doc, s, TOKEN_REFRESH, actor_wall_ms(c->self) / 1000,
               &claims);
    return (uint64_t)claims.fam;
}

/* Whatever has no file ends at the rules soon. Hashed: an id is no other's key. */
static uint64_t file_key(conn_t *c, const json_doc_t *doc) {
    int64_t id = c->http->path_id[0];
    slice_t path;
    if (!id && !json_int(doc, json_get(doc, JSON_ROOT, "file_id"), &id) &&
        json_string(doc, json_get(doc, JSON_ROOT, "object_key"), &path))
        id = link_file(path);
    return hash_u64((uint64_t)id);
}

/* Last use of the document: KEY_LOGIN parses over it. */
static uint64_t key_of(conn_t *c, json_doc_t *doc) {
    switch (c->http->route->key) {
    case KEY_NAME:
        return name_key(doc);
    case KEY_PHONE:
        return phone_key(doc);
    case KEY_LOGIN:
        return login_key(c, doc);
    case KEY_PAIR_TARGET:
        return body_pair(c, doc, "target_user_id");
    case KEY_PAIR_USER:
        return body_pair(c, doc, "user_id");
    case KEY_PAIR_PATH:
        return pair_key(c->http->user, c->http->path_id[0]);
    case KEY_CONVERSATION:
        return (uint64_t)c->http->path_id[0];
    case KEY_FILE:
        return file_key(c, doc);
    case KEY_NEW:
        return new_key(c, doc);
    default:
        return (uint64_t)c->http->user;
    }
}

/* --- the request as JSON --- */

/* Each parameter as it comes: of a repeated one the last counts, in JSON as in queries. */
static int add_param(void *arg, slice_t name, slice_t value) {
    buf_t *out = arg;
    if (value.len == 0)
        return ERR_OK;
    if (out->at[out->len - 1] != '{')
        buf_add_char(out, ',');
    json_add_string(out, name);
    buf_add_char(out, ':');
    json_add_string(out, value);
    return ERR_OK;
}

static void add_query(conn_t *c, buf_t *out) {
    const char *query = c->http->query;
    json_add_key(out, "query");
    buf_add_char(out, '{');
    if (query) {
        size_t size = strlen(query) + 1;
        char *room = pool_alloc(size);
        http_query_each(slice_of(query), room, size, add_param, out);
        pool_free(room, size);
    }
    buf_add_char(out, '}');
}

static void add_ids(const http_call_t *call, buf_t *out) {
    json_add_key(out, "id");
    buf_add_char(out, '[');
    for (int i = 0; i < ROUTE_IDS && call->path_id[i]; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_int(out, call->path_id[i]);
    }
    buf_add_char(out, ']');
}

static block_t *request_json(conn_t *c, slice_t body_device) {
    http_call_t *call = c->http;
    char address[64], owner[64];
    net_addr_t network;
    buf_t out = {0};
    net_addr_text(&call->address, address);
    net_addr_owner(&call->address, &network);
    net_addr_text(&network, owner);
    buf_add_char(&out, '{');
    json_add_int(&out, "user", call->user);
    json_add_int(&out, "fam", call->fam);
    json_add_text(&out, "device", slice_of(call->device));
    if (body_device.at)
        json_add_text(&out, "body_device", body_device);
    json_add_text(&out, "address", slice_of(address));
    json_add_text(&out, "network", slice_of(owner));
    add_ids(call, &out);
    add_query(c, &out);
    json_add_key(&out, "body");
    buf_add_slice(&out, call->body.len ? buf_slice(&call->body) : SLICE("{}"));
    buf_add_char(&out, '}');
    return block_from_buf(&out);
}

void lua_call(conn_t *c) {
    edge_worker_t *w = edge_at(c);
    http_call_t *call = c->http;
    size_t n;
    buf_t copy = {0};
    slice_t body_device = {NULL, 0};
    if (parse_copy(c, &copy) != ERR_OK) {
        buf_free(&copy);
        conn_http_error(c, ERR_BAD_REQUEST, NULL, 0);
        return;
    }
    take_device(c, w->aside);
    json_string(w->aside, json_get(w->aside, JSON_ROOT, "device_id"), &body_device);
    block_t *json = request_json(c, body_device);
    uint64_t key = key_of(c, w->aside);
    buf_free(&copy);
    int service = w->edge->service[call->route - routes_all(&n)];
    script_call(w->edge->script, c->self, service, call->route->verb, key, json,
                w->edge->deadline_ms, VERB_LUA, call->serial);
}

/* --- the answer --- */

static void add_envelope(buf_t *out, slice_t members) {
    bool empty = members.len < 3 || members.at[0] != '{';
    buf_add_text(out, "{\"code\":0,\"message\":\"success\",");
    if (empty || !memmem(members.at, members.len, "\"data\":", 7))
        buf_add_text(out, empty ? "\"data\":{}}" : "\"data\":{},");
    if (!empty)
        buf_add(out, members.at + 1, members.len - 1);
}

static void answer_tagged(conn_t *c, buf_t *out) {
    char tag[24], head[96];
    snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)hash_bytes(out->at, out->len));
    snprintf(head, sizeof head, "Cache-Control: private, no-cache\r\nETag: %s\r\n", tag);
    if (strstr(c->http->if_none_match, tag)) {
        buf_free(out);
        http_answer(c, 304, NULL, head, NULL);
        return;
    }
    http_answer(c, 200, "application/json; charset=utf-8", head, block_from_buf(out));
}

static void answer_ok(conn_t *c, slice_t json) {
    uint8_t flags = c->http->route->flags;
    buf_t out = {0};
    if (flags & ROUTE_BARE)
        buf_add_slice(&out, json);
    else
        add_envelope(&out, json);
    if (flags & ROUTE_ETAG)
        answer_tagged(c, &out);
    else
        http_answer(c, 200, "application/json; charset=utf-8", "", block_from_buf(&out));
}

/* The service's own text and waiting time; err gives status and symbol. */
static void answer_error(conn_t *c, int err, block_t *body) {
    json_doc_t *doc = edge_at(c)->aside;
    char text[200];
    int64_t wait = 0;
    slice_t s = {NULL, 0};
    buf_t copy = {0}; /* a block is shared: it is not parsed in place */
    if (body)
        buf_add(&copy, body->data, body->len);
    if (body && json_parse(doc, copy.at, copy.len) == ERR_OK) {
        json_string(doc, json_get(doc, JSON_ROOT, "error"), &s);
        json_int(doc, json_get(doc, JSON_ROOT, "retry_after_ms"), &wait);
    }
    snprintf(text, sizeof text, "%.*s", (int)s.len, s.at ? s.at : "");
    if (s.len >= sizeof text)
        s.len = 0;
    buf_free(&copy);
    conn_http_error(c, err, s.len ? text : NULL, (uint32_t)wait);
}

void lua_answer(conn_t *c, msg_t *m) {
    slice_t json = m->body ? (slice_t){m->body->data, m->body->len} : (slice_t){NULL, 0};
    if (!conn_http_waits(c, (uint32_t)m->cookie))
        return;
    stat_add(STAT_LOGIN_FAILURES, m->err == ERR_INVALID_CREDENTIALS);
    if (m->err != ERR_OK)
        answer_error(c, m->err, m->body);
    else if (c->http->route->run == RUN_COMPLETE)
        chat_http_completed(c, json);
    else
        answer_ok(c, json);
}
