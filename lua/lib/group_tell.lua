-- group_tell: the pushes about conversations and their members (PROTOCOL.md sections 8.3 and 13). Each goes out after the change is
-- stored, once, without the device that acted.
local path = require "lib.path"
local shape = require "lib.shape"

local tell = {}

-- Before facts are written: should this handler end before `changed`, the conversation reads them by itself a little later.
function tell.changing(id) conversation.changing(id) end

-- Makes the conversation's actor read the changed facts; returns when it has.
function tell.changed(id) conversation.changed(id) end

function tell.brief(id, user) return shape.brief(store.run("brief_get", {conversation = id, user = user})[1] or fail("not_member")) end

local function update(req, to, id, action, item)
    push.users(to, "conversation_update", {conversation_id = id, action = action, conversation = item or json.null}, path.acting(req))
end

local function ids_of(rows)
    local ids = json.list {}
    for i, row in ipairs(rows) do ids[i] = row.user end
    return ids
end

local function members(id) return ids_of(store.run("member_ids", {conversation = id})) end

-- To everyone who has become a member: the conversation as they see it.
function tell.created(req, id, users)
    for _, row in ipairs(store.run("brief_each", {conversation = id, ids = json.encode(users)})) do
        update(req, {row.viewer}, id, "created", shape.brief(row))
    end
end

-- `updated` or `dissolved`, to all members, for all the same.
function tell.all(req, id, action)
    local item = shape.conversation(store.run("conversation_shared", {conversation = id})[1])
    update(req, members(id), id, action, item)
end

function tell.settings(req, id, brief) update(req, {req.user}, id, "settings", brief) end
function tell.removed(req, id, user) update(req, {user}, id, "removed") end

-- `what` holds the new value where the action has one: role, until_ms, nickname, request_id; operator: else the caller.
local function member_update(req, to, id, action, users, what, count)
    push.users(to, "member_update", {
        conversation_id = id, action = action, user_ids = users, operator_id = what.operator or req.user, role = what.role or "",
        until_ms = what.until_ms or 0, nickname = what.nickname or "", request_id = what.request_id or 0, member_count = count,
    }, path.acting(req))
end

function tell.members(req, id, action, users, what)
    local to = members(id)
    member_update(req, to, id, action, json.list(users), what or {}, #to)
end

-- requests: rows of id and user; one push for each, to those who may answer it.
function tell.asked(req, id, requests)
    if #requests == 0 then return end
    local found = store.batch {{"admin_ids", {conversation = id}}, {"member_count", {conversation = id}}}
    for _, row in ipairs(requests) do
        member_update(req, ids_of(found[1]), id, "join_requested", json.list {row.user}, {request_id = row.id}, found[2][1].total)
    end
end

return tell
