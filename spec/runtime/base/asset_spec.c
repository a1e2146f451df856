/* asset: files built into the binary. */
#include "base/asset.h"
#include "spec/spec.h"

SPEC("carries the schema byte for byte") {
    const asset_t *a = asset_find("schema/sqlite/migrations/0001.sql");
    CHECK(a != NULL);
    FILE *f = fopen(SPEC_SOURCE "/schema/sqlite/migrations/0001.sql", "rb");
    CHECK(f != NULL);
    static char room[1 << 20];
    size_t len = fread(room, 1, sizeof room, f);
    fclose(f);
    CHECK_INT(a->bytes.len, len);
    CHECK(memcmp(a->bytes.at, room, len) == 0);
}

SPEC("gives NULL for what is not there") {
    CHECK(asset_find("lua/none.lua") == NULL);
}

SPEC("lists all, sorted by path") {
    size_t n;
    const asset_t *a = asset_all(&n);
    CHECK(n > 0);
    for (size_t i = 1; i < n; i++)
        CHECK(strcmp(a[i - 1].path, a[i].path) < 0);
    for (size_t i = 0; i < n; i++)
        CHECK(asset_find(a[i].path) == &a[i]);
}

SPEC_MAIN
