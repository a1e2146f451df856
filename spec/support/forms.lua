-- Valid bodies, queries and frames of every route, and what each of their keys must not be: raw JSON texts by kind of key. The
-- specs about wrong types make their requests from these tables.
local forms = {}

local long = '"' .. ("x"):rep(2100) .. '"'
local no_text = {"1", "true", "[]", "{}", '["x"]', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d x"',
    '"\1"', '"\n"', '"\255"', '"\192\128"', '"\237\160\128"', '"\\x41"', '"open'}
local no_int = {'"1"', "-1", "-0", "1.5", "1.0", "1e3", "1E0", "9007199254740992", "99999999999999999999999", "1e400", "true", "[]",
    "{}", "[1]", '""', "01", "+1", "0x1", "NaN", "Infinity", "1_0"}

local function joined(...)
    local all = {}
    for _, list in ipairs {...} do table.move(list, 1, #list, #all + 1, all) end
    return all
end

forms.bad = {
    text = joined(no_text, {long}),
    anytext = no_text, -- its length has another error
    name = joined(no_text, {long, '"a\\u0001"', '"a\\u001fb"', '"\\u007f"'}),
    seq = no_int,
    id = joined(no_int, {"0"}),
    limit = no_int,
    bool = {"1", "0", '"true"', '""', "[]", "{}", "True", "yes"},
    ids = {"1", '"1"', "{}", "true", "[0]", "[-1]", '["1"]', "[1.5]", "[1e0]", "[null]", "[[1]]", "[9007199254740992]", "[true]", "[1,]",
        '{"1":1}'},
    content = {"1", "true", "[]", "{}", '{"text":"x"}', '{"text":{}}', '{"text":{"text":1}}', '{"text":{"text":""}}', '{"text":[]}',
        '{"text":{"text":"x"},"image":{}}', '{"text":{"text":"\\ud800"}}', '{"x":{}}', '{"text":null}', '{"text":{"text":null}}'},
    parts = {"1", '"x"', "true", "{}", "[1]", '["x"]', "[[]]", "[{}]", '[{"part_number":1}]', '[{"etag":"x"}]',
        '[{"part_number":0,"etag":"x"}]', '[{"part_number":"1","etag":"x"}]',
        '[{"part_number":1,"etag":1}]', '[{"part_number":1,"etag":""}]'},
    enum = {"1", "true", "[]", "{}", '"x"', '"ADMIN"', '"\\u0000"'},
}

-- Rows of section 6 with a body: method, path, then {key, valid raw JSON, kind, optional}. w: the world of the spec.
function forms.bodies(w)
    local group, chat = "/api/conversations/" .. w.group, tostring(w.chat)
    return {
        {"POST", "/api/auth/register", {{"username", '"new.name"', "anytext"}, {"password", '"correct horse 9"', "anytext"},
            {"display_name", '"x"', "name", true}, {"device_id", '"d"', "name", true}}, free = true},
        {"POST", "/api/auth/login", {{"username", '"nobody"', "anytext"}, {"password", '"wrong"', "anytext"},
            {"device_id", '"d"', "name", true}}, free = true},
        {"PUT", "/api/users/me", {{"display_name", '"x"', "name", true}, {"avatar_url", '"x"', "text", true},
            {"clear_avatar", "true", "bool", true}}},
        {"POST", "/api/contacts/apply", {{"target_user_id", w.other.id, "id"}, {"remark", '"x"', "text", true}}},
        {"POST", "/api/contacts/handle", {{"target_user_id", w.applicant.id, "id"}, {"accept", "true", "bool", true}}},
        {"PUT", "/api/contacts/" .. w.friend.id .. "/remark", {{"remark", '"x"', "name"}}},
        {"POST", "/api/blocks", {{"user_id", w.other.id, "id"}}},
        {"POST", "/api/conversations", {{"type", "2", "seq"}, {"title", '"x"', "name", true},
            {"member_ids", "[" .. w.other.id .. "]", "ids"}}},
        {"PUT", group, {{"title", '"x"', "name", true}, {"avatar_url", '"x"', "text", true}, {"join_mode", '"free"', "enum", true}}},
        {"PUT", group .. "/settings", {{"pinned", "true", "bool", true}, {"muted", "true", "bool", true}}},
        {"PUT", group .. "/announcement", {{"text", '"x"', "text"}}},
        {"PUT", group .. "/mute_all", {{"enabled", "true", "bool"}}},
        {"PUT", group .. "/nickname", {{"nickname", '"x"', "name"}}},
        {"POST", group .. "/members", {{"user_ids", "[" .. w.other.id .. "]", "ids"}}},
        {"PUT", group .. "/members/" .. w.friend.id .. "/role", {{"role", '"admin"', "enum"}}},
        {"POST", group .. "/transfer", {{"user_id", w.friend.id, "id"}}},
        {"PUT", group .. "/members/" .. w.friend.id .. "/mute", {{"until_ms", os.time() * 1000 + 60000, "seq"}}},
        {"POST", "/api/conversations/" .. w.foreign .. "/join", {{"message", '"x"', "text", true}}},
        {"POST", group .. "/requests/" .. w.request, {{"accept", "true", "bool"}}},
        {"POST", "/api/messages", {{"conversation_id", chat, "id"}, {"client_msg_id", '"new"', "name"}, {"content_type", "1", "id", true},
            {"content", '{"text":{"text":"x"}}', "content"}, {"reply_to", "0", "seq", true}}},
        {"POST", "/api/messages", {{"conversation_id", chat, "id"}, {"client_msg_id", '"new"', "name"}, {"text", '"x"', "anytext"}}},
        {"POST", "/api/messages/read", {{"conversation_id", chat, "id"}, {"read_seq", "1", "seq"}}},
        {"POST", "/api/files/upload", {{"filename", '"x"', "name"}, {"content_type", '"a/b"', "text"}, {"size_bytes", "1", "id"},
            {"kind", '"file"', "enum", true}}},
        {"POST", "/api/files/multipart", {{"filename", '"x"', "name"}, {"content_type", '"a/b"', "text"}, {"size_bytes", "1", "id"},
            {"kind", '"file"', "enum", true}, {"part_size", "5242880", "id", true}}},
        {"POST", "/api/files/complete", {{"conversation_id", chat, "id"}, {"client_msg_id", '"new"', "name"}, {"file_id", w.file, "id"},
            {"duration_sec", "1", "seq", true}, {"width", "1", "seq", true}, {"height", "1", "seq", true}, {"reply_to", "0", "seq", true}}},
        {"POST", "/api/files/multipart/" .. w.upload .. "/parts", {{"part_numbers", "[1]", "ids"}}},
        {"POST", "/api/files/multipart/" .. w.upload .. "/complete", {{"parts", '[{"part_number":1,"etag":"x"}]', "parts", true}}},
    }
end

-- GET rows with a query: path, then {key, kind, needs}: needs = what else the query must hold.
function forms.queries(w)
    local group = "/api/conversations/" .. w.group
    local history = "conversation_id=" .. w.chat .. "&"
    local list = {}
    for _, path in ipairs {"/api/contacts", "/api/contacts/requests", "/api/blocks", "/api/conversations", group .. "/members",
        group .. "/requests"} do
        list[#list + 1] = {path, "limit", "limit", ""}
        list[#list + 1] = {path, "cursor", "cursor", ""}
    end
    for _, q in ipairs {{"/api/contacts/requests", "direction", "enum", ""}, {"/api/contacts/requests", "status", "enum", ""},
        {"/api/users/search", "limit", "limit", "q=x&"}, {"/api/users/search", "cursor", "cursor", "q=x&"},
        {"/api/users/search", "q", "text", ""}, {"/api/presence", "user_ids", "id", ""},
        {"/api/messages/history", "conversation_id", "id", ""}, {"/api/messages/history", "after_seq", "int", history},
        {"/api/messages/history", "before_seq", "int", history}, {"/api/messages/history", "limit", "limit", history}} do
        list[#list + 1] = q
    end
    return list
end

local no_number = {"x", "-1", "1.5", "1.0", "1e3", "%2B1", "0x10", "%201", "1%20", "9007199254740992", "99999999999999999999999", "true",
    "1%00", "%00", "%ff", "%C0%80", "[1]", "%22" .. "1%22", "1&{}=x"}
forms.bad_query = {
    int = no_number,
    limit = {"x", "-1", "1.5", "1e3", "%2B1", "0x10", "%201", "true", "1%00", "%00", "%ff", "[1]", "1&{}=x"}, -- too large is cut
    id = joined(no_number, {"0"}),
    enum = {"x", "ALL", "1", "%00", "%ff"},
    cursor = {"x", "%00", "%ff", "..", "1", ("A"):rep(4000), "AAAA", "%7B%7D"},
    text = {"%00", "a%00b", "%ff", "%ed%a0%80", ("x"):rep(65)},
}

-- Ids in paths: method, path with %s where the id stands, the text of the refusal, body.
function forms.paths(w)
    local group = "/api/conversations/" .. w.group
    local contact, user, chat = "invalid contact id", "invalid user id", "invalid conversation id"
    return {
        {"GET", "/api/users/%s", user}, {"PUT", "/api/contacts/%s/remark", contact, '{"remark":"x"}'},
        {"DELETE", "/api/contacts/%s", contact},
        {"DELETE", "/api/blocks/%s", user}, {"GET", "/api/conversations/%s", chat},
        {"PUT", "/api/conversations/%s", chat, '{"title":"x"}'}, {"DELETE", "/api/conversations/%s", chat},
        {"PUT", "/api/conversations/%s/settings", chat, "{}"},
        {"PUT", "/api/conversations/%s/announcement", chat, '{"text":"x"}'},
        {"PUT", "/api/conversations/%s/mute_all", chat, '{"enabled":true}'},
        {"PUT", "/api/conversations/%s/nickname", chat, '{"nickname":"x"}'}, {"GET", "/api/conversations/%s/members", chat},
        {"POST", "/api/conversations/%s/members", chat, '{"user_ids":[1]}'}, {"DELETE", group .. "/members/%s", user},
        {"POST", "/api/conversations/%s/leave", chat}, {"PUT", group .. "/members/%s/role", user, '{"role":"admin"}'},
        {"POST", "/api/conversations/%s/transfer", chat, '{"user_id":1}'}, {"PUT", group .. "/members/%s/mute", user, '{"until_ms":0}'},
        {"POST", "/api/conversations/%s/join", chat, "{}"}, {"GET", "/api/conversations/%s/requests", chat},
        {"GET", "/api/files/%s", nil}, {"GET", "/api/files/multipart/%s", nil}, {"DELETE", "/api/files/multipart/%s", nil},
        {"POST", "/api/files/multipart/%s/parts", nil, '{"part_numbers":[1]}'}, {"POST", "/api/files/multipart/%s/complete", nil, "{}"},
        {"POST", group .. "/requests/%s", nil, '{"accept":true}'}, {"POST", "/api/messages/%s/revoke", "invalid message id", "{}"},
        {"GET", "/api/messages/%s", "invalid message id"},
    }
end
forms.bad_path = {"x", "0", "-1", "1.5", "1e3", "9007199254740992", "99999999999999999999999", "%20", "1%20",
    "%D9%A1", "%2B1", "0x1", "%27", "null", "1;2", "1,2"}

-- Frames: type, text of the refusal, {key, valid, kind, optional}.
function forms.frames(w)
    local chat = tostring(w.chat)
    return {
        {"message", "invalid message data", {{"conversation_id", chat, "id"}, {"client_msg_id", '"new"', "name"},
            {"content_type", "1", "id", true}, {"content", '{"text":{"text":"x"}}', "content"}, {"reply_to", "0", "seq", true}}},
        {"ack", "invalid ack data", {{"conversation_id", chat, "id"}, {"message_id", "0", "seq", true}, {"seq", "1", "seq"}}},
        {"batch_ack", "invalid batch ack data", {{"acks", '[{"conversation_id":' .. chat .. ',"seq":1}]', "acks"}}},
        {"sync", "invalid sync data", {{"sync_points", '{"' .. chat .. '":0}', "points", true}, {"change_points", '{"' .. chat .. '":0}',
            "points", true}, {"limit", "1", "limit", true}, {"list_only", "true", "bool", true}}},
        {"read", "invalid read request", {{"conversation_id", chat, "id"}, {"read_seq", "1", "seq"}}},
        {"presence_sub", "invalid presence_sub request", {{"user_ids", "[" .. w.friend.id .. "]", "ids"}}},
        {"auth", "invalid auth data", {{"token", '"x"', "anytext"}}},
    }
end

local points = {"1", '"x"', "[]", "[1]", "true", '{"x":1}', '{"0":1}', '{"-1":1}', '{"1.5":1}', '{" 1":1}', '{"":1}',
    '{"1":"1"}', '{"1":-1}', '{"1":1.5}', '{"1":1e3}', '{"1":9007199254740992}', '{"9007199254740992":1}', '{"1":true}',
    '{"1":[]}', '{"1":{}}'}
local many = {}
for i = 1, 1001 do many[i] = ('"%d":0'):format(i) end
points[#points + 1] = "{" .. table.concat(many, ",") .. "}"
forms.bad.points = points

local one = '{"conversation_id":1,"seq":1}'
forms.bad.acks = {"1", '"x"', "{}", "[]", "[1]", "[null]", "[[]]", "[{}]", '[{"seq":1}]', '[{"conversation_id":1}]',
    '[{"conversation_id":"1","seq":1}]', '[{"conversation_id":0,"seq":1}]', '[{"conversation_id":1,"seq":-1}]',
    '[{"conversation_id":1,"seq":1.5}]', '[{"conversation_id":1,"seq":1,"message_id":"x"}]', "[" .. one .. ",{}]",
    "[" .. (one .. ","):rep(500) .. one .. "]"}

return forms
