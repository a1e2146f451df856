-- PROTOCOL.md section 4 under attack: forged, swapped, bent and stale tokens, on HTTP, on the handshake, in `auth` and in refresh.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local jwt = require "spec.support.jwt"
local json = require "spec.support.json"
local ws = require "spec.support.ws"
local P = require "parley_spec"

local OLD <const> = "the secret of last year, 32 bytes and more"
local OTHER <const> = "a secret that this node never had, 32 bytes"

describe("tokens", function()
    local n, lena, tom
    setup(function()
        n = node.start {["auth.old_secret"] = OLD}
        lena, tom = n:person {device = "laptop"}, n:person()
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    local function me(token) return n:api("GET", "/api/users/me", {token = token}) end
    local function refresh(token) return n:api("POST", "/api/auth/refresh", {body = {refresh_token = token}}) end

    -- the three doors answer alike: 401 with the same code (a token with a blank in it is no header of a request)
    local function refused(token, code, what)
        local r = me(token)
        assert.same({401, code, "invalid token"}, {r.status, r.json.code, r.json.error}, what)
        local c, status, _, body = ws.open(n.ws_address, "/ws?token=" .. token)
        assert.is_nil(c, what)
        assert.same({401, code}, {status, json.decode(body).code}, what)
    end

    local function claims_of(person, change)
        local claims = jwt.read(person.token)
        for key, v in pairs(change or {}) do claims[key] = v ~= json.null and v or nil end
        return claims
    end

    it("of the server hold what the contract says, signed as RFC 7515 says", function()
        local claims, head = jwt.read(lena.token)
        assert.equal("HS256", head.alg)
        assert.same({tostring(lena.id), "access", "laptop", 900}, {claims.sub, claims.typ, claims.did, claims.exp - claims.iat})
        local again = jwt.read(lena.refresh)
        assert.same({"refresh", claims.fam, 7 * 86400}, {again.typ, again.fam, again.exp - again.iat})
        assert.not_equal(claims.jti, again.jti)
        local signed, signature = lena.token:match("^(.*)%.([^.]*)$")
        assert.equal(signature, jwt.base64url(jwt.hmac(node.SECRET, signed)))
        assert.equal(200, me(jwt.make(claims, node.SECRET)).status) -- the forger of this spec works
    end)

    it("[27] with alg none, another alg or none at all are refused, however they are signed", function()
        for _, head in ipairs {'{"alg":"none"}', '{"alg":"None","typ":"JWT"}', '{"alg":"HS512"}', '{"alg":"RS256"}', '{"alg":"hs256"}',
            '{"typ":"JWT"}', '{"alg":["HS256"]}', '{"alg":null}', "[]", "{", "", '{"alg":"HS256","alg":"none"}'} do
            local token = jwt.make(claims_of(lena), node.SECRET, head)
            refused(token, "invalid_token", head)
            refused(token:match("^(.*%.)[^.]*$"), "invalid_token", head .. " unsigned")
        end
    end)

    it("[27] of another typ are refused at each door", function()
        refused(lena.refresh, "invalid_token", "refresh as access")
        assert.same({401, "invalid_token"}, (function(r) return {r.status, r.json.code} end)(refresh(lena.token)))
        for _, typ in ipairs {"refresh", "Access", "", "access ", 1, true, json.null} do
            refused(jwt.make(claims_of(lena, {typ = typ}), node.SECRET), "invalid_token", "typ " .. tostring(typ))
        end
        local c = lena:socket("swap")
        assert.equal("invalid_token", c:ask("auth", {token = lena.refresh}).data.code)
        assert.equal("pong", c:ask("ping").type)
        c:close()
    end)

    it("[27] without exp, with one that is no time, or with a sub that is no user are refused", function()
        for what, change in pairs {
            ["no exp"] = {exp = json.null}, ["text exp"] = {exp = "9999999999"}, ["fraction exp"] = {exp = 9999999999.5},
            ["huge exp"] = {exp = 1e300}, ["negative exp"] = {exp = -1}, ["no sub"] = {sub = json.null}, ["sub 0"] = {sub = "0"},
            ["sub as number"] = {sub = 1}, ["negative sub"] = {sub = "-1"}, ["sub with blank"] = {sub = " 1"}, ["sub +1"] = {sub = "+1"},
            ["sub hex"] = {sub = "0x1"}, ["sub 2^53"] = {sub = "9007199254740992"}, ["sub 2^64+1"] = {sub = "18446744073709551617"},
            ["empty sub"] = {sub = ""}, ["sub with NUL"] = {sub = "1\0"},
        } do
            local token = jwt.make(claims_of(lena, change), node.SECRET)
            local r = me(token)
            assert.equal(401, r.status, what)
            assert.truthy(r.json.code == "invalid_token" or what == "negative exp" and r.json.code == "token_expired", what)
        end
    end)

    it("that are past exp are token_expired; a bad signature comes before", function()
        local late = claims_of(lena, {exp = os.time() - 1})
        refused(jwt.make(late, node.SECRET), "token_expired", "expired")
        refused(jwt.make(late, OTHER), "invalid_token", "expired and forged")
    end)

    it("of another user signed with a key of the forger's own are refused, and change nothing", function()
        for _, key in ipairs {OTHER, "", node.SECRET .. "x", node.SECRET:sub(1, -2), node.SECRET:upper(), ("\0"):rep(32)} do
            refused(jwt.make(claims_of(lena, {sub = tostring(tom.id)}), key), "invalid_token", key)
        end
        -- the claims of one, the signature of the other
        local head, claims = tom.token:match("^([^.]+)%.([^.]+)%.")
        refused(head .. "." .. claims .. "." .. lena.token:match("[^.]+$"), "invalid_token", "swapped signature")
        assert.equal(lena.id, me(lena.token).json.data.user.id)
        assert.equal(tom.id, me(tom.token).json.data.user.id)
    end)

    it("of an older secret are taken, but nothing new is signed with it", function()
        local token = jwt.make(claims_of(lena), OLD)
        assert.equal(lena.id, me(token).json.data.user.id)
        local c = assert(ws.open(n.ws_address, "/ws?device_id=old&token=" .. token))
        assert.equal(lena.id, c:next().data.user_id)
        c:close()
        local p = n:person()
        for _, t in ipairs {p.token, p.refresh, refresh(p.refresh).json.access_token} do
            local signed, signature = t:match("^(.*)%.([^.]*)$")
            assert.equal(jwt.base64url(jwt.hmac(node.SECRET, signed)), signature)
        end
    end)

    it("cut anywhere are refused", function()
        for at = 0, #lena.token - 1 do
            local r = me(lena.token:sub(1, at))
            assert.equal(401, r.status, at)
        end
    end)

    it("with one character changed at any place are refused", function()
        for at = 1, #lena.token do
            local c = lena.token:sub(at, at)
            local other = c == "A" and "Q" or c == "." and "," or "A"
            local r = me(lena.token:sub(1, at - 1) .. other .. lena.token:sub(at + 1))
            assert.same({401, "invalid_token"}, {r.status, r.json.code}, at)
        end
    end)

    it("with one bit flipped at any place are never taken", function()
        local c = n:http()
        for at = 1, #lena.token do
            for bit = 0, 6, 3 do
                local bent = string.char(lena.token:byte(at) ~ 1 << bit)
                local token = lena.token:sub(1, at - 1) .. bent .. lena.token:sub(at + 1)
                local r = c:request("GET", "/api/users/me", {token = token})
                assert.truthy(r.status == 401 or r.status == 400, ("place %d bit %d: %d"):format(at, bit, r.status))
            end
        end
        c:close()
    end)

    it("that are another spelling of the same bytes are refused: padding, other alphabets, spare bits, blanks", function()
        local head, claims, signature = lena.token:match("^([^.]+)%.([^.]+)%.(.+)$")
        local last = signature:sub(-1)
        local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        local at = letters:find(last, 1, true)
        local spare = letters:sub(at + 1, at + 1) -- 43 characters hold 2 bits more than 32 bytes
        for _, token in ipairs {lena.token .. "=", head .. "=." .. claims .. "." .. signature, lena.token .. ".", "." .. lena.token,
            lena.token .. "." .. signature, signature .. spare, head .. "." .. claims .. "." .. signature:sub(1, -2) .. spare,
            head .. "." .. claims .. "." .. signature .. "AAAA", lena.token .. "%00"} do
            assert.equal(401, me(token).status, token)
        end
    end)

    it("of garbage and of 30 KB are refused, above the limit of a head with 431", function()
        for _, token in ipairs {"a", ".", "..", "...", "a.b", "a.b.c", "\1\2\3", ("."):rep(1000), ("a."):rep(1000), ("x"):rep(30000),
            "é.ü.ß", jwt.make(("["):rep(1000), node.SECRET), jwt.make("null", node.SECRET), jwt.make("{}", node.SECRET),
            jwt.make('{"sub":"1","sub":2}', node.SECRET),
            jwt.make(claims_of(lena, {did = ("d"):rep(3000)}), node.SECRET)} do
            local r = me(token)
            assert.truthy(r.status == 401 or (token:find("%c") and r.status == 400), #token .. " bytes: " .. r.status)
        end
        local c = n:http()
        local long = "GET /api/users/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " .. ("x"):rep(102400) .. "\r\n\r\n"
        assert.equal(431, c:raw(long).status)
        c:close()
        assert.equal(401, refresh(("x"):rep(102400)).status)
    end)

    it("[28] used again by a stranger end the login: its newest token and its sockets too", function()
        local p = n:person()
        local c = p:socket("thief")
        local second = refresh(p.refresh).json
        local third = refresh(second.refresh_token).json
        local r = refresh(p.refresh)
        assert.same({401, "token_reused", "invalid token"}, {r.status, r.json.code, r.json.error})
        assert.equal(4004, c:close_code())
        for _, t in ipairs {p.token, second.access_token, third.access_token} do
            refused(t, "token_revoked", "after reuse")
        end
        assert.equal("token_revoked", refresh(third.refresh_token).json.code)
    end)

    it("[28] within the grace from another address and without the device are reuse", function()
        local http = require "spec.support.http"
        local p = n:person()
        assert.equal(200, refresh(p.refresh).status)
        local other = http.new(n.http_address, {bind = "127.0.0.77"})
        local r = other:request("POST", "/api/auth/refresh", {body = {refresh_token = p.refresh}})
        assert.same({401, "token_reused"}, {r.status, r.json.code})
        other:close()
        p = n:person {device = "tab"}
        local first = n:api("POST", "/api/auth/refresh", {body = {refresh_token = p.refresh}, headers = {"X-Device-Id: tab"}})
        other = http.new(n.http_address, {bind = "127.0.0.77"})
        r = other:request("POST", "/api/auth/refresh", {body = {refresh_token = p.refresh}, headers = {"X-Device-Id: tab"}})
        assert.same({200, first.json.refresh_token}, {r.status, r.json.refresh_token})
        other:close()
    end)

    it("[29] of a login that was ended are refused at once, at every door, and other logins live on", function()
        local p = n:person()
        local other = n:api("POST", "/api/auth/login", {body = {username = p.name, password = "correct horse 9"}}).json
        local c = p:socket("out")
        assert.equal(200, p:post("/api/auth/logout").status)
        refused(p.token, "token_revoked", "after logout")
        assert.equal("token_revoked", refresh(p.refresh).json.code)
        assert.equal(4004, c:close_code())
        assert.equal(200, me(other.access_token).status)
        local live = assert(ws.open(n.ws_address, "/ws?device_id=live&token=" .. other.access_token))
        live:next()
        assert.equal("token_revoked", live:ask("auth", {token = p.token}).data.code)
        assert.equal("pong", live:ask("ping").type)
        live:close()
    end)
end)

describe("the grace of refresh", function()
    it("[28] ends: after it a second use is reuse and ends the login", function()
        local GRACE <const> = 1000
        local n = node.start {["auth.refresh_grace"] = GRACE .. "ms"}
        local function refresh(token) return n:api("POST", "/api/auth/refresh", {body = {refresh_token = token}}) end
        local p, first, again, used
        repeat -- until both uses fell into the grace, on a slow machine too
            p, used = n:person(), P.now()
            first, again = refresh(p.refresh).json, refresh(p.refresh).json
        until P.now() - used < GRACE
        assert.equal(first.refresh_token, again.refresh_token)
        local c = p:socket("d")
        used = P.now()
        assert.truthy(node.eventually(function() return P.now() > used + GRACE end))
        assert.equal("token_reused", refresh(p.refresh).json.code)
        assert.equal(4004, c:close_code())
        assert.equal("token_revoked", n:api("GET", "/api/users/me", {token = first.access_token}).json.code)
        n:finish()
    end)
end)
