-- Files in the specs: pictures of any size, tickets, PUTs, completes, links of our own making.
local json = require "spec.support.json"
local jwt = require "spec.support.jwt"
local node = require "spec.support.node"
local P = require "parley_spec"

local files = {}

--- The head of a PNG that says it is width x height, filled up to `size` bytes.
function files.png(width, height, size)
    local head = "\137PNG\r\n\26\n" .. string.pack(">I4c4I4I4c5", 13, "IHDR", width, height, "\8\6\0\0\0") .. "\0\0\0\0"
    return head .. ("x"):rep((size or 200) - #head)
end

--- The same of a GIF; of a JPEG with `before` bytes of other segments; of a WebP.
function files.gif(width, height) return string.pack("<c6I2I2", "GIF89a", width, height) .. ("x"):rep(50) end
function files.jpeg(width, height, before)
    local app = ""
    while #app < (before or 0) do app = app .. "\255\225" .. string.pack(">I2", 60002) .. ("e"):rep(60000) end
    return "\255\216" .. app .. "\255\192" .. string.pack(">I2BI2I2", 17, 8, height, width) .. ("x"):rep(50)
end
function files.webp(width, height)
    return string.pack("<c4I4c4c4I4", "RIFF", 100, "WEBP", "VP8X", 10) .. "\0\0\0\0" .. string.pack("<I3I3", width - 1, height - 1)
        .. ("x"):rep(50)
end

--- Bytes that do not repeat.
function files.noise(size, seed)
    local parts, x = {}, seed or 1
    for i = 1, (size + 7) // 8 do
        x = x * 6364136223846793005 + 1442695040888963407
        parts[i] = string.pack("<i8", x)
    end
    return table.concat(parts):sub(1, size)
end

--- Row 45: the answer's data, or the answer if it is an error.
function files.ticket(person, opt)
    local r = person:post("/api/files/upload",
        {filename = opt.name or "cat.png", content_type = opt.type or "image/png", size_bytes = opt.size or #opt.bytes, kind = opt.kind})
    return r.status == 200 and r.json.data or r
end

function files.put(n, url, bytes, type, more)
    local headers = {"Content-Type: " .. (type or "image/png")}
    table.move(more or {}, 1, #(more or {}), 2, headers)
    return n:api("PUT", url, {body = bytes, headers = headers})
end

local count = 0
function files.complete(person, chat, body)
    count = count + 1
    local all = {conversation_id = chat, client_msg_id = "f-" .. count}
    for k, v in pairs(body) do all[k] = v end
    return person:post("/api/files/complete", all)
end

--- All of it: ticket, PUT, complete. Gives the MessageItem's media, and the message.
function files.send(person, chat, opt)
    local t = files.ticket(person, opt)
    assert(t.file_id, t.body)
    local r = files.put(person.node, t.upload_url, opt.bytes, opt.type or "image/png")
    assert(r.status == 204, r.body)
    r = files.complete(person, chat, {file_id = t.file_id, duration_sec = opt.duration, width = opt.width, height = opt.height})
    assert(r.status == 200, r.body)
    local _, media = next(r.json.data.body)
    return media, r.json.data
end

--- The link that the server would give for this method ("GET", "PUT"), part and end.
function files.link(secret, method, id, part, exp)
    local key = jwt.hmac(secret, "parley: links to files, 1")
    local mac = jwt.hmac(key, ("%s\n%d\n%d\n%d"):format(method, id, part, exp)):sub(1, 16)
    local sig = mac:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    return ("/api/files/blob/%d?exp=%d%s&sig=%s"):format(id, exp, part > 0 and "&part=" .. part or "", sig)
end

--- Links that a node gives end at a full hour, so they change with it: waits for the next one if this one is nearly over. For specs that
--- compare what has links in it.
function files.within_the_hour()
    while os.time() % 3600 >= 3600 - 20 * node.slow do P.pause(200) end
end

function files.list(t) return json.list(t) end

return files
