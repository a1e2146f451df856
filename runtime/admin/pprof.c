/* pprof: see pprof.h. Field numbers are those of profile.proto. Texts, functions and locations get
 * their numbers when they are first seen; sums of samples are kept by a hash of stack and label. */
#include "admin/pprof.h"
#include "admin/symbols.h"
#include "base/hash.h"
#include "base/pool.h"

enum { /* profile.proto: message Profile */
       P_SAMPLE_TYPE = 1,
       P_SAMPLE = 2,
       P_MAPPING = 3,
       P_LOCATION = 4,
       P_FUNCTION = 5,
       P_STRING = 6,
       P_TIME = 9,
       P_DURATION = 10,
       P_PERIOD_TYPE = 11,
       P_PERIOD = 12
};

typedef struct sample {
    uint64_t location[PPROF_DEPTH];
    uint32_t depth;
    const char *label;
    int64_t values[PPROF_VALUES];
} sample_t;

struct pprof {
    pprof_type_t types[PPROF_VALUES];
    uint32_t type_count;
    symbols_t *symbols;
    map_t *strings, *functions, *locations,
        *samples; /* hash or address -> number (samples: place + 1) */
    buf_t string_bytes, function_bytes, location_bytes;
    sample_t *sample;
    uint32_t sample_count, sample_cap;
};

/* --- protocol buffers: a varint, a number field, a bytes field --- */

static void add_varint(buf_t *b, uint64_t n) {
    for (; n >= 0x80; n >>= 7)
        buf_add_char(b, (char)(n | 0x80));
    buf_add_char(b, (char)n);
}

static void add_number(buf_t *b, uint32_t field, uint64_t n) {
    if (n == 0)
        return;
    add_varint(b, (uint64_t)field << 3);
    add_varint(b, n);
}

static void add_bytes(buf_t *b, uint32_t field, slice_t s) {
    add_varint(b, (uint64_t)field << 3 | 2);
    add_varint(b, s.len);
    buf_add_slice(b, s);
}

/* Appends `part` as a message field and empties it. */
static void add_message(buf_t *b, uint32_t field, buf_t *part) {
    add_bytes(b, field, buf_slice(part));
    buf_free(part);
}

/* --- numbers of texts, functions, locations --- */

static uint64_t number_in(map_t *m, uint64_t key, bool *fresh) {
    uint64_t *n = map_put(m, key, fresh);
    if (*fresh)
        *n = map_count(m);
    return *n;
}

/* The first text is the empty one, number 0. */
static uint64_t text(pprof_t *p, const char *s) {
    bool fresh;
    uint64_t n = number_in(p->strings, hash_bytes(s, strlen(s)), &fresh);
    if (fresh)
        add_bytes(&p->string_bytes, P_STRING, slice_of(s));
    return n - 1;
}

static uint64_t function(pprof_t *p, symbol_t s) {
    bool fresh;
    uint64_t n = number_in(p->functions, s.begin, &fresh);
    if (!fresh)
        return n;
    buf_t part = {0};
    uint64_t name = text(p, s.name);
    add_number(&part, 1, n);
    add_number(&part, 2, name);
    add_number(&part, 3, name);
    add_message(&p->function_bytes, P_FUNCTION, &part);
    return n;
}

static uint64_t location(pprof_t *p, uint64_t address) {
    bool fresh;
    uint64_t n = number_in(p->locations, address, &fresh);
    if (!fresh)
        return n;
    buf_t part = {0}, line = {0};
    add_number(&part, 1, n);
    add_number(&part, 2, 1); /* the one mapping */
    add_number(&part, 3, address);
    add_number(&line, 1, function(p, symbols_find(p->symbols, address)));
    add_message(&part, 4, &line);
    add_message(&p->location_bytes, P_LOCATION, &part);
    return n;
}

/* --- samples --- */

