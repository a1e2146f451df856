-- login: makes logins (token families) for lua/auth.lua and lua/sms.lua (PROTOCOL.md section 4).
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

return login_lib
