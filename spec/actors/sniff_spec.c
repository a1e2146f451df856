/* What sniff.h promises: what bytes are, and how large a picture is, whatever they are cut to. */
#include "actors/sniff.h"
#include "spec/spec.h"
#include <string.h>

#define IS(bytes, type) (strcmp(sniff_type((slice_t){bytes, sizeof(bytes) - 1}), type) == 0)

SPEC("knows pictures, sounds and films by their first bytes") {
    CHECK(IS("\x89PNG\r\n\x1a\n", "image/png"));
    CHECK(IS("\xff\xd8\xff\xe0", "image/jpeg"));
    CHECK(IS("GIF87a", "image/gif") && IS("GIF89a", "image/gif"));
    CHECK(IS("RIFF\0\0\0\0WEBP", "image/webp") && IS("RIFF\0\0\0\0WAVE", "wav"));
    CHECK(IS("XXXX\0\0\0\0WEBP", "") && IS("RIFF\0\0\0\0WEB", ""));
    CHECK(IS("\0\0\0\x18"
             "ftypmp42",
             "mp4") &&
          IS("\x1a\x45\xdf\xa3", "webm") && IS("OggS", "ogg"));
    CHECK(IS("ID3\4", "mp3") && IS("\xff\xfb\x90\x44", "mp3") && IS("\xff\xf1\x50\x80", "aac"));
    CHECK(IS("fLaC", "flac") && IS("#!AMR\n", "amr"));
    CHECK(IS("", "") && IS("\xff", "") && IS("plain words", "") && IS("\x89PNG", ""));
}

SPEC("knows what a browser might take for a document, behind blanks, a mark, in UTF-16") {
    CHECK(IS("<html>", "markup") && IS(" \n\t<!DOCTYPE html>", "markup") &&
          IS("<?xml?>", "markup"));
    CHECK(IS("\xef\xbb\xbf<svg/>", "markup") && IS("\0<\0h", "markup") &&
          IS("\xff\xfe<\0h\0", "markup") && IS("</p>", "markup"));
    CHECK(IS("< 5", "") && IS("<", "") && IS("a<b>", ""));
}

static bool size_is(const char *at, size_t len, uint32_t w, uint32_t h) {
    uint32_t width = 0, height = 0;
    return sniff_size((slice_t){at, len}, &width, &height) && width == w && height == h;
}
#define SIZE(bytes, w, h) size_is(bytes, sizeof(bytes) - 1, w, h)

SPEC("reads the size of each kind of picture") {
    CHECK(SIZE("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\0\7", 256, 7));
    CHECK(SIZE("GIF89a\x10\0\2\1", 16, 258));
    CHECK(SIZE("\xff\xd8\xff\xe1\0\4ab\xff\xff\xff\xc2\0\x11\x08\1\2\3\4", 772, 258));
    CHECK(SIZE("RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x0f\0\0\1\1\0", 16, 258));
    CHECK(SIZE("RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x0f\x40\x40\0\0\0\0\0\0", 16, 258));
    CHECK(SIZE("RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\1\x2a\x10\0\2\1", 16, 258));
}

SPEC("has no size where there is none, or where the bytes end before it") {
    static const char png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\0\7";
    static const char jpeg[] = "\xff\xd8\xff\xe1\0\4ab\xff\xff\xff\xc2\0\x11\x08\1\2\3\4";
    for (size_t n = 0; n < sizeof png - 1; n++)
        CHECK(!size_is(png, n, 256, 7));
    for (size_t n = 0; n < sizeof jpeg - 1; n++)
        CHECK(!size_is(jpeg, n, 772, 258));
    CHECK(!SIZE("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0\0\0\0\7", 0, 7)); /* no width */
    CHECK(!SIZE("\xff\xd8\xff\xe1\0\1ab\xff\xc0\0\x11\x08\1\2\3\4", 772,
                258)); /* a segment too short */
    CHECK(!SIZE("\xff\xd8\xff\xda\0\4ab\xff\xc0\0\x11\x08\1\2\3\4", 772,
                258)); /* behind the picture's data */
    CHECK(!SIZE("OggS", 0, 0));
}
SPEC_MAIN
