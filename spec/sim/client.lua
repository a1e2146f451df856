-- client: HTTP and WebSocket clients on the wires of the simulated world (spec/sim/wire.h). What waits for an answer is a coroutine
-- (client.task); whatever has waited longer than the protocol allows breaks the story.
local json = require "spec.support.json"

local client = {tasks = 0}
local wires = {}   -- id -> {bytes, on}
local waiting = {} -- in the order of their beginning: {what, since, over}

-- the longest time that any answer may take, beyond the deadline of an HTTP request (15 s) and its way
local PATIENCE = 25000

function client.broken(format, ...) error(format:format(...), 0) end

local function resume(co, ...)
    local ok, why = coroutine.resume(co, ...)
    if not ok then error(debug.traceback(co, why), 0) end
    if coroutine.status(co) == "dead" then client.tasks = client.tasks - 1 end
end

--- Runs fn as a coroutine that may wait.
function client.task(fn, ...)
    client.tasks = client.tasks + 1
    resume(coroutine.create(fn), ...)
end

--- An answer that is waited for: call wait() in the task, done(...) where the answer comes (once).
function client.expect(what)
    local e = {what = what, since = sim.now(), over = false}
    waiting[#waiting + 1] = e
    function e.done(...)
        if e.over then return end
        e.over = true
        if e.co then resume(e.co, ...) else e.early = table.pack(...) end
    end
    function e.wait()
        if e.over then return table.unpack(e.early, 1, e.early.n) end
        e.co = coroutine.running()
        return coroutine.yield()
    end
    return e
end

--- Ends the story when somebody has waited too long; the time in which there was no node does not count.
function client.check_patience(up_since)
    local kept = {}
    for _, e in ipairs(waiting) do
        if not e.over then
            kept[#kept + 1] = e
            if sim.now() - math.max(e.since, up_since) > PATIENCE then
                client.broken("no answer to %s, asked at %.0f, now %.0f", e.what, e.since, sim.now())
            end
        end
    end
    waiting = kept
end

--- Waits in logical time.
local sleepers = {}
function client.sleep(ms)
    sleepers[#sleepers + 1] = {sim.now() + ms, coroutine.running()}
    coroutine.yield()
end
function client.wake_sleepers()
    local due, kept = {}, {}
    for _, s in ipairs(sleepers) do
        if s[1] <= sim.now() then due[#due + 1] = s[2] else kept[#kept + 1] = s end
    end
    sleepers = kept
    for _, co in ipairs(due) do resume(co) end
end

--- News of one wire: hands on what came.
function client.news(id)
    local w = wires[id]
    if w and w.stalled then return end
    local bytes, ended = sim.read(id)
    if not w then return end
    w.bytes = w.bytes .. bytes
    w.on(w, ended)
    if ended then wires[id] = nil end
end

local function connect(listener, window, on)
    local id = sim.open(listener, window)
    if id < 0 then client.broken("the run needs more wires") end
    local w = {id = id, bytes = "", on = on}
    wires[id] = w
    return w
end

-- ---- HTTP ----

local function response_of(bytes)
    local head_end = select(2, bytes:find("\r\n\r\n", 1, true))
    if not head_end then return end
    local length = tonumber(bytes:match("[Cc]ontent%-[Ll]ength: (%d+)"))
    local body = bytes:sub(head_end + 1)
    if length and #body < length then return end
    return {status = tonumber(bytes:match("^HTTP/1%.1 (%d+)")), body = body, json = body:sub(1, 1) == "{" and json.decode(body) or {}}
end

--- In a task: the response, or nil when the connection ended before it was whole (the outcome is open).
function client.http(method, path, opt)
    local e = client.expect(method .. " " .. path)
    local body = opt.body and json.encode(opt.body) or ""
    local w = connect(0, 1 << 20, function(w, ended)
        local r = response_of(w.bytes)
        if r then
            if not w.finished then sim.close(w.id, false) end
            w.finished = true
            e.done(r)
        elseif ended then
            e.done(nil)
        end
    end)
    sim.write(w.id, ("%s %s HTTP/1.1\r\nHost: sim\r\n%s%sContent-Length: %d\r\n\r\n%s"):format(method, path,
        opt.token and "Authorization: Bearer " .. opt.token .. "\r\n" or "",
        opt.device and "X-Device-Id: " .. opt.device .. "\r\n" or "", #body, body))
    return e.wait()
end

-- ---- WebSocket ----

local function next_frame(w)
    local bytes = w.bytes
    if #bytes < 2 then return end
    local first, second = bytes:byte(1, 2)
    local len, at = second, 3
    if second == 126 then
        if #bytes < 4 then return end
        len, at = string.unpack(">I2", bytes, 3)
    elseif second == 127 then
        if #bytes < 10 then return end
        len, at = string.unpack(">I8", bytes, 3)
    end
    if #bytes < at - 1 + len then return end
    w.bytes = bytes:sub(at + len)
    return first & 15, bytes:sub(at, at + len - 1)
end

local function frames(w, c, on)
    while true do
        local opcode, payload = next_frame(w)
        if not opcode then return end
        if opcode == 1 then
            on(c, json.decode(payload))
        elseif opcode == 9 then
            sim.write(w.id, sim.frame(10, payload))
        elseif opcode == 8 then
            sim.write(w.id, sim.frame(8, payload:sub(1, 2)))
            c.close_code = #payload >= 2 and string.unpack(">I2", payload) or 1005
        end
    end
end

--- In a task: a socket {wire, send(), close(), open}, or nil and the status. on(c, message) for each message, ended(c) at its end.
function client.socket(path, on, ended_fn)
    local e = client.expect("GET " .. path)
    local c = {open = false}
    local w = connect(sim.below(2), 1024 << sim.below(8), function(w, ended)
        if not c.upgraded then
            local head_end = select(2, w.bytes:find("\r\n\r\n", 1, true))
            if head_end and w.bytes:find("^HTTP/1.1 101") then
                c.upgraded, c.open = true, true
                w.bytes = w.bytes:sub(head_end + 1)
                e.done(c)
            else
                local r = response_of(w.bytes)
                if r and not c.refused then
                    c.refused = true
                    sim.close(w.id, false)
                    e.done(nil, r.status)
                end
            end
        end
        if c.upgraded then frames(w, c, on) end
        if ended then
            c.open = false
            e.done(nil)
            if c.upgraded then ended_fn(c) end
        end
    end)
    c.wire = w.id
    function c.send(v) sim.write(c.wire, sim.frame(1, json.encode(v))) end
    function c.stall(ms) -- in a task: reads nothing for so long
        w.stalled = true
        client.sleep(ms)
        w.stalled = false
        client.news(w.id)
    end
    function c.close(how) -- "cut", "end" (FIN without a close frame), "close"
        if how == "close" then sim.write(c.wire, sim.frame(8, "\3\232")) end
        if how ~= "close" then sim.close(c.wire, how == "cut") end
    end
    sim.write(w.id, ("GET %s HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" ..
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"):format(path))
    return e.wait()
end

return client
