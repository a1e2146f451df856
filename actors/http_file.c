/* http_file: files go out (rows 47 and 49): the link, what the store says of the file, conditions
 * and ranges (RFC 9110), the headers that keep a stranger's file from being a page of ours. Inside
 * the connection's actor; net sends the bytes. */
#include "actors/http_file.h"
#include "base/text.h"
#include "port/value.h"
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>

/* --- the link --- */

static bool query_int(conn_t *c, const char *name, int64_t *out) {
    char room[24];
    slice_t s;
    return conn_query(c, name, room, sizeof room, &s) && text_to_int(s, out);
}

static bool read_link(conn_t *c, slice_t id, link_to_t *l, slice_t *sig, char *room, size_t size) {
    *l = (link_to_t){.method = c->http->method == HTTP_PUT ? LINK_PUT : LINK_GET};
    if (!text_to_int(id, &l->file) || !query_int(c, "exp", &l->until_s) ||
        !conn_query(c, "sig", room, size, sig))
        return false;
    query_int(c, "part", &l->part);
    return true;
}

bool file_link_ok(conn_t *c, slice_t id) {
    char room[80];
    link_to_t l;
    slice_t sig;
    bool good = read_link(c, id, &l, &sig, room, sizeof room) &&
                link_good(&edge_at(c)->edge->links, &l, sig, actor_wall_ms(c->self) / 1000);
    if (!good) {
        c->http->close = c->http->method == HTTP_PUT; /* its body is not read */
        conn_http_error(c, ERR_BAD_SIGNATURE, NULL, 0);
        return false;
    }
    c->http->file = pool_zalloc(sizeof *c->http->file);
    c->http->file->link = l;
    return true;
}

void file_drop(conn_t *c, http_file_t *f) {
    if (!f)
        return;
    actor_cancel(c->self, f->stall_timer);
    if (f->writer)
        blob_write_drop(edge_at(c)->edge->blob, c->self, f->link.file, f->writer);
    block_unref(f->piece);
    buf_free(&f->headers);
    pool_free(f, sizeof *f);
    conn_resume(c, PAUSE_UPLOAD);
}

/* --- the request --- */

static void copy_header(const http_request_t *req, const char *name, char *to, size_t size) {
    slice_t s = http_header(req, name);
    if (s.len >= size || http_header_count(req, name) > 1)
        s.len = 0;
    if (s.len)
        memcpy(to, s.at, s.len);
    to[s.len] = 0;
}

static void ask_row(conn_t *c, int op, int64_t first, int64_t second) {
    buf_t params = {0};
    value_add_int(&params, first);
    if (second)
        value_add_int(&params, second);
    store_run(edge_at(c)->edge->store, c->self, op, &params, FILE_ASK_MS, VERB_FILE_ROW,
              c->http->serial);
}

void file_head(conn_t *c, const http_request_t *req) {
    http_file_t *f = c->http->file;
    edge_t *e = edge_at(c)->edge;
    c->http->handled = f->link.method == LINK_GET;
    if (!e->blob) {
        conn_http_error(c, ERR_BUSY, NULL, 0);
        return;
    }
    if (f->link.method == LINK_PUT) {
        uint32_t serial = c->http->serial;
        upload_head(c, req);
        if (!conn_http_waits(c, serial))
            return;
    } else {
        copy_header(req, "range", f->range, sizeof f->range);
        copy_header(req, "if-range", f->if_range, sizeof f->if_range);
        f->head_only = c->http->head;
        /* one that cannot be read is none of ours: the whole file */
        if (http_header(req, "if-range").len && !f->if_range[0])
            f->range[0] = 0;
    }
    ask_row(c, e->op_file, f->link.file, 0);
}

/* --- ranges --- */

enum { RANGE_NONE, RANGE_ONE, RANGE_BAD };

/* A number of a range, however long: beyond 2^53 it is beyond all files (RFC 9110, 14.1.1). */
static bool range_int(slice_t s, int64_t *out) {
    if (text_to_int(s, out))
        return true;
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
    *out = INT64_MAX;
    return s.len > 0;
}

/* "bytes=a-b", "a-", "-n". Several ranges, other units and what is malformed: the whole file, as
 * RFC 9110 allows. RANGE_BAD: beyond the end. */
