-- lua/auth.lua, lua/lib/backoff.lua: accounts and logins (PROTOCOL.md section 4, rows 1 to 4), on real SQL and a clock of its own.
local fake = require "spec.lua.fake"

local GOOD <const> = "correct horse 9"
local MINUTE <const> = 60000

describe("auth", function()
    local w
    before_each(function() w = fake.new() end)

    local function register(body) return w:call("auth.register", nil, {body = body}) end
    local function refused_register(body) return {w:refused("auth.register", nil, {body = body})} end
    local function login(name, password, req)
        req = req or {}
        req.body = {username = name, password = password or GOOD, device_id = req.device_id}
        return w:call("auth.login", nil, req)
    end
    local function refresh(token, req)
        req = req or {}
        req.body = {refresh_token = token}
        return w:call("auth.refresh", nil, req)
    end
    local function refresh_error(token, req)
        local result, err = refresh(token, req)
        assert.is_nil(result)
        return err.code
    end

    describe("register", function()
        it("answers an AuthPayload under data; the name is folded, an empty display name is the name", function()
            local d = register({username = "Lena.K", password = GOOD}).data
            assert.same({"Bearer", 900}, {d.token_type, d.expires_in})
            assert.same({user = {id = 1, username = "lena.k", display_name = "lena.k", avatar_url = ""}, status = "active"}, d.profile)
            assert.truthy(#d.access_token > 0 and #d.refresh_token > 0)
            assert.equal("Lena", register({username = "lena2", password = GOOD, display_name = "Lena"}).data.profile.user.display_name)
        end)

        it("takes a name once, in whatever case", function()
            register {username = "lena", password = GOOD}
            assert.same({"username_taken"}, refused_register {username = "LENA", password = GOOD})
        end)

        it("refuses names that are too short, too long or hold strange characters", function()
            for _, name in ipairs {"ab", "", ("x"):rep(33), "a b", "ä.b", "a/b", "a\nb"} do
                assert.same({"bad_username"}, refused_register {username = name, password = GOOD}, name)
            end
            for _, name in ipairs {"abc", ("x"):rep(32), "a_b.c-9"} do assert.truthy(register {username = name, password = GOOD}, name) end
        end)

        it("counts a password in characters and says the configured number", function()
            for _, password in ipairs {"1234567", "", ("x"):rep(129), ("ü"):rep(7)} do
                assert.same({"weak_password", "password must have 8 to 128 characters"}, refused_register {username = "abc",
                    password = password})
            end
            assert.truthy(register {username = "abc", password = ("ü"):rep(128)})
            assert.truthy(register {username = "least", password = "12345678"})
            w.conf["auth.min_password"] = 12
            assert.same({"weak_password", "password must have 12 to 128 characters"}, refused_register {username = "abcd",
                password = "12345678901"})
        end)

        it("refuses a body that is not in form before it looks at the name", function()
            for _, body in ipairs {
                {username = 7, password = GOOD}, {password = GOOD}, {username = "a"}, {username = "abc", password = 12345678},
                {username = "a", password = GOOD, display_name = ("x"):rep(65)}, {username = "a", password = GOOD, display_name = "a\1"},
                {username = "a", password = GOOD, device_id = "a b"}, {username = "a", password = GOOD, device_id = ""},
            } do
                assert.same({"bad_request"}, refused_register(body))
            end
        end)

        it("says so when the account was made and the login failed", function()
            w.before_write = function(op) if op == "login_pair" then fail("busy") end end
            assert.same({"internal", "register succeeded but login failed"}, refused_register {username = "abc", password = GOOD})
            w.before_write = nil
            assert.truthy(login "abc")
        end)
    end)

    describe("login", function()
        before_each(function() register {username = "lena", password = GOOD} end)

        it("answers the bare AuthPayload, the name in any case", function()
            local d = assert(login "LENA")
            assert.same({"lena", "Bearer"}, {d.profile.user.username, d.token_type})
        end)

        it("answers wrong password, unknown name and an account without password alike, for the same work", function()
            w:sql "INSERT INTO user (username, created_ms) VALUES ('bare', 1)"
            for _, try in ipairs {{"lena", "wrong password"}, {"nobody", GOOD}, {"bare", ""}, {"", ""}, {"lena", ("x"):rep(5000)}} do
                local before = w.work
                local _, err = login(try[1], try[2])
                assert.same({"invalid_credentials"}, {err.code, err.text})
                assert.equal(1, w.work - before, try[1])
            end
        end)

        it("tells a disabled account only to who knows the password", function()
            for _, status in ipairs {"disabled", "frozen"} do
                w:sql("UPDATE user SET status = '" .. status .. "'")
                assert.equal("user_disabled", select(2, login "lena").code)
                assert.equal("invalid_credentials", select(2, login("lena", "wrong password")).code)
            end
        end)

        it("refuses a body that is not in form", function()
            for _, body in ipairs {{username = "lena"}, {password = GOOD}, {username = "lena", password = GOOD, device_id = "ä"}} do
                assert.same("bad_request", (w:refused("auth.login", nil, {body = body})))
            end
        end)

        it("forgets logins whose tokens have all expired", function()
            w.now = w.now + 8 * 86400000
            login "lena"
            assert.equal("1", tostring(w:sql("SELECT count(*) FROM login"):fetch()))
        end)
    end)

    describe("back-off", function()
        before_each(function() register {username = "lena", password = GOOD} end)

        local function fail_times(n, name, req)
            for _ = 1, n do assert.equal("invalid_credentials", select(2, login(name or "lena", "wrong password", req)).code) end
        end
        local function waits(name, req)
            local result, err = login(name or "lena", GOOD, req)
            if result then return nil end
            assert.same({"rate_limited", "too many attempts"}, {err.code, err.text})
            return err.extra.retry_after_ms
        end

        it("[26] lets 10 failures pass, then makes everybody wait 30 s, also with the right password, unseen and uncounted", function()
            fail_times(10)
            local work = w.work
            for _ = 1, 5 do assert.equal(30000, waits()) end
            assert.equal(work, w.work)
            w.now = w.now + 29999
            assert.equal(1, waits())
            w.now = w.now + 1
            assert.is_nil(waits())
        end)

        it("doubles the wait with each further failure, at most 15 min", function()
            fail_times(10)
            for _, wait in ipairs {30, 60, 120, 240, 480, 900, 900} do
                assert.equal(wait * 1000, waits())
                w.now = w.now + wait * 1000
                fail_times(1)
            end
        end)

        it("counts unknown names too", function()
            fail_times(10, "nobody")
            assert.equal(30000, waits "nobody")
        end)

        it("counts for one account from one address", function()
            fail_times(10)
            assert.is_nil(waits("lena", {address = "10.0.0.2"}))
            register {username = "tom", password = GOOD}
            assert.is_nil(waits "tom")
            assert.truthy(waits "LENA")
        end)

        it("resets with a success", function()
            fail_times(9)
            assert.truthy(login "lena")
            fail_times(10)
            assert.truthy(waits())
        end)

        it("counts failures within 15 min, whenever those began", function()
            fail_times(1)
            w.now = w.now + 14 * MINUTE
            fail_times(8)
            w.now = w.now + 2 * MINUTE
            fail_times(2) -- the first one is 16 min old
            assert.equal(30000, waits())
        end)

        it("lets slow failures pass", function()
            for _ = 1, 30 do
                fail_times(1)
                w.now = w.now + 2 * MINUTE
            end
            assert.is_nil(waits())
        end)

        it("forgets everything after 15 quiet min", function()
            fail_times(10)
            w.now = w.now + 30000 + 15 * MINUTE
            fail_times(10)
            assert.equal(30000, waits())
        end)

        it("follows auth.max_failures", function()
            w.conf["auth.max_failures"] = 2
            fail_times(2)
            assert.truthy(waits())
        end)
    end)

    describe("refresh", function()
        local first
        before_each(function()
            register {username = "lena", password = GOOD}
            first = login("lena", GOOD, {device_id = "phone"})
        end)

        it("gives a new pair of the same login with its device", function()
            local next_one = refresh(first.refresh_token)
            assert.not_equal(first.refresh_token, next_one.refresh_token)
            assert.not_equal(first.access_token, next_one.access_token)
            assert.truthy(next_one.access_token:find("|1|2|phone|", 1, true))
            assert.same(first.profile, next_one.profile)
        end)

        it("[28] repeats the same pair to the same address within the grace", function()
            local pair = refresh(first.refresh_token)
            w.now = w.now + 9999
            local again = refresh(first.refresh_token)
            assert.same({pair.access_token, pair.refresh_token}, {again.access_token, again.refresh_token})
            assert.equal(891, again.expires_in)
        end)

        it("repeats it from another address with the same device", function()
            local pair = refresh(first.refresh_token, {device = "phone"})
            local again = refresh(first.refresh_token, {device = "phone", address = "10.9.9.9"})
            assert.equal(pair.access_token, again.access_token)
        end)

        it("[28] ends the login when it is used again later, elsewhere, or with grace 0", function()
            for _, case in ipairs {{later = 10000}, {address = "10.9.9.9"}, {address = "10.9.9.9", device = "other"}, {grace = 0}} do
                w = fake.new {["auth.refresh_grace"] = case.grace}
                register {username = "lena", password = GOOD}
                first = login "lena"
                local pair = refresh(first.refresh_token)
                w.now = w.now + (case.later or 0)
                assert.equal("token_reused", refresh_error(first.refresh_token, {address = case.address, device = case.device}))
                assert.same({{kind = "revoke", 2, 1}}, w.events)
                for _, token in ipairs {pair.refresh_token, first.refresh_token} do assert.equal("token_revoked", refresh_error(token)) end
            end
        end)

        it("[28] ends the login when the newer token has been used already", function()
            local pair = refresh(first.refresh_token)
            refresh(pair.refresh_token)
            assert.equal("token_reused", refresh_error(first.refresh_token))
        end)

        it("gives the same pair to one who came second while both had read the old state", function()
            local other
            w.before_write = function(op)
                if op ~= "login_rotate" or other then return end
                other = true
                other = refresh(first.refresh_token)
            end
            local mine = refresh(first.refresh_token)
            assert.equal(other.access_token, mine.access_token)
        end)

        it("refuses access tokens, garbage and logins that are gone", function()
            assert.equal("invalid_token", refresh_error(first.access_token))
            assert.equal("invalid_token", refresh_error "x")
            assert.equal("invalid_token", refresh_error "")
            assert.equal("bad_request", (w:refused("auth.refresh", nil, {body = {}})))
            w:sql "DELETE FROM login"
            assert.equal("invalid_token", refresh_error(first.refresh_token))
        end)

        it("refuses a disabled account and does not use the token up", function()
            w:sql "UPDATE user SET status = 'disabled'"
            assert.equal("user_disabled", refresh_error(first.refresh_token))
            w:sql "UPDATE user SET status = 'active'"
            assert.truthy(refresh(first.refresh_token))
        end)
    end)

    describe("logout", function()
        it("[29] ends this login only, and closes the sockets of a named device of the caller", function()
            register {username = "lena", password = GOOD}
            local mine, other = login "lena", login "lena"
            assert.same({}, w:data("auth.logout", 1, {fam = 2}))
            assert.same({{kind = "revoke", 2, 1}}, w.events)
            assert.equal("token_revoked", refresh_error(mine.refresh_token))
            assert.truthy(refresh(other.refresh_token))
            w:data("auth.logout", 1, {fam = 3, body = {device_id = "tablet"}})
            assert.same({{kind = "revoke", 3, 1}, {kind = "kick", {user = 1, device = "tablet"}}}, w.events)
            assert.equal("bad_request", (w:refused("auth.logout", 1, {body = {device_id = ""}})))
        end)
    end)

    describe("one's own logins", function()
        before_each(function() register {username = "lena", password = GOOD} end)

        it("are listed without those that ended, are ended one by one, or all but this one", function()
            login "lena"
            register {username = "tom", password = GOOD} -- login 3, of user 2
            local fourth = login "lena"
            local list = w:data("auth.logins", 1, {fam = 4})
            local seen = {}
            for i, l in ipairs(list) do seen[i] = {l.id, l.current, l.address} end
            assert.same({{4, true, ""}, {2, false, ""}, {1, false, ""}}, seen)
            w.events = {}
            assert.same({}, w:data("auth.end_login", 1, {fam = 4, id = {3}})) -- of somebody else
            assert.same({}, w.events)
            w:data("auth.end_login", 1, {fam = 4, id = {2}})
            assert.same({{kind = "revoke", 2, 1}}, w.events)
            assert.same({ended = 1}, w:data("auth.end_others", 1, {fam = 4}))
            assert.equal(1, #w:data("auth.logins", 1, {fam = 4}))
            assert.truthy(refresh(fourth.refresh_token))
        end)
    end)
end)
