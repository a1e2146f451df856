/* crypt_argon: Argon2id. The check reads the encoded text and works the hash out anew, because
 * libsodium's own says "wrong password" when it has no memory for it. Runs in crypt's threads. */
#include "base/err.h"
#include "port/crypt_in.h"
#include <sodium.h>
#include <stdlib.h>

#define MEMORY_MAX ((uint64_t)4 << 30) /* of a stored hash: as crypt.memory is bounded */
#define OPS_MAX    1000

_Static_assert(ARGON_TEXT == crypto_pwhash_STRBYTES, "room for an encoded hash");

int argon_hash(const argon_t *a, slice_t password, char text[ARGON_TEXT]) {
    return crypto_pwhash_str(text, password.at, password.len, a->ops, a->memory) == 0 ? ERR_OK
                                                                                      : ERR_BUSY;
}

typedef struct encoded {
    uint64_t kib, ops;
    uint8_t salt[crypto_pwhash_SALTBYTES];
    uint8_t hash[32];
} encoded_t;

/* Digits, then the sign `end`. */
static bool read_number(const char **at, char end, uint64_t most, uint64_t *out) {
    char *stop;
    if (**at < '0' || **at > '9')
        return false;
    *out = strtoull(*at, &stop, 10);
    if (*stop != end || *out > most)
        return false;
    *at = stop + 1;
    return true;
}

/* Base64 of exactly `len` bytes, then the sign `end`. */
static bool read_bytes(const char **at, char end, uint8_t *out, size_t len) {
    const char *stop = strchr(*at, end);
    size_t got;
    if (!stop || sodium_base642bin(out, len, *at, (size_t)(stop - *at), NULL, &got, NULL,
                                   sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
        return false;
    *at = stop + 1;
    return got == len;
}

/* $argon2id$v=19$m=65536,t=2,p=1$SALT$HASH */
static bool decode(slice_t hash, encoded_t *e) {
    static const char head[] = "$argon2id$v=19$m=";
    char text[ARGON_TEXT];
    const char *at = text + sizeof head - 1;
    if (hash.len >= sizeof text || hash.len < sizeof head ||
        memcmp(hash.at, head, sizeof head - 1) != 0)
        return false;
    memcpy(text, hash.at, hash.len);
    text[hash.len] = 0;
    if (!read_number(&at, ',', MEMORY_MAX / 1024, &e->kib) || strncmp(at, "t=", 2) != 0)
        return false;
    at += 2;
    if (!read_number(&at, ',', OPS_MAX, &e->ops) || strncmp(at, "p=1$", 4) != 0)
        return false;
    at += 4;
    return read_bytes(&at, '$', e->salt, sizeof e->salt) &&
           read_bytes(&at, 0, e->hash, sizeof e->hash) && e->kib >= 8 && e->ops >= 1;
}

int argon_verify(const argon_t *a, slice_t password, slice_t hash) {
    encoded_t e = {0};
    uint8_t got[sizeof e.hash];
    bool known = decode(hash, &e);
    if (!known)
        e = (encoded_t){.kib = a->memory / 1024, .ops = a->ops};
    if (crypto_pwhash(got, sizeof got, password.at, password.len, e.salt, e.ops, e.kib * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        return ERR_BUSY;
    bool same = sodium_memcmp(got, e.hash, sizeof got) == 0;
    sodium_memzero(got, sizeof got);
    return known && same ? ERR_OK : ERR_INVALID_CREDENTIALS;
}
