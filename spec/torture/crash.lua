-- crash: kills a real node with -9 under load at random moments, again and again, and checks after each start that what was
-- acknowledged is there: same id, same seq, same text, seqs 1..n without hole or double, the same ack for a repeated client_msg_id,
-- recalls with changes 1..n; that what was pushed is there too (nothing is pushed before it is stored); and while it runs, that each
-- socket sees its pushes in rising order without gap and its acks before higher pushes. Messages go by WebSocket and HTTP. Some kills
-- come while the node is still starting. Prints its seed; the seed gives the same moments.
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

local n -- the node

local function broken(format, ...)
    io.stdout:write("BROKEN: ", format:format(...), " (seed ", seed, ")\n")
    if n then n.process:kill(9) end
    os.exit(1)
end

-- what the server has promised: conversation -> {acked = {[sender/cid] = ack}, pushed = the same of pushes, by_seq = {[seq] = sender/cid},
-- recalled = {[message id] = change}, changes = n}
local promised = {}

-- a seq belongs to one message, whoever tells it
local function note_seq_owner(conversation, key, seq)
    local book = promised[conversation]
    if book.by_seq[seq] and book.by_seq[seq] ~= key then
        broken("seq %d of %d was given to %s and to %s", seq, conversation, book.by_seq[seq], key)
    end
    book.by_seq[seq] = key
end

local function note_ack(conversation, who, ack)
    local book, key = promised[conversation], who .. "/" .. ack.client_msg_id
    local before = book.acked[key]
    if before and (before.message_id ~= ack.message_id or before.seq ~= ack.seq) then
        broken("%s was acked as id %d seq %d, now as id %d seq %d", key, before.message_id, before.seq, ack.message_id, ack.seq)
    end
    note_seq_owner(conversation, key, ack.seq)
    book.acked[key] = ack
end

local function note_push(data)
    local book, key = promised[data.conversation_id], data.sender_id .. "/" .. data.client_msg_id
    local text = data.content.text and data.content.text.text
    if text ~= data.client_msg_id and data.status == "normal" then broken("text of %s is %s", key, tostring(text)) end
    note_seq_owner(data.conversation_id, key, data.seq)
    book.pushed[key] = {message_id = data.message_id, seq = data.seq}
end

-- one device: sends to its conversations in turn and reads everything
local function device_open(person, conversations)
    local c, status = person:socket("torture")
    if not c then broken("handshake answered %s", tostring(status)) end
    return {person = person, socket = c, conversations = conversations, waiting = {}, count = 0, last = {}}
end

