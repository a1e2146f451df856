-- user: profiles and search (PROTOCOL.md rows 7, 8, 10, 11).
-- Rules an operator may want to change:
local DISPLAY_NAME_MAX <const> = 64 -- characters
local QUERY_MAX <const> = 64        -- characters of a search
local PAGE <const> = {default = 20, max = 50}

local check = require "lib.check"
local page = require "lib.page"
local path = require "lib.path"
local picture = require "lib.picture"
local shape = require "lib.shape"

local function user_row(id)
    return store.run("user_get", {user = id})[1] or fail("not_found")
end

local function me(_, req)
    return {data = shape.profile(user_row(req.user))}
end

-- Empty means unchanged, so an avatar is taken away by clear_avatar.
local function changed_text(v) return v ~= "" and v or nil end

local function update(_, req)
    local body = req.body or {}
    local name = changed_text(check.opt_text(body.display_name, 0, DISPLAY_NAME_MAX, true))
    local avatar = picture.text(body.avatar_url)
    if check.opt_bool(body.clear_avatar) and not avatar then avatar = "" end
    local row = user_row(req.user)
    if name or avatar then
        avatar = picture.keep(avatar, req.user)
        row.display_name, row.avatar_url = name or row.display_name, avatar or row.avatar_url
        store.run("user_update", {user = req.user, display_name = row.display_name, avatar_url = row.avatar_url})
    end
    return {data = shape.profile(row)}
end

local function get(_, req)
    return {data = shape.user(user_row(path.user(req)))}
end

-- The very id or username first, then prefixes of username and display name. ASCII case is ignored.
local function search(_, req)
    local q = check.text(req.query and req.query.q, 1, QUERY_MAX):lower()
    local p = page.open(req, {list = "users:" .. q, default = PAGE.default, max = PAGE.max, places = 2})
    local after = p.after or {-1, 0}
    local rows = store.run("user_search", {
        q = q, stop = q .. utf8.char(0x10FFFF), id = q:find("^%d+$") and #q <= 15 and math.tointeger(tonumber(q)) or 0,
        caller = req.user, after_rank = after[1], after_id = after[2], limit = p.limit,
    })
    return page.answer(p, rows, shape.user, function(row) return row.rank, row.id end)
end

return {
    name = "user", version = 1,
    init = function() return {} end,
    on = {me = me, update = update, get = get, search = search},
    concurrent = {"me", "get", "search"},
}
