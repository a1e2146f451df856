-- A chat server that breaks its promises on purpose, to see whether wsbench notices. It knows just what wsbench says: registrations,
-- chats, messages, acks and sync. `twist` is called with each new message {seq, text, from} and says what goes wrong with its push:
-- nil | "drop" (sync has it) | "lose" (sync lacks it, too) | "double" | "late" (after the next one) | "corrupt" | "no ack" |
-- "same seq" (the next message gets its seq again).
local P = require "parley_spec"
local ws = require "spec.support.ws"
local json = require "spec.support.json"

local fake = {}
fake.__index = fake

local ACCEPT = "kwQmtW7hAGABDtqMjxlkB4jQGhk=" -- to wsbench's fixed key

function fake.new(twist)
    local self = setmetatable({twist = twist, users = 0, chats = {}, socks = {}, conns = {}, online = {}}, fake)
    self.listener, self.port = assert(P.listen())
    self.address = "127.0.0.1:" .. self.port
    return self
end

local function answer(c, data)
    local body = json.encode {code = 0, message = "success", data = data}
    c.sock:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body))
end

function fake:register(c)
    self.users = self.users + 1
    answer(c, {access_token = "t" .. self.users, profile = {user = {id = self.users}}})
end

function fake:chat(c, head, body)
    local members = {math.tointeger(tonumber(head:match("Bearer t(%d+)")))}
    for _, id in ipairs(json.decode(body).member_ids) do members[#members + 1] = id end
    local id = #self.chats + 1
    self.chats[id] = {id = id, members = members, seq = 0, messages = {}}
    answer(c, {id = id, latest_seq = 0})
end

local function send(c, value) c.sock:send(ws.frame(ws.TEXT, json.encode(value), {masked = false})) end

function fake:upgrade(c, head)
    c.user = math.tointeger(tonumber(head:match("token=t(%d+)")))
    self.online[c.user] = c
    c.sock:send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " .. ACCEPT
        .. "\r\n\r\n")
    send(c, {type = "notify", data = {status = "connected"}})
end

function fake:push(chat, m)
    for _, user in ipairs(chat.members) do
        local c = self.online[user]
        if c and user ~= m.from then
            send(c, {type = "new_message", data = {conversation_id = chat.id, seq = m.seq, content = {text = {text = m.text}}}})
        end
    end
end

function fake:message(c, data)
    local chat = self.chats[data.conversation_id]
    if not chat.again then chat.seq = chat.seq + 1 end
    chat.again = false
    local m = {seq = chat.seq, text = data.content, from = c.user}
    local wrong = self.twist and self.twist(m)
    if wrong ~= "lose" then chat.messages[m.seq] = {text = m.text} end
    if wrong ~= "no ack" then send(c, {type = "message_ack", data = {client_msg_id = data.client_msg_id, seq = m.seq}}) end
    if wrong == "corrupt" then m.text = m.text:gsub("x", "y", 1) end
    chat.again = wrong == "same seq"
    if wrong == "late" then
        chat.late = m
        return
    end
    if wrong ~= "drop" and wrong ~= "lose" then self:push(chat, m) end
    if wrong == "double" then self:push(chat, m) end
    if chat.late then
        self:push(chat, chat.late)
        chat.late = nil
    end
end

function fake:sync(c, m)
    local key, have = next(m.data.sync_points)
    local chat = self.chats[math.tointeger(tonumber(key))]
    local list = json.list {}
    for seq = have + 1, chat.seq do
        local kept = chat.messages[seq]
        if kept then list[#list + 1] = {seq = seq, content = {text = {text = kept.text}}} end
    end
    send(c, {type = "sync_resp", id = m.id, data = {messages = {[key] = list}, has_more = {[key] = false}, partial = false}})
end

function fake:frames(c)
    while #c.buf >= 6 do
        local first, len = c.buf:byte(1, 2)
        local at = 7
        len = len & 0x7f
        if len == 126 then
            if #c.buf < 8 then return end
            len, at = string.unpack(">I2", c.buf, 3), 9
        end
        if #c.buf < at + len - 1 then return end
        local payload = c.buf:sub(at, at + len - 1) -- wsbench masks with zeroes
        c.buf = c.buf:sub(at + len)
        local m = first & 15 == ws.TEXT and json.decode(payload) or {}
        if m.type == "message" then self:message(c, m.data) end
        if m.type == "sync" then self:sync(c, m) end
    end
end

function fake:requests(c)
    while not c.user do
        local head, after = c.buf:match("^(.-\r\n\r\n)()")
        local len = head and tonumber(head:match("Content%-Length: (%d+)") or 0)
        if not head or #c.buf < after + len - 1 then return end
        local body = c.buf:sub(after, after + len - 1)
        c.buf = c.buf:sub(after + len)
        if head:find("^GET /ws") then
            self:upgrade(c, head)
        elseif head:find("/api/conversations", 1, true) then
            self:chat(c, head, body)
        else
            self:register(c)
        end
    end
end

function fake:turn(ms)
    local list = {self.listener}
    for i, c in ipairs(self.conns) do list[i + 1] = c.sock end
    local i = P.poll(list, ms)
    if i == 1 then
        self.conns[#self.conns + 1] = {sock = assert(self.listener:accept()), buf = ""}
    elseif i then
        local c = self.conns[i - 1]
        local bytes = c.sock:recv(65536, 0)
        if not bytes or bytes == "" then
            if c.user and self.online[c.user] == c then self.online[c.user] = nil end
            c.sock:close()
            table.remove(self.conns, i - 1)
            return
        end
        c.buf = c.buf .. bytes
        self:requests(c)
        if c.user then self:frames(c) end
    end
end

--- Serves until the process has ended (at most 60 s): its exit status.
function fake:serve(process)
    local till = P.now() + 60000
    while P.now() < till do
        local status = process:wait(0)
        if status then return status end
        self:turn(20)
    end
    process:kill(9)
    return nil, "timeout"
end

function fake:close()
    for _, c in ipairs(self.conns) do c.sock:close() end
    self.listener:close()
end

return fake