local function send_one(d)
    local conversation = d.conversations[d.person.sent % #d.conversations + 1]
    local cid, repeated
    if #d.person.unsure > 0 and math.random(4) == 1 then
        local again = table.remove(d.person.unsure) -- outcome unknown since a kill: ask again
        conversation, cid, repeated = again[1], again[2], true
    else
        cid = "m" .. d.person.sent
    end
    d.person.sent = d.person.sent + 1
    d.waiting[cid .. "@" .. conversation] = {conversation, cid, repeated}
    d.count = d.count + 1
    return d.socket:send {type = "message", data = {conversation_id = conversation, client_msg_id = cid, content = cid}}
end

-- the seqs a device has seen must rise by one: pushes of others, acks of its own
local function note_seq(d, conversation, seq, own, repeated)
    local s = d.last[conversation]
    if not s then
        s = {own = {}}
        d.last[conversation] = s
    end
    if own then
        if not repeated and s.at and seq < s.at then broken("ack of seq %d of %d after the push of seq %d", seq, conversation, s.at) end
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
        local place = data.client_msg_id .. "@" .. data.conversation_id
        local asked = d.waiting[place]
        if not asked then broken("an ack of %s, which was not asked for", place) end
        d.waiting[place] = nil
        d.count = d.count - 1
        note_ack(data.conversation_id, d.person.id, data)
        note_seq(d, data.conversation_id, data.seq, true, asked[3])
    elseif m.type == "new_message" then
        note_push(data)
        note_seq(d, data.conversation_id, data.seq)
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

-- a message by HTTP, and now and then a recall of the one before
local function one_by_http(d)
    local conversation = d.conversations[math.random(#d.conversations)]
    local cid = "h" .. d.person.sent
    d.person.sent = d.person.sent + 1
    local up, r = pcall(d.person.post, d.person, "/api/messages", {conversation_id = conversation, client_msg_id = cid, text = cid})
    if not up then
        table.insert(d.person.unsure, {conversation, cid})
        return
    end
    if r.status ~= 200 then broken("a send by HTTP got %d %s", r.status, r.body) end
    local m = r.json.data
    note_ack(conversation, d.person.id, {client_msg_id = cid, message_id = m.id, seq = m.seq})
    local before = d.person.before
    d.person.before = {conversation, m.id}
    if not before or math.random(4) > 1 then return end
    conversation = before[1]
    local book = promised[conversation]
    up, r = pcall(d.person.post, d.person, "/api/messages/" .. before[2] .. "/revoke")
    if not up then
        book.maybe = before[2]
        return
    end
    if r.status ~= 200 then broken("a recall got %d %s", r.status, r.body) end
    if r.json.data.change ~= book.changes + 1 then broken("change %d of %d after %d", r.json.data.change, conversation, book.changes) end
    book.changes = book.changes + 1
    book.recalled[before[2]] = book.changes
end

-- until the sockets end: the kill comes from outside, in the middle of anything
local function load_until_killed(devices)
    local socks = {}
    for i, d in ipairs(devices) do socks[i] = d.socket.sock end
    while true do
        for _, d in ipairs(devices) do
            while d.count < IN_FLIGHT do
                if not send_one(d) then return end
            end
        end
        if math.random(10) == 1 then one_by_http(devices[math.random(#devices)]) end
        P.poll(socks, 100)
        for _, d in ipairs(devices) do
            if not drain(d) then return end
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
    local by_key, count = {}, 0
    for i, m in ipairs(history(person, conversation)) do
        count = i
        if m.seq ~= i then broken("history of %d: seq %d at place %d", conversation, m.seq, i) end
        local key = m.sender_id .. "/" .. m.client_msg_id
        if by_key[key] then broken("%s is stored twice: seqs %d and %d", key, by_key[key].seq, m.seq) end
        by_key[key] = m
    end
    local book = promised[conversation]
    for _, m in pairs(by_key) do -- a recall whose answer was lost with the node
        if m.id == book.maybe and m.status == "recalled" then
            book.changes = book.changes + 1
            book.recalled[m.id] = book.changes
        end
    end
    book.maybe = nil
    for _, what in ipairs {"acked", "pushed"} do
        for key, told in pairs(book[what]) do
            local m = by_key[key]
            if not m then broken("%s %s (seq %d of %d) is lost", what, key, told.seq, conversation) end
            if m.id ~= told.message_id or m.seq ~= told.seq then
                broken("%s was %s as id %d seq %d, stored as id %d seq %d", key, what, told.message_id, told.seq, m.id, m.seq)
            end
            local want = book.recalled[m.id] and "recalled" or "normal"
            if m.status ~= want then broken("%s is %s, not %s", key, m.status, want) end
            if want == "normal" and m.body.text.text ~= m.client_msg_id then broken("text of %s is stored as %s", key, m.body.text.text) end
        end
    end
    local brief = person:get("/api/conversations/" .. conversation).json.data
    if brief.latest_seq ~= count or brief.latest_change ~= book.changes or brief.unread ~= count - brief.read_seq then
        broken("%d says latest_seq %d, change %d, unread %d, read %d; %d are stored, %d recalled", conversation, brief.latest_seq,
            brief.latest_change, brief.unread, brief.read_seq, count, book.changes)
    end
    return count
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

n = node.start {["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
local people, conversations = {}, {}
for i = 1, SENDERS do
    people[i] = n:person()
    people[i].sent, people[i].unsure = 0, {}
end
for i = 1, GROUPS do
    local others = {}
    for k = 2, SENDERS do others[k - 1] = people[k] end
    conversations[i] = people[1]:group(others, "torture " .. i)
    promised[conversations[i]] = {acked = {}, pushed = {}, by_seq = {}, recalled = {}, changes = 0}
end

local total = 0
for kill = 1, kills do
    local devices = {}
    for i, person in ipairs(people) do devices[i] = device_open(person, conversations) end
    for _, d in ipairs(devices) do check_repeat(d) end
    local killer = P.spawn {"sh", "-c", ("sleep %.4f; kill -9 %d"):format(math.random(500, 12000) / 10000, n.process:pid())}
    load_until_killed(devices)
    killer:wait(5000)
    for _, d in ipairs(devices) do
        drain(d) -- what had left the server before the kill counts
        d.socket:close()
        for _, w in pairs(d.waiting) do table.insert(d.person.unsure, w) end
        check_gaps(d)
    end
    n.process:wait(5000)
    n.client = nil
    if math.random(3) == 1 then -- once more, while it starts
        local early = P.spawn(node.arguments(n.dir, n.conf), n.log_path)
        P.pause(math.random(0, 60))
        early:kill(9)
        early:wait(5000)
    end
    n:up()
    total = 0
    for _, conversation in ipairs(conversations) do total = total + check_stored(people[1], conversation) end
    local acked = 0
    for _, book in pairs(promised) do for _ in pairs(book.acked) do acked = acked + 1 end end
    print(("kill %d: %d messages stored, %d acknowledged, none lost"):format(kill, total, acked))
end
n:finish()
print(("ok: %d kills, %d messages"):format(kills, total))
