/* Fuzz target: what a console's client may send: telnet's bytes, editing keys, lines. The same
 * bytes in one piece and cut in two give the same keys; keys never leave a line longer than
 * allowed; what is shown holds no control character but those of our own drawing; escaped text is
 * safe to escape again. */
#include "admin/editor.h"
#include "admin/screen.h"
#include "admin/telnet.h"
#include <assert.h>

static void no_controls(slice_t s) {
    for (size_t i = 0; i < s.len; i++)
        assert((uint8_t)s.at[i] >= 0x20 && s.at[i] != 0x7f);
}

static void check_screen(slice_t s) {
    buf_t once = {0}, twice = {0}, json = {0};
    screen_add(&once, s);
    no_controls(buf_slice(&once));
    screen_add(&twice, buf_slice(&once));
    assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
    size_t width = screen_width(buf_slice(&once));
    for (size_t columns = 0; columns < 8; columns++) {
        slice_t cut = screen_cut(buf_slice(&once), columns);
        assert(screen_width(cut) <= columns && cut.len <= once.len);
        assert(columns < width || slice_eq(cut, buf_slice(&once)));
    }
    screen_add_json(&json, s);
    no_controls(buf_slice(&json));
    buf_free(&once);
    buf_free(&twice);
    buf_free(&json);
}

/* What an editor draws: text, and escape sequences of ours, which are few. */
static void check_drawn(slice_t s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] == 0x1b)
            assert(i + 1 < s.len && s.at[i + 1] == '[');
        else
            assert((uint8_t)s.at[i] >= 0x20 || s.at[i] == '\r' || s.at[i] == '\n');
}

static void type(editor_t *e, slice_t keys) {
    buf_t out = {0};
    editor_prompt(e, "> ", false, &out);
    for (size_t i = 0; i < keys.len; i++) {
        out.len = 0;
        editor_event_t event = editor_key(e, (uint8_t)keys.at[i], &out);
        check_drawn(buf_slice(&out));
        assert(editor_text(e).len <= CONSOLE_LINE);
        if (event == EDITOR_LINE)
            editor_remember(e);
        if (event == EDITOR_TAB)
            editor_insert(e, SLICE("help "), &out);
        else if (event != EDITOR_MORE)
            editor_prompt(e, "> ", i % 3 == 0, &out);
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    telnet_t whole = {0}, cut = {0};
    buf_t a = {0}, b = {0}, out = {0}, out_cut = {0};
    size_t at = size ? data[0] % (size + 1) : 0;
    telnet_feed(&whole, data, size, &a, &out);
    telnet_feed(&cut, data, at, &b, &out_cut);
    telnet_feed(&cut, data + at, size - at, &b, &out_cut);
    assert(slice_eq(buf_slice(&a), buf_slice(&b)));
    assert(slice_eq(buf_slice(&out), buf_slice(&out_cut)));
    assert(whole.width == cut.width && whole.state == cut.state && whole.echo == cut.echo);
    assert(!a.len || !memchr(a.at, 0, a.len));
    check_screen((slice_t){(const char *)data, size});
    editor_t *e = editor_new();
    editor_terminal(e, size & 1, (uint16_t)(size % 100));
    type(e, buf_slice(&a));
    editor_free(e);
    buf_free(&a);
    buf_free(&b);
    buf_free(&out);
    buf_free(&out_cut);
    return 0;
}
