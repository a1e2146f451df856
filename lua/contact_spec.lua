-- What contact.lua promises (lua/API.md, Specs). The whole of it on real operations: spec/lua/contact_spec.lua.
local ME <const>, PEER <const> = 1, 2

local function apply(t, facts, more)
    local store = {contact_facts = {facts}}
    for op, fake in pairs(more or {}) do store[op] = fake end
    return t.call("apply", {user = ME, body = {target_user_id = PEER, remark = "hello"}}, {store = store})
end

local function stranger(facts)
    local f = {status = "active", contact = 0, blocked = 0}
    for key, value in pairs(facts or {}) do f[key] = value end
    return f
end

return {
    ["an application waits for its target, who is told"] = function(t)
        local asked
        local result = apply(t, stranger(), {
            contact_request_add = function(params)
                asked = params
                return {{id = 7}}
            end,
            contact_request_get = {{id = 7, message = "hello", status = "pending", created_ms = t.NOW, from_avatar_url = "",
                to_avatar_url = ""}},
        })
        t.equal({data = {status = "pending"}}, result)
        t.equal({user = ME, peer = PEER, message = "hello", now = t.NOW}, asked)
        t.equal("push.users", t.effects[1][1])
        t.equal({PEER}, t.effects[1][2])
    end,
    ["who has applied to the caller becomes a contact at once"] = function(t)
        local result = apply(t, stranger {received = 5}, {contact_request_close = {}, contact_pair_add = {}})
        t.equal({data = {status = "accepted"}}, result)
        t.equal(2, #t.effects)
    end,
    ["contacts, blocked ones and unknown users are refused"] = function(t)
        t.fails("already_contact", apply, t, stranger {contact = 1})
        t.fails("blocked", apply, t, stranger {blocked = 1})
        t.fails("not_found", apply, t, stranger {status = "disabled"})
        t.fails("bad_request", t.call, "apply", {user = ME, body = {target_user_id = ME}})
    end,
    ["only a waiting application can be handled"] = function(t)
        t.fails("not_found", t.call, "handle", {user = ME, body = {target_user_id = PEER, accept = true}},
            {store = {contact_facts = {stranger()}}})
    end,
    ["what somebody else changes meanwhile is tried again, then busy"] = function(t)
        local tries = 0
        t.fails("busy", apply, t, stranger(), {contact_request_add = function()
            tries = tries + 1
            return nil, "exists"
        end})
        t.equal(4, tries)
    end,
}
