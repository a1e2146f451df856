/* The promises of hub.h on a real runtime with two workers. Connections are actors of this spec,
 * pinned as real ones are; what net and chat would do is noted here instead. */
#include "actors/chat.h"
#include "actors/console_conn.h"
#include "actors/conversation.h"
#include "actors/hub.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/stat.h"
#include "spec/wait.h"

enum { JOIN = MSG_USER + 900, LEAVE, PUSH, HINT, KICK, HERE, WORKERS = 2 };

/* --- connections, and what reaches them --- */

struct net_conn {
    _Atomic uint32_t queued, frames, closed, delivered;
    _Atomic int64_t last_seq;
    char text[128];
};

static _Atomic uint64_t done; /* orders that were carried out */

uint32_t net_queued(const net_conn_t *c) {
    return c->queued;
}
void net_ws_frames(net_conn_t *c, block_t *block, uint32_t off, uint32_t len) {
    snprintf(c->text, sizeof c->text, "%.*s", (int)len - 2, block->data + off + 2);
    atomic_fetch_add(&c->frames, 1);
}
void conn_close(conn_t *c, uint16_t code) {
    c->closing = true;
    atomic_store(&c->net->closed, code);
}
void console_conn_rows(actor_t *self, msg_t *m) { /* what the console asks is in its own spec */
    (void)self, (void)m;
}
void chat_fanout_begin(chat_fanout_t *x, actor_t *hub, const struct fanout *f, block_t *frames) {
    (void)hub;
    *x = (chat_fanout_t){.f = f, .frames = frames};
}
void chat_fanout_end(const chat_fanout_t *x) {
    (void)x;
}
void chat_deliver(conn_t *c, chat_fanout_t *x) {
    const fanout_t *f = x->f;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->items[i].seq == atomic_load(&c->net->last_seq) + 1)
            atomic_store(&c->net->last_seq, f->items[i].seq);
    atomic_fetch_add(&c->net->delivered, 1);
}

typedef struct order {
    int64_t user, fam;
    const int64_t *users;
    uint32_t count;
    uint16_t code;
    const char *device;
} order_t;

static _Atomic size_t found_here;

static void handle(actor_t *self, void *state, msg_t *m) {
    conn_t *c = state, *out[8];
    const order_t *o = m->size ? (const order_t *)m->data : NULL;
    switch (m->verb) {
    case JOIN:
        c->user = o->user;
        c->fam = o->fam;
        c->device = (char *)(uintptr_t)o->device;
        hub_join(c);
        break;
    case LEAVE:
        hub_leave(c);
        break;
    case PUSH:
        hub_push(self, o->users, o->count, hub_frame("member_update", SLICE("1")), o->user,
                 slice_of(o->device));
        break;
    case HINT:
        hub_push_hint(self, o->users, o->count, hub_frame("read_sync", SLICE("{}")), 0,
                      (slice_t){"", 0});
        break;
    case KICK:
        hub_kick(self, o->fam, o->user, slice_of(o->device), o->code);
        break;
    case HERE:
        found_here = hub_here(self, o->user, out, 8);
        break;
    case MSG_STOP:
        actor_exit(self, ERR_OK);
        return;
    }
    atomic_fetch_add(&done, 1);
}

static int init(actor_t *self, void *state, const void *arg) {
    conn_t *c = state;
    c->self = self;
    c->net = (net_conn_t *)(uintptr_t)arg;
    return ERR_OK;
}
static const actor_class_t conn_class = {.name = "spec conn",
                                         .place = ACTOR_PINNED,
                                         .state_size = sizeof(conn_t),
                                         .init = init,
                                         .handle = handle};

/* --- the stage --- */

static runtime_t *rt;
static conf_t *conf;
static net_conn_t nets[16];
static actor_ref_t conns[16];

static void open_stage(void) {
    char fault[200];
    memset(nets, 0, sizeof nets);
    done = 0;
    conf = conf_new();
    conf_set(conf, "ws.queue_soft", SLICE("4KiB"), fault, sizeof fault);
    conf_set(conf, "ws.queue_hard", SLICE("8KiB"), fault, sizeof fault);
    rt = runtime_new(&(runtime_conf_t){.workers = WORKERS, .seed = 1});
    hub_setup(rt, conf);
    runtime_start(rt);
    for (int i = 0; i < 16; i++)
        conns[i] = actor_spawn(rt, NULL, &conn_class, 0, i % WORKERS, &nets[i]);
}

static void close_stage(void) {
    runtime_stop(rt, 2000);
    hub_teardown(rt);
    runtime_free(rt);
    conf_free(conf);
}

/* Done when this returns, apart from what it asked of the hubs. */
static bool tell(int conn, uint32_t verb, order_t o) {
    uint64_t before = atomic_load(&done);
    o.device = o.device ? o.device : "";
    runtime_send(rt, conns[conn], msg_of(verb, &o, sizeof o));
    return wait_for(&done, before + 1);
}
static bool join(int conn, int64_t user, const char *device) {
    return tell(conn, JOIN, (order_t){.user = user, .fam = user * 10 + conn, .device = device});
}

SPEC("knows on which workers a user has sockets, until the last one leaves") {
    open_stage();
    CHECK(!hub_online(7));
    CHECK(join(0, 7, "a") && join(2, 7, "b") && join(1, 7, "c"));
    CHECK_INT(hub_sockets(7), 3);
    CHECK_INT(hub_workers(7), 3);
    CHECK_INT(hub_users_online(), 1);
    CHECK(tell(4, HERE, (order_t){.user = 7}));
    CHECK_INT(found_here, 2);
    CHECK(tell(0, LEAVE, (order_t){0}));
    CHECK_INT(hub_workers(7), 3);
    CHECK(tell(2, LEAVE, (order_t){0}));
    CHECK_INT(hub_workers(7), 2);
    CHECK(tell(1, LEAVE, (order_t){0}));
    CHECK(!hub_online(7));
    CHECK_INT(hub_users_online(), 0);
    close_stage();
}

