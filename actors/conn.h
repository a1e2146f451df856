/* conn: the connection actor: one socket, pinned to its worker. It speaks HTTP (routes, tokens,
 * limits) and, after an upgrade, frames. What belongs to messages is in chat.h; conn calls it and
 * it calls back here. */
#pragma once
#include "actors/verbs.h"
#include "base/conf.h"
#include "base/json.h"
#include "net/net.h"

struct chat;

/* Open to the actors floor: hub, chat and the http_ files read it; conn.c writes it. */
typedef struct conn {
    actor_t *self;
    net_conn_t *net;
    int64_t user; /* 0 until known */
    int64_t fam;  /* login of the token in use; 0 = open mode without token */
    int64_t token_exp_ms;
    char *device;             /* of a WebSocket: device_keep; NULL on HTTP */
    struct chat *chat;        /* chat's state of this socket; NULL until it needs one */
    struct conn *hub_next;    /* the user's sockets on this worker */
    struct http_call *http;   /* the HTTP request being answered, NULL = none */
    struct conn_edge *edge;   /* conn.c's own: rates, presence list, NULL until needed */
    uint64_t frames_ns;       /* limits.ws_frames: a bucket of limit.h */
    uint32_t live_at;         /* place in the worker's liveness list */
    uint32_t serials;         /* HTTP requests so far */
    uint32_t ping_ms;         /* when the next control ping is due: the clock's low 32 bits */
    uint8_t listener, silent; /* visits of the sweep in a row without a byte from the peer */
    uint8_t paused;           /* set of enum conn_pause: why it is not read */
    bool ws, open_mode, welcomed, closing, heard, bench, echo, expiring;
} conn_t;
_Static_assert(sizeof(conn_t) <= 112, "an idle socket must stay cheap: a class of the pool");

/* One incoming frame, valid during the call. */
typedef struct frame_in {
    const json_doc_t *doc;
    json_at_t data;   /* 0 = absent */
    slice_t type, id; /* id {NULL,0} = none */
} frame_in_t;

/* Why a socket is not read. */
enum conn_pause {
    PAUSE_QUEUE = 1,   /* ws.queue_hard */
    PAUSE_WAITS = 2,   /* too many requests are unanswered */
    PAUSE_ANSWERS = 4, /* too many answers wait for their turn */
    PAUSE_SYNCS = 8,   /* too many syncs wait */
    PAUSE_CLAIMS = 16, /* too many acks wait for the store */
    PAUSE_CALLS = 32,  /* too many signaling frames wait */
    PAUSE_FILE = 64,   /* a message waits for what the store says of its file */
    PAUSE_UPLOAD = 128 /* the store of files is behind */
};

/* --- what conn gives --- */
void conn_pause(conn_t *c, enum conn_pause why);
void conn_resume(conn_t *c, enum conn_pause why);

void conn_text(conn_t *c, slice_t payload); /* one text frame, now queued */
/* {"type":"error","id":..,"data":{"error","code","client_msg_id"?,"retry_after_ms"?},"ts"}; text
 * NULL = the code's own. */
void conn_error(conn_t *c, slice_t id, int err, const char *text, slice_t client_msg_id,
                uint32_t retry_after_ms);
/* {"type":"notify","id":..,"data":{"status":"ok"<extra>},"ts"}; extra begins with a comma or is
 * empty. */
void conn_notify_ok(conn_t *c, slice_t id, slice_t extra);
/* Answers of one type leave in the order of their requests. A request whose notify comes later
 * takes a turn; notifies asked for after it wait until it is answered or given up (an error was
 * sent). */
uint32_t conn_notify_later(conn_t *c);
void conn_notify_turn(conn_t *c, uint32_t turn, slice_t id, slice_t extra);
void conn_notify_over(conn_t *c, uint32_t turn);
/* A frame in b: {"type":..,"id":.. ; the caller adds members, each with a comma in front; the end
 * adds ts and queues it. */
void conn_frame_begin(buf_t *b, const char *type, slice_t id);
void conn_frame_end(conn_t *c, buf_t *b);
void conn_close(conn_t *c, uint16_t code);

/* --- one HTTP request being answered --- */
typedef struct http_call {
    const struct route *route;
    int64_t user, fam;
    char device[65]; /* acting device, "" = unknown */
    char request_id[65];
    int64_t path_id[2]; /* {id} segments in order */
    char *query;        /* raw, owned */
    buf_t body;         /* raw, owned; parsed by the handler with the worker's document */
    net_addr_t address; /* after trusted proxies */
    uint64_t began_ns;  /* its first byte came */
    uint64_t started_ns, timer;
    uint32_t call_id; /* the one request to another actor it waits for, 0 = none */
    uint32_t serial;  /* of this request on its connection. Put it into the cookie of what you wait
                         for: a reply is  stale (the deadline answered) unless conn_http_waits says
                         that it is not */
    bool head, close, handled, device_named;
    uint8_t method; /* http_method_t */
    slice_t cors;   /* the listed origin that asks, or empty */
    char if_none_match[160];
    struct ws_opening *opening; /* a handshake that waits for the inbox */
    struct http_file *file;     /* rows 46, 47 */
    int64_t *ids;               /* of row 21 */
    uint32_t id_count;
} http_call_t;

/* Is the connection's open request still the one with this serial? */
static inline bool conn_http_waits(const conn_t *c, uint32_t serial) {
    return c->http && c->http->serial == serial;
}

/* Answers conn's open HTTP request. data: JSON of `data`; extra: more envelope members, begins with
 * a comma, or empty. */
void conn_http_ok(conn_t *c, slice_t data, slice_t extra);
void conn_http_error(conn_t *c, int err, const char *text, uint32_t retry_after_ms);
/* The worker's scratch document, for one parse at a time. */
json_doc_t *conn_doc(conn_t *c);
/* Query parameter by name, percent-decoded into room; false: absent or empty. Bad escapes were
 * refused before. */
bool conn_query(conn_t *c, const char *name, char *room, size_t size, slice_t *out);
