-- schema/sqlite/ops/message.sql on a real SQLite: what connections read and write of messages themselves.
local fake = require "spec.lua.fake"

describe("the operations of device acks", function()
    local w
    local function save(device, acks, now, keep)
        w:op("device_seen", {user = 7, device = device, now = now or 1000})
        w:op("acks_save", {user = 7, device = device, acks = acks})
        w:op("acks_save_own", {user = 7, device = device, acks = acks})
        w:op("acks_forget", {user = 7, oldest = 100, keep = keep or 32})
        w:op("devices_forget", {user = 7, oldest = 100, keep = keep or 32})
    end
    local function acked(device)
        local out = {}
        for _, a in ipairs(w:op("replay_points", {user = 7, device = device, oldest = 0})) do out[a.conversation] = a.start end
        return out
    end

    before_each(function()
        w = fake.new()
        for id = 1, 3 do
            w:sql(("INSERT INTO conversation (id, type, member_limit, created_ms) VALUES (%d, 2, 500, 1)"):format(id))
            for seq = 1, 10 do
                w:sql(([[INSERT INTO message (conversation, seq, sender, client_msg_id, at_ms, type, content)
                    VALUES (%d, %d, 8, 'c%d', %d, 1, '{}')]]):format(id, seq, seq, id * 100 + seq))
            end
        end
        for id = 1, 2 do w:sql(("INSERT INTO member (conversation, user, joined_ms) VALUES (%d, 7, 1)"):format(id)) end
    end)

    it("keep the highest ack, cut to the newest seq, of own conversations only", function()
        save("a", "[[1,4,0],[3,5,0]]")
        save("a", "[[1,2,0],[2,99,0]]")
        assert.same({[1] = 4}, acked("a")) -- 2 is acked to its end, 3 is not the user's
    end)

    it("count own sends only where everything below is acked", function()
        save("a", "[[1,4,0],[2,4,0]]")
        save("a", "[[1,6,5],[2,8,7]]")
        assert.same({[1] = 6, [2] = 4}, acked("a"))
        w:op("ack_own_send", {user = 7, device = "a", conversation = 1, seq = 7})
        w:op("ack_own_send", {user = 7, device = "a", conversation = 2, seq = 7})
        assert.same({[1] = 7, [2] = 4}, acked("a"))
    end)

    it("a device without acks starts at the furthest of any device, or at what the user has read", function()
        save("a", "[[1,4,0]]")
        save("b", "[[1,6,0]]")
        w:sql("UPDATE member SET read_seq = 3 WHERE conversation = 2")
        assert.same({[1] = 6, [2] = 3}, acked("c"))
    end)

    it("remember the devices seen last, and none that was not seen for long", function()
        save("old", "[[1,9,0]]", 50)
        for i = 1, 3 do save("d" .. i, "[[1," .. i .. ",0]]", 1000 + i, 2) end
        assert.same({[1] = 3, [2] = 0}, acked("old"))
        assert.same({[1] = 3, [2] = 0}, acked("d1"))
        assert.same({[1] = 2, [2] = 0}, acked("d2"))
    end)

    it("claims are cut to the newest seq, those of others dropped", function()
        local rows = w:op("acks_claim", {user = 7, claims = "[[1,99],[2,3],[3,1],[77,1]]"})
        assert.same({{1, 10}, {2, 3}}, {{rows[1].conversation, rows[1].seq}, {rows[2].conversation, rows[2].seq}})
        assert.equal(2, #rows)
    end)

    it("ranges come in the order asked for, each by rising seq, a recall with its change", function()
        w:sql("UPDATE message SET recalled = 1 WHERE conversation = 1 AND seq = 2")
        w:sql("INSERT INTO change SELECT 1, 1, 'recall', id, seq, 8, 5 FROM message WHERE conversation = 1 AND seq = 2")
        local out = {}
        for _, m in ipairs(w:op("message_ranges_recalls", {user = 7, ranges = "[[2,3,4],[1,1,3],[3,1,9]]"})) do
            out[#out + 1] = ("%d.%d%s"):format(m.conversation, m.seq, m.change and " change " .. m.change or "")
        end
        assert.same({"2.3", "2.4", "1.1", "1.2 change 1", "1.3"}, out)
    end)

    it("history is for members: no row for anybody else", function()
        assert.equal(10, w:op("history_latest", {user = 7, conversation = 1})[1].latest)
        assert.equal(0, #w:op("history_latest", {user = 7, conversation = 3}))
        assert.equal(0, #w:op("history_latest", {user = 7, conversation = 77}))
    end)
end)
