-- What the rules of files promise. The bytes are played by the answers of files.*.
local HOUR <const> = 3600 * 1000

local function row(t, more)
    local r = {
        id = 7, user = 1, name = "cat.png", type = "image/png", kind = "image", size = 1000, part_size = 0, upload = "", state = "open",
        etag = "", width = 0, height = 0, duration = 0, thumbnail = 0, until_ms = t.NOW + HOUR,
    }
    for key, value in pairs(more or {}) do r[key] = value end
    return r
end

local function found(more)
    local f = {size = 1000, etag = '"e"', type = "", finished = false, sniffed = "image/png", width = 30, height = 20}
    for key, value in pairs(more or {}) do f[key] = value end
    return f
end

-- Completes the file `r` that looks like `f`; what is stored of it comes back.
local function complete(t, r, f, body)
    local stored
    body = body or {}
    body.file_id = body.file_id or 7
    local answer = t.call("complete", {user = 1, id = {}, body = body}, {
        store = {file_get = {r}, file_ready = function(p) stored = p return {} end},
        files = {look = f, finish = function() return {size = 1000, etag = '"done"'} end},
    })
    return stored, answer
end

local function ticket(t, body)
    local asked
    local all = {filename = "a.png", content_type = "image/png", size_bytes = 10}
    for key, value in pairs(body) do all[key] = value end
    local answer = t.call("upload", {user = 1, id = {}, body = all}, {
        store = {file_ticket = function(p) asked = p return {}, {changed = 1, last_id = 5} end},
        files = {path = "/p", put_url = "/u"},
    })
    return answer.data, asked
end

