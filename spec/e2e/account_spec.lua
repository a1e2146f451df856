-- PROTOCOL.md section 4 and rows 1 to 11: accounts, tokens, login, back-off.
local node = require "spec.support.node"
local http = require "spec.support.http"

local function code(r) return {r.status, r.json.code} end

describe("accounts", function()
    local n
    setup(function() n = node.start() end)
    teardown(function() n:finish() end)

    local function register(body) return n:api("POST", "/api/auth/register", {body = body}) end
    local function login(name, password, opt)
        opt = opt or {}
        opt.body = {username = name, password = password or "correct horse 9"}
        return n:api("POST", "/api/auth/login", opt)
    end

    it("register: AuthPayload inside the envelope, the name folded", function()
        local r = register {username = "Lena.K", password = "correct horse 9", display_name = "Lena"}
        assert.same({200, 0, "success"}, {r.status, r.json.code, r.json.message})
        local d = r.json.data
        assert.same({"Bearer", 900, "active"}, {d.token_type, d.expires_in, d.profile.status})
        assert.same({id = d.profile.user.id, username = "lena.k", display_name = "Lena", avatar_url = ""}, d.profile.user)
        assert.same({409, "username_taken"}, code(register {username = "LENA.k", password = "correct horse 9"}))
    end)

    it("login: bare AuthPayload, the name in any case", function()
        register {username = "case", password = "correct horse 9"}
        local r = login("CASE")
        assert.equal(200, r.status)
        assert.is_nil(r.json.data)
        assert.truthy(r.json.access_token and r.json.refresh_token)
        assert.equal("case", r.json.profile.user.display_name)
    end)

    it("refuse bad names and passwords with their texts", function()
        for _, name in ipairs {"ab", ("x"):rep(33), "has blank", "ä.b", "", "a/b"} do
            local r = register {username = name, password = "correct horse 9"}
            assert.same({400, "bad_username", "username must have 3 to 32 of a-z 0-9 _ . -"}, {r.status, r.json.code, r.json.error}, name)
        end
        for _, password in ipairs {"short", ("x"):rep(129), ""} do
            local r = register {username = "fine.name", password = password}
            assert.same({400, "weak_password", "password must have 8 to 128 characters"}, {r.status, r.json.code, r.json.error})
        end
        assert.equal(200, register({username = "umlauts", password = ("ü"):rep(128)}).status)
        assert.same({400, "bad_request"}, code(register {username = "display", password = "correct horse 9", display_name = ("x"):rep(65)}))
        assert.same({400, "bad_request"}, code(register {username = "display", password = "correct horse 9", display_name = "a\nb"}))
        assert.same({400, "bad_request"}, code(register {username = "display", password = "correct horse 9", device_id = "a b"}))
    end)

    it("[26] a wrong password gives 400, the 11th try 429 with Retry-After, also with the right one", function()
        register {username = "victim", password = "correct horse 9"}
        for _ = 1, 10 do
            local r = login("victim", "wrong password")
            assert.same({400, "invalid_credentials", "invalid username or password"}, {r.status, r.json.code, r.json.error})
        end
        local r = login "victim"
        assert.same({429, "rate_limited", "too many attempts"}, {r.status, r.json.code, r.json.error})
        assert.truthy(tonumber(r.headers["retry-after"]) <= 30)
        for _ = 1, 10 do assert.equal(400, login("nobody.here", "wrong password").status) end
        assert.equal(429, login("nobody.here", "wrong password").status)
        -- from another address the account still opens
        local other = http.new(n.http_address, {bind = "127.0.0.9"})
        assert.equal(200, other:request("POST", "/api/auth/login", {body = {username = "victim", password = "correct horse 9"}}).status)
        other:close()
    end)

    it("a success resets the count of failures", function()
        register {username = "reset", password = "correct horse 9"}
        for _ = 1, 9 do login("reset", "wrong password") end
        assert.equal(200, login("reset").status)
        for _ = 1, 10 do assert.equal(400, login("reset", "wrong password").status) end
        assert.equal(429, login("reset").status)
    end)

    it("[27] a refresh token is no access token, an access token no refresh token", function()
        local p = n:person()
        assert.same({401, "invalid_token"}, code(n:api("GET", "/api/users/me", {token = p.refresh})))
        assert.same({401, "invalid_token"}, code(n:api("POST", "/api/auth/refresh", {body = {refresh_token = p.token}})))
    end)

    it("[27] forged tokens are refused: none, another algorithm, another secret, no exp, cut, changed", function()
        local p = n:person()
        local head, claims, sign = p.token:match("^([^.]+)%.([^.]+)%.(.+)$")
        local forged = {
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." .. claims .. ".", "eyJhbGciOiJub25lIn0." .. claims .. "." .. sign,
            "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9." .. claims .. "." .. sign, head .. "." .. claims, head .. "." .. claims .. ".",
            head .. "." .. claims .. "." .. sign:sub(1, -3), head .. "." .. claims:sub(1, -2) .. "A." .. sign, "a.b.c", "...", "",
        }
        for _, t in ipairs(forged) do
            local r = n:api("GET", "/api/users/me", {token = t})
            assert.equal(401, r.status, t)
        end
    end)

    it("a missing and a malformed Authorization have their own texts", function()
        local r = n:api("GET", "/api/users/me")
        assert.same({401, "unauthorized", "missing authorization header"}, {r.status, r.json.code, r.json.error})
        r = n:api("GET", "/api/users/me", {headers = {"Authorization: Basic abc"}})
        assert.same({401, "unauthorized", "invalid authorization format"}, {r.status, r.json.code, r.json.error})
    end)

    it("[28] refresh gives a new pair once; a repeat within the grace the same pair", function()
        local p = n:person()
        local function refresh(t) return n:api("POST", "/api/auth/refresh", {body = {refresh_token = t}}) end
        local first = refresh(p.refresh)
        assert.equal(200, first.status)
        assert.not_equal(p.refresh, first.json.refresh_token)
        local again = refresh(p.refresh)
        assert.same({first.json.access_token, first.json.refresh_token}, {again.json.access_token, again.json.refresh_token})
        local second = refresh(first.json.refresh_token)
        assert.equal(200, second.status)
        -- the pair's own refresh token has been used: now the first one is reuse, and the family ends
        assert.same({401, "token_reused"}, code(refresh(p.refresh)))
        assert.same({401, "token_revoked"}, code(n:api("GET", "/api/users/me", {token = second.json.access_token})))
        assert.same({401, "token_revoked"}, code(refresh(second.json.refresh_token)))
    end)

    it("[28] of concurrent refreshes all get one and the same pair", function()
        local p = n:person()
        local clients, pairs_seen, count = {}, {}, 0
        local body = ('{"refresh_token":"%s"}'):format(p.refresh)
        for i = 1, 10 do
            clients[i] = n:http()
            clients[i]:connect():send("POST /api/auth/refresh HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
        end
        for i = 1, 10 do
            local r = clients[i]:read()
            assert.equal(200, r.status, r.body)
            local t = r.body:match('"refresh_token":"([^"]+)"')
            if not pairs_seen[t] then count = count + 1 end
            pairs_seen[t] = true
            clients[i]:close()
        end
        assert.equal(1, count)
    end)

    it("[29] logout refuses the token at once and closes that login's sockets with 4004, no others", function()
        local p = n:person()
        local other = login(p.name)
        local mine = p:socket("mine")
        local first = p.token
        p.token = other.json.access_token
        local kept = p:socket("kept")
        p.token = first
        local r = p:post("/api/auth/logout")
        assert.same({200, {}}, {r.status, r.json.data})
        assert.equal(4004, mine:close_code())
        assert.same({401, "token_revoked"}, code(n:api("GET", "/api/users/me", {token = first})))
        assert.same({401, "token_revoked"}, code(n:api("POST", "/api/auth/refresh", {body = {refresh_token = p.refresh}})))
        assert.equal("pong", kept:ask("ping").type)
        assert.equal(200, n:api("GET", "/api/users/me", {token = other.json.access_token}).status)
        kept:close()
    end)

    it("a person sees where they are logged in and ends the others: their tokens are refused, their sockets get 4004", function()
        local p = n:person {device = "laptop"}
        local phone = login(p.name).json
        local mine = p.token
        p.token = phone.access_token
        local c = p:socket("phone")
        p.token = mine
        local list = p:get("/api/auth/logins").json.data
        assert.same({2, false, true}, {#list, list[1].current, list[2].current})
        assert.same({400, "bad_request"}, code(p:delete("/api/auth/logins/x")))
        local foreign = n:person()
        assert.equal(200, foreign:delete("/api/auth/logins/" .. list[1].id).status)
        assert.equal(200, n:api("GET", "/api/users/me", {token = phone.access_token}).status)
        assert.same({ended = 1}, p:delete("/api/auth/logins").json.data)
        assert.equal(4004, c:close_code())
        assert.same({401, "token_revoked"}, code(n:api("GET", "/api/users/me", {token = phone.access_token})))
        assert.equal(200, p:get("/api/users/me").status)
    end)

    it("logout stays over a restart", function()
        local m = node.start()
        local p = m:person()
        p:post("/api/auth/logout")
        m:crash()
        m.client = nil
        m:up()
        assert.same({401, "token_revoked"}, code(p:get("/api/users/me")))
        m:finish()
    end)

    it("me: read and changed, empty means unchanged", function()
        local p = n:person {display_name = "Old"}
        local r = p:put("/api/users/me", {display_name = "New", avatar_url = "/a.png"})
        assert.same({"New", "/a.png"}, {r.json.data.user.display_name, r.json.data.user.avatar_url})
        r = p:put("/api/users/me", {display_name = "", avatar_url = ""})
        assert.same({"New", "/a.png"}, {r.json.data.user.display_name, r.json.data.user.avatar_url})
        r = p:put("/api/users/me", {clear_avatar = true})
        assert.equal("", r.json.data.user.avatar_url)
        assert.same(r.json.data, p:get("/api/users/me").json.data)
        assert.same({400, "bad_request"}, code(p:put("/api/users/me", {avatar_url = ("x"):rep(513)})))
        assert.equal(200, p:api("PUT", "/api/users/me").status)
    end)

    it("users are found by id, by name and by prefix, in that order", function()
        local a = n:person {name = "zoe.smith", display_name = "Zoe"}
        local b = n:person {name = "zoe", display_name = "other"}
        local c = n:person {name = "someone.z", display_name = "ZOEtrope"}
        local function found(q)
            local ids = {}
            for i, u in ipairs(a:get("/api/users/search?q=" .. q).json.data) do ids[i] = u.id end
            return ids
        end
        assert.same({b.id, a.id, c.id}, found("Zoe"))
        assert.same({c.id}, found(tostring(c.id)))
        assert.same({}, found("%25"))
        assert.equal(400, a:get("/api/users/search?q=").status)
        assert.equal(400, a:get("/api/users/search?q=" .. ("x"):rep(65)).status)
        assert.same({id = b.id, username = "zoe", display_name = "other", avatar_url = ""}, a:get("/api/users/" .. b.id).json.data)
        assert.same({404, "not_found"}, code(a:get("/api/users/99999999")))
        local r = a:get("/api/users/x")
        assert.same({400, "bad_request", "invalid user id"}, {r.status, r.json.code, r.json.error})
    end)
end)

describe("failed logins while kv is full", function()
    it("go on to be counted: whoever fills it cannot guess at will", function()
        local n = node.start {["kv.max_entries"] = 20}
        local p, other = n:person(), n:person()
        local function login(name, password)
            return n:api("POST", "/api/auth/login", {body = {username = name, password = password}})
        end
        for i = 1, 60 do assert.equal(400, login("nobody" .. i, "wrong password").status) end
        for _ = 1, 9 do assert.equal(400, login(p.name, "wrong password").status) end
        local tries = 9 -- one of the 60 may share the count
        while tries < 11 and login(p.name, "wrong password").status == 400 do tries = tries + 1 end
        assert.truthy(tries <= 10)
        local r = login(p.name, "correct horse 9")
        assert.same({429, "too many attempts"}, {r.status, r.json.error})
        assert.truthy(tonumber(r.headers["retry-after"]) >= 1)
        assert.equal(200, login(other.name, "correct horse 9").status)
        n:finish()
    end)
end)

describe("address limits", function()
    it("answer 429 with Retry-After, for logins apart from the rest", function()
        local n = node.start {["limits.auth_addr"] = "1/3", ["limits.http_addr"] = "5/10", ["limits.http_user"] = "2/4"}
        local seen = {}
        for i = 1, 50 do -- each name has failures of its own
            local r = n:api("POST", "/api/auth/login", {body = {username = "abc" .. i, password = "x"}})
            seen[r.status] = (seen[r.status] or 0) + 1
            if r.status == 429 then
                assert.equal("rate limit exceeded", r.json.error)
                assert.truthy(tonumber(r.headers["retry-after"]) >= 1)
                break
            end
        end
        assert.truthy(seen[429] and seen[400])
        n:finish()
    end)
end)
