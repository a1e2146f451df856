/* node: see node.h. */
#include "spec/sim/node.h"
#include "actors/chat.h"
#include "actors/edge.h"
#include "actors/hub.h"
#include "spec/sim/wire.h"
#include <stdio.h>

struct node {
    conf_t *conf;
    sim_t *world;
    runtime_t *rt;
    store_t *store;
    kv_t *kv;
    stream_t *stream;
    crypt_t *crypt;
    edge_t *edge;
    script_t *script;
    net_t *net;
    bool hub, store_lost;
    char fault[512];
};

#define FAULT(n) (n)->fault, sizeof(n)->fault

static bool set(node_t *n, const char *key, const char *value) {
    return conf_set(n->conf, key, slice_of(value), FAULT(n)) == ERR_OK;
}

static bool read_settings(node_t *n, const char *dir, const char *const *settings) {
    static const char *const always[] = {
        "auth.secret=0123456789abcdef0123456789abcdef",
        "crypt.ops=1",
        "crypt.memory=8KiB",
        "workers=3",
        "limits.ws_messages=0",
        "limits.ws_frames=0",
        "limits.http_user=0",
        "limits.http_addr=0",
        "limits.auth_addr=0",
        "limits.handshake_addr=0",
        NULL,
    };
    const char *const *lists[] = {always, settings};
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; lists[l] && lists[l][i]; i++) {
            char key[128];
            const char *eq = strchr(lists[l][i], '=');
            snprintf(key, sizeof key, "%.*s", (int)(eq - lists[l][i]), lists[l][i]);
            if (!set(n, key, eq + 1))
                return false;
        }
    return set(n, "data.dir", dir) && conf_check(n->conf, FAULT(n)) == ERR_OK;
}

static bool open_ports(node_t *n) {
    return (n->store = store_open(n->rt, n->conf, FAULT(n))) &&
           (n->kv = kv_open(n->rt, n->conf, FAULT(n))) &&
           (n->stream = stream_open(n->rt, n->conf, FAULT(n))) &&
           (n->crypt = crypt_open(n->rt, n->conf, FAULT(n)));
}

static bool open_actors(node_t *n) {
    size_t count;
    if (!(n->edge = edge_new(n->rt, n->conf, n->store, FAULT(n))))
        return false;
    const script_function_t *functions = edge_functions(n->edge, &count);
    script_ports_t ports = {n->store, n->kv, n->stream, n->crypt, NULL};
    if (!(n->script = script_open(n->rt, n->conf, &ports, functions, count, FAULT(n))))
        return false;
    if (edge_set_script(n->edge, n->script, FAULT(n)) != ERR_OK ||
        hub_setup(n->rt, n->conf) != ERR_OK)
        return false;
    n->hub = true;
    return chat_setup(n->rt, n->conf, n->store, n->script, FAULT(n)) == ERR_OK;
}

static void take_apart(node_t *n) {
    net_free(n->net);
    script_close(n->script);
    crypt_close(n->crypt);
    stream_close(n->stream);
    kv_close(n->kv);
    if (!n->store_lost)
        store_close(n->store);
    if (n->hub)
        hub_teardown(n->rt);
    runtime_free(n->rt);
    edge_free(n->edge);
    conf_free(n->conf);
    pool_free(n, sizeof *n);
}

node_t *node_up(sim_t *s, const char *dir, const char *const *settings) {
    node_t *n = pool_zalloc(sizeof *n);
    n->world = s;
    n->conf = conf_new();
    bool ok = read_settings(n, dir, settings);
    if (ok) {
        runtime_conf_t rc = {.workers = (uint32_t)conf_int(n->conf, "workers")};
        sim_join(s, &rc);
        n->rt = runtime_new(&rc);
        ok = open_ports(n) && open_actors(n) && (n->net = net_new(n->rt, n->conf, edge_handler()));
    }
    if (!ok) {
        fprintf(stderr, "node: %s\n", n->fault);
        take_apart(n);
        return NULL;
    }
    wire_net(n->net);
    runtime_start(n->rt);
    edge_start(n->edge);
    return n;
}

void node_crash(node_t *n) {
    wire_node_died();
    n->store_lost = sim_aside(n->rt);
    runtime_stop(n->rt, 0);
    take_apart(n);
}

void node_stop(node_t *n) {
    uint64_t until = sim_now_ns(n->world) + 16000000000u;
    edge_drain(n->edge);
    while (sim_now_ns(n->world) < until && stat_read(STAT_WS_CONNECTIONS) > 0 && sim_step(n->world))
        ;
    atomic_store(&((struct net *)n->net)->stopping, true);
    runtime_stop(n->rt, 5000);
    take_apart(n);
}

net_t *node_net(node_t *n) {
    return n->net;
}

runtime_t *node_runtime(node_t *n) {
    return n->rt;
}

void node_reload(node_t *n) {
    script_reload(n->script);
}

bool node_ready(node_t *n) {
    return edge_ready(n->edge);
}
