/* http_file: what http_file.c (out) and http_upload.c (in) share: one request of rows 46 and 47. */
#pragma once
#include "actors/edge.h"
#include "actors/media.h"

typedef struct http_file {
    link_to_t link;
    bool head_only;
    /* PUT */
    blob_object_t object; /* without its texts */
    int64_t length, got;
    uint64_t writer; /* 0: not open */
    block_t *piece;  /* being filled */
    uint32_t out;    /* pieces without credit */
    bool all;        /* the last byte has come */
    uint64_t stall_timer, moved_ns;
    char type[BLOB_TYPE_MAX + 1]; /* as the request says */
    /* GET */
    char range[128], if_range[BLOB_ETAG_MAX];
    buf_t headers;
    char content_type[BLOB_TYPE_MAX + 1];
    int status;
    int64_t off, len;
} http_file_t;

/* A request for the open one, by its serial. */
#define FILE_ASK_MS 15000

/* --- http_upload.c --- */
void upload_head(conn_t *c, const http_request_t *req);
void upload_row(conn_t *c, const media_file_t *row);
void upload_open(conn_t *c, const msg_t *m);
void upload_credit(conn_t *c, const msg_t *m);
void upload_written(conn_t *c, const msg_t *m);
void upload_stall(conn_t *c);

/* --- http_answer.c --- */
/* As http_answer, with a part of a file (taken; -1: HEAD). */
void http_answer_file(conn_t *c, int status, const char *type, const char *headers, int fd,
                      uint64_t off, uint64_t len);
