-- What call.lua promises (lua/API.md, Specs). The whole of it on real operations: spec/lua/call_spec.lua.
local LENA <const>, TOM <const>, MIA <const> = 28, 35, 41
local KEY <const> = 1 << 53

-- Everybody's inbox: who is in which call, and on which devices they are.
local function world(facts)
    local w = {in_call = {}, devices = {[LENA] = {"phone"}, [TOM] = {"desk", "tablet"}, [MIA] = {"laptop"}}, now = 1760000000000}
    local f = {caller_known = 1, callee_known = 1, members = 0, blocked = 0, single = 7}
    for key, value in pairs(facts or {}) do f[key] = value end
    w.answers = {
        store = {call_facts = {f}, call_blocked = {{blocked = f.blocked}}}, key = KEY, now = function() return w.now end,
        calls = {
            enter = function(user, id, life_ms)
                if w.in_call[user] and w.in_call[user] ~= id then return nil, w.in_call[user] end
                if life_ms > 0 then w.in_call[user] = id end
                return w.devices[user]
            end,
            leave = function(user, id) if w.in_call[user] == id then w.in_call[user] = nil end end,
            turn = {},
        },
        call = function() return true end, -- another call is known where it lives
        conf = {["call.ring"] = 30000, ["call.connect"] = 30000, ["call.max"] = 14400000, ["call.lost"] = 15000},
    }
    return w
end

local function signal(t, w, user, device, action, payload)
    w.answers.state = w.answers.state or t.state()
    return t.call("signal", {user = user, device = device, action = action, payload = payload}, w.answers)
end

local function ring(t, w, from, to)
    w.answers.key = (w.answers.key or KEY) + 1
    return signal(t, w, from or LENA, "phone", "call", {callee_id = to or TOM, conversation_id = 0, call_type = "audio"})
end

