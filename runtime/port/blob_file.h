/* blob_file: what the files of the built-in store share (blob_file.c: what is there and what
 * becomes of it; blob_file_write.c: how bytes come in). Only they include it. */
#pragma once
#include "port/blob_in.h"
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>

#define FILE_HEX       64
#define FILE_NAME      32 /* of a number */
#define FILE_DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

typedef struct file_root {
    int open, kept;  /* directories */
    int64_t stale_s; /* nothing was written to an unfinished file for that long: nobody will */
    DIR *tidying;    /* thread 0's */
} file_root_t;

/* The code of errno, logged as `what` unless it is only not there. */
int file_fault(const char *what);
void file_number_name(char room[FILE_NAME], int64_t n);
bool file_is_kept(const file_root_t *r, int64_t id);
int file_dir_open(const file_root_t *r, int64_t id); /* of an upload: its descriptor, or -1 */
int file_dir_make(const file_root_t *r, int64_t id);

/* SHA-256 as text: FILE_HEX digits and a 0. */
EVP_MD_CTX *file_sha_new(void);
void file_sha_end(EVP_MD_CTX *c, char hex[FILE_HEX + 1]); /* frees c */
void file_set_etag(blob_found_t *out, const char *hex, int64_t parts);

/* --- blob_file_write.c --- */
int file_write_open(blob_thread_t *t, blob_write_t *w);
int file_write(blob_thread_t *t, blob_write_t *w, slice_t bytes);
int file_write_close(blob_thread_t *t, blob_write_t *w, blob_found_t *out);
void file_write_drop(blob_thread_t *t, blob_write_t *w);
