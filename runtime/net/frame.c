/* frame: RFC 6455 frame heads, masks and close codes, for both roles. Pure functions on bytes;
 * called by ws.c, wsbench and the specs' client; any thread. */
#include "net/frame.h"
#include "base/text.h"

#define HIGH_BITS 0x8080808080808080u

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a word's lowest byte is its first");

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

/* Eight bytes at a time; the high bits of all of them are gathered on the way. */
bool frame_mask(char *at, size_t len, const uint8_t mask[4], size_t offset) {
    uint32_t four;
    memcpy(&four, mask, 4);
    if (offset & 3)
        four = four >> (offset & 3) * 8 | four << (4 - (offset & 3)) * 8;
    uint64_t word = (uint64_t)four << 32 | four, all = 0, piece;
    for (; len >= 8; at += 8, len -= 8) {
        memcpy(&piece, at, 8);
        piece ^= word;
        all |= piece;
        memcpy(at, &piece, 8);
    }
    for (; len; at++, len--, word >>= 8) {
        *at = (char)(*at ^ (char)word);
        all |= (uint8_t)*at;
    }
    return (all & HIGH_BITS) == 0;
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
