-- story: one run of the simulated world: people register, become friends, make groups, send (with repeats), recall, read, sync, come and
-- go, while scripts are reloaded and the node crashes, its disk fills, its messages are refused. Every choice comes from the seed. Then
-- all faults end, everybody syncs, and what is stored must be what was promised (spec/sim/model.lua).
--
-- Run by parley_sim (spec/sim/main.c), which gives `sim`, SEED and STEPS.
package.path = "./?.lua;" .. package.path
local client = require "spec.sim.client"
local model = require "spec.sim.model"
local does = require "spec.sim.people"
local broken, insist = client.broken, does.insist
local people, devices, list, figures = does.people, does.devices, does.list, does.figures
local below, one_in, pick = does.below, does.one_in, does.pick

local PEOPLE, DEVICES, TASKS = 5, 2, 24
local steps = STEPS > 0 and STEPS or 30000
-- above QUEUE a socket is slow
local QUEUE, RESEND = ({"4KiB", "16KiB", "256KiB"})[1 + SEED % 3], ({"300ms", "3s"})[1 + SEED % 2]
local up_since, calm = 0, false -- calm: no faults any more, the end has come

-- ---- the node ----

local function node_up()
    assert(os.execute(("rm -rf %s/lua && cp -r lua %s/lua"):format(sim.dir, sim.dir)))
    if not sim.up("auth.access_ttl=7d", "script.dir=" .. sim.dir .. "/lua", "store.batch=20", "script.shards=2",
        "ws.resend_after=" .. RESEND, "ws.queue_soft=" .. QUEUE) then
        broken("the node does not start")
    end
    up_since = sim.now()
end

local SERVICES = {"auth.lua", "group.lua", "contact.lua", "user.lua", "recall.lua"}
local function reload()
    figures.reloads = figures.reloads + 1
    local name = pick(SERVICES)
    local f = assert(io.open(sim.dir .. "/lua/" .. name, "a"))
    f:write(("-- reload %d\n"):format(figures.reloads))
    f:close()
    sim.reload()
end

-- classes whose actors may crash after any slice
local KILLED = {"conversation", "inbox", "conn", "hub", "seen", "script", "kv"}
local function faults()
    if calm then
        sim.faults {}
        return
    end
    sim.faults({full = one_in(2) and below(5000) or 0, port_us = pick {200, 2000, 20000},
        memory = one_in(6) and below(4000) or 0, disk_full = one_in(12) and 1 or 0, sync = one_in(12) and 1 or 0,
        kill = one_in(2) and below(1500) or 0}, table.unpack(KILLED))
end

local function node_down()
    figures.crashes = figures.crashes + 1
    if one_in(4) then sim.stop() else sim.crash() end
    node_up()
    faults()
end

-- ---- one thing at a time, by chance ----

local function act()
    local roll = below(1000)
    local d = does.connected()
    local person = pick(people)
    if not person.token then return end
    local c = #list > 0 and pick(list) or nil
    if roll < 350 and d then
        for _ = 1, 1 + below(4) do client.task(does.send_one, d) end
    elseif roll < 420 then
        client.task(does.send_by_http, pick(devices))
    elseif roll < 550 then
        local other = pick(devices)
        if not other.socket and not other.busy and other.person.token then client.task(does.connect, other) end
    elseif roll < 600 and d then
        does.leave(d)
    elseif roll < 680 and d then
        client.task(does.ack, d)
    elseif roll < 740 and d then
        client.task(does.read, d)
    elseif roll < 790 and d then
        client.task(does.sync, d, false)
    elseif roll < 830 then
        client.task(does.recall, person)
    elseif roll < 860 and c then
        client.task(does.change_member, c)
    elseif roll < 875 and c then
        client.task(does.change_group, c)
    elseif roll < 920 then
        client.task(does.look, person)
    elseif roll < 940 then
        client.task(does.login, person)
    elseif roll < 950 and #list < 8 then
        client.task(does.make_group, person)
    elseif roll < 962 then
        reload()
    elseif roll < 980 then
        faults()
    elseif roll < 984 then
        node_down()
    elseif roll < 992 and d then
        client.task(does.stall, d)
    elseif d then
        client.task(function() does.ask(d, "ping") end)
    end
end

-- the books of the scheduler: between two steps nobody runs, so they balance at any moment
local function check_counts()
    local missing, text = sim.law()
    if missing ~= 0 then broken("%s: %d are missing", text, missing) end
end

-- ---- the world goes on ----

