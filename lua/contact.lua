-- contact: contacts, applications and the blocklist (PROTOCOL.md rows 12 to 20, section 13).
-- Rules an operator may want to change:
local APPLY_MESSAGE_MAX <const> = 255 -- characters shown to the target
local REMARK_MAX <const> = 64
local CONTACT_PAGE <const> = {default = 500, max = 500} -- the web client never pages
local REQUEST_PAGE <const> = {default = 50, max = 200}
local BLOCK_PAGE <const> = {default = 100, max = 500}

-- Who may apply: anybody to any active user, unless they are contacts or one of them has blocked the other.
local function refuse_apply(facts)
    if not facts or facts.status ~= "active" then fail("not_found", "target user not found") end
    if facts.contact ~= 0 then fail("already_contact") end
    if facts.blocked ~= 0 then fail("blocked") end
end

local check = require "lib.check"
local page = require "lib.page"
local path = require "lib.path"
local shape = require "lib.shape"

local LAST_ID <const> = (1 << 53) - 1
local TRIES <const> = 4 -- when somebody else changes the same pair meanwhile

-- ---- pushes ----

-- Tells `to` what has become of their contact `user_id`; without the device that did it.
local function tell(req, to, user_id, action, remark)
    push.users({to}, "contact_update", {user_id = user_id, action = action, remark = remark or ""}, path.acting(req))
end

local function tell_both(req, peer, action)
    tell(req, req.user, peer, action)
    tell(req, peer, req.user, action)
end

-- ---- lists ----

local function list(_, req)
    local p = page.open(req, {list = "contacts", default = CONTACT_PAGE.default, max = CONTACT_PAGE.max, places = 1})
    local found = store.batch {
        {"contact_list", {user = req.user, after = p.after and p.after[1] or 0, limit = p.limit}},
        {"contact_count", {user = req.user}},
    }
    return page.answer(p, found[1], shape.contact, function(row) return row.id end, found[2][1].total)
end

local function choice(v, choices)
    if v == nil or v == "" then return choices[1] end
    return check.one_of(v, choices)
end

local function requests(_, req)
    local query = req.query or {}
    local direction = choice(query.direction, {"incoming", "outgoing"})
    local status = choice(query.status, {"pending", "all"})
    local p = page.open(req, {
        list = "requests:" .. direction .. ":" .. status, default = REQUEST_PAGE.default, max = REQUEST_PAGE.max, places = 1,
    })
    local before = p.after and p.after[1] or LAST_ID
    local rows = store.run("contact_requests_" .. direction, {user = req.user, status = status, before = before, limit = p.limit})
    return page.answer(p, rows, shape.contact_request, function(row) return row.id end)
end

-- ---- applications ----

local function become_contacts(req, peer, request)
    local done = store.batch {
        {"contact_request_close", {id = request, status = "accepted"}},
        {"contact_pair_add", {user = req.user, peer = peer, now = now()}},
    }
    if done then tell_both(req, peer, "added") end
    return done ~= nil
end

local function new_application(req, peer, message)
    local rows = store.try("contact_request_add", {user = req.user, peer = peer, message = message, now = now()})
    if not rows then return false end
    local row = store.run("contact_request_get", {id = rows[1].id})[1]
    push.users({peer}, "contact_request", shape.contact_request(row), path.acting(req))
    return true
end

-- One try on the facts as they are; nil when they changed meanwhile.
local function apply_once(req, peer, message)
    local facts = store.run("contact_facts", {user = req.user, peer = peer})[1]
    refuse_apply(facts)
    if facts.received then return become_contacts(req, peer, facts.received) and "accepted" end
    if facts.sent then
        return store.try("contact_request_remark", {id = facts.sent, message = message}) and "pending"
    end
    return new_application(req, peer, message) and "pending"
end

local function apply(_, req)
    local peer = check.id(req.body.target_user_id)
    local message = check.opt_text(req.body.remark, 0, APPLY_MESSAGE_MAX, true) or ""
    if peer == req.user then fail("bad_request", "cannot add yourself as contact") end
    for _ = 1, TRIES do
        local status = apply_once(req, peer, message)
        if status then return {data = {status = status}} end
    end
    return fail("busy")
end

local function handle(_, req)
    local peer = check.id(req.body.target_user_id)
    local accept = check.opt_bool(req.body.accept)
    local facts = store.run("contact_facts", {user = req.user, peer = peer})[1]
    if not facts or not facts.received then fail("not_found", "contact apply not found") end
    if facts.blocked ~= 0 then fail("blocked") end
    local done
    if accept then
        done = become_contacts(req, peer, facts.received)
    else
        done = store.try("contact_request_close", {id = facts.received, status = "rejected"})
    end
    if not done then fail("not_found", "contact apply not found") end
    return {data = {status = accept and "accepted" or "rejected"}}
end

-- ---- contacts ----

local function remark(_, req)
    local peer = path.contact(req)
    local text = check.text(req.body.remark, 0, REMARK_MAX, true)
    local row = store.run("contact_get", {user = req.user, peer = peer})[1] or fail("not_found")
    if row.remark ~= text then
        store.run("contact_remark", {user = req.user, peer = peer, remark = text})
        tell(req, req.user, peer, "remark", text)
        row.remark = text
    end
    return {data = shape.contact(row)}
end

-- Works on both sides; a block stays.
local function remove(_, req)
    local peer = path.contact(req)
    local _, info = store.run("contact_pair_remove", {user = req.user, peer = peer})
    if info.changed > 0 then
        presence.drop(req.user, peer)
        presence.drop(peer, req.user)
        tell_both(req, peer, "removed")
    end
    return {data = {}}
end

-- ---- blocklist ----

local function block_list(_, req)
    local p = page.open(req, {list = "blocks", default = BLOCK_PAGE.default, max = BLOCK_PAGE.max, places = 1})
    local rows = store.run("block_list", {user = req.user, after = p.after and p.after[1] or 0, limit = p.limit})
    return page.answer(p, rows, shape.blocked, function(row) return row.id end)
end

-- Their single chat, if there is one; it is told that a block may change (conversation.changing).
local function single_changing(req, peer)
    local low, high = math.min(req.user, peer), math.max(req.user, peer)
    local single = store.run("single_find", {low = low, high = high})[1]
    if single then conversation.changing(single.id) end
    return single
end

-- Their single chat must know of the block before the caller's answer.
local function block_changed(req, peer, single, action)
    if single then conversation.changed(single.id) end
    tell(req, req.user, peer, action)
end

local function block(_, req)
    local peer = check.id(req.body.user_id)
    if peer == req.user then fail("bad_request", "invalid user id") end
    if not store.run("user_get", {user = peer})[1] then fail("not_found", "target user not found") end
    local single = single_changing(req, peer)
    local _, info = store.run("block_add", {user = req.user, peer = peer, now = now()})
    if info.changed > 0 then
        presence.drop(peer, req.user) -- the blocked one sees the blocker no more
        block_changed(req, peer, single, "blocked")
    end
    return {data = {}}
end

local function unblock(_, req)
    local peer = path.user(req)
    local single = single_changing(req, peer)
    local _, info = store.run("block_remove", {user = req.user, peer = peer})
    if info.changed > 0 then block_changed(req, peer, single, "unblocked") end
    return {data = {}}
end

return {
    name = "contact", version = 1,
    init = function() return {} end,
    on = {
        list = list, requests = requests, apply = apply, handle = handle, remark = remark, remove = remove,
        block_list = block_list, block = block, unblock = unblock,
    },
    concurrent = {"list", "requests", "block_list"},
}
