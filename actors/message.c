/* message: the wire forms of a message (PROTOCOL.md sections 5 and 8.3), made here and nowhere
 * else. Pure functions (media has been told the hour), any thread. */
#include "actors/conversation.h"
#include "actors/media.h"
#include "base/json.h"

#define ADD(b, text) buf_add((b), (text), sizeof(text) - 1)

static void add_int(buf_t *b, const char *text, size_t len, int64_t n) {
    buf_add(b, text, len);
    buf_add_int(b, n);
}
#define ADD_INT(b, text, n) add_int((b), (text), sizeof(text) - 1, (n))

/* From content type to content. */
static void add_content(buf_t *b, const message_row_t *m, const char *key) {
    ADD_INT(b, ",\"content_type\":", m->content_type);
    buf_add_text(b, key);
    if (m->recalled)
        ADD(b, "{}");
    else if (m->content_type >= 2 && m->content_type <= 5)
        media_write(m->content, b);
    else
        buf_add_slice(b, m->content);
}

static void add_tail(buf_t *b, const message_row_t *m) {
    ADD(b, "\"client_msg_id\":");
    json_add_string(b, m->client_msg_id);
    if (m->recalled)
        ADD(b, ",\"status\":\"recalled\"");
    else
        ADD(b, ",\"status\":\"normal\"");
    ADD_INT(b, ",\"reply_to\":", m->reply_to);
}

void message_push_json(buf_t *b, const message_row_t *m) {
    ADD_INT(b, "{\"message_id\":", m->id);
    ADD_INT(b, ",\"conversation_id\":", m->conversation);
    ADD_INT(b, ",\"sender_id\":", m->sender);
    ADD_INT(b, ",\"seq\":", m->seq);
    add_content(b, m, ",\"content\":");
    ADD_INT(b, ",\"created_at\":", m->at_ms / 1000);
    ADD_INT(b, ",\"created_at_ms\":", m->at_ms);
    buf_add_char(b, ',');
    add_tail(b, m);
    buf_add_char(b, '}');
}

void message_item_json(buf_t *b, const message_row_t *m) {
    ADD_INT(b, "{\"id\":", m->id);
    ADD_INT(b, ",\"conversation_id\":", m->conversation);
    ADD_INT(b, ",\"sender_id\":", m->sender);
    ADD_INT(b, ",\"seq\":", m->seq);
    add_content(b, m, ",\"body\":");
    ADD_INT(b, ",\"create_time\":{\"seconds\":", m->at_ms / 1000);
    ADD_INT(b, ",\"nanos\":", m->at_ms % 1000 * 1000000);
    ADD(b, "},");
    add_tail(b, m);
    ADD_INT(b, ",\"created_at_ms\":", m->at_ms);
    buf_add_char(b, '}');
}

void message_revoked_json(buf_t *b, const message_row_t *m, int64_t change, int64_t operator_id,
                          int64_t at_ms) {
    ADD_INT(b, "{\"conversation_id\":", m->conversation);
    ADD_INT(b, ",\"change\":", change);
    ADD_INT(b, ",\"message_id\":", m->id);
    ADD_INT(b, ",\"seq\":", m->seq);
    ADD_INT(b, ",\"sender_id\":", m->sender);
    ADD_INT(b, ",\"operator_id\":", operator_id);
    ADD_INT(b, ",\"revoked_at\":", at_ms / 1000);
    ADD_INT(b, ",\"revoked_at_ms\":", at_ms);
    buf_add_char(b, '}');
}
