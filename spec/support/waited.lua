-- How long a node let its client wait, without what the machine made both of them wait: the time in which their threads were ready to run
-- and got no CPU (the kernel counts it for each thread). So a limit on it says something about the node on a machine of any speed.
local P = require "parley_spec"

local waited = {}
waited.__index = waited

-- ms for which this thread has waited for a CPU so far; 0 where the kernel does not count
local function delay(path)
    local f = io.open(path)
    if not f then return 0 end
    local ns = (f:read("a") or ""):match("^%d+ (%d+)")
    f:close()
    return ns and tonumber(ns) / 1e6 or 0
end

--- For the threads that the node with this process id has now.
function waited.on(pid)
    local self = setmetatable({paths = {}}, waited)
    local list = assert(io.popen(("ls -d /proc/%d/task/*"):format(pid)))
    for path in list:lines() do self.paths[#self.paths + 1] = path .. "/schedstat" end
    list:close()
    return self
end

function waited:delays()
    local all = {}
    for i, path in ipairs(self.paths) do all[i] = delay(path) end
    return all, delay("/proc/self/schedstat")
end

--- Calls what(), which must give something true and asks the node for one thing: ms.
function waited:by(what)
    local before, own = self:delays()
    local from = P.now()
    assert(what(), "no answer")
    local took, most = P.now() - from, 0
    local after, own_after = self:delays()
    for i, ms in ipairs(after) do most = math.max(most, ms - before[i]) end
    return math.max(0, math.floor(took - most - (own_after - own)))
end

return waited
