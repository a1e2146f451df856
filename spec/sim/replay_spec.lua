-- The deterministic world itself: a seed is a run, whatever the process, its environment and the addresses in it.
local function run(seed, steps, environment)
    local p = assert(io.popen(("%s build/parley_sim %d %s 2>&1"):format(environment or "", seed, steps or "")))
    local text = p:read("a")
    p:close()
    return text
end

describe("the deterministic world", function()
    it("gives the same trace for the same seed", function()
        for seed = 1, 3 do -- whole stories: some faults come late
            local first, again = run(seed), run(seed, nil, "SIM_OTHER=" .. ("x"):rep(3000))
            assert.matches("^ok: seed %d+, trace %x+", first)
            assert.equal(first, again)
        end
    end)

    it("gives another trace for another seed", function()
        assert.not_equal(run(1, 3000):match("trace (%x+)"), run(2, 3000):match("trace (%x+)"))
    end)
end)
