/* media: what a message of types 2 to 5 holds. Stored is a MediaRef without links, because links
 * end:
 *     {"image":{"file_id":5007,"filename":"cat.png", .. ,"thumbnail_id":0}}
 * and wherever a message is written for a client (message.c, lists of conversations) the links are
 * made. Any thread, after media_setup. */
#pragma once
#include "actors/link.h"
#include "port/blob.h"

/* A row of the table file, as the operations file_* give it. Slices are borrowed. */
typedef struct media_file {
    blob_object_t object; /* type, upload */
    int64_t user, until_ms, width, height, duration_s, thumbnail;
    slice_t name, kind, state, etag;
} media_file_t;
/* Moves row on behind them. */
void media_row(slice_t *row, media_file_t *out);

/* 2 to 5 of a kind; 0: none. */
int media_type(slice_t kind);
/* The stored form. */
void media_content(const media_file_t *f, buf_t *out);

/* Once, before anything is written; blob may be NULL (links to row 47 only). */
void media_setup(const link_keys_t *keys, const blob_t *blob, int64_t get_ttl_ms);
/* The time, now and then (each sweep of the edge): links end at a full hour, the same for all that
 * are made in one. */
void media_clock(int64_t now_ms);
int64_t media_until_s(void);

/* Appends the content with its links. What is no stored form goes out as it is. */
void media_write(slice_t content, buf_t *out);
/* A Content-Disposition (RFC 6266): inline for what a browser shows as a picture or plays, else
 * attachment; the name in both forms. */
void media_disposition(slice_t type, slice_t name, buf_t *out);
/* png, jpeg, gif, webp, audio and video: may stand in a page. */
bool media_inline(slice_t type);
