/* api_files: what scripts get to do with the bytes of files: files.* (lua/API.md). A file is a row
 * of the operations file_*. Runs in the script's shard actor. */
#include "actors/edge.h"
#include "actors/media.h"
#include "actors/sniff.h"
#include "script/wait.h"

#define HEAD_IMAGE BLOB_HEAD_MAX /* in front of a jpeg's size there may be a lot */
#define HEAD_OTHER 4096

static edge_t *edge_arg(lua_State *L) {
    return lua_touserdata(L, lua_upvalueindex(1));
}

static blob_t *blob_arg(lua_State *L) {
    edge_t *e = edge_arg(L);
    if (!e->blob)
        script_fail(L, ERR_BUSY, NULL);
    return e->blob;
}

static int64_t int_field(lua_State *L, const char *key) {
    lua_getfield(L, 1, key);
    int64_t v = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return v;
}

/* The text lives in the row. */
static slice_t text_field(lua_State *L, const char *key) {
    slice_t s = {"", 0};
    lua_getfield(L, 1, key);
    if (lua_type(L, -1) == LUA_TSTRING)
        s.at = lua_tolstring(L, -1, &s.len);
    lua_pop(L, 1);
    return s;
}

/* The row at 1; its texts stay good while it does. */
static blob_object_t object_arg(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    blob_object_t o = {.id = int_field(L, "id"),
                       .size = int_field(L, "size"),
                       .part_size = int_field(L, "part_size"),
                       .type = text_field(L, "type"),
                       .upload = text_field(L, "upload")};
    luaL_argcheck(L, o.id > 0 && o.size > 0 && o.part_size >= 0, 1, "a row of file expected");
    return o;
}

/* --- links --- */

/* files.path(id) -> the path that names it in answers */
static int files_path(lua_State *L) {
    buf_t b = {0};
    int64_t id = luaL_checkinteger(L, 1);
    link_add_path(id, &b);
    lua_pushlstring(L, b.at, b.len);
    buf_free(&b);
    return 1;
}

/* files.id(path) -> the file of such a path, with or without query; nil: none */
static int files_id(lua_State *L) {
    slice_t s;
    s.at = luaL_checklstring(L, 1, &s.len);
    int64_t id = link_file(s);
    if (id)
        lua_pushinteger(L, id);
    else
        lua_pushnil(L);
    return 1;
}

/* files.put_url(row, part, until_ms) -> where to PUT this part (0: all of it) */
static int files_put_url(lua_State *L) {
    blob_t *blob = blob_arg(L);
    blob_object_t o = object_arg(L);
    int64_t part = luaL_checkinteger(L, 2), until_s = luaL_checkinteger(L, 3) / 1000;
    int64_t now_s = actor_wall_ms(script_self(L)) / 1000;
    buf_t b = {0};
    script_reads(L);
    if (blob_outside(blob))
        blob_put_url(blob, &o, part, now_s, until_s, &b);
    else
        link_add(&edge_arg(L)->links, &(link_to_t){o.id, part, until_s, LINK_PUT}, &b);
    lua_pushlstring(L, b.at, b.len);
    buf_free(&b);
    return 1;
}

/* files.get_url(id) -> the link to get it: the same for all who ask in one hour */
static int files_get_url(lua_State *L) {
    edge_t *e = edge_arg(L);
    int64_t id = luaL_checkinteger(L, 1);
    buf_t b = {0};
    link_add(&e->links, &(link_to_t){id, 0, media_until_s(), LINK_GET}, &b);
    lua_pushlstring(L, b.at, b.len);
    buf_free(&b);
    return 1;
}

/* files.body(text) -> the body of a stored message of types 2 to 5, with its links */
static int files_body(lua_State *L) {
    slice_t s;
    s.at = luaL_checklstring(L, 1, &s.len);
    buf_t *b = &edge_here(script_self(L))->out;
    script_reads(L);
    b->len = 0;
    media_write(s, b);
    lua_pushlstring(L, b->at, b->len); /* a copy: an error of the script leaves the scratch */
    s.at = lua_tolstring(L, -1, &s.len);
    script_push(L, s);
    return 1;
}

/* --- the port --- */

static int took_text(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    script_check(L, reply);
    lua_pushlstring(L, reply->body ? reply->body->data : "", reply->body ? reply->body->len : 0);
    return 1;
}

/* files.begin(row) -> what the store calls the upload in parts */
static int files_begin(lua_State *L) {
    blob_t *blob = blob_arg(L);
    blob_object_t o = object_arg(L);
    script_wait_t w = script_wait(L);
    blob_begin(blob, w.self, &o, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, took_text, 0);
}

