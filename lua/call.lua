-- call: voice and video calls (PROTOCOL.md section 12). One call is one key of this service, so what happens to it comes one after the
-- other. In which call a user is, their inbox knows (calls.enter), and it tells us of their devices.
-- Rules an operator may want to change; each gets the call and gives ms:
local function ring_timeout(_) return conf "call.ring" end       -- nobody answers: 30 s
local function connect_timeout(_) return conf "call.connect" end -- accepted, but no `answer` frame comes: 30 s
local function max_duration(_) return conf "call.max" end        -- 4 h
local function lost_timeout(_) return conf "call.lost" end       -- a party's sockets are gone: 15 s
local function turn_life(_) return conf "call.turn_ttl" end      -- of a party's TURN credentials: they must outlive the call: 6 h

-- What the chat of the two is told of a call that nobody took.
local MISSED_HINT <const> = {audio = "missed audio call", video = "missed video call"}
local KNOWN_MS <const> = 60 * 1000 -- an ended call is known for that long

local check = require "lib.check"
local rules = require "lib.call_rules"

-- Limits of a shard and of a call:
local CALLS_MAX <const>, ENDED_MAX <const>, RUNG_MAX <const> = 5000, 5000, 256
local LEASE_MS <const>, RENEW_MS <const> = 60 * 1000, 20 * 1000 -- a call that is not renewed leaves its users free
local SWEEP_MS <const>, RENEWALS <const> = 1000, 250            -- in one sweep
local RECORD_TRIES <const> = 30
local STARTING_MS <const> = 10 * 1000 -- longer than a handler may take: a call that is being started is known for that long
local MAX_ID <const> = (1 << 53) - 1
local CALL_RECORD <const> = 9

local SERVER <const> = {user = 0, device = ""}

local function seconds() return now() // 1000 end
local function quietly(f, ...) return (pcall(f, ...)) end

-- ---- pushes ----

local function tell_device(user, device, by, call_id, action, payload)
    push.device(user, device, "signaling", {
        action = action, call_id = call_id, from_user = by.user, from_device = by.device, payload = payload or {}, timestamp = seconds(),
    })
end

-- To the bound device of a party; of a caller it is the calling one.
local function tell(call, side, by, action, payload)
    tell_device(call[side].user, call[side].device, by, call.id, action, payload)
end

local function tell_ringing(call, by, action, payload, except)
    for _, device in ipairs(rules.ringing(call, except)) do
        tell_device(call.callee.user, device, by, call.id, action, payload)
    end
end

-- Which STUN and TURN servers a party is told; each has credentials of its own.
local function servers(call, side) return conf "call.stun", calls.turn(call[side].user, turn_life(call)) end

