/* s3: a small client of an S3 store, for blob_s3: addresses that others may use (sigv4), and the
 * few calls that the node makes itself, by libcurl. Calls block; each thread has a connection of
 * its own, so as many calls are under way as there are threads. A call is tried again on 429, 500,
 * 502, 503, 504 and lost connections, with growing waits, until its time is over; a clock that
 * differs from the store's is learnt from its answer. Keys of objects are plain texts that begin
 * behind the prefix of the URL. */
#pragma once
#include "port/sigv4.h"

#define S3_ETAG_MAX   100  /* with its quotes and a NUL */
#define S3_TYPE_MAX   129  /* with a NUL */
#define S3_UPLOAD_MAX 1024 /* bytes of the id of an upload in parts */
#define S3_KEY_MAX    512  /* bytes of a key, prefix included */
#define S3_PAGE       1000 /* entries of one answer of a list, at most */

typedef struct s3 s3_t;
/* url: s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&style=path|host&public=URL]. endpoint: where
 * the node reaches the store (preset: Amazon's); public: where clients reach it (preset: the same).
 * style: the bucket stands in the path or in front of the host's name (preset: host for Amazon's,
 * path else). token: of temporary keys; may be empty. ca: PEM file of the certificates that the
 * store's is checked against (empty: the system's). NULL with a line in fault. No network. */
typedef struct s3_conf {
    slice_t url, key, secret, token, ca;
} s3_conf_t;
s3_t *s3_open(const s3_conf_t *conf, char *fault, size_t room);
void s3_close(s3_t *s);

/* Adds an address for `method` on an object, for from_s until until_s (7 days at most). The query
 * and headers are part of the signature: who uses it must send just these headers. Any thread. */
void s3_address(const s3_t *s, const char *method, const char *key, const sigv4_pair_t *query,
                size_t query_count, const sigv4_pair_t *headers, size_t header_count,
                int64_t from_s, int64_t until_s, buf_t *out);

/* Scheme and host of these addresses. */
const char *s3_origin(const s3_t *s);

/* What the last look at the bucket said; any thread. NULL: all is well, or nothing is known yet.
 * Else a few words for /readyz. *wrong: the configuration is (no such bucket, keys refused), not
 * the network. */
const char *s3_trouble(const s3_t *s, bool *wrong);

/* --- one thread's connection --- */
typedef struct s3_host { /* time, and when to give up */
    int64_t (*wall_ms)(void *arg);
    uint32_t (*left_ms)(void *arg); /* 0: the time of this call is over */
    bool (*stopping)(void *arg);
    void *arg;
} s3_host_t;
typedef struct s3_conn s3_conn_t;
s3_conn_t *s3_conn_open(s3_t *s, const s3_host_t *host);
void s3_conn_close(s3_conn_t *c);

/* Results: ERR_OK; ERR_NOT_FOUND (no such object, or upload); ERR_STALE (not that etag);
 * ERR_CONFLICT (the list of parts is not what is there); ERR_BUSY (still "slow down" at the end);
 * ERR_TIMEOUT (outcome unknown); ERR_GONE (stopping); ERR_IO (anything else, with a log line). */
typedef struct s3_object {
    int64_t size;
    char etag[S3_ETAG_MAX], type[S3_TYPE_MAX];
} s3_object_t;
int s3_head(s3_conn_t *c, const char *key, s3_object_t *out);
/* And its first n bytes, as many as there are. */
int s3_peek(s3_conn_t *c, const char *key, uint32_t n, s3_object_t *out, buf_t *bytes);
/* Within the bucket, in one step; etag: only if the source still has it (empty: whatever it has).
 */
int s3_copy(s3_conn_t *c, const char *from, const char *to, slice_t etag);
int s3_delete(s3_conn_t *c, const char *key); /* ERR_OK also when there was none */

/* Uploads in parts. */
int s3_upload_begin(s3_conn_t *c, const char *key, slice_t type, buf_t *id);
typedef struct s3_part {
    int64_t number, size;
    char etag[S3_ETAG_MAX];
} s3_part_t;
/* All parts in order of their numbers, page by page. visit says whether to go on. */
int s3_upload_parts(s3_conn_t *c, const char *key, slice_t id,
                    bool (*visit)(void *arg, const s3_part_t *part), void *arg);
/* list: lines that s3_part_add made, in order. */
void s3_part_add(buf_t *list, const s3_part_t *part);
int s3_upload_end(s3_conn_t *c, const char *key, slice_t id, slice_t list);
int s3_upload_abort(s3_conn_t *c, const char *key, slice_t id); /* ERR_OK also for none */

/* --- looking after the bucket: one page of what is there --- */
typedef struct s3_entry {
    char key[S3_KEY_MAX], upload[S3_UPLOAD_MAX + 1]; /* upload: of a list of uploads */
    int64_t at_ms;                                   /* last modified, or begun */
} s3_entry_t;
/* Objects whose keys begin so, behind `after`; at most `max`. Sets what s3_trouble says, and logs
 * when that changes. */
int s3_list(s3_conn_t *c, const char *prefix, const char *after, uint32_t max,
            void (*visit)(void *arg, const s3_entry_t *e), void *arg);
/* Open uploads in parts of keys that begin so. */
int s3_list_uploads(s3_conn_t *c, const char *prefix, uint32_t max,
                    void (*visit)(void *arg, const s3_entry_t *e), void *arg);
