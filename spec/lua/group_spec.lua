-- lua/group.lua with group_create, group_read, group_change: conversations, their lists, what they are called, how they behave
-- (PROTOCOL.md rows 22 to 31, section 13). Members and the door: group_members_spec.lua, group_door_spec.lua.
local fake = require "spec.lua.fake"
local json = fake.json

local ALL_SHARED <const> = {"id", "type", "title", "avatar_url", "owner_id", "member_count", "member_limit", "announcement", "join_mode",
    "mute_all", "status"}

local function keys(t)
    local out = {}
    for key in pairs(t) do out[#out + 1] = key end
    table.sort(out)
    return out
end

describe("conversations", function()
    local w, lena, tom, mia, zoe
    before_each(function()
        w = fake.new()
        lena, tom, mia, zoe = w:user("lena", "Lena"), w:user("tom", "Tom"), w:user("mia", "Mia"), w:user("zoe", "Zoe")
    end)

    local function create(user, body, device) return w:data("group.create", user, {body = body, device = device}) end
    local function single(user, other) return create(user, {type = 1, member_ids = {other}}).id end
    local function group(user, ids, title) return create(user, {type = 2, title = title, member_ids = json.list(ids)}).id end
    local function refused(verb, user, id, body) return {w:refused("group." .. verb, user, {id = {id}, body = body})} end
    local function get(user, id) return w:data("group.get", user, {id = {id}}) end
    local function block(user, peer) w:data("contact.block", user, {body = {user_id = peer}}) end

    describe("single chat", function()
        it("[30] is one per pair, titled by the other side, and pushed as `created` to both with their own view", function()
            local d = create(lena, {type = 1, member_ids = {tom}, title = "ignored"}, "phone")
            assert.same({1, 1, "Tom", tom, 0, 2, 2, "member"}, {d.id, d.type, d.title, d.peer_id, d.owner_id, d.member_count,
                d.member_limit, d.role})
            local pushes = w:pushed("conversation_update", "created")
            assert.same({2, {lena, tom}}, {#w.pushes, w:receivers("conversation_update", "created")})
            for _, p in ipairs(pushes) do
                assert.same({p.to[1] == lena and "Tom" or "Lena", d.id}, {p.data.conversation.title, p.data.conversation_id})
                assert.same({user = lena, device = "phone"}, p.except)
            end
            assert.same({"changed", "conversation_update created", "conversation_update created"}, w:order())
            assert.equal(d.id, create(tom, {type = 1, member_ids = {lena}}).id)
            assert.same({}, w.pushes)
            assert.equal("Lena", get(tom, d.id).title)
        end)

        it("drops the caller and duplicates before it counts", function()
            assert.equal(2, create(lena, {type = 1, member_ids = {tom, lena, tom}}).member_count)
            local one = {"bad_request", "single conversation requires exactly one other member"}
            for _, ids in ipairs {json.list {}, {lena}, {tom, mia}} do
                assert.same(one, refused("create", lena, nil, {type = 1, member_ids = ids}))
            end
        end)

        it("needs an existing user who has not blocked the caller; one's own block does not count", function()
            assert.same({"not_found", "target user not found"}, refused("create", lena, nil, {type = 1, member_ids = {99}}))
            block(tom, lena)
            assert.same({"blocked"}, refused("create", lena, nil, {type = 1, member_ids = {tom}}))
            assert.truthy(single(tom, lena))
            assert.truthy(single(lena, tom)) -- it exists by now
        end)

        it("made by both at the same moment is one", function()
            local other
            local batch = store.batch
            store.batch = function(list)
                if list[1][1] == "single_create" and not other then
                    other = true
                    other = w:data("group.create", tom, {body = {type = 1, member_ids = {lena}}}).id
                end
                return batch(list)
            end
            assert.equal(other, nil)
            assert.equal(single(lena, tom), other)
        end)

        it("is no group: the rows for groups refuse it", function()
            local id = single(lena, tom)
            for verb, body in pairs {
                update = {title = "x"}, dissolve = {}, announcement = {text = ""}, mute_all = {enabled = true}, add = {user_ids = {mia}},
                leave = {}, transfer = {user_id = tom}, requests = {},
            } do
                assert.same({"bad_request", "invalid conversation type"}, refused(verb, lena, id, body), verb)
            end
            for verb, body in pairs {remove = {}, role = {role = "admin"}, mute = {until_ms = 0}, request = {accept = true}} do
                assert.same({"bad_request", "invalid conversation type"}, {w:refused("group." .. verb, lena, {id = {id, tom},
                    body = body})}, verb)
            end
            assert.same({"not_found", "conversation not found"}, refused("join", mia, id))
            assert.equal("x", w:data("group.nickname", lena, {id = {id}, body = {nickname = "x"}}).nickname)
        end)
    end)

    describe("a new group", function()
        it("has the creator as owner, alone if need be; others are pushed `created` with their own view", function()
            local d = create(lena, {type = 2, title = "Hiking", member_ids = {tom, lena, mia, tom}}, "phone")
            assert.same({"Hiking", lena, 3, 500, "owner", 0, "approval"},
                {d.title, d.owner_id, d.member_count, d.member_limit, d.role, d.peer_id, d.join_mode})
            assert.same({lena, tom, mia}, w:receivers("conversation_update", "created"))
            for _, p in ipairs(w.pushes) do assert.equal(p.to[1] == lena and "owner" or "member", p.data.conversation.role) end
            assert.same({}, w:pushed "member_update")
            d = create(lena, {type = 2, member_ids = json.list {}})
            assert.same({"", 1, "owner"}, {d.title, d.member_count, d.role})
        end)

        it("checks form, type, size, users, blocks in this order, and then nothing is written", function()
            w.conf["group.member_limit"] = 3
            local function bad(body) return refused("create", lena, nil, body) end
            for _, body in ipairs {
                {member_ids = {tom}}, {type = "2", member_ids = {tom}}, {type = 2}, {type = 2, member_ids = {}}, {type = 2,
                    member_ids = {"x"}},
                {type = 2, member_ids = {0}}, {type = 2, member_ids = {tom}, title = ("x"):rep(65)}, {type = 2,
                    member_ids = {tom}, title = "a\127"},
                {type = 2, member_ids = {tom}, title = "a\nb"}, {type = 3, member_ids = "x"},
            } do
                assert.same({"bad_request"}, bad(body))
            end
            assert.same({"bad_request", "invalid conversation type"}, bad {type = 3, member_ids = {tom}})
            assert.same({"bad_request", "invalid conversation type"}, bad {type = 0, member_ids = {tom}})
            assert.same({"group_full"}, bad {type = 2, member_ids = {91, 92, 93}})
            block(tom, lena)
            assert.same({"not_found", "target user not found"}, bad {type = 2, member_ids = {tom, 99}})
            assert.same({"blocked"}, bad {type = 2, member_ids = {mia, tom}})
            assert.same({0, json.list {}}, {w:call("group.list", lena).total, w:data("group.list", lena)})
            assert.equal(3, create(lena, {type = 2, member_ids = {mia, zoe}}).member_count)
        end)
    end)

    it("[48] an unknown conversation and a foreign one give the same answer in every row but join", function()
        local id = group(lena, {tom})
        for verb, body in pairs {
            get = {}, update = {title = "x"}, dissolve = {}, settings = {}, announcement = {text = ""}, mute_all = {enabled = true},
            nickname = {nickname = "x"}, members = {}, add = {user_ids = {mia}}, leave = {}, transfer = {user_id = tom}, requests = {},
        } do
            for _, at in ipairs {id, 99} do assert.same({"not_member"}, refused(verb, mia, at, body), verb) end
        end
        for verb, body in pairs {remove = {}, role = {role = "admin"}, mute = {until_ms = 0}, request = {accept = true}} do
            for _, at in ipairs {id, 99} do
                assert.same({"not_member"}, {w:refused("group." .. verb, mia, {id = {at, tom}, body = body})}, verb)
            end
        end
        assert.same({}, w.pushes)
        assert.same({"not_found", "conversation not found"}, refused("join", mia, 99))
    end)

    it("ids and body are checked before membership", function()
        assert.same({"bad_request", "invalid conversation id"}, refused("get", lena, "x"))
        assert.same({"bad_request", "invalid conversation id"}, refused("join", lena, 1 << 53))
        for verb, body in pairs {
            update = {title = 1}, announcement = {}, mute_all = {enabled = 1}, nickname = {nickname = "a\nb"},
                add = {user_ids = json.list {}},
            transfer = {}, settings = {pinned = 1},
        } do
            assert.same({"bad_request"}, refused(verb, mia, 99, body), verb)
        end
        for verb, body in pairs {role = {role = "owner"}, mute = {until_ms = -1}, request = {}} do
            assert.same({"bad_request"}, {w:refused("group." .. verb, mia, {id = {99, tom}, body = body})}, verb)
        end
        assert.same({"bad_request", "invalid user id"}, {w:refused("group.remove", mia, {id = {99, 0}})})
    end)

    describe("the list", function()
        it("has pinned ones first, then the latest activity, then the id, with total", function()
            local a, b, c = group(lena, {}), group(lena, {}), group(lena, {})
            local function order()
                local ids = {}
                for i, d in ipairs(w:data("group.list", lena)) do ids[i] = d.id end
                return ids
            end
            assert.same({a, b, c}, order())
            w:say(b, lena, "later", {at = w.now + 5})
            assert.same({b, a, c}, order())
            w:data("group.settings", lena, {id = {c}, body = {pinned = true}})
            assert.same({c, b, a}, order())
            assert.equal(3, w:call("group.list", lena).total)
        end)

        it("goes on from page to page without repeating or skipping what does not change", function()
            local want = {}
            for i = 1, 9 do
                local id = group(lena, {})
                if i % 3 == 0 then w:data("group.settings", lena, {id = {id}, body = {pinned = true}}) end
                if i % 2 == 0 then w:say(id, lena, "x", {at = w.now + i}) end
            end
            for i, d in ipairs(w:data("group.list", lena)) do want[i] = d.id end
            local seen, cursor = {}, nil
            repeat
                local r = w:call("group.list", lena, {query = {limit = "2", cursor = cursor}})
                for _, d in ipairs(r.data) do seen[#seen + 1] = d.id end
                cursor = r.next_cursor
            until cursor == ""
            assert.same({9, want}, {#seen, seen})
        end)

        it("shows the newest message, a recalled one as placeholder, and null where there is none", function()
            local id = group(lena, {tom})
            assert.equal(json.null, get(lena, id).last_message)
            w:say(id, tom, "hi", {at = w.now + 123})
            local d = w:data("group.list", lena)[1]
            assert.same({
                id = 1, conversation_id = id, sender_id = tom, seq = 1, content_type = 1, body = {text = {text = "hi"}},
                    client_msg_id = "c-1",
                create_time = {seconds = 1760000000, nanos = 123000000}, created_at_ms = w.now + 123, status = "normal", reply_to = 0,
            }, d.last_message)
            assert.equal(w.now + 123, d.updated_at_ms)
            w:say(id, tom, "", {recalled = true})
            d = w:data("group.list", lena)[1].last_message
            assert.same({"recalled", "{}"}, {d.status, json.encode(d.body)})
        end)

        it("[22] unread counts up to one's own newest message or read position, whichever is higher", function()
            local id = group(lena, {tom})
            local function counts(user)
                local d = get(user, id)
                return {d.unread, d.read_seq, d.latest_seq}
            end
            for _ = 1, 3 do w:say(id, tom, "x") end
            assert.same({{3, 0, 3}, {0, 3, 3}}, {counts(lena), counts(tom)})
            w:say(id, lena, "y")
            assert.same({{0, 4, 4}, {1, 3, 4}}, {counts(lena), counts(tom)})
            w:say(id, tom, "z")
            w:sql("UPDATE member SET read_seq = 2 WHERE user = " .. lena)
            assert.same({1, 4, 5}, counts(lena))
            w:sql("UPDATE member SET read_seq = 5 WHERE user = " .. lena)
            assert.same({0, 5, 5}, counts(lena))
            w:sql "UPDATE conversation SET folded_seq = 5" -- sends up to there are counted in read_seq
            w:sql("UPDATE member SET read_seq = 1 WHERE user = " .. tom)
            assert.same({4, 1, 5}, counts(tom))
            local members = w:data("group.members", lena, {id = {id}})
            assert.same({5, 1}, {members[1].read_seq, members[2].read_seq})
        end)
    end)

    it("members: owner, admins, then by join time, in pages, with total", function()
        local id = group(lena, {tom, mia})
        w.now = w.now + 1000
        w:data("group.add", lena, {id = {id}, body = {user_ids = {zoe}}})
        w:data("group.role", lena, {id = {id, zoe}, body = {role = "admin"}})
        w:data("group.nickname", tom, {id = {id}, body = {nickname = "T"}})
        local function page(cursor) return w:call("group.members", mia, {id = {id}, query = {limit = "3", cursor = cursor}}) end
        local r = page()
        local ids = {}
        for i, m in ipairs(r.data) do ids[i] = m.user.id end
        assert.same({4, {lena, zoe, tom}}, {r.total, ids})
        assert.same({
            user = {id = tom, username = "tom", display_name = "Tom", avatar_url = ""}, role = "member", nickname = "T", muted_until_ms = 0,
            joined_at_ms = w.now - 1000, read_seq = 0,
        }, r.data[3])
        r = page(r.next_cursor)
        assert.same({mia, ""}, {r.data[1].user.id, r.next_cursor})
        local other = group(lena, {tom, mia, zoe})
        local cursor = page().next_cursor
        assert.same({"bad_request"}, {w:refused("group.members", mia, {id = {other}, query = {cursor = cursor}})})
    end)

    describe("changes", function()
        local id
        before_each(function()
            id = group(lena, {tom, mia}, "old")
            w:data("group.role", lena, {id = {id, tom}, body = {role = "admin"}})
        end)
        local function change(verb, user, body, device) return w:data("group." .. verb, user, {id = {id}, body = body, device = device}) end

        it("[44] of title, avatar, join mode, announcement, mute_all go to all alike, without a viewer's own keys", function()
            for _, try in ipairs {
                {"update", {title = "new"}, "title", "new"}, {"update", {avatar_url = "/a.png"}, "avatar_url", "/a.png"},
                {"update", {join_mode = "free"}, "join_mode", "free"}, {"announcement", {text = "line\nline"}, "announcement",
                    "line\nline"},
                {"announcement", {text = ""}, "announcement", ""}, {"mute_all", {enabled = true}, "mute_all", true},
                {"mute_all", {enabled = false}, "mute_all", false},
            } do
                local d = change(try[1], tom, try[2], "phone")
                assert.equal(try[4], d[try[3]])
                assert.equal("admin", d.role)
                local push = w.pushes[1]
                assert.same({1, "conversation_update", "updated", {lena, tom, mia}}, {#w.pushes, push.type, push.data.action, push.to})
                assert.same({user = tom, device = "phone"}, push.except)
                local want = {table.unpack(ALL_SHARED)}
                table.sort(want)
                assert.same(want, keys(push.data.conversation))
                assert.equal(try[4], push.data.conversation[try[3]])
                assert.same({"changed", "conversation_update updated"}, w:order())
            end
        end)

        it("that change nothing, or are empty, tell nobody", function()
            change("update", lena, {title = "old"})
            change("update", lena, {title = "", avatar_url = "", join_mode = ""})
            change("update", lena, {})
            change("mute_all", lena, {enabled = false})
            assert.same({}, w.events)
            assert.equal("old", get(lena, id).title)
        end)

        it("are for owner and admins", function()
            for verb, body in pairs {update = {title = "x"}, announcement = {text = "x"}, mute_all = {enabled = true}, requests = {}} do
                assert.same({"forbidden"}, refused(verb, mia, id, body), verb)
            end
        end)

        it("must be in range", function()
            for _, try in ipairs {
                {"update", {title = ("x"):rep(65)}}, {"update", {title = "a\nb"}}, {"update", {avatar_url = ("x"):rep(513)}},
                {"update", {join_mode = "closed"}}, {"announcement", {text = ("x"):rep(2001)}}, {"announcement", {}}, {"mute_all", {}},
                {"nickname", {nickname = ("x"):rep(65)}}, {"nickname", {}}, {"settings", {muted = "yes"}},
            } do
                assert.same({"bad_request"}, refused(try[1], lena, id, try[2]))
            end
            assert.truthy(change("announcement", lena, {text = ("ü"):rep(2000)}))
            assert.equal(512, #change("update", lena, {avatar_url = ("x"):rep(512)}).avatar_url)
        end)

        it("settings are the caller's own: any conversation, told to their other devices, only when they change", function()
            local d = change("settings", mia, {pinned = true, muted = true}, "phone")
            assert.same({true, true}, {d.pinned, d.muted})
            assert.same({1, "settings", {mia}, {user = mia, device = "phone"}}, {#w.pushes, w.pushes[1].data.action,
                w.pushes[1].to, w.pushes[1].except})
            assert.same(d, w.pushes[1].data.conversation)
            change("settings", mia, {pinned = true})
            assert.same({}, w.pushes)
            d = change("settings", mia, {pinned = false})
            assert.same({false, true}, {d.pinned, d.muted})
            assert.same({false, false}, {get(lena, id).pinned, get(lena, id).muted})
        end)

        it("nickname: everybody may set their own; all members are told", function()
            local m = change("nickname", mia, {nickname = "M"}, "phone")
            assert.same({"M", mia}, {m.nickname, m.user.id})
            local p = w.pushes[1]
            assert.same({1, {lena, tom, mia}, "member_update", {user = mia, device = "phone"}}, {#w.pushes, p.to, p.type, p.except})
            assert.same({
                conversation_id = id, action = "nickname", user_ids = {mia}, operator_id = mia, role = "", until_ms = 0, nickname = "M",
                request_id = 0, member_count = 3,
            }, p.data)
            change("nickname", mia, {nickname = "M"})
            assert.same({}, w.pushes)
        end)

        it("dissolve: owner only, pushed once; repeated it succeeds", function()
            for _, user in ipairs {tom, mia} do assert.same({"forbidden"}, refused("dissolve", user, id)) end
            assert.same({}, change("dissolve", lena, {}))
            assert.same({"changed", "conversation_update dissolved"}, w:order())
            assert.same({{lena, tom, mia}, "dissolved"}, {w.pushes[1].to, w.pushes[1].data.conversation.status})
            assert.same({}, change("dissolve", lena, {}))
            assert.same({}, w.events)
            assert.same({"forbidden"}, refused("dissolve", tom, id))
        end)

        it("in a dissolved group only list, get, dissolve, settings, members and leave work", function()
            change("dissolve", lena, {})
            for verb, body in pairs {
                update = {title = "x"}, announcement = {text = "x"}, mute_all = {enabled = true}, nickname = {nickname = "x"},
                add = {user_ids = {zoe}}, transfer = {user_id = tom}, requests = {},
            } do
                for _, user in ipairs {lena, mia} do assert.same({"dissolved"}, refused(verb, user, id, body), verb) end
            end
            for verb, body in pairs {remove = {}, role = {role = "admin"}, mute = {until_ms = 0}, request = {accept = true}} do
                assert.same({"dissolved"}, {w:refused("group." .. verb, mia, {id = {id, tom}, body = body})}, verb)
            end
            assert.same({"dissolved"}, refused("join", zoe, id))
            assert.same({"conflict", "already a member"}, refused("join", mia, id))
            assert.equal("dissolved", get(mia, id).status)
            assert.equal(3, #w:data("group.members", mia, {id = {id}}))
            assert.equal(true, change("settings", mia, {pinned = true}).pinned)
            assert.equal(1, #w:data("group.list", mia))
            assert.same({}, change("leave", lena, {}))
            assert.same({}, w:data("group.list", lena))
        end)
    end)
end)

describe("may_send", function()
    local NOW <const> = 1760000000000
    local MEMBER <const>, ADMIN <const>, OWNER <const> = 1, 2, 3
    local policy
    setup(function()
        fake.new()
        policy = require("group").policy.may_send
    end)
    local function ask(f)
        return policy(f.type or 2, f.dissolved or 0, f.rank or MEMBER, f.muted or 0, f.mute_all or 0, f.blocked or 0, NOW)
    end

    it("[31] lets members send, unless dissolved, muted, under mute_all, or blocked, in this order", function()
        assert.equal(0, ask {})
        assert.equal("dissolved", ask {dissolved = 1, muted = NOW + 1, mute_all = 1, blocked = 1})
        assert.equal("muted", ask {muted = NOW + 1, blocked = 1})
        assert.equal("muted", ask {mute_all = 1, blocked = 1})
        assert.equal("blocked", ask {type = 1, blocked = 1})
        assert.equal(0, ask {type = 1, mute_all = 1})
    end)

    it("a mute ends by itself; owner and admins speak under mute_all, but not when muted themselves", function()
        assert.equal(0, ask {muted = NOW})
        for _, rank in ipairs {ADMIN, OWNER} do
            assert.equal(0, ask {mute_all = 1, rank = rank})
            assert.equal("muted", ask {muted = NOW + 1, rank = rank})
        end
    end)
end)
