-- A rule that misbehaves is brought in live on a real node: its state grows without end, it floods the log, kv, the stream, other
-- servers, itself. Others are served within a second all the time, what the node holds stays bounded, and it can be taken back.
local P = require "parley_spec"
local attack = require "spec.support.attack"
local ctl = require "spec.support.ctl"
local node = require "spec.support.node"

local RUN_MS <const> = 2500
local VM_MIB <const>, SHARDS <const> = 16, 2

-- go runs every 20 ms on each shard, and never ends of its own will
local HEAD <const> = "local x = ('x'):rep(1000)\n"
local TAIL <const> = [[
return {
    name = "bomb", version = 1, init = function() return {n = 0} end,
    on = {go = go, calm = function() return "calm" end, post = post}, every = {{20, "go", each = true}},
}
]]
local QUIET <const> = "local function go() end\nlocal post\n"

-- text; how many MiB the node may hold for it
local ATTACKS <const> = {
    ["a state of tables that grows"] = {[[
local function go(state)
    state.list = state.list or {}
    while true do state.list[#state.list + 1] = {state.n} end
end
local post]], VM_MIB * SHARDS * 2},
    ["a state of texts that grows, held by pcall"] = {[[
local function go(state)
    state.list = state.list or {}
    for i = #state.list + 1, #state.list + 200 do pcall(function() state.list[i] = x:rep(5) .. i end) end
end
local post]], VM_MIB * SHARDS * 2},
    ["a state of keys that grows a little each time"] = {[[
local function go(state)
    for _ = 1, 2000 do state.n = state.n + 1 state["k" .. state.n] = state.n end
end
local post]], VM_MIB * SHARDS * 2},
    ["a flood of log lines"] = {"local function go() while true do log.info(x) end end\nlocal post\n", 16},
    ["a flood of kv keys"] = {[[
local function go(state)
    while true do
        state.n = state.n + 1
        pcall(kv.set, "bomb" .. state.n, x:rep(60))
    end
end
local post]], 300}, -- kv holds 256 MiB
    ["a flood of events, to one topic after the other"] = {[[
local function go(state)
    while true do
        state.n = state.n + 1
        stream.append("bomb" .. state.n % 40, state.n, {x = x:rep(500)})
    end
end
local post]], 260}, -- the stream holds 128 MiB, as much may be on its way
    ["a flood of requests to a server that is not there, or is this node"] = {[[
local function post(state, req)
    while true do pcall(http.post, req.n % 2 == 0 and "http://127.0.0.1:1/" or "http://ADDRESS/healthz", {}, x) end
end
local function go()
    for n = 1, 200 do pcall(send, "bomb", "post", n, {n = n}) end
end
]], 48},
    ["a flood of its own timers and messages"] = {[[
local function post() end
local function go()
    while true do
        pcall(after, 0, "post")
        pcall(send, "bomb", "post", 1)
    end
end
]], 48},
}

describe("a rule that floods", function()
    local n, dir, console
    before_each(function()
        dir = P.tmpdir()
        local f = assert(io.open(dir .. "/bomb.lua", "w"))
        f:write(HEAD, QUIET, TAIL)
        f:close()
        n = node.start {["script.dir"] = dir, ["script.memory"] = VM_MIB .. "MiB", ["script.shards"] = SHARDS,
            ["admin.listen"] = "127.0.0.1:0", ["limits.ws_messages"] = "0", ["limits.ws_frames"] = "0"}
        console = ctl.open(n)
    end)
    after_each(function()
        console:close()
        n:finish()
        P.rmtree(dir)
    end)

    local function bring_in(text)
        local f = assert(io.open(dir .. "/bomb.lua.new", "w"))
        f:write(HEAD, text, "\n", TAIL)
        f:close()
        assert(os.rename(dir .. "/bomb.lua.new", dir .. "/bomb.lua"))
        console:insist("reload bomb", "serves")
    end

    for what, a in pairs(ATTACKS) do
        it(what .. ": others are served, memory is bounded, a rollback ends it", function()
            local ann, bob = n:person(), n:person()
            local chat = ann:chat(bob)
            local before, most = attack.memory(n), 0
            bring_in((a[1]:gsub("ADDRESS", n.http_address)))
            attack.beside(n, function()
                local till = P.now() + RUN_MS
                while P.now() < till do
                    most = math.max(most, attack.memory(n) - before)
                    P.pause(50)
                end
                -- also who needs scripts of their own: a login, a chat
                local new = n:person()
                assert.truthy(new:chat(ann) > 0)
                ann:say(chat, "meanwhile")
            end)
            assert.truthy(most < a[2] * attack.heavy, ("%.1f MiB more"):format(most))
            assert.truthy(attack.alive(n))
            assert.truthy(#n:log() < 8 << 20, "the log fills the disk") -- 1.4 GB without limits.script_log
            console:insist("rollback bomb", "serves")
            assert.equal("meanwhile", bob:history(chat)[1].body.text.text)
            assert.equal(200, n:api("GET", "/healthz").status)
            if os.getenv("SPEC_FIGURES") then print(("  %-66s +%.1f MiB"):format(what, most)) end
        end)
    end
end)