local function go_on(budget, doing)
    local left = budget
    while left > 0 do
        local burst = math.min(left, 1 + below(40))
        local id, rest = sim.run(burst)
        left = left - (burst - rest) - (id and 0 or 1)
        if id then client.news(id) end
        client.wake_sleepers()
        if doing and doing() then return end
        if below(4) == 0 then
            client.check_patience(up_since)
            check_counts()
        end
    end
end

--- Runs fn as a task and the world until it is done.
local function until_done(fn, what)
    local done = false
    client.task(function()
        fn()
        done = true
    end)
    go_on(400000, function() return done end)
    if not done then broken("%s does not end", what) end
end

-- ---- begin ----

node_up()
for i = 1, PEOPLE do
    local person = {name = ("person%d"):format(i), friends = {}, mine = {}}
    people[i] = person
    for k = 1, DEVICES do
        devices[#devices + 1] = {name = ("%d.%d"):format(i, k), person = person, have = {}, maybe = {}, acked_to = {}, unsure = {},
            sends = {}, sent = 0, count = 0, streams = {}, asked = {}, asked_order = {}}
    end
end
go_on(20000, function() return sim.ready() end)
for _, person in ipairs(people) do client.task(does.register, person) end
go_on(100000, function() return client.tasks == 0 end)
until_done(function()
    for _ = 1, 3 do
        local a, b = pick(people), pick(people)
        if a ~= b then
            does.befriend(a, b)
            local r = insist("POST", "/api/conversations", {token = a.token, body = {type = 1, member_ids = {b.id}}})
            does.note_conversation(model.conversation(r.json.data.id, "single", {a, b}))
        end
    end
    does.make_group(people[1])
end, "the beginning")

-- ---- middle ----
go_on(steps, function()
    if client.tasks < TASKS and one_in(3) then act() end
end)

-- ---- end: no more faults; who waits gets an answer, everybody comes back and syncs ----
calm = true
does.state.quiet = true
faults()
go_on(400000, function() return client.tasks == 0 end)
if client.tasks > 0 then broken("%d tasks have no end", client.tasks) end

local function history_of(c, person)
    local all, after = {}, 0
    local first = insist("GET", ("/api/messages/history?conversation_id=%d&before_seq=2&limit=1"):format(c.id), {token = person.token})
    for _, m in ipairs(first.json.data) do all[1], after = m, m.seq end
    while after > 0 do
        local r = insist("GET", ("/api/messages/history?conversation_id=%d&after_seq=%d&limit=200"):format(c.id, after),
            {token = person.token})
        for _, m in ipairs(r.json.data) do all[#all + 1], after = m, m.seq end
        if not r.json.has_more then break end
    end
    return all
end

local function brief_of(c, person)
    return insist("GET", "/api/conversations/" .. c.id, {token = person.token}).json
end

local function someone_in(c)
    for _, p in ipairs(people) do
        local r = insist("GET", "/api/conversations/" .. c.id, {token = p.token})
        if r.status == 200 then return p end
    end
end

local function come_back(d)
    for _ = 1, 40 do
        if d.socket and d.welcome.over and does.sync(d, true) then return end
        if not d.socket then does.connect(d) else client.sleep(500) end
    end
    broken("%s cannot connect", d.name)
end

local stored = 0
local function check_all()
    for _, d in ipairs(devices) do come_back(d) end
    for _, c in ipairs(list) do
        local reader = someone_in(c)
        if reader then
            local history = history_of(c, reader)
            stored = stored + model.check_stored(c, history)
            for _, p in ipairs(people) do
                if c.members[p.id] and not c.unsure[p.id] then model.check_read(c, p, brief_of(c, p).data, history) end
            end
            for _, d in ipairs(devices) do
                if c.members[d.person.id] and not c.unsure[d.person.id] and model.contiguous(d, c) < #history then
                    broken("%s has %d of %d messages of %d after its sync", d.name, model.contiguous(d, c), #history, c.id)
                end
            end
        end
    end
    for _, d in ipairs(devices) do model.check_maybe(d) end
end
until_done(check_all, "the end")
check_counts()
node_down()
go_on(20000, function() return sim.ready() end)
until_done(check_all, "the end after a restart")

local trace, count, kills = sim.trace()
print(("ok: seed %d, trace %s, %d steps, %.0f s: %d stored, %d acks, %d pushes, %d revokes, %d resends, %d resyncs, %d sockets, " ..
    "%d repeats, %d refused, %d reloads, %d crashes, %d kills"):format(SEED, trace, count, sim.now() / 1000 - 1000, stored // 2,
    figures.acks, figures.pushes, figures.revokes, figures.resends, figures.resyncs, figures.sockets, figures.repeats, figures.refused,
    figures.reloads, figures.crashes, kills))
