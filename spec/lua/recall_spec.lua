-- lua/recall.lua: who may take a message back, and for how long (PROTOCOL.md section 11).
local fake = require "spec.lua.fake"

local NOW <const> = 1760000000000
local SINGLE <const>, GROUP <const> = 1, 2
local MEMBER <const>, ADMIN <const>, OWNER <const> = 1, 2, 3

describe("recall", function()
    local policy
    local function load_with(conf)
        fake.new(conf)
        package.loaded.recall = nil
        policy = require("recall").policy
    end
    before_each(function() load_with() end)

    local function ask(f)
        return policy.recall_allowed(f.type or GROUP, f.rank or MEMBER, f.own or 0, NOW - (f.age or 0), NOW)
    end

    it("[24] lets the sender for two minutes, to the millisecond", function()
        assert.equal(0, ask {own = 1, age = 0})
        assert.equal(0, ask {own = 1, age = 119000})
        assert.equal(0, ask {own = 1, age = 120000})
        assert.equal("recall_expired", ask {own = 1, age = 120001})
        assert.equal("recall_expired", ask {own = 1, age = 121000, type = SINGLE})
    end)

    it("lets owner and admins of a group at any time, whosever message it is", function()
        for _, rank in ipairs {ADMIN, OWNER} do
            assert.equal(0, ask {rank = rank, age = 86400000})
            assert.equal(0, ask {rank = rank, own = 1, age = 86400000})
        end
    end)

    it("refuses others, in a single chat whatever their role, before it looks at the time", function()
        assert.equal("forbidden", ask {})
        assert.equal("forbidden", ask {age = 86400000})
        assert.equal("forbidden", ask {type = SINGLE, rank = OWNER})
    end)

    it("follows recall.window and tells it", function()
        assert.equal(120000, policy.window_ms())
        load_with {["recall.window"] = 5000}
        assert.equal(5000, policy.window_ms())
        assert.equal(0, ask {own = 1, age = 5000})
        assert.equal("recall_expired", ask {own = 1, age = 5001})
    end)
end)
