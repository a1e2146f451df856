/* edge: what the files of the edge (conn_*.c, http_*.c, inbox.c, api.c) share: one edge_t per node
 * with the settings read once, one edge_worker_t per worker in the slot LOCAL_APP. main makes it;
 * nobody above includes it. */
#pragma once
#include "actors/accept.h"
#include "actors/conn.h"
#include "actors/denied.h"
#include "actors/limit.h"
#include "actors/link.h"
#include "actors/routes.h"
#include "actors/token.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/stat.h"
#include "port/blob.h"
#include "port/store.h"
#include "script/script.h"
#include <stdatomic.h>

enum edge_verb {
    VERB_LUA = VERB_EDGE, /* the answer of a Lua service; cookie = serial */
    VERB_DEADLINE,        /* http.deadline of the open request; cookie = serial */
    VERB_ATTACHED,        /* inbox to conn: the answer to VERB_ATTACH; cookie = serial */
    VERB_WELCOMED,        /* conn to inbox: the welcome is queued */
    VERB_CLOSE,           /* to conn: close the socket with this code (cookie) */
    VERB_PRESENCE_LOST,   /* inbox to conn: ask again for the user in cookie */
    VERB_PRESENCE_HTTP,   /* rows for row 21; cookie = serial */
    VERB_PRESENCE_SUB,    /* rows for presence_sub */
    VERB_SAVED,           /* to inbox: acks are written, or a connection has handed them over */
    VERB_OFFLINE,         /* inbox: presence.grace is over */
    VERB_UNFOLLOW,        /* to inbox: this viewer must not see it any more */
    VERB_SWEEP,
    VERB_LOADED,
    VERB_LOADED_INACTIVE,
    VERB_LOAD_AGAIN,
    VERB_READYZ,
    VERB_REPORT, /* the reporter's answer; cookie = serial */
    VERB_SEEN,   /* inbox to seen: a user has no socket any more */
    VERB_SEEN_WRITTEN,
    VERB_CALL_ENTER, /* to inbox, a request: the user is in this call from now on */
    VERB_CALL_LEAVE, /* to inbox: .. and no more */
    VERB_CALL_LEASE, /* inbox: a call has not been renewed */
    VERB_SIGNALED,   /* the call service's answer to a frame; cookie = which */
    VERB_FRAME, /* to conn: a ready frame (body), behind what is in its mailbox; cookie: stat_id */
    VERB_FILE_ROW,  /* what the open request's file is; cookie = serial, as of all of these */
    VERB_FILE_OPEN, /* it can be written, or read */
    VERB_FILE_CREDIT,
    VERB_FILE_WRITTEN,
    VERB_FILE_STALL,
    VERB_FILE_WARM, /* bytes of a file being sent are in memory */
    VERB_IGNORED
};

enum { ROUTE_STATS = 96, STATUS_STATS = 25, CALL_ID_MAX = 64 };

typedef struct live_slot {
    conn_t *conn;
    uint64_t due_ns;
} live_slot_t;

struct edge;
typedef struct edge_worker {
    struct edge *edge;
    uint32_t index;
    json_doc_t *doc;   /* the frame or body that is being handled */
    json_doc_t *aside; /* tokens, checks of bodies: never while `doc` is read by others */
    buf_t out;         /* scratch for short frames and heads */
    int64_t tail_ms;   /* the end of frames of this millisecond */
    uint32_t tail_len;
    char tail[36];
    live_slot_t *live;
    uint32_t live_count, live_cap;
    uint32_t drain_total, drain_left; /* sockets at the start of the drain, sweeps to come */
    uint64_t swept_ns, awake_ns;      /* the last sweep; the one after the last hole in them */
    _Atomic uint64_t
        http[ROUTE_STATS][STATUS_STATS]; /* written by this worker, read by the metrics page */
} edge_worker_t;

typedef struct edge_file {
    char *name; /* "/app.js" */
    const char *type;
    block_t *body[CODINGS]; /* NULL: not there in this coding; identity always is */
    char etag[CODINGS][20]; /* each coding is a representation with a tag of its own */
} edge_file_t;

typedef struct edge {
    runtime_t *rt;
    const conf_t *conf;
    store_t *store;
    blob_t *blob; /* NULL: no files (specs) */
    script_t *script;
    edge_worker_t *workers;
    uint32_t worker_count;
    actor_ref_t sweeper[64], seen[64]; /* one a worker */
    actor_ref_t reporter;

    token_keys_t tokens;
    link_keys_t links;
    denied_t *logins;   /* revoked ones */
    denied_t *disabled; /* users */
    limit_t *limits;
    edge_file_t *files;
    size_t file_count, file_room;
    block_t *openapi;
    script_function_t *functions;

    /* settings */
    bool open_mode, echo, http_ws;
    conf_rate_t http_user, http_addr, auth_addr, handshake_addr, ws_frames, ws_messages;
    slice_t ops_token;
    uint32_t deadline_ms, max_frame, max_devices, queue_soft, queue_hard;
    uint32_t ping_ms, dead_ms, pong_ms, slow_ms, visit_ms, sweep_ms, grace_ms, expiry_ms, drain_ms;
    int64_t revoke_ms;     /* how long a revoked login is remembered */
    uint8_t silent_visits; /* so many visits without a byte before the kernel is asked */
    bool visible_to_all;
    int service[ROUTE_STATS]; /* of each route */
    int call_service, operator_service;
    int op_revoked, op_inactive, op_seen, op_presence, op_ping, op_file, op_readable;
    uint32_t stall_ms;

    uint64_t bodies_max;
    _Atomic uint64_t body_bytes; /* of requests that are being received or answered */
    _Atomic bool draining;
    _Atomic bool loaded;         /* revoked logins and disabled users have been read */
    _Atomic int64_t store_ok_ms; /* when the store last answered the readiness question */
} edge_t;

