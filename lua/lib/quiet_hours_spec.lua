-- What quiet hours promise. Run before a changed rule may serve (lua/API.md, Specs).
local NOON <const> = 1760011200000 -- 12:00 in Greenwich
local HOUR <const> = 3600000

return {
    ["groups are silent from 22 to 7 o'clock"] = function(t)
        local rule = t.module()
        for hours, answer in pairs {[0] = false, [9] = false, [10] = "muted", [12] = "muted", [18] = "muted", [19] = false} do
            t.equal(answer or nil, rule {group = true, now_ms = NOON + hours * HOUR}, hours .. " hours after noon")
        end
    end,
    ["not so for owner and admins, and in single chats"] = function(t)
        t.equal(nil, t.module() {group = true, admin = true, now_ms = NOON + 12 * HOUR})
        t.equal(nil, t.module() {group = false, now_ms = NOON + 12 * HOUR})
    end,
}
