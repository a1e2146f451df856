-- moderation: what may be said, beside who may speak (lua/group.lua). Nothing is moderated as shipped: name rules here to switch them on.
local RULES <const> = {
    -- require "lib.slow_mode",   -- one message per member and time in groups
    -- require "lib.quiet_hours", -- groups are silent at night, but for their admins
    -- require "lib.word_list",   -- messages with listed words are refused
}

-- Asked in place by the conversation actor before a message is stored, and only while there are rules. A rule gets the facts and returns
-- nothing, or the code of its refusal; the first refusal counts. The same message sent again gets its first answer, whatever the rules say.
local function may_say(conversation, type, rank, sender, since_ms, now_ms, content_type, content)
    local facts = {
        conversation = conversation, sender = sender,
        group = type == 2,
        admin = rank >= 2,           -- or the owner
        since_ms = since_ms,         -- since the sender's last message here; -1: none in the last hour, or none known since the start
        now_ms = now_ms,
        content_type = content_type, -- 1 text, 2 image, .. (PROTOCOL.md section 9)
        content = content,           -- JSON, {"text":{"text":".."}} of a text
    }
    for _, rule in ipairs(RULES) do
        local refusal = rule(facts)
        if refusal then return refusal end
    end
    return 0
end

return {
    name = "moderation", version = 1,
    policy = {may_say = #RULES > 0 and may_say},
}
