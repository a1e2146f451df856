-- PROTOCOL.md rows 5, 6 and 9 on a real node: codes by the log and by a gateway; the gateway is slow, wrong, or gone.
local node = require "spec.support.node"
local json = require "spec.support.json"
local http = require "spec.support.http"
local P = require "parley_spec"

local function code_of(r) return {r.status, r.json.code, r.json.error} end
local phones = 0
local function new_phone()
    phones = phones + 1
    return ("4915100%06d"):format(phones)
end

describe("sms login", function()
    local n
    setup(function() n = node.start() end)
    teardown(function() n:finish() end)

    local function send(phone) return n:api("POST", "/api/auth/sms/send", {body = {phone = phone}}) end
    local function login(phone, code, device)
        return n:api("POST", "/api/auth/sms/login", {body = {phone = phone, code = code, device_id = device}})
    end
    -- nth: of those that this phone was sent
    local function logged(phone, nth)
        return node.eventually(function()
            local codes = {}
            for code in n:log():gmatch("sms to " .. phone .. ": the code is (%d+)") do codes[#codes + 1] = code end
            return codes[nth or 1]
        end)
    end

    it("sends a code to the log; the code makes an account and logs in: a bare AuthPayload", function()
        local phone = new_phone()
        local r = send("+" .. phone)
        assert.same({200, 0, {resend_after_sec = 60}}, {r.status, r.json.code, r.json.data})
        r = login(phone, logged(phone), "phone-1")
        assert.equal(200, r.status)
        assert.is_nil(r.json.data)
        assert.same({"Bearer", 900, "active"}, {r.json.token_type, r.json.expires_in, r.json.profile.status})
        local me = n:api("GET", "/api/users/me", {token = r.json.access_token})
        assert.same(r.json.profile, me.json.data)
        assert.equal(200, n:api("POST", "/api/auth/refresh", {body = {refresh_token = r.json.refresh_token}}).status)
        assert.same({400, "invalid_credentials", "invalid phone or code"}, code_of(login(phone, logged(phone))))
    end)

    it("refuses malformed requests, wrong codes and a second code within 60 s", function()
        local phone = new_phone()
        for _, body in ipairs {{}, {phone = "12"}, {phone = "0123456789"}, {phone = 4915112345678}, {phone = "abcdefgh"}} do
            assert.same({400, "bad_request", "invalid request"}, code_of(n:api("POST", "/api/auth/sms/send", {body = body})))
            body.code = "123456"
            assert.same({400, "bad_request", "invalid request"}, code_of(n:api("POST", "/api/auth/sms/login", {body = body})))
        end
        assert.same({400, "bad_request", "invalid request"}, code_of(n:api("POST", "/api/auth/sms/login", {body = {phone = phone}})))
        assert.equal(400, login(phone, "1", "bad device").status)
        assert.equal(200, send(phone).status)
        local r = send("+" .. phone)
        assert.same({429, "rate_limited", "rate limit exceeded"}, code_of(r))
        local wait = tonumber(r.headers["retry-after"])
        assert.truthy(wait > 50 and wait <= 60)
        for _ = 1, 5 do assert.same({400, "invalid_credentials", "invalid phone or code"}, code_of(login(phone, "x"))) end
        assert.same({400, "invalid_credentials", "invalid phone or code"}, code_of(login(phone, logged(phone))))
        for _ = 1, 4 do login(phone, "x") end
        assert.same({429, "rate_limited", "too many attempts"}, code_of(login(phone, "x")))
    end)

    it("of 20 concurrent logins with one code exactly one succeeds, and one account is made", function()
        local phone = new_phone()
        send(phone)
        local code, clients, ok = logged(phone), {}, 0
        for i = 1, 20 do
            local c = n:http()
            local body = json.encode {phone = phone, code = code}
            c:connect():send("POST /api/auth/sms/login HTTP/1.1\r\nHost: x\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
            clients[i] = c
        end
        for _, c in ipairs(clients) do
            local r = c:read("POST")
            ok = ok + (r.status == 200 and 1 or 0)
            assert.truthy(r.status == 200 or r.status == 400 or r.status == 429, r.status)
            c:close()
        end
        assert.equal(1, ok)
    end)

    it("row 9: sets the caller's phone by its code; taken ones are refused", function()
        local p, q, phone = n:person(), n:person(), new_phone()
        send(phone)
        local r = p:put("/api/users/me/phone", {phone = phone, code = "x"})
        assert.same({400, "invalid_credentials", "invalid phone or code"}, code_of(r))
        r = p:put("/api/users/me/phone", {phone = phone, code = logged(phone)})
        assert.same({200, p.id}, {r.status, r.json.data.user.id})
        assert.equal(401, n:api("PUT", "/api/users/me/phone", {body = {phone = phone, code = "1"}}).status)
        n:stop() -- it forgets when the last code was sent
        n.client = nil
        n:up()
        send(phone)
        r = q:put("/api/users/me/phone", {phone = phone, code = logged(phone, 2)})
        assert.same({409, "phone_taken", "phone already taken"}, code_of(r))
    end)

    it("is described in /openapi.json", function()
        local paths = n:api("GET", "/openapi.json").json.paths
        local function keys(path, method)
            local schema = paths[path][method].requestBody.content["application/json"].schema
            local out = {}
            for key in pairs(schema.properties) do out[#out + 1] = key end
            table.sort(out)
            table.sort(schema.required)
            return {out, schema.required}
        end
        assert.same({{"phone"}, {"phone"}}, keys("/api/auth/sms/send", "post"))
        assert.same({{"code", "device_id", "phone"}, {"code", "phone"}}, keys("/api/auth/sms/login", "post"))
        assert.same({{"code", "phone"}, {"code", "phone"}}, keys("/api/users/me/phone", "put"))
    end)
end)

describe("sms by a gateway", function()
    local n, listener, port
    setup(function()
        listener, port = assert(P.listen())
        n = node.start {
            ["sms.sender"] = "http", ["sms.url"] = "http://127.0.0.1:" .. port .. "/send?x=1", ["sms.text"] = "Use {code} now",
            ["sms.token"] = "gateway secret", ["post.timeout"] = "4s", ["sms.auto_register"] = false,
        }
    end)
    teardown(function()
        n:finish()
        listener:close()
    end)

    -- asks for a code; gives the client to read the answer from
    local function ask(phone)
        local c = n:http()
        local body = json.encode {phone = phone}
        c:connect():send("POST /api/auth/sms/send HTTP/1.1\r\nHost: x\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
        return c
    end
    local function answer_of(c)
        local r = assert(c:read("POST"))
        r.json = json.decode(r.body)
        c:close()
        return r
    end
    -- one request of the node, as text
    local function receive()
        local sock, buf = assert(listener:accept()), ""
        while true do
            local head, rest = buf:match("^(.-\r\n\r\n)(.*)$")
            local len = head and tonumber(head:lower():match("content%-length: (%d+)"))
            if len and #rest >= len then return sock, head, rest end
            local more = assert(sock:recv(65536))
            assert(more ~= "", "the node hung up")
            buf = buf .. more
        end
    end
    local function reply(sock, status, body, head)
        sock:send(("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s"):format(status, #body, head or "", body))
        sock:close()
    end
    local BUSY <const> = {503, "busy", "server busy"}

    it("posts JSON with the secret in its header; the code logs in an account that has the phone", function()
        local phone = new_phone()
        local c = ask(phone)
        local sock, head, body = receive()
        assert.truthy(head:find("^POST /send%?x=1 HTTP/1.1\r\n"))
        assert.truthy(head:find("\r\nAuthorization: Bearer gateway secret\r\n", 1, true))
        assert.truthy(head:find("\r\nContent-Type: application/json\r\n", 1, true))
        assert.is_nil(head:find("Expect", 1, true))
        local m = json.decode(body)
        assert.equal("+" .. phone, m.to)
        local code = m.text:match "^Use (%d%d%d%d%d%d) now$"
        reply(sock, "202 Accepted", "{}")
        assert.equal(200, answer_of(c).status)
        local p = n:person()
        assert.equal(200, p:put("/api/users/me/phone", {phone = phone, code = code}).status)
        assert.is_nil(n:log():gsub("%d+T[%d:.]+Z", ""):find("%f[%d]" .. code .. "%f[%D]")) -- six digits may stand in any time
        assert.is_nil(n:log():find("gateway secret", 1, true))
    end)

    it("without auto_register an unknown phone is a wrong code", function()
        local phone = new_phone()
        local c = ask(phone)
        local sock, _, body = receive()
        reply(sock, "200 OK", "")
        answer_of(c)
        local r = n:api("POST", "/api/auth/sms/login", {body = {phone = phone, code = body:match "%d%d%d%d%d%d now":sub(1, 6)}})
        assert.same({400, "invalid_credentials", "invalid phone or code"}, code_of(r))
    end)

    it("an error, a redirect and an answer that is too long are busy, and count for nothing", function()
        local phone = new_phone()
        for _, a in ipairs {
            {"500 Oops", "x"}, {"302 Found", "", "Location: http://127.0.0.1:" .. port .. "/other\r\n"}, {"200 OK", ("x"):rep(70000)},
        } do
            local c = ask(phone)
            local sock = receive()
            reply(sock, a[1], a[2], a[3])
            assert.same(BUSY, code_of(answer_of(c)))
        end
        local c = ask(phone)
        reply(receive(), "200 OK", "")
        assert.equal(200, answer_of(c).status)
    end)

    it("a gateway that is silent, or hangs up, is busy after post.timeout; logins by password go on meanwhile", function()
        local since = P.now()
        local c = ask(new_phone())
        local sock = receive()
        assert.truthy(n:person())
        assert.same(BUSY, code_of(answer_of(c)))
        assert.truthy(P.now() - since >= 3900 - 20)
        sock:close()
        c = ask(new_phone())
        receive():close(true)
        assert.same(BUSY, code_of(answer_of(c)))
    end)

    it("more than its queue waits for nobody", function()
        local many = {}
        for i = 1, 80 do many[i] = ask(new_phone()) end
        local codes = {}
        for _, c in ipairs(many) do
            local s = answer_of(c).status
            codes[s] = (codes[s] or 0) + 1
        end
        assert.truthy((codes[503] or 0) >= 10, json.encode(codes))
        assert.is_nil(codes[200])
    end)
end)

it("a node stops in time while a gateway hangs", function()
    local listener, port = assert(P.listen())
    local n = node.start {["sms.sender"] = "http", ["sms.url"] = "http://127.0.0.1:" .. port .. "/", ["post.timeout"] = "60s",
        ["script.timeout"] = "60s"}
    local c = http.new(n.http_address)
    local body = json.encode {phone = new_phone()}
    c:connect():send("POST /api/auth/sms/send HTTP/1.1\r\nHost: x\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
    local sock = assert(listener:accept())
    local since = P.now()
    n:finish()
    assert.truthy(P.now() - since < 30000, P.now() - since) -- it does not wait for post.timeout
    sock:close()
    c:close()
    listener:close()
end)

it("a sender that is not there is said at the start", function()
    local dir = P.tmpdir()
    local process = P.spawn(node.arguments(dir, {["sms.sender"] = "pigeon"}), dir .. "/log")
    assert.equal(2, process:wait(20000))
    local f = io.open(dir .. "/log")
    assert.truthy(f:read("a"):find("lib.sms_pigeon", 1, true))
    f:close()
    P.rmtree(dir)
end)
