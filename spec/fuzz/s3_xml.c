/* Fuzz target: s3_xml_read. Each text that it tells, written as XML again, is told again as it was.
 * The input sits in memory of exactly its size, so that a read beyond it is seen. */
#include "port/s3_xml.h"
#include "base/err.h"
#include "base/text.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

static void escape(buf_t *out, slice_t s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] == '<' || s.at[i] == '&')
            buf_addf(out, "&#%d;", s.at[i]);
        else
            buf_add_char(out, s.at[i]);
}

static void same(void *arg, const s3_xml_t *at) {
    assert(slice_eq(*(const slice_t *)arg, at->text) && s3_xml_is(at, "E"));
}

static void visit(void *arg, const s3_xml_t *at) {
    slice_t text = at->text;
    buf_t xml = {0};
    ++*(size_t *)arg;
    assert(at->depth >= 1 && at->depth <= S3_XML_DEPTH && text_utf8_valid(text.at, text.len));
    for (size_t i = 0; i < at->depth; i++)
        assert(at->path[i].len > 0 && !memchr(at->path[i].at, ':', at->path[i].len));
    buf_add_text(&xml, "<E>");
    escape(&xml, text);
    buf_add_text(&xml, "</E>");
    assert(s3_xml_read(buf_slice(&xml), same, &text) == ERR_OK);
    buf_free(&xml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1);
    size_t told = 0;
    memcpy(text, data, size);
    int err = s3_xml_read((slice_t){text, size}, visit, &told);
    assert(err == ERR_BAD_REQUEST || (err == ERR_OK && told > 0));
    free(text);
    return 0;
}
