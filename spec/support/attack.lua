-- What the specs that attack a node have in common: what the node costs (memory, CPU, descriptors), a bystander that must
-- not notice, raw sockets by the hundred.
local P = require "parley_spec"
local node = require "spec.support.node"
local ws = require "spec.support.ws"

local attack = {}
-- a sanitizer build keeps what was freed for a while: what it takes says little
attack.heavy = node.slow > 1 and 30 or 1

local function slurp(path)
    local f = io.open(path)
    if not f then return "" end
    local text = f:read("a")
    f:close()
    return text
end
attack.slurp = slurp

--- Resident memory of the node in MiB.
function attack.memory(n)
    return tonumber(slurp(("/proc/%d/status"):format(n.process:pid())):match("VmRSS:%s+(%d+)")) / 1024
end

--- CPU seconds the node has used.
function attack.cpu(n)
    local rest = slurp(("/proc/%d/stat"):format(n.process:pid())):match("%) (.*)")
    local fields = {}
    for f in rest:gmatch("%S+") do fields[#fields + 1] = f end
    return (tonumber(fields[12]) + tonumber(fields[13])) / 100
end

function attack.alive(n) return n.process:wait(0) == nil end

--- A value of /metrics, "connections" or 'closes_total{code="4003"}'; 0 when it is not there.
function attack.metric(n, name)
    local c = n:http()
    local body = c:request("GET", "/metrics").body
    c:close()
    local plain = name:gsub("%p", "%%%0")
    return tonumber(("\n" .. body):match("\nparley_" .. plain .. " (%S+)") or 0)
end

function attack.raw(n, bytes, opt)
    local c = n:http()
    local sock = assert(P.connect(c.host, c.port, opt))
    if bytes then sock:send(bytes) end
    return sock
end

--- Waits until the server has ended this socket: true, and what it said before.
function attack.ended(sock, ms)
    local till, said = P.now() + ms * node.slow, {}
    while P.now() < till do
        local bytes, why = sock:recv(65536, math.max(1, till - P.now()))
        if bytes == "" or (not bytes and why ~= "timeout") then return true, table.concat(said) end
        said[#said + 1] = bytes
    end
    return false, table.concat(said)
end

--- An open WebSocket of an unread socket: its TCP buffer is small, nobody reads it.
function attack.unread(person, device)
    return assert(person:socket(device, {rcvbuf = 4096}))
end

function attack.handshake(n, token, device)
    return ("GET /ws?token=%s&device_id=%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"):format(token, device, n.http_address)
end

--- Starts a bystander; its :finish() tells for how many ms the node let it wait at most, at most but for that once, and the number of
--- rounds.
function attack.bystander(n)
    local a, b = n:person(), n:person()
    local stop, log = os.tmpname(), os.tmpname()
    os.remove(stop)
    local self = {process = assert(P.spawn({"lua5.4", "spec/support/bystander.lua", n.ws_address, a.token, b.token,
        tostring(a:chat(b)), stop, tostring(n.process:pid())}, log))}
    local line, why = self.process:line(20000 * node.slow)
    assert(line == "ready", tostring(why) .. "\n" .. slurp(log))
    function self.finish()
        io.open(stop, "w"):close()
        local told = self.process:line(100000)
        local said = slurp(log)
        os.remove(stop)
        os.remove(log)
        assert(told, "the bystander got no answer:\n" .. said)
        local worst, second, rounds = told:match("worst (%d+) second (%d+) rounds (%d+)")
        return tonumber(worst), tonumber(second), tonumber(rounds)
    end
    return self
end

--- May it be that nobody waited longer than a second for a node that is not held up? A whole machine stands still now and then, for what
--- no thread's account tells: once, not again and again as a flood does.
function attack.answered(worst, second) return second < 1000 * node.slow and worst < 5000 * node.slow end

--- Runs what() beside a bystander, which must be answered within a second all the time.
function attack.beside(n, what)
    local b = attack.bystander(n)
    local ok, fault = pcall(what)
    local worst, second, rounds = b.finish()
    assert(ok, fault)
    assert(rounds > 0)
    assert(attack.answered(worst, second), ("a bystander waited %d and %d ms"):format(worst, second))
end

--- The log without errors, and the node answers.
function attack.unharmed(n)
    assert(attack.alive(n), "the node has ended\n" .. n:log())
    n.client = nil
    assert(n:api("GET", "/healthz").status == 200)
    local log = n:log()
    local bad = log:match("[^\n]*Z error [^\n]*")
    assert(not bad, bad)
end

attack.frame = ws.frame
return attack
