-- Clients that have nothing to do with what a spec does to the node, in a process of its own: each pings and sends a message in turn, and
-- how long the node let each wait (waited.lua) is told at the end. Started by spec/e2e/stuck_spec.lua:
--   lua5.4 spec/support/crowd.lua WS_ADDRESS STOP_FILE NODE_PID TOKEN CONVERSATION [TOKEN CONVERSATION]...
local P = require "parley_spec"
local waited = require "spec.support.waited"
local ws = require "spec.support.ws"

local address, stop, clock = arg[1], arg[2], waited.on(arg[3])
local clients = {}
for i = 4, #arg, 2 do
    local c = assert(ws.open(address, "/ws?device_id=crowd&token=" .. arg[i]))
    assert(c:next())
    clients[#clients + 1] = {socket = c, conversation = math.tointeger(tonumber(arg[i + 1])), sent = 0}
end
io.write("ready\n")
io.flush()

local took = {}
local function timed(what) took[#took + 1] = clock:by(what) end

local function round(c)
    c.sent = c.sent + 1
    local cid = ("crowd%d.%d"):format(P.now(), c.sent)
    timed(function() return c.socket:ask("ping", nil, 30000) end)
    timed(function()
        c.socket:send {type = "message", data = {conversation_id = c.conversation, client_msg_id = cid, content = cid}}
        return c.socket:want("message_ack", 30000)
    end)
    c.socket.kept = nil
end

local function stopped()
    local f = io.open(stop)
    if f then f:close() end
    return f ~= nil
end

repeat
    for _, c in ipairs(clients) do round(c) end
    P.pause(5)
until stopped()
table.sort(took)
io.write(("p50 %d p99 %d worst %d of %d\n"):format(took[#took // 2], took[math.max(1, #took * 99 // 100)], took[#took], #took))
