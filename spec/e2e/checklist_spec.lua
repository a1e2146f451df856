-- Lines of the conformance checklist (PROTOCOL.md section 19) to the letter, where the topic's own spec tests less than the line says.
local node = require "spec.support.node"
local http = require "spec.support.http"
local json = require "spec.support.json"
local ws = require "spec.support.ws"
local P = require "parley_spec"

describe("the checklist", function()
    local n, lena, tom
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0", ["recall.window"] = "2s", ["ws.resend_after"] = "1s"}
        lena, tom = n:person {display_name = "Lena"}, n:person {display_name = "Tom"}
    end)
    teardown(function() n:finish() end)

    it("[12] the newer socket of a device gets the pushes, and the end of the older one does not touch it", function()
        local chat = lena:chat(tom)
        local old, new = tom:socket("one"), tom:socket("one")
        assert.equal(4002, old:close_code())
        old:close()
        for i = 1, 20 do
            local seq = lena:say(chat, "m" .. i).seq
            assert.equal(seq, new:push("new_message").data.seq)
        end
        assert.truthy(lena:get("/api/presence?user_ids=" .. tom.id).json.data[1].online)
        new:close()
    end)

    it("[12] of 10 sockets of one device at once exactly the last stays", function()
        local socks = {}
        for i = 1, 10 do socks[i] = tom:socket("ten") end
        for i = 1, 9 do assert.equal(4002, socks[i]:close_code()) end
        assert.equal("pong", socks[10]:ask("ping").type)
        for _, c in ipairs(socks) do c:close() end
    end)

    it("[18] resends come ws.resend_after apart", function()
        local chat = lena:chat(tom)
        local c = tom:socket("resend")
        local since = P.now()
        lena:say(chat, "again and again")
        c:push("new_message")
        for attempt = 1, 3 do
            assert.equal(attempt, c:push("message_resend").data.attempt)
            assert.truthy(P.now() - since >= attempt * 980, ("%d: %d ms"):format(attempt, P.now() - since)) -- not too early
        end
        assert.truthy(c:none("message_resend", 1500))
        c:close()
    end)

    it("[18] a message recalled meanwhile is resent as placeholder, with its message_revoked behind it", function()
        local chat = lena:chat(tom)
        local m = lena:say(chat, "secret")
        local c = tom:socket("placeholder")
        local second
        assert.truthy(node.eventually(function() -- within the window, and before the first resend: else once more
            second = lena:say(chat, "secret too")
            assert.equal(second.seq, c:push("new_message").data.seq)
            return lena:post("/api/messages/" .. second.id .. "/revoke").status == 200
        end))
        c:push("message_revoked")
        local d
        repeat d = c:push("message_resend").data until d.seq == second.seq and d.status == "recalled"
        assert.same({}, d.content)
        local r = c:push("message_revoked").data
        assert.equal(second.seq, r.seq)
        assert.truthy(m.seq < second.seq)
        c:close()
    end)

    it("[24] the sender may recall within the window, not after it; owner and admin of a group may", function()
        local group = lena:group({tom, n:person()}, "window")
        local soon, r
        assert.truthy(node.eventually(function() -- a machine may take longer than the window once
            soon = tom:say(group, "soon")
            r = tom:post("/api/messages/" .. soon.id .. "/revoke")
            return r.status == 200
        end))
        local late = tom:say(group, "late")
        assert.truthy(node.eventually(function() return os.time() * 1000 > late.created_at_ms + 3000 end))
        local expired = tom:post("/api/messages/" .. late.id .. "/revoke")
        assert.same({409, "recall_expired"}, {expired.status, expired.json.code})
        assert.equal("cannot revoke message after 2 seconds", expired.json.error)
        assert.same(r.json.data, tom:post("/api/messages/" .. soon.id .. "/revoke").json.data) -- a repeat comes before the time
        assert.equal(200, lena:post("/api/messages/" .. late.id .. "/revoke").status)
        local own = tom:say(group, "by the admin")
        lena:put("/api/conversations/" .. group .. "/members/" .. tom.id .. "/role", {role = "admin"})
        local third = lena:say(group, "the owner's")
        assert.equal(200, tom:post("/api/messages/" .. third.id .. "/revoke").status)
        local last = tom:get("/api/conversations/" .. group).json.data
        assert.same({"recalled", {}, 3}, {last.last_message.status, last.last_message.body, last.latest_change})
        assert.truthy(own.seq > late.seq)
    end)

    it("[29] a login's end is seen by 20 other connections at once", function()
        local p = n:person()
        local clients = {}
        for i = 1, 20 do
            clients[i] = n:http()
            assert.equal(200, clients[i]:request("GET", "/api/users/me", {token = p.token}).status)
        end
        assert.equal(200, p:post("/api/auth/logout").status)
        for _, c in ipairs(clients) do
            assert.equal(401, c:request("GET", "/api/users/me", {token = p.token}).status)
            c:close()
        end
    end)

    -- walks an answer as text: ids are numbers below 2^53, nothing but last_message and a removed conversation is null
    local texts = {client_msg_id = true, device_id = true, request_id = true}
    local function walk(value, name, what)
        if type(value) ~= "table" then return end
        for key, v in pairs(value) do
            local where = what .. ": " .. name .. "." .. tostring(key)
            if key == "id" or tostring(key):find("_id$") and not texts[key] then
                assert(math.type(v) == "integer" and v >= 0 and v < 1 << 53, where)
            elseif tostring(key):find("seq$") or tostring(key):find("_ms$") then
                assert(math.type(v) == "integer" and v >= 0, where)
            end
            walk(v, tostring(key), what)
        end
    end
    local function checked(text, what)
        local bare = text:gsub('"last_message":null', ""):gsub('"conversation":null', "")
        assert.falsy(bare:find(":null", 1, true) or bare:find("[null", 1, true) or bare:find(",null", 1, true), what .. " " .. text)
        assert.falsy(text:find('": ', 1, true) or text:find('", "', 1, true), what)
        local value = json.decode(text)
        walk({data = value.data, total = value.total}, "", what) -- the id of a frame is the client's text
        return value
    end

    it("[39] ids are numbers below 2^53, lists are never null, nothing is null but a last message", function()
        local p, q = n:person(), n:person()
        local c = q:socket("raw")
        local raw = {}
        p:post("/api/contacts/apply", {target_user_id = q.id})
        local empty, group, chat = p:group({}, "empty"), p:group({q}, "group"), p:chat(q)
        p:say(group, "text")
        local m = p:say(group, "gone")
        p:post("/api/messages/" .. m.id .. "/revoke")
        for _, path in ipairs {"/api/users/me", "/api/users/" .. q.id, "/api/users/search?q=p", "/api/users/search?q=zzzzzz",
            "/api/contacts", "/api/contacts/requests", "/api/contacts/requests?direction=outgoing", "/api/blocks", "/api/presence",
            "/api/presence?user_ids=1", "/api/conversations", "/api/conversations/" .. empty, "/api/conversations/" .. chat,
            "/api/conversations/" .. group .. "/members", "/api/conversations/" .. group .. "/requests",
            "/api/messages/history?conversation_id=" .. empty,
            "/api/messages/history?conversation_id=" .. group} do
            local r = p:get(path)
            local value = checked(r.body, path)
            assert.equal(200, r.status, path)
            assert.truthy(value.data, path)
            if path:find("history") or path:find("s$") or path:find("search") or path:find("presence") then
                assert.truthy(r.body:find('"data":[', 1, true), path)
            end
        end
        p:post("/api/conversations/" .. group .. "/leave")
        for _, row in ipairs {{"/api/contacts/handle", {target_user_id = p.id, accept = true}},
            {"/api/conversations/" .. group .. "/members", {user_ids = {p.id}}},
            {"/api/messages/read", {conversation_id = chat, read_seq = 0}}, {"/api/conversations/" .. group .. "/leave"}} do
            checked(q:post(row[1], row[2]).body, row[1])
        end
        c:send {type = "sync", id = "s", data = {}}
        c:send {type = "presence_sub", id = "p", data = {user_ids = json.list {}}}
        for _, kind in ipairs {"contact_request", "conversation_update", "new_message", "message_revoked", "sync_resp", "contact_update"} do
            while not raw[kind] do
                local one, text = c:next()
                assert.truthy(one, kind)
                raw[one.type] = true
                checked(text, one.type)
            end
        end
        checked(c.welcome and json.encode(c.welcome), "welcome")
        local ops = http.new(n.ws_address)
        assert.truthy(ops:request("GET", "/stats").body:match '"total_connections":%d+')
        ops:close()
        c:close()
    end)

    it("[41] 1,200 recalls made while a device was offline arrive completely, once, by repeating", function()
        local group = lena:group({tom}, "recalls")
        local c, ids = lena:socket("w"), {}
        for i = 1, 1200 do c:send {type = "message", data = {conversation_id = group, client_msg_id = "m" .. i, content = "x"}} end
        for _ = 1, 1200 do
            local m = assert(c:want("message_ack", 20000 * node.slow)).data
            ids[m.seq] = m.message_id
        end
        lena:put("/api/conversations/" .. group .. "/members/" .. tom.id .. "/role", {role = "admin"})
        local h, change_of = n:http(), {}
        for from = 1, #ids, 50 do -- the time of a request counts from its first byte, also behind others on its connection
            local some = {}
            for i = from, from + 49 do
                some[#some + 1] = ("POST /api/messages/%d/revoke HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n"):format(ids[i],
                    lena.token)
            end
            h:connect():send(table.concat(some))
            for i = from, from + 49 do
                local r = assert(h:read())
                assert.equal(200, r.status, r.body)
                change_of[ids[i]] = json.decode(r.body).data.change
            end
        end
        h:close()
        local b, have, seen, rounds = tom:socket("b"), 0, {}, 0
        local key = tostring(group)
        repeat
            local d = b:ask("sync", {sync_points = {[key] = 1200}, change_points = {[key] = have}}).data
            assert.truthy(#d.changes <= 200)
            for _, one in ipairs(d.changes) do
                assert.equal(have + 1, one.change)
                assert.is_nil(seen[one.message_id])
                assert.equal(change_of[one.message_id], one.change)
                seen[one.message_id], have = true, one.change
            end
            rounds = rounds + 1
        until have == d.latest_changes[key] or rounds > 20
        assert.same({1200, 6}, {have, rounds})
        b:close()
        c:close()
    end)

    it("[49] a repeat gets the first ack also from a muted sender, by HTTP and by WebSocket", function()
        local group = lena:group({tom}, "muted")
        local c = tom:socket("t")
        local function send(cid) return c:ask("message", {conversation_id = group, client_msg_id = cid, content = "x"}) end
        local first = send("rep").data
        local until_ms = os.time() * 1000 + 600000
        assert.equal(200, lena:put("/api/conversations/" .. group .. "/members/" .. tom.id .. "/mute", {until_ms = until_ms}).status)
        local again = send("rep").data
        assert.same({first.message_id, first.seq, first.created_at_ms}, {again.message_id, again.seq, again.created_at_ms})
        assert.equal("muted", send("new").data.code)
        local r = tom:post("/api/messages", {conversation_id = group, client_msg_id = "rep", text = "y"})
        assert.same({200, first.message_id, "x"}, {r.status, r.json.data.id, r.json.data.body.text.text})
        assert.equal(200, lena:delete("/api/conversations/" .. group).status) -- dissolved
        assert.equal(first.message_id, send("rep").data.message_id)
        c:close()
    end)
end)

