/* Fuzz target: conf_load_text. A text that is refused changes nothing and its fault is one line
 * that begins with the file's name; a text that is taken can be walked, checked and taken once more
 * with the same result. */
#include "base/conf.h"
#include "base/buf.h"
#include "base/err.h"
#include <assert.h>
#include <stdlib.h>

static void visit(void *arg, const char *key, conf_type_t type, const char *value,
                  const char *preset, const char *help) {
    (void)type;
    assert(key && value && preset && help);
    buf_addf(arg, "%s=%s\n", key, value);
}

static buf_t dump(const conf_t *c) {
    buf_t b = {0};
    conf_each(c, visit, &b);
    return b;
}

static int load(conf_t *c, slice_t text) {
    char fault[200];
    memset(fault, 'x', sizeof fault);
    int err = conf_load_text(c, "node.conf", text, fault, sizeof fault);
    assert(err == ERR_OK || err == ERR_BAD_REQUEST);
    if (err) {
        assert(memchr(fault, 0, sizeof fault) && strncmp(fault, "node.conf:", 10) == 0);
        assert(!strchr(fault, '\n'));
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1), fault[200];
    memcpy(text, data, size);
    conf_t *c = conf_new();
    buf_t before = dump(c);
    int err = load(c, (slice_t){text, size});
    buf_t after = dump(c);
    assert(err == ERR_OK || slice_eq(buf_slice(&before), buf_slice(&after)));
    int checked = conf_check(c, fault, sizeof fault);
    assert(checked == ERR_OK || checked == ERR_BAD_REQUEST);
    assert(load(c, (slice_t){text, size}) == err);
    buf_t again = dump(c);
    assert(slice_eq(buf_slice(&after), buf_slice(&again)));
    buf_free(&before);
    buf_free(&after);
    buf_free(&again);
    conf_free(c);
    free(text);
    return 0;
}
