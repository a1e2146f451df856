-- Sockets that misbehave: half-open by the thousand, dripping, cut in the middle, heads made to smuggle. Memory stays flat, the
-- deadline frees them, and a bystander in a process of its own is answered within a second all the time.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local files = require "spec.support.files"
local ws = require "spec.support.ws"
local P = require "parley_spec"

local MANY <const> = 1000
local FLAT <const> = 40 * attack.heavy -- MiB that 1,000 half-open sockets may cost at most

describe("half-open sockets", function()
    local n, base
    setup(function()
        n = node.start {["ws.mode"] = "open", ["http.deadline"] = "4s", ["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0",
            ["files.stall"] = "4s"}
        n:person()
        base = attack.metric(n, "connections")
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    -- opens 1,000, keeps them while a bystander goes on, gives what the server did with them
    local function flood(bytes_of, after)
        local before, socks = attack.memory(n), {}
        attack.beside(n, function()
            for i = 1, MANY do socks[i] = attack.raw(n, bytes_of(i)) end
            assert.truthy(node.eventually(function() return attack.metric(n, "connections") >= MANY / 2 end))
            assert.truthy(attack.memory(n) - before < FLAT, ("%.1f MiB more"):format(attack.memory(n) - before))
            if after then after(socks) end
        end)
        for i, s in ipairs(socks) do s:close(i % 2 == 0) end
        assert.truthy(node.eventually(function() return attack.metric(n, "connections") <= base + 3 end, 10000))
    end

    -- each is ended by the server within the deadline: with a 504, or cut
    local function ends_by_itself(socks)
        for i, s in ipairs(socks) do
            local done, said = attack.ended(s, 20000)
            assert.truthy(done, "socket " .. i .. " is still open")
            assert.truthy(said == "" or said:find("^HTTP/1.1 504 ") or said:find("^HTTP/1.1 408 "), said:sub(1, 200))
        end
    end

    it("that send nothing cost little", function() flood(function() end) end)
    it("with half a request line are ended by the deadline", function() flood(function() return "GET /heal" end, ends_by_itself) end)
    it("with half a head are ended by the deadline", function()
        flood(function(i) return "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nX-Pad: " .. ("p"):rep(i % 4000) end, ends_by_itself)
    end)
    it("with half a body are ended by the deadline with 504", function()
        flood(function()
            return "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{\"username\":\"" .. ("x"):rep(2000)
        end, function(socks)
            for i, s in ipairs(socks) do
                local done, said = attack.ended(s, 20000)
                assert.truthy(done, i)
                assert.truthy(said:find("^HTTP/1.1 504 ") and said:find("context deadline exceeded", 1, true), said:sub(1, 300))
            end
        end)
    end)
    it("with half a chunked body are ended by the deadline", function()
        flood(function()
            return "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n{\"username\":\"" .. ("x"):rep(900)
        end, ends_by_itself)
    end)
    it("with half an upload are cut when no byte comes, above files.uploads they get 503", function()
        local links = {}
        for _ = 1, MANY // 100 do
            local person = n:person()
            for _ = 1, 100 do links[#links + 1] = files.ticket(person, {size = 500000}).upload_url end
        end
        local half = ("PUT %%s HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 500000\r\n\r\n%s"):format(("x"):rep(7000))
        local cut, busy = 0, 0
        flood(function(i) return half:format(links[i]) end, function(socks)
            for i, s in ipairs(socks) do
                local done, said = attack.ended(s, 20000)
                assert.truthy(done, i)
                if said == "" then cut = cut + 1 else busy = busy + (said:find("^HTTP/1.1 503 ") and 1 or 0) end
            end
        end)
        assert.equal(MANY, cut + busy)
        assert.truthy(cut >= 200 and busy >= 200, cut .. " cut, " .. busy .. " busy")
    end)
    it("with half a frame are legal, and cost little", function()
        local half = ws.frame(ws.TEXT, '{"type":"ping","id":"' .. ("x"):rep(3000), {len = 60000})
        flood(function(i)
            return ("GET /ws?user_id=%d HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n%s"):format(200000 + i, n.http_address, half)
        end)
    end)
end)

describe("the deadline of a request", function()
    local n
    setup(function() n = node.start {["http.deadline"] = "1s"} end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    local function drip(bytes, every)
        local c = attack.raw(n)
        for b in bytes:gmatch "." do
            local sent = c:send(b) -- where it has ended, what it said before is still to be read
            local said = c:recv(65536, every)
            if said or not sent then
                c:close()
                return said or ""
            end
        end
        c:close()
        return "all of it was read"
    end

    it("ends a socket that drips one byte at a time, which is not kept by its dripping", function()
        local body = '{"username":"' .. ("x"):rep(400) .. '"}'
        local head = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #body .. "\r\n\r\n"
        local said = drip(head .. body, 20)
        assert.truthy(said == "" or said:find("^HTTP/1.1 504 "), said)
        -- the head at once, the body by drops
        local c = attack.raw(n, head)
        local started = P.now()
        repeat
            c:send("x")
            said = c:recv(65536, 50)
        until said or P.now() - started > 15000
        assert.truthy(said and said:find("^HTTP/1.1 504 ") and said:find("context deadline exceeded", 1, true), said)
        c:close()
    end)

    it("is one for head and body together, from the first byte on", function()
        -- one of its own for the body could not be over before 1,500 ms; a busy machine may take as long, but not each time
        assert.truthy(node.eventually(function()
            local started = P.now()
            local c = attack.raw(n, "POST /api/auth/login HTTP/1.1\r\n")
            local early = c:recv(65536, 500)
            c:send("Host: a\r\nContent-Length: 9\r\n\r\n")
            local said = early or c:recv(65536)
            local took = P.now() - started
            c:close()
            assert.truthy(said and (said == "" or said:find("^HTTP/1.1 504 ")), said)
            assert.truthy(took >= 980, took)
            return not early and said ~= "" and took < 1450
        end, 60000))
    end)
end)

describe("a socket", function()
    local n, lena, tom, chat
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        lena, tom = n:person(), n:person()
        chat = lena:chat(tom)
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    it("with a body that does not fit beside those of others gets 503, and the others go on", function()
        local small = node.start {["http.bodies"] = "64KiB"}
        local body = '{"username":"nobody","password":"' .. ("x"):rep(40000) .. '"}'
        local head = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #body .. "\r\n\r\n"
        local first = attack.raw(small, head .. body:sub(1, -2))
        assert.truthy(node.eventually(function() return attack.metric(small, "http_body_bytes") == #body - 1 end))
        local function try()
            local c = attack.raw(small, head .. body)
            local said = c:recv(65536, 20000)
            c:close()
            return said and said:match("^HTTP/1.1 (%d+)")
        end
        assert.equal("503", try())
        first:send("}")
        assert.equal("400", first:recv(65536, 20000):match("^HTTP/1.1 (%d+)"))
        assert.equal("400", try())
        first:close()
        small:finish()
    end)

    it("that sends its head in single bytes fast enough is served", function()
        local c = n:http()
        c:connect()
        for b in ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"):gmatch "." do c.sock:send(b) end
        assert.equal(200, c:read().status)
        c:close()
    end)

    it("that is reset in the middle of anything harms nobody, and what was acknowledged is there", function()
        local login = '{"username":"x","password":"y"}'
        local send = ('{"conversation_id":%d,"client_msg_id":"rst%%d","text":"x"}'):format(chat)
        local upgrade = attack.handshake(n, lena.token, "rst")
        local shapes = {
            function() return "" end, function() return "P" end, function() return "GET /healthz HTTP/1.1\r\nHost" end,
            function() return "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" end, -- before the answer is read
            function() return "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #login .. "\r\n\r\n" .. login end,
            function() return "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"us" end,
            function(i)
                local body = send:format(i)
                return ("POST /api/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"):format(
                    lena.token, #body, body)
            end,
            function() return upgrade:sub(1, 100) end, function() return upgrade end,
            function() return upgrade .. ws.frame(ws.TEXT, '{"type":"ping"}') end,
            function() return upgrade .. ws.frame(ws.TEXT, '{"type":"sy', {fin = false}) end,
            function() return upgrade .. ws.frame(ws.TEXT, '{"type":"sync","data":{}}'):rep(20) end,
            function() return upgrade .. ws.frame(ws.CLOSE, "\3\232") end,
            function(i)
                return upgrade .. ws.frame(ws.TEXT,
                    ('{"type":"message","data":{"conversation_id":%d,"client_msg_id":"w%d","content":"x"}}'):format(chat, i))
            end,
            function() return "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" end,
        }
        attack.beside(n, function()
            for i = 1, 40 do
                for k, shape in ipairs(shapes) do
                    local s = attack.raw(n, shape(i))
                    if (i + k) % 3 == 0 then s:recv(1, 5) end
                    s:close(true)
                end
            end
        end)
        for i, m in ipairs(lena:history(chat)) do assert.equal(i, m.seq) end
        assert.truthy(node.eventually(function() return attack.metric(n, "connections") <= 3 end))
        assert.truthy(node.eventually(function() return attack.metric(n, "users_online") == 0 end))
    end)

    it("may send 5 KB of cookies and 90 headers; 33 KB of headers are 431", function()
        local headers = {"Cookie: " .. ("c=1; "):rep(1000)}
        for i = 1, 90 do headers[#headers + 1] = ("X-%d: %d"):format(i, i) end
        assert.equal(200, n:api("GET", "/healthz", {headers = headers}).status)
        local c = assert(lena:socket("cookies", {headers = headers}))
        c:close()
        headers = {}
        for i = 1, 2000 do headers[i] = ("X-%05d: 12345678"):format(i) end
        local h = n:http()
        assert.equal(431, h:request("GET", "/healthz", {headers = headers}).status)
        h:close()
    end)

    it("gets its pipelined sends answered in order, and stored in order", function()
        local c, all = n:http(), {}
        local group = lena:group({tom}, "pipeline")
        for i = 1, 50 do
            local body = ('{"conversation_id":%d,"client_msg_id":"p%d","text":"x"}'):format(group, i)
            all[i] = ("POST /api/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"):format(
                lena.token, #body, body)
        end
        c:connect():send(table.concat(all))
        for i = 1, 50 do
            local r = assert(c:read())
            assert.equal(200, r.status, r.body)
            assert.truthy(r.body:find(('"seq":%d,'):format(i), 1, true), r.body)
            assert.truthy(r.body:find(('"client_msg_id":"p%d"'):format(i), 1, true), r.body)
        end
        c:close()
    end)

    it("that asks 200 times for the history and reads nothing costs no more than one answer", function()
        local group = lena:group({tom}, "long")
        for i = 1, 60 do lena:say(group, ("x"):rep(16000) .. i) end
        local request = ("GET /api/messages/history?conversation_id=%d HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n"):format(
            group, lena.token)
        local before, socks = attack.memory(n), {}
        attack.beside(n, function()
            for i = 1, 5 do socks[i] = attack.raw(n, request:rep(200), {rcvbuf = 4096}) end
            P.pause(1000)
            local more = attack.memory(n) - before
            assert.truthy(more < 30 * attack.heavy, ("%.1f MiB more"):format(more))
        end)
        for _, s in ipairs(socks) do s:close(true) end
    end)
end)

describe("a request made to smuggle another", function()
    local n
    setup(function() n = node.start() end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    local post, inner = "POST /api/auth/login HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    for what, bytes in pairs {
        ["length beside chunks"] = post .. "Host: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ["chunks before length"] = post .. "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        ["xchunked"] = post .. "Host: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ["chunked, identity"] = post .. "Host: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        ["chunked twice"] = post .. "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ["vertical tab in the value"] = post .. "Host: a\r\nTransfer-Encoding: \11chunked\r\n\r\n0\r\n\r\n",
        ["blank before the colon"] = post .. "Host: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ["tab before the colon"] = post .. "Host: a\r\nContent-Length\t: 2\r\n\r\n{}",
        ["folded coding"] = post .. "Host: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        ["a line end of CR alone"] = post .. "Host: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n",
        ["a NUL in a value"] = post .. "Host: a\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        ["two lengths"] = post .. "Host: a\r\nContent-Length: 2\r\nContent-Length: 0\r\n\r\n{}",
        ["a list of lengths"] = post .. "Host: a\r\nContent-Length: 2, 2\r\n\r\n{}",
        ["a length of hex"] = post .. "Host: a\r\nContent-Length: 0x2\r\n\r\n{}",
        ["a negative length"] = post .. "Host: a\r\nContent-Length: -1\r\n\r\n",
        ["a length with a blank inside"] = post .. "Host: a\r\nContent-Length: 1 2\r\n\r\n{}",
        ["a length beyond 2^64"] = post .. "Host: a\r\nContent-Length: 18446744073709551617\r\n\r\n{}",
        ["an empty length"] = post .. "Host: a\r\nContent-Length:\r\n\r\n",
        ["a chunk size of 2^64"] = post .. "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
        ["a signed chunk size"] = post .. "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
        ["a chunk size 0x2"] = post .. "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        ["a chunk that is longer than it says"] = post .. "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        ["no host"] = post .. "Content-Length: 2\r\n\r\n{}",
        ["two hosts"] = post .. "Host: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
        ["chunks by HTTP/1.0"] = "POST /api/auth/login HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ["HTTP/2.0"] = "GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", ["HTTP/1.10"] = "GET /healthz HTTP/1.10\r\nHost: a\r\n\r\n",
        ["no version"] = "GET /healthz\r\nHost: a\r\n\r\n", ["two blanks"] = "GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        ["a control in the path"] = "GET /health\1z HTTP/1.1\r\nHost: a\r\n\r\n",
        ["a header without a name"] = "GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
        ["a header with a blank in its name"] = "GET /healthz HTTP/1.1\r\nHost: a\r\nX Y: x\r\n\r\n",
        ["a line that is no header"] = "GET /healthz HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n",
        ["a blank before the first header"] = "GET /healthz HTTP/1.1\r\n Host: a\r\n\r\n",
        ["garbage"] = "\22\3\1\2\0\1\0\1\252\3\3" .. ("\200"):rep(200) .. "\r\n\r\n",
        ["the HTTP/2 preface"] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    } do
        it("is refused and the connection closed: " .. what, function()
            local s = attack.raw(n, bytes .. inner)
            local done, said = attack.ended(s, 20000)
            s:close()
            assert.truthy(done, "still open")
            local status = said:match("^HTTP/1.1 (%d+)")
            assert.truthy(said == "" or status == "400" or status == "505" or status == "501", said)
            local _, answers = said:gsub("HTTP/1.1 ", "")
            assert.truthy(answers <= 1 and not said:find('{"status":"ok"}', 1, true), said)
        end)
    end
end)
