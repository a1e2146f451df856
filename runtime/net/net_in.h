/* net_in: the bodies that the files of this floor share: worker, listener, connection, transport.
 * Nobody above includes it.
 *
 * The life of a connection. Callbacks of the handler may call anything of net.h at any time; what
 * these calls decide (abort, close, answer, go on reading) is only noted in flags, and the
 * connection put on its worker's pending list. The end of the loop turn carries it out
 * (conn_turn): so no connection is freed and no byte written while a callback or a parser is at
 * work on it. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "net/net.h"
#include <stdatomic.h>
#include <uv.h>

typedef struct net_worker net_worker_t;
typedef struct net_listener net_listener_t;
typedef struct out_node out_node_t;
typedef struct net_http net_http_t;
typedef struct ws_join ws_join_t;
struct lws;
struct lws_context;
struct lws_vhost;

enum { TAG_LISTENER, TAG_CONN }; /* first byte of what epoll's events point to */

/* LINGER: told to the handler as closed; what is queued still leaves, input is thrown away. */
enum { PHASE_HTTP, PHASE_WS, PHASE_LINGER };

/* Each connection is on exactly one list of its worker. All of one list wait equally long, so the
 * first is due first. */
enum { TIMER_NONE, TIMER_IDLE, TIMER_HEAD, TIMER_STALL, TIMER_CLOSE, TIMER_LINGER, TIMERS };

enum {
    F_PENDING = 1,       /* on the pending list */
    F_PARSE = 2,         /* buffered input may go on */
    F_PAUSED = 4,        /* net_pause */
    F_BLOCKED = 8,       /* the socket takes no more; its event ends this */
    F_ABORT = 16,        /* ends at the end of this turn */
    F_FINISH = 32,       /* lingers from the end of this turn on */
    F_ABOVE = 64,        /* output was above the soft mark */
    F_EOF = 128,         /* the peer sends no more */
    F_HUP_LATER = 256,   /* its FIN stands behind bytes that we do not want yet */
    F_TOLD = 512,        /* closed was called */
    F_CLOSE_SENT = 1024, /* WebSocket close frame queued */
    F_SHUT = 2048,       /* our side is shut down */
    F_MOVED = 4096,      /* bytes left in this turn */
    F_NEW = 8192,        /* accepted in this turn */
    F_HELD = 16384,      /* the next HTTP request waits for room */
    F_FILE = 32768,      /* a file is queued */
    F_TLS = 65536,
    F_TLS_UP = 131072, /* its handshake is done */
    F_GIVEN = 262144,  /* neither: net->given */
    F_COLD = 524288,   /* the next bytes of its file are being read into memory */
    F_WARM = 1048576   /* they have been: do not ask again before some were sent */
};
#define F_ENDING (F_ABORT | F_FINISH)

/* How bytes leave and how a socket is watched: plain.c, tls.c. */
typedef struct transport {
    /* A new connection. false: it cannot be; its descriptor is closed. */
    bool (*open)(net_conn_t *c, const net_listener_t *l);
    /* Sends what the socket takes, up to a budget; sets F_BLOCKED when it takes no more. false:
     * broken. */
    bool (*send)(net_conn_t *c);
    void (*watch)(net_conn_t *c, bool read);
    void (*shut)(net_conn_t *c);  /* nothing more will be sent */
    void (*close)(net_conn_t *c); /* at once; no more events after it */
} transport_t;
extern const transport_t plain_transport, tls_transport;

struct net_conn {
    uint8_t tag, phase, timer, listener;
    uint32_t flags;
    int32_t fd;
    uint32_t events; /* what epoll watches; TLS: 1 while it reads */
    actor_ref_t actor;
    net_worker_t *worker;
    struct lws *wsi;
    net_conn_t *next, *prev; /* timer list */
    net_conn_t *pend;
    uint64_t due_ns;
    uint64_t recv_ns;
    out_node_t *head, *tail;
    uint32_t queued;  /* bytes in memory */
    uint32_t counted; /* how many of them STAT_QUEUE_BYTES knows */
    buf_t in;         /* an unfinished head or frame; what waits while nothing may be read */
    union {
        net_http_t *http; /* PHASE_HTTP */
        ws_join_t *join;  /* PHASE_WS: a message of which fragments came; later NULL */
    };
    uint32_t max_message;
    uint16_t close_code;
    net_addr_t peer;
    uint32_t acked, acked_ms; /* net_life: low bits of what the peer acknowledged, and when */
};
_Static_assert(sizeof(struct net_conn) <= 160, "an idle socket must stay cheap");

typedef struct conn_list {
    net_conn_t *first, *last;
} conn_list_t;

/* A worker's own socket of one listener. */
typedef struct listen_socket {
    uint8_t tag;
    int fd;
    net_listener_t *listener;
    struct lws_vhost *vhost;
} listen_socket_t;

struct net_listener {
    net_listener_t *next;
    uint32_t id;
    char address[80];         /* bound */
    char *cert, *key;         /* NULL = plain */
    listen_socket_t *sockets; /* one a worker */
};

#define RBUF (64 * 1024)

