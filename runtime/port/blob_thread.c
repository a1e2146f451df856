/* blob_thread: the threads of blob: thread actors that run an engine's calls, and who writes at the
 * moment. All of one file is in the same thread. */
#include "base/err.h"
#include "base/pool.h"
#include "port/blob_in.h"
#include <sys/resource.h>
#include <unistd.h>

#define TIDY_MS 60000
#define NICE    10
#define LOOK_MS 1000 /* how often a thread looks for writers that were forgotten */

typedef struct writer {
    struct writer *next;
    uint64_t number, moved_ns;
    blob_write_t write;
} writer_t;

/* One thread actor's state. */
typedef struct port {
    blob_thread_t t;
    writer_t *writers;
    uint64_t tidy_ns;
    bool polite;   /* its priority is set: in the thread itself, so not by init */
    char *scratch; /* for warming */
} port_t;

/* --- for engines --- */

uint32_t blob_left_ms(const blob_thread_t *t) {
    uint64_t now = runtime_fresh_ns(t->blob->rt);
    return t->deadline_ns > now ? (uint32_t)((t->deadline_ns - now) / 1000000) : 0;
}

bool blob_stopping(const blob_thread_t *t) {
    return BLOB_READ(t->blob->stopping);
}

void blob_part_json(buf_t *out, bool first, int64_t part, int64_t size, const char *etag) {
    if (!first)
        buf_add_char(out, ',');
    buf_add_text(out, "{\"part_number\":");
    buf_add_int(out, part);
    buf_add_text(out, ",\"size_bytes\":");
    buf_add_int(out, size);
    buf_add_text(out, ",\"etag\":\"");
    for (; *etag; etag++) {
        if (*etag == '"' || *etag == '\\')
            buf_add_char(out, '\\');
        if ((uint8_t)*etag >= 0x20)
            buf_add_char(out, *etag);
    }
    buf_add_text(out, "\"}");
}

/* --- writers, in their thread --- */

static writer_t *find(const port_t *p, uint64_t number) {
    writer_t *w = p->writers;
    while (w && w->number != number)
        w = w->next;
    return w;
}

static void unlink_writer(port_t *p, writer_t *w) {
    writer_t **at = &p->writers;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    BLOB_SUB(p->t.blob->writers, 1);
    stat_add(STAT_FILES_UPLOADS, -1);
    pool_free(w, sizeof *w);
}

static void drop_writer(port_t *p, writer_t *w) {
    p->t.engine->write_drop(&p->t, &w->write);
    unlink_writer(p, w);
}

/* part -1: all of the file. */
static void drop_writers(port_t *p, int64_t id, int64_t part) {
    for (writer_t *w = p->writers, *next; w; w = next) {
        next = w->next;
        if (w->write.object.id == id && (part < 0 || w->write.part == part))
            drop_writer(p, w);
    }
}

/* Their connections went without a word (a crash), or their clients are gone. */
static void drop_forgotten(port_t *p, uint64_t now) {
    uint64_t most = (uint64_t)p->t.blob->stall_ms * 2 * 1000000;
    for (writer_t *w = p->writers, *next; w; w = next) {
        next = w->next;
        if (now - w->moved_ns > most)
            drop_writer(p, w);
    }
}

/* With these bytes more there would be less room on the disk than shall stay. */
static bool disk_is_full(const port_t *p, int64_t bytes) {
    const blob_engine_t *e = p->t.engine;
    uint64_t left = e->room ? e->room(p->t.base) : 0;
    return left > 0 && left < p->t.blob->min_free + (uint64_t)bytes;
}

/* All writers are soon those of one who sends a byte now and then, if nobody counts. */
static bool owner_has_enough(const port_t *p, int64_t owner) {
    uint32_t count = 0;
    for (const writer_t *w = p->writers; w && owner; w = w->next)
        count += w->write.object.owner == owner;
    return count >= p->t.blob->owner_uploads;
}

