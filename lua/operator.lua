-- operator: what an operator sees and does of users by the console (PROTOCOL.md section 4, Disabling). No route leads here.
local logins = require "lib.login"

-- Who is meant: a number is an id, all else a username.
local function user_of(who)
    local id = who:find("^%d+$") and #who <= 15 and math.tointeger(tonumber(who)) or 0
    local row = store.run("operator_user", {id = id, name = who:lower()})[1]
    return row or fail("not_found", "there is no such user")
end

local function show(_, req)
    local row = user_of(req.who)
    row.online = presence.online(row.id)
    return row
end

-- ---- the state of an account ----

-- A login that is being made meanwhile is refused by login.disable, which comes after the store knows.
local function set_status(who, status)
    local row = user_of(who)
    store.run("user_status", {user = row.id, status = status})
    if status == "active" then login.enable(row.id) else login.disable(row.id) end
    log.info("user " .. row.id .. " is " .. status .. " now")
    return {id = row.id, username = row.username, before = row.status, status = status}
end

local function disable(_, req) return set_status(req.who, "disabled") end
local function freeze(_, req) return set_status(req.who, "frozen") end
local function enable(_, req) return set_status(req.who, "active") end

-- ---- logins ----

local function sessions(_, req) return logins.list(user_of(req.who).id) end

local function revoke(_, req)
    local user = user_of(req.who).id
    local count = logins.close(user, req.family or 0, 0)
    if count == 0 and req.family then fail("not_found", "this user has no such session, or it is revoked already") end
    return {id = user, revoked = count}
end

return {
    name = "operator", version = 1,
    init = function() return {} end,
    on = {show = show, disable = disable, freeze = freeze, enable = enable, sessions = sessions, revoke = revoke},
}
