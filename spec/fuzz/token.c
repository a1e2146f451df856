/* Fuzz target: token_read. The input is a token as it comes, and, signed with the right key, the
 * head and claims of one: so the parsers behind the signature are reached, too. */
#include "actors/token.h"
#include "base/err.h"
#include "base/text.h"
#include "port/crypt.h"
#include <assert.h>

static const token_keys_t keys = {{"a secret of at least 32 bytes ....", 34},
                                  {"old one of at least 32 bytes too ..", 35}};

static void check(json_doc_t *doc, slice_t token) {
    token_claims_t c;
    int err = token_read(&keys, doc, token, TOKEN_ACCESS, 1000, &c);
    assert(err == ERR_OK || err == ERR_INVALID_TOKEN || err == ERR_TOKEN_EXPIRED);
    assert(err != ERR_OK || (c.user > 0 && c.fam > 0 && c.exp_s > 1000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_doc_t *doc;
    uint8_t mac[32];
    buf_t t = {0};
    if (!doc)
        doc = json_doc_new();
    check(doc, (slice_t){(const char *)data, size});
    const uint8_t *cut = size ? memchr(data, '\n', size) : NULL;
    size_t head = cut ? (size_t)(cut - data) : 0;
    text_base64url_add(&t, cut ? (const char *)data : "{\"alg\":\"HS256\"}", cut ? head : 15);
    buf_add_char(&t, '.');
    text_base64url_add(&t, data + (cut ? head + 1 : 0), size - (cut ? head + 1 : 0));
    crypt_hmac_sha256(keys.secret, buf_slice(&t), mac);
    buf_add_char(&t, '.');
    text_base64url_add(&t, mac, 32);
    check(doc, buf_slice(&t));
    buf_free(&t);
    return 0;
}
