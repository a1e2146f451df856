-- PROTOCOL.md section 15 and the command line: a stop under load, a second TERM, one directory for one node, bad configurations.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local json = require "spec.support.json"
local ws = require "spec.support.ws"
local P = require "parley_spec"

local SENDERS <const> = 8

describe("a stop", function()
    -- sends without end on all sockets until each has been closed; what was acknowledged, and when each was closed with what
    local function load_until_closed(socks, group, acked)
        local closes, live, sent = {}, #socks, {}
        for i = 1, #socks do sent[i] = 0 end
        local started = P.now()
        while live > 0 and P.now() - started < 30000 * node.slow do
            for i, c in pairs(socks) do
                while not closes[i] and sent[i] < 8 do
                    local cid = ("d%d.%d.%d"):format(i, P.now(), math.random(1 << 30))
                    if not c:send {type = "message", data = {conversation_id = group, client_msg_id = cid, content = cid}} then break end
                    sent[i] = sent[i] + 1
                end
                while not closes[i] do
                    local m, why, code = c:next(0)
                    if not m and why == "timeout" then break end
                    if not m then
                        closes[i] = {code = code, at = P.now() - started, why = why}
                        live = live - 1
                    elseif m.type == "message_ack" then
                        acked[m.data.client_msg_id], sent[i] = m.data, sent[i] - 1
                    elseif m.type == "error" then
                        assert.equal("busy", m.data.code)
                        sent[i] = sent[i] - 1
                    end
                end
            end
            P.pause(1)
        end
        return closes
    end

    it("under load: readyz 503, new sockets 503, every socket 1012 spread over drain.time, every ack kept, exit 0", function()
        local n = node.start {["drain.time"] = "6s", ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        local people, socks, acked = {}, {}, {}
        for i = 1, SENDERS do people[i] = n:person() end
        local group = people[1]:group({table.unpack(people, 2)}, "drain")
        for i, p in ipairs(people) do
            socks[2 * i - 1], socks[2 * i] = p:socket("one"), p:socket("two")
        end
        local http = n:http()
        assert.equal(200, http:request("GET", "/readyz").status)
        n.process:kill(15)
        -- seen from outside
        local r = node.eventually(function()
            local one = http:request("GET", "/readyz")
            return one.status == 503 and one
        end)
        assert.truthy(r)
        assert.equal("not_ready", r.json.status)
        assert.equal("close", r.headers.connection)
        local none, status, head, body = ws.open(n.ws_address, "/ws?device_id=late&token=" .. people[1].token)
        assert.is_nil(none)
        assert.same({503, "busy"}, {status, json.decode(body).code})
        assert.truthy(head:lower():find("retry%-after: %d"))
        r = people[1]:get("/api/conversations/" .. group) -- HTTP goes on
        assert.same({200, "close"}, {r.status, r.headers.connection})
        local closes = load_until_closed(socks, group, acked)
        local first, last = math.huge, 0
        for i = 1, #socks do
            assert.same({1012}, {closes[i] and closes[i].code}, closes[i] and closes[i].why)
            first, last = math.min(first, closes[i].at), math.max(last, closes[i].at)
        end
        assert.truthy(last - first > 500, ("all within %d ms"):format(last - first))
        for _, c in ipairs(socks) do c:close() end
        assert.equal(0, n.process:wait(20000 * node.slow))
        n.client = nil
        n:up()
        local stored = {}
        for i, m in ipairs(people[1]:history(group)) do
            assert.equal(i, m.seq)
            stored[m.client_msg_id] = m
        end
        local count = 0
        for cid, ack in pairs(acked) do
            count = count + 1
            assert.same({ack.message_id, ack.seq}, {stored[cid] and stored[cid].id, stored[cid] and stored[cid].seq}, cid)
        end
        assert.truthy(count > 0)
        n:finish()
    end)

    -- A sender's messages are acknowledged in their order, so what was is the first so many of each: all of them are there when no
    -- number is missing below the last one and there are as many as acks.
    local function check_stored(history, acked, sent)
        local numbers, last = {}, {}
        for i, m in ipairs(history) do
            assert.equal(i, m.seq)
            local sender, n = m.sender_id, math.tointeger(tonumber(m.client_msg_id:match("%-(%d+)$")))
            numbers[sender] = numbers[sender] or {}
            assert.is_nil(numbers[sender][n], "stored twice")
            numbers[sender][n], last[sender] = true, math.max(last[sender] or 0, n)
        end
        for sender, own in pairs(numbers) do
            for n = 0, last[sender] do assert.truthy(own[n], ("message %d of %d is lost"):format(n, sender)) end
        end
        assert.truthy(#history >= acked and #history <= sent, ("%d of %d to %d"):format(#history, acked, sent))
    end

    it("under wsbench's load: exit 0, every socket is told, and nothing acknowledged is lost", function()
        local USERS <const> = 20
        local n = node.start {["drain.time"] = "500ms", ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        local bench = assert(P.spawn({"build/wsbench", "--output", "json", "--mode", "messaging", "--conns", tostring(USERS),
            "--group-size", tostring(USERS), "--inflight", "8", "--duration", "60s", "--settle", "300ms", "--processes", "1",
            "--target", "ws://" .. n.ws_address .. "/ws", "--http", "http://" .. n.http_address}, n.dir .. "/bench"))
        local somebody = n:person()
        local function first_user()
            local r = n:api("POST", "/api/auth/login", {body = {username = "bench.0", password = "wsbench password"}})
            return r.status == 200 and setmetatable({node = n, token = r.json.access_token}, getmetatable(somebody))
        end
        local user = node.eventually(first_user, 20000)
        local chat
        assert.truthy(node.eventually(function()
            local one = user:get("/api/conversations").json.data[1]
            chat = one and one.id
            return one and one.latest_seq > 500
        end, 60000), attack.slurp(n.dir .. "/bench"))
        local before = P.now()
        n.process:kill(15)
        local status = n.process:wait(30000 * node.slow)
        local took = P.now() - before
        local unseen = ("^ *%%d+: %%x+:%%x+ %%x+:%04X 08 "):format(n.ws_address:match "%d+$") -- ended by the node, still open at the bench
        assert.truthy(node.eventually(function()
            for line in io.lines "/proc/net/tcp" do if line:find(unseen) then return false end end
            return true
        end))
        bench:kill(2)
        local result = json.decode((assert(bench:line(20000 * node.slow))))
        assert.equal(0, status)
        assert.truthy(result.messages_acked > 500)
        assert.same({USERS, 0, 0, 0}, {result.disconnects, result.duplicates, result.disorder, result.corrupt})
        n.client = nil
        n:up()
        check_stored(user:history(chat), result.messages_acked, result.messages_sent)
        n:finish()
        if os.getenv("SPEC_FIGURES") then
            print(("  TERM under %d sockets: exit 0 after %d ms; %d acked of %d sent"):format(USERS, took, result.messages_acked,
                result.messages_sent))
        end
    end)

    it("without sockets takes no time; a second TERM ends a long one at once", function()
        local n = node.start {["drain.time"] = "60s"}
        local before = P.now()
        assert.equal(0, n:stop())
        assert.truthy(P.now() - before < 30000)
        n.client = nil
        n:up()
        local p = n:person()
        local c, d = p:socket("c"), p:socket("d")
        n.process:kill(15)
        assert.truthy(node.eventually(function()
            local http = n:http()
            local r = http:request("GET", "/readyz")
            http:close()
            return r.status == 503
        end))
        before = P.now()
        n.process:kill(15)
        assert.truthy(n.process:wait(30000))
        assert.truthy(P.now() - before < 30000) -- not drain.time
        c:close()
        d:close()
        P.rmtree(n.dir)
    end)
end)

describe("a start", function()
    local function run(arguments)
        local dir = P.tmpdir()
        local process = assert(P.spawn(arguments, dir .. "/log"))
        local status = process:wait(15000 * node.slow)
        local log = attack.slurp(dir .. "/log")
        P.rmtree(dir)
        return status, log
    end

    it("on a directory that another node has open is refused, says so, and the other goes on", function()
        local n = node.start()
        local p = n:person()
        local status, log = run(node.arguments(n.dir, {}))
        assert.truthy(status and status ~= 0, "the second node runs")
        assert.truthy(log:find(n.dir, 1, true) or log:find("data.dir", 1, true), log)
        assert.equal(200, p:get("/api/users/me").status)
        n:crash() -- a crash leaves no lock behind
        n.client = nil
        n:up()
        assert.equal(200, p:get("/api/users/me").status)
        n:finish()
    end)

    it("on an address that is taken is refused with the address", function()
        local n = node.start()
        local dir = P.tmpdir()
        local status, log = run(node.arguments(dir, {["http.listen"] = n.http_address}))
        P.rmtree(dir)
        -- (a listener per worker shares its port with those of the same process only)
        assert.truthy(status and status ~= 0, "two nodes share an address")
        assert.truthy(log:find(n.http_address, 1, true), log)
        n:finish()
    end)

    local function with_file(text)
        local dir = P.tmpdir()
        local path = dir .. "/node.conf"
        local f = io.open(path, "w")
        f:write(text)
        f:close()
        local args = node.arguments(dir, {})
        table.insert(args, 2, "--conf")
        table.insert(args, 3, path)
        local status, log = run(args)
        local checked, check_log = run {args[1], "check", "--conf", path, "--set", "auth.secret=" .. node.SECRET}
        P.rmtree(dir)
        return status, log, checked, check_log
    end

    for what, case in pairs {
        ["an unknown key"] = {'data = {\n  dir = "x",\n}\n\nhttp = {\n    listen = "127.0.0.1:0",\n    lissten = 1,\n}\n', 7,
            "http.lissten"},
        ["a value out of range"] = {'ws.max_devices = 32\nws.max_devices = 0\n', 2, "ws.max_devices"},
        ["a wrong type"] = {'-- first\nrecall.window = true\n', 2, "recall.window"},
        ["a bad duration"] = {'recall.window = "2 minutes"\n', 1, "recall.window"},
        ["no Lua data"] = {'http = {\n  listen = os.getenv("X"),\n}\n', 2, "http"},
    } do
        it("with " .. what .. " in its file exits 2 and names file, line and key; `check` too", function()
            local status, log, checked, check_log = with_file(case[1])
            assert.same({2, 2}, {status, checked}, log)
            for _, text in ipairs {log, check_log} do
                assert.truthy(text:find("node.conf:" .. case[2], 1, true), text)
                assert.truthy(text:find(case[3], 1, true), text)
            end
        end)
    end

    it("with a bad --set or environment names the key", function()
        local dir = P.tmpdir()
        local status, log = run(node.arguments(dir, {["ws.ping_interval"] = "soon"}))
        assert.equal(2, status)
        assert.truthy(log:find("ws.ping_interval", 1, true), log)
        status, log = run(node.arguments(dir, {["ws.ping_interval"] = "60s", ["ws.dead_after"] = "61s"}))
        assert.equal(2, status)
        assert.truthy(log:find("ws.dead_after", 1, true), log)
        P.rmtree(dir)
    end)

    it("with a wrong place for files exits 2 and says what is wrong, no secret; `check` too", function()
        local dir = P.tmpdir()
        for url, words in pairs {
            ["s3:/bucket"] = "s3://", ["s3://ab"] = "bucket's name", ["s3://bucket?endpoint=ftp://x"] = "endpoint",
            ["s3://bucket?endpoint=http://x&public=//y"] = "public", ["s3://bucket?style=odd"] = "style", ["ftp://x"] = "file:",
            ["s3://bucket?key=1"] = "'key=1' is not understood", ["s3://bucket"] = "files.s3_key",
        } do
            local key = words ~= "files.s3_key" and "a-key" or ""
            local args = node.arguments(dir, {["files.url"] = url, ["files.s3_key"] = key, ["files.s3_secret"] = "kept-quiet"})
            local status, log = run(args)
            table.insert(args, 2, "check")
            local checked, check_log = run(args)
            assert.same({2, 2}, {status, checked}, log)
            for _, text in ipairs {log, check_log} do
                assert.truthy(text:find("files%.") and text:find(words, 1, true), text)
                assert.falsy(text:find("kept-quiet", 1, true))
            end
        end
        P.rmtree(dir)
    end)
end)
