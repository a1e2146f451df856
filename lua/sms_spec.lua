-- What sms.lua promises (lua/API.md, Specs). The whole of it on real operations: spec/lua/sms_spec.lua.
local PHONE <const> = "4915112345678"

local function send(t, phone, answers)
    answers.random = {digits = "123456"}
    return t.call("send", {user = 0, address = "10.0.0.1", network = "10.0.0.1", body = {phone = phone}}, answers)
end

return {
    ["what is no phone is refused"] = function(t)
        for _, phone in ipairs {"123456", "1234567890123456", "0123456789", "++4915112345678", "49151 123456"} do
            t.fails("bad_request", send, t, phone, {kv = t.kv()})
        end
    end,
    ["one code in 60 seconds for a phone, with or without +"] = function(t)
        local kv = t.kv()
        t.equal({data = {resend_after_sec = 60}}, send(t, PHONE, {kv = kv}))
        t.fails("rate_limited", send, t, "+" .. PHONE, {kv = kv, now = t.NOW + 59999})
        t.equal({data = {resend_after_sec = 60}}, send(t, PHONE, {kv = kv, now = t.NOW + 60000}))
    end,
    ["a wrong code does not log in"] = function(t)
        local kv = t.kv()
        send(t, PHONE, {kv = kv})
        local req = {user = 0, address = "10.0.0.1", network = "10.0.0.1", body = {phone = PHONE, code = "654321"}}
        t.fails("invalid_credentials", t.call, "login", req, {kv = kv})
    end,
}
