-- What auth.lua promises (lua/API.md, Specs). The whole of it on real operations: spec/lua/auth_spec.lua.
local USER <const> = {id = 5, username = "tom", display_name = "Tom", avatar_url = "", status = "active", password = "stored"}
local LOGIN <const> = {fam = 8, user = 5, device = "", revoked_ms = 0, status = "active", refresh_hash = hash.sha256("current"),
    used_hash = hash.sha256("used"), used_ms = 0, used_address = "10.0.0.1", used_device = "", pair = "1:ab", username = "tom",
    display_name = "Tom", avatar_url = ""}

local function world(t, more)
    local w = {
        kv = t.kv(),
        crypt = {hash = "hash", verify = function(password, stored) return password == "right one" and stored == "stored" end},
        store = {
            user_credentials = {USER}, login_prune = {}, login_create = {{id = 8}}, login_pair = {}, login_get = {LOGIN},
            login_rotate = {}, login_revoke = {}, user_create = {{id = 5}},
        },
        token = {read = function() return {user = 5, fam = 8} end},
    }
    for op, fake in pairs(more or {}) do w.store[op] = fake end
    return w
end

local function register(t, username, password, more)
    return t.call("register", {address = "10.0.0.1", body = {username = username, password = password}}, world(t, more))
end

local function log_in(t, password, w)
    return t.call("login", {address = "10.0.0.1", network = "10.0.0.1", body = {username = "Tom", password = password}}, w or world(t))
end

local function refresh(t, text, more)
    return t.call("refresh", {address = "10.0.0.1", body = {refresh_token = text}}, world(t, more))
end

return {
    ["a registration folds the name and opens a login"] = function(t)
        local data = register(t, "ToM", "long enough").data
        t.equal("tom", data.profile.user.username)
        t.equal({"access", "refresh"}, {data.access_token, data.refresh_token})
    end,
    ["strange names, short and long passwords and taken names are refused"] = function(t)
        t.fails("bad_username", register, t, "to", "long enough")
        t.fails("bad_username", register, t, "tom!", "long enough")
        t.fails("weak_password", register, t, "tom", "short")
        t.fails("weak_password", register, t, "tom", ("x"):rep(129))
        t.fails("username_taken", register, t, "tom", "long enough", {user_create = function() return nil, "exists" end})
    end,
    ["the right password opens a login, a wrong one and an unknown user get the same answer"] = function(t)
        t.equal("access", log_in(t, "right one").access_token)
        t.fails("invalid_credentials", log_in, t, "wrong one")
        t.fails("invalid_credentials", log_in, t, "right one", world(t, {user_credentials = {}}))
    end,
    ["after auth.max_failures wrong ones a wait begins, also for the right one"] = function(t)
        local w = world(t)
        w.conf = {["auth.max_failures"] = 3}
        for _ = 1, 3 do t.fails("invalid_credentials", log_in, t, "wrong one", w) end
        local e = t.fails("rate_limited", log_in, t, "right one", w)
        t.equal(30000, e.extra.retry_after_ms)
    end,
    ["a disabled user gets no login"] = function(t)
        local row = {id = 5, username = "tom", status = "disabled", password = "stored"}
        t.fails("user_disabled", log_in, t, "right one", world(t, {user_credentials = {row}}))
    end,
    ["a refresh token is used once: an older one ends the login"] = function(t)
        t.equal("access", refresh(t, "current").access_token)
        t.fails("token_reused", refresh, t, "older")
        local last = t.effects[#t.effects]
        t.equal({"login.revoke", 8, 5}, last)
    end,
    ["a repeat within auth.refresh_grace by the same client gets its pair again"] = function(t)
        local row = {}
        for key, value in pairs(LOGIN) do row[key] = value end
        row.used_ms = t.NOW - 5000
        t.equal("access", refresh(t, "used", {login_get = {row}}).access_token)
        row.used_ms = t.NOW - 10000
        t.fails("token_reused", refresh, t, "used", {login_get = {row}})
    end,
}
