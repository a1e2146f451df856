/* report: what the reloader tells: services, canaries, history, differences, as JSON. In its
 * thread. */
#include "base/json.h"
#include "script/reload_in.h"
#include <stdio.h>

static uint64_t read(const _Atomic uint64_t *n) {
    return atomic_load_explicit(n, memory_order_relaxed);
}

/* After { or [ without the comma. */
static void begin_item(buf_t *b, bool first, char open) {
    if (!first)
        buf_add_char(b, ',');
    buf_add_char(b, open);
}

static void add_tally(buf_t *b, const char *key, const tally_t *t) {
    json_add_key(b, key);
    buf_add_char(b, '{');
    json_add_int(b, "calls", (int64_t)read(&t->calls));
    json_add_int(b, "refused", (int64_t)read(&t->refused));
    json_add_int(b, "faults", (int64_t)read(&t->faults));
    json_add_int(b, "p50_us", (int64_t)tally_within(t, 0.5));
    json_add_int(b, "p99_us", (int64_t)tally_within(t, 0.99));
    buf_add_char(b, '}');
}

static void add_side(buf_t *b, const char *key, const version_t *v) {
    json_add_key(b, key);
    buf_add_char(b, '{');
    json_add_int(b, "number", v->number);
    add_tally(b, "requests", &v->requests);
    add_tally(b, "policies", &v->policies);
    buf_add_char(b, '}');
}

static void add_canary(buf_t *b, const canary_t *c, const version_t *old) {
    if (!c->version) {
        json_add_key(b, "canary");
        buf_add_text(b, "null");
        return;
    }
    json_add_key(b, "canary");
    buf_add_char(b, '{');
    json_add_int(b, "since_ms", c->since_ms);
    if (c->one_shard)
        json_add_int(b, "shard", c->shard + 1);
    else
        json_add_int(b, "share", c->share / 100);
    add_side(b, "old", old);
    add_side(b, "new", c->version);
    buf_add_char(b, '}');
}

static void add_shadow(buf_t *b, const shadowing_t *s) {
    json_add_key(b, "shadow");
    if (!s) {
        buf_add_text(b, "null");
        return;
    }
    buf_add_char(b, '{');
    json_add_int(b, "number", s->version->number);
    json_add_int(b, "since_ms", s->since_ms);
    buf_add_char(b, '}');
}

static void add_service(reloader_t *r, uint32_t i) {
    const service_t *sv = &r->script->services[i];
    const history_entry_t *e = history_find(sv->history, sv->current->number);
    buf_t *b = &r->told;
    begin_item(b, i == 0, '{');
    json_add_text(b, "service", slice_of(sv->name));
    json_add_int(b, "number", sv->current->number);
    json_add_int(b, "version", sv->current->declared);
    json_add_text(b, "hash", slice_of(sv->current->hash));
    json_add_int(b, "since_ms", e ? e->at_ms : 0);
    json_add_text(b, "by", slice_of(e ? e->by : ""));
    json_add_int(b, "shards", sv->shards);
    json_add_int(b, "policies", sv->policy_count);
    json_add_bool(b, "held", sv->held != NULL);
    add_canary(b, &r->canaries[i], sv->current);
    add_shadow(b, shadow_of(r, i));
    buf_add_char(b, '}');
}

void report_list(reloader_t *r) {
    buf_add_char(&r->told, '[');
    for (uint32_t i = 0; i < r->script->service_count; i++)
        add_service(r, i);
    buf_add_char(&r->told, ']');
}

/* Those that it uses. */
static void add_files(buf_t *b, const version_t *v) {
    size_t count;
    bool first = true;
    const source_file_t *f = sources_all(v->sources, &count);
    json_add_key(b, "files");
    buf_add_char(b, '[');
    for (size_t i = 0; i < count; i++) {
        if (!version_uses(v, i))
            continue;
        if (!first)
            buf_add_char(b, ',');
        first = false;
        json_add_string(b, slice_of(f[i].path));
    }
    buf_add_char(b, ']');
}

void report_history(reloader_t *r) {
    const history_t *h = r->script->services[r->service].history;
    buf_t *b = &r->told;
    buf_add_char(b, '[');
    for (size_t i = history_count(h); i-- > 0;) {
        const history_entry_t *e = history_at(h, i);
        begin_item(b, i + 1 == history_count(h), '{');
        json_add_int(b, "number", e->version->number);
        json_add_int(b, "version", e->version->declared);
        json_add_text(b, "hash", slice_of(e->version->hash));
        json_add_text(b, "state", slice_of(history_state_name(e->state)));
        json_add_int(b, "came_ms", e->came_ms);
        json_add_text(b, "came_by", slice_of(e->came_by));
        json_add_int(b, "at_ms", e->at_ms);
        json_add_text(b, "by", slice_of(e->by));
        json_add_text(b, "reason", slice_of(e->reason));
        add_files(b, e->version);
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

/* --- differences --- */
typedef struct side {
    version_t *version;
    const sources_t *sources;
    uint32_t number; /* 0: what is in script.dir */
} side_t;

static bool pick(reloader_t *r, int64_t number, side_t *out) {
    const service_t *sv = &r->script->services[r->service];
    const history_entry_t *e;
    if (number == -1) {
        if (!r->fresh && !fresh_read(r))
            return false;
        *out = (side_t){sv->current, r->fresh, 0};
        return true;
    }
    e = number > 0 ? history_find(sv->history, (uint32_t)number) : NULL;
    if (!e) {
        snprintf(r->reason, sizeof r->reason, "there is no such version");
        return false;
    }
    *out = (side_t){e->version, e->version->sources, e->version->number};
    return true;
}

/* Of the other one, the newest of the history that is older. */
static int64_t number_before(const reloader_t *r, uint32_t number) {
    const history_t *h = r->script->services[r->service].history;
    int64_t best = 0;
    for (size_t i = 0; i < history_count(h); i++) {
        const history_entry_t *e = history_at(h, i);
        if (e->version->number < number && e->state != HISTORY_REFUSED && e->version->number > best)
            best = e->version->number;
    }
    return best;
}

/* Files that either uses, in the order of a's set, then those that only b has. */
static void add_diff(buf_t *out, const side_t *a, const side_t *b) {
    const side_t *both[] = {a, b};
    for (int pass = 0; pass < 2; pass++) {
        size_t count;
        const source_file_t *f = sources_all(both[pass]->version->sources, &count);
        for (size_t i = 0; i < count; i++) {
            slice_t name = {f[i].path, strlen(f[i].path) - 4};
            if (!version_uses(both[pass]->version, i) ||
                (pass == 1 && sources_text(a->version->sources, name).at))
                continue;
            diff_add(out, f[i].path, sources_text(a->sources, name),
                     sources_text(b->sources, name));
        }
    }
}

bool report_diff(reloader_t *r) {
    const service_t *sv = &r->script->services[r->service];
    side_t a, b;
    int64_t to = r->order.b ? r->order.b : sv->current->number;
    int64_t from = r->order.a ? r->order.a
                   : to == -1 ? sv->current->number
                              : number_before(r, (uint32_t)to);
    buf_t text = {0};
    if (!pick(r, from, &a) || !pick(r, to, &b))
        return false;
    add_diff(&text, &a, &b);
    buf_add_char(&r->told, '{');
    json_add_int(&r->told, "a", a.number);
    json_add_int(&r->told, "b", b.number);
    json_add_text(&r->told, "diff", buf_slice(&text));
    buf_add_char(&r->told, '}');
    buf_free(&text);
    return true;
}
