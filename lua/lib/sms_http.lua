-- sms_http: sends codes by a gateway that takes a JSON POST (conf: sms.url, sms.text, sms.token). Gateways differ: copy this file to
-- lua/lib/sms_NAME.lua, change what is posted, set sms.sender=NAME. A sender gets the phone (digits with country code, no +) and the
-- code; what it raises means: not sent.
local function request(phone, text)
    return json.encode {to = "+" .. phone, text = text}
end

local HEADERS <const> = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer {sms.token}", -- the secret itself is put in on its way out
}

return function(phone, code)
    local text = conf("sms.text"):gsub("{code}", code)
    local answer, why = http.post(conf "sms.url", HEADERS, request(phone, text))
    if not answer then error("the gateway does not answer: " .. why, 0) end
    if answer.status < 200 or answer.status > 299 then error("the gateway says " .. answer.status, 0) end
end
