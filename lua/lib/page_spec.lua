-- What page.lua promises (lua/API.md, Specs).
local LIST <const> = {list = "members:71", default = 2, max = 5, places = 1}

local function open(t, query, what) return t.module().open({query = query}, what or LIST) end
local function answer(t, p, ids)
    local rows = {}
    for i, id in ipairs(ids) do rows[i] = {id = id} end
    return t.module().answer(p, rows, function(row) return row.id end, function(row) return row.id end)
end

return {
    ["a limit above the maximum is cut, none or 0 is the default, what is no number is refused"] = function(t)
        for text, size in pairs {["3"] = 3, ["5"] = 5, ["6"] = 5, ["0"] = 2, [""] = 2, ["99999999999999999999"] = 5} do
            t.equal(size, open(t, {limit = text}).size, "limit " .. text)
        end
        t.equal(2, open(t, {}).size)
        for _, text in ipairs {"-1", "x", "1.5", " 1"} do t.fails("bad_request", open, t, {limit = text}) end
    end,
    ["the cursor leads to the row behind the last one; the last page has none"] = function(t)
        local first = answer(t, open(t, {}), {10, 20, 30})
        t.equal({10, 20}, first.data)
        local p = open(t, {cursor = first.next_cursor})
        t.equal({20}, p.after)
        local last = answer(t, p, {30})
        t.equal({{30}, ""}, {last.data, last.next_cursor})
    end,
    ["a cursor of another list, a changed one and rubbish are refused"] = function(t)
        local cursor = answer(t, open(t, {}), {10, 20, 30}).next_cursor
        local other = {list = "members:72", default = 2, max = 5, places = 1}
        t.fails("bad_request", open, t, {cursor = cursor}, other)
        t.fails("bad_request", open, t, {cursor = (cursor:gsub("^20", "21"))})
        for _, text in ipairs {"x", ".", "20", "20.abc", "20_1." .. ("0"):rep(16)} do
            t.fails("bad_request", open, t, {cursor = text})
        end
    end,
}
