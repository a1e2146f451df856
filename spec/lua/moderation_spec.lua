-- lua/moderation.lua and the rules that it can switch on: what may be said.
local fake = require "spec.lua.fake"
local json = require "spec.support.json"

local SINGLE <const>, GROUP <const> = 1, 2
local MEMBER <const>, ADMIN <const>, OWNER <const> = 1, 2, 3
local NOON <const> = 1760011200000 -- 2025-10-09 12:00 UTC
local HOUR <const> = 3600000

describe("moderation", function()
    local function load_again(name)
        package.loaded[name] = nil
        return require(name)
    end

    -- the file as an operator would have it with these rules switched on
    local function moderation(names)
        fake.new()
        local text = assert(io.open("lua/moderation.lua")):read("a")
        for _, name in ipairs(names) do
            load_again("lib." .. name)
            local n
            text, n = text:gsub('%-%- (require "lib%.' .. name .. '",)', "%1")
            assert.equal(1, n)
        end
        return assert(load(text, "@lua/moderation.lua"))().policy
    end

    local function ask(policy, f)
        return policy.may_say(7, f.type or GROUP, f.rank or MEMBER, 28, f.since or -1, f.now or NOON, f.kind or 1,
            json.encode(f.content or {text = {text = f.text or "hi"}}))
    end

    it("is off as shipped", function()
        assert.equal(false, moderation({}).may_say)
    end)

    it("gives the first refusal of its rules, and nothing when none refuses", function()
        local p = moderation {"slow_mode", "word_list"}
        assert.equal(0, ask(p, {}))
        assert.equal("rate_limited", ask(p, {since = 0, text = "swindle"}))
        assert.equal("forbidden", ask(p, {text = "swindle"}))
    end)

    describe("slow mode", function()
        it("lets a member speak once in 30 s, to the millisecond", function()
            local p = moderation {"slow_mode"}
            assert.equal(0, ask(p, {since = -1}))
            assert.equal("rate_limited", ask(p, {since = 0}))
            assert.equal("rate_limited", ask(p, {since = 29999}))
            assert.equal(0, ask(p, {since = 30000}))
        end)
        it("is for members of groups", function()
            local p = moderation {"slow_mode"}
            assert.equal(0, ask(p, {since = 0, rank = ADMIN}))
            assert.equal(0, ask(p, {since = 0, rank = OWNER}))
            assert.equal(0, ask(p, {since = 0, type = SINGLE}))
        end)
    end)

    describe("quiet hours", function()
        it("are from 22 to 7 o'clock", function()
            local p = moderation {"quiet_hours"}
            for hours, answer in pairs {[0] = 0, [9.99] = 0, [10] = "muted", [12] = "muted", [18.99] = "muted", [19] = 0} do
                assert.equal(answer, ask(p, {now = NOON + math.tointeger(hours * HOUR // 1)}), hours)
            end
        end)
        it("are for members of groups", function()
            local p = moderation {"quiet_hours"}
            local midnight = NOON + 12 * HOUR
            assert.equal(0, ask(p, {now = midnight, rank = ADMIN}))
            assert.equal(0, ask(p, {now = midnight, type = SINGLE}))
        end)
    end)

    describe("the word list", function()
        it("refuses whole words in any case, whatever stands around them", function()
            local p = moderation {"word_list"}
            for _, text in ipairs {"swindle", "a Swindle!", "(SWINDLE)", "casino  bonus", "Casino-Bonus now", "é swindle"} do
                assert.equal("forbidden", ask(p, {text = text}), text)
            end
            for _, text in ipairs {"swindler", "a casino, no bonus", "bonus casino", "xswindle", "éswindle", ""} do
                assert.equal(0, ask(p, {text = text}), text)
            end
        end)
        it("takes words as they are, not as patterns, and looks at texts only", function()
            local p = moderation {"word_list"}
            assert.equal(0, ask(p, {text = "s.indle"}))
            assert.equal(0, ask(p, {kind = 2, content = {image = {name = "swindle"}}}))
        end)
    end)
end)
