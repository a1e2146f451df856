/* chat_media: messages of types 2 to 5: the file that one names is looked up, may the sender read
 * it, then the message goes the way of all others. While a frame waits for that the socket is not
 * read, so its messages stay in order. Row 48 is the same behind the rules of lua/file.lua. Inside
 * the connection's actor. */
#include "actors/chat_in.h"
#include "actors/media.h"

static void ask(conn_t *c, int64_t user, int64_t file, uint32_t ms, uint32_t verb,
                uint64_t cookie) {
    chat_node_t *n = chat_node(c);
    buf_t params = {0};
    value_add_int(&params, user);
    value_add_int(&params, file);
    store_run(n->store, c->self, n->op_readable, &params, ms, verb, cookie);
}

/* The content goes to the worker's list; type 0 takes any. Without a file it is the conversation
 * that refuses: it may be a repeat of a message that had one (PROTOCOL.md 9.2). */
static int read_answer(conn_t *c, const msg_t *m, chat_draft_t *d) {
    store_rows_t rows;
    slice_t row;
    media_file_t file;
    buf_t *out = &chat_here(c->self)->list;
    out->len = 0;
    if (m->err != ERR_OK)
        return m->err;
    bool there = store_rows_open(&rows, m) && store_rows_next(&rows, &row);
    if (there)
        media_row(&row, &file);
    d->no_file = !there || value_next_int(&row) == 0;
    if (d->no_file)
        return ERR_OK;
    int is = media_type(file.kind);
    if (d->type && d->type != is)
        return ERR_UNSUPPORTED_TYPE;
    d->type = is;
    media_content(&file, out);
    return ERR_OK;
}

/* --- frames --- */

void media_frame(conn_t *c, const frame_in_t *f, const chat_draft_t *d) {
    chat_t *ch = chat_of(c);
    size_t size = sizeof(chat_media_t) + f->id.len + d->cid.len;
    chat_media_t *w = ch->media = pool_zalloc(size);
    w->draft = *d;
    w->draft.cid = (slice_t){w->text + f->id.len, d->cid.len};
    w->id = (slice_t){w->text, f->id.len};
    char *at = w->text;
    if (f->id.len)
        at = mempcpy(at, f->id.at, f->id.len);
    memcpy(at, d->cid.at, d->cid.len);
    conn_pause(c, PAUSE_FILE);
    ask(c, c->user, d->file, 0, VERB_CHAT_MEDIA, 0);
}

void media_frame_row(conn_t *c, const msg_t *m) {
    chat_media_t *w = c->chat->media;
    if (!w)
        return;
    int err = read_answer(c, m, &w->draft);
    if (err == ERR_OK)
        send_frame_draft(c, w->id, &w->draft);
    else
        conn_error(c, w->id, err, NULL, w->draft.cid, 0);
    media_free(c->chat);
    conn_resume(c, PAUSE_FILE);
    chat_forget(c);
}

void media_free(chat_t *ch) {
    chat_media_t *w = ch->media;
    if (w)
        pool_free(w, sizeof *w + w->id.len + w->draft.cid.len);
    ch->media = NULL;
}

/* --- rows 41 and 48 --- */

void media_http(conn_t *c, const chat_draft_t *d) {
    chat_http_t *h = http_asks(c, d->cid.len);
    h->conversation = d->conversation;
    h->reply_to = d->reply_to;
    h->content_type = d->type;
    h->cid_len = (uint8_t)d->cid.len;
    memcpy(h->text, d->cid.at, d->cid.len);
    ask(c, c->http->user, d->file, http_timeout(c), VERB_CHAT_HTTP_MEDIA, h->serial);
}

void media_http_row(conn_t *c, const msg_t *m) {
    chat_http_t *h = c->chat->http;
    char cid[64];
    chat_draft_t d = {.conversation = h->conversation,
                      .reply_to = h->reply_to,
                      .type = h->content_type,
                      .cid = {cid, h->cid_len}};
    memcpy(cid, h->text, h->cid_len);
    int err = read_answer(c, m, &d);
    if (err == ERR_OK) {
        send_http_draft(c, &d);
        return;
    }
    conn_http_error(c, err, NULL, 0);
    http_done(c);
}

/* The form is judged first, on a copy: the rules get the body as it came. */
void chat_http_complete(conn_t *c) {
    chat_draft_t d = {0};
    const buf_t *body = &c->http->body;
    buf_t copy = {0};
    buf_add(&copy, body->at, body->len);
    int err = copy.len && json_parse(conn_doc(c), copy.at, copy.len) == ERR_OK &&
                      json_type(conn_doc(c), JSON_ROOT) == JSON_OBJECT
                  ? draft_read_head(conn_doc(c), JSON_ROOT, &d)
                  : ERR_BAD_REQUEST;
    buf_free(&copy);
    if (err == ERR_OK)
        lua_call(c);
    else
        conn_http_error(c, err, NULL, 0);
}

/* The rules have made it a file that messages may hold; 0: there is none. */
void chat_http_completed(conn_t *c, slice_t json) {
    json_doc_t *doc = conn_doc(c);
    chat_draft_t d = {0};
    buf_t copy = {0};
    int64_t file = -1;
    buf_add_slice(&copy, json);
    if (copy.len && json_parse(doc, copy.at, copy.len) == ERR_OK)
        json_int(doc, json_get(doc, JSON_ROOT, "file_id"), &file);
    buf_free(&copy);
    if (file < 0 || !http_object(c) || draft_read_head(doc, JSON_ROOT, &d) != ERR_OK) {
        conn_http_error(c, ERR_INTERNAL, NULL, 0);
        return;
    }
    d.file = file;
    d.type = 0;
    media_http(c, &d);
}
