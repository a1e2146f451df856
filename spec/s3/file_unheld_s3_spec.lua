-- PROTOCOL.md section 14: files that nothing holds any more, in a bucket. Run by tools/s3 with .., or by tools/test s3.
local http = require "spec.support.http"
local P = require "parley_spec"
local node = require "spec.support.node"

local KEY <const>, SECRET <const> = "unheld", "unheld-secret"
local dir, port, server
local nodes = 0 -- each has names of its own in the bucket: all begin with file 1

-- A server of the spec's own: so its bucket can be looked into.
setup(function()
    local program = assert(P.spawn({"tools/s3", "build"}):line(600000))
    dir = P.tmpdir()
    os.execute("mkdir -p " .. dir .. "/facts " .. dir .. "/files/parley-specs")
    local listener
    listener, port = P.listen()
    listener:close()
    server = assert(P.spawn({program, "--port", "127.0.0.1:" .. port, "--quiet", "-a", KEY, "-s", SECRET, "posix", "--sidecar",
        dir .. "/facts", dir .. "/files"}, dir .. "/log"))
    assert(node.eventually(function()
        local s = P.connect("127.0.0.1", port)
        if s then s:close() end
        return s
    end, 20000))
end)
teardown(function()
    server:kill(9)
    server:wait(5000)
    P.rmtree(dir)
end)

local function at(method, url, opt)
    local address, path = url:match("^http://([^/]+)(/.*)$")
    local client = http.new(address)
    local r = client:request(method, path, opt)
    client:close()
    return r
end

local function put(_, url, bytes, type) assert.equal(200, at("PUT", url, {body = bytes, headers = {"Content-Type: " .. type}}).status) end

local function get(n, url)
    if url:find("^/") then
        local r = n:api("GET", url)
        if r.status ~= 302 then return r.status end
        url = r.headers.location
    end
    local r = at("GET", url)
    return r.status, r.body
end

local function objects()
    local pipe = io.popen(("find %s/files/parley-specs/%d/f -type f | wc -l"):format(dir, nodes))
    local count = math.tointeger(tonumber(pipe:read("a")))
    pipe:close()
    return count
end

assert(loadfile("spec/support/unheld.lua", "t", _ENV))()(put, get, objects, function(more)
    nodes = nodes + 1
    local c = {
        ["files.url"] = ("s3://parley-specs/%d?endpoint=http://127.0.0.1:%d"):format(nodes, port),
        ["files.s3_key"] = KEY, ["files.s3_secret"] = SECRET,
    }
    for k, v in pairs(more) do c[k] = v end
    return c
end)
