-- PROTOCOL.md sections 2 and 8: wrong types, missing keys, null, numbers out of range, bad texts, in every key of every body, query,
-- path and frame (spec/support/forms.lua): 400 bad_request with a text, never 500, and nothing has changed.
local node = require "spec.support.node"
local attack = require "spec.support.attack"
local forms = require "spec.support.forms"
local json = require "spec.support.json"
local ws = require "spec.support.ws"

describe("wrong input", function()
    local n, w
    setup(function()
        n = node.start {["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0", ["auth.max_failures"] = "1000"}
        w = {me = n:person {device = "types"}, friend = n:person(), other = n:person(), applicant = n:person()}
        local me = w.me
        me:post("/api/contacts/apply", {target_user_id = w.friend.id})
        w.friend:post("/api/contacts/handle", {target_user_id = me.id, accept = true})
        w.applicant:post("/api/contacts/apply", {target_user_id = me.id})
        w.chat, w.group, w.foreign = me:chat(w.friend), me:group({w.friend}, "mine"), w.other:group({}, "theirs")
        w.applicant:post("/api/conversations/" .. w.group .. "/join")
        w.request = me:get("/api/conversations/" .. w.group .. "/requests").json.data[1].id
        for i = 1, 3 do w.friend:say(w.chat, "text " .. i) end
        local file = {filename = "x", content_type = "a/b", size_bytes = 6 << 20}
        w.file, w.upload = me:post("/api/files/upload", file).json.data.file_id, me:post("/api/files/multipart", file).json.data.file_id
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    -- all that these people can see of themselves
    local function world()
        local seen = {}
        for _, who in ipairs {w.me, w.friend, w.other, w.applicant} do
            for _, path in ipairs {"/api/users/me", "/api/contacts", "/api/contacts/requests?status=all", "/api/blocks",
                "/api/conversations", "/api/contacts/requests?direction=outgoing&status=all"} do
                seen[#seen + 1] = who:get(path).body
            end
        end
        for _, path in ipairs {"/members", "/requests", ""} do seen[#seen + 1] = w.me:get("/api/conversations/" .. w.group .. path).body end
        for _, id in ipairs {w.chat, w.group} do seen[#seen + 1] = w.me:get("/api/messages/history?conversation_id=" .. id).body end
        return table.concat(seen, "\n")
    end

    local function unchanged(what)
        local before = world()
        what()
        assert.equal(before, world())
    end

    local function body_of(keys, changed, raw)
        local parts = {}
        for _, k in ipairs(keys) do
            local value = tostring(k[2])
            if k == changed then value = raw end
            if value then parts[#parts + 1] = ('"%s":%s'):format(k[1], value) end
        end
        return "{" .. table.concat(parts, ",") .. "}"
    end

    local function refused(r, what, text)
        what = what:sub(1, 200)
        assert.same({400, "bad_request"}, {r.status, r.json and r.json.code}, what)
        assert.truthy(#r.json.error > 0 and #r.json.request_id > 0, what)
        if text then assert.equal(text, r.json.error, what) end
    end

    local function try(form, body) return n:api(form[1], form[2], {token = not form.free and w.me.token or nil, body = body}) end

    it("in any key of a body is 400, and a null is as if the key were not there", function()
        unchanged(function()
            for _, form in ipairs(forms.bodies(w)) do
                for _, key in ipairs(form[3]) do
                    local name = form[1] .. " " .. form[2] .. " " .. key[1] .. "="
                    for _, raw in ipairs(forms.bad[key[3]]) do
                        refused(try(form, body_of(form[3], key, raw)), name .. raw)
                    end
                    if not key[4] then
                        refused(try(form, body_of(form[3], key, nil)), name .. "missing")
                        refused(try(form, body_of(form[3], key, "null")), name .. "null")
                    end
                end
            end
        end)
    end)

    it("behind a good value of the same key counts: the last one does", function()
        unchanged(function()
            for _, form in ipairs(forms.bodies(w)) do
                for _, key in ipairs(form[3]) do
                    local good = body_of(form[3]):sub(1, -2)
                    local raw = forms.bad[key[3]][3]
                    refused(try(form, ('%s,"%s":%s}'):format(good, key[1], raw)), form[2] .. " " .. key[1] .. " twice")
                end
            end
        end)
        -- and the other way round it is fine
        local body = ('{"read_seq":"x","conversation_id":%d,"read_seq":0}'):format(w.chat)
        assert.equal(200, w.me:api("POST", "/api/messages/read", body).status)
    end)

    it("as a whole body is 400: no object, cut, too deep, not UTF-8, more than one value", function()
        local deep = ("["):rep(32) .. ("]"):rep(32)
        unchanged(function()
            for _, form in ipairs(forms.bodies(w)) do
                local good = body_of(form[3])
                for _, body in ipairs {"null", "1", '"x"', "[]", "[" .. good .. "]", "{", good:sub(1, -2), good .. "}", good .. good,
                    good .. "\0", "\239\187\191" .. good, good:gsub("}$", ",}"), good:gsub("^{", "{'a':1,"),
                    good:gsub("^{", '{"deep":' .. deep .. ","),
                    good:gsub("^{", '{"unknown":"\\ud800",'), good:gsub("^{", '{"\\u0000":1,'), good:gsub("^{", '{"x":"\255",'),
                    good:gsub("^{", "{/* */"), good:gsub("^{", "{x:1,"), good:gsub(":", "=", 1), " ", "\n",
                    ("{\"a\":"):rep(50000)} do
                    if not (body:match("^%s$") and form[3][1][4]) then refused(try(form, body), form[2] .. " " .. body) end
                end
                if not form[3][1][4] then refused(try(form, ""), form[2] .. " without a body", "invalid request") end
            end
        end)
    end)

    it("in a query is 400, an empty value is none, a limit above the maximum is cut", function()
        unchanged(function()
            for _, q in ipairs(forms.queries(w)) do
                local path, key, kind, needs = q[1], q[2], q[3], q[4]
                local function ask(v)
                    return n:api("GET", ("%s?%s%s=%s"):format(path, needs, key, (v:gsub("{}", key))), {token = w.me.token})
                end
                for _, v in ipairs(forms.bad_query[kind]) do refused(ask(v), path .. "?" .. key .. "=" .. v) end
                if key == "limit" then
                    assert.equal(200, ask("9007199254740991").status)
                    assert.equal(200, ask("0").status)
                end
                if kind ~= "text" and key ~= "conversation_id" then assert.equal(200, ask("").status, path .. key) end
            end
            refused(w.me:get("/api/messages/history"), "no conversation_id")
            refused(w.me:get("/api/users/search"), "no q")
        end)
    end)

    it("as an id in a path is 400 with its own text", function()
        unchanged(function()
            for _, form in ipairs(forms.paths(w)) do
                for _, id in ipairs(forms.bad_path) do
                    local path = form[2]:gsub("%%s", (id:gsub("%%", "%%%%")))
                    refused(n:api(form[1], path, {token = w.me.token, body = form[4]}), form[1] .. " " .. path, form[3])
                end
            end
        end)
    end)

    it("in any key of a frame is an error with the text of its type, and the socket stays", function()
        local c = w.me:socket("types")
        unchanged(function()
            local id = 0
            local function frame_refused(kind, text, data)
                id = id + 1
                c:send(('{"type":"%s","id":"t%d","data":%s}'):format(kind, id, data))
                local m = assert(c:next())
                local what = kind .. " " .. data:sub(1, 200)
                assert.same({"error", "bad_request"}, {m.type, m.data and m.data.code}, what)
                -- what is no JSON text at all has no id to echo
                if m.id then
                    assert.same({"t" .. id, text}, {m.id, m.data.error}, what)
                else
                    assert.equal("invalid message format", m.data.error, what)
                end
            end
            local broken = {['"\1"'] = true, ['"\n"'] = true, ['"\255"'] = true, ['"\192\128"'] = true, ['"\237\160\128"'] = true}
            for _, form in ipairs(forms.frames(w)) do
                for _, key in ipairs(form[3]) do
                    for _, raw in ipairs(forms.bad[key[3]]) do
                        if not broken[raw] then frame_refused(form[1], form[2], body_of(form[3], key, raw)) end
                    end
                    if not key[4] then
                        frame_refused(form[1], form[2], body_of(form[3], key, nil))
                        frame_refused(form[1], form[2], body_of(form[3], key, "null"))
                    end
                end
                if not form[3][1][4] then
                    for _, data in ipairs {"null", "1", '"x"', "[]", "true"} do frame_refused(form[1], form[2], data) end
                end
            end
        end)
        assert.equal("pong", c:ask("ping").type)
        c:close()
    end)

    it("[11] that is not UTF-8 in a frame closes with 1007, wherever it stands", function()
        for _, bad in ipairs {"\255", "\192\128", "\237\160\128", "\244\144\128\128", "\240\128\128\128", "a\226\130"} do
            local c = w.me:socket("utf8")
            c:send('{"type":"message","data":{"conversation_id":1,"client_msg_id":"x","content":"' .. bad .. '"}}')
            assert.equal(1007, c:close_code(), (bad:gsub(".", function(b) return ("%02x"):format(b:byte()) end)))
            c:close()
            c = w.me:socket("utf8") -- split in the middle of the bad character
            c.sock:send(ws.frame(ws.TEXT, '{"x":"' .. bad:sub(1, 1), {fin = false}) .. ws.frame(0, bad:sub(2) .. '"}'))
            assert.equal(1007, c:close_code())
            c:close()
        end
        local c = w.me:socket("utf8") -- a good character may be split
        c.sock:send(ws.frame(ws.TEXT, '{"type":"ping","id":"\195', {fin = false}) .. ws.frame(0, '\188"}'))
        assert.equal("\195\188", c:next().id)
        c:close()
    end)

    it("leaves bodies at the limits alone: 1 MiB is read, one byte more is 413", function()
        local body = json.encode {display_name = "Fits"}
        local function padded(bytes) return body .. (" "):rep(bytes - #body) end
        assert.equal(200, w.me:api("PUT", "/api/users/me", padded(1048576)).status)
        assert.equal(413, w.me:api("PUT", "/api/users/me", padded(1048577)).status)
    end)
end)
