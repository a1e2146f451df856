-- A client that has nothing to do with an attack, in a process of its own: pings and sends messages all the time, and tells how long it
-- waited for a pong at most (waited.lua), and but for that once. Messages must come, too; how fast they do is up to the disk. Started by
-- attack.bystander:
--   lua5.4 spec/support/bystander.lua WS_ADDRESS TOKEN_A TOKEN_B CONVERSATION STOP_FILE NODE_PID
local P = require "parley_spec"
local waited = require "spec.support.waited"
local ws = require "spec.support.ws"

local address, token_a, token_b, conversation, stop, pid = table.unpack(arg)
conversation = math.tointeger(tonumber(conversation))
local a = assert(ws.open(address, "/ws?device_id=bystander&token=" .. token_a))
local b = assert(ws.open(address, "/ws?device_id=bystander&token=" .. token_b))
assert(a:next() and b:next())
local clock = waited.on(pid)

local worst, second, rounds = 0, 0, 0
local function round()
    rounds = rounds + 1
    local cid = ("by%d.%d"):format(P.now(), rounds)
    local ms = clock:by(function()
        local m = a:ask("ping", nil, 30000)
        return m and m.type == "pong"
    end)
    worst, second = math.max(worst, ms), math.max(second, math.min(worst, ms))
    a:send {type = "message", data = {conversation_id = conversation, client_msg_id = cid, content = cid}}
    local m = assert(b:want("new_message", 30000), "no push")
    assert(m.data.client_msg_id == cid, "another message")
    -- who acks nothing gets no more than 1,000 pushes
    b:send {type = "ack", data = {conversation_id = conversation, seq = m.data.seq}}
    assert(a:want("message_ack", 30000), "no ack")
    a.kept = nil
end

local function stopped()
    local f = io.open(stop)
    if f then f:close() end
    return f ~= nil
end

round()
io.write("ready\n")
io.flush()
repeat
    round() -- at least one beside what it stands beside
    P.pause(20)
until stopped()
io.write(("worst %d second %d rounds %d\n"):format(worst, second, rounds))