static inline edge_worker_t *edge_here(const actor_t *self) {
    return actor_local(self, LOCAL_APP);
}
static inline edge_worker_t *edge_at(const conn_t *c) {
    return edge_here(c->self);
}

/* --- edge.c: for main --- */
/* Before runtime_start; the store is open. ERR_OK or a line in fault. */
edge_t *edge_new(runtime_t *rt, const conf_t *conf, store_t *store, char *fault, size_t room);
/* The functions that Lua gets from here (api.c). */
const script_function_t *edge_functions(edge_t *e, size_t *count);
/* Their names, without a node behind them: as many as there is room for; gives how many there are.
 */
size_t edge_function_names(script_function_t *out, size_t room);
void edge_functions_free(edge_t *e);
/* After edge_new: what files.* and the rows of files work on; links are made from now on. */
void edge_set_files(edge_t *e, blob_t *blob);
/* Looks up the services of the routes. */
int edge_set_script(edge_t *e, script_t *script, char *fault, size_t room);
const net_handler_t *edge_handler(void);
/* After runtime_start: sweepers, revoked logins. */
void edge_start(edge_t *e);
bool edge_ready(const edge_t *e);
/* Any thread: /readyz 503, handshakes 503, sockets 1012 over drain.time. */
void edge_drain(edge_t *e);
void edge_undrain(edge_t *e); /* any thread: back to normal, as far as sockets are left */
void edge_free(edge_t *e);    /* after runtime_stop */

/* --- conn_http.c --- */
void http_request(conn_t *c, const http_request_t *req);
void http_body(conn_t *c, slice_t bytes, bool last);
void http_deadline(conn_t *c, uint32_t serial);

/* --- http_answer.c --- */
/* Answers the open request and releases it. type: content type or NULL; headers: more lines, each
 * with CRLF, or "". Takes body. */
void http_answer(conn_t *c, int status, const char *type, const char *headers, block_t *body);
void http_error_headers(conn_t *c, int err, const char *text, uint32_t retry_after_ms,
                        const char *headers);
void http_drop(conn_t *c); /* releases the open request unanswered */
size_t http_status_index(int status);
int http_status_of(size_t index);

/* --- http_auth.c --- */
void http_client_address(conn_t *c, const http_request_t *req, net_addr_t *out);
bool http_guard_open(const edge_t *e, conn_t *c, const http_request_t *req);
/* Reads an access token: signature, life, revocation. */
int edge_token(edge_worker_t *w, slice_t token, int64_t now_ms, token_claims_t *out);
/* The bearer of Authorization: ERR_OK and *token ({NULL,0} when there is no such header), or
 * ERR_UNAUTHORIZED. */
int http_bearer(const http_request_t *req, slice_t *token);
bool edge_device_ok(slice_t s);
bool edge_platform_ok(slice_t s);

/* --- conn_lua.c --- */
/* The body key device_id names the acting device when no header did. */
void lua_device_of_body(conn_t *c);
void lua_call(conn_t *c);
void lua_answer(conn_t *c, msg_t *m);

/* --- http_file.c, http_upload.c: rows 46, 47, 49 --- */
/* Is the link of this request good? Else it is answered. */
bool file_link_ok(conn_t *c, slice_t id);
void file_head(conn_t *c, const http_request_t *req);
void file_body(conn_t *c, slice_t bytes, bool last);
void file_message(conn_t *c, msg_t *m);
void file_drop(conn_t *c, struct http_file *f);  /* its request is over */
void file_redirect(conn_t *c);                   /* row 49 */
void file_cold(conn_t *c, int fd, uint64_t off); /* net's cold callback */

/* --- api_files.c --- */
const script_function_t *files_functions(size_t *count);

/* --- conn_ws.c --- */
void ws_handshake(conn_t *c, const http_request_t *req);
void ws_attached(conn_t *c, const msg_t *m);
void ws_opening_free(struct ws_opening *o);
void ws_detach(conn_t *c,
               int64_t user); /* tells the inbox that this connection is none of the user's */
int64_t ws_opening_user(const struct ws_opening *o);
void ws_echo(conn_t *c, const http_request_t *req);