static int read_range(const char *text, int64_t size, int64_t *off, int64_t *len) {
    slice_t s = slice_of(text);
    int64_t first, last = size - 1;
    if (s.len < 8 || strncasecmp(s.at, "bytes=", 6) != 0 || memchr(s.at, ',', s.len))
        return RANGE_NONE;
    s = (slice_t){s.at + 6, s.len - 6};
    const char *dash = memchr(s.at, '-', s.len);
    if (!dash)
        return RANGE_NONE;
    slice_t a = {s.at, (size_t)(dash - s.at)}, b = {dash + 1, s.len - a.len - 1};
    if (a.len == 0) {
        if (!range_int(b, &first))
            return RANGE_NONE;
        if (first == 0)
            return RANGE_BAD;
        first = first < size ? size - first : 0;
    } else if (!range_int(a, &first) || (b.len && (!range_int(b, &last) || last < first))) {
        return RANGE_NONE;
    }
    if (first >= size)
        return RANGE_BAD;
    if (last >= size)
        last = size - 1;
    *off = first;
    *len = last - first + 1;
    return RANGE_ONE;
}

static bool etag_listed(const char *list, slice_t etag) {
    if (strcmp(list, "*") == 0)
        return true;
    return etag.len && memmem(list, strlen(list), etag.at, etag.len) != NULL;
}

/* --- the answer --- */

static void add_headers(conn_t *c, http_file_t *f, const media_file_t *row) {
    buf_t *b = &f->headers;
    int64_t left = f->link.until_s - actor_wall_ms(c->self) / 1000;
    buf_addf(b, "Cache-Control: private, max-age=%lld\r\nETag: %.*s\r\nAccept-Ranges: bytes\r\n",
             (long long)(left > 0 ? left : 0), (int)row->etag.len, row->etag.at);
    buf_add_text(b, "X-Content-Type-Options: nosniff\r\nContent-Disposition: ");
    media_disposition(row->object.type, row->name, b);
    buf_add_text(b, "\r\n");
    if (!media_inline(row->object.type))
        buf_add_text(b, "Content-Security-Policy: sandbox; default-src 'none'\r\n");
}

static const char *headers_of(http_file_t *f) {
    buf_add_char(&f->headers, 0);
    f->headers.len--;
    return f->headers.at;
}

static void answer_range(conn_t *c, http_file_t *f, const media_file_t *row) {
    int64_t size = row->object.size;
    bool current = !f->if_range[0] || slice_eq(slice_of(f->if_range), row->etag);
    int range = f->range[0] && current ? read_range(f->range, size, &f->off, &f->len) : RANGE_NONE;
    f->status = 200;
    if (range == RANGE_BAD) {
        char line[64];
        snprintf(line, sizeof line, "Content-Range: bytes */%lld\r\n", (long long)size);
        http_error_headers(c, ERR_RANGE, NULL, 0, line);
        return;
    }
    if (range == RANGE_ONE) {
        f->status = 206;
        buf_addf(&f->headers, "Content-Range: bytes %lld-%lld/%lld\r\n", (long long)f->off,
                 (long long)(f->off + f->len - 1), (long long)size);
    } else {
        f->off = 0;
        f->len = size;
    }
    if (f->head_only)
        http_answer_file(c, f->status, f->content_type, headers_of(f), -1, 0, (uint64_t)f->len);
    else
        blob_read_open(edge_at(c)->edge->blob, c->self, f->link.file, f->off, FILE_ASK_MS,
                       VERB_FILE_OPEN, c->http->serial);
}

/* The store of files answers itself. */
static void answer_outside(conn_t *c, const http_file_t *f, const media_file_t *row) {
    buf_t disposition = {0}, line = {0};
    int64_t now_s = actor_wall_ms(c->self) / 1000;
    int64_t left = f->link.until_s - now_s;
    media_disposition(row->object.type, row->name, &disposition);
    buf_addf(&line, "Cache-Control: private, max-age=%lld\r\nLocation: ",
             (long long)(left < 300 ? left : 300));
    blob_get_url(edge_at(c)->edge->blob, &row->object, f->head_only, buf_slice(&disposition), now_s,
                 now_s + (left < 3600 ? 3600 : left), &line);
    buf_add(&line, "\r\n", 3);
    http_answer(c, 302, NULL, line.at, NULL);
    buf_free(&disposition);
    buf_free(&line);
}

