-- recall: who may take a message back, and for how long (PROTOCOL.md section 11).
-- The sender within this time; owner and admins of a group any message at any time. Single chats have no admins.
local WINDOW_MS <const> = conf("recall.window")
local GROUP <const>, ADMIN <const> = 2, 2 -- type of the conversation; rank: 1 member, 2 admin, 3 owner

-- Asked in place by the conversation actor: 0 = yes, else the code of the refusal. own: the caller is the sender.
local function recall_allowed(type, rank, own, sent_ms, now_ms)
    if type == GROUP and rank >= ADMIN then return 0 end
    if own == 0 then return "forbidden" end -- "not the message sender"
    if now_ms - sent_ms > WINDOW_MS then return "recall_expired" end
    return 0
end

-- For the text of the refusal.
local function window_ms() return WINDOW_MS end

return {
    name = "recall", version = 1,
    policy = {recall_allowed = recall_allowed, window_ms = window_ms},
}
