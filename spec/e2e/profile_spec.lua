-- /debug/pprof: profiles of a running node, in the format of the pprof tool.
local node = require "spec.support.node"
local http = require "spec.support.http"
local pprof = require "spec.support.pprof"

describe("/debug/pprof", function()
    local n, ops
    setup(function()
        n = node.start {["ops.token"] = "ops secret"}
        ops = http.new(n.ws_address)
    end)
    teardown(function() n:finish() end)

    local function ask(of, seconds)
        local c = http.new(of.http_address)
        c:connect():send("GET /debug/pprof/profile?seconds=" .. seconds .. " HTTP/1.1\r\nHost: x\r\n\r\n")
        return c
    end

    local function has_answer(c)
        local bytes = c.sock:recv(1 << 20, 0)
        c.buf = c.buf .. (bytes or "")
        return bytes ~= nil
    end

    -- asks for a profile and works until its answer is there
    local function profile_under_load(seconds)
        local who, asked = n:person(), ask(n, seconds)
        repeat
            for _ = 1, 20 do assert.equal(200, who:get("/api/users/me").status) end
        until has_answer(asked)
        return asked:read("GET")
    end

    it("gives a CPU profile that names functions and the actors that ran", function()
        local actors, named, total = {}, 0, 0
        local function look()
            local r = profile_under_load(1)
            assert.equal(200, r.status)
            local p = pprof(r.body)
            assert.same({"samples", "cpu"}, p.types)
            for _, s in ipairs(p.samples) do
                total = total + s.values[1]
                assert.equal(s.values[1] * 10000000, s.values[2])
                if s.actor then actors[s.actor] = true end
                for _, name in ipairs(s.stack) do if name == "actor_run" or name == "actor_enter" then named = named + 1 end end
            end
            return total > 0 and actors.conn and named > 0
        end
        assert.truthy(node.eventually(look, 60000)) -- on a busy machine the node may get no CPU for a second
    end)

    it("runs one CPU profile at a time, others are told busy", function()
        assert.truthy(node.eventually(function() -- unless a machine stood still for as long as the first one takes
            local asked = {ask(n, 2), ask(n, 2), ask(n, 2)}
            local count = {}
            for _, c in ipairs(asked) do
                local r = c:read("GET")
                count[r.status] = (count[r.status] or 0) + 1
                c:close()
            end
            return count[200] == 1 and count[503] == 2
        end))
    end)

    it("gives a heap profile", function()
        local r = ops:request("GET", "/debug/pprof/heap")
        assert.equal(200, r.status)
        local p = pprof(r.body)
        assert.same({"inuse_objects", "inuse_space"}, p.types)
        if not os.getenv("PARLEY_SLOW") then -- a sanitizer's allocator is not sampled
            local bytes = 0
            for _, s in ipairs(p.samples) do bytes = bytes + s.values[2] end
            assert.truthy(bytes > 1024 * 1024)
        end
    end)

    it("refuses what is no profile, and peers that may not look", function()
        assert.equal(404, ops:request("GET", "/debug/pprof/nothing").status)
        for _, s in ipairs {"0", "61", "x", "-1", "99999999999"} do
            assert.equal(400, ops:request("GET", "/debug/pprof/profile?seconds=" .. s).status, s)
        end
        assert.equal(403, ops:request("GET", "/debug/pprof/heap", {headers = {"X-Forwarded-For: 1.2.3.4"}}).status)
    end)

    it("does not hold up a stop", function()
        local m = node.start {}
        local asked = {ask(m, 60), ask(m, 60)}
        assert.truthy(node.eventually(function() return has_answer(asked[1]) or has_answer(asked[2]) end)) -- the busy one
        m:finish() -- expects status 0
    end)
end)

describe("/metrics", function()
    it("tells of each class of actors what it costs", function()
        local n = node.start {}
        local socket = n:person():socket("d1")
        local body = http.new(n.ws_address):request("GET", "/metrics").body
        for _, class in ipairs {"conn", "hub", "inbox", "script", "store writer"} do
            local alive = body:match('\nparley_actors{class="' .. class .. '"} (%d+)\n')
            assert.truthy(tonumber(alive) > 0, class)
            assert.truthy(body:find('\nparley_actor_cpu_seconds_total{class="' .. class .. '"} %d+%.%d+\n'), class)
        end
        assert.truthy(tonumber(body:match('\nparley_actor_messages_total{class="script"} (%d+)\n')) > 0)
        socket:close()
        n:finish()
    end)
end)
