-- PROTOCOL.md section 14: files that nothing holds any more, on the built-in store.
local files = require "spec.support.files"

local function put(n, url, bytes, type) assert.equal(204, files.put(n, url, bytes, type).status) end

local function get(n, url)
    local r = n:api("GET", url)
    return r.status, r.body
end

local function objects(n)
    local pipe = io.popen("find " .. n.dir .. "/files/kept -type f | wc -l")
    local count = math.tointeger(tonumber(pipe:read("a")))
    pipe:close()
    return count
end

assert(loadfile("spec/support/unheld.lua", "t", _ENV))()(put, get, objects, function(more) return more end)
