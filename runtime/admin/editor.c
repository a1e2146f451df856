/* editor: see editor.h. The keys are those of every shell: arrows, Home, End, Delete, ^A ^E ^B ^F
 * ^K ^U ^W ^L ^P ^N ^H. A line wider than the screen is shown around its cursor. */
#include "admin/editor.h"
#include "admin/screen.h"
#include "base/pool.h"
#include <sodium.h>
#include <stdlib.h>

enum { KEY_PLAIN, KEY_ESCAPE, KEY_CSI };

struct editor {
    char line[CONSOLE_LINE], draft[CONSOLE_LINE]; /* draft: what was typed before going back */
    uint32_t len, at, draft_len;
    const char *prompt;
    char *history[EDITOR_HISTORY]; /* oldest first */
    uint32_t history_len, shown;   /* shown: place in the history, history_len = the draft */
    uint32_t number;               /* of an escape sequence */
    uint16_t columns;
    uint8_t keys;
    bool terminal, hidden, over, ended;
};

editor_t *editor_new(void) {
    editor_t *e = pool_zalloc(sizeof *e);
    e->prompt = "";
    return e;
}

void editor_free(editor_t *e) {
    if (!e)
        return;
    for (uint32_t i = 0; i < e->history_len; i++)
        free(e->history[i]);
    sodium_memzero(e, sizeof *e);
    pool_free(e, sizeof *e);
}

void editor_terminal(editor_t *e, bool terminal, uint16_t columns) {
    e->terminal = terminal;
    e->columns = columns;
}

slice_t editor_text(const editor_t *e) {
    return (slice_t){e->line, e->ended ? e->len : e->at};
}

/* --- the screen --- */

static uint32_t back(const editor_t *e, uint32_t at) {
    while (at && (e->line[--at] & 0xc0) == 0x80)
        continue;
    return at;
}

/* Where what is shown begins: so much in front of the cursor as has room. It looks at no more than
 * that, whatever the line's length: this is done for each key, before a login too. */
static uint32_t shown_from(const editor_t *e, size_t room) {
    uint32_t start = e->at;
    for (size_t used = 0; start > 0;) {
        uint32_t before = back(e, start);
        used += screen_width((slice_t){e->line + before, start - before});
        if (used > room)
            break;
        start = before;
    }
    return start;
}

void editor_draw(editor_t *e, buf_t *out) {
    if (!e->terminal) {
        buf_add_text(out, e->prompt);
        return;
    }
    size_t columns = e->columns ? e->columns : 80, head = screen_width(slice_of(e->prompt));
    size_t room = columns > head + 2 ? columns - head - 1 : 1;
    uint32_t start = shown_from(e, room);
    slice_t seen = screen_cut((slice_t){e->line + start, e->len - start}, room);
    buf_addf(out, "\r%s", e->prompt);
    if (!e->hidden)
        screen_add(out, seen);
    buf_add_text(out, "\x1b[K");
    size_t left = e->hidden || e->at <= start
                      ? head
                      : head + screen_width((slice_t){e->line + start, e->at - start});
    buf_add_char(out, '\r');
    if (left)
        buf_addf(out, "\x1b[%zuC", left);
}

static void redraw(editor_t *e, buf_t *out) {
    if (e->terminal && !e->hidden)
        editor_draw(e, out);
}

void editor_prompt(editor_t *e, const char *prompt, bool hidden, buf_t *out) {
    if (e->hidden)
        sodium_memzero(e->line, sizeof e->line);
    e->prompt = prompt;
    e->hidden = hidden;
    e->len = e->at = 0;
    e->keys = KEY_PLAIN;
    e->over = e->ended = false;
    e->shown = e->history_len;
    editor_draw(e, out);
}

/* --- the line --- */

static uint32_t forth(const editor_t *e, uint32_t at) {
    at += at < e->len;
    while (at < e->len && (e->line[at] & 0xc0) == 0x80)
        at++;
    return at;
}

static void cut(editor_t *e, uint32_t from, uint32_t to) {
    memmove(e->line + from, e->line + to, e->len - to);
    e->len -= to - from;
    e->at = from;
    e->over = e->over && e->len > 0; /* a line that begins anew lacks nothing */
}

static uint32_t word_start(const editor_t *e) {
    uint32_t at = e->at;
    while (at && e->line[at - 1] == ' ')
        at--;
    while (at && e->line[at - 1] != ' ')
        at--;
    return at;
}

static void insert(editor_t *e, const char *at, size_t len) {
    if (e->len + len > CONSOLE_LINE) {
        e->over = true;
        return;
    }
    memmove(e->line + e->at + len, e->line + e->at, e->len - e->at);
    memcpy(e->line + e->at, at, len);
    e->at += (uint32_t)len;
    e->len += (uint32_t)len;
}

void editor_insert(editor_t *e, slice_t text, buf_t *out) {
    insert(e, text.at, text.len);
    redraw(e, out);
}

/* --- the history --- */

void editor_remember(editor_t *e) {
    if (e->len == 0 || e->hidden)
        return;
    uint32_t n = e->history_len;
    if (n && strlen(e->history[n - 1]) == e->len && memcmp(e->history[n - 1], e->line, e->len) == 0)
        return;
    if (n == EDITOR_HISTORY) {
        free(e->history[0]);
        memmove(e->history, e->history + 1, (--n) * sizeof e->history[0]);
    }
    e->history[n] = strndup(e->line, e->len);
    e->history_len = e->history[n] ? n + 1 : n;
}

