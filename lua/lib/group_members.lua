-- group_members: what owner and admins do to members, and leaving (rows 33 to 37).
-- Rules an operator may want to change:
local MUTE_MAX_MS <const> = 365 * 24 * 3600 * 1000 -- longest mute
local ROLES <const> = {"admin", "member"}          -- that the owner may give

local RANK <const> = {member = 1, admin = 2, owner = 3}

-- The member a row is about: never oneself, somebody who is there, and below the caller.
local function object(req, facts, user)
    if user == req.user then fail("bad_request", "invalid user id") end
    local member = store.run("member_get", {conversation = facts.id, user = user})[1] or fail("not_found")
    if RANK[member.role] >= facts.rank then fail("forbidden") end
    return member
end

local check = require "lib.check"
local path = require "lib.path"
local shape = require "lib.shape"
local tell = require "lib.group_tell"

local members = {}

-- Access ends at once: the conversation knows before anybody is told.
local function take_out(req, facts, user, action)
    tell.changing(facts.id)
    store.batch {
        {"member_remove", {conversation = facts.id, user = user}},
        {"member_forget_acks", {conversation = facts.id, user = user}},
    }
    tell.changed(facts.id)
    tell.removed(req, facts.id, user)
    tell.members(req, facts.id, action, {user})
    return {data = {}}
end

members.remove = {
    body = function(req) return path.user(req, 2) end,
    run = function(req, facts, user)
        object(req, facts, user)
        return take_out(req, facts, user, "removed")
    end,
}

-- The owner transfers or dissolves first.
members.leave = {
    run = function(req, facts)
        if facts.role == "owner" and facts.status ~= "dissolved" then fail("forbidden") end
        return take_out(req, facts, req.user, "left")
    end,
}

local function member_now(facts, user)
    return {data = shape.member(store.run("member_get", {conversation = facts.id, user = user})[1])}
end

members.role = {
    body = function(req) return {user = path.user(req, 2), role = check.one_of(req.body.role, ROLES)} end,
    run = function(req, facts, values)
        local member = object(req, facts, values.user)
        if member.role ~= values.role then
            tell.changing(facts.id)
            store.run("member_role", {conversation = facts.id, user = values.user, role = values.role})
            tell.changed(facts.id)
            tell.members(req, facts.id, "role", {values.user}, {role = values.role})
        end
        return member_now(facts, values.user)
    end,
}

-- The old owner becomes admin; a new owner is not muted, for nobody could end that.
members.transfer = {
    body = function(req) return check.id(req.body.user_id) end,
    run = function(req, facts, user)
        object(req, facts, user)
        tell.changing(facts.id)
        store.batch {
            {"member_role", {conversation = facts.id, user = req.user, role = "admin"}},
            {"member_role", {conversation = facts.id, user = user, role = "owner"}},
            {"member_mute", {conversation = facts.id, user = user, until_ms = 0}},
            {"group_owner", {conversation = facts.id, user = user}},
        }
        tell.changed(facts.id)
        tell.members(req, facts.id, "transferred", {user}, {role = "owner"})
        tell.all(req, facts.id, "updated")
        return {data = tell.brief(facts.id, req.user)}
    end,
}

-- A time that is not in the future ends the mute.
members.mute = {
    body = function(req)
        local until_ms = check.int(req.body.until_ms, 0, now() + MUTE_MAX_MS)
        return {user = path.user(req, 2), until_ms = until_ms > now() and until_ms or 0}
    end,
    run = function(req, facts, values)
        local member = object(req, facts, values.user)
        if member.muted_until_ms ~= values.until_ms then
            tell.changing(facts.id)
            store.run("member_mute", {conversation = facts.id, user = values.user, until_ms = values.until_ms})
            tell.changed(facts.id)
            tell.members(req, facts.id, values.until_ms > 0 and "muted" or "unmuted", {values.user}, {until_ms = values.until_ms})
        end
        return member_now(facts, values.user)
    end,
}

return members
