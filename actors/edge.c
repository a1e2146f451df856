/* edge: makes and ends what the files of the edge share (edge.h). Called by main; the worker hook
 * runs in each worker's thread. */
#include "actors/edge.h"
#include "actors/media.h"
#include "admin/reporter.h"
#include "base/log.h"
#include <assert.h>
#include <stdio.h>

#define LOGINS_MAX   4000000
#define DISABLED_MAX 4000000
#define BUCKETS_MAX  200000

static uint32_t ms_of(const conf_t *conf, const char *key) {
    int64_t v = conf_int(conf, key);
    return v > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)v;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t within(uint32_t v, uint32_t low, uint32_t high) {
    return v < low ? low : v > high ? high : v;
}

/* How often a socket is looked at, and how often the list is walked, follow from the shortest time
 * that counts. */
static void read_times(edge_t *e) {
    e->ping_ms = ms_of(e->conf, "ws.ping_interval");
    e->dead_ms = ms_of(e->conf, "ws.dead_after");
    e->pong_ms = ms_of(e->conf, "ws.pong_timeout");
    e->slow_ms = ms_of(e->conf, "ws.slow_after");
    e->expiry_ms = ms_of(e->conf, "ws.expiry_grace");
    e->grace_ms = ms_of(e->conf, "presence.grace");
    e->drain_ms = ms_of(e->conf, "drain.time");
    e->deadline_ms = ms_of(e->conf, "http.deadline");
    e->bodies_max = (uint64_t)conf_int(e->conf, "http.bodies");
    uint32_t shortest = least(least(e->ping_ms, e->slow_ms), e->dead_ms / 4);
    if (e->pong_ms)
        shortest = least(shortest, e->pong_ms);
    e->visit_ms = within(shortest / 4, 20, 10000);
    e->sweep_ms = within(least(e->visit_ms / 4, e->drain_ms / 8), 20, 250);
    uint32_t silent = e->pong_ms ? least(e->pong_ms, e->dead_ms) : e->dead_ms;
    e->silent_visits = (uint8_t)within(silent / 2 / e->visit_ms, 1, 200);
}

static void read_settings(edge_t *e) {
    const conf_t *c = e->conf;
    e->open_mode = slice_eq(conf_text(c, "ws.mode"), SLICE("open"));
    e->echo = conf_bool(c, "test.echo");
    e->http_ws = conf_bool(c, "http.ws");
    e->http_user = conf_rate(c, "limits.http_user");
    e->http_addr = conf_rate(c, "limits.http_addr");
    e->auth_addr = conf_rate(c, "limits.auth_addr");
    e->handshake_addr = conf_rate(c, "limits.handshake_addr");
    e->ws_frames = conf_rate(c, "limits.ws_frames");
    e->ws_messages = conf_rate(c, "limits.ws_messages");
    e->ops_token = conf_text(c, "ops.token");
    e->tokens = (token_keys_t){conf_text(c, "auth.secret"), conf_text(c, "auth.old_secret")};
    e->max_frame = (uint32_t)conf_int(c, "ws.max_frame");
    e->max_devices = (uint32_t)conf_int(c, "ws.max_devices");
    e->queue_soft = (uint32_t)conf_int(c, "ws.queue_soft");
    e->queue_hard = (uint32_t)conf_int(c, "ws.queue_hard");
    e->revoke_ms = conf_int(c, "auth.access_ttl");
    if (e->revoke_ms < conf_int(c, "auth.refresh_ttl"))
        e->revoke_ms = conf_int(c, "auth.refresh_ttl");
    e->stall_ms = (uint32_t)conf_int(c, "files.stall");
    link_keys(c, &e->links);
    e->visible_to_all = slice_eq(conf_text(c, "presence.visibility"), SLICE("all"));
    read_times(e);
}

static int find_op(const edge_t *e, const char *name, int *out, char *fault, size_t room) {
    *out = store_op(e->store, name);
    if (*out >= 0)
        return ERR_OK;
    snprintf(fault, room, "the store has no operation %s", name);
    return ERR_INTERNAL;
}

