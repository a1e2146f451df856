-- backoff: waits after failed logins (PROTOCOL.md section 4). Counted for one account from one address, for unknown names too.
-- Rules an operator may want to change (how many failures are free: `auth.max_failures`):
local WINDOW_MS <const> = 15 * 60 * 1000   -- failures within that time count together
local FIRST_WAIT_MS <const> = 30 * 1000    -- after the last free failure; doubled by each further one
local LONGEST_WAIT_MS <const> = 15 * 60 * 1000

local backoff = {}

local function key_of(account, address) return "login:" .. hash.sha256(account .. "\n" .. address) end

local function read(key)
    local text = kv.get(key)
    return text and json.decode(text) or {times = json.list {}, wait = 0, until_ms = 0}
end

-- While a wait runs every try is refused unseen and uncounted.
function backoff.check(account, address)
    local left = read(key_of(account, address)).until_ms - now()
    if left > 0 then fail("rate_limited", "too many attempts", {retry_after_ms = left}) end
end

local function recent(times, since)
    local out = json.list {}
    for _, at in ipairs(times) do
        if at > since then out[#out + 1] = at end
    end
    return out
end

function backoff.failed(account, address)
    local key, at = key_of(account, address), now()
    local record = read(key)
    record.times = recent(record.times, at - WINDOW_MS)
    record.times[#record.times + 1] = at
    if record.wait > 0 then
        record.wait = math.min(record.wait * 2, LONGEST_WAIT_MS)
    elseif #record.times >= conf("auth.max_failures") then
        record.wait = FIRST_WAIT_MS
    end
    record.until_ms = record.wait > 0 and at + record.wait or 0
    if record.wait > 0 then record.times = json.list {} end
    kv.set(key, json.encode(record), record.wait + WINDOW_MS)
end

function backoff.succeeded(account, address) kv.del(key_of(account, address)) end

return backoff