static void show(editor_t *e, uint32_t place) {
    if (place > e->history_len || e->hidden)
        return;
    if (e->shown == e->history_len) {
        memcpy(e->draft, e->line, e->len);
        e->draft_len = e->len;
    }
    slice_t text =
        place == e->history_len ? (slice_t){e->draft, e->draft_len} : slice_of(e->history[place]);
    memcpy(e->line, text.at, text.len);
    e->len = e->at = (uint32_t)text.len;
    e->over = false;
    e->shown = place;
}

/* --- the keys --- */

static void end_of_sequence(editor_t *e, uint8_t key) {
    e->keys = KEY_PLAIN;
    if (key == 'D')
        e->at = back(e, e->at);
    else if (key == 'C')
        e->at = forth(e, e->at);
    else if (key == 'A')
        show(e, e->shown ? e->shown - 1 : 0);
    else if (key == 'B')
        show(e, e->shown + 1);
    else if (key == 'H' || (key == '~' && (e->number == 1 || e->number == 7)))
        e->at = 0;
    else if (key == 'F' || (key == '~' && (e->number == 4 || e->number == 8)))
        e->at = e->len;
    else if (key == '~' && e->number == 3)
        cut(e, e->at, forth(e, e->at));
}

/* Inside ESC [ NUMBER x or ESC O x. */
static void sequence(editor_t *e, uint8_t key) {
    if (e->keys == KEY_ESCAPE) {
        e->keys = key == '[' || key == 'O' ? KEY_CSI : KEY_PLAIN;
        e->number = 0;
    } else if (key >= '0' && key <= '9') {
        e->number = (e->number * 10 + key - '0') % 1000;
    } else if (key != ';') {
        end_of_sequence(e, key);
    }
}

static void control(editor_t *e, uint8_t key, buf_t *out) {
    switch (key) {
    case 1:
        e->at = 0;
        break;
    case 2:
        e->at = back(e, e->at);
        break;
    case 4:
        cut(e, e->at, forth(e, e->at));
        break;
    case 5:
        e->at = e->len;
        break;
    case 6:
        e->at = forth(e, e->at);
        break;
    case 11:
        e->len = e->at;
        break;
    case 12:
        buf_add_text(out, "\x1b[H\x1b[J");
        break;
    case 14:
        show(e, e->shown + 1);
        break;
    case 16:
        show(e, e->shown ? e->shown - 1 : 0);
        break;
    case 21:
        cut(e, 0, e->at);
        break;
    case 23:
        cut(e, word_start(e), e->at);
        break;
    case 27:
        e->keys = KEY_ESCAPE;
        break;
    default:
        break;
    }
}

static editor_event_t end_line(editor_t *e, buf_t *out) {
    if (e->terminal)
        buf_add_text(out, "\n");
    e->ended = true;
    return e->over ? EDITOR_LONG : EDITOR_LINE;
}

/* A client that sends lines has edited them itself. */
static editor_event_t plain_key(editor_t *e, uint8_t key) {
    if (key == 8 || key == 0x7f)
        cut(e, back(e, e->at), e->at);
    else if (key >= 0x20 || key == '\t')
        insert(e, key == '\t' ? " " : (const char *)&key, 1);
    return EDITOR_MORE;
}

/* The character before the cursor has all its bytes: half of one is not drawn. */
static bool whole(const editor_t *e) {
    uint32_t from = back(e, e->at);
    uint8_t lead = (uint8_t)e->line[from];
    return e->at - from >= (lead >= 0xf0 ? 4u : lead >= 0xe0 ? 3u : lead >= 0xc0 ? 2u : 1u);
}

/* A letter. true: the screen shows it already, or half of it is missing. */
static bool type(editor_t *e, uint8_t key, buf_t *out) {
    bool at_end = e->at == e->len;
    uint32_t old = e->len;
    insert(e, (const char *)&key, 1);
    if (e->hidden || !whole(e))
        return true;
    size_t used = screen_width(slice_of(e->prompt)) + screen_width((slice_t){e->line, e->len});
    if (!at_end || e->len == old || used + 2 > (e->columns ? e->columns : 80u))
        return false;
    uint32_t from = back(e, e->at);
    screen_add(out, (slice_t){e->line + from, e->at - from});
    return true;
}

editor_event_t editor_key(editor_t *e, uint8_t key, buf_t *out) {
    if (key == '\n')
        return end_line(e, out);
    if (key == 3) {
        if (e->terminal)
            buf_add_text(out, "^C\n");
        return EDITOR_BREAK;
    }
    if (key == 4 && e->len == 0)
        return EDITOR_END;
    if (!e->terminal)
        return plain_key(e, key);
    if (e->keys != KEY_PLAIN) {
        sequence(e, key);
        if (e->keys != KEY_PLAIN)
            return EDITOR_MORE;
    } else if (key == '\t')
        return EDITOR_TAB;
    else if (key == 8 || key == 0x7f)
        cut(e, back(e, e->at), e->at);
    else if (key < 0x20)
        control(e, key, out);
    else if (type(e, key, out))
        return EDITOR_MORE;
    redraw(e, out);
    return EDITOR_MORE;
}
