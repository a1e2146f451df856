-- PROTOCOL.md section 1: the web page: which files, in which coding, kept for how long, under which policy.
local node = require "spec.support.node"
local P = require "parley_spec"

local function write(path, bytes)
    local f = assert(io.open(path, "wb"))
    f:write(bytes)
    f:close()
end
local function read(path)
    local f = io.open(path, "rb")
    if not f then return nil end
    local bytes = f:read("a")
    f:close()
    return bytes
end

local function directives(r)
    local all = {}
    for name, value in (r.headers["content-security-policy"] .. ";"):gmatch("%s*([%w-]+)%s*([^;]*);") do all[name] = value end
    return all
end

local function assert_policy(r, host, store)
    store = store and " " .. store or ""
    local csp = directives(r)
    assert.equal("'self'", csp["default-src"])
    assert.equal("'none'", csp["object-src"])
    assert.equal("'none'", csp["base-uri"])
    assert.equal("'none'", csp["frame-ancestors"])
    assert.equal("'self'", csp["form-action"])
    assert.equal(("'self' ws://%s wss://%s%s"):format(host, host, store), csp["connect-src"])
    assert.equal("'self' blob: data:" .. store, csp["img-src"])
    assert.equal("'self' blob: data:" .. store, csp["media-src"])
    assert.falsy(r.headers["content-security-policy"]:find("unsafe", 1, true))
    assert.equal("no-referrer", r.headers["referrer-policy"])
    assert.equal("nosniff", r.headers["x-content-type-options"])
    assert.equal("same-origin", r.headers["cross-origin-opener-policy"])
    assert.equal("same-origin", r.headers["cross-origin-resource-policy"])
    assert.truthy(r.headers["permissions-policy"]:find("camera=(self), microphone=(self)", 1, true))
end

