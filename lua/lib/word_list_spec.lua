-- What the word list promises. Run before a changed rule may serve (lua/API.md, Specs).
local function ask(t, text)
    return t.module() {content_type = 1, content = json.encode {text = {text = text}}}
end

return {
    ["whole words are found, in any case and whatever stands around them"] = function(t)
        for _, text in ipairs {"swindle", "a Swindle!", "(SWINDLE)", "casino  bonus", "Casino-Bonus now"} do
            t.equal("forbidden", ask(t, text), text)
        end
    end,
    ["nothing else is"] = function(t)
        for _, text in ipairs {"", "hello", "swindler", "bonus casino", "s.indle"} do
            t.equal(nil, ask(t, text), text)
        end
        t.equal(nil, t.module() {content_type = 2, content = json.encode {image = {filename = "swindle"}}})
    end,
}
