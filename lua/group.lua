-- group: conversations and groups (PROTOCOL.md rows 22 to 40, section 13).
-- The rules, row by row. A caller must be a member; then: single = single chats too (else groups only), dissolved = also in a dissolved
-- group, role = the least role. Checks go in this order. Whom a rule touches (self, equals, those above) is in lua/lib/group_members.lua,
-- how people get in is in lua/lib/group_door.lua.
local MAY <const> = {
    get = {single = true, dissolved = true},
    members = {single = true, dissolved = true},
    settings = {single = true, dissolved = true}, -- the caller's own view
    nickname = {single = true},
    update = {role = "admin"}, -- title, avatar, join mode
    announcement = {role = "admin"},
    mute_all = {role = "admin"},
    dissolve = {role = "owner", dissolved = true},
    add = {}, -- with join_mode `approval` a plain member's additions become requests
    remove = {role = "admin"},
    mute = {role = "admin"},
    role = {role = "owner"},
    transfer = {role = "owner"},
    leave = {dissolved = true}, -- not the owner of a living group
    requests = {role = "admin"},
    request = {role = "admin"},
}
local RANK <const> = {member = 1, admin = 2, owner = 3}

-- Who may send, asked in place by the conversation actor with the facts it holds: 0 = yes, else the code of the refusal. type: 1 single
-- chat, 2 group; rank as in RANK; blocked: the other one of a single chat has blocked the sender.
local function may_send(type, dissolved, rank, muted_until_ms, mute_all, blocked, now_ms)
    if dissolved ~= 0 then return "dissolved" end
    if muted_until_ms > now_ms then return "muted" end -- "you are muted"
    if mute_all ~= 0 and type == 2 and rank < RANK.admin then return "muted" end -- "conversation is muted"
    if blocked ~= 0 then return "blocked" end -- "message refused by recipient"
    return 0
end

local path = require "lib.path"

-- The facts of the caller's membership, once the rule of the row lets them pass.
local function allow(rule, conversation_id, user)
    local facts = store.run("conversation_facts", {conversation = conversation_id, user = user})[1] or fail("not_member")
    facts.rank = RANK[facts.role]
    if facts.type == 1 and not rule.single then fail("bad_request", "invalid conversation type") end
    if facts.status == "dissolved" and not rule.dissolved then fail("dissolved") end
    if rule.role and facts.rank < RANK[rule.role] then fail("forbidden") end
    return facts
end

-- A row on one conversation: ids and body first, then the rule, then what it does.
local function row(verb, does)
    return function(_, req)
        local id = path.conversation(req)
        local values = does.body and does.body(req)
        return does.run(req, allow(MAY[verb], id, req.user), values)
    end
end

local on = {list = require("lib.group_read").list, create = require("lib.group_create"), join = require("lib.group_door").join}
for _, part in ipairs {"read", "change", "members", "door"} do
    for verb, does in pairs(require("lib.group_" .. part)) do
        if MAY[verb] then on[verb] = row(verb, does) end
    end
end

return {
    name = "group", version = 1,
    init = function() return {} end,
    on = on,
    concurrent = {"list", "get", "members", "requests"},
    policy = {may_send = may_send},
}
