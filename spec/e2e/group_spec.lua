-- PROTOCOL.md rows 22 to 40 and section 13: conversations and groups.
local node = require "spec.support.node"
local json = require "spec.support.json"

local function code(r) return {r.status, r.json.code, r.json.error} end

describe("conversations", function()
    local n, lena, tom, mia
    setup(function()
        n = node.start {["group.member_limit"] = "5"}
        lena, tom, mia = n:person {display_name = "Lena"}, n:person {display_name = "Tom"}, n:person {display_name = "Mia"}
    end)
    teardown(function() n:finish() end)

    it("[30] 20 concurrent creations of a single chat give one id, titled by the other side", function()
        local a, b = n:person {display_name = "Left"}, n:person {display_name = "Right"}
        local clients, ids = {}, {}
        for i = 1, 20 do
            local me, other = a, b
            if i % 2 == 0 then me, other = b, a end
            local body = json.encode {type = 1, member_ids = {other.id}}
            clients[i] = n:http()
            clients[i]:connect():send((
                "POST /api/conversations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s")
                :format(me.token, #body, body))
        end
        for i = 1, 20 do
            local r = clients[i]:read()
            assert.equal(200, r.status, r.body)
            local d = json.decode(r.body).data
            ids[d.id] = true
            assert.equal(i % 2 == 0 and "Left" or "Right", d.title)
            clients[i]:close()
        end
        local id, more = next(ids)
        assert.is_nil(next(ids, id), more)
    end)

    it("a brief has all keys of section 5", function()
        local id = lena:chat(tom)
        local d = lena:get("/api/conversations/" .. id).json.data
        assert.same({1, "Tom", "", 0, tom.id, 2, 2, "member", "", "approval", false, 0, false, false, "active", 0, 0, 0, 0},
            {d.type, d.title, d.avatar_url, d.owner_id, d.peer_id, d.member_count, d.member_limit, d.role, d.announcement, d.join_mode,
                d.mute_all, d.muted_until_ms, d.pinned, d.muted, d.status, d.unread, d.read_seq, d.latest_seq, d.latest_change})
        assert.is_nil(d.last_message)
        assert.truthy(d.updated_at_ms > 0)
    end)

    it("bad creations are refused with their texts", function()
        local function create(body) return code(lena:post("/api/conversations", body)) end
        assert.same({400, "bad_request", "invalid conversation type"}, create {type = 3, member_ids = {tom.id}})
        local one = {400, "bad_request", "single conversation requires exactly one other member"}
        assert.same(one, create {type = 1, member_ids = json.list {}})
        assert.same(one, create {type = 1, member_ids = {lena.id}})
        assert.same(one, create {type = 1, member_ids = {tom.id, mia.id}})
        assert.same({404, "not_found", "target user not found"}, create {type = 1, member_ids = {99999999}})
        assert.same({404, "not_found", "target user not found"}, create {type = 2, member_ids = {tom.id, 99999999}})
        assert.same({409, "group_full", "member limit exceeded"}, create {type = 2, member_ids = {91, 92, 93, 94, 95}})
        assert.same({400, "bad_request", "invalid request"}, create {type = 2, member_ids = "x"})
        assert.same({400, "bad_request", "invalid request"}, create {type = 2, title = ("x"):rep(65), member_ids = json.list {}})
    end)

    it("a new group is pushed to everybody; its list order is pinned first, then newest", function()
        local p, q = n:person(), n:person()
        local cq = q:socket("q")
        local first = p:group({q}, "first")
        local push = cq:push("conversation_update").data
        assert.same({first, "created", "first", "member"},
            {push.conversation_id, push.action, push.conversation.title, push.conversation.role})
        local second = p:group({q}, "second")
        p:say(second, "newest")
        local r = q:get("/api/conversations")
        assert.same({2, second, first}, {r.json.total, r.json.data[1].id, r.json.data[2].id})
        assert.equal("newest", r.json.data[1].last_message.body.text.text)
        assert.equal(200, q:put("/api/conversations/" .. first .. "/settings", {pinned = true}).status)
        r = q:get("/api/conversations")
        assert.equal(first, r.json.data[1].id)
        assert.equal(304, q:api("GET", "/api/conversations", nil, {headers = {"If-None-Match: " .. r.headers.etag}}).status)
        assert.equal("private, no-cache", r.headers["cache-control"])
        r = q:get("/api/conversations?limit=1")
        local next_page = q:get("/api/conversations?limit=1&cursor=" .. r.json.next_cursor)
        assert.equal(second, next_page.json.data[1].id)
        assert.equal("", next_page.json.next_cursor)
        assert.equal(400, q:get("/api/conversations?cursor=nonsense").status)
        cq:close()
    end)

    it("[44] a title change reaches all as the same bytes, without keys of the viewer's own", function()
        local group = lena:group({tom, mia}, "old")
        local a, b, own = tom:socket("a"), mia:socket("b"), lena:socket("o")
        assert.equal(200, lena:put("/api/conversations/" .. group, {title = "new"}).status)
        local raw = {}
        for i, c in ipairs {a, b, own} do
            repeat
                local m, text = c:want("conversation_update")
                raw[i] = text
            until m.data.action == "updated"
        end
        assert.equal(raw[1], raw[2])
        assert.equal(raw[1], raw[3])
        local d = json.decode(raw[1]).data.conversation
        for _, key in ipairs {"unread", "role", "pinned", "muted", "read_seq", "peer_id", "last_message"} do assert.is_nil(d[key], key) end
        assert.same({"new", lena.id, 3}, {d.title, d.owner_id, d.member_count})
        a:close()
        b:close()
        own:close()
    end)

    it("only owner and admins administer; only the owner sets admins, transfers and dissolves", function()
        local group = lena:group({tom, mia}, "roles")
        local path = "/api/conversations/" .. group
        assert.same({403, "forbidden", "no permission"}, code(tom:put(path, {title = "x"})))
        assert.same({403, "forbidden", "no permission"}, code(tom:put(path .. "/announcement", {text = "x"})))
        assert.same({403, "forbidden", "no permission"}, code(tom:put(path .. "/members/" .. mia.id .. "/role", {role = "admin"})))
        assert.equal("admin", lena:put(path .. "/members/" .. tom.id .. "/role", {role = "admin"}).json.data.role)
        assert.equal("x", tom:put(path, {title = "x"}).json.data.title)
        assert.equal("note", tom:put(path .. "/announcement", {text = "note"}).json.data.announcement)
        assert.same({403, "forbidden", "no permission"}, code(tom:delete(path .. "/members/" .. lena.id)))
        assert.same({403, "forbidden", "no permission"}, code(tom:delete(path)))
        assert.same({403, "forbidden", "no permission"}, code(tom:post(path .. "/transfer", {user_id = mia.id})))
        assert.same({403, "forbidden", "no permission"}, code(lena:post(path .. "/leave")))
        local r = lena:post(path .. "/transfer", {user_id = mia.id})
        assert.same({mia.id, "admin"}, {r.json.data.owner_id, r.json.data.role})
        assert.same({400, "bad_request", "invalid user id"}, code(mia:delete(path .. "/members/" .. mia.id)))
        assert.same({404, "not_found"}, {mia:delete(path .. "/members/99999999").status, "not_found"})
        assert.same({200, {}}, (function(x) return {x.status, x.json.data} end)(lena:post(path .. "/leave")))
        assert.same({403, "not_member", "not a conversation member"}, code(lena:get(path)))
    end)

    it("[31] muted, mute_all, dissolved and removed members cannot send", function()
        local group = lena:group({tom, mia}, "quiet")
        local path = "/api/conversations/" .. group
        local count = 0
        local function try(p)
            count = count + 1
            return code(p:post("/api/messages", {conversation_id = group, client_msg_id = "q" .. count, text = "x"}))
        end
        local until_ms = os.time() * 1000 + 60000
        assert.equal(until_ms, lena:put(path .. "/members/" .. tom.id .. "/mute", {until_ms = until_ms}).json.data.muted_until_ms)
        assert.same({403, "muted", "you are muted"}, try(tom))
        lena:put(path .. "/members/" .. tom.id .. "/mute", {until_ms = 0})
        assert.equal(200, try(tom)[1])
        assert.equal(true, lena:put(path .. "/mute_all", {enabled = true}).json.data.mute_all)
        assert.same({403, "muted", "conversation is muted"}, try(tom))
        assert.equal(200, try(lena)[1])
        lena:put(path .. "/mute_all", {enabled = false})
        assert.equal(200, lena:delete(path .. "/members/" .. mia.id).status)
        assert.same({403, "not_member", "sender not in conversation"}, try(mia))
        assert.same({403, "not_member", "not a conversation member"}, code(mia:get("/api/messages/history?conversation_id=" .. group)))
        assert.same({}, lena:delete(path).json.data)
        assert.same({}, lena:delete(path).json.data)
        for _, p in ipairs {lena, tom} do assert.same({403, "dissolved", "conversation is dissolved"}, try(p)) end
        assert.equal(200, tom:get("/api/messages/history?conversation_id=" .. group).status)
        assert.same({403, "dissolved", "conversation is dissolved"}, code(lena:put(path, {title = "x"})))
        assert.equal(200, lena:post(path .. "/leave").status)
    end)

    it("approval: a member's additions and joins become requests; free: they enter at once", function()
        local p, q, x, y = n:person(), n:person(), n:person(), n:person()
        local group = p:group({q}, "door")
        local path = "/api/conversations/" .. group
        local owner = p:socket("o")
        assert.same({added = {}, pending = {x.id}, skipped = {p.id}}, q:post(path .. "/members", {user_ids = {x.id, p.id}}).json.data)
        local push = owner:push("member_update").data
        assert.same({"join_requested", {x.id}, q.id}, {push.action, push.user_ids, push.operator_id})
        local requests = p:get(path .. "/requests").json.data
        assert.same({1, x.id, q.id, "pending"}, {#requests, requests[1].user.id, requests[1].inviter_id, requests[1].status})
        assert.same({403, "forbidden", "no permission"}, code(q:get(path .. "/requests")))
        assert.equal("accepted", p:post(path .. "/requests/" .. requests[1].id, {accept = true}).json.data.status)
        assert.equal(404, p:post(path .. "/requests/" .. requests[1].id, {accept = true}).status)
        assert.equal("member", x:get(path).json.data.role)
        assert.same({status = "pending"}, y:post(path .. "/join", {message = "let me in"}).json.data)
        assert.equal("let me in", p:get(path .. "/requests").json.data[1].message)
        p:put(path, {join_mode = "free"})
        assert.same({status = "joined"}, y:post(path .. "/join").json.data)
        assert.same({409, "conflict", "already a member"}, code(y:post(path .. "/join")))
        assert.same({404, "not_found", "conversation not found"}, code(y:post("/api/conversations/99999999/join")))
        assert.equal(4, #p:get(path .. "/members").json.data)
        assert.equal("owner", p:get(path .. "/members").json.data[1].role)
        owner:close()
    end)

    it("losing membership ends access at once, and tells those concerned", function()
        local p, q, r = n:person(), n:person(), n:person()
        local group = p:group({q, r}, "out")
        local cq, cr = q:socket("q"), r:socket("r")
        assert.equal(200, p:delete("/api/conversations/" .. group .. "/members/" .. q.id).status)
        local m
        repeat m = cq:want("conversation_update") until m.data.action == "removed"
        assert.is_nil(m.data.conversation)
        m = cr:push("member_update").data
        assert.same({group, "removed", {q.id}, p.id, 2}, {m.conversation_id, m.action, m.user_ids, m.operator_id, m.member_count})
        p:say(group, "not for q")
        assert.truthy(cr:push("new_message"))
        assert.truthy(cq:none("new_message", 200))
        assert.equal("not_member", cq:ask("message", {conversation_id = group, client_msg_id = "z", content = "x"}).data.code)
        cq:close()
        cr:close()
    end)

    it("group rows refuse a single chat, and ids that are none", function()
        local chat = lena:chat(tom)
        local path = "/api/conversations/" .. chat
        for _, r in ipairs {
            lena:put(path, {title = "x"}), lena:delete(path), lena:put(path .. "/announcement", {text = "x"}),
            lena:put(path .. "/mute_all", {enabled = true}), lena:post(path .. "/members", {user_ids = {mia.id}}),
            lena:delete(path .. "/members/" .. tom.id), lena:post(path .. "/leave"), lena:get(path .. "/requests"),
        } do
            assert.same({400, "bad_request", "invalid conversation type"}, code(r))
        end
        assert.same({400, "bad_request", "invalid conversation id"}, code(lena:get("/api/conversations/x")))
        assert.same({404, "not_found", "conversation not found"}, code(lena:post(path .. "/join")))
    end)

    it("user B tries every route on what belongs to A: refused, nothing changed", function()
        local a, b, c = n:person(), n:person(), n:person()
        local group = a:group({c}, "private")
        local m = a:say(group, "secret")
        local path = "/api/conversations/" .. group
        local before = a:get(path).body
        for _, try in ipairs {
            {"GET", path}, {"PUT", path, {title = "x"}}, {"DELETE", path}, {"PUT", path .. "/settings", {pinned = true}},
            {"PUT", path .. "/announcement", {text = "x"}}, {"PUT", path .. "/mute_all", {enabled = true}},
            {"PUT", path .. "/nickname", {nickname = "x"}}, {"GET", path .. "/members"}, {"POST", path .. "/members", {user_ids = {b.id}}},
            {"DELETE", path .. "/members/" .. c.id}, {"POST", path .. "/leave"},
            {"PUT", path .. "/members/" .. c.id .. "/role", {role = "admin"}},
            {"POST", path .. "/transfer", {user_id = b.id}}, {"PUT", path .. "/members/" .. c.id .. "/mute", {until_ms = 0}},
            {"GET", path .. "/requests"}, {"POST", path .. "/requests/1", {accept = true}},
            {"POST", "/api/messages", {conversation_id = group, client_msg_id = "b", text = "x"}},
            {"GET", "/api/messages/history?conversation_id=" .. group},
            {"POST", "/api/messages/read", {conversation_id = group, read_seq = 1}},
            {"POST", "/api/messages/" .. m.id .. "/revoke"},
        } do
            local r = b:api(try[1], try[2], try[3])
            assert.same({403, "not_member"}, {r.status, r.json.code}, try[1] .. " " .. try[2])
            assert.falsy(r.body:find("secret", 1, true))
        end
        assert.equal(before, a:get(path).body)
    end)
end)