local function ring(call, device)
    local callee = call.callee
    if #callee.rung >= RUNG_MAX then return end
    for _, rung in ipairs(callee.rung) do
        if rung == device then return end -- each device once
    end
    callee.rung[#callee.rung + 1] = device
    local stun, turn = servers(call, "callee")
    tell_device(callee.user, device, call.caller, call.id, "incoming_call", {
        call_type = call.type, conversation_id = call.conversation, stun_servers = stun, turn_servers = turn,
    })
end

-- ---- time: a timer each, and the sweep looks after those that found no room ----

local function arm(call, ms)
    if call.timer then cancel(call.timer) end
    call.deadline, call.timer = now() + ms, nil
    local ok, id = pcall(after, ms, "due", {call_id = call.id})
    call.timer = ok and id or nil
end

-- Looks whether a party is there; one that is not has lost_timeout to come back.
local function watch(call, side)
    local party = call[side]
    if rules.is_there(call, side) then
        party.lost_until = nil
    elseif not party.lost_until then
        local gone_at = call.status ~= "ringing" and party.gone_at or now()
        party.lost_until = gone_at + lost_timeout(call)
        quietly(after, math.max(0, party.lost_until - now()), "lost", {call_id = call.id})
    end
end

-- A device of a party has got its first socket, or lost its last.
local function device_is(call, side, device, online)
    local party = call[side]
    party.devices[device] = online or nil
    if device == party.device then party.gone_at = not online and (party.gone_at or now()) or nil end
    if online and side == "callee" and call.status == "ringing" then ring(call, device) end
    watch(call, side)
end

-- ---- the end of a call ----

local function forget_oldest(state)
    local ended = state.ended
    state.calls[ended.ids[ended.first]] = nil
    ended.ids[ended.first] = nil
    ended.first = ended.first + 1
end

-- Gives what is kept of it.
local function keep_ended(state, call)
    local ended, past = state.ended, rules.past(call)
    state.calls[call.id] = past
    ended.last = ended.last + 1
    ended.ids[ended.last] = call.id
    past.known_until = now() + KNOWN_MS
    if ended.last - ended.first >= ENDED_MAX then forget_oldest(state) end
    return past
end

-- Soon, but behind the answer that is still to come.
local function later(call, verb, req)
    if not quietly(send, "call", verb, call.key, req) then log.warn("call: no room for " .. verb) end
end

-- missed: the reason that the record in the chat names.
local function finish(state, call, reason, missed)
    call.status, call.end_reason, call.ended_at = "ended", reason, seconds()
    if call.timer then cancel(call.timer) end
    for _, side in ipairs {"caller", "callee"} do calls.leave(call[side].user, call.id) end
    local past = keep_ended(state, call)
    if missed then
        past.record, past.tries = missed, 0
        later(call, "record", {call_id = call.id})
    end
end

local function count(state, live)
    state.live = live
    calls.active(live)
end

local function over(state, call, reason, result, missed)
    count(state, math.max(0, state.live - 1))
    calls.ended(result)
    finish(state, call, reason, missed)
end

local function expire(state, call)
    if call.status == "ringing" then
        tell(call, "caller", SERVER, "call_timeout", {reason = "timeout"})
        tell_ringing(call, SERVER, "call_timeout", {reason = "timeout"})
        over(state, call, "timeout", "missed", "timeout")
        return
    end
    local failed = call.status == "accepted"
    local reason = failed and "connect_timeout" or "max_duration"
    tell(call, "caller", SERVER, "call_ended", {reason = reason})
    tell(call, "callee", SERVER, "call_ended", {reason = reason})
    over(state, call, reason, failed and "failed" or "ended")
end

local function lose(state, call, side)
    local payload = {reason = "peer_lost"}
    if side == "caller" and call.status == "ringing" then
        tell_ringing(call, SERVER, "call_ended", payload)
    else
        tell(call, rules.other(side), SERVER, "call_ended", payload)
    end
    over(state, call, "peer_lost", "lost")
end

-- Does what time asks for; false: nothing is due.
local function attend(state, call)
    if call.status == "ended" then return end
    for _, side in ipairs {"caller", "callee"} do
        local until_ms = call[side].lost_until
        if until_ms and until_ms <= now() then return lose(state, call, side) end
    end
    if call.deadline <= now() then expire(state, call) end
end

-- ---- starting one ----

local START <const> = "invalid call request"

local function start_request(req)
    local p = req.payload
    local ask = {
        caller = req.user, callee = check.id(p.callee_id, START), conversation = check.int(p.conversation_id, 0, MAX_ID, START),
        type = rules.TYPES[p.call_type] and p.call_type or fail("bad_request", START),
    }
    if ask.callee == ask.caller then fail("bad_request", START) end
    return ask
end

local function facts_of(ask)
    local facts = store.run("call_facts", {caller = ask.caller, callee = ask.callee, conversation = ask.conversation})[1]
    if facts.callee_known == 0 then fail("not_found", "target user not found") end
    if facts.caller_known == 0 or (ask.conversation > 0 and facts.members < 2) then fail("not_member") end
    if ask.conversation > 0 and facts.type ~= 1 then fail("bad_request", "invalid conversation type") end
    return facts
end

local function is_known(state, id)
    local call = state.calls[id]
    return call ~= nil and call.status ~= "ended" or (state.starting[id] or 0) > now()
end

-- Does anybody know this call? A shard that crashed has forgotten its calls, and their users would be busy until the lease ends.
local function is_lost(state, id, own_key)
    local key = tonumber(id:match "^%x+", 16)
    if key == own_key then return not is_known(state, id) end
    local ok, known = pcall(call, "call", "known", key, {call_id = id})
    return ok and not known
end

-- The devices of the user, who is in our call from now on; nil: they are in another one. life_ms 0: only looks.
local function take(state, user, id, key, life_ms)
    local devices, other = calls.enter(user, id, life_ms)
    if devices or not is_lost(state, other, key) then return devices end
    calls.leave(user, other)
    return (calls.enter(user, id, life_ms))
end

-- Only looks: of two who call each other the one who comes too late must not hold what the other needs.
local function refuse_busy_caller(state, ask, id, key)
    if not take(state, ask.caller, id, key, 0) then fail("call_busy") end
end

-- Takes both users, the lower id first: of two who call each other at once, one call rings. nil: the callee is in a call.
local function take_both(state, ask, id, key)
    local devices = {}
    for _, user in ipairs {math.min(ask.caller, ask.callee), math.max(ask.caller, ask.callee)} do
        devices[user] = take(state, user, id, key, LEASE_MS)
        if not devices[user] then
            refuse_busy_caller(state, ask, id, key)
            return nil
        end
    end
    return devices
end

-- Their chat, made if there is none; the calling device learns of it as of any new chat.
local function chat_of(ask, facts)
    if ask.conversation > 0 then return ask.conversation end
    if facts.single > 0 then return facts.single end
    local req = {user = ask.caller, device = "", body = {type = 1, member_ids = {ask.callee}}}
    return call("group", "create", ask.caller, req).data.id
end

local function set_of(list)
    local set = {}
    for _, item in ipairs(list) do set[item] = true end
    return set
end

local function new_call(id, key, ask, device, devices)
    return {
        id = id, key = key, type = ask.type, conversation = ask.conversation, status = "ringing", end_reason = "", started_at = seconds(),
        connected_at = 0, ended_at = 0, deadline = now(), renew_at = now() + RENEW_MS,
        caller = {user = ask.caller, device = device, devices = set_of(devices[ask.caller])},
        callee = {user = ask.callee, devices = set_of(devices[ask.callee]), rung = {}, out = {}},
    }
end

local function answer(call)
    local stun, turn = servers(call, "caller")
    return {call_id = call.id, status = "ringing", stun_servers = stun, turn_servers = turn}
end

local function no_call(status) return {call_id = "", status = status, stun_servers = json.list {}, turn_servers = json.list {}} end

-- The web client knows only `busy` and would ring for ever, so it is told, after the reply.
local function unavailable(call)
    calls.ended "unavailable"
    later(call, "rejected", {user = call.caller.user, device = call.caller.device})
    return no_call "unavailable"
end

local function open(state, req, ask, facts, id, key)
    local devices = take_both(state, ask, id, key)
    if not devices then
        calls.ended "busy"
        return nil, no_call "busy"
    end
    ask.conversation = chat_of(ask, facts)
    local call = new_call(id, key, ask, req.device, devices)
    state.calls[id] = call
    if #devices[ask.callee] == 0 then
        finish(state, call, "unavailable", "unavailable")
        return call, unavailable(call)
    end
    count(state, state.live + 1)
    arm(call, ring_timeout(call))
    for _, device in ipairs(devices[ask.callee]) do ring(call, device) end
    if not call.caller.devices[req.device] then call.caller.gone_at = now() end
    watch(call, "caller")
    return call, answer(call)
end

local function leave_both(ask, id)
    calls.leave(ask.caller, id)
    calls.leave(ask.callee, id)
end

-- One that failed while it was made rings nowhere.
local function give_up(state, id)
    local call = state.calls[id]
    if not call or call.status == "ended" then return end
    quietly(tell_ringing, call, SERVER, "call_ended", {reason = "cancelled"})
    over(state, call, "cancelled", "failed")
end

local function start(state, req, ctx)
    local ask = start_request(req)
    local facts = facts_of(ask)
    local id = ("%x-%s"):format(ctx.key, random.bytes(12))
    if facts.blocked ~= 0 then
        refuse_busy_caller(state, ask, id, ctx.key)
        return unavailable {key = ctx.key, caller = {user = req.user, device = req.device}}
    end
    if state.live >= CALLS_MAX then fail "busy" end
    state.starting[id] = now() + STARTING_MS
    local ok, call, result = pcall(open, state, req, ask, facts, id, ctx.key)
    state.starting[id] = nil
    if not ok then give_up(state, id) end
    if not ok or not call then leave_both(ask, id) end
    if not ok then error(call, 0) end
    return result
end

-- ---- what parties do ----

local function actor_of(req) return {user = req.user, device = req.device} end

local function accept(_, call, req)
    local by = actor_of(req)
    arm(call, connect_timeout(call))
    call.status, call.callee.device = "accepted", req.device
    if not call.callee.devices[req.device] then call.callee.gone_at = now() end
    tell(call, "caller", by, "call_accepted")
    tell_ringing(call, SERVER, "call_ended", {reason = "answered_elsewhere"}, req.device)
    watch(call, "caller")
    watch(call, "callee")
end

local function reject_for(state, call, req, reason)
    if reason == "busy" then
        call.callee.out[req.device] = true
        if rules.others_ring(call, req.device) then return end
    end
    tell(call, "caller", actor_of(req), "call_rejected", {reason = reason})
    tell_ringing(call, SERVER, "call_ended", {reason = "declined_elsewhere"}, req.device)
    over(state, call, reason, "rejected")
end

local function reject(state, call, req) reject_for(state, call, req, req.payload.reason) end

local function cancel_ringing(state, call, req)
    tell_ringing(call, actor_of(req), "call_ended", {reason = "cancelled"})
    over(state, call, "cancelled", "cancelled", "cancelled")
end

local function hangup(state, call, req)
    local side = rules.side_of(call, req.user)
    if call.status == "ended" then return end
    if call.status == "ringing" then
        if side == "caller" then return cancel_ringing(state, call, req) end
        return reject_for(state, call, req, "hangup")
    end
    tell(call, rules.other(side), actor_of(req), "call_ended", {reason = "hangup"})
    over(state, call, "hangup", "ended")
end

local function relay(call, req, action, payload)
    tell(call, rules.other(rules.side_of(call, req.user)), actor_of(req), action, payload)
end

local function sdp(_, call, req)
    if req.action == "answer" and call.status == "accepted" and req.user == call.callee.user then
        call.status, call.connected_at = "connected", seconds()
        arm(call, max_duration(call))
    end
    relay(call, req, "sdp", {sdp_type = req.action, sdp = req.payload.sdp})
end

local function ice_candidate(_, call, req)
    local p = req.payload
    relay(call, req, "ice_candidate", {
        candidate = p.candidate, sdp_mid = p.sdp_mid or json.null, sdp_mline_index = p.sdp_mline_index or json.null,
    })
end

local function get_state(_, call)
    return {
        call_id = call.id, caller_id = call.caller.user, callee_id = call.callee.user, conversation_id = call.conversation,
        call_type = call.type, status = call.status, end_reason = call.end_reason, started_at = call.started_at,
        connected_at = call.connected_at, ended_at = call.ended_at, duration = rules.duration(call, seconds()),
    }
end

-- ---- the form of their requests: each gets the payload and the text of a refusal ----

local function no_more() end
local function with_sdp(p, text) check.text(p.sdp, 0, math.maxinteger, false, text) end
local function with_reason(p, text) check.text(p.reason, 1, 64, true, text) end
local function with_candidate(p, text)
    check.text(p.candidate, 0, math.maxinteger, false, text)
    check.opt_text(p.sdp_mid, 0, math.maxinteger, false, text)
    check.opt_int(p.sdp_mline_index, 0, MAX_ID, text)
end

local ACTIONS <const> = {
    accept = {accept, no_more}, reject = {reject, with_reason}, cancel = {cancel_ringing, no_more}, hangup = {hangup, no_more},
    offer = {sdp, with_sdp}, answer = {sdp, with_sdp}, ice_candidate = {ice_candidate, with_candidate}, get_state = {get_state, no_more},
}

local function check_target(call, req, text)
    local target = req.payload.target_id
    local other = rules.side_of(call, req.user) and call[rules.other(rules.side_of(call, req.user))].user
    if target and other and target ~= other then fail("bad_request", text) end
end

local function act(state, req)
    local action = ACTIONS[req.action]
    local p, text = req.payload, ("invalid %s request"):format(req.action)
    local id = check.text(p.call_id, 0, 64, false, text)
    check.opt_id(p.target_id, text)
    action[2](p, text)
    local call = state.calls[id]
    if not call then
        calls.leave(req.user, id) -- should their inbox hold a call that was lost (its shard crashed)
        fail("call_not_found", "call not found: " .. id)
    end
    local code, why = rules.refusal(call, req.user, req.device, req.action)
    if rules.RELAYED[req.action] then check_target(call, req, text) end
    if code then fail(code, why) end
    return action[1](state, call, req)
end

-- Long texts of strangers are cut between characters.
local function shown(text)
    return #text <= 100 and text or text:sub(1, utf8.offset(text, 0, 100) - 1)
end

-- A frame of a socket: {user, device, action, payload}.
local function signal(state, req, ctx)
    local known = req.action == "call" or ACTIONS[req.action]
    if not known then fail("bad_request", "unknown signaling action: " .. shown(req.action)) end
    if type(req.payload) ~= "table" then fail("bad_request", ("invalid %s request"):format(req.action)) end
    if req.action == "call" then return start(state, req, ctx) end
    return act(state, req)
end

-- ---- what the service tells itself, and the inboxes tell it ----

local function device(state, req)
    local call = state.calls[req.call_id]
    local side = call and call.status ~= "ended" and rules.side_of(call, req.user)
    if not side then return calls.leave(req.user, req.call_id) end -- a late word about a call that is over
    device_is(call, side, req.device, req.online)
end

local function known(state, req) return is_known(state, req.call_id) end

local function rejected(_, req)
    tell_device(req.user, req.device, SERVER, "", "call_rejected", {reason = "unavailable"})
end

local function due(state, req)
    local call = state.calls[req.call_id]
    if call then attend(state, call) end
end

local function write_record(call)
    if store.run("call_blocked", {caller = call.caller.user, callee = call.callee.user})[1].blocked ~= 0 then return end
    conversation.post(call.conversation, call.caller.user, CALL_RECORD, {call = {
        call_id = call.id, call_type = call.type, result = "missed", reason = call.record, duration_sec = 0,
        convo_hint = MISSED_HINT[call.type],
    }}, "call:" .. call.id)
end

-- Repeated until it is stored: its client_msg_id lets that happen once.
local function record(state, req)
    local call = state.calls[req.call_id]
    if not call or not call.record then return end
    local ok, why = pcall(write_record, call)
    call.tries = call.tries + 1
    if not ok and call.tries == RECORD_TRIES then log.error("call " .. call.id .. ": no record: " .. tostring(why)) end
    if ok or call.tries == RECORD_TRIES then call.record = nil end
end

-- The users are ours for another while; which devices they have is looked at afresh.
local function renew(state, req)
    local call = state.calls[req.call_id]
    if not call or call.status == "ended" then return end
    for _, side in ipairs {"caller", "callee"} do
        local devices = calls.enter(call[side].user, call.id, LEASE_MS)
        if not devices then return lose(state, call, side) end -- it was not renewed in time
        local there = set_of(devices)
        for name in pairs(call[side].devices) do
            if not there[name] then device_is(call, side, name, false) end
        end
        for name in pairs(there) do
            if not call[side].devices[name] then device_is(call, side, name, true) end
        end
    end
    call.renew_at = now() + RENEW_MS
end

local function forget_old(state)
    local ended = state.ended
    while ended.first <= ended.last do
        local call = state.calls[ended.ids[ended.first]]
        if call and (call.known_until > now() or call.record) then return end
        forget_oldest(state)
    end
end

-- Of handlers that were killed on their way.
local function forget_starting(state)
    for id, till in pairs(state.starting) do
        if till <= now() then state.starting[id] = nil end
    end
end

local function late(call)
    local at = call.deadline
    for _, side in ipairs {"caller", "callee"} do at = math.min(at, call[side].lost_until or at) end
    return at <= now()
end

local function sweep(state)
    local renewals, live = 0, 0
    forget_old(state)
    forget_starting(state)
    for id, call in pairs(state.calls) do
        live = live + (call.status == "ended" and 0 or 1)
        if call.status == "ended" then
            if call.record then later(call, "record", {call_id = id}) end
        elseif late(call) then
            later(call, "due", {call_id = id})
        elseif call.renew_at <= now() and renewals < RENEWALS then
            renewals = renewals + 1
            call.renew_at = now() + RENEW_MS // 4 -- should it fail
            later(call, "renew", {call_id = id})
        end
    end
    count(state, live) -- it may be wrong by handlers that were killed on their way, or of a version that was replaced meanwhile
end

return {
    name = "call", version = 2,
    init = function() return {calls = {}, starting = {}, live = 0, ended = {first = 1, last = 0, ids = {}}} end,
    on = {
        signal = signal, device = device, known = known, rejected = rejected, due = due, lost = due, record = record, renew = renew,
        sweep = sweep,
    },
    concurrent = {"known"}, -- two calls may ask each other
    upgrade = function(state)
        state.starting = state.starting or {}
        return state
    end,
    every = {{SWEEP_MS, "sweep", each = true}},
}
