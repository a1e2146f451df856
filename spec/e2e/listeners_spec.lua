-- PROTOCOL.md sections 1, 2 and 16: what each listener serves, and the conventions of every answer.
local node = require "spec.support.node"
local http = require "spec.support.http"
local P = require "parley_spec"

describe("the listeners", function()
    local n, ops
    setup(function()
        n = node.start {["ops.token"] = "ops secret"}
        ops = http.new(n.ws_address)
    end)
    teardown(function() n:finish() end)

    it("[1] serve on 8080 exactly the paths of section 1", function()
        for path, status in pairs {
            ["/healthz"] = 200, ["/readyz"] = 200, ["/openapi.json"] = 200, ["/swagger"] = 200, ["/"] = 200,
            ["/login"] = 200, ["/chat"] = 200, ["/health"] = 404, ["/stats"] = 404, ["/nothing.js"] = 404,
            ["/api/nothing"] = 404, ["/api"] = 404, ["/HEALTHZ"] = 200,
        } do
            assert.equal(status, n:api("GET", path).status, path)
        end
    end)

    it("[1] serve on 8084 the health, ops and WebSocket paths only", function()
        for path, status in pairs {
            ["/health"] = 200, ["/healthz"] = 200, ["/stats"] = 200, ["/metrics"] = 200, ["/"] = 404,
            ["/readyz"] = 404, ["/api/users/me"] = 404, ["/openapi.json"] = 404, ["/__echo"] = 404,
        } do
            assert.equal(status, ops:request("GET", path).status, path)
        end
    end)

    it("[1] answer what nothing serves with a JSON 404 with code and request_id", function()
        local r = n:api("GET", "/api/nothing", {headers = {"X-Request-Id: abc-1"}})
        assert.equal(404, r.status)
        assert.equal("not_found", r.json.code)
        assert.equal("not found", r.json.error)
        assert.equal("abc-1", r.json.request_id)
        assert.equal("abc-1", r.headers["x-request-id"])
        r = n:api("POST", "/some/page", {body = "{}"})
        assert.equal(404, r.status)
        assert.truthy(r.json.request_id:match("^[%w%._%-]+$"))
    end)

    it("make a request id of their own when the one sent is not well-formed", function()
        local r = n:api("GET", "/healthz", {headers = {"X-Request-Id: has blank"}})
        assert.not_equal("has blank", r.headers["x-request-id"])
    end)

    it("answer a known path with another method 405 and Allow", function()
        local r = n:api("DELETE", "/api/auth/login")
        assert.equal(405, r.status)
        assert.equal("method_not_allowed", r.json.code)
        assert.truthy(r.headers.allow:find("POST", 1, true))
    end)

    it("ignore one trailing slash, and answer HEAD wherever GET is", function()
        assert.equal(401, n:api("GET", "/api/users/me/").status)
        local r = n:api("HEAD", "/healthz")
        assert.equal(200, r.status)
        assert.equal("15", r.headers["content-length"])
    end)

    it("[2] refuse ops paths to a peer behind a proxy, and to a wrong token", function()
        for _, path in ipairs {"/metrics", "/debug/anything"} do
            local r = n:api("GET", path, {headers = {"X-Forwarded-For: 127.0.0.1"}})
            assert.equal(403, r.status, path)
            assert.equal("forbidden", r.json.code)
            assert.equal(403, n:api("GET", path, {headers = {"Forwarded: for=127.0.0.1", "X-Ops-Token: wrong"}}).status)
        end
        assert.equal(403, ops:request("GET", "/stats", {headers = {"X-Forwarded-For: 127.0.0.1"}}).status)
        local r = n:api("GET", "/metrics", {headers = {"X-Forwarded-For: 1.2.3.4", "X-Ops-Token: ops secret"}})
        assert.equal(200, r.status)
        assert.equal(200, n:api("GET", "/metrics", {headers = {"X-Forwarded-For: 1.2.3.4", "Authorization: Bearer ops secret"}}).status)
    end)

    it("[2] refuse ops paths to a page whose own name leads to loopback, but not to the names of this machine", function()
        local function stats(host)
            local c = http.new(n.ws_address)
            local r = c:raw("GET /stats HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n")
            c:close()
            return r.status
        end
        for _, host in ipairs {"evil.example", "evil.example:8084", "127.0.0.1.evil.example", "localhost.evil.example"} do
            assert.equal(403, stats(host), host)
        end
        for _, host in ipairs {"127.0.0.1", "127.0.0.1:8084", "[::1]:8084", "localhost:8084", "LOCALHOST", "a.localhost:1", "a-host", ""} do
            assert.equal(200, stats(host), host)
        end
    end)

    it("[39] tell stats as one compact object with the three first keys in order", function()
        local r = ops:request("GET", "/stats")
        assert.truthy(r.body:match('^{"online_users":%d+,"total_connections":%d+,"total_messages":%d+'))
    end)

    it("tell every metric of section 16 with its TYPE line from the start", function()
        local body = n:api("GET", "/metrics").body
        for _, name in ipairs {"connections", "users_online", "handshakes_total", "closes_total", "frames_in_total",
            "frames_out_total", "messages_total", "message_ack_seconds", "push_seconds", "resends_total", "resyncs_total",
            "syncs_total", "queue_bytes", "rate_limited_total", "busy_total", "calls_active", "calls_total",
            "login_failures_total", "http_requests_total", "http_seconds", "build_info"} do
            assert.truthy(body:find("# TYPE parley_" .. name .. " ", 1, true), name)
        end
    end)

    it("send JSON compact, not cached, with its content type", function()
        local r = n:api("GET", "/api/users/me")
        assert.equal("application/json; charset=utf-8", r.headers["content-type"])
        assert.equal("no-store", r.headers["cache-control"])
        assert.falsy(r.body:find('": ', 1, true))
    end)

    it("keep static files inside their root", function()
        for _, path in ipairs {"/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd.txt", "/a/../../x.txt"} do
            local r = n:api("GET", path)
            assert.truthy(r.status == 404 or r.status == 400 or r.body:find("<!doctype html>", 1, true), path)
            assert.falsy(r.body:find("root:", 1, true))
        end
    end)

    it("answer two pipelined POSTs in order", function()
        local body = '{"username":"x","password":"y"}'
        local one = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
        local c = n:http()
        assert(c:connect():send(one .. one .. "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert.equal(400, c:read().status)
        assert.equal(400, c:read().status)
        assert.equal(200, c:read().status)
        c:close()
    end)

    it("take chunked bodies and Expect, refuse other encodings", function()
        local c = n:http()
        local r = c:raw("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
            .. "10\r\n{\"username\":\"x\",\r\nf\r\n\"password\":\"y\"}\r\n0\r\n\r\n")
        assert.equal(400, r.status)
        assert.truthy(r.body:find("invalid_credentials", 1, true))
        assert.equal(415, n:api("POST", "/api/auth/login", {body = "{}", headers = {"Content-Encoding: gzip"}}).status)
        c:close()
    end)

    for name, case in pairs {
        ["both lengths"] = "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        ["two lengths"] = "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        ["a signed length"] = "Content-Length: +2\r\n\r\n{}",
        ["a blank before the colon"] = "Content-Length : 2\r\n\r\n{}",
        ["a folded header"] = "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    } do
        it("refuse with 400 and close: " .. name, function()
            local c = n:http()
            local r = c:raw("POST /api/auth/login HTTP/1.1\r\nHost: a\r\n" .. case)
            assert.equal(400, r.status)
            assert.equal("close", r.headers.connection)
            c:close()
        end)
    end

    it("hold the limits of section 2, inclusive", function()
        local function line(bytes)
            local c = n:http()
            local r = c:raw("GET /healthz?" .. ("q"):rep(bytes - #"GET /healthz? HTTP/1.1") .. " HTTP/1.1\r\nHost: a\r\n\r\n")
            c:close()
            return r.status
        end
        assert.equal(200, line(32768))
        assert.equal(414, line(32769))
        local c = n:http()
        assert.equal(431, c:raw("GET /healthz HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(33000) .. "\r\n\r\n").status)
        c:close()
        c = n:http()
        assert.equal(413, c:raw("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n").status)
        c:close()
    end)

    it("refuse JSON that is too deep, not UTF-8, not whole or of a wrong type", function()
        local function login(body) return n:api("POST", "/api/auth/login", {body = body}).json.code end
        local deep = '{"username":"x","password":"y","z":' .. ("["):rep(31) .. ("]"):rep(31) .. "}"
        assert.equal("invalid_credentials", login(deep))
        assert.equal("bad_request", login((deep:gsub('"z":', '"z":[', 1) .. "]")))
        for _, body in ipairs {"", "[]", "{", '{"username":1,"password":"y"}', '{"username":"x"}', '{"username":"x","password":"\\ud800"}',
            '{"username":"x\\u0000","password":"y"}', '{"username":"\255","password":"y"}', '{"username":"x","password":"y"} x'} do
            local r = n:api("POST", "/api/auth/login", {body = body})
            assert.equal(400, r.status, body)
            assert.equal("bad_request", r.json.code, body)
            assert.equal("invalid request", r.json.error, body)
        end
    end)

    it("give CORS headers to nobody by default", function()
        assert.is_nil(n:api("GET", "/healthz", {headers = {"Origin: http://evil.example"}}).headers["access-control-allow-origin"])
    end)

    it("drop a half head without hurting others", function()
        local c = P.connect("127.0.0.1", n:http().port)
        c:send("GET /heal")
        assert.equal(200, n:api("GET", "/healthz").status)
        c:close(true)
        assert.equal(200, n:api("GET", "/healthz").status)
    end)
end)

describe("the start", function()
    local function refused(conf, word)
        local dir = P.tmpdir()
        local process = P.spawn(node.arguments(dir, conf), dir .. "/log")
        local status = process:wait(10000 * node.slow)
        local f = io.open(dir .. "/log")
        local log = f:read("a")
        f:close()
        P.rmtree(dir)
        assert.equal(2, status, log)
        assert.truthy(log:find(word, 1, true), log)
    end
    it("[3] is refused without auth.secret, or with a short one", function()
        refused({["auth.secret"] = ""}, "auth.secret")
        refused({["auth.secret"] = "short"}, "auth.secret")
    end)
    it("[3] is refused in open mode on a public address without ws.open_public", function()
        refused({["ws.mode"] = "open", ["ws.listen"] = "0.0.0.0:0"}, "ws.open_public")
    end)
    it("is refused with test.echo on a public address, an unknown key, a console on a public address", function()
        refused({["test.echo"] = "true", ["ws.listen"] = "0.0.0.0:0"}, "test.echo")
        refused({["no.such.key"] = "1"}, "no.such.key")
        refused({["admin.listen"] = "0.0.0.0:0"}, "admin.listen")
    end)
end)

describe("an address behind a trusted proxy", function()
    local n
    local function login_from(address, name)
        local body = {username = name, password = "wrong one"}
        return n:api("POST", "/api/auth/login", {headers = {"X-Forwarded-For: " .. address}, body = body}).status
    end
    teardown(function() n:finish() end)

    it("counts as its /64 if it is of IPv6: whoever has one has no new rate with each address", function()
        n = node.start {["http.trusted_proxies"] = "127.0.0.1", ["limits.auth_addr"] = "1/5"}
        local function first_refused(form)
            for i = 1, 100 do
                if login_from(form:format(i), "nobody" .. i) == 429 then return i end
            end
        end
        assert.truthy(first_refused "2001:db8:0:1::%x")
        assert.equal(400, login_from("2001:db8:0:2::1", "nobody"))
        assert.is_nil(first_refused "10.0.0.%d")
        n:finish()
    end)
    it("guesses no passwords from each address of its /64", function()
        n = node.start {["http.trusted_proxies"] = "127.0.0.1", ["auth.max_failures"] = "3"}
        for i = 1, 3 do assert.equal(400, login_from("2001:db8:0:1::" .. i, "lena")) end
        assert.equal(429, login_from("2001:db8:0:1::4", "lena"))
        assert.equal(400, login_from("2001:db8:0:2::4", "lena"))
        assert.equal(400, login_from("10.0.0.1", "lena"))
        assert.equal(400, login_from("10.0.0.2", "lena"))
    end)
end)
