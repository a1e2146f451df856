-- PROTOCOL.md sections 8, 9 and 11: sending, pushes, acks, sync, history, read positions, recall.
local node = require "spec.support.node"
local json = require "spec.support.json"
local ws = require "spec.support.ws"

local function send(c, conversation, cid, text, timeout)
    return c:ask("message", {conversation_id = conversation, client_msg_id = cid, content = text or "hi"}, timeout)
end

-- reads what a socket has of a conversation until it has n messages; the pushes in order
local function collect(c, count)
    local got = {}
    while #got < count do
        local m = c:push("new_message")
        if not m then break end
        got[#got + 1] = m.data
    end
    return got
end

describe("messages", function()
    local n, lena, tom, mia
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        lena, tom, mia = n:person {display_name = "Lena"}, n:person {display_name = "Tom"}, n:person()
    end)
    teardown(function() n:finish() end)

    it("by WebSocket: the ack has ids, seq and times in ms; the push has the same", function()
        local chat = lena:chat(tom)
        local a, b = lena:socket("a"), tom:socket("b")
        local ack = send(a, chat, "c-1", "hello")
        assert.equal("message_ack", ack.type)
        assert.same({"c-1", chat, 1}, {ack.data.client_msg_id, ack.data.conversation_id, ack.data.seq})
        assert.equal(ack.data.created_at, ack.data.created_at_ms)
        local p = b:push("new_message").data
        assert.same({ack.data.message_id, chat, lena.id, 1, 1, "hello", "c-1", "normal", 0},
            {p.message_id, p.conversation_id, p.sender_id, p.seq, p.content_type, p.content.text.text, p.client_msg_id,
                p.status, p.reply_to})
        assert.equal(ack.data.created_at_ms, p.created_at_ms)
        assert.equal(p.created_at_ms // 1000, p.created_at)
        a:close()
        b:close()
    end)

    it("by HTTP: the answer is the stored MessageItem", function()
        local chat = lena:chat(tom)
        local r = lena:post("/api/messages", {conversation_id = chat, client_msg_id = "h-1", text = 'quote " \\ \n é 😀'})
        assert.equal(200, r.status)
        local m = r.json.data
        assert.equal('quote " \\ \n é 😀', m.body.text.text)
        assert.same({lena.id, "h-1", "normal", 0, 1}, {m.sender_id, m.client_msg_id, m.status, m.reply_to, m.content_type})
        assert.equal(m.created_at_ms, m.create_time.seconds * 1000 + m.create_time.nanos // 1000000)
        local again = lena:post("/api/messages", {conversation_id = chat, client_msg_id = "h-1", text = "other"})
        assert.same(m, again.json.data)
    end)

    it("take content as object too, and refuse every other form", function()
        local chat = lena:chat(tom)
        local function try(body)
            body.conversation_id, body.client_msg_id = body.conversation_id or chat, body.client_msg_id or "form"
            local r = lena:post("/api/messages", body)
            return r.status, r.json.code
        end
        assert.equal(200, (try {content = {text = {text = "x"}}, client_msg_id = "form-0"}))
        for i, body in ipairs {
            {text = ""}, {text = ("x"):rep(16385)}, {text = 5}, {content = "plain"}, {content = {text = {text = "x"}}, text = "x"},
            {content = {text = {text = "x"}, image = {}}}, {content_type = 6, content = {text = {text = "x"}}},
            {content_type = 9, content = {call = {}}}, {content_type = 2, text = "x"}, {}, {text = "x", client_msg_id = ""},
            {text = "x", client_msg_id = ("c"):rep(65)}, {text = "x", client_msg_id = "a b\1"}, {text = "x", client_msg_id = "call:1"},
            {text = "x", reply_to = -1}, {text = "x", reply_to = 999999999}, {text = "x", content_type = "1"},
        } do
            local status, code = try(body)
            assert.equal(400, status, i)
            assert.equal("bad_request", code, i)
        end
        assert.equal(200, (try {text = ("x"):rep(16384), client_msg_id = "form-1"}))
        assert.same({400, "bad_request"}, {try {text = "x", conversation_id = "1"}})
    end)

    it("[48] of an unknown and of a foreign conversation are refused alike", function()
        local foreign = lena:chat(tom)
        for _, id in ipairs {foreign, 99999999} do
            local r = mia:post("/api/messages", {conversation_id = id, client_msg_id = "f", text = "x"})
            assert.same({403, "not_member", "sender not in conversation"}, {r.status, r.json.code, r.json.error})
            for _, path in ipairs {"/api/messages/history?conversation_id=" .. id, "/api/conversations/" .. id} do
                r = mia:get(path)
                assert.same({403, "not_member", "not a conversation member"}, {r.status, r.json.code, r.json.error})
            end
            r = mia:post("/api/messages/read", {conversation_id = id, read_seq = 1})
            assert.same({403, "not_member"}, {r.status, r.json.code})
            local c = mia:socket("x")
            assert.same({"not_member", "sender not in conversation"}, {send(c, id, "z").data.code, send(c, id, "z").data.error})
            assert.equal("z", send(c, id, "z").data.client_msg_id)
            assert.equal("not_member", c:ask("read", {conversation_id = id, read_seq = 1}).data.code)
            local s = c:ask("sync", {sync_points = {[tostring(id)] = 0}}).data
            assert.same({id}, {s.denied[1]})
            assert.same({}, s.latest_seqs)
            c:close()
        end
    end)

    it("[14] 20 concurrent sends of one client_msg_id over HTTP and WebSocket store one", function()
        local group = lena:group({tom}, "one")
        local socks, https, ids = {}, {}, {}
        for i = 1, 10 do
            socks[i] = lena:socket("s" .. i)
            https[i] = n:http()
            https[i]:connect()
        end
        local body = json.encode {conversation_id = group, client_msg_id = "same", text = "x"}
        for i = 1, 10 do
            socks[i]:send {type = "message", id = "m", data = {conversation_id = group, client_msg_id = "same", content = "x"}}
            https[i].sock:send(("POST /api/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s")
                :format(lena.token, #body, body))
        end
        for i = 1, 10 do
            local ack = socks[i]:want("message_ack").data
            ids[ack.message_id .. ":" .. ack.seq] = true
            local m = json.decode(https[i]:read().body).data
            ids[m.id .. ":" .. m.seq] = true
            socks[i]:close()
            https[i]:close()
        end
        local count = 0
        for _ in pairs(ids) do count = count + 1 end
        assert.equal(1, count)
        assert.equal(1, lena:get("/api/messages/history?conversation_id=" .. group).json.latest_seq)
    end)

    it("[15] 1,000 from 10 senders get seqs 1..1000 without hole or double", function()
        local others, socks, seen = {}, {}, {}
        for i = 1, 9 do others[i] = n:person() end
        local group = lena:group(others, "ten")
        socks[1] = lena:socket("d")
        for i, p in ipairs(others) do socks[i + 1] = p:socket("d") end
        for i = 1, 100 do
            for k, c in ipairs(socks) do
                c:send {type = "message", data = {conversation_id = group, client_msg_id = k .. "-" .. i, content = "x"}}
            end
        end
        for _, c in ipairs(socks) do
            local acks, last = 0, 0
            while acks < 100 do
                local ack = assert(c:want("message_ack", 20000)).data
                assert.is_nil(seen[ack.seq])
                assert.truthy(ack.seq > last)
                seen[ack.seq], last, acks = true, ack.seq, acks + 1
            end
            c:close()
        end
        assert.equal(1000, #seen)
    end)

    it("[16] reach all 3 devices of a member and the sender's second, not the sending one", function()
        local chat = lena:chat(tom)
        local a1, a2 = lena:socket("a1"), lena:socket("a2")
        local b = {tom:socket("b1"), tom:socket("b2"), tom:socket("b3")}
        local seq = send(a1, chat, "fan-1").data.seq
        for _, c in ipairs {b[1], b[2], b[3], a2} do assert.equal(seq, c:push("new_message").data.seq) end
        assert.truthy(a1:none("new_message", 200))
        local m = lena:say(chat, "by http", {device = "a2"})
        assert.equal(m.seq, a1:push("new_message").data.seq)
        assert.truthy(a2:none("new_message", 200))
        m = lena:say(chat, "device unknown")
        assert.equal(m.seq, a1:push("new_message").data.seq)
        assert.equal(m.seq, a2:push("new_message").data.seq)
        for _, c in ipairs {a1, a2, b[1], b[2], b[3]} do c:close() end
    end)

    it("[17] arrive in rising order without gap", function()
        local chat = lena:chat(tom)
        local a, b = lena:socket("order"), tom:socket("order")
        for i = 1, 300 do a:send {type = "message", data = {conversation_id = chat, client_msg_id = "o" .. i, content = "x"}} end
        local got = collect(b, 300)
        assert.equal(300, #got)
        for i = 2, 300 do assert.equal(got[i - 1].seq + 1, got[i].seq) end
        a:close()
        b:close()
    end)

    it("[19] 10,000 missed offline come completely by paging sync with 200", function()
        local p, q = n:person(), n:person()
        local chat = p:chat(q)
        local a = p:socket("w")
        for i = 1, 10000 do
            a:send {type = "message", data = {conversation_id = chat, client_msg_id = "m" .. i, content = "message " .. i}}
            if i % 500 == 0 then
                for _ = 1, 500 do assert(a:want("message_ack", 20000 * node.slow)) end
            end
        end
        a:close()
        assert.equal(10000, q:unread(chat))
        local c, have = q:socket("back"), 0
        assert.same({[tostring(chat)] = 10000}, c:ask("sync", {list_only = true}).data.latest_seqs)
        while true do
            local d = c:ask("sync", {sync_points = {[tostring(chat)] = have}, limit = 200}).data
            for _, m in ipairs(d.messages[tostring(chat)] or {}) do
                assert.equal(have + 1, m.seq)
                assert.equal("message " .. m.seq, m.content.text.text)
                have = m.seq
            end
            if not d.has_more[tostring(chat)] then break end
        end
        assert.equal(10000, have)
        c:close()
    end)

    it("[20] missed by a device in open mode come after the reconnect by themselves", function()
        local open = node.start {["ws.mode"] = "open"}
        local p, q = open:person(), open:person()
        local chat = p:chat(q)
        local function connect() return assert(ws.open(open.ws_address, ("/ws?user_id=%d&device_id=web&platform=web"):format(q.id))) end
        local c = connect()
        c:next()
        p:say(chat, "seen")
        local m = c:want("new_message")
        c:ask("ack", {conversation_id = chat, message_id = m.data.message_id, seq = m.data.seq})
        c:close()
        assert.truthy(node.eventually(function() return not q:get("/api/presence?user_ids=" .. q.id).json.data[1].online end))
        for i = 1, 5 do p:say(chat, "missed " .. i) end
        c = connect()
        assert.equal("connected", c:next().data.status)
        for i = 1, 5 do
            local got = c:want("new_message").data
            assert.same({i + 1, "missed " .. i}, {got.seq, got.content.text.text})
        end
        assert.truthy(c:none("new_message", 200))
        c:close()
        open:finish()
    end)

    it("[21] history pages as the web client and everybody else asks", function()
        local group = lena:group({tom}, "history")
        local c = lena:socket("hist")
        for i = 1, 250 do c:send {type = "message", data = {conversation_id = group, client_msg_id = "m" .. i, content = "x"}} end
        for _ = 1, 250 do assert(c:want("message_ack")) end
        c:close()
        local function page(q)
            local r = tom:get("/api/messages/history?conversation_id=" .. group .. q)
            assert.equal(200, r.status, r.body)
            local d = r.json.data
            for i = 2, #d do assert.equal(d[i - 1].seq + 1, d[i].seq) end
            assert.equal(250, r.json.latest_seq)
            return {d[1] and d[1].seq, d[#d] and d[#d].seq, r.json.has_more}
        end
        assert.same({151, 250, true}, page "&after_seq=0&limit=100")
        assert.same({11, 15, true}, page "&after_seq=10&limit=5")
        assert.same({6, 10, true}, page "&before_seq=11&limit=5")
        assert.same({1, 5, false}, page "&before_seq=6&limit=50")
        assert.same({201, 250, true}, page "")
        assert.same({51, 250, true}, page "&limit=1000")
        assert.same({246, 250, false}, page "&after_seq=245")
        for _, q in ipairs {"&after_seq=1&before_seq=5", "&limit=-1", "&after_seq=x", "&after_seq=-1"} do
            assert.equal(400, tom:get("/api/messages/history?conversation_id=" .. group .. q).status, q)
        end
        assert.equal("invalid conversation id", tom:get("/api/messages/history?conversation_id=x").json.error)
    end)

    it("one message is read by its id as in history: its quote leads to its seq, a recalled one is a placeholder", function()
        local group = lena:group({tom}, "one")
        local first = lena:say(group, "the first secret")
        local answer = tom:post("/api/messages",
            {conversation_id = group, client_msg_id = "answer-1", text = "an answer", reply_to = first.id}).json.data
        local function in_history(seq)
            return tom:get(("/api/messages/history?conversation_id=%d&before_seq=%d&limit=1"):format(group, seq + 1)).json.data[1]
        end
        for _, m in ipairs {first, answer} do
            local r = tom:get("/api/messages/" .. m.id)
            assert.equal(200, r.status, r.body)
            assert.same(in_history(m.seq), r.json.data)
        end
        assert.equal(first.seq, tom:get("/api/messages/" .. answer.reply_to).json.data.seq)
        assert.equal(200, lena:post("/api/messages/" .. first.id .. "/revoke").status)
        local r = tom:get("/api/messages/" .. first.id)
        assert.same({200, "recalled", {}}, {r.status, r.json.data.status, r.json.data.body})
        assert.falsy(r.body:find("secret", 1, true))
        for _, id in ipairs {"x", "0", "-1", "9007199254740992"} do
            r = tom:get("/api/messages/" .. id)
            assert.same({400, "invalid message id"}, {r.status, r.json.error}, id)
        end
        assert.equal(405, tom:get("/api/messages/read").status)
        assert.equal(401, n:api("GET", "/api/messages/" .. first.id).status)
    end)

    it("one message is there for those who are members now, of a dissolved group too", function()
        local group = lena:group({tom, mia}, "one more")
        local m = lena:say(group, "hello")
        assert.equal(200, lena:delete(("/api/conversations/%d/members/%d"):format(group, mia.id)).status)
        assert.same({404, "message not found"}, {mia:get("/api/messages/" .. m.id).status, mia:get("/api/messages/" .. m.id).json.error})
        assert.equal(200, lena:delete("/api/conversations/" .. group).status)
        assert.equal(m.seq, tom:get("/api/messages/" .. m.id).json.data.seq)
    end)

    it("[22] the read position is clamped, never falls, and unread is latest minus read", function()
        local chat = lena:chat(mia)
        for i = 1, 10 do lena:say(chat, "r" .. i) end
        assert.equal(10, mia:unread(chat))
        assert.equal(0, lena:unread(chat))
        local function read(p, seq) return p:post("/api/messages/read", {conversation_id = chat, read_seq = seq}).json.data end
        assert.same({read_seq = 4, unread = 6}, read(mia, 4))
        assert.same({read_seq = 4, unread = 6}, read(mia, 2))
        assert.same({read_seq = 10, unread = 0}, read(mia, 99999))
        assert.same({read_seq = 10, unread = 0}, read(mia, 0))
        lena:say(chat, "more")
        assert.equal(1, mia:unread(chat))
        mia:say(chat, "an own send reads")
        assert.equal(0, mia:unread(chat))
        assert.equal(1, lena:unread(chat))
        local c = mia:socket("r")
        assert.same({"ok", chat, 12, 0}, (function(d) return {d.status, d.conversation_id, d.read_seq, d.unread} end)(
            c:ask("read", {conversation_id = chat, read_seq = 12}).data))
        assert.equal("invalid read request", c:ask("read", {conversation_id = chat}).data.error)
        c:close()
    end)

    it("[22] stays right over 100 random steps", function()
        math.randomseed(7)
        local p, q = n:person(), n:person()
        local chat, latest, read, mine = p:chat(q), 0, {[p] = 0, [q] = 0}, {}
        for i = 1, 100 do
            local who, what = math.random(2) == 1 and p or q, math.random(4)
            if what <= 2 then
                local m = who:say(chat, "s" .. i)
                latest = latest + 1
                assert.equal(latest, m.seq)
                read[who] = latest
                mine[#mine + 1] = {who, m.id}
            elseif what == 3 then
                local seq = math.random(0, latest + 2)
                who:post("/api/messages/read", {conversation_id = chat, read_seq = seq})
                read[who] = math.max(read[who], math.min(seq, latest))
            elseif #mine > 0 then
                local m = table.remove(mine, math.random(#mine))
                assert.equal(200, m[1]:post("/api/messages/" .. m[2] .. "/revoke").status)
            end
            assert.equal(latest - read[p], p:unread(chat))
            assert.equal(latest - read[q], q:unread(chat))
        end
    end)

    it("[23] message_read goes to the others, read_sync to the reader's other devices", function()
        -- people of its own: read pushes of what went before may still be under way (they are merged)
        local p, q = n:person(), n:person()
        local chat = p:chat(q)
        local a, b1, b2 = p:socket("ra"), q:socket("rb1"), q:socket("rb2")
        local seq = send(a, chat, "read-me").data.seq
        b1:push("new_message")
        b2:push("new_message")
        b1:ask("read", {conversation_id = chat, read_seq = seq})
        local m = a:push("message_read").data
        assert.same({chat, q.id, seq}, {m.conversation_id, m.user_id, m.read_seq})
        assert.truthy(m.read_at > 0)
        assert.equal(m.read_at, m.read_at_ms // 1000)
        local s = b2:push("read_sync").data
        assert.same({conversation_id = chat, read_seq = seq, unread = 0}, s)
        assert.truthy(b1:none("read_sync", 200))
        for _, c in ipairs {b1, b2} do
            for _, kept in ipairs(c.kept or {}) do assert.not_equal("message_read", kept.type) end
        end
        b1:ask("read", {conversation_id = chat, read_seq = seq})
        assert.truthy(a:none("message_read", 300))
        a:close()
        b1:close()
        b2:close()
    end)

    it("[43] a send with unread messages pushes read_sync to the own other devices, the next one nothing", function()
        local p, q = n:person(), n:person()
        local chat = p:chat(q)
        p:say(chat, "unread one")
        local m1, m2, a = q:socket("m1"), q:socket("m2"), p:socket("l")
        local seq = send(m1, chat, "s1").data.seq
        assert.same({conversation_id = chat, read_seq = seq, unread = 0}, m2:push("read_sync").data)
        send(m1, chat, "s2")
        assert.truthy(m2:none("read_sync", 300))
        for _, kept in ipairs(a.kept or {}) do assert.not_equal("message_read", kept.type) end
        assert.truthy(a:none("message_read", 100))
        m1:close()
        m2:close()
        a:close()
    end)

    it("[24] a recall leaves a placeholder everywhere, with one change number", function()
        local chat = lena:chat(tom)
        local a, a2, b = lena:socket("c1"), lena:socket("c2"), tom:socket("c3")
        local sent = send(a, chat, "oops", "secret").data
        b:push("new_message")
        local r = lena:api("POST", "/api/messages/" .. sent.message_id .. "/revoke", nil, {headers = {"X-Device-Id: c1"}})
        assert.equal(200, r.status, r.body)
        assert.same({sent.message_id, chat, sent.seq, "recalled"},
            {r.json.data.message_id, r.json.data.conversation_id, r.json.data.seq, r.json.data.status})
        for _, c in ipairs {b, a2} do
            local m = c:push("message_revoked").data
            assert.same({chat, r.json.data.change, sent.message_id, sent.seq, lena.id, lena.id},
                {m.conversation_id, m.change, m.message_id, m.seq, m.sender_id, m.operator_id})
        end
        assert.truthy(a:none("message_revoked", 200))
        local again = lena:post("/api/messages/" .. sent.message_id .. "/revoke")
        assert.same(r.json.data, again.json.data)
        local page = tom:get("/api/messages/history?conversation_id=" .. chat).json.data
        local last = page[#page]
        assert.same({"recalled", {}, sent.seq}, {last.status, last.body, last.seq})
        assert.falsy(tom:get("/api/messages/history?conversation_id=" .. chat).body:find("secret", 1, true))
        assert.falsy(tom:get("/api/conversations").body:find("secret", 1, true))
        assert.equal("oops", send(a, chat, "oops").data.client_msg_id)
        assert.equal(sent.seq, send(a, chat, "oops").data.seq)
        for _, c in ipairs {a, a2, b} do c:close() end
    end)

    it("[24] only the sender recalls in a single chat, and strangers get their own answers", function()
        local chat = lena:chat(tom)
        local m = lena:say(chat, "mine")
        local r = tom:post("/api/messages/" .. m.id .. "/revoke")
        assert.same({403, "forbidden", "not the message sender"}, {r.status, r.json.code, r.json.error})
        r = mia:post("/api/messages/" .. m.id .. "/revoke")
        assert.same({403, "not_member"}, {r.status, r.json.code})
        r = lena:post("/api/messages/99999999/revoke")
        assert.same({404, "message not found"}, {r.status, r.json.error})
        r = lena:post("/api/messages/x/revoke")
        assert.same({400, "invalid message id"}, {r.status, r.json.error})
    end)

    it("[41] recalls made while a device was offline are found by change_points", function()
        local group = lena:group({tom}, "changes")
        local ids = {}
        local c = lena:socket("w")
        for i = 1, 30 do ids[i] = send(c, group, "m" .. i).data.message_id end
        for i = 1, 30 do assert.equal(200, lena:post("/api/messages/" .. ids[i] .. "/revoke").status) end
        local b = tom:socket("b")
        local d = b:ask("sync", {sync_points = {[tostring(group)] = 30}, change_points = {[tostring(group)] = 0}}).data
        assert.equal(30, #d.changes)
        for i, change in ipairs(d.changes) do
            assert.same({i, "recall", ids[i], i, lena.id}, {change.change, change.kind, change.message_id, change.seq, change.operator_id})
        end
        assert.equal(30, d.latest_changes[tostring(group)])
        d = b:ask("sync", {sync_points = {[tostring(group)] = 30}, change_points = {[tostring(group)] = 30}}).data
        assert.same({}, d.changes)
        b:close()
        c:close()
    end)

    it("[49] a repeat gets the first ack also from a removed sender; elsewhere it is a new message", function()
        local group, other = lena:group({tom}, "out"), lena:group({tom}, "in")
        local c = tom:socket("t")
        local first = send(c, group, "rep").data
        assert.equal(200, lena:delete("/api/conversations/" .. group .. "/members/" .. tom.id).status)
        local again = send(c, group, "rep").data
        assert.same({first.message_id, first.seq, first.created_at_ms}, {again.message_id, again.seq, again.created_at_ms})
        assert.equal("not_member", send(c, group, "new").data.code)
        assert.not_equal(first.message_id, send(c, other, "rep").data.message_id)
        c:close()
    end)

    it("[42] message_read is pushed in a group of 50, not in one of 51, and Member tells in both", function()
        local people = {}
        for i = 1, 50 do people[i] = n:person() end
        for _, size in ipairs {50, 51} do
            local others = {table.unpack(people, 1, size - 1)}
            local group = lena:group(others, "size " .. size)
            local a = lena:socket("g" .. size)
            local seq = lena:say(group, "read this").seq
            assert.equal(200, people[1]:post("/api/messages/read", {conversation_id = group, read_seq = seq}).status)
            if size == 50 then
                assert.equal(people[1].id, a:push("message_read").data.user_id)
            else
                assert.truthy(a:none("message_read", 1200))
            end
            for _, m in ipairs(lena:get("/api/conversations/" .. group .. "/members?limit=500").json.data) do
                assert.equal((m.user.id == people[1].id or m.user.id == lena.id) and seq or 0, m.read_seq)
            end
            a:close()
        end
    end)

    it("bad ack, batch_ack and sync data get their own texts, and nothing changes", function()
        local c = lena:socket("bad")
        assert.equal("invalid ack data", c:ask("ack", {conversation_id = "x"}).data.error)
        assert.equal("invalid batch ack data", c:ask("batch_ack", {acks = {}}).data.error)
        assert.equal("invalid batch ack data", c:ask("batch_ack", {acks = {{conversation_id = 1, seq = 1}, {}}}).data.error)
        assert.equal("invalid sync data", c:ask("sync", {sync_points = {x = 1}}).data.error)
        assert.equal("invalid sync data", c:ask("sync", {limit = "5"}).data.error)
        assert.equal("ok", c:ask("ack", {conversation_id = 123456, seq = 5}).data.status)
        assert.equal("invalid message data", c:ask("message", {conversation_id = 1}).data.error)
        c:close()
    end)
end)

describe("resends", function()
    it("[18] come three times to a device that does not ack; acking n stops all up to n", function()
        local n = node.start {["ws.resend_after"] = "300ms"}
        local lena, tom = n:person(), n:person()
        local chat = lena:chat(tom)
        local b = tom:socket("b")
        for i = 1, 3 do lena:say(chat, "m" .. i) end
        for seq = 1, 3 do assert.equal(seq, b:push("new_message").data.seq) end
        -- on a slow machine there may have been rounds before the last was said: it started them again
        local round = {}
        repeat
            local d = b:push("message_resend").data
            if d.seq == 1 then round = {} end
            round[#round + 1] = ("%d %d %s"):format(d.seq, d.attempt, d.content.text.text)
        until d.seq == 3
        assert.same({"1 1 m1", "2 1 m2", "3 1 m3"}, round)
        b:ask("ack", {conversation_id = chat, message_id = 0, seq = 2})
        -- and rounds before the ack, of which one may still be under way
        local late, d = -#b.kept
        repeat
            late, d = late + 1, b:push("message_resend").data
        until d.seq == 3 and d.attempt == 1
        assert.truthy(late <= 4, late)
        for attempt = 2, 3 do
            d = b:push("message_resend").data
            assert.same({3, attempt}, {d.seq, d.attempt})
        end
        assert.truthy(b:none("message_resend", 1000))
        b:close()
        n:finish()
    end)

    it("[45] a device that never acks gets 1,000 pushes, then resync, and goes on after an ack", function()
        local n = node.start {["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        local lena, tom = n:person(), n:person()
        local chat = lena:chat(tom)
        local a, b = lena:socket("a"), tom:socket("b")
        for i = 1, 1010 do a:send {type = "message", data = {conversation_id = chat, client_msg_id = "m" .. i, content = "x"}} end
        for _ = 1, 1010 do assert(a:want("message_ack")) end
        for i = 1, 1000 do assert.equal(i, b:push("new_message").data.seq) end
        local m = b:next()
        assert.same({"resync", chat, 1001}, {m.type, m.data.conversation_id, m.data.from_seq})
        assert.truthy(b:none("new_message", 300))
        b:ask("ack", {conversation_id = chat, message_id = 0, seq = 1000})
        m = b:push("resync")
        assert.equal(1001, m.data.from_seq)
        local seq = send(a, chat, "after").data.seq
        assert.equal(seq, b:push("new_message").data.seq)
        a:close()
        b:close()
        n:finish()
    end)
end)

describe("replay", function()
    it("[46] of 20 conversations with 100 missed each gives 500 messages and a resync for those that did not fit", function()
        local n = node.start {["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        local lena, tom = n:person(), n:person()
        local a = lena:socket("w")
        for g = 1, 20 do
            local group = lena:group({tom}, "g" .. g)
            for i = 1, 100 do a:send {type = "message", data = {conversation_id = group, client_msg_id = "m" .. i, content = "x"}} end
            for _ = 1, 100 do assert(a:want("message_ack")) end
        end
        a:close()
        local b = tom:socket("b", {query = "&replay=1"})
        local messages, resyncs, per = 0, 0, {}
        while true do -- all that is due, and nothing behind it
            local m = b:next(messages + resyncs < 515 and 20000 * node.slow or 500)
            if not m then break end
            if m.type == "new_message" then
                messages = messages + 1
                local id = m.data.conversation_id
                assert.equal((per[id] or 0) + 1, m.data.seq)
                per[id] = m.data.seq
            elseif m.type == "resync" then
                resyncs = resyncs + 1
            end
        end
        assert.same({500, 15}, {messages, resyncs})
        b:close()
        n:finish()
    end)
end)

describe("a crash", function()
    it("[13] right after the ack keeps the message, with the same id and seq", function()
        local n = node.start()
        local lena, tom = n:person(), n:person()
        local chat = lena:chat(tom)
        local a = lena:socket("a")
        local ack = send(a, chat, "kept", "kept").data
        n:crash()
        n.client = nil
        n:up()
        local m = tom:get("/api/messages/history?conversation_id=" .. chat).json.data[1]
        assert.same({ack.message_id, ack.seq, "kept"}, {m.id, m.seq, m.body.text.text})
        local again = send(lena:socket("a"), chat, "kept").data
        assert.same({ack.message_id, ack.seq, ack.created_at_ms}, {again.message_id, again.seq, again.created_at_ms})
        n:finish()
    end)
end)
