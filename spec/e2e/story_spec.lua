-- The whole story of two people, as a new user would try it: register, become friends, chat both ways by HTTP and WebSocket, be
-- offline for 10,000 messages, page them with sync, recall, read. What is unread is checked on both sides at each step.
local node = require "spec.support.node"

local MISSED <const> = 10000

describe("two people", function()
    local n, lena, tom, chat
    local latest, read = 0, {}
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0", ["presence.grace"] = "200ms",
            ["recall.window"] = "1h"}
        lena, tom = n:person {display_name = "Lena"}, n:person {display_name = "Tom"}
        read = {[lena] = 0, [tom] = 0}
    end)
    teardown(function() n:finish() end)

    -- each side's row, list and sync agree about what is unread
    local function unread_is_right()
        for _, who in ipairs {lena, tom} do
            local want = latest - read[who]
            assert.equal(want, who:unread(chat))
            local brief = who:get("/api/conversations").json.data[1]
            assert.same({chat, want, read[who], latest}, {brief.id, brief.unread, brief.read_seq, brief.latest_seq})
        end
    end

    local function said(who, seq)
        latest = latest + 1
        assert.equal(latest, seq)
        read[who] = latest -- a send is a read
    end

    local function send(c, cid, text)
        local ack = c:ask("message", {conversation_id = chat, client_msg_id = cid, content = text})
        assert.equal("message_ack", ack.type, ack.data and ack.data.error)
        return ack.data
    end

    it("become friends: one applies, the other is told and accepts", function()
        local c = tom:socket("phone")
        assert.same({status = "pending"}, lena:post("/api/contacts/apply", {target_user_id = tom.id, remark = "it is me"}).json.data)
        assert.equal("it is me", c:push("contact_request").data.message)
        assert.same({status = "accepted"}, tom:post("/api/contacts/handle", {target_user_id = lena.id, accept = true}).json.data)
        assert.equal(tom.id, lena:get("/api/contacts").json.data[1].id)
        assert.equal(lena.id, tom:get("/api/contacts").json.data[1].id)
        c:close()
    end)

    it("open one and the same chat, titled by the other's name, nothing unread", function()
        chat = lena:chat(tom)
        assert.equal(chat, tom:chat(lena))
        assert.equal("Tom", lena:get("/api/conversations/" .. chat).json.data.title)
        assert.equal("Lena", tom:get("/api/conversations/" .. chat).json.data.title)
        unread_is_right()
    end)

    it("exchange messages both ways, by HTTP and by WebSocket", function()
        local a, b = lena:socket("laptop"), tom:socket("phone")
        local function arrives(c, from, seq, text)
            local d = c:push("new_message").data
            assert.same({chat, from.id, seq, text}, {d.conversation_id, d.sender_id, d.seq, d.content.text.text})
        end
        said(lena, send(a, "s1", "hello by socket").seq)
        arrives(b, lena, 1, "hello by socket")
        unread_is_right()
        said(tom, tom:say(chat, "hello by HTTP", {device = "phone"}).seq)
        arrives(a, tom, 2, "hello by HTTP")
        unread_is_right()
        said(tom, send(b, "s3", "and by socket").seq)
        arrives(a, tom, 3, "and by socket")
        said(lena, lena:say(chat, "and by HTTP", {device = "laptop"}).seq)
        arrives(b, lena, 4, "and by HTTP")
        unread_is_right()
        assert.same({status = "ok", conversation_id = chat, read_seq = 4, unread = 0},
            b:ask("read", {conversation_id = chat, read_seq = 4}).data)
        read[tom] = 4
        local seen = a:push("message_read").data
        while seen.read_seq < 4 do seen = a:push("message_read").data end
        assert.same({tom.id, 4}, {seen.user_id, seen.read_seq})
        unread_is_right()
        local texts = {}
        for i, m in ipairs(tom:get("/api/messages/history?conversation_id=" .. chat).json.data) do texts[i] = m.body.text.text end
        assert.same({"hello by socket", "hello by HTTP", "and by socket", "and by HTTP"}, texts)
        b:ask("ack", {conversation_id = chat, seq = 4})
        a:close()
        b:close()
    end)

    local recalled

    it("one goes offline and misses 10,000 messages", function()
        assert.truthy(node.eventually(function() return not lena:get("/api/presence?user_ids=" .. tom.id).json.data[1].online end))
        local a = lena:socket("laptop")
        for i = 1, MISSED do
            a:send {type = "message", data = {conversation_id = chat, client_msg_id = "m" .. i, content = "message " .. i}}
            if i % 500 == 0 then
                for _ = 1, 500 do
                    local m = assert(a:want("message_ack", 20000 * node.slow))
                    said(lena, m.data.seq)
                    if m.data.client_msg_id == "m7000" then recalled = m.data end
                end
            end
        end
        assert.equal(MISSED, tom:unread(chat))
        unread_is_right()
        a:close()
    end)

    local phone
    local key, have, change

    it("the one who was away pages them with sync, 200 at a time, in order and complete", function()
        key = tostring(chat)
        phone = tom:socket("phone")
        local d = phone:ask("sync", {list_only = true}).data
        assert.same({[key] = latest}, d.latest_seqs)
        assert.same({[key] = MISSED}, d.unread)
        change, have = d.latest_changes[key], 4
        assert.equal(0, change)
        local pages = 0
        repeat
            d = phone:ask("sync", {sync_points = {[key] = have}, change_points = {[key] = change}, limit = 200}).data
            for _, m in ipairs(d.messages[key] or {}) do
                assert.same({have + 1, "message " .. have - 3, lena.id}, {m.seq, m.content.text.text, m.sender_id})
                have = m.seq
            end
            pages = pages + 1
        until not d.has_more[key]
        assert.same({latest, MISSED // 200}, {have, pages})
        assert.equal(MISSED, d.unread[key]) -- to have synced is not to have read
        unread_is_right()
    end)

    it("a recall within the window is seen by change_points, and nothing else has moved", function()
        local r = lena:post("/api/messages/" .. recalled.message_id .. "/revoke")
        assert.same({200, recalled.seq, 1, "recalled"}, {r.status, r.json.data.seq, r.json.data.change, r.json.data.status})
        assert.same({1, recalled.message_id}, (function(d) return {d.change, d.message_id} end)(phone:push("message_revoked").data))
        local d = phone:ask("sync", {sync_points = {[key] = have}, change_points = {[key] = change}}).data
        assert.same({{chat, 1, "recall", recalled.message_id, recalled.seq, lena.id}}, {(function(c)
            return {c.conversation_id, c.change, c.kind, c.message_id, c.seq, c.operator_id}
        end)(d.changes[1])})
        assert.equal(1, d.latest_changes[key])
        d = phone:ask("sync", {sync_points = {[key] = have}, change_points = {[key] = 1}}).data
        assert.same({}, d.changes)
        local m = tom:get(("/api/messages/history?conversation_id=%d&after_seq=%d&limit=1"):format(chat, recalled.seq - 1)).json.data[1]
        assert.same({recalled.message_id, recalled.seq, "recalled", {}}, {m.id, m.seq, m.status, m.body})
        unread_is_right() -- a recalled message still counts
    end)

    it("the rest is read in two steps, and the sender is told", function()
        local a = lena:socket("laptop")
        for _, seq in ipairs {6000, latest} do
            local d = phone:ask("read", {conversation_id = chat, read_seq = seq}).data
            read[tom] = seq
            assert.same({seq, latest - seq}, {d.read_seq, d.unread})
            assert.equal(seq, a:push("message_read").data.read_seq)
            unread_is_right()
        end
        assert.equal(0, tom:unread(chat))
        a:close()
        phone:close()
    end)

    it("all of it is there after a crash", function()
        n:crash()
        n.client = nil
        n:up()
        unread_is_right()
        local page = tom:get("/api/messages/history?conversation_id=" .. chat .. "&limit=1").json
        assert.same({latest, latest, "message " .. MISSED}, {page.latest_seq, page.data[1].seq, page.data[1].body.text.text})
    end)
end)
