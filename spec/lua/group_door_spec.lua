-- lua/lib/group_door.lua: how people get into a group (PROTOCOL.md rows 32, 38 to 40, section 13).
local fake = require "spec.lua.fake"

describe("the door of a group", function()
    local w, owner, admin, member, x, y, z, id
    before_each(function()
        w = fake.new()
        owner, admin, member, x, y, z = w:user "owner", w:user "admin", w:user "member", w:user "x.x", w:user "y.y", w:user "z.z"
        id = w:data("group.create", owner, {body = {type = 2, title = "G", member_ids = {admin, member}}}).id
        w:data("group.role", owner, {id = {id, admin}, body = {role = "admin"}})
    end)

    local function call(verb, user, body, request)
        return w:call("group." .. verb, user, {id = {id, request}, body = body, device = "phone"})
    end
    local function add(user, ids) return call("add", user, {user_ids = ids}).data end
    local function refused(verb, user, body, request) return {w:refused("group." .. verb, user, {id = {id, request}, body = body})} end
    local function free() w:data("group.update", owner, {id = {id}, body = {join_mode = "free"}}) end
    local function requests() return w:data("group.requests", owner, {id = {id}}) end
    local function count() return w:data("group.get", owner, {id = {id}}).member_count end
    local function update_of(push)
        local d = push.data
        return {push.to, d.action, d.user_ids, d.operator_id, d.request_id, d.member_count}
    end

    it("owner and admins add at once: `created` to the new ones, then `added` to all", function()
        for _, user in ipairs {owner, admin} do
            local new = user == owner and x or y
            assert.same({added = {new}, pending = {}, skipped = {member}}, add(user, {new, member, new}))
            assert.same({"changed", "conversation_update created", "member_update added"}, w:order())
            assert.same({new}, w.pushes[1].to)
            assert.same({"member", "G"}, {w.pushes[1].data.conversation.role, w.pushes[1].data.conversation.title})
            local all = user == owner and {owner, admin, member, x} or {owner, admin, member, x, y}
            assert.same({all, "added", {new}, user, 0, #all}, update_of(w.pushes[2]))
            assert.same({user = user, device = "phone"}, w.pushes[2].except)
        end
    end)

    it("new members start at the latest seq", function()
        for _ = 1, 3 do w:say(id, owner, "x") end
        add(owner, {x})
        local d = w:data("group.get", x, {id = {id}})
        assert.same({3, 3, 0}, {d.read_seq, d.latest_seq, d.unread})
    end)

    it("members only who are there already: nothing happens", function()
        assert.same({added = {}, pending = {}, skipped = {member, owner}}, add(member, {member, owner}))
        assert.same({}, w.events)
    end)

    it("a plain member's additions become requests; one push for each to owner and admins; a repeat asks nobody again", function()
        assert.same({added = {}, pending = {x, y}, skipped = {owner}}, add(member, {x, owner, y}))
        assert.same({"member_update join_requested", "member_update join_requested"}, w:order())
        assert.same({{owner, admin}, "join_requested", {x}, member, 1, 3}, update_of(w.pushes[1]))
        assert.same({{owner, admin}, "join_requested", {y}, member, 2, 3}, update_of(w.pushes[2]))
        assert.same({added = {}, pending = {x, z}, skipped = {}}, add(member, {x, z}))
        local pushes = w.pushes
        assert.same({{owner, admin}, "join_requested", {z}, member, requests()[3].id, 3}, update_of(pushes[1]))
        assert.equal(1, #pushes)
        assert.same({3, member, "pending"}, {#requests(), requests()[1].inviter_id, requests()[1].status})
        free()
        assert.same({x}, add(member, {x}).added)
    end)

    it("adding checks ids, room, blocks in this order, and adds all or nobody", function()
        w:data("contact.block", x, {body = {user_id = owner}})
        w:data("contact.block", member, {body = {user_id = y}}) -- one's own block does not count
        assert.same({"not_found", "target user not found"}, refused("add", owner, {user_ids = {y, 99, x}}))
        assert.same({"blocked"}, refused("add", owner, {user_ids = {y, x}}))
        w.conf["group.member_limit"] = 4
        local small = w:data("group.create", admin, {body = {type = 2, member_ids = {owner, member}}}).id
        assert.same({"group_full"}, {w:refused("group.add", admin, {id = {small}, body = {user_ids = {y, x}}})})
        assert.same({"not_found", "target user not found"}, {w:refused("group.add", admin, {id = {small}, body = {user_ids = {y, 99}}})})
        assert.equal(3, count())
        w:data("contact.block", x, {body = {user_id = member}})
        assert.same({"blocked"}, refused("add", member, {user_ids = {x, y}}))
        assert.same({}, requests())
        for _, ids in ipairs {fake.json.list {}, {}, "x", {0}, {"2"}} do
            assert.same({"bad_request"}, refused("add", owner, {user_ids = ids}))
        end
        local many = {}
        for i = 1, 101 do many[i] = i end
        assert.same({"bad_request"}, refused("add", owner, {user_ids = many}))
        many[101] = nil
        assert.same({"not_found", "target user not found"}, refused("add", owner, {user_ids = many}))
    end)

    it("join: free enters at once, told to the joiner's other devices and to all", function()
        free()
        assert.same({status = "joined"}, call("join", x).data)
        assert.same({"changed", "conversation_update created", "member_update joined"}, w:order())
        assert.same({{x}, {user = x, device = "phone"}}, {w.pushes[1].to, w.pushes[1].except})
        assert.same({{owner, admin, member, x}, "joined", {x}, x, 0, 4}, update_of(w.pushes[2]))
        assert.same({"conflict", "already a member"}, refused("join", x))
    end)

    it("join: approval asks; a repeat changes the message and asks nobody again", function()
        assert.same({status = "pending"}, call("join", x, {message = "one"}).data)
        assert.same({{owner, admin}, "join_requested", {x}, x, 1, 3}, update_of(w.pushes[1]))
        assert.same({status = "pending"}, call("join", x, {message = "two"}).data)
        assert.same({}, w.pushes)
        assert.same({{
            id = 1, conversation_id = id, user = {id = x, username = "x.x", display_name = "x.x", avatar_url = ""}, inviter_id = 0,
            message = "two", status = "pending", created_at_ms = w.now,
        }}, {table.unpack(requests())})
        assert.same({"bad_request"}, refused("join", x, {message = ("x"):rep(256)}))
    end)

    it("a removed member may ask again, or come in again if free", function()
        w:data("group.remove", owner, {id = {id, member}})
        assert.equal("pending", call("join", member).data.status)
        free()
        assert.equal("joined", call("join", member).data.status)
    end)

    it("a full group lets nobody in", function()
        w.conf["group.member_limit"] = 2
        local small = w:data("group.create", owner, {body = {type = 2, member_ids = {admin}}}).id
        assert.equal("pending", w:data("group.join", x, {id = {small}}).status)
        local request = w:data("group.requests", owner, {id = {small}})[1].id
        assert.same({"group_full"}, {w:refused("group.request", owner, {id = {small, request}, body = {accept = true}})})
        assert.equal(1, #w:data("group.requests", owner, {id = {small}}))
        w:data("group.update", owner, {id = {small}, body = {join_mode = "free"}})
        assert.same({"group_full"}, {w:refused("group.join", x, {id = {small}})})
    end)

    describe("requests", function()
        local function accept(request, yes) return call("request", admin, {accept = yes}, request).data end

        it("accepted: `created` to the new member, `joined` or, with an inviter, `added` to all", function()
            call("join", x)
            add(member, {y})
            local r = accept(1, true)
            assert.same({"accepted", x}, {r.status, r.user.id})
            assert.same({"changed", "conversation_update created", "member_update joined"}, w:order())
            assert.same({{x}, {owner, admin, member, x}}, {w.pushes[1].to, w.pushes[2].to})
            assert.equal("accepted", accept(2, true).status)
            assert.same({{owner, admin, member, x, y}, "added", {y}, admin, 0, 5}, update_of(w.pushes[2]))
            assert.same({}, requests())
        end)

        it("rejected: nobody is told; they may ask again", function()
            call("join", x)
            assert.equal("rejected", accept(1, false).status)
            assert.same({{}, 3}, {w.events, count()})
            call("join", x)
            assert.same({1, 2}, {#w.pushes, requests()[1].id})
        end)

        it("of somebody who is a member by now is just closed", function()
            call("join", x)
            add(owner, {x})
            assert.equal("accepted", accept(1, true).status)
            assert.same({{}, {}, 4}, {w.events, requests(), count()})
        end)

        it("handled ones, unknown ones and those of another group are not found", function()
            call("join", x)
            accept(1, true)
            for _, yes in ipairs {true, false} do assert.same({"not_found"}, refused("request", admin, {accept = yes}, 1)) end
            assert.same({"not_found"}, refused("request", admin, {accept = true}, 99))
            local other = w:data("group.create", owner, {body = {type = 2, member_ids = {admin}}}).id
            call("join", y)
            assert.same({"not_found"}, {w:refused("group.request", owner, {id = {other, 2}, body = {accept = true}})})
            assert.same({"bad_request"}, refused("request", admin, {accept = true}, 0))
        end)

        it("are for owner and admins", function()
            call("join", x)
            assert.same({"forbidden"}, refused("requests", member))
            assert.same({"forbidden"}, refused("request", member, {accept = true}, 1))
            assert.same({"not_member"}, refused("requests", x))
        end)

        it("are listed in the order they came, in pages", function()
            for _, user in ipairs {x, y, z} do call("join", user) end
            local r = w:call("group.requests", owner, {id = {id}, query = {limit = "2"}})
            assert.same({x, y}, {r.data[1].user.id, r.data[2].user.id})
            r = w:call("group.requests", owner, {id = {id}, query = {limit = "2", cursor = r.next_cursor}})
            assert.same({z, ""}, {r.data[1].user.id, r.next_cursor})
        end)
    end)
end)
