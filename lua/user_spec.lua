-- What user.lua promises (lua/API.md, Specs). The whole of it on real operations: spec/lua/user_spec.lua.
local ROW <const> = {id = 3, username = "mia", display_name = "Mia", avatar_url = "a.png", status = "active"}

local function store(written)
    return {
        user_get = {{id = ROW.id, username = ROW.username, display_name = ROW.display_name, avatar_url = ROW.avatar_url,
            status = ROW.status}},
        user_update = function(params)
            written[1] = params
            return {}
        end,
    }
end

local function update(t, body)
    local written = {}
    local result = t.call("update", {user = 3, body = body}, {store = store(written)})
    return result.data.user, written[1]
end

return {
    ["a profile is shown without what is not for others"] = function(t)
        local result = t.call("get", {user = 1, id = {3}}, {store = {user_get = {ROW}}})
        t.equal({data = {id = 3, username = "mia", avatar_url = "a.png", display_name = "Mia"}}, result)
    end,
    ["an unknown user is not found"] = function(t)
        t.fails("not_found", t.call, "get", {user = 1, id = {4}}, {store = {user_get = {}}})
    end,
    ["an empty name changes nothing, clear_avatar takes the picture away"] = function(t)
        local user, written = update(t, {display_name = ""})
        t.equal("Mia", user.display_name)
        t.equal(nil, written)
        user, written = update(t, {clear_avatar = true})
        t.equal("", user.avatar_url)
        t.equal({user = 3, display_name = "Mia", avatar_url = ""}, written)
    end,
    ["a display name has at most 64 characters, without control characters"] = function(t)
        local name = ("ä"):rep(64)
        t.equal(name, (update(t, {display_name = name})).display_name)
        t.fails("bad_request", update, t, {display_name = name .. "x"})
        t.fails("bad_request", update, t, {display_name = "a\nb"})
    end,
    ["a search for nothing is refused"] = function(t)
        t.fails("bad_request", t.call, "search", {user = 1, query = {}})
        t.fails("bad_request", t.call, "search", {user = 1, query = {q = ("x"):rep(65)}})
    end,
}
