-- model: what the server has promised so far, per conversation, and the checks of each promise (PROTOCOL.md, sections 9 and 11).
-- The id of a message (client_msg_id) names its device: "3.1-17" is the 17th of device 1 of person 3.
local broken = require("spec.sim.client").broken

local model = {}

function model.conversation(id, kind, members)
    local c = {id = id, kind = kind, members = {}, epoch = {}, unsure = {}, acked = {}, pushed = {}, by_seq = {}, recalled = {},
        maybe_recalled = {}, changes = {}, change_of = {}, member_log = {}, read = {}, sent_at = {}, latest = 0}
    for _, person in ipairs(members) do
        c.members[person.id], c.epoch[person.id] = true, 0
        c.read[person.id] = {low = 0, high = 0}
    end
    return c
end

--- Membership was changed, or may have been (`sure` false).
function model.member(c, person, is, sure)
    c.members[person.id] = is
    c.epoch[person.id] = (c.epoch[person.id] or 0) + 1
    c.unsure[person.id] = not sure or nil
    c.read[person.id] = {low = 0, high = math.huge}
    if not is and sure then c.left = c.left or {}; c.left[person.id] = sim.now() end
end

-- a seq belongs to one message, whoever tells it
local function owner(c, key, seq)
    if c.by_seq[seq] and c.by_seq[seq] ~= key then broken("seq %d of %d was given to %s and to %s", seq, c.id, c.by_seq[seq], key) end
    c.by_seq[seq] = key
    c.latest = math.max(c.latest, seq)
end

local function same(c, key, before, id, seq, what)
    if before and (before.id ~= id or before.seq ~= seq) then
        broken("%s of %d was told as id %d seq %d, now %s as id %d seq %d", key, c.id, before.id, before.seq, what, id, seq)
    end
end

function model.ack(c, key, id, seq)
    same(c, key, c.acked[key] or c.pushed[key], id, seq, "acked")
    owner(c, key, seq)
    c.acked[key] = {id = id, seq = seq, at = sim.now()}
end

--- A message that came by push, replay, sync or history.
function model.seen(c, m, id)
    local key, text = m.client_msg_id, (m.content or m.body).text
    same(c, key, c.acked[key] or c.pushed[key], id, m.seq, "seen")
    owner(c, key, m.seq)
    c.pushed[key] = {id = id, seq = m.seq}
    text = text and text.text
    if m.status == "normal" and text ~= key then broken("the text of %s in %d is %s", key, c.id, tostring(text)) end
    if m.status == "recalled" and not (c.recalled[id] or c.maybe_recalled[id]) then
        broken("%s of %d is recalled, nobody asked", key, c.id)
    end
end

-- ---- one socket and conversation: order, gaps, acks before higher pushes ----

local function stream(d, c)
    local s = d.streams[c.id]
    if not s then
        s = {own = {}, revoked = {}, reads = {}, attempts = {}, begun = c.epoch[d.person.id], change = 0, members = 0}
        d.streams[c.id] = s
    end
    return s
end

