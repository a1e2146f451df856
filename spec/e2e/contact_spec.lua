-- PROTOCOL.md rows 12 to 21 and sections 10 and 13: contacts, requests, blocks, presence.
local node = require "spec.support.node"
local P = require "parley_spec"

local GRACE_MS <const> = 300

local function code(r) return {r.status, r.json.code, r.json.error} end

describe("contacts", function()
    local n
    setup(function() n = node.start {["presence.grace"] = GRACE_MS .. "ms"} end)
    teardown(function() n:finish() end)

    local function friends(a, b)
        assert.equal(200, a:post("/api/contacts/apply", {target_user_id = b.id}).status)
        assert.equal(200, b:post("/api/contacts/handle", {target_user_id = a.id, accept = true}).status)
    end

    it("[32] an application appears in the list and as a push; accepting makes both contacts", function()
        local a, b = n:person {display_name = "A"}, n:person {display_name = "B"}
        local ca, cb = a:socket("a"), b:socket("b")
        local r = a:post("/api/contacts/apply", {target_user_id = b.id, remark = "hi, it is A"})
        assert.same({status = "pending"}, r.json.data)
        local push = cb:push("contact_request").data
        assert.same({a.id, b.id, "hi, it is A", "pending"}, {push.from.id, push.to.id, push.message, push.status})
        local list = b:get("/api/contacts/requests").json.data
        assert.same({push}, {list[1]})
        assert.equal(push.id, a:get("/api/contacts/requests?direction=outgoing").json.data[1].id)
        r = b:post("/api/contacts/handle", {target_user_id = a.id, accept = true})
        assert.same({status = "accepted"}, r.json.data)
        assert.same({user_id = b.id, action = "added", remark = ""}, ca:push("contact_update").data)
        assert.same({user_id = a.id, action = "added", remark = ""}, cb:push("contact_update").data)
        local contacts = a:get("/api/contacts").json
        assert.same({1, b.id, ""}, {contacts.total, contacts.data[1].id, contacts.data[1].remark})
        assert.same({}, b:get("/api/contacts/requests").json.data)
        assert.equal("accepted", b:get("/api/contacts/requests?status=all").json.data[1].status)
        assert.same({409, "already_contact", "already contact"}, code(a:post("/api/contacts/apply", {target_user_id = b.id})))
        ca:close()
        cb:close()
    end)

    it("a repeated application succeeds, changes the remark and is not pushed again", function()
        local a, b = n:person(), n:person()
        local cb = b:socket("b")
        a:post("/api/contacts/apply", {target_user_id = b.id, remark = "one"})
        local first = cb:push("contact_request").data
        assert.same({status = "pending"}, a:post("/api/contacts/apply", {target_user_id = b.id, remark = "two"}).json.data)
        assert.truthy(cb:none("contact_request", 200))
        local list = b:get("/api/contacts/requests").json.data
        assert.same({1, first.id, "two"}, {#list, list[1].id, list[1].message})
        assert.same({status = "rejected"}, b:post("/api/contacts/handle", {target_user_id = a.id}).json.data)
        a:post("/api/contacts/apply", {target_user_id = b.id})
        assert.not_equal(first.id, cb:push("contact_request").data.id)
        cb:close()
    end)

    it("two applications that cross make both contacts at once", function()
        local a, b = n:person(), n:person()
        a:post("/api/contacts/apply", {target_user_id = b.id})
        assert.same({status = "accepted"}, b:post("/api/contacts/apply", {target_user_id = a.id}).json.data)
        assert.equal(1, a:get("/api/contacts").json.total)
        assert.equal(1, b:get("/api/contacts").json.total)
    end)

    it("wrong targets get their own answers", function()
        local a = n:person()
        assert.same({400, "bad_request", "cannot add yourself as contact"}, code(a:post("/api/contacts/apply", {target_user_id = a.id})))
        assert.same({404, "not_found", "target user not found"}, code(a:post("/api/contacts/apply", {target_user_id = 99999999})))
        assert.same({400, "bad_request", "invalid request"}, code(a:post("/api/contacts/apply", {target_user_id = "x"})))
        assert.same({404, "not_found", "contact apply not found"},
            code(a:post("/api/contacts/handle", {target_user_id = 99999999, accept = true})))
        assert.same({400, "bad_request", "invalid contact id"}, code(a:delete("/api/contacts/x")))
        assert.same({404, "not_found", "not found"}, code(a:put("/api/contacts/99999999/remark", {remark = "x"})))
    end)

    it("remark and removal", function()
        local a, b = n:person(), n:person()
        friends(a, b)
        local r = a:put("/api/contacts/" .. b.id .. "/remark", {remark = "Bobby"})
        assert.equal("Bobby", r.json.data.remark)
        assert.equal("Bobby", a:get("/api/contacts").json.data[1].remark)
        local cb = b:socket("b")
        assert.same({}, a:delete("/api/contacts/" .. b.id).json.data)
        assert.same({user_id = a.id, action = "removed", remark = ""}, cb:push("contact_update").data)
        assert.equal(0, b:get("/api/contacts").json.total)
        assert.same({}, a:delete("/api/contacts/" .. b.id).json.data)
        cb:close()
    end)

    it("[32] a blocked user can neither apply nor send; own messages of the blocker still go", function()
        local a, b = n:person(), n:person()
        local chat = a:chat(b)
        a:say(chat, "before")
        assert.same({}, b:post("/api/blocks", {user_id = a.id}).json.data)
        assert.same({403, "blocked", "contact is blocked"}, code(a:post("/api/contacts/apply", {target_user_id = b.id})))
        assert.same({403, "blocked", "contact is blocked"}, code(b:post("/api/contacts/apply", {target_user_id = a.id})))
        assert.same({403, "blocked", "message refused by recipient"},
            code(a:post("/api/messages", {conversation_id = chat, client_msg_id = "x", text = "x"})))
        b:say(chat, "from the blocker")
        assert.equal(200, a:post("/api/conversations", {type = 1, member_ids = {b.id}}).status)
        local list = b:get("/api/blocks").json.data
        assert.same({a.id, 1}, {list[1].id, #list})
        assert.same({}, b:delete("/api/blocks/" .. a.id).json.data)
        assert.same({}, b:delete("/api/blocks/" .. a.id).json.data)
        a:say(chat, "after")
        assert.same({400, "bad_request", "invalid user id"}, code(a:post("/api/blocks", {user_id = a.id})))
        assert.same({404, "not_found", "target user not found"}, code(a:post("/api/blocks", {user_id = 99999999})))
        local c = n:person()
        c:post("/api/blocks", {user_id = a.id})
        assert.same({403, "blocked", "contact is blocked"}, code(a:post("/api/conversations", {type = 1, member_ids = {c.id}})))
        assert.same({403, "blocked", "contact is blocked"}, code(a:post("/api/conversations", {type = 2, member_ids = {c.id}})))
    end)

    it("[25] presence: online with a socket, offline without, 501 ids are too many, none give []", function()
        local a, b = n:person(), n:person()
        local function online() return a:get("/api/presence?user_ids=" .. b.id).json.data[1] end
        assert.same({user_id = b.id, online = false, last_seen_unix = 0}, online())
        local c = b:socket("b")
        assert.truthy(online().online)
        c:close()
        assert.truthy(node.eventually(function() return not online().online end))
        assert.truthy(node.eventually(function() return online().last_seen_unix > 0 end))
        assert.same({}, a:get("/api/presence").json.data)
        local ids = {}
        for i = 1, 501 do ids[i] = i end
        assert.same({400, "bad_request", "too many user ids"}, code(a:get("/api/presence?user_ids=" .. table.concat(ids, ","))))
        ids[501] = nil
        assert.equal(500, #a:get("/api/presence?user_ids=" .. table.concat(ids, ",")).json.data)
        assert.equal(2, #a:get(("/api/presence?user_ids=%d&user_ids=%d,%d"):format(b.id, a.id, b.id)).json.data)
        assert.equal(400, a:get("/api/presence?user_ids=1,,2").status)
        assert.equal(400, a:get("/api/presence?user_ids=x").status)
    end)

    it("presence_sub: contacts only; changes are pushed, a quick reconnect is not seen", function()
        local a, b, stranger = n:person(), n:person(), n:person()
        friends(a, b)
        local c = a:socket("a")
        local d = c:ask("presence_sub", {user_ids = {b.id, stranger.id, a.id, b.id}}).data
        assert.equal("ok", d.status)
        assert.same({b.id, false}, {d.presence[1].user_id, d.presence[1].online})
        table.sort(d.rejected)
        local want = {stranger.id, a.id}
        table.sort(want)
        assert.same(want, {table.unpack(d.rejected)})
        local s = b:socket("b")
        local function told(online)
            local p = c:push("presence").data
            assert.same({b.id, online}, {p.user_id, p.online})
        end
        told(true)
        local took
        repeat -- one that took longer than the grace may be seen: it says nothing
            local since = P.now()
            s:close()
            s = b:socket("b")
            took = P.now() - since
            if took >= GRACE_MS then
                while not c:none("presence", 2 * GRACE_MS) do end
            end
        until took < GRACE_MS
        assert.truthy(c:none("presence", 2 * GRACE_MS))
        s:close()
        told(false)
        a:delete("/api/contacts/" .. b.id)
        s = b:socket("b")
        assert.truthy(c:none("presence", 600))
        assert.equal("invalid presence_sub request", c:ask("presence_sub", {user_ids = "x"}).data.error)
        s:close()
        c:close()
    end)

    it("presence_sub while a user is between two sockets: who asked then, or again, is told that they are back", function()
        local calm = node.start() -- the grace as shipped, 5 s
        local a, b = calm:person(), calm:person()
        friends(a, b)
        local c
        local function away() return not a:get("/api/presence?user_ids=" .. b.id).json.data[1].online end
        for _, ask in ipairs {"first", "again"} do
            b:socket("b"):close()
            assert.truthy(node.eventually(away))
            c = c or a:socket("a")
            assert.is_false(c:ask("presence_sub", {user_ids = {b.id}}).data.presence[1].online, ask)
            local s = b:socket("b")
            local p
            repeat p = c:push("presence").data until p.online
            assert.equal(b.id, p.user_id)
            s:close()
            assert.truthy(node.eventually(away))
        end
        c:close()
        calm:finish()
    end)

    it("a blocker looks offline to the blocked one", function()
        local a, b = n:person(), n:person()
        local s = b:socket("b")
        b:post("/api/blocks", {user_id = a.id})
        assert.truthy(node.eventually(function()
            local p = a:get("/api/presence?user_ids=" .. b.id).json.data[1]
            return not p.online and p.last_seen_unix == 0
        end))
        s:close()
    end)
end)
