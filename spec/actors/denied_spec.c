/* Revoked logins and disabled users. */
#include "actors/denied.h"
#include "spec/spec.h"

SPEC("refuses what it was told of until its time is over") {
    denied_t *d = denied_new("login", 10);
    CHECK(!denied_has(d, 7));
    CHECK(denied_add(d, 7, 5000));
    CHECK(denied_has(d, 7));
    CHECK(!denied_has(d, 8));
    denied_sweep(d, 5000);
    CHECK(denied_has(d, 7));
    denied_sweep(d, 5001);
    CHECK(!denied_has(d, 7));
    CHECK_INT(denied_count(d), 0);
    denied_free(d);
}
SPEC("keeps the later of two times") {
    denied_t *d = denied_new("login", 10);
    denied_add(d, 7, 5000);
    denied_add(d, 7, 4000);
    denied_sweep(d, 4500);
    CHECK(denied_has(d, 7));
    denied_free(d);
}
SPEC("refuses one without a time until it is removed") {
    denied_t *d = denied_new("user", 10);
    CHECK(denied_add(d, 7, DENIED_ALWAYS));
    CHECK(denied_add(d, 7, DENIED_ALWAYS));
    CHECK_INT(denied_count(d), 1);
    denied_sweep(d, INT64_MAX);
    denied_remove(d, 8);
    CHECK(denied_has(d, 7));
    denied_remove(d, 7);
    CHECK(!denied_has(d, 7));
    CHECK_INT(denied_count(d), 0);
    denied_free(d);
}
SPEC("knows no id 0") {
    denied_t *d = denied_new("login", 10);
    CHECK(denied_add(d, 0, 5000));
    CHECK(!denied_has(d, 0));
    denied_free(d);
}
SPEC("says when it has no room") {
    denied_t *d = denied_new("user", 2);
    CHECK(denied_add(d, 1, DENIED_ALWAYS));
    CHECK(denied_add(d, 2, DENIED_ALWAYS));
    CHECK(!denied_add(d, 3, DENIED_ALWAYS));
    CHECK(!denied_has(d, 3));
    denied_free(d);
}
SPEC_MAIN
