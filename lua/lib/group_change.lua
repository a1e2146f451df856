-- group_change: what a group is called and how it behaves, and a member's own view of it (rows 25 to 30). A change that changes
-- nothing is not pushed.
-- Rules an operator may want to change:
local TITLE_MAX <const> = 64
local NICKNAME_MAX <const> = 64
local ANNOUNCEMENT_MAX <const> = 2000
local JOIN_MODES <const> = {"approval", "free"}

local check = require "lib.check"
local picture = require "lib.picture"
local shape = require "lib.shape"
local tell = require "lib.group_tell"

local change = {}

local FIELDS <const> = {"title", "avatar_url", "join_mode", "announcement", "mute_all"}

-- Writes the group's facts with these new values and tells all members.
local function rewrite(req, facts, values)
    local row, changed = {conversation = facts.id}, false
    for _, field in ipairs(FIELDS) do
        row[field] = facts[field]
        if values[field] ~= nil and values[field] ~= facts[field] then row[field], changed = values[field], true end
    end
    if changed then
        tell.changing(facts.id)
        store.run("group_update", row)
        tell.changed(facts.id)
        tell.all(req, facts.id, "updated")
    end
    return {data = tell.brief(facts.id, req.user)}
end

local function changed_text(v) return v ~= "" and v or nil end -- empty = unchanged

local function update(req, facts, values)
    values.avatar_url = picture.keep(values.avatar_url, req.user)
    return rewrite(req, facts, values)
end

change.update = {
    body = function(req)
        local body = req.body
        local mode = changed_text(check.opt_text(body.join_mode, 0, 64))
        return {
            title = changed_text(check.opt_text(body.title, 0, TITLE_MAX, true)), avatar_url = picture.text(body.avatar_url),
            join_mode = mode and check.one_of(mode, JOIN_MODES),
        }
    end,
    run = update,
}

change.announcement = {
    body = function(req) return {announcement = check.text(req.body.text, 0, ANNOUNCEMENT_MAX)} end,
    run = rewrite,
}

-- Plain members cannot send while it is on.
change.mute_all = {
    body = function(req) return {mute_all = check.bool(req.body.enabled) and 1 or 0} end,
    run = rewrite,
}

change.dissolve = {
    run = function(req, facts)
        if facts.status ~= "dissolved" then
            tell.changing(facts.id)
            store.run("group_dissolve", {conversation = facts.id})
            tell.changed(facts.id)
            tell.all(req, facts.id, "dissolved")
        end
        return {data = {}}
    end,
}

local function flag(wanted, old)
    if wanted == nil then return old end
    return wanted and 1 or 0
end

change.settings = {
    body = function(req) return {pinned = check.opt_bool(req.body.pinned), muted = check.opt_bool(req.body.muted)} end,
    run = function(req, facts, values)
        local pinned, muted = flag(values.pinned, facts.pinned), flag(values.muted, facts.muted)
        local changed = pinned ~= facts.pinned or muted ~= facts.muted
        if changed then store.run("member_settings", {conversation = facts.id, user = req.user, pinned = pinned, muted = muted}) end
        local brief = tell.brief(facts.id, req.user)
        if changed then tell.settings(req, facts.id, brief) end
        return {data = brief}
    end,
}

change.nickname = {
    body = function(req) return check.text(req.body.nickname, 0, NICKNAME_MAX, true) end,
    run = function(req, facts, nickname)
        if nickname ~= facts.nickname then
            store.run("member_nickname", {conversation = facts.id, user = req.user, nickname = nickname})
            tell.members(req, facts.id, "nickname", {req.user}, {nickname = nickname})
        end
        return {data = shape.member(store.run("member_get", {conversation = facts.id, user = req.user})[1])}
    end,
}

return change
