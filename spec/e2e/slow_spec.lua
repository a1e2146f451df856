-- PROTOCOL.md 7.7, slow readers: what is pushed to sockets that do not read is held back, then they are closed with 4003; the node's
-- memory stays flat, others are served at once, and a reader who comes back finds a resync before each gap.
local node = require "spec.support.node"
local attack = require "spec.support.attack"

local READERS <const> = 16
local MESSAGES <const>, SIZE <const> = 400, 16000 -- 400 x 16 x 16 KB: 100 MB pushed

local function pour(lena, conversation, count, size)
    local c = lena:socket("pour")
    local text = ("x"):rep(size)
    for i = 1, count do
        c:send {type = "message", data = {conversation_id = conversation, client_msg_id = "p" .. i, content = text}}
        if i % 20 == 0 then
            for _ = 1, 20 do assert.equal("message_ack", assert(c:want("message_ack", 20000 * node.slow)).type) end
        end
    end
    c:close()
end

-- reads all that is there, or on from where r has ended up to a seq; pushes must rise without gap, or a resync stands before the gap
local function read_in_order(c, quiet, r, to)
    r = r or {last = 0, resyncs = 0, count = 0}
    while r.last ~= to do
        local m
        m, r.why, r.code = c:next(quiet)
        if not m then break end
        if m.type == "new_message" then
            assert.truthy(r.gap or m.data.seq == r.last + 1, ("%d after %d without resync"):format(m.data.seq, r.last))
            r.last, r.count, r.gap = m.data.seq, r.count + 1, false
        elseif m.type == "resync" then
            assert.truthy(m.data.from_seq <= r.last + 1)
            r.resyncs, r.gap = r.resyncs + 1, true
        end
    end
    return r
end

