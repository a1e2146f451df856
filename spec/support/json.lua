-- JSON for the specs: integers stay integers of any size (lua-cjson makes floats of them), `json.null` is null, lists made
-- by json.list are [] when empty. Decoded null is absent.
local json = {null = setmetatable({}, {__tostring = function() return "null" end})}
local LIST = {}

function json.list(t) return setmetatable(t, LIST) end

local escapes = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}
local function text(s)
    return '"' .. s:gsub('[%c"\\]', function(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

function json.encode(v)
    local kind = type(v)
    if v == json.null then return "null" end
    if kind == "string" then return text(v) end
    if kind ~= "table" then return tostring(v) end
    local out = {}
    if getmetatable(v) == LIST or #v > 0 then
        for i, item in ipairs(v) do out[i] = json.encode(item) end
        return "[" .. table.concat(out, ",") .. "]"
    end
    for key, value in pairs(v) do out[#out + 1] = text(tostring(key)) .. ":" .. json.encode(value) end
    table.sort(out)
    return "{" .. table.concat(out, ",") .. "}"
end

local value

local function blanks(s, at) return s:match("^[ \t\r\n]*()", at) end

local plain = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/"}
local function string_at(s, at)
    local stop = at
    repeat
        stop = assert(s:find('[\\"]', stop), "open string")
        if s:byte(stop) == 92 then stop = stop + 2 end
    until s:byte(stop) == 34 and (stop == at or true)
    local raw = s:sub(at, stop - 1)
    if raw:find("\\", 1, true) then
        raw = raw:gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(hi, lo)
            return utf8.char(0x10000 + ((tonumber(hi, 16) & 0x3ff) << 10) + (tonumber(lo, 16) & 0x3ff))
        end):gsub("\\(u?)(%x?%x?%x?%x?)", function(u, hex)
            if u == "u" then return utf8.char(tonumber(hex, 16)) end
            return nil
        end)
        raw = raw:gsub("\\(.)", plain)
    end
    return raw, stop + 1
end

local function object(s, at)
    local out = {}
    at = blanks(s, at)
    if s:sub(at, at) == "}" then return out, at + 1 end
    while true do
        assert(s:sub(at, at) == '"', "key expected")
        local key, v
        key, at = string_at(s, at + 1)
        at = blanks(s, at)
        assert(s:sub(at, at) == ":", "colon expected")
        v, at = value(s, blanks(s, at + 1))
        out[key] = v
        at = blanks(s, at)
        local c = s:sub(at, at)
        if c == "}" then return out, at + 1 end
        assert(c == ",", "comma expected")
        at = blanks(s, at + 1)
    end
end

local function array(s, at)
    local out = json.list {}
    at = blanks(s, at)
    if s:sub(at, at) == "]" then return out, at + 1 end
    while true do
        out[#out + 1], at = value(s, at)
        at = blanks(s, at)
        local c = s:sub(at, at)
        if c == "]" then return out, at + 1 end
        assert(c == ",", "comma expected")
        at = blanks(s, at + 1)
    end
end

function value(s, at)
    local c = s:sub(at, at)
    if c == "{" then return object(s, at + 1) end
    if c == "[" then return array(s, at + 1) end
    if c == '"' then return string_at(s, at + 1) end
    local word, stop = s:match("^([%w%.%+%-]+)()", at)
    if word == "true" then return true, stop end
    if word == "false" then return false, stop end
    if word == "null" then return nil, stop end
    return assert(math.tointeger(word) or tonumber(word), "bad value at " .. at), stop
end

function json.decode(s)
    local v, at = value(s, blanks(s, 1))
    assert(blanks(s, at) == #s + 1, "bytes behind the value")
    return v
end

return json
