/* history: see history.h. Files are replaced by rename, so a crash leaves the old one or the new.
 */
#include "script/history.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "port/crypt.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX  (1024 * 1024) /* of a file, as source.c reads it */
#define LINES_MAX (8 * 1024 * 1024)

struct history {
    const char *dir, *service;
    uint32_t most, last_number;
    size_t count;
    history_entry_t *entries;
};

static const char *const names[] = {"serves",      "served", "tried", "refused",
                                    "rolled_back", "ended",  "shadow"};

const char *history_state_name(history_state_t state) {
    return names[state];
}

static bool state_of(slice_t name, history_state_t *out) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq(name, slice_of(names[i]))) {
            *out = (history_state_t)i;
            return true;
        }
    return false;
}

/* --- texts by hash --- */
static void hex_of(slice_t text, char out[65]) {
    uint8_t sum[32];
    crypt_sha256(text, sum);
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

static bool write_file(const char *path, slice_t text) {
    char tmp[700];
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    FILE *f = fopen(tmp, "wb");
    bool ok = f && fwrite(text.at, 1, text.len, f) == text.len && fflush(f) == 0 &&
              fdatasync(fileno(f)) == 0;
    if (f && fclose(f) != 0)
        ok = false;
    ok = ok && rename(tmp, path) == 0;
    if (!ok) {
        log_warn("script", "history: %s: %s", path, strerror(errno));
        unlink(tmp);
    }
    return ok;
}

static void text_path(const history_t *h, const char *hex, char *out, size_t room) {
    snprintf(out, room, "%s/text/%s.lua", h->dir, hex);
}

static bool write_text(const history_t *h, slice_t text, const char *hex) {
    char path[600];
    struct stat st;
    text_path(h, hex, path, sizeof path);
    return stat(path, &st) == 0 || write_file(path, text);
}

static block_t *read_all(const char *path, size_t most) {
    struct stat st;
    FILE *f = fopen(path, "rb");
    block_t *b = NULL;
    if (f && fstat(fileno(f), &st) == 0 && st.st_size >= 0 && (size_t)st.st_size <= most) {
        b = block_new((size_t)st.st_size + 1);
        b->len = (uint32_t)fread(b->data, 1, (size_t)st.st_size, f);
    }
    if (f)
        fclose(f);
    return b;
}

/* NULL unless it is what its name says. */
static block_t *read_text(const history_t *h, slice_t hex) {
    char name[65], path[600], have[65];
    if (hex.len != 64 || memchr(hex.at, '/', 64))
        return NULL;
    memcpy(name, hex.at, 64);
    name[64] = '\0';
    text_path(h, name, path, sizeof path);
    block_t *b = read_all(path, TEXT_MAX);
    if (!b)
        return NULL;
    hex_of((slice_t){b->data, b->len}, have);
    if (strcmp(have, name) == 0)
        return b;
    block_unref(b);
    return NULL;
}

/* --- a line of JSON an entry. Its files: its own and all of lib/, so that it runs again whatever
 * it requires, and when. --- */
static bool kept(const history_t *h, const source_file_t *f) {
    size_t n = strlen(h->service);
    return source_is_lib(f) ||
           (strncmp(f->path, h->service, n) == 0 && strcmp(f->path + n, ".lua") == 0);
}

static void add_files(const history_t *h, buf_t *out, const version_t *v) {
    size_t count;
    const source_file_t *f = sources_all(v->sources, &count);
    bool first = true;
    json_add_key(out, "files");
    buf_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (!kept(h, &f[i]))
            continue;
        const char *hex = sources_hash(v->sources, i);
        if (!write_text(h, f[i].text, hex))
            continue;
        buf_addf(out, "%s[", first ? "" : ",");
        json_add_string(out, slice_of(f[i].path));
        buf_addf(out, ",\"%s\",%d,%d]", hex, version_uses(v, i), f[i].own);
        first = false;
    }
    buf_add_char(out, ']');
}

static void add_entry(const history_t *h, buf_t *out, const history_entry_t *e) {
    buf_add_char(out, '{');
    json_add_int(out, "number", e->version->number);
    json_add_int(out, "version", e->version->declared);
    json_add_text(out, "hash", slice_of(e->version->hash));
    json_add_text(out, "state", slice_of(names[e->state]));
    json_add_int(out, "came_ms", e->came_ms);
    json_add_text(out, "came_by", slice_of(e->came_by));
    json_add_int(out, "at_ms", e->at_ms);
    json_add_text(out, "by", slice_of(e->by));
    json_add_text(out, "reason", slice_of(e->reason));
    add_files(h, out, e->version);
    buf_add_text(out, "}\n");
}

