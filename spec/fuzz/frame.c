/* Fuzz target: a frame head that parses is written again to one that reads the same; shorter input
 * never reads more. */
#include "net/frame.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *at = malloc(size ? size : 1);
    memcpy(at, data, size);
    for (int client = 0; client < 2; client++) {
        frame_head_t h, again;
        char room[14];
        int got = frame_parse_head(at, size, client, &h);
        assert(got == 0 || got == 1 || got == -1002);
        if (got != 1)
            continue;
        assert(h.size <= size && h.size <= 14 && h.masked == client);
        size_t n = frame_write_head(room, h.opcode, h.fin, h.len, client ? h.mask : NULL);
        assert(frame_parse_head(room, n, client, &again) == 1 && again.len == h.len);
        assert(again.opcode == h.opcode && again.fin == h.fin);
    }
    int code = frame_close_code((slice_t){at, size});
    assert(code == -1002 || code == -1007 || code == 1005 || frame_close_code_ok((uint32_t)code));
    frame_mask(at, size, (const uint8_t *)"abcd", size);
    free(at);
    return 0;
}
