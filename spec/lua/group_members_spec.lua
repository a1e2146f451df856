-- lua/lib/group_members.lua: what owner and admins do to members, and leaving (PROTOCOL.md rows 33 to 37, section 13): who may do
-- what to whom, and who is told.
local fake = require "spec.lua.fake"

describe("group members", function()
    local w, owner, admin, admin2, member, member2, stranger, id
    before_each(function()
        w = fake.new()
        owner, admin, admin2 = w:user "owner", w:user "admin", w:user "admin2"
        member, member2, stranger = w:user "member", w:user "member2", w:user "stranger"
        id = w:data("group.create", owner, {body = {type = 2, title = "G", member_ids = {admin, admin2, member, member2}}}).id
        for _, user in ipairs {admin, admin2} do w:data("group.role", owner, {id = {id, user}, body = {role = "admin"}}) end
    end)

    local bodies = {role = {role = "admin"}, mute = {until_ms = 1760000060000}}
    local function call(verb, user, object, body)
        local ids, b = {id, object}, body or bodies[verb]
        if verb == "transfer" then ids, b = {id}, {user_id = object} end
        return w:call("group." .. verb, user, {id = ids, body = b, device = "phone"})
    end
    local function error_of(verb, user, object, body)
        local result, err = call(verb, user, object, body)
        return result and "ok" or (err.code .. (err.text and ": " .. err.text or ""))
    end
    local function get(user) return w:data("group.get", user, {id = {id}}) end
    local function update_of(push)
        local d = push.data
        return {d.action, d.user_ids, d.operator_id, d.role, d.until_ms, d.nickname, d.request_id, d.member_count}
    end

    it("a change that the conversation cannot be told of is not made", function()
        local before = get(owner)
        w.changing_fails = true
        for _, verb in ipairs {"remove", "mute", "role", "transfer"} do
            assert.equal("busy: server busy", error_of(verb, owner, member), verb)
            assert.same({{}, before}, {w.events, get(owner)}, verb)
        end
    end)

    it("who may do what to whom", function()
        local SELF <const>, NO <const>, GONE <const> = "bad_request: invalid user id", "forbidden", "not_found"
        local who = {owner = owner, admin = admin, admin2 = admin2, member = member, member2 = member2, stranger = stranger}
        local table_of = { -- caller, object: remove and mute, role and transfer
            {"owner", "owner", SELF, SELF}, {"owner", "admin", "ok", "ok"}, {"owner", "member", "ok", "ok"}, {"owner",
                "stranger", GONE, GONE},
            {"admin", "owner", NO, NO}, {"admin", "admin", SELF, NO}, {"admin", "admin2", NO, NO}, {"admin", "member", "ok", NO},
            {"admin", "stranger", GONE, NO}, {"member", "owner", NO, NO}, {"member", "admin", NO, NO}, {"member", "member", NO, NO},
            {"member", "member2", NO, NO}, {"member", "stranger", NO, NO},
        }
        for _, row in ipairs(table_of) do
            for verb, column in pairs {remove = 3, mute = 3, role = 4, transfer = 4} do
                local what = row[1] .. " " .. verb .. " " .. row[2]
                local before = get(owner)
                local got = error_of(verb, who[row[1]], who[row[2]])
                assert.equal(row[column], got, what)
                if got ~= "ok" then
                    assert.same({{}, before}, {w.events, get(owner)}, what)
                else -- as it was
                    w:sql("DELETE FROM member WHERE conversation = " .. id)
                    for user, role in pairs {[owner] = "owner", [admin] = "admin", [admin2] = "admin", [member] = "member",
                        [member2] = "member"} do
                        w:sql(("INSERT INTO member (conversation, user, role, joined_ms) VALUES (%d, %d, '%s', 1)"):format(id, user, role))
                    end
                    w:sql("UPDATE conversation SET owner = " .. owner)
                end
            end
        end
    end)

    it("remove: access ends before anybody is told; the removed one and those who remain are told", function()
        w:sql(("INSERT INTO device_ack VALUES (%d, 'd', %d, 5), (%d, 'd', %d, 5)"):format(member, id, member2, id))
        assert.same({}, call("remove", admin, member).data)
        assert.same({"changed", "conversation_update removed", "member_update removed"}, w:order())
        assert.same({{member}, {conversation_id = id, action = "removed", conversation = fake.json.null}, {user = admin, device = "phone"}},
            {w.pushes[1].to, w.pushes[1].data, w.pushes[1].except})
        assert.same({owner, admin, admin2, member2}, w.pushes[2].to)
        assert.same({"removed", {member}, admin, "", 0, "", 0, 4}, update_of(w.pushes[2]))
        assert.same({"not_member"}, {w:refused("group.get", member, {id = {id}})})
        assert.equal("1", tostring(w:sql("SELECT count(*) FROM device_ack"):fetch())) -- those of others stay
        assert.equal("not_found", error_of("remove", admin, member))
    end)

    it("leave: the leaver's other devices and those who remain are told; the owner may not", function()
        assert.same({}, w:data("group.leave", member, {id = {id}, device = "phone"}))
        assert.same({"changed", "conversation_update removed", "member_update left"}, w:order())
        assert.same({{member}, {user = member, device = "phone"}}, {w.pushes[1].to, w.pushes[1].except})
        assert.same({owner, admin, admin2, member2}, w.pushes[2].to)
        assert.same({"left", {member}, member, "", 0, "", 0, 4}, update_of(w.pushes[2]))
        assert.same({"forbidden"}, {w:refused("group.leave", owner, {id = {id}})})
        assert.same({}, w.events)
    end)

    it("role: all members are told the new one, once", function()
        assert.equal("admin", call("role", owner, member).data.role)
        assert.same({"changed", "member_update role"}, w:order())
        assert.same({owner, admin, admin2, member, member2}, w.pushes[1].to)
        assert.same({"role", {member}, owner, "admin", 0, "", 0, 5}, update_of(w.pushes[1]))
        assert.equal("admin", call("role", owner, member).data.role)
        assert.same({}, w.events)
        assert.equal("member", call("role", owner, member, {role = "member"}).data.role)
        assert.same({"role", {member}, owner, "member", 0, "", 0, 5}, update_of(w.pushes[1]))
        for _, role in ipairs {"owner", "", 1, "Admin"} do assert.equal("bad_request", error_of("role", owner, member, {role = role})) end
    end)

    it("transfer: the old owner becomes admin, the new one is not muted; both pushes go to all", function()
        call("mute", owner, member)
        local d = call("transfer", owner, member).data
        assert.same({member, "admin"}, {d.owner_id, d.role})
        assert.same({"changed", "member_update transferred", "conversation_update updated"}, w:order())
        for _, p in ipairs(w.pushes) do assert.same({owner, admin, admin2, member, member2}, p.to) end
        assert.same({"transferred", {member}, owner, "owner", 0, "", 0, 5}, update_of(w.pushes[1]))
        assert.equal(member, w.pushes[2].data.conversation.owner_id)
        assert.same({"owner", 0}, {get(member).role, get(member).muted_until_ms})
        assert.equal("forbidden", error_of("transfer", owner, member))
    end)

    it("mute: until a time at most 365 days ahead; a time not in the future ends it; all are told what changed", function()
        local DAY <const> = 86400000
        local function mute(until_ms) return call("mute", admin, member, {until_ms = until_ms}) end
        assert.equal(w.now + 1, mute(w.now + 1).data.muted_until_ms)
        assert.same({"changed", "member_update muted"}, w:order())
        assert.same({owner, admin, admin2, member, member2}, w.pushes[1].to)
        assert.same({"muted", {member}, admin, "", w.now + 1, "", 0, 5}, update_of(w.pushes[1]))
        assert.equal(w.now + 1, get(member).muted_until_ms)
        mute(w.now + 1)
        assert.same({}, w.events)
        assert.equal(0, mute(w.now).data.muted_until_ms)
        assert.same({"unmuted", {member}, admin, "", 0, "", 0, 5}, update_of(w.pushes[1]))
        mute(0)
        assert.same({}, w.events)
        assert.truthy(mute(w.now + 365 * DAY))
        for _, bad in ipairs {w.now + 365 * DAY + 1, -1, 1.5, "0", 1 << 60} do
            assert.equal("bad_request", error_of("mute", admin, member, {until_ms = bad}))
        end
    end)
end)
