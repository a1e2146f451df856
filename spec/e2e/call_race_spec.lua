-- Calls (PROTOCOL.md section 12) when several act at the same moment: one of them holds, all sides agree, nobody stays busy, no device
-- rings on.
local node = require "spec.support.node"
local calls = require "spec.support.calls"
local json = require "spec.support.json"
local P = require "parley_spec"
local result, refused, call, settle, at_once = calls.result, calls.refused, calls.call, calls.settle, calls.at_once

local ROUNDS <const> = 60

describe("calls in a race", function()
    local n, lena, tom, mia, l1, t1, t2
    setup(function() n = node.start {["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"} end)
    teardown(function() n:finish() end)
    before_each(function()
        lena, tom, mia = n:person(), n:person(), n:person()
        l1, t1, t2 = lena:socket "l1", tom:socket "t1", tom:socket "t2"
    end)
    after_each(function()
        for _, c in ipairs {l1, t1, t2} do c:close() end
    end)

    local function to(who) return {callee_id = who.id, conversation_id = 0, call_type = "audio"} end
    -- pushes of the call before may still be on their way
    local function ringing()
        local id = call(l1, tom).call_id
        for _, c in ipairs {t1, t2} do
            local m
            repeat m = assert(c:push("signaling", 20000 * node.slow)) until m.data.call_id == id
            assert.equal("incoming_call", m.data.action)
        end
        return id
    end
    local function accepted()
        local id = ringing()
        result(t1, "accept", {call_id = id})
        for _, c in ipairs {l1, t1, t2} do settle(c) end
        return id
    end
    local function settle_all()
        for _, c in ipairs {l1, t1, t2} do settle(c) end
    end
    local function ok(m) return m.type == "signal_resp" end
    -- This socket is told just this of a call: "incoming_call", "call_ended hangup", ..
    local function hears(c, id, want)
        local got = {}
        local function take(m)
            if m.data.call_id == id then got[#got + 1] = m.data.action .. (m.data.payload.reason and " " .. m.data.payload.reason or "") end
        end
        while #got < #want do take(assert(c:push("signaling", 20000 * node.slow), "not told: " .. want[#got + 1])) end
        assert.equal("pong", c:ask("ping").type)
        for _, m in ipairs(c.kept) do
            if m.type == "signaling" then take(m) end
        end
        assert.same(want, got)
    end
    local function nobody_is_busy(others)
        local by = n:person():socket("m" .. P.now() % 100000)
        for _, who in ipairs(others or {lena, tom}) do
            local r
            assert.truthy(node.eventually(function()
                r = call(by, who)
                return r.status == "ringing"
            end), "busy: " .. json.encode(r))
            result(by, "cancel", {call_id = r.call_id})
        end
        by:close()
    end
    -- Ends the calls among these answers that ring, each by the one who made it: how many they were.
    local function end_ringing(...)
        local rang = 0
        for _, x in ipairs {...} do
            local m, c = x[1], x[2]
            if not ok(m) then
                assert.equal("call_busy", m.data.code)
            elseif m.data.status == "ringing" then
                rang = rang + 1
                result(c, "cancel", {call_id = m.data.call_id})
            else
                assert.equal("busy", m.data.status)
            end
        end
        return rang
    end

    it("both call each other: one rings, nobody stays busy", function()
        for _ = 1, ROUNDS do
            local a, b = at_once({l1, "call", to(tom)}, {t1, "call", to(lena)})
            assert.equal(1, end_ringing({a, l1}, {b, t1}))
            settle_all()
        end
        nobody_is_busy()
    end)

    it("three call each other in a ring: one of the calls is made, nobody stays busy", function()
        local m1 = mia:socket "m1"
        for _ = 1, ROUNDS do
            local a, b, c = at_once({l1, "call", to(tom)}, {t1, "call", to(mia)}, {m1, "call", to(lena)})
            assert.equal(1, end_ringing({a, l1}, {b, t1}, {c, m1}))
            settle_all()
            settle(m1)
        end
        nobody_is_busy {lena, tom, mia}
        m1:close()
    end)

    it("two devices of one caller call two people: one of the calls is made", function()
        local l2, m1 = lena:socket "l2", mia:socket "m1"
        for _ = 1, ROUNDS do
            local a, b = at_once({l1, "call", to(tom)}, {l2, "call", to(mia)})
            assert.equal(1, end_ringing({a, l1}, {b, l2}))
            settle_all()
            settle(l2)
            settle(m1)
        end
        l2:close()
        nobody_is_busy {lena, tom, mia}
        m1:close()
    end)

    it("two call the same user: one rings, the other is told busy", function()
        local m1 = mia:socket "m1"
        for _ = 1, ROUNDS do
            local a, b = at_once({l1, "call", to(tom)}, {m1, "call", to(tom)})
            local states = {a.data.status, b.data.status}
            table.sort(states)
            assert.same({"busy", "ringing"}, states)
            assert.equal(1, end_ringing({a, l1}, {b, m1}))
            settle_all()
            settle(m1)
        end
        m1:close()
        nobody_is_busy()
    end)

    it("accept and cancel: one of them holds, both parties agree", function()
        for _ = 1, ROUNDS do
            local id = ringing()
            local a, b = at_once({t1, "accept", {call_id = id}}, {l1, "cancel", {call_id = id}})
            assert.truthy(ok(a) ~= ok(b))
            assert.equal("call_state", (ok(a) and b or a).data.code)
            assert.equal(ok(a) and "accepted" or "ended", result(l1, "get_state", {call_id = id}).status)
            hears(l1, id, ok(a) and {"call_accepted"} or {})
            hears(t1, id, ok(a) and {} or {"call_ended cancelled"})
            hears(t2, id, {ok(a) and "call_ended answered_elsewhere" or "call_ended cancelled"})
            if ok(a) then result(l1, "hangup", {call_id = id}) end
            settle_all()
        end
        nobody_is_busy()
    end)

    it("two devices accept: exactly one has the call", function()
        for _ = 1, ROUNDS do
            local id = ringing()
            local a, b = at_once({t1, "accept", {call_id = id}}, {t2, "accept", {call_id = id}})
            assert.truthy(ok(a) ~= ok(b))
            local winner, loser = t1, t2
            if ok(b) then winner, loser = t2, t1 end
            hears(l1, id, {"call_accepted"})
            hears(loser, id, {"call_ended answered_elsewhere"})
            hears(winner, id, {})
            assert.same({"call_state", "call is on another device"}, refused(loser, "hangup", {call_id = id}))
            result(winner, "hangup", {call_id = id})
            settle_all()
        end
        nobody_is_busy()
    end)

    it("one device accepts while another rejects: one of them holds", function()
        for _ = 1, ROUNDS do
            local id = ringing()
            local a, b = at_once({t1, "accept", {call_id = id}}, {t2, "reject", {call_id = id, reason = "decline"}})
            assert.truthy(ok(a) ~= ok(b))
            if ok(a) then
                assert.same({"call_state", "call cannot be rejected in current state"}, {b.data.code, b.data.error})
                hears(l1, id, {"call_accepted"})
                hears(t2, id, {"call_ended answered_elsewhere"})
                result(t1, "hangup", {call_id = id})
            else
                assert.same({"call_state", "call is not in ringing state"}, {a.data.code, a.data.error})
                hears(l1, id, {"call_rejected decline"})
                hears(t1, id, {"call_ended declined_elsewhere"})
            end
            settle_all()
        end
        nobody_is_busy()
    end)

    it("all devices say busy: the call ends once, for all", function()
        for _ = 1, ROUNDS do
            local id = ringing()
            local p = {call_id = id, reason = "busy"}
            local a, b = at_once({t1, "reject", p}, {t2, "reject", p})
            assert.truthy(ok(a) and ok(b))
            hears(l1, id, {"call_rejected busy"})
            hears(t1, id, {})
            hears(t2, id, {})
            assert.equal("busy", result(l1, "get_state", {call_id = id}).end_reason)
            settle_all()
        end
        nobody_is_busy()
    end)

    it("both hang up: both get null, and the call has ended once", function()
        for _ = 1, ROUNDS do
            local id = accepted()
            local a, b = at_once({l1, "hangup", {call_id = id}}, {t1, "hangup", {call_id = id}})
            assert.truthy(ok(a) and ok(b))
            settle_all()
            local state = result(l1, "get_state", {call_id = id})
            assert.same({"ended", "hangup"}, {state.status, state.end_reason})
        end
        nobody_is_busy()
    end)

    it("a device that connects while the call ends or is taken does not ring on", function()
        local rang, i = 0, 0
        repeat
            i = i + 1
            local id = ringing()
            local accepts = i % 2 == 0
            local late = tom:socket("late" .. i, {meanwhile = function()
                if i % 3 == 0 then P.pause(i) end -- longer each time: once it is there before the call's end
                if accepts then result(t1, "accept", {call_id = id}) else result(l1, "cancel", {call_id = id}) end
            end})
            hears(t2, id, {accepts and "call_ended answered_elsewhere" or "call_ended cancelled"})
            assert.equal("pong", late:ask("ping").type)
            local told = false
            for _, m in ipairs(late.kept) do told = told or m.type == "signaling" end
            if told then
                rang = rang + 1
                hears(late, id, {"incoming_call", accepts and "call_ended answered_elsewhere" or "call_ended cancelled"})
            end
            late:close()
            if accepts then result(t1, "hangup", {call_id = id}) end
            settle_all()
        until i >= ROUNDS and rang > 0 or i == 1000
        assert.truthy(rang > 0)
        nobody_is_busy()
    end)

    it("frames of two parties cross: each candidate arrives once and in order, up to the hang-up", function()
        local id = accepted()
        for i = 1, 200 do
            for _, c in ipairs {l1, t1} do c:send {type = "call_ice", data = {call_id = id, candidate = "c" .. i}} end
        end
        l1:send {type = "call_hangup", data = {call_id = id}}
        local got = 0
        local m
        repeat
            m = assert(t1:push("signaling", 20000 * node.slow)).data
            if m.action == "ice_candidate" then
                got = got + 1
                assert.equal("c" .. got, m.payload.candidate)
            end
        until m.action == "call_ended"
        assert.equal(200, got)
        settle_all()
        nobody_is_busy()
    end)
end)
