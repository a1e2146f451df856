-- What call_rules.lua promises (lua/API.md, Specs). The whole of calls on real operations: spec/lua/call_spec.lua.
local CALLER <const>, CALLEE <const>, STRANGER <const> = 1, 2, 3

local function call(status)
    return {
        status = status, connected_at = 0, ended_at = 0,
        caller = {user = CALLER, device = "a", devices = {a = true}},
        callee = {
            user = CALLEE, device = status ~= "ringing" and "b" or nil, devices = {b = true, c = true}, rung = {"b", "c", "d"}, out = {},
        },
    }
end

local function code(t, c, user, device, action)
    local found = t.module().refusal(c, user, device, action)
    return found or "allowed"
end

return {
    ["strangers may nothing, whatever the state"] = function(t)
        for _, status in ipairs {"ringing", "accepted", "connected", "ended"} do
            for _, action in ipairs {"accept", "reject", "cancel", "hangup", "offer", "answer", "ice_candidate", "get_state"} do
                t.equal("forbidden", code(t, call(status), STRANGER, "x", action), action)
            end
        end
    end,
    ["the callee accepts and rejects, the caller cancels, while it rings"] = function(t)
        t.equal("allowed", code(t, call "ringing", CALLEE, "b", "accept"))
        t.equal("allowed", code(t, call "ringing", CALLEE, "c", "reject"))
        t.equal("allowed", code(t, call "ringing", CALLER, "other", "cancel"))
        t.equal("forbidden", code(t, call "ringing", CALLER, "a", "accept"))
        t.equal("forbidden", code(t, call "ringing", CALLEE, "b", "cancel"))
        for _, status in ipairs {"accepted", "connected", "ended"} do
            t.equal("call_state", code(t, call(status), CALLEE, "b", "accept"), status)
            t.equal("call_state", code(t, call(status), CALLER, "a", "cancel"), status)
        end
    end,
    ["once accepted only the two bound devices act; anybody of the parties may look"] = function(t)
        for _, action in ipairs {"offer", "answer", "ice_candidate"} do
            t.equal("call_state", code(t, call "ringing", CALLER, "a", action), action)
            t.equal("allowed", code(t, call "accepted", CALLER, "a", action), action)
            t.equal("call_state", code(t, call "connected", CALLEE, "c", action), action)
        end
        t.equal("call_state", code(t, call "accepted", CALLEE, "c", "hangup"))
        t.equal("allowed", code(t, call "accepted", CALLEE, "c", "get_state"))
        t.equal("allowed", code(t, call "ended", CALLEE, "c", "hangup"))
    end,
    ["who said busy rings no more; only live devices keep a call ringing"] = function(t)
        local rules, c = t.module(), call "ringing"
        c.callee.out.b = true
        t.equal({"c", "d"}, rules.ringing(c))
        t.equal(true, rules.others_ring(c, "b"))
        t.equal(false, rules.others_ring(c, "c")) -- d has lost its socket
    end,
    ["a party is there with any device while it rings, then with the bound one"] = function(t)
        local rules, c = t.module(), call "ringing"
        c.callee.devices = {c = true}
        t.equal(true, rules.is_there(c, "callee"))
        c.status, c.callee.device = "accepted", "b"
        t.equal(false, rules.is_there(c, "callee"))
    end,
    ["a call lasts from its connection to its end, or until now"] = function(t)
        local rules, c = t.module(), call "connected"
        t.equal(0, rules.duration(c, 100))
        c.connected_at = 60
        t.equal(40, rules.duration(c, 100))
        c.ended_at = 70
        t.equal(10, rules.duration(c, 100))
    end,
}
