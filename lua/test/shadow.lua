-- shadow: runs a version in shadow on what the version that serves was asked (lua/API.md, Versions), and says what differs. Every
-- function that would wait or reach the world is answered from the record of the live request, as long as it is the same call with
-- the same arguments in the same order; so nothing here has an effect.
local DEEP <const> = 16  -- of what is shown
local TEXT <const> = 390 -- bytes of it

-- ---- what is shown: no secrets, nothing of what people wrote or are called, bounded ----

local SECRET <const> = {code = true, access = true, refresh = true, hash = true, credential = true}
-- Arguments of calls that are secrets whatever their names are: all of them, or those with these numbers.
local SECRET_CALLS <const> = {crypt = true, token = true, ["kv.set"] = {[2] = true}, ["http.post"] = {[2] = true, [3] = true}}

-- Personal data: how long they are is shown, and whether the other side has the same.
local PERSONAL <const> = {
    text = true, content = true, message = true, title = true, announcement = true, remark = true, nickname = true, username = true,
    name = true, display_name = true, phone = true, avatar_url = true, address = true, network = true, used_address = true,
    q = true, who = true, sdp = true, candidate = true,
}

local function is_secret(key)
    if type(key) ~= "string" then return false end
    key = key:lower()
    return SECRET[key] or key:find("password", 1, true) or key:find("token", 1, true) or key:find("secret", 1, true)
        or key:sub(-5) == "_code" or key:sub(-5) == "_hash"
end

local function personal(value, other)
    local same = other == nil or other == value
    return ("*** %d bytes%s"):format(#tostring(value), same and "" or ", another one")
end

-- other: what the other side has in this place.
local function masked(v, other, depth)
    if type(v) ~= "table" then return v end
    if depth > DEEP then return "..." end
    local copy = {}
    for key, value in next, v do
        local theirs = type(other) == "table" and rawget(other, key) or nil
        if is_secret(key) then
            copy[key] = "***"
        elseif PERSONAL[key] and type(value) ~= "table" then
            copy[key] = personal(value, theirs)
        else
            copy[key] = masked(value, theirs, depth + 1)
        end
    end
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

local function show(v, other)
    if v == nil then return "nil" end
    local ok, text = pcall(json.encode, {masked(v, other, 1)})
    return ok and text:sub(2, -2) or type(v)
end

-- The keys of kv are made of names, phones, addresses behind what they are for.
local function show_arg(name, i, v, other)
    if i == 1 and name:sub(1, 3) == "kv." and type(v) == "string" then return show(v:match("^[^:]*:?") .. "***") end
    return show(v, other)
end

-- other: the arguments of the other side, if there are any.
local function show_call(name, args, other)
    local secret = SECRET_CALLS[name] or SECRET_CALLS[name:match("^(.-)%.") or ""]
    local texts = {}
    for i = 1, args.n do
        local hide = secret == true or type(secret) == "table" and secret[i]
        texts[i] = hide and "***" or show_arg(name, i, args[i], other and other[i])
    end
    return cut(name .. "(" .. table.concat(texts, ", ") .. ")")
end

-- An outcome: its kind is nil (an answer), "fault", or the code of a fail. other: the text of the other one.
local function show_outcome(kind, text, other)
    if kind == "fault" then return cut("fault: " .. text) end
    local value = json.decode(text)
    if not kind then return cut(show(value, other and json.decode(other))) end
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
            differs("another call", show_call(e.name, e.args, args), show_call(name, args, e.args))
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
            return "differs", "another answer", show_outcome(r.kind, r.answer, text), show_outcome(kind, text, r.answer)
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
