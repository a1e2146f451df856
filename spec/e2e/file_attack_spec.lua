-- PROTOCOL.md section 14, attacked: odd paths and numbers, tickets and parts used again, many at once, a full disk, no descriptors,
-- slow peers.
local attack = require "spec.support.attack"
local files = require "spec.support.files"
local json = require "spec.support.json"
local node = require "spec.support.node"

local function code(r) return {r.status, r.json and r.json.code, r.json and r.json.error} end
local LOST <const>, BAD_LINK <const> = {404, "not_found", "file not found"}, {403, "bad_signature", "invalid or expired link"}
local BUSY <const> = {503, "busy", "server busy"}

--- The same request from `count` sockets at once: the answers.
local function at_once(n, person, method, path, count, body_of)
    local clients, answers = {}, {}
    for i = 1, count do
        clients[i] = n:http()
        clients[i]:connect()
    end
    for i, c in ipairs(clients) do
        local body = json.encode(body_of(i))
        c:connect():send(("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s")
            :format(method, path, person.token, #body, body))
    end
    for i, c in ipairs(clients) do
        local r = assert(c:read(method))
        r.json = json.decode(r.body)
        answers[i] = r
        c:close()
    end
    return answers
end

local function count_of(answers, status)
    local v = 0
    for _, r in ipairs(answers) do if r.status == status then v = v + 1 end end
    return v
end

local function put_head(t, size, type)
    return ("PUT %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"):format(t.upload_url, type or "image/png", size)
end

describe("a file that is attacked", function()
    local n, lena, tom, chat
    setup(function()
        n = node.start {["files.quota"] = "100000"}
        lena, tom = n:person(), n:person()
        chat = lena:chat(tom)
    end)
    teardown(function()
        attack.unharmed(n)
        n:finish()
    end)

    it("is found by its own path only, whatever stands around the number", function()
        local media = files.send(lena, chat, {bytes = files.png(8, 8)})
        local id, query = media.url:match("/(%d+)(%?.*)$")
        for _, path in ipairs {
            "/api/files/blob/../blob/" .. id, "/api/files/blob/%2e%2e/blob/" .. id, "/api/files/blob/" .. id .. "/../" .. id,
            "/api/files/blob/" .. id .. "%00", "/api/files/blob/+" .. id, "/api/files/blob/-" .. id, "/api/files/blob/ " .. id,
            "/api/files/blob/" .. id .. ".png", "/api/files/blob/0x" .. id, "/api/files/blob/" .. id .. "e0", "/api/files/blob//" .. id,
            "/api/files/blob/..%2f..%2f..%2fetc%2fpasswd", "/api/files/blob/" .. ("9"):rep(400),
            "/api/files/blob/" .. ("%.0f"):format(2.0 ^ 64 + 2048 * tonumber(id)), "/api/files/blob/18446744073709551616",
        } do
            local r = n:api("GET", path .. query)
            assert.truthy(r.status == 403 or r.status == 404 or r.status == 400, path .. ": " .. r.status)
        end
        for _, name in ipairs {
            "/api/files/blob/" .. id .. "/../" .. id + 1, "/api/files/blob/" .. id .. "#x", "api/files/blob/" .. id,
            "//api/files/blob/" .. id, "/api/files/blob/" .. id .. "\0", "/api/files/blob/", "/api/files/blob/x",
            "http://127.0.0.1/api/files/blob/" .. id, "/api/files/blob/18446744073709551616",
        } do
            local r = files.complete(lena, chat, {object_key = name})
            assert.truthy(r.status == 404 or r.status == 400, name)
        end
        for _, value in ipairs {-1, 0, 1.5, "1", true, json.null} do
            local r = files.complete(lena, chat, {file_id = value})
            assert.equal(400, r.status, r.body)
        end
        assert.equal(200, n:api("GET", media.url).status)
    end)

    it("has a link for one part; the first or last of a repeated parameter makes no other", function()
        local m = lena:post("/api/files/multipart", {filename = "f", content_type = "a/b", size_bytes = 20}).json.data
        local link = lena:post("/api/files/multipart/" .. m.file_id .. "/parts", {part_numbers = files.list {1}}).json.data[1].upload_url
        local function with(from, to) return (link:gsub(from, to)) end
        for _, url in ipairs {
            with("part=1", "part=2"), with("part=1", "part=0"), with("&part=1", ""), link .. "&part=2", with("part=1", "part=1&part=2"),
            link .. "&sig=0", with("sig=", "sig=0&sig="), with("exp=(%d+)", "exp=%1&exp=99999999999"), with("exp=", "exp=9"),
            with("part=1", "part=18446744073709551617"), with("part=1", "part=-1"), with("part=1", "part=01"),
        } do
            local r = files.put(n, url, ("x"):rep(20), "a/b")
            assert.truthy(r.status == 204 or r.status == 403 or r.status == 400, r.status .. " " .. url)
        end
        local there = lena:get("/api/files/multipart/" .. m.file_id).json.data.parts
        assert.truthy(#there <= 1 and (not there[1] or there[1].part_number == 1))
        assert.equal(204, files.put(n, link, ("x"):rep(20), "a/b").status)
        assert.equal(204, files.put(n, link, ("y"):rep(20), "a/b").status) -- the last one counts
        local parts = lena:get("/api/files/multipart/" .. m.file_id).json.data.parts
        local stale = files.list {{part_number = 1, etag = there[1] and there[1].etag or '"0"'}}
        local path = "/api/files/multipart/" .. m.file_id .. "/complete"
        if there[1] then assert.equal(409, lena:post(path, {parts = stale}).status) end
        local join = at_once(n, lena, "POST", path, 10, function() return {parts = parts} end)
        assert.equal(10, count_of(join, 200))
        assert.same(BAD_LINK, code(files.put(n, link, ("z"):rep(20), "a/b")))
        local url = files.complete(lena, chat, {file_id = m.file_id}).json.data.body.file.url
        assert.equal(("y"):rep(20), n:api("GET", url).body)
    end)

    it("completed by twenty at once is one file, and one message for each client_msg_id", function()
        local bytes = files.png(8, 8)
        local t = files.ticket(lena, {bytes = bytes})
        assert.equal(204, files.put(n, t.upload_url, bytes).status)
        local g = lena:group({tom}, "at once")
        local answers = at_once(n, lena, "POST", "/api/files/complete", 20, function(i)
            return {conversation_id = g, client_msg_id = "once-" .. i % 2, file_id = t.file_id}
        end)
        assert.equal(20, count_of(answers, 200))
        assert.equal(2, #tom:history(g))
    end)

    it("completed and given up at once is one of both", function()
        for _ = 1, 10 do
            local m = lena:post("/api/files/multipart", {filename = "f", content_type = "a/b", size_bytes = 20}).json.data
            local path = "/api/files/multipart/" .. m.file_id
            local link = lena:post(path .. "/parts", {part_numbers = files.list {1}}).json.data[1].upload_url
            assert.equal(204, files.put(n, link, ("x"):rep(20), "a/b").status)
            local a, b = n:http(), n:http()
            a:connect():send(("POST %s/complete HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n")
                :format(path, lena.token))
            b:connect():send(("DELETE %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"):format(path, lena.token))
            local joined, gone = a:read("POST"), b:read("DELETE")
            a:close()
            b:close()
            assert.equal(200, gone.status)
            assert.truthy(joined.status == 200 or joined.status == 404, joined.body)
            assert.same(LOST, code(files.complete(lena, chat, {file_id = m.file_id})))
        end
    end)

    it("counts against the quota before it is there: of fifty tickets at once those that fit", function()
        local mia = n:person()
        local answers = at_once(n, mia, "POST", "/api/files/upload", 50, function()
            return {filename = "a", content_type = "a/b", size_bytes = 15000}
        end)
        assert.equal(6, count_of(answers, 200)) -- of 100,000
        assert.equal(44, count_of(answers, 413))
    end)

    it("answers ranges of any number, in one piece", function()
        local bytes = files.noise(1000)
        local media = files.send(lena, chat, {bytes = bytes, type = "a/b", name = "n"})
        for text, want in pairs {
            ["bytes=0-9223372036854775807"] = 206, ["bytes=0-9223372036854775808"] = 206, ["bytes=9223372036854775807-"] = 416,
            ["bytes=99999999999999999999-"] = 416, ["bytes=-9223372036854775807"] = 206, ["bytes=-99999999999999999999"] = 206,
            ["bytes=9223372036854775806-9223372036854775807"] = 416, ["bytes=99999999999999999999-99999999999999999998"] = 416,
            ["bytes=0-0,-1"] = 200, ["bytes= 0-1"] = 200, ["bytes=0 -1"] = 200, ["bytes=0-9999999999999999999x"] = 200,
            ["bytes=0-1;x"] = 200, ["BYTES=0-1"] = 206, ["bytes=0-" .. ("0"):rep(100) .. "1"] = 206,
            ["bytes=" .. ("0-0,"):rep(1000) .. "0-0"] = 200,
        } do
            local r = n:api("GET", media.url, {headers = {"Range: " .. text}})
            assert.equal(want, r.status, text)
            if want == 200 then assert.equal(bytes, r.body) end
            local head = n:api("HEAD", media.url, {headers = {"Range: " .. text}})
            assert.same({want, r.headers["content-length"]}, {head.status, head.headers["content-length"]}, text)
        end
    end)
end)

describe("the store of files, attacked", function()
    it("is not held by one user with slow uploads: others put theirs meanwhile", function()
        local n = node.start {["files.uploads"] = "20", ["files.user_uploads"] = "8"}
        local lena, tom = n:person(), n:person()
        local bytes, socks = files.png(8, 8, 100000), {}
        for i = 1, 50 do
            local t = files.ticket(lena, {bytes = bytes})
            socks[i] = attack.raw(n, put_head(t, #bytes) .. bytes:sub(1, 1000))
        end
        assert.truthy(node.eventually(function() return attack.metric(n, "files_uploads") == 16 end, 20000)) -- 8 in each of two threads
        local t = files.ticket(tom, {bytes = bytes})
        assert.equal(204, files.put(n, t.upload_url, bytes).status)
        for _, s in ipairs(socks) do s:close() end
        n:finish()
    end)

    it("refuses what the disk does not take, and goes on", function()
        local n = node.start({["files.min_free"] = "0"}, nil, {"prlimit", "--fsize=" .. (3 << 20)})
        local lena = n:person()
        local chat = lena:chat(n:person())
        local small, size = files.png(8, 8, 100000), 8 << 20
        local t = files.ticket(lena, {size = size, type = "a/b", name = "big"})
        local r = files.put(n, t.upload_url, ("x"):rep(size), "a/b")
        assert.same(BUSY, code(r))
        assert.same(LOST, code(files.complete(lena, chat, {file_id = t.file_id})))
        assert.equal(200, n:api("GET", files.send(lena, chat, {bytes = small}).url).status)
        n:finish()
    end)

    it("without descriptors says so, and has them again", function()
        local n = node.start({}, nil, {"prlimit", "--nofile=200:200"})
        local lena = n:person()
        local chat = lena:chat(n:person())
        local bytes, socks = files.png(8, 8, 100000), {}
        local media = files.send(lena, chat, {bytes = bytes})
        local links = {}
        for i = 1, 90 do links[i] = files.ticket(lena, {bytes = bytes}) end
        for i = 1, 90 do
            local ok, s = pcall(attack.raw, n, put_head(links[i], #bytes) .. bytes:sub(1, 70000))
            if ok then socks[#socks + 1] = s end
        end
        assert.truthy(node.eventually(function()
            local pipe = io.popen(("ls /proc/%d/fd | wc -l"):format(n.process:pid()))
            local count = tonumber(pipe:read("a"))
            pipe:close()
            return count > 170
        end, 20000))
        assert.truthy(attack.alive(n))
        for _, s in ipairs(socks) do s:close() end
        n.client = nil
        assert.truthy(node.eventually(function()
            local ok, r = pcall(n.api, n, "GET", media.url)
            if not ok then n.client = nil end
            return ok and r.status == 200 and r.body == bytes
        end, 20000))
        assert.truthy(node.eventually(function() return attack.metric(n, "files_uploads") == 0 end, 20000))
        assert.equal(200, n:api("GET", files.send(lena, chat, {bytes = bytes}).url).status)
        n:finish()
    end)

    it("sends to readers of one byte a time without keeping the file for them", function()
        local n = node.start()
        local lena = n:person()
        local bytes = files.noise(3 << 20)
        local media = files.send(lena, lena:chat(n:person()), {bytes = bytes, type = "a/b", name = "n"})
        local before, socks = attack.memory(n), {}
        attack.beside(n, function()
            for i = 1, 100 do
                socks[i] = attack.raw(n, ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(media.url), {rcvbuf = 4096})
            end
            for _ = 1, 5 do
                for _, s in ipairs(socks) do s:recv(1, 5000) end
            end
            assert.truthy(attack.memory(n) - before < 60 * attack.heavy, attack.memory(n) - before)
        end)
        for _, s in ipairs(socks) do s:close() end
        assert.truthy(n:api("GET", media.url).body == bytes)
        n:finish()
    end)

    it("with ten thousand open tickets gives the next one as fast", function()
        local n = node.start()
        local people = {}
        for i = 1, 100 do people[i] = n:person() end
        local function round(i)
            local began = attack.cpu(n)
            for _, p in ipairs(people) do assert.truthy(files.ticket(p, {size = 1000}).file_id, i) end
            return attack.cpu(n) - began
        end
        local first = round(1)
        for i = 2, 99 do round(i) end
        local last = round(100)
        assert.truthy(last < 2 * first + 0.2 * node.slow, ("%.2f s of CPU, at first %.2f"):format(last, first))
        n:finish()
    end)
end)
