-- What sms_http.lua promises (lua/API.md, Specs): copy it with the sender that you make of it.
local function send(t, gateway)
    local conf = {["sms.url"] = "https://gateway.example/send", ["sms.text"] = "Your code is {code}."}
    return t.with({conf = conf, http = {post = gateway}}, t.module(), "49170123456", "004711")
end

return {
    ["posts the text with the code to the gateway; the secret is named, not known"] = function(t)
        local asked
        send(t, function(url, headers, body)
            asked = {url, headers.Authorization, json.decode(body)}
            return {status = 202, body = ""}
        end)
        t.equal({"https://gateway.example/send", "Bearer {sms.token}", {to = "+49170123456", text = "Your code is 004711."}}, asked)
    end,
    ["raises what the gateway says, and that it says nothing"] = function(t)
        for answer, why in pairs {[500] = "says 500", [302] = "says 302", [false] = "does not answer: timeout"} do
            local ok, e = pcall(send, t, function()
                if answer then return {status = answer, body = ""} end
                return nil, "timeout"
            end)
            t.equal({false, true}, {ok, e:find(why, 1, true) ~= nil})
        end
    end,
}
