/* http_static: a request for a file of the web page: which coding of it, what may be kept for how
 * long, and the policy that tells a browser what the page may do (PROTOCOL.md section 1). Inside
 * the connection's actor. */
#include "actors/accept.h"
#include "actors/edge.h"
#include <ctype.h>

/* What does not depend on the request. Scripts and styles come from here only, as files: what a
 * message, a name or a file's name puts into the page can never run. */
static const char fixed[] =
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Permissions-Policy: camera=(self), microphone=(self), geolocation=(), payment=(), usb=()\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'";

/* A name that can stand in the policy: what a Host header may hold, and nothing that ends a source.
 */
static bool is_host(slice_t s) {
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.at[i]) && !memchr(".-_:[]", s.at[i], 6))
            return false;
    return s.len > 0 && s.len <= 255;
}

/* Where the bytes of files are, if pages get them elsewhere. */
static void add_store(const edge_t *e, buf_t *head) {
    if (!e->blob || !blob_outside(e->blob))
        return;
    buf_add_char(head, ' ');
    blob_origin(e->blob, head);
}

/* Not every browser takes 'self' to mean the socket of the same host as well. */
static void add_policy(const edge_t *e, buf_t *head, slice_t host) {
    buf_add_text(head, fixed);
    buf_add_text(head, "; connect-src 'self'");
    if (is_host(host)) {
        buf_add_text(head, " ws://");
        buf_add_slice(head, host);
        buf_add_text(head, " wss://");
        buf_add_slice(head, host);
    }
    add_store(e, head);
    buf_add_text(head, "; img-src 'self' blob: data:");
    add_store(e, head);
    buf_add_text(head, "; media-src 'self' blob: data:");
    add_store(e, head);
    buf_add_text(head, "\r\n");
}

static bool last_segment_has_dot(slice_t path) {
    const char *slash = memrchr(path.at, '/', path.len);
    size_t start = slash ? (size_t)(slash - path.at) : 0;
    return memchr(path.at + start, '.', path.len - start) != NULL;
}

static const edge_file_t *find(const edge_t *e, slice_t path) {
    const edge_file_t *f = web_file(e, path);
    if (!f && path.len > 1 && path.at[path.len - 1] == '/')
        f = web_file(e, (slice_t){path.at, path.len - 1});
    if (!f && !last_segment_has_dot(path))
        f = web_file(e, SLICE("/index.html"));
    return f;
}

/* What lies below /assets/ has a hash of its content in its name. */
static const char *kept_for(const edge_file_t *f) {
    return strncmp(f->name, "/assets/", 8) == 0 ? "public, max-age=31536000, immutable"
                                                : "no-cache";
}

static int choose(const edge_file_t *f, const http_request_t *req, bool *varies) {
    uint16_t weights[CODINGS];
    unsigned there = 0;
    for (int i = 0; i < CODINGS; i++)
        there |= f->body[i] ? 1u << i : 0;
    *varies = there != 1u << CODING_IDENTITY;
    accept_codings(req, weights);
    return accept_best(weights, there);
}

void static_answer(conn_t *c, const http_request_t *req, slice_t path) {
    const edge_t *e = edge_at(c)->edge;
    const edge_file_t *f = find(e, path);
    bool varies;
    if (!f) {
        conn_http_error(c, ERR_NOT_FOUND, NULL, 0);
        return;
    }
    int coding = choose(f, req, &varies);
    if (coding < 0) {
        http_error_headers(c, ERR_NOT_ACCEPTABLE, NULL, 0, "Vary: Accept-Encoding\r\n");
        return;
    }
    buf_t head = {0};
    buf_addf(&head, "Cache-Control: %s\r\nETag: %s\r\n", kept_for(f), f->etag[coding]);
    if (varies)
        buf_add_text(&head, "Vary: Accept-Encoding\r\n");
    if (coding_name(coding))
        buf_addf(&head, "Content-Encoding: %s\r\n", coding_name(coding));
    add_policy(e, &head, http_header(req, "host"));
    buf_add_char(&head, 0);
    if (accept_has_tag(req, f->etag[coding]))
        http_answer(c, 304, NULL, head.at, NULL);
    else
        http_answer(c, 200, f->type, head.at, block_ref(f->body[coding]));
    buf_free(&head);
}
