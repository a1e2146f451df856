-- A WebSocket client for the specs, written for them alone: it can also break every rule. Masks are zero, so that what is
-- sent reads as it stands.
local P = require "parley_spec"
local json = require "spec.support.json"

local ws = {}
ws.__index = ws

local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
ws.TEXT, ws.BINARY, ws.CLOSE, ws.PING, ws.PONG = TEXT, BINARY, CLOSE, PING, PONG

-- How long to wait for what must come, in ms: it ends a spec that hangs, and says nothing about speed.
ws.PATIENCE = os.getenv("PARLEY_SLOW") and 60000 or 20000

--- Bytes of one frame. opt: fin=false, masked=false, rsv=bits, len=declared length
function ws.frame(opcode, payload, opt)
    opt = opt or {}
    local first = (opt.fin == false and 0 or 0x80) | (opt.rsv or 0) << 4 | opcode
    local mask = opt.masked == false and 0 or 0x80
    local len = opt.len or #payload
    local head
    if len < 126 then
        head = string.pack("BB", first, mask | len)
    elseif len < 65536 then
        head = string.pack(">BBI2", first, mask | 126, len)
    else
        head = string.pack(">BBI8", first, mask | 127, len)
    end
    return head .. (mask ~= 0 and "\0\0\0\0" or "") .. payload
end

--- Opens a socket to host:port, asks for the upgrade. Gives the client, or nil, status, head, body. opt.meanwhile: called while the
--- server has the request and we have not read its answer.
function ws.open(address, path, opt)
    opt = opt or {}
    local host, port = address:match("^(.*):(%d+)$")
    if host == "0.0.0.0" then host = "127.0.0.1" end
    local sock = assert(P.connect(host, math.tointeger(tonumber(port)), opt))
    local lines = {
        "GET " .. path .. " HTTP/1.1", "Host: " .. (opt.host or address), "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    }
    for _, line in ipairs(opt.headers or {}) do lines[#lines + 1] = line end
    assert(sock:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (opt.after or "")))
    if opt.meanwhile then opt.meanwhile() end
    local self = setmetatable({sock = sock, buf = "", frames = {}}, ws)
    local head = self:head()
    if not head then return nil, 0, "", "" end
    local status = math.tointeger(tonumber(head:match("^HTTP/1.1 (%d+)")))
    if status ~= 101 then
        local len = math.tointeger(tonumber(head:lower():match("content%-length: (%d+)") or 0))
        while #self.buf < len do
            local more = sock:recv(65536, ws.PATIENCE)
            if not more or more == "" then break end
            self.buf = self.buf .. more
        end
        sock:close()
        return nil, status, head, self.buf
    end
    self.handshake = head
    return self
end

function ws:head()
    while not self.buf:find("\r\n\r\n", 1, true) do
        local more = self.sock:recv(65536, ws.PATIENCE)
        if not more or more == "" then return nil end
        self.buf = self.buf .. more
    end
    local _, stop = self.buf:find("\r\n\r\n", 1, true)
    local head = self.buf:sub(1, stop)
    self.buf = self.buf:sub(stop + 1)
    return head
end

local function take(buf)
    if #buf < 2 then return end
    local first, second = buf:byte(1, 2)
    local len, at = second & 0x7f, 3
    if len == 126 then
        if #buf < 4 then return end
        len, at = string.unpack(">I2", buf, 3)
    elseif len == 127 then
        if #buf < 10 then return end
        len, at = string.unpack(">I8", buf, 3)
    end
    if #buf < at + len - 1 then return end
    return {fin = first >= 0x80, opcode = first & 15, payload = buf:sub(at, at + len - 1)}, at + len
end

--- The next frame within timeout ms, or nil, why ("timeout", "end", "reset").
function ws:next_frame(timeout)
    local till = P.now() + (timeout or ws.PATIENCE)
    local at = 1
    while true do
        local f, after = take(self.buf)
        if f then
            self.buf = self.buf:sub(after)
            return f
        end
        local more, why = self.sock:recv(1 << 20, math.max(0, till - P.now()))
        if not more then return nil, why == "timeout" and "timeout" or "reset" end
        if more == "" then return nil, "end" end
        self.buf = self.buf .. more
        at = at + 1
    end
end

--- The next JSON message; pings are answered, closes end it: nil, "close", code.
function ws:next(timeout)
    local till = P.now() + (timeout or ws.PATIENCE)
    while true do
        local f, why = self:next_frame(math.max(0, till - P.now()))
        if not f then return nil, why end
        if f.opcode == TEXT then return json.decode(f.payload), f.payload end
        if f.opcode == PING then self.sock:send(ws.frame(PONG, f.payload)) end
        if f.opcode == CLOSE then
            return nil, "close", #f.payload >= 2 and string.unpack(">I2", f.payload) or 1005
        end
    end
end

--- The next message of this type (a set of others is dropped, or kept in `kept` if given).
function ws:want(kind, timeout, kept)
    local till = P.now() + (timeout or ws.PATIENCE)
    while true do
        local m, why, code = self:next(math.max(0, till - P.now()))
        if not m then return nil, why, code end
        if m.type == kind then return m, why end
        if kept then kept[#kept + 1] = m end
    end
end

--- Nothing of this type within ms (the one place where a spec must wait for a time).
function ws:none(kind, ms)
    local m, why = self:want(kind, ms or 300)
    return m == nil and why == "timeout", m
end

function ws:send(value)
    return self.sock:send(ws.frame(TEXT, type(value) == "string" and value or json.encode(value)))
end

--- Sends a frame with an id and waits for the reply that carries it.
local ids = 0
function ws:ask(kind, data, timeout)
    ids = ids + 1
    local id = "q" .. ids
    self:send {type = kind, id = id, data = data}
    local till = P.now() + (timeout or ws.PATIENCE)
    self.kept = self.kept or {}
    while true do
        local m, why, code = self:next(math.max(0, till - P.now()))
        if not m then return nil, why, code end
        if m.id == id then return m end
        self.kept[#self.kept + 1] = m
    end
end

--- The next push of this type: first from what `ask` put aside, then from the socket.
function ws:push(kind, timeout)
    for i, m in ipairs(self.kept or {}) do
        if m.type == kind then return table.remove(self.kept, i) end
    end
    self.kept = self.kept or {}
    return self:want(kind, timeout, self.kept)
end

--- Waits for the close frame: its code, or nil and why.
function ws:close_code(timeout)
    local till = P.now() + (timeout or ws.PATIENCE)
    while true do
        local m, why, code = self:next(math.max(0, till - P.now()))
        if not m then
            if why == "close" then return code end
            return nil, why
        end
    end
end

function ws:close(reset) self.sock:close(reset) end

return ws
