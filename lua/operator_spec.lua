-- What operator.lua promises (lua/API.md, Specs). The whole of it on real operations: spec/lua/operator_spec.lua.
local TOM <const> = {id = 5, username = "tom", status = "active"}

local function ask(t, verb, req, more)
    local store = {operator_user = function(p) return (p.id == 5 or p.name == "tom") and {TOM} or {} end}
    for op, fake in pairs(more or {}) do store[op] = fake end
    return t.call(verb, req, {store = store, presence = {online = true}})
end

return {
    ["a number is an id, all else a username, in any case"] = function(t)
        t.equal(true, ask(t, "show", {who = "5"}).online)
        t.equal(5, ask(t, "show", {who = "TOM"}).id)
        for _, who in ipairs {"6", "nobody", "", "99999999999999999999"} do t.fails("not_found", ask, t, "show", {who = who}) end
    end,
    ["a disabled or frozen user is refused once the store knows; an enabled one is let in"] = function(t)
        for verb, want in pairs {disable = {"disabled", "login.disable"}, freeze = {"frozen", "login.disable"},
            enable = {"active", "login.enable"}} do
            local stored
            local done = ask(t, verb, {who = "tom"}, {user_status = function(p)
                stored = p
                t.equal(0, #t.effects, "the store comes first")
                return {}
            end})
            t.equal({user = 5, status = want[1]}, stored)
            t.equal({id = 5, username = "tom", before = "active", status = want[1]}, done)
            t.equal({want[2], 5}, t.effects[1])
        end
        t.fails("not_found", ask, t, "disable", {who = "nobody"})
    end,
    ["all sessions are revoked, however many there are; tokens of each are refused from then on"] = function(t)
        local left = 203
        local done = ask(t, "revoke", {who = "tom"}, {
            login_live = function(p)
                local rows = {}
                for i = 1, math.min(left, p.limit) do rows[i] = {family = left - i + 1} end
                left = left - #rows
                return rows
            end, login_revoke = {},
        })
        t.equal({id = 5, revoked = 203}, done)
        t.equal(203, #t.effects)
        t.equal({"login.revoke", 203, 5}, t.effects[1])
    end,
    ["a session that is not there, or revoked already, is not found"] = function(t)
        t.fails("not_found", ask, t, "revoke", {who = "tom", family = 9}, {login_live = {}})
        t.equal(0, ask(t, "revoke", {who = "tom"}, {login_live = {}}).revoked)
    end,
}
