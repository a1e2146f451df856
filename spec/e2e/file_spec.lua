-- PROTOCOL.md section 14, rows 45 to 54: files on the built-in store.
local P = require "parley_spec"
local attack = require "spec.support.attack"
local files = require "spec.support.files"
local json = require "spec.support.json"
local jwt = require "spec.support.jwt"
local node = require "spec.support.node"

local function code(r) return {r.status, r.json and r.json.code, r.json and r.json.error} end
local function now_s() return math.floor(os.time()) end
local LOST <const>, BAD_LINK <const> = {404, "not_found", "file not found"}, {403, "bad_signature", "invalid or expired link"}

before_each(files.within_the_hour)

describe("a file", function()
    local n, lena, tom, mia, chat
    setup(function()
        n = node.start {["files.stall"] = "1500ms"}
        lena, tom, mia = n:person {display_name = "Lena"}, n:person(), n:person()
        chat = lena:chat(tom)
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

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
        assert.truthy(media.url_expires_at_ms // 1000 - now_s() >= 24 * 3600)
        assert.same(item.body, s:push("new_message").data.content)
        s:close()

        local got = n:api("GET", media.object_key)
        assert.equal(200, got.status)
        assert.equal(bytes, got.body)
        assert.same({"image/png", "nosniff", put.headers.etag, 'inline; filename="cat.png"; filename*=UTF-8\'\'cat.png'},
            {got.headers["content-type"], got.headers["x-content-type-options"], got.headers.etag, got.headers["content-disposition"]})
        assert.truthy(got.headers["cache-control"]:find("^private, max%-age=%d+$"))
        assert.is_nil(got.headers["content-security-policy"])
    end)

    it("looks the same wherever its message is read: history, sync, replay, resend, list, repeat", function()
        local g = lena:group({tom}, "album")
        local media, item = files.send(lena, g, {bytes = files.png(10, 20), name = "b.png"})
        local body = {image = media}
        local s = tom:socket("fresh", {query = "&replay=1"})
        for _ = 1, 20 do
            local m = s:push("new_message")
            if not m or m.data.conversation_id == g then
                assert.same(body, m.data.content)
                break
            end
        end
        local d = s:ask("sync", {sync_points = {[tostring(g)] = 0}}).data
        assert.same(body, d.messages[tostring(g)][1].content)
        s:close()
        assert.same(body, tom:history(g)[1].body)
        for _, row in ipairs(tom:get("/api/conversations").json.data) do
            if row.id == g then assert.same(body, row.last_message.body) end
        end
        assert.same(body, tom:get("/api/conversations/" .. g).json.data.last_message.body)
        local again = files.complete(lena, g, {file_id = media.file_id, client_msg_id = item.client_msg_id})
        assert.same({200, item.id, body}, {again.status, again.json.data.id, again.json.data.body})
    end)

    it("[37] is not complete before it is there, whole and as declared", function()
        local bytes = files.png(64, 64)
        local t = files.ticket(lena, {bytes = bytes})
        assert.same(LOST, code(files.complete(lena, chat, {object_key = t.object_key})))
        assert.same(LOST, code(files.complete(lena, chat, {file_id = 99999999})))
        assert.same(LOST, code(files.complete(lena, chat, {object_key = "/etc/passwd"})))
        assert.same({400, "bad_request", "media is required"}, code(files.complete(lena, chat, {})))
        -- the form comes first, then the file, then membership
        assert.same({400, "bad_request", "invalid request"}, code(lena:post("/api/files/complete", {file_id = t.file_id})))
        assert.equal(204, files.put(n, t.upload_url, bytes).status)
        assert.same({403, "not_member", "sender not in conversation"}, code(files.complete(lena, 99999999, {file_id = t.file_id})))
        assert.equal(200, files.complete(lena, chat, {object_key = t.upload_url}).status) -- with a query, too
    end)

    it("refuses what a PUT does not keep to: length, type, no length, encodings", function()
        local bytes = files.png(64, 64, 5000)
        local function put(opt)
            local t = files.ticket(lena, {bytes = bytes})
            local c = n:http()
            local r = c:raw(("PUT %s HTTP/1.1\r\nHost: x\r\n%s\r\n%s"):format(t.upload_url, opt.head, opt.body or ""))
            c:close()
            r.json = json.decode(r.body)
            assert.same(LOST, code(files.complete(lena, chat, {file_id = t.file_id})), opt.head)
            return code(r)
        end
        assert.same({400, "bad_request", "invalid request"}, put {head = "Content-Type: image/png\r\nContent-Length: 4999\r\n",
            body = ("x"):rep(4999)})
        assert.same({413, "too_large", "request too large"}, put {head = "Content-Type: image/png\r\nContent-Length: 5001\r\n",
            body = ("x"):rep(5001)})
        assert.same({413, "too_large", "request too large"}, put {head = "Content-Type: image/png\r\nContent-Length: 99999999999\r\n"})
        assert.same({400, "bad_request", "invalid request"}, put {head = "Content-Type: image/png\r\nContent-Length: 0\r\n"})
        assert.same({415, "unsupported_type", "unsupported content type"},
            put {head = "Content-Type: image/gif\r\nContent-Length: 5000\r\n", body = bytes})
        assert.same({415, "unsupported_type", "unsupported content type"}, put {head = "Content-Length: 5000\r\n", body = bytes})
        assert.same({411, "bad_request", "invalid request"}, put {head = "Content-Type: image/png\r\n"})
        assert.same({411, "bad_request", "invalid request"},
            put {head = "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n", body = "1\r\nx\r\n0\r\n\r\n"})
        assert.same({415, "unsupported_type", "unsupported content type"},
            put {head = "Content-Type: image/png\r\nContent-Length: 5000\r\nContent-Encoding: gzip\r\n", body = bytes})
        -- the case of a type says nothing
        local t = files.ticket(lena, {bytes = bytes})
        assert.equal(204, files.put(n, t.upload_url, bytes, "IMAGE/png").status)
    end)

    it("that is cut short is not there, and may be put again; 100-continue is answered", function()
        local bytes = files.png(64, 64, 300000)
        local t = files.ticket(lena, {bytes = bytes})
        local head = ("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n"):format(t.upload_url, #bytes)
        local sock = attack.raw(n, head .. "\r\n" .. bytes:sub(1, 200000))
        sock:close()
        assert.same(LOST, code(files.complete(lena, chat, {file_id = t.file_id})))
        sock = attack.raw(n, head .. "Expect: 100-continue\r\n\r\n")
        assert.truthy(sock:recv(4096):find("^HTTP/1.1 100 "))
        sock:send(bytes)
        assert.truthy(sock:recv(4096, 30000):find("^HTTP/1.1 204 "))
        sock:close()
        local media = files.complete(lena, chat, {file_id = t.file_id}).json.data.body.image
        assert.equal(bytes, n:api("GET", media.url).body)
    end)

    it("[51] that moves is taken as long as it takes; one without a byte is cut", function()
        local bytes = files.png(64, 64, 20000)
        local function begin(t)
            local head = "PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
            return attack.raw(n, head:format(t.upload_url, #bytes))
        end
        local dead = files.ticket(lena, {bytes = bytes})
        local b = begin(dead)
        b:send(bytes:sub(1, 10000))
        local slow = node.eventually(function() -- a busy machine may stand still for as long: then once more
            local t = files.ticket(lena, {bytes = bytes})
            local a, began = begin(t), P.now()
            for i = 0, 39 do -- twice files.stall
                a:send(bytes:sub(i * 500 + 1, i * 500 + 500))
                P.pause(80)
            end
            assert.truthy(P.now() - began > 3000)
            local said = a:recv(4096, 30000)
            a:close()
            return said and said:find("^HTTP/1.1 204 ") and t
        end, 60000)
        local ended, said = attack.ended(b, 20000)
        assert.same({true, ""}, {ended, said})
        b:close()
        assert.same(LOST, code(files.complete(lena, chat, {file_id = dead.file_id})))
        local media = files.complete(lena, chat, {file_id = slow.file_id}).json.data.body.image
        -- [51] a PUT after complete changes nothing
        assert.same(BAD_LINK, code(files.put(n, slow.upload_url, ("y"):rep(#bytes))))
        assert.equal(bytes, n:api("GET", media.url).body)
    end)

    it("counts as it was put last; an upload that is overtaken by another ends", function()
        local bytes, others = files.png(64, 64, 200000), files.png(65, 65, 200000)
        local t = files.ticket(lena, {bytes = bytes})
        assert.truthy(node.eventually(function() return attack.metric(n, "files_uploads") == 0 end)) -- of earlier specs
        local sock = attack.raw(n, ("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%s")
            :format(t.upload_url, #bytes, bytes:sub(1, 150000)))
        assert.truthy(node.eventually(function() return attack.metric(n, "files_uploads") == 1 end))
        assert.equal(204, files.put(n, t.upload_url, others).status)
        sock:send(bytes:sub(150001))
        local _, said = attack.ended(sock, 20000)
        assert.truthy(said == "" or said:find("^HTTP/1.1 403 "), said)
        sock:close()
        local media = files.complete(lena, chat, {file_id = t.file_id}).json.data.body.image
        assert.same({65, 65}, {media.width, media.height})
        assert.equal(others, n:api("GET", media.url).body)
    end)

    it("has links that cannot be changed and that end", function()
        local media = files.send(lena, chat, {bytes = files.png(8, 8)})
        local t = files.ticket(lena, {bytes = files.png(8, 8)})
        local id, exp, sig = media.url:match("/(%d+)%?exp=(%d+)&sig=(%x+)$")
        local function get(url) return code(n:api("GET", url)) end
        for _, url in ipairs {
            ("/api/files/blob/%d?exp=%d&sig=%s"):format(id, exp + 3600, sig), ("/api/files/blob/%d?exp=%d&sig=%s"):format(id - 1, exp, sig),
            ("/api/files/blob/%d?exp=%d&sig=%s"):format(id, exp, sig:upper()), ("/api/files/blob/%d?exp=%d&sig=%s0"):format(id, exp, sig),
            ("/api/files/blob/%d?exp=%d&sig=%s"):format(id, exp, sig:sub(1, -2)),
                ("/api/files/blob/%d?exp=%d&part=1&sig=%s"):format(id, exp, sig),
            ("/api/files/blob/%d?exp=%d"):format(id, exp), ("/api/files/blob/%d?sig=%s"):format(id, sig), "/api/files/blob/" .. id,
            "/api/files/blob/x?exp=1&sig=00", "/api/files/blob/-1?exp=1&sig=00", "/api/files/blob/..%2f..%2fetc?exp=1&sig=00",
            "/api/files/blob/99999999999999999999?exp=1&sig=00",
            files.link(n.SECRET, "GET", id, 0, now_s() - 1), files.link("another secret of thirty-two bytes", "GET", id, 0, exp),
            files.link(n.SECRET, "PUT", id, 0, exp), t.upload_url,
        } do
            local got = get(url)
            assert.same(url:find("%%2f") and {404, "not_found", "not found"} or BAD_LINK, got, url)
        end
        assert.equal(200, n:api("GET", files.link(n.SECRET, "GET", id, 0, now_s() + 60)).status) -- our own making is right
        assert.same(BAD_LINK, code(files.put(n, media.url, files.png(8, 8))))
        assert.same(BAD_LINK, code(files.put(n, files.link(n.SECRET, "PUT", t.file_id, 0, now_s() - 1), files.png(8, 8))))
        assert.same(BAD_LINK, code(files.put(n, files.link(n.SECRET, "PUT", t.file_id, 1, now_s() + 60), files.png(8, 8))))
        assert.same(BAD_LINK, code(files.put(n, files.link(n.SECRET, "PUT", 99999999, 0, now_s() + 60), "x")))
        -- a good link to what is not there, or not finished
        assert.same(LOST, get(files.link(n.SECRET, "GET", 99999999, 0, now_s() + 60)))
        assert.same(LOST, get(files.link(n.SECRET, "GET", t.file_id, 0, now_s() + 60)))
        assert.equal(405, n:api("POST", media.url, {body = "x"}).status)
        assert.equal(405, n:api("DELETE", media.url).status)
    end)

    it("is given in ranges, and not at all to those who have it", function()
        local bytes = files.noise(100000)
        local media = files.send(lena, chat, {bytes = bytes, type = "application/octet-stream", name = "n.bin"})
        local whole = n:api("GET", media.url)
        local etag = whole.headers.etag
        assert.same({"bytes", "100000"}, {whole.headers["accept-ranges"], whole.headers["content-length"]})
        local function get(...) return n:api("GET", media.url, {headers = {...}}) end
        local function range(text, first, last)
            local r = get("Range: bytes=" .. text)
            assert.same({206, ("bytes %d-%d/100000"):format(first, last), etag}, {r.status, r.headers["content-range"],
                r.headers.etag}, text)
            assert.equal(bytes:sub(first + 1, last + 1), r.body)
        end
        range("0-0", 0, 0)
        range("99999-", 99999, 99999)
        range("500-999", 500, 999)
        range("50000-500000", 50000, 99999)
        range("-10", 99990, 99999)
        range("-500000", 0, 99999)
        for _, text in ipairs {"bytes=100000-", "bytes=100000-100001", "bytes=-0"} do
            local r = get("Range: " .. text)
            assert.same({416, "bad_request", "bytes */100000"}, {r.status, r.json.code, r.headers["content-range"]}, text)
        end
        for _, text in ipairs {"bytes=0-1,5-6", "bytes=5-2", "bytes=x-1", "bytes=-", "bytes=", "lines=0-1", "bytes=1-2-3", "bytes 0-1"} do
            local r = get("Range: " .. text)
            assert.same({200, 100000}, {r.status, #r.body}, text)
        end
        assert.equal(200, get("Range: bytes=0-1", "Range: bytes=0-2").status)
        assert.equal(304, get("If-None-Match: " .. etag).status)
        assert.equal(304, get("If-None-Match: \"x\", W/" .. etag).status)
        assert.equal(304, get("If-None-Match: *").status)
        assert.equal(304, get("If-None-Match: " .. etag, "Range: bytes=0-1").status)
        assert.equal(200, get('If-None-Match: "other"').status)
        assert.equal(206, get("Range: bytes=0-1", "If-Range: " .. etag).status)
        assert.equal(200, get("Range: bytes=0-1", 'If-Range: "other"').status)
        assert.equal(200, get("Range: bytes=0-1", "If-Range: Mon, 01 Jan 2024 00:00:00 GMT").status)
        local head = n:api("HEAD", media.url, {headers = {"Range: bytes=0-9"}})
        assert.same({206, "10", ""}, {head.status, head.headers["content-length"], head.body})
        head = n:api("HEAD", media.url)
        assert.same({200, "100000", etag, ""}, {head.status, head.headers["content-length"], head.headers.etag, head.body})
    end)

    it("that a page should not show goes as attachment, in a sandbox", function()
        local function headers(type, name, bytes, kind)
            local media = files.send(lena, chat, {bytes = bytes or "<script>alert(1)</script>", type = type, name = name, kind = kind})
            local h = n:api("GET", media.url).headers
            return {h["content-type"], h["content-disposition"], h["content-security-policy"], h["x-content-type-options"]}
        end
        local SANDBOX <const> = "sandbox; default-src 'none'"
        assert.same({"text/html", "attachment; filename=\"a.html\"; filename*=UTF-8''a.html", SANDBOX, "nosniff"}, headers("text/html",
            "a.html"))
        assert.same({"image/svg+xml", "attachment; filename=\"a.svg\"; filename*=UTF-8''a.svg", SANDBOX, "nosniff"},
            headers("image/svg+xml", "a.svg", "<svg xmlns='x'/>", "file"))
        assert.same({"application/pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%E7%8C%AB.pdf", SANDBOX, "nosniff"},
            headers("application/pdf", "猫.pdf"))
        assert.same({"text/plain", "attachment; filename=\"__x_..__;\"; filename*=UTF-8''%22%5Cx%2F..%2F%25%3B", SANDBOX, "nosniff"},
            headers("text/plain", '"\\x/../%;'))
        assert.same({"audio/ogg", "inline; filename=\"v.ogg\"; filename*=UTF-8''v.ogg", nil, "nosniff"},
            headers("audio/ogg", "v.ogg", "OggS" .. ("x"):rep(90)))
    end)

    it("must be what its type says", function()
        local function try(type, bytes, kind, extra)
            local t = files.ticket(lena, {bytes = bytes, type = type, kind = kind})
            if not t.file_id then return code(t) end
            assert.equal(204, files.put(n, t.upload_url, bytes, type).status)
            local body = {file_id = t.file_id}
            for k, v in pairs(extra or {}) do body[k] = v end
            local r = files.complete(lena, chat, body)
            if r.status ~= 200 then
                -- nobody can read it
                assert.same(LOST, code(n:api("GET", files.link(n.SECRET, "GET", t.file_id, 0, now_s() + 60))), type)
                return code(r)
            end
            local _, media = next(r.json.data.body)
            return {media.width, media.height, media.duration_sec}
        end
        local WRONG <const> = {415, "unsupported_type", "unsupported content type"}
        local html = "\n <!DOCTYPE html><script>alert(1)</script>"
        assert.same({300, 200, 0}, try("image/png", files.png(300, 200)))
        assert.same({300, 200, 0}, try("image/jpeg", files.jpeg(300, 200, 130000)))
        assert.same({300, 200, 0}, try("image/gif", files.gif(300, 200)))
        assert.same({300, 200, 0}, try("image/webp", files.webp(300, 200)))
        for _, type in ipairs {"image/png", "image/jpeg", "image/bmp", "image/avif", "audio/mpeg", "audio/x-unknown", "video/mp4"} do
            assert.same(WRONG, try(type, html), type)
        end
        assert.same(WRONG, try("image/png", files.jpeg(3, 2)))
        assert.same(WRONG, try("image/png", "\137PNG\r\n\26\n and no more"))
        assert.same(WRONG, try("image/jpeg", files.jpeg(3, 2, 600000))) -- its size stands too far behind
        assert.same(WRONG, try("video/mp4", files.png(3, 2)))
        assert.same(WRONG, try("image/svg+xml", "<svg/>"))
        assert.same(WRONG, try("audio/ogg", files.png(3, 2), "image"))
        assert.same(WRONG, try("text/plain", "x", "audio"))
        assert.same({0, 0, 12}, try("audio/ogg", "OggS" .. ("x"):rep(90), nil, {duration_sec = 12}))
        assert.same({0, 0, 3}, try("audio/webm;codecs=opus", "\26\69\223\163" .. ("x"):rep(90), nil, {duration_sec = 3, width = 7}))
        assert.same({640, 360, 9}, try("video/mp4", "\0\0\0\24ftypisom", nil, {duration_sec = 9, width = 640, height = 360}))
        assert.same({0, 0, 0}, try("text/html", html, nil, {duration_sec = 9, width = 640, height = 360}))
        -- a picture says itself how large it is, and may lie on its side
        assert.same({300, 200, 0}, try("image/png", files.png(300, 200), nil, {width = 300, height = 200}))
        assert.same({200, 300, 0}, try("image/png", files.png(300, 200), nil, {width = 200, height = 300}))
        assert.same({400, "bad_request", "invalid request"}, try("image/png", files.png(300, 200), nil, {width = 301, height = 200}))
        assert.same({400, "bad_request", "invalid request"}, try("image/png", files.png(300, 200), nil, {width = -1}))
        assert.same({400, "bad_request", "invalid request"}, try("video/mp4", "\0\0\0\24ftypisom", nil, {duration_sec = 1.5}))
        -- a few bytes that would be gigabytes
        assert.same({413, "too_large", "file too large"}, try("image/png", files.png(40000, 40000)))
        assert.same({413, "too_large", "file too large"}, try("image/gif", files.gif(65535, 65535)))
        assert.same({413, "too_large", "file too large"}, try("image/webp", files.webp(16000, 16000)))
    end)

    it("has tickets within limits", function()
        local function ticket(body)
            local all = {filename = "a", content_type = "image/png", size_bytes = 10}
            for k, v in pairs(body) do all[k] = v end
            return code(lena:post("/api/files/upload", all))
        end
        local MIB <const>, BAD <const> = 1 << 20, {400, "bad_request", "invalid request"}
        for kind, most in pairs {image = 10, file = 100, audio = 50, video = 500} do
            local type = kind == "file" and "a/b" or kind .. "/x"
            assert.equal(200, ticket({content_type = type, size_bytes = most * MIB})[1], kind)
            assert.same({413, "too_large", "file too large"}, ticket {content_type = type, size_bytes = most * MIB + 1}, kind)
        end
        for _, body in ipairs {{filename = ""}, {filename = ("x"):rep(256)}, {filename = "a\nb"}, {filename = json.null}, {filename = 5},
            {content_type = "png"}, {content_type = "image/"}, {content_type = "/png"}, {content_type = "image/png\r\nX: y"},
            {content_type = "image/p ng"}, {content_type = "image/png/x"}, {content_type = "image/" .. ("x"):rep(130)},
                {content_type = json.null},
            {size_bytes = 0}, {size_bytes = -1}, {size_bytes = 1.5}, {size_bytes = "10"}, {size_bytes = 1 << 53},
            {kind = "picture"}, {kind = 2}, {kind = ""}} do
            assert.same(BAD, ticket(body), json.encode(body))
        end
        assert.equal(200, ticket({filename = ("猫"):rep(255)})[1])
        assert.equal(200, ticket({content_type = "audio/webm; codecs=\"opus\""})[1])
        assert.same({415, "unsupported_type", "unsupported content type"}, ticket {content_type = "video/mp4", kind = "image"})
        assert.equal(401, n:api("POST", "/api/files/upload", {body = {}}).status)
    end)

    it("may be read by who put it, and by members of a conversation with a live message that holds it", function()
        local g = lena:group({tom}, "files")
        local media, item = files.send(lena, g, {bytes = files.png(8, 8)})
        local path = "/api/files/" .. media.file_id
        local function read(who)
            local r = who:get(path)
            return r.status == 302 and n:api("GET", r.headers.location).status or code(r)
        end
        local NO <const> = {403, "forbidden", "no permission"}
        assert.same({200, 200, NO}, {read(lena), read(tom), read(mia)})
        assert.same(LOST, code(mia:get("/api/files/99999999")))
        assert.same({400, "bad_request"}, {mia:get("/api/files/x").status, mia:get("/api/files/x").json.code})
        assert.equal(401, n:api("GET", path).status)
        -- forwarded by its member to somebody else, as a message that names it
        local other = tom:chat(mia)
        local message = {conversation_id = other, client_msg_id = "fw", content_type = 2,
            content = {image = {file_id = media.file_id, filename = "evil.exe", url = "http://x/"}}}
        local r = tom:post("/api/messages", message)
        assert.same({200, media}, {r.status, r.json.data.body.image})
        assert.same(200, read(mia))
        -- recalled there, and she may not any more; a member who leaves may not either
        assert.equal(200, tom:post("/api/messages/" .. r.json.data.id .. "/revoke").status)
        assert.same(NO, read(mia))
        assert.equal(200, tom:post("/api/conversations/" .. g .. "/leave").status)
        assert.same(NO, read(tom))
        -- who may not read it any more sends it to nobody, but a repeat is one still (9.2)
        local again, socket = tom:post("/api/messages", message), tom:socket("again")
        assert.same({200, r.json.data.id, "recalled"}, {again.status, again.json.data.id, again.json.data.status})
        assert.equal(r.json.data.id, socket:ask("message", message).data.message_id)
        message.client_msg_id = "fw2"
        assert.same(LOST, code(tom:post("/api/messages", message)))
        assert.equal("file not found", socket:ask("message", message).data.error)
        socket:close()
        assert.equal(200, lena:post("/api/messages/" .. item.id .. "/revoke").status)
        assert.same({200, {}}, {read(lena), lena:history(g)[1].body})
        -- a link given out before lives until its time
        assert.equal(200, n:api("GET", media.url).status)
    end)

    it("is named by messages of its kind only, of those who may read it, by HTTP and WebSocket alike", function()
        local media = files.send(lena, lena:group({}, "own"), {bytes = files.png(8, 8)})
        local open = files.ticket(lena, {bytes = files.png(8, 8)})
        local s, t = lena:socket("l"), tom:socket("t")
        local function say(who, socket, type, content)
            local body = {conversation_id = chat, client_msg_id = "m" .. math.random(1 << 40), content_type = type, content = content}
            local r = who:post("/api/messages", body)
            body.client_msg_id = body.client_msg_id .. "w"
            local w = socket:ask("message", body)
            if r.status ~= 200 then assert.same({r.json.code, r.json.error}, {w.data.code, w.data.error}) end
            return r.status == 200 and w.type or code(r)
        end
        assert.same("message_ack", say(lena, s, 2, {image = {file_id = media.file_id}}))
        assert.same(media, t:push("new_message").data.content.image)
        assert.same(LOST, say(tom, t, 2, {image = {file_id = open.file_id}}))
        assert.same(LOST, say(lena, s, 2, {image = {file_id = open.file_id}})) -- not complete
        assert.same(LOST, say(lena, s, 2, {image = {file_id = 99999999}}))
        assert.same(LOST, code(lena:post("/api/messages", {conversation_id = 99999999, client_msg_id = "nowhere", content_type = 2,
            content = {image = {file_id = 99999999}}})))
        local REQUIRED <const> = {400, "bad_request", "media is required"}
        assert.same(REQUIRED, say(lena, s, 2, {image = {x = 1}}))
        assert.same(REQUIRED, say(lena, s, 2, {file = {file_id = media.file_id}}))
        assert.same(REQUIRED, say(lena, s, 2, {image = {file_id = media.file_id}, text = {text = "x"}}))
        assert.same({415, "unsupported_type", "unsupported content type"}, say(lena, s, 3, {file = {file_id = media.file_id}}))
        -- foreign, unknown to the sender
        local secret = files.send(mia, mia:group({}, "secret"), {bytes = files.png(8, 8)})
        assert.same(LOST, say(lena, s, 2, {image = {file_id = secret.file_id}}))
        s:close()
        t:close()
    end)

    it("does not let a text that follows overtake it", function()
        local g = lena:group({tom}, "order")
        local media = files.send(lena, g, {bytes = files.png(8, 8)})
        local s = lena:socket("order")
        for i = 1, 10 do
            s:send {type = "message", id = "m" .. i, data = {conversation_id = g, client_msg_id = "o" .. i,
                content_type = i % 2 == 1 and 2 or 1, content = i % 2 == 1 and {image = {file_id = media.file_id}} or "text " .. i}}
        end
        for i = 1, 10 do assert.equal("o" .. i, s:push("message_ack").data.client_msg_id) end
        local seen = {}
        for _, m in ipairs(lena:history(g)) do seen[#seen + 1] = m.client_msg_id end
        assert.same({"o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9", "o10"}, {table.unpack(seen, 2)})
        s:close()
    end)

    it("may have a preview: a small picture of the same person, readable with it", function()
        local small = files.png(320, 240, 3000)
        local function put(who, bytes, type)
            local t = files.ticket(who, {bytes = bytes, type = type})
            assert.equal(204, files.put(n, t.upload_url, bytes, type).status)
            return t
        end
        local film = "\0\0\0\24ftypisom" .. ("x"):rep(500)
        local function complete(thumbnail)
            local t = put(lena, film, "video/mp4")
            return files.complete(lena, chat, {file_id = t.file_id, thumbnail_object_key = thumbnail, width = 1280, height = 720})
        end
        local t = put(lena, small)
        local r = complete(t.object_key)
        assert.equal(200, r.status, r.body)
        local key = r.json.data.body.video.thumbnail_key
        assert.equal(t.file_id, math.tointeger(tonumber(key:match("/api/files/blob/(%d+)%?exp="))))
        assert.equal(small, n:api("GET", key).body)
        assert.same({302, 302, 403}, {lena:get("/api/files/" .. t.file_id).status, tom:get("/api/files/" .. t.file_id).status,
            mia:get("/api/files/" .. t.file_id).status})
        assert.equal(200, complete(t.object_key).status) -- once more, now that it is complete
        assert.equal(200, complete("").status)
        assert.same(LOST, code(complete(put(tom, small).object_key)))
        assert.same(LOST, code(complete("/api/files/blob/99999999")))
        assert.same(LOST, code(complete("http://evil/x.png")))
        for _, bad in ipairs {files.png(1025, 10), files.png(10, 10, 600000)} do
            assert.same({400, "bad_request"}, {(function(x) return x.status, x.json.code end)(complete(put(lena, bad).object_key))})
        end
        assert.same({415, "unsupported_type"}, {(function(x) return x.status, x.json.code end)(complete(put(lena,
            "<html><b>").object_key))})
        assert.same({400, "bad_request"}, {(function(x) return x.status, x.json.code end)(complete(put(lena, film,
            "video/mp4").object_key))})
    end)

    it("[51] of somebody else is not there for anybody: complete, parts, abort", function()
        local t = files.ticket(lena, {bytes = files.png(8, 8)})
        files.put(n, t.upload_url, files.png(8, 8))
        local m = lena:post("/api/files/multipart", {filename = "v", content_type = "video/mp4", size_bytes = 6 << 20}).json.data
        local path = "/api/files/multipart/" .. m.file_id
        local GONE <const> = {404, "not_found", "upload not found"}
        assert.same(LOST, code(files.complete(tom, chat, {file_id = t.file_id})))
        assert.same(LOST, code(files.complete(tom, chat, {object_key = m.object_key})))
        assert.same(GONE, code(tom:get(path)))
        assert.same(GONE, code(tom:post(path .. "/parts", {part_numbers = files.list {1}})))
        assert.same(GONE, code(tom:post(path .. "/complete")))
        assert.equal(200, tom:delete(path).status)
        assert.equal("open", lena:get(path).json.data.status)
        for _, other in ipairs {t.file_id, 99999999} do -- one that is not in parts, one that is none
            assert.same(GONE, code(lena:get("/api/files/multipart/" .. other)))
            assert.same(GONE, code(lena:post("/api/files/multipart/" .. other .. "/complete")))
        end
        assert.equal(200, lena:delete(path).status)
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

    it("signs with the secret only", function()
        assert.truthy(#jwt.hmac("k", "x") == 32)
        assert.falsy(n:log():find(n.SECRET, 1, true))
        assert.falsy(n:log():find("sig=", 1, true))
    end)
end)

describe("an upload in parts", function()
    local MIB <const> = 1 << 20
    local PART <const> = 5 * MIB
    local n, lena, chat
    setup(function()
        n = node.start()
        lena = n:person()
        chat = lena:chat(n:person())
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    local function begin(size, more)
        local body = {filename = "film.mp4", content_type = "video/mp4", size_bytes = size}
        for k, v in pairs(more or {}) do body[k] = v end
        local r = lena:post("/api/files/multipart", body)
        return r.status == 200 and r.json.data or code(r)
    end
    local function links(m, numbers)
        return lena:post("/api/files/multipart/" .. m.file_id .. "/parts", {part_numbers = files.list(numbers)})
    end
    local function put(m, bytes, number)
        local link = links(m, {number}).json.data[1]
        assert.same({number, "PUT"}, {link.part_number, link.method})
        local from = (number - 1) * m.part_size
        return files.put(n, link.upload_url, bytes:sub(from + 1, from + m.part_size), "x/y")
    end
    local function status(m) return lena:get("/api/files/multipart/" .. m.file_id).json.data end
    local function join(m, parts) return lena:post("/api/files/multipart/" .. m.file_id .. "/complete", {parts = parts}) end

    it("[38] stopped after 3 of 7 parts is resumed from the list, over a restart, and completes byte for byte", function()
        local bytes = "\0\0\0\24ftypisom" .. files.noise(6 * PART + 1234 - 12)
        local m = begin(#bytes)
        assert.same({PART, 7}, {m.part_size, m.part_count})
        local tags = {}
        for _, number in ipairs {1, 2, 5} do tags[number] = put(m, bytes, number).headers.etag end
        n:crash()
        n:up()
        n.client = nil
        local s = status(m)
        assert.same({"open", m.upload_id, #bytes, PART, 7, m.expires_at_ms, 3},
            {s.status, s.upload_id, s.size_bytes, s.part_size, s.part_count, s.expires_at_ms, #s.parts})
        for i, number in ipairs {1, 2, 5} do
            assert.same({part_number = number, size_bytes = PART, etag = tags[number]}, s.parts[i])
        end
        assert.same({409, "conflict", "upload is not complete"}, code(join(m)))
        for _, number in ipairs {3, 4, 6, 7, 2} do assert.equal(204, put(m, bytes, number).status) end
        s = status(m)
        assert.same({7, 1234}, {#s.parts, s.parts[7].size_bytes})
        assert.same({409, "conflict", "upload is not complete"}, code(join(m, files.list {s.parts[1]})))
        local wrong = files.list {table.unpack(s.parts)}
        wrong[3] = {part_number = 3, etag = '"0"'}
        assert.same({409, "conflict", "upload is not complete"}, code(join(m, wrong)))
        local late = links(m, {1}).json.data[1].upload_url
        local r = join(m, s.parts)
        assert.same({200, m.file_id, #bytes}, {r.status, r.json.data.file_id, r.json.data.size_bytes})
        assert.same(r.json.data, join(m).json.data) -- again
        assert.same(BAD_LINK, code(files.put(n, late, bytes:sub(1, PART))))
        assert.same({"complete", 0}, {status(m).status, #status(m).parts})
        assert.same({404, "not_found", "upload not found"}, code(links(m, {1})))
        local media = files.complete(lena, chat, {object_key = m.object_key, width = 640, height = 360,
            duration_sec = 7}).json.data.body.video
        assert.same({640, 360, 7, #bytes}, {media.width, media.height, media.duration_sec, media.size_bytes})
        local sock, got = n:http(), {}
        for at = 0, #bytes - 1, 4 * MIB do
            got[#got + 1] = sock:request("GET", media.url, {headers = {("Range: bytes=%d-%d"):format(at, at + 4 * MIB - 1)}}).body
        end
        sock:close()
        assert.truthy(table.concat(got) == bytes)
    end)

    it("has limits of its own", function()
        local BAD <const> = {400, "bad_request", "invalid request"}
        assert.same(BAD, begin(6 * MIB, {part_size = 5 * MIB - 1}))
        assert.same(BAD, begin(6 * MIB, {part_size = 64 * MIB + 1}))
        assert.same({413, "too_large", "file too large"}, begin(500 * MIB + 1))
        local m = begin(6 * MIB)
        assert.equal(2, m.part_count)
        for _, numbers in ipairs {{}, {0}, {3}, {1, 2, 3}, {"1"}, {1.5}} do assert.same(BAD, code(links(m, numbers))) end
        local many = {}
        for i = 1, 101 do many[i] = i end
        assert.same(BAD, code(links(m, many)))
        assert.same(BAD, code(join(m, files.list {1})))
        local one = links(m, {1, 2}).json.data
        assert.equal(2, #one)
        assert.equal(400, files.put(n, one[1].upload_url, ("x"):rep(1000)).status)
        assert.equal(413, files.put(n, one[2].upload_url, ("x"):rep(MIB + 1)).status)
        assert.same(BAD_LINK, code(files.put(n, files.link(n.SECRET, "PUT", m.file_id, 3, now_s() + 60), "x")))
        assert.same(BAD_LINK, code(files.put(n, files.link(n.SECRET, "PUT", m.file_id, 0, now_s() + 60), "x")))
        assert.same(LOST, code(files.complete(lena, chat, {file_id = m.file_id})))
    end)

    it("that is given up is gone", function()
        local m = begin(6 * MIB)
        local url = links(m, {2}).json.data[1].upload_url
        assert.equal(204, files.put(n, url, ("x"):rep(MIB)).status)
        assert.same({200, {}}, {(function(r) return r.status, r.json.data end)(lena:delete("/api/files/multipart/" .. m.file_id))})
        assert.same(BAD_LINK, code(files.put(n, url, ("x"):rep(MIB))))
        assert.same({"aborted", 0}, {status(m).status, #status(m).parts})
        assert.same({404, "not_found", "upload not found"}, code(join(m)))
        assert.equal(200, lena:delete("/api/files/multipart/" .. m.file_id).status)
        assert.equal(200, lena:delete("/api/files/multipart/99999999").status)
    end)
end)

describe("the store of files", function()
    local function count(dir)
        local p = io.popen(("find %s/files -type f -o -type l | wc -l"):format(dir))
        local v = math.tointeger(tonumber(p:read("a")))
        p:close()
        return v
    end

    it("keeps what was complete and shows nothing that was not, when the node is killed in the middle", function()
        local n = node.start()
        local lena = n:person()
        local chat = lena:chat(n:person())
        local bytes = files.png(64, 64, 700000)
        local media = files.send(lena, chat, {bytes = bytes})
        local put, half = files.ticket(lena, {bytes = bytes}), files.ticket(lena, {bytes = bytes})
        assert.equal(204, files.put(n, put.upload_url, bytes).status)
        local sock = attack.raw(n, ("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%s")
            :format(half.upload_url, #bytes, bytes:sub(1, 690000)))
        node.eventually(function() return attack.metric(n, "files_in_bytes_total") > 1900000 end)
        n:crash()
        sock:close()
        n:up()
        n.client = nil
        assert.equal(bytes, n:api("GET", media.url).body)
        assert.same(LOST, code(files.complete(lena, chat, {file_id = half.file_id})))
        assert.equal(404, n:api("GET", files.link(n.SECRET, "GET", put.file_id, 0, now_s() + 60)).status)
        -- what was put, and not complete, was not lost
        local r = files.complete(lena, chat, {file_id = put.file_id})
        assert.equal(200, r.status, r.body)
        assert.equal(bytes, n:api("GET", r.json.data.body.image.url).body)
        assert.equal(204, files.put(n, half.upload_url, bytes).status)
        n:finish()
    end)

    it("drops what is never completed, and gives its room back", function()
        local n = node.start {["files.put_ttl"] = "5s", ["files.multipart_ttl"] = "100ms", ["files.quota"] = "1MiB"}
        local lena = n:person()
        local bytes = files.png(64, 64, 900000)
        local t = files.ticket(lena, {bytes = bytes})
        assert.equal(204, files.put(n, t.upload_url, bytes).status)
        assert.truthy(count(n.dir) > 0)
        assert.same({413, "too_large", "file quota exceeded"}, code(files.ticket(lena, {size = 500000})))
        assert.truthy(node.eventually(function() return count(n.dir) == 0 end, 60000))
        assert.truthy(node.eventually(function() return files.ticket(lena, {size = 500000}).file_id end))
        n:finish()
    end)

    it("has a bound on open uploads and on a user's bytes", function()
        local n = node.start {["files.quota"] = "10MiB"}
        local lena, tom = n:person(), n:person()
        for _ = 1, 100 do assert.truthy(files.ticket(lena, {size = 1000}).file_id) end
        assert.same({429, "rate_limited", "too many open uploads"}, code(files.ticket(lena, {size = 1000})))
        assert.truthy(files.ticket(tom, {size = 10 << 20}).file_id)
        assert.same({413, "too_large", "file quota exceeded"}, code(files.ticket(tom, {size = 1})))
        n:finish()
    end)

    it("takes so many uploads at once, and none when the disk is nearly full", function()
        local n = node.start {["files.uploads"] = "2"}
        local lena = n:person()
        local bytes, socks = files.png(8, 8, 100000), {}
        for i = 1, 2 do
            local t = files.ticket(lena, {bytes = bytes})
            socks[i] = attack.raw(n, ("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%s")
                :format(t.upload_url, #bytes, bytes:sub(1, 70000)))
        end
        assert.truthy(node.eventually(function() return attack.metric(n, "files_uploads") == 2 end))
        local t = files.ticket(lena, {bytes = bytes})
        local r = files.put(n, t.upload_url, bytes)
        assert.same({503, "busy", "server busy"}, code(r))
        assert.equal("1", r.headers["retry-after"])
        socks[1]:close()
        assert.truthy(node.eventually(function() return files.put(n, t.upload_url, bytes).status == 204 end))
        socks[2]:close()
        n:finish()
        n = node.start {["files.min_free"] = "1024GiB"}
        t = files.ticket(n:person(), {bytes = bytes})
        assert.same({503, "busy", "server busy"}, code(files.put(n, t.upload_url, bytes)))
        n:finish()
    end)

    it("honours links of an older secret while that is configured", function()
        local n = node.start()
        local lena = n:person()
        local media = files.send(lena, lena:chat(n:person()), {bytes = files.png(8, 8)})
        n:stop()
        n.conf = {["auth.secret"] = "another secret, 32 bytes or more!", ["auth.old_secret"] = node.SECRET}
        n:up()
        n.client = nil
        assert.equal(200, n:api("GET", media.url).status)
        n:stop()
        n.conf = {["auth.secret"] = "another secret, 32 bytes or more!"}
        n:up()
        n.client = nil
        assert.same(BAD_LINK, code(n:api("GET", media.url)))
        n:finish()
    end)

    it("sends a file that is not in memory without holding a worker", function()
        local n = node.start()
        local lena = n:person()
        local bytes = files.noise(3 << 20)
        local media = files.send(lena, lena:chat(n:person()), {bytes = bytes, type = "application/x", name = "n"})
        local path = ("%s/files/kept/%02x/%d"):format(n.dir, media.file_id & 255, media.file_id)
        os.execute(("dd if=%s iflag=nocache count=0 2>/dev/null"):format(path)) -- out of memory, where the kernel lets it go
        local p = io.popen("fincore -nb -o RES " .. path)
        local left = math.tointeger(tonumber(p:read("a"))) or 0
        p:close()
        assert.truthy(n:api("GET", media.url).body == bytes)
        assert.truthy(left > 0 or attack.metric(n, "files_cold_total") > 0)
        n:finish()
    end)

    it("costs a bounded buffer for a large file, and the others do not notice", function()
        local n = node.start()
        local lena = n:person()
        local size = 100 << 20
        local t = files.ticket(lena, {size = size, type = "application/x", name = "large"})
        local path = os.tmpname()
        os.execute(("head -c %d /dev/urandom > %s"):format(size, path))
        local base = "http://" .. n.http_address
        attack.beside(n, function()
            local before, most = attack.memory(n), 0
            local job = assert(P.spawn({"curl", "-sf", "-T", path, "-H", "Content-Type: application/x", "-H", "Expect:",
                base .. t.upload_url},
                os.tmpname()))
            while job:wait(20) == nil do most = math.max(most, attack.memory(n)) end
            assert.truthy(most - before < 8 * attack.heavy, ("%.1f MiB more"):format(most - before))
        end)
        local r = files.complete(lena, lena:chat(n:person()), {file_id = t.file_id})
        assert.equal(200, r.status, r.body)
        attack.beside(n, function()
            local before, most = attack.memory(n), 0
            local job = assert(P.spawn({"curl", "-sf", "-o", path .. ".got", base .. r.json.data.body.file.url}, os.tmpname()))
            while job:wait(20) == nil do most = math.max(most, attack.memory(n)) end
            assert.truthy(most - before < 8 * attack.heavy, ("%.1f MiB more"):format(most - before))
        end)
        assert.truthy(os.execute(("cmp -s %s %s.got"):format(path, path)))
        os.remove(path)
        os.remove(path .. ".got")
        n:finish()
    end)
end)
