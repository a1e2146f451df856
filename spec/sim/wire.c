/* wire: see wire.h. Both ends run in the one thread of the world. */
#include "spec/sim/wire.h"
#include "base/pool.h"

#define FD_BASE   1000000 /* no descriptor of this process: what asks the kernel gets an error */
#define DELAY_US  5000    /* of one piece, one way */
#define PIECE_MAX 4096

struct wire {
    int id;
    net_worker_t *w;
    net_conn_t *c; /* NULL: the server has let go of it */
    buf_t up;      /* written by the client, not read by the server */
    buf_t flying;  /* sent by the server */
    buf_t down;    /* arrived at the client */
    uint32_t window;
    bool reading; /* the server wants bytes */
    bool client_end, client_reset, told_end;
    bool server_end; /* behind what flies */
    bool ended;      /* has arrived */
    bool up_event, down_event, news;
    net_addr_t peer;
    const net_listener_t *listener;
};

static sim_t *world;
static wire_t *wires[WIRES];
static int wire_count;
static int news[WIRES], news_first, news_count;
static net_listener_t listeners[2] = {{.id = 0}, {.id = 1}};

static void note_news(wire_t *x) {
    if (x->news)
        return;
    x->news = true;
    news[(news_first + news_count++) % WIRES] = x->id;
}

int wire_news(void) {
    if (news_count == 0)
        return -1;
    int id = news[news_first];
    news_first = (news_first + 1) % WIRES;
    news_count--;
    wires[id]->news = false;
    return id;
}

static wire_t *wire_of(const net_conn_t *c) {
    int id = c->fd - FD_BASE;
    wire_t *x = id >= 0 && id < wire_count ? wires[id] : NULL;
    return x && x->c == c ? x : NULL;
}

static uint64_t delay_ns(void) {
    return 1000 + sim_below(world, DELAY_US * 1000);
}

/* --- to the client --- */
static void resume_sending(void *arg) {
    wire_t *x = arg;
    if (!x->c)
        return;
    x->c->flags &= ~(uint32_t)F_BLOCKED;
    conn_pend(x->c);
}

static void schedule_down(wire_t *x);

static void arrive_down(void *arg) {
    wire_t *x = arg;
    x->down_event = false;
    size_t n = x->flying.len;
    if (n > 1 && sim_below(world, 3) == 0)
        n = 1 + sim_below(world, n);
    if (n) {
        buf_add(&x->down, x->flying.at, n);
        buf_drop(&x->flying, n);
    }
    if (x->flying.len == 0 && x->server_end)
        x->ended = true;
    if (n || x->ended)
        note_news(x);
    if (x->flying.len)
        schedule_down(x);
}

static void schedule_down(wire_t *x) {
    if (x->down_event || x->ended)
        return;
    x->down_event = true;
    sim_after(world, NULL, delay_ns(), arrive_down, x);
}

static uint32_t room_of(const wire_t *x) {
    size_t held = x->flying.len + x->down.len;
    return held < x->window ? x->window - (uint32_t)held : 0;
}

static bool send_some(net_conn_t *c) {
    wire_t *x = wire_of(c);
    if (!x || x->client_reset)
        return false;
    while (c->head && !out_is_file(c->head)) {
        out_node_t *n = c->head;
        uint32_t room = room_of(x), len = n->len < room ? n->len : room;
        if (len == 0) {
            c->flags |= F_BLOCKED;
            break;
        }
        buf_add(&x->flying, (n->block ? n->block->data : n->data) + n->off, len);
        out_sent(c, len);
    }
    if (c->head && out_is_file(c->head))
        return false; /* no spec asks for one */
    schedule_down(x);
    return true;
}

/* --- to the server --- */
static void schedule_up(wire_t *x);

static void read_piece(wire_t *x) {
    net_conn_t *c = x->c;
    size_t n = x->up.len < PIECE_MAX ? x->up.len : PIECE_MAX;
    if (n > 1 && sim_below(world, 4) == 0)
        n = 1 + sim_below(world, n);
    memcpy(x->w->rbuf, x->up.at, n);
    buf_drop(&x->up, n);
    conn_input(c, x->w->rbuf, n);
}

static void on_event(void *arg) {
    wire_t *x = arg;
    if (!x->c || (x->c->flags & F_ABORT))
        return;
    if (x->client_reset) {
        conn_cut(x->c);
    } else if (x->up.len && conn_takes(x->c)) {
        read_piece(x);
    } else if (x->up.len == 0 && x->client_end && !x->told_end) {
        x->told_end = true;
        conn_eof(x->c);
    }
}

