-- Things that happen at the same moment: whoever comes first, the rules of PROTOCOL.md hold for what each side was told.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local json = require "spec.support.json"

-- requests on connections of their own, all sent before an answer is read; the answers in order
local function at_once(n, requests)
    local clients, answers = {}, {}
    for i, r in ipairs(requests) do
        clients[i] = n:http()
        clients[i]:connect()
        local body = r[4] and json.encode(r[4]) or ""
        clients[i].bytes = ("%s %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"):format(r[2], r[3],
            r[1] and r[1].token or "none", #body, body)
    end
    for _, c in ipairs(clients) do c.sock:send(c.bytes) end
    for i, c in ipairs(clients) do
        local r = assert(c:read())
        answers[i] = {status = r.status, json = json.decode(r.body)}
        c:close()
    end
    return answers
end

local function count(answers, status)
    local found = 0
    for _, r in ipairs(answers) do
        assert(r.status < 500, json.encode(r.json))
        if r.status == status then found = found + 1 end
    end
    return found
end

describe("at the same moment", function()
    local n
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0", ["group.member_limit"] = "6"}
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    it("20 registrations of one name: one gets it, the others are told that it is taken", function()
        local requests = {}
        for i = 1, 20 do
            local name = i % 2 == 0 and "wanted" or "WANTED"
            requests[i] = {nil, "POST", "/api/auth/register", {username = name, password = "correct horse 9"}}
        end
        local answers = at_once(n, requests)
        assert.same({1, 19}, {count(answers, 200), count(answers, 409)})
    end)

    it("20 joins of a group with room for 5: five are in, the others are told that it is full", function()
        local owner, requests, people = n:person(), {}, {}
        local group = owner:group({}, "door")
        owner:put("/api/conversations/" .. group, {join_mode = "free"})
        for i = 1, 20 do
            people[i] = n:person()
            requests[i] = {people[i], "POST", "/api/conversations/" .. group .. "/join", {}}
        end
        local answers = at_once(n, requests)
        assert.same({5, 15}, {count(answers, 200), count(answers, 409)})
        assert.equal(6, owner:get("/api/conversations/" .. group .. "/members").json.total)
        for i, p in ipairs(people) do
            assert.equal(answers[i].status == 200 and 200 or 403, p:get("/api/conversations/" .. group).status)
        end
    end)

    it("10 accepts of one request: one of them accepts it", function()
        local owner, p = n:person(), n:person()
        local path = "/api/conversations/" .. owner:group({}, "requests")
        p:post(path .. "/join")
        local id = owner:get(path .. "/requests").json.data[1].id
        local requests = {}
        for i = 1, 10 do requests[i] = {owner, "POST", path .. "/requests/" .. id, {accept = i % 2 == 0}} end
        local answers = at_once(n, requests)
        assert.same({1, 9}, {count(answers, 200), count(answers, 404)})
    end)

    it("two who apply to each other and accept become contacts, once", function()
        for _ = 1, 5 do
            local a, b = n:person(), n:person()
            local answers = at_once(n, {{a, "POST", "/api/contacts/apply", {target_user_id = b.id}},
                {b, "POST", "/api/contacts/apply", {target_user_id = a.id}}, {a, "POST", "/api/contacts/apply", {target_user_id = b.id}}})
            assert.truthy(count(answers, 200) >= 2)
            assert.same({1, 1}, {a:get("/api/contacts").json.total, b:get("/api/contacts").json.total})
            assert.same({}, a:get("/api/contacts/requests").json.data)
            assert.same({}, b:get("/api/contacts/requests").json.data)
        end
    end)

    it("an owner who transfers to two people: one of them owns it then", function()
        local owner, a, b = n:person(), n:person(), n:person()
        local path = "/api/conversations/" .. owner:group({a, b}, "transfer")
        local answers = at_once(n, {{owner, "POST", path .. "/transfer", {user_id = a.id}},
            {owner, "POST", path .. "/transfer", {user_id = b.id}}})
        assert.same({1, 1}, {count(answers, 200), count(answers, 403)})
        local owners = 0
        for _, m in ipairs(owner:get(path .. "/members").json.data) do owners = owners + (m.role == "owner" and 1 or 0) end
        assert.equal(1, owners)
    end)

    it("20 recalls of one message: one change, the same for all", function()
        local a, b = n:person(), n:person()
        local m = a:say(a:chat(b), "once")
        local requests = {}
        for i = 1, 20 do requests[i] = {a, "POST", "/api/messages/" .. m.id .. "/revoke"} end
        for _, r in ipairs(at_once(n, requests)) do assert.same({200, 1}, {r.status, r.json.data.change}) end
    end)

    it("a message and its recall reach each socket in this order, and changes come in theirs", function()
        local a, b = n:person(), n:person()
        local group = a:group({b}, "order")
        local w, ear, h = a:socket("w"), b:socket("ear"), n:http()
        local known, last, revoked = {}, 0, 0
        local function hear(timeout)
            while true do
                local m = ear:next(timeout)
                if not m then return end
                if m.type == "new_message" then known[m.data.seq] = m.data.status end
                if m.type == "message_revoked" then
                    assert.truthy(known[m.data.seq], "revoked before it came")
                    assert.equal(last + 1, m.data.change)
                    last, revoked = m.data.change, revoked + 1
                end
            end
        end
        for i = 1, 300 do
            w:send {type = "message", data = {conversation_id = group, client_msg_id = "m" .. i, content = "x"}}
            local ack = w:want("message_ack")
            h:connect():send(("POST /api/messages/%d/revoke HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n"):format(
                ack.data.message_id, a.token))
            if i % 10 == 0 then
                for _ = 1, 10 do assert.equal(200, h:read().status) end
                hear(0)
            end
        end
        assert.truthy(node.eventually(function()
            hear(50)
            return revoked == 300
        end))
        for _, c in ipairs {w, ear, h} do c:close() end
    end)

    for what, case in pairs {
        dissolved = function(owner, path) return owner:delete(path) end,
        not_member = function(owner, path, who) return owner:delete(path .. "/members/" .. who.id) end,
        muted = function(owner, path, who)
            return owner:put(path .. "/members/" .. who.id .. "/mute", {until_ms = os.time() * 1000 + 600000})
        end,
    } do
        it("sends and the end of the right to send (" .. what .. "): nothing gets in once it was answered, no seq is lost", function()
            local owner, p = n:person(), n:person()
            local group = owner:group({p}, what)
            local c = p:socket("c")
            for round = 1, 2 do
                for i = 1, 100 do
                    c:send {type = "message", data = {conversation_id = group, client_msg_id = round .. "." .. i, content = "x"}}
                end
                if round == 1 then assert.equal(200, case(owner, "/api/conversations/" .. group, p).status) end
            end
            local acks, refused = 0, 0
            while acks + refused < 200 do
                local m = assert(c:next(20000 * node.slow))
                if m.type == "message_ack" then
                    assert.equal("1", m.data.client_msg_id:match("^%d"), "sent after the answer")
                    acks = acks + 1
                    assert.equal(acks, m.data.seq)
                elseif m.type == "error" then
                    assert.equal(what, m.data.code)
                    refused = refused + 1
                end
            end
            local all = owner:history(group)
            assert.equal(acks, #all)
            for i, m in ipairs(all) do assert.equal(i, m.seq) end
            c:close()
        end)
    end

    it("a block and messages: none gets in once the block was answered", function()
        local a, b = n:person(), n:person()
        local chat = a:chat(b)
        local c = a:socket("c")
        for i = 1, 50 do c:send {type = "message", data = {conversation_id = chat, client_msg_id = "m" .. i, content = "x"}} end
        assert.equal(200, b:post("/api/blocks", {user_id = a.id}).status)
        c:send {type = "message", id = "late", data = {conversation_id = chat, client_msg_id = "late", content = "x"}}
        local m
        repeat m = assert(c:next(20000 * node.slow)) until m.id == "late"
        assert.same({"error", "blocked"}, {m.type, m.data.code})
        c:close()
    end)

    it("a reader who pages sync while 2,000 messages come in gets each once, in order", function()
        local a, b = n:person(), n:person()
        local chat = a:chat(b)
        local w, r = a:socket("w"), b:socket("r")
        local key, have = tostring(chat), 0
        for round = 1, 20 do
            for i = 1, 100 do
                w:send {type = "message", data = {conversation_id = chat, client_msg_id = round .. "." .. i, content = "x"}}
            end
            local d = r:ask("sync", {sync_points = {[key] = have}, limit = 70}).data
            for _, m in ipairs(d.messages[key] or {}) do
                assert.equal(have + 1, m.seq)
                have = m.seq
            end
            assert.truthy(d.latest_seqs[key] >= have)
            assert.equal(d.latest_seqs[key] > have, d.has_more[key])
            for _ = 1, 100 do assert(w:want("message_ack", 20000 * node.slow)) end
        end
        local last = 0
        for _, m in ipairs(r.kept) do -- the pushes that came meanwhile
            if m.type == "new_message" then
                assert.truthy(last == 0 or m.data.seq == last + 1)
                last = m.data.seq
            end
        end
        w:close()
        r:close()
    end)

    it("30 sockets of one device that connect and end in any order leave nobody online", function()
        local a, b = n:person(), n:person()
        for _ = 1, 30 do
            local s = attack.raw(n, attack.handshake(n, b.token, "same"))
            if math.random(2) == 1 then s:recv(100, 5) end
            s:close(math.random(2) == 1)
        end
        -- a handshake that was read late may still replace the newer socket
        local c = node.eventually(function()
            local one = b:socket("same")
            if not one then return end
            if not one:none("notify", 100) or not one:ask("ping") then return one:close() end
            return one
        end)
        assert.truthy(a:get("/api/presence?user_ids=" .. b.id).json.data[1].online)
        c:close()
        assert.truthy(node.eventually(function() return not a:get("/api/presence?user_ids=" .. b.id).json.data[1].online end))
    end)
end)
