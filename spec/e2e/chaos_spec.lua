-- Everything at once, by chance: people with two devices each send by both ways, recall, read, ack, sync, come and go, are removed and
-- added again. Each device judges its stream as PROTOCOL.md 9.4 promises it; at the end all devices know what history says.
-- CHAOS_SEED gives a run again.
local node = require "spec.support.node"
local attack = require "spec.support.attack"

local STEPS <const> = 4000
local seed = math.tointeger(tonumber(os.getenv("CHAOS_SEED") or "") or os.time())

describe("chaos (CHAOS_SEED=" .. seed .. ")", function()
    local n, people, groups, devices
    local epoch = {} -- how often the membership of a person in a group has changed
    local away = {} -- and the seqs in which it did: {first, last} each
    local gaps, sent = {}, {}

    local function pick(list) return list[math.random(#list)] end
    local function epoch_of(p, g) return epoch[p.id .. "/" .. g] or 0 end

    setup(function()
        math.randomseed(seed)
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0", ["ws.resend_after"] = "700ms", ["recall.window"] = "1h"}
        people, groups, devices = {}, {}, {}
        for i = 1, 6 do people[i] = n:person() end
        for i = 1, 3 do groups[i] = people[1]:group({table.unpack(people, 2)}, "chaos " .. i) end
        for _, p in ipairs(people) do
            for _, name in ipairs {"one", "two"} do
                devices[#devices + 1] = {person = p, name = name, n = 0, streams = {}, socket = p:socket(name)}
            end
        end
    end)
    teardown(function() n:finish() end)

    -- ---- what a device sees ----

    local function on_push(d, m)
        local g, seq = m.conversation_id, m.seq
        local s = d.streams[g]
        assert(m.status == "recalled" or m.content.text.text == m.client_msg_id, "text")
        if s and s.last and s.epoch == epoch_of(d.person, g) then
            assert(seq > s.last, ("seq %d of %d after %d at %d/%s"):format(seq, g, s.last, d.person.id, d.name))
            for missing = s.last + 1, seq - 1 do gaps[#gaps + 1] = {d, g, missing} end
        end
        d.streams[g] = {last = seq, epoch = epoch_of(d.person, g), change = s and s.change}
    end

    local function on_ack(d, m)
        local s = d.streams[m.conversation_id]
        -- before every push with a higher seq on its socket
        assert(not (s and s.last and s.epoch == epoch_of(d.person, m.conversation_id)) or m.seq > s.last or d.repeated, "late ack")
        sent[#sent + 1] = {d.person, m.message_id, m.conversation_id, m.seq, m.client_msg_id}
    end

    local function on_frame(d, m)
        local data = m.data
        if m.type == "new_message" then on_push(d, data)
        elseif m.type == "message_ack" then on_ack(d, data)
        elseif m.type == "resync" then d.streams[data.conversation_id] = nil
        elseif m.type == "message_revoked" then
            local s = d.streams[data.conversation_id] or {}
            assert(not s.change or data.change > s.change or d.resending,
                ("change %d of %d after %d"):format(data.change, data.conversation_id, s.change or 0))
            s.change = math.max(s.change or 0, data.change)
            d.streams[data.conversation_id] = s
        elseif m.type == "message_resend" then d.resending = true -- its message_revoked may come again, as in a replay
        elseif m.type == "error" then assert(data.code == "not_member" or data.code == "muted", data.code .. ": " .. data.error)
        end
    end

    local function read_all(d, timeout)
        while true do
            local m, why = d.socket:next(timeout or 0)
            if not m then
                assert(why == "timeout", ("%d/%s: %s"):format(d.person.id, d.name, why))
                return
            end
            on_frame(d, m)
        end
    end

    -- ---- what they do ----

    local function owner_says(g)
        local cid = "owner." .. math.random(1 << 40)
        return people[1]:say(g, cid, {cid = cid}).seq
    end

    local acts = {
        send = function(d, g)
            d.n = d.n + 1
            local cid = ("%d.%s.%d"):format(d.person.id, d.name, d.n)
            d.socket:send {type = "message", data = {conversation_id = g, client_msg_id = cid, content = cid}}
        end,
        http = function(d, g)
            d.n = d.n + 1
            local cid = ("%d.http.%s.%d"):format(d.person.id, d.name, d.n)
            local r = d.person:post("/api/messages", {conversation_id = g, client_msg_id = cid, text = cid})
            assert(r.status == 200 or r.status == 403, r.body)
            if r.status == 200 then sent[#sent + 1] = {d.person, r.json.data.id, g, r.json.data.seq, cid} end
        end,
        recall = function()
            local m = #sent > 0 and pick(sent)
            if not m then return end
            local r = m[1]:post("/api/messages/" .. m[2] .. "/revoke")
            assert(r.status == 200 or r.status == 403, r.body)
            m.recalled = m.recalled or r.status == 200
        end,
        read = function(d, g) d.socket:send {type = "read", data = {conversation_id = g, read_seq = math.random(0, 2000)}} end,
        ack = function(d, g)
            local s = d.streams[g]
            if s and s.last then d.socket:send {type = "ack", data = {conversation_id = g, seq = s.last}} end
        end,
        sync = function(d, g)
            d.socket:send {type = "sync", data = {sync_points = {[tostring(g)] = d.streams[g] and d.streams[g].last or 0}, limit = 5}}
        end,
        reconnect = function(d)
            read_all(d)
            d.socket:close(math.random(2) == 1)
            local replay = math.random(0, 1)
            d.streams, d.resending = {}, replay == 1
            d.socket = assert(d.person:socket(d.name, {query = "&replay=" .. replay}))
        end,
        remove = function(d, g)
            if d.person == people[1] then return end
            local key = d.person.id .. "/" .. g
            local path = "/api/conversations/" .. g .. "/members"
            local from = owner_says(g)
            epoch[key] = epoch_of(d.person, g) + 1
            assert(people[1]:delete(path .. "/" .. d.person.id).status == 200)
            for _ = 1, math.random(0, 3) do owner_says(g) end
            assert(people[1]:post(path, {user_ids = {d.person.id}}).status == 200)
            -- what was stored before the removal may come late: only what is surely of that time may be missing
            away[key] = away[key] or {}
            table.insert(away[key], {from, owner_says(g)})
            for _, other in ipairs(devices) do
                if other.person == d.person then read_all(other, 20) end
            end
            epoch[key] = epoch_of(d.person, g) + 1
        end,
    }
    local weights = {send = 60, http = 8, recall = 6, read = 6, ack = 14, sync = 3, reconnect = 2, remove = 1}
    local hat = {}
    for name, weight in pairs(weights) do for _ = 1, weight do hat[#hat + 1] = name end end
    table.sort(hat)

    local function was_away(d, g, seq)
        for _, span in ipairs(away[d.person.id .. "/" .. g] or {}) do
            if seq >= span[1] and seq <= span[2] then return true end
        end
    end

    it("leaves every stream in order, without a gap that no resync told of", function()
        for step = 1, STEPS do
            local d = pick(devices)
            acts[pick(hat)](d, pick(groups))
            if step % 20 == 0 then for _, other in ipairs(devices) do read_all(other) end end
        end
        for _, d in ipairs(devices) do -- all that was sent has reached its conversation, and has been stored before what is said then
            d.socket:send {type = "ping", id = "last"}
            local m
            repeat
                m = assert(d.socket:next())
                on_frame(d, m)
            until m.id == "last"
        end
        for _, g in ipairs(groups) do people[1]:say(g, "last", {cid = "last"}) end
        for _, d in ipairs(devices) do read_all(d, 300) end
        local by_seq = {}
        for _, g in ipairs(groups) do by_seq[g] = people[1]:history(g) end
        for _, gap in ipairs(gaps) do
            local d, g, seq = table.unpack(gap)
            local cid = by_seq[g][seq].client_msg_id
            -- the owner's says by HTTP and all others' come to every device; only an own send may be missing
            assert.truthy(was_away(d, g, seq) or cid:find(("^%d%%.%s%%."):format(d.person.id, d.name)),
                ("%d/%s did not get seq %d of %d: %s"):format(d.person.id, d.name, seq, g, cid))
        end
    end)

    it("leaves history complete, recalls counted 1..n, and unread right for everybody", function()
        assert.truthy(#sent > STEPS / 3)
        local recalled, got = {}, {}
        for _, g in ipairs(groups) do
            got[g], recalled[g] = {}, 0
            for i, m in ipairs(people[1]:history(g)) do
                assert.equal(i, m.seq)
                assert.is_nil(got[g][m.client_msg_id .. m.sender_id])
                got[g][m.client_msg_id .. m.sender_id] = m
                recalled[g] = recalled[g] + (m.status == "recalled" and 1 or 0)
                assert.equal(m.status == "recalled" and 0 or 1, m.body.text and 1 or 0)
            end
        end
        for _, s in ipairs(sent) do
            local m = got[s[3]][s[5] .. s[1].id]
            assert.same({s[2], s[4]}, {m and m.id, m and m.seq}, s[5])
            if s.recalled then assert.equal("recalled", m.status) end
        end
        for _, g in ipairs(groups) do
            for _, p in ipairs(people) do
                local b = p:get("/api/conversations/" .. g).json.data
                assert.same({recalled[g], b.latest_seq - b.read_seq}, {b.latest_change, b.unread})
            end
        end
        -- what a device finds that knows nothing
        local fresh = assert(people[2]:socket("fresh"))
        for _, g in ipairs(groups) do
            local key, have, change, changes = tostring(g), 0, 0, 0
            repeat
                local d = fresh:ask("sync", {sync_points = {[key] = have}, change_points = {[key] = change}, limit = 200}).data
                for _, m in ipairs(d.messages[key] or {}) do
                    assert.equal(have + 1, m.seq)
                    assert.equal(got[g][m.client_msg_id .. m.sender_id].status, m.status)
                    have = m.seq
                end
                for _, one in ipairs(d.changes) do
                    assert.equal(change + 1, one.change)
                    change, changes = one.change, changes + 1
                end
            until not d.has_more[key] and change == d.latest_changes[key]
            assert.equal(recalled[g], changes)
        end
        fresh:close()
        for _, d in ipairs(devices) do d.socket:close() end
        attack.unharmed(n)
    end)
end)
