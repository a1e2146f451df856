-- login: makes, lists and ends logins (token families) for lua/auth.lua, lua/sms.lua and lua/operator.lua (PROTOCOL.md section 4).
local LISTED <const> = 1000       -- token families in one list
local ENDED_AT_ONCE <const> = 200 -- in one round; rounds follow until all are ended

local shape = require "lib.shape"

local login_lib = {}

-- AuthPayload of section 5.
function login_lib.payload(pair, user)
    return {
        access_token = pair.access, refresh_token = pair.refresh, expires_in = pair.expires_in, token_type = "Bearer",
        profile = shape.profile(user),
    }
end

-- A new login of the user; logins that nobody can use any more go with it.
function login_lib.open(user, device)
    local found = store.batch {
        {"login_prune", {user = user.id, before = now() - conf("auth.refresh_ttl")}},
        {"login_create", {user = user.id, device = device, now = now()}},
    }
    local fam = found[2][1].id
    local pair = token.pair(user.id, fam, device)
    store.run("login_pair", {fam = fam, hash = hash.sha256(pair.refresh), pair = pair.claims})
    return login_lib.payload(pair, user)
end

-- The newest first, ended ones too; without those whose tokens have all expired.
function login_lib.list(user)
    return store.run("login_list", {user = user, since = now() - conf("auth.refresh_ttl"), limit = LISTED})
end

local function close_some(user, family, except)
    local rows = store.run("login_live", {user = user, family = family, except = except, limit = ENDED_AT_ONCE})
    local steps = {}
    for i, row in ipairs(rows) do steps[i] = {"login_revoke", {fam = row.family, now = now()}} end
    if #steps > 0 then store.batch(steps) end
    for _, row in ipairs(rows) do login.revoke(row.family, user) end
    return #rows
end

-- Their tokens are worth nothing from now on, their sockets close. family: this one only (0: all); except: all but this one (0: none).
function login_lib.close(user, family, except)
    local count = 0
    repeat
        local some = close_some(user, family, except)
        count = count + some
    until some < ENDED_AT_ONCE
    return count
end

return login_lib
