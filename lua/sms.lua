-- sms: login by phone: a code is sent, the code logs in (PROTOCOL.md rows 5, 6, 9, section 4). Who sends it: conf sms.sender, a file
-- lua/lib/sms_NAME.lua (log, http, or your own).
-- Rules an operator may want to change:
local CODE_DIGITS <const> = 6
local CODE_LIFE_MS <const> = 5 * 60 * 1000
local WRONG_MAX <const> = 5                    -- then the code is dead
local RESEND_MS <const> = 60 * 1000            -- one code per phone in that time,
local PER_DAY <const>, DAY_MS <const> = 10, 24 * 3600 * 1000 -- and so many a day;
local PER_HOUR <const>, HOUR_MS <const> = 60, 3600 * 1000 -- so many for all phones that one address (IPv6: its /64) names: texts cost money

-- Who may make an account by phone: anybody, if conf sms.auto_register. Refuse here, e.g. by country: `phone:sub(1, 2) ~= "49"`.
local function may_register(_) return conf "sms.auto_register" end

local backoff = require "lib.backoff"
local check = require "lib.check"
local logins = require "lib.login"
local shape = require "lib.shape"
local deliver = require("lib.sms_" .. conf "sms.sender")

local NAME_DIGITS <const>, NAME_TRIES <const> = 10, 5

-- Digits with the country code; a + in front is dropped.
local function phone_of(body)
    local digits = check.text(body.phone, 1, 16):match("^%+?([1-9]%d*)$")
    if not digits or #digits < 7 or #digits > 15 then fail "bad_request" end
    return digits
end

-- ---- codes: in kv, one record per phone: {code, until_ms, wrong, sent = times} ----

local function read(phone)
    local text = kv.get("sms:" .. phone)
    return text and json.decode(text) or {sent = json.list {}, until_ms = 0, wrong = 0}
end

local function write(phone, record) kv.set("sms:" .. phone, json.encode(record), DAY_MS) end

local function sent_since(record, since)
    local out = json.list {}
    for _, at in ipairs(record.sent) do
        if at > since then out[#out + 1] = at end
    end
    return out
end

local function too_soon(wait_ms) fail("rate_limited", nil, {retry_after_ms = wait_ms}) end

local function check_rate(sent)
    local last = sent[#sent]
    if last and last + RESEND_MS > now() then too_soon(last + RESEND_MS - now()) end
    if #sent >= PER_DAY then too_soon(sent[1] + DAY_MS - now()) end
end

local function check_network(network)
    if kv.incr("sms_from:" .. network, 1, HOUR_MS) > PER_HOUR then too_soon(HOUR_MS) end
end

-- The same for known and unknown phones. A code that could not be sent counts for nothing.
local function send_code(_, req)
    local phone = phone_of(req.body)
    local before = read(phone)
    before.sent = sent_since(before, now() - DAY_MS)
    check_rate(before.sent)
    check_network(req.network)
    local code = random.digits(CODE_DIGITS)
    local sent = json.list {table.unpack(before.sent)}
    sent[#sent + 1] = now()
    write(phone, {code = code, until_ms = now() + CODE_LIFE_MS, wrong = 0, sent = sent})
    local ok, why = pcall(deliver, phone, code)
    if not ok then
        write(phone, before)
        kv.incr("sms_from:" .. req.network, -1, HOUR_MS)
        log.error("no code was sent: " .. tostring(why))
        fail "busy"
    end
    return {data = {resend_after_sec = RESEND_MS // 1000}}
end

local function refuse() fail("invalid_credentials", "invalid phone or code") end

-- A code is used once. It goes also where what follows is refused.
local function use_code(req, phone)
    local code = check.text(req.body.code, 0, math.maxinteger)
    local account = "sms:" .. phone
    backoff.check(account, req.network)
    local record = read(phone)
    local live = record.code and record.until_ms > now() and record.wrong < WRONG_MAX
    if not live or record.code ~= code then
        record.wrong = record.wrong + 1
        if live then write(phone, record) end
        backoff.failed(account, req.network)
        refuse()
    end
    record.code = nil
    write(phone, record)
    backoff.succeeded(account, req.network)
end

-- ---- accounts ----

-- nil: somebody else has just made it.
local function create(phone)
    for _ = 1, NAME_TRIES do
        local username = "u" .. random.digits(NAME_DIGITS)
        local rows = store.try("user_create_phone", {username = username, phone = phone, now = now()})
        if rows then return {id = rows[1].id, username = username, display_name = username, avatar_url = "", status = "active"} end
        local there = store.run("user_by_phone", {phone = phone})[1]
        if there then return there end
    end
    return fail "busy"
end

local function log_in(_, req)
    local phone, device = phone_of(req.body), check.opt_device(req.body.device_id) or ""
    use_code(req, phone)
    local user = store.run("user_by_phone", {phone = phone})[1]
    if not user and not may_register(phone) then refuse() end
    user = user or create(phone)
    if user.status ~= "active" then fail "user_disabled" end
    return logins.open(user, device)
end

-- The caller's phone: it must be one whose code they have.
local function attach(_, req)
    local phone = phone_of(req.body)
    use_code(req, phone)
    if not store.try("user_phone", {user = req.user, phone = phone}) then fail "phone_taken" end
    return {data = shape.profile(store.run("user_get", {user = req.user})[1])}
end

return {
    name = "sms", version = 1,
    init = function() return {} end,
    on = {send = send_code, login = log_in, attach = attach},
}
