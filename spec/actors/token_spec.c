/* Tokens: PROTOCOL.md section 4, checklist line 27. */
#include "actors/token.h"
#include "base/err.h"
#include "base/text.h"
#include "port/crypt.h"
#include "spec/spec.h"

static const token_keys_t keys = {{"a secret of at least 32 bytes ....", 34}, {NULL, 0}};
static const token_keys_t others = {{"another secret, 32 bytes or more .", 34}, {NULL, 0}};

/* A token with this head and these claims, well signed. */
static buf_t forged(const char *head, const char *claims) {
    buf_t t = {0};
    uint8_t mac[32];
    text_base64url_add(&t, head, strlen(head));
    buf_add_char(&t, '.');
    text_base64url_add(&t, claims, strlen(claims));
    crypt_hmac_sha256(keys.secret, buf_slice(&t), mac);
    buf_add_char(&t, '.');
    text_base64url_add(&t, mac, 32);
    return t;
}
static int read_at(const token_keys_t *k, buf_t *t, token_kind_t kind, int64_t now_s,
                   token_claims_t *out) {
    json_doc_t *doc = json_doc_new();
    int err = token_read(k, doc, buf_slice(t), kind, now_s, out);
    json_doc_free(doc);
    return err;
}
static int verdict(const char *head, const char *claims) {
    token_claims_t out;
    buf_t t = forged(head, claims);
    int err = read_at(&keys, &t, TOKEN_ACCESS, 100, &out);
    buf_free(&t);
    return err;
}
#define HEAD "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

SPEC("reads what it issued") {
    token_claims_t c = {.user = 28, .fam = 9, .iat_s = 100, .exp_s = 1000, .did = "web-app-1"}, out;
    buf_t t = {0};
    token_issue(&keys, &c, &t);
    CHECK_INT(read_at(&keys, &t, TOKEN_ACCESS, 999, &out), ERR_OK);
    CHECK_INT(out.user, 28);
    CHECK_INT(out.fam, 9);
    CHECK_TEXT(out.did, strlen(out.did), "web-app-1");
    CHECK_INT(strlen(out.jti), 32);
    CHECK_INT(read_at(&keys, &t, TOKEN_ACCESS, 1000, &out), ERR_TOKEN_EXPIRED);
    buf_free(&t);
}
SPEC("makes each token unique, and the same again from the same claims") {
    token_claims_t c = {.user = 28, .fam = 9, .iat_s = 100, .exp_s = 1000};
    buf_t a = {0}, b = {0};
    token_issue(&keys, &c, &a);
    token_issue(&keys, &c, &b);
    CHECK(a.len == b.len && memcmp(a.at, b.at, a.len) != 0);
    a.len = b.len = 0;
    strcpy(c.jti, "0123456789abcdef");
    token_issue(&keys, &c, &a);
    token_issue(&keys, &c, &b);
    CHECK(a.len == b.len && memcmp(a.at, b.at, a.len) == 0);
    buf_free(&a);
    buf_free(&b);
}
SPEC("[27] takes no refresh token for an access token, nor the other way round") {
    token_claims_t c = {.user = 28, .fam = 9, .iat_s = 100, .exp_s = 1000, .kind = TOKEN_REFRESH},
                   out;
    buf_t t = {0};
    token_issue(&keys, &c, &t);
    CHECK_INT(read_at(&keys, &t, TOKEN_ACCESS, 200, &out), ERR_INVALID_TOKEN);
    CHECK_INT(read_at(&keys, &t, TOKEN_REFRESH, 200, &out), ERR_OK);
    buf_free(&t);
}
SPEC("[27] takes no other algorithm, no missing exp, no wrong claim, however well signed") {
    CHECK_INT(verdict(HEAD, "{\"typ\":\"access\",\"sub\":\"7\",\"fam\":1,\"exp\":200}"), ERR_OK);
    CHECK_INT(
        verdict("{\"alg\":\"none\"}", "{\"typ\":\"access\",\"sub\":\"7\",\"fam\":1,\"exp\":200}"),
        ERR_INVALID_TOKEN);
    CHECK_INT(
        verdict("{\"alg\":\"HS512\"}", "{\"typ\":\"access\",\"sub\":\"7\",\"fam\":1,\"exp\":200}"),
        ERR_INVALID_TOKEN);
    CHECK_INT(verdict("{}", "{\"typ\":\"access\",\"sub\":\"7\",\"fam\":1,\"exp\":200}"),
              ERR_INVALID_TOKEN);
    CHECK_INT(verdict(HEAD, "{\"typ\":\"access\",\"sub\":\"7\",\"fam\":1}"), ERR_INVALID_TOKEN);
    CHECK_INT(verdict(HEAD, "{\"typ\":\"access\",\"sub\":7,\"fam\":1,\"exp\":200}"),
              ERR_INVALID_TOKEN);
    CHECK_INT(verdict(HEAD, "{\"typ\":\"access\",\"sub\":\"0\",\"fam\":1,\"exp\":200}"),
              ERR_INVALID_TOKEN);
    CHECK_INT(verdict(HEAD, "{\"typ\":\"access\",\"sub\":\"-7\",\"fam\":1,\"exp\":200}"),
              ERR_INVALID_TOKEN);
    CHECK_INT(verdict(HEAD, "{\"sub\":\"7\",\"fam\":1,\"exp\":200}"), ERR_INVALID_TOKEN);
    CHECK_INT(verdict(HEAD, "{\"typ\":\"access\",\"sub\":\"7\",\"fam\":1,\"exp\":\"200\"}"),
              ERR_INVALID_TOKEN);
    CHECK_INT(verdict(HEAD, "{\"typ\":\"access\",\"sub\":\"7\",\"fam\":1,\"exp\":100}"),
              ERR_TOKEN_EXPIRED);
    CHECK_INT(verdict(HEAD, "[]"), ERR_INVALID_TOKEN);
}
SPEC("refuses a token with one bit changed, anywhere") {
    token_claims_t c = {.user = 28, .fam = 9, .iat_s = 100, .exp_s = 1000}, out;
    buf_t t = {0};
    token_issue(&keys, &c, &t);
    for (uint32_t i = 0; i < t.len; i++) {
        t.at[i] ^= 1;
        CHECK(read_at(&keys, &t, TOKEN_ACCESS, 200, &out) == ERR_INVALID_TOKEN);
        t.at[i] ^= 1;
    }
    buf_free(&t);
}
SPEC("takes tokens of the old secret, issues none") {
    token_claims_t c = {.user = 28, .fam = 9, .iat_s = 100, .exp_s = 1000}, out;
    token_keys_t both = {others.secret, keys.secret};
    buf_t t = {0};
    token_issue(&keys, &c, &t);
    CHECK_INT(read_at(&others, &t, TOKEN_ACCESS, 200, &out), ERR_INVALID_TOKEN);
    CHECK_INT(read_at(&both, &t, TOKEN_ACCESS, 200, &out), ERR_OK);
    t.len = 0;
    token_issue(&both, &c, &t);
    CHECK_INT(read_at(&others, &t, TOKEN_ACCESS, 200, &out), ERR_OK);
    buf_free(&t);
}
SPEC("refuses what is no token at all") {
    static const char *const texts[] = {"",    ".",     "..",      "...",
                                        "a.b", "a.b.c", "a.b.c.d", "\xff.\xff.\xff"};
    token_claims_t out;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        buf_t t = {0};
        buf_add_text(&t, texts[i]);
        CHECK_INT(read_at(&keys, &t, TOKEN_ACCESS, 1, &out), ERR_INVALID_TOKEN);
        buf_free(&t);
    }
}
SPEC_MAIN
