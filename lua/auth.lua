-- auth: accounts and logins: register, login, refresh, logout, one's own logins (PROTOCOL.md rows 1 to 4, 61 to 63, section 4).
-- Rules an operator may want to change (conf has auth.min_password, auth.refresh_grace and the lives of the tokens; the waits after
-- failed logins are in lua/lib/backoff.lua):
local USERNAME_MIN <const>, USERNAME_MAX <const> = 3, 32
local USERNAME_STRANGE <const> = "[^a-z0-9_.-]" -- no name holds any of these
local PASSWORD_MAX <const> = 128                -- characters
local DISPLAY_NAME_MAX <const> = 64

-- Who may register: anybody. Refuse here, e.g. `fail("forbidden", "registration is closed")` or by a reserved name.
local function may_register(_) end

local backoff = require "lib.backoff"
local check = require "lib.check"
local logins = require "lib.login"

local LONGEST_CHARACTER <const> = 4 -- bytes, in UTF-8

local function fold(username) return username:lower() end -- ASCII only

local function check_username(username)
    if #username < USERNAME_MIN or #username > USERNAME_MAX or username:find(USERNAME_STRANGE) then fail("bad_username") end
    return username
end

local function check_password(password)
    local least, length = conf("auth.min_password"), utf8.len(password)
    if not length or length < least or length > PASSWORD_MAX then
        fail("weak_password", ("password must have %d to %d characters"):format(least, PASSWORD_MAX))
    end
    return password
end

-- ---- logins ----

local function register(_, req)
    local body = req.body
    local username = fold(check.text(body.username, 0, math.maxinteger))
    local password = check.text(body.password, 0, math.maxinteger)
    local display_name = check.opt_text(body.display_name, 0, DISPLAY_NAME_MAX, true) or ""
    local device = check.opt_device(body.device_id) or ""
    check_username(username)
    check_password(password)
    may_register(username)
    if display_name == "" then display_name = username end
    local rows = store.try("user_create", {
        username = username, password = crypt.hash(password), display_name = display_name, now = now(),
    })
    if not rows then fail("username_taken") end
    local user = {id = rows[1].id, username = username, display_name = display_name, avatar_url = "", status = "active"}
    local ok, result = pcall(logins.open, user, device)
    if not ok then
        log.error("register of user " .. user.id .. ": no login: " .. tostring(result))
        fail("internal", "register succeeded but login failed")
    end
    return {data = result}
end

-- What is longer than any password costs the same work and is never right.
local function same_password(password, stored)
    if #password > PASSWORD_MAX * LONGEST_CHARACTER then return crypt.verify("", "") end
    return crypt.verify(password, stored)
end

-- An unknown user costs the same work as a wrong password, and gets the same answer.
local function log_in(_, req)
    local username = fold(check.text(req.body.username, 0, math.maxinteger))
    local password = check.text(req.body.password, 0, math.maxinteger)
    local device = check.opt_device(req.body.device_id) or ""
    backoff.check(username, req.network)
    local user = #username <= USERNAME_MAX and store.run("user_credentials", {username = username})[1]
    if not same_password(password, user and user.password or "") then
        backoff.failed(username, req.network)
        fail("invalid_credentials")
    end
    if user.status ~= "active" then fail("user_disabled") end
    backoff.succeeded(username, req.network)
    return logins.open(user, device)
end

-- ---- refresh: a token is used once ----

local function revoke(fam, user)
    store.run("login_revoke", {fam = fam, now = now()})
    login.revoke(fam, user) -- on this node at once, with its sockets
end

-- The token that was used to get the current pair may be used again for a while by the same client: an answer may get
-- lost, two tabs may share a token. It gets the same pair once more.
local function within_grace(row, old_hash, req)
    if old_hash ~= row.used_hash or now() >= row.used_ms + conf("auth.refresh_grace") then return false end
    return req.address == row.used_address or (req.device ~= "" and req.device == row.used_device)
end

local function same_pair(row)
    local iat, jti = row.pair:match("^(%d+):(%x+)$")
    return token.pair(row.user, row.fam, row.device, math.tointeger(tonumber(iat)), jti)
end

local function next_pair(row, old_hash, req)
    local pair = token.pair(row.user, row.fam, row.device)
    local done = store.try("login_rotate", {
        fam = row.fam, old_hash = old_hash, hash = hash.sha256(pair.refresh), pair = pair.claims, now = now(),
        address = req.address, device = req.device or "",
    })
    return done and pair
end

-- nil: somebody else has just used the token; then it is a repeat.
local function refresh_once(fam, old_hash, req)
    local row = store.run("login_get", {fam = fam})[1] or fail("invalid_token")
    if row.revoked_ms ~= 0 then fail("token_revoked") end
    local current = old_hash == row.refresh_hash
    if not current and not within_grace(row, old_hash, req) then
        revoke(fam, row.user)
        fail("token_reused")
    end
    if row.status ~= "active" then fail("user_disabled") end
    local pair
    if current then pair = next_pair(row, old_hash, req) else pair = same_pair(row) end
    row.id = row.user
    return pair and logins.payload(pair, row)
end

local function refresh(_, req)
    local text = check.text(req.body.refresh_token, 0, math.maxinteger)
    local claims, code = token.read(text, "refresh")
    if not claims then fail(code) end
    local old_hash = hash.sha256(text)
    return refresh_once(claims.fam, old_hash, req) or refresh_once(claims.fam, old_hash, req) or fail("busy")
end

-- ---- logout ----

-- Ends the caller's login. A named device of theirs loses its sockets, too; its login stays.
local function log_out(_, req)
    local device = check.opt_device(req.body.device_id)
    revoke(req.fam, req.user)
    if device then sockets.kick {user = req.user, device = device} end
    return {data = {}}
end

-- ---- where one is logged in ----

local function list_logins(_, req)
    local shown = {}
    for _, row in ipairs(logins.list(req.user)) do
        if row.revoked_ms == 0 then
            shown[#shown + 1] = {
                id = row.family, device = row.device, created_at_ms = row.created_ms, used_at_ms = row.used_ms,
                address = row.address, current = row.family == req.fam,
            }
        end
    end
    return {data = shown}
end

local function end_login(_, req)
    logins.close(req.user, req.id[1], 0)
    return {data = {}}
end

local function end_others(_, req) return {data = {ended = logins.close(req.user, 0, req.fam)}} end

return {
    name = "auth", version = 1,
    init = function() return {} end,
    on = {register = register, login = log_in, refresh = refresh, logout = log_out,
          logins = list_logins, end_login = end_login, end_others = end_others},
}
