-- run: what a spec beside a rule file gets as `t` (lua/API.md, Specs). It runs in a VM of its own where every function that would
-- wait or reach the world asks here instead; what the spec gives as its answer comes back, and nothing else is behind it.
local NOW <const> = 1760000000000

-- Calls that give nothing or little: without an answer of the spec they are only noted in t.effects.
local EFFECTS <const> = {
    ["send"] = true, ["after"] = 1, ["cancel"] = true, ["log.info"] = true, ["log.warn"] = true, ["log.error"] = true,
    ["push.users"] = true, ["push.device"] = true, ["sockets.kick"] = true, ["login.revoke"] = true, ["login.disable"] = true,
    ["login.enable"] = true, ["conversation.changing"] = true, ["conversation.changed"] = true, ["presence.drop"] = true,
    ["stream.append"] = true, ["kv.del"] = true,
    ["calls.leave"] = true, ["calls.active"] = true, ["calls.ended"] = true,
}
local PRESETS <const> = {
    ["random.int"] = function(low) return low end,
    ["random.bytes"] = function(n) return ("r"):rep(n) end,
    ["token.pair"] = function() return {access = "access", refresh = "refresh", expires_in = 900, claims = "1:1"} end,
}

local function plain(v)
    if v == nil then return nil end
    return json.decode(json.encode {v})[1]
end

local function show(v)
    if v == nil then return "nothing" end
    local ok, text = pcall(json.encode, {v})
    return ok and text:sub(2, -2) or tostring(v)
end

local function same(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then return a == b and math.type(a) == math.type(b) end
    for key, value in pairs(a) do
        if not same(value, b[key]) then return false end
    end
    for key in pairs(b) do
        if a[key] == nil then return false end
    end
    return true
end

-- ---- answers to what the rule asks the world ----

local function result(fake, ...)
    if type(fake) == "function" then return fake(...) end
    return fake
end

local function rows_of(rows, info)
    if rows == nil or rows == false then return nil, info end
    return json.list(rows), info or {changed = 1, last_id = 0}
end

local function new_world(native)
    local world = {conf = {}, effects = {}, answers = {}, now = NOW}

    local function missing(name)
        world.missing = world.missing or name
        error("no answer for " .. name, 0)
    end

    local function store_op(op, params)
        local fake = (world.answers.store or {})[op]
        if fake == nil then missing(('store "%s"'):format(op)) end
        return rows_of(result(fake, params or {}))
    end

    local function batch(list)
        local results, infos = json.list {}, json.list {}
        for i, item in ipairs(list) do
            local rows, info = store_op(item[1], item[2])
            if not rows then return nil, info end
            results[i], infos[i] = rows, info
        end
        return results, infos
    end

    local own = {
        ["conf"] = function(key)
            if world.conf[key] ~= nil then return world.conf[key] end
            return native.conf(key)
        end,
        ["now"] = function() return result(world.answers.now or world.now) end,
        ["store.batch"] = batch,
        ["store.try"] = store_op,
        ["store.run"] = function(op, params)
            local rows, info = store_op(op, params)
            if not rows then error("store.run: " .. tostring(info)) end
            return rows, info
        end,
    }

    function world.answer(name, ...)
        if own[name] then return own[name](...) end
        local module, short = name:match("^(.-)%.(.+)$")
        local fake
        if module then fake = (world.answers[module] or {})[short] else fake = world.answers[name] end
        if EFFECTS[name] then world.effects[#world.effects + 1] = {name, ...} end
        if fake ~= nil then return result(fake, ...) end
        if PRESETS[name] then return PRESETS[name](...) end
        if not EFFECTS[name] then missing(name) end
        if EFFECTS[name] ~= true then return #world.effects end
    end
    return world
end

-- ---- t ----

-- A kv for rules that keep something: t.call(verb, req, {kv = t.kv()}).
local function new_kv()
    local kept = {}
    return {
        get = function(key) return kept[key] end,
        set = function(key, value, _, only_new)
            if only_new and kept[key] then return false end
            kept[key] = value
            return true
        end,
        incr = function(key, by)
            kept[key] = tostring((tonumber(kept[key]) or 0) + (by or 1))
            return math.tointeger(tonumber(kept[key]))
        end,
        del = function(key) kept[key] = nil end,
    }
end

local function new_t(native, path)
    local world = new_world(native)
    local t, loaded = {NOW = NOW, kv = new_kv, effects = world.effects}, nil
    native.answer(world.answer)

    -- The file under test, loaded anew after a change of conf.
    function t.module()
        if loaded == nil then loaded = native.load(path) end
        return loaded
    end

    function t.conf(key, value) world.conf[key], loaded = value, nil end

    -- Runs f with these answers of the world.
    function t.with(answers, f, ...)
        world.answers, world.effects = answers or {}, {}
        t.effects = world.effects
        for key, value in pairs(world.answers.conf or {}) do t.conf(key, value) end
        return f(...)
    end

    function t.state()
        local service = t.module()
        return service.init and service.init {shard = 1, shards = 1} or {}
    end

    function t.call(verb, req, answers)
        answers = answers or {}
        return t.with(answers, function()
            local handler = t.module().on[verb] or error("there is no verb " .. verb, 0)
            return plain(handler(answers.state or t.state(), plain(req or {}), {key = answers.key or 0, shard = 1}))
        end)
    end

    t.policy = setmetatable({}, {__index = function(_, name)
        return function(...)
            local f = (t.module().policy or {})[name] or error("there is no policy " .. tostring(name), 0)
            return f(...)
        end
    end})

    function t.equal(want, got, what)
        if not same(want, got) then
            error(("%s%s expected, but it is %s"):format(what and what .. ": " or "", show(want), show(got)), 2)
        end
    end

    function t.fails(code, f, ...)
        local ok, e = pcall(f, ...)
        if ok then error("no error, " .. code .. " expected", 2) end
        if type(e) ~= "table" or e.code ~= code then error(code .. " expected, but it is " .. tostring(e), 2) end
        return e
    end

    return t, world
end

-- The sorted names of a spec, and a function that runs one of them.
return function(native, path, spec)
    if type(spec) ~= "table" then error("a spec returns a table of tests", 0) end
    local names = {}
    for name, test in pairs(spec) do
        if type(name) ~= "string" or type(test) ~= "function" then error("a spec returns a table {name = function(t)}", 0) end
        names[#names + 1] = name
    end
    table.sort(names)
    return names, function(name)
        local t, world = new_t(native, path)
        spec[name](t)
        if world.missing then error("no answer for " .. world.missing .. " (the rule held the error)", 0) end
    end
end
