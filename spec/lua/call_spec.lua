-- lua/call.lua: calls (PROTOCOL.md section 12): the table of actions and states, each refusal in its order, each push, what time does.
local fake = require "spec.lua.fake"

describe("calls", function()
    local w, lena, tom, mia, key
    before_each(function()
        w = fake.new()
        lena, tom, mia = w:user "lena", w:user "tom", w:user "mia"
        w.online = {[lena] = {"lena-1"}, [tom] = {"tom-1", "tom-2"}, [mia] = {"mia-1"}}
        key = 1 << 53
    end)

    local function signal(user, device, action, payload)
        w.pushes = {}
        local at = key
        if action == "call" then
            key = key + 1
        else
            at = tonumber(tostring(payload and payload.call_id):match "^%x+" or "0", 16)
        end
        return w:run("call", "signal", at, {user = user, device = device, action = action, payload = payload})
    end
    local function ask(user, device, action, payload)
        local result, err = signal(user, device, action, payload)
        assert(not err, tostring(err))
        return result
    end
    local function refused(user, device, action, payload)
        local result, err = signal(user, device, action, payload)
        assert.is_nil(result)
        assert(err, action .. " succeeded")
        return {err.code, err.text}
    end
    local function call(from, to, opt)
        opt = opt or {}
        return ask(from, opt.device or "lena-1", "call",
            {callee_id = to, conversation_id = opt.conversation or 0, call_type = opt.type or "audio"})
    end
    local function ringing() return call(lena, tom).call_id end
    local function accepted()
        local id = ringing()
        ask(tom, "tom-1", "accept", {call_id = id})
        return id
    end
    local function connected()
        local id = accepted()
        ask(tom, "tom-1", "answer", {call_id = id, sdp = "v=0"})
        return id
    end
    local function state(id, user) return ask(user or lena, "any", "get_state", {call_id = id}) end
    -- pushes as {user, device, action, reason, by user, by device}, sorted by device
    local function told()
        local out = {}
        for _, p in ipairs(w:pushed "signaling") do
            out[#out + 1] = {p.to[1], p.device, p.data.action, p.data.payload.reason or "", p.data.from_user, p.data.from_device}
        end
        table.sort(out, function(a, b) return a[2] < b[2] end)
        return out
    end
    local function device(id, user, name, online)
        w.pushes = {}
        local list = {}
        for _, d in ipairs(w.online[user]) do
            if d ~= name then list[#list + 1] = d end
        end
        if online then list[#list + 1] = name end
        w.online[user] = list
        w:run("call", "device", tonumber(id:match "^%x+", 16), {call_id = id, user = user, device = name, online = online})
    end
    local function pass(ms)
        w.pushes = {}
        w:advance(ms)
    end
    local function free() return w.in_call[lena] == nil and w.in_call[tom] == nil end

    local stun = {"stun:stun.example.org:3478"}
    local function turn(user) return {{urls = {"turn:turn.example.org"}, username = "21600000:" .. user, credential = "c"}} end

    describe("call", function()
        it("rings on all devices of the callee and takes both", function()
            local r = call(lena, tom)
            assert.same({call_id = r.call_id, status = "ringing", stun_servers = stun, turn_servers = turn(lena)}, r)
            assert.truthy(#r.call_id <= 64)
            local p = w:pushed("signaling", "incoming_call")
            assert.same({"tom-1", "tom-2", 2}, {p[1].device, p[2].device, #p})
            assert.same({
                action = "incoming_call", call_id = r.call_id, from_user = lena, from_device = "lena-1", timestamp = w.now // 1000,
                payload = {call_type = "audio", conversation_id = 1, stun_servers = stun, turn_servers = turn(tom)},
            }, p[1].data)
            assert.same({r.call_id, r.call_id, 1}, {w.in_call[lena], w.in_call[tom], w.active})
        end)

        it("makes their chat if needed, and tells the calling device of it", function()
            call(lena, tom)
            local p = w:pushed("conversation_update", "created")
            assert.same({lena, tom, 2}, {p[1].to[1], p[2].to[1], #p})
            assert.same({user = lena, device = ""}, p[1].except)
            ask(lena, "lena-1", "cancel", {call_id = w.in_call[lena]})
            call(lena, tom)
            assert.same({}, w:pushed "conversation_update")
        end)

        it("checks form, callee, membership, type, the caller's call in this order", function()
            local function why(payload) return refused(lena, "lena-1", "call", payload) end
            local invalid = {"bad_request", "invalid call request"}
            for _, p in ipairs {
                {}, {callee_id = tom}, {callee_id = "x", conversation_id = 0, call_type = "audio"}, {callee_id = tom, call_type = "audio"},
                {callee_id = tom, conversation_id = -1, call_type = "audio"}, {callee_id = tom, conversation_id = 0, call_type = "smoke"},
                {callee_id = tom, conversation_id = 0}, {callee_id = lena, conversation_id = 0, call_type = "audio"},
                {callee_id = 0, conversation_id = 0, call_type = "audio"},
            } do assert.same(invalid, why(p)) end
            assert.same({"not_found", "target user not found"}, why {callee_id = 99, conversation_id = 7, call_type = "audio"})
            assert.same({"not_member", nil}, why {callee_id = tom, conversation_id = 7, call_type = "audio"})
            local group = w:data("group.create", lena, {body = {type = 2, title = "g", member_ids = {tom}}}).id
            assert.same({"bad_request", "invalid conversation type"}, why {callee_id = tom, conversation_id = group, call_type = "audio"})
            assert.same({"not_member", nil}, why {callee_id = mia, conversation_id = group, call_type = "audio"})
            assert.same({"not_member", nil}, refused(99, "x", "call", {callee_id = tom, conversation_id = 0, call_type = "audio"}))
            assert.truthy(free())
            ringing()
            assert.same({"call_busy", nil}, why {callee_id = mia, conversation_id = 0, call_type = "audio"})
            assert.same({"call_busy", nil}, refused(tom, "tom-1", "call", {callee_id = lena, conversation_id = 0, call_type = "audio"}))
            assert.is_nil(w.in_call[mia])
        end)

        it("to somebody in a call is busy, without a push, a record or a new chat", function()
            ringing()
            for _, callee in ipairs {lena, tom} do
                local r = call(mia, callee, {device = "mia-1"})
                assert.same({call_id = "", status = "busy", stun_servers = {}, turn_servers = {}}, r)
                assert.same({{}, {}, nil}, {w.pushes, w.posts, w.in_call[mia]})
            end
        end)

        it("[36] to somebody offline is unavailable: call_rejected on the calling device, a record, both free", function()
            w.online[tom] = {}
            local r = call(lena, tom, {type = "video"})
            assert.same({call_id = "", status = "unavailable", stun_servers = {}, turn_servers = {}}, r)
            assert.same({{lena, "lena-1", "call_rejected", "unavailable", 0, ""}}, told())
            assert.equal("", w:pushed("signaling")[1].data.call_id)
            assert.truthy(free())
            local post = w.posts[1]
            assert.same({1, lena, 9, 1}, {post.conversation, post.sender, post.type, #w.posts})
            assert.same({call = {
                call_id = post.cid:match "^call:(.+)$", call_type = "video", result = "missed", reason = "unavailable", duration_sec = 0,
                convo_hint = "missed video call",
            }}, post.content)
            assert.same({{"unavailable"}, nil}, {w.results, w.active})
        end)

        it("[32] to somebody who has blocked the caller is unavailable without a record, also if they are busy", function()
            w:data("contact.block", tom, {body = {user_id = lena}})
            call(mia, tom, {device = "mia-1"})
            assert.equal("unavailable", call(lena, tom).status)
            assert.same({{lena, "lena-1", "call_rejected", "unavailable", 0, ""}}, told())
            assert.same({{}, nil}, {w.posts, w.in_call[lena]})
            assert.equal(0, w:data("group.list", lena)[1] and 1 or 0)
            ask(mia, "mia-1", "cancel", {call_id = w.in_call[tom]})
            call(lena, mia)
            assert.same({"call_busy", nil}, refused(lena, "lena-1", "call", {callee_id = tom, conversation_id = 0, call_type = "audio"}))
        end)

        it("of two who call each other one rings", function()
            ringing()
            assert.same({"call_busy", nil}, refused(tom, "tom-1", "call", {callee_id = lena, conversation_id = 0, call_type = "audio"}))
        end)

        it("one that comes too late has held nobody meanwhile: the other of two who call each other needs them", function()
            ringing()
            local enter, taken = _G.calls.enter, {}
            _G.calls.enter = function(user, id, life_ms)
                local devices, other = enter(user, id, life_ms)
                if devices and life_ms > 0 then taken[#taken + 1] = user end
                return devices, other
            end
            assert.equal("busy", call(mia, lena, {device = "mia-1"}).status) -- the lower id is asked for first
            local kim = w:user "kim"
            w:data("contact.block", kim, {body = {user_id = mia}})
            assert.equal("unavailable", call(mia, kim, {device = "mia-1"}).status)
            assert.same({}, taken)
        end)

        it("[36] to or by somebody whose call was lost with its shard rings: they are not busy", function()
            local id = ringing()
            w.states.call = nil -- a crash: the inboxes still hold both
            assert.equal(id, w.in_call[tom])
            assert.equal("ringing", call(mia, tom, {device = "mia-1"}).status)
            assert.equal("unavailable", call(lena, w:user "kim").status) -- not call_busy
            assert.is_nil(w.in_call[lena])
        end)

        it("to somebody whose call is just being started is busy", function()
            w.states.call = nil
            call(lena, tom)
            local id = w.in_call[tom]
            w.states.call.calls[id], w.states.call.starting[id] = nil, w.now + 1
            assert.equal("busy", call(mia, tom, {device = "mia-1"}).status)
            w.now = w.now + 1 -- its handler was killed
            assert.equal("ringing", call(mia, tom, {device = "mia-1"}).status)
            w:run("call", "sweep", 0)
            assert.is_nil(next(w.states.call.starting))
        end)

        it("that fails half-way leaves both free", function()
            _G.push.device = function() error("no push") end
            assert.has_error(function() call(lena, tom) end)
            assert.truthy(free())
        end)

        it("whose handler was killed on its way is over with the next sweep, and nobody stays busy", function()
            local active = _G.calls.active
            _G.calls.active = function() error("killed") end
            assert.has_error(function() call(lena, tom) end)
            _G.calls.active = active
            w.states.call.live = 7
            w:run("call", "sweep", 0)
            pass(0)
            w:run("call", "sweep", 0)
            assert.same({0, true}, {w.active, free()})
        end)

        it("that fails when one device rings already does not ring on, is not taken up again and leaves no record", function()
            local tell = _G.push.device
            _G.push.device = function(user, name, ...)
                if name == "tom-2" then error("no push") end
                tell(user, name, ...)
            end
            assert.has_error(function() call(lena, tom) end)
            local p = w:pushed "signaling"
            assert.same({"tom-1", "incoming_call", "tom-1", "call_ended"}, {p[1].device, p[1].data.action, p[2].device, p[2].data.action})
            _G.push.device = tell
            pass(40000)
            w:run("call", "sweep", 0)
            assert.same({{}, {}, true, 0, {"failed"}}, {told(), w.posts, free(), w.active, w.results})
        end)
    end)

    describe("accept", function()
        it("[35] tells the calling device; the callee's others get answered_elsewhere", function()
            local id = ringing()
            assert.is_nil(ask(tom, "tom-2", "accept", {call_id = id}))
            assert.same({{lena, "lena-1", "call_accepted", "", tom, "tom-2"},
                {tom, "tom-1", "call_ended", "answered_elsewhere", 0, ""}}, told())
            assert.equal("accepted", state(id).status)
        end)
        it("is for the callee, once", function()
            local id = ringing()
            assert.same({"forbidden", "user is not the callee"}, refused(lena, "lena-1", "accept", {call_id = id}))
            ask(tom, "tom-2", "accept", {call_id = id})
            for _, d in ipairs {"tom-1", "tom-2"} do
                assert.same({"call_state", "call is not in ringing state"}, refused(tom, d, "accept", {call_id = id}))
            end
        end)
    end)

    describe("reject", function()
        it("tells the calling device; the callee's others get declined_elsewhere", function()
            local id = ringing()
            assert.is_nil(ask(tom, "tom-2", "reject", {call_id = id, reason = "decline"}))
            assert.same({{lena, "lena-1", "call_rejected", "decline", tom, "tom-2"},
                {tom, "tom-1", "call_ended", "declined_elsewhere", 0, ""}},
                told())
            assert.same({"ended", "decline", true, {}}, {state(id).status, state(id).end_reason, free(), w.posts})
            assert.same({{"rejected"}, 0}, {w.results, w.active})
        end)
        it("with busy takes only this device out while others still ring", function()
            local id = ringing()
            ask(tom, "tom-1", "reject", {call_id = id, reason = "busy"})
            assert.same({{}, "ringing"}, {told(), state(id).status})
            ask(tom, "tom-2", "accept", {call_id = id})
            assert.same({{lena, "lena-1", "call_accepted", "", tom, "tom-2"}}, told())
        end)
        it("with busy of the last device that rings ends the call", function()
            local id = ringing()
            ask(tom, "tom-1", "reject", {call_id = id, reason = "busy"})
            ask(tom, "tom-2", "reject", {call_id = id, reason = "busy"})
            assert.same({{lena, "lena-1", "call_rejected", "busy", tom, "tom-2"}}, told())
            assert.same({"ended", "busy"}, {state(id).status, state(id).end_reason})
        end)
        it("counts no device that has lost its socket among those that still ring", function()
            local id = ringing()
            device(id, tom, "tom-2", false)
            ask(tom, "tom-1", "reject", {call_id = id, reason = "busy"})
            assert.equal("ended", state(id).status)
        end)
        it("needs its reason, the callee and a ringing call", function()
            local id = ringing()
            assert.same({"bad_request", "invalid reject request"}, refused(tom, "tom-1", "reject", {call_id = id}))
            assert.same({"forbidden", "user is not the callee"}, refused(lena, "lena-1", "reject", {call_id = id, reason = "x"}))
            ask(tom, "tom-1", "accept", {call_id = id})
            assert.same({"call_state", "call cannot be rejected in current state"},
                refused(tom, "tom-1", "reject", {call_id = id, reason = "x"}))
        end)
    end)

    describe("cancel", function()
        it("tells all devices of the callee and leaves a record", function()
            local id = ringing()
            assert.is_nil(ask(lena, "lena-7", "cancel", {call_id = id}))
            assert.same({
                {tom, "tom-1", "call_ended", "cancelled", lena, "lena-7"}, {tom, "tom-2", "call_ended", "cancelled", lena, "lena-7"},
            }, told())
            assert.same({"call:" .. id, "cancelled"}, {w.posts[1].cid, w.posts[1].content.call.reason})
            assert.same({"ended", "cancelled", true}, {state(id).status, state(id).end_reason, free()})
        end)
        it("is for the caller of a ringing call", function()
            local id = ringing()
            assert.same({"forbidden", nil}, refused(tom, "tom-1", "cancel", {call_id = id}))
            ask(tom, "tom-1", "accept", {call_id = id})
            assert.same({"call_state", "call is not in ringing state"}, refused(lena, "lena-1", "cancel", {call_id = id}))
        end)
        it("leaves no record when the callee has blocked the caller meanwhile", function()
            local id = ringing()
            w:data("contact.block", tom, {body = {user_id = lena}})
            ask(lena, "lena-1", "cancel", {call_id = id})
            assert.same({}, w.posts)
        end)
    end)

    describe("hangup", function()
        it("while ringing is the caller's cancel and the callee's reject", function()
            local id = ringing()
            ask(lena, "lena-1", "hangup", {call_id = id})
            assert.same({"cancelled", "cancelled"}, {state(id).end_reason, w.posts[1].content.call.reason})
            id = ringing()
            ask(tom, "tom-2", "hangup", {call_id = id})
            assert.same({{lena, "lena-1", "call_rejected", "hangup", tom, "tom-2"},
                {tom, "tom-1", "call_ended", "declined_elsewhere", 0, ""}},
                told())
            assert.same({"hangup", 1}, {state(id).end_reason, #w.posts})
        end)
        it("ends an accepted and a connected call for the other party, from the bound device", function()
            for _, make in ipairs {accepted, connected} do
                local id = make()
                assert.same({"call_state", "call is on another device"}, refused(tom, "tom-2", "hangup", {call_id = id}))
                assert.is_nil(ask(tom, "tom-1", "hangup", {call_id = id}))
                assert.same({{lena, "lena-1", "call_ended", "hangup", tom, "tom-1"}}, told())
                assert.truthy(free())
                for _, d in ipairs {"tom-1", "tom-2"} do
                    assert.is_nil(ask(tom, d, "hangup", {call_id = id}))
                    assert.same({}, told())
                end
            end
            assert.same({}, w.posts)
        end)
    end)

    describe("offer, answer and candidates", function()
        it("go to the bound device of the other party", function()
            local id = accepted()
            assert.is_nil(ask(lena, "lena-1", "offer", {call_id = id, sdp = "v=0 offer", target_id = tom}))
            local p = w.pushes[1]
            assert.same({tom, "tom-1", 1}, {p.to[1], p.device, #w.pushes})
            assert.same({
                action = "sdp", call_id = id, from_user = lena, from_device = "lena-1", payload = {sdp_type = "offer", sdp = "v=0 offer"},
                timestamp = w.now // 1000,
            }, p.data)
            ask(tom, "tom-1", "ice_candidate", {call_id = id, candidate = "c", sdp_mid = "0", sdp_mline_index = 0})
            assert.same({candidate = "c", sdp_mid = "0", sdp_mline_index = 0}, w.pushes[1].data.payload)
            ask(tom, "tom-1", "ice_candidate", {call_id = id, candidate = ""})
            assert.same({candidate = "", sdp_mid = fake.json.null, sdp_mline_index = fake.json.null}, w.pushes[1].data.payload)
        end)
        it("the callee's first answer connects", function()
            local id = accepted()
            ask(lena, "lena-1", "answer", {call_id = id, sdp = "x"})
            assert.equal("accepted", state(id).status)
            w.now = w.now + 8000
            ask(tom, "tom-1", "answer", {call_id = id, sdp = "x"})
            local since = w.now // 1000
            w.now = w.now + 12000
            ask(tom, "tom-1", "answer", {call_id = id, sdp = "y"})
            assert.same({
                call_id = id, caller_id = lena, callee_id = tom, conversation_id = 1, call_type = "audio", status = "connected",
                end_reason = "", started_at = since - 8, connected_at = since, ended_at = 0, duration = 12,
            }, state(id))
        end)
        it("need an accepted call, its devices, and the other party as target", function()
            local id = ringing()
            for _, action in ipairs {"offer", "answer", "ice_candidate"} do
                local p = {call_id = id, sdp = "x", candidate = "x"}
                assert.same({"call_state", "call is not accepted"}, refused(lena, "lena-1", action, p))
                assert.same({"bad_request", "invalid " .. action .. " request"}, refused(lena, "lena-1", action, {call_id = id}))
                p.target_id = mia
                assert.same({"bad_request", "invalid " .. action .. " request"}, refused(lena, "lena-1", action, p))
            end
            ask(tom, "tom-1", "accept", {call_id = id})
            for _, action in ipairs {"offer", "answer", "ice_candidate"} do
                local p = {call_id = id, sdp = "x", candidate = "x"}
                assert.same({"call_state", "call is on another device"}, refused(lena, "lena-2", action, p))
            end
        end)
    end)

    it("unknown calls and actions, and strangers", function()
        local id = ringing()
        for _, action in ipairs {"accept", "reject", "cancel", "hangup", "offer", "answer", "ice_candidate", "get_state"} do
            local p = {call_id = "5-none", reason = "x", sdp = "x", candidate = "x"}
            assert.same({"call_not_found", "call not found: 5-none"}, refused(lena, "lena-1", action, p))
            p.call_id = id
            assert.same({"forbidden", "not a party of this call"}, refused(mia, "mia-1", action, p))
            assert.same({"bad_request", "invalid " .. action .. " request"}, refused(lena, "lena-1", action, nil))
            assert.same({"bad_request", "invalid " .. action .. " request"}, refused(lena, "lena-1", action, {call_id = 7}))
            assert.same({"bad_request", "invalid " .. action .. " request"}, refused(lena, "lena-1", action, {call_id = ("x"):rep(65)}))
        end
        assert.same({"bad_request", "unknown signaling action: dance"}, refused(lena, "lena-1", "dance", {}))
        local long = refused(lena, "lena-1", ("ä"):rep(200), {})[2]
        assert.truthy(#long < 130 and utf8.len(long))
        assert.equal("ringing", state(id).status)
    end)

    describe("time", function()
        it("[34] nobody answers: call_timeout to both after 30 s and one record", function()
            local id = ringing()
            pass(29999)
            assert.same({}, told())
            pass(1)
            assert.same({
                {lena, "lena-1", "call_timeout", "timeout", 0, ""}, {tom, "tom-1", "call_timeout", "timeout", 0, ""},
                {tom, "tom-2", "call_timeout", "timeout", 0, ""},
            }, told())
            assert.same({"call:" .. id, "timeout", 1}, {w.posts[1].cid, w.posts[1].content.call.reason, #w.posts})
            assert.same({"ended", "timeout", true}, {state(id).status, state(id).end_reason, free()})
            pass(100000)
            assert.equal(1, #w.posts)
        end)
        it("[34] no answer frame after accept: ended after 30 s more, for both, without a record", function()
            local id = ringing()
            pass(20000)
            ask(tom, "tom-1", "accept", {call_id = id})
            pass(29999)
            assert.same({}, told())
            pass(1)
            assert.same({{lena, "lena-1", "call_ended", "connect_timeout", 0, ""}, {tom, "tom-1", "call_ended", "connect_timeout", 0, ""}},
                told())
            assert.same({{}, true, {"failed"}, 0}, {w.posts, free(), w.results, w.active})
        end)
        it("a connected call ends after 4 h", function()
            local id = connected()
            pass(4 * 3600 * 1000 - 1)
            assert.same({}, told())
            pass(1)
            assert.same({{lena, "lena-1", "call_ended", "max_duration", 0, ""},
                {tom, "tom-1", "call_ended", "max_duration", 0, ""}}, told())
            assert.same({"max_duration", 4 * 3600}, {state(id).end_reason, state(id).duration})
        end)
        it("the sweep tells how many go on, also when the state came from another version", function()
            ringing()
            w.states.call = nil
            w:run("call", "sweep", 0)
            assert.equal(0, w.active)
        end)
        it("an ended call is known for 60 s", function()
            local id = ringing()
            ask(lena, "lena-1", "cancel", {call_id = id})
            pass(59999)
            w:run("call", "sweep", 0)
            assert.equal("ended", state(id).status)
            pass(2)
            w:run("call", "sweep", 0)
            assert.same({"call_not_found", "call not found: " .. id}, refused(lena, "lena-1", "get_state", {call_id = id}))
        end)
        it("an ended call keeps what get_state tells and no more, the oldest goes first when 5,000 have ended", function()
            local first = ringing()
            ask(lena, "lena-1", "cancel", {call_id = first})
            local kept = w.states.call.calls[first]
            assert.same({{user = lena}, {user = tom}, nil, nil}, {kept.caller, kept.callee, kept.timer, kept.deadline})
            local second = ringing()
            ask(lena, "lena-1", "cancel", {call_id = second})
            local ended = w.states.call.ended
            for _ = 1, 4998 do
                local copy = {}
                for k, v in pairs(kept) do copy[k] = v end
                ended.last = ended.last + 1
                copy.id = "1-" .. ended.last
                ended.ids[ended.last], w.states.call.calls[copy.id] = copy.id, copy
            end
            assert.equal("ended", state(second).status)
            local third = ringing()
            ask(lena, "lena-1", "cancel", {call_id = third})
            assert.same({"call_not_found", "call not found: " .. first}, refused(lena, "lena-1", "get_state", {call_id = first}))
            assert.equal("ended", state(third).status)
        end)
        it("the sweep does what a timer without room did not", function()
            _G.after = function() error "busy" end
            local id = ringing()
            pass(30000)
            w:run("call", "sweep", 0)
            assert.equal("timeout", state(id).end_reason)
        end)
    end)

    describe("sockets", function()
        it("a device that connects while it rings gets incoming_call, each device once", function()
            local id = ringing()
            device(id, tom, "tom-3", true)
            assert.same({{tom, "tom-3", "incoming_call", "", lena, "lena-1"}}, told())
            for _, d in ipairs {"tom-3", "tom-1"} do
                device(id, tom, d, false)
                device(id, tom, d, true)
                assert.same({}, told())
            end
            ask(tom, "tom-3", "accept", {call_id = id})
            assert.equal(3, #told())
            device(id, tom, "tom-4", true)
            assert.same({}, told())
        end)
        it("[35] the last socket of a party gone for 15 s ends a ringing call for the other", function()
            for _, case in ipairs {
                {lena, {"lena-1"}, {{tom, "tom-1", "call_ended", "peer_lost", 0, ""}, {tom, "tom-2", "call_ended", "peer_lost", 0, ""}}},
                {tom, {"tom-1", "tom-2"}, {{lena, "lena-1", "call_ended", "peer_lost", 0, ""}}},
            } do
                w.online = {[lena] = {"lena-1"}, [tom] = {"tom-1", "tom-2"}}
                local id = ringing()
                for _, d in ipairs(case[2]) do device(id, case[1], d, false) end
                pass(14999)
                assert.same({}, told())
                pass(1)
                assert.same(case[3], told())
                assert.same({"peer_lost", true, {}}, {state(id).end_reason, free(), w.posts})
            end
        end)
        it("any socket of the party that comes back in time keeps it ringing", function()
            local id = ringing()
            device(id, lena, "lena-1", false)
            pass(14000)
            device(id, lena, "lena-2", true)
            pass(10000)
            assert.equal("ringing", state(id).status)
        end)
        it("after accept the bound device counts, others do not", function()
            w.conf["call.connect"] = 60000
            for _, make in ipairs {accepted, connected} do
                w.online = {[lena] = {"lena-1"}, [tom] = {"tom-1", "tom-2"}}
                local id = make()
                device(id, tom, "tom-2", false)
                device(id, tom, "tom-1", false)
                device(id, tom, "tom-3", true)
                pass(10000)
                device(id, tom, "tom-1", true)
                pass(16000)
                assert.is_true(state(id).status ~= "ended")
                device(id, tom, "tom-1", false)
                pass(15000)
                assert.same({{lena, "lena-1", "call_ended", "peer_lost", 0, ""}}, told())
                assert.truthy(free())
            end
        end)
        it("the calling device's absence counts from when it went", function()
            local id = ringing()
            device(id, lena, "lena-2", true)
            device(id, lena, "lena-1", false)
            pass(10000)
            ask(tom, "tom-1", "accept", {call_id = id})
            pass(4999)
            assert.equal("accepted", state(id).status)
            pass(1)
            assert.same({{tom, "tom-1", "call_ended", "peer_lost", 0, ""}}, told())
        end)
        it("a renewal finds what no message told, and a user that was given away ends the call", function()
            local id = ringing()
            w.online[tom] = {"tom-2", "tom-9"}
            pass(20000)
            w:run("call", "sweep", 0)
            assert.same({{tom, "tom-9", "incoming_call", "", lena, "lena-1"}}, told())
            w.in_call[tom] = "another"
            pass(9000)
            w:run("call", "renew", 1, {call_id = id})
            assert.same({"peer_lost", "another", nil}, {state(id).end_reason, w.in_call[tom], w.in_call[lena]})
        end)
        it("a word about a call that nobody knows frees the user", function()
            w.in_call[lena] = "77-old"
            w:run("call", "device", 1, {call_id = "77-old", user = lena, device = "lena-1", online = true})
            assert.is_nil(w.in_call[lena])
        end)
    end)

    describe("the record", function()
        it("is tried again until it is stored", function()
            w.post_fails = 2
            local id = ringing()
            ask(lena, "lena-1", "cancel", {call_id = id})
            assert.same({}, w.posts)
            w:run("call", "sweep", 0)
            assert.same({}, w.posts)
            w:run("call", "sweep", 0)
            assert.equal("call:" .. id, w.posts[1].cid)
            w:run("call", "sweep", 0)
            assert.equal(1, #w.posts)
        end)
    end)
end)
