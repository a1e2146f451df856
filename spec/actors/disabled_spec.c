/* The set of disabled users. */
#include "actors/disabled.h"
#include "spec/spec.h"

SPEC("has whom it was told of, until they are removed") {
    disabled_set_t *s = disabled_set_new(10);
    CHECK(!disabled_has(s, 7));
    CHECK(disabled_add(s, 7));
    CHECK(disabled_add(s, 7));
    CHECK(disabled_has(s, 7));
    CHECK(!disabled_has(s, 8));
    CHECK_INT(disabled_count(s), 1);
    disabled_remove(s, 8);
    disabled_remove(s, 7);
    CHECK(!disabled_has(s, 7));
    CHECK_INT(disabled_count(s), 0);
    disabled_set_free(s);
}
SPEC("says when it has no room") {
    disabled_set_t *s = disabled_set_new(2);
    CHECK(disabled_add(s, 1));
    CHECK(disabled_add(s, 2));
    CHECK(!disabled_add(s, 3));
    CHECK(!disabled_has(s, 3));
    disabled_set_free(s);
}
SPEC_MAIN
