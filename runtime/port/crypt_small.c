/* crypt_small: digests, MACs, randomness: in place, any thread. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "port/crypt.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
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

/* One half of an HMAC: the key's block, then text. */
static void keyed(const uint8_t key[64], uint8_t pad, slice_t text, uint8_t out[32]) {
    uint8_t block[64];
    SHA256_CTX st;
    for (int i = 0; i < 64; i++)
        block[i] = key[i] ^ pad;
    SHA256_Init(&st);
    SHA256_Update(&st, block, sizeof block);
    SHA256_Update(&st, bytes(text), text.len);
    SHA256_Final(out, &st);
    sodium_memzero(block, sizeof block);
    sodium_memzero(&st, sizeof st);
}

/* RFC 2104 on OpenSSL's plain SHA-256: it uses the processor's own instructions, which libsodium's
 * does not (a token is read with each request), and no context is allocated. */
void crypt_hmac_sha256(slice_t key, slice_t text, uint8_t out[32]) {
    uint8_t block[64] = {0}, inner[32];
    if (key.len > sizeof block)
        crypt_sha256(key, block);
    else if (key.len)
        memcpy(block, key.at, key.len);
    keyed(block, 0x36, text, inner);
    keyed(block, 0x5c, (slice_t){(char *)inner, sizeof inner}, out);
    sodium_memzero(block, sizeof block);
    sodium_memzero(inner, sizeof inner);
}

void crypt_hmac_sha1(slice_t key, slice_t text, uint8_t out[20]) {
    if (!HMAC(EVP_sha1(), bytes(key), (int)key.len, bytes(text), text.len, out, NULL))
        abort(); /* no memory */
}

void crypt_sha256(slice_t text, uint8_t out[32]) {
    crypto_hash_sha256(out, bytes(text), text.len);
}

void crypt_sha1(slice_t text, uint8_t out[20]) {
    SHA_CTX st; /* SHA1() looks its method up by name each time */
    SHA1_Init(&st);
    SHA1_Update(&st, bytes(text), text.len);
    SHA1_Final(out, &st);
}

void crypt_random(void *out, size_t len) {
    randombytes_buf(out, len);
}

bool crypt_equal(const void *a, const void *b, size_t len) {
    return sodium_memcmp(a, b, len) == 0;
}
