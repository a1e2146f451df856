-- What moderation promises, whatever rules are on. Run before a changed version may serve (lua/API.md, Specs).
return {
    ["it is off without rules, else it answers with a code or 0"] = function(t)
        local may_say = t.module().policy.may_say
        if not may_say then return end
        local content = json.encode {text = {text = "good morning"}}
        local answer = may_say(7, 1, 1, 28, -1, t.NOW, 1, content)
        t.equal(true, answer == 0 or type(answer) == "string")
    end,
}
