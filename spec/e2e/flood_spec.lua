-- Floods: frames, fragments, controls, connections beyond the descriptor limit, ids nobody knows, logins. The node answers each
-- clearly, its memory stays flat, and others are served.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local json = require "spec.support.json"
local waited = require "spec.support.waited"
local ws = require "spec.support.ws"
local P = require "parley_spec"

local function grows(n, most, what)
    local before = attack.memory(n)
    what()
    local more = attack.memory(n) - before
    assert(more < most * attack.heavy, ("%.1f MiB more"):format(more))
end

describe("a flood of frames", function()
    local n, lena
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        lena = n:person()
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    it("[11] with a length above the limit is 1009 before its bytes have come, with the top bit 1002", function()
        for len, code in pairs {[65537] = 1009, [1 << 31] = 1009, [1 << 62] = 1009, [math.mininteger] = 1002} do
            local c = lena:socket("big")
            c.sock:send(("\x81\xff" .. string.pack(">i8", len) .. "\0\0\0\0"))
            assert.equal(code, c:close_code(), len)
            c:close()
        end
    end)

    it("[11] in fragments counts them together: 65,536 bytes are handled, one more is 1009", function()
        for bytes, code in pairs {[65536] = false, [65537] = 1009} do
            local c = lena:socket("joined")
            local text = '{"type":"ping","id":"f","x":"' .. ("x"):rep(bytes - 31) .. '"}'
            assert.equal(bytes, #text)
            local parts = {}
            for at = 1, bytes, 1000 do
                parts[#parts + 1] = ws.frame(at == 1 and ws.TEXT or 0, text:sub(at, at + 999), {fin = at + 1000 > bytes})
            end
            c.sock:send(table.concat(parts))
            if code then assert.equal(code, c:close_code()) else assert.equal("f", c:next().id) end
            c:close()
        end
    end)

    it("of 100,000 fragments of one byte ends at the limit, of empty ones costs nothing", function()
        grows(n, 20, function()
            attack.beside(n, function()
                local c = lena:socket("ones")
                c.sock:send(ws.frame(ws.TEXT, '{"x":"', {fin = false}))
                local many = ws.frame(0, "x", {fin = false}):rep(1000)
                for _ = 1, 100 do if not c.sock:send(many) then break end end
                local code, why = c:close_code()
                assert.truthy(code == 1009 or why == "reset", why)
                c:close()
                c = lena:socket("empties")
                c.sock:send(ws.frame(ws.TEXT, '{"type":"ping",', {fin = false}))
                many = ws.frame(0, "", {fin = false}):rep(1000)
                for _ = 1, 100 do assert(c.sock:send(many)) end
                c.sock:send(ws.frame(0, '"id":"after"}'))
                assert.equal("after", c:next().id)
                c:close()
            end)
        end)
    end)

    it("of controls between the fragments leaves the message whole", function()
        local c = lena:socket("mixed")
        local text, parts = '{"type":"ping","id":"whole"}', {}
        for i = 1, #text do
            parts[#parts + 1] = ws.frame(i == 1 and ws.TEXT or 0, text:sub(i, i), {fin = i == #text})
            parts[#parts + 1] = ws.frame(ws.PING, tostring(i))
        end
        c.sock:send(table.concat(parts))
        local pongs = 0
        while true do
            local f = assert(c:next_frame())
            if f.opcode == ws.TEXT then
                assert.equal("whole", json.decode(f.payload).id)
                break
            end
            pongs = pongs + 1
            assert.same({ws.PONG, tostring(pongs)}, {f.opcode, f.payload})
        end
        c:close()
    end)

    it("of a new message inside a fragmented one, or of unmasked ones, is 1002", function()
        for _, bytes in ipairs {ws.frame(ws.TEXT, "{", {fin = false}) .. ws.frame(ws.TEXT, "{}"), ws.frame(0, "x", {fin = false}),
            ws.frame(ws.TEXT, "{}", {masked = false}), ws.frame(ws.TEXT, "{", {fin = false}) .. ws.frame(0, "}", {masked = false}),
            ws.frame(ws.PING, "", {masked = false}), ws.frame(ws.TEXT, "{", {fin = false}) .. ws.frame(ws.BINARY, "}")} do
            local c = lena:socket("bad")
            c.sock:send(bytes)
            assert.equal(1002, c:close_code())
            c:close()
        end
    end)

    it("of pings, JSON pings and syncs from a socket that reads nothing stops being read; memory stays flat", function()
        local other = n:person()
        for i = 1, 40 do lena:say(lena:group({other}, "g" .. i), ("x"):rep(16000)) end
        local sync = ws.frame(ws.TEXT, '{"type":"sync","data":{"limit":200}}'):rep(20)
        local ping = ws.frame(ws.PING, ("p"):rep(125)):rep(500)
        local jping = ws.frame(ws.TEXT, '{"type":"ping","id":"' .. ("i"):rep(64) .. '"}'):rep(500)
        grows(n, 40, function()
            attack.beside(n, function()
                local socks = {}
                for k, flood in ipairs {sync, ping, jping} do
                    for i = 1, 3 do
                        local c = attack.unread(lena, ("unread%d.%d"):format(k, i))
                        socks[#socks + 1] = c
                        local sent = 0
                        while sent < 100 and c.sock:send(flood, 100) do sent = sent + 1 end
                    end
                end
                assert.truthy(attack.metric(n, "queue_bytes") < 40 * 1048576)
                for _, c in ipairs(socks) do c:close(true) end
            end)
        end)
    end)

    it("of texts that are no JSON, or deep, gets an error each and keeps its socket", function()
        local c = lena:socket("texts")
        for _, text in ipairs {("["):rep(60000), ('{"a":'):rep(13000), '"' .. ("\\u0041"):rep(10000), ("1"):rep(65536), "", "\0", "{}{}",
            '{"type":"ping","x":' .. ("[1,"):rep(20000)} do
            c:send(text)
            local m = c:next()
            assert.same({"error", "invalid message format"}, {m.type, m.data.error}, text:sub(1, 20))
        end
        assert.equal("pong", c:ask("ping").type)
        c:close()
    end)

    it("to 10,000 conversations that do not exist is refused message by message and leaves nothing behind", function()
        local c = lena:socket("unknown")
        local function round(from)
            for i = from, from + 9999 do
                c:send(('{"type":"message","data":{"conversation_id":%d,"client_msg_id":"u%d","content":"x"}}'):format(5000000 + i, i))
                if i % 100 == 0 then
                    for _ = 1, 100 do
                        local m = assert(c:want("error", 20000))
                        assert.equal("not_member", m.data.code)
                    end
                end
            end
        end
        attack.beside(n, function()
            round(1)
            -- they are forgotten when they were idle for 5 s
            assert.truthy(node.eventually(function() return attack.metric(n, 'actors{class="conversation"}') < 100 end, 60000))
            grows(n, 4, function() round(20001) end)
        end)
        c:close()
    end)
end)

describe("unknown users in open mode", function()
    it("by thousands come and go without a trace", function()
        local n = node.start {["ws.mode"] = "open", ["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        local function round(from)
            for i = from, from + 2999 do
                local s = attack.raw(n, ("GET /ws?user_id=%d&device_id=d HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                    .. "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"):format(
                    i, n.http_address))
                assert.truthy(s:recv(65536):find("^HTTP/1.1 101"))
                s:close(i % 2 == 0)
            end
            -- those of the bystander stay
            assert.truthy(node.eventually(function() return attack.metric(n, "ws_connections") == 2 end))
            assert.truthy(node.eventually(function() return attack.metric(n, "users_online") == 2 end))
        end
        attack.beside(n, function()
            round(100000)
            grows(n, 8, function() round(200000) end)
        end)
        attack.unharmed(n)
        n:finish()
    end)
end)

describe("connections beyond the descriptor limit", function()
    it("do not make the node spin, leave open sockets alone, and are forgotten when they are gone", function()
        local n = node.start({}, nil, {"prlimit", "--nofile=250:250"})
        local lena = n:person()
        local c = lena:socket("before")
        local http = n:http()
        assert.equal(200, http:request("GET", "/healthz").status)
        local socks = {}
        for i = 1, 600 do socks[i] = attack.raw(n, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") end
        local clock, worst, second = waited.on(n.process:pid()), 0, 0
        local before, at = attack.cpu(n), P.now()
        while P.now() - at < 2000 do
            local ms = clock:by(function() return c:ask("ping").type == "pong" end)
            worst, second = math.max(worst, ms), math.max(second, math.min(worst, ms))
            P.pause(20)
        end
        local used = (attack.cpu(n) - before) / (P.now() - at) * 1000
        assert.truthy(used < 0.5, ("%.0f %% of a core"):format(used * 100))
        assert.truthy(attack.answered(worst, second), ("waited %d and %d ms"):format(worst, second))
        assert.equal(200, http:request("GET", "/healthz").status) -- the kept connection
        for _, s in ipairs(socks) do s:close(true) end
        assert.truthy(node.eventually(function()
            local fresh = n:http()
            local ok, r = pcall(fresh.request, fresh, "GET", "/healthz")
            fresh:close()
            return ok and r.status == 200
        end, 10000))
        local after = {conversation_id = lena:group({}, "after"), client_msg_id = "a", content = "x"}
        assert.equal("message_ack", c:ask("message", after).type)
        c:close()
        http:close()
        n:finish()
    end)

    it("or beyond net.max_connections are refused, and those open live on", function()
        local n = node.start {["net.max_connections"] = "50"}
        local c = n:person():socket("in")
        local socks, refused = {}, 0
        for i = 1, 100 do socks[i] = attack.raw(n, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") end
        for _, s in ipairs(socks) do
            local said = s:recv(65536, 3000 * node.slow)
            if not said or said == "" or said:find("^HTTP/1.1 503") then refused = refused + 1 end
        end
        assert.truthy(refused >= 50 and refused < 100, refused)
        assert.equal("pong", c:ask("ping").type)
        for _, s in ipairs(socks) do s:close() end
        assert.truthy(node.eventually(function()
            local fresh = n:http()
            local ok, r = pcall(fresh.request, fresh, "GET", "/healthz")
            fresh:close()
            return ok and r.status == 200
        end))
        c:close()
        n:finish()
    end)
end)

describe("a flood of logins", function()
    local function flood(n, count)
        local socks, seen = {}, {}
        local body = '{"username":"nobody%d","password":"wrong password"}'
        for i = 1, count do
            local one = body:format(i)
            socks[i] = attack.raw(n, "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #one .. "\r\n\r\n" .. one)
        end
        for _, s in ipairs(socks) do
            local said = s:recv(65536, 20000 * node.slow) or ""
            local status = tonumber(said:match("^HTTP/1.1 (%d+)"))
            assert(status == 400 or status == 429 or status == 503, said)
            if status ~= 400 then assert(said:lower():find("\r\nretry%-after: %d+\r\n"), said) end
            seen[status] = (seen[status] or 0) + 1
            s:close()
        end
        return seen
    end

    it("is bounded by the queue of the hashes: 503 with Retry-After above it, chats go on", function()
        local n = node.start {["crypt.ops"] = 2, ["crypt.memory"] = "16MiB", ["crypt.queue"] = 16, ["crypt.threads"] = 1,
            ["script.timeout"] = "60s", ["http.deadline"] = "60s"} -- for those that wait for a slow machine's hashes
        local before = attack.memory(n)
        attack.beside(n, function()
            local seen = flood(n, 300)
            assert.truthy((seen[503] or 0) > 0 and (seen[400] or 0) >= 16, json.encode {busy = seen[503] or 0, wrong = seen[400] or 0})
        end)
        assert.truthy(attack.memory(n) - before < 40 * attack.heavy)
        attack.unharmed(n)
        n:finish()
    end)

    it("from one address is 429 with Retry-After, and another address is not concerned", function()
        local n = node.start {["limits.auth_addr"] = "5/50"}
        local seen = flood(n, 200)
        assert.truthy(seen[429] >= 100, seen[429])
        local other = require("spec.support.http").new(n.http_address, {bind = "127.0.0.8"})
        assert.equal(400, other:request("POST", "/api/auth/login", {body = {username = "nobody", password = "wrong password"}}).status)
        other:close()
        attack.unharmed(n)
        n:finish()
    end)
end)
