-- lua/lib/check.lua and lua/lib/path.lua: values of requests (PROTOCOL.md section 2).
local fake = require "spec.lua.fake"
local json = fake.json

local LAST <const> = (1 << 53) - 1

describe("check", function()
    local check, path
    setup(function()
        fake.new()
        check, path = require "lib.check", require "lib.path"
    end)

    local function refuses(f, ...)
        local ok, err = pcall(f, ...)
        assert.is_false(ok)
        assert.equal("bad_request", err.code)
        return err.text
    end

    it("takes integers of a range, and no fraction, text or nothing", function()
        for _, v in ipairs {3, 5, 7} do assert.equal(v, check.int(v, 3, 7)) end
        for _, v in ipairs {2, 8, 5.0, 5.5, "5", true, {}} do refuses(check.int, v, 3, 7) end
        refuses(check.int, nil, 3, 7)
    end)

    it("takes ids from 1 to below 2^53", function()
        for _, v in ipairs {1, LAST} do assert.equal(v, check.id(v)) end
        for _, v in ipairs {0, -1, LAST + 1, 1.0} do assert.equal("own text", refuses(check.id, v, "own text")) end
    end)

    it("counts characters, not bytes; plain texts hold no control characters", function()
        assert.equal("üü", check.text("üü", 2, 2))
        assert.equal("a\nb", check.text("a\nb", 0, 9))
        for _, v in ipairs {"ü", "üüü", 5} do refuses(check.text, v, 2, 2) end
        for byte = 1, 31 do refuses(check.text, "a" .. string.char(byte), 0, 9, true) end
        refuses(check.text, "\127", 0, 9, true)
        assert.equal(" ~ü", check.text(" ~ü", 0, 9, true))
    end)

    it("takes lists of ids without their duplicates; an object is no empty list", function()
        assert.same({3, 1}, {table.unpack(check.ids(json.list {3, 1, 3}, 1, 3))})
        assert.equal(0, #check.ids(json.list {}, 0, 3))
        for _, v in ipairs {{}, json.list {1, 2, 3, 4}, json.list {"1"}, json.list {json.null}, "x"} do refuses(check.ids, v, 0, 3) end
        refuses(check.ids, json.list {}, 1, 3)
        refuses(check.ids, nil, 0, 3)
    end)

    it("takes device ids of 1 to 64 of their characters", function()
        for _, v in ipairs {"a", ("x"):rep(64), "A-z_0.9:"} do assert.equal(v, check.device(v)) end
        for _, v in ipairs {"", ("x"):rep(65), "a b", "ä", "a/b", 5} do refuses(check.device, v) end
    end)

    it("lets absent values of optional keys pass, and no others", function()
        for name, good in pairs {opt_int = 5, opt_id = 5, opt_text = "a", opt_device = "a", opt_bool = false} do
            assert.is_nil(check[name](nil, 1, 9))
            assert.equal(good, check[name](good, 1, 9))
            refuses(check[name], {}, 1, 9)
        end
    end)

    it("takes one of some choices", function()
        assert.equal("b", check.one_of("b", {"a", "b"}))
        for _, v in ipairs {"c", "", 1} do refuses(check.one_of, v, {"a", "b"}) end
    end)

    it("gives bad ids in the path the text of their kind", function()
        local texts = {conversation = "invalid conversation id", contact = "invalid contact id", user = "invalid user id"}
        for kind, text in pairs(texts) do
            assert.equal(LAST, path[kind] {id = {LAST}})
            assert.equal(LAST, path[kind] {id = {tostring(LAST)}})
            for _, v in ipairs {0, LAST + 1, tostring(LAST + 1), "x", "-1", "", 1.5, ("9"):rep(30)} do
                assert.equal(text, refuses(path[kind], {id = {v}}))
            end
            assert.equal(text, refuses(path[kind], {id = {}}))
        end
        assert.equal(7, path.user({id = {1, 7}}, 2))
    end)
end)
