-- Reads a profile in the format of the pprof tool (profile.proto, not compressed), as far as the specs ask.
local function varint(s, at)
    local n, shift = 0, 0
    while true do
        local byte = assert(s:byte(at), "cut varint")
        n, at, shift = n | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128 then return n, at end
    end
end

-- fields of a message: {{number, value}, ...}; value is an integer or the bytes
local function fields(s)
    local list, at = {}, 1
    while at <= #s do
        local tag, value
        tag, at = varint(s, at)
        if tag & 7 == 0 then
            value, at = varint(s, at)
        else
            assert(tag & 7 == 2, "wire type " .. (tag & 7))
            local len
            len, at = varint(s, at)
            assert(at + len - 1 <= #s, "cut field")
            value, at = s:sub(at, at + len - 1), at + len
        end
        list[#list + 1] = {tag >> 3, value}
    end
    return list
end

local function packed(s)
    local list, at = {}, 1
    while at <= #s do list[#list + 1], at = varint(s, at) end
    return list
end

local function one(message, number)
    for _, f in ipairs(message) do if f[1] == number then return f[2] end end
    return 0
end

--- {types = {"cpu", ...}, samples = {{stack = {names, innermost first}, values = {..}, actor = name or nil}, ...}}
return function(bytes)
    local texts, names, places, p = {}, {}, {}, {types = {}, samples = {}}
    local top = fields(bytes)
    for _, f in ipairs(top) do if f[1] == 6 then texts[#texts + 1] = f[2] end end
    assert(texts[1] == "", "the first text is the empty one")
    for _, f in ipairs(top) do
        if f[1] == 5 then
            local m = fields(f[2])
            names[one(m, 1)] = assert(texts[one(m, 2) + 1])
        end
    end
    for _, f in ipairs(top) do
        if f[1] == 4 then
            local m = fields(f[2])
            places[one(m, 1)] = assert(names[one(fields(one(m, 4)), 1)])
        end
    end
    for _, f in ipairs(top) do
        if f[1] == 1 then
            p.types[#p.types + 1] = texts[one(fields(f[2]), 1) + 1]
        elseif f[1] == 2 then
            local m, s = fields(f[2]), {stack = {}}
            for _, id in ipairs(packed(one(m, 1))) do s.stack[#s.stack + 1] = assert(places[id], "no such location") end
            s.values = packed(one(m, 2))
            local label = one(m, 3)
            if label ~= 0 then s.actor = texts[one(fields(label), 2) + 1] end
            p.samples[#p.samples + 1] = s
        end
    end
    return p
end
