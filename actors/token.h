/* token: the product's access and refresh tokens: JWT, HS256 and nothing else, parsed strictly
 * (PROTOCOL.md section 4). It knows keys and time, no store and no actor: whether a login was
 * revoked or a refresh token used is asked elsewhere. Any thread; fuzzed. */
#pragma once
#include "base/buf.h"
#include "base/json.h"

#define TOKEN_MAX 2048 /* bytes of a token; longer ones are none of ours */

typedef enum token_kind { TOKEN_ACCESS, TOKEN_REFRESH } token_kind_t;

typedef struct token_claims {
    int64_t user, fam;
    int64_t iat_s, exp_s;
    token_kind_t kind;
    char jti[33]; /* unique; token_issue makes one when it is empty */
    char did[65]; /* device, "" = none */
} token_claims_t;

typedef struct token_keys {
    slice_t secret; /* signs and verifies */
    slice_t old;    /* verifies only; empty = none */
} token_keys_t;

/* Appends the token. */
void token_issue(const token_keys_t *keys, const token_claims_t *claims, buf_t *out);
/* ERR_OK and *out, or ERR_INVALID_TOKEN / ERR_TOKEN_EXPIRED, checked in the order of section 4. doc
 * is scratch. */
int token_read(const token_keys_t *keys, json_doc_t *doc, slice_t token, token_kind_t kind,
               int64_t now_s, token_claims_t *out);
