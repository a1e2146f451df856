/* err: the table that C, the wire and Lua share. */
#include "base/err.h"
#include "spec/spec.h"
#include <limits.h>

SPEC("gives the wire symbol, status and text of a code") {
    CHECK(strcmp(err_symbol(ERR_MUTED), "muted") == 0);
    CHECK_INT(err_status(ERR_MUTED), 403);
    CHECK(strcmp(err_text(ERR_MUTED), "you are muted") == 0);
    CHECK_INT(err_status(ERR_URI_TOO_LONG), 414);
    CHECK(strcmp(err_symbol(ERR_URI_TOO_LONG), "bad_request") == 0);
}

SPEC("answers as internal for what is no code of ours") {
    const int wrong[] = {1, 400, -ERR_COUNT, -100000, INT_MIN, INT_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_INT(err_status(wrong[i]), 500);
        CHECK(strcmp(err_symbol(wrong[i]), "internal") == 0);
        CHECK(strcmp(err_text(wrong[i]), "internal error") == 0);
    }
}

SPEC("knows success") {
    CHECK_INT(err_status(ERR_OK), 200);
}

SPEC("finds each code by its lower-case name") {
    for (int err = -1; err > -ERR_COUNT; err--)
        CHECK_INT(err_by_name(err_name(err)), err);
    CHECK_INT(err_by_name("length_required"), ERR_LENGTH_REQUIRED);
    CHECK_INT(err_by_name("no_such_name"), ERR_INTERNAL);
}

SPEC_MAIN
