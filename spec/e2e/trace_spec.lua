-- One chat message of a real node, followed by the console from its frame to the sockets: each hop, how long it waited, how long it ran.
local P = require "parley_spec"
local console = require "spec.support.console"
local json = require "spec.support.json"
local node = require "spec.support.node"

describe("trace on a node", function()
    local n, lena, other, ann, bob, chat, phone, desk
    local sent = 0
    setup(function()
        local dir = P.tmpdir()
        console.account(dir, "lena", "read")
        n = node.start({["admin.listen"] = "127.0.0.1:0"}, dir)
        lena, other = console.login(n), console.login(n)
        ann, bob = n:person(), n:person()
        chat = ann:chat(bob)
        phone, desk = ann:socket("phone"), bob:socket("desk")
        ann:say(chat, "before") -- the facts are read
        phone:push("new_message")
        desk:push("new_message")
    end)
    teardown(function()
        lena:close()
        other:close()
        n:finish()
    end)

    -- What the console says about the one message that ann's phone sends when it is armed. The console's thread reads its clients in
    -- turn: after two answers to another one it has read this line.
    local function trace(line)
        lena:send(line .. "\n")
        for _ = 1, 2 do other:run("version") end
        sent = sent + 1
        local cid = "t" .. sent
        phone:send {type = "message", id = cid, data = {conversation_id = chat, client_msg_id = cid, content = "hello"}}
        local ack = phone:want("message_ack")
        assert.equal(cid, ack.data.client_msg_id)
        assert.equal(cid, desk:push("new_message").data.client_msg_id)
        return (assert(lena:expect("parley> ", 20000)):sub(1, -#"parley> " - 1))
    end

    -- The hop caused by `after` (a hop, or 0) that goes from one class to another.
    local function hop(all, after, kind, from, to)
        for _, h in ipairs(all) do
            if h.after == (after == 0 and 0 or after.hop) and h.is == kind and h.from:find(from, 1, true) == 1 and
                h.to:find(to, 1, true) == 1 then
                return h
            end
        end
        error(("no %s from %s to %s in %s"):format(kind, from, to, json.encode(all)))
    end

    local function check_way(all, before)
        local room = "conversation " .. chat
        local ask = hop(all, before, "request", "conn", room)
        local write = hop(all, ask, "request", room, "store writer")
        local stored = hop(all, write, "reply", "store writer", room)
        local ack = hop(all, ask, "reply", room, "conn")
        local fan_out = hop(all, stored, "message", room, "hub")
        local pushes = 0
        for _, h in ipairs(all) do
            if h.is == "visit" and h.to:find("^conn") and h.from:find("^hub") then pushes = pushes + 1 end
            assert.equal("ok", h.result)
            assert.truthy(h.at_us >= 0 and h.queue_us >= 0 and h.run_us >= 0 and h.worker >= 0)
        end
        hop(all, fan_out, "visit", "hub", "conn")
        assert.truthy(pushes >= 1)
        -- each begins when what caused it has come: its wait and its run are of this very hop
        assert.truthy(write.at_us >= ask.at_us and stored.at_us >= write.at_us + write.queue_us)
        assert.truthy(ack.at_us >= stored.at_us, "the sender hears of it when it is stored")
        assert.truthy(write.run_us > 0, "a commit takes its time")
        assert.equal(2, write.worker, "the writer has a thread of its own, behind the two workers")
    end

    it("follows what reaches a conversation: through the store, to the ack and to the pushes", function()
        check_way(json.decode(trace(("trace conversation %d --json"):format(chat))), 0)
    end)

    it("follows what comes from a user's socket, its frame first", function()
        local all = json.decode(trace(("trace user %d --json"):format(ann.id)))
        local ids = {}
        assert.truthy(node.eventually(function() -- until each worker answers in its second
            local rows = other:json("conns " .. ann.id)
            for _, c in ipairs(rows) do ids["conn " .. c.id] = c.device end
            return not rows.workers_without_answer
        end))
        local frame = hop(all, 0, "message", "outside", "conn")
        assert.equal("phone", ids[frame.to], "the sockets go by their numbers in `conns`")
        check_way(all, frame)
    end)

    it("shows the same as text: who follows from whom, each with its wait and its run", function()
        for _, what in ipairs {"conversation " .. chat, "user " .. ann.id} do
            local text = trace("trace " .. what)
            assert.truthy(text:find("^%s*TRACE +HOP +AFTER +AT +TO +FROM +VERB +IS +QUEUE +RUN +WORKER +RESULT"), text)
            local indent, at = {}, 0
            for _, pattern in ipairs {"conversation %d+ +conn %d+", "store writer %d+ +conversation %d+",
                "conversation %d+ +store writer %d+", "conn %d+ +conversation %d+", "hub %d+ +conversation %d+", "conn %d+ +hub %d+"} do
                local from = assert(text:find("\n[^\n]-" .. pattern, at + 1), pattern .. "\n" .. text)
                local line = text:sub(from + 1):match("^[^\n]*")
                assert.truthy(line:find("%l+ +[%d.]+ %a+ +[%d.]+ %a+ +%d+ +ok%s*$"), line)
                indent[#indent + 1] = line:find(pattern)
                at = from
            end
            assert.truthy(indent[1] < indent[2] and indent[2] < indent[3] and indent[4] < indent[3] and indent[5] < indent[6])
        end
    end)

    it("tells nobody's message when none comes", function()
        assert.equal("not_found", lena:json(("trace user %d --wait=1"):format(bob.id), 10000).code)
        assert.truthy(lena:run("trace conversation 424242 --wait=1", 10000):find("no message came", 1, true))
    end)
end)
