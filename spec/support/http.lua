-- An HTTP/1.1 client for the specs: one connection a client, kept alive.
local P = require "parley_spec"
local json = require "spec.support.json"

local http = {}
http.__index = http

function http.new(address, opt)
    local host, port = address:match("^(.*):(%d+)$")
    if host == "0.0.0.0" then host = "127.0.0.1" end
    return setmetatable({host = host, port = math.tointeger(tonumber(port)), address = address, opt = opt, buf = ""}, http)
end

function http:connect()
    if not self.sock then
        self.sock = assert(P.connect(self.host, self.port, self.opt))
        self.buf = ""
    end
    return self.sock
end

function http:close()
    if self.sock then self.sock:close() end
    self.sock = nil
end

local function more(self, timeout)
    local bytes, why = self.sock:recv(1 << 20, timeout or 20000)
    if not bytes then return nil, why end
    if bytes == "" then return nil, "end" end
    self.buf = self.buf .. bytes
    return true
end

local function read_chunked(self)
    local parts = {}
    while true do
        local size, after = self.buf:match("^(%x+)[^\r\n]*\r\n()")
        if size and #self.buf >= after + tonumber(size, 16) + 1 then
            local n = tonumber(size, 16)
            parts[#parts + 1] = self.buf:sub(after, after + n - 1)
            self.buf = self.buf:sub(after + n + 2)
            if n == 0 then return table.concat(parts) end
        elseif not more(self) then
            return table.concat(parts)
        end
    end
end

--- Reads one answer: {status, head, headers (lower case), body}, or nil, why.
function http:read(method)
    while true do
        while not self.buf:find("\r\n\r\n", 1, true) do
            local ok, why = more(self)
            if not ok then return nil, why end
        end
        local head, stop = self.buf:match("^(.-\r\n)\r\n()")
        self.buf = self.buf:sub(stop)
        local r = {status = math.tointeger(tonumber(head:match("^HTTP/1.1 (%d+)"))), head = head, headers = {}}
        for name, value in head:gmatch("\r\n([^:\r\n]+):[ \t]*([^\r\n]*)") do r.headers[name:lower()] = value end
        if r.status ~= 100 then
            local len = math.tointeger(tonumber(r.headers["content-length"] or 0))
            if r.headers["transfer-encoding"] then
                r.body = read_chunked(self)
            else
                if method == "HEAD" or r.status == 204 or r.status == 304 then len = 0 end
                while #self.buf < len do
                    local ok, why = more(self)
                    if not ok then return nil, why end
                end
                r.body = self.buf:sub(1, len)
                self.buf = self.buf:sub(len + 1)
            end
            if (r.headers.connection or ""):lower() == "close" then self:close() end
            return r
        end
    end
end

--- Raw bytes out, one answer in.
function http:raw(bytes, method)
    local ok, why = self:connect():send(bytes)
    if not ok then return nil, why end
    return self:read(method)
end

--- request("POST", "/api/x", {token=, body=table or text, headers={..lines}}) -> answer; .json is the parsed body
function http:request(method, path, opt)
    opt = opt or {}
    local body = opt.body
    if type(body) == "table" then body = json.encode(body) end
    local lines = {method .. " " .. path .. " HTTP/1.1", "Host: " .. self.address}
    if opt.token then lines[#lines + 1] = "Authorization: Bearer " .. opt.token end
    if body then lines[#lines + 1] = "Content-Length: " .. #body end
    for _, line in ipairs(opt.headers or {}) do lines[#lines + 1] = line end
    local bytes = table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
    local r, why = self:raw(bytes, method)
    if not r and self.sock then self:close() end
    if not r then
        r = self:raw(bytes, method) -- a kept connection may have ended meanwhile
        assert(r, why)
    end
    if (r.headers["content-type"] or ""):find("json", 1, true) and #r.body > 0 then r.json = json.decode(r.body) end
    return r
end

return http
