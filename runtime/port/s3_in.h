/* s3_in: what the files of the S3 client share. Only s3*.c includes it. */
#pragma once
#include "port/s3.h"
#include <curl/curl.h>
#include <stdatomic.h>

#define S3_ANSWER_MAX (1u << 20) /* bytes of an answer: a page of a list is the longest */
#define S3_PAIRS      8

/* How the bucket is reached from one side: origin + path + '/' + key. */
typedef struct s3_side {
    char origin[512]; /* https://host[:port] */
    char path[80];    /* "/bucket" or "" */
} s3_side_t;

/* What is the matter with the bucket; texts in s3.c. */
typedef enum s3_state {
    S3_UNKNOWN,
    S3_FINE,
    S3_UNREACHABLE, /* no answer, or none of S3's */
    S3_UNTRUSTED,
    S3_NO_BUCKET,
    S3_REFUSED,  /* the keys, or what they may do */
    S3_ELSEWHERE /* another region or endpoint */
} s3_state_t;

struct s3 {
    s3_side_t inside, outside;
    char bucket[64], prefix[256], region[65];
    char key[129], secret[257], token[4097], ca[1024];
    _Atomic int state;       /* s3_state_t; relaxed: told, nothing hangs on it */
    _Atomic int64_t skew_ms; /* the store's clock minus ours, once it mattered; relaxed */
};

static inline sigv4_keys_t s3_keys(const s3_t *s) {
    return (sigv4_keys_t){.key = slice_of(s->key),
                          .secret = slice_of(s->secret),
                          .token = slice_of(s->token),
                          .region = slice_of(s->region)};
}
/* path of the side, prefix, key. */
void s3_path(const s3_t *s, const s3_side_t *side, const char *key, buf_t *out);

/* --- s3_conn.c: one exchange --- */
typedef struct s3_ask {
    const char *method;
    const char *key; /* NULL: the bucket itself */
    sigv4_pair_t query[S3_PAIRS], headers[S3_PAIRS];
    size_t query_count, header_count;
    slice_t body;
    bool no_range; /* 416 is ERR_RANGE */
    bool counts;   /* what comes of it is told as the state of the bucket */
} s3_ask_t;
static inline void s3_ask_query(s3_ask_t *a, const char *name, slice_t value) {
    a->query[a->query_count++] = (sigv4_pair_t){slice_of(name), value};
}
static inline void s3_ask_header(s3_ask_t *a, const char *name, slice_t value) {
    a->headers[a->header_count++] = (sigv4_pair_t){slice_of(name), value};
}

typedef struct s3_answer {
    long status; /* of HTTP; an error inside a 200 counts as 500 */
    buf_t body;
    int64_t length; /* of the object: Content-Length, or the total of Content-Range; -1: not told */
    char etag[S3_ETAG_MAX], type[S3_TYPE_MAX];
    char code[64];  /* Error/Code, "" if there is none */
    int64_t date_s; /* when the store says it is; 0: not told */
    bool too_long;
} s3_answer_t;

struct s3_conn {
    s3_t *s3;
    s3_host_t host;
    CURL *curl;
    s3_answer_t answer; /* of the last exchange */
    uint64_t chance;    /* state of the jitter */
};
/* Signs, sends, waits, again if that may help. ERR_OK: an answer below 300; else what the status
 * and code mean, by s3.h. A 404 logs nothing. */
int s3_exchange(s3_conn_t *c, const s3_ask_t *ask);
/* 2011-02-26T01:56:20.000Z as unix ms; 0: not so. */
int64_t s3_time(slice_t text);
