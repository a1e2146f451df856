/* blob_s3: files in an S3 bucket. Clients talk to the store themselves, by addresses that we sign;
 * the node looks, copies and deletes (s3.h).
 *
 * Names: up/ID is what a client has put whole, f/ID is a finished file. Finishing copies up/ID to
 * f/ID, on the condition that it still is what was looked at: no address for f/ID is ever given for
 * writing, so nothing changes it. An address for up/ID works on until its time is over; what it
 * makes then nobody reads, and tidy removes it. An upload in parts is begun under f/ID: its parts
 * are no object before it ends, and the addresses of parts die with it. So each step may be
 * repeated after a crash: a file is finished when f/ID is there with the declared size.
 *
 * The addresses sign the declared size as Content-Length, so a store takes no other. */
#include "base/err.h"
#include "base/pool.h"
#include "port/blob_in.h"
#include "port/s3.h"
#include <curl/curl.h>
#include <stdio.h>

#define NAME_MAX_   32
#define CALL_MS     30000 /* a request without a deadline; what finishing may take */
#define TIDY_MS     5000  /* all of one tidy */
#define TIDY_PAGE   100   /* names that one tidy looks at */
#define TIDY_DROPS  20    /* things that one tidy removes */
#define UPLOADS_ROW 10    /* uploads in parts are listed each so many tidies */
#define DAY_MS      INT64_C(86400000)

_Static_assert(BLOB_ETAG_MAX >= S3_ETAG_MAX && BLOB_TYPE_MAX + 1 >= S3_TYPE_MAX, "they fit");
_Static_assert(BLOB_UPLOAD_MAX >= S3_UPLOAD_MAX, "they fit");

typedef struct base {
    runtime_t *rt;
    s3_t *s3;
    int64_t old_ms; /* so long after it was put no request names an unfinished file */
} base_t;

typedef struct own { /* a thread's */
    s3_conn_t *conn;
    char after[S3_KEY_MAX]; /* tidy goes on behind this name */
    uint32_t tidies;
} own_t;

static void name_of(char name[NAME_MAX_], const char *where, int64_t id) {
    snprintf(name, NAME_MAX_, "%s/%lld", where, (long long)id);
}

static s3_conn_t *conn_of(const blob_thread_t *t) {
    return ((const own_t *)t->own)->conn;
}

/* --- open and close --- */

static int64_t wall_ms(void *arg) {
    const blob_thread_t *t = arg;
    return runtime_wall_ms(((const base_t *)t->base)->rt);
}

static uint32_t left_ms(void *arg) {
    const blob_thread_t *t = arg;
    uint64_t now = runtime_fresh_ns(((const base_t *)t->base)->rt);
    uint64_t left = t->deadline_ns > now ? (t->deadline_ns - now) / 1000000 : 0;
    return left < CALL_MS ? (uint32_t)left : CALL_MS;
}

static bool stopping(void *arg) {
    return blob_stopping(arg);
}

static s3_t *open_bucket(const conf_t *conf, slice_t url, char *fault, size_t room) {
    const s3_conf_t c = {.url = url,
                         .key = conf_text(conf, "files.s3_key"),
                         .secret = conf_text(conf, "files.s3_secret"),
                         .token = conf_text(conf, "files.s3_token"),
                         .ca = conf_text(conf, "files.s3_ca")};
    return s3_open(&c, fault, room);
}

static int check_conf(const conf_t *conf, slice_t url, char *fault, size_t room) {
    s3_t *s3 = open_bucket(conf, url, fault, room);
    s3_close(s3);
    return s3 ? ERR_OK : ERR_BAD_REQUEST;
}

static void *open_store(runtime_t *rt, const conf_t *conf, slice_t url, char *fault, size_t room) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* before any of its threads */
        snprintf(fault, room, "files: libcurl does not start");
        return NULL;
    }
    s3_t *s3 = open_bucket(conf, url, fault, room);
    if (!s3)
        return NULL;
    base_t *b = pool_alloc(sizeof *b);
    *b = (base_t){rt, s3, conf_int(conf, "files.put_ttl") + conf_int(conf, "files.multipart_ttl")};
    b->old_ms += DAY_MS;
    return b;
}

