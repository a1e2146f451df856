-- docs/rules.md, step by step as written: each block of commands is run in one shell, in a copy of what a reader has before them, and must
-- succeed; what the text says it prints must be among what it prints (`..` stands for anything).
local node = require "spec.support.node"
local P = require "parley_spec"

-- {{kind = "sh" or "text", text = .., line = ..}, ...}
local function blocks_of(path)
    local list, open, number = {}, nil, 0
    for line in io.lines(path) do
        number = number + 1
        local fence = line:match("^```(.*)$")
        if fence and open then
            open = nil
        elseif fence then
            open = {kind = fence, text = "", line = number}
            list[#list + 1] = open
        elseif open then
            open.text = open.text .. line .. "\n"
        end
    end
    return list
end

local function pattern_of(line)
    return (line:gsub("%p", "%%%0"):gsub("%%%.%%%.", ".-"):gsub("%s+", "%%s+"))
end

-- The lines of `want` in this order, others between them.
local function missing(want, got)
    local at = 1
    for line in want:gmatch("[^\n]+") do
        local _, stop = got:find(pattern_of(line), at)
        if not stop then return line end
        at = stop + 1
    end
end

describe("docs/rules.md", function()
    it("does what it says", function()
        local dir = P.tmpdir()
        assert(os.execute(("cp -r lua '%s/lua' && mkdir '%s/build' && cp -r '%s/lua' '%s/my-rules'"):format(dir, dir, dir, dir)))
        local here = io.popen("pwd"):read("l")
        local binary = os.getenv("PARLEYD") or "build/parleyd"
        if binary:sub(1, 1) ~= "/" then binary = here .. "/" .. binary end
        assert(os.execute(("ln -s '%s' '%s/build/parleyd'"):format(binary, dir)))
        local n = node.start({["script.dir"] = dir .. "/my-rules", ["admin.listen"] = "127.0.0.1:0"})
        local script = {"set -eu", ("cd '%s'"):format(dir), ("export PARLEY_DATA_DIR='%s' LC_ALL=C"):format(n.dir)}
        local blocks, ran = blocks_of("docs/rules.md"), 0
        for i, b in ipairs(blocks) do
            if b.kind == "sh" then
                ran = ran + 1
                script[#script + 1] = ("echo '== step %d'"):format(i)
                script[#script + 1] = (b.text:gsub("localhost:8080", function() return n.http_address end))
            end
        end
        assert.truthy(ran > 5)
        local f = assert(io.open(dir .. "/walk.sh", "w"))
        f:write(table.concat(script, "\n"), "\necho '== step end'\n")
        f:close()
        local pipe = assert(io.popen(("bash '%s/walk.sh' 2>&1"):format(dir)))
        local said = pipe:read("a")
        pipe:close()
        assert.truthy(said:find("== step end\n", 1, true), said)
        for i, b in ipairs(blocks) do
            local out = blocks[i + 1] and blocks[i + 1].kind == "text" and blocks[i + 1].text
            if b.kind == "sh" and out then
                local got = said:match("== step " .. i .. "\n(.-)== step ")
                local line = missing(out, got)
                assert(not line, ("docs/rules.md:%d does not print: %s\nbut:\n%s"):format(b.line, tostring(line), got))
            end
        end
        n:finish()
        P.rmtree(dir)
    end)
end)
