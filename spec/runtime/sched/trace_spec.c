/* The promises of trace.h: one message is followed through all actors, the others cost nothing and
 * are not seen. A room ships what came together to a port (a thread) and answers when the port has
 * answered, as a conversation and the store do. */
#include "base/err.h"
#include "sched/look.h"
#include "sched/trace.h"
#include "spec/wait.h"

enum { SEND = MSG_USER, SENT, STORE, STORED, FANOUT, FRAME, BALL, FLOOD, VISITS };
enum { KIND_ROOM = 1, KIND_USER = 2 };

static _Atomic uint64_t acked, fanned, balls, visited, at_port;
static _Atomic bool port_held;
static actor_ref_t port, hub, player[2];

/* A socket's actor: a frame from outside becomes a request to the room. */
static void conn_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == FRAME) {
        trace_mark(self, KIND_USER, m->cookie);
        actor_request_key(self, KIND_ROOM, m->cookie, msg_new(SEND, 0), 5000, SENT, 0);
    }
    acked += m->verb == SENT;
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
}
static const actor_class_t conn_class = {
    .name = "conn", .handle = conn_handle, .place = ACTOR_PINNED};

typedef struct room {
    msg_t *waiting[64], *shipped[64];
    uint32_t waiting_count, shipped_count;
} room_t;

static void room_handle(actor_t *self, void *state, msg_t *m) {
    room_t *r = state;
    if (m->verb == SEND && r->waiting_count < 64) {
        actor_keep(self, m);
        r->waiting[r->waiting_count++] = m;
    } else if (m->verb == STORED) {
        for (uint32_t i = 0; i < r->shipped_count; i++) {
            trace_follow(self, r->shipped[i]);
            actor_reply(self, r->shipped[i], ERR_OK, NULL);
        }
        r->shipped_count = 0;
        actor_send(self, hub, msg_new(FANOUT, 0));
    } else if (m->verb == MSG_STOP) {
        actor_exit(self, ERR_OK);
    }
}

static void room_ship(actor_t *self, void *state) {
    room_t *r = state;
    if (!r->waiting_count || r->shipped_count)
        return;
    memcpy(r->shipped, r->waiting, sizeof r->waiting);
    r->shipped_count = r->waiting_count;
    r->waiting_count = 0;
    for (uint32_t i = 0; i < r->shipped_count; i++)
        trace_follow(self, r->shipped[i]);
    actor_request(self, port, msg_new(STORE, 0), 5000, STORED, 0);
}
static const actor_class_t room_class = {
    .name = "room", .state_size = sizeof(room_t), .handle = room_handle, .slice_end = room_ship};

static void port_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    (void)state;
    at_port += n;
    while (port_held)
        nap();
    for (size_t i = 0; i < n; i++)
        actor_reply(self, m[i], ERR_OK, NULL);
}
static const actor_class_t port_class = {
    .name = "port", .place = ACTOR_THREAD, .handle_batch = port_batch};

static void hub_handle(actor_t *self, void *state, msg_t *m) {
    (void)state;
    if (m->verb == FANOUT) {
        trace_visit(self, self);
        fanned++;
    }
    if (m->verb == BALL) {
        balls++;
        actor_send(self, player[actor_ref_eq(actor_self(self), player[0])], msg_new(BALL, 0));
    }
    if (m->verb == VISITS) {
        for (uint64_t i = 0; i < m->cookie; i++)
            trace_visit(self, self);
        visited++;
    }
    if (m->verb == FLOOD)
        for (int i = 0; i < 8; i++)
            actor_send(self, *msg_data(m, actor_ref_t), msg_new(SEND, 0));
    if (m->verb == MSG_STOP)
        actor_exit(self, ERR_OK);
}
static const actor_class_t hub_class = {.name = "hub", .handle = hub_handle};
static const actor_class_t small_class = {
    .name = "small", .handle = hub_handle, .max_msgs = 2, .place = ACTOR_PINNED};

static runtime_t *start(void) {
    acked = fanned = balls = visited = at_port = 0;
    runtime_t *rt = runtime_new(&(runtime_conf_t){.workers = 2, .seed = 1});
    runtime_kind(rt, KIND_ROOM, &room_class);
    port = actor_spawn(rt, NULL, &port_class, 0, -1, NULL);
    hub = actor_spawn(rt, NULL, &hub_class, 0, -1, NULL);
    runtime_start(rt);
    return rt;
}

