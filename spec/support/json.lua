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

-- one escape behind a backslash at `at`: its text and where it ends
local function escape(s, at)
    local c = s:sub(at, at)
    if c ~= "u" then return assert(plain[c], "bad escape"), at + 1 end
    local code = tonumber(s:sub(at + 1, at + 4), 16)
    if code >= 0xD800 and code < 0xDC00 then
        code = 0x10000 + ((code & 0x3ff) << 10) + (tonumber(s:sub(at + 7, at + 10), 16) & 0x3ff)
        at = at + 6
    end
    return utf8.char(code), at + 5
end

local function string_at(s, at)
    local parts = {}
    while true do
        local stop = assert(s:find('[\\"]', at), "open string")
        parts[#parts + 1] = s:sub(at, stop - 1)
        if s:byte(stop) == 34 then return table.concat(parts), stop + 1 end
        parts[#parts + 1], at = escape(s, stop + 1)
    end
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
