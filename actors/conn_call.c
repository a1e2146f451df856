/* conn_call: signaling frames (PROTOCOL.md section 12): each goes to the service `call` under the
 * key of its call. One frame of a socket is there at a time, the others wait here: so they are
 * handled, and answered, in the order received. Inside the connection's actor. */
#include "actors/edge.h"

enum { SIGNALS_MAX = 256 }; /* the socket is not read while so many wait */

typedef struct call_signal {
    struct call_signal *next;
    uint64_t key;
    block_t *json;
    uint8_t id_len;
    char id[64];
} call_signal_t;

static const slice_t none = {NULL, 0};

/* The action of a short form; {NULL,0}: `signaling` names it itself. */
static slice_t short_form(slice_t type) {
    static const struct {
        const char *type, *action;
    } forms[] = {{"call_offer", "offer"},
                 {"call_answer", "answer"},
                 {"call_ice", "ice_candidate"},
                 {"call_hangup", "hangup"}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (slice_eq(type, slice_of(forms[i].type)))
            return slice_of(forms[i].action);
    return none;
}

/* A new call gets a key that no user has as id; the others carry theirs in call_id. */
static uint64_t key_of(conn_t *c, const json_doc_t *doc, slice_t action, json_at_t payload) {
    slice_t id;
    if (slice_eq(action, SLICE("call")))
        return actor_random(c->self) >> 10 | (uint64_t)1 << 53;
    return json_string(doc, json_get(doc, payload, "call_id"), &id) ? calls_key(id) : 0;
}

static block_t *request_json(const conn_t *c, const frame_in_t *f, slice_t action,
                             json_at_t payload) {
    buf_t b = {0};
    buf_add_char(&b, '{');
    json_add_int(&b, "user", c->user);
    json_add_text(&b, "device", slice_of(c->device));
    json_add_text(&b, "action", action);
    if (payload) {
        json_add_key(&b, "payload");
        json_add_node(&b, f->doc, payload);
    }
    buf_add_char(&b, '}');
    return block_from_buf(&b);
}

static void ask_first(conn_t *c) {
    const edge_t *e = edge_at(c)->edge;
    conn_edge_t *x = c->edge;
    const call_signal_t *s = x->signal_first;
    script_call(e->script, c->self, e->call_service, "signal", s->key, block_ref(s->json),
                e->deadline_ms, VERB_SIGNALED, ++x->signal_turn);
}

static void add(conn_t *c, call_signal_t *s) {
    conn_edge_t *x = conn_edge(c);
    if (x->signals++)
        x->signal_last->next = s;
    else
        x->signal_first = s;
    x->signal_last = s;
    if (x->signals == 1)
        ask_first(c);
    if (x->signals >= SIGNALS_MAX)
        conn_pause(c, PAUSE_CALLS);
}

static void drop_first(conn_edge_t *x) {
    call_signal_t *s = x->signal_first;
    x->signal_first = s->next;
    x->signals--;
    block_unref(s->json);
    pool_free(s, sizeof *s);
}

/* A call may leave a message, so it counts as one. */
static bool call_allowed(conn_t *c, const frame_in_t *f, slice_t action) {
    uint32_t wait = slice_eq(action, SLICE("call")) ? frame_message_wait(c) : 0;
    if (wait == 0)
        return true;
    stat_add(STAT_CALLS_REFUSED, 1);
    conn_error(c, f->id, ERR_RATE_LIMITED, NULL, none, wait);
    return false;
}

void signal_frame(conn_t *c, const frame_in_t *f) {
    slice_t action = short_form(f->type);
    json_at_t payload = f->data;
    if (!action.at) {
        if (!json_string(f->doc, json_get(f->doc, f->data, "action"), &action)) {
            conn_error(c, f->id, ERR_BAD_REQUEST, "invalid signaling request", none, 0);
            return;
        }
        payload = json_get(f->doc, f->data, "payload");
    }
    if (!call_allowed(c, f, action))
        return;
    call_signal_t *s = pool_zalloc(sizeof *s);
    s->key = key_of(c, f->doc, action, payload);
    s->json = request_json(c, f, action, payload);
    s->id_len = (uint8_t)f->id.len;
    if (f->id.len)
        memcpy(s->id, f->id.at, f->id.len);
    add(c, s);
}

/* --- answers --- */

/* The service's own text; err gives the symbol. */
static void answer_error(conn_t *c, slice_t id, const msg_t *m) {
    json_doc_t *doc = edge_at(c)->aside;
    char text[200];
    slice_t s = none;
    buf_t copy = {0}; /* a block is shared: it is not parsed in place */
    if (m->body)
        buf_add(&copy, m->body->data, m->body->len);
    if (m->body && json_parse(doc, copy.at, copy.len) == ERR_OK)
        json_string(doc, json_get(doc, JSON_ROOT, "error"), &s);
    size_t len = s.len < sizeof text ? s.len : 0;
    if (len)
        memcpy(text, s.at, len);
    text[len] = 0;
    buf_free(&copy);
    conn_error(c, id, m->err, len ? text : NULL, none, 0);
}

static void answer_ok(conn_t *c, slice_t id, const msg_t *m) {
    buf_t *b = &edge_at(c)->out;
    conn_frame_begin(b, "signal_resp", id);
    json_add_key(b, "data");
    if (m->body)
        buf_add(b, m->body->data, m->body->len);
    else
        buf_add_text(b, "null");
    stat_add(STAT_OUT_SIGNAL_RESP, 1);
    conn_frame_end(c, b);
}

void signal_answer(conn_t *c, const msg_t *m) {
    conn_edge_t *x = c->edge;
    if (!x || !x->signal_first || (uint32_t)m->cookie != x->signal_turn || c->closing)
        return;
    slice_t id = {x->signal_first->id, x->signal_first->id_len};
    if (m->err == ERR_OK)
        answer_ok(c, id, m);
    else
        answer_error(c, id, m);
    drop_first(x);
    if (x->signal_first)
        ask_first(c);
    if (x->signals < SIGNALS_MAX / 2)
        conn_resume(c, PAUSE_CALLS);
}

void signals_free(conn_t *c) {
    while (c->edge->signal_first)
        drop_first(c->edge);
}