static int find_ops(edge_t *e, char *fault, size_t room) {
    int err = find_op(e, "logins_revoked", &e->op_revoked, fault, room);
    if (err == ERR_OK)
        err = find_op(e, "users_inactive", &e->op_inactive, fault, room);
    if (err == ERR_OK)
        err = find_op(e, "users_seen", &e->op_seen, fault, room);
    if (err == ERR_OK)
        err = find_op(e, "presence_of", &e->op_presence, fault, room);
    if (err == ERR_OK)
        err = find_op(e, "ping", &e->op_ping, fault, room);
    if (err == ERR_OK)
        err = find_op(e, "file_get", &e->op_file, fault, room);
    if (err == ERR_OK)
        err = find_op(e, "file_readable", &e->op_readable, fault, room);
    return err;
}

static void worker_hook(runtime_t *rt, uint32_t worker, bool starting, void *arg) {
    edge_t *e = arg;
    edge_worker_t *w = &e->workers[worker];
    if (starting) {
        w->edge = e;
        w->index = worker;
        w->doc = json_doc_new();
        w->aside = json_doc_new();
        worker_local_set(rt, worker, LOCAL_APP, w);
        return;
    }
    json_doc_free(w->doc);
    json_doc_free(w->aside);
    buf_free(&w->out);
    pool_free(w->live, w->live_cap * sizeof *w->live);
}

edge_t *edge_new(runtime_t *rt, const conf_t *conf, store_t *store, char *fault, size_t room) {
    edge_t *e = pool_zalloc(sizeof *e);
    e->rt = rt;
    e->conf = conf;
    e->store = store;
    e->worker_count = runtime_workers(rt);
    e->workers = pool_zalloc(e->worker_count * sizeof *e->workers);
    e->logins = denied_new("revoked login", LOGINS_MAX);
    e->disabled = denied_new("disabled user", DISABLED_MAX);
    e->limits = limit_new(BUCKETS_MAX);
    read_settings(e);
    if (find_ops(e, fault, room) != ERR_OK || web_load(e, fault, room) != ERR_OK) {
        edge_free(e);
        return NULL;
    }
    size_t routes;
    routes_all(&routes);
    assert(routes < ROUTE_STATS);
    e->openapi = openapi_make();
    inbox_register(e);
    runtime_worker_hook(rt, worker_hook, e);
    if (!seen_setup(e))
        log_die("edge", "no room for actors");
    if (e->open_mode)
        log_warn("edge", "ws.mode=open: user_id is trusted without a token");
    return e;
}

void edge_set_files(edge_t *e, blob_t *blob) {
    e->blob = blob;
    media_setup(&e->links, blob, conf_int(e->conf, "files.get_ttl"));
    media_clock(runtime_wall_ms(e->rt));
}

static bool find_service(const edge_t *e, const char *name, int *out, char *fault, size_t room) {
    *out = script_service(e->script, name);
    if (*out < 0)
        snprintf(fault, room, "no Lua service %s", name);
    return *out >= 0;
}

int edge_set_script(edge_t *e, script_t *script, char *fault, size_t room) {
    size_t n;
    const route_t *all = routes_all(&n);
    e->script = script;
    for (size_t i = 0; i < n; i++) {
        if (!all[i].service)
            continue;
        e->service[i] = script_service(script, all[i].service);
        if (e->service[i] < 0) {
            snprintf(fault, room, "no Lua service %s for %s", all[i].service, all[i].path);
            return ERR_INTERNAL;
        }
    }
    return find_service(e, "call", &e->call_service, fault, room) &&
                   find_service(e, "operator", &e->operator_service, fault, room)
               ? ERR_OK
               : ERR_INTERNAL;
}

void edge_start(edge_t *e) {
    e->reporter = actor_spawn(e->rt, NULL, &reporter_class, 0, -1, NULL);
    live_start(e);
}

void edge_drain(edge_t *e) {
    atomic_store(&e->draining, true);
    live_now(e);
}

void edge_undrain(edge_t *e) {
    atomic_store(&e->draining, false);
}

void edge_free(edge_t *e) {
    if (!e)
        return;
    web_free(e);
    block_unref(e->openapi);
    edge_functions_free(e);
    denied_free(e->logins);
    denied_free(e->disabled);
    limit_free(e->limits);
    pool_free(e->workers, e->worker_count * sizeof *e->workers);
    pool_free(e, sizeof *e);
}
