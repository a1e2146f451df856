/* http_debug: /debug, what operators look into: counts of the inside, and profiles in the format of
 * the pprof tool (PROTOCOL.md row 59). Inside the connection's actor; a profile is made by the
 * reporter's thread. */
#include "actors/edge.h"
#include "admin/reporter.h"
#include "base/text.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define PRESET_S  30    /* seconds of a CPU profile, as pprof expects */
#define ANSWER_MS 10000 /* what naming a profile's addresses may take */

static void add_store(const edge_t *e, buf_t *b) {
    store_stats_t s;
    store_stats(e->store, &s);
    json_add_key(b, "store");
    buf_add_char(b, '{');
    json_add_int(b, "commits", (int64_t)s.commits);
    json_add_int(b, "rows", (int64_t)s.rows);
    json_add_int(b, "reads", (int64_t)s.reads);
    json_add_int(b, "refused", (int64_t)s.refused);
    json_add_int(b, "wal_bytes", (int64_t)s.wal_bytes);
    json_add_int(b, "write_queue", s.write_queue);
    json_add_int(b, "read_queue", s.read_queue);
    buf_add_char(b, '}');
}

static void vars(conn_t *c) {
    edge_t *e = edge_at(c)->edge;
    uint64_t used, cached;
    runtime_counts_t counts;
    buf_t b = {0};
    runtime_counts(e->rt, &counts);
    pool_usage(&used, &cached);
    buf_add_text(&b, "{\"version\":\"" PARLEY_VERSION "\"");
    json_add_int(&b, "workers", e->worker_count);
    json_add_int(&b, "connections", stat_read(STAT_CONNECTIONS));
    json_add_int(&b, "ws_connections", stat_read(STAT_WS_CONNECTIONS));
    json_add_int(&b, "actors", counts.actors);
    json_add_int(&b, "actor_slot_bytes", (int64_t)counts.slot_bytes);
    json_add_int(&b, "pool_used_bytes", (int64_t)used);
    json_add_int(&b, "pool_cached_bytes", (int64_t)cached);
    json_add_int(&b, "revoked_logins", (int64_t)denied_count(e->logins));
    json_add_int(&b, "rate_buckets", (int64_t)limit_count(e->limits));
    add_store(e, &b);
    buf_add_char(&b, '}');
    http_answer(c, 200, JSON_TYPE, "", block_from_buf(&b));
}

/* --- profiles --- */

void http_ask_reporter(conn_t *c, msg_t *wish, uint32_t ms) {
    http_call_t *call = c->http;
    /* instead of http.deadline, and after the request's own */
    call->timer = actor_after(c->self, ms + 1000, VERB_DEADLINE, call->serial);
    call->call_id =
        actor_request(c->self, edge_at(c)->edge->reporter, wish, ms, VERB_REPORT, call->serial);
}

/* seconds: absent = the preset. false: answered already. */
static bool seconds_of(conn_t *c, uint32_t *out) {
    char room[16];
    slice_t text;
    int64_t n = PRESET_S;
    if (conn_query(c, "seconds", room, sizeof room, &text) &&
        (!text_to_int(text, &n) || n < 1 || n > REPORT_MAX_S)) {
        conn_http_error(c, ERR_BAD_REQUEST, "seconds must be 1 to 60", 0);
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

static void profile_cpu(conn_t *c) {
    report_cpu_t wish;
    if (seconds_of(c, &wish.seconds))
        http_ask_reporter(c, msg_of(REPORT_CPU, &wish, sizeof wish),
                          wish.seconds * 1000 + ANSWER_MS);
}

void http_report(conn_t *c, const msg_t *m) {
    if (!conn_http_waits(c, (uint32_t)m->cookie))
        return;
    c->http->call_id = 0;
    if (c->http->route->run == RUN_METRICS)
        ops_metrics(c, m);
    else if (m->err != ERR_OK || !m->body)
        conn_http_error(c, m->err == ERR_OK ? ERR_INTERNAL : m->err, NULL, 0);
    else
        http_answer(c, 200, "application/octet-stream",
                    "Content-Disposition: attachment; filename=\"parleyd.pprof\"\r\n",
                    block_ref(m->body));
}

void http_debug(conn_t *c, slice_t path) {
    if (slice_eq(path, SLICE("/debug")) || slice_eq(path, SLICE("/debug/")) ||
        slice_eq(path, SLICE("/debug/vars")))
        vars(c);
    else if (slice_eq(path, SLICE("/debug/pprof/profile")))
        profile_cpu(c);
    else if (slice_eq(path, SLICE("/debug/pprof/heap")))
        http_ask_reporter(c, msg_new(REPORT_HEAP, 0), ANSWER_MS);
    else
        conn_http_error(c, ERR_NOT_FOUND, NULL, 0);
}
