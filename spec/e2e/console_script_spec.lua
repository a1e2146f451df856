-- The console's commands about the rules: reload, canary, promote, abort, rollback, history, diff, each by who typed it.
local P = require "parley_spec"
local attack = require "spec.support.attack"
local console = require "spec.support.console"
local node = require "spec.support.node"

describe("the console's rules", function()
    local n, dir, lena, recall
    before_each(function()
        dir = P.tmpdir()
        assert(os.execute("cp -r lua/. '" .. dir .. "'"))
        local data = P.tmpdir()
        console.account(data, "lena", "operate")
        console.account(data, "tom", "read")
        n = node.start({["admin.listen"] = "127.0.0.1:0", ["script.dir"] = dir}, data)
        lena = console.login(n)
        recall = attack.slurp(dir .. "/recall.lua")
    end)
    after_each(function()
        lena:close()
        n:finish()
        P.rmtree(dir)
    end)

    local function change(text)
        local f = assert(io.open(dir .. "/recall.lua", "w"))
        f:write(text)
        f:close()
    end
    local function row_of(service)
        for _, row in ipairs(lena:json("scripts")) do
            if row.service == service then return row end
        end
    end

    it("list what serves, bring in what changed and tell why not", function()
        assert.same({1, "start"}, {row_of("recall").number, row_of("recall").by})
        assert.same({}, lena:json("reload"))
        change(recall .. "-- two\n")
        assert.same({"recall", 2, "serves"}, {lena:json("reload")[1].service, 2, lena:json("history recall")[1].state and "serves"})
        assert.same({2, "lena"}, {row_of("recall").number, row_of("recall").by})
        change("return { -- three")
        local r = lena:json("reload recall")[1]
        assert.same({"refused", "lua/recall.lua:1: unexpected symbol near <eof>"}, {r.result, r.reason})
        assert.equal(2, row_of("recall").number)
        assert.truthy(lena:run("diff recall 1 2"):find("+-- two", 1, true))
        assert.truthy(lena:run("diff recall new"):find("+return { -- three", 1, true))
        assert.truthy(lena:run("history recall"):find("refused", 1, true))
    end)

    it("roll back and say who did", function()
        change(recall .. "-- two\n")
        lena:json("reload")
        assert.equal("serves", lena:json("rollback recall")[1].result)
        local h = lena:json("history recall")
        assert.same({"rolled_back", "lena", "back to version 1"}, {h[1].state, h[1].by, h[1].reason})
        assert.equal(true, row_of("recall").held)
        assert.equal("there is no such version", lena:json("rollback recall 99").error)
        assert.equal("there is no such service", lena:json("rollback nothing").error)
    end)

    it("try a version, show both accounts, promote it or give it up", function()
        change(recall .. "-- two\n")
        assert.equal("tried", lena:json("canary recall --share=50")[1].result)
        assert.equal("version 2 on 50 %", row_of("recall").canary)
        local sides = lena:json("canary recall --show")
        assert.same({1, "requests", 2, "policies"}, {sides[1].number, sides[1].of, sides[4].number, sides[4].of})
        assert.equal("ended", lena:json("abort recall")[1].result)
        assert.truthy(lena:json("canary recall --share=101").error)
        assert.equal("tried", lena:json("canary recall --shard=1")[1].result)
        assert.equal("serves", lena:json("promote recall")[1].result)
        assert.equal("no version of it is tried", lena:json("promote recall").error)
        assert.truthy(lena:json("canary recall --show").error)
    end)

    it("let a version see live traffic without effect, show where it would differ, and end it", function()
        local auth = attack.slurp(dir .. "/auth.lua")
        local function write(text)
            local f = assert(io.open(dir .. "/auth.lua", "w"))
            f:write(text)
            f:close()
        end
        local function account() return lena:json("shadow auth show") end
        -- Registers people, which asks auth for all it can: crypt, the store, tokens, kv. Any other answer than theirs is an error.
        local function registers(count)
            local before = account()
            for _ = 1, count do
                local who = n:person()
                assert.truthy(who:get("/api/me").json)
            end
            assert.truthy(node.eventually(function()
                local now = account()
                return now.same + now.differed + now.failed + now.not_looked_at
                    >= before.same + before.differed + before.failed + before.not_looked_at + count
            end))
            return account()
        end

        assert.truthy(lena:json("shadow auth on").error:find("have not changed", 1, true))
        write(auth .. "-- two\n")
        assert.equal("shadow", lena:json("shadow auth on")[1].result)
        assert.same({"version 2", 1}, {row_of("auth").shadow, row_of("auth").number})
        assert.equal("shadow", lena:json("history auth")[1].state)
        local same = registers(6)
        assert.same({2, 0, 0, {}}, {same.number, same.differed, same.failed, same.differences})
        assert.truthy(same.same > 0)

        local changed, count = auth:gsub('display_name = username end\n', 'display_name = username:upper() end\n', 1)
        assert.equal(1, count)
        write(changed)
        assert.equal(3, lena:json("shadow auth on")[1].number)
        local other = registers(6)
        assert.same({3, 0, 0}, {other.number, other.same, other.failed})
        local d = other.differences[1]
        assert.same({"request", "register", "another call"}, {d.of, d.verb, d.what})
        assert.truthy(d.live:find('store.try("user_create"', 1, true))
        assert.truthy(d.live:find('"password":"***"', 1, true) and not d.live:find("argon2", 1, true))
        -- what people are called is not shown, but which of it the shadow would have written otherwise
        for _, call in ipairs {d.live, d.shadow} do
            assert.truthy(call:find('"display_name":"%*%*%* %d+ bytes, another one"') and call:find('"username":"%*%*%* %d+ bytes"'), call)
        end
        assert.truthy(lena:run("shadow auth show"):find("another call", 1, true))

        assert.equal("ended", lena:json("shadow auth off")[1].result)
        assert.falsy(row_of("auth").shadow)
        assert.equal("ended", lena:json("history auth")[1].state)
        assert.equal("no version of it is in shadow", lena:json("shadow auth show").error)
        assert.equal(1, row_of("auth").number)
    end)

    it("let a reader look and nothing more", function()
        local tom = console.login(n, "tom")
        for _, line in ipairs {"scripts", "history recall", "diff recall new"} do
            assert.falsy(tom:run(line):find("^error"), line)
        end
        for _, line in ipairs {"reload", "canary recall", "promote recall", "abort recall", "rollback recall", "shadow recall on",
            "shadow recall off"} do
            assert.truthy(tom:run(line):find("^error"), line)
        end
        tom:close()
    end)
end)
