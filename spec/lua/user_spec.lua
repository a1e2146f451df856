-- lua/user.lua: profiles and search (PROTOCOL.md rows 7, 8, 10, 11), and lists in pages (lua/lib/page.lua).
local fake = require "spec.lua.fake"

describe("users", function()
    local w, lena
    before_each(function()
        w = fake.new()
        lena = w:user("lena", "Lena")
    end)

    local function update(body) return w:data("user.update", lena, {body = body}).user end
    local function found(q, query)
        query = query or {}
        query.q = q
        local ids = {}
        for i, user in ipairs(w:data("user.search", lena, {query = query})) do ids[i] = user.id end
        return ids
    end

    it("see their own profile and change it; empty means unchanged", function()
        assert.same({user = {id = lena, username = "lena", display_name = "Lena", avatar_url = ""}, status = "active"},
            w:data("user.me", lena))
        assert.same({"New", "/a.png"}, (function(u) return {u.display_name, u.avatar_url} end)(update {display_name = "New",
            avatar_url = "/a.png"}))
        assert.same({"New", "/a.png"}, (function(u) return {u.display_name, u.avatar_url} end)(update {display_name = "", avatar_url = ""}))
        assert.same({"New", "/a.png"}, (function(u) return {u.display_name, u.avatar_url} end)(update {}))
        assert.equal("/a.png", update({clear_avatar = false}).avatar_url)
        assert.equal("", update({clear_avatar = true}).avatar_url)
        assert.equal("New", w:data("user.me", lena).user.display_name)
        assert.same({}, w.pushes)
    end)

    it("cannot take values out of range", function()
        for _, body in ipairs {
            {display_name = ("x"):rep(65)}, {display_name = "a\127"}, {display_name = 1}, {avatar_url = ("x"):rep(513)},
            {avatar_url = ("ü"):rep(257)}, {clear_avatar = 1},
        } do
            assert.equal("bad_request", (w:refused("user.update", lena, {body = body})))
        end
        assert.truthy(update {display_name = ("ü"):rep(64), avatar_url = ("x"):rep(512)})
    end)

    it("are looked up by id", function()
        assert.same({id = lena, username = "lena", display_name = "Lena", avatar_url = ""}, w:data("user.get", lena, {id = {lena}}))
        assert.equal("not_found", (w:refused("user.get", lena, {id = {99}})))
        assert.same({"bad_request", "invalid user id"}, {w:refused("user.get", lena, {id = {"x"}})})
    end)

    describe("search", function()
        it("finds the very id or name first, then prefixes of name and display name, each by id", function()
            local a = w:user("zoe.smith", "Zoe")
            local b = w:user("zoe", "other")
            local c = w:user("someone", "ZOEtrope")
            assert.same({b, a, c}, found "Zoe")
            assert.same({c}, found(tostring(c)))
            assert.same({lena}, found "LEN")
        end)

        it("takes % and _ as they are", function()
            w:user("a_b", nil)
            local c = w:user("axb", "100% sure")
            assert.same({}, found "%")
            assert.same({2}, found "a_")
            assert.same({c}, found "100%")
        end)

        it("never shows disabled users or users who blocked the caller", function()
            local a, b, c = w:user("tom.a"), w:user("tom.b"), w:user("tom.c")
            w:sql("UPDATE user SET status = 'disabled' WHERE id = " .. a)
            w:data("contact.block", b, {body = {user_id = lena}})
            w:data("contact.block", lena, {body = {user_id = c}})
            assert.same({c}, found "tom")
            assert.same({}, found(tostring(a)))
        end)

        it("goes on from page to page", function()
            for i = 1, 7 do w:user("user" .. i) end
            local seen, cursor = {}, nil
            repeat
                local r = w:call("user.search", lena, {query = {q = "user", limit = "3", cursor = cursor}})
                for _, u in ipairs(r.data) do seen[#seen + 1] = u.username end
                cursor = r.next_cursor
            until cursor == ""
            assert.same({"user1", "user2", "user3", "user4", "user5", "user6", "user7"}, seen)
        end)

        it("wants 1 to 64 characters", function()
            for _, q in ipairs {"", ("x"):rep(65)} do assert.equal("bad_request", (w:refused("user.search", lena, {query = {q = q}}))) end
            assert.equal("bad_request", (w:refused("user.search", lena, {query = {}})))
            assert.same({}, found(("ü"):rep(64)))
        end)
    end)
end)

describe("pages", function()
    local w, lena
    before_each(function()
        w = fake.new()
        lena = w:user("lena")
        for i = 1, 60 do
            local id = w:user("u" .. i .. ".")
            w:sql(("INSERT INTO block VALUES (%d, %d, 1)"):format(lena, id))
        end
    end)
    local function page(query) return w:call("contact.block_list", lena, {query = query}) end

    it("default, 0 and empty limits are the default; larger ones are cut", function()
        for _, limit in ipairs {"0", "", "100", "9999", "99999999999999999999"} do assert.equal(60, #page({limit = limit}).data, limit) end
        assert.equal(20, #w:data("user.search", lena, {query = {q = "u"}}))
        assert.equal(50, #w:data("user.search", lena, {query = {q = "u", limit = "60"}}))
    end)

    it("negative limits and what is no number are refused", function()
        for _, limit in ipairs {"-1", "x", "1.5", "+1", "1e1"} do
            assert.equal("bad_request", (w:refused("contact.block_list", lena, {query = {limit = limit}})), limit)
        end
    end)

    it("neither skip nor repeat rows that do not change, while others come and go", function()
        local seen, cursor, n = {}, nil, 0
        repeat
            local r = page {limit = "7", cursor = cursor}
            for _, u in ipairs(r.data) do
                assert.is_nil(seen[u.id])
                seen[u.id], n = true, n + 1
            end
            w:sql("DELETE FROM block WHERE peer = " .. r.data[1].id) -- one that was given out
            cursor = r.next_cursor
        until cursor == ""
        assert.equal(60, n)
    end)

    it("refuse a bad cursor and one of another list or filter", function()
        local cursor = page({limit = "1"}).next_cursor
        assert.truthy(page {cursor = cursor})
        local bad = {"x", "1", cursor .. "0", "9" .. cursor, cursor:gsub("%.", "_"), "9999999999999999999999." .. cursor:match("%.(.*)")}
        for _, text in ipairs(bad) do
            assert.equal("bad_request", (w:refused("contact.block_list", lena, {query = {cursor = text}})), text)
        end
        assert.equal("bad_request", (w:refused("contact.list", lena, {query = {cursor = cursor}})))
        local search = w:call("user.search", lena, {query = {q = "u", limit = "1"}}).next_cursor
        assert.equal("bad_request", (w:refused("user.search", lena, {query = {q = "u1", cursor = search}})))
    end)

    it("end with an empty cursor", function()
        assert.equal("", page({limit = "60"}).next_cursor)
        assert.not_equal("", page({limit = "59"}).next_cursor)
        assert.equal(60, #page({cursor = ""}).data)
    end)
end)
