-- picture: the picture of a user or a group, from what a client says (rows 8 and 25).
local URL_MAX <const> = 512 -- bytes

local HERE <const> = "/api/files/blob/"

local check = require "lib.check"

local picture = {}

-- The form alone: nil for absent or empty, which means unchanged.
function picture.text(v)
    local url = check.opt_text(v, 0, URL_MAX)
    if url and #url > URL_MAX then fail("bad_request") end
    return url ~= "" and url or nil
end

local function file_of(url) return url:sub(1, #HERE) == HERE and files.id(url) end

-- What is stored. A path of a file here must name a picture that the caller has put; its link does not end then. Any other text is
-- the client's business.
function picture.keep(url, user)
    local id = url and file_of(url)
    return id and call("file", "picture", user, {user = user, file_id = id}).path or url
end

-- What clients are told.
function picture.shown(url)
    local id = file_of(url)
    return id and files.get_url(id) or url
end

return picture