/* --- conn_frame.c --- */
bool frame_allowed(conn_t *c, uint8_t opcode, bool fin);
void frame_message(conn_t *c, bool text, char *at, size_t len);
void frame_token_expiring(conn_t *c);
/* Takes one from limits.ws_messages: 0, or the milliseconds to wait. */
uint32_t frame_message_wait(conn_t *c);
slice_t frame_notify(conn_t *c, slice_t id, slice_t extra); /* in the worker's scratch */

/* --- conn_presence.c --- */
#define PRESENCE_MAX 500
void presence_http(conn_t *c);
void presence_http_rows(conn_t *c, const msg_t *m);
void presence_sub(conn_t *c, const frame_in_t *f);
void presence_sub_rows(conn_t *c, const msg_t *m);
void presence_push(conn_t *c, const msg_t *m);
void presence_again(conn_t *c, int64_t user);
void presence_close(conn_t *c); /* ends the subscriptions */
void presence_item(buf_t *out, int64_t user, bool online, int64_t last_seen_s);

/* --- conn_turn.c --- */
/* A ready notify: sent now, or kept until its turn comes. */
void turn_send(conn_t *c, slice_t frame);
void turns_free(conn_t *c);

/* --- conn_live.c --- */
void live_add(conn_t *c);
void live_remove(conn_t *c);
void live_start(edge_t *e);
void live_soon(conn_t *c); /* its times changed: look at it at the next sweep */
void live_now(edge_t *e);  /* any thread: sweep at once */

/* --- seen.c --- */
bool seen_setup(edge_t *e); /* before runtime_start; false: no room for actors */
void seen_note(actor_t *inbox, int64_t user, int64_t at_ms); /* user.last_seen_ms, written soon */

/* --- web_files.c --- */
/* Before runtime_start: ERR_OK, or a line in fault. */
int web_load(edge_t *e, char *fault, size_t room);
void web_free(edge_t *e);
/* The file of exactly this name ("/index.html") or NULL. */
const edge_file_t *web_file(const edge_t *e, slice_t path);

/* --- http_static.c, http_ops.c, http_debug.c, http_openapi.c --- */
void static_answer(conn_t *c, const http_request_t *req, slice_t path);
void ops_answer(conn_t *c, uint8_t run, slice_t path);
void http_debug(conn_t *c, slice_t path);
/* Asks the reporter for the open request; its answer comes to http_report. Takes m. */
void http_ask_reporter(conn_t *c, msg_t *m, uint32_t ms);
void http_report(conn_t *c, const msg_t *m);
void ops_metrics(conn_t *c, const msg_t *m); /* the page, with what the reporter said */
block_t *openapi_make(void);

/* --- what conn keeps beside conn_t once it needs it --- */
typedef struct conn_edge {
    uint64_t messages_ns;     /* limits.ws_messages */
    uint64_t refused_from_ns; /* start of the minute in which refused frames are counted */
    uint32_t refused;
    uint32_t refuse_ms; /* the message that is being read is refused: come back then */
    int64_t *follows;   /* presence: sorted ids */
    uint32_t follow_count;
    uint32_t asks; /* presence_sub frames that wait for the store */
    struct presence_ask *ask_first, *ask_last;
    struct conn_turn *turn_first, *turn_last; /* notifies in the order of their requests */
    uint32_t turns, turn_count;
    struct call_signal *signal_first, *signal_last; /* the first is with the call service */
    uint32_t signals, signal_turn;
} conn_edge_t;
conn_edge_t *conn_edge(conn_t *c);

/* A device's name is one counted block for its socket and its user's inbox. */
static inline char *device_keep(block_t *b) {
    return block_ref(b)->data;
}
static inline block_t *device_block(char *name) {
    return (block_t *)(void *)(name - offsetof(block_t, data));
}
static inline void device_drop(char *name) {
    if (name)
        block_unref(device_block(name));
}

/* --- inbox.c: messages of KIND_INBOX --- */
typedef struct inbox_attach {
    actor_ref_t conn;
    bool bench;
} inbox_attach_t; /* the body: the device's name with its 0 */
typedef struct inbox_watch {
    actor_ref_t conn;
    int64_t viewer;
    bool told_online; /* what the viewer was told when it asked */
} inbox_watch_t;
typedef struct inbox_state {
    int64_t user;
    bool online;
    int64_t last_seen_s;
} inbox_state_t; /* VERB_PRESENCE to a conn */
/* VERB_CALL_ENTER, VERB_CALL_LEAVE: see calls.c. */
typedef struct inbox_call {
    uint32_t life_ms;
    char id[CALL_ID_MAX + 1];
} inbox_call_t;
void inbox_register(edge_t *e);

/* --- calls.c --- */
const script_function_t *calls_functions(size_t *count);
/* The key of the call service that a call's id names. */
uint64_t calls_key(slice_t id);
/* Tells the call that the user is in that a device has its first socket, or has lost its last. */
void calls_tell(actor_t *inbox, const char *call, const char *device, bool online);

/* --- conn_call.c --- */
/* signaling and its short forms. */
void signal_frame(conn_t *c, const frame_in_t *f);
void signal_answer(conn_t *c, const msg_t *m);
void signals_free(conn_t *c);
