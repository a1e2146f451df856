/* Fuzz target: what a file is and how large a picture: no byte beyond the end is read, and a longer
 * head says nothing else about a size that was found. */
#include "actors/sniff.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t width = 0, height = 0, w = 0, h = 0;
    char *at = malloc(size ? size : 1), *half = malloc(size / 2 + 1);
    memcpy(at, data, size);
    memcpy(half, data, size / 2);
    bool whole = sniff_size((slice_t){at, size}, &width, &height);
    assert(sniff_type((slice_t){at, size}) != NULL);
    if (whole)
        assert(width && height);
    if (sniff_size((slice_t){half, size / 2}, &w, &h))
        assert(whole && w == width && h == height);
    free(at);
    free(half);
    return 0;
}
