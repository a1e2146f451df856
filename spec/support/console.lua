-- A console client for the specs: plain lines as nc sends them, or bytes as a telnet client would; and `parleyd ctl`.
local P = require "parley_spec"
local json = require "spec.support.json"
local node = require "spec.support.node"

local console = {}
console.__index = console

local binary = os.getenv("PARLEYD") or "build/parleyd"
console.PASSWORD = "correct horse 9"

--- Makes an account (role: "read", "operate") of the node that uses this directory.
function console.account(dir, name, role, password)
    local p = assert(io.popen(("%s passwd --set data.dir=%s --set crypt.ops=1 --set crypt.memory=8KiB %s %s")
        :format(binary, dir, name, role or ""), "w"))
    p:write(password or console.PASSWORD, "\n")
    assert(p:close())
end

function console.address(n) return n.line:match("admin=(%S+)") end

--- A socket to the console; nothing has been read.
function console.open(n, opt)
    local host, port = console.address(n):match("^(.*):(%d+)$")
    local sock = assert(P.connect(host, math.tointeger(tonumber(port)), opt))
    return setmetatable({sock = sock, buf = ""}, console)
end

function console:send(bytes) return self.sock:send(bytes) end

-- What comes next goes to the buffer. false and why when the socket ends ("end") or nothing comes until then.
local function more(self, till)
    local bytes, why = self.sock:recv(65536, math.max(1, till - P.now()))
    if bytes == "" or not bytes then return false, bytes and "end" or why end
    self.buf = self.buf .. bytes
    return true
end

--- Reads until `text` (plain) has come: what came up to its end; nil when the socket ends or nothing comes for ms.
function console:expect(text, ms)
    local till = P.now() + (ms or 20000) * node.slow
    while true do
        local _, e = self.buf:find(text, 1, true)
        if e then
            local got = self.buf:sub(1, e)
            self.buf = self.buf:sub(e + 1)
            return got
        end
        if not more(self, till) then return nil, self.buf end
    end
end

--- Reads until one of these texts (plain) has come: what came up to its end, and the text; nil as above.
function console:either(...)
    local till = P.now() + 20000 * node.slow
    while true do
        for _, text in ipairs {...} do
            if self.buf:find(text, 1, true) then return self:expect(text), text end
        end
        if not more(self, till) then return nil, self.buf end
    end
end

--- Everything until the server ends it.
function console:rest(ms)
    local till = P.now() + (ms or 20000) * node.slow
    while true do
        local came, why = more(self, till)
        if not came and why == "timeout" then return nil, self.buf end
        if not came then return self.buf end
    end
end

--- A session that is logged in.
function console.login(n, name, password, opt)
    local c = console.open(n, opt)
    assert(c:expect("login: "))
    c:send((name or "lena") .. "\n")
    assert(c:expect("password: "))
    c:send((password or console.PASSWORD) .. "\n")
    assert(c:expect("parley> ", 20000))
    return c
end

--- One command: its answer without the prompt.
function console:run(line, ms)
    self:send(line .. "\n")
    local text = assert(self:expect("parley> ", ms))
    return (text:sub(1, -#"parley> " - 1))
end

function console:json(line, ms) return json.decode(self:run(line .. " --json", ms)) end

function console:close() self.sock:close() end

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

--- parleyd ctl WORDS...: its output, its exit status, what it said on stderr.
function console.ctl(n, ...)
    local words = {}
    for i, word in ipairs {...} do words[i] = quote(word) end
    local err = os.tmpname()
    local p = assert(io.popen(("%s ctl --set data.dir=%s %s 2>%s"):format(binary, n.dir, table.concat(words, " "), err)))
    local out = p:read("a")
    local _, _, status = p:close()
    local f = assert(io.open(err))
    local said = f:read("a")
    f:close()
    os.remove(err)
    return out, status, said
end

return console
