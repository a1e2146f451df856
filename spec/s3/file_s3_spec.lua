-- PROTOCOL.md section 14 with files.url=s3://..: real nodes, a real S3 server. Run by tools/s3 with .., or by tools/test s3.
local node = require "spec.support.node"
local files = require "spec.support.files"
local json = require "spec.support.json"
local server = require "spec.s3.server"
local P = require "parley_spec"
local at, put = server.at, server.put

local URL, KEY, SECRET = os.getenv("PARLEY_TEST_S3_URL"), os.getenv("PARLEY_TEST_S3_KEY"), os.getenv("PARLEY_TEST_S3_SECRET")

local function conf(more)
    local c = {["files.url"] = URL, ["files.s3_key"] = KEY, ["files.s3_secret"] = SECRET}
    for k, v in pairs(more or {}) do c[k] = v end
    return c
end

local function ready(n)
    local r = n:api("GET", "/readyz")
    return r.status, r.json.checks.files, r.json.status
end

describe("a file in a bucket", function()
    local n, lena, tom, chat
    setup(function()
        assert(URL, "PARLEY_TEST_S3_URL is missing")
        n = node.start(conf())
        lena, tom = n:person(), n:person()
        chat = lena:chat(tom)
    end)
    teardown(function() n:finish() end)

    it("goes by ticket, PUT to the store and complete; both links lead to it, GET and HEAD", function()
        local bytes = files.png(640, 480, 48211)
        local t = files.ticket(lena, {bytes = bytes, kind = "image"})
        assert.truthy(t.upload_url:find("^http://127%.0%.0%.1:%d+/parley%-specs/up/" .. t.file_id .. "%?"))
        assert.equal("/api/files/blob/" .. t.file_id, t.object_key)
        assert.equal(200, put(t.upload_url, bytes, "image/png").status)
        local r = files.complete(lena, chat, {object_key = t.object_key})
        assert.equal(200, r.status, r.body)
        local media = r.json.data.body.image
        assert.same({640, 480, 48211}, {media.width, media.height, media.size_bytes})
        local got = at(media.url, "GET")
        assert.equal(200, got.status)
        assert.equal(bytes, got.body)
        assert.equal("image/png", got.headers["content-type"])

        local there = n:api("GET", media.object_key)
        assert.equal(302, there.status)
        assert.equal(bytes, at(there.headers.location, "GET").body)
        local part = at(there.headers.location, "GET", nil, {"Range: bytes=10-19"})
        assert.same({206, bytes:sub(11, 20)}, {part.status, part.body})
        there = n:api("HEAD", media.object_key)
        assert.equal(302, there.status)
        assert.equal(200, at(there.headers.location, "HEAD").status)
        assert.equal(302, tom:get("/api/files/" .. t.file_id).status)

        put(t.upload_url, files.png(1, 1, 48211), "image/png") -- its time is not over: nothing changes
        assert.equal(bytes, at(media.url, "GET").body)
        assert.equal(200, files.complete(lena, chat, {object_key = t.object_key}).status)
    end)

    it("is refused by the store when type or size are others, by complete when its bytes are", function()
        local bytes = files.png(64, 48, 1000)
        local t = files.ticket(lena, {bytes = bytes, kind = "image"})
        assert.equal(403, put(t.upload_url, bytes, "image/gif").status)
        assert.equal(403, put(t.upload_url, bytes .. "x", "image/png").status)
        assert.equal(404, files.complete(lena, chat, {file_id = t.file_id}).status)
        assert.equal(200, put(t.upload_url, (files.gif(64, 48) .. bytes):sub(1, 1000), "image/png").status)
        local r = files.complete(lena, chat, {file_id = t.file_id})
        assert.same({415, "unsupported_type"}, {r.status, r.json.code})
        assert.equal(200, put(t.upload_url, bytes, "image/png").status)
        assert.equal(200, files.complete(lena, chat, {file_id = t.file_id}).status)
    end)

    it("that shall not be shown in a page comes as attachment", function()
        local media = (function()
            local t = files.ticket(lena, {bytes = "<script>", name = "a.html", type = "text/html"})
            assert.equal(200, put(t.upload_url, "<script>", "text/html").status)
            return files.complete(lena, chat, {file_id = t.file_id}).json.data.body.file
        end)()
        assert.truthy(at(media.url, "GET").headers["content-disposition"]:find("^attachment"))
    end)

    it("in parts is resumed from the list and comes back byte for byte", function()
        local part_size = 5 << 20
        local bytes = files.noise(2 * part_size + 777, 7)
        local r = lena:post("/api/files/multipart", {filename = "a.bin", content_type = "application/zip", size_bytes = #bytes})
        assert.equal(200, r.status, r.body)
        local up = r.json.data
        local path = "/api/files/multipart/" .. up.file_id
        local function urls(list) return lena:post(path .. "/parts", {part_numbers = list}).json.data end
        local function piece(k) return bytes:sub((k - 1) * part_size + 1, k * part_size) end
        local etags = {}
        for _, p in ipairs(urls {1, 3}) do
            local a = put(p.upload_url, piece(p.part_number))
            assert.equal(200, a.status, a.body)
            etags[p.part_number] = a.headers.etag
        end
        assert.equal(409, lena:post(path .. "/complete").status)
        local state = lena:get(path).json.data
        assert.equal("open", state.status)
        assert.same({{part_number = 1, size_bytes = part_size, etag = etags[1]}, {part_number = 3, size_bytes = 777, etag = etags[3]}},
            {state.parts[1], state.parts[2]})
        local last = urls {2}[1]
        assert.equal(403, put(last.upload_url, piece(3)).status)
        etags[2] = put(last.upload_url, piece(2)).headers.etag
        r = lena:post(path .. "/complete", {parts = files.list {
            {part_number = 1, etag = etags[1]}, {part_number = 2, etag = etags[2]}, {part_number = 3, etag = etags[3]},
        }})
        assert.equal(200, r.status, r.body)
        assert.equal("complete", lena:get(path).json.data.status)
        r = files.complete(lena, chat, {file_id = up.file_id})
        assert.equal(200, r.status, r.body)
        assert.equal(bytes, at(r.json.data.body.file.url, "GET").body)
    end)

    it("may be talked to by the page, and tells how it is", function()
        assert.same({200, "ok", "ready"}, {ready(n)})
        local origin = URL:match("endpoint=(.*)$")
        local policy = n:api("GET", "/").headers["content-security-policy"]
        for _, what in ipairs {"connect", "img", "media"} do
            assert.truthy(policy:match(what .. "%-src ([^;]+)"):find(origin, 1, true), policy)
        end
    end)
end)

describe("a node", function()
    it("whose key is refused is not ready and says why; no secret is in its log or console", function()
        local n = node.start(conf {["files.s3_secret"] = "not-the-secret-at-all", ["admin.listen"] = "127.0.0.1:0"})
        assert.truthy(node.eventually(function() return ready(n) == 503 end, 20000))
        local _, files_state, state = ready(n)
        assert.same({"the store refuses the key", "not_ready"}, {files_state, state})
        assert.truthy(node.eventually(function() return n:log():find("refuses the key (SignatureDoesNotMatch 403)", 1, true) end))
        assert.falsy(n:log():find("not-the-secret", 1, true))
        local shown = P.spawn {os.getenv("PARLEYD") or "build/parleyd", "ctl", "--set", "data.dir=" .. n.dir, "conf"}
        local seen = 0
        for line in function() return shown:line(10000) end do
            assert.falsy(line:find("not-the-secret", 1, true))
            if line:find("files.s3_secret", 1, true) and line:find("***", 1, true) then seen = seen + 1 end
        end
        assert.equal(1, seen)
        n:finish()
    end)

    it("whose store does not answer is ready, and chats; files fail and say so", function()
        local listener, port = P.listen()
        listener:close()
        local n = node.start(conf {["files.url"] = "s3://parley-specs?endpoint=http://127.0.0.1:" .. port, ["script.timeout"] = "1s"})
        assert.truthy(node.eventually(function() return select(2, ready(n)) == "the store does not answer" end, 20000))
        assert.equal(200, (ready(n)))
        local lena, tom = n:person(), n:person()
        local chat = lena:chat(tom)
        lena:say(chat, "hello")
        local r = lena:post("/api/files/multipart", {filename = "a.bin", content_type = "application/zip", size_bytes = 10})
        assert.truthy(r.status == 504 or r.status == 500 or r.status == 503, r.body)
        local t = files.ticket(lena, {bytes = files.png(1, 1)})
        r = files.complete(lena, chat, {file_id = t.file_id})
        assert.truthy(r.status == 504 or r.status == 500 or r.status == 503, r.body)
        n:finish()
    end)
end)

describe("a store that takes longer than a rule may", function()
    it("is waited for: complete and the end of an upload in parts answer when it is done, and hold up nobody else", function()
        local there = URL:match("http://127%.0%.0%.1:(%d+)")
        local proxy = assert(P.spawn({"lua5.4", "spec/s3/slow_proxy.lua", there, "2500"}, os.tmpname()))
        local n = node.start(conf {
            ["files.url"] = ("s3://parley-specs/slow?endpoint=http://127.0.0.1:%s&public=http://127.0.0.1:%s")
                :format(proxy:line(10000), there),
            ["script.timeout"] = "2s",
        })
        local lena, tom = n:person(), n:person()
        local chat = lena:chat(tom)
        local bytes = files.png(64, 64, 5000)
        local t = files.ticket(lena, {bytes = bytes})
        assert.equal(200, put(t.upload_url, bytes, "image/png").status)
        local body = ('{"conversation_id":%d,"client_msg_id":"slow","file_id":%d}'):format(chat, t.file_id)
        local c = n:http()
        local began = P.now()
        c:connect():send(("POST /api/files/complete HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s")
            :format(lena.token, #body, body))
        assert.truthy(files.ticket(lena, {bytes = bytes}).file_id) -- her others go on
        lena:say(chat, "meanwhile")
        local r = c:read("POST")
        c:close()
        assert.equal(200, r.status, r.body)
        assert.truthy(P.now() - began >= 2500)
        assert.equal(bytes, at(json.decode(r.body).data.body.image.url, "GET").body)

        local up = lena:post("/api/files/multipart", {filename = "a.bin", content_type = "application/zip", size_bytes = 10}).json.data
        local part = lena:post(("/api/files/multipart/%d/parts"):format(up.file_id), {part_numbers = {1}}).json.data[1]
        assert.equal(200, put(part.upload_url, ("x"):rep(10)).status)
        began = P.now()
        r = lena:post(("/api/files/multipart/%d/complete"):format(up.file_id))
        assert.equal(200, r.status, r.body)
        assert.truthy(P.now() - began >= 2500)
        assert.equal(2, #tom:history(chat))
        n:finish()
        proxy:kill(9)
        proxy:wait(5000)
    end)
end)

describe("a store of the spec's own", function()
    local store
    setup(function() store = server.new(KEY, SECRET) end)
    teardown(function() store:finish() end)

    it("killed in the middle of complete: a clear error or none; the repeat succeeds, there is one message with the whole file", function()
        local n = node.start(conf {["files.url"] = store:url "", ["script.timeout"] = "1500ms"})
        local lena, tom = n:person(), n:person()
        local chat = lena:chat(tom)
        for i, pause in ipairs {0, 1, 2, 4, 8, 16, 32} do
            local bytes = files.noise(300000 + i, i)
            local t = files.ticket(lena, {bytes = bytes, name = "a.bin", type = "application/zip"})
            assert.equal(200, put(t.upload_url, bytes, "application/zip").status)
            local body = ('{"conversation_id":%d,"client_msg_id":"k-%d","file_id":%d}'):format(chat, i, t.file_id)
            local c = n:http()
            c:connect():send(("POST /api/files/complete HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s")
                :format(lena.token, #body, body))
            P.pause(pause)
            store:kill()
            local r = assert(c:read("POST"))
            assert.truthy(r.status == 200 or r.status >= 500, r.body)
            c:close()
            store:start()
            r = nil
            assert.truthy(node.eventually(function()
                r = lena:post("/api/files/complete", {conversation_id = chat, client_msg_id = "k-" .. i, file_id = t.file_id})
                return r.status == 200
            end, 20000), r and r.body)
            assert.equal(bytes, at(r.json.data.body.file.url, "GET").body)
        end
        assert.equal(7, #tom:history(chat))
        n:finish()
    end)

    it("loses what is never completed: a whole file, a part of an upload", function()
        local function there() return store:count "" end
        local n = node.start(conf {
            ["files.url"] = store:url "/lost",
            ["files.put_ttl"] = "3s", ["files.multipart_ttl"] = "3s",
        })
        local lena, before = n:person(), there()
        local bytes = files.png(64, 64, 5000)
        local t = files.ticket(lena, {bytes = bytes})
        assert.equal(200, put(t.upload_url, bytes, "image/png").status)
        local up = lena:post("/api/files/multipart", {filename = "a.bin", content_type = "application/zip", size_bytes = 10}).json.data
        local part = lena:post(("/api/files/multipart/%d/parts"):format(up.file_id), {part_numbers = {1}}).json.data[1]
        assert.equal(200, put(part.upload_url, ("x"):rep(10)).status)
        assert.truthy(there() >= before + 2)
        assert.truthy(node.eventually(function() return there() == before end, 40000))
        n:finish()
    end)

    it("with TLS is spoken to if its certificate is trusted, else the node says so", function()
        store:kill()
        local cert, key = store.dir .. "/cert.pem", store.dir .. "/key.pem"
        assert(os.execute(("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
            .. "-out %s -keyout %s 2>/dev/null"):format(cert, key)))
        store:start("--cert", cert, "--key", key)
        local url = "s3://parley-specs?endpoint=https://localhost:" .. store.port
        local n = node.start(conf {["files.url"] = url, ["files.s3_ca"] = cert})
        assert.truthy(node.eventually(function() return n:log():find("parley%-specs at https://localhost:%d+ answers") end, 20000))
        local lena = n:person()
        local r = lena:post("/api/files/multipart", {filename = "a.bin", content_type = "application/zip", size_bytes = 10})
        assert.equal(200, r.status, r.body)
        local t = files.ticket(lena, {bytes = files.png(1, 1)})
        assert.truthy(t.upload_url:find("https://localhost:" .. store.port .. "/parley-specs/up/", 1, true))
        local calls = n:api("GET", "/metrics").body:match('parley_s3_calls_total{result="ok"} (%d+)')
        assert.truthy(tonumber(calls) >= 2)
        n:finish()
        n = node.start(conf {["files.url"] = url})
        assert.truthy(node.eventually(function() return select(2, ready(n)) == "the store's certificate is not trusted" end, 20000))
        n:finish()
    end)
end)
