-- group_create: opens single chats and makes groups (row 23). How many members a group may have: conf group.member_limit.
local TITLE_MAX <const> = 64
local IDS_MAX <const> = 100000 -- in one request; a group's own limit is checked after that

local check = require "lib.check"
local tell = require "lib.group_tell"

local SINGLE <const>, GROUP <const> = 1, 2

local function others_of(ids, user)
    local others = json.list {}
    for _, id in ipairs(ids) do
        if id ~= user then others[#others + 1] = id end
    end
    return others
end

-- "They blocked me" is what counts: one's own block does not.
local function check_people(req, ids)
    local list = json.encode(ids)
    if store.run("users_known", {ids = list})[1].known < #ids then fail("not_found", "target user not found") end
    if store.run("blocked_by", {user = req.user, ids = list})[1] then fail("blocked") end
end

-- The new conversation's id, or nil when its pair has one by now.
local function insert(create, values, ids, owner)
    local found = store.batch {
        {create, values},
        {"members_first", {ids = json.encode(ids), owner = owner, now = values.now}},
    }
    return found and found[1][1].id
end

local function finish(req, id, ids)
    tell.changed(id)
    tell.created(req, id, ids)
    return {data = tell.brief(id, req.user)}
end

-- One conversation per pair; who opens it again gets it, blocked or not.
local function single(req, others)
    if #others ~= 1 then fail("bad_request", "single conversation requires exactly one other member") end
    local pair = {low = math.min(req.user, others[1]), high = math.max(req.user, others[1])}
    local there = store.run("single_find", pair)[1]
    if there then return {data = tell.brief(there.id, req.user)} end
    check_people(req, others)
    local ids = json.list {req.user, others[1]}
    local id = insert("single_create", {low = pair.low, high = pair.high, now = now()}, ids, 0)
    if id then return finish(req, id, ids) end
    return {data = tell.brief(store.run("single_find", pair)[1].id, req.user)}
end

-- All members are written or none.
local function group(req, title, others)
    local limit = conf("group.member_limit")
    if #others + 1 > limit then fail("group_full") end
    check_people(req, others)
    local ids = json.list {req.user, table.unpack(others)}
    local id = insert("group_create", {title = title, owner = req.user, member_limit = limit, now = now()}, ids, req.user)
    return finish(req, id, ids)
end

return function(_, req)
    local body = req.body
    local type = check.int(body.type, math.mininteger, math.maxinteger)
    local title = check.opt_text(body.title, 0, TITLE_MAX, true) or ""
    local others = others_of(check.ids(body.member_ids, 0, IDS_MAX), req.user)
    if type == SINGLE then return single(req, others) end
    if type == GROUP then return group(req, title, others) end
    return fail("bad_request", "invalid conversation type")
end
