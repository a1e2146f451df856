/* net: sockets to connection actors. A listener per worker (SO_REUSEPORT); every accepted socket
 * gets a pinned actor of the class the caller names; bytes go transport -> HTTP/1.1 head parser ->
 * request, or upgrade -> frames, always by the calls below, in the worker's thread, inside the
 * actor (actor_enter). Output is queued and leaves at the end of the loop turn, one send per
 * socket. */
#pragma once
#include "base/conf.h"
#include "net/http.h"
#include "sched/runtime.h"

typedef struct net net_t;
typedef struct net_conn net_conn_t; /* one socket; lives until `closed` has returned */

typedef struct net_addr {
    uint8_t ip[16]; /* IPv4 is mapped */
    uint16_t port;
} net_addr_t;
bool net_addr_loopback(const net_addr_t *a);
void net_addr_text(const net_addr_t *a, char room[64]); /* "127.0.0.1" or "::1", no port */
/* Whom limits are for: an IPv4 address, or the /64 of an IPv6 one, which is one customer's: a line
 * at home has 2^64 addresses and more. The rest of *out is 0. */
void net_addr_owner(const net_addr_t *a, net_addr_t *out);
uint64_t net_addr_hash(const net_addr_t *a); /* of the owner, so without the port */
/* "::1", "10.0.0.0/8" against an address; for http.trusted_proxies. */
bool net_addr_in(const net_addr_t *a, slice_t cidr);
bool net_addr_parse(slice_t text, net_addr_t *out);

/* What the connection actor's class gives. All run inside its actor; none may block. `req` and
 * every slice in it are valid during the call only. After `closed` the net_conn_t must not be
 * touched. */
typedef struct net_handler {
    const actor_class_t *cls; /* the actor of one socket; its init gets net_conn_t* as arg */
    /* A head is complete and acceptable. The handler answers now or later by net_respond, or calls
     * net_upgrade. The body follows by `body` calls; for a request without one there is a last=true
     * call with no bytes. Further requests on the connection wait until this one is answered. */
    void (*request)(actor_t *self, void *state, net_conn_t *c, const http_request_t *req);
    void (*body)(actor_t *self, void *state, net_conn_t *c, slice_t bytes, bool last);
    /* One whole WebSocket message (fragments joined, unmasked, UTF-8 checked when text; binary too
     * is given here). The bytes may be changed in place. */
    void (*message)(actor_t *self, void *state, net_conn_t *c, bool text, char *at, size_t len);
    /* Any control frame (ping 9, pong 10); pings are answered by net itself: this only tells. May
     * be NULL. */
    void (*control)(actor_t *self, void *state, net_conn_t *c, uint8_t opcode, slice_t payload);
    /* Each frame, before it is looked at (rate limits count fragments and controls too). false:
     * drop it unseen. May be NULL. */
    bool (*frame)(actor_t *self, void *state, net_conn_t *c, uint8_t opcode, bool fin);
    /* Output fell below the soft mark after it had been above, or the peer acknowledged everything.
     */
    void (*room)(actor_t *self, void *state, net_conn_t *c);
    /* Bytes from off on of a file being sent (net_respond_file) are not in memory: the handler has
     * NET_FILE_PIECE of them read elsewhere, then calls net_file_warm; fd is net's. May be NULL:
     * then the worker waits for the disk. */
    void (*cold)(actor_t *self, void *state, net_conn_t *c, int fd, uint64_t off);
    /* The socket is gone (code: the WebSocket close code seen or sent, 1006 for a cut, 0 for plain
     * HTTP). Once. */
    void (*closed)(actor_t *self, void *state, net_conn_t *c, uint16_t code);
} net_handler_t;

typedef struct net_listener_conf {
    const char *address;            /* host:port; port 0 picks one, the same on every worker */
    uint32_t id;                    /* below 256; given back by net_listener */
    const char *tls_cert, *tls_key; /* PEM files, NULL = plain */
} net_listener_conf_t;

