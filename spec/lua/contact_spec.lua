-- lua/contact.lua: contacts, applications, blocklist (PROTOCOL.md rows 12 to 20, section 13): who may, what is stored, who is told.
local fake = require "spec.lua.fake"

describe("contacts", function()
    local w, lena, tom, mia
    before_each(function()
        w = fake.new()
        lena, tom, mia = w:user("lena", "Lena"), w:user("tom", "Tom"), w:user("mia", "Mia")
    end)

    local function apply(from, to, remark, device)
        return w:data("contact.apply", from, {body = {target_user_id = to, remark = remark}, device = device}).status
    end
    local function handle(user, from, accept, device)
        return w:data("contact.handle", user, {body = {target_user_id = from, accept = accept}, device = device}).status
    end
    local function friends(a, b)
        apply(a, b)
        handle(b, a, true)
    end
    local function block(user, peer, device) return w:data("contact.block", user, {body = {user_id = peer}, device = device}) end
    local function requests(user, query) return w:data("contact.requests", user, {query = query}) end
    local function contacts(user)
        local ids = {}
        for i, c in ipairs(w:data("contact.list", user)) do ids[i] = c.id end
        return ids
    end
    -- who was told what of whom: {{to, user_id, action, remark}, ..}
    local function told()
        local out = {}
        for i, p in ipairs(w:pushed "contact_update") do out[i] = {p.to[1], p.data.user_id, p.data.action, p.data.remark} end
        return out
    end

    describe("apply", function()
        it("[32] stores a request and pushes it to the target, without the acting device", function()
            assert.equal("pending", apply(lena, tom, "hi, it is Lena", "phone"))
            local push = w.pushes[1]
            assert.same({1, {tom}, "contact_request", {user = lena, device = "phone"}}, {#w.pushes, push.to, push.type, push.except})
            local item = {
                id = 1, from = {id = lena, username = "lena", display_name = "Lena", avatar_url = ""},
                to = {id = tom, username = "tom", display_name = "Tom", avatar_url = ""}, message = "hi, it is Lena", status = "pending",
                created_at_ms = w.now,
            }
            assert.same(item, push.data)
            assert.same({item}, {requests(tom)[1]})
            assert.same({item}, {requests(lena, {direction = "outgoing"})[1]})
            assert.same({}, requests(lena))
        end)

        it("repeated while pending: succeeds, changes the remark only, is not pushed again", function()
            apply(lena, tom, "one")
            assert.equal("pending", apply(lena, tom, "two"))
            assert.same({}, w.pushes)
            assert.same({1, 1, "two"}, {#requests(tom), requests(tom)[1].id, requests(tom)[1].message})
        end)

        it("after a rejection is a new request with a new id, pushed again", function()
            apply(lena, tom)
            assert.equal("rejected", handle(tom, lena))
            assert.equal("pending", apply(lena, tom))
            assert.equal(2, w:pushed("contact_request")[1].data.id)
        end)

        it("that crosses another makes both contacts at once; both get only `added`", function()
            apply(lena, tom)
            assert.equal("accepted", apply(tom, lena))
            assert.same({{tom, lena, "added", ""}, {lena, tom, "added", ""}}, told())
            assert.equal(2, #w.pushes)
            assert.same({{tom}, {lena}}, {contacts(lena), contacts(tom)})
            assert.same({}, requests(tom))
        end)

        it("checks oneself, target, contact, block in this order", function()
            local function refused(from, to, remark)
                return {w:refused("contact.apply", from, {body = {target_user_id = to, remark = remark}})}
            end
            assert.same({"bad_request", "cannot add yourself as contact"}, refused(lena, lena))
            assert.same({"not_found", "target user not found"}, refused(lena, 99))
            w:sql("UPDATE user SET status = 'frozen' WHERE id = " .. mia)
            assert.same({"not_found", "target user not found"}, refused(lena, mia))
            friends(lena, tom)
            block(tom, lena)
            assert.same({"already_contact"}, refused(lena, tom))
            w:data("contact.remove", lena, {id = {tom}})
            assert.same({"blocked"}, refused(lena, tom))
            assert.same({"blocked"}, refused(tom, lena))
            for _, bad in ipairs {{"x"}, {0}, {-1}, {1.5}, {1 << 53}, {tom, ("x"):rep(256)}, {tom, "a\nb"}, {tom, 5}} do
                assert.same({"bad_request"}, refused(lena, bad[1], bad[2]))
            end
            assert.same({"bad_request"}, {w:refused("contact.apply", lena)})
            assert.same({}, w.pushes)
        end)

        it("meets a request that arrives between its look and its write", function()
            w.before_write = function(op)
                if op ~= "contact_request_add" then return end
                w.before_write = nil
                w:sql(("INSERT INTO contact_request (from_user, to_user, created_ms) VALUES (%d, %d, 1)"):format(tom, lena))
            end
            assert.equal("accepted", apply(lena, tom))
            assert.same({tom}, contacts(lena))
        end)
    end)

    describe("handle", function()
        it("accept: both sides are contacts and both get `added`, without the acting device", function()
            apply(lena, tom)
            assert.equal("accepted", handle(tom, lena, true, "phone"))
            assert.same({{tom, lena, "added", ""}, {lena, tom, "added", ""}}, told())
            assert.same({user = tom, device = "phone"}, w.pushes[2].except)
            assert.same({{tom}, {lena}}, {contacts(lena), contacts(tom)})
            assert.equal("accepted", requests(tom, {status = "all"})[1].status)
        end)

        it("reject, said or by leaving `accept` out, is not pushed", function()
            for _, accept in ipairs {false, "absent"} do
                apply(lena, tom)
                assert.equal("rejected", handle(tom, lena, accept ~= "absent" and accept or nil))
                assert.same({}, w.pushes)
            end
            assert.same({}, contacts(tom))
        end)

        it("needs a pending request to the caller, and nobody blocked", function()
            local function refused(user, from)
                return {w:refused("contact.handle", user, {body = {target_user_id = from, accept = true}})}
            end
            local gone = {"not_found", "contact apply not found"}
            assert.same(gone, refused(tom, lena))
            assert.same(gone, refused(tom, 99))
            assert.same(gone, refused(tom, tom))
            apply(lena, tom)
            assert.same(gone, refused(lena, tom)) -- one's own application
            assert.same(gone, refused(mia, lena))
            block(lena, tom)
            assert.same({"blocked"}, refused(tom, lena))
            w:data("contact.unblock", lena, {id = {tom}})
            block(tom, lena)
            assert.same({"blocked"}, refused(tom, lena))
            w:data("contact.unblock", tom, {id = {lena}})
            assert.equal("accepted", handle(tom, lena, true))
            assert.same(gone, refused(tom, lena))
            assert.same({"bad_request"}, {w:refused("contact.handle", tom, {body = {target_user_id = lena, accept = 1}})})
        end)
    end)

    it("handle finds a request gone that somebody else closed between its look and its write", function()
        apply(lena, tom)
        w.before_write = function() w:sql "UPDATE contact_request SET status = 'accepted'" end
        local code, text = w:refused("contact.handle", tom, {body = {target_user_id = lena}})
        assert.same({"not_found", "contact apply not found"}, {code, text})
    end)

    it("requests: newest first, by direction and status, in pages", function()
        apply(lena, tom)
        handle(tom, lena)
        apply(mia, tom)
        apply(lena, tom)
        local function ids(query)
            local out = {}
            for i, r in ipairs(requests(tom, query)) do out[i] = r.id end
            return out
        end
        assert.same({3, 2}, ids())
        assert.same({3, 2}, ids {direction = "incoming", status = "pending"})
        assert.same({3, 2, 1}, ids {status = "all"})
        assert.same({}, ids {direction = "outgoing"})
        local r = w:call("contact.requests", tom, {query = {limit = "1"}})
        assert.same({3}, {r.data[1].id})
        assert.same({2}, ids {limit = "1", cursor = r.next_cursor})
        for _, query in ipairs {{direction = "both"}, {status = "accepted"}, {status = "all", cursor = r.next_cursor}} do
            assert.same({"bad_request"}, {w:refused("contact.requests", tom, {query = query})})
        end
    end)

    it("list: by id, with total, the same from both sides", function()
        friends(mia, lena)
        friends(tom, lena)
        local r = w:call("contact.list", lena, {query = {limit = "1"}})
        assert.same({2, 1, tom}, {r.total, #r.data, r.data[1].id})
        assert.same({id = tom, username = "tom", display_name = "Tom", avatar_url = "", remark = "", since_ms = w.now}, r.data[1])
        assert.same(mia, w:data("contact.list", lena, {query = {limit = "1", cursor = r.next_cursor}})[1].id)
    end)

    it("remark: one's own, told to one's own devices only, and only when it changes", function()
        friends(lena, tom)
        local function remark(text, device)
            return w:data("contact.remark", lena, {id = {tom}, body = {remark = text}, device = device}).remark
        end
        assert.equal("Tommy", remark("Tommy", "phone"))
        assert.same({{lena, tom, "remark", "Tommy"}}, told())
        assert.same({user = lena, device = "phone"}, w.pushes[1].except)
        assert.equal("Tommy", remark "Tommy")
        assert.same({}, told())
        assert.equal("", remark "")
        assert.equal("", w:data("contact.list", tom)[1].remark)
        assert.same({"not_found"}, {w:refused("contact.remark", lena, {id = {mia}, body = {remark = "x"}})})
        for _, body in ipairs {{}, {remark = ("x"):rep(65)}, {remark = "a\tb"}, {remark = 1}} do
            assert.same({"bad_request"}, {w:refused("contact.remark", lena, {id = {tom}, body = body})})
        end
        assert.same({"bad_request", "invalid contact id"}, {w:refused("contact.remark", lena, {id = {"x"}, body = {remark = ""}})})
    end)

    it("remove: on both sides, both are told, presence ends; a repeat tells nobody; a block stays", function()
        friends(lena, tom)
        block(tom, lena)
        assert.same({}, w:data("contact.remove", lena, {id = {tom}}))
        assert.same({{lena, tom, "removed", ""}, {tom, lena, "removed", ""}}, told())
        assert.same({"drop", "drop", "contact_update removed", "contact_update removed"}, w:order())
        assert.same({{}, {}}, {contacts(lena), contacts(tom)})
        assert.same({}, w:data("contact.remove", lena, {id = {tom}}))
        assert.same({}, w.events)
        assert.equal(lena, w:data("contact.block_list", tom)[1].id)
    end)

    describe("blocklist", function()
        it("tells one's own devices, ends the blocked one's view of presence, and the single chat knows first", function()
            local chat = w:data("group.create", lena, {body = {type = 1, member_ids = {tom}}}).id
            assert.same({}, block(lena, tom, "phone"))
            assert.same({{lena, tom, "blocked", ""}}, told())
            assert.same({user = lena, device = "phone"}, w.pushes[1].except)
            assert.same({{kind = "drop", tom, lena}, {kind = "changed", chat}, {kind = "push", "contact_update", "blocked"}}, w.events)
            assert.same({}, block(lena, tom))
            assert.same({}, w.events)
            assert.same({}, w:data("contact.unblock", lena, {id = {tom}}))
            assert.same({{lena, tom, "unblocked", ""}}, told())
            assert.same({"changed", "contact_update unblocked"}, w:order())
            assert.same({}, w:data("contact.unblock", lena, {id = {tom}}))
            assert.same({}, w.events)
        end)

        it("ends no contact; unblocking makes none", function()
            friends(lena, tom)
            block(lena, tom)
            assert.same({tom}, contacts(lena))
            block(lena, mia)
            w:data("contact.unblock", lena, {id = {mia}})
            assert.same({tom}, contacts(lena))
        end)

        it("is listed by id", function()
            block(lena, mia)
            block(lena, tom)
            local list = w:data("contact.block_list", lena)
            assert.same({tom, mia}, {list[1].id, list[2].id})
            assert.same({id = tom, username = "tom", display_name = "Tom", avatar_url = "", since_ms = w.now}, list[1])
            assert.same({}, w:data("contact.block_list", tom))
        end)

        it("refuses oneself and unknown users", function()
            assert.same({"bad_request", "invalid user id"}, {w:refused("contact.block", lena, {body = {user_id = lena}})})
            assert.same({"not_found", "target user not found"}, {w:refused("contact.block", lena, {body = {user_id = 99}})})
            assert.same({"bad_request"}, {w:refused("contact.block", lena, {body = {user_id = "2"}})})
            assert.same({"bad_request", "invalid user id"}, {w:refused("contact.unblock", lena, {id = {0}})})
        end)
    end)
end)
