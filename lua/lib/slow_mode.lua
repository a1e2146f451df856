-- slow mode: in a group each member may say one thing in so long a time; owner and admins as they like. A rule of lua/moderation.lua.
local WAIT_MS <const> = 30 * 1000

return function(facts)
    if facts.group and not facts.admin and facts.since_ms >= 0 and facts.since_ms < WAIT_MS then return "rate_limited" end
end
