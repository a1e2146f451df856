-- lua/operator.lua: what the console sees and does of users.
local fake = require "spec.lua.fake"

describe("the operator", function()
    local w, lena
    before_each(function()
        w = fake.new()
        lena = w:user("lena", "Lena")
    end)
    local function ask(verb, who, more)
        local req = more or {}
        req.who = tostring(who)
        w.events = {}
        return w:run("operator", verb, 0, req)
    end
    local function login()
        return w:call("auth.login", nil, {body = {username = "lena", password = "correct horse 9", device_id = "phone"}})
    end
    local function events()
        local out = {}
        for i, e in ipairs(w.events) do out[i] = {e.kind, e[1], e[2]} end
        return out
    end

    it("sees a user by id and by name in any case", function()
        login()
        local row = ask("show", lena)
        assert.same({lena, "lena", "Lena", "active", 2, 0, 0, "", false},
            {row.id, row.username, row.display_name, row.status, row.sessions, row.conversations, row.contacts, row.phone, row.online})
        assert.same(row, ask("show", "LENA"))
        for _, who in ipairs {"nobody", "99", "", "99999999999999999999"} do
            local _, err = ask("show", who)
            assert.same({"not_found", "there is no such user"}, {err.code, err.text})
        end
    end)

    it("disables, freezes and enables: the store first, then tokens and sockets", function()
        for verb, status in pairs {disable = "disabled", freeze = "frozen"} do
            assert.same({id = lena, username = "lena", before = "active", status = status}, ask(verb, lena))
            assert.same({{"disable", lena}}, events())
            assert.equal("user_disabled", w:refused("auth.login", nil, {body = {username = "lena", password = "correct horse 9"}}))
            assert.same({id = lena, username = "lena", before = status, status = "active"}, ask("enable", "lena"))
            assert.same({{"enable", lena}}, events())
            assert.truthy(login())
        end
    end)

    it("lists logins, the newest first, without those that have expired", function()
        local first = w.now
        w:advance(7 * 86400000)
        login()
        local rows = ask("sessions", lena)
        assert.same({{2, "phone", w.now, w.now, "", 0}}, {{rows[1].family, rows[1].device, rows[1].created_ms, rows[1].used_ms,
            rows[1].address, rows[1].revoked_ms}})
        assert.equal(1, #rows)
        assert.truthy(first < w.now)
    end)

    it("revokes one login or all", function()
        login()
        login()
        local tom = w:user "tom" -- his login is 4
        assert.same({id = lena, revoked = 1}, ask("revoke", lena, {family = 2}))
        assert.same({{"revoke", 2, lena}}, events())
        local _, err = ask("revoke", lena, {family = 2})
        assert.equal("not_found", err.code)
        _, err = ask("revoke", lena, {family = 4})
        assert.equal("not_found", err.code)
        assert.same({id = lena, revoked = 2}, ask("revoke", lena))
        assert.same({{"revoke", 1, lena}, {"revoke", 3, lena}}, events())
        assert.same({id = lena, revoked = 0}, ask("revoke", lena))
        assert.equal(0, ask("sessions", tom)[1].revoked_ms)
    end)
end)
