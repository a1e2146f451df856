/* crypt: work too slow for a worker: Argon2id by libsodium, on crypt.threads threads behind a
 * bounded queue (64 MiB and about 85 ms each: the threads are the bound on memory). */
#pragma once
#include "base/conf.h"
#include "sched/runtime.h"

typedef struct crypt crypt_t;
crypt_t *crypt_open(runtime_t *rt, const conf_t *conf, char *fault, size_t room);
void crypt_close(crypt_t *c);
/* Reply body: the encoded hash text. ERR_BUSY: queue full. The password's copy is wiped after use.
 */
void crypt_hash(crypt_t *c, actor_t *self, slice_t password, uint32_t timeout_ms,
                uint32_t reply_verb, uint64_t cookie);
/* Reply err: ERR_OK or ERR_INVALID_CREDENTIALS. An empty hash costs the same work and never
 * matches. */
void crypt_verify(crypt_t *c, actor_t *self, slice_t password, slice_t hash, uint32_t timeout_ms,
                  uint32_t reply_verb, uint64_t cookie);
/* In place, for threads that may wait: the console's helper, `parleyd passwd`. hash: the encoded
 * text, 127 bytes and a 0 at most; ERR_BUSY: no memory. verify: ERR_OK or ERR_INVALID_CREDENTIALS,
 * an empty hash as above. */
int crypt_hash_here(const conf_t *conf, slice_t password, char hash[128]);
int crypt_verify_here(const conf_t *conf, slice_t password, slice_t hash);
/* In place, any thread, 1 to 2 us. */
void crypt_hmac_sha256(slice_t key, slice_t text, uint8_t out[32]);
void crypt_hmac_sha1(slice_t key, slice_t text, uint8_t out[20]); /* TURN credentials */
void crypt_sha256(slice_t text, uint8_t out[32]);
void crypt_sha1(slice_t text, uint8_t out[20]); /* the WebSocket handshake */
void crypt_random(void *out, size_t len);
bool crypt_equal(const void *a, const void *b, size_t len); /* constant time */
