/* source: see source.h. */
#include "script/source.h"
#include "base/asset.h"
#include "base/log.h"
#include "port/crypt.h"
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX (1024 * 1024)

struct sources {
    _Atomic uint32_t refs;
    size_t count;
    source_file_t files[];
};

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a > b && strcmp(text + a - b, end) == 0;
}

/* --- making a set --- */
sources_t *sources_new(void) {
    sources_t *s = calloc(1, sizeof *s + SOURCES_MAX * sizeof(source_file_t));
    if (!s)
        log_die("script", "no memory for sources");
    s->refs = 1;
    return s;
}

bool sources_put(sources_t *s, const char *path, block_t *bytes, bool own) {
    size_t i = 0;
    while (i < s->count && strcmp(s->files[i].path, path) != 0)
        i++;
    if (i == SOURCES_MAX || strlen(path) >= sizeof s->files[i].path) {
        block_unref(bytes);
        return false;
    }
    source_file_t *f = &s->files[i];
    if (i == s->count)
        s->count++;
    else
        block_unref(f->bytes);
    snprintf(f->path, sizeof f->path, "%s", path);
    f->bytes = bytes;
    f->text = (slice_t){bytes->data, bytes->len};
    f->own = own;
    return true;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const source_file_t *)a)->path, ((const source_file_t *)b)->path);
}

sources_t *sources_seal(sources_t *s) {
    qsort(s->files, s->count, sizeof *s->files, by_path);
    sources_t *fit = realloc(s, sizeof *s + s->count * sizeof *s->files);
    return fit ? fit : s;
}

/* --- reading --- */
/* Takes over what the earlier set holds when it is the same. Takes bytes. */
static block_t *share(const sources_t *like, const char *path, block_t *bytes) {
    for (size_t i = 0; like && i < like->count; i++) {
        const source_file_t *f = &like->files[i];
        if (strcmp(f->path, path) != 0 || !slice_eq(f->text, (slice_t){bytes->data, bytes->len}))
            continue;
        block_unref(bytes);
        return block_ref(f->bytes);
    }
    return bytes;
}

static void put_assets(sources_t *s, const sources_t *like) {
    size_t count;
    const asset_t *a = asset_all(&count);
    for (size_t i = 0; i < count; i++) {
        const char *path = a[i].path + 4;
        if (strncmp(a[i].path, "lua/", 4) == 0 && strstr(a[i].path, ".lua"))
            sources_put(s, path, share(like, path, block_of(a[i].bytes.at, a[i].bytes.len)), false);
    }
}

static block_t *read_file(const char *file, char *fault, size_t room) {
    struct stat st;
    FILE *f = fopen(file, "rb");
    if (!f || fstat(fileno(f), &st) != 0 || st.st_size > FILE_MAX) {
        snprintf(fault, room, "%s: %s", file, f ? "too large" : strerror(errno));
        if (f)
            fclose(f);
        return NULL;
    }
    block_t *b = block_new((size_t)st.st_size + 1);
    b->len = (uint32_t)fread(b->data, 1, (size_t)st.st_size, f);
    fclose(f);
    return b;
}

static bool read_dir(sources_t *s, const sources_t *like, const char *dir, const char *below,
                     char *fault, size_t room) {
    char at[512], file[800], path[300];
    snprintf(at, sizeof at, "%s/%s", dir, below);
    DIR *d = opendir(at);
    if (!d) {
        snprintf(fault, room, "%s: %s", at, strerror(errno));
        return *below != '\0'; /* there need not be a lib/ */
    }
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d));) {
        if (!ends_with(e->d_name, ".lua") || e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s%s%s", at, *below ? "/" : "", e->d_name);
        snprintf(path, sizeof path, "%s%s%s", below, *below ? "/" : "", e->d_name);
        block_t *b = read_file(file, fault, room);
        ok = b && sources_put(s, path, share(like, path, b), true);
        if (b && !ok)
            snprintf(fault, room, "%s: too many files", file);
    }
    closedir(d);
    return ok;
}

sources_t *sources_read(const char *dir, const sources_t *like, char *fault, size_t room) {
    sources_t *s = sources_new();
    put_assets(s, like);
    if (*dir &&
        !(read_dir(s, like, dir, "", fault, room) && read_dir(s, like, dir, "lib", fault, room))) {
        sources_unref(s);
        return NULL;
    }
    return sources_seal(s);
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
        block_unref(s->files[i].bytes);
    free(s);
}

/* --- looking --- */
const source_file_t *sources_all(const sources_t *s, size_t *count) {
    *count = s->count;
    return s->files;
}

int sources_find(const sources_t *s, slice_t name) {
    for (size_t i = 0; i < s->count; i++) {
        slice_t path = {s->files[i].path, strlen(s->files[i].path) - 4};
        if (slice_eq(path, name))
            return (int)i;
    }
    return -1;
}

slice_t sources_text(const sources_t *s, slice_t name) {
    int i = sources_find(s, name);
    return i < 0 ? (slice_t){NULL, 0} : s->files[i].text;
}

slice_t sources_spec(const sources_t *s, slice_t name) {
    char path[112];
    snprintf(path, sizeof path, "%.*s_spec", (int)name.len, name.at);
    int file = sources_find(s, name), spec = sources_find(s, slice_of(path));
    if (file < 0 || spec < 0 || (s->files[file].own && !s->files[spec].own))
        return (slice_t){NULL, 0};
    return s->files[spec].text;
}

const char *sources_hash(sources_t *s, size_t i) {
    source_file_t *f = &s->files[i];
    uint8_t sum[32];
    if (*f->hash)
        return f->hash;
    crypt_sha256(f->text, sum);
    for (int n = 0; n < 32; n++)
        snprintf(f->hash + 2 * n, 3, "%02x", sum[n]);
    return f->hash;
}

bool source_is_service(const source_file_t *f) {
    return !strchr(f->path, '/') && !ends_with(f->path, "_spec.lua");
}

bool source_is_lib(const source_file_t *f) {
    return strncmp(f->path, "lib/", 4) == 0 && !ends_with(f->path, "_spec.lua");
}
