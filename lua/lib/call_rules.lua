-- call_rules: who may do what with a call, and when (PROTOCOL.md section 12, the table). Pure: a call is a table, a refusal is a code
-- and its text. A call:
--   id, key, type (audio, video), conversation, status (ringing, accepted, connected, ended), end_reason,
--   started_at, connected_at, ended_at (s, 0 = not yet), caller, callee: {user, device (the bound one), devices (that have a socket)};
--   callee.rung: devices that got incoming_call, in order; callee.out: those of them that said busy. Of an ended one: see rules.past.
local rules = {}

rules.TYPES = {audio = true, video = true}
rules.RELAYED = {offer = true, answer = true, ice_candidate = true} -- go to the other party

local OTHER <const> = {caller = "callee", callee = "caller"}
-- What an action needs; a state is not named where any will do.
local ROLE <const> = {accept = "callee", reject = "callee", cancel = "caller"}
local ROLE_TEXT <const> = {callee = "user is not the callee"} -- else the code's own: no permission
local STATE_TEXT <const> = {
    accept = "call is not in ringing state", reject = "call cannot be rejected in current state", cancel = "call is not in ringing state",
    offer = "call is not accepted", answer = "call is not accepted", ice_candidate = "call is not accepted",
}

function rules.is_open(call) return call.status == "accepted" or call.status == "connected" end
function rules.side_of(call, user) return call.caller.user == user and "caller" or call.callee.user == user and "callee" or nil end
function rules.other(side) return OTHER[side] end

local function state_allows(call, action)
    if not STATE_TEXT[action] then return true end
    if rules.RELAYED[action] then return rules.is_open(call) end
    return call.status == "ringing"
end

-- May this user's device do it? nil: yes; else the code and its text. Checked in this order: party, role, state, device.
function rules.refusal(call, user, device, action)
    local side = rules.side_of(call, user)
    if not side then return "forbidden", "not a party of this call" end
    if ROLE[action] and ROLE[action] ~= side then return "forbidden", ROLE_TEXT[ROLE[action]] end
    if not state_allows(call, action) then return "call_state", STATE_TEXT[action] end
    if action ~= "get_state" and rules.is_open(call) and call[side].device ~= device then
        return "call_state", "call is on another device"
    end
end

-- Devices of the callee that ring, without one of them.
function rules.ringing(call, except)
    local out = {}
    for _, device in ipairs(call.callee.rung) do
        if device ~= except and not call.callee.out[device] then out[#out + 1] = device end
    end
    return out
end

-- Does anybody else ring after this device has said busy? Only those count that still have a socket.
function rules.others_ring(call, device)
    for _, other in ipairs(rules.ringing(call, device)) do
        if call.callee.devices[other] then return true end
    end
    return false
end

-- Is this party there? While it rings with any device, then with the bound one.
function rules.is_there(call, side)
    local party = call[side]
    if call.status == "ringing" then return next(party.devices) ~= nil end
    return party.devices[party.device] == true
end

-- What an ended call is still asked for. Thousands may have ended in the time that they are known: it must be small.
function rules.past(call)
    return {
        id = call.id, key = call.key, type = call.type, conversation = call.conversation, status = "ended", end_reason = call.end_reason,
        started_at = call.started_at, connected_at = call.connected_at, ended_at = call.ended_at,
        caller = {user = call.caller.user}, callee = {user = call.callee.user},
    }
end

function rules.duration(call, now_s)
    if call.connected_at == 0 then return 0 end
    return (call.ended_at > 0 and call.ended_at or now_s) - call.connected_at
end

return rules