/* Before runtime_start. Errors: ERR_IO with a line in fault. */
net_t *net_new(runtime_t *rt, const conf_t *conf, const net_handler_t *handler);
int net_listen(net_t *net, const net_listener_conf_t *l, char *fault, size_t room);
/* The bound address after net_listen, "0.0.0.0:8080". */
const char *net_listen_address(const net_t *net, uint32_t id);
void net_stop_accepting(net_t *net); /* any thread */
void net_free(net_t *net);

/* --- one connection; only inside its actor --- */
uint32_t net_listener(const net_conn_t *c);
const net_addr_t *net_peer(const net_conn_t *c);
bool net_is_tls(const net_conn_t *c);
/* When the first byte of the open request came (monotonic); HTTP only. */
uint64_t net_request_ns(const net_conn_t *c);

/* Answers the open request. `headers`: ready lines, each ending in CRLF, or NULL; Content-Length,
 * Connection, Date are added. For HEAD the body is counted and not sent. Takes a reference of body
 * (NULL: none). close: the connection ends after it. */
void net_respond(net_conn_t *c, int status, slice_t headers, block_t *body, bool close);
/* Answers the open request with a file region, streamed in bounded pieces by sendfile where plain.
 * Takes fd. */
void net_respond_file(net_conn_t *c, int status, slice_t headers, int fd, uint64_t off,
                      uint64_t len);
#define NET_FILE_PIECE (256 * 1024)
void net_file_warm(net_conn_t *c);
/* Answers 101 and turns the connection into a WebSocket; protocol "" = none. Bytes that came with
 * the handshake follow as messages. */
void net_upgrade(net_conn_t *c, slice_t accept_key, slice_t protocol, uint32_t max_message);

/* One text frame with these bytes. Copied. */
void net_ws_text(net_conn_t *c, slice_t payload);
/* The same without a copy: a frame of `len` bytes is queued, and all of them are to be written here
 * before anything else is asked of c. NULL: dropped. */
char *net_ws_text_room(net_conn_t *c, size_t len);
/* Ready frames (heads included, any number of whole ones) inside a shared block: no copy;
 * consecutive runs of one block are merged to one segment. Takes no reference: makes its own. */
void net_ws_frames(net_conn_t *c, block_t *block, uint32_t off, uint32_t len);
void net_ws_ping(net_conn_t *c);
/* Close handshake: sends the close frame, waits up to 5 s for the echo, then closes TCP. Later
 * sends are dropped. */
void net_ws_close(net_conn_t *c, uint16_t code, slice_t reason);
void net_abort(net_conn_t *c); /* TCP ends now; closed follows */
/* Frame head for a server text frame of len bytes; gives its length (2, 4 or 10). */
size_t net_ws_head(char room[10], size_t len);

/* Back-pressure: reading stops while paused (count of reasons is the caller's). */
void net_pause(net_conn_t *c, bool paused);
uint32_t net_queued(const net_conn_t *c); /* bytes waiting to be sent, ours plus what TCP holds
                                             unacknowledged when `above soft` */
/* Liveness facts for section 7.4. */
typedef struct net_life {
    uint64_t last_recv_ns; /* any byte received */
    uint64_t last_ack_ns;  /* TCP progress: the peer acknowledged bytes or answers probes (TCP_INFO;
                              asked now) */
    uint64_t last_moved_ns; /* the peer acknowledged bytes; answered probes do not count */
    bool zero_window;       /* the peer has closed its window */
    uint32_t probes;        /* unanswered window probes or retransmits */
} net_life_t;
void net_life(net_conn_t *c, net_life_t *out);
/* Bytes of the socket so far, as the kernel counts them (TLS and HTTP included): received, and
 * acknowledged by the peer. A system call. */
void net_traffic(const net_conn_t *c, uint64_t *in, uint64_t *out);
