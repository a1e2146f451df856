-- PROTOCOL.md section 12 on a real node: calls between real sockets, the shapes on the wire, several devices, time, lost sockets,
-- the record of a missed call, a reload of the rules in the middle. Races: call_race_spec.lua.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local json = require "spec.support.json"
local calls = require "spec.support.calls"
local P = require "parley_spec"
local signal, result, refused, call, told, quiet, records = calls.signal, calls.result, calls.refused, calls.call, calls.told, calls.quiet,
    calls.records

describe("calls", function()
    local n, lena, tom, mia, l1, t1, t2
    setup(function()
        n = node.start {
            ["call.stun"] = "stun:stun.example.org:3478", ["call.turn"] = "turn:turn.example.org:3478", ["call.turn_username"] = "u",
            ["call.turn_credential"] = "c", ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0",
        }
    end)
    teardown(function() n:finish() end)
    before_each(function()
        lena, tom, mia = n:person(), n:person(), n:person()
        l1, t1, t2 = lena:socket "l1", tom:socket "t1", tom:socket "t2"
    end)
    after_each(function()
        for _, c in ipairs {l1, t1, t2} do c:close() end
    end)
    local function ringing()
        local r = call(l1, tom)
        assert.equal("ringing", r.status)
        for _, c in ipairs {t1, t2} do assert.equal("incoming_call", told(c)[1]) end
        return r.call_id
    end
    local function accepted()
        local id = ringing()
        result(t1, "accept", {call_id = id})
        told(l1)
        told(t2)
        return id
    end

    it("[33] goes ringing, accepted, connected, ended; each frame with its exact shape", function()
        local turn = {{urls = {"turn:turn.example.org:3478"}, username = "u", credential = "c"}}
        local servers = {"stun:stun.example.org:3478"}
        local r = call(l1, tom, {type = "video"})
        local id = r.call_id
        assert.same({call_id = id, status = "ringing", stun_servers = servers, turn_servers = turn}, r)
        local chat = lena:chat(tom)
        local m = assert(t1:push "signaling")
        local at = m.data.timestamp
        assert.same({type = "signaling", data = {
            action = "incoming_call", call_id = id, from_user = lena.id, from_device = "l1", timestamp = at,
            payload = {call_type = "video", conversation_id = chat, stun_servers = servers, turn_servers = turn},
        }}, m)
        assert.truthy(math.abs(at * 1000 - t1.welcome.data.server_time) < 60000)
        t1:send {type = "signaling", id = "acc", data = {action = "accept", payload = {call_id = id}}}
        local resp, text = t1:want "signal_resp"
        assert.equal("acc", resp.id)
        assert.truthy(text:find('"data":null', 1, true))
        assert.same({"call_accepted", "", tom.id, "t1"}, told(l1))
        told(t2)
        assert.same({"answered_elsewhere", 0, ""}, {table.unpack(told(t2), 2)})
        assert.equal("signal_resp", l1:ask("call_offer", {call_id = id, sdp = "v=0 o", target_id = tom.id}).type)
        m = assert(t1:push "signaling")
        assert.same({sdp_type = "offer", sdp = "v=0 o"}, m.data.payload)
        assert.same({"sdp", lena.id, "l1", id}, {m.data.action, m.data.from_user, m.data.from_device, m.data.call_id})
        assert.equal("signal_resp", t1:ask("call_answer", {call_id = id, sdp = "v=0 a"}).type)
        assert.same({sdp_type = "answer", sdp = "v=0 a"}, assert(l1:push "signaling").data.payload)
        assert.equal("signal_resp", t1:ask("call_ice", {call_id = id, candidate = "cand", sdp_mid = "0", sdp_mline_index = 0}).type)
        assert.same({candidate = "cand", sdp_mid = "0", sdp_mline_index = 0}, assert(l1:push "signaling").data.payload)
        l1:send {type = "call_ice", data = {call_id = id, candidate = "c2"}}
        local ice, raw = t1:want "signaling"
        assert.equal("ice_candidate", ice.data.action)
        assert.truthy(raw:find('"sdp_mid":null', 1, true) and raw:find('"sdp_mline_index":null', 1, true))
        local s = result(t2, "get_state", {call_id = id})
        assert.same({
            call_id = id, caller_id = lena.id, callee_id = tom.id, conversation_id = chat, call_type = "video", status = "connected",
            end_reason = "", started_at = s.started_at, connected_at = s.connected_at, ended_at = 0, duration = s.duration,
        }, s)
        assert.equal("signal_resp", l1:ask("call_hangup", {call_id = id}).type)
        assert.same({"call_ended", "hangup", lena.id, "l1"}, told(t1))
        s = result(l1, "get_state", {call_id = id})
        assert.same({"ended", "hangup"}, {s.status, s.end_reason})
        assert.same({}, records(lena, chat))
        quiet(t2)
    end)

    it("[33] a third user gets forbidden for each action, an unknown call call_not_found", function()
        local id, m1 = ringing(), mia:socket "m1"
        local function all(p)
            p.reason, p.sdp, p.candidate = "x", "x", "x"
            local out = {}
            for _, action in ipairs {"accept", "reject", "cancel", "hangup", "offer", "answer", "ice_candidate", "get_state"} do
                out[#out + 1] = refused(m1, action, p)
            end
            return out
        end
        for _, e in ipairs(all {call_id = id}) do assert.same({"forbidden", "not a party of this call"}, e) end
        for _, e in ipairs(all {call_id = "none"}) do assert.same({"call_not_found", "call not found: none"}, e) end
        assert.same({"bad_request", "unknown signaling action: dance"}, refused(m1, "dance", {}))
        assert.same({"bad_request", "invalid accept request"}, refused(m1, "accept", nil))
        assert.same({"bad_request", "invalid accept request"}, refused(m1, "accept", json.list {1}))
        local e = m1:ask("signaling", {payload = {}})
        assert.same({"bad_request", "invalid signaling request"}, {e.data.code, e.data.error})
        e = m1:ask("call_offer", nil)
        assert.same({"bad_request", "invalid offer request"}, {e.data.code, e.data.error})
        m1:close()
        result(l1, "cancel", {call_id = id})
    end)

    it("refusals of `call`: callee, membership, type, busy caller; a busy callee", function()
        local function why(p) return refused(l1, "call", p) end
        assert.same({"bad_request", "invalid call request"}, why {callee_id = lena.id, conversation_id = 0, call_type = "audio"})
        assert.same({"not_found", "target user not found"}, why {callee_id = 999999, conversation_id = 0, call_type = "audio"})
        local group = lena:group {tom}
        assert.same({"not_member", "not a conversation member"}, why {callee_id = mia.id, conversation_id = group, call_type = "audio"})
        assert.same({"bad_request", "invalid conversation type"}, why {callee_id = tom.id, conversation_id = group, call_type = "audio"})
        local id = ringing()
        assert.same({"call_busy", "caller is already in a call"}, why {callee_id = mia.id, conversation_id = 0, call_type = "audio"})
        local m1 = mia:socket "m1"
        assert.same({call_id = "", status = "busy", stun_servers = {}, turn_servers = {}}, call(m1, tom))
        assert.equal("busy", call(m1, lena).status)
        quiet(m1)
        result(l1, "cancel", {call_id = id})
        told(t1)
        assert.equal("ringing", call(m1, tom).status)
        m1:close()
    end)

    it("[35] several devices: the accepting one is bound, the others are told and may do nothing", function()
        local id = accepted()
        for _, action in ipairs {"hangup", "offer", "ice_candidate"} do
            local p = {call_id = id, sdp = "x", candidate = "x"}
            assert.same({"call_state", "call is on another device"}, refused(t2, action, p))
        end
        assert.same({"call_state", "call is not in ringing state"}, refused(t2, "accept", {call_id = id}))
        assert.same({"call_state", "call cannot be rejected in current state"}, refused(t2, "reject", {call_id = id, reason = "x"}))
        assert.same({"forbidden", "user is not the callee"}, refused(l1, "accept", {call_id = id}))
        assert.same({"forbidden", "no permission"}, refused(t1, "cancel", {call_id = id}))
        result(t1, "hangup", {call_id = id})
        assert.same({"call_ended", "hangup", tom.id, "t1"}, told(l1))
        assert.is_nil(result(t2, "hangup", {call_id = id}))
        quiet(t2)
    end)

    it("reject: with busy one device goes out, the others ring on; another reason ends it for all", function()
        local id = ringing()
        result(t1, "reject", {call_id = id, reason = "busy"})
        quiet(l1)
        quiet(t2)
        result(t2, "reject", {call_id = id, reason = "decline"})
        assert.same({"call_rejected", "decline", tom.id, "t2"}, told(l1))
        quiet(t1)
        id = ringing()
        result(t2, "reject", {call_id = id, reason = "decline"})
        assert.same({"call_rejected", "decline", tom.id, "t2"}, told(l1))
        assert.same({"call_ended", "declined_elsewhere", 0, ""}, told(t1))
    end)

    it("a device that connects while it rings gets incoming_call, each device once", function()
        local id = ringing()
        local t3 = tom:socket "t3"
        local m = assert(t3:push "signaling")
        assert.same({"incoming_call", id}, {m.data.action, m.data.call_id})
        t3:close()
        t3 = tom:socket "t3"
        quiet(t3)
        local again = tom:socket "t1" -- takes the place of t1
        assert.equal(4002, t1:close_code())
        t1 = again
        quiet(t1)
        result(t3, "accept", {call_id = id})
        assert.same({"call_accepted", "", tom.id, "t3"}, told(l1))
        assert.same({"call_ended", "answered_elsewhere", 0, ""}, told(t1))
        local t4 = tom:socket "t4"
        quiet(t4)
        result(t3, "hangup", {call_id = id})
        t3:close()
        t4:close()
    end)

    it("a cancelled call leaves one record, to all devices of both; it moves the caller's position and passes the send rules", function()
        local chat = lena:chat(tom)
        tom:say(chat, "read me")
        assert.equal(1, lena:unread(chat))
        lena:post("/api/blocks", {user_id = tom.id}) -- the caller's own block stops nothing
        local l2 = lena:socket "l2"
        local id = ringing()
        result(l1, "cancel", {call_id = id})
        for _, c in ipairs {t1, t2} do assert.same({"call_ended", "cancelled", lena.id, "l1"}, told(c)) end
        for _, c in ipairs {l1, l2, t1, t2} do
            local m
            repeat m = assert(c:push("new_message")) until m.data.content_type == 9
            assert.same({chat, lena.id, "call:" .. id, "normal"},
                {m.data.conversation_id, m.data.sender_id, m.data.client_msg_id, m.data.status})
            assert.same({call = {
                call_id = id, call_type = "audio", result = "missed", reason = "cancelled", duration_sec = 0,
                convo_hint = "missed audio call",
            }}, m.data.content)
        end
        assert.same({0, 1}, {lena:unread(chat), #records(lena, chat)})
        l2:close()
    end)

    it("[36] an offline callee is unavailable, then call_rejected on the calling device, one record; both are free", function()
        local r = call(l1, mia)
        assert.same({call_id = "", status = "unavailable", stun_servers = {}, turn_servers = {}}, r)
        local m = assert(l1:push "signaling")
        assert.same({"call_rejected", "", 0, "", "unavailable"},
            {m.data.action, m.data.call_id, m.data.from_user, m.data.from_device, m.data.payload.reason})
        local chat = lena:chat(mia)
        assert.truthy(node.eventually(function() return #records(mia, chat) == 1 end))
        assert.equal("unavailable", records(mia, chat)[1].body.call.reason)
        local id = ringing()
        result(l1, "cancel", {call_id = id})
        local m1 = mia:socket "m1"
        id = call(m1, tom).call_id
        result(m1, "cancel", {call_id = id})
        m1:close()
    end)

    it("[32] a blocked caller gets unavailable without ring or record", function()
        local chat = lena:chat(tom)
        assert.equal(200, tom:post("/api/blocks", {user_id = lena.id}).status)
        assert.equal("unavailable", call(l1, tom).status)
        assert.same({"call_rejected", "unavailable", 0, ""}, told(l1))
        quiet(t1)
        assert.same({}, records(lena, chat))
    end)

    it("answers of a socket come in the order of its frames, errors among them", function()
        local id = accepted()
        for i = 1, 300 do
            t1:send {type = "call_ice", id = "i" .. i, data = {call_id = i % 10 == 0 and "none" or id, candidate = "c" .. i}}
        end
        local at, pushed = 0, 0
        for _ = 1, 300 do
            local m = assert(t1:next(20000 * node.slow))
            at = at + 1
            assert.equal("i" .. at, m.id)
            assert.equal(at % 10 == 0 and "error" or "signal_resp", m.type)
        end
        for i = 1, 300 do
            if i % 10 ~= 0 then
                assert.equal("c" .. i, assert(l1:push("signaling", 20000 * node.slow)).data.payload.candidate)
                pushed = pushed + 1
            end
        end
        assert.equal(270, pushed)
        result(t1, "hangup", {call_id = id})
    end)

    it("a large sdp passes", function()
        local id = accepted()
        local sdp = ("a=candidate line\r\n"):rep(3000)
        assert.is_nil(result(l1, "offer", {call_id = id, sdp = sdp}))
        assert.equal(sdp, assert(t1:push "signaling").data.payload.sdp)
        result(t1, "hangup", {call_id = id})
    end)
end)

describe("calls and time", function()
    local n, dir, lena, tom, l1, t1, t2, chat
    -- only what a spec waits for is short: a slow machine does not come to the end of anything else
    local LONG <const> = "10m"
    local function start(short)
        dir = P.tmpdir()
        assert(os.execute("cp -r lua/. '" .. dir .. "'"))
        n = node.start {
            ["call.ring"] = short.ring or LONG, ["call.connect"] = short.connect or LONG, ["call.max"] = short.max or LONG,
            ["call.lost"] = short.lost or LONG, ["script.dir"] = dir,
            ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0", ["presence.grace"] = "0",
        }
    end
    local function finish()
        n:finish()
        P.rmtree(dir)
    end
    before_each(function()
        lena, tom = n:person(), n:person()
        chat = lena:chat(tom)
        l1, t1, t2 = lena:socket "l1", tom:socket "t1", tom:socket "t2"
    end)
    after_each(function()
        for _, c in ipairs {l1, t1, t2} do c:close() end
    end)
    local function ringing()
        local r = call(l1, tom)
        assert.equal("ringing", r.status)
        for _, c in ipairs {t1, t2} do assert.equal("incoming_call", told(c)[1]) end
        return r.call_id
    end
    -- both also give a moment before the node's clock for what comes next began to run
    local function accepted()
        local id = ringing()
        local since = P.now()
        result(t1, "accept", {call_id = id})
        told(l1)
        told(t2)
        return id, since
    end
    local function connected()
        local id = accepted()
        local since = P.now()
        result(t1, "answer", {call_id = id, sdp = "x"})
        told(l1)
        return id, since
    end
    -- not too early; how late it comes on a busy machine says nothing
    local function took(since, least)
        local ms = P.now() - since
        assert.truthy(ms >= least - 20, ms .. " ms instead of " .. least)
    end
    local function free()
        local m1 = n:person():socket "m1"
        for _, who in ipairs {lena, tom} do
            local r = call(m1, who)
            assert.truthy(r.status == "ringing" or r.status == "unavailable", r.status)
            if r.status == "ringing" then signal(m1, "cancel", {call_id = r.call_id}) end -- if it still rings
        end
        m1:close()
    end

    describe("to ring that is short", function()
        setup(function() start {ring = "1500ms", lost = "600ms"} end)
        teardown(finish)

        it("[34] no answer: call_timeout to both, and exactly one record", function()
            local since = P.now()
            local id = ringing()
            for _, c in ipairs {l1, t1, t2} do assert.same({"call_timeout", "timeout", 0, ""}, told(c)) end
            took(since, 1500)
            assert.truthy(node.eventually(function() return #records(lena, chat) == 1 end))
            local m = records(lena, chat)[1]
            assert.same({"call:" .. id, "timeout", lena.id}, {m.client_msg_id, m.body.call.reason, m.sender_id})
            local s = result(t1, "get_state", {call_id = id})
            assert.same({"ended", "timeout"}, {s.status, s.end_reason})
            free()
            assert.equal(1, #records(lena, chat))
        end)

        it("sockets that vanish at any moment leave nobody busy", function()
            for i = 1, 40 do
                local c = lena:socket("gone" .. i)
                c:send {type = "signaling", data = {
                    action = "call", payload = {callee_id = tom.id, conversation_id = 0, call_type = "audio"},
                }}
                if i % 3 == 0 then c:next() end
                c:close(i % 2 == 0)
            end
            local id
            assert.truthy(node.eventually(function()
                local m = signal(l1, "call", {callee_id = tom.id, conversation_id = 0, call_type = "audio"})
                id = m.type == "signal_resp" and m.data.status == "ringing" and m.data.call_id
                return id
            end))
            signal(l1, "cancel", {call_id = id}) -- if it still rings
        end)
    end)

    describe("to connect that is short", function()
        setup(function() start {connect = "1500ms"} end)
        teardown(finish)

        it("[34] no answer frame after accept: call_ended to both, no record", function()
            local id, since = accepted()
            for _, c in ipairs {l1, t1} do assert.same({"call_ended", "connect_timeout", 0, ""}, told(c)) end
            took(since, 1500)
            assert.equal("connect_timeout", result(l1, "get_state", {call_id = id}).end_reason)
            quiet(t2)
            assert.same({}, records(lena, chat))
            free()
        end)
    end)

    describe("to talk that is short", function()
        setup(function() start {max = "1500ms"} end)
        teardown(finish)

        it("a connected call ends at call.max", function()
            local id, since = connected()
            for _, c in ipairs {l1, t1} do assert.same({"call_ended", "max_duration", 0, ""}, told(c)) end
            took(since, 1500)
            local s = result(l1, "get_state", {call_id = id})
            assert.same({"ended", "max_duration"}, {s.status, s.end_reason})
            assert.truthy(s.duration >= 1 and s.ended_at >= s.connected_at)
            free()
        end)
    end)

    describe("to come back that is short", function()
        setup(function() start {lost = "600ms"} end)
        teardown(finish)

        it("[35] losing a party's last socket, or the bound device, ends the call for the other", function()
            local id = ringing()
            local since = P.now()
            l1:close()
            for _, c in ipairs {t1, t2} do assert.same({"call_ended", "peer_lost", 0, ""}, told(c)) end
            took(since, 600)
            l1 = lena:socket "l1"
            assert.equal("peer_lost", result(l1, "get_state", {call_id = id}).end_reason)
            for _, make in ipairs {accepted, connected} do
                make()
                since = P.now()
                t1:close(true)
                assert.same({"call_ended", "peer_lost", 0, ""}, told(l1))
                took(since, 600)
                quiet(t2)
                t1 = tom:socket "t1"
            end
            assert.same({}, records(lena, chat))
            free()
        end)

        it("[40] the counters tell what became of calls", function()
            local function counts()
                local out = {}
                for _, r in ipairs {"ended", "missed", "cancelled", "rejected", "busy", "unavailable", "failed", "lost"} do
                    out[r] = attack.metric(n, ('calls_total{result="%s"}'):format(r))
                end
                return out
            end
            assert.truthy(node.eventually(function() return attack.metric(n, "calls_active") == 0 end))
            local before = counts()
            local id = ringing()
            assert.equal(1, attack.metric(n, "calls_active"))
            result(l1, "cancel", {call_id = id})
            told(t1)
            told(t2)
            id = ringing()
            result(t1, "reject", {call_id = id, reason = "decline"})
            told(l1)
            told(t2)
            id = connected()
            result(l1, "hangup", {call_id = id})
            local after = counts()
            assert.same({1, 1, 1, 0}, {after.cancelled - before.cancelled, after.rejected - before.rejected, after.ended - before.ended,
                after.missed - before.missed})
            assert.equal(0, attack.metric(n, "calls_active"))
        end)
    end)

    describe("that is long enough to come back", function()
        setup(function() start {max = "6s", lost = "20s"} end)
        teardown(finish)

        it("[35] a bound device that comes back within call.lost keeps the call; so does one that is replaced", function()
            local id = connected()
            t1:close(true)
            t1 = tom:socket "t1"
            local again = tom:socket "t1"
            assert.equal(4002, t1:close_code())
            t1 = again
            assert.equal("max_duration", told(t1)[2])
            assert.equal("max_duration", result(l1, "get_state", {call_id = id}).end_reason)
        end)
    end)

    describe("that is long enough for a reload", function()
        local ring_ms = 10000 * (node.slow > 1 and 3 or 1)
        setup(function() start {ring = ring_ms .. "ms", lost = "600ms"} end)
        teardown(finish)

        it("a reload in the middle keeps calls and their timers", function()
            local function reload()
                local before = attack.metric(n, "script_reloads_total")
                local replaced = attack.metric(n, "script_replaced_total")
                local path = dir .. "/call.lua"
                local text = attack.slurp(path)
                local f = io.open(path .. ".new", "w")
                f:write("-- edited\n", text)
                f:close()
                assert(os.rename(path .. ".new", path))
                n.process:kill(1)
                assert.truthy(node.eventually(function() return attack.metric(n, "script_reloads_total") > before end))
                assert.truthy(attack.metric(n, "script_replaced_total") > replaced)
            end
            local since = P.now()
            local id = ringing()
            reload()
            assert.same({"ringing", 1}, {result(l1, "get_state", {call_id = id}).status, attack.metric(n, "calls_active")})
            for _, c in ipairs {l1, t1, t2} do assert.same({"call_timeout", "timeout", 0, ""}, told(c, 2 * ring_ms)) end
            took(since, ring_ms)
            id = accepted()
            reload()
            assert.equal("signal_resp", t1:ask("call_answer", {call_id = id, sdp = "x"}).type)
            told(l1)
            t1:close()
            assert.same({"call_ended", "peer_lost", 0, ""}, told(l1))
            free()
        end)
    end)
end)