static void arrive_up(void *arg) {
    wire_t *x = arg;
    x->up_event = false;
    if (!x->c)
        return;
    sim_enter(x->w->rt, x->w->index, on_event, x);
    if (x->c && (x->client_reset || (x->up.len ? x->reading : x->client_end && !x->told_end)))
        schedule_up(x);
}

static void schedule_up(wire_t *x) {
    if (x->up_event || !x->c)
        return;
    x->up_event = true;
    sim_after(world, x->w->rt, delay_ns(), arrive_up, x);
}

/* --- the transport --- */
static bool open_wire(net_conn_t *c, const net_listener_t *l) {
    (void)l;
    wires[c->fd - FD_BASE]->c = c;
    wires[c->fd - FD_BASE]->reading = true;
    return true;
}

static void watch(net_conn_t *c, bool read) {
    wire_t *x = wire_of(c);
    if (!x)
        return;
    x->reading = read;
    if (read && (x->up.len || (x->client_end && !x->told_end)))
        schedule_up(x);
}

static void shut(net_conn_t *c) {
    wire_t *x = wire_of(c);
    if (!x)
        return;
    x->server_end = true;
    schedule_down(x);
}

static void close_now(net_conn_t *c) {
    wire_t *x = wire_of(c);
    if (!x)
        return;
    x->c = NULL;
    x->server_end = true;
    schedule_down(x);
}

static const transport_t wire_transport = {open_wire, send_some, watch, shut, close_now};

/* --- the client's side --- */
void wire_setup(sim_t *s) {
    world = s;
}

void wire_reset(void) {
    for (int i = 0; i < wire_count; i++) {
        buf_free(&wires[i]->up);
        buf_free(&wires[i]->flying);
        buf_free(&wires[i]->down);
        pool_free(wires[i], sizeof **wires);
    }
    wire_count = news_first = news_count = 0;
}

void wire_net(net_t *net) {
    net->given = &wire_transport;
}

static void accept_wire(void *arg) {
    wire_t *x = arg;
    net_t *net = x->w->net;
    if (atomic_load(&net->stopping)) {
        x->server_end = true;
        schedule_down(x);
        return;
    }
    atomic_fetch_add(&net->open, 1);
    conn_open(x->w, x->listener, FD_BASE + x->id, &x->peer);
    if (!x->c) {
        x->server_end = true;
        schedule_down(x);
    }
}

int wire_open(net_t *net, uint32_t listener, uint32_t window) {
    if (wire_count == WIRES)
        return -1;
    wire_t *x = pool_zalloc(sizeof *x);
    x->id = wire_count;
    wires[wire_count++] = x;
    x->w = &net->workers[sim_below(world, net->worker_count)];
    x->window = window;
    x->listener = &listeners[listener];
    x->peer.ip[10] = x->peer.ip[11] = 0xff;
    x->peer.ip[12] = 10;
    x->peer.ip[15] = (uint8_t)(1 + sim_below(world, 200));
    x->peer.port = (uint16_t)(1024 + x->id);
    sim_enter(net->rt, x->w->index, accept_wire, x);
    return x->id;
}

void wire_write(int id, const char *at, size_t len) {
    wire_t *x = wires[id];
    if (x->client_end || x->client_reset || !x->c)
        return;
    buf_add(&x->up, at, len);
    schedule_up(x);
}

slice_t wire_peek(int id) {
    return (slice_t){wires[id]->down.at, wires[id]->down.len};
}

void wire_take(int id, size_t len) {
    wire_t *x = wires[id];
    bool was_full = room_of(x) == 0;
    buf_drop(&x->down, len);
    if (was_full && x->c && room_of(x))
        sim_enter(x->w->rt, x->w->index, resume_sending, x);
}

bool wire_ended(int id) {
    return wires[id]->ended;
}

void wire_close(int id, bool hard) {
    wire_t *x = wires[id];
    x->client_end = true;
    x->client_reset = hard;
    schedule_up(x);
}

void wire_node_died(void) {
    for (int i = 0; i < wire_count; i++) {
        wire_t *x = wires[i];
        if (!x->c)
            continue;
        x->c = NULL;
        x->server_end = true;
        x->up_event = true; /* its event ends with the node */
        schedule_down(x);
    }
}
