-- PROTOCOL.md 7.7 and 9: what a device gets, in which order, what it has acked, and what comes again: the parts that the
-- checklist does not name.
local node = require "spec.support.node"
local json = require "spec.support.json"

local function send(c, conversation, cid, text)
    return c:ask("message", {conversation_id = conversation, client_msg_id = cid, content = text or "hi"})
end

local function ack(c, conversation, seq)
    local m = c:ask("ack", {conversation_id = conversation, seq = seq})
    assert.same({"notify", "ok"}, {m.type, m.data.status})
end

--- Reads frames, as texts "type seq": so many, and what else comes in a while behind them.
local function heard(c, count)
    local out = {}
    while true do
        local m = c:next(#out < count and 20000 * node.slow or 300)
        if not m then return out end
        local d = m.data or {}
        out[#out + 1] = m.type .. " " .. tostring(d.seq or d.from_seq or d.attempt or "")
    end
end

describe("answers", function()
    local n, lena, tom
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        lena, tom = n:person(), n:person()
    end)
    teardown(function() n:finish() end)

    it("acks leave in the order of their frames, also across 20 conversations", function()
        local c, chats = lena:socket("order"), {}
        for i = 1, 20 do chats[i] = lena:group({tom}, "g" .. i) end
        for i = 1, 2000 do
            c:send {type = "message", id = "m" .. i,
                data = {conversation_id = chats[i % 20 + 1], client_msg_id = "c" .. i, content = "x"}}
        end
        for i = 1, 2000 do assert.equal("m" .. i, assert(c:want("message_ack", 20000 * node.slow)).id) end
        c:close()
    end)

    it("an ack comes before every push with a higher seq of its conversation, also when it waits for another's", function()
        local chats = {}
        for i = 1, 5 do chats[i] = lena:group({tom}, "b" .. i) end
        local a, b = lena:socket("x"), tom:socket("y")
        for i = 1, 500 do
            for _, c in ipairs {a, b} do
                c:send {type = "message", data = {conversation_id = chats[i % 5 + 1], client_msg_id = "c" .. i, content = "x"}}
            end
        end
        local acked, pushed, acks, pushes = {}, {}, 0, 0
        while acks < 500 or pushes < 500 do
            local m = assert(a:next(20000 * node.slow))
            local d = m.data
            if m.type == "message_ack" then
                acks = acks + 1
                assert.truthy(d.seq > (acked[d.conversation_id] or 0))
                assert.truthy(d.seq > (pushed[d.conversation_id] or 0) - 1000)
                assert.falsy((pushed[d.conversation_id] or 0) > d.seq, "a push has overtaken an ack")
                acked[d.conversation_id] = d.seq
            elseif m.type == "new_message" then
                pushes = pushes + 1
                assert.truthy(d.seq > (pushed[d.conversation_id] or 0))
                pushed[d.conversation_id] = d.seq
            else
                assert.not_equal("resync", m.type)
            end
        end
        a:close()
        b:close()
    end)

    it("notifies leave in the order of their frames: ack, read and presence_sub", function()
        local chat = lena:chat(tom)
        local c = tom:socket("n")
        lena:say(chat, "one")
        for i = 1, 50 do
            for k = 1, 16 do
                local kind = k % 4
                c:send {type = ({"ack", "read", "presence_sub", "ack"})[kind + 1], id = i .. "." .. k,
                    data = ({{conversation_id = chat, seq = 0}, {conversation_id = chat, read_seq = 1}, {user_ids = json.list {}},
                        {conversation_id = chat, seq = 1}})[kind + 1]}
            end
            for k = 1, 16 do assert.equal(i .. "." .. k, assert(c:want("notify", 20000 * node.slow)).id) end
        end
        c:close()
    end)

    it("sync_resps leave in the order of their frames, and an ack without id has no answer", function()
        local chat = lena:chat(tom)
        local c = tom:socket("s")
        for i = 1, 30 do c:send {type = "sync", id = "s" .. i, data = {sync_points = {[tostring(chat)] = 0}, limit = i % 3 + 1}} end
        for i = 1, 30 do assert.equal("s" .. i, assert(c:want("sync_resp", 20000 * node.slow)).id) end
        c:send {type = "ack", data = {conversation_id = chat, seq = 1}}
        c:send {type = "batch_ack", data = {acks = json.list {{conversation_id = chat, seq = 1}}}}
        assert.equal("pong", c:ask("ping").type)
        assert.truthy(c:none("notify", 200))
        c:close()
    end)
end)

describe("the acks of a device", function()
    local n, lena, tom, chat
    before_each(function()
        n = node.start {["limits.ws_messages"] = "0"}
        lena, tom = n:person(), n:person()
        chat = lena:chat(tom)
    end)
    after_each(function() n:finish() end)

    -- a replay is judged by what came, and gives the socket
    local function replays(want, p, device)
        local c = assert(p:socket(device, {query = "&replay=1"}))
        assert.same(want, heard(c, #want))
        return c
    end

    it("are seen by its next socket, whether the earlier one has ended or is replaced by it", function()
        for i = 1, 5 do lena:say(chat, "m" .. i) end
        local c = replays({"new_message 1", "new_message 2", "new_message 3", "new_message 4", "new_message 5"}, tom, "d")
        ack(c, chat, 3)
        c:close()
        c = replays({"new_message 4", "new_message 5"}, tom, "d")
        ack(c, chat, 4)
        local again = replays({"new_message 5"}, tom, "d") -- replaces c
        assert.equal(4002, c:close_code())
        again:close()
    end)

    -- other devices see an ack once it is written: that it is when the socket is gone
    local function leave(p, c)
        c:close()
        assert.truthy(node.eventually(function() return not p:get("/api/presence?user_ids=" .. p.id).json.data[1].online end))
    end

    it("hold for that device only; a new one starts at the furthest ack of any", function()
        for i = 1, 5 do lena:say(chat, "m" .. i) end
        local c = tom:socket("one")
        ack(c, chat, 2)
        leave(tom, c)
        local d = replays({"new_message 3", "new_message 4", "new_message 5"}, tom, "two")
        ack(d, chat, 5)
        leave(tom, d)
        replays({"new_message 3", "new_message 4", "new_message 5"}, tom, "one"):close()
        replays({}, tom, "three"):close()
    end)

    it("above the newest seq count as the newest, those of other people's conversations not at all", function()
        lena:say(chat, "one")
        local c = tom:socket("d")
        ack(c, chat, 1000000)
        ack(c, 99999999, 5)
        leave(tom, c) -- by then it has been judged
        lena:say(chat, "two")
        replays({"new_message 2"}, tom, "d"):close()
    end)

    it("hold own sends too, once everything below is acked", function()
        lena:say(chat, "one")
        local c = tom:socket("d")
        send(c, chat, "mine")
        c:close()
        local e = replays({}, tom, "d") -- 1 was never acked; a send is a read: nothing is left
        ack(e, chat, 2)
        send(e, chat, "mine too")
        e:close()
        lena:say(chat, "four")
        replays({"new_message 4"}, tom, "d"):close()
    end)

    it("hold sends by HTTP of a known device", function()
        lena:say(chat, "one")
        local c = tom:socket("d")
        ack(c, chat, 1)
        c:close()
        tom:say(chat, "by http", {device = "d"})
        lena:say(chat, "three")
        replays({"new_message 3"}, tom, "d"):close()
    end)

    it("are given by the points of a sync", function()
        for i = 1, 4 do lena:say(chat, "m" .. i) end
        local c = tom:socket("d")
        c:ask("sync", {sync_points = {[tostring(chat)] = 3}})
        c:close()
        replays({"new_message 4"}, tom, "d"):close()
    end)

    it("never move the read position", function()
        for i = 1, 3 do lena:say(chat, "m" .. i) end
        local c = tom:socket("d")
        ack(c, chat, 3)
        assert.equal(3, tom:unread(chat))
        c:close()
    end)

    it("[46] replay gives a resync first where not all fit, then the newest", function()
        n:finish()
        n = node.start {["ws.replay_max"] = 3}
        lena, tom = n:person(), n:person()
        chat = lena:chat(tom)
        for i = 1, 5 do lena:say(chat, "m" .. i) end
        local c = replays({"resync 1", "new_message 3", "new_message 4", "new_message 5"}, tom, "d")
        lena:say(chat, "m6")
        assert.equal(6, c:push("new_message").data.seq)
        c:close()
    end)

    it("replay and new messages at the same time keep the order, without a gap", function()
        local a = lena:socket("w")
        for i = 1, 60 do lena:say(chat, "old" .. i) end
        for round = 1, 5 do
            for i = 1, 20 do
                a:send {type = "message", data = {conversation_id = chat, client_msg_id = round .. "." .. i, content = "x"}}
            end
            local c, last = assert(tom:socket("r" .. round, {query = "&replay=1"})), nil
            local latest = 60 + 20 * round
            repeat
                local seq = c:push("new_message", 20000 * node.slow).data.seq
                assert.truthy(not last and seq >= 1 or seq == last + 1, seq)
                last = seq
            until last == latest
            c:close()
            for _ = 1, 20 do a:want("message_ack") end
        end
        a:close()
    end)

    it("a recalled message is replayed as placeholder, with its message_revoked behind it", function()
        lena:say(chat, "one")
        local m = lena:say(chat, "secret")
        lena:post("/api/messages/" .. m.id .. "/revoke")
        local c = assert(tom:socket("d", {query = "&replay=1"}))
        assert.equal(1, c:next().data.seq)
        local p, r = c:next(), c:next()
        assert.same({"new_message", 2, "recalled", {}}, {p.type, p.data.seq, p.data.status, p.data.content})
        assert.same({"message_revoked", 1, m.id, 2, lena.id}, {r.type, r.data.change, r.data.message_id, r.data.seq, r.data.operator_id})
        c:close()
    end)
end)

describe("a sync", function()
    local n, lena, tom
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        lena, tom = n:person(), n:person()
    end)
    teardown(function() n:finish() end)

    it("merges all parts of at most 256 KiB and ends at 1 MiB, most recently active first, never skipping", function()
        local text, groups = ("x"):rep(16000), {}
        local a = lena:socket("w")
        for g = 1, 5 do
            groups[g] = lena:group({tom}, "g" .. g)
            for i = 1, 20 do
                a:send {type = "message", data = {conversation_id = groups[g], client_msg_id = "m" .. i, content = text}}
            end
            for _ = 1, 20 do assert(a:want("message_ack", 20000)) end
        end
        a:close()
        local c, have, rounds = tom:socket("s"), {}, 0
        for _, g in ipairs(groups) do have[tostring(g)] = 0 end
        repeat
            local more, bytes, first = false, 0, nil
            rounds = rounds + 1
            c:send {type = "sync", id = "s", data = {sync_points = have, limit = 200}}
            repeat
                local m, raw = c:want("sync_resp", 20000 * node.slow)
                assert.truthy(#(raw or json.encode(m)) <= 256 * 1024)
                for key, list in pairs(m.data.messages) do
                    first = first or key
                    for _, one in ipairs(list) do
                        assert.equal(have[key] + 1, one.seq)
                        have[key] = one.seq
                        bytes = bytes + #text
                    end
                end
                for key, is in pairs(m.data.has_more) do
                    assert.equal(have[key] < m.data.latest_seqs[key], is)
                    more = more or is
                end
            until not m.data.partial
            assert.truthy(bytes <= 1024 * 1024)
            if rounds == 1 then assert.equal(tostring(groups[5]), first) end
        until not more or rounds > 20
        for _, g in ipairs(groups) do assert.equal(20, have[tostring(g)]) end
        c:close()
    end)

    it("list_only leaves out the messages and nothing else; a later point of the same key counts", function()
        local chat = lena:chat(tom)
        for i = 1, 3 do lena:say(chat, "m" .. i) end
        local c, key = tom:socket("l"), tostring(chat)
        local d = c:ask("sync", {list_only = true, sync_points = {[key] = 1}}).data
        assert.same({{}, true, 3, 3, 0, {}}, {d.messages, d.has_more[key], d.latest_seqs[key], d.unread[key], d.read_seqs[key], d.denied})
        c:send(('{"type":"sync","id":"t","data":{"sync_points":{"%s":0,"%s":2}}}'):format(key, key))
        assert.equal(3, c:want("sync_resp").data.messages[key][1].seq)
        d = c:ask("sync", {sync_points = {[key] = 99999}}).data
        assert.same({{}, false}, {d.messages, d.has_more[key]})
        c:close()
    end)

    it("and history get through messages of the largest form: 16 KiB of characters that JSON writes as six", function()
        local group = lena:group({tom}, "huge")
        for _ = 1, 200 do lena:say(group, ("\1"):rep(16384)) end
        local c, have, key = tom:socket("huge"), 0, tostring(group)
        repeat
            c:send {type = "sync", data = {sync_points = {[key] = have}, limit = 200}}
            local m
            repeat
                m = assert(c:want("sync_resp", 20000 * node.slow))
                for _, one in ipairs(m.data.messages[key] or {}) do
                    assert.equal(have + 1, one.seq)
                    have = one.seq
                end
            until not m.data.partial
        until not m.data.has_more[key]
        assert.equal(200, have)
        c:close()
        local r = tom:get("/api/messages/history?limit=200&conversation_id=" .. group)
        assert.same({200, 200, true}, {r.status, r.json.data[#r.json.data].seq, r.json.has_more})
    end)

    it("refuses more than 1,000 points", function()
        local points = {}
        for i = 1, 1001 do points[tostring(i)] = 0 end
        local c = tom:socket("many")
        assert.equal("invalid sync data", c:ask("sync", {sync_points = points}).data.error)
        points["1001"] = nil
        local d, member = c:ask("sync", {sync_points = points, list_only = true}).data, 0
        for _ in pairs(d.latest_seqs) do member = member + 1 end
        assert.equal(1000, #d.denied + member)
        c:close()
    end)
end)

describe("history", function()
    it("ends at 1 MiB, leaves out what is far from where it starts, and says that there is more", function()
        local n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        local lena, tom = n:person(), n:person()
        local chat, a = lena:chat(tom), lena:socket("w")
        for i = 1, 100 do
            a:send {type = "message", data = {conversation_id = chat, client_msg_id = "m" .. i, content = ("y"):rep(16000)}}
            if i % 10 == 0 then for _ = 1, 10 do assert(a:want("message_ack", 20000)) end end
        end
        a:close()
        local function page(q)
            local r = tom:get("/api/messages/history?limit=200&conversation_id=" .. chat .. q)
            assert.truthy(#r.body < 1024 * 1024 + 1000)
            local d = r.json.data
            return d[1].seq, d[#d].seq, r.json.has_more
        end
        local first, last, more = page ""
        assert.same({100, true}, {last, more})
        assert.truthy(first > 20)
        first, last, more = page "&after_seq=1"
        assert.same({2, true}, {first, more})
        assert.truthy(last < 80)
        n:finish()
    end)

    it("a repeat by HTTP answers the message as it is now", function()
        local n = node.start()
        local lena, tom = n:person(), n:person()
        local body = {conversation_id = lena:chat(tom), client_msg_id = "once", text = "secret"}
        local m = lena:post("/api/messages", body).json.data
        lena:post("/api/messages/" .. m.id .. "/revoke")
        local again = lena:post("/api/messages", body).json.data
        assert.same({m.id, m.seq, "recalled", {}}, {again.id, again.seq, again.status, again.body})
        n:finish()
    end)
end)

describe("media messages", function()
    it("need a file, and there is none", function()
        local n = node.start()
        local lena, tom = n:person(), n:person()
        local chat, c = lena:chat(tom), lena:socket("f")
        local function try(type, content)
            local r = lena:post("/api/messages", {conversation_id = chat, client_msg_id = "f", content_type = type, content = content})
            local m = c:ask("message", {conversation_id = chat, client_msg_id = "f", content_type = type, content = content})
            assert.same({r.json.error, r.json.code}, {m.data.error, m.data.code})
            return r.json.error
        end
        assert.equal("media is required", try(2, {file = {file_id = 1}}))
        assert.equal("media is required", try(3, {file = {}}))
        assert.equal("file not found", try(3, {file = {file_id = 1}}))
        assert.equal("file not found", try(5, {video = {file_id = 7}}))
        c:close()
        n:finish()
    end)
end)
