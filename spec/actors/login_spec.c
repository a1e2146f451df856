/* The set of revoked logins. */
#include "actors/login.h"
#include "spec/spec.h"

SPEC("refuses a revoked login until its last token has expired") {
    login_set_t *s = login_set_new(10);
    CHECK(!login_revoked(s, 7));
    CHECK(login_revoke(s, 7, 5000));
    CHECK(login_revoked(s, 7));
    login_sweep(s, 5000);
    CHECK(login_revoked(s, 7));
    login_sweep(s, 5001);
    CHECK(!login_revoked(s, 7));
    CHECK_INT(login_count(s), 0);
    login_set_free(s);
}
SPEC("keeps the later time of two revocations") {
    login_set_t *s = login_set_new(10);
    login_revoke(s, 7, 5000);
    login_revoke(s, 7, 4000);
    login_sweep(s, 4500);
    CHECK(login_revoked(s, 7));
    login_set_free(s);
}
SPEC("has no login 0") {
    login_set_t *s = login_set_new(10);
    CHECK(login_revoke(s, 0, 5000));
    CHECK(!login_revoked(s, 0));
    login_set_free(s);
}
SPEC_MAIN
