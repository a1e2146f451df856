-- wsbench: it judges a node rightly, and its words are what a script can rely on.
local P = require "parley_spec"
local node = require "spec.support.node"
local fake = require "spec.support.fake_chat"
local json = require "spec.support.json"

local dir

--- Starts wsbench with these flags {name = value}: the process.
local function start(set, mode)
    local args = {"build/wsbench", "--output", "json", "--mode", mode or "messaging"}
    for k, v in pairs(set) do args[#args + 1] = ("--%s=%s"):format(k, v) end
    return assert(P.spawn(args, dir .. "/stderr"))
end

local function stderr()
    local f = assert(io.open(dir .. "/stderr"))
    local text = f:read("a")
    f:close()
    return text
end

--- Runs it to its end: exit status, the result, what else was on stdout.
local function run(set, mode)
    local process = start(set, mode)
    local line = process:line(120000 * node.slow) -- connections that take as long as its time make it go on for a minute more
    local more = process:line(20000)
    local status = process:wait(20000)
    return status, line and json.decode(line), more
end

setup(function() dir = P.tmpdir() end)
teardown(function() P.rmtree(dir) end)

describe("wsbench against a node", function()
    local n
    setup(function()
        n = node.start {["ws.mode"] = "open", ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
    end)
    teardown(function() n:finish() end)

    local function flags(set)
        set.target, set.http = "ws://" .. n.ws_address .. "/ws", "http://" .. n.http_address
        return set
    end

    it("connects, pings and ends with status 0, and nothing but one line of JSON on stdout", function()
        local status, r, more = run(flags {conns = 40, ramp = "400ms", duration = "5s", ["ping-interval"] = "200ms"}, "connect-only")
        assert.equal(0, status, stderr())
        assert.is_nil(more)
        assert.equal("ok", r.result)
        assert.equal(40, r.success_conns)
        assert.equal(0, r.failed_conns + r.disconnects)
        assert.is_true(r.pongs_received >= 40 and r.pongs_received <= r.pings_sent)
        assert.equal("", stderr())
    end)

    it("sends the reference tool's bare messages and takes their errors as frames", function()
        local status, r = run(flags {conns = 10, ramp = "100ms", duration = "3s", ["msg-rate"] = 600}, "raw")
        assert.equal(0, status, stderr())
        assert.is_true(r.messages_sent >= 10 and r.other_frames >= 20)
    end)

    it("checks every message of pairs in a closed loop", function()
        local status, r = run(flags {conns = 8, inflight = 4, duration = "500ms", prefix = "pair"})
        assert.equal(0, status, stderr())
        assert.is_true(r.messages_acked > 8)
        assert.equal(r.messages_sent, r.messages_acked)
        assert.equal(r.messages_acked, r.messages_delivered + r.found_by_sync)
        assert.is_true(r.ack_p50_ms > 0 and r.ack_p50_ms <= r.ack_p99_ms and r.ack_p99_ms <= r.ack_max_ms)
    end)

    it("delivers a group's messages to all others, in an open loop, over several processes", function()
        local status, r = run(flags {conns = 20, ["group-size"] = 5, senders = 2, ["msg-rate"] = 1200, duration = "500ms",
            processes = 2, prefix = "group"})
        assert.equal(0, status, stderr())
        assert.is_true(r.messages_acked >= 8 * 9) -- 8 senders, 10 each
        assert.equal(r.messages_acked * 4, r.messages_delivered + r.found_by_sync)
    end)

    it("sends by HTTP", function()
        local status, r = run(flags {conns = 4, via = "http", inflight = 1, duration = "300ms", prefix = "http"})
        assert.equal(0, status, stderr())
        assert.is_true(r.messages_acked >= 4)
        assert.equal(r.messages_acked, r.messages_delivered + r.found_by_sync)
    end)

    it("logs its users in when they exist already, and counts from the seqs that are there", function()
        local set = {conns = 2, inflight = 1, duration = "200ms", prefix = "again"}
        assert.equal(0, (run(flags(set))), stderr())
        local status, r = run(flags(set))
        assert.equal(0, status, stderr())
        assert.is_true(r.messages_acked > 0)
    end)

    it("counts refused messages and fails", function()
        local slow = node.start {["limits.ws_messages"] = "1/1"}
        local status, r = run {conns = 2, inflight = 8, duration = "200ms", prefix = "slow",
            target = "ws://" .. slow.ws_address .. "/ws", http = "http://" .. slow.http_address}
        slow:finish()
        assert.equal(1, status)
        assert.equal("failed", r.result)
        assert.is_true(r.messages_refused > 0)
        assert.is_truthy(stderr():find("rate limit exceeded", 1, true))
    end)
end)

describe("wsbench against a server that breaks its promises", function()
    local function judge(twist)
        local server = fake.new(twist)
        local process = start {target = "ws://" .. server.address .. "/ws", http = "http://" .. server.address, conns = 4, inflight = 2,
            duration = "1s", settle = "3s"}
        local status = server:serve(process)
        server:close()
        local line = process:line(20000)
        return status, line and json.decode(line)
    end
    local function third(what)
        return function(m) return m.seq == 3 and what or nil end
    end

    it("is content when nothing is wrong", function()
        local status, r = judge()
        assert.equal(0, status, stderr())
        assert.is_true(r.messages_acked >= 8)
        assert.equal(r.messages_acked, r.messages_delivered)
    end)
    it("fetches by sync what no push brought", function()
        local status, r = judge(third "drop")
        assert.equal(0, status, stderr())
        assert.equal(2, r.found_by_sync) -- one in each of two chats
    end)
    for what, figure in pairs {lose = "lost", double = "duplicates", late = "disorder", corrupt = "corrupt", ["no ack"] = "unacked",
        ["same seq"] = "duplicates"} do
        it("fails: " .. what, function()
            local status, r = judge(third(what))
            assert.equal(1, status)
            assert.equal("failed", r.result)
            assert.is_true(r[figure] > 0, json.encode(r))
        end)
    end
    it("fails when a socket cannot be opened", function()
        local status, r = run({target = "ws://127.0.0.1:1/ws", conns = 2, ramp = "1ms", duration = "2s", retry = 1,
            ["retry-delay"] = "1ms"}, "connect-only")
        assert.equal(1, status)
        assert.equal(2, r.failed_conns)
        assert.equal(2, r.retries)
    end)
end)

describe("wsbench flags", function()
    local function status(...)
        local process = assert(P.spawn({"build/wsbench", ...}, dir .. "/stderr"))
        return process:wait(120000)
    end
    it("tells wrong ones by status 2 and by name", function()
        assert.equal(2, status("--conn", "3"))
        assert.is_truthy(stderr():find("--conn", 1, true))
        assert.equal(2, status("--conns", "many"))
        assert.is_truthy(stderr():find("conns: many", 1, true))
        assert.equal(2, status("-mode=fast"))
        assert.equal(2, status("--target", "ws://localhost:1/ws?user_id=1"))
        assert.equal(2, status("--target", "http://localhost:1/ws"))
        assert.equal(2, status("surplus"))
    end)
    it("takes one dash or two, with = or a word, those of the reference tool included", function()
        assert.equal(1, status("-target", "ws://127.0.0.1:1/ws", "--conns=1", "-ramp=1ms", "-duration", "2s", "-retry=0",
            "--read-buffer", "8192",
            "-write-buffer=8192", "-auth-mode", "none", "-token-file=", "--user-file", "", "-verbose", "--output", "json"))
    end)
    it("helps with status 0", function() assert.equal(0, status("--help")) end)
end)
