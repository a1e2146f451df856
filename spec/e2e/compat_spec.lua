-- The reference web client (PROTOCOL.md section 18) against a node with the limits as shipped: its calls in their order and their exact
-- form, for two people from their registration to a call and a file, lost sockets and expired logins. The client itself:
-- spec/support/web_client.lua.
local node = require "spec.support.node"
local files = require "spec.support.files"
local http = require "spec.support.http"
local json = require "spec.support.json"
local jwt = require "spec.support.jwt"
local web = require "spec.support.web_client"

local PASSWORD <const> = "correct horse 9"
local AS_SHIPPED <const> = {
    ["ws.mode"] = "open", ["limits.auth_addr"] = "5/50", ["limits.http_addr"] = "200/400", ["limits.http_user"] = "50/100",
    ["limits.handshake_addr"] = "100/400",
}
local function start(conf)
    local all = {}
    for key, v in pairs(AS_SHIPPED) do all[key] = v end
    for key, v in pairs(conf or {}) do all[key] = v end
    return node.start(all)
end

-- What it has called since it was last asked.
local function called(page)
    local log = page.log
    page.log = {}
    return log
end

local function history_of(chat) return ("GET /api/messages/history?conversation_id=%d&after_seq=0&limit=100"):format(chat) end

math.randomseed(18)

