-- What lib/check.lua promises to every rule that uses it (lua/API.md, Specs).
return {
    ["integers are integers, within their bounds"] = function(t)
        local check = t.module()
        t.equal(5, check.int(5, 1, 5))
        for _, v in ipairs {0, 6, 5.0, "5", true} do t.fails("bad_request", check.int, v, 1, 5) end
        t.fails("bad_request", check.int, nil, 1, 5)
    end,
    ["text is counted in characters"] = function(t)
        local check = t.module()
        t.equal("äöü", check.text("äöü", 3, 3))
        t.fails("bad_request", check.text, "äöü", 4, 9)
        t.fails("bad_request", check.text, "a\nb", 1, 9, true)
        t.fails("bad_request", check.text, "\255", 1, 9)
    end,
    ["ids are a list, and lose their duplicates"] = function(t)
        local check = t.module()
        t.equal({3, 1}, check.ids(json.list {3, 1, 3}, 1, 5))
        t.fails("bad_request", check.ids, {a = 1}, 0, 5)
        t.fails("bad_request", check.ids, json.list {}, 1, 5)
        t.fails("bad_request", check.ids, json.list {0}, 1, 5)
    end,
    ["what may be left out may be left out"] = function(t)
        local check = t.module()
        t.equal(nil, check.opt_text(nil, 1, 2))
        t.equal(nil, check.opt_bool(nil))
        t.equal(false, check.opt_bool(false))
        t.fails("bad_request", check.opt_bool, 0)
    end,
}
