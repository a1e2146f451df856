-- page: lists in pages. A cursor is the place of the last row that was given out (a few integers), bound to its list: path and
-- filters together. Rows that do not change are neither skipped nor repeated, for the place is a value and not a count.
--
--   local p = page.open(req, {list = "members:71", default = 100, max = 500, places = 3})
--   rows = ... the p.limit rows behind p.after, one more than a page has ...
--   return page.answer(p, rows, shape_of_a_row, place_of_a_row)
local page = {}

local SEAL_LENGTH <const> = 16
local MAX_DIGITS <const> = 19

-- A limit above the maximum is cut to it; absent, empty or 0 means the default.
local function read_limit(text, default, max)
    if text == nil or text == "" then return default end
    if type(text) ~= "string" or not text:find("^%d+$") then fail("bad_request") end
    local n = #text <= 9 and math.tointeger(tonumber(text)) or max
    if n == 0 then return default end
    return math.min(n, max)
end

local function seal(list, text) return hash.sha256(list .. "\n" .. text):sub(1, SEAL_LENGTH) end

local function read_cursor(list, text, places)
    local values, mark = text:match("^([%d_-]+)%.(%x+)$")
    if not values or mark ~= seal(list, values) then fail("bad_request") end
    local after = {}
    for digits in values:gmatch("[^_]+") do
        after[#after + 1] = #digits <= MAX_DIGITS and math.tointeger(tonumber(digits)) or nil
    end
    if #after ~= places then fail("bad_request") end
    return after
end

-- what: list (a text that names path and filters), default, max, places (integers in a cursor). after is nil on the first page.
function page.open(req, what)
    local query = req.query or {}
    local p = {list = what.list, size = read_limit(query.limit, what.default, what.max)}
    p.limit = p.size + 1
    local cursor = query.cursor
    if cursor ~= nil and cursor ~= "" then
        if type(cursor) ~= "string" then fail("bad_request") end
        p.after = read_cursor(what.list, cursor, what.places)
    end
    return p
end

-- shape(row) gives the item, place(row) the integers of its cursor.
function page.answer(p, rows, shape, place, total)
    local data = json.list {}
    for i = 1, math.min(#rows, p.size) do data[i] = shape(rows[i]) end
    local next_cursor = ""
    if #rows > p.size then
        local values = table.concat({place(rows[p.size])}, "_")
        next_cursor = values .. "." .. seal(p.list, values)
    end
    return {data = data, next_cursor = next_cursor, total = total}
end

return page
