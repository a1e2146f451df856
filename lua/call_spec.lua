-- What the rules of calls promise (lua/API.md, Specs). How calls go from state to state: spec/lua/call_spec.lua in the source tree.
local LENA <const>, TOM <const> = 28, 35

-- Lena rings Tom, who has two devices: the answer, the pushes to Tom, and who asked for how long a life of TURN credentials.
local function ring(t, conf)
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
    ["each party is told credentials of its own, good for call.turn_ttl"] = function(t)
        local answer, pushed, asked = ring(t, {["call.turn_ttl"] = 5000000, ["call.stun"] = {"stun:stun.example.org"}})
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
        ring(t, {["call.ring"] = 4000})
        for _, e in ipairs(t.effects) do
            if e[1] == "after" then return t.equal({4000, "due"}, {e[2], e[3]}) end
        end
        t.equal("a timer", nil)
    end,
}