static void save(const history_t *h) {
    char path[600];
    buf_t out = {0};
    if (!*h->dir)
        return;
    for (size_t i = 0; i < h->count; i++)
        add_entry(h, &out, &h->entries[i]);
    snprintf(path, sizeof path, "%s/%s.history", h->dir, h->service);
    write_file(path, buf_slice(&out));
    buf_free(&out);
}

/* --- reading them back --- */
static void take_text(const json_doc_t *doc, const char *key, char *out, size_t room) {
    slice_t s;
    *out = '\0';
    if (json_string(doc, json_get(doc, JSON_ROOT, key), &s))
        snprintf(out, room, "%.*s", (int)s.len, s.at);
}

static bool take_file(const history_t *h, const json_doc_t *doc, json_at_t at, sources_t *set,
                      char used[97]) {
    slice_t path, hex;
    int64_t uses = 0, own = 0;
    char name[97];
    json_at_t a = json_first(doc, at), b = a ? json_next(doc, a) : 0, c = b ? json_next(doc, b) : 0,
              d = c ? json_next(doc, c) : 0;
    if (!d || !json_string(doc, a, &path) || path.len > 95 || !json_string(doc, b, &hex) ||
        !json_int(doc, c, &uses) || !json_int(doc, d, &own))
        return false;
    snprintf(name, sizeof name, "%.*s", (int)path.len, path.at);
    snprintf(used, 97, "%s", uses ? name : "");
    block_t *text = read_text(h, hex);
    return text && sources_put(set, name, text, own != 0);
}

/* The version of a line; NULL when one of its texts is not there any more. */
static version_t *take_version(const history_t *h, const json_doc_t *doc) {
    sources_t *set = sources_new();
    char(*used)[97] = calloc(SOURCES_MAX, sizeof *used);
    size_t n = 0;
    bool ok = used != NULL;
    json_at_t files = json_get(doc, JSON_ROOT, "files");
    for (json_at_t at = json_first(doc, files); ok && at && n < SOURCES_MAX;
         at = json_next(doc, at))
        ok = take_file(h, doc, at, set, used[n++]);
    set = sources_seal(set);
    version_t *v = ok && n > 0 ? version_new(h->service, set) : NULL;
    for (size_t i = 0; v && i < n; i++) {
        slice_t text;
        if (*used[i])
            version_find(v, (slice_t){used[i], strlen(used[i]) - 4}, &text);
    }
    sources_unref(set);
    free(used);
    return v;
}

static void take_line(history_t *h, json_doc_t *doc, char *line, size_t len) {
    int64_t number = 0, declared = 0;
    slice_t state;
    history_entry_t e = {0};
    bool ok = json_parse(doc, line, len) == ERR_OK &&
              json_int(doc, json_get(doc, JSON_ROOT, "number"), &number) && number > 0 &&
              number < UINT32_MAX && json_string(doc, json_get(doc, JSON_ROOT, "state"), &state) &&
              state_of(state, &e.state);
    if (ok && number > h->last_number)
        h->last_number = (uint32_t)number;
    e.version = ok ? take_version(h, doc) : NULL;
    if (!e.version || h->count == h->most) {
        log_warn("script", "history of %s: version %lld cannot be read, it is left out", h->service,
                 (long long)number);
        version_unref(e.version);
        return;
    }
    json_int64(doc, json_get(doc, JSON_ROOT, "version"), &declared);
    json_int(doc, json_get(doc, JSON_ROOT, "came_ms"), &e.came_ms);
    json_int(doc, json_get(doc, JSON_ROOT, "at_ms"), &e.at_ms);
    take_text(doc, "came_by", e.came_by, sizeof e.came_by);
    take_text(doc, "by", e.by, sizeof e.by);
    take_text(doc, "reason", e.reason, sizeof e.reason);
    take_text(doc, "hash", e.version->hash, sizeof e.version->hash);
    e.version->number = (uint32_t)number;
    e.version->declared = declared;
    if (e.state == HISTORY_TRIED || e.state == HISTORY_SHADOW) {
        e.state = HISTORY_ENDED; /* with the node that ran it */
        snprintf(e.reason, sizeof e.reason, "the node was restarted");
    }
    h->entries[h->count++] = e;
}

static void load(history_t *h) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s.history", h->dir, h->service);
    block_t *b = read_all(path, LINES_MAX);
    json_doc_t *doc = json_doc_new();
    for (char *at = b ? b->data : NULL, *end = b ? b->data + b->len : NULL; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        if (len > 0)
            take_line(h, doc, at, len);
        at += len + 1;
    }
    json_doc_free(doc);
    block_unref(b);
}

/* --- texts that no entry has any more --- */
static bool has_text(const history_t *h, const char *hex) {
    for (size_t i = 0; i < h->count; i++) {
        sources_t *set = h->entries[i].version->sources;
        size_t count;
        const source_file_t *f = sources_all(set, &count);
        for (size_t n = 0; n < count; n++)
            if (kept(h, &f[n]) && strcmp(sources_hash(set, n), hex) == 0)
                return true;
    }
    return false;
}