static void close_store(void *base) {
    base_t *b = base;
    s3_close(b->s3);
    pool_free(b, sizeof *b);
}

static void *open_thread(blob_thread_t *t) {
    own_t *o = pool_zalloc(sizeof *o);
    const s3_host_t host = {wall_ms, left_ms, stopping, t};
    o->conn = s3_conn_open(((const base_t *)t->base)->s3, &host);
    return o;
}

static void close_thread(blob_thread_t *t) {
    own_t *o = t->own;
    s3_conn_close(o->conn);
    pool_free(o, sizeof *o);
}

static const char *trouble(const void *base, bool *wrong) {
    return s3_trouble(((const base_t *)base)->s3, wrong);
}

/* --- addresses --- */

static void put_url(const void *base, const blob_object_t *o, int64_t part, int64_t from_s,
                    int64_t until_s, buf_t *out) {
    char name[NAME_MAX_], size[24], number[24];
    bool whole = o->part_size == 0;
    name_of(name, whole ? "up" : "f", o->id);
    snprintf(size, sizeof size, "%lld", (long long)blob_part_bytes(o, part));
    snprintf(number, sizeof number, "%lld", (long long)part);
    sigv4_pair_t headers[] = {{SLICE("content-length"), slice_of(size)},
                              {SLICE("content-type"), o->type}};
    sigv4_pair_t query[] = {{SLICE("partNumber"), slice_of(number)},
                            {SLICE("uploadId"), o->upload}};
    s3_address(((const base_t *)base)->s3, "PUT", name, query, whole ? 0 : 2, headers,
               whole ? 2 : 1, from_s, until_s, out);
}

static void get_url(const void *base, const blob_object_t *o, bool head, slice_t disposition,
                    int64_t from_s, int64_t until_s, buf_t *out) {
    char name[NAME_MAX_];
    sigv4_pair_t query[] = {{SLICE("response-content-type"), o->type},
                            {SLICE("response-content-disposition"), disposition}};
    name_of(name, "f", o->id);
    s3_address(((const base_t *)base)->s3, head ? "HEAD" : "GET", name, query,
               disposition.len ? 2 : 1, NULL, 0, from_s, until_s, out);
}

static void origin(const void *base, buf_t *out) {
    buf_add_text(out, s3_origin(((const base_t *)base)->s3));
}

/* --- looking --- */

static void tell(blob_found_t *out, const s3_object_t *s, bool finished) {
    out->size = s->size;
    out->finished = finished;
    memcpy(out->etag, s->etag, sizeof s->etag);
    memcpy(out->type, s->type, sizeof s->type);
}

/* head 0: only whether it is there. */
static int look_at(blob_thread_t *t, const char *name, uint32_t head, s3_object_t *s, buf_t *body) {
    return head ? s3_peek(conn_of(t), name, head, s, body) : s3_head(conn_of(t), name, s);
}

/* f/ID of another size is what a crash left of a file that was refused. */
static int look_finished(blob_thread_t *t, const blob_object_t *o, uint32_t head, blob_found_t *out,
                         buf_t *body) {
    char name[NAME_MAX_];
    s3_object_t s;
    name_of(name, "f", o->id);
    int err = look_at(t, name, head, &s, body);
    if (err == ERR_OK && s.size != o->size) {
        body->len = 0;
        return ERR_NOT_FOUND;
    }
    if (err == ERR_OK)
        tell(out, &s, true);
    return err;
}

static int look(blob_thread_t *t, const blob_object_t *o, uint32_t head, blob_found_t *out,
                buf_t *body) {
    char name[NAME_MAX_];
    s3_object_t s;
    int err = look_finished(t, o, head, out, body);
    if (err != ERR_NOT_FOUND || o->part_size > 0)
        return err;
    name_of(name, "up", o->id);
    err = look_at(t, name, head, &s, body);
    if (err == ERR_OK)
        tell(out, &s, false);
    return err;
}

