/* blob: the bytes of files. Chosen by URL (files.url: file:PATH, or s3://.. ); files.threads thread
 * actors behind a bounded queue do the work, all work on one file in one and the same thread; it
 * answers by message, each request by its deadline. What a file is, whose, and who may have it,
 * is the store's and the rules': here a file is a number, a declared size and type, and bytes.
 *
 * The life of a file: somebody PUTs it, whole or in parts, by signed URLs; nobody can read it. Then
 * it is finished: from that moment on nothing can change it, and it can be read. Or it is dropped.
 */
#pragma once
#include "base/buf.h"
#include "base/conf.h"
#include "sched/runtime.h"

#define BLOB_ETAG_MAX   100          /* with its quotes and a NUL */
#define BLOB_TYPE_MAX   128          /* bytes of a content type */
#define BLOB_UPLOAD_MAX 1024         /* bytes of what blob_begin gives */
#define BLOB_HEAD_MAX   (256 * 1024) /* bytes that blob_look reads */
#define BLOB_PARTS_MAX  10000
#define BLOB_PIECE_MAX  (256 * 1024) /* bytes of one blob_write */
#define BLOB_URL_MAX    8192

typedef struct blob blob_t;

/* A file as its row in the store tells it. Slices are borrowed for the call. */
typedef struct blob_object {
    int64_t id;   /* 1 .. 2^53-1; names of objects are made of it alone */
    int64_t size; /* declared */
    int64_t
        part_size;  /* 0: it is put whole, which is part 0; else all parts but the last have it */
    int64_t owner;  /* whose upload it is (blob_write_open); 0: nobody's */
    slice_t type;   /* declared content type */
    slice_t upload; /* what blob_begin gave; empty without parts */
} blob_object_t;
static inline int64_t blob_part_count(const blob_object_t *o) { /* parts are 1 .. count */
    return o->part_size ? (o->size + o->part_size - 1) / o->part_size : 0;
}
static inline int64_t blob_part_bytes(const blob_object_t *o, int64_t part) {
    if (o->part_size == 0)
        return o->size;
    return part < blob_part_count(o) ? o->part_size : o->size - (part - 1) * o->part_size;
}

/* Is files.url, with what belongs to it, one that blob_open understands? No I/O but a look whether
 * a file that it names is there. ERR_BAD_REQUEST with a line in fault. */
int blob_check(const conf_t *conf, char *fault, size_t room);
/* Before runtime_start. NULL with a line in fault. */
blob_t *blob_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room);
/* Requests under way are given up within about a second. Before runtime_stop; NULL is fine. */
void blob_stop(blob_t *b);
void blob_close(blob_t *b); /* after runtime_stop; NULL is fine */

/* --- pure functions: no I/O, any thread; the same arguments give the same bytes --- */

/* Do clients talk to the store themselves? Then row 47 answers 302 to blob_get_url and a PUT goes
 * to blob_put_url, both absolute. Else links lead to the node (actors/link.h makes them), neither
 * function may be called, and the streams below exist. */
bool blob_outside(const blob_t *b);
/* Appends a URL by which anybody can PUT this part (0: the whole file) from from_s to until_s (unix
 * s, at most 7 days): with the object's type as Content-Type when it is put whole, of any type when
 * in parts. It works no more once the file is finished or dropped. */
void blob_put_url(const blob_t *b, const blob_object_t *o, int64_t part, int64_t from_s,
                  int64_t until_s, buf_t *out);
/* .. by which anybody can GET the finished file, by ranges too, answered with the object's type and
 * this Content-Disposition. head: HEAD instead, such a URL is good for one method. */
void blob_get_url(const blob_t *b, const blob_object_t *o, bool head, slice_t disposition,
                  int64_t from_s, int64_t until_s, buf_t *out);
/* Appends the scheme and host that both lead to, which a page must be allowed to talk to. Nothing
 * when the store is not outside. */
void blob_origin(const blob_t *b, buf_t *out);
/* What is the matter with the store, for /readyz: NULL, or a few words. *wrong: our configuration
 * is (no such bucket, keys refused), so it gets no better by itself. */
const char *blob_trouble(const blob_t *b, bool *wrong);