static int open_writer(port_t *p, const blob_object_t *o, int64_t part, blob_writer_t *out) {
    blob_t *b = p->t.blob;
    if (disk_is_full(p, blob_part_bytes(o, part))) {
        stat_add(STAT_FILES_REFUSED, 1);
        return ERR_BUSY;
    }
    drop_writers(p, o->id, part);
    if (owner_has_enough(p, o->owner)) {
        stat_add(STAT_FILES_REFUSED, 1);
        return ERR_FULL;
    }
    if (BLOB_ADD(b->writers, 1) >= b->uploads) {
        BLOB_SUB(b->writers, 1);
        stat_add(STAT_FILES_REFUSED, 1);
        return ERR_FULL;
    }
    writer_t *w = pool_zalloc(sizeof *w);
    w->write.object = *o;
    w->write.object.type = w->write.object.upload = (slice_t){"", 0};
    w->write.part = part;
    int err = p->t.engine->write_open(&p->t, &w->write);
    if (err != ERR_OK) {
        BLOB_SUB(b->writers, 1);
        pool_free(w, sizeof *w);
        return err;
    }
    w->number = out->number = BLOB_ADD(b->number, 1) + 1;
    w->moved_ns = runtime_fresh_ns(b->rt);
    w->next = p->writers;
    p->writers = w;
    stat_add(STAT_FILES_UPLOADS, 1);
    return ERR_OK;
}

static int write_piece(port_t *p, uint64_t number, const block_t *bytes) {
    writer_t *w = find(p, number);
    if (!w)
        return ERR_GONE;
    if (!bytes)
        return ERR_OK;
    int err = p->t.engine->write(&p->t, &w->write, (slice_t){bytes->data, bytes->len});
    w->moved_ns = runtime_fresh_ns(p->t.blob->rt);
    if (err == ERR_OK)
        stat_add(STAT_FILES_IN, bytes->len);
    else
        drop_writer(p, w);
    return err;
}

static int close_writer(port_t *p, uint64_t number, blob_found_t *out) {
    writer_t *w = find(p, number);
    if (!w)
        return ERR_GONE;
    const blob_write_t *x = &w->write;
    if (x->at != blob_part_bytes(&x->object, x->part)) {
        drop_writer(p, w);
        return ERR_BAD_REQUEST;
    }
    out->size = x->at;
    int err = p->t.engine->write_close(&p->t, &w->write, out);
    unlink_writer(p, w);
    return err;
}

/* --- one request, in its thread --- */

static int warm(port_t *p, const blob_request_t *r) {
    if (!p->scratch)
        p->scratch = pool_alloc(BLOB_PIECE_MAX);
    return pread(r->fd, p->scratch, BLOB_PIECE_MAX, r->off) < 0 ? ERR_IO : ERR_OK;
}

static void close_reading(msg_t *m) {
    int fd = msg_data(m, blob_reading_t)->fd;
    if (fd >= 0)
        close(fd);
}

static int read_open(port_t *p, const blob_request_t *r, msg_t **reply) {
    blob_reading_t reading = {-1, 0};
    int err = p->t.engine->read_open(&p->t, r->id, r->off, &reading);
    if (err != ERR_OK)
        return err;
    stat_add(STAT_FILES_OPENED, 1);
    *reply = msg_of(0, &reading, sizeof reading);
    (*reply)->drop = close_reading;
    return ERR_OK;
}

static void note_found(msg_t **reply, int err, const blob_found_t *found) {
    if (err == ERR_OK)
        *reply = msg_of(0, found, sizeof *found);
}

static int stream_work(port_t *p, const msg_t *m, const blob_request_t *r, const blob_object_t *o,
                       msg_t **reply) {
    blob_writer_t writer = {0};
    blob_found_t found = {0};
    int err;
    if (p->t.engine->outside)
        return ERR_INTERNAL;
    switch (m->verb) {
    case BLOB_WRITE_OPEN:
        err = open_writer(p, o, r->part, &writer);
        if (err == ERR_OK)
            *reply = msg_of(0, &writer, sizeof writer);
        return err;
    case BLOB_WRITE:
        return write_piece(p, r->writer, m->body);
    case BLOB_WRITE_CLOSE:
        err = close_writer(p, r->writer, &found);
        note_found(reply, err, &found);
        return err;
    case BLOB_READ_OPEN:
        return read_open(p, r, reply);
    default:
        return warm(p, r);
    }
}