/* --- parts --- */

static int begin(blob_thread_t *t, const blob_object_t *o, buf_t *body) {
    char name[NAME_MAX_];
    name_of(name, "f", o->id);
    return s3_upload_begin(conn_of(t), name, o->type, body);
}

typedef struct part_list {
    const blob_object_t *object;
    buf_t *out;
    int64_t count;
    bool wrong;
} part_list_t;

static bool show_part(void *arg, const s3_part_t *p) {
    part_list_t *l = arg;
    blob_part_json(l->out, l->count++ == 0, p->number, p->size, p->etag);
    return l->count < BLOB_PARTS_MAX;
}

static int parts(blob_thread_t *t, const blob_object_t *o, buf_t *body) {
    char name[NAME_MAX_];
    part_list_t l = {.object = o, .out = body};
    if (!o->upload.len)
        return ERR_NOT_FOUND;
    name_of(name, "f", o->id);
    buf_add_char(body, '[');
    int err = s3_upload_parts(conn_of(t), name, o->upload, show_part, &l);
    buf_add_char(body, ']');
    return err;
}

/* Each part must be there with its size; what is listed is what the store puts together. */
static bool take_part(void *arg, const s3_part_t *p) {
    part_list_t *l = arg;
    l->count++;
    l->wrong = p->number != l->count || l->count > blob_part_count(l->object) ||
               p->size != blob_part_bytes(l->object, p->number);
    if (!l->wrong)
        s3_part_add(l->out, p);
    return !l->wrong;
}

static int join_parts(blob_thread_t *t, const blob_object_t *o) {
    char name[NAME_MAX_];
    buf_t list = {0};
    part_list_t l = {.object = o, .out = &list};
    name_of(name, "f", o->id);
    int err =
        o->upload.len ? s3_upload_parts(conn_of(t), name, o->upload, take_part, &l) : ERR_NOT_FOUND;
    if (err == ERR_OK && (l.wrong || l.count != blob_part_count(o)))
        err = ERR_CONFLICT;
    if (err == ERR_OK)
        err = s3_upload_end(conn_of(t), name, o->upload, buf_slice(&list));
    buf_free(&list);
    return err;
}

/* --- finishing and dropping --- */

static void bound(blob_thread_t *t, uint64_t ms) {
    uint64_t most = runtime_fresh_ns(((const base_t *)t->base)->rt) + ms * 1000000;
    if (t->deadline_ns > most)
        t->deadline_ns = most;
}

/* The store may work on half a gigabyte for longer than anybody waits. The thread stays with it, so
 * that who asks again finds the file finished instead of beginning anew. */
static void stay(blob_thread_t *t) {
    uint64_t least = runtime_fresh_ns(((const base_t *)t->base)->rt) + CALL_MS * UINT64_C(1000000);
    if (t->deadline_ns < least)
        t->deadline_ns = least;
}

static int copy_whole(blob_thread_t *t, const blob_object_t *o, slice_t etag) {
    char from[NAME_MAX_], to[NAME_MAX_];
    name_of(from, "up", o->id);
    name_of(to, "f", o->id);
    return s3_copy(conn_of(t), from, to, etag);
}

/* It had another size than was declared: it is no file. */
static int refuse(blob_thread_t *t, const blob_object_t *o) {
    char name[NAME_MAX_];
    name_of(name, "f", o->id);
    int err = s3_delete(conn_of(t), name);
    return err == ERR_OK ? ERR_CONFLICT : err;
}

