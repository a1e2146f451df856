-- The reference web client as PROTOCOL.md section 18 describes it, seen from outside: which calls it makes, in which order and form,
-- what it does with answers and pushes, what it never does. It knows nothing else of the server. `log` holds its HTTP calls in order.
-- Its timers do not run here: `poll` is what it does every 15 s, `read_now` what it does soon after a message (`marks` says where).
local P = require "parley_spec"
local http = require "spec.support.http"
local json = require "spec.support.json"
local node = require "spec.support.node"
local ws = require "spec.support.ws"

local web = {}
web.__index = web

local LETTERS <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
local WAIT <const> = 15000 -- ms, for signal_resp

local function random_text(n)
    local out = {}
    for i = 1, n do
        local k = math.random(#LETTERS)
        out[i] = LETTERS:sub(k, k)
    end
    return table.concat(out)
end

--- A page that has just been loaded from this node. opt: session = another page whose tokens it shares (a reload).
function web.new(n, opt)
    local self = setmetatable({
        node = n, device = ("web-app-%s-%s"):format(random_text(8), random_text(6)), log = {}, free = {}, conversations = {}, contacts = {},
        online = {}, messages = {}, unread = {}, read_by = {}, answers = {}, ignored = {}, marks = {}, serial = 0, page = "/chat",
    }, web)
    local from = opt and opt.session
    if from then self.access, self.refresh, self.profile = from.access, from.refresh, from.profile end
    return self
end

-- ---- HTTP ----

-- As a browser sends it.
local function request_bytes(self, call)
    local lines = {
        call.method .. " " .. call.path .. " HTTP/1.1", "Host: " .. self.node.http_address, "Connection: keep-alive",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
        "Accept: application/json, text/plain, */*", "Accept-Encoding: gzip, deflate", "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8",
        "Referer: http://" .. self.node.http_address .. "/chat", "Cookie: theme=dark",
    }
    if call.method ~= "GET" then lines[#lines + 1] = "Origin: http://" .. self.node.http_address end
    if call.bearer then lines[#lines + 1] = "Authorization: Bearer " .. call.bearer end
    if call.body then
        lines[#lines + 1] = "Content-Type: " .. (call.content_type or "application/json")
        lines[#lines + 1] = "Content-Length: " .. #call.body
    elseif call.method == "POST" then
        lines[#lines + 1] = "Content-Length: 0"
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (call.body or "")
end

local function unwrap(text)
    local value = json.decode(text)
    if type(value) == "table" and value.code ~= nil and value.data ~= nil then return value.data end
    return value
end

-- All of these at once, each on a connection of its own, as a browser does; their answers in the same order.
local function exchange(self, calls)
    local lines, answers = {}, {}
    for i, call in ipairs(calls) do
        self.log[#self.log + 1] = call.method .. " " .. call.path
        lines[i] = table.remove(self.free) or http.new(self.node.http_address)
        assert(lines[i]:connect():send(request_bytes(self, call)))
    end
    for i, call in ipairs(calls) do
        answers[i] = assert(lines[i]:read(call.method))
        self.free[#self.free + 1] = lines[i]
    end
    return answers
end

local function refresh(self)
    local answer = exchange(self, {{
        method = "POST", path = "/api/auth/refresh", body = json.encode {refresh_token = self.refresh},
    }})[1]
    if answer.status ~= 200 then
        self.access, self.refresh, self.profile, self.page = nil, nil, nil, "/login"
        return false
    end
    local payload = unwrap(answer.body)
    self.access, self.refresh = assert(payload.access_token), assert(payload.refresh_token)
    return true
end

local function with_token(self, calls)
    for _, call in ipairs(calls) do call.bearer = self.access end
    return exchange(self, calls)
end

-- Calls with the token; of those that get 401 all wait for one refresh, and are made once more.
local function authorized(self, calls)
    local answers, again, places = with_token(self, calls), {}, {}
    for i, answer in ipairs(answers) do
        if answer.status == 401 then
            again[#again + 1], places[#places + 1] = calls[i], i
        end
    end
    if #again > 0 and refresh(self) then
        for i, answer in ipairs(with_token(self, again)) do answers[places[i]] = answer end
    end
    return answers
end

local function result(answer)
    if answer.status >= 200 and answer.status < 300 then return answer.body == "" and {} or unwrap(answer.body) end
    return nil, json.decode(answer.body).error, answer.status
end

-- The data, or nil, the text of the error, the status.
function web:api(method, path, body)
    return result(authorized(self, {{method = method, path = path, body = body and json.encode(body)}})[1])
end
function web:get(path) return self:api("GET", path) end
function web:post(path, body) return self:api("POST", path, body) end

-- ---- register, login, enter ----

-- Register and login are made without a token; a 401 there would be taken for an expired login.
local function sign(self, path, body)
    local answer = exchange(self, {{method = "POST", path = path, body = json.encode(body)}})[1]
    assert(answer.status ~= 401, "the page would try a refresh")
    local payload, why, status = result(answer)
    if not payload then return nil, why, status end
    self.access, self.refresh, self.profile = payload.access_token, payload.refresh_token, payload.profile
    assert(type(self.access) == "string" and #self.access > 0 and type(self.refresh) == "string" and #self.refresh > 0, answer.body)
    if not self.profile then self.profile = assert(self:get "/api/users/me") end
    return self.profile
end

function web:register(name, password, display_name)
    return sign(self, "/api/auth/register", {username = name, password = password, display_name = display_name})
end
function web:login(name, password) return sign(self, "/api/auth/login", {username = name, password = password}) end
function web:id() return math.tointeger(self.profile.user.id) end

local function lists(self)
    local answers = authorized(self, {{method = "GET", path = "/api/conversations"}, {method = "GET", path = "/api/contacts"}})
    local chats, contacts = result(answers[1]), result(answers[2])
    if not chats or not contacts then return end
    self.conversations, self.contacts = chats, contacts
    for _, c in ipairs(chats) do
        assert(math.type(c.id) == "integer" and type(c.title) == "string", answers[1].body)
        if not self.unread[c.id] then self.unread[c.id] = c.unread end
    end
end

function web:load_presence()
    if #self.contacts == 0 then return end
    local ids = {}
    for i, c in ipairs(self.contacts) do ids[i] = "user_ids=" .. c.id end
    for _, item in ipairs(assert(self:get("/api/presence?" .. table.concat(ids, "&")))) do self.online[item.user_id] = item.online end
end

--- Every 15 s; contact_tab: that tab is open.
function web:poll(contact_tab)
    lists(self)
    if contact_tab then self:load_presence() end
end

function web:enter()
    lists(self)
    self:load_presence()
    if self.conversations[1] then self:open(self.conversations[1].id) end
    return self:connect()
end

-- ---- messages ----

local function seconds_of(time) return type(time) == "table" and time.seconds or time end

-- A message in either form; those with the same id or seq are one. true: it is new.
local function merge(self, m, content)
    local chat = m.conversation_id
    local list = self.messages[chat] or {}
    self.messages[chat] = list
    if type(content) == "string" then content = json.decode(content) end
    local id = m.id or m.message_id
    assert(math.type(id) == "integer" and math.type(m.seq) == "integer" and math.type(m.sender_id) == "integer")
    local made = assert(seconds_of(m.create_time or m.created_at))
    assert(made > 1500000000 and made < 5000000000, "no time in seconds: " .. made)
    local item = {
        id = id, seq = m.seq, sender = m.sender_id, type = m.content_type, content = content, revoked = m.status == "recalled" or nil,
    }
    for i, old in ipairs(list) do
        if old.id == id or old.seq == m.seq then
            assert(old.id == id and old.seq == m.seq, "one message with two names")
            list[i] = item
            return false
        end
    end
    list[#list + 1] = item
    table.sort(list, function(a, b) return a.seq < b.seq end)
    return true
end

--- What the page shows of a conversation: a list of texts; "-" for a recalled one, "[hint]" for a call.
function web:shown(chat)
    local out = {}
    for i, m in ipairs(self.messages[chat] or {}) do
        local c = m.content
        out[i] = m.revoked and "-" or c.text and c.text.text or c.call and "[" .. c.call.convo_hint .. "]"
            or (c.image or c.file or c.audio or c.video).filename
    end
    return out
end

local function last_seq(self, chat)
    local list = self.messages[chat] or {}
    return #list > 0 and list[#list].seq or 0
end

function web:read_now(chat)
    if last_seq(self, chat) == 0 then return end
    local answer = assert(self:post("/api/messages/read", {conversation_id = chat, read_seq = last_seq(self, chat)}))
    assert(answer.read_seq == last_seq(self, chat))
    self.unread[chat], self.marks[chat] = 0, nil
end

function web:open(chat)
    self.opened = chat
    for _, m in ipairs(assert(self:get(("/api/messages/history?conversation_id=%d&after_seq=0&limit=100"):format(chat)))) do
        merge(self, m, m.body)
    end
    self:read_now(chat)
end

--- Gives what the server answered, or nil and the text of the error.
function web:send_text(chat, text)
    local body = {conversation_id = chat, client_msg_id = random_text(21), content_type = 1, text = text}
    local m, why, status = self:post("/api/messages", body)
    if not m then return nil, why, status end
    merge(self, m, m.body)
    self.marks[chat] = true -- a read follows 120 ms later
    return m
end

function web:recall(id) return self:post("/api/messages/" .. id .. "/revoke") end

local function kind_of(content_type)
    local prefix = content_type:match "^(%a+)/"
    return (prefix == "image" or prefix == "audio" or prefix == "video") and prefix or "file"
end

--- Ticket, PUT, complete. Gives the message, or nil, the text of the error, the status.
function web:send_file(chat, filename, content_type, bytes)
    local ticket, why, status = self:post("/api/files/upload", {
        filename = filename, content_type = content_type, size_bytes = #bytes, kind = kind_of(content_type),
    })
    if not ticket then return nil, why, status end
    local put = exchange(self, {{method = "PUT", path = ticket.upload_url, body = bytes, content_type = content_type}})[1]
    assert(put.status >= 200 and put.status < 300, put.status .. " " .. put.body)
    local m
    m, why, status = self:post("/api/files/complete", {
        conversation_id = chat, client_msg_id = random_text(21), object_key = ticket.object_key,
    })
    if not m then return nil, why, status end
    merge(self, m, m.body)
    return m
end

--- What an <img> or <video> element loads: no header of ours.
function web:load_media(object_key)
    local c = http.new(self.node.http_address)
    local r = c:request("GET", object_key)
    c:close()
    return r
end

-- ---- the socket ----

function web:connect()
    local path = ("/ws?user_id=%d&device_id=%s&platform=web"):format(self:id(), self.device)
    local c, status, _, body = ws.open(self.node.http_address, path, {headers = {
        "Origin: http://" .. self.node.http_address, "Pragma: no-cache", "Cache-Control: no-cache", "Cookie: theme=dark",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36",
        "Accept-Encoding: gzip, deflate", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    }})
    if not c then return nil, status, body end
    local head = c.handshake:lower()
    assert(not head:find("sec-websocket-extensions", 1, true) and not head:find("sec-websocket-protocol", 1, true), head)
    self.socket = c
    return self
end

--- The socket is lost: it opens the next one, for ever, and loads nothing.
function web:reconnect()
    if self.socket then self.socket:close() end
    for _, c in ipairs(self.free) do c:close() end
    self.free = {}
    assert(node.eventually(function()
        local ok, opened = pcall(self.connect, self)
        return ok and opened
    end, 20000), "no new socket")
end

local function send(self, frame)
    frame.ts = os.time() * 1000
    assert(self.socket:send(frame))
end

-- ---- calls ----

local ENDS <const> = {call_ended = true, call_rejected = true, call_timeout = true}

local function ask_signal(self, action, payload)
    self.serial = self.serial + 1
    local id = "sig-" .. self.serial
    send(self, {type = "signaling", id = id, data = {action = action, payload = payload}})
    return id
end

local on_signal = {}

function on_signal.incoming_call(self, d)
    if self.call then
        self.said_busy = ask_signal(self, "reject", {call_id = d.call_id, reason = "busy"})
        return
    end
    assert(d.payload.call_type == "audio" or d.payload.call_type == "video")
    self.call = {
        id = d.call_id, peer = d.from_user, type = d.payload.call_type, state = "incoming", ice = {},
        stun = assert(d.payload.stun_servers), turn = assert(d.payload.turn_servers),
    }
end

function on_signal.call_accepted(self)
    if not self.call then return end
    self.call.state = "accepted"
    ask_signal(self, "offer", {call_id = self.call.id, target_id = self.call.peer, sdp = "v=0\r\no=- 1 of " .. self.call.id .. "\r\n"})
end

function on_signal.sdp(self, d)
    if not self.call then return end
    self.call.sdp = d.payload
    if d.payload.sdp_type == "offer" then
        ask_signal(self, "answer", {call_id = self.call.id, target_id = self.call.peer, sdp = "v=0\r\no=- 2 of " .. self.call.id .. "\r\n"})
    end
end

function on_signal.ice_candidate(self, d)
    if self.call then table.insert(self.call.ice, d.payload) end
end

--- Asks, and waits for the result: true and the data (nil for null), or nil and the error.
function web:signal(action, payload)
    local id = ask_signal(self, action, payload)
    local m = self:wait(function() return self.answers[id] end, WAIT)
    if m.type == "error" then return nil, m.data.error, m.data.code end
    return true, m.data
end

function web:ring(peer, chat, kind)
    local ok, data = self:signal("call", {callee_id = peer, conversation_id = chat, call_type = kind})
    if not ok then return nil, data end
    if data.status == "busy" then return nil, "busy" end
    self.call = {
        id = data.call_id, peer = peer, type = kind, state = "ringing", ice = {}, stun = data.stun_servers, turn = data.turn_servers,
    }
    return self.call
end

function web:accept()
    self.call.state = "accepted"
    return self:signal("accept", {call_id = self.call.id})
end

function web:send_candidate(text, mid, index)
    return self:signal("ice_candidate", {
        call_id = self.call.id, target_id = self.call.peer, candidate = text, sdp_mid = mid or json.null,
        sdp_mline_index = index or json.null,
    })
end

local function end_call(self, action, extra)
    local payload = extra or {}
    payload.call_id = self.call.id
    self.call = nil
    return self:signal(action, payload)
end
function web:reject() return end_call(self, "reject", {reason = "decline"}) end
function web:cancel() return end_call(self, "cancel") end
function web:hang_up() return end_call(self, "hangup") end

-- ---- pushes ----

local on_frame = {}

function on_frame.new_message(self, d)
    local is_new = merge(self, d, d.content)
    send(self, {type = "ack", data = {conversation_id = d.conversation_id, message_id = d.message_id, seq = d.seq}})
    if d.sender_id == self:id() or not is_new then return end
    if d.conversation_id == self.opened then
        self.marks[d.conversation_id] = true -- a read follows 250 ms later
    else
        self.unread[d.conversation_id] = (self.unread[d.conversation_id] or 0) + 1
    end
end

function on_frame.message_read(self, d)
    assert(d.user_id ~= self:id(), "a reader who is told of themselves")
    assert(d.read_at > 0)
    self.read_by[d.conversation_id] = math.max(self.read_by[d.conversation_id] or 0, d.read_seq)
end

function on_frame.message_revoked(self, d)
    for _, m in ipairs(self.messages[d.conversation_id] or {}) do
        if m.id == d.message_id then m.revoked = true end
    end
end

function on_frame.signaling(self, d)
    if ENDS[d.action] then
        self.call, self.ended = nil, {action = d.action, reason = d.payload.reason, call_id = d.call_id}
    elseif on_signal[d.action] then
        on_signal[d.action](self, d)
    end
end

-- An ack without id is not answered.
function on_frame.notify(_, d) assert(d.status == "connected", json.encode(d)) end

local function receive(self, ms)
    local m, text = self.socket:next(ms)
    if not m then return nil, text end
    if m.type == "signal_resp" or m.type == "error" then
        assert(m.id, "an answer to nothing that was asked: " .. text)
        if m.type == "signal_resp" then assert(text:find('"data":', 1, true), text) end
        self.answers[m.id] = m
    elseif on_frame[m.type] then
        on_frame[m.type](self, m.data)
    else
        self.ignored[m.type] = (self.ignored[m.type] or 0) + 1
    end
    return m
end

--- Handles what comes until check() is true, which it gives.
function web:wait(check, ms)
    local till = P.now() + (ms or 20000) * node.slow
    while true do
        local v = check()
        if v then return v end
        local m, why = receive(self, math.max(0, till - P.now()))
        assert(m, "what the page waits for does not come: " .. tostring(why))
    end
end

--- Handles whatever was pushed so far. The page itself never sends a ping: this one is the spec's.
function web:settle()
    local before = self.ignored.pong or 0
    send(self, {type = "ping"})
    self:wait(function() return (self.ignored.pong or 0) > before end)
end

function web:close()
    if self.socket then self.socket:close(true) end
    for _, c in ipairs(self.free) do c:close() end
end

return web
