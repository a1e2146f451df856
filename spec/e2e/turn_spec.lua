-- STUN and TURN servers of conf (PROTOCOL.md section 12) with a real server, coturn, set up as docs/turn.md says: what the parties of a
-- call are told opens a relay, each party with a login of its own, and nothing else does.
local node = require "spec.support.node"
local stun = require "spec.support.stun"
local P = require "parley_spec"

local SECRET <const>, OLD <const> = "shared with the relay only", "the secret before this one"

describe("TURN credentials", function()
    local dir, server, n, lena, tom, l1, t1
    if not stun.installed() then
        return it("[turn] a real server", function() pending "no turnserver here" end)
    end
    local function start(conf)
        conf["call.stun"] = "stun:127.0.0.1:" .. server.port
        conf["call.turn"] = ("turn:127.0.0.1:%d,turn:127.0.0.1:%d?transport=tcp"):format(server.port, server.port)
        conf["call.turn_secret"] = SECRET
        n = node.start(conf)
        lena, tom = n:person(), n:person()
        l1, t1 = lena:socket "l1", tom:socket "t1"
    end
    setup(function()
        dir = P.tmpdir()
        server = stun.server(dir, {
            "--use-auth-secret", "--static-auth-secret=" .. SECRET, "--static-auth-secret=" .. OLD, "--realm=example.org",
        })
    end)
    teardown(function()
        server.process:kill(15)
        server.process:wait()
        P.rmtree(dir)
    end)
    after_each(function()
        l1:close()
        t1:close()
        n:finish()
    end)

    -- What Lena and Tom are told when she rings him.
    local function ring()
        local m = l1:ask("signaling", {action = "call", payload = {callee_id = tom.id, conversation_id = 0, call_type = "video"}})
        assert.equal("signal_resp", m.type)
        local hers, his = m.data
        repeat -- the call before has ended for him, too
            local pushed = t1:push("signaling").data
            his = pushed.action == "incoming_call" and pushed.payload
        until his
        assert.same({1, 1}, {#hers.turn_servers, #his.turn_servers})
        assert.same(hers.stun_servers, his.stun_servers)
        return hers.turn_servers[1], his.turn_servers[1], hers.stun_servers
    end
    local function try(login)
        local c = stun.open(server.port)
        local relay, code = c:allocate(login)
        c:close()
        return relay, code
    end

    it("of a call open relays at the server, and its bytes pass from one party to the other", function()
        start {}
        local hers, his, stuns = ring()
        local now = os.time()
        assert.same({"stun:127.0.0.1:" .. server.port}, stuns)
        for who, told in pairs {[lena] = hers, [tom] = his} do
            assert.same({("turn:127.0.0.1:%d"):format(server.port), ("turn:127.0.0.1:%d?transport=tcp"):format(server.port)}, told.urls)
            local expiry, user = told.username:match "^(%d+):(%d+)$"
            assert.equal(who.id, math.tointeger(tonumber(user)))
            assert.truthy(math.abs(tonumber(expiry) - now - 6 * 3600) < 60)
            assert.equal(stun.credential(SECRET, told.username), told.credential)
        end
        local a, b = stun.open(server.port), stun.open(server.port)
        assert.truthy(a:binding())
        local at_a, at_b = assert(a:allocate(hers)), assert(b:allocate(his))
        a:permit(at_b)
        b:permit(at_a)
        for i = 1, 10 do
            a:relay(at_b, "to Tom " .. i)
            local bytes, from = b:datagram()
            assert.same({"to Tom " .. i, at_a}, {bytes, from})
            b:relay(at_a, "to Lena " .. i)
            assert.equal("to Lena " .. i, (a:datagram()))
        end
        assert.truthy(a:refresh())
        a:close()
        b:close()
    end)

    it("that somebody has changed open nothing", function()
        start {}
        local hers, his = ring()
        assert.truthy(try(hers))
        local function refused(username, credential)
            local relay, code = try {username = username, credential = credential}
            assert.same({nil, 401}, {relay, code}, username)
        end
        local expiry, user = hers.username:match "^(%d+):(%d+)$"
        refused(("%d:%s"):format(expiry + 1, user), hers.credential) -- a longer life
        refused(("%s:%d"):format(expiry, user + 1), hers.credential) -- another's name
        refused(his.username, hers.credential)
        refused(hers.username, hers.credential:sub(2) .. "A")
        refused(hers.username, "")
        refused("lena", SECRET)
        assert.truthy(try {username = hers.username, credential = stun.credential(OLD, hers.username)}) -- as while a secret is changed
        refused(hers.username, stun.credential("another secret of operators", hers.username))
    end)

    it("end with their time", function()
        start {["call.max"] = "1s", ["call.ring"] = "500ms", ["call.connect"] = "500ms", ["call.turn_ttl"] = "6s"}
        local hers = ring()
        local expiry = math.tointeger(tonumber(hers.username:match "^%d+"))
        assert.truthy(expiry - os.time() <= 6)
        assert.truthy(node.eventually(function() return os.time() > expiry + 1 end))
        local relay, code = try(hers)
        assert.same({nil, 401}, {relay, code})
        hers = ring()
        assert.truthy(try(hers)) -- those of the next call are good
    end)

    it("are in no log, no answer of the console and no list of settings", function()
        start {["admin.listen"] = "127.0.0.1:0", ["log.level"] = "debug"}
        local hers = ring()
        local p = assert(io.popen(("%s ctl --set data.dir=%s conf 2>&1"):format(os.getenv("PARLEYD") or "build/parleyd", n.dir)))
        local listed = p:read("a")
        assert.truthy(p:close(), listed)
        assert.truthy(listed:find("call.turn_secret", 1, true), listed)
        for _, text in ipairs {listed, n:log()} do
            assert.falsy(text:find(SECRET, 1, true))
            assert.falsy(text:find(hers.credential, 1, true))
        end
    end)
end)

describe("servers of conf", function()
    it("that no browser could read, or that lack credentials, keep the node from starting", function()
        local function fault(key, value)
            local dir = P.tmpdir()
            local process = assert(P.spawn(node.arguments(dir, {[key] = value}), dir .. "/log"))
            local status = process:wait(20000 * node.slow)
            local f = assert(io.open(dir .. "/log"))
            local text = f:read("a")
            f:close()
            P.rmtree(dir)
            assert.truthy(status and status ~= 0, tostring(status))
            return text
        end
        for key, value in pairs {
            ["call.stun"] = "http://stun.example.org", ["call.turn"] = "turn:turn.example.org", ["call.turn_secret"] = "short",
            ["call.turn_username"] = "alone", ["call.turn_credential"] = "alone too", ["call.turn_ttl"] = "1m30",
        } do
            local text = fault(key, value)
            assert.truthy(text:find("--set: " .. key .. ": ", 1, true), text)
        end
    end)
end)
