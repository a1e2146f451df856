-- The operator console for specs, spoken to as `parleyd ctl` does: one line out, its whole answer in.
local P = require "parley_spec"
local json = require "spec.support.json"

local ctl = {}
ctl.__index = ctl

local function read_until(self, mark)
    while not self.buf:find(mark) do
        local more, why = self.sock:recv(65536, 20000)
        assert(more and more ~= "", "the console has gone: " .. tostring(why) .. " " .. self.buf)
        self.buf = self.buf .. more
    end
    local text, word, stop = self.buf:match("^(.-)" .. mark .. "()")
    self.buf = self.buf:sub(stop)
    return text, word
end

--- n: a node of spec.support.node that was started with admin.listen.
function ctl.open(n)
    local f = assert(io.open(n.dir .. "/console.token"))
    local host, port, token = f:read("l"):match("^(%S+):(%d+) (%S+)$")
    f:close()
    local self = setmetatable({sock = assert(P.connect(host, math.tointeger(tonumber(port)))), buf = ""}, ctl)
    self.sock:send("ctl " .. token .. " 80\n")
    read_until(self, "%z(%l+)\n")
    return self
end

--- The answer as text, and "ok" or the code of the failure.
function ctl:text(line)
    self.sock:send(line .. "\n")
    return read_until(self, "%z([%l_]+) %d+\n")
end

--- The answer as a value, and the same word.
function ctl:ask(line)
    local text, word = self:text(line .. " --json")
    return json.decode((text:gsub("^.-([%[{])", "%1", 1))), word
end

--- Gives an order of the rules until its first row has this result: where a shard gets no time for it, it is taken back, and an operator
--- tries again.
function ctl:insist(line, result)
    local told
    for _ = 1, 5 do
        told = self:ask(line)
        if told[1] and told[1].result == result then return told end
    end
    error(("%s: %s"):format(line, json.encode(told)))
end

function ctl:close() self.sock:close() end

return ctl
