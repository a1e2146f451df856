/* frame: RFC 6455 frame heads, masks and close codes, for both roles. Pure functions on bytes;
 * called by ws.c, wsbench and the specs' client; any thread. */
#include "net/frame.h"
#include "base/text.h"

static int parse_length(const uint8_t *p, size_t len, frame_head_t *out) {
    uint32_t size = 2;
    out->len = p[1] & 0x7f;
    if (out->len == 126)
        size = 4;
    else if (out->len == 127)
        size = 10;
    if (len < size)
        return 0;
    if (size > 2) {
        out->len = 0;
        for (uint32_t i = 2; i < size; i++)
            out->len = out->len << 8 | p[i];
    }
    out->size = size;
    return out->len >> 63 ? -1002 : 1;
}

int frame_parse_head(const char *at, size_t len, bool from_client, frame_head_t *out) {
    const uint8_t *p = (const uint8_t *)at;
    if (len < 1)
        return 0;
    out->fin = p[0] & 0x80;
    out->opcode = p[0] & 0x0f;
    bool control = out->opcode >= WS_CLOSE;
    if ((p[0] & 0x70) || (out->opcode > WS_BINARY && !control) || out->opcode > WS_PONG)
        return -1002;
    if (control && !out->fin)
        return -1002;
    if (len < 2)
        return 0;
    out->masked = p[1] & 0x80;
    if (out->masked != from_client || (control && (p[1] & 0x7f) > 125))
        return -1002;
    int got = parse_length(p, len, out);
    if (got <= 0 || !out->masked)
        return got;
    if (len < out->size + 4)
        return 0;
    memcpy(out->mask, p + out->size, 4);
    out->size += 4;
    return 1;
}

void frame_mask(char *at, size_t len, const uint8_t mask[4], size_t offset) {
    uint8_t turned[8];
    for (int i = 0; i < 8; i++)
        turned[i] = mask[(offset + (size_t)i) & 3];
    uint64_t word, piece;
    memcpy(&word, turned, 8);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&piece, at + i, 8);
        piece ^= word;
        memcpy(at + i, &piece, 8);
    }
    for (; i < len; i++)
        at[i] = (char)(at[i] ^ (char)turned[i & 7]);
}

size_t frame_write_head(char room[14], uint8_t opcode, bool fin, uint64_t len,
                        const uint8_t *mask) {
    size_t n = 2;
    int bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;
    room[0] = (char)((fin ? 0x80 : 0) | opcode);
    room[1] = (char)((mask ? 0x80 : 0) | (bytes == 0 ? (int)len : bytes == 2 ? 126 : 127));
    for (int i = bytes - 1; i >= 0; i--)
        room[n++] = (char)(len >> (8 * i));
    if (mask) {
        memcpy(room + n, mask, 4);
        n += 4;
    }
    return n;
}

bool frame_close_code_ok(uint32_t code) {
    if (code >= 3000)
        return code <= 4999;
    return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

int frame_close_code(slice_t payload) {
    if (payload.len == 0)
        return 1005;
    if (payload.len < 2)
        return -1002;
    uint32_t code = (uint32_t)(uint8_t)payload.at[0] << 8 | (uint8_t)payload.at[1];
    if (!frame_close_code_ok(code))
        return -1002;
    return text_utf8_valid(payload.at + 2, payload.len - 2) ? (int)code : -1007;
}