static int finish(blob_thread_t *t, const blob_object_t *o, slice_t etag, blob_found_t *out) {
    char name[NAME_MAX_];
    buf_t none = {0};
    int err = look_finished(t, o, 0, out, &none);
    if (err != ERR_NOT_FOUND)
        return err;
    stay(t);
    err = o->part_size ? join_parts(t, o) : copy_whole(t, o, etag);
    /* No such upload: perhaps it ended by a try whose answer was lost. */
    if (err != ERR_OK && !(err == ERR_NOT_FOUND && o->part_size))
        return err;
    int there = look_finished(t, o, 0, out, &none);
    if (there == ERR_NOT_FOUND && err == ERR_OK)
        return refuse(t, o);
    if (there == ERR_OK && o->part_size == 0) {
        name_of(name, "up", o->id);
        s3_delete(conn_of(t), name); /* if not now, then tidy */
    }
    return there;
}

static int drop(blob_thread_t *t, const blob_object_t *o) {
    char up[NAME_MAX_], done[NAME_MAX_];
    int err = ERR_OK, next;
    name_of(up, "up", o->id);
    name_of(done, "f", o->id);
    bound(t, CALL_MS);
    if (o->upload.len)
        err = s3_upload_abort(conn_of(t), done, o->upload);
    if (o->part_size == 0 && (next = s3_delete(conn_of(t), up)) != ERR_OK)
        err = next;
    if ((next = s3_delete(conn_of(t), done)) != ERR_OK)
        err = next;
    return err;
}

/* --- tidy: what no request will name: put after its file was finished or dropped, or begun by a
 * request whose answer was lost. The first list also tells how the bucket is (blob_trouble). --- */

typedef struct old_things {
    int64_t before_ms;
    uint32_t count, seen;
    char last[S3_KEY_MAX];
    struct {
        char key[S3_KEY_MAX];
        buf_t upload;
    } at[TIDY_DROPS];
} old_things_t;

static void note_old(void *arg, const s3_entry_t *e) {
    old_things_t *old = arg;
    old->seen++;
    if (old->count == TIDY_DROPS)
        return;
    memcpy(old->last, e->key, sizeof old->last);
    if (e->at_ms >= old->before_ms)
        return;
    memcpy(old->at[old->count].key, e->key, sizeof e->key);
    buf_add_text(&old->at[old->count].upload, e->upload);
    old->count++;
}

static void remove_old(blob_thread_t *t, old_things_t *old) {
    for (uint32_t i = 0; i < old->count; i++) {
        slice_t upload = buf_slice(&old->at[i].upload);
        if (upload.len)
            s3_upload_abort(conn_of(t), old->at[i].key, upload);
        else
            s3_delete(conn_of(t), old->at[i].key);
        buf_free(&old->at[i].upload);
    }
}

static void tidy(blob_thread_t *t) {
    own_t *own = t->own;
    old_things_t old = {.before_ms = wall_ms(t) - ((const base_t *)t->base)->old_ms};
    if (t->index > 0) /* one is enough */
        return;
    t->deadline_ns = UINT64_MAX;
    bound(t, TIDY_MS);
    if (s3_list(own->conn, "up/", own->after, TIDY_PAGE, note_old, &old) != ERR_OK)
        return;
    if (old.seen < TIDY_PAGE && old.count < TIDY_DROPS)
        *old.last = 0; /* from the start again */
    memcpy(own->after, old.last, sizeof own->after);
    remove_old(t, &old);
    if (own->tidies++ % UPLOADS_ROW == 0) {
        old = (old_things_t){.before_ms = old.before_ms};
        s3_list_uploads(own->conn, "f/", TIDY_PAGE, note_old, &old);
        remove_old(t, &old);
    }
}

const blob_engine_t blob_s3 = {.scheme = "s3:",
                               .outside = true,
                               .check = check_conf,
                               .open = open_store,
                               .close = close_store,
                               .thread_open = open_thread,
                               .thread_close = close_thread,
                               .trouble = trouble,
                               .put_url = put_url,
                               .get_url = get_url,
                               .origin = origin,
                               .begin = begin,
                               .look = look,
                               .parts = parts,
                               .finish = finish,
                               .drop = drop,
                               .tidy = tidy};
