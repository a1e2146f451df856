-- Files that nothing holds any more, on either store (PROTOCOL.md section 14). put(node, url, bytes, type) puts to a ticket's address;
-- get(node, url) gives status and body of a link, wherever it leads; objects(node) tells how many finished ones there are; conf(more) is
-- the node's. Loaded by the specs, in their environment: busted gives describe and assert to no other file.
local files = require "spec.support.files"
local node = require "spec.support.node"

local SOON <const> = 60000
local count = 0

return function(put, get, objects, conf)
    local function ready(person, chat, opt)
        local bytes = opt.bytes or files.png(16, 16, opt.size or 3000)
        local t = files.ticket(person, {bytes = bytes, kind = opt.kind, type = opt.type})
        assert(t.file_id, t.body)
        put(person.node, t.upload_url, bytes, opt.type or "image/png")
        count = count + 1
        local request = {conversation_id = chat, client_msg_id = "u-" .. count, file_id = t.file_id, thumbnail_object_key = opt.preview}
        local r = person:post("/api/files/complete", request)
        return {request = request, id = t.file_id, path = t.object_key, status = r.status, item = r.json.data, bytes = bytes,
            media = r.status == 200 and select(2, next(r.json.data.body)), upload_url = t.upload_url}
    end
    local function forward(person, chat, id)
        count = count + 1
        return person:post("/api/messages", {conversation_id = chat, client_msg_id = "u-" .. count, content_type = 2,
            content = {image = {file_id = id}}})
    end
    local function recall(person, item) assert.equal(200, person:post("/api/messages/" .. item.id .. "/revoke").status) end
    -- row 49 as the uploader sees it: gone for good
    local function lost(person, id) return person:get("/api/files/" .. id).status == 404 end
    local function shown(person, id)
        local r = person:get("/api/files/" .. id)
        if r.status ~= 302 then return r.status end
        return get(person.node, r.headers.location)
    end

    describe("a file that nothing holds", function()
        it("goes: never sent, recalled, replaced as a picture, the preview of one that went; what is held stays", function()
            local n = node.start(conf {["files.unused_ttl"] = "4s"})
            local lena, tom, mia = n:person(), n:person(), n:person()
            local chat, other = lena:chat(tom), tom:chat(mia)
            local held = ready(lena, chat, {})
            local forwarded = forward(tom, other, held.id)
            assert.equal(200, forwarded.status, forwarded.body)
            local recalled, refused = ready(lena, chat, {}), ready(lena, 99999999, {})
            assert.equal(403, refused.status)
            recall(lena, recalled.item)
            assert.equal(403, tom:get("/api/files/" .. recalled.id).status) -- at once
            local pictures = {}
            for i = 1, 2 do
                local t = files.ticket(lena, {bytes = files.png(16, 16)})
                put(n, t.upload_url, files.png(16, 16), "image/png")
                assert.equal(200, lena:put("/api/users/me", {avatar_url = t.object_key}).status)
                pictures[i] = t.file_id
            end
            local still = files.ticket(lena, {bytes = files.png(16, 16)})
            put(n, still.upload_url, files.png(16, 16), "image/png")
            local film = ready(lena, chat, {kind = "video", type = "video/mp4", bytes = "\0\0\0\24ftypisom" .. ("x"):rep(3000),
                preview = still.object_key})
            assert.equal(200, film.status)
            recall(lena, film.item)
            for _, id in ipairs {recalled.id, refused.id, pictures[1], film.id, still.file_id} do
                assert.truthy(node.eventually(function() return lost(lena, id) end, SOON), id)
            end
            assert.equal(404, (get(n, recalled.media.object_key)))
            count = count + 1
            assert.equal(404, files.complete(lena, chat, {file_id = recalled.id}).status)
            -- what was sent with it is sent, however late the repeat comes (9.2); a refused one was not
            local again = lena:post("/api/files/complete", recalled.request)
            assert.same({200, recalled.item.id, "recalled"}, {again.status, again.json.data.id, again.json.data.status})
            assert.equal(404, lena:post("/api/files/complete", refused.request).status)
            assert.equal(404, forward(lena, chat, recalled.id).status)
            for _, who in ipairs {lena, tom, mia} do
                local status, bytes = shown(who, held.id)
                assert.same({200, held.bytes}, {status, bytes})
            end
            assert.equal(200, (get(n, lena:get("/api/users/me").json.data.user.avatar_url)))

            -- recalled by who put it, held by who forwarded it
            recall(lena, held.item)
            local next_one = ready(lena, chat, {})
            recall(lena, next_one.item)
            assert.truthy(node.eventually(function() return lost(lena, next_one.id) end, SOON))
            local status, bytes = shown(mia, held.id)
            assert.same({200, held.bytes}, {status, bytes})
            recall(tom, forwarded.json.data)
            assert.truthy(node.eventually(function() return lost(lena, held.id) end, SOON))
            n:finish()
        end)

        it("may be sent again meanwhile, and stays then; its bytes leave the quota when it goes", function()
            local n = node.start(conf {["files.unused_ttl"] = "6s", ["files.quota"] = "10000"})
            local lena, tom = n:person(), n:person()
            local chat = lena:chat(tom)
            local a, b = ready(lena, chat, {size = 4000}), ready(lena, chat, {size = 4000})
            recall(lena, a.item)
            recall(lena, b.item)
            local again = forward(lena, chat, a.id)
            assert.equal(200, again.status, again.body)
            assert.equal(413, files.ticket(lena, {size = 4000}).status)
            assert.truthy(node.eventually(function() return files.ticket(lena, {size = 4000}).file_id end, SOON))
            assert.truthy(lost(lena, b.id))
            local status, bytes = shown(tom, a.id)
            assert.same({200, a.bytes}, {status, bytes})
            n:finish()
        end)

        it("goes or stays whole when the node is killed in the middle of it, again and again", function()
            local n = node.start(conf {["files.unused_ttl"] = "4s"})
            local lena, tom = n:person(), n:person()
            local chat, other = lena:chat(tom), lena:chat(n:person())
            local gone, held = {}, {}
            for i = 1, 60 do
                local f = ready(lena, chat, {size = 1000 + i})
                assert.equal(200, f.status)
                if i % 4 == 0 then
                    assert.equal(200, forward(lena, other, f.id).status)
                    held[#held + 1] = f
                else
                    gone[#gone + 1] = f
                end
                recall(lena, f.item)
            end
            local function left()
                local v = 0
                for _, f in ipairs(gone) do if not lost(lena, f.id) then v = v + 1 end end
                return v
            end
            local function up()
                n:crash()
                n:up()
                n.client = nil
                for _, f in ipairs(held) do
                    local status, bytes = shown(lena, f.id)
                    assert.same({200, f.bytes}, {status, bytes})
                end
            end
            up() -- before
            for _ = 1, 4 do -- while it goes on
                local before = left()
                if before > 0 then assert.truthy(node.eventually(function() return left() < before end, SOON)) end
                up()
            end
            assert.truthy(node.eventually(function() return left() == 0 end, SOON))
            assert.truthy(node.eventually(function() return objects(n) == #held end, SOON)) -- nor are there bytes without a row
            local seen = {}
            for i, m in ipairs(lena:history(other)) do seen[i] = {id = m.body.image.file_id, bytes = select(2, shown(lena, held[i].id))} end
            for i, f in ipairs(held) do assert.same({id = f.id, bytes = f.bytes}, seen[i]) end
            n:finish()
        end)
    end)
end
