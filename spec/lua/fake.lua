-- fake: the script API for specs of the rules: the real operations on a real SQLite in memory, a clock that a spec moves, and a record
-- of what left the rules: pushes, kicks, changed conversations. One world per spec: `local w = fake.new()`.
package.path = "./lua/?.lua;" .. package.path
local json = require "spec.support.json"
local sqlite = require("luasql.sqlite3").sqlite3()

local SCHEMA <const> = "schema/sqlite/"
local FAIL = {__tostring = function(e) return e.code .. ": " .. tostring(e.text) end}

-- ---- operations: `-- name: op read|write [expect=N]`, then statements ----

local function lines_of(file) return assert(io.open(SCHEMA .. file)):lines() end

local function statements(text)
    local out = {}
    for statement in text:gmatch("[^;]+") do
        local before = out[#out]
        if before and before:find "CREATE TRIGGER" and not before:find "END%s*$" then
            out[#out] = before .. ";" .. statement -- a trigger holds statements of its own
        elseif statement:find("%S") then
            out[#out + 1] = statement
        end
    end
    return out
end

local function load_file(ops, file)
    local op, text
    local function finish()
        if op then op.statements = statements(table.concat(text, "\n")) end
    end
    for line in lines_of(file) do
        local name, kind, rest = line:match("^%-%- name: (%S+) (%S+)(.*)$")
        if name then
            finish()
            assert(not ops[name], "operation twice: " .. name)
            assert(kind == "read" or kind == "write", line)
            op, text = {name = name, writes = kind == "write", expect = tonumber(rest:match("expect=(%d+)"))}, {}
            ops[name] = op
        elseif op then
            text[#text + 1] = line:gsub("%-%-.*", "")
        end
    end
    finish()
end

local function load_ops()
    local ops = {}
    for _, file in ipairs {"auth", "user", "contact", "group", "message", "call", "operator", "file"} do
        load_file(ops, "ops/" .. file .. ".sql")
    end
    for _, op in pairs(ops) do
        op.params = {}
        for _, s in ipairs(op.statements) do
            for name in s:gmatch(":([%a_]+)") do op.params[name] = true end
        end
    end
    return ops
end

local function migrate(db)
    local text = {}
    for _, file in ipairs {"0001", "0002", "0003", "0004"} do
        for line in lines_of("migrations/" .. file .. ".sql") do text[#text + 1] = line:gsub("%-%-.*", "") end
    end
    for _, s in ipairs(statements(table.concat(text, "\n"))) do assert(db:execute(s)) end
end

local ops = load_ops()

-- ---- store ----

local function literal(v)
    if type(v) == "number" then return tostring(v) end
    if type(v) == "boolean" then return v and "1" or "0" end
    assert(type(v) == "string", "a parameter is text or a number")
    return "'" .. v:gsub("'", "''") .. "'"
end

local function rows_of(cursor)
    local rows = json.list {}
    local row = cursor:fetch({}, "a")
    while row do
        for key, value in pairs(row) do row[key] = math.tointeger(value) or value end
        rows[#rows + 1] = row
        row = cursor:fetch({}, "a")
    end
    cursor:close()
    return rows
end

local function one(db, sql)
    local cursor = db:execute(sql)
    local v = math.tointeger((cursor:fetch()))
    cursor:close()
    return v
end

-- luasql runs a statement with RETURNING twice: the inserted rows are read back instead.
local function insert_returning(db, sql)
    local plain, columns = sql:match("^(.*)RETURNING(.*)$")
    local table_name = plain:match("INTO ([%a_]+)")
    local last = one(db, "SELECT coalesce(max(id), 0) FROM " .. table_name)
    local result, err = db:execute(plain)
    if not result then return nil, err end
    local changed = one(db, "SELECT changes()")
    return rows_of(assert(db:execute(("SELECT %s FROM %s WHERE id > %d"):format(columns, table_name, last)))), changed
end

local function run_statement(db, sql)
    local result, err
    if sql:find("RETURNING", 1, true) then
        result, err = insert_returning(db, sql)
        if result then return result, err end
    else
        result, err = db:execute(sql)
    end
    if not result then
        if err:find("UNIQUE", 1, true) then return nil, "exists" end
        error(err .. " in " .. sql)
    end
    if type(result) ~= "userdata" then return json.list {}, one(db, "SELECT changes()") end
    return rows_of(result), 0
end

local function run_op(db, name, params)
    local op = assert(ops[name], "no operation " .. tostring(name))
    for key in pairs(params or {}) do assert(op.params[key], name .. " has no parameter " .. key) end
    for key in pairs(op.params) do assert(params and params[key] ~= nil, name .. " lacks parameter " .. key) end
    local rows, changed
    for _, s in ipairs(op.statements) do
        rows, changed = run_statement(db, (s:gsub(":([%a_]+)", function(key) return literal(params[key]) end)))
        if not rows then return nil, changed end
    end
    if op.expect and changed ~= op.expect then return nil, "stale" end
    return rows, {changed = changed, last_id = one(db, "SELECT last_insert_rowid()")}
end

local function transaction(db, list)
    db:execute "BEGIN"
    local results, infos = {}, {}
    for i, item in ipairs(list) do
        local rows, info = run_op(db, item[1], item[2])
        if not rows then
            db:execute "ROLLBACK"
            return nil, info
        end
        results[i], infos[i] = rows, info
    end
    db:execute "COMMIT"
    return results, infos
end

local function store_of(w)
    local function try(op, params)
        if w.before_write and ops[op].writes then w.before_write(op) end
        local results, infos = transaction(w.db, {{op, params}})
        if not results then return nil, infos end
        return results[1], infos[1]
    end
    return {
        try = try,
        run = function(op, params)
            local rows, info = try(op, params)
            if not rows then error("store.run: " .. info) end
            return rows, info
        end,
        batch = function(list) return transaction(w.db, list) end,
    }
end

-- ---- the rest of the API ----

local function kv_of(w)
    local kept = {}
    local function live(key)
        local e = kept[key]
        return e and (not e.dies or e.dies > w.now) and e or nil
    end
    return {
        get = function(key) return live(key) and live(key).value end,
        set = function(key, value, ttl, only_new)
            if only_new and live(key) then return false end
            kept[key] = {value = value, dies = ttl and ttl > 0 and w.now + ttl or nil}
            return true
        end,
        incr = function(key, by, ttl)
            local e = live(key) or {value = 0, dies = ttl and ttl > 0 and w.now + ttl or nil}
            e.value = e.value + (by or 1)
            kept[key] = e
            return e.value
        end,
        del = function(key) kept[key] = nil end,
    }
end

local function digest(text)
    local out, h = {}, 0xcbf29ce484222325
    for round = 1, 4 do
        for i = 1, #text do h = (h ~ text:byte(i)) * 0x100000001b3 end
        h = (h ~ round) * 0x100000001b3
        out[round] = ("%016x"):format(h)
    end
    return table.concat(out)
end

local function token_of(w)
    local serial = 0
    local function text(kind, user, fam, device, iat, jti) return table.concat({kind, user, fam, device, iat, jti}, "|") end
    return {
        pair = function(user, fam, device, iat, jti)
            serial = serial + 1
            iat, jti = iat or w.now // 1000, jti or ("%032x"):format(serial)
            return {
                access = text("access", user, fam, device, iat, jti), refresh = text("refresh", user, fam, device, iat, jti),
                expires_in = iat + 900 - w.now // 1000, claims = iat .. ":" .. jti,
            }
        end,
        read = function(token, kind)
            local typ, user, fam = token:match("^(%a+)|(%d+)|(%d+)|")
            if typ ~= kind then return nil, "invalid_token" end
            return {user = math.tointeger(user), fam = math.tointeger(fam)}
        end,
    }
end

local function crypt_of(w)
    return {
        hash = function(password) return "hash of " .. password end,
        verify = function(password, hash)
            w.work = w.work + 1
            return hash == "hash of " .. password
        end,
    }
end

local function copy(v)
    if type(v) ~= "table" or v == json.null then return v end
    local out = setmetatable({}, getmetatable(v))
    for key, value in pairs(v) do out[key] = copy(value) end
    return out
end

local defaults = {
    ["auth.min_password"] = 8, ["auth.max_failures"] = 10, ["auth.refresh_ttl"] = 7 * 86400000, ["auth.refresh_grace"] = 10000,
    ["group.member_limit"] = 500, ["recall.window"] = 120000,
    ["call.ring"] = 30000, ["call.connect"] = 30000, ["call.max"] = 14400000, ["call.lost"] = 15000,
    ["sms.sender"] = "log", ["sms.auto_register"] = true, ["sms.url"] = "http://gateway.example/send", ["sms.text"] = "Code: {code}",
    ["call.stun"] = json.list {"stun:stun.example.org:3478"}, ["call.turn_ttl"] = 21600000,
}

-- ---- services that speak with each other and with themselves later ----

local function run(w, service, verb, key, req)
    local s = require(service)
    w.states[service] = w.states[service] or (s.init and s.init {shard = 1, shards = 1}) or {}
    local before = w.key
    w.key = key
    local ok, result = pcall(s.on[verb], w.states[service], json.decode(json.encode(req or {})), {key = key, shard = 1})
    w.key = before
    if not ok then error(result, 0) end
    return result
end

-- What was sent to services runs once nothing else does.
local function drain(w)
    while #w.mail > 0 do
        local m = table.remove(w.mail, 1)
        run(w, m.service, m.verb, m.key, m.req)
    end
end

local function services_of(w)
    return {
        call = function(service, verb, key, req) return run(w, service, verb, key, req) end,
        send = function(service, verb, key, req) w.mail[#w.mail + 1] = {service = service, verb = verb, key = key, req = req} end,
        after = function(ms, verb, req)
            w.timers[#w.timers + 1] = {service = w.service, verb = verb, key = w.key, req = req, at = w.now + ms}
            return #w.timers
        end,
        cancel = function(id)
            local had = w.timers[id] ~= nil and not w.timers[id].done
            if had then w.timers[id].done = true end
            return had
        end,
    }
end

-- Users and the call they are in, as their inboxes know it; w.online[user]: the list of devices with a socket.
local function calls_of(w)
    return {
        enter = function(user, id, life_ms)
            if w.in_call[user] and w.in_call[user] ~= id then return nil, w.in_call[user] end
            if life_ms > 0 then w.in_call[user] = id end
            return json.list(table.move(w.online[user] or {}, 1, 100, 1, {}))
        end,
        leave = function(user, id) if w.in_call[user] == id then w.in_call[user] = nil end end,
        turn = function(user, life_ms)
            return json.list {{urls = json.list {"turn:turn.example.org"}, username = ("%d:%d"):format(life_ms, user), credential = "c"}}
        end,
        active = function(n) w.active = n end,
        ended = function(result) w.results[#w.results + 1] = result end,
    }
end

local function globals_of(w)
    local function record(kind) return function(...) w.events[#w.events + 1] = {kind = kind, ...} end end
    local services = services_of(w)
    return {
        call = services.call, send = services.send, after = services.after, cancel = services.cancel, calls = calls_of(w),
        random = {
            bytes = function(n) w.serial = w.serial + 1; return ("%0" .. n .. "d"):format(w.serial) end,
            digits = function(n) w.serial = w.serial + 1; return ("%0" .. n .. "d"):format(w.serial) end,
        },
        http = {post = function(url, headers, body)
            w.posted[#w.posted + 1] = {url = url, headers = headers, body = body}
            return table.unpack(w.gateway)
        end},
        store = store_of(w), kv = kv_of(w), token = token_of(w), crypt = crypt_of(w), json = json, hash = {sha256 = digest},
        now = function() return w.now end,
        conf = function(key)
            assert(w.conf[key] ~= nil, "no conf " .. key)
            return w.conf[key]
        end,
        fail = function(code, text, extra) error(setmetatable({code = code, text = text, extra = extra}, FAIL), 0) end,
        log = {info = function(text) w.told = text end, warn = function() end, error = function(text) w.logged = text end},
        push = {users = function(to, type, data, except)
            w.pushes[#w.pushes + 1] = {to = copy(to), type = type, data = copy(data), except = except}
            w.events[#w.events + 1] = {kind = "push", type, data.action}
        end, device = function(user, device, type, data)
            w.pushes[#w.pushes + 1] = {to = {user}, device = device, type = type, data = copy(data)}
            w.events[#w.events + 1] = {kind = "push", type, data.action}
        end},
        sockets = {kick = record "kick"}, login = {revoke = record "revoke", disable = record "disable", enable = record "enable"},
        conversation = {changing = function()
            if w.changing_fails then error(setmetatable({code = "busy", text = "server busy"}, FAIL), 0) end
        end, changed = record "changed", post = function(conversation, sender, type, content, cid)
            if w.post_fails and w.post_fails > 0 then
                w.post_fails = w.post_fails - 1
                error(setmetatable({code = "busy", text = "server busy"}, FAIL), 0)
            end
            w.posts[#w.posts + 1] = {conversation = conversation, sender = sender, type = type, content = copy(content), cid = cid}
            return {id = #w.posts, seq = #w.posts}
        end}, presence = {
            drop = record "drop", online = function(user) return w.online[user] ~= nil end,
        },
    }
end

-- ---- a world ----

local world = {}
world.__index = world

local fake = {json = json, ops = ops}

function fake.new(conf)
    local w = setmetatable({
        now = 1760000000000, pushes = {}, events = {}, work = 0, states = {}, mail = {}, timers = {}, in_call = {}, online = {},
        posts = {}, results = {}, serial = 0, posted = {}, gateway = {{status = 200, body = ""}},
        conf = setmetatable(conf or {}, {__index = defaults}),
        db = sqlite:connect(":memory:"),
    }, world)
    migrate(w.db)
    for name, value in pairs(globals_of(w)) do rawset(_G, name, value) end
    return w
end

-- Calls a verb ("group.create") as a user: the returned table, or nil and the error {code, text}. Forgets earlier pushes and events.
function world:call(verb, user, req)
    req = req or {}
    local service, name = verb:match("^(%w+)%.(.+)$")
    local full = {
        user = user, fam = req.fam or 1, device = req.device or "", address = req.address or "10.0.0.1",
        network = req.network or req.address or "10.0.0.1", id = req.id or {},
        query = req.query or {}, body = json.decode(json.encode(req.body or {})),
    }
    self.pushes, self.events = {}, {}
    self.service = service
    local ok, result = pcall(run, self, service, name, user or 0, full)
    drain(self)
    if ok then return result end
    if getmetatable(result) == FAIL then return nil, result end
    error(result, 0)
end

-- Runs a verb of a service as the runtime would: with a key, and what it sends afterwards. Its result, or nil and the error.
function world:run(service, verb, key, req)
    self.service = service
    local ok, result = pcall(run, self, service, verb, key, req)
    drain(self)
    if ok then return result end
    if getmetatable(result) == FAIL then return nil, result end
    error(result, 0)
end

-- Moves the clock; timers that come due run, in their order.
function world:advance(ms)
    local stop = self.now + ms
    while true do
        local due
        for _, t in ipairs(self.timers) do
            if not t.done and t.at <= stop and (not due or t.at < due.at) then due = t end
        end
        if not due then break end
        due.done = true
        self.now = math.max(self.now, due.at)
        self:run(due.service, due.verb, due.key, due.req)
    end
    self.now = stop
end

-- The code and text of the error a call gives; fails when it gives none.
function world:refused(verb, user, req)
    local result, err = self:call(verb, user, req)
    assert(result == nil, verb .. " succeeded")
    return err.code, err.text
end

function world:data(verb, user, req)
    local result, err = self:call(verb, user, req)
    assert(result, tostring(err))
    return result.data
end

function world:user(name, display_name)
    local result = self:data("auth.register", nil, {body = {username = name, password = "correct horse 9", display_name = display_name}})
    return result.profile.user.id
end

-- Pushes of a type (and action): their list.
function world:pushed(type, action)
    local out = {}
    for _, p in ipairs(self.pushes) do
        if p.type == type and (not action or p.data.action == action) then out[#out + 1] = p end
    end
    return out
end

-- Who got pushes of this type and action, as a sorted list.
function world:receivers(type, action)
    local out = {}
    for _, p in ipairs(self:pushed(type, action)) do
        for _, user in ipairs(p.to) do out[#out + 1] = user end
    end
    table.sort(out)
    return out
end

-- What left the rules, in order: "changed", "conversation_update created", ..
function world:order()
    local out = {}
    for i, e in ipairs(self.events) do out[i] = e.kind == "push" and (e[1] .. " " .. tostring(e[2])) or e.kind end
    return out
end

-- Stores a message as the hot path would; gives its seq.
function world:say(conversation, sender, text, fields)
    local f = fields or {}
    local seq = one(self.db, "SELECT coalesce(max(seq), 0) + 1 FROM message WHERE conversation = " .. conversation)
    assert(self.db:execute(("INSERT INTO message (conversation, seq, sender, client_msg_id, at_ms, type, recalled, content) "
        .. "VALUES (%d, %d, %d, 'c-%d', %d, 1, %d, %s)"):format(conversation, seq, sender, seq, f.at or self.now, f.recalled and 1 or 0,
        literal(f.recalled and "{}" or json.encode {text = {text = text}}))))
    return seq
end

--- One operation by name, as the store would run it.
function world:op(name, params) return run_op(self.db, name, params) end

function world:sql(text) return assert(self.db:execute(text)) end

return fake