static bool is_finished(slice_t state) {
    return slice_eq(state, SLICE("ready")) || slice_eq(state, SLICE("whole")) ||
           slice_eq(state, SLICE("loose")); /* its links have not ended */
}

static void download_row(conn_t *c, const media_file_t *row) {
    http_file_t *f = c->http->file;
    if (!is_finished(row->state) || row->object.type.len > BLOB_TYPE_MAX) {
        conn_http_error(c, ERR_NOT_FOUND, "file not found", 0);
        return;
    }
    if (blob_outside(edge_at(c)->edge->blob)) {
        answer_outside(c, f, row);
        return;
    }
    memcpy(f->content_type, row->object.type.at, row->object.type.len);
    add_headers(c, f, row);
    if (etag_listed(c->http->if_none_match, row->etag))
        http_answer(c, 304, NULL, headers_of(f), NULL);
    else
        answer_range(c, f, row);
}

static void download_open(conn_t *c, msg_t *m) {
    http_file_t *f = c->http->file;
    if (m->err != ERR_OK) {
        conn_http_error(c, m->err, m->err == ERR_NOT_FOUND ? "file not found" : NULL, 0);
        return;
    }
    blob_reading_t *r = msg_data(m, blob_reading_t);
    if (r->size < f->off + f->len) {
        conn_http_error(c, ERR_IO, NULL, 0);
        return;
    }
    int fd = r->fd;
    r->fd = -1;
    http_answer_file(c, f->status, f->content_type, headers_of(f), fd, (uint64_t)f->off,
                     (uint64_t)f->len);
}

/* The worker goes on with others while a thread of the port reads. */
void file_cold(conn_t *c, int fd, uint64_t off) {
    edge_t *e = edge_at(c)->edge;
    int copy = e->blob ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0) {
        net_file_warm(c->net);
        return;
    }
    stat_add(STAT_FILES_COLD, 1);
    blob_warm(e->blob, c->self, fd, copy, (int64_t)off, FILE_ASK_MS, VERB_FILE_WARM, 0);
}

/* --- row 49 --- */

void file_redirect(conn_t *c) {
    ask_row(c, edge_at(c)->edge->op_readable, c->http->user, c->http->path_id[0]);
}

static void redirect_row(conn_t *c, const media_file_t *file, bool readable) {
    link_to_t l = {file->object.id, 0, media_until_s(), LINK_GET};
    buf_t line = {0};
    if (!readable) {
        conn_http_error(c, ERR_FORBIDDEN, NULL, 0);
        return;
    }
    buf_add_text(&line, "Location: ");
    link_add(&edge_at(c)->edge->links, &l, &line);
    buf_add(&line, "\r\n", 3);
    http_answer(c, 302, NULL, line.at, NULL);
    buf_free(&line);
}

/* --- answers of the ports --- */

static bool first_row(const msg_t *m, slice_t *row) {
    store_rows_t rows;
    return store_rows_open(&rows, m) && store_rows_next(&rows, row);
}

static void file_row(conn_t *c, const msg_t *m) {
    http_file_t *f = c->http->file;
    media_file_t file;
    slice_t row;
    if (m->err != ERR_OK) {
        conn_http_error(c, m->err, NULL, 0);
        return;
    }
    if (!first_row(m, &row)) {
        bool put = f && f->link.method == LINK_PUT;
        conn_http_error(c, put ? ERR_BAD_SIGNATURE : ERR_NOT_FOUND, put ? NULL : "file not found",
                        0);
        return;
    }
    media_row(&row, &file);
    if (!f)
        redirect_row(c, &file, value_next_int(&row) != 0);
    else if (f->link.method == LINK_PUT)
        upload_row(c, &file);
    else
        download_row(c, &file);
}

void file_message(conn_t *c, msg_t *m) {
    if (!conn_http_waits(c, (uint32_t)m->cookie))
        return;
    http_file_t *f = c->http->file;
    if (m->verb == VERB_FILE_ROW)
        file_row(c, m);
    else if (!f)
        return;
    else if (m->verb == VERB_FILE_OPEN && f->link.method == LINK_GET)
        download_open(c, m);
    else if (m->verb == VERB_FILE_OPEN)
        upload_open(c, m);
    else if (m->verb == VERB_FILE_CREDIT)
        upload_credit(c, m);
    else if (m->verb == VERB_FILE_WRITTEN)
        upload_written(c, m);
    else
        upload_stall(c);
}