describe("the checklist, one node a line", function()
    it("[2] ops paths are refused to a peer that is not loopback, unless it has the token", function()
        local p = io.popen("hostname -I")
        local address = p:read("a"):match("%d+%.%d+%.%d+%.%d+")
        p:close()
        if not address then return pending("this machine has no address but loopback") end
        local n = node.start {["http.listen"] = "0.0.0.0:0", ["ws.listen"] = "0.0.0.0:0", ["ops.token"] = "ops secret"}
        local function ask(listener, path, headers)
            local c = http.new(address .. ":" .. listener:match("%d+$"))
            local r = c:request("GET", path, {headers = headers})
            c:close()
            return r.status, r.json and r.json.code
        end
        for _, path in ipairs {"/metrics", "/debug/", "/debug/x", "/debug"} do
            assert.same({403, "forbidden"}, {ask(n.http_address, path)}, path)
            assert.same({403, "forbidden"}, {ask(n.ws_address, path)}, path)
        end
        assert.same({403, "forbidden"}, {ask(n.ws_address, "/stats")})
        assert.same({403, "forbidden"}, {ask(n.ws_address, "/stats", {"X-Ops-Token: ops secre"})})
        assert.same({403, "forbidden"}, {ask(n.ws_address, "/stats", {"X-Forwarded-For: 127.0.0.1"})})
        assert.equal(200, (ask(n.ws_address, "/stats", {"X-Ops-Token: ops secret"})))
        assert.equal(200, (ask(n.ws_address, "/metrics", {"Authorization: Bearer ops secret"})))
        assert.equal(200, (ask(n.http_address, "/healthz")))
        n:finish()
    end)

    it("[8] a peer that vanished is dropped; one that answers nothing but lives stays", function()
        local n = node.start {["ws.mode"] = "open", ["ws.ping_interval"] = "500ms", ["ws.dead_after"] = "2s"}
        local function open(id) return assert(ws.open(n.ws_address, "/ws?user_id=" .. id)) end
        local gone, quiet = open(100001), open(100002)
        gone:next()
        quiet:next()
        local metrics = n:http()
        local function live()
            return tonumber(metrics:request("GET", "/metrics").body:match("\nparley_ws_connections (%d+)"))
        end
        assert.equal(2, live())
        gone.sock:vanish()
        assert.truthy(node.eventually(function() return live() == 1 end))
        assert.equal("pong", quiet:ask("ping").type)
        metrics:close()
        gone:close()
        quiet:close()
        n:finish()
    end)

    it("[25] a push of presence comes for the first socket, offline after the last of two only", function()
        local n = node.start {["presence.grace"] = "300ms"}
        local a, b = n:person(), n:person()
        a:post("/api/contacts/apply", {target_user_id = b.id})
        b:post("/api/contacts/handle", {target_user_id = a.id, accept = true})
        local ear = a:socket("ear")
        ear:ask("presence_sub", {user_ids = {b.id}})
        local one = b:socket("one")
        assert.truthy(ear:push("presence").data.online)
        local two = b:socket("two")
        one:close()
        assert.truthy(ear:none("presence", 900))
        assert.truthy(a:get("/api/presence?user_ids=" .. b.id).json.data[1].online)
        local closed = os.time()
        two:close()
        local last = ear:push("presence").data
        assert.same({b.id, false}, {last.user_id, last.online})
        assert.truthy(last.last_seen_unix >= closed - 1 and last.last_seen_unix <= os.time(), last.last_seen_unix - closed)
        ear:close()
        n:finish()
    end)

    it("[47] sync of a user with 2,500 conversations comes in parts of at most 256 KiB; merged, each is there once", function()
        local n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        local lena = n:person()
        local ids, clients = {}, {}
        local body = json.encode {type = 2, title = ("t"):rep(64), member_ids = json.list {}}
        local create = ("POST /api/conversations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"):format(
            lena.token, #body, body)
        for i = 1, 25 do clients[i] = n:http() end
        for _ = 1, 20 do -- few at a time: that of a request counts from its first byte, also behind others on its connection
            for _, c in ipairs(clients) do c:connect():send(create:rep(5)) end
            for _, c in ipairs(clients) do
                for _ = 1, 5 do
                    local r = assert(c:read())
                    assert.equal(200, r.status, r.body)
                    ids[#ids + 1] = json.decode(r.body).data.id
                end
            end
        end
        for _, c in ipairs(clients) do c:close() end
        local c = lena:socket("w")
        for i, id in ipairs(ids) do
            c:send {type = "message", data = {conversation_id = id, client_msg_id = "m", content = ("x"):rep(700)}}
            if i % 100 == 0 then for _ = 1, 100 do assert(c:want("message_ack", 20000 * node.slow)) end end
        end
        for _, list_only in ipairs {true, false} do
            c:send {type = "sync", id = "big", data = {list_only = list_only}}
            local seen, parts, messages, bytes, more = {}, 0, 0, 0, 0
            repeat
                local m, text = c:want("sync_resp", 20000 * node.slow)
                parts = parts + 1
                assert.equal("big", m.id)
                assert.truthy(#text <= 262144, #text)
                local d, count = m.data, 0
                for key, latest in pairs(d.latest_seqs) do
                    assert.is_nil(seen[key], key)
                    assert.equal(1, latest)
                    assert.same({0, 0, 1}, {d.latest_changes[key], d.unread[key], d.read_seqs[key]})
                    seen[key], count = true, count + 1
                    assert.equal(type(d.has_more[key]), "boolean")
                    more = more + (d.has_more[key] and 1 or 0)
                end
                assert.truthy(count <= 1000)
                for key, list in pairs(d.messages) do
                    assert.truthy(d.latest_seqs[key], "messages of a conversation of another part")
                    for _, one in ipairs(list) do
                        messages, bytes = messages + 1, bytes + 700
                        assert.equal(key, tostring(one.conversation_id))
                    end
                end
                for _, key in ipairs {"has_more", "unread", "read_seqs", "latest_changes", "changes", "denied", "server_time"} do
                    assert.truthy(d[key] ~= nil, key)
                end
            until not m.data.partial
            assert.truthy(parts >= 3, parts)
            local count = 0
            for _, id in ipairs(ids) do count = count + (seen[tostring(id)] and 1 or 0) end
            assert.equal(2500, count)
            if list_only then
                assert.same({0, 2500}, {messages, more})
            else
                assert.truthy(messages > 500 and messages <= 1000 and bytes <= 1048576, messages)
                assert.equal(2500 - messages, more)
            end
        end
        c:close()
        n:finish()
    end)
end)
