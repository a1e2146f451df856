/* What crypt.h promises. crypto_pwhash and crypto_pwhash_str stand in front of libsodium's here, to
 * take its memory away and to hold its threads up. */
#include "port/crypt.h"
#include "stage.h"
#include <dlfcn.h>
#include <sodium.h>

static _Atomic bool no_memory, held;
static _Atomic int working;

static void may_hold(void) {
    working++;
    while (held)
        nap();
}

typedef int (*pwhash_t)(unsigned char *const, unsigned long long, const char *const,
                        unsigned long long, const unsigned char *const, unsigned long long, size_t,
                        int);
typedef int (*pwhash_str_t)(char *, const char *const, unsigned long long, unsigned long long,
                            size_t);

int crypto_pwhash(unsigned char *const out, unsigned long long outlen, const char *const passwd,
                  unsigned long long passwdlen, const unsigned char *const salt,
                  unsigned long long ops, size_t mem, int alg) {
    may_hold();
    if (no_memory)
        return -1;
    pwhash_t real = (pwhash_t)dlsym(RTLD_NEXT, "crypto_pwhash");
    return real(out, outlen, passwd, passwdlen, salt, ops, mem, alg);
}

int crypto_pwhash_str(char out[crypto_pwhash_STRBYTES], const char *const passwd,
                      unsigned long long passwdlen, unsigned long long ops, size_t mem) {
    may_hold();
    if (no_memory)
        return -1;
    pwhash_str_t real = (pwhash_str_t)dlsym(RTLD_NEXT, "crypto_pwhash_str");
    return real(out, passwd, passwdlen, ops, mem);
}

static crypt_t *crypt_port;

static bool crypt_up(void) {
    no_memory = held = false;
    working = 0;
    stage_set("crypt.ops", "1");
    stage_set("crypt.memory", "64KiB");
    crypt_port = crypt_open(stage->rt, stage->conf, stage->fault, sizeof stage->fault);
    if (crypt_port)
        stage_start();
    return crypt_port != NULL;
}

static void crypt_down(void) {
    stage_stop();
    crypt_close(crypt_port);
    stage_free();
}

typedef struct call {
    slice_t password, hash;
    bool verify;
    uint32_t timeout_ms;
    uint64_t cookie;
} call_t;

static void go(actor_t *self, void *arg) {
    call_t *c = arg;
    if (c->verify)
        crypt_verify(crypt_port, self, c->password, c->hash, c->timeout_ms, STAGE_REPLY, c->cookie);
    else
        crypt_hash(crypt_port, self, c->password, c->timeout_ms, STAGE_REPLY, c->cookie);
    free(c);
}

static uint64_t ask(call_t c) {
    call_t *copy = malloc(sizeof c);
    c.cookie = stage_cookie();
    *copy = c;
    stage_do(0, go, copy);
    return c.cookie;
}

static slice_t hash_of(const char *password) {
    return stage_body(stage_answer(ask((call_t){.password = slice_of(password)})));
}

static int verify(const char *password, slice_t hash) {
    return stage_answer(ask((call_t){slice_of(password), hash, true, 0, 0}))->err;
}

SPEC("a hash is told from its password, and from no other") {
    stage_new();
    CHECK(crypt_up());
    slice_t hash = hash_of("correct horse"), again = hash_of("correct horse");
    CHECK(hash.len > 60 && memcmp(hash.at, "$argon2id$", 10) == 0);
    CHECK(!slice_eq(hash, again)); /* salted */
    CHECK_INT(verify("correct horse", hash), ERR_OK);
    CHECK_INT(verify("correct horse", again), ERR_OK);
    CHECK_INT(verify("correct horsf", hash), ERR_INVALID_CREDENTIALS);
    CHECK_INT(verify("", hash), ERR_INVALID_CREDENTIALS);
    crypt_down();
}

SPEC("a hash made elsewhere with other costs is good too") {
    char text[crypto_pwhash_STRBYTES];
    stage_new();
    CHECK(crypt_up());
    CHECK_INT(crypto_pwhash_str(text, "secret", 6, 3, 128 * 1024), 0);
    CHECK_INT(verify("secret", slice_of(text)), ERR_OK);
    CHECK_INT(verify("secreT", slice_of(text)), ERR_INVALID_CREDENTIALS);
    crypt_down();
}

SPEC("an empty hash and one that is none cost the same work and never match") {
    static const char *const none[] = {
        "",
        "x",
        "$argon2id$",
        "$argon2id$v=19$m=64,t=1,p=1$",
        "$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAA",
        "$argon2id$v=19$m=99999999999,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=-64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    stage_new();
    CHECK(crypt_up());
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        CHECK_INT(verify("", slice_of(none[i])), ERR_INVALID_CREDENTIALS);
        CHECK_INT(working, (int)i + 1);
    }
    crypt_down();
}

