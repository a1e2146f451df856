-- What backoff.lua promises (lua/API.md, Specs).
local function world(t, kv)
    t.conf("auth.max_failures", 3)
    return {kv = kv or t.kv(), now = function() return t.time end}
end

local function fail_times(t, w, n, account)
    for _ = 1, n do t.with(w, t.module().failed, account or "tom", "10.0.0.1") end
end

local function wait_of(t, w, account, address)
    local ok, e = pcall(t.with, w, t.module().check, account or "tom", address or "10.0.0.1")
    return ok and 0 or e.extra.retry_after_ms
end

return {
    ["the first failures are free, then each wait is twice the one before, up to a quarter of an hour"] = function(t)
        t.time = t.NOW
        local w = world(t)
        fail_times(t, w, 2)
        t.equal(0, wait_of(t, w))
        local want = 30000
        fail_times(t, w, 1)
        for _ = 1, 8 do
            t.equal(want, wait_of(t, w))
            t.time = t.time + want
            t.equal(0, wait_of(t, w))
            fail_times(t, w, 1)
            want = math.min(want * 2, 900000)
        end
    end,
    ["failures of long ago, of another account and from another address do not count together"] = function(t)
        t.time = t.NOW
        local w = world(t)
        fail_times(t, w, 2)
        t.time = t.time + 15 * 60000 + 1
        fail_times(t, w, 1)
        t.equal(0, wait_of(t, w))
        fail_times(t, w, 2)
        t.equal({true, 0, 0}, {wait_of(t, w) > 0, wait_of(t, w, "lena"), wait_of(t, w, "tom", "10.0.0.2")})
    end,
    ["a success forgets them"] = function(t)
        t.time = t.NOW
        local w = world(t)
        fail_times(t, w, 3)
        t.with(w, t.module().succeeded, "tom", "10.0.0.1")
        t.equal(0, wait_of(t, w))
    end,
    ["they are counted also while kv is full"] = function(t)
        t.time = t.NOW
        local w = world(t, {get = function() end, set = function() fail "busy" end})
        fail_times(t, w, 3)
        t.equal(30000, wait_of(t, w))
    end,
}