describe("the reference web client", function()
    local n, lena, tom, chat
    setup(function() n = start {["call.stun"] = "stun:stun.example.org:3478"} end)
    teardown(function()
        lena:close()
        tom:close()
        n:finish()
    end)

    it("gets its page at each address it shows in the browser, and what it asks for besides is no page", function()
        local c = n:http()
        for _, path in ipairs {"/", "/login", "/register", "/chat"} do
            local r = c:request("GET", path, {headers = {"Accept: text/html,application/xhtml+xml"}})
            assert.equal(200, r.status, path)
            assert.truthy(r.headers["content-type"]:find("text/html", 1, true))
        end
        assert.equal(404, c:request("GET", "/assets/none.js").status)
        c:close()
    end)

    it("registers and logs in; why it failed comes as text it knows, never as 401", function()
        lena, tom = web.new(n), web.new(n)
        local profile = lena:register("lena.k", PASSWORD, "Lena")
        assert.same({"lena.k", "Lena", "", "active"},
            {profile.user.username, profile.user.display_name, profile.user.avatar_url, profile.status})
        assert.truthy(tom:register("tom", PASSWORD, ""))
        assert.same({"POST /api/auth/register"}, called(lena)) -- the profile came with the tokens
        local stranger = web.new(n)
        assert.same({nil, "username already taken", 409}, {stranger:register("TOM", PASSWORD, "")})
        assert.same({nil, "invalid username or password", 400}, {stranger:login("tom", "wrong horse 9")})
        assert.same({nil, "invalid username or password", 400}, {stranger:login("nobody", PASSWORD)})
        assert.same({nil, "password must have 8 to 128 characters", 400}, {stranger:register("new", "short", "")})
        stranger:close()
        called(tom)
        assert.equal("tom", tom:login("tom", PASSWORD).user.username)
        assert.same({"POST /api/auth/login"}, called(tom))
    end)

    it("enters an empty chat: both lists, no presence, no history, the socket", function()
        lena:enter()
        tom:enter()
        for _, page in ipairs {lena, tom} do
            assert.same({"GET /api/conversations", "GET /api/contacts"}, called(page))
            assert.same({{}, {}}, {page.conversations, page.contacts})
            page:settle()
            assert.same({pong = 1}, page.ignored) -- the welcome is a notify
        end
    end)

    it("makes friends, and each refusal has a text it translates", function()
        local function apply(page, id) return {page:post("/api/contacts/apply", {target_user_id = id, remark = "hi"})} end
        local function handle(page, id) return {page:post("/api/contacts/handle", {target_user_id = id, accept = true})} end
        assert.same({{status = "pending"}}, apply(lena, tom:id()))
        assert.same({nil, "cannot add yourself as contact", 400}, apply(lena, lena:id()))
        assert.same({nil, "target user not found", 404}, apply(lena, 999999))
        assert.same({nil, "contact apply not found", 404}, handle(lena, tom:id()))
        local requests = tom:get "/api/contacts/requests"
        assert.same({lena:id(), "hi", "pending"}, {requests[1].from.id, requests[1].message, requests[1].status})
        assert.same({{status = "accepted"}}, handle(tom, lena:id()))
        assert.same({nil, "already contact", 409}, apply(tom, lena:id()))
        local mia = web.new(n)
        mia:register("mia", PASSWORD, "")
        assert.truthy(mia:post("/api/blocks", {user_id = tom:id()}))
        assert.same({nil, "contact is blocked", 403}, apply(tom, mia:id()))
        mia:close()
        for _, page in ipairs {lena, tom} do
            called(page)
            page:settle()
            page:poll(true)
            local other = page == lena and tom or lena
            assert.same({"GET /api/conversations", "GET /api/contacts", "GET /api/presence?user_ids=" .. other:id()}, called(page))
            assert.same({other:id(), true}, {page.contacts[1].id, page.online[other:id()]})
        end
        tom:wait(function() return tom.ignored.contact_request end) -- newer than it: ignored
        lena:wait(function() return lena.ignored.contact_update end)
    end)

    it("opens a chat, sends texts, and shows each once on both pages", function()
        chat = assert(lena:post("/api/conversations", {type = 1, title = "", member_ids = {tom:id()}})).id
        lena:poll()
        tom:poll()
        assert.same({"tom", "Lena"}, {lena.conversations[1].title, tom.conversations[1].title})
        called(lena)
        lena:open(chat)
        assert.same({history_of(chat)}, called(lena)) -- empty: nothing to read
        for i = 1, 3 do assert(lena:send_text(chat, "text " .. i)) end
        lena:read_now(chat)
        assert.same({
            "POST /api/messages", "POST /api/messages", "POST /api/messages", "POST /api/messages/read",
        }, called(lena))
        tom:wait(function() return #tom:shown(chat) == 3 end)
        lena:settle() -- its own come back as pushes, since its requests name no device
        for _, page in ipairs {lena, tom} do assert.same({"text 1", "text 2", "text 3"}, page:shown(chat)) end
        assert.same({0, 3}, {lena.unread[chat], tom.unread[chat]})
    end)

    it("reads: the badge falls, the other side is told once, the reader is not", function()
        called(tom)
        tom:open(chat)
        assert.same({history_of(chat), "POST /api/messages/read"}, called(tom))
        assert.equal(0, tom.unread[chat])
        lena:wait(function() return lena.read_by[chat] == 3 end)
        assert(lena:send_text(chat, "with Tom looking"))
        tom:wait(function() return tom.marks[chat] end)
        assert.equal(0, tom.unread[chat])
        tom:read_now(chat)
        lena:wait(function() return lena.read_by[chat] == 4 end)
        tom:settle()
        assert.is_nil(tom.read_by[chat])
        lena:poll()
        assert.same({0, 4, 4}, {lena.conversations[1].unread, lena.conversations[1].read_seq, lena.conversations[1].latest_seq})
        assert.equal("with Tom looking", lena.conversations[1].last_message.body.text.text)
        assert.same({nil, "sender not in conversation", 403}, {lena:send_text(chat + 1000, "nobody")})
    end)

    it("recalls: both pages show it, the list too", function()
        local m = lena:send_text(chat, "a slip")
        tom:wait(function() return #tom:shown(chat) == 5 end)
        local answer = assert(lena:recall(m.id))
        assert.same({m.id, chat, m.seq, "recalled"}, {answer.message_id, answer.conversation_id, answer.seq, answer.status})
        for _, page in ipairs {lena, tom} do page:wait(function() return page:shown(chat)[5] == "-" end) end
        tom:open(chat)
        assert.equal("-", tom:shown(chat)[5])
        tom:poll()
        assert.same({"recalled", {}}, {tom.conversations[1].last_message.status, tom.conversations[1].last_message.body})
    end)

    it("a new page of the same person starts where they left off, and an old device's socket stays beside it", function()
        local page = web.new(n, {session = tom})
        page:enter()
        assert.same({
            "GET /api/conversations", "GET /api/contacts", "GET /api/presence?user_ids=" .. lena:id(), history_of(chat),
            "POST /api/messages/read",
        }, called(page))
        page:settle() -- nothing is replayed that another device has read
        assert.equal(5, #page:shown(chat))
        assert(lena:send_text(chat, "to both pages"))
        for _, p in ipairs {page, tom} do p:wait(function() return p:shown(chat)[6] == "to both pages" end) end
        page:close()
    end)

    it("profile: empty means unchanged", function()
        assert.equal("Lena K", lena:api("PUT", "/api/users/me", {display_name = "Lena K", avatar_url = ""}).user.display_name)
        assert.equal("Lena K", lena:api("PUT", "/api/users/me", {display_name = "", avatar_url = ""}).user.display_name)
        tom:poll()
        assert.equal("Lena K", tom.conversations[1].title)
    end)

    it("asks for the presence of 500 contacts in one address", function()
        local ids = {}
        for i = 1, 500 do ids[i] = "user_ids=" .. ((1 << 53) - i) end
        local items = assert(lena:get("/api/presence?" .. table.concat(ids, "&")))
        assert.same({500, (1 << 53) - 500, false}, {#items, items[500].user_id, items[500].online})
    end)

    describe("calls", function()
        before_each(function()
            for _, page in ipairs {lena, tom} do
                page:settle()
                page.call, page.ended = nil, nil
            end
        end)
        local function ring(kind)
            assert(lena:ring(tom:id(), chat, kind or "audio"))
            tom:wait(function() return tom.call end)
            assert.same({lena.call.id, lena:id(), kind or "audio", "incoming"}, {tom.call.id, tom.call.peer, tom.call.type, tom.call.state})
        end
        local function talk(kind)
            ring(kind)
            local ok, data = tom:accept()
            assert.same({true, nil}, {ok, data})
            lena:wait(function() return lena.call.state == "accepted" end)
            tom:wait(function() return tom.call.sdp end)
            lena:wait(function() return lena.call.sdp end)
        end
        local function free()
            lena:settle()
            tom:settle()
            assert.is_nil(lena.call)
            assert.is_nil(tom.call)
        end

        it("ring, accept, offer and answer, candidates both ways, hang up", function()
            talk "video"
            for _, page in ipairs {lena, tom} do
                assert.same({{"stun:stun.example.org:3478"}, {}}, {page.call.stun, page.call.turn})
            end
            assert.same({sdp_type = "offer", sdp = "v=0\r\no=- 1 of " .. tom.call.id .. "\r\n"}, tom.call.sdp)
            assert.same({sdp_type = "answer", sdp = "v=0\r\no=- 2 of " .. tom.call.id .. "\r\n"}, lena.call.sdp)
            for i = 1, 20 do
                assert(lena:send_candidate("candidate:" .. i .. " 1 udp 2122 192.0.2.7 50000 typ host", "0", 0))
                assert(tom:send_candidate("candidate:" .. i .. " 1 tcp 1518 192.0.2.8 9 typ host"))
            end
            for _, page in ipairs {lena, tom} do
                page:wait(function() return #page.call.ice == 20 end)
                for i, c in ipairs(page.call.ice) do assert.equal("candidate:" .. i, c.candidate:match "^%S+") end
            end
            assert.same({"0", 0}, {tom.call.ice[1].sdp_mid, tom.call.ice[1].sdp_mline_index})
            assert.same({nil, nil}, {lena.call.ice[1].sdp_mid, lena.call.ice[1].sdp_mline_index})
            assert(lena:hang_up())
            tom:wait(function() return tom.ended end)
            assert.same({"call_ended", "hangup", nil}, {tom.ended.action, tom.ended.reason, tom.call})
            free()
        end)

        it("rejected, cancelled, hung up while it rings", function()
            local before = #tom:shown(chat)
            ring()
            assert(tom:reject())
            lena:wait(function() return lena.ended end)
            assert.same({"call_rejected", "decline"}, {lena.ended.action, lena.ended.reason})
            for _, act in ipairs {"cancel", "hang_up"} do
                ring()
                tom.ended = nil
                assert(lena[act](lena))
                tom:wait(function() return tom.ended end)
                assert.same({"call_ended", "cancelled"}, {tom.ended.action, tom.ended.reason})
            end
            ring()
            lena.ended = nil
            assert(tom:hang_up())
            lena:wait(function() return lena.ended end)
            assert.same({"call_rejected", "hangup"}, {lena.ended.action, lena.ended.reason})
            free()
            tom:wait(function() return #tom:shown(chat) == before + 2 end)
            local shown = tom:shown(chat)
            assert.same({"[missed audio call]", "[missed audio call]"}, {shown[#shown - 1], shown[#shown]})
        end)

        it("busy: of one who is in a call; of one page while another rings on", function()
            talk()
            local mia = web.new(n)
            mia:login("mia", PASSWORD)
            mia:connect()
            assert.same({nil, "busy"}, {mia:ring(lena:id(), 0, "audio")})
            tom:settle()
            assert.equal("accepted", tom.call.state)
            assert(lena:hang_up())
            tom:wait(function() return tom.ended end)
            tom.ended = nil
            local second = web.new(n, {session = tom})
            second:connect()
            second.call = {id = "one of its own"} -- what it believes
            ring()
            second:wait(function() return second.said_busy end)
            second:wait(function() return second.answers[second.said_busy] end)
            assert(tom:accept())
            lena:wait(function() return lena.call.state == "accepted" end)
            second:settle()
            assert.is_nil(second.ended)
            assert(tom:hang_up())
            lena:wait(function() return lena.ended end)
            second:close()
            mia:close()
            free()
        end)

        it("nobody there: it is told that the call was rejected, or it would ring for ever", function()
            local gone = web.new(n)
            gone:register("gone", PASSWORD, "")
            assert(lena:ring(gone:id(), 0, "video"))
            assert.equal("", lena.call.id)
            lena:wait(function() return lena.ended end)
            assert.same({"call_rejected", "unavailable", nil}, {lena.ended.action, lena.ended.reason, lena.call})
            gone:enter()
            gone:wait(function() return gone:shown(gone.conversations[1].id)[1] == "[missed video call]" end)
            gone:close()
            free()
        end)

        it("a socket that is lost and comes back keeps its call", function()
            talk "video"
            lena:reconnect()
            assert(lena:send_candidate("candidate:9 1 udp 1 192.0.2.7 9 typ host", "0", 0))
            tom:wait(function() return #tom.call.ice == 1 end)
            tom:reconnect()
            assert(tom:hang_up())
            lena:wait(function() return lena.ended end)
            assert.equal("hangup", lena.ended.reason)
            free()
        end)

        it("errors come with the id of what was asked", function()
            assert.same({nil, "call not found: none", "call_not_found"}, {lena:signal("accept", {call_id = "none"})})
            assert.same({nil, "unknown signaling action: dance", "bad_request"}, {lena:signal("dance", {})})
        end)
    end)

    describe("a lost socket", function()
        it("is made up for by the replay: what came meanwhile is pushed by itself, each shown once, in order", function()
            tom:settle()
            local before = #tom:shown(chat)
            tom.opened = nil
            local unread = tom.unread[chat]
            tom.socket:close(true)
            for i = 1, 30 do assert(lena:send_text(chat, "while away " .. i)) end
            called(tom)
            tom:reconnect()
            tom:wait(function() return #tom:shown(chat) == before + 30 end)
            for i = 1, 30 do assert.equal("while away " .. i, tom:shown(chat)[before + i]) end
            assert.same({}, called(tom))
            assert.equal(unread + 30, tom.unread[chat])
            tom:settle()
            tom:reconnect()
            tom:settle() -- all of it was acked
            assert.same({before + 30, unread + 30}, {#tom:shown(chat), tom.unread[chat]})
        end)

        it("also when the node was killed and is started again", function()
            local before = #tom:shown(chat)
            assert(lena:send_text(chat, "before the crash"))
            n:crash()
            n:up()
            lena:reconnect()
            assert(lena:send_text(chat, "after it"))
            tom:reconnect()
            tom:wait(function() return #tom:shown(chat) == before + 2 end)
            local shown = tom:shown(chat)
            assert.same({"before the crash", "after it"}, {shown[before + 1], shown[before + 2]})
            lena:settle()
            lena:open(chat)
            assert.same(lena:shown(chat), tom:shown(chat))
        end)
    end)

    describe("files", function()
        it("ticket, PUT without a token, complete; the other page loads object_key as it stands", function()
            called(lena)
            for _, f in ipairs {
                {"cat.png", "image/png", files.png(640, 480, 48211)},
                {"note.ogg", "audio/ogg", "OggS" .. ("\0"):rep(200)},
                {"\u{72ab}.pdf", "application/pdf", "%PDF-1.7 " .. ("x"):rep(3000)},
                {"clip.mp4", "video/mp4", "\0\0\0\24ftypmp42" .. ("v"):rep(99)},
            } do
                local filename, content_type, bytes = f[1], f[2], f[3]
                local m = assert(lena:send_file(chat, filename, content_type, bytes))
                local put = lena.log[2]
                assert.truthy(put:find("^PUT /api/files/blob/%d+%?"), put)
                assert.same({"POST /api/files/upload", put, "POST /api/files/complete"}, called(lena))
                tom:wait(function() return tom:shown(chat)[m.seq] == filename end)
                local got = tom.messages[chat][m.seq].content
                local kind = content_type:match "^(%a+)/" == "application" and "file" or content_type:match "^(%a+)/"
                local ref = assert(got[kind], json.encode(got))
                assert.same({filename, content_type, #bytes}, {ref.filename, ref.content_type, ref.size_bytes})
                local loaded = tom:load_media(ref.object_key)
                assert.same({200, content_type, bytes}, {loaded.status, loaded.headers["content-type"], loaded.body})
                assert.equal(403, tom:load_media((ref.object_key:gsub("exp=%d", "exp=9"))).status)
            end
            local shown = tom:shown(chat)
            tom:open(chat)
            assert.same(shown, tom:shown(chat))
        end)

        it("what cannot be sent is refused with a text", function()
            local ticket = {filename = "a.png", content_type = "image/png", size_bytes = (10 << 20) + 1, kind = "image"}
            assert.same({nil, "file too large", 413}, {lena:post("/api/files/upload", ticket)})
            assert.same({nil, "file not found", 404}, {lena:post("/api/files/complete", {
                conversation_id = chat, client_msg_id = "V1StGXR8_Z5jdHi6B-myT", object_key = "/api/files/blob/999999",
            })})
        end)
    end)
end)

describe("the reference web client and its login", function()
    local n, lena
    local life = node.slow > 1 and 10 or 5
    setup(function()
        n = start {["auth.access_ttl"] = life .. "s"}
        lena = web.new(n)
        lena:register("lena", PASSWORD, "")
        lena:enter()
    end)
    teardown(function()
        lena:close()
        n:finish()
    end)
    local function expired()
        local ends = jwt.read(lena.access).exp
        assert.truthy(node.eventually(function() return os.time() > ends end, 20000))
        called(lena)
    end
    local BOTH <const> = {"GET /api/conversations", "GET /api/contacts"}
    local AGAIN <const> = {BOTH[1], BOTH[2], "POST /api/auth/refresh", BOTH[1], BOTH[2]}

    it("an expired token costs one refresh for all calls under way, and one more try of each; the socket stays", function()
        for _ = 1, 2 do
            expired()
            lena:poll()
            assert.same(AGAIN, called(lena))
            assert.equal("/chat", lena.page)
        end
        lena:settle()
        expired()
        assert.same({nil, "invalid conversation type", 400}, {lena:post("/api/conversations", {type = 3, member_ids = json.list {}})})
        assert.same({"POST /api/conversations", "POST /api/auth/refresh", "POST /api/conversations"}, called(lena))
    end)

    it("two pages that share a token may refresh it at once: both go on", function()
        local twin = web.new(n, {session = lena})
        expired()
        lena:poll()
        twin:poll()
        assert.same(AGAIN, called(lena))
        assert.same({"/chat", "/chat", true}, {lena.page, twin.page, lena.refresh == twin.refresh})
        twin:close()
    end)

    it("a login that has ended elsewhere: one refresh, then the login page", function()
        expired()
        lena:poll() -- now it has a fresh token
        assert.equal(200, n:api("POST", "/api/auth/logout", {token = lena.access, body = {}}).status)
        called(lena)
        lena:poll()
        assert.same({BOTH[1], BOTH[2], "POST /api/auth/refresh"}, called(lena))
        assert.same({"/login", nil}, {lena.page, lena.access})
        local said = http.new(n.http_address)
        assert.equal("invalid token", said:request("GET", "/api/users/me", {token = "x.y.z"}).json.error)
        said:close()
    end)
end)

describe("the reference web client and a slow server", function()
    it("knows the text of a deadline", function()
        local n = start {["http.deadline"] = "200ms"}
        local c = n:http()
        local r = c:raw("POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        assert.equal(504, r.status)
        assert.truthy(r.body:find("context deadline exceeded", 1, true))
        c:close()
        n:finish()
    end)
end)
