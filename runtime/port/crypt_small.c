/* crypt_small: digests, MACs, randomness: in place, any thread. */
#include "port/crypt.h"
#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>

static const unsigned char *bytes(slice_t s) {
    return (const unsigned char *)(s.at ? s.at : "");
}

/* Before main's threads: libsodium then picks its fastest code once. */
__attribute__((constructor)) static void start(void) {
    if (sodium_init() < 0)
        abort();
}

void crypt_hmac_sha256(slice_t key, slice_t text, uint8_t out[32]) {
    crypto_auth_hmacsha256_state st;
    crypto_auth_hmacsha256_init(&st, bytes(key), key.len);
    crypto_auth_hmacsha256_update(&st, bytes(text), text.len);
    crypto_auth_hmacsha256_final(&st, out);
    sodium_memzero(&st, sizeof st);
}

void crypt_sha256(slice_t text, uint8_t out[32]) {
    crypto_hash_sha256(out, bytes(text), text.len);
}

void crypt_sha1(slice_t text, uint8_t out[20]) {
    SHA1(bytes(text), text.len, out);
}

void crypt_random(void *out, size_t len) {
    randombytes_buf(out, len);
}

bool crypt_equal(const void *a, const void *b, size_t len) {
    return sodium_memcmp(a, b, len) == 0;
}