SPEC("pushes a frame to every socket of the users, the acting device left out") {
    static const int64_t users[] = {7, 8, 9};
    open_stage();
    int64_t counted = stat_read(STAT_OUT_MEMBER_UPDATE);
    CHECK(join(0, 7, "phone") && join(1, 7, "web") && join(2, 8, "phone") && join(3, 8, "web"));
    CHECK(join(4, 10, "phone"));
    CHECK(tell(5, PUSH, (order_t){.users = users, .count = 3, .user = 7, .device = "phone"}));
    UNTIL(nets[1].frames && nets[2].frames && nets[3].frames);
    CHECK_TEXT(nets[3].text, strlen(nets[3].text), "{\"type\":\"member_update\",\"data\":1}");
    CHECK(!nets[0].frames && !nets[4].frames);
    UNTIL_INT(stat_read(STAT_OUT_MEMBER_UPDATE) - counted, 3); /* behind each frame */
    CHECK(tell(5, PUSH, (order_t){.users = users, .count = 1}));
    UNTIL(nets[0].frames && nets[1].frames == 2); /* no device named: nobody is left out */
    close_stage();
}

SPEC("drops hints above the soft mark and closes with 4003 above twice the hard one") {
    static const int64_t users[] = {7};
    open_stage();
    CHECK(join(0, 7, "a") && join(2, 7, "b") && join(4, 7, "c"));
    nets[0].queued = 4096;
    nets[2].queued = 4097;
    nets[4].queued = 2 * 8192 + 2;
    CHECK(tell(1, HINT, (order_t){.users = users, .count = 1}));
    CHECK(tell(1, PUSH, (order_t){.users = users, .count = 1}));
    UNTIL(nets[4].closed == 4003 && nets[0].frames == 2 && nets[2].frames == 1);
    CHECK(!nets[0].closed && !nets[2].closed && !nets[4].frames);
    close_stage();
}

SPEC("kicks a user, one device, or a login wherever it is") {
    open_stage();
    CHECK(join(0, 7, "a") && join(1, 7, "b") && join(2, 8, "a") && join(3, 9, "a"));
    CHECK(tell(4, KICK, (order_t){.user = 7, .device = "b", .code = 4002}));
    UNTIL(nets[1].closed == 4002);
    CHECK(!nets[0].closed);
    CHECK(tell(4, KICK, (order_t){.user = 7, .code = 4004}));
    UNTIL(nets[0].closed == 4004);
    CHECK(tell(4, KICK, (order_t){.fam = 9 * 10 + 3, .code = 4004}));
    UNTIL(nets[3].closed == 4004);
    CHECK(join(5, 8, "b"));
    CHECK(tell(4, KICK, (order_t){.fam = 8 * 10 + 5, .user = 8, .code = 4004}));
    UNTIL(nets[5].closed == 4004);
    CHECK(!nets[2].closed);
    close_stage();
}

static msg_t *fanout_of(members_t *members, int64_t seq, block_t *frames) {
    msg_t *m = msg_new(VERB_FANOUT, sizeof(fanout_t) + sizeof(fanout_item_t));
    fanout_t *f = (fanout_t *)m->data;
    memset(f, 0, m->size);
    f->members = members;
    f->count = 1;
    f->items[0].seq = seq;
    m->body = block_ref(frames);
    return m;
}

SPEC("gives a fan-out to the sockets of members on its worker and to no other, in order") {
    enum { MANY = 1000 };
    open_stage();
    members_t *few = pool_zalloc(sizeof *few + MANY * sizeof(int64_t));
    members_t *many = pool_zalloc(sizeof *many + MANY * sizeof(int64_t));
    block_t *frames = block_of("x", 1);
    few->count = 2;
    few->users[0] = 7;
    few->users[1] = 9;
    many->count = MANY;
    for (int i = 0; i < MANY; i++)
        many->users[i] = i * 2 + 1;
    CHECK(join(0, 7, "a") && join(2, 7, "b") && join(4, 8, "a") && join(1, 7, "c"));
    for (int64_t seq = 1; seq <= 50; seq++)
        runtime_send(rt, hub_ref(0), fanout_of(seq % 2 ? few : many, seq, frames));
    UNTIL(nets[0].last_seq == 50 && nets[2].last_seq == 50);
    CHECK_INT(nets[4].delivered, 0);
    CHECK_INT(nets[1].delivered, 0); /* the other hub was sent nothing */
    close_stage();
    CHECK_INT(frames->refs, 1);
    block_unref(frames);
    pool_free(few, sizeof *few + MANY * sizeof(int64_t));
    pool_free(many, sizeof *many + MANY * sizeof(int64_t));
}

SPEC("makes the frame that a push needs") {
    block_t *b = hub_frame("presence", SLICE("{\"a\":1}"));
    CHECK_INT((unsigned char)b->data[0], 0x81);
    CHECK_INT(b->data[1], b->len - 2);
    CHECK_TEXT(b->data + 2, b->len - 2, "{\"type\":\"presence\",\"data\":{\"a\":1}}");
    block_unref(b);
    char big[70000];
    memset(big, '1', sizeof big);
    b = hub_frame("x", (slice_t){big, sizeof big});
    CHECK_INT(b->data[1], 127);
    CHECK_INT(b->len, 10 + 70000 + strlen("{\"type\":\"x\",\"data\":}"));
    block_unref(b);
}
SPEC_MAIN