static int work(port_t *p, const msg_t *m, const blob_request_t *r, msg_t **reply) {
    const blob_engine_t *e = p->t.engine;
    const char *text = (const char *)(r + 1);
    blob_object_t o = {.id = r->id,
                       .size = r->size,
                       .part_size = r->part_size,
                       .owner = r->owner,
                       .type = {text, r->type_len},
                       .upload = {text + r->type_len, r->upload_len}};
    slice_t etag = {o.upload.at + r->upload_len, r->etag_len};
    blob_found_t found = {0};
    buf_t body = {0};
    int err;
    switch (m->verb) {
    case BLOB_BEGIN:
        err = e->begin(&p->t, &o, &body);
        break;
    case BLOB_LOOK:
        err = e->look(&p->t, &o, r->head, &found, &body);
        note_found(reply, err, &found);
        break;
    case BLOB_PARTS:
        err = e->parts(&p->t, &o, &body);
        break;
    case BLOB_FINISH:
        drop_writers(p, o.id, -1);
        err = e->finish(&p->t, &o, etag, &found);
        note_found(reply, err, &found);
        break;
    case BLOB_DROP:
        drop_writers(p, o.id, -1);
        err = e->drop(&p->t, &o);
        break;
    default:
        return stream_work(p, m, r, &o, reply);
    }
    if (err == ERR_OK && body.len) {
        if (!*reply)
            *reply = msg_new(0, 0);
        (*reply)->body = block_from_buf(&body);
    }
    buf_free(&body);
    return err;
}

void blob_count_out(blob_request_t *r) {
    if (r->counted)
        BLOB_SUB(r->counted->queued, 1);
    r->counted = NULL;
}

static void serve(actor_t *self, port_t *p, msg_t *m) {
    blob_request_t *r = (blob_request_t *)m->data;
    blob_t *b = p->t.blob;
    msg_t *reply = NULL;
    int err;
    p->t.deadline_ns = m->deadline_ns ? m->deadline_ns : UINT64_MAX;
    if (BLOB_READ(b->stopping))
        err = ERR_GONE;
    else if (runtime_fresh_ns(b->rt) >= p->t.deadline_ns)
        err = ERR_TIMEOUT;
    else
        err = work(p, m, r, &reply);
    if (err == ERR_IO || err == ERR_TIMEOUT)
        stat_add(STAT_FILES_FAILED, 1);
    blob_count_out(r);
    actor_reply(self, m, err, reply);
}

/* Between requests: forgotten writers, once a minute what the engine wants to tidy. */
static void tick(actor_t *self, port_t *p) {
    uint64_t now = runtime_fresh_ns(p->t.blob->rt);
    if (!p->polite) /* this thread only: hashing must not take the processor from chat */
        setpriority(PRIO_PROCESS, 0, NICE);
    p->polite = true;
    drop_forgotten(p, now);
    if (p->t.engine->tidy && !BLOB_READ(p->t.blob->stopping) && now >= p->tidy_ns) {
        p->t.deadline_ns = now + 1000000000;
        p->t.engine->tidy(&p->t);
        p->tidy_ns = now + TIDY_MS * (uint64_t)1000000;
    }
    actor_after(self, LOOK_MS, BLOB_TICK, 0);
}

static void handle_batch(actor_t *self, void *state, msg_t **m, size_t n) {
    port_t *p = state;
    for (size_t i = 0; i < n; i++) {
        if (m[i]->verb == BLOB_TICK)
            tick(self, p);
        else if (m[i]->verb == BLOB_WRITE_DROP) {
            writer_t *w = find(p, ((const blob_request_t *)m[i]->data)->writer);
            if (w)
                drop_writer(p, w);
        } else if (m[i]->verb >= BLOB_BEGIN && m[i]->verb < BLOB_TICK)
            serve(self, p, m[i]);
    }
}

static int init(actor_t *self, void *state, const void *arg) {
    port_t *p = state;
    const blob_port_arg_t *a = arg;
    p->t = (blob_thread_t){
        .blob = a->blob, .engine = a->blob->engine, .base = a->blob->base, .index = a->index};
    p->t.deadline_ns = UINT64_MAX;
    if (p->t.engine->thread_open)
        p->t.own = p->t.engine->thread_open(&p->t);
    actor_after(self, 1, BLOB_TICK, 0);
    return ERR_OK;
}

static void ended(actor_t *self, void *state, int reason) {
    port_t *p = state;
    (void)self, (void)reason;
    while (p->writers)
        drop_writer(p, p->writers);
    if (p->t.engine->thread_close)
        p->t.engine->thread_close(&p->t);
    pool_free(p->scratch, p->scratch ? BLOB_PIECE_MAX : 0);
}

const actor_class_t blob_thread_class = {.name = "files",
                                         .place = ACTOR_THREAD,
                                         .restart = ACTOR_ON_CRASH,
                                         .restarts = 1000, /* no reason to stop the node */
                                         .state_size = sizeof(port_t),
                                         .max_msgs = UINT32_MAX / 2, /* the front counts */
                                         .max_bytes = UINT32_MAX,
                                         .batch = 1,
                                         .init = init,
                                         .handle_batch = handle_batch,
                                         .ended = ended};