SPEC("a change of any character of a hash makes it no match") {
    stage_new();
    CHECK(crypt_up());
    slice_t hash = hash_of("p");
    CHECK(hash.len < 128);
    for (size_t i = 30; i < hash.len; i++) {
        char text[128];
        memcpy(text, hash.at, hash.len);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        CHECK(verify("p", (slice_t){text, hash.len}) == ERR_INVALID_CREDENTIALS);
    }
    crypt_down();
}

SPEC("without memory it says busy, not that the password is wrong") {
    stage_new();
    CHECK(crypt_up());
    slice_t hash = hash_of("p");
    no_memory = true;
    CHECK_INT(verify("p", hash), ERR_BUSY);
    CHECK_INT(verify("p", SLICE("")), ERR_BUSY);
    CHECK_INT(stage_answer(ask((call_t){.password = SLICE("p")}))->err, ERR_BUSY);
    no_memory = false;
    CHECK_INT(verify("p", hash), ERR_OK);
    crypt_down();
}

SPEC("over its queue it says busy at once; what waits past its deadline is not done") {
    uint64_t cookies[8];
    stage_new();
    stage_set("crypt.threads", "1");
    stage_set("crypt.queue", "3");
    CHECK(crypt_up());
    held = true;
    cookies[0] = ask((call_t){.password = SLICE("p"), .timeout_ms = 60000});
    while (working < 1)
        nap();
    cookies[1] = ask((call_t){.password = SLICE("p"), .timeout_ms = 60000});
    cookies[2] = ask((call_t){.password = SLICE("p"), .timeout_ms = 10});
    cookies[3] = ask((call_t){.password = SLICE("p"), .timeout_ms = 60000});
    CHECK_INT(stage_answer(cookies[3])->err, ERR_BUSY);
    CHECK_INT(stage_answer(cookies[2])->err, ERR_TIMEOUT);
    held = false;
    CHECK_INT(stage_answer(cookies[0])->err, ERR_OK);
    CHECK_INT(stage_answer(cookies[1])->err, ERR_OK);
    CHECK_INT(verify("p", SLICE("")), ERR_INVALID_CREDENTIALS); /* behind all of them */
    CHECK_INT(working, 3);
    crypt_down();
}

SPEC("what the runtime answers at its deadline leaves the queue too") {
    stage_new();
    stage_set("crypt.threads", "1");
    stage_set("crypt.queue", "2");
    CHECK(crypt_up());
    for (int i = 0; i < 5; i++) {
        held = true;
        int before = working;
        uint64_t first = ask((call_t){.password = SLICE("p"), .timeout_ms = 60000});
        while (working == before)
            nap();
        uint64_t late = ask((call_t){.password = SLICE("p"), .timeout_ms = 10});
        CHECK_INT(stage_answer(late)->err, ERR_TIMEOUT);
        held = false;
        CHECK_INT(stage_answer(first)->err, ERR_OK);
        CHECK_INT(verify("p", SLICE("")), ERR_INVALID_CREDENTIALS);
    }
    crypt_down();
}

SPEC("threads share the work") {
    stage_new();
    stage_set("crypt.threads", "3");
    CHECK(crypt_up());
    held = true;
    uint64_t cookies[3];
    for (int i = 0; i < 3; i++)
        cookies[i] = ask((call_t){.password = SLICE("p"), .timeout_ms = 60000});
    while (working < 3)
        nap();
    held = false;
    for (int i = 0; i < 3; i++)
        CHECK_INT(stage_answer(cookies[i])->err, ERR_OK);
    crypt_down();
}

static bool hex_is(const uint8_t *at, size_t len, const char *want) {
    char text[130];
    sodium_bin2hex(text, sizeof text, at, len);
    return strcmp(text, want) == 0;
}

SPEC("digests and MACs are those of the standards") {
    uint8_t out[32];
    char long_key[131];
    crypt_sha256(SLICE("abc"), out); /* FIPS 180 */
    CHECK(hex_is(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    crypt_sha256((slice_t){NULL, 0}, out);
    CHECK(hex_is(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    crypt_sha1(SLICE("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"),
               out); /* RFC 6455 */
    CHECK(hex_is(out, 20, "b37a4f2cc0624f1690f64606cf385945b2bec4ea"));
    crypt_hmac_sha1(SLICE("Jefe"), SLICE("what do ya want for nothing?"), out); /* RFC 2202 */
    CHECK(hex_is(out, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
    crypt_hmac_sha256(SLICE("Jefe"), SLICE("what do ya want for nothing?"), out); /* RFC 4231 */
    CHECK(hex_is(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
    memset(long_key, 0xaa, sizeof long_key);
    crypt_hmac_sha256((slice_t){long_key, sizeof long_key},
                      SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    CHECK(hex_is(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

SPEC("randomness differs, equality is told") {
    uint8_t a[32] = {0}, b[32] = {0};
    CHECK(crypt_equal(a, b, 32));
    crypt_random(a, 32);
    crypt_random(b, 32);
    CHECK(!crypt_equal(a, b, 32));
    CHECK(crypt_equal(a, a, 32));
}

SPEC_MAIN