pprof_t *pprof_new(const pprof_type_t *types, uint32_t count) {
    pprof_t *p = pool_zalloc(sizeof *p);
    memcpy(p->types, types, count * sizeof *types);
    p->type_count = count;
    p->symbols = symbols_open();
    p->strings = map_new(sizeof(uint64_t));
    p->functions = map_new(sizeof(uint64_t));
    p->locations = map_new(sizeof(uint64_t));
    p->samples = map_new(sizeof(uint32_t));
    text(p, "");
    return p;
}

void pprof_add(pprof_t *p, void *const *pc, uint32_t depth, const char *label,
               const int64_t *values) {
    sample_t s = {.label = label};
    s.depth = depth < PPROF_DEPTH ? depth : PPROF_DEPTH;
    /* a return address may be the first byte of the next function: the call is before it */
    for (uint32_t i = 0; i < s.depth; i++)
        s.location[i] = location(p, (uint64_t)(uintptr_t)pc[i] - (i > 0));
    uint64_t key =
        hash_bytes(s.location, s.depth * sizeof *s.location) ^ hash_u64((uintptr_t)label);
    bool fresh;
    uint32_t *place = map_put(p->samples, key, &fresh);
    if (fresh) {
        if (p->sample_count == p->sample_cap)
            p->sample = pool_grow(p->sample, &p->sample_cap, sizeof s, 256);
        p->sample[p->sample_count++] = s;
        *place = p->sample_count;
    }
    for (uint32_t i = 0; i < p->type_count; i++)
        p->sample[*place - 1].values[i] += values[i];
}

static void add_sample(pprof_t *p, const sample_t *s, buf_t *out) {
    buf_t part = {0}, packed = {0}, label = {0};
    for (uint32_t i = 0; i < s->depth; i++)
        add_varint(&packed, s->location[i]);
    add_message(&part, 1, &packed);
    for (uint32_t i = 0; i < p->type_count; i++)
        add_varint(&packed, (uint64_t)s->values[i]);
    add_message(&part, 2, &packed);
    if (s->label) {
        add_number(&label, 1, text(p, "actor"));
        add_number(&label, 2, text(p, s->label));
        add_message(&part, 3, &label);
    }
    add_message(out, P_SAMPLE, &part);
}

static void add_type(pprof_t *p, uint32_t field, pprof_type_t t, buf_t *out) {
    buf_t part = {0};
    add_number(&part, 1, text(p, t.type));
    add_number(&part, 2, text(p, t.unit));
    add_message(out, field, &part);
}

/* Names are already in the profile, so one mapping that says so is enough. */
static void add_mapping(pprof_t *p, buf_t *out) {
    buf_t part = {0};
    add_number(&part, 1, 1);
    add_number(&part, 3, UINT64_MAX);
    add_number(&part, 5, text(p, "parleyd"));
    add_number(&part, 7, 1); /* has_functions */
    add_message(out, P_MAPPING, &part);
}

static void pprof_free(pprof_t *p) {
    symbols_close(p->symbols);
    map_free(p->strings);
    map_free(p->functions);
    map_free(p->locations);
    map_free(p->samples);
    buf_free(&p->string_bytes);
    buf_free(&p->function_bytes);
    buf_free(&p->location_bytes);
    pool_free(p->sample, p->sample_cap * sizeof *p->sample);
    pool_free(p, sizeof *p);
}

void pprof_end(pprof_t *p, int64_t wall_ms, int64_t duration_ns, pprof_type_t of, int64_t period,
               buf_t *out) {
    for (uint32_t i = 0; i < p->type_count; i++)
        add_type(p, P_SAMPLE_TYPE, p->types[i], out);
    for (uint32_t i = 0; i < p->sample_count; i++)
        add_sample(p, &p->sample[i], out);
    add_mapping(p, out);
    add_type(p, P_PERIOD_TYPE, of, out);
    add_number(out, P_PERIOD, (uint64_t)period);
    add_number(out, P_TIME, (uint64_t)wall_ms * 1000000);
    add_number(out, P_DURATION, (uint64_t)duration_ns);
    buf_add_slice(out, buf_slice(&p->location_bytes));
    buf_add_slice(out, buf_slice(&p->function_bytes));
    buf_add_slice(out, buf_slice(&p->string_bytes));
    pprof_free(p);
}
