-- group_read: lists and single conversations (rows 22, 24, 31).
-- Rules an operator may want to change:
local LIST_PAGE <const> = {default = 100, max = 500}
local MEMBER_PAGE <const> = {default = 100, max = 500}

local page = require "lib.page"
local shape = require "lib.shape"
local tell = require "lib.group_tell"

local read = {}

-- Pinned first, then the latest activity. A place: minus pinned, minus time, id.
function read.list(_, req)
    local p = page.open(req, {list = "conversations", default = LIST_PAGE.default, max = LIST_PAGE.max, places = 3})
    local after = p.after or {-2, 0, 0}
    local found = store.batch {
        {"brief_list", {user = req.user, after_pinned = after[1], after_updated = after[2], after_id = after[3], limit = p.limit}},
        {"brief_count", {user = req.user}},
    }
    local function place(row) return -row.pinned, -row.updated_ms, row.id end
    return page.answer(p, found[1], shape.brief, place, found[2][1].total)
end

read.get = {run = function(req, facts) return {data = tell.brief(facts.id, req.user)} end}

read.members = {
    body = function(req)
        return page.open(req, {list = "members:" .. req.id[1], default = MEMBER_PAGE.default, max = MEMBER_PAGE.max, places = 3})
    end,
    run = function(_, facts, p)
        local after = p.after or {-1, 0, 0}
        local found = store.batch {
            {"member_list", {
                conversation = facts.id, after_rank = after[1], after_joined = after[2], after_user = after[3], limit = p.limit,
            }},
            {"member_count", {conversation = facts.id}},
        }
        local function place(row) return row.rank, row.joined_ms, row.id end
        return page.answer(p, found[1], shape.member, place, found[2][1].total)
    end,
}

return read
