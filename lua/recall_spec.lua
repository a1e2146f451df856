-- What recall.lua promises. Run before a changed recall.lua may serve, and by `parleyd check` (lua/API.md, Specs).
local SINGLE <const>, GROUP <const> = 1, 2
local MEMBER <const>, ADMIN <const>, OWNER <const> = 1, 2, 3
local WINDOW <const> = 60000

local function ask(t, f)
    t.conf("recall.window", WINDOW)
    return t.policy.recall_allowed(f.type or GROUP, f.rank or MEMBER, f.own or 0, t.NOW - f.age, t.NOW)
end

return {
    ["the sender may within the window, to the millisecond"] = function(t)
        t.equal(0, ask(t, {own = 1, age = 0}))
        t.equal(0, ask(t, {own = 1, age = WINDOW}))
        t.equal("recall_expired", ask(t, {own = 1, age = WINDOW + 1}))
        t.equal("recall_expired", ask(t, {own = 1, age = WINDOW + 1, type = SINGLE}))
    end,
    ["owner and admins of a group may at any time"] = function(t)
        t.equal(0, ask(t, {rank = ADMIN, age = 100 * WINDOW}))
        t.equal(0, ask(t, {rank = OWNER, age = 100 * WINDOW}))
    end,
    ["others may not, in a single chat whatever their rank"] = function(t)
        t.equal("forbidden", ask(t, {age = 0}))
        t.equal("forbidden", ask(t, {type = SINGLE, rank = OWNER, age = 0}))
    end,
    ["the window that the refusal tells is recall.window"] = function(t)
        t.conf("recall.window", WINDOW)
        t.equal(WINDOW, t.policy.window_ms())
    end,
}
