-- TLS on both listeners: HTTP through curl, WebSocket through openssl's client, and bytes that are no TLS at all.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local json = require "spec.support.json"
local ws = require "spec.support.ws"
local P = require "parley_spec"

local function sh(command, ...)
    local words = {}
    for i, word in ipairs {...} do words[i] = "'" .. tostring(word):gsub("'", "'\\''") .. "'" end
    local p = io.popen(command .. " " .. table.concat(words, " ") .. " 2>&1", "r")
    local said = p:read("a")
    local ok = p:close()
    return said, ok
end

describe("a node with TLS", function()
    local n, dir, cert, http_port, ws_port, lena, tom
    setup(function()
        dir = P.tmpdir()
        cert = dir .. "/cert.pem"
        local said, ok = sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
            .. "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout " .. dir .. "/key.pem -out " .. cert)
        assert(ok, said)
        local conf = {["http.deadline"] = "4s"}
        for _, name in ipairs {"http", "ws"} do
            conf[name .. ".tls_cert"], conf[name .. ".tls_key"] = cert, dir .. "/key.pem"
        end
        n = node.start(conf)
        http_port, ws_port = n.http_address:match(":(%d+)$"), n.ws_address:match(":(%d+)$")
    end)
    teardown(function()
        assert.truthy(attack.alive(n))
        assert.falsy(n:log():find("Z error ", 1, true), n:log())
        n:finish()
        P.rmtree(dir)
    end)

    -- status and parsed body of a request through curl
    local function curl(method, path, token, body, port)
        local args = {"-X", method, "--cacert", cert, "--max-time", "30", "-w", "\n%{http_code}",
            "https://localhost:" .. (port or http_port) .. path}
        if token then table.move({"-H", "Authorization: Bearer " .. token}, 1, 2, #args + 1, args) end
        if body then table.move({"-d", json.encode(body)}, 1, 2, #args + 1, args) end
        local said = sh("curl -sS --http1.1", table.unpack(args))
        local text, status = said:match("^(.*)\n(%d+)%s*$")
        assert(status and status ~= "000", said)
        return tonumber(status), text:sub(1, 1) == "{" and json.decode(text) or text
    end

    -- a WebSocket through `openssl s_client`: what is sent goes to its stdin, what comes is in a file
    local function open(token, device, port)
        local out = ("%s/%s.out"):format(dir, device)
        local pipe = io.popen(("openssl s_client -quiet -no_ign_eof -CAfile '%s' -verify_return_error -servername localhost"
            .. " -connect localhost:%s >'%s' 2>'%s.err'"):format(cert, port or ws_port, out, out), "w")
        pipe:setvbuf("no")
        pipe:write(attack.handshake(n, token, device))
        local c = setmetatable({sock = {send = function(_, bytes) return pipe:write(bytes) end, close = function() pipe:close() end},
            buf = "", kept = {}}, ws)
        local at = 0
        c.sock.recv = function(_, _, timeout)
            local till = P.now() + (timeout or 20000)
            repeat
                local all = attack.slurp(out)
                if #all > at then
                    local new = all:sub(at + 1)
                    at = #all
                    return new
                end
                P.pause(10)
            until P.now() > till
            return nil, "timeout"
        end
        local head = c:head()
        assert(head and head:find("^HTTP/1.1 101"), (head or "no answer") .. attack.slurp(out .. ".err"))
        c.welcome = c:next()
        return c
    end

    it("serves the API: register, log in, chat, with the certificate checked", function()
        local function register(name)
            local status, r = curl("POST", "/api/auth/register", nil, {username = name, password = "correct horse 9"})
            assert.equal(200, status)
            return {id = r.data.profile.user.id, token = r.data.access_token}
        end
        lena, tom = register "lena", register "tom"
        local status, r = curl("POST", "/api/conversations", lena.token, {type = 1, member_ids = {tom.id}})
        assert.equal(200, status)
        lena.chat = r.data.id
        status = curl("POST", "/api/messages", lena.token, {conversation_id = lena.chat, client_msg_id = "t1", text = "over TLS"})
        assert.equal(200, status)
        status, r = curl("GET", "/api/messages/history?conversation_id=" .. lena.chat, tom.token)
        assert.same({200, "over TLS"}, {status, r.data[1].body.text.text})
        assert.equal(401, (curl("GET", "/api/users/me", "a.b.c")))
        assert.equal(200, (curl("GET", "/healthz", nil, nil, ws_port)))
    end)

    it("sends a big answer whole", function()
        local status, text = curl("GET", "/openapi.json")
        assert.equal(200, status)
        assert.truthy(text.paths["/api/messages"])
    end)

    it("serves WebSockets on both listeners: welcome, ping, message, push", function()
        local a, b = open(lena.token, "a"), open(tom.token, "b", http_port)
        assert.same({"connected", "connected"}, {a.welcome.data.status, b.welcome.data.status})
        assert.equal("pong", a:ask("ping").type)
        local ack = a:ask("message", {conversation_id = lena.chat, client_msg_id = "t2", content = ("long "):rep(3000)})
        assert.same({"message_ack", 2}, {ack.type, ack.data.seq})
        local m = b:push("new_message")
        assert.same({2, ("long "):rep(3000)}, {m.data.seq, m.data.content.text.text})
        a:close()
        b:close()
    end)

    it("refuses bytes that are no TLS, and who does not know the certificate refuses it", function()
        for _, bytes in ipairs {"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", ("\0"):rep(500), "\22\3\1\255\255" .. ("x"):rep(3000),
            "\21\3\1\0\2\2\40", ("\255"):rep(20000)} do
            local s = attack.raw(n, bytes)
            local done, said = attack.ended(s, 10000)
            assert.truthy(done, "still open")
            assert.falsy(said:find("HTTP/1.1 200", 1, true))
            s:close()
        end
        local said = sh("curl -sS --max-time 30", "https://localhost:" .. http_port .. "/healthz")
        assert.truthy(said:find("certificate", 1, true), said)
        assert.equal(200, (curl("GET", "/healthz")))
    end)

    -- a ClientHello of TLS 1.2 that makes the server sign, whoever reads the answer
    local function hello()
        local extensions = "\0\10\0\6\0\4\0\29\0\23" .. "\0\13\0\6\0\4\4\3\8\4" .. "\0\11\0\2\1\0"
        local body = "\3\3" .. ("r"):rep(32) .. "\0" .. "\0\4\xc0\x2b\xc0\x2f" .. "\1\0" .. string.pack(">s2", extensions)
        local handshake = "\1" .. string.pack(">I3", #body) .. body
        return "\22\3\1" .. string.pack(">s2", handshake)
    end

    it("takes 300 half handshakes, ends them by the deadline, and serves others meanwhile", function()
        local before, socks = attack.memory(n), {}
        for i = 1, 100 do
            socks[#socks + 1] = attack.raw(n)
            socks[#socks + 1] = attack.raw(n, hello():sub(1, 20 + i % 30))
            socks[#socks + 1] = attack.raw(n, hello())
        end
        local answered = 0
        for i = 3, #socks, 3 do
            local said = socks[i]:recv(10, 20000)
            answered = answered + (said and said:byte() == 22 and 1 or 0)
        end
        assert.equal(100, answered)
        assert.equal(200, (curl("GET", "/healthz")))
        assert.truthy(attack.memory(n) - before < 40 * attack.heavy, attack.memory(n) - before)
        for i = 3, #socks, 3 do assert.truthy(attack.ended(socks[i], 20000), i) end
        for _, s in ipairs(socks) do s:close(true) end
        assert.equal(200, (curl("GET", "/healthz")))
    end)

    it("takes 100 whole handshakes one after the other without growing", function()
        local function round(count)
            local urls = {}
            for i = 1, count do urls[i] = "https://localhost:" .. http_port .. "/healthz?" .. i end
            -- a new connection for each
            return sh("curl -sS --http1.1 -H 'Connection: close' --cacert " .. cert, table.unpack(urls))
        end
        local said = round(50)
        assert.equal(50, select(2, said:gsub('"ok"', "")), said)
        local before = attack.memory(n)
        said = round(50)
        assert.equal(50, select(2, said:gsub('"ok"', "")), said)
        assert.truthy(attack.memory(n) - before < 8 * attack.heavy)
    end)

    it("with a key that is none, or another one's, does not start and names the key", function()
        for _, bad in ipairs {dir .. "/no.pem", cert} do
            local other = P.tmpdir()
            local process = assert(P.spawn(node.arguments(other, {["ws.tls_cert"] = cert, ["ws.tls_key"] = bad}), other .. "/log"))
            local status = process:wait(20000 * node.slow)
            assert.truthy(status and status ~= 0)
            assert.truthy(attack.slurp(other .. "/log"):find("ws.tls_key", 1, true) or attack.slurp(other .. "/log"):find(bad, 1, true),
                attack.slurp(other .. "/log"))
            P.rmtree(other)
        end
    end)
end)
