/* http_ops: what operators and load balancers ask: health, readiness, counts, metrics, the API
 * page (PROTOCOL.md sections 1 and 16). Inside the connection's actor. */
#include "actors/edge.h"
#include "actors/hub.h"
#include "admin/metrics.h"
#include "admin/reporter.h"

#define JSON_TYPE      "application/json; charset=utf-8"
#define STORE_OLD_MS   5000
#define REPORT_WAIT_MS 2000

static void answer_json(conn_t *c, int status, buf_t *b) {
    http_answer(c, status, JSON_TYPE, "", block_from_buf(b));
}

static void health(conn_t *c) {
    buf_t b = {0};
    buf_add_text(&b, "{\"status\":\"ok\"}");
    answer_json(c, 200, &b);
}

static bool store_ok(const edge_t *e, int64_t now_ms) {
    return atomic_load(&e->loaded) && now_ms - atomic_load(&e->store_ok_ms) < STORE_OLD_MS;
}

bool edge_ready(const edge_t *e) {
    return atomic_load(&e->loaded);
}

/* A store of files that does not answer is told, but a chat goes on without it: only what no
 * waiting cures, our own configuration, makes a node not ready. */
static void ready(conn_t *c) {
    edge_t *e = edge_at(c)->edge;
    bool draining = atomic_load(&e->draining), ok = store_ok(e, actor_wall_ms(c->self));
    bool wrong = false, outside = e->blob && blob_outside(e->blob);
    const char *trouble = outside ? blob_trouble(e->blob, &wrong) : NULL;
    bool good = ok && !draining && !wrong;
    buf_t b = {0};
    buf_addf(&b, "{\"status\":\"%s\",\"checks\":{\"db\":\"%s\"", good ? "ready" : "not_ready",
             ok ? "ok" : "no answer");
    if (outside)
        buf_addf(&b, ",\"files\":\"%s\"", trouble ? trouble : "ok");
    if (draining)
        buf_add_text(&b, ",\"drain\":\"stopping\"");
    buf_add_text(&b, "}}");
    answer_json(c, good ? 200 : 503, &b);
}

static void stats(conn_t *c) {
    int64_t pushes = stat_read(STAT_OUT_NEW_MESSAGE) + stat_read(STAT_OUT_MESSAGE_RESEND);
    buf_t b = {0};
    buf_addf(&b, "{\"online_users\":%zu,\"total_connections\":%lld,\"total_messages\":%lld",
             hub_users_online(), (long long)stat_read(STAT_WS_CONNECTIONS), (long long)pushes);
    json_add_bool(&b, "draining", atomic_load(&edge_at(c)->edge->draining));
    buf_add_char(&b, '}');
    answer_json(c, 200, &b);
}

/* --- /metrics --- */

static uint64_t requests_of(const edge_t *e, size_t route, size_t status) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < e->worker_count; i++)
        n += atomic_load_explicit(&e->workers[i].http[route][status], memory_order_relaxed);
    return n;
}

static void add_requests(const edge_t *e, buf_t *out) {
    size_t n;
    const route_t *all = routes_all(&n);
    metrics_family(out, "http_requests_total", "counter", "HTTP requests answered");
    for (size_t r = 0; r < ROUTE_STATS; r++)
        for (size_t s = 0; s < STATUS_STATS; s++) {
            uint64_t count = requests_of(e, r, s);
            if (!count)
                continue;
            bool ours = r < n;
            buf_addf(out,
                     "parley_http_requests_total{route=\"%s\",method=\"%s\",status=\"%d\"} %llu\n",
                     ours ? all[r].path : "other", ours ? routes_method(all[r].method) : "any",
                     http_status_of(s), (unsigned long long)count);
        }
}

/* Without the part on actors should the reporter be too busy. */
void ops_metrics(conn_t *c, const msg_t *m) {
    buf_t b = {0};
    /* the hubs' table is the truth: the gauge follows it when somebody looks */
    stat_add(STAT_USERS_ONLINE, (int64_t)hub_users_online() - stat_read(STAT_USERS_ONLINE));
    metrics_render(&b);
    add_requests(edge_at(c)->edge, &b);
    if (m->err == ERR_OK && m->body)
        buf_add(&b, m->body->data, m->body->len);
    metrics_family(&b, "build_info", "gauge", "the version that runs");
    buf_add_text(&b, "parley_build_info{version=\"" PARLEY_VERSION "\"} 1\n");
    http_answer(c, 200, "text/plain; version=0.0.4; charset=utf-8", "", block_from_buf(&b));
}

void ops_answer(conn_t *c, uint8_t run, slice_t path) {
    switch (run) {
    case RUN_HEALTH:
        health(c);
        break;
    case RUN_READY:
        ready(c);
        break;
    case RUN_STATS:
        stats(c);
        break;
    case RUN_METRICS:
        http_ask_reporter(c, msg_new(REPORT_ACTORS, 0), REPORT_WAIT_MS);
        break;
    case RUN_DEBUG:
        http_debug(c, path);
        break;
    default:
        http_answer(c, 200, JSON_TYPE, "", block_ref(edge_at(c)->edge->openapi));
    }
}
