/* conn_http: a request from its head to its handler, in the order of PROTOCOL.md section 2: path,
 * method, guard, address limit, token, user limit, ids, body, then the row's own rules. Inside the
 * connection's actor. */
#include "actors/chat.h"
#include "actors/edge.h"
#include "base/hash.h"
#include "base/text.h"
#include "sched/trace.h"
#include <stdio.h>
#include <strings.h>

#define BODY_MAX       (1024 * 1024)
#define PATH_MAX_BYTES 4096

/* --- the call --- */

static bool request_id_ok(slice_t s) {
    if (s.len < 1 || s.len > 64)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static void copy_text(char *to, size_t size, slice_t s) {
    size_t len = s.len < size - 1 ? s.len : size - 1;
    memcpy(to, s.at, len);
    to[len] = 0;
}

static void make_id(char *to, uint64_t number) {
    memcpy(to, "r-", 2);
    for (int i = 0; i < 16; i++)
        to[2 + i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    to[18] = 0;
}

static char *copy_query(slice_t s) {
    if (s.len == 0)
        return NULL;
    char *text = pool_alloc(s.len + 1);
    memcpy(text, s.at, s.len);
    text[s.len] = 0;
    return text;
}

static slice_t listed_origin(const conf_t *conf, slice_t origin) {
    for (size_t i = 0; i < conf_list_count(conf, "http.cors_origins"); i++) {
        slice_t one = conf_list(conf, "http.cors_origins", i);
        if (slice_eq(one, origin))
            return one;
    }
    return (slice_t){NULL, 0};
}

static http_call_t *open_call(conn_t *c, const http_request_t *req) {
    edge_t *e = edge_at(c)->edge;
    http_call_t *call = pool_zalloc(sizeof *call);
    slice_t id = http_header(req, "x-request-id"), etag = http_header(req, "if-none-match");
    call->serial = ++c->serials;
    call->started_ns = actor_now_ns(c->self);
    call->began_ns = net_request_ns(c->net);
    call->method = (uint8_t)req->method;
    call->head = req->method == HTTP_HEAD;
    if (request_id_ok(id))
        copy_text(call->request_id, sizeof call->request_id, id);
    else
        make_id(call->request_id, actor_random(c->self));
    if (etag.len < sizeof call->if_none_match && etag.len)
        copy_text(call->if_none_match, sizeof call->if_none_match, etag);
    call->cors = listed_origin(e->conf, http_header(req, "origin"));
    call->query = copy_query(req->query);
    http_client_address(c, req, &call->address);
    return call;
}

/* --- path and method --- */

/* The path decoded; NULL at: none of ours (bad escapes, an escaped '/', too long). */
static slice_t plain_path(slice_t path, char *room, size_t size) {
    slice_t out = {NULL, 0};
    if (!memchr(path.at, '%', path.len))
        return path;
    if (path.len > size || http_percent_decode(path, room, size, &out) != ERR_OK)
        return (slice_t){NULL, 0};
    size_t before = 0, after = 0;
    for (size_t i = 0; i < path.len; i++)
        before += path.at[i] == '/';
    for (size_t i = 0; i < out.len; i++)
        after += out.at[i] == '/';
    return before == after && text_utf8_valid(out.at, out.len) && !memchr(out.at, 0, out.len)
               ? out
               : (slice_t){NULL, 0};
}

static void preflight(conn_t *c) {
    http_answer(
        c, 204, NULL,
        "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE\r\n"
        "Access-Control-Allow-Headers: Authorization, Content-Type, X-Device-Id, X-Request-Id\r\n"
        "Access-Control-Max-Age: 600\r\n",
        NULL);
}

static void no_route(conn_t *c, const http_request_t *req, slice_t path, const route_match_t *m) {
    bool below_debug =
        path.len >= 6 && memcmp(path.at, "/debug", 6) == 0 && (path.len == 6 || path.at[6] == '/');
    if (req->method == HTTP_OPTIONS && c->http->cors.len) {
        preflight(c);
    } else if (m->known) {
        char line[96];
        if (below_debug && !http_guard_open(edge_at(c)->edge, c, req)) {
            conn_http_error(c, ERR_FORBIDDEN, NULL, 0);
            return;
        }
        snprintf(line, sizeof line, "Allow: %s\r\n", m->allow);
        http_error_headers(c, ERR_METHOD_NOT_ALLOWED, NULL, 0, line);
    } else if (c->listener == LISTEN_HTTP &&
               (req->method == HTTP_GET || req->method == HTTP_HEAD) && !routes_reserved(path)) {
        static_answer(c, req, path);
    } else {
        conn_http_error(c, ERR_NOT_FOUND, NULL, 0);
    }
}

/* --- guard, limits, token --- */

static bool within_limit(conn_t *c, limit_kind_t kind, uint64_t key, conf_rate_t rate) {
    uint32_t wait = limit_take(edge_at(c)->edge->limits, kind, key, rate, actor_now_ns(c->self));
    if (wait == 0)
        return true;
    conn_http_error(c, ERR_RATE_LIMITED, NULL, wait);
    return false;
}

static bool address_free(conn_t *c) {
    edge_t *e = edge_at(c)->edge;
    const route_t *r = c->http->route;
    uint64_t key = net_addr_hash(&c->http->address);
    if (r && (r->flags & ROUTE_FREE))
        return true;
    if (!within_limit(c, LIMIT_ADDR, key, e->http_addr))
        return false;
    return !r || !(r->flags & ROUTE_LOGIN) || within_limit(c, LIMIT_AUTH, key, e->auth_addr);
}

static bool authorized(conn_t *c, const http_request_t *req) {
    http_call_t *call = c->http;
    token_claims_t claims;
    slice_t token;
    if (call->route->auth != AUTH_TOKEN)
        return true;
    int err = http_bearer(req, &token);
    if (err != ERR_OK || !token.at) {
        conn_http_error(c, ERR_UNAUTHORIZED,
                        err ? "invalid authorization format" : "missing authorization header", 0);
        return false;
    }
    err = edge_token(edge_at(c), token, actor_wall_ms(c->self), &claims);
    if (err == ERR_OK && denied_has(edge_at(c)->edge->disabled, claims.user))
        err = ERR_USER_DISABLED;
    if (err != ERR_OK) {
        conn_http_error(c, err, NULL, 0);
        return false;
    }
    call->user = claims.user;
    trace_mark(c->self, KIND_INBOX, (uint64_t)claims.user);
    call->fam = claims.fam;
    memcpy(call->device, claims.did, sizeof call->device);
    return within_limit(c, LIMIT_USER, (uint64_t)call->user, edge_at(c)->edge->http_user);
}

/* --- ids and body --- */

static bool ids_ok(conn_t *c, const route_match_t *m) {
    http_call_t *call = c->http;
    for (int i = 0; i < ROUTE_IDS && m->ids[i].at; i++)
        if (!text_to_int(m->ids[i], &call->path_id[i]) || call->path_id[i] < 1) {
            conn_http_error(c, ERR_BAD_REQUEST, call->route->id_text[i], 0);
            return false;
        }
    return true;
}

static bool takes_body(const http_call_t *call) {
    return call->method == HTTP_POST || call->method == HTTP_PUT;
}

static int nothing(void *arg, slice_t name, slice_t value) {
    (void)arg, (void)name, (void)value;
    return ERR_OK;
}

static bool query_ok(conn_t *c) {
    http_call_t *call = c->http;
    if (!call->query)
        return true;
    size_t size = strlen(call->query) + 1;
    char *room = pool_alloc(size);
    int err = http_query_each(slice_of(call->query), room, size, nothing, NULL);
    pool_free(room, size);
    if (err != ERR_OK)
        conn_http_error(c, ERR_BAD_REQUEST, NULL, 0);
    return err == ERR_OK;
}

static bool body_ok(conn_t *c, const http_request_t *req) {
    slice_t coding = http_header(req, "content-encoding");
    if (!takes_body(c->http))
        return true;
    if (coding.len && !(coding.len == 8 && strncasecmp(coding.at, "identity", 8) == 0)) {
        conn_http_error(c, ERR_UNSUPPORTED_TYPE, NULL, 0);
        return false;
    }
    if (req->content_length > BODY_MAX) {
        c->http->close = true;
        conn_http_error(c, ERR_TOO_LARGE, "request too large", 0);
        return false;
    }
    return true;
}

static void device_of_header(conn_t *c, const http_request_t *req) {
    slice_t s = http_header(req, "x-device-id");
    if (edge_device_ok(s)) {
        copy_text(c->http->device, sizeof c->http->device, s);
        c->http->device_named = true;
    }
}

/* What its head took counts too. */
static void arm_deadline(conn_t *c) {
    http_call_t *call = c->http;
    if (!call || call->timer)
        return;
    uint64_t now = actor_now_ns(c->self), began = call->began_ns < now ? call->began_ns : now;
    uint64_t spent = (now - began) / 1000000, limit = edge_at(c)->edge->deadline_ms;
    call->timer =
        actor_after(c->self, spent < limit ? limit - spent : 1, VERB_DEADLINE, call->serial);
}

static void run_now(conn_t *c, const http_request_t *req, slice_t path) {
    uint8_t run = c->http->route->run;
    c->http->handled = true;
    if (run == RUN_SOCKET)
        ws_handshake(c, req);
    else if (run == RUN_ECHO)
        ws_echo(c, req);
    else if (run == RUN_SWAGGER)
        static_answer(c, req, SLICE("/swagger.html"));
    else
        ops_answer(c, run, path);
    arm_deadline(c);
}

/* Routes that need nothing but the head. */
static bool is_head_only(const route_t *r) {
    return r->run >= RUN_HEALTH;
}

static bool route_on(const edge_t *e, const conn_t *c, const route_t *r) {
    return !(r->run == RUN_ECHO && !e->echo) &&
           !(r->run == RUN_SOCKET && c->listener == LISTEN_HTTP && !e->http_ws);
}

void http_request(conn_t *c, const http_request_t *req) {
    edge_t *e = edge_at(c)->edge;
    char room[PATH_MAX_BYTES];
    route_match_t m = {0};
    http_drop(c);
    c->http = open_call(c, req);
    slice_t path = plain_path(req->path, room, sizeof room);
    if (!path.at) {
        conn_http_error(c, ERR_NOT_FOUND, NULL, 0);
        return;
    }
    routes_match(c->listener, req->method, path, &m);
    if (m.route && !route_on(e, c, m.route))
        m = (route_match_t){0};
    c->http->route = m.route;
    if (!m.route) {
        if (address_free(c))
            no_route(c, req, path, &m);
        return;
    }
    if (m.route->auth == AUTH_GUARD && !http_guard_open(e, c, req)) {
        conn_http_error(c, ERR_FORBIDDEN, NULL, 0);
        return;
    }
    if (m.route->auth == AUTH_LINK && !file_link_ok(c, m.ids[0]))
        return;
    if (!address_free(c))
        return;
    if (m.route->auth == AUTH_LINK) {
        file_head(c, req);
        return;
    }
    if (is_head_only(m.route)) {
        run_now(c, req, path);
        return;
    }
    if (!authorized(c, req) || !ids_ok(c, &m) || !query_ok(c) || !body_ok(c, req))
        return;
    device_of_header(c, req);
    if (req->content_length > 0 || req->chunked)
        arm_deadline(c);
}

/* --- the body and the handler --- */

static void run(conn_t *c) {
    http_call_t *call = c->http;
    uint32_t serial = call->serial;
    call->handled = true;
    switch (call->route->run) {
    case RUN_SEND:
        lua_device_of_body(c);
        chat_http_send(c);
        break;
    case RUN_HISTORY:
        chat_http_history(c);
        break;
    case RUN_MESSAGE:
        chat_http_message(c);
        break;
    case RUN_READ:
        lua_device_of_body(c);
        chat_http_read(c);
        break;
    case RUN_RECALL:
        lua_device_of_body(c);
        chat_http_recall(c);
        break;
    case RUN_PRESENCE:
        presence_http(c);
        break;
    case RUN_COMPLETE:
        lua_device_of_body(c);
        chat_http_complete(c);
        break;
    case RUN_FILE:
        file_redirect(c);
        break;
    default:
        lua_call(c);
    }
    if (conn_http_waits(c, serial))
        arm_deadline(c);
}

/* Bodies of all connections together have a bound (http.bodies); http_drop gives back. Relaxed:
 * only a sum. */
static bool body_fits(conn_t *c, size_t len) {
    edge_t *e = edge_at(c)->edge;
    uint64_t before = atomic_fetch_add_explicit(&e->body_bytes, len, memory_order_relaxed);
    if (before + len > e->bodies_max) {
        atomic_fetch_sub_explicit(&e->body_bytes, len, memory_order_relaxed);
        return false;
    }
    stat_add(STAT_HTTP_BODY_BYTES, (int64_t)len);
    return true;
}

void http_body(conn_t *c, slice_t bytes, bool last) {
    http_call_t *call = c->http;
    if (!call || call->handled)
        return; /* answered by its head */
    if (call->file) {
        file_body(c, bytes, last);
        return;
    }
    if (takes_body(call) && bytes.len) {
        if (call->body.len + bytes.len > BODY_MAX) {
            call->close = true;
            conn_http_error(c, ERR_TOO_LARGE, "request too large", 0);
            return;
        }
        if (!body_fits(c, bytes.len)) {
            call->close = true;
            conn_http_error(c, ERR_BUSY, NULL, 0);
            return;
        }
        buf_add(&call->body, bytes.at, bytes.len);
    }
    if (last)
        run(c);
}

void http_deadline(conn_t *c, uint32_t serial) {
    if (!conn_http_waits(c, serial))
        return;
    c->http->timer = 0;
    if (!c->http->handled)
        c->http->close = true; /* the rest of the body is not waited for */
    conn_http_error(c, ERR_TIMEOUT, NULL, 0);
}

/* --- for handlers --- */

json_doc_t *conn_doc(conn_t *c) {
    return edge_at(c)->doc;
}

typedef struct find {
    const char *name;
    char *room;
    size_t size;
    slice_t found;
} find_t;

static int find_last(void *arg, slice_t name, slice_t value) {
    find_t *f = arg;
    if (!slice_eq(name, slice_of(f->name)))
        return ERR_OK;
    /* what does not fit is no value that any handler takes: cut, it is refused as well */
    size_t len = value.len < f->size ? value.len : f->size - 1;
    memcpy(f->room, value.at, len);
    f->found = (slice_t){f->room, len};
    return ERR_OK;
}

bool conn_query(conn_t *c, const char *name, char *room, size_t size, slice_t *out) {
    http_call_t *call = c->http;
    find_t f = {name, room, size, {NULL, 0}};
    *out = (slice_t){NULL, 0};
    if (!call || !call->query)
        return false;
    size_t scratch_size = strlen(call->query) + 1;
    char *scratch = pool_alloc(scratch_size);
    http_query_each(slice_of(call->query), scratch, scratch_size, find_last, &f);
    pool_free(scratch, scratch_size);
    *out = f.found;
    return f.found.len > 0;
}
