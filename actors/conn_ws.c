/* conn_ws: from GET /ws to the welcome (PROTOCOL.md section 7.1): the refusals in their order, the
 * question to the user's inbox whether one more device may come in, the upgrade, the first frame.
 * Inside the connection's actor. */
#include "actors/chat.h"
#include "actors/edge.h"
#include "actors/hub.h"
#include "base/text.h"
#include <stdio.h>
#include <strings.h>

/* A handshake between its acceptance here and the inbox's answer. */
struct ws_opening {
    int64_t user, fam, exp_ms;
    bool bearer, replay, by_token;
    char accept[32];
    char device[65], platform[17];
    block_t *name; /* the device's, once the inbox is asked */
};

void ws_opening_free(struct ws_opening *o) {
    if (o)
        block_unref(o->name);
    pool_free(o, sizeof *o);
}

int64_t ws_opening_user(const struct ws_opening *o) {
    return o->user;
}

static void refuse(conn_t *c, int err, const char *text, uint32_t wait_ms) {
    static const struct {
        int status;
        enum stat_id id;
    } kinds[] = {{400, STAT_HANDSHAKE_BAD_REQUEST},  {426, STAT_HANDSHAKE_BAD_REQUEST},
                 {401, STAT_HANDSHAKE_UNAUTHORIZED}, {403, STAT_HANDSHAKE_FORBIDDEN},
                 {429, STAT_HANDSHAKE_RATE_LIMITED}, {503, STAT_HANDSHAKE_BUSY}};
    enum stat_id id = STAT_HANDSHAKE_ERROR;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].status == err_status(err))
            id = kinds[i].id;
    stat_add(id, 1);
    conn_http_error(c, err, text, wait_ms);
}

/* --- the request --- */

/* 0, or the error that says what it lacks to be a WebSocket request. */
/* 16 bytes in base64 (RFC 6455 section 4.1): 22 digits and two fills. */
static bool key_ok(const http_request_t *req, slice_t key) {
    if (key.len != 24 || http_header_count(req, "sec-websocket-key") != 1)
        return false;
    for (int i = 0; i < 22; i++) {
        char ch = key.at[i], low = (char)(ch | 0x20);
        if (!((low >= 'a' && low <= 'z') || (ch >= '0' && ch <= '9') || ch == '+' || ch == '/'))
            return false;
    }
    return key.at[22] == '=' && key.at[23] == '=';
}

static int socket_request(const http_request_t *req, slice_t *key) {
    slice_t version = http_header(req, "sec-websocket-version");
    *key = http_header(req, "sec-websocket-key");
    if (req->method != HTTP_GET || !req->upgrade_websocket || !version.len ||
        req->content_length > 0 || req->chunked)
        return ERR_BAD_REQUEST;
    if (!slice_eq(version, SLICE("13")))
        return ERR_UPGRADE_REQUIRED;
    return key_ok(req, *key) ? ERR_OK : ERR_BAD_REQUEST;
}

