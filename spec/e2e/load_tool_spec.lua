-- The reference load tool (PROTOCOL.md section 17), seen from outside: two of its processes against a node in open mode whose limits are
-- far below what they do. It must never see a failed connection, an end that it did not ask for, a pong that does not come.
local node = require "spec.support.node"
local http = require "spec.support.http"
local json = require "spec.support.json"
local ws = require "spec.support.ws"
local P = require "parley_spec"

local CONNS <const>, ROUNDS <const> = 60, 8

-- One process: what it counts is what its report tells.
local tool = {}
tool.__index = tool

local function connect(target, i)
    local address, path = target:match "^ws://([^/]+)(/.*)$"
    local c, status, head = ws.open(address, ("%s?user_id=%d&device_id=bench_%d&platform=bench"):format(path, 100000 + i, i))
    assert(c, ("connection %d failed: %s %s"):format(i, status, head))
    assert(not c.handshake:lower():find("sec-websocket-extensions", 1, true), "an extension that nobody offered fails it")
    return c
end

-- Opens all of them, and reads nothing.
function tool.ramp(target)
    local self = setmetatable({conns = {}, pongs = {}, received = 0, disconnects = 0, errors = 0, sent = 0}, tool)
    for i = 0, CONNS - 1 do self.conns[i], self.pongs[i] = connect(target, i), 0 end
    return self
end

function tool:ping(i) self.conns[i]:send(('{"ts":%d000,"type":"ping"}'):format(os.time())) end
function tool:message(i)
    self.sent = self.sent + 1
    self.conns[i]:send(('{"data":{"content":"%s"},"id":"%d-%d%09d","ts":%d000,"type":"message"}'):format(("x"):rep(128), i, os.time(),
        self.sent, os.time()))
end

-- Reads on a connection until it has had so many pongs, and all of them so many errors. Control pings are answered meanwhile.
function tool:read(i, pongs, errors)
    while self.pongs[i] < pongs or self.errors < errors do
        local m, why = self.conns[i]:next(10000 * node.slow)
        if not m then
            self.disconnects = self.disconnects + 1
            error(("connection %d ended: %s"):format(i, why))
        end
        self.received = self.received + 1
        if m.type == "pong" then self.pongs[i] = self.pongs[i] + 1 end
        if m.type == "error" then
            self.errors = self.errors + 1
            assert.same({"bad_request", "invalid message data"}, {m.data.code, m.data.error})
            assert.truthy(m.id:find("^" .. i .. "%-%d+$"), m.id)
        end
    end
end

-- No close frame: the other side just sees the connection end.
function tool:quit(reset)
    for i = 0, CONNS - 1 do self.conns[i]:close(reset) end
end

describe("the reference load tool", function()
    local n
    local function stats()
        local c = http.new(n.ws_address)
        local text = c:request("GET", "/stats").body
        c:close()
        return text, json.decode(text)
    end
    local function metric(name)
        local c = http.new(n.ws_address)
        local v = c:request("GET", "/metrics").body:match("\nparley_" .. name .. " (%d+)")
        c:close()
        return math.tointeger(tonumber(v))
    end
    setup(function()
        n = node.start {
            ["ws.mode"] = "open", ["limits.handshake_addr"] = "1/1", ["limits.http_addr"] = "0", ["limits.ws_frames"] = "100/200",
            ["limits.ws_messages"] = "20/50", ["ws.ping_interval"] = "250ms", ["ws.dead_after"] = "750ms", ["ws.pong_timeout"] = "500ms",
        }
    end)
    teardown(function() n:finish() end)

    local function run(messaging)
        local target = "ws://" .. n.ws_address .. "/ws"
        local tools = {tool.ramp(target), tool.ramp(target)} -- both count from 0: they share all ids
        local text, s = stats()
        assert.truthy(text:find('^{"online_users":%d+,"total_connections":%d+,"total_messages":%d+'), text)
        assert.same({CONNS, 2 * CONNS}, {s.online_users, s.total_connections})
        -- a ramp of many times ws.dead_after, in which it reads nothing, not even pings: as long as a bystander gets 20 of them
        local bystander = connect(target, CONNS)
        for _ = 1, 20 do
            local f
            repeat f = assert(bystander:next_frame(10000 * node.slow)) until f.opcode == ws.PING
            bystander.sock:send(ws.frame(ws.PONG, f.payload))
        end
        bystander:close(true)
        for round = 1, ROUNDS do
            for _, t in ipairs(tools) do
                local errors = t.errors
                for i = 0, CONNS - 1 do
                    t:ping(i)
                    if messaging then t:message(i) end
                end
                for i = 0, CONNS - 1 do t:read(i, round, messaging and errors + i + 1 or 0) end
            end
        end
        for _, t in ipairs(tools) do
            local frames = CONNS * ROUNDS * (messaging and 2 or 1) + CONNS -- each has had its welcome, too
            assert.same({0, messaging and CONNS * ROUNDS or 0, frames}, {t.disconnects, t.errors, t.received})
            for i = 0, CONNS - 1 do assert.equal(ROUNDS, t.pongs[i]) end
        end
        tools[1]:quit(true)
        tools[2]:quit(false)
        local after
        assert.truthy(node.eventually(function()
            after = select(2, stats())
            return metric "ws_connections" == 0 and after.online_users == 0 and after.total_connections == 0
        end), json.encode(after))
    end

    it("connects, pings and leaves: nothing fails, nobody is dropped or replaced, no limit of addresses counts", function() run(false) end)

    it("sends messages without a conversation: each gets its error, and the socket stays", function() run(true) end)

    it("is kept by a node that stood still for many times ws.dead_after, and pinged nobody meanwhile", function()
        local c = connect("ws://" .. n.ws_address .. "/ws", CONNS + 1)
        for _ = 1, 3 do
            n.process:kill(19)
            P.pause(2000)
            n.process:kill(18)
            for _ = 1, 3 do
                local f
                repeat f = assert(c:next_frame(10000 * node.slow)) until f.opcode == ws.PING
            end
        end
        c:close()
    end)

    it("leaves nothing in the log that an operator must read, and nothing in the store", function()
        local log = n:log()
        for _, level in ipairs {"error", "warn"} do
            for line in log:gmatch "[^\n]+" do
                assert.falsy(line:find(" " .. level .. " ", 1, true) and not line:find("ws.mode=open", 1, true), line)
            end
        end
        assert.equal(0, metric 'messages_total{via="ws"}')
    end)

    it("the scripts around it find their pages", function()
        for address, paths in pairs {[n.ws_address] = {"/health", "/stats", "/metrics"}, [n.http_address] = {"/healthz"}} do
            local c = http.new(address)
            for _, path in ipairs(paths) do assert.equal(200, c:request("GET", path).status, path) end
            c:close()
        end
    end)
end)