/* --- requests. The reply comes with reply_verb and cookie. Beside what each says: ERR_BUSY (queue
 * full, the disk is nearly full, the store says "slow down"), ERR_TIMEOUT (outcome unknown), ERR_IO
 * (the store refused or broke), ERR_GONE (the node stops). All but blob_drop need timeout_ms > 0.
 */

typedef struct blob_found {
    int64_t size;
    bool finished;
    char etag[BLOB_ETAG_MAX]; /* strong, quotes included */
    char
        type[BLOB_TYPE_MAX + 1]; /* what it was stored with; "": as declared (checked at the PUT) */
} blob_found_t;

/* Begins an upload in parts. Body: text that names it (blob_object.upload from then on). */
void blob_begin(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t timeout_ms,
                uint32_t reply_verb, uint64_t cookie);
/* What was put whole, or is finished: blob_found_t, and as body its first `head` bytes (as many as
 * there are; NULL: none asked for). ERR_NOT_FOUND: nothing, or a part of it, is there. */
void blob_look(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t head, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie);
/* The parts that are there, by number. Body: JSON
 * [{"part_number":1,"size_bytes":5,"etag":"\"..\""}]. ERR_NOT_FOUND: there is no such upload
 * (dropped, finished). */
void blob_parts(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t timeout_ms,
                uint32_t reply_verb, uint64_t cookie);
/* Finishes: what was put becomes readable, durably, and cannot be changed any more. etag: only if
 * it is still the one that blob_look told (ERR_STALE if not; empty: whatever it is). Reply:
 * blob_found_t. ERR_CONFLICT: parts are missing or of a wrong size; ERR_NOT_FOUND: nothing is
 * there. Repeating it succeeds. */
void blob_finish(blob_t *b, actor_t *self, const blob_object_t *o, slice_t etag,
                 uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie);
/* Everything of it goes: parts, upload, finished file. ERR_OK also when nothing was there. */
void blob_drop(blob_t *b, actor_t *self, const blob_object_t *o, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie);

/* --- streams, for stores that are not outside --- */

/* Begins to write a part. Reply: blob_writer_t. What was there of this part is gone from now on,
 * and who else writes it gets ERR_GONE. ERR_NOT_FOUND: finished or dropped; ERR_FULL: too many
 * writers, of all or of the owner. */
typedef struct blob_writer {
    uint64_t number;
} blob_writer_t;
void blob_write_open(blob_t *b, actor_t *self, const blob_object_t *o, int64_t part,
                     uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie);
/* The next bytes, at most BLOB_PIECE_MAX. Takes bytes. The reply is the credit for one more: with
 * at most two unanswered a writer's memory is bounded. ERR_GONE: somebody else writes this part
 * now, or it was finished or dropped, or no byte came for files.stall. */
void blob_write(blob_t *b, actor_t *self, int64_t id, uint64_t writer, block_t *bytes,
                uint32_t timeout_ms, uint32_t reply_verb, uint64_t cookie);
/* The end: durable from the reply on, blob_found_t. ERR_BAD_REQUEST: not as many bytes as the part
 * has. */
void blob_write_close(blob_t *b, actor_t *self, int64_t id, uint64_t writer, uint32_t timeout_ms,
                      uint32_t reply_verb, uint64_t cookie);
/* Gives it up; no answer. */
void blob_write_drop(blob_t *b, actor_t *self, int64_t id, uint64_t writer);

/* Opens a finished file, with the pages of the first bytes from off on in memory. Reply:
 * blob_reading_t, whose descriptor the receiver takes by setting fd to -1; else it is closed with
 * the message. ERR_NOT_FOUND. */
typedef struct blob_reading {
    int fd;
    int64_t size;
} blob_reading_t;
void blob_read_open(blob_t *b, actor_t *self, int64_t id, int64_t off, uint32_t timeout_ms,
                    uint32_t reply_verb, uint64_t cookie);
/* Brings the pages of BLOB_PIECE_MAX bytes from off on into memory. Takes fd. */
void blob_warm(blob_t *b, actor_t *self, int64_t id, int fd, int64_t off, uint32_t timeout_ms,
               uint32_t reply_verb, uint64_t cookie);