static void accept_key(slice_t key, char out[32]) {
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[64];
    uint8_t sha[21] = {0};
    memcpy(text, key.at, 24);
    memcpy(text + 24, magic, sizeof magic - 1);
    crypt_sha1((slice_t){text, 24 + sizeof magic - 1}, sha);
    for (int i = 0, o = 0; i < 21; i += 3, o += 4) {
        uint32_t v = (uint32_t)sha[i] << 16 | (uint32_t)sha[i + 1] << 8 | sha[i + 2];
        for (int k = 0; k < 4; k++)
            out[o + k] = digits[v >> (18 - 6 * k) & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

/* What the query says, read in one pass: decoding is a good part of a handshake. Of a name that
 * comes twice the last value counts. */
enum { ASK_DEVICE, ASK_PLATFORM, ASK_REPLAY, ASK_USER, ASK_TOKEN, ASKS };
typedef struct asked {
    slice_t of[ASKS]; /* {NULL,0}: absent or empty */
    char text[ASK_TOKEN][72], token[TOKEN_MAX + 1];
} asked_t;

static int note_value(void *arg, slice_t name, slice_t value) {
    static const char *const names[ASKS] = {"device_id", "platform", "replay", "user_id", "token"};
    asked_t *a = arg;
    int i = 0;
    while (i < ASKS && !slice_eq(name, slice_of(names[i])))
        i++;
    if (i == ASKS)
        return ERR_OK;
    char *room = i == ASK_TOKEN ? a->token : a->text[i];
    size_t size = i == ASK_TOKEN ? sizeof a->token : sizeof a->text[i];
    /* cut, what does not fit is refused as well: no value is as long as its room */
    size_t len = value.len < size ? value.len : size;
    memcpy(room, value.at, len);
    a->of[i] = len ? (slice_t){room, len} : (slice_t){NULL, 0};
    return ERR_OK;
}

static int read_query(slice_t query, asked_t *a) {
    size_t size = query.len + 1;
    char *room = pool_alloc(size);
    memset(a->of, 0, sizeof a->of);
    int err = http_query_each(query, room, size, note_value, a);
    pool_free(room, size);
    return err;
}

static void keep_text(char *to, slice_t s) {
    memcpy(to, s.at, s.len);
    to[s.len] = 0;
}

static int parameters(struct ws_opening *o, const asked_t *a, const edge_t *e) {
    slice_t device = a->of[ASK_DEVICE], platform = a->of[ASK_PLATFORM], replay = a->of[ASK_REPLAY];
    if (!platform.len)
        platform = SLICE("web");
    if ((device.len && !edge_device_ok(device)) || !edge_platform_ok(platform))
        return ERR_BAD_REQUEST;
    if (device.len)
        keep_text(o->device, device);
    keep_text(o->platform, platform);
    o->replay = e->open_mode;
    if (!replay.len)
        return ERR_OK;
    o->replay = replay.at[0] == '1';
    return replay.len == 1 && (replay.at[0] == '0' || replay.at[0] == '1') ? ERR_OK
                                                                           : ERR_BAD_REQUEST;
}

/* --- the credential --- */

static slice_t next_offer(slice_t *list) {
    const char *comma = list->len ? memchr(list->at, ',', list->len) : NULL;
    slice_t one = {list->at, comma ? (size_t)(comma - list->at) : list->len};
    list->at += comma ? one.len + 1 : one.len;
    list->len -= comma ? one.len + 1 : one.len;
    while (one.len && (one.at[0] == ' ' || one.at[0] == '\t'))
        one.at++, one.len--;
    while (one.len && (one.at[one.len - 1] == ' ' || one.at[one.len - 1] == '\t'))
        one.len--;
    return one;
}

/* "bearer, <jwt>" and nothing else. */
static slice_t offered_token(const http_request_t *req) {
    slice_t list = http_header(req, "sec-websocket-protocol"), none = {NULL, 0};
    if (http_header_count(req, "sec-websocket-protocol") != 1)
        return none;
    slice_t word = next_offer(&list), token = next_offer(&list);
    return slice_eq(word, SLICE("bearer")) && token.len && list.len == 0 ? token : none;
}

/* The one token of the request; {NULL,0}: none; two that differ or a bad header:
 * ERR_UNAUTHORIZED. */
static int find_token(const http_request_t *req, slice_t by_query, slice_t *out, bool *bearer) {
    slice_t by_header, by_offer = offered_token(req);
    if (http_bearer(req, &by_header) != ERR_OK)
        return ERR_UNAUTHORIZED;
    slice_t all[3] = {by_query, by_header, by_offer};
    *out = (slice_t){NULL, 0};
    for (int i = 0; i < 3; i++) {
        if (!all[i].len)
            continue;
        if (out->len && !slice_eq(*out, all[i]))
            return ERR_UNAUTHORIZED;
        *out = all[i];
    }
    *bearer = by_offer.len > 0;
    return ERR_OK;
}

static int by_token(conn_t *c, slice_t token, struct ws_opening *o) {
    token_claims_t claims;
    int err = edge_token(edge_at(c), token, actor_wall_ms(c->self), &claims);
    if (err != ERR_OK)
        return err;
    o->by_token = true;
    o->user = claims.user;
    o->fam = claims.fam;
    o->exp_ms = claims.exp_s * 1000;
    if (!o->device[0])
        memcpy(o->device, claims.did, sizeof o->device);
    return ERR_OK;
}

static int credential(conn_t *c, const http_request_t *req, const asked_t *a,
                      struct ws_opening *o) {
    edge_t *e = edge_at(c)->edge;
    slice_t token, id = a->of[ASK_USER];
    int64_t user = 0;
    int err = find_token(req, a->of[ASK_TOKEN], &token, &o->bearer);
    bool named = id.len > 0;
    if (err != ERR_OK)
        return err;
    bool number = named && text_to_int(id, &user) && user > 0;
    if (token.len) {
        err = by_token(c, token, o);
        if (err != ERR_OK)
            return err;
        return named && (!number || user != o->user) ? ERR_USER_MISMATCH : ERR_OK;
    }
    if (!e->open_mode || !number)
        return ERR_UNAUTHORIZED;
    o->user = user;
    return ERR_OK;
}

/* --- the origin --- */

/* Host name of "host:port", "[::1]:port"; the three names of this machine are one. */
static slice_t host_name(slice_t s) {
    size_t len = 0;
    if (s.len && s.at[0] == '[') {
        const char *close = memchr(s.at, ']', s.len);
        len = close ? (size_t)(close - s.at) + 1 : s.len;
    } else {
        const char *colon = memchr(s.at, ':', s.len);
        len = colon ? (size_t)(colon - s.at) : s.len;
    }
    slice_t name = {s.at, len};
    if (slice_eq(name, SLICE("127.0.0.1")) || slice_eq(name, SLICE("[::1]")))
        return SLICE("localhost");
    return name;
}

static bool same_host(slice_t a, slice_t b) {
    return a.len == b.len && a.len && strncasecmp(a.at, b.at, a.len) == 0;
}

static bool origin_ok(const edge_t *e, const http_request_t *req) {
    slice_t origin = http_header(req, "origin");
    uint32_t count = http_header_count(req, "origin");
    if (count == 0)
        return true;
    if (count > 1)
        return false; /* which one would it be? */
    const char *mark = memmem(origin.at, origin.len, "://", 3);
    if (!mark)
        return false;
    const char *start = mark + 3;
    slice_t host = host_name((slice_t){start, (size_t)(origin.at + origin.len - start)});
    if (same_host(host, host_name(http_header(req, "host"))))
        return true;
    for (size_t i = 0; i < conf_list_count(e->conf, "ws.origins"); i++)
        if (same_host(host, host_name(conf_list(e->conf, "ws.origins", i))))
            return true;
    return false;
}

/* --- acceptance --- */

static void ask_inbox(conn_t *c, struct ws_opening *o, const edge_t *e) {
    inbox_attach_t ask = {.conn = actor_self(c->self)};
    ask.bench = e->open_mode && strcmp(o->platform, "bench") == 0;
    o->name = block_of(o->device, strlen(o->device) + 1);
    msg_t *m = msg_of(VERB_ATTACH, &ask, sizeof ask);
    m->body = block_ref(o->name);
    c->http->call_id = actor_request_key(c->self, KIND_INBOX, (uint64_t)o->user, m, e->deadline_ms,
                                         VERB_ATTACHED, c->http->serial);
}

static void no_socket(conn_t *c, int err) {
    stat_add(STAT_HANDSHAKE_BAD_REQUEST, 1);
    http_error_headers(c, err, NULL, 0, "Sec-WebSocket-Version: 13\r\n");
}

void ws_handshake(conn_t *c, const http_request_t *req) {
    edge_t *e = edge_at(c)->edge;
    slice_t key;
    int err = socket_request(req, &key);
    if (err != ERR_OK) {
        no_socket(c, err);
        return;
    }
    struct ws_opening *o = c->http->opening = pool_zalloc(sizeof *o);
    asked_t asked;
    if (read_query(req->query, &asked) != ERR_OK || parameters(o, &asked, e) != ERR_OK) {
        refuse(c, ERR_BAD_REQUEST, NULL, 0);
        return;
    }
    uint32_t wait = e->open_mode
                        ? 0
                        : limit_take(e->limits, LIMIT_HANDSHAKE, net_addr_hash(&c->http->address),
                                     e->handshake_addr, actor_now_ns(c->self));
    if (wait) {
        refuse(c, ERR_RATE_LIMITED, NULL, wait);
        return;
    }
    err = credential(c, req, &asked, o);
    if (err == ERR_OK && !origin_ok(e, req))
        err = ERR_ORIGIN_DENIED;
    if (err == ERR_OK && denied_has(e->disabled, o->user))
        err = ERR_USER_DISABLED;
    if (err != ERR_OK) {
        refuse(c, err, NULL, 0);
        return;
    }
    if (!o->device[0])
        memcpy(o->device, "default", 8);
    accept_key(key, o->accept);
    ask_inbox(c, o, e);
}

/* --- the welcome --- */

static void welcome(conn_t *c, bool by_token_) {
    edge_worker_t *w = edge_at(c);
    edge_t *e = w->edge;
    int64_t now = actor_wall_ms(c->self);
    buf_t *b = &w->out;
    b->len = 0;
    buf_add_text(b, "{\"type\":\"notify\",\"data\":{\"status\":\"connected\"");
    json_add_int(b, "user_id", c->user);
    json_add_text(b, "device_id", slice_of(c->device));
    json_add_int(b, "server_time", now);
    json_add_text(b, "auth", by_token_ ? SLICE("token") : SLICE("open"));
    json_add_int(b, "ping_interval_ms", e->ping_ms);
    json_add_int(b, "max_frame_bytes", e->max_frame);
    json_add_int(b, "token_expires_at_ms", c->token_exp_ms);
    buf_addf(b, "},\"ts\":%lld}", (long long)now);
    stat_add(STAT_OUT_NOTIFY, 1);
    conn_text(c, buf_slice(b));
}

void ws_detach(conn_t *c, int64_t user) {
    actor_ref_t self = actor_self(c->self);
    actor_send_key(c->self, KIND_INBOX, (uint64_t)user, msg_of(VERB_DETACH, &self, sizeof self));
}

static void upgrade(conn_t *c, const struct ws_opening *o) {
    edge_t *e = edge_at(c)->edge;
    actor_ref_t self = actor_self(c->self);
    c->ws = true;
    c->user = o->user;
    c->fam = o->fam;
    c->token_exp_ms = o->exp_ms;
    c->open_mode = e->open_mode;
    c->bench = e->open_mode && strcmp(o->platform, "bench") == 0;
    c->device = device_keep(o->name);
    slice_t accept = slice_of(o->accept), protocol = o->bearer ? SLICE("bearer") : (slice_t){"", 0};
    bool replay = o->replay, with_token = o->by_token;
    char copy[32];
    memcpy(copy, accept.at, accept.len + 1);
    http_drop(c); /* o is gone from here on */
    stat_add(STAT_HANDSHAKE_OK, 1);
    stat_add(STAT_WS_CONNECTIONS, 1);
    net_upgrade(c->net, slice_of(copy), protocol, e->max_frame);
    welcome(c, with_token);
    c->welcomed = true;
    live_add(c);
    hub_join(c);
    chat_welcomed(c, replay);
    actor_send_key(c->self, KIND_INBOX, (uint64_t)c->user,
                   msg_of(VERB_WELCOMED, &self, sizeof self));
    /* a logout that came between the check and hub_join found no socket to close */
    if (denied_has(e->logins, c->fam) || denied_has(e->disabled, c->user))
        conn_close(c, 4004);
}

void ws_attached(conn_t *c, const msg_t *m) {
    edge_t *e = edge_at(c)->edge;
    if (!conn_http_waits(c, (uint32_t)m->cookie) || !c->http->opening)
        return;
    c->http->call_id = 0;
    struct ws_opening *o = c->http->opening;
    if (m->err == ERR_RATE_LIMITED) {
        refuse(c, ERR_RATE_LIMITED, "too many devices", 1000);
    } else if (m->err != ERR_OK) {
        refuse(c, m->err == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_BUSY, NULL, 1000);
    } else if (atomic_load(&e->draining)) {
        ws_detach(c, o->user);
        refuse(c, ERR_BUSY, NULL, 2000);
    } else {
        upgrade(c, o);
    }
}

/* --- the bare echo of test.echo --- */

void ws_echo(conn_t *c, const http_request_t *req) {
    slice_t key;
    char accept[32];
    int err = socket_request(req, &key);
    if (err != ERR_OK) {
        no_socket(c, err);
        return;
    }
    accept_key(key, accept);
    http_drop(c);
    c->ws = c->echo = true;
    stat_add(STAT_WS_CONNECTIONS, 1);
    net_upgrade(c->net, slice_of(accept), (slice_t){"", 0}, edge_at(c)->edge->max_frame);
}
