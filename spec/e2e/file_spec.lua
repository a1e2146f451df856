-- PROTOCOL.md section 14, rows 45 to 54: files on the built-in store.
local node = require "spec.support.node"
local files = require "spec.support.files"

describe("a file", function()
    local n, lena, tom, chat
    setup(function()
        n = node.start()
        lena, tom = n:person {display_name = "Lena"}, n:person()
        chat = lena:chat(tom)
    end)
    teardown(function() n:finish() end)

    it("goes by ticket, PUT and complete, and is what was put", function()
        local bytes = files.png(640, 480, 48211)
        local t = files.ticket(lena, {bytes = bytes, kind = "image"})
        assert.same({"PUT", "", "/api/files/blob/" .. t.file_id}, {t.method, t.callback_url, t.object_key})
        local put = files.put(n, t.upload_url, bytes)
        assert.equal(204, put.status)
        assert.equal("", put.body)
        assert.truthy(put.headers.etag:find('^"%x+"$'))

        local s = tom:socket("t")
        local r = files.complete(lena, chat, {object_key = t.object_key})
        assert.equal(200, r.status, r.body)
        local item = r.json.data
        assert.same({2, lena.id, chat}, {item.content_type, item.sender_id, item.conversation_id})
        local media = item.body.image
        assert.same({t.file_id, "cat.png", "image/png", 48211, 0, 640, 480, ""}, {media.file_id, media.filename, media.content_type,
            media.size_bytes, media.duration_sec, media.width, media.height, media.thumbnail_key})
        assert.equal(media.object_key, media.url)
        assert.equal(0, media.url_expires_at_ms % 3600000)
        assert.same(item.body, s:push("new_message").data.content)
        assert.same(item.body, tom:history(chat)[1].body)
        assert.same(item.body, tom:get("/api/conversations").json.data[1].last_message.body)
        s:close()

        local got = n:api("GET", media.object_key)
        assert.equal(200, got.status)
        assert.equal(bytes, got.body)
        assert.same({"image/png", "nosniff", put.headers.etag}, {got.headers["content-type"], got.headers["x-content-type-options"],
            got.headers.etag})
    end)

    it("is the picture of a user or a group, told by a link that does not end, without any message", function()
        local bytes = files.png(256, 256, 20000)
        local function put(person, opt)
            local t = files.ticket(person, opt or {bytes = bytes})
            files.put(n, t.upload_url, opt and opt.bytes or bytes)
            return t
        end
        local t = put(lena)
        local r = lena:put("/api/users/me", {avatar_url = t.object_key})
        assert.equal(200, r.status, r.body)
        local url = r.json.data.user.avatar_url
        assert.truthy(url:find("^/api/files/blob/" .. t.file_id .. "%?exp=%d+&sig=%x+$"), url)
        assert.equal(bytes, n:api("GET", url).body)
        assert.equal(url, tom:get("/api/users/" .. lena.id).json.data.avatar_url)
        -- given back as it was told it is still the same
        assert.equal(url, lena:put("/api/users/me", {display_name = "Lena", avatar_url = url}).json.data.user.avatar_url)

        local group = lena:group({tom}, "Hikers")
        local g = lena:put("/api/conversations/" .. group, {avatar_url = put(lena).object_key})
        assert.truthy(g.json.data.avatar_url:find("&sig=", 1, true), g.body)

        -- not those of others, no other kinds, nothing that is not there
        assert.same({404, "file not found"}, {tom:put("/api/users/me", {avatar_url = t.object_key}).status,
            tom:put("/api/users/me", {avatar_url = t.object_key}).json.error})
        local text = put(lena, {bytes = "plain words", type = "text/plain", kind = "file", name = "a.txt"})
        assert.equal(415, lena:put("/api/users/me", {avatar_url = text.object_key}).status)
        assert.equal(404, lena:put("/api/users/me", {avatar_url = files.ticket(lena, {bytes = bytes}).object_key}).status)
        assert.equal(url, lena:get("/api/users/me").json.data.user.avatar_url)
    end)
end)
