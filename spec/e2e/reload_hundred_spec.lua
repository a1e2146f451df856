-- A hundred reloads while people talk at 200 messages a second, half of them broken in every way there is: no message is lost, nobody
-- sees an error, and at the end the node holds no more than at the beginning.
local P = require "parley_spec"
local ctl = require "spec.support.ctl"
local attack = require "spec.support.attack"
local node = require "spec.support.node"

local RELOADS <const>, PER_SECOND <const> = 100, 200

local function write(path, text)
    local f = assert(io.open(path .. ".new", "w"))
    f:write(text)
    f:close()
    assert(os.rename(path .. ".new", path)) -- as an editor does: never half a file
end

local function rss_kib(n)
    local f = assert(io.open("/proc/" .. n.line:match("pid=(%d+)") .. "/status"))
    local text = f:read("a")
    f:close()
    return tonumber(text:match("VmRSS:%s+(%d+)"))
end

describe("a hundred reloads", function()
    local n, dir, console, recall, group
    before_each(function()
        dir = P.tmpdir()
        assert(os.execute("cp -r lua/. '" .. dir .. "'"))
        n = node.start {["script.dir"] = dir, ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0", ["admin.listen"] = "127.0.0.1:0",
            ["script.history"] = 4, ["script.canary_requests"] = 20, ["script.canary_time"] = "20s", ["workers"] = 1}
        console = ctl.open(n)
        recall, group = attack.slurp(dir .. "/recall.lua"), attack.slurp(dir .. "/group.lua")
    end)
    after_each(function()
        n:finish()
        P.rmtree(dir)
    end)

    -- Each is called with k and brings in a version; true: it may serve
    local function plain(file, text)
        return function(k)
            write(dir .. "/" .. file, text .. "\n-- " .. k .. "\n")
            return console:ask("reload")
        end
    end
    local good = {
        function(k) return plain("recall.lua", recall)(k) end,
        function(k) return plain("group.lua", group)(k) end,
    }
    local bad = {
        syntax = function(k) return plain("recall.lua", "return {")(k) end,
        init = function(k)
            return plain("recall.lua", (recall:gsub('version = 1,', "version = 1, init = function() error('no') end,")))(k)
        end,
        upgrade = function(k)
            return plain("recall.lua", (recall:gsub('version = 1,', "version = 1, upgrade = function() error('no') end,")))(k)
        end,
        spec = function(k) return plain("recall.lua", (recall:gsub("if own == 0 then", "if own == 1 then")))(k) end,
        -- passes its specs, and fails for real conversations; tried on the one worker that all messages pass
        runtime = function(k)
            write(dir .. "/group.lua", (group:gsub('local function may_send%b()', "%0 if now_ms ~= 1760000000000 then error('boom') end"))
                .. "\n-- " .. k .. "\n")
            return console:ask("canary group --share=100")
        end,
    }

    it("half of them broken, lose nothing, show nobody an error and leave nothing behind", function()
        local kinds = {"syntax", "init", "upgrade", "spec", "runtime"}
        local lena, tom = n:person(), n:person()
        local room = lena:group({tom}, "load")
        local socks = {lena:socket("l1"), tom:socket("t1")}
        local sent, acks, pushes, began = 0, 0, {0, 0}, P.now()

        local function drain(ms)
            for i, c in ipairs(socks) do
                local m = c:next(ms)
                while m do
                    assert.not_equal("error", m.type)
                    if m.type == "message_ack" then acks = acks + 1 end
                    if m.type == "new_message" then pushes[i] = pushes[i] + 1 end
                    m = c:next(0)
                end
            end
        end
        -- what is due by now is sent; what has come is read
        local function talk()
            while sent < (P.now() - began) * PER_SECOND // 1000 and sent - acks < 400 do
                sent = sent + 1
                socks[sent % 2 + 1]:send {type = "message", data = {conversation_id = room, client_msg_id = "m" .. sent, content = "x"}}
            end
            drain(1)
        end
        local function talk_until(check, ms)
            local till = P.now() + ms * node.slow
            while P.now() < till and not check() do talk() end
            return check()
        end
        local function settle(k)
            local kind = k % 2 == 0 and kinds[k // 2 % #kinds + 1]
            local answer = (kind and bad[kind] or good[k // 2 % 2 + 1])(k)
            talk()
            if kind == "runtime" then
                assert.equal("tried", answer[1].result)
                assert.truthy(talk_until(function() return console:ask("history group")[1].state == "rolled_back" end, 20000))
            else
                assert.equal(kind and "refused" or "serves", answer[1].result, (kind or "good") .. " " .. k)
            end
            -- the rules go on to be asked, by requests that run in Lua, too
            assert.equal(200, lena:put("/api/conversations/" .. room .. "/settings", {pinned = k % 2 == 0}).status)
            assert.equal(200, tom:get("/api/conversations").status)
        end

        for k = 1, 20 do settle(k) end -- the history is full, tables have grown
        collectgarbage()
        local rss = rss_kib(n)
        for k = 21, 20 + RELOADS do settle(k) end
        assert.truthy(talk_until(function() return acks == sent end, 10000))
        local rate = sent * 1000 // (P.now() - began)
        for i = 1, 2 do assert.truthy(talk_until(function() return pushes[i] >= sent // 2 end, 10000)) end
        assert.equal(sent, lena:get("/api/conversations/" .. room).json.data.latest_seq)
        local grown = rss_kib(n) - rss
        print(("%d messages, %d a second, RSS %d KiB, grown by %d KiB, pause %.2f ms on average"):format(sent, rate, rss, grown,
            1000 * attack.metric(n, "script_pause_seconds_sum") / attack.metric(n, "script_pause_seconds_count")))
        if node.slow == 1 then assert.truthy(grown < 6 * 1024, "RSS has grown by " .. grown .. " KiB") end
    end)
end)
