-- backoff: waits after failed logins (PROTOCOL.md section 4). Counted for one account from one address
-- (`network`: of IPv6 the /64, or its owner could guess from another address each time), for unknown names too.
-- Rules an operator may want to change (how many failures are free: `auth.max_failures`):
local WINDOW_MS <const> = 15 * 60 * 1000   -- failures within that time count together
local FIRST_WAIT_MS <const> = 30 * 1000    -- after the last free failure; doubled by each further one
local LONGEST_WAIT_MS <const> = 15 * 60 * 1000

local STRANGE <const> = 1024               -- shared counts for those who find no place in kv

local backoff = {}

-- While kv is full, failures go on to be counted, several accounts under one number: else whoever fills kv could guess at will.
local strange = {}

local function strange_of(key) return tonumber(key:sub(-4), 16) % STRANGE end

local function key_of(account, network) return "login:" .. hash.sha256(account .. "\n" .. network) end

local function read(key)
    local text = kv.get(key)
    if text then return json.decode(text) end
    local shared = strange[strange_of(key)]
    if shared and shared.gone_ms > now() then return shared end
    return {times = json.list {}, wait = 0, until_ms = 0}
end

local function write(key, record)
    local life = record.wait + WINDOW_MS
    if pcall(kv.set, key, json.encode(record), life) then return end
    record.gone_ms = now() + life
    strange[strange_of(key)] = record
end

-- While a wait runs every try is refused unseen and uncounted.
function backoff.check(account, network)
    local left = read(key_of(account, network)).until_ms - now()
    if left > 0 then fail("rate_limited", "too many attempts", {retry_after_ms = left}) end
end

local function recent(times, since)
    local out = json.list {}
    for _, at in ipairs(times) do
        if at > since then out[#out + 1] = at end
    end
    return out
end

function backoff.failed(account, network)
    local key, at = key_of(account, network), now()
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
    write(key, record)
end

-- A shared count stays: it is not this account's alone.
function backoff.succeeded(account, network) kv.del(key_of(account, network)) end

return backoff
