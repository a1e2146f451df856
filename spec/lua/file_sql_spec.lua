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
        local p = {id = id, etag = '"e"', width = 1, height = 2, duration = 0, thumbnail = 0, look = 5000}
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

    -- ---- what nothing holds ----

    local function state(id)
        local row = w:sql("SELECT state, look_ms FROM file WHERE id = " .. id):fetch({}, "a")
        return row and {row.state, math.tointeger(row.look_ms)}
    end
    local function due(at)
        local list = {}
        for _, row in ipairs(w:op("file_due", {now = at, limit = 10})) do list[#list + 1] = row.id end
        return list
    end
    local function keep(at) w:op("file_keep", {now = at, limit = 10}) end
    local function recall(conversation, seq)
        local where = ("conversation = %d AND seq = %d AND recalled = 0"):format(conversation, seq)
        w:sql("UPDATE message SET content = '{}', recalled = 1 WHERE " .. where)
    end

    it("look at a finished file after its time, and keep what a message holds", function()
        local a, b = ticket(1, 1), ticket(1, 1)
        ready(a)
        ready(b)
        message(1, 1, 2, '{"image":{"file_id":' .. a .. '}}')
        keep(4999)
        assert.same({}, due(4999))
        keep(5000)
        assert.same({b}, due(5000))
        assert.same({"ready", 0}, state(a))
        assert.same({{"ready", 5000}, {2, 2}}, {state(b), used(1)})
        w:op("file_loosen", {id = b, look = 5000, ["until"] = 6000})
        assert.same({"loose", 6000}, state(b))
        assert.is_nil(readable(1, b)) -- no message may name it
        assert.same({}, w:op("file_expired", {now = 9000, limit = 10}))
        w:op("file_leave", {id = b, look = 6000, now = 6000})
        assert.same({"aborted", 0}, state(b))
        assert.same({1, 1}, used(1))
        assert.equal(b, w:op("file_expired", {now = 6000, limit = 10})[1].id)
        w:op("file_loosen", {id = a, look = 0, ["until"] = 6000}) -- it is held
        assert.same({"ready", 0}, state(a))
    end)

    it("notice a recall, and keep a file while another message holds it, in whatever state it is", function()
        local a = ticket(1, 1)
        ready(a)
        message(1, 1, 2, '{"image":{"file_id":' .. a .. '}}')
        message(2, 1, 2, '{"image":{"file_id":' .. a .. '}}')
        message(2, 2, 1, '{"text":{"text":"x"}}')
        keep(5000)
        recall(2, 2)
        assert.same({"ready", 0}, state(a))
        recall(1, 1)
        assert.same({"ready", 1}, state(a))
        keep(5000)
        assert.same({"ready", 0}, state(a))
        recall(2, 1)
        keep(5000)
        assert.same({a}, due(5000))
        w:op("file_wait", {id = a, ["until"] = 7000})
        assert.same({"ready", 7000}, state(a))
        w:op("file_loosen", {id = a, look = 7000, ["until"] = 8000})
        -- a message that was on its way all the time
        message(3, 1, 2, '{"image":{"file_id":' .. a .. '}}')
        w:op("file_leave", {id = a, look = 8000, now = 8000})
        assert.same({"loose", 8000}, state(a))
        keep(8000)
        assert.same({"ready", 0}, state(a))
        assert.truthy(readable(1, a))
        -- let go of while it is loose: from the start again
        w:sql("UPDATE file SET state = 'loose', look_ms = 9000 WHERE id = " .. a)
        recall(3, 1)
        w:op("file_leave", {id = a, look = 9000, now = 9000})
        w:op("file_wait", {id = a, ["until"] = 9500})
        assert.same({"ready", 9500}, state(a))
    end)

    it("keep pictures of users and groups, and previews, until another stands there", function()
        local mine, ours, preview, film = ticket(1, 1), ticket(1, 1), ticket(1, 1), ticket(2, 1)
        for _, id in ipairs {mine, ours, preview} do ready(id) end
        ready(film, {thumbnail = preview})
        w:sql(("INSERT INTO user (id, username, created_ms, avatar_url) VALUES (1, 'a', 1, '/api/files/blob/%d')"):format(mine))
        w:sql("INSERT INTO conversation (id, type, member_limit, created_ms) VALUES (1, 2, 5, 1)")
        w:sql(("UPDATE conversation SET avatar_url = '/api/files/blob/%d'"):format(ours))
        message(1, 1, 5, '{"video":{"file_id":' .. film .. '}}')
        keep(5000)
        assert.same({}, due(5000))
        w:sql "UPDATE user SET avatar_url = avatar_url, display_name = 'A'"
        assert.same({}, due(5000))
        w:sql "UPDATE user SET avatar_url = ''"
        assert.same({mine}, due(5000))
        w:sql "UPDATE conversation SET avatar_url = 'http://elsewhere/x.png'"
        assert.same({mine, ours}, due(5000))
        w:sql "UPDATE conversation SET avatar_url = ''" -- nothing of ours
        recall(1, 1)
        assert.same({mine, ours, film}, due(5000))
        w:op("file_wait", {id = film, ["until"] = 6000})
        w:op("file_loosen", {id = film, look = 6000, ["until"] = 7000})
        w:op("file_leave", {id = film, look = 7000, now = 7000})
        assert.same({mine, ours, preview}, due(5000)) -- its preview goes after it
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
