-- crash: kills a real node with -9 under load at random moments, again and again, and checks after each start that what was
-- acknowledged is there: same id, same seq, seqs 1..n without hole or double, the same ack for a repeated client_msg_id; and while
-- it runs, that each socket sees its pushes in rising order without gap. Prints its seed; the seed gives the same moments.
--
--   lua5.4 spec/torture/crash.lua [SEED [KILLS]]      from the project's root, after tools/build parleyd parley_spec
--
-- Exit status 1 and the reason when a promise is broken. spec/torture/bugs/ holds bugs it must catch (tools/mutants).
package.path = "./?.lua;" .. package.path
package.cpath = "build/?.so;" .. package.cpath
local P = require "parley_spec"
local node = require "spec.support.node"
local json = require "spec.support.json"

local seed = math.tointeger(tonumber(arg[1] or "") or os.time())
local kills = math.tointeger(tonumber(arg[2] or "20"))
math.randomseed(seed)
print(("seed %d, %d kills"):format(seed, kills))

local SENDERS, GROUPS, IN_FLIGHT = 6, 3, 16

local function broken(format, ...)
    io.stdout:write("BROKEN: ", format:format(...), " (seed ", seed, ")\n")
    os.exit(1)
end

-- what the server has promised: conversation -> {acked = {[cid of sender] = ack}, by_seq = {[seq] = cid}, sent = n}
local promised = {}

local function note_ack(conversation, who, ack)
    local book, key = promised[conversation], who .. "/" .. ack.client_msg_id
    local before = book.acked[key]
    if before and (before.message_id ~= ack.message_id or before.seq ~= ack.seq) then
        broken("%s was acked as id %d seq %d, now as id %d seq %d", key, before.message_id, before.seq, ack.message_id, ack.seq)
    end
    if book.by_seq[ack.seq] and book.by_seq[ack.seq] ~= key then
        broken("seq %d of %d was given to %s and to %s", ack.seq, conversation, book.by_seq[ack.seq], key)
    end
    book.acked[key] = ack
    book.by_seq[ack.seq] = key
end

-- one device: sends to its conversations in turn and reads everything
local function device_open(n, person, conversations)
    local c, status = person:socket("torture")
    if not c then broken("handshake answered %s", tostring(status)) end
    return {person = person, socket = c, conversations = conversations, waiting = {}, count = 0, last = {}, node = n}
end