void history_sweep(const char *dir, history_t *const *all, size_t count) {
    char at[600], path[900], hex[65];
    snprintf(at, sizeof at, "%s/text", dir);
    DIR *d = *dir ? opendir(at) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        bool kept_by = strlen(e->d_name) != 68 || e->d_name[0] == '.';
        snprintf(hex, sizeof hex, "%.64s", e->d_name);
        for (size_t i = 0; !kept_by && i < count; i++)
            kept_by = has_text(all[i], hex);
        snprintf(path, sizeof path, "%s/%s", at, e->d_name);
        if (!kept_by)
            unlink(path);
    }
    if (d)
        closedir(d);
}

history_t *history_open(const char *dir, const char *service, uint32_t most) {
    history_t *h = calloc(1, sizeof *h);
    if (!h || !(h->entries = calloc(most + 1, sizeof *h->entries)))
        log_die("script", "no memory for a history");
    h->dir = dir;
    h->service = service;
    h->most = most;
    if (*dir)
        load(h);
    return h;
}

void history_free(history_t *h) {
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++)
        version_unref(h->entries[i].version);
    free(h->entries);
    free(h);
}

/* --- looking --- */
size_t history_count(const history_t *h) {
    return h->count;
}

const history_entry_t *history_at(const history_t *h, size_t i) {
    return &h->entries[i];
}

const history_entry_t *history_find(const history_t *h, uint32_t number) {
    for (size_t i = 0; i < h->count; i++)
        if (h->entries[i].version->number == number)
            return &h->entries[i];
    return NULL;
}

const history_entry_t *history_last(const history_t *h, history_state_t state) {
    for (size_t i = h->count; i-- > 0;)
        if (h->entries[i].state == state)
            return &h->entries[i];
    return NULL;
}

const history_entry_t *history_hash(const history_t *h, const char *hash) {
    for (size_t i = h->count; i-- > 0;)
        if (strcmp(h->entries[i].version->hash, hash) == 0)
            return &h->entries[i];
    return NULL;
}

/* --- noting --- */
static void drop(history_t *h, size_t i) {
    version_unref(h->entries[i].version);
    memmove(&h->entries[i], &h->entries[i + 1], (h->count - i - 1) * sizeof *h->entries);
    h->count--;
}

/* Refused ones go first when they are half of all: a row of typing errors must not push out what
 * one may want to roll back to. What serves, is tried or in shadow
 * stays. */
static void make_room(history_t *h) {
    size_t refused = 0, i = 0;
    if (h->count <= h->most)
        return;
    for (size_t n = 0; n < h->count; n++)
        refused += h->entries[n].state == HISTORY_REFUSED;
    bool first = refused > h->most / 2;
    while (i < h->count - 1 &&
           (h->entries[i].state == HISTORY_SERVES || h->entries[i].state == HISTORY_TRIED ||
            h->entries[i].state == HISTORY_SHADOW ||
            (first && h->entries[i].state != HISTORY_REFUSED)))
        i++;
    drop(h, i);
}

static history_entry_t *entry_of(history_t *h, const version_t *v) {
    for (size_t i = 0; i < h->count; i++)
        if (h->entries[i].version == v)
            return &h->entries[i];
    return NULL;
}

void history_adopt(history_t *h, const history_entry_t *e, version_t *v) {
    history_entry_t *mine = &h->entries[e - h->entries];
    v->number = mine->version->number;
    version_unref(mine->version);
    mine->version = version_ref(v);
}

static void add(history_t *h, version_t *v, history_state_t state, int64_t now_ms,
                const char *who) {
    history_entry_t *last = h->count ? &h->entries[h->count - 1] : NULL;
    if (last && last->state == HISTORY_REFUSED && state == HISTORY_REFUSED &&
        strcmp(last->version->hash, v->hash) == 0)
        drop(h, h->count - 1);
    if (v->number == 0)
        v->number = ++h->last_number;
    history_entry_t *e = &h->entries[h->count++];
    *e = (history_entry_t){.version = version_ref(v), .came_ms = now_ms};
    snprintf(e->came_by, sizeof e->came_by, "%s", who);
}

void history_note(history_t *h, version_t *v, history_state_t state, int64_t now_ms,
                  const char *who, const char *reason) {
    if (!entry_of(h, v))
        add(h, v, state, now_ms, who);
    history_entry_t *e = entry_of(h, v);
    e->state = state;
    e->at_ms = now_ms;
    snprintf(e->by, sizeof e->by, "%s", who);
    snprintf(e->reason, sizeof e->reason, "%s", reason ? reason : "");
    make_room(h);
    save(h);
}
