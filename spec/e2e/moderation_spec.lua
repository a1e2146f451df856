-- The rules of lua/moderation.lua on a running node: switched on and off by an edit and SIGHUP.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local P = require "parley_spec"

describe("a moderation rule", function()
    local n, dir, lena, tom, group
    setup(function()
        dir = P.tmpdir()
        assert(os.execute("cp -r lua/. '" .. dir .. "'"))
        n = node.start {["script.dir"] = dir}
        lena, tom = n:person(), n:person()
        group = lena:group({tom}, "talk")
    end)
    teardown(function()
        n:finish()
        P.rmtree(dir)
    end)

    local shipped = attack.slurp("lua/moderation.lua")
    local function rules(...)
        local text = shipped
        for _, name in ipairs {...} do text = text:gsub('%-%- (require "lib%.' .. name .. '",)', "%1") end
        local f = assert(io.open(n.dir .. "/edited", "w"))
        f:write(text)
        f:close()
        assert(os.rename(n.dir .. "/edited", dir .. "/moderation.lua"))
        local before = attack.metric(n, "script_reloads_total")
        n.process:kill(1)
        assert.truthy(node.eventually(function() return attack.metric(n, "script_reloads_total") > before end))
    end

    local sent = 0
    local function say(who, text, cid)
        sent = sent + 1
        cid = cid or "c" .. sent
        local r = who:post("/api/messages", {conversation_id = group, client_msg_id = cid, text = text or "hi"})
        return r.status, r.json.code ~= 0 and r.json.code or r.json.data.seq, cid
    end

    it("limits how often a member speaks in slow mode, and a repeat still gets its first answer", function()
        rules "slow_mode"
        local status, seq, cid = say(tom)
        assert.equal(200, status)
        local refused, code, again = say(tom)
        assert.same({429, "rate_limited"}, {refused, code})
        assert.same({200, seq, cid}, {say(tom, "hi", cid)}, "a repeat")
        assert.equal(200, (say(lena)))
        assert.equal(200, (say(lena)), "the owner as she likes")
        assert.equal(200, tom:post("/api/messages", {conversation_id = tom:chat(lena), client_msg_id = "s", text = "x"}).status)
        rules()
        assert.equal(200, (say(tom, "hi", again)), "what was refused can be sent once it is allowed")
    end)

    it("refuses listed words with an error on the socket, and nothing is stored or pushed", function()
        rules "word_list"
        local from, to = tom:socket("t1"), lena:socket("l1")
        from:send {type = "message", id = "1", data = {conversation_id = group, client_msg_id = "w1", content = "a Swindle"}}
        local e = from:want("error") -- a read_sync of what was said before may come first
        assert.same({"error", "forbidden", "w1"}, {e.type, e.data.code, e.data.client_msg_id}, n:log())
        from:send {type = "message", id = "2", data = {conversation_id = group, client_msg_id = "w2", content = "fine"}}
        assert.truthy(from:want("message_ack"))
        assert.equal("w2", to:want("new_message").data.client_msg_id)
        rules()
    end)
end)
