/* editor: the line that is being typed in a console session: editing keys, history, the echo of a
 * terminal; or just lines where the client is none. Pure: keys in, screen bytes out; the console's
 * thread. */
#pragma once
#include "admin/console.h"
#include "base/buf.h"

#define EDITOR_HISTORY 100 /* lines kept; the oldest goes */

typedef struct editor editor_t;
typedef enum editor_event {
    EDITOR_MORE,
    EDITOR_LINE,  /* editor_text has it until the next key */
    EDITOR_LONG,  /* a line of more than CONSOLE_LINE bytes: dropped */
    EDITOR_BREAK, /* ^C: the line was dropped */
    EDITOR_END,   /* ^D on an empty line */
    EDITOR_TAB    /* completion is asked for: editor_text is what stands before the cursor */
} editor_event_t;

editor_t *editor_new(void);
void editor_free(editor_t *e);
/* The client is a terminal of that many columns (0: 80), or (false) sends whole lines. */
void editor_terminal(editor_t *e, bool terminal, uint16_t columns);
/* A fresh line; the prompt (borrowed until the next one) is shown. hidden: no echo, no history. */
void editor_prompt(editor_t *e, const char *prompt, bool hidden, buf_t *out);
/* One byte of what was typed (after telnet.h). */
editor_event_t editor_key(editor_t *e, uint8_t key, buf_t *out);
slice_t editor_text(const editor_t *e);
void editor_remember(editor_t *e); /* the line into the history */
void editor_insert(editor_t *e, slice_t text, buf_t *out);
void editor_draw(editor_t *e, buf_t *out); /* prompt and line anew, on the present screen line */
