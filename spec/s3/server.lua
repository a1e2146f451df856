-- An S3 server of a spec's own: on one port, so that it can be killed and started again, and with a bucket that can be looked into.
local P = require "parley_spec"
local http = require "spec.support.http"
local node = require "spec.support.node"

local server = {}
server.__index = server

--- One that runs, with an empty bucket parley-specs.
function server.new(key, secret)
    local listener, port = P.listen()
    listener:close()
    local self = setmetatable({
        program = assert(P.spawn({"tools/s3", "build"}):line(600000)), key = key, secret = secret, port = port, dir = P.tmpdir(),
    }, server)
    assert(os.execute(("mkdir -p %s/facts %s/files/parley-specs"):format(self.dir, self.dir)))
    self:start()
    return self
end

--- After `kill`; takes further options of the program.
function server:start(...)
    local args = {self.program, "--port", "127.0.0.1:" .. self.port, "--quiet", "-a", self.key, "-s", self.secret, ...}
    for _, word in ipairs {"posix", "--sidecar", self.dir .. "/facts", self.dir .. "/files"} do args[#args + 1] = word end
    self.process = assert(P.spawn(args, self.dir .. "/log"))
    assert(node.eventually(function()
        local s = P.connect("127.0.0.1", self.port)
        if s then s:close() end
        return s
    end, 20000))
end

function server:kill()
    self.process:kill(9)
    self.process:wait(5000)
end

function server:finish()
    self:kill()
    P.rmtree(self.dir)
end

--- For a node: its files are under this prefix ("" or "/name") of the bucket.
function server:url(prefix) return ("s3://parley-specs%s?endpoint=http://127.0.0.1:%d"):format(prefix, self.port) end

--- How many objects there are under this prefix ("" or "/name").
function server:count(prefix)
    local pipe = io.popen(("find %s/files/parley-specs%s -type f | wc -l"):format(self.dir, prefix))
    local count = math.tointeger(tonumber(pipe:read("a")))
    pipe:close()
    return count
end

--- A request to an address as it stands, of any server; this one closes nothing early.
function server.at(url, method, body, headers)
    local address, path = url:match("^http://([^/]+)(/.*)$")
    assert(address, url)
    local client = http.new((address:gsub("^localhost", "127.0.0.1")), nil)
    client.address = address
    local r = client:request(method, path, {body = body, headers = headers})
    client:close()
    return r
end
function server.put(url, bytes, type) return server.at(url, "PUT", bytes, type and {"Content-Type: " .. type}) end

return server
