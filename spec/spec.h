/* spec: the harness of the C specs. A spec file is a program: SPEC("promise") { ... } blocks, then
 * SPEC_MAIN. It prints one line for each failure and ends with "N passed, N failed". `./name_spec
 * WORD` runs those whose promise holds WORD. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct spec {
    const char *promise;
    void (*run)(void);
    struct spec *next;
} spec_t;

static spec_t *spec_first, **spec_last = &spec_first;
static bool spec_failed;

#define SPEC_CAT2(a, b) a##b
#define SPEC_CAT(a, b)  SPEC_CAT2(a, b)
#define SPEC(text)                                                                                 \
    static void SPEC_CAT(spec_run_, __LINE__)(void);                                               \
    __attribute__((constructor)) static void SPEC_CAT(spec_add_, __LINE__)(void) {                 \
        static spec_t s = {text, SPEC_CAT(spec_run_, __LINE__), NULL};                             \
        *spec_last = &s;                                                                           \
        spec_last = &s.next;                                                                       \
    }                                                                                              \
    static void SPEC_CAT(spec_run_, __LINE__)(void)

/* Notes the failure and leaves the promise. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                              \
            spec_failed = true;                                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long spec_g = (long long)(got), spec_w = (long long)(want);                           \
        if (spec_g != spec_w) {                                                                    \
            printf("%s:%d: %s is %lld, want %lld\n", __FILE__, __LINE__, #got, spec_g, spec_w);    \
            spec_failed = true;                                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define CHECK_TEXT(at, len, want)                                                                  \
    do {                                                                                           \
        if ((size_t)(len) != strlen(want) || memcmp((at), (want), strlen(want)) != 0) {            \
            printf("%s:%d: %s is '%.*s', want '%s'\n", __FILE__, __LINE__, #at, (int)(len),        \
                   (const char *)(at), want);                                                      \
            spec_failed = true;                                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static int spec_main(int argc, char **argv) {
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (spec_t *s = spec_first; s; s = s->next) {
        if (argc > 1 && !strstr(s->promise, argv[1]))
            continue;
        spec_failed = false;
        s->run();
        if (spec_failed)
            printf("FAILED %s\n", s->promise);
        failed += spec_failed;
        passed += !spec_failed;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
#define SPEC_MAIN                                                                                  \
    int main(int argc, char **argv) {                                                              \
        return spec_main(argc, argv);                                                              \
    }
