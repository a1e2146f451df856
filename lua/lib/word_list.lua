-- word list: a text that holds one of these words is refused, whole words only, upper and lower case (of ASCII) alike. A rule of
-- lua/moderation.lua.
local WORDS <const> = {"swindle", "casino bonus"}

-- " a b c ": letters and digits stay (and every byte beyond ASCII), all else is one blank
local function plain(text)
    return " " .. text:lower():gsub("[^%w\128-\255]+", " ") .. " "
end

local listed = {}
for i, word in ipairs(WORDS) do listed[i] = plain(word):gsub("^ +", " "):gsub(" +$", " ") end

return function(facts)
    if facts.content_type ~= 1 then return end
    local said = plain(json.decode(facts.content).text.text)
    for _, word in ipairs(listed) do
        if said:find(word, 1, true) then return "forbidden" end
    end
end