local function send_one(d)
    local conversation = d.conversations[d.person.sent % #d.conversations + 1]
    local cid
    if #d.person.unsure > 0 and math.random(4) == 1 then
        local again = table.remove(d.person.unsure) -- outcome unknown since a kill: ask again
        conversation, cid = again[1], again[2]
    else
        cid = "m" .. d.person.sent
    end
    d.person.sent = d.person.sent + 1
    d.waiting[cid .. "@" .. conversation] = {conversation, cid}
    d.count = d.count + 1
    return d.socket:send {type = "message", data = {conversation_id = conversation, client_msg_id = cid, content = cid}}
end

-- the seqs a device has seen must rise by one: pushes of others, acks of its own
local function note_seq(d, conversation, seq, own)
    local s = d.last[conversation]
    if not s then
        s = {own = {}}
        d.last[conversation] = s
    end
    if own then
        s.own[seq] = true
        return
    end
    if s.at then
        if seq <= s.at then broken("push of seq %d of %d after seq %d", seq, conversation, s.at) end
        s.gaps = s.gaps or {}
        for missing = s.at + 1, seq - 1 do s.gaps[missing] = true end
    end
    s.at = seq
end

-- a gap in the pushes is only right where the seq is the device's own
local function check_gaps(d)
    for conversation, s in pairs(d.last) do
        for seq in pairs(s.gaps or {}) do
            local key = promised[conversation].by_seq[seq]
            local own = s.own[seq] or (key and key:match("^(%d+)/") == tostring(d.person.id))
            if not own and key then broken("seq %d of %d (%s) was never pushed to %d", seq, conversation, key, d.person.id) end
        end
    end
end

local function on_message(d, m)
    local data = m.data or {}
    if m.type == "message_ack" then
        d.waiting[data.client_msg_id .. "@" .. data.conversation_id] = nil
        d.count = d.count - 1
        note_ack(data.conversation_id, d.person.id, data)
        note_seq(d, data.conversation_id, data.seq, true)
    elseif m.type == "new_message" then
        note_seq(d, data.conversation_id, data.seq, data.sender_id == d.person.id)
        if data.content.text.text ~= data.client_msg_id then broken("text of %s is %s", data.client_msg_id, data.content.text.text) end
    elseif m.type == "resync" then
        d.last[data.conversation_id] = nil
    elseif m.type == "error" then
        broken("error %s: %s", tostring(data.code), tostring(data.error))
    end
end

-- reads what is there; false when the socket has ended
local function drain(d)
    while true do
        local m, why = d.socket:next(0)
        if not m then return why == "timeout" end
        on_message(d, m)
    end
end

local function load_until(devices, stop)
    local socks = {}
    for i, d in ipairs(devices) do socks[i] = d.socket.sock end
    while P.now() < stop do
        for _, d in ipairs(devices) do
            while d.count < IN_FLIGHT do
                if not send_one(d) then return end
            end
        end
        local i = P.poll(socks, math.max(0, stop - P.now()))
        if i then
            for _, d in ipairs(devices) do
                if not drain(d) then return end
            end
        end
    end
end

-- everything of a conversation by paging history
local function history(person, conversation)
    local all, after, more = {}, 0, true
    local first = person:get(("/api/messages/history?conversation_id=%d&before_seq=2&limit=1"):format(conversation))
    for _, m in ipairs(first.json.data) do all[#all + 1], after = m, m.seq end
    while more do
        if after == 0 then break end
        local r = person:get(("/api/messages/history?conversation_id=%d&after_seq=%d&limit=200"):format(conversation, after))
        if r.status ~= 200 then broken("history answered %d %s", r.status, r.body) end
        for _, m in ipairs(r.json.data) do all[#all + 1], after = m, m.seq end
        more = r.json.has_more
    end
    return all
end

local function check_stored(person, conversation)
    local by_key, n = {}, 0
    for i, m in ipairs(history(person, conversation)) do
        n = i
        if m.seq ~= i then broken("history of %d: seq %d at place %d", conversation, m.seq, i) end
        local key = m.sender_id .. "/" .. m.client_msg_id
        if by_key[key] then broken("%s is stored twice: seqs %d and %d", key, by_key[key].seq, m.seq) end
        by_key[key] = m
    end
    for key, ack in pairs(promised[conversation].acked) do
        local m = by_key[key]
        if not m then broken("acknowledged %s (seq %d of %d) is lost", key, ack.seq, conversation) end
        if m.id ~= ack.message_id or m.seq ~= ack.seq then
            broken("%s was acked as id %d seq %d, stored as id %d seq %d", key, ack.message_id, ack.seq, m.id, m.seq)
        end
    end
    return n
end

-- a repeat of something that was acknowledged gets the same ack
local function check_repeat(d)
    local keys = {}
    for _, conversation in ipairs(d.conversations) do
        for key, ack in pairs(promised[conversation].acked) do
            if key:match("^(%d+)/") == tostring(d.person.id) then keys[#keys + 1] = {key, conversation, ack} end
        end
    end
    table.sort(keys, function(a, b) return a[1] .. a[2] < b[1] .. b[2] end)
    for _ = 1, math.min(5, #keys) do
        local key, conversation, ack = table.unpack(keys[math.random(#keys)])
        local cid = key:match("/(.*)")
        d.socket:send {type = "message", id = "again", data = {conversation_id = conversation, client_msg_id = cid, content = "other"}}
        local m
        repeat
            m = d.socket:next(5000)
            if m and m.type == "new_message" then on_message(d, m) end
        until not m or m.id == "again"
        if not m or m.type ~= "message_ack" then broken("repeat of %s got %s", key, m and json.encode(m) or "nothing") end
        if m.data.message_id ~= ack.message_id or m.data.seq ~= ack.seq then
            broken("repeat of %s was acked as id %d seq %d, first as id %d seq %d", key, m.data.message_id, m.data.seq,
                ack.message_id, ack.seq)
        end
    end
end

local n = node.start {["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
local people, conversations = {}, {}
for i = 1, SENDERS do
    people[i] = n:person()
    people[i].sent, people[i].unsure = 0, {}
end
for i = 1, GROUPS do
    local others = {}
    for k = 2, SENDERS do others[k - 1] = people[k] end
    conversations[i] = people[1]:group(others, "torture " .. i)
    promised[conversations[i]] = {acked = {}, by_seq = {}}
end

local total = 0
for kill = 1, kills do
    local devices = {}
    for i, person in ipairs(people) do devices[i] = device_open(n, person, conversations) end
    for _, d in ipairs(devices) do check_repeat(d) end
    load_until(devices, P.now() + math.random(50, 1200))
    n.process:kill(9)
    for _, d in ipairs(devices) do
        drain(d) -- what had left the server before the kill counts
        d.socket:close()
        for _, w in pairs(d.waiting) do table.insert(d.person.unsure, w) end
        check_gaps(d)
    end
    n.process:wait(5000)
    n.client = nil
    n:up()
    total = 0
    for _, conversation in ipairs(conversations) do total = total + check_stored(people[1], conversation) end
    local acked = 0
    for _, book in pairs(promised) do for _ in pairs(book.acked) do acked = acked + 1 end end
    print(("kill %d: %d messages stored, %d acknowledged, none lost"):format(kill, total, acked))
end
n:finish()
print(("ok: %d kills, %d messages"):format(kills, total))
