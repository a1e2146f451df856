-- The operator console: login, roles, limits, commands as text and JSON, ctl, and that it answers whatever the workers do.
local P = require "parley_spec"
local console = require "spec.support.console"
local json = require "spec.support.json"
local node = require "spec.support.node"

local function start(conf)
    local dir = P.tmpdir()
    console.account(dir, "lena", "operate")
    console.account(dir, "tom", "read")
    local set = {["admin.listen"] = "127.0.0.1:0", ["limits.ws_messages"] = "0"}
    for k, v in pairs(conf or {}) do set[k] = v end
    return node.start(set, dir)
end

-- A worker that has no CPU for a second does not answer: then once more.
local function conns_of(c, who)
    return node.eventually(function()
        local rows = c:json("conns" .. (who and " " .. who or ""))
        return not rows.workers_without_answer and rows
    end)
end

describe("the console", function()
    local n, lena
    setup(function() n = start() end)
    teardown(function() n:finish() end)
    before_each(function() lena = console.login(n) end)
    after_each(function() lena:close() end)

    it("is on the ready line with its address", function()
        assert.truthy(console.address(n):match("^127%.0%.0%.1:%d+$"))
    end)

    it("has each command as text and as JSON", function()
        local tom = n:person {device = "phone"}
        local sock = tom:socket("phone")
        local commands = {
            "help", "help top", "help api", "version", "top", "top --by=queue", "actors", "actors hub --by=memory", "classes",
            "actor hub 0", "actor 0", "tree", "tree --depth=1", "stats", "stats --all", "stats console", "limits", "slow", "conf",
            "conf admin", "metrics", "log", "log --last=3", "log level", "conns", "conns " .. tom.id, "drain",
        }
        for _, line in ipairs(commands) do
            local text = lena:run(line)
            assert.truthy(#text > 0 and not text:find("^error"), line .. ": " .. text)
            assert.falsy(text:find("[%z\1-\9\11-\31\127]"), line)
            local raw = lena:run(line .. " --json")
            assert.equal(1, select(2, raw:gsub("\n", "")), line)
            local v = json.decode(raw)
            assert.truthy(type(v) == "table" and v.error == nil, line)
        end
        sock:close()
    end)

    it("refuses what it does not understand, as text and as JSON, and goes on", function()
        for line, why in pairs {
            ["nonsense"] = "no command", ["top --nonsense"] = "an option it does not know", ["actor"] = "something is missing",
            ["version 1"] = "too many words", ["actor x"] = "is no number", ["help 'x"] = "a quote has no end",
            ["top --every=x"] = "is no number", ["log level loud"] = "debug, info, warn or error", ["actor 99999999"] = "no such actor",
            ["conns nobody.here"] = "no such user", ["kick 999999"] = "has no socket here", ["drain perhaps"] = "on or off",
            ["actors --rows=0"] = "--rows=N", ["\xc3\x28"] = "no UTF-8",
        } do
            assert.truthy(lena:run(line):find("error: .*" .. why:gsub("%-", "%%-")), line)
            assert.truthy(lena:json(line).error:find(why, 1, true), line)
        end
        assert.truthy(lena:run("version"):find("pid"))
    end)

    it("lists the sockets: user, device, address, bytes; and only those of a user, by id or name", function()
        local a, b = n:person {name = "conn.a"}, n:person {name = "conn.b"}
        assert.truthy(node.eventually(function() return #conns_of(lena) == 0 end)) -- those of earlier tests
        local socks = {a:socket("phone"), a:socket("tablet"), b:socket("desk")}
        assert.equal(3, #conns_of(lena))
        for _, who in ipairs {a.id, "conn.a"} do
            local rows = conns_of(lena, who)
            assert.equal(2, #rows)
            for _, r in ipairs(rows) do
                assert.equal(a.id, r.user)
                assert.truthy(r.device == "phone" or r.device == "tablet")
                assert.equal("127.0.0.1", r.address)
                assert.truthy(r.in_bytes > 100 and r.out_bytes > 100 and r.queue_bytes == 0 and r.age_us >= 0)
            end
        end
        for _, s in ipairs(socks) do s:close() end
    end)

    it("kicks a user's sockets with 4004, or those of one device", function()
        local a = n:person()
        local phone, desk = a:socket("phone"), a:socket("desk")
        assert.same({user = a.id, sockets = 2}, lena:json(("kick %d phone"):format(a.id)))
        assert.equal(4004, phone:close_code())
        assert.truthy(node.eventually(function() return #conns_of(lena, a.id) == 1 end))
        assert.equal(1, lena:json("kick " .. a.name).sockets)
        assert.equal(4004, desk:close_code())
    end)

    it("counts no socket that was told to close, though its client goes on as if nothing were", function()
        local a = n:person()
        local phone, desk = a:socket("phone"), a:socket("desk")
        lena:json(("kick %d phone"):format(a.id))
        assert.truthy(node.eventually(function() return lena:json("user " .. a.id).sockets == 1 end))
        assert.same("desk", conns_of(lena, a.id)[1].device)
        lena:json("kick " .. a.id)
        assert.truthy(node.eventually(function() return #conns_of(lena, a.id) == 0 end))
        local user = lena:json("user " .. a.id)
        assert.same({0, false}, {user.sockets, user.online})
        assert.truthy(lena:json("kick " .. a.id).error:find("has no socket here", 1, true))
        assert.equal(4004, phone:close_code()) -- both were still open
        assert.equal(4004, desk:close_code())
        phone:close()
        desk:close()
        local again = a:socket("phone")
        assert.equal(1, lena:json("user " .. a.id).sockets)
        again:close()
    end)

    it("gives times in one type: null where there is none", function()
        local raw = lena:run("user " .. n:person().id .. " --json")
        assert.truthy(raw:find('"last_seen_ms":null', 1, true), raw)
    end)

    it("lets no control character, terminal escape or turned text through", function()
        for _, evil in ipairs {"\u{202e}evil", "\u{9b}2J", "\u{200b}hidden", "\u{2028}line"} do
            for _, form in ipairs {"%s", "help %s", "log level %s", "conns %s", "%s --json", "help '%s' --json"} do
                local said = lena:run(form:format(evil))
                assert.truthy(said:find("error"), said)
                assert.falsy(said:find(evil:match("^[\xc2-\xf4][\x80-\xbf]+"), 1, true), said)
            end
        end
        assert.falsy(n:log():find("[%z\1-\9\11-\31]"))
    end)

    it("sets the log's level, and shows the last lines", function()
        assert.equal("info", lena:json("log level").level)
        lena:run("log level debug")
        assert.equal("debug", lena:json("log level").level)
        lena:run("log level info")
        assert.truthy(node.eventually(function()
            return lena:run("log --last=20"):find('line="log level info"', 1, true)
        end))
    end)

    it("shows the configuration with where it came from and never a secret", function()
        local all = lena:run("conf")
        assert.falsy(all:find(node.SECRET, 1, true))
        assert.falsy(lena:run("conf --json"):find(node.SECRET, 1, true))
        for _, r in ipairs(lena:json("conf auth.secret")) do assert.same({"***", "--set"}, {r.value, r.from}) end
        assert.equal("preset", lena:json("conf group.member_limit")[1].from)
    end)

    it("writes a line into the log for each command, with who, from where, what came of it", function()
        lena:run("version --json")
        lena:run("nonsense")
        assert.truthy(node.eventually(function()
            local log = n:log()
            return log:find('command user=lena role=operate addr=127.0.0.1 result=ok ms=%d+ line="version %-%-json"') and
                log:find('command user=lena role=operate addr=127.0.0.1 result=not_found ms=%d+ line="nonsense"')
        end))
    end)

    it("kills an actor; who serves comes back, and the console too", function()
        local a = n:person()
        for _, class in ipairs {"sweeper", "console"} do
            local before = lena:json("actors '" .. class .. "'")[1]
            assert.equal(class, lena:json("kill " .. before.id).class)
        end
        assert.equal("not_found", lena:json("kill 99999999").code)
        assert.truthy(node.eventually(function()
            local rows = lena:json("conns " .. a.id)
            return #rows == 0 and not rows.workers_without_answer
        end, 10000))
    end)

    it("follows one message through the actors: who, when, how long", function()
        local a, b = n:person(), n:person()
        local chat = a:chat(b)
        a:say(chat, "first")
        lena:send(("trace conversation %d --json\n"):format(chat))
        local said
        assert.truthy(node.eventually(function() -- until one comes after it was armed
            a:say(chat, "again")
            said = lena:expect("parley> ", 100)
            return said
        end))
        local hops = json.decode((said:sub(1, -9)))
        assert.truthy(#hops >= 3, #hops)
        assert.truthy(hops[1].to:find("conversation " .. chat, 1, true))
        for _, h in ipairs(hops) do assert.truthy(h.at_us >= 0 and h.result == "ok") end
        assert.equal("not_found", lena:json("trace conversation 999999 --wait=1").code)
        assert.equal("bad_request", lena:json("trace planet 1").code)
    end)

    it("drains and comes back", function()
        local a = n:person()
        local sock = a:socket("phone")
        assert.equal(true, lena:json("drain on").draining)
        assert.equal(1012, sock:close_code())
        assert.equal(503, n:api("GET", "/readyz").status)
        assert.equal(false, lena:json("drain off").draining)
        assert.truthy(node.eventually(function() return n:api("GET", "/readyz").status == 200 end))
        local again
        assert.truthy(node.eventually(function()
            again = a:socket("phone")
            return again
        end))
        again:close()
    end)

    it("has commands that only look for the role read, and says what the others need", function()
        local tom = console.login(n, "tom")
        assert.truthy(tom:run("stats"):find("counters"))
        for _, line in ipairs {"kick 1", "drain on"} do assert.truthy(tom:run(line):find("needs the role operate"), line) end
        assert.equal("forbidden", tom:json("log level debug").code)
        assert.falsy(tom:run("help"):find("kick", 1, true))
        tom:close()
    end)

    it("takes several sessions at once, each with its own answers", function()
        local tom = console.login(n, "tom")
        tom:send("actors --json\n")
        lena:send("version\n")
        assert.truthy(lena:expect("parley> "):find("pid"))
        assert.truthy(json.decode((tom:expect("parley> "):sub(1, -9)))[1].class)
        tom:close()
    end)

    it("takes lines that come all at once, and ends when the other side has no more to say", function()
        lena:send("version --json\nlog level --json\nnonsense\nversion")
        lena.sock:finish()
        local said = lena:rest()
        assert.truthy(said:find('"pid"') and said:find('"level":"info"') and said:find("no command 'nonsense'"))
    end)

    it("refreshes top until a key comes", function()
        lena:send("top --every=1\n")
        for _ = 1, 3 do assert(lena:expect("LOAD")) end
        lena:send("\n")
        assert(lena:expect("parley> "))
        assert.truthy(lena:run("version"):find("pid"))
    end)

    it("closes what looks like HTTP at its first line, without a word", function()
        for _, first in ipairs {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /x HTTP/1.0\r\n\r\nlena\n", "post / HTTP/1.1\n",
            "PRI * HTTP/2.0\r\n\r\n"} do
            local c = console.open(n)
            assert(c:expect("login: "))
            c:send(first)
            assert.equal("", c:rest())
            c:close()
        end
        assert.truthy(node.eventually(function() return n:log():find("looks like HTTP", 1, true) end)) -- the log has a writer of its own
    end)

    it("quits by quit and by ^D", function()
        for _, bye in ipairs {"quit\n", "\4"} do
            local c = console.login(n)
            c:send(bye)
            assert.truthy(c:rest())
            c:close()
        end
    end)

    it("ends a line that is too long, and takes the next one", function()
        lena:send(("x"):rep(5000) .. "\n")
        assert.truthy(lena:expect("parley> "):find("at most 1024 bytes"))
        assert.truthy(lena:run("version"):find("pid"))
    end)
end)

describe("a telnet client", function()
    local n
    setup(function() n = start() end)
    teardown(function() n:finish() end)
    local IAC, DO, WILL, SB, SE = "\255", "\253", "\251", "\250", "\240"
    -- a client that agrees to all: we echo, no go-ahead, 60 columns by 20 lines
    local answers = IAC .. WILL .. "\31" .. IAC .. SB .. "\31\0\60\0\20" .. IAC .. SE .. IAC .. DO .. "\1" .. IAC .. DO .. "\3"

    local function telnet(split)
        local c = console.open(n)
        assert(c:expect(IAC .. DO .. "\31"))
        for i = 1, #answers, split or #answers do c:send(answers:sub(i, i + (split or #answers) - 1)) end
        assert(c:expect(IAC .. WILL .. "\1" .. IAC .. WILL .. "\3"))
        c:send("lena\r\0")
        assert(c:expect("password: "))
        c:send(console.PASSWORD .. "\r\0")
        local said = assert(c:expect("parley> "))
        assert.falsy(said:find(console.PASSWORD, 1, true))
        return c
    end

    it("is echoed, may edit its line and has its history; the password is not shown", function()
        for _, split in ipairs {1, 3, 100} do
            local c = telnet(split)
            c:send("vesion\27[D\27[D\27[D\27[Dr\r\n")
            assert(c:expect("pid"))
            assert(c:expect("parley> "))
            c:send("\27[A\r\0") -- the line before
            assert(c:expect("version"))
            assert(c:expect("pid"))
            assert(c:expect("parley> "))
            c:send("nonsense\21ver\t\r\n") -- ^U, completion
            assert(c:expect("pid"))
            c:close()
        end
    end)

    it("is told that a line is too long, and runs no part of it", function()
        local c = telnet()
        c:send("version " .. ("x"):rep(2000) .. "\r\n")
        assert.falsy(assert(c:expect("at most 1024 bytes", 20000)):find("pid"))
        assert(c:expect("parley> "))
        c:send(("x"):rep(2000) .. "\21version\r\n") -- taken back by ^U
        assert(c:expect("pid", 20000))
        c:close()
    end)

    it("has lines cut to its width and \\r\\n at their ends", function()
        local c = telnet()
        c:send("help\r\n")
        local said = assert(c:expect("parley> "))
        assert.falsy(said:find("[^\r]\n"))
        for line in said:gmatch("([^\r\n]+)\r\n") do
            local plain = line:gsub("\27%[[%d]*%a", "")
            assert.truthy(#plain <= 60, plain)
        end
        c:close()
    end)

    it("sees top refresh, and ends it by a key", function()
        local c = telnet()
        c:send("top\r\n")
        for _ = 1, 2 do assert(c:expect("any key ends it")) end
        c:send("q")
        assert(c:expect("parley> "))
        c:send("version\r\n")
        assert(c:expect("pid"))
        c:close()
    end)
end)

describe("the console's door", function()
    local n
    after_each(function() if n then n:finish() end n = nil end)

    local WAIT <const> = "Too many wrong passwords"
    local function try(name, password)
        local c = console.open(n)
        assert(c:expect("login: "))
        c:send(name .. "\n")
        local said, what = c:either("password: ", WAIT)
        if what == "password: " then
            c:send(password .. "\n")
            said = c:either("incorrect", "Welcome", WAIT)
        end
        c:close()
        return said or ""
    end

    -- Names share 64 places, by a hash that each process seeds anew. false: two of these names share one.
    local function waits_by_name()
        for _, name in ipairs {"lena", "no.such.name"} do
            for _ = 1, 4 do
                local said = try(name, "wrong")
                if name ~= "lena" and said:find(WAIT, 1, true) then return false end
                assert.truthy(said:find "incorrect", said)
            end
            assert.truthy(node.eventually(function() -- the first wait is a second: a busy machine may miss it, and begins again
                for _ = 1, 5 do try(name, "wrong") end
                return try(name, console.PASSWORD):find(WAIT, 1, true)
            end, 60000), name)
        end
        return try("tom", console.PASSWORD):find "Welcome"
    end

    it("lets nobody in without the password, and makes them wait after five wrong ones, whatever the name", function()
        local by_name
        for _ = 1, 8 do
            if n then n:finish() end
            n = start()
            by_name = waits_by_name()
            if by_name then break end
        end
        assert.truthy(by_name)
        assert.truthy(node.eventually(function() return try("lena", console.PASSWORD):find("Welcome") end, 60000))
        assert.truthy(node.eventually(function() return n:log():find("login failed user=lena", 1, true) end))
    end)

    it("lets nobody past a wait who had the prompt for the password before it began", function()
        n = start {["admin.sessions"] = 8}
        local function waits()
            local late, told = {}, 0
            for i = 1, 7 do
                late[i] = console.open(n)
                assert(late[i]:expect("login: "))
                late[i]:send("lena\n")
                assert(late[i]:expect("password: "))
            end
            for i = 1, 5 do
                late[i]:send("wrong\n")
                assert(late[i]:expect("incorrect"))
            end
            for i = 6, 7 do late[i]:send(console.PASSWORD .. "\n") end
            for i = 6, 7 do told = told + (select(2, late[i]:either(WAIT, "Welcome")) == WAIT and 1 or 0) end
            for i = 1, 7 do late[i]:close() end
            return told == 2
        end
        assert.truthy(node.eventually(waits, 60000)) -- the wait is a second: a busy machine may miss it, and begins again
    end)

    it("closes a session after three wrong passwords", function()
        n = start()
        local c = console.open(n)
        for _ = 1, 3 do
            assert(c:expect("login: "))
            c:send("tom\n")
            assert(c:expect("password: "))
            c:send("wrong\n")
        end
        assert.truthy(c:rest())
        c:close()
    end)

    it("has room for admin.sessions, tells the next one so, and counts it", function()
        n = start {["admin.sessions"] = 2}
        local a, b = console.login(n), console.login(n, "tom")
        local c = console.open(n)
        assert.truthy(c:rest():find("too many sessions"))
        c:close()
        assert.equal(1, a:json("stats console_refused").counters[1].value)
        a:close()
        assert.truthy(node.eventually(function()
            local ok, d = pcall(console.login, n)
            if ok then d:close() end
            return ok
        end))
        b:close()
    end)

    it("gives the place of whoever has not logged in to who comes", function()
        n = start {["admin.sessions"] = 2}
        local a, mute = console.login(n), console.open(n)
        local b = console.login(n, "tom")
        assert.truthy(mute:rest():find("somebody else needs the place"))
        assert.truthy(a:run("version"):find("%d+%.%d+"))
        mute:close()
        a:close()
        b:close()
    end)

    it("ends the sessions of an account that is taken away or gets another role", function()
        n = start()
        local a, b = console.login(n), console.login(n, "tom")
        console.account(n.dir, "tom", "operate")
        assert.truthy(a:run("version"):find("%d+%.%d+"))
        b:send("version\n")
        assert.truthy(b:rest():find("the account has changed"))
        a:close()
        b:close()
    end)

    it("closes a session that is idle for admin.idle", function()
        n = start {["admin.idle"] = "1s"}
        local c
        assert.truthy(node.eventually(function() -- a login may take a busy machine as long
            local ok
            ok, c = pcall(console.login, n)
            return ok
        end, 60000))
        assert.truthy(c:rest():find("idle for too long"))
        c:close()
    end)

    it("takes a new password at once, and no removed account", function()
        n = start()
        console.account(n.dir, "tom", "", "another horse 9")
        assert.truthy(try("tom", console.PASSWORD):find("incorrect"))
        console.login(n, "tom", "another horse 9"):close()
        console.account(n.dir, "tom", "none")
        assert.truthy(try("tom", "another horse 9"):find("incorrect"))
    end)
end)

describe("parleyd ctl", function()
    local n
    setup(function() n = start() end)
    teardown(function() n:finish() end)

    it("runs one command and tells by its exit status whether it succeeded", function()
        local out, status = console.ctl(n, "version")
        assert.same({0, true}, {status, out:find("pid") ~= nil})
        out, status = console.ctl(n, "--json", "actors", "hub")
        assert.same({0, 2}, {status, #json.decode(out)})
        local said
        out, status, said = console.ctl(n, "nonsense", "two words")
        assert.same({1, "", "error: no command 'nonsense'; `help` lists them\n"}, {status, out, said})
        out, status = console.ctl(n, "nonsense", "--json")
        assert.same({1, "not_found"}, {status, json.decode(out).code})
        assert.equal(2, select(2, console.ctl(n)))
    end)

    it("says how many rows were left out", function()
        local out, status, said = console.ctl(n, "actors", "--rows=3", "--json")
        assert.same({0, 3}, {status, #json.decode(out)})
        assert.truthy(said:find("more are not shown", 1, true))
    end)

    it("is let in by the token in data.dir, which only the owner may read", function()
        local p = io.popen("stat -c %a " .. n.dir .. "/console.token")
        assert.equal("600", p:read("l"))
        p:close()
        local c = console.open(n)
        assert(c:expect("login: "))
        c:send("ctl " .. ("0"):rep(64) .. " 80\n")
        assert.equal("", c:rest())
        c:close()
    end)

    it("says so when no node runs", function()
        local other = {dir = P.tmpdir()}
        local _, status, said = console.ctl(other, "version")
        P.rmtree(other.dir)
        assert.same({2, true}, {status, said:find("no node runs", 1, true) ~= nil})
    end)
end)