return {
    ["a ticket names the file and where to put it, until when"] = function(t)
        local data, asked = ticket(t, {})
        t.equal({file_id = 5, object_key = "/p", upload_url = "/u", method = "PUT", callback_url = "",
            expires_at_ms = t.NOW + 30 * 60000}, data)
        t.equal("image", asked.kind)
        t.equal(t.NOW + 30 * 60000 + 24 * HOUR, asked["until"])
    end,
    ["the kind is taken from the type, and must agree with it"] = function(t)
        for type, kind in pairs {["audio/ogg"] = "audio", ["video/mp4"] = "video", ["text/plain"] = "file", ["file/x"] = "file"} do
            local _, asked = ticket(t, {content_type = type})
            t.equal(kind, asked.kind, type)
        end
        local _, asked = ticket(t, {kind = "file"})
        t.equal("file", asked.kind)
        t.fails("unsupported_type", ticket, t, {kind = "video"})
        t.fails("unsupported_type", ticket, t, {content_type = "text/plain", kind = "audio"})
        t.fails("unsupported_type", ticket, t, {content_type = "image/svg+xml"})
    end,
    ["sizes have a limit by kind"] = function(t)
        ticket(t, {size_bytes = 10 << 20})
        t.fails("too_large", ticket, t, {size_bytes = (10 << 20) + 1})
        ticket(t, {size_bytes = 100 << 20, kind = "file"})
    end,
    ["a type is one type, and printable"] = function(t)
        for _, type in ipairs {"png", "image/", "image/p ng", "image/png\n", "image/\127", "/x", "image/png,x"} do
            t.fails("bad_request", ticket, t, {content_type = type})
        end
        ticket(t, {content_type = "audio/webm;codecs=opus"})
    end,
    ["who has too much, or too many, is told which"] = function(t)
        local function refused(used)
            return t.call, "upload", {user = 1, id = {}, body = {filename = "a", content_type = "a/b", size_bytes = 100}}, {
                conf = {["files.quota"] = 1000},
                store = {file_ticket = function() return nil, "stale" end, file_use = {{bytes = used, files = 1}}},
            }
        end
        t.fails("too_large", refused(901))
        t.fails("rate_limited", refused(900))
    end,
    ["complete keeps the size of a picture, and the etag of what was finished"] = function(t)
        local stored, answer = complete(t, row(t), found())
        t.equal({id = 7, etag = '"done"', width = 30, height = 20, duration = 0, thumbnail = 0, look = t.NOW + 26 * HOUR}, stored)
        t.equal({file_id = 7}, answer)
    end,
    ["a picture may lie on its side, and may not be of another size"] = function(t)
        local stored = complete(t, row(t), found(), {width = 20, height = 30})
        t.equal({20, 30}, {stored.width, stored.height})
        t.fails("bad_request", complete, t, row(t), found(), {width = 31, height = 20})
        t.fails("bad_request", complete, t, row(t), found(), {width = 30})
    end,
    ["a picture that would unpack to too much is refused"] = function(t)
        t.fails("too_large", complete, t, row(t), found {width = 10000, height = 5001})
        t.fails("too_large", complete, t, row(t), found {width = 16385, height = 1})
        complete(t, row(t), found {width = 10000, height = 5000})
    end,
    ["what is something else than it says is refused"] = function(t)
        t.fails("unsupported_type", complete, t, row(t), found {sniffed = "image/gif"})
        t.fails("unsupported_type", complete, t, row(t), found {sniffed = "markup"})
        t.fails("unsupported_type", complete, t, row(t), found {type = "image/gif"})
        t.fails("unsupported_type", complete, t, row(t, {kind = "audio", type = "audio/x-new"}), found {sniffed = "markup"})
        complete(t, row(t, {kind = "audio", type = "audio/x-new"}), found {sniffed = ""})
        complete(t, row(t), found {type = "IMAGE/PNG"})
        complete(t, row(t, {kind = "file", type = "text/html"}), found {sniffed = "markup"})
    end,
    ["what is longer or shorter than declared is refused"] = function(t)
        t.fails("too_large", complete, t, row(t), found {size = 999})
    end,
    ["only who put it completes it, in time, if it is there"] = function(t)
        for _, other in ipairs {{user = 2}, {state = "aborted"}, {state = "loose"}, {until_ms = t.NOW}} do
            local stored, answer = complete(t, row(t, other), found())
            t.equal({nil, {file_id = 0}}, {stored, answer})
        end
        t.fails("not_found", complete, t, row(t), false)
    end,
    ["one that is complete is not looked at again"] = function(t)
        local stored, answer = complete(t, row(t, {state = "ready", until_ms = 0}), nil)
        t.equal({file_id = 7}, answer)
        t.equal(nil, stored)
    end,
    ["a sound has a duration and no size, a film both"] = function(t)
        local given = {width = 640, height = 360, duration_sec = 9}
        local sound = row(t, {kind = "audio", type = "audio/ogg"})
        local stored = complete(t, sound, {size = 1000, etag = "", type = "", sniffed = "ogg"}, given)
        t.equal({0, 0, 9}, {stored.width, stored.height, stored.duration})
        given.file_id = nil
        stored = complete(t, row(t, {kind = "video", type = "video/mp4"}), {size = 1000, etag = "", type = "", sniffed = "mp4"}, given)
        t.equal({640, 360, 9}, {stored.width, stored.height, stored.duration})
    end,
    ["the sweep drops what was never complete: first the row knows, then the bytes go, then the row"] = function(t)
        local steps = {}
        local function step(name, ...)
            local results = table.pack(...)
            return function() steps[#steps + 1] = name return table.unpack(results, 1, results.n) end
        end
        t.call("sweep", {}, {
            store = {file_expired = {{id = 7, size = 1, type = "", part_size = 0, upload = ""}}, file_abort = step("abort", {}),
                file_delete = step("delete", {})},
            files = {drop = step "drop"},
        })
        t.equal({"abort", "drop", "delete"}, steps)
    end,
    ["what nothing holds waits, then may not be named any more, then goes; each step looks again at its own moment"] = function(t)
        local steps, asked = {}, 0
        local function note(name) return function(p) steps[#steps + 1] = {name, p} return {} end end
        local due = {
            {id = 1, state = "ready", look_ms = 1}, {id = 2, state = "ready", look_ms = 900}, {id = 3, state = "loose", look_ms = 901},
        }
        t.call("let_go", {}, {
            store = {
                file_keep = note "keep",
                file_due = function()
                    asked = asked + 1
                    return asked < 3 and due or {}
                end,
                file_wait = note "wait", file_loosen = note "loosen", file_leave = note "leave",
            },
        })
        t.equal({
            {"keep", {now = t.NOW, limit = 50}}, {"wait", {id = 1, ["until"] = t.NOW + 26 * HOUR}},
            {"loosen", {id = 2, look = 900, ["until"] = t.NOW + 600000}}, {"leave", {id = 3, look = 901, now = t.NOW}},
        }, steps)
    end,
}