describe("the files of web.dir", function()
    local dir, n
    local files = {
        ["index.html"] = "<!doctype html><p>the page</p>", ["index.html.gz"] = "gz of the page",
        ["assets/app-12345678.js"] = "the script as it is", ["assets/app-12345678.js.br"] = "br of it",
        ["assets/app-12345678.js.gz"] = "gz of it", ["plain.txt"] = "only as it is", ["whole.tar.gz"] = "a file of its own",
    }
    local function get(path, accept, more)
        local headers = more or {}
        if accept then headers[#headers + 1] = "Accept-Encoding: " .. accept end
        return n:api("GET", path, {headers = headers})
    end

    setup(function()
        dir = P.tmpdir()
        assert(os.execute("mkdir -p " .. dir .. "/assets " .. dir .. "/.hidden"))
        for name, bytes in pairs(files) do write(dir .. "/" .. name, bytes) end
        write(dir .. "/.hidden/secret.txt", "secret")
        assert(os.execute("ln -s /etc/passwd " .. dir .. "/link.txt"))
        n = node.start {["web.dir"] = dir}
    end)
    teardown(function()
        n:finish()
        P.rmtree(dir)
    end)

    it("come in the best coding that the request takes, else as they are", function()
        for accept, expected in pairs {
            ["gzip, deflate, br, zstd"] = "br", ["gzip"] = "gz", ["br;q=0.5, gzip"] = "gz", ["identity"] = "", [""] = "",
            ["deflate"] = "", ["*"] = "br", ["br;q=0, *"] = "gz", ["identity;q=0, gzip;q=0.1"] = "gz", ["gzip;q=0, br;q=0"] = "",
        } do
            local r = get("/assets/app-12345678.js", accept)
            assert.equal(200, r.status, accept)
            assert.equal(files["assets/app-12345678.js" .. (expected == "" and "" or "." .. expected)], r.body, accept)
            assert.equal(({br = "br", gz = "gzip"})[expected], r.headers["content-encoding"], accept)
            assert.equal("text/javascript; charset=utf-8", r.headers["content-type"])
            assert.equal("Accept-Encoding", r.headers.vary)
        end
        local r = get("/assets/app-12345678.js")
        assert.equal(files["assets/app-12345678.js"], r.body)
        assert.equal("Accept-Encoding", r.headers.vary)
    end)

    it("take a coding that is not there for the next best", function()
        local r = get("/", "br, gzip;q=0.2")
        assert.equal("gz of the page", r.body)
        assert.equal("text/html; charset=utf-8", r.headers["content-type"])
        r = get("/plain.txt", "br, gzip")
        assert.equal("only as it is", r.body)
        assert.is_nil(r.headers["content-encoding"])
        assert.is_nil(r.headers.vary)
    end)

    it("are 406 where nothing is acceptable", function()
        for path, accept in pairs {["/plain.txt"] = "identity;q=0, br", ["/"] = "*;q=0"} do
            local r = get(path, accept)
            assert.equal(406, r.status)
            assert.equal("bad_request", r.json.code)
        end
    end)

    it("have a tag for each coding, and 304 only for that one", function()
        local tags = {}
        for _, accept in ipairs {"br", "gzip", "identity"} do
            local r = get("/assets/app-12345678.js", accept)
            local tag = r.headers.etag
            assert.truthy(tag:match('^"%x+"$'))
            assert.is_nil(tags[tag])
            tags[tag] = accept
            local again = get("/assets/app-12345678.js", accept, {"If-None-Match: \"x\", W/" .. tag})
            assert.equal(304, again.status)
            assert.equal("", again.body)
            assert.equal(tag, again.headers.etag)
            assert.equal("Accept-Encoding", again.headers.vary)
            assert.equal(r.headers["cache-control"], again.headers["cache-control"])
        end
        for tag, accept in pairs(tags) do
            for _, other in ipairs {"br", "gzip", "identity"} do
                local r = get("/assets/app-12345678.js", other, {"If-None-Match: " .. tag})
                assert.equal(other == accept and 304 or 200, r.status)
            end
        end
    end)

    it("are kept for a year below /assets/, asked for again elsewhere", function()
        assert.equal("public, max-age=31536000, immutable", get("/assets/app-12345678.js", "br").headers["cache-control"])
        for _, path in ipairs {"/", "/index.html", "/chat", "/plain.txt", "/swagger", "/swagger.js"} do
            assert.equal("no-cache", get(path, "br").headers["cache-control"], path)
        end
    end)

    it("are the page for every name without a dot, and 404 with one", function()
        for _, path in ipairs {"/", "/login", "/chat/71", "/assets/", "/HEALTHZ"} do
            assert.equal(files["index.html"], get(path).body, path)
        end
        for _, path in ipairs {"/nothing.js", "/assets/app-1.js", "/link.txt", "/.hidden/secret.txt", "/index.html.gz",
            "/assets/app-12345678.js.br", "/..%2findex.html"} do
            local r = get(path)
            assert.equal(404, r.status, path)
            assert.equal("not_found", r.json.code)
        end
        assert.equal("a file of its own", get("/whole.tar.gz").body)
        assert.equal(404, n:api("POST", "/", {body = ""}).status)
    end)

    it("answer HEAD with the head of GET and no bytes", function()
        local r = n:api("HEAD", "/", {headers = {"Accept-Encoding: gzip"}})
        assert.equal(200, r.status)
        assert.equal("gzip", r.headers["content-encoding"])
        assert.equal(tostring(#files["index.html.gz"]), r.headers["content-length"])
        assert.equal(200, n:api("GET", "/healthz").status)
    end)

    it("are all under one policy, which names the host that the page was asked from", function()
        for _, path in ipairs {"/", "/chat", "/assets/app-12345678.js", "/plain.txt", "/swagger", "/swagger.css"} do
            assert_policy(get(path), n.http_address)
        end
        local tag = get("/").headers.etag
        assert_policy(get("/", nil, {"If-None-Match: " .. tag}), n.http_address)
    end)

    it("take no policy from a request: a strange Host adds nothing", function()
        for _, host in ipairs {"a;script-src *", "a b", "a,b", "'unsafe-inline'", "x/y", ("h"):rep(300), "*"} do
            local r = assert(n:http():raw("GET / HTTP/1.1\r\nHost: " .. host .. "\r\nConnection: close\r\n\r\n"))
            if r.status == 200 then assert.equal("'self'", directives(r)["connect-src"], host) end
            assert.falsy(r.head:find(host, 1, true))
        end
        local r = assert(n:http():raw("GET / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n"))
        assert.equal("'self' ws://[::1]:8080 wss://[::1]:8080", directives(r)["connect-src"])
    end)

    it("have the API page beside them, from files of this node", function()
        local r = get("/swagger")
        assert.equal(200, r.status)
        assert.falsy(r.body:find("<style", 1, true))
        assert.falsy(r.body:find("<script>", 1, true))
        assert.falsy(r.body:find("//", 1, true))
        for name in r.body:gmatch('[ ][sh]re?[cf]="(/[^"]+)"') do assert.equal(200, get(name).status, name) end
        assert.truthy(get("/swagger.js").body:find("openapi.json", 1, true))
        assert.truthy(get("/swagger.css").body:find("{", 1, true))
    end)
end)

-- Whether the binary holds the client depends on how it was built: PARLEY_WEB says what is expected (yes, no), else both are fine.
describe("the page built into the node", function()
    local n
    setup(function() n = node.start() end)
    teardown(function() n:finish() end)

    it("is the web client, or says how to get it", function()
        local page = n:api("GET", "/")
        local has_client = page.body:find("/assets/", 1, true) ~= nil
        local expected = os.getenv("PARLEY_WEB")
        if expected then assert.equal(expected == "yes", has_client) end
        assert.equal(200, page.status)
        assert_policy(page, n.http_address)
        if not has_client then
            assert.truthy(page.body:find("tools/web", 1, true))
            assert.falsy(page.body:find("<script", 1, true))
            assert.falsy(page.body:find("<style", 1, true))
            return
        end
        local named = 0
        for name in page.body:gmatch('"(/assets/[^"]+)"') do
            named = named + 1
            local r = n:api("GET", name)
            assert.equal(200, r.status, name)
            assert.equal("public, max-age=31536000, immutable", r.headers["cache-control"])
            for accept, coding in pairs {br = "br", gzip = "gzip"} do
                local packed = n:api("GET", name, {headers = {"Accept-Encoding: " .. accept}})
                assert.equal(coding, packed.headers["content-encoding"], name)
                assert.truthy(#packed.body < #r.body)
            end
            local path = os.tmpname()
            write(path, n:api("GET", name, {headers = {"Accept-Encoding: gzip"}}).body)
            assert(os.execute(("gzip -dc < %s > %s.out"):format(path, path)))
            assert.equal(r.body, read(path .. ".out"))
            os.remove(path)
            os.remove(path .. ".out")
        end
        assert.truthy(named >= 1)
    end)
end)

describe("the policy of a node whose files are in S3", function()
    it("names the address where clients reach the store, and only that", function()
        local n = node.start {
            ["files.url"] = "s3://pictures?endpoint=http://127.0.0.1:9&public=https://files.example.com",
            ["files.s3_key"] = "key", ["files.s3_secret"] = "secret",
        }
        assert_policy(n:api("GET", "/"), n.http_address, "https://files.example.com")
        n:finish()
    end)
end)

describe("a web.dir that cannot be read", function()
    it("is a start-up error that names it", function()
        local dir = P.tmpdir()
        local process = assert(P.spawn(node.arguments(dir, {["web.dir"] = dir .. "/nothing"}), dir .. "/log"))
        assert.not_equal(0, process:wait(20000 * node.slow))
        assert.truthy(read(dir .. "/log"):find("web.dir: " .. dir .. "/nothing", 1, true))
        P.rmtree(dir)
    end)
end)