struct net_worker {
    net_t *net;
    runtime_t *rt;
    uint32_t index;
    int epoll, spare;
    uv_poll_t poll;
    bool started, poll_closed;
    conn_list_t lists[TIMERS];
    net_conn_t *pend, **pend_tail;
    char *rbuf;
    http_request_t req; /* of the head being handled */
    uint64_t date_s, faults;
    uint64_t
        rest_ns; /* no descriptor is left, not even the spare one: until then nobody is accepted */
    char date[32];
    struct lws_context *tls;
    uint32_t handles; /* of the loop, without those of tls */
};

struct net {
    runtime_t *rt;
    const net_handler_t *handler;
    uint32_t worker_count, max_connections, queue_soft;
    uint64_t queue_limit; /* whoever lets that much wait has lost control: the socket is cut */
    uint64_t wait_ns[TIMERS];
    net_listener_t *listeners;
    net_worker_t *workers;
    _Atomic uint32_t open; /* sockets of all workers */
    _Atomic bool stopping;
    const transport_t *given; /* specs without sockets: how all bytes go; else NULL */
};

/* --- listen.c --- */
int listener_open(net_t *net, net_listener_t *l, const char *address, char *fault, size_t room);
void listener_close(net_t *net, net_listener_t *l);
void listener_accept(net_worker_t *w, listen_socket_t *s);
bool worker_watch_listeners(net_worker_t *w);
uint64_t worker_rest(net_worker_t *w, uint64_t now_ns); /* ns until its rest ends; ends it */
uint32_t listener_room(uint32_t most); /* sockets that the descriptor limit leaves */

/* --- conn.c: one connection's life --- */
void conn_open(net_worker_t *w, const net_listener_t *l, int fd, const net_addr_t *peer);
void conn_pend(net_conn_t *c);
void conn_turn(net_conn_t *c);    /* end of turn; may free it */
void conn_destroy(net_conn_t *c); /* now */
void conn_expire(net_conn_t *c);  /* its time is over */
/* Bytes came; they may be changed in place. */
void conn_input(net_conn_t *c, char *at, size_t len);
void conn_eof(net_conn_t *c);
bool conn_takes(const net_conn_t *c);           /* does it want bytes from the socket? */
void conn_cut(net_conn_t *c);                   /* noted: ends at the end of the turn */
void conn_finish(net_conn_t *c, uint16_t code); /* noted: lingers from the end of the turn */
void timer_put(net_conn_t *c, uint8_t timer);   /* starts anew */
static inline const transport_t *conn_transport(const net_conn_t *c) {
    if (__builtin_expect(c->flags & (F_TLS | F_GIVEN), 0))
        return c->flags & F_GIVEN ? c->worker->net->given : &tls_transport;
    return &plain_transport;
}

/* The next bytes of the file in front are not in memory. true: the handler has them read and calls
 * net_file_warm; false: there is nobody to ask. */
bool conn_cold(net_conn_t *c);

/* --- out.c: the output queue --- */
struct out_node {
    out_node_t *next;
    block_t *block;    /* whose bytes; NULL: data (cap > 0), else a file */
    uint32_t off, len; /* unsent */
    uint32_t cap;
    int32_t fd;
    uint64_t file_off, file_len;
    char data[];
};
/* All of these drop what an ending connection is given, and abort one whose queue is absurd. */
void out_add(net_conn_t *c, const void *at, size_t len);
char *out_room(net_conn_t *c, size_t len); /* NULL: dropped. Then out_grow */
void out_grow(net_conn_t *c, size_t len);
void out_block(net_conn_t *c, block_t *b, uint32_t off, uint32_t len); /* borrows b */
void out_file(net_conn_t *c, int fd, uint64_t off, uint64_t len);      /* takes fd */
void out_sent(net_conn_t *c, size_t len); /* from the front, bytes in memory */
void out_file_sent(net_conn_t *c, size_t len);
void out_clear(net_conn_t *c);
static inline bool out_is_file(const out_node_t *n) {
    return !n->block && n->cap == 0;
}

/* --- plain.c --- */
void plain_event(net_conn_t *c, uint32_t events);

/* --- tls.c --- */
int tls_check(const net_listener_t *l, char *fault, size_t room);
bool tls_worker_open(net_worker_t *w);
void tls_worker_close(net_worker_t *w);
void tls_event(net_conn_t *c, uint32_t events);

/* --- http_in.c, http_out.c --- */
void http_open(net_conn_t *c);
void http_free(net_conn_t *c);
size_t http_take(net_conn_t *c, actor_t *self, void *state, char *at, size_t len);
bool http_waits(const net_conn_t *c);    /* for an answer: the next request must wait */
void http_settle(net_conn_t *c);         /* at the end of a turn: its timer, its end */
void http_expire(net_conn_t *c);         /* a head was not finished in time */
void http_fault(net_conn_t *c, int err); /* answers with an error of ours and ends */

enum { HTTP_AT_HEAD, HTTP_AT_BODY, HTTP_AT_CHUNKS, HTTP_AT_END };
struct net_http {
    size_t seen;
    uint64_t left;              /* of a body with a length */
    uint64_t head_ns, began_ns; /* first byte of the head being read, of the open request */
    http_chunks_t chunks;
    uint8_t stage;
    bool open; /* a request is not answered yet */
    bool head; /* HEAD: no body in the answer */
    bool keep_alive, expects;
};

/* --- ws.c --- */
size_t ws_take(net_conn_t *c, actor_t *self, void *state, char *at, size_t len);
void ws_join_free(net_conn_t *c);
