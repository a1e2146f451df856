/* crypt_in: Argon2id as the threads of crypt use it. Only crypt*.c include it. */
#pragma once
#include "base/slice.h"
#include <stdint.h>

#define ARGON_TEXT 128 /* crypto_pwhash_STRBYTES */

typedef struct argon {
    uint64_t ops;
    size_t memory; /* bytes */
} argon_t;

/* Gives the encoded text. ERR_BUSY: no memory now. */
int argon_hash(const argon_t *a, slice_t password, char text[ARGON_TEXT]);
/* ERR_OK, ERR_INVALID_CREDENTIALS, ERR_BUSY. What is no hash of ours costs what one would. */
int argon_verify(const argon_t *a, slice_t password, slice_t hash);
