-- PROTOCOL.md section 7: handshake, modes, liveness, devices, frame limits and closes.
local node = require "spec.support.node"
local ws = require "spec.support.ws"
local json = require "spec.support.json"
local P = require "parley_spec"

describe("a handshake in token mode", function()
    local n, lena
    setup(function()
        n = node.start {["ws.origins"] = "app.example"}
        lena = n:person {device = "login-device"}
    end)
    teardown(function() n:finish() end)

    local function refused(path, opt)
        local c, status, _, body = ws.open(n.ws_address, path, opt)
        assert.is_nil(c)
        return status, body ~= "" and json.decode(body) or {}
    end

    it("[4] without a token gets 401 before the upgrade", function()
        local status, body = refused("/ws?device_id=a")
        assert.equal(401, status)
        assert.equal("unauthorized", body.code)
        assert.equal("unauthorized", body.error)
    end)

    it("[4] takes the token from the query, the header and the subprotocol pair", function()
        local c = assert(ws.open(n.ws_address, "/ws?token=" .. lena.token))
        assert.equal("connected", c:next().data.status)
        c:close()
        c = assert(ws.open(n.ws_address, "/ws", {headers = {"Authorization: bearer " .. lena.token}}))
        assert.equal(lena.id, c:next().data.user_id)
        c:close()
        c = assert(ws.open(n.ws_address, "/ws", {headers = {"Sec-WebSocket-Protocol: bearer, " .. lena.token}}))
        assert.truthy(c.handshake:lower():find("sec-websocket-protocol: bearer\r\n", 1, true))
        c:close()
        c = assert(ws.open(n.ws_address, "/ws?token=" .. lena.token, {headers = {"Sec-WebSocket-Protocol: chat"}}))
        assert.falsy(c.handshake:lower():find("sec-websocket-protocol", 1, true))
        c:close()
    end)

    it("gets the welcome as its first frame, with all its keys", function()
        local c = lena:socket("w1")
        local d = c.welcome.data
        assert.equal("notify", c.welcome.type)
        assert.same({"connected", lena.id, "w1", "token", 30000, 65536},
            {d.status, d.user_id, d.device_id, d.auth, d.ping_interval_ms, d.max_frame_bytes})
        assert.truthy(d.token_expires_at_ms > d.server_time)
        c:close()
    end)

    it("without device_id takes that of the token", function()
        local c = assert(ws.open(n.ws_address, "/ws?token=" .. lena.token))
        assert.equal("login-device", c:next().data.device_id)
        c:close()
    end)

    it("refuses different tokens in two places and a malformed Authorization with 401", function()
        assert.equal(401, (refused("/ws?token=" .. lena.token, {headers = {"Authorization: Bearer other"}})))
        assert.equal(401, (refused("/ws", {headers = {"Authorization: Basic abc"}})))
    end)

    it("refuses bad tokens, a refresh token among them", function()
        local status, body = refused("/ws?token=abc.def.ghi")
        assert.same({401, "invalid_token"}, {status, body.code})
        status, body = refused("/ws?token=" .. lena.refresh)
        assert.same({401, "invalid_token"}, {status, body.code})
    end)

    it("[5] refuses another user_id and a foreign origin, takes its own and none", function()
        local status, body = refused("/ws?user_id=999&token=" .. lena.token)
        assert.same({403, "user_mismatch"}, {status, body.code})
        status, body = refused("/ws?token=" .. lena.token, {headers = {"Origin: https://evil.example"}})
        assert.same({403, "origin_denied"}, {status, body.code})
        for _, origins in ipairs {{"null"}, {""}, {"http://127.0.0.1.evil.example"}, {"http://127.0.0.1@evil.example"},
            {"http://127.0.0.1", "http://evil.example"}} do
            local headers = {}
            for i, one in ipairs(origins) do headers[i] = "Origin: " .. one end
            assert.equal(403, (refused("/ws?token=" .. lena.token, {headers = headers})), origins[1])
        end
        for _, origin in ipairs {"http://localhost:5173", "http://127.0.0.1:1", "https://app.example"} do
            local c = assert(ws.open(n.ws_address, "/ws?token=" .. lena.token, {headers = {"Origin: " .. origin}}), origin)
            c:close()
        end
    end)

    it("is no WebSocket request: 400; another version: 426, both with the version header", function()
        local r = require("spec.support.http").new(n.ws_address):request("GET", "/ws?token=" .. lena.token)
        assert.equal(400, r.status)
        assert.equal("13", r.headers["sec-websocket-version"])
        local c = require("spec.support.http").new(n.ws_address)
        r = c:raw("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n"
            .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert.equal(426, r.status)
        assert.equal("13", r.headers["sec-websocket-version"])
        for _, key in ipairs {"dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub2!jZQ=="} do
            r = require("spec.support.http").new(n.ws_address):raw("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                .. "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " .. key .. "\r\n\r\n")
            assert.equal(400, r.status, key)
        end
        c:close()
    end)

    it("refuses bad parameters with 400 before it looks at the token", function()
        for _, q in ipairs {"device_id=a%20b", "device_id=" .. ("x"):rep(65), "platform=Web!", "replay=2"} do
            local status, body = refused("/ws?" .. q)
            assert.same({400, "bad_request"}, {status, body.code}, q)
        end
    end)

    it("[7] never answers an extension, with the accept key of RFC 6455", function()
        local c = assert(ws.open(n.ws_address, "/ws?token=" .. lena.token,
            {headers = {"Sec-WebSocket-Extensions: permessage-deflate"}}))
        assert.falsy(c.handshake:lower():find("sec-websocket-extensions", 1, true))
        assert.truthy(c.handshake:find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 1, true))
        c:close()
    end)

    it("works the same on 8080", function()
        local c = lena:socket("on8080", {on = "http"})
        assert.equal("connected", c.welcome.data.status)
        c:close()
    end)

    it("reads frames that came together with it", function()
        local c = assert(ws.open(n.ws_address, "/ws?device_id=early&token=" .. lena.token,
            {after = ws.frame(ws.TEXT, '{"type":"ping","id":"early"}')}))
        assert.equal("notify", c:next().type)
        assert.equal("early", c:next().id)
        c:close()
    end)

    it("[12] of the same device closes the older socket with 4002, and the newer one stays", function()
        local old = lena:socket("same")
        local new = lena:socket("same")
        assert.equal(4002, old:close_code())
        assert.equal("pong", new:ask("ping").type)
        assert.equal(true, lena:get("/api/presence?user_ids=" .. lena.id).json.data[1].online)
        new:close()
    end)

    it("[50] lets 40 devices in one after the other, but not a 33rd at once", function()
        local tom = n:person()
        for i = 1, 40 do
            local c = assert(node.eventually(function() return tom:socket("turn" .. i) end), i)
            c:close()
        end
        local open = {}
        for i = 1, 32 do open[i] = assert(node.eventually(function() return tom:socket("dev" .. i) end)) end
        local c, status, body = tom:socket("dev33")
        assert.is_nil(c)
        assert.same({429, "too many devices"}, {status, json.decode(body).error})
        for _, s in ipairs(open) do s:close() end
    end)

    it("takes a fresh token by auth, refuses a foreign one", function()
        local tom = n:person()
        local c = lena:socket("auth")
        local m = c:ask("auth", {token = lena.token})
        assert.equal("ok", m.data.status)
        assert.truthy(m.data.token_expires_at_ms > 0)
        assert.equal("user_mismatch", c:ask("auth", {token = tom.token}).data.code)
        assert.equal("invalid_token", c:ask("auth", {token = "x"}).data.code)
        assert.equal("invalid auth data", c:ask("auth", {}).data.error)
        assert.equal("pong", c:ask("ping").type)
        c:close()
    end)
end)

describe("a token's end", function()
    it("is announced, and closes the socket with 4001 after the grace", function()
        local n = node.start {["auth.access_ttl"] = "2s", ["ws.expiry_grace"] = "1s"}
        local c = assert(node.eventually(function() return (n:person():socket("x")) end)) -- within the token's two seconds
        local m = c:want("notify")
        assert.equal("token_expiring", m.data.status)
        assert.truthy(m.data.expires_in_sec <= 2)
        assert.equal(4001, c:close_code())
        n:finish()
    end)
end)

describe("open mode", function()
    local n
    setup(function() n = node.start {["ws.mode"] = "open", ["ws.ping_interval"] = "1s", ["ws.dead_after"] = "3s"} end)
    teardown(function() n:finish() end)

    it("[6] lets an unknown user in by number, and refuses what is none", function()
        local c = assert(ws.open(n.ws_address, "/ws?user_id=100000&device_id=bench_0&platform=bench"))
        local d = c:next().data
        assert.same({"connected", 100000, "open", 0}, {d.status, d.user_id, d.auth, d.token_expires_at_ms})
        c:close()
        for _, id in ipairs {"abc", "0", "-1", "9007199254740992", ""} do
            local none, status = ws.open(n.ws_address, "/ws?user_id=" .. id)
            assert.is_nil(none)
            assert.equal(401, status, id)
        end
    end)

    it("[12] lets two bench sockets of one device stay", function()
        local a = assert(ws.open(n.ws_address, "/ws?user_id=100001&device_id=bench_1&platform=bench"))
        local b = assert(ws.open(n.ws_address, "/ws?user_id=100001&device_id=bench_1&platform=bench"))
        a:next()
        b:next()
        assert.equal("pong", a:ask("ping").type)
        assert.equal("pong", b:ask("ping").type)
        a:close()
        b:close()
    end)

    it("[8] keeps a socket that reads and sends nothing while its TCP is well", function()
        local c = assert(ws.open(n.ws_address, "/ws?user_id=100002&device_id=quiet"))
        c:next()
        -- nothing is read or answered for far more than ws.dead_after
        P.pause(7000)
        for _ = 1, 8 do -- those that came meanwhile, and the next ones
            local f, why = c:next_frame()
            assert.truthy(f, why)
            assert.equal(ws.PING, f.opcode)
            assert.equal("", f.payload)
        end
        c:close()
    end)

    it("gives every server ping an empty payload and counts nothing against a client that sends no pong", function()
        local c = assert(ws.open(n.ws_address, "/ws?user_id=100003"))
        c:next()
        assert.equal(ws.PING, c:next_frame().opcode)
        c:close()
    end)

    it("still asks the HTTP API for a token", function()
        assert.equal(401, n:api("GET", "/api/users/me").status)
    end)
end)

describe("frames", function()
    local n, lena, c
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        lena = n:person()
    end)
    teardown(function() n:finish() end)
    before_each(function() c = assert(lena:socket("f")) end)
    after_each(function() c:close() end)

    it("[9] ping gets a pong with its id, a control ping its payload", function()
        c:send '{"type":"ping","id":"x"}'
        local m = c:next()
        assert.same({"pong", "x"}, {m.type, m.id})
        assert.is_nil(m.data)
        c.sock:send(ws.frame(ws.PING, "payload"))
        local f = c:next_frame()
        assert.same({ws.PONG, "payload"}, {f.opcode, f.payload})
    end)

    it("[10] a message without conversation_id gets an error with its id, and the socket stays", function()
        for _ = 1, 60 do
            c:send '{"data":{"content":"xxxx"},"id":"3-1760000000000000000","ts":1760000000000,"type":"message"}'
            local m = c:next()
            assert.same({"error", "3-1760000000000000000", "bad_request"}, {m.type, m.id, m.data.code})
        end
        assert.equal("pong", c:ask("ping").type)
    end)

    it("[11] 65,536 bytes are handled, 65,537 close with 1009", function()
        local body = '{"type":"ping","id":"big","x":"%s"}'
        c:send((body:gsub("%%s", ("y"):rep(65536 - #body + 2))))
        assert.equal("big", c:next().id)
        c:send((body:gsub("%%s", ("y"):rep(65537 - #body + 2))))
        assert.equal(1009, c:close_code())
    end)

    it("[11] joined fragments count together", function()
        c.sock:send(ws.frame(ws.TEXT, '{"type":"ping",', {fin = false}) .. ws.frame(ws.PING, "in between")
            .. ws.frame(0, '"id":"joined"}'))
        assert.equal(ws.PONG, c:next_frame().opcode)
        assert.equal("joined", c:next().id)
        c.sock:send(ws.frame(ws.TEXT, ("x"):rep(40000), {fin = false}) .. ws.frame(0, ("x"):rep(40000)))
        assert.equal(1009, c:close_code())
    end)

    it("[11] bad UTF-8 closes with 1007", function()
        c:send '{"type":"ping","id":"\255"}'
        assert.equal(1007, c:close_code())
    end)

    it("[11] depth 32 is handled, 33 gets an error and the socket stays", function()
        local function deep(k) return '{"type":"ping","id":"deep","x":' .. ("["):rep(k - 1) .. ("]"):rep(k - 1) .. "}" end
        c:send(deep(32))
        assert.equal("pong", c:next().type)
        c:send(deep(33))
        local m = c:next()
        assert.same({"error", "invalid message format"}, {m.type, m.data.error})
        assert.equal("pong", c:ask("ping").type)
    end)

    it("a binary frame is treated like text", function()
        c.sock:send(ws.frame(ws.BINARY, '{"type":"ping","id":"b"}'))
        assert.equal("b", c:next().id)
    end)

    it("malformed envelopes get `invalid message format` without id, unknown types their own text", function()
        for _, text in ipairs {"x", "[]", "{}", '{"type":1}', '{"type":"ping","id":5}', '{"type":"ping","id":""}',
            '{"type":"ping","ts":"now"}', '{"type":"ping","ts":1.5}', '{"type":"ping","id":"' .. ("i"):rep(65) .. '"}'} do
            c:send(text)
            local m = c:next()
            assert.same({"error", "invalid message format", "bad_request"}, {m.type, m.data.error, m.data.code}, text)
            assert.is_nil(m.id)
        end
        assert.equal("unknown message type", c:ask("no_such_type", {}).data.error)
        c:send '{"type":"ping","id":null,"ts":null}'
        assert.equal("pong", c:next().type)
    end)

    it("an unmasked frame, reserved bits, a bad close or a long control frame close with 1002", function()
        for _, bytes in ipairs {
            ws.frame(ws.TEXT, "{}", {masked = false}), ws.frame(ws.TEXT, "{}", {rsv = 4}), ws.frame(3, "x"),
            ws.frame(ws.CLOSE, "x"), ws.frame(ws.CLOSE, "\3\237"), ws.frame(ws.PING, ("x"):rep(126)),
            ws.frame(ws.PING, "x", {fin = false}), ws.frame(0, "x"), "\129\255\128\0\0\0\0\0\0\0",
        } do
            local one = assert(lena:socket("bad"))
            one.sock:send(bytes)
            assert.equal(1002, one:close_code(), (bytes:sub(1, 4):gsub(".", function(b) return ("%02x"):format(b:byte()) end)))
            one:close()
        end
    end)

    it("a close frame is echoed, then TCP ends", function()
        c.sock:send(ws.frame(ws.CLOSE, string.pack(">I2", 1000) .. "bye"))
        assert.equal(1000, c:close_code())
        local _, why = c:next_frame()
        assert.equal("end", why)
    end)

    it("a cut without a close frame logs no error and frees the device at once", function()
        c:close(true)
        assert.truthy(node.eventually(function() return not lena:get("/api/presence?user_ids=" .. lena.id).json.data[1].online end))
        assert.falsy(n:log():find("Z error ", 1, true))
    end)
end)

describe("frame rates", function()
    local n
    setup(function() n = node.start {["limits.ws_frames"] = "5/10", ["limits.ws_messages"] = "1/2"} end)
    teardown(function() n:finish() end)

    it("refuse what is above, say when to come back, and close an abuser with 1008", function()
        local c = n:person():socket("r")
        for _ = 1, 30 do c:send '{"type":"ping","id":"p"}' end
        local m = c:want("error")
        assert.equal("rate_limited", m.data.code)
        assert.truthy(m.data.retry_after_ms > 0)
        local flood = ws.frame(ws.TEXT, '{"type":"ping"}'):rep(100)
        for _ = 1, 12 do c.sock:send(flood) end
        assert.equal(1008, c:close_code())
    end)
end)