static int took_parts(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err == ERR_NOT_FOUND) {
        lua_pushnil(L);
        return 1;
    }
    script_check(L, reply);
    script_push(L, (slice_t){reply->body->data, reply->body->len});
    return 1;
}

/* files.parts(row) -> {{part_number, size_bytes, etag}, ..}, or nil: no such upload */
static int files_parts(lua_State *L) {
    blob_t *blob = blob_arg(L);
    blob_object_t o = object_arg(L);
    script_wait_t w = script_wait(L);
    script_reads(L);
    blob_parts(blob, w.self, &o, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, took_parts, 0);
}

static void set_text(lua_State *L, const char *key, const char *text) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static void set_int(lua_State *L, const char *key, int64_t n) {
    lua_pushinteger(L, n);
    lua_setfield(L, -2, key);
}

static void push_found(lua_State *L, const msg_t *reply) {
    const blob_found_t *f = (const blob_found_t *)reply->data;
    lua_createtable(L, 0, 7);
    set_int(L, "size", f->size);
    set_text(L, "etag", f->etag);
    set_text(L, "type", f->type);
    lua_pushboolean(L, f->finished);
    lua_setfield(L, -2, "finished");
}

static int took_look(lua_State *L, const msg_t *reply, int64_t arg) {
    uint32_t width = 0, height = 0;
    (void)arg;
    if (reply->err == ERR_NOT_FOUND) {
        lua_pushnil(L);
        return 1;
    }
    script_check(L, reply);
    slice_t head = {"", 0};
    if (reply->body)
        head = (slice_t){reply->body->data, reply->body->len};
    push_found(L, reply);
    set_text(L, "sniffed", sniff_type(head));
    if (sniff_size(head, &width, &height)) {
        set_int(L, "width", width);
        set_int(L, "height", height);
    }
    return 1;
}

/* files.look(row) -> {size, etag, type, finished, sniffed, width, height} of what was put, or nil
 */
static int files_look(lua_State *L) {
    blob_t *blob = blob_arg(L);
    blob_object_t o = object_arg(L);
    uint32_t head = slice_eq(text_field(L, "kind"), SLICE("image")) ? HEAD_IMAGE : HEAD_OTHER;
    script_wait_t w = script_wait(L);
    script_reads(L);
    blob_look(blob, w.self, &o, head, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, took_look, 0);
}

static int took_finish(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    if (reply->err == ERR_NOT_FOUND || reply->err == ERR_CONFLICT || reply->err == ERR_STALE) {
        lua_pushnil(L);
        lua_pushstring(L, err_name(reply->err));
        return 2;
    }
    script_check(L, reply);
    push_found(L, reply);
    return 1;
}

/* files.finish(row, etag) -> {size, etag}, or nil and not_found, conflict (parts are missing),
 * stale (it is another one than etag says) */
static int files_finish(lua_State *L) {
    blob_t *blob = blob_arg(L);
    blob_object_t o = object_arg(L);
    slice_t etag;
    etag.at = luaL_optlstring(L, 2, "", &etag.len);
    script_wait_t w = script_wait(L);
    blob_finish(blob, w.self, &o, etag, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, took_finish, 0);
}

static int took_nothing(lua_State *L, const msg_t *reply, int64_t arg) {
    (void)arg;
    script_check(L, reply);
    return 0;
}

/* files.drop(row): all of it goes, finished or not */
static int files_drop(lua_State *L) {
    blob_t *blob = blob_arg(L);
    blob_object_t o = object_arg(L);
    script_wait_t w = script_wait(L);
    blob_drop(blob, w.self, &o, w.timeout_ms, w.reply_verb, w.cookie);
    return script_yield(L, took_nothing, 0);
}

const script_function_t *files_functions(size_t *count) {
    static const script_function_t functions[] = {
        {"files", "path", (void *)files_path, NULL},
        {"files", "id", (void *)files_id, NULL},
        {"files", "put_url", (void *)files_put_url, NULL},
        {"files", "get_url", (void *)files_get_url, NULL},
        {"files", "body", (void *)files_body, NULL},
        {"files", "begin", (void *)files_begin, NULL},
        {"files", "parts", (void *)files_parts, NULL},
        {"files", "look", (void *)files_look, NULL},
        {"files", "finish", (void *)files_finish, NULL},
        {"files", "drop", (void *)files_drop, NULL},
    };
    *count = sizeof functions / sizeof functions[0];
    return functions;
}
