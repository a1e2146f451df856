/* blob_in: what the front of blob (blob.c: queue, threads, messages) asks of a back end. Only
 * blob*.c and its specs include it.
 *
 * An engine is blocking code. Its functions run in one of files.threads threads; all calls for one
 * file run in the same thread one after the other, so an engine needs no lock for a file. Each call
 * ends by its deadline (blob_left_ms) and sooner once blob_stopping says so; finish may go on for a
 * bounded while, so that who asks again finds it done. Results are codes of err.h, those that
 * blob.h names; whatever else goes wrong is ERR_IO, with a log line that names neither a key nor a
 * signature. */
#pragma once
#include "base/stat.h"
#include "port/blob.h"
#include <stdatomic.h>

typedef struct blob_engine blob_engine_t;
typedef struct blob_thread {
    blob_t *blob;
    const blob_engine_t *engine;
    void *base; /* what open gave */
    void *own;  /* this thread's, what thread_open gave (a curl handle, writers); may be NULL */
    uint32_t index;
    uint64_t deadline_ns; /* of the call that runs */
} blob_thread_t;
uint32_t blob_left_ms(const blob_thread_t *t); /* 0: too late */
bool blob_stopping(const blob_thread_t *t);

typedef struct blob_write {
    blob_object_t object; /* slices empty */
    int64_t part, at;     /* at: bytes so far */
    void *own;            /* the engine's */
} blob_write_t;

struct blob_engine {
    const char *scheme; /* "file:", "s3:"; what stands before it in files.url picks the engine */
    bool outside;
    /* Does open understand conf and url? ERR_BAD_REQUEST with a line in fault. May be NULL: yes. */
    int (*check)(const conf_t *conf, slice_t url, char *fault, size_t room);
    /* url is all of files.url. NULL with a line in fault. Needs no network: a store that is down
     * at start is no reason not to start. */
    void *(*open)(runtime_t *rt, const conf_t *conf, slice_t url, char *fault, size_t room);
    void (*close)(void *base);
    const char *(*trouble)(const void *base, bool *wrong); /* blob_trouble; may be NULL */
    void *(*thread_open)(blob_thread_t *t); /* in the thread, before its first call; may be NULL */
    void (*thread_close)(blob_thread_t *t); /* may be NULL */

    /* outside only: pure, any thread (blob.h) */
    void (*put_url)(const void *base, const blob_object_t *o, int64_t part, int64_t from_s,
                    int64_t until_s, buf_t *out);
    void (*get_url)(const void *base, const blob_object_t *o, bool head, slice_t disposition,
                    int64_t from_s, int64_t until_s, buf_t *out);
    void (*origin)(const void *base, buf_t *out);

    /* The requests of blob.h. What goes into `body` becomes the body of the reply. */
    int (*begin)(blob_thread_t *t, const blob_object_t *o, buf_t *body);
    int (*look)(blob_thread_t *t, const blob_object_t *o, uint32_t head, blob_found_t *out,
                buf_t *body);
    int (*parts)(blob_thread_t *t, const blob_object_t *o, buf_t *body);
    int (*finish)(blob_thread_t *t, const blob_object_t *o, slice_t etag, blob_found_t *out);
    int (*drop)(blob_thread_t *t, const blob_object_t *o);

    /* not outside only. A writer that was opened ends by write_close or write_drop, once. finish,
     * drop and another write_open of the part are called after its write_drop. */
    int (*write_open)(blob_thread_t *t, blob_write_t *w);
    int (*write)(blob_thread_t *t, blob_write_t *w, slice_t bytes); /* moves w->at on */
    int (*write_close)(blob_thread_t *t, blob_write_t *w, blob_found_t *out);
    void (*write_drop)(blob_thread_t *t, blob_write_t *w);
    int (*read_open)(blob_thread_t *t, int64_t id, int64_t off, blob_reading_t *out);
    /* About once a minute, between requests; may be NULL: removes a bounded number of things that
     * no request will ever name. */
    void (*tidy)(blob_thread_t *t);
    uint64_t (*room)(void *base); /* free bytes of the disk, 0: unknown; may be NULL */
};
extern const blob_engine_t blob_file; /* blob_file.c: the built-in store */
extern const blob_engine_t blob_s3;   /* blob_s3.c: a bucket */

/* For engines: appends one entry of the list of blob_parts, "[" and "]" are the caller's. */
void blob_part_json(buf_t *out, bool first, int64_t part, int64_t size, const char *etag);

/* --- what blob.c and blob_thread.c share --- */
#define BLOB_THREADS_MAX 32
enum {
    BLOB_BEGIN = MSG_USER,
    BLOB_LOOK,
    BLOB_PARTS,
    BLOB_FINISH,
    BLOB_DROP,
    BLOB_WRITE_OPEN,
    BLOB_WRITE,
    BLOB_WRITE_CLOSE,
    BLOB_WRITE_DROP,
    BLOB_READ_OPEN,
    BLOB_WARM,
    BLOB_TICK
};

typedef struct blob_request { /* the data of each; behind it type, upload, etag */
    blob_t *counted;          /* by whom it is counted among those that wait; NULL: counted out */
    int64_t id, size, part_size, part, off, owner;
    uint64_t writer;
    uint32_t type_len, upload_len, etag_len, head;
    int fd; /* BLOB_WARM: owned */
} blob_request_t;

typedef struct blob_port_arg {
    blob_t *blob;
    uint32_t index;
} blob_port_arg_t;

struct blob {
    runtime_t *rt;
    const blob_engine_t *engine;
    void *base;
    uint32_t count, queue, uploads, owner_uploads, stall_ms;
    uint64_t min_free;
    actor_ref_t ref[BLOB_THREADS_MAX];
    blob_port_arg_t arg[BLOB_THREADS_MAX];
    /* Relaxed, all of them: sums and hints. */
    _Atomic uint32_t queued, writers;
    _Atomic uint64_t number;
    _Atomic bool stopping;
};

#define BLOB_ADD(what, n)      atomic_fetch_add_explicit(&(what), (n), memory_order_relaxed)
#define BLOB_SUB(what, n)      atomic_fetch_sub_explicit(&(what), (n), memory_order_relaxed)
#define BLOB_READ(what)        atomic_load_explicit(&(what), memory_order_relaxed)
#define BLOB_WRITE_TO(what, v) atomic_store_explicit(&(what), (v), memory_order_relaxed)

extern const actor_class_t blob_thread_class; /* arg: blob_port_arg_t */
void blob_count_out(blob_request_t *r);       /* however it ends, once */
