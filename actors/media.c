/* media: see media.h. The stored form is our own text, made by media_content, so it is taken apart
 * by its fixed beginning and end; what a user wrote (the file's name) stands between. */
#include "actors/media.h"
#include "base/json.h"
#include "port/value.h"
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>

#define HOUR_S  3600
#define SLACK_S 60 /* the clock is told now and then only */

static struct {
    link_keys_t keys;
    const blob_t *blob;
    int64_t ttl_s;
    bool ready;
    _Atomic int64_t until_s; /* relaxed: a number that somebody has told */
} media;

void media_setup(const link_keys_t *keys, const blob_t *blob, int64_t get_ttl_ms) {
    media.keys = *keys;
    media.blob = blob;
    media.ttl_s = get_ttl_ms / 1000;
    media.ready = true;
}

void media_clock(int64_t now_ms) {
    int64_t s = now_ms / 1000 + media.ttl_s + SLACK_S;
    atomic_store_explicit(&media.until_s, (s + HOUR_S - 1) / HOUR_S * HOUR_S, memory_order_relaxed);
}

int64_t media_until_s(void) {
    return atomic_load_explicit(&media.until_s, memory_order_relaxed);
}

/* --- rows --- */

void media_row(slice_t *row, media_file_t *out) {
    *out = (media_file_t){0};
    out->object.id = value_next_int(row);
    out->user = value_next_int(row);
    out->name = value_next_text(row);
    out->object.type = value_next_text(row);
    out->kind = value_next_text(row);
    out->object.size = value_next_int(row);
    out->object.part_size = value_next_int(row);
    out->object.upload = value_next_text(row);
    out->state = value_next_text(row);
    out->etag = value_next_text(row);
    out->width = value_next_int(row);
    out->height = value_next_int(row);
    out->duration_s = value_next_int(row);
    out->thumbnail = value_next_int(row);
    out->until_ms = value_next_int(row);
}

static const char *const kinds[] = {"image", "file", "audio", "video"};

int media_type(slice_t kind) {
    for (int i = 0; i < 4; i++)
        if (slice_eq(kind, slice_of(kinds[i])))
            return i + 2;
    return 0;
}

/* --- the stored form --- */

#define FILE_ID   "\":{\"file_id\":"
#define THUMBNAIL "\"thumbnail_id\":"

void media_content(const media_file_t *f, buf_t *out) {
    buf_addf(out, "{\"%.*s" FILE_ID "%lld", (int)f->kind.len, f->kind.at, (long long)f->object.id);
    buf_add_char(out, ',');
    buf_add_text(out, "\"filename\":");
    json_add_string(out, f->name);
    buf_add_text(out, ",\"content_type\":");
    json_add_string(out, f->object.type);
    buf_addf(out,
             ",\"size_bytes\":%lld,\"duration_sec\":%lld,\"width\":%lld,\"height\":%lld," THUMBNAIL
             "%lld}}",
             (long long)f->object.size, (long long)f->duration_s, (long long)f->width,
             (long long)f->height, (long long)f->thumbnail);
}

typedef struct stored {
    slice_t head, middle; /* up to and with the id; from there to before "thumbnail_id" */
    int64_t file, thumbnail;
} stored_t;

static bool take_int(const char **at, const char *end, int64_t *out) {
    const char *start = *at;
    *out = 0;
    while (*at < end && **at >= '0' && **at <= '9' && *out < (int64_t)1 << 54)
        *out = *out * 10 + (*(*at)++ - '0');
    return *at > start;
}

