-- What group.lua promises (lua/API.md, Specs). The whole of it on real operations: spec/lua/group*_spec.lua.
local SINGLE <const>, GROUP <const> = 1, 2
local MEMBER <const>, ADMIN <const>, OWNER <const> = 1, 2, 3

local function may_send(t, f)
    return t.policy.may_send(f.type or GROUP, f.dissolved or 0, f.rank or MEMBER, f.muted or 0, f.mute_all or 0, f.blocked or 0, t.NOW)
end

-- Answers of the store for a caller with these facts.
local function member(facts)
    local row = {type = GROUP, role = "member", status = "active", conversation = 9}
    for key, value in pairs(facts) do row[key] = value end
    return {store = {conversation_facts = {row}}}
end

local function call(t, verb, facts, body)
    return t.call(verb, {user = 1, id = {9}, body = body or {}}, member(facts))
end

return {
    ["a member may send"] = function(t)
        t.equal(0, may_send(t, {}))
        t.equal(0, may_send(t, {type = SINGLE}))
        t.equal(0, may_send(t, {muted = t.NOW}))
    end,
    ["the muted may not, and with mute_all only admins and the owner may"] = function(t)
        t.equal("muted", may_send(t, {muted = t.NOW + 1}))
        t.equal("muted", may_send(t, {muted = t.NOW + 1, rank = OWNER}))
        t.equal("muted", may_send(t, {mute_all = 1}))
        t.equal(0, may_send(t, {mute_all = 1, rank = ADMIN}))
        t.equal(0, may_send(t, {mute_all = 1, rank = OWNER}))
    end,
    ["nobody sends to a dissolved group, or to who blocked them"] = function(t)
        t.equal("dissolved", may_send(t, {dissolved = 1, rank = OWNER}))
        t.equal("blocked", may_send(t, {type = SINGLE, blocked = 1}))
    end,
    ["who is no member may nothing"] = function(t)
        local none = {store = {conversation_facts = {}}}
        for _, verb in ipairs {"get", "members", "leave", "mute_all"} do
            t.fails("not_member", t.call, verb, {user = 1, id = {9}, body = {enabled = true}}, none)
        end
    end,
    ["title, announcement and mute_all are for admins, dissolve for the owner"] = function(t)
        t.fails("forbidden", call, t, "update", {}, {title = "mine"})
        t.fails("forbidden", call, t, "announcement", {}, {text = "mine"})
        t.fails("forbidden", call, t, "mute_all", {}, {enabled = true})
        t.fails("forbidden", call, t, "dissolve", {role = "admin"})
    end,
    ["the rows for groups refuse a single chat"] = function(t)
        t.fails("bad_request", call, t, "mute_all", {type = SINGLE, role = "owner"}, {enabled = true})
        t.fails("bad_request", call, t, "dissolve", {type = SINGLE, role = "owner"})
    end,
    ["a dissolved group is not changed"] = function(t)
        t.fails("dissolved", call, t, "update", {status = "dissolved", role = "owner"}, {title = "new"})
    end,
}
