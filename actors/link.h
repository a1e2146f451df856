/* link: signed links to files: /api/files/blob/ID?exp=UNIX&part=N&sig=HEX (part only when it is not
 * 0). A signature covers method (HEAD counts as GET), id, part and end; its key is derived from
 * auth.secret, so a new secret ends all links unless the old one stays as auth.old_secret.
 * Pure functions, any thread, about 2 us. */
#pragma once
#include "base/buf.h"
#include "base/conf.h"

#define LINK_PATH "/api/files/blob/"

typedef enum link_method { LINK_GET, LINK_PUT } link_method_t;
typedef struct link_keys {
    uint8_t now[32], old[32];
    bool has_old;
} link_keys_t;

typedef struct link_to {
    int64_t file, part, until_s;
    link_method_t method;
} link_to_t;

void link_keys(const conf_t *conf, link_keys_t *out);
/* Appends the link; of it alone the path, without query. */
void link_add(const link_keys_t *keys, const link_to_t *l, buf_t *out);
void link_add_path(int64_t file, buf_t *out);
/* Is this its signature, and has it not ended? */
bool link_good(const link_keys_t *keys, const link_to_t *l, slice_t sig, int64_t now_s);
/* The file of a path with or without query, as clients give it back; 0: none. */
int64_t link_file(slice_t path);
