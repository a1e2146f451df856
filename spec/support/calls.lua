-- Calls between sockets of the specs.
local json = require "spec.support.json"
local node = require "spec.support.node"

local calls = {}

--- Asks with a frame `signaling`: the whole answer; its data, where it must not be an error; the {code, text} of an error.
function calls.signal(c, action, payload) return c:ask("signaling", {action = action, payload = payload}) end
function calls.result(c, action, payload)
    local m = assert(calls.signal(c, action, payload))
    assert(m.type == "signal_resp", json.encode(m))
    return m.data
end
function calls.refused(c, action, payload)
    local m = assert(calls.signal(c, action, payload))
    assert(m.type == "error", json.encode(m))
    return {m.data.code, m.data.error}
end
function calls.call(c, callee, opt)
    opt = opt or {}
    return calls.result(c, "call", {callee_id = callee.id, conversation_id = opt.conversation or 0, call_type = opt.type or "audio"})
end
--- The next signaling push, within ms: {action, reason, from_user, from_device}
function calls.told(c, ms)
    local m, why = c:push("signaling", ms or 20000 * node.slow)
    assert(m, "no signaling push: " .. tostring(why))
    return {m.data.action, m.data.payload.reason or "", m.data.from_user, m.data.from_device}
end
--- No signaling push has come: whatever was pushed so far is there when this pong is.
function calls.quiet(c)
    local pong = c:ask "ping"
    assert(pong.type == "pong")
    for _, m in ipairs(c.kept) do assert(m.type ~= "signaling", json.encode(m)) end
end
function calls.records(who, chat)
    local out = {}
    for _, m in ipairs(who:history(chat)) do
        if m.content_type == 9 then out[#out + 1] = m end
    end
    return out
end

--- Drops what was pushed so far.
function calls.settle(c)
    local pong = c:ask "ping"
    assert(pong.type == "pong")
    c.kept = {}
end

--- Sends {socket, action, payload} each at the same moment; gives all answers.
function calls.at_once(...)
    local list, out = {...}, {}
    for _, one in ipairs(list) do one[1]:send {type = "signaling", id = "race", data = {action = one[2], payload = one[3]}} end
    for i, one in ipairs(list) do
        local c = one[1]
        c.kept = c.kept or {}
        repeat
            out[i] = assert(c:next(20000 * node.slow))
            if out[i].id ~= "race" then c.kept[#c.kept + 1] = out[i] end
        until out[i].id == "race"
    end
    return table.unpack(out)
end

return calls
