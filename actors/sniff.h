/* sniff: what bytes are, by their beginning, whatever anybody says they are; and how large a
 * picture is. Reads no byte beyond what it is given. Pure functions, any thread; fuzzed. */
#pragma once
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

/* A type ("image/png", also jpeg, gif, webp, bmp, tiff), a container ("mp4", "webm", "ogg", "mp3",
 * "wav", "flac", "aac", "amr", "avi"), "markup" (HTML, XML, SVG), or "": unknown. Static text. */
const char *sniff_type(slice_t head);
/* Width and height of a png, jpeg, gif or webp; false: not in these bytes. */
bool sniff_size(slice_t head, uint32_t *width, uint32_t *height);
