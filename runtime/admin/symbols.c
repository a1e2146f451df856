/* symbols: see symbols.h. The table of /proc/self/exe is read once and sorted; dladdr1 knows the
 * rest. */
#include "admin/symbols.h"
#include "base/buf.h"
#include "base/pool.h"
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct place {
    uint64_t begin, size;
    const char *name;
} place_t;

struct symbols {
    const char *file; /* the mapped program file, NULL: none */
    size_t file_size;
    uint64_t base; /* where the program was loaded */
    place_t *places;
    uint32_t count, cap;
    char other[128]; /* the last name made for a library */
};

static int first_object(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    *(uint64_t *)arg = info->dlpi_addr;
    return 1; /* the program comes first (dl_iterate_phdr(3)) */
}

static bool map_file(symbols_t *s) {
    struct stat st;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    void *at = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof(ElfW(Ehdr)))
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return false;
    s->file = at;
    s->file_size = (size_t)st.st_size;
    return true;
}

static bool inside(const symbols_t *s, uint64_t offset, uint64_t size) {
    return offset <= s->file_size && size <= s->file_size - offset;
}

static void add_place(symbols_t *s, const ElfW(Sym) * sym, const char *names, uint64_t names_size) {
    if (ELF64_ST_TYPE(sym->st_info) != STT_FUNC || sym->st_value == 0 || sym->st_name >= names_size)
        return;
    if (s->count == s->cap)
        s->places = pool_grow(s->places, &s->cap, sizeof *s->places, 1024);
    s->places[s->count++] = (place_t){s->base + sym->st_value, sym->st_size, names + sym->st_name};
}

static void add_table(symbols_t *s, const ElfW(Shdr) * table, const ElfW(Shdr) * names) {
    if (!inside(s, table->sh_offset, table->sh_size) ||
        !inside(s, names->sh_offset, names->sh_size))
        return;
    const ElfW(Sym) *at = (const void *)(s->file + table->sh_offset);
    for (size_t i = 0; i < table->sh_size / sizeof *at; i++)
        add_place(s, &at[i], s->file + names->sh_offset, names->sh_size);
}

static void read_tables(symbols_t *s) {
    const ElfW(Ehdr) *head = (const void *)s->file;
    if (memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        !inside(s, head->e_shoff, (uint64_t)head->e_shnum * sizeof(ElfW(Shdr))))
        return;
    const ElfW(Shdr) *sections = (const void *)(s->file + head->e_shoff);
    for (int i = 0; i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < head->e_shnum)
            add_table(s, &sections[i], &sections[sections[i].sh_link]);
}

static int by_begin(const void *a, const void *b) {
    const place_t *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

symbols_t *symbols_open(void) {
    symbols_t *s = pool_zalloc(sizeof *s);
    dl_iterate_phdr(first_object, &s->base);
    if (map_file(s))
        read_tables(s);
    if (s->count)
        qsort(s->places, s->count, sizeof *s->places, by_begin);
    return s;
}

void symbols_close(symbols_t *s) {
    if (!s)
        return;
    if (s->file)
        munmap((void *)s->file, s->file_size);
    pool_free(s->places, s->cap * sizeof *s->places);
    pool_free(s, sizeof *s);
}

static const place_t *find_place(const symbols_t *s, uint64_t address) {
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->places[middle].begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const place_t *p = low ? &s->places[low - 1] : NULL;
    return p && address < p->begin + (p->size ? p->size : 1) ? p : NULL;
}

/* "[libc.so.6]" for what has no name. */
static const char *library_name(symbols_t *s, const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    snprintf(s->other, sizeof s->other, "[%.100s]",
             slash           ? slash + 1
             : path && *path ? path
                             : "unknown");
    return s->other;
}

symbol_t symbols_find(symbols_t *s, uint64_t address) {
    const place_t *p = find_place(s, address);
    if (p)
        return (symbol_t){p->name, p->begin};
    Dl_info info;
    const ElfW(Sym) *sym = NULL;
    if (!dladdr1((void *)(uintptr_t)address, &info, (void **)&sym, RTLD_DL_SYMENT))
        return (symbol_t){library_name(s, NULL), address};
    uint64_t begin = (uint64_t)(uintptr_t)info.dli_saddr;
    if (info.dli_sname && sym && address < begin + (sym->st_size ? sym->st_size : 1))
        return (symbol_t){info.dli_sname, begin};
    return (symbol_t){library_name(s, info.dli_fname), (uint64_t)(uintptr_t)info.dli_fbase};
}
