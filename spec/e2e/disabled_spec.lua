-- PROTOCOL.md section 4, Disabling: an operator disables, freezes and enables accounts on the console; what the user sees.
local node = require "spec.support.node"
local ctl = require "spec.support.ctl"
local ws = require "spec.support.ws"

local function code(r) return {r.status, r.json.code, r.json.error} end
local DISABLED <const> = {403, "user_disabled", "user is disabled"}

describe("a disabled account", function()
    local n, console
    setup(function()
        n = node.start {["admin.listen"] = "127.0.0.1:0"}
        console = ctl.open(n)
    end)
    teardown(function()
        console:close()
        n:finish()
    end)
    local function order(line)
        local v, word = console:ask(line)
        assert.equal("ok", word, line)
        return v
    end
    local function login(p)
        return n:api("POST", "/api/auth/login", {body = {username = p.name, password = "correct horse 9"}})
    end
    local function refresh(p) return n:api("POST", "/api/auth/refresh", {body = {refresh_token = p.refresh}}) end

    it("[52] gets 403 on login, refresh, J routes and /ws, its sockets 4004; once enabled its tokens work again", function()
        for verb, status in pairs {disable = "disabled", freeze = "frozen"} do
            local p, friend = n:person(), n:person()
            local chat = friend:chat(p)
            local s1, s2 = p:socket "one", p:socket("two", {on = "http"})
            assert.same({id = p.id, username = p.name, before = "active", status = status}, order(("user %s %d"):format(verb, p.id)))
            assert.same({4004, 4004}, {s1:close_code(), s2:close_code()})
            assert.same(DISABLED, code(login(p)))
            assert.same(DISABLED, code(refresh(p)))
            for _, r in ipairs {
                p:get "/api/users/me", p:put("/api/users/me", {display_name = "x"}), p:get "/api/conversations", p:get "/api/contacts",
                p:post("/api/messages", {conversation_id = chat, client_msg_id = "c", text = "x"}), p:get "/api/presence",
                p:get("/api/messages/history?conversation_id=" .. chat), p:post "/api/auth/logout", p:get("/api/users/" .. friend.id),
                p:post("/api/contacts/apply", {target_user_id = friend.id}),
            } do assert.same(DISABLED, code(r)) end
            local c, http_status, body = p:socket "three"
            assert.is_nil(c)
            assert.same({403, true}, {http_status, body:find('"code":"user_disabled"', 1, true) ~= nil})
            local wrong = n:api("POST", "/api/auth/login", {body = {username = p.name, password = "wrong password"}})
            assert.equal("invalid_credentials", wrong.json.code)
            assert.equal(200, friend:say(chat, "are you there?").id and 200)

            order("user enable " .. p.name)
            assert.equal(200, p:get("/api/users/me").status)
            assert.equal("active", p:get("/api/users/me").json.data.status)
            assert.equal(200, refresh(p).status) -- it was not used up
            assert.equal(200, login(p).status)
            s1 = assert(p:socket "one")
            assert.equal("pong", s1:ask("ping").type)
            s1:close()
        end
    end)

    it("is refused by `auth` on an open socket of another login's time, and by a foreign origin first", function()
        local p, friend = n:person(), n:person()
        order("user disable " .. p.id)
        local s = friend:socket()
        assert.equal("user_mismatch", s:ask("auth", {token = p.token}).data.code)
        s:close()
        local _, status, _, body = ws.open(n.ws_address, "/ws?token=" .. p.token, {headers = {"Origin: http://evil.example"}})
        assert.same({403, true}, {status, body:find("origin_denied", 1, true) ~= nil})
        order("user enable " .. p.id)
    end)

    it("is not found by search, and nobody can apply to it", function()
        local p, friend = n:person {display_name = "Zacharias the Seeker"}, n:person()
        local function found() return #friend:get("/api/users/search?q=zacharias").json.data end
        assert.equal(1, found())
        order("user disable " .. p.id)
        assert.equal(0, found())
        assert.equal(0, #friend:get("/api/users/search?q=" .. p.id).json.data)
        local r = friend:post("/api/contacts/apply", {target_user_id = p.id})
        assert.same({404, "not_found", "target user not found"}, code(r))
        order("user enable " .. p.id)
        assert.equal(1, found())
    end)

    it("rings nowhere", function()
        local p, friend = n:person(), n:person()
        local s = friend:socket()
        order("user disable " .. p.id)
        local r = s:ask("signaling", {action = "call", payload = {callee_id = p.id, conversation_id = 0, call_type = "audio"}})
        assert.equal("unavailable", r.data.status)
        s:close()
    end)

    it("stays disabled over a restart", function()
        local other = node.start {["admin.listen"] = "127.0.0.1:0"}
        local p = other:person()
        local c = ctl.open(other)
        assert.equal("ok", select(2, c:ask("user disable " .. p.id)))
        c:close()
        other:stop()
        other.client = nil
        other:up()
        assert.same(DISABLED, code(p:get "/api/users/me"))
        assert.is_nil((p:socket()))
        c = ctl.open(other)
        c:ask("user enable " .. p.id)
        c:close()
        assert.equal(200, p:get("/api/users/me").status)
        other:finish()
    end)

    it("a socket that is being opened while the account is disabled does not stay", function()
        for _ = 1, 20 do
            local p = n:person()
            console.sock:send(("user disable %d\n"):format(p.id))
            local s, status = p:socket()
            console:text ""
            if s then assert.equal(4004, s:close_code()) else assert.equal(403, status) end
        end
    end)
end)

describe("the console on users", function()
    local n, console, lena
    setup(function()
        n = node.start {["admin.listen"] = "127.0.0.1:0"}
        console = ctl.open(n)
        lena = n:person {device = "phone", display_name = "Lena"}
    end)
    teardown(function()
        console:close()
        n:finish()
    end)

    it("user: who it is, whether online, how many sessions and conversations", function()
        local p, friend = n:person {display_name = "Pia"}, n:person()
        p:chat(friend)
        local s = p:socket()
        local v = console:ask("user " .. p.id)
        assert.same({p.id, p.name, "Pia", "active", true, 1, 1, 1}, {v.id, v.username, v.display_name, v.status, v.online, v.sockets,
            v.sessions, v.conversations})
        assert.same(v, console:ask("user " .. p.name:upper()))
        s:close()
        local text, word = console:text "user nobody.at.all"
        assert.same({"error: there is no such user\n", "not_found"}, {text:match "error.*", word})
    end)

    it("sessions and revoke: one login, then all, with their sockets", function()
        local function login(device)
            local r = n:api("POST", "/api/auth/login", {body = {username = lena.name, password = "correct horse 9", device_id = device}})
            return {token = r.json.access_token}
        end
        local web, pad = login "web", login "pad"
        local rows = console:ask("sessions " .. lena.name)
        assert.same({"pad", "web", "phone", "live"}, {rows[1].device, rows[2].device, rows[3].device, rows[1].state})
        assert.truthy(rows[1].created_ms > 1.7e12 and rows[1].used_ms >= rows[1].created_ms)
        local s = assert(ws.open(n.ws_address, "/ws?device_id=web&token=" .. web.token))
        assert.same({id = lena.id, revoked = 1}, console:ask(("revoke %d %d"):format(lena.id, rows[2].family)))
        assert.equal(4004, s:close_code())
        assert.equal("token_revoked", n:api("GET", "/api/users/me", web).json.code)
        assert.equal(200, n:api("GET", "/api/users/me", pad).status)
        assert.equal("revoked", console:ask("sessions " .. lena.id)[2].state)
        assert.same({id = lena.id, revoked = 2}, console:ask("revoke " .. lena.id))
        assert.equal("token_revoked", n:api("GET", "/api/users/me", pad).json.code)
        local _, word = console:text(("revoke %d 99999"):format(lena.id))
        assert.equal("not_found", word)
    end)
end)
