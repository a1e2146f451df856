-- shadow: runs a version in shadow on what the version that serves was asked (lua/API.md, Versions), and says what differs. Every
-- function that would wait or reach the world is answered from the record of the live request, as long as it is the same call with
-- the same arguments in the same order; so nothing here has an effect.
local DEEP <const> = 16  -- of what is shown
local TEXT <const> = 390 -- bytes of it

-- ---- what is shown: no secrets, bounded ----

local SECRET <const> = {code = true, access = true, refresh = true, hash = true, credential = true}
-- Arguments of calls that are secrets whatever their names are: all of them, or those with these numbers.
local SECRET_CALLS <const> = {crypt = true, token = true, ["kv.set"] = {[2] = true}, ["http.post"] = {[2] = true, [3] = true}}

local function is_secret(key)
    if type(key) ~= "string" then return false end
    key = key:lower()
    return SECRET[key] or key:find("password", 1, true) or key:find("token", 1, true) or key:find("secret", 1, true)
        or key:sub(-5) == "_code" or key:sub(-5) == "_hash"
end

local function masked(v, depth)
    if type(v) ~= "table" then return v end
    if depth > DEEP then return "..." end
    local copy = {}
    for key, value in next, v do copy[key] = is_secret(key) and "***" or masked(value, depth + 1) end
    if v[1] == nil and next(v) == nil then return v end
    return copy
end

local function cut(text)
    if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
    if #text <= TEXT then return text end
    local n = TEXT
    while n > 0 and (text:byte(n + 1) or 0) & 0xC0 == 0x80 do n = n - 1 end
    return text:sub(1, n) .. "..."
end

local function show(v)
    if v == nil then return "nil" end
    local ok, text = pcall(json.encode, {masked(v, 1)})
    return ok and text:sub(2, -2) or type(v)
end

local function show_call(name, args)
    local secret = SECRET_CALLS[name] or SECRET_CALLS[name:match("^(.-)%.") or ""]
    local texts = {}
    for i = 1, args.n do
        local hide = secret == true or type(secret) == "table" and secret[i]
        texts[i] = hide and "***" or show(args[i])
    end
    return cut(name .. "(" .. table.concat(texts, ", ") .. ")")
end

-- An outcome: its kind is nil (an answer), "fault", or the code of a fail.
local function show_outcome(kind, text)
    if kind == "fault" then return cut("fault: " .. text) end
    local value = json.decode(text)
    if not kind then return cut(show(value)) end
    local message = type(value) == "table" and value.error or ""
    if type(value) ~= "table" then return kind end
    value.error, value.code = nil, nil
    return cut(kind .. ": " .. tostring(message) .. (next(value) and " " .. show(value) or ""))
end

-- ---- the same ----

local function same(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then return a == b and math.type(a) == math.type(b) end
    for key, value in next, a do
        if not same(value, b[key]) then return false end
    end
    for key in next, b do
        if a[key] == nil then return false end
    end
    return true
end

local function same_args(a, b)
    for i = 1, math.max(a.n, b.n) do
        if not same(a[i], b[i]) then return false end
    end
    return true
end

-- ---- a run ----

return function(native, path)
    local live -- the record under way

    -- now() counts as no call: it gives what the live request saw last.
    local function skip_now()
        local e = live.events[live.at]
        while e and e.name == "now" do
            live.now = e.results and e.results[1] or live.now
            live.at = live.at + 1
            e = live.events[live.at]
        end
        return e
    end

    local function now()
        local e = live.events[live.at]
        if e and e.name == "now" then
            live.now = e.results and e.results[1] or live.now
            live.at = live.at + 1
        end
        return live.now
    end

    local function differs(what, theirs, mine)
        live.difference = live.difference or {what, theirs, mine}
        error("the shadow went another way", 0)
    end

    native.answer(function(name, ...)
        if name == "conf" then return native.conf(...) end
        if name:sub(1, 4) == "log." then return end
        if not live then error(name .. " is not possible here") end
        if live.difference then error("the shadow went another way", 0) end
        if name == "now" then return now() end
        local e, args = skip_now(), {n = select("#", ...), ...}
        if not e then differs("a call more", "nothing", show_call(name, args)) end
        if e.name ~= name or not same_args(e.args, args) then
            differs("another call", show_call(e.name, e.args), show_call(name, args))
        end
        live.at = live.at + 1
        if e.fail then fail(e.fail[1], e.fail[2], e.fail[3]) end
        if not e.results then error(name .. ": the live call ended by an error") end
        return table.unpack(e.results, 1, e.results.n)
    end)

    local service = native.load(path)

    local function state_of(r)
        if r.state ~= nil then return r.state end
        return service.init and service.init {shard = r.shard, shards = r.shards} or {}
    end

    local function request(r)
        live = {events = r.events, at = 1, now = r.now}
        local ok, value = pcall(function()
            local handler = (service.on or {})[r.verb] or error("there is no verb " .. r.verb, 0)
            return handler(state_of(r), r.req == nil and {} or r.req, {key = r.key, shard = r.shard})
        end)
        local encoded, kind, text = pcall(native.outcome, ok, value)
        if not encoded then kind, text = "fault", tostring(kind) end
        if live.difference then return "differs", table.unpack(live.difference) end
        local rest = skip_now()
        if kind == "fault" and r.kind ~= "fault" then
            return "failed", "a fault", show_outcome(r.kind, r.answer), show_outcome(kind, text)
        end
        if rest then return "differs", "a call less", show_call(rest.name, rest.args), "nothing" end
        if kind ~= r.kind or kind ~= "fault" and text ~= r.answer then
            return "differs", "another answer", show_outcome(r.kind, r.answer), show_outcome(kind, text)
        end
        return "same"
    end

    local function policy(r)
        live = {events = {}, at = 1, now = r.now}
        local f = (service.policy or {})[r.verb]
        if f == nil then return "failed", "a policy less", tostring(r.out), "nothing" end
        local ok, value = true, 0
        if f then ok, value = pcall(f, table.unpack(r.args, 1, r.args.n)) end
        if live.difference then return "differs", table.unpack(live.difference) end
        if not ok then return "failed", "a fault", tostring(r.out), cut("fault: " .. tostring(value)) end
        local number = native.integer(value)
        if number == r.out then return "same" end
        local shown = {}
        for i = 1, r.count do shown[i] = tostring(r.args[i]) end
        local asked = "(" .. table.concat(shown, ", ") .. ")"
        return "differs", "another number", r.out .. " of " .. asked, cut(tostring(number or value) .. " of " .. asked)
    end

    return function(r)
        if r.policy then return policy(r) end
        return request(r)
    end
end