describe("slow readers", function()
    local n, lena, tom
    setup(function()
        n = node.start {["ws.queue_soft"] = "64KiB", ["ws.slow_after"] = "2s", ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        lena, tom = n:person(), n:person()
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    it("[17] who stop get what was queued, then 4003 or the end; 100 MB for them cost nothing", function()
        local readers, others = {}, {}
        for i = 1, READERS do
            others[i] = n:person()
            readers[i] = attack.unread(others[i], "slow")
        end
        local fast = n:person()
        local group = lena:group({tom, fast, table.unpack(others)}, "slow")
        local f = fast:socket("fast")
        local closed, before = attack.metric(n, 'closes_total{code="4003"}'), attack.memory(n)
        local grown = 0
        attack.beside(n, function()
            for part = 1, 4 do
                local c = lena:socket("pour" .. part)
                for i = 1, MESSAGES // 4 do
                    c:send {type = "message", data = {conversation_id = group, client_msg_id = part .. "." .. i, content = ("x"):rep(SIZE)}}
                    assert.equal("message_ack", assert(c:want("message_ack", 20000 * node.slow)).type)
                    -- who reads gets each at once, and acks it
                    local m = assert(f:want("new_message", 20000 * node.slow))
                    f:send {type = "ack", data = {conversation_id = group, seq = m.data.seq}}
                end
                c:close()
                grown = math.max(grown, attack.memory(n) - before)
            end
            assert.truthy(node.eventually(function()
                return attack.metric(n, 'closes_total{code="4003"}') + attack.metric(n, 'closes_total{code="1006"}') - closed >= READERS
            end))
        end)
        assert.truthy(grown < 48 * attack.heavy, ("%.1f MiB more"):format(grown))
        assert.truthy(node.eventually(function() return attack.metric(n, "queue_bytes") == 0 end))
        local codes = 0
        for _, c in ipairs(readers) do
            local r = read_in_order(c, 20000 * node.slow)
            assert.truthy(r.count < MESSAGES, r.count)
            assert.truthy(r.why == "close" and r.code == 4003 or r.why == "end" or r.why == "reset", r.why)
            codes = codes + (r.code == 4003 and 1 or 0)
            c:close()
        end
        -- nothing is lost for them: the next socket finds all
        local back = others[1]:socket("slow")
        assert.equal(MESSAGES, back:ask("sync", {list_only = true}).data.latest_seqs[tostring(group)])
        assert.equal(MESSAGES, #others[1]:history(group))
        back:close()
        f:close()
    end)

    it("by the thousand, whoever never reads holds up nobody, and what waits for all of them is bounded", function()
        local PEOPLE <const>, DEVICES <const>, COUNT <const> = 50, 20, 120
        local people, sockets = {}, {}
        for i = 1, PEOPLE do
            people[i] = n:person()
            for k = 1, DEVICES do sockets[#sockets + 1] = attack.unread(people[i], "mute" .. k) end
        end
        local fast = n:person()
        local group = lena:group({fast, table.unpack(people)}, "mute")
        local f, before, grown = fast:socket("fast"), attack.memory(n), 0
        attack.beside(n, function()
            local c = lena:socket("loud")
            for i = 1, COUNT do
                c:send {type = "message", data = {conversation_id = group, client_msg_id = "t" .. i, content = ("x"):rep(SIZE)}}
                assert.equal("message_ack", assert(c:want("message_ack", 20000 * node.slow)).type)
                local m = assert(f:want("new_message", 20000 * node.slow))
                f:send {type = "ack", data = {conversation_id = group, seq = m.data.seq}}
                if i % 20 == 0 then grown = math.max(grown, attack.memory(n) - before) end
            end
            c:close()
        end)
        -- 1,000 x 120 x 16 KB would be 1.9 GB; the soft mark lets 64 KiB wait for each
        assert.truthy(grown < 120 * attack.heavy, ("%.1f MiB more"):format(grown))
        for _, s in ipairs(sockets) do s:close() end
        f:close()
        assert.truthy(node.eventually(function() return attack.metric(n, "queue_bytes") == 0 end))
    end)
end)

describe("slow readers in time", function()
    local n, lena, tom
    setup(function()
        n = node.start {["ws.queue_soft"] = "64KiB", ["ws.slow_after"] = "10m", ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        lena, tom = n:person(), n:person()
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    it("[17] who read again in time get a resync where pushes were held back, then go on", function()
        local group = lena:group({tom}, "again")
        local c = attack.unread(tom, "again")
        pour(lena, group, 60, SIZE) -- far more than TCP and the queue hold
        local r = read_in_order(c, 1500)
        assert.truthy(r.count < 60, r.count)
        assert.truthy(r.resyncs >= 1 or r.why == "timeout", r.why)
        local seq = lena:say(group, "news").seq
        assert.equal(seq, read_in_order(c, 20000, r, seq).last) -- with what a slow machine brings only now
        -- the hole is filled by sync
        local have = 0
        repeat
            local d = c:ask("sync", {sync_points = {[tostring(group)] = have}, limit = 10}).data
            for _, one in ipairs(d.messages[tostring(group)]) do
                assert.equal(have + 1, one.seq)
                have = one.seq
            end
        until not d.has_more[tostring(group)]
        assert.equal(seq, have)
        c:close()
    end)

    it("whose recalls were held back get a resync too", function()
        local group = lena:group({tom}, "recalls")
        local first = lena:say(group, "to recall")
        local c = attack.unread(tom, "recalls")
        pour(lena, group, 60, SIZE)
        assert.equal(200, lena:post("/api/messages/" .. first.id .. "/revoke").status)
        local seen = {}
        repeat
            local m = assert(c:next())
            seen[m.type] = (seen[m.type] or 0) + 1
        until seen.message_revoked or seen.resync
        c:close()
    end)

    it("of one conversation do not hold back another's ack or ping on the same socket", function()
        local group = lena:group({tom}, "busy")
        local c = attack.unread(tom, "busy")
        pour(lena, group, 30, SIZE)
        c:send {type = "ping", id = "still"} -- it is read again from here on
        repeat local m = assert(c:next()) until m.id == "still"
        c:close()
    end)
end)

-- While a replay goes on, pushes of its conversation wait in a short list: what finds no place there is left to sync.
describe("recalls that find no place behind a replay", function()
    it("are told by a resync", function()
        local n = node.start {["ws.queue_soft"] = "4KiB", ["ws.slow_after"] = "600s", ["limits.http_user"] = "0"}
        local lena, tom = n:person(), n:person()
        local chat, sent = lena:chat(tom), {}
        for i = 1, 40 do sent[i] = lena:say(chat, "to recall") end
        for _ = 1, 45 do lena:say(chat, ("x"):rep(SIZE)) end -- the replay does not get past these before tom reads
        lena:say(chat, "the last")
        local c = assert(tom:socket("d", {query = "&replay=1", rcvbuf = 4096}))
        for i = 1, 40 do assert.equal(i, assert(c:want("new_message")).data.seq) end
        for _, m in ipairs(sent) do assert.equal(200, lena:post("/api/messages/" .. m.id .. "/revoke").status) end
        local last, revoked, resynced = 40, 0, false
        while not (last == 86 and (revoked == 40 or resynced)) do
            local m = assert(c:next(), "neither recalled nor told: " .. revoked)
            if m.type == "new_message" then last = m.data.seq end
            if m.type == "message_revoked" then revoked = revoked + 1 end
            resynced = resynced or m.type == "resync"
        end
        c:close()
        n:finish()
    end)
end)
