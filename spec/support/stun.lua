-- A STUN and TURN client for the specs (RFC 8489, 8656) over TCP, just large enough to ask a real server for a relay and to send
-- through it; and that server: coturn. MACs come from the openssl program, so nothing here is shared with what is tested.
local P = require "parley_spec"

local stun = {}
stun.__index = stun

local COOKIE <const> = 0x2112A442
local BINDING <const>, ALLOCATE <const>, REFRESH <const>, PERMISSION <const> = 0x0001, 0x0003, 0x0004, 0x0008
local SEND <const>, DATA <const> = 0x0016, 0x0017
local ANSWER <const>, REFUSAL <const> = 0x0100, 0x0110
local USERNAME <const>, INTEGRITY <const>, ERROR <const>, REALM <const>, NONCE <const> = 0x0006, 0x0008, 0x0009, 0x0014, 0x0015
local LIFETIME <const>, PEER <const>, BYTES <const>, RELAYED <const>, TRANSPORT <const> = 0x000D, 0x0012, 0x0013, 0x0016, 0x0019
local MAPPED <const> = 0x0020

local function pipe(command, input)
    local path = os.tmpname()
    local f = assert(io.open(path, "wb"))
    f:write(input)
    f:close()
    local p = assert(io.popen(command:format(path)))
    local out = p:read("a")
    assert(p:close(), command)
    os.remove(path)
    return out
end

local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local function unhex(text) return (text:gsub("%x%x", function(c) return string.char(tonumber(c, 16)) end)) end

--- base64(HMAC-SHA1(secret, text)): what a TURN server that knows the secret expects as password of this user name.
function stun.credential(secret, text)
    return (pipe("openssl dgst -sha1 -mac HMAC -macopt hexkey:" .. hex(secret) .. " -binary %s | base64", text):gsub("%s", ""))
end

local function attribute(kind, value) return string.pack(">I2I2", kind, #value) .. value .. ("\0"):rep(-#value % 4) end

local function head(kind, length, transaction) return string.pack(">I2I2I4", kind, length, COOKIE) .. transaction end

-- The last attribute: a MAC of what stands before it, under the key of RFC 8489 section 9.2.2.
local function signed(kind, transaction, body, login)
    body = body .. attribute(USERNAME, login.username) .. attribute(REALM, login.realm) .. attribute(NONCE, login.nonce)
    local key = pipe("openssl dgst -md5 -r %s", login.username .. ":" .. login.realm .. ":" .. login.credential):match("^%x+")
    local mac = pipe("openssl dgst -sha1 -mac HMAC -macopt hexkey:" .. key .. " -r %s", head(kind, #body + 24, transaction) .. body)
    return body .. attribute(INTEGRITY, unhex(mac:match("^%x+")))
end

function stun.open(port) return setmetatable({sock = assert(P.connect("127.0.0.1", port)), buf = "", count = 0}, stun) end

--- The next message: its kind and its attributes by number.
function stun:read(timeout)
    local function fill(n)
        while #self.buf < n do
            local more, why = self.sock:recv(65536, timeout or 10000)
            assert(more and more ~= "", "the server says nothing: " .. tostring(why))
            self.buf = self.buf .. more
        end
    end
    fill(20)
    local kind, length = string.unpack(">I2I2", self.buf)
    fill(20 + length)
    local at, stop, found = 21, 20 + length, {}
    while at < stop do
        local name, value, after = string.unpack(">I2s2", self.buf, at)
        found[name] = found[name] or value
        at = after + -#value % 4
    end
    self.buf = self.buf:sub(stop + 1)
    return kind, found
end

function stun:send(kind, body, login)
    self.count = self.count + 1
    local transaction = ("%012d"):format(self.count)
    if login then body = signed(kind, transaction, body, login) end
    assert(self.sock:send(head(kind, #body, transaction) .. body))
end

-- Attributes of the answer, or nil, the number of the error, the attributes.
function stun:ask(method, body, login)
    self:send(method, body, login)
    local kind, found = self:read()
    if kind == method | ANSWER then return found end
    assert(kind == method | REFUSAL, kind)
    local class, number = found[ERROR]:byte(3, 4)
    return nil, class * 100 + number, found
end

--- Whether the server tells us our address.
function stun:binding() return self:ask(BINDING, "")[MAPPED] ~= nil end

--- Asks for a relay: its address, to be given to `permit` and `relay` of another client; or nil and the number of the error (401: no such
--- user, wrong password). server: {username, credential} as a client of ours is told.
function stun:allocate(server)
    local body = attribute(TRANSPORT, "\17\0\0\0") -- UDP
    local _, code, found = self:ask(ALLOCATE, body)
    assert(code == 401, "a server that asks for no password: " .. tostring(code))
    self.login = {username = server.username, credential = server.credential, realm = found[REALM], nonce = found[NONCE]}
    found, code = self:ask(ALLOCATE, body, self.login)
    if not found then return nil, code end
    return found[RELAYED]
end

--- Lets this peer send to our relay.
function stun:permit(peer) return assert(self:ask(PERMISSION, attribute(PEER, peer), self.login)) end

--- Sends a datagram from our relay to this peer.
function stun:relay(peer, bytes) self:send(SEND, attribute(PEER, peer) .. attribute(BYTES, bytes)) end

--- The next datagram that reached our relay: its bytes, who sent it.
function stun:datagram()
    local kind, found = self:read()
    assert(kind == DATA, kind)
    return found[BYTES], found[PEER]
end

--- Asks for the same relay for another while; nil and the number of the error.
function stun:refresh() return self:ask(REFRESH, attribute(LIFETIME, string.pack(">I4", 600)), self.login) end

function stun:close() self.sock:close() end

-- ---- the server ----

--- Is coturn there? tools/setup test installs it.
function stun.installed() return os.execute("command -v turnserver >/dev/null") == true end

local function listens(port)
    local s = P.connect("127.0.0.1", port, {timeout = 200})
    if s then s:close() end
    return s ~= nil
end

--- Starts one on a free port of loopback, with these options beside: {port, process}. Its files are in dir.
function stun.server(dir, options)
    for _ = 1, 10 do
        local probe, port = P.listen()
        probe:close()
        local args = {
            "turnserver", "-n", "--listening-ip=127.0.0.1", "--listening-port=" .. port, "--relay-ip=127.0.0.1", "--relay-threads=1",
            "--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "--no-rfc5780", "--pidfile=" .. dir .. "/turn.pid",
            "--userdb=" .. dir .. "/turn.db", "--log-file=" .. dir .. "/turn.log", "--simple-log", "--no-stdout-log",
        }
        local process = assert(P.spawn(table.move(options, 1, #options, #args + 1, args), dir .. "/turn.err"))
        for _ = 1, 1000 do -- until it listens; or it has ended, because somebody else took the port
            if listens(port) and not process:wait(200) then return {port = port, process = process} end
            if process:wait(10) then break end
        end
        process:kill(9)
        process:wait()
    end
    error "no turnserver"
end

return stun
