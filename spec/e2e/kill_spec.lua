-- Actors of every class of a node are killed by chance (console: kill) while people chat: each caller gets an answer within its deadline,
-- nothing that was acknowledged is lost, and the node is whole afterwards. KILL_SEED gives a run again.
local P = require "parley_spec"
local attack = require "spec.support.attack"
local ctl = require "spec.support.ctl"
local node = require "spec.support.node"

local STEPS <const> = 500
local DEADLINE <const> = 10000 * node.slow
local seed = math.tointeger(tonumber(os.getenv("KILL_SEED") or "") or os.time())

-- those that are restarted in place: above 3 crashes in 10 s the node stops, as it should
local SERVICES <const> = {
    ["store writer"] = true, ["store reader"] = true, kv = true, stream = true, crypt = true, hub = true, seen = true, sweeper = true,
    script = true, ["script.reload"] = true, reporter = true, post = true,
}
local SPARED <const> = {console = true} -- it answers us

describe("a node whose actors are killed (KILL_SEED=" .. seed .. ")", function()
    local n, console, people, group
    local acked, answers, last_kill, kills = {}, {}, {}, {}

    setup(function()
        math.randomseed(seed)
        n = node.start {["admin.listen"] = "127.0.0.1:0", ["limits.ws_frames"] = "0", ["limits.ws_messages"] = "0"}
        people = {}
        for i = 1, 4 do people[i] = n:person() end
        group = people[1]:group({table.unpack(people, 2)}, "survivors")
        console = ctl.open(n)
    end)
    teardown(function()
        console:close()
        n:finish()
    end)

    local function count(t, key) t[key] = (t[key] or 0) + 1 end

    -- a class first, so that the few of one class are hit as often as the many of another
    local function kill_one()
        local by_class, names = {}, {}
        for _, a in ipairs((console:ask("actors --rows=500"))) do
            if not SPARED[a.class] then
                if not by_class[a.class] then names[#names + 1] = a.class end
                by_class[a.class] = by_class[a.class] or {}
                table.insert(by_class[a.class], a)
            end
        end
        table.sort(names)
        local class = names[math.random(#names)]
        local victim = by_class[class][math.random(#by_class[class])]
        local last = last_kill[victim.id]
        if SERVICES[class] and last and P.now() - last < 4000 then return end
        local _, word = console:text("kill " .. victim.id)
        if word == "ok" then
            last_kill[victim.id] = P.now()
            count(kills, class)
        end
    end

    -- a socket that was cut is opened again; that too has to come to an end
    local function socket_of(p)
        local till = P.now() + DEADLINE
        while not p.sock do
            local status
            p.sock, status = p:socket("d")
            assert(p.sock or P.now() < till, "no socket: " .. tostring(status))
            if not p.sock then P.pause(20) end
        end
        return p.sock
    end

    local function by_socket(p, cid)
        local sock = socket_of(p)
        sock:send {type = "message", id = cid, data = {conversation_id = group, client_msg_id = cid, content = cid}}
        local till = P.now() + DEADLINE
        repeat
            local m, why = sock:next(till - P.now())
            if not m then
                assert(why ~= "timeout", "no answer to " .. cid)
                p.sock:close()
                p.sock = nil
                return "cut"
            end
            if m.type == "message_ack" and m.data.client_msg_id == cid then
                acked[#acked + 1] = {m.data.message_id, m.data.seq, cid}
                return "ok"
            elseif m.type == "error" and (m.id == cid or m.data.client_msg_id == cid) then
                return m.data.code
            elseif m.type == "new_message" then
                sock:send {type = "ack", data = {conversation_id = group, seq = m.data.seq}}
            end
        until false
    end

    local function by_http(p, cid)
        local before = P.now()
        local r = p:post("/api/messages", {conversation_id = group, client_msg_id = cid, text = cid})
        assert(P.now() - before < DEADLINE, "late answer")
        if r.status == 200 then acked[#acked + 1] = {r.json.data.id, r.json.data.seq, cid} end
        return r.status
    end

    local function other(p)
        local before = P.now()
        local r = p:get(("/api/messages/history?conversation_id=%d&limit=5"):format(group))
        assert(P.now() - before < DEADLINE, "late answer")
        return "GET " .. r.status
    end

    it("answers every caller within its deadline", function()
        for step = 1, STEPS do
            local p = people[math.random(#people)]
            local cid = ("k%d.%d"):format(seed, step)
            if step % 4 == 0 then kill_one() end
            local dice = math.random(10)
            count(answers, tostring((dice <= 6 and by_socket or dice <= 9 and by_http or other)(p, cid)))
        end
        local total, list = 0, {}
        for class, k in pairs(kills) do
            total = total + k
            list[#list + 1] = class .. " " .. k
        end
        assert(total > STEPS / 20 and #list >= 8, "kills: " .. table.concat(list, ", "))
        local fine = (answers.ok or 0) + (answers["200"] or 0)
        assert(fine > STEPS / 3, "too few were served: " .. fine)
    end)

    it("has lost nothing that it acknowledged", function()
        local stored, seqs = {}, {}
        local all = node.eventually(function()
            local fine, list = pcall(people[1].history, people[1], group)
            return fine and list
        end)
        for _, m in ipairs(all) do
            assert(not seqs[m.seq], "seq twice")
            seqs[m.seq] = true
            stored[m.client_msg_id] = m
        end
        assert.truthy(#acked > 0)
        for _, a in ipairs(acked) do
            local m = assert(stored[a[3]], "lost: " .. a[3])
            assert.equal(a[2], m.seq)
        end
    end)

    it("serves everybody as before", function()
        for _, p in ipairs(people) do
            node.eventually(function() return p:post("/api/messages", {conversation_id = group,
                client_msg_id = "after" .. p.id, text = "after"}).status == 200 end)
        end
        for _, p in ipairs(people) do
            if p.sock then p.sock:close() end
            p.sock = nil
            local sock = socket_of(p)
            assert.equal("ok", by_socket(p, "last" .. p.id))
            sock:close()
        end
        local again = n:person()
        assert.equal(200, again:get("/api/users/me").status)
    end)
end)

describe("a node whose root fails", function()
    it("stops in order, with exit status 1 and a line that names the chain", function()
        local n = node.start {["admin.listen"] = "127.0.0.1:0"}
        local console = ctl.open(n)
        local a, b = n:person(), n:person()
        local chat = a:chat(b)
        a:say(chat, "kept", {cid = "kept"})
        local writer
        for _, x in ipairs((console:ask("actors --rows=500"))) do if x.class == "store writer" then writer = x.id end end
        for _ = 1, 20 do -- four within 10 s are enough
            pcall(console.text, console, "kill " .. writer)
            node.eventually(function()
                local fine, x = pcall(console.ask, console, "actor " .. writer)
                return not fine or (x.state == "idle" and x.restarts)
            end, 3000)
            if not attack.alive(n) then break end
        end
        local status = n.process:wait(20000 * node.slow)
        assert.equal(1, status)
        assert.truthy(n:log():find("the root fails: store writer key 0 (internal)", 1, true))
        n.client = nil
        n:up()
        assert.equal("kept", a:history(chat)[1].client_msg_id)
        n:finish()
    end)
end)

describe("a call whose shard is killed", function()
    it("leaves nobody busy: both may call and be called at once; calls_active forgets it", function()
        local n = node.start {["admin.listen"] = "127.0.0.1:0", ["script.shards"] = 1}
        local console = ctl.open(n)
        local function shard_of(service)
            local shards, at = {}
            for _, a in ipairs((console:ask("actors --rows=500"))) do
                if a.class == "script" then shards[#shards + 1] = a.id end
            end
            table.sort(shards) -- they were made in the order of the services
            for i, s in ipairs((console:ask("scripts"))) do if s.service == service then at = i end end
            return shards[at]
        end
        local function ring(c, callee)
            local m = c:ask("signaling", {action = "call", payload = {callee_id = callee.id, conversation_id = 0, call_type = "audio"}})
            return m.type == "signal_resp" and m.data.status or m.data.code
        end
        local people, socks = {}, {}
        for i = 1, 4 do
            people[i] = n:person()
            socks[i] = people[i]:socket("d")
        end
        assert.equal("ringing", ring(socks[1], people[2]))
        assert.equal("busy", ring(socks[3], people[2]))
        assert.equal("call_busy", ring(socks[1], people[4]))
        assert.equal(1, attack.metric(n, "calls_active"))
        local restarts = console:ask("actor " .. shard_of("call")).restarts or 0
        console:text("kill " .. shard_of("call"))
        assert.truthy(node.eventually(function()
            local a = console:ask("actor " .. shard_of("call"))
            return (a.restarts or 0) > restarts
        end))
        assert.truthy(node.eventually(function() return attack.metric(n, "calls_active") == 0 end))
        assert.equal("ringing", ring(socks[3], people[2]))
        assert.equal("ringing", ring(socks[1], people[4]))
        assert.equal(2, attack.metric(n, "calls_active"))
        for _, c in ipairs(socks) do c:close() end
        console:close()
        n:finish()
    end)
end)
