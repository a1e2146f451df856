-- lua/sms.lua: login by phone (PROTOCOL.md rows 5, 6, 9, section 4): what is a phone, how often a code is sent, what a code is good for.
local fake = require "spec.lua.fake"

describe("sms", function()
    local w
    before_each(function() w = fake.new() end)

    local PHONE <const> = "4915112345678"
    local function send(phone) return w:call("sms.send", nil, {body = {phone = phone or PHONE}}) end
    local function code() return w.told:match "the code is (%d+)$" end
    local function login(c, opt)
        opt = opt or {}
        return w:call("sms.login", nil, {body = {phone = opt.phone or PHONE, code = c, device_id = opt.device}, address = opt.address})
    end
    local function refused(f, ...)
        local result, err = f(...)
        assert(result == nil, "not refused")
        return {err.code, err.text, err.extra and err.extra.retry_after_ms}
    end
    local WRONG <const> = {"invalid_credentials", "invalid phone or code"}

    describe("a phone", function()
        it("has 7 to 15 digits, does not start with 0, and may have a + that is dropped", function()
            for _, good in ipairs {"1234567", "+123456789012345", "4915112345678"} do
                assert.same({data = {resend_after_sec = 60}}, send(good))
                assert.truthy(w.told:find("sms to " .. good:gsub("^+", "") .. ":", 1, true))
            end
            for _, bad in ipairs {
                "", "123456", "1234567890123456", "+0123456789", "0123456789", "++1234567", "12345 67", "12345a7", "+", 7,
            } do assert.equal("bad_request", refused(send, bad)[1]) end
            assert.equal("bad_request", (w:refused("sms.send", nil, {body = {}})))
            assert.same({"rate_limited", nil, 60000}, refused(send, "+1234567")) -- the same phone
        end)
    end)

    describe("a code", function()
        it("of 6 digits logs in, once: the first login makes an account, the next finds it", function()
            send()
            local c = code()
            assert.equal(6, #c)
            local first = login(c, {device = "phone"})
            assert.same({"Bearer", "active"}, {first.token_type, first.profile.status})
            assert.truthy(first.profile.user.username:find "^u%d+$")
            assert.equal(first.profile.user.username, first.profile.user.display_name)
            assert.equal(WRONG[1], refused(login, c)[1])
            w.now = w.now + 60000
            send()
            assert.equal(first.profile.user.id, login(code(), {phone = "+" .. PHONE}).profile.user.id)
        end)
        it("lives 5 minutes", function()
            send()
            local c = code()
            w.now = w.now + 5 * 60000
            assert.same(WRONG, refused(login, c))
            send()
            w.now = w.now + 5 * 60000 - 1
            assert.truthy(login(code()))
        end)
        it("is the only live one of its phone", function()
            send()
            local old = code()
            w.now = w.now + 60000
            send()
            assert.same(WRONG, refused(login, old))
            assert.truthy(login(code()))
        end)
        it("is dead after 5 wrong tries", function()
            send()
            for _ = 1, 5 do assert.same(WRONG, refused(login, "999999")) end
            assert.same(WRONG, refused(login, code()))
        end)
        it("is alive after 4", function()
            send()
            for _ = 1, 4 do assert.same(WRONG, refused(login, "x")) end
            assert.truthy(login(code()))
        end)
        it("of one phone is nothing for another", function()
            send()
            assert.same(WRONG, refused(login, code(), {phone = "4915199999999"}))
            assert.equal("bad_request", (w:refused("sms.login", nil, {body = {phone = PHONE}})))
        end)
        it("is guessed at most so often from one address, as passwords are", function()
            for _ = 1, 10 do assert.same(WRONG, refused(login, "0")) end
            assert.same({"rate_limited", "too many attempts", 30000}, refused(login, "0"))
            send()
            assert.equal("rate_limited", refused(login, code())[1])
            assert.truthy(login(code(), {address = "10.0.0.2"}))
        end)
    end)

    describe("sending", function()
        it("goes once in 60 s and 10 times a day", function()
            for i = 1, 10 do
                send()
                if i == 1 then
                    w.now = w.now + 59999
                    assert.same({"rate_limited", nil, 1}, refused(send))
                    w.now = w.now + 1
                else
                    w.now = w.now + 60000
                end
            end
            assert.same({"rate_limited", nil, 24 * 3600000 - 600000}, refused(send))
            w.now = w.now + 24 * 3600000 - 600000
            assert.truthy(send())
            assert.equal("rate_limited", refused(send)[1])
        end)
        it("goes to 60 phones an hour at the wish of one address", function()
            local function wish(n, network)
                return w:call("sms.send", nil, {body = {phone = tostring(4915100000000 + n)}, network = network})
            end
            for n = 1, 60 do assert(wish(n, "2001:db8:0:1::")) end
            assert.same({"rate_limited", nil, 3600000}, refused(wish, 61, "2001:db8:0:1::"))
            assert.truthy(wish(61, "2001:db8:0:2::"))
            w.now = w.now + 3600000
            assert.truthy(wish(62, "2001:db8:0:1::"))
        end)
        it("that fails counts for nothing and leaves the code before good", function()
            w.conf["sms.sender"] = "log"
            send()
            local c = code()
            w.now = w.now + 60000
            _G.log.info = function() error "no gateway" end
            assert.same({"busy", nil}, refused(send))
            assert.truthy(w.logged:find "no gateway")
            _G.log.info = function(text) w.told = text end
            assert.truthy(login(c))
            assert.truthy(send())
            _G.log.info = function() error "no gateway" end
            for n = 1, 60 do assert.same({"busy", nil}, refused(send, tostring(4915100000000 + n))) end
            _G.log.info = function(text) w.told = text end
            assert.truthy(send "4915100000061")
        end)
        it("by http posts what the gateway wants; the secret is only named", function()
            local deliver = dofile "lua/lib/sms_http.lua"
            deliver(PHONE, "123456")
            local p = w.posted[1]
            assert.same({"http://gateway.example/send", "Bearer {sms.token}", {to = "+" .. PHONE, text = "Code: 123456"}},
                {p.url, p.headers["Authorization"], fake.json.decode(p.body)})
            w.gateway = {{status = 500, body = ""}}
            assert.has_error(function() deliver(PHONE, "1") end, "the gateway says 500")
            w.gateway = {nil, "no route"}
            assert.has_error(function() deliver(PHONE, "1") end, "the gateway does not answer: no route")
        end)
    end)

    it("a disabled user gets 403 with the right code only", function()
        send()
        local id = login(code()).profile.user.id
        w:sql("UPDATE user SET status = 'disabled' WHERE id = " .. id)
        w.now = w.now + 60000
        send()
        assert.same(WRONG, refused(login, "x"))
        assert.equal("user_disabled", refused(login, code())[1])
    end)

    it("without auto_register an unknown phone gets the same answer as a wrong code", function()
        w.conf["sms.auto_register"] = false
        assert.truthy(send())
        assert.same(WRONG, refused(login, code()))
    end)

    it("has no password that logs in", function()
        send()
        local name = login(code()).profile.user.username
        assert.equal("invalid_credentials", (w:refused("auth.login", nil, {body = {username = name, password = ""}})))
    end)

    describe("setting one's phone", function()
        it("needs its code, and a phone that nobody else has", function()
            local lena, tom = w:user "lena", w:user "tom"
            local function attach(user, c) return w:call("sms.attach", user, {body = {phone = PHONE, code = c}}) end
            send()
            assert.same(WRONG, refused(attach, lena, "x"))
            assert.same({user = {id = lena, username = "lena", display_name = "lena", avatar_url = ""}, status = "active"},
                attach(lena, code()).data)
            w.now = w.now + 60000
            send()
            assert.equal("phone_taken", refused(attach, tom, code())[1])
            w.now = w.now + 60000
            send()
            assert.equal(lena, login(code()).profile.user.id)
            w.now = w.now + 60000
            send()
            assert.truthy(attach(lena, code())) -- the same again
        end)
    end)
end)
