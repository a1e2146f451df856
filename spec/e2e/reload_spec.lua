-- Rules are changed while people chat: a copy of lua/ in script.dir, an edited file, SIGHUP. The new rule serves, nothing that was
-- sent is lost, no client sees an error; a file that does not compile changes nothing and is logged.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local P = require "parley_spec"

describe("a reload", function()
    local n, dir, lena, tom
    before_each(function()
        dir = P.tmpdir()
        assert(os.execute("cp -r lua/. '" .. dir .. "' && rm '" .. dir .. "'/*_spec.lua '" .. dir .. "'/lib/*_spec.lua"))
        n = node.start {["script.dir"] = dir, ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        lena, tom = n:person(), n:person()
    end)
    after_each(function()
        n:finish()
        P.rmtree(dir)
    end)

    local function edit(file, from, to)
        local path = dir .. "/" .. file
        local text = attack.slurp(path)
        local at, stop = text:find(from, 1, true)
        assert(at and not text:find(from, stop, true), "not once in " .. file .. ": " .. from)
        local f = io.open(n.dir .. "/edited", "w")
        f:write(text:sub(1, at - 1), to, text:sub(stop + 1))
        f:close()
        assert(os.rename(n.dir .. "/edited", path)) -- as an editor does: never half a file
    end

    -- HUP, and wait until it is done
    local function reload()
        local before = attack.metric(n, "script_reloads_total")
        n.process:kill(1)
        assert.truthy(node.eventually(function() return attack.metric(n, "script_reloads_total") > before end, 60000))
    end

    -- members send, read and change things without end; meanwhile what() runs in the middle. All that was asked was answered well
    local function under_load(what)
        local group = lena:group({tom}, "load")
        local socks = {lena:socket("l1"), lena:socket("l2"), tom:socket("t1")}
        local acks, pushes, rounds = 0, {}, 0
        local function round(k)
            rounds = rounds + 1
            for i, c in ipairs(socks) do
                for part = 1, 5 do
                    local cid = ("%d.%d.%d"):format(i, k, part)
                    c:send {type = "message", data = {conversation_id = group, client_msg_id = cid, content = cid}}
                end
            end
            -- scripts are at work all the time: lists, settings, profiles
            for _, who in ipairs {lena, tom} do
                assert.equal(200, who:put("/api/conversations/" .. group .. "/settings", {pinned = k % 2 == 0}).status)
                assert.equal(200, who:get("/api/conversations").status)
                assert.equal(200, who:put("/api/users/me", {display_name = "name " .. k}).status)
            end
            for i, c in ipairs(socks) do
                local mine = 0
                while mine < 5 do
                    local m = assert(c:next(20000 * node.slow))
                    assert.not_equal("error", m.type)
                    if m.type == "message_ack" then mine, acks = mine + 1, acks + 1 end
                    if m.type == "new_message" then pushes[i] = (pushes[i] or 0) + 1 end
                end
            end
        end
        for k = 1, 20 do round(k) end
        what(function() round(rounds + 1) end)
        for k = rounds + 1, rounds + 20 do round(k) end
        assert.equal(rounds * 15, acks)
        for i, m in ipairs(lena:history(group)) do assert.equal(i, m.seq) end
        assert.equal(acks, lena:get("/api/conversations/" .. group).json.data.latest_seq)
        for i, c in ipairs(socks) do
            while pushes[i] < rounds * 10 do
                local m = assert(c:want("new_message"))
                pushes[i] = pushes[i] + (m and 1 or 0)
            end
            c:close()
        end
    end

    it("of the recall rule serves under load: 120 s become 0 s", function()
        local chat = lena:chat(tom)
        local old = lena:say(chat, "may be recalled")
        local late = lena:say(chat, "may not be recalled any more")
        under_load(function(round)
            assert.equal(200, lena:post("/api/messages/" .. old.id .. "/revoke").status)
            edit("recall.lua", 'conf("recall.window")', "0")
            local before = attack.metric(n, "script_reloads_total")
            n.process:kill(1)
            repeat round() until attack.metric(n, "script_reloads_total") > before
            local r = lena:post("/api/messages/" .. late.id .. "/revoke")
            assert.same({409, "recall_expired"}, {r.status, r.json.code})
            assert.equal(200, lena:post("/api/messages/" .. old.id .. "/revoke").status) -- a repeat is a repeat
        end)
        assert.falsy(n:log():find("Z error ", 1, true), n:log())
    end)

    it("of a group rule serves: plain members may change the title now, and may not send after it", function()
        local group = lena:group({tom}, "rules")
        local path = "/api/conversations/" .. group
        assert.equal(403, tom:put(path, {title = "mine"}).status)
        edit("group.lua", 'update = {role = "admin"}', 'update = {role = "member"}')
        reload()
        assert.equal("mine", tom:put(path, {title = "mine"}).json.data.title)
        edit("group.lua", 'if dissolved ~= 0 then return "dissolved" end', 'if rank == 1 then return "muted" end')
        reload()
        local r = tom:post("/api/messages", {conversation_id = group, client_msg_id = "x", text = "x"})
        assert.same({403, "muted"}, {r.status, r.json.code})
        assert.equal(1, lena:say(group, "the owner may").seq)
    end)

    it("of the limit of a password reaches the next registration", function()
        edit("auth.lua", "local PASSWORD_MAX <const> = 128", "local PASSWORD_MAX <const> = 9")
        reload()
        local r = n:api("POST", "/api/auth/register", {body = {username = "some.name", password = "ten letters"}})
        assert.same({400, "password must have 8 to 9 characters"}, {r.status, r.json.error})
    end)

    it("is refused by the spec beside the file until that says what the rule does", function()
        assert(os.execute("cp lua/recall_spec.lua '" .. dir .. "'"))
        local chat = lena:chat(tom)
        edit("recall.lua", 'conf("recall.window")', "0")
        reload()
        assert.equal(200, lena:post("/api/messages/" .. lena:say(chat, "old rule").id .. "/revoke").status)
        assert.truthy(n:log():find("Z error script reload: recall: the old version goes on: lua/recall_spec.lua: ", 1, true))
        edit("recall_spec.lua", "local WINDOW <const> = 60000", "local WINDOW <const> = 0")
        edit("recall.lua", "local WINDOW_MS <const> = 0", "local WINDOW_MS <const> = 0 -- nobody")
        reload()
        local late, said = lena:say(chat, "new rule"), P.now()
        assert.truthy(node.eventually(function() return P.now() > said + 1 end)) -- not in the same millisecond
        assert.equal(409, lena:post("/api/messages/" .. late.id .. "/revoke").status)
    end)

    it("reaches a rule that floods itself with timers, each a loop", function()
        local path = dir .. "/recall.lua"
        local good = attack.slurp(path)
        -- where a shard gets no time for the order, it is taken back: an operator would try again
        local function reload_until_served(change)
            local function served() return select(2, n:log():gsub("reload: recall is replaced: version %d+ serves", "")) end
            local before = served()
            change() -- a reload that was asked for before may bring it in
            assert.truthy(node.eventually(function()
                reload()
                return served() > before
            end, 120000), n:log():sub(-3000))
        end
        reload_until_served(function()
            edit("recall.lua", "    policy = {", [[
    on = {flood = function() while true do pcall(after, 1, "flood", {}) end end},
    every = {{10, "flood", each = true}},
    policy = {]])
        end)
        assert.truthy(node.eventually(function() return attack.metric(n, "script_busy_total") > 1000 end, 60000))
        reload_until_served(function()
            local f = assert(io.open(path, "w"))
            f:write(good)
            f:close()
        end)
        -- what the mailbox still holds goes by without a handler
        assert.truthy(node.eventually(function()
            local before = attack.metric(n, "script_busy_total")
            P.pause(50)
            return attack.metric(n, "script_busy_total") == before
        end, 60000))
    end)

    for what, text in pairs {["does not compile"] = "this is no Lua (", ["fails when it is loaded"] = "error('boom')",
        ["gives no service"] = "return 5", ["uses a global"] = "x = 1 return {}"} do
        it("of a file that " .. what .. " changes nothing and is logged; a good one later serves", function()
            local good = attack.slurp(dir .. "/recall.lua")
            under_load(function(round)
                local f = io.open(dir .. "/recall.lua", "w")
                f:write(text)
                f:close()
                n.process:kill(1)
                assert.truthy(node.eventually(function()
                    round()
                    return n:log():find("Z error script [^\n]*recall")
                end, 60000))
                local chat = lena:chat(tom)
                local function recall()
                    local m = lena:say(chat, "to recall")
                    return lena:post("/api/messages/" .. m.id .. "/revoke").status
                end
                assert.equal(200, recall()) -- the old rule
                f = io.open(dir .. "/recall.lua", "w")
                f:write((good:gsub('conf%("recall.window"%)', "0")))
                f:close()
                n.process:kill(1)
                assert.truthy(node.eventually(function()
                    round()
                    P.pause(2)
                    return recall() == 409
                end, 60000))
            end)
        end)
    end

    it("ten times in a row, by ten signals at once, ends in the last version", function()
        for i = 1, 10 do
            edit("auth.lua", i == 1 and "local PASSWORD_MAX <const> = 128" or ("local PASSWORD_MAX <const> = " .. 19 + i),
                "local PASSWORD_MAX <const> = " .. 20 + i)
            n.process:kill(1)
        end
        assert.truthy(node.eventually(function()
            local r = n:api("POST", "/api/auth/register", {body = {username = "some.name", password = ("x"):rep(99)}})
            return r.json.error == "password must have 8 to 30 characters"
        end, 60000))
        attack.unharmed(n)
    end)
end)
