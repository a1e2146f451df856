-- check: is this value what the request promised? Each function gives the value back or answers 400 `bad_request`. `text` (last
-- argument) is the error's own text, `invalid request` without it. The opt_ ones let an absent value pass as nil.
local check = {}
local MAX_ID <const> = (1 << 53) - 1

local function refuse(text) return fail("bad_request", text) end

-- Integers are digits only: a fraction or an exponent arrives as a float and is refused.
function check.int(v, low, high, text)
    if math.type(v) ~= "integer" or v < low or v > high then refuse(text) end
    return v
end

function check.id(v, text) return check.int(v, 1, MAX_ID, text) end

function check.bool(v, text)
    if type(v) ~= "boolean" then refuse(text) end
    return v
end

-- min to max characters; plain: without control characters, for names, titles, remarks and nicknames.
function check.text(v, min, max, plain, text)
    if type(v) ~= "string" then refuse(text) end
    local length = utf8.len(v)
    if not length or length < min or length > max then refuse(text) end
    if plain and v:find("[\1-\31\127]") then refuse(text) end
    return v
end

-- A list of JSON is marked, so an object is not taken for an empty list.
local function is_list(v) return type(v) == "table" and getmetatable(v) ~= nil and getmetatable(v) == getmetatable(json.list {}) end

function check.list(v, max, text)
    if not is_list(v) or #v > max then refuse(text) end
    return v
end

-- A list of min to max ids, without its duplicates.
function check.ids(v, min, max, text)
    if not is_list(v) or #v < min or #v > max then refuse(text) end
    local seen, out = {}, json.list {}
    for i = 1, #v do
        local id = check.id(v[i], text)
        if not seen[id] then out[#out + 1] = id end
        seen[id] = true
    end
    return out
end

function check.one_of(v, choices, text)
    for _, choice in ipairs(choices) do
        if v == choice then return v end
    end
    return refuse(text)
end

-- A device id of section 7.1.
function check.device(v, text)
    check.text(v, 1, 64, true, text)
    if v:find("[^A-Za-z0-9_.:-]") then refuse(text) end
    return v
end

function check.opt_int(v, ...) return v ~= nil and check.int(v, ...) or nil end
function check.opt_id(v, ...) return v ~= nil and check.id(v, ...) or nil end
function check.opt_text(v, ...) return v ~= nil and check.text(v, ...) or nil end
function check.opt_device(v, ...) return v ~= nil and check.device(v, ...) or nil end
function check.opt_bool(v, ...)
    if v == nil then return nil end
    return check.bool(v, ...)
end

return check
