-- PROTOCOL.md section 14: files that nothing holds any more, in a bucket. Run by tools/s3 with .., or by tools/test s3.
local server = require "spec.s3.server"

local KEY <const>, SECRET <const> = "unheld", "unheld-secret"
local store
local nodes = 0 -- each has names of its own in the bucket: all begin with file 1

-- A server of the spec's own: so its bucket can be looked into.
setup(function() store = server.new(KEY, SECRET) end)
teardown(function() store:finish() end)

local function put(_, url, bytes, type) assert.equal(200, server.put(url, bytes, type).status) end

local function get(n, url)
    if url:find("^/") then
        local r = n:api("GET", url)
        if r.status ~= 302 then return r.status end
        url = r.headers.location
    end
    local r = server.at(url, "GET")
    return r.status, r.body
end

local function objects() return store:count(("/%d/f"):format(nodes)) end

assert(loadfile("spec/support/unheld.lua", "t", _ENV))()(put, get, objects, function(more)
    nodes = nodes + 1
    local c = {["files.url"] = store:url("/" .. nodes), ["files.s3_key"] = KEY, ["files.s3_secret"] = SECRET}
    for k, v in pairs(more) do c[k] = v end
    return c
end)
