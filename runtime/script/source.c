/* source: see source.h. */
#include "script/source.h"
#include "base/asset.h"
#include "base/log.h"
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILES_MAX 256
#define FILE_MAX  (1024 * 1024)

struct sources {
    _Atomic uint32_t refs;
    size_t count;
    source_file_t files[FILES_MAX];
};

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a > b && strcmp(text + a - b, end) == 0;
}

/* Takes text; replaces the file of that path. */
static bool put(sources_t *s, const char *path, char *text, size_t len) {
    size_t i = 0;
    while (i < s->count && strcmp(s->files[i].path, path) != 0)
        i++;
    if (i == FILES_MAX || strlen(path) >= sizeof s->files[i].path) {
        free(text);
        return false;
    }
    if (i == s->count)
        s->count++;
    else
        free((char *)s->files[i].text.at);
    snprintf(s->files[i].path, sizeof s->files[i].path, "%s", path);
    s->files[i].text = (slice_t){text, len};
    return true;
}

static char *copy_text(const char *at, size_t len) {
    char *text = malloc(len + 1);
    if (!text)
        log_die("script", "no memory for a file of %zu bytes", len);
    memcpy(text, at, len);
    text[len] = '\0';
    return text;
}

static void put_assets(sources_t *s) {
    size_t count;
    const asset_t *a = asset_all(&count);
    for (size_t i = 0; i < count; i++)
        if (strncmp(a[i].path, "lua/", 4) == 0 && strstr(a[i].path, ".lua"))
            put(s, a[i].path + 4, copy_text(a[i].bytes.at, a[i].bytes.len), a[i].bytes.len);
}

static bool read_file(sources_t *s, const char *file, const char *path, char *fault, size_t room) {
    struct stat st;
    FILE *f = fopen(file, "rb");
    if (!f || fstat(fileno(f), &st) != 0 || st.st_size > FILE_MAX) {
        snprintf(fault, room, "%s: %s", file, f ? "too large" : strerror(errno));
        if (f)
            fclose(f);
        return false;
    }
    char *text = malloc((size_t)st.st_size + 1);
    if (!text)
        log_die("script", "no memory for %s", file);
    size_t n = fread(text, 1, (size_t)st.st_size, f);
    text[n] = '\0';
    fclose(f);
    if (put(s, path, text, n))
        return true;
    snprintf(fault, room, "%s: too many files", file);
    return false;
}

static bool read_dir(sources_t *s, const char *dir, const char *below, char *fault, size_t room) {
    char at[512], file[800], path[300];
    snprintf(at, sizeof at, "%s/%s", dir, below);
    DIR *d = opendir(at);
    if (!d) {
        snprintf(fault, room, "%s: %s", at, strerror(errno));
        return *below != '\0'; /* there need not be a lib/ */
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d));) {
        if (!ends_with(e->d_name, ".lua") || ends_with(e->d_name, "_spec.lua") ||
            e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s%s%s", at, *below ? "/" : "", e->d_name);
        snprintf(path, sizeof path, "%s%s%s", below, *below ? "/" : "", e->d_name);
        ok = read_file(s, file, path, fault, room);
    }
    closedir(d);
    return ok;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const source_file_t *)a)->path, ((const source_file_t *)b)->path);
}

sources_t *sources_read(const char *dir, char *fault, size_t room) {
    sources_t *s = calloc(1, sizeof *s);
    if (!s)
        log_die("script", "no memory for sources");
    s->refs = 1;
    put_assets(s);
    if (*dir && !(read_dir(s, dir, "", fault, room) && read_dir(s, dir, "lib", fault, room))) {
        sources_unref(s);
        return NULL;
    }
    qsort(s->files, s->count, sizeof *s->files, by_path);
    return s;
}

sources_t *sources_ref(sources_t *s) {
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void sources_unref(sources_t *s) {
    /* acq_rel: the last one sees what the others read, as with every counted thing */
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->count; i++)
        free((char *)s->files[i].text.at);
    free(s);
}

const source_file_t *sources_all(const sources_t *s, size_t *count) {
    *count = s->count;
    return s->files;
}

bool sources_find(void *arg, slice_t name, slice_t *text) {
    const sources_t *s = arg;
    for (size_t i = 0; i < s->count; i++) {
        slice_t path = {s->files[i].path, strlen(s->files[i].path) - 4};
        if (slice_eq(path, name)) {
            *text = s->files[i].text;
            return true;
        }
    }
    return false;
}

bool source_is_service(const source_file_t *f) {
    return !strchr(f->path, '/');
}

static bool text_differs(sources_t *a, sources_t *b, slice_t name) {
    slice_t x, y;
    bool in_a = sources_find(a, name, &x), in_b = sources_find(b, name, &y);
    return in_a != in_b || (in_a && !slice_eq(x, y));
}

static bool lib_differs(sources_t *a, sources_t *b) {
    for (size_t i = 0; i < a->count; i++)
        if (!source_is_service(&a->files[i]) &&
            text_differs(a, b, (slice_t){a->files[i].path, strlen(a->files[i].path) - 4}))
            return true;
    return false;
}

bool sources_differ(sources_t *a, sources_t *b, const char *name) {
    return text_differs(a, b, slice_of(name)) || lib_differs(a, b) || lib_differs(b, a);
}
