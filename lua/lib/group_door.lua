-- group_door: how people get into a group: added, joined, asked and accepted (rows 32, 38 to 40).
-- Rules an operator may want to change:
local ADD_MAX <const> = 100          -- people in one request
local JOIN_MESSAGE_MAX <const> = 255 -- characters
local REQUEST_PAGE <const> = {default = 50, max = 200}

-- Who brings people in at once: owner and admins, and with join_mode `free` everybody. The others' additions become requests.
local ADMIN_RANK <const> = 2
local function adds_at_once(facts) return facts.join_mode == "free" or facts.rank >= ADMIN_RANK end
local function joins_at_once(group) return group.join_mode == "free" end

local check = require "lib.check"
local page = require "lib.page"
local path = require "lib.path"
local shape = require "lib.shape"
local tell = require "lib.group_tell"

local door = {}

local function group_at(id, user) return store.run("conversation_door", {conversation = id, user = user})[1] end

local function check_room(group, count)
    if group.member_count + count > group.member_limit then fail("group_full") end
end

-- Makes them members and tells everybody. more: operations of the same transaction; nil: those did not hold.
local function let_in(req, id, users, action, more)
    local list = {more, {"members_add", {conversation = id, ids = json.encode(users), now = now()}}}
    if not more then list = {list[2]} end
    tell.changing(id)
    if not store.batch(list) then return nil end
    tell.changed(id)
    tell.created(req, id, users)
    tell.members(req, id, action, users)
    return true
end

local function ask(req, id, users, inviter, message)
    local new = store.run("join_requests_add", {
        conversation = id, ids = json.encode(users), inviter = inviter, message = message, now = now(),
    })
    tell.asked(req, id, new)
    return #new
end

-- ---- adding ----

-- Splits into members already and new ones, in the order of the request.
local function split(id, users)
    local inside, skipped, new = {}, json.list {}, json.list {}
    for _, row in ipairs(store.run("members_among", {conversation = id, ids = json.encode(users)})) do inside[row.user] = true end
    for _, user in ipairs(users) do
        local list = inside[user] and skipped or new
        list[#list + 1] = user
    end
    return skipped, new
end

door.add = {
    body = function(req) return check.ids(req.body.user_ids, 1, ADD_MAX) end,
    run = function(req, facts, users)
        local skipped, new = split(facts.id, users)
        local answer = {added = json.list {}, pending = json.list {}, skipped = skipped}
        if #new == 0 then return {data = answer} end
        local list, at_once = json.encode(new), adds_at_once(facts)
        if store.run("users_known", {ids = list})[1].known < #new then fail("not_found", "target user not found") end
        if at_once then check_room(group_at(facts.id, req.user), #new) end
        if store.run("blocked_by", {user = req.user, ids = list})[1] then fail("blocked") end
        if at_once then
            let_in(req, facts.id, new, "added")
            answer.added = new
        else
            ask(req, facts.id, new, req.user, "")
            answer.pending = new
        end
        return {data = answer}
    end,
}

-- ---- joining: the caller is no member yet, so the rules of group.lua do not apply ----

function door.join(_, req)
    local id = path.conversation(req)
    local message = check.opt_text(req.body.message, 0, JOIN_MESSAGE_MAX) or ""
    local group = group_at(id, req.user)
    if not group or group.type == 1 then fail("not_found", "conversation not found") end
    if group.inside ~= 0 then fail("conflict", "already a member") end
    if group.status == "dissolved" then fail("dissolved") end
    if joins_at_once(group) then
        check_room(group, 1)
        let_in(req, id, json.list {req.user}, "joined")
        return {data = {status = "joined"}}
    end
    if ask(req, id, json.list {req.user}, 0, message) == 0 then
        store.run("join_request_message", {conversation = id, user = req.user, message = message})
    end
    return {data = {status = "pending"}}
end

-- ---- requests ----

door.requests = {
    body = function(req)
        return page.open(req, {
            list = "join_requests:" .. req.id[1], default = REQUEST_PAGE.default, max = REQUEST_PAGE.max, places = 1,
        })
    end,
    run = function(_, facts, p)
        local rows = store.run("join_request_list", {conversation = facts.id, after = p.after and p.after[1] or 0, limit = p.limit})
        return page.answer(p, rows, shape.join_request, function(row) return row.request end)
    end,
}

local function close(request, status)
    if not store.try("join_request_close", {id = request, status = status}) then fail("not_found") end
end

-- Accepting somebody who is a member by now just closes the request.
local function accept(req, row)
    local group = group_at(row.conversation, row.id)
    if group.inside ~= 0 then return close(row.request, "accepted") end
    check_room(group, 1)
    local action = row.inviter ~= 0 and "added" or "joined"
    local closing = {"join_request_close", {id = row.request, status = "accepted"}}
    return let_in(req, row.conversation, json.list {row.id}, action, closing) or fail("not_found")
end

door.request = {
    body = function(req) return {request = path.request(req), accept = check.bool(req.body.accept)} end,
    run = function(req, facts, values)
        local row = store.run("join_request_get", {id = values.request, conversation = facts.id})[1]
        if not row or row.status ~= "pending" then fail("not_found") end
        if values.accept then accept(req, row) else close(row.request, "rejected") end
        row.status = values.accept and "accepted" or "rejected"
        return {data = shape.join_request(row)}
    end,
}

return door
