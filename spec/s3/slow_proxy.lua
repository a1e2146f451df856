-- A proxy in front of an S3 server that holds up what makes objects of others: copies, and the end of an upload in parts.
--   lua5.4 spec/s3/slow_proxy.lua PORT-OF-THE-SERVER MILLISECONDS
-- Prints its own port. One connection at a time; it closes each after an answer.
package.cpath = "build/?.so;" .. package.cpath
local P = require "parley_spec"

local to, hold_ms = math.tointeger(tonumber(arg[1])), math.tointeger(tonumber(arg[2]))
local listener, port = P.listen()
print(port)
io.stdout:flush()

-- One whole request of the node: all of them have a length.
local function request(sock)
    local text = ""
    while true do
        local head, body = text:match("^(.-\r\n\r\n)(.*)$")
        if head and #body >= tonumber(head:lower():match("\r\ncontent%-length: (%d+)") or 0) then return text, head end
        local more = sock:recv(65536, 20000)
        if not more or more == "" then return nil end
        text = text .. more
    end
end

local function is_slow(head)
    return head:find("^PUT ") and head:lower():find("\r\nx%-amz%-copy%-source: ") or head:find("^POST [^ ]*uploadId=")
end

while true do
    local client = listener:accept(600000)
    if not client then break end
    local text, head = request(client)
    if text then
        if is_slow(head) then P.pause(hold_ms) end
        local server = assert(P.connect("127.0.0.1", to))
        -- a header that the signature does not cover, so the server ends its answer by closing
        server:send((text:gsub("\r\n[Uu]ser%-[Aa]gent: [^\r]*", "\r\nConnection: close", 1)))
        while true do
            local piece = server:recv(65536, 20000)
            if not piece or piece == "" then break end
            client:send(piece)
        end
        server:close()
    end
    client:close()
end