static void stop(runtime_t *rt) {
    runtime_stop(rt, 30000);
    runtime_free(rt);
}

static void frame(runtime_t *rt, actor_ref_t conn, uint64_t user) {
    msg_t *m = msg_new(FRAME, 0);
    m->cookie = user;
    runtime_send(rt, conn, m);
}

static bool is(const trace_hop_t *h, const char *from, const char *to, uint32_t verb) {
    bool same = h->verb == verb && strcmp(h->to.name ? h->to.name : "-", to) == 0 &&
                strcmp(h->from.name ? h->from.name : "-", from) == 0;
    if (!same)
        printf("hop %u: %s to %s, verb %u\n", h->hop, h->from.name, h->to.name, h->verb);
    return same;
}

/* All of its hops have been handled. */
static size_t read_all(runtime_t *rt, uint32_t trace, trace_hop_t *h, size_t room, size_t least) {
    size_t n = 0;
    for (int i = 0; i < WAIT_MS; i++) {
        n = trace_read(rt, trace, h, room, NULL);
        bool over = n >= least;
        for (size_t k = 0; k < n; k++)
            over = over && h[k].ended_ns;
        if (over)
            break;
        nap();
    }
    return n;
}

SPEC("follows one message from the socket through room, port and back, and to the hub's sockets") {
    runtime_t *rt = start();
    actor_ref_t conn = actor_spawn(rt, NULL, &conn_class, 5, 0, NULL);
    frame(rt, conn, 7);
    CHECK(wait_for(&fanned, 1));
    uint32_t trace = trace_start(rt, KIND_USER, 7, 1);
    CHECK(trace > 0);
    frame(rt, conn, 8); /* of somebody else */
    CHECK(wait_for(&fanned, 2));
    bool armed;
    CHECK_INT(trace_seen(rt, trace, &armed), 0);
    CHECK(armed);
    frame(rt, conn, 7);
    CHECK(wait_for(&fanned, 3) && wait_for(&acked, 3));
    CHECK_INT(trace_seen(rt, trace, &armed), 1);
    CHECK(!armed);
    trace_hop_t h[16];
    CHECK_INT(read_all(rt, trace, h, 16, 7), 7);
    CHECK(is(&h[0], "-", "conn", 0));
    CHECK(is(&h[1], "conn", "room", SEND) && h[1].to.key == 7);
    CHECK(is(&h[2], "room", "port", STORE));
    CHECK(is(&h[3], "port", "room", STORED));
    CHECK(is(&h[4], "room", "conn", SENT));
    CHECK(is(&h[5], "room", "hub", FANOUT));
    CHECK(is(&h[6], "hub", "hub", 0) && h[6].visited);
    static const uint32_t parents[] = {0, 1, 2, 3, 2, 2, 6};
    for (int i = 0; i < 7; i++) {
        CHECK_INT(h[i].hop, i + 1);
        CHECK_INT(h[i].parent, parents[i]);
        CHECK(h[i].sent_ns <= h[i].began_ns && h[i].began_ns <= h[i].ended_ns);
    }
    frame(rt, conn, 7);
    CHECK(wait_for(&acked, 4));
    CHECK_INT(trace_read(rt, trace + 1, h, 16, NULL), 0);
    stop(rt);
}

SPEC("begins with what begins something, not with an answer to what was asked before") {
    runtime_t *rt = start();
    actor_ref_t conn = actor_spawn(rt, NULL, &conn_class, 5, 0, NULL);
    port_held = true;
    frame(rt, conn, 7);
    CHECK(wait_for(&at_port, 1));
    uint32_t trace = trace_start(rt, KIND_ROOM, 7, 1);
    port_held = false;
    CHECK(wait_for(&fanned, 1));
    bool armed;
    CHECK_INT(trace_seen(rt, trace, &armed), 0);
    CHECK(armed);
    frame(rt, conn, 7);
    CHECK(wait_for(&fanned, 2));
    trace_hop_t h[16];
    CHECK(read_all(rt, trace, h, 16, 5) >= 5);
    CHECK(is(&h[0], "conn", "room", SEND));
    stop(rt);
}