local function gap(d, c, s, seq)
    if s.own[seq] or seq <= (d.acked_to[c.id] or 0) then return end
    local key = c.by_seq[seq]
    if not key then
        d.maybe[#d.maybe + 1] = {c, seq}
    elseif key:match("^(.-)%-") ~= d.name then
        broken("seq %d of %d (%s) was never pushed to a socket of %s, which then got seq %d", seq, c.id, key, d.name, s.next)
    end
end

function model.push(d, c, seq)
    local s, epoch = stream(d, c), c.epoch[d.person.id]
    if s.revoked[seq] then broken("%s was told that seq %d of %d is revoked before it was pushed", d.name, seq, c.id) end
    if s.last and seq <= s.last then broken("push of seq %d of %d to %s after seq %d", seq, c.id, d.name, s.last) end
    if s.last and s.epoch == epoch and not c.unsure[d.person.id] then
        s.next = seq
        for missing = s.last + 1, seq - 1 do gap(d, c, s, missing) end
    end
    s.last, s.epoch = seq, epoch
    local key = c.by_seq[seq]
    local left, sent = c.left and c.left[d.person.id], key and c.sent_at[key]
    if not c.members[d.person.id] and not c.unsure[d.person.id] and left and sent and sent > left then
        broken("%s, who left %d at %.0f, was pushed %s, sent at %.0f", d.name, c.id, left, key, sent)
    end
end

--- The ack of an own send on its socket; repeated: the id may have been stored long before.
function model.own(d, c, seq, repeated)
    local s = stream(d, c)
    if s.last and not repeated and seq < s.last then
        broken("%s got the ack of seq %d of %d after the push of seq %d", d.name, seq, c.id, s.last)
    end
    s.own[seq] = true
end

function model.resync(d, c)
    local s = stream(d, c)
    s.last, s.epoch, s.next, s.attempts = nil, nil, nil, nil
end

--- Rounds of resends come one after the other; a push or an ack begins anew. After a resync, or for who was not a member all the
--- time, nothing is known of them.
function model.resent(d, c, seq, attempt)
    local s = stream(d, c)
    local attempts = s.attempts
    if not attempts or s.begun ~= c.epoch[d.person.id] or c.unsure[d.person.id] then return end
    if attempt ~= 1 and attempt ~= (attempts[seq] or 0) + 1 then
        broken("%s got seq %d of %d again with attempt %d after %d", d.name, seq, c.id, attempt, attempts[seq] or 0)
    end
    attempts[seq] = attempt
end

-- ---- one socket and conversation: recalls ----

--- A message as it came on this socket; one that is recalled is followed at once by its message_revoked.
function model.content(d, c, m)
    if m.status == "recalled" then
        d.follows = {c, m.seq}
    elseif stream(d, c).revoked[m.seq] then
        broken("%s got the text of seq %d of %d after its message_revoked", d.name, m.seq, c.id)
    end
end

function model.followed(d, kind, data)
    local c, seq = table.unpack(d.follows)
    d.follows = nil
    if kind ~= "message_revoked" or data.conversation_id ~= c.id or data.seq ~= seq then
        broken("%s got %s behind the placeholder of seq %d of %d", d.name, kind, seq, c.id)
    end
end

--- A change belongs to one message, whoever tells it.
function model.change(c, change, id)
    if (c.changes[change] or id) ~= id or (c.change_of[id] or change) ~= change then
        broken("change %d of %d was given to message %s, now to %d, which had %s", change, c.id, tostring(c.changes[change]), id,
            tostring(c.change_of[id]))
    end
    c.changes[change], c.change_of[id] = id, change
end

function model.revoked(d, c, data, followed)
    local s = stream(d, c)
    model.change(c, data.change, data.message_id)
    if followed then return end
    if data.change <= s.change then
        broken("%s got change %d of %d after change %d", d.name, data.change, c.id, s.change)
    end
    s.change, s.revoked[data.seq] = data.change, true
    local started = s.last and s.epoch == c.epoch[d.person.id] and not c.unsure[d.person.id]
    if not started or data.seq <= s.last or s.own[data.seq] or data.seq <= (d.acked_to[c.id] or 0) then return end
    local key = c.by_seq[data.seq]
    if not key or key:match("^(.-)%-") ~= d.name then
        broken("%s was told that seq %d of %d is revoked when it had been pushed up to %d", d.name, data.seq, c.id, s.last)
    end
end

--- A sync_resp: what had changed up to `latest` is in its messages.
function model.synced(c, m, latest)
    local change = c.change_of[m.message_id]
    if m.status == "normal" and change and change <= latest then
        broken("a sync of %d up to change %d has the text of seq %d, recalled by change %d", c.id, latest, m.seq, change)
    end
end

-- ---- one socket and conversation: pushes without seq ----

--- A position that was told does not go back. who: the reader; one's own position on other devices under 0.
function model.position(d, c, who, seq)
    local reads = stream(d, c).reads
    if seq < (reads[who] or 0) then
        broken("%s was told that %d has read %d up to %d, then %d", d.name, who, c.id, reads[who], seq)
    end
    reads[who] = seq
end

--- A change of members that somebody has asked for.
function model.member_asked(c, action, user) table.insert(c.member_log, {action = action, user = user}) end

--- They are told in the order in which they were done; one or the other may not be told at all.
function model.member_told(d, c, action, user)
    local s = stream(d, c)
    for at = s.members + 1, #c.member_log do
        local asked = c.member_log[at]
        if asked.user == user and asked.action == action then
            s.members = at
            return
        end
    end
    broken("%s was told that %d is %s in %d, after the change %d of %d", d.name, user, action, c.id, s.members, #c.member_log)
end

-- ---- what a device has ----

--- The device asks not to be sent what is up to seq any more.
function model.acks(d, c, seq) d.acked_to[c.id] = math.max(seq, d.acked_to[c.id] or 0) end

function model.has(d, c, seq)
    d.have[c.id] = d.have[c.id] or {}
    d.have[c.id][seq] = true
end

function model.contiguous(d, c)
    local have, n = d.have[c.id] or {}, 0
    while have[n + 1] do n = n + 1 end
    return n
end

-- ---- at rest ----

--- history: all messages in order; brief: as the person sees the conversation.
function model.check_stored(c, history)
    local by_key = {}
    for i, m in ipairs(history) do
        if m.seq ~= i then broken("history of %d: seq %d at place %d", c.id, m.seq, i) end
        local key = m.client_msg_id
        if by_key[key] then broken("%s is stored twice in %d: seqs %d and %d", key, c.id, by_key[key].seq, m.seq) end
        by_key[key] = m
        model.seen(c, m, m.id)
        if c.recalled[m.id] and m.status ~= "recalled" then broken("%s of %d was recalled and is %s", key, c.id, m.status) end
        if i > 1 and m.created_at_ms < history[i - 1].created_at_ms then broken("created_at_ms falls at seq %d of %d", i, c.id) end
    end
    for _, what in ipairs {"acked", "pushed"} do
        for key, told in pairs(c[what]) do
            if not by_key[key] then broken("%s %s (seq %d of %d) is lost", what, key, told.seq, c.id) end
        end
    end
    return #history
end

function model.check_maybe(d)
    for _, m in ipairs(d.maybe) do
        local key = m[1].by_seq[m[2]]
        if not key then broken("seq %d of %d is a hole", m[2], m[1].id) end
        if key:match("^(.-)%-") ~= d.name then broken("seq %d of %d (%s) was never pushed to %s", m[2], m[1].id, key, d.name) end
    end
end

function model.check_read(c, person, brief, history)
    local own, r = 0, c.read[person.id]
    for _, m in ipairs(history) do
        if m.sender_id == person.id then own = m.seq end
    end
    if brief.latest_seq ~= #history then broken("%d says latest_seq %d of %d stored", c.id, brief.latest_seq, #history) end
    if brief.unread ~= #history - brief.read_seq then
        broken("%d says unread %d to %d, with %d stored and %d read", c.id, brief.unread, person.id, #history, brief.read_seq)
    end
    if brief.read_seq < r.low or brief.read_seq > math.max(r.high, own) then
        broken("%d says %d has read up to %d; it is from %d to %s", c.id, person.id, brief.read_seq, r.low, tostring(math.max(r.high, own)))
    end
end

return model
