/* wsbench: the load tool. One parent, several processes with an epoll loop each; what they count
 * lies in shared memory, the parent prints progress and the result. Clocks: CLOCK_MONOTONIC, which
 * all processes share. */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- options.c ---- */
enum mode { MODE_CONNECT, MODE_RAW, MODE_PING, MODE_MESSAGING };
enum output { OUT_TEXT, OUT_JSON, OUT_CSV };
typedef struct options {
    const char *target, *http, *output_name, *mode_name, *via_name, *prefix, *password;
    char host[64], path[512]; /* of target */
    char http_host[64];
    uint16_t port, http_port;
    enum mode mode;
    enum output output;
    bool via_http, verbose;
    uint32_t conns, max_cps, payload, retry, processes, group_size, senders, inflight, ack_every;
    uint32_t server_pid, sync_limit;
    double msg_rate; /* per connection and minute */
    uint64_t ramp_ms, duration_ms, ping_ms, retry_delay_ms, handshake_ms, read_ms, write_ms,
        settle_ms;
} options_t;
/* Ends the process with status 2 and a line on stderr if the flags are wrong, 0 after --help. */
void options_read(options_t *o, int argc, char **argv);

/* ---- hist.c: log-linear, 1 us to 70 min, error below 3 %; every value is counted ---- */
#define HIST_SUB   32
#define HIST_CELLS (33 * HIST_SUB)
typedef struct hist {
    uint64_t count, sum, max;
    uint64_t cell[HIST_CELLS];
} hist_t;
void hist_add(hist_t *h, uint64_t us);
void hist_merge(hist_t *into, const hist_t *from);
uint64_t hist_at(const hist_t *h, double quantile); /* us */

/* ---- tally: one per process, in shared memory; written by it, read by the parent ---- */
/* clang-format off */
#define TALLY_LIST(X)                                                                              \
    X(attempts) X(connected) X(failed) X(retries) X(disconnects) X(live) X(pings) X(pongs)         \
    X(sent) X(acked) X(refused) X(delivered) X(resent) X(resyncs) X(synced) X(other_frames)        \
    X(lost) X(duplicates) X(disorder) X(corrupt) X(unacked) X(unsent) X(closed) X(bytes_in) X(bytes_out) X(setup_done)
/* clang-format on */
typedef struct tally {
#define X(name) _Atomic uint64_t name;
    TALLY_LIST(X)
#undef X
    _Atomic int phase; /* reached by the process */
    char fault[200];   /* why it gave up, or "" */
    char refusal[160]; /* the first one */
    hist_t connect, ping, ack, delivery;
} tally_t;
#define COUNT(field, n) atomic_fetch_add_explicit(&(field), (uint64_t)(n), memory_order_relaxed)

/* Phases: each process stops at the end of one until the parent lets all go on. */
enum phase {
    PHASE_SETUP,
    PHASE_CONNECT,
    PHASE_RUN,
    PHASE_DRAIN,
    PHASE_VERIFY,
    PHASE_DONE,
    PHASE_FAILED
};
typedef struct shared {
    _Atomic int phase; /* allowed by the parent */
    _Atomic bool stop; /* interrupted: go on to the end */
    _Atomic uint64_t run_started_ns, run_ended_ns;
    uint32_t processes;
    tally_t tally[];
} shared_t;

/* ---- client.c: sockets of one process: HTTP and WebSocket clients on one epoll ---- */
typedef struct client client_t;
typedef struct client_events {
    void (*open)(client_t *c); /* upgraded, or an HTTP connection stands */
    void (*message)(client_t *c, char *at,
                    size_t len); /* one text message; may be changed in place */
    void (*pong)(client_t *c);
    void (*answer)(client_t *c, int status, char *body, size_t len);
    void (*closed)(client_t *c, bool abnormal,
                   const char *why); /* before open: the attempt failed */
} client_events_t;
struct client {
    int fd;
    uint8_t state;
    bool http, mute; /* mute: read nothing (the ramp of the reference tool) */
    uint32_t index;
    uint64_t started_ns;
    uint64_t last_read_ns; /* of a data frame or control pong */
    buf_t in, out;
    const client_events_t *events;
    void *user;
};
typedef struct loop loop_t;
loop_t *loop_new(const options_t *o, tally_t *t);
/* One turn: waits at most until until_ns for something to happen. */
void loop_turn(loop_t *l, uint64_t until_ns);
/* Starts connecting from 127.0.0.x (chosen by index, so that ports suffice). path NULL: an HTTP
 * connection. */
void client_open(loop_t *l, client_t *c, uint32_t index, const char *path,
                 const client_events_t *events);
void client_text(loop_t *l, client_t *c,
                 slice_t payload); /* queued; leaves at the end of the turn */
void client_request(loop_t *l, client_t *c, const char *method, const char *path, const char *token,
                    const char *device, slice_t body);
void client_mute(loop_t *l, client_t *c, bool mute);
void client_cut(loop_t *l, client_t *c); /* TCP ends without a close frame, no event */
void loop_flush(loop_t *l);

/* ---- the modes: what one process does with connections [first, first + count) ---- */
typedef struct job {
    const options_t *o;
    shared_t *shared;
    tally_t *t;
    loop_t *loop;
    uint32_t number, first, count;
} job_t;
void connect_run(job_t *j); /* connect-only, raw, ping */
void messaging_run(job_t *j);
/* Tells the parent that a phase is reached and turns the loop until it lets all go on. */
void job_reach(job_t *j, enum phase phase);
_Noreturn void job_fail(job_t *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t now_ns(void);

/* ---- report.c ---- */
void report_progress(const options_t *o, shared_t *s, uint64_t elapsed_ms);
/* Prints the result; the exit status: 0, or 1 when a check failed. */
int report_result(const options_t *o, shared_t *s, uint64_t elapsed_ms, uint64_t server_cpu_us);