SPEC("gives each of the next messages to a keyed actor a number of its own, then stops") {
    runtime_t *rt = start();
    actor_ref_t conn = actor_spawn(rt, NULL, &conn_class, 5, 0, NULL);
    uint32_t first = trace_start(rt, KIND_ROOM, 9, 2);
    for (uint64_t i = 1; i <= 3; i++) {
        frame(rt, conn, 9);
        frame(rt, conn, 10);
        CHECK(wait_for(&acked, 2 * i));
    }
    bool armed;
    CHECK_INT(trace_seen(rt, first, &armed), 2);
    CHECK(!armed);
    trace_hop_t h[16];
    for (uint32_t i = 0; i < 2; i++) {
        size_t n = read_all(rt, first + i, h, 16, 1);
        CHECK(n >= 1 && is(&h[0], "conn", "room", SEND));
        CHECK(h[0].trace == first + i && h[0].to.key == 9);
    }
    CHECK_INT(trace_start(rt, KIND_ROOM, 9, 0), 0);
    CHECK_INT(trace_start(rt, KIND_ROOM, 9, TRACE_COUNT + 1), 0);
    for (uint64_t i = 0; i < TRACE_TARGETS; i++)
        CHECK((first = trace_start(rt, KIND_ROOM, 100 + i, 1)) > 0);
    CHECK_INT(trace_start(rt, KIND_ROOM, 9, 1), 0);
    trace_stop(rt, first);
    CHECK(trace_start(rt, KIND_ROOM, 9, 1) > 0);
    stop(rt);
}

SPEC("ends what goes in circles and what fans out without end, and says what it left out") {
    runtime_t *rt = start();
    for (int i = 0; i < 2; i++)
        player[i] = actor_spawn(rt, NULL, &hub_class, (uint64_t)i, -1, NULL);
    uint32_t trace = trace_start_actor(rt, player[0], 1);
    runtime_send(rt, player[0], msg_new(BALL, 0));
    CHECK(wait_for(&balls, 10 * TRACE_DEPTH));
    static trace_hop_t h[TRACE_HOPS];
    uint32_t lost;
    CHECK_INT(trace_read(rt, trace, h, TRACE_HOPS, &lost), TRACE_DEPTH);
    CHECK_INT(lost, 1);
    CHECK_INT(h[TRACE_DEPTH - 1].parent, TRACE_DEPTH - 1);
    stop(rt);
}

/* A trace of so many hops, all in the hub. */
static uint32_t trace_of_hops(runtime_t *rt, uint32_t hops) {
    uint32_t trace = trace_start_actor(rt, hub, 1);
    uint64_t before = visited;
    msg_t *m = msg_new(VISITS, 0);
    m->cookie = hops - 1;
    runtime_send(rt, hub, m);
    wait_for(&visited, before + 1);
    return trace;
}

SPEC("shows no hop of another trace when the numbers of records come again") {
    enum { RECORDS = 65535 };
    runtime_t *rt = start();
    trace_hop_t h[4];
    uint32_t lost, one = trace_of_hops(rt, 1);
    CHECK_INT(trace_read(rt, one, h, 4, &lost), 1);
    CHECK_INT(lost, 0);
    for (uint32_t made = 0, n; made < RECORDS; made += n) {
        n = RECORDS - made < TRACE_HOPS ? RECORDS - made : TRACE_HOPS;
        trace_of_hops(rt, n);
    }
    trace_of_hops(rt, 1);
    CHECK_INT(trace_read(rt, one, h, 4, &lost), 0);
    CHECK_INT(lost, 1);
    stop(rt);
}

SPEC("tells which message was refused and why") {
    runtime_t *rt = start();
    static const actor_class_t flooder = {
        .name = "flooder", .handle = hub_handle, .place = ACTOR_PINNED};
    actor_ref_t small = actor_spawn(rt, NULL, &small_class, 0, 0, NULL);
    actor_ref_t from = actor_spawn(rt, NULL, &flooder, 0, 0, NULL);
    uint32_t trace = trace_start_actor(rt, from, 1);
    runtime_send(rt, from, msg_of(FLOOD, &small, sizeof small));
    trace_hop_t h[16];
    look_law_t law;
    size_t n = 0;
    for (int i = 0; i < WAIT_MS && n < 9; i++, nap())
        n = trace_read(rt, trace, h, 16, NULL);
    CHECK(look_law_at_rest(rt, 30000, &law));
    CHECK_INT(trace_read(rt, trace, h, 16, NULL), 9);
    for (int i = 1; i < 9; i++)
        CHECK_INT(h[i].err, i <= 2 ? ERR_OK : ERR_FULL);
    CHECK(h[2].ended_ns && !h[3].began_ns);
    stop(rt);
}

SPEC_MAIN
