-- User B tries every route and every frame on what belongs to A: conversations, messages, requests, contacts, tokens, devices.
-- The answer is that of the contract, unknown and foreign look alike, nothing of A's has changed, and A's sockets heard nothing.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local files = require "spec.support.files"
local json = require "spec.support.json"
local ws = require "spec.support.ws"

local UNKNOWN <const> = 99999999

local function code(r) return {r.status, r.json.code, r.json.error} end

describe("a stranger", function()
    local n, a, c, b, group, chat, message, request, ear
    setup(function()
        n = node.start {["presence.grace"] = "200ms"}
        a, c, b = n:person {device = "a-phone"}, n:person(), n:person()
        a:post("/api/contacts/apply", {target_user_id = c.id})
        c:post("/api/contacts/handle", {target_user_id = a.id, accept = true})
        local d = n:person()
        d:post("/api/contacts/apply", {target_user_id = a.id, remark = "secret remark"})
        a:put("/api/contacts/" .. c.id .. "/remark", {remark = "secret name"})
        a:post("/api/blocks", {user_id = n:person().id})
        chat, group = a:chat(c), a:group({c}, "secret title")
        d:post("/api/conversations/" .. group .. "/join", {message = "secret wish"})
        request = a:get("/api/conversations/" .. group .. "/requests").json.data[1].id
        message = a:say(group, "secret text")
        c:say(chat, "secret answer")
        ear = a:socket("a-phone")
        repeat until not ear:next(300) -- what was still on its way when it opened
    end)
    teardown(function()
        ear:close()
        attack.unharmed(n)
        n:finish()
    end)

    -- what A and C see of all they have
    local function view()
        local seen = {}
        for _, who in ipairs {a, c} do
            for _, path in ipairs {"/api/users/me", "/api/contacts", "/api/contacts/requests?status=all", "/api/blocks",
                "/api/conversations", "/api/conversations/" .. group .. "/members", "/api/messages/history?conversation_id=" .. group,
                "/api/messages/history?conversation_id=" .. chat} do
                seen[#seen + 1] = who:get(path).body
            end
        end
        seen[#seen + 1] = a:get("/api/conversations/" .. group .. "/requests").body
        return table.concat(seen, "\n")
    end

    local function untouched(what)
        local before = view()
        what()
        assert.equal(before, view())
        local m = ear:next(100)
        assert.is_nil(m, m and json.encode(m))
    end

    local function rows(id)
        local path = "/api/conversations/" .. id
        return {
            {24, "GET", path}, {25, "PUT", path, {title = "x", join_mode = "free"}}, {26, "DELETE", path},
            {27, "PUT", path .. "/settings", {pinned = true, muted = true}}, {28, "PUT", path .. "/announcement", {text = "x"}},
            {29, "PUT", path .. "/mute_all", {enabled = true}}, {30, "PUT", path .. "/nickname", {nickname = "x"}},
            {31, "GET", path .. "/members"}, {32, "POST", path .. "/members", {user_ids = {b.id}}},
            {33, "DELETE", path .. "/members/" .. c.id}, {34, "POST", path .. "/leave"},
            {35, "PUT", path .. "/members/" .. c.id .. "/role", {role = "admin"}}, {36, "POST", path .. "/transfer", {user_id = b.id}},
            {37, "PUT", path .. "/members/" .. c.id .. "/mute", {until_ms = 0}}, {39, "GET", path .. "/requests"},
            {40, "POST", path .. "/requests/" .. request, {accept = true}},
            {42, "GET", "/api/messages/history?conversation_id=" .. id},
            {42, "GET", "/api/messages/history?conversation_id=" .. id .. "&after_seq=1&limit=1"},
            {43, "POST", "/api/messages/read", {conversation_id = id, read_seq = 1}},
            {41, "POST", "/api/messages", {conversation_id = id, client_msg_id = "b1", text = "x"}},
            {41, "POST", "/api/messages", {conversation_id = id, client_msg_id = message.client_msg_id, text = "x"}},
            {41, "POST", "/api/messages", {conversation_id = id, client_msg_id = "b2", text = "x", reply_to = message.id}},
        }
    end

    it("[48] gets 403 not_member from every row on A's group, A's chat and on one that does not exist, alike", function()
        untouched(function()
            for _, id in ipairs {group, chat, UNKNOWN} do
                for _, row in ipairs(rows(id)) do
                    local r = b:api(row[2], row[3], row[4])
                    local text = row[1] == 41 and "sender not in conversation" or "not a conversation member"
                    assert.same({403, "not_member", text}, code(r), ("row %d on %d"):format(row[1], id))
                    assert.falsy(r.body:find("secret", 1, true))
                    assert.is_nil(r.headers.etag)
                end
            end
        end)
    end)

    it("[48] gets the same answers from every frame, and no push", function()
        local s = b:socket("b")
        untouched(function()
            for _, id in ipairs {group, chat, UNKNOWN} do
                local m = s:ask("message", {conversation_id = id, client_msg_id = "w" .. id, content = "x"})
                assert.same({"error", "not_member", "sender not in conversation", "w" .. id},
                    {m.type, m.data.code, m.data.error, m.data.client_msg_id})
                m = s:ask("message", {conversation_id = id, client_msg_id = message.client_msg_id, content = "x"})
                assert.same({"error", "not_member"}, {m.type, m.data.code})
                m = s:ask("read", {conversation_id = id, read_seq = 1})
                assert.same({"error", "not_member", "not a conversation member"}, {m.type, m.data.code, m.data.error})
                assert.same({status = "ok"}, s:ask("ack", {conversation_id = id, message_id = message.id, seq = 1}).data)
                assert.same({status = "ok"}, s:ask("batch_ack", {acks = {{conversation_id = id, seq = 1}}}).data)
                local key = tostring(id)
                local d = s:ask("sync", {sync_points = {[key] = 0}, change_points = {[key] = 0}}).data
                assert.same({{id}, {}, {}, {}, {}, {}, {}, {}}, {d.denied, d.messages, d.latest_seqs, d.latest_changes, d.unread,
                    d.read_seqs, d.has_more, d.changes})
            end
            local d = s:ask("sync", {}).data
            assert.same({{}, {}}, {d.latest_seqs, d.denied})
        end)
        assert.is_nil(s:next(100))
        s:close()
    end)

    it("[48] cannot read A's message by its id: it looks as if it were not there", function()
        untouched(function()
            for _, id in ipairs {message.id, UNKNOWN} do
                assert.same({404, "not_found", "message not found"}, code(b:get("/api/messages/" .. id)))
            end
        end)
    end)

    it("cannot recall A's message, by the row's own answers", function()
        untouched(function()
            assert.same({403, "not_member", "not a conversation member"}, code(b:post("/api/messages/" .. message.id .. "/revoke")))
            assert.same({404, "not_found", "message not found"}, code(b:post("/api/messages/" .. UNKNOWN .. "/revoke")))
        end)
    end)

    it("may ask to join A's group, and nobody may join a chat: it looks as if it were not there", function()
        assert.same({404, "not_found", "conversation not found"}, code(b:post("/api/conversations/" .. chat .. "/join")))
        assert.same({404, "not_found", "conversation not found"}, code(b:post("/api/conversations/" .. UNKNOWN .. "/join")))
    end)

    it("who owns a group of his own gains nothing in A's: members, requests and messages of A's are not found there", function()
        local own = b:group({n:person()}, "own")
        local path = "/api/conversations/" .. own
        untouched(function()
            for _, row in ipairs {{"DELETE", path .. "/members/" .. c.id},
                {"PUT", path .. "/members/" .. c.id .. "/role", {role = "admin"}}, {"POST", path .. "/transfer",
                    {user_id = c.id}}, {"PUT", path .. "/members/" .. c.id .. "/mute", {until_ms = 0}},
                {"POST", path .. "/requests/" .. request, {accept = true}}, {"POST", path .. "/requests/" .. UNKNOWN, {accept = true}}} do
                local r = b:api(row[1], row[2], row[3])
                assert.same({404, "not_found"}, {r.status, r.json.code}, row[2])
            end
            local r = b:post("/api/messages", {conversation_id = own, client_msg_id = "r", text = "x", reply_to = message.id})
            assert.same({400, "bad_request"}, {r.status, r.json.code})
            -- A's client_msg_id is free for B
            r = b:post("/api/messages", {conversation_id = own, client_msg_id = message.client_msg_id, text = "mine"})
            assert.same({200, 1, "mine"}, {r.status, r.json.data.seq, r.json.data.body.text.text})
        end)
    end)

    it("gets nothing of A's files: not to complete, to send, to preview, to read, to go on with", function()
        local bytes, own = files.png(8, 8), b:group({}, "b's own")
        local sent = files.send(a, group, {bytes = bytes, name = "secret.png"})
        local open = files.ticket(a, {bytes = bytes, name = "secret.png"})
        files.put(n, open.upload_url, bytes)
        local upload = a:post("/api/files/multipart", {filename = "secret", content_type = "a/b", size_bytes = 6 << 20}).json.data
        local lost, gone = {404, "not_found", "file not found"}, {404, "not_found", "upload not found"}
        untouched(function()
            for _, id in ipairs {sent.file_id, open.file_id, upload.file_id, UNKNOWN} do
                assert.same(lost, code(files.complete(b, own, {file_id = id})))
                assert.same(lost, code(files.complete(b, own, {object_key = "/api/files/blob/" .. id})))
                assert.same(lost, code(b:post("/api/messages", {conversation_id = own, client_msg_id = "f" .. id, content_type = 2,
                    content = {image = {file_id = id}}})))
                local t = files.ticket(b, {bytes = bytes})
                files.put(n, t.upload_url, bytes)
                assert.same(lost, code(files.complete(b, own, {file_id = t.file_id, thumbnail_object_key = "/api/files/blob/" .. id})))
                local path = "/api/files/multipart/" .. id
                assert.same(gone, code(b:get(path)))
                assert.same(gone, code(b:post(path .. "/parts", {part_numbers = json.list {1}})))
                assert.same(gone, code(b:post(path .. "/complete")))
                assert.equal(200, b:delete(path).status)
            end
            assert.same({403, "forbidden", "no permission"}, code(b:get("/api/files/" .. sent.file_id)))
            for _, id in ipairs {open.file_id, upload.file_id, UNKNOWN} do assert.same(lost, code(b:get("/api/files/" .. id))) end
        end)
        assert.equal("open", a:get("/api/files/multipart/" .. upload.file_id).json.data.status)
        assert.equal(200, files.complete(a, group, {file_id = open.file_id}).status)
    end)

    it("cannot handle A's applications, see A's lists or rename A's contacts", function()
        untouched(function()
            local applicant = a:get("/api/contacts/requests").json.data[1].from.id
            assert.same({404, "not_found", "contact apply not found"},
                code(b:post("/api/contacts/handle", {target_user_id = applicant, accept = true})))
            assert.same({404, "not_found"}, {(function(r) return r.status, r.json.code end)(b:put("/api/contacts/" .. c.id .. "/remark",
                {remark = "x"}))})
            assert.equal(200, b:delete("/api/contacts/" .. c.id).status)
            assert.equal(200, b:delete("/api/blocks/" .. a:get("/api/blocks").json.data[1].id).status)
            for _, path in ipairs {"/api/contacts", "/api/contacts/requests", "/api/contacts/requests?direction=outgoing&status=all",
                "/api/blocks"} do
                local r = b:get(path)
                assert.same({200, {}}, {r.status, r.json.data}, path)
            end
        end)
    end)

    it("gets nothing of A's by a cursor of A's", function()
        local cursor = a:get("/api/conversations?limit=1").json.next_cursor
        assert.truthy(#cursor > 0)
        local r = b:get("/api/conversations?limit=10&cursor=" .. cursor)
        assert.truthy(r.status == 200 or r.status == 400)
        assert.falsy(r.body:find("secret", 1, true))
        -- a cursor belongs to its list
        assert.equal(400, a:get("/api/contacts?cursor=" .. cursor).status)
        assert.equal(400, a:get("/api/conversations/" .. group .. "/members?cursor=" .. cursor).status)
    end)

    it("cannot be A: not by user_id, not by A's device, not by changing tokens on a socket", function()
        untouched(function()
            local none, status, _, body = ws.open(n.ws_address, ("/ws?user_id=%d&device_id=a-phone&token=%s"):format(a.id, b.token))
            assert.is_nil(none)
            assert.same({403, "user_mismatch"}, {status, json.decode(body).code})
            local s = b:socket("a-phone") -- a device name is the user's own: A's socket stays
            assert.equal(b.id, s.welcome.data.user_id)
            assert.equal("user_mismatch", s:ask("auth", {token = a.token}).data.code)
            s:close()
            assert.equal("pong", ear:ask("ping").type)
        end)
    end)

    it("who logs out and names A's device closes only a device of his own", function()
        local other = n:person()
        local login = n:api("POST", "/api/auth/login", {body = {username = other.name, password = "correct horse 9"}}).json
        local own = assert(ws.open(n.ws_address, "/ws?device_id=a-phone&token=" .. login.access_token))
        own:next()
        untouched(function() assert.equal(200, other:post("/api/auth/logout", {device_id = "a-phone"}).status) end)
        assert.equal(4004, own:close_code())
        assert.equal("pong", ear:ask("ping").type)
        own:close()
    end)

    it("is no contact: a presence_sub is rejected like that of a user who does not exist", function()
        local s = b:socket("p")
        local d = s:ask("presence_sub", {user_ids = {a.id, UNKNOWN}}).data
        table.sort(d.rejected)
        local want = {a.id, UNKNOWN}
        table.sort(want)
        assert.same({{}, want}, {d.presence, {table.unpack(d.rejected)}})
        local second = a:socket("second")
        assert.truthy(s:none("presence", 300))
        second:close()
        s:close()
    end)

    it("who is removed loses all of it at once, also on a socket that is open", function()
        local s = c:socket("c")
        local g2 = a:group({c}, "short")
        a:say(g2, "before")
        assert.equal(200, a:delete("/api/conversations/" .. g2 .. "/members/" .. c.id).status)
        local after = a:say(g2, "after").seq
        for _, row in ipairs(rows(g2)) do
            local r = c:api(row[2], row[3], row[4])
            if row[1] ~= 41 or row[4].client_msg_id ~= message.client_msg_id then
                assert.same({403, "not_member"}, {r.status, r.json.code}, "row " .. row[1])
            end
        end
        assert.same({g2}, {table.unpack(s:ask("sync", {sync_points = {[tostring(g2)] = 0}}).data.denied)})
        assert.equal("not_member", s:ask("read", {conversation_id = g2, read_seq = after}).data.code)
        for _, m in ipairs(s.kept) do
            assert.falsy(m.type == "new_message" and m.data.conversation_id == g2 and m.data.seq == after)
        end
        s:close()
    end)
end)
