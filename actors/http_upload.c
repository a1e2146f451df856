/* http_upload: bytes come in (row 46): from the socket to the store of files, piece by piece. Two
 * pieces may be under way, one is being filled; then the socket is not read until one is written:
 * an upload holds 3 x 64 KiB and what net holds, however slow the disk is. Inside the connection's
 * actor. */
#include "actors/http_file.h"
#include <strings.h>

#define PIECE     (64 * 1024)
#define UNDER_WAY 2

static void refuse(conn_t *c, int err) {
    c->http->close = true; /* the rest of the body is not read */
    conn_http_error(c, err, NULL, 0);
}

/* --- the head --- */

void upload_head(conn_t *c, const http_request_t *req) {
    http_file_t *f = c->http->file;
    slice_t type = http_header(req, "content-type"), coding = http_header(req, "content-encoding");
    if (req->content_length < 0) {
        refuse(c, ERR_LENGTH_REQUIRED);
        return;
    }
    if (type.len > BLOB_TYPE_MAX ||
        (coding.len && !(coding.len == 8 && strncasecmp(coding.at, "identity", 8) == 0))) {
        refuse(c, ERR_UNSUPPORTED_TYPE);
        return;
    }
    if (type.len)
        memcpy(f->type, type.at, type.len);
    f->length = req->content_length;
    conn_pause(c, PAUSE_UPLOAD);
}

/* Some bytes have come, or wait in vain for the disk: that is not the client's fault. */
static void arm_stall(conn_t *c, http_file_t *f) {
    uint64_t now = actor_now_ns(c->self), most = (uint64_t)edge_at(c)->edge->stall_ms * 1000000;
    uint64_t spent = now > f->moved_ns ? now - f->moved_ns : 0;
    uint64_t left = spent < most ? most - spent : most;
    f->stall_timer = actor_after(c->self, left / 1000000 + 1, VERB_FILE_STALL, c->http->serial);
}

void upload_stall(conn_t *c) {
    http_file_t *f = c->http->file;
    uint64_t most = (uint64_t)edge_at(c)->edge->stall_ms * 1000000;
    f->stall_timer = 0;
    bool ours = f->all || (c->paused & PAUSE_UPLOAD);
    if (!ours && actor_now_ns(c->self) - f->moved_ns >= most)
        net_abort(c->net);
    else
        arm_stall(c, f);
}

static bool type_is(const http_file_t *f, slice_t declared) {
    size_t n = strlen(f->type);
    return f->link.part > 0 ||
           (n == declared.len && strncasecmp(f->type, declared.at, declared.len) == 0);
}

static int judge(conn_t *c, const http_file_t *f, const media_file_t *row) {
    const blob_object_t *o = &row->object;
    int64_t parts = blob_part_count(o);
    if (!slice_eq(row->state, SLICE("open")) || row->until_ms <= actor_wall_ms(c->self) ||
        (parts ? f->link.part < 1 || f->link.part > parts : f->link.part != 0) ||
        blob_outside(edge_at(c)->edge->blob))
        return ERR_BAD_SIGNATURE;
    if (!type_is(f, o->type))
        return ERR_UNSUPPORTED_TYPE;
    int64_t want = blob_part_bytes(o, f->link.part);
    return f->length < want ? ERR_BAD_REQUEST : f->length > want ? ERR_TOO_LARGE : ERR_OK;
}

void upload_row(conn_t *c, const media_file_t *row) {
    http_file_t *f = c->http->file;
    int err = judge(c, f, row);
    if (err != ERR_OK) {
        refuse(c, err);
        return;
    }
    f->object = row->object;
    f->object.type = f->object.upload = (slice_t){NULL, 0};
    f->object.owner = row->user;
    blob_write_open(edge_at(c)->edge->blob, c->self, &f->object, f->link.part, FILE_ASK_MS,
                    VERB_FILE_OPEN, c->http->serial);
}

void upload_open(conn_t *c, const msg_t *m) {
    http_file_t *f = c->http->file;
    if (m->err != ERR_OK) {
        refuse(c, m->err == ERR_NOT_FOUND ? ERR_BAD_SIGNATURE : m->err);
        return;
    }
    f->writer = ((const blob_writer_t *)m->data)->number;
    f->moved_ns = actor_now_ns(c->self);
    arm_stall(c, f);
    conn_resume(c, PAUSE_UPLOAD);
}

/* --- the body --- */

static void send_piece(conn_t *c, http_file_t *f) {
    block_t *piece = f->piece;
    f->piece = NULL;
    f->out++;
    blob_write(edge_at(c)->edge->blob, c->self, f->link.file, f->writer, piece, FILE_ASK_MS * 4,
               VERB_FILE_CREDIT, c->http->serial);
}

static void go_on(conn_t *c, http_file_t *f) {
    bool full = f->piece && f->piece->len == f->piece->cap;
    if (f->piece && f->out < UNDER_WAY && (full || f->all))
        send_piece(c, f);
    if (f->all && !f->piece && f->out == 0 && f->writer) {
        uint64_t writer = f->writer;
        f->writer = 0;
        blob_write_close(edge_at(c)->edge->blob, c->self, f->link.file, writer, FILE_ASK_MS * 4,
                         VERB_FILE_WRITTEN, c->http->serial);
    }
    if (f->out >= UNDER_WAY)
        conn_pause(c, PAUSE_UPLOAD);
    else
        conn_resume(c, PAUSE_UPLOAD);
}

/* A new piece is begun only behind one that is sent, so `out` grows by at most one here per 64 KiB;
 * net gives no more than that at once and stops when it is paused. */
static void take(conn_t *c, http_file_t *f, slice_t bytes) {
    while (bytes.len) {
        if (!f->piece)
            f->piece = block_new(PIECE);
        size_t room = PIECE - f->piece->len, n = bytes.len < room ? bytes.len : room;
        memcpy(f->piece->data + f->piece->len, bytes.at, n);
        f->piece->len += (uint32_t)n;
        bytes = (slice_t){bytes.at + n, bytes.len - n};
        if (f->piece->len == PIECE)
            send_piece(c, f);
    }
}

void file_body(conn_t *c, slice_t bytes, bool last) {
    http_file_t *f = c->http->file;
    if (f->link.method != LINK_PUT || !f->writer)
        return;
    f->got += (int64_t)bytes.len;
    f->moved_ns = actor_now_ns(c->self);
    f->all = last;
    take(c, f, bytes);
    go_on(c, f);
}

/* --- what the store says --- */

static void failed(conn_t *c, int err) {
    http_file_t *f = c->http->file;
    f->writer = 0; /* the port has given it up */
    refuse(c, err == ERR_GONE || err == ERR_NOT_FOUND ? ERR_BAD_SIGNATURE : err);
}

void upload_credit(conn_t *c, const msg_t *m) {
    http_file_t *f = c->http->file;
    f->out--;
    if (m->err == ERR_OK)
        go_on(c, f);
    else
        failed(c, m->err);
}

void upload_written(conn_t *c, const msg_t *m) {
    char line[BLOB_ETAG_MAX + 16];
    if (m->err != ERR_OK) {
        failed(c, m->err);
        return;
    }
    const blob_found_t *found = (const blob_found_t *)m->data;
    snprintf(line, sizeof line, "ETag: %s\r\n", found->etag);
    http_answer(c, 204, NULL, line, NULL);
}
