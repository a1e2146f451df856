-- file: who may store what, when it is whole, and when it goes (PROTOCOL.md rows 45, 48, 50 to 54, section 14). Bytes go past the rules,
-- by the signed links that are given out here.
-- Rules an operator may want to change:
local MIB <const> = 1 << 20
local MAX_BYTES <const> = {image = 10 * MIB, file = 100 * MIB, audio = 50 * MIB, video = 500 * MIB}
local PIXELS_MAX <const>, SIDE_MAX <const> = 50000000, 16384      -- a small file can unpack to a huge picture
local THUMBNAIL <const> = {bytes = MIB // 2, side = 1024}
local PICTURE_BYTES <const> = MIB                                   -- of a user or a group
local DURATION_MAX_SEC <const> = 24 * 3600
local OPEN_MAX <const> = 100                                        -- uploads of a user that are not finished
local PART <const> = {least = 5 * MIB, most = 64 * MIB, count = 10000}
local SWEEP_MS <const>, SWEEP_FILES <const>, SWEEP_ROUNDS <const> = 2000, 50, 4
-- A finished file that no message, no picture of a user or group and no other file's preview holds is kept for conf files.unused_ttl: it
-- was never sent, or recalled everywhere. Then no message may name it any more, and after this time, which is longer than any send that
-- still named it may be on its way, it goes.
local SETTLE_MS <const> = 10 * 60000

-- Who may store a file of this size at all. The quota (conf files.quota) is kept by the store.
local function quota_of(_) return conf "files.quota" end

-- What a picture, a sound or a film may begin with (files.look says what it does begin with), by the second word of its type. An image of
-- any other type is taken as it is, unless it is one of these, or markup; so are other sounds and films.
local PICTURES <const> = {png = "image/png", jpeg = "image/jpeg", jpg = "image/jpeg", gif = "image/gif", webp = "image/webp"}
local CONTAINERS <const> = {
    mp4 = "mp4", m4a = "mp4", ["x-m4a"] = "mp4", ["x-m4v"] = "mp4", quicktime = "mp4", ["3gpp"] = "mp4", ["3gpp2"] = "mp4",
    webm = "webm", ["x-matroska"] = "webm", ogg = "ogg", opus = "ogg", mpeg = "mp3", mp3 = "mp3", wav = "wav", ["x-wav"] = "wav",
    wave = "wav", ["vnd.wave"] = "wav", flac = "flac", ["x-flac"] = "flac", aac = "aac", amr = "amr", ["x-msvideo"] = "avi",
}
local REFUSED_PICTURES <const> = {["svg+xml"] = true, svg = true}   -- they are programs: let them be sent as files

local check = require "lib.check"

local function lost() return fail("not_found", "file not found") end
local function no_upload() return fail("not_found", "upload not found") end

-- ---- tickets ----

-- "image/png; q=1" -> "image", "png"
local function type_words(type)
    local family, sub, rest = type:lower():match("^([a-z0-9!#$&^_.+-]+)/([a-z0-9!#$&^_.+-]+)(.*)$")
    if family and (rest == "" or rest:find("^ *;")) then return family, sub end
end

local function kind_of(body, type)
    local family, sub = type_words(type)
    if not family or type:find("[^\32-\126]") then fail "bad_request" end
    local given = body.kind ~= nil and check.one_of(body.kind, {"image", "file", "audio", "video"})
    local natural = MAX_BYTES[family] and family ~= "file" and family or "file"
    local kind = given or natural
    if kind ~= "file" and kind ~= natural then fail "unsupported_type" end
    if kind == "image" and REFUSED_PICTURES[sub] then fail "unsupported_type" end
    return kind
end

local function refused_ticket(user, size)
    local quota = quota_of(user)
    local used = store.run("file_use", {user = user})[1].bytes
    if quota > 0 and used + size > quota then fail("too_large", "file quota exceeded") end
    fail("rate_limited", "too many open uploads")
end

-- until_ms: when it is dropped if it is not complete by then.
local function ticket(req, part_size, until_ms)
    local body = req.body
    local name = check.text(body.filename, 1, 255, true)
    local type = check.text(body.content_type, 1, 128)
    local kind = kind_of(body, type)
    local size = check.id(body.size_bytes)
    if size > MAX_BYTES[kind] then fail("too_large", "file too large") end
    local row = {
        user = req.user, name = name, type = type, kind = kind, size = size, part_size = part_size, upload = "",
    }
    local _, info = store.try("file_ticket", {
        user = req.user, name = name, type = type, kind = kind, size = size, part_size = part_size, now = now(), ["until"] = until_ms,
        quota = quota_of(req.user), open_max = OPEN_MAX,
    })
    if info == "stale" then refused_ticket(req.user, size) end
    row.id, row.until_ms = info.last_id, until_ms
    return row
end

local function whole_second(ms) return (ms + 999) // 1000 * 1000 end

local function upload(_, req)
    local put_until = whole_second(now() + conf "files.put_ttl")
    local row = ticket(req, 0, put_until + conf "files.multipart_ttl")
    return {data = {
        file_id = row.id, object_key = files.path(row.id), upload_url = files.put_url(row, 0, put_until), method = "PUT",
        expires_at_ms = put_until, callback_url = "",
    }}
end

-- ---- uploads in parts ----

local function part_count(row) return (row.size + row.part_size - 1) // row.part_size end

local function own_upload(req)
    local row = store.run("file_get", {id = req.id[1]})[1]
    if not row or row.user ~= req.user or row.part_size == 0 then no_upload() end
    return row
end

local function open_upload(req)
    local row = own_upload(req)
    if row.state ~= "open" or row.until_ms <= now() then no_upload() end
    return row
end

local function drop(row)
    if not store.try("file_abort", {id = row.id}) then return end
    files.drop(row)
end

local function multipart(_, req)
    local part_size = check.opt_int(req.body.part_size, PART.least, PART.most) or PART.least
    local row = ticket(req, part_size, whole_second(now() + conf "files.multipart_ttl"))
    local ok, why = pcall(function()
        row.upload = files.begin(row)
        store.run("file_upload", {id = row.id, upload = row.upload})
    end)
    if not ok then
        pcall(drop, row)
        error(why, 0)
    end
    return {data = {
        file_id = row.id, object_key = files.path(row.id), upload_id = row.upload, part_size = part_size, part_count = part_count(row),
        expires_at_ms = row.until_ms,
    }}
end

local function parts(_, req)
    local numbers = check.ids(req.body.part_numbers, 1, 100)
    local row = open_upload(req)
    local put_until = math.min(whole_second(now() + conf "files.put_ttl"), row.until_ms)
    local out = json.list {}
    for i, number in ipairs(numbers) do
        check.int(number, 1, part_count(row))
        out[i] = {
            part_number = number, upload_url = files.put_url(row, number, put_until), method = "PUT", expires_at_ms = put_until,
        }
    end
    return {data = out}
end

local STATUS <const> = {open = "open", whole = "complete", ready = "complete", loose = "aborted", aborted = "aborted"}

local function status(_, req)
    local row = own_upload(req)
    local live = row.state == "open" and row.until_ms > now()
    return {data = {
        file_id = row.id, object_key = files.path(row.id), upload_id = row.upload, size_bytes = row.size, part_size = row.part_size,
        part_count = part_count(row), expires_at_ms = row.until_ms, parts = live and files.parts(row) or json.list {},
        status = row.state == "open" and not live and "aborted" or STATUS[row.state],
    }}
end

local function incomplete() return fail("conflict", "upload is not complete") end

-- What the client thinks is there, against what is.
local function compare(given, there)
    local tags = {}
    for _, part in ipairs(there) do tags[part.part_number] = part.etag end
    for _, part in ipairs(given) do
        if type(part) ~= "table" then fail "bad_request" end
        check.id(part.part_number)
        if tags[part.part_number] ~= check.text(part.etag, 1, 200) then incomplete() end
    end
    if #given ~= #there then incomplete() end
end

local function join(_, req)
    local given = req.body.parts
    if given ~= nil then check.list(given, PART.count) end
    local row = own_upload(req)
    if row.state == "aborted" or row.state == "loose" or (row.state == "open" and row.until_ms <= now()) then no_upload() end
    if row.state == "open" then
        if given then compare(given, files.parts(row) or {}) end
        local done, why = files.finish(row)
        if not done then return why == "conflict" and incomplete() or no_upload() end
        if not store.try("file_whole", {id = row.id, etag = done.etag, ["until"] = now() + conf "files.multipart_ttl"}) then no_upload() end
    end
    return {data = {file_id = row.id, object_key = files.path(row.id), size_bytes = row.size}}
end

local function abort(_, req)
    local row = store.run("file_get", {id = req.id[1]})[1]
    if row and row.user == req.user and row.part_size > 0 and row.state ~= "ready" then drop(row) end
    return {data = {}}
end

-- ---- complete ----

-- Is it what it says it is?
local function type_fits(row, sniffed)
    local family, sub = type_words(row.type)
    if row.kind == "file" then return true end
    if sniffed == "markup" then return false end
    local want = family == "image" and PICTURES[sub] or family ~= "image" and CONTAINERS[sub]
    if want then return sniffed == want or (want == "mp3" and sniffed == "aac") end
    return row.kind == "image" and (sniffed == "" or sniffed == "mp4" or sniffed == "image/" .. sub)
        or row.kind ~= "image" and not sniffed:find("image/", 1, true)
end

-- A picture may lie on its side (its EXIF data say so), and clients tell what they see.
local function same_size(given, found)
    return given.width == found.width and given.height == found.height or given.width == found.height and given.height == found.width
end

-- Width and height of a picture or film: what the client says, held against what the picture itself says, if it does.
local function size_of(row, found, given)
    if row.kind ~= "image" and row.kind ~= "video" then return {width = 0, height = 0} end
    local real = found.width and found or given
    if real.width > SIDE_MAX or real.height > SIDE_MAX or real.width * real.height > PIXELS_MAX then fail("too_large", "file too large") end
    if not found.width then
        if found.sniffed:find("^image/[pjgw]") then fail "unsupported_type" end
        return given
    end
    if given.width == 0 and given.height == 0 then return {width = found.width, height = found.height} end
    if not same_size(given, found) then fail "bad_request" end
    return given
end

-- A row of the caller's that may be completed, or is; nil: it is not there.
local function find_own(user, id)
    local row = store.run("file_get", {id = id})[1]
    if not row or row.user ~= user or row.state == "aborted" or row.state == "loose" then return nil end
    if row.state ~= "ready" and row.until_ms <= now() then return nil end
    return row
end

local function own_file(user, id) return find_own(user, id) or lost() end

local function look(row)
    local found = files.look(row)
    if not found then lost() end
    if found.size ~= row.size or found.size > MAX_BYTES[row.kind] then fail("too_large", "file too large") end
    if found.type ~= "" and found.type:lower() ~= row.type:lower() then fail "unsupported_type" end
    if not type_fits(row, found.sniffed) then fail "unsupported_type" end
    return found
end

-- From here on it can be read, and not be changed.
local function freeze(row, found, shown)
    local etag = row.etag
    if row.state == "open" then
        local done, why = files.finish(row, found.etag)
        if not done then return why == "stale" and fail "busy" or lost() end
        etag = done.etag
    end
    local kept = store.try("file_ready", {
        id = row.id, etag = etag, width = shown.width, height = shown.height, duration = shown.duration or 0,
        thumbnail = shown.thumbnail or 0, look = now() + conf "files.unused_ttl",
    })
    if kept then return end
    local now_is = store.run("file_get", {id = row.id})[1] -- by another request: as preview, as picture
    if not now_is or now_is.state ~= "ready" then lost() end
end

local function thumbnail(user, id)
    local row = own_file(user, id)
    if row.kind ~= "image" or row.size > THUMBNAIL.bytes then fail "bad_request" end
    if row.state ~= "ready" then
        local found = look(row)
        local size = size_of(row, found, {width = 0, height = 0})
        if size.width == 0 or size.width > THUMBNAIL.side or size.height > THUMBNAIL.side then fail "bad_request" end
        freeze(row, found, size)
    elseif row.width == 0 or row.width > THUMBNAIL.side or row.height > THUMBNAIL.side then
        fail "bad_request"
    end
    return row.id
end

local function named(id, path)
    if id ~= nil then return check.id(id) end
    if path == nil then return nil end
    return files.id(check.text(path, 1, 4096)) or lost()
end

-- Makes the file one that messages may hold; the message is sent by C, as any other. File 0 is no file: then the conversation refuses,
-- unless the message has been sent before (PROTOCOL.md 9.2).
local function complete(_, req)
    local body = req.body
    local id = named(body.file_id, body.object_key) or fail("bad_request", "media is required")
    local given = {
        width = check.opt_int(body.width, 0, SIDE_MAX) or 0, height = check.opt_int(body.height, 0, SIDE_MAX) or 0,
    }
    local duration = check.opt_int(body.duration_sec, 0, DURATION_MAX_SEC) or 0
    local preview = body.thumbnail_object_key
    if preview == "" then preview = nil end
    local row = find_own(req.user, id)
    if not row then return {file_id = 0} end
    if row.state == "ready" then return {file_id = row.id} end
    local found = look(row)
    local shown = size_of(row, found, given)
    if row.kind == "audio" or row.kind == "video" then shown.duration = duration end
    if preview and row.kind ~= "audio" then shown.thumbnail = thumbnail(req.user, named(nil, preview)) end
    freeze(row, found, shown)
    return {file_id = row.id}
end

-- A picture of a user or a group, asked for by lib/picture.lua: a ready image without a message.
local function picture(_, req)
    local row = own_file(req.user, req.file_id)
    if row.kind ~= "image" then fail "unsupported_type" end
    if row.size > PICTURE_BYTES then fail("too_large", "file too large") end
    if row.state ~= "ready" then
        local found = look(row)
        freeze(row, found, size_of(row, found, {width = 0, height = 0}))
    end
    return {path = files.path(row.id)}
end

-- ---- what nothing holds, and what was never completed ----

local NOTICED <const> = 1 -- look_ms of a file that somebody let go of

local function let_go(row)
    local keep = conf "files.unused_ttl"
    if row.look_ms == NOTICED then
        store.run("file_wait", {id = row.id, ["until"] = now() + keep})
    elseif row.state == "ready" then
        store.run("file_loosen", {id = row.id, look = row.look_ms, ["until"] = now() + math.min(SETTLE_MS, keep)})
    else
        store.run("file_leave", {id = row.id, look = row.look_ms, now = now()})
    end
end

local function let_go_of_unheld()
    for _ = 1, SWEEP_ROUNDS do
        local page = {now = now(), limit = SWEEP_FILES}
        if #store.run("file_due", page) == 0 then return end
        store.run("file_keep", page)
        for _, row in ipairs(store.run("file_due", page)) do let_go(row) end
    end
end

local function sweep()
    for _, row in ipairs(store.run("file_expired", {now = now(), limit = SWEEP_FILES})) do
        local ok, why = pcall(drop, row)
        if ok then store.run("file_delete", {id = row.id}) else log.warn("file " .. row.id .. " is not dropped: " .. tostring(why)) end
    end
end

return {
    name = "file", version = 1,
    init = function() return {} end,
    on = {
        upload = upload, multipart = multipart, parts = parts, status = status, join = join, abort = abort, complete = complete,
        picture = picture, let_go = let_go_of_unheld, sweep = sweep,
    },
    patient = {"complete", "join"}, -- a store outside may copy half a gigabyte
    every = {{SWEEP_MS, "let_go"}, {SWEEP_MS, "sweep"}},
}
