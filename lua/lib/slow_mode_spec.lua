-- What slow mode promises. Run before a changed rule may serve (lua/API.md, Specs).
local function ask(t, facts)
    facts.group = facts.group ~= false
    return t.module()(facts)
end

return {
    ["a member speaks once in 30 seconds"] = function(t)
        t.equal(nil, ask(t, {since_ms = -1}))
        t.equal("rate_limited", ask(t, {since_ms = 0}))
        t.equal("rate_limited", ask(t, {since_ms = 29999}))
        t.equal(nil, ask(t, {since_ms = 30000}))
    end,
    ["owner and admins speak as they like, and so do all in single chats"] = function(t)
        t.equal(nil, ask(t, {since_ms = 0, admin = true}))
        t.equal(nil, ask(t, {since_ms = 0, group = false}))
    end,
}
