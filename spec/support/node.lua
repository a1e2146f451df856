-- A real node for the specs: its own directory, free ports, cheap password hashing; and people who use it.
local P = require "parley_spec"
local http = require "spec.support.http"
local ws = require "spec.support.ws"

local node = {}
node.__index = node
node.SECRET = "a secret for specs, 32 bytes or more"

local binary = os.getenv("PARLEYD") or "build/parleyd"
-- a sanitizer build takes its time
node.slow = os.getenv("PARLEY_SLOW") and 5 or 1

local running = setmetatable({}, {__mode = "k"})

--- Starts a node; conf: {["key"] = value}; before: words before the command, such as {"prlimit", "--nofile=250"}. Fails if it is not
--- ready within 20 s.
function node.start(conf, dir, before)
    local self = setmetatable({dir = dir or P.tmpdir(), conf = conf or {}, before = before or {}}, node)
    self:up()
    running[self] = true
    return self
end

function node.arguments(dir, conf)
    local set = {
        ["data.dir"] = dir, ["http.listen"] = "127.0.0.1:0", ["ws.listen"] = "127.0.0.1:0", ["admin.listen"] = "",
        ["auth.secret"] = node.SECRET, ["crypt.ops"] = 1, ["crypt.memory"] = "8KiB", ["workers"] = 2,
        ["limits.auth_addr"] = "0", ["limits.http_addr"] = "0", ["limits.http_user"] = "0",
        ["limits.handshake_addr"] = "0", ["drain.time"] = "100ms",
        ["ws.resend_after"] = "10m", -- on a slow machine a spec takes longer than the preset 10 s, and most of them ack nothing
    }
    for key, v in pairs(conf) do set[key] = v end
    local args = {binary}
    for key, v in pairs(set) do
        args[#args + 1] = "--set"
        args[#args + 1] = key .. "=" .. tostring(v)
    end
    return args
end

function node:up()
    self.log_path = self.dir .. "/log"
    local args = table.move(self.before, 1, #self.before, 1, {})
    self.process = assert(P.spawn(table.move(node.arguments(self.dir, self.conf), 1, 1000, #args + 1, args), self.log_path))
    local line, why = self.process:line(20000 * node.slow)
    while line and not line:find("^parleyd ready") do line, why = self.process:line(20000) end
    assert(line, "node is not ready: " .. tostring(why) .. "\n" .. self:log())
    self.http_address = line:match("http=(%S+)")
    self.ws_address = line:match("ws=(%S+)")
    self.line = line
    return self
end

function node:log()
    local f = io.open(self.log_path)
    if not f then return "" end
    local text = f:read("a")
    f:close()
    return text
end

--- TERM, then the exit status.
function node:stop()
    self.process:kill(15)
    local status = self.process:wait(20000 * node.slow)
    if not status then self.process:kill(9) end
    running[self] = nil
    return status
end

function node:crash()
    self.process:kill(9)
    self.process:wait(20000)
end

--- Stops it, expects a clean end and removes its directory.
function node:finish()
    local status = self:stop()
    local log = self:log()
    P.rmtree(self.dir)
    assert(status == 0, "exit status " .. tostring(status) .. "\n" .. log)
    assert(not log:find("Sanitizer", 1, true), log)
end

function node:http() return http.new(self.http_address) end

function node:api(method, path, opt)
    self.client = self.client or self:http()
    return self.client:request(method, path, opt)
end

--- Waits until check() is true; the only way in which specs wait for something that no frame tells. After 20 s (or ms) it is given up.
function node.eventually(check, ms)
    local till = P.now() + (ms or 20000) * node.slow
    while P.now() < till do
        local v = check()
        if v then return v end
        P.pause(10)
    end
    return check()
end

-- ---- people ----

local person = {}
person.__index = person
local count = 0

--- Registers a new user (unique name) and logs in. opt: name, device
function node:person(opt)
    opt = opt or {}
    count = count + 1
    local name = opt.name or ("p%d.%d"):format(count, P.now() % 1000000)
    local r = self:api("POST", "/api/auth/register",
        {body = {username = name, password = "correct horse 9", display_name = opt.display_name, device_id = opt.device}})
    assert(r.status == 200, r.body)
    return setmetatable({node = self, name = name, id = r.json.data.profile.user.id, token = r.json.data.access_token,
        refresh = r.json.data.refresh_token, display = opt.display_name or name}, person)
end

function person:api(method, path, body, opt)
    opt = opt or {}
    opt.token, opt.body = self.token, body
    return self.node:api(method, path, opt)
end

function person:get(path) return self:api("GET", path) end
function person:post(path, body) return self:api("POST", path, body or {}) end
function person:put(path, body) return self:api("PUT", path, body or {}) end
function person:delete(path) return self:api("DELETE", path) end

--- A WebSocket of this person; the welcome has been read (in .welcome).
function person:socket(device, opt)
    opt = opt or {}
    local address = opt.on == "http" and self.node.http_address or self.node.ws_address
    local c, status, _, body = ws.open(address, ("/ws?token=%s&device_id=%s%s"):format(self.token, device or "d1",
        opt.query or ""), opt)
    if not c then return nil, status, body end
    local why
    c.welcome, why = c:next()
    if c.welcome then return c end
    c:close()
    return nil, 101, why -- it has ended again
end

--- The single chat with another person: its id.
function person:chat(other)
    local r = self:post("/api/conversations", {type = 1, member_ids = {other.id}})
    assert(r.status == 200, r.body)
    return r.json.data.id
end

--- A group with these people: its id.
function person:group(others, title)
    local ids = require("spec.support.json").list {}
    for i, p in ipairs(others) do ids[i] = p.id end
    local r = self:post("/api/conversations", {type = 2, title = title or "group", member_ids = ids})
    assert(r.status == 200, r.body)
    return r.json.data.id
end

--- Sends a text by HTTP: the MessageItem.
local sent = 0
function person:say(conversation, text, opt)
    sent = sent + 1
    opt = opt or {}
    local r = self:api("POST", "/api/messages",
        {conversation_id = conversation, client_msg_id = opt.cid or ("h" .. sent), text = text or "hi"},
        {headers = opt.device and {"X-Device-Id: " .. opt.device} or nil})
    assert(r.status == 200, r.body)
    return r.json.data
end

function person:unread(conversation)
    local r = self:get("/api/conversations/" .. conversation)
    assert(r.status == 200, r.body)
    return r.json.data.unread
end

--- All messages of a conversation, from seq 1 up.
function person:history(conversation)
    local pages, before = {}, ""
    repeat
        local r = self:get(("/api/messages/history?conversation_id=%d%s&limit=200"):format(conversation, before))
        assert(r.status == 200, r.body)
        pages[#pages + 1] = r.json.data
        before = #r.json.data > 0 and "&before_seq=" .. r.json.data[1].seq
    until not r.json.has_more or not before
    local all = {}
    for i = #pages, 1, -1 do table.move(pages[i], 1, #pages[i], #all + 1, all) end
    return all
end

return node
