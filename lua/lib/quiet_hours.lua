-- quiet hours: groups are silent at night, but for owner and admins. A rule of lua/moderation.lua.
local FROM_HOUR <const>, TO_HOUR <const> = 22, 7
local HOURS_EAST <const> = 0 -- of Greenwich: 8 in Shanghai, -5 in New York; fractions are fine

return function(facts)
    if not facts.group or facts.admin then return end
    local hour = (facts.now_ms / 3600000 + HOURS_EAST) % 24
    local quiet = hour >= FROM_HOUR or hour < TO_HOUR
    if FROM_HOUR < TO_HOUR then quiet = hour >= FROM_HOUR and hour < TO_HOUR end -- not over midnight
    if quiet then return "muted" end
end
