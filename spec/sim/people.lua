-- people: who they are, what they have, what they do: each action is a task (spec/sim/client.lua) that asks the server for something,
-- judges the answer by what was promised (spec/sim/model.lua) and notes what it promises.
local client = require "spec.sim.client"
local model = require "spec.sim.model"
local json = require "spec.support.json"
local broken = client.broken

local people, devices = {}, {}
local list, conversations = {}, {} -- in the order of their making; by id
local state = {quiet = false} -- quiet: nobody recalls what is pushed any more
local figures = {crashes = 0, acks = 0, pushes = 0, repeats = 0, refused = 0, sockets = 0, reloads = 0, revokes = 0,
    resends = 0, resyncs = 0}

local function below(n) return sim.below(n) end
local function one_in(n) return sim.below(n) == 0 end
local function pick(all) return all[1 + below(#all)] end

-- ---- people ----

-- answers that leave the outcome open, or say that nothing was done
local function open_outcome(r) return not r or r.status == 500 or r.status == 504 end
local function busy(r) return r and (r.status == 503 or r.status == 429) end
local function passing(status) return status == 503 or status == 429 or status == 500 or status == 504 end
local PASSING = {busy = true, timeout = true, internal = true}

--- Asks until there is an answer that is neither open nor busy; for what may be done twice.
local function insist(method, path, opt, tries)
    for _ = 1, tries or 60 do
        local r = client.http(method, path, opt)
        if not open_outcome(r) and not busy(r) then return r end
        client.sleep(200 + below(2000))
    end
    broken("%s %s has no answer after %d tries", method, path, tries or 60)
end

local function register(person)
    local body = {username = person.name, password = "correct horse 9"}
    local r = insist("POST", "/api/auth/register", {body = body})
    if r.status == 409 then r = insist("POST", "/api/auth/login", {body = body}) end -- the first try's answer was lost
    if r.status ~= 200 then broken("register of %s: %d %s", person.name, r.status, r.body) end
    local data = r.json.data or r.json
    person.id, person.token = data.profile.user.id, data.access_token
end

local function login(person)
    local r = client.http("POST", "/api/auth/login", {body = {username = person.name, password = "correct horse 9"}})
    if r and r.status == 200 then person.token = r.json.access_token
    elseif r and not open_outcome(r) and not busy(r) then broken("login of %s: %d %s", person.name, r.status, r.body) end
end

local function befriend(a, b)
    insist("POST", "/api/contacts/apply", {token = a.token, body = {target_user_id = b.id}})
    insist("POST", "/api/contacts/handle", {token = b.token, body = {target_user_id = a.id, accept = true}})
    a.friends[#a.friends + 1], b.friends[#b.friends + 1] = b, a
end

local function note_conversation(c)
    for _, other in ipairs(list) do
        if other.id == c.id then return end
    end
    list[#list + 1] = c
    conversations[c.id] = c
end

local function make_group(owner)
    local members, ids = {owner}, json.list {}
    for _, p in ipairs(people) do
        if p ~= owner and p.id and not one_in(3) then
            members[#members + 1], ids[#ids + 1] = p, p.id
        end
    end
    local r = client.http("POST", "/api/conversations", {token = owner.token, body = {type = 2, title = "g", member_ids = ids}})
    if r and r.status == 200 then
        local c = model.conversation(r.json.data.id, "group", members)
        c.owner = owner
        note_conversation(c)
    elseif not open_outcome(r) and not busy(r) then
        broken("group: %d %s", r.status, r.body)
    end
end

--- Recalls this message, at once or a moment later, or one of the person's own: often the newest.
local function recall(person, m)
    if m and one_in(2) then client.sleep(below(1500)) end
    if #person.mine == 0 and not m then return end
    m = m or one_in(2) and person.mine[#person.mine] or pick(person.mine)
    local c = m.c
    c.maybe_recalled[m.id] = true
    local r = client.http("POST", ("/api/messages/%d/revoke"):format(m.id),
        {token = person.token, device = m.device and one_in(2) and m.device.name or nil})
    if r and r.status == 200 then
        if r.json.data.seq ~= m.seq then broken("recall of %s says seq %d", m.key, r.json.data.seq) end
        local change = r.json.data.change
        model.change(c, change, m.id)
        c.recalled[m.id] = change
    elseif r and r.json.code == "not_found" then
        broken("recall of %s, which is stored: not found", m.key)
    end
end

-- ---- what comes on a socket ----

local handlers = {}

local function key_of(data) return data.client_msg_id end

local function conversation_of(id)
    local c = conversations[id]
    if not c then -- its making has not been answered yet, or never will be
        c = model.conversation(id, "unknown", {})
        note_conversation(c)
        for _, p in ipairs(people) do
            if p.id then c.unsure[p.id], c.epoch[p.id], c.read[p.id] = true, 0, {low = 0, high = math.huge} end
        end
    end
    return c
end

function handlers.new_message(d, data)
    local c = conversation_of(data.conversation_id)
    figures.pushes = figures.pushes + 1
    model.seen(c, data, data.message_id)
    model.push(d, c, data.seq)
    model.content(d, c, data)
    model.has(d, c, data.seq)
    if c.owner == d.person and data.status == "normal" and one_in(20) and not state.quiet then
        client.task(recall, d.person, {c = c, id = data.message_id, seq = data.seq, key = key_of(data)})
    end
end

function handlers.message_resend(d, data)
    local c = conversation_of(data.conversation_id)
    figures.resends = figures.resends + 1
    model.seen(c, data, data.message_id)
    model.content(d, c, data)
    model.resent(d, c, data.seq, data.attempt)
    model.has(d, c, data.seq)
end

function handlers.resync(d, data)
    figures.resyncs = figures.resyncs + 1
    model.resync(d, conversation_of(data.conversation_id))
end

function handlers.message_revoked(d, data, followed)
    local c = conversation_of(data.conversation_id)
    if not c.recalled[data.message_id] and not c.maybe_recalled[data.message_id] then
        broken("message_revoked of %d in %d, nobody asked", data.message_id, c.id)
    end
    figures.revokes = figures.revokes + 1
    model.revoked(d, c, data, followed)
end

function handlers.message_read(d, data)
    if data.user_id == d.person.id then broken("%s was told of its own reading", d.name) end
    model.position(d, conversation_of(data.conversation_id), data.user_id, data.read_seq)
end

function handlers.read_sync(d, data)
    if data.unread < 0 then broken("%s was told of unread %d", d.name, data.unread) end
    model.position(d, conversation_of(data.conversation_id), 0, data.read_seq)
end

function handlers.member_update(d, data)
    for _, user in ipairs(data.user_ids) do model.member_told(d, conversation_of(data.conversation_id), data.action, user) end
end

function handlers.message_ack(d, data)
    local c, key = conversation_of(data.conversation_id), key_of(data)
    local send = d.sends[key]
    if not send then broken("%s got an ack of %s, which it did not send", d.name, key) end
    figures.acks = figures.acks + 1
    model.ack(c, key, data.message_id, data.seq)
    model.own(d, c, data.seq, send.repeated)
    model.has(d, c, data.seq)
    local r = c.read[d.person.id]
    if r and send.epoch == c.epoch[d.person.id] then r.low = math.max(r.low, data.seq) end
    local m = {c = c, id = data.message_id, seq = data.seq, key = key, device = d, at = sim.now()}
    d.person.mine[#d.person.mine + 1] = m
    if one_in(12) and not state.quiet then client.task(recall, d.person, m) end
end

local function on_message(d, m)
    local data = m.data or {}
    if m.type == "notify" and data.status == "connected" then
        d.welcome.done(true)
        return
    end
    if d.welcome and not d.welcome.over then broken("%s got %s before its welcome", d.name, m.type) end
    local h, followed = handlers[m.type], d.follows ~= nil
    if followed then model.followed(d, m.type, data) end
    if h then h(d, data, followed) end
    local e = m.id and d.asked[m.id]
    if e and not data.partial then
        d.asked[m.id] = nil
        e.done(m)
    elseif e then
        e.parts = e.parts or {}
        table.insert(e.parts, m)
    elseif m.type == "error" then
        broken("%s got an error nobody asked for: %s", d.name, json.encode(data))
    end
end

local function on_end(d)
    d.socket = nil
    local asked = d.asked_order
    d.asked_order = {}
    for _, e in ipairs(asked) do e.done(nil) end
end

--- Sends a frame with an id and waits for its answer; nil: the socket ended first.
local function ask(d, kind, data)
    d.count = d.count + 1
    local id = ("%s:%d"):format(d.name, d.count)
    local e = client.expect(kind .. " of " .. d.name)
    d.asked[id] = e
    d.asked_order[#d.asked_order + 1] = e
    d.socket.send {type = kind, id = id, data = data}
    local m = e.wait()
    return m, e.parts
end

local function connect(d)
    d.busy = true
    d.streams, d.sends, d.asked, d.asked_order, d.follows = {}, {}, {}, {}, nil
    d.welcome = client.expect("welcome of " .. d.name)
    local c, status = client.socket(("/ws?token=%s&device_id=%s&replay=%d"):format(d.person.token, d.name, below(2)),
        function(_, m) on_message(d, m) end, function(c)
            if d.socket == c then on_end(d) end
            d.welcome.done(nil)
        end)
    if not c then
        d.welcome.done(nil)
        if status and not passing(status) then broken("handshake of %s: %d", d.name, status) end
    elseif c.open then
        d.socket = c
        figures.sockets = figures.sockets + 1
        d.welcome.wait()
    end
    d.busy = false
end

-- ---- what people do ----

local function own_conversation(person)
    local mine = {}
    for _, c in ipairs(list) do
        if c.members[person.id] then mine[#mine + 1] = c end
    end
    return #mine > 0 and pick(mine) or nil
end

local function connected()
    local all = {}
    for _, d in ipairs(devices) do
        if d.socket and d.socket.open and d.welcome.over then all[#all + 1] = d end
    end
    return #all > 0 and pick(all) or nil
end

-- was the person a member all the time since `epoch` was read?
local function member_all_along(c, person, epoch)
    return c.members[person.id] and not c.unsure[person.id] and c.epoch[person.id] == epoch and not c.changing
end

-- a message to send: mostly a new one, sometimes one whose outcome is open or known
local function message_of(d)
    local person = d.person
    if #d.unsure > 0 and one_in(3) then
        local again = table.remove(d.unsure)
        return again.c, again.key, true
    end
    if one_in(8) and #person.mine > 0 then
        local m = pick(person.mine)
        if m.device == d then
            figures.repeats = figures.repeats + 1
            return m.c, m.key, true
        end
    end
    local c = own_conversation(person)
    if not c then return end
    d.sent = d.sent + 1
    return c, ("%s-%d"):format(d.name, d.sent), false
end

local function after_refusal(d, c, key, code, epoch, repeated)
    figures.refused = figures.refused + 1
    if code == "timeout" or code == "internal" then
        d.unsure[#d.unsure + 1] = {c = c, key = key}
    elseif code == "not_member" then
        if member_all_along(c, d.person, epoch) then broken("%s is a member of %d and was told not", d.name, c.id) end
    elseif code ~= "busy" then
        broken("%s of %s in %d: %s", key, d.name, c.id, tostring(code))
    end
    if c.acked[key] and repeated and not PASSING[code] then
        broken("the repeat of %s, which is stored, got %s", key, code)
    end
end

local function send_one(d)
    local c, key, repeated = message_of(d)
    if not c or (d.sends[key] and d.sends[key].open) then return end
    local epoch = c.epoch[d.person.id]
    d.sends[key] = {repeated = repeated, epoch = epoch, open = true}
    c.sent_at[key] = c.sent_at[key] or sim.now()
    local sends = d.sends
    local m = ask(d, "message", {conversation_id = c.id, client_msg_id = key, content = key})
    sends[key].open = false
    if not m then
        d.unsure[#d.unsure + 1] = {c = c, key = key}
    elseif m.type == "error" then
        after_refusal(d, c, key, m.data.code, epoch, repeated)
    end
end

local function send_by_http(d)
    local c, key, repeated = message_of(d)
    if not c or (d.sends[key] and d.sends[key].open) then return end
    local epoch = c.epoch[d.person.id]
    c.sent_at[key] = c.sent_at[key] or sim.now()
    local sends = d.sends
    sends[key] = {repeated = true, epoch = epoch, open = true}
    local r = client.http("POST", "/api/messages", {token = d.person.token, device = d.name,
        body = {conversation_id = c.id, client_msg_id = key, text = key}})
    sends[key].open = false
    if not r then
        d.unsure[#d.unsure + 1] = {c = c, key = key}
    elseif r.status == 200 then
        model.ack(c, key, r.json.data.id, r.json.data.seq)
        if sends == d.sends then model.own(d, c, r.json.data.seq, true) end
        model.has(d, c, r.json.data.seq)
    else
        after_refusal(d, c, key, r.json.code, epoch, repeated)
    end
end

local function ack(d)
    local c = own_conversation(d.person)
    if not c then return end
    local seq = model.contiguous(d, c)
    if seq == 0 then return end
    model.acks(d, c, seq)
    local m = ask(d, "ack", {conversation_id = c.id, seq = seq})
    if m and m.type == "error" and not PASSING[m.data.code] then broken("ack: %s", json.encode(m)) end
end

local function read(d)
    local c = own_conversation(d.person)
    if not c or c.latest == 0 then return end
    local seq, r, epoch = 1 + below(c.latest), c.read[d.person.id], c.epoch[d.person.id]
    r.high = math.max(r.high, seq)
    local m = ask(d, "read", {conversation_id = c.id, read_seq = seq})
    if not m or m.type ~= "notify" then return end
    if m.data.unread < 0 or m.data.read_seq < seq then broken("read %d of %d: %s", seq, c.id, json.encode(m.data)) end
    if epoch == c.epoch[d.person.id] and r == c.read[d.person.id] then r.low = math.max(r.low, m.data.read_seq) end
end

-- until nothing is left; true when it is done
local function sync(d, whole)
    for _ = 1, 200 do
        local points = {}
        for _, c in ipairs(list) do
            local n = model.contiguous(d, c)
            if c.members[d.person.id] and (whole or one_in(2)) then
                points[tostring(c.id)] = n
                model.acks(d, c, n)
            end
        end
        if not next(points) then return true end
        local m, parts = ask(d, "sync", {sync_points = points, limit = pick {1, 10, 50, 200}})
        if not m then return false end
        if m.type ~= "sync_resp" then
            client.sleep(500)
            if not d.socket then return false end
        else
            parts = parts or {}
            parts[#parts + 1] = m
            local more = false
            for _, part in ipairs(parts) do
                for _, messages in pairs(part.data.messages) do
                    for _, x in ipairs(messages) do
                        local c = conversation_of(x.conversation_id)
                        model.seen(c, x, x.message_id)
                        model.synced(c, x, part.data.latest_changes[tostring(c.id)])
                        model.has(d, c, x.seq)
                    end
                end
                for _, more_here in pairs(part.data.has_more) do more = more or more_here end
            end
            if not more then return true end
        end
    end
    broken("%s does not come to the end of its sync", d.name)
end

-- One change of membership at a time in a conversation. An open outcome is looked up when the conversation must have read it
-- (CONVERSATION_DOUBT_MS), and behind a write that was stored: what a failed sync has left in the log is not read any more, but comes back
-- with the next start unless something was written over it.
local function look_up_members(c)
    client.sleep(11000)
    local w = insist("PUT", "/api/conversations/" .. c.id, {token = c.owner.token, body = {title = "t" .. below(1000)}}, 1000)
    if w.status ~= 200 then broken("title of %d: %d %s", c.id, w.status, w.body) end
    local r = insist("GET", ("/api/conversations/%d/members"):format(c.id), {token = c.owner.token})
    if r.status ~= 200 then broken("members of %d: %d %s", c.id, r.status, r.body) end
    local there = {}
    for _, m in ipairs(r.json.data) do there[m.user.id] = true end
    for _, p in ipairs(people) do
        if c.unsure[p.id] then model.member(c, p, there[p.id] or false, true) end
    end
end

local function change_member(c)
    local person = pick(people)
    if c.kind ~= "group" or c.changing or not person.id or person == c.owner then return end
    c.changing = true
    local is, r = c.members[person.id]
    model.member(c, person, is or false, false)
    local action = not is and "added" or one_in(2) and "removed" or "left"
    model.member_asked(c, action, person.id)
    if action == "added" then
        r = client.http("POST", ("/api/conversations/%d/members"):format(c.id), {token = c.owner.token, body = {user_ids = {person.id}}})
    elseif action == "removed" then
        r = client.http("DELETE", ("/api/conversations/%d/members/%d"):format(c.id, person.id), {token = c.owner.token})
    else
        r = client.http("POST", ("/api/conversations/%d/leave"):format(c.id), {token = person.token})
    end
    if r and r.status == 200 then
        model.member(c, person, not is, true)
    elseif open_outcome(r) or busy(r) then
        look_up_members(c)
    else
        broken("a change of members of %d: %d %s", c.id, r.status, r.body)
    end
    c.changing = false
end

local function change_group(c)
    if c.kind ~= "group" then return end
    local r = client.http("PUT", "/api/conversations/" .. c.id, {token = c.owner.token, body = {title = "t" .. below(1000)}})
    if r and r.status ~= 200 and not open_outcome(r) and not busy(r) then broken("title of %d: %d %s", c.id, r.status, r.body) end
end

local function look(person)
    local c = own_conversation(person)
    if not c then return end
    local epoch = c.epoch[person.id]
    local r = client.http("GET", ("/api/messages/history?conversation_id=%d&limit=%d"):format(c.id, 1 + below(100)), {token = person.token})
    if not r or r.status ~= 200 then
        if r and r.json.code == "not_member" and member_all_along(c, person, epoch) then
            broken("%s is a member of %d and was told not", person.name, c.id)
        end
        return
    end
    local before
    for _, m in ipairs(r.json.data) do
        if before and m.seq ~= before + 1 then broken("history of %d: seq %d after %d", c.id, m.seq, before) end
        before = m.seq
        model.seen(c, m, m.id)
    end
end

--- The client does not read for a while.
local function stall(d) d.socket.stall(below(8000)) end

local function leave(d)
    d.socket.close(pick {"cut", "end", "close"})
end

return {
    people = people, devices = devices, list = list, figures = figures, below = below, one_in = one_in, pick = pick, insist = insist,
    register = register, login = login, befriend = befriend, make_group = make_group, note_conversation = note_conversation,
    state = state, connect = connect, connected = connected, leave = leave, stall = stall, ask = ask, send_one = send_one,
    send_by_http = send_by_http, ack = ack, read = read, sync = sync, recall = recall, change_member = change_member,
    change_group = change_group, look = look,
}
