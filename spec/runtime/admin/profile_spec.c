/* profile: what the profiles of a process hold. The format as a whole is read in
 * spec/e2e/profile_spec.lua. */
#include "admin/pprof.h"
#include "admin/profile.h"
#include "admin/symbols.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/pool_mode.h"
#include "spec/spec.h"

static bool holds(const buf_t *b, const char *text) {
    return memmem(b->at, b->len, text, strlen(text)) != NULL;
}

__attribute__((noinline)) static void spec_burns(uint64_t ns) {
    uint64_t from = clock_thread_ns();
    while (clock_thread_ns() - from < ns)
        continue;
}

__attribute__((noinline)) static void spec_hoards(void **at, int count, size_t size) {
    for (int i = 0; i < count; i++)
        memset(at[i] = malloc(size), 1, size);
}

SPEC("names functions of the program and of libraries") {
    symbols_t *s = symbols_open();
    CHECK_TEXT(symbols_find(s, (uintptr_t)spec_burns + 1).name, strlen("spec_burns"), "spec_burns");
    CHECK_INT(symbols_find(s, (uintptr_t)spec_burns + 1).begin, (uintptr_t)spec_burns);
    CHECK(symbols_find(s, 1).name[0] == '[');
    symbols_close(s);
}

SPEC("adds up samples of one stack and actor") {
    void *stack[2] = {(void *)(uintptr_t)spec_burns, (void *)(uintptr_t)spec_hoards},
         *other[1] = {stack[1]};
    buf_t once = {0}, thrice = {0}, more = {0};
    pprof_type_t type = {"things", "count"};
    pprof_t *p = pprof_new(&type, 1);
    pprof_add(p, stack, 2, "conn", (int64_t[]){1});
    pprof_end(p, 0, 0, type, 1, &once);
    p = pprof_new(&type, 1);
    for (int i = 0; i < 3; i++)
        pprof_add(p, stack, 2, "conn", (int64_t[]){1});
    pprof_end(p, 0, 0, type, 1, &thrice);
    CHECK_INT(thrice.len, once.len);
    p = pprof_new(&type, 1);
    pprof_add(p, stack, 2, "conn", (int64_t[]){1});
    pprof_add(p, stack, 2, "hub", (int64_t[]){1});
    pprof_add(p, other, 1, "conn", (int64_t[]){1});
    pprof_end(p, 0, 0, type, 1, &more);
    CHECK(more.len > once.len && holds(&more, "hub") && holds(&more, "spec_hoards"));
    buf_free(&once);
    buf_free(&thrice);
    buf_free(&more);
}

SPEC("finds where CPU time goes, one profile at a time") {
    buf_t out = {0};
    CHECK_INT(profile_cpu_start(), ERR_OK);
    CHECK_INT(profile_cpu_start(), ERR_BUSY);
    spec_burns(300000000);
    profile_cpu_end(&out);
    CHECK(holds(&out, "spec_burns") && holds(&out, "nanoseconds"));
    CHECK(!holds(&out, "on_signal"));
    buf_free(&out);
    CHECK_INT(profile_cpu_start(), ERR_OK);
    profile_cpu_end(&out);
    CHECK(!holds(&out, "spec_burns"));
    buf_free(&out);
}

#if !POOL_PLAIN
SPEC("finds who holds memory, and forgets what was given back") {
    static void *at[256];
    buf_t held = {0}, freed = {0};
    spec_hoards(at, 256, 256 * 1024);
    profile_heap(&held);
    CHECK(holds(&held, "spec_hoards"));
    for (int i = 0; i < 256; i++)
        free(at[i]);
    profile_heap(&freed);
    CHECK(!holds(&freed, "spec_hoards"));
    buf_free(&held);
    buf_free(&freed);
}
#endif

SPEC_MAIN