static bool take_apart(slice_t s, stored_t *out) {
    const char *end = s.at + s.len,
               *at = memmem(s.at, s.len < 64 ? s.len : 64, FILE_ID, sizeof FILE_ID - 1);
    if (!at || s.len < 4 || memcmp(end - 2, "}}", 2) != 0)
        return false;
    at += sizeof FILE_ID - 1;
    if (!take_int(&at, end, &out->file) || at == end || *at != ',')
        return false;
    out->head = (slice_t){s.at, (size_t)(at - s.at)};
    const char *digits = end - 2;
    while (digits > at && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    size_t n = sizeof THUMBNAIL - 1;
    if ((size_t)(digits - at) < n + 1 || memcmp(digits - n, THUMBNAIL, n) != 0)
        return false;
    out->middle = (slice_t){at, (size_t)(digits - n - at)};
    return take_int(&digits, end, &out->thumbnail);
}

/* --- links --- */

static void add_link(buf_t *out, const char *key, int64_t file) {
    link_to_t l = {file, 0, media_until_s(), LINK_GET};
    buf_add_text(out, key);
    if (file)
        link_add(&media.keys, &l, out);
    buf_add_char(out, '"');
}

/* The text behind a key of `middle`, unescaped as json_add_string escapes what a name may hold. */
static void text_of(slice_t middle, const char *key, buf_t *out) {
    const char *at = memmem(middle.at, middle.len, key, strlen(key)), *end = middle.at + middle.len;
    if (!at)
        return;
    for (at += strlen(key); at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
        buf_add_char(out, *at);
    }
}

/* The same within an hour, as the bytes of an answer shall be. */
static void add_outside_url(buf_t *out, const stored_t *s) {
    buf_t name = {0}, type = {0}, disposition = {0}, url = {0};
    int64_t until = media_until_s();
    text_of(s->middle, ",\"filename\":\"", &name);
    text_of(s->middle, ",\"content_type\":\"", &type);
    media_disposition(buf_slice(&type), buf_slice(&name), &disposition);
    blob_object_t o = {.id = s->file, .type = buf_slice(&type)};
    int64_t from = (until - media.ttl_s - SLACK_S) / HOUR_S * HOUR_S - HOUR_S;
    blob_get_url(media.blob, &o, false, buf_slice(&disposition), from, until, &url);
    buf_add_text(out, ",\"url\":");
    json_add_string(out, buf_slice(&url));
    buf_free(&name);
    buf_free(&type);
    buf_free(&disposition);
    buf_free(&url);
}

void media_write(slice_t content, buf_t *out) {
    stored_t s;
    if (!media.ready || !take_apart(content, &s)) {
        buf_add_slice(out, content);
        return;
    }
    buf_add_slice(out, s.head);
    add_link(out, ",\"object_key\":\"", s.file);
    if (media.blob && blob_outside(media.blob))
        add_outside_url(out, &s);
    else
        add_link(out, ",\"url\":\"", s.file);
    buf_addf(out, ",\"url_expires_at_ms\":%lld", (long long)media_until_s() * 1000);
    buf_add_slice(out, s.middle);
    add_link(out, "\"thumbnail_key\":\"", s.thumbnail);
    buf_add_text(out, "}}");
}

/* --- how it is shown --- */

static bool begins(slice_t s, const char *with) {
    size_t n = strlen(with);
    return s.len >= n && strncasecmp(s.at, with, n) == 0;
}

bool media_inline(slice_t type) {
    static const char *const pictures[] = {"image/png", "image/jpeg", "image/gif", "image/webp"};
    for (int i = 0; i < 4; i++)
        if (type.len == strlen(pictures[i]) && begins(type, pictures[i]))
            return true;
    return begins(type, "audio/") || begins(type, "video/");
}

/* Characters that need no escape in filename* (RFC 8187, attr-char). */
static bool is_plain(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$&+-.^_`|~", c));
}

void media_disposition(slice_t type, slice_t name, buf_t *out) {
    buf_add_text(out, media_inline(type) ? "inline; filename=\"" : "attachment; filename=\"");
    for (size_t i = 0; i < name.len; i++) { /* for old clients: ASCII, nothing to escape */
        char c = name.at[i];
        if ((uint8_t)c < 0x80)
            buf_add_char(out, c < ' ' || c == 0x7f || strchr("\"\\%/", c) ? '_' : c);
        else if ((c & 0xc0) != 0x80)
            buf_add_char(out, '_');
    }
    buf_add_text(out, "\"; filename*=UTF-8''");
    for (size_t i = 0; i < name.len; i++)
        if (is_plain((uint8_t)name.at[i]))
            buf_add_char(out, name.at[i]);
        else
            buf_addf(out, "%%%02X", (uint8_t)name.at[i]);
}