-- What devices were told by the last call of the rule: "desk incoming_call", ..
local function told(t)
    local out = {}
    for _, e in ipairs(t.effects) do
        if e[1] == "push.device" then out[#out + 1] = e[3] .. " " .. e[5].action end
    end
    table.sort(out)
    return out
end

-- Lena rings Tom, who has two devices: the answer, the pushes to Tom, and who asked for how long a life of TURN credentials.
local function ring_once(t, conf)
    local asked, pushed = {}, {}
    local answer = t.call("signal", {
        user = LENA, device = "l1", action = "call", payload = {callee_id = TOM, conversation_id = 0, call_type = "audio"},
    }, {
        key = 7, conf = conf,
        store = {call_facts = {{callee_known = 1, caller_known = 1, members = 0, single = 71, type = 0, blocked = 0}}},
        calls = {
            enter = function(user) return user == TOM and {"t1", "t2"} or {"l1"} end,
            turn = function(user, life_ms)
                asked[#asked + 1] = {user, life_ms}
                return {{urls = {"turn:turn.example.org"}, username = "of " .. user, credential = "c"}}
            end,
        },
    })
    for _, e in ipairs(t.effects) do
        if e[1] == "push.device" then pushed[#pushed + 1] = {user = e[2], device = e[3], payload = e[5].payload} end
    end
    return answer, pushed, asked
end

return {
    ["a call rings on all devices of the callee; the accepting one has it"] = function(t)
        local w = world()
        local call = ring(t, w)
        t.equal("ringing", call.status)
        t.equal({"desk incoming_call", "tablet incoming_call"}, told(t))
        signal(t, w, TOM, "desk", "accept", {call_id = call.call_id})
        t.equal({"phone call_accepted", "tablet call_ended"}, told(t))
        t.equal("accepted", signal(t, w, LENA, "phone", "get_state", {call_id = call.call_id}).status)
        t.fails("call_state", signal, t, w, TOM, "tablet", "hangup", {call_id = call.call_id})
    end,
    ["whoever is in a call is busy, unless that call is lost"] = function(t)
        local w = world()
        ring(t, w)
        t.fails("call_busy", ring, t, w, LENA, MIA)
        t.equal("busy", ring(t, w, MIA, TOM).status)
        t.equal({}, told(t))
        w.answers.state, w.answers.call = t.state(), false -- its shard has crashed
        t.equal("ringing", ring(t, w, MIA, TOM).status)
    end,
    ["who is offline, or has blocked the caller, is unavailable; both are free"] = function(t)
        for _, w in ipairs {world(), world {blocked = 1}} do
            w.devices[TOM] = {}
            t.equal("unavailable", ring(t, w).status)
            t.equal({}, w.in_call)
        end
    end,
    ["a cancelled call is ended for all devices, leaves a record and is known for a minute"] = function(t)
        local w = world()
        local id = ring(t, w).call_id
        signal(t, w, LENA, "phone", "cancel", {call_id = id})
        t.equal({"desk call_ended", "tablet call_ended"}, told(t))
        t.equal({"send", "call", "record"}, {t.effects[#t.effects][1], t.effects[#t.effects][2], t.effects[#t.effects][3]})
        t.equal({}, w.in_call)
        local posted
        w.answers.conversation = {post = function(chat, sender, _, content) posted = {chat, sender, content.call.reason} end}
        t.call("record", {call_id = id}, w.answers)
        t.equal({7, LENA, "cancelled"}, posted)
        t.equal("ended", signal(t, w, TOM, "desk", "get_state", {call_id = id}).status)
        w.now = w.now + 60001
        t.call("sweep", {}, w.answers)
        t.fails("call_not_found", signal, t, w, TOM, "desk", "get_state", {call_id = id})
    end,
    ["nobody answers: both are told after call.ring"] = function(t)
        local w = world()
        local id = ring(t, w).call_id
        t.call("due", {call_id = id}, w.answers)
        t.equal({}, told(t))
        w.now = w.now + 30000
        t.call("due", {call_id = id}, w.answers)
        t.equal({"desk call_timeout", "phone call_timeout", "tablet call_timeout"}, told(t))
    end,
    ["a party whose sockets are gone for call.lost ends it"] = function(t)
        local w = world()
        local id = ring(t, w).call_id
        t.call("device", {call_id = id, user = LENA, device = "phone", online = false}, w.answers)
        w.now = w.now + 14999
        t.call("lost", {call_id = id}, w.answers)
        t.equal({}, told(t))
        w.now = w.now + 1
        t.call("lost", {call_id = id}, w.answers)
        t.equal({"desk call_ended", "tablet call_ended"}, told(t))
        t.equal({}, w.in_call)
    end,
    ["strangers may do nothing with it"] = function(t)
        local w = world()
        local id = ring(t, w).call_id
        for _, action in ipairs {"accept", "cancel", "hangup", "get_state"} do
            t.fails("forbidden", signal, t, w, MIA, "laptop", action, {call_id = id})
        end
        t.fails("bad_request", signal, t, w, LENA, "phone", "dance", {})
    end,
    ["each party is told credentials of its own, good for call.turn_ttl"] = function(t)
        local answer, pushed, asked = ring_once(t, {["call.turn_ttl"] = 5000000, ["call.stun"] = {"stun:stun.example.org"}})
        t.equal("of 28", answer.turn_servers[1].username)
        t.equal({"stun:stun.example.org"}, answer.stun_servers)
        t.equal(2, #pushed)
        for i, device in ipairs {"t1", "t2"} do
            t.equal({TOM, device, "of 35"}, {pushed[i].user, pushed[i].device, pushed[i].payload.turn_servers[1].username})
            t.equal({"stun:stun.example.org"}, pushed[i].payload.stun_servers)
        end
        t.equal({{TOM, 5000000}, {TOM, 5000000}, {LENA, 5000000}}, asked)
    end,
    ["a call rings for call.ring"] = function(t)
        ring_once(t, {["call.ring"] = 4000})
        for _, e in ipairs(t.effects) do
            if e[1] == "after" then return t.equal({4000, "due"}, {e[2], e[3]}) end
        end
        t.equal("a timer", nil)
    end,
}
