/* sniff: see sniff.h. Called by the API for scripts (files.look). */
#include "actors/sniff.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

typedef struct magic {
    uint8_t at, len;
    const char *bytes, *type;
} magic_t;

static const magic_t magics[] = {
    {0, 8, "\x89PNG\r\n\x1a\n", "image/png"},
    {0, 3, "\xff\xd8\xff", "image/jpeg"},
    {0, 6, "GIF87a", "image/gif"},
    {0, 6, "GIF89a", "image/gif"},
    {8, 4, "WEBP", "image/webp"}, /* behind RIFF and a length, as the next two */
    {8, 4, "WAVE", "wav"},
    {8, 4, "AVI ", "avi"},
    {0, 4, "II*\0", "image/tiff"},
    {0, 4, "MM\0*", "image/tiff"},
    {4, 4, "ftyp", "mp4"},
    {0, 4, "\x1a\x45\xdf\xa3", "webm"},
    {0, 4, "OggS", "ogg"},
    {0, 3, "ID3", "mp3"},
    {0, 4, "fLaC", "flac"},
    {0, 5, "#!AMR", "amr"},
};

static bool has(slice_t s, const magic_t *m) {
    bool riff = m->at != 8 || (s.len >= 4 && memcmp(s.at, "RIFF", 4) == 0);
    return riff && s.len >= (size_t)m->at + m->len && memcmp(s.at + m->at, m->bytes, m->len) == 0;
}

static size_t byte_order_mark(slice_t s) {
    if (s.len >= 3 && memcmp(s.at, "\xef\xbb\xbf", 3) == 0)
        return 3;
    return s.len >= 2 && (memcmp(s.at, "\xff\xfe", 2) == 0 || memcmp(s.at, "\xfe\xff", 2) == 0) ? 2
                                                                                                : 0;
}

/* Would a browser that guesses take it for a document? Zeros: the text may be UTF-16. */
static bool is_markup(slice_t s) {
    size_t i = byte_order_mark(s);
    while (i < s.len && (isspace((uint8_t)s.at[i]) || s.at[i] == 0))
        i++;
    if (i == s.len || s.at[i++] != '<')
        return false;
    i += i < s.len && s.at[i] == 0;
    return i < s.len && s.at[i] && (isalpha((uint8_t)s.at[i]) || strchr("!?/", s.at[i]));
}

/* The start of a frame of MPEG audio or ADTS: eleven or twelve ones, a layer, a rate. */
static const char *audio_frame(slice_t s) {
    if (s.len < 4 || (uint8_t)s.at[0] != 0xff)
        return "";
    uint8_t b = (uint8_t)s.at[1], c = (uint8_t)s.at[2];
    if ((b & 0xf6) == 0xf0)
        return "aac";
    return (b & 0xe0) == 0xe0 && (b & 0x06) != 0 && (c & 0xf0) != 0xf0 ? "mp3" : "";
}

const char *sniff_type(slice_t head) {
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (has(head, &magics[i]))
            return magics[i].type;
    if (is_markup(head))
        return "markup";
    if (head.len >= 14 && memcmp(head.at, "BM", 2) == 0 && memcmp(head.at + 6, "\0\0\0\0", 4) == 0)
        return "image/bmp";
    return audio_frame(head);
}

/* --- sizes --- */

static uint32_t be(slice_t s, size_t at, int n) {
    uint32_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | (uint8_t)s.at[at + (size_t)i];
    return v;
}

static uint32_t le(slice_t s, size_t at, int n) {
    uint32_t v = 0;
    for (int i = n; i-- > 0;)
        v = v << 8 | (uint8_t)s.at[at + (size_t)i];
    return v;
}

static bool png_size(slice_t s, uint32_t *w, uint32_t *h) {
    if (s.len < 24 || memcmp(s.at + 12, "IHDR", 4) != 0)
        return false;
    *w = be(s, 16, 4);
    *h = be(s, 20, 4);
    return true;
}

static bool gif_size(slice_t s, uint32_t *w, uint32_t *h) {
    if (s.len < 10)
        return false;
    *w = le(s, 6, 2);
    *h = le(s, 8, 2);
    return true;
}

/* A frame header: SOF0 to SOF15, without the three that share their numbers. */
static bool is_frame(uint8_t marker) {
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* From segment to segment, each at least four bytes long, so it ends. */
static bool jpeg_size(slice_t s, uint32_t *w, uint32_t *h) {
    size_t at = 2;
    while (at + 4 <= s.len) {
        if ((uint8_t)s.at[at] != 0xff)
            return false;
        uint8_t marker = (uint8_t)s.at[at + 1];
        if (marker == 0xff) { /* fill */
            at++;
            continue;
        }
        uint32_t len = be(s, at + 2, 2);
        if (len < 2 || marker == 0xda || marker == 0xd9)
            return false;
        if (is_frame(marker)) {
            if (at + 9 > s.len)
                return false;
            *h = be(s, at + 5, 2);
            *w = be(s, at + 7, 2);
            return true;
        }
        at += 2 + len;
    }
    return false;
}

static bool webp_size(slice_t s, uint32_t *w, uint32_t *h) {
    if (s.len < 30)
        return false;
    if (memcmp(s.at + 12, "VP8X", 4) == 0) {
        *w = le(s, 24, 3) + 1;
        *h = le(s, 27, 3) + 1;
    } else if (memcmp(s.at + 12, "VP8L", 4) == 0 && (uint8_t)s.at[20] == 0x2f) {
        uint32_t bits = le(s, 21, 4);
        *w = (bits & 0x3fff) + 1;
        *h = (bits >> 14 & 0x3fff) + 1;
    } else if (memcmp(s.at + 12, "VP8 ", 4) == 0 && memcmp(s.at + 23, "\x9d\x01\x2a", 3) == 0) {
        *w = le(s, 26, 2) & 0x3fff;
        *h = le(s, 28, 2) & 0x3fff;
    } else {
        return false;
    }
    return true;
}

bool sniff_size(slice_t head, uint32_t *width, uint32_t *height) {
    const char *type = sniff_type(head);
    bool found = strcmp(type, "image/png") == 0    ? png_size(head, width, height)
                 : strcmp(type, "image/jpeg") == 0 ? jpeg_size(head, width, height)
                 : strcmp(type, "image/gif") == 0  ? gif_size(head, width, height)
                 : strcmp(type, "image/webp") == 0 ? webp_size(head, width, height)
                                                   : false;
    return found && *width > 0 && *height > 0;
}
