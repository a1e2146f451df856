-- schema/sqlite/ops/file.sql on a real SQLite: quota, states, who may read a file.
local fake = require "spec.lua.fake"

describe("the operations of files", function()
    local w
    local function ticket(user, size, more)
        local p = {user = user, name = "a", type = "image/png", kind = "image", size = size, part_size = 0, now = 1000,
            ["until"] = 2000, quota = 100, open_max = 3}
        for key, value in pairs(more or {}) do p[key] = value end
        local rows = w:op("file_ticket", p)
        return rows and math.tointeger((w:sql("SELECT max(id) FROM file"):fetch()))
    end
    local function used(user)
        local row = w:op("file_use", {user = user})[1]
        return {row.bytes, row.files}
    end
    local function ready(id, more)
        local p = {id = id, etag = '"e"', width = 1, height = 2, duration = 0, thumbnail = 0}
        for key, value in pairs(more or {}) do p[key] = value end
        return w:op("file_ready", p)
    end
    local function readable(user, id)
        local row = w:op("file_readable", {user = user, id = id})[1]
        return row and row.readable == 1
    end
    local function message(conversation, seq, type, content)
        w:sql(([[INSERT INTO message (conversation, seq, sender, client_msg_id, at_ms, type, content)
            VALUES (%d, %d, 1, 'c%d', 1, %d, '%s')]]):format(conversation, seq, seq, type, content))
    end

    before_each(function() w = fake.new() end)

    it("refuse what is beyond the quota or the number of open uploads, and count what goes", function()
        local a = ticket(1, 60)
        assert.is_nil(ticket(1, 41))
        local b = ticket(1, 40)
        assert.same({100, 2}, used(1))
        assert.same({0, 0}, used(2))
        assert.truthy(w:op("file_abort", {id = a}))
        assert.same({40, 1}, used(1))
        w:op("file_abort", {id = a}) -- again: counted once
        w:op("file_delete", {id = a})
        assert.same({40, 1}, used(1))
        w:op("file_delete", {id = b}) -- open: stays
        assert.same({40, 1}, used(1))
        for _ = 1, 2 do assert.truthy(ticket(1, 1)) end
        assert.is_nil(ticket(1, 1)) -- three are open
        ready(b)
        assert.truthy(ticket(1, 1))
        assert.truthy(ticket(2, 1 << 40, {quota = 0}))
    end)

    it("know no way back from ready or aborted", function()
        local a, b = ticket(1, 1), ticket(1, 1)
        assert.truthy(w:op("file_whole", {id = a, etag = "x", ["until"] = 3000}))
        assert.truthy(ready(a))
        assert.is_nil((ready(a)))
        assert.is_nil((w:op("file_abort", {id = a})))
        assert.is_nil((w:op("file_upload", {id = a, upload = "u"})))
        w:op("file_abort", {id = b})
        assert.is_nil((ready(b)))
        assert.is_nil((w:op("file_whole", {id = b, etag = "x", ["until"] = 3000})))
    end)

    it("tell what has expired, and never a ready one", function()
        local a, b, c = ticket(1, 1), ticket(1, 1), ticket(1, 1, {["until"] = 9000})
        ready(b)
        local rows = w:op("file_expired", {now = 5000, limit = 10})
        assert.same({1, a}, {#rows, rows[1].id})
        assert.equal(2, #w:op("file_expired", {now = 9000, limit = 10}))
        assert.equal(1, #w:op("file_expired", {now = 9000, limit = 1}))
        assert.truthy(c)
    end)

    it("let the owner read, and members of a conversation with a live message that holds it, or its film", function()
        local a, film = ticket(1, 1), ticket(1, 1)
        assert.is_nil(readable(1, a)) -- not ready
        ready(a)
        ready(film, {thumbnail = a})
        assert.truthy(readable(1, a))
        assert.falsy(readable(2, a))
        for id = 1, 2 do
            w:sql(("INSERT INTO conversation (id, type, member_limit, created_ms) VALUES (%d, 2, 500, 1)"):format(id))
            w:sql(("INSERT INTO member (conversation, user, joined_ms) VALUES (%d, %d, 1)"):format(id, id + 1))
        end
        message(1, 1, 2, '{"image":{"file_id":' .. a .. '}}')
        message(1, 2, 1, '{"text":{"text":"{\\"file_id\\":' .. film .. '}"}}')
        assert.truthy(readable(2, a))
        assert.falsy(readable(3, a))
        assert.falsy(readable(2, film))
        w:sql "UPDATE message SET content = '{}', recalled = 1 WHERE seq = 1"
        assert.falsy(readable(2, a))
        message(2, 1, 5, '{"video":{"file_id":' .. film .. '}}')
        assert.truthy(readable(3, film))
        assert.truthy(readable(3, a)) -- its preview
        assert.falsy(readable(2, a))
        w:sql "DELETE FROM member WHERE conversation = 2"
        assert.falsy(readable(3, a))
    end)

    it("read no table from end to end, however many files and messages there are", function()
        local file = assert(io.open("schema/sqlite/ops/file.sql"))
        local count = 0
        for name, sql in file:read("a"):gmatch("%-%- name: ([%w_]+) [^\n]*\n(.-);") do
            count = count + 1
            local cursor = assert(w:sql("EXPLAIN QUERY PLAN " .. sql:gsub(":[%a_]+", "1")), name)
            local row = cursor:fetch({}, "a")
            while row do
                assert.falsy(row.detail:find("^SCAN") and row.detail ~= "SCAN CONSTANT ROW", name .. ": " .. row.detail)
                row = cursor:fetch({}, "a")
            end
            cursor:close()
        end
        file:close()
        assert.truthy(count >= 10)
    end)

    it("find the messages of a file by an index", function()
        local plan = w:sql("EXPLAIN QUERY PLAN SELECT 1 FROM message_file_of x WHERE x.file = 7"):fetch({}, "a")
        assert.truthy(plan.detail:find("USING INDEX message_file ", 1, true), plan.detail)
    end)
end)
